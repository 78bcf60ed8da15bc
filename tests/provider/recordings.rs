//! Every recorded exchange, read by us and compared with what an independent look at the raw body finds.
//!
//! The folder is `OMNI_RECORDINGS`, else the shared one.

mod expected;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use omni_llm::chat::{ChatEvent, ChatResponse, FinishReason, Part, fold, unfold};
use omni_llm::error::Code;
use omni_llm::net::Reply;
use omni_llm::provider::embed::EmbedDialect;
use omni_llm::provider::{Dialect, Preset, preset};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use self::expected::{Expected, Parts, expected, first, number};
use super::random::Random;
use super::shared::shared;
use super::support::{bedrock_event, events};

/// Streams up to this size are split at every byte.
const SMALL_BYTES: usize = 1500;
const RANDOM_SPLITS: usize = 24;

#[derive(Debug, Default)]
struct Row {
    buffered: usize,
    streamed: usize,
    refused: usize,
    embedded: usize,
    others: usize,
}

#[test]
fn every_recorded_exchange_is_read_whole() {
    let named = std::env::var_os("OMNI_RECORDINGS").map(PathBuf::from);
    let Some(folder) = named.or_else(|| shared("contracts/recordings/open")) else { return };
    let mut table: BTreeMap<String, Row> = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in files(&folder) {
        let Ok(recording) = serde_json::from_str::<Value>(&std::fs::read_to_string(&path).unwrap()) else { continue };
        let provider = recording["provider"].as_str().unwrap_or_default().to_owned();
        for (number, exchange) in recording["interactions"].as_array().into_iter().flatten().enumerate() {
            let row = table.entry(provider.clone()).or_default();
            let name = format!("{} #{number}", path.strip_prefix(&folder).unwrap().display());
            match std::panic::catch_unwind(|| check(&provider, exchange)) {
                Ok(Kind::Buffered) => row.buffered += 1,
                Ok(Kind::Streamed) => row.streamed += 1,
                Ok(Kind::Refused) => row.refused += 1,
                Ok(Kind::Embedded) => row.embedded += 1,
                Ok(Kind::Nothing) => row.others += 1,
                Err(_) => wrong.push(name),
            }
        }
    }
    let heads = ["provider", "buffered", "streamed", "refused", "embedded", "other endpoint"];
    eprintln!("{:<20} {:>9} {:>9} {:>8} {:>9} {:>14}", heads[0], heads[1], heads[2], heads[3], heads[4], heads[5]);
    for (provider, Row { buffered, streamed, refused, embedded, others }) in &table {
        eprintln!("{provider:<20} {buffered:>9} {streamed:>9} {refused:>8} {embedded:>9} {others:>14}");
    }
    let passed: usize = table.values().map(|row| row.buffered + row.streamed + row.refused + row.embedded).sum();
    eprintln!("exchanges of our dialects: {}, passed: {passed}", passed + wrong.len());
    assert!(wrong.is_empty(), "{} exchanges are wrong: {wrong:#?}", wrong.len());
    assert!(passed > 0, "nothing was read");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "json") && entry.file_name().unwrap() != "index.json" {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// The dialect of an exchange, by its path; by the look of its body where the recording has no request.
fn dialect(provider: &str, exchange: &Value) -> Option<Dialect> {
    let path = exchange["request"]["path"].as_str().unwrap_or_default();
    if path.contains("/chat/completions") {
        return Some(Dialect::OpenAi);
    }
    if path.ends_with("/v1/messages") || path.contains("publishers/anthropic") {
        return Some(Dialect::Anthropic);
    }
    if path.contains("/converse") {
        return Some(Dialect::Bedrock);
    }
    if path.contains("enerateContent") {
        return Some(Dialect::Gemini);
    }
    if path.ends_with("/v2/chat") {
        return Some(Dialect::Cohere);
    }
    if !path.is_empty() {
        return None;
    }
    let response = &exchange["response"];
    let lines = lines(response);
    let body = lines.first().cloned().unwrap_or_else(|| body(response));
    let has = |name: &str| body.get(name).is_some();
    match provider {
        "anthropic" => (has("content") || body["type"] == "message_start").then_some(Dialect::Anthropic),
        "bedrock" => {
            let is_event = ["messageStart", "contentBlockStart", "contentBlockDelta"].into_iter().any(has);
            (body["output"]["message"].is_object() || is_event).then_some(Dialect::Bedrock)
        }
        "google-gemini" | "google-vertex" => has("candidates").then_some(Dialect::Gemini),
        "cohere" => {
            (body["message"].is_object() || has("finish_reason") || body["type"] == "message-start").then_some(Dialect::Cohere)
        }
        _ => has("choices").then_some(Dialect::OpenAi),
    }
}

fn body(response: &Value) -> Value {
    match response["body_text"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| response["body_json"].clone()),
        None => response["body_json"].clone(),
    }
}

