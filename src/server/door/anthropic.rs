//! `POST /v1/messages`: Anthropic's dialect, spoken to callers.
//!
//! Blocks that only this dialect knows (server tools, for example) are carried raw. `message_delta` carries the whole usage, input
//! included: at `message_start` nothing is known yet.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::openai::{CacheControl, between, positive};
use super::{Added, Omni, Rag, Target, header, question};
use crate::app::App;
use crate::chat::{
    ChatEvent, ChatRequest, Effort, FinishReason, Media, Message, Part, Raw, Reasoning, Role, Sampling, Source, Thought, Tool,
    ToolCall, ToolChoice, ToolResult, Usage,
};
use crate::error::{Code, Error, Result};
use crate::rag::{self, Answer, Piece, Question};
use crate::schema::Shape;
use crate::server::access;
use crate::server::body::parse;
use crate::server::query::KEEP_ALIVE;
use crate::server::request::Shown;
use crate::server::response::json;
use crate::server::{Context, body, failed};

/// The body.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct MessagesBody {
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

/// `POST /v1/messages`.
pub(in crate::server) async fn messages(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let betas = header(request.headers(), "anthropic-beta").map(str::to_owned);
    let labels = access::labels(app.config(), request.headers());
    let bytes = match body(&app, &context, request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let outcome = async {
        let body: MessagesBody = parse(&bytes)?;
        let is_stream = body.stream.unwrap_or(false);
        let (mut question, shown) = understood(&app, body, &labels?)?;
        question.request.headers.extend(betas.map(|betas| ("anthropic-beta".to_owned(), betas)));
        if is_stream { streamed(&app, &context, question, shown).await } else { whole(&app, &context, question, shown).await }
    };
    outcome.await.unwrap_or_else(|error: Error| failed(&context, &error, None))
}

fn understood(app: &App, body: MessagesBody, labels: &[String]) -> Result<(Question, Shown)> {
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

/// The answer.
#[derive(Debug, Serialize)]
struct Reply {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: String,
    content: Vec<Value>,
    stop_reason: String,
    stop_sequence: Option<Value>,
    usage: WireUsage,
    omni: Omni,
}

/// Tokens; cached ones are not part of `input_tokens`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct WireUsage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
}

impl From<Usage> for WireUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.uncached_tokens(),
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cache_read_tokens,
            output_tokens: usage.completion_tokens,
        }
    }
}

fn name_of(context: &Context) -> String {
    format!("msg_{}", context.id.trim_start_matches("req_"))
}

fn reason(reason: &FinishReason) -> String {
    match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Pause => "pause_turn",
        FinishReason::Other(other) => other,
    }
    .to_owned()
}

fn model_of(answer: &Answer) -> String {
    if answer.provider == answer.model { answer.model.clone() } else { format!("{}/{}", answer.provider, answer.model) }
}

/// A thought as a block.
fn thought(thought: &Thought) -> Value {
    match &thought.redacted {
        Some(data) => json!({"type": "redacted_thinking", "data": data}),
        None => {
            json!({"type": "thinking", "thinking": thought.text, "signature": thought.signature.as_deref().unwrap_or_default()})
        }
    }
}

async fn whole(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let mut answer = rag::answer(app, question, context.deadline).await?;
    context.answered(&answer);
    let omni = Omni::new(context, &mut answer, shown);
    let model = model_of(&answer);
    // The text is taken from `content`, which was checked; it stands where the first text stood.
    let (mut content, mut told) = (Vec::new(), answer.content.is_empty());
    for part in &answer.parts {
        match part {
            Part::Text(_) if !std::mem::replace(&mut told, true) => content.push(json!({"type": "text", "text": answer.content})),
            Part::Reasoning(it) => content.push(thought(it)),
            Part::ToolCall(call) => {
                let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({"_raw": call.arguments}));
                content.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
            }
            Part::Raw(raw) if raw.dialect == "anthropic" => content.push(raw.value.clone()),
            _ => {}
        }
    }
    if !told {
        content.push(json!({"type": "text", "text": answer.content}));
    }
    let reply = Reply {
        id: name_of(context),
        kind: "message",
        role: "assistant",
        model,
        content,
        stop_reason: reason(&answer.finish_reason),
        stop_sequence: answer.extra.shift_remove("stop_sequence"),
        usage: answer.usage.map(WireUsage::from).unwrap_or_default(),
        omni,
    };
    Ok(json(StatusCode::OK, &reply))
}

