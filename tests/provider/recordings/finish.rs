//! Why an answer ended: the vendors' words for it, as the facts of the project list them.

use omni_llm::chat::FinishReason;
use omni_llm::provider::Dialect;

use super::expected::Expected;

/// The reason that must come out; none where none was told.
pub(super) fn reason(dialect: Dialect, expected: &Expected) -> Option<FinishReason> {
    let told = expected.finish.as_deref().filter(|told| !told.is_empty())?;
    let is_calling = !expected.calls.is_empty();
    Some(match dialect {
        Dialect::OpenAi if expected.refused => FinishReason::ContentFilter,
        Dialect::OpenAi => openai(told, is_calling),
        Dialect::Anthropic | Dialect::Bedrock => claude(told),
        Dialect::Gemini if told == "STOP" && is_calling => FinishReason::ToolCalls,
        Dialect::Gemini => gemini(told),
        Dialect::Cohere => match told {
            "COMPLETE" => FinishReason::Stop,
            "STOP_SEQUENCE" => FinishReason::StopSequence,
            "MAX_TOKENS" => FinishReason::Length,
            "TOOL_CALL" => FinishReason::ToolCalls,
            other => FinishReason::Other(other.to_owned()),
        },
    })
}

/// With OpenAI `stop` stands beside a call that had to be made, and copies write the words as others do.
fn openai(told: &str, is_calling: bool) -> FinishReason {
    match told.to_lowercase().as_str() {
        "stop" | "end_turn" | "eos" | "eos_token" if is_calling => FinishReason::ToolCalls,
        "stop" | "end_turn" | "eos" | "eos_token" => FinishReason::Stop,
        "tool_calls" | "tool_call" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        "stop_sequence" => FinishReason::StopSequence,
        "length" | "max_tokens" | "model_length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other(told.to_owned()),
    }
}

fn claude(told: &str) -> FinishReason {
    match told {
        "end_turn" => FinishReason::Stop,
        "tool_use" => FinishReason::ToolCalls,
        "stop_sequence" => FinishReason::StopSequence,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" | "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        "pause_turn" | "compaction" => FinishReason::Pause,
        other => FinishReason::Other(other.to_owned()),
    }
}

fn gemini(told: &str) -> FinishReason {
    match told {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "IMAGE_OTHER"
        | "ESCALATION"
        | "MODEL_ARMOR"
        | "blocked" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}
