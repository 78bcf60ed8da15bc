//! A streamed answer, and how it amounts to a whole one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{ChatResponse, FinishReason, Part, Raw, Thought, ToolCall, Usage, Warning};

/// A piece of a streamed answer. A stream of these folds into a [`ChatResponse`].
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// The answer began. At most once, and before any content.
    Start {
        /// The provider's name of this answer.
        id: String,
        /// The model as the provider names it.
        model: String,
    },
    /// Something was dropped, renamed or changed on the way to the provider.
    Warning(Warning),
    /// The next piece of text.
    Text(String),
    /// The text so far is whole; what follows is another text.
    Break,
    /// What the text just told rests on; ends that text.
    Citation(Raw),
    /// The next piece of a refusal.
    Refusal(String),
    /// The next piece of a thought. What follows a thought of another kind, or a signature, begins a new one.
    Reasoning(String),
    /// The signature of the thought just told, or of a hidden one; ends that thought.
    Signature(String),
    /// A whole encrypted thought.
    Redacted(String),
    /// A tool call begins.
    ToolCall {
        /// Counts tool calls from 0, in the order in which they begin.
        index: usize,
        /// Unique in the conversation.
        id: String,
        /// The tool's name.
        name: String,
        /// Must come back with the call.
        signature: Option<String>,
        /// As [`ToolCall::own`].
        own: Option<Raw>,
    },
    /// The next piece of a call's arguments. Calls may be told in turns.
    Arguments {
        /// Of which call.
        index: usize,
        /// JSON text.
        json: String,
    },
    /// A block that only one dialect knows.
    Raw(Raw),
    /// The usage so far: a snapshot, which replaces an earlier one.
    Usage(Usage),
    /// What only this provider says. A list is continued by a later list, `audio` by its next piece, what is in `executed_tools`
    /// by what comes under its number; anything else is replaced.
    Extra(String, Value),
    /// The answer is complete: always the last event. A stream without it was cut.
    Finish(FinishReason),
}

/// Turns events into the answer that they amount to.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    answer: ChatResponse,
    /// Where each tool call stands among the parts.
    calls: Vec<usize>,
    /// The last part is a thought that more text belongs to.
    open_thought: bool,
    /// The next text begins a new part.
    apart: bool,
}

/// The answer that a whole stream amounts to.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a ChatEvent>) -> ChatResponse {
    let mut fold = Fold::default();
    for event in events {
        fold.push(event);
    }
    fold.finish()
}

impl Fold {
    /// Takes the next event.
    pub fn push(&mut self, event: &ChatEvent) {
        let parts = &mut self.answer.parts;
        let open_thought = std::mem::take(&mut self.open_thought);
        match event {
            ChatEvent::Start { id, model } => {
                id.clone_into(&mut self.answer.id);
                model.clone_into(&mut self.answer.model);
                self.open_thought = open_thought;
            }
            ChatEvent::Warning(warning) => {
                self.answer.warnings.push(warning.clone());
                self.open_thought = open_thought;
            }
            ChatEvent::Text(text) if text.is_empty() => {}
            ChatEvent::Text(text) => match parts.last_mut() {
                Some(Part::Text(before)) if !self.apart => before.push_str(text),
                _ => {
                    self.apart = false;
                    parts.push(Part::Text(text.clone()));
                }
            },
            ChatEvent::Break => self.apart = true,
            ChatEvent::Citation(raw) => parts.push(Part::Citation(raw.clone())),
            ChatEvent::Refusal(text) => match parts.last_mut() {
                Some(Part::Refusal(before)) => before.push_str(text),
                _ => parts.push(Part::Refusal(text.clone())),
            },
            ChatEvent::Reasoning(text) => {
                match parts.last_mut() {
                    Some(Part::Reasoning(thought)) if open_thought => thought.text.push_str(text),
                    _ => parts.push(Part::Reasoning(Thought { text: text.clone(), ..Thought::default() })),
                }
                self.open_thought = true;
            }
            ChatEvent::Signature(signature) => match parts.last_mut() {
                Some(Part::Reasoning(thought)) if open_thought => thought.signature = Some(signature.clone()),
                _ => parts.push(Part::Reasoning(Thought { signature: Some(signature.clone()), ..Thought::default() })),
            },
            ChatEvent::Redacted(data) => {
                parts.push(Part::Reasoning(Thought { redacted: Some(data.clone()), ..Thought::default() }));
            }
            ChatEvent::ToolCall { id, name, signature, own, .. } => {
                self.calls.push(parts.len());
                let (id, name, signature, own) = (id.clone(), name.clone(), signature.clone(), own.clone());
                parts.push(Part::ToolCall(ToolCall { id, name, arguments: String::new(), signature, own }));
            }
            ChatEvent::Arguments { index, json } => {
                if let Some(Part::ToolCall(call)) = self.calls.get(*index).and_then(|&at| parts.get_mut(at)) {
                    call.arguments.push_str(json);
                }
            }
            ChatEvent::Raw(raw) => parts.push(Part::Raw(raw.clone())),
            ChatEvent::Usage(usage) => {
                self.answer.usage = Some(*usage);
                self.open_thought = open_thought;
            }
            ChatEvent::Extra(name, value) => {
                merge(&mut self.answer.extra, name, value);
                self.open_thought = open_thought;
            }
            ChatEvent::Finish(reason) => reason.clone_into(&mut self.answer.finish_reason),
        }
    }

