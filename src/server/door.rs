//! The front doors in other people's dialects: what they have in common.
//!
//! A model's name says who answers: `provider/model`, `provider` (its model by default), `rag/...` (from the index, with citations),
//! `rag/extractive` (quotes; no provider, no key). A bare name is a model of the operator's provider.

pub(super) mod anthropic;
pub(super) mod embeddings;
pub(super) mod models;
pub(super) mod openai;
mod provided;

use std::collections::VecDeque;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::provided::Left;
use super::Context;
use super::field::fallbacks;
use super::rag_config::RagConfig;
use super::request::Shown;
use super::response::{self, Cited};
use super::sse;
use crate::app::App;
use crate::chat::{ChatEvent, ChatRequest, Role, Warning, Warnings};
use crate::error::{Code, Error, Result};
use crate::provider::PRESETS;
use crate::rag::{self, Answer, Attempt, EXTRACTIVE, Piece, Question};
use crate::schema::Shape;

/// What stands in front of a model that answers from the index.
const RAG: &str = "rag";

/// Whose errors and names a path speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Native,
    OpenAi,
    Anthropic,
}

impl Door {
    /// By path.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/v1/messages" => Self::Anthropic,
            "/v1/chat/completions" | "/v1/embeddings" => Self::OpenAi,
            path if path == "/v1/models" || path.starts_with("/v1/models/") => Self::OpenAi,
            _ => Self::Native,
        }
    }

    /// Writes an error in the dialect of the path.
    pub(super) fn error(self, error: &Error, request_id: &str) -> Value {
        match self {
            Self::Native => serde_json::to_value(response::ErrorResponse::new(error, request_id)).unwrap_or_default(),
            Self::OpenAi => openai::error(error),
            Self::Anthropic => anthropic::error(error, request_id),
        }
    }

    /// The status of an error. Whoever names a model that is not there gets the 404 that these dialects' clients know.
    pub(super) fn status(self, error: &Error) -> u16 {
        match error.code() {
            Code::InvalidModel if self != Self::Native => 404,
            // Nobody was asked: the caller named a provider that this service has no key for.
            Code::Authentication if error.model().is_none_or(str::is_empty) => 400,
            code => code.status(),
        }
    }
}

/// Who is meant by a model's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    provider: Option<String>,
    model: Option<String>,
    is_rag: bool,
}

impl Target {
    /// Reads a model's name.
    ///
    /// # Errors
    /// It names nobody.
    pub(super) fn read(app: &App, name: &str) -> Result<Self> {
        let (is_rag, rest) = match name.split_once('/') {
            Some((RAG, rest)) => (true, rest),
            _ if name == RAG => (true, ""),
            _ => (false, name),
        };
        if rest == EXTRACTIVE {
            return Ok(Self { provider: Some(EXTRACTIVE.into()), model: None, is_rag: true });
        }
        let is_known = |name: &str| PRESETS.iter().any(|preset| preset.name == name) || app.config().providers.contains_key(name);
        let target = |provider: Option<&str>, model: &str| Self {
            provider: provider.map(str::to_owned),
            model: (!model.is_empty()).then(|| model.to_owned()),
            is_rag,
        };
        match rest.split_once('/') {
            Some((provider, model)) if is_known(provider) => return Ok(target(Some(provider), model)),
            None if is_known(rest) => return Ok(target(Some(rest), "")),
            _ => {}
        }
        if app.config().generation.provider.is_none() && app.preferred().is_none() && (!rest.is_empty() || !is_rag) {
            let shown: String = name.chars().take(100).collect();
            let message = format!(
                "`model`: `{shown}` names no provider; write `provider/model` or `rag/extractive`; `GET /v1/models` lists what is ready"
            );
            return Err(Error::new(Code::InvalidModel, message));
        }
        Ok(target(None, rest))
    }
}

