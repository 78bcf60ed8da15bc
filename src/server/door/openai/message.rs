//! Messages of OpenAI's dialect as neutral ones.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ReasoningDetail, WireCall};
use crate::chat::{
    CacheMark, Media, Message, Part, Raw, Role, Source, Thought, ToolCall, ToolResult, Warning, Warnings, place, untold,
};
use crate::error::{Error, Result};
use crate::server::body::TextOr;
use crate::server::door::anthropic::block;
use crate::server::door::extension::CacheControl;
use crate::server::door::unknown;

#[derive(Debug, Deserialize)]
pub(super) struct WireMessage {
    role: WireRole,
    content: Option<TextOr<WirePart>>,
    #[serde(default, deserialize_with = "nullable")]
    tool_calls: Vec<WireCall>,
    tool_call_id: Option<String>,
    reasoning_content: Option<String>,
    /// The same, as some servers call it.
    reasoning: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    reasoning_details: Vec<ReasoningDetail>,
    /// The same, as LiteLLM hands on what Anthropic says.
    #[serde(default, deserialize_with = "nullable")]
    thinking_blocks: Vec<Value>,
    refusal: Option<String>,
    /// What was spoken, by its id.
    audio: Option<Value>,
    name: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    Developer,
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug, Deserialize)]
struct WirePart {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<ImageUrl>,
    file: Option<WireFile>,
    input_audio: Option<Value>,
    cache_control: Option<CacheControl>,
    /// OpenAI's own mark of the cache.
    prompt_cache_breakpoint: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an object with `url`")]
enum ImageUrl {
    Object {
        url: String,
        detail: Option<String>,
        #[serde(flatten)]
        rest: Map<String, Value>,
    },
    Plain(String),
}

#[derive(Debug, Deserialize)]
struct WireFile {
    file_data: Option<String>,
    file_id: Option<String>,
    filename: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// `null` as an empty list.
fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(reader)?.unwrap_or_default())
}

/// Adds a message; results of tools that were called at once make one turn.
pub(super) fn push(messages: &mut Vec<Message>, message: WireMessage, number: usize, warnings: &mut Warnings) -> Result<()> {
    let field = format!("messages[{number}]");
    let role = match message.role {
        WireRole::Developer | WireRole::System => Role::System,
        WireRole::User => Role::User,
        WireRole::Assistant => Role::Assistant,
        WireRole::Tool => Role::Tool,
    };
    let mut rest = message.rest;
    if role == Role::Assistant {
        // What an answer rested on, ours among them, and what OpenAI's own client read in it: it is news to nobody.
        rest.retain(|name, _| !matches!(name.as_str(), "annotations" | "parsed"));
    }
    unknown(rest, &field, warnings);
    if message.name.is_some() {
        warnings.push(Warning::dropped(format!("{field}.name"), "not every provider tells speakers of one role apart"));
    }
    let mut details = message.reasoning_details;
    for (at, detail) in details.iter_mut().enumerate() {
        unknown(std::mem::take(&mut detail.rest), &format!("{field}.reasoning_details[{at}]"), warnings);
    }
    let texts = [message.reasoning_content, message.reasoning].map(Option::unwrap_or_default);
    let mut details: Vec<Thought> = details.into_iter().map(ReasoningDetail::thought).collect();
    if details.is_empty() {
        let blocks = block::parts(TextOr::List(message.thinking_blocks), &format!("{field}.thinking_blocks"), warnings)?;
        details.extend(blocks.into_iter().filter_map(|part| match part {
            Part::Reasoning(thought) => Some(thought),
            _ => None,
        }));
    }
    let mut parts = thoughts(&texts, details);
    match message.content {
        None => {}
        Some(TextOr::Text(text)) if text.is_empty() && role == Role::Assistant => {}
        Some(TextOr::Text(text)) => parts.push(Part::Text(text)),
        Some(TextOr::List(wire)) => {
            for (at, part) in wire.into_iter().enumerate() {
                part.neutral(&mut parts, &format!("{field}.content[{at}]"), warnings)?;
            }
        }
    }
    parts.extend(message.refusal.filter(|text| !text.is_empty()).map(Part::Refusal));
    let spoken = message.audio.filter(|audio| !audio.is_null()).map(|audio| json!({"type": "audio", "audio": audio}));
    parts.extend(spoken.map(|value| Part::Raw(Raw { dialect: "openai".into(), value })));
    for (at, call) in message.tool_calls.into_iter().enumerate() {
        parts.push(Part::ToolCall(call.neutral(&format!("{field}.tool_calls[{at}]"), warnings)?));
    }
    if role != Role::Tool {
        if parts.is_empty() && role != Role::Assistant {
            return Err(Error::bad_request(format!("`{field}.content`: missing")));
        }
        messages.push(Message { role, parts });
        return Ok(());
    }
    let Some(call_id) = message.tool_call_id else {
        return Err(Error::bad_request(format!("`{field}.tool_call_id`: missing")));
    };
    let result = Part::ToolResult(ToolResult { call_id, content: parts, ..ToolResult::default() });
    match messages.last_mut() {
        Some(last) if last.role == Role::Tool => last.parts.push(result),
        _ => messages.push(Message { role, parts: vec![result] }),
    }
    Ok(())
}

