//! Vectors as rows of `i8`, and how the best of them are found.
//!
//! A vector is divided by its largest magnitude, times 127, rounded to the nearest integer (ties to even); its scale is
//! one by the length of *that integer row*. So `scale * scale * dot` is the exact cosine of the two quantised vectors:
//! between -1 and 1, and 1 for a vector with itself. Queries are quantised the same way, which makes ranking integer
//! work that is equal on every CPU.

use rayon::prelude::*;

use super::Recall;
use super::allowed::Allowed;
use super::cluster::{Cluster, Heads, Layout};
use super::code::round;
use super::format::{ROW_ALIGNMENT, u32_at};
use super::plan::{Plan, Setting};
use super::probe::Probe;
use super::rotation::Rotation;
use super::section::Section;
use super::top::{Scored, Top};
use super::tune::TUNED;
use super::view::View;
use crate::cpu::Kernel;
use crate::error::Result;

/// Rows of one call of a kernel; 48 KiB at 384 dimensions, so that they stay in the cache between checksum and product.
const BATCH: u32 = 128;

/// Below this many rows one core is faster than waking the others.
const PARALLEL_ROWS: usize = 50_000;

/// A filter that leaves one vector in so many is answered by looking those up, one by one.
const SCATTERED: usize = 32;

/// So few that a filter leaves are scored one by one sooner than by probing, which would have to go far to find ten of them.
const FEW: usize = 500;

/// Rows that are asked for before they are needed.
pub(super) const AHEAD: usize = 6;

/// Times as many clusters are probed before all vectors are scored.
const WIDER: u32 = 4;

/// A vector as integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantised {
    /// Padded with zeros to a multiple of [`ROW_ALIGNMENT`].
    pub(super) row: Vec<i8>,
    /// One by the length of `row`; 0 for a vector of zeros.
    pub(super) scale: f32,
}

/// Rounds a vector to integers.
pub(super) fn quantise(vector: &[f32]) -> Quantised {
    let max = vector.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let mut row: Vec<i8> = Vec::with_capacity(vector.len().next_multiple_of(ROW_ALIGNMENT));
    // Dividing first keeps the tiniest vectors (subnormal `max`) finite.
    row.extend(vector.iter().map(|value| if max > 0.0 { round(value / max * 127.0) as i8 } else { 0 }));
    row.resize(vector.len().next_multiple_of(ROW_ALIGNMENT), 0);
    let square: u64 = row.iter().map(|&value| u64::from(value.unsigned_abs()).pow(2)).sum();
    let scale = if square > 0 { 1.0 / (square as f64).sqrt() } else { 0.0 };
    Quantised { row, scale: scale as f32 }
}

/// The vectors of a file.
#[derive(Clone, Copy)]
pub(super) struct Vectors<'a> {
    pub(super) view: &'a View,
    pub(super) kernel: Kernel,
    pub(super) plan: Plan,
    pub(super) layout: Layout,
    pub(super) rotation: &'a Rotation,
    directory: &'a [u8],
}

impl<'a> Vectors<'a> {
    /// Reads how they are searched.
    pub(super) fn of(view: &'a View, kernel: Kernel, rotation: &'a Rotation) -> Result<Self> {
        let plan = Plan::of(view)?;
        let layout = Layout::of(view, plan.coded);
        let directory = view.section(Section::Clusters)?;
        Ok(Self { view, kernel, plan, layout, rotation, directory })
    }

    /// Up to `limit` of the `allowed` chunks, best first. The recall asked for holds for the first `sure`; the others are the best
    /// among the same candidates.
    ///
    /// What is not allowed is neither scored nor counted.
    pub(super) fn nearest(
        &self,
        query: &Quantised,
        allowed: &Allowed,
        limit: usize,
        sure: usize,
        recall: Recall,
    ) -> Result<Vec<Scored>> {
        let matching = allowed.count(self.view.superblock().chunks);
        if matching.min(limit) == 0 {
            return Ok(Vec::new());
        }
        let setting = match recall {
            Recall::Fast => self.plan.fast,
            Recall::Balanced => self.plan.balanced,
            Recall::Exact => Setting::default(),
        };
        let few = matches!(allowed, Allowed::Only(_)) && matching <= FEW;
        if setting.probes > 0 && self.plan.coded && !few {
            // Where a filter leaves too little in the nearest clusters, some more are still far less than all.
            for wider in [1, WIDER] {
                let setting = Setting { probes: setting.probes.saturating_mul(wider), ..setting };
                if let Some(mut found) = self.probe(query, allowed, limit.max(TUNED), sure.max(TUNED), setting)? {
                    found.truncate(limit);
                    return Ok(found);
                }
            }
        }
        Ok(self.scan(query, allowed, matching, limit)?.into_sorted())
    }

