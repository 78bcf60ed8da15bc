//! From a query to hits: what may be seen, candidates of both sides, one order, near-duplicates behind the others.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::allowed::{Allowed, Bits};
use super::filter::Filter;
use super::fusion::{self, Candidate, Fusion, Side};
use super::lexical::Scorer;
use super::quantised::{Quantised, checked};
use super::record::ChunkRecord;
use super::top::Scored;
use super::vectors::Vectors;
use super::view::View;
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
    let vector = query.vector.map(|vector| checked(vector, index.manifest.dimensions, "question")).transpose()?;
    check(query)?;
    let allowed = allowed(index, query.filter, query.access)?;
    let vectors = index.vectors()?;
    let scorer = |text| Scorer::new(&index.view, index.manifest.lexical, text, &allowed);
    let mut scorer = query.text.map(scorer).transpose()?;
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
            complete(&mut found, |one| &mut one.cosine, |chunks| vectors.cosines(vector, chunks))?;
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
        complete(&mut found, |one| &mut one.cosine, |chunks| vectors.cosines(vector, chunks))?;
        complete(&mut found, |one| &mut one.bm25, |chunks| scorer.scores(chunks))?;
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

fn check(query: &Query<'_>) -> Result<()> {
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
    let mut named = Side(scorer.best(allowed, limit)?);
    let fusion = query.fusion.adapted(scorer.is_exact);
    // Only what could be a hit is looked up: it touches the file all over.
    let [far, unnamed] = fusion::unknown(fusion, &near, &named, query.top_k, vectors.may_miss(query.recall));
    near.add(&far, vectors.cosines(vector, &far)?);
    named.add(&unnamed, scorer.scores(&unnamed)?);
    let mut candidates = fusion::candidates(&near, &named);
    fusion::fuse(fusion, &near, &named, &mut candidates);
    Ok(candidates)
}

/// Looks up the scores of one side that are not known yet, in the order of the chunks.
fn complete(
    candidates: &mut [Candidate],
    score: fn(&mut Candidate) -> &mut Option<f32>,
    look_up: impl FnOnce(&[u32]) -> Result<Vec<f32>>,
) -> Result<()> {
    let mut unknown: Vec<&mut Candidate> = candidates.iter_mut().filter_map(|one| score(one).is_none().then_some(one)).collect();
    unknown.sort_unstable_by_key(|one| one.chunk);
    let chunks: Vec<u32> = unknown.iter().map(|one| one.chunk).collect();
    let scores = look_up(&chunks)?;
    unknown.into_iter().zip(scores).for_each(|(one, known)| *score(one) = Some(known));
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
    let (mut kept, mut twins, mut seen) = (Vec::new(), Vec::new(), Seen { view: &index.view, vectors, known: Vec::new() });
    for hit in hits {
        if kept.len() >= top_k {
            break;
        }
        if seen.add(chunk_of(&hit))? {
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
struct Seen<'a> {
    view: &'a View,
    vectors: &'a Vectors<'a>,
    known: Vec<Known<'a>>,
}

struct Known<'a> {
    chunk: u32,
    record: ChunkRecord,
    /// Read where another is as long.
    text: OnceCell<Cow<'a, str>>,
}

impl<'a> Known<'a> {
    fn text(&self, view: &'a View) -> Result<&str> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = self.record.text(view)?;
        Ok(self.text.get_or_init(|| text))
    }
}

impl Seen<'_> {
    /// Adds a chunk, unless it says the same as one that is here.
    fn add(&mut self, chunk: u32) -> Result<bool> {
        let one = Known { chunk, record: ChunkRecord::of(self.view, chunk)?, text: OnceCell::new() };
        let mut neighbours = Vec::new();
        for other in &self.known {
            if one.record.length == other.record.length && one.text(self.view)? == other.text(self.view)? {
                return Ok(false);
            }
            if one.record.document == other.record.document {
                neighbours.push(other.chunk);
            }
        }
        if !neighbours.is_empty() {
            let similarities = self.vectors.cosines(&self.vectors.vector(chunk)?, &neighbours)?;
            if similarities.into_iter().any(|similarity| similarity > TWINS) {
                return Ok(false);
            }
        }
        self.known.push(one);
        Ok(true)
    }
}

fn by_cosine(scored: Scored) -> Candidate {
    Candidate { chunk: scored.chunk, cosine: Some(scored.score), bm25: None, fused: scored.score }
}

fn by_words(scored: Scored) -> Candidate {
    Candidate { chunk: scored.chunk, cosine: None, bm25: Some(scored.score), fused: scored.score }
}
