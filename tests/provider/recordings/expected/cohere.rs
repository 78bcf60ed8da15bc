//! Cohere's chat, version 2.

use serde_json::Value;

use super::super::exchange::{list, number};
use super::{Draft, Expected, count, is_counted};

pub(super) fn read(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    let ending = if body["delta"].is_object() { &body["delta"] } else { body };
    counted(&ending["usage"], out);
    if let Some(reason) = ending["finish_reason"].as_str() {
        out.finish = Some(reason.to_owned());
    }
    let message = &ending["message"];
    out.reasoning.push_str(message["tool_plan"].as_str().unwrap_or_default());
    let content = &message["content"];
    out.text.push_str(content.as_str().unwrap_or_default());
    for block in list(content).chain([content].into_iter().filter(|content| content.is_object())) {
        out.text.push_str(block["text"].as_str().unwrap_or_default());
        out.reasoning.push_str(block["thinking"].as_str().unwrap_or_default());
    }
    let several = &message["tool_calls"];
    for call in list(several).chain([several].into_iter().filter(|call| call.is_object())) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (at, arguments) = (number(&body["index"]), text(&call["function"]["arguments"]));
        if body["type"] == "tool-call-delta" {
            let known = calls.iter_mut().rfind(|call| at.is_none() || call.number == at);
            known.unwrap().arguments.push_str(&arguments);
            continue;
        }
        let (id, name) = (text(&call["id"]), text(&call["function"]["name"]));
        calls.push(Draft { number: at, id, name, arguments, is_answered: false });
    }
}

fn counted(usage: &Value, out: &mut Expected) {
    let is_billed = is_counted(&usage["billed_units"], &["input_tokens"]);
    let counts = if is_billed { &usage["billed_units"] } else { &usage["tokens"] };
    if is_counted(counts, &["input_tokens", "output_tokens"]) {
        let prompt = count(counts, "input_tokens");
        out.tokens = Some((prompt, count(counts, "output_tokens")));
        // What was cached is a part of all tokens, not of those that are billed.
        out.parts.read = if is_billed { 0 } else { count(usage, "cached_tokens").min(prompt) };
    }
}
