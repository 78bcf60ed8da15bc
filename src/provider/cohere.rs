//! Cohere's chat dialect, version 2 (`POST {base}/chat`).
//!
//! Events arrive one JSON object per frame, without a `[DONE]`; `message-end` is the last and holds the usage. Billed tokens differ
//! from counted ones, and the billed ones are what we tell. Before it calls tools the model writes a plan, which is a thought here.
//! Documents stand beside the messages, not in them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::dialect::{Reader, cut, failed, is_counted, parse, tokens};
use super::failure::{Refused, failure};
use super::media::image_url;
use super::state::{State, push_text};
use super::turn::{answered, inner_text};
use crate::chat::{
    ChatEvent, ChatRequest, Effort, FinishReason, Media, Message, Part, Raw, ResponseFormat, Role, Source, ToolChoice, Usage,
    Warning, Warnings,
};
use crate::error::{Code, Error, Result};

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["model", "messages", "stream"];

/// Writes the body of one chat turn.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, stream: bool, warnings: &mut Warnings) -> Result<Body> {
    let mut body = Body::default();
    body.set("model", request.model.as_str());
    let (mut messages, mut documents) = (Vec::new(), Vec::new());
    for message in &request.messages {
        messages.extend(self::messages(message, &mut documents, warnings)?);
    }
    body.set("messages", messages);
    let sampling = &request.sampling;
    body.set_some("max_tokens", sampling.max_tokens);
    body.set_some("temperature", sampling.temperature);
    body.set_some("p", sampling.top_p);
    body.set_some("k", sampling.top_k);
    body.set_some("frequency_penalty", sampling.frequency_penalty);
    body.set_some("presence_penalty", sampling.presence_penalty);
    body.set_list("stop_sequences", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    body.set_some("seed", sampling.seed);
    body.set_list("tools", request.tools.iter().map(tool).collect());
    if request.tools.iter().any(|tool| tool.strict == Some(true)) {
        body.set("strict_tools", true);
    }
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => body.set("tool_choice", "NONE"),
        Some(ToolChoice::Required | ToolChoice::Tool(_)) => body.set("tool_choice", "REQUIRED"),
    }
    if documents.is_empty() {
        body.set_some("response_format", response_format(&request.response_format, caps));
    } else {
        if !request.response_format.is_text() {
            warnings.push(Warning::dropped("response_format", "Cohere takes it or documents, not both"));
        }
        keep_apart(&mut documents);
        body.set("documents", documents);
    }
    if let (ReasoningMode::Budget, Some(reasoning)) = (caps.reasoning, request.reasoning) {
        let mut thinking = Body::default();
        thinking.set("type", if reasoning.effort == Some(Effort::None) { "disabled" } else { "enabled" });
        thinking.set_some("token_budget", reasoning.budget_tokens);
        body.set("thinking", thinking.0);
    }
    body.set("stream", stream);
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

fn messages(message: &Message, documents: &mut Vec<Value>, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let (mut out, mut content, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new(), String::new());
    for part in &message.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => content.push(json!({"type": "text", "text": text})),
            Part::Image(media) => content.push(image_url(media)),
            Part::Document(media) => documents.push(document(media)?),
            Part::Reasoning(thought) => thoughts.push_str(&thought.text),
            Part::ToolCall(call) => calls
                .push(json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})),
            Part::ToolResult(result) => {
                if result.is_error {
                    warnings.push(Warning::dropped("tool_result.is_error", "the dialect has no mark for it"));
                }
                if result.content.iter().any(|part| matches!(part, Part::Image(_) | Part::Document(_))) {
                    warnings.push(Warning::dropped("tool_result.content", "Cohere's tools answer in text only"));
                }
                out.push(json!({"role": "tool", "tool_call_id": result.call_id, "content": answered(result, warnings)}));
            }
            Part::Raw(raw) if raw.dialect == "cohere" => content.push(raw.value.clone()),
            Part::Raw(raw) => {
                content.extend(inner_text(raw, "raw", warnings).map(|text| json!({"type": "text", "text": text})));
            }
            Part::CachePoint(_) | Part::Citation(_) => {}
        }
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => return Ok(out),
    };
    let mut value = json!({"role": role});
    if !calls.is_empty() {
        value["tool_calls"] = calls.into();
        if !thoughts.is_empty() {
            value["tool_plan"] = std::mem::take(&mut thoughts).into();
        }
    }
    if !thoughts.is_empty() {
        content.insert(0, json!({"type": "thinking", "thinking": thoughts}));
    }
    match content.as_slice() {
        [] => {}
        [only] if only["type"] == "text" => value["content"] = only["text"].clone(),
        _ => value["content"] = content.into(),
    }
    if value.as_object().is_some_and(|value| value.len() > 1) {
        out.push(value);
    }
    Ok(out)
}

