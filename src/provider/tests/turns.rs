//! What becomes of a conversation's turns.

use super::*;
use crate::chat::Sampling;

#[test]
fn texts_that_a_tool_answers_with_stay_apart() {
    let content = ["one", "two"].map(|text| Part::Text(text.into())).to_vec();
    let result = ToolResult { call_id: "a".into(), content, ..ToolResult::default() };
    let call = ToolCall { id: "a".into(), name: "f".into(), arguments: "{}".into(), ..ToolCall::default() };
    let messages = vec![
        Message::text(Role::User, "hi"),
        Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] },
        Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] },
    ];
    let request = ChatRequest {
        model: "m".into(),
        messages,
        tools: vec![Tool { name: "f".into(), ..Tool::default() }],
        ..ChatRequest::default()
    };
    for name in ["openai", "mistral", "cohere", "gemini"] {
        let body = open(name, &config(name, keyed())).unwrap().write(&request, false).unwrap().body().to_string();
        assert!(body.contains(r#"one\ntwo"#), "{name}: {body}");
    }
}

#[test]
fn answers_of_tools_stand_in_the_order_of_the_calls() {
    let call = |id: &str| {
        Part::ToolCall(ToolCall { id: id.into(), name: "price".into(), arguments: "{}".into(), ..ToolCall::default() })
    };
    let result = |id: &str| {
        let content = vec![Part::Text(format!("the price of {id}"))];
        Part::ToolResult(ToolResult { call_id: id.into(), content, ..ToolResult::default() })
    };
    // Servers that count from 0 in each answer use ids again.
    let messages = vec![
        Message::text(Role::User, "hi"),
        Message { role: Role::Assistant, parts: vec![call("A"), call("B")] },
        Message { role: Role::Tool, parts: vec![result("B")] },
        Message { role: Role::Tool, parts: vec![result("A")] },
        Message { role: Role::Assistant, parts: vec![call("B"), call("A")] },
        Message { role: Role::User, parts: vec![Part::Text("go on".into()), result("A"), result("B")] },
    ];
    let tools = vec![Tool { name: "price".into(), ..Tool::default() }];
    let request = ChatRequest { model: "m".into(), messages, tools, ..ChatRequest::default() };
    for (name, turns) in [("vertexai", "contents"), ("anthropic", "messages"), ("bedrock", "messages")] {
        let body = written(name, &request).body();
        for (turn, first, second) in [(2, "A", "B"), (4, "B", "A")] {
            let turn = body[turns][turn].to_string();
            let [first, second] = [first, second].map(|id| turn.find(&format!("the price of {id}")).unwrap());
            assert!(first < second, "{name}: {turn}");
        }
    }
}

/// A call with these arguments, and a tool that answers with the same.
fn called(json: &str) -> ChatRequest {
    let call = ToolCall { id: "a".into(), name: "f".into(), arguments: json.into(), ..ToolCall::default() };
    let result = ToolResult { call_id: "a".into(), content: vec![Part::Text(json.into())], ..ToolResult::default() };
    let messages = vec![
        Message::text(Role::User, "hi"),
        Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] },
        Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] },
    ];
    let tools = vec![Tool { name: "f".into(), ..Tool::default() }];
    let sampling = Sampling { max_tokens: Some(9), ..Sampling::default() };
    ChatRequest { model: "m".into(), messages, tools, sampling, ..ChatRequest::default() }
}

#[test]
fn numbers_of_more_than_64_bits_are_not_changed_without_a_word() {
    // One that is sent as it is says nothing of another.
    let request = called(r#"{"mass":5.972e24,"wei":123456789012345678901234567890}"#);
    for name in ["gemini", "bedrock", "anthropic"] {
        let written = written(name, &request);
        assert!(written.body().to_string().contains(r#"\"wei\":123456789012345678901234567890}"#), "{name}: {}", written.body());
        let warnings: Vec<String> = written.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["`tool_call.arguments`: a number of more than 64 bits is rounded; it was changed"], "{name}");
    }
}

#[test]
fn digits_that_stand_elsewhere_are_lost_all_the_same() {
    for json in [
        r#"{"wei":100000000000000000001,"count":1}"#,
        r#"{"wei":100000000000000000001,"most":1e20}"#,
        r#"{"wei":-100000000000000000001,"most":1e20}"#,
    ] {
        for name in ["gemini", "bedrock", "anthropic"] {
            let sent = written(name, &called(json));
            let (body, warnings) = (sent.body(), sent.warnings);
            assert_eq!(warnings.len(), 1, "{name}: {json}");
            assert!(body.to_string().contains("100000000000000000001"), "{name}: {body}");
        }
    }
}

#[test]
fn large_numbers_that_keep_their_digits_are_sent_without_a_word() {
    for number in ["5.972e24", "5.9720E+24", "-597200000000000000000.0e4", "10000000000000000000000"] {
        let json = format!(r#"{{"mass":{number}}}"#);
        for name in ["gemini", "bedrock", "anthropic"] {
            let sent = written(name, &called(&json));
            let (body, warnings) = (sent.body(), sent.warnings);
            assert!(warnings.is_empty(), "{name}: {number}");
            if name == "gemini" {
                let response = &body["contents"][2]["parts"][0]["functionResponse"]["response"];
                assert_eq!(response["mass"].as_f64(), number.parse().ok(), "{body}");
            }
        }
    }
}

#[test]
fn instructions_alone_are_what_the_user_says_where_they_stand_apart() {
    let messages = ["be brief", "write a haiku"].map(|text| Message::text(Role::System, text)).to_vec();
    let sampling = Sampling { max_tokens: Some(9), ..Sampling::default() };
    let request = ChatRequest { model: "m".into(), messages, sampling, ..ChatRequest::default() };
    for (name, system, turns) in
        [("anthropic", "system", "messages"), ("bedrock", "system", "messages"), ("gemini", "systemInstruction", "contents")]
    {
        let sent = written(name, &request);
        let (body, warnings) = (sent.body(), sent.warnings);
        assert!(body[system].to_string().contains("be brief") && !body[system].to_string().contains("haiku"), "{body}");
        assert!(body[turns][0]["role"] == "user" && body[turns].to_string().contains("haiku"), "{body}");
        let expected = format!(
            "`messages`: `{name}/m` takes no instructions alone: the last of them are what the user says; it was changed"
        );
        assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
    let sent = written("openai", &request);
    let (body, warnings) = (sent.body(), sent.warnings);
    assert_eq!((body["messages"].as_array().unwrap().len(), warnings.len()), (2, 0));
}
