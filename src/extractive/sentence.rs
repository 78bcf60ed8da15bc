//! Passages to sentences, and what belongs to each: the sentence that it leans on, the list or code that it announces.

use std::ops::Range;

use crate::sentence::{Block, Kind, blocks, split};

/// One sentence of a passage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sentence {
    pub(super) range: Range<usize>,
    /// Which sentence of its passage it is.
    pub(super) position: usize,
    /// Where a quote of it should begin: the sentence before, where this one leans on it.
    pub(super) lead: usize,
    /// Where a quote of it should end: behind the list or code that it announces.
    pub(super) tail: usize,
    /// Letters among its characters, 0 to 1.
    prose: f32,
    /// What it loses for stating nothing: a question or a bare link most, a line without an end some.
    silence: f32,
}

impl Sentence {
    /// What it loses for being a fragment, a wall of text, or noise.
    pub(super) fn penalty(&self) -> f32 {
        let short = if self.range.len() < 25 && self.tail == self.range.end { 0.3 } else { 0.0 };
        let long = if self.range.len() > 400 { 0.2 } else { 0.0 };
        let noise = if self.prose < 0.6 { 0.3 } else { 0.0 };
        short + long + noise + self.silence
    }
}

/// All sentences of a passage.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    // Headings and rows of tables announce nothing and end no list; code that a chunk cuts off is not quoted.
    let mut blocks = blocks(text);
    blocks.retain(|block| !matches!(block.kind, Kind::Line | Kind::OpenCode));
    let mut sentences: Vec<Sentence> = Vec::new();
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind.is_prose()) {
        let first = sentences.len();
        for range in split(text, block.range.clone()) {
            let sentence = &text[range.clone()];
            let letters = sentence.chars().filter(|letter| letter.is_alphabetic() || letter.is_whitespace()).count();
            let prose = letters as f32 / sentence.chars().count().max(1) as f32;
            let leans = sentences.len() > first && LEANING.contains(&sentence.split([' ', '\n', ',']).next().unwrap_or_default());
            let lead = sentences.last().filter(|_| leans).map_or(range.start, |before| before.range.start);
            let tail = if sentence.ends_with(':') { announced(&blocks[number..]) } else { range.end };
            let link = sentence.starts_with('[') && sentence.ends_with(')');
            let ended = sentence.ends_with(['.', '!', ':', ')', '"', '”', '。', '`']);
            let silence = if link || sentence.ends_with('?') {
                0.7
            } else if ended {
                0.0
            } else {
                0.25
            };
            sentences.push(Sentence { position: sentences.len(), lead, tail: tail.max(range.end), prose, silence, range });
        }
    }
    sentences
}

/// The end of what a sentence at the end of the first block announces: the code behind it, or the items of a list.
fn announced(blocks: &[Block]) -> usize {
    let mut end = blocks[0].range.end;
    for (number, block) in blocks.iter().enumerate().skip(1) {
        match block.kind {
            Kind::Item => end = block.range.end,
            Kind::Code if number == 1 => return block.range.end,
            _ => break,
        }
    }
    end
}

/// First words that lean on the sentence before.
const LEANING: [&str; 16] = [
    "It",
    "This",
    "That",
    "These",
    "Those",
    "They",
    "He",
    "She",
    "Its",
    "Their",
    "However",
    "Therefore",
    "Then",
    "Otherwise",
    "Instead",
    "Also",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|sentence| &text[sentence.range]).collect()
    }

    #[test]
    fn sentences_survive_abbreviations_wrapping_and_markdown() {
        let text = "# Title\n\nUse a port, e.g. 8080, on it. Version 1.5 (cf. Fig. 3) by J. Doe is\nfine. Is it?\n\n\
            - First item\n- Second item. More.\n\n```sh\nrun it. now.\n```\n\n| a | b |\n|---|---|\n\n> Quoted text.\n3) Third\n";
        let expected = [
            "Use a port, e.g. 8080, on it.",
            "Version 1.5 (cf. Fig. 3) by J. Doe is\nfine.",
            "Is it?",
            "First item",
            "Second item.",
            "More.",
            "Quoted text.",
            "Third",
        ];
        assert_eq!(texts(text), expected);
    }
}
