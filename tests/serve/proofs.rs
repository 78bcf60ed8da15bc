//! Thoughts and their proofs, which must come back with what they prove, and the wish for them, through both doors.

use serde_json::{Value, json};

use super::replay::{Replay, streamed};

const MODEL: &str = "gemini/gemini-3-flash";

fn ask() -> Value {
    let tool = json!({"type": "object", "properties": {"q": {"type": "string"}}});
    json!({"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Why?"}],
        "tools": [{"name": "search", "input_schema": tool}]})
}

fn frame(parts: Value, reason: Option<&str>) -> Value {
    json!({"responseId": "r", "modelVersion": "m", "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}})
}

/// The lists of thoughts in a stream of OpenAI's dialect.
fn details(events: &[(String, Value)]) -> Vec<&Value> {
    events.iter().filter_map(|(_, chunk)| chunk["choices"][0]["delta"].get("reasoning_details")).collect()
}

#[tokio::test]
async fn thoughts_are_streamed_as_one_list() {
    let thought =
        |number: usize| json!({"type": "thinking", "thinking": format!("Hm {number}."), "signature": format!("s{number}")});
    let blocks =
        [thought(1), thought(2), json!({"type": "redacted_thinking", "data": "r"}), json!({"type": "text", "text": "So."})];
    let whole = json!({"id": "m", "type": "message", "model": "m", "content": blocks, "stop_reason": "end_turn"});
    let mut frames = vec![json!({"type": "message_start", "message": {"id": "m", "model": "m"}})];
    for (index, block) in blocks.iter().enumerate() {
        frames.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        frames.push(json!({"type": "content_block_stop", "index": index}));
    }
    frames.extend([json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}), json!({"type": "message_stop"})]);
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let chat = json!({"model": "anthropic/claude-sonnet-5", "messages": [{"role": "user", "content": "Why?"}]});
    let (_, answer) = service.post("/v1/chat/completions", &chat).await;
    let told = &answer["choices"][0]["message"]["reasoning_details"];
    assert_eq!(told.as_array().map(Vec::len), Some(3), "{answer}");
    let events = service.events_of("/v1/chat/completions", &streamed(chat)).await;
    assert_eq!(details(&events), [told]);
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
    assert_eq!(
        (&whole[0]["text"], &whole[0]["signature"], &whole[1]["signature"]),
        (&json!("Hm."), &Value::Null, &json!("gemini:s"))
    );
    let events = service.events_of("/v1/chat/completions", &streamed(chat)).await;
    assert_eq!(details(&events), [whole]);
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

#[tokio::test]
async fn a_proof_goes_back_to_its_own_vendor_alone() {
    let whole = json!({"id": "m", "type": "message", "model": "m", "content": [{"type": "text", "text": "So."}], "stop_reason": "end_turn",
        "candidates": [{"content": {"role": "model", "parts": [{"text": "So."}]}, "finishReason": "STOP"}]});
    let replay = Replay::start(whole, Vec::new()).await;
    let service = replay.service();
    let (claude, gemini) = ("anthropic/claude-sonnet-5", MODEL);
    let left_out =
        |model: &str| json!([format!("`reasoning`: `{model}` takes back no thoughts of other models; it was left out")]);
    let thought = |proof: &str| json!({"type": "thinking", "thinking": "Hm.", "signature": proof});
    let messages = |model: &str, proof: &str| {
        let said = json!({"role": "assistant", "content": [thought(proof), {"type": "text", "text": "So."}]});
        json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}, said, {"role": "user", "content": "And?"}]})
    };
    let details = |proof: &str, format: Value| json!({"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": proof, "format": format}]});
    let blocks = |proof: &str| json!({"reasoning_content": "Hm.", "thinking_blocks": [thought(proof)]});
    let chat = |model: &str, mut said: Value| {
        (said["role"], said["content"]) = (json!("assistant"), json!("So."));
        json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}, said, {"role": "user", "content": "And?"}]})
    };
    for (path, body, is_kept) in [
        ("/v1/messages", messages(claude, "s"), true),
        ("/v1/messages", messages(gemini, "s"), false),
        ("/v1/messages", messages(claude, "gemini:s"), false),
        ("/v1/messages", messages(gemini, "gemini:s"), true),
        ("/v1/chat/completions", chat(claude, details("s", Value::Null)), true),
        ("/v1/chat/completions", chat(gemini, details("s", Value::Null)), false),
        ("/v1/chat/completions", chat(gemini, details("s", json!("google-gemini-v1"))), true),
        ("/v1/chat/completions", chat(claude, details("s", json!("google-gemini-v1"))), false),
        ("/v1/chat/completions", chat(claude, details("openai:s", Value::Null)), false),
        ("/v1/chat/completions", chat(claude, blocks("s")), true),
        ("/v1/chat/completions", chat(gemini, blocks("s")), false),
    ] {
        let (status, answer) = service.post(path, &body).await;
        let model = body["model"].as_str().unwrap();
        let (sent, is_claude) = (replay.asked(), model == claude);
        let said = if is_claude { &sent["messages"][1]["content"] } else { &sent["contents"][1]["parts"] };
        let proof = if is_claude { thought("s") } else { json!({"text": "Hm.", "thought": true, "thoughtSignature": "s"}) };
        assert_eq!(status, 200, "{answer}");
        assert_eq!(said.as_array().unwrap().contains(&proof), is_kept, "{body} {said}");
        let told = if is_kept { Value::Null } else { left_out(model) };
        assert_eq!((said.as_array().unwrap().len(), &answer["omni"]["warnings"]), (1 + usize::from(is_kept), &told), "{body}");
    }
}

