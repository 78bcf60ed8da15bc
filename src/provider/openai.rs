//! OpenAI's chat dialect (`POST {base}/chat/completions`), and that of every server that copies it.
//!
//! What copies get wrong is expected here: missing `usage`, `finish_reason: ""` or `"eos"`, content as a list of parts, usage in any
//! chunk, no `[DONE]`. A stream needs a finish reason or `[DONE]`; without either it was cut, which is an error.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Quirks;
use crate::chat::{ChatEvent, ChatRequest, ChatResponse, FinishReason, Part, Role, Usage};
use crate::error::{Code, Error, Result};

/// Path below the base URL.
pub(super) const PATH: &str = "chat/completions";

/// Writes the body of one chat turn.
pub(super) fn encode(request: &ChatRequest, quirks: &Quirks, stream: bool) -> Result<Vec<u8>> {
    let sampling = &request.sampling;
    let (max_tokens, max_completion_tokens) =
        if quirks.max_completion_tokens { (None, sampling.max_tokens) } else { (sampling.max_tokens, None) };
    let body = Body {
        model: &request.model,
        messages: request.messages.iter().map(|message| Message { role: message.role, content: message.plain() }).collect(),
        temperature: sampling.temperature,
        max_tokens,
        max_completion_tokens,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        stop: &sampling.stop_sequences,
        seed: sampling.seed,
        response_format: (!request.response_format.is_text()).then_some(ResponseFormat { kind: "json_object" }),
        stream,
        stream_options: stream.then_some(StreamOptions { include_usage: true }),
    };
    serde_json::to_vec(&body).map_err(|cause| Error::internal("the request cannot be written").caused_by(cause))
}

/// Reads a buffered answer of status 2xx.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse> {
    let reply: Reply = serde_json::from_slice(body).map_err(unreadable)?;
    if let Some(error) = reply.error.filter(|error| !error.is_null()) {
        return Err(failure(200, &serde_json::json!({ "error": error }), None));
    }
    let Some(choice) = reply.choices.into_iter().next() else {
        return Err(Error::new(Code::ProviderError, "the provider's answer has no `choices`"));
    };
    let (content, refused) = choice.message.text();
    let finish_reason = if refused { FinishReason::ContentFilter } else { finish(choice.finish_reason.as_deref()) };
    Ok(ChatResponse {
        parts: vec![Part::Text(content)],
        finish_reason,
        model: reply.model.unwrap_or_default(),
        usage: reply.usage.map(WireUsage::neutral),
        ..ChatResponse::default()
    })
}

/// Reads a refusal: any status but 2xx. Texts are kept for the caller, but never decide.
pub(super) fn error(status: u16, body: &[u8], retry_after_seconds: Option<u64>) -> Error {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    // Some hosts wrap the object in a list of one.
    let value = if let Value::Array(items) = value { items.into_iter().next().unwrap_or_default() } else { value };
    failure(status, &value, retry_after_seconds)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    model_seen: bool,
    refused: bool,
    finish: Option<FinishReason>,
    ended: bool,
}

impl Decoder {
    /// Reads the data of one frame.
    pub(super) fn frame(&mut self, data: &str) -> Result<Vec<ChatEvent>> {
        if self.ended || data.trim().is_empty() {
            return Ok(Vec::new());
        }
        if data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(vec![ChatEvent::Finish(self.finish.clone().unwrap_or_default())]);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(unreadable)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(failure(200, &serde_json::json!({ "error": error }), None));
        }
        let mut events = Vec::new();
        if let Some(model) = chunk.model.filter(|model| !model.is_empty() && !self.model_seen) {
            self.model_seen = true;
            events.push(ChatEvent::Start { id: String::new(), model });
        }
        if let Some(choice) = chunk.choices.unwrap_or_default().into_iter().find(|choice| choice.index.unwrap_or(0) == 0) {
            let (text, refused) = choice.delta.unwrap_or_default().text();
            self.refused |= refused;
            if !text.is_empty() {
                events.push(ChatEvent::Text(text));
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish = Some(if self.refused { FinishReason::ContentFilter } else { finish(Some(&reason)) });
            }
        }
        let usage = chunk.usage.or_else(|| chunk.x_groq.and_then(|groq| groq.usage));
        events.extend(usage.map(|usage| ChatEvent::Usage(usage.neutral())));
        Ok(events)
    }

    /// Says how the stream ended when no more bytes come.
    pub(super) fn finish(&mut self) -> Result<Option<ChatEvent>> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        match self.finish.take() {
            Some(reason) => Ok(Some(ChatEvent::Finish(reason))),
            None => Err(Error::new(Code::ProviderError, "the provider's stream was cut before its end")),
        }
    }
}

