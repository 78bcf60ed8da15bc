//! What the vendors' own clients count on beside the answer: whether to send again, names in headers, the model in a stream.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::openapi::require;
use super::replay::Replay;
use super::support::{KEY, Mock, Service, read};

fn chat(model: &str) -> Value {
    json!({"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "How large may a request body be?"}]})
}

/// What the answer to `body` says of sending it again.
async fn should_retry(service: &Service, path: &str, body: &Value) -> (u16, Option<String>) {
    let response = service.send(Request::post(path).body(Body::from(body.to_string())).unwrap()).await;
    let told = response.headers().get("x-should-retry").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), told)
}

#[tokio::test]
async fn clients_are_told_not_to_pay_again_for_what_stays_wrong() {
    let mock = Mock::start().await;
    let once = Service::with(&mock, |_| {});
    let again = Service::with(&mock, |config| config.generation.retries = 1);
    let no = Some("false".to_owned());
    let mut shaped = chat("custom/never");
    shaped["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}});
    assert_eq!(should_retry(&once, "/v1/chat/completions", &shaped).await, (502, no.clone()));
    for path in ["/v1/chat/completions", "/v1/messages"] {
        assert_eq!(should_retry(&once, path, &chat("custom/refused")).await, (424, no.clone()));
        assert_eq!(should_retry(&once, path, &chat("custom/busy")).await, (429, None));
        assert_eq!(should_retry(&once, path, &chat("custom/broken")).await, (502, None), "nobody tried again yet");
        assert_eq!(should_retry(&again, path, &chat("custom/broken")).await, (502, no.clone()));
        assert_eq!(should_retry(&once, path, &json!({})).await, (400, no.clone()));
    }
    let query = json!({"prompt": "body", "model_name": "refused"});
    assert_eq!(should_retry(&once, "/v1/query", &query).await, (424, no.clone()));
    // All the time that there is was not enough, and was paid for.
    let hurried = Service::with(&mock, |config| (config.limits.request_timeout_s, config.limits.first_token_timeout_s) = (1, 1));
    for stream in [false, true] {
        let mut slow = chat("custom/slow");
        slow["stream"] = json!(stream);
        assert_eq!(should_retry(&hurried, "/v1/chat/completions", &slow).await, (504, no.clone()), "streamed: {stream}");
    }
}

#[tokio::test]
async fn an_account_without_money_is_no_failure_that_clients_repeat() {
    let replay = Replay::start(json!({"error": {"code": "insufficient_quota", "message": "m"}}), Vec::new()).await;
    let asked = should_retry(&replay.service(), "/v1/chat/completions", &chat("custom/m")).await;
    assert_eq!(asked, (402, Some("false".to_owned())));
}

#[tokio::test]
async fn a_conversation_that_is_too_long_is_said_in_the_words_that_each_dialects_clients_look_for() {
    for said in ["maximum context length is 9 tokens", "prompt is too long: 9 tokens > 8 maximum"] {
        let told = json!({"error": {"code": "context_length_exceeded", "message": said}});
        let service = Replay::start(told, Vec::new()).await.service();
        let (status, answer) = service.post("/v1/messages", &chat("custom/m")).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.matches("prompt is too long").count() == 1 && message.ends_with(said), "{message}");
        let (_, answer) = service.post("/v1/chat/completions", &chat("custom/m")).await;
        assert_eq!(answer["error"]["code"], "context_length_exceeded", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().ends_with(said), "{answer}");
    }
}

#[tokio::test]
async fn what_anthropic_says_of_an_error_beside_its_message_reaches_its_clients() {
    let details = |echoed: &str| json!({"error_code": "compaction_unavailable", "echoed": echoed});
    let told = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "m", "details": details(KEY)}});
    let replay = Replay::start(told, Vec::new()).await;
    let (status, answer) = replay.service().post("/v1/messages", &chat("anthropic/claude-x")).await;
    assert_eq!((status, &answer["error"]["details"]), (400, &details("(key)")), "{answer}");
    require("AnthropicError", &answer);
}

