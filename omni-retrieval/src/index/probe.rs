//! The search of a large index: the nearest clusters are probed by their 1-bit codes, the best estimates rescored by rows.
//!
//! One thread does it all, in microseconds; what runs in parallel are queries. The order of work is fixed by integers and
//! plain products, so the answer is the same on every CPU.

use std::cmp::Reverse;

use super::allowed::Allowed;
use super::cluster::{Cluster, GROUP, Heads};
use super::code::{self, Table};
use super::format::f32_at;
use super::kernels::{Scan, prefetch};
use super::plan::Setting;
use super::quantised::{Quantised, score};
use super::section::Section;
use super::top::{Scored, Top};
use super::tune::NEIGHBOURS;
use super::vectors::{ROWS_AHEAD, Vectors};
use crate::error::Result;

/// A query on its way through the clusters.
pub(super) struct Probe<'a> {
    vectors: &'a Vectors<'a>,
    query: &'a Quantised,
    table: Table,
}

/// A row that may be among the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    estimate: Reverse<i16>,
    /// Which of the probed clusters.
    probe: u32,
    row: u32,
}

/// The middle of a cluster as a query sees it.
#[derive(Debug, Clone, Copy)]
struct Middle {
    /// Of its cluster.
    number: u32,
    /// The cosine of its direction with the query, in units of an estimate.
    cosine: i16,
    /// What every estimate of the cluster begins with.
    base: i16,
}

/// A cluster that is probed.
#[derive(Debug, Clone, Copy)]
struct Opened<'a> {
    cluster: Cluster,
    groups: &'a [u8],
    heads: Heads<'a>,
}

/// The best estimates so far, and what they mean for those that are still to come.
struct Best {
    /// As many as the setting holds for: they say how far is probed.
    sure: Top<i16>,
    /// As many as are wanted: they say what is a candidate.
    all: Top<i16>,
    /// Estimates below it cannot be wrong by enough.
    bar: i16,
    margin: i16,
    reach: i16,
    candidates: Vec<Candidate>,
}

impl Best {
    /// Whether a cluster is probed: the farther its middle, the less likely it has what is better than the k-th best.
    fn is_near(&self, middle: &Middle) -> bool {
        !self.all.is_full() || middle.cosine.saturating_add(self.reach) >= worst(&self.sure)
    }

    fn offer(&mut self, candidate: Candidate) {
        let Reverse(estimate) = candidate.estimate;
        self.candidates.push(candidate);
        self.sure.push(estimate);
        self.all.push(estimate);
        self.bar = worst(&self.all).saturating_sub(self.margin);
    }
}

impl<'a> Probe<'a> {
    /// Prepares a query.
    pub(super) fn new(vectors: &'a Vectors<'a>, query: &'a Quantised) -> Self {
        let mut rotated: Vec<f32> = query.row.iter().map(|&value| f32::from(value) * query.scale).collect();
        vectors.rotation.apply(&mut rotated);
        Self { vectors, query, table: Table::new(&rotated) }
    }

    /// The best `limit` of the allowed chunks, of which there are `matching`, in the nearest clusters; the first `sure` of them, not more
    /// than `limit`, are found as the setting says. None if there are fewer there and more elsewhere.
    pub(super) fn nearest(
        &self,
        allowed: &Allowed,
        matching: usize,
        limit: usize,
        sure: usize,
        setting: Setting,
    ) -> Result<Option<Vec<Scored>>> {
        let chunks = self.vectors.view.superblock().chunks;
        let (wanted, sure) = (matching.min(limit), matching.min(sure));
        // The best ten of a tenth are about the best hundred of all.
        let deep = (sure as f32 * chunks as f32 / matching.max(1) as f32 / NEIGHBOURS as f32).max(1.0);
        // The fourth root, of square roots: those are the same on every machine.
        let probes = (setting.probes as f32 * deep.sqrt().sqrt()) as u32;
        let mut best = Best {
            sure: Top::new(sure),
            all: Top::new(wanted),
            bar: i16::MIN,
            margin: setting.margin.min(i16::MAX as u32) as i16,
            reach: if setting.reach == 0 { i16::MAX } else { setting.reach.min(i16::MAX as u32) as i16 },
            candidates: Vec::new(),
        };
        let middles = self.middles(probes as usize)?;
        let mut clusters: Vec<Opened<'_>> = Vec::with_capacity(middles.len());
        let (mut estimates, mut reached) = (Vec::new(), Vec::new());
        for (number, middle) in middles.iter().enumerate() {
            if !best.is_near(middle) {
                break;
            }
            if number.is_power_of_two() || number == 0 {
                // As many again are asked for before the first of them is waited for.
                self.ask_ahead(&middles[number..middles.len().min(number + number.max(1))], &best)?;
            }
            if clusters.len() == number {
                clusters.push(self.open(middle.number)?);
            }
            if let Some(next) = middles.get(number + 1).filter(|next| best.is_near(next)) {
                clusters.push(self.open(next.number)?);
            }
            let opened = clusters[number];
            let groups = (opened.cluster.rows as usize).div_ceil(GROUP);
            estimates.resize(groups, [0; GROUP]);
            reached.resize(groups, 0);
            let next = clusters.get(number + 1).map_or(&[][..], |next| next.groups);
            let scan = Scan { table: &self.table, base: middle.base, bar: best.bar, next };
            self.vectors.kernel.scan(&scan, opened.groups, &mut estimates, &mut reached);
            for (group, (estimates, &reached)) in (0..).zip(estimates.iter().zip(&reached)) {
                let mut rest = reached;
                while rest != 0 {
                    let at = rest.trailing_zeros();
                    rest &= rest - 1;
                    let (row, estimate) = (group * GROUP as u32 + at, estimates[at as usize]);
                    if estimate >= best.bar && row < opened.cluster.rows && allowed.permits(|| opened.heads.chunk(row)) {
                        best.offer(Candidate { estimate: Reverse(estimate), probe: number as u32, row });
                    }
                }
            }
        }
        let Best { mut candidates, bar, margin, .. } = best;
        candidates.retain(|candidate| candidate.estimate.0 >= bar);
        if candidates.len() < wanted {
            return Ok(None);
        }
        candidates.sort_unstable();
        self.rescore(&candidates, &clusters, wanted, margin).map(Some)
    }

