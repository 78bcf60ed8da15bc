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
    let forced = json!({"model": "anthropic/claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
        "tool_choice": {"type": "any"}});
    let (status, refused) = service.post("/v1/messages", &forced).await;
    let told = "`tool_choice`: a tool must be called, but there is none in `tools`";
    assert_eq!((status, &refused["error"]["message"]), (400, &json!(told)));

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
async fn a_call_says_from_which_set_of_tools_it_is() {
    let call = json!({"type": "tool_use", "id": "t", "name": "key", "input": {"text": "ctrl+s"},
        "caller": {"type": "direct"}, "toolset_name": "computer"});
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": [call],
        "stop_reason": "tool_use", "usage": {"input_tokens": 5, "output_tokens": 7}});
    let mut begun = call.clone();
    begun["input"] = json!({});
    let piece = json!({"type": "input_json_delta", "partial_json": call["input"].to_string()});
    let frames = vec![
        json!({"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 5}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": begun}),
        json!({"type": "content_block_delta", "index": 0, "delta": piece}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ];
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let mut body = json!({"model": "anthropic/claude-opus-4-8", "max_tokens": 9,
        "tools": [{"type": "computer_toolset_20260801", "name": "computer"}], "messages": [{"role": "user", "content": "Save."}]});
    let (_, answer) = service.post("/v1/messages", &body).await;
    assert_eq!(answer["content"], json!([call]));
    body["stream"] = true.into();
    let events = service.events_of("/v1/messages", &body).await;
    let begun = events.iter().find(|(name, _)| name == "content_block_start").map(|(_, event)| &event["content_block"]);
    assert_eq!(begun.map(|block| &block["toolset_name"]), Some(&json!("computer")));

    body["stream"] = false.into();
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "saved", "toolset_name": "computer"});
    for message in [json!({"role": "assistant", "content": [call]}), json!({"role": "user", "content": [result]})] {
        body["messages"].as_array_mut().unwrap().push(message);
    }
    let (status, answer) = service.post("/v1/messages", &body).await;
    assert_eq!((status, &answer["omni"]["warnings"]), (200, &Value::Null), "{answer}");
    let sent = replay.asked();
    assert_eq!((&sent["messages"][1]["content"][0], &sent["messages"][2]["content"][0]), (&call, &result));
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

#[tokio::test]
async fn who_called_a_tool_goes_out_and_comes_back() {
    let caller = json!({"type": "code_execution_20250825", "tool_id": "srvtoolu_1"});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1}, "caller": caller});
    let whole = json!({"id": "m", "type": "message", "model": "m", "content": [call], "stop_reason": "tool_use"});
    let mut begun = call.clone();
    begun["input"] = json!({});
    let frames = vec![
        json!({"type": "message_start", "message": {"id": "m", "model": "m"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": begun}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let mut body = ask("anthropic/claude-x");
    body.as_object_mut().unwrap().shift_remove("tool_choice");
    let (_, answer) = service.post("/v1/messages", &body).await;
    assert_eq!(answer["content"], json!([call]));
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = service.events_of("/v1/messages", &streamed).await;
    let (_, first) = events.iter().find(|(name, _)| name == "content_block_start").unwrap();
    assert_eq!(first["content_block"]["caller"], caller);
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "it"}]});
    body["messages"].as_array_mut().unwrap().extend([json!({"role": "assistant", "content": [call]}), result]);
    service.post("/v1/messages", &body).await;
    assert_eq!(replay.asked()["messages"][1]["content"][0], call);
    // To others it says nothing.
    (body["model"], body["tools"]) = (json!("custom/m"), json!([body["tools"][0]]));
    let (_, answer) = service.post("/v1/messages", &body).await;
    assert!(answer["error"].is_object() && replay.asked()["messages"][1]["tool_calls"][0].get("caller").is_none(), "{answer}");
}

