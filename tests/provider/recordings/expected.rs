//! What must come out of a recorded exchange, found in its raw body by the vendors' own names: it knows nothing of our readers.

use omni_llm::provider::Dialect;
use serde_json::{Map, Value};

/// What must come out of an exchange.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) signatures: Vec<String>,
    /// Names, and arguments as JSON.
    pub(super) calls: Vec<(String, Value)>,
    pub(super) ids: Vec<String>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) parts: Parts,
    pub(super) finish: Option<String>,
    /// What the text rests on, as Claude says it.
    pub(super) citations: Vec<String>,
    /// How many blocks only Bedrock knows.
    pub(super) raws: usize,
    /// Whether some of the text is a refusal of the model's.
    pub(super) refused: bool,
    pub(super) model: Option<String>,
    /// What only this provider says.
    pub(super) extra: Map<String, Value>,
}

/// What of the tokens was cached, and how, and what was thought.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Parts {
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) written_1h: u64,
    pub(super) reasoning: u64,
}

/// Looks for what must come out, in one body or in the frames of a stream.
pub(super) fn expected(dialect: Dialect, bodies: &[Value]) -> Expected {
    let mut out = Expected::default();
    let mut calls: Vec<Draft> = Vec::new();
    for body in bodies {
        match dialect {
            Dialect::OpenAi => openai(body, &mut out, &mut calls),
            Dialect::Anthropic => anthropic(body, &mut out, &mut calls),
            Dialect::Bedrock => bedrock(body, &mut out, &mut calls),
            Dialect::Gemini => gemini(body, &mut out, &mut calls),
            Dialect::Cohere => cohere(body, &mut out, &mut calls),
        }
    }
    for call in calls {
        let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        out.calls.push((call.name, serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into())));
        out.ids.push(call.id);
    }
    out
}

#[derive(Debug, Default)]
struct Draft {
    key: String,
    id: String,
    name: String,
    arguments: String,
}

/// Notes a fact; of several in a stream the last that says anything counts.
fn note(out: &mut Expected, name: &str, value: &Value) {
    if ![Value::Null, serde_json::json!({}), serde_json::json!([])].contains(value) {
        out.extra.insert(name.to_owned(), value.clone());
    }
}

fn json_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

