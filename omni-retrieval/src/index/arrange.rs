//! Lays the vectors of a new index out: collected in the order of the chunks, written cluster by cluster.

use rayon::prelude::*;

use super::cluster::{self, Codes, GROUP, Layout};
use super::code;
use super::kmeans::{self, Clusters};
use super::plan::Plan;
use super::quantised::Rows;
use super::rotation::Rotation;
use super::section::{Section, Sections};
use crate::cpu::Kernel;

/// The most vectors that are all scored, which takes less than half a millisecond and misses nothing.
pub(super) const EXACT_UP_TO: usize = 20_000;

impl Rows {
    /// Fills the sections that hold vectors: as they came if there are at most `exact_up_to`, else in clusters, with codes.
    pub(super) fn arrange(self, exact_up_to: usize, kernel: Kernel, sections: &mut Sections) -> Plan {
        let rows = self.len();
        if rows <= exact_up_to {
            let all: Vec<u32> = (0..rows as u32).collect();
            let clusters = Clusters { members: if all.is_empty() { Vec::new() } else { vec![all] }, ..Clusters::default() };
            return self.lay_out(&clusters, false, sections);
        }
        let mut clusters = kmeans::divide(&self, cluster_count(rows), kernel);
        clusters.order(kernel);
        self.lay_out(&clusters, true, sections)
    }

    fn lay_out(&self, clusters: &Clusters, coded: bool, sections: &mut Sections) -> Plan {
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

        let mut places = vec![0; self.len() * 4];
        let (mut offset, mut first) = (0, 0);
        for (members, head) in clusters.members.iter().zip(&heads) {
            cluster::push_record(&mut sections[Section::Clusters], offset, first);
            for (place, &chunk) in (first..).zip(members) {
                places[chunk as usize * 4..chunk as usize * 4 + 4].copy_from_slice(&place.to_le_bytes());
            }
            offset += head.len() as u64;
            first += members.len() as u32;
        }
        sections[Section::Places] = places;
        // Without codes there is one cluster, or none, and its numbers and scales stand before its rows.
        sections[if coded { Section::Codes } else { Section::Blocks }] = heads.concat();
        offset += if coded { 0 } else { self.values.len() as u64 };
        cluster::push_record(&mut sections[Section::Clusters], offset, first);
        let blocks = &mut sections[Section::Blocks];
        blocks.reserve_exact(self.values.len());
        clusters.members.iter().flatten().for_each(|&chunk| blocks.extend_from_slice(self.row(chunk)));

        let centroids = &mut sections[Section::Centroids];
        centroids.extend_from_slice(&clusters.middles.values);
        let scales = clusters.middles.scales.iter().chain(&clusters.lengths);
        scales.for_each(|value| centroids.extend_from_slice(&value.to_le_bytes()));
        let plan = Plan { clusters: clusters.members.len() as u32, coded, ..Plan::default() };
        sections[Section::Plan] = plan.encode();
        plan
    }

    fn push_codes(&self, block: &mut Vec<u8>, clusters: &Clusters, number: usize, rotation: &Rotation) {
        let rotated = |row: &[u8], scale: f32| {
            let mut vector: Vec<f32> = row.iter().map(|&value| f32::from(value.cast_signed()) * scale).collect();
            rotation.apply(&mut vector);
            vector
        };
        let (row, scale) = (clusters.middles.row(number as u32), clusters.middles.scales[number]);
        let middle = rotated(row, scale * clusters.lengths[number]);
        for group in clusters.members[number].chunks(GROUP) {
            let vectors: Vec<Vec<f32>> =
                group.iter().map(|&chunk| rotated(self.row(chunk), self.scales[chunk as usize])).collect();
            let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
            code::push_group(block, &vectors, &middle);
        }
    }
}

/// Twice the root: comparing all middles then costs about as much as probing a few dozen clusters.
fn cluster_count(rows: usize) -> usize {
    (2.0 * (rows as f64).sqrt()) as usize
}
