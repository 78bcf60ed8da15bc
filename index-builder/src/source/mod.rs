//! Where documents come from: a folder, one file, or an S3 prefix.
//!
//! A source is listed once, sorted by path as bytes, and then read document by document. What concerns one document is a
//! [`Reason`] and costs one row of the report; what concerns the whole source (refused key, network gone) is an error and
//! ends the build, so that an outage never turns into an index that has quietly lost half of its documents.

mod budget;
mod folder;
mod reason;
#[cfg(feature = "s3")]
mod s3;
mod selection;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use omni_retrieval::error::{Code, Error, Result};

use budget::Budget;
use folder::Folder;
pub(crate) use reason::{Ignored, Reason};
use selection::Selection;

use crate::extract::INPUT_MAX_BYTES;
use crate::report::shown;

/// Most bytes of documents that a builder reads ahead.
pub(crate) const READ_AHEAD_BYTES: u64 = 256 << 20;

/// Largest document that can be extracted, in megabytes.
const MOST_FILE_MB: u64 = INPUT_MAX_BYTES / 1_000_000;

/// What the caller says about the source: one group of command-line options, shared by every command that reads documents.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Folder, file or `s3://bucket/prefix` to read [default: `s3://$S3_BUCKET_NAME/$S3_PREFIX`]
    pub(crate) source: Option<PathBuf>,

    /// Bucket to read where no SOURCE is given
    #[arg(long, env = "S3_BUCKET_NAME", value_name = "NAME")]
    pub(crate) s3_bucket: Option<String>,

    /// Prefix inside of --s3-bucket
    #[arg(long, env = "S3_PREFIX", value_name = "PREFIX")]
    pub(crate) s3_prefix: Option<String>,

    /// AWS region of the bucket [default: as configured for the AWS tools]
    #[arg(long, env = "S3_REGION", value_name = "REGION")]
    pub(crate) region: Option<String>,

    /// Address of an S3 service that is not AWS, such as `http://127.0.0.1:9000`
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,

    /// Put the bucket into the path of S3 addresses, not into the host name
    #[arg(long)]
    pub(crate) path_style: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,

    /// Largest document that is read, in megabytes
    #[arg(long, value_name = "MB", default_value_t = Self::MAX_FILE_MB, value_parser = clap::value_parser!(u64).range(1..=MOST_FILE_MB))]
    pub(crate) max_file_mb: u64,

    /// Documents that are downloaded at the same time
    #[arg(long, value_name = "N", default_value_t = Self::DOWNLOADS, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) downloads: u16,
}

impl Default for Options {
    /// No source, and everything else as on an empty command line.
    fn default() -> Self {
        Self {
            source: None,
            s3_bucket: None,
            s3_prefix: None,
            region: None,
            endpoint_url: None,
            path_style: false,
            selection: Selection::default(),
            max_file_mb: Self::MAX_FILE_MB,
            downloads: Self::DOWNLOADS,
        }
    }
}

impl Options {
    const MAX_FILE_MB: u64 = 100;
    const DOWNLOADS: u16 = 16;

    /// The largest document that is read, in bytes.
    fn max_bytes(&self) -> u64 {
        self.max_file_mb * 1_000_000
    }
}

/// A place that holds documents, and which of them are meant.
pub(crate) struct Source {
    place: Place,
    selection: Selection,
}

/// Where documents are.
enum Place {
    /// A folder or a single file of this machine.
    Folder(Folder),
    /// A bucket, or what is below a prefix of it.
    #[cfg(feature = "s3")]
    S3(Box<s3::S3>),
}

/// One document of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its whole address: the path below the folder, or `s3://bucket/key`.
    pub(crate) uri: String,
    /// Its path below the root of the source, `/`-separated. Bytes that are not UTF-8 are written `\xNN`.
    pub(crate) source: String,
    /// Its size in bytes when it was listed.
    pub(crate) size: u64,
    /// What changes when its content is written again: the etag, or size and modification time.
    pub(crate) stamp: String,
    /// How the source itself finds it.
    key: OsString,
}

/// What a source holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The documents, sorted by `source` as bytes.
    pub(crate) entries: Vec<Entry>,
    /// What looked like a document or a folder of them and cannot be read, sorted by path.
    pub(crate) skipped: Vec<(String, Reason)>,
    /// What is left out on purpose, sorted by path.
    pub(crate) ignored: Vec<(String, Ignored)>,
    /// Links to other files of the source, with the names of these.
    links: Vec<(String, String)>,
}

