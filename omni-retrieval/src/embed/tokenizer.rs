//! WordPiece over one model's vocabulary: text to token ids and byte ranges.
//!
//! Equal to the `tokenizers` crate, ids and ranges, on every text we could find or make (`tests/embed_tokenizer.rs`). Special
//! tokens that are spelled out in the text (`[MASK]`) are special tokens, as there: the text of a document can say so, and
//! nothing breaks.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use super::manifest::Rules;
use super::normalize::{Char, Pending, is_punctuation};
use super::packed::Packed;
use super::vocabulary::{self, CONTINUES, Hash, Vocabulary};
use super::wordpiece;
use crate::error::Result;

/// WordPiece over one model's vocabulary. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer(Arc<Inner>);

struct Inner {
    rules: Rules,
    max_tokens: usize,
    /// First bytes of the added tokens.
    starts: [bool; 256],
    /// Whether one of them has white space in it, so that they alone can reach across it.
    reaches: bool,
    source: Source,
}

/// Where the vocabulary lies.
enum Source {
    Packed(Arc<Packed>),
    Own { slots: Vec<u32>, ends: Vec<u32>, text: Vec<u8> },
}

impl Tokenizer {
    /// Special tokens that embedding adds to every text.
    pub const SPECIAL_TOKENS: usize = 2;

