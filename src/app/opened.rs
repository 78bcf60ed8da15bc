//! An index file that is open, and what is opened where nothing is named.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use tokio::time::Instant;

use crate::config::Config;
use crate::embed::DEFAULT_MODEL;
use crate::error::{Error, Result, quoted};
use crate::index::{DEFAULT_NAMESPACE, Index, Tombstones, index_files, index_path};
use crate::provider::embed::Model;

/// An index and what it is called.
pub struct Opened {
    /// Its file name without the extension.
    pub name: String,
    /// The file, mapped.
    pub index: Index,
    /// The provider's model that embedded it; none is the packed one.
    pub(super) remote: Option<Model>,
    /// The file by the name it was opened by, which may be a link.
    path: PathBuf,
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
    /// As [`Index::open`] and [`Index::bury_beside`].
    pub fn open(path: &Path) -> Result<Self> {
        let index = Index::open(path)?;
        index.bury_beside(path)?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self {
            name,
            index,
            remote: None,
            path: path.to_owned(),
            stamp: AtomicU64::new(0),
            next_look_ms: AtomicU64::new(LOOK_EVERY_MS),
            opened: Instant::now(),
        })
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
            let names = quoted(known.iter().map(|(known, _)| known));
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
        let list = Tombstones::path(&self.path);
        let stamp = stamp(&list);
        if self.stamp.load(Ordering::Relaxed) == stamp {
            return Ok(());
        }
        // Without a list nothing comes back: it may have gone together with the index that it was for.
        let Some(tombstones) = Tombstones::read(&list)? else { return Ok(()) };
        if tombstones.index == self.index.digest() {
            self.index.bury(&tombstones)?;
        } else {
            // Whoever forgets a document now means the new file, and this one must not go on answering with it.
            self.index.bury_also(&tombstones)?;
            let list = list.display();
            tracing::warn!(
                index = self.name,
                "the index file was replaced: what {list} names is gone from the one in use, too; restart to answer from the new one"
            );
        }
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
