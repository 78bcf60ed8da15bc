//! A whole answer in OpenAI's dialect.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::{Logprobs, ReasoningDetail, WireCall, WireUsage, annotations, call, content, details, name_of, reason};
use crate::app::App;
use crate::chat::Part;
use crate::error::Result;
use crate::rag::{self, Question};
use crate::server::Context;
use crate::server::door::{Door, Omni, model_of, now_s};
use crate::server::request::Shown;
use crate::server::response;

/// The answer.
#[derive(Debug, Serialize)]
struct Completion {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<Value>,
    omni: Omni,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    message: Said,
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Said {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<ReasoningDetail>,
}

/// Answers whole.
pub(super) async fn whole(app: &Arc<App>, context: &Context, (question, shown): (Question, Shown)) -> Result<Response> {
    let mut answer = rag::answer(app, question, context.deadline, context.end).await?;
    context.answered(&answer);
    let omni = Omni::new(context, &mut answer, shown, Door::OpenAi);
    let model = model_of(&answer);
    let (finish_reason, annotations, (content, refusal)) = (reason(&answer), annotations(&answer, &omni), content(&answer));
    let usage = WireUsage::of(&answer);
    let (reasoning, reasoning_details) = (answer.reasoning(), details(&answer.parts));
    let tool_calls: Vec<WireCall> = answer
        .parts
        .into_iter()
        .filter_map(|part| match part {
            Part::ToolCall(it) => Some(call(it)),
            _ => None,
        })
        .collect();
    let audio = answer.extra.shift_remove("audio");
    let is_silent = content.is_empty() && (!tool_calls.is_empty() || refusal.is_some() || audio.is_some());
    let mut logprobs = Logprobs::default();
    answer.extra.iter().for_each(|(name, tokens)| {
        logprobs.take(name, tokens);
    });
    let completion = Completion {
        id: name_of(context),
        object: "chat.completion",
        created: now_s(),
        model,
        choices: vec![Choice {
            index: 0,
            message: Said {
                role: "assistant",
                content: (!is_silent).then_some(content),
                refusal,
                annotations,
                audio,
                tool_calls,
                reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
                reasoning_details,
            },
            logprobs: logprobs.some(),
            finish_reason,
        }],
        usage,
        service_tier: answer.extra.shift_remove("service_tier"),
        system_fingerprint: answer.extra.shift_remove("system_fingerprint"),
        omni,
    };
    Ok(response::json(StatusCode::OK, &completion))
}
