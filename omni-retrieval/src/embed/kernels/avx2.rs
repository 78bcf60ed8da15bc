//! AVX2 with FMA (Intel since 2013, AMD since 2015), with or without AVX-VNNI: two registers are one set of lanes.
//!
//! VNNI's product of bytes is exact. AVX2's own, `vpmaddubsw`, saturates at 16 bits, and then no longer equals the other kernels.
//! Where it may, or where nobody has looked (`order.rs`), both sides are widened to 16 bits instead and multiplied by `vpmaddwd`,
//! which cannot overflow: |255 * 127 * 2| fits 32 bits a million times over.
#![expect(unsafe_code, reason = "SIMD")]

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::sync::atomic::{Ordering, compiler_fence};

use super::order::{PIECE, Take, WAYS};
use super::{LANES, Lanes, Op, PanelOrder, Share, ops};

#[target_feature(enable = "avx2,fma")]
pub(super) fn run(op: Op<'_>) {
    ops::run::<Avx2<false>>(op);
}

#[target_feature(enable = "avx2,fma,avxvnni")]
pub(super) fn run_vnni(op: Op<'_>) {
    ops::run::<Avx2<true>>(op);
}

/// Groups of four values that are widened together: six rows of them take 4.5 KiB, and the weights that go with them 24.
const WIDENED: usize = 96;

/// Two registers. Its methods are only reached through [`run`] and, with `VNNI`, [`run_vnni`], so the features are there: the
/// argument of every block below.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: bool>(__m256, __m256);

impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    const ROWS: usize = 6;
    const ROWS_F32: usize = 6;
    const COLUMNS_F32: usize = 1;
    const SHIFT: i32 = 0;
    const ROWS_IN_ORDER: usize = if VNNI { 0 } else { 8 };

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: features present; reads the sixteen floats of `from`, unaligned.
        unsafe { Self(_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: features present; writes the sixteen floats of `to`, unaligned.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), self.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
        }
    }
    #[inline(always)]
    fn interleave(self, other: Self) -> [Self; 2] {
        // SAFETY: features present (see `Avx2`).
        unsafe {
            // Within halves of a register: their lanes 0 and 1, then 2 and 3.
            let [low, high] = [_mm256_unpacklo_ps(self.0, other.0), _mm256_unpackhi_ps(self.0, other.0)];
            let lower = Self(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
            let [low, high] = [_mm256_unpacklo_ps(self.1, other.1), _mm256_unpackhi_ps(self.1, other.1)];
            let upper = Self(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
            [lower, upper]
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, term.0), _mm256_fmadd_ps(self.1, factor.1, term.1)) }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        // SAFETY: features present (see `Avx2`).
        unsafe {
            let bias = _mm256_set1_epi32(127 << 23);
            let left = _mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0)), bias);
            let right = _mm256_add_epi32(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.1)), bias);
            Self(_mm256_castsi256_ps(left), _mm256_castsi256_ps(right))
        }
    }
    #[inline(always)]
    fn low_bytes(self, to: &mut [u8; LANES]) {
        // SAFETY: features present; writes the sixteen bytes of `to`, unaligned.
        unsafe {
            let low = _mm256_set1_epi32(0xff);
            let left = _mm256_and_si256(_mm256_castps_si256(self.0), low);
            let right = _mm256_and_si256(_mm256_castps_si256(self.1), low);
            // Packing works within halves of a register: the quarters come out as 0 2 1 3.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(left, right));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }
    #[inline(always)]
    fn dequantize(acc: &[i32; LANES], sums: &[i32; LANES], zero: i32) -> Self {
        // SAFETY: features present; reads the sixteen integers of `acc` and of `sums`, unaligned.
        unsafe {
            let zero = _mm256_set1_epi32(zero);
            let mut halves = [_mm256_setzero_ps(); 2];
            for (at, half) in halves.iter_mut().enumerate() {
                let shift = _mm256_mullo_epi32(_mm256_loadu_si256(sums.as_ptr().add(at * 8).cast()), zero);
                *half = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_loadu_si256(acc.as_ptr().add(at * 8).cast()), shift));
            }
            Self(halves[0], halves[1])
        }
    }

    #[inline(always)]
    fn dot<const R: usize>(rows: [&[u8]; R], panel: &[i8], order: Option<PanelOrder<'_>>, _: Share, out: &mut [[i32; 64]; R]) {
        if VNNI {
            return dot_vnni(rows, panel, out);
        }
        if let Some(order) = order {
            return dot_in_order(rows, panel, order, out);
        }
        let groups = panel.len() / 256;
        assert!(rows.iter().all(|row| row.len() == groups * 4), "rows and panel differ in length");
        assert!(groups.is_multiple_of(4), "widths have to be multiples of 16");
        // The rows are widened once a panel, in pieces that stay in the nearest cache, and not once a strip.
        let mut wide = [[MaybeUninit::<__m256i>::uninit(); WIDENED / 4]; R];
        *out = [[0; 64]; R];
        for first in (0..groups).step_by(WIDENED) {
            let piece = (groups - first).min(WIDENED);
            for (row, wide) in rows.iter().zip(&mut wide) {
                for (bytes, wide) in row[first * 4..].as_chunks::<16>().0.iter().zip(wide) {
                    // SAFETY: features present; reads the sixteen bytes, unaligned.
                    wide.write(unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes.as_ptr().cast())) });
                }
            }
            let starts: [*const i64; R] = std::array::from_fn(|row| wide[row].as_ptr().cast());
            for half_strip in 0..8 {
                // SAFETY: features present. Group `g` of a half strip is 32 bytes at 64g, within the panel by the assertion. The
                // first `piece` groups of each wide row were written above: `piece` is a multiple of four, as `groups` and
                // `WIDENED` are. The sums are eight of the 64 integers of each row of `out`.
                unsafe {
                    // Each register holds the halves of four dot products. Two weights, a row's four values, a product and twelve
                    // sums: all sixteen registers.
                    let mut acc = [[_mm256_setzero_si256(); 2]; R];
                    let from = panel.as_ptr().add((half_strip / 2 * groups + first) * 64 + half_strip % 2 * 32);
                    for group in 0..piece {
                        // The next panel, as in the AVX-512 kernel.
                        _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(group * 64 + panel.len()));
                        let weights = [
                            _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(group * 64).cast())),
                            _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(group * 64 + 16).cast())),
                        ];
                        for (start, acc) in starts.iter().zip(&mut acc) {
                            let four = _mm256_set1_epi64x(start.add(group).read());
                            for (acc, weights) in acc.iter_mut().zip(weights) {
                                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(four, weights));
                            }
                        }
                    }
                    for (out, [left, right]) in out.iter_mut().zip(acc) {
                        let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(left, right));
                        let out = out.as_mut_ptr().add(half_strip * 8).cast();
                        _mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), sums));
                    }
                }
            }
        }
    }
}

