//! What a caller reads: the JSON of answers, hits and errors.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::door::Door;
use super::door::provided::Left;
use super::request::Shown;
use crate::chat::{FinishReason, Usage};
use crate::citation::{Citation, Status};
use crate::error::Error;
use crate::passage::Passage;
use crate::rag::{Answer, Attempt, Fallback, Found, Structured};

/// A whole answer.
#[derive(Debug, Serialize)]
pub struct QueryResponse {
    success: bool,
    response: Message,
    metadata: Metadata,
    rag_context: Vec<Source>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Cited>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_output: Option<Structured>,
    tool_calls: Vec<ToolCall>,
    error: Option<()>,
}

/// A quote or a cited statement, and where it stands in the stored text.
#[derive(Debug, Serialize)]
pub(super) struct Cited {
    /// In a structured answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Bytes of the answer's text, or of the string at `pointer`.
    answer_start: usize,
    answer_end: usize,
    /// The number of the source, counted from 1: the one where it stands, else the one that the answer names.
    source: Option<usize>,
    /// As the answer has it; none for a statement.
    quote: Option<String>,
    verified: bool,
    status: Status,
    score: f32,
    /// Where it stands; none where nothing is like it.
    document: Option<String>,
    uri: Option<String>,
    page: Option<u32>,
    chunk_id: Option<String>,
    /// Bytes of the document's text.
    start: Option<u64>,
    end: Option<u64>,
    /// What stands there.
    text: Option<String>,
}

impl Cited {
    /// Writes a citation down.
    pub(super) fn new(citation: Citation, passages: &[Passage]) -> Self {
        let found = citation.found.as_ref().and_then(|found| Some((passages.get(found.passage)?, found)));
        let passage = found.map(|(passage, _)| passage);
        let at = |place: usize| passage.map(|passage| passage.start + place as u64);
        let range = citation.found.as_ref().map(|found| found.range.clone());
        Self {
            verified: citation.is_verified(),
            answer_start: citation.span.start,
            answer_end: citation.span.end,
            source: citation.found.as_ref().map(|found| found.passage + 1).or(citation.cited),
            status: citation.status,
            score: (citation.score * 1e3).round() / 1e3,
            document: passage.map(|passage| passage.source.clone()),
            uri: passage.map(|passage| passage.uri.clone()),
            page: passage.and_then(|passage| passage.page),
            chunk_id: passage.map(|passage| passage.chunk_id.clone()),
            start: range.as_ref().and_then(|range| at(range.start)),
            end: range.as_ref().and_then(|range| at(range.end)),
            text: found.and_then(|(passage, found)| passage.content.get(found.range.clone()).map(str::to_owned)),
            pointer: citation.pointer,
            quote: citation.quote,
        }
    }
}

/// Every citation of an answer, written down.
pub(super) fn cited(citations: Vec<Citation>, passages: &[Passage]) -> Vec<Cited> {
    citations.into_iter().map(|citation| Cited::new(citation, passages)).collect()
}

#[derive(Debug, Serialize)]
struct Message {
    content: String,
    role: &'static str,
    finish_reason: FinishReason,
    /// What the model thought, as far as its provider shows it.
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
}

#[derive(Debug, Serialize)]
struct Metadata {
    model_used: String,
    provider: String,
    usage: Cost,
    execution_time: f64,
    request_id: String,
    index_digest: Option<String>,
    /// Every exchange, where there were several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<Fallback>,
    /// What the provider says beside the text.
    #[serde(flatten)]
    left: Left,
}

/// Tokens and money; what is not known is `null`, never 0.
#[derive(Debug, Serialize)]
struct Cost {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cost_usd: Option<f64>,
}

/// A passage that the answer was made from.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    content: String,
    source: String,
    page: Option<u32>,
    score: Option<f32>,
    chunk_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<SourceMetadata>,
}

#[derive(Debug, Serialize)]
struct SourceMetadata {
    title: String,
    uri: String,
    headings: String,
    #[serde(flatten)]
    document: BTreeMap<String, serde_json::Value>,
}

/// One call of a tool.
#[derive(Debug, Serialize)]
struct ToolCall {
    id: String,
    name: String,
    /// As the model wrote them, where that is JSON.
    arguments: Box<RawValue>,
}

/// JSON that a model wrote, in its own digits: our numbers have 64 bits. None where it is no JSON that everybody reads: a half of
/// a character, a number that nothing holds, too deep a list would make the whole answer unreadable.
pub(super) fn written(json: &str) -> Option<Box<RawValue>> {
    serde_json::from_str::<serde_json::Value>(json).ok()?;
    RawValue::from_string(json.to_owned()).ok()
}