/// Thoughts by their details, which have the proofs, and what of the texts is not among them.
fn thoughts(texts: &[String; 2], details: Vec<Thought>) -> Vec<Part> {
    let detailed: String = details.iter().map(|thought| thought.text.as_str()).collect();
    let rest = untold(texts.each_ref().map(String::as_str), &detailed).map(|text| {
        let mut text = text.to_owned();
        text.replace_range(place(&text, &detailed).unwrap_or_default(), "");
        Thought { text, ..Thought::default() }
    });
    let rest: Vec<Thought> = rest.collect();
    rest.into_iter().chain(details).map(Part::Reasoning).collect()
}

impl WireCall {
    fn neutral(mut self, field: &str, warnings: &mut Warnings) -> Result<ToolCall> {
        // The order says it; clients that put a stream together leave it there.
        self.rest.shift_remove("index");
        unknown(self.rest, field, warnings);
        let signature = self.extra_content.and_then(|extra| extra.signature(field, warnings));
        let call = ToolCall { id: self.id, signature, ..ToolCall::default() };
        match (self.function, self.custom) {
            (Some(mut function), _) => {
                function.rest.shift_remove("parsed_arguments");
                unknown(function.rest, &format!("{field}.function"), warnings);
                Ok(ToolCall { name: function.name, arguments: function.arguments, ..call })
            }
            (None, Some(custom)) => {
                unknown(custom.rest, &format!("{field}.custom"), warnings);
                let own = Some(Raw { dialect: "openai".into(), value: json!({"type": "custom"}) });
                Ok(ToolCall { name: custom.name, arguments: custom.input, own, ..call })
            }
            (None, None) => Err(Error::bad_request(format!("`{field}.function`: missing"))),
        }
    }
}

impl WirePart {
    fn neutral(self, parts: &mut Vec<Part>, field: &str, warnings: &mut Warnings) -> Result<()> {
        unknown(self.rest, field, warnings);
        let missing = |name: &str| Error::bad_request(format!("`{field}.{name}`: missing"));
        match self.kind.as_str() {
            "text" => parts.push(Part::Text(self.text.ok_or_else(|| missing("text"))?)),
            "refusal" => parts.push(Part::Refusal(self.refusal.ok_or_else(|| missing("refusal"))?)),
            "image_url" => {
                let (url, detail) = match self.image_url.ok_or_else(|| missing("image_url"))? {
                    ImageUrl::Object { url, detail, rest } => {
                        unknown(rest, &format!("{field}.image_url"), warnings);
                        (url, detail)
                    }
                    ImageUrl::Plain(url) => (url, None),
                };
                parts.push(Part::Image(Media { detail, ..Media::of(source(url, "image/png")) }));
            }
            "file" => {
                let file = self.file.ok_or_else(|| missing("file"))?;
                unknown(file.rest, &format!("{field}.file"), warnings);
                parts.push(match (file.file_data, file.file_id) {
                    (Some(data), _) if !data.contains(':') => {
                        let wrong = "no address; write `data:application/pdf;base64,` before the bytes";
                        return Err(Error::bad_request(format!("`{field}.file.file_data`: {wrong}")));
                    }
                    (Some(data), _) => {
                        Part::Document(Media { name: file.filename, ..Media::of(source(data, "application/pdf")) })
                    }
                    // It lies at the provider.
                    (None, Some(id)) => {
                        let value = json!({"type": "file", "file": {"file_id": id}});
                        Part::Raw(Raw { dialect: "openai".into(), value })
                    }
                    (None, None) => return Err(missing("file.file_data")),
                });
            }
            "input_audio" => {
                let audio = self.input_audio.ok_or_else(|| missing("input_audio"))?;
                let value = json!({"type": "input_audio", "input_audio": audio});
                parts.push(Part::Raw(Raw { dialect: "openai".into(), value }));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                let remedy = "send `text`, `image_url`, `file` or `input_audio`";
                return Err(Error::not_supported(&format!("{field}.type: {shown}"), remedy));
            }
        }
        let mark = self.cache_control.map(|control| control.mark(field, warnings));
        let mark = mark.or(self.prompt_cache_breakpoint.map(|_| CacheMark::default()));
        parts.extend(mark.map(Part::CachePoint));
        Ok(())
    }
}

/// A `data:` URL is the bytes; any other address is the provider's to fetch, never ours.
fn source(url: String, default_type: &str) -> Source {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) => {
            let media_type = media_type.split(';').next().filter(|text| !text.is_empty()).unwrap_or(default_type);
            Source::Base64 { media_type: media_type.to_owned(), data: data.into() }
        }
        None => Source::Url { url, media_type: None },
    }
}
