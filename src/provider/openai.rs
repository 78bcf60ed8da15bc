//! OpenAI's chat dialect (`POST {base}/chat/completions`), and that of every server that copies it.
//!
//! What copies get wrong is expected here: missing `usage`, `finish_reason: ""`, content as a list of parts, arguments as an
//! object, usage in any chunk or inside a choice, tool calls that share or omit their `index`, no `[DONE]`. A stream needs a finish
//! reason or `[DONE]`; without either it was cut, which is an error.

mod answer;
mod thought;
mod usage;

pub(super) use self::answer::{Decoder, decode};
use serde_json::{Value, json};

use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::media::{address, image_url, titled};
use super::own;
use super::turn::{answered, inner_text};
use crate::chat::{
    CacheTtl, ChatRequest, Effort, Media, Message, Part, ResponseFormat, Role, Source, Thought, ToolChoice, Warning, Warnings,
};
use crate::error::{Error, Result};

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["model", "messages", "stream", "stream_options", "n"];

/// Writes the body of one chat turn.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, stream: bool, warnings: &mut Warnings) -> Result<Body> {
    let mut body = Body::default();
    body.set("model", request.model.as_str());
    body.set("messages", messages(request, caps, warnings)?);
    let sampling = &request.sampling;
    body.set_some("temperature", sampling.temperature);
    body.set_some(&caps.max_tokens, sampling.max_tokens);
    body.set_some("top_p", sampling.top_p);
    body.set_some("top_k", sampling.top_k);
    body.set_some("frequency_penalty", sampling.frequency_penalty);
    body.set_some("presence_penalty", sampling.presence_penalty);
    body.set_list("stop", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    body.set_some(&caps.seed, sampling.seed);
    if caps.reasoning == ReasoningMode::Effort {
        body.set_some("reasoning_effort", request.reasoning.and_then(|reasoning| reasoning.effort).map(Effort::as_str));
    }
    if request.tools.iter().any(|tool| tool.cache.is_some()) {
        warnings
            .push(Warning::dropped("tools.cache", "the dialect has no place for it on a tool; mark the message that follows"));
    }
    body.set_list("tools", own::tools(request, "openai").chain(request.tools.iter().map(tool)).collect());
    body.set_some("tool_choice", tool_choice(request, caps));
    body.set_some("parallel_tool_calls", request.parallel_tool_calls);
    body.set_some("response_format", response_format(&request.response_format));
    body.set_some("service_tier", request.service_tier.as_deref());
    body.set_some(&caps.user, request.user.as_deref());
    if stream {
        body.set("stream", true);
        if caps.stream_usage {
            let mut options = json!({"include_usage": true});
            if caps.stream_obfuscation {
                options["include_obfuscation"] = false.into();
            }
            body.set("stream_options", options);
        }
    }
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

/// The messages as the dialect has them: every tool's answer is one of its own, and pictures that a tool showed follow as a user's.
fn messages(request: &ChatRequest, caps: &Capabilities, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(request.messages.len());
    let mut shown = Vec::new();
    let last = request.messages.len().saturating_sub(1);
    for (at, message) in request.messages.iter().enumerate() {
        if message.role != Role::Tool && !shown.is_empty() {
            out.push(json!({"role": "user", "content": std::mem::take(&mut shown)}));
        }
        match message.role {
            Role::System => out.push(json!({"role": "system", "content": content(&message.parts, caps, warnings)?})),
            Role::Assistant => out.push(assistant(message, caps, at == last, warnings)?),
            Role::User | Role::Tool => {
                let (results, others): (Vec<&Part>, Vec<&Part>) =
                    message.parts.iter().partition(|part| matches!(part, Part::ToolResult(_)));
                for part in results {
                    let Part::ToolResult(result) = part else { continue };
                    if result.is_error {
                        warnings.push(Warning::dropped("tool_result.is_error", "the dialect has no mark for it"));
                    }
                    let content = answered(result, warnings);
                    let mut answer = json!({"role": "tool", "tool_call_id": result.call_id, "content": content});
                    marks(&result.content).for_each(|ttl| mark(Some(&mut answer), ttl, warnings));
                    out.push(answer);
                    let files = result.content.iter().filter(|part| matches!(part, Part::Image(_) | Part::Document(_)));
                    for file in files {
                        shown.extend(block(file, caps, warnings)?);
                    }
                }
                // Marks of the cache that begin a message belong to what was said before.
                let marked = others.iter().take_while(|part| matches!(part, Part::CachePoint(_))).count();
                let (before, others) = others.split_at(marked);
                marks(before.iter().copied()).for_each(|ttl| mark(out.last_mut(), ttl, warnings));
                if !others.is_empty() {
                    out.push(json!({"role": "user", "content": content(others.iter().copied(), caps, warnings)?}));
                }
            }
        }
    }
    if !shown.is_empty() {
        out.push(json!({"role": "user", "content": shown}));
    }
    Ok(out)
}

fn assistant(message: &Message, caps: &Capabilities, is_last: bool, warnings: &mut Warnings) -> Result<Value> {
    let mut out = Body::default();
    out.set("role", "assistant");
    let (mut spoken, mut thoughts, mut thinking, mut calls) = (Vec::new(), String::new(), Vec::new(), Vec::new());
    for part in &message.parts {
        match part {
            Part::Reasoning(thought) => {
                thoughts.push_str(&thought.text);
                thinking.extend(self::thinking(thought));
            }
            Part::ToolCall(call) => {
                let mut value = if call.is_text() {
                    json!({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}})
                } else {
                    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
                };
                // Where Google's own server speaks this dialect, it wants its signature here.
                if let Some(signature) = &call.signature {
                    value["extra_content"] = json!({"google": {"thought_signature": signature}});
                }
                calls.push(value);
            }
            // What was spoken stands beside what was written.
            Part::Raw(raw) if raw.dialect == "openai" && raw.value["type"] == "audio" => {
                out.set("audio", raw.value["audio"].clone());
            }
            other => spoken.push(other),
        }
    }
    let mut spoken = content(spoken, caps, warnings)?;
    match caps.reasoning_field.as_str() {
        "content" if !thinking.is_empty() => {
            match spoken {
                Value::String(text) if !text.is_empty() => thinking.push(json!({"type": "text", "text": text})),
                Value::Array(more) => thinking.extend(more),
                _ => {}
            }
            spoken = thinking.into();
        }
        _ if thoughts.is_empty() => {}
        "" => warnings.push(Warning::dropped("reasoning", "the provider does not take thoughts back")),
        field => out.set(field, thoughts),
    }
    let silent = spoken.as_str().is_some_and(str::is_empty);
    out.set("content", if silent && (!calls.is_empty() || out.0.contains_key("audio")) { Value::Null } else { spoken });
    // Mistral wants to be told that it is to go on with the text.
    if is_last && calls.is_empty() && caps.reasoning_field == "content" {
        out.set("prefix", true);
    }
    out.set_list("tool_calls", calls);
    Ok(Value::Object(out.0))
}

