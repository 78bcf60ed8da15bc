//! Weights as the kernels read them.

use std::sync::OnceLock;

use super::order::Order;

/// Scale and shift of a LayerNorm.
#[derive(Clone, Copy)]
pub(in super::super) struct Norm<'a> {
    pub(in super::super) gamma: &'a [f32],
    pub(in super::super) beta: &'a [f32],
}

/// int8 weights: strips of 16 columns; in a strip, groups of four rows; in a group, the four weights of a column side by side.
#[derive(Clone, Copy)]
pub(in super::super) struct MatrixI8<'a> {
    /// Inputs, a multiple of 64.
    pub(in super::super) rows: usize,
    pub(in super::super) weights: &'a [i8],
    /// What one unit of a column is worth.
    pub(in super::super) scales: &'a [f32],
    /// Sum of a column's weights: what the zero point of the activations has to be taken from.
    pub(in super::super) sums: &'a [i32],
    pub(in super::super) bias: &'a [f32],
    /// How AVX2 takes the weights, once that was worth finding out.
    pub(in super::super) order: &'a OnceLock<Order>,
}

/// f32 weights: panels of 64 columns, row after row.
#[derive(Clone, Copy)]
pub(in super::super) struct MatrixF32<'a> {
    pub(in super::super) rows: usize,
    pub(in super::super) weights: &'a [f32],
    pub(in super::super) bias: &'a [f32],
}
