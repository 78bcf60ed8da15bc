//! What the schema of a strict tool may say: a provider refuses what its grammar has no words for, and a tool that is not strict
//! takes the same schema as a hint.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The part of JSON Schema that strict tools know; without keywords nothing is published, and nothing is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StrictSchema {
    /// Every keyword that passes.
    keywords: Vec<String>,
    /// Formats that pass.
    formats: Vec<String>,
    /// What a `pattern` may not hold.
    no_patterns_with: Vec<String>,
    /// The largest `minItems`; none is any.
    min_items_most: Option<u64>,
    /// Takes definitions that refer to themselves.
    recursion: bool,
    /// Takes a list of types.
    type_lists: bool,
    /// Every object must say `additionalProperties: false`.
    closed: bool,
    /// What `required` must hold.
    required: Required,
}

/// What `required` must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Required {
    /// Every property.
    All,
    /// At least one of each object.
    One,
    /// Whatever it does.
    #[default]
    Any,
}

/// Keywords that say what a value is: beside a choice or a reference they would be a second voice.
const OWN: [&str; 8] = ["additionalProperties", "const", "enum", "items", "pattern", "properties", "required", "type"];

/// Places on one way through a schema and its references; a longer one counts as endless.
const MAX_WAY: usize = 512;

impl StrictSchema {
    /// What of a tool's `schema` strict mode does not take, in words; none where it takes all.
    pub fn refused(&self, schema: &Value) -> Option<String> {
        if self.keywords.is_empty() {
            return None;
        }
        if schema["type"] != "object" {
            return Some("a root that is no object".to_owned());
        }
        self.level(schema).or_else(|| {
            let is_endless = !self.recursion && is_recursive(schema, schema, &mut Vec::new(), &mut HashSet::new());
            is_endless.then(|| "a definition that refers to itself".to_owned())
        })
    }

    fn level(&self, schema: &Value) -> Option<String> {
        let Value::Object(map) = schema else { return Some("a schema that is no object".to_owned()) };
        let is_known = |keyword: &&String| self.keywords.contains(keyword);
        if let Some(keyword) = map.keys().find(|keyword| !is_known(keyword)) {
            return Some(format!("`{keyword}`"));
        }
        if !["type", "anyOf", "enum", "const", "$ref"].iter().any(|keyword| map.contains_key(*keyword)) {
            return Some("a value of any type".to_owned());
        }
        if map.get("$ref").and_then(Value::as_str).is_some_and(|to| !to.starts_with('#')) {
            return Some("a reference that leads out of the schema".to_owned());
        }
        let beside = |keyword: &str, others: &[&str]| {
            let other = others.iter().find(|other| map.contains_key(keyword) && map.contains_key(**other))?;
            Some(format!("`{keyword}` beside `{other}`"))
        };
        let beside = beside("anyOf", &OWN).or_else(|| beside("$ref", &[&OWN[..], &["anyOf", "description", "title"]].concat()));
        beside.or_else(|| self.values(map)).or_else(|| self.object(map)).or_else(|| self.inside(map))
    }

    fn values(&self, map: &Map<String, Value>) -> Option<String> {
        let text = |keyword: &str| map.get(keyword).and_then(Value::as_str);
        if let Some(format) = text("format").filter(|format| !self.formats.iter().any(|known| known == format)) {
            return Some(format!("the format `{format}`"));
        }
        if let Some(piece) = text("pattern").and_then(|text| self.no_patterns_with.iter().find(|piece| text.contains(*piece))) {
            return Some(format!("`{piece}` in a `pattern`"));
        }
        if map.get("minItems").and_then(Value::as_u64) > self.min_items_most.or(Some(u64::MAX)) {
            return Some(format!("a `minItems` over {}", self.min_items_most.unwrap_or_default()));
        }
        if !self.type_lists && map.get("type").is_some_and(Value::is_array) {
            return Some("a list of types".to_owned());
        }
        let values = map.get("enum").and_then(Value::as_array).into_iter().flatten();
        let is_simple = |value: &Value| !value.is_object() && !value.is_array();
        values.into_iter().any(|value| !is_simple(value)).then(|| "an `enum` of more than plain values".to_owned())
    }

    fn object(&self, map: &Map<String, Value>) -> Option<String> {
        let is_of = |kind: &str| match map.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
            own => own.is_some_and(|it| it == kind),
        };
        if is_of("array") && !map.contains_key("items") {
            return Some("a list that may hold anything".to_owned());
        }
        if !is_of("object") {
            return None;
        }
        let is_closed = map.get("additionalProperties") == Some(&Value::Bool(false));
        if !is_closed && (self.closed || map.contains_key("additionalProperties")) {
            return Some("an object without `additionalProperties: false`".to_owned());
        }
        let required = map.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: HashSet<&str> = required.filter_map(Value::as_str).collect();
        let mut names = map.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str());
        match self.required {
            Required::All => names.find(|name| !required.contains(name)).map(|name| format!("`{name}` that is not required")),
            Required::One => required.is_empty().then(|| "an object that requires nothing".to_owned()),
            Required::Any => None,
        }
    }

    fn inside(&self, map: &Map<String, Value>) -> Option<String> {
        let named = ["properties", "$defs", "definitions"].into_iter().filter_map(|keyword| map.get(keyword)?.as_object());
        let listed = map.get("anyOf").and_then(Value::as_array).into_iter().flatten().chain(map.get("items"));
        named.flat_map(Map::values).chain(listed).find_map(|schema| self.level(schema))
    }
}

