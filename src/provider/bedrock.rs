//! Bedrock's Converse dialect (`POST {base}/model/{id}/converse` and `/converse-stream`).
//!
//! Its stream is binary, and the usage comes behind the stop reason. There is no `tool_choice` `none`, a conversation with tool
//! calls must define tools even where none is offered any more, and pictures come as bytes only. What the base model knows and
//! Converse does not goes into `additionalModelRequestFields`.

mod answer;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(super) use self::answer::{Decoder, decode};
use super::anthropic;
use super::arguments::Place;
use super::body::Body;
use super::capability::{Capabilities, ReasoningMode};
use super::turn::{arguments, inner_text, object_schema, system, turns};
use crate::chat::{ChatRequest, Effort, Media, Part, ResponseFormat, Source, ToolChoice, Warning, Warnings};
use crate::error::{Error, Result};

/// Arguments of calls in a whole answer.
pub(super) const ARGUMENTS: Place = ("/output/message/content", "/toolUse/input");

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["modelId", "messages", "system"];

/// Converse wants a user's turn first, and words beside a document.
const BEGINNING: &str = "(The conversation begins with the assistant.)";
const BESIDE_DOCUMENT: &str = "(See the document.)";

/// Writes the body of one chat turn. Streaming is a matter of the path.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, warnings: &mut Warnings) -> Result<Body> {
    let mut body = Body::default();
    let mut documents = BTreeSet::new();
    let mut messages = Vec::new();
    for turn in turns(request) {
        let role = turn.role();
        let mut content = blocks(turn.parts, &mut documents, warnings)?;
        let has = |kind: &str| content.iter().any(|block| block.get(kind).is_some());
        if has("document") && !has("text") {
            warnings.push(Warning::changed("messages", format!("Converse wants words beside a document: `{BESIDE_DOCUMENT}`")));
            content.push(json!({"text": BESIDE_DOCUMENT}));
        }
        if messages.is_empty() && role == "assistant" && !content.is_empty() {
            warnings.push(Warning::changed("messages", format!("Converse begins with the user: `{BEGINNING}`")));
            messages.push(json!({"role": "user", "content": [{"text": BEGINNING}]}));
        }
        if !content.is_empty() {
            messages.push(json!({"role": role, "content": content}));
        }
    }
    body.set("messages", messages);
    body.set_list("system", blocks(system(request), &mut documents, warnings)?);
    let sampling = &request.sampling;
    let mut inference = Body::default();
    inference.set_some("maxTokens", sampling.max_tokens);
    inference.set_some("temperature", sampling.temperature);
    inference.set_some("topP", sampling.top_p);
    inference.set_list("stopSequences", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    body.set_object("inferenceConfig", inference);
    body.set_some("toolConfig", tools(request));
    let (mut additional, mut output) = (Body::default(), Body::default());
    additional.set_some("top_k", sampling.top_k);
    match caps.reasoning {
        ReasoningMode::Effort => {
            let effort = request.reasoning.and_then(|reasoning| reasoning.effort);
            additional.set_some("reasoning_effort", effort.map(Effort::as_str));
        }
        mode => anthropic::thinking(request, mode, (&mut additional, &mut output), warnings),
    }
    body.set_object("additionalModelRequestFields", additional);
    if let ResponseFormat::JsonSchema { name, description, schema, .. } = &request.response_format {
        let mut inner = Body::default();
        // A string, not an object.
        inner.set("schema", schema.to_string());
        inner.set("name", name.as_str());
        inner.set_some("description", description.as_deref());
        output.set("textFormat", json!({"type": "json_schema", "structure": {"jsonSchema": inner.0}}));
    }
    body.set_object("outputConfig", output);
    body.set_some("serviceTier", request.service_tier.as_ref().map(|tier| json!({"type": tier})));
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

fn tools(request: &ChatRequest) -> Option<Value> {
    let mut tools = Vec::new();
    for tool in &request.tools {
        let mut spec = Body::default();
        spec.set("name", tool.name.as_str());
        spec.set_some("description", tool.description.as_deref().filter(|text| !text.is_empty()));
        spec.set("inputSchema", json!({"json": object_schema(&tool.parameters)}));
        spec.set_some("strict", tool.strict);
        tools.push(json!({"toolSpec": spec.0}));
        tools.extend(tool.cache.as_ref().map(|mark| cache_point(mark.ttl)));
    }
    if tools.is_empty() {
        // Tool blocks in the conversation are refused without a definition.
        let calls = request.messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
            Part::ToolCall(call) => Some(call.name.as_str()),
            _ => None,
        });
        let names: BTreeSet<&str> = calls.collect();
        tools.extend(
            names.into_iter().map(|name| json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}})),
        );
    }
    if tools.is_empty() {
        return None;
    }
    let mut config = json!({"tools": tools});
    match &request.tool_choice {
        None | Some(ToolChoice::None) => {}
        Some(ToolChoice::Auto) => config["toolChoice"] = json!({"auto": {}}),
        Some(ToolChoice::Required) => config["toolChoice"] = json!({"any": {}}),
        Some(ToolChoice::Tool(name)) => config["toolChoice"] = json!({"tool": {"name": name}}),
    }
    Some(config)
}

