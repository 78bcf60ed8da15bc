//! An index file that is open, and how files are found.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use tokio::time::Instant;

use crate::config::Config;
use crate::embed::DEFAULT_MODEL;
use crate::error::{Code, Error, Result};
use crate::index::{DEFAULT_NAMESPACE, Index, Tombstones};
use crate::provider::embed::Model;

/// Extension of index files.
const INDEX_EXTENSION: &str = "omni";

/// An index and what it is called.
pub struct Opened {
    /// Its file name without the extension.
    pub name: String,
    /// The file, mapped.
    pub index: Index,
    /// The provider's model that embedded it; none is the packed one.
    pub(super) remote: Option<Model>,
    tombstones: PathBuf,
    /// What the file of tombstones was when it was last read; 0 for none.
    stamp: AtomicU64,
    /// When it is looked at next, in milliseconds since `opened`.
    next_look_ms: AtomicU64,
    opened: Instant,
}

/// How often the file of tombstones is looked at.
const LOOK_EVERY_MS: u64 = 1000;

impl Opened {
    /// Opens an index file, and the tombstones beside it.
    ///
    /// # Errors
    /// As [`Index::open`] and [`Index::bury`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let opened = Self {
            name,
            index: Index::open(path)?,
            remote: None,
            tombstones: Tombstones::path(path),
            stamp: AtomicU64::new(0),
            next_look_ms: AtomicU64::new(LOOK_EVERY_MS),
            opened: Instant::now(),
        };
        opened.read_tombstones()?;
        Ok(opened)
    }

    /// The provider's model that embeds questions to it; none is the packed one.
    pub fn remote(&self) -> Option<&Model> {
        self.remote.as_ref()
    }

    /// The namespace to search in, by the name that `field` gives; none where it is all there is.
    ///
    /// # Errors
    /// There is no such namespace, or the file is corrupt.
    pub fn namespace(&self, field: &str, name: &str) -> Result<Option<String>> {
        let known = self.index.namespaces()?;
        if !known.iter().any(|(known, _)| known == name) {
            let names: Vec<String> = known.iter().map(|(known, _)| format!("`{known}`")).collect();
            let names = names.join(", ");
            return Err(Error::bad_request(format!("`{field}`: `{name}` is not in `{}`; it has {names}", self.name)));
        }
        Ok((known.len() > 1 || name != DEFAULT_NAMESPACE).then(|| name.to_owned()))
    }

    /// Takes over tombstones that have changed, looking at most once a second. Whoever comes while another looks goes on. A
    /// list that cannot be used changes nothing and is said in the log: what is gone stays gone.
    pub fn refresh(&self) {
        let now = self.opened.elapsed().as_millis() as u64;
        let due = self.next_look_ms.load(Ordering::Relaxed);
        let next = now + LOOK_EVERY_MS;
        if now < due || self.next_look_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        if let Err(error) = self.read_tombstones() {
            tracing::error!(index = self.name, code = error.code().as_str(), "tombstones: {error}; the ones before stay");
        }
    }

    fn read_tombstones(&self) -> Result<()> {
        let stamp = stamp(&self.tombstones);
        if self.stamp.load(Ordering::Relaxed) == stamp {
            return Ok(());
        }
        // Without a list nothing comes back: it may have gone together with the index that it was for.
        let Some(tombstones) = Tombstones::read(&self.tombstones)? else { return Ok(()) };
        let named = |error: Error| Error::new(error.code(), format!("{}: {error}", self.tombstones.display()));
        self.index.bury(&tombstones).map_err(named)?;
        // Only now: a list that could not be read is looked at again.
        self.stamp.store(stamp, Ordering::Relaxed);
        Ok(())
    }
}

/// What changes when a file is replaced: 0 if there is none.
fn stamp(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let Ok(metadata) = std::fs::metadata(path) else { return 0 };
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut hasher = DefaultHasher::new();
    (metadata.len(), modified.map_or(0, |since| since.as_nanos())).hash(&mut hasher);
    hasher.finish() | 1
}

/// The index file that `named` means: itself, or the only one in the folder.
///
/// # Errors
/// There is no such file, or the folder holds none or several.
pub fn index_path(named: &Path) -> Result<PathBuf> {
    if !named.exists() {
        // A service's working folder is seldom that of its configuration.
        let place = std::path::absolute(named).ok().filter(|_| named.is_relative());
        let place = place.map_or_else(String::new, |place| format!(" at {}", place.display()));
        let message = format!("{}: no such index{place}; build it with `index-builder build FOLDER --out {0}`", named.display());
        return Err(Error::new(Code::NotFound, message));
    }
    if !named.is_dir() {
        return Ok(named.to_path_buf());
    }
    let mut files = index_files(named)?;
    match (files.pop(), files.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let message = format!("{}: holds no `.omni` file; build one with `index-builder build`", named.display());
            Err(Error::new(Code::NotFound, message))
        }
        (Some(_), others) => {
            let message =
                format!("{}: holds {} `.omni` files; name one with `--index` or `OMNI_INDEX`", named.display(), others + 1);
            Err(Error::bad_request(message))
        }
    }
}

/// Fills in what the operator left out with what lies in the working folder: the index, if there is any, and the model.
///
/// # Errors
/// There are several index files.
pub fn find_files(config: &mut Config) -> Result<()> {
    let here = Path::new(".");
    if config.index.is_none() && !index_files(here)?.is_empty() {
        config.index = Some(index_path(here)?);
    }
    let model = Path::new("models").join(DEFAULT_MODEL);
    if config.model.is_none() && model.is_dir() {
        config.model = Some(model);
    }
    Ok(())
}

fn index_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|cause| Error::io(folder, cause))?;
    // What begins with a dot is for somebody's own use.
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_index = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == INDEX_EXTENSION) && !is_hidden(path) && path.is_file()
    };
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_a_file_or_the_only_one_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let message = |path: &Path| {
            let error = index_path(path).unwrap_err();
            error.message().replace(&*folder.path().to_string_lossy(), "D")
        };
        assert_eq!(message(path), "D: holds no `.omni` file; build one with `index-builder build`");
        assert_eq!(
            message(&path.join("x.omni")),
            "D/x.omni: no such index; build it with `index-builder build FOLDER --out D/x.omni`"
        );
        let relative = index_path(Path::new("no/x.omni")).unwrap_err().message().to_owned();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("no/x.omni");
        let said =
            format!("no/x.omni: no such index at {}; build it with `index-builder build FOLDER --out no/x.omni`", here.display());
        assert_eq!(relative, said);
        std::fs::write(path.join("a.omni"), "").unwrap();
        std::fs::write(path.join(".a.omni"), "").unwrap();
        assert_eq!(index_path(path).unwrap(), path.join("a.omni"));
        assert_eq!(index_path(&path.join("a.omni")).unwrap(), path.join("a.omni"));
        std::fs::write(path.join("b.omni"), "").unwrap();
        assert_eq!(message(path), "D: holds 2 `.omni` files; name one with `--index` or `OMNI_INDEX`");
    }
}
