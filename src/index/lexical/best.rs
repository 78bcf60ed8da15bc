//! The best chunks for some words, exactly, without looking at every posting.
//!
//! Chunks are visited in windows. In each, every word has a bound: the greatest score of its blocks there. Words whose
//! bounds together cannot lift a chunk into the best are only looked up for chunks that the other words have found
//! (MaxScore: Turtle and Flood 1995; with bounds a block: Ding and Suel 2011). Chunks come in ascending order, so one that
//! only equals the worst of the best is no better: its number is higher.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cursor::Cursor;
use super::score;
use crate::error::Result;
use crate::index::allowed::Allowed;
use crate::index::top::Scored;

/// Chunks of one window; their sums fit into the cache.
const WINDOW: u32 = 2048;

/// The `limit` chunks with the highest sums above zero.
pub(super) fn best(cursors: &mut [Cursor<'_>], chunks: u32, allowed: &Allowed, limit: usize) -> Result<Vec<Scored>> {
    let mut top = Top::new(limit);
    if limit == 0 || cursors.is_empty() {
        return Ok(Vec::new());
    }
    cursors.iter_mut().for_each(Cursor::rewind);
    let mut sums = vec![0_u64; WINDOW as usize];
    let mut bounds = vec![0_u64; cursors.len()];
    let mut order: Vec<usize> = (0..cursors.len()).collect();
    let mut from = 0;
    while from < chunks {
        let to = chunks.min(from.saturating_add(WINDOW));
        for (bound, cursor) in bounds.iter_mut().zip(cursors.iter_mut()) {
            *bound = cursor.bound(from, to).into();
        }
        if bounds.iter().sum::<u64>() > top.bar() {
            order.sort_unstable_by_key(|&word| (bounds[word], word));
            visit(cursors, &bounds, &order, from..to, &mut sums, allowed, &mut top)?;
        }
        from = to;
    }
    Ok(top.into_sorted())
}

fn visit(
    cursors: &mut [Cursor<'_>],
    bounds: &[u64],
    order: &[usize],
    window: std::ops::Range<u32>,
    sums: &mut [u64],
    allowed: &Allowed,
    top: &mut Top,
) -> Result<()> {
    let mut rest = 0;
    let mut optional = 0;
    while optional < order.len() && rest + bounds[order[optional]] <= top.bar() {
        rest += bounds[order[optional]];
        optional += 1;
    }
    sums.fill(0);
    for &word in &order[optional..] {
        cursors[word].each(window.start, window.end, |chunk, score| {
            sums[(chunk - window.start) as usize] += u64::from(score);
        })?;
    }
    for (chunk, &sum) in window.zip(sums.iter()) {
        if sum == 0 || sum + rest <= top.bar() || !allowed.contains(chunk) {
            continue;
        }
        let (mut sum, mut rest) = (sum, rest);
        for &word in order[..optional].iter().rev() {
            if sum + rest <= top.bar() {
                break;
            }
            rest -= bounds[word];
            sum += u64::from(cursors[word].score_at(chunk)?);
        }
        // What was given up above is not better than the worst of the best, with or without the words left out.
        top.push(sum, chunk);
    }
    Ok(())
}

/// The best so many sums; chunks have to come in ascending order.
pub(super) struct Top {
    limit: usize,
    heap: BinaryHeap<Reverse<(u64, Reverse<u32>)>>,
}

impl Top {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    /// Only what is above this can enter.
    pub(super) fn bar(&self) -> u64 {
        if self.heap.len() < self.limit { 0 } else { self.heap.peek().map_or(u64::MAX, |worst| worst.0.0) }
    }

    pub(super) fn push(&mut self, sum: u64, chunk: u32) {
        if sum <= self.bar() {
            return;
        }
        if self.heap.len() == self.limit {
            self.heap.pop();
        }
        self.heap.push(Reverse((sum, Reverse(chunk))));
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Scored> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted.map(|Reverse((sum, Reverse(chunk)))| Scored { score: score(sum), chunk }).collect()
    }
}
