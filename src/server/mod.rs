//! The one axum Router, for a port and for Lambda alike. Only this folder knows axum.
//!
//! | path | what |
//! |---|---|
//! | `POST /v1/query`, `POST /` | an answer with its sources, whole or streamed |
//! | `POST /v1/search` | hits only |
//! | `GET /v1/index` | what is loaded |
//! | `POST /v1/chat/completions` | OpenAI's dialect, for any provider and for the index |
//! | `POST /v1/messages` | Anthropic's dialect, likewise |
//! | `POST /v1/embeddings` | vectors of the model that is loaded here |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the names that these doors take |
//! | `GET /openapi.json` | all of this, for machines |
//! | `GET /healthz` | whether the service can answer |

mod access;
mod body;
mod clock;
mod door;
mod field;
pub mod lambda;
pub mod listen;
mod loaded;
mod query;
mod rag_config;
mod request;
mod response;
mod sse;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::net::random_bytes;
use crate::rag::Answer;
use crate::telemetry::Line;
use door::Door;

pub use request::Shown;
pub use response::{QueryResponse, SearchResponse};

/// Every path that is answered.
const PATHS: [&str; 10] = [
    "/",
    "/v1/query",
    "/v1/search",
    "/v1/index",
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/models",
    "/openapi.json",
    "/healthz",
];

/// The description of every path and field, kept by hand; `tests/serve/openapi.rs` holds it against the code.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// What travels with a request.
#[derive(Debug, Clone)]
struct Context {
    id: String,
    line: Arc<Line>,
    /// When the answer has to be there, or to begin where it is streamed.
    deadline: Instant,
    /// When whoever calls us stops waiting, where that is known: a stream is over by then, too.
    end: Option<Instant>,
    door: Door,
}

impl Context {
    /// Writes down who answered.
    fn answered(&self, answer: &Answer) {
        let Answer { provider, model, passages, usage, cost_usd, .. } = answer;
        self.line.hits(passages.len());
        self.line.answer(provider, model, *usage, *cost_usd);
    }
}

/// When whoever calls us stops waiting; put into a request's extensions by the front door that knows.
#[derive(Debug, Clone, Copy)]
struct Deadline(Instant);

/// Lambda's name for the invocation.
#[derive(Debug, Clone)]
struct Invocation(String);

/// Builds the router over what is open.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", post(query::query))
        .route("/v1/query", post(query::query))
        .route("/v1/search", post(query::search))
        .route("/v1/index", get(query::index))
        .route("/v1/chat/completions", post(door::openai::completions))
        .route("/v1/messages", post(door::anthropic::messages))
        .route("/v1/embeddings", post(door::embeddings::embeddings))
        .route("/v1/models", get(door::models::list))
        .route("/v1/models/{*id}", get(door::models::one))
        .route("/openapi.json", get(openapi))
        .route("/healthz", get(query::health))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// A name for a request or an answer: `req_` and 24 hex digits.
pub fn request_id() -> String {
    format!("req_{}", hex(&random_bytes::<12>()))
}

/// Names the request, writes its line, and turns a panic into an answer.
async fn observe(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = request_id();
    let line = Arc::new(Line::new(&id, request.method().as_str(), request.uri().path()));
    if let Some(Invocation(invocation)) = request.extensions().get() {
        line.invocation(invocation);
    }
    let (ours, end) = (app.deadline(), request.extensions().get().map(|&Deadline(end)| end));
    let deadline = end.map_or(ours, |end| ours.min(end));
    let context = Context { id, line, deadline, end, door: Door::of(request.uri().path(), request.headers()) };
    request.extensions_mut().insert(context.clone());
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = outcome.unwrap_or_else(|_| {
        failed(&context, &Error::internal("the service failed; the log has more under this request id"), None)
    });
    context.line.status(response.status().as_u16());
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        if context.door == Door::Anthropic {
            response.headers_mut().insert("request-id", id.clone());
        }
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Writes an error down, for the caller and for the log. `status` is for HTTP's own errors, which have codes of their own.
fn failed(context: &Context, error: &Error, status: Option<StatusCode>) -> Response {
    context.line.error(error);
    let status =
        status.or_else(|| StatusCode::from_u16(context.door.status(error)).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = response::json(status, &context.door.error(error, &context.id));
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
    }
    if error.is_settled() {
        // Otherwise the vendors' clients send again whatever has a status from 500 on.
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

async fn unknown_path(axum::Extension(context): axum::Extension<Context>, request: Request) -> Response {
    let paths: Vec<String> = PATHS.iter().map(|path| format!("`{path}`")).collect();
    let shown: String = request.uri().path().chars().take(100).collect();
    let message = format!("`{shown}`: no such path; there are {}", paths.join(", "));
    failed(&context, &Error::new(Code::NotFound, message), None)
}

/// Whether a path is one that is answered, or lies below one.
fn is_known(path: &str) -> bool {
    let is_below = |known: &str| path.strip_prefix(known).is_some_and(|rest| rest.starts_with('/'));
    PATHS.iter().any(|known| path == *known || is_below(known))
}

async fn wrong_method(axum::Extension(context): axum::Extension<Context>, request: Request) -> Response {
    let path = request.uri().path();
    let reads = matches!(path, "/v1/index" | "/healthz" | "/openapi.json" | "/v1/models") || path.starts_with("/v1/models/");
    let wanted = if reads { "GET" } else { "POST" };
    let error = Error::bad_request(format!("`{}`: not allowed here; use {wanted}", request.method()));
    let mut response = failed(&context, &error, Some(StatusCode::METHOD_NOT_ALLOWED));
    response.headers_mut().insert("allow", HeaderValue::from_static(wanted));
    response
}

async fn openapi() -> Response {
    ([("content-type", "application/json")], OPENAPI).into_response()
}

/// Answers a request: `respond` gets its body and the labels of whoever asks. What goes wrong is written down.
async fn answer(
    app: &App,
    context: &Context,
    request: Request,
    respond: impl AsyncFnOnce(Bytes, Result<Vec<String>>) -> Result<Response>,
) -> Response {
    let labels = access::labels(app.config(), request.headers());
    match body(app, context, request).await {
        Ok(bytes) => respond(bytes, labels).await.unwrap_or_else(|error| failed(context, &error, None)),
        Err(response) => response,
    }
}

/// Reads a body within the operator's size and time.
async fn body(app: &App, context: &Context, request: Request) -> Result<Bytes, Response> {
    let limits = &app.config().limits;
    let most = limits.max_request_size_mb << 20;
    let too_large = || {
        let message = format!(
            "the body is larger than {} MiB; send less, or raise `MAX_REQUEST_SIZE_MB` where the service runs",
            most >> 20
        );
        failed(context, &Error::new(Code::BodyTooLarge, message), None)
    };
    let announced = request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let reading = axum::body::to_bytes(request.into_body(), usize::try_from(most).unwrap_or(usize::MAX));
    match tokio::time::timeout(Duration::from_secs(limits.body_timeout_s), reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(cause))
            if std::error::Error::source(&cause).is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) =>
        {
            Err(too_large())
        }
        Ok(Err(cause)) => Err(failed(context, &Error::bad_request("the body broke off").caused_by(cause), None)),
        Err(_) => {
            let error = Error::new(Code::Timeout, format!("the body did not arrive within {} seconds", limits.body_timeout_s));
            Err(failed(context, &error, Some(StatusCode::REQUEST_TIMEOUT)))
        }
    }
}
