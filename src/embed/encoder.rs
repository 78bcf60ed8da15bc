//! BERT's forward pass over sequences that stand end to end, without padding.
//!
//! Each step works on all rows (tokens) of a batch, attention on one sequence at a time, so that a text has the same vector whatever
//! stands beside it. The feed-forward part goes through in blocks of rows, so that its wide activations stay in the core's cache.

use super::kernels::ops::QUERIES;
use super::kernels::{Kernel, LANES, Op, Rows, RowsMut};
use super::packed::{Matrix, Packed, Pooling, Precision};

/// Rows that go through the feed-forward part together.
const BLOCK: usize = 48;

/// Buffers of one worker: grown to the largest batch seen, then reused.
#[derive(Default)]
pub(super) struct Scratch {
    hidden: Vec<f32>,
    /// Query, key and value side by side.
    qkv: Vec<f32>,
    context: Vec<f32>,
    delta: Vec<f32>,
    inner: Vec<f32>,
    bytes: Vec<u8>,
    units: Vec<f32>,
    zeros: Vec<i32>,
    keys: Vec<f32>,
    scores: Vec<f32>,
}

impl Scratch {
    /// Makes room for `rows` tokens of which the longest sequence has `longest`.
    fn fit(&mut self, model: &Packed, rows: usize, longest: usize) {
        let manifest = model.manifest();
        let (width, inner, padded) = (manifest.dimensions, manifest.intermediate, longest.next_multiple_of(LANES));
        grow(&mut self.hidden, rows * width);
        grow(&mut self.qkv, rows * 3 * width);
        grow(&mut self.context, rows * width);
        grow(&mut self.delta, rows * width);
        grow(&mut self.inner, rows.min(BLOCK) * inner);
        if manifest.precision == Precision::Int8 {
            grow(&mut self.bytes, (rows * width).max(rows.min(BLOCK) * inner));
            grow(&mut self.units, rows);
            grow(&mut self.zeros, rows);
        }
        grow(&mut self.keys, width / manifest.heads * padded);
        grow(&mut self.scores, QUERIES * padded);
    }
}

fn grow<T: Default + Clone>(buffer: &mut Vec<T>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
}

/// Unit vectors of `sequences`, row after row in `out`. Every sequence has 1 to `max_tokens` ids of the vocabulary.
pub(super) fn forward(model: &Packed, kernel: Kernel, sequences: &[&[u32]], scratch: &mut Scratch, out: &mut [f32]) {
    let manifest = model.manifest();
    let (width, epsilon) = (manifest.dimensions, manifest.norm_epsilon);
    let rows = sequences.iter().map(|ids| ids.len()).sum::<usize>();
    scratch.fit(model, rows, sequences.iter().map(|ids| ids.len()).max().unwrap_or(0));
    let mut units = Units { bytes: &mut scratch.bytes, units: &mut scratch.units, zeros: &mut scratch.zeros };
    let hidden = &mut scratch.hidden[..rows * width];
    let qkv = &mut scratch.qkv[..rows * 3 * width];
    let context = &mut scratch.context[..rows * width];
    let delta = &mut scratch.delta[..rows * width];

    let tokens = sequences.iter().flat_map(|ids| ids.iter().enumerate());
    for (row, (position, &id)) in hidden.chunks_exact_mut(width).zip(tokens) {
        model.embed_token(id, position, row);
    }
    kernel.run(Op::Norm { hidden, delta: &[], norm: model.embedding_norm(), epsilon });

    for layer in (0..manifest.layers).map(|layer| model.layer(layer)) {
        units.linear(kernel, hidden, layer.qkv, false, qkv);
        let mut first = 0;
        for ids in sequences {
            let qkv = &qkv[first * 3 * width..][..ids.len() * 3 * width];
            let out = &mut context[first * width..][..ids.len() * width];
            let (keys, scores) = (&mut scratch.keys[..], &mut scratch.scores[..]);
            kernel.run(Op::Attention { qkv, length: ids.len(), heads: manifest.heads, keys, scores, out });
            first += ids.len();
        }
        units.linear(kernel, context, layer.output, false, delta);
        kernel.run(Op::Norm { hidden, delta, norm: layer.attention_norm, epsilon });
        for (hidden, delta) in hidden.chunks_mut(BLOCK * width).zip(delta.chunks_mut(BLOCK * width)) {
            let inner = &mut scratch.inner[..hidden.len() / width * manifest.intermediate];
            units.linear(kernel, hidden, layer.up, true, inner);
            units.linear(kernel, inner, layer.down, false, delta);
            kernel.run(Op::Norm { hidden, delta, norm: layer.norm, epsilon });
        }
    }

    let mut first = 0;
    for (ids, out) in sequences.iter().zip(out.chunks_exact_mut(width)) {
        pool(&hidden[first * width..][..ids.len() * width], manifest.pooling, out);
        first += ids.len();
    }
}

/// Where activations are quantised for the next product.
struct Units<'a> {
    bytes: &'a mut [u8],
    units: &'a mut [f32],
    zeros: &'a mut [i32],
}

impl Units<'_> {
    /// `out = input * matrix + bias`, through GELU where asked.
    fn linear(&mut self, kernel: Kernel, input: &[f32], matrix: Matrix<'_>, gelu: bool, out: &mut [f32]) {
        let matrix = match matrix {
            Matrix::F32(matrix) => return kernel.run(Op::LinearF32 { input, matrix, gelu, out }),
            Matrix::Int8(matrix) => matrix,
        };
        let rows = input.len() / matrix.rows;
        let (bytes, units, zeros) = (&mut self.bytes[..input.len()], &mut self.units[..rows], &mut self.zeros[..rows]);
        kernel.run(Op::Quantize { input, out: RowsMut { bytes, units, zeros } });
        kernel.run(Op::LinearI8 { input: Rows { bytes, units, zeros }, matrix, gelu, out });
    }
}

/// One unit vector from the token vectors of one sequence. Plain loops: the compiler may not reorder them, so they need no kernel.
fn pool(hidden: &[f32], pooling: Pooling, out: &mut [f32]) {
    let mut rows = hidden.chunks_exact(out.len());
    if let Some(first) = rows.next() {
        out.copy_from_slice(first);
    }
    if pooling == Pooling::Mean {
        for row in rows {
            for (out, value) in out.iter_mut().zip(row) {
                *out += value;
            }
        }
    }
    // The length of the sequence drops out with the norm. Summed in f64, so that no vector is shorter or longer than its neighbour.
    let norm = out.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    let scale = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
    for value in out {
        *value *= scale;
    }
}
