//! Source numbers as answers have them: `[1]`, `[1, 2]`, `[1-3]`, `[source 1]`, `【1】`.

use std::ops::Range;

use serde_json::Value;

use super::text::is_inside;

/// Highest number of a source.
const MAX_NUMBER: usize = 999;

/// Source numbers in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// Bytes of the numbers with their brackets.
    pub(super) span: Range<usize>,
    /// The numbers.
    pub(super) sources: Vec<usize>,
}

/// Every marker outside code. What a link says is none.
pub(super) fn markers(text: &str, code: &[Range<usize>]) -> Vec<Marker> {
    let mut markers = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(['[', '【']) {
        let start = at + offset;
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
        let length = text[at..].bytes().take(64).position(|byte| byte == b']' || byte == 0xe3).filter(|length| *length > 0);
        let Some(length) = length.filter(|_| !is_inside(code, start)) else { continue };
        let Some(close) = text[at + length..].chars().next().filter(|letter| matches!(letter, ']' | '】')) else { continue };
        let end = at + length + close.len_utf8();
        let Some(sources) = numbers(&text[at..at + length]).filter(|_| !text[end..].starts_with('(')) else { continue };
        markers.push(Marker { span: start..end, sources });
        at = end;
    }
    markers
}

fn numbers(inside: &str) -> Option<Vec<usize>> {
    let mut sources = Vec::new();
    for part in inside.split([',', ';', '&']) {
        let part = part.trim();
        let part = ["sources", "source", "Sources", "Source", "ref.", "^", "#"]
            .iter()
            .fold(part, |part, word| part.strip_prefix(word).unwrap_or(part));
        let part = part.trim();
        let (first, last) = part.split_once(['-', '–']).unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first == 0 || last > MAX_NUMBER || first > last || last - first > 20 {
            return None;
        }
        sources.extend(first..=last);
    }
    (!sources.is_empty()).then_some(sources)
}

/// A marker without some of its numbers; empty where none is left.
pub(super) fn without(marker: &str, wrong: &[usize]) -> String {
    let inside = marker.trim_matches(['[', ']', '【', '】']);
    let left: Vec<String> =
        numbers(inside).unwrap_or_default().iter().filter(|number| !wrong.contains(number)).map(usize::to_string).collect();
    if left.is_empty() { String::new() } else { marker.replace(inside, &left.join(", ")) }
}

/// Keys whose value is the number of a source, or a list of such.
pub(super) fn is_source_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["source", "sources", "source_number", "source_id", "source_index", "citation", "citation_number", "ref", "reference"]
        .contains(&key.as_str())
}

/// Source numbers as models write them: 1, "1", `[1]`, "1, 2".
pub(super) fn sources(value: &Value) -> Vec<usize> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()).into_iter().collect(),
        Value::String(text) => numbers(text.trim().trim_start_matches('[').trim_end_matches(']')).unwrap_or_default(),
        Value::Array(list) => list.iter().flat_map(sources).collect(),
        _ => Vec::new(),
    }
}
