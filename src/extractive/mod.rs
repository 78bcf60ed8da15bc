//! Pure: an answer made of the best sentences of the best passages, quoted exactly. No provider, no network, nothing invented.
//!
//! A sentence is scored by how much of the question it covers (stemmed words, rare ones weigh more), by how good its passage is, by
//! its headings and by its place; where there is a model, by its cosine with the question too. Everything quoted is a slice of the
//! stored text: a quote may grow to the sentence before it or to the list or code behind it, but never be rewritten.

mod sentence;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use self::sentence::{Sentence, sentences};
use crate::passage::Passage;
use crate::prompt::Format;
use crate::words::Words;

/// Sentences of one answer.
const MAX_QUOTES: usize = 4;
/// Bytes of one quote, beyond which it does not grow.
const MAX_QUOTE_BYTES: usize = 600;
/// A further sentence must have this share of the best one's score, and of its evidence.
const WORTH: f32 = 0.6;
/// A best sentence that shares less than this with the question answers nothing.
const LEAST: f32 = 0.15;

/// A sentence that may be quoted.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which passage, counted from 0.
    pub passage: usize,
    /// Which bytes of it.
    pub range: Range<usize>,
    /// How well it answers; the best possible is about 2.
    pub score: f32,
    /// What of the score is its own words' and meaning's, not its passage's or place's.
    evidence: f32,
    terms: BTreeSet<String>,
    lead: usize,
    tail: usize,
}

impl Candidate {
    /// The sentence itself.
    pub fn text<'a>(&self, passages: &'a [Passage]) -> &'a str {
        &passages[self.passage].content[self.range.clone()]
    }
}

/// All sentences of the passages, best first, scored by their words and places.
pub fn candidates(question: &str, passages: &[Passage]) -> Vec<Candidate> {
    let known = Words::new(true, true);
    let asked = terms(question, &known);
    let sentences: Vec<(usize, Sentence, BTreeSet<String>)> = passages
        .iter()
        .enumerate()
        .flat_map(|(number, passage)| sentences(&passage.content).into_iter().map(move |sentence| (number, sentence)))
        .map(|(number, sentence)| {
            let words = terms(&passages[number].content[sentence.range.clone()], &known);
            (number, sentence, words)
        })
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
    let mut candidates: Vec<Candidate> = sentences
        .into_iter()
        .map(|(number, sentence, words)| {
            let covered: f32 = weights.iter().filter(|(term, _)| words.contains(**term)).map(|(_, weight)| weight).sum();
            let above: f32 = weights
                .iter()
                .filter(|(term, _)| !words.contains(**term) && headings[number].contains(**term))
                .map(|(_, w)| w)
                .sum();
            let covered = if all > 0.0 { (covered + 0.35 * above) / all } else { 0.0 };
            let early = 1.0 / (1.0 + sentence.position as f32);
            let score = covered + 0.4 * passages[number].relevance + 0.1 * early - sentence.penalty();
            Candidate {
                passage: number,
                range: sentence.range,
                score,
                evidence: covered,
                terms: words,
                lead: sentence.lead,
                tail: sentence.tail,
            }
        })
        .collect();
    sort(&mut candidates);
    candidates
}

/// Adds each sentence's cosine with the question to its score. `cosines` belongs to the first candidates; the others are dropped,
/// because scores with and without it cannot be compared.
pub fn rescore(candidates: &mut Vec<Candidate>, cosines: &[f32]) {
    candidates.truncate(cosines.len());
    for (candidate, cosine) in candidates.iter_mut().zip(cosines) {
        candidate.score += cosine.max(0.0);
        candidate.evidence += cosine.max(0.0);
    }
    sort(candidates);
}

