//! The encoder: one query, and passages a second, ours (int8 and f32, on each kernel that this machine has) beside candle and,
//! where it can be had, ONNX Runtime int8, in one run.
//!
//! Query: 17 tokens, 300 times after one untimed, p50 and p99. Passages: those of `../shared/scale/passages.txt` (else made up
//! ones), best of two rounds. Both on one thread and on two. ONNX Runtime and our kernel for this machine take turns, three rounds
//! of both, the best of each, because a machine that others share is not the same a minute later. The model is that of `OMNI_MODEL`
//! or `models/all-MiniLM-L6-v2`. The parts of a layer, on one thread: models of the same shape with random weights, one of which
//! lacks a part. What it lacks in time is what the part takes, its share of quantising included.
//! ONNX Runtime runs where `PEER_PYTHON` names a Python that has onnxruntime, tokenizers and numpy, and `PEER_ONNX` the folder with
//! its int8 model: `../shared/peers/README.md` says where that comes from.

#[path = "../omni-retrieval/tests/embed_support/mod.rs"]
mod embed_support;
#[path = "../omni-retrieval/tests/embed_support/reference.rs"]
mod reference;
mod support {
    pub(crate) mod figures;
}

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use embed_support::{model::model, shared::shared};
use omni_llm::embed::{Description, Embedder, Kernel, Packed, Pooling, Precision, pack};
use support::figures::Figures;

/// Width, width of the feed-forward part and layers of all-MiniLM-L6-v2.
const SHAPE: [usize; 3] = [384, 1536, 6];

const QUERY: &str = "How do I configure provisioned concurrency for a Lambda function?";

fn main() -> Result<()> {
    let folder = model().context("the bench needs the model")?;
    let mut figures = Figures::new("embed");
    let passages = shared("scale/passages.txt");
    let text = passages.as_ref().map(std::fs::read_to_string).transpose()?.unwrap_or_else(|| {
        let passage = "The index is one immutable file, mapped and never read, so that a cold process answers at once. ";
        (1..129).map(|count| passage.repeat(1 + count % 12) + "\n").collect()
    });
    let texts: Vec<&str> = text.lines().collect();

    // f32 is five times slower; a quarter of the passages says as much.
    let quarter: Vec<&str> = texts.iter().copied().step_by(4).collect();
    for (precision, label, texts) in [(Precision::Int8, "int8", &texts), (Precision::F32, "f32", &quarter)] {
        let started = Instant::now();
        let bytes = pack(&folder, &Description::of(&folder)?, precision)?;
        figures.add(format!("{label}, packing"), started.elapsed().as_secs_f64() * 1e3, "ms", None);
        figures.add(format!("{label}, packed model"), bytes.len() as f64 / 1e6, "MB", None);
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), &bytes)?;
        let opens = (0..100).map(|_| {
            let started = Instant::now();
            black_box(Packed::open(file.path())).map(|_| started.elapsed())
        });
        figures.add_times(&format!("{label}, open"), opens.collect::<Result<_, _>>()?, None);
        for name in ["avx512", "avxvnni", "avx2", "neon"] {
            let Some(kernel) = Kernel::named(name) else { continue };
            ours(&format!("{label} {name}"), &Embedder::open(file.path())?.with_kernel(kernel), texts, &mut figures)?;
        }
        if let (Precision::Int8, Some(passages)) = (precision, &passages) {
            beside_onnx_runtime(&Embedder::open(file.path())?, texts, passages, &mut figures)?;
        }
    }
    for name in ["avx512", "avxvnni", "avx2", "neon"] {
        let Some(kernel) = Kernel::named(name) else { continue };
        parts(&format!("int8 {name}"), kernel, &mut figures)?;
    }
    candle(&folder, &texts, &mut figures)?;
    figures.write()
}

fn ours(name: &str, embedder: &Embedder, texts: &[&str], figures: &mut Figures) -> Result<()> {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let queries = pool.install(|| times(|| embedder.embed_query(QUERY).map(drop).map_err(Into::into)))?;
        figures.add_times(&format!("{name}, query, {threads} threads"), queries, None);
        let mut best = Duration::MAX;
        for _ in 0..2 {
            let started = Instant::now();
            black_box(pool.install(|| embedder.embed(texts, &|_| ()))?);
            best = best.min(started.elapsed());
        }
        figures.add(format!("{name}, passages, {threads} threads"), texts.len() as f64 / best.as_secs_f64(), "per s", None);
    }
    Ok(())
}

