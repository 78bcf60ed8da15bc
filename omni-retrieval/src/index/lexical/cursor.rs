//! The postings of one word while a search goes through them: forward only, decoded a block at a time.

use std::ops::Range;

use super::list::{BLOCK, ROW, Reader};
use super::window::Mask;
use super::{Entry, Weighing};
use crate::error::Result;
use crate::index::format::u32_at;
use crate::index::section::Section;
use crate::index::view::View;

/// Where a search stands in the postings of one word.
pub(super) struct Cursor<'a> {
    view: &'a View,
    weighing: Weighing,
    weight: f32,
    /// Rows of the table; empty for a list of one block, which is decoded from the start.
    table: &'a [u8],
    /// First byte of the first block.
    start: u64,
    /// Bytes of all blocks.
    length: u64,
    chunks: u32,
    /// The first block that may hold what is asked next.
    block: usize,
    decoded: Option<usize>,
    /// The decoded block.
    entries: Entries,
    /// The greatest score of a list of one block.
    greatest: u32,
}

impl<'a> Cursor<'a> {
    /// Stands before the first posting of a term that a question names `repeats` times.
    pub(super) fn open(view: &'a View, weighing: Weighing, entry: Entry, repeats: f32) -> Result<Self> {
        let Entry { start, length, chunks } = entry;
        let blocks = chunks.div_ceil(BLOCK) as usize;
        let table_bytes = if blocks > 1 { (blocks * ROW) as u64 } else { 0 };
        let length = length.checked_sub(table_bytes).ok_or_else(|| view.inconsistent(Section::Postings))?;
        let standing = Self::standing(view, weighing, chunks);
        let mut cursor = Self {
            weight: standing.weight * repeats,
            table: view.bytes(Section::Postings, start, table_bytes)?,
            start: start + table_bytes,
            length,
            ..standing
        };
        if blocks == 1 {
            cursor.decode(0)?;
            cursor.greatest = cursor.greatest()?;
        }
        Ok(cursor)
    }

    /// Over postings that are in no list.
    pub(super) fn of(view: &'a View, weighing: Weighing, postings: &[(u32, u32)]) -> Result<Self> {
        let standing = Self::standing(view, weighing, postings.len() as u32);
        let mut cursor = Self { decoded: Some(0), entries: postings.iter().copied().collect(), ..standing };
        cursor.greatest = cursor.greatest()?;
        Ok(cursor)
    }

    /// Before the first posting of so many chunks, none of them read.
    fn standing(view: &'a View, weighing: Weighing, chunks: u32) -> Self {
        Self {
            view,
            weighing,
            weight: weighing.weight(chunks),
            table: &[],
            start: 0,
            length: 0,
            chunks,
            block: 0,
            decoded: None,
            entries: Entries::default(),
            greatest: 0,
        }
    }

    /// Chunks that hold the word.
    pub(super) fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Back to the first posting.
    pub(super) fn rewind(&mut self) {
        self.block = 0;
    }

    /// No score of a chunk in `from..to` is greater. What is asked later may not lie before `from`.
    pub(super) fn bound(&mut self, from: u32, to: u32) -> u32 {
        self.skip_to(from);
        if self.table.is_empty() {
            let first = self.entries.before(from);
            return if self.entries.chunks.get(first).is_some_and(|&chunk| chunk < to) { self.greatest } else { 0 };
        }
        let overlapping = (self.block..self.blocks()).take_while(|&block| self.base(block) < to);
        overlapping.map(|block| self.score(f32::from_bits(u32_at(self.table, block * ROW + 8)))).max().unwrap_or_default()
    }

    /// Calls `found` with every one of `chunks` that holds the word, and its score.
    pub(super) fn each(&mut self, chunks: Range<u32>, mut found: impl FnMut(u32, u32)) -> Result<()> {
        self.skip_to(chunks.start);
        for block in self.block..self.blocks() {
            if self.base(block) >= chunks.end {
                break;
            }
            self.decode(block)?;
            self.scores(&self.entries, self.entries.before(chunks.start)..self.entries.before(chunks.end), &mut found)?;
        }
        Ok(())
    }

    /// As [`Self::each`], of the `wanted` chunks only; blocks without any are not read.
    pub(super) fn each_of(&mut self, chunks: Range<u32>, wanted: &Mask, mut found: impl FnMut(u32, u32)) -> Result<()> {
        self.skip_to(chunks.start);
        let mut entries = Entries::default();
        for block in self.block..self.blocks() {
            let base = self.base(block);
            if base >= chunks.end {
                break;
            }
            if !wanted.touches(base..self.base(block + 1)) {
                continue;
            }
            self.decode(block)?;
            entries.clear();
            entries.extend(self.entries.iter().filter(|&(chunk, _)| wanted.contains(chunk)));
            self.scores(&entries, 0..entries.chunks.len(), &mut found)?;
        }
        Ok(())
    }

