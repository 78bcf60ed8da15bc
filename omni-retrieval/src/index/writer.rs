//! Collects documents and chunks in memory (about 400 bytes and the text a chunk), then writes the file in one go.
//!
//! The bytes depend on what was pushed and in which order, on nothing else: no time, no path, no thread, no hash order.
//! They go to a temporary file beside the target, which is synced and then renamed over it: whoever is killed at any
//! moment leaves the old file whole. What a killed writer leaves behind is removed by the next one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::arrange::EXACT_UP_TO;
use super::facets::Facets;
use super::format::{BLOCK, MAX_DIMENSIONS, ROW_ALIGNMENT, SUPERBLOCK, Superblock, without_digest};
use super::lexical::Postings;
use super::packing::pack;
use super::plan::Plan;
use super::quantised::{Rows, checked};
use super::record::{ChunkRecord, NO_PAGE};
use super::rotation::Rotation;
use super::section::{Section, Sections};
use super::tune::tune;
use super::vectors::Vectors;
use super::view::View;
use super::{Chunk, Document, Manifest};
use crate::cpu::Kernel;
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::replace::replace;

/// Collects documents and chunks, then writes the file whole or not at all.
pub struct Writer {
    manifest: Manifest,
    postings: Postings,
    facets: Facets,
    documents: u32,
    /// Of the last document.
    title: String,
    sections: Sections,
    rows: Rows,
    exact_up_to: usize,
    headings: HashMap<String, (u32, u32)>,
    chunks: u32,
}

impl Writer {
    /// Begins an index.
    pub fn new(manifest: Manifest) -> Self {
        Self {
            postings: Postings::new(manifest.lexical),
            facets: Facets::default(),
            documents: 0,
            title: String::new(),
            sections: Sections::default(),
            rows: Rows::of(manifest.dimensions.next_multiple_of(ROW_ALIGNMENT), []),
            exact_up_to: EXACT_UP_TO,
            headings: HashMap::new(),
            chunks: 0,
            manifest,
        }
    }

    /// Up to how many chunks every vector is scored; above, vectors are divided into clusters, of which a search probes
    /// the nearest. By default 20,000.
    #[must_use]
    pub fn exact_up_to(mut self, chunks: usize) -> Self {
        self.exact_up_to = chunks;
        self
    }

    /// Adds a document and says its number.
    pub fn push_document(&mut self, document: Document) -> u32 {
        let number = self.documents;
        self.document_record();
        self.facets.push_document(&document);
        // Strings, numbers and a sorted map of strings always serialise.
        let json = serde_json::to_vec(&document).unwrap_or_default();
        self.sections[Section::Records].extend_from_slice(&json);
        self.documents += 1;
        self.title = document.title;
        number
    }

    /// Adds a chunk of the last document with its vector, and says its number. It is found by the words of its text, of
    /// its headings, and of the document's title where that is not the outermost heading.
    ///
    /// # Errors
    /// The vector has another length than the manifest says or holds a NaN or an infinity, the document is not the last
    /// one that was pushed, or the file would be larger than its format allows.
    pub fn push_chunk(&mut self, chunk: &Chunk<'_>, vector: &[f32]) -> Result<u32> {
        let vector = checked(vector, self.manifest.dimensions, "text")?;
        if chunk.document.checked_add(1) != Some(self.documents) {
            let message = format!(
                "chunk: belongs to document {}, not to the last one pushed; push documents one after the other",
                chunk.document
            );
            return Err(Error::bad_request(message));
        }
        let too_large = |what| Error::bad_request(format!("index: {what}; split the documents into several indexes"));
        let number = self.chunks;
        let length = u32::try_from(chunk.text.len()).map_err(|_| too_large("a chunk of more than 4 GiB"))?;
        let next =
            number.checked_add(1).filter(|&next| next < u32::MAX).ok_or_else(|| too_large("more than 4 billion chunks"))?;
        let title = if chunk.is_headed(&self.title) { "" } else { &self.title };
        self.postings.push(&[title, chunk.headings, &chunk.text]);
        let (heading, heading_length) = self.heading(chunk.headings).ok_or_else(|| too_large("more than 4 GiB of headings"))?;

        self.facets.push_chunk(chunk.headings, chunk.page.filter(|&page| page != NO_PAGE));
        let record = ChunkRecord {
            text: self.sections[Section::Texts].len() as u64,
            start: chunk.start,
            end: chunk.end,
            length,
            document: chunk.document,
            page: chunk.page,
            heading,
            heading_length,
            packed: 0,
        };
        self.sections[Section::Chunks].extend_from_slice(&record.encode());
        self.sections[Section::Texts].extend_from_slice(chunk.text.as_bytes());
        self.rows.push(&vector);
        self.chunks = next;
        Ok(number)
    }

