//! Bedrock's Converse.

use serde_json::Value;

use super::super::exchange::{list, number};
use super::{Draft, Expected, Parts, count, is_counted, json_text, sign, told};

pub(super) fn read(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    counted(if body["metadata"].is_object() { &body["metadata"]["usage"] } else { &body["usage"] }, out);
    let reason = body["stopReason"].as_str().or(body["messageStop"]["stopReason"].as_str());
    out.finish = reason.map(str::to_owned).or(out.finish.take());
    let start = &body["contentBlockStart"];
    begun(&start["start"], number(&start["contentBlockIndex"]), out, calls);
    let delta = &body["contentBlockDelta"]["delta"];
    let at = number(&body["contentBlockDelta"]["contentBlockIndex"]);
    out.text.push_str(delta["text"].as_str().unwrap_or_default());
    thought(&delta["reasoningContent"], at, out);
    out.citations.extend(delta.get("citation").map(Value::to_string));
    let call = calls.iter_mut().rfind(|call| call.number == at);
    if let (Some(json), Some(call)) = (delta["toolUse"]["input"].as_str(), call) {
        call.arguments.push_str(json);
    }
    for block in list(&body["output"]["message"]["content"]) {
        begun(block, None, out, calls);
        out.text.push_str(block["text"].as_str().unwrap_or_default());
        out.text.extend(list(&block["citationsContent"]["content"]).filter_map(|text| text["text"].as_str()));
        out.citations.extend(list(&block["citationsContent"]["citations"]).map(Value::to_string));
        thought(&block["reasoningContent"], None, out);
        thought(&block["reasoningContent"]["reasoningText"], None, out);
    }
}

/// Reads a thought, or a piece of one.
fn thought(thought: &Value, block: Option<u64>, out: &mut Expected) {
    out.reasoning.push_str(thought["text"].as_str().unwrap_or_default());
    sign(out, block, &thought["signature"]);
    out.signatures.extend(told([&thought["redactedContent"]]).map(str::to_owned));
}

/// Reads what is a call, or of a kind that only Bedrock has.
fn begun(block: &Value, number: Option<u64>, out: &mut Expected, calls: &mut Vec<Draft>) {
    const SHARED: [&str; 4] = ["type", "text", "reasoningContent", "citationsContent"];
    let call = &block["toolUse"];
    if call.is_object() && call["type"] != "server_tool_use" {
        let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
        let (id, name, arguments) = (text("toolUseId"), text("name"), json_text(&call["input"]));
        calls.push(Draft { number, id, name, arguments, is_answered: false });
        return;
    }
    let mut kinds = block.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    out.raws += usize::from(kinds.any(|(name, _)| !SHARED.contains(&name.as_str())));
}

fn counted(usage: &Value, out: &mut Expected) {
    if !is_counted(usage, &["inputTokens", "outputTokens"]) {
        return;
    }
    let either = |names: [&str; 2]| names.map(|name| count(usage, name)).into_iter().max().unwrap_or(0);
    let read = either(["cacheReadInputTokens", "cacheReadInputTokenCount"]);
    let written = either(["cacheWriteInputTokens", "cacheWriteInputTokenCount"]);
    let hours = list(&usage["cacheDetails"]).filter(|row| row["ttl"] == "1h");
    let written_1h = hours.map(|row| count(row, "inputTokens")).sum();
    out.parts = Parts { read, written, written_1h, reasoning: 0 };
    out.tokens = Some((count(usage, "inputTokens") + read + written, count(usage, "outputTokens")));
}
