//! PDF, read by `unpdf`: its pages hold paragraphs, headings, lists and tables in reading order.
//!
//! What the reader could not make out is told: as a warning where some text was lost, as a refusal where none is left. A file
//! that opens with the empty password is read; a file that needs another one is refused.

use unpdf::model::{ListStyle, Table};
use unpdf::{Block, Error, Page, ParseOptions, PdfParser};

use super::document::{Document, Format};
use super::draft::Draft;
use super::{Refusal, title_or_name};

/// The longest document that is read, in pages.
const PAGES_MAX: u32 = 5_000;
/// Above this share of unreadable characters, in percent, a page is reported; above the next, its text is left out.
const UNREADABLE_PERCENT: usize = 5;
const GARBAGE_PERCENT: usize = 40;

/// Reads a PDF.
pub(super) fn read(bytes: &[u8], name: &str) -> Result<Document, Refusal> {
    // The reader wants the header first; files that went through mail or HTTP have lines before it.
    let start = bytes.windows(5).position(|five| five == b"%PDF-").unwrap_or(0);
    // One page after the other: this process has one file to read, its parent runs one process a core.
    let options = ParseOptions::new().lenient().sequential();
    let parser = PdfParser::from_bytes_with_options(&bytes[start..], options).map_err(refusal)?;
    if parser.page_count() > PAGES_MAX {
        return Err(Refusal::new(format!("{} pages; at most {PAGES_MAX} are read", parser.page_count())));
    }
    let is_encrypted = parser.is_encrypted();
    let document = parser.parse().map_err(refusal)?;

    let mut draft = Draft::default();
    let mut silent_pages = Vec::new();
    let mut unreadable_pages = Vec::new();
    for page in &document.pages {
        let before = draft.len();
        match unreadable_percent(page) {
            percent if percent > GARBAGE_PERCENT => unreadable_pages.push(page.number),
            percent => {
                if percent > UNREADABLE_PERCENT {
                    draft.warn(format!("page {}: unreadable text layer ({percent} % of its characters)", page.number));
                }
                add_page(&mut draft, page);
            }
        }
        if draft.len() == before {
            silent_pages.push(page.number);
        }
    }
    let pages = document.pages.len();
    if draft.is_empty() {
        let paints_images = document.pages.iter().any(|page| page.image_op_count > 0);
        return Err(match () {
            () if !unreadable_pages.is_empty() => Refusal::new(format!("unreadable text layer ({pages} pages)")),
            () if is_encrypted => Refusal::new(format!("encrypted, and no text without a password ({pages} pages)")),
            () if paints_images => Refusal::new(format!("no text layer ({pages} pages); scanned?")),
            () => Refusal::new(format!("no text ({pages} pages)")),
        });
    }
    warn_of_losses(&mut draft, &document.extraction_quality);
    if !unreadable_pages.is_empty() {
        draft.warn(format!("unreadable text layer, left out: {}", list_of_pages(&unreadable_pages)));
    }
    silent_pages.retain(|page| !unreadable_pages.contains(page));
    if !silent_pages.is_empty() {
        draft.warn(format!("no text: {} of {pages}", list_of_pages(&silent_pages)));
    }
    let title = document.metadata.title.filter(|title| is_title(title)).or_else(|| draft.first_heading());
    Ok(draft.finish(Format::Pdf, &title_or_name(title, name)))
}

fn refusal(cause: Error) -> Refusal {
    match cause {
        Error::Encrypted | Error::InvalidPassword => Refusal::password_protected(),
        Error::UnknownFormat => Refusal::damaged("no `%PDF-` header"),
        cause => Refusal::damaged(cause),
    }
}

