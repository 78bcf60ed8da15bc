//! What comes back in Bedrock's dialect: whole answers and streams.

use serde_json::{Value, json};

use crate::chat::{ChatEvent, FinishReason, Raw, Usage};
use crate::error::{Code, Error, Result};
use crate::provider::anthropic;
use crate::provider::dialect::{State, cut, failed, parse, tokens};

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
    signature: String,
    /// The number of the block whose text was told last, if it was not cited.
    text: Option<u64>,
    citations: Vec<Value>,
    told_usage: bool,
    finish: Option<FinishReason>,
}

impl Decoder {
    /// Reads one message, or the line that a test wrote for it.
    pub(in crate::provider) fn frame(&mut self, name: &str, data: &str) -> Result<Vec<ChatEvent>> {
        let payload = parse(data.as_bytes())?;
        let mut events = Vec::new();
        match name {
            "contentBlockStart" => {
                self.close(&mut events);
                let start = &payload["start"];
                if start["toolUse"].is_object() {
                    self.call(&start["toolUse"], payload["contentBlockIndex"].as_u64(), &mut events);
                }
            }
            "contentBlockDelta" => self.delta(&payload, &mut events),
            "contentBlockStop" => {
                self.close(&mut events);
                let number = payload["contentBlockIndex"].as_u64();
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

    /// Whether the last frame was seen.
    pub(in crate::provider) fn is_done(&self) -> bool {
        self.told_usage && self.finish.is_some()
    }

    /// Says how the stream ended when no more bytes come.
    pub(in crate::provider) fn end(&mut self) -> Result<Vec<ChatEvent>> {
        self.finish.take().map(|reason| vec![ChatEvent::Finish(reason)]).ok_or_else(cut)
    }

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
        if let Some(text) = thought["text"].as_str().filter(|text| !text.is_empty()) {
            events.push(ChatEvent::Reasoning(text.to_owned()));
        }
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
            "toolUse" => {
                self.call(value, None, events);
                let input = &value["input"];
                let json = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
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
            _ => events.push(ChatEvent::Raw(Raw { dialect: "bedrock".to_owned(), value: block.clone() })),
        }
    }

    fn call(&mut self, call: &Value, number: Option<u64>, events: &mut Vec<ChatEvent>) {
        let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
        let index = self.calls.len();
        self.calls.push(number.unwrap_or(u64::MAX));
        self.silent.extend(number);
        events.push(ChatEvent::ToolCall { index, id: text("toolUseId"), name: text("name"), signature: None });
    }

    fn close(&mut self, events: &mut Vec<ChatEvent>) {
        if !self.signature.is_empty() {
            events.push(ChatEvent::Signature(std::mem::take(&mut self.signature)));
        }
        if !self.citations.is_empty() {
            self.text = None;
            let raw = |value| Raw { dialect: "bedrock".to_owned(), value };
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

fn usage(usage: &Value) -> Option<Usage> {
    usage.is_object().then(|| {
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
