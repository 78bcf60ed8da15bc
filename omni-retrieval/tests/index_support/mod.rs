//! What the tests of the index share: a seeded random source and small indexes.

#[path = "../../../tests/support/random.rs"]
#[expect(dead_code, reason = "other tests need numbers of other kinds")]
mod random;

use std::path::Path;

use omni_retrieval::index::{Chunk, Document, Lexical, Manifest, Query, Writer};
pub(crate) use random::Random;

/// Components of the vectors of these tests: not a multiple of anything, so that rows are padded.
pub(crate) const DIMENSIONS: usize = 24;

impl Random {
    pub(crate) fn vector(&mut self) -> Vec<f32> {
        let values: Vec<f32> = (0..DIMENSIONS).map(|_| self.float()).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.into_iter().map(|value| value / length).collect()
    }

    pub(crate) fn words(&mut self, count: usize, vocabulary: usize) -> String {
        (0..count).map(|_| format!("w{}", self.below(vocabulary))).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        builder: "0.1.0".into(),
        model: "all-MiniLM-L6-v2".into(),
        model_fingerprint: "a1f3".into(),
        dimensions: DIMENSIONS,
        chunking: serde_json::json!({"strategy": "structure", "chunk_size": 1000}),
        lexical: Lexical::default(),
        ..Manifest::default()
    }
}

pub(crate) fn document(number: usize) -> Document {
    Document {
        uri: format!("s3://bucket/{}/{number}.pdf", ["guides", "manuals", "notes"][number % 3]),
        source: format!("{number}.pdf"),
        title: format!("Title {number}"),
        format: "pdf".into(),
        pages: (!number.is_multiple_of(2)).then_some(number as u32),
        sha256: format!("{number:064x}"),
        metadata: [("author".to_owned(), format!("Größe {number}").into())].into(),
        ..Document::default()
    }
}

/// What was pushed.
#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) document: u32,
    pub(crate) text: String,
    pub(crate) start: u64,
    pub(crate) page: Option<u32>,
    pub(crate) headings: String,
    pub(crate) vector: Vec<f32>,
}

impl Pushed {
    pub(crate) fn chunk(&self) -> Chunk<'_> {
        Chunk {
            document: self.document,
            text: self.text.as_str().into(),
            start: self.start,
            end: self.start + self.text.len() as u64,
            page: self.page,
            headings: &self.headings,
        }
    }
}

/// `chunks` chunks in documents of `per_document`.
pub(crate) fn corpus(seed: u64, chunks: usize, per_document: usize) -> Vec<Pushed> {
    let mut random = Random::new(seed);
    (0..chunks)
        .map(|number| Pushed {
            document: (number / per_document) as u32,
            text: format!("{} größe{number}", random.words(12, 300)),
            start: (number % per_document * 100) as u64,
            page: (number % 4 != 0).then_some((number % 4) as u32),
            headings: format!("Title {} > Part {}", number / per_document, number % 2),
            vector: random.vector(),
        })
        .collect()
}

/// Writes an index of `corpus` and says its digest.
pub(crate) fn build(path: &Path, corpus: &[Pushed]) -> String {
    build_with(Writer::new(manifest()), path, corpus)
}

/// Writes an index of `corpus` with a writer of one's own.
pub(crate) fn build_with(writer: Writer, path: &Path, corpus: &[Pushed]) -> String {
    fill(writer, corpus).finish(path).unwrap()
}

/// Pushes a corpus.
pub(crate) fn fill(mut writer: Writer, corpus: &[Pushed]) -> Writer {
    let mut documents = 0;
    for pushed in corpus {
        while documents <= pushed.document {
            assert_eq!(writer.push_document(document(documents as usize)), documents);
            documents += 1;
        }
        writer.push_chunk(&pushed.chunk(), &pushed.vector).unwrap();
    }
    writer
}

/// A query for everything, best 10.
pub(crate) fn query<'a>(vector: Option<&'a [f32]>, text: Option<&'a str>) -> Query<'a> {
    Query { vector, text, ..Query::default() }
}
