//! Fake bold: text that is drawn twice, a hair's breadth apart. The reader takes both for text (`BoldBold`); here the second one
//! goes.
//!
//! Only pages of one column without tables are mended: what puts columns in order is inside the reader and sees both.

use unpdf::parser::backend::RawBackend;
use unpdf::parser::{LayoutAnalyzer, TextBlock, TextSpan};
use unpdf::{Block, Page};

/// Two equal runs are one where they are nearer than this part of their type size.
const SHIFT_MAX: f32 = 0.2;
/// How many runs back the first one may be.
const WINDOW: usize = 400;

/// Whether a page looks as if it were printed twice, and could be mended.
pub(super) fn is_suspect(page: &Page) -> bool {
    let is_plain = page.column_count <= 1 && !page.elements.iter().any(Block::is_table);
    let is_doubled = |word: &str| {
        let half = word.len() / 2;
        half >= 3 && word.is_char_boundary(half) && word[..half] == word[half..] && word.chars().all(char::is_alphabetic)
    };
    is_plain && page.plain_text().split_whitespace().any(is_doubled)
}

/// The blocks of a page without the second of each pair; none where nothing was drawn twice.
pub(super) fn mended(backend: &RawBackend, number: u32) -> Option<Vec<TextBlock>> {
    let mut analyzer = LayoutAnalyzer::new(backend);
    let mut spans = analyzer.extract_page_spans(number).ok()?;
    analyzer.filter_spans_for_page(&mut spans, number);
    let all = spans.len();
    let mut kept: Vec<TextSpan> = Vec::with_capacity(all);
    for span in spans {
        let is_same = |other: &TextSpan| {
            let near = SHIFT_MAX * span.font_size;
            other.text.trim() == span.text.trim() && (other.x - span.x).abs() < near && (other.y - span.y).abs() < near
        };
        if !kept.iter().rev().take(WINDOW).any(is_same) {
            kept.push(span);
        }
    }
    if kept.len() == all {
        return None;
    }
    let statistics = analyzer.font_stats_mut();
    kept.iter().for_each(|span| statistics.add_text(span.font_size, &span.text));
    statistics.analyze();
    let lines = analyzer.group_spans_into_lines_pub(kept);
    Some(analyzer.group_lines_into_blocks_pub(analyzer.detect_headings_pub(lines)))
}
