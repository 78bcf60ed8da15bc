//! Bytes to text: byte-order mark, ISO-2022 escapes, strict UTF-8, the NUL pattern of UTF-16 and UTF-32, the declared charset,
//! and only then a guess.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

use super::Refusal;

/// How far into a page a declaration is looked for: past any comment that someone put before it.
const DECLARATION_WITHIN_BYTES: usize = 64 << 10;

/// A decoded file.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Its text; bytes that the encoding does not have are U+FFFD.
    pub(super) text: String,
    /// Said when the encoding was guessed or did not fit.
    pub(super) warning: Option<String>,
}

/// Decodes a text file. `declared` is the charset that its source or its own head names.
pub(super) fn decode(bytes: &[u8], declared: Option<&str>) -> Result<Decoded, Refusal> {
    if let Some(wide) = utf32(bytes) {
        return Ok(Decoded { text: wide, warning: None });
    }
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return Ok(decoded_as(encoding, &bytes[mark..], false));
    }
    if is_iso_2022_jp(bytes) {
        return Ok(decoded_as(ISO_2022_JP, bytes, false));
    }
    if !bytes.contains(&0)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Ok(Decoded { text: text.to_owned(), warning: None });
    }
    if let Some(encoding) = utf16_by_nuls(bytes) {
        return Ok(decoded_as(encoding, bytes, false));
    }
    // Encrypted and compressed bytes have one in eleven. Old texts have tabs of both kinds, backspaces and an end (0x1a), which
    // do not count.
    let controls = bytes.iter().filter(|byte| matches!(byte, 0..=7 | 14..=25 | 28..=31)).count();
    if controls * 100 > bytes.len() {
        return Err(Refusal::unsupported("binary data"));
    }
    // A page that names UTF-16 in its own ASCII head is not in UTF-16, and UTF-8 was ruled out above.
    let usable = |encoding: &&'static Encoding| ![UTF_8, UTF_16BE, UTF_16LE].contains(encoding);
    if let Some(encoding) = declared.and_then(|label| Encoding::for_label(label.trim().as_bytes())).filter(usable) {
        let decoded = decoded_as(encoding, bytes, false);
        if decoded.warning.is_none() {
            return Ok(decoded);
        }
    }
    // More of it is UTF-8 than not, which chance does not make: a stray byte does not turn it into Cyrillic.
    let lossy = decoded_as(UTF_8, bytes, false);
    let broken = lossy.text.matches('\u{fffd}').count();
    if lossy.text.chars().filter(|char| !char.is_ascii()).count() > 2 * broken {
        return Ok(lossy);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    Ok(decoded_as(detector.guess(None, Utf8Detection::Deny), bytes, true))
}

/// The charset that an HTML page names for itself: the first `charset=` of its head that is a known label.
pub(super) fn charset_of_html(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(DECLARATION_WITHIN_BYTES)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut rest = head.as_str();
    while let Some(at) = rest.find("charset") {
        rest = &rest[at + "charset".len()..];
        let Some(value) = rest.trim_start().strip_prefix('=') else { continue };
        let value = value.trim_start_matches([' ', '"', '\'']);
        let end = value.find(|char: char| !(char.is_ascii_alphanumeric() || "-_:.".contains(char))).unwrap_or(value.len());
        if Encoding::for_label(&value.as_bytes()[..end]).is_some() {
            return Some(value[..end].to_owned());
        }
    }
    None
}

fn decoded_as(encoding: &'static Encoding, bytes: &[u8], is_guess: bool) -> Decoded {
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    let warning = match (broken, is_guess) {
        (true, _) => Some(format!("some bytes are not {}", encoding.name())),
        (false, true) => Some(format!("encoding guessed: {}", encoding.name())),
        (false, false) => None,
    };
    Decoded { text: text.into_owned(), warning }
}

/// ISO-2022-JP is ASCII to a strict UTF-8 decoder; its escapes give it away.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    bytes.is_ascii() && [&b"\x1b$B"[..], b"\x1b$@", b"\x1b(J"].iter().any(|escape| bytes.windows(3).any(|three| three == *escape))
}

