//! Omni-LLM: from one memory-mapped index file to an answer with sources.

pub mod chat;
pub mod embed;
pub mod error;
pub mod index;
