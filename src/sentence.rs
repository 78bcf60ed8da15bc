//! Pure: where a text's paragraphs, list items and code lie, and where its sentences end. Everything is linear in its length.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// What ends a sentence.
const ENDS: [char; 9] = ['.', '!', '?', '。', '！', '？', '।', '؟', '۔'];
/// Of these, those that need no blank behind them.
const WIDE_ENDS: [char; 5] = ['。', '！', '？', '।', '؟'];
/// What stands behind the end and still belongs to the sentence.
const CLOSERS: [char; 12] = ['"', '\'', '”', '’', '“', '»', '«', '›', '」', '』', ')', '）'];
/// What stands before the beginning of one; Unicode takes any bracket or mark behind a full stop for one that closes.
const OPENERS: [char; 8] = ['“', '「', '『', '(', '（', '[', '【', '《'];

/// A run of lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// Which bytes of the text, without the marker of a list item.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a run of lines is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sentences.
    Paragraph,
    /// Sentences behind a list marker.
    Item,
    /// Code between fences.
    Code,
    /// Code whose end the text does not have.
    OpenCode,
    /// A line that holds no sentence: a heading, a rule, a row of a table.
    Line,
}

/// Everything in a text but its blank lines.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
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
        if is_fence(trimmed) {
            blocks.extend(open.take());
            match fence.take() {
                Some(begin) => blocks.push(Block { range: begin..content.end, kind: Kind::Code }),
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
            if !trimmed.is_empty() {
                blocks.push(Block { range: content, kind: Kind::Line });
            }
            continue;
        }
        let marker = marker(trimmed);
        match &mut open {
            Some(block) if marker == 0 => block.range.end = content.end,
            _ => {
                blocks.extend(open.take());
                let kind = if marker > 0 && !trimmed.starts_with('>') { Kind::Item } else { Kind::Paragraph };
                open = Some(Block { range: content.start + marker..content.end, kind });
            }
        }
    }
    blocks.extend(open);
    blocks.extend(fence.map(|begin| Block { range: begin..text.len(), kind: Kind::OpenCode }));
    blocks
}

/// Whether a line is a fence, and not a piece of code that begins the line.
fn is_fence(line: &str) -> bool {
    line.starts_with("~~~") || (line.starts_with("```") && !line.trim_start_matches('`').contains('`'))
}

/// Bytes of the list or quote marker that a line begins with.
pub(crate) fn marker(line: &str) -> usize {
    for marker in ["- [ ] ", "- [x] ", "- ", "* ", "+ ", "• ", "> "] {
        if line.starts_with(marker) {
            return marker.len();
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let follows = line.get(digits..digits + 2);
    if (1..=3).contains(&digits) && matches!(follows, Some(". " | ") ")) { digits + 2 } else { 0 }
}

/// Sentences of one block. Unicode's rule ends a sentence behind every full stop; ours joins it again after an abbreviation
/// and inside of code (`?`).
pub(crate) fn split(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let (mut start, mut body) = (block.start, block.start);
    for (offset, piece) in text[block.clone()].split_sentence_bound_indices() {
        let mut end = block.start + offset + piece.len();
        match piece.trim_end().len() {
            // Blanks end nothing; of many only the last is looked at.
            0 if end < block.end => continue,
            0 => {}
            length => {
                let opening = if length == piece.len() && end < block.end { opening(piece) } else { 0 };
                end -= opening;
                body = block.start + offset + length - opening;
            }
        }
        let so_far = &text[start.min(body)..body];
        // A wrapped line is no boundary; Unicode takes a line end for one.
        let wrapped = !is_whole(so_far) && end < block.end;
        let next_is_small = text[end..block.end].trim_start().starts_with(|letter: char| letter.is_lowercase());
        let is_code = body == end && text[end..block.end].starts_with('`');
        if end < block.end && (wrapped || next_is_small || is_code || is_abbreviated(so_far)) {
            continue;
        }
        let lead = so_far.len() - so_far.trim_start().len();
        if lead < so_far.len() {
            sentences.push(start + lead..body);
        }
        start = end;
    }
    sentences
}

/// Bytes of the marks and brackets behind a full stop that open what follows. A German quotation ends with a mark that opens elsewhere.
fn opening(piece: &str) -> usize {
    let before = piece.trim_end_matches(OPENERS);
    if before.trim_end_matches(CLOSERS).ends_with(ENDS) && !before.contains('„') { piece.len() - before.len() } else { 0 }
}

/// Whether a line that ends so does not go on in the next one.
fn is_whole(line: &str) -> bool {
    let bare = line.trim_end_matches(CLOSERS);
    bare.ends_with(ENDS) || line.ends_with([':', '…', '"', '”', '“', '»', '«', '」', '』', ')', '）'])
}

/// Whether a sentence ends with this text: with a full stop or the like, what closes behind it, and a blank where the script has blanks.
pub(crate) fn is_ended(text: &str) -> bool {
    let body = text.trim_end();
    let bare = body.trim_end_matches(CLOSERS);
    (body.len() < text.len() || bare.ends_with(WIDE_ENDS)) && bare.ends_with(ENDS) && !is_abbreviated(body)
}

/// Whether a text ends with an abbreviation, an initial or nothing, whose full stop is no end.
pub(crate) fn is_abbreviated(sentence: &str) -> bool {
    let Some(body) = sentence.strip_suffix('.') else { return false };
    let word = body.rsplit([' ', '\n', '(', '\u{a0}']).next().unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    // Before a name such as `.NET` there is no word.
    initial || word.is_empty() || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

const ABBREVIATIONS: [&str; 30] = [
    "e.g", "i.e", "etc", "vs", "cf", "al", "fig", "figs", "eq", "no", "nos", "vol", "pp", "ch", "sec", "dr", "mr", "mrs", "ms",
    "prof", "st", "jr", "sr", "inc", "ltd", "co", "approx", "dept", "est", "resp",
];
