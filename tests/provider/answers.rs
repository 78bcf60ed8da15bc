//! Answers that the vendors' documents allow and no recording has.

use omni_llm::chat::{ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, Part, Raw, Role, Thought, fold};
use omni_llm::error::Code;
use omni_llm::provider::Dialect;
use serde_json::{Value, json};

use super::support::{bedrock_event, events, provider, streamed, whole};

/// Names and arguments.
fn calls(answer: &ChatResponse) -> Vec<(&str, &str)> {
    answer.tool_calls().map(|call| (call.name.as_str(), call.arguments.as_str())).collect()
}

#[test]
fn of_several_answers_the_first_by_number_counts() {
    let choice = |index: u32, text: &str| json!({"index": index, "message": {"content": text}, "finish_reason": "stop"});
    let body = json!({"choices": [choice(1, "second"), choice(0, "first")]});
    assert_eq!(whole(Dialect::OpenAi, &body).text(), "first");
    assert_eq!(whole(Dialect::OpenAi, &json!({"choices": [choice(1, "only")]})).text(), "only");

    let candidate =
        |index: u32, text: &str| json!({"index": index, "content": {"parts": [{"text": text}]}, "finishReason": "STOP"});
    let body = json!({"candidates": [candidate(1, "second"), candidate(0, "first")]});
    assert_eq!(whole(Dialect::Gemini, &body).text(), "first");
    let chunks = [0, 1, 1, 0].map(|index| json!({"candidates": [candidate(index, &format!("{index}"))]}));
    assert_eq!(streamed(Dialect::Gemini, &chunks).text(), "00");
    let only = json!({"choices": [{"index": 1, "delta": {"content": "only"}, "finish_reason": "stop"}]});
    assert_eq!(streamed(Dialect::OpenAi, &[only]).text(), "only");
}

#[test]
fn a_stream_without_any_answer_is_a_failure() {
    let stream = |chunks: &[&str]| {
        let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        events(Dialect::OpenAi, &[stream.as_bytes()]).map(|events| fold(&events).text())
    };
    for chunks in [&["[DONE]"][..], &[r#"{"model": "m", "choices": [], "usage": {"prompt_tokens": 1}}"#, "[DONE]"]] {
        assert_eq!(stream(chunks).unwrap_err().message(), "the provider's stream has no `choices`");
    }
    // Some servers say no reason.
    assert_eq!(stream(&[r#"{"choices": [{"delta": {"content": "a"}}]}"#, "[DONE]"]).unwrap(), "a");
    assert_eq!(stream(&[r#"{"choices": [{"delta": {}}]}"#, "[DONE]"]).unwrap(), "", "a model may say nothing");
}

#[test]
fn a_custom_tool_takes_a_text() {
    let call = json!({"index": 0, "id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}});
    let body = json!({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]});
    let answer = whole(Dialect::OpenAi, &body);
    assert_eq!(calls(&answer), [("shell", "ls -l")]);
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);

    let piece = |custom: Value| json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "custom": custom}]}}]});
    let end = json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]});
    let chunks = [piece(json!({"name": "shell", "input": "ls"})), piece(json!({"input": " -l"})), end.clone()];
    assert_eq!(calls(&streamed(Dialect::OpenAi, &chunks)), [("shell", "ls -l")]);

    let silent = format!("data: {}\n\ndata: {end}\n\n", piece(json!({"name": "shell", "input": ""})));
    let told = events(Dialect::OpenAi, &[silent.as_bytes()]).unwrap();
    assert!(!told.iter().any(|event| matches!(event, ChatEvent::Arguments { .. })), "an empty text is not JSON: {told:?}");
}

