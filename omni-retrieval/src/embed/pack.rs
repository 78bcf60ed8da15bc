//! A model folder (`config.json`, `model.safetensors`, `tokenizer.json` or `vocab.txt`) to the bytes of a packed model.
//!
//! Equal input gives equal bytes. What the encoder cannot run is refused here, by name, so that nothing has to be checked again
//! while embedding.

use std::io::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::config::Config;
use super::description::{self, Description};
use super::folder::{read, refused};
use super::manifest::{LEAST_TOKENS, Manifest, PANEL, POSITIONS, Pooling, Precision, Purpose, Section};
use super::packed::{MAGIC, PREAMBLE, STRIP, VERSION};
use super::weights::Weights;
use super::{vocabulary, wordpiece};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::replace::replace;

/// Writes a packed model in one step: a process that has mapped an older one keeps that.
///
/// # Errors
/// Its folder cannot be written.
pub fn write_packed(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes)).map_err(|cause| Error::io(path, cause))
}

/// Packs the model in `folder`.
///
/// # Errors
/// A file is missing, damaged, or asks for something that the encoder does not do; the text names it.
pub fn pack(folder: &Path, description: &Description, precision: Precision) -> Result<Vec<u8>> {
    if description.max_tokens < LEAST_TOKENS {
        return Err(Error::bad_request(format!("`max_tokens`: {}; at least {LEAST_TOKENS}", description.max_tokens)));
    }
    let Config { sizes, activation, purpose } = Config::read(folder)?;
    let (mut rules, pieces) = wordpiece::read(folder)?;
    rules.normalizer.lowercase |= description::lowers(folder)?;
    let path = folder.join("model.safetensors");
    let pickled = folder.join("pytorch_model.bin");
    if !path.is_file() && pickled.is_file() {
        return Err(refused(&pickled, "pickled weights, which only Python reads; save them as `model.safetensors`"));
    }
    let bytes = read(&path)?;
    let weights = Weights::parse(&bytes).map_err(|what| Error::corrupt(&path, what))?;

    // A head reads the first token, and pairs have no prefixes.
    let reranks = purpose == Purpose::Reranking;
    let prefix = |prefix: &String| if reranks { String::new() } else { prefix.clone() };
    let mut manifest = Manifest {
        name: description.name.clone(),
        licence: description.licence.clone(),
        fingerprint: String::new(),
        purpose,
        precision,
        dimensions: sizes.hidden_size,
        layers: sizes.num_hidden_layers,
        heads: sizes.num_attention_heads,
        intermediate: sizes.intermediate_size,
        activation,
        max_tokens: description.max_tokens.min(sizes.max_position_embeddings),
        norm_epsilon: sizes.layer_norm_eps,
        pooling: if reranks { Pooling::Cls } else { description.pooling },
        query_prefix: prefix(&description.query_prefix),
        document_prefix: prefix(&description.document_prefix),
        tokenizer: rules,
        sections: Vec::new(),
    };
    manifest.check().map_err(|what| refused(&folder.join("config.json"), &what))?;
    let sections = sections(&manifest, &pieces, &weights).map_err(|what| Error::corrupt(&path, what))?;
    manifest.fingerprint = fingerprint(&manifest, &sections);
    Ok(assemble(manifest, sections))
}

/// Every vector and score is decided by the weights as stored, the tokenizer's rules, the token limit, the pooling and the
/// prefixes.
fn fingerprint(manifest: &Manifest, sections: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    let nameless = Manifest { name: String::new(), licence: String::new(), ..manifest.clone() };
    hash.update(serde_json::to_vec(&nameless).unwrap_or_default());
    for section in sections {
        hash.update((section.len() as u64).to_le_bytes());
        hash.update(section);
    }
    hex(&hash.finalize()[..8])
}

fn assemble(mut manifest: Manifest, sections: Vec<Vec<u8>>) -> Vec<u8> {
    let lengths = manifest.lengths();
    // The offsets stand in the manifest, and its length moves them: as many rounds as it takes for the digits to settle.
    let mut length = 0;
    let (json, places) = loop {
        let places = manifest.places(PREAMBLE + length);
        manifest.sections = lengths
            .iter()
            .zip(&places)
            .zip(&sections)
            .map(|(((name, length), place), bytes)| Section {
                name: name.clone(),
                offset: place.start,
                length: *length,
                crc32c: crc32c::crc32c(bytes),
            })
            .collect();
        // Padded to a fixed step, so that the rounds cannot chase each other.
        let mut json = serde_json::to_vec(&manifest).unwrap_or_default();
        json.resize((PREAMBLE + json.len()).next_multiple_of(4096) - PREAMBLE, b' ');
        if json.len() == length {
            break (json, places);
        }
        length = json.len();
    };
    let mut out = MAGIC.to_vec();
    for word in [VERSION, json.len() as u32, crc32c::crc32c(&json), 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&json);
    out.resize(places[POSITIONS].end, 0);
    for (place, bytes) in places.into_iter().zip(sections) {
        out[place].copy_from_slice(&bytes);
    }
    out
}

