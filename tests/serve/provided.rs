//! What providers say that not every dialect has a word for, through both doors: citations, refusals, likelihoods, sound.

use serde_json::{Value, json};

use super::openapi::require;
use super::replay::{Replay, ask, streamed};

/// The blocks of a stream of Anthropic's dialect, put together as its clients do.
fn blocks(events: &[(String, Value)]) -> Value {
    let mut blocks: Vec<Value> = Vec::new();
    for (name, data) in events {
        match name.as_str() {
            "content_block_start" => {
                assert_eq!(data["index"], blocks.len());
                blocks.push(data["content_block"].clone());
            }
            "content_block_delta" => {
                let block = blocks.last_mut().unwrap();
                let delta = &data["delta"];
                if delta["type"] == "citations_delta" {
                    let mut citations = block["citations"].as_array().cloned().unwrap_or_default();
                    citations.push(delta["citation"].clone());
                    block["citations"] = citations.into();
                } else {
                    block["text"] = format!("{}{}", block["text"].as_str().unwrap(), delta["text"].as_str().unwrap()).into();
                }
            }
            _ => {}
        }
    }
    blocks.into()
}

/// Joined texts of a field of a stream's deltas in OpenAI's dialect.
fn joined(events: &[(String, Value)], field: &str) -> String {
    events.iter().filter_map(|(_, chunk)| chunk["choices"][0]["delta"][field].as_str()).collect()
}

/// Joined lists at a place of a stream's chunks.
fn listed(events: &[(String, Value)], pointer: &str) -> Vec<Value> {
    events.iter().flat_map(|(_, chunk)| chunk.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()).collect()
}

fn of_document() -> Value {
    json!({"type": "char_location", "cited_text": "Air scatters blue.", "document_index": 0, "document_title": "Sky",
        "start_char_index": 0, "end_char_index": 18, "file_id": null})
}

fn of_page(kind: &str) -> Value {
    json!({"type": kind, "cited_text": "x", "document_index": 0, "document_title": null})
}

fn of_web() -> Value {
    json!({"type": "web_search_result_location", "cited_text": "Rayleigh", "encrypted_index": "e", "title": "Scattering", "url": "https://8.8.8.8/sky"})
}

/// An answer of Claude's with citations: two texts that rest on something, two that do not.
fn cited() -> (Value, Vec<Value>) {
    let texts = json!([
        {"type": "text", "text": "Well: "},
        {"type": "text", "text": "älr scatters blue", "citations": [of_document(), of_page("page_location"), of_page("content_block_location")]},
        {"type": "text", "text": ", "},
        {"type": "text", "text": "says Rayleigh", "citations": [of_web()]},
    ]);
    let usage = json!({"input_tokens": 5, "output_tokens": 7});
    let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": texts,
        "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
    let mut frames = vec![json!({"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": usage}})];
    for (index, block) in texts.as_array().unwrap().iter().enumerate() {
        let delta = |delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        frames.push(json!({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}));
        // A search's citations come before the words.
        for citation in block["citations"].as_array().into_iter().flatten() {
            frames.push(delta(json!({"type": "citations_delta", "citation": citation})));
        }
        let (first, rest) = block["text"].as_str().unwrap().split_at(2);
        frames.push(delta(json!({"type": "text_delta", "text": first})));
        frames.push(delta(json!({"type": "text_delta", "text": rest})));
        frames.push(json!({"type": "content_block_stop", "index": index}));
    }
    frames.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": usage}));
    frames.push(json!({"type": "message_stop"}));
    (whole, frames)
}

