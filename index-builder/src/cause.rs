//! What errors of others say, in one line.

use std::error::Error;

use crate::extract::one_line;

/// The innermost cause: what the layers above it say adds nothing that helps.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    short_line(cause.to_string().trim_end_matches('.'))
}

/// A text in one line of a sensible length.
pub(crate) fn short_line(text: &str) -> String {
    let line = one_line(text);
    match line.char_indices().nth(200) {
        Some((cut, _)) => format!("{}..", &line[..cut]),
        None => line,
    }
}
