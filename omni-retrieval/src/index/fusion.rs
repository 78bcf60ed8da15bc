//! Two lists of candidates, one of vectors and one of words, become one order.
//!
//! With `min_max` each side is a share of its own best: that is 1, and 0 is a score of 0. A candidate that came from one side only is
//! looked up in the other where that could make it a hit, so that the order hangs neither on how many candidates there are nor on how
//! many hits are wanted. Counted as 0 instead, it was worse where the index is large and a hundred candidates are few of it: SQuAD's
//! paragraphs among 100,000 titles had an nDCG@10 of .844, so of .854. A fixed least score was found better than the least of a list,
//! and a convex combination better than reciprocal ranks, by Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid Retrieval,
//! arXiv 2210.11934. With `rrf` only ranks count (Cormack, Clarke, Büttcher 2009).

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
    /// Adds chunks that are not in the list yet, with their scores.
    pub(super) fn add(&mut self, chunks: &[u32], scores: Vec<f32>) {
        self.0.extend(chunks.iter().zip(scores).map(|(&chunk, score)| Scored { chunk, score }));
        self.0.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// The score at a rank, counted from 1; that of the last where it has no such rank.
    fn at(&self, rank: usize) -> Option<f32> {
        self.0.get(rank.saturating_sub(1)).or(self.0.last()).map(|one| one.score)
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

/// The chunks, ascending, that one side did not bring and that would be among the first `top_k` if it gave them as much as it can: those
/// without a cosine, and those without words. What is not in a list is no better than its last; where vectors may be missed
/// (`may_miss`), seldom better than its `top_k`-th.
pub(super) fn unknown(fusion: Fusion, near: &Side, named: &Side, top_k: usize, may_miss: bool) -> [Vec<u32>; 2] {
    let mut candidates = candidates(near, named);
    weigh(fusion, near, named, &mut candidates);
    let mut weights: Vec<f32> = candidates.iter().map(|one| one.fused).collect();
    let last = top_k.saturating_sub(1);
    let least = if last < weights.len() { *weights.select_nth_unstable_by(last, |a, b| b.total_cmp(a)).1 } else { 0.0 };
    let rank = if may_miss { top_k } else { near.0.len() };
    // The most that each side can add.
    let (nearest, best) = match fusion {
        Fusion::MinMax { alpha } | Fusion::Adaptive { alpha } => {
            let words = named.portion(named.at(named.0.len()));
            (alpha * near.portion(near.at(rank)), (1.0 - alpha) * words)
        }
        // What is behind the last rank gets nothing.
        Fusion::Rrf => (if may_miss { 1.0 / (RRF_CONSTANT + rank as f32) } else { 0.0 }, 0.0),
    };
    let chunks = |is_unknown: fn(&Candidate) -> bool, most: f32| {
        let could = |one: &&Candidate| is_unknown(one) && most > 0.0 && one.fused + most >= least;
        candidates.iter().filter(could).map(|one| one.chunk).collect()
    };
    [chunks(|one| one.cosine.is_none(), nearest), chunks(|one| one.bm25.is_none(), best)]
}

/// Orders candidates, best first. `near` and `named` are the sides that they come from.
pub(super) fn fuse(fusion: Fusion, near: &Side, named: &Side, candidates: &mut [Candidate]) {
    weigh(fusion, near, named, candidates);
    // Where one side has no weight or nothing to say, the other tells equals apart. Stable, and the candidates stand in the order
    // of their numbers.
    let known = |score: Option<f32>| score.unwrap_or(f32::NEG_INFINITY);
    candidates.sort_by(|a, b| {
        let sides = || known(b.cosine).total_cmp(&known(a.cosine)).then(known(b.bm25).total_cmp(&known(a.bm25)));
        b.fused.total_cmp(&a.fused).then_with(sides)
    });
}

/// What each candidate is worth, as far as it is known.
fn weigh(fusion: Fusion, near: &Side, named: &Side, candidates: &mut [Candidate]) {
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
    fn what_one_side_did_not_bring_is_looked_up_where_it_could_be_a_hit() {
        let list = |scores: &[(u32, f32)]| Side(scores.iter().map(|&(chunk, score)| Scored { chunk, score }).collect());
        let (mut near, named) = (list(&[(7, 1.0), (3, 0.8)]), list(&[(3, 8.0), (9, 6.0), (4, 0.8)]));
        let half = Fusion::MinMax { alpha: 0.5 };
        let unknown = |fusion, top_k, may_miss| unknown(fusion, &near, &named, top_k, may_miss);
        // The best has .9, the next .5; with the cosine of 3, 9 would have .775 and 4 .45; with the words of 4, 7 would have .55.
        assert!(unknown(half, 1, true).iter().all(Vec::is_empty), "not even as the nearest");
        assert_eq!(unknown(half, 2, true), [vec![9], vec![7]]);
        assert_eq!(unknown(half, 2, false), [vec![9], vec![7]]);
        assert_eq!(unknown(half, 3, false), [vec![4, 9], vec![7]]);
        assert_eq!(unknown(Fusion::Rrf, 2, true), [vec![4, 9], vec![]]);
        assert!(unknown(Fusion::Rrf, 2, false).iter().all(Vec::is_empty));
        near.add(&[9], vec![0.9]);
        assert_eq!(near.0, list(&[(7, 1.0), (9, 0.9), (3, 0.8)]).0);
    }

    #[test]
    fn an_exact_question_leans_on_the_words() {
        assert_eq!(Fusion::default().adapted(true), Fusion::MinMax { alpha: EXACT_ALPHA });
        assert_eq!(Fusion::default().adapted(false), Fusion::MinMax { alpha: DEFAULT_ALPHA });
        assert_eq!(Fusion::weighed(None, Some(0.1)).adapted(true), Fusion::MinMax { alpha: 0.1 });
        assert_eq!(Fusion::weighed(Some(0.8), Some(0.1)).adapted(true), Fusion::MinMax { alpha: 0.8 }, "whoever asks is heard");
    }
}
