//! The dialect against written cases and, where the shared folder is, against every recorded exchange.

use serde_json::{Value, json};

use super::*;
use crate::chat::{Role, Sampling};
use crate::net::{sse, testing};
use crate::provider::fold;

const QUIRKS: Quirks = Quirks { top_k: true, max_completion_tokens: true, stop_sequences: 4 };

fn request(sampling: Sampling) -> ChatRequest {
    ChatRequest { model: "m".into(), messages: vec![Message { role: Role::User, content: "hi".into() }], sampling }
}

/// Every event of a stream that arrives in these pieces.
fn events(pieces: &[&[u8]]) -> Result<Vec<ChatEvent>> {
    let (mut parser, mut decoder, mut events) = (sse::Parser::default(), Decoder::default(), Vec::new());
    for piece in pieces {
        for frame in parser.push(piece)? {
            events.extend(decoder.frame(&frame.data)?);
        }
    }
    events.extend(decoder.finish()?);
    Ok(events)
}

#[test]
fn only_what_was_said_is_sent() {
    let body: Value = serde_json::from_slice(&encode(&request(Sampling::default()), &QUIRKS, false).unwrap()).unwrap();
    assert_eq!(body, json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": false}));
    let sampling = Sampling {
        temperature: Some(0.5),
        max_tokens: Some(9),
        top_p: Some(1.0),
        top_k: Some(40),
        frequency_penalty: Some(-2.0),
        presence_penalty: Some(2.0),
        stop_sequences: vec!["\n".into()],
        seed: Some(-1),
        json: true,
    };
    let body: Value = serde_json::from_slice(&encode(&request(sampling), &QUIRKS, true).unwrap()).unwrap();
    let expected = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "max_completion_tokens": 9,
        "top_p": 1.0, "top_k": 40, "frequency_penalty": -2.0, "presence_penalty": 2.0, "stop": ["\n"], "seed": -1,
        "response_format": {"type": "json_object"}, "stream": true, "stream_options": {"include_usage": true}});
    assert_eq!(body, expected);
}

const STREAM: &str = concat!(
    ": hello\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, 世\"}}]}\r\n\r\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"界\"},\"finish_reason\":null}]}\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn events_are_equal_however_the_bytes_are_split_and_fold_into_the_answer() {
    let whole = events(&[STREAM.as_bytes()]).unwrap();
    let answer = fold(&whole);
    let usage = Some(Usage { prompt_tokens: 3, completion_tokens: 2 });
    let expected =
        ChatResponse { content: "Grüße, 世界".into(), finish_reason: FinishReason::Length, model: "m-1".into(), usage };
    assert_eq!(answer, expected);
    for at in 0..=STREAM.len() {
        assert_eq!(events(&[&STREAM.as_bytes()[..at], &STREAM.as_bytes()[at..]]).unwrap(), whole, "split at byte {at}");
    }
    assert_eq!(events(&STREAM.as_bytes().chunks(1).collect::<Vec<_>>()).unwrap(), whole);
}

#[test]
fn a_cut_stream_is_an_error_and_a_missing_done_is_not() {
    let finish = STREAM.find("\"finish_reason\":\"length\"").unwrap();
    for at in 0..finish {
        let error = events(&[&STREAM.as_bytes()[..at]]).unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::ProviderError, "the provider's stream was cut before its end"),
            "{at}"
        );
    }
    let without_done = &STREAM[..STREAM.find("data: [DONE]").unwrap()];
    assert_eq!(events(&[without_done.as_bytes()]).unwrap(), events(&[STREAM.as_bytes()]).unwrap());
}

