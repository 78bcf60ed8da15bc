//! In which order clusters stand in the file: similar ones beside each other, so that what one search probes lies in few pieces.
//!
//! All are divided into two halves of equally many vectors, by two poles that move to the middle of their half; each half
//! likewise, down to one cluster. The half that is more like what stands before comes first. A chain in which each is
//! followed by the nearest that is left keeps neighbours together too, but ends in a long row of leftovers.

use super::kmeans::sum;
use super::quantised::{Quantised, Rows, quantise};
use crate::cpu::Kernel;

/// How often the poles of a division move.
const ROUNDS: usize = 8;

/// The numbers of the rows of `middles` in their new order; `weights` says how many vectors each stands for.
pub(super) fn order(middles: &Rows, weights: &[usize], kernel: Kernel) -> Vec<u32> {
    let all: Vec<u32> = (0..weights.len() as u32).collect();
    let mut order = Vec::with_capacity(all.len());
    Halving { middles, weights, kernel }.append(all, &mut order);
    order
}

struct Halving<'a> {
    middles: &'a Rows,
    weights: &'a [usize],
    kernel: Kernel,
}

impl Halving<'_> {
    fn append(&self, group: Vec<u32>, order: &mut Vec<u32>) {
        if group.len() < 2 {
            order.extend(group);
            return;
        }
        let (mut first, mut second) = self.halves(group);
        if let Some(&last) = order.last() {
            let last = self.middles.vector(last);
            if self.cosine(&self.middle(&second), &last) > self.cosine(&self.middle(&first), &last) {
                std::mem::swap(&mut first, &mut second);
            }
        }
        self.append(first, order);
        self.append(second, order);
    }

    /// Divides at least two into two, neither of them empty.
    fn halves(&self, mut group: Vec<u32>) -> (Vec<u32>, Vec<u32>) {
        let mut left = self.farthest(&self.middle(&group), &group);
        let mut right = self.farthest(&left, &group);
        for _ in 0..ROUNDS {
            let mut sides: Vec<(f32, u32)> = group
                .iter()
                .map(|&number| (self.middles.vector(number), number))
                .map(|(row, number)| (self.cosine(&right, &row) - self.cosine(&left, &row), number))
                .collect();
            sides.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let sorted: Vec<u32> = sides.into_iter().map(|(_, number)| number).collect();
            if sorted == group {
                break;
            }
            group = sorted;
            let half = self.half(&group);
            (left, right) = (self.middle(&group[..half]), self.middle(&group[half..]));
        }
        let second = group.split_off(self.half(&group));
        (group, second)
    }

    /// How many of `group`, from the front, stand for half of its vectors; not none, not all.
    fn half(&self, group: &[u32]) -> usize {
        let all: usize = group.iter().map(|&number| self.weights[number as usize]).sum();
        let mut before = 0;
        let full = group.iter().position(|&number| {
            before += self.weights[number as usize];
            2 * before >= all
        });
        full.map_or(1, |at| at + 1).min(group.len() - 1)
    }

    fn farthest(&self, from: &Quantised, group: &[u32]) -> Quantised {
        let cosine = |number: u32| self.cosine(from, &self.middles.vector(number));
        let farthest = group.iter().copied().min_by(|&a, &b| cosine(a).total_cmp(&cosine(b)).then(a.cmp(&b)));
        self.middles.vector(farthest.unwrap_or_default())
    }

    fn middle(&self, group: &[u32]) -> Quantised {
        quantise(&sum(self.middles, group))
    }

    fn cosine(&self, a: &Quantised, b: &Quantised) -> f32 {
        let mut dot = [0];
        self.kernel.dots(&a.row, bytemuck::cast_slice(&b.row), &mut dot);
        dot[0] as f32 * a.scale * b.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once_and_neighbours_stand_together() {
        // Points of a circle, shuffled: a good order walks around it.
        let count = 200_u32;
        let angle = |number: u32| (number * 77 % count) as f32 / count as f32 * std::f32::consts::TAU;
        let middles = Rows::of(64, (0..count).map(|number| quantise(&[angle(number).cos(), angle(number).sin()])));
        for kernel in Kernel::available() {
            let order = order(&middles, &vec![1; count as usize], kernel);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..count));
            let steps = order.windows(2).map(|pair| (angle(pair[0]) - angle(pair[1])).cos());
            assert!(steps.filter(|&cosine| cosine > 0.95).count() as u32 > count * 9 / 10);
        }
    }

    #[test]
    fn equal_middles_and_heavy_ones_are_divided_too() {
        let middles = Rows::of(64, std::iter::repeat_n(quantise(&[1.0, 0.0]), 5));
        for weights in [[1, 1, 1, 1, 1], [100, 1, 1, 1, 1], [1, 1, 1, 1, 100], [0, 0, 0, 0, 0]] {
            let mut order = order(&middles, &weights, Kernel::available()[0]);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4]);
        }
        assert!(super::order(&Rows::of(64, []), &[], Kernel::available()[0]).is_empty());
    }
}
