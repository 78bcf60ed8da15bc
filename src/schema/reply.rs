//! What a model wrote -> a valid value, or what is wrong with it.
//!
//! Always undone, because we did it: the wrapper around a root that is no object, and the nulls that stand for absent properties.
//! What is valid then is the answer. Mended otherwise, because no other reading makes sense: an object that came as JSON text where
//! no text is valid. Only with `coerce`: values of a wrong type. Of several branches only those count that the value can be meant
//! for. Every change but the undoing is reported.

use serde_json::{Map, Number, Value};

use super::lower::WRAPPER;
use super::objects::candidates;
use super::partial::UNFINISHED;
use super::walk::{allows_null, branches, is_of, kinds, meant, properties, required, step};
use super::{Change, Method, Shape, Violation};

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

impl Reading {
    /// Whether there is a value and it is valid.
    pub(crate) fn is_valid(&self) -> bool {
        self.value.is_some() && self.violations.is_empty()
    }

    /// Whether the text broke off inside the value.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.changes.iter().any(|change| change.what == UNFINISHED)
    }
}

/// Reads an answer: the last value in it that is valid, for drafts and examples come before it, else the last that there is.
pub(crate) fn read(text: &str, shape: &Shape, is_wrapped: bool) -> Reading {
    let (mut last, mut looks) = (None, MAX_LOOKS);
    for (value, changes) in candidates(text, is_wrapped).into_iter().rev() {
        let (value, changes, is_valid) = mended(value, changes, shape, is_wrapped, &mut looks);
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

/// What a model that wrote an invalid answer is told.
pub(crate) fn repair_prompt(violations: &[Violation]) -> String {
    let mut text = "The JSON above is not valid:\n".to_owned();
    for violation in violations {
        let place = if violation.pointer.is_empty() { "the whole" } else { &violation.pointer };
        text.push_str(&format!("- {place}: {}\n", violation.message));
    }
    text.push_str("Write the corrected JSON object, whole, and nothing else.");
    text
}

/// What was asked for out of what was written, and whether it is valid. A value that is valid once our own doing is undone is not
/// mended, only filled.
fn mended(
    mut value: Value,
    mut changes: Vec<Change>,
    shape: &Shape,
    is_wrapped: bool,
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
    let (root, fill) = (schema.value(), shape.method == Method::Pydantic);
    // A null names its property, and so the branch whose defaults are filled in.
    let written = fill.then(|| value.clone());
    let mut undoing = Mending { root, mend: false, coerce: false, fill: false, looks, changes: Vec::new() };
    undoing.value(&mut value, root, "", 0);
    let mut undone = undoing.changes;
    let mend = !schema.is_valid(&value);
    if !mend && !fill {
        changes.append(&mut undone);
        return (value, changes, true);
    }
    let mut mending = Mending { root, mend, coerce: mend && shape.coerce, fill, looks, changes: Vec::new() };
    let mut better = written.unwrap_or_else(|| value.clone());
    mending.value(&mut better, root, "", 0);
    let is_valid = schema.is_valid(&better);
    if !mend && !is_valid {
        // A default that is not valid itself is no gain.
        changes.append(&mut undone);
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
        // What stands for nothing is told by each branch, but defaults are those of one.
        let most = if self.fill { 1 } else { usize::MAX };
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
            let shapes = meant(value, schema, self.root, most);
            self.convert(value, &shapes, kinds.as_deref(), at);
        }
        let shapes = meant(value, schema, self.root, most);
        match value {
            Value::Object(map) => self.object(map, &shapes, at, depth),
            // JSON's reader has no larger integers.
            Value::Number(number)
                if is_beyond_integers(number)
                    && kinds.as_ref().is_some_and(|kinds| kinds.contains(&"integer") && !kinds.contains(&"number")) =>
            {
                self.change(at, "an integer of more than 64 bits was rounded");
            }
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
        let is_required = |shape: &Map<String, Value>, name: &str| required(shape).any(|it| it == name);
        let anywhere_required = |name: &str| shapes.iter().any(|shape| is_required(shape, name));
        // A null that stands for an absent property.
        map.retain(|name, value| {
            let told: Vec<&Value> = shapes.iter().filter_map(|shape| properties(shape)?.get(name)).collect();
            !value.is_null()
                || told.is_empty()
                || anywhere_required(name)
                || told.iter().any(|schema| allows_null(schema, self.root))
        });
        // Beside a reference or a union stand shapes that say nothing of properties.
        let telling: Vec<&&'a Map<String, Value>> = shapes.iter().filter(|shape| properties(shape).is_some()).collect();
        for shape in shapes {
            for (name, schema) in properties(shape).into_iter().flatten() {
                match map.get_mut(name) {
                    Some(value) => self.value(value, schema, &step(at, name), depth + 1),
                    // An absent property that stands for a null.
                    None if is_required(shape, name) && telling.len() == 1 && only_null_or_more(schema, self.root) => {
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
        for shape in shapes.iter().filter(|shape| !shape.contains_key("patternProperties")) {
            let known = properties(shape);
            let is_unknown = |name: &str| !known.is_some_and(|known| known.contains_key(name));
            match shape.get("additionalProperties") {
                Some(schema @ Value::Object(_)) => {
                    for (name, value) in map.iter_mut().filter(|(name, _)| is_unknown(name)) {
                        self.value(value, schema, &step(at, name), depth + 1);
                    }
                }
                Some(Value::Bool(false)) if self.coerce && telling.iter().all(|it| it == &shape) => {
                    let unknown: Vec<String> = map.keys().filter(|name| is_unknown(name)).cloned().collect();
                    for name in unknown {
                        map.shift_remove(&name);
                        self.change(&step(at, &name), "an unknown property was dropped");
                    }
                }
                _ => {}
            }
        }
    }

    fn convert(&mut self, value: &mut Value, shapes: &[&Map<String, Value>], kinds: Option<&[&str]>, at: &str) {
        let listed = shapes.iter().filter_map(|shape| shape.get("enum").and_then(Value::as_array)).flatten();
        let choices: Vec<&Value> = listed.chain(shapes.iter().filter_map(|shape| shape.get("const"))).collect();
        if !choices.is_empty() && !choices.contains(&&*value) {
            let said = spelling(value);
            if let Some(meant) = choices.iter().find(|choice| said.is_some() && spelling(choice) == said) {
                *value = (*meant).clone();
                return self.change(at, "the spelling of a choice");
            }
        }
        let Some(kinds) = kinds else { return };
        let has = |kind: &str| kinds.contains(&kind);
        // Whether a number is whole is for the validator to say.
        if is_of(value, Some(kinds)) || (value.is_f64() && has("integer")) {
            return;
        }
        let (new, what) = match &*value {
            Value::String(text) => {
                let text = text.trim();
                let number = serde_json::from_str::<Number>(text).ok();
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

/// How a choice is written, whatever its type and letter case; none for what is a list or an object.
fn spelling(choice: &Value) -> Option<String> {
    match choice {
        Value::String(text) => Some(text.trim().to_lowercase()),
        Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    }
}

/// Whether a number is a float larger than integers of 64 bits are.
fn is_beyond_integers(number: &Number) -> bool {
    number.is_f64() && number.as_f64().is_some_and(|float| float.abs() >= 9_223_372_036_854_775_808.0)
}

/// Whether null is one of several things that are valid, said by name: Cohere's way of leaving such a property out is undone.
fn only_null_or_more(schema: &Value, root: &Value) -> bool {
    let says = |schema: &Value| ["type", "anyOf", "oneOf", "$ref", "enum"].iter().any(|keyword| schema.get(*keyword).is_some());
    says(schema) && allows_null(schema, root)
}

#[cfg(test)]
mod tests;
