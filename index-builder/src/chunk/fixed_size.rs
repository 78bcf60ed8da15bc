//! `fixed_size` and `token`: windows that are as full as they can be and end at the end of a word. One rule, in two units.

use super::plan::Plan;

/// No place is better than another, so the packer takes the last word that fits.
pub(super) fn plan() -> Plan {
    Plan::default()
}