    /// The answer so far, as after a stream that was left early.
    pub fn answer(&self) -> &ChatResponse {
        &self.answer
    }

    /// The whole answer.
    pub fn finish(mut self) -> ChatResponse {
        for part in &mut self.answer.parts {
            if let Part::ToolCall(call) = part
                && !call.is_text()
            {
                call.arguments = compact(&call.arguments);
            }
        }
        self.answer
    }
}

/// The events that a whole answer would have been streamed as; the inverse of [`fold`].
pub fn unfold(answer: ChatResponse) -> Vec<ChatEvent> {
    let mut events = Vec::with_capacity(answer.parts.len() + 4);
    events.push(ChatEvent::Start { id: answer.id, model: answer.model });
    events.extend(answer.warnings.into_iter().map(ChatEvent::Warning));
    let (mut calls, mut was_text) = (0, false);
    for part in answer.parts {
        if std::mem::replace(&mut was_text, matches!(part, Part::Text(_))) && was_text {
            events.push(ChatEvent::Break);
        }
        match part {
            Part::Text(text) => events.push(ChatEvent::Text(text)),
            Part::Citation(raw) => events.push(ChatEvent::Citation(raw)),
            Part::Refusal(text) => events.push(ChatEvent::Refusal(text)),
            Part::Reasoning(thought) => {
                if !thought.text.is_empty() || (thought.signature.is_none() && thought.redacted.is_none()) {
                    events.push(ChatEvent::Reasoning(thought.text));
                }
                events.extend(thought.signature.map(ChatEvent::Signature));
                events.extend(thought.redacted.map(ChatEvent::Redacted));
            }
            Part::ToolCall(call) => {
                let ToolCall { id, name, signature, own, .. } = call;
                events.push(ChatEvent::ToolCall { index: calls, id, name, signature, own });
                events.push(ChatEvent::Arguments { index: calls, json: call.arguments });
                calls += 1;
            }
            Part::Raw(raw) => events.push(ChatEvent::Raw(raw)),
            // No answer holds these.
            Part::Image(_) | Part::Document(_) | Part::ToolResult(_) | Part::CachePoint(_) => {}
        }
    }
    events.extend(answer.extra.into_iter().map(|(name, value)| ChatEvent::Extra(name, value)));
    events.extend(answer.usage.map(ChatEvent::Usage));
    events.push(ChatEvent::Finish(answer.finish_reason));
    events
}

fn merge(extra: &mut Map<String, Value>, name: &str, value: &Value) {
    match (extra.get_mut(name), value) {
        (Some(Value::Array(before)), Value::Array(more)) if name == "executed_tools" => {
            more.iter().for_each(|tool| ran(before, tool));
        }
        (Some(Value::Array(before)), Value::Array(more)) => before.extend(more.iter().cloned()),
        (Some(Value::Object(before)), Value::Object(more)) if name == "audio" => heard(before, more),
        _ => {
            extra.insert(name.to_owned(), value.clone());
        }
    }
}

/// A tool that the provider ran itself, told as it begins and again as it has ended.
fn ran(before: &mut Vec<Value>, tool: &Value) {
    let known = before.iter_mut().find(|known| tool["index"].is_u64() && known["index"] == tool["index"]);
    match (known.and_then(Value::as_object_mut), tool.as_object()) {
        (Some(known), Some(tool)) => known.extend(tool.clone()),
        _ => before.push(tool.clone()),
    }
}