#[test]
fn arguments_that_are_an_empty_text_are_an_empty_object() {
    let told = |dialect: Dialect, chunks: &[Value]| {
        let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let told = events(dialect, &[stream.as_bytes()]).unwrap();
        assert!(told.contains(&ChatEvent::Arguments { index: 0, json: "{}".into() }), "{told:?}");
    };
    let call = json!({"functionCall": {"name": "now", "args": ""}});
    told(Dialect::Gemini, &[json!({"candidates": [{"content": {"parts": [call]}, "finishReason": "STOP"}]})]);
    told(
        Dialect::Anthropic,
        &[
            json!({"type": "message_start", "message": {"id": "m", "model": "m", "usage": {}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "now", "input": ""}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {}}),
            json!({"type": "message_stop"}),
        ],
    );
}

#[test]
fn a_call_without_arguments_is_streamed_with_an_empty_object() {
    let begun = |index: u32| json!({"choices": [{"delta": {"tool_calls": [{"index": index, "id": format!("c{index}"), "function": {"name": "now", "arguments": ""}}]}}]});
    let openai = [begun(0), begun(1), json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})];
    let begun = |id: &str| json!({"type": "tool-call-start", "delta": {"message": {"tool_calls": {"id": id, "function": {"name": "now", "arguments": ""}}}}});
    let cohere = [begun("c0"), begun("c1"), json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}})];
    for (dialect, chunks) in [(Dialect::OpenAi, openai), (Dialect::Cohere, cohere)] {
        let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        let events = events(dialect, &[stream.as_bytes()]).unwrap();
        for call in 0..2 {
            let told = ChatEvent::Arguments { index: call, json: "{}".into() };
            assert_eq!(events.iter().filter(|event| **event == told).count(), 1, "{events:?}");
        }
        assert!(matches!(events.last(), Some(ChatEvent::Finish(FinishReason::ToolCalls))), "{events:?}");
    }
}

