//! How much a search has to spend, found by trying: once, when a file is built, on vectors of its own.
//!
//! Each query is a vector of the index; what counts are its ten nearest others by the exact scan. So a setting says what
//! recall it reached on this very content, and the caller chooses between settings, not between numbers.

use rayon::prelude::*;

use super::allowed::Allowed;
use super::format::first;
use super::plan::{Plan, Setting};
use super::probe::Probe;
use super::quantised::Quantised;
use super::top::Top;
use super::vectors::Vectors;
use crate::error::Result;

/// Queries: vectors of the index.
const QUERIES: usize = 1000;
/// Neighbours of each that count.
pub(super) const NEIGHBOURS: usize = 10;
/// Hits of each query: its neighbours and itself. A search for fewer takes the first of as many: searching for fewer alone would
/// miss more of them.
pub(super) const TUNED: usize = NEIGHBOURS + 1;
/// Recall@10 of `Recall::Fast` and of `Recall::Balanced` on the sample. A little above the .95 and .99 that are promised:
/// rounding to integers costs the exact scan itself .7 of 100, and questions are not quite like what they ask for.
const TARGETS: [f32; 2] = [0.9635, 0.996];
/// Cumulative shares of the allowed loss of recall: after capping probes, after skipping far clusters, after skipping low estimates.
const LOST: [f32; 3] = [0.5, 0.75, 1.0];
/// A margin that loses nothing: six times what an estimate is usually wrong by, at 384 components.
const WIDE: u32 = 1500;
/// A cosine that separates nothing that is alike.
const FAR: u32 = 8000;
/// Margins and reaches are multiples of this.
const STEP: u32 = 25;

/// The plan with its settings, the cheapest that reach the targets.
pub(super) fn tune(vectors: &Vectors<'_>) -> Result<Plan> {
    let sample = Sample::of(vectors)?;
    let mut settings = [Setting::default(); TARGETS.len()];
    for (setting, target) in settings.iter_mut().zip(TARGETS) {
        let recall = |probes, reach, margin| sample.recall(vectors, Setting { probes, reach, margin, recall: 0.0 });
        // The least that reaches each; where nothing does, the most that there is.
        let [capped, skipped, cut] = LOST.map(|lost| 1.0 - (1.0 - target) * lost);
        let probes = first(1..vectors.plan.clusters, |probes| Ok(recall(probes, FAR, WIDE)? < capped))?;
        let reach = STEP * first(1..FAR / STEP, |steps| Ok(recall(probes, steps * STEP, WIDE)? < skipped))?;
        let margin = STEP * first(1..WIDE / STEP, |steps| Ok(recall(probes, reach, steps * STEP)? < cut))?;
        *setting = Setting { probes, reach, margin, recall: recall(probes, reach, margin)? };
    }
    Ok(Plan { fast: settings[0], balanced: settings[1], ..vectors.plan })
}

/// Queries and what an exact scan finds.
struct Sample {
    queries: Vec<(u32, Quantised)>,
    nearest: Vec<Vec<u32>>,
}

impl Sample {
    fn of(vectors: &Vectors<'_>) -> Result<Self> {
        let chunks = vectors.view.superblock().chunks;
        let step = (chunks as usize).div_ceil(QUERIES).max(1);
        let query = |chunk| Ok((chunk, vectors.vector(chunk)?));
        let queries: Vec<(u32, Quantised)> = (0..chunks).step_by(step).map(query).collect::<Result<_>>()?;
        let exact = |(chunk, query): &(u32, Quantised)| {
            // Without help from other threads, which have queries of their own.
            let one = |top, number| vectors.scan_cluster(query, &Allowed::All, number, top);
            let found = (0..vectors.plan.clusters).try_fold(Top::new(TUNED), one)?.into_sorted();
            Ok(found.into_iter().map(|scored| scored.chunk).filter(|other| other != chunk).take(NEIGHBOURS).collect())
        };
        let nearest = queries.par_iter().map(exact).collect::<Result<_>>()?;
        Ok(Self { queries, nearest })
    }

    fn recall(&self, vectors: &Vectors<'_>, setting: Setting) -> Result<f32> {
        let chunks = vectors.view.superblock().chunks as usize;
        let found = |((chunk, query), nearest): (&(u32, Quantised), &Vec<u32>)| -> Result<usize> {
            let found = Probe::new(vectors, query).nearest(&Allowed::All, chunks, TUNED, TUNED, setting)?.unwrap_or_default();
            Ok(found.iter().filter(|scored| scored.chunk != *chunk && nearest.contains(&scored.chunk)).count())
        };
        let found: Result<usize> = self.queries.par_iter().zip(&self.nearest).map(found).sum();
        let wanted: usize = self.nearest.iter().map(Vec::len).sum();
        Ok(found? as f32 / wanted.max(1) as f32)
    }
}