#[tokio::test]
async fn claudes_citations_come_out_of_its_own_door_block_by_block() {
    let (whole, frames) = cited();
    let replay = Replay::start(whole.clone(), frames).await;
    let service = replay.service();
    let (status, answer) = service.post("/v1/messages", &ask("anthropic/claude-x")).await;
    assert_eq!((status, &answer["content"]), (200, &whole["content"]), "{answer}");
    require("Message", &answer);
    assert_eq!((&answer["omni"]["provider_citations"], &answer["stop_details"]), (&Value::Null, &Value::Null));
    let events = service.events_of("/v1/messages", &streamed(ask("anthropic/claude-x"))).await;
    assert_eq!(blocks(&events), whole["content"]);
    // They go back as they came.
    let mut again = ask("anthropic/claude-x");
    let next = json!({"role": "user", "content": "And at night?"});
    let source = json!({"type": "text", "media_type": "text/plain", "data": "Air scatters blue."});
    again["messages"][0]["content"] = json!([{"type": "document", "source": source, "title": "Sky", "citations": {"enabled": true}}, {"type": "text", "text": "Why?"}]);
    again["messages"].as_array_mut().unwrap().extend([json!({"role": "assistant", "content": whole["content"]}), next]);
    let (_, answer) = service.post("/v1/messages", &again).await;
    assert_eq!((&replay.asked()["messages"][1]["content"], &answer["omni"]["warnings"]), (&whole["content"], &Value::Null));
}

#[tokio::test]
async fn in_openais_door_citations_are_annotations_where_they_have_an_address() {
    let (whole, frames) = cited();
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let (_, answer) = service.post("/v1/chat/completions", &ask("anthropic/claude-x")).await;
    require("ChatCompletion", &answer);
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Well: älr scatters blue, says Rayleigh");
    let expected = json!([{"type": "url_citation", "url_citation": {"url": "https://8.8.8.8/sky", "title": "Scattering",
        "start_index": 25, "end_index": 38, "content": "Rayleigh"}}]);
    assert_eq!(message["annotations"], expected);
    let others = &answer["omni"]["provider_citations"];
    assert_eq!(others[0], json!({"start_index": 6, "end_index": 23, "dialect": "anthropic", "citation": of_document()}));
    assert_eq!(others.as_array().unwrap().len(), 3);
    let events = service.events_of("/v1/chat/completions", &streamed(ask("anthropic/claude-x"))).await;
    assert_eq!(joined(&events, "content"), "Well: älr scatters blue, says Rayleigh");
    assert_eq!(Value::from(listed(&events, "/choices/0/delta/annotations")), expected);
    let end = events.iter().find(|(_, chunk)| chunk["omni"].is_object()).unwrap();
    assert_eq!(&end.1["omni"]["provider_citations"], others);
}

