//! Pure: what an answer quotes and cites, compared with the stored text.
//!
//! Two things are checked. A *quote* (text in quotation marks, or a `quote` of a structured answer) must stand in the source: the
//! words in their order, whatever became of blanks, quotation marks, hyphens, markup and letter case on the way. A *statement* in
//! front of a source number must share its words with that source. Spans are bytes of the original text. Each citation takes time
//! linear in itself and the sources, and their number has an end.

mod cut;
mod fold;
mod joined;
mod marker;
mod marks;
mod markup;
mod source;
mod text;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::cut::{repair_prompt, value_without_false, without_false};
use crate::passage::Passage;
use fold::Folded;
use joined::{Joined, joined};
use marker::Marker;
use source::Source;
use text::Mention;

/// A quote whose words are found this well is taken for the source's.
const VERBATIM: f32 = 0.9;
/// A quote that changes a word that matters is at most this alike, however long it is.
const CHANGED: f32 = 0.89;
/// Below this a found place says nothing.
const RELATED: f32 = 0.5;
/// Citations of one answer that are checked one by one; what follows is one that does not hold.
const MAX_CITATIONS: usize = 1_000;

/// What becomes of an answer whose citations do not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It stays, and the citations say so.
    #[default]
    Annotate,
    /// What is not found is cut out.
    Drop,
    /// The model corrects it once; what is still not found is cut out.
    Repair,
    /// It is withheld.
    Abstain,
}

/// One quote or cited statement, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// Where in a structured answer; none in a text.
    pub pointer: Option<String>,
    /// Which bytes of the answer's text; of the string at `pointer` in a structured answer.
    pub span: Range<usize>,
    /// Which bytes of that text go with it where it does not hold: its sentence. None where the same words have another source: then only the
    /// number goes.
    pub sentence: Option<Range<usize>>,
    /// The source number that the answer names, counted from 1: of several the one where a quote stands, else the first.
    pub cited: Option<usize>,
    /// The quoted text as the answer has it; none for a statement.
    pub quote: Option<String>,
    /// What was found out.
    pub status: Status,
    /// How well it matches, 0 to 1.
    pub score: f32,
    /// Where it stands.
    pub found: Option<Found>,
}

/// What was found out about a citation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The quote stands in the cited source, or the statement shares its words with it.
    Verified,
    /// The quote stands in another source than the cited one.
    WrongSource,
    /// The quote stands in no source.
    NotFound,
    /// There is no source of that number.
    NoSuchSource,
    /// The statement has too little in common with its source.
    Unsupported,
    /// The answer from here on: it cites more often than is checked.
    Unchecked,
}

/// A place in a source; of a quote that goes over into the next passage, as far as the first one goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which passage, counted from 0.
    pub passage: usize,
    /// Which bytes of its text.
    pub range: Range<usize>,
}

impl Citation {
    /// Whether it holds.
    pub fn is_verified(&self) -> bool {
        self.status == Status::Verified
    }

    /// Whether it claims something that is not there: statements that merely use other words do not count.
    pub fn is_false(&self) -> bool {
        matches!(self.status, Status::WrongSource | Status::NotFound | Status::NoSuchSource | Status::Unchecked)
    }

    /// The same in a structured answer.
    fn at(self, pointer: &str) -> Self {
        Self { pointer: Some(pointer.to_owned()), ..self }
    }
}

/// The sources, prepared once for all citations of an answer.
pub(crate) struct Sources<'a> {
    passages: &'a [Passage],
    sources: Vec<Source>,
    /// Put together when it is first needed.
    joined: OnceCell<Vec<Joined>>,
    said: &'a str,
    /// The same, prepared when it is first needed.
    conversation: OnceCell<Source>,
}

impl<'a> Sources<'a> {
    /// Prepares them. What was `said` may be quoted without a source.
    pub(crate) fn new(passages: &'a [Passage], said: &'a str) -> Self {
        let sources = passages.iter().map(|passage| Source::new(&passage.content)).collect();
        Self { passages, sources, joined: OnceCell::new(), said, conversation: OnceCell::new() }
    }

    /// Checks an answer, which is `data` where it has a structure, and else `text`.
    pub(crate) fn check_answer(&self, text: &str, data: Option<&Value>) -> Vec<Citation> {
        data.map_or_else(|| self.check(text), |data| self.check_value(data))
    }

