//! What a model wrote -> a valid value, or what is wrong with it.
//!
//! Always undone, because we did it: the wrapper around a root that is no object, and the nulls that stand for absent properties. What is
//! valid then is the answer. Mended otherwise, because no other reading makes sense: an object that came as JSON text where no text is
//! valid. Only with `coerce`: values of a wrong type. Of several branches only those count that the value can be meant for. Every change
//! but the undoing is reported.

use serde::Serialize;
use serde_json::{Map, Value};

use super::lower::WRAPPER;
use super::objects::candidates;
use super::walk::{allows_null, branches, kinds, meant, step};
use super::{Method, Shape, Violation};

/// Levels that are mended.
const MAX_DEPTH: usize = 128;
/// Schemas that are looked at to mend one answer: where several tell of one property, they multiply at each level.
const MAX_LOOKS: usize = 200_000;

/// What an answer amounts to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reading {
    /// The value, where there is one; valid where `violations` is empty.
    pub value: Option<Value>,
    /// What is wrong with it.
    pub violations: Vec<Violation>,
    /// How it differs from what the model wrote.
    pub changes: Vec<Change>,
}

/// One difference between what a model wrote and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Where in the value.
    pub pointer: String,
    /// What was done.
    pub what: &'static str,
}

impl Reading {
    /// Whether there is a value and it is valid.
    pub(crate) fn is_valid(&self) -> bool {
        self.value.is_some() && self.violations.is_empty()
    }
}

/// Reads an answer: the last value in it that is valid, for drafts and examples come before it, else the last that there is.
pub(crate) fn read(text: &str, shape: &Shape, is_wrapped: bool) -> Reading {
    let (mut last, mut looks) = (None, MAX_LOOKS);
    for (value, changes) in candidates(text, is_wrapped).into_iter().rev() {
        let (value, changes, is_valid) = mended(value, changes, (shape, is_wrapped), &mut looks);
        if is_valid {
            return Reading { value: Some(value), violations: Vec::new(), changes };
        }
        last.get_or_insert((value, changes));
    }
    let whole = |message: &str| vec![Violation { pointer: String::new(), message: message.into() }];
    match (last, shape.schema.as_deref()) {
        (None, _) => Reading { violations: whole("the answer holds no JSON object"), ..Reading::default() },
        (Some((value, changes)), None) => {
            Reading { value: Some(value), violations: whole("the answer is no JSON object"), changes }
        }
        (Some((value, changes)), Some(schema)) => Reading { violations: schema.violations(&value), value: Some(value), changes },
    }
}

/// What a model is told that wrote an invalid answer.
pub(crate) fn repair_prompt(violations: &[Violation]) -> String {
    let mut text = "The JSON above is not valid:\n".to_owned();
    for violation in violations {
        let place = if violation.pointer.is_empty() { "the whole" } else { &violation.pointer };
        text.push_str(&format!("- {place}: {}\n", violation.message));
    }
    text.push_str("Write the corrected JSON object, whole, and nothing else.");
    text
}

/// What was asked for out of what was written, and whether it is valid. A value that is valid once our own doing is undone is not mended,
/// only filled.
fn mended(
    mut value: Value,
    mut changes: Vec<Change>,
    (shape, is_wrapped): (&Shape, bool),
    looks: &mut usize,
) -> (Value, Vec<Change>, bool) {
    if is_wrapped
        && let Value::Object(map) = &mut value
        && map.len() == 1
        && let Some(inner) = map.shift_remove(WRAPPER)
    {
        value = inner;
    }
    let Some(schema) = shape.schema.as_deref() else {
        // JSON mode without a schema promises an object.
        let is_object = value.is_object();
        return (value, changes, is_object);
    };
    let root = schema.value();
    Mending { root, mend: false, coerce: false, fill: false, looks, changes: Vec::new() }.value(&mut value, root, "", 0);
    let (mend, fill) = (!schema.is_valid(&value), shape.method == Method::Pydantic);
    if !mend && !fill {
        return (value, changes, true);
    }
    let mut mending = Mending { root, mend, coerce: mend && shape.coerce, fill, looks, changes: Vec::new() };
    let mut better = value.clone();
    mending.value(&mut better, root, "", 0);
    let is_valid = schema.is_valid(&better);
    if !mend && !is_valid {
        // A default that is not valid itself is no gain.
        return (value, changes, true);
    }
    changes.append(&mut mending.changes);
    (better, changes, is_valid)
}

struct Mending<'a> {
    root: &'a Value,
    /// Beyond undoing what lowering did.
    mend: bool,
    coerce: bool,
    fill: bool,
    /// How many schemas may still be looked at.
    looks: &'a mut usize,
    changes: Vec<Change>,
}

