//! Answers of a given shape: one canonical JSON Schema in, lowered per provider, the answer read, mended and validated.
//!
//! ```text
//! Ask (format, schema, method) -> Shape -> plan (native, forced tool, JSON mode, prompt) -> answer -> read -> valid value
//!                                            \- lower: what the provider takes, with a report of what it is not told
//! ```
//!
//! The answer is always validated against the canonical schema, whatever the provider promised. Validation is the `jsonschema`
//! crate's without its network and file features: nothing that a caller names is ever fetched.

mod ask;
mod canon;
mod effort;
mod fault;
mod format;
mod lower;
mod name;
mod objects;
mod partial;
mod plan;
mod reply;
mod simple;
mod subset;
mod walk;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

pub(crate) use ask::{Ask, Method, Shape, StrictMode};
pub(crate) use canon::check_length;
pub(crate) use lower::{Loss, WRAPPER};
pub(crate) use partial::{Partial, Patch};
pub(crate) use plan::{Means, Plan, Rung, Skip, TOOL, plan};
pub(crate) use reply::{Reading, read, repair_prompt};
pub(crate) use subset::subset;

/// Violations that are told; a model mends the first ones or none.
const MAX_VIOLATIONS: usize = 20;
/// Characters of one violation's text, which can quote the answer.
const MAX_VIOLATION_CHARS: usize = 300;
/// Steps that one pattern may take on one text; backtracking patterns can take for ever.
const PATTERN_STEPS: usize = 200_000;
/// Bytes that one compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A canonical schema, ready to validate.
pub struct Schema {
    value: Value,
    validator: jsonschema::Validator,
}

/// One difference between what a model wrote and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where in the value.
    pub pointer: String,
    /// What was done.
    pub what: &'static str,
}

/// One way in which a value breaks a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where in the value; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

impl Schema {
    /// Reads a JSON Schema of any draft. `field` is what the caller calls it.
    ///
    /// # Errors
    /// It is no schema, too large, or refers to something outside itself.
    pub fn new(value: Value, field: &str) -> Result<Self> {
        let value = canon::canonical(value, field)?;
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .with_format("date-time", format::is_date_time)
            .with_format("time", format::is_time)
            .with_format("uri", format::is_uri)
            .with_pattern_options(
                jsonschema::PatternOptions::fancy_regex()
                    .backtrack_limit(PATTERN_STEPS)
                    .size_limit(PATTERN_BYTES)
                    .dfa_size_limit(PATTERN_BYTES),
            )
            .build(&value)
            .map_err(|error| {
                let at = error.instance_path().to_string();
                Error::bad_request(format!("`{field}` at `{at}`: no JSON Schema: {}", shortened(&error.to_string())))
            })?;
        Ok(Self { value, validator })
    }

    /// The canonical schema.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether `value` is valid, and can be said to be so in time.
    pub fn is_valid(&self, value: &Value) -> bool {
        effort::is_checkable(value, &self.value) && self.validator.is_valid(value)
    }

    /// How `value` breaks it, the first 20 ways; none where it is valid.
    pub fn violations(&self, value: &Value) -> Vec<Violation> {
        if !effort::is_checkable(value, &self.value) {
            let message = "checking it takes too long: the schema's branches lead to one another at each level".to_owned();
            return vec![Violation { pointer: String::new(), message }];
        }
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        if !effort::is_tellable(value, &self.value) {
            return fault::faults(value, &self.value);
        }
        let violation = |error: jsonschema::ValidationError<'_>| Violation {
            pointer: error.instance_path().to_string(),
            message: shortened(&error.to_string()),
        };
        self.validator.iter_errors(value).take(MAX_VIOLATIONS).map(violation).collect()
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.value).finish()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_VIOLATION_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
