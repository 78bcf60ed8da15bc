//! Is retrieval good enough? Three measurements, all through the very index, embedder and fusion that answer questions.
//!
//! [`gate`] asks a built index questions whose sources are known, and can fail a build; [`excerpts`] compares chunking
//! strategies by the text that has to be found; [`testset`] scores a judged test set, as in papers.

pub(crate) mod excerpts;
pub(crate) mod gate;
mod metrics;
pub(crate) mod testset;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use omni_retrieval::error::Code;
use omni_retrieval::index::{Chunk, Filter, Fusion, Index, Query};
use omni_retrieval::rerank::{self, Reranking};
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::embedding::Embedding;
use crate::extract::one_line;
use crate::metadata::composed;
use crate::report::shown;

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
    /// Text that the right chunk holds; white space of any kind is one space.
    text: Option<String>,
    /// What the question is narrowed down by, as in requests.
    filter: Option<Value>,
}

/// What became of one question.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// For each thing expected, its rank from 1, where it was found.
    ranks: Vec<Option<usize>>,
    /// The source of the best hit.
    first: Option<String>,
}

/// What became of all of them.
#[derive(Debug, Clone)]
pub(crate) struct Scores {
    pub(crate) outcomes: Vec<Outcome>,
}

impl Scores {
    /// The share of what is expected that stands among the first `k`.
    pub(crate) fn recall(&self, k: usize) -> f64 {
        self.mean(|ranks| ranks.iter().flatten().filter(|rank| **rank <= k).count() as f64 / ranks.len() as f64)
    }

    /// Discounted gain among the first `k` by the best that was possible.
    pub(crate) fn ndcg(&self, k: usize) -> f64 {
        self.mean(|ranks| {
            let mut gains = [0.0; DEPTH];
            ranks.iter().flatten().for_each(|rank| gains[rank - 1] = 1.0);
            // Copies that were expected are one hit: more than it is worth could not be gained.
            let found = gains.iter().filter(|gain| **gain > 0.0).count();
            let missed = ranks.iter().filter(|rank| rank.is_none()).count();
            metrics::ndcg(&gains, &vec![1.0; found + missed], k)
        })
    }

    /// One by the rank of the first thing that is expected, 0 beyond `k`.
    pub(crate) fn mrr(&self, k: usize) -> f64 {
        self.mean(|ranks| ranks.iter().flatten().min().filter(|rank| **rank <= k).map_or(0.0, |rank| 1.0 / *rank as f64))
    }

    /// The mean over the questions of what each one's ranks are worth.
    fn mean(&self, of: impl Fn(&[Option<usize>]) -> f64) -> f64 {
        self.outcomes.iter().map(|outcome| of(&outcome.ranks)).sum::<f64>() / self.outcomes.len().max(1) as f64
    }

    /// Whether there was anything to measure: an index that never answers may also be the wrong one. `remedy` is for whoever
    /// asked.
    ///
    /// # Errors
    /// Nothing that is expected was found.
    pub(crate) fn require_any(&self, remedy: &str) -> Result<()> {
        if self.outcomes.iter().all(|outcome| outcome.ranks.iter().all(Option::is_none)) {
            bail!("nothing that the questions expect was found; {remedy}");
        }
        Ok(())
    }
}

