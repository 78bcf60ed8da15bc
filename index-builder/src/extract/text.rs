//! Plain text. It has no headings; form feeds are page breaks, as line printers and RFCs use them. In JSON lines each line is a
//! record, and is set apart like a paragraph.

use super::document::{Document, Format};
use super::draft::Draft;
use super::encoding::{self, Decoded};
use super::front_matter;
use super::sniff::extension;
use super::{Refusal, file_name, title_or_name};

/// What YAML is made of, by the ending behind its own.
const TEMPLATES: [&str; 7] = ["j2", "tpl", "tmpl", "template", "example", "sample", "dist"];

/// Reads a text file in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let Decoded { text, warning } = encoding::decode(bytes, declared_charset)?;
    let extension = extension(name);
    // In YAML, and what YAML is made of, such lines part documents, whose fields are their own.
    if !is_yaml(name) {
        front_matter::require_no_access(&text)?;
    }
    let mut draft = Draft::default();
    draft.page(1);
    match extension.as_str() {
        "jsonl" | "ndjson" => text.lines().for_each(|record| draft.paragraph(&unescaped(record))),
        "json" => draft.paragraph(&unescaped(&text)),
        _ => draft.paragraph(&text),
    }
    draft.forget_single_page();
    if let Some(warning) = warning {
        draft.warn(warning);
    }
    Ok(draft.finish(Format::Text, &title_or_name(None, name)))
}

fn is_yaml(name: &str) -> bool {
    let name = file_name(name).to_ascii_lowercase();
    let made_of =
        name.rsplit_once('.').filter(|(_, ending)| TEMPLATES.contains(ending)).map_or(name.as_str(), |(made_of, _)| made_of);
    made_of.ends_with(".yaml") || made_of.ends_with(".yml")
}

/// JSON with the letters that its `\uXXXX` stand for, and blanks for line ends and tabs, so that words are found and quoted as
/// they are read. Controls, quotation marks and backslashes stay: without their escapes it would be no JSON.
fn unescaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let units = [unit(rest), rest.get(6..).and_then(unit)];
        let letter = char::decode_utf16(units.into_iter().map_while(|unit| unit)).next().and_then(Result::ok);
        let (words, bytes) = match letter.filter(|letter| !letter.is_control() && !matches!(letter, '"' | '\\')) {
            Some(letter) => (letter.to_string(), 6 * letter.len_utf16()),
            None if rest.starts_with(r"\n") || rest.starts_with(r"\r") || rest.starts_with(r"\t") => (" ".to_owned(), 2),
            None => {
                let escape: String = rest.chars().take(2).collect();
                let bytes = escape.len();
                (escape, bytes)
            }
        };
        text.push_str(&words);
        rest = &rest[bytes..];
    }
    text + rest
}

/// The unit of UTF-16 of an escape at the beginning.
fn unit(json: &str) -> Option<u16> {
    let digits = json.strip_prefix(r"\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_json_are_letters() {
        let json = r#"{"a": "caf\u00e9 \ud83d\ude00, 10\u00a0km\nnext\ttab \"q\" \\n \\u0041 \u0022 \u005c \u0007 \ud83d x \u+041 \u12"}"#;
        let expected = "{\"a\": \"caf\u{e9} \u{1f600}, 10\u{a0}km next tab \\\"q\\\" \\\\n \\\\u0041 \\u0022 \\u005c \\u0007 \\ud83d x \\u+041 \\u12\"}";
        assert_eq!(unescaped(json), expected);
        assert_eq!(unescaped("\\"), "\\");
        assert_eq!(read(json.as_bytes(), "a.json", None).unwrap().text, read(json.as_bytes(), "a.jsonl", None).unwrap().text);
        assert!(read(json.as_bytes(), "a.txt", None).unwrap().text.contains(r"caf\u00e9"));
    }

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
