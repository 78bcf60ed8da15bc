//! Words as a reader means them, not as a page shows them: ligatures spelled out, line-end hyphens gone, font codes dropped.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words that follow a hyphen that stays: `long- and short-term`.
const AFTER_SUSPENDED: [&str; 18] =
    ["and", "or", "to", "nor", "versus", "und", "oder", "bis", "sowie", "et", "ou", "y", "o", "e", "en", "of", "och", "i"];

/// The most letters of a word that are looked back at: more would take the square of the time of a long one.
const LOOK_BACK_MAX: usize = 100;

/// How often a document writes each word, in lower case, with the hyphens in it.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    counts: HashMap<String, usize>,
}

impl Vocabulary {
    /// Counts the words of a page, but for those that a line end split.
    pub(super) fn learn(&mut self, text: &str) {
        let words = text.split(|char: char| !char.is_alphanumeric() && !"-'’".contains(char));
        let mut is_split = false;
        for word in words.map(|word| word.trim_matches(['\'', '’'])).filter(|word| !word.is_empty()) {
            let goes_on = word.ends_with('-');
            if !is_split && !goes_on {
                *self.counts.entry(word.to_lowercase()).or_default() += 1;
            }
            is_split = goes_on;
        }
    }

    /// How often a word is written, in whatever case.
    pub(super) fn count(&self, word: &str) -> usize {
        self.counts.get(&word.to_lowercase()).copied().unwrap_or(0)
    }

    /// Joins the words that a line end split: `vil- lages` is `villages`, `load- carrying` keeps its hyphen where the document
    /// writes `load-carrying` elsewhere, `state-of-the- art` where it writes `the` and `art`, and `long- and short-term` stays as
    /// it is.
    pub(super) fn join(&self, text: &str) -> String {
        let mut joined = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['-', '\u{2010}']) {
            let hyphen_len = rest[at..].chars().next().map_or(1, char::len_utf8);
            let after = &rest[at + hyphen_len..];
            joined.push_str(&rest[..at]);
            let head = tail(&joined, char::is_alphabetic);
            let gap = after.len() - after.trim_start_matches([' ', '\n']).len();
            let next = &after[gap..];
            let word = &next[..next.find(|char: char| !char.is_alphabetic()).unwrap_or(next.len())];
            let is_split = gap > 0
                && head.chars().count() > 1
                && head.chars().next_back().is_some_and(char::is_lowercase)
                && word.starts_with(char::is_lowercase)
                && !AFTER_SUSPENDED.contains(&word);
            let is_compound = || {
                let compound = tail(&joined, |char| char.is_alphabetic() || matches!(char, '-' | '\u{2010}'));
                let is_written = |word: &str| self.count(word) > 0;
                [head, compound].iter().any(|head| is_written(&format!("{head}-{word}")))
                    || (compound.len() > head.len()
                        && is_written(head)
                        && is_written(word)
                        && !is_written(&format!("{head}{word}")))
            };
            match is_split {
                true if is_compound() => joined.push('-'),
                true => {}
                false => joined.push_str(&rest[at..at + hyphen_len + gap]),
            }
            rest = next;
        }
        joined.push_str(rest);
        joined
    }
}

/// Whether a character means nothing outside the font that it was written in.
pub(super) fn is_unreadable(char: char) -> bool {
    matches!(char, '\u{fffd}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}') || (char.is_control() && !char.is_whitespace())
}

/// The share of characters that mean nothing, in percent.
pub(super) fn unreadable_percent(text: &str) -> usize {
    let (mut all, mut unreadable) = (0, 0);
    for char in text.chars().filter(|char| !char.is_whitespace()) {
        all += 1;
        unreadable += usize::from(is_unreadable(char));
    }
    unreadable * 100 / all.max(1)
}

/// The share of signs among letters, digits and signs, in percent: a text layer of wrong codes has more of them than program code
/// or formulas. What rules, leaders and lists are drawn with counts for nothing, and neither does a text too short to tell.
pub(super) fn signs_percent(text: &str) -> usize {
    const CHARS_MIN: usize = 100;
    let (mut all, mut signs) = (0, 0);
    for char in text.chars().filter(|char| !char.is_whitespace() && !"._-=*|·…•—–".contains(*char)) {
        all += 1;
        signs += usize::from(!char.is_alphanumeric() && !is_combining_mark(char));
    }
    if all < CHARS_MIN { 0 } else { signs * 100 / all }
}

