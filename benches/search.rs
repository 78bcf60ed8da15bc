//! Retrieval latency beside recall: 10,000, 100,000 and 250,000 chunks of 384 dimensions, with usearch (f32 and i8) and
//! hnsw_rs on the same vectors in the same run.
//!
//! Vectors and texts: `benches/support/vectors.rs` says which; the run says it, too. The queries are the 2,000 rows behind those of
//! the largest size; they are in no index.
//!
//! One query at a time; each time is that of one search, k = 10, page cache warm, after one untimed round over all
//! queries. Ours runs on one thread, and so do the peers. Recall@10 is against the exact f32 scan. "64 at once" is ours on
//! all cores: searches a second, and how long one takes among the others. Then every vector of the index is asked for, and those
//! that do not find themselves are counted.
//!
//! `OMNI_BENCH_CHUNKS=10000` chooses sizes, `OMNI_BENCH_PEERS=0` leaves the peers out (their graphs take minutes to build).

mod support {
    pub(crate) mod figures;
    pub(crate) mod index;
    pub(crate) mod memory;
    #[path = "../../tests/support/model.rs"]
    pub(crate) mod model;
    #[path = "../../tests/support/random.rs"]
    #[expect(dead_code, reason = "other tests need numbers of other kinds")]
    pub(crate) mod random;
    #[path = "../../tests/support/shared.rs"]
    pub(crate) mod shared;
    pub(crate) mod vectors;
    pub(crate) mod words;
}

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hnsw_rs::prelude::{DistDot, Hnsw};
use omni_llm::index::{Index, Query, Recall};
use rayon::prelude::*;
use support::figures::Figures;
use support::memory::kib;
use support::vectors::{DIMENSIONS, LARGEST, texts, vectors};
use usearch::{IndexOptions, MetricKind, ScalarKind};

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
    let ([vectors, queries], [texts, questions]) = (vectors()?, texts()?);
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
    support::index::write(&path, set.vectors, texts, set.vectors.len())?;
    figures.add(format!("{} build", set.label), start.elapsed().as_secs_f64(), "s", None);
    let before = kib("self", "VmRSS");
    let start = Instant::now();
    let index = Index::open(&path)?;
    figures.add(format!("{} open", set.label), start.elapsed().as_secs_f64() * 1e6, "us", None);
    if let (Some(before), Some(after)) = (before, kib("self", "VmRSS")) {
        figures.add(format!("{} memory by opening", set.label), after.saturating_sub(before) as f64 / 1024.0, "MiB", None);
    }
    let bytes = std::fs::metadata(&path)?.len() as f64;
    std::fs::remove_file(&path)?;
    let text = texts.iter().map(String::len).sum::<usize>() as f64;
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

/// Asks for every vector of the index, on all cores, and counts those that no search reaches: whose ten hits hold neither itself
/// nor only others that are equal to it.
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
