//! The steps of the encoder, written once over [`Lanes`] and compiled for each instruction set.
//!
//! Everything here is `inline(always)`, and no lane is touched in a closure, which cannot be: the code must end up inside the
//! function that switches the instruction set on. What does not calls a function for each instruction, and is thirty times slower.

use std::ops::Range;

use super::super::manifest::PANEL;
use super::matrix::{MatrixF32, MatrixI8, Norm};
use super::product::{Left, Right, Sink, product};
use super::{Function, LANES, Lanes, Op, Order, PanelOrder, Rows, RowsMut, Share};

/// Adding and subtracting this rounds to the nearest integer (even on ties), and leaves it in the low bits in between.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Rows of a product that are worth looking for the order of its matrix: those of documents.
const ROWS_TO_ORDER: usize = 128;

#[inline(always)]
pub(super) fn run<L: Lanes>(op: Op<'_>) {
    match op {
        Op::LinearI8 { input, matrix, gelu, out } => linear_i8::<L>(input, matrix, gelu, out),
        Op::LinearF32 { input, matrix, gelu, out } => linear_f32::<L>(input, matrix, gelu, out),
        Op::Attention { qkv, rows, heads, queries, scores, out } => attention::<L>(qkv, rows, heads, queries, scores, out),
        Op::Norm { hidden, delta, norm, epsilon, out } => layer_norm::<L>(hidden, delta, norm, epsilon, out),
        Op::Quantize { input, out } => quantize::<L>(input, out),
        Op::Apply { function, values } => apply::<L>(function, values),
    }
}

#[inline(always)]
fn linear_i8<L: Lanes>(input: Rows<'_>, matrix: MatrixI8<'_>, gelu: bool, out: &mut [f32]) {
    let count = input.units.len();
    let order = if L::ROWS_IN_ORDER > 0 { order(matrix, count) } else { None };
    let most = if order.is_some() { L::ROWS_IN_ORDER } else { L::ROWS };
    let tiles = count.div_ceil(most);
    for number in 0..matrix.bias.len() / PANEL {
        let order = order.map(|order| order.panel(number));
        let mut row = 0;
        for tile in 0..tiles {
            // Tiles of about the same height: a single row would wait for itself.
            let rows = (count - row).div_ceil(tiles - tile);
            let panel = Panel { number, order, ahead: Share { tile, tiles } };
            match rows {
                8.. => tile_i8::<L, 8>(input, row, matrix, panel, gelu, out),
                7 => tile_i8::<L, 7>(input, row, matrix, panel, gelu, out),
                6 => tile_i8::<L, 6>(input, row, matrix, panel, gelu, out),
                5 => tile_i8::<L, 5>(input, row, matrix, panel, gelu, out),
                4 => tile_i8::<L, 4>(input, row, matrix, panel, gelu, out),
                3 => tile_i8::<L, 3>(input, row, matrix, panel, gelu, out),
                2 => tile_i8::<L, 2>(input, row, matrix, panel, gelu, out),
                _ => tile_i8::<L, 1>(input, row, matrix, panel, gelu, out),
            }
            row += rows;
        }
    }
}

/// The order of a matrix, for the product with `rows` rows. To look for it takes as long as the product with about 128, which is
/// little beside documents and much beside a question; once it is there, everybody uses it.
fn order(matrix: MatrixI8<'_>, rows: usize) -> Option<&Order> {
    if rows < ROWS_TO_ORDER {
        return matrix.order.get();
    }
    Some(matrix.order.get_or_init(|| Order::of(matrix.weights, matrix.rows)))
}

/// A panel of a matrix, as a tile takes it.
#[derive(Clone, Copy)]
struct Panel<'a> {
    number: usize,
    order: Option<PanelOrder<'a>>,
    ahead: Share,
}

#[inline(always)]
fn tile_i8<L: Lanes, const R: usize>(
    input: Rows<'_>,
    first: usize,
    matrix: MatrixI8<'_>,
    panel: Panel<'_>,
    gelu: bool,
    out: &mut [f32],
) {
    if R > L::ROWS.max(L::ROWS_IN_ORDER) {
        return;
    }
    let (inputs, outputs) = (matrix.rows, matrix.bias.len());
    let rows: [&[u8]; R] = std::array::from_fn(|row| &input.bytes[(first + row) * inputs..][..inputs]);
    let mut acc = [[0; 64]; R];
    let at = panel.number * PANEL;
    L::dot(rows, &matrix.weights[at * inputs..][..PANEL * inputs], panel.order, panel.ahead, &mut acc);
    let scales = matrix.scales[at..at + PANEL].as_chunks::<LANES>().0;
    let sums = matrix.sums[at..at + PANEL].as_chunks::<LANES>().0;
    let bias = matrix.bias[at..at + PANEL].as_chunks::<LANES>().0;
    for (row, acc) in acc.iter().enumerate() {
        let unit = L::splat(input.units[first + row]);
        let zero = input.zeros[first + row] - L::SHIFT;
        let out = out[(first + row) * outputs + at..][..PANEL].as_chunks_mut::<LANES>().0;
        for (column, (acc, out)) in acc.as_chunks::<LANES>().0.iter().zip(out).enumerate() {
            let value = L::dequantize(acc, &sums[column], zero);
            let value = value.mul_add(unit.mul(L::load(&scales[column])), L::load(&bias[column]));
            let value = if gelu { self::gelu(value) } else { value };
            value.store(out);
        }
    }
}

