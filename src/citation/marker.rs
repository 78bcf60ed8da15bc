//! Source numbers as answers have them: `[1]`, `[1, 2]`, `[1-3]`, `[source 1]`, `[1, p. 2]`, `[1](limits.md)`, `(source 1)`, `【1†source】`.

use std::ops::Range;

use serde_json::Value;

use super::markup::link_target;
use super::text::is_inside;

/// Highest number of a source.
const MAX_NUMBER: usize = 999;
/// Bytes between the brackets.
const MAX_BYTES: usize = 64;

/// Brackets around source numbers.
const BRACKETS: [(char, char); 5] = [('[', ']'), ('【', '】'), ('［', '］'), ('(', ')'), ('（', '）')];
/// Words before a number, the longer of two first.
const NAMES: [&str; 10] =
    ["sources", "source", "references", "reference", "refs", "ref", "documents", "document", "citation", "doc"];
/// Words with which a place in a source begins: what follows counts pages.
const PLACES: [&str; 13] =
    ["p", "pp", "page", "pages", "s", "seite", "sec", "section", "sections", "ch", "chapter", "line", "lines"];

/// Source numbers in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// Bytes of the numbers with their brackets.
    pub(super) span: Range<usize>,
    /// The numbers.
    pub(super) sources: Vec<usize>,
}

/// Every marker outside code. A link is one where a number is all that it says.
pub(super) fn markers(text: &str, code: &[Range<usize>]) -> Vec<Marker> {
    let mut markers = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(BRACKETS.map(|(open, _)| open)) {
        let start = at + offset;
        let inside = inside(text, start);
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
        let Some(inside) = inside.filter(|_| !is_inside(code, start)) else { continue };
        let is_named = text[start..].starts_with(['(', '（']);
        let Some(sources) = numbers(&text[inside.clone()], is_named) else { continue };
        let close = inside.end + text[inside.end..].chars().next().map_or(0, char::len_utf8);
        let rest = &text[close..];
        let end = close + if rest.starts_with('(') { link_target(rest).unwrap_or(0) } else { 0 };
        // An escaped bracket is one all the same.
        let start = start - usize::from(text[..start].ends_with('\\') && text[inside].ends_with('\\'));
        markers.push(Marker { span: start..end, sources });
        at = end;
    }
    markers
}

/// What stands between the bracket at a place and the one that closes it.
fn inside(text: &str, start: usize) -> Option<Range<usize>> {
    let open = text[start..].chars().next()?;
    let (_, close) = BRACKETS.iter().find(|(bracket, _)| *bracket == open)?;
    let begin = start + open.len_utf8();
    let inside = text[begin..].char_indices().take_while(|(offset, _)| *offset < MAX_BYTES);
    let end = inside.take_while(|(_, letter)| *letter != '\n').find(|(_, letter)| letter == close)?.0;
    Some(begin..begin + end)
}

/// The numbers of a list, which must be called sources where `is_named`.
fn numbers(inside: &str, is_named: bool) -> Option<Vec<usize>> {
    let (inside, _) = inside.split_once('†').unwrap_or((inside, ""));
    let listed = inside.to_lowercase().replace(" and ", ",").replace(" und ", ",");
    let mut sources = Vec::new();
    let mut has_name = false;
    for entry in listed.split(';') {
        let parts = entry.split([',', '&', '、', '，']).map(|part| part.trim_matches([' ', '*', '_', '\\', '\u{a0}']));
        for (number, part) in parts.enumerate() {
            if number > 0 && is_place(part) {
                break;
            }
            let bare = NAMES.iter().find_map(|name| part.strip_prefix(name));
            has_name |= bare.is_some();
            let part = bare.unwrap_or(part).trim_start_matches([' ', '.', ':', '#', '^', '\u{a0}']);
            let (first, last) = part.split_once(['-', '–']).unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            if first == 0 || last > MAX_NUMBER || first > last || last - first > 20 {
                return None;
            }
            sources.extend(first..=last);
        }
    }
    (!sources.is_empty() && has_name >= is_named).then_some(sources)
}

/// Whether a part of a list is a place in the source before it.
fn is_place(part: &str) -> bool {
    part.starts_with('§') || PLACES.contains(&&part[..part.find(|letter: char| !letter.is_alphabetic()).unwrap_or(part.len())])
}

/// A marker without some of its numbers; empty where none is left.
pub(super) fn without(marker: &str, wrong: &[usize]) -> String {
    let start = usize::from(marker.starts_with('\\'));
    let Some(inside) = inside(marker, start) else { return String::new() };
    let all = numbers(&marker[inside.clone()], false).unwrap_or_default();
    let left: Vec<String> = all.iter().filter(|number| !wrong.contains(number)).map(usize::to_string).collect();
    // Numbers in round brackets say that they are sources.
    let name = if marker.starts_with(['(', '（']) { "source " } else { "" };
    let (head, escape, tail) = (&marker[..inside.start], &marker[..start], &marker[inside.end..]);
    if left.is_empty() { String::new() } else { format!("{head}{name}{}{escape}{tail}", left.join(", ")) }
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
        Value::String(text) => numbers(text.trim().trim_start_matches('[').trim_end_matches(']'), false).unwrap_or_default(),
        Value::Array(list) => list.iter().flat_map(sources).collect(),
        _ => Vec::new(),
    }
}
