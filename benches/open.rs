//! What opening an index and the first question cost when nothing of the file is in memory: time, and how much of the file was
//! touched, in pieces of 512 KiB, as a lazily loaded image hands them out.
//!
//! The file is written, dropped from the page cache, mapped and asked; what is resident afterwards is counted by `mincore`,
//! read-ahead of the kernel included. Vectors as in the bench `search` (`target/vectors.npy`; run that first); sizes beyond
//! what it holds are filled with perturbed copies, each turned a little in a random direction. `OMNI_BENCH_CHUNKS` chooses the sizes.
//! Three first questions are counted: by vectors, which is what other indexes do; by vectors and words; and by vectors, with the
//! texts of the 10 hits read. Texts and questions are the titles of the bench `search` where they are at hand.
//!
//! usearch's `view` and hnsw_rs's reload open the same vectors beside, from files that are built once and kept in `target`; of up
//! to `OMNI_BENCH_PEERS` vectors (by default 100000; 0 is none), because their graphs take minutes.
#![expect(unsafe_code, reason = "`mincore` has no safe wrapper")]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use hnsw_rs::prelude::{AnnT as _, DistDot, Hnsw, HnswIo};
use omni_llm::index::{Chunk, Document, Index, Lexical, Manifest, Query, Recall, Writer};
use rayon::prelude::*;
use support::figures::Figures;
use support::random::Random;
use usearch::{IndexOptions, MetricKind, ScalarKind};

const DIMENSIONS: usize = 384;
const QUERIES: usize = 2_000;
const PIECE: usize = 512 * 1024;
/// Questions, each of them the first after opening.
const ASKED: usize = 40;
/// Breadth with which the peers build their graphs, and with which they search.
const BREADTH: usize = 64;

fn main() -> Result<()> {
    let mut figures = Figures::new("open");
    let sizes = std::env::var("OMNI_BENCH_CHUNKS").unwrap_or_else(|_| "10000,100000,250000,1000000".into());
    let peers: usize = std::env::var("OMNI_BENCH_PEERS").map_or(Ok(100_000), |most| most.parse()).context("OMNI_BENCH_PEERS")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let vectors = read(&root.join("vectors.npy"))?;
    let (base, queries) = vectors.split_at(vectors.len() - QUERIES);
    let titles = titles(vectors.len());
    let (texts, questions) = titles.split_at(base.len());
    for size in sizes.split(',') {
        let count: usize = size.parse().context("OMNI_BENCH_CHUNKS")?;
        let path = root.join(format!("bench-open-{count}.omni"));
        // What is there may be of another writer.
        write(&path, base, texts, count)?;
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
        bytes = resident(path)?.iter().filter(|page| **page).count() * 4096;
        drop(index);
    }
    let before = resident_kib();
    let index = Index::open(path)?;
    figures.add(format!("{label} memory by opening"), resident_kib().saturating_sub(before) as f64 / 1024.0, "MiB", None);
    drop(index);
    figures.add_times(&format!("{label} open, cold"), opens, None);
    figures.add(format!("{label} read by opening"), bytes as f64 / 1024.0, "KiB", None);
    for (name, recall, worded, read) in [
        ("Fast", Recall::Fast, false, false),
        ("Balanced", Recall::Balanced, false, false),
        ("Balanced with texts", Recall::Balanced, false, true),
        ("Balanced, hybrid", Recall::Balanced, true, false),
    ] {
        let (mut times, mut pieces) = (Vec::new(), Vec::new());
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
            pieces.push(touched(path)?);
        }
        figures.add_times(&format!("{label} first question, {name}"), times, None);
        add_pieces(figures, &format!("{label} pieces touched, {name}"), pieces, None);
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
    let (mut opens, mut times, mut opened, mut pieces) = (Vec::new(), Vec::new(), 0, Vec::new());
    for query in queries {
        forget(&path)?;
        let index = usearch::Index::new(&options).map_err(failed)?;
        let start = Instant::now();
        index.view(name).map_err(failed)?;
        opens.push(start.elapsed());
        opened = touched(&path)?;
        let start = Instant::now();
        index.search(query, 10).map_err(failed)?;
        times.push(start.elapsed());
        pieces.push(touched(&path)?);
    }
    figures.add_times(&format!("{label} open, cold"), opens, peer);
    figures.add(format!("{label} pieces touched by opening"), opened as f64, "x 512 KiB", peer);
    figures.add_times(&format!("{label} first question"), times, peer);
    add_pieces(figures, &format!("{label} pieces touched"), pieces, peer);
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
    let pieces = files.iter().map(|file| touched(file)).sum::<Result<usize>>()?;
    figures.add_times(&format!("{label} open, cold"), opens, peer);
    figures.add_times(&format!("{label} first question"), times, peer);
    figures.add(format!("{label} pieces touched"), pieces as f64, "x 512 KiB", peer);
    Ok(())
}

