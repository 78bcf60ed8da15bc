//! What a caller says in OpenAI's dialect.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{CacheControl, ReasoningDetail, WireCall};
use crate::app::App;
use crate::chat::{
    ChatRequest, Effort, Media, Message, Part, Reasoning, ResponseFormat, Role, Sampling, Source, Thought, Tool, ToolCall,
    ToolChoice, ToolResult,
};
use crate::error::{Error, Result};
use crate::rag::Question;
use crate::schema::Shape;
use crate::server::door::{Added, Rag, Target, question};
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
    stop: Option<Stop>,
    seed: Option<i64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    n: Option<u32>,
    tools: Option<Vec<WireTool>>,
    tool_choice: Option<WireToolChoice>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<WireFormat>,
    reasoning_effort: Option<Effort>,
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
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: WireRole,
    content: Option<Content>,
    #[serde(default, deserialize_with = "nullable")]
    tool_calls: Vec<WireCall>,
    tool_call_id: Option<String>,
    reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    reasoning_details: Vec<ReasoningDetail>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    Developer,
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of parts")]
enum Content {
    Text(String),
    Parts(Vec<WirePart>),
}

#[derive(Debug, Deserialize)]
struct WirePart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<ImageUrl>,
    file: Option<WireFile>,
    cache_control: Option<CacheControl>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an object with `url`")]
enum ImageUrl {
    Object { url: String, detail: Option<String> },
    Plain(String),
}

#[derive(Debug, Deserialize)]
struct WireFile {
    file_data: Option<String>,
    filename: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<WireToolFunction>,
    cache_control: Option<CacheControl>,
}

#[derive(Debug, Deserialize)]
struct WireToolFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`auto`, `none`, `required` or an object that names a function")]
enum WireToolChoice {
    Word(ChoiceWord),
    Named { function: ChoiceName },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceWord {
    Auto,
    None,
    Required,
    Any,
}

#[derive(Debug, Deserialize)]
struct ChoiceName {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: WireSchema },
}

#[derive(Debug, Deserialize)]
struct WireSchema {
    name: String,
    schema: Option<Value>,
    strict: Option<bool>,
}

/// `null` as an empty list.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(reader)?.unwrap_or_default())
}

impl ChatBody {
    /// Whether the answer is to be streamed.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Whether the stream is to end with the tokens.
    pub(super) fn with_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }
}

/// Checks a request against what this service can do.
pub(super) fn understood(app: &App, body: ChatBody, labels: &[String]) -> Result<(Question, Shown)> {
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
    let mut messages: Vec<Message> = Vec::with_capacity(body.messages.len());
    for (number, message) in body.messages.into_iter().enumerate() {
        push(&mut messages, message, number)?;
    }
    let (response_format, shape) = match body.response_format {
        None | Some(WireFormat::Text) => (ResponseFormat::Text, None),
        Some(WireFormat::JsonObject) => (ResponseFormat::JsonObject, None),
        Some(WireFormat::JsonSchema { json_schema }) => {
            let field = "response_format.json_schema.schema";
            let schema = json_schema.schema.unwrap_or_else(|| json!({}));
            let shape = Shape::from_response_format(&json_schema.name, schema, json_schema.strict.unwrap_or(true), field)?;
            (ResponseFormat::Text, Some(shape))
        }
    };
    let tools = body
        .tools
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(number, tool)| tool.neutral(number))
        .collect::<Result<_>>()?;
    let request = ChatRequest {
        messages,
        sampling: Sampling {
            temperature: between("temperature", body.temperature, 0.0, 2.0)?,
            max_tokens: positive("max_completion_tokens", body.max_completion_tokens.or(body.max_tokens))?,
            top_p: between("top_p", body.top_p, 0.0, 1.0)?,
            top_k: body.top_k,
            frequency_penalty: between("frequency_penalty", body.frequency_penalty, -2.0, 2.0)?,
            presence_penalty: between("presence_penalty", body.presence_penalty, -2.0, 2.0)?,
            stop_sequences: match body.stop {
                None => Vec::new(),
                Some(Stop::One(text)) => vec![text],
                Some(Stop::Several(texts)) => texts,
            },
            seed: body.seed,
        },
        reasoning: body.reasoning_effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
        tools,
        tool_choice: body.tool_choice.map(WireToolChoice::neutral),
        parallel_tool_calls: body.parallel_tool_calls,
        response_format,
        service_tier: body.service_tier,
        user: body.user,
        extra: body.rest.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        ..ChatRequest::default()
    };
    let added = Added { rag: body.rag, fallbacks: body.fallbacks };
    question(app, target, added, request, shape, labels)
}

