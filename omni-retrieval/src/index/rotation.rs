//! A fixed random rotation, which spreads every direction evenly over all components before signs are taken.
//!
//! Four rounds of flipped signs, a Walsh-Hadamard transform over the largest power of two that fits (in turn from the
//! front and from the back), and, where that leaves a rest, a mix of the two halves: orthogonal, and a few thousand
//! additions where a matrix would need `n * n` products. Plain `f32` additions and products in one order, so that every
//! CPU gives the same bits.

/// Rounds; after four, no component of the input is recognisable in the output.
const ROUNDS: usize = 4;

/// Where the signs come from. Part of the format: codes in files depend on it.
const SEED: u64 = 0x6f6d_6e69_6c6c_6d31;

/// The rotation for vectors of one length, an even number.
#[derive(Debug, Clone)]
pub(super) struct Rotation {
    /// 1 or -1, `ROUNDS` times the length.
    signs: Vec<f32>,
    length: usize,
}

impl Rotation {
    /// The rotation for `length` components.
    pub(super) fn new(length: usize) -> Self {
        let mut state = SEED;
        let sign = |_| {
            // Xorshift64*: its top bit is its best.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            if state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 63 == 0 { 1.0 } else { -1.0 }
        };
        Self { signs: (0..ROUNDS * length).map(sign).collect(), length }
    }

    /// Rotates in place.
    pub(super) fn apply(&self, vector: &mut [f32]) {
        debug_assert_eq!(vector.len(), self.length);
        let power = if self.length.is_power_of_two() { self.length } else { self.length.next_power_of_two() / 2 };
        for (round, signs) in self.signs.chunks_exact(self.length).enumerate() {
            vector.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
            let start = if round % 2 == 0 { 0 } else { self.length - power };
            hadamard(&mut vector[start..start + power]);
            if power < self.length {
                let (left, right) = vector.split_at_mut(self.length / 2);
                for (a, b) in left.iter_mut().zip(right) {
                    (*a, *b) = ((*a + *b) * std::f32::consts::FRAC_1_SQRT_2, (*a - *b) * std::f32::consts::FRAC_1_SQRT_2);
                }
            }
        }
    }
}

/// The Walsh-Hadamard transform, scaled to keep lengths.
fn hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (values.len() as f32).sqrt();
    values.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_angles_are_kept_and_single_components_are_spread() {
        for length in [64, 128, 192, 384, 448, 768, 1088] {
            let rotation = Rotation::new(length);
            let vectors: Vec<Vec<f32>> = [0, 1, length - 1]
                .into_iter()
                .map(|at| {
                    let mut vector = vec![0.0; length];
                    vector[at] = 1.0;
                    rotation.apply(&mut vector);
                    vector
                })
                .collect();
            for (a, left) in vectors.iter().enumerate() {
                for (b, right) in vectors.iter().enumerate() {
                    let dot: f32 = left.iter().zip(right).map(|(x, y)| x * y).sum();
                    assert!((dot - f32::from(u8::from(a == b))).abs() < 1e-4, "{length}: {a} {b} {dot}");
                }
                let most = left.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                assert!(most < 6.0 / (length as f32).sqrt(), "{length}: {most}");
            }
        }
    }
}
