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

/// A set of numbers below a fixed end: of chunks, or of documents.
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

    /// The number behind the last possible one.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// Adds one number; what lies past the end is left out.
    pub(super) fn insert(&mut self, number: u32) {
        if number < self.end {
            self.words[(number / 64) as usize] |= 1 << (number % 64);
        }
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

    /// Adds 64 numbers at once: those of word `at` whose bit is set.
    pub(super) fn insert_word(&mut self, at: usize, word: u64) {
        if let Some(here) = self.words.get_mut(at) {
            let used = self.end - at as u32 * 64;
            *here |= if used < 64 { word & ((1 << used) - 1) } else { word };
        }
    }

    /// Adds a bitmap of little-endian words of 32 bits, the lowest number first.
    pub(super) fn insert_words(&mut self, bitmap: &[u8]) {
        let (pairs, last) = bitmap.as_chunks::<8>();
        let mut rest = [0; 8];
        rest[..last.len()].copy_from_slice(last);
        let words = pairs.iter().chain([&rest]).map(|pair| u64::from_le_bytes(*pair));
        self.words.iter_mut().zip(words).for_each(|(here, word)| *here |= word);
        self.clear_past_end();
    }

    fn clear_past_end(&mut self) {
        if let (Some(last), used @ 1..) = (self.words.last_mut(), self.end % 64) {
            *last &= (1 << used) - 1;
        }
    }

    /// Keeps what is in both.
    pub(super) fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(here, there)| *here &= there);
    }

    /// Adds what is in the other.
    pub(super) fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(here, there)| *here |= there);
    }

    /// Turns into what was not in it.
    pub(super) fn complement(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clear_past_end();
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

    /// All of them, as runs of neighbours, ascending.
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = self.next(at, true)?;
            let end = self.next(start, false).unwrap_or(self.end);
            at = end;
            Some(start..end)
        })
    }

    /// The first number from `at` on that is (or is not) in it.
    fn next(&self, at: u32, wanted: bool) -> Option<u32> {
        let word = |number: usize| self.words.get(number).map(|&word| if wanted { word } else { !word });
        let mut number = (at / 64) as usize;
        let mut bits = word(number)? & u64::MAX << (at % 64);
        while bits == 0 {
            number += 1;
            bits = word(number)?;
        }
        Some(number as u32 * 64 + bits.trailing_zeros()).filter(|&found| found < self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(end in 0_u32..400, ranges in proptest::collection::vec((0_u32..420, 0_u32..420), 0..6), more in proptest::collection::vec(0_u32..420, 0..30)) {
            let (mut bits, mut set) = (Bits::none(end), BTreeSet::new());
            for (start, stop) in ranges {
                bits.insert_range(start..stop);
                set.extend((start..stop).filter(|&chunk| chunk < end));
            }
            prop_assert_eq!(bits.count(), set.len());
            prop_assert!((0..500).all(|chunk| bits.contains(chunk) == set.contains(&chunk)));
            prop_assert!(bits.iter().eq(set.iter().copied()));
            prop_assert!(bits.runs().flatten().eq(set.iter().copied()));
            let (mut other, mut others) = (Bits::none(end), BTreeSet::new());
            for chunk in more {
                other.insert(chunk);
                others.extend((chunk < end).then_some(chunk));
            }
            let changed = |change: fn(&mut Bits, &Bits)| { let mut bits = bits.clone(); change(&mut bits, &other); bits };
            prop_assert!(changed(Bits::intersect).iter().eq(set.intersection(&others).copied()));
            prop_assert!(changed(Bits::unite).iter().eq(set.union(&others).copied()));
            prop_assert!(changed(|bits, _| bits.complement()).iter().eq((0..end).filter(|chunk| !set.contains(chunk))));
            let mut words = Bits::none(end);
            (0..9).for_each(|at| words.insert_word(at, u64::MAX));
            prop_assert_eq!(words.count(), end as usize);
            for bytes in [0, 4, 8, 60] {
                let mut words = Bits::none(end);
                words.insert_words(&vec![0xff; bytes]);
                prop_assert_eq!(words.count(), (end as usize).min(8 * bytes));
            }
        }
    }
}
