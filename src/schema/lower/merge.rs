//! Several schemas that hold for one value, as one: what stands beside a reference, and the members of `allOf`.

use serde_json::{Map, Value, json};

use super::keywords::{ANNOTATIONS, only_refers};
use super::{Lowering, ROOT, Unfit, unfit};
use crate::schema::walk::resolve;

impl Lowering<'_> {
    /// A reference, kept where the provider takes it, else written out.
    pub(super) fn reference(&mut self, map: &Map<String, Value>, reference: &str, at: &str) -> Result<Value, Unfit> {
        let Some(target) = resolve(self.root, reference) else { return Err(unfit(at, "a reference that is no JSON pointer")) };
        let siblings: Map<String, Value> = map
            .iter()
            .filter(|(keyword, _)| *keyword != "$ref" && *keyword != "$defs")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let only_words = only_refers(map);
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
            target => match inner.get_mut("allOf").and_then(Value::as_array_mut) {
                Some(members) => members.push(target.clone()),
                None => drop(inner.insert("allOf".into(), json!([target]))),
            },
        }
        inner.shift_remove("$defs");
        self.open.push(reference.to_owned());
        let lowered = self.schema(&Value::Object(inner), at);
        self.open.pop();
        lowered
    }

    /// `allOf` and a reference melted into one schema with what stands beside them, where these do not contradict one another.
    /// `depth` is the number of references that led here.
    pub(super) fn merged(&self, map: &Map<String, Value>, mut depth: usize) -> Option<Map<String, Value>> {
        let mut whole = map.clone();
        let mut target = None;
        if let Some(to) = whole.shift_remove("$ref") {
            if self.open.iter().any(|open| *open == to) || depth > 16 {
                return None;
            }
            target = Some(resolve(self.root, to.as_str()?)?);
            depth += 1;
        }
        let members = whole.shift_remove("allOf");
        for member in members.as_ref().and_then(Value::as_array).into_iter().flatten().chain(target) {
            let Value::Object(member) = member else { return None };
            for (keyword, value) in self.merged(member, depth)? {
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
}
