//! Source numbers as answers have them: `[1]`, `[1, 2]`, `[1-3]`, `[source 1]`, `[1, p. 2]`, `[1](limits.md)`, `(source 1)`,
//! `【1†source】`.

use std::ops::{Range, RangeInclusive};

use serde_json::Value;

use super::markup::{is_inside, link_target, link_text};

/// Highest number of a source.
pub(super) const MAX_NUMBER: usize = 999;
/// Numbers of one range: no more sources are asked for.
const MAX_RANGE: usize = 100;
/// Zeros of other scripts: Arabic, Persian, Devanagari, Bengali, Thai, and full-width.
const ZEROS: [u32; 6] = [0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10];
/// Bytes between the brackets.
const MAX_BYTES: usize = 64;

/// Brackets around source numbers.
const BRACKETS: [(char, char); 5] = [('[', ']'), ('【', '】'), ('［', '］'), ('(', ')'), ('（', '）')];
/// Words before a number, the longer of two first.
#[rustfmt::skip]
const NAMES: [&str; 19] = [
    "sources", "source", "references", "reference", "refs", "ref", "documents", "document", "citation", "doc", "quellen", "quelle",
    "fuentes", "fuente", "fonte", "src", "来源", "出典", "資料",
];
/// Words between numbers, and the signs that say the same.
const WORDS: [(&str, &str); 7] =
    [(" and ", ","), (" und ", ","), (" et ", ","), (" y ", ","), (" e ", ","), (" to ", "-"), (" bis ", "-")];
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

/// Every marker outside code. A link is one where a number is all that it says; whether a number behind a link's words says where
/// that leads, `is_name` tells by its place.
pub(super) fn markers(text: &str, code: &[Range<usize>], is_name: impl Fn(usize) -> bool) -> Vec<Marker> {
    let mut markers = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(BRACKETS.map(|(open, _)| open)) {
        let start = at + offset;
        let inside = inside(text, start);
        at = start + text[start..].chars().next().map_or(1, char::len_utf8);
        let Some(inside) = inside.filter(|_| !is_inside(code, start)) else { continue };
        let is_chained = markers.last().is_some_and(|before: &Marker| before.span.end == start);
        if text[start..].starts_with('[') && !is_chained && link_text(&text[..start]).is_some() && is_name(start) {
            continue;
        }
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
    let (inside, mut has_name) = inside.split_once('†').map_or((inside, false), |(inside, _)| (inside, true));
    let mut listed: String = inside.to_lowercase().chars().map(ascii_digit).collect();
    if listed.contains(' ') {
        listed = WORDS.iter().fold(listed, |listed, (word, sign)| listed.replace(word, sign));
    }
    let mut sources = Vec::new();
    for entry in listed.split(';') {
        let parts = entry.split([',', '&', '、', '，']).map(|part| part.trim_matches([' ', '*', '_', '\\', '\u{a0}']));
        for (number, part) in parts.enumerate() {
            if number > 0 && is_place(part) {
                break;
            }
            let bare = NAMES.iter().find_map(|name| part.strip_prefix(name));
            has_name |= bare.is_some();
            let part = bare.unwrap_or(part).trim_start_matches([' ', '.', ':', '#', '^', '\u{a0}']).trim_end_matches('.');
            if part.is_empty() {
                continue;
            }
            match range(part.split_once(':').map_or(part, |(number, _)| if has_name { number } else { part })) {
                Some(range) => sources.extend(range),
                // Behind a source that is called so stands what it is.
                None if has_name && !sources.is_empty() => break,
                None => return None,
            }
        }
    }
    (!sources.is_empty() && has_name >= is_named).then_some(sources)
}

/// Whether a text is nothing but a word for sources.
pub(super) fn is_name(text: &str) -> bool {
    NAMES.contains(&text.to_lowercase().as_str())
}

/// A number, or all from one to another.
fn range(part: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = part.split_once(['-', '–', '—']).unwrap_or((part, part));
    let (first, last): (&str, &str) = (first.trim(), last.trim());
    if first.starts_with('0') {
        return None;
    }
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last <= MAX_NUMBER && last - first < MAX_RANGE).then_some(first..=last)
}

/// The same digit of ours.
fn ascii_digit(letter: char) -> char {
    if letter.is_ascii() {
        return letter;
    }
    let value = ZEROS.iter().find_map(|zero| u32::from(letter).checked_sub(*zero).filter(|value| *value < 10));
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(letter)
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

/// Whether what stands there may be a number of a business's own: a reference, or how many sources there are.
pub(super) fn is_ambiguous(key: &str, value: &Value) -> bool {
    ["ref", "reference"].iter().any(|name| key.eq_ignore_ascii_case(name))
        || key.eq_ignore_ascii_case("sources") && value.is_number()
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
