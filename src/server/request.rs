//! What a caller may ask: the JSON of `POST /v1/query` and `POST /v1/search`, checked field by field.
//!
//! Nothing is ignored. A field that no build knows is refused by name, and so is a field that asks for something this build does
//! not do: an answer that quietly lacks what was asked for is worse than none.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::chat::{self, ChatRequest, Message, Role, Sampling};
use crate::citation::Policy;
use crate::error::{Error, Result};
use crate::index::Recall;
use crate::prompt::Format;
use crate::rag::{Question, Retrieval};
use crate::schema::Ask;

/// `POST /v1/query`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct QueryRequest {
    prompt: String,
    model_provider: Option<String>,
    model_name: Option<String>,
    #[serde(default)]
    model_config: Option<ModelConfig>,
    system_prompt: Option<String>,
    context: Option<Vec<ContextMessage>>,
    rag_config: Option<RagConfig>,
    mcp_config: Option<McpConfig>,
    structured_output: Option<Ask>,
    output_config: Option<OutputConfig>,
}

/// `POST /v1/search`: the part of a query that retrieval reads.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct SearchRequest {
    prompt: String,
    rag_config: Option<RagConfig>,
    output_config: Option<OutputConfig>,
}

/// What the answer is to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    /// Whether the passages are listed.
    pub(super) sources: bool,
    /// Whether what is known of their documents is listed with them.
    pub(super) metadata: bool,
}

/// A query, understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) stream: bool,
    pub(super) shown: Shown,
}

/// Reads a body. `T`'s unknown fields are refused by path.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    match body.trim_ascii_start().first() {
        None => return Err(Error::bad_request("the body is empty; send a JSON object such as `{\"prompt\": \"...\"}`")),
        // Serde would read a list as the fields in their order.
        Some(b'[' | b'"' | b'0'..=b'9' | b'-') => {
            return Err(Error::bad_request("the body is not a JSON object; send one such as `{\"prompt\": \"...\"}`"));
        }
        Some(_) => {}
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        mistake(&path, error.into_inner())
    })?;
    reader.end().map_err(|error| mistake(".", error))?;
    Ok(value)
}

impl QueryRequest {
    /// Checks every field against what this service can do.
    pub(super) fn understand(self, app: &App) -> Result<Asked> {
        prompt(&self.prompt)?;
        let model_config = self.model_config.unwrap_or_default();
        let sampling = model_config.sampling()?;
        refuse_if(
            self.mcp_config.is_some_and(|mcp| mcp.asks()),
            "mcp_config.enabled",
            "set it to false, or leave `mcp_config` out",
        )?;
        let shape = self.structured_output.map(Ask::understand).transpose()?.flatten();
        if model_config.response_format == Some(ResponseFormat::Structured) && shape.is_none() {
            return Err(Error::bad_request(
                "`model_config.response_format`: `structured`, but `structured_output` does not say which shape; give its `format` or `schema`",
            ));
        }
        text("model_provider", self.model_provider.as_deref(), 64)?;
        text("model_name", self.model_name.as_deref(), 256)?;
        let context: Vec<Message> = self.context.unwrap_or_default().into_iter().map(ContextMessage::neutral).collect();
        if context.len() > 256 {
            return Err(Error::bad_request(format!("`context`: {} messages; send at most 256", context.len())));
        }
        let rag_config = self.rag_config.unwrap_or_default();
        let output = self.output_config.unwrap_or_default();
        let shown = shown(&output, &rag_config);
        let max_chars = output.max_chars()?;
        if max_chars.is_some() && shape.is_some() {
            return Err(Error::bad_request(
                "`output_config.max_response_length`: cutting would break the JSON of `structured_output`; leave it out",
            ));
        }
        let system = self.system_prompt.filter(|text| !text.trim().is_empty()).map(|text| Message::text(Role::System, text));
        let (told, said): (Vec<Message>, Vec<Message>) = context.into_iter().partition(|message| message.role == Role::System);
        let asked = Message::text(Role::User, self.prompt.clone());
        Ok(Asked {
            question: Question {
                prompt: self.prompt,
                provider: self.model_provider,
                model: self.model_name,
                fallbacks: None,
                request: ChatRequest {
                    messages: system.into_iter().chain(told).chain(said).chain([asked]).collect(),
                    sampling,
                    response_format: model_config.response_format(),
                    ..ChatRequest::default()
                },
                retrieval: rag_config.retrieval(app)?,
                format: output.format()?,
                max_chars,
                shape,
                citations: rag_config.citations(),
                show_text: false,
            },
            stream: model_config.stream.unwrap_or(false),
            shown,
        })
    }
}

