//! Lays the vectors of a new index out: collected in the order of the chunks, written cluster by cluster.

use rayon::prelude::*;

use super::cluster::{self, Codes, GROUP, Layout};
use super::code;
use super::format::ROW_ALIGNMENT;
use super::kmeans::{self, Clusters, Table};
use super::plan::Plan;
use super::quantised::Quantised;
use super::rotation::Rotation;
use crate::cpu::Kernel;

/// The most vectors that are all scored, which takes less than half a millisecond and misses nothing.
pub(super) const EXACT_UP_TO: usize = 20_000;

/// The vectors of an index that is being built, in the order of their chunks.
pub(super) struct Rows {
    stride: usize,
    values: Vec<u8>,
    scales: Vec<f32>,
}

/// The sections that hold vectors.
#[derive(Default)]
pub(super) struct Arranged {
    pub(super) plan: Plan,
    pub(super) centroids: Vec<u8>,
    pub(super) clusters: Vec<u8>,
    pub(super) codes: Vec<u8>,
    pub(super) blocks: Vec<u8>,
    pub(super) places: Vec<u8>,
}

impl Rows {
    /// None yet.
    pub(super) fn new(dimensions: usize) -> Self {
        Self { stride: dimensions.next_multiple_of(ROW_ALIGNMENT), values: Vec::new(), scales: Vec::new() }
    }

    /// Adds the vector of the next chunk.
    pub(super) fn push(&mut self, vector: &Quantised) {
        self.values.extend(vector.row.iter().map(|value| value.cast_unsigned()));
        self.scales.push(vector.scale);
    }

    /// Lays them out: as they came if there are at most `exact_up_to`, else in clusters, with codes.
    pub(super) fn arrange(self, exact_up_to: usize, kernel: Kernel) -> Arranged {
        let rows = self.scales.len();
        if rows <= exact_up_to {
            let all: Vec<u32> = (0..rows as u32).collect();
            let clusters = Clusters { members: if all.is_empty() { Vec::new() } else { vec![all] }, ..Clusters::default() };
            return self.lay_out(&clusters, false);
        }
        let mut clusters = kmeans::divide(self.table(), cluster_count(rows), kernel);
        clusters.order(self.stride, kernel);
        self.lay_out(&clusters, true)
    }

    fn table(&self) -> Table<'_> {
        Table { stride: self.stride, values: &self.values, scales: &self.scales }
    }

    fn lay_out(&self, clusters: &Clusters, coded: bool) -> Arranged {
        let layout = Layout { stride: self.stride, codes: if coded { Codes::Apart } else { Codes::None } };
        let rotation = Rotation::new(self.stride);
        let head = |number: usize| {
            let members = &clusters.members[number];
            let mut head = Vec::with_capacity(layout.head_bytes(members.len()));
            if coded {
                self.push_codes(&mut head, clusters, number, &rotation);
            }
            let numbered: Vec<(u32, f32)> = members.iter().map(|&chunk| (chunk, self.scales[chunk as usize])).collect();
            cluster::push_heads(&mut head, &numbered);
            head
        };
        let heads: Vec<Vec<u8>> = (0..clusters.members.len()).into_par_iter().map(head).collect();

        let mut places = vec![0; self.scales.len() * 4];
        let (mut directory, mut offset, mut first) = (Vec::new(), 0, 0);
        for (members, head) in clusters.members.iter().zip(&heads) {
            cluster::push_record(&mut directory, offset, first);
            for (place, &chunk) in (first..).zip(members) {
                places[chunk as usize * 4..chunk as usize * 4 + 4].copy_from_slice(&place.to_le_bytes());
            }
            offset += head.len() as u64;
            first += members.len() as u32;
        }
        let rows = self.scales.len() * self.stride;
        // Without codes there is one cluster, or none, and its numbers and scales stand before its rows.
        let (codes, mut blocks) = if coded { (heads.concat(), Vec::new()) } else { (Vec::new(), heads.concat()) };
        offset += if coded { 0 } else { rows as u64 };
        blocks.reserve_exact(rows);
        clusters.members.iter().flatten().for_each(|&chunk| blocks.extend_from_slice(self.table().row(chunk)));
        cluster::push_record(&mut directory, offset, first);

        let mut centroids = clusters.values.clone();
        clusters.scales.iter().chain(&clusters.lengths).for_each(|value| centroids.extend_from_slice(&value.to_le_bytes()));
        let plan = Plan { clusters: clusters.members.len() as u32, coded, ..Plan::default() };
        Arranged { plan, centroids, clusters: directory, codes, blocks, places }
    }

    fn push_codes(&self, block: &mut Vec<u8>, clusters: &Clusters, number: usize, rotation: &Rotation) {
        let rotated = |row: &[u8], scale: f32| {
            let mut vector: Vec<f32> = row.iter().map(|&value| f32::from(value.cast_signed()) * scale).collect();
            rotation.apply(&mut vector);
            vector
        };
        let row = &clusters.values[number * self.stride..(number + 1) * self.stride];
        let middle = rotated(row, clusters.scales[number] * clusters.lengths[number]);
        for group in clusters.members[number].chunks(GROUP) {
            let vectors: Vec<Vec<f32>> =
                group.iter().map(|&chunk| rotated(self.table().row(chunk), self.scales[chunk as usize])).collect();
            let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
            code::push_group(block, &vectors, &middle);
        }
    }
}

/// Twice the root: comparing all middles then costs about as much as probing a few dozen clusters.
fn cluster_count(rows: usize) -> usize {
    (2.0 * (rows as f64).sqrt()) as usize
}
