//! What a caller may ask: the JSON of `POST /v1/query` and `POST /v1/search`, checked field by field (`rag_config` next door).
//!
//! Nothing is ignored. A field that no build knows is refused by name, and so is a field that asks for something this build does
//! not do: an answer that quietly lacks what was asked for is worse than none.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::body::{Object, object};
use super::field::{between, count, fallbacks, refuse_if, text};
use super::rag_config::RagConfig;
use crate::app::App;
use crate::chat::{self, ChatRequest, Effort, Message, Reasoning, Role, Sampling};
use crate::error::{Error, Result};
use crate::prompt::Format;
use crate::rag::{ANSWER_TOKENS, Question, Retrieval};
use crate::schema::Ask;

/// `POST /v1/query`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct QueryRequest {
    prompt: String,
    model_provider: Option<String>,
    model_name: Option<String>,
    fallbacks: Option<Vec<String>>,
    #[serde(default, deserialize_with = "object")]
    model_config: Option<ModelConfig>,
    system_prompt: Option<String>,
    context: Option<Vec<Object<ContextMessage>>>,
    #[serde(default, deserialize_with = "object")]
    rag_config: Option<RagConfig>,
    #[serde(default, deserialize_with = "object")]
    mcp_config: Option<McpConfig>,
    #[serde(default, deserialize_with = "object")]
    structured_output: Option<Ask>,
    #[serde(default, deserialize_with = "object")]
    output_config: Option<OutputConfig>,
}

/// `POST /v1/search`: the part of a query that retrieval reads.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct SearchRequest {
    prompt: String,
    #[serde(default, deserialize_with = "object")]
    rag_config: Option<RagConfig>,
    #[serde(default, deserialize_with = "object")]
    output_config: Option<OutputConfig>,
}

/// What the answer is to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Whether the passages are listed.
    pub sources: bool,
    /// Whether what is known of their documents is listed with them.
    pub metadata: bool,
}

/// A query, understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) stream: bool,
    pub(super) shown: Shown,
}

impl QueryRequest {
    /// Whether it comes with a schema.
    pub(super) fn is_shaped(&self) -> bool {
        self.structured_output.is_some()
    }

    /// Checks every field against what this service can do for a caller with these labels.
    pub(super) fn understand(self, app: &App, labels: &[String]) -> Result<Asked> {
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
        text("model_config.service_tier", model_config.service_tier.as_deref(), 64)?;
        let context: Vec<Message> =
            self.context.unwrap_or_default().into_iter().map(|Object(message)| message.neutral()).collect();
        if context.len() > 256 {
            return Err(Error::bad_request(format!("`context`: {} messages; send at most 256", context.len())));
        }
        let rag_config = self.rag_config.unwrap_or_default();
        let output = self.output_config.unwrap_or_default();
        let shown = shown(&output, &rag_config);
        let max_chars = output.max_chars()?;
        let json = [
            ("structured_output", shape.is_some()),
            ("output_config.format", output.format == Some(Format::Json)),
            ("model_config.response_format", model_config.response_format == Some(ResponseFormat::Json)),
        ];
        if let (Some(_), Some((field, _))) = (max_chars, json.iter().find(|(_, is_asked)| *is_asked)) {
            return Err(Error::bad_request(format!(
                "`output_config.max_response_length`: cutting would break the JSON of `{field}`; leave it out"
            )));
        }
        let system = self.system_prompt.filter(|text| !text.trim().is_empty()).map(|text| Message::text(Role::System, text));
        let asked = Message::text(Role::User, self.prompt.clone());
        Ok(Asked {
            question: Question {
                prompt: self.prompt,
                query: None,
                vector: None,
                answer_tokens: Some(ANSWER_TOKENS),
                provider: self.model_provider,
                model: self.model_name,
                fallbacks: fallbacks(self.fallbacks)?,
                request: ChatRequest {
                    messages: system.into_iter().chain(context).chain([asked]).collect(),
                    sampling,
                    response_format: model_config.response_format(),
                    reasoning: model_config
                        .reasoning_effort
                        .map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
                    service_tier: model_config.service_tier,
                    extra: model_config.extra.unwrap_or_default().into_iter().filter(|(_, value)| !value.is_null()).collect(),
                    ..ChatRequest::default()
                },
                retrieval: rag_config.retrieval(app, labels)?,
                format: output.format.unwrap_or_default(),
                max_chars,
                shape,
                citations: rag_config.citations(),
                show_text: false,
                warnings: Vec::new(),
            },
            stream: model_config.stream.unwrap_or(false),
            shown,
        })
    }
}

impl SearchRequest {
    /// Checks every field; retrieval cannot be switched off here.
    pub(super) fn understand(self, app: &App, labels: &[String]) -> Result<(String, Retrieval, Shown)> {
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
        if output.include_sources == Some(false) {
            return Err(Error::bad_request(
                "`output_config.include_sources`: false, but a search gives nothing else; leave it out",
            ));
        }
        let shown = shown(&output, &rag_config);
        if app.index().is_none() {
            return Err(Error::bad_request("no index is loaded; start the service with `--index`"));
        }
        let retrieval = rag_config.retrieval(app, labels)?;
        let retrieval = retrieval
            .ok_or_else(|| Error::bad_request("`rag_config.enabled`: false, but a search is nothing else; leave it out"))?;
        Ok((self.prompt, retrieval, shown))
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
    reasoning_effort: Option<Effort>,
    service_tier: Option<String>,
    response_format: Option<ResponseFormat>,
    /// Fields of the provider's own.
    extra: Option<Map<String, Value>>,
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
            answer_tokens: None,
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
    format: Option<Format>,
    include_sources: Option<bool>,
    include_metadata: Option<bool>,
    max_response_length: Option<u64>,
}

impl OutputConfig {
    fn max_chars(&self) -> Result<Option<usize>> {
        Ok(count("output_config.max_response_length", self.max_response_length, 1_000_000)?.map(|chars| chars as usize))
    }
}

fn shown(output: &OutputConfig, rag_config: &RagConfig) -> Shown {
    let metadata = output.include_metadata.unwrap_or_else(|| rag_config.shows_metadata());
    Shown { sources: output.include_sources.unwrap_or(true), metadata }
}

fn prompt(prompt: &str) -> Result<()> {
    if prompt.trim().is_empty() {
        return Err(Error::bad_request("`prompt`: empty; write the question"));
    }
    Ok(())
}