#[tokio::test]
async fn thinking_and_effort_reach_claude_as_they_were_said() {
    let whole = json!({"id": "m", "type": "message", "model": "m", "content": [{"type": "text", "text": "So."}], "stop_reason": "end_turn",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "So."}, "finish_reason": "stop"}]});
    let replay = Replay::start(whole, Vec::new()).await;
    let service = replay.service();
    let ask = |model: &str, more: Value| {
        let mut body = json!({"model": model, "max_tokens": 9000, "messages": [{"role": "user", "content": "Why?"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let low = json!({"effort": "low"});
    let (enabled, adaptive) = (json!({"type": "enabled", "budget_tokens": 2000}), json!({"type": "adaptive"}));
    for (model, thinking, effort) in [
        ("claude-opus-4-8", None, Some(&low)),
        ("claude-opus-4-5", None, Some(&low)),
        ("claude-opus-4-5", Some(&enabled), Some(&low)),
        ("claude-opus-5-5", Some(&adaptive), None),
        ("claude-opus-4-6", Some(&json!({"type": "disabled"})), Some(&low)),
        ("claude-sonnet-5-5", Some(&json!({"type": "between_tools"})), Some(&low)),
    ] {
        let body = ask(&format!("anthropic/{model}"), json!({"thinking": thinking, "output_config": effort}));
        let (_, answer) = service.post("/v1/messages", &body).await;
        let sent = replay.asked();
        let expected = [thinking, effort].map(|said| said.cloned().unwrap_or_default());
        assert_eq!([sent["thinking"].clone(), sent["output_config"].clone()], expected, "{model}");
        assert_eq!(answer["omni"]["warnings"], Value::Null, "{model}");
    }
    // In OpenAI's dialect it is the same word; a server that may have it itself gets it as it came.
    service.post("/v1/chat/completions", &ask("anthropic/claude-sonnet-4-5", json!({"thinking": enabled}))).await;
    assert_eq!(replay.asked()["thinking"], enabled);
    service.post("/v1/chat/completions", &ask("custom/m", json!({"thinking": {"type": "disabled"}}))).await;
    let sent = replay.asked();
    assert_eq!((&sent["thinking"], &sent["reasoning_effort"]), (&json!({"type": "disabled"}), &Value::Null));
    // Nothing is bounded that nobody bounded, but where the provider wants it: at the most that the model writes.
    let open = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "Why?"}]});
    for (model, bound) in [("custom/m", Value::Null), ("anthropic/claude-opus-4-5", json!(64_000))] {
        let (_, answer) = service.post("/v1/chat/completions", &open(model)).await;
        assert_eq!((&replay.asked()["max_tokens"], &answer["omni"]["warnings"]), (&bound, &Value::Null));
    }
}

#[tokio::test]
async fn a_thought_without_a_proof_is_said_to_have_none_and_comes_back_to_who_thought_it() {
    let whole = json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}}]});
    let chunk = |delta: Value, reason: Value| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let frames = vec![
        chunk(json!({"reasoning_content": "H"}), Value::Null),
        chunk(json!({"reasoning_content": "m."}), Value::Null),
        chunk(json!({"content": "So."}), json!("stop")),
    ];
    let replay = Replay::start(whole, frames).await;
    let service = replay.service();
    let ask = json!({"model": "custom/m", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]});
    let (_, answer) = service.post("/v1/messages", &ask).await;
    // Clients throw away a thought without a proof, or write it into what was said.
    let thought = json!({"type": "thinking", "thinking": "Hm.", "signature": "none:"});
    assert_eq!(answer["content"][0], thought, "{answer}");
    let events = service.events_of("/v1/messages", &streamed(ask.clone())).await;
    let deltas: Vec<&Value> = events.iter().map(|(_, data)| &data["delta"]["type"]).filter(|kind| !kind.is_null()).collect();
    assert_eq!(deltas, ["thinking_delta", "thinking_delta", "signature_delta", "text_delta"], "{events:?}");
    let mut again = ask;
    let more = [json!({"role": "assistant", "content": answer["content"]}), json!({"role": "user", "content": "And?"})];
    again["messages"].as_array_mut().unwrap().extend(more);
    let (_, answer) = service.post("/v1/messages", &again).await;
    let sent = replay.asked();
    assert_eq!((&sent["messages"][1]["reasoning_content"], &answer["omni"]["warnings"]), (&json!("Hm."), &Value::Null), "{sent}");
    again["model"] = "anthropic/claude-sonnet-5".into();
    let (_, answer) = service.post("/v1/messages", &again).await;
    let warning = answer["omni"]["warnings"].to_string();
    assert!(warning.contains("a thought without a signature is refused") || answer["type"] == "error", "{answer}");
    assert_eq!(replay.asked()["messages"][1]["content"], json!([{"type": "text", "text": "So."}]));
}
