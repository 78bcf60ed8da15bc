//! Lists of postings, written and read.
//!
//! A posting is the gap to the chunk before, doubled, plus one if the term occurs more than once; then how often. Both
//! LEB128. A list of more than [`BLOCK`] postings begins with a table, one row a block: last chunk, end of its bytes,
//! greatest impact. The bytes behind it are those of a list without a table, so that a block is nothing but a place in it.

use std::collections::HashMap;

use super::Weighing;
use crate::error::{Error, Result};
use crate::index::Lexical;
use crate::index::section::{Section, Sections};
use crate::index::terms::Terms;

/// Postings of one block.
pub(super) const BLOCK: u32 = 128;

/// Postings that are read at once where each is one byte.
const RUN: usize = 8;

/// The bits of a run that are set where a gap goes on in the next byte or the term occurs more than once.
const LONG_OR_REPEATED: u64 = u64::from_le_bytes([0x81; RUN]);

/// Bytes of one row of the table: u32 last chunk, u32 end of the block behind the table, f32 greatest impact.
pub(super) const ROW: usize = 12;

/// Collects postings while chunks are pushed.
pub(in crate::index) struct Postings {
    lexical: Lexical,
    terms: Terms,
    lists: HashMap<Box<str>, List>,
    lengths: Vec<u32>,
    /// Counts of the chunk at hand; kept for its allocation.
    counts: HashMap<Box<str>, u32>,
}

/// Where one term occurs.
#[derive(Default)]
struct List {
    bytes: Vec<u8>,
    chunks: u32,
    next: u32,
}

impl Postings {
    /// No chunk yet.
    pub(in crate::index) fn new(lexical: Lexical) -> Self {
        Self { lexical, terms: Terms::new(lexical), lists: HashMap::new(), lengths: Vec::new(), counts: HashMap::new() }
    }

    /// Adds the next chunk, found by the words of all `texts`.
    pub(in crate::index) fn push(&mut self, texts: &[&str]) {
        let chunk = self.lengths.len() as u32;
        let mut length = 0_u32;
        for text in texts {
            self.terms.each(text, |term, kind| {
                length = length.saturating_add(u32::from(kind.counts()));
                match self.counts.get_mut(term) {
                    Some(count) => *count = count.saturating_add(1),
                    None => drop(self.counts.insert(term.into(), 1)),
                }
            });
        }
        self.lengths.push(length);
        for (term, count) in self.counts.drain() {
            self.lists.entry(term).or_default().push(chunk, count);
        }
    }

    /// Sorts the terms and lays the lists end to end into their sections. Says how many terms there are, and how many all chunks have
    /// together.
    pub(in crate::index) fn finish(self, sections: &mut Sections) -> Result<(u32, u64)> {
        let total_length = self.lengths.iter().copied().map(u64::from).sum();
        let weighing = Weighing::new(self.lexical, self.lengths.len() as u32, total_length);
        let mut lists: Vec<_> = self.lists.into_iter().collect();
        lists.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let term_count = u32::try_from(lists.len()).map_err(|_| Error::bad_request("index: more than 4 billion terms"))?;
        let (mut lexicon, mut terms, mut postings) = (Vec::new(), Vec::new(), Vec::new());
        for (term, list) in lists {
            record(&mut lexicon, &terms, &postings, list.chunks)?;
            terms.extend_from_slice(term.as_bytes());
            if list.chunks > BLOCK {
                postings.extend(list.table(weighing, &self.lengths)?);
            }
            postings.extend_from_slice(&list.bytes);
        }
        record(&mut lexicon, &terms, &postings, 0)?;
        sections[Section::Lengths] = self.lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        sections[Section::Lexicon] = lexicon;
        sections[Section::Terms] = terms;
        sections[Section::Postings] = postings;
        Ok((term_count, total_length))
    }
}

fn record(lexicon: &mut Vec<u8>, terms: &[u8], postings: &[u8], chunks: u32) -> Result<()> {
    let start = u32::try_from(terms.len()).map_err(|_| Error::bad_request("index: more than 4 GiB of terms"))?;
    lexicon.extend_from_slice(&(postings.len() as u64).to_le_bytes());
    lexicon.extend_from_slice(&start.to_le_bytes());
    lexicon.extend_from_slice(&chunks.to_le_bytes());
    Ok(())
}

