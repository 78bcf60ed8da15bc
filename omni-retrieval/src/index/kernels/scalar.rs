//! The portable kernel, and the definition that the others are tested against.

use super::{FACTORS, Scan};
use crate::index::cluster::GROUP;
use crate::index::code::TABLE;

/// Dot products of `query` with every row.
pub(super) fn dots(query: &[i8], rows: &[u8], out: &mut [i32]) {
    for (row, out) in rows.chunks_exact(query.len()).zip(out) {
        *out = query.iter().zip(row).map(|(&q, &r)| i32::from(q) * i32::from(r.cast_signed())).sum();
    }
}

/// Estimates of every group, and which of them reach the bar.
pub(super) fn scan(scan: &Scan<'_>, groups: &[u8], estimates: &mut [[i16; GROUP]], reached: &mut [u32]) {
    let (width, steps) = (scan.table.sums.len(), scan.table.steps);
    let excess = steps.excess().cast_unsigned();
    for ((group, estimates), reached) in groups.chunks_exact(width + FACTORS).zip(estimates).zip(reached) {
        let (codes, factors) = group.split_at(width);
        let mut sums = [0_u16; GROUP];
        for (table, codes) in scan.table.sums.as_chunks::<TABLE>().0.iter().zip(codes.as_chunks::<TABLE>().0) {
            let (low, high) = sums.split_at_mut(GROUP / 2);
            for ((low, high), code) in low.iter_mut().zip(high).zip(codes) {
                *low = low.wrapping_add(table[usize::from(code & 15)].into());
                *high = high.wrapping_add(table[usize::from(code >> 4)].into());
            }
        }
        let (offsets, factors) = factors.split_at(FACTORS / 2);
        let values = |bytes: &'_ [u8]| -> [i16; GROUP] {
            let mut values = [0; GROUP];
            for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = i16::from_le_bytes(*bytes);
            }
            values
        };
        let (offsets, factors) = (values(offsets), values(factors));
        *reached = 0;
        for at in 0..GROUP {
            let signed = sums[at].wrapping_sub(excess).cast_signed().wrapping_shl(steps.shift);
            let product = (i32::from(signed) * i32::from(factors[at]) + 0x4000) >> 15;
            let estimate = offsets[at].saturating_add(product as i16).saturating_add(scan.base);
            estimates[at] = estimate;
            *reached |= u32::from(estimate >= scan.bar) << at;
        }
    }
}