/// [`Lanes::dot`] with AVX-VNNI: one instruction for 32 products.
#[inline(always)]
fn dot_vnni<const R: usize>(rows: [&[u8]; R], panel: &[i8], out: &mut [[i32; 64]; R]) {
    let groups = panel.len() / 256;
    assert!(rows.iter().all(|row| row.len() == groups * 4), "rows and panel differ in length");
    let starts = rows.map(<[u8]>::as_ptr);
    for strip in 0..4 {
        // SAFETY: features present; this is only called where they are. Group `g` reads bytes 4g..4g+4 of each row and 64g..64g+64
        // of the strip; both have `groups` groups by the assertion. The stores fill sixteen of the 64 integers of each row of
        // `out`.
        unsafe {
            // Six rows: two weights, a row's four values and twelve sums.
            let mut acc = [[_mm256_setzero_si256(); 2]; R];
            let from = panel.as_ptr().add(strip * groups * 64);
            for group in 0..groups {
                let at = from.add(group * 64);
                // The next panel, as in the AVX-512 kernel.
                _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(panel.len()));
                let weights = [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(32).cast())];
                for (start, acc) in starts.iter().zip(&mut acc) {
                    let four = _mm256_set1_epi32(start.add(group * 4).cast::<i32>().read_unaligned());
                    for (acc, weights) in acc.iter_mut().zip(weights) {
                        *acc = _mm256_dpbusd_avx_epi32(*acc, four, weights);
                    }
                }
            }
            for (out, acc) in out.iter_mut().zip(acc) {
                for (half, acc) in acc.into_iter().enumerate() {
                    _mm256_storeu_si256(out.as_mut_ptr().add(strip * 16 + half * 8).cast(), acc);
                }
            }
        }
    }
}

