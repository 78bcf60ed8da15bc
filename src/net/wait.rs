//! How long to wait before the next attempt: what the other side asks for, and what we wait of our own accord.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::random_bytes;

/// The longest wait that a provider may ask of us before we pass its refusal on.
pub(super) const MAX_RETRY_WAIT: Duration = Duration::from_secs(10);
const FIRST_BACKOFF_MS: u64 = 250;

pub(super) fn retry_after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let ms = number(headers, "retry-after-ms").or_else(|| number(headers, "x-ms-retry-after-ms"));
    match ms.map(|ms| ms / 1000.0).or_else(|| number(headers, "retry-after")) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => until_date(headers).or_else(|| (status == 429).then(|| until_reset(headers))?),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    text(headers, name)?.parse().ok()
}

/// When the limits of requests and tokens are reset, but for one that is said to have something left.
fn until_reset(headers: &HeaderMap) -> Option<Duration> {
    let is_used_up = |what: &&str| number(headers, &format!("x-ratelimit-remaining-{what}")).is_none_or(|left| left <= 0.0);
    let reset = |what: &str| duration(text(headers, &format!("x-ratelimit-reset-{what}"))?);
    ["requests", "tokens"].into_iter().filter(is_used_up).filter_map(reset).max()
}

/// A time as providers write it: `700ms`, `1.574s`, `6m0s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?);
        let (unit, behind) = behind.split_at(behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len()));
        let unit_s = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit_s;
        rest = behind;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// `retry-after` as a date of HTTP's. One that has passed says nothing: clocks differ.
fn until_date(headers: &HeaderMap) -> Option<Duration> {
    let date = jiff::fmt::rfc2822::parse(text(headers, "retry-after")?).ok()?.timestamp();
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
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn wait(status: u16, lines: &[(&'static str, &str)]) -> Option<Duration> {
        let line = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        retry_after(status, &lines.iter().map(line).collect())
    }

    #[test]
    fn the_wait_that_a_provider_asks_for_is_read() {
        let ms = |name: &'static str, value: &str| wait(503, &[(name, value)]).map(|wait| wait.as_millis());
        assert_eq!(ms("retry-after", "2"), Some(2000));
        assert_eq!(ms("retry-after", "1.2"), Some(1200));
        assert_eq!(ms("retry-after-ms", "300"), Some(300));
        assert_eq!(ms("x-ms-retry-after-ms", " 1500"), Some(1500));
        assert_eq!(ms("retry-after", "-1"), None);
        assert_eq!(ms("retry-after", "1e400"), None);
        assert_eq!(ms("retry-after", "soon"), None);
        assert_eq!(ms("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None, "long ago");
        let in_an_hour = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&in_an_hour).unwrap();
        assert!(matches!(ms("retry-after", &date), Some(3_598_000..=3_600_000)));
    }

    #[test]
    fn a_limit_that_was_met_is_waited_for_until_it_is_reset() {
        let (requests, tokens) = (("x-ratelimit-reset-requests", "700ms"), ("x-ratelimit-reset-tokens", "6m0s"));
        let ms = |status, lines: &[_]| wait(status, lines).map(|wait| wait.as_millis());
        assert_eq!(ms(429, &[requests]), Some(700));
        assert_eq!(ms(429, &[requests, tokens]), Some(360_000));
        assert_eq!(ms(429, &[requests, tokens, ("x-ratelimit-remaining-tokens", "9000")]), Some(700), "that is not the one");
        assert_eq!(ms(429, &[tokens, ("retry-after", "2")]), Some(2000));
        assert_eq!(ms(503, &[requests]), None, "no limit was met");
    }

    #[test]
    fn times_are_read_as_providers_write_them() {
        for (text, ms) in [("12ms", 12), ("1.574s", 1574), ("2m59.56s", 179_560), ("1h2m3s", 3_723_000)] {
            assert_eq!(duration(text).map(|time| time.as_millis()), Some(ms), "{text}");
        }
        for text in ["20", "s", "1x", "1.2.3s", "-1s"] {
            assert_eq!(duration(text), None, "{text}");
        }
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
