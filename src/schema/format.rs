//! Formats that are checked as callers mean them: their types (a `datetime` of Python's, an address in a browser) take more than
//! the RFCs that JSON Schema names, and models write what they take.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

/// Whether `text` is a day and a time of RFC 3339, where a blank may stand for the `T`.
pub(super) fn is_date_time(text: &str) -> bool {
    let is_day = |day: &str| {
        let bytes = day.as_bytes();
        bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-' && day.parse::<jiff::civil::Date>().is_ok()
    };
    text.split_once(['T', 't', ' ']).is_some_and(|(day, time)| is_day(day) && is_time(time))
}

/// Whether `text` is a time of RFC 3339, where its seconds and its offset may be missing.
pub(super) fn is_time(text: &str) -> bool {
    let (clock, offset) = match (text.strip_suffix(['Z', 'z']), text.rfind(['+', '-'])) {
        (Some(clock), _) => (clock, None),
        (None, Some(at)) => (&text[..at], Some(&text[at + 1..])),
        (None, None) => (text, None),
    };
    let is_clock = match clock.split(':').collect::<Vec<_>>()[..] {
        [hours, minutes] => is_number(hours, 23) && is_number(minutes, 59),
        [hours, minutes, seconds] => {
            let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
            let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
            // There are leap seconds.
            is_number(hours, 23) && is_number(minutes, 59) && is_number(seconds, 60) && is_fraction
        }
        _ => false,
    };
    let is_offset =
        |offset: &str| offset.split_once(':').is_some_and(|(hours, minutes)| is_number(hours, 23) && is_number(minutes, 59));
    is_clock && offset.is_none_or(is_offset)
}

/// Two digits, at most `most`.
fn is_number(text: &str, most: u8) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u8>().is_ok_and(|number| number <= most)
}

/// Whether `text` is an absolute address; its letters may be of any script (RFC 3987).
pub(super) fn is_uri(text: &str) -> bool {
    static IRI: LazyLock<Option<Validator>> =
        LazyLock::new(|| jsonschema::draft202012::options().should_validate_formats(true).build(&json!({"format": "iri"})).ok());
    IRI.as_ref().is_none_or(|iri| iri.is_valid(&Value::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_lack_seconds_and_offset() {
        for text in [
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05",
            "2024-01-02 03:04:05.123456",
            "2024-01-02t03:04+02:00",
            "2024-02-29T23:59:60-00:30",
        ] {
            assert!(is_date_time(text), "{text}");
        }
        for text in [
            "2024-01-02",
            "2024-01-02T",
            "2023-02-29T00:00:00",
            "2024-1-2T03:04:05",
            "20240102T030405",
            "2024-01-02T03:04:05+2",
            "2024-01-02T03:04:05Z ",
            "tomorrow at 9",
        ] {
            assert!(!is_date_time(text), "{text}");
        }
        for text in ["09:00", "09:00:00", "09:00:00.5Z", "23:59:60", "09:00-05:30"] {
            assert!(is_time(text), "{text}");
        }
        for text in
            ["", "9:00", "09", "24:00", "09:60", "09:00:61", "09:00:00.", "09:00.5", "09:00 Z", "0\u{0663}:00", "+1:00", "09:+1"]
        {
            assert!(!is_time(text), "{text}");
        }
    }

    #[test]
    fn addresses_may_be_of_any_script() {
        for text in ["https://de.wikipedia.org/wiki/Köln", "https://example.org/a?b=c#d", "urn:isbn:1"] {
            assert!(is_uri(text), "{text}");
        }
        for text in ["", "example.org", "/wiki/K", "https://a b", "http://[::1"] {
            assert!(!is_uri(text), "{text}");
        }
    }
}
