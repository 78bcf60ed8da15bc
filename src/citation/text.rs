//! Where a text quotes and cites. Code does neither.

use std::ops::Range;

use super::marker::{Marker, markers};
use crate::sentence::{self, Block, Kind};

/// Words from which text in quotation marks is a quote and not a name.
const QUOTE_WORDS: usize = 4;
/// Letters from which it is one, for scripts without blanks.
const QUOTE_LETTERS: usize = 24;
/// Bytes of one quotation; a mark without an end is none.
const MAX_QUOTE_BYTES: usize = 4_000;
/// Bytes between a quote and the number that belongs to it.
const NEAR: usize = 48;

/// A quote or a cited statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// Bytes of the quote with its marks and the numbers behind it, or of the numbers.
    pub(super) span: Range<usize>,
    /// Bytes between the quotation marks.
    pub(super) quote: Option<Range<usize>>,
    /// Bytes of the statement.
    pub(super) claim: Range<usize>,
    /// Bytes of the sentences that all of this stands in.
    pub(super) sentence: Range<usize>,
    /// Its numbers.
    pub(super) markers: Vec<Marker>,
}

/// Every quote and every cited statement, in order.
pub(super) fn mentions(text: &str) -> Vec<Mention> {
    let blocks = sentence::blocks(text);
    let code = code(text, &blocks);
    let markers = markers(text, &code);
    let quotes = quotes(text, &code);
    let sentences = apart(text, sentences(text, &blocks, &markers), &quotes);
    let mut taken = vec![false; markers.len()];
    let mut mentions = Vec::new();
    let mut next = 0;
    for (number, (span, quote)) in quotes.iter().enumerate() {
        let until = quotes.get(number + 1).map_or(text.len(), |(next, _)| next.start);
        while next < markers.len() && markers[next].span.end <= span.start {
            next += 1;
        }
        // Numbers stand behind the quote, before it on the same line, or at its end; others inside are its own words.
        let (mut own, inner) = (Vec::new(), quote);
        let mut quote = quote.clone();
        let inside = markers[next..].partition_point(|marker| marker.span.end <= inner.end);
        for marker in markers[next..next + inside].iter().rev() {
            if text[marker.span.end..quote.end].contains(char::is_alphanumeric) {
                break;
            }
            quote.end = marker.span.start;
        }
        let mut end = span.end;
        let mut at = next;
        while at < markers.len() && markers[at].span.start < until {
            let marker = &markers[at];
            if marker.span.end <= inner.end {
                own.extend((marker.span.start >= quote.end).then(|| marker.clone()));
            } else {
                let gap = &text[end..marker.span.start];
                let near = gap.len() <= if own.is_empty() { NEAR } else { 2 };
                if !near || gap.contains("\n\n") || gap.contains(". ") {
                    break;
                }
                own.push(marker.clone());
                end = marker.span.end;
            }
            taken[at] = true;
            at += 1;
        }
        if own.is_empty() && next > 0 {
            let before = &markers[next - 1];
            let gap = &text[before.span.end.min(span.start)..span.start];
            if gap.len() <= NEAR && !gap.contains('\n') && !gap.contains(". ") {
                own.push(before.clone());
                taken[next - 1] = true;
            }
        }
        let span = span.start..end;
        let sentence = around(&sentences, &span);
        mentions.push(Mention { span, claim: quote.clone(), quote: Some(quote), sentence, markers: own });
    }
    let mut from = 0;
    let mut at = 0;
    while at < markers.len() {
        let first = at;
        // Neighbouring numbers belong to one statement.
        while at + 1 < markers.len() && text[markers[at].span.end..markers[at + 1].span.start].trim().is_empty() {
            at += 1;
        }
        let span = markers[first].span.start..markers[at].span.end;
        let own: Vec<Marker> = (first..=at).filter(|number| !taken[*number]).map(|number| markers[number].clone()).collect();
        if !own.is_empty() {
            let sentence = around(&sentences, &span);
            let claim = claim(text, from.max(sentence.start)..span.start);
            mentions.push(Mention { span: span.clone(), quote: None, claim, sentence, markers: own });
        }
        from = span.end;
        at += 1;
    }
    mentions.sort_by_key(|mention| mention.span.start);
    mentions
}

/// What of a text is code: between fences, and between runs of as many backticks in a paragraph.
fn code(text: &str, blocks: &[Block]) -> Vec<Range<usize>> {
    let mut code = Vec::new();
    for block in blocks {
        if matches!(block.kind, Kind::Code | Kind::OpenCode) {
            code.push(block.range.clone());
            continue;
        }
        let mut ticks: Vec<Range<usize>> = Vec::new();
        for (offset, _) in text[block.range.clone()].match_indices('`') {
            let at = block.range.start + offset;
            match ticks.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => ticks.push(at..at + 1),
            }
        }
        let mut next = 0;
        while next < ticks.len() {
            let close = (next + 1..ticks.len()).find(|other| ticks[*other].len() == ticks[next].len());
            code.extend(close.map(|close| ticks[next].start..ticks[close].end));
            next = close.unwrap_or(next) + 1;
        }
    }
    code
}

/// Whether a place lies inside one of these stretches, which are in order.
pub(super) fn is_inside(stretches: &[Range<usize>], at: usize) -> bool {
    let next = stretches.partition_point(|stretch| stretch.end <= at);
    stretches.get(next).is_some_and(|stretch| stretch.start <= at)
}

