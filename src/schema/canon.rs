//! Any schema that callers bring (Pydantic's, an older draft's, OpenAPI's) -> one canonical 2020-12 schema, checked for what would
//! make validation endless.
//!
//! References that leave the schema are refused: nothing that a caller names is fetched.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::name::Names;
use super::walk::{NAMED, each_child, each_child_mut, resolve};
use crate::error::{Error, Result};

/// Bytes of one schema, written down.
const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Steps that checking one value against a schema may take at one place; more is a knot of references that doubles at each level.
const MAX_STEPS: u64 = 100_000;
/// Schemas on one way through references; each takes room on the stack.
const MAX_WAY: usize = 500;
/// Different patterns of one schema: each is compiled and kept with it.
const MAX_PATTERNS: usize = 64;
/// Levels of one schema.
const MAX_DEPTH: usize = 64;

const LATEST: &str = "https://json-schema.org/draft/2020-12/schema";

/// Rewrites `schema` in the words of 2020-12. A schema that says it is 2020-12 is taken at its word.
pub(super) fn canonical(mut schema: Value, field: &str) -> Result<Value> {
    check_length(&schema, field)?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(Error::bad_request(format!("`{field}`: a schema is an object, as in {{\"type\": \"object\"}}")));
    }
    let draft = schema.get("$schema").and_then(Value::as_str).map(|draft| draft.trim_end_matches('#').to_owned());
    let is_known = draft.as_deref().is_none_or(|draft| {
        draft == LATEST || ["draft-03", "draft-04", "draft-06", "draft-07", "2019-09"].iter().any(|name| draft.contains(name))
    });
    if !is_known {
        let draft = draft.unwrap_or_default();
        return Err(Error::bad_request(format!("`{field}`: `$schema` is `{draft}`; leave it out, or write `{LATEST}`")));
    }
    if let Some(map) = schema.as_object_mut() {
        map.shift_remove("$schema");
    }
    if draft.as_deref() != Some(LATEST) {
        modernise(&mut schema, 0);
    }
    check(&schema, &schema, has_names(&schema, 0), 0, field)?;
    let mut known = HashSet::new();
    patterns(&schema, &mut known);
    if known.len() > MAX_PATTERNS {
        let message = format!("`{field}`: {} different patterns; a schema may have {MAX_PATTERNS}", known.len());
        return Err(Error::bad_request(message));
    }
    let steps = steps(&schema, &Names::new(&schema), &mut BTreeMap::new(), 0);
    if steps == u64::MAX {
        return Err(Error::bad_request(format!(
            "`{field}`: its references lead on through too many schemas; use fewer definitions"
        )));
    }
    if steps > MAX_STEPS {
        return Err(Error::bad_request(format!("`{field}`: its references multiply; use each definition in fewer places")));
    }
    Ok(schema)
}

/// Whether a schema, or a tool's parameters, are no longer than schemas may be.
///
/// # Errors
/// They are longer.
pub(crate) fn check_length(schema: &Value, field: &str) -> Result<()> {
    // What it takes at least, written down.
    fn bytes(value: &Value) -> usize {
        match value {
            Value::Null | Value::Bool(_) => 4,
            Value::Number(_) => 1,
            Value::String(text) => text.len() + 2,
            Value::Array(list) => list.iter().map(|item| bytes(item) + 1).sum::<usize>() + 1,
            Value::Object(map) => map.iter().map(|(name, item)| name.len() + bytes(item) + 4).sum::<usize>() + 1,
        }
    }
    let length = bytes(schema);
    if length > MAX_SCHEMA_BYTES {
        return Err(Error::bad_request(format!("`{field}`: {length} bytes; a schema may have {MAX_SCHEMA_BYTES}")));
    }
    Ok(())
}

/// Words of older drafts and of OpenAPI 3.0.
fn modernise(schema: &mut Value, depth: usize) {
    let Value::Object(map) = schema else { return };
    if depth > MAX_DEPTH {
        return;
    }
    if let Some(definitions) = map.shift_remove("definitions") {
        match (map.get_mut("$defs"), definitions) {
            (Some(Value::Object(there)), Value::Object(more)) => more.into_iter().for_each(|(name, schema)| {
                there.entry(name).or_insert(schema);
            }),
            (_, definitions) => {
                map.insert("$defs".into(), definitions);
            }
        }
    }
    if let Some(Value::String(reference)) = map.get_mut("$ref")
        && reference.starts_with('#')
    {
        *reference = modern(reference);
    }
    if map.get("items").is_some_and(Value::is_array) {
        let (prefix, rest) = (map.shift_remove("items"), map.shift_remove("additionalItems"));
        map.extend([("prefixItems".to_owned(), prefix.unwrap_or_default())]);
        map.extend(rest.map(|rest| ("items".to_owned(), rest)));
    }
    if let Some(Value::Object(dependencies)) = map.shift_remove("dependencies") {
        let (names, schemas): (Map<_, _>, Map<_, _>) = dependencies.into_iter().partition(|(_, value)| value.is_array());
        for (keyword, part) in [("dependentRequired", names), ("dependentSchemas", schemas)] {
            if !part.is_empty() {
                map.insert(keyword.into(), part.into());
            }
        }
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(is_exclusive)) = map.get(flag).cloned() {
            map.shift_remove(flag);
            if is_exclusive && let Some(value) = map.shift_remove(bound) {
                map.insert(flag.into(), value);
            }
        }
    }
    if map.get("nullable") == Some(&Value::Bool(true)) {
        map.shift_remove("nullable");
        match map.get_mut("type") {
            Some(Value::Array(types)) if !types.contains(&json!("null")) => types.push("null".into()),
            Some(Value::String(kind)) => {
                let both = json!([kind, "null"]);
                map.insert("type".into(), both);
            }
            Some(_) => {}
            None => {
                let inner = std::mem::take(map);
                map.insert("anyOf".into(), json!([inner, {"type": "null"}]));
            }
        }
        if let Some(Value::Array(values)) = map.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
    each_child_mut(map, |child| modernise(child, depth + 1));
}

