//! The index: one immutable file, written once, mapped by many.
//!
//! [`Writer`] and [`Index`] share the layout (`format`, `section`, the records), the cutting of text into terms and the search itself,
//! by which a new file is tuned; `docs/index-format.md` describes the file for others.

mod allowed;
mod arrange;
mod cluster;
mod code;
mod dictionary;
mod document;
mod facets;
mod file;
mod filter;
mod format;
mod fusion;
mod kernels;
mod kmeans;
mod lexical;
mod lz4;
mod manifest;
mod order;
mod packing;
mod plan;
mod planner;
mod probe;
mod quantised;
mod query;
#[cfg(test)]
#[path = "../../../tests/support/random.rs"]
#[expect(dead_code, reason = "other tests need numbers of other kinds")]
mod random;
mod record;
mod rotation;
mod search;
mod section;
mod terms;
mod tombstones;
mod top;
mod tune;
mod vectors;
mod view;
mod writer;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

pub use self::document::{Chunk, Document, HEADING_SEPARATOR};
pub use self::facets::{DEFAULT_NAMESPACE, Field, Kind, RESERVED, Scalar};
pub use self::file::{index_files, index_path};
pub use self::filter::{Filter, Test};
pub use self::format::MAGIC;
use self::format::Refusal;
pub use self::fusion::{DEFAULT_ALPHA, Fusion};
pub use self::manifest::{Lexical, Manifest};
pub use self::query::{Hit, Query, Recall};
use self::rotation::Rotation;
use self::section::Section;
pub use self::tombstones::Tombstones;
use self::vectors::Vectors;
use self::view::View;
pub use self::writer::Writer;
use crate::cpu::Kernel;
use crate::error::{Code, Error, Result};
use crate::hex::hex;

/// An index file, mapped. Searches run in parallel without locks; what is mapped lives as long as this does.
pub struct Index {
    view: View,
    kernel: Kernel,
    rotation: Rotation,
    manifest: Manifest,
    digest: String,
    facets: OnceLock<facets::Directory>,
    gone: tombstones::Gone,
}

