//! The AVX-512 VNNI kernel: `vpdpbusd` wants one side unsigned, so the query is moved up by 128 and the excess,
//! 128 times the sum of the row, is summed beside it and taken off at the end. Both sums stay below 2^31.
#![expect(unsafe_code, reason = "vector loads take raw pointers")]

use std::arch::x86_64::{
    _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_setzero_si512, _mm512_sub_epi32,
    _mm512_xor_si512,
};

use super::LANE;

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
