//! The smallest pieces that chunks are made of, and how large any run of them is.
//!
//! An atom is a word between white space. Words that are long, in characters or tokens, are broken further (UAX #29, then a few
//! characters each), so that text without spaces can be cut too. The document is tokenised once, and a run of atoms that begins
//! and ends at white space is counted by subtraction: WordPiece never looks across white space. Only a run that ends inside a
//! word has to be tokenised by itself.

use std::ops::Range;

use omni_retrieval::embed::Tokenizer;
use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;

/// Characters that a chunk may hold for each of its tokens. English prose and Markdown have 3 to 5, so the cap is met only where
/// the count of tokens says nothing of the length: a word of over 100 characters is one unknown token, however long.
pub(super) const CHARS_PER_TOKEN: usize = 8;

/// A word that is longer, in characters, may be broken.
const WORD_CHARS: usize = 24;

/// A word of more tokens may be broken.
const WORD_TOKENS: usize = 8;

/// Characters of a piece of a broken word. No character is more than three tokens (a Hangul syllable), so a piece is at most 24.
const FRAGMENT_CHARS: usize = 8;

/// Indentation that a chunk beginning with this line keeps, in bytes; deeper than that, white space is only weight.
const INDENTATION: usize = 40;

/// About how much text is tokenised at a time: the tokenizer needs some hundred bytes of memory for each token.
const TOKENIZE_BYTES: usize = 1 << 18;

/// What sizes are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Unicode scalar values.
    Characters,
    /// Tokens of the embedding model.
    Tokens,
}

/// An upper bound on a run of atoms; both hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) tokens: usize,
    pub(super) chars: usize,
}

/// What stands between an atom and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// White space, or the start of the text.
    Space,
    /// Nothing, but UAX #29 or a mark of the strategy sees a boundary.
    Inner,
    /// Nothing: a long word had to be broken.
    Fragment,
}

/// One atom. Counts are those of the text before it.
#[derive(Debug)]
struct Atom {
    span: Range<usize>,
    /// Indentation before it where it is the first of its line, in bytes and in characters.
    indent: usize,
    chars: Range<usize>,
    tokens: usize,
    gap: Gap,
}

/// The atoms of one document. Positions are indexes of atoms; a run `i..j` is the text from atom `i` through atom `j - 1`.
pub(super) struct Atoms<'a> {
    text: &'a str,
    tokenizer: &'a Tokenizer,
    atoms: Vec<Atom>,
    tokens: usize,
}

impl<'a> Atoms<'a> {
    /// Breaks `text`. At each of `cuts` (ascending) one atom ends, inside a word too.
    pub(super) fn new(text: &'a str, cuts: &[usize], tokenizer: &'a Tokenizer) -> Self {
        let token_starts = token_starts(text, tokenizer);
        let mut builder = Builder { text, token_starts: &token_starts, atoms: Vec::new(), chars: 0, at: 0, token: 0, line: 0 };
        let mut cuts = cuts.iter().copied().peekable();
        let mut end = 0;
        for piece in text.split_inclusive(is_space) {
            let start = end;
            end += piece.len();
            let word = start..start + piece.trim_end_matches(is_space).len();
            let mut inner = Vec::new();
            while let Some(cut) = cuts.next_if(|&cut| cut < end) {
                if cut > word.start && cut < word.end {
                    inner.push(cut);
                }
            }
            if !text[word.clone()].trim().is_empty() {
                builder.word(word, &inner);
            }
            if piece.ends_with('\n') {
                builder.line = end;
            }
        }
        let atoms = builder.atoms;
        Self { text, tokenizer, atoms, tokens: token_starts.len() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.atoms.len()
    }

    /// The first atom that starts at or after the byte `offset`.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.atoms.partition_point(|atom| atom.span.start < offset)
    }

    /// What stands before atom `index`.
    pub(super) fn gap(&self, index: usize) -> Gap {
        self.atoms[index].gap
    }

    /// The bytes of a run that is not empty, with the indentation of its first line.
    pub(super) fn span(&self, run: &Range<usize>) -> Range<usize> {
        let first = &self.atoms[run.start];
        first.span.start - first.indent..self.atoms[run.end - 1].span.end
    }

    /// Characters of a run.
    pub(super) fn chars(&self, run: &Range<usize>) -> usize {
        if run.is_empty() {
            return 0;
        }
        let first = &self.atoms[run.start];
        self.atoms[run.end - 1].chars.end - (first.chars.start - first.indent)
    }

    /// Tokens of a run as counted in the whole document: exact where both ends are at white space, close elsewhere.
    fn about_tokens(&self, run: &Range<usize>) -> usize {
        self.tokens_before(run.end) - self.tokens_before(run.start)
    }

    /// Tokens of a run, exactly.
    pub(super) fn tokens(&self, run: &Range<usize>) -> usize {
        if run.is_empty() {
            return 0;
        }
        if self.is_at_space(run.start) && self.is_at_space(run.end) {
            return self.about_tokens(run);
        }
        self.tokenizer.count(&self.text[self.span(run)])
    }

    /// A run's size in `unit`, as [`Self::about_tokens`] sees it.
    pub(super) fn size(&self, run: &Range<usize>, unit: Unit) -> usize {
        match unit {
            Unit::Characters => self.chars(run),
            Unit::Tokens => self.about_tokens(run),
        }
    }

