//! Runs of atoms to chunks: the one place where sizes and overlaps are decided, whatever the strategy.
//!
//! A strategy says where a region of text may be cut and how good each cut is (its rank, 0 the best). A chunk is filled as far as
//! the size allows and ends at the last of the best cuts within reach, once it adds the minimum; the next one begins at the best
//! cut among those that repeat between half of the overlap and all of it.
//!
//! A chunk always repeats at least the last atom of the one before it, even where that is larger than a very small overlap. It
//! repeats less than half of the overlap only where no word begins in between, or where it could not hold the next atom too:
//! after a long run of white space, which counts as characters. It repeats nothing only where such a run is about as long as the
//! whole chunk may be, in characters.

use std::ops::Range;

use super::atom::{Atoms, Gap, Limit, Unit};

/// Rank of a cut between words; a strategy's own ranks are below.
pub(super) const WORD: u8 = 0x40;
const INNER: u8 = 0x41;
const FRAGMENT: u8 = 0x42;

/// Added to the ranks inside a block that is kept whole: a chunk may begin there, to repeat its end, but not end there.
pub(super) const KEPT: u8 = 0x80;

/// The rank of the cut before atom `index` where the strategy has none of its own.
pub(super) fn rank(atoms: &Atoms<'_>, index: usize) -> u8 {
    match atoms.gap(index) {
        Gap::Space => WORD,
        Gap::Inner => INNER,
        Gap::Fragment => FRAGMENT,
    }
}

/// How large chunks may be.
pub(super) struct Bounds {
    /// The most of one chunk.
    pub(super) size: Limit,
    /// The most that it repeats; all zero for nothing.
    pub(super) overlap: Limit,
    /// What a chunk adds before a better cut is preferred to a fuller chunk, in `unit`.
    pub(super) minimum: usize,
    /// What sizes are counted in.
    pub(super) unit: Unit,
}

/// One region of a document, and the rank of the cut before each atom of the document.
pub(super) struct Packer<'a> {
    pub(super) atoms: &'a Atoms<'a>,
    pub(super) ranks: &'a [u8],
    pub(super) bounds: &'a Bounds,
}

impl Packer<'_> {
    /// Cuts a region into runs, ascending, that cover it.
    pub(super) fn pack(&self, region: &Range<usize>) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let (mut start, mut done) = (region.start, region.start);
        while done < region.end {
            let run = start..self.end(start, done, region.end);
            done = run.end;
            if done < region.end {
                start = self.next_start(&run);
            }
            runs.push(run);
        }
        runs
    }

    /// Where the chunk from `start` ends, of which everything before `done` is in the chunk before it.
    fn end(&self, start: usize, done: usize, region_end: usize) -> usize {
        let Limit { tokens, .. } = self.bounds.size;
        let mut most = self.reach(start, region_end, tokens).max(done + 1);
        loop {
            let end = if most == region_end { most } else { self.best_end(start, done, most, region_end) };
            let excess = self.atoms.tokens(&(start..end)).saturating_sub(tokens);
            if excess == 0 || end == done + 1 {
                return end;
            }
            // A cut inside a word made more tokens than the whole word has: take that much less.
            most = self.reach(start, end - 1, tokens.saturating_sub(excess)).max(done + 1);
        }
    }

    fn best_end(&self, start: usize, done: usize, most: usize, region_end: usize) -> usize {
        let Bounds { minimum, unit, .. } = *self.bounds;
        let enough = |run: &Range<usize>| self.atoms.size(run, unit) >= minimum;
        // A chunk of one atom could not be repeated in part.
        let first = (done + 1).max(start + 2).min(most);
        // The first end that adds the minimum, and the last that leaves the minimum for the chunk after.
        let least = (self.atoms.reach(done, most, |run| !enough(run)) + 1).max(first);
        let leaving = self.atoms.reach_back(region_end, done, |run| !enough(run)).saturating_sub(1).min(most);
        let may_end = |end: &usize| self.ranks[*end] & KEPT == 0;
        self.best_of((least..leaving + 1).filter(may_end))
            .or_else(|| self.best_of((least..most + 1).filter(may_end)))
            .or_else(|| self.best_of((first..least.min(most + 1)).filter(may_end)))
            .or_else(|| self.best_of(least..most + 1))
            .unwrap_or(most)
    }

    /// The last of the best cuts.
    fn best_of(&self, ends: impl Iterator<Item = usize>) -> Option<usize> {
        ends.min_by_key(|&end| (self.ranks[end], std::cmp::Reverse(end)))
    }

    /// Where the chunk after `run` begins.
    fn next_start(&self, run: &Range<usize>) -> usize {
        let Bounds { overlap, size, unit, .. } = *self.bounds;
        if overlap.tokens == 0 || run.len() < 2 {
            return run.end;
        }
        let last = run.end - 1;
        let first = self.atoms.reach_back(run.end, run.start + 1, |part| self.atoms.fits(part, overlap)).min(last);
        let half = match unit {
            Unit::Tokens => overlap.tokens.div_ceil(2),
            Unit::Characters => overlap.chars.div_ceil(2),
        };
        let enough = |start: &usize| *start == first || self.atoms.size(&(*start..run.end), unit) >= half;
        let best = (first..run.end).take_while(enough).min_by_key(|&start| self.ranks[start] & !KEPT);
        let mut start = best.unwrap_or(first);
        // Both counts can grow as the run gets shorter: of a long unknown word, one token, a piece may be many.
        while start < last && self.atoms.tokens(&(start..run.end)) > overlap.tokens
            || start < run.end && !self.holds(start..run.end + 1, size)
        {
            start += 1;
        }
        start
    }

    fn holds(&self, run: Range<usize>, limit: Limit) -> bool {
        self.atoms.chars(&run) <= limit.chars && self.atoms.tokens(&run) <= limit.tokens
    }

    fn reach(&self, start: usize, most: usize, tokens: usize) -> usize {
        let limit = Limit { tokens, ..self.bounds.size };
        self.atoms.reach(start, most, |run| self.atoms.fits(run, limit))
    }
}
