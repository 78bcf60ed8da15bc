//! Integer work over many rows, on whatever the CPU has: dot products with a query, and estimates from 1-bit codes.
//!
//! All kernels give the same integers, bit for bit: [`scalar`] is the definition. The query holds -127 to 127 (the
//! quantiser never makes -128), which is what keeps the 16-bit steps of AVX2 and NEON from saturating for *any* row.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use super::cluster::GROUP;
use super::code::Table;
use crate::cpu::{Kernel, Set};

/// Bytes that the kernels take at a time; a row is a multiple of it.
const LANE: usize = super::format::ROW_ALIGNMENT;

/// Bytes of the factors that follow the codes of a group.
const FACTORS: usize = GROUP * 4;

/// Groups that are asked for before they are needed: clusters lie apart, where no hardware looks ahead.
const GROUPS_AHEAD: usize = 3;

/// What a scan over codes needs of the query and the cluster; see `code.rs` for what it means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    /// No sum in it is above 127.
    pub(super) table: &'a Table,
    /// Added to every estimate.
    pub(super) base: i16,
    /// Estimates from here on are reported.
    pub(super) bar: i16,
    /// The groups that are scanned next.
    pub(super) next: &'a [u8],
}

impl<'a> Scan<'a> {
    /// The group that is scanned [`GROUPS_AHEAD`] groups after that with this number; where there is none, nothing.
    fn ahead(&self, groups: &'a [u8], number: usize) -> &'a [u8] {
        let bytes = self.table.sums.len() + FACTORS;
        let start = (number + GROUPS_AHEAD) * bytes;
        let (groups, start) = if start < groups.len() { (groups, start) } else { (self.next, start - groups.len()) };
        groups.get(start..start + bytes).unwrap_or_default()
    }
}

impl Kernel {
    /// Writes the dot product of `query` with each row of `rows` (rows of `query.len()` bytes, each byte an `i8`).
    #[cfg_attr(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        expect(unsafe_code, reason = "calling code compiled for an instruction set")
    )]
    pub(super) fn dots(self, query: &[i8], rows: &[u8], out: &mut [i32]) {
        debug_assert!(query.len().is_multiple_of(LANE) && rows.len() == out.len() * query.len());
        debug_assert!(!query.contains(&i8::MIN));
        match self.set() {
            Set::Scalar => scalar::dots(query, rows, out),
            // SAFETY: a `Kernel` with this set exists only where the CPU has the instructions.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::AvxVnni => unsafe { avx2::dots(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::dots(query, rows, out) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { neon::dots(query, rows, out) },
        }
    }

    /// Writes the estimates of each group of `groups`, and a bit for each that reaches the bar.
    #[cfg_attr(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        expect(unsafe_code, reason = "calling code compiled for an instruction set")
    )]
    pub(super) fn scan(self, scan: &Scan<'_>, groups: &[u8], estimates: &mut [[i16; GROUP]], reached: &mut [u32]) {
        debug_assert!(scan.table.sums.len().is_multiple_of(4 * LANE) && estimates.len() == reached.len());
        debug_assert_eq!(groups.len(), estimates.len() * (scan.table.sums.len() + FACTORS));
        match self.set() {
            Set::Scalar => scalar::scan(scan, groups, estimates, reached),
            // SAFETY: a `Kernel` with this set exists only where the CPU has the instructions.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::AvxVnni => unsafe { avx2::scan(scan, groups, estimates, reached) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { avx512::scan(scan, groups, estimates, reached) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => unsafe { neon::scan(scan, groups, estimates, reached) },
        }
    }
}

/// Asks the CPU to fetch bytes that are needed soon.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "a hint with an address"))]
#[inline]
pub(super) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LANE) {
        // SAFETY: a hint reads nothing; SSE is part of every x86-64.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::code::Steps;
    use crate::index::random::Random;

    fn definition(query: &[i8], row: &[u8]) -> i32 {
        query.iter().zip(row).map(|(&q, &r)| i32::from(q) * i32::from(r as i8)).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn all_kernels_are_equal(lanes in 1_usize..9, count in 0_usize..20, seed: u64) {
            let mut source = Random::new(seed);
            let mut random = || source.next();
            // One value in four is an extreme, -128 in rows included: that is where narrow steps would saturate.
            let query: Vec<i8> = (0..lanes * LANE)
                .map(|_| match random() % 8 { 0 => 127, 1 => -127, _ => ((random() % 255) as i16 - 127) as i8 }).collect();
            let rows: Vec<u8> = (0..lanes * LANE * count)
                .map(|_| match random() % 8 { 0 => 127, 1 => 128, _ => random() as u8 }).collect();
            let expected: Vec<i32> = rows.chunks_exact(query.len()).map(|row| definition(&query, row)).collect();
            for kernel in Kernel::available() {
                let mut out = vec![0; count];
                kernel.dots(&query, &rows, &mut out);
                prop_assert_eq!(&out, &expected, "{}", kernel.name());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn all_kernels_estimate_alike(lanes in 1_usize..9, count in 0_usize..5, base: i16, bar: i16, seed: u64) {
            let mut source = Random::new(seed);
            let mut random = || source.next();
            let sums: Vec<u8> = (0..lanes * LANE * 4).map(|_| (random() % 121) as u8).collect();
            let width = sums.len();
            let table = Table { steps: Steps::new(lanes * LANE), sums };
            let scan = Scan { table: &table, base, bar, next: &[] };
            let mut groups: Vec<u8> = (0..(width + FACTORS) * count).map(|_| random() as u8).collect();
            // Factors have no sign.
            for group in groups.chunks_exact_mut(width + FACTORS) {
                group[width + FACTORS / 2..].iter_mut().skip(1).step_by(2).for_each(|high| *high &= 0x7f);
            }
            let (mut expected, mut reached) = (vec![[0; GROUP]; count], vec![0; count]);
            scalar::scan(&scan, &groups, &mut expected, &mut reached);
            for kernel in Kernel::available() {
                let (mut estimates, mut bits) = (vec![[1; GROUP]; count], vec![7; count]);
                kernel.scan(&scan, &groups, &mut estimates, &mut bits);
                prop_assert_eq!(&estimates, &expected, "{}", kernel.name());
                prop_assert_eq!(&bits, &reached, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn extremes_do_not_saturate() {
        for kernel in Kernel::available() {
            for (q, r) in [(127_i8, 127_u8), (127, 128), (-127, 128), (-127, 127)] {
                let (query, row) = (vec![q; 16_384], vec![r; 16_384]);
                let mut out = [0];
                kernel.dots(&query, &row, &mut out);
                assert_eq!(out[0], definition(&query, &row), "{} {q} {r}", kernel.name());
            }
        }
    }
}
