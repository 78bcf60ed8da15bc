//! The packed model file: what it says, where its sections lie, and the mapped view of them.
//!
//! ```text
//! 8 bytes  magic            4  version      4  bytes of the manifest      4  CRC-32C of the manifest      4  zero
//! manifest (JSON), then the sections, each at a multiple of 64 bytes
//! ```
//! The sections and their sizes follow from the dimensions in the manifest; its table must agree with them, so a view can never reach
//! outside the file. Opening reads the manifest and nothing else: a damaged weight gives a wrong number, never a wild read, and
//! [`Packed::verify`] finds it. All numbers are little-endian. `docs/model-format.md` has the details.

use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::normalize::Normalizer;
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

pub(super) const MAGIC: [u8; 8] = *b"OMNIENC\n";
pub(super) const VERSION: u32 = 1;
/// Bytes before the manifest.
pub(super) const PREAMBLE: usize = 24;
/// Every section begins at a multiple of this: a cache line, and one AVX-512 register.
pub(super) const ALIGNMENT: usize = 64;
/// Columns that lie together in a packed matrix.
pub(super) const PANEL: usize = 64;
/// Columns of an int8 matrix that are read as one stream: 4 inputs of them fill a cache line.
pub(super) const STRIP: usize = 16;

/// Bounds of a manifest that we are willing to believe; the largest BERT has 1024 x 24.
const MOST: usize = 1 << 20;

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

/// What a packed model says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's name, for people.
    pub name: String,
    /// SPDX licence of the weights, or empty where it is not known.
    pub licence: String,
    /// 16 hex digits over everything that decides a vector.
    pub fingerprint: String,
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

/// A packed model, mapped.
pub struct Packed {
    map: Mmap,
    manifest: Manifest,
    /// Where each section lies, in the order of [`Manifest::lengths`].
    ranges: Vec<Range<usize>>,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// Sections before those of the layers.
const FRONT: usize = 7;
/// Sections of one layer.
const EACH: usize = 6;

impl Packed {
    /// Maps a packed model. Reads its manifest, not its weights.
    ///
    /// # Errors
    /// The file is missing, truncated, altered in its manifest, or of another version.
    pub fn open(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|cause| Error::io(path, cause))?;
        #[expect(unsafe_code, reason = "a file can only be mapped by an unsafe call")]
        // SAFETY: the map is private and read-only. A file that is changed in place while mapped could change under us; ours are written
        // to a temporary name and renamed, and every read is of plain numbers and of checked text, so a number would be wrong. A file
        // that is cut short under a running process ends it, as any mapped file does: that is no read outside the map.
        let map = unsafe { Mmap::map(&file) }.map_err(|cause| Error::io(path, cause))?;
        Self::view(map)
            .map_err(|what| Error::corrupt(path, format_args!("{what}; pack the model again with `index-builder model`")))
    }

