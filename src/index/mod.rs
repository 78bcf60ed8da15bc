//! The index: one immutable file, written once, mapped by many.
//!
//! [`Writer`] and [`Index`] share nothing but the layout in `format`; `docs/index-format.md` describes it for others.

mod allowed;
mod arrange;
mod cluster;
mod code;
mod facets;
mod fault;
mod filter;
mod format;
mod fusion;
mod kernels;
mod kmeans;
mod lexical;
mod plan;
mod probe;
mod rotation;
mod search;
mod terms;
mod tombstones;
mod top;
mod tune;
mod vectors;
mod view;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::allowed::Bits;
pub use self::facets::{DEFAULT_NAMESPACE, Field, Kind, RESERVED, Scalar};
pub use self::filter::{Filter, Test};
use self::format::{CHUNK_RECORD, DOCUMENT_RECORD, NO_PAGE, Section, u32_at, u64_at};
pub use self::fusion::Fusion;
use self::rotation::Rotation;
pub use self::tombstones::Tombstones;
use self::view::View;
pub use self::writer::Writer;
use crate::cpu::Kernel;
use crate::error::{Code, Error, Result};

/// What an index says of itself, apart from its documents and chunks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the builder.
    pub builder: String,
    /// Name of the embedding model, for people.
    pub model: String,
    /// Fingerprint of the embedding model; a service with another one refuses the file.
    pub model_fingerprint: String,
    /// Components of one vector.
    pub dimensions: usize,
    /// The provider that embedded, as the configuration calls it, and that embeds questions; none is the packed model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether the provider was asked for this many dimensions, and has to be again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
    /// The chunking settings, as JSON.
    pub chunking: serde_json::Value,
    /// How text becomes terms.
    pub lexical: Lexical,
    /// The weight of the vectors against the words that was best for questions given when the index was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// Whether some documents are for callers with labels only; the writer knows.
    #[serde(default)]
    pub labelled: bool,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Whatever else is known of it: texts, numbers, truth values, or lists of them.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The collection that it belongs to; none is [`DEFAULT_NAMESPACE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Who may see it: callers who have one of these labels. Nothing is everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<String>,
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

/// How much of the nearest is to be found: a search that may miss a little is many times faster where the index is large.
/// Where it is small, every search is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recall {
    /// About 95 of 100.
    Fast,
    /// About 99 of 100.
    #[default]
    Balanced,
    /// All of them: every vector is scored.
    Exact,
}

impl FromStr for Recall {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "fast" => Ok(Self::Fast),
            "balanced" => Ok(Self::Balanced),
            "exact" => Ok(Self::Exact),
            _ => Err(Error::bad_request(format!("`recall`: `{name}`; use `fast`, `balanced` or `exact`"))),
        }
    }
}

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The unit vector of the question; none searches words only.
    pub vector: Option<&'a [f32]>,
    /// The words of the question; none searches vectors only.
    pub text: Option<&'a str>,
    /// At most so many hits.
    pub top_k: usize,
    /// How both sides become one order.
    pub fusion: Fusion,
    /// Leaves out hits whose cosine is lower; needs `vector`.
    pub score_threshold: Option<f32>,
    /// How much of what is nearest to `vector` is to be found.
    pub recall: Recall,
    /// Only chunks that pass.
    pub filter: Option<&'a Filter>,
    /// The labels of the caller: documents with other labels only are not there.
    pub access: &'a [String],
    /// Puts hits that repeat a better one behind all others.
    pub distinct: bool,
}

impl Default for Query<'_> {
    fn default() -> Self {
        Self {
            vector: None,
            text: None,
            top_k: 10,
            fusion: Fusion::default(),
            score_threshold: None,
            recall: Recall::default(),
            filter: None,
            access: &[],
            distinct: false,
        }
    }
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

/// An index file, mapped. Searches run in parallel without locks; what is mapped lives as long as this does.
pub struct Index {
    view: View,
    kernel: Kernel,
    rotation: Rotation,
    manifest: Manifest,
    digest: String,
    facets: OnceLock<facets::Reader>,
    gone: tombstones::Gone,
}

impl Index {
    /// Maps the file and checks its header, section table and manifest; does no work per vector. Everything else is
    /// checked when it is first touched.
    ///
    /// # Errors
    /// Not an index, of a newer version, truncated or altered: the text says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let kernel = Kernel::choose()?;
        let view = View::open(path)?;
        let manifest: Manifest = serde_json::from_slice(view.section(Section::Manifest)?)
            .map_err(|cause| view.inconsistent(Section::Manifest).caused_by(cause))?;
        if manifest.dimensions != view.superblock().dimensions as usize {
            return Err(view.inconsistent(Section::Manifest));
        }
        let digest = writer::hex(&view.superblock().digest);
        let rotation = Rotation::new(view.superblock().stride());
        let (facets, gone) = (OnceLock::new(), tombstones::Gone::default());
        Ok(Self { view, kernel, rotation, manifest, digest, facets, gone })
    }

    /// Refuses vectors of another model.
    ///
    /// # Errors
    /// The index was built with another model; the text names both.
    pub fn require_model(&self, fingerprint: &str) -> Result<()> {
        if fingerprint == self.manifest.model_fingerprint {
            return Ok(());
        }
        let path = self.view.path().display();
        let (model, built) = (&self.manifest.model, &self.manifest.model_fingerprint);
        let message = format!(
            "{path}: built with model \"{model}\" ({built}), this service has {fingerprint}; rebuild it with index-builder"
        );
        Err(Error::new(Code::WrongModel, message))
    }

    /// 64 hex digits that name the content.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the index says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.view.superblock().chunks as usize
    }

    /// Whether there are no chunks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of documents.
    pub fn document_count(&self) -> usize {
        self.view.superblock().documents as usize
    }

    /// Bytes of the file.
    pub fn size_bytes(&self) -> u64 {
        self.view.superblock().file_length
    }

    /// The instruction set that scans vectors: `scalar`, `avx2`, `avx512` or `neon`.
    pub fn kernel(&self) -> &'static str {
        self.kernel.name()
    }

    /// A document by its number.
    ///
    /// # Errors
    /// There is no such document, or the file is damaged there.
    pub fn document(&self, number: u32) -> Result<Document> {
        self.view.require_whole()?;
        let record = self.record(Section::Documents, DOCUMENT_RECORD, 2 * DOCUMENT_RECORD, number, self.document_count())?;
        let (start, end) = (u64_at(record, 0), u64_at(record, DOCUMENT_RECORD as usize));
        let length = end.checked_sub(start).ok_or_else(|| self.view.inconsistent(Section::Documents))?;
        let json = self.view.bytes(Section::Records, start, length)?;
        serde_json::from_slice(json).map_err(|cause| self.view.inconsistent(Section::Records).caused_by(cause))
    }

    /// A chunk by its number.
    ///
    /// # Errors
    /// There is no such chunk, or the file is damaged there.
    pub fn chunk(&self, number: u32) -> Result<Chunk<'_>> {
        self.view.require_whole()?;
        let record = self.record(Section::Chunks, CHUNK_RECORD, CHUNK_RECORD, number, self.len())?;
        let document = u32_at(record, 28);
        if document as usize >= self.document_count() {
            return Err(self.view.inconsistent(Section::Chunks));
        }
        Ok(Chunk {
            document,
            text: self.view.text(Section::Texts, u64_at(record, 0), u32_at(record, 24).into())?,
            start: u64_at(record, 8),
            end: u64_at(record, 16),
            page: Some(u32_at(record, 32)).filter(|&page| page != NO_PAGE),
            headings: self.view.text(Section::Headings, u32_at(record, 36).into(), u32_at(record, 40).into())?,
        })
    }

    /// The name of a chunk in answers: `chunk_` and 16 hex digits, the same in every build while its text and place are.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub fn chunk_id(&self, number: u32) -> Result<String> {
        let chunk = self.chunk(number)?;
        let uri = self.document(chunk.document)?.uri;
        let mut hash = Sha256::new();
        hash.update((uri.len() as u64).to_le_bytes());
        hash.update(uri);
        hash.update(chunk.start.to_le_bytes());
        hash.update(chunk.text);
        Ok(format!("chunk_{}", writer::hex(&hash.finalize()[..8])))
    }

    /// The best chunks, best first; ties in the order of their numbers.
    ///
    /// # Errors
    /// The query contradicts itself, its vector has another length, or the file is damaged where it was touched.
    pub fn search(&self, query: &Query<'_>) -> Result<Vec<Hit>> {
        self.view.require_whole()?;
        let hits = search::search(self, query)?;
        self.view.require_whole()?;
        Ok(hits)
    }

    /// Reads ahead what searches touch first, the nearest to every search foremost: until `budget_bytes` are read, or the
    /// deadline passes. Says how many bytes were read. Meant for the time before the first question, as Lambda grants it.
    ///
    /// # Errors
    /// The file is damaged in what was read.
    pub fn warm(&self, budget_bytes: u64, deadline: Instant) -> Result<u64> {
        self.view.require_whole()?;
        self.view.warm(budget_bytes, deadline)
    }

    /// How many chunks a caller with these labels finds through a filter.
    ///
    /// # Errors
    /// The filter names a field that is not in the index or tests it for what it cannot be, or the file is damaged.
    pub fn count(&self, filter: Option<&Filter>, access: &[String]) -> Result<usize> {
        self.view.require_whole()?;
        Ok(search::allowed(self, filter, access)?.count(self.view.superblock().chunks))
    }

    /// What chunks can be filtered by.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn fields(&self) -> Result<Vec<Field>> {
        Ok(self.facets()?.fields().collect())
    }

    /// The namespaces of the documents and how many documents are in each, sorted.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn namespaces(&self) -> Result<Vec<(String, u32)>> {
        let named = self.facets()?.values(&self.view, facets::NAMESPACE)?;
        Ok(if named.is_empty() { vec![(DEFAULT_NAMESPACE.to_owned(), self.view.superblock().documents)] } else { named })
    }

    /// Whether there is a document with this `uri`.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn has_document(&self, uri: &str) -> Result<bool> {
        Ok(self.facets()?.documents_with(&self.view, "uri", uri)?.is_some())
    }

    /// Makes the documents of a list, and no others, gone from now on.
    ///
    /// # Errors
    /// The list was written for another index, or names a document that is not in this one. Then nothing changes.
    pub fn bury(&self, tombstones: &Tombstones) -> Result<()> {
        if tombstones.index != self.digest {
            return Err(Error::new(
                Code::CorruptFile,
                format!(
                    "tombstones: written for index {}, this is {}; write them again with `index-builder forget`, or delete the file if every document of this index may be found",
                    tombstones.index, self.digest
                ),
            ));
        }
        let mut gone = Bits::none(self.view.superblock().documents);
        for uri in &tombstones.documents {
            let Some(documents) = self.facets()?.documents_with(&self.view, "uri", uri)? else {
                return Err(Error::bad_request(format!("tombstones: no document `{uri}` in the index; take it out of the list")));
            };
            gone.unite(&documents);
        }
        self.gone.replace(&gone);
        Ok(())
    }

    /// Whether a document is gone.
    pub fn is_gone(&self, document: u32) -> bool {
        self.gone.contains(document)
    }

    /// The vector of a chunk: as it was given but for rounding, of length one.
    ///
    /// # Errors
    /// There is no such chunk, or the file is damaged there.
    pub fn vector(&self, chunk: u32) -> Result<Vec<f32>> {
        self.record(Section::Chunks, CHUNK_RECORD, CHUNK_RECORD, chunk, self.len())?;
        vectors::Vectors::of(&self.view, self.kernel, &self.rotation)?.unit(chunk)
    }

    fn facets(&self) -> Result<&facets::Reader> {
        self.view.require_whole()?;
        match self.facets.get() {
            Some(reader) => Ok(reader),
            None => {
                let reader = facets::Reader::open(&self.view)?;
                // Whoever came first: both have read the same.
                Ok(self.facets.get_or_init(|| reader))
            }
        }
    }

    /// Reads the whole file and checks every byte.
    ///
    /// # Errors
    /// The first section that is damaged.
    pub fn verify(&self) -> Result<()> {
        self.view.require_whole()?;
        self.view.verify()
    }

    fn record(&self, section: Section, step: u64, length: u64, number: u32, count: usize) -> Result<&[u8]> {
        if number as usize >= count {
            let path = self.view.path().display();
            return Err(Error::new(
                Code::NotFound,
                format!("{path}: no number {number} in `{}`; it holds {count}", section.name()),
            ));
        }
        self.view.bytes(section, u64::from(number) * step, length)
    }
}

/// The text of a chunk.
fn text_of(view: &View, chunk: u32) -> Result<&str> {
    let record = view.bytes(Section::Chunks, u64::from(chunk) * CHUNK_RECORD, CHUNK_RECORD)?;
    view.text(Section::Texts, u64_at(record, 0), u32_at(record, 24).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Usearch and hnsw_rs had to learn this the hard way: an index must be shareable and own what it needs.
    const fn shareable<T: Send + Sync + 'static>() {}
    const _: () = shareable::<Index>();
}
