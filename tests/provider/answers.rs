//! Answers that the vendors' documents allow and no recording has.

use omni_llm::chat::{ChatResponse, FinishReason, fold};
use omni_llm::provider::Dialect;
use serde_json::{Value, json};

use super::support::events;

fn whole(dialect: Dialect, body: &Value) -> ChatResponse {
    dialect.decode(body.to_string().as_bytes()).unwrap()
}

fn streamed(dialect: Dialect, chunks: &[Value]) -> ChatResponse {
    let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    fold(&events(dialect, &[stream.as_bytes()]).unwrap())
}

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
    let chunks = [piece(json!({"name": "shell", "input": "ls"})), piece(json!({"input": " -l"})), end];
    assert_eq!(calls(&streamed(Dialect::OpenAi, &chunks)), [("shell", "ls -l")]);
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
fn a_refusal_outlives_the_chunks_behind_it() {
    let chunk = |delta: Value, reason: Value| json!({"choices": [{"delta": delta, "finish_reason": reason}]});
    let chunks = [
        chunk(json!({"refusal": "No"}), Value::Null),
        chunk(json!({"refusal": "."}), Value::Null),
        chunk(json!({}), json!("stop")),
    ];
    let answer = streamed(Dialect::OpenAi, &chunks);
    assert_eq!((answer.text().as_str(), answer.finish_reason), ("No.", FinishReason::ContentFilter));
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
            {"jsonPath": "$.nothing", "nullValue": "NULL_VALUE"}
        ]})),
        json!({"candidates": [{"content": {"parts": [{"functionCall": {}}]}, "finishReason": "STOP"}]}),
    ];
    let answer = streamed(Dialect::Gemini, &chunks);
    let arguments: Vec<Value> =
        calls(&answer).into_iter().map(|(_, arguments)| serde_json::from_str(arguments).unwrap()).collect();
    let expected = json!({"number": 1.5, "inner": {"text": "ongoing"}, "list": [true, false], "nothing": null});
    assert_eq!(arguments, [expected]);
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
}
