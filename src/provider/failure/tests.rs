//! Refusals as they come, and what they are taken for.

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
        (
            "cohere",
            400,
            None,
            json!({"message": "model 'x' not found, make sure the correct model ID was used"}),
            Code::InvalidModel,
        ),
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
            "custom",
            400,
            None,
            json!({"error": {"message": "Your request exceeded model token limit: 9", "type": "invalid_request_error"}}),
            Code::ContextLength,
        ),
        ("custom", 422, None, json!({"error": "`inputs` must have less than 4096 tokens"}), Code::ContextLength),
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
        (
            "bedrock",
            424,
            Some("ModelErrorException"),
            json!({"message": "x", "originalStatusCode": 429, "resourceName": "m"}),
            Code::RateLimit,
        ),
        (
            "bedrock",
            424,
            Some("ModelErrorException"),
            json!({"message": "x", "originalStatusCode": 500, "resourceName": "m"}),
            Code::ModelOutput,
        ),
        (
            "bedrock",
            200,
            Some("modelStreamErrorException"),
            json!({"message": "x", "originalStatusCode": 503, "originalMessage": "x"}),
            Code::Overloaded,
        ),
        ("bedrock", 200, Some("modelStreamErrorException"), json!({"message": "x"}), Code::ProviderError),
        (
            "bedrock",
            424,
            Some("ModelErrorException"),
            json!({"message": "Model produced invalid sequence as part of ToolUse", "originalStatusCode": 400}),
            Code::ModelOutput,
        ),
        (
            "bedrock",
            424,
            Some("ModelErrorException"),
            json!({"message": "Input is too long for requested model.", "originalStatusCode": 400}),
            Code::ContextLength,
        ),
        (
            "bedrock",
            200,
            Some("modelStreamErrorException"),
            json!({"message": "x", "originalStatusCode": 400}),
            Code::ProviderError,
        ),
        ("groq", 424, None, json!({"error": {"message": "the MCP server refused"}}), Code::ProviderError),
        ("custom", 403, None, json!({"error": {"message": "Your input was flagged"}}), Code::ContentFilter),
        (
            "openai",
            400,
            None,
            json!({"error": {"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again \
                             with a different prompt.", "type": "invalid_request_error", "param": null, "code": "invalid_prompt"}}),
            Code::ContentFilter,
        ),
        (
            "anthropic",
            400,
            None,
            json!({"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
            Code::ContentFilter,
        ),
        (
            "anthropic",
            200,
            None,
            json!({"error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
            Code::ContentFilter,
        ),
        (
            "custom",
            400,
            None,
            json!({"error": {"message": "Content Exists Risk", "type": "invalid_request_error", "code": "invalid_request_error"}}),
            Code::ContentFilter,
        ),
        (
            "custom",
            400,
            None,
            json!({"error": {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed", "type": "data_inspection_failed"}}),
            Code::ContentFilter,
        ),
        (
            "custom",
            400,
            None,
            json!({"error": {"message": "x", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
            Code::ContentFilter,
        ),
        (
            "xai",
            403,
            None,
            json!({"code": "The caller does not have permission to execute the specified operation",
                "error": "Content violates usage guidelines. Model: grok-4, Failed check: SAFETY_CHECK_TYPE_BIO"}),
            Code::ContentFilter,
        ),
        (
            "openrouter",
            403,
            None,
            json!({"error": {"message": "Provider returned error", "code": 403, "metadata": {"raw":
                "{\"code\":\"The caller does not have permission\",\"error\":\"Content violates usage guidelines.\"}"}}}),
            Code::ContentFilter,
        ),
        (
            "openai",
            400,
            None,
            json!({"error": {"message": "x", "type": "invalid_request", "param": null, "code": "cyber_policy"}}),
            Code::ContentFilter,
        ),
        ("custom", 400, None, json!({"error": {"code": "1261", "message": "Prompt exceeds max length"}}), Code::ContextLength),
        (
            "custom",
            400,
            None,
            json!({"error": {"code": "1210", "message": "tokens in request more than max tokens allowed"}}),
            Code::ContextLength,
        ),
        (
            "custom",
            400,
            None,
            json!({"error": {"message": "prompt token count of 200000 exceeds the limit of 128000", "code": "x"}}),
            Code::ContextLength,
        ),
        (
            "custom",
            413,
            None,
            json!({"error": {"code": "tokens_limit_reached", "message": "Request body too large for gpt-4o model. Max size: 8000 tokens."}}),
            Code::ContextLength,
        ),
        (
            "bedrock",
            400,
            Some("ValidationException"),
            json!({"message": "Malformed input request: #/texts/0: expected maxLength: 2048, actual: 4680, please reformat your input."}),
            Code::ContextLength,
        ),
        (
            "custom",
            400,
            None,
            json!({"error": {"message": "/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view available models.",
                "type": "invalid_request_error", "param": null, "code": "400"}}),
            Code::InvalidModel,
        ),
        (
            "custom",
            400,
            None,
            json!({"error": {"message": "Model Not Exist", "type": "invalid_request_error", "code": "invalid_request_error"}}),
            Code::InvalidModel,
        ),
        (
            "custom",
            429,
            None,
            json!({"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}}),
            Code::Budget,
        ),
        (
            "custom",
            500,
            None,
            json!({"type": "error", "error": {"type": "api_error", "message": "insufficient balance (1008)"}}),
            Code::Budget,
        ),
        ("custom", 403, None, json!({"error": "Your team doesn't have any credits or licenses yet."}), Code::Budget),
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
        ("gemini", 429, None, json!([{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}]), Code::RateLimit),
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
    let refusal =
        Refusal { status: Some(529), kind: Some("overloaded_error".into()), request_id: Some("req_1".into()), details: None };
    assert_eq!((error.refusal(), error.message()), (&refusal, "the provider refused (status 529): m"));
    // Clients that look for 429 in a text would repeat what is to be paid first.
    let unpaid = read("openai", 429, None, json!({"error": {"message": "m", "type": "insufficient_quota"}}));
    assert_eq!((unpaid.refusal().status, unpaid.message()), (Some(429), "the provider refused: m"));
}

/// Ollama, gateways and our own door call every failure so.
#[test]
fn an_api_error_is_what_its_status_says() {
    let no_model = "model \"x\" not found, try pulling it first";
    let no_tools = "registry.ollama.ai/library/x does not support tools";
    for (status, message, expected) in [
        (400, no_tools, Code::InvalidRequest),
        (400, "this model's maximum context length is 4096 tokens", Code::ContextLength),
        (401, "unauthorized", Code::Authentication),
        (404, no_model, Code::InvalidModel),
        (429, "x", Code::RateLimit),
        (503, "server busy, please try again.  maximum pending requests exceeded", Code::Overloaded),
        (504, "x", Code::Timeout),
        (529, "x", Code::Overloaded),
        (500, "x", Code::ProviderError),
        (502, "x", Code::ProviderError),
        (200, "x", Code::ProviderError),
    ] {
        let body = json!({"error": {"message": message, "type": "api_error", "param": null, "code": null}});
        let error = read("custom", status, None, body);
        assert_eq!((error.code(), error.refusal().kind.as_deref()), (expected, Some("api_error")), "{status} {message}");
    }
}

#[test]
fn a_prompt_that_is_too_long_is_told_from_a_name_that_is() {
    let long = |param: &str| {
        let message = format!("Invalid '{param}': string too long. Expected a string with maximum length 64, but got another.");
        let error =
            json!({"message": message, "type": "invalid_request_error", "param": param, "code": "string_above_max_length"});
        read("openai", 400, None, json!({ "error": error })).code()
    };
    for (param, expected) in [
        ("messages[0].content", Code::ContextLength),
        ("messages[2].content[0].text", Code::ContextLength),
        ("input", Code::ContextLength),
        ("input[0]", Code::ContextLength),
        ("messages[1].tool_calls[0].id", Code::InvalidRequest),
        ("messages[0].name", Code::InvalidRequest),
        ("tools[5].function.description", Code::InvalidRequest),
        ("tools[0].function.name", Code::InvalidRequest),
        ("prompt_cache_key", Code::InvalidRequest),
    ] {
        assert_eq!(long(param), expected, "{param}");
    }
    for (provider, body) in [
        (
            "custom",
            json!({"error": {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096. Make sure that \
                              `max_model_len` is no smaller than the number of text tokens.", "type": "BadRequestError", "code": 400}}),
        ),
        (
            "custom",
            json!({"code": "Client specified an invalid argument",
                "error": "This model's maximum prompt length is 131072 but the request contains 200000 tokens."}),
        ),
        (
            "bedrock",
            json!({"message": "Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again."}),
        ),
    ] {
        assert_eq!(read(provider, 400, None, body.clone()).code(), Code::ContextLength, "{body}");
    }
}

#[test]
fn no_key_is_told() {
    let error = read("openai", 401, None, json!({"error": {"message": "Incorrect API key provided: sk-ab**yz"}}));
    assert_eq!(error.message(), "the provider refused the key (status 401)");
    assert_eq!(error.causes().as_deref(), Some("Incorrect API key provided: sk-ab**yz"));
    for (body, cause) in [
        (json!({"message": "Model access is denied. `sk-0123456789abcdef`"}), Some("Model access is denied. `(key)`")),
        (Value::Null, None),
    ] {
        let error = read("bedrock", 403, None, body);
        assert_eq!((error.message(), error.causes().as_deref()), ("the provider refused the key (status 403)", cause));
    }
    let error = read("custom", 400, None, json!({"error": {"message": "bad header `sk-0123456789abcdef`\u{7} seen"}}));
    assert_eq!(error.message(), "the provider refused (status 400): bad header `(key)` seen");
    assert_eq!(read("custom", 502, None, Value::Null).message(), "the provider refused (status 502): no reason given");
}

#[test]
fn a_status_that_nobody_sent_is_not_told() {
    let told = |error: Value| read("", 200, None, json!({ "error": error })).message().to_owned();
    assert_eq!(told(json!({"type": "overloaded_error", "message": "Overloaded"})), "the provider refused: Overloaded");
    assert_eq!(told(json!({"type": "invalid_request_error", "message": "x", "code": "y"})), "the provider refused: x");
    assert_eq!(told(json!({"type": "authentication_error", "message": "x"})), "the provider refused the key");
    assert_eq!(told(json!({"message": "x", "status": 503})), "the provider refused (status 503): x");
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

#[test]
fn the_reason_is_found_wherever_it_stands() {
    let wrong = json!([{"type": "extra_forbidden", "loc": ["body", "messages", 0, "foo"], "msg": "Extra inputs are not permitted", "input": 1}]);
    let flat = "body.messages.0.foo: Extra inputs are not permitted";
    let behind =
        json!({"error": {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"}}).to_string();
    let routed = |raw: &str| json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}});
    for (body, expected) in [
        (json!({"object": "error", "message": {"detail": wrong}, "type": "invalid_request_error"}), flat),
        (json!({"detail": wrong}), flat),
        (json!({"detail": {"error": "too large", "loc": ["body", "max_tokens"]}}), "body.max_tokens: too large"),
        (json!({"detail": "Not here"}), "Not here"),
        (json!({"msg": "quota used up", "code": 1302}), "quota used up"),
        (json!({"result": null, "errors": [{"code": 7009, "message": "a"}, {"message": "b"}], "messages": []}), "a; b"),
        (json!({"errors": ["max_tokens must be at most 4096"]}), "max_tokens must be at most 4096"),
        (json!({"error": {"error": {"message": "inner said this"}}}), "inner said this"),
        (json!({"message": "{\"message\": \"as text\"}"}), "as text"),
        (json!({"message": "{unclosed"}), "{unclosed"),
        (json!("as it is"), "as it is"),
        (json!([{"error": {"message": "in a list"}}]), "in a list"),
        (routed("slow down"), "Provider returned error: slow down"),
        (routed(&behind), "Provider returned error: maximum context length is 8192 tokens"),
        (json!({"message": "", "error": {"message": null}}), "no reason given"),
    ] {
        let error = read("custom", 422, None, body.clone());
        assert_eq!(error.message(), format!("the provider refused (status 422): {expected}"), "{body}");
    }
    assert_eq!(read("custom", 400, None, routed(&behind)).code(), Code::ContextLength);
    let deep = (0..100).fold(json!({"message": "x"}), |inner, _| json!({"error": inner}));
    let many = json!({"errors": vec!["x"; 1000]});
    for (body, expected) in [(deep, "no reason given"), (many, "x; x; x; x; x")] {
        assert!(read("custom", 400, None, body).message().ends_with(&format!(": {expected}")));
    }
}
