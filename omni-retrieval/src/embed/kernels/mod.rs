//! The arithmetic of the encoder, for the instructions that this machine has.
//!
//! One interface: [`run`] takes an [`Op`]. All loops are written once, in [`ops`], over sixteen f32 lanes ([`Lanes`]); an
//! instruction set brings the lanes and one integer routine. Every lane operation is exactly defined (IEEE, fused multiply-add
//! where one is written, no reassociation), and sums across lanes go through one fixed tree, so that all kernels give the same
//! bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod ops;
mod order;
mod product;
mod scalar;

use std::ops::Range;

use crate::cpu::{Kernel, Set};
pub(super) use matrix::{MatrixF32, MatrixI8, Norm};
pub(super) use order::Order;
use order::PanelOrder;

/// f32 values that are worked on together, on every machine.
pub(super) const LANES: usize = 16;

/// Does one step of the encoder.
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "calls into code for one instruction set")
)]
pub(super) fn run(kernel: Kernel, op: Op<'_>) {
    match kernel.set() {
        Set::Scalar => ops::run::<scalar::Scalar>(op),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: there is a `Kernel` of this set only on a CPU that has the instructions; so in all of these.
        Set::Avx2 => unsafe { avx2::run(op) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Set::AvxVnni => unsafe { avx2::run_vnni(op) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Set::Avx512 => unsafe { avx512::run(op) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Set::Neon => unsafe { neon::run(op) },
    }
}

/// One step of the encoder over a few rows (tokens). Widths are multiples of 64, those of a head multiples of 16.
pub(super) enum Op<'a> {
    /// int8 matrix product, bias, and GELU where asked.
    LinearI8 { input: Rows<'a>, matrix: MatrixI8<'a>, gelu: bool, out: &'a mut [f32] },
    /// f32 matrix product, bias, and GELU where asked.
    LinearF32 { input: &'a [f32], matrix: MatrixF32<'a>, gelu: bool, out: &'a mut [f32] },
    /// Self-attention of some `rows` of one sequence, of which `qkv` has all (query, key and value side by side), to rows of
    /// context.
    Attention {
        qkv: &'a [f32],
        rows: Range<usize>,
        heads: usize,
        queries: &'a mut [f32],
        scores: &'a mut [f32],
        out: &'a mut [f32],
    },
    /// `hidden = LayerNorm(hidden + delta)`, row by row; an empty `delta` is zero. What comes out goes to `out` too, unless that
    /// is empty.
    Norm { hidden: &'a mut [f32], delta: &'a [f32], norm: Norm<'a>, epsilon: f32, out: RowsMut<'a> },
    /// f32 rows to u8 rows, unless `out` is empty.
    Quantize { input: &'a [f32], out: RowsMut<'a> },
    /// A function of each value, in place.
    Apply { function: Function, values: &'a mut [f32] },
}

/// What is not part of a product, because few models need it.
#[derive(Clone, Copy)]
pub(super) enum Function {
    /// GELU by way of a hyperbolic tangent.
    GeluTanh,
    /// What is positive.
    Relu,
    /// The hyperbolic tangent.
    Tanh,
}

/// Quantised rows: `value = unit * (byte - zero)`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) units: &'a [f32],
    pub(super) zeros: &'a [i32],
}

/// Where quantised rows go.
pub(super) struct RowsMut<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) units: &'a mut [f32],
    pub(super) zeros: &'a mut [i32],
}

/// Sixteen f32, and the integer routine that goes with them.
///
/// The methods of an instruction set's lanes may only run where its features were detected; [`run`] is the only way to them.
pub(super) trait Lanes: Copy {
    /// Rows that [`Self::dot`] likes to take at once, at most 8.
    const ROWS: usize;
    /// Rows of an f32 tile, at most 8.
    const ROWS_F32: usize;
    /// Sets of lanes in a row of an f32 tile: 1, 2 or 4.
    const COLUMNS_F32: usize;
    /// What [`Self::dot`] takes off each byte of a row first.
    const SHIFT: i32;
    /// Rows that it likes to take at once where it is given an order, at most 8; none, and it takes no order.
    const ROWS_IN_ORDER: usize = 0;

    fn splat(value: f32) -> Self;
    fn load(from: &[f32; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    /// The lanes of both in turn: those of the lower halves, then those of the upper ones.
    fn interleave(self, other: Self) -> [Self; 2];
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self * factor + term`, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;
    /// 2 to the power of the integer in the low bits of each lane (see [`ops::ROUND`]).
    fn pow2(self) -> Self;
    /// The low byte of each lane's bits.
    fn low_bytes(self, to: &mut [u8; LANES]);
    /// `acc - zero * sum`, as f32.
    fn dequantize(acc: &[i32; LANES], sums: &[i32; LANES], zero: i32) -> Self;
    /// Integer dot products of `R` rows with the 64 columns of a panel; every row has as many bytes as the panel has rows. An
    /// order is the panel's.
    fn dot<const R: usize>(rows: [&[u8]; R], panel: &[i8], order: Option<PanelOrder<'_>>, ahead: Share, out: &mut [[i32; 64]; R]);
}

/// The part of the next panel, which comes from far away, that one of the tiles of this one may ask for.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "AVX-512 alone asks for it"))]
#[derive(Clone, Copy)]
pub(super) struct Share {
    tile: usize,
    tiles: usize,
}
