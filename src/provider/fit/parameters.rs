//! Names of tools' parameters that a provider refuses: in the schema, in calls of the conversation, and back in the answer's calls.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Fit;
use super::tools::alias_of;
use crate::chat::Warning;

impl Fit<'_> {
    /// Renames the properties of a tool's schema that would be refused.
    pub(super) fn parameters(&mut self, schema: &mut Value) {
        let (Value::Object(fields), true) = (schema, self.caps.parameter_name_chars > 0) else { return };
        for (keyword, value) in fields {
            match (keyword.as_str(), value) {
                ("properties", Value::Object(named)) => {
                    *named = std::mem::take(named).into_iter().map(|(name, schema)| (self.parameter(name), schema)).collect();
                    named.values_mut().for_each(|schema| self.parameters(schema));
                }
                ("$defs" | "definitions", Value::Object(named)) => named.values_mut().for_each(|schema| self.parameters(schema)),
                ("required" | "propertyOrdering", Value::Array(names)) => {
                    for name in names {
                        if let Value::String(name) = name {
                            *name = self.parameter(std::mem::take(name));
                        }
                    }
                }
                ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(list)) => {
                    list.iter_mut().for_each(|schema| self.parameters(schema));
                }
                ("items" | "additionalProperties", schema) => self.parameters(schema),
                _ => {}
            }
        }
    }

    fn parameter(&mut self, name: String) -> String {
        let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let Some(alias) = alias_of(&name, self.caps.parameter_name_chars, false, good) else { return name };
        if self.back.parameters.insert(alias.clone(), name.clone()).is_none() {
            let detail = format!("`{}` does not take `{name}`: `{alias}`", self.who);
            self.warnings.push(Warning::renamed("tools.parameters", detail));
        }
        alias
    }
}

/// Arguments with other names, where there are any; what is no whole JSON stays as it is.
pub(super) fn rename(arguments: &mut String, names: &BTreeMap<String, String>) {
    if names.is_empty() {
        return;
    }
    if let Ok(mut value) = serde_json::from_str::<Value>(arguments) {
        rename_keys(&mut value, names);
        *arguments = value.to_string();
    }
}

fn rename_keys(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| rename_keys(value, names));
            let renamed =
                std::mem::take(fields).into_iter().map(|(name, value)| (names.get(&name).cloned().unwrap_or(name), value));
            *fields = renamed.collect::<Map<String, Value>>();
        }
        Value::Array(items) => items.iter_mut().for_each(|value| rename_keys(value, names)),
        _ => {}
    }
}