/// A reference of an older draft: its `definitions` are `$defs` where they are the keyword, and not what a property is called.
fn modern(reference: &str) -> String {
    let mut is_name = false;
    let steps = reference.split('/').map(|step| {
        let is_keyword = !is_name;
        is_name = is_keyword && NAMED.contains(&step);
        if is_keyword && step == "definitions" { "$defs" } else { step }
    });
    steps.collect::<Vec<_>>().join("/")
}

/// Refuses references that lead outside, and schemas too deep to walk. Where parts of a schema have names of their own (`$id`),
/// references are relative to those, which the validator follows and we do not; it fetches nothing either.
fn check(schema: &Value, root: &Value, has_names: bool, depth: usize, field: &str) -> Result<()> {
    let Value::Object(map) = schema else { return Ok(()) };
    if depth > MAX_DEPTH {
        return Err(Error::bad_request(format!("`{field}`: nested deeper than {MAX_DEPTH} levels")));
    }
    if let Some(reference) = map.get("$ref").and_then(Value::as_str).filter(|_| !has_names) {
        let pointer = reference.strip_prefix('#');
        if pointer.is_some_and(|pointer| pointer.is_empty() || pointer.starts_with('/')) && resolve(root, reference).is_none() {
            return Err(Error::bad_request(format!("`{field}`: `$ref` to `{reference}`, which is not there")));
        }
        // The drafts' own schemas come with the validator.
        let is_draft = ["http://json-schema.org/", "https://json-schema.org/"].iter().any(|known| reference.starts_with(known));
        if reference.contains("://") && !is_draft {
            let message = format!("`{field}`: `$ref` to `{reference}`; nothing is fetched: put it into `$defs`");
            return Err(Error::bad_request(message));
        }
    }
    let mut outcome = Ok(());
    each_child(map, |_, child| {
        if outcome.is_ok() {
            outcome = check(child, root, has_names, depth + 1, field);
        }
    });
    outcome
}

/// Whether any part of a schema has a name of its own.
fn has_names(schema: &Value, depth: usize) -> bool {
    let Value::Object(map) = schema else { return false };
    let mut found = map.contains_key("$id");
    each_child(map, |_, child| found = found || (depth <= MAX_DEPTH && has_names(child, depth + 1)));
    found
}

/// The different patterns of a schema.
fn patterns<'a>(schema: &'a Value, known: &mut HashSet<&'a str>) {
    let Value::Object(map) = schema else { return };
    known.extend(map.get("pattern").and_then(Value::as_str));
    known.extend(map.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str));
    each_child(map, |_, child| patterns(child, known));
}

