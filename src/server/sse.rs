//! Answers as server-sent events, on every path that streams.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;

/// How often a silent stream says that it lives; front doors close connections that are idle for 30 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// One event whose data is JSON; without a name where that is empty.
pub(super) fn event(name: &str, data: &impl Serialize) -> Event {
    let event = if name.is_empty() { Event::default() } else { Event::default().event(name) };
    event.data(serde_json::to_string(data).unwrap_or_default())
}

/// A response of events. `ping` is said while there are none; without it, a comment.
pub(super) fn response(events: impl Stream<Item = Event> + Send + 'static, ping: Option<Event>) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let keep_alive = ping.into_iter().fold(keep_alive, KeepAlive::event);
    let mut response = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(keep_alive).into_response();
    // Proxies that buffer would turn a stream into a wait.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
