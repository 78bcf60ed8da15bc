//! Documents of a folder, or one file.
//!
//! Hidden files and folders (leading dot), office lock files (`~$..`), backups of editors (`..~`) and the builder's own files are
//! left out. Links to folders are never followed, so there are no loops and nothing is read twice. A link to a file is read under
//! its own name where its target lies inside of the folder and is hidden (mounted volumes look like that), never where it leads out
//! of the folder.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use omni_retrieval::error::{Code, Error, Result};
use walkdir::{DirEntry, WalkDir};

use super::{Content, Entry, Ignored, Listing, Reason, is_ours_by_name};
use crate::place::{folder_of, is_index};
use crate::{cache, export, metadata, report};

/// The device and the inode of a folder.
type Identity = (u64, u64);

/// A folder or a single file.
pub(crate) struct Folder {
    /// As the caller wrote it.
    named: PathBuf,
    /// The folder that paths are below of.
    root: PathBuf,
    /// Which folder that is, whatever lies under its name later.
    identity: Identity,
    /// The name of the only file, if a file was named.
    only: Option<PathBuf>,
    /// Files and folders of the builder, by their true paths.
    own: Vec<PathBuf>,
    max_bytes: u64,
}

impl Folder {
    /// Opens the folder or file at `path`.
    pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Self> {
        let refused = |code, what: &dyn std::fmt::Display| Error::new(code, format!("`{}`: {what}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => refused(Code::NotFound, &"no such folder or file; check the path"),
            ErrorKind::PermissionDenied => refused(Code::InvalidRequest, &"permission denied; allow the builder to read it"),
            _ => refused(Code::InvalidRequest, &cause),
        })?;
        let named = path.to_owned();
        if metadata.is_dir() {
            let identity = (metadata.dev(), metadata.ino());
            return Ok(Self { root: named.clone(), named, identity, only: None, own: Vec::new(), max_bytes });
        }
        let (Some(name), true) = (path.file_name(), metadata.is_file()) else {
            return Err(refused(Code::InvalidRequest, &"neither a folder nor a regular file; name a folder or a file"));
        };
        let root = folder_of(path).to_owned();
        let identity = identity(&root).map_err(|cause| Error::io(&root, cause))?;
        Ok(Self { named, root, identity, only: Some(name.into()), own: Vec::new(), max_bytes })
    }

    /// What the caller named: the folder or the file.
    pub(super) fn named(&self) -> &Path {
        &self.named
    }

    /// Leaves these files and folders out; what is not there yet cannot be listed either.
    pub(super) fn leave_out(&mut self, own: &[PathBuf]) {
        self.own = own.iter().filter_map(|path| path.canonicalize().ok()).collect();
    }

