//! OpenAI's dialect, and that of those who copy it.

use serde_json::{Value, json};

use super::super::exchange::{list, number};
use super::{Draft, Expected, Parts, count, is_counted, json_text, note, told};

pub(super) fn read(bodies: &[Value], out: &mut Expected, calls: &mut Vec<Draft>) {
    let place = |choice: &Value| number(&choice["index"]).unwrap_or(0);
    // Of several answers, which we do not ask for, the one that is told first.
    let first = bodies.iter().find_map(|body| list(&body["choices"]).map(place).min());
    let (mut is_served, is_whole) = (false, bodies.len() == 1);
    for body in bodies {
        let choice = list(&body["choices"]).find(|choice| Some(place(choice)) == first).unwrap_or(&Value::Null);
        if let Some(model) = told([&body["model"]]).next() {
            out.model.get_or_insert(model.to_owned());
        }
        for counts in [&body["x_groq"]["usage"], &choice["usage"], &body["usage"]] {
            usage(counts, out);
        }
        for name in ["prompt_filter_results", "provider", "citations", "search_results", "usage_breakdown", "mcp_list_tools"] {
            note(out, name, &body[name]);
        }
        for name in ["cost", "cost_details", "search_context_size"] {
            note(out, name, &body["usage"][name]);
        }
        note(out, "usage_breakdown", &body["x_groq"]["usage_breakdown"]);
        for name in ["content_filter_results", "stop_reason"] {
            note(out, name, &choice[name]);
        }
        // Some tell what there is so far beside each piece.
        let places = if is_whole { ["message", "delta"] } else { ["delta", "message"] };
        let single = places.into_iter().map(|name| &choice[name]).find(|message| message.is_object()).unwrap_or(&Value::Null);
        // Mistral tells what it said, what it called and what that answered.
        for message in list(&choice["messages"]).chain([single]) {
            is_served = told([&message["role"]]).next().map_or(is_served, |role| role == "tool");
            if is_served {
                calls.iter_mut().filter(|call| message["tool_call_id"] == call.id).for_each(|call| call.is_answered = true);
            } else {
                said(message, out);
                called(message, is_whole, out, calls);
            }
        }
        if let Some(reason) = told([&choice["finish_reason"]]).next() {
            out.finish = Some(reason.to_owned());
        }
    }
}

fn usage(usage: &Value, out: &mut Expected) {
    if !is_counted(usage, &["prompt_tokens", "completion_tokens"]) {
        return;
    }
    let (prompt, answered) = (count(usage, "prompt_tokens"), count(usage, "completion_tokens"));
    // Thoughts may be counted beside the answer, and sound or what a cache holds beside the prompt.
    let cached = count(usage, "cache_read_input_tokens") + count(usage, "cache_creation_input_tokens");
    let beside = count(&usage["prompt_tokens_details"], "audio_tokens") + cached;
    let rest = count(usage, "total_tokens").checked_sub(prompt + beside).filter(|_| usage["prompt_tokens"].is_number());
    let (mut read, mut written) = (
        vec!["cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens"],
        vec!["cache_write_tokens", "cache_creation_tokens"],
    );
    let (prompt, answered) = match rest.filter(|rest| *rest >= answered) {
        None => (prompt, answered),
        Some(rest) => (prompt + beside, rest),
    };
    if cached <= prompt {
        read.push("cache_read_input_tokens");
        written.push("cache_creation_input_tokens");
    }
    let reasoning = named(usage, &["reasoning_tokens"]);
    out.tokens = Some((prompt, answered));
    out.parts = Parts {
        read: named(usage, &read),
        written: named(usage, &written),
        written_1h: 0,
        reasoning: if reasoning > answered { 0 } else { reasoning },
    };
}

/// The largest number of one of these names, wherever it stands.
fn named(value: &Value, names: &[&str]) -> u64 {
    let fields = value.as_object().into_iter().flatten();
    let found = fields.map(|(name, inner)| match number(inner) {
        Some(number) if names.contains(&name.as_str()) => number,
        _ => named(inner, names),
    });
    found.max().unwrap_or(0)
}

/// Reads what a message, or a piece of one, says.
fn said(message: &Value, out: &mut Expected) {
    note(out, "context", &message["context"]);
    // Told as it begins and as it ends.
    for tool in list(&message["executed_tools"]) {
        let tools = out.extra.entry("executed_tools").or_insert_with(|| json!([])).as_array_mut().unwrap();
        tools.retain(|known| known["index"] != tool["index"]);
        tools.push(tool.clone());
    }
    match &message["content"] {
        Value::String(text) => out.text.push_str(text),
        Value::Null | Value::Array(_) => {}
        value => out.text.push_str(&value.to_string()),
    }
    for part in list(&message["content"]) {
        out.text.push_str(part["text"].as_str().or(part.as_str()).unwrap_or_default());
        out.reasoning.push_str(part["thinking"].as_str().unwrap_or_default());
        out.reasoning.extend(list(&part["thinking"]).filter_map(|text| text["text"].as_str()));
        out.signatures.extend(told([&part["signature"]]).map(str::to_owned));
    }
    let refusal = message["refusal"].as_str().unwrap_or_default();
    out.text.push_str(refusal);
    out.refused |= !refusal.is_empty();
    // The same thought stands under up to three names.
    let details = list(&message["reasoning_details"]);
    let detailed: String = details.clone().filter_map(|detail| detail["text"].as_str().or(detail["summary"].as_str())).collect();
    let thought = told([&message["reasoning_content"], &message["reasoning"]]).next().unwrap_or(&detailed);
    out.reasoning.push_str(thought);
    let proofs = details.flat_map(|detail| [&detail["signature"], &detail["data"]]);
    out.signatures.extend(told(proofs).map(str::to_owned));
}

/// Reads the calls of a message, or the pieces of some.
fn called(message: &Value, is_whole: bool, out: &mut Expected, calls: &mut Vec<Draft>) {
    let several = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let single = (several.is_empty() && message["function_call"].is_object())
        .then(|| json!({"index": 0, "function": message["function_call"]}));
    for call in several.iter().chain(&single) {
        let (function, arguments) = match &call["custom"] {
            Value::Null => (&call["function"], "arguments"),
            custom => (custom, "input"),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, name, number) = (text(&call["id"]), text(&function["name"]), number(&call["index"]));
        let known = if is_whole { None } else { begun(calls, &id, &name, number) };
        let at = known.unwrap_or_else(|| {
            calls.push(Draft { number, id, ..Draft::default() });
            calls.len() - 1
        });
        if calls[at].name.is_empty() {
            calls[at].name = name;
        }
        calls[at].arguments.push_str(&json_text(&function[arguments]));
        out.signatures.extend(told(call.pointer("/extra_content/google/thought_signature")).map(str::to_owned));
    }
}

/// The call that a piece belongs to, if it was begun: the one with its id, else with its number, else the last. A name on another
/// number, with another id, or after whole arguments begins another.
fn begun(calls: &[Draft], id: &str, name: &str, number: Option<u64>) -> Option<usize> {
    let is_number = |call: &Draft| number.is_none() || call.number.is_none() || call.number == number;
    let has_id = |call: &Draft| !id.is_empty() && call.id == id && (name.is_empty() || is_number(call));
    let goes_on = |call: &Draft| match () {
        () if name.is_empty() || call.name.is_empty() => true,
        () if id.is_empty() => serde_json::from_str::<Value>(&call.arguments).is_err(),
        () => call.id.is_empty(),
    };
    let last = calls.iter().rposition(is_number).filter(|at| goes_on(&calls[*at]));
    calls.iter().rposition(has_id).or(last)
}
