//! A question and passages to scores: a cross-encoder, which reads both together, on the encoder that embeds.

use std::path::Path;

use rayon::prelude::*;

use super::encoder::{self, Sequence};
use super::engine::Engine;
use super::{Manifest, Packed, Purpose, Tokenizer};
use crate::cpu::Kernel;
use crate::error::Result;

/// An opened reranker: BERT with a classifier of one label.
pub struct Reranker(Engine);

impl Reranker {
    /// Opens a packed reranker, or a folder of one: its packed file, else its model files, packed as int8 in memory.
    ///
    /// # Errors
    /// A file is missing or is not what it should be, or the model embeds and has no score.
    pub fn open(path: &Path) -> Result<Self> {
        Engine::open(path, Purpose::Reranking).map(Self)
    }

    /// A reranker over a packed model.
    ///
    /// # Errors
    /// As [`Self::open`], or the environment forces a kernel that this CPU cannot run.
    pub fn of(model: Packed) -> Result<Self> {
        Engine::of(model, Purpose::Reranking).map(Self)
    }

    /// The same reranker on another kernel: for tests and measurements.
    #[must_use]
    pub fn with_kernel(mut self, kernel: Kernel) -> Self {
        self.0.kernel = kernel;
        self
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.0.model.manifest()
    }

    /// The model's own tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.0.tokenizer
    }

    /// How well each passage answers the query, in their order, on all cores: logits of any sign, of which the greater is the
    /// better. `1 / (1 + exp(-logit))` is from 0 to 1. What is too long for the model is cut at its end, the longer of the two
    /// texts first.
    ///
    /// A score is decided by the two texts and the model alone: not by the other passages, the threads or the machine.
    ///
    /// # Errors
    /// The model's file was overwritten in place; no text makes it fail.
    pub fn score(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>> {
        let engine = &self.0;
        engine.whole(|| {
            let query = engine.tokenizer.ids(query);
            let pairs: Vec<Sequence> = passages
                .par_iter()
                .map(|passage| {
                    let (ids, second) = engine.tokenizer.pair(&query, passage);
                    Sequence { ids, second }
                })
                .collect();
            Ok(engine.in_batches(&pairs, |batch, scratch| encoder::score(&engine.model, engine.kernel, batch, scratch)))
        })
    }
}
