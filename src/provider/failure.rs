//! What a provider's refusal means, as a table from its own names, then its status, to our codes.
//!
//! A provider's name of the failure says more than its status (quotas come as 400, overload as 429), and a status means different
//! things to different providers (498), so the rows are by provider where they have to be. Message texts decide only where vendors
//! give nothing else.

mod reason;

use std::time::Duration;

use serde_json::Value;

use self::reason::reason;
use crate::error::{Code, Error, Refusal};
use crate::net::{clean, duration};

/// A refusal as it came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Refused<'a> {
    /// Who refused; empty where only the dialect is known.
    pub(super) provider: &'a str,
    /// HTTP status; 200 for a failure inside an answer.
    pub(super) status: u16,
    /// AWS's header `x-amzn-errortype`, or the type of an exception in a stream.
    pub(super) kind: Option<&'a str>,
    /// From the headers.
    pub(super) retry_after: Option<Duration>,
    /// From the headers.
    pub(super) request_id: Option<&'a str>,
}

impl<'a> Refused<'a> {
    /// A failure inside an answer of `provider`.
    pub(super) fn inside(provider: &'a str) -> Self {
        Self { provider, status: 200, ..Self::default() }
    }
}

/// By the provider's own names, compared without case. Names of any failure (`api_error`, `InternalServerException`) have no row:
/// they come with every status, which says more.
const KINDS: &[(&[&str], Code)] = &[
    (
        &["context_length_exceeded", "model_context_window_exceeded", "exceed_context_size_error", "tokens_limit_reached"],
        Code::ContextLength,
    ),
    (
        &[
            "content_filter",
            "content_policy_violation",
            "responsibleaipolicyviolation",
            "data_inspection_failed",
            "datainspectionfailed",
            "cyber_policy",
        ],
        Code::ContentFilter,
    ),
    (
        &["insufficient_quota", "billing_error", "billing_not_active", "servicequotaexceededexception", "insufficient_credits"],
        Code::Budget,
    ),
    (
        &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limited",
            "throttlingexception",
            "resource_exhausted",
            "too_many_requests",
            "toomanyrequestsexception",
        ],
        Code::RateLimit,
    ),
    (
        &[
            "overloaded_error",
            "server_overloaded",
            "unavailable",
            "serviceunavailableexception",
            "modelnotreadyexception",
            "capacity_exceeded",
            "service_unavailable",
        ],
        Code::Overloaded,
    ),
    (&["timeout_error", "deadline_exceeded", "modeltimeoutexception"], Code::Timeout),
    (&["tool_use_failed", "json_validate_failed", "malformed_function_call"], Code::ModelOutput),
    (
        &["model_not_found", "invalid_model", "not_found_error", "model_decommissioned", "resourcenotfoundexception"],
        Code::InvalidModel,
    ),
    (
        &[
            "authentication_error",
            "invalid_api_key",
            "api_key_invalid",
            "permission_error",
            "permission_denied",
            "unauthenticated",
            "accessdeniedexception",
            "unrecognizedclientexception",
            "expiredtokenexception",
            "invalidsignatureexception",
        ],
        Code::Authentication,
    ),
    (&["request_too_large"], Code::BodyTooLarge),
];

/// Names of a request that is wrong; beside a status that says more (a model that there is not, overload) they say nothing.
const WRONG: &[&str] = &["invalid_request_error", "validationexception", "invalid_argument"];

/// By status, where a provider means something of its own.
const STATUSES: &[(&str, u16, Code)] = &[
    ("bedrock", 424, Code::ModelOutput),
    ("openai-bedrock", 424, Code::ModelOutput),
    ("cohere", 498, Code::Authentication),
    ("groq", 498, Code::Overloaded),
];

/// Whether the words of a message say more than a provider's name of the failure.
#[derive(Clone, Copy, PartialEq)]
enum When {
    BeforeNames,
    AfterNames,
}

