//! The front doors in OpenAI's and Anthropic's dialects.

use serde_json::{Value, json};

use super::support::{Mock, Service};

const QUESTION: &str = "How large may a request body be?";

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": QUESTION}]})
}

fn message(model: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]})
}

#[tokio::test]
async fn openai_clients_are_answered_by_the_provider_that_the_model_names() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = chat("custom/good");
    body["temperature"] = json!(0.5);
    body["some_extension"] = Value::Null;
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("custom/good-1")));
    assert_eq!(answer["choices"][0]["message"], json!({"role": "assistant", "content": "Six MiB [1].", "refusal": null}));
    assert_eq!((&answer["choices"][0]["finish_reason"], &answer["choices"][0]["index"]), (&json!("stop"), &json!(0)));
    assert_eq!(answer["usage"]["total_tokens"], 14);
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-") && answer["created"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!((&answer["omni"]["provider"], &answer["omni"]["cost_usd"]), (&json!("custom"), &Value::Null));
    // Without `rag` the index is not asked.
    assert_eq!(mock.body()["messages"], json!([{"role": "user", "content": QUESTION}]));
    assert_eq!(mock.body()["temperature"], 0.5);
}

#[tokio::test]
async fn openai_streams_end_with_usage_and_done() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = chat("custom/good");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let events = service.events_of("/v1/chat/completions", &body).await;
    let chunks: Vec<&Value> = events.iter().map(|(_, data)| data).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Six MiB [1].");
    let [.., end, usage, done] = chunks.as_slice() else { panic!("{chunks:?}") };
    assert_eq!((&end["choices"][0]["finish_reason"], &end["omni"]["provider"]), (&json!("stop"), &json!("custom")));
    assert_eq!((&usage["choices"], &usage["usage"]["prompt_tokens"]), (&json!([]), &json!(11)));
    assert_eq!(**done, json!("[DONE]"));
    body.as_object_mut().unwrap().remove("stream_options");
    let events = service.events_of("/v1/chat/completions", &body).await;
    assert!(events.iter().all(|(_, data)| data["choices"] != json!([])));
}

#[tokio::test]
async fn likelihoods_have_the_shape_that_openais_clients_read() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = chat("custom/logged");
    body["logprobs"] = json!(true);
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["choices"][0]["logprobs"]["content"][0]["token"], "Six", "{answer}");
    let (_, answer) = service.post("/v1/chat/completions", &chat("custom/good")).await;
    assert_eq!(answer["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test]
async fn a_mark_of_the_cache_behind_a_result_says_nothing() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = message("custom/good");
    let result = json!({"type": "tool_result", "tool_use_id": "c", "content": "42", "cache_control": {"type": "ephemeral"}});
    body["messages"] = json!([
        {"role": "user", "content": "How large?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": {}}]},
        {"role": "user", "content": [result]}
    ]);
    body["tools"] = json!([{"name": "look", "input_schema": {"type": "object"}}]);
    let (status, answer) = service.post("/v1/messages", &body).await;
    assert_eq!(status, 200, "{answer}");
    let sent = mock.body();
    let roles: Vec<&Value> = sent["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "tool"]);
}

#[tokio::test]
async fn anthropic_streams_end_with_the_whole_usage() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = message("custom/good");
    let (_, whole) = service.post("/v1/messages", &body).await;
    body["stream"] = json!(true);
    let events = service.events_of("/v1/messages", &body).await;
    let (_, last) = events.iter().rev().find(|(name, _)| name == "message_delta").unwrap();
    for field in ["input_tokens", "output_tokens"] {
        assert_eq!(last["usage"][field], whole["usage"][field], "{field}: {last}");
    }
    assert_eq!((&last["usage"]["input_tokens"], &last["usage"]["output_tokens"]), (&json!(11), &json!(3)));
}

#[tokio::test]
async fn an_error_in_a_stream_is_told_in_the_dialect_and_nothing_follows_it() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    for model in ["custom/cut", "custom/error-inside"] {
        let mut body = chat(model);
        body["stream"] = json!(true);
        let events = service.events_of("/v1/chat/completions", &body).await;
        assert!(events.last().unwrap().1["error"]["message"].is_string(), "{events:?}");
        let mut body = message(model);
        body["stream"] = json!(true);
        let events = service.events_of("/v1/messages", &body).await;
        let (name, data) = events.last().unwrap();
        assert_eq!((name.as_str(), &data["type"]), ("error", &json!("error")));
        assert!(events.iter().all(|(name, _)| name != "message_stop"));
    }
}

