//! What comes back in Bedrock's dialect: whole answers and streams.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chat::{ChatEvent, FinishReason, Raw, Usage, push_base64};
use crate::error::{Code, Error, Result};
use crate::provider::anthropic;
use crate::provider::dialect::{Reader, cut, failed, is_counted, parse, tokens};
use crate::provider::state::{State, is_empty, push_text};

/// Reads a buffered answer of status 2xx.
pub(in crate::provider) fn decode(reply: &Value) -> Result<Vec<ChatEvent>> {
    let message = &reply["output"]["message"];
    if !message.is_object() {
        return Err(failed("the provider's answer has no `output.message`"));
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for (number, block) in (0..).zip(message["content"].as_array().into_iter().flatten()) {
        decoder.block(number, block, &mut events);
    }
    for name in ["additionalModelResponseFields", "trace", "serviceTier", "performanceConfig"] {
        decoder.state.extra(name, &reply[name], &mut events);
    }
    decoder.stop(reply)?;
    events.extend(usage(&reply["usage"]).map(ChatEvent::Usage));
    events.extend(decoder.end()?);
    Ok(events)
}

/// Turns the messages of a stream into events.
#[derive(Debug, Default)]
pub(in crate::provider) struct Decoder {
    state: State,
    /// Numbers of the blocks that are tool calls.
    calls: Vec<u64>,
    /// Those of them of whose arguments nothing was told.
    silent: Vec<u64>,
    /// Blocks that only this dialect knows, by their numbers: what there is of them so far.
    raws: BTreeMap<Option<u64>, Value>,
    signature: String,
    /// The number of the block whose text was told last, if it was not cited.
    text: Option<u64>,
    citations: Vec<Value>,
    told_usage: bool,
    finish: Option<FinishReason>,
}

impl Reader for Decoder {
    fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        let payload = parse(data.as_bytes())?;
        let mut events = Vec::new();
        match name {
            "contentBlockStart" => {
                self.close(&mut events);
                let (start, number) = (&payload["start"], payload["contentBlockIndex"].as_u64());
                match ["toolUse", "toolResult", "image"].into_iter().find(|kind| start[*kind].is_object()) {
                    Some("toolUse") if !is_served(&start["toolUse"]) => self.call(&start["toolUse"], number, &mut events),
                    Some(kind) => {
                        self.raws.insert(number, json!({kind: start[kind]}));
                    }
                    None => {}
                }
            }
            "contentBlockDelta" => match self.raws.get_mut(&payload["contentBlockIndex"].as_u64()) {
                Some(raw) => add(raw, &payload["delta"]),
                None => self.delta(&payload, &mut events),
            },
            "contentBlockStop" => {
                self.close(&mut events);
                let number = payload["contentBlockIndex"].as_u64();
                events.extend(self.raws.remove(&number).map(whole).map(raw));
                let silent = self.silent.iter().position(|silent| Some(*silent) == number).map(|at| self.silent.remove(at));
                if let Some(index) = silent.and_then(|number| self.calls.iter().rposition(|call| *call == number)) {
                    events.push(ChatEvent::Arguments { index, json: "{}".to_owned() });
                }
            }
            "messageStop" => {
                self.close(&mut events);
                self.state.extra("additionalModelResponseFields", &payload["additionalModelResponseFields"], &mut events);
                self.stop(&payload)?;
            }
            "metadata" => {
                self.told_usage = true;
                for name in ["trace", "serviceTier", "performanceConfig"] {
                    self.state.extra(name, &payload[name], &mut events);
                }
                events.extend(usage(&payload["usage"]).map(ChatEvent::Usage));
            }
            _ => {}
        }
        Ok(events)
    }

    fn is_done(&self) -> bool {
        self.told_usage && self.finish.is_some()
    }

    fn end(&mut self) -> Result<Vec<ChatEvent>> {
        self.finish.take().map(|reason| vec![ChatEvent::Finish(reason)]).ok_or_else(cut)
    }
}

