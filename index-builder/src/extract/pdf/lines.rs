//! The lines of a page where they stand, by which two slips of the reader are put right. A table that is narrower than the text
//! comes behind the next heading: it goes before what stands below it. And of `--retry` at the beginning of a line the first dash
//! is taken for a bullet.
//!
//! Only pages of one column: on others, what stands lower may well come first.

use unpdf::parser::LayoutAnalyzer;
use unpdf::parser::backend::RawBackend;
use unpdf::{Block, InlineContent, Page, Paragraph, Table, TextRun};

/// The lines of a page.
pub(super) struct Lines(Vec<Line>);

struct Line {
    text: String,
    /// Its letters and digits alone.
    letters: String,
    /// How high it stands, from the bottom of the page.
    y: f32,
}

/// Whether a page has something to put right.
pub(super) fn is_suspect(page: &Page) -> bool {
    let is_behind = |pair: &[Block]| pair[1].is_table() && matches!(pair[0], Block::Paragraph(_));
    let is_option = |block: &Block| matches!(block, Block::Paragraph(paragraph) if option(paragraph).is_some());
    page.column_count <= 1
        && page.rotation == 0
        && (page.elements.windows(2).any(is_behind) || page.elements.iter().any(is_option))
}

impl Lines {
    /// Reads a page once more.
    pub(super) fn of(backend: &RawBackend, number: u32) -> Option<Self> {
        let analyzer = LayoutAnalyzer::new(backend);
        let lines = analyzer.group_spans_into_lines_pub(analyzer.extract_page_spans(number).ok()?);
        Some(Self(lines.iter().map(|line| Line { letters: letters(&line.text()), text: line.text(), y: line.y }).collect()))
    }

    /// Puts the blocks of the page right.
    pub(super) fn settle(&self, blocks: &mut [Block]) {
        for block in &mut *blocks {
            let Block::Paragraph(paragraph) = block else { continue };
            let whole = option(paragraph).map(|option| format!("-{option}"));
            if whole.is_some_and(|whole| self.0.iter().any(|line| line.text.trim_start().starts_with(&whole))) {
                paragraph.style.list_info = None;
                paragraph.content.insert(0, InlineContent::Text(TextRun::new("-")));
            }
        }
        for index in 1..blocks.len() {
            let Block::Table(table) = &blocks[index] else { continue };
            let Some(y) = self.height_of_table(table) else { continue };
            let stands_lower = |block: &Block| match block {
                Block::Paragraph(paragraph) => self.height_of(paragraph).is_some_and(|below| below + 1.0 < y),
                _ => false,
            };
            let lower = blocks[..index].iter().rev().take_while(|block| stands_lower(block)).count();
            blocks[index - lower..=index].rotate_right(1);
        }
    }

    /// The height of the first line of a paragraph, where there is but one line like it.
    fn height_of(&self, paragraph: &Paragraph) -> Option<f32> {
        let text = letters(&paragraph.plain_text());
        self.only(|line| !line.letters.is_empty() && text.starts_with(&line.letters))
    }

    /// The height of a row, or of a cell, of which there is but one.
    fn height_of_table(&self, table: &Table) -> Option<f32> {
        let rows = table.rows.iter().map(|row| row.cells.iter().map(|cell| letters(&cell.plain_text())).collect::<Vec<_>>());
        let rows: Vec<Vec<String>> = rows.collect();
        let texts = rows.iter().map(|cells| cells.concat()).chain(rows.iter().flatten().cloned());
        texts.filter(|text| !text.is_empty()).find_map(|text| self.only(|line| line.letters == text))
    }

    fn only(&self, is_it: impl Fn(&Line) -> bool) -> Option<f32> {
        let mut found = self.0.iter().filter(|line| is_it(line));
        found.next().filter(|_| found.next().is_none()).map(|line| line.y)
    }
}

/// What may be an option of a program that lost a dash: the first word of a list item, one dash and a letter at its beginning.
fn option(paragraph: &Paragraph) -> Option<String> {
    paragraph.style.list_info.as_ref()?;
    let text = paragraph.plain_text();
    let word = text.split_whitespace().find(|word| *word != "•")?;
    let name = word.strip_prefix('-')?;
    name.starts_with(|char: char| char.is_ascii_alphabetic()).then(|| word.to_owned())
}

fn letters(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).collect()
}
