//! 1-bit codes: a vector as the signs of what separates it from the middle of its cluster, and two factors that turn a
//! count of agreeing signs into an estimate of its cosine with a query.
//!
//! This is RaBitQ (Gao, Long: arXiv 2405.12497). With everything rotated, `c` the middle, `r = v - c`, and `x` the vector
//! of `r`'s signs by `sqrt(n)`, `s = |r| / <x, r / |r|>` makes `s <x, y>` an unbiased estimate of `<r, y>` for every `y`.
//! So `<v, q> = <c, q> + <r, c> + <r, q - c>` is about `<c, q> + (<r, c> - s <x, c>) + s <x, q>`: one term of the cluster
//! and the query, one of the vector alone, and a factor of the only thing that has to be computed.
//!
//! Estimates are integers in units of 1 / [`UNIT`], and every step to them is integer, so that all kernels agree. The
//! query's components are rounded to whole steps of `4 / (steps * sqrt(n))`, of which [`Steps::most`] fit each way.
//! The signs of 4 components of a vector are a nibble, which picks one of 16 sums from a table that the query makes: 32
//! vectors are looked up at once, as in FAISS's fast scan (André, Kermarrec, Le Scouarnec: arXiv 1704.07355).
//!
//! ```text
//! per 4 components     16 bytes: byte i holds the nibble of vector i (low) and of vector i + 16 (high)
//! then                 32 x i16 offset of the estimate
//! then                 32 x i16 factor
//! ```

use super::cluster::GROUP;

/// Estimates are multiples of one by this.
pub(super) const UNIT: f32 = 8192.0;
/// Bytes of the lookup table of 4 components.
pub(super) const TABLE: usize = 16;
/// No estimate: of what pads a group.
const NONE: i16 = i16::MIN;

/// How a width divides the 16 bits in which a kernel works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    /// Components.
    width: usize,
    /// Largest rounded component of a query.
    most: i32,
    /// By how many bits sums are moved up before they are multiplied by a factor.
    pub(super) shift: u32,
}

impl Steps {
    /// For vectors of `width` components, a multiple of 64.
    pub(super) fn new(width: usize) -> Self {
        // Sums of table entries reach 2 * most * width; they are summed in 16 bits, without a sign.
        let most = (65_535 / (2 * width as i32)).clamp(1, 15);
        // By Cauchy and Schwarz, no sum of a unit vector exceeds most * width / 4, but for the rounding.
        let largest = most as u32 * width as u32 * 9 / 32;
        let shift = (i16::MAX as u32 / largest).checked_ilog2().unwrap_or(0);
        Self { width, most, shift }
    }

    /// Components of a query are multiples of this.
    fn step(self) -> f32 {
        4.0 / (self.most as f32 * (self.width as f32).sqrt())
    }

    /// What a sum of table entries is more than the sum that it stands for.
    pub(super) fn excess(self) -> i16 {
        (self.most * self.width as i32) as i16
    }

    /// The factor of a vector: an estimate is `(sum << shift) * factor / 2^15`.
    fn factor(self, s: f32) -> i16 {
        let factor = s * self.step() / (self.width as f32).sqrt() * UNIT * 32_768.0 / (1 << self.shift) as f32;
        round(factor.clamp(0.0, f32::from(i16::MAX))) as i16
    }
}

/// What a query looks up.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) steps: Steps,
    /// 16 sums for each 4 components.
    pub(super) sums: Vec<u8>,
}

impl Table {
    /// The table of a rotated unit vector.
    pub(super) fn new(query: &[f32]) -> Self {
        let steps = Steps::new(query.len());
        let (step, most) = (steps.step(), steps.most as f32);
        let mut sums = vec![0; query.len() / 4 * TABLE];
        let (quarters, _) = query.as_chunks::<4>();
        for (quarter, sums) in quarters.iter().zip(sums.as_chunks_mut::<TABLE>().0) {
            let [a, b, c, d] = quarter.map(|value| round((value / step).clamp(-most, most)) as i16);
            let middle = 4 * steps.most as i16;
            let (low, high) = ([-a - b, a - b, b - a, a + b], [-c - d, c - d, d - c, c + d]);
            for (signs, sum) in sums.iter_mut().enumerate() {
                *sum = (low[signs % 4] + high[signs / 4] + middle) as u8;
            }
        }
        Self { steps, sums }
    }
}

/// In units of an estimate.
pub(super) fn units(value: f32) -> i16 {
    // A float that does not fit is cut, and NaN is 0.
    round(value.clamp(-4.0, 4.0) * UNIT) as i16
}

/// The nearest whole number, ties to even, of a value below 2^22: what is left where the last bit that fits is a one. The
/// standard library's is a call on a CPU of the base line.
pub(super) fn round(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// Appends the codes and factors of a group of up to [`GROUP`] rotated unit vectors around their rotated middle.
pub(super) fn push_group(out: &mut Vec<u8>, vectors: &[&[f32]], middle: &[f32]) {
    let steps = Steps::new(middle.len());
    let start = out.len();
    out.resize(start + middle.len() / 4 * (GROUP / 2), 0);
    let codes = &mut out[start..];
    let (mut offsets, mut factors) = ([NONE; GROUP], [0; GROUP]);
    for (number, vector) in vectors.iter().enumerate() {
        let (mut square, mut sum, mut along, mut signed) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        for (at, (value, middle)) in vector.iter().zip(middle).enumerate() {
            let rest = f64::from(value - middle);
            let (sign, bit) = if rest >= 0.0 { (1.0, 1) } else { (-1.0, 0) };
            square += rest * rest;
            sum += rest.abs();
            along += rest * f64::from(*middle);
            signed += sign * f64::from(*middle);
            codes[at / 4 * (GROUP / 2) + number % 16] |= bit << (at % 4 + number / 16 * 4);
        }
        // A vector that is the middle itself has nothing to be estimated.
        let ratio = if sum > 0.0 { square / sum } else { 0.0 };
        // s <x, c> is ratio * signed: the roots of n cancel.
        offsets[number] = units((along - ratio * signed) as f32).max(NONE + 1);
        factors[number] = steps.factor((ratio * (middle.len() as f64).sqrt()) as f32);
    }
    offsets.iter().chain(&factors).for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}
