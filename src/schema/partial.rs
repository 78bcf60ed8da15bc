//! JSON as it arrives: an incremental reader that says what each piece adds, in linear time.
//!
//! It is forgiving where models are careless (text around the object, single quotes, words without quotes, commas too many,
//! Python's literals, an end that is missing) and notes each time it was. What it says on the way is a preview: only the whole,
//! validated answer can be trusted.

mod escape;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Number, Value};

use self::escape::Escape;
use super::walk::escaped;

/// Levels of one answer.
const MAX_DEPTH: usize = 128;

/// Bytes of a path. Each patch repeats its own, so what is at a longer one is not previewed: long keys around many small values
/// would make a hundred times more of an answer than it is.
const MAX_PATH: usize = 512;

/// What a piece adds: JSON Patch's `add`, and `append` for text that grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Patch {
    /// A value begins: a number, a literal, or an empty object, list or text.
    Add {
        /// Where, as a JSON pointer.
        path: String,
        /// What.
        value: Value,
    },
    /// The text there goes on.
    Append {
        /// Where, as a JSON pointer.
        path: String,
        /// With what.
        value: String,
    },
}

/// The note of an answer that breaks off.
pub(super) const UNFINISHED: &str = "the end was missing";

/// The reader.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    state: State,
    open: Vec<Open>,
    path: String,
    text: String,
    /// Text of the open string that was not told yet.
    fresh: String,
    escape: Escape,
    whole: Option<Value>,
    patches: Vec<Patch>,
    notes: BTreeSet<&'static str>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Looking for the first `{`.
    #[default]
    Before,
    /// A value must follow.
    Value,
    /// A value, or the end of the list.
    ValueOrEnd,
    /// A key, or the end of the object.
    KeyOrEnd,
    Key(char),
    BareKey,
    Colon,
    Text(char),
    Bare,
    /// A comma or an end must follow.
    After,
    Done,
    Broken,
}

/// A container that is not closed yet.
#[derive(Debug)]
struct Open {
    value: Value,
    key: String,
    /// Length of the path of this container.
    path: usize,
}

