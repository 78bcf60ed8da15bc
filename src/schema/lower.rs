//! A canonical schema -> the part of it that one provider takes, with a report of what was lost on the way.
//!
//! Nothing is ever narrowed: where a provider could only be told something stricter than the caller asked for (a map as an object
//! without properties), the schema is unfit for it and the next way of asking is taken. What the provider is not told, the
//! description tells the model, and the answer is checked against the whole schema all the same.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::subset::{Extras, Required, Subset, over_limit};
use super::walk::{allows_null, each_child, resolve, step};

/// What stands around a root that is no object.
pub const WRAPPER: &str = "result";

/// A schema as one provider takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The schema to send.
    pub schema: Value,
    /// The root was no object and stands in the property [`WRAPPER`].
    pub is_wrapped: bool,
    /// What it no longer says.
    pub losses: Vec<Loss>,
}

/// One thing that the provider is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Where in the canonical schema.
    pub pointer: String,
    /// What.
    pub keyword: String,
    /// What became of it.
    pub action: Action,
}

/// What became of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The description says it instead.
    MovedToDescription,
    /// Something that allows more stands in its place.
    Widened,
    /// It is gone; it constrained nothing.
    Dropped,
    /// Something stricter stands in its place: an object without `additionalProperties` is closed, or Cohere's one required property.
    Narrowed,
}

/// Why a provider cannot be told this schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Where in the canonical schema.
    pub pointer: String,
    /// Why.
    pub why: String,
}

/// Writes `canonical` in the words of `subset`.
///
/// # Errors
/// It cannot be said there without saying something else, or it is over a limit.
pub fn lower(canonical: &Value, subset: &Subset) -> Result<Lowered, Unfit> {
    let is_wrapped = !is_object(canonical);
    let mut lowering = Lowering { subset, root: canonical, is_wrapped, losses: Vec::new(), open: Vec::new(), written: 0 };
    let mut definitions = Map::new();
    if subset.refs {
        if !subset.recursion
            && let Some(pointer) = recursion(canonical)
        {
            return Err(Unfit { pointer, why: "a definition refers to itself".into() });
        }
        for (name, schema) in canonical.get("$defs").and_then(Value::as_object).into_iter().flatten() {
            definitions.insert(name.clone(), lowering.schema(schema, &step("/$defs", name))?);
        }
    }
    let mut root = lowering.schema(inlined_root(canonical), "")?;
    if is_wrapped {
        if refers_to_root(canonical) {
            definitions.insert(ROOT.into(), root);
            root = json!({"$ref": format!("#/$defs/{ROOT}")});
        }
        root = wrapped(root);
        if let (Value::Object(map), Extras::Unsaid) = (&mut root, subset.extras) {
            map.shift_remove("additionalProperties");
        }
    }
    if let (Value::Object(map), false) = (&mut root, definitions.is_empty()) {
        map.insert("$defs".into(), definitions.into());
    }
    match over_limit(&root, subset) {
        Some(why) => Err(Unfit { pointer: String::new(), why }),
        None => Ok(Lowered { schema: root, is_wrapped, losses: lowering.losses }),
    }
}

/// The whole schema, wrapped where its root is no object: for tools and prompts, which take anything.
pub fn whole(canonical: &Value) -> Lowered {
    if is_object(canonical) {
        return Lowered { schema: canonical.clone(), is_wrapped: false, losses: Vec::new() };
    }
    let mut inner = canonical.clone();
    let mut definitions = inner.as_object_mut().and_then(|map| map.shift_remove("$defs"));
    if refers_to_root(canonical) {
        redirect(&mut inner);
        let mut map = match definitions.take() {
            Some(Value::Object(mut map)) => {
                map.values_mut().for_each(redirect);
                map
            }
            _ => Map::new(),
        };
        map.insert(ROOT.into(), inner);
        definitions = Some(map.into());
        inner = json!({"$ref": format!("#/$defs/{ROOT}")});
    }
    let mut schema = wrapped(inner);
    if let (Some(map), Some(definitions)) = (schema.as_object_mut(), definitions) {
        map.insert("$defs".into(), definitions);
    }
    Lowered { schema, is_wrapped: true, losses: Vec::new() }
}

