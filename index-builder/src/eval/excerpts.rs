//! Chunking strategies side by side: how much of the text that answers a question is in the chunks that are retrieved, and
//! how much else.
//!
//! Counted in bytes of the documents, as in Chroma's evaluation of chunking (Smith and Troynikov 2024): recall is the share
//! of the excerpts that the first `k` chunks hold; precision the share of what these chunks hold that is excerpt, what
//! overlapping chunks repeat counted again; IoU the excerpts found by excerpts and chunks together.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use omni_retrieval::embed::Embedder;
use omni_retrieval::index::{Fusion, Index, Lexical, Manifest, Query};
use rayon::prelude::*;
use serde::Deserialize;

use super::lines;
use crate::cache::{Cache, Key};
use crate::chunk::{self, Settings, Strategy};
use crate::cli::name;
use crate::embedding::{self, Embedding};
use crate::extract::{Document, Limits, Sandbox};
use crate::metadata::composed;
use crate::note;
use crate::pipeline::{Prepared, Unwritten, apart, describe};
use crate::progress::Progress;
use crate::report::shown;
use crate::source::{Entry, Options, Source};

/// What to measure.
pub(crate) struct Excerpts {
    /// Lines of `{"question", "source", "excerpts"}`.
    pub(crate) questions: PathBuf,
    /// The documents.
    pub(crate) documents: PathBuf,
    /// Chunks that are retrieved for each question.
    pub(crate) top_k: usize,
    /// Most of one chunk, where not each strategy's default.
    pub(crate) chunk_size: Option<usize>,
    pub(crate) alpha: Option<f32>,
    pub(crate) lexical: Lexical,
    pub(crate) model: PathBuf,
    pub(crate) cache: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    question: String,
    source: String,
    excerpts: Vec<String>,
}

/// A question and the bytes of a document that answer it.
struct Asked {
    document: u32,
    /// Sorted and apart.
    spans: Vec<Range<u64>>,
}

/// The figures of one strategy.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    recall: f64,
    precision: f64,
    iou: f64,
}

/// Measures every strategy and draws the table.
pub(crate) fn run(excerpts: &Excerpts, progress: Progress) -> Result<String> {
    let embedder = Embedder::open(&excerpts.model)?;
    embedder.verify()?;
    let cache = Cache::open(&excerpts.cache)?;
    let rows: Vec<Row> = lines(&excerpts.questions, "`question`, `source` and `excerpts`")?;
    let documents = read(&excerpts.documents)?;
    let asked = rows.iter().map(|row| locate(row, &documents)).collect::<Result<Vec<_>>>()?;
    let vectors = Embedding::Packed(&embedder).questions(&rows.iter().map(|row| row.question.as_str()).collect::<Vec<_>>())?;
    let fusion = Fusion::weighed(excerpts.alpha, None);
    let k = excerpts.top_k;
    let mut text = format!(
        "{} questions, {} documents, hybrid search\n{:<11} {:>6} {:>6} {:>5} {:>10} {:>13} {:>6}\n",
        rows.len(),
        documents.len(),
        "strategy",
        "chunks",
        "tokens",
        "<40",
        format!("recall@{k}"),
        format!("precision@{k}"),
        "IoU"
    );
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    for &strategy in Strategy::value_variants() {
        let given = chunk::Given { strategy, chunk_size: excerpts.chunk_size, ..chunk::Given::default() };
        let settings = given.for_model(&embedder)?;
        let path = folder.path().join("strategy.omni");
        let tokens = build(&path, &settings, &documents, excerpts.lexical, &embedder, &cache, progress)?;
        let index = Index::open(&path)?;
        let questions = rows.par_iter().zip(&asked).zip(&vectors);
        let figures = questions.map(|((row, asked), vector)| {
            let query =
                Query { vector: Some(vector), text: Some(&row.question), top_k: k, fusion, distinct: true, ..Query::default() };
            ask(&index, &query, asked)
        });
        text += &line(strategy, &tokens, &figures.collect::<Result<Vec<_>>>()?);
    }
    Ok(text)
}

/// What one question finds.
fn ask(index: &Index, query: &Query<'_>, asked: &Asked) -> Result<Figures> {
    let mut chunks = Vec::with_capacity(query.top_k);
    for hit in index.search(query)? {
        let chunk = index.chunk(hit.chunk)?;
        chunks.push((chunk.document, chunk.start..chunk.end));
    }
    Ok(figures(asked, &chunks))
}

/// A line of the table.
fn line(strategy: Strategy, tokens: &[usize], figures: &[Figures]) -> String {
    let mean = |of: fn(&Figures) -> f64| figures.iter().map(of).sum::<f64>() / figures.len().max(1) as f64;
    format!(
        "{:<11} {:>6} {:>6} {:>5} {:>10.4} {:>13.4} {:>6.4}\n",
        name(strategy),
        tokens.len(),
        tokens.iter().sum::<usize>() / tokens.len().max(1),
        tokens.iter().filter(|&&count| count < 40).count(),
        mean(|figures| figures.recall),
        mean(|figures| figures.precision),
        mean(|figures| figures.iou),
    )
}

