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
pub(crate) mod cpu;
pub mod embed;
pub mod error;
pub(crate) mod extractive;
pub mod hex;
pub mod index;
pub mod mapped;
pub mod net;
pub mod passage;
pub mod prompt;
pub mod provider;
pub mod rag;
pub mod rerank;
pub(crate) mod schema;
pub mod sentence;
pub mod server;
pub mod telemetry;
pub(crate) mod words;

#[cfg(test)]
#[path = "../tests/support"]
mod testing {
    pub(crate) mod shared;
}
