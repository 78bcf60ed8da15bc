//! Text as it is compared: what typesetting, markup and models change is folded away, and each folded byte knows where it came from.

use std::collections::HashMap;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;

/// Places of one word that are looked at; a word that is everywhere locates nothing.
const MAX_PLACES: usize = 24;
/// Words by which a quote may be longer or shorter than what it quotes.
const BAND: usize = 8;
/// Words of a quote below which it must stand there letter by letter.
const FUZZY_WORDS: usize = 5;

/// Words that turn a sentence around: a quote may neither add nor drop one.
const TURNS: [&str; 14] =
    ["not", "no", "never", "none", "without", "cannot", "nor", "neither", "nothing", "unless", "except", "only", "but", "nicht"];

/// Words that support nothing.
const COMMON: [&str; 44] = [
    "the",
    "and",
    "for",
    "are",
    "was",
    "were",
    "that",
    "this",
    "with",
    "from",
    "have",
    "has",
    "had",
    "its",
    "it",
    "is",
    "a",
    "an",
    "of",
    "to",
    "in",
    "on",
    "at",
    "by",
    "as",
    "be",
    "or",
    "can",
    "may",
    "you",
    "your",
    "they",
    "them",
    "their",
    "which",
    "who",
    "when",
    "if",
    "then",
    "than",
    "also",
    "source",
    "according",
    "says",
];

/// A text, folded.
pub(super) struct Folded {
    text: String,
    /// For each byte of `text`, the bytes of the original that it stands for.
    origin: Vec<Range<u32>>,
    words: Vec<Range<u32>>,
}

