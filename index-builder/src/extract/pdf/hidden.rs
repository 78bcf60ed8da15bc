//! Spaces that a page shows invisibly where another space is seen already, some letters before. The reader puts them where they
//! come (`m illion`); here they go. Only on pages that hide nothing but spaces, and fewer than they show: the words behind a
//! scanned page stay, and so does the only space between two words.

use std::collections::{HashMap, HashSet};

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, StringFormat};
use unpdf::Page;

use super::STREAM_MAX_BYTES;
use super::fonts::{mapped, page_fonts, strings};
use super::mend::{load, save, to_unicode};

/// The text rendering mode that paints nothing.
const INVISIBLE: i64 = 3;

/// Whether words of a page look broken: lower-case consonants that stand alone before another word, more than formulas have.
pub(super) fn is_suspect(page: &Page) -> bool {
    const FRAGMENTS_MIN: usize = 8;
    let text = page.plain_text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_fragment = |pair: &&[&str]| {
        matches!(pair[0].as_bytes(), [b'b'..=b'd' | b'f'..=b'h' | b'j'..=b'n' | b'p'..=b't' | b'v'..=b'z'])
            && pair[1].len() > 1
            && pair[1].chars().all(char::is_lowercase)
    };
    words.windows(2).filter(is_fragment).count() >= FRAGMENTS_MIN
}

/// The file without hidden spaces; none where there are none.
pub(super) fn without_spaces(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut document = load(bytes)?;
    let mut spaces = HashMap::new();
    let pages: Vec<ObjectId> = document.page_iter().collect();
    let mut changed = false;
    for page in pages {
        let Ok(content) = document.get_page_content_with_limit(page, STREAM_MAX_BYTES) else { continue };
        let Ok(mut content) = Content::decode(&content) else { continue };
        let hides = |operation: &Operation| {
            operation.operator == "Tr" && operation.operands.first().is_some_and(|mode| mode.as_i64().ok() == Some(INVISIBLE))
        };
        if !content.operations.iter().any(hides) {
            continue;
        }
        let fonts = page_fonts(&document, page);
        let (mut font, mut mode, mut saved, mut hidden) = (None, 0, Vec::new(), Vec::new());
        let (mut hides_words, mut visible) = (false, 0);
        for (index, operation) in content.operations.iter().enumerate() {
            let operands = &operation.operands;
            match operation.operator.as_str() {
                "q" => saved.push((font, mode)),
                "Q" => (font, mode) = saved.pop().unwrap_or((None, 0)),
                "Tf" => font = operands.first().and_then(|name| fonts.get(name.as_name().ok()?)).copied(),
                "Tr" => mode = operands.first().and_then(|mode| mode.as_i64().ok()).unwrap_or(0),
                show @ ("Tj" | "TJ" | "'" | "\"") => {
                    let text = operands.last().map(strings).unwrap_or_default();
                    let spaces = font.map(|font| &*spaces.entry(font).or_insert_with(|| Spaces::of(&document, font)));
                    let (count, of) = spaces.map_or((0, text.len()), |spaces| spaces.count(&text));
                    match mode == INVISIBLE {
                        false => visible += count,
                        // The others begin a line, too.
                        true if count == of && show.starts_with('T') => hidden.extend((of > 0).then_some(index)),
                        true => hides_words |= of > 0,
                    }
                }
                _ => {}
            }
        }
        if hidden.is_empty() || hides_words || visible < hidden.len() {
            continue;
        }
        for index in hidden {
            content.operations[index].operands = vec![Object::String(Vec::new(), StringFormat::Literal)];
            content.operations[index].operator = "Tj".to_owned();
        }
        let stream = document.add_object(Stream::new(Dictionary::new(), content.encode().ok()?));
        document.get_dictionary_mut(page).ok()?.set("Contents", Object::Reference(stream));
        changed = true;
    }
    changed.then(|| save(document)).flatten()
}

/// The codes of a font that stand for a space, and the bytes that a code has.
struct Spaces {
    codes: HashSet<Vec<u8>>,
    width: usize,
}

impl Spaces {
    fn of(document: &Document, font: ObjectId) -> Self {
        let font = document.get_dictionary(font).ok();
        let width = if font.is_some_and(|font| font.has(b"DescendantFonts")) { 2 } else { 1 };
        let codes = match font.and_then(|font| to_unicode(document, font)) {
            Some(map) => {
                let spaces = mapped(&map).into_iter().filter(|(_, text)| !text.is_empty() && text.trim().is_empty());
                spaces.map(|(code, _)| code.to_be_bytes()[2 - width..].to_vec()).collect()
            }
            None if width == 2 => HashSet::new(),
            None => HashSet::from([b" ".to_vec()]),
        };
        Self { codes, width }
    }

    /// How many codes of a text stand for a space, and how many it has.
    fn count(&self, text: &[u8]) -> (usize, usize) {
        let codes = text.chunks(self.width);
        (codes.clone().filter(|code| self.codes.contains(*code)).count(), codes.len())
    }
}
