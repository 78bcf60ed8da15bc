//! Two lists of candidates, one of vectors and one of words, become one order.
//!
//! With `min_max` each side is a share of its own best: that is 1, and 0 is a score of 0, as has a candidate that came from the
//! other side only. So the order does not hang on how many candidates there are: the first hits of an exact search are the same
//! however many are wanted, up to the 100 candidates that each side always brings; where more are wanted, both sides may bring
//! what but one did before. A fixed least score was found better than the least of a list, and a convex combination better than
//! reciprocal ranks, by Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid Retrieval, arXiv 2210.11934. With `rrf`
//! only ranks count (Cormack, Clarke, Büttcher 2009).

use serde::{Deserialize, Serialize};

use super::top::Scored;

/// The constant of reciprocal rank fusion, as in the paper.
const RRF_CONSTANT: f32 = 60.0;

/// Weight of the vectors where nobody says otherwise: of .45, .5, .55 and .6 the best on SciFact, SQuAD and Cranfield together.
pub const DEFAULT_ALPHA: f32 = 0.55;

/// The most that vectors weigh where the question names something exactly: above half, the nearest vector would stand before the
/// only chunk that holds the name.
const EXACT_ALPHA: f32 = 0.3;

/// How the two sides of a search become one order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// `alpha * cosine + (1 - alpha) * bm25`, both as shares of their best.
    MinMax {
        /// Weight of the vectors against the words, 0 to 1.
        alpha: f32,
    },
    /// As `MinMax`, with less for the vectors where the question has a phrase or a name in code that few chunks hold.
    Adaptive {
        /// Weight of the vectors for other questions, 0 to 1.
        alpha: f32,
    },
    /// The sum of `1 / (60 + rank)`.
    Rrf,
}

impl Fusion {
    /// With the weight that somebody asked for; else with that to which an index was tuned, adapted to each question.
    pub fn weighed(asked: Option<f32>, tuned: Option<f32>) -> Self {
        let adaptive = Self::Adaptive { alpha: tuned.unwrap_or(DEFAULT_ALPHA) };
        asked.map_or(adaptive, |alpha| Self::MinMax { alpha })
    }

    /// What it is for a question that names something exactly, or does not.
    pub(super) fn adapted(self, is_exact: bool) -> Self {
        match self {
            Self::Adaptive { alpha } => Self::MinMax { alpha: if is_exact { alpha.min(EXACT_ALPHA) } else { alpha } },
            other => other,
        }
    }

    /// What a candidate gets for a vector that stands at this rank of the nearest.
    fn of_rank(self, near: &Side, rank: usize) -> f32 {
        match self {
            Self::MinMax { alpha } | Self::Adaptive { alpha } => {
                alpha * near.portion(near.0.get(rank.saturating_sub(1)).map(|one| one.score))
            }
            Self::Rrf => 1.0 / (RRF_CONSTANT + rank as f32),
        }
    }
}

impl Default for Fusion {
    fn default() -> Self {
        Self::weighed(None, None)
    }
}

/// A candidate with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) chunk: u32,
    pub(super) cosine: Option<f32>,
    pub(super) bm25: Option<f32>,
    /// What candidates are ordered by.
    pub(super) fused: f32,
}

/// What one side found, best first.
pub(super) struct Side(pub(super) Vec<Scored>);

impl Side {
    /// Adds what is not in the list yet, and keeps the best `limit`.
    pub(super) fn add(&mut self, more: impl Iterator<Item = Scored>, limit: usize) {
        self.0.extend(more);
        self.0.sort_unstable_by(|a, b| b.cmp(a));
        self.0.truncate(limit);
    }

    /// Whether the list does not tell its best from its worst: then what is not in it may be as good as all that is.
    pub(super) fn is_flat(&self) -> bool {
        self.best() <= self.0.last().map_or(0.0, |worst| worst.score)
    }

    fn best(&self) -> f32 {
        self.0.first().map_or(0.0, |best| best.score)
    }

    /// A score of this side as a share of its best, 0 to 1.
    fn portion(&self, score: Option<f32>) -> f32 {
        let (best, score) = (self.best(), score.unwrap_or(0.0));
        if best > 0.0 { (score / best).max(0.0) } else { 0.0 }
    }
}

/// The candidates of both lists, ascending, each once.
pub(super) fn candidates(near: &Side, named: &Side) -> Vec<Candidate> {
    let (near, named) = (&near.0, &named.0);
    let mut candidates: Vec<Candidate> = Vec::with_capacity(near.len() + named.len());
    let of = |scored: &Scored| Candidate { chunk: scored.chunk, cosine: None, bm25: None, fused: 0.0 };
    candidates.extend(near.iter().map(|scored| Candidate { cosine: Some(scored.score), ..of(scored) }));
    candidates.extend(named.iter().map(|scored| Candidate { bm25: Some(scored.score), ..of(scored) }));
    // Stable: where both lists have a chunk, the nearest's stands in front.
    candidates.sort_by_key(|candidate| candidate.chunk);
    candidates.dedup_by(|second, first| {
        let same = second.chunk == first.chunk;
        if same {
            first.bm25 = second.bm25;
        }
        same
    });
    candidates
}

