//! `POST /v1/chat/completions`: OpenAI's dialect, spoken to callers.
//!
//! Fields that we do not know go to the provider as they are. What the dialect has no place for travels in the extensions that other
//! servers use too: `reasoning_content`, `reasoning_details` with signatures, `extra_content` on tool calls; what is ours is in `omni`.

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

use super::{Added, Omni, Rag, Target, data, now_s, question};
use crate::app::App;
use crate::chat::{
    CacheTtl, ChatEvent, ChatRequest, Effort, FinishReason, Media, Message, Part, Reasoning, ResponseFormat, Role, Sampling,
    Source, Thought, Tool, ToolCall, ToolChoice, ToolResult, Usage,
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
struct ChatBody {
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
pub(super) struct CacheControl {
    ttl: Option<String>,
}

impl CacheControl {
    pub(super) fn ttl(&self) -> CacheTtl {
        if self.ttl.as_deref() == Some("1h") { CacheTtl::OneHour } else { CacheTtl::FiveMinutes }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct WireCall {
    id: String,
    #[serde(rename = "type", default = "function")]
    kind: String,
    function: WireFunction,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default, deserialize_with = "arguments")]
    arguments: String,
}

/// What must come back with a tool call.
#[derive(Debug, Serialize, Deserialize)]
struct ExtraContent {
    signature: Option<String>,
}

/// A thought as OpenRouter and others write it.
#[derive(Debug, Serialize, Deserialize)]
struct ReasoningDetail {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
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

fn function() -> String {
    "function".to_owned()
}

/// `null` as an empty list.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(reader)?.unwrap_or_default())
}

/// Arguments as JSON text, or as the object that some clients send.
fn arguments<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(reader)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

/// `POST /v1/chat/completions`.
pub(in crate::server) async fn completions(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let labels = access::labels(app.config(), request.headers());
    let bytes = match body(&app, &context, request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let outcome = async {
        let body: ChatBody = parse(&bytes)?;
        let is_stream = body.stream.unwrap_or(false);
        let with_usage = body.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false);
        let (question, shown) = understood(&app, body, &labels?)?;
        if is_stream {
            streamed(&app, &context, question, shown, with_usage).await
        } else {
            whole(&app, &context, question, shown).await
        }
    };
    outcome.await.unwrap_or_else(|error: Error| failed(&context, &error, None))
}

fn understood(app: &App, body: ChatBody, labels: &[String]) -> Result<(Question, Shown)> {
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

pub(super) fn between(field: &str, value: Option<f64>, least: f64, most: f64) -> Result<Option<f64>> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Error::bad_request(format!("`{field}`: {value} is not between {least} and {most}")))
        }
        value => Ok(value),
    }
}

pub(super) fn positive(field: &str, value: Option<u32>) -> Result<Option<u32>> {
    match value {
        Some(0) => Err(Error::bad_request(format!("`{field}`: 0 leaves no room for an answer"))),
        value => Ok(value),
    }
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

/// The answer.
#[derive(Debug, Serialize)]
struct Completion {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Value>,
    omni: Omni,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    message: Said,
    logprobs: Option<Value>,
    finish_reason: String,
}

#[derive(Debug, Serialize)]
struct Said {
    role: &'static str,
    content: Option<String>,
    refusal: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<ReasoningDetail>,
}

/// Tokens; reasoning and cached ones are parts of the sums.
#[derive(Debug, Clone, Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Clone, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for WireUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
            },
            completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning_tokens },
        }
    }
}

fn name_of(context: &Context) -> String {
    format!("chatcmpl-{}", context.id.trim_start_matches("req_"))
}

/// The dialect's word; one that it does not have stays the provider's, never `stop`.
fn reason(reason: &FinishReason) -> String {
    match reason {
        FinishReason::StopSequence => "stop".to_owned(),
        other => other.as_str().to_owned(),
    }
}