    /// A packed model in memory, as [`super::pack()`] makes it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut map =
            memmap2::MmapMut::map_anon(bytes.len().max(1)).map_err(|cause| Error::internal(format!("packed model: {cause}")))?;
        map[..bytes.len()].copy_from_slice(bytes);
        let map = map.make_read_only().map_err(|cause| Error::internal(format!("packed model: {cause}")))?;
        Self::view(map).map_err(|what| Error::new(crate::error::Code::CorruptFile, format!("packed model: {what}")))
    }

    fn view(map: Mmap) -> Result<Self, String> {
        if cfg!(target_endian = "big") {
            return Err("packed models are little-endian, this machine is not".to_owned());
        }
        let Some(preamble) = map.first_chunk::<PREAMBLE>() else {
            return Err(format!("truncated: {} bytes", map.len()));
        };
        let word = |at: usize| u32::from_le_bytes([preamble[at], preamble[at + 1], preamble[at + 2], preamble[at + 3]]);
        if preamble[..8] != MAGIC {
            return Err("not a packed model".to_owned());
        }
        if word(8) != VERSION {
            return Err(format!("version {}: this program reads version {VERSION}", word(8)));
        }
        if word(20) != 0 {
            return Err("altered: reserved bytes are not zero".to_owned());
        }
        let length = word(12) as usize;
        let Some(json) = map.get(PREAMBLE..PREAMBLE + length) else {
            return Err(format!("truncated: the manifest has {length} bytes, the file {}", map.len()));
        };
        if crc32c::crc32c(json) != word(16) {
            return Err("altered: the manifest's checksum differs".to_owned());
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|cause| format!("manifest: {cause}"))?;
        manifest.check()?;
        let lengths = manifest.lengths();
        if manifest.sections.len() != lengths.len() {
            return Err(format!("manifest: {} sections where {} belong", manifest.sections.len(), lengths.len()));
        }
        let mut at = PREAMBLE + length;
        let mut ranges = Vec::with_capacity(lengths.len());
        for (section, (name, length)) in manifest.sections.iter().zip(&lengths) {
            at = at.next_multiple_of(ALIGNMENT);
            if section.name != *name || section.offset != at || section.length != *length {
                return Err(format!("manifest: section `{}` is not where or what `{name}` has to be", section.name));
            }
            ranges.push(at..at + length);
            at += length;
        }
        if at != map.len() {
            return Err(format!("truncated or extended: {} bytes, the sections end at {at}", map.len()));
        }
        Ok(Self { map, manifest, ranges })
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads the whole file and compares every section with its checksum.
    ///
    /// # Errors
    /// Names the first section that differs.
    pub fn verify(&self) -> Result<()> {
        for (section, range) in self.manifest.sections.iter().zip(&self.ranges) {
            if crc32c::crc32c(&self.map[range.clone()]) != section.crc32c {
                let what = format!(
                    "packed model: section `{}` is altered; pack the model again with `index-builder model`",
                    section.name
                );
                return Err(Error::new(crate::error::Code::CorruptFile, what));
            }
        }
        Ok(())
    }

    pub(super) fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary::new(self.numbers(0), self.numbers(1), self.bytes(2), self.manifest.tokenizer.longest_piece)
    }

    /// Adds up word and position embedding of one token into `out`.
    pub(super) fn embed_token(&self, id: u32, position: usize, out: &mut [f32]) {
        let width = self.manifest.dimensions;
        let row = id as usize;
        let positions = &self.numbers::<f32>(5)[position * width..][..width];
        match self.manifest.precision {
            Precision::Int8 => {
                let scale = self.numbers::<f32>(4)[row];
                let words = &self.numbers::<i8>(3)[row * width..][..width];
                for ((out, &word), &position) in out.iter_mut().zip(words).zip(positions) {
                    *out = f32::from(word) * scale + position;
                }
            }
            Precision::F32 => {
                let words = &self.numbers::<f32>(3)[row * width..][..width];
                for ((out, &word), &position) in out.iter_mut().zip(words).zip(positions) {
                    *out = word + position;
                }
            }
        }
    }

    pub(super) fn embedding_norm(&self) -> Norm<'_> {
        self.norm(6)
    }

    pub(super) fn layer(&self, layer: usize) -> Layer<'_> {
        let (width, inner, at) = (self.manifest.dimensions, self.manifest.intermediate, FRONT + layer * EACH);
        Layer {
            qkv: self.matrix(at, width, 3 * width),
            output: self.matrix(at + 1, width, width),
            attention_norm: self.norm(at + 2),
            up: self.matrix(at + 3, width, inner),
            down: self.matrix(at + 4, inner, width),
            norm: self.norm(at + 5),
        }
    }

    fn norm(&self, section: usize) -> Norm<'_> {
        let (gamma, beta) = self.numbers(section).split_at(self.manifest.dimensions);
        Norm { gamma, beta }
    }

    fn matrix(&self, section: usize, rows: usize, columns: usize) -> Matrix<'_> {
        let bytes = self.bytes(section);
        match self.manifest.precision {
            Precision::Int8 => {
                let (weights, rest) = bytes.split_at(rows * columns);
                let (scales, rest) = rest.split_at(columns * 4);
                let (sums, bias) = rest.split_at(columns * 4);
                Matrix::Int8(MatrixI8 {
                    rows,
                    weights: bytemuck::cast_slice(weights),
                    scales: bytemuck::cast_slice(scales),
                    sums: bytemuck::cast_slice(sums),
                    bias: bytemuck::cast_slice(bias),
                })
            }
            Precision::F32 => {
                let (weights, bias) = bytes.split_at(rows * columns * 4);
                Matrix::F32(MatrixF32 { rows, weights: bytemuck::cast_slice(weights), bias: bytemuck::cast_slice(bias) })
            }
        }
    }

    fn bytes(&self, section: usize) -> &[u8] {
        &self.map[self.ranges[section].clone()]
    }

    /// Sections begin at multiples of 64 and have whole numbers in them (checked at open), so the cast cannot fail.
    fn numbers<T: bytemuck::AnyBitPattern>(&self, section: usize) -> &[T] {
        bytemuck::cast_slice(self.bytes(section))
    }
}

