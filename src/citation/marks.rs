//! Where a text quotes: in quotation marks, in lines behind `>`, between tags of HTML.

use std::ops::Range;

use super::marker::is_name;
use super::markup::is_inside;
use super::text::unquoted;
use crate::sentence::is_ended;

/// Words from which text in quotation marks is a quote and not a name.
const QUOTE_WORDS: usize = 4;
/// Letters from which it is one, for scripts without blanks.
const QUOTE_LETTERS: usize = 24;
/// The same where most of them are signs for a syllable or a word.
const QUOTE_SIGNS: usize = 8;
/// Bytes of one quotation whose marks may be others; a mark without an end is none.
const MAX_QUOTE_BYTES: usize = 4_000;
/// Bytes of the tag that a quotation begins with.
const MAX_TAG_BYTES: usize = 256;

/// Marks that open a quotation, and those that close it.
const MARKS: [(char, &[char]); 16] = [
    ('"', &['"']),
    ('״', &['״']),
    ('＂', &['＂']),
    ('〝', &['〞', '〟']),
    ('“', &['”']),
    ('„', &['“', '”']),
    ('”', &['”']),
    ('«', &['»']),
    ('»', &['«', '»']),
    ('「', &['」']),
    ('『', &['』']),
    ('\'', &['\'']),
    ('‘', &['’']),
    ('‚', &['‘', '’']),
    ('‹', &['›']),
    ('›', &['‹', '›']),
];
/// Of these, those of a quotation inside another one, or of a word.
const SINGLE: [char; 5] = ['\'', '‘', '‚', '‹', '›'];
/// Of these, those that open a quotation and nothing else.
const DISTINCT: [char; 5] = ['“', '„', '«', '「', '『'];
/// Words before which a block of lines behind `>` is a remark of the writer's.
const REMARKS: [&str; 6] = ["note", "tip", "hint", "important", "warning", "caution"];

/// A quotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quote {
    /// Its bytes with its marks.
    pub(super) span: Range<usize>,
    /// Its bytes without them.
    pub(super) inner: Range<usize>,
}

/// A quotation that has begun.
struct Open {
    mark: char,
    start: usize,
    inner: usize,
    /// Where it ends if nothing better comes: at a straight mark, or at one that may be an apostrophe.
    perhaps: Option<usize>,
    /// Its end is certain, so that it may be long and have paragraphs.
    is_paired: bool,
}

/// Whether a mark ends a quotation.
#[derive(PartialEq)]
enum Close {
    Surely,
    Perhaps,
    No,
}

/// Every quotation outside code, in order; where the text `is_cut`, the one that has no end, too.
pub(super) fn quotes(text: &str, code: &[Range<usize>], is_cut: bool) -> Vec<Quote> {
    let mut marked = marked(text, code, is_cut).into_iter().peekable();
    let mut quotes = Vec::new();
    for block in blocks(text, code) {
        while let Some(before) = marked.next_if(|quote| quote.span.end <= block.span.start) {
            quotes.push(before);
        }
        // Marks around the whole are its own, and those inside are the source's.
        let content = block.inner.end - text[block.inner.clone()].trim_start_matches(['>', ' ', '\t', '*', '_']).len();
        if marked.peek().is_some_and(|quote| quote.span.start <= content) {
            while let Some(quote) = marked.next_if(|quote| quote.span.start < block.span.end) {
                let next = marked.peek().map_or(block.inner.end, |next| next.span.start.min(block.inner.end));
                let rest = sentence_behind(text, quote.span.end..next);
                quotes.push(quote);
                quotes.extend(rest);
            }
            continue;
        }
        while marked.next_if(|quote| quote.span.start < block.span.end).is_some() {}
        quotes.push(block);
    }
    quotes.extend(marked);
    quotes
}

/// What a quoted line says besides what it has in marks: a sentence, and not whose words they are.
fn sentence_behind(text: &str, range: Range<usize>) -> Option<Quote> {
    let rest = text.get(range.clone())?;
    let body = rest.trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, '>' | '.' | '*' | '_'));
    let is_sentence = body.starts_with(|first: char| first.is_alphanumeric() && !first.is_lowercase());
    let is_whole = is_ended(&format!("{} ", &body[unquoted(body).0]));
    let span = range.end - body.len()..range.end;
    (is_sentence && is_whole && !label(body).1.starts_with(':') && is_quote(body)).then(|| Quote { inner: span.clone(), span })
}