#[test]
fn an_answer_without_end_of_calls_is_a_failure() {
    let call = |at: usize| json!({"index": at, "id": format!("c{at}"), "function": {"name": "f", "arguments": "{}"}});
    let calls = |count: usize| (0..count).map(call).collect::<Vec<Value>>();
    let chunk = |calls: Vec<Value>| json!({"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]});
    assert_eq!(streamed(Dialect::OpenAi, &[chunk(calls(1024))]).tool_calls().count(), 1024);
    let stream: String = calls(1025).into_iter().map(|call| format!("data: {}\n\n", chunk(vec![call]))).collect();
    let error = events(Dialect::OpenAi, &[stream.as_bytes()]).unwrap_err();
    assert_eq!(error.message(), "the provider's answer has more than 1024 tool calls");
}

#[test]
fn the_one_function_of_old_is_a_call() {
    let function = json!({"name": "look", "arguments": "{\"at\":1}"});
    let body = json!({"choices": [{"message": {"content": null, "function_call": function}, "finish_reason": "function_call"}]});
    let answer = whole(Dialect::OpenAi, &body);
    assert_eq!(calls(&answer), [("look", "{\"at\":1}")]);
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
}

#[test]
fn a_failure_without_an_error_around_it_is_one() {
    let bare = json!({"object": "error", "message": "out of memory", "type": "InternalServerError", "code": 500});
    let (text, bare_text) = ("the provider refused (status 500): out of memory", "the provider refused: out of memory");
    assert_eq!(Dialect::OpenAi.decode(bare.to_string().as_bytes()).unwrap_err().message(), text);
    let begun = json!({"choices": [{"delta": {"content": "a"}}]});
    for (told, text) in [
        (format!("data: {bare}"), text),
        ("event: error\ndata: {\"message\": \"out of memory\"}".into(), bare_text),
        ("event: error\ndata: out of memory".into(), bare_text),
    ] {
        let stream = format!("data: {begun}\n\n{told}\n\ndata: [DONE]\n\n");
        let error = events(Dialect::OpenAi, &[stream.as_bytes()]).unwrap_err();
        assert_eq!(error.message(), text, "{told}");
    }
}

#[test]
fn who_says_stop_and_calls_tools_wants_them_called() {
    let call = json!({"index": 0, "id": "a", "function": {"name": "look", "arguments": "{}"}});
    let answer = json!({"tool_calls": [call]});
    let whole = whole(Dialect::OpenAi, &json!({"choices": [{"message": answer, "finish_reason": "stop"}]}));
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let streamed = streamed(Dialect::OpenAi, &[json!({"choices": [{"delta": answer}]}), end]);
    assert_eq!((&whole.finish_reason, calls(&whole)), (&FinishReason::ToolCalls, vec![("look", "{}")]));
    assert_eq!(streamed, whole);
}

#[test]
fn a_refusal_outlives_the_chunks_behind_it() {
    let chunk = |delta: Value, reason: Value| json!({"choices": [{"delta": delta, "finish_reason": reason}]});
    let chunks = [
        chunk(json!({"refusal": "No"}), Value::Null),
        chunk(json!({"refusal": "."}), Value::Null),
        chunk(json!({}), json!("stop")),
    ];
    let answer = streamed(Dialect::OpenAi, &chunks);
    assert_eq!((answer.text().as_str(), &answer.finish_reason), ("No.", &FinishReason::ContentFilter));
    assert_eq!(answer.parts, [Part::Refusal("No.".into())]);
    let body = json!({"choices": [{"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"}]});
    assert_eq!(whole(Dialect::OpenAi, &body), answer);
}

#[test]
fn what_only_openai_says_is_the_same_whole_and_streamed() {
    let token = |token: &str| json!({"token": token, "logprob": -0.5, "bytes": null, "top_logprobs": []});
    let note = |at: u32| json!({"type": "url_citation", "url_citation": {"url": "https://e.org", "title": "", "start_index": at, "end_index": at}});
    let said = json!({"content": "ab", "annotations": [note(0), note(1)],
        "audio": {"id": "x", "data": "AQID", "transcript": "ab", "expires_at": 1}});
    let body = json!({"system_fingerprint": "fp", "service_tier": "default", "choices": [{"message": said, "finish_reason": "stop",
        "logprobs": {"content": [token("a"), token("b")], "refusal": null}}]});
    let chunk = |delta: Value, tokens: Value| {
        json!({"system_fingerprint": "fp", "service_tier": "default",
            "choices": [{"delta": delta, "logprobs": {"content": tokens, "refusal": null}, "finish_reason": null}]})
    };
    let chunks = [
        chunk(json!({"content": "a", "annotations": [note(0)]}), json!([token("a")])),
        chunk(json!({"audio": {"id": "x", "transcript": "a", "data": "AQ=="}}), Value::Null),
        chunk(
            json!({"content": "b", "annotations": [note(1)], "audio": {"transcript": "b", "data": "AgM="}}),
            json!([token("b")]),
        ),
        chunk(json!({"audio": {"expires_at": 1}}), Value::Null),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    ];
    assert_eq!(streamed(Dialect::OpenAi, &chunks), whole(Dialect::OpenAi, &body));
}

#[test]
fn claudes_citations_stand_behind_the_text_that_rests_on_them() {
    let citation =
        |number: u32| json!({"type": "page_location", "cited_text": "x", "document_index": 0, "start_page_number": number});
    let text = |text: &str, citations: Value| json!({"type": "text", "text": text, "citations": citations});
    let body = json!({"type": "message", "stop_reason": "end_turn",
        "content": [text("a", Value::Null), text("b", json!([citation(1), citation(2)])), text("c", Value::Null), text("d", Value::Null)]});
    let said = |text: &str| Part::Text(text.into());
    let rests = |number: u32| Part::Citation(Raw { dialect: "anthropic".into(), value: citation(number) });
    let expected = [said("a"), said("b"), rests(1), rests(2), said("c"), said("d")];
    assert_eq!(whole(Dialect::Anthropic, &body).parts, expected);
    let mut chunks = Vec::new();
    for (index, block) in body["content"].as_array().unwrap().iter().enumerate() {
        chunks.push(json!({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}));
        for citation in block["citations"].as_array().into_iter().flatten() {
            chunks.push(json!({"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": citation}}));
        }
        chunks.push(json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": block["text"]}}));
        chunks.push(json!({"type": "content_block_stop", "index": index}));
    }
    chunks.extend([json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}), json!({"type": "message_stop"})]);
    assert_eq!(streamed(Dialect::Anthropic, &chunks).parts, expected);
}

