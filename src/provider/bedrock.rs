//! Bedrock's Converse dialect (`POST {base}/model/{id}/converse` and `/converse-stream`).
//!
//! Its stream is binary, and the usage comes behind the stop reason. There is no `tool_choice` `none`, a conversation with tool calls
//! must define tools even where none is offered any more, and pictures come as bytes only. What the base model knows and Converse
//! does not goes into `additionalModelRequestFields`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::anthropic;
use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::dialect::{State, cut, failed, parse, tokens};
use super::turn::{arguments, turns};
use crate::chat::{
    ChatEvent, ChatRequest, Effort, FinishReason, Media, Part, Raw, ResponseFormat, Role, Source, ToolChoice, Usage, Warning,
};
use crate::error::{Code, Error, Result};

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["modelId", "messages", "system"];

/// Writes the body of one chat turn. Streaming is a matter of the path.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, warnings: &mut Vec<Warning>) -> Result<Body> {
    let mut body = Body::default();
    let mut documents = 0;
    let mut messages = Vec::new();
    for turn in turns(request) {
        let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
        let content = blocks(turn.parts, &mut documents, warnings)?;
        if !content.is_empty() {
            messages.push(json!({"role": role, "content": content}));
        }
    }
    body.set("messages", messages);
    let system = request.messages.iter().filter(|message| message.role == Role::System).flat_map(|message| &message.parts);
    body.set_list("system", blocks(system, &mut documents, warnings)?);
    let sampling = &request.sampling;
    let mut inference = Body::default();
    inference.set_some("maxTokens", sampling.max_tokens);
    inference.set_some("temperature", sampling.temperature);
    inference.set_some("topP", sampling.top_p);
    inference.set_list("stopSequences", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    body.set_object("inferenceConfig", inference);
    body.set_some("toolConfig", tools(request));
    let (mut additional, mut output) = (Body::default(), Body::default());
    additional.set_some("top_k", sampling.top_k);
    match caps.reasoning {
        ReasoningMode::Effort => {
            let effort = request.reasoning.and_then(|reasoning| reasoning.effort);
            additional.set_some("reasoning_effort", effort.map(Effort::as_str));
        }
        mode => anthropic::thinking(request, mode, &mut additional, &mut output),
    }
    body.set_object("additionalModelRequestFields", additional);
    if let ResponseFormat::JsonSchema { name, description, schema, .. } = &request.response_format {
        let mut inner = Body::default();
        // A string, not an object.
        inner.set("schema", schema.to_string());
        inner.set("name", name.as_str());
        inner.set_some("description", description.as_deref());
        output.set("textFormat", json!({"type": "json_schema", "structure": {"jsonSchema": inner.0}}));
    }
    body.set_object("outputConfig", output);
    body.set_some("serviceTier", request.service_tier.as_ref().map(|tier| json!({"type": tier})));
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

fn tools(request: &ChatRequest) -> Option<Value> {
    let mut tools = Vec::new();
    for tool in &request.tools {
        let mut spec = Body::default();
        spec.set("name", tool.name.as_str());
        spec.set_some("description", tool.description.as_deref().filter(|text| !text.is_empty()));
        spec.set("inputSchema", json!({"json": tool.parameters}));
        spec.set_some("strict", tool.strict);
        tools.push(json!({"toolSpec": spec.0}));
        tools.extend(tool.cache.map(cache_point));
    }
    if tools.is_empty() {
        // Tool blocks in the conversation are refused without a definition.
        let calls = request.messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
            Part::ToolCall(call) => Some(call.name.as_str()),
            _ => None,
        });
        let names: std::collections::BTreeSet<&str> = calls.collect();
        tools.extend(
            names.into_iter().map(|name| json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}})),
        );
    }
    if tools.is_empty() {
        return None;
    }
    let mut config = json!({"tools": tools});
    match &request.tool_choice {
        None | Some(ToolChoice::None) => {}
        Some(ToolChoice::Auto) => config["toolChoice"] = json!({"auto": {}}),
        Some(ToolChoice::Required) => config["toolChoice"] = json!({"any": {}}),
        Some(ToolChoice::Tool(name)) => config["toolChoice"] = json!({"tool": {"name": name}}),
    }
    Some(config)
}

