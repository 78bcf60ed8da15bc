//! Is retrieval good enough? Three measurements, all through the very index, embedder and fusion that answer questions.
//!
//! [`gate`] asks a built index questions whose sources are known, and can fail a build; [`excerpts`] compares chunking
//! strategies by the text that has to be found; [`testset`] scores a judged test set, as in papers.

pub(crate) mod excerpts;
pub(crate) mod gate;
mod metrics;
pub(crate) mod testset;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use omni_llm::index::{Filter, Fusion, Index, Query};
use omni_llm::rerank::{self, Reranking};
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::embedding::Embedding;

/// Hits that are looked at: enough for every metric.
const DEPTH: usize = 10;

/// A question and where its answer stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) question: String,
    /// The document that answers it, as answers name it.
    source: Option<String>,
    /// All of several that have to be found.
    #[serde(default)]
    sources: Vec<String>,
    /// The page of it.
    page: Option<u32>,
    /// Text that the right chunk holds.
    text: Option<String>,
    /// What the question is narrowed down by, as in requests.
    filter: Option<Value>,
}

/// What became of one question.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// For each thing expected, its rank from 1, where it was found.
    ranks: Vec<Option<usize>>,
    /// The sources of the hits, best first.
    found: Vec<String>,
}

/// What became of all of them.
#[derive(Debug, Clone)]
pub(crate) struct Scores {
    pub(crate) outcomes: Vec<Outcome>,
}

impl Scores {
    /// The share of what is expected that stands among the first `k`.
    pub(crate) fn recall(&self, k: usize) -> f64 {
        self.mean(|gains, expected| metrics::recall(gains, expected, k))
    }

    /// Discounted gain among the first `k` by the best that was possible.
    pub(crate) fn ndcg(&self, k: usize) -> f64 {
        self.mean(|gains, expected| metrics::ndcg(gains, expected, k))
    }

    /// One by the rank of the first thing that is expected, 0 beyond `k`.
    pub(crate) fn mrr(&self, k: usize) -> f64 {
        self.mean(|gains, _| metrics::mrr(gains, k))
    }

    /// Everything that is expected is worth the same.
    fn mean(&self, of: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
        let each = self.outcomes.iter().map(|outcome| {
            let mut gains = [0.0; DEPTH];
            outcome.ranks.iter().flatten().for_each(|rank| gains[rank - 1] = 1.0);
            of(&gains, &vec![1.0; outcome.ranks.len()])
        });
        each.sum::<f64>() / self.outcomes.len().max(1) as f64
    }

    /// Whether there was anything to measure: an index that never answers may also be the wrong one.
    ///
    /// # Errors
    /// Nothing that is expected was found.
    pub(crate) fn require_any(&self) -> Result<()> {
        if self.outcomes.iter().all(|outcome| outcome.ranks.iter().all(Option::is_none)) {
            bail!(
                "nothing that the questions expect was found; name sources as `omni-llm search` shows them, and the labels of who may see them with `--access`"
            );
        }
        Ok(())
    }
}

/// Reads questions.
pub(crate) fn questions(path: &Path) -> Result<Vec<Asked>> {
    let questions: Vec<Asked> = lines(path, "`question` and `source`")?;
    for (number, asked) in questions.iter().enumerate() {
        if asked.expected().is_empty() {
            bail!("{}: question {}: no `source` and no `sources`; name the documents that answer it", path.display(), number + 1);
        }
    }
    Ok(questions)
}

/// Reads a file of JSON lines.
fn lines<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<Vec<T>> {
    let file = File::open(path).with_context(|| format!("{}: cannot open", path.display()))?;
    let mut rows = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("{}: line {}", path.display(), number + 1))?;
        // Editors put a byte-order mark in front.
        let line = line.trim_start_matches('\u{feff}');
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str(line);
        rows.push(row.with_context(|| format!("{}: line {}: expected {expected}", path.display(), number + 1))?);
    }
    if rows.is_empty() {
        bail!("{}: no rows; expected one JSON object a line", path.display());
    }
    Ok(rows)
}

/// The vectors of the questions, by the model that embedded what they are asked of.
pub(crate) fn embed(questions: &[Asked], embedding: Embedding<'_>) -> Result<Vec<Vec<f32>>> {
    embedding.questions(&questions.iter().map(|asked| asked.question.as_str()).collect::<Vec<_>>())
}