#[test]
fn arguments_in_pieces_may_be_of_any_kind_and_depth() {
    let chunk = |call: Value| json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}}]});
    let chunks = [
        chunk(json!({"name": "look", "willContinue": true})),
        chunk(json!({"willContinue": true, "partialArgs": [
            {"jsonPath": "$.number", "numberValue": 1.5},
            {"jsonPath": "$.inner.text", "stringValue": "on", "willContinue": true}
        ]})),
        chunk(json!({"willContinue": true, "partialArgs": [
            {"jsonPath": "$.inner.text", "stringValue": "going"},
            {"jsonPath": "$.list[0]", "boolValue": true},
            {"jsonPath": "$.list[1]", "boolValue": false},
            {"jsonPath": "$.nothing", "nullValue": "NULL_VALUE"},
            {"jsonPath": "$.years['2024']", "numberValue": 5},
            {"jsonPath": "$.years.2025", "numberValue": 6},
            {"jsonPath": "$['a.b'][\"c[0]'\"][0].d", "stringValue": "e"}
        ]})),
        json!({"candidates": [{"content": {"parts": [{"functionCall": {}}]}, "finishReason": "STOP"}]}),
    ];
    let answer = streamed(Dialect::Gemini, &chunks);
    let arguments: Vec<Value> =
        calls(&answer).into_iter().map(|(_, arguments)| serde_json::from_str(arguments).unwrap()).collect();
    let expected = json!({"number": 1.5, "inner": {"text": "ongoing"}, "list": [true, false], "nothing": null,
        "years": {"2024": 5, "2025": 6}, "a.b": {"c[0]'": [{"d": "e"}]}});
    assert_eq!(arguments, [expected]);
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
}

#[test]
fn a_call_that_begins_with_arguments_may_go_on() {
    let chunk = |call: Value| json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}}]});
    for (begun, expected) in [(json!({}), json!({"a": "b"})), (json!({"z": 1}), json!({"z": 1, "a": "b"}))] {
        let chunks = [
            chunk(json!({"name": "look", "args": begun, "willContinue": true})),
            chunk(json!({"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}], "willContinue": true})),
            json!({"candidates": [{"content": {"parts": [{"functionCall": {}}]}, "finishReason": "STOP"}]}),
        ];
        let answer = streamed(Dialect::Gemini, &chunks);
        assert_eq!(calls(&answer), [("look", expected.to_string().as_str())]);
    }
}

/// A few bytes ask for no room, and for no stack.
#[test]
fn arguments_in_pieces_are_neither_deeper_nor_wider_than_what_came() {
    let read = |paths: &[String]| {
        let pieces: Vec<Value> = paths.iter().map(|path| json!({"jsonPath": path, "numberValue": 1})).collect();
        let call = json!({"name": "look", "partialArgs": pieces});
        let chunk = json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}, "finishReason": "STOP"}]});
        let answer = streamed(Dialect::Gemini, &[chunk]);
        calls(&answer)[0].1.to_owned()
    };
    let deep = |steps: usize| format!("${}", ".a".repeat(steps));
    assert_eq!(read(&[deep(20_000), format!("${}", "[0]".repeat(10_000)), deep(65), "$.b".into()]), "{\"b\":1}");
    assert_eq!(read(&[deep(64)]).matches("\"a\":").count(), 64);
    let wide = ["$.list[1]", "$.list[0]", "$.list[2]", "$.list[4095]", "$.list[1]"];
    assert_eq!(read(&wide.map(str::to_owned)), "{\"list\":[1,1,1]}");
    assert_eq!(read(&["$.list[2]".to_owned()]), "{\"list\":[null,null,1]}");
    let sparse: Vec<String> = (1..=1000).map(|at| format!("$.a[{}]", at * 2)).collect();
    assert_eq!(read(&sparse).matches("null").count(), 64);
    let squared = read(&vec!["$.list[0][4095]".to_owned(); 1000]);
    assert!(squared.len() < 100, "{} bytes", squared.len());
}

