//! NEON with the dot product of ARMv8.2 (Graviton2 and later, Apple M1 and later): four registers are one set of lanes.
//!
//! `sdot` takes signed bytes on both sides, so the activations are moved down by 128 and the zero point with them. Its intrinsic
//! is not stable in the Rust that we use; one line of assembly stands for it.
#![expect(unsafe_code, reason = "SIMD")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::{LANES, Lanes, Op, PanelOrder, Share, ops};

#[target_feature(enable = "neon,dotprod")]
pub(super) fn run(op: Op<'_>) {
    ops::run::<Neon>(op);
}

/// Four registers. Its methods are only reached through [`run`], so the features are there: the argument of every block below.
#[derive(Clone, Copy)]
pub(super) struct Neon([float32x4_t; 4]);

impl Neon {
    #[inline(always)]
    fn zip(self, other: Self, with: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Self {
        Self(std::array::from_fn(|part| with(self.0[part], other.0[part])))
    }
}

impl Lanes for Neon {
    const ROWS: usize = 4;
    const ROWS_F32: usize = 6;
    const COLUMNS_F32: usize = 1;
    const SHIFT: i32 = 128;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: features present (see `Neon`).
        Self([unsafe { vdupq_n_f32(value) }; 4])
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: features present; the four parts are the sixteen floats of `from`.
        Self(std::array::from_fn(|part| unsafe { vld1q_f32(from.as_ptr().add(part * 4)) }))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        for (part, lanes) in self.0.into_iter().enumerate() {
            // SAFETY: features present; the four parts are the sixteen floats of `to`.
            unsafe { vst1q_f32(to.as_mut_ptr().add(part * 4), lanes) }
        }
    }
    #[inline(always)]
    fn interleave(self, other: Self) -> [Self; 2] {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        // SAFETY: features present (see `Neon`).
        unsafe {
            let lower = [vzip1q_f32(a, e), vzip2q_f32(a, e), vzip1q_f32(b, f), vzip2q_f32(b, f)];
            let upper = [vzip1q_f32(c, g), vzip2q_f32(c, g), vzip1q_f32(d, h), vzip2q_f32(d, h)];
            [Self(lower), Self(upper)]
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: features present (see `Neon`).
        self.zip(other, |a, b| unsafe { vaddq_f32(a, b) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: features present (see `Neon`).
        self.zip(other, |a, b| unsafe { vsubq_f32(a, b) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: features present (see `Neon`).
        self.zip(other, |a, b| unsafe { vmulq_f32(a, b) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: features present (see `Neon`).
        self.zip(other, |a, b| unsafe { vdivq_f32(a, b) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: features present (see `Neon`).
        Self(std::array::from_fn(|part| unsafe { vfmaq_f32(term.0[part], self.0[part], factor.0[part]) }))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // Not `vminq`: like the other kernels this takes `other` where the two do not compare.
        // SAFETY: features present (see `Neon`).
        self.zip(other, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: features present (see `Neon`).
        self.zip(other, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) })
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        // SAFETY: features present (see `Neon`).
        Self(self.0.map(|lanes| unsafe {
            vreinterpretq_f32_s32(vaddq_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(lanes)), vdupq_n_s32(127 << 23)))
        }))
    }
    #[inline(always)]
    fn low_bytes(self, to: &mut [u8; LANES]) {
        // SAFETY: features present; writes the sixteen bytes of `to`.
        unsafe {
            let words = |part: usize| vmovn_u32(vreinterpretq_u32_f32(self.0[part]));
            let low = vmovn_u16(vcombine_u16(words(0), words(1)));
            let high = vmovn_u16(vcombine_u16(words(2), words(3)));
            vst1q_u8(to.as_mut_ptr(), vcombine_u8(low, high));
        }
    }
    #[inline(always)]
    fn dequantize(acc: &[i32; LANES], sums: &[i32; LANES], zero: i32) -> Self {
        // SAFETY: features present; the four parts are the sixteen integers of `acc` and of `sums`.
        Self(std::array::from_fn(|part| unsafe {
            let (acc, sums) = (vld1q_s32(acc.as_ptr().add(part * 4)), vld1q_s32(sums.as_ptr().add(part * 4)));
            vcvtq_f32_s32(vmlsq_s32(acc, sums, vdupq_n_s32(zero)))
        }))
    }

    #[inline(always)]
    fn dot<const R: usize>(rows: [&[u8]; R], panel: &[i8], _: Option<PanelOrder<'_>>, _: Share, out: &mut [[i32; 64]; R]) {
        let groups = panel.len() / 256;
        assert!(rows.iter().all(|row| row.len() == groups * 4), "rows and panel differ in length");
        // SAFETY: features present. Group `g` reads bytes 4g..4g+4 of each row and 64g..64g+64 of each of the panel's four
        // strips; both have `groups` groups by the assertion. The stores fill the 64 integers of each row of `out`.
        unsafe {
            let starts = rows.map(<[u8]>::as_ptr);
            for strip in 0..4 {
                let mut acc = [[vdupq_n_s32(0); 4]; R];
                for group in 0..groups {
                    let from = panel.as_ptr().add((strip * groups + group) * 64);
                    let weights: [int8x16_t; 4] = std::array::from_fn(|column| vld1q_s8(from.add(column * 16)));
                    for (start, acc) in starts.iter().zip(&mut acc) {
                        let four = vdupq_n_u32(start.add(group * 4).cast::<u32>().read_unaligned() ^ 0x8080_8080);
                        for (acc, weights) in acc.iter_mut().zip(weights) {
                            *acc = sdot(*acc, weights, vreinterpretq_s8_u32(four));
                        }
                    }
                }
                for (out, acc) in out.iter_mut().zip(acc) {
                    for (part, acc) in acc.into_iter().enumerate() {
                        vst1q_s32(out.as_mut_ptr().add(strip * 16 + part * 4), acc);
                    }
                }
            }
        }
    }
}

/// `acc[i] + a[4i..4i+4] . b[4i..4i+4]`.
///
/// # Safety
/// The processor has the dot product.
#[inline(always)]
unsafe fn sdot(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes nothing but the three registers; the instruction is there by the caller's promise.
    unsafe {
        asm!(".arch_extension dotprod", "sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b", acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}