/// The chunks that only words found and that would be among the first `top_k` if vectors gave them that rank: what is nearer
/// still is seldom missed.
pub(super) fn missed(fusion: Fusion, near: &Side, named: &Side, top_k: usize) -> Vec<u32> {
    let mut candidates = candidates(near, named);
    fuse(fusion, near, named, &mut candidates);
    let least = candidates.get(top_k.saturating_sub(1)).map_or(0.0, |last| last.fused);
    let more = fusion.of_rank(near, top_k);
    let is_missed = |one: &&Candidate| one.cosine.is_none() && one.fused + more >= least;
    candidates.iter().filter(is_missed).map(|one| one.chunk).collect()
}

/// Orders candidates, best first. `near` and `named` are the sides that they come from.
pub(super) fn fuse(fusion: Fusion, near: &Side, named: &Side, candidates: &mut [Candidate]) {
    match fusion {
        Fusion::MinMax { alpha } | Fusion::Adaptive { alpha } => {
            for candidate in candidates.iter_mut() {
                candidate.fused = alpha * near.portion(candidate.cosine) + (1.0 - alpha) * named.portion(candidate.bm25);
            }
        }
        Fusion::Rrf => {
            let (near, named) = (ranks(&near.0), ranks(&named.0));
            for candidate in candidates.iter_mut() {
                candidate.fused = share(&near, candidate.chunk) + share(&named, candidate.chunk);
            }
        }
    }
    // Where one side has no weight or nothing to say, the other tells equals apart. Stable, and the candidates stand in the order
    // of their numbers.
    let known = |score: Option<f32>| score.unwrap_or(f32::NEG_INFINITY);
    candidates.sort_by(|a, b| {
        let sides = || known(b.cosine).total_cmp(&known(a.cosine)).then(known(b.bm25).total_cmp(&known(a.bm25)));
        b.fused.total_cmp(&a.fused).then_with(sides)
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_all_that_rrf_sees() {
        let list = |chunks: &[u32]| chunks.iter().map(|&chunk| Scored { chunk, score: 1.0 }).collect::<Vec<_>>();
        let (near, named) = (Side(list(&[7, 3, 9])), Side(list(&[9, 5])));
        let mut found = candidates(&near, &named);
        assert_eq!(found.iter().map(|one| one.chunk).collect::<Vec<_>>(), [3, 5, 7, 9]);
        assert_eq!(found.iter().map(|one| one.bm25.is_some()).collect::<Vec<_>>(), [false, true, false, true]);
        fuse(Fusion::Rrf, &near, &named, &mut found);
        assert_eq!(found.iter().map(|one| one.chunk).collect::<Vec<_>>(), [9, 7, 3, 5]);
        assert_eq!(found[0].fused, 1.0 / 63.0 + 1.0 / 61.0);
        // Equal ranks: in the order of their numbers.
        assert_eq!((found[2].fused, found[3].fused), (1.0 / 62.0, 1.0 / 62.0));
    }

    #[test]
    fn what_a_candidate_is_worth_does_not_hang_on_how_many_there_are() {
        let list = |scores: &[(u32, f32)]| scores.iter().map(|&(chunk, score)| Scored { chunk, score }).collect::<Vec<_>>();
        let fused = |count: usize| {
            let (near, named) = ([(7, 1.0), (3, 0.75), (4, 0.5)], [(2, 8.0), (9, 6.0), (4, 4.0)]);
            let (near, named) = (Side(list(&near[..count])), Side(list(&named[..count])));
            let mut found = candidates(&near, &named);
            fuse(Fusion::MinMax { alpha: 0.5 }, &near, &named, &mut found);
            found.into_iter().map(|one| (one.chunk, one.fused)).collect::<Vec<_>>()
        };
        assert_eq!(fused(1), [(7, 0.5), (2, 0.5)]);
        assert_eq!(fused(2), [(7, 0.5), (2, 0.5), (3, 0.375), (9, 0.375)]);
        // What both sides hold has both shares.
        assert_eq!(fused(3), [(7, 0.5), (4, 0.5), (2, 0.5), (3, 0.375), (9, 0.375)]);
    }

    #[test]
    fn what_probing_did_not_reach_is_looked_up_where_it_could_be_a_hit() {
        let list = |scores: &[(u32, f32)]| Side(scores.iter().map(|&(chunk, score)| Scored { chunk, score }).collect());
        let (mut near, named) = (list(&[(7, 1.0), (3, 0.8)]), list(&[(3, 8.0), (9, 6.0), (4, 0.8)]));
        let half = Fusion::MinMax { alpha: 0.5 };
        // The best has .9, the next .5; as near as rank 2, 9 would have .775, 4 but .45.
        assert!(missed(half, &near, &named, 1).is_empty(), "not even as the nearest");
        assert_eq!(missed(half, &near, &named, 2), [9]);
        assert_eq!(missed(Fusion::Rrf, &near, &named, 2), [9, 4]);
        near.add([Scored { chunk: 9, score: 0.9 }].into_iter(), 2);
        assert_eq!(near.0, list(&[(7, 1.0), (9, 0.9)]).0);
    }

    #[test]
    fn an_exact_question_leans_on_the_words() {
        assert_eq!(Fusion::default().adapted(true), Fusion::MinMax { alpha: EXACT_ALPHA });
        assert_eq!(Fusion::default().adapted(false), Fusion::MinMax { alpha: DEFAULT_ALPHA });
        assert_eq!(Fusion::weighed(None, Some(0.1)).adapted(true), Fusion::MinMax { alpha: 0.1 });
        assert_eq!(Fusion::weighed(Some(0.8), Some(0.1)).adapted(true), Fusion::MinMax { alpha: 0.8 }, "whoever asks is heard");
    }
}