#[test]
fn bedrocks_citations_stand_behind_the_text_that_rests_on_them() {
    let citation =
        |number: u32| json!({"title": "t", "location": {"documentPage": {"documentIndex": 0, "start": number, "end": number}}});
    let cited = json!({"citationsContent": {"content": [{"text": "b"}], "citations": [citation(1), citation(2)]}});
    let body = json!({"output": {"message": {"role": "assistant", "content": [{"text": "a"}, cited, {"text": "c"}, {"text": "d"}]}}, "stopReason": "end_turn"});
    let said = |text: &str| Part::Text(text.into());
    let rests = |number: u32| Part::Citation(Raw { dialect: "bedrock".into(), value: citation(number) });
    let expected = [said("a"), said("b"), rests(1), rests(2), said("c"), said("d")];
    assert_eq!(whole(Dialect::Bedrock, &body).parts, expected);
    let mut stream = Vec::new();
    let mut tell = |name: &str, payload: Value| stream.extend(bedrock_event(name, &payload.to_string()));
    for (index, (text, citations)) in [("a", 0..0), ("b", 1..3), ("c", 0..0), ("d", 0..0)].into_iter().enumerate() {
        tell("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"text": text}}));
        for number in citations {
            tell("contentBlockDelta", json!({"contentBlockIndex": index, "delta": {"citation": citation(number)}}));
        }
        tell("contentBlockStop", json!({"contentBlockIndex": index}));
    }
    tell("messageStop", json!({"stopReason": "end_turn"}));
    tell("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 1}}));
    assert_eq!(fold(&events(Dialect::Bedrock, &[&stream]).unwrap()).parts, expected);
}

/// A failure as Google tells it in the middle of a stream: without a field of the event stream in front.
#[test]
fn a_failure_outside_the_events_is_one_wherever_it_stands() {
    let failure = |code: u32, status: &str| {
        serde_json::to_string_pretty(&json!({"error": {"code": code, "message": "Too much.", "status": status}})).unwrap()
    };
    let piece = |finish: &str| match finish {
        "" => json!({"candidates": [{"content": {"parts": [{"text": "Okay"}]}}]}),
        finish => json!({"candidates": [{"content": {"parts": [{"text": "Okay"}]}, "finishReason": finish}]}),
    };
    let told = |before: &str, failure: &str| {
        let stream = format!("{before}{failure}");
        let error = events(Dialect::Gemini, &[stream.as_bytes()]).unwrap_err();
        for at in 0..stream.len() {
            let split = events(Dialect::Gemini, &[&stream.as_bytes()[..at], &stream.as_bytes()[at..]]);
            assert_eq!(split.unwrap_err().message(), error.message(), "split at byte {at}");
        }
        (error.code(), error.message().to_owned())
    };
    let overloaded = (Code::Overloaded, "the provider refused (status 503): Too much.".to_owned());
    for before in [piece(""), piece("STOP")].map(|piece| format!("data: {piece}\r\n\r\n")) {
        assert_eq!(told(&before, &format!("{}\n", failure(503, "UNAVAILABLE"))), overloaded);
        assert_eq!(told(&before, &format!("[{}\n]", failure(503, "UNAVAILABLE"))), overloaded);
    }
    assert_eq!(told("", &failure(429, "RESOURCE_EXHAUSTED")).0, Code::RateLimit);

    let piece = json!({"choices": [{"delta": {"content": "a"}}]});
    let failure = json!({"error": {"message": "Slow down.", "code": 429}});
    for before in ["", "{\"ping\": 1}\n", "[]\n\n{\"ping\": 1} "] {
        let stream = format!("data: {piece}\n\n{before}{failure}");
        let error = events(Dialect::OpenAi, &[stream.as_bytes()]).unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::RateLimit, "the provider refused (status 429): Slow down."),
            "{before}"
        );
    }
    let noise = format!("data: {piece}\n\n{{\"ping\": 1}}\n\ndata: [DONE]\n\n");
    assert_eq!(fold(&events(Dialect::OpenAi, &[noise.as_bytes()]).unwrap()).text(), "a");
}

