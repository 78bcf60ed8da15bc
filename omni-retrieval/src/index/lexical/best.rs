//! The best chunks for some words, exactly, without looking at every posting.
//!
//! Chunks are visited in windows. In each, every word has a bound: the greatest score of its blocks there. Words whose
//! bounds together cannot lift a chunk into the best are only asked about chunks that the other words have found
//! (MaxScore: Turtle and Flood 1995; with bounds a block: Ding and Suel 2011), one word after the other, and of their blocks
//! only those are read in which there is such a chunk. Chunks come in ascending order, so one that only equals the worst of
//! the best is no better: its number is higher.

use std::cmp::Reverse;
use std::ops::Range;

use super::cursor::Cursor;
use super::score;
use super::window::{WINDOW, Window};
use crate::error::Result;
use crate::index::allowed::Allowed;
use crate::index::top::{Scored, Top};

/// The sum of a chunk; of equals, the chunk with the lower number is better.
pub(super) type Sum = (u64, Reverse<u32>);

/// The `limit` chunks with the highest sums above zero.
pub(super) fn best(cursors: &mut [Cursor<'_>], chunks: u32, allowed: &Allowed, limit: usize) -> Result<Vec<Scored>> {
    let mut top = Top::new(limit);
    if limit == 0 || cursors.is_empty() {
        return Ok(Vec::new());
    }
    cursors.iter_mut().for_each(Cursor::rewind);
    let mut window = Window::new();
    let mut bounds = vec![0_u64; cursors.len()];
    let mut order: Vec<usize> = (0..cursors.len()).collect();
    let mut from = 0;
    while from < chunks {
        let to = chunks.min(from.saturating_add(WINDOW));
        for (bound, cursor) in bounds.iter_mut().zip(cursors.iter_mut()) {
            *bound = cursor.bound(from, to).into();
        }
        if bounds.iter().sum::<u64>() > bar(&top) {
            order.sort_unstable_by_key(|&word| (bounds[word], word));
            visit(cursors, &bounds, &order, from..to, &mut window, allowed, &mut top)?;
        }
        from = to;
    }
    Ok(scored(top))
}

fn visit(
    cursors: &mut [Cursor<'_>],
    bounds: &[u64],
    order: &[usize],
    range: Range<u32>,
    window: &mut Window,
    allowed: &Allowed,
    top: &mut Top<Sum>,
) -> Result<()> {
    let least = bar(top);
    let (mut rest, mut optional) = (0, 0);
    while optional < order.len() && rest + bounds[order[optional]] <= least {
        rest += bounds[order[optional]];
        optional += 1;
    }
    window.begin(range.start);
    for &word in &order[optional..] {
        cursors[word].each(range.clone(), |chunk, score| window.add(chunk, score))?;
    }
    let mut any = optional == 0 || window.retain(|chunk, sum| sum + rest > least && allowed.contains(chunk));
    for &word in order[..optional].iter().rev() {
        if !any || rest == 0 {
            break;
        }
        rest -= bounds[word];
        let wanted = window.mask().clone();
        cursors[word].each_of(range.clone(), &wanted, |chunk, score| window.add(chunk, score))?;
        any = window.retain(|_, sum| sum + rest > least);
    }
    // What was given up above is not better than the worst of the best, whatever the words left out would add.
    window.retain(|chunk, sum| {
        if sum > bar(top) && allowed.contains(chunk) {
            top.push((sum, Reverse(chunk)));
        }
        true
    });
    Ok(())
}

/// What is above this can enter.
fn bar(top: &Top<Sum>) -> u64 {
    top.worst().map_or(0, |worst| worst.0)
}

/// Sums as callers see them, best first.
pub(super) fn scored(top: Top<Sum>) -> Vec<Scored> {
    top.into_sorted().into_iter().map(|(sum, Reverse(chunk))| Scored { score: score(sum), chunk }).collect()
}