/// A thought as Mistral has it, if there is anything of it to tell.
fn thinking(thought: &Thought) -> Option<Value> {
    let mut chunk = json!({"type": "thinking", "thinking": [{"type": "text", "text": thought.text}]});
    if let Some(signature) = &thought.signature {
        chunk["signature"] = signature.as_str().into();
    }
    (!thought.text.is_empty() || thought.signature.is_some()).then_some(chunk)
}

/// One text as a string, which every server takes; anything more as a list.
fn content<'a>(parts: impl IntoIterator<Item = &'a Part>, caps: &Capabilities, warnings: &mut Warnings) -> Result<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Part::CachePoint(mark) => break_after(blocks.last_mut(), mark.ttl, warnings),
            other => blocks.extend(block(other, caps, warnings)?),
        }
    }
    if let [only] = blocks.as_slice()
        && only.as_object().is_some_and(|only| only.len() == 2 && only.contains_key("text"))
    {
        return Ok(only["text"].clone());
    }
    Ok(if blocks.is_empty() { "".into() } else { blocks.into() })
}

fn marks<'a>(parts: impl IntoIterator<Item = &'a Part>) -> impl Iterator<Item = CacheTtl> {
    parts.into_iter().filter_map(|part| match part {
        Part::CachePoint(mark) => Some(mark.ttl),
        _ => None,
    })
}

