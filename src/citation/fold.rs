//! Text as it is compared: words in a row. What typesetting, markup and models change is folded away; what changes a meaning
//! (signs, decimal points, comparisons, currencies, "n't") stays, as part of a word or a word of its own. Each word knows where
//! it came from.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

use super::markup::{bracketed, is_address, is_tag, link_name, link_target, link_text};
use crate::passage::is_invisible;
use crate::sentence;

/// What ends a sentence or a part of one.
const STOPS: [char; 16] = ['.', ',', ';', ':', '!', '?', '|', '(', ')', '—', '。', '，', '、', '；', '।', '؟'];
/// A text, folded.
#[derive(Default)]
pub(super) struct Folded {
    /// The words, a blank before and behind each.
    text: String,
    words: Vec<Word>,
    /// Before which words something is left out, "...".
    ellipses: Vec<usize>,
    /// Before which words a paragraph begins.
    paragraphs: Vec<usize>,
    /// Before which words a sentence or a part of one ends.
    stops: Vec<usize>,
    /// Whether the last word goes on.
    is_open: bool,
    /// Where the bracket behind an address stands.
    closing: Option<usize>,
}

/// Bytes of a word in the folded text and in the original.
#[derive(Clone)]
struct Word {
    text: Range<u32>,
    origin: Range<u32>,
}

impl Folded {
    /// Folds a text of less than 4 GiB.
    pub(super) fn new(original: &str) -> Self {
        let mut folded = Self { text: String::with_capacity(original.len() + 8), ..Self::default() };
        folded.text.push(' ');
        let mut next = 0;
        for (at, letter) in original.char_indices() {
            if at >= next {
                next = at + folded.take(original, at, letter);
            }
        }
        folded.end_word();
        folded
    }

    /// Takes the letter at a place, and says how many bytes it was with what belongs to it.
    fn take(&mut self, original: &str, at: usize, letter: char) -> usize {
        let end = at + letter.len_utf8();
        let (rest, origin) = (&original[end..], at..end);
        let is_before_digit = rest.starts_with(|next: char| next.is_ascii_digit());
        match letter {
            letter if is_invisible(letter) => {}
            '*' | '`' | '_' | '\\' | ']' | '<' | '>' | '=' | '!' | '+' => return self.mark(original, at, letter),
            '-' | '\u{2010}'..='\u{2013}' | '\u{2212}' => return self.dash(original, at, letter),
            '\n' if rest.trim_start_matches([' ', '\t', '\r']).starts_with('\n') => {
                self.end_word();
                if self.paragraphs.last() != Some(&self.words.len()) {
                    self.paragraphs.push(self.words.len());
                }
            }
            '\n' => {
                self.end_word();
                if self.is_over(rest.trim_start_matches([' ', '\t', '\r', '>'])) {
                    self.stop();
                }
            }
            '…' => self.leave_out(),
            '.' if rest.starts_with("..") => {
                self.leave_out();
                return 3;
            }
            '.' | ',' | ':' | '/' | '\u{2044}' if self.ends_with_digit() && is_before_digit => {
                self.push(if letter == '\u{2044}' { '/' } else { letter }, origin);
            }
            '.' if is_before_digit && !self.ends_with(char::is_alphanumeric) => {
                self.push('0', origin.clone());
                self.push('.', origin);
            }
            '\'' | '’' | '‘' | '\u{2bc}' | '′' if self.is_open && is_negation(&original[..at], rest) => {
                self.negate(at - 1..end + 1);
                return letter.len_utf8() + 1;
            }
            '\u{2bc}' => self.end_word(),
            '≤' => self.symbol("<=", origin),
            '≥' => self.symbol(">=", origin),
            '≠' => self.symbol("!=", origin),
            // A power, a footnote or a fraction behind a number is no digit of it.
            '²' | '³' | '¹' | '¼'..='¾' | '\u{2070}'..='\u{209c}' | '\u{2150}'..='\u{215f}' => {
                self.end_word();
                std::iter::once(letter).nfkd().for_each(|part| self.part(part, origin.clone()));
                self.end_word();
            }
            letter if letter.is_ascii() => self.part(letter.to_ascii_lowercase(), origin),
            letter => {
                let parts = std::iter::once(letter).nfkd().flat_map(char::to_lowercase);
                parts.for_each(|part| self.part(part, origin.clone()));
            }
        }
        letter.len_utf8()
    }