    /// Asks for the clusters of these middles, as far as they are near, without waiting.
    fn ask_ahead(&self, middles: &[Middle], best: &Best) -> Result<()> {
        for middle in middles.iter().take_while(|middle| best.is_near(middle)) {
            let (section, start, length) = self.vectors.cluster(middle.number)?.head();
            self.vectors.view.will_need(section, start, length);
        }
        Ok(())
    }

    fn open(&self, number: u32) -> Result<Opened<'a>> {
        let (view, cluster) = (self.vectors.view, self.vectors.cluster(number)?);
        Ok(Opened { groups: cluster.groups(view)?, heads: cluster.heads(view)?, cluster })
    }

    /// The nearest middles, nearest first.
    fn middles(&self, count: usize) -> Result<Vec<Middle>> {
        let (view, stride) = (self.vectors.view, self.vectors.layout.stride);
        let clusters = self.vectors.plan.clusters as usize;
        let centroids = view.section(Section::Centroids)?;
        if centroids.len() != clusters * (stride + 8) {
            return Err(view.inconsistent(Section::Centroids));
        }
        let (rows, floats) = centroids.split_at(clusters * stride);
        let mut dots = vec![0; clusters];
        self.vectors.kernel.dots(&self.query.row, rows, &mut dots);
        let scored = |(number, &dot): (u32, &i32)| (score(dot, f32_at(floats, number as usize * 4), self.query), number);
        let mut scored: Vec<(f32, u32)> = (0..).zip(&dots).map(scored).collect();
        let nearer = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if count < scored.len() {
            scored.select_nth_unstable_by(count, nearer);
            scored.truncate(count);
        }
        scored.sort_unstable_by(nearer);
        let middle = |(cosine, number): (f32, u32)| Middle {
            number,
            cosine: code::units(cosine),
            base: code::units(cosine * f32_at(floats, (clusters + number as usize) * 4)),
        };
        Ok(scored.into_iter().map(middle).collect())
    }

    /// Exact cosines, best estimates first, until no estimate can be wrong by enough.
    fn rescore(&self, candidates: &[Candidate], clusters: &[Opened<'_>], limit: usize, margin: i16) -> Result<Vec<Scored>> {
        let view = self.vectors.view;
        let row = |candidate: &Candidate| clusters[candidate.probe as usize].cluster.rows(view, candidate.row, 1);
        let mut top = Top::<Scored>::new(limit);
        for candidate in candidates.iter().take(ROWS_AHEAD) {
            prefetch(row(candidate)?);
        }
        for (number, candidate) in candidates.iter().enumerate() {
            if let Some(next) = candidates.get(number + ROWS_AHEAD) {
                prefetch(row(next)?);
            }
            if let Some(worst) = top.worst()
                && candidate.estimate.0.saturating_add(margin) < code::units(worst.score)
            {
                break;
            }
            let heads = clusters[candidate.probe as usize].heads;
            let chunk = heads.chunk(candidate.row);
            if chunk >= view.superblock().chunks {
                return Err(view.inconsistent(Section::Blocks));
            }
            let mut dot = [0];
            self.vectors.kernel.dots(&self.query.row, row(candidate)?, &mut dot);
            top.push(Scored { score: score(dot[0], heads.scale(candidate.row), self.query), chunk });
        }
        Ok(top.into_sorted())
    }
}

/// The k-th best estimate; the least there is while there are fewer.
fn worst(best: &Top<i16>) -> i16 {
    best.worst().copied().unwrap_or(i16::MIN)
}
