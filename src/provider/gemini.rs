//! Gemini's dialect (`:generateContent` and `:streamGenerateContent?alt=sse`), on Vertex AI and the developer API.
//!
//! Calls may come without ids, `STOP` is told even where tools are to be called, a stream has no last marker beside its finish
//! reason, and a blocked prompt has no candidate at all. A signature that came with a part must go back with that part: on a call
//! it is [`ToolCall::signature`](crate::chat::ToolCall::signature), on a text it is a thought of no text behind it.

mod answer;

use std::collections::BTreeMap;

pub(super) use self::answer::{Decoder, decode};
use serde_json::{Map, Value, json};

use super::arguments::{Place, has_lost_digits};
use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::id::is_made_up;
use super::media::titled;
use super::turn::{answered, arguments, inner_text, system, turns};
use crate::chat::{ChatRequest, Effort, Media, Part, ResponseFormat, Role, Source, ToolChoice, ToolResult, Warning, Warnings};
use crate::error::{Error, Result};

/// Arguments of calls in a whole answer.
pub(super) const ARGUMENTS: Place = ("/candidates/0/content/parts", "/functionCall/args");

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["model", "contents", "systemInstruction", "system_instruction"];

/// What Google's JSON Schema fields understand; other keywords are refused.
const KEYWORDS: &[&str] = &[
    "$id",
    "$defs",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "properties",
    "additionalProperties",
    "required",
    "propertyOrdering",
];

