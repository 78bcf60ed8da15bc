//! The command as a process: from its start to its end with an answer, what it touches of its files, and what the service keeps in
//! memory.
//!
//! `omni-llm search` opens the model and the index, embeds one question, searches and prints. Its time is taken from outside, 40
//! runs with the files in the page cache. Then the files leave the page cache, one run follows, and `mincore` says which pages of
//! binary, model and index came back, in pages of 4 KiB and in pieces of 512 KiB, in which a Lambda image is fetched. The kernel's
//! readahead adds its share (`/sys/block/*/queue/read_ahead_kb`; set it to 4 to see what the process itself asked for).
//! `omni-llm serve` answers 1,000 questions, then its resident memory is read.
//!
//! `OMNI_INDEX` names the index (that of a large folder says most), `OMNI_MODEL` the model, `OMNI_LLM` another binary, such as the
//! one that images ship (`cargo build --profile dist --bin omni-llm`). `PEER_PYTHON` and `PEER_ONNX` as in the bench `embed`: the
//! peer imports onnxruntime and tokenizers, loads the model, embeds the question and ends; sentence-transformers does so where it
//! is installed, with the model's folder of `PEER_SENTENCE_TRANSFORMERS`.

mod support {
    pub(crate) mod figures;
    pub(crate) mod memory;
    #[path = "../../tests/support/model.rs"]
    pub(crate) mod model;
    pub(crate) mod pages;
}

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::figures::Figures;
use support::memory::kib;
use support::model::model;
use support::pages::{PAGE, PIECE, forget, pieces, resident};

const QUESTION: &str = "How do I configure provisioned concurrency for a Lambda function?";
const RUNS: usize = 40;
const QUERIES: usize = 1_000;

const ONNX_RUNTIME: &str = "
import sys, os, numpy as np, onnxruntime as ort
from tokenizers import Tokenizer
folder, query = sys.argv[1:3]
options = ort.SessionOptions(); options.intra_op_num_threads = 1
session = ort.InferenceSession(os.path.join(folder, 'onnx', 'model_quantized.onnx'), options, providers=['CPUExecutionProvider'])
ids = np.array([Tokenizer.from_file(os.path.join(folder, 'tokenizer.json')).encode(query).ids], np.int64)
hidden = session.run(None, {'input_ids': ids, 'attention_mask': np.ones_like(ids), 'token_type_ids': np.zeros_like(ids)})[0]
print(np.linalg.norm(hidden.mean(1)))
";
const SENTENCE_TRANSFORMERS: &str = "
import sys
from sentence_transformers import SentenceTransformer
print(SentenceTransformer(sys.argv[1]).encode(sys.argv[2]).shape)
";

/// What is measured.
fn binary() -> PathBuf {
    std::env::var_os("OMNI_LLM").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_omni-llm")), PathBuf::from)
}

fn main() -> Result<()> {
    let folder = model().context("the bench needs the model")?;
    let model = if folder.is_dir() { folder.join(omni_llm::embed::PACKED_FILE) } else { folder };
    let index = std::env::var_os("OMNI_INDEX").map(PathBuf::from);
    let index = index.context("OMNI_INDEX: not set; name an index, made with `index-builder build FOLDER --out x.omni`")?;
    let binary = binary();
    let files = [("binary", &binary), ("model", &model), ("index", &index)];
    let mut figures = Figures::new("cold_start");

    search(&index, &model)?;
    let times = (0..RUNS).map(|_| search(&index, &model)).collect::<Result<Vec<_>>>()?;
    figures.add_times("process: start, open, embed, search, print, exit", times, None);

    for (name, path) in files {
        forget(path)?;
        let left = resident(path)?.into_iter().filter(|page| *page).count();
        ensure!(
            left == 0,
            "{left} pages of the {name} stay in the page cache: whatever else has {} open must end first",
            path.display()
        );
    }
    let first = search(&index, &model)?;
    figures.add("the same with no file in the page cache", first.as_secs_f64() * 1e3, "ms", None);
    for (name, path) in files {
        let pages = resident(path)?;
        figures.add(
            format!("{name}, touched"),
            pages.iter().filter(|page| **page).count() as f64 * PAGE as f64 / 1e6,
            "MB",
            None,
        );
        figures.add(format!("{name}, pieces of 512 KiB touched"), pieces(&pages) as f64, "pieces", None);
        figures.add(format!("{name}, pieces in all"), pages.len().div_ceil(PIECE) as f64, "pieces", None);
    }

    memory(&index, &model, &mut figures)?;
    for (name, script, folder) in [
        ("ONNX Runtime", ONNX_RUNTIME, std::env::var_os("PEER_ONNX")),
        ("sentence-transformers", SENTENCE_TRANSFORMERS, std::env::var_os("PEER_SENTENCE_TRANSFORMERS")),
    ] {
        peer(name, script, folder.as_deref(), &mut figures)?;
    }
    figures.write()
}

