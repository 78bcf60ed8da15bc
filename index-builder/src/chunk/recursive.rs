//! `recursive`: separators from the strongest to the weakest, then words; with one separator, `character`.
//!
//! The usual implementation splits at the strongest separator, splits what is still too large at the next one, and puts small
//! pieces together again. Here a chunk ends at the last of the strongest separators within reach, which is the same cut without
//! the detour.

use super::plan::{Mark, Plan};

/// The place of every separator; the first one of `separators` is the best place. An empty one means "anywhere", as elsewhere.
pub(super) fn plan(text: &str, separators: &[String]) -> Plan {
    let mut marks = Vec::new();
    for (rank, separator) in (0_u8..).zip(separators).filter(|(_, separator)| !separator.is_empty()) {
        let closes = closes(separator);
        marks.extend(
            text.match_indices(separator).map(|(at, found)| Mark { at: if closes { at + found.len() } else { at }, rank }),
        );
    }
    Plan { marks, borders: Vec::new() }
}

/// Whether a separator stays with the text before it: `. ` ends a sentence, `## ` begins a section.
fn closes(separator: &str) -> bool {
    let mark = separator.trim();
    mark.is_empty() || mark.ends_with(['.', '!', '?', ';', ':', ',', '…', '。', '！', '？', '、', '，'])
}
