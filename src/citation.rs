//! Pure: what an answer quotes and cites, compared with the stored text.
//!
//! Two things are checked. A *quote* (text in quotation marks, or a `quote` of a structured answer) must stand in the source: the
//! words in their order, whatever became of blanks, quotation marks, hyphens, markup and letter case on the way. A *statement* in
//! front of a source number must share its words with that source. Spans are bytes of the original text. Everything is linear in the
//! lengths of answer and sources.

mod fold;
mod text;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::passage::Passage;
use fold::Folded;

/// A quote whose words are found this well is taken for the source's.
const VERBATIM: f32 = 0.9;
/// Below this a found place says nothing.
const RELATED: f32 = 0.5;
/// Citations of one answer that are checked; the rest is left out.
const MAX_CITATIONS: usize = 200;

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
    /// The source number that the answer names, counted from 1.
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
}

/// A place in a source.
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
        matches!(self.status, Status::WrongSource | Status::NotFound | Status::NoSuchSource)
    }
}

/// The sources, prepared once for all citations of an answer.
pub struct Sources<'a> {
    passages: &'a [Passage],
    folded: Vec<Folded>,
}

impl<'a> Sources<'a> {
    /// Prepares them.
    pub fn new(passages: &'a [Passage]) -> Self {
        Self { passages, folded: passages.iter().map(|passage| Folded::new(&passage.content)).collect() }
    }

    /// Checks the quotes and source numbers of a text.
    pub fn check(&self, answer: &str) -> Vec<Citation> {
        let mut citations = Vec::new();
        for mention in text::mentions(answer).into_iter().take(MAX_CITATIONS) {
            match mention.quote {
                Some(range) => {
                    let cited = mention.sources.first().copied();
                    citations.push(self.quote(&answer[range.clone()], mention.span, cited, None));
                }
                None => {
                    for &cited in &mention.sources {
                        // A list of sources states nothing.
                        if mention.claim.is_empty() && (1..=self.passages.len()).contains(&cited) {
                            continue;
                        }
                        citations.push(self.statement(&answer[mention.claim.clone()], mention.span.clone(), cited));
                    }
                }
            }
        }
        citations
    }

    /// Checks a structured answer: its quotes and the texts in it.
    pub fn check_value(&self, value: &Value) -> Vec<Citation> {
        let mut citations = Vec::new();
        self.walk(value, "", None, &mut citations);
        citations.truncate(MAX_CITATIONS);
        citations
    }

    fn walk(&self, value: &Value, at: &str, quoted: Option<Option<usize>>, out: &mut Vec<Citation>) {
        if out.len() >= MAX_CITATIONS {
            return;
        }
        match value {
            Value::String(text) => match quoted {
                Some(cited) => {
                    let (quote, inline) = text::unquoted(text);
                    let cited = inline.or(cited);
                    out.push(self.quote(&text[quote], 0..text.len(), cited, Some(at.to_owned())));
                }
                None => {
                    out.extend(
                        self.check(text).into_iter().map(|citation| Citation { pointer: Some(at.to_owned()), ..citation }),
                    );
                }
            },
            Value::Array(list) => {
                for (number, item) in list.iter().enumerate() {
                    self.walk(item, &format!("{at}/{number}"), quoted, out);
                }
            }
            Value::Object(map) => {
                let cited = map.iter().find(|(key, _)| text::is_source_key(key)).and_then(|(_, value)| text::number(value));
                for (key, item) in map {
                    let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    let quoted = if text::is_quote_key(key) { Some(cited) } else { None };
                    if !text::is_source_key(key) || !item.is_string() {
                        self.walk(item, &place, quoted, out);
                    }
                }
            }
            _ => {}
        }
    }

