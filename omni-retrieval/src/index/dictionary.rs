//! What the texts of an index have in common: a few tens of kilobytes of what recurs in them, against which each is packed
//! alone. Texts of a few hundred bytes hold too little repetition of their own.
//!
//! The texts are laid end to end and divided into as many stretches as the dictionary has segments. From each stretch comes the
//! segment whose 8-byte strings are the most frequent of all; what one segment holds counts no more for the next. This is the
//! greedy cover of Liao, Petri, Moffat and Wirth, "Effective Construction of Relative Lempel-Ziv Dictionaries" (WWW 2016).

/// Bytes of one segment.
const SEGMENT: usize = 64;

/// Bytes of the strings that are counted.
const STRING: usize = 8;

/// Bits of the hash that strings are counted by; two that share one are taken for one.
const HASH_BITS: u32 = 20;

/// Bytes of texts that are looked at; of more, whole texts are left out evenly.
const SAMPLE: usize = 8 << 20;

/// At most `size` bytes that recur in `texts`; fewer, or none, where little does.
pub(super) fn train<'a>(texts: impl Iterator<Item = &'a [u8]> + Clone, size: usize) -> Vec<u8> {
    let total: usize = texts.clone().map(<[u8]>::len).sum();
    let sample: Vec<u8> = texts.step_by(total.div_ceil(SAMPLE).max(1)).flatten().copied().collect();
    let mut counts = vec![0_u32; 1 << HASH_BITS];
    for string in sample.windows(STRING) {
        counts[hash(string)] += 1;
    }
    let stretch = sample.len() / (size / SEGMENT).max(1);
    let mut dictionary = Vec::with_capacity(size);
    if stretch < SEGMENT {
        return dictionary;
    }
    for stretch in sample.chunks_exact(stretch) {
        let Some(segment) = best(stretch, &counts) else { continue };
        for string in segment.windows(STRING) {
            counts[hash(string)] = 0;
        }
        dictionary.extend_from_slice(segment);
    }
    dictionary.truncate(size);
    dictionary
}

/// The segment that holds most of what occurs more than once; the first of equals.
fn best<'a>(stretch: &'a [u8], counts: &[u32]) -> Option<&'a [u8]> {
    let worth: Vec<u64> = stretch.windows(STRING).map(|string| u64::from(counts[hash(string)].saturating_sub(1))).collect();
    let strings = SEGMENT - STRING + 1;
    let mut sum: u64 = worth.iter().take(strings).sum();
    let mut best = (sum, 0);
    for next in strings..worth.len() {
        sum = sum - worth[next - strings] + worth[next];
        if sum > best.0 {
            best = (sum, next + 1 - strings);
        }
    }
    (best.0 > 0).then(|| &stretch[best.1..best.1 + SEGMENT])
}

fn hash(string: &[u8]) -> usize {
    let mut word = [0; STRING];
    word.copy_from_slice(string);
    (u64::from_le_bytes(word).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_recurs_is_in_it_and_what_does_not_is_not() {
        let common = "the same sixty-four bytes of a notice that stands in every single document";
        let texts: Vec<String> =
            (0..500_u64).map(|number| format!("{:x} {common}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let dictionary = train(texts.iter().map(String::as_bytes), 1024);
        assert!(dictionary.len() <= 1024 && !dictionary.is_empty());
        let text = String::from_utf8_lossy(&dictionary);
        assert!(text.contains("of a notice that stands"), "{text}");
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(train(std::iter::empty(), 1024).is_empty());
        assert!(train([b"short".as_slice()].into_iter(), 1024).is_empty());
        assert!(train([[7; 100].as_slice()].into_iter(), 0).is_empty());
    }
}