fn unreadable(cause: serde_json::Error) -> Error {
    // Serde's text can quote what it read; only the place may go out.
    let place = format!("line {} column {}", cause.line(), cause.column());
    Error::new(Code::ProviderError, format!("the provider's answer cannot be read: {place}"))
}

fn finish(reason: Option<&str>) -> FinishReason {
    match reason {
        Some("length" | "model_length" | "max_tokens") => FinishReason::Length,
        Some("tool_calls" | "function_call") => FinishReason::ToolCalls,
        Some("content_filter") => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

/// Status first, then the machine-readable code; the message only where vendors give nothing else (context length).
fn failure(status: u16, body: &Value, retry_after_seconds: Option<u64>) -> Error {
    let error = body.get("error").unwrap_or(body);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let message =
        [text("message"), error.as_str().unwrap_or_default(), body.get("detail").and_then(Value::as_str).unwrap_or_default()];
    let message = message.into_iter().find(|message| !message.is_empty()).unwrap_or("no reason given");
    let kind = [text("code"), text("type")];
    let is = |wanted: &[&str]| kind.iter().any(|kind| wanted.contains(kind));
    let lower = message.to_ascii_lowercase();
    let overflow =
        ["context length", "context window", "maximum context", "context size"].iter().any(|text| lower.contains(text));
    // Inside a 200 the status says nothing; some servers put it into the code.
    let status = if status == 200 {
        error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()).unwrap_or(500)
    } else {
        status
    };
    let code = match status {
        _ if is(&["context_length_exceeded", "string_above_max_length"]) => Code::ContextLength,
        _ if is(&["content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"]) => Code::ContentFilter,
        _ if is(&["rate_limit_exceeded", "insufficient_quota", "rate_limited"]) => Code::RateLimit,
        _ if is(&["overloaded_error", "server_overloaded"]) => Code::Overloaded,
        _ if is(&["model_not_found"]) => Code::InvalidModel,
        401 | 403 => Code::Authentication,
        402 | 429 => Code::RateLimit,
        404 => Code::InvalidModel,
        408 | 504 => Code::Timeout,
        413 => Code::BodyTooLarge,
        400 | 422 if overflow => Code::ContextLength,
        400 | 409 | 422 => Code::InvalidRequest,
        503 | 529 => Code::Overloaded,
        _ => Code::ProviderError,
    };
    if code == Code::Authentication {
        // Vendors quote part of the key here.
        return Error::new(code, format!("the provider refused the key (status {status})"));
    }
    let message: String = message.chars().filter(|letter| !letter.is_control()).take(500).collect();
    Error::new(code, format!("the provider refused (status {status}): {message}"))
        .retry_after(retry_after_seconds.or_else(|| wait_in(&lower)))
}

/// "please try again in 1.574s", which is all that some give; rounded up.
fn wait_in(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("try again in ")?;
    let number: String = rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let unit = &rest[number.len()..];
    let number: f64 = number.trim_end_matches('.').parse().ok()?;
    let seconds = if unit.starts_with("ms") {
        number / 1000.0
    } else if unit.starts_with('s') {
        number
    } else {
        return None;
    };
    std::time::Duration::try_from_secs_f64(seconds.ceil()).ok().map(|wait| wait.as_secs())
}

/// Exactly the fields we send.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct Message {
    role: Role,
    content: String,
}

#[derive(Serialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// What we read; everything else is let through unread.
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    choices: Vec<Choice>,
    model: Option<String>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Text,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<ChunkChoice>>,
    model: Option<String>,
    usage: Option<WireUsage>,
    x_groq: Option<Groq>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    index: Option<u32>,
    delta: Option<Text>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Groq {
    usage: Option<WireUsage>,
}

#[derive(Deserialize, Default)]
struct Text {
    content: Option<Content>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

impl Text {
    /// The text, and whether it is a refusal.
    fn text(self) -> (String, bool) {
        let content = match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
            None => String::new(),
        };
        match self.refusal {
            Some(refusal) if content.is_empty() && !refusal.is_empty() => (refusal, true),
            _ => (content, false),
        }
    }
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl WireUsage {
    fn neutral(self) -> Usage {
        Usage { prompt_tokens: self.prompt_tokens.unwrap_or(0), completion_tokens: self.completion_tokens.unwrap_or(0), ..Usage::default() }
    }
}

#[cfg(test)]
mod tests;
