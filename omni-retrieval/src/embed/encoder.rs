//! BERT's forward pass over sequences that stand end to end, without padding.
//!
//! Each step works on all rows (tokens) of a batch, attention on one sequence at a time, so that a text has the same vector
//! whatever stands beside it. The feed-forward part goes through in blocks of rows, so that its wide activations stay in the
//! core's cache.

use std::ops::Range;

use super::kernels::{Function, LANES, Op, Rows, RowsMut, run};
use super::manifest::{Activation, Manifest, Pooling, Precision, Purpose};
use super::packed::{Layer, Matrix, Packed};
use crate::cpu::Kernel;

/// Rows that go through the feed-forward part together.
const BLOCK: usize = 48;

/// Buffers of one batch: grown to the largest seen, then reused.
#[derive(Default)]
pub(super) struct Scratch {
    worker: Worker,
    /// Query, key and value of each row side by side.
    qkv: Vec<f32>,
}

/// Tokens that see each other: 1 to `max_tokens` ids of the vocabulary.
pub(super) struct Sequence {
    pub(super) ids: Vec<u32>,
    /// Where the second text of a pair begins; at the end where there is one text.
    pub(super) second: usize,
}

impl Sequence {
    /// One text.
    pub(super) fn of(ids: Vec<u32>) -> Self {
        Self { second: ids.len(), ids }
    }

    /// A token, and which of the two texts it belongs to.
    fn token(&self, position: usize) -> Token {
        Token { id: self.ids[position], position, is_second: position >= self.second }
    }

    fn tokens(&self) -> impl Iterator<Item = Token> {
        (0..self.ids.len()).map(|position| self.token(position))
    }
}

struct Token {
    id: u32,
    position: usize,
    is_second: bool,
}

/// Unit vectors of `sequences`, in their order.
pub(super) fn forward<'a>(
    model: &'a Packed,
    kernel: Kernel,
    sequences: &'a [&Sequence],
    scratch: &'a mut Scratch,
) -> impl Iterator<Item = Vec<f32>> + 'a {
    run_layers(model, kernel, sequences, scratch);
    let manifest = model.manifest();
    let mut rows = scratch.worker.hidden().chunks_exact(manifest.dimensions);
    sequences.iter().map(move |sequence| pool(rows.by_ref().take(rows_after(manifest.layers, manifest, sequence.ids.len()))))
}

/// Scores of pairs, by the head of a reranker.
pub(super) fn score(model: &Packed, kernel: Kernel, pairs: &[&Sequence], scratch: &mut Scratch) -> Vec<f32> {
    run_layers(model, kernel, pairs, scratch);
    scratch.worker.score(model, kernel)
}

/// Rows of a sequence of `length` that are read after `layers` layers: after the last one, it may be the first only.
fn rows_after(layers: usize, manifest: &Manifest, length: usize) -> usize {
    let reads_first = manifest.pooling == Pooling::Cls || manifest.purpose == Purpose::Reranking;
    if reads_first && layers == manifest.layers { 1 } else { length }
}

/// Leaves with the worker the hidden states that are read.
fn run_layers(model: &Packed, kernel: Kernel, sequences: &[&Sequence], scratch: &mut Scratch) {
    let width = model.manifest().dimensions;
    let rows = sequences.iter().map(|sequence| sequence.ids.len()).sum::<usize>();
    let Scratch { worker, qkv } = scratch;
    worker.fit(model, rows, sequences.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0));
    let qkv = grow(qkv, rows * 3 * width);
    worker.begin(model, kernel, sequences.iter().flat_map(|sequence| sequence.tokens()));
    for layer in 0..model.manifest().layers {
        worker.project(kernel, model.layer(layer), qkv);
        let (mut first, mut kept) = (0, 0);
        for length in sequences.iter().map(|sequence| sequence.ids.len()) {
            let rows = rows_after(layer + 1, model.manifest(), length);
            worker.attend(model, kernel, &qkv[first * 3 * width..][..length * 3 * width], 0..rows, kept);
            if kept < first {
                worker.hidden.copy_within(first * width..(first + rows) * width, kept * width);
            }
            first += length;
            kept += rows;
        }
        worker.length = kept * width;
        worker.finish(model, kernel, model.layer(layer));
    }
}

