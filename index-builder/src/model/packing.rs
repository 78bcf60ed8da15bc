//! The packed model beside its three files: the one file that the builder and the service open.

use std::path::{Path, PathBuf};

use omni_retrieval::embed::{
    DEFAULT_MODEL, Description, MAX_TOKENS, Manifest, PACKED_FILE, Packed, Pooling, Precision, pack, write_packed,
};
use omni_retrieval::error::Result;

/// The packed file with weights as trained, for comparison.
const F32_FILE: &str = "model-f32.bin";

/// All names that a packed model may have.
pub(super) const PACKED_FILES: [&str; 2] = [PACKED_FILE, F32_FILE];

/// Packs the model in `folder`, which was checked before, unless a whole packed file is there. Says what it wrote.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn pack_in(folder: &Path, precision: Precision) -> Result<Option<PathBuf>> {
    let path = folder.join(file_of(precision));
    let description = Description {
        name: DEFAULT_MODEL.to_owned(),
        licence: "Apache-2.0".to_owned(),
        max_tokens: MAX_TOKENS,
        pooling: Pooling::Mean,
        pooling_is_assumed: false,
        query_prefix: String::new(),
        document_prefix: String::new(),
        family: None,
    };
    // One that somebody packed with another pooling or limit is not this one.
    let is_this = |packed: &Packed| {
        let Manifest { name, pooling, max_tokens, query_prefix, document_prefix, .. } = packed.manifest();
        (name, pooling, max_tokens) == (&description.name, &description.pooling, &description.max_tokens)
            && query_prefix.is_empty()
            && document_prefix.is_empty()
    };
    if Packed::open(&path).is_ok_and(|packed| is_this(&packed) && packed.verify().is_ok()) {
        return Ok(None);
    }
    write_packed(&path, &pack(folder, &description, precision)?)?;
    Ok(Some(path))
}

/// What a packed model is called in its folder.
pub(super) fn file_of(precision: Precision) -> &'static str {
    match precision {
        Precision::Int8 => PACKED_FILE,
        Precision::F32 => F32_FILE,
    }
}