/// Puts the best sentences together. `[n]` is the place of a passage in the list, counted from 1.
pub fn compose(candidates: &[Candidate], passages: &[Passage], format: Format) -> String {
    let quotes = choose(candidates, passages);
    if quotes.is_empty() {
        return nothing(format);
    }
    let cited: BTreeSet<usize> = quotes.iter().map(|(passage, _)| *passage).collect();
    if format == Format::Json {
        let answer: Vec<_> = quotes
            .iter()
            .map(|(at, range)| serde_json::json!({"quote": &passages[*at].content[range.clone()], "source": at + 1}))
            .collect();
        let sources: Vec<_> =
            cited.iter().map(|&at| serde_json::json!({"number": at + 1, "source": passages[at].place()})).collect();
        return serde_json::json!({"answer": answer, "sources": sources}).to_string();
    }
    let mut text = String::new();
    for (at, range) in &quotes {
        let quote = &passages[*at].content[range.clone()];
        // Quotation marks would end up inside code or behind a list's last item.
        let block = quote.contains("```") || quote.contains("\n- ") || quote.contains("\n* ") || quote.contains("\n1. ");
        let quoted = if block { format!("{quote}\n[{}]\n\n", at + 1) } else { format!("“{quote}” [{}]\n\n", at + 1) };
        text.push_str(&quoted);
    }
    text.push_str(if format == Format::Markdown { "**Sources**\n\n" } else { "Sources:\n" });
    let lines: Vec<String> = cited
        .iter()
        .map(|&at| {
            if format == Format::Markdown {
                format!("- [{}] {}", at + 1, passages[at].place())
            } else {
                format!("[{}] {}", at + 1, passages[at].place())
            }
        })
        .collect();
    text.push_str(&lines.join("\n"));
    text
}

fn nothing(format: Format) -> String {
    let text = "Nothing in the index answers this question.";
    if format == Format::Json {
        serde_json::json!({"answer": [], "sources": [], "note": text}).to_string()
    } else {
        text.to_owned()
    }
}

/// The sentences worth quoting, in reading order: (passage, bytes).
fn choose(candidates: &[Candidate], passages: &[Passage]) -> Vec<(usize, Range<usize>)> {
    let Some(best) = candidates.first().filter(|best| best.evidence >= LEAST) else { return Vec::new() };
    let mut chosen: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        if chosen.len() == MAX_QUOTES || candidate.score < WORTH * best.score {
            break;
        }
        let is_new = !chosen.iter().any(|other| alike(&other.terms, &candidate.terms));
        if is_new && candidate.evidence >= WORTH * best.evidence {
            chosen.push(candidate);
        }
    }
    let mut quotes: Vec<(usize, Range<usize>)> = chosen
        .iter()
        .map(|candidate| {
            let mut range = candidate.range.clone();
            if range.end - candidate.lead <= MAX_QUOTE_BYTES {
                range.start = candidate.lead;
            }
            if candidate.tail - range.start <= MAX_QUOTE_BYTES {
                range.end = candidate.tail;
            }
            (candidate.passage, range)
        })
        .collect();
    quotes.sort_by_key(|(passage, range)| (*passage, range.start));
    let mut joined: Vec<(usize, Range<usize>)> = Vec::new();
    for (passage, range) in quotes {
        match joined.last_mut() {
            // Neighbours read better as one quote.
            Some((last, before))
                if *last == passage && passages[passage].content[before.end.min(range.start)..range.start].trim().is_empty() =>
            {
                before.end = before.end.max(range.end);
            }
            _ => joined.push((passage, range)),
        }
    }
    joined
}

fn sort(candidates: &mut [Candidate]) {
    candidates
        .sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)).then(a.range.start.cmp(&b.range.start)));
}

/// Whether two sentences say nearly the same (overlapping chunks repeat text).
fn alike(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    let common = a.intersection(b).count() as f32;
    let least = a.len().min(b.len()).max(1) as f32;
    common / least > 0.8
}

/// The content words of a text, as the index has them.
fn terms(text: &str, words: &Words) -> BTreeSet<String> {
    let terms = text.unicode_words().filter_map(|word| words.normalise(word));
    terms.filter(|term| !ASKING.contains(&&**term)).map(Cow::into_owned).collect()
}