/// [`Lanes::dot`] in an order that makes `vpmaddubsw` exact: five instructions for 64 products of most groups, not eight. Of the
/// groups that stay there are too few to widen the rows before, so even and odd bytes are taken apart where they are.
#[inline(always)]
fn dot_in_order<const R: usize>(rows: [&[u8]; R], panel: &[i8], order: PanelOrder<'_>, out: &mut [[i32; 64]; R]) {
    let groups = panel.len() / 256;
    assert!(rows.iter().all(|row| row.len() == groups * 4), "rows and panel differ in length");
    assert!(order.groups() == groups, "the order is that of another panel");
    assert!(groups.is_multiple_of(8), "widths have to be multiples of 32");
    *out = [[0; 64]; R];
    // Each row in all ways, a piece at a time, which stays in the nearest cache.
    let mut ways = [[MaybeUninit::<__m256i>::uninit(); WAYS.len() * PIECE / 8]; R];
    for (piece, first) in (0..groups).step_by(PIECE).enumerate() {
        let length = (groups - first).min(PIECE);
        // SAFETY: features present; this is only called where they are. Each row has `length / 8` times 32 bytes from the piece's
        // first group on. A take is a group of its piece in one of the ways: its inputs are among those that were written just
        // before, its weights the first or the last 32 of 64 bytes within the panel. The sums are eight of the 64 integers of each
        // row of `out`.
        unsafe {
            let fours = _mm256_set_epi32(0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0, 0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0);
            let mut masks = [fours; WAYS.len()];
            for (mask, way) in masks.iter_mut().zip(WAYS) {
                *mask = _mm256_add_epi8(fours, _mm256_set1_epi32(i32::from_le_bytes(way)));
            }
            for (row, ways) in rows.iter().zip(&mut ways) {
                for at in 0..length / 8 {
                    let bytes = _mm256_loadu_si256(row.as_ptr().add(first * 4 + at * 32).cast());
                    for (way, mask) in masks.iter().enumerate() {
                        ways[way * PIECE / 8 + at].write(_mm256_shuffle_epi8(bytes, *mask));
                    }
                }
            }
            let starts: [*const i32; R] = std::array::from_fn(|row| ways[row].as_ptr().cast());
            for half_strip in 0..8 {
                let (twos, exact, others) = order.piece(half_strip, piece);
                let from = panel.as_ptr().add((half_strip / 2 * groups + first) * 64 + half_strip % 2 * 32);
                // The next panel, as in the AVX-512 kernel, an eighth each time.
                let next = panel.as_ptr().wrapping_add(panel.len() + first * 256 + half_strip * length * 32);
                for line in (0..length * 32).step_by(64) {
                    _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line));
                }
                let mut sums = [_mm256_setzero_si256(); R];
                for &[left, right] in twos {
                    let a = _mm256_shuffle_epi8(load(from, left), *mask(&masks, left));
                    let b = _mm256_shuffle_epi8(load(from, right), *mask(&masks, right));
                    let (left, right) = (usize::from(left.inputs), usize::from(right.inputs));
                    for (start, sum) in starts.iter().zip(&mut sums) {
                        let left = _mm256_maddubs_epi16(_mm256_set1_epi32(start.add(left).read()), a);
                        let right = _mm256_maddubs_epi16(_mm256_set1_epi32(start.add(right).read()), b);
                        let both = _mm256_madd_epi16(_mm256_add_epi16(left, right), _mm256_set1_epi16(1));
                        *sum = _mm256_add_epi32(*sum, both);
                        // One row after the other: what is loaded for all of them at once does not fit the registers.
                        compiler_fence(Ordering::SeqCst);
                    }
                }
                for &take in exact {
                    let weights = _mm256_shuffle_epi8(load(from, take), *mask(&masks, take));
                    let inputs = usize::from(take.inputs);
                    for (start, sum) in starts.iter().zip(&mut sums) {
                        let pairs = _mm256_maddubs_epi16(_mm256_set1_epi32(start.add(inputs).read()), weights);
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                        compiler_fence(Ordering::SeqCst);
                    }
                }
                let low = _mm256_set1_epi16(0xff);
                for &take in others {
                    let weights = load(from, take);
                    let (even, odd) = (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights)), _mm256_srai_epi16::<8>(weights));
                    let inputs = usize::from(take.inputs);
                    for (start, sum) in starts.iter().zip(&mut sums) {
                        let four = _mm256_set1_epi32(start.add(inputs).read());
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_and_si256(four, low), even));
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_srli_epi16::<8>(four), odd));
                    }
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    let out = out.as_mut_ptr().add(half_strip * 8).cast();
                    _mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), sum));
                }
            }
        }
    }
}

/// The weights of a take in the half strip whose piece begins at `from`.
#[inline(always)]
unsafe fn load(from: *const i8, take: Take) -> __m256i {
    // SAFETY: the caller's half strip has that take.
    unsafe { _mm256_loadu_si256(from.add(usize::from(take.weights)).cast()) }
}

/// That of the way of a take.
#[inline(always)]
unsafe fn mask(masks: &[__m256i; WAYS.len()], take: Take) -> &__m256i {
    // SAFETY: a take is one of a way.
    unsafe { masks.get_unchecked(usize::from(take.inputs) / PIECE) }
}
