//! Code among the statements of a passage: what may be quoted of it, and which lines are code whose fences another passage has.

use std::ops::Range;

use super::MAX_QUOTE_BYTES;
use super::sentence::{STOPS, Sentence};
use crate::sentence::is_fence;

/// Code between fences, with the sentence right `above` it. What that announces is quoted with it.
pub(super) fn code(text: &str, range: Range<usize>, above: Option<&Sentence>) -> Option<Sentence> {
    let is_announced = above.is_some_and(|above| above.tail >= range.end);
    if is_announced || range.len() > MAX_QUOTE_BYTES {
        return None;
    }
    let belongs =
        |above: &&Sentence| range.end - above.lead <= MAX_QUOTE_BYTES && text[above.tail..range.start].trim().is_empty();
    let lead = above.filter(belongs).map_or(range.start, |above| above.lead);
    Some(Sentence { lead, tail: range.end, columns: None, answers: None, penalty: 0.3, is_open: false, range })
}

/// Whether lines are code whose fences another passage has.
pub(super) fn is_code(text: &str) -> bool {
    text.lines().any(|line| is_line_of_code(line.trim()))
}

fn is_line_of_code(line: &str) -> bool {
    // Code in a block quote is no block of its own.
    let line = unquoted(line);
    // Prose may end in a bracket, too, but has a blank before it.
    let calls = |(at, _): (usize, &str)| line[..at].ends_with(|before: char| before.is_alphanumeric() || "_!>".contains(before));
    let is_call = line.ends_with(");") && (line.match_indices('(').any(calls) || !line.contains('('));
    let is_statement = is_call || (line.ends_with(';') && line.contains(" = "));
    is_statement
        || is_fence(line)
        || line.ends_with(['{', '}'])
        || ["//", "#[", "$ ", "} "].iter().any(|code| line.starts_with(code))
}

/// A line without the marks of a block quote.
fn unquoted(line: &str) -> &str {
    line.trim_start_matches(['>', ' '])
}

/// Whether lines among code that has no fences are prose.
pub(super) fn is_prose(text: &str) -> bool {
    text.ends_with(STOPS) && !is_code(text)
}

/// Whether a passage is the inside of code, neither fence of which it has: half of its lines say so.
pub(super) fn is_cut_code(text: &str) -> bool {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let has_fence = || lines().any(|line| is_fence(unquoted(line)));
    !has_fence() && lines().filter(|line| is_line_of_code(line)).count() * 2 >= lines().count().max(1)
}

/// Where the text begins that is no code, in a passage that begins inside of code: its first fence is a closing one.
pub(super) fn end_of_cut_code(text: &str) -> usize {
    let mut at = 0;
    let mut before = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if is_fence(line.trim()) {
            // An opening fence may name a language, a closing one not.
            let is_bare = |fence: &str| fence.trim_matches(['`', '~']).is_empty();
            let opens_next =
                || text[at..].lines().map(str::trim).find(|line| is_fence(line)).is_some_and(|fence| !is_bare(fence));
            return if is_bare(line.trim()) && (is_code(&text[..before]) || opens_next()) { at } else { 0 };
        }
        before = at;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_may_end_like_a_call() {
        for code in ["run();", "v.push(1, (2));", "println!(\"{x}\");", ");"] {
            assert!(is_code(code), "{code}");
        }
        for prose in ["It has four parts (see above);", "Files that are large (over 5 GB);"] {
            assert!(!is_code(prose), "{prose}");
        }
    }
}
