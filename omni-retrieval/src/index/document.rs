//! Documents and their chunks, as they are pushed and as they come back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// One document of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Where it came from: `s3://bucket/key`, or the path below the source folder.
    pub uri: String,
    /// What answers call it: the path below the source folder or prefix.
    pub source: String,
    /// What it calls itself.
    pub title: String,
    /// Format, as in `pdf`.
    pub format: String,
    /// Pages, where the format has them.
    pub pages: Option<u32>,
    /// Lower-case hex SHA-256 of its bytes.
    pub sha256: String,
    /// Whatever else is known of it: texts, numbers, truth values, or lists of them.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The collection that it belongs to; none is [`DEFAULT_NAMESPACE`](super::DEFAULT_NAMESPACE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Who may see it: callers who have one of these labels. Nothing is everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<String>,
}

/// One chunk of a document: an exact slice of its text, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Number of its document.
    pub document: u32,
    /// The slice. What is read back is borrowed where the file holds it as it is, and owned where it was packed.
    pub text: Cow<'a, str>,
    /// Its first byte in the document's text.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
    /// The page on which it starts, where the format has pages.
    pub page: Option<u32>,
    /// The headings above it, outermost first, joined by [`HEADING_SEPARATOR`].
    pub headings: &'a str,
}

impl Chunk<'_> {
    /// Its name in answers: `chunk_` and 16 hex digits, the same in every build while its text and place in the document
    /// with this `uri` are.
    pub fn id(&self, uri: &str) -> String {
        let mut hash = Sha256::new();
        hash.update((uri.len() as u64).to_le_bytes());
        hash.update(uri);
        hash.update(self.start.to_le_bytes());
        hash.update(self.text.as_bytes());
        format!("chunk_{}", hex(&hash.finalize()[..8]))
    }

    /// Whether its outermost heading is this title.
    pub(crate) fn is_headed(&self, title: &str) -> bool {
        self.headings.strip_prefix(title).is_some_and(|rest| rest.is_empty() || rest.starts_with(HEADING_SEPARATOR))
    }
}

/// Joins the headings of a chunk.
pub const HEADING_SEPARATOR: &str = " > ";