#[tokio::test]
async fn the_index_answers_without_any_key_through_every_door() {
    let service = Service::new(|_| {});
    for model in ["rag/extractive", "extractive"] {
        let (status, answer) = service.post("/v1/chat/completions", &chat(model)).await;
        assert_eq!((status, &answer["model"]), (200, &json!("extractive")), "{answer}");
        let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(content.contains("The largest request body is 6 MiB by default."), "{content}");
        assert_eq!((&answer["omni"]["citations"][0]["verified"], &answer["omni"]["cost_usd"]), (&json!(true), &json!(0.0)));
        assert_eq!(answer["omni"]["cost_usd"].to_string(), "0.0", "not less than nothing");
        assert_eq!(answer["omni"]["rag_context"][0]["source"], "limits.md");
        let (status, answer) = service.post("/v1/messages", &message(model)).await;
        assert_eq!((status, &answer["type"], &answer["stop_reason"]), (200, &json!("message"), &json!("end_turn")), "{answer}");
        assert!(answer["content"][0]["text"].as_str().unwrap().contains("6 MiB"));
        let mut body = message(model);
        body["stream"] = json!(true);
        let events = service.events_of("/v1/messages", &body).await;
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[..3], ["message_start", "content_block_start", "content_block_delta"]);
        assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    }
}

#[tokio::test]
async fn calls_that_a_provider_tells_in_turns_come_one_after_the_other_in_anthropics_dialect() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = message("custom/interleaved");
    body["stream"] = json!(true);
    body["tools"] = json!(["one", "two", "three"].map(|name| json!({"name": name, "input_schema": {"type": "object"}})));
    let events = service.events_of("/v1/messages", &body).await;
    let (mut open, mut blocks): (Option<u64>, Vec<(String, String)>) = (None, Vec::new());
    for (name, data) in &events {
        let index = data["index"].as_u64();
        match name.as_str() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(blocks.len() as u64)), "two blocks are open at once");
                open = index;
                blocks.push((data["content_block"]["name"].as_str().unwrap_or("text").to_owned(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let delta = data["delta"]["partial_json"].as_str().or(data["delta"]["text"].as_str()).unwrap();
                blocks.last_mut().unwrap().1.push_str(delta);
            }
            "content_block_stop" => assert_eq!(open.take(), index),
            _ => {}
        }
    }
    let expected = [("one", "{\"a\":1}"), ("two", "{\"b\":2}"), ("three", "{}"), ("text", "said")];
    assert_eq!(blocks, expected.map(|(name, json)| (name.to_owned(), json.to_owned())));
    assert_eq!(events[events.len() - 2].1["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn every_door_takes_stand_ins_and_shows_metadata_where_it_is_asked_for() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| {
        config.providers.insert("spare".into(), omni_llm::config::Endpoint { like: Some("custom".into()), ..mock.endpoint() });
    });
    let with = |mut body: Value| {
        body["fallbacks"] = json!(["spare/good"]);
        body["rag"] = json!({"retrieval_config": {"include_metadata": true}});
        body
    };
    let (_, openai) = service.post("/v1/chat/completions", &with(chat("custom/broken"))).await;
    let (_, anthropic) = service.post("/v1/messages", &with(message("custom/broken"))).await;
    let mut body = with(chat("custom/broken"));
    body["stream"] = json!(true);
    let streamed = service.events_of("/v1/chat/completions", &body).await;
    let streamed = streamed.iter().find(|(_, data)| data["omni"].is_object()).unwrap().1.clone();
    for answer in [openai, anthropic, streamed] {
        assert_eq!(answer["omni"]["provider"], "spare", "{answer}");
        assert_eq!(answer["omni"]["attempts"][0]["code"], "PROVIDER_ERROR");
        assert_eq!(answer["omni"]["rag_context"][0]["metadata"]["title"], "Title of limits.md");
    }
    let query = json!({"prompt": QUESTION, "model_name": "broken", "fallbacks": ["spare/good"]});
    assert_eq!(service.query(query).await.1["metadata"]["provider"], "spare");
    let refusal = |named: Value| json!({"prompt": QUESTION, "fallbacks": named});
    assert_eq!(
        service.refusal(refusal(json!(["spare/good", ""]))).await,
        "`fallbacks[1]`: 0 bytes; send 1 to 320, or leave it out"
    );
    assert!(
        service.refusal(refusal(json!(["nobody/m"]))).await.starts_with("`fallbacks`: `nobody/m`: `nobody`: no such provider")
    );
    assert_eq!(service.refusal(refusal(json!(vec!["spare"; 9]))).await, "`fallbacks`: 9 names; send at most 8");
    // None is an answer, too: nobody stands in, whatever the operator says.
    let alone = Service::with(&mock, |config| config.generation.fallback_providers = vec!["custom/good".into()]);
    let query = |named: Value| json!({"prompt": QUESTION, "model_name": "broken", "fallbacks": named});
    assert_eq!(alone.query(query(Value::Null)).await.0, 200);
    assert_eq!(alone.query(query(json!([]))).await.0, 502);
}

