//! What a caller says in Anthropic's dialect.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::chat::{
    ChatRequest, Effort, Media, Message, Part, Raw, Reasoning, Role, Sampling, Source, Thought, Tool, ToolCall, ToolChoice,
    ToolResult,
};
use crate::error::{Error, Result};
use crate::rag::Question;
use crate::schema::Shape;
use crate::server::door::openai::CacheControl;
use crate::server::door::{Added, Rag, Target, question};
use crate::server::field::{between, positive};
use crate::server::request::Shown;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(super) struct MessagesBody {
    model: String,
    max_tokens: u32,
    messages: Vec<WireMessage>,
    system: Option<Content>,
    stream: Option<bool>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<WireToolChoice>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    metadata: Option<Metadata>,
    service_tier: Option<String>,
    rag: Option<Rag>,
    fallbacks: Option<Vec<String>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: WireRole,
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    User,
    Assistant,
    System,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of blocks")]
enum Content {
    Text(String),
    Blocks(Vec<Value>),
}

#[derive(Debug, Deserialize)]
struct WireTool {
    name: String,
    description: Option<String>,
    input_schema: Value,
    strict: Option<bool>,
    cache_control: Option<CacheControl>,
}

#[derive(Debug, Deserialize)]
struct WireToolChoice {
    #[serde(rename = "type")]
    kind: ChoiceKind,
    name: Option<String>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceKind {
    Auto,
    Any,
    Tool,
    None,
}

#[derive(Debug, Deserialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: ThinkingKind,
    budget_tokens: Option<u32>,
    display: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ThinkingKind {
    Adaptive,
    Enabled,
    Disabled,
    BetweenTools,
}

#[derive(Debug, Deserialize)]
struct OutputConfig {
    effort: Option<Effort>,
    format: Option<WireFormat>,
}

#[derive(Debug, Deserialize)]
struct WireFormat {
    schema: Value,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

impl MessagesBody {
    /// Whether the answer is to be streamed.
    pub(super) fn is_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }
}

/// Checks a request against what this service can do.
pub(super) fn understood(app: &App, body: MessagesBody, labels: &[String]) -> Result<(Question, Shown)> {
    if body.messages.is_empty() {
        return Err(Error::bad_request("`messages`: empty; send at least one"));
    }
    let target = Target::read(app, &body.model)?;
    let mut messages = Vec::with_capacity(body.messages.len() + 1);
    if let Some(system) = body.system {
        messages.push(Message { role: Role::System, parts: parts(system, "system")? });
    }
    for (number, message) in body.messages.into_iter().enumerate() {
        let parts = parts(message.content, &format!("messages[{number}].content"))?;
        match message.role {
            WireRole::Assistant => messages.push(Message { role: Role::Assistant, parts }),
            WireRole::System => messages.push(Message { role: Role::System, parts }),
            WireRole::User => {
                // What tools answered is a turn of its own.
                let (results, said): (Vec<Part>, Vec<Part>) =
                    parts.into_iter().partition(|part| matches!(part, Part::ToolResult(_)));
                if !results.is_empty() {
                    messages.push(Message { role: Role::Tool, parts: results });
                }
                if !said.is_empty() {
                    messages.push(Message { role: Role::User, parts: said });
                }
            }
        }
    }
    let shape = match body.output_config.as_ref().and_then(|config| config.format.as_ref()) {
        Some(format) => Some(Shape::from_response_format("answer", format.schema.clone(), true, "output_config.format.schema")?),
        None => None,
    };
    let effort = body.output_config.as_ref().and_then(|config| config.effort);
    let request = ChatRequest {
        messages,
        sampling: Sampling {
            temperature: between("temperature", body.temperature, 0.0, 1.0)?,
            max_tokens: positive("max_tokens", Some(body.max_tokens))?,
            top_p: between("top_p", body.top_p, 0.0, 1.0)?,
            top_k: body.top_k,
            stop_sequences: body.stop_sequences.unwrap_or_default(),
            ..Sampling::default()
        },
        reasoning: reasoning(body.thinking.as_ref(), effort),
        tools: body
            .tools
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .map(|(number, tool)| neutral_tool(tool, number))
            .collect::<Result<_>>()?,
        parallel_tool_calls: body.tool_choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use).map(|off| !off),
        tool_choice: body.tool_choice.map(WireToolChoice::neutral).transpose()?,
        service_tier: body.service_tier,
        user: body.metadata.and_then(|metadata| metadata.user_id),
        extra: body.rest.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        ..ChatRequest::default()
    };
    let added = Added { rag: body.rag, fallbacks: body.fallbacks };
    question(app, target, added, request, shape, labels)
}

fn reasoning(thinking: Option<&Thinking>, effort: Option<Effort>) -> Option<Reasoning> {
    let show = thinking.and_then(|thinking| thinking.display.as_deref()).map(|display| display != "omitted");
    match thinking.map(|thinking| thinking.kind) {
        None => effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
        Some(ThinkingKind::Disabled | ThinkingKind::BetweenTools) => {
            Some(Reasoning { effort: Some(Effort::None), budget_tokens: None, show })
        }
        Some(ThinkingKind::Enabled) => {
            Some(Reasoning { effort, budget_tokens: thinking.and_then(|thinking| thinking.budget_tokens), show })
        }
        Some(ThinkingKind::Adaptive) => Some(Reasoning { effort: effort.or(Some(Effort::High)), budget_tokens: None, show }),
    }
}

fn neutral_tool(tool: Value, number: usize) -> Result<Tool> {
    let kind = tool.get("type").and_then(Value::as_str).unwrap_or("custom").to_owned();
    if kind != "custom" {
        let shown: String = kind.chars().take(40).collect();
        return Err(Error::not_supported(&format!("tools[{number}].type: {shown}"), "send tools with an `input_schema`"));
    }
    let tool: WireTool =
        serde_json::from_value(tool).map_err(|cause| Error::bad_request(format!("`tools[{number}]`: {cause}")))?;
    Ok(Tool {
        name: tool.name,
        description: tool.description,
        parameters: tool.input_schema,
        strict: tool.strict,
        cache: tool.cache_control.map(|control| control.ttl()),
    })
}

impl WireToolChoice {
    fn neutral(self) -> Result<ToolChoice> {
        Ok(match self.kind {
            ChoiceKind::Auto => ToolChoice::Auto,
            ChoiceKind::Any => ToolChoice::Required,
            ChoiceKind::None => ToolChoice::None,
            ChoiceKind::Tool => {
                ToolChoice::Tool(self.name.ok_or_else(|| Error::bad_request("`tool_choice.name`: missing; name the tool"))?)
            }
        })
    }
}

fn parts(content: Content, field: &str) -> Result<Vec<Part>> {
    let blocks = match content {
        Content::Text(text) => return Ok(vec![Part::Text(text)]),
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.into_iter().enumerate() {
        let cache = block.get("cache_control").filter(|value| value.is_object()).cloned();
        parts.push(part(block, &format!("{field}[{at}]"))?);
        if let Some(control) = cache.and_then(|value| serde_json::from_value::<CacheControl>(value).ok()) {
            parts.push(Part::CachePoint(control.ttl()));
        }
    }
    Ok(parts)
}

fn part(mut block: Value, field: &str) -> Result<Part> {
    let missing = |name: &str| Error::bad_request(format!("`{field}.{name}`: missing"));
    let mut text = |name: &str| match block.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(missing(name)),
    };
    let kind = text("type")?;
    Ok(match kind.as_str() {
        "text" => Part::Text(text("text")?),
        "thinking" => {
            let (thought, signature) = (text("thinking")?, text("signature").ok());
            Part::Reasoning(Thought { text: thought, signature: signature.filter(|text| !text.is_empty()), redacted: None })
        }
        "redacted_thinking" => Part::Reasoning(Thought { redacted: Some(text("data")?), ..Thought::default() }),
        "tool_use" => {
            let (id, name) = (text("id")?, text("name")?);
            let input = block.get("input").map_or_else(|| "{}".to_owned(), Value::to_string);
            Part::ToolCall(ToolCall { id, name, arguments: input, signature: None })
        }
        "tool_result" => {
            let call_id = text("tool_use_id")?;
            let is_error = block.get("is_error").and_then(Value::as_bool).unwrap_or(false);
            let content = match block.get_mut("content").map(Value::take) {
                None | Some(Value::Null) => Vec::new(),
                Some(content) => {
                    let content: Content = serde_json::from_value(content)
                        .map_err(|_| Error::bad_request(format!("`{field}.content`: neither a text nor a list of blocks")))?;
                    parts(content, &format!("{field}.content"))?
                }
            };
            Part::ToolResult(ToolResult { call_id, content, is_error })
        }
        "image" | "document" => {
            let name = text("title").ok();
            let source = source(block.get("source").unwrap_or(&Value::Null), field)?;
            let media = Media { source, name, detail: None };
            if kind == "image" { Part::Image(media) } else { Part::Document(media) }
        }
        _ => {
            if let Some(map) = block.as_object_mut() {
                map.insert("type".into(), kind.into());
            }
            Part::Raw(Raw { dialect: "anthropic".into(), value: block })
        }
    })
}

/// Addresses are the provider's to fetch, never ours.
fn source(source: &Value, field: &str) -> Result<Source> {
    let text = |name: &str| source.get(name).and_then(Value::as_str).map(str::to_owned);
    let missing = |name: &str| Error::bad_request(format!("`{field}.source.{name}`: missing"));
    match source.get("type").and_then(Value::as_str) {
        Some("base64") => Ok(Source::Base64 {
            media_type: text("media_type").ok_or_else(|| missing("media_type"))?,
            data: text("data").ok_or_else(|| missing("data"))?,
        }),
        Some("url") => Ok(Source::Url { url: text("url").ok_or_else(|| missing("url"))?, media_type: None }),
        Some("text") => Ok(Source::Text(text("data").ok_or_else(|| missing("data"))?)),
        _ => Err(Error::bad_request(format!("`{field}.source.type`: write `base64`, `url` or `text`"))),
    }
}