/// Adds the next piece of a spoken answer: its sound and its transcript go on.
fn heard(before: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match (name.as_str(), before.get_mut(name), value) {
            ("transcript", Some(Value::String(before)), Value::String(more)) => before.push_str(more),
            ("data", Some(Value::String(before)), Value::String(more)) => push_base64(before, more),
            _ => {
                before.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Adds base64 to base64. Each piece is padded for itself; only the padded end is written anew, because sounds and pictures are
/// long.
pub(crate) fn push_base64(before: &mut String, more: &str) {
    let end = before.len().saturating_sub(4);
    let padded = before.get(end..).filter(|end| end.ends_with('='));
    match padded.map(|end| (STANDARD.decode(end), STANDARD.decode(more))) {
        Some((Ok(last), Ok(more))) => {
            before.truncate(end);
            STANDARD.encode_string([last, more].concat(), before);
        }
        _ => before.push_str(more),
    }
}

/// JSON without blanks between its tokens, so that equal arguments are equal texts however they came; no arguments are an empty
/// object; what is no JSON stays as it is.
pub(crate) fn compact(json: &str) -> String {
    if json.trim().is_empty() {
        return "{}".to_owned();
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
        return json.to_owned();
    }
    let (mut in_string, mut escaped) = (false, false);
    let keep = |letter: &char| {
        if in_string {
            (in_string, escaped) = (escaped || *letter != '"', !escaped && *letter == '\\');
            return true;
        }
        in_string = *letter == '"';
        !letter.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ChatResponse {
        ChatResponse {
            id: "1".into(),
            model: "m".into(),
            parts: vec![
                Part::Reasoning(Thought { text: "a".into(), signature: Some("s".into()), redacted: None }),
                Part::Reasoning(Thought { text: "b".into(), signature: None, redacted: None }),
                Part::Text("hi".into()),
                Part::Text("there".into()),
                Part::Citation(Raw { dialect: "d".into(), value: Value::from(2) }),
                Part::Text("you".into()),
                Part::Refusal("no".into()),
                Part::ToolCall(ToolCall {
                    id: "c".into(),
                    name: "f".into(),
                    arguments: r#"{"a":1}"#.into(),
                    ..ToolCall::default()
                }),
                Part::Reasoning(Thought { redacted: Some("x".into()), ..Thought::default() }),
                Part::Raw(Raw { dialect: "d".into(), value: Value::from(1) }),
                Part::ToolCall(ToolCall {
                    id: "d".into(),
                    name: "g".into(),
                    arguments: "{}".into(),
                    signature: Some("t".into()),
                    own: Some(Raw { dialect: "d".into(), value: Value::from(3) }),
                }),
            ],
            finish_reason: FinishReason::Other("odd".into()),
            usage: Some(Usage { prompt_tokens: 1, ..Usage::default() }),
            warnings: vec![Warning::dropped("x", "why")],
            extra: Map::from_iter([("k".to_owned(), Value::from(vec![1]))]),
        }
    }

    #[test]
    fn folding_undoes_unfolding() {
        assert_eq!(fold(&unfold(sample())), sample());
    }

    #[test]
    fn calls_told_in_turns_keep_their_arguments() {
        let call = |index, id: &str| ChatEvent::ToolCall { index, id: id.into(), name: id.into(), signature: None, own: None };
        let arguments = |index, json: &str| ChatEvent::Arguments { index, json: json.into() };
        let events =
            [call(0, "a"), call(1, "b"), arguments(1, "{ \"x\" :"), arguments(0, "{\"y\": \"a \\\" b\"}"), arguments(1, "2}")];
        let answer = fold(&events);
        let seen: Vec<&str> = answer.tool_calls().map(|call| call.arguments.as_str()).collect();
        assert_eq!(seen, [r#"{"y":"a \" b"}"#, r#"{"x":2}"#]);
    }

    #[test]
    fn sound_in_pieces_is_one_sound() {
        let piece = |json: &str| ChatEvent::Extra("audio".into(), serde_json::from_str(json).unwrap());
        let answer = fold(&[
            piece(r#"{"id": "a", "transcript": "Hel"}"#),
            piece(r#"{"data": "AQ=="}"#),
            piece(r#"{"transcript": "lo", "data": "AgM="}"#),
            piece(r#"{"expires_at": 7}"#),
        ]);
        let expected = serde_json::json!({"id": "a", "transcript": "Hello", "data": "AQID", "expires_at": 7});
        assert_eq!(answer.extra["audio"], expected);
    }

    #[test]
    fn a_tool_that_is_told_twice_under_its_number_is_one() {
        let told = |json: &str| ChatEvent::Extra("executed_tools".into(), serde_json::from_str(json).unwrap());
        let answer = fold(&[
            told(r#"[{"index": 0, "type": "search", "search_results": {"results": []}}]"#),
            told(r#"[{"index": 0, "output": "x", "search_results": {"results": [1]}}, {"index": 1, "type": "python"}]"#),
        ]);
        let first = serde_json::json!({"index": 0, "type": "search", "search_results": {"results": [1]}, "output": "x"});
        assert_eq!(answer.extra["executed_tools"], serde_json::json!([first, {"index": 1, "type": "python"}]));
    }

    #[test]
    fn a_long_sound_is_put_together_in_the_time_of_its_length() {
        let piece = ChatEvent::Extra("audio".into(), serde_json::json!({"data": STANDARD.encode([7; 100])}));
        assert_eq!(fold(&vec![piece; 50_000]).extra["audio"]["data"], STANDARD.encode(vec![7; 5_000_000]));
        // Of what was there only the padded end is read: the rest need not even be base64.
        let mut before = "!!!!!!!!AQ==".to_owned();
        push_base64(&mut before, "AgM=");
        assert_eq!(before, "!!!!!!!!AQID");
    }

    #[test]
    fn arguments_are_compact_json_or_what_the_model_wrote() {
        for (given, expected) in [
            ("", "{}"),
            (" \n", "{}"),
            (r#"{ "a" : [ 1 , " \\" ] }"#, r#"{"a":[1," \\"]}"#),
            (r#"{"n": 12345678901234567890123, "e": 1e400}"#, r#"{"n":12345678901234567890123,"e":1e400}"#),
            (r#"{"a": 1"#, r#"{"a": 1"#),
        ] {
            assert_eq!(compact(given), expected);
        }
    }
}
