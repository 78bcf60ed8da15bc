//! A source: where a quote stands in it, and how much of a statement it holds.

use std::cell::OnceCell;
use std::ops::Range;

use super::CHANGED;
use super::denial;
use super::fold::Folded;

/// Places of one word that are looked at; a word that is everywhere locates nothing.
const MAX_PLACES: usize = 24;
/// Words by which a quote may be longer or shorter than what it quotes.
const BAND: usize = 10;
/// Ways on which a quote and its source may drift apart within the band.
const WIDTH: usize = 2 * BAND + 1;
/// Words of each part of a quote that leaves something out: of single words, anything can be put together.
const MIN_PART: usize = 2;
/// Words that an ellipsis may leave out: more than a few sentences away, another thing is spoken of.
const MAX_LEFT_OUT: usize = 100;
/// Letters from which a word may have a typing error. Shorter ones are soon another word.
const TYPO_LETTERS: usize = 7;

/// Words that a quote may have or lack. No other: "not", "may", "no", "kein" and numbers make another statement.
const SLIPS: [&str; 8] = ["a", "an", "and", "also", "of", "that", "the", "then"];

/// What a word costs that a quote may have, lack or misspell.
const SLIP: u64 = 1;
/// What any other costs: more than all of the first kind together.
const CHANGE: u64 = 1 << 32;

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

/// A source, folded. What is looked up in it is sorted when it is first needed.
pub(super) struct Source {
    folded: Folded,
    by_word: OnceCell<Vec<u32>>,
    by_stem: OnceCell<Vec<u32>>,
}

/// A way to read a quote so far: what it costs, and the word of the source where it begins.
#[derive(Clone, Copy)]
struct Way {
    cost: u64,
    start: usize,
}

impl Way {
    const NONE: Self = Self { cost: u64::MAX / 2, start: 0 };

    fn plus(self, cost: u64) -> Self {
        Self { cost: self.cost + cost, ..self }
    }

