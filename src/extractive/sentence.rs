//! Passages to sentences, and what belongs to each: the sentence that it leans on, the list or code that it announces.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

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

/// A run of lines that belong together.
struct Block {
    range: Range<usize>,
    prose: bool,
    item: bool,
}

/// All sentences of a passage.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let blocks = blocks(text);
    let mut sentences: Vec<Sentence> = Vec::new();
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.prose) {
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
        if !(block.item || (number == 1 && !block.prose)) {
            break;
        }
        end = block.range.end;
        if !block.item {
            break;
        }
    }
    end
}

/// Paragraphs, list items and code. Headings, rules and table lines are left out: they are no sentences.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    let mut fence: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        let content = start + indent..start + indent + trimmed.len();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            blocks.extend(open.take());
            match fence.take() {
                Some(begin) => blocks.push(Block { range: begin..content.end, prose: false, item: false }),
                None => fence = Some(content.start),
            }
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let no_sentence = trimmed.starts_with('#') || trimmed.starts_with('|') || !trimmed.chars().any(char::is_alphanumeric);
        if no_sentence {
            blocks.extend(open.take());
            continue;
        }
        let marker = marker(trimmed);
        match &mut open {
            Some(block) if marker == 0 => block.range.end = content.end,
            _ => {
                blocks.extend(open.take());
                open = Some(Block {
                    range: content.start + marker..content.end,
                    prose: true,
                    item: marker > 0 && !trimmed.starts_with('>'),
                });
            }
        }
    }
    blocks.extend(open);
    blocks
}

/// Bytes of the list or quote marker that a line begins with.
fn marker(line: &str) -> usize {
    for marker in ["- [ ] ", "- [x] ", "- ", "* ", "+ ", "• ", "> "] {
        if line.starts_with(marker) {
            return marker.len();
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let follows = line.get(digits..digits + 2);
    if (1..=3).contains(&digits) && matches!(follows, Some(". " | ") ")) { digits + 2 } else { 0 }
}

/// Sentences of one block. Unicode's rule ends a sentence behind every full stop; ours joins it again after an abbreviation.
fn split(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let mut start = block.start;
    for (offset, piece) in text[block.clone()].split_sentence_bound_indices() {
        let end = block.start + offset + piece.len();
        let so_far = text[start..end].trim_end();
        // A wrapped line is no boundary; Unicode takes a line end for one.
        let wrapped = !so_far.ends_with(['.', '!', '?', ':', '。', '！', '？', '…', '"', '”', ')']) && end < block.end;
        let next_is_small = text[end..block.end].trim_start().starts_with(|letter: char| letter.is_lowercase());
        if end < block.end && (wrapped || next_is_small || is_abbreviated(so_far)) {
            continue;
        }
        let lead = text[start..end].len() - text[start..end].trim_start().len();
        if !so_far.trim().is_empty() {
            sentences.push(start + lead..start + so_far.len());
        }
        start = end;
    }
    sentences
}

fn is_abbreviated(sentence: &str) -> bool {
    let Some(body) = sentence.strip_suffix('.') else { return false };
    let word = body.rsplit([' ', '\n', '(', '\u{a0}']).next().unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
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

const ABBREVIATIONS: [&str; 30] = [
    "e.g", "i.e", "etc", "vs", "cf", "al", "fig", "figs", "eq", "no", "nos", "vol", "pp", "ch", "sec", "dr", "mr", "mrs", "ms",
    "prof", "st", "jr", "sr", "inc", "ltd", "co", "approx", "dept", "est", "resp",
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