fn openai(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    if let Some(model) = body["model"].as_str().filter(|model| !model.is_empty()) {
        out.model.get_or_insert(model.to_owned());
    }
    for usage in [&body["x_groq"]["usage"], &body["choices"][0]["usage"], &body["usage"]] {
        if usage.is_object() {
            out.prompt_tokens = Some(number(&usage["prompt_tokens"]).unwrap_or(0));
            let (answered, total) = (number(&usage["completion_tokens"]).unwrap_or(0), number(&usage["total_tokens"]));
            // Thoughts may be counted beside the answer.
            let beside = total.and_then(|total| total.checked_sub(out.prompt_tokens?)).unwrap_or(0);
            out.completion_tokens = Some(answered.max(beside));
            out.parts = Parts {
                read: named(usage, &["cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens"]),
                written: named(usage, &["cache_write_tokens"]),
                written_1h: 0,
                reasoning: named(usage, &["reasoning_tokens"]),
            };
        }
    }
    let choice = match first(&body["choices"]) {
        Value::Null if body["choices"][0]["message"].is_object() => &body["choices"][0],
        choice => choice,
    };
    for name in ["prompt_filter_results", "citations", "search_results", "usage_breakdown", "mcp_list_tools"] {
        note(out, name, &body[name]);
    }
    note(out, "content_filter_results", &choice["content_filter_results"]);
    let message = if choice["message"].is_object() { &choice["message"] } else { &choice["delta"] };
    // Told as it begins and as it ends.
    for tool in message["executed_tools"].as_array().into_iter().flatten() {
        let tools = out.extra.entry("executed_tools").or_insert_with(|| Value::Array(Vec::new())).as_array_mut().unwrap();
        tools.retain(|known| known["index"] != tool["index"]);
        tools.push(tool.clone());
    }
    match &message["content"] {
        Value::String(text) => out.text.push_str(text),
        Value::Array(parts) => {
            for part in parts {
                out.text.push_str(part["text"].as_str().unwrap_or_default());
                match &part["thinking"] {
                    Value::Array(texts) => {
                        texts.iter().for_each(|text| out.reasoning.push_str(text["text"].as_str().unwrap_or_default()));
                    }
                    text => out.reasoning.push_str(text.as_str().unwrap_or_default()),
                }
            }
        }
        _ => {}
    }
    let refusal = message["refusal"].as_str().unwrap_or_default();
    out.text.push_str(refusal);
    let details = message["reasoning_details"].as_array().into_iter().flatten();
    let detailed: String = details.clone().filter_map(|detail| detail["text"].as_str().or(detail["summary"].as_str())).collect();
    let thought = message["reasoning_content"].as_str().or(message["reasoning"].as_str()).unwrap_or(&detailed);
    out.reasoning.push_str(thought);
    for proof in details.flat_map(|detail| [&detail["signature"], &detail["data"]]) {
        out.signatures.extend(proof.as_str().filter(|proof| !proof.is_empty()).map(str::to_owned));
    }
    let several = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let single = (several.is_empty() && message["function_call"].is_object())
        .then(|| serde_json::json!({"function": message["function_call"]}));
    for call in several.iter().chain(&single) {
        let (function, arguments) = match &call["custom"] {
            Value::Null => (&call["function"], "arguments"),
            custom => (custom, "input"),
        };
        let (id, name) = (call["id"].as_str().unwrap_or_default(), function["name"].as_str().unwrap_or_default());
        let key = call["index"].to_string();
        let begins = !name.is_empty() && (id.is_empty() || !calls.iter().any(|call| call.id == id));
        if begins || calls.is_empty() {
            calls.push(Draft { key: key.clone(), id: id.into(), name: name.into(), arguments: String::new() });
        }
        let at = calls.iter().rposition(|call| !id.is_empty() && call.id == id);
        let at = at.or_else(|| calls.iter().rposition(|call| call.key == key)).unwrap();
        calls[at].arguments.push_str(&json_text(&function[arguments]));
        if let Some(signature) = call.pointer("/extra_content/google/thought_signature").and_then(Value::as_str) {
            out.signatures.push(signature.to_owned());
        }
    }
    out.refused |= !refusal.is_empty();
    if let Some(reason) = choice["finish_reason"].as_str().filter(|reason| !reason.is_empty()) {
        out.finish = Some(if out.refused { "refusal" } else { reason }.to_owned());
    }
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

fn anthropic(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    let message = if body["message"].is_object() { &body["message"] } else { body };
    if let Some(model) = message["model"].as_str() {
        out.model = Some(model.to_owned());
    }
    let usage = if message["usage"].is_object() { &message["usage"] } else { &body["usage"] };
    if usage.is_object() {
        let count = |name: &str| number(&usage[name]);
        let input = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"].map(count);
        // Later snapshots may lack what earlier ones had.
        if input.iter().any(Option::is_some) && (input[0].is_some() || out.prompt_tokens.is_none()) {
            out.prompt_tokens = Some(input.into_iter().flatten().sum());
        }
        out.completion_tokens = count("output_tokens").or(out.completion_tokens);
        let before = out.parts;
        out.parts = Parts {
            read: count("cache_read_input_tokens").unwrap_or(before.read),
            written: count("cache_creation_input_tokens").unwrap_or(before.written),
            written_1h: number(&usage["cache_creation"]["ephemeral_1h_input_tokens"]).unwrap_or(before.written_1h),
            reasoning: number(&usage["output_tokens_details"]["thinking_tokens"]).unwrap_or(before.reasoning),
        };
    }
    note(out, "context_management", &body["context_management"]);
    note(out, "iterations", &usage["iterations"]);
    let reason = body["stop_reason"].as_str().or(body["delta"]["stop_reason"].as_str());
    out.finish = reason.map(str::to_owned).or(out.finish.take());
    let single = body["content_block"].is_object().then(|| body["content_block"].clone());
    for block in body["content"].as_array().into_iter().flatten().chain(&single) {
        match block["type"].as_str().unwrap_or_default() {
            "text" => {
                out.text.push_str(block["text"].as_str().unwrap_or_default());
                out.citations.extend(block["citations"].as_array().into_iter().flatten().map(Value::to_string));
            }
            "thinking" => {
                out.reasoning.push_str(block["thinking"].as_str().unwrap_or_default());
                out.signatures.extend(block["signature"].as_str().filter(|text| !text.is_empty()).map(str::to_owned));
            }
            "redacted_thinking" => out.signatures.extend(block["data"].as_str().map(str::to_owned)),
            "tool_use" => calls.push(Draft {
                key: body["index"].to_string(),
                id: block["id"].as_str().unwrap().into(),
                name: block["name"].as_str().unwrap().into(),
                arguments: if block["input"].as_object().is_some_and(|input| !input.is_empty()) {
                    block["input"].to_string()
                } else {
                    String::new()
                },
            }),
            _ => {}
        }
    }
    let delta = &body["delta"];
    out.citations.extend(delta.get("citation").map(Value::to_string));
    out.text.push_str(delta["text"].as_str().unwrap_or_default());
    out.reasoning.push_str(delta["thinking"].as_str().unwrap_or_default());
    out.signatures.extend(delta["signature"].as_str().filter(|text| !text.is_empty()).map(str::to_owned));
    let key = body["index"].to_string();
    if let (Some(json), Some(call)) = (delta["partial_json"].as_str(), calls.iter_mut().find(|call| call.key == key)) {
        call.arguments.push_str(json);
    }
}

fn bedrock(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    let usage = if body["metadata"].is_object() { &body["metadata"]["usage"] } else { &body["usage"] };
    if usage.is_object() {
        let count = |names: [&str; 2]| names.iter().filter_map(|name| number(&usage[*name])).max().unwrap_or(0);
        let read = count(["cacheReadInputTokens", "cacheReadInputTokenCount"]);
        let written = count(["cacheWriteInputTokens", "cacheWriteInputTokenCount"]);
        let hours = usage["cacheDetails"].as_array().into_iter().flatten().filter(|row| row["ttl"] == "1h");
        let written_1h = hours.filter_map(|row| number(&row["inputTokens"])).sum();
        out.parts = Parts { read, written, written_1h, reasoning: 0 };
        out.prompt_tokens = Some(number(&usage["inputTokens"]).unwrap_or(0) + read + written);
        out.completion_tokens = Some(number(&usage["outputTokens"]).unwrap_or(0));
    }
    let reason = body["stopReason"].as_str().or(body["messageStop"]["stopReason"].as_str());
    out.finish = reason.map(str::to_owned).or(out.finish.take());
    let start = &body["contentBlockStart"]["start"];
    let is_served = |call: &Value| call["type"] == "server_tool_use";
    let is_own = |block: &Value| is_served(&block["toolUse"]) || block["toolResult"].is_object() || block["image"].is_object();
    out.raws += usize::from(is_own(start));
    let start = &start["toolUse"];
    if start.is_object() && !is_served(start) {
        let key = body["contentBlockStart"]["contentBlockIndex"].to_string();
        calls.push(Draft {
            key,
            id: start["toolUseId"].as_str().unwrap().into(),
            name: start["name"].as_str().unwrap().into(),
            arguments: String::new(),
        });
    }
    let delta = &body["contentBlockDelta"]["delta"];
    out.text.push_str(delta["text"].as_str().unwrap_or_default());
    let thought = &delta["reasoningContent"];
    out.reasoning.push_str(thought["text"].as_str().unwrap_or_default());
    out.signatures.extend(
        [&thought["signature"], &thought["redactedContent"]]
            .into_iter()
            .filter_map(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
    );
    if let Some(json) = delta["toolUse"]["input"].as_str() {
        let key = body["contentBlockDelta"]["contentBlockIndex"].to_string();
        if let Some(call) = calls.iter_mut().rfind(|call| call.key == key) {
            call.arguments.push_str(json);
        }
    }
    for block in body["output"]["message"]["content"].as_array().into_iter().flatten() {
        out.text.push_str(block["text"].as_str().unwrap_or_default());
        for text in block["citationsContent"]["content"].as_array().into_iter().flatten() {
            out.text.push_str(text["text"].as_str().unwrap_or_default());
        }
        let thought = &block["reasoningContent"];
        out.reasoning.push_str(thought["reasoningText"]["text"].as_str().unwrap_or_default());
        let proofs = [&thought["reasoningText"]["signature"], &thought["redactedContent"]];
        out.signatures.extend(proofs.into_iter().filter_map(Value::as_str).map(str::to_owned));
        out.raws += usize::from(is_own(block));
        let call = &block["toolUse"];
        if call.is_object() && !is_served(call) {
            calls.push(Draft {
                key: String::new(),
                id: call["toolUseId"].as_str().unwrap().into(),
                name: call["name"].as_str().unwrap().into(),
                arguments: json_text(&call["input"]),
            });
        }
    }
}

fn gemini(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    if let Value::Array(chunks) = body {
        chunks.iter().for_each(|chunk| gemini(chunk, out, calls));
        return;
    }
    if let Some(model) = body["modelVersion"].as_str() {
        out.model.get_or_insert(model.to_owned());
    }
    let usage = &body["usageMetadata"];
    note(out, "service_tier", &usage["serviceTier"]);
    note(out, "trafficType", &usage["trafficType"]);
    if usage["totalTokenCount"].is_number() {
        let count = |name: &str| number(&usage[name]).unwrap_or(0);
        out.prompt_tokens = Some(count("promptTokenCount") + count("toolUsePromptTokenCount"));
        out.completion_tokens = Some(count("candidatesTokenCount") + count("thoughtsTokenCount"));
        out.parts.read = count("cachedContentTokenCount");
        out.parts.reasoning = count("thoughtsTokenCount");
    }
    if body["promptFeedback"]["blockReason"].is_string() {
        out.finish = Some("blocked".into());
    }
    let candidate = first(&body["candidates"]);
    for name in ["groundingMetadata", "safetyRatings", "urlContextMetadata", "logprobsResult", "avgLogprobs", "finishMessage"] {
        note(out, name, &candidate[name]);
    }
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        let text = part["text"].as_str().unwrap_or_default();
        if part["thought"] == true {
            out.reasoning.push_str(text);
        } else {
            out.text.push_str(text);
        }
        let call = &part["functionCall"];
        if call.is_object() {
            let id = call["id"].as_str().unwrap_or_default();
            if let Some(name) = call["name"].as_str() {
                calls.push(Draft { key: String::new(), id: id.into(), name: name.into(), arguments: json_text(&call["args"]) });
            }
            for piece in call["partialArgs"].as_array().into_iter().flatten() {
                let draft = calls.last_mut().unwrap();
                let mut arguments: Value = serde_json::from_str(&draft.arguments).unwrap_or_default();
                add(&mut arguments, piece);
                draft.arguments = arguments.to_string();
            }
        }
        let kept = call.is_object() || part["text"].is_string();
        out.signatures.extend(part["thoughtSignature"].as_str().filter(|text| kept && !text.is_empty()).map(str::to_owned));
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        out.finish = Some(reason.to_owned());
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

fn cohere(body: &Value, out: &mut Expected, calls: &mut Vec<Draft>) {
    let ending = if body["delta"].is_object() { &body["delta"] } else { body };
    let usage = &ending["usage"];
    if usage.is_object() {
        let counts = if usage["billed_units"].is_object() { &usage["billed_units"] } else { &usage["tokens"] };
        out.prompt_tokens = Some(number(&counts["input_tokens"]).unwrap_or(0));
        out.completion_tokens = Some(number(&counts["output_tokens"]).unwrap_or(0));
        // What was cached is a part of all tokens, not of those that are billed.
        let is_billed = usage["billed_units"].is_object();
        out.parts.read = number(&usage["cached_tokens"]).filter(|_| !is_billed).unwrap_or(0);
    }
    if let Some(reason) = ending["finish_reason"].as_str() {
        out.finish = Some(reason.to_owned());
    }
    let message = &ending["message"];
    out.reasoning.push_str(message["tool_plan"].as_str().unwrap_or_default());
    let single = message["content"].is_object().then(|| message["content"].clone());
    for block in message["content"].as_array().into_iter().flatten().chain(&single) {
        out.text.push_str(block["text"].as_str().unwrap_or_default());
        out.reasoning.push_str(block["thinking"].as_str().unwrap_or_default());
    }
    let piece = &message["tool_calls"];
    let single = piece.is_object().then(|| piece.clone());
    for call in piece.as_array().into_iter().flatten().chain(&single) {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        if body["type"] == "tool-call-delta" {
            calls.last_mut().unwrap().arguments.push_str(arguments);
            continue;
        }
        calls.push(Draft {
            key: String::new(),
            id: call["id"].as_str().unwrap_or_default().into(),
            name: call["function"]["name"].as_str().unwrap_or_default().into(),
            arguments: arguments.into(),
        });
    }
}

/// Of several answers the one with number 0.
pub(super) fn first(answers: &Value) -> &Value {
    let mut answers = answers.as_array().into_iter().flatten();
    answers.find(|answer| number(&answer["index"]).unwrap_or(0) == 0).unwrap_or(&Value::Null)
}

pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}