impl<'a> Mending<'a> {
    fn value(&mut self, value: &mut Value, schema: &'a Value, at: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let branches = branches(schema, self.root);
        let Some(left) = self.looks.checked_sub(1 + branches.len()) else { return };
        *self.looks = left;
        let kinds = kinds(&branches);
        if let (Value::String(text), Some(kinds), true) = (&*value, &kinds, self.mend)
            && !kinds.contains(&"string")
            && let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text)
            && kinds.contains(&if inner.is_object() { "object" } else { "array" })
        {
            *value = inner;
            self.change(at, "JSON inside a text");
        }
        if self.coerce {
            let shapes = meant(value, schema, self.root);
            self.convert(value, &shapes, kinds.as_deref(), at);
        }
        let shapes = meant(value, schema, self.root);
        match value {
            Value::Object(map) => self.object(map, &shapes, at, depth),
            Value::Array(list) => {
                for (number, item) in list.iter_mut().enumerate() {
                    let prefix = |map: &&'a Map<String, Value>| map.get("prefixItems").and_then(|list| list.get(number));
                    let of = |map: &&'a Map<String, Value>| prefix(map).or_else(|| map.get("items"));
                    if let Some(schema) = shapes.iter().find_map(of) {
                        self.value(item, schema, &step(at, &number.to_string()), depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, map: &mut Map<String, Value>, shapes: &[&'a Map<String, Value>], at: &str, depth: usize) {
        let properties = |shape: &&'a Map<String, Value>| shape.get("properties").and_then(Value::as_object);
        let is_required = |shape: &Map<String, Value>, name: &str| {
            shape.get("required").and_then(Value::as_array).is_some_and(|list| list.iter().any(|it| it == name))
        };
        let anywhere_required = |name: &str| shapes.iter().any(|shape| is_required(shape, name));
        // A null that stands for an absent property.
        map.retain(|name, value| {
            let told: Vec<&Value> = shapes.iter().filter_map(|shape| properties(shape)?.get(name)).collect();
            !value.is_null()
                || told.is_empty()
                || anywhere_required(name)
                || told.iter().any(|schema| allows_null(schema, self.root))
        });
        for shape in shapes {
            for (name, schema) in properties(shape).into_iter().flatten() {
                match map.get_mut(name) {
                    Some(value) => self.value(value, schema, &step(at, name), depth + 1),
                    // An absent property that stands for a null.
                    None if is_required(shape, name) && shapes.len() == 1 && only_null_or_more(schema, self.root) => {
                        map.insert(name.clone(), Value::Null);
                    }
                    None if self.fill && !is_required(shape, name) => {
                        if let Some(default) = schema.get("default") {
                            map.insert(name.clone(), default.clone());
                            self.change(&step(at, name), "filled with its default");
                        }
                    }
                    None => {}
                }
            }
        }
        if self.coerce && shapes.len() == 1 && shapes[0].get("additionalProperties") == Some(&Value::Bool(false)) {
            let known = properties(&shapes[0]);
            let unknown: Vec<String> =
                map.keys().filter(|name| !known.is_some_and(|known| known.contains_key(*name))).cloned().collect();
            if !shapes[0].contains_key("patternProperties") {
                for name in unknown {
                    map.shift_remove(&name);
                    self.change(&step(at, &name), "an unknown property was dropped");
                }
            }
        }
    }

    fn convert(&mut self, value: &mut Value, shapes: &[&Map<String, Value>], kinds: Option<&[&str]>, at: &str) {
        let values = shapes.iter().find_map(|shape| shape.get("enum").and_then(Value::as_array));
        if let (Some(values), Some(text)) = (values, value.as_str()) {
            let same = |it: &&Value| it.as_str().is_some_and(|it| it.to_lowercase() == text.trim().to_lowercase());
            if !values.contains(value)
                && let Some(meant) = values.iter().find(same)
            {
                *value = meant.clone();
                self.change(at, "the spelling of a choice");
            }
            return;
        }
        let Some(kinds) = kinds else { return };
        let has = |kind: &str| kinds.contains(&kind);
        let fits = match &*value {
            Value::Null => has("null"),
            Value::Bool(_) => has("boolean"),
            Value::Number(_) => has("number") || has("integer"),
            Value::String(_) => has("string"),
            Value::Array(_) => has("array"),
            Value::Object(_) => has("object"),
        };
        if fits {
            return;
        }
        let (new, what) = match &*value {
            Value::String(text) => {
                let text = text.trim();
                let number = serde_json::from_str::<serde_json::Number>(text).ok();
                match (number, text.to_ascii_lowercase().as_str()) {
                    (Some(number), _) if has("number") || (has("integer") && !number.is_f64()) => {
                        (Value::Number(number), "a number inside a text")
                    }
                    (_, "true" | "false") if has("boolean") => {
                        (Value::Bool(text.eq_ignore_ascii_case("true")), "a boolean inside a text")
                    }
                    (_, "null" | "none" | "") if has("null") => (Value::Null, "null inside a text"),
                    _ if has("array") => (Value::Array(vec![value.clone()]), "a single value where a list belongs"),
                    _ => return,
                }
            }
            Value::Number(_) | Value::Bool(_) if has("string") => (Value::String(value.to_string()), "a text where none was"),
            Value::Number(_) | Value::Bool(_) | Value::Object(_) if has("array") => {
                (Value::Array(vec![value.clone()]), "a single value where a list belongs")
            }
            _ => return,
        };
        *value = new;
        self.change(at, what);
    }

    fn change(&mut self, at: &str, what: &'static str) {
        self.changes.push(Change { pointer: at.to_owned(), what });
    }
}

/// Whether null is one of several things that are valid, said by name: Cohere's way of leaving such a property out is undone.
fn only_null_or_more(schema: &Value, root: &Value) -> bool {
    let says = |schema: &Value| ["type", "anyOf", "oneOf", "$ref", "enum"].iter().any(|keyword| schema.get(*keyword).is_some());
    says(schema) && allows_null(schema, root)
}

#[cfg(test)]
mod tests {
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
}
