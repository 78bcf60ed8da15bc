//! Figures of a bench, printed as they come and kept in `target/figures/<bench>.json`, from which tables are made.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The figures of one bench.
pub(crate) struct Figures {
    bench: &'static str,
    list: Vec<Figure>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
    /// Who was measured: `false` for ourselves, otherwise the name of the peer.
    peer: serde_json::Value,
    command: String,
}

impl Figures {
    /// Of the bench `cargo bench --bench <bench>`.
    pub(crate) fn new(bench: &'static str) -> Self {
        Self { bench, list: Vec::new() }
    }

    /// Notes one figure; `peer` is whose it is, if it is not ours.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, peer: Option<&str>) {
        let name = name.into();
        eprintln!("{:<10} {name:<44} {value:>12.3} {unit}", peer.unwrap_or("ours"));
        let peer = peer.map_or(false.into(), Into::into);
        self.list.push(Figure {
            name,
            value,
            unit: unit.to_owned(),
            peer,
            command: format!("cargo bench --bench {}", self.bench),
        });
    }

    /// Notes the median and the 99th percentile of `times`.
    pub(crate) fn add_times(&mut self, name: &str, mut times: Vec<Duration>, peer: Option<&str>) {
        times.sort_unstable();
        for (percent, label) in [(50, "p50"), (99, "p99")] {
            let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            let value = times.get(at).copied().unwrap_or_default().as_secs_f64() * 1e6;
            self.add(format!("{name}, {label}"), value, "us", peer);
        }
    }

    /// Writes the file. Figures of peers that this run did not measure stay in it.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/figures");
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.bench));
        let mut all: Vec<Figure> =
            std::fs::read(&path).ok().and_then(|old| serde_json::from_slice(&old).ok()).unwrap_or_default();
        all.retain(|old| !self.list.iter().any(|new| new.peer == old.peer));
        all.extend_from_slice(&self.list);
        std::fs::write(&path, serde_json::to_vec_pretty(&all)?)?;
        eprintln!("figures written to {}", path.display());
        Ok(())
    }
}
