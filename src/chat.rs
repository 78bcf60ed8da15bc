//! The neutral words of a conversation. Every dialect is translated from and to these; nothing here knows a provider.
//!
//! A message is a list of [`Part`]s, because that is the finest grain that any provider has: text, images, tool calls and reasoning
//! keep their order and identity. A streamed answer is a list of [`ChatEvent`]s; [`Fold`] turns it into the [`ChatResponse`] that
//! the buffered answer would have been, and buffered answers are read through the same fold, so both are equal by construction.
//! JSON that a model wrote (tool arguments) is kept as text: parsing it would lose what does not fit our numbers.

mod event;
mod place;
pub(crate) mod proof;
mod request;
mod trace;
mod warning;

pub(crate) use event::push_base64;
pub use event::{ChatEvent, Fold, fold, unfold};
pub use place::{holds, place, untold};
pub use request::{ChatRequest, Effort, Reasoning, ResponseFormat, Sampling, Think, Tool, ToolChoice};
pub use trace::{Failed, Progress, Trace};
pub use warning::{Action, Warning, Warnings};

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions. OpenAI's `developer` is the same.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What tools answered: nothing but [`Part::ToolResult`]s.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// The smallest unit that keeps its identity through translation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// What the text before it rests on, as the dialect that cites writes it; left out, said so, elsewhere.
    Citation(Raw),
    /// What the model says in the place of an answer that it refuses.
    Refusal(String),
    /// A picture.
    Image(Media),
    /// A document, as PDF or text.
    Document(Media),
    /// What the model thought, replayed byte for byte.
    Reasoning(Thought),
    /// The model wants a tool called.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// What stands before this may be cached by the provider.
    CachePoint(CacheMark),
    /// Something that only one dialect knows (a server-side tool's block, for example), replayed to the same dialect and left out,
    /// said so, elsewhere.
    Raw(Raw),
}

/// A file shown to the model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// Where its bytes are.
    pub source: Source,
    /// Its name or title.
    pub name: Option<String>,
    /// How closely to look at a picture: `auto`, `low`, `high`.
    pub detail: Option<String>,
    /// What the model should know about a document and not cite.
    pub context: Option<String>,
    /// Whether a document is to be cited from.
    #[serde(default)]
    pub cited: bool,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// An address that the provider fetches. We never do.
    Url {
        /// The address.
        url: String,
        /// Its media type, where it is known.
        media_type: Option<String>,
    },
    /// The bytes.
    Base64 {
        /// As in `image/png`.
        media_type: String,
        /// Standard base64, padded. Shared, because requests are copied on their way.
        #[serde(deserialize_with = "shared")]
        data: Arc<str>,
    },
    /// Plain text, for documents.
    Text(String),
}

/// What a model thought before or between its answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thought {
    /// What may be shown; empty where the provider hides it.
    #[serde(default)]
    pub text: String,
    /// The provider's proof that the text is its own. It must come back unaltered. The vendor's name and a colon stand in front of
    /// it, unless it is Claude's.
    pub signature: Option<String>,
    /// Encrypted thought without a text. It must come back unaltered; the vendor's name stands in front, as in a signature.
    pub redacted: Option<String>,
}

/// The model wants a tool called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Unique in the conversation.
    pub id: String,
    /// The tool's name as the caller gave it.
    pub name: String,
    /// A JSON object as text; whatever the model wrote where it is none.
    pub arguments: String,
    /// An opaque value that must come back with the call (Gemini's `thoughtSignature`).
    pub signature: Option<String>,
    /// Fields of one dialect's own, as they stand in its call: who called (Claude's `caller`, `toolset_name`), or that it is of a
    /// `custom` tool of OpenAI's, whose arguments are any text.
    #[serde(default)]
    pub own: Option<Raw>,
}

/// What a tool answered.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolResult {
    /// The [`ToolCall::id`] that is answered.
    pub call_id: String,
    /// Text, images and documents.
    pub content: Vec<Part>,
    /// Whether the tool failed.
    #[serde(default)]
    pub is_error: bool,
    /// Fields of one dialect's own, as they stand in its result.
    #[serde(default)]
    pub own: Option<Raw>,
}

/// How long a provider may keep a cached prompt, shortest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum CacheTtl {
    /// Five minutes.
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    OneHour,
}

/// A mark of the cache: what stands before it may be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "CacheTtl")]
pub struct CacheMark {
    /// How long.
    pub ttl: CacheTtl,
    /// Fields of one dialect's own, as they stand in its mark; left out, said so, elsewhere.
    pub own: Option<Raw>,
}