    /// Lists the files, in no certain order.
    pub(super) fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        if let Some(name) = &self.only {
            let path = self.root.join(name);
            let metadata = std::fs::metadata(&path).map_err(|cause| Error::io(&path, cause))?;
            self.push(&mut listing, name, &metadata);
            self.list_beside(&mut listing, &slashed(name))?;
            return Ok(listing);
        }
        // A root that cannot be read at all is an error; below it, it is a row.
        std::fs::read_dir(&self.root).map_err(|cause| {
            Error::new(Code::InvalidRequest, format!("`{}`: {cause}; allow the builder to read it", self.root.display()))
        })?;
        let inside = self.root.canonicalize().map_err(|cause| Error::io(&self.root, cause))?;
        let mut ignored = Vec::new();
        let walk = WalkDir::new(&self.root).into_iter().filter_entry(|found| {
            let why = self.left_out(found, &inside);
            ignored.extend(why.map(|why| (slashed(self.below(found.path())), why)));
            why.is_none()
        });
        for found in walk {
            match found {
                Ok(found) => self.sort_out(&mut listing, &found, &inside),
                Err(error) => {
                    let path = error.path().map_or_else(String::new, |path| slashed(self.below(path)));
                    let reason = error.io_error().map_or_else(|| Reason::Unreadable(error.to_string()), Reason::io);
                    listing.skipped.push((path, reason));
                }
            }
        }
        listing.ignored.append(&mut ignored);
        self.require_there()?;
        Ok(listing)
    }

    /// Lists what is said of the only file in files beside it.
    fn list_beside(&self, listing: &mut Listing, only: &str) -> Result<()> {
        let inside = self.root.canonicalize().map_err(|cause| Error::io(&self.root, cause))?;
        for found in WalkDir::new(&self.root).min_depth(1).max_depth(1) {
            let found = found.map_err(|cause| {
                let remedy = "allow the builder to look for what stands beside the file";
                Error::new(Code::InvalidRequest, format!("`{}`: {cause}; {remedy}", self.root.display()))
            })?;
            if metadata::sidecar_of(&slashed(self.below(found.path()))) == Some(only) {
                self.sort_out(listing, &found, &inside);
            }
        }
        Ok(())
    }

    /// Reads one file, if it is still the one that was listed.
    ///
    /// # Errors
    /// The folder that was listed is gone: what cannot be read then is the source.
    pub(super) fn read(&self, entry: &Entry) -> Result<Result<Content, Reason>> {
        let content = self.content(entry);
        if content.is_err() {
            self.require_there()?;
        }
        Ok(content)
    }

    fn require_there(&self) -> Result<()> {
        if identity(&self.root).is_ok_and(|identity| identity == self.identity) {
            return Ok(());
        }
        let why = "went away or was replaced while it was read; build again once it is there";
        Err(Error::new(Code::NotFound, format!("`{}`: {why}", self.root.display())))
    }

    fn content(&self, entry: &Entry) -> Result<Content, Reason> {
        let io = |cause: std::io::Error| Reason::io(&cause);
        let path = self.root.join(&entry.key);
        // Looked at before it is opened: opening a pipe that took the file's place would wait forever.
        if !std::fs::metadata(&path).map_err(io)?.is_file() {
            return Err(Reason::Changed);
        }
        let mut file = File::open(&path).map_err(io)?;
        let mut bytes = Vec::with_capacity(usize::try_from(entry.size).unwrap_or(0));
        (&mut file).take(entry.size + 1).read_to_end(&mut bytes).map_err(io)?;
        // Compared after reading: a write before or during it shows in size or time.
        let metadata = file.metadata().map_err(io)?;
        if stamp(&metadata) != entry.stamp || bytes.len() as u64 != entry.size {
            return Err(Reason::Changed);
        }
        Ok(Content { bytes, charset: None })
    }

    /// Why a file or folder is not looked at.
    fn left_out(&self, found: &DirEntry, inside: &Path) -> Option<Ignored> {
        // A root that is hidden itself was named on purpose.
        if found.depth() == 0 {
            return None;
        }
        let name = found.file_name().as_bytes();
        let is_index = || is_ours_by_name(name) && (name.ends_with(b".tombstones") || is_index(found.path()));
        let is_written = || match found.file_type().is_dir() {
            true => cache::is_cache(found.path()),
            false if name.ends_with(b".json") => report::is_report(found.path()),
            false => is_index() || export::is_export(found.path()),
        };
        let is_own = || self.own.contains(&inside.join(self.below(found.path()))) || is_written();
        Ignored::by_name(name).or_else(|| is_own().then_some(Ignored::Own))
    }

    /// Puts one thing that was found where it belongs.
    fn sort_out(&self, listing: &mut Listing, found: &DirEntry, inside: &Path) {
        let below = self.below(found.path());
        let kind = found.file_type();
        // The source itself may be a link.
        if kind.is_dir() || found.depth() == 0 {
            return;
        }
        if kind.is_symlink() {
            return self.sort_out_link(listing, found.path(), inside);
        }
        if !kind.is_file() {
            listing.skipped.push((slashed(below), Reason::NotAFile));
            return;
        }
        match found.metadata() {
            Ok(metadata) => self.push(listing, below, &metadata),
            Err(error) => {
                let reason = error.io_error().map_or_else(|| Reason::Unreadable(error.to_string()), Reason::io);
                listing.skipped.push((slashed(below), reason));
            }
        }
    }

    fn sort_out_link(&self, listing: &mut Listing, link: &Path, inside: &Path) {
        let below = self.below(link);
        let mut skip = |why| listing.skipped.push((slashed(below), Reason::Link(why)));
        let Ok(target) = link.canonicalize() else {
            return skip("a link that leads nowhere; remove it or restore its target");
        };
        let Ok(target_below) = target.strip_prefix(inside) else {
            return skip("a link that leads out of the folder; copy its target into the folder");
        };
        match std::fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => skip("a link to a folder; links to folders are not followed"),
            Ok(metadata) if metadata.is_file() => {
                // What is said of a document is said of one, whoever else it is said of, too.
                let is_sidecar = metadata::sidecar_of(&slashed(below)).is_some();
                if is_sidecar || target_below.iter().any(|name| Ignored::by_name(name.as_bytes()).is_some()) {
                    self.push(listing, below, &metadata);
                } else {
                    listing.links.push((slashed(below), slashed(target_below)));
                }
            }
            Ok(_) => listing.skipped.push((slashed(below), Reason::NotAFile)),
            Err(cause) => listing.skipped.push((slashed(below), Reason::io(&cause))),
        }
    }

    fn push(&self, listing: &mut Listing, below: &Path, metadata: &Metadata) {
        let source = slashed(below);
        let (size, max_bytes) = (metadata.len(), self.max_bytes);
        if size > max_bytes {
            listing.skipped.push((source, Reason::TooLarge { bytes: size, max_bytes }));
            return;
        }
        listing.entries.push(entry(below, metadata));
    }

    fn below<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

fn entry(below: &Path, metadata: &Metadata) -> Entry {
    let source = slashed(below);
    Entry { uri: source.clone(), source, size: metadata.len(), stamp: stamp(metadata), key: below.into() }
}

fn identity(folder: &Path) -> std::io::Result<Identity> {
    std::fs::metadata(folder).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// What changes when a file is written: its size and modification time in nanoseconds.
fn stamp(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{}-{}", metadata.len(), modified.map_or(0, |since| since.as_nanos()))
}

/// A path below the root as text, `/`-separated; bytes that are not UTF-8 become `\xNN`.
fn slashed(path: &Path) -> String {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(readable(name)),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

fn readable(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        text += chunk.valid();
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}
