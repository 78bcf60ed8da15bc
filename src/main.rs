//! Omni-LLM.
fn main() {}
