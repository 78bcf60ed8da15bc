//! Text to terms: Unicode words, lower case, stemmed, without function words, and code kept findable.
//!
//! Words with connectors inside (`kb.omni`, `std::fs::read`, `src/index/mod.rs`, `max_tokens`) give their parts *and*
//! themselves. The whole is an extra: it can be found, but does not count in the length of the text, so that BM25 weighs
//! prose as if it were not there.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

use super::Lexical;

/// Longer words (base64, minified code) are not words; what people look for, such as a SHA-512, is shorter.
const MAX_BYTES: usize = 128;

/// Whether a term counts in the length of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word.
    Word,
    /// The whole of a compound whose parts are words.
    Extra,
}

/// Cuts text into terms, always in the same way for the same settings.
pub(super) struct Terms {
    stemmer: Option<Stemmer>,
    stop_words: bool,
}

impl Terms {
    /// By the settings of an index.
    pub(super) fn new(lexical: Lexical) -> Self {
        Self { stemmer: lexical.stemming.then(|| Stemmer::create(Algorithm::English)), stop_words: lexical.stop_words }
    }

    /// Calls `found` with each term of `text`, in order.
    pub(super) fn each(&self, text: &str, mut found: impl FnMut(&str, Kind)) {
        for run in text.split(ends_run) {
            let run = run.trim_matches(|c: char| !c.is_alphanumeric());
            if run.is_empty() {
                continue;
            }
            let mut parts = 0;
            for word in run.unicode_words() {
                if is_number(word) {
                    parts += 1;
                    self.word(word, &mut found);
                    continue;
                }
                let before = parts;
                for part in word.split(is_connector).filter(|part| !part.is_empty()) {
                    parts += 1;
                    self.word(part, &mut found);
                }
                if parts - before > 1 && word.len() < run.len() {
                    whole(word, &mut found);
                }
            }
            if parts > 1 && is_compound(run) {
                whole(run, &mut found);
            }
        }
    }

    fn word(&self, word: &str, found: &mut impl FnMut(&str, Kind)) {
        if word.len() > MAX_BYTES {
            return;
        }
        let word = fold(word);
        let word = word.strip_suffix("'s").unwrap_or(&word);
        if self.stop_words && is_stop_word(word) {
            return;
        }
        match &self.stemmer {
            Some(stemmer) if word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'\'') => {
                found(&stemmer.stem(word), Kind::Word);
            }
            _ => found(word, Kind::Word),
        }
    }
}

fn whole(compound: &str, found: &mut impl FnMut(&str, Kind)) {
    if compound.len() <= MAX_BYTES {
        found(&fold(compound), Kind::Extra);
    }
}

/// Lower case, typographic apostrophes straightened, compatibility forms and accents removed.
fn fold(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(word.to_ascii_lowercase());
        }
        return Cow::Borrowed(word);
    }
    // Only the combining marks of Latin, Greek and Cyrillic accents: in other scripts they are letters.
    let lower = word.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).flat_map(char::to_lowercase);
    Cow::Owned(lower.map(|c| if c == '\u{2019}' { '\'' } else { c }).nfc().collect())
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

fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// Lucene's 33 English words, with question words, auxiliaries and pronouns, which questions are full of: on SQuAD nDCG@10
/// .902 instead of .888, on Cranfield .416 instead of .402, on SciFact the same (.682). Without "us", for the country's sake.
const STOP_WORDS: [&str; 70] = [
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for",
    "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not",
    "of", "on", "or", "our", "she", "should", "such", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "to", "was", "we", "were", "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you",
    "your",
];

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

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }
}