/// Whether a line, or an item of a list, is the rest of a table of contents: leaders, page numbers and nothing else.
pub(super) fn is_leader(text: &str) -> bool {
    let (mut dots, mut middle_dots, mut digits) = (0, 0, 0);
    for char in text.trim_start_matches(['-', '•', ' ']).chars().filter(|char| !char.is_whitespace()) {
        match char {
            '.' => dots += 1,
            '·' => middle_dots += 1,
            '…' => dots += 3,
            '0'..='9' => digits += 1,
            _ => return false,
        }
    }
    match digits {
        0 => middle_dots > 0 || dots > 3,
        _ => middle_dots > 1 || dots > digits + 3,
    }
}

/// The text with ligatures and presentation forms spelled out and without unreadable characters; the bullets of the Symbol and
/// Wingdings fonts are what they look like.
pub(super) fn readable(text: &str) -> String {
    let mut clear = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{fb00}'..='\u{fb17}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' => {
                clear.extend(std::iter::once(char).nfkc());
            }
            '\u{f0b7}' | '\u{f0a7}' | '\u{f076}' | '\u{f0d8}' => clear.push('•'),
            '\u{fffd}' => clear.push(char),
            char if is_unreadable(char) => {}
            char => clear.push(char),
        }
    }
    clear
}

/// The end of a text from which on all characters belong to a word.
fn tail(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let chars = text.chars().rev().take(LOOK_BACK_MAX).take_while(|char| belongs(*char));
    &text[text.len() - chars.map(char::len_utf8).sum::<usize>()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_go_where_a_line_end_put_them() {
        let mut vocabulary = Vocabulary::default();
        vocabulary.learn("a Load-carrying nut, self-locking, up-to-date; the art to last, an assessment of grind- ing");
        let join = |text: &str| vocabulary.join(text);
        assert_eq!(join("vil- lages and the load- carrying nut"), "villages and the load-carrying nut");
        assert_eq!(
            join("long- and short-term, pages 3 - 5, a - b, A- level, x- axis"),
            "long- and short-term, pages 3 - 5, a - b, A- level, x- axis"
        );
        assert_eq!(join("Müh-\nlen-"), "Mühlen-");
        assert_eq!(join("state-of-the- art, up-to- date"), "state-of-the-art, up-to-date");
        assert_eq!(join("long-last- ing, self-assess- ment"), "long-lasting, self-assessment");
        assert_eq!(join("- item"), "- item");
        assert_eq!(join("well-known über‐ all"), "well-known überall");
    }

    #[test]
    fn many_hyphens_take_no_more_time_than_other_characters() {
        let started = std::time::Instant::now();
        let vocabulary = Vocabulary::default();
        assert_eq!(vocabulary.join(&"-".repeat(100_000)).len(), 100_000);
        assert_eq!(vocabulary.join(&"mill- ".repeat(20_000)).len(), 80_002);
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn ligatures_are_spelled_out_and_codes_dropped() {
        assert_eq!(readable("e\u{fb03}cient \u{f0b7} \u{e001}x\u{2}"), "efficient • x");
        assert_eq!(readable("\u{fefb}"), "\u{644}\u{627}");
        assert_eq!(unreadable_percent("ab \u{e001}\u{fffd}"), 50);
    }

    #[test]
    fn signs_tell_wrong_codes_from_code_and_numbers() {
        let percent = |text: &str| signs_percent(&text.repeat(20));
        assert_eq!(percent("!\"#$ !\"%&'!()$*$+#*'!*"), 100);
        assert!(percent("\\newcommand{\\DR}[1][0]{\\B[#1]{dr}}") < 50 && percent("(1,024.50) % - 3.1 | ....... 7") < 40);
        assert_eq!((percent("ܡܟ\u{730}ܢ \u{e40}\u{e14}\u{e47}\u{e01}"), signs_percent("!?!")), (0, 0));
    }

    #[test]
    fn a_leader_is_no_formula_and_no_number() {
        assert!(["·", "· ·", ". . . . . . 12", "· · 3", "……"].into_iter().all(is_leader));
        assert!(!["2 · 3", "...", "10.1.2.3", "12", "a · ·"].into_iter().any(is_leader));
    }
}
