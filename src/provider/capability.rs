//! What a provider and model accept, as data: `data/capabilities.toml`, then the operator's own rules.
//!
//! A rule names providers and models by pattern and sets fields; a later rule overrides an earlier one. So a new model, or a
//! vendor's change of mind, is a row and not a branch in the code.

mod strict_schema;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::Deserialize;
use toml::Table;

use self::strict_schema::StrictSchema;
use crate::chat::{Effort, Reasoning};
use crate::error::{Error, Result};
use crate::net::guard::Store;

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
    /// Longest name of a property of a tool's arguments, which then holds letters, digits and `_` only and does not begin with a digit;
    /// 0 is any name.
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
    /// What stands in for a signature that a call from elsewhere has not; empty where none is needed.
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
    /// There, and behind what the user says, where the assistant's turn or nothing follows.
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

/// Rules in the order in which they apply: ours, which are read when somebody is asked for the first time, and the operator's.
#[derive(Debug, Default)]
pub struct Rules {
    own: Vec<Rule>,
    /// What was worked out, by provider and model.
    known: Mutex<HashMap<String, Arc<Capabilities>>>,
}

/// The file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for the reader of the file: when the facts were gathered")]
    as_of: Option<String>,
    #[serde(default)]
    rule: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    provider: Vec<String>,
    #[serde(default)]
    dialect: Vec<String>,
    #[serde(default)]
    model: Vec<String>,
    #[expect(dead_code, reason = "for the reader of the file")]
    why: Option<String>,
    set: Table,
}

/// Models whose capabilities are kept; callers name models, so the number needs a bound.
const MAX_KNOWN: usize = 512;

static BUILT_IN: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    // A test reads the file, so a build with a broken one does not pass.
    toml::from_str::<File>(include_str!("../../data/capabilities.toml")).map(|file| file.rule).unwrap_or_default()
});

impl Rules {
    /// The rules that came with the program, then the operator's, as the text of a file of the same form.
    ///
    /// # Errors
    /// The operator's text is no such file.
    pub fn new(operator: Option<&str>) -> Result<Self> {
        let Some(text) = operator else { return Ok(Self::default()) };
        let file: File = toml::from_str(text).map_err(|cause| {
            let line = cause.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            Error::bad_request(format!("capabilities: {} (line {line})", cause.message().replace('\n', " ")))
        })?;
        for (rule, number) in file.rule.iter().zip(1..) {
            check(rule).map_err(|error| error.retold(|text| format!("{text} (rule {number})")))?;
        }
        Ok(Self { own: file.rule, known: Mutex::default() })
    }

    /// What `model` of a provider, which speaks `dialect`, accepts. `names` are that of the row of ours that the provider is like, and
    /// its own.
    ///
    /// # Errors
    /// A rule sets a field that there is not, or to a value that it cannot have.
    pub fn find(&self, names: [&str; 2], dialect: &str, model: &str) -> Result<Arc<Capabilities>> {
        let key = format!("{}/{}/{model}", names[0], names[1]);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key) {
            return Ok(Arc::clone(found));
        }
        let mut table = Table::new();
        let any = |patterns: &[String], names: &[&str]| {
            patterns.is_empty() || names.iter().any(|name| patterns.iter().any(|pattern| matches(pattern, name)))
        };
        for rule in BUILT_IN.iter().chain(&self.own) {
            if any(&rule.provider, &names) && any(&rule.dialect, &[dialect]) && any(&rule.model, &[model]) {
                table.extend(rule.set.clone());
            }
        }
        let found: Arc<Capabilities> = Arc::new(table.try_into().map_err(|cause: toml::de::Error| {
            Error::internal(format!("capabilities of `{}/{model}`: {}", names[1], cause.message().replace('\n', " ")))
        })?);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, Arc::clone(&found));
        Ok(found)
    }
}

/// Whether a rule sets only what there is.
fn check(rule: &Rule) -> Result<()> {
    let mut table = Table::new();
    for base in BUILT_IN.iter().filter(|base| base.provider.is_empty() && base.dialect.is_empty() && base.model.is_empty()) {
        table.extend(base.set.clone());
    }
    table.extend(rule.set.clone());
    let outcome: std::result::Result<Capabilities, _> = table.try_into();
    outcome.map(|_| ()).map_err(|cause| Error::bad_request(format!("capabilities: {}", cause.message().replace('\n', " "))))
}

/// Whether `name` fits `pattern`, in which `*` stands for any text. Letters compare without case.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for piece in pieces {
        if let Some(piece) = last.replace(piece) {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(provider: &str, dialect: &str, model: &str) -> Arc<Capabilities> {
        Rules::new(None).unwrap().find([provider; 2], dialect, model).unwrap()
    }

    #[test]
    fn the_file_that_comes_with_the_program_is_whole() {
        let file: File = toml::from_str(include_str!("../../data/capabilities.toml")).unwrap();
        file.rule.iter().for_each(|rule| check(rule).unwrap());
        for (provider, dialect) in [
            ("openai", "openai"),
            ("anthropic", "anthropic"),
            ("bedrock", "bedrock"),
            ("vertexai", "gemini"),
            ("gemini", "gemini"),
            ("mistral", "openai"),
            ("cohere", "cohere"),
            ("groq", "openai"),
            ("custom", "openai"),
        ] {
            find(provider, dialect, "never heard of");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("gpt-5*", "GPT-5.6-sol", true),
            ("gpt-5*", "gpt-4o", false),
            ("*claude*4-7*", "us.anthropic.claude-opus-4-7-v1:0", true),
            ("*-chat", "gpt-5-chat", true),
            ("*-chat", "gpt-5-chat-2", false),
            ("a*a", "a", false),
            ("o1", "o1-mini", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn later_rules_override_earlier_ones() {
        assert!(find("openai", "openai", "gpt-4o").temperature);
        assert_eq!(find("anthropic", "anthropic", "claude-opus-4-7").reasoning, ReasoningMode::Adaptive);
        assert!(find("anthropic", "anthropic", "claude-sonnet-5-5").tool_choice_required.is_empty());
        let rules = Rules::new(Some("[[rule]]\nmodel = [\"gpt-4o\"]\nset = { temperature = false }")).unwrap();
        assert!(!rules.find(["openai"; 2], "openai", "gpt-4o").unwrap().temperature);
        let message = |text| Rules::new(Some(text)).unwrap_err().message().to_owned();
        assert!(message("[[rule]]\nset = { temprature = false }").starts_with("capabilities: unknown field `temprature`"));
        assert!(message("[[rules]]\n").starts_with("capabilities: unknown field `rules`"));
    }
}
