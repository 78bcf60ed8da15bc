//! A vector is decided by the text and the model: not by the kernel, the batch or the threads.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

mod embed_support;

use embed_support::{Noise, Shape, model::model, small_model};
use omni_retrieval::embed::{ARITHMETIC, Description, Embedder, Kernel, Packed, Precision, pack};
use omni_retrieval::hex::hex;
use sha2::{Digest as _, Sha256};

/// Texts of 0 to 40 words, so that every tail of every tile occurs.
fn texts() -> Vec<String> {
    let words = ["the", "index", "is", "mapped", ",", "not", "reading", "zebra7", "é", "漢字", "[MASK]", "qqqqqq"];
    let mut noise = Noise(11);
    (0..60)
        .map(|count| (0..count % 41).map(|_| words[noise.next() as usize % words.len()]).collect::<Vec<_>>().join(" "))
        .collect()
}

fn bits(vectors: &[Vec<f32>]) -> Vec<Vec<u32>> {
    vectors.iter().map(|vector| vector.iter().map(|value| value.to_bits()).collect()).collect()
}

fn embedder(folder: &std::path::Path, precision: Precision) -> Embedder {
    Embedder::of(Packed::from_bytes(&pack(folder, &Description::of(folder).unwrap(), precision).unwrap()).unwrap()).unwrap()
}

fn assert_equal_on_all_kernels(folder: &std::path::Path, precision: Precision, texts: &[&str]) {
    let expected = embedder(folder, precision).with_kernel(Kernel::named("scalar").unwrap()).embed(texts, &|_| {}).unwrap();
    for name in ["avx2", "avxvnni", "avx512", "neon"] {
        let Some(kernel) = Kernel::named(name) else {
            println!("skipped: no {name} here");
            continue;
        };
        let found = embedder(folder, precision).with_kernel(kernel).embed(texts, &|_| {}).unwrap();
        assert!(bits(&found) == bits(&expected), "{name} differs from scalar");
    }
}

#[test]
fn all_kernels_give_the_same_bits() {
    let folder = small_model();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for precision in [Precision::Int8, Precision::F32] {
        assert_equal_on_all_kernels(folder.path(), precision, &texts);
    }
    for activation in ["gelu_new", "relu"] {
        assert_equal_on_all_kernels(Shape { activation, ..Shape::default() }.write().path(), Precision::Int8, &texts);
    }
    // Wider than AVX2 takes at once, and no multiple of that; enough tokens that it looks for an order.
    let wide = Shape { width: 448, inner: 1536, layers: 1, heads: 7, ..Shape::default() }.write();
    assert_equal_on_all_kernels(wide.path(), Precision::Int8, &texts[30..40]);
}

/// First half of the SHA-256 of all vectors.
fn digest(vectors: &[Vec<f32>]) -> String {
    let mut hash = Sha256::new();
    for value in vectors.iter().flatten() {
        hash.update(value.to_le_bytes());
    }
    hex(&hash.finalize()[..16])
}

/// Known digests hold for every machine that runs this test, x86 or ARM. Arithmetic that changes them changes every index, so it
/// has a number of its own: new digests want a new one, because kept vectors are found by it.
#[test]
fn the_bits_are_known() {
    let folder = small_model();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let of = |folder, precision| digest(&embedder(folder, precision).embed(&texts, &|_| {}).unwrap());
    assert_eq!(
        (ARITHMETIC, [of(folder.path(), Precision::Int8), of(folder.path(), Precision::F32)]),
        (2, ["3d6f372ca0bc88d4f17d4d06fcce72a9", "c2cf52e3e9f23ba30d8d4a8e26ac48d6"].map(str::to_owned))
    );
    let Some(folder) = model() else { return };
    assert_eq!(
        (ARITHMETIC, [of(&folder, Precision::Int8), of(&folder, Precision::F32)]),
        (2, ["dc07c356155d3e11b8938133b4d616cc", "4887480f13e3aa1605306604882e076d"].map(str::to_owned))
    );
}

#[test]
fn all_kernels_give_the_same_bits_on_the_real_model() {
    let Some(folder) = model() else { return };
    let long = "The index is one immutable file. It is mapped, never read. ".repeat(12);
    assert_equal_on_all_kernels(&folder, Precision::Int8, &["What is a vector index?", &long]);
}

#[test]
fn batch_and_threads_do_not_matter() {
    let (folder, reads_first) = (small_model(), small_model());
    std::fs::create_dir(reads_first.path().join("1_Pooling")).unwrap();
    std::fs::write(reads_first.path().join("1_Pooling/config.json"), r#"{"pooling_mode": "cls"}"#).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (folder, precision) in [(&folder, Precision::Int8), (&folder, Precision::F32), (&reads_first, Precision::Int8)] {
        let embedder = embedder(folder.path(), precision);
        let alone: Vec<Vec<f32>> = texts.iter().map(|text| embedder.embed_one(text).unwrap()).collect();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let together = pool.install(|| embedder.embed(&texts, &|_| {})).unwrap();
            assert!(bits(&together) == bits(&alone), "{threads} threads");
            // The small model has no prefixes, so a question is a text like others; from a few tokens on two threads share it.
            let asked: Vec<Vec<f32>> = pool.install(|| texts.iter().map(|text| embedder.embed_query(text).unwrap()).collect());
            assert!(bits(&asked) == bits(&alone), "{threads} threads, as questions");
        }
    }
}

#[test]
fn the_real_model_gives_a_text_the_same_bits_however_it_is_embedded() {
    let Some(embedder) = model().map(|folder| Embedder::open(&folder).unwrap()) else { return };
    let texts =
        ["How do I rebuild the index?", "Rebuild it with one command", "", "a b c d e f g", "one two three four five six"];
    let together = embedder.embed(&texts, &|_| ()).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(embedder.embed_one(text).unwrap(), *vector, "{text}");
        assert_eq!(embedder.embed_query(text).unwrap(), *vector, "{text}");
        let norm: f32 = vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
}

#[test]
fn only_the_first_tokens_count_and_counting_does_not_saturate() {
    let Some(embedder) = model().map(|folder| Embedder::open(&folder).unwrap()) else { return };
    let long = "word ".repeat(1000);
    assert_eq!(embedder.tokenizer().count(&long), 1000);
    assert_eq!(embedder.embed_one(&long).unwrap(), embedder.embed_one(&"word ".repeat(254)).unwrap());
    assert_ne!(embedder.embed_one(&long).unwrap(), embedder.embed_one(&"word ".repeat(253)).unwrap());
}

#[test]
fn vectors_have_unit_length_and_texts_differ() {
    let folder = small_model();
    let embedder = embedder(folder.path(), Precision::Int8);
    let (one, other) = (embedder.embed_one("the index").unwrap(), embedder.embed_one("zebra7").unwrap());
    for vector in [&one, &other] {
        assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert_ne!(one, other);
}

#[test]
fn done_counts_every_text_once() {
    let folder = small_model();
    let embedder = embedder(folder.path(), Precision::Int8);
    let count = std::sync::atomic::AtomicUsize::new(0);
    let texts = vec!["the index is mapped"; 300];
    let vectors = embedder.embed(&texts, &|more| _ = count.fetch_add(more, std::sync::atomic::Ordering::Relaxed)).unwrap();
    assert_eq!((vectors.len(), count.into_inner()), (300, 300));
    assert!(embedder.embed(&[], &|_| {}).unwrap().is_empty());
}
