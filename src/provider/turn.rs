//! What dialects with strict turns share: neighbouring messages of one side become one turn.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::arguments::has_lost_digits;
use crate::chat::{ChatRequest, Part, Raw, Role, ToolResult, Warning, Warnings};

/// One side's turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// [`Role::User`], [`Role::Assistant`], or [`Role::System`] where instructions stand in mid-conversation.
    pub(super) role: Role,
    /// Everything that it says; what tools answered comes first, in the order of the calls.
    pub(super) parts: Vec<&'a Part>,
}

impl Turn<'_> {
    /// Its side, as Claude's dialects name it.
    pub(super) fn role(&self) -> &'static str {
        match self.role {
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::User | Role::Tool => "user",
        }
    }
}

/// The instructions that stand in front of a conversation.
pub(super) fn system(request: &ChatRequest) -> impl Iterator<Item = &Part> {
    request.messages.iter().take_while(|message| message.role == Role::System).flat_map(|message| &message.parts)
}

/// The conversation without the instructions in front of it, in turns. All answers to parallel tool calls are in one turn, because
/// providers refuse them in several.
pub(super) fn turns(request: &ChatRequest) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in request.messages.iter().skip_while(|message| message.role == Role::System) {
        let role = match message.role {
            Role::System => Role::System,
            Role::Assistant => Role::Assistant,
            Role::User | Role::Tool => Role::User,
        };
        match turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => turn.parts.extend(&message.parts),
            None => turns.push(Turn { role, parts: message.parts.iter().collect() }),
        }
    }
    // Where calls have no ids, an answer is known by its place alone.
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for turn in &mut turns {
        turn.parts.sort_by_key(|part| match part {
            Part::ToolResult(result) => (false, calls.get(result.call_id.as_str()).copied().unwrap_or(usize::MAX)),
            _ => (true, 0),
        });
        let called = turn.parts.iter().enumerate().filter_map(|(at, part)| match part {
            Part::ToolCall(call) => Some((call.id.as_str(), at)),
            _ => None,
        });
        calls = called.collect();
    }
    turns
}

/// A call's arguments as the object that strict dialects want. What is none was written by a model in an earlier turn, and must not
/// end the conversation: it goes as the text that it is.
pub(super) fn arguments(json: &str, warnings: &mut Warnings) -> Value {
    match serde_json::from_str(if json.trim().is_empty() { "{}" } else { json }) {
        Ok(value @ Value::Object(_)) => {
            if has_lost_digits(&value, json) {
                warnings.push(Warning::changed("tool_call.arguments", "a number of more than 64 bits is rounded"));
            }
            value
        }
        _ => {
            warnings.push(Warning::changed("tool_call.arguments", "no JSON object: sent as `{\"arguments\": \"...\"}`"));
            Value::Object(Map::from_iter([("arguments".to_owned(), json.into())]))
        }
    }
}

/// A tool's schema with the type that strict dialects want to read at its root. Arguments are an object whatever it says.
pub(super) fn object_schema(schema: &Value) -> Value {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.entry("type").or_insert_with(|| "object".into());
    Value::Object(schema)
}

/// What a tool answered, for dialects whose tools answer in text, a line or more for each text: of a block that only another one
/// knows, the texts inside it.
/// Pictures, documents and marks of the cache are the dialect's own matter.
pub(super) fn answered(result: &ToolResult, warnings: &mut Warnings) -> String {
    let mut texts: Vec<Cow<'_, str>> = Vec::new();
    for part in &result.content {
        match part {
            Part::Text(text) | Part::Refusal(text) => texts.push(text.into()),
            Part::Raw(raw) => texts.extend(inner_text(raw, "tool_result.content", warnings).map(Cow::from)),
            Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => {
                warnings.push(Warning::dropped("tool_result.content", "thoughts and calls are no answer of a tool"));
            }
            Part::Image(_) | Part::Document(_) | Part::CachePoint(_) | Part::Citation(_) => {}
        }
    }
    texts.join("\n")
}

/// The texts inside a block that the dialect does not know, said under `field`. What has a `role` is a whole message, as of a tool
/// that a provider ran itself, and was not said by who sends it back.
pub(super) fn inner_text(raw: &Raw, field: &str, warnings: &mut Warnings) -> Option<String> {
    let mut found = Vec::new();
    if raw.value.get("role").is_none() {
        texts(&raw.value, &mut found);
    }
    let what = format!("a block of `{}`", raw.dialect);
    if found.is_empty() {
        warnings.push(Warning::dropped(field, what));
        return None;
    }
    warnings.push(Warning::changed(field, format!("{what}: the text in it")));
    Some(found.join("\n"))
}

fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => {
            found.extend(["text", "content"].into_iter().filter_map(|name| fields.get(name)?.as_str()));
            fields.values().for_each(|value| texts(value, found));
        }
        _ => {}
    }
}
