//! What a model of a provider accepts: a record of data, which rules fill.

mod rule;
mod strict_schema;

use serde::Deserialize;

pub use self::rule::Rules;
use self::strict_schema::StrictSchema;
use crate::chat::{Effort, Reasoning};

/// What one model of one provider accepts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Takes `temperature`.
    pub temperature: bool,
    /// The highest temperature that it takes; a higher one is lowered.
    pub max_temperature: f64,
    /// Takes `top_p`.
    pub top_p: bool,
    /// Takes `temperature` and `top_p` together.
    pub temperature_with_top_p: bool,
    /// Takes `top_k`.
    pub top_k: bool,
    /// Takes `frequency_penalty` and `presence_penalty`.
    pub penalties: bool,
    /// Takes temperature, `top_p`, `top_k` and penalties while it reasons.
    pub sampling_while_reasoning: bool,
    /// What it calls `seed`; empty where it has none.
    pub seed: String,
    /// What it calls `max_tokens`.
    pub max_tokens: String,
    /// Sent where nobody gives a bound, the provider needs one and `most_tokens` is not known; 0 sends none.
    pub default_max_tokens: u32,
    /// The most tokens of an answer; 0 is not known.
    pub most_tokens: u32,
    /// Texts in `stop_sequences`; 0 leaves them out, said so.
    pub stop_sequences: usize,
    /// What it calls `user`; empty where it has none.
    pub user: String,
    /// Longest name of a user that it takes, in characters; 0 is any.
    pub user_chars: usize,
    /// The words that it takes as `service_tier`; `*` is any.
    pub service_tiers: Vec<String>,

    /// Takes tools.
    pub tools: bool,
    /// Takes `tool_choice` `none`.
    pub tool_choice_none: bool,
    /// Takes `tool_choice` `required`, in this spelling; empty where it does not.
    pub tool_choice_required: String,
    /// Takes `tool_choice` naming a tool.
    pub tool_choice_tool: bool,
    /// Can be made to call a tool while it reasons.
    pub tool_choice_while_reasoning: bool,
    /// Takes tools while it reasons.
    pub tools_while_reasoning: bool,
    /// Takes `parallel_tool_calls`.
    pub parallel_tool_calls: bool,
    /// Takes `strict` on a tool.
    pub strict_tools: bool,
    /// The most that all strict tools of a request may hold together, with its schema.
    pub strict_limits: StrictLimits,
    /// What the schema of a strict tool may say.
    pub strict_schema: StrictSchema,
    /// Longest name of a tool.
    pub tool_name_chars: usize,
    /// Whether a tool's name may hold a point or a colon, and must begin with a letter or `_`.
    pub tool_name_rule: NameRule,
    /// Longest name of a property of a tool's arguments, which then holds letters, digits and `_` only and does not begin with a
    /// digit; 0 is any name.
    pub parameter_name_chars: usize,
    /// What a tool call's id must look like.
    pub tool_id_rule: IdRule,

    /// How it is told to reason.
    pub reasoning: ReasoningMode,
    /// The efforts that it takes, lowest first.
    pub efforts: Vec<Effort>,
    /// Those that it takes while it is told not to reason; empty is all of them.
    pub efforts_off: Vec<Effort>,
    /// The least budget that it takes, in tokens.
    pub least_budget: u32,
    /// Can be told not to reason.
    pub reasoning_off: bool,
    /// Can be told whether to show its thoughts.
    pub shows_reasoning: bool,
    /// Reasons where nothing is said.
    pub reasons_by_default: bool,
    /// Reasons about what tools answered only where it is given the thoughts that led to the calls.
    pub needs_thoughts: bool,
    /// Whose proofs of thoughts it takes back: `claude`, `gemini`, `mistral`; empty where it takes none.
    pub proofs: String,
    /// Placeholder signature for a tool call that another model made; empty if none is needed.
    pub missing_signature: String,
    /// Takes Google's signature back beside a call.
    pub call_signatures: bool,
    /// Takes `thinking` as a caller of OpenAI's dialect wrote it.
    pub thinking_field: bool,
    /// Takes its thoughts back in this field of an assistant's message; empty where it does not.
    pub reasoning_field: String,

    /// Where it takes instructions.
    pub system: SystemPlace,
    /// Takes texts of white space alone.
    pub blank_text: bool,
    /// Takes pictures by address.
    pub image_url: bool,
    /// Takes pictures as bytes.
    pub image_base64: bool,
    /// Takes documents by address.
    pub document_url: bool,
    /// Takes PDF documents as bytes.
    pub document_base64: bool,
    /// Takes it that documents are to be cited, and what it should know about them.
    pub document_citations: bool,
    /// Stores whose files callers may name; empty unless the operator says otherwise.
    pub stores: Vec<Store>,
    /// Takes an assistant's message last, and goes on with it.
    pub prefill: bool,
    /// Takes marks of what may be cached.
    pub cache_points: bool,

    /// The best that it does about a JSON Schema.
    pub schema: SchemaMode,
    /// Can be told to write some JSON object.
    pub json_object: bool,
    /// Takes a schema together with tools.
    pub schema_with_tools: bool,
    /// Takes a schema while streaming.
    pub schema_with_stream: bool,
    /// What Cohere calls the schema in `response_format`.
    pub schema_key: String,

    /// Takes `stream_options.include_usage`; without it, it sends the usage unasked or never.
    pub stream_usage: bool,
    /// Takes `stream_options.include_obfuscation`, which is switched off to save bytes.
    pub stream_obfuscation: bool,
    /// Values of `anthropic-beta` that it takes; `*` is any.
    pub betas: Vec<String>,
    /// Which of the fields that OpenAI's specification alone names it takes from callers of that dialect; `*` is all.
    pub openai_fields: Vec<String>,
    /// The same of Anthropic's.
    pub anthropic_fields: Vec<String>,
}

