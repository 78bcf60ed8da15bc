//! Vectors as rows of `i8`, and the exact scan over them.
//!
//! A vector is divided by its largest magnitude, times 127, rounded to the nearest integer (ties to even); its scale is
//! one by the length of *that integer row*. So `scale * scale * dot` is the exact cosine of the two quantised vectors:
//! between -1 and 1, and 1 for a vector with itself. Queries are quantised the same way, which makes ranking integer
//! work that is equal on every CPU.

use std::ops::Range;

use rayon::prelude::*;

use super::format::{ROW_ALIGNMENT, Section, u32_at};
use super::kernels::Kernel;
use super::top::Top;
use super::view::View;
use crate::error::Result;

/// Rows of one call of a kernel; 48 KiB at 384 dimensions, so that they stay in the cache between checksum and product.
const BATCH: usize = 128;

/// Below this many rows one core is faster than waking the others.
const PARALLEL_ROWS: usize = 50_000;

/// Rows that one task scans at least.
const TASK_ROWS: u32 = 8192;

/// A vector as integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantised {
    /// Padded with zeros to a multiple of [`ROW_ALIGNMENT`].
    pub(super) row: Vec<i8>,
    /// One by the length of `row`; 0 for a vector of zeros.
    pub(super) scale: f32,
}

/// Rounds a vector to integers.
pub(super) fn quantise(vector: &[f32]) -> Quantised {
    let max = vector.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let mut row: Vec<i8> = Vec::with_capacity(vector.len().next_multiple_of(ROW_ALIGNMENT));
    // Dividing first keeps the tiniest vectors (subnormal `max`) finite.
    row.extend(vector.iter().map(|value| if max > 0.0 { (value / max * 127.0).round_ties_even() as i8 } else { 0 }));
    row.resize(vector.len().next_multiple_of(ROW_ALIGNMENT), 0);
    let square: u64 = row.iter().map(|&value| u64::from(value.unsigned_abs()).pow(2)).sum();
    let scale = if square > 0 { 1.0 / (square as f64).sqrt() } else { 0.0 };
    Quantised { row, scale: scale as f32 }
}

/// The `limit` rows of `ranges` with the highest cosine.
pub(super) fn scan(view: &View, kernel: Kernel, query: &Quantised, ranges: &[Range<u32>], limit: usize) -> Result<Top> {
    let rows: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    if rows < PARALLEL_ROWS {
        return ranges.iter().try_fold(Top::new(limit), |top, range| scan_range(view, kernel, query, range.clone(), top));
    }
    let tasks: Vec<Range<u32>> = ranges.iter().flat_map(|range| split(range.clone())).collect();
    let start = || Top::new(limit);
    let scanned = tasks.into_par_iter().try_fold(start, |top, task| scan_range(view, kernel, query, task, top));
    scanned.try_reduce(start, |left, right| Ok(left.merge(right)))
}

/// The cosine of one row.
pub(super) fn cosine(view: &View, kernel: Kernel, query: &Quantised, chunk: u32) -> Result<f32> {
    let mut cosine = 0.0;
    each(view, kernel, query, chunk..chunk + 1, |score, _| cosine = score)?;
    Ok(cosine)
}

fn scan_range(view: &View, kernel: Kernel, query: &Quantised, range: Range<u32>, mut top: Top) -> Result<Top> {
    each(view, kernel, query, range, |score, chunk| top.push(score, chunk))?;
    Ok(top)
}

fn each(view: &View, kernel: Kernel, query: &Quantised, range: Range<u32>, mut found: impl FnMut(f32, u32)) -> Result<()> {
    let stride = query.row.len();
    let mut dots = [0; BATCH];
    let mut start = range.start;
    while start < range.end {
        let count = ((range.end - start) as usize).min(BATCH);
        let rows = view.bytes(Section::Vectors, u64::from(start) * stride as u64, (count * stride) as u64)?;
        let scales = view.bytes(Section::Scales, u64::from(start) * 4, count as u64 * 4)?;
        kernel.dots(&query.row, rows, &mut dots[..count]);
        for (row, &dot) in dots[..count].iter().enumerate() {
            let scale = f32::from_bits(u32_at(scales, row * 4));
            let score = dot as f32 * scale * query.scale;
            // A forged scale must not bring a NaN into the order.
            found(if score.is_finite() { score.clamp(-1.0, 1.0) } else { 0.0 }, start + row as u32);
        }
        start += count as u32;
    }
    Ok(())
}

fn split(range: Range<u32>) -> impl Iterator<Item = Range<u32>> {
    let end = range.end;
    range.step_by(TASK_ROWS as usize).map(move |start| start..end.min(start.saturating_add(TASK_ROWS)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantised_vector_keeps_its_direction(vector in proptest::collection::vec(-1.0_f32..1.0, 1..500)) {
            let quantised = quantise(&vector);
            prop_assert!(quantised.row.iter().all(|&value| value >= -127));
            let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            prop_assume!(length > 1e-3);
            let dot: f32 = vector.iter().zip(&quantised.row).map(|(&v, &r)| v * f32::from(r)).sum();
            prop_assert!(dot * quantised.scale / length > 0.9999);
        }
    }

    #[test]
    fn odd_vectors_are_harmless() {
        assert_eq!(quantise(&[0.0; 384]).scale, 0.0);
        let tiny = quantise(&[f32::MIN_POSITIVE / 4.0, 0.0]);
        assert_eq!((tiny.row[0], tiny.scale), (127, 1.0 / 127.0));
        assert_eq!(quantise(&[f32::MAX, -f32::MAX]).row[..2], [127, -127]);
        // 63.5 is a tie: to even.
        assert_eq!(quantise(&[1.0, 0.5, -0.5]).row[..3], [127, 64, -64]);
    }
}