    /// The cheaper; of equals the shorter.
    fn or(self, other: Self) -> Self {
        if (other.cost, std::cmp::Reverse(other.start)) < (self.cost, std::cmp::Reverse(self.start)) { other } else { self }
    }
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        Self { folded: Folded::new(text), by_word: OnceCell::new(), by_stem: OnceCell::new() }
    }

    /// Where `wanted` stands, and how well: 1 where its words stand there in their order, with nothing between but what "…"
    /// leaves out; at least [`super::VERBATIM`] where they differ in nothing that matters, and at most [`CHANGED`] otherwise.
    /// Behind a word that denies it, it is another statement, unless the answer says so as well (`is_denied`).
    pub(super) fn find(&self, wanted: &Folded, is_denied: bool) -> Option<(f32, Range<usize>)> {
        let turns = |word: usize| !is_denied && denial::is_denied(&self.folded, word);
        let exact = self.find_exact(wanted, turns).map(|words| (1.0, words));
        let (score, words) = exact.or_else(|| self.find_close(wanted))?;
        Some((if turns(words.start) { score.min(CHANGED) } else { score }, self.folded.original(words)))
    }

    /// Each part between ellipses, word by word, in order and close together.
    fn find_exact(&self, wanted: &Folded, turns: impl Fn(usize) -> bool) -> Option<Range<usize>> {
        let parts: Vec<Range<usize>> = wanted.parts().collect();
        let (first, others) = parts.split_first()?;
        if !others.is_empty() && parts.iter().any(|part| part.len() < MIN_PART) {
            return None;
        }
        let mut from = 0;
        for _ in 0..MAX_PLACES {
            let place = self.folded.position(wanted, first, from..self.folded.len())?;
            from = place.start + 1;
            let end = others.iter().try_fold(place.end, |end, part| {
                let until = (end + MAX_LEFT_OUT + part.len()).min(self.folded.next_paragraphs_end(end - 1));
                self.folded.position(wanted, part, end..until).filter(|next| !turns(next.start)).map(|next| next.end)
            });
            if let Some(end) = end.filter(|_| !turns(place.start)) {
                return Some(place.start..end);
            }
        }
        None
    }

    /// The stretch of words that is most like `wanted`, and how much.
    fn find_close(&self, wanted: &Folded) -> Option<(f32, Range<usize>)> {
        let order = self.by_word.get_or_init(|| self.sorted(|word| word));
        // Words vote for where the quote would begin; rare ones weigh more.
        let mut votes: Vec<(usize, u32)> = Vec::new();
        for number in 0..wanted.len() {
            let places = self.places(order, wanted.word(number), |word| word);
            let weight = (1 << 16) / places.len().max(1) as u32;
            votes.extend(places.iter().take(MAX_PLACES).map(|place| (*place as usize + wanted.len() - number, weight)));
        }
        votes.sort_unstable();
        let (mut first, mut sum, mut best) = (0, 0, (0, 0));
        for (last, (at, weight)) in votes.iter().enumerate() {
            sum += weight;
            while votes[first].0 + 4 < *at {
                sum -= votes[first].1;
                first += 1;
            }
            if sum > best.0 {
                best = (sum, usize::midpoint(votes[first].0, votes[last].0));
            }
        }
        if best.0 == 0 {
            return None;
        }
        let (cost, words) = self.align(wanted, best.1)?;
        let (changes, slips) = (cost / CHANGE, cost % CHANGE);
        let score = (1.0 - (changes + slips) as f32 / wanted.len() as f32).max(0.0);
        Some((if changes > 0 { score.min(CHANGED) } else { score }, words))
    }

    /// The cheapest way to read `wanted` near a place, where it would begin at word `place - wanted.len()`: its cost and its
    /// words.
    fn align(&self, wanted: &Folded, place: usize) -> Option<(u64, Range<usize>)> {
        // A row is what is read of `wanted`, a column what is read of the source: `row + place + drift - BAND - wanted.len()`
        // words.
        let column = |row: usize, drift: usize| {
            (row + place + drift).checked_sub(BAND + wanted.len()).filter(|column| *column <= self.folded.len())
        };
        let mut before = [Way::NONE; WIDTH];
        let mut last = [Way::NONE; WIDTH];
        for (drift, way) in last.iter_mut().enumerate() {
            *way = column(0, drift).map_or(Way::NONE, |start| Way { cost: 0, start });
        }
        for row in 1..=wanted.len() {
            let word = wanted.word(row - 1);
            let mut now = [Way::NONE; WIDTH];
            for drift in 0..WIDTH {
                let Some(column) = column(row, drift) else { continue };
                let next = |ways: &[Way; WIDTH]| ways.get(drift + 1).copied().unwrap_or(Way::NONE);
                // The quote has a word more.
                let mut way = next(&last).plus(lone(word));
                if column == 0 {
                    way = way.or(Way { cost: row as u64 * CHANGE, start: 0 });
                } else {
                    let other = self.folded.word(column - 1);
                    way = way.or(last[drift].plus(changed(word, other)));
                    if row > 1 && is_joined(wanted.word(row - 2), word, other) {
                        way = way.or(next(&before));
                    }
                    if drift > 0 {
                        // The source has one more.
                        way = way.or(now[drift - 1].plus(lone(other)));
                        if column > 1 && is_joined(self.folded.word(column - 2), other, word) {
                            way = way.or(last[drift - 1]);
                        }
                    }
                }
                now[drift] = way;
            }
            (before, last) = (last, now);
        }
        let ways = last.iter().enumerate().filter_map(|(drift, way)| Some((*way, column(wanted.len(), drift)?)));
        // "can" of "cannot" is another word.
        let ways = ways.map(|(way, end)| (way.plus(if self.folded.is_split(end) { CHANGE } else { 0 }), end));
        let ways = ways.filter(|(way, _)| way.cost < Way::NONE.cost);
        let (way, end) = ways.min_by_key(|(way, end)| (way.cost, std::cmp::Reverse(way.start), *end))?;
        (way.start < end).then_some((way.cost, way.start..end))
    }

    /// How many of a statement's words its best stretch of this text holds, 0 to 1, and where that stretch is. A number that is
    /// nowhere here halves it.
    pub(super) fn support(&self, claim: &Folded) -> (f32, Option<Range<usize>>) {
        let is_number = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
        let counts = |word: &&str| !COMMON.contains(word) && (word.len() > 2 || is_number(word));
        let mut asked: Vec<&str> = (0..claim.len()).map(|number| claim.word(number)).filter(counts).map(stem).collect();
        asked.sort_unstable();
        asked.dedup();
        if asked.is_empty() {
            return (0.0, None);
        }
        let order = self.by_stem.get_or_init(|| self.sorted(stem));
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut is_missing = false;
        for (number, word) in asked.iter().enumerate() {
            let found = self.places(order, word, stem);
            is_missing |= found.is_empty() && is_number(word);
            places.extend(found.iter().map(|place| (*place as usize, number)));
        }
        places.sort_unstable();
        // A window of words slides over the text, counting distinct words of the statement.
        let window = (claim.len() * 2).clamp(12, 80);
        let mut held = vec![0u32; asked.len()];
        let (mut first, mut distinct, mut best, mut range) = (0, 0, 0, None);
        for (place, number) in &places {
            distinct += usize::from(held[*number] == 0);
            held[*number] += 1;
            while places[first].0 + window <= *place || held[places[first].1] > 1 {
                held[places[first].1] -= 1;
                distinct -= usize::from(held[places[first].1] == 0);
                first += 1;
            }
            if distinct > best {
                (best, range) = (distinct, Some(places[first].0..place + 1));
            }
        }
        let score = best as f32 / asked.len() as f32;
        (if is_missing { score / 2.0 } else { score }, range.map(|words| self.folded.original(words)))
    }

    /// The words' numbers in the order of a key.
    fn sorted(&self, key: fn(&str) -> &str) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.folded.len() as u32).collect();
        order.sort_by_key(|number| key(self.folded.word(*number as usize)));
        order
    }

    /// Where words with a key stand, in order.
    fn places<'a>(&self, order: &'a [u32], wanted: &str, key: fn(&str) -> &str) -> &'a [u32] {
        let key = |number: &u32| key(self.folded.word(*number as usize));
        let start = order.partition_point(|number| key(number) < wanted);
        let length = order[start..].partition_point(|number| key(number) == wanted);
        &order[start..start + length]
    }
}