/// Whether `schema` leads to itself. `done` has the places below which nothing was found, by address: each is walked once.
fn is_recursive(schema: &Value, root: &Value, open: &mut Vec<usize>, done: &mut HashSet<usize>) -> bool {
    let key = std::ptr::from_ref(schema).addr();
    if open.contains(&key) || open.len() > MAX_WAY {
        return true;
    }
    if !done.insert(key) {
        return false;
    }
    open.push(key);
    let target = schema["$ref"].as_str().and_then(|to| root.pointer(to.strip_prefix('#')?));
    let inner: Vec<&Value> = match schema {
        Value::Object(map) => map.values().chain(target).collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let found = inner.into_iter().any(|inner| is_recursive(inner, root, open, done));
    open.pop();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Rules;

    #[test]
    fn what_strict_tools_may_not_say_is_named() {
        let of = |property: serde_json::Value| json!({"type": "object", "properties": {"a": property}, "required": ["a"], "additionalProperties": false});
        let optional =
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": [], "additionalProperties": false});
        let open = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
        let tree = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"], "additionalProperties": false,
            "$defs": {"n": {"type": "object", "properties": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
                "required": ["n"], "additionalProperties": false}}});
        let older = serde_json::from_str(&tree.to_string().replace("$defs", "definitions")).unwrap();
        let mut named = of(json!({"type": "string", "format": "date", "description": "d", "title": "t"}));
        named["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        let none = "";
        for (schema, openai, claude, cohere) in [
            (named, none, none, none),
            (of(json!({"type": "integer", "minimum": 1})), none, "`minimum`", "`minimum`"),
            (of(json!({"type": "string", "maxLength": 3})), "`maxLength`", "`maxLength`", "`maxLength`"),
            (
                of(json!({"type": "string", "pattern": "^a(?=b)"})),
                "`(?=` in a `pattern`",
                "`(?=` in a `pattern`",
                "`^` in a `pattern`",
            ),
            (of(json!({"type": "string", "pattern": "\\bx"})), none, "`\\b` in a `pattern`", none),
            (of(json!({"type": "string", "format": "uri"})), "the format `uri`", none, "the format `uri`"),
            (of(json!({"type": "array", "items": {"type": "string"}, "minItems": 2})), none, "a `minItems` over 1", "`minItems`"),
            (
                of(json!({"type": "array"})),
                "a list that may hold anything",
                "a list that may hold anything",
                "a list that may hold anything",
            ),
            (of(json!({"type": ["string", "null"]})), none, none, "a list of types"),
            (of(json!({"anyOf": [{"type": "string"}, {"type": "null"}]})), none, none, "`anyOf`"),
            (
                of(json!({"anyOf": [{"type": "string"}], "type": "string"})),
                "`anyOf` beside `type`",
                "`anyOf` beside `type`",
                "`anyOf`",
            ),
            (of(json!({"oneOf": [{"type": "string"}]})), "`oneOf`", "`oneOf`", "`oneOf`"),
            (of(json!({"description": "d"})), "a value of any type", "a value of any type", "a value of any type"),
            (
                of(json!({"enum": [{"a": 1}]})),
                "an `enum` of more than plain values",
                "an `enum` of more than plain values",
                "an `enum` of more than plain values",
            ),
            (optional, "`a` that is not required", none, "an object that requires nothing"),
            (open, "an object without `additionalProperties: false`", "an object without `additionalProperties: false`", none),
            (tree, none, "a definition that refers to itself", "`$defs`"),
            (older, none, "`definitions`", "`definitions`"),
            (
                of(json!({"$ref": "https://example.com/x"})),
                "a reference that leads out of the schema",
                "a reference that leads out of the schema",
                "`$ref`",
            ),
            (json!({"anyOf": []}), "a root that is no object", "a root that is no object", "a root that is no object"),
        ] {
            for (provider, dialect, model, expected) in [
                ("openai", "openai", "gpt-4.1", openai),
                ("mistral", "openai", "mistral-large-latest", openai),
                ("anthropic", "anthropic", "claude-sonnet-4-5", claude),
                ("bedrock", "bedrock", "us.anthropic.claude-sonnet-4-6", claude),
                ("cohere", "cohere", "command-a-03-2025", cohere),
                ("custom", "openai", "m", none),
            ] {
                let caps = Rules::new(None).unwrap().find([provider; 2], dialect, model).unwrap();
                assert_eq!(caps.strict_schema.refused(&schema).unwrap_or_default(), expected, "{provider}: {schema}");
            }
        }
    }

    #[test]
    fn a_long_way_through_a_schema_ends() {
        let link = |at: usize| (format!("n{at}"), json!({"type": "array", "items": {"$ref": format!("#/$defs/n{}", at + 1)}}));
        let mut schema =
            json!({"type": "object", "$defs": serde_json::Map::from_iter((0..20_000).map(link)), "additionalProperties": false});
        schema["properties"] = json!({"a": {"$ref": "#/$defs/n0"}});
        let caps = Rules::new(None).unwrap().find(["anthropic"; 2], "anthropic", "claude-sonnet-4-5").unwrap();
        assert_eq!(caps.strict_schema.refused(&schema).unwrap(), "a definition that refers to itself");
    }
}
