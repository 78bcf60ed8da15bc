//! What one dialect has a word for and another has not: it goes where it is known, and is said to be left out elsewhere.

use serde_json::Value;

use super::body::merge;
use super::dialect::Dialect;
use crate::chat::{ChatRequest, Part, Tool, Warning, Warnings};

/// Says what of `request` has no place in `dialect`.
pub(super) fn left_out(request: &ChatRequest, dialect: Dialect, warnings: &mut Warnings) {
    let who = dialect.as_str();
    let mut left_out =
        |field: String| warnings.push(Warning::dropped(field, format!("the dialect of `{who}` has no place for it")));
    for tool in &request.tools {
        let strange = tool.own.as_ref().filter(|own| own.dialect != who);
        let fields = strange.and_then(|own| own.value.as_object()).into_iter().flatten();
        for (field, value) in fields {
            match value.as_object().filter(|_| field == "function") {
                Some(inner) => inner.keys().for_each(|inner| left_out(format!("tools.{}.function.{inner}", tool.name))),
                None => left_out(format!("tools.{}.{field}", tool.name)),
            }
        }
    }
    let mut parts = request.messages.iter().flat_map(|message| &message.parts).flat_map(with_results);
    if parts.any(|part| matches!(part, Part::Citation(raw) if raw.dialect != who)) {
        left_out("text.citations".to_owned());
    }
}

/// A part, or the parts of a tool's answer.
fn with_results(part: &Part) -> &[Part] {
    match part {
        Part::ToolResult(result) => &result.content,
        part => std::slice::from_ref(part),
    }
}

/// Adds the fields of the dialect's own to a tool.
pub(super) fn add(mut written: Value, tool: &Tool, dialect: &str) -> Value {
    if let Some(own) = tool.own.as_ref().filter(|own| own.dialect == dialect) {
        merge(&mut written, &own.value);
    }
    written
}
