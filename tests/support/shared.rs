//! The shared folder: documents, specifications and recordings that are too large for the repository.

use std::path::{Path, PathBuf};

/// A path of `OMNI_SHARED`, else of the folder `shared` beside the repository; none, and said so, where nothing is there.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let repository = env!("CARGO_MANIFEST_DIR").trim_end_matches("/index-builder").trim_end_matches("/omni-retrieval");
    let folder = std::env::var_os("OMNI_SHARED").map_or_else(|| Path::new(repository).join("../shared"), PathBuf::from);
    let path = folder.join(path);
    if !path.exists() {
        eprintln!("skipped: {} is not here", path.display());
        return None;
    }
    Some(path)
}