/// What the parts of one layer take, and how many multiply-adds they do meanwhile.
fn parts(name: &str, kernel: Kernel, figures: &mut Figures) -> Result<()> {
    let [width, inner, layers] = SHAPE;
    // The narrowest feed-forward part that there is.
    let narrow = 64;
    let open = |inner, layers| -> Result<Embedder> {
        // As small as those of a trained model, so that scores stay in its range too.
        let shape = embed_support::Shape { width, inner, layers, heads: 12, positions: 512, weight: 0.05, ..Default::default() };
        let folder = shape.write();
        let bytes = pack(folder.path(), &Description::of(folder.path())?, Precision::Int8)?;
        Ok(Embedder::of(Packed::from_bytes(&bytes)?)?.with_kernel(kernel))
    };
    let (whole, thin, short) = (open(inner, layers)?, open(narrow, layers)?, open(inner, 1)?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    // Seconds of the best round; a word is a token, and two are special.
    let seconds = |embedder: &Embedder, texts: usize, tokens: usize| -> Result<f64> {
        let text = "index ".repeat(tokens - 2);
        let texts = vec![text.as_str(); texts];
        let mut best = f64::INFINITY;
        for _ in 0..(20_000 / (texts.len() * tokens)).min(300) {
            let started = Instant::now();
            black_box(pool.install(|| embedder.embed(&texts, &|_| ()))?);
            best = best.min(started.elapsed().as_secs_f64());
        }
        Ok(best)
    };
    for (what, texts, tokens) in [("17 tokens", 1, 17), ("16 x 128 tokens", 16, 128)] {
        let rows = texts * tokens;
        let all = seconds(&whole, texts, tokens)?;
        let layer = (all - seconds(&short, texts, tokens)?) / (layers - 1) as f64;
        let forward = (all - seconds(&thin, texts, tokens)?) / layers as f64 * inner as f64 / (inner - narrow) as f64;
        let mut say = |part: &str, seconds: f64, products: usize| {
            figures.add(format!("{name}, {what}, {part}"), seconds * 1e6, "us", None);
            figures.add(format!("{name}, {what}, {part}, rate"), products as f64 / seconds / 1e9, "G multiply-adds/s", None);
        };
        let beside = rows * 4 * width * width;
        say("a layer", layer, beside + rows * 2 * width * (inner + tokens));
        say("up, GELU, down", forward, rows * 2 * width * inner);
        let attended = rows * 2 * width * tokens;
        if tokens < 128 {
            say("qkv, attention, output, norms", layer - forward, beside + attended);
            continue;
        }
        // In pieces of an eighth, the same tokens see an eighth as many others.
        let attention = (all - seconds(&whole, texts * 8, tokens / 8)?) / layers as f64 * 8.0 / 7.0;
        say("attention", attention, attended);
        say("qkv, output, norms", layer - forward - attention, beside);
    }
    Ok(())
}

fn candle(folder: &Path, texts: &[&str], figures: &mut Figures) -> Result<()> {
    let tokenizer = omni_llm::embed::Tokenizer::open(folder, omni_llm::embed::MAX_TOKENS)?;
    let reference = reference::Reference::open(folder);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let query = tokenizer.encode(QUERY);
    let times = pool.install(|| {
        times(|| {
            black_box(reference.embed(&query, Pooling::Mean));
            Ok(())
        })
    })?;
    figures.add_times("f32, query", times, Some("candle"));
    let some: Vec<Vec<u32>> = texts.iter().step_by(8).map(|text| tokenizer.encode(text)).collect();
    let started = Instant::now();
    for ids in &some {
        black_box(reference.embed(ids, Pooling::Mean));
    }
    figures.add("f32, passages, all threads", some.len() as f64 / started.elapsed().as_secs_f64(), "per s", Some("candle"));
    Ok(())
}

fn times(mut round: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    round()?;
    (0..300)
        .map(|_| {
            let started = Instant::now();
            round()?;
            Ok(started.elapsed())
        })
        .collect()
}

/// Ours and ONNX Runtime in turns, the best of three rounds each.
fn beside_onnx_runtime(embedder: &Embedder, texts: &[&str], passages: &Path, figures: &mut Figures) -> Result<()> {
    let peer = (std::env::var_os("PEER_PYTHON"), std::env::var_os("PEER_ONNX"), shared("peers/embed_onnxruntime.py"));
    let (Some(python), Some(model), Some(script)) = peer else {
        eprintln!("skipped: ONNX Runtime; set PEER_PYTHON and PEER_ONNX");
        return Ok(());
    };
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let (mut queries, mut rates) = ([f64::INFINITY; 2], [0.0_f64; 2]);
        for _ in 0..3 {
            let mut times = pool.install(|| times(|| embedder.embed_query(QUERY).map(drop).map_err(Into::into)))?;
            times.sort_unstable();
            let started = Instant::now();
            black_box(pool.install(|| embedder.embed(texts, &|_| ()))?);
            let ours = (times[times.len() / 2].as_secs_f64() * 1e6, texts.len() as f64 / started.elapsed().as_secs_f64());
            let output = Command::new(&python).arg(&script).arg(&model).arg(passages).arg(threads.to_string()).output();
            let output = output.context("PEER_PYTHON")?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let number =
                |before: &str| text.split(before).nth(1).and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            let (Some(query), Some(rate)) = (number("query p50"), number(" s =")) else {
                eprintln!("skipped: ONNX Runtime: {text}{}", String::from_utf8_lossy(&output.stderr));
                return Ok(());
            };
            for (at, (query, rate)) in [ours, (query * 1e3, rate)].into_iter().enumerate() {
                (queries[at], rates[at]) = (queries[at].min(query), rates[at].max(rate));
            }
        }
        for (at, peer) in [None, Some("ONNX Runtime")].into_iter().enumerate() {
            figures.add(format!("int8, in turns, query, {threads} threads, p50"), queries[at], "us", peer);
            figures.add(format!("int8, in turns, passages, {threads} threads"), rates[at], "per s", peer);
        }
        figures.add(format!("int8, query, {threads} threads, by ONNX Runtime"), queries[0] / queries[1], "", None);
        figures.add(format!("int8, passages, {threads} threads, by ONNX Runtime"), rates[0] / rates[1], "", None);
    }
    Ok(())
}
