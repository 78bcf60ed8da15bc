//! The service through its router, with a provider that a test starts on the loopback. No test needs the embedding model, the
//! network or a key.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail where they stand")]

mod addresses;
mod beside;
mod cited;
mod clients;
mod command;
mod counted;
mod digits;
mod door;
#[path = "../../omni-retrieval/tests/embed_support/mod.rs"]
mod embed_support;
mod embeddings;
mod errors;
mod lambda;
mod left_out;
mod logs;
mod narrow;
mod native;
mod openapi;
mod port;
mod proofs;
mod provided;
mod query;
mod remote;
mod replay;
mod request;
mod rerank;
mod shape;
mod stream;
mod support;
