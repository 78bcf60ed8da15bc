//! What comes back in Anthropic's dialect: whole answers and streams.

use serde_json::{Map, Value};

use crate::chat::{ChatEvent, FinishReason, Raw, Usage};
use crate::error::Result;
use crate::provider::dialect::{Reader, cut, failed, parse, tokens, told_error};
use crate::provider::failure::{Refused, failure};
use crate::provider::state::{State, push_text};

/// Reads a buffered answer of status 2xx.
pub(in crate::provider) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    if reply["type"] == "error" || told_error(reply).is_some() {
        return Err(failure(&Refused::inside("anthropic"), reply));
    }
    if !reply["content"].is_array() {
        return Err(failed("the provider's answer has no `content`"));
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.message(reply, &mut events);
    for block in reply["content"].as_array().into_iter().flatten() {
        decoder.open(block, &mut events);
        decoder.close(&mut events);
    }
    decoder.ending(reply, &reply["usage"], &mut events);
    decoder.facts(reply);
    decoder.done = true;
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(in crate::provider) struct Decoder {
    state: State,
    /// Every field of every usage so far; later ones replace earlier ones.
    usage: Map<String, Value>,
    open: Open,
    /// The last thing told is a text that was not cited.
    was_text: bool,
    calls: usize,
    finish: Option<FinishReason>,
    done: bool,
}

/// The content block that is being told.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    /// Its citations may come before its words; they are told behind them.
    Text {
        citations: Vec<Value>,
    },
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

impl Reader for Decoder {
    fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        let frame = parse(data.as_bytes())?;
        let mut events = Vec::new();
        match frame["type"].as_str().unwrap_or(name) {
            "message_start" => {
                let message = &frame["message"];
                self.message(message, &mut events);
                self.facts(message);
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
                self.facts(&frame);
            }
            "message_stop" => self.done = true,
            "error" => {
                return Err(failure(&Refused::inside("anthropic"), &frame));
            }
            _ => {}
        }
        Ok(events)
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(&mut self) -> Result<Vec<ChatEvent>> {
        match self.finish.take() {
            _ if !self.done => Err(cut()),
            reason => {
                let mut events = Vec::new();
                self.state.tell(&mut events);
                events.push(ChatEvent::Finish(reason.unwrap_or_default()));
                Ok(events)
            }
        }
    }
}

impl Decoder {
    /// What stands beside what a message says.
    fn facts(&mut self, beside: &Value) {
        for name in ["context_management", "diagnostics", "input_transformations"] {
            self.state.keep(name, &beside[name]);
        }
    }

    fn message(&mut self, message: &Value, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        self.state.start(text("id"), text("model"), events);
        self.state.extra("container", &message["container"], events);
    }

    fn ending(&mut self, delta: &Value, usage: &Value, events: &mut Vec<ChatEvent>) {
        let reason = &delta["stop_reason"];
        // To us they are as any length and any pause; Anthropic's own clients know them.
        if matches!(reason.as_str(), Some("model_context_window_exceeded" | "compaction")) {
            self.state.extra("stop_reason", reason, events);
        }
        self.finish = reason.as_str().map(finish).or(self.finish.take());
        for name in ["stop_sequence", "stop_details", "container"] {
            self.state.extra(name, &delta[name], events);
        }
        self.snapshot(usage, events);
    }

    fn snapshot(&mut self, usage: &Value, events: &mut Vec<ChatEvent>) {
        let Some(fields) = usage.as_object() else { return };
        self.usage.extend(fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())));
        let is_counted = ["input_tokens", "output_tokens"].iter().any(|name| self.usage.get(*name).is_some_and(Value::is_number));
        events.extend(is_counted.then(|| ChatEvent::Usage(neutral(&self.usage))));
        for name in ["service_tier", "speed", "inference_geo"] {
            self.state.extra(name, &usage[name], events);
        }
        for name in ["iterations", "fallback_credit"] {
            self.state.keep(name, &usage[name]);
        }
        let server = &usage["server_tool_use"];
        if server.is_object() {
            events.push(ChatEvent::Extra("server_tool_use".to_owned(), server.clone()));
        }
    }

    fn open(&mut self, block: &Value, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| block[name].as_str().unwrap_or_default();
        if std::mem::replace(&mut self.was_text, text("type") == "text") && self.was_text {
            events.push(ChatEvent::Break);
        }
        self.open = match text("type") {
            "text" => {
                push_text(text("text"), events, ChatEvent::Text);
                Open::Text { citations: block["citations"].as_array().cloned().unwrap_or_default() }
            }
            "thinking" => {
                push_text(text("thinking"), events, ChatEvent::Reasoning);
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
                let own = own_of_call(|field| block.get(field).cloned());
                events.push(ChatEvent::ToolCall { index, id, name, signature: None, own });
                Open::Call { index, input: block["input"].clone(), told: false }
            }
            _ => Open::Raw { block: block.as_object().cloned().unwrap_or_default(), json: String::new() },
        };
    }

    fn delta(&mut self, delta: &Value, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| delta[name].as_str().unwrap_or_default();
        match (text("type"), &mut self.open) {
            ("text_delta", _) => push_text(text("text"), events, ChatEvent::Text),
            ("thinking_delta", _) => push_text(text("thinking"), events, ChatEvent::Reasoning),
            ("signature_delta", Open::Thought { signature }) => signature.push_str(text("signature")),
            ("citations_delta", Open::Text { citations }) => citations.push(delta["citation"].clone()),
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
            Open::Nothing => {}
            Open::Text { citations } => {
                self.was_text &= citations.is_empty();
                let raw = |value| Raw::of("anthropic", value);
                events.extend(citations.into_iter().map(raw).map(ChatEvent::Citation));
            }
            Open::Thought { signature } => push_text(&signature, events, ChatEvent::Signature),
            Open::Call { index, input, told } => {
                if !told {
                    let json = match input {
                        Value::String(text) if !text.is_empty() => text,
                        input if input.is_object() => input.to_string(),
                        _ => "{}".to_owned(),
                    };
                    events.push(ChatEvent::Arguments { index, json });
                }
            }
            Open::Raw { mut block, json } => {
                if let Ok(input) = serde_json::from_str::<Value>(&json) {
                    block.insert("input".to_owned(), input);
                }
                events.push(ChatEvent::Raw(Raw::of("anthropic", block)));
            }
        }
    }
}

