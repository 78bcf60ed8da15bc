//! Lays the vectors of a new index out: collected in the order of the chunks, written cluster by cluster.

use super::cluster::{self, Layout};
use super::format::ROW_ALIGNMENT;
use super::plan::Plan;
use super::vectors::Quantised;

/// The vectors of an index that is being built, in the order of their chunks.
pub(super) struct Rows {
    stride: usize,
    values: Vec<u8>,
    scales: Vec<f32>,
}

/// The sections that hold vectors.
pub(super) struct Arranged {
    pub(super) plan: Vec<u8>,
    pub(super) centroids: Vec<u8>,
    pub(super) clusters: Vec<u8>,
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

    /// Lays them out.
    pub(super) fn arrange(self) -> Arranged {
        let all: Vec<u32> = (0..self.scales.len() as u32).collect();
        let clusters = if all.is_empty() { Vec::new() } else { vec![all] };
        let plan = Plan { clusters: clusters.len() as u32, coded: false, ..Plan::default() };
        self.lay_out(plan, &clusters)
    }

    fn lay_out(&self, plan: Plan, members: &[Vec<u32>]) -> Arranged {
        let layout = Layout { stride: self.stride, coded: plan.coded };
        let mut places = vec![0; self.scales.len() * 4];
        let (mut clusters, mut blocks, mut first) = (Vec::new(), Vec::new(), 0);
        for members in members {
            push_record(&mut clusters, blocks.len(), first);
            let heads: Vec<(u32, f32)> = members.iter().map(|&chunk| (chunk, self.scales[chunk as usize])).collect();
            cluster::push_heads(&mut blocks, &heads);
            for (place, &chunk) in (first..).zip(members) {
                let chunk = chunk as usize;
                blocks.extend_from_slice(&self.values[chunk * layout.stride..(chunk + 1) * layout.stride]);
                places[chunk * 4..chunk * 4 + 4].copy_from_slice(&place.to_le_bytes());
            }
            first += members.len() as u32;
        }
        push_record(&mut clusters, blocks.len(), first);
        Arranged { plan: plan.encode(), centroids: Vec::new(), clusters, blocks, places }
    }
}

fn push_record(clusters: &mut Vec<u8>, offset: usize, first: u32) {
    clusters.extend_from_slice(&(offset as u64).to_le_bytes());
    clusters.extend_from_slice(&first.to_le_bytes());
    clusters.extend_from_slice(&[0; 4]);
}
