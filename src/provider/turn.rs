//! What dialects with strict turns share: neighbouring messages of one side become one turn.

use serde_json::{Map, Value};

use crate::chat::{ChatRequest, Part, Role, Warning, Warnings};

/// One side's turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// [`Role::User`] or [`Role::Assistant`].
    pub(super) role: Role,
    /// Everything that it says; what tools answered comes first.
    pub(super) parts: Vec<&'a Part>,
}

/// The conversation without its system messages, in turns. All answers to parallel tool calls are in one turn, because providers
/// refuse them in several.
pub(super) fn turns(request: &ChatRequest) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in &request.messages {
        let role = match message.role {
            Role::System => continue,
            Role::Assistant => Role::Assistant,
            Role::User | Role::Tool => Role::User,
        };
        match turns.last_mut().filter(|turn| turn.role == role) {
            Some(turn) => turn.parts.extend(&message.parts),
            None => turns.push(Turn { role, parts: message.parts.iter().collect() }),
        }
    }
    for turn in &mut turns {
        turn.parts.sort_by_key(|part| !matches!(part, Part::ToolResult(_)));
    }
    turns
}

/// A call's arguments as the object that strict dialects want. What is none was written by a model in an earlier turn, and must not
/// end the conversation: it goes as the text that it is.
pub(super) fn arguments(json: &str, warnings: &mut Warnings) -> Value {
    match serde_json::from_str(if json.trim().is_empty() { "{}" } else { json }) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => {
            warnings.push(Warning::changed("tool_call.arguments", "no JSON object: sent as `{\"arguments\": \"...\"}`"));
            Value::Object(Map::from_iter([("arguments".to_owned(), json.into())]))
        }
    }
}