impl Decoder {
    fn delta(&mut self, payload: &Value, events: &mut Vec<ChatEvent>) {
        let delta = &payload["delta"];
        if let Some(text) = delta["text"].as_str().filter(|text| !text.is_empty()) {
            let number = payload["contentBlockIndex"].as_u64();
            events.extend(self.text.filter(|text| Some(*text) != number).map(|_| ChatEvent::Break));
            self.text = number;
            events.push(ChatEvent::Text(text.to_owned()));
        }
        if let Some(json) = delta["toolUse"]["input"].as_str().filter(|json| !json.is_empty()) {
            let number = payload["contentBlockIndex"].as_u64();
            let index = self.calls.iter().rposition(|call| Some(*call) == number).or(self.calls.len().checked_sub(1));
            self.silent.retain(|silent| Some(*silent) != number);
            events.extend(index.map(|index| ChatEvent::Arguments { index, json: json.to_owned() }));
        }
        let thought = &delta["reasoningContent"];
        push_text(thought["text"].as_str().unwrap_or_default(), events, ChatEvent::Reasoning);
        if let Some(signature) = thought["signature"].as_str() {
            self.signature.push_str(signature);
        }
        if let Some(data) = thought["redactedContent"].as_str() {
            events.push(ChatEvent::Redacted(data.to_owned()));
        }
        if delta["citation"].is_object() {
            self.citations.push(delta["citation"].clone());
        }
    }

    /// A whole block of a buffered answer.
    fn block(&mut self, number: u64, block: &Value, events: &mut Vec<ChatEvent>) {
        let Some((kind, value)) =
            block.as_object().and_then(|block| block.iter().find(|(name, value)| *name != "type" && !value.is_null()))
        else {
            return;
        };
        match kind.as_str() {
            "text" => self.delta(&json!({"contentBlockIndex": number, "delta": {"text": value}}), events),
            "toolUse" if !is_served(value) => {
                self.call(value, None, events);
                let input = &value["input"];
                let json = match input {
                    Value::String(text) if !text.is_empty() => text.clone(),
                    input if is_empty(input) => "{}".to_owned(),
                    input => input.to_string(),
                };
                events.push(ChatEvent::Arguments { index: self.calls.len() - 1, json });
            }
            "reasoningContent" => {
                let thought = value.get("reasoningText").unwrap_or(value);
                self.delta(&json!({"delta": {"reasoningContent": thought}}), events);
                self.close(events);
            }
            "citationsContent" => {
                for text in value["content"].as_array().into_iter().flatten() {
                    self.delta(&json!({"contentBlockIndex": number, "delta": {"text": text["text"]}}), events);
                }
                self.citations.extend(value["citations"].as_array().into_iter().flatten().cloned());
                self.close(events);
            }
            _ => events.push(raw(block.clone())),
        }
    }

    fn call(&mut self, call: &Value, number: Option<u64>, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
        let index = self.calls.len();
        self.calls.push(number.unwrap_or(u64::MAX));
        self.silent.extend(number);
        events.push(ChatEvent::ToolCall { index, id: text("toolUseId"), name: text("name"), signature: None, own: None });
    }

    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        if !self.signature.is_empty() {
            events.push(ChatEvent::Signature(std::mem::take(&mut self.signature)));
        }
        if !self.citations.is_empty() {
            self.text = None;
            let raw = |value| Raw::of("bedrock", value);
            events.extend(self.citations.drain(..).map(raw).map(ChatEvent::Citation));
        }
    }

    fn stop(&mut self, reply: &Value) -> Result<()> {
        self.finish = Some(match reply["stopReason"].as_str().unwrap_or_default() {
            "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
            reason @ ("malformed_model_output" | "malformed_tool_use") => {
                return Err(Error::new(
                    Code::ModelOutput,
                    format!("the model wrote what its provider could not read: `{reason}`"),
                ));
            }
            reason => anthropic::finish(reason),
        });
        Ok(())
    }
}

/// Whether a call is one that the provider answers itself.
fn is_served(call: &Value) -> bool {
    call["type"] == "server_tool_use"
}

fn raw(value: Value) -> ChatEvent {
    ChatEvent::Raw(Raw::of("bedrock", value))
}

/// Adds the next piece to a block of which `start` told the beginning, an object: arguments as text, results one by one, a
/// picture's bytes. Pieces of another kind are none of it.
fn add(block: &mut Value, delta: &Value) {
    if let (Some(call), Some(json)) = (block.get_mut("toolUse"), delta["toolUse"]["input"].as_str()) {
        match &mut call["input"] {
            Value::String(before) => before.push_str(json),
            input => *input = json.into(),
        }
    }
    if let Some(result) = block.get_mut("toolResult") {
        for piece in delta["toolResult"].as_array().into_iter().flatten() {
            let content = &mut result["content"];
            if !content.is_array() {
                *content = json!([]);
            }
            let Value::Array(content) = content else { return };
            match (content.last_mut().and_then(|last| last.get_mut("text")), piece["text"].as_str()) {
                (Some(Value::String(before)), Some(more)) => before.push_str(more),
                _ => content.push(piece.clone()),
            }
        }
    }
    if let Some(image) = block.get_mut("image") {
        for (name, value) in delta["image"].as_object().into_iter().flatten() {
            let before = image.get_mut(name).and_then(|before| before.get_mut("bytes"));
            match (before, value["bytes"].as_str()) {
                (Some(Value::String(before)), Some(more)) => push_base64(before, more),
                _ => image[name] = value.clone(),
            }
        }
    }
}