/// The bytes of each section, in the order of [`Manifest::lengths`].
fn sections(manifest: &Manifest, pieces: &[String], weights: &Weights<'_>) -> Result<Vec<Vec<u8>>, String> {
    let (width, inner, precision) = (manifest.dimensions, manifest.intermediate, manifest.precision);
    let (slots, ends, text) = vocabulary::build(pieces, manifest.tokenizer.slots);
    let mut sections = vec![bytemuck::cast_slice(&slots).to_vec(), bytemuck::cast_slice(&ends).to_vec(), text];

    let words = weights.rows("embeddings.word_embeddings.weight", width)?;
    if words.len() < pieces.len() * width {
        return Err(format!("word embeddings: {} rows for {} tokens", words.len() / width, pieces.len()));
    }
    let words = &words[..pieces.len() * width];
    match precision {
        Precision::Int8 => {
            let (rows, scales): (Vec<Vec<i8>>, Vec<f32>) = words.chunks(width).map(quantize).unzip();
            sections.push(rows.iter().flatten().map(|&value| value as u8).collect());
            sections.push(floats(&scales));
        }
        Precision::F32 => {
            sections.push(floats(words));
            sections.push(Vec::new());
        }
    }
    // The first token type, which most models use alone, is part of the position.
    let kinds = weights.rows("embeddings.token_type_embeddings.weight", width)?;
    let positions = weights.rows("embeddings.position_embeddings.weight", width)?;
    if kinds.len() < width || positions.len() < manifest.max_tokens * width {
        return Err("position or token type embeddings: too few rows".to_owned());
    }
    let positions: Vec<f32> = positions[..manifest.max_tokens * width]
        .chunks(width)
        .flat_map(|row| row.iter().zip(&kinds).map(|(a, b)| a + b))
        .collect();
    sections.push(floats(&positions));
    sections.push(norm(weights, "embeddings.LayerNorm", width)?);

    for layer in 0..manifest.layers {
        let at = format!("encoder.layer.{layer}");
        let mut qkv = (Vec::new(), Vec::new());
        for part in ["query", "key", "value"] {
            qkv.0.extend(weights.exactly(&format!("{at}.attention.self.{part}.weight"), &[width, width])?);
            qkv.1.extend(weights.exactly(&format!("{at}.attention.self.{part}.bias"), &[width])?);
        }
        let linear = |name: &str, outputs: usize, inputs: usize| -> Result<Vec<u8>, String> {
            let weight = weights.exactly(&format!("{at}.{name}.weight"), &[outputs, inputs])?;
            let bias = weights.exactly(&format!("{at}.{name}.bias"), &[outputs])?;
            Ok(matrix(&weight, &bias, inputs, precision))
        };
        sections.push(matrix(&qkv.0, &qkv.1, width, precision));
        sections.push(linear("attention.output.dense", width, width)?);
        sections.push(norm(weights, &format!("{at}.attention.output.LayerNorm"), width)?);
        sections.push(linear("intermediate.dense", inner, width)?);
        sections.push(linear("output.dense", width, inner)?);
        sections.push(norm(weights, &format!("{at}.output.LayerNorm"), width)?);
    }
    if manifest.purpose == Purpose::Reranking {
        let [first, second] = kinds.chunks_exact(width).take(2).collect::<Vec<_>>()[..] else {
            return Err("token type embeddings: too few rows for pairs of texts".to_owned());
        };
        sections.push(floats(&second.iter().zip(first).map(|(second, first)| second - first).collect::<Vec<_>>()));
        let weight = weights.exactly("pooler.dense.weight", &[width, width])?;
        sections.push(matrix(&weight, &weights.exactly("pooler.dense.bias", &[width])?, width, precision));
        let weight = weights.beside("classifier.weight", &[1, width])?;
        sections.push(floats(&[weight, weights.beside("classifier.bias", &[1])?].concat()));
    }
    Ok(sections)
}

/// A linear layer as the kernels read it; see [`super::kernels::MatrixI8`]. `weight` has one row of `inputs` per output.
fn matrix(weight: &[f32], bias: &[f32], inputs: usize, precision: Precision) -> Vec<u8> {
    let panels = bias.len() / PANEL;
    let columns = || (0..panels).flat_map(|panel| (0..inputs).map(move |input| (panel * PANEL, input)));
    if precision == Precision::F32 {
        let packed: Vec<f32> = columns()
            .flat_map(|(first, input)| (first..first + PANEL).map(move |column| weight[column * inputs + input]))
            .collect();
        return [floats(&packed), floats(bias)].concat();
    }
    let (columns, scales): (Vec<Vec<i8>>, Vec<f32>) = weight.chunks(inputs).map(quantize).unzip();
    let mut packed = Vec::with_capacity(weight.len());
    for strip in columns.chunks(STRIP) {
        for input in (0..inputs).step_by(4) {
            for column in strip {
                packed.extend(column[input..input + 4].iter().map(|&value| value as u8));
            }
        }
    }
    let sums: Vec<i32> = columns.iter().map(|column| column.iter().map(|&value| i32::from(value)).sum()).collect();
    packed.extend_from_slice(&floats(&scales));
    packed.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
    packed.extend_from_slice(&floats(bias));
    packed
}

/// Symmetric int8: values and what one unit is worth.
fn quantize(row: &[f32]) -> (Vec<i8>, f32) {
    let most = row.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    if most == 0.0 {
        return (vec![0; row.len()], 0.0);
    }
    let unit = most / 127.0;
    (row.iter().map(|value| (value / unit).round() as i8).collect(), unit)
}

fn norm(weights: &Weights<'_>, name: &str, width: usize) -> Result<Vec<u8>, String> {
    // Checkpoints from before safetensors have the names of the paper.
    let [scale, shift] = if weights.has(&format!("{name}.gamma")) { ["gamma", "beta"] } else { ["weight", "bias"] };
    let gamma = weights.exactly(&format!("{name}.{scale}"), &[width])?;
    let beta = weights.exactly(&format!("{name}.{shift}"), &[width])?;
    Ok([floats(&gamma), floats(&beta)].concat())
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
