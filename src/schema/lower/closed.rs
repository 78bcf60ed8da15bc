//! Closed objects, and what they would shut out: a choice or a condition that is only told in words may speak of further
//! properties, which could not be written into an object that holds none but its own.

use serde_json::{Map, Value};

use super::{Lowering, Unfit, unfit};
use crate::schema::subset::Extras;
use crate::schema::walk::alongside;

pub(super) const PATTERNS: &str = "an object whose property names are told by patterns";

impl Lowering<'_> {
    /// Whether an object holds nothing but the properties that it names.
    pub(super) fn closes(&self) -> bool {
        self.subset.extras != Extras::Allowed
    }

    /// Whether an object may hold all that `map` and what stands in it speak of, where it holds nothing but `properties`: a choice
    /// or a condition is told in words only, and its other properties could not be written.
    pub(super) fn shuts_out_nothing(
        &mut self,
        map: &Map<String, Value>,
        properties: &Map<String, Value>,
        at: &str,
    ) -> Result<(), Unfit> {
        for schema in alongside(map, self.root) {
            self.visit(at)?;
            if schema.contains_key("patternProperties") {
                return Err(unfit(at, PATTERNS));
            }
            if schema.get("minProperties").and_then(Value::as_u64) > Some(properties.len() as u64) {
                return Err(unfit(at, "an object of more properties than it names"));
            }
            let object = |keyword: &str| schema.get(keyword).and_then(Value::as_object).into_iter().flatten();
            let names = ["properties", "dependentSchemas", "dependentRequired"]
                .into_iter()
                .flat_map(|keyword| object(keyword).map(|(name, _)| name.as_str()));
            let lists = object("dependentRequired").map(|(_, list)| list).chain(schema.get("required"));
            let listed = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
            if let Some(name) = names.chain(listed).find(|name| !properties.contains_key(*name)) {
                return Err(unfit(at, &format!("`{name}` is told of beside `properties`, which do not have it")));
            }
        }
        Ok(())
    }

    /// Whether a choice that is kept says all that there is: its branches are whole schemas, which nothing beside them adds to.
    pub(super) fn choice_alone(&mut self, map: &Map<String, Value>, keyword: &str, at: &str) -> Result<(), Unfit> {
        let structure = ["properties", "required", "additionalProperties", "items", "prefixItems"];
        if let Some(beside) = structure.into_iter().find(|beside| map.contains_key(*beside)) {
            return Err(unfit(at, &format!("`{keyword}` beside `{beside}` without a `type`")));
        }
        if !self.closes() {
            return Ok(());
        }
        let mut rest = map.clone();
        rest.shift_remove(keyword);
        self.shuts_out_nothing(&rest, &Map::new(), at)
    }
}
