//! Two lists of candidates, one of vectors and one of words, become one order.
//!
//! Every candidate of either list is scored on both sides. With `min_max` each side is normalised over its own list: its
//! best is 1, the worst that made the list 0, and so is a candidate that came from the other side and lies lower: a chunk
//! that alone holds the rare word of a question must not sink because its vector is far (Bruch, Gai, Ingber: An Analysis of
//! Fusion Functions for Hybrid Retrieval, arXiv 2210.11934: a convex combination beats reciprocal ranks). With `rrf` only
//! ranks count (Cormack, Clarke, Büttcher 2009).

use serde::{Deserialize, Serialize};

use super::Hit;
use super::top::Scored;

/// The constant of reciprocal rank fusion, as in the paper.
const RRF_CONSTANT: f32 = 60.0;

/// How the two sides of a search become one order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// `alpha * cosine + (1 - alpha) * bm25`, both scaled to 0..1 over their candidates.
    MinMax {
        /// Weight of the vectors against the words, 0 to 1.
        alpha: f32,
    },
    /// The sum of `1 / (60 + rank)`.
    Rrf,
}

impl Default for Fusion {
    fn default() -> Self {
        Self::MinMax { alpha: 0.5 }
    }
}

/// The candidates of both lists, ascending, each once.
pub(super) fn candidates(near: &[Scored], named: &[Scored]) -> Vec<u32> {
    let mut candidates: Vec<u32> = near.iter().chain(named).map(|scored| scored.chunk).collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}

/// Orders candidates by both scores. `near` and `named` are the lists that they come from, best first.
pub(super) fn fuse(fusion: Fusion, near: &[Scored], named: &[Scored], scored: impl Iterator<Item = (u32, f32, f32)>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = match fusion {
        Fusion::MinMax { alpha } => {
            let (cosines, bm25s) = (Span::of(near), Span::of(named));
            let fused = |cosine, bm25| alpha * cosines.normalise(cosine) + (1.0 - alpha) * bm25s.normalise(bm25);
            scored.map(|(chunk, cosine, bm25)| Hit { chunk, cosine, bm25, fused: fused(cosine, bm25) }).collect()
        }
        Fusion::Rrf => {
            let (near, named) = (ranks(near), ranks(named));
            scored
                .map(|(chunk, cosine, bm25)| Hit { chunk, cosine, bm25, fused: share(&near, chunk) + share(&named, chunk) })
                .collect()
        }
    };
    // Stable, and the candidates stand in the order of their numbers.
    hits.sort_by(|a, b| b.fused.total_cmp(&a.fused));
    hits
}

/// Chunks with their ranks from 1, ascending by chunk.
fn ranks(list: &[Scored]) -> Vec<(u32, u32)> {
    let mut ranks: Vec<(u32, u32)> = list.iter().map(|scored| scored.chunk).zip(1..).collect();
    ranks.sort_unstable();
    ranks
}

fn share(ranks: &[(u32, u32)], chunk: u32) -> f32 {
    let found = ranks.binary_search_by_key(&chunk, |&(chunk, _)| chunk);
    found.map_or(0.0, |at| 1.0 / (RRF_CONSTANT + ranks[at].1 as f32))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_all_that_rrf_sees() {
        let list = |chunks: &[u32]| chunks.iter().map(|&chunk| Scored { chunk, score: 1.0 }).collect::<Vec<_>>();
        let (near, named) = (list(&[7, 3, 9]), list(&[9, 5]));
        let chunks = candidates(&near, &named);
        assert_eq!(chunks, [3, 5, 7, 9]);
        let hits = fuse(Fusion::Rrf, &near, &named, chunks.into_iter().map(|chunk| (chunk, 0.0, 0.0)));
        assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [9, 7, 3, 5]);
        assert_eq!(hits[0].fused, 1.0 / 63.0 + 1.0 / 61.0);
        // Equal ranks: in the order of their numbers.
        assert_eq!((hits[2].fused, hits[3].fused), (1.0 / 62.0, 1.0 / 62.0));
    }
}
