//! The encoder gives the vectors that candle gives, closely in f32 and well enough in int8; and those that the model's own library
//! gave.
//!
//! candle is slow: `OMNI_REFERENCE_TEXTS` says how many passages it is asked, 40 where it is not set; `.ci/run` asks for a
//! thousand.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

mod embed_support;
#[path = "embed_support/reference.rs"]
mod reference;

use std::path::Path;

use candle_nn::{Linear, Module as _};
use embed_support::{Noise, Shape, model::model, shared::shared};
use omni_retrieval::embed::{Description, Embedder, Packed, Pooling, Precision, Reranker, pack};
use rayon::prelude::*;
use reference::Reference;
use safetensors::Dtype;

/// Passages, abstracts and a few titles where the shared data is, and texts of our own.
fn texts(passages: usize) -> Vec<String> {
    let read = |path: &str| shared(path).map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default();
    let own = (0..12).map(|n| format!("Sentence {n}: {}", "the index is mapped, not read. ".repeat(n)));
    let (short, long, titles) = (read("scale/passages.txt"), read("eval/scifact/corpus.jsonl"), read("scale/arxiv-titles.txt"));
    let text_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    // As long as the others: candle would only take longer.
    let long = long.lines().map(|line| text_of(line).chars().take(600).collect::<String>());
    let titles = titles.lines().step_by(511).take(passages / 10).map(str::to_owned);
    own.chain(short.lines().map(str::to_owned).chain(long).take(passages)).chain(titles).collect()
}

/// What candle gives.
fn expected(reference: &Reference, embedder: &Embedder, texts: &[String]) -> Vec<Vec<f32>> {
    let embed = |text: &String| reference.embed(&embedder.tokenizer().encode(text), embedder.manifest().pooling);
    texts.par_iter().map(embed).collect()
}

/// Cosine of each text's two vectors.
fn cosines(expected: &[Vec<f32>], embedder: &Embedder, texts: &[String]) -> Vec<f32> {
    let ours = embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &|_| {}).unwrap();
    let dot = |(ours, theirs): (&Vec<f32>, &Vec<f32>)| ours.iter().zip(theirs).map(|(a, b)| a * b).sum();
    ours.iter().zip(expected).map(dot).collect()
}

fn most() -> usize {
    std::env::var("OMNI_REFERENCE_TEXTS").map_or(40, |most| most.parse().unwrap())
}

fn embedder(folder: &Path, precision: Precision) -> Embedder {
    described(folder, &Description::of(folder).unwrap(), precision)
}

fn described(folder: &Path, description: &Description, precision: Precision) -> Embedder {
    Embedder::of(Packed::from_bytes(&pack(folder, description, precision).unwrap()).unwrap()).unwrap()
}

fn mean_and_least(cosines: &[f32]) -> (f32, f32) {
    let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
    let least = cosines.iter().copied().fold(1.0, f32::min);
    println!("{} texts: mean cosine {mean:.6}, least {least:.6}", cosines.len());
    (mean, least)
}

#[test]
fn both_are_close_to_candle() {
    let Some(folder) = model() else { return };
    let (f32, int8) = (embedder(&folder, Precision::F32), embedder(&folder, Precision::Int8));
    assert_close_to_candle(&folder, [&f32, &int8], &texts(most()));
}

fn assert_close_to_candle(folder: &Path, [f32, int8]: [&Embedder; 2], texts: &[String]) {
    let expected = expected(&Reference::open(folder), f32, texts);
    let (_, least) = mean_and_least(&cosines(&expected, f32, texts));
    assert!(least >= 0.9999, "{least}");
    let (mean, least) = mean_and_least(&cosines(&expected, int8, texts));
    assert!(mean >= 0.99 && least >= 0.97, "mean {mean}, least {least}");
}

/// Texts of the small vocabulary, from none of it to more than its positions hold.
fn made_up() -> Vec<String> {
    let words = ["the", "index", "is", "mapped", ",", "not", "reading", "zebra7", "[MASK]"];
    let mut noise = Noise(23);
    (0..50).map(|count| (0..count).map(|_| words[noise.next() as usize % words.len()]).collect::<Vec<_>>().join(" ")).collect()
}