/// One run of the command, in wall-clock time.
fn search(index: &Path, model: &Path) -> Result<Duration> {
    let started = Instant::now();
    let output =
        Command::new(binary()).arg("search").arg(QUESTION).arg("--index").arg(index).arg("--model").arg(model).output()?;
    let time = started.elapsed();
    ensure!(output.status.success(), "omni-llm search: {}", String::from_utf8_lossy(&output.stderr));
    Ok(time)
}

/// Resident memory of the service after [`QUERIES`] questions over HTTP, one at a time.
fn memory(index: &Path, model: &Path, figures: &mut Figures) -> Result<()> {
    let started = Instant::now();
    let mut service = Command::new(binary())
        .args(["serve", "--addr", "127.0.0.1:0"])
        .args([OsStr::new("--index"), index.as_os_str(), OsStr::new("--model"), model.as_os_str()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut log = BufReader::new(service.stderr.take().context("stderr")?);
    let mut address = None;
    for _ in 0..20 {
        let mut line = String::new();
        log.read_line(&mut line)?;
        address = line.split("\"addr\":\"").nth(1).and_then(|rest| Some(rest.split_once('"')?.0.to_owned()));
        if address.is_some() {
            break;
        }
    }
    let address = address.context("the service did not say where it listens")?;
    figures.add("service: start to listening", started.elapsed().as_secs_f64() * 1e3, "ms", None);
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let asked = tokio::runtime::Runtime::new()?.block_on(async {
        let client = reqwest::Client::new();
        for number in 0..QUERIES {
            let body = serde_json::json!({ "prompt": format!("{QUESTION} Case {number}."), "rag_config": { "enabled": true, "retrieval_config": { "top_k": 5 } } });
            let request = client.post(format!("http://{address}/v1/query")).header("content-type", "application/json");
            let answer = request.body(body.to_string()).send().await?;
            ensure!(answer.status().is_success(), "the service: {} {}", answer.status(), answer.text().await?);
            answer.bytes().await?;
        }
        Ok(())
    });
    let lines = [("VmRSS", "resident"), ("RssAnon", "of which its own"), ("RssFile", "of which mapped files")];
    let memory = lines.map(|(line, label)| (label, kib(&service.id().to_string(), line)));
    service.kill()?;
    service.wait()?;
    asked?;
    for (label, kib) in memory {
        if let Some(kib) = kib {
            figures.add(format!("service after {QUERIES} questions, {label}"), kib as f64 * 1.024e-3, "MB", None);
        }
    }
    Ok(())
}

fn peer(name: &str, script: &str, folder: Option<&OsStr>, figures: &mut Figures) -> Result<()> {
    let (Some(python), Some(folder)) = (std::env::var_os("PEER_PYTHON"), folder) else {
        eprintln!("skipped: {name}; set PEER_PYTHON and the folder of its model");
        return Ok(());
    };
    let run = || -> Result<Option<Duration>> {
        let started = Instant::now();
        let output = Command::new(&python).args(["-c", script]).arg(folder).arg(QUESTION).output().context("PEER_PYTHON")?;
        let time = started.elapsed();
        if !output.status.success() {
            eprintln!("skipped: {name}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
        }
        Ok(output.status.success().then_some(time))
    };
    if run()?.is_none() {
        return Ok(());
    }
    let times: Option<Vec<Duration>> = (0..5).map(|_| run()).collect::<Result<_>>()?;
    figures.add_times("process: start, load, embed, exit", times.unwrap_or_default(), Some(name));
    Ok(())
}