    /// Opens the tokenizer of a model folder: its `tokenizer.json`, else its `vocab.txt`. `max_tokens` counts the special tokens.
    ///
    /// # Errors
    /// The file is missing, not a tokenizer, or not the WordPiece of BERT.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        let (rules, pieces) = wordpiece::read(folder)?;
        let (slots, ends, text) = vocabulary::build(&pieces, rules.slots);
        Ok(Self::new(rules, max_tokens.max(Self::SPECIAL_TOKENS + 1), Source::Own { slots, ends, text }))
    }

    /// The tokenizer in a packed model.
    pub(super) fn of(model: Arc<Packed>) -> Self {
        let manifest = model.manifest();
        Self::new(manifest.tokenizer.clone(), manifest.max_tokens, Source::Packed(model))
    }

    fn new(rules: Rules, max_tokens: usize, source: Source) -> Self {
        let mut starts = [false; 256];
        for &first in rules.added.iter().filter_map(|token| token.text.as_bytes().first()) {
            starts[usize::from(first)] = true;
        }
        let reaches = rules.added.iter().any(|token| token.text.contains(char::is_whitespace));
        Self(Arc::new(Inner { rules, max_tokens, starts, reaches, source }))
    }

    fn vocabulary(&self) -> Vocabulary<'_> {
        match &self.0.source {
            Source::Packed(model) => model.vocabulary(),
            Source::Own { slots, ends, text } => Vocabulary::new(slots, ends, text, self.0.rules.longest_piece),
        }
    }

    /// The most tokens that one vector can cover, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.0.max_tokens
    }

    /// Tokens of `text`, without the special tokens that embedding adds ([`Self::SPECIAL_TOKENS`]).
    pub fn count(&self, text: &str) -> usize {
        let mut count = 0;
        let _ = self.walk(text, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        count
    }

    /// The byte range of each token of `text`, ascending, without special tokens.
    pub fn offsets(&self, text: &str) -> Vec<Range<usize>> {
        let mut ranges = Vec::with_capacity(text.len() / 4);
        let _ = self.walk(text, &mut |_, range| {
            ranges.push(range);
            ControlFlow::Continue(())
        });
        ranges
    }

    /// Token ids as the model reads them: specials added, cut to `max_tokens` with the closing special kept.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_after("", text)
    }

    /// The same for a text that stands behind a prefix: the ids of both end to end.
    pub fn encode_after(&self, prefix: &str, text: &str) -> Vec<u32> {
        let Inner { rules, max_tokens, reaches, .. } = &*self.0;
        let mut ids = Vec::with_capacity((prefix.len() + text.len() + Self::SPECIAL_TOKENS).min(*max_tokens));
        ids.push(rules.opening);
        let most = max_tokens - 1;
        // A word ends at white space, so that what follows, which may be long, need not be copied behind it.
        if prefix.is_empty() || (prefix.ends_with([' ', '\n']) && !reaches) {
            self.push(prefix, most, &mut ids);
            self.push(text, most, &mut ids);
        } else {
            self.push(&format!("{prefix}{text}"), most, &mut ids);
        }
        ids.push(rules.closing);
        ids
    }

    /// Token ids of two texts as a cross-encoder reads them, `[CLS] first [SEP] second [SEP]`, and where those of the second
    /// begin. Where both are too long, the longer is cut, and then both to the same length, as the `tokenizers` crate does it.
    pub fn encode_pair(&self, first: &str, second: &str) -> (Vec<u32>, usize) {
        self.pair(&self.ids(first), second)
    }

    /// As [`Self::encode_pair`], for a first text whose ids are known.
    pub(super) fn pair(&self, first: &[u32], second: &str) -> (Vec<u32>, usize) {
        let rules = &self.0.rules;
        let most = self.max_tokens().saturating_sub(Self::SPECIAL_TOKENS + 1);
        let mut ids = Vec::with_capacity(most.min(second.len() / 3 + 2));
        // One more would change nothing but the time it takes.
        self.push(second, first.len().max(most), &mut ids);
        let (kept, kept_second) = share(first.len(), ids.len(), most);
        let start = kept + 2;
        let pair = [rules.opening].into_iter().chain(first[..kept].iter().copied()).chain([rules.closing]);
        let pair = pair.chain(ids.into_iter().take(kept_second)).chain([rules.closing]);
        (pair.collect(), start)
    }

    /// All ids of `text`, without special tokens.
    pub(super) fn ids(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        self.push(text, usize::MAX, &mut ids);
        ids
    }

    /// Adds the ids of `text` until there are `most`.
    fn push(&self, text: &str, most: usize, ids: &mut Vec<u32>) {
        let _ = self.walk(text, &mut |id, _| {
            if ids.len() >= most {
                return ControlFlow::Break(());
            }
            ids.push(id);
            ControlFlow::Continue(())
        });
    }

    /// Calls `visit` with each token's id and byte range until it breaks.
    fn walk(&self, text: &str, visit: &mut impl FnMut(u32, Range<usize>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut buffers = BUFFERS.take();
        let flow = self.walk_with(&mut buffers, text, visit);
        buffers.pending.shrink();
        BUFFERS.set(buffers);
        flow
    }

    fn walk_with(
        &self,
        buffers: &mut Buffers,
        text: &str,
        visit: &mut impl FnMut(u32, Range<usize>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (rules, vocabulary) = (&self.0.rules, self.vocabulary());
        let Buffers { pending, word, pieces, hashes } = buffers;
        let mut words = Words { rules, vocabulary, word, pieces, hashes, visit };
        let (mut from, mut at) = (0, 0);
        let bytes = text.as_bytes();
        while let Some(skip) = bytes[at..].iter().position(|&byte| self.0.starts[usize::from(byte)]) {
            at += skip;
            // Added tokens begin with an ASCII byte (checked at open), so a match begins and ends between characters.
            let found = rules
                .added
                .iter()
                .filter(|token| bytes[at..].starts_with(token.text.as_bytes()))
                .max_by_key(|token| token.text.len());
            let Some(token) = found else {
                at += 1;
                continue;
            };
            words.segment(&text[from..at], from, pending)?;
            from = at + token.text.len();
            (words.visit)(token.id, at..from)?;
            at = from;
        }
        words.segment(&text[from..], from, pending)
    }
}

/// How many tokens of two texts are kept where there is room for `most`: the shorter is cut only where it has more than half.
fn share(first: usize, second: usize, most: usize) -> (usize, usize) {
    if first + second <= most {
        return (first, second);
    }
    let shorter = first.min(second).min(most / 2);
    if first <= second { (shorter, most - shorter) } else { (most - shorter, shorter) }
}

thread_local! {
    /// This thread's, between two texts.
    static BUFFERS: Cell<Buffers> = Cell::default();
}

/// What splitting a text takes: grown to the longest word seen, then reused, and empty between two texts.
#[derive(Default)]
struct Buffers {
    pending: Pending,
    word: Word,
    pieces: Vec<(u32, Range<usize>)>,
    hashes: Vec<Hash>,
}

/// Longest words that WordPiece looks at are 100 characters by default; the bytes of longer ones are not kept.
#[derive(Default)]
struct Word {
    bytes: Vec<u8>,
    /// For each character kept: the byte after it in `bytes`, and its range in the text.
    chars: Vec<(usize, usize, usize)>,
    /// Characters, kept or not.
    length: usize,
    /// End of the last character in the text.
    end: usize,
}

/// Collects characters to words and splits the words into pieces.
struct Words<'a, F> {
    rules: &'a Rules,
    vocabulary: Vocabulary<'a>,
    word: &'a mut Word,
    pieces: &'a mut Vec<(u32, Range<usize>)>,
    hashes: &'a mut Vec<Hash>,
    visit: F,
}

