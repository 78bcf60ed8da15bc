//! The AVX2 kernel: |row| as `u8` times the query with the row's sign, pairs summed in 16 bits, then in 32.
//!
//! The pair sum is at most 2 * 128 * 127 = 32,512, so the saturating `maddubs` never saturates.
#![expect(unsafe_code, reason = "vector loads take raw pointers")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi16, _mm_add_epi32, _mm_cvtsi32_si128, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm_unpackhi_epi16,
    _mm_unpacklo_epi16, _mm256_abs_epi8, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_adds_epi16,
    _mm256_and_si256, _mm256_castsi256_si128, _mm256_cmpgt_epi16, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_movemask_epi8, _mm256_mulhrs_epi16, _mm256_packs_epi16,
    _mm256_permute4x64_epi64, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_sign_epi8, _mm256_sll_epi16, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_sub_epi16,
};

use super::{FACTORS, LANE, Scan, prefetch};
use crate::index::cluster::GROUP;

/// Bytes of a register.
const HALF: usize = LANE / 2;

/// Dot products of `query` with every row.
#[target_feature(enable = "avx2")]
pub(super) fn dots(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let (query_lanes, _) = query.as_chunks::<LANE>();
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let (row_lanes, _) = row.as_chunks::<LANE>();
        let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (q, r) in query_lanes.iter().zip(row_lanes) {
            let (q, r) = (q.as_ptr().cast::<__m256i>(), r.as_ptr().cast::<__m256i>());
            // SAFETY: both arrays hold 64 bytes, read as two unaligned halves of 32.
            let (q0, q1, r0, r1) = unsafe {
                (_mm256_loadu_si256(q), _mm256_loadu_si256(q.add(1)), _mm256_loadu_si256(r), _mm256_loadu_si256(r.add(1)))
            };
            even = _mm256_add_epi32(even, products(q0, r0));
            odd = _mm256_add_epi32(odd, products(q1, r1));
        }
        *out = sum(_mm256_add_epi32(even, odd));
    }
}

#[target_feature(enable = "avx2")]
fn products(query: __m256i, row: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(row), _mm256_sign_epi8(query, row));
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

#[target_feature(enable = "avx2")]
fn sum(lanes: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
}

/// Estimates of every group, and which of them reach the bar.
#[target_feature(enable = "avx2")]
pub(super) fn scan(scan: &Scan<'_>, groups: &[u8], estimates: &mut [[i16; GROUP]], reached: &mut [u32]) {
    let width = scan.table.sums.len();
    let (tables, _) = scan.table.sums.as_chunks::<HALF>();
    let (tables, _) = tables.as_chunks::<2>();
    let nibble = _mm256_set1_epi8(15);
    let excess = _mm256_set1_epi16(scan.table.steps.excess());
    let shift = _mm_cvtsi32_si128(scan.table.steps.shift as i32);
    let (base, bar) = (_mm256_set1_epi16(scan.base), _mm256_set1_epi16(scan.bar));
    for (number, ((group, estimates), reached)) in groups.chunks_exact(width + FACTORS).zip(estimates).zip(reached).enumerate() {
        prefetch(scan.ahead(groups, number));
        let (codes, factors) = group.split_at(width);
        let (codes, _) = codes.as_chunks::<HALF>();
        let (codes, _) = codes.as_chunks::<2>();
        // Bytes are summed as 16-bit words: `low` holds the even byte and 256 times the odd one, `low_odd` the odd one.
        let zero = _mm256_setzero_si256();
        let (mut low, mut low_odd, mut high, mut high_odd) = (zero, zero, zero, zero);
        for (codes, tables) in codes.iter().zip(tables) {
            let (c0, c1) = (load(&codes[0]), load(&codes[1]));
            let (t0, t1) = (load(&tables[0]), load(&tables[1]));
            let lows = _mm256_add_epi8(
                _mm256_shuffle_epi8(t0, _mm256_and_si256(c0, nibble)),
                _mm256_shuffle_epi8(t1, _mm256_and_si256(c1, nibble)),
            );
            let highs = _mm256_add_epi8(
                _mm256_shuffle_epi8(t0, _mm256_and_si256(_mm256_srli_epi16::<4>(c0), nibble)),
                _mm256_shuffle_epi8(t1, _mm256_and_si256(_mm256_srli_epi16::<4>(c1), nibble)),
            );
            low = _mm256_add_epi16(low, lows);
            low_odd = _mm256_add_epi16(low_odd, _mm256_srli_epi16::<8>(lows));
            high = _mm256_add_epi16(high, highs);
            high_odd = _mm256_add_epi16(high_odd, _mm256_srli_epi16::<8>(highs));
        }
        let (factors, _) = factors.as_chunks::<HALF>();
        let estimate = |sums, offsets, factors| {
            let signed = _mm256_sll_epi16(_mm256_sub_epi16(sums, excess), shift);
            _mm256_adds_epi16(_mm256_adds_epi16(offsets, _mm256_mulhrs_epi16(signed, factors)), base)
        };
        let first = estimate(ordered(low, low_odd), load(&factors[0]), load(&factors[2]));
        let second = estimate(ordered(high, high_odd), load(&factors[1]), load(&factors[3]));
        let out = estimates.as_mut_ptr().cast::<__m256i>();
        // SAFETY: the array holds the 64 bytes that are written, as two unaligned halves.
        unsafe {
            _mm256_storeu_si256(out, first);
            _mm256_storeu_si256(out.add(1), second);
        }
        let below = _mm256_packs_epi16(_mm256_cmpgt_epi16(bar, first), _mm256_cmpgt_epi16(bar, second));
        *reached = !_mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(below)).cast_unsigned();
    }
}

#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; HALF]) -> __m256i {
    // SAFETY: the array holds the 32 bytes that are read, unaligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// The sums of both lanes, vector by vector.
#[target_feature(enable = "avx2")]
fn ordered(all: __m256i, odd: __m256i) -> __m256i {
    let even = lanes(_mm256_sub_epi16(all, _mm256_slli_epi16::<8>(odd)));
    let odd = lanes(odd);
    _mm256_set_m128i(_mm_unpackhi_epi16(even, odd), _mm_unpacklo_epi16(even, odd))
}

#[target_feature(enable = "avx2")]
fn lanes(words: __m256i) -> __m128i {
    _mm_add_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
}
