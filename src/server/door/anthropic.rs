//! `POST /v1/messages`: Anthropic's dialect, spoken to callers.
//!
//! Blocks that only this dialect knows (server tools, for example) are carried raw. `message_delta` carries the whole usage, input
//! included: at `message_start` not every provider has told it.

pub(super) mod block;
mod count;
mod reply;
mod request;
mod stream;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use self::count::counted;
use self::reply::whole;
use self::request::{MessagesBody, understood};
use self::stream::streamed;
use super::Door;
use super::extension::ExtraContent;
use crate::app::App;
use crate::chat::{FinishReason, Thought, ToolCall, Usage, proof};
use crate::error::{Code, Error};
use crate::provider::compaction;
use crate::rag::Answer;
use crate::server::response::written;
use crate::server::{Context, answer, understand};

/// `POST /v1/messages`.
pub(in crate::server) async fn messages(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let betas = betas(&request);
    answer(&app, &context, request, async |bytes, labels| {
        let body = MessagesBody::read(&bytes)?;
        drop(bytes);
        body.require_bound()?;
        let (is_stream, is_shaped) = (body.is_stream(), body.is_shaped());
        let mut asked = understand(&app, &context, is_shaped, move |app| understood(app, body, &labels)).await?;
        asked.0.request.trace = context.line.trace().clone();
        asked.0.request.betas = betas;
        if is_stream { streamed(&app, &context, asked).await } else { whole(&app, &context, asked).await }
    })
    .await
}

/// `POST /v1/messages/count_tokens`.
pub(in crate::server) async fn count_tokens(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    let betas = betas(&request);
    answer(&app, &context, request, async |bytes, labels| {
        let body = MessagesBody::read(&bytes)?;
        drop(bytes);
        counted(&app, &context, body, &labels, betas).await
    })
    .await
}

/// What a client says that it knows besides.
fn betas(request: &Request) -> Vec<String> {
    let lines = request.headers().get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|beta| beta.trim().to_owned()).filter(|beta| !beta.is_empty()).collect()
}

/// Tokens; cached ones are not part of `input_tokens`.
#[derive(Debug, Clone, Serialize)]
struct WireUsage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: CacheCreation,
    output_tokens: u64,
    /// Left out where nobody says that anything was thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<OutputDetails>,
    /// How often Anthropic's own tools ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<Value>,
    /// The passes of one answer, where Anthropic made several.
    #[serde(skip_serializing_if = "Option::is_none")]
    iterations: Option<Value>,
    /// At which terms the provider says that it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_geo: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<Value>,
}

/// Tokens written to the cache, by how long they stay.
#[derive(Debug, Clone, Default, Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Debug, Clone, Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl WireUsage {
    /// What is known, and what the provider says beside it.
    fn new(usage: Option<Usage>, extra: &Map<String, Value>) -> Self {
        // The sums leave out there what it took to shorten the conversation, which `iterations` tell.
        let usage = usage.unwrap_or_default().minus(compaction(extra.get("iterations")));
        Self {
            input_tokens: usage.uncached_tokens(),
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cache_read_tokens,
            cache_creation: CacheCreation {
                ephemeral_5m_input_tokens: usage.cache_write_tokens.saturating_sub(usage.cache_write_1h_tokens),
                ephemeral_1h_input_tokens: usage.cache_write_1h_tokens,
            },
            output_tokens: usage.completion_tokens,
            output_tokens_details: (usage.reasoning_tokens > 0)
                .then_some(OutputDetails { thinking_tokens: usage.reasoning_tokens }),
            server_tool_use: extra.get("server_tool_use").cloned(),
            iterations: extra.get("iterations").cloned(),
            service_tier: extra.get("service_tier").cloned(),
            inference_geo: extra.get("inference_geo").cloned(),
            speed: extra.get("speed").cloned(),
        }
    }
}

/// A call as a block. Its signature, which must come back with it, stands where the other door has it.
#[derive(Debug, Serialize)]
struct ToolUse {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    name: String,
    /// As the model wrote it, where that is JSON: our numbers have 64 bits.
    input: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
    #[serde(flatten)]
    own: Map<String, Value>,
}

impl ToolUse {
    fn of(call: &ToolCall) -> Self {
        let input = written(some(&call.arguments)).or_else(|| to_raw_value(&json!({"_raw": call.arguments})).ok());
        Self {
            kind: "tool_use",
            id: call.id.clone(),
            name: call.name.clone(),
            input: input.unwrap_or_default(),
            extra_content: call.signature.clone().map(ExtraContent::of),
            own: call.own.as_ref().and_then(|own| own.fields("anthropic")).cloned().unwrap_or_default(),
        }
    }
}