    /// Takes a dash: the sign of a number, or what binds or parts words.
    fn dash(&mut self, original: &str, at: usize, dash: char) -> usize {
        let length = dash.len_utf8();
        let (before, rest) = (&original[..at], &original[at + length..]);
        if is_sign(before, rest) {
            self.end_word();
            self.push('-', at..at + length);
            return length;
        }
        let is_hyphen = matches!(dash, '-' | '\u{2010}' | '\u{2011}');
        // At the end of a line inside a word it is typesetting; elsewhere it parts words.
        let blank = rest.len() - rest.trim_start().len();
        let is_broken = is_hyphen && rest[..blank].contains(['\n', '\r']);
        if is_broken && self.ends_with(char::is_alphabetic) && rest[blank..].starts_with(char::is_alphabetic) {
            return length + blank;
        }
        if before.ends_with(char::is_whitespace) && blank > 0 {
            self.stop();
        }
        self.end_word();
        // Of an arrow nothing is left.
        length + usize::from(is_hyphen && rest.starts_with('>'))
    }

    /// Takes what may be markup.
    fn mark(&mut self, original: &str, at: usize, mark: char) -> usize {
        let (before, rest) = (&original[..at], &original[at + 1..]);
        match mark {
            '*' | '`' | '_' | '\\' => {
                if self.ends_with_digit() && rest.starts_with(|next: char| next.is_ascii_digit()) {
                    self.end_word();
                }
            }
            // Where a link leads is not text.
            ']' if rest.starts_with('(') => {
                self.end_word();
                return 1 + link_target(rest).unwrap_or(0);
            }
            ']' if rest.starts_with('[') && link_text(&original[..=at]).is_some() => {
                self.end_word();
                return 1 + link_name(rest).unwrap_or(0);
            }
            '<' => match bracketed(rest) {
                Some(tag) if is_tag(tag) => {
                    self.end_word();
                    return tag.len() + 2;
                }
                Some(address) if is_address(address) => {
                    self.end_word();
                    self.closing = Some(at + 1 + address.len());
                }
                _ => return self.compare(original, at),
            },
            '>' if self.closing == Some(at) => self.end_word(),
            '>' | '=' => return self.compare(original, at),
            '!' if rest.starts_with('=') => return self.compare(original, at),
            '+' if rest.starts_with(' ') && begins_line(before, false) => self.end_word(),
            mark => self.part(mark, at..at + 1),
        }
        1
    }

    /// Takes a letter without compatibility forms and capitals.
    fn part(&mut self, letter: char, origin: Range<usize>) {
        match letter {
            '\u{300}'..='\u{36f}' if !self.is_open => {}
            // Vowels that Arabic may be written with, and its letters drawn out.
            '\u{64b}'..='\u{652}' | '\u{640}' => {}
            '\u{300}'..='\u{36f}' => self.push(letter, origin),
            '\u{2044}' if self.is_open => self.push('/', origin),
            // Scripts without blanks: each letter is a word.
            '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3fffd}' => {
                self.end_word();
                self.push(letter, origin);
                self.end_word();
            }
            '<' | '>' | '=' | '%' | '‰' | '+' | '±' | '≈' => self.symbol(letter.encode_utf8(&mut [0; 4]), origin),
            letter if is_currency(letter) => self.symbol(letter.encode_utf8(&mut [0; 4]), origin),
            letter if letter.is_alphanumeric() => self.push(letter, origin),
            letter if STOPS.contains(&letter) => self.stop(),
            _ => self.end_word(),
        }
    }

