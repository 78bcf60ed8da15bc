//! Rows of tables as statements.

use std::ops::Range;

use super::MAX_QUOTE_BYTES;
use super::sentence::{Sentence, is_noise};
use crate::sentence::{Block, Kind};

/// The rows of a table that a block is, or is one of; those that name columns are none. The table begins at `head`.
pub(super) fn rows(text: &str, block: &Block, head: Option<usize>) -> Option<Vec<Sentence>> {
    let line = &text[block.range.clone()];
    let mut rows = Vec::new();
    match block.kind {
        Kind::Line if line.starts_with('|') => {
            if !is_rule(line) {
                let head = head.filter(|head| block.range.end - head <= MAX_QUOTE_BYTES);
                rows.extend(row(text, block.range.clone(), head));
            }
        }
        Kind::Paragraph | Kind::Item if line.lines().filter(|line| line.contains(" | ")).count() > 1 => {
            let mut at = block.range.start;
            for (number, line) in line.split_inclusive('\n').enumerate() {
                // The first row of a table names its columns.
                if number > 0 {
                    rows.extend(row(text, at..at + line.trim_end().len(), None));
                }
                at += line.len();
            }
        }
        _ => return None,
    }
    Some(rows)
}

/// A row of a table, without the bars around it; from the `head` of its table on, where that is not too far, with them.
fn row(text: &str, line: Range<usize>, head: Option<usize>) -> Option<Sentence> {
    let cells = text[line.clone()].trim_start_matches(['|', ' ']);
    let start = line.end - cells.len();
    let range = start..start + cells.trim_end_matches(['|', ' ']).len();
    let cells = &text[range.clone()];
    let penalty = if is_noise(cells) { 0.4 } else { 0.1 };
    cells.contains(" | ").then_some(Sentence {
        lead: head.unwrap_or(range.start),
        tail: head.map_or(range.end, |_| line.end),
        answers: None,
        penalty,
        is_open: false,
        range,
    })
}

/// Whether a line parts the head of a table from its rows.
pub(super) fn is_rule(line: &str) -> bool {
    line.starts_with('|') && !line.contains(char::is_alphanumeric)
}
