//! Which way a search for the nearest goes: by probing clusters, or by scoring all that is allowed.

use super::Recall;
use super::allowed::Allowed;
use super::plan::Setting;
use super::probe::Probe;
use super::quantised::Quantised;
use super::top::Scored;
use super::tune::TUNED;
use super::vectors::Vectors;
use crate::error::Result;

/// So few that a filter leaves are scored one by one sooner than by probing, which would have to go far to find ten of them.
const FEW: usize = 500;

/// Times as many clusters are probed before all vectors are scored.
const WIDER: u32 = 4;

impl Vectors<'_> {
    /// Up to `limit` of the `allowed` chunks, best first. The recall asked for holds for the first `sure`; the others are the
    /// best among the same candidates.
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
                let (most, sure) = (limit.max(TUNED), sure.max(TUNED));
                if let Some(mut found) = Probe::new(self, query).nearest(allowed, matching, most, sure, setting)? {
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
}
