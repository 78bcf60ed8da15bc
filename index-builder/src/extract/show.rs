//! What the builder sees of a file: its text, or the whole document as JSON.

use std::io::ErrorKind;
use std::path::Path;

use omni_retrieval::error;

use super::{Document, INPUT_MAX_BYTES, Refusal, Sandbox};

/// Extracts the file at `path`.
///
/// # Errors
/// No file can be extracted. Why this one cannot is the inner error.
pub(crate) fn read(sandbox: &Sandbox, path: &Path) -> error::Result<Result<Document, Refusal>> {
    match bytes(path) {
        Ok(bytes) => sandbox.extract(&bytes, &path.to_string_lossy(), None),
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |cause: std::io::Error| {
        Refusal::new(match cause.kind() {
            ErrorKind::NotFound => "no such file".to_owned(),
            ErrorKind::IsADirectory => "a folder; name the files in it".to_owned(),
            _ => cause.to_string(),
        })
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > INPUT_MAX_BYTES {
        return Err(super::too_large());
    }
    std::fs::read(path).map_err(unreadable)
}

/// The text of a document and a line end, or with `as_json` the document as one line of JSON.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn shown(document: &Document, as_json: bool) -> Result<String, Refusal> {
    let mut text = match as_json {
        true => serde_json::to_string(document).map_err(|cause| Refusal::new(cause.to_string()))?,
        false => document.text.clone(),
    };
    text.push('\n');
    Ok(text)
}
