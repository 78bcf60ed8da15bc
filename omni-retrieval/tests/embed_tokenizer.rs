//! The tokenizer gives what the `tokenizers` crate gives: the same ids and the same byte ranges, on every text.
#![expect(clippy::unwrap_used, reason = "test code")]

mod embed_support;

use std::path::Path;

use embed_support::{Noise, model::model, shared::shared};
use omni_retrieval::embed::{Embedder, MAX_TOKENS, Tokenizer};
use rayon::prelude::*;
use serde_json::json;

/// Ours and theirs, of one model.
struct Pair {
    ours: Tokenizer,
    theirs: tokenizers::Tokenizer,
}

impl Pair {
    /// Those of the real model.
    fn open() -> Option<Self> {
        let folder = model()?;
        Some(Self::of(&folder, Embedder::open(&folder).unwrap().tokenizer().clone()))
    }

    fn of(folder: &Path, ours: Tokenizer) -> Self {
        let mut theirs = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
        theirs.with_padding(None);
        theirs.with_truncation(None).unwrap();
        Self { ours, theirs }
    }

    fn assert_equal(&self, text: &str) {
        let encoding = self.theirs.encode(text, true).unwrap();
        let last = encoding.get_ids().len() - 1;
        let ranges: Vec<_> = encoding.get_offsets()[1..last].iter().map(|&(start, end)| start..end).collect();
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > MAX_TOKENS {
            ids.drain(MAX_TOKENS - 1..last);
        }
        assert_eq!(self.ours.offsets(text), ranges, "{text:?}");
        assert_eq!(self.ours.count(text), ranges.len(), "{text:?}");
        assert_eq!(self.ours.encode(text), ids, "{text:?}");
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

/// A folder with the tokenizer of the small models, changed.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = embed_support::small_reranker();
    let path = folder.path().join("tokenizer.json");
    let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
    folder
}

/// The real model has one set of rules; others have others, and a vocabulary in which letters that a rule would change are apart.
#[test]
fn every_set_of_rules_has_the_same_tokens() {
    let letters: Vec<char> =
        ('!'..='\u{24f}').chain('\u{300}'..='\u{36f}').chain('\u{1100}'..='\u{11ff}').chain("漢字かな😀".chars()).collect();
    let both = [true, false];
    let normalizers = both.into_iter().flat_map(|clean_text| {
        both.into_iter().flat_map(move |handle_chinese_chars| {
            [None, Some(true), Some(false)].into_iter().flat_map(move |strip_accents| {
                both.map(|lowercase| {
                    json!({
                        "type": "BertNormalizer", "clean_text": clean_text, "handle_chinese_chars": handle_chinese_chars,
                        "strip_accents": strip_accents, "lowercase": lowercase,
                    })
                })
            })
        })
    });
    for (most_chars, normalizer) in [3, 100].into_iter().flat_map(|most| normalizers.clone().map(move |rules| (most, rules))) {
        let folder = changed(|json| {
            json["normalizer"] = normalizer.clone();
            json["model"]["max_input_chars_per_word"] = most_chars.into();
            let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
            for piece in letters.iter().flat_map(|letter| [letter.to_string(), format!("##{letter}")]) {
                let next = vocabulary.len();
                vocabulary.entry(piece).or_insert_with(|| next.into());
            }
        });
        let pair = Pair::of(folder.path(), Tokenizer::open(folder.path(), MAX_TOKENS).unwrap());
        (1..1_000_u64).into_par_iter().for_each(|seed| pair.assert_equal(&hostile(seed)));
    }
}

#[test]
fn a_prefix_is_as_if_it_stood_in_the_text() {
    let spaced = json!({"id": 5, "content": "y z", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    let folders = [
        embed_support::small_reranker(),
        changed(|json| {
            // An added token that begins in the prefix and ends in the text.
            json["model"]["vocab"]["y z"] = json["model"]["vocab"].as_object().unwrap().len().into();
            let mut spaced = spaced;
            spaced["id"] = json["model"]["vocab"]["y z"].clone();
            json["added_tokens"].as_array_mut().unwrap().push(spaced);
        }),
    ];
    for folder in folders {
        let tokenizer = Tokenizer::open(folder.path(), 24).unwrap();
        (1..2_000_u64).into_par_iter().for_each(|seed| {
            let text = hostile(seed);
            for prefix in ["", "query: ", "map\n", "map", "e\u{301} ", "y ", "[MA", "\u{b}"] {
                for text in [&text, "z index", "SK] the"] {
                    let whole = tokenizer.encode(&format!("{prefix}{text}"));
                    assert_eq!(tokenizer.encode_after(prefix, text), whole, "{prefix:?} {text:?}");
                }
            }
        });
    }
}

#[test]
fn a_tokenizer_that_makes_no_sense_is_refused() {
    let refusal = |change: fn(&mut serde_json::Value)| {
        let folder = changed(change);
        let message = Tokenizer::open(folder.path(), MAX_TOKENS).err().unwrap().message().to_owned();
        let message = message.strip_prefix(&format!("{}: ", folder.path().join("tokenizer.json").display())).unwrap().to_owned();
        message.strip_suffix("; the encoder cannot run this model").unwrap().to_owned()
    };
    // As many ids as pieces, of which two are the same, and an empty piece is one of them.
    let repeated = refusal(|json| {
        json["model"]["vocab"][""] = 5.into();
        json["model"]["vocab"]["a"] = 5.into();
    });
    assert!(repeated.starts_with("token 5: the ids are not 0 to "), "{repeated}");
    let not_ascii = |json: &mut serde_json::Value| {
        json["added_tokens"][4]["content"] = "é".into();
        json["model"]["vocab"]["é"] = 4.into();
        json["model"]["vocab"].as_object_mut().unwrap().remove("[MASK]");
    };
    assert_eq!(refusal(not_ascii), "added token `é`: does not begin with an ASCII character");
    let endless = |json: &mut serde_json::Value| json["model"]["max_input_chars_per_word"] = (1_u64 << 40).into();
    assert_eq!(refusal(endless), "`max_word_chars` 1099511627776: not from 1 to 1048576");
}

/// It would be found everywhere, and nothing would come after it.
#[test]
fn an_empty_added_token_is_found_nowhere() {
    let folder = changed(|json| {
        let next = json["model"]["vocab"].as_object().unwrap().len();
        json["model"]["vocab"][""] = next.into();
        let mut empty = json["added_tokens"][0].clone();
        empty["id"] = next.into();
        empty["content"] = "".into();
        json["added_tokens"].as_array_mut().unwrap().push(empty);
    });
    let pair = Pair::of(folder.path(), Tokenizer::open(folder.path(), MAX_TOKENS).unwrap());
    for text in ["[", "the [ index [MASK]", ""] {
        pair.assert_equal(text);
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
        let mut noise = Noise(5);
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
    let mut noise = Noise(seed);
    let mut next = || noise.next();
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
