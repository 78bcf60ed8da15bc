//! A narrow column of notes beside the text. The reader takes lines that stand side by side for one, or the notes for paragraphs
//! between the lines of the text; here they come behind it.
//!
//! Notes have lines of their own height, and several of them. What stands on the lines of the text belongs to them: a date, a term
//! and its meaning. What stands alone is the heading of the text beside it.

use std::collections::BTreeMap;

use unpdf::parser::backend::RawBackend;
use unpdf::parser::{LayoutAnalyzer, TextBlock, TextSpan};
use unpdf::{Block, Page, Paragraph};

/// The fewest paragraphs that end within a sentence by which a page looks mixed.
const CUT_MIN: usize = 4;
/// The fewest lines of notes, and of text beside them.
const NOTES_MIN: usize = 3;
const LINES_MIN: usize = 8;
/// Blank points between the two columns, at least.
const GUTTER_MIN: f32 = 5.0;
/// How wide notes are, measured by the text, and how many of the letters they have, at most.
const WIDTH_MAX: f32 = 0.5;
const LETTERS_MAX: f32 = 0.35;
/// Two lines within so many points are one.
const SAME_LINE: f32 = 1.5;
/// Two lines of one note are at most so many times their letters' size apart.
const LEADING_MAX: f32 = 2.5;
/// Left edges that are tried.
const EDGES_MAX: usize = 12;

/// Whether the paragraphs of a page look as if they cut each other.
pub(super) fn is_suspect(page: &Page) -> bool {
    let is_cut = |block: &&Block| match block {
        Block::Paragraph(paragraph) => !paragraph.is_heading() && ends_within(paragraph),
        _ => false,
    };
    page.rotation == 0 && page.elements.iter().filter(is_cut).count() >= CUT_MIN
}

fn ends_within(paragraph: &Paragraph) -> bool {
    let text = paragraph.plain_text();
    text.trim_end().ends_with(|char: char| char.is_alphanumeric() || matches!(char, ',' | '-' | '\u{2010}'))
}

/// The blocks of a page with the notes behind the text, and whether the text is one column; none where there are no notes.
pub(super) fn mended(backend: &RawBackend, number: u32) -> Option<(Vec<TextBlock>, bool)> {
    let mut analyzer = LayoutAnalyzer::new(backend);
    let mut spans = analyzer.extract_page_spans(number).ok()?;
    analyzer.filter_spans_for_page(&mut spans, number);
    spans.retain(|span| !span.text.trim().is_empty());
    let is_note = notes(&spans)?;
    let statistics = analyzer.font_stats_mut();
    spans.iter().for_each(|span| statistics.add_text(span.font_size, &span.text));
    statistics.analyze();
    let (mut notes, mut text) = (Vec::new(), Vec::new());
    spans.into_iter().zip(is_note).for_each(|(span, is_note)| if is_note { notes.push(span) } else { text.push(span) });
    let is_one_column = !edges(&text).into_iter().any(|edge| {
        let are_long =
            |(left, right): (Vec<usize>, Vec<usize>)| [left, right].iter().all(|side| heights(&text, side).len() >= LINES_MIN);
        beside(&text, edge).into_iter().any(are_long)
    });
    let lines = analyzer.detect_headings_pub(analyzer.group_spans_into_lines_pub(text));
    let mut blocks = analyzer.group_lines_into_blocks_pub(lines);
    blocks.extend(analyzer.group_lines_into_blocks_pub(analyzer.group_spans_into_lines_pub(notes)));
    Some((blocks, is_one_column))
}

/// Which pieces of text are notes; none where there are no notes.
fn notes(spans: &[TextSpan]) -> Option<Vec<bool>> {
    let at = |edge: f32| {
        let mut is_note = vec![false; spans.len()];
        for (left, right) in beside(spans, edge) {
            let notes = [(&left, &right), (&right, &left)].into_iter().find(|(notes, text)| are_notes(spans, notes, text));
            notes.into_iter().flat_map(|(notes, _)| notes).for_each(|index| is_note[*index] = true);
        }
        is_note
    };
    let count = |is_note: &Vec<bool>| is_note.iter().filter(|is_note| **is_note).count();
    edges(spans).into_iter().map(at).max_by_key(count).filter(|is_note| count(is_note) > 0)
}