#[test]
fn what_compatible_servers_get_wrong_is_read() {
    let decode = |value: Value| decode(&serde_json::to_vec(&value).unwrap()).unwrap();
    let answer = decode(
        json!({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "x"}, {"text": "b"}]}, "finish_reason": ""}]}),
    );
    assert_eq!((answer.content.as_str(), answer.finish_reason, answer.usage), ("ab", FinishReason::Stop, None));
    let answer = decode(
        json!({"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}], "usage": null, "model": null}),
    );
    assert_eq!((answer.content.as_str(), answer.finish_reason), ("no", FinishReason::ContentFilter));
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"eos\"}]}\n\n";
    assert_eq!(fold(&events(&[stream.as_bytes()]).unwrap()).finish_reason, FinishReason::Stop);
    let groq = "data: {\"x_groq\":{\"usage\":{\"prompt_tokens\":1}},\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(fold(&events(&[groq.as_bytes()]).unwrap()).usage, Some(Usage { prompt_tokens: 1, completion_tokens: 0 }));
}

#[test]
fn refusals_become_codes() {
    let code = |status, body: Value| error(status, &serde_json::to_vec(&body).unwrap(), None).code();
    let table = [
        (400, json!({"error": {"message": "x", "code": "context_length_exceeded"}}), Code::ContextLength),
        (
            400,
            json!({"error": {"message": "This model's maximum context length is 9 tokens", "code": null}}),
            Code::ContextLength,
        ),
        (400, json!({"error": {"message": "x", "code": "content_filter"}}), Code::ContentFilter),
        (400, json!({"error": {"message": "x", "type": "invalid_request_error"}}), Code::InvalidRequest),
        (401, json!({"error": {"message": "Incorrect API key provided: sk-ab**yz"}}), Code::Authentication),
        (404, json!({"error": {"message": "x", "code": "model_not_found"}}), Code::InvalidModel),
        (422, json!({"detail": "x"}), Code::InvalidRequest),
        (429, json!([{"error": {"code": 429, "message": "x"}}]), Code::RateLimit),
        (503, json!({"message": "capacity", "type": "invalid_request_error"}), Code::Overloaded),
        (504, json!("gateway"), Code::Timeout),
        (529, json!({}), Code::Overloaded),
        (500, json!({}), Code::ProviderError),
    ];
    for (status, body, expected) in table {
        assert_eq!(code(status, body.clone()), expected, "{status} {body}");
    }
    let refused = error(401, br#"{"error":{"message":"Incorrect API key provided: sk-ab**yz"}}"#, None);
    assert_eq!(refused.message(), "the provider refused the key (status 401)");
    assert_eq!(error(502, b"<html>", None).message(), "the provider refused (status 502): no reason given");
    assert_eq!(error(429, br#"{"error":{"message":"Please try again in 1.574s."}}"#, None).retry_after_seconds(), Some(2));
    assert_eq!(error(429, br#"{"error":{"message":"try again in 12ms"}}"#, Some(7)).retry_after_seconds(), Some(7));
    let inside = events(&[b"data: {\"error\":{\"message\":\"x\",\"type\":\"overloaded_error\"}}\n\n"]).unwrap_err();
    assert_eq!(inside.code(), Code::Overloaded);
}

#[test]
fn observed_overloads_are_retryable() {
    let Some(text) = testing::shared("contracts/errors/observed-errors.json") else { return };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut seen = 0;
    for row in rows
        .iter()
        .filter(|row| ["openai", "groq", "mistral", "openrouter", "xai"].contains(&row["provider"].as_str().unwrap_or_default()))
    {
        let status = u16::try_from(row["status"].as_u64().unwrap()).unwrap();
        let error = error(status, &serde_json::to_vec(&row["body"]).unwrap(), None);
        let expected = if status == 429 { Code::RateLimit } else { Code::Overloaded };
        assert_eq!(error.code(), expected, "{row}");
        assert!(error.code().is_retryable());
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
}

/// Every chat completion that was recorded: read, and compared with what an independent look at the raw body finds.
#[test]
fn every_recorded_exchange_decodes() {
    let mut counts = (0, 0, 0);
    for provider in ["openai", "openai-compatible", "groq"] {
        let folder = testing::shared_path("contracts/recordings/open").join(provider);
        let Ok(files) = std::fs::read_dir(&folder) else {
            eprintln!("skipped: {} is not here", folder.display());
            continue;
        };
        for file in
            files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        {
            let recording: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            for exchange in recording["interactions"].as_array().into_iter().flatten() {
                let path = exchange["request"]["path"].as_str().unwrap_or_default();
                if path.ends_with("/chat/completions") {
                    let kind = check(&exchange["response"], &file.display().to_string());
                    match kind {
                        Kind::Buffered => counts.0 += 1,
                        Kind::Stream => counts.1 += 1,
                        Kind::Refusal => counts.2 += 1,
                    }
                }
            }
        }
        assert!(counts.0 > 0, "{provider}: nothing was read");
    }
    eprintln!("recorded exchanges: {} buffered, {} streamed, {} refused", counts.0, counts.1, counts.2);
}

enum Kind {
    Buffered,
    Stream,
    Refusal,
}

fn check(response: &Value, name: &str) -> Kind {
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    if status >= 300 {
        let body = response["body_text"].as_str().map_or_else(|| response["body_json"].to_string(), str::to_owned);
        let error = error(status, body.as_bytes(), None);
        assert_ne!(error.code(), Code::Internal, "{name}");
        return Kind::Refusal;
    }
    let Some(text) = response["body_text"].as_str().filter(|text| !text.trim_start().starts_with('{')) else {
        let body = response["body_text"]
            .as_str()
            .map_or_else(|| response["body_json"].clone(), |text| serde_json::from_str(text).unwrap());
        let answer = decode(&serde_json::to_vec(&body).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let message = &body["choices"][0]["message"];
        let content = message["content"].as_str().or(message["refusal"].as_str()).unwrap_or_default();
        assert_eq!(answer.content, content, "{name}");
        assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), body["usage"]["prompt_tokens"].as_u64(), "{name}");
        assert_eq!(answer.model, body["model"].as_str().unwrap_or_default(), "{name}");
        return Kind::Buffered;
    };
    let outcome = events(&[text.as_bytes()]);
    let chunks: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect();
    if let Some(error) = chunks.iter().find_map(|chunk| chunk.get("error").filter(|error| !error.is_null())) {
        assert!(outcome.is_err(), "{name}: {error}");
        return Kind::Refusal;
    }
    let whole = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    let content: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    let usage = chunks
        .iter()
        .rev()
        .find_map(|chunk| chunk["usage"]["prompt_tokens"].as_u64().or(chunk["x_groq"]["usage"]["prompt_tokens"].as_u64()));
    let answer = fold(&whole);
    assert_eq!(answer.content, content, "{name}");
    assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), usage, "{name}");
    for size in [1, 7, 61] {
        assert_eq!(events(&text.as_bytes().chunks(size).collect::<Vec<_>>()).unwrap(), whole, "{name} in pieces of {size}");
    }
    Kind::Stream
}