/// Writes the body of one chat turn. Model and streaming are a matter of the path.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, warnings: &mut Warnings) -> Result<Body> {
    let mut body = Body::default();
    let names = call_names(request);
    let mut contents = Vec::new();
    for turn in turns(request) {
        let role = if turn.role == Role::Assistant { "model" } else { "user" };
        let parts = parts(turn.parts, &names, caps, warnings)?;
        if !parts.is_empty() {
            contents.push(json!({"role": role, "parts": parts}));
        }
    }
    body.set("contents", contents);
    let system = parts(system(request), &names, caps, warnings)?;
    if !system.is_empty() {
        body.set("systemInstruction", json!({"parts": system}));
    }
    let sampling = &request.sampling;
    let mut config = Body::default();
    config.set_some("temperature", sampling.temperature);
    config.set_some("topP", sampling.top_p);
    config.set_some("topK", sampling.top_k);
    config.set_some("maxOutputTokens", sampling.max_tokens);
    config.set_list("stopSequences", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    config.set_some("seed", sampling.seed);
    config.set_some("presencePenalty", sampling.presence_penalty);
    config.set_some("frequencyPenalty", sampling.frequency_penalty);
    match &request.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => config.set("responseMimeType", "application/json"),
        ResponseFormat::JsonSchema { schema, .. } => {
            config.set("responseMimeType", "application/json");
            config.set("responseJsonSchema", schema.clone());
        }
    }
    config.set_object("thinkingConfig", thinking(request, caps.reasoning));
    body.set_object("generationConfig", config);
    if !request.tools.is_empty() {
        let declarations: Vec<Value> = request.tools.iter().map(|tool| declaration(tool, warnings)).collect();
        body.set("tools", json!([{"functionDeclarations": declarations}]));
    }
    if let Some(choice) = &request.tool_choice {
        let calling = match choice {
            ToolChoice::Auto => json!({"mode": "AUTO"}),
            ToolChoice::None => json!({"mode": "NONE"}),
            ToolChoice::Required => json!({"mode": "ANY"}),
            ToolChoice::Tool(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        body.set("toolConfig", json!({"functionCallingConfig": calling}));
    }
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

fn thinking(request: &ChatRequest, mode: ReasoningMode) -> Body {
    let mut config = Body::default();
    let Some(reasoning) = request.reasoning else { return config };
    match (mode, reasoning.effort, reasoning.budget_tokens) {
        (ReasoningMode::Level, Some(effort), _) => config.set("thinkingLevel", effort.as_str().to_uppercase()),
        (ReasoningMode::Budget, Some(Effort::None), _) => config.set("thinkingBudget", 0),
        (ReasoningMode::Budget, _, Some(budget)) => config.set("thinkingBudget", budget),
        _ => {}
    }
    config.set_some("includeThoughts", reasoning.show);
    config
}

fn declaration(tool: &crate::chat::Tool, warnings: &mut Warnings) -> Value {
    let mut out = Body::default();
    out.set("name", tool.name.as_str());
    out.set_some("description", tool.description.as_deref());
    let mut left_out = Vec::new();
    let schema = narrowed(&tool.parameters, &mut left_out);
    left_out.sort_unstable();
    left_out.dedup();
    if !left_out.is_empty() {
        let detail = format!("Google's schemas do not know {}", left_out.join(", "));
        warnings.push(Warning::dropped(format!("tools.{}.parameters", tool.name), detail));
    }
    let is_empty = |value: &Value| value.as_object().is_none_or(Map::is_empty);
    let says_nothing = ["properties", "additionalProperties"].iter().all(|name| schema.get(*name).is_none_or(is_empty));
    if !says_nothing || ["$ref", "anyOf", "oneOf"].iter().any(|name| schema.get(*name).is_some()) {
        out.set("parametersJsonSchema", schema);
    }
    Value::Object(out.0)
}

/// The schema with known keywords only. `const` is an enumeration of one.
fn narrowed(schema: &Value, left_out: &mut Vec<String>) -> Value {
    let Some(fields) = schema.as_object() else { return schema.clone() };
    let mut out = Map::new();
    for (name, value) in fields {
        let value = match (name.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                let inner = named.iter().map(|(name, schema)| (name.clone(), narrowed(schema, left_out)));
                let name = if name == "definitions" { "$defs" } else { name };
                out.insert(name.to_owned(), Value::Object(inner.collect()));
                continue;
            }
            ("anyOf" | "oneOf" | "prefixItems", Value::Array(items)) => {
                items.iter().map(|item| narrowed(item, left_out)).collect()
            }
            // The patterns of its names are left out; what they hold is what the object may hold.
            ("additionalProperties", Value::Bool(false)) if fields.contains_key("patternProperties") => {
                let patterns = fields["patternProperties"].as_object().into_iter().flatten();
                match patterns.map(|(_, schema)| narrowed(schema, left_out)).collect::<Vec<_>>().as_slice() {
                    [] => false.into(),
                    [one] => one.clone(),
                    several => json!({"anyOf": several}),
                }
            }
            ("items" | "additionalProperties", value) => narrowed(value, left_out),
            ("const", value) => {
                out.insert("enum".to_owned(), vec![value.clone()].into());
                continue;
            }
            ("$ref", Value::String(target)) => target.replacen("#/definitions/", "#/$defs/", 1).into(),
            (name, value) if KEYWORDS.contains(&name) => value.clone(),
            ("$schema" | "$comment", _) => continue,
            _ => {
                left_out.push(format!("`{name}`"));
                continue;
            }
        };
        out.insert(name.clone(), value);
    }
    // Beside a reference Google takes nothing that does not begin with `$`.
    if out.contains_key("$ref") && out.keys().any(|name| !name.starts_with('$')) {
        let target = out.shift_remove("$ref");
        if out.contains_key("anyOf") {
            left_out.push("`$ref` beside `anyOf`".to_owned());
        } else {
            out.insert("anyOf".to_owned(), json!([{"$ref": target}]));
        }
    }
    Value::Object(out)
}

/// The tools' names by the ids of their calls: an answer is told by the name.
fn call_names(request: &ChatRequest) -> BTreeMap<&str, &str> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let calls = parts.filter_map(|part| match part {
        Part::ToolCall(call) => Some((call.id.as_str(), call.name.as_str())),
        _ => None,
    });
    calls.collect()
}

