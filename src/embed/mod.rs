//! Text to unit vectors: all-MiniLM-L6-v2 and its relatives, on the CPU.
//!
//! [`Embedder`] is the whole interface. It maps a packed model (`docs/model-format.md`), or packs a model folder in memory, which takes
//! a moment. A vector is decided by the text, the model's fingerprint and [`ARITHMETIC`]: not by the batch, the threads or the machine.

mod config;
mod description;
mod encoder;
mod family;
mod kernels;
mod manifest;
mod normalize;
mod pack;
mod packed;
mod tokenizer;
mod vocabulary;
mod weights;
mod wordpiece;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

pub use description::Description;
pub use manifest::{Activation, Manifest, Pooling, Precision};
pub use pack::pack;
pub use packed::Packed;
pub use tokenizer::Tokenizer;

pub use crate::cpu::Kernel;
use crate::error::Result;
use encoder::Scratch;

/// Changes whenever a vector's bits do (a test has the digests of known vectors), so that vectors which were kept are never mixed with
/// others. The change is far below what a model's precision costs: an index made before it goes on working.
pub const ARITHMETIC: u32 = 2;

/// Files that a model folder holds; an older one has a `vocab.txt` in place of the last.
pub const MODEL_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// The model that the project is built around.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// Tokens that one vector covers, special tokens included: the limit that all-MiniLM-L6-v2 was trained for.
pub const MAX_TOKENS: usize = 256;

/// The packed model in a model folder, if there is one.
pub const PACKED_FILE: &str = "model-int8.bin";

/// Tokens that go through the encoder together: enough to use each weight often, few enough to stay in the core's cache.
const BATCH_TOKENS: usize = 256;

/// Tokens of a text that is worth two threads.
const SPLIT_TOKENS: usize = 8;

/// An opened embedding model.
pub struct Embedder {
    model: Arc<Packed>,
    tokenizer: Tokenizer,
    kernel: Kernel,
    /// Buffers of workers that are not at work.
    idle: Mutex<Vec<Scratch>>,
    /// Texts and batches that are being embedded.
    at_work: AtomicUsize,
}

