//! The one HTTP client: timeouts, retries, size limits, signing. Nothing else opens sockets outward.
//!
//! Redirects are off: a key must not follow one to another host. A request is repeated only while nothing of its answer has been
//! seen, and only where the other side cannot have begun one: no connection, 429, 503.

pub mod auth;
pub mod sse;

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use auth::Auth;

use crate::config::Config;
use crate::error::{Code, Error, Result};

/// Bytes of one answer; a provider that sends more is broken.
const MAX_REPLY_BYTES: usize = 32 << 20;
/// The longest wait that a provider may ask of us before we pass its refusal on.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_BACKOFF_MS: u64 = 250;

/// The client. Cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    retries: u32,
    idle: Duration,
    stream: Duration,
}

/// What is sent. Always a POST of JSON.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub url: Url,
    /// Beside `content-type`.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
}

/// A whole answer, of any status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most 32 MiB.
    pub body: Bytes,
}

/// An answer whose body is still coming.
pub struct Incoming {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    idle: Duration,
    end: Instant,
}

impl Request {
    /// A POST of JSON to `url`.
    pub fn new(url: Url, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { url, headers, body: body.into() }
    }
}

impl Reply {
    /// Seconds after which the other side wants to be asked again, rounded up: `retry-after-ms`, `retry-after`, in that order.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        retry_after(&self.headers).map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

impl Client {
    /// Builds the client with the operator's limits.
    ///
    /// # Errors
    /// The system has no usable TLS roots.
    pub fn new(config: &Config) -> Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("omni-llm/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(50))
            .tcp_nodelay(true)
            .build()
            .map_err(|cause| {
                Error::internal("the HTTP client cannot be built; are CA certificates installed?").caused_by(cause)
            })?;
        Ok(Self {
            http,
            retries: config.generation.retries,
            idle: Duration::from_secs(config.limits.stream_idle_timeout_s),
            stream: Duration::from_secs(config.limits.stream_timeout_s),
        })
    }

    /// Sends and waits for the whole answer.
    ///
    /// # Errors
    /// No connection, nothing by `deadline`, or more than 32 MiB. An HTTP status is not an error here.
    pub async fn send(&self, request: &Request, deadline: Instant) -> Result<Reply> {
        let response = self.dispatch(request, deadline).await?;
        collect(Incoming::new(response, Duration::MAX, deadline)).await
    }

    /// Sends and waits for the head of the answer. Dropping the result closes the connection.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn stream(&self, request: &Request, deadline: Instant) -> Result<Incoming> {
        let response = self.dispatch(request, deadline).await?;
        Ok(Incoming::new(response, self.idle, Instant::now() + self.stream))
    }

    async fn dispatch(&self, request: &Request, deadline: Instant) -> Result<reqwest::Response> {
        for attempt in 0.. {
            let sending = self.http.post(request.url.clone()).headers(request.headers.clone()).body(request.body.clone()).send();
            let outcome = timeout_at(deadline, sending).await.map_err(|_| timed_out())?;
            let wait = match &outcome {
                Err(cause) if cause.is_connect() => Some(backoff(attempt)),
                Ok(response) if is_busy(response) => retry_after(response.headers()).or_else(|| Some(backoff(attempt))),
                _ => None,
            };
            match wait {
                Some(wait) if attempt < self.retries && wait <= MAX_RETRY_WAIT && Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                }
                _ => return outcome.map_err(unreachable),
            }
        }
        Err(Error::internal("no attempt was made"))
    }
}