#[inline(always)]
fn linear_f32<L: Lanes>(input: &[f32], matrix: MatrixF32<'_>, gelu: bool, out: &mut [f32]) {
    let (inputs, outputs) = (matrix.rows, matrix.bias.len());
    for at in (0..outputs).step_by(PANEL) {
        let weights = &matrix.weights[at * inputs..][..PANEL * inputs];
        let bias = matrix.bias[at..at + PANEL].as_chunks::<LANES>().0;
        product::<L, _>(
            Left { values: input, across: inputs, rows: input.len() / inputs, depth: inputs, down: 1 },
            Right { values: weights, stride: PANEL, sets: PANEL / LANES },
            &mut Activations { bias, gelu, out: &mut out[at..], outputs },
        );
    }
}

/// Bias is added, and GELU applied where asked.
struct Activations<'a> {
    bias: &'a [[f32; LANES]],
    gelu: bool,
    out: &'a mut [f32],
    outputs: usize,
}

impl<L: Lanes> Sink<L> for Activations<'_> {
    #[inline(always)]
    fn put(&mut self, row: usize, set: usize, value: L) {
        let value = value.add(L::load(&self.bias[set]));
        let value = if self.gelu { gelu(value) } else { value };
        store(value, self.out, row * self.outputs + set * LANES);
    }
}

/// Rows are keys, of one set each: a lane a query.
struct Scores<'a>(&'a mut [f32]);

impl<L: Lanes> Sink<L> for Scores<'_> {
    #[inline(always)]
    fn put(&mut self, row: usize, _: usize, value: L) {
        store(value, self.0, row * LANES);
    }
}

/// Rows are queries, multiplied by their shares.
struct Context<'a> {
    shares: [f32; LANES],
    out: &'a mut [f32],
    width: usize,
}

impl<L: Lanes> Sink<L> for Context<'_> {
    #[inline(always)]
    fn put(&mut self, row: usize, set: usize, value: L) {
        store(value.mul(L::splat(self.shares[row])), self.out, row * self.width + set * LANES);
    }
}

#[inline(always)]
fn store<L: Lanes>(value: L, out: &mut [f32], at: usize) {
    if let Some(to) = out[at..].first_chunk_mut::<LANES>() {
        value.store(to);
    }
}

#[inline(always)]
fn attention<L: Lanes>(qkv: &[f32], rows: Range<usize>, heads: usize, queries: &mut [f32], scores: &mut [f32], out: &mut [f32]) {
    let width = out.len() / rows.len();
    let (stride, length, head_width) = (3 * width, qkv.len() / (3 * width), width / heads);
    // exp(x / sqrt(d)) = 2^(x * log2(e) / sqrt(d))
    let scale = std::f32::consts::LOG2_E / (head_width as f32).sqrt();
    let (queries, scores) = (&mut queries[..head_width * LANES], &mut scores[..length * LANES]);
    for at in (0..width).step_by(head_width) {
        for first in rows.clone().step_by(LANES) {
            let count = (rows.end - first).min(LANES);
            // One lane a query: softmax then goes down the lanes and joins none. Lanes without a query are zero.
            for (depth, queries) in queries.chunks_exact_mut(LANES * LANES).enumerate() {
                let mut square = [L::splat(0.0); LANES];
                let tokens = qkv[first * stride + at + depth * LANES..].chunks(stride).take(count);
                for (query, from) in square.iter_mut().zip(tokens.filter_map(<[f32]>::first_chunk)) {
                    *query = L::load(from);
                }
                for (lanes, to) in transpose(square).into_iter().zip(queries.as_chunks_mut().0) {
                    lanes.store(to);
                }
            }
            product::<L, _>(
                Left { values: &qkv[width + at..], across: stride, down: 1, rows: length, depth: head_width },
                Right { values: queries, stride: LANES, sets: 1 },
                &mut Scores(scores),
            );
            let shares = softmax::<L>(scores, scale);
            product::<L, _>(
                Left { values: scores, across: 1, down: LANES, rows: count, depth: length },
                Right { values: &qkv[2 * width + at..], stride, sets: head_width / LANES },
                &mut Context { shares, out: &mut out[(first - rows.start) * width + at..], width },
            );
        }
    }
}

