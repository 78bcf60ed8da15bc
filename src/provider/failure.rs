//! What a provider's refusal means, as a table from its own names, then its status, to our codes.
//!
//! A provider's name of the failure says more than its status (quotas come as 400, overload as 429), and a status means different
//! things to different providers (498), so the rows are by provider where they have to be. Message texts decide only where vendors give
//! nothing else: context length, and money.

use std::time::Duration;

use serde_json::Value;

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

/// By the provider's own names, compared without case.
const KINDS: &[(&[&str], Code)] = &[
    (
        &["context_length_exceeded", "string_above_max_length", "model_context_window_exceeded", "exceed_context_size_error"],
        Code::ContextLength,
    ),
    (&["content_filter", "content_policy_violation", "responsibleaipolicyviolation"], Code::ContentFilter),
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
    (&["tool_use_failed", "json_validate_failed", "malformed_function_call", "modelerrorexception"], Code::ModelOutput),
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
    (&["modelstreamerrorexception", "internalserverexception", "api_error"], Code::ProviderError),
];

/// Names of a request that is wrong; beside a status that says more (a model that there is not, overload) they say nothing.
const WRONG: &[&str] = &["invalid_request_error", "validationexception", "invalid_argument"];

/// By status, where a provider means something of its own.
const STATUSES: &[(&str, u16, Code)] =
    &[("bedrock", 424, Code::ModelOutput), ("cohere", 498, Code::Authentication), ("groq", 498, Code::Overloaded)];

const OVERFLOW: &[&str] = &[
    "context length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "input is too long",
    "input length and `max_tokens` exceed",
    "exceeds the maximum number of tokens",
    "too many tokens",
    "input token count",
    "too large for model",
];
/// Of a model that there is not, where vendors call it a wrong request like any other.
const NO_MODEL: &[&str] = &[
    "model identifier is invalid",
    "with on-demand throughput isn",
    "is not a valid model id",
    "model not found",
    "supported api model names are",
];
/// Likewise of a key.
const NO_KEY: &[&str] = &["incorrect api key provided"];
const MONEY: &[&str] = &[
    "credit balance is too low",
    "usage limits",
    "spend limit",
    "spending limit",
    "billing hard limit",
    "quota exceeded for your plan",
];

/// What gateways in front of others say with status 403 when the words of the request, not its key, are in the way.
const FLAGGED: &[&str] = &["input was flagged", "requires moderation"];

/// Turns a refusal into our error.
pub(super) fn failure(refused: &Refused<'_>, body: &Value) -> Error {
    // Some hosts wrap the object in a list of one.
    let body = body.as_array().map_or(body, |items| items.first().unwrap_or(&Value::Null));
    let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let detail = body.get("detail").or_else(|| error.get("detail"));
    let detail = detail.and_then(|detail| detail.as_str().or_else(|| detail[0]["msg"].as_str()));
    let said = [text("message"), text("Message"), error.as_str().unwrap_or_default(), detail.unwrap_or_default()];
    let message = said.into_iter().find(|said| !said.is_empty()).unwrap_or("no reason given");
    let own = refused.kind.map(|kind| kind.split([':', '#']).next().unwrap_or(kind));
    // Google calls a bad key an invalid argument, and says which among the details.
    let mut details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let reason = details.find_map(|detail| detail["reason"].as_str()).unwrap_or_default();
    let kinds = [own.unwrap_or_default(), reason, text("code"), text("type"), text("status"), text("__type")];
    // Inside a 200 the status says nothing; some servers put it into the code.
    let number =
        |value: &Value| value.as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let is_wrong = || kinds.iter().any(|kind| WRONG.iter().any(|name| name.eq_ignore_ascii_case(kind)));
    let status = match refused.status {
        200 => number(&error["code"]).unwrap_or(if is_wrong() { 400 } else { 500 }),
        status => status,
    };
    let lower = message.to_ascii_lowercase();
    let names = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    let code = code(refused.provider, status, &kinds, &names);
    let wait = refused.retry_after.or_else(|| delay(error)).or_else(|| wait_in(&lower));
    let refusal = Refusal {
        status: (refused.status != 200).then_some(refused.status),
        kind: kinds.into_iter().find(|kind| !kind.is_empty()).map(clean),
        request_id: refused.request_id.or_else(|| body.get("request_id").and_then(Value::as_str)).map(clean),
    };
    let public = match code {
        // Vendors quote part of the key here.
        Code::Authentication => format!("the provider refused the key (status {status})"),
        _ => format!("the provider refused (status {status}): {}", clean(message)),
    };
    let error = Error::new(code, public).retry_after(wait).refused(refusal);
    // A conflict with another request, or one that came too early: neither is the caller's, and both pass at once.
    if matches!(status, 409 | 425) { error.worth_repeating() } else { error }
}

