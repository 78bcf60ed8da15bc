//! The AVX2 kernel: |row| as `u8` times the query with the row's sign, pairs summed in 16 bits, then in 32.
//!
//! The pair sum is at most 2 * 128 * 127 = 32,512, so the saturating `maddubs` never saturates.
#![expect(unsafe_code, reason = "vector loads take raw pointers")]

use std::arch::x86_64::{
    __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_abs_epi8, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
    _mm256_setzero_si256, _mm256_sign_epi8,
};

use super::LANE;

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
