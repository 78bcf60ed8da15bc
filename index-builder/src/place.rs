//! Where an index goes: what it may take the place of, and where it lies until then.

use std::ffi::OsStr;
use std::fs::{DirEntry, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use omni_retrieval::index::{MAGIC, index_files};
use tempfile::{NamedTempFile, TempDir};

use crate::report::Remark;

/// What the names of files and folders begin with that are to be renamed or removed.
pub(crate) const TEMPORARY: &str = ".omni-";

/// What an index is called until its name is known.
const UNNAMED: &str = "unnamed.omni";

/// Refuses to write over what is no index: a mistyped name must not cost a document.
///
/// # Errors
/// `out` is there, and is neither a folder nor an index nor empty.
pub(crate) fn require_replaceable(out: &Path) -> Result<()> {
    let Ok(metadata) = out.metadata() else { return Ok(()) };
    if metadata.is_dir() {
        return Ok(());
    }
    let is_replaceable = |start: Vec<u8>| start.is_empty() || start == MAGIC;
    if !metadata.is_file() || !is_replaceable(start(out).with_context(|| out.display().to_string())?) {
        bail!("{}: exists and is no Omni-LLM index; name another file with `--out`", out.display());
    }
    Ok(())
}

/// Whether a file is an index, as far as its beginning says.
pub(crate) fn is_index(path: &Path) -> bool {
    path.is_file() && start(path).is_ok_and(|start| start == MAGIC)
}

/// The first bytes of a file, as many as say that it is an index.
fn start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Indexes that a folder holds beside the one at `path`: whoever is told the folder wants exactly one in it.
pub(crate) fn others(folder: &Path, path: &Path) -> Result<Option<Remark>> {
    let others: Vec<String> =
        index_files(folder)?.into_iter().filter(|other| other != path).map(|other| other.display().to_string()).collect();
    let reason = format!(
        "there is another index in the folder: {}; a service that is told the folder starts with exactly one, so remove it, or name the file",
        others.join(", ")
    );
    Ok((!others.is_empty()).then(|| Remark { source: path.display().to_string(), reason }))
}

/// Makes the folder that an index goes into, and tries it before the work. A slash at the end of `out` names a folder: what is not
/// there yet would be taken for a file.
///
/// # Errors
/// Nothing can be written there.
pub(crate) fn require_writable(out: &Path) -> Result<()> {
    let out = followed(out);
    let is_folder = out.is_dir() || out.as_os_str().as_encoded_bytes().ends_with(b"/");
    let folder = if is_folder { out.as_path() } else { folder_of(&out) };
    let tried = std::fs::create_dir_all(folder).and_then(|()| temporary(folder));
    tried.map(drop).with_context(|| format!("{}: cannot write the index", out.display()))
}

/// The file that `out` leads to, where it is a link, there or not yet: its list of what is gone stands beside it, and a link that
/// is replaced would part the two.
pub(crate) fn followed(out: &Path) -> PathBuf {
    // As many as the kernel follows.
    const LINKS_MAX: usize = 40;
    let mut path = out.to_owned();
    for _ in 0..LINKS_MAX {
        match path.read_link() {
            Ok(target) if !path.exists() => path = path.with_file_name(target),
            // A pipe has no path that leads to it.
            Ok(_) => return path.canonicalize().unwrap_or(path),
            Err(_) => break,
        }
    }
    path
}

/// The folder that a file lies in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in a folder, to be renamed there: whoever may read the folder may read it.
pub(crate) fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY).permissions(Permissions::from_mode(0o666)).tempfile_in(folder)
}

/// Whoever holds this works in a folder alone, among those who ask for it; it leaves nothing behind. Where a folder cannot be
/// locked, everybody goes on.
pub(crate) fn alone(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.lock().ok()?;
    Some(folder)
}

/// A folder of a build's own, on the file system of what it will write; gone when it is dropped.
pub(crate) struct Aside {
    folder: TempDir,
    /// Tells other builds that this is no leftover.
    _lock: File,
}