/// A document as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Its character set, where the source declares one.
    pub(crate) charset: Option<String>,
}

impl Source {
    /// Opens what the options name. Nothing is read yet; a bucket is not asked before [`Self::list`].
    ///
    /// # Errors
    /// If no source is named, the address is malformed or the path does not exist.
    pub(crate) fn open(options: &Options) -> Result<Self> {
        let place = match &options.source {
            Some(path) => Place::open(path, options),
            None => {
                let bucket = options.s3_bucket.as_deref().filter(|bucket| !bucket.is_empty()).ok_or_else(|| {
                    Error::bad_request("no source: name a folder, a file or `s3://bucket/prefix`, or set `S3_BUCKET_NAME`")
                })?;
                let prefix = options.s3_prefix.as_deref().unwrap_or_default();
                open_s3(&format!("{bucket}/{}", prefix.trim_start_matches('/')), options)
            }
        }?;
        Ok(Self { place, selection: options.selection.clone() })
    }

    /// Takes these files and folders for the builder's own, wherever they stand in the source.
    #[must_use]
    pub(crate) fn without(mut self, own: &[PathBuf]) -> Self {
        match &mut self.place {
            Place::Folder(folder) => folder.leave_out(own),
            #[cfg(feature = "s3")]
            Place::S3(_) => {}
        }
        self
    }

    /// Lists the documents.
    ///
    /// # Errors
    /// If the source cannot be reached or read, or holds no document at all.
    pub(crate) fn list(&self) -> Result<Listing> {
        let mut listing = match &self.place {
            Place::Folder(folder) => folder.list()?,
            #[cfg(feature = "s3")]
            Place::S3(bucket) => bucket.list()?,
        };
        self.selection.apply(&mut listing);
        listing.entries.sort_unstable_by(|a, b| a.source.as_bytes().cmp(b.source.as_bytes()));
        listing.skipped.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        listing.ignored.sort_unstable();
        if listing.entries.is_empty() {
            return Err(self.empty(&listing));
        }
        Ok(listing)
    }

    /// Reads one document; may be called from several threads at once.
    ///
    /// # Errors
    /// If the source as a whole no longer answers. What concerns the document alone is the inner [`Reason`].
    pub(crate) fn read(&self, entry: &Entry) -> Result<Result<Content, Reason>> {
        match &self.place {
            Place::Folder(folder) => folder.read(entry),
            #[cfg(feature = "s3")]
            Place::S3(bucket) => bucket.read(entry),
        }
    }

