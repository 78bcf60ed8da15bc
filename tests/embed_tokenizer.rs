//! The tokenizer gives what the `tokenizers` crate gives: the same ids and the same byte ranges, on every text.
#![expect(clippy::unwrap_used, reason = "test code")]

mod embed_support;

use embed_support::{model, shared};
use omni_llm::embed::{Embedder, MAX_TOKENS, Tokenizer};
use rayon::prelude::*;

/// Ours and theirs, of one model.
struct Pair {
    ours: Embedder,
    theirs: tokenizers::Tokenizer,
}

impl Pair {
    fn open() -> Option<Self> {
        let folder = model()?;
        let mut theirs = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
        theirs.with_padding(None);
        theirs.with_truncation(None).unwrap();
        Some(Self { ours: Embedder::open(&folder).unwrap(), theirs })
    }

    fn assert_equal(&self, text: &str) {
        let encoding = self.theirs.encode(text, true).unwrap();
        let last = encoding.get_ids().len() - 1;
        let ranges: Vec<_> = encoding.get_offsets()[1..last].iter().map(|&(start, end)| start..end).collect();
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > MAX_TOKENS {
            ids.drain(MAX_TOKENS - 1..last);
        }
        let tokenizer = self.ours.tokenizer();
        assert_eq!(tokenizer.offsets(text), ranges, "{text:?}");
        assert_eq!(tokenizer.count(text), ranges.len(), "{text:?}");
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
    }
}

#[test]
fn every_title_has_the_same_tokens() {
    let (Some(pair), Some(path)) = (Pair::open(), shared("scale/arxiv-titles.txt")) else { return };
    let text = std::fs::read_to_string(path).unwrap();
    text.par_lines().for_each(|line| pair.assert_equal(line));
}

#[test]
fn every_document_has_the_same_tokens() {
    let (Some(pair), Some(path)) = (Pair::open(), shared("docs/kb")) else { return };
    let mut folders = vec![path];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // Whatever the format: as text it is at least hostile.
                pair.assert_equal(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
                files += 1;
            }
        }
    }
    assert!(files > 0);
}

#[test]
fn every_character_has_the_same_tokens() {
    let Some(pair) = Pair::open() else { return };
    (0..=u32::from(char::MAX)).into_par_iter().filter_map(char::from_u32).for_each(|char| {
        // Between letters, and among marks that canonical order moves.
        pair.assert_equal(&format!("a{char}b e\u{327}{char}\u{302e}\u{301}x"));
    });
}

#[test]
fn hostile_strings_have_the_same_tokens() {
    let Some(pair) = Pair::open() else { return };
    (1..20_000_u64).into_par_iter().for_each(|seed| pair.assert_equal(&hostile(seed)));
    for text in
        ["a".repeat(100_000), "é".repeat(50_000), "\u{301}".repeat(30_000), "漢".repeat(30_000), String::new(), " ".repeat(1000)]
    {
        pair.assert_equal(&text);
    }
}

/// Pairs as a cross-encoder reads them, where neither, one or both of the texts are too long.
#[test]
fn every_pair_has_the_same_tokens() {
    let folder = embed_support::small_reranker();
    let open = || tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    for max_tokens in [3, 4, 17, 18, embed_support::Shape::POSITIONS] {
        let ours = Tokenizer::open(folder.path(), max_tokens).unwrap();
        let (whole, mut cut) = (open(), open());
        let truncation = tokenizers::TruncationParams { max_length: max_tokens, ..Default::default() };
        cut.with_truncation(Some(truncation)).unwrap();
        let mut noise = embed_support::Noise(5);
        let mut text = || {
            let pieces = ["the ", "index ", "é", "[SEP]", "mapped", ", ", "zebra7 "];
            (0..noise.next() % 25).map(|_| pieces[noise.next() as usize % pieces.len()]).collect::<String>()
        };
        let mut full = 0;
        for _ in 0..2_000 {
            let (first, second) = (text(), text());
            let (ids, start) = ours.encode_pair(&first, &second);
            let [one, other] = [&first, &second].map(|text| whole.encode(&text[..], false).unwrap());
            // Reading on its own, the crate stops at the word that fills a text, so that it no longer knows which is the longer.
            let are_long = one.len() >= max_tokens && other.len() >= max_tokens;
            let theirs = cut.post_process(one, Some(other), true).unwrap();
            assert_eq!(ids, theirs.get_ids(), "{max_tokens}: {first:?} {second:?}");
            if !are_long {
                let theirs = cut.encode((&first[..], &second[..]), true).unwrap();
                assert_eq!(ids, theirs.get_ids(), "{max_tokens}: {first:?} {second:?}");
                let types: Vec<u32> = (0..ids.len()).map(|position| u32::from(position >= start)).collect();
                assert_eq!(types, theirs.get_type_ids(), "{max_tokens}: {first:?} {second:?}");
            }
            full += usize::from(ids.len() == max_tokens);
        }
        // Three tokens are the special ones alone.
        assert!(full >= 500 && (full < 2_000 || max_tokens == 3), "{max_tokens}: {full} were full");
    }
}

/// Words, marks, controls, ideographs, emoji, special tokens whole and broken, sometimes far too many of one.
fn hostile(seed: u64) -> String {
    const PIECES: [&str; 12] = [
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "[PAD]",
        "[UNK]",
        "[[MASK]",
        "[MASK",
        "##ing",
        "[cls]",
        "\u{344}",
        "\u{f73}\u{f71}",
        "\u{1d165}\u{301}\u{302e}\u{300}",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u32
    };
    let mut text = String::new();
    for _ in 0..1 + next() % 40 {
        let random = next();
        let char = match next() % 16 {
            0 => char::from_u32(random % 0x250),
            1 => char::from_u32(0x300 + random % 0x70),
            2 => char::from_u32(random % 0x20),
            3 => char::from_u32(0x4e00 + random % 0x5000),
            4 => char::from_u32(0x1f300 + random % 0x400),
            5 => char::from_u32(0xac00 + random % 0x2ba4),
            6 => char::from_u32(random % 0x11_0000),
            7 => char::from_u32(random % 0x3000),
            8 => {
                text.push_str(PIECES[random as usize % PIECES.len()]);
                None
            }
            9 => char::from_u32(0xf00 + random % 0x100),
            10 => char::from_u32(0x1d100 + random % 0x100),
            11 => char::from_u32(0xf900 + random % 0x200),
            12 => char::from_u32(0x900 + random % 0x600),
            13 => Some(' '),
            _ => char::from_u32(0x61 + random % 26),
        };
        let times = if next() % 50 == 0 { 120 } else { 1 };
        text.extend(char.into_iter().cycle().take(if char.is_some() { times } else { 0 }));
    }
    text
}