    /// Writes the file at `path` (temporary file, fsync, rename) and says its digest, 64 hex digits.
    ///
    /// # Errors
    /// The disk is full or the folder cannot be written; the old file is still whole.
    pub fn finish(mut self, path: &Path) -> Result<String> {
        if self.manifest.dimensions == 0 || self.manifest.dimensions > MAX_DIMENSIONS {
            let message = format!("manifest: {} dimensions; an index holds 1 to {MAX_DIMENSIONS}", self.manifest.dimensions);
            return Err(Error::bad_request(message));
        }
        self.document_record();
        self.manifest.labelled = self.facets.is_labelled();
        let mut sections = self.sections;
        let (terms, total_length) = self.postings.finish(&mut sections)?;
        pack(&mut sections);
        sections[Section::Manifest] =
            serde_json::to_vec(&self.manifest).map_err(|cause| Error::internal("manifest: not valid JSON").caused_by(cause))?;
        let kernel = Kernel::choose()?;
        let plan = self.rows.arrange(self.exact_up_to, kernel, &mut sections);
        sections[Section::Facets] = self.facets.finish()?;
        sections[Section::Checksums] = checksums(&sections);

        let mut superblock = Superblock {
            chunks: self.chunks,
            documents: self.documents,
            terms,
            dimensions: self.manifest.dimensions as u32,
            total_length,
            checksums_crc: crc32c::crc32c(&sections[Section::Checksums]),
            ..Superblock::default()
        };
        superblock.place(|section| sections[section].len() as u64);
        replace(path, |file| {
            write(file, &superblock, &sections)?;
            if plan.coded {
                let plan = tuned(file, path, kernel).map_err(std::io::Error::other)?;
                sections[Section::Plan] = plan.encode();
                sections[Section::Checksums] = Vec::new();
                sections[Section::Checksums] = checksums(&sections);
                superblock.checksums_crc = crc32c::crc32c(&sections[Section::Checksums]);
                rewrite(file, &superblock, &sections)?;
            }
            seal(file, superblock, &sections)
        })
        .map_err(|cause| Error::io(path, cause))
    }

    /// Where the next document begins, or, after the last, where everything ends.
    fn document_record(&mut self) {
        let record = self.sections[Section::Records].len() as u64;
        let documents = &mut self.sections[Section::Documents];
        documents.extend_from_slice(&record.to_le_bytes());
        documents.extend_from_slice(&self.chunks.to_le_bytes());
        documents.extend_from_slice(&[0; 4]);
    }

    fn heading(&mut self, headings: &str) -> Option<(u32, u32)> {
        if let Some(&place) = self.headings.get(headings) {
            return Some(place);
        }
        let section = &mut self.sections[Section::Headings];
        let place = (u32::try_from(section.len()).ok()?, u32::try_from(headings.len()).ok()?);
        section.extend_from_slice(headings.as_bytes());
        self.headings.insert(headings.to_owned(), place);
        Some(place)
    }
}

/// One CRC32C a block, over all sections (the checksums themselves are still empty here).
fn checksums(sections: &Sections) -> Vec<u8> {
    let blocks: Vec<&[u8]> = sections.iter().flat_map(|section| section.chunks(BLOCK as usize)).collect();
    let crcs: Vec<[u8; 4]> = blocks.into_par_iter().map(|block| crc32c::crc32c(block).to_le_bytes()).collect();
    crcs.concat()
}

/// Writes everything but the digest.
fn write(file: &mut File, superblock: &Superblock, sections: &Sections) -> std::io::Result<()> {
    file.write_all(&superblock.encode())?;
    each(superblock, sections, |bytes| file.write_all(bytes))
}

/// Tries the settings of a search on the file as it stands, in which every chunk must have its vector.
fn tuned(file: &File, path: &Path, kernel: Kernel) -> Result<Plan> {
    let view = View::of(file, path)?;
    let rotation = Rotation::new(view.superblock().stride());
    let vectors = Vectors::of(&view, kernel, &rotation)?;
    vectors.require_all()?;
    tune(&vectors)
}

/// Writes what tuning changed.
fn rewrite(file: &mut File, superblock: &Superblock, sections: &Sections) -> std::io::Result<()> {
    for section in [Section::Plan, Section::Checksums] {
        file.seek(SeekFrom::Start(superblock.extent(section).offset))?;
        file.write_all(&sections[section])?;
    }
    Ok(())
}

/// Writes the superblock with the digest of everything, and says it.
fn seal(file: &mut File, mut superblock: Superblock, sections: &Sections) -> std::io::Result<String> {
    let mut hash = Sha256::new().chain_update(without_digest(&superblock.encode()));
    each(&superblock, sections, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    superblock.digest.copy_from_slice(&hash.finalize());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&superblock.encode())?;
    Ok(hex(&superblock.digest))
}

/// Goes over everything behind the superblock, padding included.
fn each(superblock: &Superblock, sections: &Sections, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut end = SUPERBLOCK as u64;
    for entry in &superblock.table {
        take(&vec![0; (entry.extent.offset - end) as usize])?;
        take(entry.section().map(|section| sections[section].as_slice()).unwrap_or_default())?;
        end = entry.extent.end();
    }
    Ok(())
}
