//! Gemini's dialect (`:generateContent` and `:streamGenerateContent?alt=sse`), on Vertex AI and the developer API.
//!
//! Calls may come without ids, `STOP` is told even where tools are to be called, a stream has no last marker beside its finish
//! reason, and a blocked prompt has no candidate at all. A signature that came with a part must go back with that part: on a call it
//! is [`ToolCall::signature`](crate::chat::ToolCall::signature), on a text it is a thought of no text behind it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::dialect::{State, cut, failed, parse, tokens};
use super::failure::{Refused, failure};
use super::openai::{made_up_id, titled};
use super::turn::{arguments, turns};
use crate::chat::{
    ChatEvent, ChatRequest, Effort, FinishReason, Media, Part, Raw, ResponseFormat, Role, Source, ToolChoice, ToolResult, Usage,
    Warning, plain,
};
use crate::error::{Code, Error, Result};

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
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, warnings: &mut Vec<Warning>) -> Result<Body> {
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
    let system = request.messages.iter().filter(|message| message.role == Role::System).flat_map(|message| &message.parts);
    let system = parts(system, &names, caps, warnings)?;
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

fn declaration(tool: &crate::chat::Tool, warnings: &mut Vec<Warning>) -> Value {
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
    let is_empty = schema.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty) && schema.get("$ref").is_none();
    if !is_empty {
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
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Value>> {
    let mut out: Vec<Value> = Vec::new();
    let mut unsigned = true;
    for part in said {
        match part {
            Part::Text(text) => out.push(json!({"text": text})),
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
                if let Some(signature) = call.signature.as_deref().or(dummy) {
                    value["thoughtSignature"] = signature.into();
                }
                // Of parallel calls only the first is signed.
                unsigned = false;
                out.push(value);
            }
            Part::ToolResult(result) => {
                let name = names.get(result.call_id.as_str()).copied().unwrap_or(&result.call_id);
                let mut response = json!({"name": name, "response": response(result)});
                if !is_made_up(&result.call_id) {
                    response["id"] = result.call_id.as_str().into();
                }
                out.push(json!({"functionResponse": response}));
                for shown in result.content.iter().filter(|part| matches!(part, Part::Image(_) | Part::Document(_))) {
                    out.extend(parts([shown], names, caps, warnings)?);
                }
            }
            Part::Raw(raw) if raw.dialect == "gemini" => out.push(raw.value.clone()),
            Part::Raw(raw) => warnings.push(Warning::dropped("raw", format!("a block of `{}`", raw.dialect))),
            Part::CachePoint(_) => {}
        }
    }
    Ok(out)
}

/// Whether the id is one of ours, which Google has never seen.
fn is_made_up(id: &str) -> bool {
    id.strip_prefix("call_").is_some_and(|rest| rest.len() == 24 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An object, as Google wants it: the tool's own, where its text is one.
fn response(result: &ToolResult) -> Value {
    let text = plain(&result.content);
    let key = if result.is_error { "error" } else { "output" };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) if !result.is_error => Value::Object(object),
        _ => json!({ key: text }),
    }
}

fn file(media: &Media) -> Result<Value> {
    Ok(match &media.source {
        Source::Base64 { media_type, data } => json!({"inlineData": {"mimeType": media_type, "data": data}}),
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

/// Reads a buffered answer of status 2xx; a list is a stream that came whole.
pub(super) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    match reply {
        Value::Array(chunks) => {
            for chunk in chunks {
                events.extend(decoder.chunk(chunk)?);
            }
        }
        reply => {
            if reply["candidates"][0].is_object() && reply["candidates"][0]["finishReason"].is_null() {
                decoder.finish = Some(FinishReason::Other(String::new()));
            }
            events.extend(decoder.chunk(reply)?);
        }
    }
    if decoder.finish.is_none() {
        return Err(failed("the provider's answer has no `candidates`"));
    }
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    id: String,
    calls: usize,
    /// The call whose arguments come piece by piece, and what they are so far.
    open: Option<(usize, Value)>,
    finish: Option<FinishReason>,
}

impl Decoder {
    /// Reads the data of one frame.
    pub(super) fn frame(&mut self, data: &str) -> Result<Vec<ChatEvent>> {
        if data.trim().is_empty() || data.trim() == "[DONE]" {
            return Ok(Vec::new());
        }
        self.chunk(&parse(data.as_bytes())?)
    }

    /// Says how the stream ended when no more bytes come.
    pub(super) fn end(&mut self) -> Result<Vec<ChatEvent>> {
        let reason = self.finish.take().ok_or_else(cut)?;
        let calls = self.calls > 0 && reason == FinishReason::Stop;
        let mut events = Vec::new();
        self.close(&mut events);
        events.push(ChatEvent::Finish(if calls { FinishReason::ToolCalls } else { reason }));
        Ok(events)
    }

    fn chunk(&mut self, chunk: &Value) -> Result<Vec<ChatEvent>> {
        let body = chunk.as_array().and_then(|items| items.first()).unwrap_or(chunk);
        if body["error"].is_object() {
            return Err(failure(&Refused { provider: "gemini", status: 200, ..Refused::default() }, body));
        }
        let mut events = Vec::new();
        let text = |name: &str| chunk[name].as_str().unwrap_or_default();
        if self.id.is_empty() {
            text("responseId").clone_into(&mut self.id);
        }
        self.state.start(text("responseId"), text("modelVersion"), &mut events);
        let candidate = &chunk["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.part(part, &mut events);
        }
        for name in
            ["groundingMetadata", "citationMetadata", "safetyRatings", "urlContextMetadata", "logprobsResult", "finishMessage"]
        {
            self.state.extra(name, &candidate[name], &mut events);
        }
        self.state.extra("promptFeedback", &chunk["promptFeedback"], &mut events);
        if let Some(reason) = candidate["finishReason"].as_str() {
            self.finish = Some(finish(reason, candidate["finishMessage"].as_str().unwrap_or_default())?);
        } else if chunk["promptFeedback"]["blockReason"].is_string() {
            self.finish = Some(FinishReason::ContentFilter);
        }
        events.extend(usage(&chunk["usageMetadata"]).map(ChatEvent::Usage));
        Ok(events)
    }

    /// Reads a call, whole or piece by piece: the first piece has the name, the last does not promise another.
    fn call(&mut self, call: &Value, signature: Option<&str>, events: &mut Vec<ChatEvent>) {
        let name = call["name"].as_str().unwrap_or_default();
        if self.open.is_none() || !name.is_empty() {
            self.close(events);
            let index = self.calls;
            self.calls += 1;
            let id = call["id"].as_str().filter(|id| !id.is_empty()).map_or_else(|| made_up_id(&self.id, index), str::to_owned);
            events.push(ChatEvent::ToolCall { index, id, name: name.to_owned(), signature: signature.map(str::to_owned) });
            if call["args"].is_object() {
                events.push(ChatEvent::Arguments { index, json: call["args"].to_string() });
            } else {
                self.open = Some((index, Value::Object(Map::new())));
            }
        }
        if let Some((_, arguments)) = &mut self.open {
            call["partialArgs"].as_array().into_iter().flatten().for_each(|piece| put(arguments, piece));
        }
        if call["willContinue"] != true {
            self.close(events);
        }
    }

    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        if let Some((index, arguments)) = self.open.take() {
            events.push(ChatEvent::Arguments { index, json: arguments.to_string() });
        }
    }

    fn part(&mut self, part: &Value, events: &mut Vec<ChatEvent>) {
        let signature = part["thoughtSignature"].as_str().filter(|signature| !signature.is_empty());
        if part["functionCall"].is_object() {
            self.call(&part["functionCall"], signature, events);
            return;
        }
        match part["text"].as_str() {
            Some(text) if part["thought"] == true => {
                if !text.is_empty() {
                    events.push(ChatEvent::Reasoning(text.to_owned()));
                }
            }
            Some("") if signature.is_none() => {}
            // An empty text still parts its signature from the thought before it.
            Some(text) => events.push(ChatEvent::Text(text.to_owned())),
            None => events.push(ChatEvent::Raw(Raw { dialect: "gemini".to_owned(), value: part.clone() })),
        }
        if part["text"].is_string() {
            events.extend(signature.map(|signature| ChatEvent::Signature(signature.to_owned())));
        }
    }
}

/// Puts a piece of an argument where its path says (`$.a.b[0]`); a text goes on from the text before it. What would grow without
/// bound is left out.
fn put(root: &mut Value, piece: &Value) {
    const MOST_ITEMS: usize = 4096;
    let mut place = root;
    let path = piece["jsonPath"].as_str().unwrap_or_default().trim_start_matches('$');
    for step in path.split(['.', '[', ']']).map(|step| step.trim_matches(['\'', '"'])).filter(|step| !step.is_empty()) {
        place = match step.parse::<usize>() {
            Ok(number) if number < MOST_ITEMS && !place.is_object() => {
                if !place.is_array() {
                    *place = Value::Array(Vec::new());
                }
                let Value::Array(items) = place else { return };
                if items.len() <= number {
                    items.resize(number + 1, Value::Null);
                }
                &mut items[number]
            }
            _ => {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                let Value::Object(fields) = place else { return };
                fields.entry(step).or_insert(Value::Null)
            }
        };
    }
    let kinds = ["stringValue", "numberValue", "boolValue", "nullValue"];
    match (kinds.into_iter().find_map(|kind| piece.get(kind)), place) {
        (Some(Value::String(more)), Value::String(text)) => text.push_str(more),
        (Some(value), place) => value.clone_into(place),
        (None, _) => {}
    }
}

fn finish(reason: &str, message: &str) -> Result<FinishReason> {
    Ok(match reason {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => FinishReason::ContentFilter,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MALFORMED_RESPONSE"
        | "MISSING_THOUGHT_SIGNATURE" => {
            let message: String = message.chars().take(200).collect();
            let text = format!("the model wrote what its provider could not read: `{reason}` {message}");
            return Err(Error::new(Code::ModelOutput, text.trim_end()));
        }
        other if other.starts_with("IMAGE_") => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    })
}

fn usage(usage: &Value) -> Option<Usage> {
    usage.is_object().then(|| {
        let count = |name: &str| tokens(&usage[name]);
        Usage {
            prompt_tokens: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
            completion_tokens: count("candidatesTokenCount").saturating_add(count("thoughtsTokenCount")),
            cache_read_tokens: count("cachedContentTokenCount"),
            cache_write_tokens: 0,
            cache_write_1h_tokens: 0,
            reasoning_tokens: count("thoughtsTokenCount"),
        }
    })
}
