//! Tools that only one vendor has, and what they lead to: through the door of its dialect to it, and back, turn by turn.

use serde_json::{Value, json};

use super::replay::Replay;

/// What a turn of Anthropic's with its own search is.
fn searched() -> Value {
    json!([
        {"type": "text", "text": "Let me look."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "sky"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
            {"type": "web_search_result", "url": "https://8.8.8.8/sky", "title": "Sky: why", "encrypted_content": "e", "page_age": null}]},
        {"type": "text", "text": "Blue.", "citations": [
            {"type": "web_search_result_location", "cited_text": "c", "encrypted_index": "i", "title": "Sky", "url": "https://8.8.8.8/sky"}]},
    ])
}

async fn replay(stop_reason: &str) -> Replay {
    let usage =
        json!({"input_tokens": 5, "output_tokens": 7, "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}});
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": searched(),
        "stop_reason": stop_reason, "stop_sequence": null, "usage": usage});
    let mut frames =
        vec![json!({"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 5}}})];
    for (index, block) in searched().as_array().unwrap().iter().enumerate() {
        let delta = |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let mut begun = block.clone();
        let mut deltas = Vec::new();
        match block["type"].as_str().unwrap() {
            "text" => {
                begun = json!({"type": "text", "text": ""});
                deltas.push(delta(json!({"type": "text_delta", "text": block["text"]})));
                let citations = block["citations"].as_array().into_iter().flatten();
                deltas.extend(citations.map(|citation| delta(json!({"type": "citations_delta", "citation": citation}))));
            }
            "server_tool_use" => {
                begun["input"] = json!({});
                for piece in ["{\"query\":", " \"sky\"}"] {
                    deltas.push(delta(json!({"type": "input_json_delta", "partial_json": piece})));
                }
            }
            _ => {}
        }
        frames.push(json!({"type": "content_block_start", "index": index, "content_block": begun}));
        frames.extend(deltas);
        frames.push(json!({"type": "content_block_stop", "index": index}));
    }
    frames.push(json!({"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": usage}));
    frames.push(json!({"type": "message_stop"}));
    Replay::start(whole, frames).await
}

fn ask(model: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 5, "allowed_domains": ["example.com"]}],
        "tool_choice": {"type": "tool", "name": "web_search"}})
}

/// The blocks of a stream, put together as the dialect's clients do.
fn blocks(events: &[(String, Value)]) -> Value {
    let mut blocks: Vec<Value> = Vec::new();
    for (name, data) in events {
        match (name.as_str(), data["delta"]["type"].as_str()) {
            ("content_block_start", _) => blocks.push(data["content_block"].clone()),
            ("content_block_delta", Some("text_delta")) => {
                let block = blocks.last_mut().unwrap();
                block["text"] = format!("{}{}", block["text"].as_str().unwrap(), data["delta"]["text"].as_str().unwrap()).into();
            }
            ("content_block_delta", Some("citations_delta")) => {
                blocks.last_mut().unwrap()["citations"] = json!([data["delta"]["citation"]]);
            }
            _ => {}
        }
    }
    blocks.into()
}

#[tokio::test]
async fn tools_of_claudes_own_reach_it_and_what_they_lead_to_comes_back() {
    let replay = replay("end_turn").await;
    let service = replay.service();
    let body = ask("anthropic/claude-x");
    let (status, answer) = service.post("/v1/messages", &body).await;
    assert_eq!((status, &answer["omni"]["warnings"]), (200, &Value::Null), "{answer}");
    assert_eq!(answer["content"], searched());
    assert_eq!(answer["usage"]["server_tool_use"], json!({"web_search_requests": 1, "web_fetch_requests": 0}));
    assert_eq!(answer["omni"]["extra"], Value::Null, "what has a place is not told twice");
    let sent = replay.asked();
    // A mark on the functions, which stand last, holds for all of them.
    let mut expected = body["tools"].clone();
    expected.as_array_mut().unwrap().reverse();
    assert_eq!((&sent["tools"], &sent["tool_choice"]), (&expected, &body["tool_choice"]));

    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let events = service.events_of("/v1/messages", &streamed).await;
    assert_eq!(blocks(&events), searched());
    let (_, end) = events.iter().rfind(|(name, _)| name == "message_delta").unwrap();
    assert_eq!(end["usage"]["server_tool_use"]["web_search_requests"], 1);

    // The next turn has all of it again.
    let mut next = body;
    for message in
        [json!({"role": "assistant", "content": answer["content"]}), json!({"role": "user", "content": "And at night?"})]
    {
        next["messages"].as_array_mut().unwrap().push(message);
    }
    let (status, answer) = service.post("/v1/messages", &next).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(replay.asked()["messages"][1]["content"], searched());
}

#[tokio::test]
async fn an_answer_that_paused_goes_on_where_no_other_could() {
    let replay = replay("pause_turn").await;
    let service = replay.service();
    let mut body = ask("anthropic/claude-opus-4-8");
    let (_, answer) = service.post("/v1/messages", &body).await;
    assert_eq!(answer["stop_reason"], "pause_turn");
    let said = |content: &Value| json!([body["messages"][0], {"role": "assistant", "content": content}]);
    let (paused, prefilled) = (said(&answer["content"]), said(&json!("It is")));
    body["messages"] = paused;
    assert_eq!(service.post("/v1/messages", &body).await.0, 200);
    assert_eq!(replay.asked()["messages"][1]["content"], searched());
    body["messages"] = prefilled;
    assert_eq!(service.post("/v1/messages", &body).await.0, 400);
    // Nor is it held to a shape before it is whole.
    let mut shaped = ask("anthropic/claude-opus-4-8");
    shaped["tool_choice"] = Value::Null;
    shaped["output_config"] = json!({"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}}});
    let (status, answer) = service.post("/v1/messages", &shaped).await;
    assert_eq!((status, &answer["stop_reason"]), (200, &json!("pause_turn")), "{answer}");
}

#[tokio::test]
async fn what_only_one_dialect_has_is_refused_by_name_elsewhere() {
    let replay = replay("end_turn").await;
    let service = replay.service();
    for model in ["custom/m", "gemini/gemini-3-flash", "bedrock/us.anthropic.claude-sonnet-4-6"] {
        let (status, answer) = service.post("/v1/messages", &ask(model)).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(status, 400, "{answer}");
        assert!(message.starts_with("`tools: web_search_20250305`: not supported"), "{message}");
        assert!(message.contains("only the dialect of `anthropic` has such tools"), "{message}");
    }
    let file = json!([{"type": "text", "text": "Why?"}, {"type": "file", "file": {"file_id": "file-1", "filename": null}}]);
    let asked = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": file}]});
    service.post("/v1/chat/completions", &asked("custom/m")).await;
    let sent = replay.asked();
    assert_eq!(sent["messages"][0]["content"][1], json!({"type": "file", "file": {"file_id": "file-1"}}));
    let (status, answer) = service.post("/v1/chat/completions", &asked("anthropic/claude-x")).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("file.file_id")), "{answer}");
    assert_eq!(replay.asked(), sent, "nobody else is asked");
}
