//! The neutral words of a conversation. Every dialect is translated from and to these; nothing here knows a provider.

use serde::{Deserialize, Serialize};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// How the answer is to be sampled; `None` leaves it to the provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f32>,
    /// Upper bound of the answer, in the model's tokens.
    pub max_tokens: Option<u32>,
    /// 0 to 1.
    pub top_p: Option<f32>,
    /// Sample among so many tokens; not every dialect has it.
    pub top_k: Option<u32>,
    /// -2 to 2.
    pub frequency_penalty: Option<f32>,
    /// -2 to 2.
    pub presence_penalty: Option<f32>,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
    /// For repeatable sampling, where the provider has it.
    pub seed: Option<i64>,
    /// Whether the answer must be one JSON object.
    pub json: bool,
}

/// One question to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The provider's name of the model.
    pub model: String,
    /// The conversation, oldest first; system messages first.
    pub messages: Vec<Message>,
    /// How to sample.
    pub sampling: Sampling,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatResponse {
    /// The text.
    pub content: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The model as the provider names it.
    pub model: String,
    /// Tokens, where the provider said so.
    pub usage: Option<Usage>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or met a stop sequence.
    #[default]
    Stop,
    /// The token limit was reached.
    Length,
    /// The model wants tools called.
    ToolCalls,
    /// The provider withheld the rest.
    ContentFilter,
}

/// Tokens of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// A piece of a streamed answer. A stream of these folds into a [`ChatResponse`].
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// The next piece of text.
    Text(String),
    /// The model as the provider names it.
    Model(String),
    /// The usage, usually once and near the end.
    Usage(Usage),
    /// The answer is complete. A stream without it was cut.
    Finish(FinishReason),
}
