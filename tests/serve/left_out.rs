//! Nothing of a request is left out without a word: what a provider knows reaches it, and the rest is said.

use serde_json::{Value, json};

use super::replay::Replay;

async fn replay() -> Replay {
    // Both dialects at once; each reads its own half.
    let whole = json!({"id": "m", "type": "message", "model": "m", "content": [{"type": "text", "text": "{}"}], "stop_reason": "end_turn",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}]});
    Replay::start(whole, Vec::new()).await
}

fn warnings(answer: &Value) -> Vec<&str> {
    answer["omni"]["warnings"].as_array().into_iter().flatten().map(|warning| warning.as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_anthropics_dialect_knows_reaches_it_and_is_said_to_be_left_out_elsewhere() {
    let replay = replay().await;
    let service = replay.service();
    let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Air scatters blue."},
        "title": "Sky", "context": "of 1871", "citations": {"enabled": true}});
    let blocks = json!({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}, "citations": {"enabled": true}});
    let tool = json!({"name": "look", "input_schema": {"type": "object"}, "defer_loading": true, "eager_input_streaming": true,
        "input_examples": [{"at": 1}], "type": "custom", "allowed_callers": null});
    let body = |model: &str| {
        json!({"model": model, "max_tokens": 9, "tools": [tool], "output_config": {"effort": null, "verbosity": "low"},
            "metadata": {"user_id": "u", "team": "t"},
            "messages": [{"role": "user", "content": [document, blocks, {"type": "text", "text": "Why?", "citations": null}]}]})
    };
    let (status, answer) = service.post("/v1/messages", &body("anthropic/claude-x")).await;
    assert_eq!(status, 200, "{answer}");
    let sent = replay.asked();
    assert_eq!(sent["messages"][0]["content"], json!([document, blocks, {"type": "text", "text": "Why?"}]));
    let expected = json!({"name": "look", "input_schema": {"type": "object"}, "defer_loading": true, "eager_input_streaming": true,
        "input_examples": [{"at": 1}]});
    assert_eq!((&sent["tools"][0], &sent["output_config"]), (&expected, &json!({"verbosity": "low"})));
    assert_eq!((&sent["metadata"], warnings(&answer)), (&json!({"user_id": "u", "team": "t"}), vec![]));

    let (status, answer) = service.post("/v1/messages", &body("custom/m")).await;
    assert_eq!(status, 200, "{answer}");
    let place = "the dialect of `openai` has no place for it; it was left out";
    let left_out = ["tools.look.defer_loading", "tools.look.eager_input_streaming", "tools.look.input_examples"];
    let mut expected: Vec<String> = left_out.map(|field| format!("`{field}`: {place}")).to_vec();
    expected.extend(["citations", "context"].map(|it| format!("`document.{it}`: `custom/m` does not take it; it was left out")));
    expected.push("`raw`: a block of `anthropic`: the text in it; it was changed".into());
    for expected in expected {
        assert!(warnings(&answer).contains(&expected.as_str()), "{expected}\n{answer}");
    }
    let sent = replay.asked();
    assert_eq!(sent["tools"][0], json!({"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}));
    assert_eq!(sent["messages"][0]["content"][1], json!({"type": "text", "text": "a"}));
}

#[tokio::test]
async fn what_a_mark_of_the_cache_says_beside_its_time_reaches_whoever_takes_every_beta() {
    let replay = replay().await;
    let mark = json!({"type": "ephemeral", "scope": "global"});
    let result =
        json!({"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "1", "cache_control": mark}]});
    let body = |model: &str| {
        json!({"model": model, "max_tokens": 9, "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
            "tools": [{"name": "look", "input_schema": {"type": "object"}, "cache_control": mark}],
            "messages": [{"role": "user", "content": "Why?"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": {}}]},
                {"role": "user", "content": [result]}]})
    };
    let answer = replay.service().post("/v1/messages", &body("anthropic/claude-x")).await.1;
    let sent = replay.asked();
    assert_eq!((&sent["system"], &sent["tools"]), (&body("")["system"], &body("")["tools"]), "{answer}");
    assert_eq!((&sent["messages"][2]["content"][0], warnings(&answer)), (&result, vec![]));
    let said = json!({"output": {"message": {"role": "assistant", "content": [{"text": "So."}]}}, "stopReason": "end_turn"});
    let replay = Replay::start(said, Vec::new()).await;
    let answer = replay.service().post("/v1/messages", &body("bedrock/us.anthropic.claude-x")).await.1;
    assert!(!replay.asked().to_string().contains("scope"), "{answer}");
    let expected = "`cache_control.scope`: `bedrock/us.anthropic.claude-x` does not take it; it was left out";
    assert!(warnings(&answer).contains(&expected), "{answer}");
}

#[tokio::test]
async fn the_fallbacks_of_anthropics_own_reach_it_alone() {
    let replay = replay().await;
    let service = replay.service();
    let body = |model: &str, fallbacks: &Value| json!({"model": model, "max_tokens": 9, "fallbacks": fallbacks, "messages": [{"role": "user", "content": "Why?"}]});
    for fallbacks in [json!([{"model": "claude-y"}]), json!("default")] {
        let (status, answer) = service.post("/v1/messages", &body("anthropic/claude-x", &fallbacks)).await;
        assert_eq!((status, &replay.asked()["fallbacks"], warnings(&answer)), (200, &fallbacks, vec![]), "{answer}");
        let (status, answer) = service.post("/v1/messages", &body("custom/m", &fallbacks)).await;
        let expected = vec!["`fallbacks`: `custom/m` does not take it; it was left out"];
        assert_eq!((status, replay.asked().get("fallbacks"), warnings(&answer)), (200, None, expected), "{answer}");
    }
    for (ours, status) in [(json!([]), 200), (json!(["anthropic/claude-y"]), 200), (Value::Null, 200), (json!(["nobody"]), 400)] {
        let (told, answer) = service.post("/v1/messages", &body("custom/m", &ours)).await;
        assert_eq!((told, replay.asked().get("fallbacks")), (status, None), "{ours}: {answer}");
    }
    for wrong in [json!(["anthropic", {"model": "claude-y"}]), json!("anthropic"), json!(1)] {
        let (status, answer) = service.post("/v1/messages", &body("anthropic/claude-x", &wrong)).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.starts_with("`fallbacks`: neither a list of names"), "{wrong}: {message}");
    }
}

#[tokio::test]
async fn a_user_whose_name_is_too_long_for_a_provider_goes_by_its_hash() {
    let replay = replay().await;
    let service = replay.service();
    let name = json!({"device_id": "d".repeat(64), "account_uuid": "", "session_id": "s".repeat(36)}).to_string();
    let body = |model: &str, id: &str| json!({"model": model, "max_tokens": 9, "metadata": {"user_id": id}, "messages": [{"role": "user", "content": "Why?"}]});
    let (_, answer) = service.post("/v1/messages", &body("anthropic/claude-x", &name)).await;
    assert_eq!((&replay.asked()["metadata"]["user_id"], warnings(&answer)), (&json!(name), vec![]));
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let (_, answer) = service.post("/v1/messages", &body("custom/m", &name)).await;
        let expected = vec!["`user`: `custom/m` takes at most 64 characters: its SHA-256 stands for it; it was changed"];
        assert_eq!(warnings(&answer), expected);
        hashes.push(replay.asked()["user"].as_str().unwrap().to_owned());
    }
    assert!(
        hashes[0].len() == 64 && hashes[0] == hashes[1] && hashes[0].bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{hashes:?}"
    );
    let short = "ü".repeat(64);
    let (_, answer) = service.post("/v1/messages", &body("custom/m", &short)).await;
    assert_eq!((&replay.asked()["user"], warnings(&answer)), (&json!(short), vec![]));
    let long = json!({"model": "custom/m", "safety_identifier": name, "messages": [{"role": "user", "content": "Why?"}]});
    service.post("/v1/chat/completions", &long).await;
    assert_eq!(replay.asked()["safety_identifier"], hashes[0]);
}

#[tokio::test]
async fn the_name_of_an_earlier_answer_of_ours_does_not_reach_anthropic() {
    let replay = replay().await;
    let body = |name: Value| {
        json!({"model": "anthropic/claude-x", "max_tokens": 9, "diagnostics": {"previous_message_id": name},
            "messages": [{"role": "user", "content": "Why?"}]})
    };
    let expected = "`diagnostics.previous_message_id`: answers have names of this service's here; it was left out";
    for (name, told) in [(json!("msg_1"), vec![expected]), (Value::Null, vec![])] {
        let (_, answer) = replay.service().post("/v1/messages", &body(name)).await;
        let sent = &replay.asked()["diagnostics"];
        assert_eq!((sent, warnings(&answer)), (&json!({"previous_message_id": null}), told), "{answer}");
    }
}

#[tokio::test]
async fn a_thread_is_refused_as_anthropics_clients_understand_it() {
    let replay = replay().await;
    let service = replay.service();
    for (path, thread) in [
        ("/v1/messages", json!({"type": "create"})),
        ("/v1/messages", json!({"type": "continue", "previous_message_id": "msg_1"})),
        ("/v1/messages/count_tokens", json!({"type": "create"})),
    ] {
        for model in ["anthropic/claude-x", "custom/m"] {
            let body =
                json!({"model": model, "max_tokens": 9, "thread": thread, "messages": [{"role": "user", "content": "Why?"}]});
            let (status, answer) = service.post(path, &body).await;
            let expected = json!({"error_code": "thread_unsupported_request", "unsupported": ["thread"]});
            assert_eq!((status, &answer["error"]["details"]), (400, &expected), "{answer}");
            assert_eq!(answer["error"]["type"], "invalid_request_error");
        }
    }
    let body = json!({"model": "custom/m", "max_tokens": 9, "thread": null, "messages": [{"role": "user", "content": "Why?"}]});
    assert_eq!(service.post("/v1/messages", &body).await.0, 200);
}

#[tokio::test]
async fn sources_in_anothers_dialect_go_as_their_text_and_files_that_lie_elsewhere_are_refused() {
    let replay = replay().await;
    let service = replay.service();
    let ask = |model: &str, block: &Value| json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": [block, {"type": "text", "text": "Why?"}]}]});
    let hit =
        json!({"type": "search_result", "source": "kb-1", "title": "t", "content": [{"type": "text", "text": "Air scatters."}]});
    let written = json!({"type": "document", "source": {"type": "content", "content": "Air scatters."}});
    for model in ["custom/m", "gemini/gemini-3-flash", "bedrock/us.amazon.nova-pro-v1:0", "anthropic/claude-x"] {
        for block in [&hit, &written] {
            service.post("/v1/messages", &ask(model, block)).await;
            assert!(replay.asked().to_string().contains("Air scatters."), "{model} {block}");
        }
    }
    for (block, field) in [
        (json!({"type": "document", "source": {"type": "file", "file_id": "f"}}), "source.file_id"),
        (json!({"type": "container_upload", "file_id": "f"}), "container_upload"),
    ] {
        let (status, answer) = service.post("/v1/messages", &ask("custom/m", &block)).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.starts_with(&format!("`{field}`: not supported")), "{message}");
    }
}

#[tokio::test]
async fn a_text_file_goes_to_claude_as_text() {
    let replay = replay().await;
    let service = replay.service();
    let ask = |data: &str| {
        let file = json!({"type": "file", "file": {"filename": "a", "file_data": data}});
        json!({"model": "anthropic/claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": [file]}]})
    };
    for kind in ["text/plain", "text/markdown;charset=utf-8"] {
        let (status, answer) = service.post("/v1/chat/completions", &ask(&format!("data:{kind};base64,aGVsbG8="))).await;
        assert_eq!(status, 200, "{answer}");
        let expected = json!({"type": "text", "media_type": "text/plain", "data": "hello"});
        assert_eq!(replay.asked()["messages"][0]["content"][0]["source"], expected);
    }
    for (data, expected) in [
        ("data:text/plain;base64,/w==", "`messages`: a document of `text/plain`: not UTF-8 in base64"),
        (
            "data:application/msword;base64,aGVsbG8=",
            "`messages`: Claude reads documents of `application/pdf` and text, not `application/msword`; send its text",
        ),
        (
            "aGVsbG8=",
            "`messages[0].content[0].file.file_data`: no address; write `data:application/pdf;base64,` before the bytes",
        ),
    ] {
        let (status, answer) = service.post("/v1/chat/completions", &ask(data)).await;
        assert_eq!((status, answer["error"]["message"].as_str().unwrap()), (400, expected));
    }
}

