//! One cluster of vectors in the file: codes first, then who they are, then the rows themselves.
//!
//! ```text
//! per group of 32 vectors   codes and factors (only in coded files, see `code.rs`)
//! per group of 32 vectors   32 x u32 chunk number, 32 x f32 scale; padded with NO_CHUNK and 0
//! per vector                a row of i8
//! ```
//!
//! Coded files have the first two in one section and the rows in another: a search reads the codes of every cluster that
//! it probes and few of the rows, and clusters that are probed together then share pieces of the file.

use super::format::{f32_at, first, u32_at, u64_at};
use super::section::Section;
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

/// Where the codes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    /// It has none.
    None,
    /// Before the rows of their cluster, as in the first files of format 1.
    Beside,
    /// In a section of their own, with chunk numbers and scales.
    Apart,
}

/// The sizes that follow from the width of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Bytes of a row.
    pub(super) stride: usize,
    pub(super) codes: Codes,
}

impl Layout {
    /// That of a file.
    pub(super) fn of(view: &View, coded: bool) -> Self {
        let codes = match (coded, view.is_absent(Section::Codes)) {
            (false, _) => Codes::None,
            (true, true) => Codes::Beside,
            (true, false) => Codes::Apart,
        };
        Self { stride: view.superblock().stride(), codes }
    }

    /// Bytes of the codes and factors of one group: a bit a component, and two 16-bit factors a vector.
    fn group_bytes(self) -> usize {
        if self.codes == Codes::None { 0 } else { GROUP * self.stride / 8 + GROUP * 4 }
    }

    /// Bytes of codes, chunk numbers and scales of `rows` vectors.
    pub(super) fn head_bytes(self, rows: usize) -> usize {
        rows.div_ceil(GROUP) * (self.group_bytes() + HEAD)
    }

    /// Bytes of a cluster of `rows` vectors in the section that [`Section::Clusters`] counts in.
    fn cluster_bytes(self, rows: usize) -> usize {
        self.head_bytes(rows) + if self.codes == Codes::Apart { 0 } else { rows * self.stride }
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
        let clusters = (directory.len() / RECORD).saturating_sub(1) as u32;
        let next = first(1..clusters, |number| Ok(u32_at(directory, number as usize * RECORD + 8) <= place))?;
        let cluster = Self::of(view, directory, layout, next - 1)?;
        if !(cluster.first..cluster.first + cluster.rows).contains(&place) {
            return Err(view.inconsistent(Section::Clusters));
        }
        Ok(cluster)
    }

    /// Where the bytes lie that every probe touches: all but the rows.
    pub(super) fn head(&self) -> (Section, u64, u64) {
        let section = if self.layout.codes == Codes::Apart { Section::Codes } else { Section::Blocks };
        (section, self.offset, self.layout.head_bytes(self.rows as usize) as u64)
    }

    /// Where some of the rows lie; `start + count` must not exceed `rows`.
    pub(super) fn extent(&self, start: u32, count: u32) -> (Section, u64, u64) {
        let stride = self.layout.stride as u64;
        let first = match self.layout.codes {
            Codes::Apart => u64::from(self.first) * stride,
            Codes::None | Codes::Beside => self.offset + self.layout.head_bytes(self.rows as usize) as u64,
        };
        (Section::Blocks, first + u64::from(start) * stride, u64::from(count) * stride)
    }

    /// Codes and factors, group by group.
    pub(super) fn groups<'a>(&self, view: &'a View) -> Result<&'a [u8]> {
        let (section, start, _) = self.head();
        view.bytes(section, start, self.group_bytes())
    }

    /// Chunk numbers and scales, group by group.
    pub(super) fn heads<'a>(&self, view: &'a View) -> Result<Heads<'a>> {
        let (section, start, length) = self.head();
        let groups = self.group_bytes();
        Ok(Heads(view.bytes(section, start + groups, length - groups)?))
    }

    /// The rows from `start` on; `start + count` must not exceed `rows`.
    pub(super) fn rows<'a>(&self, view: &'a View, start: u32, count: u32) -> Result<&'a [u8]> {
        let (section, start, length) = self.extent(start, count);
        view.bytes(section, start, length)
    }

    fn group_bytes(&self) -> u64 {
        ((self.rows as usize).div_ceil(GROUP) * self.layout.group_bytes()) as u64
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