/// How many schemas look at one and the same value, through references and branches; a cycle counts as too many. So does a way of
/// more than [`MAX_WAY`] schemas.
fn steps<'a>(schema: &'a Value, names: &Names<'a>, known: &mut BTreeMap<usize, u64>, way: usize) -> u64 {
    let Value::Object(map) = schema else { return 1 };
    let key = std::ptr::from_ref(map).addr();
    if let Some(&count) = known.get(&key) {
        return count;
    }
    if way > MAX_WAY {
        return u64::MAX;
    }
    // A cycle without a step into the value: the validator stops it, so it costs one more look and no more.
    known.insert(key, 1);
    let mut count: u64 = 1;
    let mut inside = Vec::new();
    each_child(map, |keyword, child| {
        if matches!(keyword, "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "dependentSchemas") {
            count = count.saturating_add(steps(child, names, known, way + 1));
        } else {
            inside.push(child);
        }
    });
    for reference in ["$ref", "$dynamicRef"].iter().filter_map(|keyword| map.get(*keyword)?.as_str()) {
        for target in names.targets(reference) {
            count = count.saturating_add(steps(target, names, known, way + 1));
        }
    }
    known.insert(key, count);
    // What looks at other values counts where it is worst.
    let below = inside.into_iter().map(|child| steps(child, names, known, way + 1)).max().unwrap_or(0);
    let count = count.max(if below > MAX_STEPS { below } else { 0 });
    known.insert(key, count);
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(schema: Value) -> String {
        canonical(schema, "schema").unwrap_err().message().to_owned()
    }

    #[test]
    fn older_words_become_those_of_2020() {
        let old = json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "definitions": {"A": {"type": "integer", "minimum": 0, "exclusiveMinimum": true}},
            "properties": {
                "a": {"$ref": "#/definitions/A"},
                "b": {"type": "array", "items": [{"type": "string"}], "additionalItems": false},
                "c": {"type": "string", "nullable": true, "enum": ["x"]},
                "d": {"$ref": "#/definitions/A", "nullable": true},
                "e": {"const": {"definitions": {"nullable": true}}},
                "definitions": {"definitions": {"B": {"type": "string"}}, "items": {"type": "null"}},
                "f": {"$ref": "#/properties/definitions/items"},
                "g": {"$ref": "#/properties/definitions/definitions/B"}
            },
            "dependencies": {"a": ["b"], "b": {"required": ["c"]}}
        });
        let expected = json!({
            "$defs": {"A": {"type": "integer", "exclusiveMinimum": 0}},
            "properties": {
                "a": {"$ref": "#/$defs/A"},
                "b": {"type": "array", "prefixItems": [{"type": "string"}], "items": false},
                "c": {"type": ["string", "null"], "enum": ["x", null]},
                "d": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
                "e": {"const": {"definitions": {"nullable": true}}},
                "definitions": {"$defs": {"B": {"type": "string"}}, "items": {"type": "null"}},
                "f": {"$ref": "#/properties/definitions/items"},
                "g": {"$ref": "#/properties/definitions/$defs/B"}
            },
            "dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"required": ["c"]}}
        });
        assert_eq!(canonical(old, "schema").unwrap(), expected);
    }

    #[test]
    fn what_would_be_fetched_or_never_end_is_refused() {
        assert_eq!(
            message(json!({"$ref": "http://169.254.169.254/x"})),
            "`schema`: `$ref` to `http://169.254.169.254/x`; nothing is fetched: put it into `$defs`"
        );
        assert_eq!(message(json!({"$ref": "#/$defs/A"})), "`schema`: `$ref` to `#/$defs/A`, which is not there");
        assert_eq!(message(json!([1])), "`schema`: a schema is an object, as in {\"type\": \"object\"}");
        let mut knot = json!({"$defs": {"n0": {"type": "string"}}, "$ref": "#/$defs/n40"});
        for at in 1..=40 {
            let below = format!("#/$defs/n{}", at - 1);
            knot["$defs"][format!("n{at}")] = json!({"allOf": [{"$ref": below}, {"$ref": below}]});
        }
        assert_eq!(message(knot.clone()), "`schema`: its references multiply; use each definition in fewer places");
        knot["properties"] = json!({"x": {"$ref": "#/$defs/n40"}});
        knot.as_object_mut().unwrap().shift_remove("$ref");
        assert_eq!(message(knot), "`schema`: its references multiply; use each definition in fewer places");
        // By names of their own, too.
        for (keyword, before) in [("$anchor", "#n"), ("$id", "https://h/n")] {
            let mut knot = json!({"$defs": {"n0": {keyword: format!("{}0", before.trim_start_matches('#'))}}, "$ref": format!("{before}40")});
            for at in 1..=40 {
                let below = json!({"$ref": format!("{before}{}", at - 1)});
                let name = format!("{}{at}", before.trim_start_matches('#'));
                knot["$defs"][format!("n{at}")] = json!({keyword: name, "allOf": [below, below]});
            }
            assert_eq!(message(knot), "`schema`: its references multiply; use each definition in fewer places");
        }
        let chain = |links: usize| {
            let link = |at: usize| (format!("n{at}"), json!({"allOf": [{"$ref": format!("#/$defs/n{}", at - 1)}]}));
            let definitions = (1..=links).map(link).chain([("n0".to_owned(), json!({"type": "string"}))]);
            json!({"$defs": Map::from_iter(definitions), "$ref": format!("#/$defs/n{links}")})
        };
        canonical(chain(200), "schema").unwrap();
        let endless = "`schema`: its references lead on through too many schemas; use fewer definitions";
        assert_eq!(message(chain(5_000)), endless);
        let mut deep = json!({});
        for _ in 0..70 {
            deep = json!({"items": deep});
        }
        assert_eq!(message(deep), "`schema`: nested deeper than 64 levels");
        let patterns = |count: usize| {
            let named = (0..count).map(|at| (format!("p{at}"), json!({"pattern": format!("\\pL{{9}}{}", at / 2)})));
            json!({"properties": Map::from_iter(named), "patternProperties": {"^x-": true}})
        };
        canonical(patterns(2 * (MAX_PATTERNS - 1)), "schema").unwrap();
        assert_eq!(message(patterns(4500)), "`schema`: 2251 different patterns; a schema may have 64");
        let long = "x".repeat(MAX_SCHEMA_BYTES);
        assert!(message(json!({"description": long})).ends_with("bytes; a schema may have 262144"));
    }

    #[test]
    fn a_schema_may_refer_to_itself() {
        let tree = json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}});
        assert_eq!(canonical(tree.clone(), "schema").unwrap(), tree);
        canonical(json!({"$ref": "#"}), "schema").unwrap();
    }
}
