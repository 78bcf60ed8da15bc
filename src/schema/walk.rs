//! Where schemas stand inside a schema. Everything else in it (`enum`, `const`, `default`, `examples`) is data and is never read as
//! one.

use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Keywords whose value is one schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value names schemas.
pub(super) const NAMED: [&str; 5] = ["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];

/// Calls `visit` with the keyword and value of every schema directly inside `schema`.
pub(super) fn each_child<'a>(schema: &'a Map<String, Value>, mut visit: impl FnMut(&'a str, &'a Value)) {
    each_place(schema, |keyword, _, child| visit(keyword, child));
}

/// As [`each_child`], with where it stands below `schema`, as a JSON pointer.
pub(super) fn each_place<'a>(schema: &'a Map<String, Value>, mut visit: impl FnMut(&'a str, &dyn Fn() -> String, &'a Value)) {
    for (keyword, value) in schema {
        let at = || step("", keyword);
        match value {
            Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                named.iter().for_each(|(name, child)| visit(keyword, &|| step(&at(), name), child));
            }
            Value::Array(list) if LIST.contains(&keyword.as_str()) => {
                list.iter().enumerate().for_each(|(number, child)| visit(keyword, &|| step(&at(), &number.to_string()), child));
            }
            value if ONE.contains(&keyword.as_str()) => visit(keyword, &at, value),
            _ => {}
        }
    }
}

/// As [`each_child`], to change them.
pub(super) fn each_child_mut(schema: &mut Map<String, Value>, mut visit: impl FnMut(&mut Value)) {
    for (keyword, value) in schema {
        match value {
            Value::Object(named) if NAMED.contains(&keyword.as_str()) => named.values_mut().for_each(&mut visit),
            Value::Array(list) if LIST.contains(&keyword.as_str()) => list.iter_mut().for_each(&mut visit),
            value if ONE.contains(&keyword.as_str()) => visit(value),
            _ => {}
        }
    }
}

/// The properties that a schema has schemas for.
pub(super) fn properties(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The properties that a schema requires.
pub(super) fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The schema that `reference` points at inside `root`; none where it is no JSON pointer or points nowhere.
pub(super) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    root.pointer(&percent_decode_str(pointer).decode_utf8().ok()?)
}

/// The schemas that `schema` stands for, seen through references and the branches of `allOf`, `anyOf`, `oneOf`: each once.
pub(super) fn branches<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Map<String, Value>> {
    reached(schema.as_object(), root, &["allOf", "anyOf", "oneOf"])
}

/// As [`branches`], with the schemas that hold under a condition.
pub(super) fn alongside<'a>(schema: &'a Map<String, Value>, root: &'a Value) -> Vec<&'a Map<String, Value>> {
    reached(Some(schema), root, &["allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"])
}

fn reached<'a>(schema: Option<&'a Map<String, Value>>, root: &'a Value, keywords: &[&str]) -> Vec<&'a Map<String, Value>> {
    let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), schema.into_iter().collect::<Vec<_>>());
    while let Some(map) = open.pop() {
        if !seen.insert(std::ptr::from_ref(map).addr()) {
            continue;
        }
        found.push(map);
        let from = open.len();
        each_child(map, |keyword, child| open.extend(child.as_object().filter(|_| keywords.contains(&keyword))));
        open[from..].reverse();
        let reference = map.get("$ref").and_then(Value::as_str).and_then(|reference| resolve(root, reference));
        open.extend(reference.and_then(Value::as_object));
    }
    found
}

/// As [`branches`], without those that `value` is not meant for: of the branches of each `anyOf` and `oneOf` those that fit it as
/// far as can be seen from outside and name the most of its properties, else those that its constants do not rule out, else all. Of
/// several that fit equally well, the first `most`.
pub(super) fn meant<'a>(value: &Value, schema: &'a Value, root: &'a Value, most: usize) -> Vec<&'a Map<String, Value>> {
    let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![schema]);
    while let Some(schema) = open.pop() {
        for map in reached(schema.as_object(), root, &["allOf"]) {
            if !seen.insert(std::ptr::from_ref(map).addr()) {
                continue;
            }
            found.push(map);
            for branches in ["anyOf", "oneOf"].iter().filter_map(|keyword| map.get(*keyword)?.as_array()) {
                let fits: Vec<Fit> = branches.iter().map(|branch| fit(value, branch, root)).collect();
                let best = fits.iter().max().copied().unwrap_or(Fit::Never);
                let most = if matches!(best, Fit::Well(_)) { most } else { usize::MAX };
                let from = open.len();
                open.extend(branches.iter().zip(fits).filter(|(_, fit)| *fit == best).take(most).map(|(branch, _)| branch));
                open[from..].reverse();
            }
        }
    }
    found
}

/// How well a value fits a branch, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// A property has another constant.
    Never,
    /// Its type, or that of a property, is another, or a required property is missing.
    Perhaps,
    /// And how many of the value's properties it names.
    Well(usize),
}

fn fit(value: &Value, branch: &Value, root: &Value) -> Fit {
    if is_ruled_out(value, branch, root) {
        return Fit::Never;
    }
    let shapes = branches(branch, root);
    let mut fits = is_of(value, kinds(&shapes).as_deref()) && is_said(value, branch, root);
    let Value::Object(fields) = value else { return if fits { Fit::Well(0) } else { Fit::Perhaps } };
    for map in reached(branch.as_object(), root, &["allOf"]) {
        fits &= required(map).all(|name| fields.contains_key(name));
        fits &= told(fields, map).all(|(field, schema)| is_of(field, kinds(&branches(schema, root)).as_deref()));
    }
    if !fits {
        return Fit::Perhaps;
    }
    let is_named = |name: &&String| shapes.iter().filter_map(|shape| properties(shape)).any(|told| told.contains_key(*name));
    Fit::Well(fields.keys().filter(is_named).count())
}