fn document(media: &Media) -> Result<Value> {
    let Source::Text(text) = &media.source else {
        return Err(Error::bad_request("`messages`: Cohere takes documents as text only"));
    };
    Ok(match &media.name {
        Some(name) => json!({"id": name, "data": {"title": name, "snippet": text}}),
        None => json!({"data": {"snippet": text}}),
    })
}

/// Puts its number behind an id that an earlier document has: citations name their documents by these.
fn keep_apart(documents: &mut [Value]) {
    let mut seen = BTreeSet::new();
    for (document, number) in documents.iter_mut().zip(1..) {
        let Some(mut id) = document.get("id").and_then(Value::as_str).map(str::to_owned) else { continue };
        while !seen.insert(id.clone()) {
            id = format!("{id} {number}");
        }
        document["id"] = id.into();
    }
}

fn tool(tool: &crate::chat::Tool) -> Value {
    let mut function = Body::default();
    function.set("name", tool.name.as_str());
    function.set_some("description", tool.description.as_deref());
    function.set("parameters", tool.parameters.clone());
    json!({"type": "function", "function": function.0})
}

fn response_format(format: &ResponseFormat, caps: &Capabilities) -> Option<Value> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!({"type": "json_object"})),
        ResponseFormat::JsonSchema { schema, .. } => {
            let mut out = json!({"type": "json_object"});
            out[caps.schema_key.as_str()] = schema.clone();
            Some(out)
        }
    }
}

/// Reads a buffered answer of status 2xx.
pub(super) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    let message = &reply["message"];
    if !message.is_object() {
        return Err(failed("the provider's answer has no `message`"));
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.state.start(reply["id"].as_str().or(reply["generation_id"].as_str()).unwrap_or_default(), "", &mut events);
    push_text(message["tool_plan"].as_str().unwrap_or_default(), &mut events, ChatEvent::Reasoning);
    match &message["content"] {
        Value::Array(blocks) => blocks.iter().for_each(|block| content(block, &mut events)),
        text => push_text(text.as_str().unwrap_or_default(), &mut events, ChatEvent::Text),
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        decoder.call(call, &mut events);
    }
    if let Some(citations) = message["citations"].as_array().filter(|citations| !citations.is_empty()) {
        events.push(ChatEvent::Extra("citations".to_owned(), citations.clone().into()));
    }
    decoder.ending(reply, &mut events)?;
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    calls: usize,
    /// The last call, as long as nothing was told of its arguments.
    silent: Option<usize>,
    finish: Option<FinishReason>,
}

impl Reader for Decoder {
    fn frame(&mut self, _: &str, data: &str) -> Result<Vec<ChatEvent>> {
        let frame = parse(data.as_bytes())?;
        let mut events = Vec::new();
        let message = &frame["delta"]["message"];
        match frame["type"].as_str().unwrap_or_default() {
            "message-start" => self.state.start(frame["id"].as_str().unwrap_or_default(), "", &mut events),
            "content-start" | "content-delta" => {
                content(&message["content"], &mut events);
                likelihoods(&frame["logprobs"], &mut events);
            }
            "tool-plan-delta" => {
                push_text(message["tool_plan"].as_str().unwrap_or_default(), &mut events, ChatEvent::Reasoning);
            }
            "tool-call-start" => self.call(&message["tool_calls"], &mut events),
            "tool-call-delta" => {
                let json = message["tool_calls"]["function"]["arguments"].as_str().unwrap_or_default();
                if let Some(index) = self.calls.checked_sub(1).filter(|_| !json.is_empty()) {
                    self.silent = None;
                    events.push(ChatEvent::Arguments { index, json: json.to_owned() });
                }
            }
            "citation-start" => {
                let citations = match &message["citations"] {
                    Value::Array(citations) => citations.clone(),
                    citation => vec![citation.clone()],
                };
                events.push(ChatEvent::Extra("citations".to_owned(), citations.into()));
            }
            "message-end" => self.ending(&frame["delta"], &mut events)?,
            _ if frame.get("message").is_some_and(Value::is_string) && frame.get("type").is_none() => {
                return Err(failure(&Refused::inside("cohere"), &frame));
            }
            _ => {}
        }
        Ok(events)
    }

    fn is_done(&self) -> bool {
        self.finish.is_some()
    }

    fn end(&mut self) -> Result<Vec<ChatEvent>> {
        self.finish.take().map(|reason| vec![ChatEvent::Finish(reason)]).ok_or_else(cut)
    }
}