    /// The score of one chunk; 0 if it does not hold the word. What is asked later may not lie before it.
    pub(super) fn score_at(&mut self, chunk: u32) -> Result<u32> {
        self.skip_to(chunk);
        if self.block >= self.blocks() || self.base(self.block) > chunk {
            return Ok(0);
        }
        self.decode(self.block)?;
        let Ok(at) = self.entries.chunks.binary_search(&chunk) else { return Ok(0) };
        let mut only = 0;
        self.scores(&self.entries, at..at + 1, &mut |_, score| only = score)?;
        Ok(only)
    }

    fn blocks(&self) -> usize {
        if self.table.is_empty() { usize::from(self.chunks > 0) } else { self.table.len() / ROW }
    }

    fn skip_to(&mut self, chunk: u32) {
        while self.block * ROW < self.table.len() && u32_at(self.table, self.block * ROW) < chunk {
            self.block += 1;
        }
    }

    /// The least chunk that a block can hold; behind the last block, the chunk that no block holds.
    fn base(&self, block: usize) -> u32 {
        match block {
            0 => 0,
            _ if self.table.is_empty() => self.weighing.chunks,
            _ => u32_at(self.table, (block - 1) * ROW).saturating_add(1),
        }
    }

    /// Calls `found` with some of the chunks and their scores.
    fn scores(&self, entries: &Entries, range: Range<usize>, found: &mut impl FnMut(u32, u32)) -> Result<()> {
        let (chunks, counts) = (&entries.chunks[range.clone()], &entries.counts[range]);
        let mut scores = [0; BLOCK as usize];
        for (chunks, counts) in chunks.chunks(scores.len()).zip(counts.chunks(scores.len())) {
            let (Some(&first), Some(&last)) = (chunks.first(), chunks.last()) else { return Ok(()) };
            let lengths = self.view.bytes(Section::Lengths, u64::from(first) * 4, u64::from(last - first + 1) * 4)?;
            // In a loop of its own: lengths come from all over memory, and here many are waited for at once.
            for ((score, &chunk), &count) in scores.iter_mut().zip(chunks).zip(counts) {
                *score = self.score(self.weighing.impact(count, u32_at(lengths, (chunk - first) as usize * 4)));
            }
            chunks.iter().zip(scores).for_each(|(&chunk, score)| found(chunk, score));
        }
        Ok(())
    }

    fn greatest(&self) -> Result<u32> {
        let mut greatest = 0;
        self.scores(&self.entries, 0..self.entries.chunks.len(), &mut |_, score| greatest = greatest.max(score))?;
        Ok(greatest)
    }

    fn score(&self, impact: f32) -> u32 {
        // At least one, so that a word that is everywhere still finds what holds it.
        ((self.weight * impact) as u32).max(1)
    }

    fn decode(&mut self, block: usize) -> Result<()> {
        if self.decoded == Some(block) {
            return Ok(());
        }
        let inconsistent = || self.view.inconsistent(Section::Postings);
        let byte = |block: usize| u64::from(u32_at(self.table, block * ROW + 4));
        let (from, to) =
            if self.table.is_empty() { (0, self.length) } else { (block.checked_sub(1).map_or(0, byte), byte(block)) };
        let length = to.checked_sub(from).filter(|_| to <= self.length).ok_or_else(inconsistent)?;
        let count = (self.chunks - block as u32 * BLOCK).min(BLOCK);
        let base = self.base(block);
        let mut reader = Reader::new(self.view.bytes(Section::Postings, self.start + from, length)?, base);
        self.decoded = None;
        self.entries.clear();
        reader.postings(count, &mut self.entries.chunks, &mut self.entries.counts).ok_or_else(inconsistent)?;
        // They ascend.
        let last = self.entries.chunks.last().copied().unwrap_or(base);
        if last >= self.weighing.chunks || (!self.table.is_empty() && last != u32_at(self.table, block * ROW)) {
            return Err(inconsistent());
        }
        self.decoded = Some(block);
        Ok(())
    }
}

/// Some postings.
#[derive(Default)]
struct Entries {
    /// Ascending.
    chunks: Vec<u32>,
    /// How often each holds the word.
    counts: Vec<u32>,
}

impl Entries {
    fn clear(&mut self) {
        self.chunks.clear();
        self.counts.clear();
    }

    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.chunks.iter().copied().zip(self.counts.iter().copied())
    }

    /// How many chunks are lower.
    fn before(&self, chunk: u32) -> usize {
        self.chunks.partition_point(|&other| other < chunk)
    }
}

impl Extend<(u32, u32)> for Entries {
    fn extend<I: IntoIterator<Item = (u32, u32)>>(&mut self, postings: I) {
        for (chunk, count) in postings {
            self.chunks.push(chunk);
            self.counts.push(count);
        }
    }
}

impl FromIterator<(u32, u32)> for Entries {
    fn from_iter<I: IntoIterator<Item = (u32, u32)>>(postings: I) -> Self {
        let (chunks, counts) = postings.into_iter().unzip();
        Self { chunks, counts }
    }
}
