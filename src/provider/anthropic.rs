//! Anthropic's messages dialect (`POST {base}/messages`), at Anthropic, on Vertex AI and on Bedrock.
//!
//! The system prompt stands outside the messages, roles take turns, and all results of parallel tool calls belong into one user
//! turn. Input tokens are told without those of the cache. In a stream, usage comes as snapshots that replace one another field by
//! field, and a tool call without arguments sends none at all.

mod answer;

pub(super) use self::answer::{Decoder, decode, finish};
pub(crate) use self::answer::{compaction, own_of_call};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::arguments::Place;
use super::body::{Body, merge};
use super::capability::{Capabilities, ReasoningMode};
use super::own;
use super::turn::{arguments, inner_text, object_schema, system, turns};
use crate::chat::{
    CacheMark, CacheTtl, ChatRequest, Effort, Media, Part, Raw, ResponseFormat, Source, ToolChoice, ToolResult, Warning, Warnings,
};
use crate::error::{Error, Result};

/// Arguments of calls in a whole answer.
pub(super) const ARGUMENTS: Place = ("/content", "/input");

/// Fields that `extra` must not touch.
const RESERVED: &[&str] = &["model", "messages", "system", "stream"];

/// Writes the body of one chat turn.
pub(super) fn encode(request: &ChatRequest, caps: &Capabilities, stream: bool, warnings: &mut Warnings) -> Result<Body> {
    let mut body = Body::default();
    body.set("model", request.model.as_str());
    body.set_some("max_tokens", request.sampling.max_tokens);
    let system = blocks(system(request), warnings)?;
    match system.as_slice() {
        [] => {}
        [only] if only.get("cache_control").is_none() => body.set("system", only["text"].clone()),
        _ => body.set("system", system),
    }
    let mut messages = Vec::new();
    for turn in turns(request) {
        let role = turn.role();
        let content = blocks(turn.parts, warnings)?;
        if !content.is_empty() {
            messages.push(json!({"role": role, "content": content}));
        }
    }
    body.set("messages", messages);
    let sampling = &request.sampling;
    body.set_some("temperature", sampling.temperature);
    body.set_some("top_p", sampling.top_p);
    body.set_some("top_k", sampling.top_k);
    body.set_list("stop_sequences", sampling.stop_sequences.iter().map(|text| text.as_str().into()).collect());
    body.set_list("tools", own::tools(request, "anthropic").chain(request.tools.iter().map(tool)).collect());
    body.set_some("tool_choice", tool_choice(request));
    let mut output = Body::default();
    thinking(request, caps.reasoning, (&mut body, &mut output), warnings);
    if let ResponseFormat::JsonSchema { schema, .. } = &request.response_format {
        output.set("format", json!({"type": "json_schema", "schema": schema}));
    }
    body.set_object("output_config", output);
    body.set_some("metadata", request.user.as_ref().map(|user| json!({"user_id": user})));
    body.set_some("service_tier", request.service_tier.as_deref());
    if stream {
        body.set("stream", true);
    }
    body.merge(&request.extra, RESERVED)?;
    Ok(body)
}

/// Says how to think, in the model's way. Shared with Claude on Bedrock's Converse.
pub(super) fn thinking(
    request: &ChatRequest,
    mode: ReasoningMode,
    (body, output): (&mut Body, &mut Body),
    warnings: &mut Warnings,
) {
    output.set_some("effort", request.effort.map(Effort::as_str));
    let Some(reasoning) = request.reasoning else { return };
    let mut thinking = Body::default();
    let off = reasoning.effort == Some(Effort::None);
    match mode {
        ReasoningMode::BetweenTools if off => thinking.set("type", "between_tools"),
        _ if off => thinking.set("type", "disabled"),
        ReasoningMode::Budget => {
            let Some(budget) = reasoning.budget_tokens else {
                if reasoning.show.is_some() {
                    warnings.push(Warning::dropped("reasoning.show", "without an effort or a budget it does not reason"));
                }
                return;
            };
            thinking.set("type", "enabled");
            thinking.set("budget_tokens", budget);
        }
        ReasoningMode::Adaptive | ReasoningMode::Always | ReasoningMode::BetweenTools => thinking.set("type", "adaptive"),
        ReasoningMode::None | ReasoningMode::Effort | ReasoningMode::Level => return,
    }
    if !off {
        thinking.set_some("display", reasoning.show.map(|show| if show { "summarized" } else { "omitted" }));
    }
    body.set("thinking", thinking.0);
}

