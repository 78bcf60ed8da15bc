//! A table of schemas x providers, with what is lost on the way: `table.txt` beside this file. `OMNI_BLESS=1` writes it anew.

use std::fmt::Write as _;

use serde_json::json;

use super::super::Schema;
use super::super::subset::{ANTHROPIC, COHERE, GEMINI, GROQ, MISTRAL, OPENAI};
use super::*;
use crate::schema::subset::Extras;

const SUBSETS: [&Subset; 4] = [&OPENAI, &ANTHROPIC, &GEMINI, &COHERE];

fn schemas() -> Vec<(&'static str, Value)> {
    let strings = |count: usize, required: bool| {
        let names: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
        let map: Map<_, _> = names.iter().map(|name| (name.clone(), json!({"type": ["string", "null"]}))).collect();
        json!({"type": "object", "properties": map, "required": if required { names } else { vec![] }})
    };
    vec![
        (
            "flat",
            json!({"type": "object", "properties": {"reason": {"type": "string"}, "answer": {"type": "integer"}}, "required": ["reason", "answer"], "additionalProperties": false}),
        ),
        (
            "optional",
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y"]}, "c": {"$ref": "#/$defs/C"}}, "required": ["a"], "$defs": {"C": {"type": "object", "properties": {"d": {"type": "boolean"}}, "required": ["d"]}}}),
        ),
        ("all optional", json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}})),
        (
            "pydantic",
            json!({"title": "Invoice", "type": "object", "properties": {
            "id": {"title": "Id", "type": "string", "pattern": "^INV-[0-9]+$"},
            "total": {"type": "number", "minimum": 0, "exclusiveMaximum": 1_000_000},
            "note": {"anyOf": [{"type": "string", "maxLength": 200}, {"type": "null"}], "default": null},
            "lines": {"type": "array", "minItems": 2, "maxItems": 50, "uniqueItems": true, "items": {"$ref": "#/$defs/Line"}},
            "due": {"type": "string", "format": "date"}, "mail": {"type": "string", "format": "email"}},
            "required": ["id", "total", "lines"],
            "$defs": {"Line": {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}, "kind": {"const": "item"}}, "required": ["text"]}}}),
        ),
        (
            "inheritance",
            json!({"type": "object", "allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}], "$defs": {"Base": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}),
        ),
        (
            "contradiction",
            json!({"type": "object", "properties": {"a": {"allOf": [{"type": "string"}, {"type": "integer"}], "description": "odd"}, "b": {"type": "string"}}, "required": ["b"]}),
        ),
        (
            "union",
            json!({"type": "object", "properties": {"shape": {"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}, "required": ["kind", "r"]},
            {"type": "object", "properties": {"kind": {"const": "square"}, "a": {"type": "number"}}, "required": ["kind", "a"]}],
            "discriminator": {"propertyName": "kind"}}}, "required": ["shape"]}),
        ),
        ("list at the root", json!({"type": "array", "items": {"type": "string"}})),
        ("choice at the root", json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
        (
            "tree",
            json!({"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}, "required": ["name", "children"], "additionalProperties": false}}}),
        ),
        (
            "optional tree",
            json!({"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"name": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}}, "required": ["name"]}}}),
        ),
        (
            "root reference with neighbours",
            json!({"$ref": "#/$defs/Bar", "properties": {"foo": {"type": "string"}}, "required": ["foo"], "$defs": {"Bar": {"type": "object", "properties": {"bar": {"type": "string"}}, "required": ["bar"]}}}),
        ),
        (
            "root reference beside allOf",
            json!({"$ref": "#/$defs/A", "allOf": [{"properties": {"c": {"type": "string"}}, "required": ["c"]}], "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}}}),
        ),
        (
            "references with neighbours that lead to one another",
            json!({"$ref": "#/$defs/A", "properties": {"r": {"type": "string"}}, "$defs": {
            "A": {"$ref": "#/$defs/B", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            "B": {"type": "object", "properties": {"b": {"type": "string"}}}}}),
        ),
        ("list that holds itself", json!({"type": "array", "items": {"$ref": "#"}})),
        (
            "map",
            json!({"type": "object", "properties": {"counts": {"type": "object", "additionalProperties": {"type": "integer"}}}, "required": ["counts"]}),
        ),
        (
            "open",
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": true}),
        ),
        ("anything", json!({"type": "object", "properties": {"any": {}, "list": {"type": "array"}}, "required": ["any"]})),
        (
            "tuple",
            json!({"type": "object", "properties": {"pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}}, "required": ["pair"]}),
        ),
        (
            "conditions",
            json!({"type": "object", "properties": {"a": {"type": "integer", "not": {"const": 3}}, "b": {"type": "string"}}, "required": ["a"], "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "dependentRequired": {"b": ["a"]}, "minProperties": 1}),
        ),
        (
            "described reference",
            json!({"type": "object", "properties": {"home": {"$ref": "#/$defs/P", "description": "where"}, "work": {"$ref": "#/$defs/P", "minProperties": 1}}, "required": ["home", "work"], "$defs": {"P": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}),
        ),
        (
            "patterns",
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=x).*$"}, "b": {"type": "string", "pattern": "[a-z]+\\b"}, "c": {"type": "string", "pattern": "[a-z]+"}}, "required": ["a", "b", "c"]}),
        ),
        (
            "choice beside properties",
            json!({"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"], "oneOf": [{"properties": {"x": {"type": "integer"}}, "required": ["x"]}, {"properties": {"y": {"type": "integer"}}, "required": ["y"]}]}),
        ),
        (
            "choice of properties",
            json!({"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "anyOf": [{"required": ["x"]}, {"required": ["y"]}]}),
        ),
        (
            "choice without a type",
            json!({"properties": {"kind": {"type": "string"}}, "required": ["kind"], "anyOf": [{"properties": {"x": {"type": "integer"}}}, {"properties": {"y": {"type": "integer"}}}]}),
        ),
        (
            "two choices",
            json!({"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"b": {"type": "string"}}}], "oneOf": [{"required": ["c"]}, {"required": ["d"]}]}),
        ),
        (
            "condition with a property",
            json!({"type": "object", "properties": {"country": {"type": "string"}}, "if": {"properties": {"country": {"const": "US"}}}, "then": {"properties": {"zip": {"type": "string"}}, "required": ["zip"]}}),
        ),
        (
            "dependent properties",
            json!({"type": "object", "properties": {"card": {"type": "string"}}, "dependentSchemas": {"card": {"$ref": "#/$defs/Paid"}}, "$defs": {"Paid": {"properties": {"address": {"type": "string"}}, "required": ["address"]}}}),
        ),
        (
            "names by pattern",
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"^x-": {"type": "string"}}, "required": ["a"]}),
        ),
        (
            "names by pattern alone",
            json!({"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": false}),
        ),
        (
            "inheritance that contradicts",
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "allOf": [{"properties": {"b": {"type": "string"}}, "propertyNames": {"pattern": "^[a-z]"}}, {"properties": {"c": {"type": "string"}}, "propertyNames": {"pattern": "^[a-c]"}}]}),
        ),
        ("more than is named", json!({"type": "object", "properties": {"a": {"type": "string"}}, "minProperties": 2})),
        ("17 nullable", strings(17, true)),
        ("30 optional", strings(30, false)),
        (
            "mixed types",
            json!({"type": "object", "properties": {"v": {"type": ["string", "integer"]}, "w": {"enum": [1, "a", null]}}, "required": ["v", "w"]}),
        ),
        (
            "keys in order",
            json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}, "m": {"type": "string"}}, "required": ["a", "m", "z"]}),
        ),
    ]
}

#[test]
fn definitions_that_lead_to_one_another_in_ever_more_ways_take_no_time() {
    let mut definitions = serde_json::Map::new();
    definitions.insert("n0".into(), json!({"type": "string"}));
    for level in 1..40 {
        let below = json!({"$ref": format!("#/$defs/n{}", level - 1)});
        definitions.insert(
            format!("n{level}"),
            json!({"type": "object", "properties": {"a": below, "b": below}, "required": ["a", "b"], "additionalProperties": false}),
        );
    }
    let knot = json!({"$defs": definitions, "type": "object", "properties": {"v": {"$ref": "#/$defs/n39"}}, "required": ["v"]});
    let canonical = Schema::new(knot, "schema").unwrap();
    for subset in SUBSETS {
        if let Err(unfit) = lower(canonical.value(), subset) {
            assert!(unfit.why.contains("levels") || unfit.why.contains("too often"), "{}: {}", subset.name, unfit.why);
        }
    }
    assert!(lower(canonical.value(), &COHERE).is_err(), "2^39 places are not written out");
}

#[test]
fn a_choice_that_many_objects_lead_to_is_not_looked_through_without_end() {
    let object = |name: &str, value: Value| json!({"type": "object", "properties": {"a": {"type": "string"}}, name: value});
    let properties: serde_json::Map<String, Value> =
        (0..500).map(|at| (format!("p{at}"), object("anyOf", json!([{"$ref": "#/$defs/b"}])))).collect();
    let choice = object("anyOf", Value::Array(vec![json!({}); 20_000]));
    let schema = json!({"$defs": {"b": choice}, "type": "object", "properties": properties});
    let canonical = Schema::new(schema, "schema").unwrap();
    for subset in SUBSETS {
        let lowered = lower(canonical.value(), subset).map(drop);
        assert!(subset.extras == Extras::Allowed || lowered.is_err(), "{}", subset.name);
    }
}

#[test]
fn the_table_of_schemas_and_providers() {
    let mut page = String::new();
    for (name, schema) in schemas() {
        let canonical = Schema::new(schema, "schema").unwrap();
        writeln!(page, "# {name}\n{}\n", canonical.value()).unwrap();
        for subset in SUBSETS {
            match lower(canonical.value(), subset) {
                Ok(lowered) => {
                    writeln!(page, "{}: {}", subset.name, lowered.schema).unwrap();
                    for loss in &lowered.losses {
                        let action = serde_json::to_value(loss.action).unwrap();
                        writeln!(page, "    {} {}: {}", loss.pointer, loss.keyword, action.as_str().unwrap()).unwrap();
                    }
                }
                Err(unfit) => writeln!(page, "{}: unfit at `{}`: {}", subset.name, unfit.pointer, unfit.why).unwrap(),
            }
        }
        page.push('\n');
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema/lower/table.txt");
    if std::env::var_os("OMNI_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    for (line, expected) in page.lines().zip(known.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(page.len(), known.len(), "the table has another length");
}

/// Whether `schema` holds only what a provider's published rules allow, checked apart from the code that lowers.
fn fits(schema: &Value, subset: &Subset, at: &str, problems: &mut Vec<String>) {
    let Value::Object(map) = schema else { return problems.push(format!("{at}: no object")) };
    let mut problem = |what: &str| problems.push(format!("{at}: {what}"));
    let strict = [&OPENAI, &GROQ, &MISTRAL].contains(&subset);
    let is_object = map.get("type").is_some_and(|kind| kind == "object");
    if (strict || *subset == ANTHROPIC) && is_object && map.get("additionalProperties") != Some(&Value::Bool(false)) {
        problem("open");
    }
    let required = map.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    if strict && is_object && required != map["properties"].as_object().map_or(0, Map::len) {
        problem("not all required");
    }
    if *subset == COHERE && is_object && required == 0 {
        problem("none required");
    }
    let banned: &[&str] = if *subset == COHERE {
        &["anyOf", "$ref", "$defs", "minItems", "maxItems", "uniqueItems", "minimum", "additionalProperties"]
    } else {
        &[]
    };
    for keyword in
        ["allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "default", "uniqueItems"].iter().chain(banned)
    {
        if map.contains_key(*keyword) {
            problem(keyword);
        }
    }
    if map.contains_key("$ref") && map.len() > 1 && !at.is_empty() {
        problem("a reference with neighbours");
    }
    each_child(map, |keyword, child| {
        if !(keyword == "additionalProperties" && child.is_boolean()) {
            fits(child, subset, &format!("{at}/{keyword}"), problems);
        }
    });
}

#[test]
fn what_is_sent_keeps_the_rules_that_are_published() {
    let mut sent = 0;
    for (name, schema) in schemas() {
        let canonical = Schema::new(schema, "schema").unwrap();
        for subset in [&OPENAI, &ANTHROPIC, &GEMINI, &COHERE, &GROQ, &MISTRAL] {
            let Ok(lowered) = lower(canonical.value(), subset) else { continue };
            let mut problems = Vec::new();
            fits(&lowered.schema, subset, "", &mut problems);
            assert_eq!(problems, [""; 0], "{name} for {}: {}", subset.name, lowered.schema);
            Schema::new(lowered.schema, "schema").unwrap();
            sent += 1;
        }
    }
    assert!(sent > 60, "{sent}");
}

#[test]
fn lowering_never_refuses_what_was_valid() {
    let answers = [
        ("flat", json!({"reason": "r", "answer": 1})),
        ("optional", json!({"a": "x", "b": "y", "c": {"d": true}})),
        (
            "pydantic",
            json!({"id": "INV-1", "total": 1, "note": "n", "lines": [{"text": "a", "kind": "item"}, {"text": "b", "kind": "item"}], "due": "2026-01-01", "mail": "a@b.c"}),
        ),
        ("inheritance", json!({"a": 1, "b": "x"})),
        ("root reference with neighbours", json!({"foo": "x", "bar": "y"})),
        ("root reference beside allOf", json!({"a": "x", "c": "y"})),
        ("references with neighbours that lead to one another", json!({"r": "x", "a": "y", "b": "z"})),
        ("union", json!({"shape": {"kind": "square", "a": 1}})),
        ("tuple", json!({"pair": ["a", 1]})),
        ("tree", json!({"name": "a", "children": [{"name": "b", "children": []}]})),
        ("mixed types", json!({"v": 1, "w": "a"})),
        ("choice beside properties", json!({"kind": "k", "x": 1})),
        ("choice of properties", json!({"x": 1, "y": 2})),
        ("choice without a type", json!({"kind": "k", "x": 1})),
        ("two choices", json!({"a": "x", "c": 1})),
        ("condition with a property", json!({"country": "US", "zip": "z"})),
        ("dependent properties", json!({"card": "1", "address": "x"})),
        ("names by pattern", json!({"a": "x", "x-b": "y"})),
        ("names by pattern alone", json!({"x-b": "y"})),
        ("inheritance that contradicts", json!({"a": "x", "b": "y", "c": "z"})),
        ("more than is named", json!({"a": "x", "b": "y"})),
    ];
    for (name, answer) in answers {
        let schema = schemas().into_iter().find(|(known, _)| *known == name).unwrap().1;
        let canonical = Schema::new(schema, "schema").unwrap();
        assert!(canonical.is_valid(&answer), "{name}: {:?}", canonical.violations(&answer));
        for subset in SUBSETS {
            let Ok(lowered) = lower(canonical.value(), subset) else { continue };
            let wrapped = if lowered.is_wrapped { json!({WRAPPER: answer}) } else { answer.clone() };
            let violations = Schema::new(lowered.schema, "schema").unwrap().violations(&wrapped);
            assert_eq!(violations, [], "{name} for {}", subset.name);
        }
    }
}

#[test]
fn a_root_that_refers_to_itself_can_be_wrapped_for_a_tool() {
    let canonical = json!({"type": "array", "items": {"$ref": "#"}});
    let whole = whole(&canonical);
    let schema = Schema::new(whole.schema, "schema").unwrap();
    assert!(schema.is_valid(&json!({"result": [[], [[]]]})));
    assert!(!schema.is_valid(&json!({"result": [1]})) && !schema.is_valid(&json!([])));
}
