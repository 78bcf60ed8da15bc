//! How many steps a validation takes: each look of a schema at a value is one. Branches that lead to the same schema multiply the
//! steps at each level of a value, and the answer decides how many levels there are. So steps are counted before they are taken.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::name::Names;
use super::walk::is_ruled_out;

/// Steps for checking one value; some tenths of a second.
const MAX_CHECKED: usize = 500_000;
/// Steps for collecting all errors; fewer, because every branch is walked anew and a step may keep a kilobyte.
const MAX_ERROR_STEPS: usize = 50_000;
/// Schemas that may lead to one another, one inside the other.
const MAX_DEPTH: usize = 1_000;

/// Whether it can be said in time that `value` is valid. The validator remembers what it found of a definition that refers to
/// itself, and skips branches that a constant rules out.
pub(super) fn is_checkable(value: &Value, root: &Value) -> bool {
    is_tellable(value, root) || Steps::new(root, MAX_CHECKED, true).within(root, value, 0)
}

/// Whether all that is wrong with `value` can be told in time.
pub(super) fn is_tellable(value: &Value, root: &Value) -> bool {
    Steps::new(root, MAX_ERROR_STEPS, false).within(root, value, 0)
}

struct Steps<'a> {
    root: &'a Value,
    names: Names<'a>,
    /// Where the references met so far lead: each item of a list follows the same ones.
    targets: HashMap<&'a str, Vec<&'a Value>>,
    left: usize,
    remembers: bool,
    /// The definitions being walked, and the values that each is held against; by address.
    open: HashMap<usize, Vec<usize>>,
    /// Definitions that were found to refer to themselves.
    recursive: HashSet<usize>,
    /// Definitions and the values that they were held against.
    seen: HashSet<(usize, usize)>,
}

impl<'a> Steps<'a> {
    fn new(root: &'a Value, left: usize, remembers: bool) -> Self {
        let (open, recursive, seen) = (HashMap::new(), HashSet::new(), HashSet::new());
        Self { root, names: Names::new(root), targets: HashMap::new(), left, remembers, open, recursive, seen }
    }

    /// Counts all steps of `schema` on `value`; false where they are too many.
    fn within(&mut self, schema: &'a Value, value: &Value, depth: usize) -> bool {
        let Value::Object(map) = schema else { return true };
        if self.left == 0 || depth == MAX_DEPTH {
            return false;
        }
        self.left -= 1;
        let depth = depth + 1;
        // What the other keywords have left over is found by a second walk.
        let times = if ["unevaluatedItems", "unevaluatedProperties"].iter().any(|it| map.contains_key(*it)) { 2 } else { 1 };
        map.iter().all(|(keyword, inner)| match (keyword.as_str(), inner, value) {
            ("allOf", Value::Array(list), _) => {
                list.iter().cycle().take(list.len() * times).all(|it| self.within(it, value, depth))
            }
            ("anyOf" | "oneOf", Value::Array(list), _) => list.iter().cycle().take(list.len() * times).all(|branch| {
                let skips = self.remembers && is_ruled_out(value, branch, self.root);
                skips || self.within(branch, value, depth)
            }),
            ("not" | "if" | "then" | "else", ..) => (0..times).all(|_| self.within(inner, value, depth)),
            ("dependentSchemas", Value::Object(named), _) => named.values().all(|it| self.within(it, value, depth)),
            ("properties", Value::Object(named), Value::Object(fields)) => fields
                .iter()
                .filter_map(|(name, field)| Some((named.get(name)?, field)))
                .all(|(it, field)| self.within(it, field, depth)),
            ("patternProperties", Value::Object(named), Value::Object(fields)) => {
                named.values().all(|it| fields.values().all(|field| self.within(it, field, depth)))
            }
            ("additionalProperties" | "unevaluatedProperties", _, Value::Object(fields)) => {
                fields.values().all(|field| self.within(inner, field, depth))
            }
            ("propertyNames", _, Value::Object(fields)) => fields.values().all(|_| self.within(inner, &Value::Null, depth)),
            ("prefixItems", Value::Array(list), Value::Array(items)) => {
                list.iter().zip(items).all(|(it, item)| self.within(it, item, depth))
            }
            ("items" | "contains" | "unevaluatedItems", _, Value::Array(items)) => {
                items.iter().all(|item| self.within(inner, item, depth))
            }
            ("$ref" | "$dynamicRef", Value::String(to), _) => {
                // `true` and `false` take no step.
                let find = || self.names.targets(to).into_iter().filter(|target| target.is_object()).collect();
                let targets = self.targets.entry(to).or_insert_with(find).clone();
                targets.into_iter().all(|target| self.referred(target, value, depth))
            }
            _ => true,
        })
    }

    fn referred(&mut self, target: &'a Value, value: &Value, depth: usize) -> bool {
        let (key, at) = (std::ptr::from_ref(target).addr(), std::ptr::from_ref(value).addr());
        let open = self.open.entry(key).or_default();
        if open.contains(&at) {
            return true;
        }
        if !open.is_empty() {
            self.recursive.insert(key);
        }
        open.push(at);
        let is_known = self.remembers && !self.seen.insert((key, at)) && self.recursive.contains(&key);
        let is_within = is_known || self.within(target, value, depth);
        if let Some(open) = self.open.get_mut(&key) {
            open.pop();
        }
        is_within
    }
}
