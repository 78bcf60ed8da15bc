//! A provider's events on their way out as pieces.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use serde_json::json;

use super::answer::{Answer, Piece};
use super::call::Call;
use super::charge::charge;
use super::check;
use super::question::Question;
use crate::app::App;
use crate::chat::{ChatEvent, ChatResponse, FinishReason, Fold, Part, unfold};
use crate::citation::Policy;
use crate::error::{Error, Result};
use crate::provider::Events;
use crate::schema::{self, Partial, Patch};

/// A finished answer as a stream: who speaks, its words, its end.
pub(super) fn whole(answer: Answer) -> impl Stream<Item = Result<Piece>> + Send {
    let words: Vec<String> = answer.content.split_inclusive(' ').map(str::to_owned).collect();
    let start = Piece::Start { provider: answer.provider.clone(), model: answer.model.clone(), usage: None };
    let texts = words.into_iter().map(|word| Piece::Event(ChatEvent::Text(word)));
    let done = Piece::Done(Box::new(answer));
    futures_util::stream::iter(std::iter::once(start).chain(texts).chain([done]).map(Ok))
}

/// A provider's answer on its way out.
struct Outgoing {
    app: Arc<App>,
    question: Arc<Question>,
    call: Box<Call>,
    answer: Answer,
    seen: Fold,
    left_chars: usize,
    events: Option<Events>,
    partial: Option<Partial>,
    /// Which tool call is the shaped answer.
    tool: Option<usize>,
    /// Text is told as it comes, and not only when it was checked.
    is_live: bool,
    /// Nothing is told before the citations were checked.
    is_checked_first: bool,
    has_begun: bool,
    ready: VecDeque<Result<Piece>>,
}

/// Events to pieces. Where the answer is cut, the provider's call ends.
pub(super) fn pieces(
    app: &Arc<App>,
    question: &Arc<Question>,
    call: Box<Call>,
    answer: Answer,
    events: Events,
) -> impl Stream<Item = Result<Piece>> + Send + use<> {
    // What may be cut out or replaced later is not told before it was checked.
    let is_checked_first = question.retrieval.is_some() && question.citations != Policy::Annotate;
    let asked = question.shape.as_ref().and_then(|shape| shape.schema.as_deref()).map(schema::Schema::value);
    let is_promised = call.plan.as_ref().is_none_or(|plan| plan.holds_to(asked));
    let is_live = !is_checked_first && (question.shape.is_none() || (question.show_text && is_promised));
    let outgoing = Outgoing {
        app: Arc::clone(app),
        question: Arc::clone(question),
        answer,
        seen: Fold::default(),
        left_chars: question.max_chars.unwrap_or(usize::MAX),
        events: Some(events),
        partial: question.shape.as_ref().filter(|_| !is_checked_first).map(|_| Partial::default()),
        tool: None,
        is_live,
        is_checked_first,
        has_begun: false,
        ready: VecDeque::new(),
        call,
    };
    // Boxed, because it moves with every piece.
    futures_util::stream::unfold(Box::new(outgoing), |mut outgoing| async move {
        loop {
            if let Some(piece) = outgoing.ready.pop_front() {
                return Some((piece, outgoing));
            }
            // Every dialect ends with `Finish` or an error; the default is for one that would forget.
            let event = outgoing.events.as_mut()?.next().await.unwrap_or(Ok(ChatEvent::Finish(FinishReason::Stop)));
            outgoing.begin(event.as_ref().ok());
            match event {
                Ok(ChatEvent::Finish(reason)) => Box::pin(outgoing.finish(reason)).await,
                Ok(event) => {
                    if outgoing.take(event) {
                        Box::pin(outgoing.finish(FinishReason::Length)).await;
                    }
                }
                Err(error) => {
                    outgoing.events = None;
                    let error = outgoing.charged(error);
                    outgoing.ready.push_back(Err(error));
                }
            }
        }
    })
}

impl Drop for Outgoing {
    /// Whoever left has to pay for what was written until then: what is not known of it is counted.
    fn drop(&mut self) {
        if self.events.take().is_none() {
            return;
        }
        let trace = &self.call.request.trace;
        let mut seen = self.seen.answer().clone();
        seen.usage = seen.usage.filter(|_| trace.progress().is_counted);
        trace.left(charge(&self.app, &self.answer.provider, &self.answer.model, &seen));
    }
}

impl Outgoing {
    /// Tells once who answers, as soon as the provider has had its chance to say which model it is and what it read.
    fn begin(&mut self, next: Option<&ChatEvent>) {
        if matches!(next, None | Some(ChatEvent::Start { .. } | ChatEvent::Warning(_) | ChatEvent::Usage(_))) {
            return;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            let ChatResponse { model, usage, .. } = self.seen.answer();
            let model = if model.is_empty() { &self.answer.model } else { model }.clone();
            self.ready.push_back(Ok(Piece::Start { provider: self.answer.provider.clone(), model, usage: *usage }));
        }
    }

    /// Takes the next event; true where the answer is long enough.
    fn take(&mut self, event: ChatEvent) -> bool {
        let mut is_cut = false;
        match event {
            ChatEvent::Text(text) => {
                let kept;
                (kept, is_cut) = self.kept(text);
                self.preview(&kept);
                let is_told = !kept.is_empty();
                self.said(ChatEvent::Text(kept), is_told);
            }
            ChatEvent::Refusal(text) => {
                let kept;
                (kept, is_cut) = self.kept(text);
                let is_told = !kept.is_empty();
                self.said(ChatEvent::Refusal(kept), is_told);
            }
            // What belongs to the text is told with it.
            event @ (ChatEvent::Break | ChatEvent::Citation(_) | ChatEvent::Extra(..)) => self.said(event, true),
            ChatEvent::ToolCall { index, ref name, .. } if self.call.is_answer(name) => {
                self.tool = Some(index);
                self.seen.push(&event);
            }
            ChatEvent::Arguments { index, ref json } if self.tool == Some(index) => {
                self.preview(json);
                self.seen.push(&event);
            }
            event => {
                self.seen.push(&event);
                let is_told = match event {
                    ChatEvent::Reasoning(_)
                    | ChatEvent::Signature(_)
                    | ChatEvent::Redacted(_)
                    | ChatEvent::ToolCall { .. }
                    | ChatEvent::Arguments { .. }
                    | ChatEvent::Raw(_) => !self.is_checked_first,
                    _ => false,
                };
                if is_told {
                    self.ready.push_back(Ok(Piece::Event(event)));
                }
            }
        }
        is_cut
    }

