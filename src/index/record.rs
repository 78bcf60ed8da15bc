//! Documents and chunks as they are read back.

use std::borrow::Cow;

use super::format::{CHUNK_RECORD, DOCUMENT_RECORD, NO_PAGE, u32_at, u64_at};
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
        self.view.require_whole()?;
        let record = self.record(Section::Documents, DOCUMENT_RECORD, 2 * DOCUMENT_RECORD, number, self.document_count())?;
        let (start, end) = (u64_at(record, 0), u64_at(record, DOCUMENT_RECORD as usize));
        let stored = end.checked_sub(start).ok_or_else(|| self.view.inconsistent(Section::Documents))?;
        let json = match u32_at(record, 12) {
            0 => Cow::Borrowed(self.view.bytes(Section::Records, start, stored)?),
            length => self.view.unpacked(Section::Records, start, stored, length)?.into(),
        };
        serde_json::from_slice(&json).map_err(|cause| self.view.inconsistent(Section::Records).caused_by(cause))
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
        let record = self.record(Section::Chunks, CHUNK_RECORD, CHUNK_RECORD, number, self.len())?;
        let document = u32_at(record, 28);
        if document as usize >= self.document_count() {
            return Err(self.view.inconsistent(Section::Chunks));
        }
        Ok(Chunk {
            document,
            text: text_at(&self.view, record)?,
            start: u64_at(record, 8),
            end: u64_at(record, 16),
            page: Some(u32_at(record, 32)).filter(|&page| page != NO_PAGE),
            headings: self.view.text(Section::Headings, u32_at(record, 36).into(), u32_at(record, 40).into())?,
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

    pub(super) fn record(&self, section: Section, step: u64, length: u64, number: u32, count: usize) -> Result<&[u8]> {
        if number as usize >= count {
            let path = self.view.path().display();
            return Err(Error::new(
                Code::NotFound,
                format!("{path}: no number {number} in `{}`; it holds {count}", section.name()),
            ));
        }
        self.view.bytes(section, u64::from(number) * step, length)
    }
}

/// The text of a chunk.
pub(super) fn text_of(view: &View, chunk: u32) -> Result<Cow<'_, str>> {
    text_at(view, view.bytes(Section::Chunks, u64::from(chunk) * CHUNK_RECORD, CHUNK_RECORD)?)
}

/// The text that the record of a chunk tells of.
fn text_at<'a>(view: &'a View, record: &[u8]) -> Result<Cow<'a, str>> {
    let (start, length) = (u64_at(record, 0), u32_at(record, 24));
    match u32_at(record, 44) {
        0 => view.text(Section::Texts, start, length.into()).map(Cow::Borrowed),
        stored => {
            let bytes = view.unpacked(Section::Texts, start, stored.into(), length)?;
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| view.inconsistent(Section::Texts))
        }
    }
}