/// The unit vector of one sequence, on two threads of the current pool: each has half of the rows, and all of them for attention.
/// The same bits as [`forward`], because no step but attention looks beyond its row.
pub(super) fn forward_in_two(model: &Packed, kernel: Kernel, text: &Sequence, scratch: [&mut Scratch; 2]) -> Vec<f32> {
    let ids = &text.ids;
    let (width, layers) = (model.manifest().dimensions, model.manifest().layers);
    let middle = ids.len().div_ceil(2);
    let [first, second] = scratch;
    let (upper, lower) = (&mut first.worker, &mut second.worker);
    // Written for the next layer while the other half may still read the last one.
    let (mut qkv, mut next) = (grow(&mut first.qkv, ids.len() * 3 * width), grow(&mut second.qkv, ids.len() * 3 * width));
    let tokens = |from: usize, to: usize| (from..to).map(|position| text.token(position));
    let begin = |worker: &mut Worker, from: usize, to: usize, qkv: &mut [f32]| {
        worker.fit(model, to - from, ids.len());
        worker.begin(model, kernel, tokens(from, to));
        worker.project(kernel, model.layer(0), qkv);
    };
    let (above, below) = qkv.split_at_mut(middle * 3 * width);
    rayon::join(|| begin(upper, 0, middle, above), || begin(lower, middle, ids.len(), below));
    for layer in 0..layers {
        let go_on = |worker: &mut Worker, from: usize, to: usize, qkv: &[f32], next: &mut [f32]| {
            let rows = from..rows_after(layer + 1, model.manifest(), ids.len()).clamp(from, to);
            worker.length = rows.len() * width;
            if rows.is_empty() {
                return;
            }
            worker.attend(model, kernel, qkv, rows, 0);
            worker.finish(model, kernel, model.layer(layer));
            if layer + 1 < layers {
                worker.project(kernel, model.layer(layer + 1), next);
            }
        };
        let (above, below) = next.split_at_mut(middle * 3 * width);
        rayon::join(|| go_on(upper, 0, middle, qkv, above), || go_on(lower, middle, ids.len(), qkv, below));
        std::mem::swap(&mut qkv, &mut next);
    }
    pool(upper.hidden().chunks_exact(width).chain(lower.hidden().chunks_exact(width)))
}

/// The rows of one thread on their way through the layers.
#[derive(Default)]
struct Worker {
    hidden: Vec<f32>,
    context: Vec<f32>,
    delta: Vec<f32>,
    inner: Vec<f32>,
    /// Hidden states, or the context, for the next product.
    bytes: Quantized,
    inner_bytes: Quantized,
    queries: Vec<f32>,
    scores: Vec<f32>,
    /// Floats in use of those buffers that have a row for each token.
    length: usize,
}

impl Worker {
    /// Makes room for `rows` tokens that belong to sequences of at most `longest`.
    fn fit(&mut self, model: &Packed, rows: usize, longest: usize) {
        let manifest = model.manifest();
        let (width, inner) = (manifest.dimensions, manifest.intermediate);
        self.length = rows * width;
        for buffer in [&mut self.hidden, &mut self.context, &mut self.delta] {
            grow(buffer, rows * width);
        }
        grow(&mut self.inner, rows.min(BLOCK) * inner);
        if manifest.precision == Precision::Int8 {
            self.bytes.fit(rows, width);
            self.inner_bytes.fit(rows.min(BLOCK), inner);
        }
        grow(&mut self.queries, width / manifest.heads * LANES);
        grow(&mut self.scores, longest * LANES);
    }

    /// Rows are tokens: looks up their id, position and text.
    fn begin(&mut self, model: &Packed, kernel: Kernel, tokens: impl Iterator<Item = Token>) {
        let (hidden, width) = (&mut self.hidden[..self.length], model.manifest().dimensions);
        for (row, token) in hidden.chunks_exact_mut(width).zip(tokens) {
            model.embed_token(token.id, token.position, row);
            if token.is_second {
                row.iter_mut().zip(model.second()).for_each(|(value, more)| *value += more);
            }
        }
        let (epsilon, out) = (model.manifest().norm_epsilon, self.bytes.rows_mut(0..self.length / width, width));
        run(kernel, Op::Norm { hidden, delta: &[], norm: model.embedding_norm(), epsilon, out });
    }

    /// Query, key and value of all rows.
    fn project(&mut self, kernel: Kernel, layer: Layer<'_>, qkv: &mut [f32]) {
        let (hidden, width) = (&self.hidden[..self.length], layer.norm.gamma.len());
        linear(kernel, hidden, self.bytes.rows(0..hidden.len() / width, width), layer.qkv, false, qkv);
    }

    /// Context of `rows` of a sequence, of which `qkv` has all; they are this worker's rows from `first` on.
    fn attend(&mut self, model: &Packed, kernel: Kernel, qkv: &[f32], rows: Range<usize>, first: usize) {
        let width = model.manifest().dimensions;
        let out = &mut self.context[first * width..][..rows.len() * width];
        let (queries, scores) = (&mut self.queries[..], &mut self.scores[..]);
        run(kernel, Op::Attention { qkv, rows, heads: model.manifest().heads, queries, scores, out });
    }

