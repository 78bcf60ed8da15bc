//! Documents and chunks as they are read back, and the record of a chunk.

use std::borrow::Cow;

use super::format::{CHUNK_RECORD, DOCUMENT_RECORD, u32_at, u64_at};
use super::section::Section;
use super::view::View;
use super::{Chunk, Document, Index};
use crate::error::{Code, Error, Result};

impl Index {
    /// A document by its number.
    ///
    /// # Errors
    /// There is no such document, or the file is damaged there.
    pub fn document(&self, number: u32) -> Result<Document> {
        self.whole(|| {
            self.require_number(Section::Documents, number, self.document_count())?;
            let record = self.view.bytes(Section::Documents, u64::from(number) * DOCUMENT_RECORD, 2 * DOCUMENT_RECORD)?;
            let (start, end) = (u64_at(record, 0), u64_at(record, DOCUMENT_RECORD as usize));
            let stored = end.checked_sub(start).ok_or_else(|| self.view.inconsistent(Section::Documents))?;
            let json = match u32_at(record, 12) {
                0 => Cow::Borrowed(self.view.bytes(Section::Records, start, stored)?),
                length => self.view.unpacked(Section::Records, start, stored, length)?.into(),
            };
            self.view.json(Section::Records, &json)
        })
    }

    /// All documents and their numbers.
    pub fn documents(&self) -> impl Iterator<Item = Result<(u32, Document)>> {
        (0..self.view.superblock().documents).map(|number| Ok((number, self.document(number)?)))
    }

    /// A chunk by its number.
    ///
    /// # Errors
    /// There is no such chunk, or the file is damaged there.
    pub fn chunk(&self, number: u32) -> Result<Chunk<'_>> {
        self.view.require_whole()?;
        let record = self.chunk_record(number)?;
        if record.document as usize >= self.document_count() {
            return Err(self.view.inconsistent(Section::Chunks));
        }
        Ok(Chunk {
            document: record.document,
            text: record.text(&self.view)?,
            start: record.start,
            end: record.end,
            page: record.page,
            headings: self.view.text(Section::Headings, record.heading.into(), record.heading_length.into())?,
        })
    }

    /// The name of a chunk in answers, as [`Chunk::id`] has it.
    ///
    /// # Errors
    /// As [`Self::chunk`].
    pub fn chunk_id(&self, number: u32) -> Result<String> {
        let chunk = self.chunk(number)?;
        Ok(chunk.id(&self.document(chunk.document)?.uri))
    }

    pub(super) fn chunk_record(&self, number: u32) -> Result<ChunkRecord> {
        self.require_number(Section::Chunks, number, self.len())?;
        ChunkRecord::of(&self.view, number)
    }

    fn require_number(&self, section: Section, number: u32, count: usize) -> Result<()> {
        if (number as usize) < count {
            return Ok(());
        }
        let path = self.view.path().display();
        Err(Error::new(Code::NotFound, format!("{path}: no number {number} in `{}`; it holds {count}", section.name())))
    }
}

/// A chunk without a page.
pub(super) const NO_PAGE: u32 = u32::MAX;

/// One record of [`Section::Chunks`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkRecord {
    /// Where its text begins in [`Section::Texts`].
    pub(super) text: u64,
    /// Its first byte in the document's text.
    pub(super) start: u64,
    /// The byte after its last.
    pub(super) end: u64,
    /// Bytes of its text.
    pub(super) length: u32,
    /// Number of its document.
    pub(super) document: u32,
    /// The page on which it starts, if it has one.
    pub(super) page: Option<u32>,
    /// Where its headings begin in [`Section::Headings`].
    pub(super) heading: u32,
    /// Bytes of its headings.
    pub(super) heading_length: u32,
    /// Bytes that its text takes packed; 0 where it stands as it is.
    pub(super) packed: u32,
}

impl ChunkRecord {
    /// That of a chunk in a file.
    pub(super) fn of(view: &View, chunk: u32) -> Result<Self> {
        let length = CHUNK_RECORD as u64;
        view.bytes(Section::Chunks, u64::from(chunk) * length, length).map(Self::decode)
    }

    /// Reads it.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self {
            text: u64_at(bytes, 0),
            start: u64_at(bytes, 8),
            end: u64_at(bytes, 16),
            length: u32_at(bytes, 24),
            document: u32_at(bytes, 28),
            page: Some(u32_at(bytes, 32)).filter(|&page| page != NO_PAGE),
            heading: u32_at(bytes, 36),
            heading_length: u32_at(bytes, 40),
            packed: u32_at(bytes, 44),
        }
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let long = [self.text, self.start, self.end].map(u64::to_le_bytes);
        let page = self.page.unwrap_or(NO_PAGE);
        let short = [self.length, self.document, page, self.heading, self.heading_length, self.packed].map(u32::to_le_bytes);
        [long.as_flattened(), short.as_flattened()].concat()
    }

    /// The text of its chunk.
    pub(super) fn text<'a>(&self, view: &'a View) -> Result<Cow<'a, str>> {
        if self.packed == 0 {
            return view.text(Section::Texts, self.text, self.length.into()).map(Cow::Borrowed);
        }
        let bytes = view.unpacked(Section::Texts, self.text, self.packed.into(), self.length)?;
        String::from_utf8(bytes).map(Cow::Owned).map_err(|_| view.inconsistent(Section::Texts))
    }
}
