//! One level of a schema: unions, values, and what is told in words.

use serde_json::{Map, Value, json};

use super::{Action, Loss, Lowering, MAX_DEPTH, Unfit, unfit};
use crate::schema::walk::{kind, properties, step};

/// Keywords that the steps of [`Lowering::schema`] have dealt with.
const STRUCTURE: [&str; 13] = [
    "$ref",
    "$defs",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "description",
    "enum",
    "items",
    "oneOf",
    "properties",
    "required",
    "type",
];

/// Keywords that constrain nothing.
pub(super) const ANNOTATIONS: [&str; 15] = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$id",
    "$schema",
    "$vocabulary",
    "default",
    "deprecated",
    "discriminator",
    "example",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
    "xml",
];

/// Whether a reference is all that a schema says: beside it stand words and definitions alone.
pub(super) fn only_refers(map: &Map<String, Value>) -> bool {
    map.keys().all(|name| matches!(name.as_str(), "$ref" | "$defs" | "description") || ANNOTATIONS.contains(&name.as_str()))
}

impl Lowering<'_> {
    pub(super) fn schema(&mut self, schema: &Value, at: &str) -> Result<Value, Unfit> {
        self.visit(at)?;
        if self.depth == MAX_DEPTH {
            return Err(unfit(at, "references that lead on through too many schemas"));
        }
        self.depth += 1;
        let lowered = self.level(schema, at);
        self.depth -= 1;
        lowered
    }

    fn level(&mut self, schema: &Value, at: &str) -> Result<Value, Unfit> {
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(true) if !self.subset.typed => return Ok(json!({})),
            Value::Bool(true) => return Err(unfit(at, "a value of any type")),
            _ => return Err(unfit(at, "a place where nothing is valid")),
        };
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            return self.reference(map, reference, at);
        }
        if map.contains_key("allOf") {
            return match self.merged(map, 0) {
                Some(merged) => self.schema(&Value::Object(merged), at),
                None => {
                    self.lose(at, "allOf", Action::Widened);
                    let mut rest = map.clone();
                    let members = rest.shift_remove("allOf").map(|members| ("allOf".to_owned(), members));
                    if self.closes() {
                        let none = Map::new();
                        self.shuts_out_nothing(&Map::from_iter(members), properties(&rest).unwrap_or(&none), at)?;
                    }
                    self.schema(&Value::Object(rest), at)
                }
            };
        }
        let mut out = Map::new();
        let mut notes = Vec::new();
        self.branches(map, at, &mut out, &mut notes)?;
        self.values(map, at, &mut out, &mut notes);
        if is_type(&out, "object") {
            self.object(map, at, &mut out)?;
        }
        if is_type(&out, "array") {
            self.array(map, at, &mut out, &mut notes)?;
        }
        let says_something = ["type", "anyOf", "enum", "const", "$ref"].iter().any(|keyword| out.contains_key(*keyword));
        if self.subset.typed && !says_something {
            return Err(unfit(at, "a value of any type"));
        }
        self.rest(map, at, &mut out, &mut notes);
        describe(map, notes, &mut out);
        Ok(out.into())
    }

    /// `anyOf`, `oneOf` and the type.
    fn branches(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        out: &mut Map<String, Value>,
        notes: &mut Vec<String>,
    ) -> Result<(), Unfit> {
        let mut kind = map.get("type").cloned().or_else(|| inferred(map));
        let keyword = if map.contains_key("anyOf") { "anyOf" } else { "oneOf" };
        if let Some(Value::Array(list)) = map.get(keyword) {
            if map.contains_key("oneOf") && keyword == "anyOf" {
                self.tell(at, "oneOf", map, notes);
            }
            let others: Vec<&Value> = list.iter().filter(|branch| !is_null(branch)).collect();
            let stands_alone = kind.is_none() && list.iter().all(|branch| self.is_typed(branch));
            match (others.as_slice(), stands_alone) {
                _ if !stands_alone => self.tell(at, keyword, map, notes),
                ([only], _) if !self.subset.any_of => {
                    // Where there are no unions, "or null" is told by leaving the property out.
                    if let Value::Object(inner) = self.schema(only, &step(&step(at, keyword), "0"))? {
                        out.extend(inner);
                    }
                    return Ok(());
                }
                _ if !self.subset.any_of => self.tell(at, keyword, map, notes),
                _ => {
                    self.choice_alone(map, keyword, at)?;
                    let mut branches = Vec::new();
                    for (number, branch) in list.iter().enumerate() {
                        let lowered = self.schema(branch, &step(&step(at, keyword), &number.to_string()))?;
                        if !branches.contains(&lowered) {
                            branches.push(lowered);
                        }
                    }
                    if keyword == "oneOf" {
                        self.lose(at, keyword, Action::Widened);
                    }
                    out.insert("anyOf".into(), branches.into());
                }
            }
        }
        if let (Some(Value::Array(types)), false) = (&kind, self.subset.type_lists) {
            let others: Vec<&Value> = types.iter().filter(|kind| *kind != "null").collect();
            kind = match others.as_slice() {
                [only] => Some((*only).clone()),
                _ => {
                    self.tell(at, "type", map, notes);
                    None
                }
            };
        }
        out.extend(kind.map(|kind| ("type".to_owned(), kind)));
        Ok(())
    }

    /// `enum` and `const`.
    fn values(&mut self, map: &Map<String, Value>, at: &str, out: &mut Map<String, Value>, notes: &mut Vec<String>) {
        let keeps = |keyword: &str| self.subset.keywords.contains(&keyword);
        if let Some(value) = map.get("const") {
            if keeps("const") {
                out.insert("const".into(), value.clone());
            } else {
                out.insert("enum".into(), json!([value]));
            }
        } else if let Some(Value::Array(values)) = map.get("enum") {
            if values.iter().any(|value| value.is_object() || value.is_array()) {
                self.tell(at, "enum", map, notes);
                return;
            }
            let mut values = values.clone();
            if !self.subset.type_lists && !self.subset.any_of {
                values.retain(|value| !value.is_null());
            }
            out.insert("enum".into(), values.into());
        } else {
            return;
        }
        if !out.contains_key("type") && self.subset.typed {
            let values = out
                .get("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_else(|| map.get("const").cloned().into_iter().collect());
            let mut kinds: Vec<&str> = values.iter().map(kind).collect();
            kinds.dedup();
            if kinds.len() == 1 {
                out.insert("type".into(), kinds[0].into());
            } else if self.subset.type_lists {
                kinds.sort_unstable();
                kinds.dedup();
                out.insert("type".into(), json!(kinds));
            }
        }
    }

    /// Everything that is not structure: kept, told in the description, or dropped.
    fn rest(&mut self, map: &Map<String, Value>, at: &str, out: &mut Map<String, Value>, notes: &mut Vec<String>) {
        for (keyword, value) in map.iter().filter(|(keyword, _)| !STRUCTURE.contains(&keyword.as_str())) {
            let keyword = keyword.as_str();
            if keyword == "prefixItems" {
                continue;
            }
            let fits = match keyword {
                "format" => value.as_str().is_some_and(|name| self.subset.formats.is_none_or(|known| known.contains(&name))),
                "pattern" => {
                    value.as_str().is_some_and(|text| !self.subset.no_patterns_with.iter().any(|part| text.contains(part)))
                }
                "minItems" => value.as_u64().is_some_and(|least| least <= self.subset.min_items_most),
                _ => true,
            };
            if self.subset.keywords.contains(&keyword) && fits {
                out.insert(keyword.to_owned(), value.clone());
            } else if keyword == "default" {
                self.lose(at, keyword, Action::Dropped);
            } else if !ANNOTATIONS.contains(&keyword) && !keyword.starts_with("x-") {
                self.tell(at, keyword, map, notes);
            }
        }
    }

    /// Moves a keyword into the description.
    pub(super) fn tell(&mut self, at: &str, keyword: &str, map: &Map<String, Value>, notes: &mut Vec<String>) {
        let value =
            map.get(keyword).map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let short: String = value.chars().take(400).collect();
        notes.push(format!("{keyword}: {short}"));
        self.lose(at, keyword, Action::MovedToDescription);
    }

    pub(super) fn lose(&mut self, at: &str, keyword: &str, action: Action) {
        let loss = Loss { pointer: at.to_owned(), keyword: keyword.to_owned(), action };
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }

    /// Whether a branch says what it is, so that it can stand in a union.
    fn is_typed(&self, branch: &Value) -> bool {
        let keywords = ["type", "$ref", "enum", "const", "anyOf", "oneOf", "allOf", "properties"];
        !self.subset.typed || keywords.iter().any(|keyword| branch.get(*keyword).is_some())
    }
}

