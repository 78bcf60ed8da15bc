//! JSON in what a model wrote: behind what it thought aloud, between sentences, in fences, and not always quite JSON.

use std::collections::VecDeque;
use std::ops::Range;

use serde_json::Value;

use super::Change;
use super::partial::Partial;

/// What thoughts begin with, where a model writes them into its answer.
const THOUGHTS: &str = "<think>";

/// What ends the thoughts that some models write before their answer.
const THOUGHTS_END: &str = "</think>";
/// Values of a text that may be the answer; of more, the last ones.
const MAX_CANDIDATES: usize = 64;
/// Bytes that may be read in vain, as a multiple of those of the text.
const MAX_READS: usize = 8;

/// A value, and what reading it took.
type Read = (Value, Vec<Change>);

/// The JSON values of a text in their order, with what reading them took. What a model thinks aloud before its answer is none; a
/// list is one where the root is no object.
pub(super) fn candidates(text: &str, is_wrapped: bool) -> VecDeque<Read> {
    let change = |what| vec![Change { pointer: String::new(), what }];
    let whole = |text: &str| {
        let value = serde_json::from_str::<Value>(text).ok()?;
        Some(match value.as_str().and_then(|inner| serde_json::from_str::<Value>(inner).ok()) {
            Some(inner) => (inner, change("the answer was JSON inside a JSON text")),
            None => (value, Vec::new()),
        })
    };
    let said = text.trim_start_matches('\u{feff}').trim();
    let answer = said.rsplit_once(THOUGHTS_END).map_or(said, |(_, answer)| answer.trim());
    if let Some(value) = whole(said).or_else(|| whole(answer)) {
        return VecDeque::from([value]);
    }
    let found = objects(answer, is_wrapped);
    if !found.is_empty() || answer.len() == said.len() || said.starts_with(THOUGHTS) {
        return found.into_iter().map(|(_, value)| value).collect();
    }
    // The mark may stand in a text of the answer itself.
    let mark = said.len() - answer.len();
    objects(said, is_wrapped).into_iter().filter(|(range, _)| range.contains(&mark)).map(|(_, value)| value).collect()
}

/// The JSON objects of a text, and lists where the answer may be one, with their places. One that is not quite JSON is taken with
/// what can be made of it, not with one that stands inside it.
fn objects(text: &str, is_wrapped: bool) -> VecDeque<(Range<usize>, Read)> {
    let change = |what| Change { pointer: String::new(), what };
    let begins: &[char] = if is_wrapped { &['{', '['] } else { &['{'] };
    let mut found = VecDeque::new();
    let (mut at, mut left) = (0, text.len().saturating_mul(MAX_READS));
    while let Some(start) = text[at..].find(begins).map(|offset| at + offset) {
        let rest = &text[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let (value, length) = match values.next() {
            Some(Ok(value)) => (Some((value, vec![change("text around the object was left out")])), values.byte_offset()),
            outcome => {
                let mut read = outcome.and_then(Result::err).map_or(0, |error| read_until(rest, &error));
                let (mut value, mut length) = (None, 1);
                if rest.starts_with('{') && rest[1..].trim_start().starts_with(['"', '\'']) {
                    let (object, careless) = Partial::object(rest);
                    read += careless;
                    if let Some((object, notes)) = object {
                        (value, length) = (Some((object, notes.into_iter().map(change).collect())), careless);
                    }
                }
                let Some(less) = left.checked_sub(read) else { break };
                left = less;
                (value, length)
            }
        };
        at = start + length;
        if let Some(value) = value {
            found.push_back((start..at, value));
            if found.len() > MAX_CANDIDATES {
                found.pop_front();
            }
        }
    }
    if found.is_empty() {
        let mut partial = Partial::default();
        partial.push(text);
        if let (Some(value), notes) = partial.finish() {
            // Where it stands is not known.
            found.push_back((text.len()..text.len(), (value, notes.into_iter().map(change).collect())));
        }
    }
    found
}

/// How many bytes were read until `error`.
fn read_until(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}
