//! The journey of a question: retrieve -> prompt -> chat -> shape and citations checked, or retrieve -> quote. Buffered and
//! streamed it is the same line.

mod answer;
mod call;
mod charge;
mod check;
mod embedded;
mod means;
mod pieces;
mod question;
mod quote;
mod reading;
mod retrieve;

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;

pub use self::answer::{Answer, Attempt, EXTRACTIVE, Fallback, Piece, Step, Structured};
use self::call::Call;
pub(crate) use self::charge::Exchange;
use self::means::means;
pub use self::question::{ANSWER_TOKENS, Question};
pub(crate) use self::retrieve::no_index;
pub use self::retrieve::{Found, Retrieval, retrieve};
use crate::app::App;
use crate::chat::{ChatRequest, ResponseFormat};
use crate::citation::Policy;
use crate::error::Result;
use crate::prompt::{self, Format};
use crate::provider::Provider;
use crate::schema::Shape;

/// Who is asked, one after another, each with its model; and what, before anything was looked up.
type Aim = (Vec<(Provider, String)>, ChatRequest);

/// Answers a question by `deadline`. What is left to do behind a provider's answer may take a little longer, but not beyond `end`,
/// where there is one.
///
/// # Errors
/// The question cannot be answered as asked, the provider failed and the operator does not want quotes instead, or no answer had
/// the shape that was asked for.
pub async fn answer(app: &Arc<App>, mut question: Question, deadline: Instant, end: Option<Instant>) -> Result<Answer> {
    let (mut answer, call) = prepare(app, &mut question, false, deadline).await?;
    let question = Arc::new(question);
    let Some(mut call) = call else {
        return Box::pin(quote::answer(app, &question, answer, deadline)).await;
    };
    call.end = end;
    match call.chat(app, &mut answer, deadline).await {
        Ok(response) => check::finish(app, &question, &mut call, answer, response, deadline).await,
        Err(error) => Box::pin(quote::fall_back(app, &question, answer, error, call.late(deadline))).await,
    }
}

/// Answers a question piece by piece. Nothing is handed out before the provider's first word, so that a failure until then is an
/// error (or quotes) and not half an answer. `deadline` is for that word, `end`, where there is one, for the last. Dropping the
/// stream ends the provider's call.
///
/// # Errors
/// As [`answer()`]; a failure after the first word is the stream's last item.
pub async fn stream(
    app: &Arc<App>,
    mut question: Question,
    deadline: Instant,
    end: Option<Instant>,
) -> Result<impl Stream<Item = Result<Piece>> + Send + use<>> {
    let (mut answer, call) = prepare(app, &mut question, true, deadline).await?;
    let question = Arc::new(question);
    let Some(mut call) = call else {
        return Ok(pieces::whole(Box::pin(quote::answer(app, &question, answer, deadline)).await?).left_stream());
    };
    call.end = end;
    match call.stream(app, &mut answer, deadline).await {
        Ok(events) => Ok(pieces::pieces(app, &question, call, answer, events).right_stream()),
        Err(error) => {
            Ok(pieces::whole(Box::pin(quote::fall_back(app, &question, answer, error, call.late(deadline))).await?).left_stream())
        }
    }
}

/// Decides who answers, retrieves, and builds the request. Refuses before it searches.
async fn prepare(
    app: &Arc<App>,
    question: &mut Question,
    is_stream: bool,
    deadline: Instant,
) -> Result<(Answer, Option<Box<Call>>)> {
    let (mut answer, aim) = aim(app, question, is_stream)?;
    answer.index_digest = app.index().map(|opened| opened.index.digest().to_owned());
    if let Some(retrieval) = &question.retrieval {
        let conversation = aim.as_ref().map_or(&question.request.messages, |(_, request)| &request.messages);
        let found = Box::pin(retrieve::find(app, &question.prompt, conversation, retrieval, deadline)).await?;
        (question.query, question.vector) = (Some(found.query), found.vector);
        answer.passages = found.passages;
        answer.index_digest = Some(found.index_digest);
        answer.attempts.extend(found.attempt);
        answer.warnings.extend(found.warnings);
    }
    let Some((links, mut request)) = aim else { return Ok((answer, None)) };
    let said = check::quotable(&request.messages);
    ground(app, question, &mut answer, &mut request);
    let mut call = Call::new(app, links, request, question.shape.as_ref(), is_stream)?;
    call.said = said;
    Ok((answer, Some(Box::new(call))))
}

/// Decides who answers; none is asked where quotes do. Where a provider is asked, it gets the messages themselves: nothing later
/// reads them, and pictures in them are large.
fn aim(app: &App, question: &mut Question, is_stream: bool) -> Result<(Answer, Option<Aim>)> {
    let generation = &app.config().generation;
    let mut answer = Answer { warnings: std::mem::take(&mut question.warnings), ..Answer::default() };
    let name = match question.provider.as_deref().or(generation.provider.as_deref()) {
        Some(EXTRACTIVE) => None,
        Some(name) => Some(name.to_owned()),
        None => app.preferred(),
    };
    let Some(name) = name else {
        quote::refuse(question)?;
        EXTRACTIVE.clone_into(&mut answer.provider);
        EXTRACTIVE.clone_into(&mut answer.model);
        answer.warnings.extend(quote::without_effect(question));
        return Ok((answer, None));
    };
    let mut links = app.links(&name, question.model.as_deref(), question.fallbacks.as_deref())?;
    for (provider, model) in &mut links {
        let Some(alias) = provider.alias(model) else { continue };
        let warning = format!("`{model}`: the operator has `{}/{alias}` asked in its place", provider.name());
        answer.warnings.push(warning);
        *model = alias.to_owned();
    }
    let (provider, model) = &links[0];
    provider.name().clone_into(&mut answer.provider);
    model.clone_into(&mut answer.model);
    answer.warnings.extend(app.prices().retirement(provider.name(), model));
    let messages = std::mem::take(&mut question.request.messages);
    let mut request = ChatRequest { messages, ..question.request.clone() };
    request.sampling.answer_tokens = generation.max_tokens.or(question.answer_tokens);
    request.sampling.temperature = request.sampling.temperature.or(generation.temperature);
    model.clone_into(&mut request.model);
    // What has no way to hold a model to JSON needs to be read, and mended, like any shape. A stream would be held back for it.
    let lacks_json_mode = || means(provider, model, &request, is_stream).is_ok_and(|means| !means.json_object);
    if question.wants_json() && !is_stream && question.shape.is_none() && lacks_json_mode() {
        (question.shape, question.show_text) = (Some(Shape::any_object()), true);
    }
    Ok((answer, Some((links, request))))
}

/// Shows the model what was found, and tells it how to answer.
fn ground(app: &App, question: &Question, answer: &mut Answer, request: &mut ChatRequest) {
    let wants_json = question.wants_json();
    let passages = question.retrieval.as_ref().map(|_| answer.passages.as_slice());
    let format = if wants_json && question.shape.is_none() { Format::Json } else { question.format };
    let is_checked = question.citations != Policy::Annotate;
    let used = prompt::ground(request, passages, format, is_checked, app.config().generation.context_chars);
    if wants_json && request.response_format.is_text() {
        request.response_format = ResponseFormat::JsonObject;
    }
    if used < answer.passages.len() {
        // What the model has not seen is no source of its answer.
        answer.warnings.push(format!(
            "{} of {} sources fit into the prompt; the others were left out",
            used,
            answer.passages.len()
        ));
        answer.passages.truncate(used);
    }
}
