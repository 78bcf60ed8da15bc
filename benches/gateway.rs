//! What a gateway adds: our front door, LiteLLM's proxy and Portkey's gateway between the same load generator and the same mock
//! provider, with the direct way as the baseline, in one run.
//!
//! Two cores: generator and mock on core 0, the gateway alone on core 1 (`taskset`). Bodies of 1 and 16 KiB: one request after the
//! other, then as fast as answers come over 32 connections, then 100, 500 and 1,000 requests a second (each time counts from the
//! moment when the request was due, so a stall is not hidden; a rate over 80 % of what a gateway can do is left out, and said), all
//! over connections that are open already.
//! "Added" is the percentile through the gateway minus the same percentile of the direct way, JSON and translation included.
//! Streams: the mock waits 25 ms, then sends 20 pieces 5 ms apart; added time to the first piece over 40 streams. Resident memory
//! of the gateway's process tree after the load, and, for ours, after 100,000 requests more. Start-to-ready: from spawning the
//! process to the first 200.
//!
//! How much of it is the machine's says a relay that only copies bytes, between the same two and on the gateway's core.
//!
//! `OMNI_LLM` is our binary (by default the one that images ship: `cargo build --profile dist --bin omni-llm`), `LITELLM` LiteLLM's
//! command (PyPI `litellm[proxy]`), `PORTKEY` the file `build/start-server.js` of npm `@portkey-ai/gateway`. A peer that is not
//! named is not measured, which the run says. `cargo bench --bench gateway -- relay ours` (or `litellm`, or `portkey`) measures the
//! direct way and these only; the figures of the others stay.

mod support {
    pub(crate) mod figures;
    pub(crate) mod load;
    pub(crate) mod memory;
}

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use support::figures::Figures;
use support::load::{self, Call, Load, Mock};
use support::memory::kib;

/// The way that is measured.
struct Way {
    peer: Option<&'static str>,
    call: Call,
    process: Option<Running>,
}

