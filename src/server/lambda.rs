//! AWS Lambda: events in, the same router out. API Gateway REST and HTTP, Function URL and ALB events.
//!
//! Whether a function is invoked with response streaming cannot be read from an event, so the operator says it
//! (`OMNI_LAMBDA_STREAM`). An event that is no HTTP request (a warm-up, a test from the console, what API Gateway sends behind a
//! stream) is answered quietly: failing it would make Lambda retry it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::lambda_runtime::{self, MetadataPrelude, StreamResponse};
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, Context, LambdaEvent, RequestExt as _, service_fn};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt as _};

use super::response::{ErrorResponse, json};
use super::{Deadline, Invocation, Most, is_known, request_id};
use crate::app::App;
use crate::error::{Error, Result};

/// Time kept back to write the answer before Lambda ends the function.
const RESERVE: Duration = Duration::from_millis(500);
/// Longest time that reading ahead takes: an init of more than ten seconds is thrown away.
const WARMING: Duration = Duration::from_secs(5);
/// Bytes of JSON that Lambda passes on from a function that does not stream, less what stands around the body.
const MOST_BYTES: usize = 6_291_556 - AROUND_BYTES;
/// The same, where an Application Load Balancer asks.
const MOST_BYTES_ALB: usize = (1 << 20) - AROUND_BYTES;
/// Status and headers of an answer.
const AROUND_BYTES: usize = 4096;
/// A deadline further away than any function may run is none.
const LONGEST: Duration = Duration::from_secs(16 * 60);

/// Answers events until Lambda ends the process.
///
/// # Errors
/// This is no Lambda environment, or its Runtime API failed.
pub async fn run(app: Arc<App>) -> Result<()> {
    let lambda = &app.config().lambda;
    if lambda.runtime_api.is_none() || !lambda.missing.is_empty() {
        let missing: Vec<&str> = lambda
            .runtime_api
            .is_none()
            .then_some("AWS_LAMBDA_RUNTIME_API")
            .into_iter()
            .chain(lambda.missing.iter().copied())
            .collect();
        let message = format!(
            "not in Lambda: `{}` missing; use `omni-llm serve`, or run it under `cargo lambda watch`",
            missing.join("`, `")
        );
        return Err(Error::bad_request(message));
    }
    warm(&app);
    let stream = lambda.stream;
    let router = super::router(app);
    let outcome = if stream {
        lambda_runtime::run_concurrent(service_fn(move |event| streamed(router.clone(), event))).await
    } else {
        let service = Adapter::from(service_fn(move |request| whole(router.clone(), request)));
        let events =
            ServiceBuilder::new().map_request(|event: LambdaEvent<Event>| LambdaEvent::new(event.payload.0, event.context));
        lambda_runtime::run_concurrent(events.service(service)).await
    };
    outcome.map_err(|cause| Error::internal("the Lambda Runtime API failed").caused_by(cause))
}

/// Reads ahead what searches touch first, of each index its share and what the ones before left of theirs, and says how many bytes
/// are left. What cannot be read now is an error of the search that needs it.
pub fn warm(app: &App) -> u64 {
    let (mut left, indexes) = (app.config().lambda.warm_bytes(), app.indexes());
    let deadline = std::time::Instant::now() + WARMING;
    for (opened, waiting) in indexes.iter().zip((1..=indexes.len() as u64).rev()) {
        let share = left / waiting;
        if share == 0 {
            continue;
        }
        match opened.index.warm(share, deadline) {
            Ok(bytes) => {
                left -= bytes;
                tracing::info!(index = opened.name, bytes, "warmed");
            }
            Err(error) => tracing::error!(index = opened.name, "{error}"),
        }
    }
    left
}

/// Reads an event as AWS sends it.
///
/// # Errors
/// It is not JSON.
pub fn read(event: &str) -> Result<lambda_http::Request> {
    let event: Event =
        serde_json::from_str(event).map_err(|cause| Error::bad_request("the event is not JSON").caused_by(cause))?;
    Ok(event.0.into())
}

