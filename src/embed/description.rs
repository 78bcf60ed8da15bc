//! What a model folder says of itself beside its weights, and what stands where it says nothing.

use std::path::Path;

use super::pack::{read, refused};
use super::packed::Pooling;
use crate::error::{Error, Result};

/// What the three files do not say.
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
    /// What goes before a question.
    pub query_prefix: String,
    /// What goes before a document.
    pub document_prefix: String,
}

impl Description {
    /// What the files that sentence-transformers keeps beside a model say of it; without them, a mean-pooled model without prefixes.
    /// It is named after its folder.
    ///
    /// # Errors
    /// One of these files is damaged, or asks for a pooling that the encoder does not do.
    pub fn of(folder: &Path) -> Result<Self> {
        let name = std::path::absolute(folder).ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let pooling = beside(folder, "1_Pooling/config.json")?;
        let limits = beside(folder, "sentence_bert_config.json")?;
        let prompts = beside(folder, "config_sentence_transformers.json")?;
        let prompt = |names: [&str; 2]| {
            let found = names.iter().find_map(|name| prompts["prompts"][*name].as_str());
            found.unwrap_or_default().to_owned()
        };
        Ok(Self {
            name: name.unwrap_or_else(|| super::DEFAULT_MODEL.to_owned()),
            licence: String::new(),
            max_tokens: limits["max_seq_length"].as_u64().map_or(super::MAX_TOKENS, |most| most as usize),
            pooling: pooling_of(&pooling).map_err(|what| refused(&folder.join("1_Pooling/config.json"), &what))?,
            query_prefix: prompt(["query", "search_query"]),
            document_prefix: prompt(["document", "passage"]),
        })
    }
}

/// A JSON file of sentence-transformers; null where there is none.
fn beside(folder: &Path, name: &str) -> Result<serde_json::Value> {
    let path = folder.join(name);
    if !path.is_file() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_slice(&read(&path)?)
        .map_err(|cause| Error::corrupt(&path, format_args!("not JSON: {cause}")).caused_by(cause))
}

/// Written as one flag for each way, later as a word.
fn pooling_of(config: &serde_json::Value) -> Result<Pooling, String> {
    let flags = config.as_object().into_iter().flatten().filter(|(_, set)| **set == true);
    let flagged = flags.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
    let ways: Vec<&str> = config["pooling_mode"].as_str().into_iter().chain(flagged).collect();
    match ways[..] {
        [] | ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        _ => Err(format!("`{}`: the encoder pools by the mean of the tokens or by the first", ways.join("`, `"))),
    }
}