/// The sentences of a text, each with the numbers behind its full stop. A heading or a row of a table is one, and so is a line that
/// begins with a number, as in a list of sources.
fn sentences(text: &str, blocks: &[Block], markers: &[Marker]) -> Vec<Range<usize>> {
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let mut markers = markers.iter().peekable();
    for block in blocks {
        let pieces = match block.kind {
            Kind::Code | Kind::OpenCode => continue,
            Kind::Line => vec![block.range.clone()],
            Kind::Paragraph | Kind::Item => sentence::split(text, block.range.clone()),
        };
        for piece in pieces {
            let mut start = piece.start;
            while markers.next_if(|marker| marker.span.start < start).is_some() {}
            while let Some(marker) = markers.next_if(|marker| marker.span.start < piece.end) {
                let span = marker.span.start..marker.span.end.min(piece.end);
                let next = piece.end - text[span.end..piece.end].trim_start_matches(['.', ',', ';', ' ']).len();
                let line = text[span.end..piece.end].lines().next().unwrap_or_default();
                let is_entry = text[..span.start].trim_end_matches([' ', '\t']).ends_with('\n')
                    && !line.starts_with(['.', ',', ';'])
                    && line.contains(char::is_alphabetic);
                // "[2] says ...": behind a full stop of its own sentence a number has a capital or nothing.
                let is_subject = text[next..piece.end].starts_with(char::is_lowercase);
                match sentences.last_mut() {
                    Some(before) if span.start == start && start > block.range.start && !is_entry && !is_subject => {
                        (before.end, start) = (text[..next].trim_end().len(), next);
                    }
                    _ if span.start > start && (is_entry || is_subject && is_ended(&text[start..span.start])) => {
                        let end = text[..span.start].trim_end().len();
                        sentences.extend((end > start).then_some(start..end));
                        start = span.start;
                    }
                    _ if is_ended(&text[start..span.start]) => {
                        sentences.push(start..text[..next].trim_end().len());
                        start = next;
                    }
                    _ => {}
                }
            }
            if start < piece.end {
                sentences.push(start..piece.end);
            }
        }
    }
    sentences
}

/// The same with quotes that follow a full stop apart: Unicode's rule takes a small letter behind it for an abbreviation's.
fn apart(text: &str, sentences: Vec<Range<usize>>, quotes: &[(Range<usize>, Range<usize>)]) -> Vec<Range<usize>> {
    let mut starts = quotes.iter().map(|(span, _)| span.start).peekable();
    let mut parted = Vec::with_capacity(sentences.len());
    for mut sentence in sentences {
        while let Some(start) = starts.next_if(|start| *start < sentence.end) {
            if start > sentence.start && is_ended(&text[sentence.start..start]) {
                parted.push(sentence.start..text[..start].trim_end().len());
                sentence.start = start;
            }
        }
        parted.push(sentence);
    }
    parted
}

/// Whether a sentence ends with this text, and a blank follows.
fn is_ended(text: &str) -> bool {
    let body = text.trim_end();
    body.len() < text.len() && body.ends_with(['.', '!', '?']) && !sentence::is_abbreviated(body)
}

/// The sentences that a stretch has a part of.
fn around(sentences: &[Range<usize>], span: &Range<usize>) -> Range<usize> {
    let first = sentences.partition_point(|sentence| sentence.end <= span.start);
    let last = sentences.partition_point(|sentence| sentence.start < span.end);
    match sentences.get(first..last) {
        Some([first, .., last]) => first.start.min(span.start)..last.end.max(span.end),
        Some([only]) => only.start.min(span.start)..only.end.max(span.end),
        _ => span.clone(),
    }
}

/// The statement in a stretch before a number, without its full stop; empty where nothing is stated, as in a list of sources.
fn claim(text: &str, stretch: Range<usize>) -> Range<usize> {
    let body = text[stretch.clone()].trim_end().trim_end_matches(['.', '!', '?', ',', ';']);
    if body.chars().any(char::is_alphanumeric) { stretch.start..stretch.start + body.len() } else { stretch.end..stretch.end }
}

/// Text in quotation marks: (with its marks, without them).
fn quotes(text: &str, code: &[Range<usize>]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut quotes = Vec::new();
    let mut open: Option<(char, usize, usize)> = None;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        let is_mark = matches!(letter, '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」') && !is_inside(code, at);
        if let Some((mark, start, inner)) = open {
            let closes = match mark {
                '“' => letter == '”',
                '„' => matches!(letter, '“' | '”'),
                '«' => letter == '»',
                '「' => letter == '」',
                mark => letter == mark,
            };
            if closes && is_mark {
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
        if is_mark && matches!(letter, '"' | '“' | '„' | '«' | '「') {
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

/// A quote of a structured answer without marks around it, and the numbers behind it.
pub(super) fn unquoted(text: &str) -> (Range<usize>, Vec<usize>) {
    let (mut end, mut numbers) = (text.len(), Vec::new());
    for marker in markers(text, &[]).into_iter().rev() {
        if !text[marker.span.end..end].trim().is_empty() {
            break;
        }
        end = marker.span.start;
        numbers.splice(0..0, marker.sources);
    }
    let marks = ['"', '“', '”', '„', '«', '»'];
    let inner = text[..end].trim().trim_start_matches(marks).trim_end_matches(marks);
    let start = text.find(inner).unwrap_or(0);
    (start..start + inner.len(), numbers)
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
