//! What builds an index and what answers from it share: text to vectors, one memory-mapped file, ranked hits. No network.
//!
//! ```text
//! text -> embed -> index::Writer -> knowledge.omni -> index::Index::search (-> rerank) -> hits
//! ```
//!
//! A program that wants no service finds passages with this alone:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use omni_retrieval::{embed::Embedder, error::Result, index::{Index, Query}};
//!
//! fn main() -> Result<()> {
//!     let model = Embedder::open(Path::new("models/all-MiniLM-L6-v2"))?;
//!     let index = Index::open(Path::new("knowledge.omni"))?;
//!     index.require_model(model.name(), model.fingerprint())?;
//!     // What was forgotten stays so.
//!     index.bury_beside(Path::new("knowledge.omni"))?;
//!
//!     let question = "How do I refresh the knowledge?";
//!     let vector = model.embed_query(question)?;
//!     let query = Query { vector: Some(&vector), text: Some(question), top_k: 5, ..Query::default() };
//!     for hit in index.search(&query)? {
//!         let chunk = index.chunk(hit.chunk)?;
//!         println!("{}: {}", index.document(chunk.document)?.source, chunk.text);
//!     }
//!     Ok(())
//! }
//! ```

pub(crate) mod cpu;
pub mod embed;
pub mod error;
pub mod hex;
pub mod index;
pub(crate) mod mapped;
pub mod replace;
pub mod rerank;
pub mod sentence;
pub mod words;
