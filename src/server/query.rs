//! The handlers. Each is: read, understand, ask `rag`, write down.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;

use super::access;
use super::body::parse;
use super::request::{Asked, QueryRequest, SearchRequest, Shown};
use super::response::{ErrorResponse, IndexResponse, QueryResponse, SearchResponse, json};
use super::{Context, body, failed};
use crate::app::App;
use crate::chat::ChatEvent;
use crate::error::{Error, Result};
use crate::rag::{self, Answer, Piece, Question};

/// How often a silent stream says that it lives; front doors close connections that are idle for 30 seconds.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// `POST /v1/query`.
pub(super) async fn query(State(app): State<Arc<App>>, Extension(context): Extension<Context>, request: Request) -> Response {
    let labels = access::labels(app.config(), request.headers());
    let bytes = match body(&app, &context, request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let asked = labels.and_then(|labels| parse::<QueryRequest>(&bytes)?.understand(&app, &labels));
    let outcome = match asked {
        Ok(Asked { question, stream: true, shown }) => stream(&app, &context, question, shown).await,
        Ok(Asked { question, stream: false, shown }) => whole(&app, &context, question, shown).await,
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| failed(&context, &error, None))
}

/// `POST /v1/search`.
pub(super) async fn search(State(app): State<Arc<App>>, Extension(context): Extension<Context>, request: Request) -> Response {
    let labels = access::labels(app.config(), request.headers());
    let bytes = match body(&app, &context, request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let outcome = async {
        let (prompt, retrieval, shown) = parse::<SearchRequest>(&bytes)?.understand(&app, &labels?)?;
        let found = rag::retrieve(&app, &prompt, &retrieval, context.deadline).await?;
        context.line.hits(found.passages.len());
        Ok(json(StatusCode::OK, &SearchResponse::new(found, shown, &context.id, context.line.seconds())))
    };
    outcome.await.unwrap_or_else(|error: Error| failed(&context, &error, None))
}

/// `GET /v1/index`.
pub(super) async fn index(State(app): State<Arc<App>>, Extension(context): Extension<Context>) -> Response {
    match app.compute(context.deadline, IndexResponse::new).await {
        Ok(body) => json(StatusCode::OK, &body),
        Err(error) => failed(&context, &error, None),
    }
}

/// `GET /healthz`. Whatever would make it unhealthy has kept the service from starting. Beside that it says how many exchanges with
/// providers had a cost that is not known: a sum of costs that lacks them is too low.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let unknown = app.prices().unknown_count();
    json(StatusCode::OK, &serde_json::json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "unknown_costs": unknown}))
}

async fn whole(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let answer = rag::answer(app, question, context.deadline).await?;
    Ok(json(StatusCode::OK, &written(context, answer, shown)))
}

async fn stream(app: &Arc<App>, context: &Context, question: Question, shown: Shown) -> Result<Response> {
    let pieces = rag::stream(app, question, context.deadline).await?;
    context.line.streaming();
    let context = context.clone();
    // An error inside a stream is an event of it: under Lambda an `Err` would be written into the body as text.
    let events = pieces.map(move |piece| {
        Ok::<_, Infallible>(match piece {
            Ok(Piece::Event(ChatEvent::Text(content))) => event("delta", &serde_json::json!({"content": content})),
            // Thoughts are not shown here; tool calls stand in the end.
            Ok(Piece::Event(_)) => Event::default().comment("."),
            Ok(Piece::Patch(patches)) => event("partial", &serde_json::json!({"patch": patches})),
            Ok(Piece::Reset(attempt)) => event("reset", &serde_json::json!({"attempt": attempt})),
            Ok(Piece::Valid(data)) => event("validated", &serde_json::json!({"data": data})),
            Ok(Piece::Done(answer)) => event("done", &written(&context, *answer, shown)),
            Err(error) => {
                context.line.error(&error);
                event("error", &ErrorResponse::new(&error, &context.id))
            }
        })
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Proxies that buffer would turn a stream into a wait.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn written(context: &Context, answer: Answer, shown: Shown) -> QueryResponse {
    context.answered(&answer);
    QueryResponse::new(answer, shown, &context.id, context.line.seconds())
}

fn event(name: &str, data: &impl serde::Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
