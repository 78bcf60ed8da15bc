//! The tokenizer of a model folder: the rules and the vocabulary of its `tokenizer.json`, else of its `vocab.txt`. What its
//! `tokenizer_config.json` says of case, accents and Chinese characters holds above either, as in the library that such models come
//! from.
//!
//! Only WordPiece as BERT does it: whatever else a file asks for is refused by name.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::folder::{self, refused};
use super::manifest::{Added, Rules};
use super::normalize::Normalizer;
use super::vocabulary::CONTINUES;
use crate::error::Result;

/// The rules of a folder's tokenizer, and its vocabulary in the order of the ids.
///
/// # Errors
/// No file says them, or one asks for something else.
pub(super) fn read(folder: &Path) -> Result<(Rules, Vec<String>)> {
    let (json, list) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
    let checked = |(rules, pieces): (Rules, Vec<String>)| rules.check().map(|()| (rules, pieces));
    let place = folder.join("tokenizer_config.json");
    let settings = if place.is_file() { folder::read(&place)? } else { b"{}".to_vec() };
    if json.is_file() || !list.is_file() {
        let folding = read_settings::<Folding>(&settings).map_err(|what| refused(&place, &what))?;
        return of_json(&folder::read(&json)?, &folding).and_then(checked).map_err(|what| refused(&json, &what));
    }
    let settings: Settings = read_settings(&settings).map_err(|what| refused(&place, &what))?;
    settings.check().map_err(|what| refused(&place, &what))?;
    of_list(&folder::read(&list)?, &settings).and_then(checked).map_err(|what| refused(&list, &what))
}

fn read_settings<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|cause| format!("not the settings of a BERT tokenizer: {cause}"))
}

fn of_json(json: &[u8], folding: &Folding) -> Result<(Rules, Vec<String>), String> {
    let broken = |cause| format!("not a BERT tokenizer: {cause}");
    // What kind each part is comes first: the parts of other kinds have other fields.
    serde_json::from_slice::<Kinds>(json).map_err(broken)?.check()?;
    let TokenizerFile { added_tokens, normalizer, post_processor, model } = serde_json::from_slice(json).map_err(broken)?;
    if model.continuing_subword_prefix.as_bytes() != CONTINUES {
        return Err(format!("continuing prefix `{}`: not `##`", model.continuing_subword_prefix));
    }
    let mut added = Vec::new();
    // An empty one is found nowhere.
    for AddedToken { id, token } in added_tokens.into_iter().filter(|added| !added.token.content.is_empty()) {
        token.check()?;
        added.push(Added { id, text: token.content });
    }
    let (opening, closing) = post_processor.ends()?;
    let normalizer = folding.over(&normalizer);
    let words = Words { vocabulary: model.vocab, added, max_chars: model.max_input_chars_per_word };
    words.rules(normalizer, [&model.unk_token, &opening, &closing])
}

/// One token a line, in the order of the ids.
fn of_list(lines: &[u8], settings: &Settings) -> Result<(Rules, Vec<String>), String> {
    let text = std::str::from_utf8(lines).map_err(|cause| format!("not UTF-8: {cause}"))?;
    let mut vocabulary = BTreeMap::new();
    for (id, piece) in (0..).zip(text.lines()) {
        if vocabulary.insert(piece.to_owned(), id).is_some() {
            return Err(format!("line {}: `{piece}` a second time", id + 1));
        }
    }
    let bert = NormalizerFile { clean_text: true, handle_chinese_chars: true, strip_accents: None, lowercase: true };
    let normalizer = settings.folding.over(&bert);
    let Settings { unk_token: Token(unknown), cls_token: Token(opening), sep_token: Token(closing), .. } = settings;
    let specials = [unknown, opening, closing, &settings.pad_token.0, &settings.mask_token.0];
    let further = settings.additional_special_tokens.iter().flatten().map(|token| &token.0);
    let mut added: Vec<Added> = specials
        .into_iter()
        .chain(further)
        .filter(|text| !text.is_empty())
        .filter_map(|text| Some(Added { id: *vocabulary.get(text)?, text: text.clone() }))
        .collect();
    for token in settings.added_tokens_decoder.values().filter(|token| !token.content.is_empty()) {
        token.check()?;
        let id =
            *vocabulary.get(&token.content).ok_or_else(|| format!("added token `{}`: not in the vocabulary", token.content))?;
        added.push(Added { id, text: token.content.clone() });
    }
    added.sort_by_key(|token| token.id);
    added.dedup();
    Words { vocabulary, added, max_chars: 100 }.rules(normalizer, [unknown, opening, closing])
}

/// What both files say of the vocabulary.
struct Words {
    vocabulary: BTreeMap<String, u32>,
    added: Vec<Added>,
    max_chars: usize,
}