    /// Whether a search with this recall may miss what is near.
    pub(super) fn may_miss(&self, recall: Recall) -> bool {
        self.plan.coded && recall != Recall::Exact
    }

    /// The best `limit` of the nearest clusters, the first `sure` as the setting says; none if there are fewer there and more elsewhere.
    pub(super) fn probe(
        &self,
        query: &Quantised,
        allowed: &Allowed,
        limit: usize,
        sure: usize,
        setting: Setting,
    ) -> Result<Option<Vec<Scored>>> {
        Probe::new(self, query).nearest(allowed, limit, sure, setting)
    }

    /// The best `limit` of all, found without help from other threads.
    pub(super) fn scan_alone(&self, query: &Quantised, limit: usize) -> Result<Vec<Scored>> {
        let one = |top, number| self.scan_cluster(query, &Allowed::All, number, top);
        (0..self.plan.clusters).try_fold(Top::new(limit), one).map(Top::into_sorted)
    }

    /// The vector of a chunk.
    pub(super) fn vector(&self, chunk: u32) -> Result<Quantised> {
        let found = self.find(chunk)?;
        let values = found.values(self.view)?;
        // The builder makes no -128, and the kernels count on that for queries; a file that has one is not ours.
        let row_values = bytemuck::cast_slice::<u8, i8>(values).iter().map(|&value| value.max(-i8::MAX)).collect();
        Ok(Quantised { row: row_values, scale: found.heads.scale(found.row) })
    }

    /// The cosines of `chunks`, in their order.
    pub(super) fn cosines(&self, query: &Quantised, chunks: &[u32]) -> Result<Vec<f32>> {
        chunks.iter().map(|&chunk| self.score_of(query, &self.find(chunk)?)).collect()
    }

    /// A vector as it was before it was rounded, nearly, and of length one.
    pub(super) fn unit(&self, chunk: u32) -> Result<Vec<f32>> {
        let Quantised { row, scale } = self.vector(chunk)?;
        let dimensions = self.view.superblock().dimensions as usize;
        Ok(row.into_iter().take(dimensions).map(|value| f32::from(value) * scale).collect())
    }

    /// Scores every allowed row.
    fn scan(&self, query: &Quantised, allowed: &Allowed, matching: usize, limit: usize) -> Result<Top> {
        let chunks = self.view.superblock().chunks as usize;
        if let Allowed::Only(bits) = allowed
            && matching < chunks / SCATTERED
        {
            return self.scan_scattered(query, bits.iter(), limit);
        }
        let start = || Top::new(limit);
        let one = |top, number| self.scan_cluster(query, allowed, number, top);
        if matching < PARALLEL_ROWS {
            return (0..self.plan.clusters).try_fold(start(), one);
        }
        let scanned = (0..self.plan.clusters).into_par_iter().try_fold(start, one);
        scanned.try_reduce(start, |left, right| Ok(left.merge(right)))
    }

    /// Scores the rows of some chunks, in the order in which they lie.
    fn scan_scattered(&self, query: &Quantised, chunks: impl Iterator<Item = u32>, limit: usize) -> Result<Top> {
        let mut places: Vec<(u32, u32)> = chunks.map(|chunk| Ok((self.place(chunk)?, chunk))).collect::<Result<_>>()?;
        places.sort_unstable();
        let found: Vec<Found<'_>> = places.iter().map(|&(place, chunk)| self.at(place, chunk)).collect::<Result<_>>()?;
        let mut top = Top::new(limit);
        for (number, (one, &(_, chunk))) in found.iter().zip(&places).enumerate() {
            if let Some(next) = found.get(number + AHEAD) {
                self.kernel.prefetch(next.values(self.view)?);
            }
            top.push(self.score_of(query, one)?, chunk);
        }
        Ok(top)
    }