/// Pieces of a file of which something is in memory.
fn touched(path: &Path) -> Result<usize> {
    Ok(resident(path)?.chunks(PIECE / 4096).filter(|piece| piece.contains(&true)).count())
}

/// Memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// Texts, of which the last are questions.
fn titles(count: usize) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("OMNI_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let text = std::fs::read_to_string(shared.join("scale/arxiv-titles.txt")).unwrap_or_default();
    let made_up =
        (0..).map(|number| format!("the text of chunk {number}, as long as a short sentence is, and no longer than that"));
    let mut titles: Vec<String> = text.lines().map(str::to_owned).take(count).collect();
    titles.extend(made_up.take(count - titles.len()));
    titles
}

/// Drops a file from the page cache.
fn forget(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    // SAFETY: the descriptor is open.
    let refused = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    anyhow::ensure!(refused == 0, "{}: cannot be dropped from the page cache", path.display());
    Ok(())
}

/// Which pages of a file are in memory.
fn resident(path: &Path) -> Result<Vec<bool>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len() as usize;
    let mut pages = vec![0_u8; length.div_ceil(4096)];
    // SAFETY: maps a file that nobody changes, asks about that map, and unmaps it again; nothing is read from it.
    let asked = unsafe {
        let map = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        anyhow::ensure!(map != libc::MAP_FAILED, "{}: cannot be mapped", path.display());
        let asked = libc::mincore(map, length, pages.as_mut_ptr());
        libc::munmap(map, length);
        asked
    };
    anyhow::ensure!(asked == 0, "{}: the system does not say what is in memory", path.display());
    Ok(pages.into_iter().map(|page| page & 1 != 0).collect())
}

fn write(path: &Path, base: &[Vec<f32>], texts: &[String], count: usize) -> Result<()> {
    let mut writer = Writer::new(Manifest {
        builder: env!("CARGO_PKG_VERSION").into(),
        model: "bench".into(),
        model_fingerprint: "bench".into(),
        dimensions: DIMENSIONS,
        chunking: serde_json::Value::Null,
        lexical: Lexical::default(),
        ..Manifest::default()
    });
    let mut random = Random::new(5);
    let mut document = 0;
    for number in 0..count {
        if number % 20 == 0 {
            document = writer.push_document(Document {
                uri: format!("bench/{number}"),
                source: format!("{number}"),
                format: "text".into(),
                ..Document::default()
            });
        }
        let beyond = number >= base.len();
        let copied = if beyond { random.below(base.len()) } else { number };
        let (mut vector, text) = (base[copied].clone(), &texts[copied]);
        if beyond {
            vector.iter_mut().for_each(|value| *value += random.normal() * 0.02);
        }
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &vector)?;
    }
    writer.finish(path)?;
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: run the bench `search` first", path.display()))?;
    let length = bytes.get(8..10).context("not an .npy file")?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (values, _) = bytes.get(start..).context("truncated")?.as_chunks::<4>();
    Ok(values.chunks_exact(DIMENSIONS).map(|row| row.iter().map(|value| f32::from_le_bytes(*value)).collect()).collect())
}
