//! Retrieval latency beside recall: 10,000, 100,000 and 250,000 chunks of 384 dimensions, with usearch (f32 and i8) and
//! hnsw_rs on the same vectors in the same run.
//!
//! Vectors: the rows of `target/vectors.npy` (f32, C order, unit length) where that file has enough. Where it is missing and
//! both the titles (`scale/arxiv-titles.txt` below `OMNI_SHARED`, one text a line) and the model (`OMNI_MODEL`) are there,
//! they are embedded once and kept in that file, so that other people's tools can be run on the same vectors; the titles are
//! then the texts of the chunks and of the questions too. Otherwise
//! they are synthetic: 500 topics in a space of 48 dimensions, spread, turned into 384 with a little noise. Which of them it
//! was is printed. The queries are the 2,000 rows behind those of the largest size; they are in no index.
//!
//! One query at a time; each time is that of one search, k = 10, page cache warm, after one untimed round over all
//! queries. Ours runs on one thread, and so do the peers. Recall@10 is against the exact f32 scan. "64 at once" is ours on
//! all cores: searches a second, and how long one takes among the others. Then every vector of the index is asked for, and those that do not find
//! themselves are counted.
//!
//! `OMNI_BENCH_CHUNKS=10000` chooses sizes, `OMNI_BENCH_PEERS=0` leaves the peers out (their graphs take minutes to build).

mod support;

use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hnsw_rs::prelude::{DistDot, Hnsw};
use omni_llm::embed::Embedder;
use omni_llm::index::{Chunk, Document, Index, Lexical, Manifest, Query, Recall, Writer};
use rayon::prelude::*;
use support::figures::Figures;
use support::random::Random;
use usearch::{IndexOptions, MetricKind, ScalarKind};

const DIMENSIONS: usize = 384;
const LARGEST: usize = 250_000;
const QUERIES: usize = 2_000;
const K: usize = 10;
/// Breadth with which the peers build their graphs (16 links a node): small, so that the run stays short.
const CONSTRUCTION: usize = 64;
/// Breadths with which the peers search, from quick to thorough.
const BREADTHS: [usize; 4] = [64, 128, 256, 512];
/// Searches that run at the same time.
const AT_ONCE: usize = 64;

fn main() -> Result<()> {
    let mut figures = Figures::new("search");
    let sizes = std::env::var("OMNI_BENCH_CHUNKS").unwrap_or_else(|_| "10000,100000,250000".into());
    let alone = std::env::var("OMNI_BENCH_PEERS").is_ok_and(|value| value == "0");
    let mut vectors = vectors(LARGEST + QUERIES)?;
    let queries = vectors.split_off(LARGEST);
    let mut texts = texts(LARGEST + QUERIES)?;
    let questions = texts.split_off(LARGEST);
    for size in sizes.split(',') {
        let count = size.parse::<usize>().context("OMNI_BENCH_CHUNKS")?.min(LARGEST);
        let label = format!("{}k", count / 1000);
        let set = Set { vectors: &vectors[..count], queries: &queries, nearest: nearest(&vectors[..count], &queries), label };
        let index = build(&set, &texts[..count], &mut figures)?;
        // A thread that is its own pool of one: nothing is handed to another core.
        std::thread::scope(|scope| {
            let measure = || {
                let _pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
                ours(&set, &index, &questions, &mut figures);
                anyhow::Ok(())
            };
            scope.spawn(measure).join().map_err(|_| anyhow!("the measuring thread panicked"))?
        })?;
        at_once(&set, &index, &mut figures);
        find_themselves(&set, &index, &mut figures);
        drop(index);
        if !alone {
            usearch(&set, ScalarKind::F32, &mut figures)?;
            usearch(&set, ScalarKind::I8, &mut figures)?;
            hnsw_rs(&set, &mut figures);
        }
    }
    figures.write()
}

/// Vectors, queries, and what an exact search finds.
struct Set<'a> {
    vectors: &'a [Vec<f32>],
    queries: &'a [Vec<f32>],
    nearest: Vec<Vec<u64>>,
    label: String,
}

