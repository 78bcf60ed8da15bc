//! Pure: what an answer quotes and cites, compared with the stored text.
//!
//! Two things are checked. A *quote* (text in quotation marks, or a `quote` of a structured answer) must stand in the source: the
//! words in their order, whatever became of blanks, quotation marks, hyphens, markup and letter case on the way. A *statement* in
//! front of a source number must share its words with that source. Spans are bytes of the original text. Each citation takes time
//! linear in itself and the sources, and their number has an end.

mod cut;
mod denial;
mod fold;
mod joined;
mod marker;
mod marks;
mod markup;
mod source;
mod text;
mod value;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::cut::{repair_prompt, states, value_without_false, without_false};
use crate::passage::Passage;
use fold::Folded;
use joined::{Joined, joined};
use marker::Marker;
use markup::link_text;
use source::Source;
use text::Mention;

/// A quote whose words are found this well is taken for the source's.
const VERBATIM: f32 = 0.9;
/// A quote that changes a word that matters is at most this alike, however long it is.
const CHANGED: f32 = 0.89;
/// Below this a found place says nothing.
const RELATED: f32 = 0.5;
/// Numbers of one marker from which it may be an interval.
const MANY: usize = 21;
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
    /// The sentence to cut if this does not hold; none if another source supports the same words (then only the number is cut).
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

    /// What of it is not there, for people.
    pub fn doubt(&self) -> Option<String> {
        let (quote, cited) = (self.quote.as_deref().unwrap_or_default(), self.cited.unwrap_or_default());
        match (self.status, &self.found) {
            (Status::WrongSource, Some(found)) => {
                Some(format!("the quote \"{quote}\" stands in [{}], not in [{cited}]", found.passage + 1))
            }
            (Status::WrongSource | Status::NotFound, _) => Some(format!("the quote \"{quote}\" stands in no source")),
            (Status::NoSuchSource, _) => Some(format!("there is no source [{cited}]")),
            (Status::Unchecked, _) => Some(format!("only the first {MAX_CITATIONS} citations were checked")),
            (Status::Verified | Status::Unsupported, _) => None,
        }
    }

    /// Whether it stands in a text, and not for a whole value of a structured answer.
    fn is_in_text(&self) -> bool {
        self.sentence.is_some() || (self.quote.is_none() && !self.span.is_empty())
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
    /// Words of the links in the sources that lead to a name, found when they are first needed.
    links: OnceCell<HashSet<String>>,
    /// What may be quoted without a source.
    quotable: &'a str,
    /// The same, prepared when it is first needed.
    conversation: OnceCell<Source>,
}

impl<'a> Sources<'a> {
    /// Prepares them. What is `quotable` needs no source.
    pub(crate) fn new(passages: &'a [Passage], quotable: &'a str) -> Self {
        let sources = passages.iter().map(|passage| Source::new(&passage.content)).collect();
        Self { passages, sources, joined: OnceCell::new(), links: OnceCell::new(), quotable, conversation: OnceCell::new() }
    }

    /// Checks an answer, which is `data` where it has a structure, and else `text`; `is_cut` says that it may end inside a quote.
    pub(crate) fn check_answer(&self, text: &str, is_cut: bool, data: Option<&Value>) -> Vec<Citation> {
        data.map_or_else(|| self.check_text(text, is_cut), |data| self.check_value(data))
    }

    /// Checks the quotes and source numbers of a whole text.
    pub(crate) fn check(&self, answer: &str) -> Vec<Citation> {
        self.check_text(answer, false)
    }

