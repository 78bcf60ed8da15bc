//! What a file says of its fonts elsewhere than in their maps, and what a reader that believes the maps alone would lose:
//!
//! - letters that a map calls U+0000 or a private-use code, though `ActualText` around the glyph or the embedded font names them;
//! - accents of fonts without a map whose glyphs are named by their number in Latin-1 (`/232` is `è`);
//! - that a font has one width, which tells code from prose, where its descriptor keeps silent.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::rc::Rc;

use lopdf::content::Content;
use lopdf::{Dictionary, Document, Object, ObjectId, Stream, decode_text_string};

use super::STREAM_MAX_BYTES;
use super::mend::{by_embedded_font, save, to_unicode, write_map};
use super::words::is_unreadable;

/// The bit of a descriptor's flags for fonts of one width.
const FIXED_PITCH: i64 = 1;
/// The longest ligature, in characters, that `ActualText` is believed to spell.
const LIGATURE_MAX_CHARS: usize = 8;
/// The most codes that the ranges of a map are read for: twice as many as there are.
const RANGES_MAX_CODES: usize = 2 << 16;
/// The most units of UTF-16 that one code is believed to stand for.
const UNITS_MAX: usize = 64;
/// A font that maps fewer letters is one of icons, whose private-use codes stand for no letter.
const TEXT_FONT_MIN_LETTERS: usize = 10;

/// What became of a file's fonts.
#[derive(Default)]
pub(super) struct Fonts {
    /// The file with better fonts, where there was anything to better.
    pub(super) file: Option<Vec<u8>>,
    /// Pieces of text with a letter that nothing in the file names.
    pub(super) lost: usize,
}

/// A glyph: its font and its code there.
type Glyph = (ObjectId, u16);
/// What `ActualText` says, and the glyphs that it says it of; other glyphs than those of holes are none.
type Span = (Option<String>, Vec<Option<Glyph>>);

/// The codes of a font that its map gives no readable letter, and whether that is a loss.
struct Holes {
    map: Rc<str>,
    is_composite: bool,
    codes: Rc<BTreeMap<u16, bool>>,
}

/// Betters the fonts of a file; none where they cannot be written.
pub(super) fn bettered(mut document: Document) -> Option<Fonts> {
    let mut holes = HashMap::new();
    let mut maps = Vec::new();
    let mut fixed = Vec::new();
    let fonts = document.objects.iter().filter_map(|(&id, object)| Some((id, object.as_dict().ok()?)));
    let fonts = fonts.filter(|(_, font)| font.has_type(b"Font"));
    // A map that many fonts share is read once.
    let map_of = |font: &Dictionary| font.get(b"ToUnicode").and_then(Object::as_reference).ok();
    let mut fonts: Vec<_> = fonts.map(|(id, font)| (map_of(font), id, font)).collect();
    fonts.sort_by_key(|(map, id, _)| (*map, *id));
    for fonts in fonts.chunk_by(|(one, ..), (other, ..)| one.is_some() && one == other) {
        let map: Option<Rc<str>> = to_unicode(&document, fonts[0].2).map(Rc::from);
        let letters = map.as_deref().map(mapped).unwrap_or_default();
        let codes = Rc::new(unreadable(&letters));
        for &(_, id, font) in fonts {
            fixed.extend(fixed_pitch(&document, font, &letters));
            match &map {
                Some(_) if codes.is_empty() => {}
                Some(map) => {
                    let is_composite = font.has(b"DescendantFonts");
                    holes.insert(id, Holes { map: Rc::clone(map), is_composite, codes: Rc::clone(&codes) });
                }
                None => maps.extend(by_numbers(&document, font).map(|letters| (id, write_map(&letters, 2)))),
            }
        }
    }
    let mut lost = 0;
    if !holes.is_empty() {
        let (mut named, pieces) = shown(&document, &holes);
        for (&id, font) in &holes {
            let embedded = document.get_dictionary(id).ok().and_then(|font| by_embedded_font(&document, font));
            for code in font.codes.keys() {
                let letter = embedded.as_ref().and_then(|letters| letters.get(code)).copied();
                // A code that is its own letter is a guess about fonts without a map, and this one has one.
                if let Some(letter) = letter.filter(|letter| !is_unreadable(*letter) && u32::from(*letter) != u32::from(*code)) {
                    named.entry((id, *code)).or_insert(letter.to_string());
                }
            }
            let letters: BTreeMap<u16, &String> =
                font.codes.keys().filter_map(|code| Some((*code, named.get(&(id, *code))?))).collect();
            if !letters.is_empty() {
                maps.push((id, filled_up(font, &letters)));
            }
        }
        let is_lost = |(font, code): &Glyph| holes[font].codes[code] && !named.contains_key(&(*font, *code));
        lost = pieces.iter().filter(|piece| piece.iter().any(is_lost)).count();
    }
    if maps.is_empty() && fixed.is_empty() {
        return Some(Fonts { file: None, lost });
    }
    for (font, map) in maps {
        let map = document.add_object(Stream::new(Dictionary::new(), map.into_bytes()));
        document.get_dictionary_mut(font).ok()?.set("ToUnicode", Object::Reference(map));
    }
    for descriptor in fixed {
        let descriptor = document.get_dictionary_mut(descriptor).ok()?;
        let flags = descriptor.get(b"Flags").and_then(Object::as_i64).unwrap_or_default();
        descriptor.set("Flags", flags | FIXED_PITCH);
    }
    Some(Fonts { file: save(document), lost })
}

