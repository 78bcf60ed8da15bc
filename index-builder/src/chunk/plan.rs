//! What a strategy says of a document, before anything is measured.

use super::atom::Atoms;
use super::pack::{self, KEPT};

/// A place where text may be cut, and how good it is: 0 the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Byte offset of what would begin the next chunk, or of white space before it.
    pub(super) at: usize,
    /// Below [`pack::WORD`].
    pub(super) rank: u8,
}

/// Where a document may be cut, and where it must be.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Places for a cut. In any order.
    pub(super) marks: Vec<Mark>,
    /// Byte offsets, ascending, that no chunk crosses; the text's start may be among them.
    pub(super) borders: Vec<usize>,
}

impl Plan {
    /// Every byte offset at which an atom has to end, ascending.
    pub(super) fn cuts(&self) -> Vec<usize> {
        let mut cuts: Vec<usize> = self.marks.iter().map(|mark| mark.at).chain(self.borders.iter().copied()).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// The rank of the cut before each atom.
    pub(super) fn ranks(&self, atoms: &Atoms<'_>) -> Vec<u8> {
        let mut ranks: Vec<u8> = (0..atoms.len()).map(|index| pack::rank(atoms, index)).collect();
        for mark in &self.marks {
            if let Some(rank) = ranks.get_mut(atoms.at(mark.at)) {
                *rank = mark.rank.min(*rank);
            }
        }
        ranks
    }
}

/// Forbids chunks to end inside a run of atoms.
pub(super) fn keep(ranks: &mut [u8], run: std::ops::Range<usize>) {
    for rank in ranks.iter_mut().take(run.end).skip(run.start + 1) {
        *rank |= KEPT;
    }
}
