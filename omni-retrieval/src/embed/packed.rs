//! The packed model file: what it says, where its sections lie, and the mapped view of them.
//!
//! ```text
//! 8 bytes  magic            4  version      4  bytes of the manifest      4  CRC-32C of the manifest      4  zero
//! manifest (JSON), then the sections, each at a multiple of 64 bytes
//! ```
//! The sections and their sizes follow from the dimensions in the manifest; its table must agree with them, so a view can never
//! reach outside the file. Opening reads the manifest and nothing else: a damaged weight gives a wrong number, never a wild read,
//! and [`Packed::verify`] finds it. A file that somebody writes into while it is in use is refused (`mapped/mod.rs`). All numbers
//! are little-endian. `docs/model-format.md` has the details.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use memmap2::Mmap;

use super::PACKED_FILE;
use super::kernels::{MatrixF32, MatrixI8, Norm, Order};
use super::manifest::{Manifest, POSITIONS, Precision, WORDS};
use super::vocabulary::Vocabulary;
use crate::error::{Code, Error, Result};
use crate::mapped::Mapped;

pub(super) const MAGIC: [u8; 8] = *b"OMNIENC\n";
pub(super) const VERSION: u32 = 2;
/// Bytes before the manifest.
pub(super) const PREAMBLE: usize = 24;
/// Columns of an int8 matrix that are read as one stream: 4 inputs of them fill a cache line.
pub(super) const STRIP: usize = 16;

/// A packed model, mapped.
pub struct Packed {
    bytes: Bytes,
    manifest: Manifest,
    /// Where each section lies, in the order of [`Manifest::lengths`].
    ranges: Vec<Range<usize>>,
    /// What was found out about each of them, where it is an int8 matrix.
    orders: Vec<OnceLock<Order>>,
}

/// Where a packed model lies.
enum Bytes {
    File(Mapped),
    /// Nobody else's, so there is nothing to watch.
    Memory(Mmap),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::File(map) => map,
            Self::Memory(map) => map,
        }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// What is said of a file that is something else.