#[tokio::test]
async fn anthropics_clients_find_their_shape_and_their_header_below_their_paths() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    for (path, status) in [("/v1/messages", 200), ("/v1/messages/count_tokens", 400), ("/v1/messages/batches", 404)] {
        let response = service.send(Request::post(path).body(Body::from(chat("custom/good").to_string())).unwrap()).await;
        assert_eq!(response.headers()["request-id"], response.headers()["x-request-id"]);
        let (told, answer) = read(response).await;
        assert_eq!(told, status, "{answer}");
        if status == 404 {
            require("AnthropicError", &answer);
            let expected = format!("`{path}`: no such path; there are `/`, ");
            assert!(answer["error"]["message"].as_str().unwrap().starts_with(&expected), "{answer}");
        }
    }
    let models = |path: &str| Request::get(path).header("anthropic-version", "2023-06-01").body(Body::empty()).unwrap();
    let (_, answer) = read(service.send(models("/v1/models/openai/x")).await).await;
    require("AnthropicError", &answer);
    let (_, list) = read(service.send(models("/v1/models")).await).await;
    let model = &list["data"][1];
    assert_eq!([&model["type"], &model["display_name"]], ["model", "custom/good"], "{list}");
    assert!(model["created_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{list}");
    assert_eq!((&list["has_more"], &list["last_id"]), (&json!(false), &json!("rag/custom/good")));
    // Page by page, in both directions.
    let ids =
        |list: &Value| list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect();
    let all: Vec<String> = ids(&list);
    for (field, last) in [("after_id", "last_id"), ("before_id", "first_id")] {
        let (mut pages, mut more) = (Vec::new(), String::new());
        loop {
            let (status, page) = read(service.send(models(&format!("/v1/models?limit=2{more}"))).await).await;
            assert!(status == 200 && page["data"].as_array().unwrap().len() <= 2, "{page}");
            require("Models", &page);
            if field == "before_id" && pages.is_empty() {
                // The way back begins behind the last.
                more = format!("&before_id={}", all[all.len() - 1]);
                pages.push(vec![all[all.len() - 1].clone()]);
                continue;
            }
            pages.push(ids(&page));
            if page["has_more"] == false {
                break;
            }
            more = format!("&{field}={}", page[last].as_str().unwrap());
        }
        if field == "before_id" {
            pages.reverse();
        }
        assert_eq!(pages.concat(), all, "{field}");
    }
    for wrong in ["limit=0", "limit=x", "after_id=nobody"] {
        let (status, answer) = read(service.send(models(&format!("/v1/models?{wrong}"))).await).await;
        assert_eq!(status, 400, "{answer}");
        require("AnthropicError", &answer);
    }
    let response = service.send(Request::post("/v1/chat/completions").body(Body::from("{}")).unwrap()).await;
    assert!(response.headers().get("request-id").is_none());
}

#[tokio::test]
async fn a_stream_names_one_model_from_its_beginning_to_its_end() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    for (asked, answers) in
        [("custom/good", "custom/good-1"), ("rag/custom/good", "custom/good-1"), ("rag/extractive", "extractive")]
    {
        let mut body = chat(asked);
        body["stream"] = json!(true);
        let events = service.events_of("/v1/chat/completions", &body).await;
        let chunks: Vec<&Value> = events.iter().map(|(_, data)| data).filter(|data| data.is_object()).collect();
        assert!(chunks.iter().all(|chunk| chunk["model"] == answers && chunk.get("usage").is_none()), "{chunks:?}");
        let events = service.events_of("/v1/messages", &body).await;
        assert_eq!(events[0].1["message"]["model"], answers);
    }
    // A provider that does not say which model answers.
    let replay = Replay::start(
        json!({}),
        vec![
            json!({"choices": [{"index": 0, "delta": {"content": "a"}}], "service_tier": "default", "system_fingerprint": "fp"}),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        ],
    )
    .await;
    let mut body = chat("custom/m");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let events = replay.service().events_of("/v1/chat/completions", &body).await;
    let chunks: Vec<&Value> = events.iter().map(|(_, data)| data).filter(|data| data.is_object()).collect();
    let [before @ .., usage] = chunks.as_slice() else { panic!("{events:?}") };
    assert!(before.iter().all(|chunk| chunk["model"] == "custom/m" && chunk["usage"].is_null()), "{before:?}");
    assert!(before.iter().all(|chunk| chunk.as_object().unwrap().contains_key("usage")), "null until it is known: {before:?}");
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(2)));
    assert_eq!([&usage["service_tier"], &usage["system_fingerprint"]], ["default", "fp"]);
    body.as_object_mut().unwrap().remove("stream_options");
    let events = replay.service().events_of("/v1/messages", &body).await;
    assert_eq!(events[0].1["message"]["model"], "custom/m");
}