/// The extension field `rag`: `true`, `false`, or what `rag_config` of `/v1/query` takes.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`true`, `false` or an object as `rag_config` of `/v1/query`")]
pub(super) enum Rag {
    Whether(bool),
    How(Box<RagConfig>),
}

/// What a caller may add to a request of a dialect.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) rag: Option<Rag>,
    pub(super) fallbacks: Option<Vec<String>>,
    /// What the door had to leave out.
    pub(super) warnings: Warnings,
}

/// A question from a conversation, and what is shown of the sources.
///
/// # Errors
/// Retrieval is asked for and cannot be done, or a stand-in has no name.
pub(super) fn question(
    app: &App,
    target: Target,
    added: Added,
    request: ChatRequest,
    shape: Option<Shape>,
    labels: &[String],
) -> Result<(Question, Shown)> {
    let fallbacks = fallbacks(added.fallbacks)?;
    let config = match added.rag {
        Some(Rag::Whether(true)) => Some(RagConfig::default()),
        Some(Rag::Whether(false)) if target.is_rag => {
            return Err(Error::bad_request("`rag`: false, but the model's name begins with `rag/`; leave one of them out"));
        }
        Some(Rag::How(config)) if target.is_rag && config.enabled == Some(false) => {
            return Err(Error::bad_request(
                "`rag.enabled`: false, but the model's name begins with `rag/`; leave one of them out",
            ));
        }
        Some(Rag::Whether(false)) => None,
        Some(Rag::How(config)) => Some(*config),
        None => target.is_rag.then(RagConfig::default),
    };
    // What tools answered, and marks of the cache behind it, are no question.
    let mut said = request.messages.iter().rev().filter(|message| message.role == Role::User).map(crate::chat::Message::plain);
    let prompt = said.find(|text| !text.trim().is_empty()).unwrap_or_default();
    let metadata = config.as_ref().is_some_and(RagConfig::shows_metadata);
    let (retrieval, citations) = match config {
        Some(config) => {
            if prompt.trim().is_empty() {
                return Err(Error::bad_request("`messages`: the user said nothing that could be looked up in the index"));
            }
            (config.required_retrieval(app, labels)?, config.citations())
        }
        None => (None, crate::citation::Policy::default()),
    };
    let question = Question {
        prompt,
        provider: target.provider,
        model: target.model,
        fallbacks,
        request,
        retrieval,
        shape,
        citations,
        show_text: true,
        warnings: added.warnings.into_vec().iter().map(ToString::to_string).collect(),
        ..Question::default()
    };
    Ok((question, Shown { sources: true, metadata }))
}

/// What we say beyond a dialect: the field `omni` of its answers.
#[derive(Debug, Serialize)]
pub(super) struct Omni {
    request_id: String,
    provider: String,
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rag_context: Option<Vec<response::Source>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Vec<Cited>>,
    #[serde(flatten)]
    left: Left,
}

impl Omni {
    /// Takes it out of an answer that leaves through `door`.
    pub(super) fn new(context: &Context, answer: &mut Answer, shown: Shown, door: Door) -> Self {
        let is_grounded = !answer.passages.is_empty();
        let passages = std::mem::take(&mut answer.passages);
        let citations = response::cited(std::mem::take(&mut answer.citations), &passages);
        // The value itself is the answer's content.
        let structured = answer.structured.take().and_then(|structured| {
            let mut value = serde_json::to_value(structured).ok()?;
            value.as_object_mut()?.shift_remove("data");
            Some(value)
        });
        Self {
            request_id: context.id.clone(),
            provider: answer.provider.clone(),
            cost_usd: answer.cost_usd,
            attempts: if answer.attempts.len() > 1 { std::mem::take(&mut answer.attempts) } else { Vec::new() },
            warnings: std::mem::take(&mut answer.warnings),
            structured_output: structured,
            index_digest: answer.index_digest.take().filter(|_| is_grounded),
            rag_context: is_grounded.then(|| response::sources(passages, shown)),
            citations: is_grounded.then_some(citations),
            left: Left::new(answer, door),
        }
    }
}

