//! Stretches of a document that say nothing by themselves: definitions of links, and a heading right above a deeper one, which
//! has it in its path.

use std::ops::Range;

use crate::extract::{BlockKind, Document, Section};

/// These stretches, by where they start.
pub(super) fn stretches(document: &Document) -> Vec<Range<usize>> {
    let definitions = document.blocks.iter().filter(|block| block.kind == BlockKind::Definitions).map(|block| block.span.clone());
    let bare = document.sections.windows(2).filter(|pair| is_bare(&document.text, &pair[0], &pair[1]));
    let mut stretches: Vec<Range<usize>> = definitions.chain(bare.map(|pair| pair[0].span.clone())).collect();
    stretches.sort_unstable_by_key(|stretch| stretch.start);
    stretches
}

/// Whether `span` holds nothing beside them.
pub(super) fn is_quiet(text: &str, stretches: &[Range<usize>], span: Range<usize>) -> bool {
    let mut at = span.start;
    let first = stretches.partition_point(|stretch| stretch.end <= span.start);
    for stretch in stretches[first..].iter().take_while(|stretch| stretch.start < span.end) {
        if at < stretch.start && !text[at..stretch.start].trim().is_empty() {
            return false;
        }
        at = at.max(stretch.end);
    }
    at >= span.end || text[at..span.end].trim().is_empty()
}

/// Whether a section is its heading alone, and the next one lies below it.
fn is_bare(text: &str, section: &Section, next: &Section) -> bool {
    let is_rule = |line: &str| line.trim().bytes().all(|byte| matches!(byte, b'=' | b'-'));
    let is_above = !section.headings.is_empty()
        && next.headings.len() > section.headings.len()
        && next.headings.starts_with(&section.headings);
    // The line below may underline it.
    is_above && text[section.span.clone()].trim().lines().skip(1).all(is_rule)
}
