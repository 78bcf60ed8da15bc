//! What one dialect has a word for and another has not: it goes where it is known, and is said to be left out elsewhere.

use serde_json::Value;

use super::body::merge;
use super::dialect::Dialect;
use crate::chat::{ChatRequest, Part, Tool, Warning, Warnings};

/// Fields of a request that the vendor's specification names and we have no word for (OpenAI's openapi 2.3.0, Anthropic's of May 2026
/// with its betas and SDK 2.12.0). A field that none of them names is the provider's own and goes along.
const FIELDS: [(&str, &[&str]); 2] = [
    (
        "openai",
        &[
            "audio",
            "logit_bias",
            "logprobs",
            "metadata",
            "modalities",
            "moderation",
            "prediction",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
            "store",
            "top_logprobs",
            "verbosity",
            "web_search_options",
        ],
    ),
    (
        "anthropic",
        &[
            "cache_control",
            "container",
            "context_management",
            "inference_geo",
            "mcp_servers",
            "metadata",
            "output_config",
            "output_format",
            "speed",
            "user_profile_id",
        ],
    ),
];

/// Such fields that another dialect takes in the same sense.
const SHARED: [(&str, &str); 1] = [("cohere", "logprobs")];

/// Takes out of `extra` what the caller's dialect has a word for and the provider's has not.
pub(super) fn take_out(request: &mut ChatRequest, dialect: Dialect, warnings: &mut Warnings) {
    let who = dialect.as_str();
    let theirs = FIELDS.iter().find(|(theirs, _)| *theirs == request.extra_dialect && *theirs != who);
    let Some((_, fields)) = theirs else { return };
    request.extra.retain(|name, _| {
        let is_theirs = fields.contains(&name.as_str()) && !SHARED.contains(&(who, name.as_str()));
        if is_theirs {
            warnings.push(Warning::dropped(name, format!("the dialect of `{who}` has no place for it")));
        }
        !is_theirs
    });
}

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
