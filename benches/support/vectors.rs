//! The vectors and texts of the benches of retrieval.
//!
//! Vectors are the rows of `target/vectors.npy` (f32, C order), where that file has enough. Where it is missing and both the titles
//! (`scale/arxiv-titles.txt` of the shared folder, one text a line) and the model are there, the titles are embedded once and kept
//! in that file, so that other people's tools can be run on the same vectors. Otherwise they are synthetic: 500 topics in a space
//! of 48 dimensions, spread, turned into 384 with a little noise. Which of them it was is printed. Texts are the titles where they
//! are at hand, else of 12 words.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use omni_llm::embed::Embedder;

use super::model::model;
use super::random::Random;
use super::shared::shared;
use super::words::words;

pub(crate) const DIMENSIONS: usize = 384;
/// Chunks of the largest index without copies.
pub(crate) const LARGEST: usize = 250_000;
/// Questions; they are in no index.
pub(crate) const QUERIES: usize = 2_000;

const TITLES: &str = "scale/arxiv-titles.txt";

/// [`LARGEST`] vectors, and those of the questions.
pub(crate) fn vectors() -> Result<[Vec<Vec<f32>>; 2]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vectors.npy");
    if !path.exists()
        && let (Some(titles), Some(model)) = (shared(TITLES), model())
    {
        embed(&titles, &model, LARGEST + QUERIES, &path)?;
    }
    let mut vectors = if path.exists() { read(&path)? } else { Vec::new() };
    if vectors.len() < LARGEST + QUERIES {
        eprintln!("vectors: synthetic, clustered");
        vectors = synthetic(LARGEST + QUERIES);
    } else {
        eprintln!("vectors: those of {}", path.display());
    }
    vectors.truncate(LARGEST + QUERIES);
    let queries = vectors.split_off(LARGEST);
    Ok([vectors, queries])
}

/// [`LARGEST`] texts, and the questions.
pub(crate) fn texts() -> Result<[Vec<String>; 2]> {
    let titles = shared(TITLES).map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let mut random = Random::new(4);
    let made_up = std::iter::repeat_with(|| words(&mut random, 12));
    let mut texts: Vec<String> = titles.lines().map(str::to_owned).chain(made_up).take(LARGEST + QUERIES).collect();
    let questions = texts.split_off(LARGEST);
    Ok([texts, questions])
}

fn synthetic(count: usize) -> Vec<Vec<f32>> {
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
    (0..count).map(one).collect()
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

fn read(path: &Path) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path)?;
    let length = bytes.get(8..10).context("not an .npy file of version 1")?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = String::from_utf8_lossy(bytes.get(10..start).context("truncated")?);
    let right =
        header.contains("'<f4'") && header.contains(&format!(", {DIMENSIONS})")) && header.contains("'fortran_order': False");
    anyhow::ensure!(
        bytes.starts_with(b"\x93NUMPY\x01") && right,
        "{}: not rows of {DIMENSIONS} little-endian f32",
        path.display()
    );
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