fn describe(map: &Map<String, Value>, notes: Vec<String>, out: &mut Map<String, Value>) {
    let description = map.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = match (description.is_empty(), notes.is_empty()) {
        (true, true) => return,
        (false, true) => description.to_owned(),
        (true, false) => notes.join("; "),
        (false, false) => format!("{description} ({})", notes.join("; ")),
    };
    out.insert("description".into(), text.into());
}

/// `schema`, or null.
pub(super) fn nullable(schema: Value) -> Value {
    let Value::Object(mut map) = schema else { return schema };
    let simple = map.get("type").is_some_and(Value::is_string) && !map.contains_key("const");
    if simple {
        let both = json!([map["type"], "null"]);
        map.insert("type".into(), both);
        if let Some(Value::Array(values)) = map.get_mut("enum") {
            values.push(Value::Null);
        }
        return map.into();
    }
    if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
        branches.push(json!({"type": "null"}));
        return map.into();
    }
    if let Some(Value::Array(kinds)) = map.get_mut("type") {
        kinds.push("null".into());
        return map.into();
    }
    let description = map.shift_remove("description");
    let mut both = json!({"anyOf": [map, {"type": "null"}]});
    if let (Some(both), Some(description)) = (both.as_object_mut(), description) {
        both.insert("description".into(), description);
    }
    both
}

/// The type that the keywords imply where none is written.
fn inferred(map: &Map<String, Value>) -> Option<Value> {
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| map.contains_key(*keyword));
    let kind = if has(&["anyOf", "oneOf", "enum", "const"]) {
        return None;
    } else if has(&["properties", "additionalProperties", "patternProperties"]) {
        "object"
    } else if has(&["items", "prefixItems", "minItems", "maxItems", "uniqueItems"]) {
        "array"
    } else if has(&["minLength", "maxLength", "pattern", "format"]) {
        "string"
    } else if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        return None;
    };
    Some(kind.into())
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null") || schema.get("const").is_some_and(Value::is_null)
}

fn is_type(out: &Map<String, Value>, kind: &str) -> bool {
    match out.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        Some(it) => it == kind,
        None => false,
    }
}
