//! A score is decided by the two texts and the model: not by the kernel, the other passages or the threads.
#![expect(clippy::unwrap_used, reason = "test code")]

mod embed_support;

use embed_support::{Noise, Shape, sections, small_model, small_reranker};
use omni_retrieval::embed::{Description, Embedder, Kernel, Packed, Pooling, Precision, Purpose, Reranker, pack};
use omni_retrieval::error::Code;
use omni_retrieval::hex::hex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const QUERY: &str = "is the index mapped, not read";

fn packed(folder: &std::path::Path, precision: Precision) -> Packed {
    Packed::from_bytes(&pack(folder, &Description::of(folder).unwrap(), precision).unwrap()).unwrap()
}

/// Passages of 0 to 40 words, most of them more than there is room for.
fn passages() -> Vec<String> {
    let words = ["the", "index", "is", "mapped", ",", "not", "reading", "zebra7", "é", "漢字", "[SEP]", "qqqqqq"];
    let mut noise = Noise(11);
    (0..60)
        .map(|count| (0..count % 41).map(|_| words[noise.next() as usize % words.len()]).collect::<Vec<_>>().join(" "))
        .collect()
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

#[test]
fn all_kernels_give_the_same_bits() {
    let folder = small_reranker();
    let passages = passages();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    for precision in [Precision::Int8, Precision::F32] {
        let score = |kernel| {
            let reranker = Reranker::of(packed(folder.path(), precision)).unwrap().with_kernel(kernel);
            bits(&reranker.score(QUERY, &passages).unwrap())
        };
        let expected = score(Kernel::named("scalar").unwrap());
        for name in ["avx2", "avxvnni", "avx512", "neon"] {
            let Some(kernel) = Kernel::named(name) else {
                println!("skipped: no {name} here");
                continue;
            };
            assert!(score(kernel) == expected, "{name} differs from scalar");
        }
    }
}

/// Known digests hold for every machine that runs this test, x86 or ARM.
#[test]
fn the_bits_are_known() {
    let folder = small_reranker();
    let passages = passages();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    let digest = |precision| {
        let scores = Reranker::of(packed(folder.path(), precision)).unwrap().score(QUERY, &passages).unwrap();
        let hash = Sha256::digest(scores.iter().flat_map(|score| score.to_le_bytes()).collect::<Vec<_>>());
        hex(&hash[..16])
    };
    assert_eq!(
        [digest(Precision::Int8), digest(Precision::F32)],
        ["4a1073c01695be6c12c4d1052b2044a9", "0ea0f8061924a4b900d425b67c2da89b"]
    );
}

#[test]
fn other_passages_and_threads_do_not_matter() {
    let folder = small_reranker();
    let passages = passages();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    for precision in [Precision::Int8, Precision::F32] {
        let reranker = Reranker::of(packed(folder.path(), precision)).unwrap();
        let alone: Vec<f32> = passages.iter().map(|passage| reranker.score(QUERY, &[passage]).unwrap()[0]).collect();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let together = pool.install(|| reranker.score(QUERY, &passages)).unwrap();
            assert!(bits(&together) == bits(&alone), "{threads} threads");
        }
        assert_ne!(alone[5].to_bits(), reranker.score("zebra7", &passages[5..6]).unwrap()[0].to_bits());
        assert!(reranker.score(QUERY, &[]).unwrap().is_empty());
    }
}

#[test]
fn what_embeds_does_not_rerank_and_the_other_way_round() {
    let (embeds, reranks) = (small_model(), small_reranker());
    let message = |error: omni_retrieval::error::Error| {
        assert_eq!(error.code(), Code::NotSupported);
        error.message().split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(
        message(Embedder::open(reranks.path()).err().unwrap()),
        "a reranker, which gives scores of pairs of texts and no vectors; name an embedding model"
    );
    assert_eq!(
        message(Reranker::open(embeds.path()).err().unwrap()),
        "an embedding model, which has no head that scores pairs of texts; name a cross-encoder"
    );
}

#[test]
fn a_reranker_opens_packed_or_not() {
    let folder = small_reranker();
    let path = folder.path().join("packed.bin");
    let description =
        Description { name: "judge".to_owned(), query_prefix: "query: ".to_owned(), ..Description::of(folder.path()).unwrap() };
    let bytes = pack(folder.path(), &description, Precision::Int8).unwrap();
    assert!(bytes == pack(folder.path(), &description, Precision::Int8).unwrap());
    std::fs::write(&path, &bytes).unwrap();
    let (packed, unpacked) = (Reranker::open(&path).unwrap(), Reranker::open(folder.path()).unwrap());
    let manifest = packed.manifest();
    assert_eq!((&manifest.name[..], &manifest.fingerprint), ("judge", &unpacked.manifest().fingerprint));
    assert_eq!(packed.score(QUERY, &["the index"]).unwrap(), unpacked.score(QUERY, &["the index"]).unwrap());
    // Neither means anything to a pair.
    assert_eq!((manifest.purpose, manifest.pooling, &manifest.query_prefix[..]), (Purpose::Reranking, Pooling::Cls, ""));
    Packed::open(&path).unwrap().verify().unwrap();

    // Its head is checked like all other sections, and a file that is cut under it is refused.
    let mut altered = bytes.clone();
    let (_, head) = sections(&bytes).pop().unwrap();
    altered[head.end - 1] ^= 1;
    let error = Packed::from_bytes(&altered).unwrap().verify().unwrap_err();
    assert!(error.message().contains("section `head.score` is altered"), "{error}");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert!(packed.score(QUERY, &["the index"]).unwrap_err().message().contains("was overwritten while in use"));
}

#[test]
fn a_head_that_gives_no_score_is_refused() {
    let folder = small_reranker();
    let path = folder.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut refusal = |id2label: serde_json::Value| {
        config["id2label"] = id2label;
        std::fs::write(&path, config.to_string()).unwrap();
        Reranker::open(folder.path()).err().unwrap().message().to_owned()
    };
    let said = refusal(json!({"0": "no", "1": "perhaps", "2": "yes"}));
    assert!(said.contains("`BertForSequenceClassification` with 3 labels: a reranker has one, the score"), "{said}");
    let said = refusal(json!(null));
    assert!(said.contains("with 2 labels"), "{said}");
    // A folder that says nothing of a head embeds, whatever else its weights hold.
    let plain = Shape { reranks: true, ..Shape::default() }.write();
    let config = std::fs::read_to_string(plain.path().join("config.json")).unwrap();
    std::fs::write(plain.path().join("config.json"), config.replace("BertForSequenceClassification", "BertModel")).unwrap();
    assert_eq!(Embedder::open(plain.path()).unwrap().dimensions(), 64);
}
