//! BERT's text clean-up, as the `tokenizers` crate does it: control characters out, CJK apart, accents off, lower case.
//!
//! Every character keeps the byte range of the original text that it came from. Two things surprise. First, the ranges follow the
//! crate to the letter: canonical reordering moves marks but not ranges, and a character that a decomposition adds takes the
//! range of the character before it. Second, the tables are those that the crate uses (Unicode 9 decompositions, Unicode 8
//! categories), because a newer table is a different token.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use unicode_categories::UnicodeCategories as _;
use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

/// What is done to the text before it is split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Normalizer {
    /// Drops control characters, turns every kind of white space into a space.
    pub(super) clean_text: bool,
    /// Puts spaces around CJK ideographs.
    pub(super) split_cjk: bool,
    /// Decomposes, then drops nonspacing marks.
    pub(super) strip_accents: bool,
    /// Lower case, character by character.
    pub(super) lowercase: bool,
}

/// A character after normalisation, and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Char {
    pub(super) char: char,
    /// First byte in the original text.
    pub(super) start: usize,
    /// The byte after its last.
    pub(super) end: usize,
}

/// Marks in a row that room is kept for.
const USUAL_MARKS: usize = 256;

/// Marks that wait for the next starter, because canonical order may still move them.
#[derive(Default)]
pub(super) struct Pending {
    /// Combining class, mark, and whether it stands for a character of the original (else a decomposition added it).
    marks: Vec<(u8, char, bool)>,
    /// Ranges of the original characters, in the order of the text.
    ranges: Vec<(usize, usize)>,
    /// The range given out last.
    last: (usize, usize),
}

impl Pending {
    /// Gives back what only a text of nothing but marks takes.
    pub(super) fn shrink(&mut self) {
        self.marks.shrink_to(USUAL_MARKS);
        self.ranges.shrink_to(USUAL_MARKS);
    }
}

impl Normalizer {
    /// Calls `sink` with each character of the normalised `text`; `base` is added to every range. `sink` can end it early.
    pub(super) fn run(
        self,
        text: &str,
        base: usize,
        pending: &mut Pending,
        sink: &mut impl FnMut(Char) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        pending.marks.clear();
        pending.ranges.clear();
        pending.last = (0, 0);
        for (at, char) in text.char_indices() {
            let (start, end) = (base + at, base + at + char.len_utf8());
            if char.is_ascii() {
                self.ascii(char, start, end, pending, sink)?;
                continue;
            }
            if self.clean_text && (char == '\u{fffd}' || char.is_other()) {
                continue;
            }
            let char = if self.clean_text && char.is_whitespace() { ' ' } else { char };
            if self.split_cjk && is_cjk(char) {
                self.decompose(Char { char: ' ', start, end }, pending, sink)?;
                self.decompose(Char { char, start, end }, pending, sink)?;
                self.decompose(Char { char: ' ', start, end }, pending, sink)?;
            } else {
                self.decompose(Char { char, start, end }, pending, sink)?;
            }
        }
        self.flush(pending, sink)
    }

    /// The common case: no decomposition, no mark, one byte.
    fn ascii(
        self,
        char: char,
        start: usize,
        end: usize,
        pending: &mut Pending,
        sink: &mut impl FnMut(Char) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let char = match char {
            '\t' | '\n' | '\r' if self.clean_text => ' ',
            _ if self.clean_text && char.is_ascii_control() => return ControlFlow::Continue(()),
            _ if self.lowercase => char.to_ascii_lowercase(),
            _ => char,
        };
        self.flush(pending, sink)?;
        pending.last = (start, end);
        sink(Char { char, start, end })
    }

    fn decompose(self, from: Char, pending: &mut Pending, sink: &mut impl FnMut(Char) -> ControlFlow<()>) -> ControlFlow<()> {
        if !self.strip_accents {
            return self.emit(from.char, (from.start, from.end), sink);
        }
        let mut is_first = true;
        let mut flow = ControlFlow::Continue(());
        decompose_canonical(from.char, |char| {
            if flow.is_break() {
                return;
            }
            let class = canonical_combining_class(char);
            if class == 0 {
                flow = self.flush(pending, sink);
                if is_first {
                    pending.last = (from.start, from.end);
                }
                if flow.is_continue() {
                    flow = self.emit(char, pending.last, sink);
                }
            } else {
                pending.marks.push((class, char, is_first));
                if is_first {
                    pending.ranges.push((from.start, from.end));
                }
            }
            is_first = false;
        });
        flow
    }

    /// Hands out the waiting marks in canonical order.
    fn flush(self, pending: &mut Pending, sink: &mut impl FnMut(Char) -> ControlFlow<()>) -> ControlFlow<()> {
        if pending.marks.is_empty() {
            return ControlFlow::Continue(());
        }
        pending.marks.sort_by_key(|&(class, ..)| class);
        let mut ranges = pending.ranges.drain(..);
        for (_, char, is_original) in pending.marks.drain(..) {
            if is_original && let Some(range) = ranges.next() {
                pending.last = range;
            }
            self.emit(char, pending.last, sink)?;
        }
        ControlFlow::Continue(())
    }

    fn emit(self, char: char, (start, end): (usize, usize), sink: &mut impl FnMut(Char) -> ControlFlow<()>) -> ControlFlow<()> {
        if self.strip_accents && char.is_mark_nonspacing() {
            return ControlFlow::Continue(());
        }
        if !self.lowercase {
            return sink(Char { char, start, end });
        }
        for char in char.to_lowercase() {
            sink(Char { char, start, end })?;
        }
        ControlFlow::Continue(())
    }
}

/// Punctuation that stands as a word of its own: all ASCII symbols, and what Unicode calls punctuation.
pub(super) fn is_punctuation(char: char) -> bool {
    if char.is_ascii() { char.is_ascii_punctuation() } else { char.is_punctuation() }
}

/// The ideographs that BERT splits. Kana and Hangul are written with spaces and stay whole.
fn is_cjk(char: char) -> bool {
    matches!(
        u32::from(char),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F
    )
}