impl Partial {
    /// Reads the next piece; says what it adds.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<Patch> {
        for letter in piece.chars() {
            self.letter(letter);
        }
        self.tell();
        std::mem::take(&mut self.patches)
    }

    /// Ends the answer: its value where there is one, and what it needed leniency for.
    pub(crate) fn finish(mut self) -> (Option<Value>, Vec<&'static str>) {
        if !matches!(self.state, State::Done | State::Before | State::Broken) {
            self.notes.insert(UNFINISHED);
            match self.state {
                State::Bare => self.close_bare(),
                State::Text(_) => self.close_text(),
                _ => {}
            }
            while !self.open.is_empty() {
                self.close();
            }
        }
        (self.whole, self.notes.into_iter().collect())
    }

    /// The object that `text` begins with, with what it needed leniency for, where one can be made out; and how many bytes were
    /// read for it.
    pub(crate) fn object(text: &str) -> (Option<(Value, Vec<&'static str>)>, usize) {
        let mut partial = Self::default();
        let mut read = text.len();
        for (at, letter) in text.char_indices() {
            partial.letter(letter);
            // Nobody is shown them.
            partial.patches.clear();
            if matches!(partial.state, State::Done | State::Broken) {
                read = at + letter.len_utf8();
                break;
            }
        }
        let (value, notes) = partial.finish();
        (value.filter(|value| value.as_object().is_some_and(|map| !map.is_empty())).map(|value| (value, notes)), read)
    }

    fn letter(&mut self, letter: char) {
        match self.state {
            State::Before if letter == '{' => self.open(Value::Object(Map::new())),
            State::Before | State::Done | State::Broken => {}
            State::Text(quote) => self.in_text(letter, quote, false),
            State::Key(quote) => self.in_text(letter, quote, true),
            State::BareKey if letter == ':' => {
                self.key();
                self.state = State::Value;
            }
            State::BareKey if letter.is_whitespace() => {
                self.key();
                self.state = State::Colon;
            }
            State::BareKey => self.text.push(letter),
            State::Bare if matches!(letter, ',' | '}' | ']' | '\n') => {
                self.close_bare();
                self.letter(letter);
            }
            State::Bare => self.text.push(letter),
            _ if letter.is_whitespace() => {}
            State::KeyOrEnd => match letter {
                '}' => self.close(),
                ',' => self.note("a comma too many"),
                '"' | '\'' | '“' | '”' => {
                    if letter != '"' {
                        self.note("other quotation marks");
                    }
                    self.text.clear();
                    self.state = State::Key(letter);
                }
                letter if letter.is_alphabetic() || letter == '_' => {
                    self.note("a key without quotes");
                    self.text.clear();
                    self.text.push(letter);
                    self.state = State::BareKey;
                }
                _ => self.state = State::Broken,
            },
            State::Colon => self.state = if letter == ':' { State::Value } else { State::Broken },
            State::Value | State::ValueOrEnd => self.value(letter),
            State::After => match (letter, self.open.last().map(|open| open.value.is_object())) {
                (',', Some(true)) => self.state = State::KeyOrEnd,
                (',', Some(false)) => self.state = State::ValueOrEnd,
                ('}', Some(true)) | (']', Some(false)) => self.close(),
                _ => self.state = State::Broken,
            },
        }
    }

    fn value(&mut self, letter: char) {
        match letter {
            '{' => self.open(Value::Object(Map::new())),
            '[' => self.open(Value::Array(Vec::new())),
            ']' if self.state == State::ValueOrEnd => self.close(),
            '"' | '\'' | '“' | '”' => {
                if letter != '"' {
                    self.note("other quotation marks");
                }
                self.text.clear();
                self.fresh.clear();
                self.state = State::Text(letter);
                self.enter();
                self.add(Value::String(String::new()));
            }
            ',' | '}' | ']' | ':' => self.state = State::Broken,
            letter => {
                self.text.clear();
                self.text.push(letter);
                self.state = State::Bare;
            }
        }
    }

    fn take(&mut self, letter: char, is_key: bool) {
        self.text.push(letter);
        if !is_key {
            self.fresh.push(letter);
        }
    }

    fn key(&mut self) {
        let key = std::mem::take(&mut self.text);
        if let Some(open) = self.open.last_mut() {
            open.key = key;
        }
    }

    /// Moves the path to the value that begins.
    fn enter(&mut self) {
        let Some(open) = self.open.last() else { return };
        self.path.truncate(open.path);
        match &open.value {
            Value::Array(list) => {
                let number = list.len().to_string();
                self.path.push('/');
                self.path.push_str(&number);
            }
            _ => {
                self.path.push('/');
                self.path.push_str(&escaped(&open.key));
            }
        }
    }

    fn open(&mut self, value: Value) {
        if self.open.len() >= MAX_DEPTH {
            self.state = State::Broken;
            return;
        }
        self.enter();
        self.state = if value.is_object() { State::KeyOrEnd } else { State::ValueOrEnd };
        self.add(value.clone());
        self.open.push(Open { value, key: String::new(), path: self.path.len() });
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        self.path.truncate(open.path);
        self.put(open.value);
    }

    fn close_text(&mut self) {
        self.escape = Escape::No;
        self.tell();
        let text = std::mem::take(&mut self.text);
        self.put(Value::String(text));
    }

    fn close_bare(&mut self) {
        let text = std::mem::take(&mut self.text);
        let word = text.trim();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "True" | "False" | "None" | "NaN" | "undefined" => {
                self.note("a literal of another language");
                if word == "True" || word == "False" { Value::Bool(word == "True") } else { Value::Null }
            }
            word => match serde_json::from_str::<Number>(word) {
                Ok(number) => Value::Number(number),
                Err(_) => {
                    self.note("a word without quotes");
                    Value::String(word.to_owned())
                }
            },
        };
        self.enter();
        self.add(value.clone());
        self.put(value);
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, value: Value) {
        self.state = State::After;
        match self.open.last_mut() {
            None => {
                self.whole = Some(value);
                self.state = State::Done;
            }
            Some(open) => match &mut open.value {
                Value::Array(list) => list.push(value),
                Value::Object(map) => {
                    map.insert(std::mem::take(&mut open.key), value);
                }
                _ => {}
            },
        }
    }

    fn add(&mut self, value: Value) {
        if self.path.len() <= MAX_PATH {
            self.patches.push(Patch::Add { path: self.path.clone(), value });
        }
    }

    fn tell(&mut self) {
        let value = std::mem::take(&mut self.fresh);
        if !value.is_empty() && self.path.len() <= MAX_PATH {
            self.patches.push(Patch::Append { path: self.path.clone(), value });
        }
    }

    fn note(&mut self, note: &'static str) {
        self.notes.insert(note);
    }
}

#[cfg(test)]
mod tests;