/// Text in quotation marks and quoting tags.
fn marked(text: &str, code: &[Range<usize>], is_cut: bool) -> Vec<Quote> {
    let mut quotes = Vec::new();
    let mut open: Option<Open> = None;
    let mut at = 0;
    loop {
        let letter = text[at..].chars().next();
        let end = at + letter.map_or(0, char::len_utf8);
        let mark_here = letter.filter(|letter| (*letter == '<' || is_mark(*letter)) && !is_inside(code, at));
        let begun = mark_here.and_then(|letter| opened(text, at, letter));
        if let Some(current) = &mut open {
            let Open { mark, start, inner, perhaps, is_paired } = *current;
            let close = mark_here.map_or(Close::No, |letter| closed(text, at, letter, mark));
            if close == Close::Surely {
                let end = if mark == '<' { at + text[at..].find('>').map_or(1, |tag| tag + 1) } else { end };
                quotes.extend(quote(text, start..end, inner..at));
                (open, at) = (None, end);
                continue;
            }
            if close == Close::Perhaps {
                current.perhaps = perhaps.or(Some(at));
            }
            let is_long = end - start > MAX_QUOTE_BYTES || text[end..].starts_with("\n\n");
            let is_over = letter.is_none() || (is_long && !is_paired);
            let is_next = begun.as_ref().is_some_and(|it| it.mark != '"' && SINGLE.contains(&it.mark) == SINGLE.contains(&mark));
            if let Some(last) = current.perhaps.filter(|last| is_over || (is_next && *last < at)) {
                let end = last + text[last..].chars().next().map_or(1, char::len_utf8);
                quotes.extend(quote(text, start..end, inner..last));
                (open, at) = (None, end);
                continue;
            }
            // What seems to be an apostrophe hides no quotation.
            let is_replaced = SINGLE.contains(&mark) && begun.as_ref().is_some_and(|begun| !SINGLE.contains(&begun.mark));
            if !is_over && !is_replaced {
                at = end;
                continue;
            }
        }
        if letter.is_none() {
            if let Some(open) = open.filter(|open| is_cut && !SINGLE.contains(&open.mark)) {
                // Its last word may be a half one.
                let end =
                    text.len() - text.chars().rev().take_while(|last| last.is_alphanumeric()).map(char::len_utf8).sum::<usize>();
                quotes.extend(quote(text, open.start..text.len(), open.inner..end.max(open.inner)));
            }
            return quotes;
        }
        at = begun.as_ref().map_or(end, |begun| begun.inner);
        open = begun;
    }
}

/// Whether a letter is a quotation mark.
pub(super) fn is_mark(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && MARKS.iter().any(|(open, close)| *open == letter || close.contains(&letter))
}

/// The quotation that a letter begins.
fn opened(text: &str, at: usize, letter: char) -> Option<Open> {
    if letter == '<' {
        let name = ["<blockquote", "<q"].into_iter().find(|tag| starts_with(&text[at..], tag))?;
        let rest = text[at + name.len()..].bytes().take(MAX_TAG_BYTES);
        let tag = name.len() + rest.take_while(|byte| *byte != b'>').count();
        let is_tag =
            text[at + name.len()..].starts_with(['>', ' ']) && text.get(at + tag..).is_some_and(|rest| rest.starts_with('>'));
        return is_tag.then_some(Open { mark: '<', start: at, inner: at + tag + 1, perhaps: None, is_paired: false });
    }
    if !MARKS.iter().any(|(mark, _)| *mark == letter) {
        return None;
    }
    let inner = at + letter.len_utf8();
    let (before, behind) = (text[..at].chars().next_back(), text[inner..].chars().next());
    let is_behind_word = before.is_some_and(char::is_alphanumeric);
    let begins_word = !is_behind_word
        && before.is_none_or(|it| !matches!(it, '.' | ',' | ';' | '!' | '?' | ')' | ']' | '%'))
        && behind.is_some_and(|it| !it.is_whitespace() && !matches!(it, '.' | ',' | ';' | '!' | '?' | ')' | ']'));
    let is_opened = match letter {
        // Inches and the like open nothing.
        '"' | '״' => !is_behind_word,
        '”' | '»' | '›' => begins_word,
        // Nor do apostrophes and years.
        '\'' | '‘' => begins_word && behind.is_some_and(|it| !it.is_ascii_digit()),
        _ => true,
    };
    is_opened.then(|| Open { mark: letter, start: at, inner, perhaps: None, is_paired: is_paired(&text[inner..], letter) })
}

/// Whether the next of the marks that nothing else is written with closes the quotation that one of them begins.
fn is_paired(rest: &str, mark: char) -> bool {
    let closing = MARKS.iter().find(|(open, _)| DISTINCT.contains(&mark) && *open == mark).map(|(_, close)| *close);
    closing.is_some_and(|closing| {
        let is_distinct = |letter: &char| {
            MARKS.iter().any(|(open, close)| DISTINCT.contains(open) && (open == letter || close.contains(letter)))
        };
        rest.chars().find(is_distinct).is_some_and(|next| closing.contains(&next))
    })
}

