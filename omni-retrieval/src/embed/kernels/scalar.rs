//! Portable lanes: the definition that the others have to equal, and the kernel of machines without SIMD.

use super::{LANES, Lanes, PanelOrder, Share};

/// Sixteen floats in an array.
#[derive(Clone, Copy)]
pub(super) struct Scalar([f32; LANES]);

impl Scalar {
    #[inline(always)]
    fn zip(self, other: Self, with: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| with(self.0[lane], other.0[lane])))
    }
}

impl Lanes for Scalar {
    const ROWS: usize = 4;
    const ROWS_F32: usize = 4;
    const COLUMNS_F32: usize = 1;
    const SHIFT: i32 = 0;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }
    #[inline(always)]
    fn interleave(self, other: Self) -> [Self; 2] {
        let from =
            |first: usize| Self(std::array::from_fn(|lane| if lane % 2 == 0 { self.0 } else { other.0 }[first + lane / 2]));
        [from(0), from(LANES / 2)]
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], term.0[lane])))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        Self(self.0.map(|lane| f32::from_bits((lane.to_bits() << 23).wrapping_add(127 << 23))))
    }
    #[inline(always)]
    fn low_bytes(self, to: &mut [u8; LANES]) {
        *to = self.0.map(|lane| lane.to_bits() as u8);
    }
    #[inline(always)]
    fn dequantize(acc: &[i32; LANES], sums: &[i32; LANES], zero: i32) -> Self {
        Self(std::array::from_fn(|lane| acc[lane].wrapping_sub(zero.wrapping_mul(sums[lane])) as f32))
    }

    #[inline(always)]
    fn dot<const R: usize>(rows: [&[u8]; R], panel: &[i8], _: Option<PanelOrder<'_>>, _: Share, out: &mut [[i32; 64]; R]) {
        let groups = panel.len() / 256;
        for (row, out) in rows.iter().zip(out) {
            *out = [0; 64];
            for (strip, out) in panel.chunks_exact(groups * 64).zip(out.as_chunks_mut::<16>().0) {
                for (four, group) in row.as_chunks::<4>().0.iter().zip(strip.as_chunks::<64>().0) {
                    for (out, weights) in out.iter_mut().zip(group.as_chunks::<4>().0) {
                        for (&value, &weight) in four.iter().zip(weights) {
                            *out += i32::from(value) * i32::from(weight);
                        }
                    }
                }
            }
        }
    }
}
