//! What is counted, and how an answer ended, as each dialect's clients read it.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::openapi::require;
use super::replay::{Replay, ask, streamed};
use super::support::{Service, read};

const CLAUDE: &str = "anthropic/claude-opus-4-6";

/// An answer of Claude's with this end and usage, whole and streamed.
async fn claude(reason: &str, usage: Value) -> Replay {
    let text = json!({"type": "text", "text": "So."});
    let whole = json!({"id": "m", "type": "message", "model": "m", "content": [text], "stop_reason": reason, "usage": usage});
    let frames = vec![
        json!({"type": "message_start", "message": {"id": "m", "model": "m"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": text}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    Replay::start(whole, frames).await
}

#[tokio::test]
async fn claudes_own_counts_and_ends_come_out_of_its_door() {
    let usage = json!({"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 0, "output_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
        "output_tokens_details": {"thinking_tokens": 2}});
    let replay = claude("model_context_window_exceeded", usage.clone()).await;
    let service = replay.service();
    let (_, answer) = service.post("/v1/messages", &ask(CLAUDE)).await;
    require("Message", &answer);
    assert_eq!((&answer["usage"], &answer["stop_reason"]), (&usage, &json!("model_context_window_exceeded")));
    let events = service.events_of("/v1/messages", &streamed(ask(CLAUDE))).await;
    let (_, end) = events.iter().find(|(name, _)| name == "message_delta").unwrap();
    assert_eq!((&end["usage"], &end["delta"]["stop_reason"]), (&usage, &json!("model_context_window_exceeded")));
    let (_, answer) = service.post("/v1/chat/completions", &ask(CLAUDE)).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn openais_own_counts_come_out_of_its_door() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 1, "rejected_prediction_tokens": 0}});
    let choice = |said: &str| json!({"index": 0, said: {"role": "assistant", "content": "So."}, "finish_reason": "stop"});
    let answered = |said: &str| json!({"id": "c", "model": "m", "choices": [choice(said)], "usage": usage});
    let replay = Replay::start(answered("message"), vec![answered("delta")]).await;
    let service = replay.service();
    let expected = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0, "audio_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 2, "accepted_prediction_tokens": 1}});
    let (_, answer) = service.post("/v1/chat/completions", &ask("custom/m")).await;
    require("ChatCompletion", &answer);
    assert_eq!((&answer["usage"], &answer["omni"]["extra"]), (&expected, &Value::Null));
    let mut body = streamed(ask("custom/m"));
    body["stream_options"] = json!({"include_usage": true});
    let events = service.events_of("/v1/chat/completions", &body).await;
    assert!(events.iter().any(|(_, chunk)| chunk["usage"] == expected), "{events:?}");
}

#[tokio::test]
async fn an_end_that_openais_dialect_does_not_have_is_told_as_a_cut() {
    for (reason, told) in [("pause_turn", "pause"), ("made_up", "made_up")] {
        let replay = claude(reason, Value::Null).await;
        let service = replay.service();
        let (_, answer) = service.post("/v1/chat/completions", &ask(CLAUDE)).await;
        require("ChatCompletion", &answer);
        assert_eq!((&answer["choices"][0]["finish_reason"], &answer["omni"]["finish_reason"]), (&json!("length"), &json!(told)));
        let events = service.events_of("/v1/chat/completions", &streamed(ask(CLAUDE))).await;
        let last = events.iter().rev().find(|(_, chunk)| chunk["omni"].is_object()).unwrap();
        assert_eq!((&last.1["choices"][0]["finish_reason"], &last.1["omni"]["finish_reason"]), (&json!("length"), &json!(told)));
    }
}

#[tokio::test]
async fn a_call_without_arguments_has_an_empty_object() {
    let call = |said: &str| {
        let call = json!({"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "null"}});
        let choice = json!({"index": 0, said: {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"});
        json!({"id": "c", "model": "m", "choices": [choice]})
    };
    let replay = Replay::start(call("message"), vec![call("delta")]).await;
    let service = replay.service();
    let mut body = ask("custom/m");
    body["tools"] = json!([{"name": "look", "input_schema": {"type": "object"}}]);
    let (_, answer) = service.post("/v1/messages", &body).await;
    assert_eq!(answer["content"][0]["input"], json!({}), "{answer}");
    let events = service.events_of("/v1/messages", &streamed(body)).await;
    let told: String = events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(told, "{}");
}

#[tokio::test]
async fn a_null_inside_streamed_arguments_stays_one() {
    let piece = |name: Option<&str>, arguments: &str| {
        let call =
            json!({"index": 0, "id": name.map(|_| "c"), "type": "function", "function": {"name": name, "arguments": arguments}});
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]})
    };
    let end = json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let pieces = vec![piece(Some("look"), "{\"unit\":"), piece(None, "null"), piece(None, "}"), end];
    let replay = Replay::start(json!({}), pieces).await;
    let mut body = ask("custom/m");
    body["tools"] = json!([{"name": "look", "input_schema": {"type": "object"}}]);
    let events = replay.service().events_of("/v1/messages", &streamed(body)).await;
    let told: String = events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(told, "{\"unit\":null}");
}

#[tokio::test]
async fn tokens_are_counted_by_those_who_count() {
    let replay = Replay::start(json!({"input_tokens": 11}), Vec::new()).await;
    let service = replay.service();
    let mut body = json!({"model": CLAUDE, "system": "Be brief.", "temperature": 0.5, "metadata": {"user_id": "u"},
        "messages": [{"role": "user", "content": "Why?"}], "tools": [{"name": "look", "input_schema": {"type": "object"}}]});
    let (status, answer) = service.post("/v1/messages/count_tokens", &body).await;
    assert_eq!((status, &answer), (200, &json!({"input_tokens": 11})));
    require("TokenCount", &answer);
    let asked = replay.asked();
    let sent: Vec<&str> = asked.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(sent, ["model", "system", "messages", "tools"]);
    for (model, refused) in [("custom/m", "`count_tokens`: not supported"), ("rag/custom/m", "`rag`: not supported")] {
        body["model"] = json!(model);
        let (status, answer) = service.post("/v1/messages/count_tokens", &body).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.starts_with(refused), "{answer}");
    }
    let (status, answer) = service.post("/v1/messages", &body).await;
    assert_eq!((status, &answer["error"]["message"]), (400, &json!("`max_tokens`: missing")));
}

#[tokio::test]
async fn models_are_those_that_the_operator_names() {
    let service = Service::new(|config| {
        let endpoint = config.providers.entry("custom".into()).or_default();
        (endpoint.base_url, endpoint.model) = (Some("http://127.0.0.1:9/v1".into()), Some("a".into()));
        endpoint.models = vec!["b".into(), "a".into()];
        endpoint.aliases.insert("old".into(), "a".into());
        config.index = None;
    });
    let (_, list) = service.get("/v1/models").await;
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["custom/a", "custom/b", "custom/old"]);
    let response = service.send(Request::get("/v1/models/%ff").body(Body::empty()).unwrap()).await;
    let (status, answer) = read(response).await;
    require("OpenAiError", &answer);
    assert_eq!(status, 400);
}