/// Rows become lanes. A row and a lane have four bits each, and interleaving the rows of the upper half with those of the lower one
/// moves all eight on by one; so four times exchanges them.
#[inline(always)]
fn transpose<L: Lanes>(mut square: [L; LANES]) -> [L; LANES] {
    for _ in 0..4 {
        let rows = square;
        for row in 0..LANES / 2 {
            [square[2 * row], square[2 * row + 1]] = rows[row].interleave(rows[row + LANES / 2]);
        }
    }
    square
}

/// `2^(scale * (x - max))` down each lane, in place, and what each lane has to be multiplied by to have the sum 1.
#[inline(always)]
fn softmax<L: Lanes>(scores: &mut [f32], scale: f32) -> [f32; LANES] {
    let scores = scores.as_chunks_mut::<LANES>().0;
    let mut most = L::splat(f32::MIN);
    for lanes in scores.iter() {
        most = most.max(L::load(lanes));
    }
    let (scale, mut sum) = (L::splat(scale), L::splat(0.0));
    for lanes in scores {
        let power = exp2(L::load(lanes).sub(most).mul(scale));
        power.store(lanes);
        sum = sum.add(power);
    }
    let mut shares = [0.0; LANES];
    L::splat(1.0).div(sum).store(&mut shares);
    shares
}

/// Joins the lanes in a fixed tree: 8 with 8, 4 with 4, and so on.
#[inline(always)]
fn across<L: Lanes>(lanes: L, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut values = [0.0; LANES];
    lanes.store(&mut values);
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            values[lane] = join(values[lane], values[lane + half]);
        }
        half /= 2;
    }
    values[0]
}

/// `2^x` for `x <= 0`; below -126 as at -126. Relative error under 3e-7: Remez-like fit of degree 5 on half an octave around 0.
#[inline(always)]
fn exp2<L: Lanes>(x: L) -> L {
    let x = x.max(L::splat(-126.0));
    let shifted = x.add(L::splat(ROUND));
    let rest = x.sub(shifted.sub(L::splat(ROUND)));
    let mut sum = L::splat(0.001_326_472_8);
    for term in [0.009_671_513, 0.055_507_336, 0.240_222_42, std::f32::consts::LN_2, 1.0] {
        sum = sum.mul_add(rest, L::splat(term));
    }
    sum.mul(shifted.pow2())
}

/// `x * Phi(x)` with `erf(x / sqrt(2)) = x * P(x^2) / Q(x^2)`, fitted on 0 to 5.4; absolute error under 2e-6 everywhere.
#[inline(always)]
fn gelu<L: Lanes>(x: L) -> L {
    let bounded = x.min(L::splat(5.4)).max(L::splat(-5.4));
    let square = bounded.mul(bounded);
    let mut above = L::splat(1.851_529_4e-5);
    for term in [0.001_019_697_5, 0.013_461_917, 0.133_339_23, 0.797_877_1] {
        above = above.mul_add(square, L::splat(term));
    }
    let mut below = L::splat(7.517_383_6e-7);
    for term in [0.000_186_338_85, 0.003_799_058_7, 0.047_549_188, 0.333_744_2, 1.0] {
        below = below.mul_add(square, L::splat(term));
    }
    let half = x.mul(L::splat(0.5));
    half.mul_add(bounded.mul(above).div(below), half)
}