/// The definition that a wrapped root becomes where it refers to itself.
const ROOT: &str = "result_root";

fn wrapped(inner: Value) -> Value {
    json!({"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER], "additionalProperties": false})
}

/// Whether every answer is an object.
pub(super) fn is_object(canonical: &Value) -> bool {
    inlined_root(canonical).get("type").is_some_and(|kind| kind == "object")
}

/// The root, seen through a reference that is all of it; providers want to see an object there.
fn inlined_root(canonical: &Value) -> &Value {
    let mut root = canonical;
    for _ in 0..8 {
        let Some(target) = root.get("$ref").and_then(Value::as_str).and_then(|to| resolve(canonical, to)) else { break };
        root = target;
    }
    root
}

fn refers_to_root(schema: &Value) -> bool {
    let Value::Object(map) = schema else { return false };
    let mut found = map.get("$ref").is_some_and(|to| to == "#");
    each_child(map, |_, child| found |= refers_to_root(child));
    found
}

fn redirect(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if map.get("$ref").is_some_and(|to| to == "#") {
        map.insert("$ref".into(), format!("#/$defs/{ROOT}").into());
    }
    super::walk::each_child_mut(map, redirect);
}

/// The first definition, or the root, that can reach itself.
fn recursion(canonical: &Value) -> Option<String> {
    // `done` has the places below which nothing was found: each is walked once, however many references lead to it.
    fn reaches(schema: &Value, root: &Value, open: &mut Vec<usize>, done: &mut HashSet<usize>) -> bool {
        let Value::Object(map) = schema else { return false };
        let key = std::ptr::from_ref(map).addr();
        if done.contains(&key) {
            return false;
        }
        if open.contains(&key) || open.len() > 256 {
            return true;
        }
        open.push(key);
        let mut found = map
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|to| resolve(root, to))
            .is_some_and(|target| reaches(target, root, open, done));
        each_child(map, |keyword, child| found = found || (keyword != "$defs" && reaches(child, root, open, done)));
        open.pop();
        done.insert(key);
        found
    }
    let (mut open, mut done) = (Vec::new(), HashSet::new());
    for (name, schema) in canonical.get("$defs").and_then(Value::as_object).into_iter().flatten() {
        if reaches(schema, canonical, &mut open, &mut done) {
            return Some(step("/$defs", name));
        }
    }
    reaches(canonical, canonical, &mut open, &mut done).then(String::new)
}

struct Lowering<'a> {
    subset: &'a Subset,
    root: &'a Value,
    is_wrapped: bool,
    losses: Vec<Loss>,
    /// References being written out.
    open: Vec<String>,
    /// Places written so far, those of references once for each time they are written out.
    written: usize,
}