/// Object stores that a provider reads with the operator's credentials: callers may name them only if the operator allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Google Cloud Storage, `gs://bucket/object`.
    Gs,
    /// Amazon S3, `s3://bucket/key`.
    S3,
}

/// How much strict tools may hold; what is not published has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StrictLimits {
    /// Tools.
    pub tools: Option<usize>,
    /// Properties.
    pub properties: Option<usize>,
    /// Properties that are not required.
    pub optional: Option<usize>,
    /// Places of several types.
    pub unions: Option<usize>,
    /// All tools are strict or none is.
    pub together: bool,
}

/// Which characters a tool's name may hold, beside letters, digits, `_` and `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameRule {
    /// None.
    Word,
    /// `.` and `:` too, but it begins with a letter or `_`.
    Dotted,
}

/// What a tool call's id must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdRule {
    /// Anything.
    Any,
    /// Letters, digits, `_` and `-`.
    Word,
    /// Up to 64 letters, digits, `_`, `-`, `.` and `:`.
    Bedrock,
    /// Exactly nine letters and digits.
    Nine,
}

impl Capabilities {
    /// Whether it takes an effort beside its thinking: how much an answer may take in all.
    pub fn takes_effort(&self) -> bool {
        match self.reasoning {
            ReasoningMode::Adaptive | ReasoningMode::Always | ReasoningMode::BetweenTools => true,
            ReasoningMode::Budget => !self.efforts.is_empty(),
            ReasoningMode::None | ReasoningMode::Effort | ReasoningMode::Level => false,
        }
    }

    /// Whether it will reason where this is wished.
    pub fn reasons(&self, wish: Option<Reasoning>) -> bool {
        match wish {
            None => self.reasons_by_default,
            Some(Reasoning { effort: Some(Effort::None), .. }) => self.reasoning == ReasoningMode::Always || !self.reasoning_off,
            Some(_) => self.reasoning != ReasoningMode::None,
        }
    }
}

/// Where a model takes instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemPlace {
    /// Wherever they stand.
    Anywhere,
    /// In front of the conversation.
    First,
    /// First, or right after a user message that an assistant message or nothing follows.
    BehindUser,
}

/// How a model is told to reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningMode {
    /// Not at all.
    None,
    /// `reasoning_effort` in words.
    Effort,
    /// A budget of tokens.
    Budget,
    /// `thinking: adaptive` and an effort in words.
    Adaptive,
    /// As adaptive, but it cannot be switched off.
    Always,
    /// As adaptive, and `between_tools` in the place of off.
    BetweenTools,
    /// Gemini's `thinkingLevel`.
    Level,
}

/// The best that a model does about a JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaMode {
    /// Nothing, beyond what `json_object` says.
    None,
    /// It can be held to the schema.
    Native,
}
