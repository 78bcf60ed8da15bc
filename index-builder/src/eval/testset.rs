//! Retrieval quality on a judged test set: one index entry a document, one ranking a query.
//!
//! The rankings go through the very index, embedder and fusion that answer questions, so that a figure says what a user gets.
//! Scores: nDCG with linear gain, recall, reciprocal rank, averaged over the queries that have judgements (as in TREC evaluations).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use omni_retrieval::embed::Embedder;
use omni_retrieval::index::{self, Fusion, Index, Lexical, Manifest, Query, Writer};
use rayon::prelude::*;
use serde::Deserialize;

use super::{lines, metrics};
use crate::cache::{Cache, Key, text_key};
use crate::cli::name;
use crate::embedding::Embedding;
use crate::progress::Progress;

/// Hits that are kept of each query: enough for recall at 100.
const DEPTH: usize = 100;

/// Which side of the retrieval is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Vectors only.
    Dense,
    /// Words only.
    Bm25,
    /// Both, fused as in answers.
    Hybrid,
}

/// A test set and where its results go.
pub(crate) struct Evaluation {
    /// Lines of `{"_id", "title", "text"}`.
    pub(crate) corpus: PathBuf,
    /// Lines of `{"_id", "text"}`.
    pub(crate) queries: PathBuf,
    /// Lines of `query-id<TAB>corpus-id<TAB>score`; the first may be a heading.
    pub(crate) qrels: Option<PathBuf>,
    /// Folder for the run files `MODE.tsv`: `query-id<TAB>doc-id<TAB>score`.
    pub(crate) runs: PathBuf,
    pub(crate) modes: Vec<Mode>,
    pub(crate) alpha: Option<f32>,
    pub(crate) lexical: Lexical,
    pub(crate) model: PathBuf,
    pub(crate) cache: PathBuf,
}

/// The quality of one mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Averages {
    pub(crate) ndcg_10: f64,
    pub(crate) recall_100: f64,
    pub(crate) mrr_10: f64,
    pub(crate) queries: usize,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

/// What is relevant to a query, by its id, and how much: all gains are above zero.
type Qrels = HashMap<String, BTreeMap<String, f64>>;

/// Indexes the corpus, writes the run files, and scores them where there are judgements.
pub(crate) fn run(evaluation: &Evaluation, progress: Progress) -> Result<Vec<(Mode, PathBuf, Option<Averages>)>> {
    let embedder = Embedder::open(&evaluation.model)?;
    embedder.verify()?;
    let cache = Cache::open(&evaluation.cache)?;
    let corpus = rows(&evaluation.corpus)?;
    let queries = rows(&evaluation.queries)?;
    let qrels = evaluation.qrels.as_deref().map(|qrels| judgements(qrels, &queries)).transpose()?;
    let dense = evaluation.modes.iter().any(|&mode| mode != Mode::Bm25);

    let embedding = Embedding::Packed(&embedder);
    let texts: Vec<String> = corpus.iter().map(|row| format!("{} {}", row.title, row.text).trim().to_owned()).collect();
    let keyed: Vec<(Key, &str)> = texts.iter().map(|text| (text_key(text), text.as_str())).collect();
    let asked: Vec<&str> = queries.iter().map(|row| row.text.as_str()).collect();
    let blank = vec![0.0; embedder.dimensions()];
    let (known, query_vectors) = if dense {
        let (known, _) = embedding.embed(&keyed, &mut embedding.store(&cache)?, "document", progress)?;
        (known, embedding.questions(&asked)?)
    } else {
        (HashMap::new(), vec![blank.clone(); queries.len()])
    };
    let vectors = keyed.iter().map(|(key, _)| known.get(key).unwrap_or(&blank).as_slice());

    std::fs::create_dir_all(&evaluation.runs)
        .with_context(|| format!("{}: cannot make the folder", evaluation.runs.display()))?;
    let path = evaluation.runs.join("corpus.omni");
    let manifest = Manifest { lexical: evaluation.lexical, ..embedding.manifest() };
    write(&path, manifest, &corpus, &texts, vectors)?;
    let index = Index::open(&path)?;

    let fusion = Fusion::weighed(evaluation.alpha, None);
    let mut results = Vec::new();
    for &mode in &evaluation.modes {
        let rankings: Vec<Vec<(String, f32)>> = queries
            .par_iter()
            .zip(&query_vectors)
            .map(|(row, vector)| rank(&index, mode, fusion, &row.text, vector, &corpus))
            .collect::<Result<_>>()?;
        let run = evaluation.runs.join(format!("{}.tsv", name(mode)));
        std::fs::write(&run, run_file(&queries, &rankings)).with_context(|| format!("{}: cannot write", run.display()))?;
        results.push((mode, run, qrels.as_ref().map(|qrels| score(&queries, &rankings, qrels))));
    }
    Ok(results)
}

