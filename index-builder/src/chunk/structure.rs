//! `structure`: what a writer put together stays together.
//!
//! Sections are never crossed. Inside one, cuts are best between paragraphs and at the edges of blocks, then between list items,
//! code lines and table rows, then between sentences, then at line ends, which in prose are mostly wrapping.

use omni_retrieval::sentence;

use super::plan::{Mark, Plan};
use crate::extract::{Block, BlockKind, Document};

const PARAGRAPH: u8 = 0;
const ROW: u8 = 1;
/// Rank of the cut between two sentences of a paragraph.
pub(super) const SENTENCE: u8 = 2;
const LINE: u8 = 3;

/// Cuts for a whole document; its sections are the regions.
pub(super) fn plan(document: &Document) -> Plan {
    Plan { marks: marks(document), borders: document.sections.iter().map(|section| section.span.start).collect() }
}

/// Every cut that the text itself suggests.
pub(super) fn marks(document: &Document) -> Vec<Mark> {
    let text = document.text.as_str();
    let mut marks = Vec::new();
    let mut prose_from = 0;
    for block in &document.blocks {
        prose(text, prose_from..block.span.start, &mut marks);
        rows(text, block, &mut marks);
        prose_from = block.span.end;
    }
    prose(text, prose_from..text.len(), &mut marks);
    marks
}

fn prose(text: &str, span: std::ops::Range<usize>, marks: &mut Vec<Mark>) {
    let Some(prose) = text.get(span.clone()) else { return };
    marks.push(Mark { at: span.start, rank: PARAGRAPH });
    let mut after_blank = false;
    for (at, line) in lines(prose) {
        if line.trim().is_empty() {
            after_blank = true;
            continue;
        }
        let rank = match line.trim_start() {
            _ if std::mem::take(&mut after_blank) => PARAGRAPH,
            line if is_item(line) => ROW,
            _ => LINE,
        };
        marks.push(Mark { at: span.start + at, rank });
    }
    marks.extend(sentence::starts(prose).into_iter().map(|at| Mark { at: span.start + at, rank: SENTENCE }));
}

fn rows(text: &str, block: &Block, marks: &mut Vec<Mark>) {
    marks.push(Mark { at: block.span.start, rank: PARAGRAPH });
    let mut after_blank = false;
    for (at, line) in lines(&text[block.span.clone()]).skip(1) {
        if line.trim().is_empty() {
            after_blank = true;
            continue;
        }
        let rank = if std::mem::take(&mut after_blank) && block.kind == BlockKind::Code { PARAGRAPH } else { ROW };
        marks.push(Mark { at: block.span.start + at, rank });
    }
}

/// Lines with their offsets.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    text.split_inclusive('\n').map(move |line| {
        next += line.len();
        (next - line.len(), line)
    })
}

/// Whether a line begins a list item, or quotes.
fn is_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = if rest.len() < line.len() {
        rest.strip_prefix(['.', ')'])
    } else {
        line.strip_prefix(['-', '*', '+', '•', '‣', '◦', '–', '·', '>', '|'])
    };
    rest.is_some_and(|rest| rest.starts_with([' ', '\t']))
}