fn lines(response: &Value) -> Vec<Value> {
    response["event_json_lines"].as_array().into_iter().flatten().map(line).collect()
}

fn line(line: &Value) -> Value {
    line.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| line.clone())
}

enum Kind {
    Buffered,
    Streamed,
    Refused,
    Embedded,
    Nothing,
}

fn check(provider: &str, exchange: &Value) -> Kind {
    let (response, chat, embeds) = (&exchange["response"], dialect(provider, exchange), embeds(provider, exchange));
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    if status >= 300 && (chat.is_some() || embeds.is_some() || exchange["request"]["path"].is_null()) {
        refused(provider, status, response);
        return Kind::Refused;
    }
    if let Some(embeds) = embeds {
        return embedded(embeds, response);
    }
    let Some(dialect) = chat else { return Kind::Nothing };
    let stream = bytes(dialect, response);
    if let Some(stream) = stream {
        return streamed(dialect, &stream, response);
    }
    let body = body(response);
    if body.is_null() {
        return Kind::Nothing;
    }
    let expected = expected(dialect, std::slice::from_ref(&body));
    if failed_inside(std::slice::from_ref(&body)) {
        assert!(dialect.decode(body.to_string().as_bytes()).is_err());
        return Kind::Refused;
    }
    let answer = dialect.decode(body.to_string().as_bytes()).unwrap();
    compare(dialect, &expected, &answer);
    assert_eq!(fold(&unfold(answer.clone())), answer, "the answer as events is another");
    Kind::Buffered
}

/// How an exchange about vectors is read, by its path; by the look of its body where the recording has no request.
fn embeds(provider: &str, exchange: &Value) -> Option<EmbedDialect> {
    let path = exchange["request"]["path"].as_str().unwrap_or_default();
    let body = body(&exchange["response"]);
    let is_vectors = body["embeddings"].is_object() || !body["predictions"].is_null() || !body["data"][0]["embedding"].is_null();
    let is_about = if path.is_empty() { is_vectors } else { path.contains("embed") && !path.ends_with(":countTokens") };
    row(provider).embeds.filter(|_| is_about)
}

fn embedded(dialect: EmbedDialect, response: &Value) -> Kind {
    let body = body(response);
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        if let (Ok(name), Some(Ok(value))) = (HeaderName::try_from(name), value.as_str().map(HeaderValue::try_from)) {
            headers.insert(name, value);
        }
    }
    let answer = dialect.decode(&Reply { status: 200, headers, body: Bytes::from(body.to_string()) }).unwrap();
    let mut expected = Vec::new();
    vectors(&body, &mut expected);
    assert!(!expected.is_empty() && answer.vectors == expected, "vectors");
    let pointers = [
        "/usage/total_tokens",
        "/meta/billed_units/input_tokens",
        "/inputTextTokenCount",
        "/usageMetadata/totalTokenCount",
        "/predictions/0/embeddings/statistics/token_count",
    ];
    let mut counts = pointers.into_iter().filter_map(|pointer| number(body.pointer(pointer)?));
    let in_headers = || response["headers"]["x-amzn-bedrock-input-token-count"].as_str()?.parse().ok();
    let expected = counts.next().or_else(in_headers).map(|first| {
        let more = body["predictions"].as_array().into_iter().flatten().skip(1);
        first + more.filter_map(|row| number(&row["embeddings"]["statistics"]["token_count"])).sum::<u64>()
    });
    assert_eq!(answer.prompt_tokens, expected, "tokens");
    Kind::Embedded
}

