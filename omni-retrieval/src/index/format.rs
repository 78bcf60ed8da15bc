//! The layout of an index file: superblock, section table, fixed records. Bytes in, values out; no file is touched here.
//!
//! Everything is little endian. Magic, version and the place of the superblock's checksum never change, so that any
//! reader can tell a damaged file from one of another version. Inside version 1 only sections are added: a reader skips
//! those that it does not know, unless they are marked as required. `docs/index-format.md` draws the whole file.

use std::fmt;
use std::ops::Range;

use super::section::{Entry, Extent, KINDS, REQUIRED, Section};
use crate::words::REVISION;

/// The first bytes of every index.
pub const MAGIC: [u8; 8] = *b"OMNI-IDX";

/// The version that this code writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;

/// Bytes of the superblock.
pub(super) const SUPERBLOCK: usize = 4096;

/// Bytes that one checksum covers.
pub(super) const BLOCK: u64 = 64 * 1024;

/// Most components of a vector; keeps every integer dot product inside 32 bits.
pub(super) const MAX_DIMENSIONS: usize = 16_384;

/// Rows of vectors are padded with zeros to a multiple of this, so that kernels need no tail.
pub(super) const ROW_ALIGNMENT: usize = 64;

/// Bytes of one record of [`Section::Chunks`].
pub(super) const CHUNK_RECORD: usize = 48;
/// Bytes of one record of [`Section::Documents`]; one more than there are documents ends the last.
pub(super) const DOCUMENT_RECORD: u64 = 16;
/// Bytes of one record of [`Section::Lexicon`]; one more than there are terms ends the last.
pub(super) const TERM_RECORD: u64 = 16;

const DIGEST_AT: usize = 64;
const TABLE_AT: usize = 128;
const TABLE_ENTRY: usize = 32;
const CRC_AT: usize = SUPERBLOCK - 4;
/// Most entries that fit between the table's place and the checksum.
const MAX_SECTIONS: usize = (CRC_AT - TABLE_AT) / TABLE_ENTRY;
/// Offsets are multiples of one power of two up to this.
const MAX_ALIGNMENT: u32 = 1 << 20;

/// The first 4 KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// The section table, in file order; sections without bytes have no entry.
    pub(super) table: Vec<Entry>,
}

