//! Where references lead in a schema whose parts have names of their own (`$id`, `$anchor`). Only the validator works
//! out which part a reference is relative to; here it leads to every part that it may mean.

use serde_json::Value;

use super::walk::{each_child, resolve};

/// The named parts of a schema.
pub(super) struct Names<'a> {
    root: &'a Value,
    ids: Vec<(&'a str, &'a Value)>,
    anchors: Vec<(&'a str, &'a Value)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        let mut names = Self { root, ids: Vec::new(), anchors: Vec::new() };
        names.gather(root);
        names
    }

    fn gather(&mut self, schema: &'a Value) {
        let Value::Object(map) = schema else { return };
        let said = |keyword: &str| Some((map.get(keyword)?.as_str()?, schema));
        self.ids.extend(said("$id"));
        self.anchors.extend(["$anchor", "$dynamicAnchor"].into_iter().filter_map(said));
        each_child(map, |_, child| self.gather(child));
    }

    /// All that `reference` may mean.
    pub(super) fn targets(&self, reference: &str) -> Vec<&'a Value> {
        let (place, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return self.anchors.iter().filter(|(name, _)| *name == fragment).map(|(_, schema)| *schema).collect();
        }
        if place.is_empty() && self.ids.is_empty() {
            return resolve(self.root, reference).into_iter().collect();
        }
        let last = |address: &'a str| address.trim_end_matches('#').rsplit('/').next();
        let is_meant = |id: &'a str| place.is_empty() || last(id) == place.rsplit('/').next();
        let own = place.is_empty().then_some(self.root);
        let bases = own.into_iter().chain(self.ids.iter().filter(|(id, _)| is_meant(id)).map(|(_, schema)| *schema));
        let pointer = format!("#{fragment}");
        let mut found: Vec<&Value> = bases.filter_map(|base| resolve(base, &pointer)).collect();
        // The root may have a name, too.
        found.dedup_by_key(|target| std::ptr::from_ref(*target).addr());
        found
    }
}