/// Every list of numbers in a body, and every vector in base64.
fn vectors(value: &Value, found: &mut Vec<Vec<f32>>) {
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            found.push(serde_json::from_value(value.clone()).unwrap());
        }
        Value::Array(items) => items.iter().for_each(|item| vectors(item, found)),
        // Titan says the same twice.
        Value::Object(fields) => fields.iter().filter(|(name, _)| *name != "embeddingsByType").for_each(|(name, value)| {
            match value.as_str().filter(|_| name == "embedding") {
                Some(text) => {
                    let bytes = STANDARD.decode(text).unwrap();
                    found.push(bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect());
                }
                None => vectors(value, found),
            }
        }),
        _ => {}
    }
}

/// The bytes of a stream, where the exchange is one.
fn bytes(dialect: Dialect, response: &Value) -> Option<Vec<u8>> {
    if let Some(text) = response["body_base64"].as_str() {
        return Some(STANDARD.decode(text).unwrap());
    }
    let lines = lines(response);
    if !lines.is_empty() {
        let mut stream = Vec::new();
        for line in lines {
            if dialect == Dialect::Bedrock {
                let (name, payload) = line.as_object().unwrap().iter().next().unwrap();
                stream.extend(bedrock_event(name, &payload.to_string()));
            } else {
                stream.extend(format!("data: {line}\n\n").into_bytes());
            }
        }
        return Some(stream);
    }
    let text = response["body_text"].as_str()?;
    let is_stream = ["data:", "event:", ":"].iter().any(|start| text.trim_start().starts_with(start));
    if dialect == Dialect::Bedrock && !text.trim_start().starts_with('{') {
        return Some(text.as_bytes().to_vec());
    }
    is_stream.then(|| text.as_bytes().to_vec())
}

fn streamed(dialect: Dialect, stream: &[u8], response: &Value) -> Kind {
    let chunks = chunks(dialect, stream, response);
    if failed_inside(&chunks) {
        assert!(events(dialect, &[stream]).is_err(), "a failure inside the stream was taken for an answer");
        return Kind::Refused;
    }
    let whole = match events(dialect, &[stream]) {
        Ok(whole) => whole,
        Err(error) => panic!("{error}"),
    };
    assert!(matches!(whole.last(), Some(ChatEvent::Finish(_))), "the last event is not the end");
    assert_eq!(whole.iter().filter(|event| matches!(event, ChatEvent::Finish(_))).count(), 1);
    let answer = fold(&whole);
    compare(dialect, &expected(dialect, &chunks), &answer);
    assert_eq!(fold(&unfold(answer.clone())), answer, "the answer as events is another");
    if stream.len() <= SMALL_BYTES {
        for at in 0..=stream.len() {
            assert_eq!(events(dialect, &[&stream[..at], &stream[at..]]).unwrap(), whole, "split at byte {at}");
        }
    }
    let mut random = Random::new(stream.len() as u64);
    for _ in 0..RANDOM_SPLITS {
        let (mut pieces, mut rest) = (Vec::new(), stream);
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(1 + random.below(1 + stream.len() / 7)));
            pieces.push(piece);
            rest = more;
        }
        assert_eq!(events(dialect, &pieces).unwrap(), whole, "split at random");
    }
    Kind::Streamed
}

/// The JSON of every frame, found by the simplest means.
fn chunks(dialect: Dialect, stream: &[u8], response: &Value) -> Vec<Value> {
    let lines = lines(response);
    if !lines.is_empty() {
        return lines;
    }
    if dialect == Dialect::Bedrock {
        let (mut found, mut rest) = (Vec::new(), stream);
        while rest.len() > 16 {
            let total = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let headers = u32::from_be_bytes(rest[4..8].try_into().unwrap()) as usize;
            let head = String::from_utf8_lossy(&rest[12..12 + headers]).into_owned();
            let payload: Value = serde_json::from_slice(&rest[12 + headers..total - 4]).unwrap_or_default();
            let names = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
            let name = names.into_iter().find(|name| head.contains(name)).unwrap_or(":exception");
            found.push(serde_json::json!({ name: payload }));
            rest = &rest[total..];
        }
        return found;
    }
    let text = String::from_utf8_lossy(stream);
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect()
}

