//! What the builder sees of a file: its text, or the whole document as JSON.

use std::io::{self, Write};
use std::path::Path;

use super::{INPUT_MAX_BYTES, Refusal, Sandbox};

/// Extracts the file at `path` and writes what came of it to `output`: the text and a line end, or with `as_json` the document
/// as one line of JSON. The inner refusal is for the caller to report.
pub(crate) fn show(sandbox: &Sandbox, path: &Path, as_json: bool, output: &mut impl Write) -> io::Result<Result<(), Refusal>> {
    if std::fs::metadata(path)?.len() > INPUT_MAX_BYTES {
        return Ok(Err(super::too_large()));
    }
    let document = match sandbox.extract(&std::fs::read(path)?, &path.to_string_lossy(), None) {
        Ok(document) => document,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match as_json {
        true => serde_json::to_writer(&mut *output, &document)?,
        false => output.write_all(document.text.as_bytes())?,
    }
    output.write_all(b"\n").map(Ok)
}
