//! The one axum Router, for a port and for Lambda alike. Only this folder knows axum.
//!
//! | path | what |
//! |---|---|
//! | `POST /v1/query`, `POST /` | an answer with its sources, whole or streamed |
//! | `POST /v1/search` | hits only |
//! | `GET /v1/index` | what is loaded |
//! | `POST /v1/chat/completions` | OpenAI's dialect, for any provider and for the index |
//! | `POST /v1/messages` | Anthropic's dialect, likewise |
//! | `POST /v1/messages/count_tokens` | how many tokens a conversation has, where the provider counts them |
//! | `POST /v1/embeddings` | vectors of the model that is loaded here |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the names that these doors take |
//! | `GET /openapi.json` | all of this, for machines |
//! | `GET /healthz` | whether the service can answer |

mod access;
mod body;
mod clock;
mod door;
mod field;
mod intake;
pub mod lambda;
pub mod listen;
mod loaded;
mod origin;
mod query;
mod rag_config;
mod request;
mod response;
mod sse;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;

use crate::app::App;
use crate::error::{Code, Error, Result, quoted};
use crate::hex::hex;
use crate::net::{INSTANCE, random_bytes};
use crate::rag::Answer;
use crate::telemetry::Line;
use door::Door;
use intake::{body, drain};
use origin::Loopback;

pub use request::Shown;
pub use response::{QueryResponse, SearchResponse};

/// Every path that is answered.
const PATHS: [&str; 11] = [
    "/",
    "/v1/query",
    "/v1/search",
    "/v1/index",
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
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
    /// When the service itself stops, which nobody knows before.
    stop: Option<Stop>,
    door: Door,
    /// What a large body takes of the room for all, given back with the last clone: behind the last byte of a stream.
    room: Arc<OnceLock<Vec<SemaphorePermit<'static>>>>,
}

impl Context {
    /// A stream that ends with an error where the service stops before its end.
    fn until_stopped<T: Send + 'static>(
        &self,
        stream: impl Stream<Item = Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let Some(stop) = self.stop.clone() else { return stream.boxed() };
        let open = Some((stream.boxed(), stop.due().boxed()));
        futures_util::stream::unfold(open, async |open| {
            let (mut stream, mut due) = open?;
            tokio::select! {
                biased;
                () = &mut due => Some((Err(stopping()), None)),
                item = stream.next() => item.map(|item| (item, Some((stream, due)))),
            }
        })
        .boxed()
    }

    /// Work that is given up where the service stops before its end.
    async fn unless_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(stop) = self.stop.clone() else { return work.await };
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = stop.due() => Err(stopping()),
        }
    }

    /// Writes down who answered.
    fn answered(&self, answer: &Answer) {
        let Answer { provider, model, passages, usage, cost_usd, .. } = answer;
        self.line.hits(passages.len());
        self.line.answer(provider, model, *usage, *cost_usd);
    }
}

/// Why a request is not answered to its end.
fn stopping() -> Error {
    Error::new(Code::Overloaded, "the service is stopping; send the request again")
}

/// When whoever calls us stops waiting; put into a request's extensions by the front door that knows.
#[derive(Debug, Clone, Copy)]
struct Deadline(Instant);

/// When a service that was told to stop gives up what is still open; put into a request's extensions by the port.
#[derive(Debug, Clone)]
struct Stop(watch::Receiver<Option<Instant>>);