fn failed_inside(chunks: &[Value]) -> bool {
    chunks.iter().any(|chunk| {
        chunk["error"].is_object()
            || !chunk["x_groq"]["error"].is_null()
            || chunk["type"] == "error"
            || first(&chunk["choices"])["error"].is_object()
            || first(&chunk["choices"])["finish_reason"] == "error"
            || chunk.as_object().is_some_and(|chunk| chunk.keys().any(|key| key.contains("xception")))
            || ["malformed_model_output", "malformed_tool_use"]
                .iter()
                .any(|reason| chunk["stopReason"] == *reason || chunk["messageStop"]["stopReason"] == *reason)
            || ["ERROR", "ERROR_TOXIC", "TIMEOUT"]
                .iter()
                .any(|reason| chunk["finish_reason"] == *reason || chunk["delta"]["finish_reason"] == *reason)
            || [
                "MALFORMED_FUNCTION_CALL",
                "MALFORMED_RESPONSE",
                "MISSING_THOUGHT_SIGNATURE",
                "UNEXPECTED_TOOL_CALL",
                "TOO_MANY_TOOL_CALLS",
            ]
            .iter()
            .any(|reason| first(&chunk["candidates"])["finishReason"] == *reason)
    })
}

/// Our row for whom the recordings call so.
fn row(provider: &str) -> &'static Preset {
    let name = match provider {
        "google-gemini" => "gemini",
        "google-vertex" => "vertexai",
        other => other,
    };
    preset(name).unwrap_or_else(|| preset("custom").unwrap())
}

fn refused(provider: &str, status: u16, response: &Value) {
    let raw = response["body_text"].as_str().map_or_else(|| response["body_json"].to_string(), str::to_owned);
    let row = row(provider);
    let reply = Reply { status, headers: Default::default(), body: Bytes::from(raw.clone()) };
    let error = row.refusal(&reply);
    assert_eq!(error.refusal().status, Some(status));
    assert_eq!(error.code(), expected_code(provider, status, &raw.to_lowercase()), "{status}: {raw}");
    // The provider's own words come through, unless they may hold a key.
    let value: Value = serde_json::from_str(&raw).unwrap_or_default();
    let value = value.get(0).cloned().unwrap_or(value);
    let said = value.pointer("/error/message").or_else(|| value.get("message")).and_then(Value::as_str).unwrap_or_default();
    let start: String = said.chars().take_while(|letter| !letter.is_control()).take(40).collect();
    assert!(error.code() == Code::Authentication || error.message().contains(&start), "{}: {raw}", error.message());
}

/// The one code of a refusal, by what stands in its body (in lower case). With 400 vendors say what others have statuses for; of a model
/// that is not there they speak in many ways, and always of a model.
fn expected_code(provider: &str, status: u16, raw: &str) -> Code {
    let says = |words: &[&str]| words.iter().any(|word| raw.contains(word));
    let of_no_model =
        ["not found", "not exist", "not a valid", "is invalid", "invalid model", "model names are", "on-demand throughput"];
    match status {
        400 | 422 if says(&["tool_use_failed", "json_validate_failed"]) => Code::ModelOutput,
        400 if says(&["api_key_invalid", "incorrect api key"]) => Code::Authentication,
        400 if says(&["credit balance", "usage limit"]) => Code::Budget,
        400 if says(&["content_filter", "content_policy"]) => Code::ContentFilter,
        400 | 413 if says(&["context_length", "context length", "too long"]) => Code::ContextLength,
        400 if says(&["model"]) && says(&of_no_model) => Code::InvalidModel,
        400 | 422 => Code::InvalidRequest,
        403 if says(&["flagged", "moderation"]) => Code::ContentFilter,
        401 | 403 => Code::Authentication,
        402 => Code::Budget,
        404 => Code::InvalidModel,
        408 | 504 => Code::Timeout,
        413 => Code::BodyTooLarge,
        424 if provider == "bedrock" => Code::ModelOutput,
        429 if says(&["insufficient_quota"]) => Code::Budget,
        429 => Code::RateLimit,
        498 if provider == "groq" => Code::Overloaded,
        498 => Code::Authentication,
        503 | 529 => Code::Overloaded,
        _ => Code::ProviderError,
    }
}

