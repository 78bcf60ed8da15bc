//! Omni-LLM: from one memory-mapped index file to an answer with sources.
//!
//! ```text
//! server::query -> rag::answer - embed -> index::search -> prompt::ground -> provider::chat -> schema, citation -> reply
//!                                   \-> extractive::compose (no provider, no network)
//! ```

pub mod app;
pub mod chat;
pub(crate) mod citation;
pub mod config;
pub(crate) mod cost;
pub(crate) mod extractive;
pub mod net;
pub mod passage;
pub mod prompt;
pub mod provider;
pub mod rag;
pub(crate) mod schema;
pub mod server;
pub mod telemetry;

/// What the builder needs, too, is a crate of its own; its rooms keep their names here.
pub use omni_retrieval::{embed, error, index};
pub(crate) use omni_retrieval::{hex, rerank, sentence, words};

#[cfg(test)]
#[path = "../tests/support"]
mod testing {
    pub(crate) mod shared;
}