fn figures(asked: &Asked, chunks: &[(u32, Range<u64>)]) -> Figures {
    let own: Vec<Range<u64>> =
        chunks.iter().filter(|(document, _)| *document == asked.document).map(|(_, span)| span.clone()).collect();
    // Chunks that overlap show the same excerpt twice, and cost their room twice.
    let shown: u64 = chunks.iter().map(|(_, span)| span.end - span.start).sum();
    let useful = overlap(&asked.spans, &own);
    let hit = overlap(&asked.spans, &union(own));
    let wanted: u64 = asked.spans.iter().map(|span| span.end - span.start).sum();
    let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    Figures { recall: ratio(hit, wanted), precision: ratio(useful, shown), iou: ratio(hit, wanted + shown - useful) }
}

fn union(mut spans: Vec<Range<u64>>) -> Vec<Range<u64>> {
    spans.sort_unstable_by_key(|span| span.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}

fn overlap(a: &[Range<u64>], b: &[Range<u64>]) -> u64 {
    let common = |a: &Range<u64>, b: &Range<u64>| a.end.min(b.end).saturating_sub(a.start.max(b.start));
    a.iter().map(|a| b.iter().map(|b| common(a, b)).sum::<u64>()).sum()
}

/// The documents of a folder, in order; what a build would skip is skipped, and said.
fn read(folder: &Path) -> Result<Vec<(Entry, Document)>> {
    let source = Source::open(&Options { source: Some(folder.to_owned()), ..Options::default() })?;
    let sandbox = Sandbox::new(Limits::default())?;
    let skip = |path: &str, reason: String| note(format_args!("skipped: {}: {}", shown(path), shown(&reason)));
    let mut documents = Vec::new();
    let listing = source.list()?;
    listing.skipped.iter().for_each(|(path, reason)| skip(path, reason.to_string()));
    let (_, entries) = apart(listing.entries);
    for entry in entries {
        let document = match source.read(&entry)? {
            Ok(content) => {
                sandbox.extract(&content.bytes, &entry.source, content.charset.as_deref())?.map_err(|why| why.to_string())
            }
            Err(reason) => Err(reason.to_string()),
        };
        match document {
            Ok(document) => documents.push((entry, document)),
            Err(reason) => skip(&entry.source, reason),
        }
    }
    Ok(documents)
}

/// Finds the excerpts of a question in the text that is indexed.
fn locate(row: &Row, documents: &[(Entry, Document)]) -> Result<Asked> {
    let source = composed(&row.source);
    let Some(number) = documents.iter().position(|(entry, _)| composed(&entry.source) == source) else {
        bail!("`{}`: no such document, for the question `{}`", row.source, row.question);
    };
    let text = &documents[number].1.text;
    if row.excerpts.is_empty() {
        bail!("`{}`: no excerpts for the question `{}`", row.source, row.question);
    }
    let mut spans = Vec::with_capacity(row.excerpts.len());
    for excerpt in &row.excerpts {
        let excerpt = composed(excerpt.trim());
        let Some(start) = text.find(&excerpt).filter(|_| !excerpt.is_empty()) else {
            bail!("`{}`: does not hold the excerpt `{excerpt}` of the question `{}`", row.source, row.question);
        };
        spans.push(start as u64..(start + excerpt.len()) as u64);
    }
    Ok(Asked { document: number as u32, spans: union(spans) })
}

/// Writes an index of all documents and says how many tokens each chunk has.
fn build(
    path: &Path,
    settings: &Settings,
    documents: &[(Entry, Document)],
    lexical: Lexical,
    embedder: &Embedder,
    cache: &Cache,
    progress: Progress,
) -> Result<Vec<usize>> {
    let distances = |windows: &[&str]| embedding::distances(embedder, cache, windows);
    let (mut prepared, mut tokens) = (Vec::with_capacity(documents.len()), Vec::new());
    for (entry, document) in documents {
        let chunks = chunk::split(document, settings, embedder.tokenizer(), &distances)?;
        tokens.extend(chunks.iter().map(|chunk| chunk.tokens));
        prepared.push(Prepared::new(describe(entry, document, String::new()), document, &chunks));
    }
    let texts: Vec<(Key, &str)> = prepared.iter().flat_map(Prepared::texts).collect();
    let embedding = Embedding::Packed(embedder);
    let (vectors, _) = embedding.embed(&texts, &mut embedding.store(cache)?, "chunk", progress)?;
    let manifest = Manifest { chunking: serde_json::to_value(settings)?, lexical, ..embedding.manifest() };
    Unwritten { manifest, documents: &prepared, vectors: &vectors }.write(path)?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_as_the_paper_counts_tokens() {
        let asked = Asked { document: 1, spans: vec![0..10, 20..30] };
        let all = figures(&asked, &[(1, 0..40)]);
        assert_eq!((all.recall, all.precision, all.iou), (1.0, 0.5, 0.5));
        // Half of the excerpts, shown twice, and a chunk of another document.
        let half = figures(&asked, &[(1, 0..10), (1, 5..15), (0, 20..30)]);
        assert_eq!((half.recall, half.precision), (0.5, 0.5));
        assert_eq!(figures(&asked, &[]).recall, 0.0);
    }
}
