//! The AVX-512 VNNI kernel: `vpdpbusd` wants one side unsigned, so the query is moved up by 128 and the excess,
//! 128 times the sum of the row, is summed beside it and taken off at the end. Both sums stay below 2^31.
#![expect(unsafe_code, reason = "vector loads take raw pointers")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_add_epi16, _mm_cvtsi32_si128, _mm_unpackhi_epi16, _mm_unpacklo_epi16, _mm256_add_epi16,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm512_add_epi8, _mm512_add_epi16, _mm512_adds_epi16, _mm512_and_si512,
    _mm512_castsi128_si512, _mm512_castsi512_si256, _mm512_cmpge_epi16_mask, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64,
    _mm512_inserti32x4, _mm512_loadu_si512, _mm512_mulhrs_epi16, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_sll_epi16, _mm512_slli_epi16, _mm512_srli_epi16, _mm512_storeu_si512,
    _mm512_sub_epi16, _mm512_sub_epi32, _mm512_xor_si512,
};

use super::{FACTORS, LANE, Scan, prefetch};
use crate::index::cluster::GROUP;

/// Dot products of `query` with every row.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn dots(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let (query_lanes, _) = query.as_chunks::<LANE>();
    let raise = _mm512_set1_epi8(i8::MIN);
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let (row_lanes, _) = row.as_chunks::<LANE>();
        let (mut raised, mut excess) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (q, r) in query_lanes.iter().zip(row_lanes) {
            // SAFETY: both arrays hold the 64 bytes that are read, unaligned.
            let (q, r) = unsafe { (_mm512_loadu_si512(q.as_ptr().cast()), _mm512_loadu_si512(r.as_ptr().cast())) };
            // Flipping the top bit adds 128 and makes it unsigned; the constant read as unsigned *is* 128.
            raised = _mm512_dpbusd_epi32(raised, _mm512_xor_si512(q, raise), r);
            excess = _mm512_dpbusd_epi32(excess, raise, r);
        }
        *out = _mm512_reduce_add_epi32(_mm512_sub_epi32(raised, excess));
    }
}

/// Estimates of every group, and which of them reach the bar.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn scan(scan: &Scan<'_>, groups: &[u8], estimates: &mut [[i16; GROUP]], reached: &mut [u32]) {
    let width = scan.table.sums.len();
    let (tables, _) = scan.table.sums.as_chunks::<LANE>();
    let (tables, _) = tables.as_chunks::<2>();
    let nibble = _mm512_set1_epi8(15);
    let excess = _mm512_set1_epi16(scan.table.steps.excess());
    let shift = _mm_cvtsi32_si128(scan.table.steps.shift as i32);
    let (base, bar) = (_mm512_set1_epi16(scan.base), _mm512_set1_epi16(scan.bar));
    for (number, ((group, estimates), reached)) in groups.chunks_exact(width + FACTORS).zip(estimates).zip(reached).enumerate() {
        prefetch(scan.ahead(groups, number));
        let (codes, factors) = group.split_at(width);
        let (codes, _) = codes.as_chunks::<LANE>();
        let (codes, _) = codes.as_chunks::<2>();
        // Bytes are summed as 16-bit words: `low` holds the even byte and 256 times the odd one, `low_odd` the odd one.
        let zero = _mm512_setzero_si512();
        let (mut low, mut low_odd, mut high, mut high_odd) = (zero, zero, zero, zero);
        for (codes, tables) in codes.iter().zip(tables) {
            let (c0, c1) = (load(&codes[0]), load(&codes[1]));
            let (t0, t1) = (load(&tables[0]), load(&tables[1]));
            let lows = _mm512_add_epi8(
                _mm512_shuffle_epi8(t0, _mm512_and_si512(c0, nibble)),
                _mm512_shuffle_epi8(t1, _mm512_and_si512(c1, nibble)),
            );
            let highs = _mm512_add_epi8(
                _mm512_shuffle_epi8(t0, _mm512_and_si512(_mm512_srli_epi16::<4>(c0), nibble)),
                _mm512_shuffle_epi8(t1, _mm512_and_si512(_mm512_srli_epi16::<4>(c1), nibble)),
            );
            low = _mm512_add_epi16(low, lows);
            low_odd = _mm512_add_epi16(low_odd, _mm512_srli_epi16::<8>(lows));
            high = _mm512_add_epi16(high, highs);
            high_odd = _mm512_add_epi16(high_odd, _mm512_srli_epi16::<8>(highs));
        }
        let (l, h) = (ordered(low, low_odd), ordered(high, high_odd));
        let sums = _mm512_castsi128_si512(l[0]);
        let sums = _mm512_inserti32x4::<1>(sums, l[1]);
        let sums = _mm512_inserti32x4::<2>(sums, h[0]);
        let sums = _mm512_inserti32x4::<3>(sums, h[1]);
        let signed = _mm512_sll_epi16(_mm512_sub_epi16(sums, excess), shift);
        let (factors, _) = factors.as_chunks::<LANE>();
        let (offsets, factors) = (load(&factors[0]), load(&factors[1]));
        let estimate = _mm512_adds_epi16(_mm512_adds_epi16(offsets, _mm512_mulhrs_epi16(signed, factors)), base);
        // SAFETY: the array holds the 64 bytes that are written, unaligned.
        unsafe { _mm512_storeu_si512(estimates.as_mut_ptr().cast(), estimate) };
        *reached = _mm512_cmpge_epi16_mask(estimate, bar);
    }
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; LANE]) -> __m512i {
    // SAFETY: the array holds the 64 bytes that are read, unaligned.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The sums of the four lanes, vector by vector: eight and eight.
#[target_feature(enable = "avx512f,avx512bw")]
fn ordered(all: __m512i, odd: __m512i) -> [__m128i; 2] {
    let even = lanes(_mm512_sub_epi16(all, _mm512_slli_epi16::<8>(odd)));
    let odd = lanes(odd);
    [_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd)]
}

#[target_feature(enable = "avx512f,avx512bw")]
fn lanes(words: __m512i) -> __m128i {
    let two = _mm256_add_epi16(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64::<1>(words));
    _mm_add_epi16(_mm256_castsi256_si128(two), _mm256_extracti128_si256::<1>(two))
}