/// By words of the message, beside a status that is the same for other failures.
const WORDS: &[(When, &[u16], &[&str], Code)] = &[
    (
        When::BeforeNames,
        &[400, 413, 422, 500],
        &[
            "context length",
            "context window",
            "context size",
            "maximum context",
            "prompt is too long",
            "prompt exceeds max length",
            "prompt token count of",
            "input is too long",
            "input length and `max_tokens` exceed",
            "exceeds the maximum number of tokens",
            "too many tokens",
            "tokens in request more than max tokens",
            "input token count",
            "input tokens exceed",
            "longer than the maximum model length",
            "maximum prompt length",
            "too large for model",
            "exceeded model token limit",
            "range of input length should be",
            "tokens + `max_new_tokens` must be",
            "`inputs` must have less than",
            // Bedrock's, of texts to embed.
            "expected maxlength",
        ],
        Code::ContextLength,
    ),
    (
        When::BeforeNames,
        &[400, 403, 429],
        &[
            "have any credits",
            "credit balance is too low",
            "usage limits",
            "spend limit",
            "spending limit",
            "billing hard limit",
            "quota exceeded for your plan",
        ],
        Code::Budget,
    ),
    // MiniMax sends it with a 500, Z.ai with a 429.
    (When::BeforeNames, &[400, 403, 429, 500], &["insufficient balance"], Code::Budget),
    // What xAI and gateways in front of others say when the words of the request, not its key, are in the way.
    (When::BeforeNames, &[403], &["input was flagged", "requires moderation", "violates usage guidelines"], Code::ContentFilter),
    (
        When::AfterNames,
        &[400],
        &[
            "model identifier is invalid",
            "with on-demand throughput isn",
            "is not a valid model id",
            "model not found",
            "model not exist",
            "invalid model name passed in",
            "supported api model names are",
        ],
        Code::InvalidModel,
    ),
    (When::AfterNames, &[400], &["incorrect api key provided"], Code::Authentication),
    // Anthropic, OpenAI, DeepSeek.
    (
        When::AfterNames,
        &[400],
        &["content filtering policy", "violating our usage policy", "content exists risk"],
        Code::ContentFilter,
    ),
];

/// Longer details are not passed on.
const MOST_DETAILS_BYTES: usize = 4096;

/// Turns a refusal into our error.
pub(super) fn failure(refused: &Refused<'_>, body: &Value) -> Error {
    // Some hosts wrap the object in a list of one.
    let body = body.as_array().map_or(body, |items| items.first().unwrap_or(&Value::Null));
    let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let reason = reason(body);
    let message = reason.as_deref().unwrap_or("no reason given");
    let own = refused.kind.map(|kind| kind.split([':', '#']).next().unwrap_or(kind));
    // Google calls a bad key an invalid argument, and says which among the details.
    let mut details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let detailed = details.find_map(|detail| detail["reason"].as_str()).unwrap_or_default();
    let kinds = [own.unwrap_or_default(), detailed, text("code"), text("type"), text("status"), text("__type")];
    let number =
        |value: &Value| value.as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let is_wrong = || kinds.iter().any(|kind| WRONG.iter().any(|name| name.eq_ignore_ascii_case(kind)));
    // What Bedrock was told by whoever runs the model; 500 says no more than its own status.
    let original = number(&error["originalStatusCode"]).filter(|original| *original != 500);
    // Inside a 200 the status says nothing; some servers put it into the code.
    let told = match refused.status {
        200 => number(&error["code"]).or_else(|| number(&error["status"])),
        status => Some(status),
    };
    let lower = message.to_ascii_lowercase();
    // OpenAI says it of names, ids and descriptions, too.
    let param = text("param");
    let is_of_prompt = param.starts_with("input") || (param.starts_with("messages") && param.contains(".content"));
    let is_long_prompt = is_of_prompt && kinds.contains(&"string_above_max_length");
    let code = |told: Option<u16>| {
        let status = told.unwrap_or_else(|| if is_wrong() { 400 } else { 500 });
        (told, code(refused.provider, status, &kinds, is_long_prompt, &lower))
    };
    // A model that wrote what it may not is told of as a wrong request: it is none of the caller's.
    let by_original = original.map(|original| code(Some(original))).filter(|(_, code)| *code != Code::InvalidRequest);
    let (told, code) = by_original.unwrap_or_else(|| code(told));
    let wait = refused.retry_after.or_else(|| delay(error)).or_else(|| wait_in(&lower));
    // Anthropic's, which its clients act on; others' mean something else.
    let is_anthropics = body.get("type").is_some_and(|kind| kind == "error");
    let details = error.get("details").filter(|details| is_anthropics && details.is_object()).map(Value::to_string);
    let refusal = Refusal {
        status: (refused.status != 200).then_some(refused.status),
        kind: kinds.into_iter().find(|kind| !kind.is_empty()).map(clean),
        request_id: refused.request_id.or_else(|| body.get("request_id").and_then(Value::as_str)).map(clean),
        details: details.filter(|details| details.len() <= MOST_DETAILS_BYTES),
    };
    // Most send an open bill as 429, which some clients look for in the text, and repeat.
    let status = told.filter(|_| code != Code::Budget).map_or_else(String::new, |status| format!(" (status {status})"));
    let error = match code {
        // What they say is the operator's to mend, and vendors quote part of the key: it is for the log.
        Code::Authentication => {
            let error = Error::new(code, format!("the provider refused the key{status}"));
            if reason.is_some() { error.caused_by(clean(message)) } else { error }
        }
        _ => Error::new(code, format!("the provider refused{status}: {}", clean(message))),
    };
    let error = error.retry_after(wait).refused(refusal);
    // A conflict with another request, or one that came too early: neither is the caller's, and both pass at once.
    if matches!(told, Some(409 | 425)) { error.worth_repeating() } else { error }
}

