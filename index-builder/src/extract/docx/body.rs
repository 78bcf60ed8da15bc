//! The walk over `document.xml`: one pass, no recursion, however deep tables and text boxes are nested.
//!
//! A paragraph may hold a text box, which holds paragraphs and tables. What is inside comes after the paragraph around it.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::formula::Formula;
use super::numbering::Numbering;
use super::run::{Run, symbol};
use super::styles::Styles;
use super::xml::{attribute, is_left_out, number, resolved, val};
use crate::extract::draft::Draft;

/// A page break inside a paragraph's text, as [`Draft`] understands it.
const PAGE_BREAK: char = '\u{c}';
/// Most columns of a table, as in Word.
const COLUMNS_MAX: usize = 63;
/// A cell that goes over several rows is a label where it is no longer than this, and is said in each of them.
const LABEL_MAX_BYTES: usize = 100;

/// The document read so far.
pub(super) struct Body {
    styles: Styles,
    numbering: Numbering,
    notes: HashMap<String, String>,
    inserts: HashMap<String, String>,
    draft: Draft,
    title: Option<String>,
    /// Paragraphs that are open, the innermost last.
    paragraphs: Vec<Paragraph>,
    /// Tables, cells and text boxes that are open, the innermost last.
    containers: Vec<Container>,
    /// Lines of code that wait for the next one.
    code: Vec<String>,
    is_in_list: bool,
    is_text: bool,
    is_properties: bool,
    run: Run,
    formula: Formula,
    /// Whether Word said where its pages end. Explicit breaks alone do not tell how many pages text ran over.
    is_paged: bool,
    /// An explicit page break was the last thing read: the break that Word rendered for it is the same one.
    is_at_break: bool,
}

#[derive(Default)]
struct Paragraph {
    text: String,
    style: String,
    outline_level: Option<u8>,
    number_id: Option<u32>,
    number_level: Option<usize>,
    notes: Vec<String>,
    inner: Vec<Piece>,
}

enum Container {
    /// `pad` columns without a cell come before the next one.
    Table {
        rows: Vec<Vec<String>>,
        pad: usize,
    },
    /// `span` columns wide; `is_merged` into the one above it.
    Cell {
        parts: Vec<String>,
        span: usize,
        is_merged: bool,
    },
    TextBox,
}

/// What is ready to be written.
enum Piece {
    Heading(u8, String),
    Paragraph(String),
    Item(String),
    Code(String),
    Table(Vec<Vec<String>>),
}

impl Body {
    /// A body with nothing read; `notes` by `footnote:3`, `inserts` by relation.
    pub(super) fn new(
        styles: Styles,
        numbering: Numbering,
        notes: HashMap<String, String>,
        inserts: HashMap<String, String>,
    ) -> Self {
        let mut draft = Draft::default();
        draft.page(1);
        Self {
            styles,
            numbering,
            notes,
            inserts,
            draft,
            title: None,
            paragraphs: Vec::new(),
            containers: Vec::new(),
            code: Vec::new(),
            is_in_list: false,
            is_text: false,
            is_properties: false,
            run: Run::default(),
            formula: Formula::default(),
            is_paged: false,
            is_at_break: false,
        }
    }

    /// The text, and the paragraph in the style `Title`.
    pub(super) fn finish(mut self) -> (Draft, Option<String>) {
        self.flush_code();
        if !self.is_paged {
            self.draft.forget_pages();
        }
        (self.draft, self.title)
    }

