//! The statements of passages, each scored by how well it answers a question.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::MAX_QUOTE_BYTES;
use super::sentence::{Sentence, sentences};
use crate::passage::Passage;
use crate::sentence::is_fence;
use crate::words::{REVISION, Words, is_number, spellings};

/// A statement that may be quoted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// Which passage, counted from 0.
    pub passage: usize,
    /// Which bytes of it.
    pub range: Range<usize>,
    /// How well it answers; the best possible is about 2.
    pub score: f32,
    /// The share of the question's words that it has, its headings and its question counted for less; none where all are function
    /// words.
    pub covered: Option<f32>,
    /// Its cosine with the question, where there is a model.
    pub cosine: Option<f32>,
    /// The names of the columns, where it is a row of a table.
    pub(super) columns: Option<Range<usize>>,
    /// The question before it that it answers.
    answers: Option<Range<usize>>,
    /// Whether that question has all words of the one that is asked: nothing else answers it better.
    pub(super) is_asked: bool,
    /// The share of the question's words that it, its question and the code that it announces have, all counted the same, a name
    /// in code as one; none where no such name stands in it or in that code.
    pub(super) named: Option<f32>,
    pub(super) terms: BTreeSet<String>,
    pub(super) lead: usize,
    pub(super) tail: usize,
}

impl Candidate {
    /// What is compared with the question: the statement itself, behind the question that it answers.
    pub(crate) fn text<'a>(&self, passages: &'a [Passage]) -> Cow<'a, str> {
        let content = &passages[self.passage].content;
        let own = &content[self.range.clone()];
        match &self.answers {
            Some(question) => Cow::Owned(format!("{} {own}", &content[question.clone()])),
            None => Cow::Borrowed(own),
        }
    }

    /// What of the score is its own words' and meaning's, not its passage's or place's.
    pub(super) fn evidence(&self) -> f32 {
        self.covered.unwrap_or_default() + self.cosine.unwrap_or_default().max(0.0)
    }
}

/// All statements of the passages, best first, scored by their words and places.
pub(crate) fn candidates(question: &str, passages: &[Passage]) -> Vec<Candidate> {
    let known = Words::new(true, true, REVISION);
    let asked = terms(question, &known);
    let sentences: Vec<((usize, usize), Sentence, BTreeSet<String>)> = passages
        .iter()
        .enumerate()
        .flat_map(|(number, passage)| {
            let statements = sentences(&passage.content, passage.start > 0).into_iter().enumerate();
            statements.map(move |(position, sentence)| ((number, position), sentence))
        })
        .map(|(place, sentence)| {
            let words = terms(&passages[place.0].content[sentence.range.clone()], &known);
            (place, sentence, words)
        })
        // A heading or a label that says what was asked says nothing.
        .filter(|(_, sentence, words)| !(sentence.is_open && words.is_subset(&asked)))
        .collect();
    let headings: Vec<BTreeSet<String>> =
        passages.iter().map(|passage| terms(&format!("{} {}", passage.title, passage.headings), &known)).collect();
    // How much a word of the question weighs: BM25's idf over these sentences.
    let total = sentences.len() as f32;
    let weights: BTreeMap<&str, f32> = asked
        .iter()
        .map(|term| {
            let holding = sentences.iter().filter(|(_, _, words)| words.contains(term)).count() as f32;
            (term.as_str(), (1.0 + (total - holding + 0.5) / (holding + 0.5)).ln())
        })
        .collect();
    let all: f32 = weights.values().sum();
    let names: Vec<String> = question.split_whitespace().filter_map(name).map(str::to_ascii_lowercase).collect();
    // The parts of a name are no words of their own.
    let others = &asked - &terms(&names.join(" "), &known);
    let mut candidates: Vec<Candidate> = sentences
        .into_iter()
        .map(|((number, position), sentence, words)| {
            let passage = &passages[number];
            let above = sentence.answers.as_ref().map(|asked| terms(&passage.content[asked.clone()], &known)).unwrap_or_default();
            let code = announced_code(&passage.content, &sentence);
            let below = terms(code, &known);
            let columns = sentence.columns.as_ref().map(|head| terms(&passage.content[head.clone()], &known)).unwrap_or_default();
            // All rows have the same columns, which say as much of one as it has of what else is asked.
            let (mut own, mut beside) = (0.0, f32::MIN_POSITIVE);
            for (term, weight) in weights.iter().filter(|(term, _)| !columns.contains(**term)) {
                beside += weight;
                own += if words.contains(*term) { *weight } else { 0.0 };
            }
            let share = |term: &str| match term {
                term if words.contains(term) => 1.0,
                term if above.contains(term) || below.contains(term) => 0.8,
                term if columns.contains(term) => 0.8 * own / beside,
                term if headings[number].contains(term) => 0.35,
                _ => 0.0,
            };
            let covered: f32 = weights.iter().map(|(term, weight)| weight * share(term)).sum();
            let covered = (all > 0.0).then(|| covered / all);
            let held = if names.is_empty() {
                0
            } else {
                let texts = [&passage.content[sentence.range.clone()], code].map(str::to_ascii_lowercase);
                names.iter().filter(|name| texts.iter().any(|text| holds(text, name))).count()
            };
            let has = |term: &&String| [&words, &above, &below, &columns].iter().any(|terms| terms.contains(*term));
            let named = (held + others.iter().filter(has).count()) as f32 / (names.len() + others.len()) as f32;
            let early = 1.0 / (1.0 + position as f32);
            Candidate {
                passage: number,
                range: sentence.range,
                score: covered.unwrap_or_default() + 0.4 * passage.relevance + 0.1 * early - sentence.penalty,
                covered,
                cosine: None,
                named: (held > 0).then_some(named),
                is_asked: !asked.is_empty() && asked.is_subset(&above),
                columns: sentence.columns,
                answers: sentence.answers,
                terms: words,
                lead: sentence.lead,
                tail: sentence.tail,
            }
        })
        .collect();
    sort(&mut candidates);
    candidates
}

