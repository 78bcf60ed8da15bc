//! Extraction in a child process with a time limit and a memory limit.
//!
//! `catch_unwind` stops neither a stack overflow nor an allocation failure nor an endless loop, and PDF readers know all three.
//! The child is this very executable, started again with [`CHILD_COMMAND`]: it gets a line of JSON and the file over its standard
//! input, and answers with the document as JSON on its standard output. Its standard error is read, never shown.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use omni_retrieval::error::{self, Error};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::{Document, INPUT_MAX_BYTES, Refusal, extract, too_large};

/// The hidden command that makes this executable a child; `main` hands over to [`run_child`] before it reads any option.
pub(crate) const CHILD_COMMAND: &str = "extract-child";

/// Deeply nested but honest files need a stack beyond the usual 8 MiB; untouched pages of it cost nothing.
const STACK_BYTES: usize = 64 << 20;

/// What the child may answer at most: the largest text file, escaped, with room to spare.
const ANSWER_MAX_BYTES: u64 = 256 << 20;

/// As much of the child's last words as is read for its cause of death.
const STDERR_MAX_BYTES: u64 = 64 << 10;

/// How many times as long as its computing a file may take altogether: on a busy machine a child waits for its turn, and which
/// documents are in an index must not depend on that.
const WALL_FACTOR: u32 = 10;

/// How a child ends that could not begin (`EX_TEMPFAIL` of `sysexits.h`).
const NO_THREAD: i32 = 75;

/// What one file may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// CPU time of the child; from start to answer, ten times as much.
    pub(crate) cpu: Duration,
    /// Address space of the child, in bytes.
    pub(crate) memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(60), memory_bytes: 3 << 29 }
    }
}

impl Limits {
    /// From start to answer.
    fn wall(self) -> Duration {
        self.cpu.saturating_mul(WALL_FACTOR)
    }
}

/// Extracts documents in child processes; may be used by several threads at once.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    executable: PathBuf,
    limits: Limits,
}

impl Sandbox {
    /// A sandbox whose children are the running executable.
    pub(crate) fn new(limits: Limits) -> io::Result<Self> {
        // On Linux by a name that still leads to it when another has taken its place.
        let executable = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
        Ok(Self { executable, limits })
    }

    /// Reads a document in a child process: [`extract`] with the limits enforced.
    ///
    /// # Errors
    /// No child can be started, which is no fault of the document's. Why there is none is the inner error.
    pub(crate) fn extract(
        &self,
        bytes: &[u8],
        name: &str,
        declared_charset: Option<&str>,
    ) -> error::Result<Result<Document, Refusal>> {
        if bytes.len() as u64 > INPUT_MAX_BYTES {
            return Ok(Err(too_large()));
        }
        let order = Order {
            name: name.to_owned(),
            declared_charset: declared_charset.map(str::to_owned),
            memory_bytes: self.limits.memory_bytes,
            cpu_seconds: self.limits.cpu.as_secs().max(1),
        };
        let ending = self.run(&order, bytes).map_err(|cause| {
            let remedy = "files are read in child processes; allow more processes, or use fewer `--threads`";
            Error::internal(format!("no child process: {cause}; {remedy}"))
        })?;
        Ok(ending.answer(self.limits).and_then(|answer| document(&answer)))
    }

    fn run(&self, order: &Order, bytes: &[u8]) -> io::Result<Ending> {
        let mut command = Command::new(&self.executable);
        command.arg(CHILD_COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Reaped(command.env("RUST_BACKTRACE", "0").spawn()?);
        let (stdin, stdout, stderr) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
        let (sender, answers) = mpsc::channel();
        thread::scope(|scope| {
            // Dropped where a thread cannot be started, and before the others are waited for: they end with it.
            let mut child = child;
            thread::Builder::new().spawn_scoped(scope, move || {
                // A child that gave up early closes its end; its answer says why.
                let mut input = stdin?;
                serde_json::to_writer(&mut input, order).ok()?;
                input.write_all(b"\n").ok()?;
                input.write_all(bytes).ok()
            })?;
            let last_words = thread::Builder::new().spawn_scoped(scope, move || {
                let mut stderr = stderr?;
                let words = read_at_most(Some(&mut stderr), STDERR_MAX_BYTES);
                // A talkative library must not wait for a reader.
                let _ = io::copy(&mut stderr, &mut io::sink());
                Some(words)
            })?;
            thread::Builder::new().spawn_scoped(scope, move || sender.send(read_at_most(stdout, ANSWER_MAX_BYTES + 1)))?;
            let answer = answers.recv_timeout(self.limits.wall()).ok();
            if answer.as_ref().is_none_or(|answer| answer.len() as u64 > ANSWER_MAX_BYTES) {
                child.0.kill()?;
            }
            let status = child.0.wait()?;
            if status.code() == Some(NO_THREAD) {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "it could not start its thread"));
            }
            Ok(Ending { answer, status, last_words: last_words.join().ok().flatten().unwrap_or_default() })
        })
    }
}