/// The left edges that most pieces of text have.
fn edges(spans: &[TextSpan]) -> Vec<f32> {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    spans.iter().for_each(|span| *counts.entry(span.x as i32).or_default() += 1);
    let mut edges: Vec<(i32, usize)> = counts.into_iter().collect();
    edges.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    edges.into_iter().take(EDGES_MAX).map(|(edge, _)| edge as f32).collect()
}

/// What stands left and right of a gutter that ends at `edge`, from top to bottom, each as far as nothing reaches across.
fn beside(spans: &[TextSpan], edge: f32) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..spans.len()).filter(|index| !spans[*index].is_rotated()).collect();
    order.sort_by(|one, other| spans[*other].y.total_cmp(&spans[*one].y));
    let is_left = |index: usize| spans[index].x < edge - 0.5;
    let columns = order.split(|index| is_left(*index) && end(&spans[*index]) > edge - GUTTER_MIN);
    columns.map(|columns| columns.iter().copied().partition(|index| is_left(*index))).collect()
}

fn end(span: &TextSpan) -> f32 {
    span.x + span.ink_width.unwrap_or(span.width)
}

/// The heights of the lines of a column, from top to bottom.
fn heights(spans: &[TextSpan], column: &[usize]) -> Vec<f32> {
    let mut heights: Vec<f32> = Vec::new();
    for y in column.iter().map(|index| spans[*index].y) {
        if heights.last().is_none_or(|last| last - y > SAME_LINE) {
            heights.push(y);
        }
    }
    heights
}

fn are_notes(spans: &[TextSpan], notes: &[usize], text: &[usize]) -> bool {
    let width = |column: &[usize]| {
        let left = column.iter().map(|index| spans[*index].x).fold(f32::MAX, f32::min);
        let right = column.iter().map(|index| end(&spans[*index])).fold(f32::MIN, f32::max);
        right - left
    };
    let letters = |column: &[usize]| column.iter().map(|index| spans[*index].text.chars().count()).sum::<usize>() as f32;
    let (of_notes, of_text) = (heights(spans, notes), heights(spans, text));
    if of_notes.len() < NOTES_MIN || of_text.len() < LINES_MIN {
        return false;
    }
    // Words, not numbers or marks.
    let are_words = notes.iter().flat_map(|index| spans[*index].text.chars()).filter(|char| char.is_alphabetic()).count() as f32
        > letters(notes) / 2.0;
    let apart = of_notes.iter().filter(|y| !of_text.iter().any(|other| (*y - other).abs() <= SAME_LINE)).count();
    let leading = LEADING_MAX * spans[notes[0]].font_size;
    let neighbours = of_notes.windows(2).filter(|lines| lines[0] - lines[1] <= leading).count();
    are_words
        && 2 * neighbours >= of_notes.len()
        && width(notes) <= WIDTH_MAX * width(text)
        && letters(notes) <= LETTERS_MAX * letters(text)
        && 2 * apart >= of_notes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, x: f32, y: f32) -> TextSpan {
        let mut span = TextSpan::new(text.to_owned(), x, y, 10.0, "F".to_owned());
        span.width = 5.0 * text.len() as f32;
        span
    }

    /// A page of ten lines of text, with four lines at its left that are `shift` points lower.
    fn page(shift: f32) -> Vec<TextSpan> {
        let words = "the mill by the river grinds the flour of three villages";
        let text = (0..10).map(|row| line(words, 200.0, 700.0 - 12.0 * row as f32));
        let notes = (2..6).map(|row| line("as seen by night", 50.0, 700.0 - 12.0 * row as f32 - shift));
        [line("A title that is as wide as the page has columns of text and notes", 50.0, 740.0)]
            .into_iter()
            .chain(text)
            .chain(notes)
            .collect()
    }

    #[test]
    fn notes_have_lines_of_their_own() {
        let is_note = notes(&page(5.0)).unwrap();
        assert_eq!(is_note, [vec![false; 11], vec![true; 4]].concat());
        assert_eq!(notes(&page(0.0)), None);
        assert_eq!(notes(&page(5.0)[..11]), None);
        let headings = (0..3).map(|row| line("as seen by night", 50.0, 695.0 - 36.0 * row as f32));
        assert_eq!(notes(&[&page(5.0)[..11], &headings.collect::<Vec<_>>()].concat()), None);
    }
}