/// A gateway that runs, until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gateways have children; the group is ours. Without `--`, some versions of `kill` read a group as "everyone".
        let _ = Command::new("kill").args(["-9", "--", &format!("-{}", self.0.id())]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

fn main() -> Result<()> {
    if let Ok(ends) = std::env::var("OMNI_BENCH_RELAY") {
        let (listen, upstream) = ends.split_once(' ').context("two addresses")?;
        return Ok(load::relay(listen.parse()?, upstream.parse()?)?);
    }
    if std::env::var_os("OMNI_BENCH_PINNED").is_none() {
        let bench = std::env::current_exe()?;
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0"]).arg(bench).args(std::env::args().skip(1));
        let status = pinned.env("OMNI_BENCH_PINNED", "1").status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    let asked: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let mut figures = Figures::new("gateway");
    let mock = Mock::start()?;
    let direct = Way { peer: Some("direct"), call: call(mock.addr, "mock-1k", ""), process: None };
    let mut baseline = Vec::new();
    measure(&mut figures, &direct, &mut baseline, true)?;
    // Where no index, no model and no configuration lie.
    let empty = tempfile::tempdir()?;
    for name in [Some("relay"), None, Some("litellm"), Some("portkey")] {
        let label = name.unwrap_or("ours");
        if !asked.is_empty() && !asked.iter().any(|it| it == label) {
            continue;
        }
        match open(name, &mock, empty.path(), &mut figures) {
            Ok(way) => measure(&mut figures, &way, &mut baseline, false)?,
            Err(why) => eprintln!("{label}: not measured: {why:#}"),
        }
    }
    figures.write()
}

fn call(addr: SocketAddr, model: &str, headers: &str) -> Call {
    let filler = "What is the meaning of this? ".repeat(30);
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{filler}"}}]}}"#);
    Call { addr, path: "/v1/chat/completions".to_owned(), headers: headers.to_owned(), body }
}

/// Starts a gateway and waits until it answers.
fn open(name: Option<&'static str>, mock: &Mock, empty: &Path, figures: &mut Figures) -> Result<Way> {
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let port = addr.port().to_string();
    let upstream = format!("http://{}/v1", mock.addr);
    let (mut command, ready, model, headers) = match name {
        None => {
            let bin = std::env::var_os("OMNI_LLM").map_or_else(|| PathBuf::from("target/dist/omni-llm"), PathBuf::from);
            let mut command = pinned(&bin)?;
            command.arg("serve").env("OMNI_ADDR", addr.to_string()).env("CUSTOM_BASE_URL", &upstream).env("LOG_LEVEL", "warn");
            (command, "/healthz", "custom/mock-1k", String::new())
        }
        Some("relay") => {
            let mut command = pinned(&std::env::current_exe()?)?;
            command.env("OMNI_BENCH_RELAY", format!("{addr} {}", mock.addr));
            (command, "/", "mock-1k", String::new())
        }
        Some("litellm") => {
            let bin = PathBuf::from(std::env::var_os("LITELLM").context("`LITELLM` names no command")?);
            let path = empty.join("litellm.yaml");
            let rows: String = ["mock-1k", "mock-16k"]
                .iter()
                .map(|model| format!("  - model_name: {model}\n    litellm_params: {{model: openai/{model}, api_base: \"{upstream}\", api_key: sk-mock}}\n"))
                .collect();
            std::fs::write(&path, format!("model_list:\n{rows}"))?;
            let mut command = pinned(&bin)?;
            command.args(["--host", "127.0.0.1", "--port", &port, "--num_workers", "1", "--config"]).arg(&path);
            command.env("LITELLM_LOG", "ERROR").env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
            // No keys of its own to check: less work for it.
            command.env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true");
            (command, "/health/liveliness", "mock-1k", String::new())
        }
        Some(_) => {
            let script = PathBuf::from(std::env::var_os("PORTKEY").context("`PORTKEY` names no file")?);
            let mut command = pinned(&PathBuf::from("node"))?;
            command
                .arg(script)
                .arg(format!("--port={port}"))
                .arg("--headless")
                .env("TRUSTED_CUSTOM_HOSTS", "localhost,127.0.0.1");
            let headers = format!("x-portkey-provider: openai\r\nx-portkey-custom-host: {upstream}\r\n");
            (command, "/", "mock-1k", headers)
        }
    };
    let started = Instant::now();
    let mut child = command
        .current_dir(empty)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("it does not start")?;
    while !is_ready(addr, ready) {
        if started.elapsed() > Duration::from_secs(300) || child.try_wait()?.is_some() {
            drop(Running(child));
            bail!("it did not become ready");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    figures.add("start to ready", started.elapsed().as_secs_f64() * 1e3, "ms", name);
    Ok(Way { peer: name, call: call(addr, model, &headers), process: Some(Running(child)) })
}

/// A command on the gateway's core.
fn pinned(program: &Path) -> Result<Command> {
    let program = if program.components().count() > 1 { program.canonicalize()? } else { program.to_owned() };
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(program);
    Ok(command)
}

fn is_ready(addr: SocketAddr, path: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let attempt = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    attempt().unwrap_or(false)
}

/// One percentile of the direct way, kept for what comes after.
struct Baseline {
    name: String,
    percent: usize,
    us: f64,
}

fn measure(figures: &mut Figures, way: &Way, baseline: &mut Vec<Baseline>, is_direct: bool) -> Result<()> {
    // How many requests take about a second is found out while it warms up.
    let warm = way.call.load(8, if way.peer == Some("litellm") { 100 } else { 3_000 }, None);
    if warm.times.is_empty() {
        bail!("{}: no request succeeded", way.peer.unwrap_or("ours"));
    }
    let second = warm.times.len() as f64 / warm.took.as_secs_f64();
    for kib in [1, 16] {
        let call = Call { body: way.call.body.replace("mock-1k", &format!("mock-{kib}k")), ..way.call.clone() };
        let load = call.load(1, (second as usize).clamp(50, 3_000), None);
        note(figures, way.peer, &format!("{kib} KiB, one by one"), load, baseline, is_direct);
        let load = call.load(32, (second * 3.0) as usize, None);
        let most = load.times.len() as f64 / load.took.as_secs_f64();
        figures.add(format!("{kib} KiB, saturated"), most, "requests/s", way.peer);
        note(figures, way.peer, &format!("{kib} KiB, 32 at once"), load, baseline, is_direct);
        for rate in [100, 500, 1_000] {
            if f64::from(rate) > most * 0.8 {
                eprintln!("{:<10} {kib} KiB at {rate}/s: more than it can do", way.peer.unwrap_or("ours"));
                continue;
            }
            let load = call.load(64, rate as usize * 4, Some(rate.into()));
            note(figures, way.peer, &format!("{kib} KiB at {rate}/s"), load, baseline, is_direct);
        }
    }
    let mut streaming = way.call.clone();
    streaming.body = streaming.body.replacen('{', "{\"stream\":true,", 1);
    match (0..40).map(|_| streaming.first_piece()).collect::<std::io::Result<Vec<Duration>>>() {
        Ok(times) => {
            let load = Load { times, failed: 0, took: Duration::ZERO };
            note(figures, way.peer, "first piece of a stream", load, baseline, is_direct);
        }
        Err(why) => eprintln!("{:<10} it does not stream: {why}", way.peer.unwrap_or("ours")),
    }
    let Some(process) = &way.process else { return Ok(()) };
    figures.add("resident memory", resident_mib(process.0.id()), "MiB", way.peer);
    if way.peer.is_none() {
        for _ in 0..2 {
            way.call.load(32, 50_000, None);
            figures.add("resident memory, 50,000 requests later", resident_mib(process.0.id()), "MiB", None);
        }
    }
    Ok(())
}

fn note(
    figures: &mut Figures,
    peer: Option<&'static str>,
    name: &str,
    load: Load,
    baseline: &mut Vec<Baseline>,
    is_direct: bool,
) {
    let (mut times, failed) = (load.times, load.failed);
    times.sort_unstable();
    for percent in [50, 99] {
        let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        let us = times.get(at).copied().unwrap_or_default().as_secs_f64() * 1e6;
        if is_direct {
            baseline.push(Baseline { name: name.to_owned(), percent, us });
        } else if let Some(known) = baseline.iter().find(|it| it.name == name && it.percent == percent) {
            figures.add(format!("{name}, added p{percent}"), us - known.us, "us", peer);
        }
    }
    figures.add_times(name, times, peer);
    if failed > 0 {
        figures.add(format!("{name}, failed"), failed as f64, "requests", peer);
    }
}

/// Memory of a process and its descendants.
fn resident_mib(root: u32) -> f64 {
    let pids: Vec<String> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    let group = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(2)?.parse::<u32>().ok())
    };
    pids.iter().filter(|pid| group(pid) == Some(root)).filter_map(|pid| kib(pid, "VmRSS")).sum::<u64>() as f64 / 1024.0
}
