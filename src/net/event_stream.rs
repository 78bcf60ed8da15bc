//! AWS's binary event stream (`application/vnd.amazon.eventstream`), read from bytes as they come.
//!
//! A message is: total length, length of the headers, CRC-32 of these eight bytes, headers, payload, CRC-32 of all before it;
//! numbers are big-endian (AWS, "Event stream encoding"). Both sums are checked: a damaged stream must not become a damaged answer.

use crate::error::{Code, Error, Result};

/// Bytes that one message may hold; AWS promises less than 16 MiB.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;

/// Whether a `content-type` promises a binary event stream.
pub(crate) fn is_event_stream(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/vnd.amazon.eventstream"))
}

/// One message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// `:message-type`: `event`, `exception` or `error`.
    pub(crate) kind: String,
    /// `:event-type`, `:exception-type` or `:error-code`, by kind.
    pub(crate) name: String,
    /// The payload; of an `error`, its `:error-message`.
    pub(crate) payload: Vec<u8>,
}

/// Turns bytes into messages.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
}

impl Parser {
    /// Takes the next bytes and says which messages they complete.
    ///
    /// # Errors
    /// A checksum or a length is wrong.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut at = 0;
        while let Some(length) = message_length(&self.buffer[at..])? {
            let Some(message) = self.buffer.get(at..at + length) else { break };
            messages.push(read(message)?);
            at += length;
        }
        self.buffer.drain(..at);
        Ok(messages)
    }

    /// Whether the bytes so far end between two messages.
    pub(crate) fn is_between(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The length of the message that `bytes` begin with, once that can be told.
fn message_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(prelude) = bytes.get(..PRELUDE_BYTES) else { return Ok(None) };
    if crc32fast::hash(&prelude[..8]) != number(prelude, 8) {
        return Err(damaged("the checksum of a prelude is wrong"));
    }
    let (total, headers) = (number(prelude, 0) as usize, number(prelude, 4) as usize);
    if total > MAX_MESSAGE_BYTES || total < PRELUDE_BYTES + headers.saturating_add(CRC_BYTES) {
        return Err(damaged("a length is impossible"));
    }
    Ok(Some(total))
}

/// Reads one whole message; its lengths fit.
fn read(bytes: &[u8]) -> Result<Message> {
    let (body, sum) = bytes.split_at(bytes.len() - CRC_BYTES);
    if crc32fast::hash(body) != number(sum, 0) {
        return Err(damaged("the checksum of a message is wrong"));
    }
    let (mut headers, payload) = body[PRELUDE_BYTES..].split_at(number(body, 4) as usize);
    let mut message = Message { payload: payload.to_vec(), ..Message::default() };
    let mut error_message = None;
    while !headers.is_empty() {
        let (name, value, rest) = header(headers).ok_or_else(|| damaged("a header is cut"))?;
        headers = rest;
        let Some(value) = value else { continue };
        match name {
            b":message-type" => value.clone_into(&mut message.kind),
            b":event-type" | b":exception-type" | b":error-code" => value.clone_into(&mut message.name),
            b":error-message" => error_message = Some(value.to_owned()),
            _ => {}
        }
    }
    if let ("error", Some(text)) = (message.kind.as_str(), error_message) {
        message.payload = text.into_bytes();
    }
    Ok(message)
}

/// Name, value where it is a string, and what follows.
fn header(bytes: &[u8]) -> Option<(&[u8], Option<&str>, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let (&kind, rest) = rest.split_first()?;
    let (width, rest) = match kind {
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        9 => (16, rest),
        6 | 7 => {
            let (length, rest) = rest.split_at_checked(2)?;
            (usize::from(u16::from_be_bytes([length[0], length[1]])), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(width)?;
    let text = if kind == 7 { Some(std::str::from_utf8(value).ok()?) } else { None };
    Some((name, text, rest))
}

/// Four bytes at `at`; the callers have checked that they are there.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

fn damaged(what: &str) -> Error {
    Error::new(Code::ProviderError, format!("the provider's event stream is damaged: {what}"))
}

#[cfg(test)]
#[path = "../../tests/support/event_stream.rs"]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{event, message};
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Result<Vec<Message>> {
        let mut parser = Parser::default();
        let mut messages = Vec::new();
        for piece in pieces {
            messages.extend(parser.push(piece)?);
        }
        Ok(messages)
    }

    fn stream() -> Vec<u8> {
        let exception = message(&[(":exception-type", "throttlingException"), (":message-type", "exception")], b"{}");
        let error = message(&[(":message-type", "error"), (":error-code", "E"), (":error-message", "why")], b"");
        [event("messageStart", "{\"a\":\"\u{e9}\"}"), exception, error].concat()
    }

    #[test]
    fn messages_are_equal_however_the_bytes_are_split() {
        let stream = stream();
        let whole = parse(&[&stream]).unwrap();
        let seen: Vec<_> = whole.iter().map(|message| (message.kind.as_str(), message.name.as_str())).collect();
        assert_eq!(seen, [("event", "messageStart"), ("exception", "throttlingException"), ("error", "E")]);
        assert_eq!(whole[2].payload, b"why");
        for at in 0..=stream.len() {
            assert_eq!(parse(&[&stream[..at], &stream[at..]]).unwrap(), whole, "split at byte {at}");
        }
        assert_eq!(parse(&stream.chunks(1).collect::<Vec<_>>()).unwrap(), whole);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let stream = event("contentBlockDelta", "{\"delta\":{\"text\":\"hi\"}}");
        for at in 0..stream.len() {
            for bit in 0..8 {
                let mut flipped = stream.clone();
                flipped[at] ^= 1 << bit;
                let outcome = parse(&[&flipped]);
                assert!(outcome.is_err() || outcome.unwrap().is_empty(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_length_that_no_message_has_is_refused_before_it_is_waited_for() {
        let mut bytes = 0x7fff_ffff_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(&0_u32.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        assert_eq!(parse(&[&bytes]).unwrap_err().message(), "the provider's event stream is damaged: a length is impossible");
    }
}
