//! BM25 over postings that can be skipped: exact best chunks without reading every posting.
//!
//! `idf * tf / (tf + k1 * (1 - b + b * length / mean))` with `idf = ln(1 + (N - n + .5) / (n + .5))`, which is Lucene's
//! (Robertson and Zaragoza 2009 without the constant factor `k1 + 1`, which changes no order). Lengths are exact.
//!
//! What one word adds to a score is an integer (in units of 2^-18), so that sums do not depend on the order in which words
//! are visited: skipping changes no score and no rank.

mod best;
mod cursor;
mod list;
mod phrase;
mod window;

use std::cmp::Reverse;

use self::cursor::Cursor;
pub(super) use self::list::Postings;
use super::Lexical;
use super::allowed::Allowed;
use super::format::{TERM_RECORD, first, u32_at, u64_at};
use super::section::Section;
use super::terms::{Kind, Terms};
use super::top::{Scored, Top};
use super::view::View;
use crate::error::Result;

/// One in the units of scores: sums up to 64 are exact in an `f32` too, so that no two of them become a tie.
const UNIT: f32 = (1_u32 << 18) as f32;

/// Different words of one question that are looked up; the rarest, where there are more.
const MAX_TERMS: usize = 512;

/// How often a word of a question counts at most.
const MAX_REPEATS: usize = 100;

/// Where at most this share of the chunks is allowed, they are scored one by one.
const FEW: usize = 64;

/// A name in code is asked for by itself where at most this many chunks hold it, and at most half of those that are allowed;
/// where nothing but names is asked for, more chunks may hold it.
const RARE: u32 = 5;

/// Chunks that are counted before it is asked whether they are enough.
const COUNTED: usize = 4096;

/// The words of a question, found in the index.
pub(super) struct Scorer<'a> {
    /// Whether a phrase was found or a name, a rare one or nothing else: whoever asks so means exactly that.
    pub(super) is_exact: bool,
    chunks: u32,
    /// In the order of their terms, or, where these were too many, the rarest first; phrases last.
    cursors: Vec<Cursor<'a>>,
}

impl<'a> Scorer<'a> {
    /// Looks the words of `text` up, and the phrases that stand in quotation marks, those in chunks that are `allowed`.
    pub(super) fn new(view: &'a View, lexical: Lexical, text: &str, allowed: &Allowed) -> Result<Self> {
        let superblock = view.superblock();
        let weighing = Weighing::new(lexical, superblock.chunks, superblock.total_length);
        let mut terms: Vec<(String, Kind)> = Vec::new();
        let cut = Terms::new(lexical);
        let mut only_names = true;
        for word in text.split_whitespace() {
            let before = terms.len();
            cut.each(word, |term, kind| terms.push((term.to_owned(), kind)));
            only_names &= terms.len() == before || terms[before..].iter().any(|(_, kind)| kind.is_exact());
        }
        terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut found = Vec::new();
        let mut is_exact = false;
        for same in terms.chunk_by(|a, b| a.0 == b.0) {
            if let Some(entry) = find(view, &same[0].0)? {
                found.push((entry, same.len().min(MAX_REPEATS)));
                if !is_exact && (entry.chunks <= RARE || only_names) && same.iter().any(|(_, kind)| kind.is_exact()) {
                    let most = allowed.count(weighing.chunks) / 2;
                    is_exact = (1..=most).contains(&held(view, weighing, entry, allowed, most)?);
                }
            }
        }
        if found.len() > MAX_TERMS {
            // Stable, so that equally rare words keep their order.
            found.sort_by_key(|(entry, _)| entry.chunks);
            found.truncate(MAX_TERMS);
        }
        let cursor = |(entry, repeats): (Entry, usize)| Cursor::open(view, weighing, entry, repeats as f32);
        let mut cursors = found.into_iter().map(cursor).collect::<Result<Vec<_>>>()?;
        for phrase in phrase::quoted(text) {
            let postings = phrase::postings(view, &cut, weighing, phrase, allowed)?;
            if !postings.is_empty() {
                cursors.push(Cursor::of(view, weighing, &postings)?);
                is_exact = true;
            }
        }
        Ok(Self { is_exact, chunks: superblock.chunks, cursors })
    }

