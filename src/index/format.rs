//! The layout of an index file: superblock, section table, fixed records. Bytes in, values out; no file is touched here.
//!
//! Everything is little endian. Magic, version and the place of the superblock's checksum never change, so that any
//! reader can tell a damaged file from one of another version. `docs/index-format.md` draws the whole file.

use std::fmt;

/// The first bytes of every index.
pub(super) const MAGIC: [u8; 8] = *b"OMNI-IDX";

/// The version that this code writes, and the newest that it reads.
pub(super) const VERSION: u32 = 0;

/// Bytes of the superblock.
pub(super) const SUPERBLOCK: usize = 4096;

/// Bytes that one checksum covers.
pub(super) const BLOCK: u64 = 64 * 1024;

/// Most components of a vector; keeps every integer dot product inside 32 bits.
pub(super) const MAX_DIMENSIONS: usize = 16_384;

/// Rows of vectors are padded with zeros to a multiple of this, so that kernels need no tail.
pub(super) const ROW_ALIGNMENT: usize = 64;

/// Bytes of one record of [`Section::Chunks`].
pub(super) const CHUNK_RECORD: u64 = 48;
/// Bytes of one record of [`Section::Documents`]; one more than there are documents ends the last.
pub(super) const DOCUMENT_RECORD: u64 = 24;
/// Bytes of one record of [`Section::Lexicon`]; one more than there are terms ends the last.
pub(super) const TERM_RECORD: u64 = 16;
/// A chunk without a page.
pub(super) const NO_PAGE: u32 = u32::MAX;

const DIGEST_AT: usize = 64;
const TABLE_AT: usize = 128;
const TABLE_ENTRY: usize = 24;
const CRC_AT: usize = SUPERBLOCK - 4;

/// A part of the file. The order is that of the file: what opening and every query touch stands in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// The manifest, as JSON.
    Manifest,
    /// CRC32C of every block of every other section, in file order.
    Checksums,
    /// Fixed records of the sorted terms.
    Lexicon,
    /// The terms themselves, end to end.
    Terms,
    /// Terms in each chunk.
    Lengths,
    /// The scale of each vector.
    Scales,
    /// Rows of `i8`.
    Vectors,
    /// Where each term occurs.
    Postings,
    /// Fixed records of the chunks.
    Chunks,
    /// Fixed records of the documents.
    Documents,
    /// The documents' `uri`s, end to end: what a prefix filter reads.
    Uris,
    /// The documents, as JSON, end to end.
    Records,
    /// Heading paths, each once, end to end.
    Headings,
    /// Texts of the chunks, end to end.
    Texts,
}

impl Section {
    /// All of them, in file order.
    pub(super) const ALL: [Self; 14] = [
        Self::Manifest,
        Self::Checksums,
        Self::Lexicon,
        Self::Terms,
        Self::Lengths,
        Self::Scales,
        Self::Vectors,
        Self::Postings,
        Self::Chunks,
        Self::Documents,
        Self::Uris,
        Self::Records,
        Self::Headings,
        Self::Texts,
    ];

    /// What messages call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Checksums => "checksums",
            Self::Lexicon => "lexicon",
            Self::Terms => "terms",
            Self::Lengths => "lengths",
            Self::Scales => "scales",
            Self::Vectors => "vectors",
            Self::Postings => "postings",
            Self::Chunks => "chunks",
            Self::Documents => "documents",
            Self::Uris => "uris",
            Self::Records => "records",
            Self::Headings => "headings",
            Self::Texts => "texts",
        }
    }

    /// Its offset is a multiple of this.
    pub(super) fn alignment(self) -> u64 {
        if self == Self::Vectors { 4096 } else { 64 }
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

/// The first 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) file_length: u64,
    pub(super) chunks: u32,
    pub(super) documents: u32,
    pub(super) terms: u32,
    pub(super) dimensions: u32,
    /// Terms of all chunks together: the mean length of a chunk is this by `chunks`.
    pub(super) total_length: u64,
    /// SHA-256 of the file with this field and the superblock's checksum zeroed.
    pub(super) digest: [u8; 32],
    /// CRC32C of [`Section::Checksums`].
    pub(super) checksums_crc: u32,
    pub(super) sections: [Extent; Section::ALL.len()],
}