fn parts<'a>(
    said: impl IntoIterator<Item = &'a Part>,
    names: &BTreeMap<&str, &str>,
    caps: &Capabilities,
    warnings: &mut Warnings,
) -> Result<Vec<Value>> {
    let mut out: Vec<Value> = Vec::new();
    let mut unsigned = true;
    for part in said {
        match part {
            Part::Text(text) | Part::Refusal(text) => out.push(json!({"text": text})),
            Part::Image(media) => out.push(file(media)?),
            Part::Document(media) => match &media.source {
                Source::Text(text) => out.push(json!({"text": titled(media.name.as_deref(), text)})),
                _ => out.push(file(media)?),
            },
            Part::Reasoning(thought) => match (&thought.signature, out.last_mut()) {
                (None, _) => warnings.push(Warning::dropped("reasoning", "a thought without a signature has no use")),
                (Some(signature), Some(before))
                    if thought.text.is_empty() && before.get("text").is_some() && before.get("thoughtSignature").is_none() =>
                {
                    before["thoughtSignature"] = signature.as_str().into();
                }
                (Some(signature), _) if thought.text.is_empty() => out.push(json!({"text": "", "thoughtSignature": signature})),
                (Some(signature), _) => {
                    out.push(json!({"text": thought.text, "thought": true, "thoughtSignature": signature}));
                }
            },
            Part::ToolCall(call) => {
                let mut function = json!({"name": call.name, "args": arguments(&call.arguments, warnings)});
                if !is_made_up(&call.id) {
                    function["id"] = call.id.as_str().into();
                }
                let mut value = json!({"functionCall": function});
                let dummy = Some(caps.missing_signature.as_str()).filter(|dummy| unsigned && !dummy.is_empty());
                if let (None, Some(dummy)) = (&call.signature, dummy) {
                    let detail = format!("the call of `{}` has none: `{dummy}`", call.name);
                    warnings.push(Warning::changed("tool_call.signature", detail));
                }
                if let Some(signature) = call.signature.as_deref().or(dummy) {
                    value["thoughtSignature"] = signature.into();
                }
                // Of parallel calls only the first is signed.
                unsigned = false;
                out.push(value);
            }
            Part::ToolResult(result) => {
                let name = names.get(result.call_id.as_str()).copied().unwrap_or(&result.call_id);
                let mut response = json!({"name": name, "response": response(result, warnings)});
                if !is_made_up(&result.call_id) {
                    response["id"] = result.call_id.as_str().into();
                }
                out.push(json!({"functionResponse": response}));
                for shown in result.content.iter().filter(|part| matches!(part, Part::Image(_) | Part::Document(_))) {
                    out.extend(parts([shown], names, caps, warnings)?);
                }
            }
            Part::Raw(raw) if raw.dialect == "gemini" => out.push(raw.value.clone()),
            Part::Raw(raw) => out.extend(inner_text(raw, "raw", warnings).map(|text| json!({"text": text}))),
            Part::CachePoint(_) | Part::Citation(_) => {}
        }
    }
    Ok(out)
}

/// An object, as Google wants it: the tool's own, where its text is one and loses no digits.
fn response(result: &ToolResult, warnings: &mut Warnings) -> Value {
    let text = answered(result, warnings);
    let key = if result.is_error { "error" } else { "output" };
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) if !result.is_error && !has_lost_digits(&value, &text) => value,
        _ => json!({ key: text }),
    }
}

fn file(media: &Media) -> Result<Value> {
    Ok(match &media.source {
        Source::Base64 { media_type, data } => json!({"inlineData": {"mimeType": media_type, "data": **data}}),
        Source::Url { url, media_type } => {
            let kind = media_type.clone().or_else(|| guessed(url)).ok_or_else(|| {
                Error::bad_request("`messages`: Gemini needs the media type of an address; name it, or send the bytes as base64")
            })?;
            json!({"fileData": {"mimeType": kind, "fileUri": url}})
        }
        Source::Text(text) => json!({"text": text}),
    })
}

/// The media type that the end of an address stands for.
fn guessed(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next()?.to_ascii_lowercase();
    let kind = match path.rsplit_once('.')?.1 {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        _ => return None,
    };
    Some(kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_whose_names_have_patterns_can_still_hold_something() {
        let parameters =
            json!({"type": "object", "patternProperties": {"^[a-z]+$": {"type": "integer"}}, "additionalProperties": false});
        let tool = crate::chat::Tool { name: "f".into(), parameters, ..crate::chat::Tool::default() };
        let mut warnings = Warnings::default();
        let told = declaration(&tool, &mut warnings);
        assert_eq!(told["parametersJsonSchema"], json!({"type": "object", "additionalProperties": {"type": "integer"}}));
        assert!(warnings.into_vec()[0].to_string().contains("do not know `patternProperties`"));
        let none = json!({"type": "object", "patternProperties": {}, "additionalProperties": false});
        assert_eq!(narrowed(&none, &mut Vec::new()), json!({"type": "object", "additionalProperties": false}));
    }
}
