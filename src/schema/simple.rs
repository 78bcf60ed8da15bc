//! The simple format: `{"name": "string", "age": "integer?", "mood": "good|bad", "tags": ["string"]}`.
//!
//! | form | meaning |
//! |---|---|
//! | `"string"`, `"number"`, `"integer"`, `"boolean"`, `"object"`, `"array"`, `"date"`, `"datetime"`, `"any"` | a type |
//! | `?` behind it | optional |
//! | `"a\|b\|c"` of words that are no types | one of them |
//! | `[T]` | a list of T |
//! | `["array"]` | a list of strings: providers want to know what a list holds |
//! | a nested object | an object |
//! | `"string: what it is"` | a type with a description |
//! | a type of JSON Schema at a key `"type"` and `properties` of an object, `items` of a list, `enum` or `$ref` | JSON Schema, taken as it is |
//!
//! Anything else is refused with its place; an unknown word is never taken for text.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::walk::{each_place, step};
use crate::error::{Error, Result};

/// Writes `format` as JSON Schema. `field` is what the caller calls it.
///
/// # Errors
/// A form that the grammar does not have; the text holds its JSON pointer.
pub(super) fn schema(format: &Value, field: &str) -> Result<Value> {
    let (schema, is_optional) = form(format, "", field)?;
    if is_optional {
        return Err(refused(field, "", "the whole answer cannot be optional"));
    }
    Ok(schema)
}

/// The schema of one form, and whether it is optional.
fn form(value: &Value, pointer: &str, field: &str) -> Result<(Value, bool)> {
    match value {
        Value::String(text) => word(text, pointer, field),
        Value::Array(list) => {
            let [item] = list.as_slice() else {
                let remedy = "write one form in the list, as in [\"string\"]; words to choose from are written \"a|b|c\"";
                return Err(refused(field, pointer, &format!("a list of {} forms; {remedy}", list.len())));
            };
            let items = if item == "array" { json!({"type": "string"}) } else { required(item, &step(pointer, "0"), field)? };
            Ok((json!({"type": "array", "items": items}), false))
        }
        Value::Object(map) if is_json_schema(map) => Ok((value.clone(), false)),
        Value::Object(map) => object(map, pointer, field).map(|schema| (schema, false)),
        other => Err(refused(field, pointer, &format!("`{other}` is no form; {FORMS}"))),
    }
}

fn required(value: &Value, pointer: &str, field: &str) -> Result<Value> {
    match form(value, pointer, field)? {
        (schema, false) => Ok(schema),
        (_, true) => Err(refused(field, pointer, "what a list holds cannot be optional")),
    }
}

fn object(map: &Map<String, Value>, pointer: &str, field: &str) -> Result<Value> {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, value) in map {
        let (schema, is_optional) = form(value, &step(pointer, name), field)?;
        properties.insert(name.clone(), schema);
        if !is_optional {
            required.push(Value::from(name.as_str()));
        }
    }
    Ok(json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}))
}

/// Whether an object is JSON Schema and not an object of the simple format: a type, and what belongs to it.
fn is_json_schema(map: &Map<String, Value>) -> bool {
    let Some(kinds) = map.get("type").filter(|kinds| is_type(kinds)) else { return false };
    let has = |keyword: &str, kind: &str| {
        map.contains_key(keyword) && (kinds == kind || kinds.as_array().is_some_and(|list| list.iter().any(|it| it == kind)))
    };
    has("properties", "object") || has("items", "array") || map.contains_key("enum") || map.contains_key("$ref")
}

/// Whether a value is one that JSON Schema's `type` has.
pub(super) fn is_type(value: &Value) -> bool {
    let known =
        |value: &Value| matches!(value.as_str(), Some("string" | "number" | "integer" | "boolean" | "object" | "array" | "null"));
    known(value) || value.as_array().is_some_and(|list| list.iter().all(known))
}

/// Refuses JSON Schema with forms of the simple format where schemas belong: its unknown words constrain nothing.
pub(super) fn refuse_inside(schema: &Value, field: &str) -> Result<()> {
    let Some(pointer) = form_inside(schema, "") else { return Ok(()) };
    let why = "a form of the simple format inside JSON Schema, where it says nothing; give the schema a `type`, or write all of it simply";
    Err(refused(field, &pointer, why))
}

/// The first place that a form stands at, in a schema that has nothing else to say.
fn form_inside(schema: &Value, at: &str) -> Option<String> {
    const SAYING: [&str; 12] =
        ["$defs", "$dynamicRef", "$ref", "allOf", "anyOf", "const", "definitions", "enum", "not", "oneOf", "properties", "type"];
    /// Words of which any text or list may follow.
    const TELLING: [&str; 13] = [
        "$anchor",
        "$comment",
        "$dynamicAnchor",
        "$id",
        "$schema",
        "default",
        "description",
        "example",
        "examples",
        "format",
        "pattern",
        "required",
        "title",
    ];
    let map = schema.as_object()?;
    let is_form = |value: &Value| value != &json!({}) && form(value, "", "").is_ok();
    let says = SAYING.iter().any(|keyword| map.contains_key(*keyword));
    let mut inside = HashSet::new();
    let mut found = None;
    each_place(map, |keyword, place, child| {
        inside.insert(keyword);
        if found.is_none() {
            found = form_inside(child, &format!("{at}{}", place()));
        }
    });
    let is_silent = |name: &str| !inside.contains(name) && !TELLING.contains(&name);
    let form = || map.iter().find(|(name, value)| !says && is_silent(name) && is_form(value)).map(|(name, _)| step(at, name));
    found.or_else(form)
}

