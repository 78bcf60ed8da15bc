//! Builds an Omni-LLM index: documents in, one memory-mapped file out.
#![expect(dead_code, unused_imports, reason = "rooms are being furnished")]

mod chunk;
mod extract;
mod model;
mod source;

fn main() {}
