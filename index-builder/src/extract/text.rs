//! Plain text. It has no headings; form feeds are page breaks, as line printers and RFCs use them. In JSON lines each line is a
//! record, and is set apart like a paragraph.

use super::document::{Document, Format};
use super::draft::Draft;
use super::encoding::{self, Decoded};
use super::sniff::extension;
use super::{Refusal, title_or_name};

/// Reads a text file in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let Decoded { text, warning } = encoding::decode(bytes, declared_charset)?;
    let mut draft = Draft::default();
    draft.page(1);
    match extension(name).as_str() {
        "jsonl" | "ndjson" => text.lines().for_each(|record| draft.paragraph(record)),
        _ => draft.paragraph(&text),
    }
    draft.forget_single_page();
    if let Some(warning) = warning {
        draft.warn(warning);
    }
    Ok(draft.finish(Format::Text, &title_or_name(None, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_feeds_are_pages() {
        let document = read(b"one\r\n\x0c\x0cthree\n", "folder/a.txt", None).unwrap();
        document.check().unwrap();
        assert_eq!(document.text, "one\nthree");
        assert_eq!((document.page_at(0), document.page_at(4)), (Some(1), Some(3)));
        assert_eq!(document.title, "a.txt");
    }

    #[test]
    fn records_of_json_lines_are_set_apart() {
        let document = read(b"{\"a\": 1}\n\n{\"a\":\n2}\n", "a.ndjson", None).unwrap();
        document.check().unwrap();
        assert_eq!(document.text, "{\"a\": 1}\n\n{\"a\":\n\n2}");
        assert_eq!(read(b"{\n  \"a\": 1\n}\n", "a.json", None).unwrap().text, "{\n  \"a\": 1\n}");
    }

    #[test]
    fn without_form_feeds_there_are_no_pages() {
        let document = read(b"  indented\nlines", "a", None).unwrap();
        assert_eq!(document.text, "  indented\nlines");
        assert!(document.pages.is_empty());
        assert_eq!(document.sections.len(), 1);
    }
}