#[tokio::test]
async fn a_schema_of_a_json_object_is_its_shape() {
    let replay = replay().await;
    let service = replay.service();
    let ask = |format: Value| json!({"model": "custom/m", "response_format": format, "messages": [{"role": "user", "content": "Why?"}]});
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let (status, answer) =
        service.post("/v1/chat/completions", &ask(json!({"type": "json_object", "schema": schema, "zeal": 1}))).await;
    assert_eq!((status, answer["omni"]["structured_output"].is_object()), (200, true), "{answer}");
    assert!(warnings(&answer).contains(&"`response_format.zeal`: it is not known here; it was left out"), "{answer}");
    assert!(replay.asked().to_string().contains("properties"));
    for format in [
        json!({"type": "json_object", "zeal": 1}),
        json!({"type": "text", "zeal": 1}),
        json!({"type": "json_schema", "zeal": 1, "json_schema": {"name": "n"}}),
    ] {
        let (_, answer) = service.post("/v1/chat/completions", &ask(format)).await;
        assert!(warnings(&answer).contains(&"`response_format.zeal`: it is not known here; it was left out"), "{answer}");
    }
}

#[tokio::test]
async fn what_a_doors_specification_names_reaches_its_own_dialect_alone() {
    let replay = replay().await;
    let service = replay.service();
    let ours = json!({"store": true, "metadata": {"team": "t"}, "verbosity": "low", "logit_bias": {"1": 2}, "made_up": 1});
    let theirs = json!({"context_management": {"edits": []}, "metadata": {"user_id": "u", "team": "t"}, "made_up": 1});
    for (path, fields, at_home, abroad, kept) in [
        ("/v1/chat/completions", ours, "custom/m", "anthropic/claude-x", json!({"made_up": 1})),
        ("/v1/messages", theirs, "anthropic/claude-x", "custom/m", json!({"made_up": 1, "user": "u"})),
    ] {
        let plain = |model: &str| json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]});
        let with = |model: &str| {
            let mut body = plain(model);
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        let (status, answer) = service.post(path, &with(at_home)).await;
        assert_eq!((status, warnings(&answer)), (200, vec![]), "{answer}");
        let sent = replay.asked();
        assert!(fields.as_object().unwrap().iter().all(|(name, value)| sent[name] == *value), "{sent}");
        service.post(path, &plain(abroad)).await;
        let mut expected = replay.asked();
        expected.as_object_mut().unwrap().extend(kept.as_object().unwrap().clone());
        let (status, answer) = service.post(path, &with(abroad)).await;
        assert_eq!((status, replay.asked()), (200, expected), "{answer}");
        let left_out = fields.as_object().unwrap().keys().filter(|name| *name != "made_up");
        for name in left_out {
            let expected = format!("`{name}`: `{abroad}` does not take it; it was left out");
            assert!(warnings(&answer).contains(&expected.as_str()), "{expected}\n{answer}");
        }
    }
}

