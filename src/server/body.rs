//! JSON bodies: read into a type, and what is wrong with them said by path.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::{Error, Result};

/// A text, or a list.
#[derive(Debug)]
pub(super) enum TextOr<T> {
    Text(String),
    List(Vec<T>),
}

/// Not derived: serde's own way would not say which field of which entry is wrong.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = TextOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(entries)).map(TextOr::List)
            }
        }

        reader.deserialize_any(Either(PhantomData))
    }
}

/// What is told as an object. Serde's own way would take a list of its fields in their order, too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        T::deserialize(OfMap(reader)).map(Self)
    }
}

/// Reads a field that may be left out or null as [`Object`].
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    Ok(Option::deserialize(reader)?.map(|Object(value)| value))
}

/// A reader that finds objects only.
struct OfMap<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for OfMap<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Bytes of a body whose values are not counted.
const UNCOUNTED_BYTES: usize = 256 << 10;
/// Values of one body: each takes many times the room in memory that it is written in.
const MAX_VALUES: usize = 2_000_000;
/// Values whose room an object or a list takes.
const VALUES_OF_CONTAINER: usize = 40;

/// Reads a body. `T`'s unknown fields are refused by path.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    let body = without_mark(body);
    match body.trim_ascii_start().first() {
        None => return Err(Error::bad_request("the body is empty; send a JSON object")),
        // Serde would read a list as the fields in their order.
        Some(b'[' | b'"' | b'0'..=b'9' | b'-') => {
            return Err(Error::bad_request("the body is not a JSON object; send one"));
        }
        Some(_) => {}
    }
    if body.len() > UNCOUNTED_BYTES && values(body) > MAX_VALUES {
        let most = MAX_VALUES / VALUES_OF_CONTAINER;
        return Err(Error::bad_request(format!(
            "the body has too many values; send at most {most} objects and lists, or {MAX_VALUES} other values"
        )));
    }
    serde_json::from_slice(body).map_err(|error| {
        // Only a body with a mistake is read once more, by a reader that keeps count of where it is.
        match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(body)) {
            Err(error) => mistake(body, &error.path().to_string(), error.into_inner()),
            Ok(_) => mistake(body, ".", error),
        }
    })
}

/// Reads a value of a body, at a path of its own.
pub(super) fn read<T: DeserializeOwned>(value: Value, at: &str) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let below = error.path().to_string();
        let path = if below == "." { at.to_owned() } else { format!("{at}.{below}") };
        mistake(&[], &path, error.into_inner())
    })
}

/// A body without the mark with which older shells begin UTF-8.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// About how many values a body has.
fn values(body: &[u8]) -> usize {
    let (mut count, mut bytes) = (0, body.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => count += VALUES_OF_CONTAINER,
            b',' => count += 1,
            b'"' => {
                while let Some(byte) = bytes.find(|byte| matches!(byte, b'"' | b'\\')) {
                    if *byte == b'"' {
                        break;
                    }
                    bytes.next();
                }
            }
            _ => {}
        }
    }
    count
}

/// Serde's text with the path in front and its position left out.
fn mistake(body: &[u8], path: &str, error: serde_json::Error) -> Error {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.is_syntax() || error.is_eof() {
        if text.contains("recursion limit") {
            return Error::bad_request("the body is nested deeper than 128 levels");
        }
        // What serde says of a number in the place of a word.
        if text == "expected value" && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            return Error::bad_request(format!("`{path}`: not what belongs here; send a text"));
        }
        return Error::bad_request(format!("the body is not JSON: {text}, line {} column {}", error.line(), error.column()));
    }
    let parent = if path == "." { "" } else { path };
    let quoted = |rest: &str| rest.split('`').next().unwrap_or_default().chars().take(100).collect::<String>();
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let (name, expected) = (quoted(rest), rest.split_once(", ").map_or("", |(_, expected)| expected));
        return Error::bad_request(format!("`{}`: unknown field; {expected}", joined(parent, &name)));
    }
    if let Some(rest) = text.strip_prefix("missing field `") {
        return Error::bad_request(format!("`{}`: missing", joined(parent, &quoted(rest))));
    }
    if let Some(rest) = text.strip_prefix("duplicate field `") {
        return Error::bad_request(format!("`{}`: given twice", joined(parent, &quoted(rest))));
    }
    let parent = if parent.is_empty() { "the body" } else { parent };
    Error::bad_request(format!("`{parent}`: {}", plainly(text)))
}

