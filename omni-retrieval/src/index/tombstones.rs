//! Tombstones: documents that are gone at once, without a new index. A small file beside the index lists them.
//!
//! The list names the digest of the index that it was written for. For another index it is refused and not ignored: a
//! removed document must not come back because somebody copied an old file. An index that is open already takes it as an
//! addition.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::Index;
use super::allowed::Bits;
use crate::error::{Code, Error, Result};
use crate::replace::replace;

/// What the name of the file ends with, behind the name of the index.
const EXTENSION: &str = ".tombstones";

/// Larger files are not lists of documents.
const MAX_BYTES: u64 = 256 << 20;

/// The documents of one index that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstones {
    /// The digest of the index.
    pub index: String,
    /// The `uri`s of the documents.
    pub documents: BTreeSet<String>,
    /// `uri`s of documents that were gone when a rebuild could not read them: gone again as soon as it can. This index has none
    /// of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skipped: BTreeSet<String>,
}

impl Tombstones {
    /// Where the list of an index stands: `kb.omni.tombstones` beside `kb.omni`, whatever links lead there.
    pub fn path(index: &Path) -> PathBuf {
        let mut name = OsString::from(index.canonicalize().unwrap_or_else(|_| index.to_owned()));
        name.push(EXTENSION);
        name.into()
    }

    /// Reads a list; none if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read or is no list.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let length = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::io(path, cause)),
        };
        let refuse = |what: &dyn std::fmt::Display| {
            Error::corrupt(path, format!("not a list of tombstones: {what}; write it with `index-builder forget`"))
        };
        if length > MAX_BYTES {
            return Err(refuse(&format!("{length} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|cause| Error::io(path, cause))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|cause| refuse(&cause))
    }

    /// Writes the list whole or not at all. An empty one says that nothing is gone any more, to the index that it names only.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let fail = |cause| Error::io(path, cause);
        let json =
            serde_json::to_vec_pretty(self).map_err(|cause| Error::internal("tombstones: not valid JSON").caused_by(cause))?;
        replace(path, |file| file.write_all(&json)).map_err(fail)
    }
}

impl Index {
    /// Makes the documents of a list, and no others, gone from now on.
    ///
    /// # Errors
    /// The list was written for another index, or names a document that is not in this one. Then nothing changes.
    pub fn bury(&self, tombstones: &Tombstones) -> Result<()> {
        if tombstones.index != self.digest {
            return Err(Error::new(
                Code::CorruptFile,
                format!(
                    "tombstones: written for index {}, this is {}; `index-builder forget INDEX` keeps what it names gone, or delete the file if every document of this index may be found",
                    tombstones.index, self.digest
                ),
            ));
        }
        let gone = self.whole(|| {
            let (facets, mut gone) = (self.facets()?, Bits::none(self.view.superblock().documents));
            // Whatever was gone and is in this index all the same.
            for uri in &tombstones.skipped {
                facets.add_documents(uri, &mut gone)?;
            }
            for uri in &tombstones.documents {
                if !facets.add_documents(uri, &mut gone)? {
                    let remedy = "`index-builder forget INDEX --undo` takes it out of the list";
                    return Err(Error::bad_request(format!("tombstones: no document `{uri}` in the index; {remedy}")));
                }
            }
            Ok(gone)
        })?;
        self.gone.replace(&gone);
        Ok(())
    }

    /// As [`Self::bury`] with the list beside the file that was opened as `path`, if there is one.
    ///
    /// # Errors
    /// As there, or it cannot be read; the text names the list.
    pub fn bury_beside(&self, path: &Path) -> Result<()> {
        let list = Tombstones::path(path);
        let Some(tombstones) = Tombstones::read(&list)? else { return Ok(()) };
        self.bury(&tombstones).map_err(|error| error.retold(|text| format!("{}: {text}", list.display())))
    }

    /// Makes what a list of any index names gone besides what already is, as far as it is in this one.
    ///
    /// # Errors
    /// The file is damaged. Then nothing changes.
    pub fn bury_also(&self, tombstones: &Tombstones) -> Result<()> {
        let gone = self.whole(|| {
            let (facets, count) = (self.facets()?, self.view.superblock().documents);
            let mut gone = self.gone.documents(count).unwrap_or_else(|| Bits::none(count));
            for uri in tombstones.documents.iter().chain(&tombstones.skipped) {
                facets.add_documents(uri, &mut gone)?;
            }
            Ok(gone)
        })?;
        self.gone.replace(&gone);
        Ok(())
    }

    /// Whether a document is gone.
    pub fn is_gone(&self, document: u32) -> bool {
        self.gone.contains(document)
    }
}

/// Which documents are gone: changed while searches go on, read without locks.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Made when the first document goes: an index without tombstones pays nothing.
    words: OnceLock<Box<[AtomicU64]>>,
}

impl Gone {
    /// Makes `documents` the ones that are gone. A search under way may see the old ones, the new ones or some of both.
    pub(super) fn replace(&self, documents: &Bits) {
        if documents.count() == 0 && self.words.get().is_none() {
            return;
        }
        let words = self.words.get_or_init(|| (0..documents.end().div_ceil(64)).map(|_| AtomicU64::new(0)).collect());
        for (at, word) in words.iter().enumerate() {
            let first = at as u32 * 64;
            let bits = (0..64).filter(|bit| documents.contains(first + bit)).fold(0_u64, |bits, bit| bits | 1 << bit);
            word.store(bits, Ordering::Relaxed);
        }
    }

    /// Whether a document is gone.
    pub(super) fn contains(&self, document: u32) -> bool {
        let word = self.words.get().and_then(|words| words.get((document / 64) as usize));
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (document % 64) & 1 != 0)
    }

    /// Those that are gone, of `count` documents; none where all are there.
    pub(super) fn documents(&self, count: u32) -> Option<Bits> {
        let words = self.words.get()?;
        let mut bits = Bits::none(count);
        words.iter().enumerate().for_each(|(at, word)| bits.insert_word(at, word.load(Ordering::Relaxed)));
        (bits.count() > 0).then_some(bits)
    }
}
