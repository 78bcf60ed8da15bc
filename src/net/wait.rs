//! How long to wait before the next attempt: what the other side asks for, and what we wait of our own accord.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};

use super::random_bytes;

/// The longest wait that a provider may ask of us before we pass its refusal on.
pub const MAX_RETRY_WAIT: Duration = Duration::from_secs(10);
const FIRST_BACKOFF_MS: u64 = 250;

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = number(HeaderName::from_static("retry-after-ms"));
    let seconds = ms.map(|ms| ms / 1000.0).or_else(|| number(reqwest::header::RETRY_AFTER));
    seconds.map_or_else(|| until_date(headers), |seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// `retry-after` as a date of HTTP's. One that has passed says nothing: clocks differ.
fn until_date(headers: &HeaderMap) -> Option<Duration> {
    let date = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date.trim()).ok()?.timestamp();
    Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok().filter(|wait| !wait.is_zero())
}

/// Doubles from a quarter of a second; up to half of it is random, so that clients do not come back together.
pub fn backoff(attempt: u32) -> Duration {
    let full = FIRST_BACKOFF_MS << attempt.min(5);
    let random = u64::from(random_bytes::<1>()[0]);
    Duration::from_millis(full / 2 + full * random / 512)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderValue;

    use super::*;
    use crate::net::Reply;

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
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None, "long ago");
        let in_an_hour = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&in_an_hour).unwrap();
        assert!(matches!(wait("retry-after", date.leak()), Some(3598..=3600)));
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
