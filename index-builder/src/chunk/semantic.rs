//! `semantic`: cut where neighbouring sentences are about different things.
//!
//! At each gap between sentences, the two before it are compared with the two after it. Where their cosine distance is among the
//! largest of the document *and* large in itself, a new region begins; regions are packed like any other, so the size always
//! holds. The percentile alone would cut a document about one thing as often as one about ten; the floor alone would shred a
//! glossary. The windows do not overlap: shared sentences would hide the change that is looked for.

use std::collections::VecDeque;
use std::ops::Range;

use omni_retrieval::error::{Error, Result};

use super::plan::Plan;
use super::structure::{self, SENTENCE};
use crate::extract::Document;

/// Share of the distances that a break must exceed.
const PERCENTILE: f64 = 0.90;

/// Cosine distance below which two windows are about the same thing, whatever the percentile. With all-MiniLM-L6-v2, neighbouring
/// windows of one document are some 0.6 apart in the median.
const FLOOR: f32 = 0.5;

/// Windows embedded in one call; bounds what is held in memory.
const BATCH: usize = 512;

/// The cosine distance between each window of text and the one after the next; see [`distances`].
pub(super) type Distances<'a> = &'a dyn Fn(&[&str]) -> Result<Vec<f32>>;

/// Cuts between sentences. The regions come later, from [`borders`], when sentences can be measured.
pub(super) fn plan(document: &Document) -> Plan {
    Plan { marks: structure::marks(document), borders: Vec::new() }
}

/// Where regions begin. `is_enough` says of a stretch of text whether it may be a region of its own.
///
/// # Errors
/// `distances` failed.
pub(super) fn borders(
    document: &Document,
    plan: &Plan,
    is_enough: impl Fn(Range<usize>) -> bool,
    distances: Distances<'_>,
) -> Result<Vec<usize>> {
    let text = document.text.as_str();
    let sentences = sentences(document, plan);
    if sentences.len() < 2 {
        return Ok(Vec::new());
    }
    // Window `k` ends with sentence `k`; the gap after sentence `g` lies between the windows `g` and `g + 2`.
    let windows: Vec<&str> = (0..=sentences.len())
        .map(|index| {
            let (first, last) = (index.saturating_sub(1), index.min(sentences.len() - 1));
            text[sentences[first].start..sentences[last].end].trim()
        })
        .collect();
    let distances = distances(&windows)?;
    let mut sorted = distances.clone();
    sorted.sort_by(f32::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let rank = (sorted.len() as f64 * PERCENTILE) as usize;
    let threshold = sorted.get(rank).copied().unwrap_or(FLOOR).max(FLOOR);
    let mut borders = vec![0];
    let mut from = 0;
    for (index, &distance) in distances.iter().enumerate() {
        let at = sentences[index + 1].start;
        let around = &distances[index.saturating_sub(1)..(index + 2).min(distances.len())];
        let is_peak = around.iter().all(|&other| other <= distance);
        if is_peak && distance >= threshold && is_enough(from..at) && is_enough(at..text.len()) {
            borders.push(at);
            from = at;
        }
    }
    Ok(borders)
}

/// Sentences that say something, in order; a block counts as one.
fn sentences(document: &Document, plan: &Plan) -> Vec<Range<usize>> {
    let mut starts: Vec<usize> = plan
        .marks
        .iter()
        .filter(|mark| mark.rank <= SENTENCE)
        .map(|mark| mark.at)
        .filter(|&at| {
            let block = document.blocks.partition_point(|block| block.span.end <= at);
            document.blocks.get(block).is_none_or(|block| at <= block.span.start)
        })
        .collect();
    starts.extend([0, document.text.len()]);
    starts.sort_unstable();
    starts.dedup();
    let spans = starts.windows(2).map(|pair| pair[0]..pair[1]);
    spans.filter(|span| !document.text[span.clone()].trim().is_empty()).collect()
}

/// The cosine distance between each window and the one after the next, as `embed` sees them, which embeds texts in order.
///
/// # Errors
/// Embedding failed.
pub(crate) fn distances(windows: &[&str], embed: impl Fn(&[&str]) -> Result<Vec<Vec<f32>>>) -> Result<Vec<f32>> {
    let mut distances = Vec::with_capacity(windows.len());
    let mut last: VecDeque<Vec<f32>> = VecDeque::with_capacity(3);
    for batch in windows.chunks(BATCH) {
        let vectors = embed(batch)?;
        if vectors.len() != batch.len() {
            return Err(Error::internal(format!("embedding: {} vectors for {} texts", vectors.len(), batch.len())));
        }
        for vector in vectors {
            if last.len() == 2
                && let Some(before) = last.pop_front()
            {
                distances.push(1.0 - cosine(&before, &vector));
            }
            last.push_back(vector);
        }
    }
    Ok(distances)
}

/// The cosine of two vectors of any length; 0 where one of them is zero.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}
