//! The table of prices: its JSON, and which row is a model's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Day;
use crate::error::{Error, Result};

/// Our table, and the operator's over it.
#[derive(Debug, Default)]
pub(super) struct Book {
    rows: BTreeMap<(String, String), Row>,
    table: Table,
}

impl Book {
    /// `table`, whose rows win over those taken before.
    pub(super) fn add(&mut self, mut table: Table) {
        for row in std::mem::take(&mut table.models) {
            for name in row.names.iter().chain([&row.model]) {
                self.rows.insert((row.provider.clone(), name.clone()), row.clone());
            }
        }
        self.table.regions.splice(0..0, table.regions);
        self.table.resold.splice(0..0, table.resold);
        self.table.retired.splice(0..0, table.retired);
    }

    /// The row of a model, and what its region costs on top.
    pub(super) fn row(&self, provider: &str, model: &str) -> Option<(&Row, f64)> {
        let (mut provider, mut model, mut factor) =
            (provider, model.rsplit_once("inference-profile/").map_or(model, |it| it.1), 1.0);
        if let Some(region) = self.table.regions.iter().find(|it| it.provider == provider && model.starts_with(&it.prefix)) {
            (model, factor) = (&model[region.prefix.len()..], region.factor);
        }
        if let Some(resold) = self.table.resold.iter().find(|it| it.provider == provider && model.starts_with(&it.prefix)) {
            (provider, model) = (resold.r#as.as_str(), &model[resold.prefix.len()..]);
        }
        names(model).iter().find_map(|name| self.rows.get(&(provider.to_owned(), name.clone()))).map(|row| (row, factor))
    }

    /// What is known of a model that has ended or will end: the day from which its provider refuses it, if that is known.
    pub(super) fn retired(&self, provider: &str, model: &str) -> Option<&Retired> {
        let names = names(model);
        let known = |row: &&Retired| row.provider == provider && row.models.iter().any(|it| names.iter().any(|name| name == it));
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
    /// What a batch costs of the full price.
    pub(super) batch_factor: Option<f64>,
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

/// The names that a model may have in the table, likeliest first: providers add dates, versions and owners.
fn names(model: &str) -> Vec<String> {
    let model = model.rsplit_once("models/").map_or(model, |it| it.1);
    let model = model.split('@').next().unwrap_or(model);
    let mut names = vec![model.to_owned()];
    let add = |name: &str, names: &mut Vec<String>| {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    if let Some((_, name)) = model.rsplit_once('/') {
        add(name, &mut names);
    }
    for at in 0.. {
        let Some(name) = names.get(at).cloned() else { break };
        // As in `nova-lite-v1:0`.
        if let Some((head, _)) = name.rsplit_once(':') {
            add(head, &mut names);
        }
        if let Some((head, version)) = name.rsplit_once("-v")
            && version.len() == 1
            && name.len() > 4
            && head.contains("nova") | head.contains("claude")
        {
            add(head, &mut names);
        }
        if let Some(name) = name.strip_prefix("amazon.") {
            add(name, &mut names);
        }
        if let Some(name) = name.strip_suffix("-latest") {
            add(name, &mut names);
        }
        // As in `-20260115` and `-2026-01-15`.
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        for length in [9, 11] {
            if name.len() > length
                && name.is_char_boundary(name.len() - length)
                && name[name.len() - length..].starts_with("-20")
                && digits(&name[name.len() - length..])
            {
                add(&name[..name.len() - length], &mut names);
            }
        }
    }
    names
}
