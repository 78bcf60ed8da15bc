//! The five dialects behind one enum, and the decoder that turns bytes into events whatever the framing.
//!
//! All of it is pure: bytes in, values out. Which dialect a provider speaks, and where, is a matter of its row.

use std::fmt::Debug;

use serde_json::Value;

use super::arguments::keep_digits;
use super::body::Body;
use super::capability::Capabilities;
use super::failure::{Refused, failure};
use super::state::is_empty;
use super::{anthropic, bedrock, cohere, gemini, openai, own};
use crate::chat::{ChatEvent, ChatRequest, ChatResponse, Warnings, fold};
use crate::error::{Code, Error, Result};
use crate::net::{event_stream, sse};

/// How a provider's JSON looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Chat completions.
    OpenAi,
    /// Messages.
    Anthropic,
    /// Converse.
    Bedrock,
    /// `generateContent`.
    Gemini,
    /// Chat, version 2.
    Cohere,
}

impl Dialect {
    /// Its name in data files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Gemini => "gemini",
            Self::Cohere => "cohere",
        }
    }

    /// Writes the body of one chat turn; `request` fits `caps`.
    pub(super) fn encode(
        self,
        request: &ChatRequest,
        caps: &Capabilities,
        stream: bool,
        warnings: &mut Warnings,
    ) -> Result<Body> {
        own::left_out(request, self, warnings)?;
        match self {
            Self::OpenAi => openai::encode(request, caps, stream, warnings),
            Self::Anthropic => anthropic::encode(request, caps, stream, warnings),
            Self::Bedrock => bedrock::encode(request, caps, warnings),
            Self::Gemini => gemini::encode(request, caps, warnings),
            Self::Cohere => cohere::encode(request, caps, stream, warnings),
        }
    }

    /// Reads a buffered answer of status 2xx.
    ///
    /// # Errors
    /// The bytes are no answer, or the answer is a failure.
    pub fn decode(self, body: &[u8]) -> Result<ChatResponse> {
        let mut reply = parse(body)?;
        match self {
            Self::Anthropic => keep_digits(anthropic::ARGUMENTS, body, &mut reply),
            Self::Bedrock => keep_digits(bedrock::ARGUMENTS, body, &mut reply),
            Self::Gemini => keep_digits(gemini::ARGUMENTS, body, &mut reply),
            // Theirs are texts.
            Self::OpenAi | Self::Cohere => {}
        }
        let events = match self {
            Self::OpenAi => openai::decode(&reply),
            Self::Anthropic => anthropic::decode(&reply),
            Self::Bedrock => bedrock::decode(&reply),
            Self::Gemini => gemini::decode(&reply),
            Self::Cohere => cohere::decode(&reply),
        }?;
        Ok(fold(&events))
    }

    /// Reads a stream.
    pub fn decoder(self) -> Decoder {
        let reader: Box<dyn Reader> = match self {
            Self::OpenAi => Box::<openai::Decoder>::default(),
            Self::Anthropic => Box::<anthropic::Decoder>::default(),
            Self::Bedrock => Box::<bedrock::Decoder>::default(),
            Self::Gemini => Box::<gemini::Decoder>::default(),
            Self::Cohere => Box::<cohere::Decoder>::default(),
        };
        let framing = match self {
            Self::Bedrock => Framing::EventStream(event_stream::Parser::default()),
            _ => Framing::Sse(sse::Parser::default()),
        };
        Decoder { dialect: self, framing, reader, failure: None, ended: false }
    }

    /// Whether a body whose `content-type` does not say so is one of the dialect's streams, as it begins.
    pub(super) fn begins_stream(self, body: &[u8]) -> bool {
        self != Self::Bedrock && sse::is_begun(body)
    }

    /// Whether a `content-type` is that of the dialect's streams.
    pub(super) fn is_stream(self, content_type: &str) -> bool {
        match self {
            Self::Bedrock => event_stream::is_event_stream(content_type),
            _ => sse::is_event_stream(content_type),
        }
    }
}

/// Turns the bytes of a streamed answer into events. The last of them is [`ChatEvent::Finish`].
#[derive(Debug)]
pub struct Decoder {
    dialect: Dialect,
    framing: Framing,
    reader: Box<dyn Reader>,
    /// What is to be told behind the events that came before it.
    failure: Option<Error>,
    ended: bool,
}

#[derive(Debug)]
enum Framing {
    Sse(sse::Parser),
    EventStream(event_stream::Parser),
}

/// What reads one dialect's streams.
pub(super) trait Reader: Debug + Send {
    /// Reads one frame by its name and its data.
    fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>>;

    /// Reads `[DONE]`, which says something in OpenAI's dialect alone.
    fn done(&mut self) {}

    /// Whether the last frame was seen.
    fn is_done(&self) -> bool {
        false
    }

    /// Says how the stream ended when no more bytes come.
    fn end(&mut self) -> Result<Vec<ChatEvent>>;
}

