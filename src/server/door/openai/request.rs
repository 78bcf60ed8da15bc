//! What a caller says in OpenAI's dialect.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::message::{WireMessage, push};
use super::tool::{WireTool, WireToolChoice, tools};
use crate::app::App;
use crate::chat::{ChatRequest, Effort, Message, Reasoning, ResponseFormat, Sampling, Warning, Warnings};
use crate::error::{Error, Result};
use crate::rag::Question;
use crate::schema::Shape;
use crate::server::body::TextOr;
use crate::server::door::thinking::Thinking;
use crate::server::door::{Added, Rag, Target, question, unknown};
use crate::server::field::{between, positive};
use crate::server::request::Shown;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct ChatBody {
    model: String,
    messages: Vec<WireMessage>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    stop: Option<TextOr<String>>,
    seed: Option<i64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    n: Option<u32>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<WireToolChoice>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<WireFormat>,
    #[serde(default, deserialize_with = "effort")]
    reasoning_effort: Option<Effort>,
    thinking: Option<Value>,
    service_tier: Option<String>,
    user: Option<String>,
    rag: Option<Rag>,
    fallbacks: Option<Vec<String>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat {
    Text {
        #[serde(flatten)]
        rest: Map<String, Value>,
    },
    JsonObject {
        /// As some servers take it.
        schema: Option<Value>,
        #[serde(flatten)]
        rest: Map<String, Value>,
    },
    JsonSchema {
        json_schema: WireSchema,
        #[serde(flatten)]
        rest: Map<String, Value>,
    },
}

#[derive(Debug, Deserialize)]
struct WireSchema {
    name: String,
    description: Option<String>,
    schema: Option<Value>,
    strict: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Groq's models have a word for what they do by default.
fn effort<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Effort>, D::Error> {
    match Option::<Value>::deserialize(reader)? {
        Some(word) if word == "default" => Ok(None),
        word => word.map(Effort::deserialize).transpose().map_err(serde::de::Error::custom),
    }
}

impl ChatBody {
    /// Whether the answer is to be streamed.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether it comes with a schema.
    pub(super) fn is_shaped(&self) -> bool {
        matches!(self.response_format, Some(WireFormat::JsonSchema { .. } | WireFormat::JsonObject { schema: Some(_), .. }))
    }

    /// Whether the stream is to end with the tokens.
    pub(super) fn with_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// How the answer is to be sampled.
    fn sampling(&mut self) -> Result<Sampling> {
        Ok(Sampling {
            temperature: between("temperature", self.temperature, 0.0, 2.0)?,
            max_tokens: positive("max_completion_tokens", self.max_completion_tokens.or(self.max_tokens))?,
            top_p: between("top_p", self.top_p, 0.0, 1.0)?,
            top_k: self.top_k,
            frequency_penalty: between("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?,
            presence_penalty: between("presence_penalty", self.presence_penalty, -2.0, 2.0)?,
            stop_sequences: match self.stop.take() {
                None => Vec::new(),
                Some(TextOr::Text(text)) => vec![text],
                Some(TextOr::List(texts)) => texts,
            },
            seed: self.seed,
            answer_tokens: None,
        })
    }
}

/// Checks a request against what this service can do.
pub(super) fn understood(app: &App, mut body: ChatBody, labels: &[String]) -> Result<(Question, Shown)> {
    if body.n.is_some_and(|n| n != 1) {
        return Err(Error::not_supported("n", "one answer is given; ask several times"));
    }
    for gone in ["functions", "function_call"] {
        if body.rest.get(gone).is_some_and(|value| !value.is_null()) {
            return Err(Error::not_supported(gone, "use `tools` and `tool_choice`"));
        }
    }
    if body.messages.is_empty() {
        return Err(Error::bad_request("`messages`: empty; send at least one"));
    }
    let target = Target::read(app, &body.model)?;
    let sampling = body.sampling()?;
    // It goes along as it came, too: to servers that have a `thinking` of their own, in words that only they may know.
    let (thinking, mut rest) = (body.thinking, body.rest);
    let thinking = thinking.filter(|it| !it.is_null()).and_then(|value| {
        rest.insert("thinking".into(), value.clone());
        serde_json::from_value::<Thinking>(value).ok()
    });
    let mut warnings = Warnings::default();
    if let Some(mut options) = body.stream_options {
        // Nothing is padded here.
        options.rest.retain(|name, value| !(name == "include_obfuscation" && *value == false));
        unknown(options.rest, "stream_options", &mut warnings);
    }
    if body.max_completion_tokens.is_some_and(|most| body.max_tokens.is_some_and(|other| other != most)) {
        warnings.push(Warning::dropped("max_tokens", "`max_completion_tokens` says another bound, which holds"));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(body.messages.len());
    for (number, message) in body.messages.into_iter().enumerate() {
        push(&mut messages, message, number, &mut warnings)?;
    }
    let (response_format, shape) = match body.response_format {
        None => (ResponseFormat::Text, None),
        Some(format) => format.neutral(&mut warnings)?,
    };
    let (tools, native_tools, tool_choice) = tools(body.tools.unwrap_or_default(), body.tool_choice, &mut warnings)?;
    // Beside `thinking` an effort is as in Anthropic's dialect; alone it is the wish to think.
    let (reasoning, effort) = match thinking {
        Some(thinking) => (Some(thinking.neutral(&mut warnings)), body.reasoning_effort),
        None => (body.reasoning_effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }), None),
    };
    let request = ChatRequest {
        messages,
        sampling,
        reasoning,
        effort,
        tools,
        native_tools,
        tool_choice,
        parallel_tool_calls: body.parallel_tool_calls,
        response_format,
        service_tier: body.service_tier,
        user: body.user,
        extra: rest.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        extra_dialect: "openai".into(),
        ..ChatRequest::default()
    };
    let added = Added { rag: body.rag, fallbacks: body.fallbacks, warnings };
    question(app, target, added, request, shape, labels)
}

impl WireFormat {
    /// How the answer is written, and its shape, if it is to have one.
    fn neutral(self, warnings: &mut Warnings) -> Result<(ResponseFormat, Option<Shape>)> {
        match self {
            Self::Text { rest } => {
                unknown(rest, "response_format", warnings);
                Ok((ResponseFormat::Text, None))
            }
            Self::JsonObject { schema, rest } => {
                unknown(rest, "response_format", warnings);
                let Some(schema) = schema else { return Ok((ResponseFormat::JsonObject, None)) };
                let shape = Shape::from_response_format("answer", schema, true, "response_format.schema")?;
                Ok((ResponseFormat::Text, Some(shape)))
            }
            Self::JsonSchema { json_schema, rest } => {
                unknown(rest, "response_format", warnings);
                unknown(json_schema.rest, "response_format.json_schema", warnings);
                let mut schema = json_schema.schema.unwrap_or_else(|| json!({}));
                // In the schema every provider is told of it, in whatever way it is asked.
                if let (Some(description), Some(fields)) = (json_schema.description, schema.as_object_mut()) {
                    let own = fields.entry("description").or_insert_with(|| description.clone().into());
                    if *own != description {
                        let field = "response_format.json_schema.description";
                        warnings.push(Warning::dropped(field, "the schema has a description of its own"));
                    }
                }
                let (strict, field) = (json_schema.strict.unwrap_or(true), "response_format.json_schema.schema");
                Ok((ResponseFormat::Text, Some(Shape::from_response_format(&json_schema.name, schema, strict, field)?)))
            }
        }
    }
}
