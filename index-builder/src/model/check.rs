//! Whether a folder holds the model: digests first, meaning where a small file was rewritten.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use omni_retrieval::hex::hex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What a file has to say; the error says what does not fit.
type Meaning = fn(&Value) -> Result<(), String>;

/// One file of the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Its size as published.
    pub(super) bytes: u64,
    sha256: &'static str,
    /// What makes a file with another digest good as well. None: the digest alone counts.
    meaning: Option<Meaning>,
}

impl Part {
    /// No file of the model is larger.
    pub(super) const MAX_BYTES: u64 = 100_000_000;
}

/// The files of all-MiniLM-L6-v2, small ones first.
pub(super) const FILES: [Part; 3] = [
    Part {
        name: "config.json",
        bytes: 612,
        sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        meaning: Some(config),
    },
    Part {
        name: "tokenizer.json",
        bytes: 466_247,
        sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        meaning: Some(tokenizer),
    },
    Part {
        name: "model.safetensors",
        bytes: 90_868_376,
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        meaning: None,
    },
];

/// Digest of the published `vocab.txt`: one token a line, in the order of their ids.
const VOCABULARY_SHA256: &str = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3";

/// Whether a folder holds what is or claims to be this model, and so has to be it: its weights, or its name.
pub(super) fn is_meant(folder: &Path, name: &str) -> bool {
    let is_called_so = std::path::absolute(folder).is_ok_and(|path| path.file_name().is_some_and(|last| last == name));
    let [.., weights] = FILES;
    let path = folder.join(weights.name);
    let has_its_size = path.metadata().is_ok_and(|metadata| metadata.len() == weights.bytes);
    is_called_so || (has_its_size && sha256(&path).is_ok_and(|digest| digest == weights.sha256))
}

/// Checks all files of `folder`; the error is one line that names the file.
pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
    FILES.iter().try_for_each(|part| check_file(&folder.join(part.name), part))
}

/// Checks one file; the error is one line that names it.
pub(super) fn check_file(path: &Path, part: &Part) -> Result<(), String> {
    let wrong = |what: String| format!("{}: {what}", path.display());
    let digest = sha256(path).map_err(|cause| wrong(cause.to_string()))?;
    if digest == part.sha256 {
        return Ok(());
    }
    let expected = part.sha256;
    let Some(meaning) = part.meaning else {
        return Err(wrong(format!("sha256 is {digest}, {expected} is right; the file is of another model or damaged")));
    };
    let bytes = std::fs::read(path).map_err(|cause| wrong(cause.to_string()))?;
    let parsed = serde_json::from_slice(&bytes).map_err(|cause| format!("not JSON: {cause}"));
    parsed
        .and_then(|value| meaning(&value))
        .map_err(|why| wrong(format!("sha256 is {digest}, {expected} is right, and it says something else: {why}")))
}

/// Digest of a file, in hexadecimal. A file larger than any of the model is an error.
pub(super) fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?.take(Part::MAX_BYTES + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        total += read as u64;
        if total > Part::MAX_BYTES {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "far larger than the model's file"));
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hex(&hasher.finalize()))
}

/// The network's shape.
fn config(value: &Value) -> Result<(), String> {
    let expected = serde_json::json!({
        "model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
        "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    });
    let fields = expected.as_object().into_iter().flatten();
    match fields.into_iter().find(|(name, right)| value.get(name.as_str()) != Some(right)) {
        Some((name, right)) => Err(format!("`{name}` is not {right}")),
        None => Ok(()),
    }
}

/// Everything that decides a token. Truncation and padding may differ: they are set by whoever opens it.
fn tokenizer(value: &Value) -> Result<(), String> {
    let special = |id: u32, content: &str| {
        serde_json::json!({
            "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let part = |of: u8, kind: &str, id: &str| serde_json::json!({ kind: {"id": id, "type_id": of} });
    let [opening, text, closing] = [part(0, "SpecialToken", "[CLS]"), part(0, "Sequence", "A"), part(0, "SpecialToken", "[SEP]")];
    let normalizer = serde_json::json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true,
    });
    let added =
        [special(0, "[PAD]"), special(100, "[UNK]"), special(101, "[CLS]"), special(102, "[SEP]"), special(103, "[MASK]")];
    let expected = [
        ("/model/type", "WordPiece".into()),
        ("/model/continuing_subword_prefix", "##".into()),
        ("/model/unk_token", "[UNK]".into()),
        ("/model/max_input_chars_per_word", 100.into()),
        ("/normalizer", normalizer),
        ("/pre_tokenizer", serde_json::json!({"type": "BertPreTokenizer"})),
        ("/post_processor/type", "TemplateProcessing".into()),
        ("/post_processor/single", Value::Array(vec![opening, text, closing])),
        ("/added_tokens", Value::Array(added.to_vec())),
    ];
    for (pointer, right) in expected {
        if value.pointer(pointer) != Some(&right) {
            return Err(format!("`{pointer}` is not {right}"));
        }
    }
    let vocabulary = value.pointer("/model/vocab").and_then(Value::as_object).ok_or("no vocabulary")?;
    let mut tokens: Vec<_> = vocabulary.iter().map(|(token, id)| (id.as_u64(), token)).collect();
    tokens.sort_unstable();
    let mut hasher = Sha256::new();
    for (_, token) in &tokens {
        hasher.update(token.as_bytes());
        hasher.update(b"\n");
    }
    let is_dense = tokens.iter().zip(0..).all(|((id, _), place)| *id == Some(place));
    if !is_dense || hex(&hasher.finalize()) != VOCABULARY_SHA256 {
        return Err("its vocabulary is another one".to_owned());
    }
    Ok(())
}
