//! Numbers in calls of tools that ours do not hold: they keep their digits, out of every door and back in.

use axum::body::{Body, to_bytes};
use serde_json::{Value, json};

use super::replay::Replay;
use super::support::Service;

const LARGE: &str = r#"{"n":12345678901234567890123}"#;

/// The text of an answer, as it came.
async fn text(service: &Service, path: &str, body: &Value) -> String {
    let request = axum::http::Request::post(path).body(Body::from(body.to_string())).unwrap();
    let bytes = to_bytes(service.send(request).await.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A provider that wants a tool called with these arguments.
async fn calling(arguments: &str) -> Replay {
    let call = json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": arguments}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
    Replay::start(json!({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}), Vec::new())
        .await
}

#[tokio::test]
async fn they_leave_as_the_model_wrote_them() {
    let chat = json!({"model": "custom/m", "max_tokens": 9, "messages": [{"role": "user", "content": "Which?"}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}]});
    let query = json!({"prompt": "Which?", "model_provider": "custom", "model_name": "m", "rag_config": {"enabled": false}});
    for (arguments, input, told) in [
        (LARGE, LARGE, LARGE),
        // What some readers refuse would make the whole answer unreadable.
        (r#"{"n": 1e400}"#, r#"{"_raw":"{\"n\":1e400}"}"#, r#""{\"n\":1e400}""#),
        (r#"{"n":"\ud83d"}"#, r#"{"_raw":"{\"n\":\"\\ud83d\"}"}"#, r#""{\"n\":\"\\ud83d\"}""#),
        ("{\"n\":", r#"{"_raw":"{\"n\":"}"#, r#""{\"n\":""#),
    ] {
        let service = calling(arguments).await.service();
        let answer = text(&service, "/v1/messages", &chat).await;
        assert!(answer.contains(&format!(r#""name":"look","input":{input}}}"#)), "{answer}");
        let answer = text(&service, "/v1/query", &query).await;
        assert!(answer.contains(&format!(r#""name":"look","arguments":{told}}}"#)), "{answer}");
    }
}

#[tokio::test]
async fn they_come_back_as_they_are() {
    let replay = calling("{}").await;
    let body = format!(
        r#"{{"model": "custom/m", "max_tokens": 9, "messages": [{{"role": "user", "content": "Which?"}},
            {{"role": "assistant", "content": [{{"type": "text", "text": "This:"}}, {{"type": "tool_use", "id": "c", "name": "look", "input": {LARGE}}}]}},
            {{"role": "user", "content": [{{"type": "tool_result", "tool_use_id": "c", "content": "it"}}]}}],
            "tools": [{{"name": "look", "input_schema": {{"type": "object"}}}}]}}"#
    );
    let service = replay.service();
    for mark in ["", "\u{feff}"] {
        let (status, answer) = service.post_text("/v1/messages", &format!("{mark}{body}")).await;
        assert_eq!(
            (status, &replay.asked()["messages"][1]["tool_calls"][0]["function"]["arguments"]),
            (200, &json!(LARGE)),
            "{answer}"
        );
    }
    // Some clients of OpenAI's dialect send an object, too.
    let call = format!(r#"{{"id": "c", "type": "function", "function": {{"name": "look", "arguments": {LARGE}}}}}"#);
    let body = format!(
        r#"{{"model": "custom/m", "messages": [{{"role": "user", "content": "Which?"}}, {{"role": "assistant", "tool_calls": [{call}]}},
            {{"role": "tool", "tool_call_id": "c", "content": "it"}}]}}"#
    );
    let (status, answer) = service.post_text("/v1/chat/completions", &body).await;
    assert_eq!(
        (status, &replay.asked()["messages"][1]["tool_calls"][0]["function"]["arguments"]),
        (200, &json!(LARGE)),
        "{answer}"
    );
    let (status, answer) = service.post_text("/v1/chat/completions", &body.replace(LARGE, r#""{\"a\": \"\ud83d\"}""#)).await;
    assert_eq!(
        (status, answer["error"]["param"].as_str()),
        (400, Some("messages[1].tool_calls[0].function.arguments")),
        "{answer}"
    );
}
