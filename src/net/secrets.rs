//! How what proves who we are is kept out of what others tell.

use super::Request;
use crate::error::Error;

/// Keys, tokens and signatures a request carried. The other side may echo them in an error; they are masked there.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

/// Characters of what a provider said that are told at most; longer texts are cut.
const MAX_TOLD_CHARS: usize = 500;

/// Shorter keys stand in for none (`none`, `dummy`), and their letters for words.
const SHORTEST_SECRET: usize = 8;

/// Likewise without any digit (`lm-studio`, `required`).
const SHORTEST_WORDLIKE_SECRET: usize = 16;

impl Secrets {
    /// Those of a signed request.
    pub fn of(request: &Request) -> Self {
        let sent = request.headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        // What stands behind `Bearer`, or last in AWS's list.
        let words = sent.filter_map(|value| value.rsplit(' ').next()).map(|word| word.trim_start_matches("Signature="));
        let is_secret = |word: &&str| {
            let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
            word.len() >= if has_digit { SHORTEST_SECRET } else { SHORTEST_WORDLIKE_SECRET }
        };
        Self(words.filter(is_secret).map(str::to_owned).collect())
    }

    /// The error as others may read it.
    pub fn hidden_in(&self, error: Error) -> Error {
        error.masked(|text| self.hidden(text))
    }

    fn hidden(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            let text = text.replace(secret.as_str(), "(key)");
            // Texts that are too long were cut, and a secret with them.
            if text.chars().count() < MAX_TOLD_CHARS {
                return text;
            }
            let part = (SHORTEST_SECRET..secret.len()).rev().find(|length| text.ends_with(&secret[..*length]));
            part.map_or_else(|| text.clone(), |length| format!("{}(key)", &text[..text.len() - length]))
        })
    }
}

/// At most [`MAX_TOLD_CHARS`] visible characters, without anything that looks like a key.
pub(crate) fn clean(text: &str) -> String {
    const BEARER: &str = "Bearer ";
    const KEYS: [&str; 9] = ["sk-", "gsk_", "AIza", "AKIA", "ASIA", "xai-", "ya29.", "eyJ", BEARER];
    // More than is shown, so that a key at the end is not cut to something that does not look like one.
    let visible: String = text.chars().filter(|letter| !letter.is_control()).take(1000).collect();
    let (mut clean, mut rest) = (String::new(), visible.as_str());
    while let Some((at, key)) = KEYS.iter().filter_map(|key| Some((rest.find(key)?, *key))).min() {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.+/=*".contains(letter);
        let behind = &rest[at + key.len()..];
        let length = key.len() + behind.find(|letter| !is_part(letter)).unwrap_or(behind.len());
        let (before, word) = (&rest[..at], &rest[at..at + length]);
        // In the middle of a word, and behind `Bearer`, only what has a digit is a key: `task-based-approach` is none, nor `token`.
        let begins = key != BEARER && !before.ends_with(|letter: char| letter.is_ascii_alphanumeric());
        clean.push_str(before);
        if word.len() >= 12 && (begins || word.contains(|letter: char| letter.is_ascii_digit() || letter == '*')) {
            clean.push_str("(key)");
            rest = &rest[at + length..];
        } else {
            clean.push_str(key);
            rest = &rest[at + key.len()..];
        }
    }
    clean.push_str(rest);
    clean.chars().take(MAX_TOLD_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_told_to_nobody() {
        for (text, shown) in [
            ("apikey=sk-0123456789abcdef&x=1", "apikey=(key)&x=1"),
            ("{\"key\":\"gsk_0123456789abcdef\"}", "{\"key\":\"(key)\"}"),
            ("%3Dsk-0123456789abcdef,AKIA0123456789ABCDEF", "%3D(key),(key)"),
            ("Bearer:eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "Bearer:(key)"),
            (
                "Authorization: Bearer hidden-word-12, or the Bearer authentication",
                "Authorization: (key), or the Bearer authentication",
            ),
            ("a task-based-approach, risk-averse-models, sk-", "a task-based-approach, risk-averse-models, sk-"),
        ] {
            assert_eq!(clean(text), shown);
        }
    }
}
