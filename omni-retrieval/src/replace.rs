//! A file that others may have mapped is never written into: a new one is written beside it, synced, and renamed over it.

use std::fs::{File, TryLockError};
use std::path::Path;

/// What the name of a temporary file ends with; it begins with a dot and the name of the target.
const TEMPORARY: &str = ".partial";

/// Puts a new file at `path`, all of it or nothing, with the permissions of the one that is there, but not its owner.
///
/// # Errors
/// It cannot be written, or `fill` fails.
pub fn replace<T>(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<T>) -> std::io::Result<T> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(std::io::ErrorKind::IsADirectory)?.to_string_lossy();
    let prefix = format!(".{name}.");
    remove_leftovers(folder, &prefix)?;
    let there = std::fs::metadata(path).ok().map(|metadata| metadata.permissions());
    let mut builder = tempfile::Builder::new();
    // Where nothing is there, whoever may read the folder may read the file; the umask still applies.
    builder.permissions(there.clone().unwrap_or_else(|| std::os::unix::fs::PermissionsExt::from_mode(0o666)));
    let mut temporary = builder.prefix(&prefix).suffix(TEMPORARY).tempfile_in(folder)?;
    // The lock tells other writers that this is no leftover; where there are no locks, nobody removes anything.
    let _ = temporary.as_file().try_lock();
    let value = fill(temporary.as_file_mut())?;
    // Whatever the umask took of them. Where a file system gives all files the same, there is nothing to set.
    if let Some(there) = there.filter(|there| temporary.as_file().metadata().is_ok_and(|made| made.permissions() != *there)) {
        temporary.as_file().set_permissions(there)?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(value)
}

/// Removes what writers of the same file left that were killed: temporary files that nobody holds locked.
fn remove_leftovers(folder: &Path, prefix: &str) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(prefix) || !name.ends_with(TEMPORARY) {
            continue;
        }
        // Another writer may have finished or cleaned up meanwhile: then there is nothing left to do.
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        match file.try_lock() {
            Ok(()) => drop(std::fs::remove_file(entry.path())),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
    Ok(())
}
