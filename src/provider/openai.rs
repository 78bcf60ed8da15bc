//! OpenAI's chat dialect (`POST {base}/chat/completions`), and that of every server that copies it.
//!
//! What copies get wrong is expected here: missing `usage`, `finish_reason: ""`, content as a list of parts, arguments as an object,
//! usage in any chunk or inside a choice, tool calls that share or omit their `index`, no `[DONE]`. A stream needs a finish reason or
//! `[DONE]`; without either it was cut, which is an error.

use serde_json::{Value, json};

use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::dialect::{State, cut, failed, tokens};
use super::failure::{Refused, failure};
use crate::chat::{
    ChatEvent, ChatRequest, Effort, FinishReason, Media, Message, Part, ResponseFormat, Role, Source, ToolChoice, Usage, Warning,
    plain,
};
use crate::error::{Code, Error, Result};

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["model", "messages", "stream", "stream_options", "n"];

/// Writes the body of one chat turn.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, stream: bool, warnings: &mut Vec<Warning>) -> Result<Body> {
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
    body.set_list("tools", request.tools.iter().map(tool).collect());
    body.set_some("tool_choice", request.tool_choice.as_ref().map(|choice| tool_choice(choice, caps)));
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
fn messages(request: &ChatRequest, caps: &Capabilities, warnings: &mut Vec<Warning>) -> Result<Vec<Value>> {
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
                    out.push(json!({"role": "tool", "tool_call_id": result.call_id, "content": plain(&result.content)}));
                    let files = result.content.iter().filter(|part| matches!(part, Part::Image(_) | Part::Document(_)));
                    for file in files {
                        shown.extend(block(file, caps, warnings)?);
                    }
                }
                if !others.is_empty() {
                    out.push(json!({"role": "user", "content": content(others, caps, warnings)?}));
                }
            }
        }
    }
    if !shown.is_empty() {
        out.push(json!({"role": "user", "content": shown}));
    }
    Ok(out)
}

