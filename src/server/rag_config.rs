//! `rag_config`: how a request wants passages found, checked against what is open.
//!
//! A request chooses among what the operator has loaded (an index by name, a namespace in it) and narrows it down (filter,
//! bucket and prefix). It cannot widen what its caller may see: labels come from the operator, see [`super::access`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::object;
use super::field::{between, count, refuse_if, spelled, text};
use crate::app::{App, Opened};
use crate::citation::Policy;
use crate::error::{Error, Result, quoted};
use crate::index::{Filter, Fusion, Manifest, Recall};
use crate::rag::{Retrieval, no_index};

/// The most that a request may have looked up in the place of its last message.
const MAX_QUERY_BYTES: usize = 8_000;

/// How passages are to be found.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct RagConfig {
    pub(super) enabled: Option<bool>,
    query: Option<String>,
    s3_bucket: Option<String>,
    s3_prefix: Option<String>,
    #[serde(default, deserialize_with = "object")]
    vector_store: Option<VectorStore>,
    #[serde(default, deserialize_with = "object")]
    embedding_config: Option<EmbeddingConfig>,
    #[serde(default, deserialize_with = "object")]
    retrieval_config: Option<RetrievalConfig>,
    #[serde(default, deserialize_with = "object")]
    chunking_config: Option<ChunkingConfig>,
    citations: Option<Policy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct VectorStore {
    #[serde(rename = "type")]
    kind: Option<StoreKind>,
    index_name: Option<String>,
    namespace: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum StoreKind {
    Faiss,
    Pinecone,
    Opensearch,
    Chroma,
    Weaviate,
    Qdrant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct EmbeddingConfig {
    provider: Option<String>,
    model: Option<String>,
}

/// What the packed model is called where providers are.
pub(super) const LOCAL: &str = "local";

/// Either of Google's doors.
const GOOGLE: (&str, [&str; 2]) = ("google", ["vertexai", "gemini"]);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct RetrievalConfig {
    top_k: Option<u64>,
    score_threshold: Option<f32>,
    recall: Option<Recall>,
    rerank: Option<bool>,
    include_metadata: Option<bool>,
    filter: Option<Value>,
    fusion: Option<FusionName>,
    alpha: Option<f32>,
    distinct: Option<bool>,
    access: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FusionName {
    MinMax,
    Rrf,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct ChunkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<Strategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_overlap: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    separators: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_fields: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    FixedSize,
    Character,
    Token,
    Recursive,
    Semantic,
    Structure,
}

impl RagConfig {
    /// How to retrieve for a caller with these labels; none where it is off: said so, or nothing said and no index loaded.
    pub(super) fn retrieval(&self, app: &App, labels: &[String]) -> Result<Option<Retrieval>> {
        let none = RetrievalConfig::default();
        let asked = self.retrieval_config.as_ref().unwrap_or(&none);
        let top_k = count("rag_config.retrieval_config.top_k", asked.top_k, 100)?;
        let score_threshold = between("rag_config.retrieval_config.score_threshold", asked.score_threshold, -1.0, 1.0)?;
        let alpha = between("rag_config.retrieval_config.alpha", asked.alpha, 0.0, 1.0)?;
        text("rag_config.query", self.query.as_deref(), MAX_QUERY_BYTES)?;
        let filter = asked.filter.as_ref();
        let filter = filter.map(|filter| Filter::from_json(filter, "rag_config.retrieval_config.filter")).transpose()?;
        self.refuse_foreign(app)?;
        if self.enabled == Some(false) {
            if self.citations() != Policy::Annotate {
                let message = "`rag_config.citations`: nothing is looked up to compare with where `enabled` is false; leave one of them out";
                return Err(Error::bad_request(message));
            }
            return Ok(None);
        }
        let Some(default) = app.index() else {
            let asked = self.enabled == Some(true) || self.asks();
            return if asked { Err(no_index()) } else { Ok(None) };
        };
        let store = self.vector_store.as_ref();
        let opened = match store.and_then(|store| store.index_name.as_deref()) {
            None => default,
            Some(name) => named(app, name)?,
        };
        let namespace = store.and_then(|store| store.namespace.as_deref());
        let manifest = opened.index.manifest();
        if let Some(config) = &self.embedding_config {
            config.require(manifest)?;
        }
        if let Some(chunking) = &self.chunking_config {
            chunking.require(&manifest.chunking)?;
        }
        let defaults = Retrieval::of(app.config(), opened);
        Ok(Some(Retrieval {
            query: self.query.clone(),
            index: Some(opened.name.clone()),
            namespace: namespace.map(|name| opened.namespace("rag_config.vector_store.namespace", name)).transpose()?.flatten(),
            top_k: top_k.map_or(defaults.top_k, |top_k| top_k as usize),
            fusion: fusion(asked.fusion, alpha, defaults.fusion)?,
            score_threshold: score_threshold.or(defaults.score_threshold.filter(|_| app.embeds(opened))),
            uri_prefix: self.uri_prefix(app.config().s3_bucket.as_deref())?,
            recall: asked.recall.unwrap_or_default(),
            filter,
            access: self.access(app, asked, labels)?,
            distinct: asked.distinct.unwrap_or(defaults.distinct),
            rerank: asked.rerank.unwrap_or(defaults.rerank),
        }))
    }

    /// As [`Self::retrieval`], where it was asked for: no index is an error.
    pub(super) fn required_retrieval(&self, app: &App, labels: &[String]) -> Result<Option<Retrieval>> {
        if app.index().is_none() && self.enabled != Some(false) {
            return Err(no_index());
        }
        self.retrieval(app, labels)
    }

    /// Whether what is known of documents is shown with the passages.
    pub(super) fn shows_metadata(&self) -> bool {
        self.retrieval_config.as_ref().and_then(|config| config.include_metadata).unwrap_or(false)
    }

    /// What becomes of citations that do not hold.
    pub(super) fn citations(&self) -> Policy {
        self.citations.unwrap_or_default()
    }

    /// The caller's labels, with those that the request claims where the operator lets it.
    fn access(&self, app: &App, asked: &RetrievalConfig, labels: &[String]) -> Result<Vec<String>> {
        let Some(claimed) = &asked.access else { return Ok(labels.to_vec()) };
        if !app.config().access.trust_request {
            let message = "`rag_config.retrieval_config.access`: this service does not take labels from requests; the operator sets `access.header`, or `access.trust_request` where every client may be trusted";
            return Err(Error::bad_request(message));
        }
        super::access::checked("`rag_config.retrieval_config.access`", labels.iter().chain(claimed).map(String::as_str))
    }

    /// Refuses what needs a store, a model or a step that this build does not have.
    fn refuse_foreign(&self, app: &App) -> Result<()> {
        if let Some(kind) = self.vector_store.as_ref().and_then(|store| store.kind).filter(|kind| *kind != StoreKind::Faiss) {
            let field = format!("rag_config.vector_store.type: {}", spelled(&kind));
            return Err(Error::not_supported(&field, "use `faiss`, which means the loaded index, or leave it out"));
        }
        let rerank =
            app.reranking().is_none() && self.retrieval_config.as_ref().is_some_and(|config| config.rerank == Some(true));
        refuse_if(
            rerank,
            "rag_config.retrieval_config.rerank",
            "this service has no reranker; the operator gives one with `OMNI_RERANKER`",
        )
    }

    /// Whether anything in it expects an index.
    fn asks(&self) -> bool {
        self.query.is_some()
            || self.s3_bucket.is_some()
            || self.s3_prefix.is_some()
            || self.vector_store.is_some()
            || self.embedding_config.is_some()
            || self.retrieval_config.is_some()
            || self.chunking_config.is_some()
            || self.citations.is_some()
    }

    /// Where documents must come from. The bucket is only compared with what is in the index; it is never read.
    fn uri_prefix(&self, default_bucket: Option<&str>) -> Result<Option<String>> {
        let bucket = match (self.s3_bucket.as_deref(), self.s3_prefix.as_deref()) {
            (None, None) => return Ok(None),
            (Some(bucket), _) => bucket,
            (None, Some(_)) => default_bucket.ok_or_else(|| {
                Error::bad_request("`rag_config.s3_prefix`: needs `s3_bucket`, or `S3_BUCKET_NAME` where the service runs")
            })?,
        };
        if bucket.is_empty() || !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
            return Err(Error::bad_request("`rag_config.s3_bucket`: not the name of a bucket"));
        }
        let prefix = self.s3_prefix.as_deref().unwrap_or_default();
        Ok(Some(format!("s3://{bucket}/{}", prefix.trim_start_matches('/'))))
    }
}

/// The index that a request names.
fn named<'a>(app: &'a App, name: &str) -> Result<&'a Opened> {
    app.index_named(name).ok_or_else(|| {
        let loaded = quoted(app.indexes().iter().map(|opened| &opened.name));
        let message = format!("`rag_config.vector_store.index_name`: `{name}` is not loaded; this service holds {loaded}");
        Error::bad_request(message)
    })
}