/// A block that has ended: the arguments of a call are an object in a whole answer.
fn whole(mut block: Value) -> Value {
    if let Some(call) = block.get_mut("toolUse") {
        call["input"] = serde_json::from_str(call["input"].as_str().unwrap_or_default()).unwrap_or_else(|_| json!({}));
    }
    block
}

fn usage(usage: &Value) -> Option<Usage> {
    is_counted(usage, &["inputTokens", "outputTokens"]).then(|| {
        let either = |documented: &str, seen: &str| tokens(&usage[documented]).max(tokens(&usage[seen]));
        let read = either("cacheReadInputTokens", "cacheReadInputTokenCount");
        let written = either("cacheWriteInputTokens", "cacheWriteInputTokenCount");
        let details = usage["cacheDetails"].as_array().into_iter().flatten();
        Usage {
            prompt_tokens: tokens(&usage["inputTokens"]).saturating_add(read).saturating_add(written),
            completion_tokens: tokens(&usage["outputTokens"]),
            cache_read_tokens: read,
            cache_write_tokens: written,
            cache_write_1h_tokens: details
                .filter(|row| row["ttl"] == "1h")
                .map(|row| tokens(&row["inputTokens"]))
                .fold(0, u64::saturating_add),
            reasoning_tokens: 0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::fold;

    /// Blocks that the service model has for streams, in pieces, and as they stand in a whole answer.
    #[test]
    fn blocks_of_its_own_are_the_same_streamed_and_whole() {
        let start = |number: u64, start: Value| ("contentBlockStart", json!({"contentBlockIndex": number, "start": start}));
        let delta = |number: u64, delta: Value| ("contentBlockDelta", json!({"contentBlockIndex": number, "delta": delta}));
        let stop = |number: u64| ("contentBlockStop", json!({"contentBlockIndex": number}));
        let frames = [
            start(0, json!({"toolUse": {"toolUseId": "s", "name": "code", "type": "server_tool_use"}})),
            delta(0, json!({"toolUse": {"input": "{\"a\""}})),
            delta(0, json!({"toolUse": {"input": ": 1}"}})),
            stop(0),
            start(1, json!({"toolResult": {"toolUseId": "s", "type": "code", "status": "success"}})),
            delta(1, json!({"toolResult": [{"text": "No"}]})),
            delta(1, json!({"toolResult": [{"text": "on"}, {"json": {"b": 2}}]})),
            stop(1),
            start(2, json!({"image": {"format": "png"}})),
            delta(2, json!({"image": {"source": {"bytes": "AQ=="}}})),
            delta(2, json!({"image": {"source": {"bytes": "AgM="}}})),
            stop(2),
            start(3, json!({})),
            delta(3, json!({"text": "Done"})),
            stop(3),
            start(4, json!({"toolUse": {"toolUseId": "c", "name": "f"}})),
            stop(4),
            ("messageStop", json!({"stopReason": "tool_use"})),
            ("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2}})),
        ];
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for (name, payload) in frames {
            events.extend(decoder.frame(name, &payload.to_string()).unwrap());
        }
        events.extend(decoder.end().unwrap());
        let reply = json!({"output": {"message": {"content": [
            {"toolUse": {"toolUseId": "s", "name": "code", "type": "server_tool_use", "input": {"a": 1}}},
            {"toolResult": {"toolUseId": "s", "type": "code", "status": "success", "content": [{"text": "Noon"}, {"json": {"b": 2}}]}},
            {"image": {"format": "png", "source": {"bytes": "AQID"}}},
            {"text": "Done"},
            {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}]}},
            "stopReason": "tool_use", "usage": {"inputTokens": 1, "outputTokens": 2}});
        let (streamed, buffered) = (fold(&events), fold(&decode(&reply).unwrap()));
        assert_eq!(streamed, buffered);
        assert_eq!((streamed.tool_calls().count(), streamed.parts.len()), (1, 5));
    }
}
