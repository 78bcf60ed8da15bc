//! What is put before a chunk for embedding and never becomes part of its text: the heading path, and the columns of a table that
//! began before. BM25 has the title and all headings of its own.

use omni_retrieval::embed::Tokenizer;

use super::atom::CHARS_PER_TOKEN;
use crate::extract::{BlockKind, Document, one_line};

/// Most tokens of a heading path.
pub(super) const CONTEXT_TOKENS: usize = 30;

/// Most tokens of the title, and of the innermost heading, once the path has to be shortened: two of them and a `>` still fit.
const PART_TOKENS: usize = 14;

/// `Title > H1 > H2`, at most [`CONTEXT_TOKENS`]. A path that is too long loses its outer headings first: the title says what the
/// document is and the innermost heading what the chunk is about.
pub(super) fn path(title: &str, headings: &[String], tokenizer: &Tokenizer) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(headings.len() + 1);
    for part in std::iter::once(title).chain(headings.iter().map(String::as_str)) {
        // Taking a few characters too many first keeps a heading of a megabyte from being tokenised; such a one is shortened
        // anyway.
        let part: String = part.chars().take(2 * CONTEXT_TOKENS * CHARS_PER_TOKEN).collect();
        let part = one_line(&part);
        if !part.is_empty() && parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    while parts.len() > 2 && !fits(&parts.join(" > "), CONTEXT_TOKENS, tokenizer) {
        parts.remove(1);
    }
    let whole = parts.join(" > ");
    if fits(&whole, CONTEXT_TOKENS, tokenizer) {
        return whole;
    }
    let budget = if parts.len() == 1 { CONTEXT_TOKENS } else { PART_TOKENS };
    let parts: Vec<&str> = parts.iter().map(|part| shorten(part, budget, tokenizer)).filter(|part| !part.is_empty()).collect();
    parts.join(" > ")
}

/// The row that names the columns, where a later row of a table stands at the byte `offset`.
pub(super) fn columns(document: &Document, offset: usize) -> Option<&str> {
    let block = document.blocks.get(document.blocks.partition_point(|block| block.span.end <= offset))?;
    let before = document.text.get(block.span.start..offset).filter(|_| block.kind == BlockKind::Table)?;
    // A caption has no cells. Further down a `|` is somebody's text in a table of one column.
    let row = before.split_inclusive('\n').take(3).find(|line| line.contains('|'))?;
    row.ends_with('\n').then(|| row.trim())
}

/// The path and, in a line of its own, as much of the columns as its own room has left and `room` has beside it.
pub(super) fn with_columns(path: String, columns: &str, room: usize, tokenizer: &Tokenizer) -> String {
    let room = room + CONTEXT_TOKENS.saturating_sub(tokenizer.count(&path));
    let most = columns.floor_char_boundary(columns.len().min(2 * room * CHARS_PER_TOKEN));
    match (path.is_empty(), shorten(&columns[..most], room, tokenizer)) {
        (_, "") => path,
        (true, columns) => columns.to_owned(),
        (false, columns) => format!("{path}\n{columns}"),
    }
}

fn fits(text: &str, tokens: usize, tokenizer: &Tokenizer) -> bool {
    text.chars().count() <= tokens * CHARS_PER_TOKEN && tokenizer.count(text) <= tokens
}

/// The longest beginning of `text` that fits, at the end of a word where there is one.
fn shorten<'a>(text: &'a str, tokens: usize, tokenizer: &Tokenizer) -> &'a str {
    let mut text = text;
    while !fits(text, tokens, tokenizer) {
        text = match text.rfind(char::is_whitespace) {
            Some(space) => text[..space].trim_end(),
            None => &text[..text.floor_char_boundary(text.len() / 2)],
        };
    }
    text
}
