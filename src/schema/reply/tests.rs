//! What is read out of what models write, and what is mended in it.

use std::sync::Arc;

use serde_json::json;

use super::super::{Schema, StrictMode};
use super::*;

fn shape(schema: Value, method: Method, coerce: bool) -> Shape {
    Shape {
        name: "answer".into(),
        schema: Some(Arc::new(Schema::new(schema, "schema").unwrap())),
        method,
        strict: true,
        strict_mode: StrictMode::Prefer,
        coerce,
        include_raw: false,
        max_repairs: 1,
    }
}

fn person() -> Value {
    json!({"type": "object", "properties": {
        "name": {"type": "string"}, "age": {"type": "integer"}, "nick": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}, "default": ["new"]},
        "mood": {"enum": ["Good", "Bad"]}, "home": {"$ref": "#/$defs/Place"}, "ok": {"type": "boolean"}},
        "required": ["name"], "additionalProperties": false,
        "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}})
}

#[test]
fn objects_are_found_in_what_models_write() {
    let shape = shape(person(), Method::JsonSchema, false);
    for text in [
        r#"{"name": "Ada"}"#,
        "```json   \n{\"name\": \"Ada\"}\n```  ",
        "Here you are:\n{\"name\": \"Ada\"}\nAnything else?",
        r#"{"nome": 1} no, {"name": "Ada"}"#,
        r#""{\"name\": \"Ada\"}""#,
        "{'name': 'Ada',}",
        "{name: Ada}",
        "set {x} then {\"name\": \"Ada\"}",
        "<think>{\"name\": \"Bob\"}?</think>{\"name\": \"Ada\"}",
        "{\"name\": \"Bob\"}?\n</think>\n```json\n{\"name\": \"Ada\"}\n```",
        "Example: {\"name\": \"...\"}\nAnswer: {\"name\": \"Ada\"}",
        "Example: {\"name\": ...}\nAnswer: {\"name\": \"Ada\"}",
    ] {
        let reading = read(text, &shape, false);
        assert_eq!((reading.value, reading.violations), (Some(json!({"name": "Ada"})), vec![]), "{text}");
    }
    let reading = read("I would rather not.", &shape, false);
    assert_eq!((reading.value, reading.violations[0].message.as_str()), (None, "the answer holds no JSON object"));
    let reading = read(r#"{"name": 3, "x": 1}"#, &shape, false);
    let places: Vec<&str> = reading.violations.iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(places.len(), 2, "{reading:?}");
    assert!(places.contains(&"/name") && !reading.is_valid());
    let text = repair_prompt(&reading.violations);
    assert!(text.contains("- /name: 3 is not of type") && text.contains("- the whole: "), "{text}");
    let many = format!("{}{{\"name\": \"Ada\"}}", "{x} {\"name\": \"Bob\"} ".repeat(1000));
    assert_eq!(read(&many, &shape, false).value, Some(json!({"name": "Ada"})));
    let reading = read("<think>{\"name\": \"Ada\"}</think>I would rather not.", &shape, false);
    assert_eq!(reading.value, None, "what was thought is no answer");
    // The mark of thoughts in the answer itself.
    let html = self::shape(json!({"type": "object", "required": ["html"]}), Method::JsonSchema, false);
    let reading = read("Here you are: {\"html\": \"a </think> b\"} Anything else?", &html, false);
    assert_eq!(reading.value, Some(json!({"html": "a </think> b"})));
    // What is not quite JSON is taken whole, not for an object inside it.
    let list = self::shape(json!({"type": "object", "properties": {"items": {"type": "array"}}}), Method::JsonSchema, false);
    for text in
        [r#"{"items":[{"id":1},{"id":2}]"#, r#"{"items":[{"id":1},{"id":2},]}"#, r#"So: {'items':[{"id":1},{"id":2}]} Done."#]
    {
        assert_eq!(read(text, &list, false).value, Some(json!({"items": [{"id": 1}, {"id": 2}]})), "{text}");
    }
    // A hostile text costs no more than it is long.
    for text in ["[", "[[{\"a\":", "[\"", "{\"a\":[1,", "[1] "] {
        let list = self::shape(json!({"type": "array", "items": {"type": "string"}}), Method::JsonSchema, false);
        let _ = read(&text.repeat(1 << 16), &list, true);
    }
    let _ = read(&"{".repeat(1 << 20), &shape, false);
    let _ = read(&"{\"a\":\"".repeat(1 << 16), &shape, false);
}

#[test]
fn what_lowering_did_is_undone() {
    let plain = shape(person(), Method::JsonSchema, false);
    let text = r#"{"name": "Ada", "age": null, "nick": null, "tags": null, "home": null}"#;
    let reading = read(text, &plain, false);
    assert_eq!(reading.value, Some(json!({"name": "Ada", "nick": null})));
    assert!(reading.is_valid() && reading.changes.is_empty());
    let list = shape(json!({"type": "array", "items": {"type": "integer"}}), Method::JsonSchema, false);
    assert_eq!(read(r#"{"result": [1]}"#, &list, true).value, Some(json!([1])));
    assert_eq!(read("[1]", &list, true).value, Some(json!([1])));
    assert_eq!(read("```json\n[1, 2]\n```", &list, true).value, Some(json!([1, 2])));
    assert_eq!(read("Of [a] and [b]: {\"result\": [3]}", &list, true).value, Some(json!([3])));
    let nullable = json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]});
    assert_eq!(read("{}", &shape(nullable, Method::JsonSchema, false), false).value, Some(json!({"a": null})));
}

#[test]
fn objects_inside_texts_are_always_mended_and_said() {
    let reading =
        read(r#"{"name": "{\"a\": 1}", "home": "{\"city\": \"Bern\"}"}"#, &shape(person(), Method::JsonSchema, false), false);
    assert_eq!(reading.value, Some(json!({"name": "{\"a\": 1}", "home": {"city": "Bern"}})));
    assert_eq!(reading.changes, [Change { pointer: "/home".into(), what: "JSON inside a text" }]);
}

fn union() -> Value {
    let branch = |kind: &str, v: &str, more: &str| {
        json!({"type": "object", "required": ["kind", "v"], "properties": {
            "kind": {"const": kind}, "v": {"type": v}, more: {"type": "integer", "default": 5}}})
    };
    json!({"type": "object", "required": ["item"], "properties": {
        "item": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}},
        "$defs": {"A": branch("a", "object", "x"), "B": branch("b", "string", "y")}})
}

#[test]
fn only_the_branch_that_a_value_is_meant_for_changes_it() {
    for method in [Method::JsonSchema, Method::Pydantic] {
        let shape = shape(union(), method, method == Method::Pydantic);
        let fill = |mut item: Value, name: &str| {
            if method == Method::Pydantic {
                item[name] = 5.into();
            }
            Some(json!({ "item": item }))
        };
        let text = json!({"item": {"kind": "b", "v": "{\"q\":1}"}}).to_string();
        assert_eq!(read(&text, &shape, false).value, fill(json!({"kind": "b", "v": "{\"q\":1}"}), "y"), "valid as it is");
        let reading = read(r#"{"item": {"kind": "a", "v": "{\"q\":1}", "x": null}}"#, &shape, false);
        assert_eq!(
            reading.value,
            fill(json!({"kind": "a", "v": {"q": 1}}), "x"),
            "mended by its own branch, and its nulls undone"
        );
        assert!(reading.is_valid());
    }
    let either = json!({"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]});
    let optional = json!({"type": "object", "properties": {"home": either}, "required": ["home"],
        "$defs": {"N": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}});
    let reading = read(r#"{"home": "{\"city\": \"Bern\"}"}"#, &shape(optional, Method::JsonSchema, false), false);
    assert_eq!(reading.value, Some(json!({"home": {"city": "Bern"}})));
}

#[test]
fn defaults_make_no_other_branch_of_a_union() {
    let animal = |more: &str, default: i64| json!({"type": "object", "properties": {"name": {"type": "string"}, more: {"type": "integer", "default": default}}, "required": ["name"]});
    let base = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    let of = |branches: Value| json!({"type": "object", "properties": {"pet": {"anyOf": branches}}, "required": ["pet"]});
    let (pets, kinds) = (of(json!([animal("lives", 9), animal("tricks", 0)])), of(json!([base, animal("tricks", 0)])));
    for (schema, written, filled) in [
        (&pets, json!({"name": "Rex", "tricks": 3}), json!({"name": "Rex", "tricks": 3})),
        (&pets, json!({"name": "Tom", "lives": 7}), json!({"name": "Tom", "lives": 7})),
        (&pets, json!({"name": "Rex", "tricks": null}), json!({"name": "Rex", "tricks": 0})),
        (&pets, json!({"name": "Tom"}), json!({"name": "Tom", "lives": 9})),
        (&kinds, json!({"name": "Tom"}), json!({"name": "Tom"})),
        (&kinds, json!({"name": "Rex", "tricks": null}), json!({"name": "Rex", "tricks": 0})),
    ] {
        let reading = read(&json!({ "pet": written }).to_string(), &shape(schema.clone(), Method::Pydantic, false), false);
        assert_eq!((reading.value.as_ref(), reading.is_valid()), (Some(&json!({ "pet": filled })), true), "{written}");
    }
}

#[test]
fn definitions_are_mended_like_the_root() {
    let place = json!({"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": ["string", "null"]}},
        "required": ["city", "zip"], "additionalProperties": false});
    for home in [json!({"$ref": "#/$defs/P"}), json!({"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}]})] {
        let schema = json!({"type": "object", "properties": {"home": home}, "required": ["home"], "$defs": {"P": place}});
        let reading = read(r#"{"home": {"city": "Bern"}}"#, &shape(schema.clone(), Method::JsonSchema, false), false);
        assert_eq!(reading.value, Some(json!({"home": {"city": "Bern", "zip": null}})), "Cohere leaves null out");
        let reading = read(r#"{"home": {"city": "Bern", "zip": "1", "x": 1}}"#, &shape(schema, Method::Pydantic, true), false);
        assert_eq!(reading.value, Some(json!({"home": {"city": "Bern", "zip": "1"}})));
    }
}

#[test]
fn choices_and_maps_are_coerced() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "integer", "enum": [1, 2, 3]}, "b": {"enum": ["a", null]}, "c": {"const": 2}, "d": {"enum": ["1", "2"]},
        "e": {"type": "object", "additionalProperties": {"type": "integer"}},
        "f": {"type": "object", "additionalProperties": {"type": "object", "properties": {"n": {"default": 7}}}}}});
    let text = r#"{"a": "2", "b": "null", "c": "2", "d": 1, "e": {"x": "3"}, "f": {"y": {}}}"#;
    let reading = read(text, &shape(schema.clone(), Method::Pydantic, true), false);
    let expected = json!({"a": 2, "b": null, "c": 2, "d": "1", "e": {"x": 3}, "f": {"y": {"n": 7}}});
    assert_eq!((reading.value.as_ref(), reading.violations.len()), (Some(&expected), 0), "{reading:?}");
    let unlike = read(r#"{"a": "4"}"#, &shape(schema, Method::Pydantic, true), false);
    assert!(!unlike.is_valid());
}

#[test]
fn integers_beyond_64_bits_are_said_to_be_rounded() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}, "x": {"type": "number"}}});
    for method in [Method::JsonSchema, Method::Pydantic] {
        let shape = shape(schema.clone(), method, false);
        let reading = read(r#"{"n": 12345678901234567890123, "x": 6.02e23}"#, &shape, false);
        assert_eq!(reading.changes, [Change { pointer: "/n".into(), what: "an integer of more than 64 bits was rounded" }]);
        assert_eq!(read(r#"{"n": 18446744073709551615, "x": 1.5}"#, &shape, false).changes, []);
    }
}

#[test]
fn only_pydantic_fills_and_only_coerce_converts() {
    let text = r#"{"name": "Ada", "age": "36", "mood": "good", "ok": "True", "tags": "x", "more": 1}"#;
    let strict = read(text, &shape(person(), Method::TypedDict, false), false);
    assert_eq!(strict.violations.len(), 5, "{strict:?}");
    let coerced = read(text, &shape(person(), Method::Pydantic, true), false);
    assert_eq!(coerced.value, Some(json!({"name": "Ada", "age": 36, "mood": "Good", "ok": true, "tags": ["x"]})));
    assert!(coerced.is_valid());
    assert_eq!(coerced.changes.len(), 5, "{:?}", coerced.changes);
    let filled = read(r#"{"name": "Ada"}"#, &shape(person(), Method::Pydantic, false), false);
    assert_eq!(filled.value, Some(json!({"name": "Ada", "tags": ["new"]})));
    assert_eq!(filled.changes, [Change { pointer: "/tags".into(), what: "filled with its default" }]);
}
