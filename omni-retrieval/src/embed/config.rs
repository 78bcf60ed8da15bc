//! `config.json`: the shape of the network, and whether the encoder can run it.

use std::path::Path;

use serde::Deserialize;

use super::folder::{read, refused};
use super::manifest::{Activation, Purpose};
use crate::error::{Error, Result};

/// What `config.json` says, as far as it decides what is computed.
pub(super) struct Config {
    pub(super) sizes: Sizes,
    pub(super) activation: Activation,
    pub(super) purpose: Purpose,
}

/// The numbers of the network.
#[derive(Deserialize)]
pub(super) struct Sizes {
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    #[serde(default = "epsilon")]
    pub(super) layer_norm_eps: f32,
}

/// BERT's own, where nothing is said.
fn epsilon() -> f32 {
    1e-12
}

/// What kind of network it is. Looked at first, because other kinds name their sizes otherwise.
#[derive(Deserialize)]
struct Network {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    num_labels: Option<usize>,
    id2label: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Config {
    /// Reads the `config.json` of a model folder.
    ///
    /// # Errors
    /// It is missing, damaged, or that of a network that the encoder does not run; the text names what it asks for.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let bytes = read(&path)?;
        let broken = |cause: serde_json::Error| Error::corrupt(&path, format_args!("not a BERT configuration: {cause}"));
        let network: Network = serde_json::from_slice(&bytes).map_err(broken)?;
        let told = network.check().and_then(|()| Ok((network.activation()?, network.purpose()?)));
        let (activation, purpose) = told.map_err(|what| refused(&path, &what))?;
        Ok(Self { sizes: serde_json::from_slice(&bytes).map_err(broken)?, activation, purpose })
    }
}

impl Network {
    fn architecture(&self) -> Option<&String> {
        self.architectures.as_ref().and_then(|names| names.first())
    }

    fn check(&self) -> Result<(), String> {
        let architecture = self.architecture();
        if let Some(other) = self.model_type.as_ref().filter(|kind| *kind != "bert") {
            let named = architecture.map_or_else(String::new, |name| format!(" (`{name}`)"));
            return Err(format!("`model_type` `{other}`{named}: the encoder knows `bert`"));
        }
        // Relatives that call themselves `bert` have a name of their own here; files from before `model_type` have nothing else.
        let is_bert = architecture.map_or(self.model_type.is_some(), |name| name.starts_with("Bert"));
        if !is_bert {
            let named = architecture.map_or_else(
                || "neither `architectures` nor `model_type`".to_owned(),
                |name| format!("`architectures` `{name}`"),
            );
            return Err(format!("{named}: the encoder knows `BertModel`, with or without a head"));
        }
        if let Some(other) = self.position_embedding_type.as_ref().filter(|kind| *kind != "absolute") {
            return Err(format!("`position_embedding_type` `{other}`: the encoder knows `absolute`"));
        }
        if self.is_decoder {
            return Err("`is_decoder` `true`: the encoder lets every token see all others".to_owned());
        }
        Ok(())
    }

    /// A classifier with one label is a cross-encoder; other heads are left off.
    fn purpose(&self) -> Result<Purpose, String> {
        if self.architecture().is_none_or(|name| name != "BertForSequenceClassification") {
            return Ok(Purpose::Embedding);
        }
        // Two is what the field means where it is not written.
        match self.num_labels.or(self.id2label.as_ref().map(serde_json::Map::len)).unwrap_or(2) {
            1 => Ok(Purpose::Reranking),
            labels => Err(format!("`BertForSequenceClassification` with {labels} labels: a reranker has one, the score")),
        }
    }

    fn activation(&self) -> Result<Activation, String> {
        match self.hidden_act.as_deref().unwrap_or("gelu") {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(format!("`hidden_act` `{other}`: the encoder knows `gelu`, `gelu_new`, `gelu_pytorch_tanh` and `relu`")),
        }
    }
}
