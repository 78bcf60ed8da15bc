//! Where sentences begin.
//!
//! Own rules and not UAX #29, which ends a sentence at every line end: text that is wrapped by hand would fall apart into lines.

/// Short words whose full stop does not end a sentence, without that stop.
const ABBREVIATIONS: [&str; 18] =
    ["al", "approx", "cf", "dept", "dr", "e.g", "eq", "fig", "i.e", "inc", "jr", "mr", "mrs", "ms", "pp", "prof", "st", "vs"];

/// The offset of each sentence but the first, ascending. A sentence ends at `.`, `!`, `?` or `…`, with the quotes and brackets
/// that close after it, where white space and no small letter follows; or at an ideographic full stop.
pub(super) fn starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, mark)) = chars.next() {
        if !is_terminator(mark) {
            continue;
        }
        let mut wide = is_wide(mark);
        while let Some(&(_, next)) = chars.peek()
            && (is_terminator(next) || is_closer(next))
        {
            wide |= is_wide(next);
            chars.next();
        }
        let mut spaced = false;
        while let Some(&(_, next)) = chars.peek()
            && next.is_whitespace()
        {
            spaced = true;
            chars.next();
        }
        let Some(&(start, next)) = chars.peek() else { break };
        if wide || spaced && !next.is_lowercase() && !(mark == '.' && is_abbreviation(&text[..at])) {
            starts.push(start);
        }
    }
    starts
}

/// Whether the word at the end of `before` is one that a full stop shortens: a single letter or a known abbreviation.
fn is_abbreviation(before: &str) -> bool {
    // The longest known one has six letters; looking no further back keeps this linear in text without spaces.
    let tail = &before[before.ceil_char_boundary(before.len().saturating_sub(16))..];
    let word = tail.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“')).next().unwrap_or(tail);
    let mut letters = word.chars();
    let initial = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…') || is_wide(c)
}

/// Terminators of scripts that put no space after them.
fn is_wide(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '｡')
}

fn is_closer(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '»' | '」' | '』' | '）' | '*' | '_' | '`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut from = 0;
        let ends = starts(text).into_iter().chain([text.len()]);
        ends.map(|end| text[std::mem::replace(&mut from, end)..end].trim_end()).collect()
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        assert_eq!(sentences("One is\nwrapped here. Two (\"quoted.\") Three? 4 is a number!"), [
            "One is\nwrapped here.",
            "Two (\"quoted.\")",
            "Three?",
            "4 is a number!"
        ]);
        assert_eq!(sentences("See J. Smith, e.g. Figure 2, cf. Table 3 vs. Table 4."), [
            "See J. Smith, e.g. Figure 2, cf. Table 3 vs. Table 4."
        ]);
        assert_eq!(sentences("Use v1.2.3 of foo.rs now... and go on. Done"), ["Use v1.2.3 of foo.rs now... and go on.", "Done"]);
        assert_eq!(sentences("今日は。元気？はい"), ["今日は。", "元気？", "はい"]);
        assert_eq!(sentences(""), [""]);
        assert_eq!(sentences("..."), ["..."]);
    }
}