#[tokio::test]
async fn quotes_say_what_had_no_effect_and_who_speaks() {
    let service = Service::new(|_| {});
    let mut body = chat("rag/extractive");
    body["reasoning_effort"] = json!("high");
    body["service_tier"] = json!("flex");
    body["logit_bias"] = json!({"1": 2});
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    let expected = "no provider is asked: the answer is quoted from the sources, `reasoning`, `service_tier` and `logit_bias` have no effect";
    assert_eq!(answer["omni"]["warnings"][0], expected);
    let mut body = chat("rag/extractive");
    body["stream"] = json!(true);
    let events = service.events_of("/v1/chat/completions", &body).await;
    assert!(events.iter().filter(|(_, data)| data.is_object()).all(|(_, data)| data["model"] == "extractive"), "{events:?}");
}

#[tokio::test]
async fn a_model_answers_from_the_index_where_rag_is_asked_for() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut with_field = chat("custom/cites");
    with_field["rag"] = json!({"retrieval_config": {"top_k": 2}, "citations": "drop"});
    let (status, answer) = service.post("/v1/chat/completions", &with_field).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["choices"][0]["message"]["content"], "“The largest request body is 6 MiB by default” [1].");
    assert_eq!(answer["omni"]["citations"].as_array().unwrap().len(), 1);
    assert_eq!(answer["omni"]["rag_context"][0]["source"], "limits.md");
    let (_, answer) = service.post("/v1/chat/completions", &chat("rag/custom/good")).await;
    assert!(
        mock.body()["messages"][1]["content"].as_str().unwrap().contains("<source number=\"1\" from=\"limits.md"),
        "{}",
        mock.body()
    );
    assert_eq!(answer["omni"]["citations"][0]["source"], 1, "{answer}");
    let mut both = chat("rag/custom/good");
    both["rag"] = json!(false);
    let (status, answer) = service.post("/v1/chat/completions", &both).await;
    assert_eq!((status, answer["error"]["param"].as_str()), (400, Some("rag")));
}

#[tokio::test]
async fn a_schema_in_either_dialect_gives_valid_json() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let mut body = chat("custom/mends");
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": true}});
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    let content: Value = serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content["name"], "Ada");
    assert_eq!(
        (&answer["omni"]["structured_output"]["attempts"], answer["omni"]["attempts"].as_array().unwrap().len()),
        (&json!(2), 2)
    );
    // Streamed, what is sent is what was found valid, and nothing of what was not.
    body["stream"] = json!(true);
    let events = service.events_of("/v1/chat/completions", &body).await;
    let text: String = events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["name"], "Ada");
    let mut body = message("custom/shaped");
    body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
    let (status, answer) = service.post("/v1/messages", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["content"][0]["text"].as_str().unwrap().starts_with(r#"{"name": "Ada""#));
    body["stream"] = json!(true);
    let events = service.events_of("/v1/messages", &body).await;
    let text: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["name"], "Ada");
}

#[tokio::test]
async fn one_callers_mistake_does_not_change_how_others_are_asked() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut body = chat("custom/picky");
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema}});
    let mut wrong = body.clone();
    wrong["store"] = json!(true);
    let (status, answer) = service.post("/v1/chat/completions", &wrong).await;
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &mock.body()["response_format"]["type"]), (200, &json!("json_schema")), "{answer}");
}

#[tokio::test]
async fn stand_ins_of_a_shaped_answer_are_asked_as_in_any_chain() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| {
        config.generation.retries = 0;
        config.providers.insert("spare".into(), omni_llm::config::Endpoint { like: Some("custom".into()), ..mock.endpoint() });
    });
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let mut body = chat("custom/broken");
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": true}});
    body["fallbacks"] = json!(["spare/shaped"]);
    body["logit_bias"] = json!({"1": 2});
    for _ in 0..3 {
        let (status, answer) = service.post("/v1/chat/completions", &body).await;
        assert_eq!((status, &answer["omni"]["attempts"][0]["code"]), (200, &json!("PROVIDER_ERROR")), "{answer}");
        let why = "`provider`: `custom` failed (PROVIDER_ERROR): `spare/shaped` answers, without `logit_bias`; it was changed";
        assert_eq!(answer["omni"]["warnings"][0], why, "{answer}");
        let bodies = mock.state.bodies.lock().unwrap();
        let [.., first, second] = bodies.as_slice() else { panic!("{bodies:?}") };
        assert_eq!((&first["logit_bias"], &second["logit_bias"]), (&json!({"1": 2}), &Value::Null), "one's own fields");
    }
    // Who failed so often is left alone for a while.
    let before = mock.calls();
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!((mock.calls() - before, &answer["omni"]["provider"]), (1, &json!("spare")), "{answer}");
    let why = "`provider`: `custom` is left alone for a while: `spare/shaped` answers, without `logit_bias`; it was changed";
    assert_eq!(answer["omni"]["warnings"][0], why);
    assert_eq!(mock.body()["logit_bias"], Value::Null);
}

