//! The vectors of a file: where each lies, and their exact cosines with a query.

use rayon::prelude::*;

use super::allowed::Allowed;
use super::cluster::{Cluster, Heads, Layout};
use super::format::u32_at;
use super::kernels::prefetch;
use super::plan::Plan;
use super::quantised::{Quantised, score};
use super::rotation::Rotation;
use super::section::Section;
use super::top::{Scored, Top};
use super::view::View;
use crate::cpu::Kernel;
use crate::error::Result;

/// Rows of one call of a kernel; 48 KiB at 384 dimensions, so that they stay in the cache between checksum and product.
const BATCH: u32 = 128;

/// Below this many rows one core is faster than waking the others.
const PARALLEL_ROWS: usize = 50_000;

/// A filter that leaves at most one vector of this many is answered by looking those up, one by one.
const SPARSE: usize = 32;

/// Rows that are asked for before they are needed.
pub(super) const ROWS_AHEAD: usize = 6;

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
    pub(super) fn scan(&self, query: &Quantised, allowed: &Allowed, matching: usize, limit: usize) -> Result<Top<Scored>> {
        let chunks = self.view.superblock().chunks as usize;
        if let Allowed::Only(bits) = allowed
            && matching < chunks / SPARSE
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
    fn scan_scattered(&self, query: &Quantised, chunks: impl Iterator<Item = u32>, limit: usize) -> Result<Top<Scored>> {
        let mut places: Vec<(u32, u32)> = chunks.map(|chunk| Ok((self.place(chunk)?, chunk))).collect::<Result<_>>()?;
        places.sort_unstable();
        let found: Vec<Found<'_>> = places.iter().map(|&(place, chunk)| self.at(place, chunk)).collect::<Result<_>>()?;
        let mut top = Top::new(limit);
        for (number, (one, &(_, chunk))) in found.iter().zip(&places).enumerate() {
            if let Some(next) = found.get(number + ROWS_AHEAD) {
                prefetch(next.values(self.view)?);
            }
            top.push(Scored { score: self.score_of(query, one)?, chunk });
        }
        Ok(top)
    }

    /// Scores the allowed rows of one cluster.
    pub(super) fn scan_cluster(
        &self,
        query: &Quantised,
        allowed: &Allowed,
        number: u32,
        mut top: Top<Scored>,
    ) -> Result<Top<Scored>> {
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
                    top.push(Scored { score: score(dot, heads.scale(row), query), chunk });
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