/// What questions expect and the index does not have: a mistyped name would look like a miss.
pub(crate) fn unknown<'q>(index: &Index, questions: &'q [Asked]) -> Result<BTreeSet<&'q str>> {
    let mut expected: BTreeSet<&str> = questions.iter().flat_map(Asked::expected).collect();
    for document in index.documents() {
        expected.remove(document?.1.source.as_str());
    }
    Ok(expected)
}

/// How an index is asked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner<'a> {
    pub(crate) fusion: Fusion,
    /// The labels of whoever asks.
    pub(crate) access: &'a [String],
    pub(crate) reranking: Option<Reranking<'a>>,
}

/// Asks an index all questions.
pub(crate) fn ask(index: &Index, questions: &[Asked], vectors: &[Vec<f32>], manner: Manner<'_>) -> Result<Scores> {
    let outcomes = questions.par_iter().zip(vectors).map(|(asked, vector)| {
        let filter = asked.filter.as_ref().map(|filter| Filter::from_json(filter, "filter")).transpose()?;
        let query = Query {
            vector: Some(vector),
            text: Some(&asked.question),
            top_k: DEPTH,
            fusion: manner.fusion,
            filter: filter.as_ref(),
            access: manner.access,
            distinct: true,
            ..Query::default()
        };
        let hits = match &manner.reranking {
            Some(reranking) => rerank::search(index, &query, reranking)?.0,
            None => index.search(&query)?,
        };
        let expected = asked.expected();
        let mut ranks = vec![None; expected.len()];
        let mut found = Vec::with_capacity(hits.len());
        for (hit, rank) in hits.iter().zip(1..) {
            let chunk = index.chunk(hit.chunk)?;
            let source = index.document(chunk.document)?.source;
            let fits = asked.page.is_none_or(|page| chunk.page == Some(page))
                && asked.text.as_deref().is_none_or(|text| chunk.text.contains(text));
            for (place, _) in expected.iter().enumerate().filter(|(_, expected)| fits && **expected == source) {
                ranks[place].get_or_insert(rank);
            }
            found.push(source);
        }
        Ok(Outcome { ranks, found })
    });
    Ok(Scores { outcomes: outcomes.collect::<Result<_>>()? })
}

impl Asked {
    /// Each once, however often it is named.
    fn expected(&self) -> Vec<&str> {
        let mut expected: Vec<&str> = Vec::new();
        for source in self.source.iter().chain(&self.sources) {
            if !expected.contains(&source.as_str()) {
                expected.push(source);
            }
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(ranks: &[&[Option<usize>]]) -> Scores {
        let outcome = |ranks: &&[Option<usize>]| Outcome { ranks: ranks.to_vec(), found: Vec::new() };
        Scores { outcomes: ranks.iter().map(outcome).collect() }
    }

    #[test]
    fn scores_are_those_of_the_textbook() {
        let perfect = scores(&[&[Some(1)], &[Some(2), Some(1)]]);
        assert_eq!((perfect.recall(5), perfect.ndcg(10), perfect.mrr(10)), (1.0, 1.0, 1.0));
        let late = scores(&[&[Some(3)], &[None, Some(6)]]);
        assert_eq!((late.recall(5), late.recall(10), late.mrr(10)), (0.5, 0.75, (1.0 / 3.0 + 1.0 / 6.0) / 2.0));
        let ideal = 1.0 + 1.0 / 3_f64.log2();
        assert!((late.ndcg(10) - (0.5 + 1.0 / 7_f64.log2() / ideal) / 2.0).abs() < 1e-12);
        let none = scores(&[&[None], &[None, None]]);
        assert_eq!(format!("{:.1}", none.ndcg(10)), "0.0");
        assert!(none.require_any().is_err() && late.require_any().is_ok());
    }

    #[test]
    fn a_question_without_a_source_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"question\": \"a\", \"source\": \"x\"}\n\n{\"question\": \"b\"}\n").unwrap();
        let error = questions(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("question 2: no `source` and no `sources`; name the documents that answer it"), "{error}");
        std::fs::write(file.path(), "\u{feff}{\"question\": \"a\", \"source\": \"x\"}\n").unwrap();
        assert_eq!(questions(file.path()).unwrap()[0].question, "a");
        std::fs::write(file.path(), "{\"question\": \"a\", \"sauce\": \"x\"}\n").unwrap();
        let error = questions(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("line 1: expected `question` and `source`"), "{error}");
    }
}