/// Who answered, as a model's name.
pub(super) fn model_of(answer: &Answer) -> String {
    if answer.provider == answer.model { answer.model.clone() } else { format!("{}/{}", answer.provider, answer.model) }
}

/// What a dialect has to write of a streamed answer.
pub(super) enum Told {
    /// The next text, thought or tool call.
    Event(ChatEvent),
    /// The end.
    Done(Box<Answer>, Box<Omni>),
    /// The end of an answer that broke off. Nothing follows it.
    Failed(Error),
}

/// Says which fields that are not known are left out; a null says nothing.
pub(super) fn unknown(rest: Map<String, Value>, field: &str, warnings: &mut Warnings) {
    for (name, _) in rest.into_iter().filter(|(_, value)| !value.is_null()) {
        warnings.push(Warning::dropped(format!("{field}.{name}"), "it is not known here"));
    }
}

/// Streams an answer through `door` as `write` writes it.
///
/// # Errors
/// As [`rag::stream`]; an error after the first word is told.
pub(super) async fn streamed(
    app: &Arc<App>,
    context: &Context,
    door: Door,
    (question, shown): (Question, Shown),
    ping: Option<Event>,
    mut write: impl FnMut(Told, &mut VecDeque<Event>) + Send + 'static,
) -> Result<Response> {
    let pieces = rag::stream(app, question, context.deadline, context.end).await?;
    context.line.streaming();
    let context = context.clone();
    let events = pieces.flat_map(move |piece| {
        let mut out = VecDeque::new();
        match piece {
            Ok(Piece::Event(event)) => write(Told::Event(event), &mut out),
            Ok(Piece::Done(mut answer)) => {
                context.answered(&answer);
                let omni = Omni::new(&context, &mut answer, shown, door);
                write(Told::Done(answer, Box::new(omni)), &mut out);
            }
            // These belong to `/v1/query`.
            Ok(Piece::Patch(_) | Piece::Reset(_) | Piece::Valid(_)) => {}
            Err(failure) => {
                context.line.error(&failure);
                write(Told::Failed(failure), &mut out);
            }
        }
        futures_util::stream::iter(out)
    });
    Ok(sse::response(events, ping))
}

/// Seconds since 1970.
pub(super) fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The text of a header, where it is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Endpoint};

    #[test]
    fn names_say_who_answers() {
        let mut config = Config::default();
        config.generation.provider = Some("custom".into());
        config.providers.insert("custom".into(), Endpoint { base_url: Some("http://h/v1".into()), ..Endpoint::default() });
        let app = App::open(config).unwrap();
        let read = |name: &str| {
            let target = Target::read(&app, name).unwrap();
            (target.provider.unwrap_or_default(), target.model.unwrap_or_default(), target.is_rag)
        };
        let is = |provider: &str, model: &str, is_rag| (provider.to_owned(), model.to_owned(), is_rag);
        assert_eq!(read("openai/gpt-5.4"), is("openai", "gpt-5.4", false));
        assert_eq!(read("rag/openai/gpt-5.4"), is("openai", "gpt-5.4", true));
        assert_eq!(read("rag/extractive"), is("extractive", "", true));
        assert_eq!(read("extractive"), is("extractive", "", true));
        assert_eq!(read("rag"), is("", "", true));
        assert_eq!(read("openai"), is("openai", "", false));
        assert_eq!(read("meta/llama-3"), is("", "meta/llama-3", false));
        assert_eq!(read("custom/meta/llama-3"), is("custom", "meta/llama-3", false));
        let bare = App::open(Config::default()).unwrap();
        let message = Target::read(&bare, "gpt-5.4").unwrap_err().message().to_owned();
        assert!(message.starts_with("`model`: `gpt-5.4` names no provider; write `provider/model`"), "{message}");
    }
}
