//! One cluster of vectors in the file: codes first, then who they are, then the rows themselves, so that probing it is
//! one run of bytes.
//!
//! ```text
//! per group of 32 vectors   codes and factors (only in coded files, see `code.rs`)
//! per group of 32 vectors   32 x u32 chunk number, 32 x f32 scale; padded with NO_CHUNK and 0
//! per vector                a row of i8
//! ```

use super::format::{Section, f32_at, u32_at, u64_at};
use super::view::View;
use crate::error::Result;

/// Vectors that are coded together.
pub(super) const GROUP: usize = 32;
/// Bytes of chunk numbers and scales of one group.
pub(super) const HEAD: usize = GROUP * 8;
/// Bytes of one record of [`Section::Clusters`]; one more than there are clusters ends the last.
pub(super) const RECORD: usize = 16;
/// Pads the last group.
pub(super) const NO_CHUNK: u32 = u32::MAX;

/// The sizes that follow from the width of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Bytes of a row.
    pub(super) stride: usize,
    /// Whether there are codes.
    pub(super) coded: bool,
}

impl Layout {
    /// Bytes of the codes and factors of one group: a bit a component, and two 16-bit factors a vector.
    pub(super) fn group_bytes(self) -> usize {
        if self.coded { GROUP * self.stride / 8 + GROUP * 4 } else { 0 }
    }

    /// Bytes before the rows of a cluster of `rows` vectors.
    pub(super) fn rows_at(self, rows: usize) -> usize {
        rows.div_ceil(GROUP) * (self.group_bytes() + HEAD)
    }

    /// Bytes of a cluster of `rows` vectors.
    pub(super) fn cluster_bytes(self, rows: usize) -> usize {
        self.rows_at(rows) + rows * self.stride
    }
}

/// Where a cluster lies, checked against its neighbour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster {
    layout: Layout,
    offset: u64,
    /// The place of its first vector among all.
    pub(super) first: u32,
    /// Vectors in it.
    pub(super) rows: u32,
}

impl Cluster {
    /// The cluster with this number; `directory` is all of [`Section::Clusters`].
    pub(super) fn of(view: &View, directory: &[u8], layout: Layout, number: u32) -> Result<Self> {
        let at = number as usize * RECORD;
        let record = directory.get(at..at + 2 * RECORD).ok_or_else(|| view.inconsistent(Section::Clusters))?;
        let (offset, first) = (u64_at(record, 0), u32_at(record, 8));
        let (end, next) = (u64_at(record, RECORD), u32_at(record, RECORD + 8));
        let rows = next.checked_sub(first).filter(|_| next <= view.superblock().chunks);
        let rows = rows.filter(|&rows| offset.checked_add(layout.cluster_bytes(rows as usize) as u64) == Some(end));
        Ok(Self { layout, offset, first, rows: rows.ok_or_else(|| view.inconsistent(Section::Clusters))? })
    }

    /// The cluster that holds the vector at `place`.
    pub(super) fn holding(view: &View, directory: &[u8], layout: Layout, place: u32) -> Result<Self> {
        let (mut low, mut high) = (0, (directory.len() / RECORD).saturating_sub(1));
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if u32_at(directory, middle * RECORD + 8) <= place { low = middle } else { high = middle }
        }
        let cluster = Self::of(view, directory, layout, low as u32)?;
        if !(cluster.first..cluster.first + cluster.rows).contains(&place) {
            return Err(view.inconsistent(Section::Clusters));
        }
        Ok(cluster)
    }

    /// Where all its bytes lie.
    pub(super) fn extent(&self) -> (u64, u64) {
        (self.offset, self.layout.cluster_bytes(self.rows as usize) as u64)
    }

    /// Where the bytes lie that every probe touches: all before the rows.
    pub(super) fn codes(&self) -> (u64, u64) {
        (self.offset, self.layout.rows_at(self.rows as usize) as u64)
    }

    /// Codes and factors, group by group.
    pub(super) fn groups<'a>(&self, view: &'a View) -> Result<&'a [u8]> {
        let length = (self.rows as usize).div_ceil(GROUP) * self.layout.group_bytes();
        view.bytes(Section::Blocks, self.offset, length as u64)
    }

    /// Chunk numbers and scales, group by group.
    pub(super) fn heads<'a>(&self, view: &'a View) -> Result<Heads<'a>> {
        let groups = (self.rows as usize).div_ceil(GROUP);
        let at = self.offset + (groups * self.layout.group_bytes()) as u64;
        Ok(Heads(view.bytes(Section::Blocks, at, (groups * HEAD) as u64)?))
    }

    /// The rows from `start` on; `start + count` must not exceed `rows`.
    pub(super) fn rows<'a>(&self, view: &'a View, start: u32, count: u32) -> Result<&'a [u8]> {
        let at = self.offset + (self.layout.rows_at(self.rows as usize) + start as usize * self.layout.stride) as u64;
        view.bytes(Section::Blocks, at, u64::from(count) * self.layout.stride as u64)
    }
}

/// Chunk numbers and scales of a cluster's vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads<'a>(&'a [u8]);

impl Heads<'_> {
    /// The chunk of a row.
    pub(super) fn chunk(self, row: u32) -> u32 {
        let row = row as usize;
        u32_at(self.0, row / GROUP * HEAD + row % GROUP * 4)
    }

    /// The scale of a row.
    pub(super) fn scale(self, row: u32) -> f32 {
        let row = row as usize;
        f32_at(self.0, row / GROUP * HEAD + GROUP * 4 + row % GROUP * 4)
    }
}

/// Appends where a cluster begins, or, after the last, where everything ends.
pub(super) fn push_record(out: &mut Vec<u8>, offset: u64, first: u32) {
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
}

/// Appends chunk numbers and scales in the layout that [`Heads`] reads.
pub(super) fn push_heads(out: &mut Vec<u8>, vectors: &[(u32, f32)]) {
    for group in vectors.chunks(GROUP) {
        let padding = std::iter::repeat_n((NO_CHUNK, 0.0), GROUP - group.len());
        let padded = || group.iter().copied().chain(padding.clone());
        padded().for_each(|(chunk, _)| out.extend_from_slice(&chunk.to_le_bytes()));
        padded().for_each(|(_, scale)| out.extend_from_slice(&scale.to_le_bytes()));
    }
}