impl Set<'_> {
    /// Times `search` for every query and notes recall beside it.
    fn measure(&self, name: &str, peer: Option<&str>, figures: &mut Figures, search: impl Fn(usize, &[f32]) -> Vec<u64>) {
        let round = || self.queries.iter().enumerate().map(|(number, query)| search(number, query));
        let found: Vec<Vec<u64>> = round().collect();
        let times = self.queries.iter().enumerate().map(|(number, query)| {
            let start = Instant::now();
            black_box(search(number, query));
            start.elapsed()
        });
        figures.add_times(&format!("{} {name}", self.label), times.collect(), peer);
        if !name.starts_with("hybrid") {
            let hits =
                found.iter().zip(&self.nearest).map(|(found, nearest)| found.iter().filter(|id| nearest.contains(id)).count());
            let recall = hits.sum::<usize>() as f64 / (K * self.queries.len()) as f64;
            figures.add(format!("{} {name}, recall@10", self.label), recall, "", peer);
        }
    }
}

/// Builds and opens an index.
fn build(set: &Set<'_>, texts: &[String], figures: &mut Figures) -> Result<Index> {
    let path = std::env::temp_dir().join(format!("bench-search-{}.omni", std::process::id()));
    let start = Instant::now();
    write(&path, set.vectors, texts)?;
    figures.add(format!("{} build", set.label), start.elapsed().as_secs_f64(), "s", None);
    let before = resident_kib();
    let start = Instant::now();
    let index = Index::open(&path)?;
    figures.add(format!("{} open", set.label), start.elapsed().as_secs_f64() * 1e6, "us", None);
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        figures.add(format!("{} memory by opening", set.label), after.saturating_sub(before) as f64 / 1024.0, "MiB", None);
    }
    std::fs::remove_file(&path)?;
    let (bytes, text) = (index.size_bytes() as f64, texts.iter().map(String::len).sum::<usize>() as f64);
    figures.add(format!("{} bytes a chunk", set.label), bytes / set.vectors.len() as f64, "B", None);
    figures.add(format!("{} bytes of text a chunk, before it is packed", set.label), text / set.vectors.len() as f64, "B", None);
    Ok(index)
}

fn ours(set: &Set<'_>, index: &Index, questions: &[String], figures: &mut Figures) {
    let kernel = index.kernel();
    for recall in [Recall::Fast, Recall::Balanced, Recall::Exact] {
        let dense = |_: usize, vector: &[f32]| search(index, vector, None, recall);
        set.measure(&format!("dense, {recall:?} ({kernel})"), None, figures, dense);
    }
    let hybrid = |number: usize, vector: &[f32]| search(index, vector, Some(questions[number].as_str()), Recall::Balanced);
    set.measure(&format!("hybrid, Balanced ({kernel})"), None, figures, hybrid);
}

/// Asks for every vector of the index, on all cores, and counts those that no search reaches: whose ten hits hold neither itself nor
/// only others that are equal to it.
fn find_themselves(set: &Set<'_>, index: &Index, figures: &mut Figures) {
    for recall in [Recall::Fast, Recall::Balanced] {
        let finds = |(number, vector): &(usize, &Vec<f32>)| {
            let query = Query { vector: Some(vector), top_k: K, recall, ..Query::default() };
            let hits = index.search(&query).unwrap_or_default();
            hits.iter().any(|hit| hit.chunk as usize == *number) || hits.len() == K && hits.iter().all(|hit| hit.cosine > 0.9999)
        };
        let lost = set.vectors.par_iter().enumerate().filter(|one| !finds(one)).count();
        figures.add(format!("{} vectors that do not find themselves, {recall:?}", set.label), lost as f64, "", None);
    }
}

/// As many searches at the same time as a busy service has.
fn at_once(set: &Set<'_>, index: &Index, figures: &mut Figures) {
    let start = Instant::now();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let ask = |thread: usize| -> Vec<Duration> {
            let own = set.queries.iter().skip(thread).step_by(AT_ONCE / 4);
            let timed = own.map(|query| {
                let start = Instant::now();
                black_box(search(index, query, None, Recall::Balanced));
                start.elapsed()
            });
            timed.collect()
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|thread| scope.spawn(move || ask(thread))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    let slowest = times.iter().max().copied().unwrap_or_default();
    figures.add(format!("{} {AT_ONCE} at once, Balanced", set.label), rate, "searches/s", None);
    figures.add_times(&format!("{} {AT_ONCE} at once, Balanced", set.label), times, None);
    figures.add(format!("{} {AT_ONCE} at once, slowest", set.label), slowest.as_secs_f64() * 1e6, "us", None);
}

/// Hybrid as the service asks: repeats behind all others.
fn search(index: &Index, vector: &[f32], text: Option<&str>, recall: Recall) -> Vec<u64> {
    let query = Query { vector: Some(vector), text, top_k: K, recall, distinct: text.is_some(), ..Query::default() };
    index.search(&query).unwrap_or_default().into_iter().map(|hit| u64::from(hit.chunk)).collect()
}

/// Memory of this process, where the system tells.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()
}

