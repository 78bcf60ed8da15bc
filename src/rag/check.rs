//! What a provider answered, checked: its shape against the schema, its citations against the stored text.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{Answer, Step, Structured};
use super::call::Call;
use super::question::Question;
use crate::app::App;
use crate::chat::{ChatResponse, FinishReason, Media, Message, Part, Role, Source};
use crate::citation::{self, Citation, Policy, Sources};
use crate::error::{Code, Error, Result};
use crate::schema::{self, Reading, Rung, Shape};

/// Bytes of the conversation, from its end, that may be quoted without a source.
const MAX_SAID_BYTES: usize = 256 * 1024;

/// What is answered in the place of an answer whose citations do not hold.
const ABSTAINED: &str = "The sources do not support an answer to this question.";

/// Reads, checks and, where it must be, has mended what the provider answered.
pub(super) async fn finish(
    app: &Arc<App>,
    question: &Question,
    call: &mut Call,
    mut answer: Answer,
    response: ChatResponse,
    deadline: Instant,
) -> Result<Answer> {
    // What not every answer goes through is boxed: its state would make every request's future larger, which is moved and
    // allocated.
    match &question.shape {
        Some(shape) => Box::pin(settle(app, (shape, question.show_text), call, &mut answer, response, deadline)).await?,
        None => answer.take(app, response, call.purpose),
    }
    // What is cut off is not cited.
    answer.cut(question.max_chars);
    // Nor is half a shape, and where citations count it is not told.
    let is_half = question.shape.is_some() && answer.structured.is_none();
    if is_half && question.citations != Policy::Annotate && answer.finish_reason == FinishReason::Length {
        answer.content.clear();
        answer.parts.clear();
        answer.extra.clear();
    }
    if question.retrieval.is_some() && is_answer(&answer) && !is_half {
        Box::pin(cite(app, question, call, &mut answer, deadline)).await?;
        answer.cut(question.max_chars);
    }
    Ok(answer)
}

/// Whether it may cite: a refusal does not, nor does an answer that a filter cut off or that calls tools.
fn is_answer(answer: &Answer) -> bool {
    let calls_tools = answer.tool_calls().next().is_some();
    !matches!(answer.finish_reason, FinishReason::ToolCalls | FinishReason::ContentFilter) && !calls_tools && !answer.is_refused()
}

/// Reads a shaped answer; an invalid one is mended by the model, a bounded number of times.
async fn settle(
    app: &Arc<App>,
    (shape, is_shown): (&Shape, bool),
    call: &mut Call,
    answer: &mut Answer,
    mut response: ChatResponse,
    deadline: Instant,
) -> Result<()> {
    let mut repairs = 0;
    loop {
        let text = call.text(&response);
        let calls_tools = response.tool_calls().any(|it| !call.is_answer(&it.name));
        answer.take(app, response, call.purpose);
        let is_cut = answer.finish_reason == FinishReason::Length;
        let is_withheld = is_shown && (is_cut || answer.finish_reason == FinishReason::ContentFilter);
        if is_withheld && call.rung() == Rung::ForcedTool {
            answer.parts.retain(|part| !matches!(part, Part::ToolCall(tool) if call.is_answer(&tool.name)));
            if is_cut {
                answer.content = text.clone();
            }
        }
        if calls_tools || is_withheld || (is_shown && answer.finish_reason == FinishReason::Pause) {
            // An intermediate turn: the caller's or the provider's tools come first. Or no whole answer: clients of the doors read
            // so from its reason.
            return Ok(());
        }
        stopped_short(answer, &text)?;
        let (asked, is_wrapped) = (shape.clone(), call.is_wrapped());
        let work = move |_: &App| {
            let reading = schema::read(&text, &asked, is_wrapped);
            // The model's own text stands where it says the same.
            let is_same = reading.value.is_some() && serde_json::from_str(&text).ok() == reading.value;
            Ok((reading, is_same, text))
        };
        let (reading, is_same, text) =
            app.compute(call.late(deadline), work).await.map_err(|error| paid(answer, error, json!({})))?;
        if reading.is_unfinished() && !call.request.sampling.stop_sequences.is_empty() {
            let message = "`structured_output`: the answer ended before its JSON was whole, where a stop sequence may have cut it; leave out the stop sequences";
            return Err(failed(answer, Code::ModelOutput, message, json!({"raw": text})));
        }
        if let (true, Some(data)) = (reading.is_valid() && (is_same || !call.is_told), reading.value.clone()) {
            answer.content = if is_same { text.trim().to_owned() } else { data.to_string() };
            accept(shape, call, answer, (data, reading.changes), text);
            return Ok(());
        }
        if repairs >= shape.max_repairs || call.is_told {
            return Err(invalid(answer, &text, &reading, shape.schema.is_none()));
        }
        repairs += 1;
        call.request.messages.push(Message::text(Role::Assistant, if text.trim().is_empty() { "{}" } else { &text }));
        call.request.messages.push(Message::text(Role::User, schema::repair_prompt(&reading.violations)));
        call.request.sampling.temperature = call.request.sampling.temperature.map(|_| 0.0);
        call.purpose = Step::Repair;
        let repaired = call.chat(app, answer, deadline).await;
        // What was paid for and written until then is not lost with it.
        response =
            repaired.map_err(|error| error.with_details(charged(answer, json!({"raw": text, "errors": reading.violations}))))?;
    }
}