const FORMS: &str = "write a type (`string`, `number`, `integer`, `boolean`, `object`, `array`, `date`, `datetime`, `any`), words as in `a|b|c`, a list or an object";

fn word(text: &str, pointer: &str, field: &str) -> Result<(Value, bool)> {
    let (head, description) = match text.split_once(':') {
        Some((head, description)) => (head.trim(), Some(description.trim()).filter(|text| !text.is_empty())),
        None => (text.trim(), None),
    };
    let (head, is_optional) = head.strip_suffix('?').map_or((head, false), |head| (head.trim_end(), true));
    let schema = if head.contains('|') { choice(head, pointer, field)? } else { kind(head) };
    let Some(Value::Object(mut schema)) = schema else {
        return Err(refused(field, pointer, &format!("`{head}`: unknown; {FORMS}")));
    };
    if let Some(description) = description {
        schema.insert("description".into(), description.into());
    }
    Ok((Value::Object(schema), is_optional))
}

fn kind(word: &str) -> Option<Value> {
    Some(match word {
        "string" | "number" | "integer" | "boolean" | "object" | "array" => json!({"type": word}),
        "date" => json!({"type": "string", "format": "date"}),
        "datetime" => json!({"type": "string", "format": "date-time"}),
        "any" => json!({}),
        _ => return None,
    })
}

fn choice(head: &str, pointer: &str, field: &str) -> Result<Option<Value>> {
    let words: Vec<&str> = head.split('|').map(str::trim).collect();
    for (at, word) in words.iter().enumerate() {
        let why = if word.is_empty() {
            "an empty word"
        } else if kind(word).is_some() || *word == "null" {
            "a type among words; one of several types needs JSON Schema's `anyOf` in `schema`"
        } else if words[..at].contains(word) {
            "the same word twice"
        } else {
            continue;
        };
        return Err(refused(field, pointer, &format!("`{head}`: {why}")));
    }
    Ok(Some(json!({"type": "string", "enum": words})))
}

fn refused(field: &str, pointer: &str, why: &str) -> Error {
    Error::bad_request(format!("`{field}` at `{pointer}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_grammar() {
        let format = json!({
            "name": "string", "age": "integer?", "height": "number: in metres", "vip": "boolean", "extra": "object",
            "list": "array", "tags": ["array"], "words": ["string"], "born": "date?: day of birth", "seen": "datetime",
            "free": "any", "mood": "good|so so|bad?: how it felt", "deep": {"list": [{"x": ["integer"]}]},
            "real": {"type": "string", "enum": ["type"]}, "type": "string"
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"}, "age": {"type": "integer"}, "height": {"type": "number", "description": "in metres"},
                "vip": {"type": "boolean"}, "extra": {"type": "object"}, "list": {"type": "array"},
                "tags": {"type": "array", "items": {"type": "string"}}, "words": {"type": "array", "items": {"type": "string"}},
                "born": {"type": "string", "format": "date", "description": "day of birth"},
                "seen": {"type": "string", "format": "date-time"}, "free": {},
                "mood": {"type": "string", "enum": ["good", "so so", "bad"], "description": "how it felt"},
                "deep": {"type": "object", "properties": {"list": {"type": "array", "items": {
                    "type": "object", "properties": {"x": {"type": "array", "items": {"type": "integer"}}},
                    "required": ["x"], "additionalProperties": false}}}, "required": ["list"], "additionalProperties": false},
                "real": {"type": "string", "enum": ["type"]}, "type": {"type": "string"}
            },
            "required": ["name", "height", "vip", "extra", "list", "tags", "words", "seen", "free", "deep", "real", "type"],
            "additionalProperties": false
        });
        assert_eq!(schema(&format, "f").unwrap(), expected);
        assert_eq!(schema(&json!("yes|no"), "f").unwrap(), json!({"type": "string", "enum": ["yes", "no"]}));
        assert_eq!(schema(&json!({"type": "array", "items": {}}), "f").unwrap(), json!({"type": "array", "items": {}}));
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused_with_its_place() {
        for (format, expected) in [
            (json!({"a": {"b/c": "strng"}}), "`f` at `/a/b~1c`: `strng`: unknown; write a type"),
            (json!({"a": "string|integer"}), "`f` at `/a`: `string|integer`: a type among words; one of several types"),
            (json!({"a": "x||y"}), "`f` at `/a`: `x||y`: an empty word"),
            (json!({"a": "x|y|x"}), "`f` at `/a`: `x|y|x`: the same word twice"),
            (json!({"a": []}), "`f` at `/a`: a list of 0 forms; write one form"),
            (json!({"a": ["x", "y"]}), "`f` at `/a`: a list of 2 forms; write one form"),
            (json!({"a": ["string?"]}), "`f` at `/a/0`: what a list holds cannot be optional"),
            (json!({"a": 3}), "`f` at `/a`: `3` is no form; write a type"),
            (json!({"a": null}), "`f` at `/a`: `null` is no form; write a type"),
            (json!({"a": ""}), "`f` at `/a`: ``: unknown; write a type"),
            (json!("string?"), "`f` at ``: the whole answer cannot be optional"),
        ] {
            let message = schema(&format, "f").unwrap_err().message().to_owned();
            assert!(message.starts_with(expected), "{format}: {message}");
        }
    }
}
