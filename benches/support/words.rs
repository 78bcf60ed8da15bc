//! Made-up texts.

use super::random::Random;

/// Words of a vocabulary of 20,000, as unevenly used as those of a language (Zipf).
pub(crate) fn words(random: &mut Random, count: usize) -> String {
    // By inversion: the rank is exponential in a uniform number.
    (0..count).map(|_| format!("word{}x ", 20_000_f64.powf(random.unit()) as u32)).collect()
}