/// An event that cannot make lambda_http panic. It builds a URI of host, path and query and unwraps the outcome; but REST APIs send
/// paths decoded, and the console's test events have a placeholder for a host. So the host goes, and the query stands behind the
/// path, where [`handle`] takes it from. And it unwraps a body in base64: one that is not goes on as it came, which is no JSON. A
/// header that cannot be one is left out, or it would take the request with it.
struct Event(LambdaRequest);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut event = Value::deserialize(deserializer)?;
        let query = query(&mut event);
        for field in ["path", "rawPath"] {
            if let Some(Value::String(path)) = event.get_mut(field) {
                *path = encoded(path) + &query;
            }
        }
        for field in ["headers", "multiValueHeaders"] {
            if let Some(Value::Object(headers)) = event.get_mut(field) {
                headers.retain(|name, value| !name.eq_ignore_ascii_case("host") && is_header(name, value));
            }
        }
        if let Some(Value::Object(context)) = event.get_mut("requestContext") {
            context.remove("domainName");
        }
        if event.get("isBase64Encoded") == Some(&Value::Bool(true)) {
            let body = event.get("body").and_then(Value::as_str).unwrap_or_default();
            match STANDARD.decode(body).map(String::from_utf8) {
                Ok(Ok(text)) => (event["body"], event["isBase64Encoded"]) = (text.into(), false.into()),
                Ok(Err(_)) => {}
                Err(_) => event["isBase64Encoded"] = false.into(),
            }
        }
        LambdaRequest::deserialize(event).map(Self).map_err(D::Error::custom)
    }
}

/// Whether HTTP has such a header; of several values those go that cannot be.
fn is_header(name: &str, value: &mut Value) -> bool {
    let is_value = |value: &Value| value.as_str().is_some_and(|text| HeaderValue::from_str(text).is_ok());
    if let Value::Array(values) = value {
        values.retain(is_value);
        return name.parse::<HeaderName>().is_ok();
    }
    is_value(value) && name.parse::<HeaderName>().is_ok()
}

/// The path from its slash on, with every byte that a URI may not hold in percent encoding.
fn encoded(path: &str) -> String {
    format!("/{}", escaped(path.strip_prefix('/').unwrap_or(path), is_of_uri))
}