#[tokio::test]
async fn openais_tools_that_take_a_text_go_to_its_dialect_and_come_back() {
    let call = |input: &str| json!({"id": "c", "type": "custom", "custom": {"name": "run", "input": input}});
    let chunk = |delta: Value, reason: Value| json!({"id": "a", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [call("{ \"a\": 1 }")]});
    let whole = json!({"id": "a", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]});
    let piece = |piece: Value| json!({"tool_calls": [piece]});
    let mut begun = call("");
    begun["index"] = json!(0);
    let frames = vec![
        chunk(piece(begun), Value::Null),
        chunk(piece(json!({"index": 0, "custom": {"input": "ls "}})), Value::Null),
        chunk(piece(json!({"index": 0, "custom": {"input": "-l"}})), Value::Null),
        chunk(json!({}), json!("tool_calls")),
    ];
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let tool = json!({"type": "custom", "custom": {"name": "run", "format": {"type": "text"}}});
    let choice = json!({"type": "custom", "custom": {"name": "run"}});
    let mut body = json!({"model": "custom/m", "tools": [tool], "tool_choice": choice,
        "messages": [{"role": "user", "content": "List it."}]});
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    // A text stays as it is.
    assert_eq!(answer["choices"][0]["message"]["tool_calls"], json!([call("{ \"a\": 1 }")]), "{answer}");
    let sent = replay.asked();
    assert_eq!((&sent["tools"], &sent["tool_choice"]), (&json!([tool]), &choice));
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = service.events_of("/v1/chat/completions", &streamed).await;
    let pieces: Vec<&Value> = events.iter().map(|(_, chunk)| &chunk["choices"][0]["delta"]["tool_calls"][0]).collect();
    let text: String = pieces.iter().filter_map(|piece| piece["custom"]["input"].as_str()).collect();
    let kinds: Vec<&str> = pieces.iter().filter_map(|piece| piece["type"].as_str()).collect();
    assert_eq!((text.as_str(), kinds), ("ls -l", vec!["custom"]), "{events:?}");
    let said = json!({"role": "assistant", "tool_calls": [call("ls")]});
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "it"});
    body["messages"].as_array_mut().unwrap().extend([said, result]);
    service.post("/v1/chat/completions", &body).await;
    assert_eq!(replay.asked()["messages"][1]["tool_calls"], json!([call("ls")]));
    body["model"] = json!("anthropic/claude-x");
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(status == 400 && message.starts_with("`tools: custom`: not supported"), "{message}");
}

#[tokio::test]
async fn of_allowed_tools_no_others_are_told() {
    let replay = replay("end_turn").await;
    let service = replay.service();
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("look")]}});
    let body = json!({"model": "anthropic/claude-x", "max_tokens": 9, "tools": [named("look"), named("jump")], "tool_choice": allowed,
        "reasoning_effort": "default", "messages": [{"role": "user", "content": "Why?"}]});
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    let sent = replay.asked();
    assert_eq!((sent["tools"].as_array().unwrap().len(), &sent["tools"][0]["name"]), (1, &json!("look")));
    assert_eq!((&sent["tool_choice"], &sent["thinking"]), (&json!({"type": "any"}), &Value::Null));
    let told = "`tool_choice`: providers are told of the tools that are allowed, and of no others; it was changed";
    assert_eq!(answer["omni"]["warnings"], json!([told]));
}

#[tokio::test]
async fn sound_goes_to_openais_dialect_alone() {
    let replay = replay("end_turn").await;
    let service = replay.service();
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}});
    let ask = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": [sound, {"type": "text", "text": "Who?"}]}]});
    service.post("/v1/chat/completions", &ask("custom/m")).await;
    assert_eq!(replay.asked()["messages"][0]["content"][0], sound);
    // What the model spoke goes back by its id.
    let mut again = ask("custom/m");
    let spoken = json!({"role": "assistant", "content": null, "audio": {"id": "audio_1"}});
    again["messages"].as_array_mut().unwrap().extend([spoken.clone(), json!({"role": "user", "content": "And?"})]);
    service.post("/v1/chat/completions", &again).await;
    assert_eq!(replay.asked()["messages"][1], spoken);
    let (status, answer) = service.post("/v1/chat/completions", &ask("anthropic/claude-x")).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(status == 400 && message.starts_with("`input_audio`: not supported"), "{message}");
}