/// Reads questions.
pub(crate) fn questions(path: &Path) -> Result<Vec<Asked>> {
    let mut questions: Vec<Asked> = lines(path, "`question` and `source`")?;
    for asked in &mut questions {
        if asked.expected().is_empty() {
            let question = asked.shown();
            bail!("{}: `{question}`: no `source` and no `sources`; name the documents that answer it", path.display());
        }
        // Compared as they look, as in filters: file systems and editors write `ü` as one letter or as two.
        for text in asked.source.iter_mut().chain(&mut asked.sources).chain(&mut asked.text) {
            *text = composed(text);
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
        if rows.is_empty() && line.trim_start().starts_with('[') {
            bail!("{}: a list; expected one JSON object a line, with {expected}", path.display());
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

/// What questions expect and the index does not have: a mistyped name or text would look like a miss.
#[derive(Debug, Default)]
pub(crate) struct Unknown<'q> {
    /// Documents.
    sources: BTreeSet<&'q str>,
    /// Questions, by their places, whose text is in no chunk of the documents that they name.
    texts: BTreeSet<usize>,
}

impl<'q> Unknown<'q> {
    pub(crate) fn of(index: &Index, questions: &'q [Asked]) -> Result<Self> {
        let mut sources: BTreeSet<&str> = questions.iter().flat_map(Asked::expected).collect();
        let text = |(place, asked): (usize, &Asked)| Some((place, one_line(asked.text.as_deref()?)));
        let mut texts: BTreeMap<usize, String> = questions.iter().enumerate().filter_map(text).collect();
        let mut askers: HashMap<&str, Vec<usize>> = HashMap::new();
        for &place in texts.keys() {
            questions[place].expected().iter().for_each(|source| askers.entry(source).or_default().push(place));
        }
        let mut documents = Vec::with_capacity(index.document_count());
        for document in index.documents() {
            let source = composed(&document?.1.source);
            sources.remove(source.as_str());
            documents.push(askers.get(source.as_str()));
        }
        for number in 0..index.len() {
            // Most questions have no text.
            if texts.is_empty() {
                break;
            }
            let chunk = index.chunk(number as u32)?;
            let Some(Some(places)) = documents.get(chunk.document as usize) else { continue };
            let held = one_line(&chunk.text);
            texts.retain(|place, text| !places.contains(place) || !held.contains(text.as_str()));
        }
        Ok(Self { sources, texts: texts.into_keys().collect() })
    }
}

/// How an index is asked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner<'a> {
    pub(crate) fusion: Fusion,
    /// The labels of whoever asks.
    pub(crate) access: &'a [String],
    pub(crate) reranking: Option<Reranking<'a>>,
    /// Whether a question that is narrowed down by what the index does not have finds nothing; otherwise it is an error.
    pub(crate) may_lack_fields: bool,
}

/// Asks an index all questions.
pub(crate) fn ask(index: &Index, questions: &[Asked], vectors: &[Vec<f32>], manner: Manner<'_>) -> Result<Scores> {
    let outcomes = questions
        .par_iter()
        .zip(vectors)
        .map(|(asked, vector)| ask_one(index, asked, vector, manner).with_context(|| format!("question `{}`", asked.shown())));
    Ok(Scores { outcomes: outcomes.collect::<Result<_>>()? })
}

fn ask_one(index: &Index, asked: &Asked, vector: &[f32], manner: Manner<'_>) -> Result<Outcome> {
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
        Some(reranking) => rerank::search(index, &query, reranking).map(|(hits, _)| hits),
        None => index.search(&query),
    };
    let hits = match hits {
        Err(error) if manner.may_lack_fields && filter.is_some() && error.code() == Code::InvalidRequest => Vec::new(),
        hits => hits?,
    };
    let expected = asked.expected();
    let text = asked.text.as_deref().map(one_line);
    let fits = |chunk: &Chunk<'_>| {
        asked.page.is_none_or(|page| chunk.page == Some(page))
            && text.as_ref().is_none_or(|text| one_line(&chunk.text).contains(text.as_str()))
    };
    let mut ranks = vec![None; expected.len()];
    let (mut first, mut texts) = (None, Vec::with_capacity(hits.len()));
    for (hit, rank) in hits.iter().zip(1..) {
        let chunk = index.chunk(hit.chunk)?;
        let source = index.document(chunk.document)?.source;
        let named = composed(&source);
        for (place, _) in expected.iter().enumerate().filter(|(_, expected)| **expected == named && fits(&chunk)) {
            ranks[place].get_or_insert(rank);
        }
        first.get_or_insert(source);
        texts.push(chunk.text);
    }
    // The same text under another name is as good; the copy itself stands behind everything else, among the hits or beyond them.
    for (place, source) in expected.iter().enumerate() {
        if texts.is_empty() || ranks[place] == Some(1) {
            continue;
        }
        let own = json!({"field": "source", "eq": source});
        let own = asked.filter.as_ref().map_or(own.clone(), |filter| json!({"and": [filter, own]}));
        let own = Filter::from_json(&own, "filter")?;
        for copy in index.search(&Query { filter: Some(&own), distinct: false, ..query })? {
            let copy = index.chunk(copy.chunk)?;
            let rank = texts.iter().position(|text| fits(&copy) && *text == copy.text).map(|place| place + 1);
            ranks[place] = [ranks[place], rank].into_iter().flatten().min();
        }
    }
    Ok(Outcome { ranks, first })
}

impl Asked {
    /// Each once, however often it is named.
    pub(crate) fn expected(&self) -> Vec<&str> {
        let mut expected: Vec<&str> = Vec::new();
        for source in self.source.iter().chain(&self.sources) {
            if !expected.contains(&source.as_str()) {
                expected.push(source);
            }
        }
        expected
    }