#[tokio::test]
async fn a_text_that_another_dialect_cites_is_a_block_of_its_own() {
    let cited = json!({"citationsContent": {"content": [{"text": "Blue"}], "citations": [{"title": "Sky"}]}});
    let whole = json!({"output": {"message": {"role": "assistant", "content": [cited, {"text": " scatters."}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1}});
    let replay = Replay::start(whole, Vec::new()).await;
    let service = replay.service();
    let (status, answer) = service.post("/v1/messages", &ask("bedrock/anthropic.claude-x")).await;
    let expected = json!([{"type": "text", "text": "Blue"}, {"type": "text", "text": " scatters."}]);
    assert_eq!((status, &answer["content"]), (200, &expected), "{answer}");
    assert_eq!(answer["omni"]["provider_citations"][0]["dialect"], "bedrock");
    let events = service.events_of("/v1/messages", &streamed(ask("bedrock/anthropic.claude-x"))).await;
    assert_eq!(blocks(&events), expected);
}

#[tokio::test]
async fn an_answer_that_was_withheld_cites_nothing() {
    let answered = |text: &str, reason: &str| json!({"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}]});
    let mut body = ask("rag/custom/m");
    body["messages"][0]["content"] = json!("How large is the largest request body?");
    for (reason, count) in [("stop", 1), ("content_filter", 0)] {
        let replay = Replay::start(answered("Six MiB [1].", reason), Vec::new()).await;
        let (status, answer) = replay.service().post("/v1/chat/completions", &body).await;
        assert_eq!((status, &answer["choices"][0]["finish_reason"]), (200, &json!(reason)), "{answer}");
        assert_eq!(answer["omni"]["citations"].as_array().map(Vec::len), Some(count), "{answer}");
    }
    body["rag"] = json!({"citations": "abstain"});
    for (reason, is_told) in [("stop", false), ("content_filter", true)] {
        let replay = Replay::start(answered("Six", reason), Vec::new()).await;
        let (_, answer) = replay.service().post("/v1/chat/completions", &body).await;
        assert_eq!(answer["choices"][0]["message"]["content"] == "Six", is_told, "{answer}");
    }
}

#[tokio::test]
async fn what_is_withheld_is_not_thought_aloud_either() {
    let usage = json!({"input_tokens": 5, "output_tokens": 7});
    for (text, is_told) in
        [("“Nobody ever wrote these words in here” [1].", false), ("Request bodies have at most 6 MiB [1].", true)]
    {
        let blocks_of = json!([{"type": "thinking", "thinking": "Say that nobody wrote it.", "signature": "s"}, {"type": "text", "text": text}]);
        let whole = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": blocks_of,
            "stop_reason": "end_turn", "stop_sequence": null, "usage": usage});
        let on = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let begin = |index: usize, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
        let frames = vec![
            json!({"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": usage}}),
            begin(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            on(0, json!({"type": "thinking_delta", "thinking": "Say that nobody wrote it."})),
            on(0, json!({"type": "signature_delta", "signature": "s"})),
            json!({"type": "content_block_stop", "index": 0}),
            begin(1, json!({"type": "text", "text": ""})),
            on(1, json!({"type": "text_delta", "text": text})),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": usage}),
            json!({"type": "message_stop"}),
        ];
        let service = Replay::start(whole, frames).await.service();
        let mut body = ask("rag/anthropic/claude-x");
        body["messages"][0]["content"] = json!("How large is the largest request body?");
        body["rag"] = json!({"citations": "abstain"});
        for door in ["/v1/messages", "/v1/chat/completions"] {
            let (status, answer) = service.post(door, &body).await;
            assert_eq!((status, answer.to_string().contains("nobody wrote")), (200, is_told), "{answer}");
            let events = service.events_of(door, &streamed(body.clone())).await;
            let events: Vec<String> = events.into_iter().map(|(_, data)| data.to_string()).collect();
            let place = |word: &str| events.iter().position(|event| event.contains(word));
            assert_eq!(place("nobody wrote").is_some(), is_told, "{events:?}");
            // Thoughts come before what they led to.
            assert!(!is_told || place("nobody wrote") < place("6 MiB"), "{events:?}");
        }
    }
}

/// What a whole message of OpenAI's is, and how it is streamed.
fn spoken(message: Value, deltas: Vec<Value>) -> (Value, Vec<Value>) {
    let likely = |token: &str| json!({"token": token, "logprob": -0.5, "bytes": null, "top_logprobs": []});
    let mut whole = json!({"id": "c", "model": "m", "system_fingerprint": "fp_1", "service_tier": "flex",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let tokens: Vec<Value> =
        deltas.iter().filter_map(|delta| Some(likely(delta["content"].as_str().or(delta["refusal"].as_str())?))).collect();
    let list = if message_is_refused(&whole) { "refusal" } else { "content" };
    whole["choices"][0]["logprobs"] = json!({"content": null, "refusal": null});
    whole["choices"][0]["logprobs"][list] = tokens.into();
    let chunk = |delta: Value, logprobs: Value, reason: Value| {
        json!({"id": "c", "model": "m", "system_fingerprint": "fp_1", "service_tier": "flex",
            "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}]})
    };
    let mut frames = Vec::new();
    for delta in deltas {
        let token = delta["content"].as_str().or(delta["refusal"].as_str()).map(likely);
        let mut logprobs = json!({"content": null, "refusal": null});
        logprobs[list] = token.map_or(Value::Null, |token| json!([token]));
        frames.push(chunk(delta, logprobs, Value::Null));
    }
    frames.push(chunk(json!({}), Value::Null, json!("stop")));
    (whole, frames)
}

#[tokio::test]
async fn at_which_terms_claude_answered_stands_in_the_usage_of_its_dialect() {
    let terms = json!({"service_tier": "standard", "speed": "fast", "inference_geo": "us"});
    let mut usage = json!({"input_tokens": 1, "output_tokens": 1});
    usage.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    let said = json!({"type": "message", "id": "m", "model": "claude-x", "stop_reason": "end_turn", "usage": usage,
        "content": [{"type": "text", "text": "Yes."}]});
    let frames = vec![
        json!({"type": "message_start", "message": {"id": "m", "model": "claude-x", "usage": usage}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    let service = Replay::start(said, frames).await.service();
    let (_, answer) = service.post("/v1/messages", &ask("anthropic/claude-x")).await;
    require("Message", &answer);
    let events = service.events_of("/v1/messages", &streamed(ask("anthropic/claude-x"))).await;
    let end = events.iter().find(|(name, _)| name == "message_delta").unwrap();
    for told in [&answer, &end.1] {
        for (name, value) in terms.as_object().unwrap() {
            assert_eq!(&told["usage"][name], value, "{told}");
        }
        assert!(told["omni"].get("extra").is_none(), "{told}");
    }
    // Others have words of their own for it.
    let said = json!({"id": "c", "model": "m", "service_tier": "default",
        "choices": [{"message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]});
    let (_, answer) = Replay::start(said, vec![]).await.service().post("/v1/messages", &ask("custom/m")).await;
    assert_eq!((answer["usage"].get("service_tier"), &answer["omni"]["extra"]["service_tier"]), (None, &json!("default")));
}

#[tokio::test]
async fn what_claude_did_at_other_prices_than_the_tables_has_no_cost() {
    for (more, cost) in [
        (json!({"service_tier": "standard", "speed": "standard", "inference_geo": "global"}), json!(0.002)),
        (
            json!({"inference_geo": "not_available", "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 2}}),
            json!(0.002),
        ),
        (json!({"service_tier": "priority"}), Value::Null),
        (json!({"speed": "fast"}), Value::Null),
        (json!({"inference_geo": "us"}), Value::Null),
        (json!({"server_tool_use": {"web_search_requests": 1}}), Value::Null),
    ] {
        let mut usage = json!({"input_tokens": 1000, "output_tokens": 0});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let said = json!({"type": "message", "id": "m", "model": "claude-sonnet-5-5", "stop_reason": "end_turn", "usage": usage,
            "content": [{"type": "text", "text": "Yes."}]});
        let begun = json!({"type": "message_start", "message": {"id": "m", "model": "claude-sonnet-5-5", "usage": usage}});
        let frames = vec![
            begun,
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}}),
            json!({"type": "message_stop"}),
        ];
        let service = Replay::start(said, frames).await.service();
        let body = json!({"prompt": "Is it?", "model_provider": "anthropic", "model_name": "claude-sonnet-5-5", "rag_config": {"enabled": false}});
        let answer = service.query(body.clone()).await.1;
        assert_eq!(answer["metadata"]["usage"]["cost_usd"], cost, "{usage}: {answer}");
        let events = service.events(body).await;
        assert_eq!(events.last().unwrap().1["metadata"]["usage"]["cost_usd"], cost, "{usage}: {events:?}");
    }
}

#[tokio::test]
async fn calls_behind_a_stop_are_calls_and_no_answer_to_withhold() {
    let call = json!({"index": 0, "id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let said = json!({"role": "assistant", "content": "Let me look.", "tool_calls": [call]});
    let (whole, frames) = spoken(said.clone(), vec![said]);
    let service = Replay::start(whole, frames).await.service();
    let mut body = ask("rag/custom/m");
    body["messages"][0]["content"] = json!("How large is the largest request body?");
    body["rag"] = json!({"citations": "abstain"});
    body["tools"] = json!([{"type": "function", "function": {"name": "look"}}]);
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    let choice = &answer["choices"][0];
    assert_eq!((status, &choice["finish_reason"]), (200, &json!("tool_calls")), "{answer}");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "look", "{answer}");
    let events = service.events_of("/v1/chat/completions", &streamed(body)).await;
    let told = listed(&events, "/choices/0/delta/tool_calls");
    assert_eq!(told[0]["function"]["name"], "look", "{events:?}");
}

fn message_is_refused(whole: &Value) -> bool {
    whole["choices"][0]["message"]["refusal"].is_string()
}

#[tokio::test]
async fn a_refusal_is_a_refusal_through_every_door() {
    let message = json!({"role": "assistant", "content": null, "refusal": "I cannot."});
    let (whole, frames) =
        spoken(message, vec![json!({"role": "assistant"}), json!({"refusal": "I "}), json!({"refusal": "cannot."})]);
    let replay = Replay::start(whole.clone(), frames).await;
    let service = replay.service();
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let mut shaped = ask("custom/m");
    shaped["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": true}});
    for body in [ask("custom/m"), shaped] {
        let (status, answer) = service.post("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{answer}");
        require("ChatCompletion", &answer);
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"], json!({"role": "assistant", "content": null, "refusal": "I cannot."}), "{answer}");
        assert_eq!((&choice["finish_reason"], &choice["logprobs"]), (&json!("stop"), &whole["choices"][0]["logprobs"]));
        let events = service.events_of("/v1/chat/completions", &streamed(body)).await;
        assert_eq!((joined(&events, "refusal").as_str(), joined(&events, "content").as_str()), ("I cannot.", ""));
        let logged = listed(&events, "/choices/0/logprobs/refusal");
        assert_eq!(Value::from(logged), whole["choices"][0]["logprobs"]["refusal"]);
        let end = events.iter().find(|(_, chunk)| chunk["omni"].is_object()).unwrap();
        assert_eq!(end.1["choices"][0]["finish_reason"], "stop");
    }
    let mut shaped = ask("custom/m");
    shaped["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
    for body in [ask("custom/m"), shaped] {
        let (status, answer) = service.post("/v1/messages", &body).await;
        assert_eq!((status, &answer["stop_reason"]), (200, &json!("refusal")), "{answer}");
        assert_eq!(answer["content"], json!([{"type": "text", "text": "I cannot."}]));
        let events = service.events_of("/v1/messages", &streamed(body)).await;
        assert_eq!(blocks(&events), answer["content"]);
    }
    // Here the value is promised; where none was, the text says it.
    let (_, answer) = service.query(json!({"prompt": "Why?", "model_provider": "custom", "model_name": "m"})).await;
    assert_eq!(answer["response"], json!({"content": "I cannot.", "role": "assistant", "finish_reason": "content_filter"}));
    let events = service.events(json!({"prompt": "Why?", "model_provider": "custom", "model_name": "m"})).await;
    assert_eq!(events.last().unwrap().1["response"], answer["response"]);
    let shaped =
        json!({"prompt": "Why?", "model_provider": "custom", "model_name": "m", "structured_output": {"schema": schema}});
    let (status, answer) = service.query(shaped).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("CONTENT_FILTER")), "{answer}");
}

#[tokio::test]
async fn likelihoods_annotations_and_what_else_openai_says_come_out_whole_and_streamed() {
    let note = json!({"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "", "start_index": 0, "end_index": 3}});
    let audio = json!({"id": "a", "data": "AQID", "transcript": "Six MiB", "expires_at": 9});
    let message = json!({"role": "assistant", "content": "Six MiB", "refusal": null, "annotations": [note], "audio": audio});
    let deltas = vec![
        json!({"role": "assistant", "content": "Six"}),
        json!({"audio": {"id": "a", "transcript": "Six "}}),
        json!({"audio": {"data": "AQ==", "transcript": "MiB"}}),
        json!({"audio": {"data": "AgM=", "expires_at": 9}}),
        json!({"content": " MiB", "annotations": [note]}),
    ];
    let (whole, frames) = spoken(message.clone(), deltas);
    let replay = Replay::start(whole.clone(), frames).await;
    let service = replay.service();
    let (_, answer) = service.post("/v1/chat/completions", &ask("custom/m")).await;
    require("ChatCompletion", &answer);
    assert_eq!(answer["choices"][0]["message"], message);
    assert_eq!(answer["choices"][0]["logprobs"], whole["choices"][0]["logprobs"]);
    assert_eq!((&answer["system_fingerprint"], &answer["service_tier"]), (&json!("fp_1"), &json!("flex")));
    assert_eq!(answer["omni"]["extra"], Value::Null);
    let events = service.events_of("/v1/chat/completions", &streamed(ask("custom/m"))).await;
    assert_eq!(joined(&events, "content"), "Six MiB");
    assert_eq!(Value::from(listed(&events, "/choices/0/logprobs/content")), whole["choices"][0]["logprobs"]["content"]);
    assert_eq!(Value::from(listed(&events, "/choices/0/delta/annotations")), json!([note]));
    let sound: Vec<&Value> =
        events.iter().map(|(_, chunk)| &chunk["choices"][0]["delta"]["audio"]).filter(|it| !it.is_null()).collect();
    assert_eq!((sound.len(), &sound[1]["data"], &sound[2]["expires_at"]), (3, &json!("AQ=="), &json!(9)));
    for (_, chunk) in events.iter().filter(|(_, chunk)| chunk["choices"][0].is_object()) {
        assert_eq!((&chunk["system_fingerprint"], &chunk["service_tier"]), (&json!("fp_1"), &json!("flex")), "{chunk}");
    }
    // Where they are not shown, nothing is written in their place.
    let body = json!({"prompt": "Why?", "model_provider": "custom", "model_name": "m", "model_config": {"stream": true}});
    let request = axum::http::Request::post("/v1/query").body(body.to_string().into()).unwrap();
    let bytes = axum::body::to_bytes(service.send(request).await.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains("Six") && text.matches("\n: .").count() <= 1, "{text}");
    // What Anthropic's dialect has no place for is not lost in it; in a stream, it is put together.
    let (_, answer) = service.post("/v1/messages", &ask("custom/m")).await;
    require("Message", &answer);
    assert_eq!(
        (&answer["omni"]["extra"]["annotations"], &answer["omni"]["extra"]["audio"]),
        (&json!([note]), &audio),
        "{answer}"
    );
    let events = service.events_of("/v1/messages", &streamed(ask("custom/m"))).await;
    let (_, last) = events.iter().find(|(name, _)| name == "message_delta").unwrap();
    assert_eq!(last["omni"]["extra"], answer["omni"]["extra"]);
}

#[tokio::test]
async fn a_thought_with_details_is_told_once_and_keeps_its_proof() {
    let detail = |text: &str, signature: Value| json!({"type": "reasoning.text", "text": text, "signature": signature, "format": "f", "index": 0});
    let message = json!({"role": "assistant", "content": "4", "reasoning": "Two and two.", "reasoning_details": [detail("Two and two.", json!("sig"))]});
    let deltas = vec![
        json!({"reasoning": "Two ", "reasoning_details": [detail("Two ", Value::Null)]}),
        json!({"reasoning": "and two.", "reasoning_details": [detail("and two.", Value::Null)]}),
        json!({"reasoning": null, "reasoning_details": [{"type": "reasoning.text", "signature": "sig", "format": "f", "index": 0}]}),
        json!({"content": "4"}),
    ];
    let (whole, frames) = spoken(message, deltas);
    let service = Replay::start(whole, frames).await.service();
    let (_, answer) = service.post("/v1/chat/completions", &ask("custom/m")).await;
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "Two and two.");
    assert_eq!(
        message["reasoning_details"],
        json!([{"type": "reasoning.text", "text": "Two and two.", "signature": "openai:sig"}])
    );
    let events = service.events_of("/v1/chat/completions", &streamed(ask("custom/m"))).await;
    assert_eq!(joined(&events, "reasoning_content"), "Two and two.");
    assert_eq!(Value::from(listed(&events, "/choices/0/delta/reasoning_details")), message["reasoning_details"]);
    let (_, answer) = service.post("/v1/messages", &ask("custom/m")).await;
    assert_eq!(answer["content"][0], json!({"type": "thinking", "thinking": "Two and two.", "signature": "openai:sig"}));
}
