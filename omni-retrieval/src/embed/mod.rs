//! Text to unit vectors, and pairs of texts to scores: all-MiniLM-L6-v2 and its relatives, on the CPU.
//!
//! [`Embedder`] and [`Reranker`] are the whole interface. Each maps a packed model (`docs/model-format.md`), or packs a model
//! folder in memory, which takes a moment. A vector or a score is decided by the text, the model's fingerprint and
//! [`ARITHMETIC`]: not by the batch, the threads or the machine.

mod config;
mod description;
mod encoder;
mod engine;
mod family;
mod folder;
mod kernels;
mod manifest;
mod normalize;
mod pack;
mod packed;
mod reranker;
mod tokenizer;
mod vocabulary;
mod weights;
mod wordpiece;
mod workers;

use std::path::Path;

use rayon::prelude::*;

pub use description::Description;
pub use manifest::{Activation, Manifest, Pooling, Precision, Purpose};
pub use pack::{pack, write_packed};
pub use packed::Packed;
pub use reranker::Reranker;
pub use tokenizer::Tokenizer;

pub use crate::cpu::Kernel;
use crate::error::Result;
use encoder::{Scratch, Sequence};
use engine::Engine;

/// Changes whenever a vector's bits do (a test has the digests of known vectors), so that vectors which were kept are never mixed
/// with others. The change is far below what a model's precision costs: an index made before it goes on working.
pub const ARITHMETIC: u32 = 2;

/// The model that the project is built around.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// Tokens that one vector of all-MiniLM-L6-v2 covers, special tokens included.
pub const MAX_TOKENS: usize = 256;

/// The packed model in a model folder, if there is one.
pub const PACKED_FILE: &str = "model-int8.bin";

/// An opened embedding model.
pub struct Embedder(Engine);

impl Embedder {
    /// Opens a packed model, or a model folder: its [`PACKED_FILE`], else `config.json`, `model.safetensors` and
    /// `tokenizer.json` (an older one has a `vocab.txt`), packed as int8 in memory.
    ///
    /// # Errors
    /// A file is missing or is not what it should be; the text says how to get the model.
    pub fn open(path: &Path) -> Result<Self> {
        Engine::open(path, Purpose::Embedding).map(Self)
    }

    /// An embedder over a packed model.
    ///
    /// # Errors
    /// The model is a reranker, or the environment forces a kernel that this CPU cannot run.
    pub fn of(model: Packed) -> Result<Self> {
        Engine::of(model, Purpose::Embedding).map(Self)
    }

    /// Reads the whole model and compares it with its checksums: for those who keep what is computed from it.
    ///
    /// # Errors
    /// Names what is altered.
    pub fn verify(&self) -> Result<()> {
        self.0.model.verify()
    }

    /// The same embedder on another kernel: for tests and measurements.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.0.kernel = kernel;
        self
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.0.model.manifest()
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
        &self.0.tokenizer
    }

    /// Tokens that the model reads of a document, or would if it were not cut at [`Tokenizer::max_tokens`]: with its prefix and
    /// special tokens.
    pub fn count(&self, text: &str) -> usize {
        self.count_after(&self.manifest().document_prefix, text)
    }

    /// Tokens of a question, as [`Self::count`] counts those of a document.
    pub fn count_query(&self, text: &str) -> usize {
        self.count_after(&self.manifest().query_prefix, text)
    }

    fn count_after(&self, prefix: &str, text: &str) -> usize {
        Tokenizer::SPECIAL_TOKENS + self.tokenizer().count(&format!("{prefix}{text}"))
    }

    /// The unit vector of a question: the model's query prefix goes before it. Takes two threads where nothing else is embedded
    /// meanwhile, and one under load.
    ///
    /// # Errors
    /// As [`Self::embed_one`].
    pub fn embed_query(&self, text: &str) -> Result<Vec<f32>> {
        let Self(engine) = self;
        engine.whole(|| {
            let text = self.sequence(&self.manifest().query_prefix, text);
            if !engine.workers.should_split(text.ids.len()) {
                return Ok(self.vector(&text));
            }
            Ok(engine.workers.with_buffers(|first| {
                engine.workers.with_buffers(|second| {
                    // Into the pool once, not at each join.
                    rayon::scope(|_| encoder::forward_in_two(&engine.model, engine.kernel, &text, [first, second]))
                })
            }))
        })
    }

    /// The unit vector of one document, cut at [`Tokenizer::max_tokens`].
    ///
    /// # Errors
    /// The model's file was overwritten in place; no text makes it fail.
    pub fn embed_one(&self, text: &str) -> Result<Vec<f32>> {
        self.0.whole(|| Ok(self.vector(&self.sequence(&self.manifest().document_prefix, text))))
    }

    /// The unit vectors of many documents, in their order, on all cores. `done` is called with the number of texts after each
    /// batch.
    ///
    /// # Errors
    /// As [`Self::embed_one`].
    pub fn embed(&self, texts: &[&str], done: &(impl Fn(usize) + Sync)) -> Result<Vec<Vec<f32>>> {
        self.0.whole(|| {
            let prefix = &self.manifest().document_prefix;
            let texts: Vec<Sequence> = texts.par_iter().map(|text| self.sequence(prefix, text)).collect();
            let vectors = self.0.in_batches(&texts, |batch, scratch| {
                let vectors = self.forward(batch, scratch).collect();
                done(batch.len());
                vectors
            });
            Ok(vectors)
        })
    }

    fn sequence(&self, prefix: &str, text: &str) -> Sequence {
        Sequence::of(self.tokenizer().encode_after(prefix, text))
    }

    fn vector(&self, text: &Sequence) -> Vec<f32> {
        self.0.workers.with_buffers(|scratch| self.forward(&[text], scratch).next().unwrap_or_default())
    }

    fn forward<'a>(&'a self, texts: &'a [&Sequence], scratch: &'a mut Scratch) -> impl Iterator<Item = Vec<f32>> + 'a {
        encoder::forward(&self.0.model, self.0.kernel, texts, scratch)
    }
}