fn write(path: &Path, vectors: &[Vec<f32>], texts: &[String]) -> Result<()> {
    let mut writer = Writer::new(Manifest {
        builder: env!("CARGO_PKG_VERSION").into(),
        model: "bench".into(),
        model_fingerprint: "bench".into(),
        dimensions: DIMENSIONS,
        chunking: serde_json::Value::Null,
        lexical: Lexical::default(),
        ..Manifest::default()
    });
    let mut document = 0;
    for (number, (vector, text)) in vectors.iter().zip(texts).enumerate() {
        if number % 20 == 0 {
            document = writer.push_document(Document {
                uri: format!("bench/{number}"),
                source: format!("{number}"),
                format: "text".into(),
                ..Document::default()
            });
        }
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, vector)?;
    }
    writer.finish(path)?;
    Ok(())
}

fn usearch(set: &Set<'_>, quantization: ScalarKind, figures: &mut Figures) -> Result<()> {
    let name = if quantization == ScalarKind::I8 { "usearch i8" } else { "usearch f32" };
    let options = IndexOptions {
        dimensions: DIMENSIONS,
        metric: MetricKind::Cos,
        quantization,
        connectivity: 16,
        expansion_add: CONSTRUCTION,
        ..IndexOptions::default()
    };
    let index = usearch::Index::new(&options).map_err(|error| anyhow!("usearch: {error}"))?;
    let start = Instant::now();
    let threads = rayon::current_num_threads();
    index.reserve_capacity_and_threads(set.vectors.len(), threads).map_err(|error| anyhow!("usearch: {error}"))?;
    set.vectors
        .par_iter()
        .enumerate()
        .try_for_each(|(number, vector)| index.add(number as u64, vector))
        .map_err(|error| anyhow!("usearch: {error}"))?;
    figures.add(format!("{} build", set.label), start.elapsed().as_secs_f64(), "s", Some(name));
    for ef in BREADTHS {
        index.change_expansion_search(ef);
        set.measure(&format!("dense, ef {ef}"), Some(name), figures, |_, query| {
            index.search(query, K).map(|matches| matches.keys).unwrap_or_default()
        });
    }
    Ok(())
}

fn hnsw_rs(set: &Set<'_>, figures: &mut Figures) {
    let start = Instant::now();
    let index = Hnsw::<f32, DistDot>::new(16, set.vectors.len(), 16, CONSTRUCTION, DistDot {});
    let vectors: Vec<Vec<f32>> = set.vectors.par_iter().map(|vector| within(vector)).collect();
    let pairs: Vec<(&Vec<f32>, usize)> = vectors.iter().enumerate().map(|(number, vector)| (vector, number)).collect();
    index.parallel_insert(&pairs);
    figures.add(format!("{} build", set.label), start.elapsed().as_secs_f64(), "s", Some("hnsw_rs"));
    for ef in BREADTHS {
        set.measure(&format!("dense, ef {ef}"), Some("hnsw_rs"), figures, |_, query| {
            index.search(&within(query), K, ef).into_iter().map(|neighbour| neighbour.d_id as u64).collect()
        });
    }
}

/// A little shorter: hnsw_rs panics where rounding makes the product of two unit vectors greater than one. The order stays.
fn within(vector: &[f32]) -> Vec<f32> {
    vector.iter().map(|value| value * 0.9999).collect()
}

/// The exact answers, in f32.
fn nearest(vectors: &[Vec<f32>], queries: &[Vec<f32>]) -> Vec<Vec<u64>> {
    let one = |query: &Vec<f32>| {
        let mut all: Vec<(f32, u64)> = vectors.iter().zip(0..).map(|(vector, number)| (dot(vector, query), number)).collect();
        all.select_nth_unstable_by(K, |a, b| b.0.total_cmp(&a.0));
        all.into_iter().take(K).map(|(_, number)| number).collect()
    };
    queries.par_iter().map(one).collect()
}

/// Sixteen sums side by side, which a compiler turns into wide instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}

