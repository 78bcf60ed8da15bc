//! What comes back in Gemini's dialect: whole answers and streams.

use serde_json::{Map, Value};

use crate::chat::{ChatEvent, FinishReason, Raw, Usage, proof};
use crate::error::{Code, Error, Result};
use crate::provider::arguments::keep_digits;
use crate::provider::dialect::{Reader, cut, failed, first, is_counted, parse, tokens, told_error};
use crate::provider::failure::{Refused, failure};
use crate::provider::id::made_up;
use crate::provider::state::{State, is_empty, push_text};

/// Places of lists that the pieces of a call may leave empty.
const MOST_EMPTY: usize = 64;

/// Reads a buffered answer of status 2xx; a list is a stream that came whole.
pub(in crate::provider) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    match reply {
        Value::Array(chunks) => {
            for chunk in chunks {
                events.extend(decoder.chunk(chunk)?);
            }
        }
        reply => {
            let candidate = first(&reply["candidates"]);
            if candidate.is_object() && !candidate["finishReason"].is_string() {
                decoder.finish = Some(FinishReason::Stop);
            }
            events.extend(decoder.chunk(reply)?);
        }
    }
    if decoder.finish.is_none() {
        return Err(failed("the provider's answer has no `candidates`"));
    }
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the frames of a stream into events.
#[derive(Debug, Default)]
pub(in crate::provider) struct Decoder {
    state: State,
    id: String,
    calls: usize,
    /// The call whose arguments come piece by piece, what they are so far, and how many places of lists may still be empty.
    open: Option<(usize, Value, usize)>,
    finish: Option<FinishReason>,
}

// No frame is the last: usage may follow the finish reason.
impl Reader for Decoder {
    fn frame(&mut self, _: &str, data: &str) -> Result<Vec<ChatEvent>> {
        let mut chunk = parse(data.as_bytes())?;
        keep_digits(super::ARGUMENTS, data.as_bytes(), &mut chunk);
        self.chunk(&chunk)
    }

    fn end(&mut self) -> Result<Vec<ChatEvent>> {
        let reason = self.finish.take().ok_or_else(cut)?;
        let calls = self.calls > 0 && reason == FinishReason::Stop;
        let mut events = Vec::new();
        self.close(&mut events);
        self.state.tell(&mut events);
        events.push(ChatEvent::Finish(if calls { FinishReason::ToolCalls } else { reason }));
        Ok(events)
    }
}

impl Decoder {
    fn chunk(&mut self, chunk: &Value) -> Result<Vec<ChatEvent>> {
        let body = chunk.as_array().and_then(|items| items.first()).unwrap_or(chunk);
        if told_error(body).is_some() {
            return Err(failure(&Refused::inside("gemini"), body));
        }
        let mut events = Vec::new();
        let text = |name: &str| chunk[name].as_str().unwrap_or_default();
        if self.id.is_empty() {
            text("responseId").clone_into(&mut self.id);
        }
        self.state.start(text("responseId"), text("modelVersion"), &mut events);
        let candidate = first(&chunk["candidates"]);
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.part(part, &mut events);
        }
        for name in ["groundingMetadata", "safetyRatings", "avgLogprobs", "finishMessage", "continuationToken"] {
            self.state.keep(name, &candidate[name]);
        }
        for name in ["citationMetadata", "urlContextMetadata"] {
            self.state.unite(name, &candidate[name]);
        }
        self.state.join("logprobsResult", &candidate["logprobsResult"]);
        for name in ["promptFeedback", "modelStatus"] {
            self.state.keep(name, &chunk[name]);
        }
        // The price depends on these, also of a stream that is left early.
        self.state.extra("service_tier", &chunk["usageMetadata"]["serviceTier"], &mut events);
        self.state.extra("trafficType", &chunk["usageMetadata"]["trafficType"], &mut events);
        if !is_empty(&candidate["groundingMetadata"]["webSearchQueries"]) {
            self.state.extra("groundingMetadata", &candidate["groundingMetadata"], &mut events);
        }
        if let Some(reason) = candidate["finishReason"].as_str() {
            self.finish = Some(finish(reason, candidate["finishMessage"].as_str().unwrap_or_default())?);
        } else if chunk["promptFeedback"]["blockReason"].is_string() {
            self.finish = Some(FinishReason::ContentFilter);
        }
        events.extend(usage(&chunk["usageMetadata"]).map(ChatEvent::Usage));
        Ok(events)
    }

    /// Reads a call, whole or piece by piece: the first piece has the name, the last does not promise another.
    fn call(&mut self, call: &Value, signature: Option<&str>, events: &mut Vec<ChatEvent>) {
        let name = call["name"].as_str().unwrap_or_default();
        if self.open.is_none() || !name.is_empty() {
            self.close(events);
            let index = self.calls;
            self.calls += 1;
            let id = call["id"].as_str().filter(|id| !id.is_empty()).map_or_else(|| made_up(&self.id, index), str::to_owned);
            let (name, signature) = (name.to_owned(), signature.map(str::to_owned));
            events.push(ChatEvent::ToolCall { index, id, name, signature, own: None });
            match &call["args"] {
                Value::String(text) if !text.is_empty() => events.push(ChatEvent::Arguments { index, json: text.clone() }),
                arguments => {
                    let arguments = arguments.as_object().cloned().unwrap_or_default();
                    self.open = Some((index, Value::Object(arguments), MOST_EMPTY));
                }
            }
        }
        if let Some((_, arguments, room)) = &mut self.open {
            call["partialArgs"].as_array().into_iter().flatten().for_each(|piece| put(arguments, piece, room));
        }
        if call["willContinue"] != true {
            self.close(events);
        }
    }

    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        if let Some((index, arguments, _)) = self.open.take() {
            events.push(ChatEvent::Arguments { index, json: arguments.to_string() });
        }
    }

    fn part(&mut self, part: &Value, events: &mut Vec<ChatEvent>) {
        let signature = part["thoughtSignature"].as_str().filter(|signature| !signature.is_empty());
        if part["functionCall"].is_object() {
            self.call(&part["functionCall"], signature, events);
            return;
        }
        match part["text"].as_str() {
            Some(text) if part["thought"] == true => push_text(text, events, ChatEvent::Reasoning),
            Some("") if signature.is_none() => {}
            // An empty text still parts its signature from the thought before it.
            Some(text) => events.push(ChatEvent::Text(text.to_owned())),
            None => events.push(ChatEvent::Raw(Raw::of("gemini", part.clone()))),
        }
        if part["text"].is_string() {
            events.extend(signature.map(|signature| ChatEvent::Signature(proof::named("gemini", signature))));
        }
    }
}