/// The texts of the codes of a `ToUnicode` map.
pub(super) fn mapped(map: &str) -> BTreeMap<u16, String> {
    let mut letters = BTreeMap::new();
    let mut insert = |code: usize, units: &[u16], more: usize| {
        if let (Ok(code), Some(text)) = (u16::try_from(code), text(units, more)) {
            letters.insert(code, text);
        }
    };
    let mut codes_left = RANGES_MAX_CODES;
    let code = |hex: &str| usize::from_str_radix(hex.trim(), 16).ok().filter(|code| *code <= usize::from(u16::MAX));
    for block in blocks(map, "bfchar") {
        let mut tokens = Tokens(block);
        while let (Some(from), Some(to)) = (tokens.next(), tokens.next()) {
            code(from).into_iter().for_each(|code| insert(code, &units(to), 0));
        }
    }
    for block in blocks(map, "bfrange") {
        let mut tokens = Tokens(block);
        while let (Some(low), Some(high), Some(to)) = (tokens.next(), tokens.next(), tokens.next()) {
            let codes = code(low).zip(code(high)).map_or(0..0, |(low, high)| low..high + 1);
            match to {
                "[" => tokens.by_ref().take_while(|to| *to != "]").zip(codes).for_each(|(to, code)| insert(code, &units(to), 0)),
                to => {
                    let units = units(to);
                    codes.clone().take(codes_left).enumerate().for_each(|(more, code)| insert(code, &units, more));
                    codes_left = codes_left.saturating_sub(codes.len());
                }
            }
        }
    }
    letters
}

/// What stands between `begin…` and `end…`.
fn blocks<'a>(map: &'a str, what: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("begin{what}"), format!("end{what}"));
    let rests: Vec<&str> = map.split(begin.as_str()).skip(1).collect();
    rests.into_iter().filter_map(move |rest| rest.split(end.as_str()).next())
}

/// The hexadecimal strings of a block, without their brackets, and the brackets of its arrays.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = &self.0[self.0.find(['<', '[', ']'])?..];
        match rest.strip_prefix('<') {
            Some(hex) => {
                let (hex, rest) = hex.split_once('>')?;
                self.0 = rest;
                Some(hex)
            }
            None => {
                self.0 = &rest[1..];
                Some(&rest[..1])
            }
        }
    }
}

/// The units of UTF-16 in hexadecimal digits; none where it is none.
fn units(hex: &str) -> Vec<u16> {
    let hex: String = hex.chars().filter(|char| !char.is_whitespace()).collect();
    let units = hex.as_bytes().chunks(4).map(|unit| u16::from_str_radix(std::str::from_utf8(unit).ok()?, 16).ok());
    units.collect::<Option<_>>().unwrap_or_default()
}

/// The text of units, the last so many further; none where they are too many.
fn text(units: &[u16], more: usize) -> Option<String> {
    let (last, before) = units.split_last().filter(|_| units.len() <= UNITS_MAX)?;
    let last = last.checked_add(u16::try_from(more).ok()?)?;
    char::decode_utf16(before.iter().copied().chain([last])).collect::<Result<_, _>>().ok()
}

/// The codes whose text means nothing. A code for U+0000 is a letter that was lost; one of private use may be an icon or a bullet,
/// and is a loss where a font of text has it.
fn unreadable(letters: &BTreeMap<u16, String>) -> BTreeMap<u16, bool> {
    let is_text = letters.values().filter(|text| text.chars().all(char::is_alphabetic)).count() >= TEXT_FONT_MIN_LETTERS;
    let holes = letters.iter().filter(|(_, text)| !text.is_empty() && text.chars().all(is_unreadable));
    holes.map(|(code, text)| (*code, text == "\0" || is_text && text.chars().all(is_letter_of_its_own))).collect()
}

