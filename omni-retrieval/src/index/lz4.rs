//! Packs one text in the block format of LZ4 against a dictionary that all share, and unpacks it again: a text is read in under a
//! microsecond without its neighbours, which is what the final hits of a search need.
//!
//! The format is LZ4's for its decoder, small, quick and safe Rust. The encoder is ours because its time is spent once a build:
//! it looks at every position for the longest match and takes the cheapest way through them, where encoders made for streams take
//! the first one that they meet.

/// Bytes of the shortest match.
const MIN_MATCH: usize = 4;
/// How far back a match may lie.
const MAX_OFFSET: usize = u16::MAX as usize;
/// Bytes before the end at which the last match begins at the latest, and at least the last few are literals: decoders rely on
/// it.
const LAST_MATCH: usize = 12;
const LAST_LITERALS: usize = 5;
/// Lengths from which on a token's four bits are full and bytes follow.
const FULL: usize = 15;
/// Places that are compared for the longest match, in the dictionary and in the text.
const ATTEMPTS: usize = 48;
/// Bytes of the longest match; what is longer becomes several.
const LONGEST: usize = 256;
/// No text grows more by unpacking.
const MAX_GROWTH: usize = 255;
/// Longer texts are not packed: a few bytes of a forged file must not become gigabytes.
const MAX_LENGTH: usize = 1 << 20;

/// Packs texts against one dictionary.
pub(super) struct Packer<'a> {
    dictionary: &'a [u8],
    places: Places,
}

/// A match: bytes, and how far back they stand.
#[derive(Clone, Copy, Default)]
struct Match {
    length: usize,
    offset: usize,
}

impl<'a> Packer<'a> {
    /// Prepares what is the same for all texts.
    pub(super) fn new(dictionary: &'a [u8]) -> Self {
        Self { dictionary, places: Places::of(dictionary) }
    }

    /// The packed bytes; none if they would not be fewer, or the text is longer than anybody unpacks.
    pub(super) fn pack(&self, text: &[u8]) -> Option<Vec<u8>> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let matches = self.cheapest(text);
        let mut packed = Vec::with_capacity(text.len());
        let (mut literals, mut at) = (0, 0);
        while at < text.len() {
            let found = matches[at];
            if found.length == 0 {
                at += 1;
                continue;
            }
            sequence(&mut packed, &text[literals..at], Some(found));
            at += found.length;
            literals = at;
        }
        sequence(&mut packed, &text[literals..], None);
        (packed.len() < text.len()).then_some(packed)
    }

    /// For each position the match with which the cheapest way to the end begins, or a length of 0 for a literal.
    fn cheapest(&self, text: &[u8]) -> Vec<Match> {
        let mut matches = vec![Match::default(); text.len()];
        let mut costs: Vec<usize> = (0..=text.len()).rev().collect();
        let own = Places::of(text);
        for at in (0..(text.len() + 1).saturating_sub(LAST_MATCH)).rev() {
            costs[at] = costs[at + 1] + 1;
            let longest = self.longest(text, at, &own);
            for length in MIN_MATCH..=longest.length {
                let cost = costs[at + length] + 3 + (length - MIN_MATCH + MAX_GROWTH - FULL) / MAX_GROWTH;
                if cost < costs[at] {
                    costs[at] = cost;
                    matches[at] = Match { length, ..longest };
                }
            }
        }
        matches
    }

    fn longest(&self, text: &[u8], at: usize, own: &Places) -> Match {
        let rest = &text[at..text.len() - LAST_LITERALS];
        let in_text = own.before(at).map(|place| (&text[place..], at - place));
        let in_dictionary = self.places.with(&rest[..MIN_MATCH]).map(|place| {
            let bytes = &self.dictionary[place..];
            (bytes, at + bytes.len())
        });
        let mut longest = Match::default();
        for (bytes, offset) in in_text.take(ATTEMPTS).chain(in_dictionary.take(ATTEMPTS)) {
            let length = common(bytes, rest);
            if length > longest.length && offset <= MAX_OFFSET {
                longest = Match { length, offset };
            }
            if longest.length == rest.len().min(LONGEST) {
                break;
            }
        }
        longest
    }
}

/// Where strings of [`MIN_MATCH`] bytes stand, the nearest first; strings whose hashes are equal share their places.
struct Places {
    /// For each hash the last place and one more, or 0.
    last: Vec<u32>,
    /// For each place the one before with the same hash, and one more, or 0.
    before: Vec<u32>,
}

impl Places {
    fn of(bytes: &[u8]) -> Self {
        let mut places =
            Self { last: vec![0; bytes.len().next_power_of_two().clamp(256, 1 << 16)], before: Vec::with_capacity(bytes.len()) };
        for (place, string) in bytes.windows(MIN_MATCH).enumerate() {
            let hash = places.hash(string);
            places.before.push(places.last[hash]);
            places.last[hash] = place as u32 + 1;
        }
        places
    }

    /// All places where `string` may stand.
    fn with(&self, string: &[u8]) -> impl Iterator<Item = usize> {
        self.chain(self.last[self.hash(string)])
    }