#[tokio::test]
async fn what_no_door_knows_is_said() {
    let replay = replay().await;
    let service = replay.service();
    let body = json!({"model": "anthropic/claude-x", "max_tokens": 3000, "tool_choice": {"type": "auto", "zeal": 1},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "depth": 2}, "output_config": {"format": {"type": "json_schema", "schema": {}, "title": "t"}},
    "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "name": "Ada", "content": [
            {"type": "text", "text": "Why?", "colour": "blue", "cache_control": {"type": "ephemeral", "ttl": "12h"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}, "title": "t"},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "look", "input": {}, "caller": {"type": "direct"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "x", "y": 1}]}]},
    ]});
    let (_, answer) = service.post("/v1/messages", &body).await;
    let unknown = |field: &str| format!("`{field}`: it is not known here; it was left out");
    let mut expected = vec![
        unknown("messages[0].content[0].colour"),
        unknown("messages[0].content[1].title"),
        unknown("messages[0].name"),
        unknown("messages[2].content[0].content[0].y"),
        unknown("output_config.format.title"),
        unknown("thinking.depth"),
        unknown("tool_choice.zeal"),
    ];
    expected.push("`messages[0].content[0].cache_control.ttl`: `12h` is not known here: `5m`; it was changed".into());
    let told = if answer["omni"].is_object() { warnings(&answer) } else { panic!("{answer}") };
    for expected in &expected {
        assert!(told.contains(&expected.as_str()), "{expected}\n{answer}");
    }
    let mut wrong = body.clone();
    wrong["output_config"] = json!({"format": {"type": "grammar", "schema": {}}});
    let (status, answer) = service.post("/v1/messages", &wrong).await;
    assert_eq!(status, 400, "{answer}");

    let body = json!({"model": "anthropic/claude-x", "max_tokens": 9, "max_completion_tokens": 8, "tools": [{"type": "function", "function": {"name": "look"}}],
    "tool_choice": {"type": "function", "zeal": 1, "function": {"name": "look", "why": 2}}, "stream_options": {"include_obfuscation": false, "chunk_bytes": 9},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "description": "d"}},
    "messages": [
        {"role": "user", "name": "Ada", "content": [
            {"type": "text", "text": "Why?", "colour": "blue", "cache_control": {"type": "ephemeral", "scope": "global"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "fps": 2}},
        ]},
        {"role": "assistant", "content": "So.", "refusal": null, "annotations": [1], "parsed": {"a": 1}, "function_call": null,
            "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s", "format": "f"}, {"type": "reasoning.text", "text": "u", "why": 1}],
            "tool_calls": [{"index": 0, "id": "c", "type": "function", "caller": "x", "function": {"name": "look", "arguments": "{}", "parsed_arguments": {}, "lang": "en"},
                "extra_content": {"mark": 1, "google": {"thought_signature": "g", "more": 2}}}]},
        {"role": "tool", "tool_call_id": "c", "content": "it"},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "size": 1}}]},
    ]});
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    let expected = [
        "messages[0].content[0].colour",
        "messages[0].content[1].image_url.fps",
        "messages[1].reasoning_details[1].why",
        "messages[1].tool_calls[0].caller",
        "messages[1].tool_calls[0].extra_content.google.more",
        "messages[1].tool_calls[0].extra_content.mark",
        "messages[1].tool_calls[0].function.lang",
        "tool_choice.function.why",
        "tool_choice.zeal",
        "messages[3].content[0].file.size",
        "stream_options.chunk_bytes",
    ];
    let mut expected: Vec<String> = expected.map(unknown).to_vec();
    expected.extend(
        [
            "`reasoning`: `anthropic/claude-x` takes back no thoughts of other models; it was left out",
            "`reasoning`: a thought without a signature is refused; it was left out",
            "`tool_call.signature`: `anthropic/claude-x` does not take it back; it was left out",
        ]
        .map(str::to_owned),
    );
    expected.push("`max_tokens`: `max_completion_tokens` says another bound, which holds; it was left out".into());
    let mark = &replay.asked()["messages"][0]["content"][0]["cache_control"];
    assert_eq!(
        mark,
        &json!({"type": "ephemeral", "scope": "global"}),
        "what a mark says more goes to the dialect that has marks"
    );
    expected.push("`messages[0].name`: not every provider tells speakers of one role apart; it was left out".into());
    let mut told: Vec<String> = warnings(&answer).into_iter().map(str::to_owned).collect();
    expected.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_request_of_nothing_but_unknown_fields_is_told_of_some() {
    let replay = replay().await;
    let fields = |name: &str| (0..30_000).map(|at| (format!("{name}{at}"), json!(1))).collect::<serde_json::Map<_, _>>();
    let mut tool = fields("tool");
    tool.extend([("name".to_owned(), json!("look")), ("input_schema".to_owned(), json!({"type": "object"}))]);
    let mut message = fields("message");
    message.extend([("role".to_owned(), json!("user")), ("content".to_owned(), json!("Why?"))]);
    message.insert("x".repeat(10_000), json!(1));
    let body = json!({"model": "custom/m", "max_tokens": 9, "tools": [tool], "messages": [message]});
    let (status, answer) = replay.service().post("/v1/messages", &body).await;
    assert_eq!(status, 200);
    let told = warnings(&answer);
    assert_eq!(told.iter().filter(|warning| warning.starts_with("`warnings`: and ")).count(), 2, "{told:?}");
    assert!(told.len() == 102 && told.iter().all(|warning| warning.len() < 600), "{}", told.len());
}

