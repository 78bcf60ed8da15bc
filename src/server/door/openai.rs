//! `POST /v1/chat/completions`: OpenAI's dialect, spoken to callers.
//!
//! Fields that we do not know go to the provider as they are. What the dialect has no place for travels in the extensions that
//! other servers use too: `reasoning_content`, `reasoning_details` with signatures, `extra_content` on tool calls; what is ours is
//! in `omni`.

mod message;
mod reply;
mod request;
mod stream;
mod tool;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use self::reply::whole;
use self::request::{ChatBody, understood};
use self::stream::streamed;
use super::extension::ExtraContent;
use super::provided::{Provided, provided};
use super::{Door, Omni};
use crate::app::App;
use crate::chat::{FinishReason, Part, Thought, ToolCall, proof};
use crate::error::{Code, Error, Result};
use crate::provider::is_rounded;
use crate::rag::Answer;
use crate::server::body::parse;
use crate::server::{Context, answer, understand};

#[derive(Debug, Serialize, Deserialize)]
struct WireCall {
    id: String,
    #[serde(rename = "type", default = "function")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<WireFunction>,
    /// In its place, of a tool that takes a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<WireCustom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default, deserialize_with = "arguments")]
    arguments: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WireCustom {
    name: String,
    input: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A thought as OpenRouter and others write it.
#[derive(Debug, Serialize, Deserialize)]
struct ReasoningDetail {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing)]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// Whose it is, as OpenRouter says it.
    #[serde(skip_serializing)]
    format: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl ReasoningDetail {
    fn thought(self) -> Thought {
        let vendor = match self.format.as_deref().unwrap_or_default() {
            format if format.starts_with("google-gemini") => Some("gemini"),
            format if format.starts_with("anthropic-claude") || format.is_empty() => None,
            _ => Some("openai"),
        };
        let named = |proof: String| match vendor {
            Some(vendor) => proof::named(vendor, &proof),
            None => proof,
        };
        let text = self.text.or(self.summary).unwrap_or_default();
        Thought { text, signature: self.signature.map(named), redacted: self.data.map(named) }
    }
}

/// Log-probabilities of an answer's tokens, or of a piece's.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
struct Logprobs {
    content: Option<Value>,
    refusal: Option<Value>,
}

impl Logprobs {
    /// Takes in what the provider says under `name`; false where that is something else.
    fn take(&mut self, name: &str, tokens: &Value) -> bool {
        let list = match name {
            "logprobs" => &mut self.content,
            "logprobs.refusal" => &mut self.refusal,
            _ => return false,
        };
        match (list, tokens) {
            (Some(Value::Array(before)), Value::Array(more)) => before.extend(more.iter().cloned()),
            (list, tokens) => *list = Some(tokens.clone()),
        }
        true
    }

    fn some(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

fn function() -> String {
    "function".to_owned()
}

/// Arguments as JSON text, or as the object that some clients send, in its own digits.
fn arguments<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    let json = Box::<RawValue>::deserialize(reader)?;
    Ok(match serde_json::from_str(json.get()).map_err(D::Error::custom)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other if is_rounded(&other) => json.get().to_owned(),
        other => other.to_string(),
    })
}

/// `POST /v1/chat/completions`.
pub(in crate::server) async fn completions(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    answer(&app, &context, request, async |bytes, labels| {
        let body: ChatBody = parse(&bytes)?;
        drop(bytes);
        let (is_stream, is_shaped, with_usage) = (body.is_stream(), body.is_shaped(), body.with_usage());
        let mut asked = understand(&app, &context, is_shaped, move |app| understood(app, body, &labels)).await?;
        asked.0.request.trace = context.line.trace().clone();
        if is_stream { streamed(&app, &context, asked, with_usage).await } else { whole(&app, &context, asked).await }
    })
    .await
}

/// Tokens; reasoning and cached ones are parts of the sums.
#[derive(Debug, Clone, Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    #[serde(flatten)]
    own: Map<String, Value>,
}

impl WireUsage {
    fn of(answer: &Answer) -> Option<Self> {
        let usage = answer.usage?;
        let own = |name: &str| answer.extra.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        Some(Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.total_tokens(),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                own: own("prompt_tokens_details"),
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning_tokens,
                own: own("completion_tokens_details"),
            },
        })
    }
}

fn name_of(context: &Context) -> String {
    format!("chatcmpl-{}", context.id.trim_start_matches("req_"))
}

/// The dialect's word. A reason that it does not have is told as a cut, never as `stop`; `omni` has the provider's own. A refusal
/// that is told as one is no filter's doing.
fn reason(answer: &Answer) -> &'static str {
    match &answer.finish_reason {
        FinishReason::Stop | FinishReason::StopSequence => "stop",
        FinishReason::ContentFilter if answer.is_refused() => "stop",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length | FinishReason::Pause | FinishReason::Other(_) => "length",
    }
}

