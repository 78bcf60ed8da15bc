//! A letter of a text or key, and the escapes that it may be part of.

use super::{Partial, State};

/// What was read of an escape.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    #[default]
    No,
    Slash,
    /// Digits of a number; of the second half of a pair where the first was read.
    Hex {
        first: Option<u16>,
        left: u8,
        code: u16,
    },
    /// The first half of a pair was read; `\u` of the second must follow.
    Half(u16),
    HalfSlash(u16),
}

const DIGITS: u8 = 4;
const BROKEN: char = char::REPLACEMENT_CHARACTER;

impl Partial {
    pub(super) fn in_text(&mut self, letter: char, quote: char, is_key: bool) {
        match self.escape {
            Escape::No => match letter {
                '\\' => self.escape = Escape::Slash,
                letter if letter == quote || (matches!(quote, '“' | '”') && matches!(letter, '“' | '”')) => {
                    if is_key {
                        self.key();
                        self.state = State::Colon;
                    } else {
                        self.close_text();
                    }
                }
                letter => self.take(letter, is_key),
            },
            Escape::Slash => {
                self.escape = Escape::No;
                match letter {
                    'n' => self.take('\n', is_key),
                    't' => self.take('\t', is_key),
                    'r' => self.take('\r', is_key),
                    'b' => self.take('\u{8}', is_key),
                    'f' => self.take('\u{c}', is_key),
                    'u' => self.escape = Escape::Hex { first: None, left: DIGITS, code: 0 },
                    letter => self.take(letter, is_key),
                }
            }
            Escape::Hex { first, left, code } => {
                let Some(digit) = letter.to_digit(16) else { return self.lone(letter, quote, is_key) };
                let code = code << 4 | digit as u16;
                if left > 1 {
                    self.escape = Escape::Hex { first, left: left - 1, code };
                } else {
                    self.code(first, code, is_key);
                }
            }
            Escape::Half(first) if letter == '\\' => self.escape = Escape::HalfSlash(first),
            Escape::Half(_) => self.lone(letter, quote, is_key),
            Escape::HalfSlash(first) if letter == 'u' => self.escape = Escape::Hex { first: Some(first), left: DIGITS, code: 0 },
            Escape::HalfSlash(_) => {
                self.take(BROKEN, is_key);
                self.escape = Escape::Slash;
                self.in_text(letter, quote, is_key);
            }
        }
    }

    /// The number of an escape was read.
    fn code(&mut self, first: Option<u16>, code: u16, is_key: bool) {
        self.escape = Escape::No;
        match first {
            None if (0xd800..0xdc00).contains(&code) => self.escape = Escape::Half(code),
            None => self.take(char::from_u32(u32::from(code)).unwrap_or(BROKEN), is_key),
            Some(first) => {
                for letter in char::decode_utf16([first, code]) {
                    self.take(letter.unwrap_or(BROKEN), is_key);
                }
            }
        }
    }

    /// An escape that breaks off: what is missing becomes U+FFFD, and the letter is read again.
    fn lone(&mut self, letter: char, quote: char, is_key: bool) {
        self.escape = Escape::No;
        self.note("a broken escape");
        self.take(BROKEN, is_key);
        self.in_text(letter, quote, is_key);
    }
}