/// Places of a lowered schema: what is written out again and again must not grow without end.
const MAX_PLACES: usize = 10_000;

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
const ANNOTATIONS: [&str; 15] = [
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

impl Lowering<'_> {
    fn schema(&mut self, schema: &Value, at: &str) -> Result<Value, Unfit> {
        self.written += 1;
        if self.written > MAX_PLACES {
            return Err(unfit(at, "references that would be written out too often"));
        }
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
                    rest.shift_remove("allOf");
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

    fn reference(&mut self, map: &Map<String, Value>, reference: &str, at: &str) -> Result<Value, Unfit> {
        let Some(target) = resolve(self.root, reference) else { return Err(unfit(at, "a reference that is no JSON pointer")) };
        let siblings: Map<String, Value> = map
            .iter()
            .filter(|(keyword, _)| *keyword != "$ref" && *keyword != "$defs")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let only_words = siblings.keys().all(|keyword| keyword == "description" || ANNOTATIONS.contains(&keyword.as_str()));
        let is_definition = reference == "#" || reference.strip_prefix("#/$defs/").is_some_and(|name| !name.contains('/'));
        if self.subset.refs && only_words && is_definition {
            let to = if reference == "#" && self.is_wrapped { format!("#/$defs/{ROOT}") } else { reference.to_owned() };
            return Ok(match siblings.get("description") {
                None => json!({"$ref": to}),
                // A reference may have no neighbours.
                Some(description) => json!({"anyOf": [{"$ref": to}], "description": description}),
            });
        }
        if self.open.iter().any(|open| open == reference) {
            return Err(unfit(at, "a definition refers to itself"));
        }
        let mut inner = siblings;
        match target {
            Value::Object(target) if inner.is_empty() || only_words => {
                let words = std::mem::replace(&mut inner, target.clone());
                inner.extend(words);
            }
            target => {
                inner.insert("allOf".into(), json!([target]));
            }
        }
        inner.shift_remove("$defs");
        self.open.push(reference.to_owned());
        let lowered = self.schema(&Value::Object(inner), at);
        self.open.pop();
        lowered
    }

    /// `allOf` melted into one schema, where its members do not contradict one another.
    fn merged(&self, map: &Map<String, Value>, depth: usize) -> Option<Map<String, Value>> {
        let mut whole = map.clone();
        let Some(Value::Array(members)) = whole.shift_remove("allOf") else { return Some(whole) };
        for member in &members {
            let mut member = member;
            for _ in 0..8 {
                let Some(to) = member.get("$ref").and_then(Value::as_str) else { break };
                if self.open.iter().any(|open| open == to) || depth > 16 {
                    return None;
                }
                member = resolve(self.root, to)?;
            }
            let Value::Object(member) = member else { return None };
            for (keyword, value) in self.merged(member, depth + 1)? {
                let Some(before) = whole.get_mut(&keyword) else {
                    whole.insert(keyword, value);
                    continue;
                };
                match (keyword.as_str(), &mut *before, value) {
                    (_, before, value) if *before == value => {}
                    ("$defs", ..) => {}
                    ("properties", Value::Object(there), Value::Object(more)) => {
                        for (name, schema) in more {
                            let both = match there.get(&name) {
                                Some(known) if *known != schema => json!({"allOf": [known, schema]}),
                                _ => schema,
                            };
                            there.insert(name, both);
                        }
                    }
                    ("required", Value::Array(there), Value::Array(more)) => {
                        more.into_iter().for_each(|name| {
                            if !there.contains(&name) {
                                there.push(name);
                            }
                        });
                    }
                    ("minimum" | "minLength" | "minItems", before, value) if value.as_f64() > before.as_f64() => *before = value,
                    ("maximum" | "maxLength" | "maxItems", before, value) if value.as_f64() < before.as_f64() => *before = value,
                    ("minimum" | "minLength" | "minItems" | "maximum" | "maxLength" | "maxItems", ..) => {}
                    ("additionalProperties", before, Value::Bool(false)) => *before = Value::Bool(false),
                    ("additionalProperties", Value::Bool(false), _) => {}
                    (keyword, ..) if keyword == "description" || ANNOTATIONS.contains(&keyword) => {}
                    _ => return None,
                }
            }
        }
        Some(whole)
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
                self.lose(at, "oneOf", Action::Widened);
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
            let mut kinds: Vec<&str> = values.iter().map(kind_of).collect();
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

    fn object(&mut self, map: &Map<String, Value>, at: &str, out: &mut Map<String, Value>) -> Result<(), Unfit> {
        let none = Map::new();
        let properties = map.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let required: Vec<&str> =
            map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let extras = map.get("additionalProperties");
        let is_open = extras != Some(&Value::Bool(false));
        if self.subset.extras != Extras::Allowed && is_open {
            if properties.is_empty() {
                return Err(unfit(at, "an object whose property names are not told"));
            }
            match extras {
                Some(Value::Bool(true)) => self.lose(at, "additionalProperties", Action::Narrowed),
                Some(_) => return Err(unfit(at, "an object whose further properties have a schema")),
                None => {}
            }
        }
        let mut lowered = Map::new();
        let mut must: Vec<Value> = Vec::new();
        for (name, schema) in properties {
            let place = step(&step(at, "properties"), name);
            let mut inner = self.schema(schema, &place)?;
            let mut is_required = required.contains(&name.as_str());
            match self.subset.required {
                Required::All if !is_required => {
                    if !allows_null(schema, self.root) {
                        inner = nullable(inner);
                    }
                    is_required = true;
                }
                // "Or null" had no words, so it is said by leaving it out.
                Required::One if is_required && allows_null(schema, self.root) => is_required = false,
                _ => {}
            }
            lowered.insert(name.clone(), inner);
            if is_required {
                must.push(name.as_str().into());
            }
        }
        // A name that `required` alone tells.
        for name in required.iter().filter(|name| !properties.contains_key(**name)) {
            if self.subset.extras != Extras::Allowed {
                return Err(unfit(at, &format!("`required` names `{name}`, which is no property")));
            }
            must.push((*name).into());
        }
        if self.subset.required == Required::One && must.is_empty() {
            let Some(first) = properties.keys().next() else { return Err(unfit(at, "an object without properties")) };
            must.push(first.as_str().into());
            self.lose(at, "required", Action::Narrowed);
        }
        if !lowered.is_empty() || self.subset.extras != Extras::Allowed {
            out.insert("properties".into(), lowered.into());
        }
        if !must.is_empty() || self.subset.required == Required::All {
            out.insert("required".into(), must.into());
        }
        match (self.subset.extras, extras) {
            (Extras::Never, _) => {
                out.insert("additionalProperties".into(), false.into());
            }
            (Extras::Allowed, Some(Value::Bool(open))) => {
                out.insert("additionalProperties".into(), (*open).into());
            }
            (Extras::Allowed, Some(schema)) => {
                let schema = self.schema(schema, &step(at, "additionalProperties"))?;
                out.insert("additionalProperties".into(), schema);
            }
            _ => {}
        }
        Ok(())
    }

    fn array(
        &mut self,
        map: &Map<String, Value>,
        at: &str,
        out: &mut Map<String, Value>,
        notes: &mut Vec<String>,
    ) -> Result<(), Unfit> {
        let items = map.get("items");
        let prefix = map.get("prefixItems").and_then(Value::as_array);
        let mut lowered = Vec::new();
        for (number, schema) in prefix.into_iter().flatten().enumerate() {
            lowered.push(self.schema(schema, &step(&step(at, "prefixItems"), &number.to_string()))?);
        }
        let closed = items == Some(&Value::Bool(false));
        if !lowered.is_empty() && self.subset.keywords.contains(&"prefixItems") {
            out.insert("prefixItems".into(), lowered.into());
            if let Some(items) = items.filter(|_| !closed) {
                let items = self.schema(items, &step(at, "items"))?;
                out.insert("items".into(), items);
            }
            return Ok(());
        }
        if let Some(items) = items.filter(|_| !closed) {
            lowered.push(self.schema(items, &step(at, "items"))?);
        }
        if prefix.is_some() {
            // A tuple becomes a list of what its places hold.
            self.tell(at, "prefixItems", map, notes);
        }
        lowered.dedup();
        match (lowered.len(), self.subset.any_of) {
            (0, _) if self.subset.typed => return Err(unfit(at, "a list that may hold anything")),
            (0, _) => {}
            (1, _) => {
                out.insert("items".into(), lowered.remove(0));
            }
            (_, true) => {
                out.insert("items".into(), json!({"anyOf": lowered}));
            }
            (_, false) => return Err(unfit(at, "a list of several types")),
        }
        Ok(())
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
    fn tell(&mut self, at: &str, keyword: &str, map: &Map<String, Value>, notes: &mut Vec<String>) {
        let value =
            map.get(keyword).map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let short: String = value.chars().take(400).collect();
        notes.push(format!("{keyword}: {short}"));
        self.lose(at, keyword, Action::MovedToDescription);
    }

    fn lose(&mut self, at: &str, keyword: &str, action: Action) {
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

fn unfit(at: &str, why: &str) -> Unfit {
    Unfit { pointer: at.to_owned(), why: why.to_owned() }
}

fn is_type(out: &Map<String, Value>, kind: &str) -> bool {
    match out.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|it| it == kind),
        Some(it) => it == kind,
        None => false,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null") || schema.get("const").is_some_and(Value::is_null)
}

/// `schema`, or null.
fn nullable(schema: Value) -> Value {
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

/// The type that keywords speak of where none is written.
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

fn kind_of(value: &Value) -> &'static str {
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

#[cfg(test)]
mod tests;
