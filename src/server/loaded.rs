//! What is loaded, as `GET /v1/index` says it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rag_config::LOCAL;
use super::response::searched;
use crate::app::{App, Opened};
use crate::error::Result;

/// What is loaded: the index that answers where a request names none, and all of them.
#[derive(Debug, Serialize)]
pub(super) struct IndexResponse {
    loaded: bool,
    retrieval: Option<&'static str>,
    #[serde(flatten)]
    index: Option<Loaded>,
    indexes: Vec<Loaded>,
}

#[derive(Debug, Clone, Serialize)]
struct Loaded {
    name: String,
    digest: String,
    documents: usize,
    /// Documents that tombstones have taken out.
    gone: usize,
    chunks: usize,
    builder: String,
    embedding: Embedding,
    chunking: serde_json::Value,
    lexical: crate::index::Lexical,
    /// How many documents come from where.
    roots: BTreeMap<String, usize>,
    /// Documents in each namespace.
    namespaces: BTreeMap<String, u32>,
    /// What a filter can test.
    fields: Vec<crate::index::Field>,
    /// Whether some documents are for callers with labels only.
    labelled: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Embedding {
    provider: String,
    model: String,
    fingerprint: String,
    dimensions: usize,
    loaded: bool,
}

impl IndexResponse {
    /// Says what `app` holds. Counts where documents come from by reading all of them, so it is work.
    pub(super) fn new(app: &App) -> Result<Self> {
        let indexes = app.indexes().iter().map(|opened| Loaded::new(app, opened)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            loaded: !indexes.is_empty(),
            retrieval: app.index().map(|opened| searched(app.embeds(opened))),
            index: indexes.first().cloned(),
            indexes,
        })
    }
}

impl Loaded {
    fn new(app: &App, opened: &Opened) -> Result<Self> {
        opened.refresh();
        let index = &opened.index;
        let manifest = index.manifest();
        let (mut roots, mut gone) = (BTreeMap::new(), 0);
        for document in index.documents() {
            let (number, document) = document?;
            *roots.entry(root(&document.uri)).or_default() += 1;
            gone += usize::from(index.is_gone(number));
        }
        Ok(Self {
            name: opened.name.clone(),
            digest: index.digest().to_owned(),
            documents: index.document_count(),
            gone,
            chunks: index.len(),
            builder: manifest.builder.clone(),
            embedding: Embedding {
                provider: manifest.provider.clone().unwrap_or_else(|| LOCAL.to_owned()),
                model: manifest.model.clone(),
                fingerprint: manifest.model_fingerprint.clone(),
                dimensions: manifest.dimensions,
                loaded: app.embeds(opened),
            },
            chunking: manifest.chunking.clone(),
            lexical: manifest.lexical,
            roots,
            namespaces: index.namespaces()?.into_iter().collect(),
            fields: index.fields()?,
            labelled: manifest.labelled,
        })
    }
}

/// The bucket of a document, or `local`.
fn root(uri: &str) -> String {
    let bucket = uri.strip_prefix("s3://").and_then(|rest| rest.split('/').next());
    bucket.map_or_else(|| "local".to_owned(), |bucket| format!("s3://{bucket}/"))
}