/// Takes out the query, from its question mark on: as it came from an HTTP API or a Function URL, in pairs from an ALB, in pairs
/// that are decoded from a REST API.
fn query(event: &mut Value) -> String {
    let is_alb = event["requestContext"]["elb"].is_object();
    let Value::Object(fields) = event else { return String::new() };
    let names = ["rawQueryString", "multiValueQueryStringParameters", "queryStringParameters"];
    let [raw, lists, texts] = names.map(|name| fields.remove(name).unwrap_or_default());
    let text = |text: &str| escaped(text, |byte| if is_alb { is_of_uri(byte) } else { byte.is_ascii_alphanumeric() });
    let query = match &raw {
        Value::String(raw) => escaped(raw, is_of_uri),
        _ => {
            let mut pairs = Vec::new();
            for (name, value) in lists.as_object().or(texts.as_object()).into_iter().flatten() {
                let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                pairs.extend(values.iter().filter_map(Value::as_str).map(|value| format!("{}={}", text(name), text(value))));
            }
            pairs.join("&")
        }
    };
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Whether a URI may hold this byte in its path, and in its query.
fn is_of_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>?\\^`{|}".contains(&byte)
}

/// A text with all bytes but those to be kept in percent encoding.
fn escaped(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_kept(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Answers one event.
///
/// # Errors
/// Never: what fails is an answer, too.
pub async fn handle(router: Router, event: lambda_http::Request) -> Result<Response<Body>, Infallible> {
    if is_foreign(&event) {
        return Ok(foreign(event.body()));
    }
    let mut request = event;
    let raw = request.raw_http_path();
    let (raw, query) = raw.split_at(raw.find('?').unwrap_or(raw.len()));
    let path = path(raw, stage(&request));
    if let Ok(uri) = format!("{path}{query}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    if let Some(context) = request.lambda_context_ref() {
        let (deadline, invocation) = (deadline(context, SystemTime::now()), Invocation(context.request_id.clone()));
        request.extensions_mut().insert(invocation);
        if let Some(left) = deadline {
            request.extensions_mut().insert(Deadline(Instant::now() + left));
        }
    }
    router.oneshot(request).await
}

/// Whether an event could not be read as a request.
fn is_foreign(event: &lambda_http::Request) -> bool {
    matches!(event.request_context_ref(), Some(RequestContext::PassThrough) | None)
}

/// Reply to an event that is not HTTP or not readable. From a front door it is an HTTP error, because a caller waits.
fn foreign(event: &[u8]) -> Response<Body> {
    let event: Value = serde_json::from_slice(event).unwrap_or_default();
    let context = &event["requestContext"];
    if context["http"].is_object() || context["elb"].is_object() || (context.is_object() && event["httpMethod"].is_string()) {
        tracing::warn!("an HTTP event could not be read");
        let error =
            Error::bad_request("the event of this request cannot be read; is its method one that HTTP has, and its body a text?");
        return json(StatusCode::BAD_REQUEST, &ErrorResponse::new(&error, &request_id()));
    }
    let names = event.as_object().into_iter().flatten().map(|(name, _)| name.chars().take(40).collect::<String>());
    tracing::info!(fields = names.take(20).collect::<Vec<_>>().join(","), "an event that is no HTTP request was ignored");
    json(StatusCode::OK, &serde_json::json!({"ignored": "not an HTTP event"}))
}

/// As [`handle`], with the body as it comes: head first, then the bytes.
async fn streamed(router: Router, event: LambdaEvent<Event>) -> Result<StreamResponse<BodyDataStream>, Infallible> {
    let request: lambda_http::Request = event.payload.0.into();
    let (head, body) = handle(router, request.with_lambda_context(event.context)).await?.into_parts();
    let metadata_prelude = MetadataPrelude { status_code: head.status, headers: head.headers, cookies: Vec::new() };
    Ok(StreamResponse { metadata_prelude, stream: body.into_data_stream() })
}

/// As [`handle`], with the whole body at hand, no larger than what is passed on. All our bodies are text.
///
/// # Errors
/// Never.
pub async fn whole(router: Router, mut event: lambda_http::Request) -> Result<Response<lambda_http::Body>, Infallible> {
    let is_foreign = is_foreign(&event);
    let is_alb = matches!(event.request_context_ref(), Some(RequestContext::Alb(_)));
    event.extensions_mut().insert(Most(if is_alb { MOST_BYTES_ALB } else { MOST_BYTES }));
    let (head, body) = handle(router, event).await?.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    // The answer to an event that lambda_http does not know is passed on as it is: it must be one of a front door's itself.
    if is_foreign && head.status != StatusCode::OK {
        let headers = serde_json::json!({"content-type": "application/json"});
        text = serde_json::json!({"statusCode": head.status.as_u16(), "headers": headers, "body": text}).to_string();
    }
    Ok(Response::from_parts(head, lambda_http::Body::Text(text)))
}

/// Time left for an answer. The local emulator of `cargo lambda watch` sends a deadline in 1970: a deadline that has passed before
/// the event arrives is none.
fn deadline(context: &Context, now: SystemTime) -> Option<Duration> {
    let deadline = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(context.deadline))?;
    let left = deadline.duration_since(now).ok()?;
    (left <= LONGEST).then(|| left.saturating_sub(RESERVE))
}

fn stage(request: &lambda_http::Request) -> Option<String> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.stage.clone(),
        RequestContext::ApiGatewayV2(context) => context.stage.clone(),
        _ => None,
    }
}

/// The path as our router knows it. HTTP APIs put the stage in front of it, REST APIs do not; a stage can be called `v1`.
fn path(raw: &str, stage: Option<String>) -> String {
    let raw = if raw.starts_with('/') { raw.to_owned() } else { format!("/{raw}") };
    if is_known(&raw) {
        return raw;
    }
    let below = stage.as_deref().and_then(|stage| raw.strip_prefix('/')?.strip_prefix(stage));
    match below {
        Some("") => "/".to_owned(),
        Some(below) if below.starts_with('/') => below.to_owned(),
        _ => raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_in_the_path_is_taken_off_once() {
        let path = |raw, stage: &str| path(raw, Some(stage.to_owned()));
        assert_eq!(path("/prod/v1/query", "prod"), "/v1/query");
        assert_eq!(path("/v1/query", "prod"), "/v1/query");
        assert_eq!(path("/v1/query", "v1"), "/v1/query");
        assert_eq!(path("/v1/v1/query", "v1"), "/v1/query");
        assert_eq!(path("/v1/models/custom/good", "v1"), "/v1/models/custom/good");
        assert_eq!(path("/v1/v1/models/custom/good", "v1"), "/v1/models/custom/good");
        assert_eq!(path("/prod", "prod"), "/");
        assert_eq!(path("/prod/", "prod"), "/");
        assert_eq!(path("/production/v1/query", "prod"), "/production/v1/query");
        assert_eq!(path("", "$default"), "/");
    }

    #[test]
    fn a_path_that_no_uri_may_hold_is_encoded() {
        assert_eq!(encoded("/v1/größe a?{b}%20"), "/v1/gr%C3%B6%C3%9Fe%20a%3F%7Bb%7D%20");
        assert_eq!(encoded("/v1/query"), "/v1/query");
        assert_eq!(encoded(":x"), "/:x");
        assert_eq!(encoded(""), "/");
    }

    #[test]
    fn a_deadline_in_the_past_is_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let left = |deadline_ms| {
            let mut context = Context::default();
            context.deadline = deadline_ms;
            deadline(&context, now)
        };
        assert_eq!(left(600_000), None);
        assert_eq!(left(u64::MAX), None);
        assert_eq!(left(1_800_000_010_000), Some(Duration::from_millis(9_500)));
        assert_eq!(left(1_800_000_000_100), Some(Duration::ZERO));
    }
}
