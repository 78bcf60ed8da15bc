//! The best `limit` of a stream of scores, in bounded memory and in an order that nothing can change.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A chunk and its score. Greater means better; among equal scores the lower chunk number is better.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    pub(super) score: f32,
    pub(super) chunk: u32,
}

/// Keeps the best `limit`, the greatest.
#[derive(Debug, Clone)]
pub(super) struct Top<T> {
    limit: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Top<T> {
    /// Keeps the best `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    /// Offers one.
    pub(super) fn push(&mut self, one: T) {
        if self.heap.len() < self.limit {
            self.heap.push(Reverse(one));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && one > worst.0
        {
            *worst = Reverse(one);
        }
    }

    /// Whether there are `limit`.
    pub(super) fn is_full(&self) -> bool {
        self.heap.len() >= self.limit
    }

    /// The `limit`-th best, once there are as many.
    pub(super) fn worst(&self) -> Option<&T> {
        self.heap.peek().map(|worst| &worst.0).filter(|_| self.is_full())
    }

    /// The best of both.
    pub(super) fn merge(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|one| self.push(one.0));
        self
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<T> {
        // Sorting `Reverse`s ascending puts the best in front.
        self.heap.into_sorted_vec().into_iter().map(|one| one.0).collect()
    }
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.chunk.cmp(&self.chunk))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_sort_cut_short(scores in proptest::collection::vec(0_u8..20, 0..80), limit in 0_usize..90, cut in 0_usize..80) {
            let scored: Vec<Scored> =
                scores.iter().enumerate().map(|(chunk, &score)| Scored { score: f32::from(score), chunk: chunk as u32 }).collect();
            let mut expected = scored.clone();
            expected.sort_by(|a, b| b.cmp(a));
            expected.truncate(limit);
            let (left, right) = scored.split_at(cut.min(scored.len()));
            let fill = |part: &[Scored]| part.iter().fold(Top::new(limit), |mut top, s| { top.push(*s); top });
            prop_assert_eq!(fill(right).merge(fill(left)).into_sorted(), expected);
        }
    }
}
