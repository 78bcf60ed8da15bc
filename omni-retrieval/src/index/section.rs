//! The sections of an index file: what each holds, its number in the section table, and where it stands.

use std::ops::{Index, IndexMut};

use super::format::BLOCK;

/// A section of more blocks than this is large.
const MANY: u64 = 16;

/// The section says something without which the others would be misread.
pub(super) const REQUIRED: u32 = 1;

/// A part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// The manifest, as JSON.
    Manifest,
    /// CRC32C of every block of every other section, in file order.
    Checksums,
    /// How vectors are searched: counts, tuned settings.
    Plan,
    /// Rows of `i8`: the middle of each cluster, and their scales.
    Centroids,
    /// Where each cluster lies in [`Self::Codes`], or in [`Self::Blocks`] where there are none.
    Clusters,
    /// What the packed ones among [`Self::Records`] and [`Self::Texts`] have in common. Files without it have none packed.
    Dictionary,
    /// Codes and numbers of the vectors, cluster by cluster. The first files of format 1 have them in [`Self::Blocks`].
    Codes,
    /// Rows of the vectors, cluster by cluster, and what stands in no other section of them.
    Blocks,
    /// The place of each chunk's vector.
    Places,
    /// Fixed records of the sorted terms.
    Lexicon,
    /// The terms themselves, end to end.
    Terms,
    /// Terms in each chunk.
    Lengths,
    /// Where each term occurs.
    Postings,
    /// Fixed records of the chunks.
    Chunks,
    /// Fixed records of the documents.
    Documents,
    /// Values of fields and where they occur: what filters, labels and tombstones read.
    Facets,
    /// The documents, as JSON, end to end, each packed where that is smaller.
    Records,
    /// Heading paths, each once, end to end.
    Headings,
    /// Texts of the chunks, end to end, each packed where that is smaller.
    Texts,
}

/// What is fixed about a section. A row is never changed and a kind never used again: files live longer than code.
pub(super) struct Kind {
    pub(super) section: Section,
    /// Its number in the section table.
    pub(super) kind: u32,
    /// What messages call it.
    name: &'static str,
    /// Its offset is a multiple of this.
    alignment: u32,
}

impl Kind {
    /// What the offset of `length` bytes of it is a multiple of: large sections begin where a block does, so that no block
    /// lies in two pieces of storage.
    pub(super) fn alignment(&self, length: u64) -> u32 {
        if length > MANY * BLOCK { BLOCK as u32 } else { self.alignment }
    }
}

/// All sections, in the order in which the writer lays them out: what opening and every query touch stands in front, what
/// only final hits touch at the end. Readers take any order.
pub(super) const KINDS: [Kind; 19] = [
    kind(Section::Manifest, 1, "manifest", 64),
    kind(Section::Checksums, 2, "checksums", 64),
    kind(Section::Plan, 3, "plan", 64),
    kind(Section::Centroids, 4, "centroids", 64),
    kind(Section::Clusters, 5, "clusters", 64),
    kind(Section::Dictionary, 19, "dictionary", 64),
    kind(Section::Codes, 18, "codes", 4096),
    kind(Section::Blocks, 6, "blocks", 4096),
    kind(Section::Places, 7, "places", 64),
    kind(Section::Lexicon, 8, "lexicon", 64),
    kind(Section::Terms, 9, "terms", 64),
    kind(Section::Lengths, 10, "lengths", 64),
    kind(Section::Postings, 11, "postings", 64),
    kind(Section::Chunks, 12, "chunks", 64),
    kind(Section::Documents, 13, "documents", 64),
    kind(Section::Facets, 64, "facets", 64),
    kind(Section::Records, 15, "records", 64),
    kind(Section::Headings, 16, "headings", 64),
    kind(Section::Texts, 17, "texts", 64),
];

const fn kind(section: Section, kind: u32, name: &'static str, alignment: u32) -> Kind {
    Kind { section, kind, name, alignment }
}

impl Section {
    /// All of them, in the order of [`KINDS`].
    pub(super) const ALL: [Self; KINDS.len()] = {
        let mut all = [Self::Manifest; KINDS.len()];
        let mut at = 0;
        while at < KINDS.len() {
            all[at] = KINDS[at].section;
            at += 1;
        }
        all
    };

    /// What messages call it.
    pub(super) fn name(self) -> &'static str {
        KINDS[self as usize].name
    }
}

/// The bytes of each section while a file is made.
#[derive(Default)]
pub(super) struct Sections([Vec<u8>; Section::ALL.len()]);

impl Sections {
    /// All of them, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.iter()
    }
}

impl Index<Section> for Sections {
    type Output = Vec<u8>;

    fn index(&self, section: Section) -> &Vec<u8> {
        &self.0[section as usize]
    }
}

impl IndexMut<Section> for Sections {
    fn index_mut(&mut self, section: Section) -> &mut Vec<u8> {
        &mut self.0[section as usize]
    }
}

/// Where a section lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// First byte in the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) length: u64,
}

impl Extent {
    /// The byte after the last.
    pub(super) fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// How many checksums cover it.
    pub(super) fn blocks(self) -> u64 {
        self.length.div_ceil(BLOCK)
    }
}

/// One row of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of a [`Section`], or one that only newer services know.
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) alignment: u32,
    pub(super) extent: Extent,
}

impl Entry {
    /// The section, if this code knows it.
    pub(super) fn section(&self) -> Option<Section> {
        KINDS.iter().find(|known| known.kind == self.kind).map(|known| known.section)
    }

    /// Checksums cover every section but their own.
    pub(super) fn is_checked(&self) -> bool {
        self.section() != Some(Section::Checksums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_where_their_section_says() {
        for (number, (section, known)) in Section::ALL.into_iter().zip(&KINDS).enumerate() {
            assert_eq!((section as usize, known.section), (number, section));
        }
    }

    #[test]
    fn no_kind_is_used_twice() {
        let mut kinds: Vec<u32> = KINDS.iter().map(|known| known.kind).collect();
        kinds.sort_unstable();
        assert!(kinds.is_sorted_by(|a, b| a < b));
    }
}