fn tool(tool: &crate::chat::Tool) -> Value {
    let mut out = Body::default();
    out.set("name", tool.name.as_str());
    out.set_some("description", tool.description.as_deref());
    out.set("input_schema", object_schema(&tool.parameters));
    out.set_some("strict", tool.strict);
    out.set_some("cache_control", tool.cache.as_ref().map(cache_control));
    own::add(Value::Object(out.0), tool, "anthropic")
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    let alone = request.parallel_tool_calls == Some(false);
    let mut choice = match &request.tool_choice {
        None if alone => json!({"type": "auto"}),
        None => return None,
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Tool(name)) => json!({"type": "tool", "name": name}),
    };
    if alone {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

fn cache_control(mark: &CacheMark) -> Value {
    let mut control = match mark.ttl {
        CacheTtl::FiveMinutes => json!({"type": "ephemeral"}),
        CacheTtl::OneHour => json!({"type": "ephemeral", "ttl": "1h"}),
    };
    if let Some(own) = mark.own.as_ref().filter(|own| own.dialect == "anthropic") {
        merge(&mut control, &own.value);
    }
    control
}

fn blocks<'a>(parts: impl IntoIterator<Item = &'a Part>, warnings: &mut Warnings) -> Result<Vec<Value>> {
    let mut blocks: Vec<Value> = Vec::new();
    for part in parts {
        match part {
            Part::CachePoint(mark) => {
                let markable = |block: &&mut Value| !matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"));
                match blocks.last_mut().filter(markable) {
                    Some(block) => block["cache_control"] = cache_control(mark),
                    None => {
                        let detail = "there is nothing before it that can be marked";
                        warnings.push(Warning::dropped("cache_point", detail));
                    }
                }
            }
            Part::Citation(raw) => {
                if let Some(text) = blocks.last_mut().filter(|block| raw.dialect == "anthropic" && block["type"] == "text") {
                    match text["citations"].as_array_mut() {
                        Some(citations) => citations.push(raw.value.clone()),
                        None => text["citations"] = json!([raw.value]),
                    }
                }
            }
            other => blocks.extend(block(other, warnings)?),
        }
    }
    Ok(blocks)
}

fn block(part: &Part, warnings: &mut Warnings) -> Result<Option<Value>> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({"type": "text", "text": text}),
        Part::Image(media) => json!({"type": "image", "source": source(media)}),
        Part::Document(media) => {
            let mut document = json!({"type": "document", "source": document_source(media)?});
            if let Some(name) = &media.name {
                document["title"] = name.as_str().into();
            }
            if let Some(context) = &media.context {
                document["context"] = context.as_str().into();
            }
            if media.cited {
                document["citations"] = json!({"enabled": true});
            }
            document
        }
        Part::Reasoning(thought) => match (&thought.redacted, &thought.signature) {
            (Some(data), _) => json!({"type": "redacted_thinking", "data": data}),
            (None, Some(signature)) => json!({"type": "thinking", "thinking": thought.text, "signature": signature}),
            (None, None) => {
                warnings.push(Warning::dropped("reasoning", "a thought without a signature is refused"));
                return Ok(None);
            }
        },
        Part::ToolCall(call) => {
            let input = arguments(&call.arguments, warnings);
            with_own(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}), call.own.as_ref())
        }
        Part::ToolResult(result) => tool_result(result, warnings)?,
        Part::Raw(raw) if raw.dialect == "anthropic" => raw.value.clone(),
        Part::Raw(raw) => return Ok(inner_text(raw, "raw", warnings).map(|text| json!({"type": "text", "text": text}))),
        Part::CachePoint(_) | Part::Citation(_) => return Ok(None),
    }))
}

fn tool_result(result: &ToolResult, warnings: &mut Warnings) -> Result<Value> {
    let mut out = json!({"type": "tool_result", "tool_use_id": result.call_id});
    match result.content.as_slice() {
        [] => {}
        [Part::Text(text)] => out["content"] = text.as_str().into(),
        parts => out["content"] = blocks(parts, warnings)?.into(),
    }
    if result.is_error {
        out["is_error"] = true.into();
    }
    Ok(with_own(out, result.own.as_ref()))
}

fn with_own(mut block: Value, own: Option<&Raw>) -> Value {
    if let (Some(block), Some(own)) = (block.as_object_mut(), own.and_then(|own| own.fields("anthropic"))) {
        block.extend(own.clone());
    }
    block
}

/// As bytes a document is a PDF; a text goes as text.
fn document_source(media: &Media) -> Result<Value> {
    let Source::Base64 { media_type, data } = &media.source else { return Ok(source(media)) };
    match media_type.as_str() {
        "application/pdf" => Ok(source(media)),
        kind if kind.starts_with("text/") => {
            let text = STANDARD.decode(data.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let wrong = || Error::bad_request(format!("`messages`: a document of `{kind}`: not UTF-8 in base64"));
            Ok(source(&Media::of(Source::Text(text.ok_or_else(wrong)?))))
        }
        kind => Err(Error::bad_request(format!(
            "`messages`: Claude reads documents of `application/pdf` and text, not `{kind}`; send its text"
        ))),
    }
}

fn source(media: &Media) -> Value {
    match &media.source {
        Source::Url { url, .. } => json!({"type": "url", "url": url}),
        Source::Base64 { media_type, data } => json!({"type": "base64", "media_type": media_type, "data": **data}),
        Source::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
    }
}
