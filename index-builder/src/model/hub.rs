//! The model from the Hugging Face hub, or from the mirror that `HF_ENDPOINT` names.

use std::path::Path;
use std::time::Duration;

use hf_hub::{HFClient, HFClientBuilder, HFError};

use super::check::{FILES, check_file};
use super::{Failure, Growth, NAME, OWNER, Progress, SILENCE};

/// Fetches the model into `fresh`, which lies in `work`. Returns where it came from.
pub(super) fn fetch(work: &Path, fresh: &Path, progress: &Progress) -> Result<String, Failure> {
    fetch_with(HFClient::builder(), work, fresh, progress)
}

/// As [`fetch`], with the address of the hub in the caller's hand.
pub(super) fn fetch_with(client: HFClientBuilder, work: &Path, fresh: &Path, progress: &Progress) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|cause| Failure(format!("the runtime does not start: {cause}")))?;
    // Two quick retries: the user waits, and there may be another way.
    let client = client.retry_max_attempts(2).build().map_err(|cause| Failure(hub_error(&cause)))?;
    let endpoint = client.endpoint().to_owned();
    progress.begin(&format!("downloading from {endpoint}"), FILES.iter().map(|part| part.bytes).sum());
    let result = runtime.block_on(async {
        for part in FILES {
            let repository = client.model(OWNER, NAME);
            let mut download = std::pin::pin!(repository.download_file().filename(part.name).local_dir(fresh).send());
            let mut growth = Growth::new();
            loop {
                match tokio::time::timeout(Duration::from_millis(200), &mut download).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(error)) => return Err(Failure(format!("{endpoint}: {}: {}", part.name, hub_error(&error)))),
                    Err(_) if growth.has_stalled(work, progress) => {
                        return Err(Failure(format!("{endpoint}: {}: nothing arrived for {} s", part.name, SILENCE.as_secs())));
                    }
                    Err(_) => {}
                }
            }
            // A small file that is wrong spares the large one.
            check_file(&fresh.join(part.name), &part).map_err(Failure)?;
        }
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result?;
    // The client keeps its notes beside the files.
    let _ = std::fs::remove_dir_all(fresh.join(".cache"));
    Ok(format!("{endpoint}/{OWNER}/{NAME}"))
}

/// The innermost cause: what stands above it repeats the address.
fn hub_error(error: &HFError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}