#[test]
fn an_empty_failure_beside_an_answer_is_none() {
    for error in [json!(""), json!({}), json!(false), Value::Null] {
        let choice = json!({"index": 0, "message": {"content": "a"}, "error": error, "finish_reason": "stop"});
        assert_eq!(whole(Dialect::OpenAi, &json!({"error": error, "choices": [choice]})).text(), "a", "{error}");
    }
}

#[test]
fn what_is_no_answer_of_claudes_is_a_failure() {
    let error = Dialect::Anthropic.decode(br#"{"message": "Hello from proxy"}"#).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::ProviderError, "the provider's answer has no `content`"));
}

#[test]
fn reasons_in_other_vendors_words_are_understood() {
    for (said, expected) in [
        ("tool_use", FinishReason::ToolCalls),
        ("tool_call", FinishReason::ToolCalls),
        ("MAX_TOKENS", FinishReason::Length),
        ("STOP", FinishReason::Stop),
        ("Odd", FinishReason::Other("Odd".into())),
    ] {
        let body = json!({"choices": [{"message": {"content": "a"}, "finish_reason": said}]});
        assert_eq!(whole(Dialect::OpenAi, &body).finish_reason, expected);
    }
    let silent = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}]});
    assert_eq!(whole(Dialect::Gemini, &silent).finish_reason, FinishReason::Stop);
}

#[test]
fn half_a_character_does_not_cost_the_answer() {
    let body = |text: &str| format!(r#"{{"choices": [{{"message": {{"content": "{text}"}}, "finish_reason": "length"}}]}}"#);
    for (written, read) in [
        (r"a\ud83d", "a\u{fffd}"),
        (r"\ude00b", "\u{fffd}b"),
        (r"\ud83d\n\ud83d\ude00\uD83D", "\u{fffd}\n\u{1f600}\u{fffd}"),
        (r"\\ud83d\ud83d", "\\ud83d\u{fffd}"),
    ] {
        assert_eq!(Dialect::OpenAi.decode(body(written).as_bytes()).unwrap().text(), read, "{written}");
    }
    let error = Dialect::OpenAi.decode(body("\\ud83d").replace('}', "").as_bytes()).unwrap_err();
    assert!(error.message().starts_with("the provider's answer cannot be read"), "{error}");
}

#[test]
fn calls_that_share_an_id_are_several() {
    let call = |index: Option<u32>, city: &str| {
        let mut call = json!({"id": "call_0", "function": {"name": "look", "arguments": format!("{{\"city\":\"{city}\"}}")}});
        if let Some(index) = index {
            call["index"] = index.into();
        }
        call
    };
    let expected = [("look", r#"{"city":"Paris"}"#), ("look", r#"{"city":"Rome"}"#)];
    let body = |index| json!({"id": "c", "choices": [{"message": {"tool_calls": [call(index, "Paris"), call(index, "Rome")]}, "finish_reason": "tool_calls"}]});
    let chunk = |call: Value| json!({"id": "c", "choices": [{"delta": {"tool_calls": [call]}, "finish_reason": null}]});
    let rest = json!({"id": "call_0", "index": 1, "function": {"arguments": "\"Rome\"}"}});
    let mut begun = call(Some(1), "");
    begun["function"]["arguments"] = "{\"city\":".into();
    let end = json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]});
    for answer in [
        whole(Dialect::OpenAi, &body(None)),
        whole(Dialect::OpenAi, &body(Some(0))),
        streamed(Dialect::OpenAi, &[chunk(call(Some(0), "Paris")), chunk(call(Some(1), "Rome")), end.clone()]),
        streamed(Dialect::OpenAi, &[chunk(call(Some(0), "Paris")), chunk(begun), chunk(rest), end]),
    ] {
        assert_eq!(calls(&answer), expected);
        let ids: Vec<&str> = answer.tool_calls().map(|call| call.id.as_str()).collect();
        assert!(ids[0] == "call_0" && ids[1].starts_with("call_") && ids[1] != ids[0], "{ids:?}");
    }
}