async fn streamed(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let pieces = rag::stream(app, question, context.deadline).await?;
    context.line.streaming();
    let writer = Writer::new(name_of(context));
    let events = events(context.clone(), shown, writer, pieces);
    let ping = event("ping", &json!({"type": "ping"}));
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).event(ping)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// What kind of block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    Tool(usize),
}

/// Writes blocks one after the other: the dialect has no two open at once. Providers may tell tool calls in turns, so what comes while a
/// call's arguments are not whole JSON yet is held until they are, or until the end.
struct Writer {
    id: String,
    model: String,
    begun: bool,
    open: Option<Block>,
    next: usize,
    /// What was told of the open call's arguments.
    arguments: String,
    held: VecDeque<ChatEvent>,
}

impl Writer {
    fn new(id: String) -> Self {
        let (arguments, held) = (String::new(), VecDeque::new());
        Self { id, model: String::new(), begun: false, open: None, next: 0, arguments, held }
    }

    /// Takes the next event.
    fn take(&mut self, event: ChatEvent, out: &mut VecDeque<Event>) {
        if matches!(&event, ChatEvent::Arguments { index, .. } if self.open == Some(Block::Tool(*index))) {
            return self.event(event, out);
        }
        self.held.push_back(event);
        self.release(false, out);
    }

    /// Writes what was held: each call with all of its arguments. Before the end, as long as calls are whole.
    fn release(&mut self, is_end: bool, out: &mut VecDeque<Event>) {
        while is_end || !matches!(self.open, Some(Block::Tool(_))) || is_whole(&self.arguments) {
            let Some(event) = self.held.pop_front() else { return };
            let ChatEvent::ToolCall { index: called, .. } = event else {
                self.event(event, out);
                continue;
            };
            self.event(event, out);
            let is_its_own = |event: &ChatEvent| matches!(event, ChatEvent::Arguments { index, .. } if *index == called);
            let (own, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.held).into_iter().partition(is_its_own);
            self.held = others;
            own.into_iter().for_each(|event| self.event(event, out));
        }
    }

    /// Writes the rest.
    fn end(&mut self, out: &mut VecDeque<Event>) {
        self.release(true, out);
        self.begin(out);
        self.close(out);
    }

    fn begin(&mut self, out: &mut VecDeque<Event>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = json!({"id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": WireUsage::default()});
        out.push_back(event("message_start", &json!({"type": "message_start", "message": message})));
    }

