//! Where a text quotes and cites.

use std::ops::Range;

use serde_json::Value;

/// Words from which text in quotation marks is a quote and not a name.
const QUOTE_WORDS: usize = 4;
/// Letters from which it is one, for scripts without blanks.
const QUOTE_LETTERS: usize = 24;
/// Bytes of one quotation; a mark without an end is none.
const MAX_QUOTE_BYTES: usize = 4_000;
/// Bytes between a quote and the number that belongs to it.
const NEAR: usize = 48;
/// Highest number of a source.
const MAX_NUMBER: usize = 999;

/// A quote or a cited statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// Bytes of the quote with its marks, or of the numbers.
    pub(super) span: Range<usize>,
    /// Bytes between the quotation marks.
    pub(super) quote: Option<Range<usize>>,
    /// Bytes of the statement.
    pub(super) claim: Range<usize>,
    /// The numbers.
    pub(super) sources: Vec<usize>,
}

/// Source numbers in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marker {
    span: Range<usize>,
    sources: Vec<usize>,
}

/// Every quote and every cited statement, in order.
pub(super) fn mentions(text: &str) -> Vec<Mention> {
    let markers = markers(text);
    let quotes = quotes(text);
    let mut taken = vec![false; markers.len()];
    let mut mentions = Vec::new();
    let mut next = 0;
    for (number, (span, quote)) in quotes.iter().enumerate() {
        let until = quotes.get(number + 1).map_or(text.len(), |(next, _)| next.start);
        while next < markers.len() && markers[next].span.end <= span.start {
            next += 1;
        }
        // Numbers stand behind the quote, or before it on the same line.
        let mut sources = Vec::new();
        let mut end = span.end;
        let mut at = next;
        while at < markers.len() && markers[at].span.start >= end && markers[at].span.start < until {
            let gap = &text[end..markers[at].span.start];
            let near = gap.len() <= if sources.is_empty() { NEAR } else { 2 };
            if !near || gap.contains("\n\n") || gap.contains(". ") {
                break;
            }
            sources.extend(&markers[at].sources);
            taken[at] = true;
            end = markers[at].span.end;
            at += 1;
        }
        if sources.is_empty() && next > 0 {
            let before = &markers[next - 1];
            let gap = &text[before.span.end.min(span.start)..span.start];
            if gap.len() <= NEAR && !gap.contains('\n') && !gap.contains(". ") {
                sources.extend(&before.sources);
                taken[next - 1] = true;
            }
        }
        mentions.push(Mention { span: span.start..end.max(span.end), quote: Some(quote.clone()), claim: quote.clone(), sources });
    }
    let mut from = 0;
    let mut at = 0;
    while at < markers.len() {
        let first = at;
        // Neighbouring numbers belong to one statement.
        while at + 1 < markers.len() && text[markers[at].span.end..markers[at + 1].span.start].trim().is_empty() {
            at += 1;
        }
        let claim = claim_before(text, from, markers[first].span.start);
        for number in first..=at {
            if !taken[number] {
                let Marker { span, sources } = markers[number].clone();
                mentions.push(Mention { span, quote: None, claim: claim.clone(), sources });
            }
        }
        from = markers[at].span.end;
        at += 1;
    }
    mentions.sort_by_key(|mention| mention.span.start);
    mentions
}

/// `[1]`, `[1, 2]`, `[1-3]`, `[source 1]`, `【1】`. A number behind a word, as in `list[1]`, is none.
fn markers(text: &str) -> Vec<Marker> {
    let mut markers = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(['[', '【']) {
        let start = at + offset;
        let open = text[start..].chars().next().map_or(1, char::len_utf8);
        at = start + open;
        let Some(length) = text[at..].bytes().take(64).position(|byte| byte == b']' || byte == 0xe3).filter(|length| *length > 0)
        else {
            continue;
        };
        let Some(close) = text[at + length..].chars().next().filter(|letter| matches!(letter, ']' | '】')) else { continue };
        let before = text[..start].chars().next_back();
        let is_link = text[at + length + close.len_utf8()..].starts_with('(');
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
            && !before.is_some_and(char::is_numeric)
            && open == 1
        {
            // `array[1]` in code; but "word[1]" is how some models cite, so only code is left out.
            if in_code(text, start) {
                continue;
            }
        }
        let Some(sources) = numbers(&text[at..at + length]).filter(|_| !is_link) else { continue };
        let end = at + length + close.len_utf8();
        markers.push(Marker { span: start..end, sources });
        at = end;
    }
    markers
}

