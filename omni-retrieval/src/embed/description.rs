//! What a model folder says of itself beside its weights, and what stands where it says nothing.

use std::path::Path;

use serde_json::Value;

use super::folder::{read, refused};
use super::{Pooling, family};
use crate::error::{Error, Result};

/// What the files of the network do not say.
#[derive(Debug, Clone)]
pub struct Description {
    /// The model's name, for people.
    pub name: String,
    /// SPDX licence of the weights, or empty where it is not known.
    pub licence: String,
    /// Tokens that one vector covers; fewer where the model has fewer positions.
    pub max_tokens: usize,
    /// How token vectors become one vector.
    pub pooling: Pooling,
    /// Whether the folder says nothing of that, so that it is what the model's family wants, else the mean.
    pub pooling_is_assumed: bool,
    /// What goes before a question.
    pub query_prefix: String,
    /// What goes before a document.
    pub document_prefix: String,
    /// The family whose prefixes these are, where the folder names none and the model's name is one that is known.
    pub family: Option<&'static str>,
}

impl Description {
    /// What the files that sentence-transformers keeps beside a model say of it; without them, a mean-pooled model without
    /// prefixes that reads as much as it has positions, unless its family is known to want something else. It is named after its
    /// folder.
    ///
    /// # Errors
    /// One of these files is damaged, or asks for a step that the encoder does not do.
    pub fn of(folder: &Path) -> Result<Self> {
        let name = std::path::absolute(folder).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        Self::named(folder, name.as_deref().unwrap_or(super::DEFAULT_MODEL))
    }

    /// As [`Self::of`], for a model whose name is not that of its folder.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn named(folder: &Path, name: &str) -> Result<Self> {
        let family = family::of(name);
        let pooling = pooling(folder)?;
        let prompts = beside(folder, "config_sentence_transformers.json")?;
        let prompt = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| prompts["prompts"][*name].as_str());
            found.unwrap_or_default().to_owned()
        };
        let mut description = Self {
            name: name.to_owned(),
            licence: licence(folder),
            max_tokens: max_tokens(folder, name)?,
            pooling: pooling.or(family.map(|family| family.pooling)).unwrap_or(Pooling::Mean),
            pooling_is_assumed: pooling.is_none(),
            query_prefix: prompt(["query", "search_query"]),
            document_prefix: prompt(["document", "passage"]),
            family: None,
        };
        // Newer versions of the library write empty prompts for every model, so these say nothing.
        if description.query_prefix.is_empty()
            && description.document_prefix.is_empty()
            && let Some(family) = family
        {
            description.query_prefix = family.query_prefix.to_owned();
            description.document_prefix = family.document_prefix.to_owned();
            description.family = Some(family.name);
        }
        Ok(description)
    }
}

/// The limit of tokens, as the library finds it: its own file's, else as many as the tokenizer lets through and the network has
/// positions for, which [`super::pack()`] knows.
fn max_tokens(folder: &Path, name: &str) -> Result<usize> {
    if let Some(most) = beside(folder, "sentence_bert_config.json")?["max_seq_length"].as_u64() {
        return Ok(most as usize);
    }
    // Its files come without the one that says so.
    if name.rsplit('/').next() == Some(super::DEFAULT_MODEL) {
        return Ok(super::MAX_TOKENS);
    }
    // No limit is written as a number beyond any integer.
    let most = beside(folder, "tokenizer_config.json")?["model_max_length"].as_u64();
    Ok(most.map_or(usize::MAX, |most| most as usize))
}

/// Whether the library puts texts into lower case before the tokenizer sees them.
pub(super) fn lowers(folder: &Path) -> Result<bool> {
    Ok(beside(folder, "sentence_bert_config.json")?["do_lower_case"] == true)
}

/// A JSON file of sentence-transformers; null where there is none.
fn beside(folder: &Path, name: &str) -> Result<Value> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&read(&path)?).map_err(|cause| Error::corrupt(&path, format_args!("not JSON: {cause}")))
}

/// What follows the network, if that is said: one pooling, and perhaps a normalisation, which every vector gets in any case.
fn pooling(folder: &Path) -> Result<Option<Pooling>> {
    let mut file = "1_Pooling/config.json".to_owned();
    for module in beside(folder, "modules.json")?.as_array().into_iter().flatten() {
        let kind = module["type"].as_str().unwrap_or_default();
        match kind.rsplit('.').next() {
            Some("Transformer" | "Normalize") => {}
            Some("Pooling") => file = format!("{}/config.json", module["path"].as_str().unwrap_or("1_Pooling")),
            _ => {
                let what = format!("`{kind}`: the encoder does a transformer, a pooling and a normalisation");
                return Err(refused(&folder.join("modules.json"), &what));
            }
        }
    }
    pooling_of(&beside(folder, &file)?).map_err(|what| refused(&folder.join(file), &what))
}

/// Written as one flag for each way, later as a word.
fn pooling_of(config: &Value) -> Result<Option<Pooling>, String> {
    let flags = config.as_object().into_iter().flatten().filter(|(_, set)| **set == true);
    let flagged = flags.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
    let ways: Vec<&str> = config["pooling_mode"].as_str().into_iter().chain(flagged).collect();
    let pooling = match ways[..] {
        [] => None,
        ["mean" | "mean_tokens"] => Some(Pooling::Mean),
        ["cls" | "cls_token"] => Some(Pooling::Cls),
        _ => return Err(format!("`{}`: the encoder pools by the mean of the tokens or by the first", ways.join("`, `"))),
    };
    if pooling != Some(Pooling::Cls) && config["include_prompt"] == false {
        return Err("`include_prompt` `false`: the encoder pools over all tokens".to_owned());
    }
    Ok(pooling)
}

/// The licence that a model card names in its front matter, in SPDX's spelling where it is a usual one.
fn licence(folder: &Path) -> String {
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let mut lines = card.lines();
    if lines.next().map(str::trim_end) != Some("---") {
        return String::new();
    }
    let mut matter = lines.take_while(|line| line.trim_end() != "---");
    let named = matter.find_map(|line| line.strip_prefix("license:")).unwrap_or_default().trim().trim_matches(['"', '\'']);
    match named {
        "apache-2.0" => "Apache-2.0".to_owned(),
        "bsd-3-clause" => "BSD-3-Clause".to_owned(),
        "mit" => "MIT".to_owned(),
        _ if named.starts_with("cc") => named.to_uppercase(),
        other => other.to_owned(),
    }
}
