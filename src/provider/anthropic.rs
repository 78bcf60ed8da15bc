//! Anthropic's messages dialect (`POST {base}/messages`), at Anthropic, on Vertex AI and on Bedrock.
//!
//! The system prompt stands outside the messages, roles take turns, and all results of parallel tool calls belong into one user turn.
//! Input tokens are told without those of the cache. In a stream, usage comes as snapshots that replace one another field by field,
//! and a tool call without arguments sends none at all.

use serde_json::{Map, Value, json};

use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::dialect::{State, cut, parse, tokens};
use super::failure::{Refused, failure};
use super::turn::{arguments, turns};
use crate::chat::{
    ChatEvent, ChatRequest, Effort, FinishReason, Media, Part, Raw, ResponseFormat, Role, Source, ToolChoice, ToolResult, Usage,
    Warning,
};
use crate::error::Result;

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["model", "messages", "system", "stream"];

/// Writes the body of one chat turn.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, stream: bool, warnings: &mut Vec<Warning>) -> Result<Body> {
    let mut body = Body::default();
    body.set("model", request.model.as_str());
    body.set_some("max_tokens", request.sampling.max_tokens);
    let system = request.messages.iter().filter(|message| message.role == Role::System).flat_map(|message| &message.parts);
    let system = blocks(system, warnings)?;
    match system.as_slice() {
        [] => {}
        [only] if only.get("cache_control").is_none() => body.set("system", only["text"].clone()),
        _ => body.set("system", system),
    }
    let mut messages = Vec::new();
    for turn in turns(request) {
        let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
        let content = blocks(turn.parts, warnings)?;
        if !content.is_empty() {
            messages.push(json!({"role": role, "content": content}));
        }
    }
    body.set("messages", messages);
    let sampling = &request.sampling;
    body.set_some("temperature", sampling.temperature);
    body.set_some("top_p", sampling.top_p);
    body.set_some("top_k", sampling.top_k);
    body.set_list("stop_sequences", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    body.set_list("tools", request.tools.iter().map(tool).collect());
    body.set_some("tool_choice", tool_choice(request));
    let mut output = Body::default();
    thinking(request, caps.reasoning, &mut body, &mut output);
    if let ResponseFormat::JsonSchema { schema, .. } = &request.response_format {
        output.set("format", json!({"type": "json_schema", "schema": schema}));
    }
    body.set_object("output_config", output);
    body.set_some("metadata", request.user.as_ref().map(|user| json!({"user_id": user})));
    body.set_some("service_tier", request.service_tier.as_deref());
    if stream {
        body.set("stream", true);
    }
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

/// Says how to think, in the model's way. Shared with Claude on Bedrock's Converse.
pub(super) fn thinking(request: &ChatRequest, mode: ReasoningMode, body: &mut Body, output: &mut Body) {
    let Some(reasoning) = request.reasoning else { return };
    let mut thinking = Body::default();
    let off = reasoning.effort == Some(Effort::None);
    match mode {
        ReasoningMode::BetweenTools if off => thinking.set("type", "between_tools"),
        _ if off => thinking.set("type", "disabled"),
        ReasoningMode::Budget => {
            let Some(budget) = reasoning.budget_tokens else { return };
            thinking.set("type", "enabled");
            thinking.set("budget_tokens", budget);
        }
        ReasoningMode::Adaptive | ReasoningMode::Always | ReasoningMode::BetweenTools => {
            thinking.set("type", "adaptive");
            output.set_some("effort", reasoning.effort.map(Effort::as_str));
        }
        ReasoningMode::None | ReasoningMode::Effort | ReasoningMode::Level => return,
    }
    if !off {
        thinking.set_some("display", reasoning.show.map(|show| if show { "summarized" } else { "omitted" }));
    }
    body.set("thinking", thinking.0);
}

fn tool(tool: &crate::chat::Tool) -> Value {
    let mut out = Body::default();
    out.set("name", tool.name.as_str());
    out.set_some("description", tool.description.as_deref());
    out.set("input_schema", tool.parameters.clone());
    out.set_some("strict", tool.strict);
    out.set_some("cache_control", tool.cache.map(cache_control));
    Value::Object(out.0)
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    let alone = request.parallel_tool_calls == Some(false);
    let mut choice = match &request.tool_choice {
        None if alone => json!({"type": "auto"}),
        None => return None,
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Tool(name)) => json!({"type": "tool", "name": name}),
    };
    if alone {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

fn cache_control(ttl: crate::chat::CacheTtl) -> Value {
    match ttl {
        crate::chat::CacheTtl::FiveMinutes => json!({"type": "ephemeral"}),
        crate::chat::CacheTtl::OneHour => json!({"type": "ephemeral", "ttl": "1h"}),
    }
}

fn blocks<'a>(parts: impl IntoIterator<Item = &'a Part>, warnings: &mut Vec<Warning>) -> Result<Vec<Value>> {
    let mut blocks: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Part::CachePoint(ttl) => {
                let markable = |block: &&mut Value| !matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"));
                if let Some(block) = blocks.last_mut().filter(markable) {
                    block["cache_control"] = cache_control(*ttl);
                }
            }
            other => blocks.extend(block(other, warnings)?),
        }
    }
    Ok(blocks)
}

