//! Text to unit vectors: all-MiniLM-L6-v2 and its relatives.
//!
//! [`Embedder`] is the whole interface. Behind it stands candle, the reference engine.

mod candle;
mod tokenizer;

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

pub use tokenizer::Tokenizer;

use crate::error::{Error, Result};

/// Files that a model folder holds; their bytes make the fingerprint.
pub const MODEL_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// The model that the project is built around.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// Tokens that one vector covers, special tokens included: the limit that all-MiniLM-L6-v2 was trained for.
pub const MAX_TOKENS: usize = 256;

/// Most tokens that one forward pass takes together; more costs memory and gains nothing on a CPU.
const BATCH_TOKENS: usize = 2048;

/// An opened embedding model.
pub struct Embedder {
    name: String,
    fingerprint: String,
    tokenizer: Tokenizer,
    encoder: candle::Encoder,
}

impl Embedder {
    /// Opens a model folder (see [`MODEL_FILES`]); its last path component is the model's name.
    ///
    /// # Errors
    /// A file is missing or is not what it should be; the text says how to get the model.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut hash = Sha256::new();
        for file in MODEL_FILES {
            let path = folder.join(file);
            let bytes = std::fs::read(&path).map_err(|cause| {
                if cause.kind() == std::io::ErrorKind::NotFound {
                    let message = format!("{}: no such file; get the model with `index-builder model`", path.display());
                    Error::new(crate::error::Code::NotFound, message).caused_by(cause)
                } else {
                    Error::io(&path, cause)
                }
            })?;
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
        hash.update((MAX_TOKENS as u64).to_le_bytes());
        let fingerprint = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let name = folder.file_name().map_or_else(|| DEFAULT_MODEL.to_owned(), |name| name.to_string_lossy().into_owned());
        let tokenizer = Tokenizer::open(folder, MAX_TOKENS)?;
        Ok(Self { name, fingerprint, tokenizer, encoder: candle::Encoder::open(folder)? })
    }

    /// The model's name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// 16 hex digits that change with the weights, the vocabulary or the token limit.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Floats of one vector.
    pub fn dimensions(&self) -> usize {
        self.encoder.dimensions()
    }

    /// The model's own tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The unit vector of one text, cut at [`Tokenizer::max_tokens`].
    ///
    /// # Errors
    /// The engine failed; no text makes it fail.
    pub fn embed_one(&self, text: &str) -> Result<Vec<f32>> {
        let ids = self.tokenizer.encode(text)?;
        self.encoder.embed(&ids, ids.len())
    }

    /// The unit vectors of many texts, in their order, on all cores. `done` is called with the number of texts after each batch.
    ///
    /// # Errors
    /// As [`Self::embed_one`].
    pub fn embed(&self, texts: &[&str], done: &(impl Fn(usize) + Sync)) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<Vec<u32>> = texts.par_iter().map(|text| self.tokenizer.encode(text)).collect::<Result<_>>()?;
        let mut by_length = BTreeMap::<usize, Vec<usize>>::new();
        for (index, ids) in ids.iter().enumerate() {
            by_length.entry(ids.len()).or_default().push(index);
        }
        let batches: Vec<(usize, &[usize])> = by_length
            .iter()
            .rev()
            .flat_map(|(&length, indexes)| {
                indexes.chunks((BATCH_TOKENS / length.max(1)).max(1)).map(move |batch| (length, batch))
            })
            .collect();
        let rows: Vec<Vec<(usize, Vec<f32>)>> = batches
            .par_iter()
            .map(|&(length, batch)| {
                let flat: Vec<u32> = batch.iter().flat_map(|&index| ids[index].iter().copied()).collect();
                let vectors = self.encoder.embed(&flat, length)?;
                done(batch.len());
                Ok(batch.iter().copied().zip(vectors.chunks(self.dimensions()).map(<[f32]>::to_vec)).collect())
            })
            .collect::<Result<_>>()?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for (index, vector) in rows.into_iter().flatten() {
            vectors[index] = vector;
        }
        Ok(vectors)
    }
}
