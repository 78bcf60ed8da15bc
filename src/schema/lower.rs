//! A canonical schema -> the part of it that one provider takes, with a report of what was lost on the way.
//!
//! Where a provider could only be told something under which what was asked for cannot be written (a map as an object without
//! properties, a choice of properties in an object without them), the schema is unfit for it and the next way of asking is taken.
//! Two things are told more strictly than they were asked: an object is closed where the provider wants that, which leaves out only
//! properties that nothing names, and Cohere is told one required property. What the provider is not told, the description tells
//! the model, and the answer is checked against the whole schema all the same.

mod closed;
mod containers;
mod keywords;
mod merge;

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::keywords::only_refers;
use super::subset::{Extras, Recursion, Subset, over_limit};
use super::walk::{each_child, properties, required, resolve, step};

/// What stands around a root that is no object.
pub(crate) const WRAPPER: &str = "result";

/// A schema as one provider takes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lowered {
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
    /// Something stricter stands in its place: an object that is open in so many words is closed, or Cohere's one required
    /// property.
    Narrowed,
}

/// Why a provider cannot be told this schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Where in the canonical schema.
    pub pointer: String,
    /// Why.
    pub why: String,
}

/// Writes `canonical` in the words of `subset`.
///
/// # Errors
/// It cannot be said there without saying something else, or it is over a limit.
pub(crate) fn lower(canonical: &Value, subset: &Subset) -> Result<Lowered, Unfit> {
    let is_wrapped = !is_object(canonical);
    let mut lowering =
        Lowering { subset, root: canonical, is_wrapped, losses: Vec::new(), open: Vec::new(), visited: 0, depth: 0 };
    let mut definitions = Map::new();
    if subset.refs {
        if let Some(pointer) = recursion(canonical, subset.recursion) {
            let why = match subset.recursion {
                Recursion::Optional => "a definition refers to itself where it is required",
                _ => "a definition refers to itself",
            };
            return Err(Unfit { pointer, why: why.into() });
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
pub(crate) fn whole(canonical: &Value) -> Lowered {
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
    roots(canonical).any(|root| root.get("type").is_some_and(|kind| kind == "object"))
}

/// The root, seen through references that are all of it; providers want to see an object there.
fn inlined_root(canonical: &Value) -> &Value {
    let says_more = |root: &&Value| !root.as_object().is_some_and(|map| map.contains_key("$ref") && only_refers(map));
    roots(canonical).find(says_more).unwrap_or(canonical)
}

/// The root, and what it refers to.
fn roots(canonical: &Value) -> impl Iterator<Item = &Value> {
    let target = |root: &&Value| resolve(canonical, root.get("$ref")?.as_str()?);
    std::iter::successors(Some(canonical), target).take(9)
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

/// The first definition, or the root, that can reach itself where it may not.
fn recursion(canonical: &Value, allowed: Recursion) -> Option<String> {
    if allowed == Recursion::Anywhere {
        return None;
    }
    // The children of a place through which a way to itself may lead.
    fn free(map: &Map<String, Value>) -> HashSet<usize> {
        let required: HashSet<&str> = required(map).collect();
        let free = properties(map).into_iter().flatten().filter(|(name, _)| !required.contains(name.as_str()));
        free.map(|(_, schema)| std::ptr::from_ref(schema).addr()).collect()
    }
    // `done` has the places below which nothing was found: each is walked once, however many references lead to it.
    fn reaches(schema: &Value, root: &Value, allowed: Recursion, (open, done): (&mut Vec<usize>, &mut HashSet<usize>)) -> bool {
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
            .is_some_and(|target| reaches(target, root, allowed, (open, done)));
        let free = if allowed == Recursion::Optional { free(map) } else { HashSet::new() };
        each_child(map, |keyword, child| {
            let counts = keyword != "$defs" && !free.contains(&std::ptr::from_ref(child).addr());
            found = found || (counts && reaches(child, root, allowed, (open, done)));
        });
        open.pop();
        done.insert(key);
        found
    }
    let (mut open, mut done) = (Vec::new(), HashSet::new());
    for (name, schema) in canonical.get("$defs").and_then(Value::as_object).into_iter().flatten() {
        if reaches(schema, canonical, allowed, (&mut open, &mut done)) {
            return Some(step("/$defs", name));
        }
    }
    reaches(canonical, canonical, allowed, (&mut open, &mut done)).then(String::new)
}

struct Lowering<'a> {
    subset: &'a Subset,
    root: &'a Value,
    is_wrapped: bool,
    losses: Vec<Loss>,
    /// References being written out.
    open: Vec<String>,
    /// Places visited so far, those of references once for each time they are written out or looked through.
    visited: usize,
    /// Schemas that the one being lowered is in, through references too.
    depth: usize,
}

/// Places of a schema that are visited: what is written out again and again must not grow without end.
const MAX_PLACES: usize = 10_000;

/// Schemas one inside the other, those of references too.
const MAX_DEPTH: usize = 128;

impl Lowering<'_> {
    fn visit(&mut self, at: &str) -> Result<(), Unfit> {
        self.visited += 1;
        if self.visited > MAX_PLACES { Err(unfit(at, "references that would be written out too often")) } else { Ok(()) }
    }
}

fn unfit(at: &str, why: &str) -> Unfit {
    Unfit { pointer: at.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests;