impl Folded {
    /// Folds a text of less than 4 GiB.
    pub(super) fn new(original: &str) -> Self {
        let mut folded =
            Self { text: String::with_capacity(original.len()), origin: Vec::with_capacity(original.len()), words: Vec::new() };
        let mut letters = original.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let end = at + letter.len_utf8();
            match letter {
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '*' | '`' | '_' => {}
                '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {
                    // A hyphen inside a word, or at the end of a line inside one, is typesetting.
                    let before = folded.text.chars().next_back().is_some_and(char::is_alphabetic);
                    let rest = original[end..].trim_start_matches(['\n', '\r', ' ', '\t']);
                    let broken = original[end..].starts_with(['\n', '\r']);
                    let adjacent = broken || rest.len() == original.len() - end;
                    let after = rest.chars().next().is_some_and(char::is_alphabetic);
                    if before && after && adjacent {
                        while letters.next_if(|(_, next)| next.is_whitespace()).is_some() {}
                    } else {
                        folded.push('-', at..end);
                    }
                }
                '"' | '\'' | '‘' | '’' | '‚' | '‛' | '“' | '”' | '„' | '‟' | '«' | '»' | '‹' | '›' | '′' | '″' =>
                {
                    folded.push('\'', at..end);
                }
                letter if letter.is_whitespace() || letter == '|' => {
                    if !folded.text.ends_with(' ') && !folded.text.is_empty() {
                        folded.push(' ', at..end);
                    }
                }
                letter if letter.is_ascii() => folded.push(letter.to_ascii_lowercase(), at..end),
                letter => {
                    for part in std::iter::once(letter).nfkd().flat_map(char::to_lowercase) {
                        folded.push(part, at..end);
                    }
                }
            }
        }
        folded.find_words();
        folded
    }

    fn push(&mut self, letter: char, origin: Range<usize>) {
        self.text.push(letter);
        let origin = u32::try_from(origin.start).unwrap_or(u32::MAX)..u32::try_from(origin.end).unwrap_or(u32::MAX);
        self.origin.resize(self.text.len(), origin);
    }

    fn find_words(&mut self) {
        let mut start = None;
        for (at, letter) in self.text.char_indices().chain([(self.text.len(), ' ')]) {
            let inside = letter.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&letter);
            match (inside, start) {
                (true, None) => start = Some(at),
                (false, Some(begin)) => {
                    self.words.push(begin as u32..at as u32);
                    start = None;
                }
                _ => {}
            }
        }
    }

    fn word(&self, number: usize) -> &str {
        let range = &self.words[number];
        &self.text[range.start as usize..range.end as usize]
    }

    /// Bytes of the original that words `range` came from.
    fn original(&self, words: Range<usize>) -> Range<usize> {
        let (first, last) = (self.words[words.start].start as usize, self.words[words.end - 1].end as usize - 1);
        self.origin[first].start as usize..self.origin[last].end as usize
    }

    /// Where `wanted` stands, and how well: 1 where its words stand there in their order, with nothing between but what "…" leaves out.
    pub(super) fn find(&self, wanted: &Self) -> Option<(f32, Range<usize>)> {
        if wanted.words.is_empty() {
            return None;
        }
        self.find_exact(wanted).map(|range| (1.0, range)).or_else(|| self.find_close(wanted))
    }

    /// Each part between ellipses, letter by letter, in order.
    fn find_exact(&self, wanted: &Self) -> Option<Range<usize>> {
        let (mut from, mut span) = (0, None::<Range<usize>>);
        for part in wanted.text.split("...").flat_map(|part| part.split("[…]")) {
            let part = part.trim_matches(|letter: char| !letter.is_alphanumeric() && !('\u{300}'..='\u{36f}').contains(&letter));
            if part.is_empty() {
                continue;
            }
            let at = self.position(part, from)?;
            from = at + part.len();
            let (start, end) = (self.origin[at].start as usize, self.origin[from - 1].end as usize);
            span = Some(span.map_or(start..end, |span| span.start..end));
        }
        span
    }

    /// The first place of `part` behind `from` that begins and ends with words.
    fn position(&self, part: &str, mut from: usize) -> Option<usize> {
        let inside = |letter: char| letter.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&letter);
        // A place inside a word is rare; so many of them are no text.
        for _ in 0..64 {
            let at = from + self.text.get(from..)?.find(part)?;
            let before = self.text[..at].chars().next_back().is_some_and(inside);
            let after = self.text[at + part.len()..].chars().next().is_some_and(inside);
            if !before && !after {
                return Some(at);
            }
            from = at + self.text[at..].chars().next().map_or(1, char::len_utf8);
        }
        None
    }

    /// The stretch of words that is most like `wanted`, and how much: common words in order, of all that either has.
    fn find_close(&self, wanted: &Self) -> Option<(f32, Range<usize>)> {
        let length = wanted.words.len();
        if length < FUZZY_WORDS || self.words.is_empty() {
            return None;
        }
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for number in 0..self.words.len() {
            places.entry(self.word(number)).or_default().push(number);
        }
        // Words vote for where the quote would begin; rare ones weigh more.
        let mut votes: HashMap<usize, f32> = HashMap::new();
        for number in 0..length {
            let Some(at) = places.get(wanted.word(number)) else { continue };
            for place in at.iter().take(MAX_PLACES) {
                *votes.entry(place + length - number).or_default() += 1.0 / at.len() as f32;
            }
        }
        let near = |at: usize| (at.saturating_sub(2)..=at + 2).filter_map(|at| votes.get(&at)).sum::<f32>();
        let best = votes.keys().copied().max_by(|&a, &b| near(a).total_cmp(&near(b)).then(b.cmp(&a)))?;
        let start = best.saturating_sub(length + BAND);
        let end = (best + BAND).min(self.words.len());
        if start >= end {
            return None;
        }
        let pairs = self.aligned(wanted, start..end);
        let (first, last) = (pairs.first()?.1, pairs.last()?.1);
        let covered = (last - first + 1).max(length) as f32;
        let score = pairs.len() as f32 / covered;
        // What changes a number or turns the sentence around is another statement, however alike.
        let score = if self.is_turned(wanted, first..last + 1, &pairs) { score.min(RELATED_AT_MOST) } else { score };
        Some((score, self.original(first..last + 1)))
    }

    /// The longest common run of words in order, within a band: (word of `wanted`, word of `self`).
    fn aligned(&self, wanted: &Self, window: Range<usize>) -> Vec<(usize, usize)> {
        let (rows, width) = (wanted.words.len(), 4 * BAND + 1);
        // best[row][band]: the longest run of the first `row` words with those up to `row + band - 2 * BAND` of the window.
        let mut best = vec![0u32; (rows + 1) * width];
        let column = |row: usize, band: usize| (row + band).checked_sub(2 * BAND);
        for row in 1..=rows {
            for band in 0..width {
                let Some(at) = column(row, band).filter(|at| *at > 0 && *at <= window.len()) else { continue };
                let up = if band + 1 < width { best[(row - 1) * width + band + 1] } else { 0 };
                let left = if band > 0 { best[row * width + band - 1] } else { 0 };
                let same = wanted.word(row - 1) == self.word(window.start + at - 1);
                let both = if same { best[(row - 1) * width + band] + 1 } else { 0 };
                best[row * width + band] = up.max(left).max(both);
            }
        }
        let mut pairs = Vec::new();
        let (mut row, mut band) = (rows, 0);
        for candidate in 0..width {
            if column(rows, candidate).is_some_and(|at| at <= window.len())
                && best[rows * width + candidate] > best[rows * width + band]
            {
                band = candidate;
            }
        }
        while row > 0 {
            let here = best[row * width + band];
            let Some(at) = column(row, band).filter(|at| *at > 0) else { break };
            if here == 0 {
                break;
            }
            let in_window = at <= window.len();
            if in_window && wanted.word(row - 1) == self.word(window.start + at - 1) && best[(row - 1) * width + band] + 1 == here
            {
                pairs.push((row - 1, window.start + at - 1));
                row -= 1;
            } else if band > 0 && best[row * width + band - 1] == here {
                band -= 1;
            } else if band + 1 < width {
                row -= 1;
                band += 1;
            } else {
                break;
            }
        }
        pairs.reverse();
        pairs
    }

    /// Whether a word that is not common to both changes a number or turns the sentence around.
    fn is_turned(&self, wanted: &Self, span: Range<usize>, pairs: &[(usize, usize)]) -> bool {
        let matters = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit()) || TURNS.contains(&word);
        let mut ours = pairs.iter().map(|pair| pair.0).peekable();
        let lost = (0..wanted.words.len()).any(|number| ours.next_if_eq(&number).is_none() && matters(wanted.word(number)));
        let mut theirs = pairs.iter().map(|pair| pair.1).peekable();
        lost || span.into_iter().any(|number| theirs.next_if_eq(&number).is_none() && matters(self.word(number)))
    }

    /// How many of a statement's words its best stretch of this text holds, 0 to 1, and where that stretch is. A number that is
    /// nowhere here halves it.
    pub(super) fn support(&self, claim: &Self) -> (f32, Option<Range<usize>>) {
        let mut asked: HashMap<String, bool> = HashMap::new();
        for number in 0..claim.words.len() {
            let word = claim.word(number);
            if !COMMON.contains(&word) && (word.len() > 2 || word.bytes().all(|byte| byte.is_ascii_digit())) {
                asked.insert(stem(word), false);
            }
        }
        if asked.is_empty() || self.words.is_empty() {
            return (0.0, None);
        }
        // A window of words slides over the text, counting distinct words of the statement.
        let window = (claim.words.len() * 2).clamp(12, 80);
        let stems: Vec<String> = (0..self.words.len()).map(|number| stem(self.word(number))).collect();
        let (mut held, mut distinct): (HashMap<&str, usize>, usize) = (HashMap::new(), 0);
        let (mut best, mut best_at) = (0, 0..1);
        for at in 0..stems.len() {
            if asked.contains_key(&stems[at]) {
                let count = held.entry(&stems[at]).or_default();
                distinct += usize::from(*count == 0);
                *count += 1;
            }
            if at >= window && asked.contains_key(&stems[at - window]) {
                let count = held.entry(&stems[at - window]).or_default();
                *count -= 1;
                distinct -= usize::from(*count == 0);
            }
            if distinct > best {
                (best, best_at) = (distinct, at.saturating_sub(window - 1)..at + 1);
            }
        }
        let mut score = best as f32 / asked.len() as f32;
        let known: std::collections::HashSet<&str> = stems.iter().map(String::as_str).collect();
        let is_number = |word: &String| word.bytes().any(|byte| byte.is_ascii_digit());
        if asked.keys().any(|word| is_number(word) && !known.contains(word.as_str())) {
            score /= 2.0;
        }
        // The stretch begins and ends with words that count.
        let counts = |number: &usize| asked.contains_key(&stems[*number]);
        let range = best_at.clone().find(counts).zip(best_at.rev().find(counts));
        (score, range.map(|(first, last)| self.original(first..last + 1)))
    }
}

/// A quote that changes a number or turns a sentence around is at most this alike.
const RELATED_AT_MOST: f32 = 0.6;

/// A word without its commonest English endings: enough to compare a statement with its source.
fn stem(word: &str) -> String {
    let mut word = word;
    for ending in ["'s", "ing", "ed", "es", "s", "ly"] {
        if let Some(short) = word.strip_suffix(ending)
            && short.chars().count() >= 4
        {
            word = short;
            break;
        }
    }
    word.strip_suffix('e').filter(|short| short.len() >= 4).unwrap_or(word).to_owned()
}
