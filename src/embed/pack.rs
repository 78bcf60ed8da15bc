//! A model folder (`config.json`, `model.safetensors`, `tokenizer.json`) to the bytes of a packed model.
//!
//! Equal input gives equal bytes. What the encoder cannot run is refused here, by name, so that nothing has to be checked again while
//! embedding.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::description::Description;
use super::normalize::Normalizer;
use super::packed::{ALIGNMENT, Added, MAGIC, Manifest, PANEL, PREAMBLE, Precision, Rules, STRIP, Section, VERSION};
use super::vocabulary::{self, CONTINUES};
use super::weights::Weights;
use crate::error::{Code, Error, Result};

/// Packs the model in `folder`.
///
/// # Errors
/// A file is missing, damaged, or asks for something that the encoder does not do; the text names it.
pub fn pack(folder: &Path, description: &Description, precision: Precision) -> Result<Vec<u8>> {
    let path = folder.join("config.json");
    let config: Config = serde_json::from_slice(&read(&path)?)
        .map_err(|cause| Error::corrupt(&path, format_args!("not a BERT configuration: {cause}")).caused_by(cause))?;
    config.check().map_err(|what| refused(&path, &what))?;
    let (rules, pieces) = tokenizer(folder)?;
    let path = folder.join("model.safetensors");
    let bytes = read(&path)?;
    let weights = Weights::parse(&bytes).map_err(|what| Error::corrupt(&path, what))?;

    let mut manifest = Manifest {
        name: description.name.clone(),
        licence: description.licence.clone(),
        fingerprint: String::new(),
        precision,
        dimensions: config.hidden_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        intermediate: config.intermediate_size,
        max_tokens: description.max_tokens.min(config.max_position_embeddings),
        norm_epsilon: config.layer_norm_eps,
        pooling: description.pooling,
        query_prefix: description.query_prefix.clone(),
        document_prefix: description.document_prefix.clone(),
        tokenizer: rules,
        sections: Vec::new(),
    };
    manifest.check().map_err(|what| refused(&path, &what))?;
    let sections = sections(&manifest, &pieces, &weights).map_err(|what| Error::corrupt(&path, what))?;
    manifest.fingerprint = fingerprint(&manifest, &sections);
    Ok(assemble(manifest, sections))
}

/// The rules and the vocabulary of the `tokenizer.json` in `folder`.
pub(super) fn tokenizer(folder: &Path) -> Result<(Rules, Vec<String>)> {
    let path = folder.join("tokenizer.json");
    rules(&read(&path)?).map_err(|what| refused(&path, &what))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| {
        if cause.kind() != std::io::ErrorKind::NotFound {
            return Error::io(path, cause);
        }
        let message = format!("{}: no such file; get the model with `index-builder model`", path.display());
        Error::new(Code::NotFound, message).caused_by(cause)
    })
}

pub(super) fn refused(path: &Path, what: &str) -> Error {
    Error::new(Code::NotSupported, format!("{}: {what}; the encoder cannot run this model", path.display()))
}