impl Aside {
    /// Makes it beside what will be written, or in it, and removes those of builds that were killed.
    pub(crate) fn of(out: &Path) -> Result<Self> {
        let beside = if out.is_dir() { out } else { folder_of(out) };
        let made = || -> std::io::Result<Self> {
            std::fs::create_dir_all(beside)?;
            // Nobody shall find the new one before it is locked.
            let _alone = alone(beside);
            remove_leftovers(beside);
            let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(beside)?;
            let lock = File::open(folder.path())?;
            // Where there are no locks, nobody removes anything.
            let _ = lock.try_lock();
            Ok(Self { folder, _lock: lock })
        };
        made().with_context(|| beside.display().to_string())
    }

    /// Where an index is written in it.
    pub(crate) fn index(&self) -> PathBuf {
        self.folder.path().join(UNNAMED)
    }
}

/// Removes folders that hold nothing but an index without a name, whole, not or not yet begun, and that nobody holds locked.
fn remove_leftovers(beside: &Path) {
    let entries =
        |folder: &Path| -> Vec<DirEntry> { std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).collect() };
    let is_unnamed = |file: &DirEntry| file.file_name().to_string_lossy().trim_start_matches('.').starts_with(UNNAMED);
    for folder in entries(beside).iter().filter(|found| is_aside(&found.file_name())).map(DirEntry::path) {
        let Ok(held) = File::open(&folder) else { continue };
        let files = entries(&folder);
        if !folder.is_symlink() && files.iter().all(is_unnamed) && held.try_lock().is_ok() {
            files.iter().for_each(|file| drop(std::fs::remove_file(file.path())));
            drop(std::fs::remove_dir(&folder));
        }
    }
}

/// Whether a folder of a build's own is called so.
fn is_aside(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_makes_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        require_writable(&folder.path().join("new/er/")).unwrap();
        require_writable(&folder.path().join("file")).unwrap();
        assert!(folder.path().join("new/er").is_dir() && !folder.path().join("file").exists());
        std::fs::write(folder.path().join("file"), "").unwrap();
        let refused = require_writable(&folder.path().join("file/")).unwrap_err().to_string();
        assert!(refused.ends_with("/file/: cannot write the index"), "{refused}");
    }

    #[test]
    fn a_link_is_followed_to_where_nothing_is_yet() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("current.omni");
        std::os::unix::fs::symlink("new/kb.omni", &link).unwrap();
        assert_eq!(followed(&link), folder.path().join("new/kb.omni"));
        let to_link = folder.path().join("latest.omni");
        std::os::unix::fs::symlink("current.omni", &to_link).unwrap();
        assert_eq!(followed(&to_link), followed(&link));
        require_writable(&link).unwrap();
        assert!(link.is_symlink());
        std::fs::write(folder.path().join("new/kb.omni"), "").unwrap();
        assert_eq!(followed(&link), folder.path().canonicalize().unwrap().join("new/kb.omni"));
        if cfg!(target_os = "linux") {
            use std::os::fd::AsRawFd as _;
            let (_reader, writer) = std::io::pipe().unwrap();
            let pipe = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
            assert_eq!(followed(&pipe), pipe);
        }
    }

    #[test]
    fn what_a_killed_build_left_aside_is_removed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str, file: &str| {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join(file), "").unwrap();
        };
        with(".omni-a1B2c3", ".unnamed.omni.x1y2z3.partial");
        std::fs::create_dir(folder.path().join(".omni-d4E5f6")).unwrap();
        with(".omni-backup", "notes.txt");
        with(".omni-cache", "unnamed.omni");
        let first = Aside::of(folder.path()).unwrap();
        std::fs::write(first.index(), "").unwrap();
        let second = Aside::of(&folder.path().join("kb.omni")).unwrap();
        assert!(first.index().exists() && first.index() != second.index());
        drop((first, second));
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".omni-backup", ".omni-cache"]);
    }

    #[test]
    fn only_an_index_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            require_replaceable(&path).map_err(|error| error.to_string().replace(&*folder.path().to_string_lossy(), "D"))
        };
        assert_eq!(with("old.omni", b"OMNI-IDX and the rest"), Ok(()));
        assert_eq!(with("empty", b""), Ok(()));
        for text in [&b"years of work"[..], b"OMNI"] {
            let refused = "D/notes.txt: exists and is no Omni-LLM index; name another file with `--out`";
            assert_eq!(with("notes.txt", text).unwrap_err(), refused);
        }
        require_replaceable(folder.path()).unwrap();
        require_replaceable(&folder.path().join("new.omni")).unwrap();
        assert!(require_replaceable(Path::new("/dev/null")).is_err());
    }
}