    fn scan_cluster(&self, query: &Quantised, allowed: &Allowed, number: u32, mut top: Top) -> Result<Top> {
        let cluster = self.cluster(number)?;
        for (section, start, length) in [cluster.head(), cluster.extent(0, cluster.rows)] {
            self.view.will_need(section, start, length);
        }
        let heads = cluster.heads(self.view)?;
        let mut dots = [0; BATCH as usize];
        for start in (0..cluster.rows).step_by(BATCH as usize) {
            let count = (cluster.rows - start).min(BATCH);
            let dots = &mut dots[..count as usize];
            self.kernel.dots(&query.row, cluster.rows(self.view, start, count)?, dots);
            for (row, &dot) in (start..).zip(dots.iter()) {
                let chunk = heads.chunk(row);
                if chunk >= self.view.superblock().chunks {
                    return Err(self.view.inconsistent(Section::Blocks));
                }
                if allowed.contains(chunk) {
                    top.push(score(dot, heads.scale(row), query), chunk);
                }
            }
        }
        Ok(top)
    }

    fn score_of(&self, query: &Quantised, found: &Found<'_>) -> Result<f32> {
        let mut dot = [0];
        self.kernel.dots(&query.row, found.values(self.view)?, &mut dot);
        Ok(score(dot[0], found.heads.scale(found.row), query))
    }

    /// Refuses a file in which a chunk has no vector, or that of another.
    pub(super) fn require_all(&self) -> Result<()> {
        (0..self.view.superblock().chunks).into_par_iter().try_for_each(|chunk| self.find(chunk).map(drop))
    }

    /// The vector of a chunk.
    fn find(&self, chunk: u32) -> Result<Found<'a>> {
        self.at(self.place(chunk)?, chunk)
    }

    /// Which of all vectors a chunk's is.
    fn place(&self, chunk: u32) -> Result<u32> {
        Ok(u32_at(self.view.bytes(Section::Places, u64::from(chunk) * 4, 4)?, 0))
    }

    /// The vector at a place, which must be that of `chunk`.
    fn at(&self, place: u32, chunk: u32) -> Result<Found<'a>> {
        let cluster = Cluster::holding(self.view, self.directory, self.layout, place)?;
        let (row, heads) = (place - cluster.first, cluster.heads(self.view)?);
        if heads.chunk(row) != chunk {
            return Err(self.view.inconsistent(Section::Places));
        }
        Ok(Found { cluster, heads, row })
    }

    pub(super) fn cluster(&self, number: u32) -> Result<Cluster> {
        Cluster::of(self.view, self.directory, self.layout, number)
    }
}

/// Where a vector lies.
struct Found<'a> {
    cluster: Cluster,
    heads: Heads<'a>,
    row: u32,
}

impl Found<'_> {
    fn values<'a>(&self, view: &'a View) -> Result<&'a [u8]> {
        self.cluster.rows(view, self.row, 1)
    }
}

pub(super) fn score(dot: i32, scale: f32, query: &Quantised) -> f32 {
    let score = dot as f32 * scale * query.scale;
    // A forged scale must not bring a NaN into the order.
    if score.is_finite() { score.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantised_vector_keeps_its_direction(vector in proptest::collection::vec(-1.0_f32..1.0, 1..500)) {
            let quantised = quantise(&vector);
            prop_assert!(quantised.row.iter().all(|&value| value >= -127));
            let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
            prop_assume!(length > 1e-3);
            let dot: f32 = vector.iter().zip(&quantised.row).map(|(&v, &r)| v * f32::from(r)).sum();
            prop_assert!(dot * quantised.scale / length > 0.9999);
        }
    }

    #[test]
    fn odd_vectors_are_harmless() {
        assert_eq!(quantise(&[0.0; 384]).scale, 0.0);
        let tiny = quantise(&[f32::MIN_POSITIVE / 4.0, 0.0]);
        assert_eq!((tiny.row[0], tiny.scale), (127, 1.0 / 127.0));
        assert_eq!(quantise(&[f32::MAX, -f32::MAX]).row[..2], [127, -127]);
        // 63.5 is a tie: to even.
        assert_eq!(quantise(&[1.0, 0.5, -0.5]).row[..3], [127, 64, -64]);
    }
}
