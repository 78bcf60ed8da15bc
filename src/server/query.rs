//! The handlers. Each is: read, understand, ask `rag`, write down.

use std::future::ready;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::StreamExt as _;

use super::body::parse;
use super::loaded::IndexResponse;
use super::request::{Asked, QueryRequest, SearchRequest, Shown};
use super::response::{ErrorResponse, QueryResponse, SearchResponse, json};
use super::sse::{self, event};
use super::{Context, answer, failed, understand};
use crate::app::App;
use crate::chat::ChatEvent;
use crate::error::Result;
use crate::rag::{self, Answer, Piece, Question};

/// `POST /v1/query`.
pub(super) async fn query(State(app): State<Arc<App>>, Extension(context): Extension<Context>, request: Request) -> Response {
    answer(&app, &context, request, async |bytes, labels| {
        let body = parse::<QueryRequest>(&bytes)?;
        drop(bytes);
        let is_shaped = body.is_shaped();
        let work = move |app: &App| body.understand(app, &labels);
        let Asked { mut question, stream, shown } = understand(&app, &context, is_shaped, work).await?;
        question.request.trace = context.line.trace().clone();
        if stream { streamed(&app, &context, question, shown).await } else { whole(&app, &context, question, shown).await }
    })
    .await
}

/// `POST /v1/search`.
pub(super) async fn search(State(app): State<Arc<App>>, Extension(context): Extension<Context>, request: Request) -> Response {
    answer(&app, &context, request, async |bytes, labels| {
        let (prompt, retrieval, shown) = parse::<SearchRequest>(&bytes)?.understand(&app, &labels)?;
        let found = rag::retrieve(&app, &prompt, &retrieval, context.deadline).await?;
        context.line.hits(found.passages.len());
        Ok(json(StatusCode::OK, &SearchResponse::new(found, shown, &context.id, context.line.seconds())))
    })
    .await
}

/// `GET /v1/index`.
pub(super) async fn index(State(app): State<Arc<App>>, Extension(context): Extension<Context>) -> Response {
    match app.compute(context.deadline, IndexResponse::new).await {
        Ok(body) => json(StatusCode::OK, &body),
        Err(error) => failed(&context, &error, None),
    }
}

/// `GET /healthz`. What else would make it unhealthy has kept the service from starting. Beside that it says how many exchanges
/// with providers had a cost that is not known: a sum of costs that lacks them is too low.
pub(super) async fn health(State(app): State<Arc<App>>, Extension(context): Extension<Context>) -> Response {
    if let Err(error) = app.require_sound() {
        return failed(&context, &error, Some(StatusCode::SERVICE_UNAVAILABLE));
    }
    let unknown = app.prices().unknown_count();
    json(StatusCode::OK, &serde_json::json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "unknown_costs": unknown}))
}

async fn whole(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let answer = rag::answer(app, question, context.deadline, context.end).await?;
    Ok(json(StatusCode::OK, &written(context, answer, shown)))
}

async fn streamed(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let pieces = context.until_stopped(rag::stream(app, question, context.deadline, context.end).await?);
    context.line.streaming();
    let context = context.clone();
    // An error inside a stream is an event of it: under Lambda an `Err` would be written into the body as text.
    let events = pieces.filter_map(move |piece| {
        ready(Some(match piece {
            Ok(Piece::Event(ChatEvent::Text(content) | ChatEvent::Refusal(content))) => {
                event("delta", &serde_json::json!({"content": content}))
            }
            // These come with texts, or stand in the end.
            Ok(Piece::Start { .. } | Piece::Event(ChatEvent::Extra(..) | ChatEvent::Break | ChatEvent::Citation(_))) => {
                return ready(None);
            }
            // Thoughts and tool calls stand in the end: a sign of life.
            Ok(Piece::Event(_)) => Event::default().comment("."),
            Ok(Piece::Patch(patches)) => event("partial", &serde_json::json!({"patch": patches})),
            Ok(Piece::Reset(attempt)) => event("reset", &serde_json::json!({"attempt": attempt})),
            Ok(Piece::Valid(data)) => event("validated", &serde_json::json!({"data": data})),
            Ok(Piece::Done(answer)) => event("done", &written(&context, *answer, shown)),
            Err(error) => {
                context.line.error(&error);
                event("error", &ErrorResponse::new(&error, &context.id))
            }
        }))
    });
    Ok(sse::response(events, None))
}

fn written(context: &Context, answer: Answer, shown: Shown) -> QueryResponse {
    context.answered(&answer);
    QueryResponse::new(answer, shown, &context.id, context.line.seconds())
}