    /// Whether a run is within `limit`, as [`Self::about_tokens`] sees it.
    pub(super) fn fits(&self, run: &Range<usize>, limit: Limit) -> bool {
        self.chars(run) <= limit.chars && self.about_tokens(run) <= limit.tokens
    }

    /// The furthest end, up to `most`, of a run from `start` for which `holds`, which is true of short runs and false of long
    /// ones.
    pub(super) fn reach(&self, start: usize, most: usize, holds: impl Fn(&Range<usize>) -> bool) -> usize {
        partition(start, most, |end| holds(&(start..end)))
    }

    /// The first start, from `least`, of a run to `end` for which `holds`, which is false of long runs and true of short ones.
    pub(super) fn reach_back(&self, end: usize, least: usize, holds: impl Fn(&Range<usize>) -> bool) -> usize {
        let (mut low, mut high) = (least, end);
        while low < high {
            let middle = low.midpoint(high);
            if holds(&(middle..end)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    fn tokens_before(&self, index: usize) -> usize {
        self.atoms.get(index).map_or(self.tokens, |atom| atom.tokens)
    }

    fn is_at_space(&self, index: usize) -> bool {
        self.atoms.get(index).is_none_or(|atom| atom.gap == Gap::Space)
    }
}

/// The last of `low..=high` for which `holds`; `low` where none does.
fn partition(low: usize, high: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = high - (high - low) / 2;
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

struct Builder<'a> {
    text: &'a str,
    token_starts: &'a [usize],
    atoms: Vec<Atom>,
    /// Characters before the byte `at`.
    chars: usize,
    at: usize,
    /// Tokens that start before the last atom's end.
    token: usize,
    /// Where the current line starts.
    line: usize,
}

impl Builder<'_> {
    fn word(&mut self, word: Range<usize>, cuts: &[usize]) {
        let text = self.text;
        let chars = text[word.clone()].chars().count();
        let tokens = self.token_starts[self.token..].iter().take(WORD_TOKENS + 1).take_while(|&&start| start < word.end).count();
        if cuts.is_empty() && chars <= WORD_CHARS && tokens <= WORD_TOKENS {
            return self.push(word, Gap::Space);
        }
        let mut gap = Gap::Space;
        let ends = cuts.iter().copied().chain([word.end]);
        let mut start = word.start;
        for end in ends {
            let part = &text[start..end];
            for (offset, piece) in part.split_word_bound_indices() {
                for fragment in fragments(piece) {
                    let from = start + offset + fragment.start;
                    let span = from..from + fragment.len();
                    if text[span.clone()].trim().is_empty() {
                        continue;
                    }
                    let inner = if fragment.start == 0 { Gap::Inner } else { Gap::Fragment };
                    self.push(span, std::mem::replace(&mut gap, Gap::Inner).or(inner));
                }
            }
            start = end;
        }
    }

    fn push(&mut self, span: Range<usize>, gap: Gap) {
        let start = self.chars + self.text[self.at..span.start].chars().count();
        let end = start + self.text[span.clone()].chars().count();
        let before = &self.text[self.line..span.start];
        let is_indent =
            gap == Gap::Space && before.len() <= INDENTATION && before.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
        let indent = if is_indent { before.len() } else { 0 };
        self.atoms.push(Atom { span: span.clone(), indent, chars: start..end, tokens: self.token, gap });
        (self.chars, self.at) = (end, span.end);
        while self.token_starts.get(self.token).is_some_and(|&start| start < span.end) {
            self.token += 1;
        }
    }
}

impl Gap {
    /// This gap where it is white space, else `other`.
    fn or(self, other: Self) -> Self {
        if self == Self::Space { self } else { other }
    }
}

/// `piece` in pieces of at most [`FRAGMENT_CHARS`], between graphemes unless one alone is longer.
fn fragments(piece: &str) -> Vec<Range<usize>> {
    if piece.len() <= FRAGMENT_CHARS {
        return std::iter::once(0..piece.len()).collect();
    }
    let mut fragments = Vec::new();
    let (mut start, mut chars) = (0, 0);
    for (at, grapheme) in piece.grapheme_indices(true) {
        let count = grapheme.chars().count();
        if chars > 0 && chars + count > FRAGMENT_CHARS {
            fragments.push(std::mem::replace(&mut start, at)..at);
            chars = 0;
        }
        chars += count;
        while chars > FRAGMENT_CHARS {
            let end = piece[start..].char_indices().nth(FRAGMENT_CHARS).map_or(piece.len(), |(offset, _)| start + offset);
            fragments.push(std::mem::replace(&mut start, end)..end);
            chars -= FRAGMENT_CHARS;
        }
    }
    if start < piece.len() {
        fragments.push(start..piece.len());
    }
    fragments
}

/// White space as the tokenizer sees it: it drops other control characters, and `a\u{c}b` is one word to it.
fn is_space(c: char) -> bool {
    c.is_whitespace() && (!c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

/// Where each token of `text` starts. Tokenised in pieces cut at white space, which changes no token.
fn token_starts(text: &str, tokenizer: &Tokenizer) -> Vec<usize> {
    let mut starts = Vec::with_capacity(text.len() / 4);
    let mut from = 0;
    while from < text.len() {
        let most = text.ceil_char_boundary((from + TOKENIZE_BYTES).min(text.len()));
        let end = match text[from..most].rfind(is_space) {
            Some(space) if most < text.len() && space > 0 => from + space,
            _ => most,
        };
        starts.extend(tokenizer.offsets(&text[from..end]).into_iter().map(|token| from + token.start));
        from = end;
    }
    starts
}
