//! What must come out of a recorded exchange, found in its raw body by the vendors' own names: it knows nothing of our readers.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod openai;

use omni_llm::provider::Dialect;
use serde_json::{Map, Value};

use super::exchange::number;

/// What must come out of an exchange.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expected {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) signatures: Vec<String>,
    /// The block of which the last of them is.
    signed: Option<u64>,
    /// Names, and arguments as JSON, of those that the provider did not answer itself.
    pub(super) calls: Vec<(String, Value)>,
    pub(super) ids: Vec<String>,
    /// Of the prompt and of the completion.
    pub(super) tokens: Option<(u64, u64)>,
    pub(super) parts: Parts,
    pub(super) finish: Option<String>,
    /// What the text rests on, as Claude and Bedrock say it.
    pub(super) citations: Vec<String>,
    /// How many blocks only Bedrock knows.
    pub(super) raws: usize,
    /// Whether some of the text is a refusal of the model's.
    pub(super) refused: bool,
    pub(super) model: Option<String>,
    /// What only this provider says.
    pub(super) extra: Map<String, Value>,
}

/// What of the tokens was cached, and how, and what was thought.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Parts {
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) written_1h: u64,
    pub(super) reasoning: u64,
}

/// Looks for what must come out, in one body or in the frames of a stream.
pub(super) fn expected(dialect: Dialect, bodies: &[Value]) -> Expected {
    let mut out = Expected::default();
    let mut calls: Vec<Draft> = Vec::new();
    match dialect {
        Dialect::OpenAi => openai::read(bodies, &mut out, &mut calls),
        Dialect::Anthropic => anthropic::read(bodies, &mut out, &mut calls),
        Dialect::Bedrock => bodies.iter().for_each(|body| bedrock::read(body, &mut out, &mut calls)),
        Dialect::Gemini => bodies.iter().for_each(|body| gemini::read(body, &mut out, &mut calls)),
        Dialect::Cohere => bodies.iter().for_each(|body| cohere::read(body, &mut out, &mut calls)),
    }
    for call in calls.into_iter().filter(|call| !call.is_answered) {
        let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        out.calls.push((call.name, serde_json::from_str(arguments).unwrap_or_else(|_| arguments.into())));
        out.ids.push(call.id);
    }
    out
}

/// A call, as far as it was told.
#[derive(Debug, Default)]
struct Draft {
    /// Of the call, or of the block that it is.
    number: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// The provider ran the tool itself.
    is_answered: bool,
}

/// Notes a fact; of several in a stream the last that says anything counts.
fn note(out: &mut Expected, name: &str, value: &Value) {
    if ![Value::Null, "".into(), serde_json::json!({}), serde_json::json!([])].contains(value) {
        out.extra.insert(name.to_owned(), value.clone());
    }
}

/// Notes a proof of a block, or the next piece of it.
fn sign(out: &mut Expected, block: Option<u64>, proof: &Value) {
    let Some(proof) = told([proof]).next() else { return };
    match out.signatures.last_mut() {
        Some(before) if block.is_some() && out.signed == block => before.push_str(proof),
        _ => out.signatures.push(proof.to_owned()),
    }
    out.signed = block;
}

/// The texts that say something.
fn told<'a>(values: impl IntoIterator<Item = &'a Value>) -> impl Iterator<Item = &'a str> {
    values.into_iter().filter_map(Value::as_str).filter(|text| !text.is_empty())
}

/// A text as it is, anything else as JSON.
fn json_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

/// Whether any of these is a number: else nothing was counted.
fn is_counted(usage: &Value, names: &[&str]) -> bool {
    names.iter().any(|name| usage[*name].is_number())
}

fn count(usage: &Value, name: &str) -> u64 {
    number(&usage[name]).unwrap_or(0)
}
