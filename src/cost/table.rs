//! The table of prices: its JSON, and which row is a model's.

use std::collections::BTreeMap;
use std::iter::successors;

use serde::Deserialize;

use super::Day;
use crate::error::{Error, Result};

/// Our table, and the operator's over it.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By provider, then by name.
    rows: BTreeMap<String, BTreeMap<String, Row>>,
    table: Table,
}

impl Book {
    /// `table`, whose rows win over those taken before.
    pub(super) fn add(&mut self, mut table: Table) {
        for row in std::mem::take(&mut table.models) {
            let rows = self.rows.entry(row.provider.clone()).or_default();
            for name in row.names.iter().chain([&row.model]) {
                rows.insert(name.clone(), row.clone());
            }
        }
        self.table.regions.splice(0..0, table.regions);
        self.table.resold.splice(0..0, table.resold);
        self.table.retired.splice(0..0, table.retired);
    }

    /// The row of a model, and what its region costs on top.
    pub(super) fn row(&self, provider: &str, model: &str) -> Option<(&Row, f64)> {
        let (mut model, mut factor) = (model.rsplit_once("inference-profile/").map_or(model, |it| it.1), 1.0);
        // A price of the region's own goes before what regions cost on top.
        if let Some(row) = self.own(provider, model) {
            return Some((row, 1.0));
        }
        if let Some(region) = self.table.regions.iter().find(|it| it.provider == provider && model.starts_with(&it.prefix)) {
            (model, factor) = (&model[region.prefix.len()..], region.factor);
        }
        let row = self.own(provider, model).or_else(|| {
            let resold = self.table.resold.iter().find(|it| it.provider == provider && model.starts_with(&it.prefix))?;
            self.own(&resold.r#as, &model[resold.prefix.len()..])
        });
        row.map(|row| (row, factor))
    }

    /// The row that has the provider's own name.
    fn own(&self, provider: &str, model: &str) -> Option<&Row> {
        let rows = self.rows.get(provider)?;
        names(model).find_map(|name| rows.get(name))
    }

    /// What is known of a model that has ended or will end: the day from which its provider refuses it, if that is known.
    pub(super) fn retired(&self, provider: &str, model: &str) -> Option<&Retired> {
        let known = |row: &&Retired| row.provider == provider && names(model).any(|name| row.models.iter().any(|it| it == name));
        self.table.retired.iter().find(known)
    }
}

impl Table {
    /// Reads a table; `name` is what errors call it.
    ///
    /// # Errors
    /// The text is no price table.
    pub(super) fn read(text: &str, name: &str) -> Result<Self> {
        let table: Self =
            serde_json::from_str(text).map_err(|cause| Error::bad_request(format!("{name}: no price table: {cause}")))?;
        for row in &table.models {
            let prices = [Some(row.input), Some(row.output), row.cache_read, row.cache_write, row.cache_write_1h];
            if prices.into_iter().flatten().any(|price| !price.is_finite() || price < 0.0) {
                return Err(Error::bad_request(format!("prices: `{}`: a price is negative or no number", row.model)));
            }
        }
        Ok(table)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    #[serde(rename = "as_of")]
    _as_of: String,
    #[serde(rename = "unit")]
    _unit: String,
    #[serde(rename = "source")]
    _source: String,
    models: Vec<Row>,
    regions: Vec<Region>,
    resold: Vec<Resold>,
    retired: Vec<Retired>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) provider: String,
    pub(super) model: String,
    #[serde(default)]
    pub(super) names: Vec<String>,
    pub(super) input: f64,
    pub(super) output: f64,
    pub(super) cache_read: Option<f64>,
    pub(super) cache_write: Option<f64>,
    pub(super) cache_write_1h: Option<f64>,
    /// What a batch costs of the full price: for the reader of the file. Nothing here is sent as one.
    #[serde(rename = "batch_factor")]
    _batch_factor: Option<f64>,
    #[serde(default)]
    pub(super) tiers: Vec<Tier>,
    #[serde(default)]
    pub(super) earlier: Vec<Earlier>,
}

/// Prices of requests whose prompt, cached tokens included, is at least so long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tier {
    pub(super) from_prompt_tokens: u64,
    pub(super) input_factor: Option<f64>,
    pub(super) input: Option<f64>,
    pub(super) output: Option<f64>,
    pub(super) cache_read: Option<f64>,
    pub(super) cache_write: Option<f64>,
    pub(super) cache_write_1h: Option<f64>,
}

