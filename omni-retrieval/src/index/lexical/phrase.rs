//! Phrases: what stands in quotation marks in a question is one more word, whose postings are found when it is asked for.
//!
//! The index holds no positions. The chunks that hold all words of a phrase are found by their postings, and the best of
//! them are read. A phrase whose words are everywhere but seldom together may so lose far-off chunks, never gain wrong ones.

use std::cmp::Reverse;

use unicode_segmentation::UnicodeSegmentation as _;

use super::cursor::Cursor;
use super::{Weighing, find};
use crate::error::Result;
use crate::index::allowed::Allowed;
use crate::index::record::ChunkRecord;
use crate::index::terms::Terms;
use crate::index::top::Top;
use crate::index::view::View;
use crate::words::fold;

/// Phrases of one question that are looked for.
const MAX_PHRASES: usize = 8;

/// Words of one phrase.
const MAX_WORDS: usize = 32;

/// Chunks that are read for one phrase.
const MAX_READ: usize = 1000;

/// Quotation marks that open a phrase, each with those that close it.
const QUOTES: [(char, &[char]); 8] = [
    ('"', &['"', '”', '“']),
    ('“', &['”', '"', '“']),
    ('„', &['“', '”', '"']),
    ('”', &['”']),
    ('«', &['»']),
    ('»', &['«', '»']),
    ('「', &['」']),
    ('『', &['』']),
];

/// What stands between quotation marks, if it is more than one word.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    // Marks whose closing ones are all behind: looking for these again would take as long as the text, each time.
    let mut unclosed = Vec::new();
    std::iter::from_fn(move || {
        loop {
            let (mark, inside, closes) = text[at..].char_indices().find_map(|(open, mark)| {
                let (_, closes) = QUOTES.iter().find(|(opens, _)| *opens == mark && !unclosed.contains(opens))?;
                // Behind a digit it is an inch.
                let is_inch = mark == '"' && text[..at + open].ends_with(|c: char| c.is_ascii_digit());
                (!is_inch).then_some((mark, at + open + mark.len_utf8(), *closes))
            })?;
            at = inside;
            let Some(length) = text[inside..].find(closes) else {
                unclosed.push(mark);
                continue;
            };
            let inside = &text[inside..inside + length];
            at += length + text[at + length..].chars().next()?.len_utf8();
            if (2..=MAX_WORDS).contains(&inside.unicode_words().count()) {
                return Some(inside);
            }
        }
    })
    .take(MAX_PHRASES)
}

/// The chunks that hold `phrase` and are `allowed`, and how often.
pub(super) fn postings(view: &View, cut: &Terms, weighing: Weighing, phrase: &str, allowed: &Allowed) -> Result<Vec<(u32, u32)>> {
    let mut terms = Vec::new();
    cut.each(phrase, |term, kind| terms.extend(kind.counts().then(|| term.to_owned())));
    terms.sort_unstable();
    terms.dedup();
    let mut cursors = Vec::with_capacity(terms.len());
    for term in &terms {
        let Some(entry) = find(view, term)? else { return Ok(Vec::new()) };
        cursors.push(Cursor::open(view, weighing, entry, 1.0)?);
    }
    // The rarest word leads.
    cursors.sort_by_key(Cursor::chunks);
    let Some((lead, others)) = cursors.split_first_mut() else { return Ok(Vec::new()) };
    let mut top = Top::new(MAX_READ);
    let mut candidates = Vec::new();
    lead.each(0..weighing.chunks, |chunk, score| candidates.extend(allowed.contains(chunk).then_some((chunk, score))))?;
    for (chunk, score) in candidates {
        let mut sum = u64::from(score);
        let mut all = true;
        for other in others.iter_mut() {
            let score = other.score_at(chunk)?;
            all &= score > 0;
            sum += u64::from(score);
            if !all {
                break;
            }
        }
        if all {
            top.push((sum, Reverse(chunk)));
        }
    }
    let mut chunks: Vec<u32> = top.into_sorted().into_iter().map(|(_, Reverse(chunk))| chunk).collect();
    chunks.sort_unstable();
    let words: Vec<_> = phrase.unicode_words().map(fold).collect();
    let letters = letters(&words.concat());
    let mut postings = Vec::new();
    for chunk in chunks {
        let text = ChunkRecord::of(view, chunk)?.text(view)?;
        // Cutting texts into words is what takes long. Only ASCII folds to its own letters, with nothing else between words.
        if text.is_ascii() && !self::letters(&text).contains(&letters) {
            continue;
        }
        let held: Vec<_> = text.unicode_words().map(fold).collect();
        let count = held.windows(words.len()).filter(|window| *window == words.as_slice()).count();
        if count > 0 {
            postings.push((chunk, count as u32));
        }
    }
    Ok(postings)
}

/// The letters and digits of a text, small.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_of_several_words_make_a_phrase() {
        let phrases = |text| quoted(text).collect::<Vec<_>>();
        assert_eq!(phrases(r#"what is "the cold start" of “a small image”?"#), ["the cold start", "a small image"]);
        assert_eq!(phrases("„zu kalt“ und \"one\" \"open end"), ["zu kalt"]);
        assert_eq!(
            phrases("«der Kaltstart» »im Bild« »av en bild» 「cold start」 『a b』 ”det är”"),
            ["der Kaltstart", "im Bild", "av en bild", "cold start", "a b", "det är"]
        );
        // An inch opens nothing, and neither does what nothing closes.
        assert!(phrases("5\" screws and 6\" screws").is_empty());
        assert_eq!(phrases("a 5\" pipe, »new, and \"cold start\""), ["cold start"]);
        assert_eq!(phrases("\"version 5\" and \"of 6\""), ["version 5", "of 6"]);
        assert_eq!(quoted(&"\"a b\" ".repeat(20)).count(), MAX_PHRASES);
        // Would take minutes if the end of each was looked for.
        assert_eq!(quoted(&"«".repeat(1 << 19)).count(), 0);
    }
}