/// What serde found and expected, in JSON's words in the place of Rust's.
fn plainly(text: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let found = match found.rsplit_once(": ") {
        Some((what, "map")) => format!("{what}: object"),
        Some((what, "sequence")) => format!("{what}: list"),
        _ => found.replacen("floating point ", "number ", 1),
    };
    let expected = match expected {
        "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string or map" | "map with a single key" => "a text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") || other.starts_with("internally tagged enum ") => "an object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// The path of a field; serde may have counted it in already.
fn joined(parent: &str, name: &str) -> String {
    if parent.is_empty() || parent == name {
        name.to_owned()
    } else if parent.ends_with(&format!(".{name}")) {
        parent.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Body {
        count: Option<u32>,
        share: Option<f64>,
        seed: Option<i64>,
        on: Option<bool>,
        names: Option<Vec<String>>,
        word: Option<Word>,
        said: Option<TextOr<Inner>>,
        #[serde(deserialize_with = "object")]
        inner: Option<Inner>,
        listed: Option<Vec<Object<Inner>>>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the errors are read")]
    struct Inner {
        text: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Auto,
    }

    #[test]
    fn bodies_of_very_many_values_are_refused() {
        fn read(body: &str) -> Result<serde::de::IgnoredAny> {
            parse(body.as_bytes())
        }
        let list = |entry: &str, times: usize| format!("{{\"x\": [{}0]}}", format!("{entry},").repeat(times));
        let refused = "the body has too many values; send at most 50000 objects and lists, or 2000000 other values";
        assert_eq!(read(&list("{\"\":0}", 850_000)).unwrap_err().message(), refused);
        assert_eq!(read(&list("1", 2_000_000)).unwrap_err().message(), refused);
        // As many embeddings' texts as there may be, as numbers of tokens; a long conversation; brackets in a text, behind a quote.
        let tokens = format!("[{}1]", "12345,".repeat(480));
        for body in [
            list(&tokens, 2_048),
            list(r#"{"role": "user", "content": [{"type": "text", "text": "a text, as they are"}]}"#, 15_000),
            list(r#""\\\"{[{[{[{[\\""#, 100_000),
        ] {
            assert!(body.len() > UNCOUNTED_BYTES);
            read(&body).unwrap();
        }
    }

    #[test]
    fn mistakes_name_the_field_in_jsons_words() {
        for (body, expected) in [
            (r#"{"count": -1}"#, "`count`: invalid value: integer `-1`, expected a whole number from 0 on"),
            (r#"{"count": 5.5}"#, "`count`: invalid type: number `5.5`, expected a whole number from 0 on"),
            (r#"{"share": "x"}"#, "`share`: invalid type: string \"x\", expected a number"),
            (r#"{"seed": {}}"#, "`seed`: invalid type: object, expected a whole number"),
            (r#"{"on": []}"#, "`on`: invalid type: list, expected `true` or `false`"),
            (r#"{"names": "x"}"#, "`names`: invalid type: string \"x\", expected a list"),
            (r#"{"names": [1]}"#, "`names[0]`: invalid type: integer `1`, expected a text"),
            (r#"{"word": 1}"#, "`word`: not what belongs here; send a text"),
            (r#"{"word": }"#, "the body is not JSON: expected value, line 1 column 10"),
            (r#"{"share": 1e999}"#, "the body is not JSON: number out of range, line 1 column 15"),
            (r#"{"word": "x"}"#, "`word`: unknown variant `x`, expected `auto`"),
            (r#"{"said": 1}"#, "`said`: invalid type: integer `1`, expected a text or a list"),
            (r#"{"said": [{"text": "x"}, {"text": 5}]}"#, "`said[1].text`: invalid type: integer `5`, expected a text"),
            (r#"{"said": [{}]}"#, "`said[0].text`: missing"),
            (r#"{"word": {}}"#, "`word`: not what belongs here; send a text"),
            (r#"{"inner": ["x"]}"#, "`inner`: invalid type: list, expected an object"),
            (r#"{"inner": [{}]}"#, "`inner`: invalid type: list, expected an object"),
            (r#"{"inner": {}}"#, "`inner.text`: missing"),
            (r#"{"listed": [{"text": "x"}, ["x"]]}"#, "`listed[1]`: invalid type: list, expected an object"),
            (r#"{"listed": [{"text": 5}]}"#, "`listed[0].text`: invalid type: integer `5`, expected a text"),
            (r#"{"said": [7]}"#, "`said[0]`: invalid type: integer `7`, expected an object"),
        ] {
            assert_eq!(parse::<Body>(body.as_bytes()).unwrap_err().message(), expected, "{body}");
        }
        assert!(parse::<Body>(br#"{"said": "x", "word": "auto", "inner": {"text": "x"}, "listed": [{"text": "x"}]}"#).is_ok());
        assert!(parse::<Body>(br#"{"inner": null}"#).is_ok());
    }
}
