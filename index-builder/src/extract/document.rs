//! What every extractor makes: one text, and where each piece of it came from.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfc;

/// The format that a document was read as; decided by content first, then by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Portable Document Format.
    Pdf,
    /// Office Open XML text document.
    Docx,
    /// HTML page.
    Html,
    /// Markdown (CommonMark with tables and front matter).
    Markdown,
    /// A table as text: CSV, TSV.
    Csv,
    /// Plain text, JSON and YAML among it.
    Text,
}

/// A document after extraction. All spans are byte offsets into `text`, on character boundaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// What the document calls itself; its file name where it does not.
    pub title: String,
    /// The format that it was read as.
    pub format: Format,
    /// The whole text: NFC, line ends `\n`, no NUL, no byte-order mark, no soft hyphen.
    pub text: String,
    /// Sections in order, without gaps or overlap, covering the whole text: each heading starts a new one and is its first line.
    /// Text before the first heading is a section with an empty path.
    pub sections: Vec<Section>,
    /// Where pages start, ascending; empty where the format has no pages.
    pub pages: Vec<Page>,
    /// Code blocks, tables and definitions of links, in order, without overlap: what a chunker should not cut through.
    pub blocks: Vec<Block>,
    /// What was lost or guessed, for the report.
    pub warnings: Vec<String>,
    /// What the document says of itself besides its title: the fields of its front matter.
    #[serde(default)]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// A stretch of text under one heading path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    /// Bytes of the text, its heading line included.
    pub span: Range<usize>,
    /// Headings from the outermost to this one, as plain text.
    pub headings: Vec<String>,
}

/// The start of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    /// First byte of the page's text.
    pub start: usize,
    /// Its number as a reader counts, from 1.
    pub number: u32,
}

/// A stretch of text with a shape of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// Bytes of the text, fences included.
    pub span: Range<usize>,
    /// What it is.
    pub kind: BlockKind,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlockKind {
    /// A code block.
    Code,
    /// A table, one row a line.
    Table,
    /// Definitions of links, which no reader sees.
    Definitions,
}

impl Format {
    /// Its name in an index and in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
            Self::Text => "text",
        }
    }
}

impl Document {
    /// Says which promise of the fields above is broken, if one is. A chunker slices by these spans, so nothing that crossed a
    /// process border is used before this has passed.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_nfc(&self.text) {
            return Err("the text is not in normalisation form C".to_owned());
        }
        if let Some(found) = self.text.chars().find(|char| matches!(char, '\0' | '\r' | '\u{feff}' | '\u{ad}')) {
            return Err(format!("the text holds {found:?}"));
        }
        let mut end = 0;
        for section in &self.sections {
            if section.span.start != end || section.span.end <= section.span.start {
                return Err(format!("section {:?} does not follow byte {end}", section.span));
            }
            end = section.span.end;
            self.check_boundary(end)?;
        }
        if end != self.text.len() {
            return Err(format!("sections end at byte {end} of {}", self.text.len()));
        }
        for page in &self.pages {
            self.check_boundary(page.start)?;
        }
        if let Some(pair) = self.pages.windows(2).find(|pair| pair[0].start >= pair[1].start || pair[0].number >= pair[1].number)
        {
            return Err(format!("page {} does not come after page {}", pair[1].number, pair[0].number));
        }
        let mut end = 0;
        for block in &self.blocks {
            if block.span.start < end || block.span.end <= block.span.start {
                return Err(format!("block {:?} does not follow byte {end}", block.span));
            }
            end = block.span.end;
            self.check_boundary(block.span.start)?;
            self.check_boundary(end)?;
        }
        Ok(())
    }

    fn check_boundary(&self, offset: usize) -> Result<(), String> {
        match self.text.is_char_boundary(offset) {
            true => Ok(()),
            false => Err(format!("byte {offset} is not on a character boundary of {} bytes", self.text.len())),
        }
    }

    /// The page on which the byte at `offset` stands, where the format has pages.
    pub(crate) fn page_at(&self, offset: usize) -> Option<u32> {
        let after = self.pages.partition_point(|page| page.start <= offset);
        after.checked_sub(1).map(|index| self.pages[index].number)
    }
}