fn block(part: &Part, warnings: &mut Vec<Warning>) -> Result<Option<Value>> {
    Ok(Some(match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(media) => json!({"type": "image", "source": source(media)}),
        Part::Document(media) => {
            let mut document = json!({"type": "document", "source": source(media)});
            if let Some(name) = &media.name {
                document["title"] = name.as_str().into();
            }
            document
        }
        Part::Reasoning(thought) => match (&thought.redacted, &thought.signature) {
            (Some(data), _) => json!({"type": "redacted_thinking", "data": data}),
            (None, Some(signature)) => json!({"type": "thinking", "thinking": thought.text, "signature": signature}),
            (None, None) => {
                warnings.push(Warning::dropped("reasoning", "a thought without a signature is refused"));
                return Ok(None);
            }
        },
        Part::ToolCall(call) => {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments(&call.arguments, warnings)})
        }
        Part::ToolResult(result) => tool_result(result, warnings)?,
        Part::Raw(raw) if raw.dialect == "anthropic" => raw.value.clone(),
        Part::Raw(raw) => {
            warnings.push(Warning::dropped("raw", format!("a block of `{}`", raw.dialect)));
            return Ok(None);
        }
        Part::CachePoint(_) => return Ok(None),
    }))
}

fn tool_result(result: &ToolResult, warnings: &mut Vec<Warning>) -> Result<Value> {
    let mut out = json!({"type": "tool_result", "tool_use_id": result.call_id});
    match result.content.as_slice() {
        [] => {}
        [Part::Text(text)] => out["content"] = text.as_str().into(),
        parts => out["content"] = blocks(parts, warnings)?.into(),
    }
    if result.is_error {
        out["is_error"] = true.into();
    }
    Ok(out)
}

fn source(media: &Media) -> Value {
    match &media.source {
        Source::Url { url, .. } => json!({"type": "url", "url": url}),
        Source::Base64 { media_type, data } => json!({"type": "base64", "media_type": media_type, "data": data}),
        Source::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
    }
}

/// Reads a buffered answer of status 2xx.
pub(super) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    if reply["type"] == "error" || reply["error"].is_object() {
        return Err(failure(&Refused { provider: "anthropic", status: 200, ..Refused::default() }, reply));
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.message(reply, &mut events);
    for block in reply["content"].as_array().into_iter().flatten() {
        decoder.open(block, &mut events);
        decoder.close(&mut events);
    }
    decoder.ending(reply, &reply["usage"], &mut events);
    decoder.done = true;
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// Every field of every usage so far; later ones replace earlier ones.
    usage: Map<String, Value>,
    open: Open,
    calls: usize,
    finish: Option<FinishReason>,
    done: bool,
}

/// The content block that is being told.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    Thought {
        signature: String,
    },
    Call {
        index: usize,
        input: Value,
        told: bool,
    },
    Raw {
        block: Map<String, Value>,
        json: String,
    },
}