    /// Checks the quotes and source numbers of a text.
    pub(crate) fn check(&self, answer: &str) -> Vec<Citation> {
        let mut citations = Vec::new();
        for mention in text::mentions(answer) {
            self.mention(answer, mention, &mut citations);
            if let Some(surplus) = citations.get(MAX_CITATIONS) {
                let start = surplus.sentence.as_ref().map_or(surplus.span.start, |sentence| sentence.start);
                citations.truncate(MAX_CITATIONS);
                citations.push(nowhere(Status::Unchecked, None, start..answer.len(), Some(start..answer.len())));
                break;
            }
        }
        citations
    }

    fn mention(&self, answer: &str, mention: Mention, out: &mut Vec<Citation>) {
        let Mention { span, quote, claim, sentence, mut markers } = mention;
        // Round brackets are a source's own more often than a number of ours.
        let is_round = |marker: &Marker| answer[marker.span.clone()].starts_with(['(', '（']);
        markers.retain(|marker| !is_round(marker) || marker.sources.iter().any(|number| self.is_known(*number)));
        let numbers: Vec<usize> = markers.iter().flat_map(|marker| marker.sources.iter().copied()).collect();
        let is_alone = !numbers.iter().any(|number| self.is_known(*number));
        // A list of sources states nothing.
        let claim = (quote.is_none() && !claim.is_empty()).then(|| Folded::new(&answer[claim]));
        let quote = quote.and_then(|quote| self.quote(&answer[quote], &numbers));
        let mut supports = BTreeMap::new();
        // That a quote's only source does not exist is said by the quote.
        let mut is_told = quote.is_some() && is_alone;
        out.extend(quote.map(|citation| Citation { span, sentence: Some(sentence.clone()), ..citation }));
        for marker in markers {
            for number in marker.sources {
                if out.len() > MAX_CITATIONS {
                    return;
                }
                if self.is_known(number) {
                    let Some(claim) = &claim else { continue };
                    let support = supports.entry(number).or_insert_with(|| self.sources[number - 1].support(claim));
                    out.push(statement(support, marker.span.clone(), number));
                } else if !std::mem::take(&mut is_told) {
                    let sentence = is_alone.then(|| sentence.clone());
                    out.push(nowhere(Status::NoSuchSource, Some(number), marker.span.clone(), sentence));
                }
            }
        }
    }

    /// Checks a structured answer: its quotes and the texts in it.
    pub(crate) fn check_value(&self, value: &Value) -> Vec<Citation> {
        let mut citations = Vec::new();
        self.walk(value, "", None, &mut citations);
        if citations.len() > MAX_CITATIONS {
            citations.truncate(MAX_CITATIONS);
            citations.push(nowhere(Status::Unchecked, None, 0..0, None).at(""));
        }
        citations
    }

    /// Checks what stands at a place; a quote's sources are `cited`.
    fn walk(&self, value: &Value, at: &str, cited: Option<&[usize]>, out: &mut Vec<Citation>) {
        if out.len() > MAX_CITATIONS {
            return;
        }
        match (value, cited) {
            (Value::String(text), Some(cited)) => {
                let (quote, own) = text::unquoted(text);
                let cited = if own.is_empty() { cited } else { &own };
                let citation = self.quote(&text[quote], cited);
                out.extend(citation.map(|citation| Citation { span: 0..text.len(), ..citation }.at(at)));
            }
            (Value::String(text), None) => out.extend(self.check(text).into_iter().map(|citation| citation.at(at))),
            (Value::Array(list), cited) => {
                for (number, item) in list.iter().enumerate() {
                    self.walk(item, &format!("{at}/{number}"), cited, out);
                }
            }
            (Value::Object(map), _) => {
                let named = map.iter().filter(|(key, _)| marker::is_source_key(key));
                let named = named.map(|(key, value)| (key, marker::sources(value))).find(|(_, cited)| !cited.is_empty());
                let (source, cited) = named.unzip();
                let cited = cited.unwrap_or_default();
                let is_part_known =
                    cited.iter().any(|number| self.is_known(*number)) && map.keys().any(|key| text::is_quote_key(key));
                for (key, item) in map {
                    let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    if is_part_known && source == Some(key) {
                        self.unknown(item, &place, out);
                    } else if text::is_quote_key(key) {
                        self.walk(item, &place, Some(&cited), out);
                    } else if !marker::is_source_key(key) || !item.is_string() {
                        self.walk(item, &place, None, out);
                    }
                }
            }
            _ => {}
        }
    }