#[tokio::test]
async fn googles_signature_of_a_call_is_read_where_we_write_it() {
    let replay = replay().await;
    let call = json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "g"}}});
    let body = json!({"model": "custom/m", "tools": [{"type": "function", "function": {"name": "look"}}], "messages": [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "it"}]});
    let (status, answer) = replay.service().post("/v1/chat/completions", &body).await;
    assert_eq!((status, warnings(&answer)), (200, vec![]), "{answer}");
    assert_eq!(replay.asked()["messages"][1]["tool_calls"][0], call);
}

#[tokio::test]
async fn tools_of_openais_dialect_keep_their_own_fields_where_they_are_known() {
    let replay = replay().await;
    let service = replay.service();
    let tool = json!({"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "latency": "low"}, "group": "g"});
    let body = |model: &str| json!({"model": model, "tools": [tool], "messages": [{"role": "user", "content": "Why?"}]});
    let (_, answer) = service.post("/v1/chat/completions", &body("custom/m")).await;
    assert_eq!((&replay.asked()["tools"][0], warnings(&answer)), (&tool, vec![]));
    let (_, answer) = service.post("/v1/chat/completions", &body("anthropic/claude-x")).await;
    let told = warnings(&answer).join("\n");
    assert!(told.contains("`tools.look.function.latency`: the dialect of `anthropic` has no place for it"), "{told}");
    assert!(told.contains("`tools.look.group`"), "{told}");
}

#[tokio::test]
async fn thoughts_that_come_back_in_two_places_are_told_once() {
    let replay = replay().await;
    let service = replay.service();
    let detail = |text: &str| json!({"type": "reasoning.text", "text": text, "signature": "s"});
    for (content, details, expected) in [
        (json!("All."), json!([detail("All.")]), json!([{"type": "thinking", "thinking": "All.", "signature": "s"}])),
        (
            json!("One. Two."),
            json!([detail("One. "), detail("Two.")]),
            json!([{"type": "thinking", "thinking": "One. ", "signature": "s"}, {"type": "thinking", "thinking": "Two.", "signature": "s"}]),
        ),
        // However they are spaced.
        (
            json!("One.\n\nTwo."),
            json!([detail("One."), detail("Two.")]),
            json!([{"type": "thinking", "thinking": "One.", "signature": "s"}, {"type": "thinking", "thinking": "Two.", "signature": "s"}]),
        ),
        (
            Value::Null,
            json!([{"type": "reasoning.summary", "summary": "Short.", "signature": "s"}]),
            json!([{"type": "thinking", "thinking": "Short.", "signature": "s"}]),
        ),
    ] {
        let said = json!({"role": "assistant", "content": "So.", "reasoning_content": content, "reasoning_details": details});
        let body = json!({"model": "anthropic/claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}, said, {"role": "user", "content": "And?"}]});
        let (status, answer) = service.post("/v1/chat/completions", &body).await;
        assert_eq!(status, 200, "{answer}");
        let sent = replay.asked()["messages"][1]["content"].as_array().unwrap().clone();
        assert_eq!(Value::from(sent[..sent.len() - 1].to_vec()), expected);
    }
    // What only the text has is not lost: here the provider does not take it, which is said.
    let said = json!({"role": "assistant", "content": "So.", "reasoning_content": "First. Then.", "reasoning_details": [detail("Then.")]});
    let body = json!({"model": "anthropic/claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}, said, {"role": "user", "content": "And?"}]});
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(warnings(&answer), ["`reasoning`: a thought without a signature is refused; it was left out"]);
    assert_eq!(replay.asked()["messages"][1]["content"][0]["thinking"], "Then.");
    let said = json!({"role": "assistant", "content": "So.", "reasoning_content": "A", "reasoning": "B", "reasoning_details": [detail("A")]});
    let body = json!({"model": "anthropic/claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}, said, {"role": "user", "content": "And?"}]});
    let (_, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(warnings(&answer).len(), 1, "`reasoning` is not lost without a word: {answer}");
    // Blanks stand nowhere and take nothing away.
    let said = json!({"role": "assistant", "content": "So.", "reasoning_content": "\nOkay", "reasoning_details": [{"type": "reasoning.text", "text": "\n"}]});
    let body = json!({"model": "custom/m", "messages": [{"role": "user", "content": "Why?"}, said, {"role": "user", "content": "And?"}]});
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
}
