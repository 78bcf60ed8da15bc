//! What comes back in OpenAI's dialect: whole answers and streams.

use serde_json::{Value, json};

use super::thought::Thoughts;
use super::usage::{details, told_usage, usage};
use crate::chat::{ChatEvent, FinishReason, Raw};
use crate::error::Result;
use crate::provider::dialect::{Reader, cut, failed, parse, told_error};
use crate::provider::failure::{Refused, failure};
use crate::provider::id::made_up;
use crate::provider::state::{State, is_empty, push_text};

/// Tool calls of one answer; each piece of one is looked for among all of them.
const MAX_CALLS: usize = 1024;

/// Reads a buffered answer of status 2xx.
pub(in crate::provider) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    told_failure(reply, reply["object"] == "error")?;
    let mut decoder = Decoder { is_whole: true, ..Decoder::default() };
    let choice = decoder.choice(&reply["choices"]);
    if choice.is_null() {
        return Err(failed("the provider's answer has no `choices`"));
    }
    choice_error(choice)?;
    let mut events = Vec::new();
    decoder.start(reply, &mut events);
    decoder.extras(reply, choice, &mut events);
    // Mistral tells those of its own tools, too.
    match choice["messages"].as_array() {
        Some(messages) if choice["message"].is_null() => {
            messages.iter().try_for_each(|message| decoder.delta(message, &mut events))?;
        }
        _ => decoder.delta(&choice["message"], &mut events)?,
    }
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
    /// What is read is no stream.
    is_whole: bool,
    /// The number of the choice that is told, once there was one.
    chosen: Option<u64>,
    /// The pieces are of what a tool answered that the provider ran itself.
    is_served: bool,
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
    /// The provider ran its tool itself.
    is_answered: bool,
}

impl Reader for Decoder {
    fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        if self.done {
            return Ok(Vec::new());
        }
        let is_error = name == "error";
        let chunk = if is_error { serde_json::from_str(data).unwrap_or_else(|_| data.into()) } else { parse(data.as_bytes())? };
        told_failure(&chunk, is_error || chunk["object"] == "error")?;
        let mut events = Vec::new();
        self.start(&chunk, &mut events);
        let choice = self.choice(&chunk["choices"]);
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

