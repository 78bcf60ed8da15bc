//! Omni-LLM: from one memory-mapped index file to an answer with sources.
//!
//! ```text
//! server::query -> rag::answer - embed -> index::search -> prompt::build -> provider::chat -> reply
//!                                   \-> extractive::answer (no provider, no network)
//! ```

pub mod app;
pub mod chat;
pub mod config;
pub mod embed;
pub mod error;
pub mod extractive;
pub mod index;
pub mod net;
pub mod passage;
pub mod prompt;
pub mod provider;
pub mod rag;
pub mod server;
pub mod telemetry;
pub mod words;
