//! What one dialect has a word for and another has not: it goes where it is known, and is said to be left out elsewhere.

use serde_json::Value;

use super::body::merge;
use super::dialect::Dialect;
use crate::chat::{ChatRequest, Part, Tool, Warning};

/// Says what of `request` has no place in `dialect`.
pub(super) fn left_out(request: &ChatRequest, dialect: Dialect, warnings: &mut Vec<Warning>) {
    let mut names: Vec<String> = Vec::new();
    for tool in &request.tools {
        let strange = tool.own.as_ref().filter(|own| own.dialect != dialect.as_str());
        let fields = strange.and_then(|own| own.value.as_object()).into_iter().flatten();
        for (field, value) in fields {
            match value.as_object().filter(|_| field == "function") {
                Some(inner) => names.extend(inner.keys().map(|inner| format!("tools.{}.function.{inner}", tool.name))),
                None => names.push(format!("tools.{}.{field}", tool.name)),
            }
        }
    }
    let cites = matches!(dialect, Dialect::Anthropic | Dialect::Bedrock);
    for part in request.messages.iter().flat_map(|message| &message.parts).flat_map(with_results) {
        match part {
            Part::Document(media) if !cites => {
                names.extend(media.context.is_some().then(|| "document.context".to_owned()));
                names.extend(media.cited.then(|| "document.citations".to_owned()));
            }
            Part::Citation(raw) if raw.dialect != dialect.as_str() => names.push("text.citations".to_owned()),
            _ => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    let who = dialect.as_str();
    warnings.extend(names.into_iter().map(|name| Warning::dropped(name, format!("the dialect of `{who}` has no place for it"))));
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
