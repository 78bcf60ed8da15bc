//! From a query to hits: candidates of both sides, every candidate scored on both, fused by min-max.
//!
//! Each side is normalised over its own list of candidates: its best is 1, the worst that made the list 0, and so is a
//! candidate that came from the other side and lies lower: a chunk that alone holds the rare word of a question must not
//! sink because its vector is far. (Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid
//! Retrieval, arXiv 2210.11934: a convex combination beats reciprocal ranks.)

use super::allowed::{Allowed, Bits};
use super::format::{DOCUMENT_RECORD, Section, u32_at, u64_at};
use super::kernels::Kernel;
use super::rotation::Rotation;
use super::top::{Scored, Top};
use super::vectors::{Quantised, Vectors, quantise};
use super::view::View;
use super::{Hit, Lexical, Query, lexical};
use crate::error::{Error, Result};

/// Candidates that each side brings, at least.
const CANDIDATES: usize = 100;

/// Candidates that each side brings for each hit wanted.
const CANDIDATES_PER_HIT: usize = 10;

/// The best chunks, best first.
pub(super) fn search(view: &View, kernel: Kernel, rotation: &Rotation, lexical: Lexical, query: &Query<'_>) -> Result<Vec<Hit>> {
    check(view, query)?;
    let allowed = match query.uri_prefix {
        Some(prefix) => Allowed::Only(chunks_of(view, prefix)?),
        None => Allowed::All,
    };
    let vectors = Vectors::of(view, kernel, rotation)?;
    let vector = query.vector.map(quantise);
    let words = query.text.map(|text| lexical::scores(view, lexical, text)).transpose()?.map(Option::unwrap_or_default);
    let mut hits = match (&vector, &words) {
        (Some(vector), None) => {
            vectors.nearest(vector, &allowed, query.top_k, query.recall)?.into_iter().map(by_cosine).collect()
        }
        (None, Some(words)) => best_words(words, &allowed, query.top_k).into_iter().map(by_words).collect(),
        (Some(vector), Some(words)) => fuse(&vectors, vector, words, &allowed, query)?,
        (None, None) => Vec::new(),
    };
    if let Some(threshold) = query.score_threshold {
        hits.retain(|hit| hit.cosine >= threshold);
    }
    hits.truncate(query.top_k);
    Ok(hits)
}

fn check(view: &View, query: &Query<'_>) -> Result<()> {
    let dimensions = view.superblock().dimensions as usize;
    if let Some(vector) = query.vector {
        if vector.len() != dimensions {
            let message =
                format!("vector: has {} components, the index has {dimensions}; embed with the index's model", vector.len());
            return Err(Error::bad_request(message));
        }
        if !vector.iter().all(|value| value.is_finite()) {
            return Err(Error::bad_request("vector: holds a value that is not finite; embed the question again"));
        }
    }
    if query.vector.is_none() && query.text.is_none() {
        return Err(Error::bad_request("query: has neither a vector nor a text; give one of them"));
    }
    if !(0.0..=1.0).contains(&query.alpha) {
        return Err(Error::bad_request(format!("`alpha`: {} is not between 0 and 1", query.alpha)));
    }
    match query.score_threshold {
        Some(_) if query.vector.is_none() => {
            Err(Error::bad_request("`score_threshold`: is a cosine and needs a vector; leave one out"))
        }
        Some(threshold) if threshold.is_nan() => Err(Error::bad_request("`score_threshold`: is not a number")),
        _ => Ok(()),
    }
}

fn fuse(vectors: &Vectors<'_>, vector: &Quantised, words: &[f32], allowed: &Allowed, query: &Query<'_>) -> Result<Vec<Hit>> {
    let limit = query.top_k.saturating_mul(CANDIDATES_PER_HIT).max(CANDIDATES);
    let near = vectors.nearest(vector, allowed, limit, query.recall)?;
    let named = best_words(words, allowed, limit);
    let (cosines, bm25s) = (Span::of(&near), Span::of(&named));
    let mut candidates: Vec<u32> = near.iter().chain(&named).map(|scored| scored.chunk).collect();
    candidates.sort_unstable();
    candidates.dedup();
    let scores = vectors.cosines(vector, &candidates)?;
    let mut hits = Vec::with_capacity(candidates.len());
    for (chunk, cosine) in candidates.into_iter().zip(scores) {
        let bm25 = words.get(chunk as usize).copied().unwrap_or_default();
        let fused = query.alpha * cosines.normalise(cosine) + (1.0 - query.alpha) * bm25s.normalise(bm25);
        hits.push(Hit { chunk, cosine, bm25, fused });
    }
    // Stable, and the candidates stand in the order of their numbers.
    hits.sort_by(|a, b| b.fused.total_cmp(&a.fused));
    Ok(hits)
}

/// The best and the worst of a list.
struct Span {
    low: f32,
    high: f32,
}

impl Span {
    fn of(sorted: &[Scored]) -> Self {
        let score = |scored: Option<&Scored>| scored.map_or(0.0, |scored| scored.score);
        Self { low: score(sorted.last()), high: score(sorted.first()) }
    }

    fn normalise(&self, score: f32) -> f32 {
        let width = self.high - self.low;
        if width > 0.0 {
            return ((score - self.low) / width).max(0.0);
        }
        // A list of one, of equals, or of nothing: in or out.
        if self.high > 0.0 && score >= self.high { 1.0 } else { 0.0 }
    }
}

fn best_words(words: &[f32], allowed: &Allowed, limit: usize) -> Vec<Scored> {
    let mut top = Top::new(limit);
    for (chunk, &score) in (0..).zip(words) {
        if score > 0.0 && allowed.contains(chunk) {
            top.push(score, chunk);
        }
    }
    top.into_sorted()
}

/// The chunks of all documents whose `uri` starts with `prefix`.
fn chunks_of(view: &View, prefix: &str) -> Result<Bits> {
    let records = view.section(Section::Documents)?;
    let uris = view.section(Section::Uris)?;
    let inconsistent = || view.inconsistent(Section::Documents);
    let mut bits = Bits::none(view.superblock().chunks);
    for pair in records.windows(2 * DOCUMENT_RECORD as usize).step_by(DOCUMENT_RECORD as usize) {
        let uri = uris.get(u64_at(pair, 8) as usize..u64_at(pair, 32) as usize).ok_or_else(inconsistent)?;
        if !uri.starts_with(prefix.as_bytes()) {
            continue;
        }
        let range = u32_at(pair, 16)..u32_at(pair, 40);
        if range.end < range.start || range.end > view.superblock().chunks {
            return Err(inconsistent());
        }
        bits.insert_range(range);
    }
    Ok(bits)
}

fn by_cosine(scored: Scored) -> Hit {
    Hit { chunk: scored.chunk, cosine: scored.score, bm25: 0.0, fused: scored.score }
}

fn by_words(scored: Scored) -> Hit {
    Hit { chunk: scored.chunk, cosine: 0.0, bm25: scored.score, fused: scored.score }
}