    /// As much of a text as there is room for, and whether that is not all of it.
    fn kept(&mut self, text: String) -> (String, bool) {
        if self.left_chars == usize::MAX {
            return (text, false);
        }
        let kept: String = text.chars().take(self.left_chars).collect();
        self.left_chars -= kept.chars().count();
        let is_cut = kept.len() < text.len();
        (kept, is_cut)
    }

    /// Takes what may be told only where texts are told as they come.
    fn said(&mut self, event: ChatEvent, is_told: bool) {
        self.seen.push(&event);
        if self.is_live && is_told {
            self.ready.push_back(Ok(Piece::Event(event)));
        }
    }

    fn preview(&mut self, text: &str) {
        let Some(partial) = &mut self.partial else { return };
        let patches = partial.push(text);
        if !patches.is_empty() && !self.question.show_text {
            let is_wrapped = self.call.is_wrapped();
            let patches: Vec<Patch> = patches.into_iter().filter_map(|patch| unwrapped(patch, is_wrapped)).collect();
            if !patches.is_empty() {
                self.ready.push_back(Ok(Piece::Patch(patches)));
            }
        }
    }

    /// The failure with what was used up to it, as far as the provider told; what is not known is counted.
    fn charged(&self, error: Error) -> Error {
        let (Answer { provider, model, .. }, usage) = (&self.answer, self.seen.answer().usage);
        let cost_usd = charge(&self.app, provider, model, self.seen.answer());
        if usage.is_none() { error } else { error.with_details(json!({"usage": usage, "cost_usd": cost_usd})) }
    }

    async fn finish(&mut self, reason: FinishReason) {
        self.events = None;
        self.seen.push(&ChatEvent::Finish(reason));
        let response = std::mem::take(&mut self.seen).finish();
        let mut answer = std::mem::take(&mut self.answer);
        let is_nothing = response.parts.is_empty() && self.question.citations == Policy::Annotate;
        if self.question.shape.is_none() && (self.question.retrieval.is_none() || is_nothing) {
            // Nothing is to be checked.
            answer.take(&self.app, response, self.call.purpose);
            self.ready.push_back(Ok(Piece::Done(Box::new(answer))));
            return;
        }
        self.call.is_told = self.is_live;
        // A repair is a new exchange with a time of its own.
        let deadline = self.call.end.map_or(self.app.deadline(), |end| end.min(self.app.deadline()));
        match check::finish(&self.app, &self.question, &mut self.call, answer, response, deadline).await {
            Ok(answer) => self.end(answer),
            Err(error) => self.ready.push_back(Err(error)),
        }
    }

    fn end(&mut self, answer: Answer) {
        let valid = answer.structured.as_ref().map(|structured| structured.data.clone());
        let has_text = !self.is_live && (valid.is_none() || self.question.show_text);
        self.ready.extend(untold(&answer, has_text, self.is_checked_first).into_iter().map(|event| Ok(Piece::Event(event))));
        if let (Some(data), false) = (&valid, self.question.show_text) {
            let attempts = answer.answers().count();
            if attempts > 1 {
                self.ready.push_back(Ok(Piece::Reset(attempts)));
                self.ready.push_back(Ok(Piece::Patch(vec![Patch::Add { path: String::new(), value: data.clone() }])));
            }
            self.ready.push_back(Ok(Piece::Valid(data.clone())));
        }
        self.ready.push_back(Ok(Piece::Done(Box::new(answer))));
    }
}

/// What of an answer was held back, as events: its text with what belongs to it, or one text in the place of all where it was
/// changed since; thoughts and the like.
fn untold(answer: &Answer, has_text: bool, has_rest: bool) -> Vec<ChatEvent> {
    let is_as_written = answer.is_as_written();
    let mut changed = Some(&answer.content).filter(|text| has_text && !is_as_written && !text.is_empty()).cloned();
    let mut parts = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text(_) | Part::Refusal(_) | Part::Citation(_) if is_as_written => parts.extend(has_text.then(|| part.clone())),
            Part::Text(_) | Part::Refusal(_) | Part::Citation(_) => parts.extend(changed.take().map(Part::Text)),
            _ => parts.extend(has_rest.then(|| part.clone())),
        }
    }
    parts.extend(changed.map(Part::Text));
    let events = unfold(ChatResponse { parts, ..ChatResponse::default() }).into_iter();
    events.filter(|event| !matches!(event, ChatEvent::Start { .. } | ChatEvent::Finish(_))).collect()
}

/// A patch of the wrapped answer as one of the answer itself.
fn unwrapped(patch: Patch, is_wrapped: bool) -> Option<Patch> {
    if !is_wrapped {
        return Some(patch);
    }
    let inner = |path: String| path.strip_prefix('/')?.strip_prefix(schema::WRAPPER).map(str::to_owned);
    match patch {
        Patch::Add { path, value } => Some(Patch::Add { path: inner(path)?, value }),
        Patch::Append { path, value } => Some(Patch::Append { path: inner(path)?, value }),
    }
}