/// A call, in the words of the kind of its tool.
fn call(call: ToolCall) -> WireCall {
    let (is_text, rest) = (call.is_text(), Map::new());
    let mut wire = WireCall {
        id: call.id,
        kind: function(),
        function: None,
        custom: None,
        extra_content: call.signature.map(ExtraContent::of),
        rest,
    };
    let rest = Map::new();
    if is_text {
        "custom".clone_into(&mut wire.kind);
        wire.custom = Some(WireCustom { name: call.name, input: call.arguments, rest });
    } else {
        wire.function = Some(WireFunction { name: call.name, arguments: call.arguments, rest });
    }
    wire
}

/// The thoughts, where any has a proof; one without is told by its text.
fn details(parts: &[Part]) -> Vec<ReasoningDetail> {
    let thoughts = parts.iter().filter_map(|part| match part {
        Part::Reasoning(thought) => Some(thought),
        _ => None,
    });
    let is_proved = thoughts.clone().any(|thought| thought.signature.is_some() || thought.redacted.is_some());
    thoughts.filter(|_| is_proved).cloned().map(detail).collect()
}

fn detail(thought: Thought) -> ReasoningDetail {
    let kind = if thought.redacted.is_some() { "reasoning.encrypted" } else { "reasoning.text" };
    ReasoningDetail {
        kind: kind.to_owned(),
        text: (!thought.text.is_empty()).then_some(thought.text),
        summary: None,
        signature: thought.signature,
        data: thought.redacted,
        format: None,
        rest: Map::new(),
    }
}

/// What the model answers, and what it says in the place of an answer.
fn content(answer: &Answer) -> (String, Option<String>) {
    if !answer.is_refused() {
        return (answer.content.clone(), None);
    }
    let (mut text, mut refusal) = (String::new(), String::new());
    for part in &answer.parts {
        match part {
            Part::Text(more) => text.push_str(more),
            Part::Refusal(more) => refusal.push_str(more),
            _ => {}
        }
    }
    (text, Some(refusal))
}

/// The provider's own annotations, and its citations and ours as such where they can be.
fn annotations(answer: &Answer, omni: &Omni) -> Vec<Value> {
    let own = answer.extra.get("annotations").and_then(Value::as_array).into_iter().flatten().cloned();
    let checked = omni.told.iter().map(|(_, annotation)| annotation.clone());
    own.chain(provided(answer).iter().filter_map(Provided::annotation)).chain(checked).collect()
}

/// An error as the dialect's clients read it.
pub(super) fn error(error: &Error) -> Value {
    let kind = match error.code() {
        Code::InvalidRequest
        | Code::InvalidModel
        | Code::NotSupported
        | Code::ContentFilter
        | Code::ContextLength
        | Code::BodyTooLarge
        | Code::NotFound => "invalid_request_error",
        Code::RateLimit => "rate_limit_error",
        Code::Authentication => "authentication_error",
        _ => "api_error",
    };
    let code = match error.code() {
        Code::InvalidModel => "model_not_found",
        Code::ContextLength => "context_length_exceeded",
        Code::RateLimit => "rate_limit_exceeded",
        code => code.as_str(),
    };
    let message = Door::OpenAi.renamed(error.message());
    // What befell a provider begins with its name, also where its key was refused.
    let param = field(&message).filter(|_| !matches!(Door::OpenAi.status(error), 424 | 500..));
    let mut body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    if let (Some(details), Some(error)) = (error.details(), body["error"].as_object_mut()) {
        error.insert("details".into(), details.clone());
    }
    body
}

/// The field with whose name a message begins, where it begins with one.
fn field(message: &str) -> Option<&str> {
    let (named, _) = message.strip_prefix('`')?.split_once('`')?;
    // A value may stand behind it.
    let field = named.split(':').next().unwrap_or(named);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']');
    (field.starts_with(|first: char| first.is_ascii_lowercase()) && field.bytes().all(is_name)).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fields_name_is_told_as_one() {
        for (message, told) in [
            ("`messages[0].content[0].type: input_text`: not supported yet; send text", Some("messages[0].content[0].type")),
            ("`rag.retrieval_config.top_k`: 0 is not between 1 and 100", Some("rag.retrieval_config.top_k")),
            ("`the body`: invalid type", None),
            ("`OPTIONS`: not allowed here; use POST", None),
            ("`/v1/nothing`: no such path", None),
            ("the body is empty", None),
        ] {
            assert_eq!(field(message), told, "{message}");
        }
    }

    #[test]
    fn a_providers_name_is_no_field() {
        let param = |code, message| error(&Error::new(code, message))["error"]["param"].clone();
        assert_eq!(param(Code::ProviderError, "`openai` cannot be reached"), Value::Null);
        assert_eq!(param(Code::Overloaded, "`openai` keeps failing"), Value::Null);
        assert_eq!(param(Code::InvalidModel, "`model`: `m` is not loaded"), "model");
        assert_eq!(param(Code::Authentication, "`model_provider`: `openai` needs a key"), "model");
        let refused = Error::new(Code::Authentication, "`openai`: the provider refused").from_provider("openai", "m");
        assert_eq!(error(&refused)["error"]["param"], Value::Null);
    }
}