impl Words {
    fn rules(self, normalizer: Normalizer, specials: [&str; 3]) -> Result<(Rules, Vec<String>), String> {
        let mut places = vec![None; self.vocabulary.len()];
        for (piece, &id) in &self.vocabulary {
            let place = places.get_mut(id as usize).filter(|place| place.is_none());
            *place.ok_or_else(|| format!("token {id}: the ids are not 0 to {}", self.vocabulary.len() - 1))? =
                Some(piece.clone());
        }
        // As many pieces as places, and no two in one: all are taken.
        let pieces: Vec<String> = places.into_iter().flatten().collect();
        let id = |piece: &str| self.vocabulary.get(piece).copied().ok_or_else(|| format!("`{piece}`: not in the vocabulary"));
        for token in &self.added {
            if id(&token.text)? != token.id {
                return Err(format!("added token `{}`: another id in the vocabulary", token.text));
            }
        }
        let [unknown, opening, closing] = specials;
        let rules = Rules {
            normalizer,
            max_word_chars: self.max_chars,
            pieces: pieces.len(),
            piece_bytes: pieces.iter().map(String::len).sum(),
            longest_piece: pieces
                .iter()
                .map(|piece| piece.len() - if piece.starts_with("##") { 2 } else { 0 })
                .max()
                .unwrap_or(0)
                .max(2),
            slots: (pieces.len() * 2).next_power_of_two(),
            unknown: id(unknown)?,
            opening: id(opening)?,
            closing: id(closing)?,
            added: self.added,
        };
        Ok((rules, pieces))
    }
}

/// What kind each part of a `tokenizer.json` is.
#[derive(Deserialize)]
struct Kinds {
    normalizer: Option<Kind>,
    pre_tokenizer: Option<Kind>,
    post_processor: Option<Kind>,
    model: Option<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Files from before there were other models have none.
    #[serde(rename = "type", default = "word_piece")]
    name: String,
}

fn word_piece() -> String {
    "WordPiece".to_owned()
}

impl Kinds {
    fn check(&self) -> Result<(), String> {
        for (part, kind, expected) in [
            // The model first: it is what a tokenizer is called after.
            ("model", &self.model, &["WordPiece"][..]),
            ("normalizer", &self.normalizer, &["BertNormalizer"]),
            ("pre-tokenizer", &self.pre_tokenizer, &["BertPreTokenizer"]),
            ("post-processor", &self.post_processor, &["TemplateProcessing", "BertProcessing"]),
        ] {
            let name = kind.as_ref().map_or("", |kind| &kind.name);
            if !expected.contains(&name) {
                return Err(format!("{part} `{name}`: not the one of BERT, which is `{}`", expected.join("` or `")));
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
    post_processor: PostProcessor,
    model: WordPiece,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    #[serde(flatten)]
    token: MarkedToken,
}

/// A token that is found in a text before it is split, and how.
#[derive(Deserialize)]
struct MarkedToken {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
}

impl MarkedToken {
    fn check(&self) -> Result<(), String> {
        if self.single_word || self.lstrip || self.rstrip || self.normalized {
            return Err(format!("added token `{}`: matched in a way the encoder does not do", self.content));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct NormalizerFile {
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
struct WordPiece {
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
struct PostProcessor {
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

/// What `tokenizer_config.json` says of how letters are folded, where it says it.
#[derive(Default, Deserialize)]
struct Folding {
    do_lower_case: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
}

impl Folding {
    fn over(&self, file: &NormalizerFile) -> Normalizer {
        let lowercase = self.do_lower_case.unwrap_or(file.lowercase);
        Normalizer {
            clean_text: file.clean_text,
            split_cjk: self.tokenize_chinese_chars.unwrap_or(file.handle_chinese_chars),
            strip_accents: self.strip_accents.or(file.strip_accents).unwrap_or(lowercase),
            lowercase,
        }
    }
}

/// What goes with a `vocab.txt`: `tokenizer_config.json`, or what BERT does where it says nothing.
#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    tokenizer_class: Option<String>,
    do_basic_tokenize: bool,
    #[serde(flatten)]
    folding: Folding,
    additional_special_tokens: Option<Vec<Token>>,
    /// By their ids, as texts.
    added_tokens_decoder: BTreeMap<String, MarkedToken>,
    unk_token: Token,
    cls_token: Token,
    sep_token: Token,
    pad_token: Token,
    mask_token: Token,
}

/// A special token.
#[derive(Deserialize)]
#[serde(from = "Spelling")]
struct Token(String);

/// As a text, or as a record that has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Spelling {
    Text(String),
    Record { content: String },
}

impl From<Spelling> for Token {
    fn from(spelling: Spelling) -> Self {
        let (Spelling::Text(text) | Spelling::Record { content: text }) = spelling;
        Self(text)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let token = |text: &str| Token(text.to_owned());
        Self {
            tokenizer_class: None,
            do_basic_tokenize: true,
            folding: Folding::default(),
            additional_special_tokens: None,
            added_tokens_decoder: BTreeMap::new(),
            unk_token: token("[UNK]"),
            cls_token: token("[CLS]"),
            sep_token: token("[SEP]"),
            pad_token: token("[PAD]"),
            mask_token: token("[MASK]"),
        }
    }
}

impl Settings {
    /// Whether a vocabulary alone is enough.
    fn check(&self) -> Result<(), String> {
        if let Some(other) = self.tokenizer_class.as_ref().filter(|class| !class.starts_with("BertTokenizer")) {
            return Err(format!("`tokenizer_class` `{other}`: not the one of BERT, which is `BertTokenizer`"));
        }
        if !self.do_basic_tokenize {
            return Err("`do_basic_tokenize` `false`: words that are not split at punctuation".to_owned());
        }
        Ok(())
    }
}
