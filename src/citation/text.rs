//! Where a text quotes and cites. Code does neither.

use std::ops::Range;

use super::marker::{Marker, markers};
use super::marks::{Quote, is_mark, quotes};
use super::markup::is_inside;
use crate::sentence::{self, Block, Kind, is_ended};

/// Bytes between a quote and the number that belongs to it.
const NEAR: usize = 48;
/// What may stand behind a number and belong to the sentence before.
const STOPS: [char; 12] = ['.', ',', ';', ' ', '。', '，', '、', '；', '！', '？', '।', '؟'];
/// What parts a sentence in two that have numbers of their own.
const CLAUSES: [&str; 7] = [";", ", and ", ", but ", ", so ", ", while ", ", whereas ", ", und "];
/// First words of a sentence that goes on with a quote behind its number: `According to [1], ...`.
const LEADS: [&str; 10] = ["according", "as", "per", "in", "from", "source", "laut", "nach", "selon", "según"];
/// Words between a number and the quote that it introduces: `[1] says that ...`.
#[rustfmt::skip]
const SAYING: [&str; 35] = [
    "adds", "also", "as", "clearly", "confirms", "defines", "describes", "es", "exactly", "explains", "explicitly", "following",
    "further", "has", "heißt", "in", "it", "mentions", "notes", "puts", "reads", "said", "sagt", "say", "says", "schreibt",
    "specifies", "state", "stated", "states", "steht", "tells", "that", "the", "writes",
];

/// A quote or a cited statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// Bytes of the quote with its marks and the numbers behind it, or of the numbers.
    pub(super) span: Range<usize>,
    /// Bytes between the quotation marks.
    pub(super) quote: Option<Range<usize>>,
    /// The same with the numbers at its end.
    pub(super) inner: Range<usize>,
    /// Bytes of the statement.
    pub(super) claim: Range<usize>,
    /// Bytes of the sentences that all of this stands in.
    pub(super) sentence: Range<usize>,
    /// Its numbers.
    pub(super) markers: Vec<Marker>,
}

/// A text, taken apart.
struct Layout<'a> {
    text: &'a str,
    markers: Vec<Marker>,
    quotes: Vec<Quote>,
    sentences: Vec<Range<usize>>,
    /// Within which a quote and its number stand.
    units: Vec<Range<usize>>,
}

/// Every quote and every cited statement, in order; where the text `is_cut`, a quote that has no end, too. The links of the
/// sources' own, which `is_own` knows by the text up to their words, lead to none of ours, nor do those in quotes.
pub(super) fn mentions(text: &str, is_cut: bool, is_own: impl Fn(&str) -> bool) -> Vec<Mention> {
    let blocks = sentence::blocks(text);
    let code = code(text, &blocks);
    let quotes = quotes(text, &code, is_cut);
    let quoted: Vec<Range<usize>> = quotes.iter().map(|quote| quote.inner.clone()).collect();
    let markers = markers(text, &code, |at| is_inside(&quoted, at) || is_own(&text[..at]));
    let sentences = apart(text, sentences(text, &blocks, &markers), &quotes);
    let units = units(text, &sentences, &markers);
    let layout = Layout { text, markers, quotes, sentences, units };
    let mut taken = vec![false; layout.markers.len()];
    let mut mentions = layout.quoted(&mut taken);
    mentions.extend(layout.stated(&taken));
    mentions.sort_by_key(|mention| mention.span.start);
    mentions
}

