//! What an index says of itself: who built it, with which model, and how its words are weighed.

use serde::{Deserialize, Serialize};

/// What an index says of itself, apart from its documents and chunks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the builder.
    pub builder: String,
    /// Name of the embedding model, for people.
    pub model: String,
    /// Fingerprint of the embedding model; a service with another one refuses the file.
    pub model_fingerprint: String,
    /// Components of one vector.
    pub dimensions: usize,
    /// The provider that embedded, as the configuration calls it, and that embeds questions; none is the packed model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether the provider was asked for this many dimensions, and has to be again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
    /// The chunking settings, as JSON.
    pub chunking: serde_json::Value,
    /// How text becomes terms.
    pub lexical: Lexical,
    /// The weight of the vectors against the words that was best for questions given when the index was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
    /// Whether some documents are for callers with labels only; the writer knows.
    #[serde(default)]
    pub labelled: bool,
}

/// How text becomes terms, and how BM25 weighs them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lexical {
    /// Term-frequency saturation.
    pub k1: f32,
    /// Length normalisation, 0 to 1.
    pub b: f32,
    /// English Snowball stemming.
    pub stemming: bool,
    /// Leaves English function words out.
    pub stop_words: bool,
    /// The rules by which words were written; files from before they were counted have 0.
    #[serde(default)]
    pub revision: u32,
}

impl Default for Lexical {
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4, stemming: true, stop_words: true, revision: crate::words::REVISION }
    }
}
