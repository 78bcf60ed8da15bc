//! From a query to hits: what may be seen, candidates of both sides, one order, near-duplicates behind the others.

use super::allowed::{Allowed, Bits};
use super::filter::Filter;
use super::format::{CHUNK_RECORD, u32_at};
use super::fusion::{self, Candidate, Fusion, Side};
use super::lexical::Scorer;
use super::quantised::{Quantised, quantise};
use super::record::text_of;
use super::section::Section;
use super::top::Scored;
use super::vectors::Vectors;
use super::{Hit, Index, Query};
use crate::error::{Error, Result};

/// Candidates that each side brings, unless more hits are wanted.
const CANDIDATES: usize = 100;

/// How many times as many candidates are looked at where most repeat others and too few are left.
const DEEPER: usize = 10;

/// Two chunks of one document whose cosine is above this say the same.
const TWINS: f32 = 0.97;

/// The best chunks, best first.
pub(super) fn search(index: &Index, query: &Query<'_>) -> Result<Vec<Hit>> {
    check(index, query)?;
    let allowed = allowed(index, query.filter, query.access)?;
    let view = &index.view;
    let vectors = Vectors::of(view, index.kernel, &index.rotation)?;
    let vector = query.vector.map(quantise);
    let mut scorer = query.text.map(|text| Scorer::new(view, index.manifest.lexical, text, &allowed)).transpose()?;
    let reserve = query.top_k.max(CANDIDATES);
    let depth = match (&vector, &scorer) {
        (Some(_), Some(_)) => reserve,
        _ if query.distinct => query.top_k.saturating_add(reserve),
        _ => query.top_k,
    };
    let mut found = Vec::new();
    for limit in [depth, depth.saturating_mul(DEEPER)] {
        found = match (&vector, &mut scorer) {
            (Some(vector), None) => {
                vectors.nearest(vector, &allowed, limit, query.top_k, query.recall)?.into_iter().map(by_cosine).collect()
            }
            (None, Some(scorer)) => scorer.best(&allowed, limit)?.into_iter().map(by_words).collect(),
            (Some(vector), Some(scorer)) => fuse(&vectors, vector, scorer, &allowed, query, limit)?,
            (None, None) => Vec::new(),
        };
        let is_all = found.len() < limit;
        if let (Some(threshold), Some(vector)) = (query.score_threshold, &vector) {
            complete_cosines(&vectors, vector, &mut found)?;
            found.retain(|one| one.cosine.is_some_and(|cosine| cosine >= threshold));
        }
        if !query.distinct {
            break;
        }
        let different;
        (found, different) = spread(index, &vectors, found, query.top_k, |one| one.chunk)?;
        if is_all || different == found.len().min(query.top_k) {
            break;
        }
    }
    found.truncate(query.top_k);
    if let (Some(vector), Some(scorer)) = (&vector, &mut scorer) {
        complete_cosines(&vectors, vector, &mut found)?;
        complete_bm25s(scorer, &mut found)?;
    }
    let hit = |one: Candidate| Hit {
        chunk: one.chunk,
        cosine: one.cosine.unwrap_or_default(),
        bm25: one.bm25.unwrap_or_default(),
        fused: one.fused,
    };
    Ok(found.into_iter().map(hit).collect())
}

/// The chunks that a caller with these labels finds through this filter.
pub(super) fn allowed(index: &Index, filter: Option<&Filter>, access: &[String]) -> Result<Allowed> {
    let view = &index.view;
    let mut allowed: Option<Bits> = None;
    let mut keep = |bits: Bits| match &mut allowed {
        Some(allowed) => allowed.intersect(&bits),
        None => allowed = Some(bits),
    };
    if index.manifest.labelled {
        keep(index.facets()?.visible(access)?);
    }
    if let Some(filter) = filter {
        keep(index.facets()?.matching(filter)?);
    }
    if let Some(mut gone) = index.gone.documents(view.superblock().documents) {
        gone.complement();
        keep(index.facets()?.chunks_of(gone)?);
    }
    Ok(allowed.map_or(Allowed::All, Allowed::Only))
}

fn check(index: &Index, query: &Query<'_>) -> Result<()> {
    let dimensions = index.view.superblock().dimensions as usize;
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
    if let Fusion::MinMax { alpha } | Fusion::Adaptive { alpha } = query.fusion
        && !(0.0..=1.0).contains(&alpha)
    {
        return Err(Error::bad_request(format!("`alpha`: {alpha} is not between 0 and 1")));
    }
    match query.score_threshold {
        Some(_) if query.vector.is_none() => {
            Err(Error::bad_request("`score_threshold`: is a cosine and needs a vector; leave one out"))
        }
        Some(threshold) if threshold.is_nan() => Err(Error::bad_request("`score_threshold`: is not a number")),
        _ => Ok(()),
    }
}