/// Private use but for the codes that symbol fonts share.
fn is_letter_of_its_own(char: char) -> bool {
    matches!(char, '\u{e000}'..='\u{efff}' | '\u{f100}'..='\u{f8ff}')
}

/// The font's map with these letters in the place of what it says of their codes. As ranges, and last: what comes later holds.
fn filled_up(font: &Holes, letters: &BTreeMap<u16, &String>) -> String {
    let digits = if font.is_composite { 4 } else { 2 };
    let mut ranges = String::new();
    for (code, text) in letters {
        let text = text.encode_utf16().fold(String::new(), |text, unit| format!("{text}{unit:04X}"));
        let _ = write!(ranges, "1 beginbfrange\n<{code:0digits$X}> <{code:0digits$X}> [<{text}>]\nendbfrange\n");
    }
    match font.map.rsplit_once("endcmap") {
        Some((before, after)) => format!("{before}{ranges}endcmap{after}"),
        None => format!("{}\n{ranges}", font.map),
    }
}

/// What `ActualText` says of glyphs that stand alone in it, always the same, and the pieces of text with glyphs of the holes.
fn shown(document: &Document, holes: &HashMap<ObjectId, Holes>) -> (HashMap<Glyph, String>, Vec<Vec<Glyph>>) {
    let mut named: HashMap<Glyph, Option<String>> = HashMap::new();
    let mut pieces = Vec::new();
    let mut read = |content: &[u8], fonts: &HashMap<Vec<u8>, ObjectId>| {
        let Ok(content) = Content::decode(content) else { return };
        let (mut font, mut saved) = (None, Vec::new());
        // Two glyphs tell already that none stands alone.
        let add = |span: Option<&mut Span>, glyphs: &[Option<Glyph>]| {
            if let Some((_, shown)) = span {
                shown.extend(glyphs.iter().take(2 - shown.len()));
            }
        };
        let mut spans: Vec<Span> = Vec::new();
        for operation in &content.operations {
            let operands = &operation.operands;
            match operation.operator.as_str() {
                "q" => saved.push(font),
                "Q" => font = saved.pop().flatten(),
                "Tf" => font = operands.first().and_then(|name| fonts.get(name.as_name().ok()?)).copied(),
                "BMC" => spans.push((None, Vec::new())),
                "BDC" => {
                    let text = operands.get(1).and_then(|tags| tags.as_dict().ok()?.get(b"ActualText").ok());
                    spans.push((text.and_then(|text| decode_text_string(text).ok()), Vec::new()));
                }
                "EMC" => {
                    let Some((text, glyphs)) = spans.pop() else { continue };
                    add(spans.last_mut(), &glyphs);
                    if let (Some(text), [Some(glyph)]) = (text, &glyphs[..]) {
                        let known = named.entry(*glyph).or_insert_with(|| Some(text.clone()));
                        if known.as_ref() != Some(&text) {
                            *known = None;
                        }
                    }
                }
                "Tj" | "TJ" | "'" | "\"" => {
                    let holes = font.and_then(|font| holes.get(&font));
                    let bytes = operands.last().map(strings).unwrap_or_default();
                    let width = if holes.is_some_and(|font| font.is_composite) { 2 } else { 1 };
                    let codes = bytes.chunks(width).map(|code| code.iter().fold(0, |code, byte| code << 8 | u16::from(*byte)));
                    let is_hole = |code: &u16| holes.is_some_and(|font| font.codes.contains_key(code));
                    let glyphs: Vec<Option<Glyph>> = codes.map(|code| Some((font?, Some(code).filter(is_hole)?))).collect();
                    add(spans.last_mut(), &glyphs);
                    let piece: Vec<Glyph> = glyphs.into_iter().flatten().collect();
                    if !piece.is_empty() {
                        pieces.push(piece);
                    }
                }
                _ => {}
            }
        }
    };
    for page in document.page_iter() {
        let Ok(content) = document.get_page_content_with_limit(page, STREAM_MAX_BYTES) else { continue };
        read(&content, &page_fonts(document, page));
    }
    for form in document.objects.values().filter_map(|object| object.as_stream().ok()) {
        if form.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|name| name == b"Form")
            && let Ok(content) = form.get_plain_content_with_limit(STREAM_MAX_BYTES)
            && let Ok(resources) = form.dict.get_deref(b"Resources", document).and_then(Object::as_dict)
        {
            read(&content, &fonts_of(document, resources).into_iter().collect());
        }
    }
    let is_name =
        |text: &String| !text.trim().is_empty() && text.chars().count() <= LIGATURE_MAX_CHARS && !text.chars().any(is_unreadable);
    (named.into_iter().filter_map(|(glyph, text)| Some((glyph, text.filter(is_name)?))).collect(), pieces)
}