/// UTF-16 without a mark: in Western text every other byte is NUL, in any text far more than none on one side only.
fn utf16_by_nuls(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(64 << 10)];
    let count = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, units) = (count(0), count(1), sample.len() / 2);
    match () {
        () if units == 0 => None,
        () if odd * 10 > units && even * 20 < odd => Some(UTF_16LE),
        () if even * 10 > units && odd * 20 < even => Some(UTF_16BE),
        () => None,
    }
}

/// UTF-32 with a mark; without one it does not occur in the wild.
fn utf32(bytes: &[u8]) -> Option<String> {
    let unit: fn([u8; 4]) -> u32 = match bytes.get(..4)? {
        [0xff, 0xfe, 0, 0] => u32::from_le_bytes,
        [0, 0, 0xfe, 0xff] => u32::from_be_bytes,
        _ => return None,
    };
    let (units, _) = bytes[4..].as_chunks::<4>();
    Some(units.iter().map(|four| char::from_u32(unit(*four)).unwrap_or('\u{fffd}')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], declared: Option<&str>) -> String {
        decode(bytes, declared).unwrap().text
    }

    #[test]
    fn marks_and_patterns_come_before_declarations() {
        assert_eq!(text(b"\xef\xbb\xbfna\xc3\xafve", Some("windows-1251")), "naïve");
        assert_eq!(text(b"\xff\xfeh\0i\0", None), "hi");
        assert_eq!(text(b"\xff\xfe\0\0h\0\0\0", None), "h");
        assert_eq!(text(b"h\0e\0l\0l\0o\0", Some("utf-8")), "hello");
        assert_eq!(text(b"\0h\0e\0l\0l\0o", None), "hello");
        assert_eq!(text("naïve".as_bytes(), Some("windows-1251")), "naïve");
        assert_eq!(text(b"\x1b$B4A;z\x1b(B", None), "漢字");
    }

    #[test]
    fn declared_charsets_are_used_and_guesses_are_told() {
        let koi8 = b"\xf0\xd2\xc9\xd7\xc5\xd4";
        assert_eq!(text(koi8, Some("KOI8-R")), "Привет");
        let guess = decode(b"Le caf\xe9 est ferm\xe9, d\xe9sol\xe9.", None).unwrap();
        assert_eq!(guess.text, "Le café est fermé, désolé.");
        assert_eq!(guess.warning.as_deref(), Some("encoding guessed: windows-1252"));
    }

    #[test]
    fn one_stray_byte_keeps_utf8() {
        let mut bytes = "größer".as_bytes().to_vec();
        bytes.push(0xe4);
        let decoded = decode(&bytes, None).unwrap();
        assert!(decoded.text.starts_with("größer"));
        assert_eq!(decoded.warning.as_deref(), Some("some bytes are not UTF-8"));
        let either = decode(b"sch\xf6n, \xc3\xbcber", None).unwrap().warning.unwrap();
        assert!(either.starts_with("encoding guessed"), "as much of one as of the other: {either}");
    }

    #[test]
    fn binary_data_is_refused() {
        let reason = decode(&[1, 0, 0, 2, 0, 0, 0, 255, 3, 0, 0, 254], None).unwrap_err();
        assert_eq!(reason.to_string(), "unsupported format: binary data");
        for old in [&b"Gr\xfc\xdfe aus K\xf6ln.\r\n\x1a"[..], b"N\x08NA\x08AM\x08ME\x08E caf\xe9", b"Caf\xe9\x0bBar\x0bBistro"] {
            decode(old, None).unwrap();
        }
        let mut state = 1_u32;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let encrypted: Vec<u8> = b"Salted__".iter().copied().chain(random.filter(|byte| *byte != 0).take(4096)).collect();
        assert_eq!(decode(&encrypted, None).unwrap_err().to_string(), "unsupported format: binary data");
    }

    #[test]
    fn a_page_names_its_charset_in_many_ways() {
        assert_eq!(charset_of_html(b"<meta charset=\"Shift_JIS\">").as_deref(), Some("shift_jis"));
        assert_eq!(charset_of_html(b"<meta content='text/html; charset = koi8-r'>").as_deref(), Some("koi8-r"));
        assert_eq!(charset_of_html(b"charset=nonsense charset=big5").as_deref(), Some("big5"));
        assert_eq!(charset_of_html(b"<p>charset"), None);
    }
}
