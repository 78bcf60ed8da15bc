//! Two lists of candidates, one of vectors and one of words, become one order.
//!
//! With `min_max` each side is normalised over its own list: its best is 1, the worst that made the list 0, and so is a
//! candidate that came from the other side only: what is not in a list is no better than its worst. (Of vectors that is so
//! where all were scored. Where only near clusters were, a few that were missed count for less than they are.) Where all chunks
//! that hold a word are in the list, those outside have the score 0, and the worst inside is better than that. A chunk that alone
//! holds the rare word of a question must not sink because its vector is far (Bruch, Gai, Ingber: An Analysis of Fusion Functions
//! for Hybrid Retrieval, arXiv 2210.11934: a convex combination beats reciprocal ranks). With `rrf` only ranks count
//! (Cormack, Clarke, Büttcher 2009).

use serde::{Deserialize, Serialize};

use super::top::Scored;

/// The constant of reciprocal rank fusion, as in the paper.
const RRF_CONSTANT: f32 = 60.0;

/// Weight of the vectors where nobody says otherwise: of .45, .5, .55 and .6 the best on SciFact, SQuAD and Cranfield together.
pub const DEFAULT_ALPHA: f32 = 0.55;

/// The most that vectors weigh where the question names something exactly: above half, the nearest vector would stand before the only
/// chunk that holds the name.
const EXACT_ALPHA: f32 = 0.3;

/// How the two sides of a search become one order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// `alpha * cosine + (1 - alpha) * bm25`, both scaled to 0..1 over their candidates.
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
pub(super) struct Side {
    pub(super) list: Vec<Scored>,
    span: Span,
}

impl Side {
    /// The nearest vectors.
    pub(super) fn of_vectors(list: Vec<Scored>) -> Self {
        Self { span: Span::of(&list), list }
    }

    /// The best by words, of which at most `limit` were asked for.
    pub(super) fn of_words(list: Vec<Scored>, limit: usize) -> Self {
        let mut span = Span::of(&list);
        if list.len() < limit {
            span.low = 0.0;
        }
        Self { span, list }
    }

    /// Whether the list does not tell its best from its worst: then what is not in it may be as good as all that is.
    pub(super) fn is_flat(&self) -> bool {
        self.span.width() <= 0.0
    }
}

/// The candidates of both lists, ascending, each once.
pub(super) fn candidates(near: &Side, named: &Side) -> Vec<Candidate> {
    let (near, named) = (&near.list, &named.list);
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

/// Orders candidates, best first. `near` and `named` are the sides that they come from.
pub(super) fn fuse(fusion: Fusion, near: &Side, named: &Side, candidates: &mut [Candidate]) {
    match fusion {
        Fusion::MinMax { alpha } | Fusion::Adaptive { alpha } => {
            for candidate in candidates.iter_mut() {
                let [near, named] = [(near, candidate.cosine), (named, candidate.bm25)]
                    .map(|(side, score)| score.map_or(0.0, |score| side.span.normalise(score)));
                candidate.fused = alpha * near + (1.0 - alpha) * named;
            }
        }
        Fusion::Rrf => {
            let (near, named) = (ranks(&near.list), ranks(&named.list));
            for candidate in candidates.iter_mut() {
                candidate.fused = share(&near, candidate.chunk) + share(&named, candidate.chunk);
            }
        }
    }
    // Where one side has no weight or nothing to say, the other tells equals apart. Stable, and the candidates stand in the order of
    // their numbers.
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

/// The best and the worst of a list.
#[derive(Debug, Clone, Copy)]
struct Span {
    low: f32,
    high: f32,
}

impl Span {
    fn of(sorted: &[Scored]) -> Self {
        let score = |scored: Option<&Scored>| scored.map_or(0.0, |scored| scored.score);
        Self { low: score(sorted.last()), high: score(sorted.first()) }
    }

    fn width(self) -> f32 {
        self.high - self.low
    }

    fn normalise(self, score: f32) -> f32 {
        let width = self.width();
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
        let (near, named) = (Side::of_vectors(list(&[7, 3, 9])), Side::of_words(list(&[9, 5]), 100));
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
    fn the_worst_of_all_that_hold_a_word_is_better_than_none() {
        let list = |scores: &[(u32, f32)]| scores.iter().map(|&(chunk, score)| Scored { chunk, score }).collect::<Vec<_>>();
        let words = [(2, 5.0), (9, 4.999), (4, 4.0)];
        let fused = |limit| {
            let (near, named) = (Side::of_vectors(list(&[(7, 0.9), (3, 0.5)])), Side::of_words(list(&words), limit));
            let mut found = candidates(&near, &named);
            fuse(Fusion::MinMax { alpha: 0.0 }, &near, &named, &mut found);
            found.into_iter().map(|one| (one.chunk, one.fused)).collect::<Vec<_>>()
        };
        assert_eq!(fused(100), [(2, 1.0), (9, 4.999 / 5.0), (4, 0.8), (7, 0.0), (3, 0.0)]);
        // There may be more: those outside may be as good as the last.
        assert_eq!(fused(3).iter().find(|(chunk, _)| *chunk == 4), Some(&(4, 0.0)));
    }

    #[test]
    fn an_exact_question_leans_on_the_words() {
        assert_eq!(Fusion::default().adapted(true), Fusion::MinMax { alpha: EXACT_ALPHA });
        assert_eq!(Fusion::default().adapted(false), Fusion::MinMax { alpha: DEFAULT_ALPHA });
        assert_eq!(Fusion::weighed(None, Some(0.1)).adapted(true), Fusion::MinMax { alpha: 0.1 });
        assert_eq!(Fusion::weighed(Some(0.8), Some(0.1)).adapted(true), Fusion::MinMax { alpha: 0.8 }, "whoever asks is heard");
    }
}