    /// Tells the source numbers that do not exist, each where it stands.
    fn unknown(&self, value: &Value, at: &str, out: &mut Vec<Citation>) {
        if let Value::Array(list) = value {
            list.iter().enumerate().for_each(|(number, item)| self.unknown(item, &format!("{at}/{number}"), out));
            return;
        }
        for number in marker::sources(value).into_iter().filter(|number| !self.is_known(*number)) {
            if out.len() <= MAX_CITATIONS {
                out.push(nowhere(Status::NoSuchSource, Some(number), 0..0, None).at(at));
            }
        }
    }

    /// Looks a quote up: in the sources that are named, then in the others. None where it says nothing, or was said before.
    fn quote(&self, quote: &str, numbers: &[usize]) -> Option<Citation> {
        let wanted = Folded::new(quote);
        if wanted.len() == 0 {
            return None;
        }
        let is_named = |at: &usize| numbers.contains(&(at + 1));
        let is_verbatim = |best: &Option<(f32, Found)>| best.as_ref().is_some_and(|(score, _)| *score >= VERBATIM);
        let mut best = self.best(&wanted, is_named);
        let mut status = Status::Verified;
        if !is_verbatim(&best) && numbers.len() > 1 {
            best = self.best_joined(&wanted, is_named).or(best);
        }
        if !is_verbatim(&best) {
            let mut elsewhere = self.best(&wanted, |at| !is_named(at));
            if !is_verbatim(&elsewhere) && numbers.is_empty() {
                elsewhere = self.best_joined(&wanted, |_| true).or(elsewhere);
            }
            if is_verbatim(&elsewhere) {
                status = if numbers.is_empty() { Status::Verified } else { Status::WrongSource };
                best = elsewhere;
            } else {
                let is_known = numbers.is_empty() || numbers.iter().any(|number| self.is_known(*number));
                status = if is_known { Status::NotFound } else { Status::NoSuchSource };
                best = best.or(elsewhere);
            }
        }
        if status == Status::NotFound && numbers.is_empty() {
            let conversation = self.conversation.get_or_init(|| Source::new(self.said));
            if conversation.find(&wanted).is_some_and(|(score, _)| score >= VERBATIM) {
                return None;
            }
        }
        let (score, found) = best.map_or((0.0, None), |(score, found)| (score, (score >= RELATED).then_some(found)));
        let place = found.as_ref().map(|found| found.passage + 1).filter(|place| numbers.contains(place));
        let cited = place.or(numbers.first().copied());
        Some(Citation { cited, quote: Some(quote.to_owned()), score, found, ..nowhere(status, None, 0..0, None) })
    }

    /// Where of the sources that count a quote stands best; of equals the first.
    fn best(&self, wanted: &Folded, counts: impl Fn(&usize) -> bool) -> Option<(f32, Found)> {
        let mut best: Option<(f32, Found)> = None;
        for at in (0..self.sources.len()).filter(counts) {
            let Some((score, range)) = self.sources[at].find(wanted) else { continue };
            if best.as_ref().is_none_or(|(before, _)| score > *before) {
                best = Some((score, Found { passage: at, range }));
            }
            if score >= 1.0 {
                break;
            }
        }
        best
    }

    /// Where a quote stands that goes over from one source that counts into the next.
    fn best_joined(&self, wanted: &Folded, counts: impl Fn(&usize) -> bool) -> Option<(f32, Found)> {
        self.joined.get_or_init(|| joined(self.passages)).iter().find_map(|joined| joined.find(wanted, &counts))
    }

    fn is_known(&self, number: usize) -> bool {
        (1..=self.sources.len()).contains(&number)
    }
}

/// How much of a statement a source that it names holds.
fn statement((score, range): &(f32, Option<Range<usize>>), span: Range<usize>, cited: usize) -> Citation {
    let status = if *score >= RELATED { Status::Verified } else { Status::Unsupported };
    let found = range.clone().map(|range| Found { passage: cited - 1, range });
    Citation { score: *score, found, ..nowhere(status, Some(cited), span, None) }
}

/// What is found in no source.
fn nowhere(status: Status, cited: Option<usize>, span: Range<usize>, sentence: Option<Range<usize>>) -> Citation {
    Citation { pointer: None, span, sentence, cited, quote: None, status, score: 0.0, found: None }
}

#[cfg(test)]
mod tests;
