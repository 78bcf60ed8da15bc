//! The NEON kernel: 8-bit products in 16 bits, two at a time, then pairs into 32.
//!
//! Two products are at most 2 * 128 * 127 = 32,512, so 16 bits hold them. (The dot-product instructions would halve the
//! work; their intrinsics are not stable yet.)
#![expect(unsafe_code, reason = "vector loads take raw pointers")]

use std::arch::aarch64::{
    vaddq_s32, vaddq_u8, vaddvq_s32, vaddw_high_u8, vaddw_u8, vandq_u8, vandq_u16, vcgeq_s16, vdupq_n_s16, vdupq_n_s32,
    vdupq_n_u8, vdupq_n_u16, vget_high_s8, vget_low_s8, vget_low_u8, vld1q_s8, vld1q_s16, vld1q_u8, vld1q_u16, vmlal_s8,
    vmull_s8, vpadalq_s16, vqaddq_s16, vqrdmulhq_s16, vqtbl1q_u8, vreinterpretq_s16_u16, vshlq_s16, vshrq_n_u8, vst1q_s16,
    vst1q_u16, vsubq_u16,
};

use super::{FACTORS, LANE, Scan, prefetch};
use crate::index::cluster::GROUP;
use crate::index::code::TABLE;

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

/// Estimates of every group, and which of them reach the bar.
#[target_feature(enable = "neon")]
pub(super) fn scan(scan: &Scan<'_>, groups: &[u8], estimates: &mut [[i16; GROUP]], reached: &mut [u32]) {
    let width = scan.table.sums.len();
    let (tables, _) = scan.table.sums.as_chunks::<TABLE>();
    let (tables, _) = tables.as_chunks::<2>();
    let nibble = vdupq_n_u8(15);
    let excess = vdupq_n_u16(scan.table.steps.excess().cast_unsigned());
    let shift = vdupq_n_s16(scan.table.steps.shift as i16);
    let (base, bar) = (vdupq_n_s16(scan.base), vdupq_n_s16(scan.bar));
    for (number, ((group, estimates), reached)) in groups.chunks_exact(width + FACTORS).zip(estimates).zip(reached).enumerate() {
        prefetch(scan.ahead(groups, number));
        let (codes, factors) = group.split_at(width);
        let (codes, _) = codes.as_chunks::<TABLE>();
        let (codes, _) = codes.as_chunks::<2>();
        // Eight vectors each: the first sixteen are the low nibbles, the others the high ones.
        let mut sums = [vdupq_n_u16(0); 4];
        for (codes, tables) in codes.iter().zip(tables) {
            // SAFETY: the four arrays hold the 16 bytes that are read of each.
            let (c0, c1, t0, t1) = unsafe {
                (
                    vld1q_u8(codes[0].as_ptr()),
                    vld1q_u8(codes[1].as_ptr()),
                    vld1q_u8(tables[0].as_ptr()),
                    vld1q_u8(tables[1].as_ptr()),
                )
            };
            let low = vaddq_u8(vqtbl1q_u8(t0, vandq_u8(c0, nibble)), vqtbl1q_u8(t1, vandq_u8(c1, nibble)));
            let high = vaddq_u8(vqtbl1q_u8(t0, vshrq_n_u8::<4>(c0)), vqtbl1q_u8(t1, vshrq_n_u8::<4>(c1)));
            sums[0] = vaddw_u8(sums[0], vget_low_u8(low));
            sums[1] = vaddw_high_u8(sums[1], low);
            sums[2] = vaddw_u8(sums[2], vget_low_u8(high));
            sums[3] = vaddw_high_u8(sums[3], high);
        }
        let (offsets, factors) = factors.split_at(FACTORS / 2);
        let (offsets, _) = offsets.as_chunks::<16>();
        let (factors, _) = factors.as_chunks::<16>();
        let (out, _) = estimates.as_chunks_mut::<8>();
        *reached = 0;
        for (eight, sums) in sums.into_iter().enumerate() {
            let signed = vreinterpretq_s16_u16(vsubq_u16(sums, excess));
            // SAFETY: both arrays hold the 16 bytes that are read, which any address may hold.
            let (offsets, factors) =
                unsafe { (vld1q_s16(offsets[eight].as_ptr().cast()), vld1q_s16(factors[eight].as_ptr().cast())) };
            let product = vqrdmulhq_s16(vshlq_s16(signed, shift), factors);
            let estimate = vqaddq_s16(vqaddq_s16(offsets, product), base);
            // SAFETY: the array holds the 16 bytes that are written.
            unsafe { vst1q_s16(out[eight].as_mut_ptr(), estimate) };
            let (bits, mut each) = ([1_u16, 2, 4, 8, 16, 32, 64, 128], [0_u16; 8]);
            // SAFETY: both arrays hold 16 bytes.
            unsafe { vst1q_u16(each.as_mut_ptr(), vandq_u16(vcgeq_s16(estimate, bar), vld1q_u16(bits.as_ptr()))) };
            *reached |= u32::from(each.iter().sum::<u16>()) << (eight * 8);
        }
    }
}
