//! Text to terms: Unicode words, lower case, stemmed, without function words, and code kept findable.
//!
//! Words with connectors inside (`kb.omni`, `std::fs::read`, `src/index/mod.rs`, `max_tokens`) give their parts *and*
//! themselves; words with humps (`getUserName`) themselves *and* their parts. What is not a word of prose is an extra: it
//! can be found, but does not count in the length of the text, so that BM25 weighs prose as if it were not there. Other spellings
//! are such extras too: `1500` of `1,500`, `1.2.3` of `v1.2.3`, `entreprise` of `l'entreprise`, and of Korean words, whose
//! particles are part of them, each two neighbouring syllables.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation as _;

use super::Lexical;
use crate::words::{MAX_BYTES, Words, fold, is_number, spellings};

/// What a term is of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word of prose.
    Word,
    /// A word that names one thing: `getUserName`, `E0382`, `1.2.3`.
    Name,
    /// The whole of a compound whose parts are words: `kb.omni`.
    Whole,
    /// A part of a name whose whole is a word, or another spelling of a word.
    Part,
}

impl Kind {
    /// Whether it counts in the length of its text.
    pub(super) fn counts(self) -> bool {
        matches!(self, Self::Word | Self::Name)
    }

    /// Whether who writes it means exactly this.
    pub(super) fn is_exact(self) -> bool {
        matches!(self, Self::Name | Self::Whole)
    }
}

/// Cuts text into terms, always in the same way for the same settings.
pub(super) struct Terms {
    words: Words,
}

impl Terms {
    /// By the settings of an index.
    pub(super) fn new(lexical: Lexical) -> Self {
        Self { words: Words::new(lexical.stemming, lexical.stop_words, lexical.revision) }
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
                    self.term(word, if word.matches('.').count() > 1 { Kind::Name } else { Kind::Word }, &mut found);
                    spellings(word).for_each(|other| self.term(&other, Kind::Part, &mut found));
                    continue;
                }
                let before = parts;
                for part in word.split(is_connector).filter(|part| !part.is_empty()) {
                    parts += 1;
                    let humps = humps(part);
                    let is_name = !humps.is_empty() || is_code(part);
                    self.term(part, if is_name { Kind::Name } else { Kind::Word }, &mut found);
                    for other in humps.into_iter().map(Cow::Borrowed).chain(spellings(part)) {
                        self.term(&other, Kind::Part, &mut found);
                    }
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
    if compound.len() > MAX_BYTES {
        return;
    }
    // `and/or`, `km/h` and `1/2` name nothing.
    let is_name = compound.contains(|c: char| c.is_ascii_punctuation() && !matches!(c, '/' | '-' | '\''));
    found(&fold(compound), if is_name { Kind::Whole } else { Kind::Part });
    spellings(compound).for_each(|other| found(&fold(&other), Kind::Part));
}

/// The parts of `getUserName` or `HTTPServer`, where there are several. Each has to begin with two
/// letters, or it is no code: `mRNA`, `RNAs`, `iPhone` and `H3K4me3` are words.
fn humps(word: &str) -> Vec<&str> {
    let bytes = word.as_bytes();
    if !word.is_ascii() || word.len() > MAX_BYTES {
        return Vec::new();
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
    if parts.len() > 1 && parts.iter().all(|part| is_word(part)) { parts } else { Vec::new() }
}

/// Whether a word is a code of letters and digits, such as `E0382` or `0x80070005`, and no measure such as `30s`.
fn is_code(word: &str) -> bool {
    (word.starts_with(char::is_alphabetic) || word.starts_with("0x")) && word.contains(|c: char| c.is_ascii_digit())
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

/// A run that is one name: joined by more than hyphens, and of nothing else.
fn is_compound(run: &str) -> bool {
    run.contains(['_', '.', ':', '/', '\\', '@', '#'])
        && run.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '\\' | '-' | '@' | '#' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        terms(text, Kind::counts)
    }

    fn extras(text: &str) -> Vec<String> {
        terms(text, |kind| !kind.counts())
    }

    fn terms(text: &str, wanted: impl Fn(Kind) -> bool) -> Vec<String> {
        let mut terms = Vec::new();
        Terms::new(Lexical::default()).each(text, |term, kind| terms.extend(wanted(kind).then(|| term.to_owned())));
        terms
    }

    #[test]
    fn prose_is_stemmed_without_function_words() {
        assert_eq!(words("The runners were running; it's the government's idea."), ["runner", "run", "govern", "idea"]);
        assert_eq!(words("Café NAÏVE Ｆｕｌｌ"), ["cafe", "naiv", "full"]);
        assert_eq!(words("1,000 of 3.14 end.Next"), ["1,000", "3.14", "end", "next"]);
        assert!(extras("state-of-the-art end of a sentence. And so on").is_empty());
    }

    #[test]
    fn code_is_found_whole_and_in_parts() {
        assert_eq!(words("error E0382: use std::fs::read()"), ["error", "e0382", "use", "std", "fs", "read"]);
        assert_eq!(extras("error E0382: use std::fs::read()"), ["std::fs::read"]);
        assert_eq!(extras("`kb.omni`, see src/index/mod.rs."), ["kb.omni", "mod.rs", "src/index/mod.rs"]);
        assert_eq!(extras("MAX_TOKENS=5"), ["max_tokens"]);
        assert_eq!(words("call getUserNames()"), ["call", "getusernam"]);
        assert_eq!(extras("call getUserNames()"), ["get", "user", "name"]);
        assert_eq!(
            extras("HTTPServer parseJSON utf8Decode mRNA RNAs iPhone H3K4me3"),
            ["http", "server", "pars", "json", "utf8", "decod"]
        );
        assert_eq!(extras("C++, C# (and F#); not 5# or a+"), ["c++", "c#", "f#"]);
        assert_eq!(words("0x80070005 ERR_TIMED_OUT"), ["0x80070005", "err", "time", "out"]);
    }

    #[test]
    fn other_spellings_are_found_too() {
        assert_eq!(extras("2,000,000 at 1,500.25 but 1,2 and 10,20"), ["2000000", "1500.25"]);
        assert_eq!(extras("v1.2.3"), ["v1.2.3", "1.2.3"]);
        assert_eq!(
            extras("L’entreprise d'aujourd'hui, dell'azienda; don't, it's, O'Reilly"),
            ["entrepris", "aujourd'hui", "azienda"]
        );
        assert_eq!(words("서울은 서울"), ["서울은", "서울"]);
        assert_eq!(extras("서울은 서울 대한민국"), ["서울", "울은", "대한", "한민", "민국"]);
    }

    #[test]
    fn names_are_told_from_prose() {
        let text =
            "Which 2 of getUserName, E0382, 0x80070005, kb.omni, 1.2.3 and std::fs::read need 30s, and/or 1/2, at 3.5 km/h?";
        let expected = ["getusernam", "e0382", "0x80070005", "kb.omni", "1.2.3", "std::fs::read"];
        assert_eq!(terms(text, Kind::is_exact), expected);
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
