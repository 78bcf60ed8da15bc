//! PDF, read by `unpdf`: its pages hold paragraphs, headings, lists and tables in reading order.
//!
//! What the reader could not make out is told: as a warning where some text was lost, as a refusal where none is left. A file
//! that opens with the empty password is read; a file that needs another one is refused. It gets the file with better fonts where
//! these can be had, and once more with letters from within them where it loses some. Where it finds no page or no text, `lopdf` is
//! asked, which knows nothing of layout but repairs some files and reads some fonts that it does not.

mod filled;
mod fonts;
mod hidden;
mod lines;
mod margin;
mod mend;
mod outline;
mod overprint;
mod running;
mod turns;
mod words;

use std::collections::BTreeMap;

use unpdf::model::{ListStyle, Table};
use unpdf::parser::TextBlock;
use unpdf::parser::backend::{DocumentIntegrity, PdfBackend as _, RawBackend};
use unpdf::{Block, Error, Page, ParseOptions, PdfParser};

use super::document::{Document, Format};
use super::draft::{Draft, one_line};
use super::{Refusal, title_or_name};
use lines::Lines;
use outline::Titles;
use words::{Vocabulary, is_leader, is_unreadable, readable, signs_percent, unreadable_percent};

/// Pages that are read.
const PAGES_MAX: usize = 5_000;
/// The longest document whose layout is read, in pages: the reader's time grows with their square.
const LAYOUT_PAGES_MAX: usize = 2_000;
/// Above this share of unreadable characters, in percent, a page is reported; above the next, its text is left out.
const UNREADABLE_PERCENT: usize = 5;
const GARBAGE_PERCENT: usize = 40;
/// The same of signs among letters, digits and signs; code has 40 of them.
const SUSPECT_SIGNS_PERCENT: usize = 50;
const GARBAGE_SIGNS_PERCENT: usize = 60;

/// Most inflated bytes of one stream.
const STREAM_MAX_BYTES: usize = 64 << 20;

/// Reads a PDF.
pub(super) fn read(bytes: &[u8], name: &str) -> Result<Document, Refusal> {
    // The reader wants the header first; files that went through mail or HTTP have lines before it.
    let start = bytes.windows(5).position(|five| five == b"%PDF-").unwrap_or(0);
    let bytes = &bytes[start..];
    let loaded = mend::load(bytes);
    let filled = loaded.as_ref().map(|file| filled::read(file, bytes)).unwrap_or_default();
    let unread = loaded.as_ref().and_then(unread);
    let fonts = loaded.and_then(fonts::bettered).unwrap_or_default();
    let original = fonts.file.as_ref().and_then(|_| integrity(bytes));
    let is_whole = |file: &&[u8]| {
        let pages = |integrity: DocumentIntegrity| integrity.found_page_count;
        original.is_some() && integrity(file).map(pages) == original.map(pages)
    };
    let bytes = fonts.file.as_deref().filter(is_whole).unwrap_or(bytes);
    let read = |bytes: &[u8], mut document: unpdf::Document| {
        document.extraction_quality.suppressed_text_runs += fonts.lost;
        document.extraction_quality.xref_reconstructed |= original.is_some_and(|original| original.xref_reconstructed);
        read_with_layout(bytes, name, document, &filled)
    };
    match parse(bytes) {
        Ok(document) => {
            let letters = loses_letters(&document).then(|| mend::with_letters(bytes)).flatten();
            let spaces = || hidden::without_spaces(letters.as_deref().unwrap_or(bytes));
            let spaces = document.pages.iter().any(hidden::is_suspect).then(spaces).flatten();
            match spaces.or(letters) {
                Some(mended) => parse(&mended).and_then(|better| read(&mended, better)),
                None => read(bytes, document),
            }
        }
        Err(refusal) => match mend::decrypted(bytes) {
            Some(decrypted) => parse(&decrypted).and_then(|document| read(&decrypted, document)),
            None => Err(refusal),
        },
    }
    .or_else(|refusal| read_without_layout(bytes, name).ok_or(refusal))
    .map(|mut document| {
        document.warnings.extend(unread.map(str::to_owned));
        document
    })
}

/// What a file holds that is not read, where its pages may only stand in for it.
fn unread(file: &lopdf::Document) -> Option<&'static str> {
    let catalog = file.catalog().ok()?;
    let is_form = catalog.get_deref(b"NeedsRendering", file).and_then(lopdf::Object::as_bool).unwrap_or(false);
    match is_form {
        true => Some("an XFA form; what it shows is not read"),
        false => catalog.has(b"Collection").then_some("a portfolio; the files inside are not read"),
    }
}

