//! What opening an index and the first question cost when nothing of the file is in memory: time, and how much of the file was
//! touched, in pieces of 512 KiB, as a lazily loaded image hands them out.
//!
//! The file is written, dropped from the page cache, mapped and asked; what is resident afterwards is counted by `mincore`,
//! read-ahead of the kernel included. Vectors as in the bench `search` (`target/vectors.npy`; run that first); sizes beyond
//! what it holds are filled with perturbed copies, each turned a little in a random direction. `OMNI_BENCH_CHUNKS` chooses the sizes.
//! The question is searched for 10 hits; reading their texts may touch one more piece for each.
#![expect(unsafe_code, reason = "`mincore` has no safe wrapper")]

mod support;

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use omni_llm::index::{Chunk, Document, Index, Lexical, Manifest, Query, Recall, Writer};
use support::figures::Figures;
use support::random::Random;

const DIMENSIONS: usize = 384;
const QUERIES: usize = 2_000;
const PIECE: usize = 512 * 1024;

fn main() -> Result<()> {
    let mut figures = Figures::new("open");
    let sizes = std::env::var("OMNI_BENCH_CHUNKS").unwrap_or_else(|_| "10000,100000,250000,1000000".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let vectors = read(&root.join("vectors.npy"))?;
    let (base, queries) = vectors.split_at(vectors.len() - QUERIES);
    for size in sizes.split(',') {
        let count: usize = size.parse().context("OMNI_BENCH_CHUNKS")?;
        let path = root.join(format!("bench-open-{count}.omni"));
        if !path.exists() {
            write(&path, base, count)?;
        }
        measure(&path, &format!("{}k", count / 1000), &queries[..20], &mut figures)?;
    }
    figures.write()
}

fn measure(path: &Path, label: &str, queries: &[Vec<f32>], figures: &mut Figures) -> Result<()> {
    let (mut opens, mut bytes) = (Vec::new(), 0);
    for _ in 0..10 {
        forget(path)?;
        let start = Instant::now();
        let index = Index::open(path)?;
        opens.push(start.elapsed());
        bytes = resident(path)?.iter().filter(|page| **page).count() * 4096;
        drop(index);
    }
    figures.add_times(&format!("{label} open, cold"), opens, None);
    figures.add(format!("{label} read by opening"), bytes as f64 / 1024.0, "KiB", None);
    for recall in [Recall::Fast, Recall::Balanced] {
        let (mut times, mut pieces) = (Vec::new(), Vec::new());
        for vector in queries {
            forget(path)?;
            let index = Index::open(path)?;
            let query = Query { vector: Some(vector), recall, ..Query::default() };
            let start = Instant::now();
            index.search(&query)?;
            times.push(start.elapsed());
            pieces.push(resident(path)?.chunks(PIECE / 4096).filter(|piece| piece.contains(&true)).count());
        }
        pieces.sort_unstable();
        figures.add_times(&format!("{label} first question, {recall:?}"), times, None);
        for (name, at) in [("median", pieces.len() / 2), ("most", pieces.len() - 1)] {
            figures.add(format!("{label} pieces touched, {recall:?}, {name}"), pieces[at] as f64, "x 512 KiB", None);
        }
    }
    Ok(())
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

fn write(path: &Path, base: &[Vec<f32>], count: usize) -> Result<()> {
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
        let text = format!("the text of chunk {number}, as long as a short sentence is, and no longer than that");
        let beyond = number >= base.len();
        let mut vector = base[if beyond { random.below(base.len()) } else { number }].clone();
        if beyond {
            vector.iter_mut().for_each(|value| *value += random.normal() * 0.02);
        }
        let chunk = Chunk { document, text: &text, start: 0, end: text.len() as u64, page: None, headings: "" };
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
