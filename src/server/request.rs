//! What a caller may ask: the JSON of `POST /v1/query` and `POST /v1/search`, checked field by field (`rag_config` next door).
//!
//! Nothing is ignored. A field that no build knows is refused by name, and so is a field that asks for something this build does
//! not do: an answer that quietly lacks what was asked for is worse than none.

use serde::Deserialize;
use serde_json::Value;

use super::field::{between, count, refuse_if, text};
use super::rag_config::{RagConfig, no_index};
use crate::app::App;
use crate::chat::{Message, Sampling};
use crate::error::{Error, Result};
use crate::prompt::Format;
use crate::rag::{Question, Retrieval};

/// `POST /v1/query`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct QueryRequest {
    prompt: String,
    model_provider: Option<ProviderName>,
    model_name: Option<String>,
    #[serde(default)]
    model_config: Option<ModelConfig>,
    system_prompt: Option<String>,
    context: Option<Vec<Message>>,
    rag_config: Option<RagConfig>,
    mcp_config: Option<McpConfig>,
    structured_output: Option<StructuredOutput>,
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

impl QueryRequest {
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
        if self.structured_output.is_some_and(|output| output.asks()) {
            let remedy = "set it to false; `model_config.response_format` `json` gives one JSON object without a schema";
            return Err(Error::not_supported("structured_output.enabled", remedy));
        }
        let provider = match self.model_provider {
            None => None,
            Some(name @ (ProviderName::Openai | ProviderName::Custom)) => Some(name.as_str().to_owned()),
            Some(other) => {
                let field = format!("model_provider: {}", other.as_str());
                return Err(Error::not_supported(&field, "use `openai` or `custom`, or leave it out"));
            }
        };
        text("model_name", self.model_name.as_deref(), 256)?;
        let context = self.context.unwrap_or_default();
        if context.len() > 256 {
            return Err(Error::bad_request(format!("`context`: {} messages; send at most 256", context.len())));
        }
        let rag_config = self.rag_config.unwrap_or_default();
        let output = self.output_config.unwrap_or_default();
        let shown = shown(&output, &rag_config);
        Ok(Asked {
            question: Question {
                prompt: self.prompt,
                provider,
                model: self.model_name,
                sampling,
                system_prompt: self.system_prompt,
                context,
                retrieval: rag_config.retrieval(app, labels)?,
                format: output.format()?,
                max_chars: output.max_chars()?,
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
        let shown = shown(&output, &rag_config);
        match rag_config.retrieval(app, labels)? {
            Some(retrieval) => Ok((self.prompt, retrieval, shown)),
            None if rag_config.enabled == Some(false) => {
                Err(Error::bad_request("`rag_config.enabled`: false, but a search is nothing else; leave it out"))
            }
            None => Err(no_index()),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProviderName {
    Openai,
    Anthropic,
    Bedrock,
    Vertexai,
    Mistral,
    Cohere,
    Groq,
    Custom,
}

impl ProviderName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Vertexai => "vertexai",
            Self::Mistral => "mistral",
            Self::Cohere => "cohere",
            Self::Groq => "groq",
            Self::Custom => "custom",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct ModelConfig {
    temperature: Option<f32>,
    max_tokens: Option<u64>,
    top_p: Option<f32>,
    top_k: Option<u64>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
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
        if self.response_format == Some(ResponseFormat::Structured) {
            return Err(Error::not_supported("model_config.response_format: structured", "use `text` or `json`"));
        }
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
            json: self.response_format == Some(ResponseFormat::Json),
        })
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
struct StructuredOutput {
    enabled: Option<bool>,
    format: Option<Value>,
    method: Option<Method>,
    schema: Option<Value>,
    strict: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Pydantic,
    JsonSchema,
    TypedDict,
    JsonMode,
}

impl StructuredOutput {
    fn asks(&self) -> bool {
        let some = |value: &Option<Value>| value.as_ref().is_some_and(|value| *value != Value::Object(serde_json::Map::new()));
        self.enabled
            .unwrap_or_else(|| some(&self.format) || some(&self.schema) || self.method.is_some() || self.strict == Some(true))
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
