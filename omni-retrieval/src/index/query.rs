//! What is searched for, and what is found.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::fusion::Fusion;
use crate::error::{Error, Result};

/// How much of the nearest is to be found: a search that may miss a little is many times faster where the index is large.
/// Where it is small, every search is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recall {
    /// About 95 of 100.
    Fast,
    /// About 99 of 100.
    #[default]
    Balanced,
    /// All of them: every vector is scored.
    Exact,
}

impl FromStr for Recall {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "fast" => Ok(Self::Fast),
            "balanced" => Ok(Self::Balanced),
            "exact" => Ok(Self::Exact),
            _ => Err(Error::bad_request(format!("`recall`: `{name}`; use `fast`, `balanced` or `exact`"))),
        }
    }
}

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The unit vector of the question; none searches words only.
    pub vector: Option<&'a [f32]>,
    /// The words of the question; none searches vectors only.
    pub text: Option<&'a str>,
    /// The most hits.
    pub top_k: usize,
    /// How both sides become one order.
    pub fusion: Fusion,
    /// Leaves out hits whose cosine is lower; needs `vector`.
    pub score_threshold: Option<f32>,
    /// How much of what is nearest to `vector` is to be found.
    pub recall: Recall,
    /// Only chunks that pass.
    pub filter: Option<&'a Filter>,
    /// The labels of the caller: documents with other labels only are not there.
    pub access: &'a [String],
    /// Puts hits that repeat a better one behind all others.
    pub distinct: bool,
}

impl Default for Query<'_> {
    fn default() -> Self {
        Self {
            vector: None,
            text: None,
            top_k: 10,
            fusion: Fusion::default(),
            score_threshold: None,
            recall: Recall::default(),
            filter: None,
            access: &[],
            distinct: false,
        }
    }
}

/// A chunk that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Number of the chunk.
    pub chunk: u32,
    /// Cosine with the question's vector; 0 without one.
    pub cosine: f32,
    /// BM25 with the question's words; 0 without any.
    pub bm25: f32,
    /// What the hits are ordered by.
    pub fused: f32,
}