    fn done(&mut self) {
        self.done = true;
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(&mut self) -> Result<Vec<ChatEvent>> {
        if let Some(call) = self.calls.iter().find(|call| call.index.is_none()) {
            return Err(failed(format!("the provider's tool call `{}` has no name", call.id)));
        }
        let reason = match self.finish.take().or_else(|| (self.done && self.chosen.is_some()).then_some(FinishReason::Stop)) {
            // Some servers say `stop` where tools are to be called.
            Some(FinishReason::Stop) if self.calls.iter().any(|call| !call.is_answered) => FinishReason::ToolCalls,
            Some(reason) => reason,
            None if self.done => return Err(failed("the provider's stream has no `choices`")),
            None => return Err(cut()),
        };
        // Clients read the arguments of every call, also of one that was told none.
        let silent = self.calls.iter().filter(|call| call.arguments.is_empty() && !call.is_custom).filter_map(|call| call.index);
        let mut events: Vec<ChatEvent> = silent.map(|index| ChatEvent::Arguments { index, json: "{}".to_owned() }).collect();
        self.thoughts.end(&mut events);
        self.state.tell(&mut events);
        events.push(ChatEvent::Finish(reason));
        Ok(events)
    }
}

impl Decoder {
    /// The first of several answers, by their numbers. Who gives one answer may give it any.
    fn choice<'a>(&mut self, choices: &'a Value) -> &'a Value {
        let choices = choices.as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |choice: &Value| choice["index"].as_u64().unwrap_or(0);
        self.chosen = self.chosen.or_else(|| choices.iter().map(number).min());
        choices.iter().find(|choice| Some(number(choice)) == self.chosen).unwrap_or(&Value::Null)
    }

    fn start(&mut self, reply: &Value, events: &mut Vec<ChatEvent>) {
        let (id, model) = (reply["id"].as_str().unwrap_or_default(), reply["model"].as_str().unwrap_or_default());
        if self.id.is_empty() {
            id.clone_into(&mut self.id);
        }
        self.state.start(id, model, events);
    }

    /// What only this provider says. What repeats in every chunk is told once; what may change is told at the end.
    fn extras(&mut self, reply: &Value, choice: &Value, events: &mut Vec<ChatEvent>) {
        for (name, counted) in told_usage(reply, choice).into_iter().flat_map(details) {
            self.state.keep(name, &counted);
        }
        for name in ["service_tier", "system_fingerprint", "citations", "search_results"] {
            self.state.extra(name, &reply[name], events);
        }
        self.state.extra("service_tier", &reply["usage"]["service_tier"], events);
        // Who resells says by whom the answer is (OpenRouter).
        for name in ["moderation", "prompt_filter_results", "provider", "usage_breakdown", "mcp_list_tools"] {
            self.state.keep(name, &reply[name]);
        }
        // What some say that it cost (OpenRouter, Perplexity).
        for name in ["cost", "cost_details", "search_context_size"] {
            self.state.keep(name, &reply["usage"][name]);
        }
        // Groq's, of streams.
        self.state.keep("usage_breakdown", &reply["x_groq"]["usage_breakdown"]);
        for name in ["content_filter_results", "native_finish_reason", "stop_reason"] {
            self.state.keep(name, &choice[name]);
        }
        match &choice["logprobs"] {
            // Lists go on from chunk to chunk.
            Value::Object(lists) => {
                for (list, items) in lists.iter().filter(|(_, items)| items.as_array().is_some_and(|items| !items.is_empty())) {
                    let name = if list == "content" { "logprobs".to_owned() } else { format!("logprobs.{list}") };
                    events.push(ChatEvent::Extra(name, items.clone()));
                }
            }
            value => self.state.extra("logprobs", value, events),
        }
    }

    /// Reads a message, or a piece of one.
    fn delta(&mut self, message: &Value, events: &mut Vec<ChatEvent>) -> Result<()> {
        if let Some(role) = message["role"].as_str().filter(|role| !role.is_empty()) {
            self.is_served = role == "tool";
        }
        if self.is_served {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            self.calls.iter_mut().filter(|call| call.id == id).for_each(|call| call.is_answered = true);
            let is_told = ["content", "tool_calls"].into_iter().any(|name| message.get(name).is_some_and(|told| !is_empty(told)));
            events.extend(is_told.then(|| raw(message)));
            return Ok(());
        }
        self.thoughts.read(message, events);
        match &message["content"] {
            Value::String(text) if !text.is_empty() => {
                self.thoughts.end(events);
                events.push(ChatEvent::Text(text.clone()));
            }
            Value::Array(parts) => parts.iter().for_each(|part| self.part(part, events)),
            Value::Null | Value::String(_) => {}
            // Who answers in a shape may tell it as JSON (Cloudflare).
            value => {
                self.thoughts.end(events);
                events.push(ChatEvent::Text(value.to_string()));
            }
        }
        if let Some(refusal) = message["refusal"].as_str().filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            push_text(refusal, events, ChatEvent::Refusal);
        }
        for name in ["annotations", "executed_tools", "images"] {
            if let Some(Value::Array(items)) =
                message.get(name).filter(|items| items.as_array().is_some_and(|items| !items.is_empty()))
            {
                events.push(ChatEvent::Extra(name.to_owned(), items.clone().into()));
            }
        }
        // What Azure found in the operator's own data.
        self.state.keep("context", &message["context"]);
        if message["audio"].is_object() {
            events.push(ChatEvent::Extra("audio".to_owned(), message["audio"].clone()));
        }
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (place, call) in (0..).zip(calls) {
            // Told together, they are several, whatever is missing.
            let place = (calls.len() > 1).then_some(place);
            let wire = if self.is_whole { place } else { call["index"].as_u64().or(place) };
            self.call(call, wire, events)?;
        }
        // What there was before there could be several; who still fills it beside them says the same twice.
        if calls.is_empty() && message["function_call"].is_object() {
            self.call(&json!({"function": message["function_call"]}), Some(0), events)?;
        }
        Ok(())
    }

    /// A part of a content that is a list: Mistral's thoughts, texts, and what else there is.
    fn part(&mut self, part: &Value, events: &mut Vec<ChatEvent>) {
        if !part["thinking"].is_null() {
            return self.thoughts.part(part, events);
        }
        self.thoughts.end(events);
        match part["text"].as_str().or(part.as_str()) {
            Some(text) => push_text(text, events, ChatEvent::Text),
            None => events.push(raw(part)),
        }
    }

    /// Finds the call that a piece belongs to: by an id seen before, else by its number, else the current one. A new id, or a new
    /// name after whole arguments, begins a new call even on a number in use, and so does a name on another number with an id in
    /// use.
    fn call(&mut self, piece: &Value, wire: Option<u64>, events: &mut Vec<ChatEvent>) -> Result<()> {
        self.thoughts.end(events);
        // A custom tool takes a text in place of arguments.
        let custom = &piece["custom"];
        let function = if custom.is_object() { custom } else { &piece["function"] };
        let id = piece["id"].as_str().unwrap_or_default();
        let name = function["name"].as_str().unwrap_or_default();
        let named = !name.is_empty();
        let is_same = |call: &Call| !id.is_empty() && call.id == id;
        let is_apart = |call: &Call| named && wire.is_some() && call.wire.is_some() && call.wire != wire;
        let same_id = self.calls.iter().rposition(|call| is_same(call) && call.wire == wire);
        let same_id = same_id.or_else(|| self.calls.iter().rposition(|call| is_same(call) && !is_apart(call)));
        let same_number = match wire {
            Some(wire) => self.calls.iter().rposition(|call| call.wire == Some(wire)),
            None => self.calls.len().checked_sub(1),
        };
        let is_whole = |at: usize| {
            let call = &self.calls[at];
            call.index.is_some() && serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok()
        };
        let at = same_id.or_else(|| {
            let at = same_number?;
            // Most pieces have no name, and no need to read all arguments before them.
            let another = || if id.is_empty() { is_whole(at) } else { !self.calls[at].id.is_empty() };
            (!(named && another())).then_some(at)
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
        let made_up = || made_up(&self.id, at);
        let own = if self.calls[at].id.is_empty() { id } else { &self.calls[at].id };
        let is_new = named && self.calls[at].index.is_none();
        let is_taken = is_new && !own.is_empty() && self.calls[..at].iter().any(|call| call.id == own);
        let call = &mut self.calls[at];
        call.is_custom |= custom.is_object();
        call.arguments.push_str(&arguments);
        if let Some(signature) = signature {
            call.signature = Some(signature.to_owned());
        }
        if call.id.is_empty() {
            call.id = if id.is_empty() { made_up() } else { id.to_owned() };
        }
        match call.index {
            Some(index) if !arguments.is_empty() => events.push(ChatEvent::Arguments { index, json: arguments }),
            None if named => {
                let index = self.begun;
                call.index = Some(index);
                self.begun += 1;
                let id = if is_taken { made_up() } else { call.id.clone() };
                let signature = call.signature.clone();
                let own = call.is_custom.then(|| Raw::of("openai", json!({"type": "custom"})));
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
        let reason = reason.unwrap_or_default();
        // Who passes on other vendors' answers may pass on their words for it.
        Ok(match reason.to_ascii_lowercase().as_str() {
            _ if self.refused => FinishReason::ContentFilter,
            "" | "stop" | "eos" | "end_turn" | "eos_token" => FinishReason::Stop,
            "stop_sequence" => FinishReason::StopSequence,
            "length" | "model_length" | "max_tokens" => FinishReason::Length,
            "tool_calls" | "tool_call" | "tool_use" | "function_call" => FinishReason::ToolCalls,
            "content_filter" => FinishReason::ContentFilter,
            "error" => return Err(failed("the provider ended its answer with an error")),
            _ => FinishReason::Other(reason.to_owned()),
        })
    }
}

pub(super) fn raw(value: &Value) -> ChatEvent {
    ChatEvent::Raw(Raw::of("openai", value.clone()))
}

/// A failure in the place of an answer or of a piece of one. vLLM, Mistral and others tell it without an `error` around it, which
/// `is_bare` says.
fn told_failure(reply: &Value, is_bare: bool) -> Result<()> {
    let inner = told_error(reply).or_else(|| told_error(&reply["x_groq"]));
    let refused = Refused::inside("");
    match inner {
        Some(error) => Err(failure(&refused, &json!({ "error": error }))),
        None if is_bare => Err(failure(&refused, reply)),
        None => Ok(()),
    }
}

/// OpenRouter puts the failure of whoever it asked into the choice.
fn choice_error(choice: &Value) -> Result<()> {
    match told_error(choice) {
        Some(error) => Err(failure(&Refused::inside(""), &json!({ "error": error }))),
        None => Ok(()),
    }
}
