//! Products of f32 matrices, in tiles that fit the registers of a kernel.

use super::{LANES, Lanes};

/// Where the elements of a product go.
pub(super) trait Sink<L> {
    /// Takes sixteen elements of one row.
    fn put(&mut self, row: usize, set: usize, value: L);
}

/// The left side of a product: `rows` that are `across` floats apart, whose elements are `down` apart. One of the two is 1.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) rows: usize,
    pub(super) depth: usize,
}

/// The right side: `depth` rows, `stride` apart, of `sets` times sixteen columns.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) sets: usize,
}

/// f32 matrix product; every element is one chain of fused multiply-adds over the depth, whatever the tile.
#[inline(always)]
pub(super) fn product<L: Lanes, S: Sink<L>>(left: Left<'_>, right: Right<'_>, sink: &mut S) {
    let mut set = 0;
    while set < right.sets {
        let sets = match right.sets - set {
            4.. if L::COLUMNS_F32 >= 4 => 4,
            2.. if L::COLUMNS_F32 >= 2 => 2,
            _ => 1,
        };
        match sets {
            4 => strip::<L, S, 4>(left, right, set, sink),
            2 => strip::<L, S, 2>(left, right, set, sink),
            _ => strip::<L, S, 1>(left, right, set, sink),
        }
        set += sets;
    }
}

#[inline(always)]
fn strip<L: Lanes, S: Sink<L>, const C: usize>(left: Left<'_>, right: Right<'_>, set: usize, sink: &mut S) {
    if C > L::COLUMNS_F32 {
        return;
    }
    let mut row = 0;
    while row < left.rows {
        let rows = (left.rows - row).min(L::ROWS_F32);
        match rows {
            6.. => tile_f32::<L, S, 6, C>(left, row, right, set, sink),
            5 => tile_f32::<L, S, 5, C>(left, row, right, set, sink),
            4 => tile_f32::<L, S, 4, C>(left, row, right, set, sink),
            3 => tile_f32::<L, S, 3, C>(left, row, right, set, sink),
            2 => tile_f32::<L, S, 2, C>(left, row, right, set, sink),
            _ => tile_f32::<L, S, 1, C>(left, row, right, set, sink),
        }
        row += rows;
    }
}

#[inline(always)]
fn tile_f32<L: Lanes, S: Sink<L>, const R: usize, const C: usize>(
    left: Left<'_>,
    first: usize,
    right: Right<'_>,
    set: usize,
    sink: &mut S,
) {
    if R > L::ROWS_F32 {
        return;
    }
    let mut acc = [[L::splat(0.0); C]; R];
    let columns = right.values[set * LANES..].chunks(right.stride).take(left.depth);
    if left.down == 1 {
        let rows: [&[f32]; R] = std::array::from_fn(|row| &left.values[(first + row) * left.across..][..left.depth]);
        for (depth, columns) in columns.enumerate() {
            accumulate(std::array::from_fn(|row| rows[row][depth]), columns, &mut acc);
        }
    } else {
        for (values, columns) in left.values.chunks(left.down).zip(columns) {
            if let Some(values) = values[first..].first_chunk::<R>() {
                accumulate(*values, columns, &mut acc);
            }
        }
    }
    for (row, acc) in acc.into_iter().enumerate() {
        for (column, value) in acc.into_iter().enumerate() {
            sink.put(first + row, set + column, value);
        }
    }
}

/// One step down the depth of a tile.
#[inline(always)]
fn accumulate<L: Lanes, const R: usize, const C: usize>(values: [f32; R], columns: &[f32], acc: &mut [[L; C]; R]) {
    let mut lanes = [L::splat(0.0); C];
    for (lanes, columns) in lanes.iter_mut().zip(columns[..C * LANES].as_chunks::<LANES>().0) {
        *lanes = L::load(columns);
    }
    for (value, acc) in values.into_iter().zip(acc) {
        let value = L::splat(value);
        for (lanes, acc) in lanes.into_iter().zip(acc) {
            *acc = value.mul_add(lanes, *acc);
        }
    }
}