fn code(provider: &str, status: u16, kinds: &[&str], is_long_prompt: bool, message: &str) -> Code {
    let by_name = kinds.iter().filter(|kind| !kind.is_empty()).find_map(|kind| {
        let row = KINDS.iter().find(|(names, _)| names.iter().any(|name| name.eq_ignore_ascii_case(kind)));
        row.map(|(_, code)| *code)
    });
    let by_name = if is_long_prompt { Some(Code::ContextLength) } else { by_name };
    // Bedrock says `Too many tokens` of a minute, too. What is too large for a minute (413) stays so.
    let is_busy = matches!(by_name, Some(Code::RateLimit | Code::Overloaded)) && status != 413;
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    let by_words = |when: When| {
        let mut rows = WORDS.iter().filter(|(at, statuses, ..)| *at == when && statuses.contains(&status));
        let row = rows.find(|(_, _, words, code)| says(words) && !(is_busy && *code == Code::ContextLength));
        row.map(|(.., code)| *code)
    };
    let by_provider = || STATUSES.iter().find(|(who, number, _)| *who == provider && *number == status).map(|(_, _, code)| *code);
    let lacks_model = || {
        let is_said = says(&["model "]) && says(&["does not exist"]) || says(&["model '"]) && says(&["' not found"]);
        (status == 400 && is_said).then_some(Code::InvalidModel)
    };
    let told = by_words(When::BeforeNames).or(by_name).or_else(by_provider);
    told.or_else(|| by_words(When::AfterNames)).or_else(lacks_model).unwrap_or(match status {
        401 | 403 => Code::Authentication,
        402 => Code::Budget,
        404 => Code::InvalidModel,
        408 | 504 => Code::Timeout,
        413 => Code::BodyTooLarge,
        429 => Code::RateLimit,
        400 | 422 => Code::InvalidRequest,
        503 | 529 => Code::Overloaded,
        _ => Code::ProviderError,
    })
}

/// Google's `RetryInfo`: `{"retryDelay": "34s"}` among the details.
fn delay(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    duration(details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?)
}

/// "please try again in 1.574s", which is all that some give.
fn wait_in(message: &str) -> Option<Duration> {
    let (_, rest) = message.split_once("try again in ")?;
    duration(rest.split_whitespace().next()?.trim_end_matches(['.', ',']))
}

#[cfg(test)]
mod tests;