fn compare(dialect: Dialect, expected: &Expected, answer: &ChatResponse) {
    assert_eq!(answer.text(), expected.text, "text");
    assert_eq!(answer.reasoning(), expected.reasoning, "reasoning");
    let signatures: Vec<String> = answer
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Reasoning(thought) => thought.signature.clone().or_else(|| thought.redacted.clone()),
            Part::ToolCall(call) => call.signature.clone(),
            _ => None,
        })
        // Whose they are stands in front.
        .map(|proof| proof.trim_start_matches("gemini:").trim_start_matches("openai:").to_owned())
        .collect();
    assert_eq!(signatures, expected.signatures, "signatures");
    let citations = answer.parts.iter().filter_map(|part| match part {
        Part::Citation(raw) => Some(raw.value.to_string()),
        _ => None,
    });
    assert_eq!(citations.collect::<Vec<_>>(), expected.citations, "citations");
    let raws = answer.parts.iter().filter(|part| matches!(part, Part::Raw(raw) if raw.dialect == "bedrock"));
    assert_eq!(raws.count(), expected.raws, "blocks of Bedrock's own");
    let is_refused = answer.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    assert_eq!(is_refused, expected.refused, "refusal");
    let calls: Vec<(String, Value)> = answer
        .tool_calls()
        .map(|call| (call.name.clone(), serde_json::from_str(&call.arguments).unwrap_or_else(|_| call.arguments.clone().into())))
        .collect();
    assert_eq!(calls, expected.calls, "tool calls");
    let ids: Vec<&str> = answer.tool_calls().map(|call| call.id.as_str()).collect();
    assert!(ids.iter().all(|id| !id.is_empty()), "a call without an id");
    if expected.ids.iter().all(|id| !id.is_empty()) {
        assert_eq!(ids, expected.ids, "ids");
    }
    assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), expected.prompt_tokens, "prompt tokens");
    assert_eq!(answer.usage.map(|usage| usage.completion_tokens), expected.completion_tokens, "completion tokens");
    let usage = answer.usage.unwrap_or_default();
    let parts = Parts {
        read: usage.cache_read_tokens,
        written: usage.cache_write_tokens,
        written_1h: usage.cache_write_1h_tokens,
        reasoning: usage.reasoning_tokens,
    };
    assert_eq!(parts, expected.parts, "cached and reasoning tokens");
    assert!(usage.cache_read_tokens + usage.cache_write_tokens <= usage.prompt_tokens, "more is cached than was sent: {usage:?}");
    assert!(usage.reasoning_tokens <= usage.completion_tokens, "more is thought than was answered: {usage:?}");
    for (name, value) in &expected.extra {
        assert_eq!(answer.extra.get(name), Some(value), "{name}");
    }
    if let Some(model) = &expected.model {
        assert_eq!(&answer.model, model, "model");
    }
    let finish = reason(dialect, expected);
    if let Some(finish) = finish {
        assert_eq!(answer.finish_reason, finish, "finish reason");
    }
}

/// The vendors' reasons, as the facts of the project list them.
fn reason(dialect: Dialect, expected: &Expected) -> Option<FinishReason> {
    let reason = expected.finish.as_deref()?;
    Some(match (dialect, reason) {
        (_, "stop" | "end_turn" | "COMPLETE" | "eos") => FinishReason::Stop,
        (_, "STOP") if expected.calls.is_empty() => FinishReason::Stop,
        (_, "STOP" | "tool_calls" | "function_call" | "tool_use" | "TOOL_CALL") => FinishReason::ToolCalls,
        (_, "stop_sequence" | "STOP_SEQUENCE") => FinishReason::StopSequence,
        (_, "length" | "max_tokens" | "model_length" | "MAX_TOKENS" | "model_context_window_exceeded") => FinishReason::Length,
        (
            _,
            "content_filter"
            | "refusal"
            | "guardrail_intervened"
            | "content_filtered"
            | "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "IMAGE_OTHER"
            | "MODEL_ARMOR"
            | "blocked",
        ) => FinishReason::ContentFilter,
        (_, "pause_turn") => FinishReason::Pause,
        (_, "") => return None,
        (_, other) => FinishReason::Other(other.to_owned()),
    })
}
