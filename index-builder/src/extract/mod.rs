//! Bytes to [`Document`]: one file a format.

mod document;

pub use document::{Block, BlockKind, Document, Format, Page, Section};