/// Whether a property of `value` has another constant than `branch` says.
pub(super) fn is_ruled_out(value: &Value, branch: &Value, root: &Value) -> bool {
    let Value::Object(fields) = value else { return false };
    let certain = reached(branch.as_object(), root, &["allOf"]);
    certain.into_iter().any(|map| told(fields, map).any(|(field, schema)| !is_said(field, schema, root)))
}

/// The fields that a schema has properties for, with these. A null may stand for what is not there.
fn told<'a>(fields: &'a Map<String, Value>, map: &'a Map<String, Value>) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    properties(map)
        .into_iter()
        .flatten()
        .filter_map(|(name, schema)| Some((fields.get(name).filter(|field| !field.is_null())?, schema)))
}

/// Whether a value is a constant, as far as the schema says one.
fn is_said(value: &Value, schema: &Value, root: &Value) -> bool {
    reached(schema.as_object(), root, &["allOf"]).iter().all(|map| {
        map.get("const").is_none_or(|it| it == value)
            && map.get("enum").and_then(Value::as_array).is_none_or(|list| list.contains(value))
    })
}

/// Whether a value has one of the types; none is any.
pub(super) fn is_of(value: &Value, kinds: Option<&[&str]>) -> bool {
    let kind = kind(value);
    kinds.is_none_or(|kinds| kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number")))
}

/// The type of a value, as JSON Schema names it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The types that a value may have; none where any is allowed.
pub(super) fn kinds<'a>(shapes: &[&'a Map<String, Value>]) -> Option<Vec<&'a str>> {
    let mut kinds: Vec<&str> = Vec::new();
    for shape in shapes {
        match shape.get("type") {
            Some(Value::String(kind)) => kinds.push(kind),
            Some(Value::Array(list)) => kinds.extend(list.iter().filter_map(Value::as_str)),
            _ if shape.contains_key("properties") => kinds.push("object"),
            _ if ["$ref", "anyOf", "oneOf", "allOf"].iter().any(|keyword| shape.contains_key(*keyword)) => {}
            _ => return None,
        }
    }
    (!kinds.is_empty()).then_some(kinds)
}

/// Whether `null` is valid, as far as the type, the values and the branches say.
pub(super) fn allows_null(schema: &Value, root: &Value) -> bool {
    allows_null_within(schema, root, &mut HashMap::new())
}

/// `known` has what was found of each place, by address: each is looked at once, however many ways lead to it. One that is still
/// looked at counts as false.
fn allows_null_within(schema: &Value, root: &Value, known: &mut HashMap<usize, bool>) -> bool {
    let Value::Object(map) = schema else { return schema == &Value::Bool(true) };
    let key = std::ptr::from_ref(map).addr();
    if let Some(allows) = known.get(&key) {
        return *allows;
    }
    known.insert(key, false);
    let types = match map.get("type") {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|kind| kind == "null"),
        Some(kind) => kind == "null",
    };
    let mut inside = |child: &Value| allows_null_within(child, root, known);
    let list = |keyword: &str| map.get(keyword).and_then(Value::as_array);
    let allows = types
        && map.get("const").is_none_or(Value::is_null)
        && list("enum").is_none_or(|values| values.iter().any(Value::is_null))
        && list("anyOf").is_none_or(|list| list.iter().any(&mut inside))
        && list("oneOf").is_none_or(|list| list.iter().any(&mut inside))
        && list("allOf").is_none_or(|list| list.iter().all(&mut inside))
        && map.get("$ref").and_then(Value::as_str).is_none_or(|to| resolve(root, to).is_some_and(inside));
    known.insert(key, allows);
    allows
}

/// `pointer` with one more step.
pub(super) fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", escaped(name))
}

/// A step of a pointer, escaped as RFC 6901 wants.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_json_pointers_inside_the_schema() {
        let root = json!({"$defs": {"a b": {"type": "null"}, "x/y": true}});
        assert_eq!(resolve(&root, "#/$defs/a%20b"), Some(&json!({"type": "null"})));
        assert_eq!(resolve(&root, "#/$defs/x~1y"), Some(&json!(true)));
        assert_eq!(resolve(&root, "#"), Some(&root));
        for nowhere in ["#/$defs/none", "http://h/x", "#/$defs/%f", "#/$defs/%ff"] {
            assert_eq!(resolve(&root, nowhere), None);
        }
        assert_eq!(step("/a", "b/c~"), "/a/b~1c~0");
    }

    #[test]
    fn null_is_found_through_references_and_branches_and_cycles_end() {
        let root = json!({"$defs": {"n": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "loop": {"$ref": "#/$defs/loop"}}});
        for (schema, expected) in [
            (json!({"$ref": "#/$defs/n"}), true),
            (json!({"type": ["string", "null"], "enum": ["a"]}), false),
            (json!({"enum": ["a", null]}), true),
            (json!({"type": "string"}), false),
            (json!({}), true),
            (json!(false), false),
            (json!({"$ref": "#/$defs/loop"}), false),
        ] {
            assert_eq!(allows_null(&schema, &root), expected, "{schema}");
        }
        assert_eq!(branches(&json!({"$ref": "#/$defs/loop"}), &root).len(), 2);
        let knot = |to: &str| json!({"anyOf": vec![json!({"$ref": format!("#/$defs/{to}")}); 8]});
        assert!(!allows_null(&knot("a"), &json!({"$defs": {"a": knot("b"), "b": knot("a")}})), "each place is looked at once");
    }
}
