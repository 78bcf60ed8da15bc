//! BM25: postings as the writer makes them, and scores as the reader adds them up.
//!
//! `idf * tf / (tf + k1 * (1 - b + b * length / mean))` with `idf = ln(1 + (N - n + .5) / (n + .5))`, which is Lucene's
//! (Robertson and Zaragoza 2009 without the constant factor `k1 + 1`, which changes no order). Lengths are exact.

use std::collections::HashMap;

use super::Lexical;
use super::format::{Section, TERM_RECORD, u32_at, u64_at};
use super::terms::{Kind, Terms};
use super::view::View;
use crate::error::{Error, Result};

/// Collects postings while chunks are pushed.
pub(super) struct Postings {
    terms: Terms,
    lists: HashMap<Box<str>, List>,
    lengths: Vec<u32>,
    /// Counts of the chunk at hand; kept for its allocation.
    counts: HashMap<Box<str>, u32>,
}

/// Where one term occurs: for each chunk the gap to the one before, doubled, plus one if it occurs more than once; then
/// how often. Both LEB128.
#[derive(Default)]
struct List {
    bytes: Vec<u8>,
    chunks: u32,
    next: u32,
}

/// The sections of a finished lexicon.
pub(super) struct Sections {
    pub(super) lexicon: Vec<u8>,
    pub(super) terms: Vec<u8>,
    pub(super) postings: Vec<u8>,
    pub(super) lengths: Vec<u8>,
    pub(super) term_count: u32,
    pub(super) total_length: u64,
}

impl Postings {
    /// No chunk yet.
    pub(super) fn new(lexical: Lexical) -> Self {
        Self { terms: Terms::new(lexical), lists: HashMap::new(), lengths: Vec::new(), counts: HashMap::new() }
    }

    /// Adds the next chunk, found by the words of all `texts`.
    pub(super) fn push(&mut self, texts: &[&str]) {
        let chunk = self.lengths.len() as u32;
        let mut length = 0_u32;
        for text in texts {
            self.terms.each(text, |term, kind| {
                length = length.saturating_add(u32::from(kind == Kind::Word));
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

    /// Sorts the terms and lays the lists end to end.
    pub(super) fn finish(self) -> Result<Sections> {
        let mut lists: Vec<_> = self.lists.into_iter().collect();
        lists.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let term_count = u32::try_from(lists.len()).map_err(|_| Error::bad_request("index: more than 4 billion terms"))?;
        let (mut lexicon, mut terms, mut postings) = (Vec::new(), Vec::new(), Vec::new());
        for (term, list) in lists {
            record(&mut lexicon, &terms, &postings, list.chunks)?;
            terms.extend_from_slice(term.as_bytes());
            postings.extend_from_slice(&list.bytes);
        }
        record(&mut lexicon, &terms, &postings, 0)?;
        let total_length = self.lengths.iter().copied().map(u64::from).sum();
        let lengths = self.lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        Ok(Sections { lexicon, terms, postings, lengths, term_count, total_length })
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
}

/// BM25 of every chunk with the words of `text`; nothing where no word of it is a term. 4 bytes a chunk of scratch.
pub(super) fn scores(view: &View, lexical: Lexical, text: &str) -> Result<Option<Vec<f32>>> {
    let superblock = view.superblock();
    let chunks = superblock.chunks;
    let mut terms = Vec::new();
    Terms::new(lexical).each(text, |term, _| terms.push(term.to_owned()));
    terms.sort_unstable();
    let mean = (superblock.total_length as f64 / f64::from(chunks.max(1))).max(f64::MIN_POSITIVE);
    let constant = lexical.k1 * (1.0 - lexical.b);
    let per_term = (f64::from(lexical.k1 * lexical.b) / mean) as f32;
    let mut scores = None;
    for same in terms.chunk_by(|a, b| a == b) {
        let Some(found) = find(view, &same[0])? else {
            continue;
        };
        let scores = scores.get_or_insert_with(|| vec![0.0; chunks as usize]);
        let lengths = view.section(Section::Lengths)?;
        let n = f64::from(found.chunks);
        let idf = (1.0 + (f64::from(chunks) - n + 0.5) / (n + 0.5)).ln();
        let weight = (idf * same.len() as f64) as f32;
        for posting in found {
            let (chunk, count) = posting.ok_or_else(|| view.inconsistent(Section::Postings))?;
            let Some(score) = scores.get_mut(chunk as usize) else {
                return Err(view.inconsistent(Section::Postings));
            };
            let count = count as f32;
            let length = u32_at(lengths, chunk as usize * 4) as f32;
            *score += weight * count / (count + constant + per_term * length);
        }
    }
    Ok(scores)
}

/// The postings of one term, while they are read.
struct Found<'a> {
    bytes: &'a [u8],
    chunks: u32,
    left: u32,
    next: u64,
}

fn find<'a>(view: &'a View, term: &str) -> Result<Option<Found<'a>>> {
    let (mut low, mut high) = (0, view.superblock().terms);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = view.bytes(Section::Lexicon, u64::from(middle) * TERM_RECORD, 2 * TERM_RECORD)?;
        let (start, end) = (u64::from(u32_at(entry, 8)), u64::from(u32_at(entry, 24)));
        let length = end.checked_sub(start).ok_or_else(|| view.inconsistent(Section::Lexicon))?;
        match view.bytes(Section::Terms, start, length)?.cmp(term.as_bytes()) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                let (start, end) = (u64_at(entry, 0), u64_at(entry, 16));
                let length = end.checked_sub(start).ok_or_else(|| view.inconsistent(Section::Lexicon))?;
                let chunks = u32_at(entry, 12);
                return Ok(Some(Found { bytes: view.bytes(Section::Postings, start, length)?, chunks, left: chunks, next: 0 }));
            }
        }
    }
    Ok(None)
}

impl Iterator for Found<'_> {
    /// A chunk and how often; nothing where the bytes make no sense.
    type Item = Option<(u32, u32)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read())
    }
}

impl Found<'_> {
    fn read(&mut self) -> Option<(u32, u32)> {
        let head = self.varint()?;
        let chunk = self.next.checked_add(head >> 1)?;
        self.next = chunk.checked_add(1)?;
        let count = if head & 1 == 1 { self.varint()? } else { 1 };
        Some((chunk.try_into().ok()?, count.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u64> {
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
                expected.push(Some((chunk, count)));
            }
            let found = Found { bytes: &list.bytes, chunks: list.chunks, left: list.chunks, next: 0 };
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes: Vec<u8>, left in 0_u32..50) {
            let _ = Found { bytes: &bytes, chunks: left, left, next: 0 }.count();
        }
    }
}
