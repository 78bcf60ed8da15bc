//! What opening an index and the first question cost when nothing of the file is in memory: time, and how much of the file was
//! touched, in pieces of 512 KiB, as a lazily loaded image hands them out.
//!
//! The file is written, dropped from the page cache, mapped and asked; what is resident afterwards is counted by `mincore`,
//! read-ahead of the kernel included. Vectors and texts are those of the bench `search`; sizes beyond what they hold are filled
//! with perturbed copies. `OMNI_BENCH_CHUNKS` chooses the sizes.
//! First questions are counted by vectors, which is what other indexes do; by vectors and words; and by vectors, with the texts of
//! the 10 hits read; each also section by section, where half of the questions touch the section.
//!
//! usearch's `view` and hnsw_rs's reload open the same vectors beside, from files that are built once and kept in `target`; of up
//! to `OMNI_BENCH_PEERS` vectors (by default 100000; 0 is none), because their graphs take minutes.

mod support {
    pub(crate) mod figures;
    pub(crate) mod index;
    pub(crate) mod memory;
    #[path = "../../tests/support/model.rs"]
    pub(crate) mod model;
    pub(crate) mod pages;
    #[path = "../../tests/support/random.rs"]
    #[expect(dead_code, reason = "other tests need numbers of other kinds")]
    pub(crate) mod random;
    pub(crate) mod sections;
    #[path = "../../tests/support/shared.rs"]
    pub(crate) mod shared;
    pub(crate) mod vectors;
    pub(crate) mod words;
}

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use hnsw_rs::prelude::{AnnT as _, DistDot, Hnsw, HnswIo};
use omni_llm::index::{Index, Query, Recall};
use rayon::prelude::*;
use support::figures::Figures;
use support::index::write;
use support::memory::kib;
use support::pages::{PAGE, forget, pieces, pieces_within, resident};
use support::sections::sections;
use support::vectors::{DIMENSIONS, texts, vectors};
use usearch::{IndexOptions, MetricKind, ScalarKind};

/// Questions, each of them the first after opening.
const ASKED: usize = 40;
/// Breadth with which the peers build their graphs, and with which they search.
const BREADTH: usize = 64;

fn main() -> Result<()> {
    let mut figures = Figures::new("open");
    let sizes = std::env::var("OMNI_BENCH_CHUNKS").unwrap_or_else(|_| "10000,100000,250000,1000000".into());
    let peers: usize = std::env::var("OMNI_BENCH_PEERS").map_or(Ok(100_000), |most| most.parse()).context("OMNI_BENCH_PEERS")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let ([base, queries], [texts, questions]) = (vectors()?, texts()?);
    for size in sizes.split(',') {
        let count: usize = size.parse().context("OMNI_BENCH_CHUNKS")?;
        let path = root.join(format!("bench-open-{count}.omni"));
        // What is there may be of another writer.
        write(&path, &base, &texts, count)?;
        let label = format!("{}k", count / 1000);
        measure(&path, &label, &queries[..ASKED], &questions[..ASKED], &mut figures)?;
        if count <= peers.min(base.len()) {
            usearch(&root, &label, &base[..count], &queries[..ASKED], &mut figures)?;
            hnsw_rs(&root, &label, &base[..count], &queries[..ASKED], &mut figures)?;
        }
    }
    figures.write()
}

fn measure(path: &Path, label: &str, queries: &[Vec<f32>], questions: &[String], figures: &mut Figures) -> Result<()> {
    let (mut opens, mut bytes) = (Vec::new(), 0);
    for _ in 0..10 {
        forget(path)?;
        let start = Instant::now();
        let index = Index::open(path)?;
        opens.push(start.elapsed());
        bytes = resident(path)?.iter().filter(|page| **page).count() * PAGE;
        drop(index);
    }
    let before = kib("self", "VmRSS").unwrap_or_default();
    let index = Index::open(path)?;
    figures.add(
        format!("{label} memory by opening"),
        kib("self", "VmRSS").unwrap_or_default().saturating_sub(before) as f64 / 1024.0,
        "MiB",
        None,
    );
    drop(index);
    let sections = sections(path)?;
    figures.add_times(&format!("{label} open, cold"), opens, None);
    figures.add(format!("{label} read by opening"), bytes as f64 / 1024.0, "KiB", None);
    for (name, recall, worded, read) in [
        ("Fast", Recall::Fast, false, false),
        ("Balanced", Recall::Balanced, false, false),
        ("Balanced with texts", Recall::Balanced, false, true),
        ("Balanced, hybrid", Recall::Balanced, true, false),
    ] {
        let (mut times, mut touched, mut parts) = (Vec::new(), Vec::new(), vec![Vec::new(); sections.len()]);
        for (vector, text) in queries.iter().zip(questions) {
            forget(path)?;
            let index = Index::open(path)?;
            let query =
                Query { vector: Some(vector), text: worded.then_some(text), recall, distinct: worded, ..Query::default() };
            let start = Instant::now();
            for hit in index.search(&query)? {
                if read {
                    index.document(index.chunk(hit.chunk)?.document)?;
                }
            }
            times.push(start.elapsed());
            let pages = resident(path)?;
            touched.push(pieces(&pages));
            for (part, (_, range)) in parts.iter_mut().zip(&sections) {
                part.push(pieces_within(&pages, range.clone()));
            }
        }
        figures.add_times(&format!("{label} first question, {name}"), times, None);
        add_pieces(figures, &format!("{label} pieces touched, {name}"), touched, None);
        for (part, (section, _)) in parts.into_iter().zip(&sections) {
            if part.iter().filter(|count| **count > 0).count() * 2 > part.len() {
                add_pieces(figures, &format!("{label} pieces touched, {name}, {section}"), part, None);
            }
        }
    }
    Ok(())
}