/// What the reader sees of a file's structure; none where it cannot open the file.
fn integrity(bytes: &[u8]) -> Option<DocumentIntegrity> {
    RawBackend::load_bytes(bytes).ok().map(|file| file.integrity())
}

fn parse(bytes: &[u8]) -> Result<unpdf::Document, Refusal> {
    // One page after the other: this process has one file to read, its parent runs one process a core.
    let options = ParseOptions::new().lenient().sequential();
    let parser = PdfParser::from_bytes_with_options(bytes, options).map_err(refusal)?;
    if parser.page_count() as usize > LAYOUT_PAGES_MAX {
        return Err(Refusal::new(format!("{} pages, and no text without their layout", parser.page_count())));
    }
    parser.parse().map_err(refusal)
}

/// Whether the reader dropped letters, or may have turned ligatures around with a line that runs from right to left.
fn loses_letters(document: &unpdf::Document) -> bool {
    let is_suspect = |text: &str| {
        unreadable_percent(text) > UNREADABLE_PERCENT || text.chars().any(|char| matches!(char, '\u{590}'..='\u{6ff}'))
    };
    document.extraction_quality.suppressed_text_runs > 0 || document.pages.iter().any(|page| is_suspect(&page.plain_text()))
}

fn read_with_layout(
    bytes: &[u8],
    name: &str,
    mut document: unpdf::Document,
    filled: &BTreeMap<u32, Vec<String>>,
) -> Result<Document, Refusal> {
    let mut draft = Draft::default();
    let mut vocabulary = Vocabulary::default();
    let titles = Titles::of(document.outline.as_ref(), &document.pages);
    let dropped = running::drop_repeats(&mut document.pages, &titles);
    titles.settle(&mut document.pages);
    document.pages.iter().for_each(|page| vocabulary.learn(&page.plain_text()));
    document.pages.iter_mut().for_each(|page| turns::join_initials(page, &vocabulary));
    let is_suspect = |page: &Page| overprint::is_suspect(page) || margin::is_suspect(page) || lines::is_suspect(page);
    let suspect = document.pages.iter().any(is_suspect);
    let backend = suspect.then(|| RawBackend::load_bytes(bytes).ok()).flatten();
    let quality = |text: &str| (unreadable_percent(text), signs_percent(text));
    let quality: Vec<(usize, usize)> = document.pages.iter().map(|page| quality(&page.plain_text())).collect();
    let is_garbage = |(percent, signs): (usize, usize)| percent > GARBAGE_PERCENT || signs > GARBAGE_SIGNS_PERCENT;
    let mut anew: Vec<Option<Vec<TextBlock>>> = Vec::new();
    for ((page, dropped), quality) in document.pages.iter_mut().zip(&dropped).zip(&quality) {
        let backend = backend.as_ref().filter(|_| !is_garbage(*quality));
        let mut blocks = backend.and_then(|backend| read_anew(page, backend));
        blocks.iter_mut().for_each(|blocks| blocks.retain(|block| !dropped.contains(&one_line(&block.text()))));
        anew.push(blocks);
    }
    let is_plain = |(page, blocks): (&Page, &Option<_>)| blocks.is_none() && filled.get(&page.number).is_none_or(Vec::is_empty);
    let is_plain: Vec<bool> = document.pages.iter().zip(&anew).map(is_plain).collect();
    let goes_on = turns::join(&mut document.pages, |index| is_plain[index] && !is_garbage(quality[index]));
    let mut silent_pages = Vec::new();
    let mut unreadable_pages = Vec::new();
    for (index, page) in document.pages.iter_mut().enumerate() {
        let before = draft.len();
        match quality[index] {
            quality if is_garbage(quality) => unreadable_pages.push(page.number),
            (percent, signs) => {
                if percent > UNREADABLE_PERCENT {
                    draft.warn(format!("page {}: unreadable text layer ({percent} % of its characters)", page.number));
                } else if signs > SUSPECT_SIGNS_PERCENT {
                    draft.warn(format!("page {}: unreadable text layer? {signs} % of its characters are signs", page.number));
                }
                match &anew[index] {
                    Some(blocks) => add_blocks(&mut draft, page.number, blocks, &titles, &vocabulary),
                    None => {
                        let lines = backend.as_ref().filter(|_| lines::is_suspect(page));
                        if let Some(lines) = lines.and_then(|backend| Lines::of(backend, page.number)) {
                            lines.settle(&mut page.elements);
                        }
                        add_page(&mut draft, page, goes_on[index], &vocabulary);
                    }
                }
            }
        }
        filled.get(&page.number).into_iter().flatten().for_each(|words| draft.paragraph(&readable(words)));
        if draft.len() == before {
            silent_pages.push(page.number);
        }
    }
    let pages = document.pages.len();
    if draft.is_empty() {
        let paints_images = document.pages.iter().any(|page| page.image_op_count > 0);
        let drops_runs = document.extraction_quality.suppressed_text_runs > 0;
        return Err(match () {
            () if document.extraction_quality.encrypted => {
                Refusal::new(format!("encrypted, and no text without a password ({})", count(pages)))
            }
            () if pages == 0 => Refusal::damaged("no pages found"),
            () if drops_runs || !unreadable_pages.is_empty() => Refusal::new(format!("unreadable text layer ({})", count(pages))),
            () if paints_images => Refusal::new(format!("no text layer ({}); scanned?", count(pages))),
            () => Refusal::new(format!("no text ({})", count(pages))),
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
    let guessed: Vec<u32> =
        document.pages.iter().filter(|page| page.ambiguous_layout_regions > 0).map(|page| page.number).collect();
    if !guessed.is_empty() {
        draft.warn(format!("columns may be mixed: {}", list_of_pages(&guessed)));
    }
    let title = document.metadata.title.filter(|title| is_title(title)).or_else(|| draft.opening_heading());
    Ok(draft.finish(Format::Pdf, &title_or_name(title, name)))
}

/// The bare text of each page, where there is any.
fn read_without_layout(bytes: &[u8], name: &str) -> Option<Document> {
    let document = mend::load(bytes)?;
    let mut draft = Draft::default();
    let pages = document.get_pages();
    let mut silent_pages = Vec::new();
    for &number in pages.keys().take(PAGES_MAX) {
        draft.page(number);
        let text = document.extract_text_with_limit(&[number], STREAM_MAX_BYTES).unwrap_or_default();
        let before = draft.len();
        if unreadable_percent(&text) <= UNREADABLE_PERCENT && signs_percent(&text) <= GARBAGE_SIGNS_PERCENT {
            draft.paragraph(&readable(&text));
        }
        if draft.len() == before {
            silent_pages.push(number);
        }
    }
    if draft.is_empty() {
        return None;
    }
    draft.warn(why_without_layout(pages.len()));
    if !silent_pages.is_empty() {
        draft.warn(format!("no readable text: {} of {}", list_of_pages(&silent_pages), pages.len()));
    }
    let title = mend::title(&document).filter(|title| is_title(title));
    Some(draft.finish(Format::Pdf, &title_or_name(title, name)))
}

fn why_without_layout(pages: usize) -> String {
    if pages > PAGES_MAX {
        format!("only {PAGES_MAX} of {pages} pages were read, without their layout; split the file")
    } else if pages > LAYOUT_PAGES_MAX {
        format!("more than {LAYOUT_PAGES_MAX} pages; read without their layout")
    } else {
        "damaged or in odd fonts; read without its layout".to_owned()
    }
}

fn refusal(cause: Error) -> Refusal {
    match cause {
        Error::Encrypted | Error::InvalidPassword => Refusal::password_protected(),
        Error::UnknownFormat => Refusal::damaged("no `%PDF-` header"),
        // An encryption that is not understood keeps the text as well as a password does.
        Error::PdfParse(what) if what.starts_with("Encrypt") => Refusal::new("password-protected (encryption not understood)"),
        cause => Refusal::damaged(cause),
    }
}

/// The blocks of a page that the reader reads badly; none where its own are as good.
fn read_anew(page: &mut Page, backend: &RawBackend) -> Option<Vec<TextBlock>> {
    if overprint::is_suspect(page)
        && let Some(blocks) = overprint::mended(backend, page.number)
    {
        return Some(blocks);
    }
    let (blocks, is_one_column) = margin::is_suspect(page).then(|| margin::mended(backend, page.number)).flatten()?;
    // The order of tables and of further columns is inside the reader.
    if page.elements.iter().any(Block::is_table) {
        return None;
    }
    page.ambiguous_layout_regions += u32::from(!is_one_column);
    is_one_column.then_some(blocks)
}

/// Adds a page; its first block may go on with the last one of the page before.
fn add_page(draft: &mut Draft, page: &Page, goes_on: bool, vocabulary: &Vocabulary) {
    draft.page(page.number);
    let mut is_in_list = false;
    let mut last_table = Vec::new();
    for (index, block) in page.elements.iter().enumerate() {
        let was_in_list = std::mem::take(&mut is_in_list);
        match block {
            Block::Paragraph(paragraph) => {
                let text = vocabulary.join(&readable(&paragraph.plain_text()));
                if is_leader(&text) {
                    continue;
                }
                match (paragraph.heading_level(), &paragraph.style.list_info) {
                    (Some(level), _) => {
                        // Two sections may have the same table.
                        last_table.clear();
                        draft.heading(level, &text);
                    }
                    (None, Some(item)) => {
                        is_in_list = true;
                        let indent = "  ".repeat(usize::from(item.level));
                        let text = match &item.style {
                            ListStyle::Unordered { marker } => {
                                format!("{indent}- {}", text.trim_start_matches(*marker).trim_start())
                            }
                            ListStyle::Ordered { .. } => format!("{indent}{text}"),
                        };
                        if was_in_list { draft.line(&text) } else { draft.paragraph(&text) }
                    }
                    (None, None) if goes_on && index == 0 => draft.line(&text),
                    (None, None) => draft.paragraph(&text),
                }
            }
            Block::Table(table) => {
                let rows = rows(table, vocabulary);
                if !is_cut_from(&rows, &last_table) {
                    draft.table(&rows);
                    last_table = rows;
                }
            }
            Block::Code { content } => draft.code(&readable(content)),
            Block::Raw { content } => draft.paragraph(&vocabulary.join(&readable(content))),
            Block::Image { .. } | Block::HorizontalRule | Block::PageBreak | Block::SectionBreak => {}
        }
    }
}

fn add_blocks(draft: &mut Draft, number: u32, blocks: &[TextBlock], titles: &Titles, vocabulary: &Vocabulary) {
    draft.page(number);
    for block in blocks {
        let text = vocabulary.join(&readable(&block.text()));
        if is_leader(&text) {
            continue;
        }
        match titles.level_on(number, &text, block.heading_level) {
            0 => draft.paragraph(&text),
            level => draft.heading(level, &text),
        }
    }
}

fn rows(table: &Table, vocabulary: &Vocabulary) -> Vec<Vec<String>> {
    let cell = |cell: &unpdf::TableCell| {
        let paragraphs: Vec<String> = cell.content.iter().map(|paragraph| readable(&paragraph.plain_text())).collect();
        vocabulary.join(&paragraphs.join(" "))
    };
    table.rows.iter().map(|row| row.cells.iter().map(cell).collect()).collect()
}

/// Whether a table repeats rows of the one before, whole or cut off on their right.
fn is_cut_from(rows: &[Vec<String>], before: &[Vec<String>]) -> bool {
    const ROWS_MIN: usize = 3;
    let mut before = before.iter();
    rows.len() >= ROWS_MIN && rows.iter().all(|row| before.any(|whole| whole.starts_with(row)))
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

/// Whether the title of the metadata was written by a person.
fn is_title(title: &str) -> bool {
    let title = title.trim();
    let lower = title.to_lowercase();
    let is_file = [
        ".doc", ".docx", ".pdf", ".tex", ".dvi", ".indd", ".qxd", ".ppt", ".pptx", ".xls", ".odt", ".rtf", ".ps", ".exe",
        ".pages", ".txt", ".md", ".html", ".rpt",
    ]
    .iter()
    .any(|ending| lower.ends_with(ending));
    let is_generic =
        ["untitled", "(anonymous)", "microsoft word", "powerpoint presentation", "print", "title"].contains(&lower.as_str());
    title.chars().filter(|char| char.is_alphabetic()).count() > 2
        && !is_file
        && !is_generic
        && !lower.starts_with("microsoft word - ")
        && !title.chars().any(is_unreadable)
}

/// `1 page` or `3 pages`.
fn count(pages: usize) -> String {
    format!("{pages} {}", if pages == 1 { "page" } else { "pages" })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A PDF of one page for each content stream, without a cross-reference table: readers have to search for the objects.
    fn pdf(contents: &[&str], more: &str) -> Vec<u8> {
        let kids: Vec<String> = (0..contents.len()).map(|index| format!("{} 0 R", 10 + 2 * index)).collect();
        let mut file = format!(
            "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n\
             2 0 obj\n<</Type/Pages/Count {}/Kids[{}]/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>>>\nendobj\n\
             3 0 obj\n<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>\nendobj\n\
             4 0 obj\n<</Title(The Mill)>>\nendobj\n",
            contents.len(),
            kids.join(" ")
        );
        for (index, content) in contents.iter().enumerate() {
            let (page, stream) = (10 + 2 * index, 11 + 2 * index);
            file.push_str(&format!("{page} 0 obj\n<</Type/Page/Parent 2 0 R/Contents {stream} 0 R>>\nendobj\n"));
            file.push_str(&format!("{stream} 0 obj\n<</Length {}>>\nstream\n{content}\nendstream\nendobj\n", content.len()));
        }
        file.push_str(&format!("trailer\n<</Root 1 0 R/Info 4 0 R{more}>>\n%%EOF\n"));
        file.into_bytes()
    }

    #[test]
    fn pages_keep_their_numbers_and_line_ends_lose_their_hyphens() {
        let one = "BT /F 12 Tf 50 700 Td (The mill by the river ground the flour of three villa-) Tj 0 -14 Td (ges day and night.) Tj ET";
        let file = [b"junk before\n".to_vec(), pdf(&[one, "", "BT /F 12 Tf 50 700 Td (Third page.) Tj ET"], "")].concat();
        let document = read(&file, "mill.pdf").unwrap();
        document.check().unwrap();
        assert_eq!(document.text, "The mill by the river ground the flour of three villages day and night.\n\nThird page.");
        assert_eq!(document.title, "The Mill");
        assert_eq!((document.page_at(0), document.page_at(document.text.len() - 1)), (Some(1), Some(3)));
        assert!(document.warnings.contains(&"no text: page 2 of 3".to_owned()), "{:?}", document.warnings);
    }

    #[test]
    fn what_was_filled_in_is_read() {
        let file = String::from_utf8(pdf(&["BT /F 12 Tf 50 700 Td (Application) Tj ET"], "")).unwrap();
        let rect = "/Rect[0 0 9 9]";
        let objects = [
            format!("<</Subtype/Widget/FT/Tx/T(name)/V(Ada Lovelace){rect}>>"),
            format!("<</Subtype/Widget/Parent 24 0 R{rect}>>"),
            format!("<</Subtype/FreeText/Contents(Approved in May.){rect}>>"),
            format!("<</Subtype/Widget/FT/Tx/T(password)/Ff 8192/V(sesame){rect}>>"),
            "<</FT/Ch/T(colours)/V[(red)(b)]/Opt[(red)[(b)(blue)]]>>".to_owned(),
            format!("<</Subtype/Widget/FT/Btn/T(member)/V/Yes{rect}>>"),
            format!("<</Subtype/Widget/FT/Btn/T(miller)/V/Off{rect}>>"),
            format!("<</Subtype/Widget/FT/Btn/T(send)/Ff 65536/V/Yes{rect}>>"),
            format!("<</Subtype/Widget/Parent 30 0 R/AS/Off{rect}>>"),
            format!("<</Subtype/Widget/Parent 30 0 R/AS/rye{rect}>>"),
            "<</FT/Btn/T(flour)/Ff 32768/V/rye>>".to_owned(),
        ];
        let objects: String = (20..).zip(objects).map(|(number, object)| format!("{number} 0 obj\n{object}\nendobj\n")).collect();
        let annotations: String = [20, 21, 22, 23, 25, 26, 27, 28, 29].map(|number| format!("{number} 0 R ")).concat();
        let file = file.replace("/Contents 11", &format!("/Annots[{annotations}]/Contents 11"));
        let document = read(file.replace("trailer", &format!("{objects}trailer")).as_bytes(), "a.pdf").unwrap();
        document.check().unwrap();
        assert_eq!(
            document.text,
            "Application\n\nname: Ada Lovelace\n\ncolours: red, blue\n\nApproved in May.\n\nmember: Yes\n\nflour: rye"
        );
    }

    #[test]
    fn pages_that_stand_for_something_else_are_told() {
        let warnings = |more: &str| {
            let file = String::from_utf8(pdf(&["BT /F 12 Tf 50 700 Td (Please wait.) Tj ET"], "")).unwrap();
            read(file.replace("/Type/Catalog", &format!("/Type/Catalog{more}")).as_bytes(), "a.pdf").unwrap().warnings
        };
        let form = "an XFA form; what it shows is not read".to_owned();
        assert!(warnings("/NeedsRendering true").contains(&form) && !warnings("/NeedsRendering false").contains(&form));
        assert!(warnings("/Collection<<>>").contains(&"a portfolio; the files inside are not read".to_owned()));
    }

    /// The file with another font, which may refer to objects from 30 on.
    fn with_font(contents: &[&str], font: &str, objects: &[&str]) -> Vec<u8> {
        let file = String::from_utf8(pdf(contents, "")).unwrap();
        let objects: String = (30..).zip(objects).map(|(number, object)| format!("{number} 0 obj\n{object}\nendobj\n")).collect();
        let file = file.replace("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", &format!("<</Type/Font{font}>>"));
        file.replace("trailer", &format!("{objects}trailer")).into_bytes()
    }

    fn widths() -> String {
        format!("/FirstChar 32/LastChar 255/Widths[{}]", "500 ".repeat(224))
    }

    fn stream(content: &str) -> String {
        format!("<</Length {}>>\nstream\n{content}\nendstream", content.len())
    }

    #[test]
    fn actual_text_names_letters_that_the_map_does_not() {
        let map = stream(
            "begincmap 1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfrange <20> <7A> <0020> endbfrange \
             3 beginbfchar <8D> <0000> <8E> <0000> <8F> <F603> endbfchar endcmap",
        );
        let content = "BT /F 12 Tf 50 700 Td (Flour a) Tj /Span<</ActualText<FEFF00660074>>>BDC <8F> Tj EMC (er ) Tj \
                       /Span<</ActualText(7)>>BDC /P BMC <8D> Tj EMC EMC (. ) Tj <8E> Tj ET";
        let font = format!("/Subtype/Type1/BaseFont/Mill/ToUnicode 30 0 R{}", widths());
        let document = read(&with_font(&[content], &font, &[&map]), "a.pdf").unwrap();
        assert_eq!(document.text.trim(), "Flour after 7.");
        let damaged = "damaged; read by searching for its objects";
        assert_eq!(document.warnings, ["1 pieces of text in fonts without a character map; left out", damaged]);
    }

    #[test]
    fn glyphs_named_by_numbers_are_latin_letters() {
        let content = ["BT /F 12 Tf 50 700 Td (Il mulino \\350 pi\\371 vecchio) Tj ET"];
        let text = |differences: &str| {
            let encoding = format!("<</Type/Encoding/Differences[{differences}]>>");
            let font = "/Subtype/Type3/FontMatrix[.001 0 0 .001 0 0]/FontBBox[0 0 9 9]/CharProcs<<>>/Encoding 30 0 R";
            read(&with_font(&content, &(font.to_owned() + &widths()), &[&encoding]), "a.pdf").unwrap().text
        };
        assert_eq!(text("32/32 73/73 101/101 232/232 249/249"), "Il mulino è più vecchio");
        // Numbers of glyphs, which begin at nought, say nothing.
        assert!(!text("0/0/1/2 232/232 249/249").contains('è'));
    }

    #[test]
    fn a_font_of_one_width_sets_code() {
        let widths = "525 ".repeat(95);
        let font = |widths: &str| {
            let font =
                format!("/Subtype/Type1/BaseFont/CMTT10/FirstChar 32/LastChar 126/Widths[{widths}]/FontDescriptor 30 0 R>>");
            let more = "endobj\n40 0 obj\n<</Type/Font/Subtype/Type1/BaseFont/Helvetica";
            let descriptor = "<</Type/FontDescriptor/FontName/CMTT10/Flags 4>>";
            let prose = "/G 12 Tf 50 700 Td (The mill grinds the flour of three villages by day and by night, for it has two) Tj \
                         0 -14 Td (stones, and the miller counts the sacks in a loop of his own:) Tj";
            let content =
                format!("BT {prose} /F 10 Tf 0 -40 Td (for \\(i = 0; i < m; i++\\) {{) Tj 12 -12 Td (grind\\(sack[i]\\);) Tj ET");
            let file = String::from_utf8(with_font(&[&content], &(font + more), &[descriptor])).unwrap();
            read(file.replace("/Font<</F 3 0 R", "/Font<</F 3 0 R/G 40 0 R").as_bytes(), "a.pdf").unwrap().text
        };
        assert!(font(&widths).contains("```\nfor (i = 0; i < m; i++) {\n"), "{}", font(&widths));
        assert!(!font(&widths.replacen("525", "250", 80)).contains("```"));
    }

    #[test]
    fn a_text_layer_of_wrong_codes_is_left_out() {
        let garbage = "BT /F 12 Tf 50 700 Td (!\"#$ !\"%&'!*$*$+#*'!*!,-#&&%%!! #$ !\"#$!\"# $!*%+) Tj \
                       0 -14 Td (+#*'!*!,-#&&%%!! #$ !\"#$!\"#  $!*%+ !\"#$ !\"%&'!*$*$+#*'!*!,-#&&%%!! #$) Tj \
                       0 -14 Td (!\"%&'!*$*$+#*'!*!,-#&&%%!! #$ !\"#$!\"#  $!*%+ !\"#$ !\"%&'!*$*$+#*'!* !\"#$!) Tj ET";
        let words = "BT /F 12 Tf 50 700 Td (The mill.) Tj ET";
        assert_eq!(read(&pdf(&[garbage], ""), "a.pdf").unwrap_err().to_string(), "unreadable text layer (1 page)");
        let document = read(&pdf(&[words, garbage], ""), "a.pdf").unwrap();
        assert_eq!((document.text.as_str(), document.warnings.len()), ("The mill.", 2));
        assert!(document.warnings.contains(&"unreadable text layer, left out: page 2".to_owned()), "{:?}", document.warnings);
    }

    /// A page of lines with hidden spaces, where `|` is one.
    fn with_hidden_spaces(lines: &[&str]) -> String {
        let lines = lines.iter().cycle().take(12).map(|line| line.replace('|', ") Tj 3 Tr ( ) Tj 0 Tr ("));
        lines.fold("BT /F 12 Tf 50 700 Td ".to_owned(), |page, line| page + &format!("({line}) Tj 0 -14 Td ")) + "ET"
    }

    #[test]
    fn hidden_spaces_break_no_words() {
        let broken = with_hidden_spaces(&["the m|illion", "of a b|ig mill", "and l|oans", "as r|ecorded"]);
        let text = read(&pdf(&[&broken], ""), "a.pdf").unwrap().text;
        assert!(text.contains("the million") && text.contains("and loans") && !text.contains(" m "), "{text}");
        let hidden = "BT /F 12 Tf 3 Tr 50 700 Td (a b) Tj ( ) Tj (ig m) Tj ( ) Tj (ill) Tj ET";
        assert_eq!(hidden::without_spaces(&pdf(&[hidden], "")), None);
        // Where all spaces are hidden, they are those between the words.
        let whole = with_hidden_spaces(&["where|m|is|the|mass"]);
        let text = read(&pdf(&[&broken, &whole], ""), "a.pdf").unwrap().text;
        assert!(text.contains("the million") && text.contains("where m is the mass"), "{text}");
    }

    #[test]
    fn hidden_spaces_go_beside_ligatures_too() {
        let map = stream(
            "begincmap 1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfrange <20> <7A> <0020> endbfrange \
             1 beginbfchar <8D> <06440627> endbfchar endcmap",
        );
        let broken = with_hidden_spaces(&["the m|illion", "of a b|ig mill", "and l|oans", "as r|ecorded"]);
        let font = format!("/Subtype/Type1/BaseFont/Mill/ToUnicode 30 0 R{}", widths());
        let text = read(&with_font(&[&broken, "BT /F 12 Tf 50 700 Td <8D> Tj ET"], &font, &[&map]), "a.pdf").unwrap().text;
        assert!(text.contains("the million") && text.contains("\u{644}\u{627}"), "{text}");
    }

    #[test]
    fn a_table_that_repeats_the_one_before_is_none() {
        let rows = |text: &str| text.lines().map(|row| row.split('|').map(str::to_owned).collect()).collect::<Vec<Vec<String>>>();
        let table = rows("year|1|2\nauto|3|4\ncard|5|6\ntotal|8|10");
        assert!(is_cut_from(&rows("auto|3\ncard|5\ntotal|8"), &table) && is_cut_from(&table, &table));
        for other in ["auto|3\ncard|5", "auto|3\ncard|6\ntotal|8", "card|5\nauto|3\ntotal|8"] {
            assert!(!is_cut_from(&rows(other), &table), "{other}");
        }
    }

    #[test]
    fn a_sentence_goes_on_on_the_next_page() {
        let pages = ["The mill by the river grinds the flour of three vil-", "lages by day and by night."];
        let pages = pages.map(|text| format!("BT /F 12 Tf 50 700 Td ({text}) Tj ET"));
        let document = read(&pdf(&[&pages[0], &pages[1]], ""), "a.pdf").unwrap();
        assert_eq!(document.text, "The mill by the river grinds the flour of three villages\nby day and by night.");
        assert_eq!(document.pages.iter().map(|page| page.number).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn text_that_is_drawn_twice_is_read_once() {
        let twice =
            "BT /F 12 Tf 50 700 Td (Flour) Tj ET BT /F 12 Tf 50.4 700 Td (Flour) Tj ET BT /F 12 Tf 50 680 Td (and flour) Tj ET";
        assert_eq!(read(&pdf(&[twice], ""), "a.pdf").unwrap().text.replace(['\n', ' '], ""), "Flourandflour");
    }

    #[test]
    fn a_table_stands_below_its_heading_and_options_keep_their_dashes() {
        let line = |x: u32, y: u32, size: u32, text: &str| format!("BT /F {size} Tf {x} {y} Td ({text}) Tj ET ");
        let words = "The mill by the river grinds the flour of three villages by day and by night, for it has two stones, and ";
        let mut page = line(50, 740, 20, "Alpha rates");
        for (row, number) in (0..3).zip(["One", "Two", "Three"]) {
            page += &line(50, 700 - 14 * row, 10, &format!("{number}: {words}"));
        }
        for (row, cells) in
            (0..4).zip([["Country", "Rate", "Hotel"], ["Spain", "101", "201"], ["Italy", "102", "202"], ["Malta", "103", "203"]])
        {
            for (cell, x) in cells.iter().zip([230, 300, 360]) {
                page += &line(x, 640 - 18 * row, 10, cell);
            }
        }
        page += &line(50, 540, 20, "Beta rates");
        for (row, number) in (0..3).zip(["Four", "Five", "Six"]) {
            page += &line(50, 500 - 14 * row, 10, &format!("{number}: {words}"));
        }
        page += &line(50, 440, 10, "--retry N repeats a request.");
        page += &line(50, 420, 10, "--cache DIR keeps its answer.");
        let text = read(&pdf(&[&page], ""), "a.pdf").unwrap().text;
        let at = |part: &str| text.find(part).unwrap();
        assert!(
            at("Alpha rates") < at("Spain | 101 | 201") && at("Malta | 103") < at("Beta rates") && at("Beta rates") < at("Four"),
            "{text}"
        );
        assert!(text.contains("\n--retry N repeats a request.\n") && text.contains("\n--cache DIR keeps"), "{text}");
    }

    #[test]
    fn a_page_without_text_is_refused() {
        let reason = |file: &[u8]| read(file, "a.pdf").unwrap_err().to_string();
        assert_eq!(reason(&pdf(&["0 0 m 9 9 l S"], "")), "no text (1 page)");
        assert_eq!(reason(&pdf(&["BI /W 1 /H 1 /BPC 8 /CS /G ID x EI"], "")), "no text layer (1 page); scanned?");
    }

    #[test]
    fn a_long_document_is_read_without_its_layout_and_says_what_is_missing() {
        let pages = LAYOUT_PAGES_MAX + 1;
        let mut contents = vec!["BT /F 12 Tf 50 700 Td (The mill.) Tj ET"; pages];
        contents[2] = "0 0 m 9 9 l S";
        let document = read(&pdf(&contents, ""), "a.pdf").unwrap();
        assert_eq!(document.text.matches("The mill.").count(), pages - 1);
        assert_eq!(document.warnings, ["more than 2000 pages; read without their layout", "no readable text: page 3 of 2001"]);
        assert_eq!(document.title, "The Mill");
        assert!(why_without_layout(PAGES_MAX + 1).starts_with("only 5000 of 5001 pages were read"));
    }

    #[test]
    fn an_encrypted_file_is_never_a_document() {
        let encrypt = "/Encrypt<</Filter/Standard/V 1/R 2/P -4/O(00000000000000000000000000000000)/U(00000000000000000000000000000000)>>\
                       /ID[(0000000000000000)(0000000000000000)]";
        let reason = read(&pdf(&["BT /F 12 Tf 50 700 Td (x) Tj ET"], encrypt), "a.pdf").unwrap_err();
        assert_eq!(reason.to_string(), "password-protected");
    }

    #[test]
    fn titles_by_machines_are_no_titles() {
        assert!(is_title("The Mill") && is_title("Отчёт"));
        for title in
            ["untitled", "(anonymous)", "Microsoft Word - a.doc", "report.PDF", "  ", "12-34", "a\u{fffd}bcd", "10811.exe"]
        {
            assert!(!is_title(title), "{title}");
        }
    }

    #[test]
    fn long_lists_of_pages_are_cut() {
        assert_eq!(list_of_pages(&[3]), "page 3");
        assert_eq!(list_of_pages(&(1..=10).collect::<Vec<_>>()), "pages 1, 2, 3, 4, 5, 6, 7, 8 and 2 more");
    }
}
