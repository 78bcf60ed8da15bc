//! An answer without what does not hold, and what a model is told of it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::{Citation, MAX_CITATIONS, Status, marker};
use crate::sentence;

/// False citations that a model is told of.
const MAX_TOLD: usize = 100;

/// The answer's text without what claims something that is not there: the sentence that rests on it, or the number alone where
/// the same words have another source.
pub(crate) fn without_false(answer: &str, citations: &[Citation]) -> String {
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let mut wrong: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for citation in citations.iter().filter(|citation| citation.is_false() && citation.pointer.is_none()) {
        match &citation.sentence {
            Some(sentence) => cuts.push(sentence.clone()),
            None => wrong.entry((citation.span.start, citation.span.end)).or_default().extend(citation.cited),
        }
    }
    cuts.sort_by_key(|cut| cut.start);
    cuts.dedup_by(|next, cut| {
        let is_one = next.start <= cut.end || answer[cut.end..next.start].trim_matches(' ').is_empty();
        if is_one {
            cut.end = cut.end.max(next.end);
        }
        is_one
    });
    let mut edits: Vec<(Range<usize>, String)> = cuts.into_iter().map(|cut| (with_margin(answer, cut), String::new())).collect();
    for ((start, end), numbers) in wrong {
        let left = marker::without(&answer[start..end], &numbers);
        let blank = if left.is_empty() { start - answer[..start].trim_end_matches(' ').len() } else { 0 };
        edits.push((start - blank..end, left));
    }
    edits.sort_by_key(|(range, _)| range.start);
    let (mut kept, mut at) = (String::with_capacity(answer.len()), 0);
    for (range, left) in &edits {
        if range.start >= at {
            kept.push_str(&answer[at..range.start]);
            kept.push_str(left);
        }
        at = at.max(range.end);
    }
    kept.push_str(&answer[at..]);
    if edits.is_empty() { kept } else { kept.trim().to_owned() }
}

/// A cut with the blanks behind it; where nothing of its line is left but the mark of a list, the line.
fn with_margin(answer: &str, cut: Range<usize>) -> Range<usize> {
    let end = answer.len() - answer[cut.end..].trim_start_matches(' ').len();
    let line = answer[..cut.start].rfind('\n').map_or(0, |newline| newline + 1);
    let head = answer[line..cut.start].trim_start();
    let is_line = sentence::marker(head) == head.len();
    match answer[end..].chars().next() {
        None if is_line => line..end,
        Some('\n') if is_line => line..end + 1,
        _ => cut.start..end,
    }
}

/// Takes what does not hold out of a structured answer: the entry of a list, else the sentence of a text. How many citations
/// stay, because they stand in neither.
pub(crate) fn value_without_false(value: &mut Value, citations: &[Citation]) -> usize {
    let mut entries: Vec<(String, usize)> = Vec::new();
    let mut texts: BTreeMap<&str, Vec<Citation>> = BTreeMap::new();
    let mut left = 0;
    for citation in citations.iter().filter(|citation| citation.is_false()) {
        let pointer = citation.pointer.as_deref().unwrap_or_default();
        match entry(value, pointer) {
            Some(entry) if entries.contains(&entry) => {}
            Some(entry) => entries.push(entry),
            None if citation.is_in_text() => {
                texts.entry(pointer).or_default().push(Citation { pointer: None, ..citation.clone() });
            }
            None => left += 1,
        }
    }
    for (pointer, citations) in texts {
        let Some(Value::String(text)) = value.pointer_mut(pointer) else { continue };
        let kept = without_false(text, &citations);
        if states(&kept) { *text = kept } else { left += citations.len() }
    }
    // From behind, so that numbers stay what they were.
    entries.sort_by(|a, b| b.cmp(a));
    for (parent, number) in entries {
        if let Some(Value::Array(list)) = value.pointer_mut(&parent)
            && number < list.len()
        {
            list.remove(number);
        }
    }
    left
}

/// The list that holds what stands at a place, and which entry it is.
fn entry(value: &Value, mut place: &str) -> Option<(String, usize)> {
    loop {
        let (parent, name) = place.rsplit_once('/')?;
        if let (Some(Value::Array(_)), Ok(number)) = (value.pointer(parent), name.parse()) {
            return Some((parent.to_owned(), number));
        }
        place = parent;
    }
}

/// Whether a text says more than where it is from: source numbers, lists of sources and headings do not.
pub(crate) fn states(text: &str) -> bool {
    // Whether a list of sources has begun.
    let mut is_list = false;
    text.lines().any(|line| {
        let body = line.trim();
        let body = &body[sentence::marker(body)..];
        let markers = marker::markers(body, &[], |_| true);
        let (mut rest, mut at) = (String::new(), 0);
        for marker in &markers {
            rest.push_str(&body[at..marker.span.start]);
            at = marker.span.end;
        }
        rest.push_str(&body[at..]);
        let rest = rest.trim();
        let is_address = rest.contains(['.', '/']) && !rest.contains(char::is_whitespace);
        let is_entry = markers.first().is_some_and(|marker| marker.span.start == 0)
            && (rest.starts_with(':') || (is_list || is_address) && !sentence::is_ended(&format!("{rest} ")));
        let name = rest.trim_matches(['*', '_']).trim();
        let is_list_name = marker::is_name(name.trim_matches(['#', ':', '*', '_', ' ']));
        let is_heading = name.starts_with('#') || name.ends_with(':') || is_list_name;
        is_list = if is_heading { is_list_name } else { is_list };
        name.contains(char::is_alphanumeric) && !is_entry && !is_heading
    })
}

/// What a model is told whose quotes do not hold.
pub(crate) fn repair_prompt(citations: &[Citation]) -> String {
    let mut told = "Some of your citations do not hold:\n".to_owned();
    for citation in citations.iter().filter(|citation| citation.is_false()).take(MAX_TOLD) {
        let number = citation.cited.map_or_else(|| "without a number".to_owned(), |number| format!("[{number}]"));
        let quote: String = citation.quote.as_deref().unwrap_or_default().chars().take(200).collect();
        told.push_str(&match citation.status {
            Status::NoSuchSource => format!("- {number}: there is no source of that number\n"),
            Status::WrongSource => {
                let actual = citation.found.as_ref().map_or(0, |found| found.passage + 1);
                format!("- {number} “{quote}”: this stands in source [{actual}]\n")
            }
            Status::Unchecked => format!("- there are more than {MAX_CITATIONS} of them: cite less often\n"),
            _ => format!("- {number} “{quote}”: this stands in no source\n"),
        });
    }
    told.push_str("Write the whole answer again. Quote word for word, or do not quote; leave out what no source says.");
    told
}
