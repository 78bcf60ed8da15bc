//! The mapped file: the only place of the index that maps memory, and the only one that checks checksums.
//!
//! A block is verified when it is first touched, by whichever thread comes first; nobody waits for anybody. Every range
//! is checked against the section table on every call, so that even a file whose checksums were forged, or that changes
//! under the map, leads to an error and never to a read outside the map.
//!
//! What stays outside our reach: if somebody *truncates* the file in place while it is mapped, touching a page past its
//! new end raises SIGBUS, as for every mapped file. `index-builder` never does that (it renames a new file over the old
//! one, whose bytes live as long as somebody maps them), and nobody else should.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Mmap, MmapOptions};
use sha2::{Digest as _, Sha256};

use super::format::{BLOCK, Extent, Refusal, SUPERBLOCK, Section, Superblock, u32_at, without_digest};
use crate::error::{Error, Result};

/// An index file as sections of checked bytes.
pub(super) struct View {
    path: PathBuf,
    map: Mmap,
    superblock: Superblock,
    extents: [Extent; Section::ALL.len()],
    first_block: [u64; Section::ALL.len()],
    /// One bit a block: set once its checksum was right. Relaxed, because a bit publishes nothing but itself.
    checked: Box<[AtomicU64]>,
}

impl View {
    /// Maps the file; reads its superblock and its checksums, nothing else.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fail = |cause| Error::io(path, cause);
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(Error::corrupt(path, Refusal::NotAnIndex));
        }
        let mut start = Vec::with_capacity(SUPERBLOCK);
        (&file).take(SUPERBLOCK as u64).read_to_end(&mut start).map_err(fail)?;
        let superblock = Superblock::decode(&start, metadata.len()).map_err(|refusal| Error::corrupt(path, refusal))?;
        let map = map(&file, superblock.file_length).map_err(fail)?;
        let view = Self {
            path: path.to_owned(),
            map,
            extents: Section::ALL.map(|section| superblock.extent(section)),
            first_block: Section::ALL.map(|section| superblock.first_block(section)),
            checked: (0..superblock.blocks().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            superblock,
        };
        if crc32c::crc32c(view.raw(Section::Checksums)) != view.superblock.checksums_crc {
            return Err(view.damaged(Section::Checksums.name(), 0));
        }
        Ok(view)
    }

    /// The file, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Counts and places.
    pub(super) fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Checked bytes of a section.
    pub(super) fn bytes(&self, section: Section, start: u64, length: u64) -> Result<&[u8]> {
        let whole = self.raw(section);
        let Some(end) = start.checked_add(length).filter(|&end| end <= whole.len() as u64) else {
            return Err(self.inconsistent(section));
        };
        if length > 0 {
            for block in start / BLOCK..=(end - 1) / BLOCK {
                self.check(section, block)?;
            }
        }
        Ok(&whole[start as usize..end as usize])
    }

    /// Checked bytes that are text.
    pub(super) fn text(&self, section: Section, start: u64, length: u64) -> Result<&str> {
        std::str::from_utf8(self.bytes(section, start, length)?).map_err(|_| self.inconsistent(section))
    }

    /// A whole section, checked.
    pub(super) fn section(&self, section: Section) -> Result<&[u8]> {
        self.bytes(section, 0, self.extents[section as usize].length)
    }

    /// The checksums of `section` are right and still its content makes no sense.
    pub(super) fn inconsistent(&self, section: Section) -> Error {
        self.inconsistent_in(section.name())
    }

    /// Reads everything: each block against its checksum, the padding, the digest.
    pub(super) fn verify(&self) -> Result<()> {
        let mut end = SUPERBLOCK;
        for (number, entry) in self.superblock.table.iter().enumerate() {
            let Extent { offset, length } = entry.extent;
            let name = || entry.section().map_or_else(|| entry.kind.to_string(), |section| section.name().to_owned());
            let padding = &self.map[end..offset as usize];
            if padding.iter().any(|&byte| byte != 0) {
                return Err(self.inconsistent_in(&name()));
            }
            end = entry.extent.end() as usize;
            if !entry.is_checked() {
                continue;
            }
            let first = self.superblock.blocks_before(number);
            for block in 0..length.div_ceil(BLOCK) {
                if !self.is_sound(entry.extent, block, first + block) {
                    return Err(self.damaged(&name(), block));
                }
            }
        }
        let start = &self.map[..SUPERBLOCK];
        let again = Superblock::decode(start, self.map.len() as u64).map_err(|refusal| Error::corrupt(&self.path, refusal))?;
        if again != self.superblock || crc32c::crc32c(self.raw(Section::Checksums)) != again.checksums_crc {
            return Err(Error::corrupt(&self.path, Refusal::Damaged));
        }
        let digest = Sha256::new().chain_update(without_digest(start)).chain_update(&self.map[SUPERBLOCK..]).finalize();
        if digest.as_slice() != self.superblock.digest {
            return Err(Error::corrupt(
                &self.path,
                "its content does not match its digest; copy it again or rebuild it with index-builder",
            ));
        }
        Ok(())
    }

    fn inconsistent_in(&self, name: &str) -> Error {
        Error::corrupt(&self.path, format!("inconsistent in section `{name}`; copy it again or rebuild it with index-builder"))
    }

    fn raw(&self, section: Section) -> &[u8] {
        let extent = self.extents[section as usize];
        self.map.get(extent.offset as usize..extent.end() as usize).unwrap_or_default()
    }

    fn check(&self, section: Section, block: u64) -> Result<()> {
        let number = self.first_block[section as usize] + block;
        let Some(word) = self.checked.get((number / 64) as usize) else {
            return Err(self.inconsistent(section));
        };
        let bit = 1 << (number % 64);
        if word.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        if !self.is_sound(self.extents[section as usize], block, number) {
            return Err(self.damaged(section.name(), block));
        }
        word.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a block is what its checksum, the one with this number, says.
    fn is_sound(&self, extent: Extent, block: u64, number: u64) -> bool {
        let start = extent.offset + block * BLOCK;
        let end = (start + BLOCK).min(extent.end());
        let expected = u32_at(self.raw(Section::Checksums), number as usize * 4);
        self.map.get(start as usize..end as usize).is_some_and(|bytes| crc32c::crc32c(bytes) == expected)
    }

    fn damaged(&self, name: &str, block: u64) -> Error {
        let what = format!("damaged in section `{name}` at block {block}; copy it again or rebuild it with index-builder");
        Error::corrupt(&self.path, what)
    }
}

#[expect(unsafe_code, reason = "mapping a file is unsafe because somebody else may write to it")]
fn map(file: &File, length: u64) -> std::io::Result<Mmap> {
    // SAFETY: the map is private to `View`, read-only, and as long as the file was when it was opened. Its bytes are only
    // ever read as `u8` and copied into integers, for which every bit pattern is valid; `str`s are made of it after a
    // UTF-8 check. A writer who changes the bytes in place breaks the promise that an index is immutable (see the head of
    // this file): ours never does, it renames.
    unsafe { MmapOptions::new().len(length as usize).map(file) }
}
