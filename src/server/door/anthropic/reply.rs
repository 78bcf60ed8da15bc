//! A whole answer in Anthropic's dialect.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ToolUse, WireUsage, name_of, reason, thought};
use crate::app::App;
use crate::chat::Part;
use crate::error::Result;
use crate::rag::{self, Question};
use crate::server::Context;
use crate::server::door::{Door, Omni, model_of};
use crate::server::request::Shown;
use crate::server::response::json;

/// The answer.
#[derive(Debug, Serialize)]
struct Reply {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: String,
    content: Vec<Block>,
    stop_reason: String,
    stop_sequence: Option<Value>,
    stop_details: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_management: Option<Value>,
    usage: WireUsage,
    omni: Omni,
}

/// A block of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Block {
    Call(Box<ToolUse>),
    Other(Value),
}

impl From<Value> for Block {
    fn from(value: Value) -> Self {
        Self::Other(value)
    }
}

/// Answers whole.
pub(super) async fn whole(app: &Arc<App>, context: &Context, (question, shown): (Question, Shown)) -> Result<Response> {
    let mut answer = rag::answer(app, question, context.deadline, context.end).await?;
    context.answered(&answer);
    let omni = Omni::new(context, &mut answer, shown, Door::Anthropic);
    let model = model_of(&answer);
    // A text that was changed since is taken from `content`; it stands where the first text stood.
    let is_as_written = answer.is_as_written();
    let text = |text: &str| Block::from(json!({"type": "text", "text": text}));
    let (mut content, mut told) = (Vec::new(), is_as_written || answer.content.is_empty());
    for part in &answer.parts {
        match part {
            Part::Text(said) | Part::Refusal(said) if is_as_written => content.push(text(said)),
            Part::Citation(raw) if is_as_written && raw.dialect == "anthropic" => {
                if let Some(Block::Other(block)) = content.last_mut() {
                    cite(block, &raw.value);
                }
            }
            Part::Text(_) if !std::mem::replace(&mut told, true) => content.push(text(&answer.content)),
            Part::Reasoning(it) => content.push(thought(it).into()),
            Part::ToolCall(call) => content.push(Block::Call(ToolUse::of(call).into())),
            Part::Raw(raw) if raw.dialect == "anthropic" => content.push(raw.value.clone().into()),
            _ => {}
        }
    }
    if !told {
        content.push(text(&answer.content));
    }
    // Where a stream is at its end: on its last text.
    if let Some(Block::Other(block)) = content.last_mut()
        && block["type"] == "text"
        && !answer.is_refused()
    {
        let start = answer.content.len().saturating_sub(block["text"].as_str().map_or(0, str::len));
        omni.told.iter().filter(|(at, _)| *at >= start).for_each(|(_, citation)| cite(block, citation));
    }
    let reply = Reply {
        id: name_of(context),
        kind: "message",
        role: "assistant",
        model,
        content,
        stop_reason: reason(&answer),
        stop_sequence: answer.extra.shift_remove("stop_sequence"),
        stop_details: answer.extra.shift_remove("stop_details"),
        container: answer.extra.shift_remove("container"),
        context_management: answer.extra.shift_remove("context_management"),
        usage: WireUsage::new(answer.usage, &answer.extra),
        omni,
    };
    Ok(json(StatusCode::OK, &reply))
}

/// Adds a citation to the block that rests on it.
fn cite(block: &mut Value, citation: &Value) {
    match block["citations"].as_array_mut() {
        Some(citations) => citations.push(citation.clone()),
        None => block["citations"] = json!([citation]),
    }
}
