//! Bytes to [`Document`]: one file a format.
//!
//! [`extract`] is pure and runs in this process; a bad file may panic it, hang it or exhaust its memory. What reads files that
//! others wrote goes through [`Sandbox`], which does the same in a child process.

mod csv;
mod document;
mod docx;
mod draft;
mod encoding;
mod exponent;
mod front_matter;
mod html;
mod markdown;
mod package;
mod pdf;
mod sandbox;
mod show;
mod sniff;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use document::Page;
pub(crate) use document::{Block, BlockKind, Document, Format, Section};
pub(crate) use draft::one_line;
pub(crate) use sandbox::{CHILD_COMMAND, Limits, Sandbox, run_child};
pub(crate) use show::{read, shown};
pub(crate) use sniff::is_unsupported_by_name;

/// The largest file that is read, in bytes.
pub(crate) const INPUT_MAX_BYTES: u64 = 100 << 20;

/// Why a file gave no document: the words after "skipped: " in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal(String);

impl Refusal {
    /// A refusal in these words.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The file breaks the rules of its format.
    fn damaged(what: impl fmt::Display) -> Self {
        Self(format!("damaged: {what}"))
    }

    /// Nobody can read the file without a password.
    fn password_protected() -> Self {
        Self("password-protected".to_owned())
    }

    /// The format is known and not read here.
    fn unsupported(format: &str) -> Self {
        Self(format!("unsupported format: {format}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a document in this process. `name` is its path or key; `declared_charset` what the place it came from says.
pub(crate) fn extract(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    if bytes.len() as u64 > INPUT_MAX_BYTES {
        return Err(too_large());
    }
    let document = match sniff::format(bytes, name)? {
        Format::Pdf => pdf::read(bytes, name),
        Format::Docx => docx::read(bytes, name),
        Format::Html => html::read(bytes, name, declared_charset),
        Format::Markdown => markdown::read(bytes, name, declared_charset),
        Format::Csv => csv::read(bytes, name, declared_charset),
        Format::Text => text::read(bytes, name, declared_charset),
    }?;
    match document.text.is_empty() {
        true => Err(Refusal::new("empty")),
        false => Ok(document),
    }
}

fn too_large() -> Refusal {
    Refusal::new(format!("larger than {} MB", INPUT_MAX_BYTES >> 20))
}

/// The last part of a path or key. A backslash is a letter of it, and stands before bytes that are no UTF-8 (`caf\xe9.txt`).
fn file_name(name: &str) -> &str {
    name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name)
}

/// The title, where the document has one, else its file name.
fn title_or_name(title: Option<String>, name: &str) -> String {
    title.map(|title| title_line(&title)).filter(|title| !title.is_empty()).unwrap_or_else(|| file_name(name).to_owned())
}

/// A title on one line, cut where it is longer than any heading: each chunk is found by its words.
pub(crate) fn title_line(title: &str) -> String {
    let cut: String = one_line(title).chars().take(draft::HEADING_MAX_CHARS).collect();
    cut.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_a_title_as_it_stands() {
        for (name, title) in [(r"menu/caf\xe9.txt", r"caf\xe9.txt"), ("menu/", "menu")] {
            assert_eq!(extract(b"text", name, None).unwrap().title, title);
        }
    }

    #[test]
    fn a_title_is_as_long_as_a_heading_at_most() {
        let long = "mill ".repeat(10_000);
        for (source, name) in
            [(format!("---\ntitle: {long}\n---\ntext"), "a.md"), (format!("<title>{long}</title><p>text"), "a.html")]
        {
            let document = extract(source.as_bytes(), name, None).unwrap();
            assert_eq!(document.title, "mill ".repeat(40).trim_end(), "{name}");
            document.check().unwrap();
        }
    }
}