fn fuse(
    vectors: &Vectors<'_>,
    vector: &Quantised,
    scorer: &mut Scorer<'_>,
    allowed: &Allowed,
    query: &Query<'_>,
    limit: usize,
) -> Result<Vec<Candidate>> {
    let mut near = Side(vectors.nearest(vector, allowed, limit, query.top_k, query.recall)?);
    let named = Side(scorer.best(allowed, limit)?);
    let fusion = query.fusion.adapted(scorer.is_exact);
    if vectors.may_miss(query.recall) {
        let missed = fusion::missed(fusion, &near, &named, query.top_k);
        let cosines = vectors.cosines(vector, &missed)?;
        near.add(missed.into_iter().zip(cosines).map(|(chunk, score)| Scored { score, chunk }), limit);
    }
    let mut candidates = fusion::candidates(&near, &named);
    // Looking up what is not in a list is work that seldom changes anything, and touches the file all over.
    if near.is_flat() {
        complete_cosines(vectors, vector, &mut candidates)?;
    }
    if named.is_flat() {
        complete_bm25s(scorer, &mut candidates)?;
    }
    fusion::fuse(fusion, &near, &named, &mut candidates);
    Ok(candidates)
}

/// Looks up the cosines that are not known yet.
fn complete_cosines(vectors: &Vectors<'_>, vector: &Quantised, candidates: &mut [Candidate]) -> Result<()> {
    let unknown: Vec<&mut Candidate> = candidates.iter_mut().filter(|one| one.cosine.is_none()).collect();
    let chunks: Vec<u32> = unknown.iter().map(|one| one.chunk).collect();
    let cosines = vectors.cosines(vector, &chunks)?;
    unknown.into_iter().zip(cosines).for_each(|(one, cosine)| one.cosine = Some(cosine));
    Ok(())
}

/// Looks up what words say of those of which it is not known yet.
fn complete_bm25s(scorer: &mut Scorer<'_>, candidates: &mut [Candidate]) -> Result<()> {
    let mut unknown: Vec<&mut Candidate> = candidates.iter_mut().filter(|one| one.bm25.is_none()).collect();
    unknown.sort_unstable_by_key(|one| one.chunk);
    let chunks: Vec<u32> = unknown.iter().map(|one| one.chunk).collect();
    let bm25s = scorer.scores(&chunks)?;
    unknown.into_iter().zip(bm25s).for_each(|(one, bm25)| one.bm25 = Some(bm25));
    Ok(())
}

/// Puts hits that say the same as a better one behind all others: they are still found where nothing else is left. In one
/// document what is very alike says the same. Of different documents only equal texts do: yearly reports are alike and not the
/// same; and a copy's vector may be far away, because titles and headings are part of it. With them goes how many are in front.
pub(super) fn spread<T>(
    index: &Index,
    vectors: &Vectors<'_>,
    hits: Vec<T>,
    top_k: usize,
    chunk_of: impl Fn(&T) -> u32,
) -> Result<(Vec<T>, usize)> {
    let (mut kept, mut seen): (Vec<T>, Seen) = (Vec::new(), Seen::default());
    let mut twins = Vec::new();
    for hit in hits {
        if kept.len() >= top_k {
            break;
        }
        if seen.add(index, vectors, chunk_of(&hit))? {
            kept.push(hit);
        } else {
            twins.push(hit);
        }
    }
    let different = kept.len();
    kept.append(&mut twins);
    Ok((kept, different))
}

/// Chunks that say different things.
#[derive(Default)]
struct Seen {
    chunks: Vec<u32>,
    /// The document of each, and the bytes of its text.
    records: Vec<(u32, u32)>,
}

impl Seen {
    /// Adds a chunk, unless it says the same as one that is here.
    fn add(&mut self, index: &Index, vectors: &Vectors<'_>, chunk: u32) -> Result<bool> {
        let record = index.view.bytes(Section::Chunks, u64::from(chunk) * CHUNK_RECORD, CHUNK_RECORD)?;
        let (document, length) = (u32_at(record, 28), u32_at(record, 24));
        let mut neighbours = Vec::new();
        for (&other, &(its_document, its_length)) in self.chunks.iter().zip(&self.records) {
            if length == its_length && text_of(&index.view, chunk)? == text_of(&index.view, other)? {
                return Ok(false);
            }
            if document == its_document {
                neighbours.push(other);
            }
        }
        if !neighbours.is_empty() {
            let similarities = vectors.cosines(&vectors.vector(chunk)?, &neighbours)?;
            if similarities.into_iter().any(|similarity| similarity > TWINS) {
                return Ok(false);
            }
        }
        self.chunks.push(chunk);
        self.records.push((document, length));
        Ok(true)
    }
}

fn by_cosine(scored: Scored) -> Candidate {
    Candidate { chunk: scored.chunk, cosine: Some(scored.score), bm25: None, fused: scored.score }
}

fn by_words(scored: Scored) -> Candidate {
    Candidate { chunk: scored.chunk, cosine: None, bm25: Some(scored.score), fused: scored.score }
}
