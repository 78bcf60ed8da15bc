//! The encoder gives the vectors that candle gives, closely in f32 and well enough in int8.
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
    let packed = Packed::from_bytes(&pack(&folder, &Description::of(&folder), precision).unwrap()).unwrap();
    let embedder = Embedder::of(packed);
    let texts = texts(most);
    let ours = embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &|_| {}).unwrap();
    let cosines = texts.par_iter().zip(ours).map(|(text, ours)| {
        let ids = embedder.tokenizer().encode(text).unwrap();
        let theirs = reference.embed(&ids);
        theirs.iter().zip(&ours).map(|(a, b)| a * b).sum()
    });
    Some(cosines.collect())
}

fn mean_and_least(cosines: &[f32]) -> (f32, f32) {
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    let least = cosines.iter().copied().fold(1.0, f32::min);
    println!("{} texts: mean cosine {mean:.6}, least {least:.6}", cosines.len());
    (mean, least)
}

#[test]
fn f32_is_candle() {
    let Some(cosines) = cosines(Precision::F32, 40) else { return };
    let (_, least) = mean_and_least(&cosines);
    assert!(least >= 0.9999, "{least}");
}

#[test]
fn int8_is_close_to_candle() {
    let Some(cosines) = cosines(Precision::Int8, 40) else { return };
    let (mean, least) = mean_and_least(&cosines);
    assert!(mean >= 0.99 && least >= 0.97, "mean {mean}, least {least}");
}
