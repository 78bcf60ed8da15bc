//! Retrieval latency beside recall: our exact int8 scan, dense and hybrid, at 10,000 and 100,000 chunks of 384 dimensions,
//! with usearch (f32 and i8) and hnsw_rs on the same vectors in the same run.
//!
//! Vectors: the rows of `target/vectors.npy` (f32, C order, unit length; export them from any model) where that file has
//! enough, otherwise synthetic ones: 500 topics in a space of 48 dimensions, spread, turned into 384 with a little noise,
//! which is about as clustered as sentence embeddings are. Which of the two it was is printed. Queries are held out.
//! Texts for the hybrid search are synthetic: 80 words a chunk, Zipf over 20,000.
//!
//! One query at a time; each time is that of one search, k = 10, page cache warm, after one untimed round over all
//! queries. Ours may use all cores above 50,000 chunks, so it is given twice: with one thread and with all. The peers
//! search on one thread. Recall@10 is against the exact f32 scan. p50 and p99 over 200 queries; criterion repeats ours.

mod support;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use criterion::Criterion;
use hnsw_rs::prelude::{DistDot, Hnsw};
use omni_llm::index::{Chunk, Document, Index, Lexical, Manifest, Query, Recall, Writer};
use rayon::prelude::*;
use support::figures::Figures;
use support::random::Random;
use usearch::{IndexOptions, MetricKind, ScalarKind};

const DIMENSIONS: usize = 384;
const QUERIES: usize = 200;
const K: usize = 10;
/// Breadth with which the peers build their graphs (16 links a node): small, so that the run stays short.
const CONSTRUCTION: usize = 64;

fn main() -> Result<()> {
    let mut figures = Figures::new("search");
    let largest = 100_000;
    let mut vectors = vectors(largest + QUERIES)?;
    let queries = vectors.split_off(largest);
    let mut random = Random::new(2);
    let texts: Vec<String> = (0..largest).map(|_| text(&mut random, 80)).collect();
    let questions: Vec<String> = (0..QUERIES).map(|_| text(&mut random, 6)).collect();
    for (count, label) in [(10_000, "10k"), (largest, "100k")] {
        let set = Set { vectors: &vectors[..count], queries: &queries, nearest: nearest(&vectors[..count], &queries), label };
        let index = build(&set, &texts, &mut figures)?;
        // A thread that is its own pool of one: nothing is handed to another core.
        std::thread::scope(|scope| {
            let measure = || {
                let _pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
                ours(&set, &index, &questions, ", 1 thread", &mut figures);
                anyhow::Ok(())
            };
            scope.spawn(measure).join().map_err(|_| anyhow!("the measuring thread panicked"))?
        })?;
        if count > 50_000 {
            ours(&set, &index, &questions, ", all threads", &mut figures);
        }
        usearch(&set, ScalarKind::F32, &mut figures)?;
        usearch(&set, ScalarKind::I8, &mut figures)?;
        hnsw_rs(&set, &mut figures);
    }
    figures.write()
}

/// Vectors, queries, and what an exact search finds.
struct Set<'a> {
    vectors: &'a [Vec<f32>],
    queries: &'a [Vec<f32>],
    nearest: Vec<Vec<u64>>,
    label: &'static str,
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

fn build(set: &Set<'_>, texts: &[String], figures: &mut Figures) -> Result<Index> {
    let path = std::env::temp_dir().join(format!("bench-search-{}.omni", std::process::id()));
    let start = Instant::now();
    write(&path, set.vectors, texts)?;
    figures.add(format!("{} build", set.label), start.elapsed().as_secs_f64(), "s", None);
    let start = Instant::now();
    let index = Index::open(&path)?;
    figures.add(format!("{} open", set.label), start.elapsed().as_secs_f64() * 1e6, "us", None);
    std::fs::remove_file(&path)?;
    let bytes = index.size_bytes() as f64 - texts[..set.vectors.len()].iter().map(String::len).sum::<usize>() as f64;
    figures.add(format!("{} bytes a chunk besides its text", set.label), bytes / set.vectors.len() as f64, "B", None);
    Ok(index)
}

