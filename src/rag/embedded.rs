//! A question embedded by the provider whose vectors the index holds.

use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Attempt, Step};
use super::charge::Exchange;
use crate::app::App;
use crate::chat::{Trace, Usage};
use crate::error::{Code, Result};
use crate::provider::embed::{Model, Side};
use crate::provider::shared;

/// How long embedding a question may take where a search by words can stand in.
const EMBEDDING_WAIT: Duration = Duration::from_secs(5);

/// The vectors of a question's readings, or why there are none; and what it cost to have them made by a provider.
pub(super) type Embedded = (std::result::Result<Vec<Vec<f32>>, String>, Option<Attempt>);

/// Has the readings of a question embedded by the provider whose vectors the index holds. Words alone find something, too. So
/// where a vector is not a must, to have none is no failure, the provider may take a part of the time only, and one that keeps
/// failing is left alone for a while.
pub(super) async fn embed(app: &App, model: &Model, texts: Vec<String>, is_must: bool, deadline: Instant) -> Result<Embedded> {
    let name = format!("`{}/{}`", model.provider(), model.name());
    if !is_must && model.is_cooling() {
        return Ok((Err(format!("{name} keeps failing to embed questions and is left alone for a while")), None));
    }
    let now = Instant::now();
    let until = if is_must { deadline } else { shared(now, deadline).min(now + EMBEDDING_WAIT) };
    let mut attempt = Attempt {
        provider: model.provider().to_owned(),
        model: model.name().to_owned(),
        purpose: Step::Embedding,
        usage: None,
        cost_usd: None,
        code: None,
        status: None,
    };
    let (trace, exchange) = (Trace::default(), Exchange::begin(app));
    let outcome = model.embed(app.client(), texts, Side::Query, trace.clone(), until).await;
    exchange.end(&trace);
    let response = match outcome {
        Ok(response) => response,
        Err(error) if is_must || !is_outage(error.code()) => return Err(error),
        Err(error) => {
            let (provider, model, code) = (model.provider(), model.name(), error.code().as_str());
            tracing::warn!(
                provider,
                model,
                code,
                cause = error.causes().unwrap_or_else(|| error.message().to_owned()),
                "the question was not embedded; words only are searched"
            );
            (attempt.code, attempt.status) = (Some(code), error.refusal().status);
            return Ok((Err(format!("{name} did not embed the question ({code})")), Some(attempt)));
        }
    };
    attempt.usage = response.prompt_tokens.map(|prompt_tokens| Usage { prompt_tokens, ..Usage::default() });
    attempt.cost_usd = app.prices().charge(model.provider(), &[model.name()], attempt.usage.as_ref());
    Ok((Ok(response.vectors), Some(attempt)))
}

/// Whether a failure is the provider's alone, and says nothing of the question: a model may be gone since the index was built,
/// too.
fn is_outage(code: Code) -> bool {
    let is_refused = matches!(code, Code::Authentication | Code::Budget | Code::InvalidModel);
    is_refused || matches!(code, Code::Timeout | Code::RateLimit | Code::Overloaded | Code::ProviderError)
}