impl Index {
    /// Maps the file and checks its header, section table and manifest; does no work per vector. Everything else is
    /// checked when it is first touched. Documents that were forgotten are found until [`Self::bury_beside`] has read their list.
    ///
    /// # Errors
    /// Not an index, of a newer version, truncated or altered: the text says what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let kernel = Kernel::choose()?;
        let view = View::open(path)?;
        let manifest: Manifest = view.json(Section::Manifest, view.section(Section::Manifest)?)?;
        if manifest.dimensions != view.superblock().dimensions as usize {
            return Err(view.inconsistent(Section::Manifest));
        }
        if manifest.lexical.revision > crate::words::REVISION {
            return Err(Error::corrupt(path, Refusal::Words(manifest.lexical.revision)));
        }
        let digest = hex(&view.superblock().digest);
        let rotation = Rotation::new(view.superblock().stride());
        let (facets, gone) = (OnceLock::new(), tombstones::Gone::default());
        Ok(Self { view, kernel, rotation, manifest, digest, facets, gone })
    }

    /// Refuses vectors of another model than this one.
    ///
    /// # Errors
    /// The index was built with another model; the text names both.
    pub fn require_model(&self, name: &str, fingerprint: &str) -> Result<()> {
        let Manifest { provider, model, model_fingerprint: built, .. } = &self.manifest;
        if fingerprint == built {
            return Ok(());
        }
        let path = self.view.path().display();
        let remedy = match provider {
            Some(_) => "rebuild it with index-builder",
            None => "name that model's folder with `--model` or `OMNI_MODEL`, or rebuild the index with the one in use",
        };
        let message =
            format!("{path}: built with model \"{model}\" ({built}), and \"{name}\" ({fingerprint}) is in use; {remedy}");
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

    /// The instruction set that scans vectors: `scalar`, `avx2`, `avxvnni`, `avx512` or `neon`.
    pub fn kernel(&self) -> &'static str {
        self.kernel.name()
    }

    /// How many of ten nearest vectors `fast` and `balanced` found when the index was built, as shares, asked for vectors of its
    /// own; none where every search is exact.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn recall(&self) -> Result<Option<[f32; 2]>> {
        let plan = self.whole(|| plan::Plan::of(&self.view))?;
        Ok(plan.coded.then_some([plan.fast.recall, plan.balanced.recall]))
    }

    /// The best chunks, best first; ties in the order of their numbers.
    ///
    /// # Errors
    /// The query contradicts itself, its vector has another length, or the file is damaged where it was touched.
    pub fn search(&self, query: &Query<'_>) -> Result<Vec<Hit>> {
        self.whole(|| search::search(self, query))
    }

    /// Puts hits that repeat a better one behind all others, as [`Query::distinct`] does, and keeps `top_k`.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn spread(&self, hits: Vec<Hit>, top_k: usize) -> Result<Vec<Hit>> {
        let (mut hits, _) = self.whole(|| search::spread(self, &self.vectors()?, hits, top_k, |hit| hit.chunk))?;
        hits.truncate(top_k);
        Ok(hits)
    }

    /// Whether the file is still the one that was opened: to be asked once more when chunks of it have been copied.
    ///
    /// # Errors
    /// The file was overwritten in place meanwhile: what was read may be nonsense.
    pub fn require_whole(&self) -> Result<()> {
        self.view.require_whole()
    }

    /// Whether searches may be sent here.
    ///
    /// # Errors
    /// The file was overwritten in place, or one of the searches so far met a block that is damaged.
    pub fn require_sound(&self) -> Result<()> {
        self.view.require_sound()
    }

    /// Reads ahead what searches touch first, the nearest to every search foremost: until `budget_bytes` are read, or the
    /// deadline passes. Says how many bytes were read. Meant for the time before the first question, as Lambda grants it.
    ///
    /// # Errors
    /// The file is damaged in what was read.
    pub fn warm(&self, budget_bytes: u64, deadline: Instant) -> Result<u64> {
        self.whole(|| self.view.warm(budget_bytes, deadline))
    }

    /// How many chunks a caller with these labels finds through a filter.
    ///
    /// # Errors
    /// The filter names a field that is not in the index or tests it for what it cannot be, or the file is damaged.
    pub fn count(&self, filter: Option<&Filter>, access: &[String]) -> Result<usize> {
        let allowed = self.whole(|| search::allowed(self, filter, access))?;
        Ok(allowed.count(self.view.superblock().chunks))
    }

    /// What chunks can be filtered by.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn fields(&self) -> Result<Vec<Field>> {
        self.whole(|| Ok(self.facets()?.fields().collect()))
    }

    /// The namespaces of the documents and how many documents are in each, sorted.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn namespaces(&self) -> Result<Vec<(String, u32)>> {
        let named = self.whole(|| self.facets()?.values(facets::NAMESPACE))?;
        Ok(if named.is_empty() { vec![(DEFAULT_NAMESPACE.to_owned(), self.view.superblock().documents)] } else { named })
    }

    /// The labels of documents that are not for everybody, and how many documents have each, sorted. For operators only.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn labels(&self) -> Result<Vec<(String, u32)>> {
        let mut labels = self.whole(|| self.facets()?.values(facets::ACCESS))?;
        // What stands for everybody, and for nobody, is none.
        labels.retain(|(label, _)| !matches!(label.as_str(), "" | facets::NOBODY));
        Ok(labels)
    }

    /// Whether there is a document with this `uri`.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn has_document(&self, uri: &str) -> Result<bool> {
        self.whole(|| self.facets()?.has_uri(uri))
    }

    /// The vector of a chunk: as it was given but for rounding, of length one.
    ///
    /// # Errors
    /// There is no such chunk, or the file is damaged there.
    pub fn vector(&self, chunk: u32) -> Result<Vec<f32>> {
        self.whole(|| {
            self.chunk_record(chunk)?;
            self.vectors()?.unit(chunk)
        })
    }

    /// Hands out only what was read of the file that was opened.
    fn whole<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        self.view.require_whole()?;
        let read = read()?;
        self.view.require_whole()?;
        Ok(read)
    }

    fn vectors(&self) -> Result<Vectors<'_>> {
        Vectors::of(&self.view, self.kernel, &self.rotation)
    }

    fn facets(&self) -> Result<facets::Reader<'_>> {
        let directory = match self.facets.get() {
            Some(directory) => directory,
            None => {
                let directory = facets::Directory::of(&self.view)?;
                // Whoever came first: both have read the same.
                self.facets.get_or_init(|| directory)
            }
        };
        Ok(facets::Reader::new(&self.view, directory))
    }

    /// Reads the whole file and checks every byte.
    ///
    /// # Errors
    /// The first section that is damaged.
    pub fn verify(&self) -> Result<()> {
        self.whole(|| self.view.verify())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Usearch and hnsw_rs had to learn this the hard way: an index must be shareable and own what it needs.
    const fn shareable<T: Send + Sync + 'static>() {}
    const _: () = shareable::<Index>();
}