impl Layout<'_> {
    /// The quotes, each with its numbers; which these are is noted.
    fn quoted(&self, taken: &mut [bool]) -> Vec<Mention> {
        let mut next = 0;
        let mut mentions = Vec::with_capacity(self.quotes.len());
        for (number, Quote { span, inner }) in self.quotes.iter().enumerate() {
            let until = self.quotes.get(number + 1).map_or(self.text.len(), |next| next.span.start);
            while next < self.markers.len() && self.markers[next].span.end <= span.start {
                next += 1;
            }
            let (at_end, quote) = self.at_end(next, inner);
            let behind = self.behind(at_end.end, !at_end.is_empty(), span, until);
            let end = self.markers[..behind].last().map_or(span.end, |marker| marker.span.end.max(span.end));
            let own = match at_end.start..behind {
                none if none.is_empty() && self.is_introduced(next, span) => next - 1..next,
                own => own,
            };
            taken[own.clone()].fill(true);
            // Others inside are its own words.
            let inside = next + self.markers[next..].partition_point(|marker| marker.span.end <= inner.end);
            taken[next..inside].fill(true);
            let span = span.start..end;
            let sentence = around(&self.sentences, &span);
            let markers = self.markers[own].to_vec();
            mentions.push(Mention { span, claim: quote.clone(), quote: Some(quote), inner: inner.clone(), sentence, markers });
        }
        mentions
    }

    /// The numbers at the end of a quote, inside its marks, and the quote without them; others inside are its own words.
    fn at_end(&self, next: usize, inner: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let last = next + self.markers[next..].partition_point(|marker| marker.span.end <= inner.end);
        let (mut first, mut end) = (last, inner.end);
        while let Some(marker) = self.markers[next..first].last().filter(|marker| marker.span.start >= inner.start) {
            let is_round = self.text[marker.span.start..].starts_with(['(', '（']);
            if is_round || self.text[marker.span.end..end].contains(char::is_alphanumeric) {
                break;
            }
            (first, end) = (first - 1, marker.span.start);
        }
        (first..last, inner.start..end)
    }

    /// Up to which number those behind a quote belong to it.
    fn behind(&self, first: usize, mut has_own: bool, span: &Range<usize>, until: usize) -> usize {
        let until = self.unit(span.end - 1).map_or(span.end, |unit| unit.end.min(until));
        let (mut next, mut at) = (first, span.end);
        while let Some(Marker { span, .. }) = self.markers.get(next).filter(|marker| marker.span.start < until) {
            let gap = &self.text[at.min(span.start)..span.start];
            let near = if has_own { 2 } else { NEAR };
            if gap.len() > near || CLAUSES.iter().any(|clause| gap.contains(clause)) {
                break;
            }
            (next, at, has_own) = (next + 1, span.end, true);
        }
        next
    }

    /// Whether the number before a quote is said to have it: `[1] says: ...`, `According to [1], ...`.
    fn is_introduced(&self, next: usize, span: &Range<usize>) -> bool {
        let Some(marker) = self.markers[..next].last() else { return false };
        let Some(unit) = self.unit(span.start).filter(|unit| unit.start <= marker.span.start) else { return false };
        let gap = &self.text[marker.span.end.min(span.start)..span.start];
        if gap.len() > NEAR || gap.contains(';') {
            return false;
        }
        let words = |text: &str| -> Vec<String> {
            text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
        };
        let between = words(gap);
        let lead = &self.text[unit.start..marker.span.start];
        let is_lead = lead.len() <= NEAR && words(lead).first().is_none_or(|first| LEADS.contains(&first.as_str()));
        between.iter().all(|word| SAYING.contains(&word.as_str()))
            && (!between.is_empty() || gap.contains([':', '：']) || is_lead)
    }

    fn unit(&self, at: usize) -> Option<&Range<usize>> {
        self.units.get(self.units.partition_point(|unit| unit.end <= at)).filter(|unit| unit.start <= at)
    }

    /// What stands before the numbers that belong to no quote.
    fn stated(&self, taken: &[bool]) -> Vec<Mention> {
        let (text, markers) = (self.text, &self.markers);
        let mut mentions = Vec::new();
        let (mut from, mut at) = (0, 0);
        while at < markers.len() {
            let first = at;
            // Neighbouring numbers belong to one statement.
            while at + 1 < markers.len() && text[markers[at].span.end..markers[at + 1].span.start].trim().is_empty() {
                at += 1;
            }
            let span = markers[first].span.start..markers[at].span.end;
            let own: Vec<Marker> = (first..=at).filter(|number| !taken[*number]).map(|number| markers[number].clone()).collect();
            if !own.is_empty() {
                let sentence = around(&self.sentences, &span);
                let claim = claim(text, from.max(sentence.start)..span.start);
                mentions.push(Mention { span: span.clone(), quote: None, inner: claim.clone(), claim, sentence, markers: own });
            }
            from = span.end;
            at += 1;
        }
        mentions
    }
}