impl Decoder {
    fn call(&mut self, call: &Value, events: &mut Vec<ChatEvent>) {
        // A list of one, in some versions.
        let call = call.get(0).unwrap_or(call);
        self.close(events);
        let index = self.calls;
        self.calls += 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let function = &call["function"];
        events.push(ChatEvent::ToolCall {
            index,
            id: text(&call["id"]),
            name: text(&function["name"]),
            signature: None,
            own: None,
        });
        let json = text(&function["arguments"]);
        if json.is_empty() {
            self.silent = Some(index);
        } else {
            events.push(ChatEvent::Arguments { index, json });
        }
    }

    /// Clients read the arguments of every call, also of one that was told none.
    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        events.extend(self.silent.take().map(|index| ChatEvent::Arguments { index, json: "{}".to_owned() }));
    }

    fn ending(&mut self, ending: &Value, events: &mut Vec<ChatEvent>) -> Result<()> {
        self.close(events);
        events.extend(usage(&ending["usage"]).map(ChatEvent::Usage));
        self.state.extra("cached_tokens", &ending["usage"]["cached_tokens"], events);
        likelihoods(&ending["logprobs"], events);
        if let Some(error) = ending["error"].as_str() {
            return Err(failure(&Refused::inside("cohere"), &json!({"message": error})));
        }
        self.finish = match ending["finish_reason"].as_str() {
            None => return Ok(()),
            Some("COMPLETE") => Some(FinishReason::Stop),
            Some("STOP_SEQUENCE") => Some(FinishReason::StopSequence),
            Some("MAX_TOKENS") => Some(FinishReason::Length),
            Some("TOOL_CALL") => Some(FinishReason::ToolCalls),
            Some("ERROR" | "ERROR_TOXIC" | "ERROR_LIMIT") => return Err(failed("the provider ended its answer with an error")),
            Some("TIMEOUT") => return Err(Error::new(Code::Timeout, "the provider ended its answer: it took too long")),
            Some(other) => Some(FinishReason::Other(other.to_owned())),
        };
        Ok(())
    }
}

/// Those of a piece, or those of all pieces.
fn likelihoods(logprobs: &Value, events: &mut Vec<ChatEvent>) {
    let list = match logprobs {
        Value::Array(list) => list.clone(),
        Value::Object(_) => vec![logprobs.clone()],
        _ => return,
    };
    events.push(ChatEvent::Extra("logprobs".to_owned(), list.into()));
}

fn content(block: &Value, events: &mut Vec<ChatEvent>) {
    if let Some(thought) = block["thinking"].as_str() {
        push_text(thought, events, ChatEvent::Reasoning);
    } else if let Some(text) = block["text"].as_str() {
        push_text(text, events, ChatEvent::Text);
    } else if block.get("type").is_some_and(|kind| kind != "text" && kind != "thinking") {
        events.push(ChatEvent::Raw(Raw::of("cohere", block.clone())));
    }
}

/// What is billed. What is cached belongs to all that was counted, of which most (the template around the prompt) is not billed at
/// all: beside billed tokens it would be a part of something else.
fn usage(usage: &Value) -> Option<Usage> {
    // Units that are billed need not be tokens.
    let is_billed = is_counted(&usage["billed_units"], &["input_tokens"]);
    let counts = &usage[if is_billed { "billed_units" } else { "tokens" }];
    let prompt_tokens = tokens(&counts["input_tokens"]);
    is_counted(counts, &["input_tokens", "output_tokens"]).then(|| Usage {
        prompt_tokens,
        completion_tokens: tokens(&counts["output_tokens"]),
        cache_read_tokens: if is_billed { 0 } else { tokens(&usage["cached_tokens"]).min(prompt_tokens) },
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cached_is_a_part_of_the_prompt_that_is_told() {
        let counts = json!({"billed_units": {"input_tokens": 12, "output_tokens": 7}, "tokens": {"input_tokens": 507, "output_tokens": 10}, "cached_tokens": 448});
        let billed = Usage { prompt_tokens: 12, completion_tokens: 7, ..Usage::default() };
        assert_eq!(usage(&counts), Some(billed));
        let counted = json!({"tokens": {"input_tokens": 507, "output_tokens": 10}, "cached_tokens": 448});
        let whole = Usage { prompt_tokens: 507, completion_tokens: 10, cache_read_tokens: 448, ..Usage::default() };
        assert_eq!(usage(&counted), Some(whole));
        for units in [json!({}), json!({"search_units": 1}), json!({"input_tokens": null})] {
            let mut counted = counted.clone();
            counted["billed_units"] = units;
            assert_eq!(usage(&counted), Some(whole));
            counted["tokens"] = json!({});
            assert_eq!(usage(&counted), None);
        }
        let reply = json!({"message": {"content": "hi"}, "finish_reason": "COMPLETE", "usage": counts});
        let answer = crate::chat::fold(&decode(&reply).unwrap());
        assert_eq!((answer.usage, &answer.extra["cached_tokens"]), (Some(billed), &json!(448)));
    }
}