/// How vectors and words become one order: as asked, else as the operator has it.
fn fusion(asked: Option<FusionName>, alpha: Option<f32>, default: Fusion) -> Result<Fusion> {
    match (asked, alpha, default) {
        (Some(FusionName::Rrf), Some(_), _) => {
            let message = "`rag_config.retrieval_config.alpha`: has no meaning with `rrf`; leave one of them out";
            Err(Error::bad_request(message))
        }
        (Some(FusionName::Rrf), None, _) => Ok(Fusion::Rrf),
        (_, Some(alpha), _) => Ok(Fusion::MinMax { alpha }),
        (Some(FusionName::MinMax), None, Fusion::Rrf) => Ok(Fusion::default()),
        (_, None, fusion) => Ok(fusion),
    }
}

impl EmbeddingConfig {
    /// Documents are embedded when the index is built. A request may say by what, as long as it is what did it.
    fn require(&self, manifest: &Manifest) -> Result<()> {
        let built_by = manifest.provider.as_deref().unwrap_or(LOCAL);
        let fits = |asked: &str| asked == built_by || (asked == GOOGLE.0 && GOOGLE.1.contains(&built_by));
        if let Some(asked) = self.provider.as_deref().filter(|asked| !fits(asked)) {
            return Err(Error::bad_request(format!(
                "`rag_config.embedding_config.provider`: `{asked}`, but the index was embedded by `{built_by}`; leave it out"
            )));
        }
        let built = manifest.model.rsplit('/').next();
        if let Some(asked) = self.model.as_deref().filter(|asked| asked.rsplit('/').next() != built) {
            return Err(Error::bad_request(format!(
                "`rag_config.embedding_config.model`: `{asked}`, but the index was built with `{}`; leave it out",
                manifest.model
            )));
        }
        Ok(())
    }
}

impl ChunkingConfig {
    /// Chunks are cut when the index is built. A request may say how, as long as it is how it was done.
    fn require(&self, built: &Value) -> Result<()> {
        let Ok(Value::Object(asked)) = serde_json::to_value(self) else { return Ok(()) };
        for (field, value) in asked {
            let known = &built[&field];
            if *known != value {
                let was = if known.is_null() { "nothing of the kind".to_owned() } else { format!("`{known}`") };
                return Err(Error::bad_request(format!(
                    "`rag_config.chunking_config.{field}`: `{value}`, but the index was built with {was}; chunks are cut when the index is built: rebuild it, or leave the field out"
                )));
            }
        }
        Ok(())
    }
}
