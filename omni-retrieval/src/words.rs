//! English words as searching and quoting both see them: folded, stemmed, function words known.
//!
//! One list of function words and one way to fold, so that what the index finds is what the extractive answer can quote.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization as _;

/// Longer words (base64, minified code) are not words; what people look for, such as a SHA-512, is shorter.
pub const MAX_BYTES: usize = 128;

/// Turns a word into what it is compared by.
pub struct Words {
    stemmer: Option<Stemmer>,
    stop_words: bool,
    revision: u32,
}

/// The rules of [`Words::normalise`] as they are now; an index says by which its words were written.
pub const REVISION: u32 = 1;

impl Words {
    /// With English Snowball stemming or without; with function words left out or kept; by the rules of a revision.
    pub fn new(stemming: bool, stop_words: bool, revision: u32) -> Self {
        Self { stemmer: stemming.then(|| Stemmer::create(Algorithm::English)), stop_words, revision }
    }

    /// Folded, without `'s`, stemmed; nothing for a function word.
    pub fn normalise<'a>(&self, word: &'a str) -> Option<Cow<'a, str>> {
        let word = match fold(word) {
            Cow::Borrowed(word) => Cow::Borrowed(word.strip_suffix("'s").unwrap_or(word)),
            Cow::Owned(mut word) => {
                word.truncate(word.strip_suffix("'s").map_or(word.len(), str::len));
                Cow::Owned(word)
            }
        };
        let word = if self.revision > 0 && !word.is_ascii() { Cow::Owned(spelled_out(&word)) } else { word };
        if self.stop_words && is_stop_word(&word) {
            return None;
        }
        match &self.stemmer {
            // Snowball makes `ad` of them.
            Some(_) if self.revision > 0 && matches!(&*word, "added" | "adding") => Some(Cow::Borrowed("add")),
            Some(stemmer) if word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'\'') => {
                Some(Cow::Owned(stemmer.stem(&word).into_owned()))
            }
            _ => Some(word),
        }
    }
}

/// Lower case, typographic apostrophes straightened, compatibility forms and accents removed.
pub fn fold(word: &str) -> Cow<'_, str> {
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

/// With the letters that Unicode does not take apart as they are typed where there is no key for them.
fn spelled_out(word: &str) -> String {
    let mut letters = String::with_capacity(word.len());
    for letter in word.chars() {
        match letter {
            'ß' => letters.push_str("ss"),
            'æ' => letters.push_str("ae"),
            'œ' => letters.push_str("oe"),
            'ø' => letters.push('o'),
            'ł' => letters.push('l'),
            letter => letters.push(letter),
        }
    }
    letters
}

/// The other spellings by which a word is found: without an elided article, the commas of thousands or the `v` of a version, and of
/// a Korean word, whose particles are part of it, each two syllables.
pub fn spellings(word: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let version = word.strip_prefix(['v', 'V']).filter(|rest| rest.contains('.') && is_number(rest));
    let parts = elided(word).into_iter().chain(version).chain(syllables(word));
    parts.map(Cow::Borrowed).chain(without_commas(word).map(Cow::Owned))
}

/// Each two neighbouring syllables of a Korean word of more than two.
fn syllables(word: &str) -> impl Iterator<Item = &str> {
    let is_korean = word.len() <= MAX_BYTES && word.chars().all(|c| ('가'..='힣').contains(&c));
    let starts = word.char_indices().filter(move |_| is_korean).map(|(start, _)| start);
    // A syllable has three bytes.
    starts.filter_map(|start| word.get(start..start + 6)).filter(|pair| pair.len() < word.len())
}

/// `2,000,000` without its commas.
fn without_commas(number: &str) -> Option<String> {
    let whole = number.split('.').next().unwrap_or_default();
    let (first, groups) = whole.split_once(',')?;
    let is_grouped = (1..=3).contains(&first.len()) && groups.split(',').all(|group| group.len() == 3);
    (is_grouped && is_number(number)).then(|| number.replace(',', ""))
}

/// Whether a word is digits, with points and commas.
pub fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
}

/// The word behind a French or Italian article or the like that lost its vowel: `entreprise` of `l'entreprise`.
fn elided(word: &str) -> Option<&str> {
    let (article, rest) = word.split_once(['\'', '\u{2019}'])?;
    let is_article = ELIDED.iter().any(|known| known.eq_ignore_ascii_case(article));
    (is_article && rest.len() > 1).then_some(rest)
}

/// What an apostrophe parts from the word behind it.
const ELIDED: [&str; 16] = ["l", "d", "j", "m", "n", "t", "s", "c", "qu", "jusqu", "lorsqu", "dell", "all", "nell", "sull", "un"];

/// Whether a folded word says nothing of what a text is about.
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

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn a_word_has_one_form() {
        let words = Words::new(true, true, REVISION);
        for (word, form) in [("Governments", Some("govern")), ("Ada’s", Some("ada")), ("naïve", Some("naiv")), ("THE", None)] {
            assert_eq!(words.normalise(word).as_deref(), form, "{word}");
        }
        for word in ["add", "adds", "Added", "adding"] {
            assert_eq!(words.normalise(word).as_deref(), Some("add"), "{word}");
        }
        for (word, typed) in [("STRAẞE", "Strasse"), ("straße", "strasse"), ("København", "Kobenhavn"), ("Łódź", "lodz")] {
            assert_eq!(words.normalise(word), words.normalise(typed), "{word}");
        }
        assert_eq!(Words::new(false, false, REVISION).normalise("The").as_deref(), Some("the"));
    }

    #[test]
    fn words_of_an_older_index_are_as_it_has_them() {
        let words = Words::new(true, true, 0);
        for (word, form) in [("added", "ad"), ("Straße", "straße"), ("Łódź", "łodz")] {
            assert_eq!(words.normalise(word).as_deref(), Some(form), "{word}");
        }
    }
}
