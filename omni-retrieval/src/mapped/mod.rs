//! A file mapped into memory, which somebody may write to in place: the index and the packed model lie in one each.
//!
//! Nobody should do so: `index-builder` renames a new file over the old one, whose bytes live as long as somebody maps them.
//! Whoever does it nevertheless makes calls fail, not the process: the size and time of the file are compared before and after each
//! use; where only the time differs, the owner looks whether the content is still the same, and where the file was cut, `fault.rs`
//! turns the missing pages into zeros that are never handed out.

mod fault;

use std::fmt::Display;
use std::fs::{File, Metadata};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use memmap2::{Advice, Mmap, MmapOptions};

use crate::error::{Error, Result};
use fault::Watch;

/// The bytes of a file, as long as it was when it was opened.
pub(crate) struct Mapped {
    path: PathBuf,
    file: File,
    /// When the file was written to, as far as its content is known; in nanoseconds.
    modified: AtomicU64,
    /// Must go before the map.
    watch: Watch,
    map: Mmap,
}

impl Mapped {
    /// Maps a file that is open; `path` is what messages call it, `metadata` what was known of it before anything was read.
    ///
    /// # Errors
    /// The system does not map it.
    pub(crate) fn of(file: &File, metadata: &Metadata, path: &Path) -> Result<Self> {
        let fail = |cause| Error::io(path, cause);
        let map = map(file, metadata.len()).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            file: file.try_clone().map_err(fail)?,
            modified: AtomicU64::new(modified(metadata)),
            watch: Watch::new(&map),
            map,
        })
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a file that was written to in place since it was opened, unless `is_same` finds its content unchanged.
    ///
    /// To be asked before a use and, because it may have happened meanwhile, after it.
    ///
    /// # Errors
    /// What was read may be nonsense.
    pub(crate) fn require_whole(&self, is_same: impl FnOnce() -> bool) -> Result<()> {
        let metadata = self.file.metadata().map_err(|cause| Error::io(&self.path, cause))?;
        if metadata.len() != self.map.len() as u64 || self.watch.lost() {
            return Err(self.overwritten());
        }
        let modified = modified(&metadata);
        if self.modified.load(Ordering::Relaxed) == modified {
            return Ok(());
        }
        // Somebody touched it. What was verified may be something else now.
        if !is_same() || self.watch.lost() {
            return Err(self.overwritten());
        }
        self.modified.store(modified, Ordering::Relaxed);
        Ok(())
    }

    /// Tells the system what will be read, or how. Only a hint: where it cannot be given, bytes are read when they are touched.
    pub(crate) fn advise(&self, advice: Advice, start: u64, length: u64) {
        let _ = self.map.advise_range(advice, start as usize, length as usize);
    }

    fn overwritten(&self) -> Error {
        const REMEDY: &str = "put a new file in its place by renaming, never by writing into it, and start again";
        self.corrupt(format_args!("was overwritten while in use; {REMEDY}"))
    }

    /// The file cannot be trusted, as it turns out in use: callers read what it is called, the log where it is.
    pub(crate) fn corrupt(&self, what: impl Display) -> Error {
        let name = self.path.file_name().map_or(self.path.as_path(), Path::new);
        Error::corrupt(name, what).caused_by(self.path.display().to_string())
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// When the file was last written to; 0 where the system does not say.
fn modified(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[expect(unsafe_code, reason = "mapping a file is unsafe because somebody else may write to it")]
fn map(file: &File, length: u64) -> std::io::Result<Mmap> {
    // SAFETY: the map is private to `Mapped`, read-only, and as long as the file was when it was opened. Its bytes are only ever
    // read as plain numbers, for which every bit pattern is valid; `str`s are made of them after a UTF-8 check. A writer who
    // changes the bytes in place breaks the promise that our files are immutable (see the head of this file): ours never does, it
    // renames.
    unsafe { MmapOptions::new().len(length as usize).map(file) }
}
