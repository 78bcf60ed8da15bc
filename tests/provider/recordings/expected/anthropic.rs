//! Claude's dialect.

use serde_json::{Map, Value};

use super::super::exchange::{list, number};
use super::{Draft, Expected, Parts, count, is_counted, json_text, note, sign};

pub(super) fn read(bodies: &[Value], out: &mut Expected, calls: &mut Vec<Draft>) {
    let mut usage = Map::new();
    for body in bodies {
        let message = if body["message"].is_object() { &body["message"] } else { body };
        if let Some(model) = message["model"].as_str() {
            out.model = Some(model.to_owned());
        }
        // Later snapshots may lack what earlier ones had.
        let counts = message["usage"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        usage.extend(counts.map(|(name, value)| (name.clone(), value.clone())));
        note(out, "context_management", &body["context_management"]);
        let reason = body["stop_reason"].as_str().or(body["delta"]["stop_reason"].as_str());
        out.finish = reason.map(str::to_owned).or(out.finish.take());
        let at = number(&body["index"]);
        for block in list(&body["content"]).chain(body.get("content_block")) {
            self::block(block, at, out, calls);
        }
        let delta = &body["delta"];
        out.citations.extend(delta.get("citation").map(Value::to_string));
        out.text.push_str(delta["text"].as_str().unwrap_or_default());
        out.reasoning.push_str(delta["thinking"].as_str().unwrap_or_default());
        sign(out, at, &delta["signature"]);
        if let (Some(json), Some(call)) = (delta["partial_json"].as_str(), calls.iter_mut().find(|call| call.number == at)) {
            call.arguments.push_str(json);
        }
    }
    let usage = Value::Object(usage);
    note(out, "iterations", &usage["iterations"]);
    counted(&usage, out);
}

fn block(block: &Value, number: Option<u64>, out: &mut Expected, calls: &mut Vec<Draft>) {
    let text = |name: &str| block[name].as_str().unwrap_or_default();
    match text("type") {
        "text" => {
            out.text.push_str(text("text"));
            out.citations.extend(list(&block["citations"]).map(Value::to_string));
        }
        "thinking" => {
            out.reasoning.push_str(text("thinking"));
            sign(out, number, &block["signature"]);
        }
        "redacted_thinking" => out.signatures.push(text("data").to_owned()),
        "tool_use" => {
            let has_input = block["input"].as_object().is_none_or(|input| !input.is_empty());
            let arguments = if has_input { json_text(&block["input"]) } else { String::new() };
            let (id, name) = (text("id").to_owned(), text("name").to_owned());
            calls.push(Draft { number, id, name, arguments, is_answered: false });
        }
        _ => {}
    }
}

/// The sums leave out what it took to make the conversation shorter.
fn counted(usage: &Value, out: &mut Expected) {
    if !is_counted(usage, &["input_tokens", "output_tokens"]) {
        return;
    }
    let (mut prompt, mut completion) = (0, 0);
    let compactions = list(&usage["iterations"]).filter(|iteration| iteration["type"] == "compaction");
    for usage in compactions.chain([usage]) {
        let Parts { read, written, written_1h, reasoning } = out.parts;
        let (more_read, more_written) = (count(usage, "cache_read_input_tokens"), count(usage, "cache_creation_input_tokens"));
        prompt += count(usage, "input_tokens") + more_read + more_written;
        completion += count(usage, "output_tokens");
        out.parts = Parts {
            read: read + more_read,
            written: written + more_written,
            written_1h: written_1h + count(&usage["cache_creation"], "ephemeral_1h_input_tokens"),
            reasoning: reasoning + count(&usage["output_tokens_details"], "thinking_tokens"),
        };
    }
    out.tokens = Some((prompt, completion));
}