    /// The question as a terminal may show it.
    fn shown(&self) -> String {
        shown(&one_line(&self.question)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of documents, each a name and its only chunk, and the folder where it is.
    fn index(documents: impl IntoIterator<Item = (String, String)>) -> (tempfile::TempDir, Index) {
        use omni_retrieval::index::{Document, Manifest, Writer};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kb.omni");
        let mut writer = Writer::new(Manifest { dimensions: 1, ..Manifest::default() });
        for (name, text) in documents {
            let document = writer.push_document(Document { uri: name.clone(), source: name, ..Document::default() });
            let end = text.len() as u64;
            writer.push_chunk(&Chunk { document, text: text.into(), start: 0, end, page: None, headings: "" }, &[1.0]).unwrap();
        }
        writer.finish(&path).unwrap();
        let index = Index::open(&path).unwrap();
        (folder, index)
    }

    fn scores(ranks: &[&[Option<usize>]]) -> Scores {
        let outcome = |ranks: &&[Option<usize>]| Outcome { ranks: ranks.to_vec(), first: None };
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
        let copies = scores(&[&[Some(1), Some(1)], &[Some(1), Some(1), None]]);
        assert!((copies.recall(1) - 5.0 / 6.0).abs() < 1e-12 && copies.mrr(10) == 1.0);
        assert!((copies.ndcg(10) - (1.0 + 1.0 / ideal) / 2.0).abs() < 1e-12);
        let none = scores(&[&[None], &[None, None]]);
        assert_eq!(format!("{:.1}", none.ndcg(10)), "0.0");
        assert!(none.require_any("").is_err() && late.require_any("").is_ok());
    }

    #[test]
    fn text_is_found_across_lines_and_a_missing_field_is_named_or_a_miss() {
        let (_folder, index) = index([("a.md".to_owned(), "thirty days\n  of leave".to_owned())]);
        let asked = |rest: &str| -> Asked {
            serde_json::from_str(&format!(r#"{{"question": "leave?", "source": "a.md"{rest}}}"#)).unwrap()
        };
        let ranks = |asked: &[Asked], may_lack_fields| {
            let manner = Manner { may_lack_fields, ..Manner::default() };
            let scores = ask(&index, asked, &vec![vec![1.0]; asked.len()], manner).map_err(|error| format!("{error:#}"))?;
            Ok(scores.outcomes.iter().map(|outcome| outcome.ranks[0]).collect::<Vec<_>>())
        };
        let texts = [asked(r#", "text": "days of\tleave""#), asked(r#", "text": "forty days""#)];
        assert_eq!(ranks(&texts, false), Ok::<_, String>(vec![Some(1), None]));
        assert_eq!(Unknown::of(&index, &texts).unwrap().texts, BTreeSet::from([1]));
        let filtered = [asked(""), asked(r#", "filter": {"field": "team", "eq": "hr"}"#)];
        let refused = ranks(&filtered, false).unwrap_err();
        assert!(refused.starts_with("question `leave?`: `filter`: no field `team` in this index"), "{refused}");
        assert_eq!(ranks(&filtered, true), Ok(vec![Some(1), None]));
    }

    #[test]
    fn a_copy_of_what_is_expected_is_found_where_its_twin_is() {
        // Beyond the hits, and the last of them.
        for others in [12, 3] {
            let copies = ["a.md", "b.md"].map(|name| (name.to_owned(), "thirty days of leave".to_owned()));
            let others = (0..others).map(|number| (format!("{number}.md"), format!("{number} days of work")));
            let (_folder, index) = index(others.chain(copies));
            for sources in [&["a.md"][..], &["b.md"], &["a.md", "b.md"]] {
                let asked: Asked =
                    serde_json::from_value(json!({"question": "thirty days of leave", "sources": sources})).unwrap();
                let scores = ask(&index, &[asked], &[vec![1.0]], Manner::default()).unwrap();
                assert_eq!((scores.recall(1), scores.ndcg(10), scores.mrr(10)), (1.0, 1.0, 1.0), "{sources:?}: {scores:?}");
            }
        }
    }

    #[test]
    fn names_and_texts_are_compared_as_they_look() {
        let (folder, index) = index([("U\u{308}bersicht.md".to_owned(), "\u{fc}ber alles".to_owned())]);
        let file = folder.path().join("q.jsonl");
        let line = |source: &str| json!({"question": "?", "source": source, "text": "u\u{308}ber"}).to_string() + "\n";
        std::fs::write(&file, line("\u{dc}bersicht.md") + &line("U\u{308}bersicht.md")).unwrap();
        let questions = questions(&file).unwrap();
        let scores = ask(&index, &questions, &[vec![1.0], vec![1.0]], Manner::default()).unwrap();
        assert_eq!(scores.recall(1), 1.0);
        let unknown = Unknown::of(&index, &questions).unwrap();
        assert!(unknown.sources.is_empty() && unknown.texts.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_question_without_a_source_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"question\": \"a\", \"source\": \"x\"}\n\n{\"question\": \"b\"}\n").unwrap();
        let error = questions(file.path()).unwrap_err().to_string();
        assert!(error.ends_with(": `b`: no `source` and no `sources`; name the documents that answer it"), "{error}");
        std::fs::write(file.path(), "\u{feff}{\"question\": \"a\", \"source\": \"x\"}\n").unwrap();
        assert_eq!(questions(file.path()).unwrap()[0].question, "a");
        std::fs::write(file.path(), "{\"question\": \"a\", \"sauce\": \"x\"}\n").unwrap();
        let error = questions(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("line 1: expected `question` and `source`"), "{error}");
    }
}
