//! The weight of the vectors against the words, chosen by questions.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use anyhow::{Result, ensure};
use omni_retrieval::index;

use super::listed::Listed;
use super::write::Unwritten;
use crate::eval::{self, Asked};
use crate::metadata::composed;
use crate::place::Aside;

/// Of nDCG@10: what questions gain by less is chance.
const WORTH_A_CHANGE: f64 = 0.001;

/// Refuses questions that no document of the build answers, before any is read.
pub(super) fn require_answered(questions: &[Asked], listed: &Listed) -> Result<()> {
    let sources: HashSet<String> = listed.entries.iter().map(|entry| composed(&entry.source)).collect();
    let is_answered = questions.iter().flat_map(Asked::expected).any(|expected| sources.contains(expected));
    ensure!(
        is_answered,
        "`--tune-alpha`: no document has the name of a question's `source`; name documents by their paths below what is built from (`guide/setup.md`)"
    );
    Ok(())
}

/// The weight of the vectors with which most of what the questions look for comes first, for who may see all; of equals, the one
/// nearest to the default.
pub(super) fn tune(untuned: &Unwritten<'_>, out: &Path, questions: &[Asked], vectors: &[Vec<f32>]) -> Result<f32> {
    // An index is written aside to be asked; what the answers say goes into the one that replaces the old one.
    let aside = Aside::of(out)?;
    let path = aside.index();
    untuned.write(&path)?;
    let index = index::Index::open(&path)?;
    let labels: BTreeSet<&String> = untuned.documents.iter().flat_map(|prepared| &prepared.document.access).collect();
    let labels: Vec<String> = labels.into_iter().cloned().collect();
    let mut alphas: Vec<f32> = (0..=20_u8).map(|step| f32::from(step) / 20.0).collect();
    alphas.sort_by(|a, b| (a - index::DEFAULT_ALPHA).abs().total_cmp(&(b - index::DEFAULT_ALPHA).abs()));
    let ask = |alpha| {
        let fusion = index::Fusion::Adaptive { alpha };
        eval::ask(&index, questions, vectors, eval::Manner { fusion, access: &labels, ..Default::default() })
    };
    // The first of them.
    let mut alpha = index::DEFAULT_ALPHA;
    let mut best = ask(alpha)?;
    for other in alphas.into_iter().skip(1) {
        let scores = ask(other)?;
        if scores.ndcg(10) > best.ndcg(10) + WORTH_A_CHANGE {
            (best, alpha) = (scores, other);
        }
    }
    best.require_any("compare their `page`, `text` and `filter` with the documents that they name")?;
    Ok(alpha)
}