    /// Looks a quote up: in the cited source, then in the others.
    fn quote(&self, quote: &str, span: Range<usize>, cited: Option<usize>, pointer: Option<String>) -> Citation {
        let wanted = Folded::new(quote);
        let look = |at: usize| {
            let (score, range) = self.folded[at].find(&wanted)?;
            Some((score, Found { passage: at, range }))
        };
        let known = cited.and_then(|number| number.checked_sub(1)).filter(|at| *at < self.passages.len());
        let mut best = known.and_then(look);
        let mut status = Status::Verified;
        if best.as_ref().is_none_or(|(score, _)| *score < VERBATIM) {
            let others = (0..self.passages.len()).filter(|at| Some(*at) != known);
            let elsewhere = others.filter_map(look).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.passage.cmp(&a.1.passage)));
            let better = elsewhere.filter(|(score, _)| *score >= VERBATIM || best.is_none());
            if let Some((score, found)) = better {
                let verbatim = score >= VERBATIM;
                status = if verbatim && cited.is_some() { Status::WrongSource } else { status };
                best = Some((score, found));
            }
        }
        let (score, found) = best.map_or((0.0, None), |(score, found)| (score, (score >= RELATED).then_some(found)));
        if score < VERBATIM {
            status = if cited.is_some() && known.is_none() { Status::NoSuchSource } else { Status::NotFound };
        }
        Citation { pointer, span, cited, quote: Some(quote.to_owned()), status, score, found }
    }

    /// Compares a statement with the source that it names.
    fn statement(&self, claim: &str, span: Range<usize>, cited: usize) -> Citation {
        let citation = Citation {
            pointer: None,
            span,
            cited: Some(cited),
            quote: None,
            status: Status::NoSuchSource,
            score: 0.0,
            found: None,
        };
        let Some(at) = cited.checked_sub(1).filter(|at| *at < self.passages.len()) else { return citation };
        let (score, range) = self.folded[at].support(&Folded::new(claim));
        let status = if score >= RELATED { Status::Verified } else { Status::Unsupported };
        Citation { status, score, found: range.map(|range| Found { passage: at, range }), ..citation }
    }
}

/// The answer's text without what claims something that is not there: the sentence around a quote, the bare number otherwise.
pub fn without_false(answer: &str, citations: &[Citation]) -> String {
    let mut cuts: Vec<Range<usize>> = Vec::new();
    for citation in citations.iter().filter(|citation| citation.is_false() && citation.pointer.is_none()) {
        cuts.push(if citation.quote.is_some() { text::sentence_around(answer, &citation.span) } else { citation.span.clone() });
    }
    cuts.sort_by_key(|cut| cut.start);
    let (mut kept, mut at) = (String::with_capacity(answer.len()), 0);
    for cut in cuts {
        if cut.start > at {
            kept.push_str(&answer[at..cut.start]);
        }
        at = at.max(cut.end);
    }
    kept.push_str(&answer[at..]);
    if at == 0 { kept } else { kept.trim().to_owned() }
}

/// The structured answer without list entries whose quotes are not there. False where one stands outside a list.
pub fn value_without_false(value: &mut Value, citations: &[Citation]) -> bool {
    let mut entries: Vec<(String, usize)> = Vec::new();
    for pointer in citations.iter().filter(|citation| citation.is_false()).filter_map(|citation| citation.pointer.as_deref()) {
        let mut place = pointer;
        let entry = loop {
            let Some((parent, name)) = place.rsplit_once('/') else { break None };
            if let (Some(Value::Array(_)), Ok(number)) = (value.pointer(parent), name.parse()) {
                break Some((parent.to_owned(), number));
            }
            place = parent;
        };
        let Some(entry) = entry else { return false };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
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
    true
}

/// What a model is told whose quotes do not hold.
pub fn repair_prompt(citations: &[Citation]) -> String {
    let mut told = "Some of your citations do not hold:\n".to_owned();
    for citation in citations.iter().filter(|citation| citation.is_false()) {
        let number = citation.cited.map_or_else(|| "without a number".to_owned(), |number| format!("[{number}]"));
        let quote: String = citation.quote.as_deref().unwrap_or_default().chars().take(200).collect();
        told.push_str(&match citation.status {
            Status::NoSuchSource => format!("- {number}: there is no source of that number\n"),
            Status::WrongSource => {
                let actual = citation.found.as_ref().map_or(0, |found| found.passage + 1);
                format!("- {number} “{quote}”: this stands in source [{actual}]\n")
            }
            _ => format!("- {number} “{quote}”: this stands in no source\n"),
        });
    }
    told.push_str("Write the whole answer again. Quote word for word, or do not quote; leave out what no source says.");
    told
}

#[cfg(test)]
mod tests;
