//! What the tests of the encoder share: the real model and data where they are, and a small model of our own everywhere.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "test code")]

#[path = "../../../tests/support/model.rs"]
pub(crate) mod model;
#[path = "../../../tests/support/shared.rs"]
pub(crate) mod shared;

use std::collections::HashMap;
use std::ops::Range;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// Numbers that look random and are the same on every machine; the digests of known vectors hang on them.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// From -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() as f32 / (1u32 << 31) as f32) * 2.0 - 1.0
    }
}

/// Where the header of a packed model ends.
pub(crate) fn header_end(packed: &[u8]) -> usize {
    24 + u32::from_le_bytes(packed[12..16].try_into().unwrap()) as usize
}

/// Name and place of each section that a packed model lists.
pub(crate) fn sections(packed: &[u8]) -> Vec<(String, Range<usize>)> {
    let manifest: serde_json::Value = serde_json::from_slice(&packed[24..header_end(packed)]).unwrap();
    let place = |section: &serde_json::Value| {
        let [offset, length] = ["offset", "length"].map(|name| section[name].as_u64().unwrap() as usize);
        (section["name"].as_str().unwrap().to_owned(), offset..offset + length)
    };
    manifest["sections"].as_array().unwrap().iter().map(place).collect()
}

/// The shape of a model with random weights; it embeds nonsense, by the same code as a real one.
pub(crate) struct Shape {
    pub(crate) width: usize,
    pub(crate) inner: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) positions: usize,
    /// Weights are from minus this to this.
    pub(crate) weight: f32,
    /// As `config.json` spells it.
    pub(crate) activation: &'static str,
    /// How the weights are stored.
    pub(crate) dtype: Dtype,
    /// What stands before the names of the encoder's tensors.
    pub(crate) prefix: &'static str,
    /// Whether it scores pairs.
    pub(crate) reranks: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            width: 64,
            inner: 128,
            layers: 2,
            heads: 4,
            positions: Self::POSITIONS,
            weight: 0.3,
            activation: "gelu",
            dtype: Dtype::F32,
            prefix: "",
            reranks: false,
        }
    }
}

/// Writes a model folder of two layers of 64.
pub(crate) fn small_model() -> tempfile::TempDir {
    Shape::default().write()
}

/// The same with a head that scores pairs.
pub(crate) fn small_reranker() -> tempfile::TempDir {
    Shape { prefix: "bert.", reranks: true, ..Shape::default() }.write()
}

impl Shape {
    /// Positions of a model of which nothing else is said.
    pub(crate) const POSITIONS: usize = 40;

    /// Writes a model folder.
    pub(crate) fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let pieces = pieces();
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer(&pieces).to_string()).unwrap();
        std::fs::write(folder.path().join("config.json"), self.config(pieces.len()).to_string()).unwrap();
        let mut noise = Noise(7);
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .tensors(pieces.len())
            .into_iter()
            .map(|(name, shape)| {
                let shift = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
                let values: Vec<f32> = (0..shape.iter().product()).map(|_| shift + noise.float() * self.weight).collect();
                let prefix = if name.starts_with("classifier") { "" } else { self.prefix };
                (format!("{prefix}{name}"), shape, self.store(&values))
            })
            .collect();
        let views: HashMap<&str, TensorView<'_>> = tensors
            .iter()
            .map(|(name, shape, bytes)| (&name[..], TensorView::new(self.dtype, shape.clone(), bytes).unwrap()))
            .collect();
        std::fs::write(folder.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        folder
    }

    fn config(&self, pieces: usize) -> serde_json::Value {
        let mut config = json!({
            "model_type": "bert", "hidden_act": self.activation, "hidden_size": self.width, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "intermediate_size": self.inner, "max_position_embeddings": self.positions,
            "layer_norm_eps": 1e-12, "vocab_size": pieces, "type_vocab_size": 2, "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
        });
        if self.reranks {
            config["architectures"] = json!(["BertForSequenceClassification"]);
            config["id2label"] = json!({"0": "LABEL_0"});
        }
        config
    }

    /// Names and shapes.
    fn tensors(&self, pieces: usize) -> Vec<(String, Vec<usize>)> {
        let &Self { width, inner, .. } = self;
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![pieces, width]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![self.positions, width]),
            ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, width]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![width]),
            ("embeddings.LayerNorm.bias".to_owned(), vec![width]),
        ];
        for layer in 0..self.layers {
            let linear = [
                ("attention.self.query", width, width),
                ("attention.self.key", width, width),
                ("attention.self.value", width, width),
                ("attention.output.dense", width, width),
                ("intermediate.dense", inner, width),
                ("output.dense", width, inner),
            ];
            for (name, outputs, inputs) in linear {
                shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![outputs, inputs]));
                shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![outputs]));
            }
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![width]));
                shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![width]));
            }
        }
        if self.reranks {
            let head = [
                ("pooler.dense.weight", vec![width, width]),
                ("pooler.dense.bias", vec![width]),
                ("classifier.weight", vec![1, width]),
                ("classifier.bias", vec![1]),
            ];
            shapes.extend(head.map(|(name, shape)| (name.to_owned(), shape)));
        }
        shapes
    }

    fn store(&self, values: &[f32]) -> Vec<u8> {
        match self.dtype {
            // Cut off, which is a rounding, too.
            Dtype::BF16 => values.iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&value| half(value).to_le_bytes()).collect(),
            // F32; of another type they have not the size that its view asks for.
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// A value from 2^-14 to 2 as binary16, cut off; what is smaller becomes zero.
fn half(value: f32) -> u16 {
    let (bits, sign) = (value.abs().to_bits(), u16::from(value < 0.0) << 15);
    if value.abs() < 6.2e-5 { sign } else { sign | ((bits >> 13) - (112 << 10)) as u16 }
}

fn pieces() -> Vec<String> {
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = ('a'..='z').chain('0'..='9').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let words = ["the", "index", "map", "##ped", "is", "read", "not", ",", ".", "##ing"].map(str::to_owned);
    specials.into_iter().chain(letters).chain(words).collect()
}

fn tokenizer(pieces: &[String]) -> serde_json::Value {
    let vocabulary: serde_json::Map<_, _> = pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id.into())).collect();
    let added: Vec<_> = (0..5)
        .map(|id| json!({"id": id, "content": pieces[id], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}))
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
}