/// Marks the end of a message that is written already.
fn mark(message: Option<&mut Value>, ttl: CacheTtl, warnings: &mut Warnings) {
    let block = message.and_then(|message| {
        let content = &mut message["content"];
        if let Value::String(text) = content {
            *content = json!([{"type": "text", "text": std::mem::take(text)}]);
        }
        content.as_array_mut()?.last_mut()
    });
    break_after(block, ttl, warnings);
}

/// Marks a block. How long it is kept is told once for all of the request.
fn break_after(block: Option<&mut Value>, ttl: CacheTtl, warnings: &mut Warnings) {
    let Some(block) = block else {
        return warnings.push(Warning::dropped("cache_point", "there is nothing before it that can be marked"));
    };
    block["prompt_cache_breakpoint"] = json!({"mode": "explicit"});
    if ttl != CacheTtl::default() {
        let detail = format!("OpenAI's marks have no time of their own, as `{}`: `prompt_cache_options` has it", ttl.as_str());
        warnings.push(Warning::changed("cache_point", detail));
    }
}

fn block(part: &Part, caps: &Capabilities, warnings: &mut Warnings) -> Result<Option<Value>> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({"type": "text", "text": text}),
        Part::Image(media) => image_url(media),
        Part::Document(media) => return document(media, caps).map(Some),
        // What a tool of the provider's answered is a message there, which no block can hold.
        Part::Raw(raw) if raw.dialect == "openai" && raw.value.get("role").is_none() => raw.value.clone(),
        Part::Raw(raw) => return Ok(inner_text(raw, "raw", warnings).map(|text| json!({"type": "text", "text": text}))),
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::CachePoint(_) | Part::Citation(_) => {
            return Ok(None);
        }
    }))
}

fn document(media: &Media, caps: &Capabilities) -> Result<Value> {
    Ok(match &media.source {
        Source::Text(text) => json!({"type": "text", "text": titled(media.name.as_deref(), text)}),
        _ if caps.document_url => {
            let mut value = json!({"type": "document_url", "document_url": address(media)});
            if let Some(name) = &media.name {
                value["document_name"] = name.as_str().into();
            }
            value
        }
        Source::Base64 { .. } => {
            let name = media.name.as_deref().unwrap_or("document.pdf");
            json!({"type": "file", "file": {"filename": name, "file_data": address(media)}})
        }
        Source::Url { .. } => return Err(Error::bad_request("`messages`: the provider takes no address of a document")),
    })
}

fn tool(tool: &crate::chat::Tool) -> Value {
    let mut function = Body::default();
    function.set("name", tool.name.as_str());
    function.set_some("description", tool.description.as_deref());
    function.set("parameters", tool.parameters.clone());
    function.set_some("strict", tool.strict);
    own::add(json!({"type": "function", "function": function.0}), tool, "openai")
}

fn tool_choice(request: &ChatRequest, caps: &Capabilities) -> Option<Value> {
    Some(match request.tool_choice.as_ref()? {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => caps.tool_choice_required.as_str().into(),
        ToolChoice::Tool(name) if request.tools.iter().all(|tool| tool.name != *name) => {
            json!({"type": "custom", "custom": {"name": name}})
        }
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    })
}

fn response_format(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            let mut inner = Body::default();
            inner.set("name", name.as_str());
            inner.set_some("description", description.as_deref());
            inner.set("schema", schema.clone());
            inner.set_some("strict", *strict);
            Some(json!({"type": "json_schema", "json_schema": inner.0}))
        }
    }
}