impl Decoder {
    /// Takes the next bytes and says which events they complete. Those before a failure come first, and [`Self::finish`] tells of
    /// it.
    ///
    /// # Errors
    /// The stream is damaged, or tells of a failure. Nothing may be read after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<ChatEvent>> {
        let mut events = Vec::new();
        if self.ended || self.has_failed() {
            return Ok(events);
        }
        match self.read(bytes, &mut events) {
            Err(failure) if events.is_empty() => Err(failure),
            outcome => {
                self.failure = outcome.err();
                Ok(events)
            }
        }
    }

    /// Whether nothing more is to be read: [`Self::finish`] says why.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    fn read(&mut self, bytes: &[u8], events: &mut Vec<ChatEvent>) -> Result<()> {
        match &mut self.framing {
            Framing::Sse(parser) => {
                for frame in parser.push(bytes)? {
                    match frame.data.trim() {
                        "" => {}
                        "[DONE]" => self.reader.done(),
                        _ => events.extend(self.reader.frame(&frame.event, &frame.data)?),
                    }
                }
            }
            Framing::EventStream(parser) => {
                for message in parser.push(bytes)? {
                    if message.kind != "event" {
                        let body = serde_json::from_slice(&message.payload)
                            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&message.payload).into_owned()));
                        let refused = Refused { kind: Some(&message.name), ..Refused::inside("bedrock") };
                        return Err(failure(&refused, &body));
                    }
                    let data = std::str::from_utf8(&message.payload).map_err(|_| failed("the provider's stream is not text"))?;
                    events.extend(self.reader.frame(&message.name, data)?);
                }
            }
        }
        // Some servers leave the connection open behind the end.
        if self.reader.is_done() {
            self.ended = true;
            events.extend(self.reader.end()?);
        }
        Ok(())
    }

    /// Says how the stream ended when no more bytes come. Further calls say nothing.
    ///
    /// # Errors
    /// The stream was cut before its end, or failed behind what was read last.
    pub fn finish(&mut self) -> Result<Vec<ChatEvent>> {
        if let Some(failure) = self.failure.take() {
            self.ended = true;
            return Err(failure);
        }
        if std::mem::replace(&mut self.ended, true) {
            return Ok(Vec::new());
        }
        if let Some(failure) = self.told() {
            return Err(failure);
        }
        if matches!(&self.framing, Framing::EventStream(parser) if !parser.is_between()) {
            return Err(cut());
        }
        self.reader.end()
    }

    /// The failure that was told outside of all frames: Google and others do so, behind a finish, too.
    pub(super) fn told(&mut self) -> Option<Error> {
        let Framing::Sse(parser) = &mut self.framing else { return None };
        let values = serde_json::Deserializer::from_str(parser.unframed()).into_iter::<Value>();
        let is_failure = |told: &Value| told_error(told.get(0).unwrap_or(told)).is_some();
        let told = values.map_while(std::result::Result::ok).find(is_failure)?;
        // OpenAI's dialect is spoken by many.
        let who = if self.dialect == Dialect::OpenAi { "" } else { self.dialect.as_str() };
        Some(failure(&Refused::inside(who), &told))
    }
}

/// The failure that stands in the place of an answer, or beside one; an empty one is none.
pub(super) fn told_error(reply: &Value) -> Option<&Value> {
    reply.get("error").filter(|error| !is_empty(error) && **error != Value::Bool(false))
}

/// A count of tokens; what is none counts as 0.
pub(super) fn tokens(value: &Value) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Cohere writes whole counts as floats")]
    value.as_u64().or_else(|| value.as_f64().filter(|count| *count > 0.0).map(|count| count as u64)).unwrap_or(0)
}

/// Whether usage counts any of these: what is empty, null or something else does not say that there were none.
pub(super) fn is_counted(usage: &Value, names: &[&str]) -> bool {
    names.iter().any(|name| usage[*name].is_number())
}

/// The first of several answers to one request, in whatever order they stand; null where a piece of a stream has none of it.
pub(super) fn first(answers: &Value) -> &Value {
    let mut answers = answers.as_array().into_iter().flatten();
    answers.find(|answer| answer["index"].as_u64().unwrap_or(0) == 0).unwrap_or(&Value::Null)
}

/// Reads JSON of a provider's.
pub(super) fn parse(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).or_else(|cause| serde_json::from_slice(&paired(body)).map_err(|_| cause)).map_err(|cause| {
        // Serde's text can quote what it read; only the place may go out.
        failed(format!("the provider's answer cannot be read: line {} column {}", cause.line(), cause.column()))
    })
}

/// JSON in whose texts no half of a character is without the other, as where an answer was cut between the two.
fn paired(body: &[u8]) -> Vec<u8> {
    let half = |at: usize| {
        let digits = body.get(at..)?.strip_prefix(br"\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|unit| (0xD800..0xE000).contains(unit))
    };
    let (mut out, mut at) = (Vec::with_capacity(body.len()), 0);
    while at < body.len() {
        let (taken, text): (usize, Option<&[u8]>) = match (half(at), half(at + 6)) {
            (Some(..0xDC00), Some(0xDC00..)) => (12, None),
            (Some(_), _) => (6, Some(br"\ufffd")),
            // What is escaped begins nothing.
            _ if body[at] == b'\\' => (2, None),
            _ => (1, None),
        };
        let end = body.len().min(at + taken);
        out.extend_from_slice(text.unwrap_or(&body[at..end]));
        at = end;
    }
    out
}

/// The provider did something that no provider should.
pub(super) fn failed(message: impl Into<String>) -> Error {
    Error::new(Code::ProviderError, message)
}

/// The stream ended before its end.
pub(super) fn cut() -> Error {
    failed("the provider's stream was cut before its end")
}