/// The fields that only this dialect has of a call or its result: who called, and from which set of tools.
pub(crate) fn own_of_call(mut field: impl FnMut(&str) -> Option<Value>) -> Option<Raw> {
    let told = ["caller", "toolset_name"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), field(name).filter(|it| !it.is_null())?)));
    let value: Map<String, Value> = told.collect();
    (!value.is_empty()).then(|| Raw::of("anthropic", value))
}

/// Claude's reasons, which Bedrock shares.
pub(in crate::provider) fn finish(reason: &str) -> FinishReason {
    match reason {
        "end_turn" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        "pause_turn" | "compaction" => FinishReason::Pause,
        other => FinishReason::Other(other.to_owned()),
    }
}

/// What is counted, with what it took to make the conversation shorter: the sums leave that out.
fn neutral(usage: &Map<String, Value>) -> Usage {
    counts(usage).plus(compaction(usage.get("iterations")))
}

/// What it took to make the conversation shorter.
pub(crate) fn compaction(iterations: Option<&Value>) -> Usage {
    let iterations = iterations.and_then(Value::as_array).into_iter().flatten();
    let compactions = iterations.filter(|iteration| iteration["type"] == "compaction").filter_map(Value::as_object);
    compactions.map(counts).fold(Usage::default(), Usage::plus)
}

fn counts(usage: &Map<String, Value>) -> Usage {
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
