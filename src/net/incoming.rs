//! An answer on its way in: its head is there, its body comes in pieces, each by a time of its own.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::Reply;
use crate::error::{Code, Error, Result};

/// Bytes of one answer; a provider that sends more is broken.
const MAX_REPLY_BYTES: usize = 32 << 20;

/// An answer whose body is still coming.
pub struct Incoming {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    idle: Duration,
    end: Instant,
    seen: usize,
    /// What was looked at and not taken yet.
    ahead: Option<Bytes>,
}

impl Incoming {
    pub(super) fn new(mut response: reqwest::Response, idle: Duration, end: Instant) -> Self {
        let headers = std::mem::take(response.headers_mut());
        Self { status: response.status().as_u16(), headers, response, idle, end, seen: 0, ahead: None }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Waits for the rest of the body until `deadline`.
    ///
    /// # Errors
    /// The connection broke, time ran out, or the body is over 32 MiB.
    pub async fn whole(mut self, deadline: Instant) -> Result<Reply> {
        let mut body = self.chunk(Some(deadline)).await?.unwrap_or_default();
        // Most answers come in one piece, which is not copied.
        if let Some(second) = self.chunk(Some(deadline)).await? {
            let mut joined = [body, second].concat();
            while let Some(bytes) = self.chunk(Some(deadline)).await? {
                joined.extend_from_slice(&bytes);
            }
            body = joined.into();
        }
        Ok(Reply { status: self.status, headers: self.headers, body })
    }

    /// Whether it was given all the time that there is.
    pub fn is_out_of_time(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Looks at the first piece of the body, which is still to come.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn peek(&mut self, until: Instant) -> Result<&[u8]> {
        self.ahead = self.chunk(Some(until)).await?;
        Ok(self.ahead.as_deref().unwrap_or_default())
    }

    /// The next piece of the body: by `until`, else within the time that a stream may be silent, and in any case before its end.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn chunk(&mut self, until: Option<Instant>) -> Result<Option<Bytes>> {
        if self.ahead.is_some() {
            return Ok(self.ahead.take());
        }
        let by = until.unwrap_or_else(|| Instant::now() + self.idle).min(self.end);
        let late = || match until {
            Some(_) => timed_out(),
            None if by == self.end => unfinished(),
            None => silent(),
        };
        // Of a provider that never pauses the next piece is always there before any clock is asked.
        if self.is_out_of_time() {
            return Err(late());
        }
        let chunk = timeout_at(by, self.response.chunk()).await.map_err(|_| late())?.map_err(unreachable)?;
        self.seen += chunk.as_ref().map_or(0, Bytes::len);
        if self.seen > MAX_REPLY_BYTES {
            return Err(too_large());
        }
        Ok(chunk)
    }
}

pub(super) fn timed_out() -> Error {
    // It had its time, and may be paid for it: the same request would need as much again.
    let limits = "`REQUEST_TIMEOUT`, `limits.first_token_timeout_s` where it is streamed or, on Lambda, the function's timeout";
    let message = format!("the provider did not answer in time; ask for less, or raise the shortest of {limits}");
    Error::new(Code::Timeout, message).final_word()
}

fn silent() -> Error {
    let remedy = "ask again, or raise `limits.stream_idle_timeout_s`";
    Error::new(Code::Timeout, format!("the provider fell silent within its answer; {remedy}")).final_word()
}

fn unfinished() -> Error {
    let remedy = "ask for less, or raise `limits.stream_timeout_s` and, on Lambda, the function's timeout";
    Error::new(Code::Timeout, format!("the streamed answer did not end in time; {remedy}"))
}

fn too_large() -> Error {
    Error::new(Code::ProviderError, "the provider's answer is larger than 32 MiB")
}

/// The URL is left out of the public text: it is the operator's.
pub(super) fn unreachable(cause: reqwest::Error) -> Error {
    if cause.is_connect() {
        let error = Error::new(Code::ProviderError, "the provider cannot be reached");
        return error.caused_by(cause.without_url()).before_dispatch();
    }
    Error::new(Code::ProviderError, "the provider broke the connection off").caused_by(cause.without_url())
}