/// A block that only one dialect knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// As in `anthropic`.
    pub dialect: String,
    /// The block as it came.
    pub value: Value,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatResponse {
    /// The provider's name of this answer; empty where it gives none.
    pub id: String,
    /// The model as the provider names it; empty where it does not.
    pub model: String,
    /// Texts, thoughts, tool calls and raw blocks in the order in which they came. Neighbouring texts are one, unless the provider
    /// tells them apart, as those do that cite.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens, where the provider said so.
    pub usage: Option<Usage>,
    /// What was dropped, renamed or changed on the way to the provider.
    pub warnings: Vec<Warning>,
    /// What only this provider says, by its own names: `stop_sequence`, `annotations`, `logprobs`, `service_tier`, ...
    pub extra: Map<String, Value>,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FinishReason {
    /// The model was done.
    #[default]
    Stop,
    /// A stop sequence was met.
    StopSequence,
    /// The token limit or the context window was reached.
    Length,
    /// The model wants tools called.
    ToolCalls,
    /// The provider withheld the answer or its rest.
    ContentFilter,
    /// The provider paused a long turn: send the answer back as it is to go on.
    Pause,
    /// A reason that we do not know, as the provider names it. Never taken for [`Self::Stop`].
    Other(String),
}

/// Tokens of one exchange, counted alike for all providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, those read from and written to a cache included.
    pub prompt_tokens: u64,
    /// Tokens of the answer, those of reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens read from the provider's cache; part of `prompt_tokens`.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Prompt tokens written to the provider's cache, of any lifetime; part of `prompt_tokens`.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// Those of `cache_write_tokens` that live an hour and cost more.
    #[serde(default)]
    pub cache_write_1h_tokens: u64,
    /// Answer tokens spent on reasoning; part of `completion_tokens`, 0 where the provider does not say.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(more.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(more.completion_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(more.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(more.cache_write_tokens),
            cache_write_1h_tokens: self.cache_write_1h_tokens.saturating_add(more.cache_write_1h_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(more.reasoning_tokens),
        }
    }

    /// Without a part of it.
    #[must_use]
    pub fn minus(self, part: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_sub(part.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_sub(part.completion_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_sub(part.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_sub(part.cache_write_tokens),
            cache_write_1h_tokens: self.cache_write_1h_tokens.saturating_sub(part.cache_write_1h_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_sub(part.reasoning_tokens),
        }
    }
}

impl Media {
    /// A file of which nothing else is known.
    pub fn of(source: Source) -> Self {
        Self { source, name: None, detail: None, context: None, cited: false }
    }
}

impl ToolCall {
    /// Whether its arguments are a text and no JSON.
    pub fn is_text(&self) -> bool {
        self.own.as_ref().is_some_and(Raw::is_custom_call)
    }
}

impl Raw {
    /// The fields that it has of `dialect`'s own.
    pub(crate) fn fields(&self, dialect: &str) -> Option<&Map<String, Value>> {
        self.value.as_object().filter(|_| self.dialect == dialect)
    }

    /// A block of `dialect`'s.
    pub fn of(dialect: &str, value: impl Into<Value>) -> Self {
        Self { dialect: dialect.to_owned(), value: value.into() }
    }

    /// Whether it says of a call that it is one of OpenAI's `custom` tools.
    pub(crate) fn is_custom_call(&self) -> bool {
        self.dialect == "openai" && self.value["type"] == "custom"
    }
}

impl Message {
    /// A message of text alone.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }

    /// Its texts, joined.
    pub fn plain(&self) -> String {
        plain(&self.parts)
    }
}

impl ChatResponse {
    /// The answer's text, or its refusal, without thoughts and tool calls.
    pub fn text(&self) -> String {
        plain(&self.parts)
    }

    /// The thoughts' text.
    pub fn reasoning(&self) -> String {
        reasoning(&self.parts)
    }

    /// The tools that the model wants called.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        wanted(&self.parts)
    }
}

impl FinishReason {
    /// Its spelling in our API; an unknown one keeps the provider's.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::StopSequence => "stop_sequence",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Pause => "pause",
            Self::Other(reason) => reason,
        }
    }
}

impl Serialize for FinishReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<CacheTtl> for CacheMark {
    fn from(ttl: CacheTtl) -> Self {
        Self { ttl, own: None }
    }
}

impl CacheTtl {
    /// `5m` or `1h`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }
}

impl Usage {
    /// Prompt and answer together.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Prompt tokens at the full price.
    pub fn uncached_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_sub(self.cache_read_tokens).saturating_sub(self.cache_write_tokens)
    }
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(deserializer).map(Arc::from)
}

/// The texts among `parts`, joined; a refusal is one.
pub fn plain(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The thoughts' text among `parts`, joined.
pub(crate) fn reasoning(parts: &[Part]) -> String {
    let thoughts = parts.iter().filter_map(|part| match part {
        Part::Reasoning(thought) => Some(thought.text.as_str()),
        _ => None,
    });
    thoughts.collect()
}

/// The calls among parts, but for those that the provider ran itself: what its tool answered stands beside them.
pub(crate) fn wanted(parts: &[Part]) -> impl Iterator<Item = &ToolCall> {
    let is_answered = |call: &ToolCall| {
        parts.iter().any(|part| match part {
            Part::Raw(raw) => raw.value["role"] == "tool" && raw.value["tool_call_id"] == call.id,
            _ => false,
        })
    };
    parts.iter().filter_map(move |part| match part {
        Part::ToolCall(call) if !is_answered(call) => Some(call),
        _ => None,
    })
}