/// Sizes that all-MiniLM-L6-v2 does not have, weights as they are stored elsewhere, each way of pooling and each activation.
#[test]
fn any_bert_is_candle() {
    let shapes = [
        Shape { width: 128, inner: 320, layers: 3, heads: 2, prefix: "bert.", ..Shape::default() },
        Shape { width: 64, inner: 192, layers: 2, heads: 4, activation: "gelu_new", dtype: Dtype::BF16, ..Shape::default() },
        Shape { width: 192, inner: 64, layers: 1, heads: 2, activation: "relu", dtype: Dtype::F16, ..Shape::default() },
    ];
    let texts = made_up();
    for shape in shapes {
        let folder = shape.write();
        for pooling in [Pooling::Mean, Pooling::Cls] {
            println!("width {}, {pooling:?}", shape.width);
            let description = Description { pooling, ..Description::of(folder.path()).unwrap() };
            let [f32, int8] =
                [Precision::F32, Precision::Int8].map(|precision| described(folder.path(), &description, precision));
            assert_close_to_candle(folder.path(), [&f32, &int8], &texts);
        }
    }
}

/// `BertForSequenceClassification` with one label, by candle.
struct Judge {
    encoder: Reference,
    pooler: Linear,
    classifier: Linear,
}

impl Judge {
    fn open(folder: &Path, width: usize) -> Self {
        let weights = reference::weights(folder);
        let linear = |name: &str, outputs: usize| candle_nn::linear(width, outputs, weights.pp(name)).unwrap();
        let (pooler, classifier) = (linear("bert.pooler.dense", width), linear("classifier", 1));
        Self { encoder: Reference::open(folder), pooler, classifier }
    }

    /// The logit of a pair whose second text begins at `second`.
    fn score(&self, ids: &[u32], second: usize) -> f32 {
        let first = self.encoder.hidden(ids, second).narrow(1, 0, 1).unwrap().squeeze(1).unwrap();
        let pooled = self.pooler.forward(&first).unwrap().tanh().unwrap();
        self.classifier.forward(&pooled).unwrap().flatten_all().unwrap().to_vec1().unwrap()[0]
    }
}

#[test]
fn a_reranker_is_candle() {
    let shapes = [
        Shape { width: 128, inner: 320, layers: 3, heads: 2, prefix: "bert.", reranks: true, ..Shape::default() },
        Shape { width: 64, inner: 192, heads: 1, prefix: "bert.", reranks: true, dtype: Dtype::BF16, ..Shape::default() },
    ];
    let passages = made_up();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    for shape in shapes {
        let folder = shape.write();
        let judge = Judge::open(folder.path(), shape.width);
        let reranker = |precision| {
            let bytes = pack(folder.path(), &Description::of(folder.path()).unwrap(), precision).unwrap();
            Reranker::of(Packed::from_bytes(&bytes).unwrap()).unwrap()
        };
        let [f32, int8] = [Precision::F32, Precision::Int8].map(reranker);
        for query in ["", "the index", "reading zebra7 is not the index", &"mapped ".repeat(30)] {
            let theirs = passages.iter().map(|passage| {
                let (ids, second) = f32.tokenizer().encode_pair(query, passage);
                judge.score(&ids, second)
            });
            let theirs: Vec<f32> = theirs.collect();
            let spread = theirs.iter().fold(f32::MIN, |most, score| most.max(*score))
                - theirs.iter().fold(f32::MAX, |least, score| least.min(*score));
            for (reranker, most) in [(&f32, 1e-3), (&int8, 0.1 * spread)] {
                let ours = reranker.score(query, &passages).unwrap();
                let error = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                println!("width {}: spread {spread:.3}, largest error {error:.6}", shape.width);
                assert!(spread > 0.1 && error <= most, "width {}, {query:?}: {error} of {spread}", shape.width);
            }
        }
    }
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