fn cache_point(ttl: crate::chat::CacheTtl) -> Value {
    match ttl {
        crate::chat::CacheTtl::FiveMinutes => json!({"cachePoint": {"type": "default"}}),
        crate::chat::CacheTtl::OneHour => json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
    }
}

fn blocks<'a>(
    parts: impl IntoIterator<Item = &'a Part>,
    documents: &mut usize,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Value>> {
    let mut blocks = Vec::new();
    for part in parts {
        blocks.extend(block(part, documents, warnings)?);
    }
    Ok(blocks)
}

fn block(part: &Part, documents: &mut usize, warnings: &mut Vec<Warning>) -> Result<Option<Value>> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({"text": text}),
        Part::Image(media) => image(media)?,
        Part::Document(media) => {
            *documents += 1;
            document(media, *documents)?
        }
        Part::Reasoning(thought) => match (&thought.redacted, &thought.signature) {
            (Some(data), _) => json!({"reasoningContent": {"redactedContent": data}}),
            (None, Some(signature)) => {
                json!({"reasoningContent": {"reasoningText": {"text": thought.text, "signature": signature}}})
            }
            (None, None) => {
                warnings.push(Warning::dropped("reasoning", "a thought without a signature is refused"));
                return Ok(None);
            }
        },
        Part::ToolCall(call) => {
            json!({"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments(&call.arguments, warnings)}})
        }
        Part::ToolResult(result) => {
            let mut content = blocks(&result.content, documents, warnings)?;
            if content.is_empty() {
                content.push(json!({"text": "(no output)"}));
            }
            let mut value = json!({"toolUseId": result.call_id, "content": content});
            if result.is_error {
                value["status"] = "error".into();
            }
            json!({"toolResult": value})
        }
        Part::CachePoint(ttl) => cache_point(*ttl),
        Part::Citation(_) => return Ok(None),
        Part::Raw(raw) if raw.dialect == "bedrock" => raw.value.clone(),
        Part::Raw(raw) => {
            warnings.push(Warning::dropped("raw", format!("a block of `{}`", raw.dialect)));
            return Ok(None);
        }
    }))
}

fn image(media: &Media) -> Result<Value> {
    let Source::Base64 { media_type, data } = &media.source else {
        return Err(Error::bad_request("`messages`: Bedrock takes pictures as bytes only; send base64"));
    };
    let format = media_type.strip_prefix("image/").unwrap_or(media_type);
    let format = if format == "jpg" { "jpeg" } else { format };
    Ok(json!({"image": {"format": format, "source": {"bytes": data}}}))
}

fn document(media: &Media, number: usize) -> Result<Value> {
    let (format, bytes) = match &media.source {
        Source::Base64 { media_type, data } => (extension(media_type)?, data.clone()),
        Source::Text(text) => ("txt", STANDARD.encode(text)),
        Source::Url { .. } => return Err(Error::bad_request("`messages`: Bedrock takes documents as bytes only; send base64")),
    };
    let name = document_name(media.name.as_deref(), number);
    let mut document = json!({"format": format, "name": name, "source": {"bytes": bytes}});
    if let Some(context) = &media.context {
        document["context"] = context.as_str().into();
    }
    if media.cited {
        document["citations"] = json!({"enabled": true});
    }
    Ok(json!({"document": document}))
}

fn extension(media_type: &str) -> Result<&'static str> {
    Ok(match media_type.split(';').next().unwrap_or_default().trim() {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" => "md",
        other => return Err(Error::bad_request(format!("`messages`: Bedrock takes no document of type `{other}`"))),
    })
}

