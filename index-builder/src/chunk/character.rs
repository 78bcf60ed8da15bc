//! `character`: one separator; the pieces between are put together up to the size, and one that is too large is cut at words.

use super::plan::Plan;
use super::recursive;

/// The place of every `separator`.
pub(super) fn plan(text: &str, separators: &[String]) -> Plan {
    recursive::plan(text, separators.get(..1).unwrap_or_default())
}
