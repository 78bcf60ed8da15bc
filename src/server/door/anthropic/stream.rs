//! A streamed answer in Anthropic's dialect: blocks one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::response::Response;
use axum::response::sse::Event;
use serde_json::{Map, Value, json};

use super::{ToolUse, WireUsage, error, name_of, reason, some};
use crate::app::App;
use crate::chat::{ChatEvent, ToolCall, Usage, proof};
use crate::error::Result;
use crate::rag::{Answer, Question};
use crate::server::Context;
use crate::server::door::{self, Door, Omni, Told};
use crate::server::request::Shown;
use crate::server::sse::event;

/// Streams an answer as blocks.
pub(super) async fn streamed(app: &Arc<App>, context: &Context, asked: (Question, Shown)) -> Result<Response> {
    let (mut writer, name, id) = (Writer::default(), name_of(context), context.id.clone());
    let write = move |told: Told, out: &mut VecDeque<Event>| match told {
        Told::Start(model, usage) => out.push_back(start(&name, &model, usage)),
        Told::Event(event) => writer.take(event, out),
        Told::Done(answer, omni) => writer.end(&answer, &omni, out),
        Told::Failed(failure) => out.push_back(event("error", &error(&failure, &id))),
    };
    door::streamed(app, context, Door::Anthropic, asked, Some(event("ping", &json!({"type": "ping"}))), write).await
}

/// The beginning. Clients take some of the usage from here alone.
fn start(name: &str, model: &str, usage: Option<Usage>) -> Event {
    let message = json!({"id": name, "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": WireUsage::new(usage, &Map::new())});
    event("message_start", &json!({"type": "message_start", "message": message}))
}

/// What kind of block is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Refusal,
    Thinking,
    Tool(usize),
    /// One that is told at once.
    Whole,
}

/// Writes blocks one after the other: the dialect has no two open at once. Providers may tell tool calls in turns, so what comes
/// while a call's arguments are not whole JSON yet is held until they are, or until the end.
#[derive(Default)]
struct Writer {
    open: Option<Block>,
    /// The next text is another than the one that is open.
    apart: bool,
    next: usize,
    /// Bytes of text that were told, and of those how many before the last text began.
    text_bytes: usize,
    text_start: usize,
    /// What was told of the open call's arguments.
    arguments: String,
    held: VecDeque<ChatEvent>,
}

impl Writer {
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

    /// Writes the rest, and what is known at the end.
    fn end(&mut self, answer: &Answer, omni: &Omni, out: &mut VecDeque<Event>) {
        self.release(true, out);
        if self.open == Some(Block::Text) {
            for (_, citation) in omni.told.iter().filter(|(at, _)| *at >= self.text_start) {
                self.delta(json!({"type": "citations_delta", "citation": citation}), out);
            }
        }
        self.close(out);
        let usage = WireUsage::new(answer.usage, &answer.extra);
        let mut delta = json!({"stop_reason": reason(answer), "stop_sequence": answer.extra.get("stop_sequence"),
            "stop_details": answer.extra.get("stop_details")});
        if let Some(container) = answer.extra.get("container") {
            delta["container"] = container.clone();
        }
        let mut end = json!({"type": "message_delta", "delta": delta, "usage": usage, "omni": omni});
        if let Some(context) = answer.extra.get("context_management") {
            end["context_management"] = context.clone();
        }
        out.push_back(event("message_delta", &end));
        out.push_back(event("message_stop", &json!({"type": "message_stop"})));
    }

    fn open(&mut self, block: Block, start: Value, out: &mut VecDeque<Event>) {
        if self.open == Some(block) {
            return;
        }
        self.close(out);
        out.push_back(event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": self.next, "content_block": start}),
        ));
        self.open = Some(block);
    }

    fn close(&mut self, out: &mut VecDeque<Event>) {
        if self.open == Some(Block::Thinking) {
            self.delta(json!({"type": "signature_delta", "signature": proof::NONE}), out);
        }
        self.stop(out);
    }

    fn stop(&mut self, out: &mut VecDeque<Event>) {
        if self.open.take().is_some() {
            out.push_back(event("content_block_stop", &json!({"type": "content_block_stop", "index": self.next})));
            self.next += 1;
        }
    }

    fn delta(&self, delta: Value, out: &mut VecDeque<Event>) {
        out.push_back(event("content_block_delta", &json!({"type": "content_block_delta", "index": self.next, "delta": delta})));
    }

    fn whole(&mut self, block: Value, out: &mut VecDeque<Event>) {
        self.open(Block::Whole, block, out);
        self.close(out);
    }

    fn event(&mut self, event: ChatEvent, out: &mut VecDeque<Event>) {
        match event {
            ChatEvent::Refusal(text) => {
                self.text_bytes += text.len();
                self.open(Block::Refusal, json!({"type": "text", "text": ""}), out);
                self.delta(json!({"type": "text_delta", "text": text}), out);
            }
            ChatEvent::Text(text) => {
                if std::mem::take(&mut self.apart) && self.open == Some(Block::Text) {
                    self.close(out);
                }
                if self.open != Some(Block::Text) {
                    self.text_start = self.text_bytes;
                }
                self.text_bytes += text.len();
                self.open(Block::Text, json!({"type": "text", "text": ""}), out);
                self.delta(json!({"type": "text_delta", "text": text}), out);
            }
            ChatEvent::Break => self.apart = true,
            ChatEvent::Citation(raw) => {
                if raw.dialect == "anthropic" && self.open == Some(Block::Text) {
                    self.delta(json!({"type": "citations_delta", "citation": raw.value}), out);
                }
                self.apart = true;
            }
            ChatEvent::Reasoning(text) => {
                self.open(Block::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                self.delta(json!({"type": "thinking_delta", "thinking": text}), out);
            }
            ChatEvent::Signature(signature) => {
                self.open(Block::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                self.delta(json!({"type": "signature_delta", "signature": signature}), out);
                self.stop(out);
            }
            ChatEvent::Redacted(data) => self.whole(json!({"type": "redacted_thinking", "data": data}), out),
            ChatEvent::ToolCall { index, id, name, signature, own } => {
                let call = ToolCall { id, name, arguments: "{}".to_owned(), signature, own };
                self.open(Block::Tool(index), json!(ToolUse::of(&call)), out);
                self.arguments.clear();
            }
            // Behind whole arguments there is nothing but white space.
            ChatEvent::Arguments { index, json } if self.open == Some(Block::Tool(index)) => {
                // Inside an object a piece may be a `null` of its own.
                let piece = if self.arguments.is_empty() { some(&json) } else { &json };
                self.delta(json!({"type": "input_json_delta", "partial_json": piece}), out);
                self.arguments.push_str(&json);
            }
            ChatEvent::Raw(raw) if raw.dialect == "anthropic" => self.whole(raw.value, out),
            ChatEvent::Raw(_) => self.apart = true,
            _ => {}
        }
    }
}

/// Whether a call's arguments are whole.
fn is_whole(arguments: &str) -> bool {
    arguments.trim_end().ends_with('}') && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}