impl Stop {
    /// Ends then.
    async fn due(mut self) {
        let due = self.0.wait_for(Option::is_some).await.ok().and_then(|due| *due);
        match due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// The most bytes that an answer may have in the text of a JSON document; put into a request's extensions by the front door that
/// knows.
#[derive(Debug, Clone, Copy)]
struct Most(usize);

/// Lambda's name for the invocation.
#[derive(Debug, Clone)]
struct Invocation(String);

/// Builds the router over what is open.
pub fn router(app: Arc<App>) -> Router {
    LazyLock::force(&door::models::STARTED);
    Router::new()
        .route("/", post(query::query))
        .route("/v1/query", post(query::query))
        .route("/v1/search", post(query::search))
        .route("/v1/index", get(query::index))
        .route("/v1/chat/completions", post(door::openai::completions))
        .route("/v1/messages", post(door::anthropic::messages))
        .route("/v1/messages/count_tokens", post(door::anthropic::count_tokens))
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
    let (stop, most) = (request.extensions().get().cloned(), request.extensions().get().copied());
    let door = Door::of(request.uri().path(), request.headers());
    let context = Context { id, line, deadline, end, stop, door, room: Arc::default() };
    request.extensions_mut().insert(context.clone());
    let is_loop = request.headers().get(INSTANCE).is_some_and(|name| name == app.client().instance());
    let outcome = match foreign(&app, &request) {
        _ if is_loop => Ok(returned(&context, request)),
        Err(error) => {
            drain(request.into_body());
            Ok(failed(&context, &error, Some(StatusCode::FORBIDDEN)))
        }
        Ok(()) => AssertUnwindSafe(next.run(request)).catch_unwind().await,
    };
    let mut response = outcome.unwrap_or_else(|_| {
        failed(&context, &Error::internal("the service failed; the log has more under this request id"), None)
    });
    if let Some(most) = most {
        response = within(&context, response, most).await;
    }
    context.line.status(response.status().as_u16());
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        if context.door == Door::Anthropic {
            response.headers_mut().insert("request-id", id.clone());
        }
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Refuses a request that a page from elsewhere had a browser send to a port on the loopback.
fn foreign(app: &App, request: &Request) -> Result<()> {
    match request.extensions().get::<Loopback>() {
        Some(Loopback) => origin::check(request.uri(), request.headers(), &app.config().allowed_origins),
        None => Ok(()),
    }
}

/// Refuses a request of our own: answering it would ask for the next, until no socket is left.
fn returned(context: &Context, request: Request) -> Response {
    drain(request.into_body());
    let message = "the request comes from this service itself, which the address of a provider leads back to; set the provider's \
                   `..._BASE_URL` (`providers.NAME.base_url`) where the service runs to the provider's own address, or unset it";
    failed(context, &Error::new(Code::ProviderError, message).final_word(), Some(StatusCode::LOOP_DETECTED))
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

/// The whole of an answer, or the error of one that is larger than what its front door passes on.
async fn within(context: &Context, response: Response, Most(most): Most) -> Response {
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // No byte becomes more than six.
    let size = if bytes.len() > most / 6 { serde_json::to_string(&text).map_or(usize::MAX, |text| text.len()) } else { 0 };
    if size <= most {
        return Response::from_parts(head, bytes.into());
    }
    let message = format!(
        "the answer is larger than {:.1} MiB, which is all that is passed on here; ask for less at once, for vectors as `\"encoding_format\": \"base64\"`, \
         or call a front door that streams",
        most as f64 / f64::from(1 << 20)
    );
    failed(context, &Error::bad_request(message), None)
}

async fn unknown_path(axum::Extension(context): axum::Extension<Context>, request: Request) -> Response {
    let shown: String = request.uri().path().chars().take(100).collect();
    let message = format!("`{shown}`: no such path; there are {}", quoted(PATHS));
    drain(request.into_body());
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
    drain(request.into_body());
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
    respond: impl AsyncFnOnce(Bytes, Vec<String>) -> Result<Response>,
) -> Response {
    let labels = access::labels(app.config(), request.headers());
    // Read to its end also where the service stops: who still sends reads no answer.
    let bytes = match body(app, context, request).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let work = async { respond(bytes, labels?).await };
    context.unless_stopped(work).await.unwrap_or_else(|error| failed(context, &error, None))
}

/// Makes a question of a body. One that asks for a shape (`is_shaped`) has a schema to compile, which is work for a core.
async fn understand<T: Send + 'static>(
    app: &Arc<App>,
    context: &Context,
    is_shaped: bool,
    work: impl FnOnce(&App) -> Result<T> + Send + 'static,
) -> Result<T> {
    if is_shaped { app.compute(context.deadline, work).await } else { work(app) }
}
