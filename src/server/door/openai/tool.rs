//! Tools of OpenAI's dialect, and which of them is called.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::chat::{Raw, Tool, ToolChoice, Warning, Warnings};
use crate::error::{Error, Result};
use crate::provider::name_of_own;
use crate::schema::check_length;
use crate::server::door::extension::CacheControl;
use crate::server::door::unknown;

/// A tool.
#[derive(Debug, Deserialize)]
pub(super) struct WireTool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<WireToolFunction>,
    /// In its place, of a tool that takes a text.
    custom: Option<Value>,
    cache_control: Option<CacheControl>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct WireToolFunction {
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Whether tools may or must be called, and which.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`auto`, `none`, `required` or an object that names a function")]
pub(super) enum WireToolChoice {
    Word(ChoiceWord),
    Named {
        #[serde(alias = "custom")]
        function: ChoiceName,
        #[serde(flatten)]
        rest: Map<String, Value>,
    },
    Among {
        allowed_tools: Allowed,
        #[serde(flatten)]
        rest: Map<String, Value>,
    },
}

/// The tools that may be called, of all that are told.
#[derive(Debug, Deserialize)]
pub(super) struct Allowed {
    mode: ChoiceWord,
    tools: Vec<AllowedTool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct AllowedTool {
    #[serde(alias = "custom")]
    function: ChoiceName,
}

/// The choice in a word.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChoiceWord {
    Auto,
    None,
    Required,
    Any,
}

/// Who is chosen.
#[derive(Debug, Deserialize)]
pub(super) struct ChoiceName {
    name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The tools, those that only this dialect has, and whether they may or must be called.
pub(super) fn tools(
    told: Vec<WireTool>,
    choice: Option<WireToolChoice>,
    warnings: &mut Warnings,
) -> Result<(Vec<Tool>, Vec<Raw>, Option<ToolChoice>)> {
    let (mut tools, mut native_tools) = (Vec::new(), Vec::new());
    for (number, mut tool) in told.into_iter().enumerate() {
        match if tool.kind == "custom" { tool.custom.take() } else { None } {
            Some(custom) => {
                unknown(tool.rest, &format!("tools[{number}]"), warnings);
                let value = json!({"type": "custom", "custom": custom});
                check_length(&value, &format!("tools[{number}]"))?;
                native_tools.push(Raw { dialect: "openai".into(), value });
            }
            None => tools.push(tool.neutral(number, warnings)?),
        }
    }
    let (choice, allowed) = choice.map(|choice| choice.neutral(warnings)).unzip();
    if let Some(names) = allowed.flatten() {
        let is_told = |name: &str| {
            tools.iter().any(|tool| tool.name == name) || native_tools.iter().any(|tool| name_of_own(tool) == Some(name))
        };
        if let Some(name) = names.iter().find(|name| !is_told(name)) {
            return Err(Error::bad_request(format!("`tool_choice`: there is no tool `{name}` in `tools`")));
        }
        tools.retain(|tool| names.contains(&tool.name));
        native_tools.retain(|tool| names.iter().any(|name| name_of_own(tool) == Some(name)));
        warnings.push(Warning::changed("tool_choice", "providers are told of the tools that are allowed, and of no others"));
    }
    Ok((tools, native_tools, choice))
}

impl WireTool {
    fn neutral(mut self, number: usize, warnings: &mut Warnings) -> Result<Tool> {
        if self.kind != "function" {
            let shown: String = self.kind.chars().take(40).collect();
            return Err(Error::not_supported(
                &format!("tools[{number}].type: {shown}"),
                "send tools of type `function` or `custom`",
            ));
        }
        let Some(mut function) = self.function else {
            return Err(Error::bad_request(format!("`tools[{number}].function`: missing")));
        };
        // What is not known goes to the provider where it stood.
        self.rest.retain(|_, value| !value.is_null());
        function.rest.retain(|_, value| !value.is_null());
        let mut own = self.rest;
        if !function.rest.is_empty() {
            own.insert("function".into(), function.rest.into());
        }
        let parameters = function.parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        check_length(&parameters, &format!("tools[{number}].function.parameters"))?;
        Ok(Tool {
            name: function.name,
            description: function.description,
            parameters,
            strict: function.strict,
            cache: self.cache_control.map(|control| control.mark(&format!("tools[{number}]"), warnings)),
            own: (!own.is_empty()).then(|| Raw { dialect: "openai".into(), value: own.into() }),
        })
    }
}

impl WireToolChoice {
    /// The choice, and the names of those among which it is where these are not all.
    fn neutral(self, warnings: &mut Warnings) -> (ToolChoice, Option<Vec<String>>) {
        match self {
            Self::Word(word) => (word.into(), None),
            Self::Among { allowed_tools, mut rest } => {
                rest.shift_remove("type");
                unknown(rest, "tool_choice", warnings);
                unknown(allowed_tools.rest, "tool_choice.allowed_tools", warnings);
                let names = allowed_tools.tools.into_iter().map(|tool| tool.function.name).collect();
                (allowed_tools.mode.into(), Some(names))
            }
            Self::Named { function, mut rest } => {
                // The name says enough.
                rest.shift_remove("type");
                unknown(rest, "tool_choice", warnings);
                unknown(function.rest, "tool_choice.function", warnings);
                (ToolChoice::Tool(function.name), None)
            }
        }
    }
}

impl From<ChoiceWord> for ToolChoice {
    fn from(word: ChoiceWord) -> Self {
        match word {
            ChoiceWord::Auto => Self::Auto,
            ChoiceWord::None => Self::None,
            ChoiceWord::Required | ChoiceWord::Any => Self::Required,
        }
    }
}