/// Adds each statement's cosine with the question to its score. `cosines` belongs to the first candidates; the others are
/// dropped, because scores with and without it cannot be compared.
pub(crate) fn rescore(candidates: &mut Vec<Candidate>, cosines: &[f32]) {
    candidates.truncate(cosines.len());
    for (candidate, &cosine) in candidates.iter_mut().zip(cosines) {
        candidate.score += cosine.max(0.0);
        candidate.cosine = Some(cosine);
    }
    sort(candidates);
}

fn sort(candidates: &mut [Candidate]) {
    candidates
        .sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)).then(a.range.start.cmp(&b.range.start)));
}

/// The code that a statement announces, as far as it is quoted with it.
fn announced_code<'a>(content: &'a str, sentence: &Sentence) -> &'a str {
    let behind = content[sentence.range.end..sentence.tail].trim_start();
    let is_code = is_fence(behind.lines().next().unwrap_or_default());
    if is_code && sentence.tail - sentence.lead <= MAX_QUOTE_BYTES { behind } else { "" }
}

/// The name in code that a word of a question is: `E0382`, `max_tokens`, `getUserName`, `--help`, `1.2.3`.
/// Names of other things are written like `YouTube`, `iPhone`, `Q4` or `COVID-19`.
fn name(word: &str) -> Option<&str> {
    let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '-');
    let is_flag = || word.starts_with('-') && word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphabetic());
    let is_hump = |part: &[u8]| part[..2].iter().chain(&part[3..]).all(u8::is_ascii_lowercase) && part[2].is_ascii_uppercase();
    let has_hump = || word.starts_with(|c: char| c.is_ascii_lowercase()) && word.as_bytes().windows(4).any(is_hump);
    let is_digits = |part: &[u8]| part[0].is_ascii_alphabetic() && part[1..].iter().all(u8::is_ascii_digit);
    let is_code = || word.as_bytes().windows(4).any(is_digits);
    let is_version = || word.matches('.').count() > 1 && is_number(word);
    let is_name = word.contains('_') || is_flag() || has_hump() || is_code() || is_version();
    is_name.then_some(word)
}

/// Whether a text has a name, both in lower case, and not as a part of a longer word.
fn holds(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric)
    })
}

/// The content words of a text, as the index has them; names in code whole and in parts.
fn terms(text: &str, words: &Words) -> BTreeSet<String> {
    let is_name = |part: &&str| part.len() > 1 && part.starts_with(char::is_alphabetic);
    let parts = |word| str::split(word, ['.', '_']).filter(is_name).map(Cow::Borrowed);
    // The other spellings stand for the word: it is the same one, however it is written.
    let spelled = |word| {
        let mut others = spellings(word).peekable();
        let own = others.peek().is_none().then_some(Cow::Borrowed(word));
        own.into_iter().chain(others)
    };
    let all = text.unicode_words().flat_map(|word| spelled(word).chain(parts(word)));
    let terms = all.filter_map(|word| words.normalise(&word).map(Cow::into_owned));
    terms.filter(|term| !ASKING.contains(&&**term)).collect()
}

/// Words of a request for an answer, which say nothing of what is asked.
const ASKING: [&str; 8] = ["describ", "explain", "get", "pleas", "show", "tell", "use", "want"];