fn cache_point(ttl: crate::chat::CacheTtl) -> Value {
    match ttl {
        crate::chat::CacheTtl::FiveMinutes => json!({"cachePoint": {"type": "default"}}),
        crate::chat::CacheTtl::OneHour => json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
    }
}

fn blocks<'a>(
    parts: impl IntoIterator<Item = &'a Part>,
    documents: &mut BTreeSet<String>,
    warnings: &mut Warnings,
) -> Result<Vec<Value>> {
    let mut blocks = Vec::new();
    for part in parts {
        blocks.extend(block(part, documents, warnings)?);
        // A result has no place for a mark of the cache: what it marks ends with the result.
        if let Part::ToolResult(result) = part {
            let marks = result.content.iter().filter_map(|part| match part {
                Part::CachePoint(mark) => Some(mark.ttl),
                _ => None,
            });
            blocks.extend(marks.max().map(cache_point));
        }
    }
    Ok(blocks)
}

fn block(part: &Part, documents: &mut BTreeSet<String>, warnings: &mut Warnings) -> Result<Option<Value>> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({"text": text}),
        Part::Image(media) => image(media)?,
        Part::Document(media) => document(media, documents, warnings)?,
        Part::Reasoning(thought) => match (&thought.redacted, &thought.signature) {
            (Some(data), _) => json!({"reasoningContent": {"redactedContent": data}}),
            (None, Some(signature)) => {
                json!({"reasoningContent": {"reasoningText": {"text": thought.text, "signature": signature}}})
            }
            (None, None) => {
                warnings.push(Warning::dropped("reasoning", "a thought without a signature is refused"));
                return Ok(None);
            }
        },
        Part::ToolCall(call) => {
            json!({"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments(&call.arguments, warnings)}})
        }
        Part::ToolResult(result) => {
            let mut content = Vec::new();
            for part in &result.content {
                match part {
                    Part::CachePoint(_) => {}
                    Part::Raw(raw) if raw.dialect != "bedrock" => {
                        content.extend(inner_text(raw, "tool_result.content", warnings).map(|text| json!({"text": text})));
                    }
                    part => content.extend(block(part, documents, warnings)?),
                }
            }
            if content.is_empty() {
                content.push(json!({"text": "(no output)"}));
            }
            let mut value = json!({"toolUseId": result.call_id, "content": content});
            if result.is_error {
                value["status"] = "error".into();
            }
            json!({"toolResult": value})
        }
        Part::CachePoint(mark) => cache_point(mark.ttl),
        Part::Citation(_) => return Ok(None),
        Part::Raw(raw) if raw.dialect == "bedrock" => raw.value.clone(),
        Part::Raw(raw) => return Ok(inner_text(raw, "raw", warnings).map(|text| json!({"text": text}))),
    }))
}

fn image(media: &Media) -> Result<Value> {
    let Source::Base64 { media_type, data } = &media.source else {
        return Err(Error::bad_request("`messages`: Bedrock takes pictures as bytes only; send base64"));
    };
    let format = media_type.strip_prefix("image/").unwrap_or(media_type);
    let format = if format == "jpg" { "jpeg" } else { format };
    Ok(json!({"image": {"format": format, "source": {"bytes": **data}}}))
}

fn document(media: &Media, documents: &mut BTreeSet<String>, warnings: &mut Warnings) -> Result<Value> {
    let (format, bytes) = match &media.source {
        Source::Base64 { media_type, data } => (extension(media_type)?, data.to_string()),
        Source::Text(text) => ("txt", STANDARD.encode(text)),
        Source::Url { .. } => return Err(Error::bad_request("`messages`: Bedrock takes documents as bytes only; send base64")),
    };
    let name = document_name(media.name.as_deref(), documents);
    if let Some(given) = media.name.as_ref().filter(|given| **given != name) {
        warnings.push(Warning::renamed("document.name", format!("Converse is told `{name}` for `{given}`")));
    }
    let mut document = json!({"format": format, "name": name, "source": {"bytes": bytes}});
    if let Some(context) = &media.context {
        document["context"] = context.as_str().into();
    }
    if media.cited {
        document["citations"] = json!({"enabled": true});
    }
    Ok(json!({"document": document}))
}

fn extension(media_type: &str) -> Result<&'static str> {
    Ok(match media_type.split(';').next().unwrap_or_default().trim() {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" => "txt",
        "text/markdown" => "md",
        other => return Err(Error::bad_request(format!("`messages`: Bedrock takes no document of type `{other}`"))),
    })
}

/// Letters, digits, single blanks, hyphens and brackets, at most 200; a number keeps it apart from those that there are.
fn document_name(name: Option<&str>, known: &mut BTreeSet<String>) -> String {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-()[]".contains(letter);
    let words: String = name.unwrap_or("document").chars().map(|letter| if good(letter) { letter } else { ' ' }).collect();
    let words: Vec<&str> = words.split_whitespace().collect();
    let base: String = words.join(" ").chars().take(180).collect();
    let (mut name, mut number) = (base.clone(), known.len());
    while name.is_empty() || !known.insert(name.clone()) {
        number += 1;
        name = format!("{base} {number}").trim().to_owned();
    }
    name
}
