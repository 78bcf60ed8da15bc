//! How AVX2 takes the weights of an int8 matrix with `vpmaddubsw`, its one product of bytes.
//!
//! That adds two products in 16 bits, and saturates. With activations up to 255 it is exact where neither the positive weights of
//! the two nor the negative ones add up to more than 128. Which two of the four inputs of a group meet can be chosen, and that
//! makes nine tenths of a trained matrix exact, where seven would be as they lie. Most of these leave enough room for another group
//! to be added before the sums are widened. What is not exact is widened first, so that the sums are those of every other kernel:
//! to integers the order in which they are added does not matter.
#![cfg_attr(not(any(target_arch = "x86_64", test)), expect(dead_code, reason = "AVX2 alone takes groups in an order"))]

/// Groups of four inputs whose activations AVX2 lays out anew at once.
pub(super) const PIECE: usize = 128;
/// Ways to bring the four inputs of a group together in twos: the first two of each and the last two.
pub(super) const WAYS: [[u8; 4]; 3] = [[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]];

/// Columns that fill a register of AVX2 with four inputs each.
const COLUMNS: usize = 8;
/// Half strips of a panel.
const HALF_STRIPS: usize = super::super::manifest::PANEL / COLUMNS;
/// What weights of one sign may add up to: `255 * 128` fits 16 bits with a sign.
const MOST: u32 = 128;
/// Groups that still look for another one. More would be found a partner, and take longer to.
const WAITING: usize = 16;

/// One group of a piece, and the way in which its inputs meet.
#[derive(Clone, Copy)]
pub(super) struct Take {
    /// Where its four activations lie among those of a piece in all ways: `way * PIECE + group`, less than `WAYS.len() * PIECE`.
    pub(super) inputs: u16,
    /// Where its weights begin in a piece of a strip, in bytes: 64 times the group.
    pub(super) weights: u16,
}

/// The groups of each half strip of a matrix, piece by piece: those that are added in twos, those that are exact alone, the others.
pub(in super::super) struct Order {
    /// Groups of a half strip.
    groups: usize,
    /// Each group once, half strip by half strip.
    takes: Vec<Take>,
    /// How many of the takes of each piece are in twos, and how many are exact, these included.
    ends: Vec<[u16; 2]>,
}

impl Order {
    /// Looks at all `weights` of a matrix of `rows` rows.
    pub(super) fn of(weights: &[i8], rows: usize) -> Self {
        let groups = rows / 4;
        let mut order = Self { groups, takes: Vec::with_capacity(weights.len() / 32), ends: Vec::new() };
        let strips = weights.chunks_exact(groups * 64).flat_map(|strip| [(strip, 0), (strip, 32)]);
        for (strip, half) in strips {
            for piece in strip.as_chunks::<64>().0.chunks(PIECE) {
                order.push(piece, half);
            }
        }
        order
    }

    /// Appends the takes of a piece: of each group the 32 weights at `half`.
    fn push(&mut self, piece: &[[i8; 64]], half: usize) {
        let start = self.takes.len();
        let (mut singles, mut others, mut waiting) = (Vec::new(), Vec::new(), Vec::<(Take, Sums)>::new());
        for (group, weights) in (0..).zip(piece) {
            let Some(weights) = weights[half..].first_chunk::<32>() else { continue };
            let (way, sums) = best_way(weights);
            let take = Take { inputs: (way * PIECE + group) as u16, weights: (group * 64) as u16 };
            if !fits(&sums) {
                others.push(Take { inputs: group as u16, ..take });
            } else if let Some(at) = waiting.iter().position(|(_, more)| fits(&add(&sums, more))) {
                self.takes.extend([waiting.swap_remove(at).0, take]);
            } else {
                if waiting.len() == WAITING {
                    singles.push(waiting.remove(0).0);
                }
                waiting.push((take, sums));
            }
        }
        let twos = self.takes.len() - start;
        self.takes.extend(singles);
        self.takes.extend(waiting.into_iter().map(|(take, _)| take));
        let exact = self.takes.len() - start;
        self.takes.extend(others);
        self.ends.push([twos as u16, exact as u16]);
    }

    /// That of one panel.
    pub(super) fn panel(&self, panel: usize) -> PanelOrder<'_> {
        let (takes, ends) = (HALF_STRIPS * self.groups, HALF_STRIPS * self.groups.div_ceil(PIECE));
        PanelOrder { groups: self.groups, takes: &self.takes[panel * takes..][..takes], ends: &self.ends[panel * ends..][..ends] }
    }
}

/// The order of a panel.
#[derive(Clone, Copy)]
pub(in super::super) struct PanelOrder<'a> {
    groups: usize,
    takes: &'a [Take],
    ends: &'a [[u16; 2]],
}

impl<'a> PanelOrder<'a> {
    /// Groups of each half strip.
    #[inline(always)]
    pub(super) fn groups(self) -> usize {
        self.groups
    }

    /// Takes of one piece of a half strip: those in twos, those that are exact alone, and the others, which are as they lie.
    #[inline(always)]
    pub(super) fn piece(self, half_strip: usize, piece: usize) -> (&'a [[Take; 2]], &'a [Take], &'a [Take]) {
        let first = piece * PIECE;
        let takes = &self.takes[half_strip * self.groups + first..][..(self.groups - first).min(PIECE)];
        let [twos, exact] = self.ends[half_strip * self.groups.div_ceil(PIECE) + piece].map(usize::from);
        (takes[..twos].as_chunks().0, &takes[twos..exact], &takes[exact..])
    }
}

