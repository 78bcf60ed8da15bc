//! What a build remembers for the next one: extracted documents by content, vectors by text and model, what `semantic` found
//! between the sentences of a document.
//!
//! Nothing here is trusted: an entry that does not read back is made anew. A build that is killed leaves at worst a torn last
//! record, which the next one drops. One builder at a time holds the folder.

use std::collections::HashMap;
use std::fs::{DirEntry, File, OpenOptions, TryLockError};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use omni_retrieval::error;
use omni_retrieval::hex::hex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::extract::Document;
use crate::place::{TEMPORARY, folder_of, temporary};

/// Changes whenever extraction gives another result for the same bytes.
const EXTRACTION_VERSION: u32 = 8;

/// What marks the folder of a cache: it holds the texts of documents, and no build shall read them as such.
const MARKER: &str = ".omni-cache";

/// How long a document is kept that no build has used.
const UNUSED: Duration = Duration::from_hours(30 * 24);

/// Bytes of the SHA-256 before a document, as hexadecimal digits.
const DIGEST_BYTES: usize = 64;

/// Names a text in the vector store: half a SHA-256.
pub(crate) type Key = [u8; 16];

/// The folder of the cache of an index where no other is named: beside it.
pub(crate) fn folder_beside(out: &Path) -> PathBuf {
    let folder = if out.is_dir() { out } else { folder_of(out) };
    folder.join(".omni-cache")
}

/// The folder of one builder.
pub(crate) struct Cache {
    folder: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens or makes the folder and locks it.
    ///
    /// # Errors
    /// It is somebody else's, cannot be written to, or another build holds it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let made = |folder: &Path| {
            std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot make the cache folder", folder.display()))
        };
        made(folder)?;
        require_own(folder)?;
        // The mark first: a build that is killed behind it leaves a cache.
        let opened = |name| {
            let file = OpenOptions::new().create(true).append(true).open(folder.join(name));
            file.with_context(|| format!("{}: cannot write", folder.display()))
        };
        opened(MARKER)?;
        made(&folder.join("documents"))?;
        let lock = opened("lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{}: another build is using this cache; wait for it, or give this one its own `--cache`", folder.display())
            }
            Err(TryLockError::Error(cause)) => return Err(cause).with_context(|| format!("{}: cannot lock", folder.display())),
        }
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// The document that these bytes gave under this name, if it was extracted before.
    pub(crate) fn document(&self, key: &str) -> Option<Document> {
        self.recalled(key).filter(|document: &Document| document.check().is_ok())
    }

    /// The distances between windows of a text, as `maker` sees them: those of an earlier build, or what `make` gives.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn distances(
        &self,
        maker: &str,
        windows: &[&str],
        make: impl FnOnce() -> error::Result<Vec<f32>>,
    ) -> error::Result<Vec<f32>> {
        let kind = ["distances", env!("CARGO_PKG_VERSION"), maker];
        let key = name_of(kind.iter().chain(windows).copied());
        // As bits: they decide where documents are cut, and decimal digits may round.
        if let Some(known) = self.recalled::<Vec<u32>>(&key) {
            return Ok(known.into_iter().map(f32::from_bits).collect());
        }
        let made = make()?;
        self.remember(&key, &made.iter().map(|distance| distance.to_bits()).collect::<Vec<_>>());
        Ok(made)
    }

    fn recalled<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let path = self.document_path(key);
        let bytes = std::fs::read(&path).ok()?;
        let (digest, json) = bytes.split_at_checked(DIGEST_BYTES)?;
        let known = serde_json::from_slice(json).ok().filter(|_| hex(&Sha256::digest(json)).as_bytes() == digest)?;
        // What is used stays.
        drop(File::open(&path).and_then(|file| file.set_modified(SystemTime::now())));
        Some(known)
    }

    /// Remembers a document, or what was found out about one; a full disk only makes the next build slower.
    pub(crate) fn remember(&self, key: &str, found: &impl Serialize) {
        let written = || -> Result<()> {
            let mut file = temporary(&self.folder.join("documents"))?;
            let json = serde_json::to_vec(found)?;
            file.write_all(hex(&Sha256::digest(&json)).as_bytes())?;
            file.write_all(&json)?;
            file.persist(self.document_path(key))?;
            Ok(())
        };
        // The cache is a convenience: what could not be written is extracted again next time.
        drop(written());
    }

    /// Drops documents that no build has used for long.
    pub(crate) fn tidy(&self) {
        let age = |file: &DirEntry| file.metadata().and_then(|metadata| metadata.modified()).ok()?.elapsed().ok();
        let files = std::fs::read_dir(self.folder.join("documents")).into_iter().flatten().filter_map(Result::ok);
        let files = files.filter(|file| file.file_name().to_str().is_some_and(is_document));
        files.filter(|file| age(file).is_some_and(|age| age > UNUSED)).for_each(|file| drop(std::fs::remove_file(file.path())));
    }

    fn document_path(&self, key: &str) -> PathBuf {
        self.folder.join("documents").join(format!("{key}.json"))
    }

    /// The vectors of one maker: a model, and all else that decides their bits.
    pub(crate) fn vectors(&self, maker: &str, dimensions: usize) -> Result<Vectors> {
        Vectors::open(&self.folder.join(format!("vectors-{maker}.bin")), dimensions)
    }
}