/// One encoder layer.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) qkv: Matrix<'a>,
    pub(super) output: Matrix<'a>,
    pub(super) attention_norm: Norm<'a>,
    pub(super) up: Matrix<'a>,
    pub(super) down: Matrix<'a>,
    pub(super) norm: Norm<'a>,
}

/// Scale and shift of a LayerNorm.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
}

/// A linear layer.
#[derive(Clone, Copy)]
pub(super) enum Matrix<'a> {
    Int8(MatrixI8<'a>),
    F32(MatrixF32<'a>),
}

/// int8 weights: strips of 16 columns; in a strip, groups of four rows; in a group, the four weights of a column side by side.
#[derive(Clone, Copy)]
pub(super) struct MatrixI8<'a> {
    /// Inputs, a multiple of 64.
    pub(super) rows: usize,
    pub(super) weights: &'a [i8],
    /// What one unit of a column is worth.
    pub(super) scales: &'a [f32],
    /// Sum of a column's weights: what the zero point of the activations has to be taken from.
    pub(super) sums: &'a [i32],
    pub(super) bias: &'a [f32],
}

/// f32 weights: panels of 64 columns, row after row.
#[derive(Clone, Copy)]
pub(super) struct MatrixF32<'a> {
    pub(super) rows: usize,
    pub(super) weights: &'a [f32],
    pub(super) bias: &'a [f32],
}

impl Manifest {
    /// Whether the numbers make sense together, so that nothing after this can overflow or divide by zero.
    pub(super) fn check(&self) -> Result<(), String> {
        let rules = &self.tokenizer;
        let small = |name: &str, value: usize| match value {
            1..=MOST => Ok(()),
            _ => Err(format!("manifest: `{name}` {value}: not from 1 to {MOST}")),
        };
        small("dimensions", self.dimensions)?;
        small("layers", self.layers)?;
        small("heads", self.heads)?;
        small("intermediate", self.intermediate)?;
        small("max_tokens", self.max_tokens)?;
        small("pieces", rules.pieces)?;
        small("longest_piece", rules.longest_piece)?;
        small("max_word_chars", rules.max_word_chars)?;
        if rules.piece_bytes > 64 * MOST {
            return Err(format!("manifest: `piece_bytes` {}: too many", rules.piece_bytes));
        }
        if self.layers > 256 || self.dimensions > 1 << 14 || self.intermediate > 1 << 16 || self.max_tokens > 1 << 14 {
            return Err("manifest: larger than any encoder this program can run".to_owned());
        }
        if !self.dimensions.is_multiple_of(PANEL) || !self.intermediate.is_multiple_of(PANEL) {
            return Err(format!("manifest: {} x {}: widths have to be multiples of {PANEL}", self.dimensions, self.intermediate));
        }
        if !self.dimensions.is_multiple_of(self.heads) || !(self.dimensions / self.heads).is_multiple_of(16) {
            return Err(format!("manifest: {} heads of {}: a head has to be a multiple of 16 wide", self.heads, self.dimensions));
        }
        if self.max_tokens < 3 {
            return Err(format!("manifest: `max_tokens` {}: at least 3", self.max_tokens));
        }
        if !rules.slots.is_power_of_two() || rules.slots <= rules.pieces || rules.slots > 8 * MOST {
            return Err(format!("manifest: {} slots for {} pieces", rules.slots, rules.pieces));
        }
        if !(self.norm_epsilon >= 0.0 && self.norm_epsilon < 1.0) {
            return Err(format!("manifest: `norm_epsilon` {}: not from 0 to 1", self.norm_epsilon));
        }
        let ids = [rules.unknown, rules.opening, rules.closing].into_iter().chain(rules.added.iter().map(|token| token.id));
        for id in ids {
            if id as usize >= rules.pieces {
                return Err(format!("manifest: token {id}: the vocabulary has {}", rules.pieces));
            }
        }
        if rules.added.iter().any(|token| !token.text.starts_with(|first: char| first.is_ascii())) {
            return Err("manifest: an added token does not begin with an ASCII character".to_owned());
        }
        Ok(())
    }

    /// Name and bytes of each section, in the order of the file. Only for a manifest that [`Self::check`] accepts.
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
        lengths
    }
}
