//! Which weights of an int8 matrix AVX2 may multiply with `vpmaddubsw`, its one product of bytes.
//!
//! That adds two products in 16 bits, and saturates. With activations up to 255 it is exact where the two weights add up to 128
//! at most, either way; in a trained matrix that holds for 70 to 94 % of the registers. The others are widened first, so that the
//! sums are those of every other kernel. In which order they are added does not matter to integers, so all that can be quick come
//! first.
#![cfg_attr(not(any(target_arch = "x86_64", test)), expect(dead_code, reason = "AVX2 alone takes groups in an order"))]

/// Columns that fill a register of AVX2 with four inputs each.
const HALF_STRIP: usize = 8;
/// Half strips of a panel.
const HALF_STRIPS: usize = super::super::manifest::PANEL / HALF_STRIP;
/// What two weights may add up to: `255 * 128` fits 16 bits with a sign.
const MOST: i16 = 128;

/// The groups of each half strip of a matrix: first those that are multiplied exactly, then the others.
pub(in super::super) struct Order {
    /// Groups of a half strip.
    groups: usize,
    /// Their numbers, each once and less than `groups`, half strip by half strip.
    numbers: Vec<u16>,
    /// How many are exact, for each half strip.
    exact: Vec<u16>,
}

impl Order {
    /// Looks at all `weights` of a matrix of `rows` rows, which are at most 2^16.
    pub(super) fn of(weights: &[i8], rows: usize) -> Self {
        let groups = rows / 4;
        let mut order = Self { groups, numbers: vec![0; weights.len() / 32], exact: Vec::new() };
        let strips = weights.chunks_exact(groups * 64).flat_map(|strip| [(strip, 0), (strip, 32)]);
        for (numbers, (strip, half)) in order.numbers.chunks_exact_mut(groups).zip(strips) {
            let (mut exact, mut others) = (0, groups);
            for (group, weights) in (0..).zip(strip.as_chunks::<64>().0) {
                // All of them are looked at, which is quicker than stopping early.
                let fits = |pair: &[i8; 2]| (i16::from(pair[0]) + i16::from(pair[1])).abs() <= MOST;
                if weights[half..][..32].as_chunks().0.iter().fold(true, |all, pair| all & fits(pair)) {
                    numbers[exact] = group;
                    exact += 1;
                } else {
                    others -= 1;
                    numbers[others] = group;
                }
            }
            order.exact.push(exact as u16);
        }
        order
    }

    /// That of one panel.
    pub(super) fn panel(&self, panel: usize) -> PanelOrder<'_> {
        let length = HALF_STRIPS * self.groups;
        PanelOrder {
            groups: self.groups,
            numbers: &self.numbers[panel * length..][..length],
            exact: &self.exact[panel * HALF_STRIPS..][..HALF_STRIPS],
        }
    }
}

/// The groups of the half strips of a panel.
#[derive(Clone, Copy)]
pub(in super::super) struct PanelOrder<'a> {
    groups: usize,
    numbers: &'a [u16],
    exact: &'a [u16],
}

impl<'a> PanelOrder<'a> {
    /// Groups of each half strip; every number is less.
    #[inline(always)]
    pub(super) fn groups(self) -> usize {
        self.groups
    }

    /// Numbers of the groups that are multiplied exactly, and of the others.
    #[inline(always)]
    pub(super) fn half_strip(self, half_strip: usize) -> (&'a [u16], &'a [u16]) {
        self.numbers[half_strip * self.groups..][..self.groups].split_at(usize::from(self.exact[half_strip]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_saturate_comes_last() {
        // One panel of eight inputs, all zero but for one pair in each half strip, by turns in its first and its second group.
        let pairs = [[127, 1], [127, 2], [-127, -1], [-127, -2], [127, -127], [64, 64], [-128, 0], [-128, -1]];
        let mut weights = [0_i8; 8 * 64];
        for (half_strip, pair) in pairs.into_iter().enumerate() {
            weights[half_strip / 2 * 128 + half_strip % 2 * 96 + 30..][..2].copy_from_slice(&pair);
        }
        let order = Order::of(&weights, 8);
        let (first, second, both) = (&[0_u16][..], &[1_u16][..], (&[0_u16, 1][..], &[][..]));
        let expected = [both, (first, second), both, (first, second), both, both, both, (first, second)];
        for (half_strip, expected) in expected.into_iter().enumerate() {
            assert_eq!(order.panel(0).half_strip(half_strip), expected, "{:?}", pairs[half_strip]);
        }
        assert_eq!(order.panel(0).groups(), 2);
    }
}
