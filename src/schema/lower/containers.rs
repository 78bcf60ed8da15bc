//! Objects and lists.

use serde_json::{Map, Value, json};

use super::closed::PATTERNS;
use super::keywords::nullable;
use super::{Action, Lowering, Unfit, unfit};
use crate::schema::subset::{Extras, Required};
use crate::schema::walk::{allows_null, properties, required, step};

impl Lowering<'_> {
    pub(super) fn object(&mut self, map: &Map<String, Value>, at: &str, out: &mut Map<String, Value>) -> Result<(), Unfit> {
        let none = Map::new();
        let properties = properties(map).unwrap_or(&none);
        let required: Vec<&str> = required(map).collect();
        let extras = map.get("additionalProperties");
        let is_open = extras != Some(&Value::Bool(false));
        if map.contains_key("patternProperties") && (self.closes() || !matches!(extras, None | Some(Value::Bool(true)))) {
            return Err(unfit(at, PATTERNS));
        }
        if self.closes() && is_open {
            if properties.is_empty() {
                return Err(unfit(at, "an object whose property names are not told"));
            }
            match extras {
                Some(Value::Bool(true)) => self.lose(at, "additionalProperties", Action::Narrowed),
                Some(_) => return Err(unfit(at, "an object whose further properties have a schema")),
                None => {}
            }
            self.shuts_out_nothing(map, properties, at)?;
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
        // A name that stands in `required` alone.
        for name in required.iter().filter(|name| !properties.contains_key(**name)) {
            if self.closes() {
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

    pub(super) fn array(
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
}