/// Whether a place stands between backticks on its line.
fn in_code(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text.as_bytes()[line.max(at.saturating_sub(400))..at].iter().filter(|byte| **byte == b'`').count() % 2 == 1
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

/// Text in quotation marks: (with its marks, without them).
fn quotes(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut quotes = Vec::new();
    let mut open: Option<(char, usize, usize)> = None;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        if let Some((mark, start, inner)) = open {
            let closes = match mark {
                '“' => letter == '”',
                '„' => matches!(letter, '“' | '”'),
                '«' => letter == '»',
                '「' => letter == '」',
                mark => letter == mark,
            };
            if closes {
                if is_quote(&text[inner..at]) {
                    quotes.push((start..end, inner..at));
                }
                open = None;
                continue;
            }
            if end - start <= MAX_QUOTE_BYTES && !text[end..].starts_with("\n\n") {
                continue;
            }
            open = None;
        }
        if matches!(letter, '"' | '“' | '„' | '«' | '「') {
            // Inches and the like open nothing.
            let behind_word = letter == '"' && text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
            if !behind_word {
                open = Some((letter, at, end));
            }
        }
    }
    quotes
}

fn is_quote(inside: &str) -> bool {
    inside.split_whitespace().take(QUOTE_WORDS).count() == QUOTE_WORDS
        || inside.chars().filter(|letter| letter.is_alphanumeric()).take(QUOTE_LETTERS).count() == QUOTE_LETTERS
}

/// The statement that ends at `end`: its sentence on its line, not further back than `from`. Empty where the line begins with the number,
/// as in a list of sources.
fn claim_before(text: &str, from: usize, end: usize) -> Range<usize> {
    let from = text[from..end].rfind('\n').map_or(from, |newline| from + newline + 1);
    let body = text[from..end].trim_end().trim_end_matches(['.', '!', '?', ',', ';']);
    let start = body.rfind(['!', '?']).map(|at| at + 1).into_iter().chain(body.rfind(". ").map(|at| at + 2)).max().unwrap_or(0);
    if body[start..].chars().any(char::is_alphanumeric) { from + start..from + body.len() } else { end..end }
}

/// The sentence around `span`, with the blank behind it.
pub(super) fn sentence_around(text: &str, span: &Range<usize>) -> Range<usize> {
    let head = &text[..span.start];
    let start = head
        .rfind('\n')
        .map(|at| at + 1)
        .into_iter()
        .chain(head.rfind(". ").map(|at| at + 2))
        .chain(head.rfind("] ").map(|at| at + 2))
        .max();
    let tail = &text[span.end..];
    let stop = tail.find(['.', '!', '?', '\n']).map_or(tail.len(), |at| if tail[at..].starts_with('\n') { at } else { at + 1 });
    // A sentence that begins behind the quote is another one.
    let own_end = text[..span.end].trim_end_matches(|letter: char| matches!(letter, ']' | '[' | ' ') || letter.is_ascii_digit());
    let ended = own_end.ends_with(['”', '"', '»', '“', '」'])
        && own_end.trim_end_matches(['”', '"', '»', '“', '」']).ends_with(['.', '!', '?']);
    let starts_new = tail.trim_start().chars().next().is_none_or(char::is_uppercase);
    let end = if ended && starts_new { span.end } else { span.end + stop };
    let blank = text[end..].len() - text[end..].trim_start_matches(' ').len();
    start.unwrap_or(0)..end + blank
}

/// A quote of a structured answer without marks around it, and the number behind it.
pub(super) fn unquoted(text: &str) -> (Range<usize>, Option<usize>) {
    let marker = markers(text).pop().filter(|marker| text[marker.span.end..].trim().is_empty());
    let end = marker.as_ref().map_or(text.len(), |marker| marker.span.start);
    let marks = ['"', '“', '”', '„', '«', '»'];
    let inner = text[..end].trim().trim_start_matches(marks).trim_end_matches(marks);
    let start = text.find(inner).unwrap_or(0);
    (start..start + inner.len(), marker.and_then(|marker| marker.sources.first().copied()))
}

/// Keys whose text is a quote.
pub(super) fn is_quote_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "quote",
        "quotes",
        "quotation",
        "quotations",
        "excerpt",
        "excerpts",
        "verbatim",
        "evidence",
        "quoted_text",
        "supporting_quote",
        "supporting_quotes",
        "cited_text",
        "source_text",
        "source_quote",
    ]
    .contains(&key.as_str())
}

/// Keys whose value is the number of a source.
pub(super) fn is_source_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["source", "source_number", "source_id", "source_index", "citation", "citation_number", "ref", "reference", "number"]
        .contains(&key.as_str())
}

/// The number of a source, as models write it: 1, "1", `[1]`.
pub(super) fn number(value: &Value) -> Option<usize> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        Value::String(text) => numbers(text.trim().trim_start_matches('[').trim_end_matches(']'))?.first().copied(),
        _ => None,
    }
}