fn vectors(count: usize) -> Result<Vec<Vec<f32>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vectors.npy");
    if !path.exists()
        && let Some((titles, model)) = titles()
    {
        embed(&titles, &model, count, &path)?;
    }
    if let Ok(bytes) = std::fs::read(&path) {
        let mut vectors = read_npy(&bytes).with_context(|| path.display().to_string())?;
        if vectors.len() >= count {
            eprintln!("vectors: the first {count} of {}", path.display());
            vectors.truncate(count);
            return Ok(vectors);
        }
    }
    eprintln!("vectors: synthetic, clustered");
    let mut random = Random::new(1);
    let mut gaussian = |length: usize, scale: f32| -> Vec<f32> { (0..length).map(|_| random.normal() * scale).collect() };
    let turn: Vec<Vec<f32>> = (0..DIMENSIONS).map(|_| gaussian(48, 1.0)).collect();
    let topics: Vec<Vec<f32>> = (0..500).map(|_| gaussian(48, 1.0)).collect();
    let mut choice = Random::new(3);
    let one = |_| {
        let topic = &topics[choice.below(topics.len())];
        let latent: Vec<f32> = topic.iter().zip(gaussian(48, 0.7)).map(|(a, b)| a + b).collect();
        let noise = gaussian(DIMENSIONS, 1.0);
        let vector: Vec<f32> =
            turn.iter().zip(noise).map(|(row, noise)| row.iter().zip(&latent).map(|(a, b)| a * b).sum::<f32>() + noise).collect();
        normalise(vector)
    };
    Ok((0..count).map(one).collect())
}

/// The titles, or texts of 12 words, Zipf over 20,000; the last are the questions.
fn texts(count: usize) -> Result<Vec<String>> {
    let Some((titles, _)) = titles() else {
        let mut random = Random::new(4);
        return Ok((0..count).map(|_| text(&mut random, 12)).collect());
    };
    let text = std::fs::read_to_string(titles)?;
    Ok(text.lines().take(count).map(str::to_owned).collect())
}

/// The titles and the model, where both are at hand.
fn titles() -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("OMNI_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let model = std::env::var_os("OMNI_MODEL").map_or_else(|| root.join("models/all-MiniLM-L6-v2"), PathBuf::from);
    let titles = shared.join("scale/arxiv-titles.txt");
    (titles.exists() && model.exists()).then_some((titles, model))
}

/// Embeds the first `count` lines and keeps the vectors; goes on where an earlier run was ended.
fn embed(titles: &Path, model: &Path, count: usize, path: &Path) -> Result<()> {
    let embedder = Embedder::open(model)?;
    let text = std::fs::read_to_string(titles)?;
    let lines: Vec<&str> = text.lines().take(count).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {DIMENSIONS}), }}", lines.len());
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let start = [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    let partial = path.with_extension("partial");
    let kept = std::fs::read(&partial).unwrap_or_default();
    let done = kept.strip_prefix(start.as_slice()).map_or(0, |rows| rows.len() / (4 * DIMENSIONS)).min(lines.len());
    eprintln!("vectors: embedding {} titles, once", lines.len() - done);
    let mut file = std::fs::File::create(&partial)?;
    file.write_all(&start)?;
    file.write_all(&kept[start.len().min(kept.len())..][..done * 4 * DIMENSIONS])?;
    for part in lines[done..].chunks(4096) {
        let vectors = embedder.embed(part, &|_| {})?;
        let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    file.sync_all()?;
    std::fs::rename(partial, path)?;
    Ok(())
}

fn read_npy(bytes: &[u8]) -> Result<Vec<Vec<f32>>> {
    let length = bytes.get(8..10).context("not an .npy file of version 1")?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = String::from_utf8_lossy(bytes.get(10..start).context("truncated")?);
    let right =
        header.contains("'<f4'") && header.contains(&format!(", {DIMENSIONS})")) && header.contains("'fortran_order': False");
    anyhow::ensure!(bytes.starts_with(b"\x93NUMPY\x01") && right, "not rows of {DIMENSIONS} little-endian f32");
    let (values, _) = bytes[start..].as_chunks::<4>();
    Ok(values
        .chunks_exact(DIMENSIONS)
        .map(|row| normalise(row.iter().map(|value| f32::from_le_bytes(*value)).collect()))
        .collect())
}

fn normalise(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.into_iter().map(|value| value / length).collect()
}

fn text(random: &mut Random, words: usize) -> String {
    let word = |_| {
        // Zipf by inversion: the rank is exponential in a uniform number.
        let rank = 20_000_f64.powf(random.unit()) as usize;
        format!("word{rank}x ")
    };
    (0..words).map(word).collect()
}
