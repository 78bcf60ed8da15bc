//! The mapped file: the only place of the index that sees its bytes, and the only one that checks checksums.
//!
//! A block is verified when it is first touched, by whichever thread comes first; nobody waits for anybody. Every range
//! is checked against the section table on every call, so that even a file whose checksums were forged, or that changes
//! under the map, leads to an error and never to a read outside the map.
//!
//! Whoever writes into the file in place makes searches fail, not the process (`mapped/mod.rs`): where only its time differs,
//! every block is verified anew.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use memmap2::Advice;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::format::{BLOCK, REMEDY, Refusal, SUPERBLOCK, Superblock, u32_at, without_digest};
use super::lz4::unpack;
use super::section::{Extent, Section};
use crate::error::{Error, Result};
use crate::mapped::Mapped;

/// Bytes that storage hands out at once where images are loaded piece by piece.
const PIECE: u64 = 512 * 1024;

/// Pieces that are asked for at once when reading ahead.
const READERS: usize = 8;

/// What is read in runs of a cluster, or of a row, that lie apart.
const RANDOM: [Section; 2] = [Section::Codes, Section::Blocks];

/// An index file as sections of checked bytes.
pub(super) struct View {
    map: Mapped,
    superblock: Superblock,
    extents: [Extent; Section::ALL.len()],
    first_block: [u64; Section::ALL.len()],
    /// One bit a block: set once its checksum was right. Relaxed, because a bit publishes nothing but itself.
    checked: Box<[AtomicU64]>,
    /// The first block whose checksum was wrong.
    damage: OnceLock<Error>,
}