fn add_pieces(figures: &mut Figures, name: &str, mut pieces: Vec<usize>, peer: Option<&str>) {
    pieces.sort_unstable();
    for (which, at) in [("median", pieces.len() / 2), ("most", pieces.len() - 1)] {
        figures.add(format!("{name}, {which}"), pieces[at] as f64, "x 512 KiB", peer);
    }
}

fn usearch(root: &Path, label: &str, vectors: &[Vec<f32>], queries: &[Vec<f32>], figures: &mut Figures) -> Result<()> {
    let peer = Some("usearch f32");
    let failed = |error| anyhow!("usearch: {error}");
    let path = root.join(format!("bench-open-{}.usearch", vectors.len()));
    let name = path.to_str().context("a path that is not text")?;
    let options = IndexOptions {
        dimensions: DIMENSIONS,
        metric: MetricKind::Cos,
        quantization: ScalarKind::F32,
        connectivity: 16,
        expansion_add: BREADTH,
        expansion_search: BREADTH,
        ..IndexOptions::default()
    };
    if !path.exists() {
        let index = usearch::Index::new(&options).map_err(failed)?;
        index.reserve_capacity_and_threads(vectors.len(), rayon::current_num_threads()).map_err(failed)?;
        vectors.par_iter().enumerate().try_for_each(|(number, vector)| index.add(number as u64, vector)).map_err(failed)?;
        index.save(name).map_err(failed)?;
    }
    let (mut opens, mut times, mut opened, mut touched) = (Vec::new(), Vec::new(), 0, Vec::new());
    for query in queries {
        forget(&path)?;
        let index = usearch::Index::new(&options).map_err(failed)?;
        let start = Instant::now();
        index.view(name).map_err(failed)?;
        opens.push(start.elapsed());
        opened = pieces(&resident(&path)?);
        let start = Instant::now();
        index.search(query, 10).map_err(failed)?;
        times.push(start.elapsed());
        touched.push(pieces(&resident(&path)?));
    }
    figures.add_times(&format!("{label} open, cold"), opens, peer);
    figures.add(format!("{label} pieces touched by opening"), opened as f64, "x 512 KiB", peer);
    figures.add_times(&format!("{label} first question"), times, peer);
    add_pieces(figures, &format!("{label} pieces touched"), touched, peer);
    Ok(())
}

fn hnsw_rs(root: &Path, label: &str, vectors: &[Vec<f32>], queries: &[Vec<f32>], figures: &mut Figures) -> Result<()> {
    let peer = Some("hnsw_rs");
    let name = format!("bench-open-{}", vectors.len());
    let files: Vec<PathBuf> = ["graph", "data"].map(|part| root.join(format!("{name}.hnsw.{part}"))).into();
    if !files.iter().all(|file| file.exists()) {
        let index = Hnsw::<f32, DistDot>::new(16, vectors.len(), 16, BREADTH, DistDot {});
        // A little shorter: it panics where rounding makes the product of two unit vectors greater than one.
        let vectors: Vec<Vec<f32>> = vectors.iter().map(|vector| vector.iter().map(|value| value * 0.9999).collect()).collect();
        let pairs: Vec<(&Vec<f32>, usize)> = vectors.iter().enumerate().map(|(number, vector)| (vector, number)).collect();
        index.parallel_insert(&pairs);
        index.file_dump(root, &name)?;
    }
    let (mut opens, mut times) = (Vec::new(), Vec::new());
    // It reads everything, so a few times say it all.
    for query in queries.iter().take(3) {
        files.iter().try_for_each(|file| forget(file))?;
        let start = Instant::now();
        let mut reader = HnswIo::new(root, &name);
        let index: Hnsw<'_, f32, DistDot> = reader.load_hnsw()?;
        opens.push(start.elapsed());
        let start = Instant::now();
        index.search(query, 10, BREADTH);
        times.push(start.elapsed());
    }
    let touched = files.iter().map(|file| Ok(pieces(&resident(file)?))).sum::<Result<usize>>()?;
    figures.add_times(&format!("{label} open, cold"), opens, peer);
    figures.add_times(&format!("{label} first question"), times, peer);
    figures.add(format!("{label} pieces touched"), touched as f64, "x 512 KiB", peer);
    Ok(())
}
