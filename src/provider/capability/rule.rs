//! The rules that say what models accept: `data/capabilities.toml`, then the operator's own.
//!
//! A rule names providers and models by pattern and sets fields; a later rule overrides an earlier one. So a new model, or a
//! vendor's change of mind, is a row and not a branch in the code.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::Deserialize;
use toml::Table;

use super::Capabilities;
use crate::error::{Error, Result};

/// Rules in the order in which they apply: ours, which are read when somebody is asked for the first time, and the operator's.
#[derive(Debug, Default)]
pub struct Rules {
    operator: Vec<Rule>,
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
    toml::from_str::<File>(include_str!("../../../data/capabilities.toml")).map(|file| file.rule).unwrap_or_default()
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
        Ok(Self { operator: file.rule, known: Mutex::default() })
    }

    /// What `model` of a provider, which speaks `dialect`, accepts. `names` are that of the row of ours that the provider is like,
    /// and its own.
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
        for rule in BUILT_IN.iter().chain(&self.operator) {
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
    outcome.map(drop).map_err(|cause| Error::bad_request(format!("capabilities: {}", cause.message().replace('\n', " "))))
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
    use crate::provider::capability::ReasoningMode;

    fn find(provider: &str, dialect: &str, model: &str) -> Arc<Capabilities> {
        Rules::new(None).unwrap().find([provider; 2], dialect, model).unwrap()
    }

    #[test]
    fn the_file_that_comes_with_the_program_is_whole() {
        let file: File = toml::from_str(include_str!("../../../data/capabilities.toml")).unwrap();
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