/// Takes a valid value, and how it came about.
fn accept(shape: &Shape, call: &Call, answer: &mut Answer, (data, changes): (Value, Vec<schema::Change>), text: String) {
    let plan = call.plan.as_ref();
    if call.rung() == Rung::ForcedTool {
        answer.parts.clear();
        answer.finish_reason = FinishReason::Stop;
    }
    answer.structured = Some(Structured {
        data,
        method: shape.method,
        rung: call.rung(),
        skipped: plan.map_or_else(Vec::new, |plan| plan.skipped.clone()),
        losses: plan.map_or_else(Vec::new, |plan| plan.losses.clone()),
        changes,
        attempts: answer.answers().count(),
        raw: shape.include_raw.then_some(text),
    });
}

/// An answer that was cut or withheld is not mended by asking again.
fn stopped_short(answer: &Answer, text: &str) -> Result<()> {
    let (code, message) = match answer.finish_reason {
        FinishReason::Length => (
            Code::ModelOutput,
            "`structured_output`: the answer was cut before its JSON was whole; raise `max_tokens`, or ask for less",
        ),
        FinishReason::ContentFilter => (Code::ContentFilter, "`structured_output`: the model refused to answer"),
        _ => return Ok(()),
    };
    Err(failed(answer, code, message, json!({"raw": text})))
}

fn invalid(answer: &Answer, text: &str, reading: &Reading, is_any_object: bool) -> Error {
    let first = match reading.violations.first() {
        Some(violation) => {
            let place = if violation.pointer.is_empty() { "the whole" } else { &violation.pointer };
            format!("{place}: {}", violation.message)
        }
        None => "the text that was streamed has to be mended".to_owned(),
    };
    let remedy = if is_any_object { "say in the prompt that the answer is to be JSON" } else { "simplify the schema" };
    let message = format!(
        "`structured_output`: no valid answer in {} attempts: {first}; {remedy}, or ask a stronger model",
        answer.answers().count()
    );
    failed(answer, Code::ModelOutput, message, json!({"raw": text, "errors": reading.violations}))
}

fn failed(answer: &Answer, code: Code, message: impl Into<String>, details: Value) -> Error {
    paid(answer, Error::new(code, message), details)
}

/// A failure behind an answer that has to be paid for.
fn paid(answer: &Answer, error: Error, details: Value) -> Error {
    error.from_provider(&answer.provider, &answer.model).with_details(charged(answer, details))
}

/// The details of a failure with what was paid for it.
fn charged(answer: &Answer, mut details: Value) -> Value {
    details["attempts"] = json!(answer.attempts);
    details["usage"] = json!(answer.usage);
    details["cost_usd"] = json!(answer.cost_usd);
    details
}

/// Checks the citations and does with the false ones what the policy says.
async fn cite(app: &Arc<App>, question: &Question, call: &mut Call, answer: &mut Answer, deadline: Instant) -> Result<()> {
    if question.citations == Policy::Annotate {
        // Nothing is done with what does not hold, so the answer is worth as much without that being known.
        if let Err(error) = check(app, call, answer, deadline).await {
            let code = error.code().as_str();
            answer.warnings.push(format!("`rag_config.citations`: they could not be checked ({code})"));
        }
        return Ok(());
    }
    check(app, call, answer, call.late(deadline)).await?;
    let is_false = answer.citations.iter().any(Citation::is_false);
    match question.citations {
        Policy::Abstain if is_false || !answer.citations.iter().any(Citation::is_verified) => withhold(question, answer),
        Policy::Annotate | Policy::Abstain => Ok(()),
        Policy::Drop => drop_false(app, question, call, answer, deadline).await,
        Policy::Repair => {
            if is_false {
                let first = answer.clone();
                if let Err(error) = repair(app, question, call, answer, deadline).await {
                    // The first answer is paid for and still worth something.
                    let failed = std::mem::replace(answer, first);
                    (answer.attempts, answer.usage, answer.cost_usd) = (failed.attempts, failed.usage, failed.cost_usd);
                    answer.warnings = failed.warnings;
                    let code = error.code().as_str();
                    answer.warnings.push(format!("`rag_config.citations`: the repair failed ({code}); the first answer is used"));
                }
            }
            drop_false(app, question, call, answer, deadline).await
        }
    }
}

