//! Which chunks may be scored: what filters, labels and tombstones leave, before any scoring.
//!
//! Dense, one bit a chunk: 31 KB for 250,000 chunks, and one load to ask. Whatever is compressed in the file is turned
//! into this once a query.

use std::ops::Range;

/// The chunks that a search may score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Every chunk.
    All,
    /// Those whose bit is set.
    Only(Bits),
}

impl Allowed {
    /// Whether `chunk` may be scored.
    pub(super) fn contains(&self, chunk: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(bits) => bits.contains(chunk),
        }
    }

    /// Whether a chunk may be scored, whose number takes a moment to find.
    pub(super) fn permits(&self, chunk: impl FnOnce() -> u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(bits) => bits.contains(chunk()),
        }
    }

    /// How many of `chunks` chunks may be scored.
    pub(super) fn count(&self, chunks: u32) -> usize {
        match self {
            Self::All => chunks as usize,
            Self::Only(bits) => bits.count(),
        }
    }
}

/// A set of chunk numbers below a fixed end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    end: u32,
    /// Bits at or above `end` are zero.
    words: Vec<u64>,
}

impl Bits {
    /// No chunk of `end`.
    pub(super) fn none(end: u32) -> Self {
        Self { end, words: vec![0; end.div_ceil(64) as usize] }
    }

    /// Adds the chunks of `range`; what lies past the end is left out.
    pub(super) fn insert_range(&mut self, range: Range<u32>) {
        let (start, end) = (range.start, range.end.min(self.end));
        if start >= end {
            return;
        }
        let (first, last) = ((start / 64) as usize, ((end - 1) / 64) as usize);
        let (low, high) = (u64::MAX << (start % 64), u64::MAX >> (63 - (end - 1) % 64));
        if first == last {
            self.words[first] |= low & high;
            return;
        }
        self.words[first] |= low;
        self.words[first + 1..last].fill(u64::MAX);
        self.words[last] |= high;
    }

    /// Whether `chunk` is in it.
    pub(super) fn contains(&self, chunk: u32) -> bool {
        self.words.get((chunk / 64) as usize).is_some_and(|word| word >> (chunk % 64) & 1 != 0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(number, &word)| {
            std::iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)))
                .take_while(|&rest| rest != 0)
                .map(move |rest| number as u32 * 64 + rest.trailing_zeros())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(end in 0_u32..400, ranges in proptest::collection::vec((0_u32..420, 0_u32..420), 0..6)) {
            let (mut bits, mut set) = (Bits::none(end), BTreeSet::new());
            for (start, stop) in ranges {
                bits.insert_range(start..stop);
                set.extend((start..stop).filter(|&chunk| chunk < end));
            }
            prop_assert_eq!(bits.count(), set.len());
            prop_assert!((0..500).all(|chunk| bits.contains(chunk) == set.contains(&chunk)));
            prop_assert!(bits.iter().eq(set));
        }
    }
}
