//! What a packed model says of itself, and whether it makes sense: everything else in the file lies where these numbers put it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::normalize::Normalizer;

/// Every section begins at a multiple of this: a cache line, and one AVX-512 register.
const ALIGNMENT: usize = 64;

/// Columns that lie together in a packed matrix.
pub(super) const PANEL: usize = 64;

/// Bounds of a manifest that we are willing to believe; the largest BERT has 1024 x 24.
const MOST: usize = 1 << 20;

/// Bytes of a vocabulary's longest piece. Each place of a word is looked up as often as that, so more would make a question slow.
const LONGEST_PIECE: usize = 256;

/// Section of the token embeddings, in [`Manifest::lengths`].
pub(super) const WORDS: usize = 3;
/// Section of the position embeddings.
pub(super) const POSITIONS: usize = 5;

/// Two special tokens and one of the text.
pub(super) const LEAST_TOKENS: usize = 3;

/// How the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// One byte a weight, one scale a column; activations quantised while running.
    Int8,
    /// Four bytes a weight, as trained.
    F32,
}

/// How token vectors become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first one.
    Cls,
}

/// What a packed model is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A text to a vector: [`super::Embedder`].
    #[default]
    Embedding,
    /// A question and a passage to a score: [`super::Reranker`].
    Reranking,
}

impl Purpose {
    /// What is usual is not written, so that a file says what it always said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_embedding(&self) -> bool {
        *self == Self::Embedding
    }
}

/// What stands between the two products of the feed-forward part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * Phi(x)`, exactly.
    #[default]
    Gelu,
    /// The same, approximated with a hyperbolic tangent.
    GeluTanh,
    /// What is positive.
    Relu,
}

impl Activation {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_gelu(&self) -> bool {
        *self == Self::Gelu
    }
}

/// What a packed model says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's name, for people.
    pub name: String,
    /// SPDX licence of the weights, or empty where it is not known.
    pub licence: String,
    /// 16 hex digits over everything that decides a vector or a score.
    pub fingerprint: String,
    /// What the model is for.
    #[serde(default, skip_serializing_if = "Purpose::is_embedding")]
    pub purpose: Purpose,
    /// How the weights are stored.
    pub precision: Precision,
    /// Floats of one vector.
    pub dimensions: usize,
    /// Encoder layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward part.
    pub intermediate: usize,
    /// What stands between the two products of the feed-forward part.
    #[serde(default, skip_serializing_if = "Activation::is_gelu")]
    pub activation: Activation,
    /// Tokens that one vector covers, special tokens included.
    pub max_tokens: usize,
    /// Added to the variance in every LayerNorm.
    pub norm_epsilon: f32,
    /// How token vectors become one vector.
    pub pooling: Pooling,
    /// What goes before a question.
    pub query_prefix: String,
    /// What goes before a document.
    pub document_prefix: String,
    pub(super) tokenizer: Rules,
    pub(super) sections: Vec<Section>,
}

/// How text becomes tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub(super) normalizer: Normalizer,
    pub(super) max_word_chars: usize,
    /// Pieces in the vocabulary.
    pub(super) pieces: usize,
    /// Bytes of all pieces.
    pub(super) piece_bytes: usize,
    /// Bytes of the longest piece, without the sign of continuation.
    pub(super) longest_piece: usize,
    /// Slots of the vocabulary's hash table, a power of two.
    pub(super) slots: usize,
    pub(super) unknown: u32,
    pub(super) opening: u32,
    pub(super) closing: u32,
    /// Tokens that are found in the raw text, before anything else.
    pub(super) added: Vec<Added>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) text: String,
}

/// A stretch of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) crc32c: u32,
}

/// Whether a number is one that a model may have.
fn check_size(name: &str, value: usize) -> Result<(), String> {
    match value {
        1..=MOST => Ok(()),
        _ => Err(format!("`{name}` {value}: not from 1 to {MOST}")),
    }
}

impl Rules {
    /// Whether the numbers make sense together, and an added token begins where text can be cut.
    pub(super) fn check(&self) -> Result<(), String> {
        check_size("pieces", self.pieces)?;
        check_size("longest_piece", self.longest_piece)?;
        check_size("max_word_chars", self.max_word_chars)?;
        if self.longest_piece > LONGEST_PIECE {
            return Err(format!("`longest_piece` {}: more than {LONGEST_PIECE}", self.longest_piece));
        }
        if self.piece_bytes > 64 * MOST {
            return Err(format!("`piece_bytes` {}: too many", self.piece_bytes));
        }
        if !self.slots.is_power_of_two() || self.slots <= self.pieces || self.slots > 8 * MOST {
            return Err(format!("{} slots for {} pieces", self.slots, self.pieces));
        }
        let ids = [self.unknown, self.opening, self.closing].into_iter().chain(self.added.iter().map(|token| token.id));
        for id in ids {
            if id as usize >= self.pieces {
                return Err(format!("token {id}: the vocabulary has {}", self.pieces));
            }
        }
        match self.added.iter().find(|token| !token.text.starts_with(|first: char| first.is_ascii())) {
            Some(token) => Err(format!("added token `{}`: does not begin with an ASCII character", token.text)),
            None => Ok(()),
        }
    }
}

