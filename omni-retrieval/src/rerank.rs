//! Reranking: the best hits of a search are read again beside the question by a cross-encoder, which knows more than two vectors
//! that were made apart, and blended with the order that there was. Switched on by giving a model; a request can leave it out.

use std::time::Instant;

use crate::embed::Reranker;
use crate::error::{Error, Result};
use crate::index::{HEADING_SEPARATOR, Hit, Index, Query};

/// Who reads again, and how much that counts.
#[derive(Clone, Copy)]
pub struct Reranking<'a> {
    /// The cross-encoder.
    pub reranker: &'a Reranker,
    /// Hits that it reads, or as many as are wanted where that is more.
    pub depth: usize,
    /// Its weight against the order before it, 0 to 1.
    pub weight: f32,
    /// When it has to be done; a batch that was begun is finished.
    pub until: Option<Instant>,
}

/// Passages between two looks at the clock.
const AT_ONCE: usize = 16;

/// What [`Index::search`] finds, in the order of both: `fused` is the blend. And whether that was done: where time ran out, the
/// order is that of the search.
///
/// # Errors
/// As [`Index::search`]; the query has no text.
pub fn search(index: &Index, query: &Query<'_>, reranking: &Reranking<'_>) -> Result<(Vec<Hit>, bool)> {
    let Some(question) = query.text else {
        return Err(Error::bad_request("query: has no text to rerank by; give one, or leave reranking out"));
    };
    let depth = query.top_k.max(reranking.depth);
    let mut hits = index.search(&Query { top_k: depth, ..*query })?;
    let texts = hits.iter().map(|hit| text(index, hit.chunk)).collect::<Result<Vec<String>>>()?;
    index.require_whole()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut logits = Vec::with_capacity(texts.len());
    for some in texts.chunks(AT_ONCE) {
        if reranking.until.is_some_and(|until| Instant::now() >= until) {
            hits.truncate(query.top_k);
            return Ok((hits, false));
        }
        logits.extend(reranking.reranker.score(question, some)?);
    }
    let fused: Vec<f32> = hits.iter().map(|hit| hit.fused).collect();
    hits.iter_mut().zip(blend(&fused, &logits, reranking.weight)).for_each(|(hit, blended)| hit.fused = blended);
    hits.sort_by(|a, b| b.fused.total_cmp(&a.fused).then(a.chunk.cmp(&b.chunk)));
    if query.distinct {
        // Which one of those that say the same is the better one has changed.
        hits = index.spread(hits, query.top_k)?;
    }
    hits.truncate(query.top_k);
    Ok((hits, true))
}

/// A chunk with what it is about, which often stands in its title and headings only: as it was embedded.
fn text(index: &Index, chunk: u32) -> Result<String> {
    let chunk = index.chunk(chunk)?;
    let title = index.document(chunk.document)?.title;
    let title = if chunk.is_headed(&title) { "" } else { &title };
    let about: Vec<&str> = [title, chunk.headings].into_iter().filter(|part| !part.is_empty()).collect();
    Ok(if about.is_empty() { chunk.text.into_owned() } else { format!("{}\n{}", about.join(HEADING_SEPARATOR), chunk.text) })
}

/// The first order scaled to 0..1 by its least and greatest score, and the probability that a logit means: where nothing is
/// relevant to the cross-encoder, all probabilities are near 0 and the first order decides.
fn blend(fused: &[f32], logits: &[f32], weight: f32) -> Vec<f32> {
    let (least, greatest) = fused
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, greatest), &score| (least.min(score), greatest.max(score)));
    let scaled = |score: f32| if greatest > least { (score - least) / (greatest - least) } else { 1.0 };
    let probability = |logit: f32| 1.0 / (1.0 + (-logit).exp());
    fused.iter().zip(logits).map(|(&score, &logit)| (1.0 - weight) * scaled(score) + weight * probability(logit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(scores: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order
    }

    #[test]
    fn the_weight_says_who_decides() {
        let (fused, logits) = ([0.9, 0.6, 0.3], [-4.0, 0.0, 5.0]);
        assert_eq!(order(&blend(&fused, &logits, 0.0)), [0, 1, 2]);
        assert_eq!(order(&blend(&fused, &logits, 1.0)), [2, 1, 0]);
        let blended = blend(&fused, &logits, 0.5);
        assert!(blended.iter().all(|score| (0.0..=1.0).contains(score)));
    }

    #[test]
    fn where_nothing_is_relevant_the_first_order_stays() {
        assert_eq!(order(&blend(&[0.5, 0.4, 0.2], &[-11.0, -9.0, -10.0], 0.7)), [0, 1, 2]);
    }

    #[test]
    fn equal_scores_and_single_hits_stay_finite() {
        assert!(blend(&[0.2, 0.2], &[1.0, -1.0], 0.7).into_iter().all(f32::is_finite));
        assert!(blend(&[0.0], &[f32::MIN], 0.7).into_iter().all(f32::is_finite));
        assert!(blend(&[], &[], 0.7).is_empty());
    }
}