#[tokio::test]
async fn one_who_stands_in_and_cannot_be_held_to_the_shape_is_passed_over() {
    let mock = Mock::start().await;
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("capabilities.toml");
    std::fs::write(&rules, "[[rule]]\nprovider = [\"loose\"]\nset = { schema = \"none\" }").unwrap();
    let service = Service::with(&mock, |config| {
        config.capabilities = Some(rules);
        for name in ["loose", "spare"] {
            config.providers.insert(name.into(), omni_llm::config::Endpoint { like: Some("custom".into()), ..mock.endpoint() });
        }
    });
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let ask = |model: &str, fallbacks: &[&str]| json!({"prompt": QUESTION, "model_name": model, "fallbacks": fallbacks, "structured_output": {"schema": schema, "strict_mode": "require"}});
    let (status, answer) = service.query(ask("broken", &["loose/good", "spare/shaped"])).await;
    assert_eq!((status, &answer["metadata"]["provider"], mock.calls()), (200, &json!("spare"), 2), "{answer}");
    let asked: Vec<&Value> =
        answer["metadata"]["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["provider"]).collect();
    assert_eq!(asked, ["custom", "spare"], "only those who were asked");
    let (status, answer) = service.query(ask("broken", &["loose/good"])).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("PROVIDER_ERROR")), "{answer}");
}

#[tokio::test]
async fn the_fastest_is_not_the_one_that_fails_at_once() {
    let mock = Mock::start().await;
    let service = Service::new(|config| {
        config.generation.retries = 0;
        config.generation.preferred.by = omni_llm::config::PreferredBy::Fastest;
        let dead = omni_llm::config::Endpoint {
            base_url: Some("http://127.0.0.1:9/v1".into()),
            like: Some("custom".into()),
            ..mock.endpoint()
        };
        config.providers = [("custom".into(), mock.endpoint()), ("a-dead-one".into(), dead)].into();
    });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(service.query(json!({"prompt": QUESTION})).await.0);
    }
    assert_eq!(statuses, [502, 200, 200, 200]);
}