/// Whether a letter ends the quotation that a mark begins.
fn closed(text: &str, at: usize, letter: char, mark: char) -> Close {
    if mark == '<' {
        let is_end = letter == '<' && ["</blockquote", "</q>"].iter().any(|tag| starts_with(&text[at..], tag));
        return if is_end { Close::Surely } else { Close::No };
    }
    let is_closing = MARKS.iter().any(|(open, close)| *open == mark && close.contains(&letter));
    let is_straight = letter == '"' && matches!(mark, '“' | '„');
    if !is_closing && !is_straight {
        return Close::No;
    }
    let mut behind = text[at + letter.len_utf8()..].chars();
    let (before, next) = (text[..at].chars().next_back(), behind.next());
    let is_apostrophe = matches!(letter, '\'' | '’');
    // What begins a word ends nothing.
    if (is_straight || is_apostrophe || matches!(letter, '“' | '״'))
        && (before.is_none_or(char::is_whitespace) || next.is_some_and(char::is_alphanumeric))
    {
        return Close::No;
    }
    let is_plural = before == Some('s') && next == Some(' ') && behind.next().is_some_and(char::is_lowercase);
    if is_straight || (is_apostrophe && is_plural) { Close::Perhaps } else { Close::Surely }
}

fn starts_with(text: &str, tag: &str) -> bool {
    text.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag))
}

fn quote(text: &str, span: Range<usize>, inner: Range<usize>) -> Option<Quote> {
    is_quote(&text[inner.clone()]).then_some(Quote { span, inner })
}

/// Whether so much is no name.
fn is_quote(inside: &str) -> bool {
    let letters = inside.chars().filter(|letter| letter.is_alphanumeric()).take(QUOTE_LETTERS);
    let (all, signs) = letters.fold((0, 0), |(all, signs), letter| (all + 1, signs + usize::from(is_sign(letter))));
    inside.split_whitespace().take(QUOTE_WORDS).count() == QUOTE_WORDS
        || all == QUOTE_LETTERS
        || (all >= QUOTE_SIGNS && signs * 2 > all)
}

/// Whether a letter is Han, Kana, Hangul or Thai.
fn is_sign(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3fffd}')
}

/// Lines behind `>` that stand together, without the line that says whose they are.
fn blocks(text: &str, code: &[Range<usize>]) -> Vec<Quote> {
    let mut blocks: Vec<Quote> = Vec::new();
    let (mut at, mut before, mut is_open) = (0, "", false);
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        let start = at + line.len() - line.trim_start().len();
        at += line.len();
        let is_quoted = content.starts_with('>') && !is_inside(code, start);
        let end = start + content.len();
        // In a wrapped line it is a comparison.
        let is_wrapped = before.ends_with(|letter: char| letter.is_alphanumeric() || letter == ',');
        match blocks.last_mut() {
            Some(block) if is_quoted && is_open => {
                block.inner.end = if is_attribution(content) { block.inner.end } else { end };
                block.span.end = end;
            }
            _ if is_quoted && !is_wrapped => {
                blocks.push(Quote { span: start..end, inner: start..end });
                is_open = true;
            }
            // A line without a mark goes on where the one before does.
            Some(block) if is_open && is_wrapped && goes_on(content) => {
                block.inner.end = end;
                block.span.end = end;
            }
            _ => is_open = false,
        }
        before = content;
    }
    let lone = |block: &mut Quote| {
        let inner = &text[block.inner.clone()];
        // A single line needs no marks of its own.
        if !inner.contains('\n') {
            block.inner.start = block.inner.end - inner.trim_start_matches(['>', ' ']).len();
        }
    };
    blocks.iter_mut().for_each(lone);
    blocks.retain(|block| {
        let inner = text[block.inner.clone()].trim_start_matches(['>', ' ', '*', '_']);
        let (word, rest) = label(inner);
        let is_remark =
            inner.starts_with("[!") || (rest.starts_with([':', '*', '!']) && REMARKS.contains(&word.to_lowercase().as_str()));
        is_quote(inner) && !is_remark
    });
    blocks
}

/// Whether a line begins nothing of its own.
fn goes_on(line: &str) -> bool {
    line.starts_with(char::is_lowercase) && !is_attribution(line)
}

/// Whether a line says whose words those before it are.
fn is_attribution(line: &str) -> bool {
    let body = line.trim_start_matches(['>', ' ', '*', '_']);
    let (word, rest) = label(body);
    body.starts_with(['—', '–', '―']) || body.starts_with("--") || rest.starts_with(':') && is_name(word)
}

/// The first word of a text, and what is behind it.
fn label(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_alphabetic()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