/// Words of a request for an answer, which say nothing of what is asked.
const ASKING: [&str; 8] = ["describ", "explain", "get", "pleas", "show", "tell", "use", "want"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::passage::testing::passage;

    fn answer(question: &str, passages: &[Passage]) -> String {
        compose(&candidates(question, passages), passages, Format::Any)
    }

    #[test]
    fn the_sentence_that_answers_is_quoted_with_its_source() {
        let passages = [
            passage(
                "limits.md",
                "Limits exist. The largest request body is 6 MiB by default. Everything else is refused with 413.",
                1.0,
            ),
            passage("other.md", "The weather was fine that day. Nothing else happened at all in the town.", 0.4),
        ];
        let text = answer("How large may a request body be?", &passages);
        assert!(text.starts_with("“The largest request body is 6 MiB by default.") && text.contains("[1]"), "{text}");
        assert!(text.ends_with("Sources:\n[1] limits.md"), "{text}");
    }

    #[test]
    fn what_a_sentence_announces_comes_with_it() {
        let passages = [passage(
            "install.md",
            "Welcome.\n\nInstall the server with this command:\n\n```sh\ncargo demo\n```\n\nBye bye now.",
            1.0,
        )];
        let text = answer("how do I install the server?", &passages);
        assert!(text.contains("Install the server with this command:\n\n```sh\ncargo demo\n```\n[1]"), "{text}");
    }

    #[test]
    fn a_leaning_sentence_brings_the_one_before() {
        let passages = [passage("a.md", "The index is one file. It is memory-mapped at start and never copied.", 1.0)];
        let text = answer("what is memory-mapped at start?", &passages);
        assert!(text.starts_with("“The index is one file. It is memory-mapped at start and never copied.” [1]"), "{text}");
    }

    #[test]
    fn overlapping_chunks_are_quoted_once() {
        let same = "The cache holds ten thousand entries and is emptied at night.";
        let text = answer("cache entries", &[passage("a.md", same, 1.0), passage("a.md", same, 0.9)]);
        assert_eq!(text.matches("ten thousand").count(), 1, "{text}");
    }

    #[test]
    fn questions_and_bare_links_answer_nothing_better_than_a_statement() {
        let text = "[What is the index?](index.md)\n\nWhat is the index?\n\nThe index is one memory-mapped file on the disk.";
        let text = answer("What is the index?", &[passage("a.md", text, 1.0)]);
        assert_eq!(text, "“The index is one memory-mapped file on the disk.” [1]\n\nSources:\n[1] a.md");
    }

    #[test]
    fn json_is_one_object_and_nothing_found_is_said() {
        let passages = [passage("a.md", "The answer is \"42\" and not 41.", 1.0)];
        let json: serde_json::Value =
            serde_json::from_str(&compose(&candidates("what is the answer", &passages), &passages, Format::Json)).unwrap();
        assert_eq!(json["answer"][0]["quote"], "The answer is \"42\" and not 41.");
        assert_eq!(json["sources"][0]["source"], "a.md");
        assert_eq!(answer("anything", &[]), "Nothing in the index answers this question.");
    }

    #[test]
    fn meaning_outweighs_words_where_there_is_a_model() {
        let passages = [passage("a.md", "The service needs a port for the service. Ask the doorman to let you in.", 1.0)];
        let mut found = candidates("service entry", &passages);
        assert!(found[0].text(&passages).starts_with("The service"));
        let cosines: Vec<f32> =
            found.iter().map(|candidate| if candidate.text(&passages).starts_with("Ask") { 0.9 } else { 0.0 }).collect();
        rescore(&mut found, &cosines);
        assert!(found[0].text(&passages).starts_with("Ask"));
    }

    proptest! {
        #[test]
        fn every_quote_is_a_slice_of_the_stored_text(texts in prop::collection::vec("(?s)([A-Za-z`#|>*-]{0,9}|[.!?:] |\n|```\n|\\PC){0,60}", 1..4), question in "[a-z ]{0,20}") {
            let passages: Vec<Passage> = texts.iter().map(|text| passage("s", text, 1.0)).collect();
            let found = candidates(&question, &passages);
            for (at, range) in choose(&found, &passages) {
                prop_assert!(passages[at].content.get(range.clone()).is_some_and(|quote| !quote.trim().is_empty()));
            }
            for candidate in &found {
                prop_assert!(candidate.lead <= candidate.range.start && candidate.tail >= candidate.range.end);
                prop_assert!(passages[candidate.passage].content.get(candidate.lead..candidate.tail).is_some());
            }
            let _ = compose(&found, &passages, Format::Markdown);
        }
    }
}
