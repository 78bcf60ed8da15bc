//! Where the sections of an index lie, read as `docs/index-format.md` has it.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::pages::PAGE;

const NAMES: [(u32, &str); 19] = [
    (1, "manifest"),
    (2, "checksums"),
    (3, "plan"),
    (4, "centroids"),
    (5, "clusters"),
    (6, "blocks"),
    (7, "places"),
    (8, "lexicon"),
    (9, "terms"),
    (10, "lengths"),
    (11, "postings"),
    (12, "chunks"),
    (13, "documents"),
    (15, "records"),
    (16, "headings"),
    (17, "texts"),
    (18, "codes"),
    (19, "dictionary"),
    (64, "facets"),
];

/// Names of the sections, and the pages that each lies in.
pub(crate) fn sections(path: &Path) -> Result<Vec<(&'static str, Range<usize>)>> {
    let bytes = std::fs::read(path)?;
    let u32_at = |at: usize| bytes[at..].first_chunk().map(|word| u32::from_le_bytes(*word)).context("truncated");
    let u64_at = |at: usize| bytes[at..].first_chunk().map(|word| u64::from_le_bytes(*word) as usize).context("truncated");
    let entry = |number: usize| {
        let at = 128 + 32 * number;
        let kind = u32_at(at)?;
        let name = NAMES.into_iter().find(|(known, _)| *known == kind).map_or("of another kind", |(_, name)| name);
        let (start, length) = (u64_at(at + 8)?, u64_at(at + 16)?);
        Ok((name, start / PAGE..(start + length).div_ceil(PAGE)))
    };
    (0..u32_at(12)? as usize).map(entry).collect()
}
