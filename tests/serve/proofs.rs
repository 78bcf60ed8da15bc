//! Proofs of Google's, which must come back with what they prove, through both doors.

use serde_json::{Value, json};

use super::replay::Replay;

const MODEL: &str = "gemini/gemini-3-flash";

fn ask() -> Value {
    let tool = json!({"type": "object", "properties": {"q": {"type": "string"}}});
    json!({"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Why?"}],
        "tools": [{"name": "search", "input_schema": tool}]})
}

fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

fn frame(parts: Value, reason: Option<&str>) -> Value {
    json!({"responseId": "r", "modelVersion": "m", "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}})
}

#[tokio::test]
async fn the_proof_of_a_text_is_not_told_as_that_of_the_thought_before_it() {
    let (thought, text) = (json!({"text": "Hm.", "thought": true}), json!({"text": "So."}));
    let proof = json!({"text": "", "thoughtSignature": "s"});
    let frames = [json!([thought]), json!([text])].map(|parts| frame(parts, None));
    let frames = frames.into_iter().chain([frame(json!([proof]), Some("STOP"))]).collect();
    let replay = Replay::start(frame(json!([thought, text, proof]), Some("STOP")), frames).await;
    let service = replay.service();
    let chat = json!({"model": MODEL, "messages": [{"role": "user", "content": "Why?"}]});
    let (_, answer) = service.post("/v1/chat/completions", &chat).await;
    let whole = &answer["choices"][0]["message"]["reasoning_details"];
    assert_eq!((&whole[0]["text"], &whole[0]["signature"], &whole[1]["signature"]), (&json!("Hm."), &Value::Null, &json!("gemini:s")));
    let events = service.events_of("/v1/chat/completions", &streamed(chat)).await;
    let details: Vec<&Value> =
        events.iter().filter_map(|(_, chunk)| chunk["choices"][0]["delta"]["reasoning_details"].get(0)).collect();
    assert_eq!(details, [&whole[1]]);
}

#[tokio::test]
async fn the_proof_of_a_call_goes_out_and_comes_back_in_anthropics_dialect() {
    let call = frame(json!([{"functionCall": {"name": "search", "args": {"q": "x"}}, "thoughtSignature": "s"}]), Some("STOP"));
    let replay = Replay::start(call.clone(), vec![call]).await;
    let service = replay.service();
    let (status, answer) = service.post("/v1/messages", &ask()).await;
    let block = &answer["content"][0];
    assert_eq!((status, &block["extra_content"]), (200, &json!({"google": {"thought_signature": "s"}})), "{answer}");
    let events = service.events_of("/v1/messages", &streamed(ask())).await;
    let begun = events.iter().find(|(name, _)| name == "content_block_start").unwrap();
    assert_eq!(begun.1["content_block"]["extra_content"], block["extra_content"]);
    let mut again = ask();
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": block["id"], "content": "y"}]});
    again["messages"].as_array_mut().unwrap().extend([json!({"role": "assistant", "content": [block]}), result]);
    let (_, answer) = service.post("/v1/messages", &again).await;
    let sent = replay.asked();
    assert_eq!((&sent["contents"][1]["parts"][0]["thoughtSignature"], &answer["omni"]["warnings"]), (&json!("s"), &Value::Null));
    assert_eq!(sent["contents"][2]["parts"][0]["functionResponse"]["name"], "search");
    // Who leaves it out is told so.
    again["messages"][1]["content"][0].as_object_mut().unwrap().shift_remove("extra_content");
    let (_, answer) = service.post("/v1/messages", &again).await;
    let warning = answer["omni"]["warnings"][0].to_string();
    assert!(warning.contains("tool_call.signature") && warning.contains("`search`"), "{answer}");
}
