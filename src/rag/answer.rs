//! What is answered, whole and in pieces, and what every exchange on the way to it cost.

use serde::Serialize;
use serde_json::Value;

use super::charge::charge;
use crate::app::App;
use crate::chat::{ChatEvent, ChatResponse, FinishReason, Part, ToolCall, Usage, plain, reasoning, wanted};
use crate::citation::Citation;
use crate::passage::Passage;
use crate::schema::{Change, Loss, Method, Patch, Rung, Skip};

/// What an answer made of quotes calls its provider and model.
pub const EXTRACTIVE: &str = "extractive";

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub content: String,
    /// Everything else that the model said: thoughts, tool calls, raw blocks, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Who answered.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// Tokens of all attempts, where they are known.
    pub usage: Option<Usage>,
    /// Dollars of all attempts, the question's embedding included, where they are known.
    pub cost_usd: Option<f64>,
    /// Every exchange with a provider.
    pub attempts: Vec<Attempt>,
    /// What was retrieved, best first.
    pub passages: Vec<Passage>,
    /// The quotes and source numbers of the answer, checked.
    pub citations: Vec<Citation>,
    /// The answer's value, where a shape was asked for.
    pub structured: Option<Structured>,
    /// The digest of the index that was searched, or of the first one; none without an index.
    pub index_digest: Option<String>,
    /// What the caller should know: left-out parameters, and the like.
    pub warnings: Vec<String>,
    /// What only this provider says.
    pub extra: serde_json::Map<String, Value>,
    /// The failure that made us answer with quotes instead.
    pub fallback: Option<Fallback>,
}

/// One exchange with a provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// Who answered.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// Why it was made.
    pub purpose: Step,
    /// Tokens, where they are known.
    pub usage: Option<Usage>,
    /// Dollars, where they are known.
    pub cost_usd: Option<f64>,
    /// How it failed, as in `error.code`; none where it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The provider's HTTP status where it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Why an exchange with a provider was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Step {
    /// The question was answered.
    #[serde(rename = "answer")]
    Answer,
    /// The answer's citations were corrected.
    #[serde(rename = "citation repair")]
    CitationRepair,
    /// The question was embedded.
    #[serde(rename = "embedding")]
    Embedding,
    /// The answer was given its shape.
    #[serde(rename = "repair")]
    Repair,
}

/// An answer of a shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Structured {
    /// The valid value.
    pub data: Value,
    /// What was done with the answer.
    pub method: Method,
    /// How the model was asked.
    pub rung: Rung,
    /// Better ways, and why they were not taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skip>,
    /// What the provider was not told of the schema.
    pub losses: Vec<Loss>,
    /// How the value differs from what the model wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How often the model was asked.
    pub attempts: usize,
    /// What the model wrote, where the caller wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

/// Why quotes stand in for a model's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// Who failed.
    pub provider: String,
    /// How, as in `error.code`.
    pub code: &'static str,
    /// What it said.
    pub message: String,
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// The beginning, once: who answers.
    Start {
        /// The provider.
        provider: String,
        /// The model, as the provider names it.
        model: String,
        /// What the provider said by then of the tokens.
        usage: Option<Usage>,
    },
    /// The next text, thought or tool call.
    Event(ChatEvent),
    /// What the next text adds to a shaped answer. A preview: only [`Self::Valid`] can be trusted.
    Patch(Vec<Patch>),
    /// The shaped answer so far is void; this attempt, counted from 1, replaces it.
    Reset(usize),
    /// The shaped answer, whole and valid.
    Valid(Value),
    /// The end: the answer as it would have been buffered.
    Done(Box<Answer>),
}

impl Answer {
    /// The exchanges in which a model answered.
    pub(super) fn answers(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.code.is_none() && attempt.purpose != Step::Embedding)
    }

    /// Dollars of everything that succeeded, where they are known.
    pub(super) fn cost(&self) -> Option<f64> {
        let dollars: Option<f64> = self.attempts.iter().filter(|it| it.code.is_none()).map(|it| it.cost_usd).sum();
        // The sum of nothing is -0.0.
        dollars.map(|dollars| dollars + 0.0)
    }

    /// Whether the text is what the model wrote, with nothing cut out or replaced.
    pub fn is_as_written(&self) -> bool {
        plain(&self.parts) == self.content
    }

    /// Whether the model refused to answer.
    pub fn is_refused(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Refusal(_)))
    }

    /// The thoughts' text.
    pub fn reasoning(&self) -> String {
        reasoning(&self.parts)
    }

    /// What of its citations is not there, for people.
    pub fn doubts(&self) -> impl Iterator<Item = String> {
        self.citations.iter().filter_map(Citation::doubt)
    }

    /// The tools that the model wants called.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        wanted(&self.parts)
    }

    /// Takes over what a provider answered; a later answer replaces an earlier one, but what it cost stays.
    pub(super) fn take(&mut self, app: &App, response: ChatResponse, purpose: Step) {
        let cost_usd = charge(app, &self.provider, &self.model, &response);
        if !response.model.is_empty() {
            self.model.clone_from(&response.model);
        }
        self.attempts.push(Attempt {
            provider: self.provider.clone(),
            model: self.model.clone(),
            purpose,
            usage: response.usage,
            cost_usd,
            code: None,
            status: None,
        });
        self.usage = self.answers().map(|attempt| attempt.usage).reduce(|before, now| Some(before?.plus(now?))).flatten();
        self.cost_usd = self.cost();
        self.content = response.text();
        self.finish_reason = response.finish_reason;
        self.parts = response.parts;
        self.extra = response.extra;
        for warning in response.warnings {
            let warning = warning.to_string();
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Cuts it behind `max_chars` characters.
    pub(super) fn cut(&mut self, max_chars: Option<usize>) {
        let Some(max_chars) = max_chars else { return };
        if let Some((at, _)) = self.content.char_indices().nth(max_chars) {
            self.content.truncate(at);
            self.finish_reason = FinishReason::Length;
        }
    }
}
