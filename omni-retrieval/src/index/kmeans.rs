//! k-means over rows of `i8`, by cosine: the same clusters from the same rows, whatever the number of threads.
//!
//! Which middle is nearest is decided by integer dot products; each middle is the mean of its members, added up in the
//! order of their numbers. Training sees a sample; in the end every row goes to its nearest middle.

use rayon::prelude::*;

use super::order;
use super::quantised::{Rows, quantise};
use crate::cpu::Kernel;

/// Rounds of training.
const ROUNDS: usize = 10;
/// Rows a cluster that training sees at most.
const SAMPLE: usize = 128;
/// Rows that one task assigns.
const TASK: usize = 512;
/// Middles that are compared with a row before the next row: 24 KiB at 384 dimensions, to stay in the first cache.
const TILE: usize = 64;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Clusters of rows.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    /// The direction of each middle.
    pub(super) middles: Rows,
    /// The mean cosine of the members with it: how far out the middle of the members lies.
    pub(super) lengths: Vec<f32>,
    /// The rows in each cluster, ascending.
    pub(super) members: Vec<Vec<u32>>,
}

/// Divides all rows into at most `count` clusters, none of them empty.
pub(super) fn divide(rows: &Rows, count: usize, kernel: Kernel) -> Clusters {
    let mut sample = sample(rows.len(), count * SAMPLE);
    // The first middles are rows from all over; the sample is in random order.
    let middles = Rows::of(rows.stride, sample.iter().take(count).map(|&row| rows.vector(row)));
    let mut clusters = Clusters { middles, ..Clusters::default() };
    sample.sort_unstable();
    for _ in 0..ROUNDS {
        clusters.assign(rows, &sample, kernel);
        clusters.center(rows);
    }
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    // The middles stay as they are from here on: so the nearest middle of a vector is that of its own cluster, and whoever
    // asks for the vector itself finds it in the first cluster that is probed.
    clusters.assign(rows, &all, kernel);
    clusters.measure(rows, kernel);
    clusters
}

impl Clusters {
    /// Gives each of `some` rows to the middle with the highest cosine, the first of equals.
    fn assign(&mut self, rows: &Rows, some: &[u32], kernel: Kernel) {
        let nearest: Vec<u32> = some.par_chunks(TASK).flat_map_iter(|some| self.nearest(rows, some, kernel)).collect();
        self.members = vec![Vec::new(); self.middles.len()];
        for (&row, cluster) in some.iter().zip(nearest) {
            self.members[cluster as usize].push(row);
        }
    }

    fn nearest(&self, rows: &Rows, some: &[u32], kernel: Kernel) -> Vec<u32> {
        let mut best = vec![(f32::NEG_INFINITY, 0); some.len()];
        let mut dots = [0; TILE];
        for (tile, middles) in self.middles.values.chunks(TILE * rows.stride).enumerate() {
            let first = tile * TILE;
            let dots = &mut dots[..middles.len() / rows.stride];
            for (&row, best) in some.iter().zip(&mut best) {
                kernel.dots(bytemuck::cast_slice(rows.row(row)), middles, dots);
                for (number, &dot) in (first..).zip(dots.iter()) {
                    let cosine = dot as f32 * self.middles.scales[number];
                    if cosine > best.0 {
                        *best = (cosine, number as u32);
                    }
                }
            }
        }
        best.into_iter().map(|(_, number)| number).collect()
    }

    /// Moves each middle to the mean of its members and drops those without any.
    fn center(&mut self, rows: &Rows) {
        self.members.retain(|members| !members.is_empty());
        let middles: Vec<_> = self.members.par_iter().map(|members| quantise(&sum(rows, members))).collect();
        self.middles = Rows::of(rows.stride, middles);
    }

    /// Finds out how far out each middle lies, and drops those without members.
    fn measure(&mut self, rows: &Rows, kernel: Kernel) {
        let length = |(number, members): (usize, &Vec<u32>)| {
            let middle = self.middles.row(number as u32);
            let mut dot = [0];
            let cosine = |&member: &u32| {
                kernel.dots(bytemuck::cast_slice(middle), rows.row(member), &mut dot);
                f64::from(dot[0] as f32 * self.middles.scales[number] * rows.scales[member as usize])
            };
            (members.iter().map(cosine).sum::<f64>() / members.len().max(1) as f64) as f32
        };
        self.lengths = self.members.par_iter().enumerate().map(length).collect();
        let full: Vec<u32> =
            (0..).zip(&self.members).filter(|(_, members)| !members.is_empty()).map(|(number, _)| number).collect();
        self.pick(&full);
    }

    /// Keeps these clusters, in this order.
    fn pick(&mut self, order: &[u32]) {
        *self = Self {
            middles: Rows::of(self.middles.stride, order.iter().map(|&number| self.middles.vector(number))),
            lengths: order.iter().map(|&number| self.lengths[number as usize]).collect(),
            members: order.iter().map(|&number| std::mem::take(&mut self.members[number as usize])).collect(),
        };
    }

    /// Puts similar clusters beside each other.
    pub(super) fn order(&mut self, kernel: Kernel) {
        let weights: Vec<usize> = self.members.iter().map(Vec::len).collect();
        self.pick(&order::order(&self.middles, &weights, kernel));
    }
}

/// The sum of unit vectors.
pub(super) fn sum(rows: &Rows, members: &[u32]) -> Vec<f32> {
    let mut sum = vec![0.0_f32; rows.stride];
    for &member in members {
        let scale = rows.scales[member as usize];
        for (sum, &value) in sum.iter_mut().zip(rows.row(member)) {
            *sum += f32::from(value.cast_signed()) * scale;
        }
    }
    sum
}

/// `count` different numbers below `rows`, or all of them, in random order.
fn sample(rows: usize, count: usize) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..rows as u32).collect();
    let mut state = SEED;
    let count = count.min(rows);
    for at in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = at + (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as usize % (rows - at);
        numbers.swap(at, other);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::random::Random;

    #[test]
    fn every_row_is_in_one_cluster_whatever_the_threads() {
        let mut random = Random::new(7);
        let rows = 3_000;
        // A third of the rows are equal: more than a cluster's share.
        let vectors: Vec<Vec<f32>> =
            (0..rows).map(|row| (0..24).map(|_| if row % 3 == 0 { 0.5 } else { random.float() }).collect()).collect();
        let table = Rows::of(64, vectors.iter().map(|vector| quantise(vector)));
        let mut before: Option<Clusters> = None;
        for kernel in Kernel::available() {
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let clusters = pool.install(|| divide(&table, 40, kernel));
                let mut all: Vec<u32> = clusters.members.iter().flatten().copied().collect();
                all.sort_unstable();
                assert!(all.into_iter().eq(0..rows));
                assert!(clusters.members.iter().all(|members| !members.is_empty() && members.is_sorted()));
                if let Some(before) = &before {
                    assert_eq!((&before.middles, &before.lengths), (&clusters.middles, &clusters.lengths));
                    assert_eq!(before.members, clusters.members);
                }
                before = Some(clusters);
            }
        }
    }
}