fn model_of(answer: &Answer) -> String {
    if answer.provider == answer.model { answer.model.clone() } else { format!("{}/{}", answer.provider, answer.model) }
}

async fn whole(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let mut answer = rag::answer(app, question, context.deadline).await?;
    context.answered(&answer);
    let omni = Omni::new(context, &mut answer, shown);
    let model = model_of(&answer);
    let (mut tool_calls, mut details) = (Vec::new(), Vec::new());
    for part in answer.parts {
        match part {
            Part::ToolCall(call) => tool_calls.push(WireCall {
                id: call.id,
                kind: function(),
                function: WireFunction { name: call.name, arguments: call.arguments },
                extra_content: call.signature.map(|signature| ExtraContent { signature: Some(signature) }),
            }),
            Part::Reasoning(thought) => details.push(detail(thought)),
            _ => {}
        }
    }
    let reasoning: String = details.iter().filter_map(|detail| detail.text.as_deref()).collect();
    let is_silent = answer.content.is_empty() && !tool_calls.is_empty();
    let completion = Completion {
        id: name_of(context),
        object: "chat.completion",
        created: now_s(),
        model,
        choices: vec![Choice {
            index: 0,
            message: Said {
                role: "assistant",
                content: (!is_silent).then_some(answer.content),
                refusal: answer.extra.shift_remove("refusal"),
                tool_calls,
                reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
                // A thought without a proof is told by its text.
                reasoning_details: if details.iter().any(|it| it.signature.is_some() || it.data.is_some()) {
                    details
                } else {
                    Vec::new()
                },
            },
            logprobs: answer.extra.shift_remove("logprobs"),
            finish_reason: reason(&answer.finish_reason),
        }],
        usage: answer.usage.map(WireUsage::from),
        service_tier: answer.extra.shift_remove("service_tier"),
        omni,
    };
    Ok(json(StatusCode::OK, &completion))
}

fn detail(thought: Thought) -> ReasoningDetail {
    let kind = if thought.redacted.is_some() { "reasoning.encrypted" } else { "reasoning.text" };
    ReasoningDetail {
        kind: kind.to_owned(),
        text: (!thought.text.is_empty()).then_some(thought.text),
        signature: thought.signature,
        data: thought.redacted,
    }
}

