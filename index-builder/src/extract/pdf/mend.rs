//! Files whose letters the reader would lose or turn around, written anew so that it does not.
//!
//! A page holds glyph numbers; a font's `ToUnicode` map says which letters they are. Where that map is missing or empty, the
//! letters are looked up in the embedded font itself. Where it spells an Arabic or Hebrew ligature as two letters, the reader would
//! turn them around with the rest of the line, so the map gets the one character that Unicode has for the ligature; `readable`
//! spells it out afterwards. And a file that some readers cannot decrypt, though its password is empty, is written without
//! encryption.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use lopdf::{Dictionary, Document, LoadOptions, Object, Stream};
use unicode_normalization::UnicodeNormalization;

use super::STREAM_MAX_BYTES;

/// Lines of one `bfchar` block, by the format's own limit.
const BLOCK_MAX_LINES: usize = 100;

/// Loads a file for a second look; none where it is damaged or needs a password.
pub(super) fn load(bytes: &[u8]) -> Option<Document> {
    let options = LoadOptions { max_decompressed_size: Some(STREAM_MAX_BYTES), ..LoadOptions::default() };
    Document::load_mem_with_options(bytes, options).ok().filter(|document| !document.is_encrypted())
}

/// The title that the file gives itself.
pub(super) fn title(document: &Document) -> Option<String> {
    let info = document.trailer.get_deref(b"Info", document).and_then(Object::as_dict);
    info.and_then(|info| info.get_deref(b"Title", document)).and_then(lopdf::decode_text_string).ok()
}

/// The file without its encryption; none where it has none or needs a password.
pub(super) fn decrypted(bytes: &[u8]) -> Option<Vec<u8>> {
    let document = load(bytes).filter(Document::was_encrypted)?;
    save(document)
}

/// The file with better maps from glyphs to letters; none where there is nothing to better.
pub(super) fn with_letters(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut document = load(bytes)?;
    let ligatures = ligatures();
    let mut maps = Vec::new();
    for (id, object) in &document.objects {
        let Ok(font) = object.as_dict() else { continue };
        if !font.has_type(b"Font") {
            continue;
        }
        match to_unicode(&document, font) {
            Some(map) => maps.extend(with_ligatures(&map, &ligatures).map(|map| (*id, Some(map)))),
            None => match by_embedded_font(&document, font) {
                Some(letters) => maps.push((*id, Some(write_map(&letters, 4)))),
                // An empty map hides the encoding that a simple font has as well.
                None if font.has(b"ToUnicode") => maps.push((*id, None)),
                None => {}
            },
        }
    }
    if maps.is_empty() {
        return None;
    }
    for (font, map) in maps {
        let map = map.map(|map| document.add_object(Stream::new(Dictionary::new(), map.into_bytes())));
        let font = document.get_dictionary_mut(font).ok()?;
        match map {
            Some(map) => font.set("ToUnicode", Object::Reference(map)),
            None => drop(font.remove(b"ToUnicode")),
        }
    }
    save(document)
}

pub(super) fn save(mut document: Document) -> Option<Vec<u8>> {
    document.trailer.remove(b"Encrypt");
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).ok()?;
    Some(bytes)
}

/// The text of a font's map, where it maps anything.
pub(super) fn to_unicode(document: &Document, font: &Dictionary) -> Option<String> {
    let stream = font.get_deref(b"ToUnicode", document).ok()?.as_stream().ok()?;
    let map = String::from_utf8_lossy(&stream.get_plain_content_with_limit(STREAM_MAX_BYTES).ok()?).into_owned();
    let maps = ["beginbfchar", "beginbfrange"]
        .iter()
        .any(|begin| map.split(begin).skip(1).any(|block| block.split("endbf").next().is_some_and(|lines| lines.contains('<'))));
    // A map that refers to another one is left to the reader.
    (maps || map.contains("usecmap")).then_some(map)
}