/// The steps of a path (`$.a['b.c'][0]`), and whether each is a place in a list.
fn steps(path: &str) -> Vec<(&str, bool)> {
    let (mut steps, mut rest) = (Vec::new(), path.trim_start_matches('$'));
    while let Some(first) = rest.chars().next() {
        let inner = &rest[first.len_utf8()..];
        let (step, after, is_place) = match (first, inner.chars().next()) {
            ('[', Some(quote @ ('\'' | '"'))) => {
                let (name, after) = inner[1..].split_once(&format!("{quote}]")).unwrap_or((&inner[1..], ""));
                (name, after, false)
            }
            ('[', _) => {
                let (place, after) = inner.split_once(']').unwrap_or((inner, ""));
                (place, after, true)
            }
            _ => {
                let name = if first == '.' { inner } else { rest };
                let (name, after) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
                (name, after, false)
            }
        };
        if !step.is_empty() {
            steps.push((step, is_place));
        }
        rest = after;
    }
    steps
}

/// Puts a piece of an argument where its path says; a text goes on from the text before it. A path that is too deep, or leaves more
/// places of lists empty than there is `room` for, is left out: a few bytes of it would ask for any memory.
fn put(root: &mut Value, piece: &Value, room: &mut usize) {
    /// JSON that is deeper is read by nobody.
    const MOST_DEEP: usize = 64;
    let steps = steps(piece["jsonPath"].as_str().unwrap_or_default());
    if steps.len() > MOST_DEEP {
        return;
    }
    let mut place = root;
    for (step, is_place) in steps {
        place = match step.parse::<usize>() {
            Ok(number) if is_place && !place.is_object() => {
                if !place.is_array() {
                    *place = Value::Array(Vec::new());
                }
                let Value::Array(items) = place else { return };
                if number >= items.len() {
                    let Some(left) = room.checked_sub(number - items.len()) else { return };
                    *room = left;
                    items.resize(number + 1, Value::Null);
                }
                &mut items[number]
            }
            _ => {
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                let Value::Object(fields) = place else { return };
                fields.entry(step).or_insert(Value::Null)
            }
        };
    }
    // Null is written as the name of an enum's only value.
    if piece.get("nullValue").is_some() {
        *place = Value::Null;
        return;
    }
    let kinds = ["stringValue", "numberValue", "boolValue"];
    match (kinds.into_iter().find_map(|kind| piece.get(kind)), place) {
        (Some(Value::String(more)), Value::String(text)) => text.push_str(more),
        (Some(value), place) => value.clone_into(place),
        (None, _) => {}
    }
}

fn finish(reason: &str, message: &str) -> Result<FinishReason> {
    Ok(match reason {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" | "ESCALATION" => {
            FinishReason::ContentFilter
        }
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MALFORMED_RESPONSE"
        | "MISSING_THOUGHT_SIGNATURE" => {
            let message: String = message.chars().take(200).collect();
            let text = format!("the model wrote what its provider could not read: `{reason}` {message}");
            return Err(Error::new(Code::ModelOutput, text.trim_end()));
        }
        other if other.starts_with("IMAGE_") => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    })
}

fn usage(usage: &Value) -> Option<Usage> {
    // Vertex AI's pieces tell how they are billed before they count.
    is_counted(usage, &["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"]).then(|| {
        let count = |name: &str| tokens(&usage[name]);
        Usage {
            prompt_tokens: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
            completion_tokens: count("candidatesTokenCount").saturating_add(count("thoughtsTokenCount")),
            cache_read_tokens: count("cachedContentTokenCount"),
            cache_write_tokens: 0,
            cache_write_1h_tokens: 0,
            reasoning_tokens: count("thoughtsTokenCount"),
        }
    })
}