/// Why the first 4 KiB cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    NotAnIndex,
    Newer(u32),
    Damaged,
    Truncated { expected: u64, actual: u64 },
    Inconsistent(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REMEDY: &str = "copy it again or rebuild it with index-builder";
        match self {
            Self::NotAnIndex => write!(f, "not an Omni-LLM index; build one with index-builder"),
            Self::Newer(version) => write!(
                f,
                "written in format {version}, this service reads up to {VERSION}; update the service or rebuild the file with this version's index-builder"
            ),
            Self::Damaged => write!(f, "damaged in the superblock; {REMEDY}"),
            Self::Truncated { expected, actual } if actual < expected => {
                write!(f, "truncated, expected {expected} bytes, has {actual}; {REMEDY}")
            }
            Self::Truncated { expected, actual } => write!(f, "too long, expected {expected} bytes, has {actual}; {REMEDY}"),
            Self::Inconsistent(what) => write!(f, "inconsistent superblock, {what}; {REMEDY}"),
        }
    }
}

impl Superblock {
    /// Lays the sections out, in order, behind the superblock.
    pub(super) fn place(&mut self, lengths: [u64; Section::ALL.len()]) {
        let mut end = SUPERBLOCK as u64;
        for (section, length) in Section::ALL.into_iter().zip(lengths) {
            let offset = end.next_multiple_of(section.alignment());
            self.sections[section as usize] = Extent { offset, length };
            end = offset + length;
        }
        self.file_length = end;
    }

    /// Where `section` lies.
    pub(super) fn extent(&self, section: Section) -> Extent {
        self.sections[section as usize]
    }

    /// Bytes of one row of vectors.
    pub(super) fn stride(&self) -> usize {
        (self.dimensions as usize).next_multiple_of(ROW_ALIGNMENT)
    }

    /// Number of checksums: every block of every section but the checksums themselves.
    pub(super) fn blocks(&self) -> u64 {
        self.first_block(Section::Texts) + self.extent(Section::Texts).blocks()
    }

    /// The checksum of the first block of `section`.
    pub(super) fn first_block(&self, section: Section) -> u64 {
        let before = Section::ALL.into_iter().take(section as usize).filter(|&other| other != Section::Checksums);
        before.map(|other| self.extent(other).blocks()).fold(0, u64::saturating_add)
    }

    /// Its bytes, checksum included.
    pub(super) fn encode(&self) -> [u8; SUPERBLOCK] {
        let mut bytes = [0; SUPERBLOCK];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &(Section::ALL.len() as u32).to_le_bytes());
        put(&mut bytes, 16, &self.file_length.to_le_bytes());
        put(&mut bytes, 24, &self.total_length.to_le_bytes());
        put(&mut bytes, 32, &self.chunks.to_le_bytes());
        put(&mut bytes, 36, &self.documents.to_le_bytes());
        put(&mut bytes, 40, &self.terms.to_le_bytes());
        put(&mut bytes, 44, &self.dimensions.to_le_bytes());
        put(&mut bytes, 48, &self.checksums_crc.to_le_bytes());
        put(&mut bytes, DIGEST_AT, &self.digest);
        for section in Section::ALL {
            let at = TABLE_AT + section as usize * TABLE_ENTRY;
            let extent = self.extent(section);
            put(&mut bytes, at, &(section as u32).to_le_bytes());
            put(&mut bytes, at + 4, &(section.alignment() as u32).to_le_bytes());
            put(&mut bytes, at + 8, &extent.offset.to_le_bytes());
            put(&mut bytes, at + 16, &extent.length.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    /// Reads the start of a file of `file_length` bytes and checks all that can be checked without reading on.
    pub(super) fn decode(bytes: &[u8], file_length: u64) -> Result<Self, Refusal> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Refusal::NotAnIndex);
        }
        if bytes.len() < SUPERBLOCK {
            return Err(Refusal::Truncated { expected: SUPERBLOCK as u64, actual: file_length });
        }
        if crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return Err(Refusal::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(Refusal::Newer(version));
        }
        if u32_at(bytes, 12) as usize != Section::ALL.len() {
            return Err(Refusal::Inconsistent("number of sections"));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[DIGEST_AT..DIGEST_AT + 32]);
        let mut superblock = Self {
            file_length: u64_at(bytes, 16),
            total_length: u64_at(bytes, 24),
            chunks: u32_at(bytes, 32),
            documents: u32_at(bytes, 36),
            terms: u32_at(bytes, 40),
            dimensions: u32_at(bytes, 44),
            checksums_crc: u32_at(bytes, 48),
            digest,
            sections: [Extent::default(); Section::ALL.len()],
        };
        for section in Section::ALL {
            let at = TABLE_AT + section as usize * TABLE_ENTRY;
            if u32_at(bytes, at) != section as u32 || u64::from(u32_at(bytes, at + 4)) != section.alignment() {
                return Err(Refusal::Inconsistent("section table"));
            }
            superblock.sections[section as usize] = Extent { offset: u64_at(bytes, at + 8), length: u64_at(bytes, at + 16) };
        }
        superblock.check(file_length)?;
        Ok(superblock)
    }

    fn check(&self, file_length: u64) -> Result<(), Refusal> {
        if self.file_length != file_length {
            return Err(Refusal::Truncated { expected: self.file_length, actual: file_length });
        }
        // Sections stand end to end with nothing but alignment between them, so bounds and overlap need one comparison.
        let mut end = SUPERBLOCK as u64;
        for section in Section::ALL {
            let extent = self.extent(section);
            if extent.offset != end.next_multiple_of(section.alignment()) || extent.length > file_length {
                return Err(Refusal::Inconsistent("section bounds"));
            }
            end = extent.end();
            if end > file_length {
                return Err(Refusal::Inconsistent("section bounds"));
            }
        }
        if end != file_length {
            return Err(Refusal::Inconsistent("section bounds"));
        }
        if self.dimensions == 0 || self.dimensions as usize > MAX_DIMENSIONS {
            return Err(Refusal::Inconsistent("dimensions"));
        }
        let (chunks, documents, terms) = (u64::from(self.chunks), u64::from(self.documents), u64::from(self.terms));
        let expected = [
            (Section::Checksums, self.blocks() * 4),
            (Section::Lexicon, (terms + 1) * TERM_RECORD),
            (Section::Lengths, chunks * 4),
            (Section::Scales, chunks * 4),
            (Section::Vectors, chunks * self.stride() as u64),
            (Section::Chunks, chunks * CHUNK_RECORD),
            (Section::Documents, (documents + 1) * DOCUMENT_RECORD),
        ];
        if expected.into_iter().any(|(section, length)| self.extent(section).length != length) {
            return Err(Refusal::Inconsistent("section sizes"));
        }
        Ok(())
    }
}

