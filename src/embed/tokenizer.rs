//! The model's own tokens: for embedding, and for counting while chunking.
//!
//! The `tokenizer.json` of all-MiniLM-L6-v2 carries a truncation at 128 tokens and padding. Both are switched off here: counts must
//! not saturate, and the encoder truncates at the model's real limit itself.

use std::ops::Range;
use std::path::Path;

use crate::error::{Code, Error, Result};

/// WordPiece over one model's vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    max_tokens: usize,
}

impl Tokenizer {
    /// Opens `tokenizer.json` in a model folder. `max_tokens` counts the special tokens.
    ///
    /// # Errors
    /// The file is missing or not a tokenizer.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let mut inner = tokenizers::Tokenizer::from_file(&path)
            .map_err(|cause| Error::new(Code::CorruptFile, format!("{}: not a tokenizer: {cause}", path.display())))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|cause| Error::internal(format!("tokenizer: {cause}")))?;
        Ok(Self { inner, max_tokens })
    }

    /// The most tokens that one vector can cover, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Tokens of `text`, without the special tokens that embedding adds ([`Self::SPECIAL_TOKENS`]).
    pub fn count(&self, text: &str) -> usize {
        self.offsets(text).len()
    }

    /// Special tokens that embedding adds to every text.
    pub const SPECIAL_TOKENS: usize = 2;

    /// The byte range of each token of `text`, ascending, without special tokens.
    pub fn offsets(&self, text: &str) -> Vec<Range<usize>> {
        // WordPiece with an unknown token does not fail on a string; should it, the text counts as unsplittable, not as empty.
        self.inner.encode(text, false).map_or_else(
            |_| std::iter::once(0..text.len()).collect(),
            |encoding| encoding.get_offsets().iter().map(|&(start, end)| start..end).collect(),
        )
    }

    /// Token ids as the model reads them: specials added, cut to `max_tokens` with the closing special kept.
    ///
    /// # Errors
    /// The tokenizer refuses the text; none of the supported models does.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, true).map_err(|cause| Error::internal(format!("tokenizer: {cause}")))?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > self.max_tokens
            && let Some(&last) = ids.last()
        {
            ids.truncate(self.max_tokens);
            if let Some(end) = ids.last_mut() {
                *end = last;
            }
        }
        Ok(ids)
    }
}