    /// Takes a run of `<`, `>`, `=`: a comparison, unless it is the mark of a quoted line or the rule below a heading.
    fn compare(&mut self, original: &str, at: usize) -> usize {
        let run = original[at..].bytes().take_while(|byte| b"<>=!".contains(byte)).count();
        let sign = &original[at..at + run];
        let is_markup = |mark: char| sign.trim_matches(mark).is_empty() && begins_line(&original[..at], mark == '>');
        if is_markup('>') || is_markup('=') {
            self.end_word();
        } else {
            self.symbol(sign, at..at + run);
        }
        run
    }

    /// Takes a word that is no letters; a minus before it stays with it.
    fn symbol(&mut self, symbol: &str, origin: Range<usize>) {
        if !(self.is_open && self.words.last().is_some_and(|last| &self.text[last.text.start as usize..] == "-")) {
            self.end_word();
        }
        symbol.chars().for_each(|letter| self.push(letter, origin.clone()));
        self.end_word();
    }

    /// Makes two words of one that ends with the first letter of `n't`: `don't` is "do not".
    fn negate(&mut self, not: Range<usize>) {
        self.text.pop();
        let Some(last) = self.words.last_mut() else { return };
        let start = last.text.start as usize;
        let (kept, more) = match &self.text[start..] {
            "ca" => (2, "n"),
            "wo" => (1, "ill"),
            "sha" => (3, "ll"),
            stem => (stem.len(), ""),
        };
        self.text.truncate(start + kept);
        self.text.push_str(more);
        last.text.end = self.text.len() as u32;
        last.origin.end -= 1;
        if last.text.is_empty() {
            self.words.pop();
            self.is_open = false;
        }
        self.symbol("not", not);
    }

    /// Ends a sentence or a part of one.
    fn stop(&mut self) {
        self.end_word();
        if self.stops.last() != Some(&self.words.len()) {
            self.stops.push(self.words.len());
        }
    }

    /// Whether what ends with a line does not go on in the next one: that begins an item or a heading, or with a capital behind a
    /// word that is a part by itself, as in a row of a table. Elsewhere a capital may be a noun's or a name's.
    fn is_over(&self, next: &str) -> bool {
        let is_alone = || self.words.len().checked_sub(1).is_some_and(|last| self.is_parted(last));
        sentence::marker(next) > 0 || next.starts_with('#') || next.starts_with(char::is_uppercase) && is_alone()
    }

    fn leave_out(&mut self) {
        self.end_word();
        self.ellipses.push(self.words.len());
    }

    fn push(&mut self, letter: char, origin: Range<usize>) {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        if !self.is_open {
            let begin = place(self.text.len());
            self.words.push(Word { text: begin..begin, origin: place(origin.start)..0 });
            self.is_open = true;
        }
        self.text.push(letter);
        if let Some(last) = self.words.last_mut() {
            last.text.end = place(self.text.len());
            last.origin.end = place(origin.end);
        }
    }