    /// The rest of a layer, from the context on.
    fn finish(&mut self, model: &Packed, kernel: Kernel, layer: Layer<'_>) {
        let manifest = model.manifest();
        let (width, epsilon) = (manifest.dimensions, manifest.norm_epsilon);
        // The usual one is part of the product, the others go over its result.
        let function = match manifest.activation {
            Activation::Gelu => None,
            Activation::GeluTanh => Some(Function::GeluTanh),
            Activation::Relu => Some(Function::Relu),
        };
        let (hidden, delta) = (&mut self.hidden[..self.length], &mut self.delta[..self.length]);
        let (context, rows) = (&self.context[..self.length], 0..self.length / width);
        self.bytes.take(kernel, context, width);
        linear(kernel, context, self.bytes.rows(rows.clone(), width), layer.output, false, delta);
        let out = self.bytes.rows_mut(rows, width);
        run(kernel, Op::Norm { hidden, delta, norm: layer.attention_norm, epsilon, out });
        for (block, (hidden, delta)) in hidden.chunks_mut(BLOCK * width).zip(delta.chunks_mut(BLOCK * width)).enumerate() {
            let count = hidden.len() / width;
            let rows = block * BLOCK..block * BLOCK + count;
            let inner = &mut self.inner[..count * manifest.intermediate];
            linear(kernel, hidden, self.bytes.rows(rows.clone(), width), layer.up, function.is_none(), inner);
            if let Some(function) = function {
                run(kernel, Op::Apply { function, values: inner });
            }
            self.inner_bytes.take(kernel, inner, manifest.intermediate);
            linear(kernel, inner, self.inner_bytes.rows(0..count, manifest.intermediate), layer.down, false, delta);
            run(kernel, Op::Norm { hidden, delta, norm: layer.norm, epsilon, out: self.bytes.rows_mut(rows, width) });
        }
    }

    /// What the head makes of the first token of each pair, which is all that the last layer has left.
    fn score(&mut self, model: &Packed, kernel: Kernel) -> Vec<f32> {
        let width = model.manifest().dimensions;
        let head = model.head();
        let (firsts, pooled) = (&self.hidden[..self.length], &mut self.delta[..self.length]);
        linear(kernel, firsts, self.bytes.rows(0..self.length / width, width), head.pooler, false, pooled);
        run(kernel, Op::Apply { function: Function::Tanh, values: pooled });
        // In f64 and in order, so that neither the kernel nor the sum loses a bit of it.
        let sum = |row: &[f32]| row.iter().zip(head.weights).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        pooled.chunks_exact(width).map(|row| (sum(row) + f64::from(head.bias)) as f32).collect()
    }

    fn hidden(&self) -> &[f32] {
        &self.hidden[..self.length]
    }
}

/// The first `length` elements of a buffer that has at least as many from now on.
fn grow<T: Default + Clone>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}

/// Rows as unsigned bytes, for the next product; without any where the products are f32.
#[derive(Default)]
struct Quantized {
    bytes: Vec<u8>,
    units: Vec<f32>,
    zeros: Vec<i32>,
}

impl Quantized {
    fn fit(&mut self, rows: usize, width: usize) {
        grow(&mut self.bytes, rows * width);
        grow(&mut self.units, rows);
        grow(&mut self.zeros, rows);
    }

    fn rows(&self, rows: Range<usize>, width: usize) -> Rows<'_> {
        Rows {
            bytes: self.bytes.get(rows.start * width..rows.end * width).unwrap_or_default(),
            units: self.units.get(rows.clone()).unwrap_or_default(),
            zeros: self.zeros.get(rows).unwrap_or_default(),
        }
    }

    fn rows_mut(&mut self, rows: Range<usize>, width: usize) -> RowsMut<'_> {
        RowsMut {
            bytes: self.bytes.get_mut(rows.start * width..rows.end * width).unwrap_or_default(),
            units: self.units.get_mut(rows.clone()).unwrap_or_default(),
            zeros: self.zeros.get_mut(rows).unwrap_or_default(),
        }
    }

    /// Rows that no step before has quantised.
    fn take(&mut self, kernel: Kernel, input: &[f32], width: usize) {
        run(kernel, Op::Quantize { input, out: self.rows_mut(0..input.len() / width, width) });
    }
}

/// `out = input * matrix + bias`, through GELU where asked; a matrix of bytes takes the input as `bytes`.
fn linear(kernel: Kernel, input: &[f32], bytes: Rows<'_>, matrix: Matrix<'_>, gelu: bool, out: &mut [f32]) {
    match matrix {
        Matrix::F32(matrix) => run(kernel, Op::LinearF32 { input, matrix, gelu, out }),
        Matrix::Int8(matrix) => run(kernel, Op::LinearI8 { input: bytes, matrix, gelu, out }),
    }
}

/// One unit vector from the token vectors of one sequence that are read: their mean, where there are several. Plain loops: the
/// compiler may not reorder them, so they need no kernel.
fn pool<'a>(mut rows: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut out = rows.next().map(<[f32]>::to_vec).unwrap_or_default();
    for row in rows {
        for (out, value) in out.iter_mut().zip(row) {
            *out += value;
        }
    }
    // The length of the sequence drops out with the norm. Summed in f64, so that no vector is shorter or longer than its
    // neighbour.
    let norm = out.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    let scale = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
    for value in &mut out {
        *value *= scale;
    }
    out
}
