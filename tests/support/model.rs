//! The embedding model, which is no part of the repository.

use std::path::{Path, PathBuf};

/// The folder of all-MiniLM-L6-v2: `OMNI_MODEL`, else that of `index-builder model`; none, and said so, where nothing is there.
pub(crate) fn model() -> Option<PathBuf> {
    let repository = env!("CARGO_MANIFEST_DIR").trim_end_matches("/index-builder");
    let beside = || Path::new(repository).join("models/all-MiniLM-L6-v2");
    let folder = std::env::var_os("OMNI_MODEL").map_or_else(beside, PathBuf::from);
    if !folder.exists() {
        eprintln!("skipped: {} is not here; get the model with `index-builder model`", folder.display());
        return None;
    }
    Some(folder)
}