fn add_page(draft: &mut Draft, page: &Page) {
    draft.page(page.number);
    let mut is_in_list = false;
    for block in &page.elements {
        let was_in_list = std::mem::take(&mut is_in_list);
        match block {
            Block::Paragraph(paragraph) => {
                let text = readable(&paragraph.plain_text());
                match (paragraph.heading_level(), &paragraph.style.list_info) {
                    (Some(level), _) => draft.heading(level, &text),
                    (None, Some(item)) => {
                        is_in_list = true;
                        let indent = "  ".repeat(usize::from(item.level));
                        let text = match &item.style {
                            ListStyle::Unordered { marker } => format!("{indent}- {}", text.trim_start_matches(*marker).trim_start()),
                            ListStyle::Ordered { .. } => format!("{indent}{text}"),
                        };
                        if was_in_list { draft.line(&text) } else { draft.paragraph(&text) }
                    }
                    (None, None) => draft.paragraph(&text),
                }
            }
            Block::Table(table) => draft.table(&rows(table)),
            Block::Code { content } => draft.code(&readable(content)),
            Block::Raw { content } => draft.paragraph(&readable(content)),
            Block::Image { .. } | Block::HorizontalRule | Block::PageBreak | Block::SectionBreak => {}
        }
    }
}

fn rows(table: &Table) -> Vec<Vec<String>> {
    let cell = |cell: &unpdf::TableCell| {
        cell.content.iter().map(|paragraph| readable(&paragraph.plain_text())).collect::<Vec<_>>().join(" ")
    };
    table.rows.iter().map(|row| row.cells.iter().map(cell).collect()).collect()
}

fn warn_of_losses(draft: &mut Draft, quality: &unpdf::ExtractionQuality) {
    let losses = [
        (quality.undecodable_content_streams, "content streams cannot be decoded; text is missing"),
        (quality.suppressed_text_runs, "pieces of text in fonts without a character map; left out"),
        (quality.suppressed_ocr_pages, "pages with an unreadable recognised text; left out"),
        (quality.unresolved_page_nodes, "branches of the page tree cannot be read; pages are missing"),
    ];
    for (count, what) in losses.into_iter().filter(|(count, _)| *count > 0) {
        draft.warn(format!("{count} {what}"));
    }
    if quality.pages_incomplete && quality.unresolved_page_nodes == 0 {
        draft.warn("pages are missing");
    }
    if quality.xref_reconstructed {
        draft.warn("damaged; read by searching for its objects");
    }
}

/// Characters that mean nothing outside the font that they were written in.
fn is_unreadable(char: char) -> bool {
    char == '\u{fffd}' || (char.is_control() && !char.is_whitespace()) || matches!(char, '\u{e000}'..='\u{f8ff}')
}

fn unreadable_percent(page: &Page) -> usize {
    let text = page.plain_text();
    let (mut all, mut unreadable) = (0, 0);
    for char in text.chars().filter(|char| !char.is_whitespace()) {
        all += 1;
        unreadable += usize::from(is_unreadable(char));
    }
    unreadable * 100 / all.max(1)
}

/// The text without unreadable characters; the bullets of the Symbol and Wingdings fonts are what they look like.
fn readable(text: &str) -> String {
    text.chars()
        .filter_map(|char| match char {
            '\u{f0b7}' | '\u{f0a7}' | '\u{f076}' | '\u{f0d8}' => Some('•'),
            '\u{fffd}' => Some(char),
            char => (!is_unreadable(char)).then_some(char),
        })
        .collect()
}

/// Whether the title of the metadata was written by a person.
fn is_title(title: &str) -> bool {
    let title = title.trim();
    let lower = title.to_lowercase();
    let is_file = [".doc", ".docx", ".pdf", ".tex", ".dvi", ".indd", ".qxd", ".ppt", ".pptx", ".xls", ".odt", ".rtf", ".ps"]
        .iter()
        .any(|ending| lower.ends_with(ending));
    let is_generic = ["untitled", "microsoft word", "powerpoint presentation", "print", "title"].contains(&lower.as_str());
    title.chars().filter(|char| char.is_alphabetic()).count() > 2
        && !is_file
        && !is_generic
        && !lower.starts_with("microsoft word - ")
        && !title.chars().any(is_unreadable)
}

/// `page 3` or `pages 1, 2, 5 and 40 more`.
fn list_of_pages(pages: &[u32]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = pages.iter().take(SHOWN).map(u32::to_string).collect();
    let noun = if pages.len() == 1 { "page" } else { "pages" };
    match pages.len().saturating_sub(SHOWN) {
        0 => format!("{noun} {}", shown.join(", ")),
        more => format!("{noun} {} and {more} more", shown.join(", ")),
    }
}