    /// The places before `place` of what may be the same string.
    fn before(&self, place: usize) -> impl Iterator<Item = usize> {
        self.chain(self.before[place])
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = usize> {
        let place = |next: u32| next.checked_sub(1).map(|place| place as usize);
        std::iter::successors(place(first), move |&at| place(self.before[at]))
    }

    fn hash(&self, string: &[u8]) -> usize {
        let word = u32::from_le_bytes([string[0], string[1], string[2], string[3]]);
        (word.wrapping_mul(0x9e37_79b1) >> (32 - self.last.len().trailing_zeros())) as usize
    }
}

/// How many bytes both begin with, as far as a match goes.
fn common(a: &[u8], b: &[u8]) -> usize {
    let most = a.len().min(b.len()).min(LONGEST);
    let (a, b) = (&a[..most], &b[..most]);
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).take_while(|(a, b)| a == b).count();
    let rest = a[8 * words..].iter().zip(&b[8 * words..]).take_while(|(a, b)| a == b).count();
    8 * words + rest
}

/// Appends literals and the match behind them; only the end has none.
fn sequence(packed: &mut Vec<u8>, literals: &[u8], found: Option<Match>) {
    let matched = found.map_or(0, |found| found.length - MIN_MATCH);
    packed.push((literals.len().min(FULL) << 4 | matched.min(FULL)) as u8);
    length(packed, literals.len());
    packed.extend_from_slice(literals);
    if let Some(found) = found {
        packed.extend_from_slice(&(found.offset as u16).to_le_bytes());
        length(packed, matched);
    }
}

/// What of a length a token's four bits do not hold.
fn length(packed: &mut Vec<u8>, length: usize) {
    if let Some(mut rest) = length.checked_sub(FULL) {
        while rest >= 255 {
            packed.push(255);
            rest -= 255;
        }
        packed.push(rest as u8);
    }
}

/// The text of `length` bytes that was packed; none if this is not the packing of such a text.
pub(super) fn unpack(packed: &[u8], length: usize, dictionary: &[u8]) -> Option<Vec<u8>> {
    // Nobody gets memory by claiming a length.
    if length > MAX_LENGTH || length / MAX_GROWTH > packed.len() {
        return None;
    }
    let mut text = vec![0; length];
    let written = lz4_flex::block::decompress_into_with_dict(packed, &mut text, dictionary).ok()?;
    (written == length).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DICTIONARY: &[u8] = b"the index is rebuilt by index-builder; the service maps the file when it starts";

    /// How long the text is when it was packed and has come back.
    fn round_trip(text: &[u8], dictionary: &[u8]) -> usize {
        let Some(packed) = Packer::new(dictionary).pack(text) else { return text.len() };
        assert!(packed.len() < text.len());
        assert_eq!(unpack(&packed, text.len(), dictionary).as_deref(), Some(text));
        packed.len()
    }

    #[test]
    fn a_text_of_known_words_becomes_small() {
        let text = b"when it starts, the service maps the file. the index is rebuilt by index-builder";
        let packed = Packer::new(DICTIONARY).pack(text).unwrap();
        assert!(packed.len() < text.len() / 2, "{}", packed.len());
        assert_eq!(unpack(&packed, text.len(), DICTIONARY).unwrap(), text);
        // Others' decoders and encoders agree.
        assert_eq!(lz4_flex::block::decompress_with_dict(&packed, text.len(), DICTIONARY).unwrap(), text);
        let theirs = lz4_flex::block::compress_with_dict(text, DICTIONARY);
        assert!(packed.len() <= theirs.len());
        assert_eq!(unpack(&theirs, text.len(), DICTIONARY).unwrap(), text);
    }

    #[test]
    fn what_does_not_shrink_is_left() {
        for text in [b"".as_slice(), b"a", b"twelve bytes", b"q8#zK!v0^mW2$xR7"] {
            assert!(Packer::new(DICTIONARY).pack(text).is_none());
        }
    }

    #[test]
    fn long_runs_and_far_matches_survive() {
        assert!(round_trip(&[b'x'; 100_000], b"") < 2_000);
        assert!(round_trip(&vec![b"abcdefghij0123456789".as_slice(); 9000].concat(), &[b'q'; 65_536]) < 4_000);
        // Nothing in it occurs twice: matches lie in the dictionary, all of them as far back as any may.
        let far: Vec<u8> = (0..16_384_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
        assert!(round_trip(&far[1..], &far) < 2_000);
        assert_eq!(round_trip(&far, &far), far.len(), "one byte too far");
    }

    #[test]
    fn what_nobody_unpacks_is_not_packed() {
        let long = vec![b'x'; MAX_LENGTH + 1];
        assert!(Packer::new(DICTIONARY).pack(&long).is_none());
        let packed = Packer::new(DICTIONARY).pack(&long[1..]).unwrap();
        assert_eq!(unpack(&packed, MAX_LENGTH, DICTIONARY).unwrap(), long[1..]);
        assert!(unpack(&packed, MAX_LENGTH + 1, DICTIONARY).is_none());
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        assert!(unpack(&[0xff; 8], usize::MAX, DICTIONARY).is_none());
        assert!(unpack(&[], 1, DICTIONARY).is_none());
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(text in "[ab ]{0,300}|(the |index|file |[a-z]{1,3}){0,80}", dictionary in "[a-c ]{0,90}|the index file") {
            round_trip(text.as_bytes(), dictionary.as_bytes());
        }

        #[test]
        fn nonsense_is_refused_or_a_text(packed in proptest::collection::vec(any::<u8>(), 0..200), length in 0..4000_usize) {
            prop_assert!(unpack(&packed, length, DICTIONARY).is_none_or(|text| text.len() == length));
        }
    }
}
