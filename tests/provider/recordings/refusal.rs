//! Refusals: by status, and inside of answers.

use bytes::Bytes;
use omni_llm::error::Code;
use omni_llm::net::Reply;
use omni_llm::provider::Dialect;
use serde_json::Value;

use super::exchange::{Exchange, json, list};
use super::{Kind, Outcome, holds, same};

/// What may be the beginning of a key, which is told to nobody.
const KEYS: [&str; 6] = ["sk-", "gsk_", "AIza", "xai-", "eyJ", "Bearer "];
const TOLD_CHARS: usize = 40;

/// What a refusal says.
struct Said {
    /// The provider's names of it, in lower case.
    names: Vec<String>,
    /// The field of the request that it is about.
    field: String,
    /// What Bedrock was told by whoever runs the model. Of its own failures it says 500, and no more than without.
    original: Option<u16>,
    message: String,
    /// What a gateway was told by whoever stands behind it.
    behind: String,
}

pub(super) fn check(exchange: &Exchange<'_>) -> Outcome {
    let (status, headers, body) = (exchange.status(), exchange.headers(), exchange.body().unwrap_or_default());
    let kind = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let said = said(&kind, &json(&String::from_utf8_lossy(&body)).unwrap_or_default());
    let error = exchange.row().refusal(&Reply { status, headers, body: Bytes::from(body) });
    same("status", &error.refusal().status, &Some(status))?;
    // Of a wrong request it speaks where the model wrote what is wrong, too.
    let original = said.original.map(|original| code(exchange.provider, original, &said));
    let code = original.filter(|code| *code != Code::InvalidRequest).unwrap_or_else(|| code(exchange.provider, status, &said));
    same(&format!("code of {status} `{}`", said.message), &error.code(), &code)?;
    // The provider's own words come through, unless they may hold a key.
    let start: String = said.message.chars().take_while(|letter| !letter.is_control()).take(TOLD_CHARS).collect();
    let end = KEYS.iter().filter_map(|key| start.find(key)).min().unwrap_or(start.len());
    let is_told = code == Code::Authentication || error.message().contains(&start[..end]);
    holds(&format!("`{}` says `{}`", error.message(), &start[..end]), is_told)?;
    Ok(Kind::Refused)
}