const FOREIGN: &str = "not a packed model";

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
        let fail = |cause| Error::io(path, cause);
        let file = std::fs::File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        Self::view(Bytes::File(Mapped::of(&file, &metadata, path)?)).map_err(|what| {
            if what == FOREIGN && path.file_name() != Some(PACKED_FILE.as_ref()) {
                return Error::corrupt(
                    path,
                    format_args!("{what}; name a model's folder, or get one with `index-builder model`"),
                );
            }
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).display();
            let remedy = format_args!(
                "{what}; pack the model again with `index-builder model --to {folder}`, another than ours with `--from`, too"
            );
            Error::corrupt(path, remedy)
        })
    }

    /// What a packed model of any version says of itself, as far as that can be made out.
    pub fn described(path: &Path) -> Option<Manifest> {
        let mut file = std::fs::File::open(path).ok()?;
        let mut preamble = [0; PREAMBLE];
        file.read_exact(&mut preamble).ok().filter(|()| preamble[..8] == MAGIC)?;
        let length = u64::from(u32::from_le_bytes([preamble[12], preamble[13], preamble[14], preamble[15]]));
        serde_json::from_reader(std::io::BufReader::new(file.take(length))).ok()
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
        Self::view(Bytes::Memory(map)).map_err(|what| Error::new(Code::CorruptFile, format!("packed model: {what}")))
    }

    fn view(bytes: Bytes) -> Result<Self, String> {
        if cfg!(target_endian = "big") {
            return Err("packed models are little-endian, this machine is not".to_owned());
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(FOREIGN.to_owned());
        }
        let Some(preamble) = bytes.first_chunk::<PREAMBLE>() else {
            return Err(format!("truncated: {} bytes", bytes.len()));
        };
        let word = |at: usize| u32::from_le_bytes([preamble[at], preamble[at + 1], preamble[at + 2], preamble[at + 3]]);
        if word(8) != VERSION {
            return Err(format!("version {}: this program reads version {VERSION}", word(8)));
        }
        if word(20) != 0 {
            return Err("altered: reserved bytes are not zero".to_owned());
        }
        let length = word(12) as usize;
        let Some(json) = bytes.get(PREAMBLE..PREAMBLE + length) else {
            return Err(format!("truncated: the manifest has {length} bytes, the file {}", bytes.len()));
        };
        if crc32c::crc32c(json) != word(16) {
            return Err("altered: the manifest's checksum differs".to_owned());
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|cause| format!("manifest: {cause}"))?;
        manifest.check().and_then(|()| manifest.tokenizer.check()).map_err(|what| format!("manifest: {what}"))?;
        let lengths = manifest.lengths();
        if manifest.sections.len() != lengths.len() {
            return Err(format!("manifest: {} sections where {} belong", manifest.sections.len(), lengths.len()));
        }
        let ranges = manifest.places(PREAMBLE + length);
        for ((section, (name, _)), range) in manifest.sections.iter().zip(&lengths).zip(&ranges) {
            if section.name != *name || section.offset != range.start || section.length != range.len() {
                return Err(format!("manifest: section `{}` is not where or what `{name}` has to be", section.name));
            }
        }
        let end = ranges[POSITIONS].end;
        if end != bytes.len() {
            return Err(format!("truncated or extended: {} bytes, the sections end at {end}", bytes.len()));
        }
        let orders = ranges.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { bytes, manifest, ranges, orders })
    }

    /// What the model says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Refuses a file that was written to in place since it was opened. To be asked before a use and after it.
    ///
    /// # Errors
    /// What was read may be nonsense.
    pub(super) fn require_whole(&self) -> Result<()> {
        match &self.bytes {
            // The manifest was copied, and says what the sections have to be.
            Bytes::File(map) => map.require_whole(|| self.altered().is_none()),
            Bytes::Memory(_) => Ok(()),
        }
    }

    /// Reads the whole file and compares every section with its checksum.
    ///
    /// # Errors
    /// Names the first section that differs.
    pub fn verify(&self) -> Result<()> {
        let Some(section) = self.altered() else { return self.require_whole() };
        let what = format!("section `{section}` is altered; pack the model again with `index-builder model`");
        Err(match &self.bytes {
            Bytes::File(map) => Error::corrupt(map.path(), what),
            Bytes::Memory(_) => Error::new(Code::CorruptFile, format!("packed model: {what}")),
        })
    }

    /// The first section that is not what its checksum says.
    fn altered(&self) -> Option<&str> {
        let mut sections = self.manifest.sections.iter().zip(&self.ranges);
        let altered = sections.find(|(section, range)| crc32c::crc32c(&self.bytes[(*range).clone()]) != section.crc32c);
        altered.map(|(section, _)| &section.name[..])
    }

    pub(super) fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary::new(self.numbers(0), self.numbers(1), self.bytes(2), self.manifest.tokenizer.longest_piece)
    }

    /// Adds up word and position embedding of one token into `out`.
    pub(super) fn embed_token(&self, id: u32, position: usize, out: &mut [f32]) {
        let width = self.manifest.dimensions;
        let row = id as usize;
        let positions = &self.numbers::<f32>(POSITIONS)[position * width..][..width];
        match self.manifest.precision {
            Precision::Int8 => {
                let scale = self.numbers::<f32>(4)[row];
                let words = &self.numbers::<i8>(WORDS)[row * width..][..width];
                for ((out, &word), &position) in out.iter_mut().zip(words).zip(positions) {
                    *out = f32::from(word) * scale + position;
                }
            }
            Precision::F32 => {
                let words = &self.numbers::<f32>(WORDS)[row * width..][..width];
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

    /// What turns the first token of a pair into a score; only a reranker has it.
    pub(super) fn head(&self) -> Classifier<'_> {
        let (width, at) = (self.manifest.dimensions, self.after_layers());
        let numbers = self.numbers(at + 2);
        Classifier { pooler: self.matrix(at + 1, width, width), weights: &numbers[..width], bias: numbers[width] }
    }

    /// What a token of the second text has over one of the first; only a reranker has it.
    pub(super) fn second(&self) -> &[f32] {
        self.numbers(self.after_layers())
    }

    fn after_layers(&self) -> usize {
        FRONT + self.manifest.layers * EACH
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
                    order: &self.orders[section],
                })
            }
            Precision::F32 => {
                let (weights, bias) = bytes.split_at(rows * columns * 4);
                Matrix::F32(MatrixF32 { rows, weights: bytemuck::cast_slice(weights), bias: bytemuck::cast_slice(bias) })
            }
        }
    }

    fn bytes(&self, section: usize) -> &[u8] {
        &self.bytes[self.ranges[section].clone()]
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

/// A pooler and a classifier with one label.
#[derive(Clone, Copy)]
pub(super) struct Classifier<'a> {
    pub(super) pooler: Matrix<'a>,
    pub(super) weights: &'a [f32],
    pub(super) bias: f32,
}

/// A linear layer.
#[derive(Clone, Copy)]
pub(super) enum Matrix<'a> {
    Int8(MatrixI8<'a>),
    F32(MatrixF32<'a>),
}