    fn check_text(&self, answer: &str, is_cut: bool) -> Vec<Citation> {
        let mut citations = Vec::new();
        for mention in text::mentions(answer, is_cut, |before| self.has_link(before)) {
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
        let Mention { span, quote, claim, sentence, mut markers, inner } = mention;
        // Round brackets are a source's own more often than a number of ours.
        let is_round = |marker: &Marker| answer[marker.span.clone()].starts_with(['(', '（']);
        markers.retain(|marker| !is_round(marker) || marker.sources.iter().any(|number| self.is_known(*number)));
        // So is an interval of many.
        markers.retain(|marker| marker.sources.len() <= MANY || marker.sources.iter().all(|number| self.is_known(*number)));
        if let Some(quote) = &quote
            && quote.end < inner.end
            && self.has_numbers(&answer[inner.clone()])
        {
            markers.retain(|marker| marker.span.start >= inner.end);
        }
        let numbers: Vec<usize> = markers.iter().flat_map(|marker| marker.sources.iter().copied()).collect();
        let is_alone = !numbers.iter().any(|number| self.is_known(*number));
        // A list of sources states nothing.
        let claim = (quote.is_none() && !claim.is_empty()).then(|| Folded::new(&answer[claim]));
        let quote = quote.and_then(|quote| {
            let is_denied = denial::ends_with_denial(&answer[sentence.start..span.start]);
            self.quote(&answer[quote], &numbers, is_denied)
        });
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

    /// Whether a quote stands in a source with the numbers in brackets that it ends with: then they are the source's own.
    fn has_numbers(&self, quote: &str) -> bool {
        let best = self.best(&Folded::new(quote), true, |_| true);
        best.is_some_and(|(score, Found { passage, range })| {
            score >= VERBATIM && self.passages[passage].content[range.end..].starts_with(']')
        })
    }

    /// Whether the link that a text ends with is a source's.
    fn has_link(&self, before: &str) -> bool {
        let words = |link: &str| link.split_whitespace().collect::<Vec<_>>().join(" ");
        let links = self.links.get_or_init(|| {
            let texts = self.passages.iter().map(|passage| &passage.content);
            texts.flat_map(|text| text.match_indices("][").filter_map(|(at, _)| link_text(&text[..=at])).map(words)).collect()
        });
        link_text(before).is_some_and(|link| links.contains(&words(link)))
    }

    /// Looks a quote up: in the sources that are named, then in the others. None where it says nothing, or was said before.
    fn quote(&self, quote: &str, numbers: &[usize], is_denied: bool) -> Option<Citation> {
        let wanted = Folded::new(quote);
        if wanted.len() == 0 {
            return None;
        }
        let is_named = |at: &usize| numbers.contains(&(at + 1));
        let is_verbatim = |best: &Option<(f32, Found)>| best.as_ref().is_some_and(|(score, _)| *score >= VERBATIM);
        let mut best = self.best(&wanted, is_denied, is_named);
        let mut status = Status::Verified;
        if !is_verbatim(&best) && numbers.len() > 1 {
            best = self.best_joined(&wanted, is_denied, is_named).or(best);
        }
        if !is_verbatim(&best) {
            let mut elsewhere = self.best(&wanted, is_denied, |at| !is_named(at));
            if !is_verbatim(&elsewhere) && numbers.is_empty() {
                elsewhere = self.best_joined(&wanted, is_denied, |_| true).or(elsewhere);
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
            let conversation = self.conversation.get_or_init(|| Source::new(self.quotable));
            if conversation.find(&wanted, is_denied).is_some_and(|(score, _)| score >= VERBATIM) {
                return None;
            }
        }
        let (score, found) = best.map_or((0.0, None), |(score, found)| (score, (score >= RELATED).then_some(found)));
        let place = found.as_ref().map(|found| found.passage + 1).filter(|place| numbers.contains(place));
        let cited = place.or(numbers.first().copied());
        Some(Citation { cited, quote: Some(quote.to_owned()), score, found, ..nowhere(status, None, 0..0, None) })
    }

    /// Where of the sources that count a quote stands best; of equals the first.
    fn best(&self, wanted: &Folded, is_denied: bool, counts: impl Fn(&usize) -> bool) -> Option<(f32, Found)> {
        let mut best: Option<(f32, Found)> = None;
        for at in (0..self.sources.len()).filter(counts) {
            let Some((score, range)) = self.sources[at].find(wanted, is_denied) else { continue };
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
    fn best_joined(&self, wanted: &Folded, is_denied: bool, counts: impl Fn(&usize) -> bool) -> Option<(f32, Found)> {
        self.joined.get_or_init(|| joined(self.passages)).iter().find_map(|joined| joined.find(wanted, is_denied, &counts))
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
