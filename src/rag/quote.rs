//! Answers made of quotes: where no provider is asked, and where one failed.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::answer::{Answer, EXTRACTIVE, Fallback};
use super::check;
use super::question::Question;
use crate::app::App;
use crate::chat::{Role, Sampling, Usage};
use crate::citation::Sources;
use crate::error::{Error, Result, quoted};
use crate::extractive;
use crate::prompt::Format;
use crate::provider::is_mistake;

/// Sentences whose meaning is compared with the question's; each costs a forward pass.
const RESCORED_SENTENCES: usize = 12;

/// The warning that names what was asked for and has no effect on quotes.
pub(super) fn without_effect(question: &Question) -> Option<String> {
    let request = &question.request;
    let has_system = request.messages.iter().any(|message| message.role == Role::System);
    let mut fields: Vec<&str> = [
        ("model_config", request.sampling != Sampling::default()),
        ("system_prompt", has_system),
        ("tool_choice", request.tool_choice.is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls.is_some()),
        ("reasoning", request.reasoning.is_some()),
        ("service_tier", request.service_tier.is_some()),
        ("fallbacks", question.fallbacks.as_ref().is_some_and(|named| !named.is_empty())),
    ]
    .into_iter()
    .filter_map(|(field, is_asked)| is_asked.then_some(field))
    .collect();
    fields.extend(request.extra.keys().map(String::as_str));
    let last = fields.pop()?;
    let named = match fields.as_slice() {
        [] => format!("`{last}` has"),
        more => format!("{} and `{last}` have", quoted(more)),
    };
    Some(format!("no provider is asked: the answer is quoted from the sources, {named} no effect"))
}

/// Refuses what an answer made of quotes cannot do.
pub(super) fn refuse(question: &Question) -> Result<()> {
    if question.model.as_deref().is_some_and(|model| model != EXTRACTIVE) {
        return Err(Error::bad_request("`model_name`: no provider is asked; name one in `model_provider`"));
    }
    if question.retrieval.is_none() {
        let message = "nobody can answer: no provider is asked and retrieval is off; name a `model_provider`, or load an index";
        return Err(Error::bad_request(message));
    }
    if question.shape.as_ref().is_some_and(|shape| shape.schema.is_some()) {
        let message = "`structured_output`: no provider is asked, and quotes have a shape of their own; name a `model_provider`";
        return Err(Error::bad_request(message));
    }
    if question.request.has_tools() {
        return Err(Error::bad_request("`tools`: no provider is asked, and quotes call none; name a model"));
    }
    Ok(())
}

/// Answers with quotes.
pub(super) async fn answer(app: &Arc<App>, question: &Arc<Question>, mut answer: Answer, deadline: Instant) -> Result<Answer> {
    let question = Arc::clone(question);
    app.compute(deadline, move |app| {
        let query = question.query.as_ref().unwrap_or(&question.prompt);
        let mut found = extractive::candidates(query, &answer.passages);
        if let Some(embedder) = app.embedder() {
            found.truncate(RESCORED_SENTENCES);
            let asked = match &question.vector {
                Some(known) => Cow::Borrowed(known),
                None => Cow::Owned(embedder.embed_query(query)?),
            };
            let statements: Vec<Cow<'_, str>> = found.iter().map(|candidate| candidate.text(&answer.passages)).collect();
            let sentences: Vec<&str> = statements.iter().map(AsRef::as_ref).collect();
            let vectors = embedder.embed(&sentences, &|_| {})?;
            let cosines: Vec<f32> = vectors.iter().map(|vector| dot(&asked, vector)).collect();
            extractive::rescore(&mut found, &cosines);
        }
        let is_measured = app.embedder().is_none_or(|embedder| embedder.name() == extractive::MEASURED);
        let json = question.wants_json() || question.shape.is_some();
        let format = if json { Format::Json } else { question.format };
        answer.content = extractive::compose(&found, &answer.passages, format, is_measured);
        answer.usage = Some(Usage::default());
        answer.cost_usd = answer.cost();
        answer.cut(question.max_chars);
        let value = (format == Format::Json).then(|| serde_json::from_str(&answer.content).ok()).flatten();
        let said = check::quotable(&question.request.messages);
        answer.citations = Sources::new(&answer.passages, &said).check_answer(&answer.content, false, value.as_ref());
        Ok(answer)
    })
    .await
}

/// Answers with quotes for a provider that failed, where the operator allows it and there is something to quote.
pub(super) async fn fall_back(
    app: &Arc<App>,
    question: &Arc<Question>,
    mut answer: Answer,
    error: Error,
    deadline: Instant,
) -> Result<Answer> {
    let shaped = question.shape.as_ref().is_some_and(|shape| shape.schema.is_some()) || question.request.has_tools();
    if !app.config().generation.fallback_extractive || question.retrieval.is_none() || is_mistake(error.code()) || shaped {
        return Err(error);
    }
    tracing::warn!(
        request_id = question.request.trace.request_id(),
        provider = answer.provider,
        code = error.code().as_str(),
        status = error.refusal().status,
        cause = error.causes(),
        "the provider failed; quoting instead"
    );
    let provider = std::mem::replace(&mut answer.provider, EXTRACTIVE.to_owned());
    EXTRACTIVE.clone_into(&mut answer.model);
    answer.warnings.push(format!("`{provider}` failed: the answer is quoted from the sources instead"));
    answer.fallback = Some(Fallback { provider, code: error.code().as_str(), message: error.message().to_owned() });
    // Where the time is over for quotes, too, it was the provider that failed.
    self::answer(app, question, answer, deadline).await.map_err(|_| error)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::Code;
    use crate::rag::Retrieval;

    #[tokio::test]
    async fn quotes_do_not_come_later_than_somebody_waits() {
        let mut config = Config::default();
        config.generation.fallback_extractive = true;
        config.limits.concurrent_searches = 1;
        let app = Arc::new(App::open(config).unwrap());
        // The only core is busy.
        let (busy, (begun, begins), (let_go, ends)) =
            (Arc::clone(&app), tokio::sync::oneshot::channel(), std::sync::mpsc::channel::<()>());
        let work = move |_: &App| {
            let _ = (begun.send(()), ends.recv());
            Ok(())
        };
        let busy = tokio::spawn(async move { busy.compute(busy.deadline(), work).await });
        begins.await.unwrap();
        let question = Arc::new(Question { retrieval: Some(Retrieval::default()), ..Question::default() });
        let failed = || Error::new(Code::ProviderError, "the provider failed");
        let now = Instant::now();
        let error = fall_back(&app, &question, Answer::default(), failed(), now).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::ProviderError, "the provider failed"));
        drop(let_go);
        busy.await.unwrap().unwrap();
        let until = now + std::time::Duration::from_secs(60);
        assert_eq!(fall_back(&app, &question, Answer::default(), failed(), until).await.unwrap().provider, EXTRACTIVE);
    }
}