/// What helps where bytes are not what they were.
pub(super) const REMEDY: &str = "copy it again or rebuild it with index-builder";

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    NotAnIndex,
    Older(u32),
    Newer(u32),
    Unknown(u32),
    /// Its words were written by these rules.
    Words(u32),
    Damaged,
    Truncated {
        expected: u64,
        actual: u64,
    },
    Inconsistent(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UPDATE: &str = "update it or rebuild the file with this version's index-builder";
        match self {
            Self::NotAnIndex => write!(f, "not an Omni-LLM index; build one with index-builder"),
            Self::Older(version) => write!(
                f,
                "written in format {version}, which came before the first stable one; rebuild it with this version's index-builder"
            ),
            Self::Newer(version) => write!(f, "written in format {version}, this program reads up to {VERSION}; {UPDATE}"),
            Self::Unknown(kind) => write!(f, "needs section {kind}, which this program does not know; {UPDATE}"),
            Self::Words(revision) => {
                write!(f, "words written by revision {revision} of the rules, this program knows up to {REVISION}; {UPDATE}")
            }
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
    /// Lays the sections out behind the superblock, in the order of [`KINDS`]; `length` says the bytes of each.
    pub(super) fn place(&mut self, length: impl Fn(Section) -> u64) {
        let mut end = SUPERBLOCK as u64;
        self.table.clear();
        for (known, length) in KINDS.iter().map(|known| (known, length(known.section))).filter(|(_, length)| *length > 0) {
            let alignment = known.alignment(length);
            let offset = end.next_multiple_of(alignment.into());
            self.table.push(Entry { kind: known.kind, flags: REQUIRED, alignment, extent: Extent { offset, length } });
            end = offset + length;
        }
        self.file_length = end;
    }

    /// Where `section` lies; nowhere, with no bytes, if the file has none.
    pub(super) fn extent(&self, section: Section) -> Extent {
        self.table.iter().find(|entry| entry.kind == KINDS[section as usize].kind).map_or(Extent::default(), |entry| entry.extent)
    }

    /// Bytes of one row of vectors.
    pub(super) fn stride(&self) -> usize {
        (self.dimensions as usize).next_multiple_of(ROW_ALIGNMENT)
    }

    /// Number of checksums.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks_before(self.table.len())
    }

    /// The checksum of the first block of `section`.
    pub(super) fn first_block(&self, section: Section) -> u64 {
        let number = self.table.iter().position(|entry| entry.kind == KINDS[section as usize].kind);
        self.blocks_before(number.unwrap_or(self.table.len()))
    }

    /// Checksums of the first `entries` of the table.
    pub(super) fn blocks_before(&self, entries: usize) -> u64 {
        let before = self.table.iter().take(entries).filter(|entry| entry.is_checked());
        before.map(|entry| entry.extent.blocks()).fold(0, u64::saturating_add)
    }

    /// Its bytes, checksum included.
    pub(super) fn encode(&self) -> [u8; SUPERBLOCK] {
        let mut bytes = [0; SUPERBLOCK];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &(self.table.len() as u32).to_le_bytes());
        put(&mut bytes, 16, &self.file_length.to_le_bytes());
        put(&mut bytes, 24, &self.total_length.to_le_bytes());
        put(&mut bytes, 32, &self.chunks.to_le_bytes());
        put(&mut bytes, 36, &self.documents.to_le_bytes());
        put(&mut bytes, 40, &self.terms.to_le_bytes());
        put(&mut bytes, 44, &self.dimensions.to_le_bytes());
        put(&mut bytes, 48, &self.checksums_crc.to_le_bytes());
        put(&mut bytes, DIGEST_AT, &self.digest);
        for (number, entry) in self.table.iter().take(MAX_SECTIONS).enumerate() {
            let at = TABLE_AT + number * TABLE_ENTRY;
            put(&mut bytes, at, &entry.kind.to_le_bytes());
            put(&mut bytes, at + 4, &entry.flags.to_le_bytes());
            put(&mut bytes, at + 8, &entry.extent.offset.to_le_bytes());
            put(&mut bytes, at + 16, &entry.extent.length.to_le_bytes());
            put(&mut bytes, at + 24, &entry.alignment.to_le_bytes());
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
        match u32_at(bytes, 8) {
            VERSION => {}
            version if version > VERSION => return Err(Refusal::Newer(version)),
            version => return Err(Refusal::Older(version)),
        }
        let sections = u32_at(bytes, 12) as usize;
        if sections > MAX_SECTIONS {
            return Err(Refusal::Inconsistent("number of sections"));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[DIGEST_AT..DIGEST_AT + 32]);
        let entry = |number| {
            let at = TABLE_AT + number * TABLE_ENTRY;
            Entry {
                kind: u32_at(bytes, at),
                flags: u32_at(bytes, at + 4),
                alignment: u32_at(bytes, at + 24),
                extent: Extent { offset: u64_at(bytes, at + 8), length: u64_at(bytes, at + 16) },
            }
        };
        let superblock = Self {
            file_length: u64_at(bytes, 16),
            total_length: u64_at(bytes, 24),
            chunks: u32_at(bytes, 32),
            documents: u32_at(bytes, 36),
            terms: u32_at(bytes, 40),
            dimensions: u32_at(bytes, 44),
            checksums_crc: u32_at(bytes, 48),
            digest,
            table: (0..sections).map(entry).collect(),
        };
        superblock.check(file_length)?;
        Ok(superblock)
    }

    fn check(&self, file_length: u64) -> Result<(), Refusal> {
        if self.file_length != file_length {
            return Err(Refusal::Truncated { expected: self.file_length, actual: file_length });
        }
        // Sections stand end to end with nothing but alignment between them, so bounds and overlap need one comparison.
        let mut end = SUPERBLOCK as u64;
        for (number, entry) in self.table.iter().enumerate() {
            let Entry { kind, flags, alignment, extent } = *entry;
            if entry.section().is_none() && flags & REQUIRED != 0 {
                return Err(Refusal::Unknown(kind));
            }
            if self.table[..number].iter().any(|other| other.kind == kind) {
                return Err(Refusal::Inconsistent("section table"));
            }
            if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
                return Err(Refusal::Inconsistent("section alignment"));
            }
            if extent.length == 0 || extent.length > file_length || extent.offset != end.next_multiple_of(alignment.into()) {
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
            (Section::Chunks, chunks * CHUNK_RECORD as u64),
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

/// The first number of a range that is not `before`, where those that are stand in front; its end where all are.
pub(super) fn first(range: Range<u32>, mut before: impl FnMut(u32) -> crate::error::Result<bool>) -> crate::error::Result<u32> {
    let Range { start: mut low, end: mut high } = range;
    while low < high {
        let middle = low.midpoint(high);
        if before(middle)? { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// The `u32` at byte `at`; 0 where there is none.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |value| u32::from_le_bytes(*value))
}

/// The `u64` at byte `at`; 0 where there is none.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |value| u64::from_le_bytes(*value))
}

/// The `f32` at byte `at`; 0 where there is none or where it is not finite.
pub(super) fn f32_at(bytes: &[u8], at: usize) -> f32 {
    let value = f32::from_bits(u32_at(bytes, at));
    if value.is_finite() { value } else { 0.0 }
}

fn put(bytes: &mut [u8; SUPERBLOCK], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        let mut superblock =
            Superblock { chunks: 3, documents: 2, terms: 5, dimensions: 65, total_length: 17, ..Superblock::default() };
        (superblock.digest, superblock.checksums_crc) = ([7; 32], 9);
        let mut lengths = [20; Section::ALL.len()];
        let fixed = [(Section::Lexicon, 96), (Section::Lengths, 12), (Section::Chunks, 144), (Section::Documents, 48)];
        for (section, length) in fixed {
            lengths[section as usize] = length;
        }
        lengths[Section::Headings as usize] = 0;
        lengths[Section::Blocks as usize] = 2 * BLOCK + 1;
        superblock.place(|section| lengths[section as usize]);
        lengths[Section::Checksums as usize] = superblock.blocks() * 4;
        superblock.place(|section| lengths[section as usize]);
        superblock
    }

    /// `superblock` as bytes, with something changed and the checksum right again.
    fn forged(superblock: &Superblock, change: impl FnOnce(&mut [u8; SUPERBLOCK])) -> [u8; SUPERBLOCK] {
        let mut bytes = superblock.encode();
        change(&mut bytes);
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
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
    fn unknown_sections_are_skipped_unless_they_are_required() {
        let mut superblock = sample();
        let offset = superblock.file_length.next_multiple_of(8);
        superblock.table.push(Entry { kind: 900, flags: 0, alignment: 8, extent: Extent { offset, length: 10 } });
        superblock.file_length = offset + 10;
        let checksums = superblock.blocks() * 4;
        // One more block needs one more checksum; here its padding had room for it.
        let at = superblock.table.iter().position(|entry| !entry.is_checked()).unwrap();
        superblock.table[at].extent.length = checksums;
        let decoded = Superblock::decode(&superblock.encode(), superblock.file_length);
        assert_eq!(decoded.as_ref(), Ok(&superblock));
        superblock.table.last_mut().unwrap().flags = REQUIRED;
        let refused = Superblock::decode(&superblock.encode(), superblock.file_length).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "needs section 900, which this program does not know; update it or rebuild the file with this version's index-builder"
        );
    }

    #[test]
    fn refusals_say_what_to_do() {
        let superblock = sample();
        let text = |bytes: &[u8], length| Superblock::decode(bytes, length).unwrap_err().to_string();
        assert_eq!(text(b"", 0), "not an Omni-LLM index; build one with index-builder");
        assert_eq!(
            text(&superblock.encode(), 10_000_000),
            format!(
                "too long, expected {} bytes, has 10000000; copy it again or rebuild it with index-builder",
                superblock.file_length
            )
        );
        assert_eq!(
            text(&forged(&superblock, |bytes| bytes[8] = 3), superblock.file_length),
            "written in format 3, this program reads up to 1; update it or rebuild the file with this version's index-builder"
        );
        assert_eq!(
            text(&forged(&superblock, |bytes| bytes[8] = 0), superblock.file_length),
            "written in format 0, which came before the first stable one; rebuild it with this version's index-builder"
        );
        let twice = forged(&superblock, |bytes| bytes.copy_within(TABLE_AT..TABLE_AT + 4, TABLE_AT + TABLE_ENTRY));
        assert_eq!(
            text(&twice, superblock.file_length),
            "inconsistent superblock, section table; copy it again or rebuild it with index-builder"
        );
    }
}