#[tokio::test]
async fn mistakes_are_told_as_the_dialects_clients_expect() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let none = Service::new(|config| config.index = None);
    let (status, answer) = none.post("/v1/chat/completions", &chat("gpt-4")).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")), "{answer}");
    let (status, answer) = none.post("/v1/messages", &message("claude-x")).await;
    assert_eq!(
        (status, &answer["type"], &answer["error"]["type"]),
        (404, &json!("error"), &json!("not_found_error")),
        "{answer}"
    );
    let long = "x".repeat(256 << 10);
    for (change, expected) in [
        (json!({"messages": []}), "`messages`: empty; send at least one"),
        (json!({"messages": [{"role": "wizard", "content": "x"}]}), "`messages[0].role`: unknown variant `wizard`"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "`messages[0].tool_call_id`: missing"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}),
            "`messages[0].content[0].type: video_url`: not supported yet",
        ),
        (json!({"n": 2}), "`n`: not supported yet; one answer is given"),
        (json!({"temperature": 3}), "`temperature`: 3 is not between 0 and 2"),
        (json!({"max_tokens": 0}), "`max_completion_tokens`: 0 leaves no room"),
        (json!({"tools": [{"type": "web_search"}]}), "`tools[0].type: web_search`: not supported yet"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"description": long}}}]}),
            "`tools[0].function.parameters`: 262162 bytes; a schema may have 262144",
        ),
        (json!({"functions": []}), "`functions`: not supported yet"),
        (json!({"tool_choice": "required"}), "`tool_choice`: a tool must be called, but there is none in `tools`"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]}}}),
            "`tool_choice`: there is no tool `g` in `tools`",
        ),
        (json!({"reasoning_effort": {}}), "`reasoning_effort`: invalid value: object, expected a text"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}}),
            "the schema's name `a b`",
        ),
        (json!({"rag": {"retrieval_config": {"top_k": 0}}}), "`rag.retrieval_config.top_k`: 0 is not between 1 and 100"),
        (json!({"stop": 3}), "`stop`: data did not match"),
    ] {
        let mut body = chat("custom/good");
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let (status, answer) = service.post("/v1/chat/completions", &body).await;
        let told = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{answer}");
        assert!(told.starts_with(expected) || expected.contains("data did not"), "{told}\n{expected}");
        assert_eq!(answer["error"]["type"], "invalid_request_error");
    }
    let mut busy = chat("custom/busy");
    let (status, answer) = service.post("/v1/chat/completions", &busy).await;
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    busy["max_tokens"] = json!(5);
    let (status, answer) = service.post("/v1/messages", &busy).await;
    assert_eq!((status, &answer["error"]["type"]), (429, &json!("rate_limit_error")));
    let mut large = message("custom/good");
    large["tools"] = json!([{"name": "f", "input_schema": {"description": long}}]);
    let (status, answer) = service.post("/v1/messages", &large).await;
    let told = "`tools[0].input_schema`: 262162 bytes; a schema may have 262144";
    assert_eq!((status, &answer["error"]["message"]), (400, &json!(told)));
    for (tool, told) in [
        (json!(7), "`tools[1]`: invalid type: integer `7`, expected an object"),
        (json!({"name": "f"}), "`tools[1].input_schema`: missing"),
        (json!({"name": 1, "input_schema": {}}), "`tools[1].name`: invalid type: integer `1`, expected a text"),
        (json!({"name": "f", "input_schema": "x"}), "`tools[1].input_schema`: invalid type: string \"x\", expected an object"),
        (
            json!({"name": "f", "input_schema": {}, "cache_control": {"ttl": 1}}),
            "`tools[1].cache_control.ttl`: invalid type: integer `1`, expected a text",
        ),
    ] {
        large["tools"] = json!([{"name": "e", "input_schema": {}}, tool]);
        let (status, answer) = service.post("/v1/messages", &large).await;
        assert_eq!((status, &answer["error"]["message"]), (400, &json!(told)));
    }
    let (status, answer) = service.post_text("/v1/messages", "{").await;
    assert_eq!((status, &answer["type"]), (400, &json!("error")));
}

#[tokio::test]
async fn models_are_listed_by_the_names_that_work() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, list) = service.get("/v1/models").await;
    let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((status, names), (200, vec!["rag/extractive", "custom/good", "rag/custom/good"]));
    let (status, model) = service.get("/v1/models/rag/custom/good").await;
    assert_eq!((status, &model["object"], &model["owned_by"]), (200, &json!("model"), &json!("custom")));
    // Whatever the doors take, and nothing else.
    for (name, owner) in [
        ("custom/other", "custom"),
        ("custom", "custom"),
        ("llama", "custom"),
        ("meta/llama", "custom"),
        ("rag", "custom"),
        ("rag/llama", "custom"),
        ("extractive", "omni-llm"),
    ] {
        let (status, model) = service.get(&format!("/v1/models/{name}")).await;
        assert_eq!((status, &model["owned_by"]), (200, &json!(owner)), "{name}: {model}");
        let asked = json!({"model": name, "messages": [{"role": "user", "content": "How large may a request body be?"}]});
        let (status, answer) = service.post("/v1/chat/completions", &asked).await;
        assert_eq!(status, 200, "{name}: {answer}");
    }
    let (status, answer) = service.get("/v1/models/openai/x").await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("model_not_found")));
    let bare = Service::new(|config| {
        config.index = None;
        config.providers.insert("custom".into(), mock.endpoint());
    });
    assert_eq!(bare.get("/v1/models/custom/other").await.0, 200);
    for name in ["nobody/x", "llama", "rag", "rag/custom/good", "rag/rag/custom/good", "extractive"] {
        assert_eq!(bare.get(&format!("/v1/models/{name}")).await.0, 404, "{name}");
    }
}

#[tokio::test]
async fn embeddings_need_a_model_that_is_loaded() {
    let service = Service::new(|_| {});
    let (status, answer) = service.post("/v1/embeddings", &json!({"model": "local", "input": "x"})).await;
    assert_eq!(status, 404);
    assert!(answer["error"]["message"].as_str().unwrap().contains("no embedding model is loaded"), "{answer}");
    for (input, expected) in
        [(json!([]), "`input`: send 1 to 2048 texts"), (json!([""]), "`input[0]`: empty"), (json!({}), "`input`: neither")]
    {
        let (status, answer) = service.post("/v1/embeddings", &json!({"model": "local", "input": input})).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with(expected), "{answer}");
    }
}
