//! What the tests of the encoder share: the real model and data where they are, and a small model of our own everywhere.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// The folder of all-MiniLM-L6-v2, where this machine has it.
pub(crate) fn model() -> Option<PathBuf> {
    let folder = std::env::var_os("OMNI_MODEL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2"), PathBuf::from);
    let is_there = folder.join("tokenizer.json").is_file();
    if !is_there {
        println!("skipped: no model at {}", folder.display());
    }
    is_there.then_some(folder)
}

/// A path of the shared data, where this machine has it.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("OMNI_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(path);
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

/// Numbers that look random and are the same on every machine.
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

/// Writes a model folder of two layers of 64 with random weights; it embeds nonsense, by the same code as a real one.
pub(crate) fn small_model() -> tempfile::TempDir {
    const WIDTH: usize = 64;
    const INNER: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let letters = ('a'..='z').chain('0'..='9').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    let words = ["the", "index", "map", "##ped", "is", "read", "not", ",", ".", "##ing"].map(str::to_owned);
    let pieces: Vec<String> = specials.into_iter().chain(letters).chain(words).collect();
    let vocabulary: serde_json::Map<_, _> = pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id.into())).collect();
    let added: Vec<_> = (0..5)
        .map(|id| json!({"id": id, "content": pieces[id], "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": INNER, "max_position_embeddings": 40, "layer_norm_eps": 1e-12, "vocab_size": pieces.len(),
        "type_vocab_size": 2, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02, "pad_token_id": 0,
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();

    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![pieces.len(), WIDTH]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![40, WIDTH]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, WIDTH]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![WIDTH]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![WIDTH]),
    ];
    for layer in 0..2 {
        let linear = [
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", INNER, WIDTH),
            ("output.dense", WIDTH, INNER),
        ];
        for (name, outputs, inputs) in linear {
            shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![outputs, inputs]));
            shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![outputs]));
        }
        for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
            shapes.push((format!("encoder.layer.{layer}.{name}.weight"), vec![WIDTH]));
            shapes.push((format!("encoder.layer.{layer}.{name}.bias"), vec![WIDTH]));
        }
    }
    let mut noise = Noise(7);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let shift = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product()).flat_map(|_| (shift + noise.float() * 0.3).to_le_bytes()).collect();
            (name, shape, values)
        })
        .collect();
    let views: HashMap<&str, TensorView<'_>> = tensors
        .iter()
        .map(|(name, shape, bytes)| (&name[..], TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    std::fs::write(folder.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    folder
}
