//! Gemini's dialect.

use serde_json::Value;

use super::super::exchange::list;
use super::{Draft, Expected, count, is_counted, json_text, note, told};

pub(super) fn read(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    if let Value::Array(chunks) = body {
        chunks.iter().for_each(|chunk| read(chunk, out, calls));
        return;
    }
    if let Some(model) = body["modelVersion"].as_str() {
        out.model.get_or_insert(model.to_owned());
    }
    let usage = &body["usageMetadata"];
    note(out, "service_tier", &usage["serviceTier"]);
    note(out, "trafficType", &usage["trafficType"]);
    if is_counted(usage, &["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"]) {
        let [thoughts, cached] = ["thoughtsTokenCount", "cachedContentTokenCount"].map(|name| count(usage, name));
        let prompt = count(usage, "promptTokenCount") + count(usage, "toolUsePromptTokenCount");
        out.tokens = Some((prompt, count(usage, "candidatesTokenCount") + thoughts));
        (out.parts.read, out.parts.reasoning) = (cached, thoughts);
    }
    if body["promptFeedback"]["blockReason"].is_string() {
        out.finish = Some("blocked".into());
    }
    let mut candidates = list(&body["candidates"]);
    let candidate = candidates.find(|candidate| count(candidate, "index") == 0).unwrap_or(&Value::Null);
    for name in ["groundingMetadata", "safetyRatings", "avgLogprobs", "finishMessage"] {
        note(out, name, &candidate[name]);
    }
    join("logprobsResult", candidate, out, |_, _| true);
    // What is told again is the same.
    join("urlContextMetadata", candidate, out, |before, item| !before.contains(item));
    for part in list(&candidate["content"]["parts"]) {
        let text = part["text"].as_str().unwrap_or_default();
        if part["thought"] == true {
            out.reasoning.push_str(text);
        } else {
            out.text.push_str(text);
        }
        let call = &part["functionCall"];
        if call.is_object() {
            called(call, calls);
        }
        let kept = call.is_object() || part["text"].is_string();
        out.signatures.extend(told([&part["thoughtSignature"]]).filter(|_| kept).map(str::to_owned));
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        out.finish = Some(reason.to_owned());
    }
}

/// Notes a fact whose lists go on from piece to piece.
fn join(name: &str, candidate: &Value, out: &mut Expected, is_new: fn(&[Value], &Value) -> bool) {
    let Some(Value::Object(known)) = out.extra.get_mut(name) else { return note(out, name, &candidate[name]) };
    for (field, value) in candidate[name].as_object().into_iter().flatten() {
        match (known.get_mut(field), value) {
            (Some(Value::Array(before)), Value::Array(more)) => {
                let more: Vec<Value> = more.iter().filter(|item| is_new(before, item)).cloned().collect();
                before.extend(more);
            }
            _ => {
                known.insert(field.clone(), value.clone());
            }
        }
    }
}

fn called(call: &Value, calls: &mut Vec<Draft>) {
    if let Some(name) = call["name"].as_str() {
        let id = call["id"].as_str().unwrap_or_default();
        calls.push(Draft { id: id.into(), name: name.into(), arguments: json_text(&call["args"]), ..Draft::default() });
    }
    for piece in list(&call["partialArgs"]) {
        let draft = calls.last_mut().unwrap();
        let mut arguments: Value = serde_json::from_str(&draft.arguments).unwrap_or_default();
        add(&mut arguments, piece);
        draft.arguments = arguments.to_string();
    }
}

/// Puts a piece of arguments where its path says: `$.name`, `$.name.inner`, `$.list[0]`.
fn add(arguments: &mut Value, piece: &Value) {
    let path = piece["jsonPath"].as_str().unwrap().trim_start_matches('$').replace('[', ".").replace(']', "");
    let mut at = arguments;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        at = match name.parse::<usize>() {
            Ok(place) => {
                if !at.is_array() {
                    *at = Value::Array(Vec::new());
                }
                let list = at.as_array_mut().unwrap();
                list.resize(list.len().max(place + 1), Value::Null);
                &mut list[place]
            }
            Err(_) => &mut at[name],
        };
    }
    let text = at.as_str().unwrap_or_default().to_owned();
    *at = match &piece["stringValue"] {
        Value::String(more) => Value::String(text + more),
        _ => ["numberValue", "boolValue"].iter().find_map(|name| piece.get(*name)).cloned().unwrap_or_default(),
    };
}
