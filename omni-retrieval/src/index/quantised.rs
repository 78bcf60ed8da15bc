//! Vectors as rows of `i8`.
//!
//! A vector is divided by its largest magnitude, times 127, rounded to the nearest integer (ties to even); its scale is
//! one by the length of *that integer row*. So `scale * scale * dot` is the exact cosine of the two quantised vectors:
//! between -1 and 1, and 1 for a vector with itself. Queries are quantised the same way, which makes ranking integer
//! work that is equal on every CPU.

use super::code::round;
use super::format::ROW_ALIGNMENT;
use crate::error::{Error, Result};

/// A vector as integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantised {
    /// Padded with zeros to a multiple of [`ROW_ALIGNMENT`].
    pub(super) row: Vec<i8>,
    /// One by the length of `row`; 0 for a vector of zeros.
    pub(super) scale: f32,
}

/// Vectors as rows of integers, end to end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rows {
    /// Bytes of a row.
    pub(super) stride: usize,
    /// Rows of `i8`.
    pub(super) values: Vec<u8>,
    /// One by the length of each row.
    pub(super) scales: Vec<f32>,
}

impl Rows {
    /// Rows of `stride` bytes.
    pub(super) fn of(stride: usize, vectors: impl IntoIterator<Item = Quantised>) -> Self {
        let mut rows = Self { stride, ..Self::default() };
        vectors.into_iter().for_each(|vector| rows.push(&vector));
        rows
    }

    /// Adds one.
    pub(super) fn push(&mut self, vector: &Quantised) {
        self.values.extend_from_slice(bytemuck::cast_slice(&vector.row));
        self.scales.push(vector.scale);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    /// The values of one.
    pub(super) fn row(&self, number: u32) -> &[u8] {
        let start = number as usize * self.stride;
        &self.values[start..start + self.stride]
    }

    /// One with its scale.
    pub(super) fn vector(&self, number: u32) -> Quantised {
        Quantised { row: bytemuck::cast_slice(self.row(number)).to_vec(), scale: self.scales[number as usize] }
    }
}

/// Rounds a vector that has to have this many components and to be finite; messages call what it is of `what`.
pub(super) fn checked(vector: &[f32], dimensions: usize, what: &str) -> Result<Quantised> {
    if vector.len() != dimensions {
        let message =
            format!("vector: has {} components, the index has {dimensions}; embed with the index's model", vector.len());
        return Err(Error::bad_request(message));
    }
    if !vector.iter().all(|value| value.is_finite()) {
        return Err(Error::bad_request(format!("vector: holds a value that is not finite; embed the {what} again")));
    }
    Ok(quantise(vector))
}

/// Rounds a vector to integers.
pub(super) fn quantise(vector: &[f32]) -> Quantised {
    let max = vector.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let mut row: Vec<i8> = Vec::with_capacity(vector.len().next_multiple_of(ROW_ALIGNMENT));
    // Dividing first keeps the tiniest vectors (subnormal `max`) finite.
    row.extend(vector.iter().map(|value| if max > 0.0 { round(value / max * 127.0) as i8 } else { 0 }));
    row.resize(vector.len().next_multiple_of(ROW_ALIGNMENT), 0);
    let square: u64 = row.iter().map(|&value| u64::from(value.unsigned_abs()).pow(2)).sum();
    let scale = if square > 0 { 1.0 / (square as f64).sqrt() } else { 0.0 };
    Quantised { row, scale: scale as f32 }
}

/// The cosine of a query and a row with this scale.
pub(super) fn score(dot: i32, scale: f32, query: &Quantised) -> f32 {
    let score = dot as f32 * scale * query.scale;
    // A forged scale must not bring a NaN into the order.
    if score.is_finite() { score.clamp(-1.0, 1.0) } else { 0.0 }
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