impl Incoming {
    fn new(response: reqwest::Response, idle: Duration, end: Instant) -> Self {
        Self { status: response.status().as_u16(), headers: response.headers().clone(), response, idle, end }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Waits for the rest of the body.
    ///
    /// # Errors
    /// The connection broke, time ran out, or the body is over 32 MiB.
    pub async fn whole(self) -> Result<Reply> {
        collect(self).await
    }

    /// The body as it comes: each wait is bounded, and so is the whole.
    pub fn bytes(self) -> impl Stream<Item = Result<Bytes>> + Send {
        futures_util::stream::try_unfold((self, 0usize), |(mut incoming, seen)| async move {
            let Some(bytes) = incoming.next().await? else { return Ok(None) };
            let seen = seen + bytes.len();
            if seen > MAX_REPLY_BYTES {
                return Err(too_large());
            }
            Ok(Some((bytes, (incoming, seen))))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let until = Instant::now().checked_add(self.idle).map_or(self.end, |idle| idle.min(self.end));
        match timeout_at(until, self.response.chunk()).await {
            Ok(chunk) => {
                chunk.map_err(|cause| Error::new(Code::ProviderError, "the provider broke the connection off").caused_by(cause))
            }
            Err(_) => Err(timed_out()),
        }
    }
}

async fn collect(mut incoming: Incoming) -> Result<Reply> {
    let mut body = Vec::new();
    while let Some(bytes) = incoming.next().await? {
        if body.len() + bytes.len() > MAX_REPLY_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&bytes);
    }
    Ok(Reply { status: incoming.status, headers: incoming.headers, body: body.into() })
}

fn timed_out() -> Error {
    Error::new(Code::Timeout, "the provider did not answer in time; raise `REQUEST_TIMEOUT` or ask for less")
}

fn too_large() -> Error {
    Error::new(Code::ProviderError, "the provider's answer is larger than 32 MiB")
}

/// The URL is left out of the public text: it is the operator's.
fn unreachable(cause: reqwest::Error) -> Error {
    let message = if cause.is_connect() { "the provider cannot be reached" } else { "the provider broke the connection off" };
    Error::new(Code::ProviderError, message).caused_by(cause.without_url())
}

fn is_busy(response: &reqwest::Response) -> bool {
    let refused = response.headers().get("x-should-retry").is_some_and(|value| value.as_bytes() == b"false");
    matches!(response.status().as_u16(), 429 | 503) && !refused
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = number(HeaderName::from_static("retry-after-ms"));
    let seconds = ms.map(|ms| ms / 1000.0).or_else(|| number(reqwest::header::RETRY_AFTER))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Doubles from a quarter of a second; up to half of it is random, so that clients do not come back together.
fn backoff(attempt: u32) -> Duration {
    let full = FIRST_BACKOFF_MS << attempt.min(5);
    let random = u64::from(random_bytes::<1>()[0]);
    Duration::from_millis(full / 2 + full * random / 512)
}

/// Bytes from the operating system: a process restored from a snapshot must not repeat another's.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // No random source is no reason to refuse an answer: these bytes are names and jitter, not keys.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        for (place, byte) in bytes.iter_mut().zip(now.to_le_bytes().into_iter().cycle()) {
            *place = byte;
        }
    }
    bytes
}

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of several files share.

    use std::path::PathBuf;

    /// The text of a file of the shared folder, where there is one: `OMNI_SHARED`, else beside the repository.
    pub(crate) fn shared(path: &str) -> Option<String> {
        let text = std::fs::read_to_string(shared_path(path)).ok();
        if text.is_none() {
            eprintln!("skipped: {path} is not here");
        }
        text
    }

    /// Where a file of the shared folder would be.
    pub(crate) fn shared_path(path: &str) -> PathBuf {
        let folder = std::env::var_os("OMNI_SHARED").map(PathBuf::from);
        folder.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"))).join(path)
    }

    /// Standard base64, padded.
    pub(crate) fn base64(text: &str) -> Vec<u8> {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bits = 0u32;
        let mut count = 0;
        let mut bytes = Vec::new();
        for byte in text.bytes().filter(|&byte| byte != b'=') {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|&letter| letter == byte).unwrap()).unwrap();
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_a_provider_asks_for_is_read() {
        let wait = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            Reply { status: 429, headers, body: Bytes::new() }.retry_after_seconds()
        };
        assert_eq!(wait("retry-after", "2"), Some(2));
        assert_eq!(wait("retry-after", "1.2"), Some(2));
        assert_eq!(wait("retry-after-ms", "1500"), Some(2));
        assert_eq!(wait("retry-after", "-1"), None);
        assert_eq!(wait("retry-after", "1e400"), None);
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn the_wait_between_attempts_grows_and_stays_bounded() {
        for attempt in 0..40 {
            let full = Duration::from_millis(FIRST_BACKOFF_MS << attempt.min(5));
            let wait = backoff(attempt);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
    }
}
