//! What a model is asked.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CacheMark, Message, Raw, Trace};

/// One question to a model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The provider's name of the model.
    #[serde(default)]
    pub model: String,
    /// The conversation, oldest first. System messages may stand anywhere; dialects that want them first get them first.
    pub messages: Vec<Message>,
    /// How to sample.
    #[serde(default)]
    pub sampling: Sampling,
    /// How hard to think; none leaves it to the provider.
    pub reasoning: Option<Reasoning>,
    /// How much an answer may take, whether it thinks or not (Claude's `output_config.effort`). Unlike [`Reasoning::effort`] it is
    /// no wish to think.
    pub effort: Option<Effort>,
    /// The tools that may be called.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Tools that only one dialect has and its provider runs or explains to the model itself, as it writes them: refused elsewhere.
    #[serde(default)]
    pub native_tools: Vec<Raw>,
    /// Whether they may or must be called; none leaves it to the provider, which means `auto`.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several may be called at once; none leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// How the answer is written.
    #[serde(default)]
    pub response_format: ResponseFormat,
    /// The provider's name of a service level: `auto`, `default`, `flex`, `priority`, ...
    pub service_tier: Option<String>,
    /// An opaque name of the person at the other end, for the provider's abuse checks.
    pub user: Option<String>,
    /// What of Claude's own is to be switched on (`anthropic-beta`). Those that the model does not take are left out, said so.
    #[serde(default)]
    pub betas: Vec<String>,
    /// Fields of the provider's own, merged into the body that is sent. They cannot replace the model, the messages or the stream
    /// flag.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// The dialect that the caller spoke, as in `openai`: what its specification names in `extra` goes to no other. Empty where the
    /// caller named the provider's own fields.
    #[serde(default)]
    pub extra_dialect: String,
    /// What happens to it on its way.
    #[serde(skip)]
    pub trace: Trace,
}

/// How the answer is to be sampled; `None` leaves it to the provider.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// Upper bound of the answer, reasoning included, in the model's tokens.
    pub max_tokens: Option<u32>,
    /// Upper bound of the answer where there is no `max_tokens`: what it takes to reason comes on top.
    pub answer_tokens: Option<u32>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// Sample among this many tokens; not every dialect has it.
    pub top_k: Option<u32>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
    /// For repeatable sampling, where the provider has it.
    pub seed: Option<i64>,
}

/// How hard to think before answering. What a model does not know is mapped to the nearest that it does, said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reasoning {
    /// A manner of thinking that is neither an effort nor a budget.
    pub think: Option<Think>,
    /// In words; [`Effort::None`] switches it off.
    pub effort: Option<Effort>,
    /// In tokens.
    pub budget_tokens: Option<u32>,
    /// Whether thoughts are wanted in the answer; none leaves it to the provider.
    pub show: Option<bool>,
}

/// Manners of thinking that are neither an effort nor a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Think {
    /// As much as the model sees fit.
    Adaptive,
    /// Think only between tool calls. Comes with [`Effort::None`], which is how models without this mode take it.
    BetweenTools,
}

/// Steps of effort, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

/// A function that the model may ask us to call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// As the caller calls it; dialects with narrower rules get an alias, which is undone in the answer.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments, an object.
    pub parameters: Value,
    /// Whether the provider must hold the model to the schema.
    pub strict: Option<bool>,
    /// Whether the list of tools may be cached. Tools are sent in an order of their own, so it is all of them.
    pub cache: Option<CacheMark>,
    /// Fields of one dialect's own, as they stand in its tool; left out, said so, elsewhere.
    pub own: Option<Raw>,
}

/// Whether tools may or must be called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// None may be called.
    None,
    /// At least one must be called.
    Required,
    /// This one must be called.
    Tool(String),
}

/// How the answer is written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// As the model likes.
    #[default]
    Text,
    /// One JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// 1 to 64 of `A-Z a-z 0-9 _ -`.
        name: String,
        /// What it is.
        description: Option<String>,
        /// The schema as the provider is to get it: dialects write it as it is.
        schema: Value,
        /// Whether the provider must hold the model to it.
        strict: Option<bool>,
    },
}

impl ChatRequest {
    /// Whether the model has something to call.
    pub fn has_tools(&self) -> bool {
        !self.tools.is_empty() || !self.native_tools.is_empty()
    }
}

impl ResponseFormat {
    /// Whether nothing was asked.
    pub fn is_text(&self) -> bool {
        *self == Self::Text
    }
}

impl Effort {
    /// Every step, lowest first.
    pub const ALL: [Self; 7] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}