/// Letters, digits, single blanks, hyphens and brackets, at most 200; the number keeps names apart.
fn document_name(name: Option<&str>, number: usize) -> String {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-()[]".contains(letter);
    let words: String = name.unwrap_or("document").chars().map(|letter| if good(letter) { letter } else { ' ' }).collect();
    let words: Vec<&str> = words.split_whitespace().collect();
    let name: String = words.join(" ").chars().take(180).collect();
    if number == 1 && !name.is_empty() { name } else { format!("{name} {number}").trim().to_owned() }
}

/// Reads a buffered answer of status 2xx.
pub(super) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    let message = &reply["output"]["message"];
    if !message.is_object() {
        return Err(failed("the provider's answer has no `output.message`"));
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for (number, block) in (0..).zip(message["content"].as_array().into_iter().flatten()) {
        decoder.block(number, block, &mut events);
    }
    for name in ["additionalModelResponseFields", "trace", "serviceTier", "performanceConfig"] {
        decoder.state.extra(name, &reply[name], &mut events);
    }
    decoder.stop(reply)?;
    events.extend(usage(&reply["usage"]).map(ChatEvent::Usage));
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the messages of a stream into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// Numbers of the blocks that are tool calls.
    calls: Vec<u64>,
    /// Those of them of whose arguments nothing was told.
    silent: Vec<u64>,
    signature: String,
    /// The number of the block whose text was told last, if it was not cited.
    text: Option<u64>,
    citations: Vec<Value>,
    told_usage: bool,
    finish: Option<FinishReason>,
}