fn rank(index: &Index, mode: Mode, fusion: Fusion, text: &str, vector: &[f32], corpus: &[Row]) -> Result<Vec<(String, f32)>> {
    let query = Query {
        vector: (mode != Mode::Bm25).then_some(vector),
        text: (mode != Mode::Dense).then_some(text),
        top_k: DEPTH,
        fusion,
        distinct: true,
        ..Query::default()
    };
    let hits = index.search(&query)?;
    Ok(hits.iter().filter_map(|hit| Some((corpus.get(hit.chunk as usize)?.id.clone(), hit.fused))).collect())
}

fn write<'a>(
    path: &Path,
    manifest: Manifest,
    corpus: &[Row],
    texts: &[String],
    vectors: impl Iterator<Item = &'a [f32]>,
) -> Result<()> {
    let mut writer = Writer::new(manifest);
    for ((row, text), vector) in corpus.iter().zip(texts).zip(vectors) {
        let document = writer.push_document(index::Document {
            uri: row.id.clone(),
            source: row.id.clone(),
            format: "text".to_owned(),
            ..index::Document::default()
        });
        let chunk = index::Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, vector)?;
    }
    writer.finish(path)?;
    Ok(())
}

fn run_file(queries: &[Row], rankings: &[Vec<(String, f32)>]) -> String {
    let mut text = String::new();
    for (query, ranking) in queries.iter().zip(rankings) {
        for (document, score) in ranking {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}\t{document}\t{score}", query.id);
        }
    }
    text
}

/// Averages over the queries to which something is relevant.
fn score(queries: &[Row], rankings: &[Vec<(String, f32)>], qrels: &Qrels) -> Averages {
    let mut sum = Averages { ndcg_10: 0.0, recall_100: 0.0, mrr_10: 0.0, queries: 0 };
    for (query, ranking) in queries.iter().zip(rankings) {
        let Some(judged) = qrels.get(&query.id) else { continue };
        let relevant: Vec<f64> = judged.values().copied().collect();
        let gains: Vec<f64> = ranking.iter().map(|(document, _)| judged.get(document).copied().unwrap_or(0.0)).collect();
        sum.ndcg_10 += metrics::ndcg(&gains, &relevant, 10);
        sum.recall_100 += metrics::recall(&gains, &relevant, 100);
        sum.mrr_10 += metrics::mrr(&gains, 10);
        sum.queries += 1;
    }
    let count = sum.queries.max(1) as f64;
    Averages { ndcg_10: sum.ndcg_10 / count, recall_100: sum.recall_100 / count, mrr_10: sum.mrr_10 / count, ..sum }
}

/// Reads documents or queries, each with an id of its own: what is found twice would count twice.
fn rows(path: &Path) -> Result<Vec<Row>> {
    let rows: Vec<Row> = lines(path, "`_id` and `text`")?;
    let mut ids = HashSet::with_capacity(rows.len());
    if let Some(row) = rows.iter().find(|row| !ids.insert(row.id.as_str())) {
        bail!("{}: several rows have the `_id` `{}`", path.display(), row.id);
    }
    Ok(rows)
}

