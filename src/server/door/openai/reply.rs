//! A whole answer in OpenAI's dialect.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ExtraContent, ReasoningDetail, WireCall, WireFunction, WireUsage, detail, function, name_of, reason};
use crate::app::App;
use crate::chat::Part;
use crate::error::Result;
use crate::rag::{self, Question};
use crate::server::Context;
use crate::server::door::{Omni, model_of, now_s};
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
    omni: Omni,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    message: Said,
    logprobs: Option<Value>,
    finish_reason: String,
}

#[derive(Debug, Serialize)]
struct Said {
    role: &'static str,
    content: Option<String>,
    refusal: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<ReasoningDetail>,
}

/// Answers whole.
pub(super) async fn whole(app: &Arc<App>, context: &Context, (question, shown): (Question, Shown)) -> Result<Response> {
    let mut answer = rag::answer(app, question, context.deadline).await?;
    context.answered(&answer);
    let omni = Omni::new(context, &mut answer, shown);
    let model = model_of(&answer);
    let (mut tool_calls, mut details) = (Vec::new(), Vec::new());
    for part in answer.parts {
        match part {
            Part::ToolCall(call) => tool_calls.push(WireCall {
                id: call.id,
                kind: function(),
                function: WireFunction { name: call.name, arguments: call.arguments },
                extra_content: call.signature.map(|signature| ExtraContent { signature: Some(signature) }),
            }),
            Part::Reasoning(thought) => details.push(detail(thought)),
            _ => {}
        }
    }
    let reasoning: String = details.iter().filter_map(|detail| detail.text.as_deref()).collect();
    let is_silent = answer.content.is_empty() && !tool_calls.is_empty();
    let lists = ["logprobs", "logprobs.refusal"].map(|name| answer.extra.shift_remove(name));
    let logprobs = lists.iter().any(Option::is_some).then(|| {
        let [content, refusal] = lists;
        json!({"content": content, "refusal": refusal})
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
                content: (!is_silent).then_some(answer.content),
                refusal: answer.extra.shift_remove("refusal"),
                tool_calls,
                reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
                // A thought without a proof is told by its text.
                reasoning_details: if details.iter().any(|it| it.signature.is_some() || it.data.is_some()) {
                    details
                } else {
                    Vec::new()
                },
            },
            logprobs,
            finish_reason: reason(&answer.finish_reason),
        }],
        usage: answer.usage.map(WireUsage::from),
        service_tier: answer.extra.shift_remove("service_tier"),
        omni,
    };
    Ok(response::json(StatusCode::OK, &completion))
}