fn assistant(message: &Message, caps: &Capabilities, is_last: bool, warnings: &mut Vec<Warning>) -> Result<Value> {
    let mut out = Body::default();
    out.set("role", "assistant");
    let (mut spoken, mut thoughts, mut calls) = (Vec::new(), String::new(), Vec::new());
    for part in &message.parts {
        match part {
            Part::Reasoning(thought) => thoughts.push_str(&thought.text),
            Part::ToolCall(call) => {
                let mut value =
                    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
                match &call.signature {
                    // Where Google's own server speaks this dialect, it wants its signature here.
                    Some(signature) if caps.call_signatures => {
                        value["extra_content"] = json!({"google": {"thought_signature": signature}});
                    }
                    Some(_) => warnings.push(Warning::dropped("tool_call.signature", "the provider does not take it back")),
                    None => {}
                }
                calls.push(value);
            }
            other => spoken.push(other),
        }
    }
    let mut spoken = content(spoken, caps, warnings)?;
    if !thoughts.is_empty() {
        match caps.reasoning_field.as_str() {
            "" => warnings.push(Warning::dropped("reasoning", "the provider does not take thoughts back")),
            "content" => {
                let thinking = json!({"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]});
                let mut chunks = vec![thinking];
                match spoken {
                    Value::String(text) if !text.is_empty() => chunks.push(json!({"type": "text", "text": text})),
                    Value::Array(more) => chunks.extend(more),
                    _ => {}
                }
                spoken = chunks.into();
            }
            field => out.set(field, thoughts),
        }
    }
    let silent = spoken.as_str().is_some_and(str::is_empty);
    out.set("content", if silent && !calls.is_empty() { Value::Null } else { spoken });
    // Mistral wants to be told that it is to go on with the text.
    if is_last && calls.is_empty() && caps.reasoning_field == "content" {
        out.set("prefix", true);
    }
    out.set_list("tool_calls", calls);
    Ok(Value::Object(out.0))
}

/// One text as a string, which every server takes; anything more as a list.
fn content<'a>(parts: impl IntoIterator<Item = &'a Part>, caps: &Capabilities, warnings: &mut Vec<Warning>) -> Result<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Part::CachePoint(_) => {
                if let Some(block) = blocks.last_mut() {
                    block["prompt_cache_breakpoint"] = json!({"mode": "explicit"});
                }
            }
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

fn block(part: &Part, caps: &Capabilities, warnings: &mut Vec<Warning>) -> Result<Option<Value>> {
    Ok(Some(match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(media) => {
            let mut image = json!({"url": address(media)});
            if let Some(detail) = &media.detail {
                image["detail"] = detail.as_str().into();
            }
            json!({"type": "image_url", "image_url": image})
        }
        Part::Document(media) => return document(media, caps).map(Some),
        Part::Raw(raw) if raw.dialect == "openai" => raw.value.clone(),
        Part::Raw(raw) => {
            warnings.push(Warning::dropped("raw", format!("a block of `{}`", raw.dialect)));
            return Ok(None);
        }
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::CachePoint(_) => return Ok(None),
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

/// A document of plain text as a part of the prompt.
pub(super) fn titled(name: Option<&str>, text: &str) -> String {
    match name {
        Some(name) => format!("{name}\n\n{text}"),
        None => text.to_owned(),
    }
}

/// The address of a file; bytes become a `data:` one.
pub(super) fn address(media: &Media) -> String {
    match &media.source {
        Source::Url { url, .. } => url.clone(),
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Text(text) => text.clone(),
    }
}

fn tool(tool: &crate::chat::Tool) -> Value {
    let mut function = Body::default();
    function.set("name", tool.name.as_str());
    function.set_some("description", tool.description.as_deref());
    function.set("parameters", tool.parameters.clone());
    function.set_some("strict", tool.strict);
    json!({"type": "function", "function": function.0})
}

fn tool_choice(choice: &ToolChoice, caps: &Capabilities) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => caps.tool_choice_required.as_str().into(),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    }
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

/// Reads a buffered answer of status 2xx.
pub(super) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    if let Some(error) = reply.get("error").filter(|error| !error.is_null()) {
        return Err(failure(&Refused { status: 200, ..Refused::default() }, &json!({ "error": error })));
    }
    let Some(choice) = reply["choices"].get(0) else {
        return Err(Error::new(Code::ProviderError, "the provider's answer has no `choices`"));
    };
    choice_error(choice)?;
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.start(reply, &mut events);
    decoder.extras(reply, choice, &mut events);
    decoder.delta(&choice["message"], &mut events);
    decoder.finish = Some(decoder.reason(choice["finish_reason"].as_str())?);
    events.extend(usage(reply, choice).map(ChatEvent::Usage));
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    id: String,
    finish: Option<FinishReason>,
    refused: bool,
    done: bool,
    calls: Vec<Call>,
    begun: usize,
}

/// A tool call on its way.
#[derive(Debug, Default)]
struct Call {
    /// The number that the provider gave it, if any.
    wire: Option<u64>,
    id: String,
    /// Its number among those that were told to the caller, once it was.
    index: Option<usize>,
    arguments: String,
    signature: Option<String>,
}

impl Decoder {
    /// Reads the data of one frame.
    pub(super) fn frame(&mut self, data: &str) -> Result<Vec<ChatEvent>> {
        if self.done || data.trim().is_empty() {
            return Ok(Vec::new());
        }
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(Vec::new());
        }
        let chunk = super::dialect::parse(data.as_bytes())?;
        let failures = [chunk.get("error"), chunk.pointer("/x_groq/error")];
        if let Some(error) = failures.into_iter().flatten().find(|error| !error.is_null()) {
            return Err(failure(&Refused { status: 200, ..Refused::default() }, &json!({ "error": error })));
        }
        let mut events = Vec::new();
        self.start(&chunk, &mut events);
        let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
        let choice = choices.iter().find(|choice| choice["index"].as_u64().unwrap_or(0) == 0).unwrap_or(&Value::Null);
        choice_error(choice)?;
        self.extras(&chunk, choice, &mut events);
        // Some servers answer with `message` where `delta` belongs.
        let delta = choice.get("delta").filter(|delta| !delta.is_null()).unwrap_or(&choice["message"]);
        self.delta(delta, &mut events);
        if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
            self.finish = Some(self.reason(Some(reason))?);
        }
        events.extend(usage(&chunk, choice).map(ChatEvent::Usage));
        Ok(events)
    }

    /// Whether the last frame was seen.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Says how the stream ended when no more bytes come.
    pub(super) fn end(&mut self) -> Result<Vec<ChatEvent>> {
        if let Some(call) = self.calls.iter().find(|call| call.index.is_none()) {
            return Err(failed(format!("the provider's tool call `{}` has no name", call.id)));
        }
        match self.finish.take() {
            Some(reason) => Ok(vec![ChatEvent::Finish(reason)]),
            None if self.done => {
                Ok(vec![ChatEvent::Finish(if self.begun > 0 { FinishReason::ToolCalls } else { FinishReason::Stop })])
            }
            None => Err(cut()),
        }
    }

    fn start(&mut self, reply: &Value, events: &mut Vec<ChatEvent>) {
        let (id, model) = (reply["id"].as_str().unwrap_or_default(), reply["model"].as_str().unwrap_or_default());
        if self.id.is_empty() {
            id.clone_into(&mut self.id);
        }
        self.state.start(id, model, events);
    }

    /// What only this provider says. Texts repeat in every chunk, so each is told once.
    fn extras(&mut self, reply: &Value, choice: &Value, events: &mut Vec<ChatEvent>) {
        for name in ["service_tier", "system_fingerprint", "citations", "search_results"] {
            self.state.extra(name, &reply[name], events);
        }
        for name in ["logprobs", "content_filter_results", "native_finish_reason"] {
            match &choice[name] {
                // Lists go on from chunk to chunk.
                Value::Object(lists) if name == "logprobs" => {
                    for (list, items) in lists.iter().filter(|(_, items)| items.as_array().is_some_and(|items| !items.is_empty()))
                    {
                        let name = if list == "content" { "logprobs".to_owned() } else { format!("logprobs.{list}") };
                        events.push(ChatEvent::Extra(name, items.clone()));
                    }
                }
                value => self.state.extra(name, value, events),
            }
        }
    }

    /// Reads a message, or a piece of one.
    fn delta(&mut self, message: &Value, events: &mut Vec<ChatEvent>) {
        let thought = ["reasoning_content", "reasoning"].iter().find_map(|name| message[*name].as_str());
        state_text(thought.unwrap_or_default(), events, ChatEvent::Reasoning);
        match &message["content"] {
            Value::String(text) => state_text(text, events, ChatEvent::Text),
            Value::Array(parts) => parts.iter().for_each(|part| chunk(part, events)),
            _ => {}
        }
        if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            state_text(refusal, events, ChatEvent::Text);
        }
        for name in ["annotations", "reasoning_details", "executed_tools", "images"] {
            if let Some(Value::Array(items)) =
                message.get(name).filter(|items| items.as_array().is_some_and(|items| !items.is_empty()))
            {
                events.push(ChatEvent::Extra(name.to_owned(), items.clone().into()));
            }
        }
        if message["audio"].is_object() {
            events.push(ChatEvent::Extra("audio".to_owned(), message["audio"].clone()));
        }
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (place, call) in (0..).zip(calls) {
            // Told together, they are several, whatever is missing.
            let place = (calls.len() > 1).then_some(place);
            self.call(call, call["index"].as_u64().or(place), events);
        }
        if message["function_call"].is_object() {
            self.call(&json!({"function": message["function_call"]}), Some(0), events);
        }
    }

    /// Finds the call that a piece belongs to: by an id seen before, else by its number, else the current one. A new id, or a new
    /// name after whole arguments, begins a new call even on a number in use.
    fn call(&mut self, piece: &Value, wire: Option<u64>, events: &mut Vec<ChatEvent>) {
        let function = &piece["function"];
        let id = piece["id"].as_str().unwrap_or_default();
        let name = function["name"].as_str().unwrap_or_default();
        let same_id = self.calls.iter().rposition(|call| !id.is_empty() && call.id == id);
        let same_number = match wire {
            Some(wire) => self.calls.iter().rposition(|call| call.wire == Some(wire)),
            None => self.calls.len().checked_sub(1),
        };
        let is_whole = |at: usize| {
            let call = &self.calls[at];
            call.index.is_some() && serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok()
        };
        let named = !name.is_empty();
        let at = same_id.or_else(|| {
            let at = same_number?;
            let another = if id.is_empty() { is_whole(at) } else { !self.calls[at].id.is_empty() };
            (!(named && another)).then_some(at)
        });
        let at = at.unwrap_or_else(|| {
            self.calls.push(Call { wire, id: id.to_owned(), ..Call::default() });
            self.calls.len() - 1
        });
        let arguments = match &function["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            value => value.to_string(),
        };
        let signature = piece.pointer("/extra_content/google/thought_signature").and_then(Value::as_str);
        let made_up = made_up_id(&self.id, at);
        let call = &mut self.calls[at];
        call.arguments.push_str(&arguments);
        if let Some(signature) = signature {
            call.signature = Some(signature.to_owned());
        }
        if call.id.is_empty() {
            call.id = if id.is_empty() { made_up } else { id.to_owned() };
        }
        match call.index {
            Some(index) if !arguments.is_empty() => events.push(ChatEvent::Arguments { index, json: arguments }),
            None if named => {
                let index = self.begun;
                call.index = Some(index);
                self.begun += 1;
                let (id, signature) = (call.id.clone(), call.signature.clone());
                events.push(ChatEvent::ToolCall { index, id, name: name.to_owned(), signature });
                if !call.arguments.is_empty() {
                    events.push(ChatEvent::Arguments { index, json: call.arguments.clone() });
                }
            }
            _ => {}
        }
    }

    fn reason(&self, reason: Option<&str>) -> Result<FinishReason> {
        Ok(match reason {
            _ if self.refused => FinishReason::ContentFilter,
            None | Some("" | "stop" | "eos" | "end_turn" | "eos_token") => FinishReason::Stop,
            Some("stop_sequence") => FinishReason::StopSequence,
            Some("length" | "model_length" | "max_tokens") => FinishReason::Length,
            Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
            Some("content_filter") => FinishReason::ContentFilter,
            Some("error") => return Err(failed("the provider ended its answer with an error")),
            Some(other) => FinishReason::Other(other.to_owned()),
        })
    }
}