#[test]
fn what_mistrals_own_tools_answer_is_not_the_answer() {
    let call = json!({"id": "abcdefghi", "function": {"name": "web_search", "arguments": "{\"q\":1}"}, "index": 0});
    let messages = json!([
        {"role": "assistant", "content": "", "index": 0, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "index": 1, "content": "<html>"},
        {"role": "assistant", "index": 2, "content": "It is so."}
    ]);
    let whole = whole(Dialect::OpenAi, &json!({"choices": [{"messages": messages, "finish_reason": "stop"}]}));
    assert_eq!((whole.text().as_str(), &whole.finish_reason), ("It is so.", &FinishReason::Stop));
    let raw = Part::Raw(Raw { dialect: "openai".into(), value: messages[1].clone() });
    assert_eq!(whole.parts[1..], [raw, Part::Text("It is so.".into())]);
    let piece = |delta: &Value| json!({"choices": [{"delta": delta, "finish_reason": null}]});
    let mut chunks: Vec<Value> = messages.as_array().unwrap().iter().map(piece).collect();
    chunks.push(json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}));
    assert_eq!(streamed(Dialect::OpenAi, &chunks), whole);
    assert_eq!(whole.tool_calls().count(), 0, "nobody has to run it");
    // Nor did the model say so, whoever goes on.
    for name in ["anthropic", "gemini"] {
        let said = Message { role: Role::Assistant, parts: whole.parts.clone() };
        let messages = vec![Message::text(Role::User, "hi"), said, Message::text(Role::User, "go on")];
        let written = provider(name, None).write(&ChatRequest { model: "m".into(), messages, ..ChatRequest::default() }, false);
        let body = written.unwrap().body().to_string();
        assert!(body.contains("It is so.") && !body.contains("<html>"), "{name}: {body}");
    }
}

#[test]
fn mistrals_thoughts_keep_their_proofs_and_references() {
    let reference = json!({"type": "tool_reference", "tool": "web_search", "title": "T"});
    let thinking = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}, reference], "signature": "s"});
    let content = json!([thinking, {"type": "text", "text": "Yes."}]);
    let answer = whole(Dialect::OpenAi, &json!({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}));
    let value = json!({"type": "thinking", "thinking": [reference]});
    let expected = [
        Part::Reasoning(Thought { text: "Hm.".into(), signature: Some("mistral:s".into()), redacted: None }),
        Part::Raw(Raw { dialect: "openai".into(), value }),
        Part::Text("Yes.".into()),
    ];
    assert_eq!(answer.parts, expected);
    let piece = |content: Value| json!({"choices": [{"delta": {"content": content}, "finish_reason": null}]});
    let thought = |thought: Value| piece(json!([{"type": "thinking", "thinking": [thought]}]));
    let text = |text: &str| json!({"type": "text", "text": text});
    let proof = piece(json!([{"type": "thinking", "thinking": [], "signature": "s"}]));
    let end = json!({"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]});
    let told = [thought(text("H")), thought(reference.clone()), thought(text("m.")), proof];
    let spoken = [piece("Yes.".into()), piece(json!([text("Yes.")]))];
    for spoken in spoken {
        assert_eq!(streamed(Dialect::OpenAi, &[&told[..], &[spoken, end.clone()]].concat()).parts, expected);
    }
    assert_eq!(streamed(Dialect::OpenAi, &[&told[..], &[end]].concat()).parts, expected[..2]);
}