async fn streamed(app: &Arc<App>, context: &Context, question: Question, shown: Shown, with_usage: bool) -> Result<Response> {
    let pieces = rag::stream(app, question, context.deadline).await?;
    context.line.streaming();
    let head = Head { id: name_of(context), created: now_s(), model: String::new(), begun: false };
    let events = events(context.clone(), shown, head, with_usage, pieces);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What every chunk repeats.
struct Head {
    id: String,
    created: i64,
    model: String,
    begun: bool,
}

/// One chunk.
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [ChunkChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omni: Option<&'a Omni>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[&'a ReasoningDetail; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[DeltaCall<'a>; 1]>,
}

#[derive(Serialize)]
struct DeltaCall<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    function: DeltaFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a ExtraContent>,
}

#[derive(Serialize)]
struct DeltaFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Head {
    fn chunk(&self, delta: Delta<'_>, finish_reason: Option<&str>, omni: Option<&Omni>) -> Event {
        data(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices: [ChunkChoice { index: 0, delta, finish_reason }],
            usage: None,
            omni,
        })
    }

    fn delta(&mut self, mut delta: Delta<'_>, out: &mut VecDeque<Event>) {
        if !std::mem::replace(&mut self.begun, true) {
            delta.role = Some("assistant");
            if delta.content.is_none() && delta.tool_calls.is_none() {
                delta.content = Some("");
            }
        }
        out.push_back(self.chunk(delta, None, None));
    }

    fn event(&mut self, event: &ChatEvent, out: &mut VecDeque<Event>) {
        match event {
            ChatEvent::Start { model, .. } => model.clone_into(&mut self.model),
            ChatEvent::Text(text) => self.delta(Delta { content: Some(text), ..Delta::default() }, out),
            ChatEvent::Reasoning(text) => self.delta(Delta { reasoning_content: Some(text), ..Delta::default() }, out),
            ChatEvent::Signature(signature) => {
                let detail = detail(Thought { signature: Some(signature.clone()), ..Thought::default() });
                self.delta(Delta { reasoning_details: Some([&detail]), ..Delta::default() }, out);
            }
            ChatEvent::Redacted(redacted) => {
                let detail = detail(Thought { redacted: Some(redacted.clone()), ..Thought::default() });
                self.delta(Delta { reasoning_details: Some([&detail]), ..Delta::default() }, out);
            }
            ChatEvent::ToolCall { index, id, name, signature } => {
                let extra = signature.clone().map(|signature| ExtraContent { signature: Some(signature) });
                let call = DeltaCall {
                    index: *index,
                    id: Some(id),
                    kind: Some("function"),
                    function: DeltaFunction { name: Some(name), arguments: "" },
                    extra_content: extra.as_ref(),
                };
                self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            ChatEvent::Arguments { index, json } => {
                let function = DeltaFunction { name: None, arguments: json };
                let call = DeltaCall { index: *index, id: None, kind: None, function, extra_content: None };
                self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            _ => {}
        }
    }
}

/// Pieces to chunks. An error is an event of the stream, and no `[DONE]` follows it.
fn events(
    context: Context,
    shown: Shown,
    mut head: Head,
    with_usage: bool,
    pieces: impl Stream<Item = Result<Piece>> + Send,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    pieces
        .map(move |piece| {
            let mut out = VecDeque::new();
            match piece {
                Ok(Piece::Event(event)) => head.event(&event, &mut out),
                Ok(Piece::Done(mut answer)) => {
                    context.answered(&answer);
                    let omni = Omni::new(&context, &mut answer, shown);
                    head.model = model_of(&answer);
                    if !head.begun {
                        head.delta(Delta::default(), &mut out);
                    }
                    out.push_back(head.chunk(Delta::default(), Some(&reason(&answer.finish_reason)), Some(&omni)));
                    if with_usage {
                        let usage = answer.usage.map(WireUsage::from);
                        out.push_back(data(&json!({"id": head.id, "object": "chat.completion.chunk", "created": head.created,
                            "model": head.model, "choices": [], "usage": usage})));
                    }
                    out.push_back(Event::default().data("[DONE]"));
                }
                // These belong to `/v1/query`.
                Ok(Piece::Patch(_) | Piece::Reset(_) | Piece::Valid(_)) => {}
                Err(failure) => {
                    context.line.error(&failure);
                    out.push_back(data(&error(&failure)));
                }
            }
            out
        })
        .flat_map(futures_util::stream::iter)
        .map(Ok)
}

/// An error as the dialect's clients read it.
pub(super) fn error(error: &Error) -> Value {
    let kind = match error.code() {
        Code::InvalidRequest | Code::NotSupported | Code::ContextLength | Code::BodyTooLarge | Code::NotFound => {
            "invalid_request_error"
        }
        Code::InvalidModel => "invalid_request_error",
        Code::RateLimit => "rate_limit_error",
        Code::Authentication => "authentication_error",
        _ => "api_error",
    };
    let code = match error.code() {
        Code::InvalidModel => "model_not_found",
        Code::ContextLength => "context_length_exceeded",
        Code::RateLimit => "rate_limit_exceeded",
        code => code.as_str(),
    };
    // A message that begins with a field's name says which.
    let param = error.message().strip_prefix('`').and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
    let mut body = json!({"error": {"message": error.message(), "type": kind, "param": param, "code": code}});
    if let (Some(details), Some(error)) = (error.details(), body["error"].as_object_mut()) {
        error.insert("details".into(), details.clone());
    }
    body
}