    /// Reads all `entries` ahead of the work: `visit` is called once for each, on one of `workers` threads and in no certain
    /// order, while further documents are already being read. What it returns is in the order of `entries`.
    ///
    /// The documents that are read and not yet visited hold at most `budget_bytes` together (or one document, if it is larger).
    ///
    /// # Errors
    /// If the source as a whole no longer answers, or `visit` fails; what is under way is finished first.
    pub(crate) fn read_all<T: Send>(
        &self,
        entries: &[Entry],
        workers: usize,
        budget_bytes: u64,
        visit: impl Fn(&Entry, Result<Content, Reason>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let workers = workers.max(1);
        let readers = self.readers().min(entries.len());
        let budget = Budget::new(budget_bytes);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (visited, failure) = (Mutex::new(Vec::with_capacity(entries.len())), Mutex::new(None));
        let fail = |error| {
            stop.store(true, Ordering::Relaxed);
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        };
        let no_thread = |cause| fail(Error::internal(format!("cannot start a thread: {cause}; allow more of them")));
        let (sender, receiver) = mpsc::sync_channel(workers);
        // Owned by the workers alone: if all of them panic it is gone, and no reader waits for them forever.
        let receiver = Arc::new(Mutex::new(receiver));
        thread::scope(|scope| {
            for _ in 0..readers {
                let sender = sender.clone();
                let read = || {
                    let sender = sender;
                    while !stop.load(Ordering::Relaxed) {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = entries.get(index) else { return };
                        let share = budget.take(entry.size);
                        match self.read(entry) {
                            Ok(result) => {
                                if sender.send((index, result, share)).is_err() {
                                    return;
                                }
                            }
                            Err(error) => fail(error),
                        }
                    }
                };
                thread::Builder::new().spawn_scoped(scope, read).map_or_else(no_thread, drop);
            }
            drop(sender);
            for receiver in vec![receiver; workers] {
                let (visit, visited, fail) = (&visit, &visited, &fail);
                let work = move || {
                    loop {
                        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((index, result, share)) = received else { return };
                        match visit(&entries[index], result) {
                            Ok(outcome) => visited.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome)),
                            Err(error) => fail(error),
                        }
                        drop(share);
                    }
                };
                thread::Builder::new().spawn_scoped(scope, work).map_or_else(no_thread, drop);
            }
        });
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut visited = visited.into_inner().unwrap_or_else(PoisonError::into_inner);
        visited.sort_unstable_by_key(|(index, _)| *index);
        Ok(visited.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// How many documents are worth reading at once: downloads wait for the network, a disk is quick.
    fn readers(&self) -> usize {
        match &self.place {
            Place::Folder(_) => 2,
            #[cfg(feature = "s3")]
            Place::S3(bucket) => bucket.downloads(),
        }
    }

    /// The error of a source without a single document.
    fn empty(&self, listing: &Listing) -> Error {
        let mut text = format!("{self}: no documents there");
        if let Some((path, reason)) = listing.skipped.first() {
            let (path, reason) = (shown(path), reason.to_string());
            text += &format!(" ({} skipped, first `{path}`: {})", listing.skipped.len(), shown(&reason));
        }
        if let Some((path, why)) = listing.ignored.first() {
            text += &format!(" ({} ignored, first `{}`: {why})", listing.ignored.len(), shown(path));
        }
        text += match &self.place {
            _ if listing.ignored.iter().any(|(_, why)| why.by_selection()) => {
                "; globs of `--include` and `--exclude` are compared with paths below the source: `*.md`, and not `docs/*.md`, for the folder `docs`"
            }
            Place::Folder(_) => "; put PDF, DOCX, HTML, Markdown or text files into it or name another folder",
            #[cfg(feature = "s3")]
            Place::S3(_) => "; check the prefix, it is a folder of keys and case counts",
        };
        Error::new(Code::NotFound, text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(folder) => write!(f, "`{}`", folder.named().display()),
            #[cfg(feature = "s3")]
            Place::S3(bucket) => write!(f, "`{bucket}`"),
        }
    }
}

impl Place {
    fn open(path: &Path, options: &Options) -> Result<Self> {
        if let Some(address) = path.to_str().filter(|text| text.contains("://") && !path.exists()) {
            return match address.split_once("://") {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => open_s3(rest, options),
                _ => Err(Error::bad_request(format!(
                    "`{address}`: not a kind of source that is read; name a folder, a file or `s3://bucket/prefix`"
                ))),
            };
        }
        Folder::open(path, options.max_bytes()).map(Self::Folder)
    }
}

/// Opens `bucket/prefix`.
fn open_s3(address: &str, options: &Options) -> Result<Place> {
    let (bucket, prefix) = bucket_and_prefix(address)?;
    #[cfg(feature = "s3")]
    return s3::S3::open(bucket, prefix, options).map(|bucket| Place::S3(Box::new(bucket)));
    #[cfg(not(feature = "s3"))]
    {
        let _ = options;
        Err(Error::new(
            Code::NotSupported,
            format!("`s3://{bucket}/{prefix}`: this index-builder was built without S3; build it with `--features s3`"),
        ))
    }
}

/// Splits what stands behind `s3://`. Slashes at the end of the prefix say nothing: a prefix is a folder of keys, or one key.
fn bucket_and_prefix(address: &str) -> Result<(&str, &str)> {
    let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
    if bucket.is_empty() {
        return Err(Error::bad_request(format!("`s3://{address}`: no bucket; write `s3://bucket/prefix`")));
    }
    if !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(Error::bad_request(format!(
            "`s3://{address}`: `{bucket}` cannot be a bucket; its name has only letters, digits, `-`, `.` and `_`"
        )));
    }
    Ok((bucket, prefix.trim_end_matches('/')))
}

/// Whether a file of this name is an index or a list of what is gone from one, as we call them.
fn is_ours_by_name(name: &[u8]) -> bool {
    name.ends_with(b".omni") || name.ends_with(b".omni.tombstones")
}

#[cfg(test)]
mod tests;
