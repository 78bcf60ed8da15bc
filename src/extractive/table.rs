//! Rows of tables as statements.

use std::ops::Range;

use super::MAX_QUOTE_BYTES;
use super::sentence::{Sentence, is_noise};
use crate::sentence::{Block, CELLS, Kind};

/// The rows of a table that a block is, or is one of; those that name columns are none. The
/// `head` of a table in Markdown stands above it.
pub(super) fn rows(text: &str, block: &Block, head: Option<Range<usize>>) -> Option<Vec<Sentence>> {
    let line = &text[block.range.clone()];
    if block.kind == Kind::Line && line.starts_with('|') {
        // A table in Markdown is one only with its head, and with all rows between.
        let lead = head.as_ref().map(|head| head.start).filter(|lead| block.range.end - lead <= MAX_QUOTE_BYTES);
        let row = (!is_rule(line)).then(|| row(text, block.range.clone(), head, lead)).flatten();
        return Some(row.into_iter().collect());
    }
    if !is_table(text, block) {
        return None;
    }
    let mut at = block.range.start;
    let lines = line.split_inclusive('\n').map(|line| {
        at += line.len();
        at - line.len()..at - line.len() + line.trim_end().len()
    });
    // A caption may stand above the row that names the columns.
    let mut lines = lines.skip_while(|line| !text[line.clone()].contains(CELLS));
    let head = lines.next();
    let mut lead = head.as_ref().map(|head| head.start);
    Some(lines.filter_map(|line| row(text, line, head.clone(), lead.take())).collect())
}

/// Whether a block is a table without bars around its rows.
pub(super) fn is_table(text: &str, block: &Block) -> bool {
    let is_prose = matches!(block.kind, Kind::Paragraph | Kind::Item);
    is_prose && text[block.range.clone()].lines().filter(|line| line.contains(CELLS)).count() > 1
}

/// A row of a table, without the bars around it; from `lead` on, where there is one, with them.
fn row(text: &str, line: Range<usize>, head: Option<Range<usize>>, lead: Option<usize>) -> Option<Sentence> {
    let range = cells(text, &line);
    let penalty = if is_noise(&text[range.clone()]) { 0.4 } else { 0.1 };
    text[range.clone()].contains(CELLS).then(|| Sentence {
        lead: lead.unwrap_or(range.start),
        tail: lead.map_or(range.end, |_| line.end),
        columns: head.map(|head| cells(text, &head)),
        answers: None,
        penalty,
        is_open: false,
        range,
    })
}

/// A row without the bars around it.
fn cells(text: &str, line: &Range<usize>) -> Range<usize> {
    let cells = text[line.clone()].trim_start_matches(['|', ' ']);
    let start = line.end - cells.len();
    start..start + cells.trim_end_matches(['|', ' ']).len()
}

/// Whether a line parts the head of a table from its rows.
pub(super) fn is_rule(line: &str) -> bool {
    line.starts_with('|') && !line.contains(char::is_alphanumeric)
}
