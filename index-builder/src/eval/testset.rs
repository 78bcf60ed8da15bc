//! Retrieval quality on a judged test set: one index entry a document, one ranking a query.
//!
//! The rankings go through the very index, embedder and fusion that answer questions, so that a figure says what a user gets.
//! Scores: nDCG with linear gain, recall, reciprocal rank, averaged over the queries that have judgements (as in TREC evaluations).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use omni_llm::embed::Embedder;
use omni_llm::index::{self, Index, Lexical, Manifest, Query, Writer};
use rayon::prelude::*;
use serde::Deserialize;

use super::lines;
use crate::cache::{Cache, text_key};
use crate::progress::Progress;

/// Hits that are kept of each query: enough for recall at 100.
const DEPTH: usize = 100;

/// Texts that are embedded between two visits to the cache.
const EMBED_STEP: usize = 256;

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
    /// Lines of `query-id<TAB>corpus-id<TAB>score` under a heading.
    pub(crate) qrels: Option<PathBuf>,
    /// Folder for the run files `MODE.tsv`: `query-id<TAB>doc-id<TAB>score`.
    pub(crate) runs: PathBuf,
    pub(crate) modes: Vec<Mode>,
    pub(crate) alpha: f32,
    pub(crate) lexical: Lexical,
    pub(crate) model: PathBuf,
    pub(crate) cache: PathBuf,
}

/// The quality of one mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scores {
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

type Qrels = HashMap<String, BTreeMap<String, f64>>;

/// Indexes the corpus, writes the run files, and scores them where there are judgements.
pub(crate) fn run(evaluation: &Evaluation, progress: Progress) -> Result<Vec<(Mode, PathBuf, Option<Scores>)>> {
    let embedder = Embedder::open(&evaluation.model)?;
    embedder.verify()?;
    let cache = Cache::open(&evaluation.cache)?;
    let corpus: Vec<Row> = lines(&evaluation.corpus, "`_id` and `text`")?;
    let queries: Vec<Row> = lines(&evaluation.queries, "`_id` and `text`")?;
    let qrels = evaluation.qrels.as_deref().map(judgements).transpose()?;
    let dense = evaluation.modes.iter().any(|&mode| mode != Mode::Bm25);

    let texts: Vec<String> = corpus.iter().map(|row| format!("{} {}", row.title, row.text).trim().to_owned()).collect();
    let blank = |count| vec![vec![0.0; embedder.dimensions()]; count];
    let vectors = if dense { embed_texts(&texts, &embedder, &cache, progress)? } else { blank(texts.len()) };
    let query_vectors = if dense { embed_queries(&queries, &embedder, progress)? } else { blank(queries.len()) };

    std::fs::create_dir_all(&evaluation.runs)
        .with_context(|| format!("{}: cannot make the folder", evaluation.runs.display()))?;
    let path = evaluation.runs.join("corpus.omni");
    write(&path, &embedder, evaluation.lexical, &corpus, &texts, &vectors)?;
    let index = Index::open(&path)?;

    let mut results = Vec::new();
    for &mode in &evaluation.modes {
        let rankings: Vec<Vec<(String, f32)>> = queries
            .par_iter()
            .zip(&query_vectors)
            .map(|(row, vector)| rank(&index, mode, evaluation.alpha, &row.text, vector, &corpus))
            .collect::<Result<_>>()?;
        let run = evaluation.runs.join(format!("{}.tsv", format!("{mode:?}").to_lowercase()));
        std::fs::write(&run, run_file(&queries, &rankings)).with_context(|| format!("{}: cannot write", run.display()))?;
        results.push((mode, run, qrels.as_ref().map(|qrels| score(&queries, &rankings, qrels))));
    }
    Ok(results)
}

fn rank(index: &Index, mode: Mode, alpha: f32, text: &str, vector: &[f32], corpus: &[Row]) -> Result<Vec<(String, f32)>> {
    let query = Query {
        vector: (mode != Mode::Bm25).then_some(vector),
        text: (mode != Mode::Dense).then_some(text),
        top_k: DEPTH,
        fusion: index::Fusion::MinMax { alpha },
        distinct: true,
        ..Query::default()
    };
    let hits = index.search(&query)?;
    Ok(hits.iter().filter_map(|hit| Some((corpus.get(hit.chunk as usize)?.id.clone(), hit.fused))).collect())
}

/// Vectors of the documents, known ones from the cache.
pub(crate) fn embed_texts(texts: &[String], embedder: &Embedder, cache: &Cache, progress: Progress) -> Result<Vec<Vec<f32>>> {
    let keys: Vec<_> = texts.iter().map(|text| text_key(text)).collect();
    let mut store = cache.vectors(embedder.fingerprint(), embedder.dimensions())?;
    let mut known = store.find(&keys)?;
    let missing: Vec<usize> = (0..texts.len()).filter(|&place| !known.contains_key(&keys[place])).collect();
    let stage = progress.stage("embedding", "documents", missing.len());
    for step in missing.chunks(EMBED_STEP) {
        let batch: Vec<&str> = step.iter().map(|&place| texts[place].as_str()).collect();
        let fresh = embedder.embed(&batch, &|count| stage.advance(count))?;
        let records: Vec<_> = step.iter().zip(&fresh).map(|(&place, vector)| (keys[place], vector.as_slice())).collect();
        store.append(&records)?;
        known.extend(step.iter().map(|&place| keys[place]).zip(fresh));
    }
    stage.finish();
    keys.iter().map(|key| known.get(key).cloned().context("a text has no vector")).collect()
}

