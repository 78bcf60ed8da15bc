//! Server-sent events, read from bytes as they come (WHATWG HTML, "9.2.6 Interpreting an event stream").
//!
//! Bytes are kept until a line is whole, so a character split between two reads is never damaged. An event that the stream ends in
//! is dropped, as the standard says: whoever needs to know that a stream was cut looks for its dialect's last event.

use crate::error::{Code, Error, Result};

/// Bytes that one event may hold before the sender is taken for broken.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// Whether a `content-type` promises an event stream. The standard reads nothing else as events; of providers, see [`is_begun`].
pub fn is_event_stream(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Whether a body that promises nothing begins as an event stream does.
pub fn is_begun(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|field| body.starts_with(field))
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type; `message` where the sender names none.
    pub event: String,
    /// Its lines, joined by `\n`.
    pub data: String,
}

/// Turns bytes into events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    event: String,
    data: String,
    /// Lines of JSON that stand in no field, which the standard ignores.
    unframed: String,
    after_return: bool,
    started: bool,
}

impl Parser {
    /// Takes the next bytes and says which events they complete.
    ///
    /// # Errors
    /// One event grew beyond 16 MiB.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let follows_return = std::mem::take(&mut self.after_return);
            let (text, end) = match piece {
                b"\n" if follows_return => continue,
                [text @ .., end @ (b'\n' | b'\r')] => (text, Some(*end)),
                text => (text, None),
            };
            self.line.extend_from_slice(text);
            if self.line.len() + self.data.len() + self.unframed.len() > MAX_EVENT_BYTES {
                return Err(Error::new(Code::ProviderError, "the provider's stream holds an event of more than 16 MiB"));
            }
            if let Some(end) = end {
                self.after_return = end == b'\r';
                frames.extend(self.end_line());
            }
        }
        Ok(frames)
    }

    /// What was sent as JSON without a field, as some servers tell of a failure in the middle of a stream.
    pub fn unframed(&mut self) -> &str {
        // Its last line may lack its end.
        if !self.line.is_empty() {
            self.end_line();
        }
        &self.unframed
    }

    fn end_line(&mut self) -> Option<Frame> {
        let bytes = std::mem::take(&mut self.line);
        let bytes = if std::mem::replace(&mut self.started, true) {
            &bytes[..]
        } else {
            bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)
        };
        let line = String::from_utf8_lossy(bytes);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.event),
            // The id is for going on after a break, which no provider offers.
            "" | "id" | "retry" => {}
            _ if !self.unframed.is_empty() || line.starts_with(['{', '[']) => {
                self.unframed.push_str(&line);
                self.unframed.push('\n');
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        // The final newline is the only sign that there was a data line at all: an empty one still makes an event.
        data.pop()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(Frame { event, data })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut parser = Parser::default();
        pieces.iter().flat_map(|piece| parser.push(piece).unwrap()).collect()
    }

    #[test]
    fn events_are_equal_however_the_bytes_are_split() {
        let stream = "\u{feff}: hi\r\ndata: größe\r\rid: 7\nevent: x\ndata:a\ndata: b\r\n\r\ndata\n\ndata: cut".as_bytes();
        let whole = parse(&[stream]);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0], Frame { event: "message".into(), data: "größe".into() });
        assert_eq!(whole[1], Frame { event: "x".into(), data: "a\nb".into() });
        assert_eq!(whole[2].data, "");
        for at in 0..=stream.len() {
            assert_eq!(parse(&[&stream[..at], &stream[at..]]), whole, "split at byte {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(parse(&bytes), whole);
    }

    #[test]
    fn json_that_stands_in_no_field_is_kept_apart() {
        for (stream, kept) in [
            ("data: a\n\n{\n  \"b\": 1\n}", "{\n  \"b\": 1\n}\n"),
            ("[1]\n\ndata: a\n\n: comment\nid: 2\n", "[1]\n"),
            ("data: {\"a\": 1}\n\nfield: [1]\n", ""),
        ] {
            let mut parser = Parser::default();
            assert_eq!(parser.push(stream.as_bytes()).unwrap().len(), 1, "{stream}");
            assert_eq!(parser.unframed(), kept, "{stream}");
        }
    }

    #[test]
    fn an_endless_event_is_an_error() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let outcome = (0..17).try_for_each(|_| parser.push(&piece).map(drop));
        assert_eq!(outcome.unwrap_err().message(), "the provider's stream holds an event of more than 16 MiB");
    }

    #[test]
    fn the_vectors_of_the_web_platform_tests_pass() {
        let Some(text) = crate::net::testing::shared("contracts/sse/wpt-format-vectors.json") else { return };
        let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            if !is_event_stream(vector["content_type"].as_str().unwrap()) {
                assert_eq!(vector["expect"], "connection failed, no events", "{}", vector["name"]);
                continue;
            }
            let stream = vector["stream_base64"].as_str().map_or_else(
                || vector["stream_text"].as_str().unwrap().as_bytes().to_vec(),
                |text| STANDARD.decode(text).unwrap(),
            );
            let expected: Vec<_> =
                vector["expect"].as_array().unwrap().iter().map(|event| (&event["type"], &event["data"])).collect();
            let seen = parse(&[&stream]);
            assert_eq!(seen.len(), expected.len(), "{}", vector["name"]);
            assert!(
                seen.iter().zip(expected).all(|(frame, (event, data))| frame.event == *event && frame.data == *data),
                "{}",
                vector["name"]
            );
        }
    }
}