impl Embedder {
    /// Opens a packed model, or a model folder: its [`PACKED_FILE`], else its [`MODEL_FILES`], packed as int8 in memory.
    ///
    /// # Errors
    /// A file is missing or is not what it should be; the text says how to get the model.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Self::of(Packed::open(path)?);
        }
        let packed = path.join(PACKED_FILE);
        if packed.is_file() {
            return Self::of(Packed::open(&packed)?);
        }
        Self::of(Packed::from_bytes(&pack(path, &Description::of(path)?, Precision::Int8)?)?)
    }

    /// An embedder over a packed model.
    ///
    /// # Errors
    /// The environment forces a kernel that this CPU cannot run.
    pub fn of(model: Packed) -> Result<Self> {
        let model = Arc::new(model);
        let tokenizer = Tokenizer::of(Arc::clone(&model));
        Ok(Self { model, tokenizer, kernel: Kernel::choose()?, idle: Mutex::default(), at_work: AtomicUsize::new(0) })
    }

    /// The same embedder on another kernel: for tests and measurements.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// The instructions it computes with.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    /// The model's name, for people.
    pub fn name(&self) -> &str {
        &self.manifest().name
    }

    /// 16 hex digits that change with the weights, their precision, the vocabulary or the token limit.
    pub fn fingerprint(&self) -> &str {
        &self.manifest().fingerprint
    }

    /// Floats of one vector.
    pub fn dimensions(&self) -> usize {
        self.manifest().dimensions
    }

    /// The model's own tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The unit vector of a question: the model's query prefix goes before it. Takes two threads where nothing else is embedded
    /// meanwhile, and one under load.
    ///
    /// # Errors
    /// As [`Self::embed_one`].
    pub fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        self.whole(|| self.query(text))
    }

    fn query(&self, text: &str) -> Result<Vec<f32>> {
        let ids = self.encode(&self.manifest().query_prefix, text)?;
        let is_alone = self.at_work.load(Ordering::Relaxed) == 0;
        if !is_alone || ids.len() < SPLIT_TOKENS || rayon::current_num_threads() < 2 {
            return Ok(self.vector(&ids));
        }
        let mut out = vec![0.0; self.dimensions()];
        let (mut first, mut second) = (self.take(), self.take());
        // Into the pool once, not at each join.
        rayon::scope(|_| encoder::forward_in_two(&self.model, self.kernel, &ids, [&mut first, &mut second], &mut out));
        self.put(first);
        self.put(second);
        Ok(out)
    }

    /// The unit vector of one document, cut at [`Tokenizer::max_tokens`].
    ///
    /// # Errors
    /// The model's file was overwritten in place; no text makes it fail.
    pub fn embed_one(&self, text: &str) -> Result<Vec<f32>> {
        self.whole(|| Ok(self.vector(&self.encode(&self.manifest().document_prefix, text)?)))
    }

    /// The unit vectors of many documents, in their order, on all cores. `done` is called with the number of texts after each batch.
    ///
    /// # Errors
    /// As [`Self::embed_one`].
    pub fn embed(&self, texts: &[&str], done: &(impl Fn(usize) + Sync)) -> Result<Vec<Vec<f32>>> {
        self.whole(|| self.documents(texts, done))
    }

    fn documents(&self, texts: &[&str], done: &(impl Fn(usize) + Sync)) -> Result<Vec<Vec<f32>>> {
        let prefix = &self.manifest().document_prefix;
        let ids: Vec<Vec<u32>> = texts.par_iter().map(|text| self.encode(prefix, text)).collect::<Result<_>>()?;
        // Longest first, so that no core is left with a long batch at the end.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(ids[index].len()));
        let rows: Vec<Vec<(usize, Vec<f32>)>> = batches(&order, &ids)
            .par_iter()
            .map(|batch| {
                let sequences: Vec<&[u32]> = batch.iter().map(|&index| &ids[index][..]).collect();
                let mut out = vec![0.0; batch.len() * self.dimensions()];
                self.forward(&sequences, &mut out);
                done(batch.len());
                batch.iter().copied().zip(out.chunks_exact(self.dimensions()).map(<[f32]>::to_vec)).collect()
            })
            .collect();
        let mut vectors = vec![Vec::new(); texts.len()];
        for (index, vector) in rows.into_iter().flatten() {
            vectors[index] = vector;
        }
        Ok(vectors)
    }

    /// Hands out only what was computed from the file that was opened.
    fn whole<T>(&self, compute: impl FnOnce() -> Result<T>) -> Result<T> {
        self.model.require_whole()?;
        let computed = compute()?;
        self.model.require_whole()?;
        Ok(computed)
    }

    fn encode(&self, prefix: &str, text: &str) -> Result<Vec<u32>> {
        if prefix.is_empty() { self.tokenizer.encode(text) } else { self.tokenizer.encode(&format!("{prefix}{text}")) }
    }

    fn vector(&self, ids: &[u32]) -> Vec<f32> {
        let mut out = vec![0.0; self.dimensions()];
        self.forward(&[ids], &mut out);
        out
    }

    fn forward(&self, sequences: &[&[u32]], out: &mut [f32]) {
        let mut scratch = self.take();
        encoder::forward(&self.model, self.kernel, sequences, &mut scratch, out);
        self.put(scratch);
    }

    fn take(&self) -> Scratch {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        // A worker that panicked left the list whole: it is only pushed to and popped from.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, scratch: Scratch) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        self.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Cuts `order` into runs of at most [`BATCH_TOKENS`] tokens, or of one text.
fn batches<'a>(order: &'a [usize], ids: &[Vec<u32>]) -> Vec<&'a [usize]> {
    let mut batches = Vec::new();
    let (mut first, mut tokens) = (0, 0);
    for (at, &index) in order.iter().enumerate() {
        if at > first && tokens + ids[index].len() > BATCH_TOKENS {
            batches.push(&order[first..at]);
            (first, tokens) = (at, 0);
        }
        tokens += ids[index].len();
    }
    if first < order.len() {
        batches.push(&order[first..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The model, where this machine has it.
    fn model() -> Option<Embedder> {
        let folder = std::env::var_os("OMNI_MODEL")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/models/all-MiniLM-L6-v2")), PathBuf::from);
        if !folder.join("model.safetensors").exists() {
            eprintln!("skipped: no model; get it with `index-builder model`");
            return None;
        }
        Some(Embedder::open(&folder).unwrap())
    }

    #[test]
    fn a_text_has_the_same_bits_alone_on_two_threads_and_in_a_batch() {
        let Some(embedder) = model() else { return };
        let texts =
            ["How do I rebuild the index?", "Rebuild it with one command", "", "a b c d e f g", "one two three four five six"];
        let together = embedder.embed(&texts, &|_| ()).unwrap();
        for (text, vector) in texts.iter().zip(&together) {
            assert_eq!(embedder.embed_one(text).unwrap(), *vector, "{text}");
            assert_eq!(embedder.embed_query(text).unwrap(), *vector, "{text}");
            let norm: f32 = vector.iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-5, "{norm}");
        }
    }

    #[test]
    fn only_the_first_tokens_count_and_counting_does_not_saturate() {
        let Some(embedder) = model() else { return };
        let long = "word ".repeat(1000);
        assert_eq!(embedder.tokenizer().count(&long), 1000);
        assert_eq!(embedder.embed_one(&long).unwrap(), embedder.embed_one(&"word ".repeat(254)).unwrap());
        assert_ne!(embedder.embed_one(&long).unwrap(), embedder.embed_one(&"word ".repeat(253)).unwrap());
    }
}