/// Ranges in which numbers are matched to quotes: sentences and table cells. One of numbers only joins the one before; at the
/// start of a row, the one after.
fn units(text: &str, sentences: &[Range<usize>], markers: &[Marker]) -> Vec<Range<usize>> {
    let mut units: Vec<Range<usize>> = Vec::with_capacity(sentences.len());
    let mut markers = markers.iter().peekable();
    for sentence in sentences {
        let is_row = text[sentence.clone()].starts_with('|');
        let (mut start, mut end) = (sentence.start, sentence.start);
        for piece in text[sentence.clone()].split_inclusive(|letter: char| is_row && letter == '|') {
            let (mut at, mut is_bare) = (end, true);
            end += piece.len();
            while let Some(marker) = markers.next_if(|marker| marker.span.start < end) {
                is_bare &= !text[at.min(marker.span.start)..marker.span.start].contains(char::is_alphanumeric);
                at = marker.span.end.clamp(at, end);
            }
            is_bare &= !text[at..end].contains(char::is_alphanumeric);
            match units.last_mut() {
                Some(before) if is_bare && (!is_row || before.start >= sentence.start) => before.end = end,
                _ if is_bare && is_row && end < sentence.end => continue,
                _ => units.push(start..end),
            }
            start = end;
        }
    }
    units
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

/// The sentences of a text, each with the numbers behind its full stop. A heading or a row of a table is one, and so is a line
/// that begins with a number, as in a list of sources.
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
                let next = piece.end - text[span.end..piece.end].trim_start_matches(STOPS).len();
                let is_entry = text[..span.start].trim_end_matches([' ', '\t']).ends_with('\n')
                    && begins_entry(text[span.end..piece.end].lines().next().unwrap_or_default());
                // "[2] says ...": behind a full stop of its own sentence a number has a capital or nothing.
                let is_subject = text[next..piece.end].starts_with(char::is_lowercase);
                // Behind a quote it is the quote's.
                let is_bare = !text[..span.start].trim_end().ends_with(is_mark);
                match sentences.last_mut() {
                    Some(before) if span.start == start && start > block.range.start && !is_entry && !is_subject => {
                        (before.end, start) = (text[..next].trim_end().len(), next);
                    }
                    _ if span.start > start && (is_entry || is_subject && is_bare && is_ended(&text[start..span.start])) => {
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

/// Whether a line that begins with a number, and goes on so, is one of a list.
fn begins_entry(line: &str) -> bool {
    !line.starts_with(|letter: char| letter != ' ' && STOPS.contains(&letter)) && line.contains(char::is_alphabetic)
}

/// The same with quotes that follow a full stop apart: Unicode's rule takes a small letter behind it for an abbreviation's.
fn apart(text: &str, sentences: Vec<Range<usize>>, quotes: &[Quote]) -> Vec<Range<usize>> {
    let mut starts = quotes.iter().map(|quote| quote.span.start).peekable();
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

/// A quote of a structured answer without marks around it, and the numbers behind it.
pub(super) fn unquoted(text: &str) -> (Range<usize>, Vec<usize>) {
    let (mut end, mut numbers) = (text.len(), Vec::new());
    for marker in markers(text, &[], |_| true).into_iter().rev() {
        if !text[marker.span.end..end].trim().is_empty() {
            break;
        }
        end = marker.span.start;
        numbers.splice(0..0, marker.sources);
    }
    let inner = text[..end].trim().trim_matches(is_mark);
    let start = text.find(inner).unwrap_or(0);
    (start..start + inner.len(), numbers)
}

#[cfg(test)]
mod tests;
