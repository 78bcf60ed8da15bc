//! How the vectors of a file are searched, decided and tuned when it was built: a fixed record.
//!
//! A file of few vectors has one cluster without codes, in the order of the chunks: every search is exact. A larger one
//! has codes, clusters, and for each recall target how many clusters are probed and how deep is rescored.

use super::format::{f32_at, u32_at};
use super::section::Section;
use super::view::View;
use crate::error::Result;

/// Bytes of [`Section::Plan`]; later versions may append.
const RECORD: usize = 64;
/// The vectors have 1-bit codes.
const CODED: u32 = 1;
const FAST_AT: usize = 16;
const BALANCED_AT: usize = 32;

/// The record.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Plan {
    /// Number of clusters; at least 1, unless there are no vectors.
    pub(super) clusters: u32,
    /// Whether the vectors have 1-bit codes.
    pub(super) coded: bool,
    /// Reaches recall@10 of .95.
    pub(super) fast: Setting,
    /// Reaches recall@10 of .99.
    pub(super) balanced: Setting,
}

/// What a search spends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Setting {
    /// Clusters that are probed at most, nearest first.
    pub(super) probes: u32,
    /// Rows whose estimate lies at most this far below the k-th best are rescored, in units of the estimate.
    pub(super) margin: u32,
    /// Clusters are probed while the cosine of their middle is at most this far below the k-th best estimate;
    /// 0 probes all of `probes`, as in the first files of format 1.
    pub(super) reach: u32,
    /// Recall@10 that it reached on the sample, against the exact scan.
    pub(super) recall: f32,
}

impl Plan {
    /// Reads it.
    pub(super) fn of(view: &View) -> Result<Self> {
        let record = view.bytes(Section::Plan, 0, RECORD as u64)?;
        let setting = |at| Setting {
            probes: u32_at(record, at),
            margin: u32_at(record, at + 4),
            recall: f32_at(record, at + 8),
            reach: u32_at(record, at + 12),
        };
        let plan = Self {
            clusters: u32_at(record, 0),
            coded: u32_at(record, 4) & CODED != 0,
            fast: setting(FAST_AT),
            balanced: setting(BALANCED_AT),
        };
        let chunks = view.superblock().chunks;
        if plan.clusters > chunks || (plan.clusters == 0 && chunks > 0) || (plan.clusters > 1 && !plan.coded) {
            return Err(view.inconsistent(Section::Plan));
        }
        Ok(plan)
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; RECORD];
        bytes[..4].copy_from_slice(&self.clusters.to_le_bytes());
        bytes[4..8].copy_from_slice(&u32::from(self.coded).to_le_bytes());
        for (at, setting) in [(FAST_AT, self.fast), (BALANCED_AT, self.balanced)] {
            bytes[at..at + 4].copy_from_slice(&setting.probes.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&setting.margin.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&setting.recall.to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&setting.reach.to_le_bytes());
        }
        bytes
    }
}