fn code(provider: &str, status: u16, kinds: &[&str], names: &dyn Fn(&[&str]) -> bool) -> Code {
    let by_kind = kinds.iter().filter(|kind| !kind.is_empty()).find_map(|kind| {
        let row = KINDS.iter().find(|(names, _)| names.iter().any(|name| name.eq_ignore_ascii_case(kind)));
        row.map(|(_, code)| *code)
    });
    let by_provider = STATUSES.iter().find(|(who, number, _)| *who == provider && *number == status).map(|(_, _, code)| *code);
    // Bedrock says `Too many tokens` of a minute, too. What is too large for a minute (413) stays so.
    let is_busy = matches!(by_kind, Some(Code::RateLimit | Code::Overloaded)) && status != 413;
    match status {
        400 | 413 | 422 | 500 if names(OVERFLOW) && !is_busy => Code::ContextLength,
        400 | 403 | 429 if names(MONEY) => Code::Budget,
        403 if names(FLAGGED) => Code::ContentFilter,
        _ if by_kind.is_some() => by_kind.unwrap_or(Code::ProviderError),
        _ if by_provider.is_some() => by_provider.unwrap_or(Code::ProviderError),
        400 if names(NO_MODEL) || (names(&["model "]) && names(&["does not exist"])) => Code::InvalidModel,
        400 if names(NO_KEY) => Code::Authentication,
        401 | 403 => Code::Authentication,
        402 => Code::Budget,
        404 => Code::InvalidModel,
        408 | 504 => Code::Timeout,
        413 => Code::BodyTooLarge,
        429 => Code::RateLimit,
        400 | 422 => Code::InvalidRequest,
        503 | 529 => Code::Overloaded,
        _ => Code::ProviderError,
    }
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
mod tests {
    use super::*;
    use serde_json::json;

    fn read(provider: &str, status: u16, kind: Option<&str>, body: Value) -> Error {
        failure(&Refused { provider, status, kind, ..Refused::default() }, &body)
    }

    #[test]
    fn refusals_become_codes_and_keep_what_the_provider_said() {
        let table = [
            ("openai", 400, None, json!({"error": {"message": "x", "code": "context_length_exceeded"}}), Code::ContextLength),
            (
                "openai",
                400,
                None,
                json!({"error": {"message": "This model's maximum context length is 9 tokens", "code": null}}),
                Code::ContextLength,
            ),
            ("openai", 400, None, json!({"error": {"message": "x", "code": "content_filter"}}), Code::ContentFilter),
            ("openai", 400, None, json!({"error": {"message": "x", "type": "invalid_request_error"}}), Code::InvalidRequest),
            ("openai", 401, None, json!({"error": {"message": "Incorrect API key provided: sk-ab**yz"}}), Code::Authentication),
            ("openai", 404, None, json!({"error": {"message": "x", "code": "model_not_found"}}), Code::InvalidModel),
            ("openai", 429, None, json!({"error": {"message": "x", "type": "insufficient_quota"}}), Code::Budget),
            (
                "openai",
                429,
                None,
                json!({"error": {"message": "x", "type": "tokens", "code": "rate_limit_exceeded"}}),
                Code::RateLimit,
            ),
            ("custom", 422, None, json!({"detail": "x"}), Code::InvalidRequest),
            ("custom", 504, None, json!("gateway"), Code::Timeout),
            ("custom", 409, None, json!({"error": {"message": "x"}}), Code::ProviderError),
            ("custom", 425, None, json!({"error": {"message": "x"}}), Code::ProviderError),
            ("bedrock", 400, None, json!({"message": "The provided model identifier is invalid."}), Code::InvalidModel),
            ("custom", 400, None, json!({"error": {"message": "Model a/b does not exist"}}), Code::InvalidModel),
            ("mistral", 400, None, json!({"message": "x", "type": "invalid_model"}), Code::InvalidModel),
            ("custom", 500, None, json!({}), Code::ProviderError),
            (
                "anthropic",
                529,
                None,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
                Code::Overloaded,
            ),
            (
                "anthropic",
                200,
                None,
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
                Code::Overloaded,
            ),
            (
                "anthropic",
                400,
                None,
                json!({"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}}),
                Code::ContextLength,
            ),
            (
                "anthropic",
                400,
                None,
                json!({"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API"}}),
                Code::Budget,
            ),
            ("anthropic", 402, None, json!({"error": {"type": "billing_error", "message": "x"}}), Code::Budget),
            ("anthropic", 413, None, json!({"error": {"type": "request_too_large", "message": "x"}}), Code::BodyTooLarge),
            ("bedrock", 400, Some("ServiceQuotaExceededException"), json!({"message": "x"}), Code::Budget),
            ("bedrock", 429, Some("ThrottlingException:http://internal/"), json!({"message": "x"}), Code::RateLimit),
            ("bedrock", 429, Some("ModelNotReadyException"), json!({"message": "x"}), Code::Overloaded),
            ("bedrock", 424, Some("ModelErrorException"), json!({"message": "x"}), Code::ModelOutput),
            ("bedrock", 424, None, json!({"message": "x"}), Code::ModelOutput),
            ("groq", 424, None, json!({"error": {"message": "the MCP server refused"}}), Code::ProviderError),
            ("custom", 403, None, json!({"error": {"message": "Your input was flagged"}}), Code::ContentFilter),
            ("bedrock", 408, None, json!({"message": "x"}), Code::Timeout),
            ("bedrock", 200, Some("throttlingException"), json!({"message": "x"}), Code::RateLimit),
            (
                "bedrock",
                200,
                Some("throttlingException"),
                json!({"message": "Too many tokens, please wait before trying again."}),
                Code::RateLimit,
            ),
            (
                "groq",
                413,
                None,
                json!({"error": {"message": "Request too large for model `x`", "type": "tokens", "code": "rate_limit_exceeded"}}),
                Code::ContextLength,
            ),
            ("bedrock", 200, Some("validationException"), json!({"message": "x"}), Code::InvalidRequest),
            ("bedrock", 200, Some("validationException"), json!({"message": "Input is too long"}), Code::ContextLength),
            (
                "anthropic",
                200,
                None,
                json!({"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}),
                Code::InvalidRequest,
            ),
            (
                "gemini",
                429,
                None,
                json!([{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}]),
                Code::RateLimit,
            ),
            ("gemini", 503, None, json!({"error": {"code": 503, "status": "UNAVAILABLE"}}), Code::Overloaded),
            (
                "gemini",
                400,
                None,
                json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [
                    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]}}),
                Code::Authentication,
            ),
            ("gemini", 400, None, json!({"error": {"code": 400, "status": "INVALID_ARGUMENT"}}), Code::InvalidRequest),
            (
                "mistral",
                429,
                None,
                json!({"object": "error", "message": "x", "type": "rate_limited", "code": "1300"}),
                Code::RateLimit,
            ),
            ("mistral", 503, None, json!({"message": "capacity", "type": "invalid_request_error"}), Code::Overloaded),
            ("cohere", 498, None, json!({"message": "x"}), Code::Authentication),
            ("groq", 498, None, json!({"error": {"message": "x"}}), Code::Overloaded),
            (
                "groq",
                400,
                None,
                json!({"error": {"message": "x", "code": "tool_use_failed", "failed_generation": "<"}}),
                Code::ModelOutput,
            ),
        ];
        for (provider, status, kind, body, expected) in table {
            let error = read(provider, status, kind, body.clone());
            assert_eq!(error.code(), expected, "{provider} {status} {body}");
            assert_eq!(error.refusal().status, (status != 200).then_some(status));
        }
        let error =
            read("anthropic", 529, None, json!({"error": {"type": "overloaded_error", "message": "m"}, "request_id": "req_1"}));
        let refusal = Refusal { status: Some(529), kind: Some("overloaded_error".into()), request_id: Some("req_1".into()) };
        assert_eq!((error.refusal(), error.message()), (&refusal, "the provider refused (status 529): m"));
    }

    #[test]
    fn no_key_is_told() {
        let error = read("openai", 401, None, json!({"error": {"message": "Incorrect API key provided: sk-ab**yz"}}));
        assert_eq!(error.message(), "the provider refused the key (status 401)");
        let error = read("custom", 400, None, json!({"error": {"message": "bad header `sk-0123456789abcdef`\u{7} seen"}}));
        assert_eq!(error.message(), "the provider refused (status 400): bad header `(key)` seen");
        assert_eq!(read("custom", 502, None, Value::Null).message(), "the provider refused (status 502): no reason given");
    }

    #[test]
    fn the_wait_is_found_where_it_stands() {
        let wait = |message: &str| read("openai", 429, None, json!({"error": {"message": message}})).retry_after_seconds();
        assert_eq!(wait("Please try again in 1.574s."), Some(2));
        assert_eq!(wait("try again in 12ms"), Some(1));
        assert_eq!(wait("Please try again in 2m59.56s. Need more?"), Some(180));
        assert_eq!(wait("try again in a while"), None);
        let google = json!({"error": {"code": 429, "details": [{"@type": "x"}, {"@type": "RetryInfo", "retryDelay": "34.07s"}]}});
        assert_eq!(read("gemini", 429, None, google).retry_after_seconds(), Some(35));
        let refused = Refused { status: 429, retry_after: Some(Duration::from_secs(7)), ..Refused::default() };
        assert_eq!(failure(&refused, &json!({"message": "try again in 12ms"})).retry_after_seconds(), Some(7));
    }

    #[test]
    fn observed_overloads_are_retryable() {
        let Some(text) = crate::net::testing::shared("contracts/errors/observed-errors.json") else { return };
        let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(rows.len() >= 10);
        // A failure inside a stream is read by the decoders, and tested there.
        for row in rows.into_iter().filter(|row| row["status"] != 200) {
            let status = u16::try_from(row["status"].as_u64().unwrap()).unwrap();
            let header = row["headers"]["x-amzn-errortype"].as_str().or(row["exception_type"].as_str());
            let error = read(row["provider"].as_str().unwrap_or_default(), status, header, row["body"].clone());
            assert!(error.code().is_retryable() || error.code() == Code::Budget, "{}: {row}", error.code().as_str());
        }
    }
}