impl Decoder {
    /// Reads one frame.
    pub(super) fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        if data.trim().is_empty() {
            return Ok(Vec::new());
        }
        let frame = parse(data.as_bytes())?;
        let mut events = Vec::new();
        match frame["type"].as_str().unwrap_or(name) {
            "message_start" => {
                let message = &frame["message"];
                self.message(message, &mut events);
                self.snapshot(&message["usage"], &mut events);
            }
            "content_block_start" => {
                self.close(&mut events);
                self.open(&frame["content_block"], &mut events);
            }
            "content_block_delta" => self.delta(&frame["delta"], &mut events),
            "content_block_stop" => self.close(&mut events),
            "message_delta" => {
                self.close(&mut events);
                self.ending(&frame["delta"], &frame["usage"], &mut events);
            }
            "message_stop" => self.done = true,
            "error" => {
                return Err(failure(&Refused { provider: "anthropic", status: 200, ..Refused::default() }, &frame));
            }
            _ => {}
        }
        Ok(events)
    }

    /// Whether the last frame was seen.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Says how the stream ended when no more bytes come.
    pub(super) fn end(&mut self) -> Result<Vec<ChatEvent>> {
        match self.finish.take() {
            _ if !self.done => Err(cut()),
            reason => Ok(vec![ChatEvent::Finish(reason.unwrap_or_default())]),
        }
    }

    fn message(&mut self, message: &Value, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        self.state.start(text("id"), text("model"), events);
        self.state.extra("container", &message["container"], events);
    }

    fn ending(&mut self, delta: &Value, usage: &Value, events: &mut Vec<ChatEvent>) {
        self.finish = delta["stop_reason"].as_str().map(finish).or(self.finish.take());
        for name in ["stop_sequence", "stop_details", "container"] {
            self.state.extra(name, &delta[name], events);
        }
        self.snapshot(usage, events);
    }

    fn snapshot(&mut self, usage: &Value, events: &mut Vec<ChatEvent>) {
        let Some(fields) = usage.as_object() else { return };
        self.usage.extend(fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())));
        events.push(ChatEvent::Usage(neutral(&self.usage)));
        self.state.extra("service_tier", &usage["service_tier"], events);
        let server = &usage["server_tool_use"];
        if server.is_object() {
            events.push(ChatEvent::Extra("server_tool_use".to_owned(), server.clone()));
        }
    }

    fn open(&mut self, block: &Value, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| block[name].as_str().unwrap_or_default();
        self.open = match text("type") {
            "text" => {
                told(text("text"), events, ChatEvent::Text);
                cited(&block["citations"], events);
                Open::Text
            }
            "thinking" => {
                told(text("thinking"), events, ChatEvent::Reasoning);
                Open::Thought { signature: text("signature").to_owned() }
            }
            "redacted_thinking" => {
                events.push(ChatEvent::Redacted(text("data").to_owned()));
                Open::Nothing
            }
            "tool_use" => {
                let index = self.calls;
                self.calls += 1;
                let (id, name) = (text("id").to_owned(), text("name").to_owned());
                events.push(ChatEvent::ToolCall { index, id, name, signature: None });
                Open::Call { index, input: block["input"].clone(), told: false }
            }
            _ => Open::Raw { block: block.as_object().cloned().unwrap_or_default(), json: String::new() },
        };
    }

    fn delta(&mut self, delta: &Value, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| delta[name].as_str().unwrap_or_default();
        match (text("type"), &mut self.open) {
            ("text_delta", _) => told(text("text"), events, ChatEvent::Text),
            ("thinking_delta", _) => told(text("thinking"), events, ChatEvent::Reasoning),
            ("signature_delta", Open::Thought { signature }) => signature.push_str(text("signature")),
            ("citations_delta", _) => cited(&Value::from(vec![delta["citation"].clone()]), events),
            ("input_json_delta", Open::Call { index, told, .. }) => {
                let json = text("partial_json").to_owned();
                if !json.is_empty() {
                    *told = true;
                    events.push(ChatEvent::Arguments { index: *index, json });
                }
            }
            ("input_json_delta", Open::Raw { json, .. }) => json.push_str(text("partial_json")),
            (_, Open::Raw { block, .. }) => {
                for (name, value) in delta.as_object().into_iter().flatten().filter(|(name, _)| *name != "type") {
                    match (block.get(name).and_then(Value::as_str), value.as_str()) {
                        (Some(before), Some(more)) => block.insert(name.clone(), format!("{before}{more}").into()),
                        _ => block.insert(name.clone(), value.clone()),
                    };
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        match std::mem::take(&mut self.open) {
            Open::Nothing | Open::Text => {}
            Open::Thought { signature } => told(&signature, events, ChatEvent::Signature),
            Open::Call { index, input, told } => {
                if !told {
                    let json = if input.is_object() { input.to_string() } else { "{}".to_owned() };
                    events.push(ChatEvent::Arguments { index, json });
                }
            }
            Open::Raw { mut block, json } => {
                if let Ok(input) = serde_json::from_str::<Value>(&json) {
                    block.insert("input".to_owned(), input);
                }
                events.push(ChatEvent::Raw(Raw { dialect: "anthropic".to_owned(), value: Value::Object(block) }));
            }
        }
    }
}

fn told(text: &str, events: &mut Vec<ChatEvent>, event: fn(String) -> ChatEvent) {
    if !text.is_empty() {
        events.push(event(text.to_owned()));
    }
}

fn cited(citations: &Value, events: &mut Vec<ChatEvent>) {
    if citations.as_array().is_some_and(|citations| !citations.is_empty()) {
        events.push(ChatEvent::Extra("citations".to_owned(), citations.clone()));
    }
}

/// Claude's reasons, which Bedrock shares.
pub(super) fn finish(reason: &str) -> FinishReason {
    match reason {
        "end_turn" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        "pause_turn" => FinishReason::Pause,
        other => FinishReason::Other(other.to_owned()),
    }
}

fn neutral(usage: &Map<String, Value>) -> Usage {
    let count = |name: &str| usage.get(name).map_or(0, tokens);
    let (read, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    let inner = |name: &str, field: &str| usage.get(name).map_or(0, |inner| tokens(&inner[field]));
    Usage {
        prompt_tokens: count("input_tokens").saturating_add(read).saturating_add(written),
        completion_tokens: count("output_tokens"),
        cache_read_tokens: read,
        cache_write_tokens: written,
        cache_write_1h_tokens: inner("cache_creation", "ephemeral_1h_input_tokens"),
        reasoning_tokens: inner("output_tokens_details", "thinking_tokens"),
    }
}