    /// Takes the next event of the part.
    pub(super) fn visit<'x>(&mut self, reader: &mut Reader<&'x [u8]>, event: Event<'x>) -> Result<(), quick_xml::Error> {
        match event {
            Event::Start(element) => match element.local_name().into_inner() {
                name if is_left_out(name) => {
                    reader.read_to_end(element.to_end().into_owned().name())?;
                }
                name => self.open(name, &element),
            },
            Event::End(element) => self.close(element.local_name().into_inner()),
            Event::Text(text) if self.is_text => self.push(&text),
            Event::CData(text) if self.is_text => self.push(&text),
            Event::GeneralRef(reference) if self.is_text => self.push(&resolved(&reference)),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, name: &str, element: &BytesStart<'_>) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            self.formula.open(name, element, &mut paragraph.text);
        }
        if self.is_properties {
            return self.property(name, element);
        }
        match name {
            "p" => {
                self.paragraphs.push(Paragraph::default());
                self.run = Run::default();
            }
            "pPr" => self.is_properties = true,
            "r" => self.run.reset(),
            "vertAlign" | "vanish" | "strike" | "dstrike" => self.run.property(name, element),
            "sym" => self.push(&symbol(element).map(String::from).unwrap_or_default()),
            "t" => self.is_text = true,
            "tab" => self.push("\t"),
            "cr" => self.push("\n"),
            "br" if attribute(element, "type").as_deref() == Some("page") => {
                self.push_char(PAGE_BREAK);
                self.is_at_break = true;
            }
            "br" => self.push("\n"),
            "lastRenderedPageBreak" => {
                self.is_paged = true;
                if !self.is_at_break {
                    self.push_char(PAGE_BREAK);
                }
            }
            "noBreakHyphen" => self.push("-"),
            "footnoteReference" | "endnoteReference" => {
                let kind = name.trim_end_matches("Reference");
                let note = attribute(element, "id").and_then(|id| self.notes.remove(&format!("{kind}:{id}")));
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.notes.extend(note);
                }
            }
            "altChunk" | "chart" => self.insert(attribute(element, "id")),
            "relIds" => self.insert(attribute(element, "dm")),
            "tbl" => self.containers.push(Container::Table { rows: Vec::new(), pad: 0 }),
            "tr" => {
                if let Some(Container::Table { rows, pad }) = self.containers.last_mut() {
                    rows.push(Vec::new());
                    *pad = 0;
                }
            }
            "tc" => self.containers.push(Container::Cell { parts: Vec::new(), span: 1, is_merged: false }),
            "gridBefore" | "gridSpan" | "vMerge" => self.grid(name, element),
            "txbxContent" => self.containers.push(Container::TextBox),
            _ => {}
        }
    }

    /// Where cells stand: what goes over columns or rows, or begins further in, must not move its neighbours under other headings.
    fn grid(&mut self, name: &str, element: &BytesStart<'_>) {
        match (name, self.containers.last_mut()) {
            ("gridBefore", Some(Container::Table { pad, .. })) => *pad = number(element).unwrap_or(0).min(COLUMNS_MAX),
            ("gridSpan", Some(Container::Cell { span, .. })) => *span = number(element).unwrap_or(1).min(COLUMNS_MAX),
            ("vMerge", Some(Container::Cell { is_merged, .. })) => *is_merged = val(element).as_deref() != Some("restart"),
            _ => {}
        }
    }

    fn insert(&mut self, relation: Option<String>) {
        if let Some(text) = relation.and_then(|relation| self.inserts.remove(&relation)) {
            self.write(Piece::Paragraph(text.replace(PAGE_BREAK, " ")));
        }
    }

    fn property(&mut self, name: &str, element: &BytesStart<'_>) {
        let Some(paragraph) = self.paragraphs.last_mut() else { return };
        match name {
            "pStyle" => paragraph.style = val(element).unwrap_or_default(),
            "outlineLvl" => paragraph.outline_level = number(element),
            "numId" => paragraph.number_id = number(element),
            "ilvl" => paragraph.number_level = number(element),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            self.formula.close(&mut paragraph.text);
        }
        match name {
            "t" => self.is_text = false,
            "pPr" => self.is_properties = false,
            "r" => self.run.reset(),
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    self.close_paragraph(paragraph);
                }
            }
            "tc" => {
                let Some(Container::Cell { parts, span, is_merged }) =
                    self.containers.pop_if(|inner| matches!(inner, Container::Cell { .. }))
                else {
                    return;
                };
                if let Some(Container::Table { rows, pad }) = self.containers.last_mut()
                    && let Some((row, rows)) = rows.split_last_mut()
                {
                    row.extend(std::iter::repeat_n(String::new(), *pad));
                    *pad = span.saturating_sub(1);
                    let above = rows.last().and_then(|above| above.get(row.len()));
                    let label = above.filter(|above| is_merged && above.len() <= LABEL_MAX_BYTES);
                    row.push(label.map_or_else(|| parts.join(" "), |label| label.replace(PAGE_BREAK, " ")));
                }
            }
            "tbl" => {
                if let Some(Container::Table { rows, .. }) =
                    self.containers.pop_if(|inner| matches!(inner, Container::Table { .. }))
                {
                    self.write(Piece::Table(rows));
                }
            }
            "txbxContent" => {
                self.containers.pop_if(|inner| matches!(inner, Container::TextBox));
            }
            _ => {}
        }
    }

    fn close_paragraph(&mut self, paragraph: Paragraph) {
        let breaks = paragraph.text.len() - paragraph.text.trim_start_matches(PAGE_BREAK).len();
        let text = &paragraph.text[breaks..];
        if !text.trim().is_empty() {
            let piece = self.piece(&paragraph, text);
            if breaks > 0 {
                self.write(Piece::Paragraph(PAGE_BREAK.to_string().repeat(breaks)));
            }
            self.write(piece);
        } else if !paragraph.text.is_empty() {
            self.write(Piece::Paragraph(paragraph.text));
        }
        for piece in paragraph.inner {
            self.write(piece);
        }
        for note in paragraph.notes {
            self.write(Piece::Paragraph(note.trim().to_owned()));
        }
    }

    fn piece(&mut self, paragraph: &Paragraph, text: &str) -> Piece {
        let heading = match paragraph.outline_level {
            Some(level) => (level < 9).then_some(level + 1),
            None => self.styles.heading_level(&paragraph.style),
        };
        if self.styles.is_title(&paragraph.style) && self.title.is_none() {
            self.title = Some(text.replace(PAGE_BREAK, " "));
        }
        let from_style = self.styles.numbering(&paragraph.style);
        let id = paragraph.number_id.or(from_style.map(|(id, _)| id)).filter(|id| *id != 0);
        let item = id.map(|id| {
            let of_style =
                || from_style.and_then(|(_, level)| level).or_else(|| self.numbering.level_of_style(id, &paragraph.style));
            (id, paragraph.number_level.or_else(of_style).unwrap_or(0))
        });
        let label = item.and_then(|(id, level)| self.numbering.label(id, level));
        match (heading, item, label) {
            (Some(level), _, Some(label)) if label != "-" => Piece::Heading(level, format!("{label} {text}")),
            (Some(level), ..) => Piece::Heading(level, text.to_owned()),
            (None, Some((_, level)), Some(label)) => Piece::Item(format!("{}{label} {}", "  ".repeat(level), text.trim_start())),
            _ if self.styles.is_code(&paragraph.style) => Piece::Code(text.to_owned()),
            _ => Piece::Paragraph(text.trim_start_matches([' ', '\t', '\u{a0}']).to_owned()),
        }
    }

    /// Writes a piece to the innermost thing that is open: a cell, the paragraph around a text box, or the document.
    fn write(&mut self, piece: Piece) {
        if let Some(Container::Cell { parts, .. }) = self.containers.last_mut() {
            parts.push(match piece {
                Piece::Heading(_, text) | Piece::Paragraph(text) | Piece::Item(text) | Piece::Code(text) => text,
                Piece::Table(rows) => rows.iter().map(|cells| cells.join(" ")).collect::<Vec<_>>().join(" "),
            });
            return;
        }
        if let Some(around) = self.paragraphs.last_mut() {
            around.inner.push(piece);
            return;
        }
        if !matches!(piece, Piece::Code(_)) {
            self.flush_code();
        }
        let was_in_list = std::mem::replace(&mut self.is_in_list, matches!(piece, Piece::Item(_)));
        match piece {
            Piece::Heading(level, text) => {
                let (words, breaks): (Vec<&str>, usize) = (text.split(PAGE_BREAK).collect(), text.matches(PAGE_BREAK).count());
                self.draft.heading(level, &words.join(" "));
                self.turn_pages(breaks);
            }
            Piece::Paragraph(text) => self.draft.paragraph(&text),
            Piece::Item(text) if was_in_list => self.draft.line(&text),
            Piece::Item(text) => self.draft.paragraph(&text),
            Piece::Code(line) => self.code.push(line),
            Piece::Table(rows) => {
                self.draft.table(&rows);
                self.turn_pages(rows.iter().flatten().map(|cell| cell.matches(PAGE_BREAK).count()).sum());
            }
        }
    }

    fn flush_code(&mut self) {
        if !self.code.is_empty() {
            let code = std::mem::take(&mut self.code).join("\n");
            self.draft.code(&code);
            self.turn_pages(code.matches(PAGE_BREAK).count());
        }
    }

    fn turn_pages(&mut self, count: usize) {
        self.draft.paragraph(&PAGE_BREAK.to_string().repeat(count));
    }

    fn push(&mut self, text: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            self.is_at_break &= text.trim().is_empty();
            // A form feed of the author's own is no page break of ours.
            self.run.push(&mut paragraph.text, &text.replace(PAGE_BREAK, ""));
        }
    }

    fn push_char(&mut self, char: char) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push(char);
        }
    }
}
