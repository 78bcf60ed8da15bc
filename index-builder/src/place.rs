//! Where an index goes: what it may take the place of, and where it lies until then.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use omni_llm::index::MAGIC;
use tempfile::TempDir;

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

/// Makes the folder that `out` names by the slash at its end: what is not there yet would be taken for a file.
pub(crate) fn make_named_folder(out: &Path) -> Result<()> {
    if out.as_os_str().as_encoded_bytes().ends_with(b"/") {
        std::fs::create_dir_all(out).with_context(|| format!("{}: cannot make the folder", out.display()))?;
    }
    Ok(())
}

/// The file that `out` leads to, where it is a link: its list of what is gone stands beside it, and a link that is replaced would part the two.
pub(crate) fn followed(out: &Path) -> PathBuf {
    let target = out.is_symlink().then(|| out.canonicalize().ok());
    target.flatten().unwrap_or_else(|| out.to_owned())
}

/// The folder that a file lies in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A folder of a build's own, on the file system of what it will write; gone when it is dropped.
pub(crate) fn aside(out: &Path) -> Result<TempDir> {
    let beside = if out.is_dir() { out } else { folder_of(out) };
    std::fs::create_dir_all(beside).with_context(|| beside.display().to_string())?;
    tempfile::Builder::new().prefix(".omni-").tempdir_in(beside).with_context(|| beside.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_makes_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        make_named_folder(&folder.path().join("new/er/")).unwrap();
        make_named_folder(&folder.path().join("file")).unwrap();
        assert!(folder.path().join("new/er").is_dir() && !folder.path().join("file").exists());
        std::fs::write(folder.path().join("file"), "").unwrap();
        let refused = make_named_folder(&folder.path().join("file/")).unwrap_err().to_string();
        assert!(refused.ends_with("/file/: cannot make the folder"), "{refused}");
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
