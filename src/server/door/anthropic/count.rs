//! `POST /v1/messages/count_tokens`: how many tokens a conversation has, as the provider counts them.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;

use super::request::{MessagesBody, understood};
use crate::app::App;
use crate::error::{Error, Result};
use crate::rag::EXTRACTIVE;
use crate::server::Context;
use crate::server::response::json;

/// Counts. What is found in an index, and how a shape is told, is decided with the answer.
pub(super) async fn counted(
    app: &Arc<App>,
    context: &Context,
    body: MessagesBody,
    labels: &[String],
    betas: Vec<String>,
) -> Result<Response> {
    if body.is_shaped() {
        return Err(Error::not_supported("output_config.format", "count without it"));
    }
    let (question, _) = understood(app, body, labels)?;
    if question.retrieval.is_some() {
        return Err(Error::not_supported("rag", "passages are found with the answer; name the provider alone"));
    }
    let name = question.provider.or_else(|| app.config().generation.provider.clone()).or_else(|| app.preferred());
    let Some(name) = name.filter(|name| name != EXTRACTIVE) else {
        return Err(Error::not_supported("count_tokens", "quotes have no tokens; name a provider in `model`"));
    };
    let provider = app.provider(&name)?;
    let mut request = question.request;
    request.trace = context.line.trace().clone();
    let model = provider.model(question.model.as_deref())?;
    provider.alias(model).unwrap_or(model).clone_into(&mut request.model);
    request.betas = betas;
    let told = provider.count_tokens(app.client(), &request, context.deadline).await?;
    context.line.answer(provider.name(), &request.model, None, Some(0.0));
    Ok(json(StatusCode::OK, &told))
}