fn said(kind: &str, body: &Value) -> Said {
    let body = body.get(0).unwrap_or(body);
    let error = if body["error"].is_object() { &body["error"] } else { body };
    let kind = kind.split([':', '#']).next().unwrap_or_default();
    let details = list(&error["details"]).map(|detail| &detail["reason"]);
    let names = ["code", "type", "status", "__type"].map(|name| &error[name]).into_iter().chain(details);
    let names = names.filter_map(Value::as_str).chain([kind]).map(str::to_lowercase).collect();
    let field = error["param"].as_str().unwrap_or_default().to_owned();
    // Python's servers say of each field what is wrong with it.
    let checks = [&error["message"]["detail"][0]["msg"], &body["detail"][0]["msg"]];
    let places = [&error["message"], &error["Message"], &body["error"], &body["detail"]].into_iter().chain(checks);
    let message = places.filter_map(Value::as_str).find(|text| !text.is_empty()).unwrap_or_default();
    let behind = innermost(error["metadata"]["raw"].as_str().unwrap_or_default());
    let original = error["originalStatusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
    let original = original.filter(|status| *status != 500);
    Said { names, field, original, message: innermost(message), behind }
}

/// A message, or the one of the refusal that it holds as JSON.
fn innermost(message: &str) -> String {
    match json(message) {
        Ok(inner) if inner.is_object() || inner.is_array() => said("", &inner).message,
        _ => message.to_owned(),
    }
}

/// More was sent than the model takes.
const TOO_LONG: [&str; 17] = [
    "context length",
    "context window",
    "context size",
    "context limit",
    "maximum context",
    "maximum model length",
    "maximum prompt length",
    "prompt is too long",
    "input is too long",
    "input tokens exceeds maximum length",
    "too many tokens",
    "input token count",
    "too large for model",
    "model token limit",
    "range of input length",
    "`max_new_tokens` must be",
    "`inputs` must have less than",
];
/// There is no such model. Of tools and calls that there are not, vendors speak, too: what is missing follows the word.
const NO_MODEL: [&str; 6] = [
    "model identifier is invalid",
    "with on-demand throughput",
    "is not a valid model id",
    "model not found",
    "invalid model:",
    "model names are",
];
const NO_MONEY: [&str; 5] = ["credit balance", "usage limits", "spending limit", "hard limit", "any credits"];

/// The one code of a refusal. With 400 vendors say what others have statuses for; their names of it say more than the status.
fn code(provider: &str, status: u16, said: &Said) -> Code {
    let named = |names: &[&str]| said.names.iter().any(|name| names.contains(&name.as_str()));
    let message = format!("{}: {}", said.message, said.behind).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let lacks = |rest: &str| ["does not exist", "not found"].iter().any(|words| rest.starts_with(words));
    let mut behind_name = message.match_indices("model ").filter_map(|(at, word)| message[at + word.len()..].split_once(' '));
    let lacks_model = says(&NO_MODEL) || behind_name.any(|(_, rest)| lacks(rest));
    // What is too much for a minute passes; what is too large for it does not.
    let is_busy = status != 413 && named(&["throttlingexception", "rate_limit_exceeded", "rate_limit_error"]);
    let is_content = said.field.starts_with("messages") && said.field.contains(".content");
    let is_too_long = named(&["context_length_exceeded", "exceed_context_size_error"])
        || named(&["string_above_max_length"]) && (is_content || said.field.starts_with("input"))
        || says(&TOO_LONG);
    match status {
        400 | 413 | 422 | 500 if is_too_long && !is_busy => Code::ContextLength,
        400 | 403 | 429 if says(&NO_MONEY) => Code::Budget,
        _ if named(&["insufficient_quota", "billing_error", "billing_not_active", "billing_hard_limit_reached"]) => Code::Budget,
        _ if named(&["servicequotaexceededexception"]) => Code::Budget,
        400 | 422 if named(&["tool_use_failed", "json_validate_failed"]) => Code::ModelOutput,
        400 if named(&["content_filter", "content_policy_violation", "data_inspection_failed"]) => Code::ContentFilter,
        403 if says(&["flagged", "moderation"]) => Code::ContentFilter,
        400 if says(&["incorrect api key"]) => Code::Authentication,
        _ if named(&["api_key_invalid", "invalid_api_key", "authentication_error"]) => Code::Authentication,
        _ if named(&["overloaded_error", "modelnotreadyexception"]) => Code::Overloaded,
        _ if named(&["rate_limit_error", "rate_limit_exceeded", "throttlingexception"]) => Code::RateLimit,
        _ if named(&["model_not_found", "invalid_model", "model_decommissioned", "not_found_error"]) => Code::InvalidModel,
        400 if lacks_model => Code::InvalidModel,
        400 if says(&["content filtering", "our usage policy", "content exists risk"]) => Code::ContentFilter,
        400 | 422 => Code::InvalidRequest,
        401 | 403 => Code::Authentication,
        402 => Code::Budget,
        404 => Code::InvalidModel,
        408 | 504 => Code::Timeout,
        413 => Code::BodyTooLarge,
        424 if provider == "bedrock" => Code::ModelOutput,
        429 => Code::RateLimit,
        498 if provider == "groq" => Code::Overloaded,
        498 => Code::Authentication,
        503 | 529 => Code::Overloaded,
        _ => Code::ProviderError,
    }
}

/// Whether a failure is told inside of an answer, or what cannot be read.
pub(super) fn has_failed(bodies: &[Value]) -> bool {
    const STOPS: [&str; 2] = ["malformed_model_output", "malformed_tool_use"];
    const FINISHES: [&str; 4] = ["ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT"];
    const CANDIDATES: [&str; 5] = [
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
    ];
    let is_told = |error: &Value| ![Value::Null, false.into(), "".into(), serde_json::json!({})].contains(error);
    let one_of = |reasons: &[&str], told: &Value| told.as_str().is_some_and(|told| reasons.contains(&told));
    bodies.iter().any(|body| match body {
        Value::Array(chunks) => has_failed(chunks),
        Value::String(text) => text != "[DONE]",
        body => {
            [&body["error"], &body["x_groq"]["error"], &body["delta"]["error"]].into_iter().any(is_told)
                || body["type"] == "error"
                || body["object"] == "error"
                || body.as_object().is_some_and(|body| body.keys().any(|key| key.contains("xception")))
                || list(&body["choices"]).any(|choice| is_told(&choice["error"]) || choice["finish_reason"] == "error")
                || list(&body["candidates"]).any(|candidate| one_of(&CANDIDATES, &candidate["finishReason"]))
                || [&body["stopReason"], &body["messageStop"]["stopReason"]].into_iter().any(|reason| one_of(&STOPS, reason))
                || [&body["finish_reason"], &body["delta"]["finish_reason"]].into_iter().any(|reason| one_of(&FINISHES, reason))
        }
    })
}

/// Whether an answer is there up to its end: one that was cut is none, nor is what holds no answer at all.
pub(super) fn has_end(dialect: Dialect, bodies: &[Value], is_stream: bool) -> bool {
    let any = |is_end: &dyn Fn(&Value) -> bool| bodies.iter().any(is_end);
    let any_of = |name: &str, is_end: &dyn Fn(&Value) -> bool| any(&|body| list(&body[name]).any(is_end));
    match (dialect, is_stream) {
        (Dialect::OpenAi, false) => any_of("choices", &|_| true),
        (Dialect::OpenAi, true) => {
            let is_finished = |choice: &Value| choice["finish_reason"].as_str().is_some_and(|reason| !reason.is_empty());
            any_of("choices", &is_finished) || any_of("choices", &|_| true) && any(&|body| body == "[DONE]")
        }
        (Dialect::Anthropic, false) => any(&|body| body["content"].is_array()),
        (Dialect::Anthropic, true) => any(&|body| body["type"] == "message_stop"),
        (Dialect::Bedrock, false) => any(&|body| body["output"]["message"].is_object()),
        (Dialect::Bedrock, true) => any(&|body| body["messageStop"].is_object()),
        (Dialect::Gemini, _) => {
            let is_list = |body: &Value| body.as_array().is_some_and(|chunks| has_end(dialect, chunks, true));
            let is_finished = |candidate: &Value| !is_stream || candidate["finishReason"].is_string();
            any_of("candidates", &is_finished) || any(&|body| body["promptFeedback"]["blockReason"].is_string() || is_list(body))
        }
        (Dialect::Cohere, false) => any(&|body| body["message"].is_object()),
        (Dialect::Cohere, true) => any(&|body| body["delta"]["finish_reason"].is_string()),
    }
}