/// A function of each value, in place; their number is a multiple of sixteen.
#[inline(always)]
fn apply<L: Lanes>(function: Function, values: &mut [f32]) {
    for lanes in values.as_chunks_mut::<LANES>().0 {
        let x = L::load(lanes);
        let value = match function {
            Function::GeluTanh => gelu_tanh(x),
            Function::Relu => x.max(L::splat(0.0)),
            Function::Tanh => tanh(x),
        };
        value.store(lanes);
    }
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`: Hendrycks and Gimpel, arXiv 1606.08415.
#[inline(always)]
fn gelu_tanh<L: Lanes>(x: L) -> L {
    let cubic = x.mul(x).mul_add(L::splat(0.044_715 * 0.797_884_6), L::splat(0.797_884_6));
    let half = x.mul(L::splat(0.5));
    half.mul_add(tanh(x.mul(cubic)), half)
}

/// `(1 - e) / (1 + e)` with `e = exp(-2 |x|)` and the sign of `x`; absolute error under 1e-6.
#[inline(always)]
fn tanh<L: Lanes>(x: L) -> L {
    tanh_above(x).sub(tanh_above(L::splat(0.0).sub(x)))
}

/// The hyperbolic tangent of what is positive; exactly zero of the rest.
#[inline(always)]
fn tanh_above<L: Lanes>(x: L) -> L {
    let one = L::splat(1.0);
    let power = exp2(x.max(L::splat(0.0)).mul(L::splat(-2.0 * std::f32::consts::LOG2_E)));
    one.sub(power).div(one.add(power))
}

#[inline(always)]
fn layer_norm<L: Lanes>(hidden: &mut [f32], delta: &[f32], norm: Norm<'_>, epsilon: f32, out: RowsMut<'_>) {
    let width = norm.gamma.len();
    let mut out = out.bytes.chunks_exact_mut(width).zip(out.units.iter_mut().zip(out.zeros));
    let (gamma, beta) = (norm.gamma.as_chunks::<LANES>().0, norm.beta.as_chunks::<LANES>().0);
    for (index, row) in hidden.chunks_exact_mut(width).enumerate() {
        let row = row.as_chunks_mut::<LANES>().0;
        let mut sum = L::splat(0.0);
        if delta.is_empty() {
            for lanes in row.iter() {
                sum = sum.add(L::load(lanes));
            }
        } else {
            let delta = delta[index * width..][..width].as_chunks::<LANES>().0;
            for (lanes, delta) in row.iter_mut().zip(delta) {
                let value = L::load(lanes).add(L::load(delta));
                value.store(lanes);
                sum = sum.add(value);
            }
        }
        let mean = L::splat(across(sum, |a, b| a + b) / width as f32);
        let mut squares = L::splat(0.0);
        for lanes in row.iter() {
            let value = L::load(lanes).sub(mean);
            squares = value.mul_add(value, squares);
        }
        let variance = across(squares, |a, b| a + b) / width as f32;
        let scale = L::splat(1.0 / (variance + epsilon).sqrt());
        let (mut least, mut most) = (L::splat(0.0), L::splat(0.0));
        for (lanes, (gamma, beta)) in row.iter_mut().zip(gamma.iter().zip(beta)) {
            let value = L::load(lanes).sub(mean).mul(scale).mul_add(L::load(gamma), L::load(beta));
            value.store(lanes);
            least = least.min(value);
            most = most.max(value);
        }
        if let Some((bytes, (unit, zero))) = out.next() {
            (*unit, *zero) = to_bytes(row, [least, most], bytes);
        }
    }
}

#[inline(always)]
fn quantize<L: Lanes>(input: &[f32], out: RowsMut<'_>) {
    if out.units.is_empty() {
        return;
    }
    let width = input.len() / out.units.len();
    let rows = input.chunks_exact(width).zip(out.bytes.chunks_exact_mut(width));
    for ((input, bytes), (unit, zero)) in rows.zip(out.units.iter_mut().zip(out.zeros)) {
        let input = input.as_chunks::<LANES>().0;
        let (mut least, mut most) = (L::splat(0.0), L::splat(0.0));
        for lanes in input {
            least = least.min(L::load(lanes));
            most = most.max(L::load(lanes));
        }
        (*unit, *zero) = to_bytes(input, [least, most], bytes);
    }
}

/// u8 with a zero point: 0 is exact, and the range from the least to the greatest value of the row, which are somewhere in the
/// lanes of `ends`, is cut into 255 steps. Gives what one of them is worth, and the zero point.
#[inline(always)]
fn to_bytes<L: Lanes>(input: &[[f32; LANES]], ends: [L; 2], bytes: &mut [u8]) -> (f32, i32) {
    let least = across(ends[0], |a, b| if a < b { a } else { b });
    let most = across(ends[1], |a, b| if a > b { a } else { b });
    let range = most - least;
    let steps = if range > 0.0 { 255.0 / range } else { 0.0 };
    // Rounded by the same addition as the values, on every machine.
    let offset = (-least * steps + ROUND) - ROUND;
    let (steps, shift) = (L::splat(steps), L::splat(ROUND + offset));
    let (bottom, top) = (L::splat(ROUND), L::splat(ROUND + 255.0));
    for (lanes, bytes) in input.iter().zip(bytes.as_chunks_mut::<LANES>().0) {
        L::load(lanes).mul_add(steps, shift).max(bottom).min(top).low_bytes(bytes);
    }
    (range / 255.0, offset as i32)
}
