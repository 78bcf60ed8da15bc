//! A cross-encoder reads the best hits again: by how much it is heard, how deep it reads, and what repeats something better stays
//! behind.
#![expect(clippy::unwrap_used, reason = "test code")]

mod embed_support;
mod index_support;

use embed_support::small_reranker;
use index_support::{Random, build, corpus, query};
use omni_retrieval::embed::Reranker;
use omni_retrieval::index::{Hit, Index, Query};
use omni_retrieval::rerank::{Reranking, search};

const QUESTION: &str = "w1 w2 w3";

struct Rig {
    index: Index,
    reranker: Reranker,
    vector: Vec<f32>,
    _folders: [tempfile::TempDir; 2],
}

impl Rig {
    fn new() -> Self {
        let (folder, model) = (tempfile::tempdir().unwrap(), small_reranker());
        let path = folder.path().join("kb.omni");
        let mut corpus = corpus(31, 60, 4);
        // Two of another document that say what the first one says.
        for twin in [20, 41] {
            corpus[twin].text = corpus[0].text.clone();
            corpus[twin].headings = corpus[0].headings.clone();
            corpus[twin].vector = corpus[0].vector.clone();
        }
        build(&path, &corpus);
        let (index, reranker) = (Index::open(&path).unwrap(), Reranker::open(model.path()).unwrap());
        Self { index, reranker, vector: Random::new(31).vector(), _folders: [folder, model] }
    }

    fn query(&self, top_k: usize, distinct: bool) -> Query<'_> {
        Query { top_k, distinct, ..query(Some(&self.vector), Some(QUESTION)) }
    }

    fn search(&self, query: &Query<'_>, depth: usize, weight: f32) -> Vec<Hit> {
        search(&self.index, query, &self.reranking(depth, weight)).unwrap().0
    }

    fn reranking(&self, depth: usize, weight: f32) -> Reranking<'_> {
        Reranking { reranker: &self.reranker, depth, weight, until: None }
    }

    /// What the cross-encoder says of a chunk alone.
    fn logit(&self, chunk: u32) -> f32 {
        let chunk = self.index.chunk(chunk).unwrap();
        let title = self.index.document(chunk.document).unwrap().title;
        // The twins have the headings of another document.
        let about = if chunk.headings.starts_with(&title) { String::new() } else { format!("{title} > ") };
        self.reranker.score(QUESTION, &[&format!("{about}{}\n{}", chunk.headings, chunk.text)]).unwrap()[0]
    }
}

fn chunks(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.chunk).collect()
}

#[test]
fn with_its_whole_weight_the_order_is_the_cross_encoders() {
    let rig = Rig::new();
    let hits = rig.search(&rig.query(60, false), 60, 1.0);
    assert_eq!(hits.len(), 60);
    let mut expected = chunks(&hits);
    expected.sort_by(|&a, &b| rig.logit(b).total_cmp(&rig.logit(a)).then(a.cmp(&b)));
    assert_eq!(chunks(&hits), expected);
    assert_ne!(chunks(&rig.index.search(&rig.query(60, false)).unwrap()), expected, "it has nothing to change");
    assert!(hits.iter().all(|hit| (0.0..=1.0).contains(&hit.fused)));
}

#[test]
fn without_weight_nothing_moves() {
    let rig = Rig::new();
    let as_deep = chunks(&rig.index.search(&rig.query(30, false)).unwrap());
    assert_eq!(chunks(&rig.search(&rig.query(7, false), 30, 0.0)), as_deep[..7]);
}

#[test]
fn where_time_runs_out_the_order_is_that_of_the_search() {
    let rig = Rig::new();
    let late = Reranking { until: Some(std::time::Instant::now()), ..rig.reranking(30, 1.0) };
    let (hits, is_done) = search(&rig.index, &rig.query(7, true), &late).unwrap();
    assert!(!is_done);
    assert_eq!(chunks(&hits), chunks(&rig.index.search(&rig.query(30, true)).unwrap())[..7]);
}

#[test]
fn it_chooses_among_as_many_as_it_reads() {
    let rig = Rig::new();
    let first = chunks(&rig.index.search(&rig.query(10, false)).unwrap());
    let hits = rig.search(&rig.query(3, false), 10, 1.0);
    let mut best = first.clone();
    best.sort_by(|&a, &b| rig.logit(b).total_cmp(&rig.logit(a)));
    assert_eq!(chunks(&hits), best[..3]);
    // More are wanted than it is to read: all that are wanted are read.
    assert_eq!(rig.search(&rig.query(20, false), 10, 1.0).len(), 20);
}

#[test]
fn what_repeats_a_better_passage_stays_behind() {
    let rig = Rig::new();
    let hits = rig.search(&rig.query(60, true), 60, 0.7);
    let place = |chunk: u32| hits.iter().position(|hit| hit.chunk == chunk).unwrap();
    assert_eq!(hits.len(), 60);
    let mut twins = [place(0), place(20), place(41)];
    twins.sort_unstable();
    assert!(twins[0] < 58 && twins[1] >= 58, "{twins:?}");
    // Copies take no places from those that are read.
    for depth in [5, 60] {
        let few = rig.search(&rig.query(5, true), depth, 0.7);
        assert!(few.len() == 5 && few.iter().filter(|hit| [0, 20, 41].contains(&hit.chunk)).count() <= 1);
    }
}

#[test]
fn a_query_without_words_cannot_be_read_again() {
    let rig = Rig::new();
    let wordless = Query { text: None, ..rig.query(5, false) };
    let error = search(&rig.index, &wordless, &rig.reranking(5, 0.5)).unwrap_err();
    assert_eq!(error.to_string(), "query: has no text to rerank by; give one, or leave reranking out");
}