    /// The `limit` chunks with the highest scores above zero; ties in the order of their numbers.
    pub(super) fn best(&mut self, allowed: &Allowed, limit: usize) -> Result<Vec<Scored>> {
        let few = match allowed {
            Allowed::Only(bits) if bits.count() <= self.chunks as usize / FEW => bits,
            _ => return best::best(&mut self.cursors, self.chunks, allowed, limit),
        };
        let mut top = Top::new(limit);
        self.rewind();
        for chunk in few.iter() {
            let sum = self.sum(chunk)?;
            if sum > 0 {
                top.push((sum, Reverse(chunk)));
            }
        }
        Ok(best::scored(top))
    }

    /// The scores of `chunks`, which ascend; 0 where a chunk holds none of the words.
    pub(super) fn scores(&mut self, chunks: &[u32]) -> Result<Vec<f32>> {
        self.rewind();
        chunks.iter().map(|&chunk| Ok(score(self.sum(chunk)?))).collect()
    }

    fn sum(&mut self, chunk: u32) -> Result<u64> {
        self.cursors.iter_mut().try_fold(0, |sum, cursor| Ok(sum + u64::from(cursor.score_at(chunk)?)))
    }

    fn rewind(&mut self) {
        self.cursors.iter_mut().for_each(Cursor::rewind);
    }
}

/// How many of the `allowed` chunks hold a term; where they are more than `most`, counted only so far.
fn held(view: &View, weighing: Weighing, entry: Entry, allowed: &Allowed, most: usize) -> Result<usize> {
    if *allowed == Allowed::All {
        return Ok(entry.chunks as usize);
    }
    let mut held = 0;
    let mut cursor = Cursor::open(view, weighing, entry, 1.0)?;
    for start in (0..weighing.chunks).step_by(COUNTED) {
        let end = start.saturating_add(COUNTED as u32).min(weighing.chunks);
        cursor.each(start..end, |chunk, _| held += usize::from(allowed.contains(chunk)))?;
        if held > most {
            break;
        }
    }
    Ok(held)
}

/// A sum as a caller sees it.
fn score(sum: u64) -> f32 {
    (sum as f64 / f64::from(UNIT)) as f32
}

/// How counts and lengths become scores in one index.
#[derive(Debug, Clone, Copy)]
struct Weighing {
    chunks: u32,
    constant: f32,
    per_term: f32,
}

impl Weighing {
    fn new(lexical: Lexical, chunks: u32, total_length: u64) -> Self {
        let mean = (total_length as f64 / f64::from(chunks.max(1))).max(f64::MIN_POSITIVE);
        let per_term = (f64::from(lexical.k1 * lexical.b) / mean) as f32;
        Self { chunks, constant: lexical.k1 * (1.0 - lexical.b), per_term }
    }

    /// What a word that occurs `count` times in `length` words adds, without its weight: 0 to 1.
    fn impact(self, count: u32, length: u32) -> f32 {
        let count = count as f32;
        count / (count + self.constant + self.per_term * length as f32)
    }

    /// The weight of a word that `chunks` chunks hold, in the units of scores.
    fn weight(self, chunks: u32) -> f32 {
        let n = f64::from(chunks);
        let idf = (1.0 + (f64::from(self.chunks) - n + 0.5) / (n + 0.5)).ln();
        idf.max(0.0) as f32 * UNIT
    }
}

/// Where the postings of one term lie.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    length: u64,
    chunks: u32,
}

fn find(view: &View, term: &str) -> Result<Option<Entry>> {
    let terms = view.superblock().terms;
    let record = |number: u32| view.bytes(Section::Lexicon, u64::from(number) * TERM_RECORD, 2 * TERM_RECORD);
    let length = |start: u64, end: u64| end.checked_sub(start).ok_or_else(|| view.inconsistent(Section::Lexicon));
    let text = |number: u32| {
        let record = record(number)?;
        let start = u64::from(u32_at(record, 8));
        view.bytes(Section::Terms, start, length(start, u32_at(record, 24).into())?)
    };
    let at = first(0..terms, |number| Ok(text(number)? < term.as_bytes()))?;
    if at == terms || text(at)? != term.as_bytes() {
        return Ok(None);
    }
    let record = record(at)?;
    let start = u64_at(record, 0);
    Ok(Some(Entry { start, length: length(start, u64_at(record, 16))?, chunks: u32_at(record, 12) }))
}