impl<F: FnMut(u32, Range<usize>) -> ControlFlow<()>> Words<'_, F> {
    /// A stretch of text between added tokens, which begins at byte `base`.
    fn segment(&mut self, text: &str, base: usize, pending: &mut Pending) -> ControlFlow<()> {
        self.rules.normalizer.run(text, base, pending, &mut |char| self.push(char))?;
        self.finish()
    }

    fn push(&mut self, char: Char) -> ControlFlow<()> {
        if char.char.is_whitespace() {
            self.finish()
        } else if is_punctuation(char.char) {
            self.finish()?;
            self.keep(char);
            self.finish()
        } else {
            self.keep(char);
            ControlFlow::Continue(())
        }
    }

    fn keep(&mut self, char: Char) {
        self.word.length += 1;
        self.word.end = char.end;
        if self.word.length <= self.rules.max_word_chars {
            let mut buffer = [0; 4];
            self.word.bytes.extend_from_slice(char.char.encode_utf8(&mut buffer).as_bytes());
            self.word.chars.push((self.word.bytes.len(), char.start, char.end));
        } else if self.word.chars.is_empty() {
            self.word.chars.push((0, char.start, char.end));
        }
    }

    /// Splits the collected word, hands out its pieces and begins the next.
    fn finish(&mut self) -> ControlFlow<()> {
        let Some(&(_, start, _)) = self.word.chars.first() else {
            return ControlFlow::Continue(());
        };
        let rules = self.rules;
        self.pieces.clear();
        let is_known = self.word.length <= rules.max_word_chars && self.split();
        if !is_known {
            self.pieces.clear();
            self.pieces.push((rules.unknown, start..self.word.end));
        }
        self.word.bytes.clear();
        self.word.chars.clear();
        self.word.length = 0;
        for (id, range) in self.pieces.drain(..) {
            (self.visit)(id, range)?;
        }
        ControlFlow::Continue(())
    }

    /// Greedy longest match from the left; false where a rest is in no piece.
    fn split(&mut self) -> bool {
        let vocabulary = self.vocabulary;
        let chars = &self.word.chars;
        let mut first = 0;
        while first < chars.len() {
            let from = if first == 0 { 0 } else { chars[first - 1].0 };
            let mut hash = Hash::of(if first == 0 { b"" } else { CONTINUES });
            // One pass hashes every prefix; the lookups then go from the longest down.
            self.hashes.clear();
            let mut at = from;
            for &(end, ..) in &chars[first..] {
                if end - from > vocabulary.longest() {
                    break;
                }
                for &byte in &self.word.bytes[at..end] {
                    hash = hash.push(byte);
                }
                at = end;
                self.hashes.push(hash);
            }
            let found = self.hashes.iter().enumerate().rev().find_map(|(index, &hash)| {
                let last = first + index;
                let piece = &self.word.bytes[from..chars[last].0];
                vocabulary.find(hash, first > 0, piece).map(|id| (id, last))
            });
            let Some((id, last)) = found else {
                return false;
            };
            self.pieces.push((id, chars[first].1..chars[last].2));
            first = last + 1;
        }
        true
    }
}