    fn end_word(&mut self) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let Some(last) = self.words.last_mut() else { return };
        let start = last.text.start as usize;
        if let Some(number) = without_commas(&self.text[start..]) {
            self.text.truncate(start);
            self.text.push_str(&number);
            last.text.end = self.text.len() as u32;
        }
        if &self.text[start..] == "cannot" {
            self.text.insert(start + 3, ' ');
            last.text.end = start as u32 + 3;
            let not = Word { text: start as u32 + 4..start as u32 + 7, origin: last.origin.clone() };
            self.words.push(not);
        }
        self.text.push(' ');
    }

    fn ends_with(&self, is_such: fn(char) -> bool) -> bool {
        self.is_open && self.text.ends_with(is_such)
    }

    fn ends_with_digit(&self) -> bool {
        self.ends_with(|letter| letter.is_ascii_digit())
    }

    /// How many words it has.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The word of a number.
    pub(super) fn word(&self, number: usize) -> &str {
        let range = &self.words[number].text;
        &self.text[range.start as usize..range.end as usize]
    }

    /// Bytes of the original that some words came from.
    pub(super) fn original(&self, words: Range<usize>) -> Range<usize> {
        self.words[words.start].origin.start as usize..self.words[words.end - 1].origin.end as usize
    }

    /// The words between ellipses, part by part.
    pub(super) fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ellipses.iter().copied());
        let ends = self.ellipses.iter().copied().chain([self.words.len()]);
        starts.zip(ends).map(|(start, end)| start..end).filter(|part| !part.is_empty())
    }

    /// The first place within words `within` where some words of `wanted` stand: which words these are.
    pub(super) fn position(&self, wanted: &Self, words: &Range<usize>, within: Range<usize>) -> Option<Range<usize>> {
        let begin = self.words.get(within.start)?.text.start as usize - 1;
        let end = self.words.get(within.end).map_or(self.text.len(), |next| next.text.start as usize);
        let needle =
            &wanted.text[wanted.words[words.start].text.start as usize - 1..wanted.words[words.end - 1].text.end as usize + 1];
        let places = self.text[begin..end].match_indices(needle).map(|(offset, _)| (begin + offset + 1) as u32);
        places
            .map(|place| self.words.partition_point(|word| word.text.start < place))
            .map(|first| first..first + words.len())
            .find(|found| !self.is_split(found.end))
    }

    /// Where the paragraph behind the next one begins, seen from a word.
    pub(super) fn next_paragraphs_end(&self, word: usize) -> usize {
        let next = self.paragraphs.partition_point(|start| *start <= word);
        self.paragraphs.get(next + 1).copied().unwrap_or(self.words.len())
    }

    /// Whether a sentence or a part of one ends before a word.
    pub(super) fn is_parted(&self, word: usize) -> bool {
        word == 0 || self.stops.binary_search(&word).is_ok() || self.paragraphs.binary_search(&word).is_ok()
    }

    /// Whether a stretch that ends before this word loses the "not" of its last word, as in "can|not".
    pub(super) fn is_split(&self, next: usize) -> bool {
        (1..self.len()).contains(&next)
            && self.word(next) == "not"
            && self.words[next].origin.start <= self.words[next - 1].origin.end
    }
}

/// Whether a dash is the sign of a number: nothing that it could part or bind stands before it.
fn is_sign(before: &str, rest: &str) -> bool {
    let is_bound = before.ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '-' | ')' | ']' | '%' | '.'));
    let number = rest.strip_prefix(is_currency).unwrap_or(rest);
    !is_bound && number.strip_prefix('.').unwrap_or(number).starts_with(|letter: char| letter.is_ascii_digit())
}

fn is_currency(letter: char) -> bool {
    matches!(letter, '$' | '£' | '¥' | '\u{20a0}'..='\u{20c0}')
}

/// Whether `n't` stands around an apostrophe.
fn is_negation(before: &str, rest: &str) -> bool {
    before.ends_with(['n', 'N']) && rest.starts_with(['t', 'T']) && !rest[1..].starts_with(char::is_alphanumeric)
}

/// Whether only blanks and marks of quoted lines stand before a place on its line. Where the place is such a mark itself, the
/// line before must be blank or quoted too: in a wrapped line it is a comparison.
fn begins_line(before: &str, is_quoted: bool) -> bool {
    // So many marks are no text.
    let marks = before.bytes().rev().take(64).take_while(|byte| matches!(byte, b' ' | b'\t' | b'>')).count();
    let Some(above) = before[..before.len() - marks].strip_suffix('\n') else { return marks == before.len() };
    let line = above.rsplit('\n').next().unwrap_or_default().trim();
    !is_quoted || marks > 0 && before[before.len() - marks..].contains('>') || line.is_empty() || line.starts_with('>')
}

/// A number without the commas that group its digits, and with a point for one that parts them.
fn without_commas(word: &str) -> Option<String> {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let (whole, rest) = word.split_once(',')?;
    let whole = whole.trim_start_matches(|letter| !is_digit(letter));
    let digits = |group: &str| group.len() - group.trim_start_matches(is_digit).len();
    if whole != "0" && digits(whole) <= 3 && rest.split(',').all(|group| digits(group) == 3) {
        return Some(word.replace(',', ""));
    }
    (!rest.contains([',', '.'])).then(|| word.replace(',', "."))
}
