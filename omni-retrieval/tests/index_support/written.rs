//! What a test wrote, opened.

use omni_retrieval::index::{Index, Writer};
use tempfile::TempDir;

/// What was pushed, written as `kb.omni` into a folder of its own and opened.
pub(crate) fn written(writer: Writer) -> (TempDir, Index) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    writer.finish(&path).unwrap();
    let index = Index::open(&path).unwrap();
    (folder, index)
}