/// The bytes that the digest covers: the superblock with its digest and checksum zeroed.
pub(super) fn without_digest(superblock: &[u8]) -> Vec<u8> {
    let mut bytes = superblock.to_vec();
    for (at, byte) in bytes.iter_mut().enumerate() {
        if (DIGEST_AT..DIGEST_AT + 32).contains(&at) || at >= CRC_AT {
            *byte = 0;
        }
    }
    bytes
}

/// The `u32` at byte `at`; 0 where there is none.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |value| u32::from_le_bytes(*value))
}

/// The `u64` at byte `at`; 0 where there is none.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |value| u64::from_le_bytes(*value))
}

fn put(bytes: &mut [u8; SUPERBLOCK], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        let mut superblock = Superblock {
            file_length: 0,
            chunks: 3,
            documents: 2,
            terms: 5,
            dimensions: 65,
            total_length: 17,
            digest: [7; 32],
            checksums_crc: 9,
            sections: [Extent::default(); Section::ALL.len()],
        };
        superblock.place([20, 13 * 4, 96, 40, 12, 12, 3 * 128, 30, 144, 72, 12, 80, 0, 100]);
        superblock.sections[Section::Checksums as usize].length = superblock.blocks() * 4;
        let lengths = superblock.sections.map(|extent| extent.length);
        superblock.place(lengths);
        superblock
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let superblock = sample();
        assert_eq!(Superblock::decode(&superblock.encode(), superblock.file_length), Ok(superblock));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let superblock = sample();
        for bit in 0..SUPERBLOCK * 8 {
            let mut bytes = superblock.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&bytes, superblock.file_length).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let superblock = sample();
        let text = |bytes: &[u8], length| Superblock::decode(bytes, length).unwrap_err().to_string();
        assert_eq!(text(b"", 0), "not an Omni-LLM index; build one with index-builder");
        assert_eq!(
            text(&superblock.encode(), 10_000),
            format!(
                "too long, expected {} bytes, has 10000; copy it again or rebuild it with index-builder",
                superblock.file_length
            )
        );
        let mut newer = superblock.encode();
        newer[8] = 3;
        let crc = crc32c::crc32c(&newer[..CRC_AT]);
        put(&mut newer, CRC_AT, &crc.to_le_bytes());
        assert_eq!(
            text(&newer, superblock.file_length),
            "written in format 3, this service reads up to 0; update the service or rebuild the file with this version's index-builder"
        );
    }
}
