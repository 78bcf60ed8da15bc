//! The index: one immutable file, written once, mapped by many.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What an index says of itself, apart from its documents and chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the builder.
    pub builder: String,
    /// Name of the embedding model, for people.
    pub model: String,
    /// Fingerprint of the embedding model; a service with another one refuses the file.
    pub model_fingerprint: String,
    /// Components of one vector.
    pub dimensions: usize,
    /// The chunking settings, as JSON.
    pub chunking: serde_json::Value,
    /// How text becomes terms.
    pub lexical: Lexical,
}

/// How text becomes terms, and how BM25 weighs them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lexical {
    /// Term-frequency saturation.
    pub k1: f32,
    /// Length normalisation, 0 to 1.
    pub b: f32,
    /// English Snowball stemming.
    pub stemming: bool,
    /// Leaves English function words out.
    pub stop_words: bool,
}

impl Default for Lexical {
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4, stemming: true, stop_words: true }
    }
}

/// One document of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Where it came from: `s3://bucket/key`, or the path below the source folder.
    pub uri: String,
    /// What answers call it: the path below the source folder or prefix.
    pub source: String,
    /// What it calls itself.
    pub title: String,
    /// Format, as in `pdf`.
    pub format: String,
    /// Pages, where the format has them.
    pub pages: Option<u32>,
    /// Lower-case hex SHA-256 of its bytes.
    pub sha256: String,
    /// Whatever else is known of it.
    pub metadata: BTreeMap<String, String>,
}

/// One chunk of a document: an exact slice of its text, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Number of its document.
    pub document: u32,
    /// The slice.
    pub text: &'a str,
    /// Its first byte in the document's text.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
    /// The page on which it starts, where the format has pages.
    pub page: Option<u32>,
    /// The headings above it, outermost first, joined by [`HEADING_SEPARATOR`].
    pub headings: &'a str,
}

/// Joins the headings of a chunk.
pub const HEADING_SEPARATOR: &str = " > ";

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The unit vector of the question; none searches words only.
    pub vector: Option<&'a [f32]>,
    /// The words of the question; none searches vectors only.
    pub text: Option<&'a str>,
    /// At most so many hits.
    pub top_k: usize,
    /// Weight of the vector side in the fused score, 0 to 1.
    pub alpha: f32,
    /// Leaves out hits whose cosine is lower; needs `vector`.
    pub score_threshold: Option<f32>,
    /// Only documents whose `uri` starts so.
    pub uri_prefix: Option<&'a str>,
}

/// A chunk that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Number of the chunk.
    pub chunk: u32,
    /// Cosine with the question's vector; 0 without one.
    pub cosine: f32,
    /// BM25 with the question's words; 0 without any.
    pub bm25: f32,
    /// What the hits are ordered by.
    pub fused: f32,
}

/// Collects documents and chunks, then writes the file whole or not at all.
pub struct Writer {
    _manifest: Manifest,
}

impl Writer {
    /// Begins an index.
    pub fn new(_manifest: Manifest) -> Self {
        Self { _manifest }
    }
    /// Adds a document and says its number.
    pub fn push_document(&mut self, _document: Document) -> u32 {
        0
    }
    /// Adds a chunk with its vector and the words it is found by, besides its own text.
    ///
    /// # Errors
    /// The vector has another length than the manifest says, or the document is unknown.
    pub fn push_chunk(&mut self, _chunk: &Chunk<'_>, _vector: &[f32]) -> Result<u32> {
        Err(Error::internal("stub"))
    }
    /// Writes the file at `path` (temporary file, fsync, rename) and says its digest, 64 hex digits.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written; the old file is still whole.
    pub fn finish(self, _path: &Path) -> Result<String> {
        Err(Error::internal("stub"))
    }
}

/// An index file, mapped.
pub struct Index {
    _priv: (),
}

impl Index {
    /// Maps the file and checks its header and section table; does no work per vector.
    ///
    /// # Errors
    /// Not an index, of another version, truncated or altered: the text says what to do.
    pub fn open(_path: &Path) -> Result<Self> {
        Err(Error::internal("stub"))
    }
    /// Refuses vectors of another model.
    ///
    /// # Errors
    /// The index was built with another model; the text names both.
    pub fn require_model(&self, _fingerprint: &str) -> Result<()> {
        Ok(())
    }
    /// 64 hex digits that name the content.
    pub fn digest(&self) -> &str {
        ""
    }
    /// What the index says of itself.
    pub fn manifest(&self) -> &Manifest {
        unreachable!()
    }
    /// Number of chunks.
    pub fn len(&self) -> usize {
        0
    }
    /// Whether there are no chunks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Number of documents.
    pub fn document_count(&self) -> usize {
        0
    }
    /// A document by its number.
    ///
    /// # Errors
    /// There is no such document, or the file is damaged there.
    pub fn document(&self, _number: u32) -> Result<Document> {
        Err(Error::internal("stub"))
    }
    /// A chunk by its number.
    ///
    /// # Errors
    /// There is no such chunk, or the file is damaged there.
    pub fn chunk(&self, _number: u32) -> Result<Chunk<'_>> {
        Err(Error::internal("stub"))
    }
    /// The name of a chunk in answers: `chunk_` and 16 hex digits, the same in every build while its text and place are.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub fn chunk_id(&self, _number: u32) -> Result<String> {
        Err(Error::internal("stub"))
    }
    /// The best chunks, best first; ties in the order of their numbers.
    ///
    /// # Errors
    /// The vector has another length, or the file is damaged.
    pub fn search(&self, _query: &Query<'_>) -> Result<Vec<Hit>> {
        Err(Error::internal("stub"))
    }
    /// Reads the whole file and checks every byte.
    ///
    /// # Errors
    /// The first section that is damaged.
    pub fn verify(&self) -> Result<()> {
        Ok(())
    }
}
