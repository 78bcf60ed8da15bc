//! The NEON kernel: 8-bit products in 16 bits, two at a time, then pairs into 32.
//!
//! Two products are at most 2 * 128 * 127 = 32,512, so 16 bits hold them. (The dot-product instructions would halve the
//! work; their intrinsics are not stable yet.)
#![expect(unsafe_code, reason = "vector loads take raw pointers")]

use std::arch::aarch64::{
    vaddq_s32, vaddvq_s32, vdupq_n_s32, vget_high_s8, vget_low_s8, vld1q_s8, vmlal_s8, vmull_s8, vpadalq_s16,
};

use super::LANE;

/// Dot products of `query` with every row.
#[target_feature(enable = "neon")]
pub(super) fn dots(query: &[i8], rows: &[u8], out: &mut [i32]) {
    let (query_lanes, _) = query.as_chunks::<LANE>();
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        let (row_lanes, _) = row.as_chunks::<LANE>();
        let (mut even, mut odd) = (vdupq_n_s32(0), vdupq_n_s32(0));
        for (q, r) in query_lanes.iter().zip(row_lanes) {
            let (q, r) = (q.as_chunks::<16>().0, r.as_chunks::<16>().0);
            for (q, r) in q.iter().zip(r) {
                // SAFETY: both arrays hold the 16 bytes that are read.
                let (q, r) = unsafe { (vld1q_s8(q.as_ptr()), vld1q_s8(r.as_ptr().cast())) };
                let products = vmlal_s8(vmull_s8(vget_low_s8(q), vget_low_s8(r)), vget_high_s8(q), vget_high_s8(r));
                (even, odd) = (odd, vpadalq_s16(even, products));
            }
        }
        *out = vaddvq_s32(vaddq_s32(even, odd));
    }
}
