//! An opened model with what it takes to compute with it: its tokenizer, the kernel, and its workers.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::encoder::{Scratch, Sequence};
use super::workers::Workers;
use super::{Description, PACKED_FILE, Packed, Precision, Purpose, Tokenizer, pack};
use crate::cpu::Kernel;
use crate::error::{Code, Error, Result};

/// Tokens that go through the encoder together: enough to use each weight often, few enough to stay in the core's cache.
const BATCH_TOKENS: usize = 256;

/// An opened model.
pub(super) struct Engine {
    pub(super) model: Arc<Packed>,
    pub(super) tokenizer: Tokenizer,
    pub(super) kernel: Kernel,
    pub(super) workers: Workers,
}

impl Engine {
    /// Opens a packed model, or a model folder: its [`PACKED_FILE`], else its files, packed as int8 in memory.
    ///
    /// # Errors
    /// A file is missing or is not what it should be, or the model is for something else.
    pub(super) fn open(path: &Path, purpose: Purpose) -> Result<Self> {
        if !path.exists() {
            let remedy = match purpose {
                Purpose::Embedding => "get the model with `index-builder model`, or name the folder of another",
                Purpose::Reranking => "pack a cross-encoder with `index-builder model --from FOLDER`, and name its folder",
            };
            return Err(Error::new(Code::NotFound, format!("{}: no such model; {remedy}", path.display())));
        }
        if !path.is_dir() {
            return Self::of(Packed::open(path)?, purpose);
        }
        let packed = path.join(PACKED_FILE);
        if packed.is_file() {
            return Self::of(Packed::open(&packed)?, purpose);
        }
        Self::of(Packed::from_bytes(&pack(path, &Description::of(path)?, Precision::Int8)?)?, purpose)
    }

    /// An engine over a packed model.
    ///
    /// # Errors
    /// The model is for something else, or the environment forces a kernel that this CPU cannot run.
    pub(super) fn of(model: Packed, purpose: Purpose) -> Result<Self> {
        let manifest = model.manifest();
        if manifest.purpose != purpose {
            let what = match purpose {
                Purpose::Embedding => "a reranker, which gives scores of pairs of texts and no vectors; name an embedding model",
                Purpose::Reranking => "an embedding model, which has no head that scores pairs of texts; name a cross-encoder",
            };
            return Err(Error::new(Code::NotSupported, format!("`{}`: {what}", manifest.name)));
        }
        let model = Arc::new(model);
        let tokenizer = Tokenizer::of(Arc::clone(&model));
        Ok(Self { model, tokenizer, kernel: Kernel::choose()?, workers: Workers::default() })
    }

    /// Hands out only what was computed from the file that was opened.
    ///
    /// # Errors
    /// The file was overwritten in place, or `compute` failed.
    pub(super) fn whole<T>(&self, compute: impl FnOnce() -> Result<T>) -> Result<T> {
        self.model.require_whole()?;
        let computed = compute()?;
        self.model.require_whole()?;
        Ok(computed)
    }

    /// Takes sequences through `compute`, a batch at a time on all cores; one result each, in their order.
    pub(super) fn in_batches<T: Send + Default + Clone>(
        &self,
        sequences: &[Sequence],
        compute: impl Fn(&[&Sequence], &mut Scratch) -> Vec<T> + Sync,
    ) -> Vec<T> {
        // Longest first, so that no core is left with a long batch at the end.
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(sequences[index].ids.len()));
        let computed: Vec<Vec<T>> = batches(&order, sequences)
            .par_iter()
            .map(|batch| {
                let batch: Vec<&Sequence> = batch.iter().map(|&index| &sequences[index]).collect();
                self.workers.with_buffers(|scratch| compute(&batch, scratch))
            })
            .collect();
        let mut results = vec![T::default(); sequences.len()];
        for (index, result) in order.into_iter().zip(computed.into_iter().flatten()) {
            results[index] = result;
        }
        results
    }
}

/// Cuts `order` into runs of at most [`BATCH_TOKENS`] tokens, or of one sequence.
fn batches<'a>(order: &'a [usize], sequences: &[Sequence]) -> Vec<&'a [usize]> {
    let mut batches = Vec::new();
    let (mut first, mut tokens) = (0, 0);
    for (at, &index) in order.iter().enumerate() {
        let length = sequences[index].ids.len();
        if at > first && tokens + length > BATCH_TOKENS {
            batches.push(&order[first..at]);
            (first, tokens) = (at, 0);
        }
        tokens += length;
    }
    if first < order.len() {
        batches.push(&order[first..]);
    }
    batches
}
