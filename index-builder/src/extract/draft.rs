//! A [`Document`] in the making: extractors say what comes next, the draft keeps the spans.
//!
//! Blocks are set apart by an empty line, rows and list items by a line end. Every piece is cleaned before it is added, and a
//! piece never joins the one before it, so the whole is in form NFC because its pieces are. A form feed inside a piece is a page
//! break and leaves no character behind.

use std::collections::BTreeMap;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::document::{Block, BlockKind, Document, Format, Page, Section};

/// A heading longer than this is a paragraph that was set in large type.
pub(super) const HEADING_MAX_CHARS: usize = 200;

/// The parts of a document, in the order in which a reader meets them.
#[derive(Debug, Default)]
pub(super) struct Draft {
    text: String,
    sections: Vec<Section>,
    path: Vec<(u8, String)>,
    pages: Vec<Page>,
    page: Option<Page>,
    blocks: Vec<Block>,
    warnings: Vec<String>,
}

impl Draft {
    /// Opens a page: the next text that is added stands on it.
    pub(super) fn page(&mut self, number: u32) {
        self.page = Some(Page { start: 0, number });
    }

    /// Adds a paragraph after an empty line.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.add("\n\n", text);
    }

    /// Adds a line right below the last one: a list item, a line of verse.
    pub(super) fn line(&mut self, text: &str) {
        self.add("\n", text);
    }

    /// Starts a section under a heading of `level` (1 is the outermost); the heading is its first line.
    pub(super) fn heading(&mut self, level: u8, text: &str) {
        let heading = one_line(&clean(text));
        if heading.is_empty() || heading.chars().count() > HEADING_MAX_CHARS {
            return self.paragraph(text);
        }
        let start = self.separate("\n\n");
        let headings = descend(&mut self.path, level, &heading);
        self.sections.push(Section { span: start..start, headings });
        self.text.push_str(&heading);
    }

    /// Adds a code block between fences, its lines as they are.
    pub(super) fn code(&mut self, text: &str) {
        let code = clean(&text.replace('\u{c}', ""));
        let code = code.trim_matches('\n').trim_end();
        if code.is_empty() {
            return;
        }
        let longest = code.lines().map(|line| line.trim_start().chars().take_while(|char| *char == '`').count()).max();
        let fence = "`".repeat(3.max(longest.unwrap_or(0) + 1));
        let start = self.separate("\n\n");
        self.text.push_str(&format!("{fence}\n{code}\n{fence}"));
        self.blocks.push(Block { span: start..self.text.len(), kind: BlockKind::Code });
    }

    /// Adds a table, one row a line, its cells joined with ` | `.
    pub(super) fn table(&mut self, rows: &[Vec<String>]) {
        let rows = rows.iter().filter_map(|cells| {
            let cells: Vec<String> = cells.iter().map(|cell| one_line(&clean(cell))).collect();
            cells.iter().any(|cell| !cell.is_empty()).then(|| cells.join(" | "))
        });
        let rows: Vec<String> = rows.map(|row| row.trim().to_owned()).collect();
        if rows.is_empty() {
            return;
        }
        let start = self.separate("\n\n");
        self.text.push_str(&rows.join("\n"));
        self.blocks.push(Block { span: start..self.text.len(), kind: BlockKind::Table });
    }

    /// Notes what was lost or guessed; the same words are noted once.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Whether any text was added.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes of text so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The heading that the document opens with, unless it is that of a table of contents.
    pub(super) fn opening_heading(&self) -> Option<String> {
        let heading = self.sections.first().filter(|first| first.span.start == 0)?.headings.first()?;
        let generic = ["contents", "table of contents", "abstract", "inhalt", "inhaltsverzeichnis", "sommaire"];
        (!generic.contains(&heading.to_lowercase().as_str())).then(|| heading.clone())
    }

    /// Forgets the pages, where the only one is the one that was opened at the start.
    pub(super) fn forget_single_page(&mut self) {
        if self.pages.len() == 1 {
            self.pages.clear();
        }
    }

    /// Forgets the pages: nobody knows where they end.
    pub(super) fn forget_pages(&mut self) {
        self.pages.clear();
    }

    /// Closes the sections; `title` is cleaned.
    pub(super) fn finish(mut self, format: Format, title: &str) -> Document {
        close_sections(&mut self.sections, self.text.len());
        let title = one_line(&clean(title));
        let Self { text, sections, pages, blocks, warnings, .. } = self;
        Document { title, format, text, sections, pages, blocks, warnings, metadata: BTreeMap::new() }
    }

    fn add(&mut self, gap: &str, text: &str) {
        let text = clean(text);
        let mut gap = gap;
        for (index, part) in text.split('\u{c}').enumerate() {
            if index > 0 {
                let last = self.page.or(self.pages.last().copied()).map_or(1, |page| page.number);
                self.page(last + 1);
            }
            let part = part.trim_matches('\n').trim_end();
            if part.trim().is_empty() {
                continue;
            }
            self.separate(gap);
            self.text.push_str(part);
            gap = "\n";
        }
    }

    /// Ends what came before and returns where the next piece starts.
    fn separate(&mut self, gap: &str) -> usize {
        if !self.text.is_empty() {
            self.text.push_str(gap);
        }
        let start = self.text.len();
        if let Some(page) = self.page.take() {
            self.pages.push(Page { start, ..page });
        }
        start
    }
}

