//! JSON bodies: read into a type, and what is wrong with them said by path.

use serde::Deserialize;

use crate::error::{Error, Result};

/// Reads a body. `T`'s unknown fields are refused by path.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    match body.trim_ascii_start().first() {
        None => return Err(Error::bad_request("the body is empty; send a JSON object such as `{\"prompt\": \"...\"}`")),
        // Serde would read a list as the fields in their order.
        Some(b'[' | b'"' | b'0'..=b'9' | b'-') => {
            return Err(Error::bad_request("the body is not a JSON object; send one such as `{\"prompt\": \"...\"}`"));
        }
        Some(_) => {}
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        mistake(&path, error.into_inner())
    })?;
    reader.end().map_err(|error| mistake(".", error))?;
    Ok(value)
}

/// Serde's text with the path in front and its position left out.
fn mistake(path: &str, error: serde_json::Error) -> Error {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    if error.is_syntax() || error.is_eof() {
        if text.contains("recursion limit") {
            return Error::bad_request("the body is nested deeper than 128 levels");
        }
        return Error::bad_request(format!("the body is not JSON: {text}, line {} column {}", error.line(), error.column()));
    }
    let parent = if path == "." { "" } else { path };
    let quoted = |rest: &str| rest.split('`').next().unwrap_or_default().to_owned();
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
    Error::bad_request(format!("`{parent}`: {text}"))
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
