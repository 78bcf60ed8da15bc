//! What the builder sees of a file: its text, or the whole document as JSON.

use std::io::ErrorKind;
use std::path::Path;

use super::{Document, INPUT_MAX_BYTES, Refusal, Sandbox};

/// Extracts the file at `path`.
///
/// # Errors
/// It cannot be read, or gives no document.
pub(crate) fn read(sandbox: &Sandbox, path: &Path) -> Result<Document, Refusal> {
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
    sandbox.extract(&std::fs::read(path).map_err(unreadable)?, &path.to_string_lossy(), None)
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
