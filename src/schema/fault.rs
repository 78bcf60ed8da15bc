//! What is wrong with a value, judged by the branches that it is likely meant for. The validator goes into all branches at each
//! level; where these are too many, this is what a model is told instead.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::walk::{is_of, kinds, meant, properties, required, step};
use super::{MAX_VIOLATIONS, Violation, shortened};

/// Places that are looked at.
const MAX_PLACES: usize = 50_000;

/// The first wrong types, constants and names of `value`, which is not valid; never none.
pub(super) fn faults(value: &Value, root: &Value) -> Vec<Violation> {
    let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![(value, root, String::new())]);
    while let Some((value, schema, at)) = open.pop() {
        if found.len() >= MAX_VIOLATIONS || seen.len() == MAX_PLACES {
            break;
        }
        if !seen.insert((std::ptr::from_ref(value).addr(), std::ptr::from_ref(schema).addr())) {
            continue;
        }
        let shapes = meant(value, schema, root, usize::MAX);
        let mut say = |message: String| {
            let violation = Violation { pointer: at.clone(), message: shortened(&message) };
            if !found.contains(&violation) {
                found.push(violation);
            }
        };
        let kinds = kinds(&shapes);
        if !is_of(value, kinds.as_deref()) {
            say(format!("{value} is not of type {}", kinds.unwrap_or_default().join(" or ")));
            continue;
        }
        for shape in shapes {
            of_shape(value, shape, &mut say, &mut |field, schema, name| open.push((field, schema, step(&at, name))));
        }
    }
    if found.is_empty() {
        let message = "it is not valid; the schema has too many branches to say where".to_owned();
        found.push(Violation { pointer: String::new(), message });
    }
    found
}

/// What `value` says against one of the shapes that it may have is told to `say`; what stands in it, with its schema and name, to
/// `go_on`.
fn of_shape<'a>(
    value: &'a Value,
    shape: &'a Map<String, Value>,
    say: &mut impl FnMut(String),
    go_on: &mut impl FnMut(&'a Value, &'a Value, &str),
) {
    match (shape.get("const"), shape.get("enum")) {
        (Some(expected), _) if expected != value => say(format!("{expected} was expected")),
        (_, Some(Value::Array(list))) if !list.contains(value) => say(format!("{value} is none of the values that are allowed")),
        _ => {}
    }
    match value {
        Value::Object(fields) => {
            let missing = required(shape).filter(|name| !fields.contains_key(*name));
            missing.for_each(|name| say(format!("\"{name}\" is a required property")));
            let properties = properties(shape);
            let is_closed =
                shape.get("additionalProperties") == Some(&Value::Bool(false)) && !shape.contains_key("patternProperties");
            for (name, field) in fields {
                match properties.and_then(|properties| properties.get(name)) {
                    Some(schema) => go_on(field, schema, name),
                    None if is_closed => say(format!("\"{name}\" is no property that is allowed")),
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            let prefix = shape.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for (number, item) in items.iter().enumerate() {
                if let Some(schema) = prefix.get(number).or_else(|| shape.get("items")) {
                    go_on(item, schema, &number.to_string());
                }
            }
        }
        _ => {}
    }
}