/// Follows the heading path to a heading of `level` and returns it, outermost first.
pub(super) fn descend(path: &mut Vec<(u8, String)>, level: u8, heading: &str) -> Vec<String> {
    path.retain(|(above, _)| *above < level);
    path.push((level, heading.to_owned()));
    path.iter().map(|(_, heading)| heading.clone()).collect()
}

/// Gives each section its end, and the text before the first heading a section of its own.
pub(super) fn close_sections(sections: &mut Vec<Section>, text_len: usize) {
    if text_len > 0 && sections.first().is_none_or(|first| first.span.start > 0) {
        sections.insert(0, Section { span: 0..0, headings: Vec::new() });
    }
    let ends: Vec<usize> = sections.iter().skip(1).map(|section| section.span.start).chain([text_len]).collect();
    for (section, end) in sections.iter_mut().zip(ends) {
        section.span.end = end;
    }
}

/// Form NFC, line ends `\n`, and none of the characters that are in a file for the machine only. Form feeds stay.
pub(super) fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let kept = text.chars().filter_map(|char| match char {
        '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => Some('\n'),
        '\n' | '\t' | '\u{c}' => Some(char),
        '\u{feff}' | '\u{ad}' => None,
        char if char.is_control() => None,
        char => Some(char),
    });
    let kept: String = kept.collect();
    match is_nfc_quick(kept.chars()) {
        IsNormalized::Yes => kept,
        _ => kept.nfc().collect(),
    }
}

/// Every run of white space as one space, none at the ends.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headings_open_sections_that_cover_the_text() {
        let mut draft = Draft::default();
        draft.paragraph("before");
        draft.heading(1, "One");
        draft.paragraph("text");
        draft.heading(3, "Deep\nheading");
        draft.heading(2, "Two");
        draft.table(&[vec!["a".into(), "b\nc".into()], vec![String::new(), " ".into()], vec!["d".into(), String::new()]]);
        let document = draft.finish(Format::Text, "t");
        document.check().unwrap();
        assert_eq!(document.text, "before\n\nOne\n\ntext\n\nDeep heading\n\nTwo\n\na | b c\nd |");
        let paths: Vec<_> = document.sections.iter().map(|section| section.headings.join(" > ")).collect();
        assert_eq!(paths, ["", "One", "One > Deep heading", "One > Two"]);
        let starts: Vec<_> = document.sections.iter().map(|section| document.text[section.span.clone()].lines().next()).collect();
        assert_eq!(starts, [Some("before"), Some("One"), Some("Deep heading"), Some("Two")]);
        assert_eq!(&document.text[document.blocks[0].span.clone()], "a | b c\nd |");
    }

    #[test]
    fn a_page_starts_at_its_first_text() {
        let mut draft = Draft::default();
        draft.page(1);
        draft.page(2);
        draft.paragraph("two\u{c}three");
        draft.page(7);
        draft.paragraph("seven");
        draft.page(8);
        let document = draft.finish(Format::Pdf, "t");
        document.check().unwrap();
        assert_eq!(document.text, "two\nthree\n\nseven");
        let pages: Vec<_> = document.pages.iter().map(|page| (page.start, page.number)).collect();
        assert_eq!(pages, [(0, 2), (4, 3), (11, 7)]);
    }

    #[test]
    fn a_fence_is_longer_than_the_fences_inside() {
        let mut draft = Draft::default();
        draft.code("\n```\n  a\n```\n");
        assert_eq!(draft.finish(Format::Html, "").text, "````\n```\n  a\n```\n````");
    }

    proptest! {
        #[test]
        fn whatever_is_added_keeps_the_promises(pieces in proptest::collection::vec((0u8..6, "[a-z\u{301}\u{c}\r\n\0\u{feff}\u{ad} e\u{1100}\u{1161}\u{11a8}`#|]{0,12}"), 0..24)) {
            let mut draft = Draft::default();
            for (index, (what, text)) in pieces.iter().enumerate() {
                match what {
                    0 => draft.paragraph(text),
                    1 => draft.line(text),
                    2 => draft.heading(index as u8 % 6, text),
                    3 => draft.code(text),
                    4 => draft.table(&[vec![text.clone(), text.clone()]]),
                    _ => draft.page(index as u32 * 100),
                }
            }
            let document = draft.finish(Format::Text, "t");
            prop_assert_eq!(document.check(), Ok(()));
        }
    }
}
