//! A run of chunks that is scored word by word: which of them are still worth it, and what they have so far.

use std::ops::Range;

/// Chunks of one window; their sums fit into the cache.
pub(super) const WINDOW: u32 = 2048;

/// Some chunks of a window.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    from: u32,
    words: [u64; (WINDOW / 64) as usize],
}

impl Mask {
    /// Whether it holds a chunk of the window.
    pub(super) fn contains(&self, chunk: u32) -> bool {
        let at = chunk.wrapping_sub(self.from);
        self.words.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 != 0)
    }

    /// Whether it holds one of these chunks; what lies outside the window is not in it.
    pub(super) fn touches(&self, chunks: Range<u32>) -> bool {
        let start = chunks.start.saturating_sub(self.from);
        let end = chunks.end.saturating_sub(self.from).min(WINDOW);
        if start >= end {
            return false;
        }
        let (first, last) = ((start / 64) as usize, ((end - 1) / 64) as usize);
        let (low, high) = (u64::MAX << (start % 64), u64::MAX >> (63 - (end - 1) % 64));
        if first == last {
            return self.words[first] & low & high != 0;
        }
        self.words[first] & low != 0 || self.words[last] & high != 0 || self.words[first + 1..last].iter().any(|&word| word != 0)
    }
}

/// The chunks at hand and their sums.
pub(super) struct Window {
    mask: Mask,
    sums: Box<[u64; WINDOW as usize]>,
}

impl Window {
    /// Nothing in it.
    pub(super) fn new() -> Self {
        Self { mask: Mask { from: 0, words: [0; (WINDOW / 64) as usize] }, sums: Box::new([0; WINDOW as usize]) }
    }

    /// Moves to the chunks from `from` on, none of which has anything.
    pub(super) fn begin(&mut self, from: u32) {
        self.mask = Mask { from, words: [0; (WINDOW / 64) as usize] };
    }

    /// The chunks that have something.
    pub(super) fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Adds to a chunk, be it in the mask or not.
    pub(super) fn add(&mut self, chunk: u32, score: u32) {
        let at = chunk.wrapping_sub(self.mask.from) as usize;
        let Some(sum) = self.sums.get_mut(at) else { return };
        let (word, bit) = (&mut self.mask.words[at / 64], 1 << (at % 64));
        // Nothing to guess for the processor: whether a chunk has something follows no pattern.
        let before = if *word & bit == 0 { 0 } else { *sum };
        *sum = before + u64::from(score);
        *word |= bit;
    }

    /// Keeps the chunks that pass, and says whether there are any.
    pub(super) fn retain(&mut self, mut passes: impl FnMut(u32, u64) -> bool) -> bool {
        let mut any = false;
        for (number, word) in self.mask.words.iter_mut().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                rest &= rest - 1;
                let at = number as u32 * 64 + bit;
                if !passes(self.mask.from + at, self.sums[at as usize]) {
                    *word &= !(1 << bit);
                }
            }
            any |= *word != 0;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_of_sums(from in 0_u32..5000, added in proptest::collection::vec((0..WINDOW, 1_u32..9), 0..300), low in 0..WINDOW + 99, length in 0_u32..200) {
            let mut window = Window::new();
            let mut expected = std::collections::BTreeMap::new();
            for round in [1, 2] {
                window.begin(from * round);
                expected.clear();
                for &(at, score) in &added {
                    window.add(from * round + at, score * round);
                    *expected.entry(from * round + at).or_insert(0_u64) += u64::from(score * round);
                }
            }
            let range = 2 * from + low..2 * from + low + length;
            prop_assert_eq!(window.mask().touches(range.clone()), expected.range(range).next().is_some());
            prop_assert!((0..9_999).all(|chunk| window.mask().contains(chunk) == expected.contains_key(&chunk)));
            let mut found = Vec::new();
            window.retain(|chunk, sum| { found.push((chunk, sum)); sum % 2 == 0 });
            prop_assert!(found.into_iter().eq(expected.clone()));
            expected.retain(|_, sum| *sum % 2 == 0);
            let left = window.retain(|chunk, sum| expected.get(&chunk) == Some(&sum));
            prop_assert_eq!(left, !expected.is_empty());
        }
    }
}