/// What a word costs that only one side has.
fn lone(word: &str) -> u64 {
    if SLIPS.contains(&word) { SLIP } else { CHANGE }
}

/// What it costs to read one word for another.
fn changed(word: &str, other: &str) -> u64 {
    if word == other {
        0
    } else if is_misspelt(word, other) || (SLIPS.contains(&word) && SLIPS.contains(&other)) {
        SLIP
    } else {
        CHANGE
    }
}

/// Whether two words are one, parted where a hyphen or a line end was. Digits that were parted were two numbers.
fn is_joined(left: &str, right: &str, whole: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    left.len() + right.len() == whole.len()
        && whole.starts_with(left)
        && whole.ends_with(right)
        && !(is_digit(left.as_bytes().last()) && is_digit(right.as_bytes().first()))
}

/// Whether two long words differ by one letter inside, or by two that changed places.
fn is_misspelt(word: &str, other: &str) -> bool {
    if word.len().min(other.len()) < TYPO_LETTERS
        || word.len().abs_diff(other.len()) > 2
        || word.as_bytes()[0] != other.as_bytes()[0]
    {
        return false;
    }
    let common = |(a, b): &(char, char)| a == b && a.is_alphabetic();
    let head: usize = word.chars().zip(other.chars()).take_while(common).map(|(a, _)| a.len_utf8()).sum();
    let (word, other) = (&word[head..], &other[head..]);
    let tail: usize = word.chars().rev().zip(other.chars().rev()).take_while(common).map(|(a, _)| a.len_utf8()).sum();
    let mut left = word[..word.len() - tail].chars();
    let mut right = other[..other.len() - tail].chars();
    let (a, b) = ((left.next(), left.next(), left.next()), (right.next(), right.next(), right.next()));
    let is_letter = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_numeric());
    let is_close = match (a, b) {
        ((a, None, _), (b, None, _)) => is_letter(a) && is_letter(b),
        ((a, b, None), (c, d, None)) => a == d && b == c,
        _ => false,
    };
    head > 0 && tail > 0 && is_close
}

/// A word without its commonest English endings: enough to compare a statement with its source.
fn stem(word: &str) -> &str {
    let mut word = word;
    for ending in ["ing", "ed", "es", "s", "ly"] {
        if let Some(short) = word.strip_suffix(ending)
            && short.chars().count() >= 4
        {
            word = short;
            break;
        }
    }
    word.strip_suffix('e').filter(|short| short.len() >= 4).unwrap_or(word)
}

#[cfg(test)]
mod tests;