    fn open(&mut self, block: Block, start: Value, out: &mut VecDeque<Event>) {
        if self.open == Some(block) {
            return;
        }
        self.close(out);
        self.begin(out);
        out.push_back(event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": self.next, "content_block": start}),
        ));
        self.open = Some(block);
    }

    fn close(&mut self, out: &mut VecDeque<Event>) {
        if self.open.take().is_some() {
            out.push_back(event("content_block_stop", &json!({"type": "content_block_stop", "index": self.next})));
            self.next += 1;
        }
    }

    fn delta(&self, delta: Value, out: &mut VecDeque<Event>) {
        out.push_back(event("content_block_delta", &json!({"type": "content_block_delta", "index": self.next, "delta": delta})));
    }

    fn whole(&mut self, block: Value, out: &mut VecDeque<Event>) {
        self.close(out);
        self.begin(out);
        out.push_back(event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": self.next, "content_block": block}),
        ));
        out.push_back(event("content_block_stop", &json!({"type": "content_block_stop", "index": self.next})));
        self.next += 1;
    }

    fn event(&mut self, event: ChatEvent, out: &mut VecDeque<Event>) {
        match event {
            ChatEvent::Start { model, .. } => {
                self.model = model;
                self.begin(out);
            }
            ChatEvent::Text(text) => {
                self.open(Block::Text, json!({"type": "text", "text": ""}), out);
                self.delta(json!({"type": "text_delta", "text": text}), out);
            }
            ChatEvent::Reasoning(text) => {
                self.open(Block::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                self.delta(json!({"type": "thinking_delta", "thinking": text}), out);
            }
            ChatEvent::Signature(signature) => {
                self.open(Block::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                self.delta(json!({"type": "signature_delta", "signature": signature}), out);
                self.close(out);
            }
            ChatEvent::Redacted(data) => self.whole(json!({"type": "redacted_thinking", "data": data}), out),
            ChatEvent::ToolCall { index, id, name, .. } => {
                self.open(Block::Tool(index), json!({"type": "tool_use", "id": id, "name": name, "input": {}}), out);
                self.arguments.clear();
            }
            // Behind whole arguments there is nothing but white space.
            ChatEvent::Arguments { index, json } if self.open == Some(Block::Tool(index)) => {
                self.delta(json!({"type": "input_json_delta", "partial_json": json}), out);
                self.arguments.push_str(&json);
            }
            ChatEvent::Raw(raw) if raw.dialect == "anthropic" => self.whole(raw.value, out),
            _ => {}
        }
    }
}

/// Whether a call's arguments are whole.
fn is_whole(arguments: &str) -> bool {
    arguments.trim_end().ends_with('}') && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}

fn events(
    context: Context,
    shown: Shown,
    mut writer: Writer,
    pieces: impl Stream<Item = Result<Piece>> + Send,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    pieces
        .map(move |piece| {
            let mut out = VecDeque::new();
            match piece {
                Ok(Piece::Event(event)) => writer.take(event, &mut out),
                Ok(Piece::Done(mut answer)) => {
                    context.answered(&answer);
                    let omni = Omni::new(&context, &mut answer, shown);
                    writer.end(&mut out);
                    let usage = answer.usage.map(WireUsage::from).unwrap_or_default();
                    let delta =
                        json!({"stop_reason": reason(&answer.finish_reason), "stop_sequence": answer.extra.get("stop_sequence")});
                    out.push_back(event(
                        "message_delta",
                        &json!({"type": "message_delta", "delta": delta, "usage": usage, "omni": omni}),
                    ));
                    out.push_back(event("message_stop", &json!({"type": "message_stop"})));
                }
                Ok(Piece::Patch(_) | Piece::Reset(_) | Piece::Valid(_)) => {}
                Err(failure) => {
                    context.line.error(&failure);
                    out.push_back(event("error", &error(&failure, &context.id)));
                }
            }
            out
        })
        .flat_map(futures_util::stream::iter)
        .map(Ok)
}

/// An error as the dialect's clients read it.
pub(super) fn error(error: &Error, request_id: &str) -> Value {
    let kind = match error.code() {
        Code::InvalidRequest | Code::NotSupported | Code::ContextLength | Code::ContentFilter => "invalid_request_error",
        Code::BodyTooLarge => "request_too_large",
        Code::InvalidModel | Code::NotFound => "not_found_error",
        Code::RateLimit => "rate_limit_error",
        Code::Overloaded => "overloaded_error",
        Code::Authentication => "authentication_error",
        Code::Budget => "billing_error",
        Code::Timeout => "timeout_error",
        _ => "api_error",
    };
    let mut body = json!({"type": "error", "error": {"type": kind, "message": error.message()}, "request_id": request_id});
    if let (Some(details), Some(error)) = (error.details(), body["error"].as_object_mut()) {
        error.insert("details".into(), details.clone());
    }
    body
}