/// What the weights that meet add up to: of each column the two sums of the positive ones, 16 bits each, then those of the negative
/// ones.
type Sums = [u32; 2 * COLUMNS];

/// The way with the smallest sums.
fn best_way(weights: &[i8; 32]) -> (usize, Sums) {
    let (mut even, mut odd) = ([0; 2 * COLUMNS], [0; 2 * COLUMNS]);
    let positive = weights.map(|weight| weight.max(0).unsigned_abs());
    let negative = weights.map(|weight| weight.min(0).unsigned_abs());
    let columns = positive.as_chunks::<4>().0.iter().chain(negative.as_chunks().0);
    for ((column, even), odd) in columns.zip(&mut even).zip(&mut odd) {
        let column = u32::from_le_bytes(*column);
        (*even, *odd) = (column & 0xff_00ff, column >> 8 & 0xff_00ff);
    }
    let (mut best, mut least) = ((0, [0; 2 * COLUMNS]), u32::MAX);
    for way in 0..WAYS.len() {
        let mut sums = [0; 2 * COLUMNS];
        for ((sum, even), odd) in sums.iter_mut().zip(even).zip(odd) {
            *sum = match way {
                0 => even + odd,
                1 => (even + (even >> 16)) & 0xffff | (odd + (odd >> 16)) << 16,
                _ => even + odd.rotate_left(16),
            };
        }
        let largest = sums.iter().fold(0, |largest, &sum| largest.max(sum & 0xffff).max(sum >> 16));
        if largest < least {
            (best, least) = ((way, sums), largest);
        }
    }
    best
}

fn add(left: &Sums, right: &Sums) -> Sums {
    std::array::from_fn(|at| left[at] + right[at])
}

/// Whether no sum is more than [`MOST`].
fn fits(sums: &Sums) -> bool {
    sums.iter().fold(0, |over, &sum| over | (sum + (0x7fff - MOST) * 0x1_0001)) & 0x8000_8000 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panel of `groups` groups, all zero.
    fn panel(groups: usize) -> Vec<i8> {
        vec![0; groups * 256]
    }

    #[test]
    fn what_would_saturate_in_every_way_comes_last() {
        // One group of each half strip; the weights of one column, and the way in which they are exact.
        let columns = [
            ([127, 1, 127, 1], Some(0)),
            ([127, 2, 0, 0], Some(1)),
            ([127, 2, -127, 2], Some(1)),
            ([-127, -2, -2, 0], Some(2)),
            ([100, 29, 29, -100], Some(2)),
            ([127, -127, 127, -127], Some(0)),
            ([64, 65, 65, 65], None),
            ([-128, -1, -1, -1], None),
        ];
        let mut weights = panel(1);
        for (half_strip, (column, _)) in columns.into_iter().enumerate() {
            weights[half_strip * 32 + 28..][..4].copy_from_slice(&column);
        }
        let order = Order::of(&weights, 4);
        for (half_strip, (column, way)) in columns.into_iter().enumerate() {
            let (twos, exact, others) = order.panel(0).piece(half_strip, 0);
            let inputs = exact.iter().chain(others).map(|take| usize::from(take.inputs)).collect::<Vec<_>>();
            assert_eq!(inputs, [way.unwrap_or(0) * PIECE], "{column:?}");
            assert!(twos.is_empty() && others.is_empty() == way.is_some(), "{column:?}");
        }
    }

    #[test]
    fn two_are_added_where_there_is_room() {
        // The first and the third differ in their signs, the second and the fourth are small enough.
        let mut weights = panel(6);
        for (group, weight) in [100, 64, -100, 64].into_iter().enumerate() {
            weights[group * 64..][..4].fill(weight);
            weights[group * 64 + 1] = 0;
            weights[group * 64 + 3] = 0;
        }
        let (order, at) = (Order::of(&weights, 24), |take: &Take| usize::from(take.weights) / 64);
        let (twos, exact, others) = order.panel(0).piece(0, 0);
        let mut twos: Vec<_> = twos.iter().map(|two| two.each_ref().map(at)).collect();
        twos.sort_unstable();
        assert_eq!((twos, exact.len(), others.len()), (vec![[0, 2], [1, 3], [4, 5]], 0, 0));
    }

    #[test]
    fn every_group_is_taken_once_in_its_piece() {
        let mut random = 1_u64;
        let weights = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 40) as i8 / [1, 2, 4][(random >> 60) as usize % 3]
        });
        let groups = PIECE + 16;
        let weights: Vec<i8> = weights.take(2 * groups * 256).collect();
        let order = Order::of(&weights, groups * 4);
        assert_eq!(order.panel(1).groups(), groups);
        for (panel, half_strip, piece) in (0..32).map(|at| (at / 16, at / 2 % 8, at % 2)) {
            let (twos, exact, others) = order.panel(panel).piece(half_strip, piece);
            assert!(others.iter().all(|take| usize::from(take.inputs) < PIECE), "others are as they lie");
            let mut takes: Vec<Take> = [twos.as_flattened(), exact, others].concat();
            takes.sort_unstable_by_key(|take| take.weights);
            let length = [PIECE, 16][piece];
            assert_eq!(takes.len(), length);
            for (group, take) in takes.into_iter().enumerate() {
                assert_eq!((usize::from(take.weights), usize::from(take.inputs) % PIECE), (group * 64, group));
                assert!(usize::from(take.inputs) < WAYS.len() * PIECE);
            }
        }
    }
}