impl List {
    fn push(&mut self, chunk: u32, count: u32) {
        let gap = u64::from(chunk - self.next);
        varint(&mut self.bytes, gap << 1 | u64::from(count > 1));
        if count > 1 {
            varint(&mut self.bytes, u64::from(count));
        }
        self.chunks += 1;
        self.next = chunk + 1;
    }

    fn table(&self, weighing: Weighing, lengths: &[u32]) -> Result<Vec<u8>> {
        let mut table = Vec::with_capacity(self.chunks.div_ceil(BLOCK) as usize * ROW);
        let mut reader = Reader::new(&self.bytes, 0);
        let (mut left, mut greatest) = (BLOCK.min(self.chunks), 0.0_f32);
        for number in 0..self.chunks {
            let Some((chunk, count)) = reader.posting() else {
                return Err(Error::internal("postings: a list does not read back"));
            };
            let length = lengths.get(chunk as usize).copied().unwrap_or_default();
            greatest = greatest.max(weighing.impact(count, length));
            left -= 1;
            if left == 0 {
                let end = u32::try_from(self.bytes.len() - reader.bytes.len());
                let end = end.map_err(|_| Error::bad_request("index: more than 4 GiB of postings of one term"))?;
                table.extend_from_slice(&chunk.to_le_bytes());
                table.extend_from_slice(&end.to_le_bytes());
                table.extend_from_slice(&greatest.to_le_bytes());
                left = BLOCK.min(self.chunks - number - 1);
                greatest = 0.0;
            }
        }
        Ok(table)
    }
}

/// Postings while they are read. Nothing where the bytes make no sense.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    next: u64,
}

impl<'a> Reader<'a> {
    /// From the posting whose gap counts from chunk `next`.
    pub(super) fn new(bytes: &'a [u8], next: u32) -> Self {
        Self { bytes, next: next.into() }
    }

    /// The next chunk and how often the term occurs in it.
    pub(super) fn posting(&mut self) -> Option<(u32, u32)> {
        let head = self.varint()?;
        let chunk = self.next.checked_add(head >> 1)?;
        self.next = chunk.checked_add(1)?;
        let count = if head & 1 == 1 { self.varint()? } else { 1 };
        Some((chunk.try_into().ok()?, count.try_into().ok()?))
    }

    /// Appends the next `count` of both.
    pub(super) fn postings(&mut self, count: u32, chunks: &mut Vec<u32>, counts: &mut Vec<u32>) -> Option<()> {
        let mut left = count as usize;
        while left > 0 {
            if left >= RUN
                && let Some((run, rest)) = self.bytes.split_first_chunk::<RUN>()
                && u64::from_le_bytes(*run) & LONG_OR_REPEATED == 0
                && self.next < u64::from(u32::MAX - (RUN as u32) * 64)
            {
                let mut next = self.next as u32;
                chunks.extend(run.map(|gap| {
                    let chunk = next + u32::from(gap >> 1);
                    next = chunk + 1;
                    chunk
                }));
                counts.extend([1; RUN]);
                (self.bytes, self.next) = (rest, next.into());
                left -= RUN;
            } else {
                let (chunk, count) = self.posting()?;
                chunks.push(chunk);
                counts.push(count);
                left -= 1;
            }
        }
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        // Most gaps and counts are one byte.
        if let Some((&byte, rest)) = self.bytes.split_first()
            && byte < 0x80
        {
            self.bytes = rest;
            return Some(byte.into());
        }
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn postings_come_back(gaps in proptest::collection::vec((0_u32..70_000, 1_u32..400), 0..60)) {
            let mut list = List::default();
            let mut expected = Vec::new();
            for (gap, count) in gaps {
                let chunk = list.next + gap;
                list.push(chunk, count);
                expected.push((chunk, count));
            }
            let mut reader = Reader::new(&list.bytes, 0);
            let found: Vec<_> = (0..list.chunks).map_while(|_| reader.posting()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes, 0);
            while reader.posting().is_some() {}
        }
    }
}