/// An id for a call that came without one: the same for the same answer, another for another.
pub(super) fn made_up_id(answer: &str, number: usize) -> String {
    format!("call_{}", &super::fit::hash(&format!("{answer}/{number}"))[..24])
}

fn state_text(text: &str, events: &mut Vec<ChatEvent>, event: fn(String) -> ChatEvent) {
    if !text.is_empty() {
        events.push(event(text.to_owned()));
    }
}

/// A part of a content that is a list: Mistral's thoughts, texts, and what else there is.
fn chunk(part: &Value, events: &mut Vec<ChatEvent>) {
    match &part["thinking"] {
        Value::String(text) => return state_text(text, events, ChatEvent::Reasoning),
        Value::Array(texts) => {
            let text: String = texts.iter().filter_map(|text| text["text"].as_str()).collect();
            return state_text(&text, events, ChatEvent::Reasoning);
        }
        _ => {}
    }
    match part["text"].as_str().or(part.as_str()) {
        Some(text) => state_text(text, events, ChatEvent::Text),
        None => events.push(ChatEvent::Raw(crate::chat::Raw { dialect: "openai".to_owned(), value: part.clone() })),
    }
}

/// OpenRouter puts the failure of whoever it asked into the choice.
fn choice_error(choice: &Value) -> Result<()> {
    match choice.get("error").filter(|error| !error.is_null()) {
        Some(error) => Err(failure(&Refused { status: 200, ..Refused::default() }, &json!({ "error": error }))),
        None => Ok(()),
    }
}

/// Usage, wherever it is: beside the choices, inside one, or in Groq's own field.
fn usage(reply: &Value, choice: &Value) -> Option<Usage> {
    let places = [&reply["usage"], &choice["usage"], &reply["x_groq"]["usage"]];
    let usage = places.into_iter().find(|usage| usage.is_object())?;
    let prompt = tokens(&usage["prompt_tokens"]);
    let prompt_details = &usage["prompt_tokens_details"];
    let read = [
        &prompt_details["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["num_cached_tokens"],
        &usage["cached_tokens"],
    ];
    Some(Usage {
        prompt_tokens: prompt,
        completion_tokens: tokens(&usage["completion_tokens"]),
        cache_read_tokens: read.into_iter().map(tokens).find(|count| *count > 0).unwrap_or(0),
        cache_write_tokens: tokens(&prompt_details["cache_write_tokens"]),
        cache_write_1h_tokens: 0,
        reasoning_tokens: tokens(&usage["completion_tokens_details"]["reasoning_tokens"]),
    })
}