/// Takes everything back that the model said: its thoughts and the provider's own fields say it, too.
fn withhold(question: &Question, answer: &mut Answer) -> Result<()> {
    if question.shape.is_some() {
        let message = "`rag_config.citations`: `abstain`, and the sources do not support the answer";
        return Err(failed(answer, Code::ModelOutput, message, json!({})));
    }
    ABSTAINED.clone_into(&mut answer.content);
    answer.citations.clear();
    answer.parts.clear();
    answer.extra.clear();
    answer.finish_reason = FinishReason::Stop;
    answer.warnings.push("`rag_config.citations`: the sources do not support what the model answered; it is withheld".into());
    Ok(())
}

/// Has the model correct its citations, once, and checks what it then says.
async fn repair(app: &Arc<App>, question: &Question, call: &mut Call, answer: &mut Answer, deadline: Instant) -> Result<()> {
    let told = citation::repair_prompt(&answer.citations);
    call.request.messages.push(Message::text(Role::Assistant, answer.content.clone()));
    call.request.messages.push(Message::text(Role::User, told));
    call.purpose = Step::CitationRepair;
    let response = call.chat(app, answer, deadline).await?;
    match &question.shape {
        Some(shape) => settle(app, (shape, question.show_text), call, answer, response, deadline).await?,
        None => answer.take(app, response, call.purpose),
    }
    let is_blank = answer.content.trim().is_empty() && answer.structured.is_none();
    if is_blank || answer.finish_reason == FinishReason::Length || !is_answer(answer) {
        return Err(Error::new(Code::ModelOutput, "the model did not answer again"));
    }
    // What is cut off is not cited.
    answer.cut(question.max_chars);
    check(app, call, answer, call.late(deadline)).await
}

/// Cuts false citations out, and checks what is left.
async fn drop_false(app: &Arc<App>, question: &Question, call: &Call, answer: &mut Answer, deadline: Instant) -> Result<()> {
    let mut count = answer.citations.iter().filter(|citation| citation.is_false()).count();
    if count == 0 {
        return Ok(());
    }
    match (&mut answer.structured, question.shape.as_ref().and_then(|shape| shape.schema.as_deref())) {
        (Some(structured), schema) => {
            let mut data = structured.data.clone();
            let mut left = citation::value_without_false(&mut data, &answer.citations);
            if schema.is_some_and(|schema| !schema.is_valid(&data)) {
                left = count;
            }
            if left > 0 {
                answer
                    .warnings
                    .push(format!("`rag_config.citations`: {left} do not hold, and the schema does not let them be dropped"));
            }
            if left == count {
                return Ok(());
            }
            count -= left;
            answer.content = data.to_string();
            structured.data = data;
        }
        (None, _) => {
            answer.content = citation::without_false(&answer.content, &answer.citations);
            if !citation::states(&answer.content) {
                return withhold(question, answer);
            }
        }
    }
    answer.warnings.push(format!("`rag_config.citations`: {count} did not hold and were dropped"));
    check(app, call, answer, call.late(deadline)).await
}

/// Checking is work for a core, though not for long.
async fn check(app: &Arc<App>, call: &Call, answer: &mut Answer, deadline: Instant) -> Result<()> {
    let (passages, content) = (Arc::new(std::mem::take(&mut answer.passages)), answer.content.clone());
    let said = Arc::clone(&call.said);
    let data = answer.structured.as_ref().map(|structured| structured.data.clone());
    let is_cut = answer.finish_reason == FinishReason::Length;
    let sources = Arc::clone(&passages);
    let work = move |_: &App| Ok(Sources::new(&sources, &said).check_answer(&content, is_cut, data.as_ref()));
    let checked = app.compute(deadline, work).await;
    answer.passages = Arc::unwrap_or_clone(passages);
    answer.citations = checked.map_err(|error| paid(answer, error, json!({})))?;
    Ok(())
}

