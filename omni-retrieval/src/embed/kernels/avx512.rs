//! AVX-512 with VNNI (Intel since 2019, AMD since Zen 4): one register is one set of lanes; `vpdpbusd` does 64 products.
#![expect(unsafe_code, reason = "SIMD")]

use std::arch::x86_64::*;

use super::{LANES, Lanes, Op, PanelOrder, Share, ops};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(super) fn run(op: Op<'_>) {
    ops::run::<Avx512>(op);
}

/// One register. Its methods are only reached through [`run`], so the features are there: the argument of every block below.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

impl Lanes for Avx512 {
    const ROWS: usize = 6;
    const ROWS_F32: usize = 6;
    const COLUMNS_F32: usize = 4;
    const SHIFT: i32 = 0;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: features present; reads the sixteen floats of `from`, unaligned.
        Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: features present; writes the sixteen floats of `to`, unaligned.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn interleave(self, other: Self) -> [Self; 2] {
        // SAFETY: features present (see `Avx512`).
        unsafe {
            let lower = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let upper = _mm512_add_epi32(lower, _mm512_set1_epi32(8));
            [lower, upper].map(|lanes| Self(_mm512_permutex2var_ps(self.0, lanes, other.0)))
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        // SAFETY: features present (see `Avx512`).
        Self(unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(self.0));
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(127 << 23)))
        })
    }
    #[inline(always)]
    fn low_bytes(self, to: &mut [u8; LANES]) {
        // SAFETY: features present; writes the sixteen bytes of `to`, unaligned.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(self.0))) }
    }
    #[inline(always)]
    fn dequantize(acc: &[i32; LANES], sums: &[i32; LANES], zero: i32) -> Self {
        // SAFETY: features present; reads the sixteen integers of `acc` and of `sums`, unaligned.
        Self(unsafe {
            let shift = _mm512_mullo_epi32(_mm512_loadu_si512(sums.as_ptr().cast()), _mm512_set1_epi32(zero));
            _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(acc.as_ptr().cast()), shift))
        })
    }

    #[inline(always)]
    fn dot<const R: usize>(rows: [&[u8]; R], panel: &[i8], _: Option<PanelOrder<'_>>, ahead: Share, out: &mut [[i32; 64]; R]) {
        let groups = panel.len() / 256;
        assert!(rows.iter().all(|row| row.len() == groups * 4), "rows and panel differ in length");
        // SAFETY: features present. Group `g` reads bytes 4g..4g+4 of each row and 64g..64g+64 of each of the panel's four
        // strips; both have `groups` groups by the assertion. The stores fill the 64 integers of each row of `out`.
        unsafe {
            let mut acc = [[_mm512_setzero_si512(); 4]; R];
            let starts = rows.map(<[u8]>::as_ptr);
            // Evenly, and rather too few lines than too many: the memory reads on by itself, and each costs a load.
            let lines = (4 / ahead.tiles).max(1);
            let next = panel.as_ptr().wrapping_add(panel.len() + panel.len() * ahead.tile / ahead.tiles);
            for group in 0..groups {
                let mut weights = [_mm512_setzero_si512(); 4];
                // The address of the next panel is no secret, and a prefetch never faults.
                for line in 0..lines {
                    _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add((group * lines + line) * 64));
                }
                for (strip, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(panel.as_ptr().add((strip * groups + group) * 64).cast());
                }
                for (start, acc) in starts.iter().zip(&mut acc) {
                    let four = _mm512_set1_epi32(start.add(group * 4).cast::<i32>().read_unaligned());
                    for (acc, weights) in acc.iter_mut().zip(weights) {
                        *acc = _mm512_dpbusd_epi32(*acc, four, weights);
                    }
                }
            }
            for (out, acc) in out.iter_mut().zip(acc) {
                for (strip, acc) in acc.into_iter().enumerate() {
                    _mm512_storeu_si512(out.as_mut_ptr().add(strip * 16).cast(), acc);
                }
            }
        }
    }
}
