//! What is wrong with a value, judged by the branches that it is likely meant for. The validator goes into all branches at each level;
//! where these are too many, this is what a model is told instead.

use std::collections::HashSet;

use serde_json::Value;

use super::walk::{is_of, kinds, meant, step};
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
            match (shape.get("const"), shape.get("enum")) {
                (Some(expected), _) if expected != value => say(format!("{expected} was expected")),
                (_, Some(Value::Array(list))) if !list.contains(value) => {
                    say(format!("{value} is none of the values that are allowed"));
                }
                _ => {}
            }
            let properties = shape.get("properties").and_then(Value::as_object);
            match value {
                Value::Object(fields) => {
                    let required =
                        shape.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
                    required
                        .filter(|name| !fields.contains_key(*name))
                        .for_each(|name| say(format!("\"{name}\" is a required property")));
                    let is_closed = shape.get("additionalProperties") == Some(&Value::Bool(false))
                        && !shape.contains_key("patternProperties");
                    for (name, field) in fields {
                        match properties.and_then(|properties| properties.get(name)) {
                            Some(schema) => open.push((field, schema, step(&at, name))),
                            None if is_closed => say(format!("\"{name}\" is no property that is allowed")),
                            None => {}
                        }
                    }
                }
                Value::Array(items) => {
                    let prefix = shape.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                    for (number, item) in items.iter().enumerate() {
                        let schema = prefix.get(number).or_else(|| shape.get("items"));
                        open.extend(schema.map(|schema| (item, schema, step(&at, &number.to_string()))));
                    }
                }
                _ => {}
            }
        }
    }
    if found.is_empty() {
        let message = "it is not valid; the schema has too many branches to say where".to_owned();
        found.push(Violation { pointer: String::new(), message });
    }
    found
}