/// The bytes of all strings of an operand.
pub(super) fn strings(operand: &Object) -> Vec<u8> {
    match operand {
        Object::String(bytes, _) => bytes.clone(),
        Object::Array(parts) => parts.iter().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// The fonts of a page by their names there.
pub(super) fn page_fonts(document: &Document, page: ObjectId) -> HashMap<Vec<u8>, ObjectId> {
    let (own, inherited) = document.get_page_resources(page).unwrap_or_default();
    let inherited = inherited.iter().filter_map(|id| document.get_dictionary(*id).ok());
    let fonts: Vec<_> = own.into_iter().chain(inherited).flat_map(|resources| fonts_of(document, resources)).collect();
    // What stands nearer comes first and shall win.
    fonts.into_iter().rev().collect()
}

/// The fonts of resources by their names there.
fn fonts_of(document: &Document, resources: &Dictionary) -> Vec<(Vec<u8>, ObjectId)> {
    let fonts = resources.get_deref(b"Font", document).and_then(Object::as_dict);
    let fonts = fonts.into_iter().flatten();
    fonts.filter_map(|(name, font)| Some((name.clone(), font.as_reference().ok()?))).collect()
}

/// The letters of a simple font whose glyphs are all named by their own code in decimal; none where that says nothing new, or where
/// the codes are numbers of glyphs instead, which begin where Latin-1 has no letters.
fn by_numbers(document: &Document, font: &Dictionary) -> Option<BTreeMap<u16, char>> {
    let encoding = font.get_deref(b"Encoding", document).ok()?.as_dict().ok()?;
    if encoding.has(b"BaseEncoding") {
        return None;
    }
    let mut letters = BTreeMap::new();
    let mut code = 0_u8;
    for difference in encoding.get_deref(b"Differences", document).ok()?.as_array().ok()? {
        match difference {
            Object::Integer(first) => code = u8::try_from(*first).ok()?,
            Object::Name(name) => {
                let number: Option<u8> = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                match number {
                    _ if name == b".notdef" => {}
                    Some(9 | 10 | 13) => {}
                    Some(number) if number == code && number >= b' ' => {
                        let letter = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[code]).0.chars().next()?;
                        letters.extend((!letter.is_control()).then_some((u16::from(code), letter)));
                    }
                    _ => return None,
                }
                code = code.wrapping_add(1);
            }
            _ => return None,
        }
    }
    letters.keys().any(|code| matches!(code, 39 | 96 | 127..)).then_some(letters)
}

/// The descriptor of a font of one width that does not say so.
fn fixed_pitch(document: &Document, font: &Dictionary, letters: &BTreeMap<u16, String>) -> Option<ObjectId> {
    let descendant = font.get_deref(b"DescendantFonts", document).and_then(Object::as_array).ok();
    let dictionary = match descendant {
        Some(fonts) => document.dereference(fonts.first()?).ok()?.1.as_dict().ok()?,
        None => font,
    };
    let descriptor = dictionary.get(b"FontDescriptor").ok()?.as_reference().ok()?;
    let flags = document.get_dictionary(descriptor).ok()?.get(b"Flags").and_then(Object::as_i64).unwrap_or_default();
    if flags & FIXED_PITCH != 0 {
        return None;
    }
    let widths: Vec<(char, f32)> = match descendant {
        Some(_) => {
            let widths = cid_widths(document, dictionary);
            let default = dictionary.get_deref(b"DW", document).and_then(Object::as_float).unwrap_or(1000.0);
            let width = |code: &u16| *widths.get(code).unwrap_or(&default);
            letters.iter().filter_map(|(code, text)| Some((text.chars().next()?, width(code)))).collect()
        }
        None => {
            let first = font.get_deref(b"FirstChar", document).and_then(Object::as_i64).ok()?;
            let codes = u16::try_from(first).ok()?..=u16::MAX;
            let widths = font.get_deref(b"Widths", document).and_then(Object::as_array).ok()?;
            let letter =
                |code: u16| letters.get(&code).map_or(u8::try_from(code).ok().map(char::from), |text| text.chars().next());
            let width = |width| document.dereference(width).ok()?.1.as_float().ok();
            codes.zip(widths).filter_map(|(code, number)| Some((letter(code)?, width(number)?))).collect()
        }
    };
    is_one_width(&widths).then_some(descriptor)
}

/// Whether letters that are narrow and wide elsewhere have one width here. Digits alone do not tell, and a width that no typewriter
/// has is that of ideographs or of a font that measures nothing.
fn is_one_width(widths: &[(char, f32)]) -> bool {
    const WIDTHS: std::ops::RangeInclusive<f32> = 400.0..=800.0;
    const LETTERS_MIN: usize = 8;
    let used: Vec<(char, f32)> =
        widths.iter().copied().filter(|(letter, width)| letter.is_ascii_graphic() && *width > 0.0).collect();
    let has = |letters: &str| used.iter().any(|(letter, _)| letters.contains(*letter));
    used.len() >= LETTERS_MIN
        && has("fijlrtI")
        && has("mwMW")
        && used.iter().all(|(_, width)| WIDTHS.contains(width) && (width - used[0].1).abs() <= 1.0)
}

/// The widths of a composite font that differ from the usual one (PDF 32000-1, 9.7.4.3).
fn cid_widths(document: &Document, font: &Dictionary) -> HashMap<u16, f32> {
    let mut widths = HashMap::new();
    let entries = font.get_deref(b"W", document).and_then(Object::as_array).map(Vec::as_slice).unwrap_or_default();
    let entries: Vec<&Object> = entries.iter().filter_map(|entry| Some(document.dereference(entry).ok()?.1)).collect();
    let code = |object: &Object| object.as_i64().ok().and_then(|code| u16::try_from(code).ok());
    let mut rest = entries.as_slice();
    while let [first, second, after @ ..] = rest {
        let Some(first) = code(first) else { break };
        match (second, after) {
            (Object::Array(list), _) => {
                widths.extend((first..=u16::MAX).zip(list).filter_map(|(code, width)| Some((code, width.as_float().ok()?))));
                rest = after;
            }
            (last, [width, after @ ..]) => {
                if let (Some(last), Ok(width)) = (code(last), width.as_float()) {
                    widths.extend((first..=last).map(|code| (code, width)));
                }
                rest = after;
            }
            _ => break,
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_as_its_reader_reads_it() {
        let map =
            "1 beginbfchar <8D> <0000> endbfchar\n2 beginbfrange\n<0041><0043><0061>\n<50> <51> [<00660069> <F603>]\nendbfrange";
        let letters = mapped(map);
        let expected = [(0x41, "a"), (0x42, "b"), (0x43, "c"), (0x50, "fi"), (0x51, "\u{f603}"), (0x8d, "\0")]
            .map(|(code, text)| (code, text.to_owned()));
        assert_eq!(letters, BTreeMap::from(expected));
        assert_eq!(unreadable(&letters), BTreeMap::from([(0x51, false), (0x8d, true)]));
        let many = "<0000> <FFFF> <0000> ".repeat(2);
        assert_eq!(mapped(&format!("beginbfrange {many} <0041> <0041> <0062> endbfrange"))[&0x41], "A");
        assert_eq!(
            mapped("beginbfrange <41> <40> <0061> <FFFF> <FFFF> <FFFF> <1> <2"),
            BTreeMap::from([(0xffff, "\u{ffff}".to_owned())])
        );
    }

    #[test]
    fn a_code_stands_for_no_long_text() {
        let map = |len: usize| mapped(&format!("beginbfrange <00> <40> <{}> <41> <41> <0062> endbfrange", "0061".repeat(len)));
        assert_eq!(map(UNITS_MAX).len(), 0x42);
        assert_eq!(map(UNITS_MAX + 1), BTreeMap::from([(0x41, "b".to_owned())]));
    }

    #[test]
    fn one_width_is_that_of_narrow_and_wide_letters() {
        let widths = |text: &str, width: fn(char) -> f32| text.chars().map(|char| (char, width(char))).collect::<Vec<_>>();
        assert!(is_one_width(&widths("the milk!", |_| 525.0)));
        assert!(!is_one_width(&widths("the milk!", |char| if char == 'i' { 250.0 } else { 525.0 })));
        assert!(!is_one_width(&widths("0123456789", |_| 525.0)) && !is_one_width(&widths("the milk!", |_| 1000.0)));
    }
}
