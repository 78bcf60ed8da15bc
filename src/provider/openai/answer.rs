//! What comes back in OpenAI's dialect: whole answers and streams.

use serde_json::{Value, json};

use super::thought::Thoughts;
use crate::chat::{ChatEvent, FinishReason, Raw, Usage};
use crate::error::Result;
use crate::provider::dialect::{State, cut, failed, first, parse, tokens};
use crate::provider::failure::{Refused, failure};
use crate::provider::fit::hash;

/// Tool calls of one answer; each piece of one is looked for among all of them.
const MAX_CALLS: usize = 1024;

/// Reads a buffered answer of status 2xx.
pub(in crate::provider) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    told_failure(reply, reply["object"] == "error")?;
    let choice = match first(&reply["choices"]) {
        // Who gives one answer may give it any number.
        Value::Null => &reply["choices"][0],
        choice => choice,
    };
    if choice.is_null() {
        return Err(failed("the provider's answer has no `choices`"));
    }
    choice_error(choice)?;
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.start(reply, &mut events);
    decoder.extras(reply, choice, &mut events);
    decoder.delta(&choice["message"], &mut events)?;
    decoder.finish = Some(decoder.reason(choice["finish_reason"].as_str())?);
    events.extend(usage(reply, choice).map(ChatEvent::Usage));
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(in crate::provider) struct Decoder {
    state: State,
    thoughts: Thoughts,
    id: String,
    finish: Option<FinishReason>,
    refused: bool,
    /// There was a choice.
    chosen: bool,
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
    /// Its arguments are a text and not JSON.
    is_custom: bool,
    arguments: String,
    signature: Option<String>,
}

impl Decoder {
    /// Reads the data of one frame.
    pub(in crate::provider) fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        if self.done || data.trim().is_empty() {
            return Ok(Vec::new());
        }
        if data.trim() == "[DONE]" {
            self.done = true;
            return Ok(Vec::new());
        }
        let is_error = name == "error";
        let chunk = if is_error { serde_json::from_str(data).unwrap_or_else(|_| data.into()) } else { parse(data.as_bytes())? };
        told_failure(&chunk, is_error || chunk["object"] == "error")?;
        let mut events = Vec::new();
        self.start(&chunk, &mut events);
        let choice = first(&chunk["choices"]);
        self.chosen |= !choice.is_null();
        choice_error(choice)?;
        self.extras(&chunk, choice, &mut events);
        // Some servers answer with `message` where `delta` belongs.
        let delta = choice.get("delta").filter(|delta| !delta.is_null()).unwrap_or(&choice["message"]);
        self.delta(delta, &mut events)?;
        if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
            self.finish = Some(self.reason(Some(reason))?);
        }
        events.extend(usage(&chunk, choice).map(ChatEvent::Usage));
        Ok(events)
    }

    /// Whether the last frame was seen.
    pub(in crate::provider) fn is_done(&self) -> bool {
        self.done
    }

    /// Says how the stream ended when no more bytes come.
    pub(in crate::provider) fn end(&mut self) -> Result<Vec<ChatEvent>> {
        if let Some(call) = self.calls.iter().find(|call| call.index.is_none()) {
            return Err(failed(format!("the provider's tool call `{}` has no name", call.id)));
        }
        let reason = match self.finish.take().or_else(|| (self.done && self.chosen).then_some(FinishReason::Stop)) {
            // Some servers say `stop` where tools are to be called.
            Some(FinishReason::Stop) if self.begun > 0 => FinishReason::ToolCalls,
            Some(reason) => reason,
            None if self.done => return Err(failed("the provider's stream has no `choices`")),
            None => return Err(cut()),
        };
        // Clients read the arguments of every call, also of one that was told none.
        let silent = self.calls.iter().filter(|call| call.arguments.is_empty() && !call.is_custom).filter_map(|call| call.index);
        let nothing = silent.map(|index| ChatEvent::Arguments { index, json: "{}".to_owned() });
        Ok(nothing.chain([ChatEvent::Finish(reason)]).collect())
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
        events.extend(told_usage(reply, choice).into_iter().flat_map(details));
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
    fn delta(&mut self, message: &Value, events: &mut Vec<ChatEvent>) -> Result<()> {
        self.thoughts.read(message, events);
        match &message["content"] {
            Value::String(text) => state_text(text, events, ChatEvent::Text),
            Value::Array(parts) => parts.iter().for_each(|part| chunk(part, events)),
            _ => {}
        }
        if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            state_text(refusal, events, ChatEvent::Refusal);
        }
        for name in ["annotations", "executed_tools", "images"] {
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
            self.call(call, call["index"].as_u64().or(place), events)?;
        }
        // What there was before there could be several; who still fills it beside them says the same twice.
        if calls.is_empty() && message["function_call"].is_object() {
            self.call(&json!({"function": message["function_call"]}), Some(0), events)?;
        }
        Ok(())
    }

    /// Finds the call that a piece belongs to: by an id seen before, else by its number, else the current one. A new id, or a new
    /// name after whole arguments, begins a new call even on a number in use.
    fn call(&mut self, piece: &Value, wire: Option<u64>, events: &mut Vec<ChatEvent>) -> Result<()> {
        // A custom tool takes a text in place of arguments.
        let custom = &piece["custom"];
        let function = if custom.is_object() { custom } else { &piece["function"] };
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
        if at.is_none() && self.calls.len() == MAX_CALLS {
            return Err(failed(format!("the provider's answer has more than {MAX_CALLS} tool calls")));
        }
        let at = at.unwrap_or_else(|| {
            self.calls.push(Call { wire, id: id.to_owned(), ..Call::default() });
            self.calls.len() - 1
        });
        let arguments = match &function[if custom.is_object() { "input" } else { "arguments" }] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            value => value.to_string(),
        };
        let signature = piece.pointer("/extra_content/google/thought_signature").and_then(Value::as_str);
        let made_up = made_up_id(&self.id, at);
        let call = &mut self.calls[at];
        call.is_custom |= custom.is_object();
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
                let own = call.is_custom.then(|| Raw { dialect: "openai".to_owned(), value: json!({"type": "custom"}) });
                events.push(ChatEvent::ToolCall { index, id, name: name.to_owned(), signature, own });
                if !call.arguments.is_empty() {
                    events.push(ChatEvent::Arguments { index, json: call.arguments.clone() });
                }
            }
            _ => {}
        }
        Ok(())
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
pub(in crate::provider) fn made_up_id(answer: &str, number: usize) -> String {
    format!("call_{}", &hash(&format!("{answer}/{number}"))[..24])
}