/// Whether a folder is a cache.
pub(crate) fn is_cache(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Refuses a folder that somebody keeps something else in.
fn require_own(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot read", folder.display()))?;
    // Listed before the mark is looked for, which another build may be making.
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    // Volumes and repositories are never quite empty.
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.') && name != "lost+found").collect();
    names.sort_unstable();
    // What copies a folder may leave hidden files out.
    let is_vectors = |name: &String| name.starts_with("vectors-") && name.ends_with(".bin");
    let is_unmarked_cache =
        names == ["documents", "lock"] || names.iter().any(is_vectors) && names.iter().any(|name| name == "lock");
    ensure!(
        names.is_empty() || is_unmarked_cache || is_cache(folder),
        "{}: is not empty and no cache; name another folder with `--cache`",
        folder.display()
    );
    Ok(())
}

/// Whether a file in the folder of documents is one, or was to become one, by its name.
fn is_document(name: &str) -> bool {
    let is_key = |key: &str| key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.strip_suffix(".json").is_some_and(is_key) || name.starts_with(TEMPORARY)
}

/// Names a document in the cache: its content, and what its name says of its format.
pub(crate) fn document_key(content_sha256: &str, source: &str, charset: Option<&str>) -> String {
    let name = source.rsplit('/').next().unwrap_or(source);
    let version = EXTRACTION_VERSION.to_string();
    name_of([version.as_str(), env!("CARGO_PKG_VERSION"), content_sha256, name, charset.unwrap_or_default()])
}

/// A name that no other parts give.
fn name_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Names a text in the vector store.
pub(crate) fn text_key(text: &str) -> Key {
    let digest = Sha256::digest(text);
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

/// Vectors of one model: fixed-size records `key, components, check`, appended as they are made. None is ever dropped: indexes
/// share a cache, and what one of them does not need may have been paid for by another.
pub(crate) struct Vectors {
    path: PathBuf,
    file: File,
    dimensions: usize,
}

/// Bytes that check a record: the first of the SHA-256 of the rest.
const CHECK_BYTES: usize = 4;

impl Vectors {
    fn open(path: &Path, dimensions: usize) -> Result<Self> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path);
        let file = file.with_context(|| format!("{}: cannot open", path.display()))?;
        let vectors = Self { path: path.to_owned(), file, dimensions };
        // A killed build may have left half a record: cut it off, so that later ones stay aligned.
        let length = vectors.file.metadata()?.len();
        let whole = length - length % vectors.record_bytes() as u64;
        if whole != length {
            vectors.file.set_len(whole)?;
        }
        Ok(vectors)
    }

    fn record_bytes(&self) -> usize {
        size_of::<Key>() + 4 * self.dimensions + CHECK_BYTES
    }

    /// The vectors that are known of these keys.
    pub(crate) fn find(&mut self, wanted: &[Key]) -> Result<HashMap<Key, Vec<f32>>> {
        let wanted: std::collections::HashSet<&Key> = wanted.iter().collect();
        let mut found = HashMap::with_capacity(wanted.len());
        let mut record = vec![0; self.record_bytes()];
        self.file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        while reader.read_exact(&mut record).is_ok() {
            let (body, check) = record.split_at(record.len() - CHECK_BYTES);
            let (key, components) = body.split_at(size_of::<Key>());
            let Ok(key) = Key::try_from(key) else { continue };
            if wanted.contains(&key) && Sha256::digest(body)[..CHECK_BYTES] == *check {
                let (components, _) = components.as_chunks::<4>();
                found.insert(key, components.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect());
            }
        }
        Ok(found)
    }

    /// Remembers vectors.
    pub(crate) fn append(&mut self, vectors: &[(Key, &[f32])]) -> Result<()> {
        let mut bytes = Vec::with_capacity(vectors.len() * self.record_bytes());
        for (key, components) in vectors {
            let start = bytes.len();
            bytes.extend_from_slice(key);
            bytes.extend(components.iter().flat_map(|component| component.to_le_bytes()));
            let check = Sha256::digest(&bytes[start..]);
            bytes.extend_from_slice(&check[..CHECK_BYTES]);
        }
        self.file.write_all(&bytes).with_context(|| format!("{}: cannot write", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let mut vectors = cache.vectors("f00d", 3).unwrap();
        let (a, b, c) = (text_key("a"), text_key("b"), text_key("c"));
        vectors.append(&[(a, &[1.0, 2.0, 3.0]), (b, &[0.1, -0.2, f32::MIN_POSITIVE])]).unwrap();
        let found = cache.vectors("f00d", 3).unwrap().find(&[a, b, c]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[&b], [0.1, -0.2, f32::MIN_POSITIVE]);
        assert!(cache.vectors("beef", 3).unwrap().find(&[a]).unwrap().is_empty(), "another model knows nothing");
    }

    #[test]
    fn a_torn_or_altered_record_is_forgotten_and_the_rest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (a, b, c) = (text_key("a"), text_key("b"), text_key("c"));
        cache.vectors("f", 2).unwrap().append(&[(a, &[1.0, 2.0]), (b, &[3.0, 4.0])]).unwrap();
        let path = folder.path().join("vectors-f.bin");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        bytes.extend([7; 5]);
        std::fs::write(&path, bytes).unwrap();
        let mut vectors = cache.vectors("f", 2).unwrap();
        vectors.append(&[(c, &[5.0, 6.0])]).unwrap();
        let found = vectors.find(&[a, b, c]).unwrap();
        assert_eq!(found.get(&a), None);
        assert_eq!(found[&b], [3.0, 4.0]);
        assert_eq!(found[&c], [5.0, 6.0]);
    }

    #[test]
    fn a_document_comes_back_whole_or_not_and_goes_when_it_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let document = crate::extract::extract(b"# One\n\ntext", "a.md", None).unwrap();
        let key = document_key("aa", "a.md", None);
        cache.remember(&key, &document);
        let path = cache.document_path(&key);
        let grow_old = || File::open(&path).unwrap().set_modified(SystemTime::now() - 2 * UNUSED).unwrap();
        grow_old();
        assert_eq!(cache.document(&key), Some(document));
        cache.tidy();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(4).position(|four| four == b"text").unwrap();
        bytes[at] = b'n';
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(cache.document(&key), None);
        grow_old();
        let other = folder.path().join("documents/report.json");
        std::fs::write(&other, "years of work").unwrap();
        File::open(&other).unwrap().set_modified(SystemTime::now() - 2 * UNUSED).unwrap();
        cache.tidy();
        assert!(!path.exists() && other.exists());
    }

    #[test]
    fn distances_are_made_once_for_each_text_and_maker() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let distances = [0.1, 1.0 / 3.0, f32::MIN_POSITIVE];
        assert!(cache.distances("m", &["a", "b"], || Err(error::Error::internal("no engine"))).is_err());
        for (maker, windows, is_known) in
            [("m", ["a", "b"], false), ("m", ["a", "b"], true), ("m", ["ab", ""], false), ("n", ["a", "b"], false)]
        {
            let mut is_made = false;
            let make = || {
                is_made = true;
                Ok(distances.to_vec())
            };
            assert_eq!(cache.distances(maker, &windows, make).unwrap(), distances);
            assert_eq!(is_made, !is_known, "{maker} {windows:?}");
        }
    }

    #[test]
    fn what_is_remembered_may_be_read_by_whoever_may_read_the_folder() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.remember("key", &1);
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("documents/key.json"), mode("lock"));
    }

    #[test]
    fn a_folder_of_somebody_elses_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str, file: &str| {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join(file), "mine").unwrap();
            folder
        };
        let project = with("project", "lock");
        let error = Cache::open(&project).err().unwrap().to_string();
        assert!(error.ends_with("/project: is not empty and no cache; name another folder with `--cache`"), "{error}");
        assert_eq!(std::fs::read_dir(&project).unwrap().count(), 1);
        Cache::open(&with("marked", MARKER)).unwrap();
        // As the first builders left it, and as copies without hidden files are.
        let unmarked = with("unmarked", "vectors-f.bin");
        std::fs::write(unmarked.join("lock"), "").unwrap();
        Cache::open(&unmarked).unwrap();
        assert_eq!(std::fs::read(unmarked.join("vectors-f.bin")).unwrap(), b"mine");
        let without_vectors = with("without", "lock");
        std::fs::create_dir(without_vectors.join("documents")).unwrap();
        Cache::open(&without_vectors).unwrap();
        let volume = with("volume", ".gitkeep");
        std::fs::create_dir(volume.join("lost+found")).unwrap();
        Cache::open(&volume).unwrap();
        assert!(Cache::open(&with("own", "documents")).is_err());
    }

    #[test]
    fn two_builders_do_not_share_a_cache() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Cache::open(folder.path()).unwrap();
        let error = Cache::open(folder.path()).err().unwrap().to_string();
        assert!(error.ends_with("another build is using this cache; wait for it, or give this one its own `--cache`"), "{error}");
    }

    #[test]
    fn a_document_is_known_by_its_content_and_name() {
        assert_ne!(document_key("aa", "x/a.md", None), document_key("aa", "x/a.txt", None));
        assert_ne!(document_key("aa", "a.md", None), document_key("bb", "a.md", None));
        assert_eq!(document_key("aa", "x/a.md", None), document_key("aa", "y/a.md", None));
    }
}