/// Every vector is decided by the weights as stored, the tokenizer's rules, the token limit, the pooling and the prefixes.
fn fingerprint(manifest: &Manifest, sections: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    let nameless = Manifest { name: String::new(), licence: String::new(), ..manifest.clone() };
    hash.update(serde_json::to_vec(&nameless).unwrap_or_default());
    for section in sections {
        hash.update((section.len() as u64).to_le_bytes());
        hash.update(section);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn assemble(mut manifest: Manifest, sections: Vec<Vec<u8>>) -> Vec<u8> {
    let names = manifest.lengths();
    // The offsets stand in the manifest, and its length moves them: as many rounds as it takes for the digits to settle.
    let mut length = 0;
    let json = loop {
        let mut at = PREAMBLE + length;
        manifest.sections = names
            .iter()
            .zip(&sections)
            .map(|((name, _), bytes)| {
                at = at.next_multiple_of(ALIGNMENT);
                let section = Section { name: name.clone(), offset: at, length: bytes.len(), crc32c: crc32c::crc32c(bytes) };
                at += bytes.len();
                section
            })
            .collect();
        // Padded to a fixed step, so that the rounds cannot chase each other.
        let mut json = serde_json::to_vec(&manifest).unwrap_or_default();
        json.resize(json.len().next_multiple_of(4096) - PREAMBLE, b' ');
        if json.len() == length {
            break json;
        }
        length = json.len();
    };
    let mut out = Vec::with_capacity(PREAMBLE + json.len() + sections.iter().map(|bytes| bytes.len() + ALIGNMENT).sum::<usize>());
    out.extend_from_slice(&MAGIC);
    for word in [VERSION, json.len() as u32, crc32c::crc32c(&json), 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&json);
    for bytes in sections {
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend_from_slice(&bytes);
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
    // Only the first token type is ever used; it is part of the position.
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
    Ok(sections)
}

/// A linear layer as the kernels read it; see [`super::packed::MatrixI8`]. `weight` has one row of `inputs` per output.
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
    let gamma = weights.exactly(&format!("{name}.weight"), &[width])?;
    let beta = weights.exactly(&format!("{name}.bias"), &[width])?;
    Ok([floats(&gamma), floats(&beta)].concat())
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The tokenizer's rules and its vocabulary in the order of the ids, from `tokenizer.json`.
fn rules(json: &[u8]) -> Result<(Rules, Vec<String>), String> {
    let file: TokenizerFile = serde_json::from_slice(json).map_err(|cause| format!("not a BERT tokenizer: {cause}"))?;
    let TokenizerFile { added_tokens, normalizer, pre_tokenizer, post_processor, model } = file;
    let expect = |what: &str, kind: &str, expected: &[&str]| match expected.contains(&kind) {
        true => Ok(()),
        false => Err(format!("{what} `{kind}`: not the one of BERT")),
    };
    expect("normalizer", &normalizer.kind, &["BertNormalizer"])?;
    expect("pre-tokenizer", &pre_tokenizer.kind, &["BertPreTokenizer"])?;
    expect("model", &model.kind, &["WordPiece"])?;
    expect("post-processor", &post_processor.kind, &["TemplateProcessing", "BertProcessing"])?;
    if model.continuing_subword_prefix.as_bytes() != CONTINUES {
        return Err(format!("continuing prefix `{}`: not `##`", model.continuing_subword_prefix));
    }
    let mut pieces = vec![String::new(); model.vocab.len()];
    for (piece, &id) in &model.vocab {
        let place = pieces.get_mut(id as usize).filter(|place| place.is_empty());
        *place.ok_or_else(|| format!("token {id}: the ids are not 0 to {}", model.vocab.len() - 1))? = piece.clone();
    }
    let id = |piece: &str| model.vocab.get(piece).copied().ok_or_else(|| format!("`{piece}`: not in the vocabulary"));
    let mut added = Vec::new();
    for token in added_tokens {
        if token.single_word || token.lstrip || token.rstrip || token.normalized {
            return Err(format!("added token `{}`: matched in a way the encoder does not do", token.content));
        }
        if id(&token.content)? != token.id {
            return Err(format!("added token `{}`: another id in the vocabulary", token.content));
        }
        added.push(Added { id: token.id, text: token.content });
    }
    let (opening, closing) = post_processor.ends()?;
    let rules = Rules {
        normalizer: Normalizer {
            clean_text: normalizer.clean_text,
            split_cjk: normalizer.handle_chinese_chars,
            strip_accents: normalizer.strip_accents.unwrap_or(normalizer.lowercase),
            lowercase: normalizer.lowercase,
        },
        max_word_chars: model.max_input_chars_per_word,
        pieces: pieces.len(),
        piece_bytes: pieces.iter().map(String::len).sum(),
        longest_piece: pieces
            .iter()
            .map(|piece| piece.len() - if piece.starts_with("##") { 2 } else { 0 })
            .max()
            .unwrap_or(0)
            .max(2),
        slots: (pieces.len() * 2).next_power_of_two(),
        unknown: id(&model.unk_token)?,
        opening: id(&opening)?,
        closing: id(&closing)?,
        added,
    };
    Ok((rules, pieces))
}

/// `config.json`, as far as it decides what is computed.
#[derive(Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    model_type: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl Config {
    fn check(&self) -> Result<(), String> {
        for (field, value, expected) in [
            ("model_type", &self.model_type, "bert"),
            ("hidden_act", &self.hidden_act, "gelu"),
            ("position_embedding_type", &self.position_embedding_type, "absolute"),
        ] {
            if value != expected {
                return Err(format!("`{field}` `{value}`: the encoder knows `{expected}`"));
            }
        }
        Ok(())
    }
}

/// `tokenizer.json`, as far as WordPiece needs it.
#[derive(Deserialize)]
struct TokenizerFile {
    added_tokens: Vec<AddedToken>,
    normalizer: NormalizerFile,
    pre_tokenizer: Kind,
    post_processor: PostProcessor,
    model: WordPiece,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

#[derive(Deserialize)]
struct NormalizerFile {
    #[serde(rename = "type")]
    kind: String,
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
struct WordPiece {
    #[serde(rename = "type", default = "word_piece")]
    kind: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: BTreeMap<String, u32>,
}

fn word_piece() -> String {
    "WordPiece".to_owned()
}

#[derive(Deserialize)]
struct PostProcessor {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    single: Vec<serde_json::Value>,
    cls: Option<(String, u32)>,
    sep: Option<(String, u32)>,
}

impl PostProcessor {
    /// The tokens before and after a text.
    fn ends(&self) -> Result<(String, String), String> {
        if let (Some((opening, _)), Some((closing, _))) = (&self.cls, &self.sep) {
            return Ok((opening.clone(), closing.clone()));
        }
        let special = |value: &serde_json::Value| value.pointer("/SpecialToken/id").and_then(|id| id.as_str()).map(str::to_owned);
        match &self.single[..] {
            [opening, text, closing] if text.get("Sequence").is_some() => special(opening).zip(special(closing)),
            _ => None,
        }
        .ok_or_else(|| "post-processor: not one token, the text, one token".to_owned())
    }
}