#[tokio::test]
async fn a_text_that_was_checked_first_stands_before_the_calls_that_followed_it() {
    let call = json!({"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{\"a\":1}"}});
    let message = json!({"role": "assistant", "content": "Let me look.", "tool_calls": [call]});
    let whole = json!({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]});
    let frame = |delta: Value| json!({"model": "m", "choices": [{"index": 0, "delta": delta}]});
    let frames = vec![
        frame(json!({"content": "Let me "})),
        frame(json!({"content": "look."})),
        frame(json!({"tool_calls": [call]})),
        json!({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ];
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let mut body = chat("custom/m");
    body["rag"] = json!({"citations": "drop"});
    body["tools"] = json!([{"name": "look", "input_schema": {"type": "object"}}]);
    let (_, answer) = service.post("/v1/messages", &body).await;
    let whole: Vec<&str> = answer["content"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
    body["stream"] = json!(true);
    let events = service.events_of("/v1/messages", &body).await;
    let blocks = events.iter().filter(|(name, _)| name == "content_block_start");
    let streamed: Vec<&str> = blocks.map(|(_, data)| data["content_block"]["type"].as_str().unwrap()).collect();
    assert_eq!((&streamed, whole), (&vec!["text", "tool_use"], vec!["text", "tool_use"]));
    let told = |field: &str| -> String { events.iter().filter_map(|(_, data)| data["delta"][field].as_str()).collect() };
    assert_eq!((told("text").as_str(), told("partial_json").as_str()), ("Let me look.", "{\"a\":1}"));

    body["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
    let events = service.events_of("/v1/chat/completions", &body).await;
    let at = |has: &dyn Fn(&Value) -> bool| events.iter().position(|(_, data)| has(&data["choices"][0]["delta"])).unwrap();
    assert!(at(&|delta| delta["content"] == "Let me look.") < at(&|delta| delta["tool_calls"].is_array()), "{events:?}");
}

#[tokio::test]
async fn mistakes_name_the_callers_own_fields() {
    let replay = Replay::start(json!({}), Vec::new()).await;
    let service = replay.service();
    for (change, expected) in [
        (
            json!({"rag": {"retrieval_config": {"top_kk": 3}}}),
            "`rag.retrieval_config.top_kk`: unknown field; expected one of `top_k`, ",
        ),
        (json!({"rag": {"citations": 5}}), "`rag.citations`: not what belongs here; send a text"),
        (json!({"rag": 5}), "`rag`: invalid type: integer `5`, expected `true`, `false` or an object"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}), "`messages[0].content[0].text`: "),
        (json!({"max_tokens": 5.5}), "`max_tokens`: invalid type: number `5.5`, expected a whole number from 0 on"),
        (json!({"model": "openai/gpt-5.4"}), "`model`: `openai` needs a key; set `OPENAI_API_KEY`"),
        (json!({"model": "custom"}), "`model`: missing, and `custom` has no model by default; name one, or set `CUSTOM_MODEL`"),
    ] {
        let mut body = chat("custom/m");
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let (status, answer) = service.post(path, &body).await;
            let told = answer["error"]["message"].as_str().unwrap_or_default();
            assert!(status == 400 && told.starts_with(expected), "{path}: {told}\n{expected}");
        }
    }
    let mut body = chat("custom/m");
    body["tools"] = json!([{"type": "function"}]);
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!([&answer["error"]["message"], &answer["error"]["param"]], ["`tools[0].function`: missing", "tools[0].function"]);
}

#[tokio::test]
async fn what_a_shape_is_for_reaches_the_provider() {
    let whole = json!({"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}]});
    let replay = Replay::start(whole, Vec::new()).await;
    let service = replay.service();
    for (own, expected, warnings) in
        [(None, "A person.", 0), (Some("A person."), "A person.", 0), (Some("A name."), "A name.", 1)]
    {
        let mut schema = json!({"type": "object", "properties": {}});
        if let Some(own) = own {
            schema["description"] = json!(own);
        }
        let mut body = chat("custom/m");
        body["response_format"] =
            json!({"type": "json_schema", "json_schema": {"name": "person", "description": "A person.", "schema": schema}});
        let (status, answer) = service.post("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{answer}");
        let sent = replay.asked();
        assert_eq!(sent["response_format"]["json_schema"]["schema"]["description"], expected, "{sent}");
        let told = answer["omni"]["warnings"].as_array().map_or(0, |told| {
            told.iter()
                .filter(|warning| warning.as_str().unwrap().starts_with("`response_format.json_schema.description`"))
                .count()
        });
        assert_eq!(told, warnings, "{answer}");
    }
}

#[tokio::test]
async fn a_stream_of_anthropics_dialect_begins_with_what_the_prompt_took() {
    let cached = json!({"ephemeral_5m_input_tokens": 304, "ephemeral_1h_input_tokens": 12_000});
    let usage = json!({"input_tokens": 3, "cache_creation_input_tokens": 12_304, "cache_read_input_tokens": 0, "cache_creation": cached, "output_tokens": 1});
    let frames = vec![
        json!({"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": usage}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ];
    let service = Replay::start(Value::Null, frames).await.service();
    let body = json!({"model": "anthropic/claude-x", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Why?"}]});
    let events = service.events_of("/v1/messages", &body).await;
    assert_eq!((events[0].0.as_str(), &events[0].1["message"]["usage"]), ("message_start", &usage));
    assert_eq!(events[0].1["message"]["model"], "anthropic/claude-x");
    let (_, last) = events.iter().find(|(name, _)| name == "message_delta").unwrap();
    assert_eq!((&last["usage"]["cache_creation"], &last["usage"]["output_tokens"]), (&cached, &json!(7)));
}
