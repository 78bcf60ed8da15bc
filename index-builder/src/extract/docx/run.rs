//! A run: words with properties, some of which change what the words say. And the symbols of the fonts that have no letters.

use quick_xml::events::BytesStart;

use super::xml::{attribute, val};
use crate::extract::exponent::is_apart;

/// Symbol's characters by Adobe's encoding, from 0x20 and from 0xA0; a space where there is none.
const SYMBOL: [&str; 2] = [
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_ αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
    "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…  ↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊⟨®©™∑",
];
/// Those of Wingdings that say something.
const WINGDINGS: [(u32, char); 12] = [
    (0x6f, '☐'),
    (0xa8, '☐'),
    (0xdf, '←'),
    (0xe0, '→'),
    (0xe1, '↑'),
    (0xe2, '↓'),
    (0xf0, '⇨'),
    (0xf3, '⇔'),
    (0xfb, '✗'),
    (0xfc, '✓'),
    (0xfd, '☒'),
    (0xfe, '☑'),
];

/// The run that is read, and what of the ones before it in its paragraph matters.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// `^` of raised words, `_` of lowered ones.
    mark: Option<char>,
    /// Whether nobody sees it, or it is struck.
    is_hidden: bool,
    /// The mark of the last words that were raised or lowered, and how long the text was behind them.
    last: Option<(char, usize)>,
}

impl Run {
    /// Begins or ends a run: it has no properties.
    pub(super) fn reset(&mut self) {
        (self.mark, self.is_hidden) = (None, false);
    }

    /// Takes a property.
    pub(super) fn property(&mut self, name: &str, element: &BytesStart<'_>) {
        match name {
            "vertAlign" => {
                self.mark = match val(element).as_deref() {
                    Some("superscript") => Some('^'),
                    Some("subscript") => Some('_'),
                    _ => None,
                }
            }
            // What is struck no longer holds.
            "vanish" | "strike" | "dstrike" => {
                self.is_hidden |= !matches!(val(element).as_deref(), Some("0" | "false" | "off"));
            }
            _ => {}
        }
    }

    /// Adds words of the run, which may be a piece of a raised number.
    pub(super) fn push(&mut self, text: &mut String, words: &str) {
        if self.is_hidden {
            return;
        }
        if let Some(mark) = self.mark
            && self.last != Some((mark, text.len()))
            && is_apart(words, text.chars().last().unwrap_or(' '))
        {
            text.push(mark);
        }
        text.push_str(words);
        self.last = self.mark.map(|mark| (mark, text.len()));
    }
}

/// What a `w:sym` shows. Codes of symbol fonts are written in the private area.
pub(super) fn symbol(element: &BytesStart<'_>) -> Option<char> {
    let code = u32::from_str_radix(&attribute(element, "char")?, 16).ok()?;
    let byte = code.checked_sub(0xf000).unwrap_or(code);
    let font = attribute(element, "font").unwrap_or_default();
    let found = match font.as_str() {
        "Symbol" => match byte {
            0xa0.. => SYMBOL[1].chars().nth(byte as usize - 0xa0),
            0x20.. => SYMBOL[0].chars().nth(byte as usize - 0x20),
            _ => None,
        },
        font if font.starts_with("Wingdings") => WINGDINGS.iter().find(|(of, _)| *of == byte).map(|(_, char)| *char),
        _ => char::from_u32(code).filter(|char| !matches!(char, '\u{e000}'..='\u{f8ff}')),
    };
    found.filter(|char| *char != ' ')
}