impl SearchRequest {
    /// Checks every field; retrieval cannot be switched off here.
    pub(super) fn understand(self, app: &App) -> Result<(String, Retrieval, Shown)> {
        prompt(&self.prompt)?;
        let rag_config = self.rag_config.unwrap_or_default();
        let output = self.output_config.unwrap_or_default();
        for (given, field) in [(output.format.is_some(), "format"), (output.max_response_length.is_some(), "max_response_length")]
        {
            if given {
                return Err(Error::bad_request(format!(
                    "`output_config.{field}`: a search has no answer to write; leave it out"
                )));
            }
        }
        let shown = shown(&output, &rag_config);
        match rag_config.retrieval(app)? {
            Some(retrieval) => Ok((self.prompt, retrieval, shown)),
            None if rag_config.enabled == Some(false) => {
                Err(Error::bad_request("`rag_config.enabled`: false, but a search is nothing else; leave it out"))
            }
            None => Err(no_index()),
        }
    }
}

/// An earlier message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct ContextMessage {
    role: ContextRole,
    content: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContextRole {
    System,
    User,
    Assistant,
}

impl ContextMessage {
    fn neutral(self) -> Message {
        let role = match self.role {
            ContextRole::System => Role::System,
            ContextRole::User => Role::User,
            ContextRole::Assistant => Role::Assistant,
        };
        Message::text(role, self.content)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct ModelConfig {
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    stop_sequences: Option<Vec<String>>,
    stream: Option<bool>,
    seed: Option<i64>,
    response_format: Option<ResponseFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResponseFormat {
    Text,
    Json,
    Structured,
}

impl ModelConfig {
    fn sampling(&self) -> Result<Sampling> {
        let stop_sequences = self.stop_sequences.clone().unwrap_or_default();
        if stop_sequences.iter().any(String::is_empty) || stop_sequences.len() > 16 {
            return Err(Error::bad_request("`model_config.stop_sequences`: send at most 16 texts, none of them empty"));
        }
        Ok(Sampling {
            temperature: between("model_config.temperature", self.temperature, 0.0, 2.0)?,
            max_tokens: count("model_config.max_tokens", self.max_tokens, 1_000_000)?,
            top_p: between("model_config.top_p", self.top_p, 0.0, 1.0)?,
            top_k: count("model_config.top_k", self.top_k, 1_000)?,
            frequency_penalty: between("model_config.frequency_penalty", self.frequency_penalty, -2.0, 2.0)?,
            presence_penalty: between("model_config.presence_penalty", self.presence_penalty, -2.0, 2.0)?,
            stop_sequences,
            seed: self.seed,
        })
    }

    fn response_format(&self) -> chat::ResponseFormat {
        match self.response_format {
            Some(ResponseFormat::Json) => chat::ResponseFormat::JsonObject,
            _ => chat::ResponseFormat::Text,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct RagConfig {
    enabled: Option<bool>,
    s3_bucket: Option<String>,
    s3_prefix: Option<String>,
    vector_store: Option<VectorStore>,
    embedding_config: Option<EmbeddingConfig>,
    retrieval_config: Option<RetrievalConfig>,
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
    provider: Option<EmbeddingProvider>,
    model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum EmbeddingProvider {
    Local,
    Openai,
    Cohere,
    Bedrock,
    Google,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct RetrievalConfig {
    top_k: Option<u64>,
    score_threshold: Option<f32>,
    recall: Option<Recall>,
    rerank: Option<bool>,
    include_metadata: Option<bool>,
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
    /// How to retrieve; none where it is off: said so, or nothing said and no index loaded.
    fn retrieval(&self, app: &App) -> Result<Option<Retrieval>> {
        let retrieval_config = self.retrieval_config.as_ref();
        let top_k = count("rag_config.retrieval_config.top_k", retrieval_config.and_then(|config| config.top_k), 100)?;
        let threshold = retrieval_config.and_then(|config| config.score_threshold);
        let score_threshold = between("rag_config.retrieval_config.score_threshold", threshold, -1.0, 1.0)?;
        self.refuse_foreign()?;
        if self.enabled == Some(false) {
            return Ok(None);
        }
        let Some(opened) = app.index() else {
            let asked = self.enabled == Some(true) || self.asks();
            return if asked { Err(no_index()) } else { Ok(None) };
        };
        let manifest = opened.index.manifest();
        if let Some(name) =
            self.vector_store.as_ref().and_then(|store| store.index_name.as_deref()).filter(|name| *name != opened.name)
        {
            let message =
                format!("`rag_config.vector_store.index_name`: `{name}` is not loaded; this service holds `{}`", opened.name);
            return Err(Error::bad_request(message));
        }
        let model = self.embedding_config.as_ref().and_then(|config| config.model.as_deref());
        if let Some(model) = model.filter(|model| model.rsplit('/').next() != Some(manifest.model.as_str())) {
            return Err(Error::bad_request(format!(
                "`rag_config.embedding_config.model`: `{model}`, but the index was built with `{}`; leave it out",
                manifest.model
            )));
        }
        if let Some(chunking) = &self.chunking_config {
            chunking.require(&manifest.chunking)?;
        }
        let defaults = &app.config().retrieval;
        Ok(Some(Retrieval {
            top_k: top_k.map_or(defaults.top_k, |top_k| top_k as usize),
            alpha: defaults.alpha,
            score_threshold: score_threshold.or(defaults.score_threshold.filter(|_| app.embedder().is_some())),
            uri_prefix: self.uri_prefix(app.config().s3_bucket.as_deref())?,
            recall: retrieval_config.and_then(|config| config.recall).unwrap_or_default(),
        }))
    }

    /// As [`Self::retrieval`], where it was asked for: no index is an error.
    pub(super) fn required_retrieval(&self, app: &App) -> Result<Option<Retrieval>> {
        if app.index().is_none() && self.enabled != Some(false) {
            return Err(no_index());
        }
        self.retrieval(app)
    }

    /// What becomes of citations that do not hold.
    pub(super) fn citations(&self) -> Policy {
        self.citations.unwrap_or_default()
    }

    /// Refuses what needs a store, a model or a step that this build does not have.
    fn refuse_foreign(&self) -> Result<()> {
        if let Some(store) = &self.vector_store {
            if let Some(kind) = store.kind.filter(|kind| *kind != StoreKind::Faiss) {
                let field = format!("rag_config.vector_store.type: {}", spelled(&kind));
                return Err(Error::not_supported(&field, "use `faiss`, which means the loaded index, or leave it out"));
            }
            if let Some(namespace) = store.namespace.as_deref().filter(|namespace| *namespace != "default") {
                let message = format!(
                    "`rag_config.vector_store.namespace`: `{namespace}`, but the loaded index has only `default`; leave it out"
                );
                return Err(Error::bad_request(message));
            }
        }
        if let Some(provider) =
            self.embedding_config.as_ref().and_then(|config| config.provider).filter(|it| *it != EmbeddingProvider::Local)
        {
            let field = format!("rag_config.embedding_config.provider: {}", spelled(&provider));
            return Err(Error::not_supported(&field, "use `local`, or leave it out"));
        }
        let rerank = self.retrieval_config.as_ref().is_some_and(|config| config.rerank == Some(true));
        refuse_if(rerank, "rag_config.retrieval_config.rerank", "set it to false, or leave it out")
    }

    /// Whether anything in it expects an index.
    fn asks(&self) -> bool {
        self.s3_bucket.is_some()
            || self.s3_prefix.is_some()
            || self.vector_store.is_some()
            || self.embedding_config.is_some()
            || self.retrieval_config.is_some()
            || self.chunking_config.is_some()
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct McpConfig {
    enabled: Option<bool>,
    servers: Option<Vec<String>>,
    tools: Option<Vec<String>>,
    auto_invoke: Option<bool>,
}

impl McpConfig {
    fn asks(&self) -> bool {
        let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        self.enabled.unwrap_or_else(|| some(&self.servers) || some(&self.tools) || self.auto_invoke == Some(true))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct OutputConfig {
    format: Option<OutputFormat>,
    include_sources: Option<bool>,
    include_metadata: Option<bool>,
    max_response_length: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutputFormat {
    Json,
    Text,
    Markdown,
}

impl OutputConfig {
    fn format(&self) -> Result<Format> {
        Ok(match self.format {
            None => Format::Any,
            Some(OutputFormat::Json) => Format::Json,
            Some(OutputFormat::Text) => Format::Text,
            Some(OutputFormat::Markdown) => Format::Markdown,
        })
    }

    fn max_chars(&self) -> Result<Option<usize>> {
        Ok(count("output_config.max_response_length", self.max_response_length, 1_000_000)?.map(|chars| chars as usize))
    }
}

fn shown(output: &OutputConfig, rag_config: &RagConfig) -> Shown {
    let wanted = rag_config.retrieval_config.as_ref().and_then(|config| config.include_metadata);
    Shown { sources: output.include_sources.unwrap_or(true), metadata: output.include_metadata.or(wanted).unwrap_or(false) }
}

fn prompt(prompt: &str) -> Result<()> {
    if prompt.trim().is_empty() {
        return Err(Error::bad_request("`prompt`: empty; write the question"));
    }
    Ok(())
}

fn text(field: &str, value: Option<&str>, most: usize) -> Result<()> {
    match value {
        Some(value) if value.trim().is_empty() || value.len() > most => {
            Err(Error::bad_request(format!("`{field}`: {} bytes; send 1 to {most}, or leave it out", value.len())))
        }
        _ => Ok(()),
    }
}

fn between<T: Copy + PartialOrd + std::fmt::Display>(field: &str, value: Option<T>, least: T, most: T) -> Result<Option<T>> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Error::bad_request(format!("`{field}`: {value} is not between {least} and {most}")))
        }
        _ => Ok(value),
    }
}

fn count(field: &str, value: Option<u64>, most: u32) -> Result<Option<u32>> {
    let Some(value) = value else { return Ok(None) };
    match u32::try_from(value) {
        Ok(count) if (1..=most).contains(&count) => Ok(Some(count)),
        _ => Err(Error::bad_request(format!("`{field}`: {value} is not between 1 and {most}"))),
    }
}

fn refuse_if(asked: bool, field: &str, remedy: &str) -> Result<()> {
    if asked { Err(Error::not_supported(field, remedy)) } else { Ok(()) }
}

fn no_index() -> Error {
    Error::bad_request("`rag_config`: no index is loaded; start the service with `--index`, or set `enabled` to false")
}

fn spelled(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Serde's text with the path in front and its position left out.
fn mistake(path: &str, error: serde_json::Error) -> Error {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.is_syntax() || error.is_eof() {
        if text.contains("recursion limit") {
            return Error::bad_request("the body is nested deeper than 128 levels");
        }
        return Error::bad_request(format!("the body is not JSON: {text}, line {} column {}", error.line(), error.column()));
    }
    let parent = if path == "." { "" } else { path };
    let quoted = |rest: &str| rest.split('`').next().unwrap_or_default().to_owned();
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let (name, expected) = (quoted(rest), rest.split_once(", ").map_or("", |(_, expected)| expected));
        return Error::bad_request(format!("`{}`: unknown field; {expected}", joined(parent, &name)));
    }
    if let Some(rest) = text.strip_prefix("missing field `") {
        return Error::bad_request(format!("`{}`: missing", joined(parent, &quoted(rest))));
    }
    if let Some(rest) = text.strip_prefix("duplicate field `") {
        return Error::bad_request(format!("`{}`: given twice", joined(parent, &quoted(rest))));
    }
    let parent = if parent.is_empty() { "the body" } else { parent };
    Error::bad_request(format!("`{parent}`: {text}"))
}

/// The path of a field; serde may have counted it in already.
fn joined(parent: &str, name: &str) -> String {
    if parent.is_empty() || parent == name {
        name.to_owned()
    } else if parent.ends_with(&format!(".{name}")) {
        parent.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}