/// The letters of a composite font's codes, by the tables of the TrueType font that is embedded.
pub(super) fn by_embedded_font(document: &Document, font: &Dictionary) -> Option<BTreeMap<u16, char>> {
    let encoding = font.get(b"Encoding").ok()?.as_name().ok()?;
    if !matches!(encoding, b"Identity-H" | b"Identity-V") {
        return None;
    }
    let descendants = font.get_deref(b"DescendantFonts", document).ok()?.as_array().ok()?;
    let descendant = document.dereference(descendants.first()?).ok()?.1.as_dict().ok()?;
    let descriptor = descendant.get_deref(b"FontDescriptor", document).ok()?.as_dict().ok()?;
    let program = descriptor.get_deref(b"FontFile2", document).ok()?.as_stream().ok()?;
    let program = program.get_plain_content_with_limit(STREAM_MAX_BYTES).ok()?;
    let glyphs = match descendant.get_deref(b"CIDToGIDMap", document).ok().map(Object::as_stream) {
        Some(Ok(stream)) => Some(stream.get_plain_content_with_limit(STREAM_MAX_BYTES).ok()?),
        _ => None,
    };
    let glyph_of = |code: u16| match &glyphs {
        Some(glyphs) => {
            glyphs.get(2 * usize::from(code)..).and_then(<[u8]>::first_chunk).map_or(0, |two| u16::from_be_bytes(*two))
        }
        None => code,
    };
    let mut letter_of = HashMap::new();
    let face = ttf_parser::Face::parse(&program, 0).ok()?;
    for table in face.tables().cmap.into_iter().flat_map(|cmap| cmap.subtables).filter(ttf_parser::cmap::Subtable::is_unicode) {
        table.codepoints(|codepoint| {
            if let (Some(glyph), Some(letter)) = (table.glyph_index(codepoint), char::from_u32(codepoint)) {
                letter_of.entry(glyph.0).or_insert(letter);
            }
        });
    }
    let letters: BTreeMap<u16, char> = match (letter_of.is_empty(), &glyphs) {
        (false, _) => (1..=u16::MAX).filter_map(|code| Some((code, *letter_of.get(&glyph_of(code))?))).collect(),
        // Codes that are not the glyphs' numbers are there for a reason, and the reason is Unicode.
        (true, Some(_)) => (1..=u16::MAX).filter(|code| glyph_of(*code) > 0).filter_map(as_letter).collect(),
        (true, None) => return None,
    };
    (!letters.is_empty()).then_some(letters)
}

fn as_letter(code: u16) -> Option<(u16, char)> {
    Some((code, char::from_u32(u32::from(code))?))
}

/// A `ToUnicode` map (PDF 32000-1, 9.10.3) of codes with so many hexadecimal digits.
pub(super) fn write_map(letters: &BTreeMap<u16, char>, digits: usize) -> String {
    let mut map = format!(
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapType 2 def\n\
         1 begincodespacerange\n<{:0>digits$}> <{:F>digits$}>\nendcodespacerange\n",
        "", ""
    );
    let lines: Vec<String> = letters
        .iter()
        .map(|(code, letter)| {
            let mut units = [0; 2];
            letter.encode_utf16(&mut units).iter().fold(format!("<{code:0digits$X}> <"), |line, unit| format!("{line}{unit:04X}"))
                + ">\n"
        })
        .collect();
    for block in lines.chunks(BLOCK_MAX_LINES) {
        let _ = write!(map, "{} beginbfchar\n{}endbfchar\n", block.len(), block.concat());
    }
    map + "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
}

/// The map with one character for each ligature; none where it has none.
fn with_ligatures(map: &str, ligatures: &HashMap<String, char>) -> Option<String> {
    let mut changed = false;
    let mut better = String::with_capacity(map.len());
    for (index, part) in map.split('<').enumerate() {
        if index > 0 {
            better.push('<');
        }
        let ligature = part.split_once('>').and_then(|(hex, rest)| Some((*ligatures.get(&hex.to_ascii_uppercase())?, rest)));
        match ligature {
            Some((ligature, rest)) => {
                changed = true;
                let _ = write!(better, "{:04X}>{rest}", u32::from(ligature));
            }
            None => better.push_str(part),
        }
    }
    changed.then_some(better)
}

/// Hebrew and Arabic letters that Unicode has as one character, under the UTF-16 (hex) of what they are spelled as.
fn ligatures() -> HashMap<String, char> {
    let mut ligatures = HashMap::new();
    for letter in ('\u{fe70}'..='\u{fefc}').chain('\u{fb1d}'..='\u{fdff}') {
        let spelled: String = std::iter::once(letter).nfkc().collect();
        if spelled.chars().count() > 1 && !spelled.contains([' ', '\u{640}']) {
            let hex = spelled.encode_utf16().fold(String::new(), |hex, unit| format!("{hex}{unit:04X}"));
            ligatures.entry(hex).or_insert(letter);
        }
    }
    ligatures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ligature_stays_one_character() {
        let map = "2 beginbfchar\n<02CD> <05d005bc>\n<03FB> <06440627>\n<0041> <00410042>\nendbfchar";
        let better = with_ligatures(map, &ligatures()).unwrap();
        assert_eq!(better, "2 beginbfchar\n<02CD> <FB30>\n<03FB> <FEFB>\n<0041> <00410042>\nendbfchar");
        assert_eq!(with_ligatures("1 beginbfchar\n<0041> <0042>\nendbfchar", &ligatures()), None);
    }

    #[test]
    fn a_map_is_read_back() {
        let letters: BTreeMap<u16, char> =
            (0..250).map(|code| (code + 1, char::from_u32(0x1f600 + u32::from(code)).unwrap())).collect();
        let map = write_map(&letters, 4);
        assert_eq!(map.matches("beginbfchar").count(), 3);
        assert!(map.contains("<0001> <D83DDE00>\n"), "{map}");
    }
}