fn name_of(context: &Context) -> String {
    format!("msg_{}", context.id.trim_start_matches("req_"))
}

/// Anthropic's own word, where there is one that we have none for.
fn reason(answer: &Answer) -> String {
    let own = answer.extra.get("stop_reason").and_then(Value::as_str);
    match &answer.finish_reason {
        FinishReason::Stop => "end_turn",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => own.unwrap_or("max_tokens"),
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Pause => own.unwrap_or("pause_turn"),
        FinishReason::Other(other) => other,
    }
    .to_owned()
}

/// The arguments of a call without any: some models write `null`.
fn some(arguments: &str) -> &str {
    if arguments.trim() == "null" { "{}" } else { arguments }
}

/// A thought as a block.
fn thought(thought: &Thought) -> Value {
    match &thought.redacted {
        Some(data) => json!({"type": "redacted_thinking", "data": data}),
        None => {
            json!({"type": "thinking", "thinking": thought.text, "signature": thought.signature.as_deref().unwrap_or(proof::NONE)})
        }
    }
}

/// How Anthropic says that a conversation does not fit: its clients look for these words, and shorten it.
const TOO_LONG: &str = "prompt is too long";

/// An error as the dialect's clients read it.
pub(super) fn error(error: &Error, request_id: &str) -> Value {
    let kind = match error.code() {
        Code::InvalidRequest | Code::NotSupported | Code::ContextLength | Code::ContentFilter => "invalid_request_error",
        Code::BodyTooLarge => "request_too_large",
        Code::InvalidModel | Code::NotFound => "not_found_error",
        Code::RateLimit => "rate_limit_error",
        Code::Overloaded => "overloaded_error",
        Code::Authentication => "authentication_error",
        Code::Budget => "billing_error",
        Code::Timeout => "timeout_error",
        _ => "api_error",
    };
    let mut message = Door::Anthropic.renamed(error.message());
    if error.code() == Code::ContextLength && !message.contains(TOO_LONG) {
        message = format!("{TOO_LONG}: {message}");
    }
    let mut body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id});
    // The vendor's clients read of its own what to do.
    let told = error.refusal().details.as_deref().and_then(|details| serde_json::from_str(details).ok());
    if let Some(details) = told.or_else(|| error.details().cloned()) {
        body["error"]["details"] = details;
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;
    use crate::server::door::provided::Left;

    #[test]
    fn what_anthropic_says_of_a_failure_stands_before_what_we_do() {
        let ours = Error::new(Code::Overloaded, "x").with_details(json!({"usage": {"prompt_tokens": 1}}));
        let told = |failure: &Error| error(failure, "r")["error"]["details"].clone();
        assert_eq!(told(&ours), json!({"usage": {"prompt_tokens": 1}}));
        let theirs = Refusal { details: Some(r#"{"a": 1}"#.into()), ..Refusal::default() };
        assert_eq!(told(&ours.refused(theirs)), json!({"a": 1}));
    }

    #[test]
    fn passes_and_edits_of_anthropics_stand_where_it_has_them() {
        let shortened = json!({"type": "compaction", "input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1});
        let iterations = json!([shortened, {"type": "message", "input_tokens": 9, "output_tokens": 2}]);
        let edits = json!({"applied_edits": []});
        let own = [("iterations", &iterations), ("context_management", &edits), ("made_up", &json!(1))];
        let extra: Map<String, Value> = own.map(|(name, value)| (name.to_owned(), value.clone())).into_iter().collect();
        let usage = Usage { prompt_tokens: 14, completion_tokens: 3, cache_read_tokens: 2, ..Usage::default() };
        let mut answer = Answer { extra, usage: Some(usage), ..Answer::default() };
        let left = json!(Left::new(&mut answer, Door::Anthropic));
        assert_eq!(left, json!({"extra": {"made_up": 1}}));
        let wire = json!(WireUsage::new(answer.usage, &answer.extra));
        assert_eq!(wire["iterations"], iterations);
        let sums = ["input_tokens", "cache_read_input_tokens", "output_tokens"].map(|name| wire[name].as_u64());
        assert_eq!(sums, [9, 0, 2].map(Some), "the sums leave out what `iterations` tell of it: {wire}");
        assert_eq!(answer.extra["context_management"], edits);
    }
}