fn ours(set: &Set<'_>, index: &Index, questions: &[String], threads: &str, figures: &mut Figures) {
    let search = |vector: &[f32], text: Option<&str>| {
        let query = Query {
            vector: Some(vector),
            text,
            top_k: K,
            alpha: 0.5,
            score_threshold: None,
            uri_prefix: None,
            recall: Recall::Exact,
        };
        let hits = index.search(&query).unwrap_or_default();
        hits.into_iter().map(|hit| u64::from(hit.chunk)).collect::<Vec<_>>()
    };
    let dense = |_: usize, vector: &[f32]| search(vector, None);
    let hybrid = |number: usize, vector: &[f32]| search(vector, Some(questions[number].as_str()));
    let kernel = index.kernel();
    set.measure(&format!("dense exact int8 ({kernel}{threads})"), None, figures, dense);
    set.measure(&format!("hybrid ({kernel}{threads})"), None, figures, hybrid);
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group(format!("{}{threads}", set.label));
    let mut number = 0;
    let mut next = || {
        number = (number + 1) % QUERIES;
        number
    };
    group.bench_function("dense", |bencher| bencher.iter(|| search(&set.queries[next()], None)));
    group.bench_function("hybrid", |bencher| {
        bencher.iter(|| {
            let number = next();
            search(&set.queries[number], Some(questions[number].as_str()))
        });
    });
    group.finish();
}

fn write(path: &Path, vectors: &[Vec<f32>], texts: &[String]) -> Result<()> {
    let mut writer = Writer::new(Manifest {
        builder: env!("CARGO_PKG_VERSION").into(),
        model: "bench".into(),
        model_fingerprint: "bench".into(),
        dimensions: DIMENSIONS,
        chunking: serde_json::Value::Null,
        lexical: Lexical::default(),
    });
    let mut document = 0;
    for (number, (vector, text)) in vectors.iter().zip(texts).enumerate() {
        if number % 20 == 0 {
            document = writer.push_document(Document {
                uri: format!("bench/{number}"),
                source: format!("{number}"),
                title: String::new(),
                format: "text".into(),
                pages: None,
                sha256: String::new(),
                metadata: [].into(),
            });
        }
        let chunk = Chunk { document, text, start: 0, end: text.len() as u64, page: None, headings: "" };
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
    for ef in [64, 256] {
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
    let pairs: Vec<(&Vec<f32>, usize)> = set.vectors.iter().enumerate().map(|(number, vector)| (vector, number)).collect();
    index.parallel_insert(&pairs);
    figures.add(format!("{} build", set.label), start.elapsed().as_secs_f64(), "s", Some("hnsw_rs"));
    for ef in [64, 256] {
        set.measure(&format!("dense, ef {ef}"), Some("hnsw_rs"), figures, |_, query| {
            index.search(query, K, ef).into_iter().map(|neighbour| neighbour.d_id as u64).collect()
        });
    }
}

/// The exact answers, in f32.
fn nearest(vectors: &[Vec<f32>], queries: &[Vec<f32>]) -> Vec<Vec<u64>> {
    let one = |query: &Vec<f32>| {
        let dot = |vector: &Vec<f32>| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        let mut all: Vec<(f32, u64)> = vectors.iter().enumerate().map(|(number, vector)| (dot(vector), number as u64)).collect();
        all.select_nth_unstable_by(K, |a, b| b.0.total_cmp(&a.0));
        all.into_iter().take(K).map(|(_, number)| number).collect()
    };
    queries.par_iter().map(one).collect()
}

fn vectors(count: usize) -> Result<Vec<Vec<f32>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vectors.npy");
    if let Ok(bytes) = std::fs::read(&path) {
        let vectors = read_npy(&bytes).with_context(|| path.display().to_string())?;
        if vectors.len() >= count {
            eprintln!("vectors: the first {count} of {}", path.display());
            // The queries are the last ones; files are often sorted, so take them from all over.
            let step = vectors.len() / count;
            return Ok(vectors.into_iter().step_by(step).take(count).collect());
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
