//! Text to terms: Unicode words, lower case, stemmed, without function words, and code kept findable.
//!
//! Words with connectors inside (`kb.omni`, `std::fs::read`, `src/index/mod.rs`, `max_tokens`) give their parts *and*
//! themselves; words with humps (`getUserName`) themselves *and* their parts. What is not a word of prose is an extra: it
//! can be found, but does not count in the length of the text, so that BM25 weighs prose as if it were not there.

use unicode_segmentation::UnicodeSegmentation as _;

use super::Lexical;
use crate::words::{Words, fold};

/// Longer words (base64, minified code) are not words; what people look for, such as a SHA-512, is shorter.
const MAX_BYTES: usize = 128;

/// Whether a term counts in the length of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word.
    Word,
    /// The whole of a compound whose parts are words, or a part of a name whose whole is one.
    Extra,
}

/// Cuts text into terms, always in the same way for the same settings.
pub(super) struct Terms {
    words: Words,
}

impl Terms {
    /// By the settings of an index.
    pub(super) fn new(lexical: Lexical) -> Self {
        Self { words: Words::new(lexical.stemming, lexical.stop_words) }
    }

    /// Calls `found` with each term of `text`, in order.
    pub(super) fn each(&self, text: &str, mut found: impl FnMut(&str, Kind)) {
        for run in text.split(ends_run) {
            let run = run.trim_start_matches(|c: char| !c.is_alphanumeric());
            let bare = run.trim_end_matches(|c: char| !c.is_alphanumeric());
            if bare.is_empty() {
                continue;
            }
            if is_language(bare, &run[bare.len()..]) {
                whole(run.trim_end_matches(['.', ',', ':', '\'', '-', '/']), &mut found);
            }
            let mut parts = 0;
            for word in bare.unicode_words() {
                if is_number(word) {
                    parts += 1;
                    self.term(word, Kind::Word, &mut found);
                    continue;
                }
                let before = parts;
                for part in word.split(is_connector).filter(|part| !part.is_empty()) {
                    parts += 1;
                    self.term(part, Kind::Word, &mut found);
                    humps(part, |hump| self.term(hump, Kind::Extra, &mut found));
                }
                if parts - before > 1 && word.len() < bare.len() {
                    whole(word, &mut found);
                }
            }
            if parts > 1 && is_compound(bare) {
                whole(bare, &mut found);
            }
        }
    }

    fn term(&self, word: &str, kind: Kind, found: &mut impl FnMut(&str, Kind)) {
        if word.len() > MAX_BYTES {
            return;
        }
        if let Some(term) = self.words.normalise(word) {
            found(&term, kind);
        }
    }
}

fn whole(compound: &str, found: &mut impl FnMut(&str, Kind)) {
    if compound.len() <= MAX_BYTES {
        found(&fold(compound), Kind::Extra);
    }
}

/// Calls `found` with the parts of `getUserName` or `HTTPServer`, where there are several. Each has to begin with two
/// letters, or it is no code: `mRNA`, `RNAs`, `iPhone` and `H3K4me3` are words.
fn humps(word: &str, found: impl FnMut(&str)) {
    let bytes = word.as_bytes();
    if !word.is_ascii() || word.len() > MAX_BYTES {
        return;
    }
    let mut starts = vec![0];
    for at in 1..bytes.len() {
        let rises = bytes[at].is_ascii_uppercase() && !bytes[at - 1].is_ascii_uppercase();
        let small = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_lowercase);
        let falls = bytes[at].is_ascii_uppercase() && small(at + 1) && small(at + 2);
        if (rises || falls) && bytes[at - 1].is_ascii_alphanumeric() {
            starts.push(at);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let parts: Vec<&str> = starts.iter().zip(ends).map(|(&start, end)| &word[start..end]).collect();
    let is_word = |part: &str| part.len() > 1 && part.bytes().take(2).all(|byte| byte.is_ascii_alphabetic());
    if parts.len() > 1 && parts.iter().all(|part| is_word(part)) {
        parts.into_iter().for_each(found);
    }
}

/// `c++`, `c#`, `f#`: a letter or two and what trimming would take away.
fn is_language(bare: &str, tail: &str) -> bool {
    bare.len() <= 2 && bare.bytes().all(|byte| byte.is_ascii_alphabetic()) && (tail.starts_with('#') || tail.starts_with("++"))
}

/// White space and what stands around words, but not what joins the parts of a name, path or number.
fn ends_run(c: char) -> bool {
    c.is_whitespace()
        || (c.is_ascii_punctuation() && !matches!(c, '_' | '.' | ':' | '/' | '\\' | '-' | '\'' | ',' | '#' | '@' | '+'))
}

/// Joins parts inside what Unicode calls one word.
fn is_connector(c: char) -> bool {
    matches!(c, '_' | '.' | ':')
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
}

/// A run that is one name: joined by more than hyphens, and of nothing else.
fn is_compound(run: &str) -> bool {
    run.contains(['_', '.', ':', '/', '\\', '@', '#'])
        && run.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '\\' | '-' | '@' | '#' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        terms(text, Kind::Word)
    }

    fn terms(text: &str, wanted: Kind) -> Vec<String> {
        let mut terms = Vec::new();
        Terms::new(Lexical::default()).each(text, |term, kind| {
            if kind == wanted {
                terms.push(term.to_owned());
            }
        });
        terms
    }

    #[test]
    fn prose_is_stemmed_without_function_words() {
        assert_eq!(words("The runners were running; it's the government's idea."), ["runner", "run", "govern", "idea"]);
        assert_eq!(words("Café NAÏVE Ｆｕｌｌ"), ["cafe", "naiv", "full"]);
        assert_eq!(words("1,000 of 3.14 end.Next"), ["1,000", "3.14", "end", "next"]);
        assert!(terms("state-of-the-art end of a sentence. And so on", Kind::Extra).is_empty());
    }

    #[test]
    fn code_is_found_whole_and_in_parts() {
        assert_eq!(words("error E0382: use std::fs::read()"), ["error", "e0382", "use", "std", "fs", "read"]);
        assert_eq!(terms("error E0382: use std::fs::read()", Kind::Extra), ["std::fs::read"]);
        assert_eq!(terms("`kb.omni`, see src/index/mod.rs.", Kind::Extra), ["kb.omni", "mod.rs", "src/index/mod.rs"]);
        assert_eq!(terms("MAX_TOKENS=5", Kind::Extra), ["max_tokens"]);
        assert_eq!(words("call getUserNames()"), ["call", "getusernam"]);
        assert_eq!(terms("call getUserNames()", Kind::Extra), ["get", "user", "name"]);
        assert_eq!(
            terms("HTTPServer parseJSON utf8Decode mRNA RNAs iPhone H3K4me3", Kind::Extra),
            ["http", "server", "pars", "json", "utf8", "decod"]
        );
        assert_eq!(terms("C++, C# (and F#); not 5# or a+", Kind::Extra), ["c++", "c#", "f#"]);
        assert_eq!(words("0x80070005 ERR_TIMED_OUT"), ["0x80070005", "err", "time", "out"]);
    }

    #[test]
    fn hostile_text_ends() {
        for text in [
            "\u{0}\u{1}",
            "....",
            "::::::",
            "'",
            "a\u{300}\u{300}",
            "👩‍👩‍👧",
            "日本語テスト",
            &"x".repeat(100_000),
            &"a.".repeat(50_000),
        ] {
            Terms::new(Lexical::default()).each(text, |term, _| assert!(!term.is_empty() && term.len() <= 4 * MAX_BYTES));
        }
    }
}
