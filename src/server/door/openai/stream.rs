//! A streamed answer in OpenAI's dialect.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use axum::response::Response;
use axum::response::sse::Event;
use serde::Serialize;
use serde_json::Value;

use super::{Logprobs, ReasoningDetail, WireUsage, annotations, details, error, name_of, reason};
use crate::app::App;
use crate::chat::{ChatEvent, Raw};
use crate::error::Result;
use crate::rag::{Answer, Question};
use crate::server::Context;
use crate::server::door::extension::ExtraContent;
use crate::server::door::{self, Door, Omni, Told, model_of, now_s};
use crate::server::request::Shown;
use crate::server::sse::event;

/// Streams an answer as chunks; `with_usage` ends it with the tokens.
pub(super) async fn streamed(app: &Arc<App>, context: &Context, asked: (Question, Shown), with_usage: bool) -> Result<Response> {
    let mut head = Head { id: name_of(context), created: now_s(), with_usage, ..Head::default() };
    let write = move |told: Told, out: &mut VecDeque<Event>| match told {
        Told::Start(model, _) => head.model = model,
        Told::Event(event) => head.event(&event, out),
        Told::Done(answer, omni) => head.end(*answer, &omni, out),
        // No `[DONE]` follows it.
        Told::Failed(failure) => out.push_back(event("", &error(&failure))),
    };
    door::streamed(app, context, Door::OpenAi, asked, None, write).await
}

/// What every chunk repeats.
#[derive(Default)]
struct Head {
    id: String,
    created: i64,
    model: String,
    begun: bool,
    /// The stream ends with the tokens; until then every chunk says that they are not known.
    with_usage: bool,
    service_tier: Option<Value>,
    system_fingerprint: Option<Value>,
    /// Those of the tokens that are told next.
    logprobs: Logprobs,
    told_logprobs: bool,
    told_audio: bool,
    /// The calls whose arguments are texts.
    texts: BTreeSet<usize>,
}

/// One chunk.
#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<WireUsage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omni: Option<&'a Omni>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'a str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<ReasoningDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[DeltaCall<'a>; 1]>,
}

#[derive(Serialize)]
struct DeltaCall<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<DeltaFunction<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<DeltaCustom<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a ExtraContent>,
}

#[derive(Serialize)]
struct DeltaFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// In the place of a function, of a tool that takes a text.
#[derive(Serialize)]
struct DeltaCustom<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    input: &'a str,
}

impl Head {
    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<WireUsage>, omni: Option<&Omni>) -> Event {
        event(
            "",
            &Chunk {
                id: &self.id,
                object: "chat.completion.chunk",
                created: self.created,
                model: &self.model,
                choices,
                usage: self.with_usage.then_some(usage),
                service_tier: self.service_tier.as_ref(),
                system_fingerprint: self.system_fingerprint.as_ref(),
                omni,
            },
        )
    }

    /// A piece of a call's arguments, in the words of the kind of its tool.
    fn piece<'a>(&self, index: usize, name: Option<&'a str>, text: &'a str) -> DeltaCall<'a> {
        let is_text = self.texts.contains(&index);
        let function = (!is_text).then_some(DeltaFunction { name, arguments: text });
        let custom = is_text.then_some(DeltaCustom { name, input: text });
        DeltaCall { index, id: None, kind: None, function, custom, extra_content: None }
    }

    fn choice<'a>(&mut self, delta: Delta<'a>, finish_reason: Option<&'a str>) -> [ChunkChoice<'a>; 1] {
        let logprobs = std::mem::take(&mut self.logprobs).some();
        [ChunkChoice { index: 0, delta, logprobs, finish_reason }]
    }

    fn delta(&mut self, mut delta: Delta<'_>, out: &mut VecDeque<Event>) {
        if !std::mem::replace(&mut self.begun, true) {
            delta.role = Some("assistant");
            if delta.content.is_none() && delta.tool_calls.is_none() && delta.refusal.is_none() {
                delta.content = Some("");
            }
        }
        let choice = self.choice(delta, None);
        out.push_back(self.chunk(&choice, None, None));
    }

    fn end(&mut self, answer: Answer, omni: &Omni, out: &mut VecDeque<Event>) {
        self.model = model_of(&answer);
        // What was not told as it came.
        self.service_tier = self.service_tier.take().or(answer.extra.get("service_tier").cloned());
        self.system_fingerprint = self.system_fingerprint.take().or(answer.extra.get("system_fingerprint").cloned());
        if !self.told_logprobs {
            answer.extra.iter().for_each(|(name, tokens)| {
                self.logprobs.take(name, tokens);
            });
        }
        let (annotations, audio) = (annotations(&answer, omni), answer.extra.get("audio").filter(|_| !self.told_audio));
        // All at once: clients join lists that come in pieces by the `index` of their items, which these lack.
        let reasoning_details = details(&answer.parts);
        if !self.begun || !annotations.is_empty() || audio.is_some() || !reasoning_details.is_empty() {
            self.delta(Delta { annotations, audio, reasoning_details, ..Delta::default() }, out);
        }
        let reason = reason(&answer);
        let choice = self.choice(Delta::default(), Some(reason));
        out.push_back(self.chunk(&choice, None, Some(omni)));
        if self.with_usage {
            out.push_back(self.chunk(&[], WireUsage::of(&answer), None));
        }
        out.push_back(Event::default().data("[DONE]"));
    }

    fn event(&mut self, event: &ChatEvent, out: &mut VecDeque<Event>) {
        match event {
            ChatEvent::Text(text) => self.delta(Delta { content: Some(text), ..Delta::default() }, out),
            ChatEvent::Refusal(text) => self.delta(Delta { refusal: Some(text), ..Delta::default() }, out),
            ChatEvent::Extra(name, value) => match name.as_str() {
                "service_tier" => self.service_tier = Some(value.clone()),
                "system_fingerprint" => self.system_fingerprint = Some(value.clone()),
                "audio" => {
                    self.told_audio = true;
                    self.delta(Delta { audio: Some(value), ..Delta::default() }, out);
                }
                name => self.told_logprobs |= self.logprobs.take(name, value),
            },
            ChatEvent::Reasoning(text) => self.delta(Delta { reasoning_content: Some(text), ..Delta::default() }, out),
            ChatEvent::ToolCall { index, id, name, signature, own } => {
                let extra = signature.clone().map(ExtraContent::of);
                let is_text = own.as_ref().is_some_and(Raw::is_custom_call);
                if is_text {
                    self.texts.insert(*index);
                }
                let mut call = self.piece(*index, Some(name), "");
                call.kind = Some(if is_text { "custom" } else { "function" });
                call.id = Some(id);
                call.extra_content = extra.as_ref();
                self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            ChatEvent::Arguments { index, json } => {
                let call = self.piece(*index, None, json);
                self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            _ => {}
        }
    }
}
