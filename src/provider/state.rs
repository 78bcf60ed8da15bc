//! What decoders of several dialects keep while an answer comes: whether its beginning was told, and the facts of the provider's
//! own.

use serde_json::{Map, Value};

use crate::chat::ChatEvent;

/// What was told, and what is to be told.
#[derive(Debug, Default)]
pub(super) struct State {
    started: bool,
    told: Vec<String>,
    kept: Map<String, Value>,
}

impl State {
    /// Tells the beginning once, as soon as there is anything to tell.
    pub(super) fn start(&mut self, id: &str, model: &str, events: &mut Vec<ChatEvent>) {
        if !self.started && (!id.is_empty() || !model.is_empty()) {
            self.started = true;
            events.push(ChatEvent::Start { id: id.to_owned(), model: model.to_owned() });
        }
    }

    /// Tells a fact of the provider's own once; what is empty is none.
    pub(super) fn extra(&mut self, name: &str, value: &Value, events: &mut Vec<ChatEvent>) {
        if !is_empty(value) && !self.told.iter().any(|told| told == name) {
            self.told.push(name.to_owned());
            events.push(ChatEvent::Extra(name.to_owned(), value.clone()));
        }
    }

    /// Keeps a fact that later pieces may know better, until [`Self::tell`].
    pub(super) fn keep(&mut self, name: &str, value: &Value) {
        if !is_empty(value) {
            self.kept.insert(name.to_owned(), value.clone());
        }
    }

    /// As [`Self::keep`], of an object whose lists go on from piece to piece.
    pub(super) fn join(&mut self, name: &str, value: &Value) {
        let Some(Value::Object(before)) = self.kept.get_mut(name) else { return self.keep(name, value) };
        for (field, value) in value.as_object().into_iter().flatten() {
            match (before.get_mut(field), value) {
                (Some(Value::Array(before)), Value::Array(more)) => before.extend(more.iter().cloned()),
                _ => {
                    before.insert(field.clone(), value.clone());
                }
            }
        }
    }

    /// As [`Self::join`], of lists in which nothing stands twice.
    pub(super) fn unite(&mut self, name: &str, value: &Value) {
        let mut value = value.clone();
        if let (Some(Value::Object(before)), Some(fields)) = (self.kept.get(name), value.as_object_mut()) {
            for (field, list) in fields {
                if let (Some(Value::Array(before)), Value::Array(more)) = (before.get(field), list) {
                    more.retain(|item| !before.contains(item));
                }
            }
        }
        self.join(name, &value);
    }

    /// Tells what was kept.
    pub(super) fn tell(&mut self, events: &mut Vec<ChatEvent>) {
        events.extend(std::mem::take(&mut self.kept).into_iter().map(|(name, value)| ChatEvent::Extra(name, value)));
    }
}

/// Tells a text, unless it is empty.
pub(super) fn push_text(text: &str, events: &mut Vec<ChatEvent>, kind: fn(String) -> ChatEvent) {
    if !text.is_empty() {
        events.push(kind(text.to_owned()));
    }
}

/// Whether a value says nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