impl Manifest {
    /// Whether the sizes make sense together, so that nothing after this, and after [`Rules::check`], can overflow or divide by
    /// zero.
    pub(super) fn check(&self) -> Result<(), String> {
        check_size("dimensions", self.dimensions)?;
        check_size("layers", self.layers)?;
        check_size("heads", self.heads)?;
        check_size("intermediate", self.intermediate)?;
        check_size("max_tokens", self.max_tokens)?;
        if self.layers > 256 || self.dimensions > 1 << 14 || self.intermediate > 1 << 16 || self.max_tokens > 1 << 14 {
            return Err("larger than any encoder this program can run".to_owned());
        }
        if !self.dimensions.is_multiple_of(PANEL) || !self.intermediate.is_multiple_of(PANEL) {
            return Err(format!("{} x {}: widths have to be multiples of {PANEL}", self.dimensions, self.intermediate));
        }
        if !self.dimensions.is_multiple_of(self.heads) || !(self.dimensions / self.heads).is_multiple_of(16) {
            return Err(format!("{} heads of {}: a head has to be a multiple of 16 wide", self.heads, self.dimensions));
        }
        if self.max_tokens < LEAST_TOKENS {
            return Err(format!("`max_tokens` {}: at least {LEAST_TOKENS}", self.max_tokens));
        }
        if !(self.norm_epsilon >= 0.0 && self.norm_epsilon < 1.0) {
            return Err(format!("`norm_epsilon` {}: not from 0 to 1", self.norm_epsilon));
        }
        Ok(())
    }

    /// Name and bytes of each section, as the manifest lists them. Only for a manifest that [`Self::check`] and [`Rules::check`]
    /// accept.
    pub(super) fn lengths(&self) -> Vec<(String, usize)> {
        let (width, inner, pieces) = (self.dimensions, self.intermediate, self.tokenizer.pieces);
        let (weight, per_column) = match self.precision {
            Precision::Int8 => (1, 12),
            Precision::F32 => (4, 4),
        };
        let matrix = |rows: usize, columns: usize| rows * columns * weight + columns * per_column;
        let scales = if self.precision == Precision::Int8 { pieces * 4 } else { 0 };
        let mut lengths = vec![
            ("vocabulary.slots".to_owned(), self.tokenizer.slots * 8),
            ("vocabulary.ends".to_owned(), (pieces + 1) * 4),
            ("vocabulary.text".to_owned(), self.tokenizer.piece_bytes),
            ("embedding.words".to_owned(), pieces * width * weight),
            ("embedding.scales".to_owned(), scales),
            ("embedding.positions".to_owned(), self.max_tokens * width * 4),
            ("embedding.norm".to_owned(), 2 * width * 4),
        ];
        for layer in 0..self.layers {
            let each = [
                ("qkv", matrix(width, 3 * width)),
                ("output", matrix(width, width)),
                ("attention_norm", 2 * width * 4),
                ("up", matrix(width, inner)),
                ("down", matrix(inner, width)),
                ("norm", 2 * width * 4),
            ];
            lengths.extend(each.map(|(name, length)| (format!("layer.{layer}.{name}"), length)));
        }
        if self.purpose == Purpose::Reranking {
            let head = [("embedding.second", width * 4), ("head.pooler", matrix(width, width)), ("head.score", (width + 1) * 4)];
            lengths.extend(head.map(|(name, length)| (name.to_owned(), length)));
        }
        lengths
    }

    /// Where each of [`Self::lengths`] lies in a file whose sections begin behind byte `start`.
    ///
    /// A question reads rows here and there of the words, the first rows of the positions, and everything else. What is read
    /// whole lies together between the two, so that a cold question touches few pieces of the file.
    pub(super) fn places(&self, start: usize) -> Vec<Range<usize>> {
        let lengths = self.lengths();
        let whole = (0..lengths.len()).filter(|section| ![WORDS, POSITIONS].contains(section));
        let mut places = vec![0..0; lengths.len()];
        let mut at = start;
        for section in [WORDS].into_iter().chain(whole).chain([POSITIONS]) {
            at = at.next_multiple_of(ALIGNMENT);
            places[section] = at..at + lengths[section].1;
            at = places[section].end;
        }
        places
    }
}