fn judgements(path: &Path, queries: &[Row]) -> Result<Qrels> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))?;
    let mut qrels = Qrels::new();
    // Editors put a byte-order mark in front.
    let lines = text.trim_start_matches('\u{feff}').lines();
    for (number, line) in (1..).zip(lines).filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        match (&fields[..], fields.last().map(|gain| gain.trim().parse::<f64>())) {
            ([query, document, _], Some(Ok(gain))) if gain.is_finite() => {
                // What is judged irrelevant counts as what is not judged.
                if gain > 0.0 {
                    qrels.entry((*query).to_owned()).or_default().insert((*document).to_owned(), gain);
                }
            }
            // A heading.
            ([_, _, _], Some(Err(_))) if number == 1 => {}
            _ => bail!("{}: line {number}: expected `query-id<TAB>corpus-id<TAB>score`", path.display()),
        }
    }
    if !queries.iter().any(|query| qrels.contains_key(&query.id)) {
        bail!("{}: no query has a score above 0; name queries by their `_id`", path.display());
    }
    Ok(qrels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> Row {
        Row { id: id.to_owned(), title: String::new(), text: String::new() }
    }

    #[test]
    fn scores_are_those_of_the_textbook() {
        let qrels = read("q\ta\t1\nq\tb\t1\nq\tc\t0\n").unwrap();
        let ranking = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 0.0)).collect::<Vec<_>>();
        let perfect = score(&[row("q")], &[ranking(&["a", "b", "c"])], &qrels);
        assert_eq!((perfect.ndcg_10, perfect.recall_100, perfect.mrr_10, perfect.queries), (1.0, 1.0, 1.0, 1));
        let late = score(&[row("q"), row("unjudged")], &[ranking(&["c", "a"]), ranking(&["a"])], &qrels);
        let ideal = 1.0 + 1.0 / 3f64.log2();
        assert!((late.ndcg_10 - (1.0 / 3f64.log2()) / ideal).abs() < 1e-12);
        assert_eq!((late.recall_100, late.mrr_10, late.queries), (0.5, 0.5, 1));
    }

    /// Judgements of a query `q`.
    fn read(text: &str) -> Result<Qrels, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        judgements(file.path(), &[row("q")]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_malformed_judgement_names_its_line() {
        let expected = |text: &str, line: usize| {
            let error = read(text).unwrap_err();
            assert!(error.ends_with(&format!("line {line}: expected `query-id<TAB>corpus-id<TAB>score`")), "{error}");
        };
        expected("query-id\tcorpus-id\tscore\nq\ta\t1\nq a 1\n", 3);
        expected("q\ta\t1\nquery-id\tcorpus-id\tscore\n", 2);
        expected("q a 1\nq\ta\t1\n", 1);
        expected("q\ta\tNaN\n", 1);
        expected("query-id\tcorpus-id\tscore\nq\ta\tinf\n", 2);
    }

    #[test]
    fn an_id_is_of_one_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"_id\": \"a\", \"text\": \"x\"}\n{\"_id\": \"a\", \"text\": \"y\"}\n").unwrap();
        let error = rows(file.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.ends_with(": several rows have the `_id` `a`"), "{error}");
    }

    #[test]
    fn the_first_line_is_a_heading_or_a_judgement() {
        let judged = read("\u{feff}q\ta\t1\nq\tb\t2\n").unwrap();
        assert_eq!(read("query-id\tcorpus-id\tscore\r\nq\ta\t1\r\nq\tb\t2\r\n").unwrap(), judged);
        assert_eq!(judged["q"].values().sum::<f64>(), 3.0);
    }

    #[test]
    fn judgements_of_none_of_the_queries_are_refused() {
        for text in ["", "query-id\tcorpus-id\tscore\n", "other\ta\t1\n", "q\ta\t0\n"] {
            let error = read(text).unwrap_err();
            assert!(error.ends_with(": no query has a score above 0; name queries by their `_id`"), "{error}");
        }
    }
}