/// Does a child's work: reads the order and the file from standard input, writes the answer to standard output.
pub(crate) fn run_child() -> ExitCode {
    match obey(&mut BufReader::new(io::stdin())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => ExitCode::from(NO_THREAD as u8),
        Err(cause) => {
            let _ = writeln!(io::stderr(), "{cause}");
            ExitCode::FAILURE
        }
    }
}

fn obey(input: &mut (impl BufRead + Send)) -> io::Result<()> {
    let mut line = Vec::new();
    (&mut *input).take(1 << 20).read_until(b'\n', &mut line)?;
    let order: Order = serde_json::from_slice(&line)?;
    limit(Resource::As, order.memory_bytes, order.memory_bytes)?;
    limit(Resource::Core, 0, 0)?;
    // The first second beyond ends with the signal that says why, the next one with the one that says nothing.
    limit(Resource::Cpu, order.cpu_seconds, order.cpu_seconds + 1)?;
    // The file comes behind the thread: whether there is memory for its stack must not depend on the document.
    let read = || -> io::Result<_> {
        let mut bytes = Vec::new();
        input.take(INPUT_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(extract(&bytes, &order.name, order.declared_charset.as_deref()))
    };
    let answer = thread::scope(|scope| {
        let ended = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, read)?.join();
        ended.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Ok(Err(Refusal::damaged(format_args!("the reader gave up ({})", message.unwrap_or("panic")))))
        })
    })?;
    let mut output = BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut output, &answer)?;
    output.flush()
}

fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    Ok(setrlimit(resource, Rlimit { current: Some(current.min(allowed)), maximum: Some(maximum.min(allowed)) })?)
}

fn read_at_most(source: Option<impl Read>, most_bytes: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(source) = source {
        // What was read before a failure is all there is.
        let _ = source.take(most_bytes).read_to_end(&mut bytes);
    }
    bytes
}

/// The document of an answer.
fn document(answer: &[u8]) -> Result<Document, Refusal> {
    let document = serde_json::from_slice::<Result<Document, Refusal>>(answer)
        .map_err(|cause| Refusal::new(format!("the child process gave no answer: {cause}")))??;
    // The child read a hostile file: its word on spans is checked before anyone slices by them.
    document.check().map_err(|broken| Refusal::new(format!("the extractor broke its promise: {broken}")))?;
    Ok(document)
}

/// What the child is told before it gets the file.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    name: String,
    declared_charset: Option<String>,
    memory_bytes: u64,
    cpu_seconds: u64,
}

/// A child that is killed and waited for, whatever happens to its parent's thread.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a child ended.
struct Ending {
    answer: Option<Vec<u8>>,
    status: ExitStatus,
    last_words: Vec<u8>,
}

impl Ending {
    /// The answer, or the cause of death in words.
    fn answer(self, limits: Limits) -> Result<Vec<u8>, Refusal> {
        const SIGXCPU: i32 = 24;
        let Some(answer) = self.answer else {
            return Err(killed(limits.wall(), ""));
        };
        if answer.len() as u64 > ANSWER_MAX_BYTES {
            return Err(Refusal::new(format!("more than {} MB of text", ANSWER_MAX_BYTES >> 20)));
        }
        if self.status.success() {
            return Ok(answer);
        }
        let last_words = String::from_utf8_lossy(&self.last_words);
        let cause = match self.status.signal() {
            _ if ["memory allocation of", "out of memory"].iter().any(|words| last_words.contains(words)) => {
                let gib = limits.memory_bytes as f64 / f64::from(1 << 30);
                format!("needed more than {gib:.1} GiB; `build --file-memory-mib` allows more")
            }
            _ if last_words.contains("has overflowed its stack") => "nested too deeply (stack overflow)".to_owned(),
            Some(SIGXCPU) => return Err(killed(limits.cpu, " of computing")),
            Some(signal) => format!("crashed (signal {signal})"),
            None => format!("crashed (exit status {})", self.status.code().unwrap_or(-1)),
        };
        Err(Refusal::new(cause))
    }
}