pub(super) fn state_text(text: &str, events: &mut Vec<ChatEvent>, event: fn(String) -> ChatEvent) {
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
        None => events.push(ChatEvent::Raw(Raw { dialect: "openai".to_owned(), value: part.clone() })),
    }
}

/// A failure in the place of an answer or of a piece of one. vLLM, Mistral and others tell it without an `error` around it, which
/// `is_bare` says.
fn told_failure(reply: &Value, is_bare: bool) -> Result<()> {
    let inner = [reply.get("error"), reply.pointer("/x_groq/error")].into_iter().flatten().find(|error| !error.is_null());
    let refused = Refused { status: 200, ..Refused::default() };
    match inner {
        Some(error) => Err(failure(&refused, &json!({ "error": error }))),
        None if is_bare => Err(failure(&refused, reply)),
        None => Ok(()),
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
fn told_usage<'a>(reply: &'a Value, choice: &'a Value) -> Option<&'a Value> {
    let places = [&reply["usage"], &choice["usage"], &reply["x_groq"]["usage"]];
    places.into_iter().find(|usage| usage.is_object())
}

/// What only this dialect counts: sound, and what of a prediction was of use.
fn details(usage: &Value) -> impl Iterator<Item = ChatEvent> {
    const OURS: [&str; 3] = ["cached_tokens", "cache_write_tokens", "reasoning_tokens"];
    ["prompt_tokens_details", "completion_tokens_details"].into_iter().filter_map(|name| {
        let counted = usage[name].as_object()?.iter().filter(|(name, count)| !OURS.contains(&name.as_str()) && tokens(count) > 0);
        let counted: serde_json::Map<_, _> = counted.map(|(name, count)| (name.clone(), count.clone())).collect();
        (!counted.is_empty()).then(|| ChatEvent::Extra(name.to_owned(), counted.into()))
    })
}

fn usage(reply: &Value, choice: &Value) -> Option<Usage> {
    let usage = told_usage(reply, choice)?;
    let prompt = tokens(&usage["prompt_tokens"]);
    let prompt_details = &usage["prompt_tokens_details"];
    let read = [
        &prompt_details["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["num_cached_tokens"],
        &usage["cached_tokens"],
    ];
    let (answered, reasoning) =
        (tokens(&usage["completion_tokens"]), tokens(&usage["completion_tokens_details"]["reasoning_tokens"]));
    // Some count thoughts beside the answer, as their sum shows.
    let is_beside = tokens(&usage["total_tokens"]) == prompt.saturating_add(answered).saturating_add(reasoning);
    Some(Usage {
        prompt_tokens: prompt,
        completion_tokens: if is_beside { answered.saturating_add(reasoning) } else { answered },
        cache_read_tokens: read.into_iter().map(tokens).find(|count| *count > 0).unwrap_or(0),
        cache_write_tokens: tokens(&prompt_details["cache_write_tokens"]),
        cache_write_1h_tokens: 0,
        reasoning_tokens: reasoning,
    })
}