fn embed_queries(queries: &[Row], embedder: &Embedder, progress: Progress) -> Result<Vec<Vec<f32>>> {
    let stage = progress.stage("embedding", "queries", queries.len());
    let vectors = queries.par_iter().map(|row| {
        stage.advance(1);
        Ok(embedder.embed_query(&row.text)?)
    });
    let vectors: Result<_> = vectors.collect();
    stage.finish();
    vectors
}

fn write(
    path: &Path,
    embedder: &Embedder,
    lexical: Lexical,
    corpus: &[Row],
    texts: &[String],
    vectors: &[Vec<f32>],
) -> Result<()> {
    let mut writer = Writer::new(Manifest {
        builder: env!("CARGO_PKG_VERSION").to_owned(),
        model: embedder.name().to_owned(),
        model_fingerprint: embedder.fingerprint().to_owned(),
        dimensions: embedder.dimensions(),
        chunking: serde_json::Value::Null,
        lexical,
        ..Manifest::default()
    });
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

/// Averages over the queries that have a judgement above zero.
fn score(queries: &[Row], rankings: &[Vec<(String, f32)>], qrels: &Qrels) -> Scores {
    let mut sum = Scores { ndcg_10: 0.0, recall_100: 0.0, mrr_10: 0.0, queries: 0 };
    for (query, ranking) in queries.iter().zip(rankings) {
        let Some(judged) = qrels.get(&query.id) else { continue };
        let gains: Vec<f64> = ranking.iter().map(|(document, _)| judged.get(document).copied().unwrap_or(0.0)).collect();
        let mut ideal: Vec<f64> = judged.values().copied().filter(|&gain| gain > 0.0).collect();
        if ideal.is_empty() {
            continue;
        }
        ideal.sort_by(|a, b| b.total_cmp(a));
        sum.ndcg_10 += dcg(&gains) / dcg(&ideal);
        sum.recall_100 += gains.iter().take(100).filter(|&&gain| gain > 0.0).count() as f64 / ideal.len() as f64;
        sum.mrr_10 += gains.iter().take(10).position(|&gain| gain > 0.0).map_or(0.0, |rank| 1.0 / (rank + 1) as f64);
        sum.queries += 1;
    }
    let count = sum.queries.max(1) as f64;
    Scores { ndcg_10: sum.ndcg_10 / count, recall_100: sum.recall_100 / count, mrr_10: sum.mrr_10 / count, ..sum }
}

fn dcg(gains: &[f64]) -> f64 {
    gains.iter().take(10).enumerate().map(|(rank, gain)| gain / ((rank + 2) as f64).log2()).sum()
}

fn judgements(path: &Path) -> Result<Qrels> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))?;
    let mut qrels = Qrels::new();
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let mut fields = line.split('\t');
        let (Some(query), Some(document), Some(Ok(gain)), None) =
            (fields.next(), fields.next(), fields.next().map(|gain| gain.trim().parse::<f64>()), fields.next())
        else {
            bail!("{}: line {}: expected `query-id<TAB>corpus-id<TAB>score`", path.display(), number + 1);
        };
        qrels.entry(query.to_owned()).or_default().insert(document.to_owned(), gain);
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
        let qrels = Qrels::from([(
            "q".to_owned(),
            BTreeMap::from([("a".to_owned(), 1.0), ("b".to_owned(), 1.0), ("c".to_owned(), 0.0)]),
        )]);
        let ranking = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 0.0)).collect::<Vec<_>>();
        let perfect = score(&[row("q")], &[ranking(&["a", "b", "c"])], &qrels);
        assert_eq!((perfect.ndcg_10, perfect.recall_100, perfect.mrr_10, perfect.queries), (1.0, 1.0, 1.0, 1));
        let late = score(&[row("q"), row("unjudged")], &[ranking(&["c", "a"]), ranking(&["a"])], &qrels);
        let ideal = 1.0 + 1.0 / 3f64.log2();
        assert!((late.ndcg_10 - (1.0 / 3f64.log2()) / ideal).abs() < 1e-12);
        assert_eq!((late.recall_100, late.mrr_10, late.queries), (0.5, 0.5, 1));
    }

    #[test]
    fn a_malformed_judgement_names_its_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"query-id\tcorpus-id\tscore\n1\t2\t1\n1 2 1\n").unwrap();
        let error = judgements(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("line 3: expected `query-id<TAB>corpus-id<TAB>score`"), "{error}");
    }
}