fn killed(after: Duration, of_what: &str) -> Refusal {
    Refusal::new(format!("killed after {} s{of_what}; `build --file-timeout-s` allows more", after.as_secs_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sandbox around a shell script in the place of the executable.
    fn sandbox(script: &str, limits: Limits) -> (tempfile::TempDir, Sandbox) {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("child");
        // Written by a process of its own: what another test starts meanwhile would hold it open for writing, and nothing open so
        // can be run.
        let write = "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
        assert!(Command::new("sh").arg("-c").arg(write).arg(&executable).arg(script).status().unwrap().success());
        (folder, Sandbox { executable, limits })
    }

    fn reason(script: &str) -> String {
        let limits = Limits { cpu: Duration::from_secs(20), ..Limits::default() };
        sandbox(script, limits).1.extract(b"text", "a.txt", None).unwrap().unwrap_err().to_string()
    }

    #[test]
    fn every_death_has_a_reason() {
        assert_eq!(reason("kill -SEGV $$"), "crashed (signal 11)");
        assert_eq!(reason("exit 3"), "crashed (exit status 3)");
        let memory = "needed more than 1.5 GiB; `build --file-memory-mib` allows more";
        assert_eq!(reason("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$"), memory);
        assert_eq!(reason("echo out of memory >&2; exit 1"), memory);
        assert_eq!(reason("echo thread 1 has overflowed its stack >&2; kill -ABRT $$"), "nested too deeply (stack overflow)");
        assert_eq!(reason("kill -XCPU $$"), "killed after 20 s of computing; `build --file-timeout-s` allows more");
        assert_eq!(reason("exit 0"), "the child process gave no answer: EOF while parsing a value at line 1 column 0");
        assert_eq!(reason("cat > /dev/null; echo '{\"Err\":\"scanned\"}'"), "scanned");
        assert_eq!(reason("head -c 1000000 /dev/zero >&2; cat > /dev/null; echo '{\"Err\":\"talkative\"}'"), "talkative");
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let limits = Limits { cpu: Duration::from_millis(25), ..Limits::default() };
        let started = std::time::Instant::now();
        let (_folder, sandbox) = sandbox("exec sleep 60", limits);
        // More than a pipe holds: the writer hangs too.
        let reason = sandbox.extract(&vec![b'a'; 1 << 20], "a.txt", None).unwrap().unwrap_err();
        assert_eq!(reason.to_string(), "killed after 0.25 s; `build --file-timeout-s` allows more");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_may_wait_for_its_turn() {
        let limits = Limits { cpu: Duration::from_secs(1), ..Limits::default() };
        let (_folder, sandbox) = sandbox("cat > /dev/null; sleep 1.5; echo '{\"Err\":\"late\"}'", limits);
        assert_eq!(sandbox.extract(b"text", "a.txt", None).unwrap().unwrap_err().to_string(), "late");
    }

    #[test]
    fn an_answer_with_wrong_spans_is_not_believed() {
        let document = r#"{"Ok":{"title":"","format":"text","text":"é","sections":[{"span":{"start":0,"end":1},"headings":[]}],"pages":[],"blocks":[],"warnings":[]}}"#;
        let reason = reason(&format!("cat > /dev/null; echo '{document}'"));
        assert_eq!(reason, "the extractor broke its promise: byte 1 is not on a character boundary of 2 bytes");
    }

    #[test]
    fn a_child_that_cannot_begin_is_no_fault_of_the_document() {
        let limits = Limits::default();
        let missing = Sandbox { executable: "/nonexistent/child".into(), limits };
        let error = |sandbox: &Sandbox| sandbox.extract(b"text", "a.txt", None).unwrap_err().to_string();
        let remedy = "files are read in child processes; allow more processes, or use fewer `--threads`";
        assert_eq!(error(&missing), format!("no child process: No such file or directory (os error 2); {remedy}"));
        let (_folder, threadless) = sandbox("exit 75", limits);
        assert_eq!(error(&threadless), format!("no child process: it could not start its thread; {remedy}"));
    }
}
