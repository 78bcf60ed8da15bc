//! The encoder gives the vectors that candle gives, closely in f32 and well enough in int8; and those that the model's own library gave.
//!
//! candle takes an eighth of a second a passage: `OMNI_REFERENCE_TEXTS` says how many texts it is asked, 40 where it is not set.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

mod embed_support;
#[path = "embed_support/reference.rs"]
mod reference;

use embed_support::{model, shared};
use omni_llm::embed::{Description, Embedder, Packed, Precision, pack};
use rayon::prelude::*;
use reference::Reference;

/// Passages and titles where the shared data is, else texts of our own.
fn texts(most: usize) -> Vec<String> {
    let read = |path: &str| shared(path).map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default();
    let (passages, titles) = (read("scale/passages.txt"), read("scale/arxiv-titles.txt"));
    let own = (0..12).map(|n| format!("Sentence {n}: {}", "the index is mapped, not read. ".repeat(n)));
    let passages = passages.lines().take(most / 2).map(str::to_owned);
    let titles = titles.lines().step_by(511).take(most / 2).map(str::to_owned);
    own.chain(passages).chain(titles).collect()
}

/// Cosine of each text's two vectors.
fn cosines(precision: Precision, most: usize) -> Option<Vec<f32>> {
    let folder = model()?;
    let reference = Reference::open(&folder);
    let embedder = embedder(&folder, precision);
    let texts = texts(most);
    let ours = embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &|_| {}).unwrap();
    let cosines = texts.par_iter().zip(ours).map(|(text, ours)| {
        let ids = embedder.tokenizer().encode(text).unwrap();
        let theirs = reference.embed(&ids);
        theirs.iter().zip(&ours).map(|(a, b)| a * b).sum()
    });
    Some(cosines.collect())
}

fn most() -> usize {
    std::env::var("OMNI_REFERENCE_TEXTS").map_or(40, |most| most.parse().unwrap())
}

fn embedder(folder: &std::path::Path, precision: Precision) -> Embedder {
    Embedder::of(Packed::from_bytes(&pack(folder, &Description::of(folder).unwrap(), precision).unwrap()).unwrap()).unwrap()
}

fn mean_and_least(cosines: &[f32]) -> (f32, f32) {
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    let least = cosines.iter().copied().fold(1.0, f32::min);
    println!("{} texts: mean cosine {mean:.6}, least {least:.6}", cosines.len());
    (mean, least)
}

#[test]
fn f32_is_candle() {
    let Some(cosines) = cosines(Precision::F32, most()) else { return };
    let (_, least) = mean_and_least(&cosines);
    assert!(least >= 0.9999, "{least}");
}

#[test]
fn int8_is_close_to_candle() {
    let Some(cosines) = cosines(Precision::Int8, most()) else { return };
    let (mean, least) = mean_and_least(&cosines);
    assert!(mean >= 0.99 && least >= 0.97, "mean {mean}, least {least}");
}

/// Vectors that sentence-transformers made of the questions of SciFact, some of which are longer than the model reads.
#[test]
fn both_are_close_to_the_original_library() {
    let (Some(folder), Some(reference)) = (model(), shared("eval/scifact/reference")) else { return };
    let lines = std::fs::read_to_string(reference.join("queries_all_1109.jsonl")).unwrap();
    let texts: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    let npy = std::fs::read(reference.join("query_embeddings_minilm_384.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let theirs: Vec<f32> = npy[header..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(theirs.len(), texts.len() * 384);
    for (precision, mean_floor, least_floor) in [(Precision::F32, 0.9999, 0.9999), (Precision::Int8, 0.99, 0.97)] {
        let ours = embedder(&folder, precision).embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &|_| {}).unwrap();
        let cosines = ours.iter().zip(theirs.chunks_exact(384)).map(|(ours, theirs)| {
            let norm = theirs.iter().map(|x| x * x).sum::<f32>().sqrt();
            ours.iter().zip(theirs).map(|(a, b)| a * b).sum::<f32>() / norm
        });
        let (mean, least) = mean_and_least(&cosines.collect::<Vec<_>>());
        assert!(mean >= mean_floor && least >= least_floor, "{precision:?}: mean {mean}, least {least}");
    }
}
