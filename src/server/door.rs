//! The front doors in other people's dialects: what they have in common.

pub(super) mod anthropic;
mod cited;
pub(super) mod embeddings;
mod extension;
pub(super) mod models;
pub(super) mod openai;
pub(super) mod provided;
mod target;
mod thinking;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::StreamExt as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use self::provided::Left;
use self::target::{Target, is_provider, model_of, named, no_provider};
use super::Context;
use super::field::fallbacks;
use super::rag_config::RagConfig;
use super::request::Shown;
use super::response::{self, Cited};
use super::sse;
use crate::app::App;
use crate::chat::{ChatEvent, ChatRequest, FinishReason, Role, Usage, Warning, Warnings};
use crate::error::{Code, Error, Result};
use crate::rag::{self, Answer, Attempt, Piece, Question};
use crate::schema::Shape;

/// Whose errors and names a path speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Native,
    OpenAi,
    Anthropic,
}

impl Door {
    /// By path; models are listed for both dialects, and one of them always names its version.
    pub(super) fn of(path: &str, headers: &HeaderMap) -> Self {
        let is_at = |place: &str| path.strip_prefix(place).is_some_and(|below| below.is_empty() || below.starts_with('/'));
        match () {
            () if is_at("/v1/messages") => Self::Anthropic,
            () if is_at("/v1/models") && headers.contains_key("anthropic-version") => Self::Anthropic,
            () if ["/v1/chat", "/v1/embeddings", "/v1/models"].into_iter().any(is_at) => Self::OpenAi,
            () => Self::Native,
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

    /// What is said of fields of `/v1/query`, with the names that they have here.
    pub(super) fn renamed(self, text: &str) -> String {
        let (format, system) = match self {
            Self::Native => return text.to_owned(),
            Self::OpenAi => ("`response_format`", "the system's `messages`"),
            Self::Anthropic => ("`output_config.format`", "`system`"),
        };
        let names = [
            ("`model_provider`", "`model`"),
            ("`model_name`", "`model`"),
            ("`embedding_config.provider`", "`model`"),
            ("`model_config`", "sampling"),
            ("`system_prompt`", system),
            ("`rag_config", "`rag"),
            ("`structured_output`", format),
        ];
        names.into_iter().fold(text.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs))
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

/// The extension field `rag`: `true`, `false`, or what `rag_config` of `/v1/query` takes.
#[derive(Debug)]
pub(super) enum Rag {
    Whether(bool),
    How(Box<RagConfig>),
}

/// Not derived: serde's own way would not say which field of the object is wrong.
impl<'de> Deserialize<'de> for Rag {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Rag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or an object")
            }

            fn visit_bool<E>(self, is_asked: bool) -> Result<Rag, E> {
                Ok(Rag::Whether(is_asked))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Rag, A::Error> {
                RagConfig::deserialize(MapAccessDeserializer::new(fields)).map(|config| Rag::How(Box::new(config)))
            }
        }

        reader.deserialize_any(Either)
    }
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
            let retrieval = config.required_retrieval(app, labels)?;
            if prompt.trim().is_empty() && retrieval.as_ref().is_some_and(|retrieval| retrieval.query.is_none()) {
                return Err(Error::bad_request("`messages`: the user said nothing that could be looked up in the index"));
            }
            (retrieval, config.citations())
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
    /// Why the answer ended, in the provider's word, where the dialect has none for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<String>,
    #[serde(flatten)]
    left: Left,
    /// The citations that hold, as the dialect has them.
    #[serde(skip)]
    told: Vec<cited::Placed>,
}

impl Omni {
    /// Takes it out of an answer that leaves through `door`.
    pub(super) fn new(context: &Context, answer: &mut Answer, shown: Shown, door: Door) -> Self {
        let is_grounded = !answer.passages.is_empty();
        let told = if door == Door::Anthropic { cited::locations(answer) } else { cited::annotations(answer) };
        let passages = std::mem::take(&mut answer.passages);
        let citations = response::cited(std::mem::take(&mut answer.citations), &passages);
        // The value itself is the answer's content.
        let structured = answer.structured.take().and_then(|mut structured| {
            structured.data.take();
            let mut value = serde_json::to_value(structured).ok()?;
            value.as_object_mut()?.shift_remove("data");
            Some(value)
        });
        Self {
            request_id: context.id.clone(),
            provider: answer.provider.clone(),
            cost_usd: answer.cost_usd,
            attempts: if answer.attempts.len() > 1 { std::mem::take(&mut answer.attempts) } else { Vec::new() },
            warnings: answer.warnings.drain(..).map(|warning| door.renamed(&warning)).collect(),
            structured_output: structured,
            index_digest: answer.index_digest.take().filter(|_| is_grounded),
            rag_context: is_grounded.then(|| response::sources(passages, shown)),
            citations: is_grounded.then_some(citations),
            finish_reason: match &answer.finish_reason {
                reason @ (FinishReason::Pause | FinishReason::Other(_)) if door == Door::OpenAi => {
                    Some(reason.as_str().to_owned())
                }
                _ => None,
            },
            left: Left::new(answer, door),
            told,
        }
    }
}

/// What a dialect has to write of a streamed answer.
pub(super) enum Told {
    /// The beginning: the name of the model that answers, and what is known of the tokens by then.
    Start(String, Option<Usage>),
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
    let pieces = context.until_stopped(rag::stream(app, question, context.deadline, context.end).await?);
    context.line.streaming();
    let context = context.clone();
    let events = pieces.flat_map(move |piece| {
        let mut out = VecDeque::new();
        match piece {
            Ok(Piece::Start { provider, model, usage }) => write(Told::Start(named(&provider, &model), usage), &mut out),
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

    #[test]
    fn what_is_said_of_our_fields_is_said_of_theirs() {
        let text = "quoted: `model_config` and `system_prompt` have no effect, `rag_config.query` has";
        let told = |door: Door| door.renamed(text);
        assert_eq!(told(Door::Native), text);
        assert_eq!(told(Door::OpenAi), "quoted: sampling and the system's `messages` have no effect, `rag.query` has");
        assert_eq!(told(Door::Anthropic), "quoted: sampling and `system` have no effect, `rag.query` has");
    }

    #[test]
    fn a_content_that_is_refused_is_the_requests_fault_in_both_dialects() {
        let error = Error::new(Code::ContentFilter, "x");
        for door in [Door::OpenAi, Door::Anthropic] {
            assert_eq!(door.error(&error, "r")["error"]["type"], "invalid_request_error");
        }
    }
}