/// Adds a message; results of tools that were called at once make one turn.
fn push(messages: &mut Vec<Message>, message: WireMessage, number: usize) -> Result<()> {
    let field = format!("messages[{number}]");
    let role = match message.role {
        WireRole::Developer | WireRole::System => Role::System,
        WireRole::User => Role::User,
        WireRole::Assistant => Role::Assistant,
        WireRole::Tool => Role::Tool,
    };
    let mut parts = Vec::new();
    if message.reasoning_details.is_empty() {
        parts.extend(
            message
                .reasoning_content
                .filter(|text| !text.is_empty())
                .map(|text| Part::Reasoning(Thought { text, ..Thought::default() })),
        );
    }
    parts.extend(message.reasoning_details.into_iter().map(|detail| {
        Part::Reasoning(Thought { text: detail.text.unwrap_or_default(), signature: detail.signature, redacted: detail.data })
    }));
    match message.content {
        None => {}
        Some(Content::Text(text)) if text.is_empty() && role == Role::Assistant => {}
        Some(Content::Text(text)) => parts.push(Part::Text(text)),
        Some(Content::Parts(wire)) => {
            for (at, part) in wire.into_iter().enumerate() {
                part.neutral(&mut parts, &format!("{field}.content[{at}]"))?;
            }
        }
    }
    for call in message.tool_calls {
        parts.push(Part::ToolCall(ToolCall {
            id: call.id,
            name: call.function.name,
            arguments: call.function.arguments,
            signature: call.extra_content.and_then(|extra| extra.signature),
        }));
    }
    if role != Role::Tool {
        if parts.is_empty() && role != Role::Assistant {
            return Err(Error::bad_request(format!("`{field}.content`: missing")));
        }
        messages.push(Message { role, parts });
        return Ok(());
    }
    let Some(call_id) = message.tool_call_id else {
        return Err(Error::bad_request(format!("`{field}.tool_call_id`: missing")));
    };
    let result = Part::ToolResult(ToolResult { call_id, content: parts, is_error: false });
    match messages.last_mut() {
        Some(last) if last.role == Role::Tool => last.parts.push(result),
        _ => messages.push(Message { role, parts: vec![result] }),
    }
    Ok(())
}

impl WirePart {
    fn neutral(self, parts: &mut Vec<Part>, field: &str) -> Result<()> {
        let missing = |name: &str| Error::bad_request(format!("`{field}.{name}`: missing"));
        match self.kind.as_str() {
            "text" => parts.push(Part::Text(self.text.ok_or_else(|| missing("text"))?)),
            "refusal" => parts.push(Part::Text(self.refusal.ok_or_else(|| missing("refusal"))?)),
            "image_url" => {
                let (url, detail) = match self.image_url.ok_or_else(|| missing("image_url"))? {
                    ImageUrl::Object { url, detail } => (url, detail),
                    ImageUrl::Plain(url) => (url, None),
                };
                parts.push(Part::Image(Media { source: source(url, "image/png"), name: None, detail }));
            }
            "file" => {
                let file = self.file.ok_or_else(|| missing("file"))?;
                let source = source(file.file_data.ok_or_else(|| missing("file.file_data"))?, "application/pdf");
                parts.push(Part::Document(Media { source, name: file.filename, detail: None }));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(Error::not_supported(&format!("{field}.type: {shown}"), "send `text`, `image_url` or `file`"));
            }
        }
        parts.extend(self.cache_control.map(|control| Part::CachePoint(control.ttl())));
        Ok(())
    }
}

/// A `data:` URL is the bytes; any other address is the provider's to fetch, never ours.
fn source(url: String, default_type: &str) -> Source {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) => {
            let media_type = media_type.split(';').next().filter(|text| !text.is_empty()).unwrap_or(default_type);
            Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
        }
        None => Source::Url { url, media_type: None },
    }
}

impl WireTool {
    fn neutral(self, number: usize) -> Result<Tool> {
        let Some(function) = self.function.filter(|_| self.kind == "function") else {
            let shown: String = self.kind.chars().take(40).collect();
            return Err(Error::not_supported(&format!("tools[{number}].type: {shown}"), "send tools of type `function`"));
        };
        Ok(Tool {
            name: function.name,
            description: function.description,
            parameters: function.parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
            strict: function.strict,
            cache: self.cache_control.map(|control| control.ttl()),
        })
    }
}

impl WireToolChoice {
    fn neutral(self) -> ToolChoice {
        match self {
            Self::Word(ChoiceWord::Auto) => ToolChoice::Auto,
            Self::Word(ChoiceWord::None) => ToolChoice::None,
            Self::Word(ChoiceWord::Required | ChoiceWord::Any) => ToolChoice::Required,
            Self::Named { function } => ToolChoice::Tool(function.name),
        }
    }
}