impl View {
    /// Maps the file; reads its superblock and its checksums, nothing else.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::of(&File::open(path).map_err(|cause| Error::io(path, cause))?, path)
    }

    /// Maps a file that is open; `path` is what messages call it.
    pub(super) fn of(file: &File, path: &Path) -> Result<Self> {
        let fail = |cause| Error::io(path, cause);
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(Error::corrupt(path, Refusal::NotAnIndex));
        }
        let mut start = vec![0; SUPERBLOCK.min(metadata.len() as usize)];
        file.read_exact_at(&mut start, 0).map_err(fail)?;
        let superblock = Superblock::decode(&start, metadata.len()).map_err(|refusal| Error::corrupt(path, refusal))?;
        let view = Self {
            // As long as the superblock says, or it would have been refused.
            map: Mapped::of(file, &metadata, path)?,
            extents: Section::ALL.map(|section| superblock.extent(section)),
            first_block: Section::ALL.map(|section| superblock.first_block(section)),
            checked: (0..superblock.blocks().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            damage: OnceLock::new(),
            superblock,
        };
        // Clusters lie apart, and what is needed of them is asked for by name: the system's own guess, which may be megabytes
        // around each touch, would read most of the file for one question. Only a hint.
        for section in RANDOM {
            let extent = view.extents[section as usize];
            view.map.advise(Advice::Random, extent.offset, extent.length);
        }
        if crc32c::crc32c(view.raw(Section::Checksums)) != view.superblock.checksums_crc {
            return Err(view.damaged(Section::Checksums.name(), 0));
        }
        Ok(view)
    }

    /// Refuses a file that was written to in place since it was opened, unless its content is still the same.
    ///
    /// Asked before a search and, because it may have happened meanwhile, after it.
    pub(super) fn require_whole(&self) -> Result<()> {
        self.map.require_whole(|| {
            let start = self.map.get(..SUPERBLOCK).unwrap_or_default();
            let same = Superblock::decode(start, self.map.len() as u64).is_ok_and(|again| again == self.superblock)
                && crc32c::crc32c(self.raw(Section::Checksums)) == self.superblock.checksums_crc;
            if same {
                self.checked.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            }
            same
        })
    }

    /// Refuses a file that is not whole, and one of which a search has met a damaged block.
    pub(super) fn require_sound(&self) -> Result<()> {
        self.require_whole()?;
        self.damage.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The file, for messages.
    pub(super) fn path(&self) -> &Path {
        self.map.path()
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

    /// What was packed into `stored` bytes of a section, `length` bytes.
    pub(super) fn unpacked(&self, section: Section, start: u64, stored: u64, length: u32) -> Result<Vec<u8>> {
        let dictionary = self.section(Section::Dictionary)?;
        unpack(self.bytes(section, start, stored)?, length as usize, dictionary).ok_or_else(|| self.inconsistent(section))
    }

    /// A whole section, checked.
    pub(super) fn section(&self, section: Section) -> Result<&[u8]> {
        self.bytes(section, 0, self.extents[section as usize].length)
    }

    /// Whether a file has no such section: an older one, or one that has nothing to put there.
    pub(super) fn is_absent(&self, section: Section) -> bool {
        self.raw(section).is_empty()
    }

    /// The checksums of `section` are right and still its content makes no sense.
    pub(super) fn inconsistent(&self, section: Section) -> Error {
        self.inconsistent_in(section.name())
    }

    /// What JSON of a section says.
    pub(super) fn json<T: DeserializeOwned>(&self, section: Section, json: &[u8]) -> Result<T> {
        // The log needs both: where the file is, and what is wrong with it.
        let told = |cause: serde_json::Error| format!("{}: {cause}", self.path().display());
        serde_json::from_slice(json).map_err(|cause| self.inconsistent(section).caused_by(told(cause)))
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
        let again = Superblock::decode(start, self.map.len() as u64).map_err(|refusal| Error::corrupt(self.path(), refusal))?;
        if again != self.superblock || crc32c::crc32c(self.raw(Section::Checksums)) != again.checksums_crc {
            return Err(Error::corrupt(self.path(), Refusal::Damaged));
        }
        let digest = Sha256::new().chain_update(without_digest(start)).chain_update(&self.map[SUPERBLOCK..]).finalize();
        if digest.as_slice() != self.superblock.digest {
            return Err(Error::corrupt(self.path(), format!("its content does not match its digest; {REMEDY}")));
        }
        Ok(())
    }

    /// Reads and verifies what searches touch first, until `budget` bytes are read or time is up.
    /// Says how many bytes were read.
    pub(super) fn warm(&self, budget: u64, deadline: Instant) -> Result<u64> {
        // They wait for storage, not for a core.
        let readers = rayon::ThreadPoolBuilder::new().num_threads(READERS).build();
        let readers = readers.map_err(|cause| Error::internal("no threads to read ahead").caused_by(cause))?;
        let checked = self.superblock.table.iter().filter(|entry| entry.is_checked());
        let mut sections: Vec<(Section, u64)> =
            checked.filter_map(|entry| Some((entry.section()?, entry.extent.length))).collect();
        // In the order of the file; but where there are codes, a search reads rows of its last candidates only.
        if !self.is_absent(Section::Codes) {
            let last = [Section::Blocks, Section::Records, Section::Headings, Section::Texts];
            sections.sort_by_key(|(section, _)| last.contains(section));
        }
        let mut read = 0;
        for (section, length) in sections {
            let length = length.min(budget - read);
            let pieces: Vec<u64> = (0..length).step_by(PIECE as usize).collect();
            let piece = |&start: &u64| {
                if Instant::now() >= deadline {
                    return Ok(0);
                }
                let length = PIECE.min(length - start);
                self.will_need(section, start, length);
                self.bytes(section, start, length).map(|bytes| bytes.len() as u64)
            };
            read += readers.install(|| pieces.par_iter().map(piece).sum::<Result<u64>>())?;
            if read >= budget || Instant::now() >= deadline {
                break;
            }
        }
        Ok(read)
    }

    /// Asks the system to read bytes that nobody has touched yet, without waiting.
    pub(super) fn will_need(&self, section: Section, start: u64, length: u64) {
        let extent = self.extents[section as usize];
        let first = self.first_block[section as usize];
        let (from, to) = (start / BLOCK, (start + length).div_ceil(BLOCK));
        let cold = (from..to).find(|block| {
            let number = first + block;
            self.checked.get((number / 64) as usize).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 0)
        });
        if cold.is_some() && start + length <= extent.length {
            self.map.advise(Advice::WillNeed, extent.offset + start, length);
        }
    }

    fn inconsistent_in(&self, name: &str) -> Error {
        self.map.corrupt(format_args!("inconsistent in section `{name}`; {REMEDY}"))
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
        let extent = self.extents[section as usize];
        if RANDOM.contains(&section) {
            let length = BLOCK.min(extent.length - block * BLOCK);
            self.map.advise(Advice::WillNeed, extent.offset + block * BLOCK, length);
        }
        if !self.is_sound(extent, block, number) {
            let error = self.damaged(section.name(), block);
            let _ = self.damage.set(error.clone());
            return Err(error);
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
        self.map.corrupt(format_args!("damaged in section `{name}` at block {block}; {REMEDY}"))
    }
}