/// What the model was given beside the sources: the end of what everybody said, tools and instructions included.
pub(super) fn quotable(messages: &[Message]) -> Arc<str> {
    let mut texts = Vec::new();
    let mut left = MAX_SAID_BYTES;
    for message in messages.iter().rev() {
        for part in message.parts.iter().rev() {
            let inside = match part {
                Part::ToolResult(result) => result.content.as_slice(),
                part => std::slice::from_ref(part),
            };
            for part in inside.iter().rev() {
                let text = match part {
                    Part::Text(text) | Part::Document(Media { source: Source::Text(text), .. }) => text,
                    _ => continue,
                };
                let kept = &text[text.ceil_char_boundary(text.len().saturating_sub(left))..];
                left -= kept.len();
                texts.push(kept);
            }
        }
    }
    texts.reverse();
    texts.join("\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ChatRequest, Usage};
    use crate::config::{Config, Endpoint};
    use crate::passage::Passage;

    /// An app that computes one thing at a time.
    fn app() -> Arc<App> {
        let mut config = Config::default();
        config.limits.concurrent_searches = 1;
        let endpoint = Endpoint { base_url: Some("http://127.0.0.1:1/v1".into()), ..Endpoint::default() };
        config.providers.insert("custom".into(), endpoint);
        Arc::new(App::open(config).unwrap())
    }

    fn call(app: &App, shape: Option<&Shape>) -> Call {
        Call::new(app, app.links("custom", Some("m"), None).unwrap(), ChatRequest::default(), shape, false).unwrap()
    }

    fn said(text: String) -> ChatResponse {
        let usage = Some(Usage { prompt_tokens: 7, ..Usage::default() });
        ChatResponse { parts: vec![Part::Text(text)], usage, ..ChatResponse::default() }
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_in_time_says_what_it_cost() {
        let (app, shape) = (app(), Shape::any_object());
        let mut call = call(&app, Some(&shape));
        let now = Instant::now();
        call.end = Some(now);
        let mut answer = Answer { provider: "custom".into(), ..Answer::default() };
        // Nobody reads so much at once.
        let response = said(format!("[{}1]", "1,".repeat(1 << 20)));
        let outcome = settle(&app, (&shape, false), &mut call, &mut answer, response, now).await;
        let error = outcome.unwrap_err();
        let details = error.details().unwrap();
        assert_eq!((error.code(), &details["attempts"][0]["usage"]["prompt_tokens"]), (Code::Timeout, &json!(7)), "{details}");
        assert_eq!(error.provider(), Some("custom"));
    }

    #[tokio::test]
    async fn an_answer_whose_citations_are_not_checked_in_time_is_not_lost() {
        let app = app();
        let mut call = call(&app, None);
        let answer = || {
            let passage = Passage {
                chunk_id: String::new(),
                content: "A text.".into(),
                start: 0,
                source: "a.md".into(),
                title: String::new(),
                uri: "a.md".into(),
                page: None,
                headings: String::new(),
                score: None,
                relevance: 1.0,
                metadata: std::collections::BTreeMap::default(),
            };
            let mut answer =
                Answer { provider: "custom".into(), model: "m".into(), passages: vec![passage], ..Answer::default() };
            answer.take(&app, said("“Nobody ever wrote these words in here” [1]. A text [1].".into()), Step::Answer);
            answer
        };
        let asked = |citations| Question { citations, ..Question::default() };
        // The only core is busy.
        let (busy, (begun, begins), (let_go, ends)) =
            (Arc::clone(&app), tokio::sync::oneshot::channel(), std::sync::mpsc::channel::<()>());
        tokio::spawn(async move {
            let work = move |_: &App| {
                let _ = (begun.send(()), ends.recv());
                Ok(())
            };
            busy.compute(busy.deadline(), work).await
        });
        begins.await.unwrap();
        let now = Instant::now();
        call.end = Some(now);
        let mut kept = answer();
        cite(&app, &asked(Policy::Annotate), &mut call, &mut kept, now).await.unwrap();
        assert_eq!((kept.passages.len(), kept.citations.len()), (1, 0));
        assert_eq!(kept.warnings, ["`rag_config.citations`: they could not be checked (OVERLOADED)"]);
        let error = cite(&app, &asked(Policy::Drop), &mut call, &mut answer(), now).await.unwrap_err();
        assert_eq!((error.code(), error.provider(), error.model()), (Code::Overloaded, Some("custom"), Some("m")));
        assert_eq!(error.details().unwrap()["attempts"][0]["usage"]["prompt_tokens"], 7);
        // It is waited for a little longer where whoever asks does.
        call.end = None;
        let (question, mut dropped) = (asked(Policy::Drop), answer());
        let released = async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            drop(let_go);
        };
        let (outcome, ()) = tokio::join!(cite(&app, &question, &mut call, &mut dropped, now), released);
        outcome.unwrap();
        assert_eq!((dropped.content.as_str(), dropped.passages.len()), ("A text [1].", 1));
    }
}
