//! What one dialect has a word for and another has not: it goes where it is known, and is said to be left out elsewhere.

use serde_json::Value;

use super::body::merge;
use super::capability::Capabilities;
use super::dialect::Dialect;
use crate::chat::{ChatRequest, Media, Part, Raw, Source, Tool, Warning, Warnings};
use crate::error::{Error, Result};

/// Fields of a request that the vendor's specification names and we have no word for (OpenAI's openapi 2.3.0, Anthropic's of May
/// 2026 with its betas and SDK 2.14.0). A field that none of them names is the provider's own and goes along.
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
            "billing_policy",
            "cache_control",
            "compaction",
            "container",
            "context_management",
            "diagnostics",
            "fallback_credit_token",
            "fallbacks",
            "inference_geo",
            "mcp_servers",
            "metadata",
            "output_config",
            "output_format",
            "speed",
            "user_profile_id",
            "workspace_id",
        ],
    ),
];

/// The dialects that can be told how closely to look at a picture.
const TAKE_DETAIL: [Dialect; 2] = [Dialect::OpenAi, Dialect::Cohere];

/// Takes out of `extra` what the caller's dialect has a word for and the model has not.
pub(super) fn take_out(request: &mut ChatRequest, caps: &Capabilities, who: &str, warnings: &mut Warnings) {
    let Some((dialect, fields)) = FIELDS.iter().find(|(dialect, _)| *dialect == request.extra_dialect) else { return };
    let taken = if *dialect == "openai" { &caps.openai_fields } else { &caps.anthropic_fields };
    request.extra.retain(|name, _| {
        let is_left = fields.contains(&name.as_str()) && !taken.iter().any(|known| known == "*" || known == name);
        if is_left {
            warnings.push(Warning::dropped(name, format!("`{who}` does not take it")));
        }
        !is_left
    });
}

/// Says what of `request` has no place in `dialect`.
///
/// # Errors
/// It cannot be left out: a tool, or a file that lies at another provider.
pub(super) fn left_out(request: &ChatRequest, dialect: Dialect, warnings: &mut Warnings) -> Result<()> {
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
    let parts = request.messages.iter().flat_map(|message| &message.parts).flat_map(with_results);
    let mut elsewhere = None;
    for part in parts {
        match part {
            Part::Raw(raw) if raw.dialect != who => elsewhere = elsewhere.or_else(|| bound(&raw.value)),
            Part::Citation(raw) if raw.dialect != who => left_out("text.citations".to_owned()),
            // What nobody asked for more closely is what everybody does.
            Part::Image(media) if !TAKE_DETAIL.contains(&dialect) && media.detail.as_deref().is_some_and(|it| it != "auto") => {
                left_out("image.detail".to_owned());
            }
            Part::Document(Media { name: Some(_), source: Source::Base64 { .. } | Source::Url { .. }, .. })
                if dialect == Dialect::Gemini =>
            {
                left_out("document.name".to_owned());
            }
            _ => {}
        }
    }
    for part in request.messages.iter().flat_map(|message| &message.parts) {
        let (kind, own) = match part {
            Part::ToolCall(call) => ("tool_call", &call.own),
            Part::ToolResult(result) => ("tool_result", &result.own),
            _ => continue,
        };
        let strange = own.as_ref().filter(|own| own.dialect != who).and_then(|own| own.value.as_object());
        strange.into_iter().flat_map(serde_json::Map::keys).for_each(|field| left_out(format!("{kind}.{field}")));
    }
    if let Some(raw) = request.native_tools.iter().find(|raw| raw.dialect != who) {
        let kind: String = raw.value["type"].as_str().unwrap_or_default().chars().take(40).collect();
        let remedy = format!("only the dialect of `{}` has such tools, and this one speaks `{who}`; send functions", raw.dialect);
        return Err(Error::not_supported(&format!("tools: {kind}"), remedy));
    }
    match elsewhere {
        Some((field, remedy)) => Err(Error::not_supported(field, remedy)),
        None => Ok(()),
    }
}

/// What of a block nobody else can read, and what to do about it: the question would be another one without it.
fn bound(block: &Value) -> Option<(&'static str, &'static str)> {
    const LIES: &str = "the file does not lie at this provider; send its bytes";
    match block {
        _ if block["file"]["file_id"].is_string() => Some(("file.file_id", LIES)),
        _ if block["source"]["file_id"].is_string() => Some(("source.file_id", LIES)),
        _ if block["type"] == "container_upload" => Some(("container_upload", LIES)),
        _ if block["type"] == "input_audio" => Some(("input_audio", "this provider takes no sound; send what is said in it")),
        _ => None,
    }
}

/// The name of a tool of one dialect's own, where it has one.
pub(crate) fn name(tool: &Raw) -> Option<&str> {
    tool.value["name"].as_str().or_else(|| tool.value["custom"]["name"].as_str())
}

/// The tools of `dialect`'s own, as it has them: before the functions, so that a mark of the cache on those holds for all.
pub(super) fn tools<'a>(request: &'a ChatRequest, dialect: &'a str) -> impl Iterator<Item = Value> + 'a {
    request.native_tools.iter().filter(move |raw| raw.dialect == dialect).map(|raw| raw.value.clone())
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
