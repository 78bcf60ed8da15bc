//! Tensors of a `model.safetensors`, found by name and checked by shape.

use safetensors::{Dtype, SafeTensors};

/// What every BERT has; whatever stands before it stands before all names.
const FIRST: &str = "embeddings.word_embeddings.weight";

/// The tensors of one file.
pub(super) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    /// `bert.` where the file has the names of a model with a head.
    prefix: String,
}

impl<'a> Weights<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|cause| format!("not a safetensors file: {cause}"))?;
        let prefixes = tensors.names().into_iter().filter_map(|name| name.strip_suffix(FIRST));
        // The shortest, should there be several encoders: the others are inside something.
        let prefix = prefixes.min_by_key(|prefix| (prefix.len(), prefix.to_owned())).unwrap_or_default().to_owned();
        Ok(Self { tensors, prefix })
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(&format!("{}{name}", self.prefix)).is_ok()
    }

    /// A tensor of exactly this shape, as f32.
    pub(super) fn exactly(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        self.shaped(&self.prefix, name, shape)
    }

    /// A tensor of exactly this shape that stands beside the encoder: part of a head.
    pub(super) fn beside(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        self.shaped(self.prefix.strip_suffix("bert.").unwrap_or(&self.prefix), name, shape)
    }

    fn shaped(&self, prefix: &str, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let (found, values) = self.tensor(prefix, name)?;
        if found != shape {
            return Err(format!("tensor `{name}`: shape {found:?} where {shape:?} belongs"));
        }
        Ok(values)
    }

    /// A table of any number of rows of `width`, as f32.
    pub(super) fn rows(&self, name: &str, width: usize) -> Result<Vec<f32>, String> {
        let (found, values) = self.tensor(&self.prefix, name)?;
        match found[..] {
            [_, columns] if columns == width => Ok(values),
            _ => Err(format!("tensor `{name}`: shape {found:?} where rows of {width} belong")),
        }
    }

    fn tensor(&self, prefix: &str, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
        let full = format!("{prefix}{name}");
        let tensor = self.tensors.tensor(&full).map_err(|_| format!("no tensor `{full}`: not the weights of a BERT encoder"))?;
        let bytes = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            Dtype::BF16 => bytes.as_chunks::<2>().0.iter().map(|&[low, high]| f32::from_le_bytes([0, 0, low, high])).collect(),
            Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|&bytes| half_to_f32(u16::from_le_bytes(bytes))).collect(),
            other => return Err(format!("tensor `{full}`: stored as {other:?}, not as F32, F16 or BF16")),
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("tensor `{full}`: a value is not finite"));
        }
        Ok((tensor.shape().to_vec(), values))
    }
}

/// IEEE 754 binary16, subnormals included.
fn half_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff) << 13;
    // Moves the exponent's bias from 15 to 127; a multiplication does it for subnormals too.
    let value = f32::from_bits(magnitude) * f32::from_bits(0x7780_0000);
    let value = if half & 0x7c00 == 0x7c00 { f32::from_bits(magnitude | 0x7f80_0000) } else { value };
    f32::from_bits(value.to_bits() | sign)
}