/// Prices before a day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Earlier {
    pub(super) until: Day,
    pub(super) input: Option<f64>,
    pub(super) output: Option<f64>,
    pub(super) cache_read: Option<f64>,
    pub(super) cache_write: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    provider: String,
    prefix: String,
    factor: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resold {
    provider: String,
    prefix: String,
    r#as: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retired {
    pub(super) provider: String,
    pub(super) models: Vec<String>,
    /// The day from which the provider refuses it; none where it is gone already.
    pub(super) day: Option<Day>,
}

/// The names that a model may have in the table, likeliest first: providers add owners, versions and dates.
fn names(model: &str) -> impl Iterator<Item = &str> {
    let model = model.rsplit_once("models/").map_or(model, |it| it.1);
    let model = model.split('@').next().unwrap_or(model);
    let unowned = model.rsplit_once('/').map(|it| it.1);
    let amazons = unowned.unwrap_or(model).strip_prefix("amazon.");
    [Some(model), unowned, amazons].into_iter().flatten().flat_map(|name| successors(Some(name), |name| shorter(name)))
}

/// A name without the last thing that may have been added to it.
fn shorter(name: &str) -> Option<&str> {
    // As in `nova-lite-v1:0`.
    let head = name.rsplit_once(':').map(|it| it.0);
    let head = head.or_else(|| {
        let (head, version) = name.rsplit_once("-v")?;
        (version.len() == 1 && (head.contains("nova") || head.contains("claude"))).then_some(head)
    });
    let head = head.or_else(|| name.strip_suffix("-latest"));
    // As in `-20260115` and `-2026-01-15`.
    let dated = |length: usize| {
        let (head, date) = name.split_at_checked(name.len().checked_sub(length)?)?;
        let is_date = date.starts_with("-20") && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        is_date.then_some(head)
    };
    let head = head.or_else(|| dated(9)).or_else(|| dated(11));
    head.filter(|head| !head.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_without_what_providers_add() {
        let all = |model: &'static str| names(model).collect::<Vec<_>>();
        assert_eq!(all("gpt-5.4"), ["gpt-5.4"]);
        assert_eq!(all("gpt-5.4-2026-03-20"), ["gpt-5.4-2026-03-20", "gpt-5.4"]);
        assert_eq!(all("publishers/google/models/x-latest"), ["x-latest", "x"]);
        assert_eq!(all("claude-sonnet-4-5@20250929"), ["claude-sonnet-4-5"]);
        assert_eq!(all("owner/x-20260115"), ["owner/x-20260115", "owner/x", "x-20260115", "x"]);
        assert_eq!(
            all("amazon.nova-lite-v1:0"),
            ["amazon.nova-lite-v1:0", "amazon.nova-lite-v1", "amazon.nova-lite", "nova-lite-v1:0", "nova-lite-v1", "nova-lite"]
        );
        assert_eq!(all("claude-x-20251001-v1:0").last(), Some(&"claude-x"));
        // No date: too long, too short, or with letters.
        for name in ["m-2026", "m-20260115x", "m-2026-01-155"] {
            assert_eq!(all(name), [name]);
        }
        assert_eq!(all(""), [""]);
        assert_eq!(all("-latest"), ["-latest"]);
    }

    #[test]
    fn a_name_made_of_nothing_else_is_looked_for_a_bounded_number_of_times() {
        let name = format!("{}{}", "amazon.".repeat(100), "-latest".repeat(100));
        assert_eq!(names(&name).count(), 202);
    }
}