/// The hits of a search.
#[derive(Debug, Serialize)]
pub struct SearchResponse {
    success: bool,
    hits: Vec<Source>,
    metadata: SearchMetadata,
    error: Option<()>,
}

#[derive(Debug, Serialize)]
struct SearchMetadata {
    retrieval: &'static str,
    execution_time: f64,
    request_id: String,
    index_digest: Option<String>,
    /// What it took to have the question embedded, where a provider was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl QueryResponse {
    /// Writes an answer down.
    pub fn new(mut answer: Answer, shown: Shown, request_id: &str, execution_time: f64) -> Self {
        let tool_calls = answer.tool_calls().map(|call| ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: written(&call.arguments).or_else(|| to_raw_value(&call.arguments).ok()).unwrap_or_default(),
        });
        let (tool_calls, reasoning_content) = (tool_calls.collect(), answer.reasoning());
        let left = Left::new(&mut answer, Door::Native);
        Self {
            tool_calls,
            citations: cited(answer.citations, &answer.passages),
            structured_output: answer.structured,
            success: true,
            response: Message {
                content: answer.content,
                role: "assistant",
                finish_reason: answer.finish_reason,
                reasoning_content,
            },
            metadata: Metadata {
                model_used: answer.model,
                provider: answer.provider,
                usage: Cost::new(answer.usage, answer.cost_usd),
                execution_time: rounded(execution_time),
                request_id: request_id.to_owned(),
                index_digest: answer.index_digest,
                attempts: if answer.attempts.len() > 1 { answer.attempts } else { Vec::new() },
                warnings: answer.warnings,
                fallback: answer.fallback,
                left,
            },
            rag_context: if shown.sources { sources(answer.passages, shown) } else { Vec::new() },
            error: None,
        }
    }
}

impl Cost {
    fn new(usage: Option<Usage>, cost_usd: Option<f64>) -> Self {
        Self {
            prompt_tokens: usage.map(|usage| usage.prompt_tokens),
            completion_tokens: usage.map(|usage| usage.completion_tokens),
            total_tokens: usage.map(|usage| usage.total_tokens()),
            cost_usd: cost_usd.map(|dollars| (dollars * 1e9).round() / 1e9),
        }
    }
}

impl SearchResponse {
    /// Writes hits down.
    pub fn new(found: Found, shown: Shown, request_id: &str, execution_time: f64) -> Self {
        Self {
            success: true,
            hits: sources(found.passages, shown),
            metadata: SearchMetadata {
                retrieval: searched(found.is_hybrid),
                execution_time: rounded(execution_time),
                request_id: request_id.to_owned(),
                index_digest: Some(found.index_digest),
                attempts: found.attempt.into_iter().collect(),
                warnings: found.warnings,
            },
            error: None,
        }
    }
}

/// By what is searched.
pub(super) fn searched(is_hybrid: bool) -> &'static str {
    if is_hybrid { "hybrid" } else { "words" }
}

/// Passages as the caller reads them.
pub(super) fn sources(passages: Vec<Passage>, shown: Shown) -> Vec<Source> {
    let source = |passage: Passage| {
        let metadata =
            SourceMetadata { title: passage.title, uri: passage.uri, headings: passage.headings, document: passage.metadata };
        Source {
            content: passage.content,
            source: passage.source,
            page: passage.page,
            score: passage.score,
            chunk_id: passage.chunk_id,
            metadata: shown.metadata.then_some(metadata),
        }
    };
    passages.into_iter().map(source).collect()
}

/// Seconds with microseconds.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// An error as the caller reads it.
#[derive(Debug, Serialize)]
pub(super) struct ErrorResponse {
    success: bool,
    error: ErrorBody,
    metadata: ErrorMetadata,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    code: &'static str,
    message: String,
    details: Details,
}

#[derive(Debug, Serialize)]
struct Details {
    provider: Option<String>,
    model: Option<String>,
    retry_after: Option<u64>,
    /// What else there is to say of this failure.
    #[serde(flatten)]
    more: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct ErrorMetadata {
    request_id: String,
    timestamp: String,
}

impl ErrorResponse {
    /// Writes an error down, without its causes: those are for the log.
    pub(super) fn new(error: &Error, request_id: &str) -> Self {
        let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Self {
            success: false,
            error: ErrorBody {
                code: error.code().as_str(),
                message: error.message().to_owned(),
                details: Details {
                    provider: named(error.provider()),
                    model: named(error.model()),
                    retry_after: error.retry_after_seconds(),
                    more: error.details().cloned(),
                },
            },
            metadata: ErrorMetadata { request_id: request_id.to_owned(), timestamp: format!("{:.3}", jiff::Timestamp::now()) },
        }
    }
}

/// JSON with a status. What cannot be written is our fault and says so.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [("content-type", "application/json")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