impl Decoder {
    /// Reads one message, or the line that a test wrote for it.
    pub(super) fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        let payload = parse(data.as_bytes())?;
        let mut events = Vec::new();
        match name {
            "contentBlockStart" => {
                self.close(&mut events);
                let start = &payload["start"];
                if start["toolUse"].is_object() {
                    self.call(&start["toolUse"], payload["contentBlockIndex"].as_u64(), &mut events);
                }
            }
            "contentBlockDelta" => self.delta(&payload, &mut events),
            "contentBlockStop" => {
                self.close(&mut events);
                let number = payload["contentBlockIndex"].as_u64();
                let silent = self.silent.iter().position(|silent| Some(*silent) == number).map(|at| self.silent.remove(at));
                if let Some(index) = silent.and_then(|number| self.calls.iter().rposition(|call| *call == number)) {
                    events.push(ChatEvent::Arguments { index, json: "{}".to_owned() });
                }
            }
            "messageStop" => {
                self.close(&mut events);
                self.state.extra("additionalModelResponseFields", &payload["additionalModelResponseFields"], &mut events);
                self.stop(&payload)?;
            }
            "metadata" => {
                self.told_usage = true;
                for name in ["trace", "serviceTier", "performanceConfig"] {
                    self.state.extra(name, &payload[name], &mut events);
                }
                events.extend(usage(&payload["usage"]).map(ChatEvent::Usage));
            }
            _ => {}
        }
        Ok(events)
    }

    /// Whether the last frame was seen.
    pub(super) fn is_done(&self) -> bool {
        self.told_usage && self.finish.is_some()
    }

    /// Says how the stream ended when no more bytes come.
    pub(super) fn end(&mut self) -> Result<Vec<ChatEvent>> {
        self.finish.take().map(|reason| vec![ChatEvent::Finish(reason)]).ok_or_else(cut)
    }

    fn delta(&mut self, payload: &Value, events: &mut Vec<ChatEvent>) {
        let delta = &payload["delta"];
        if let Some(text) = delta["text"].as_str().filter(|text| !text.is_empty()) {
            let number = payload["contentBlockIndex"].as_u64();
            events.extend(self.text.filter(|text| Some(*text) != number).map(|_| ChatEvent::Break));
            self.text = number;
            events.push(ChatEvent::Text(text.to_owned()));
        }
        if let Some(json) = delta["toolUse"]["input"].as_str().filter(|json| !json.is_empty()) {
            let number = payload["contentBlockIndex"].as_u64();
            let index = self.calls.iter().rposition(|call| Some(*call) == number).or(self.calls.len().checked_sub(1));
            self.silent.retain(|silent| Some(*silent) != number);
            events.extend(index.map(|index| ChatEvent::Arguments { index, json: json.to_owned() }));
        }
        let thought = &delta["reasoningContent"];
        if let Some(text) = thought["text"].as_str().filter(|text| !text.is_empty()) {
            events.push(ChatEvent::Reasoning(text.to_owned()));
        }
        if let Some(signature) = thought["signature"].as_str() {
            self.signature.push_str(signature);
        }
        if let Some(data) = thought["redactedContent"].as_str() {
            events.push(ChatEvent::Redacted(data.to_owned()));
        }
        if delta["citation"].is_object() {
            self.citations.push(delta["citation"].clone());
        }
    }

    /// A whole block of a buffered answer.
    fn block(&mut self, number: u64, block: &Value, events: &mut Vec<ChatEvent>) {
        let Some((kind, value)) =
            block.as_object().and_then(|block| block.iter().find(|(name, value)| *name != "type" && !value.is_null()))
        else {
            return;
        };
        match kind.as_str() {
            "text" => self.delta(&json!({"contentBlockIndex": number, "delta": {"text": value}}), events),
            "toolUse" => {
                self.call(value, None, events);
                let input = &value["input"];
                let json = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
                events.push(ChatEvent::Arguments { index: self.calls.len() - 1, json });
            }
            "reasoningContent" => {
                let thought = value.get("reasoningText").unwrap_or(value);
                self.delta(&json!({"delta": {"reasoningContent": thought}}), events);
                self.close(events);
            }
            "citationsContent" => {
                for text in value["content"].as_array().into_iter().flatten() {
                    self.delta(&json!({"contentBlockIndex": number, "delta": {"text": text["text"]}}), events);
                }
                self.citations.extend(value["citations"].as_array().into_iter().flatten().cloned());
                self.close(events);
            }
            _ => events.push(ChatEvent::Raw(Raw { dialect: "bedrock".to_owned(), value: block.clone() })),
        }
    }

    fn call(&mut self, call: &Value, number: Option<u64>, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
        let index = self.calls.len();
        self.calls.push(number.unwrap_or(u64::MAX));
        self.silent.extend(number);
        events.push(ChatEvent::ToolCall { index, id: text("toolUseId"), name: text("name"), signature: None });
    }

    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        if !self.signature.is_empty() {
            events.push(ChatEvent::Signature(std::mem::take(&mut self.signature)));
        }
        if !self.citations.is_empty() {
            self.text = None;
            let raw = |value| Raw { dialect: "bedrock".to_owned(), value };
            events.extend(self.citations.drain(..).map(raw).map(ChatEvent::Citation));
        }
    }

    fn stop(&mut self, reply: &Value) -> Result<()> {
        self.finish = Some(match reply["stopReason"].as_str().unwrap_or_default() {
            "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
            reason @ ("malformed_model_output" | "malformed_tool_use") => {
                return Err(Error::new(
                    Code::ModelOutput,
                    format!("the model wrote what its provider could not read: `{reason}`"),
                ));
            }
            reason => anthropic::finish(reason),
        });
        Ok(())
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    usage.is_object().then(|| {
        let either = |documented: &str, seen: &str| tokens(&usage[documented]).max(tokens(&usage[seen]));
        let read = either("cacheReadInputTokens", "cacheReadInputTokenCount");
        let written = either("cacheWriteInputTokens", "cacheWriteInputTokenCount");
        let details = usage["cacheDetails"].as_array().into_iter().flatten();
        Usage {
            prompt_tokens: tokens(&usage["inputTokens"]).saturating_add(read).saturating_add(written),
            completion_tokens: tokens(&usage["outputTokens"]),
            cache_read_tokens: read,
            cache_write_tokens: written,
            cache_write_1h_tokens: details
                .filter(|row| row["ttl"] == "1h")
                .map(|row| tokens(&row["inputTokens"]))
                .fold(0, u64::saturating_add),
            reasoning_tokens: 0,
        }
    })
}
