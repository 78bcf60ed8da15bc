//! The model from the Hugging Face hub, or from the mirror that `HF_ENDPOINT` names.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use omni_retrieval::embed::DEFAULT_MODEL;

use super::check::{FILES, check_file};
use super::{Growth, OWNER, SILENCE, at};
use crate::cause::innermost;
use crate::progress::{Progress, Transfer};

/// The hub, where no mirror is named.
const HUB: &str = "https://huggingface.co";

/// Fetches the model into `fresh`, which lies in `work`. Returns where it came from.
pub(super) fn fetch(work: &Path, fresh: &Path, progress: Progress) -> Result<String, String> {
    let mirror = std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    fetch_from(mirror.as_deref().unwrap_or(HUB), work, fresh, progress)
}

/// As [`fetch`], with the address of the hub in the caller's hand.
pub(super) fn fetch_from(endpoint: &str, work: &Path, fresh: &Path, progress: Progress) -> Result<String, String> {
    let bytes = FILES.iter().map(|part| part.bytes).sum();
    let transfer = progress.transfer(&format!("downloading from {endpoint}"), bytes);
    std::fs::create_dir_all(fresh).map_err(|cause| at(fresh, &cause))?;
    for part in FILES {
        let downloaded = download(endpoint, work, part.name, &transfer)?;
        // What the client hands out is a link into its own store.
        let stored = downloaded.canonicalize().and_then(|stored| std::fs::rename(stored, fresh.join(part.name)));
        stored.map_err(|cause| format!("{}: {cause}", part.name))?;
        // A small file that is wrong spares the large one.
        check_file(&fresh.join(part.name), &part)?;
    }
    Ok(format!("{endpoint}/{OWNER}/{DEFAULT_MODEL}"))
}

/// Downloads one file below `work`, giving up when nothing arrives any more.
///
/// The client blocks, so it has a thread of its own; one that has stalled is left behind and ends with the process.
fn download(endpoint: &str, work: &Path, name: &'static str, transfer: &Transfer) -> Result<PathBuf, String> {
    let builder = ApiBuilder::new().with_endpoint(endpoint.to_owned()).with_cache_dir(work.join("hub"));
    // Two quick retries: the user waits, and there may be another way.
    let builder = builder.with_progress(false).with_retries(2).with_token(None);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let downloaded = builder.build().and_then(|api| api.model(format!("{OWNER}/{DEFAULT_MODEL}")).download(name));
        // Nobody listens any more once the download was given up.
        drop(sender.send(downloaded));
    });
    let mut growth = Growth::new();
    loop {
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(Ok(path)) => return Ok(path),
            Ok(Err(error)) => return Err(format!("{endpoint}: {name}: {}", innermost(&error))),
            Err(RecvTimeoutError::Timeout) if !growth.has_stalled(work, transfer) => {}
            Err(_) => return Err(format!("{endpoint}: {name}: nothing arrived for {} s", SILENCE.as_secs())),
        }
    }
}
