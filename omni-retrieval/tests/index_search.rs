//! Searches give exactly what a plain loop over everything would give, whatever the size, filter or number of threads.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod index_support;
#[path = "index_support/threads.rs"]
mod threads;
#[path = "index_support/written.rs"]
mod written;

use index_support::{DIMENSIONS, Pushed, Random, build, corpus, document, fill, manifest, query};
use omni_retrieval::index::{Chunk, Filter, Fusion, Hit, Index, Query, Recall, Writer};
use tempfile::TempDir;
use written::written;

fn open(corpus: &[Pushed]) -> (TempDir, Index) {
    written(fill(Writer::new(manifest()), corpus))
}

/// The definition: integers, their exact product, divided by both lengths.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let integers = |vector: &[f32]| {
        let max = vector.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let row: Vec<i32> = vector.iter().map(|value| (value / max * 127.0).round_ties_even() as i32).collect();
        let scale = 1.0 / f64::from(row.iter().map(|value| value * value).sum::<i32>()).sqrt();
        (row, scale as f32)
    };
    let ((a, a_scale), (b, b_scale)) = (integers(a), integers(b));
    let dot: i32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    (dot as f32 * b_scale * a_scale).clamp(-1.0, 1.0)
}

fn ranked(corpus: &[Pushed], vector: &[f32]) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> =
        corpus.iter().enumerate().map(|(number, pushed)| (number as u32, cosine(vector, &pushed.vector))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

fn numbers(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.chunk).collect()
}

#[test]
fn every_vector_finds_itself() {
    for count in 1..=64 {
        let corpus = corpus(100 + count as u64, count, 3);
        let (_folder, index) = open(&corpus);
        for (number, pushed) in corpus.iter().enumerate() {
            let hits = index.search(&query(Some(&pushed.vector), None)).unwrap();
            assert_eq!(hits[0].chunk, number as u32, "{count} chunks");
            assert!((hits[0].cosine - 1.0).abs() < 1e-6);
            assert_eq!(hits.len(), count.min(10));
        }
    }
}

#[test]
fn a_dense_search_is_the_plain_loop() {
    let corpus = corpus(20, 700, 5);
    let (_folder, index) = open(&corpus);
    let mut random = Random::new(20);
    for top_k in [0, 1, 7, 100, 700, 5_000, usize::MAX] {
        let vector = random.vector();
        let mut expected = ranked(&corpus, &vector);
        expected.truncate(top_k);
        let mut query = query(Some(&vector), None);
        query.top_k = top_k;
        let hits = index.search(&query).unwrap();
        assert_eq!(hits.iter().map(|hit| (hit.chunk, hit.cosine)).collect::<Vec<_>>(), expected);
        assert!(hits.iter().all(|hit| hit.fused == hit.cosine && hit.bm25 == 0.0));
    }
}

#[test]
fn many_rows_are_scanned_in_parallel_with_the_same_result() {
    let mut random = Random::new(22);
    let mut writer = Writer::new(manifest());
    // Few distinct vectors, so that ties are everywhere.
    let vectors: Vec<Vec<f32>> = (0..2_000).map(|_| random.vector()).collect();
    let mut corpus = Vec::new();
    writer.push_document(document(0));
    for number in 0..60_000_u64 {
        let vector = vectors[random.below(vectors.len())].clone();
        let pushed = Pushed { document: 0, text: String::new(), start: number, page: None, headings: String::new(), vector };
        writer.push_chunk(&pushed.chunk(), &pushed.vector).unwrap();
        corpus.push(pushed);
    }
    let (_folder, index) = written(writer);
    let vector = random.vector();
    let mut query = query(Some(&vector), None);
    (query.top_k, query.recall) = (500, Recall::Exact);
    let expected: Vec<u32> = ranked(&corpus, &vector).into_iter().take(500).map(|(number, _)| number).collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(numbers(&pool.install(|| index.search(&query)).unwrap()), expected);
    }
}

#[test]
fn words_are_scored_by_the_formula() {
    let texts = ["red fox red", "a red dog", "the green fox of the hill", "blue", "fox fox fox fox hill"];
    let mut writer = Writer::new(manifest());
    for (number, text) in texts.into_iter().enumerate() {
        let mut document = document(number);
        document.title = String::new();
        writer.push_document(document);
        let vector = vec![1.0; DIMENSIONS];
        let pushed = Pushed { document: number as u32, text: text.into(), start: 0, page: None, headings: String::new(), vector };
        writer.push_chunk(&pushed.chunk(), &pushed.vector).unwrap();
    }
    let (_folder, index) = written(writer);
    // Counted by hand, function words left out: (foxes, hills, length).
    let counts = [(1, 0, 3), (0, 0, 2), (1, 1, 3), (0, 0, 1), (4, 1, 5)];
    let mean = 14.0 / 5.0;
    let idf = |n: f64| (1.0 + (5.0 - n + 0.5) / (n + 0.5)).ln();
    let part = |count: i32, length: i32, n: f64| {
        let count = f64::from(count);
        idf(n) * count / (count + 0.9 * (1.0 - 0.4 + 0.4 * f64::from(length) / mean))
    };
    // "hills hill" asks twice for one term.
    let hits = index.search(&query(None, Some("The Foxes, hills hill!"))).unwrap();
    let mut expected: Vec<(u32, f64)> = counts
        .into_iter()
        .enumerate()
        .map(|(number, (foxes, hills, length))| (number as u32, part(foxes, length, 3.0) + 2.0 * part(hills, length, 2.0)))
        .filter(|&(_, score)| score > 0.0)
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!(numbers(&hits), expected.iter().map(|&(number, _)| number).collect::<Vec<_>>());
    for (hit, (_, score)) in hits.iter().zip(expected) {
        assert!((f64::from(hit.bm25) - score).abs() < 1e-5, "{hit:?} {score}");
        assert_eq!((hit.fused, hit.cosine), (hit.bm25, 0.0));
    }
    assert_eq!(index.search(&query(None, Some("the of a"))).unwrap(), []);
    assert_eq!(index.search(&query(None, Some("unheard"))).unwrap(), []);
}

/// A number below 200, low ones more often.
fn skewed(random: &mut Random) -> usize {
    let end = 1 + random.below(200);
    random.below(end)
}

/// A search that wants everything can skip nothing; one that wants a few skips most, and must begin the same.
#[test]
fn skipping_changes_no_score_and_no_rank() {
    let mut corpus = corpus(29, 6_000, 9);
    let mut random = Random::new(29);
    // Words from everywhere to nowhere, in texts of very different lengths: lists of many blocks, and of one.
    for (number, pushed) in corpus.iter_mut().enumerate() {
        let words: String = (0..1 + random.below(40)).map(|_| format!("w{} ", skewed(&mut random))).collect();
        pushed.text = format!("{words}rare{}", number % 1500);
    }
    let (_folder, index) = open(&corpus);
    let mut word =
        || if random.below(4) == 0 { format!("rare{}", random.below(1600)) } else { format!("w{}", skewed(&mut random)) };
    let made_up = (0..60).map(|round| (0..1 + round % 9).map(|_| word()).collect::<Vec<_>>().join(" "));
    let special = ["\"w1 w2\" w3", "w1 w1 rare650 nothing"].map(str::to_owned);
    let guides = "s3://bucket/guides/";
    let filter = Filter::prefix("uri", guides);
    for question in special.into_iter().chain(made_up) {
        let words: Vec<&str> = question.split([' ', '"']).filter(|word| !word.is_empty()).collect();
        for filter in [None, Some(&filter)] {
            let search = |top_k| index.search(&Query { top_k, filter, ..query(None, Some(&question)) }).unwrap();
            let every = search(usize::MAX);
            let may = |pushed: &Pushed| filter.is_none() || document(pushed.document as usize).uri.starts_with(guides);
            let holds = |pushed: &Pushed| pushed.text.split(' ').any(|word| words.contains(&word));
            assert_eq!(every.len(), corpus.iter().filter(|pushed| may(pushed) && holds(pushed)).count(), "{question}");
            assert!(every.is_sorted_by(|a, b| a.bm25 > b.bm25 || (a.bm25 == b.bm25 && a.chunk < b.chunk)));
            for top_k in [1, 10, 100] {
                assert_eq!(search(top_k), every[..top_k.min(every.len())], "{question}, {top_k}, filtered: {}", filter.is_some());
            }
        }
    }
}

#[test]
fn titles_and_headings_are_found_once() {
    let mut writer = Writer::new(manifest());
    let vector = [1.0; DIMENSIONS];
    for (number, headings) in ["Zebra", "Zebra > Stripes", "Stripes"].into_iter().enumerate() {
        let mut document = document(number);
        document.title = "Zebra".into();
        writer.push_document(document);
        let pushed = Pushed {
            document: number as u32,
            text: "horse".into(),
            start: 0,
            page: None,
            headings: headings.into(),
            vector: vector.to_vec(),
        };
        writer.push_chunk(&pushed.chunk(), &vector).unwrap();
    }
    let (_folder, index) = written(writer);
    assert_eq!(index.search(&query(None, Some("stripes"))).unwrap().len(), 2);
    // The title counts once, whether it stands in the headings or not: the shorter text is the better one.
    let hits = index.search(&query(None, Some("zebra"))).unwrap();
    assert_eq!(numbers(&hits), [0, 1, 2]);
    assert_eq!(hits[1].bm25, hits[2].bm25);
}

#[test]
fn a_heading_that_begins_with_the_letters_of_the_title_is_not_the_title() {
    let mut writer = Writer::new(manifest());
    for (number, headings) in ["Goals", "Goals > Go", "Go", "Go > Goals"].into_iter().enumerate() {
        let mut document = document(number);
        document.title = "Go".into();
        let document = writer.push_document(document);
        let chunk = Chunk { document, text: "horse".into(), start: 0, end: 5, page: None, headings };
        writer.push_chunk(&chunk, &[1.0; DIMENSIONS]).unwrap();
    }
    let (_folder, index) = written(writer);
    let mut found = numbers(&index.search(&query(None, Some("go"))).unwrap());
    found.sort_unstable();
    assert_eq!(found, [0, 1, 2, 3]);
}

#[test]
fn where_words_alone_weigh_the_nearest_fill_the_places_behind() {
    let mut writer = Writer::new(manifest());
    let document = writer.push_document(document(0));
    let vector =
        |number: usize| (0..DIMENSIONS).map(|at| if at == 0 { number as f32 } else { 10.0 / (at + number) as f32 }).collect();
    let vectors: Vec<Vec<f32>> = (0..20).map(vector).collect();
    for (number, vector) in vectors.iter().enumerate() {
        let text = if number == 10 { "apple" } else { "horse" };
        let chunk = Chunk { document, text: text.into(), start: 0, end: 5, page: None, headings: "" };
        writer.push_chunk(&chunk, vector).unwrap();
    }
    let (_folder, index) = written(writer);
    let nearest = numbers(&index.search(&query(Some(&vectors[19]), None)).unwrap());
    let mut query = query(Some(&vectors[19]), Some("apple"));
    query.fusion = Fusion::MinMax { alpha: 0.0 };
    let found = numbers(&index.search(&query).unwrap());
    assert_eq!(found[0], 10);
    let nearest: Vec<u32> = nearest.into_iter().filter(|&chunk| chunk != 10).collect();
    assert_eq!(found[1..], nearest[..9]);
}

#[test]
fn copies_leave_the_places_to_what_differs_however_many_they_are() {
    let mut writer = Writer::new(manifest());
    let vector = |number: usize| -> Vec<f32> { (0..DIMENSIONS).map(|at| 1.0 / (1 + at + number) as f32).collect() };
    for number in 0..160 {
        let document = writer.push_document(document(number));
        let text = if number < 120 { "apple".to_owned() } else { format!("apple pie {number}") };
        let chunk = Chunk { document, text: text.as_str().into(), start: 0, end: 5, page: None, headings: "" };
        writer.push_chunk(&chunk, &vector(number)).unwrap();
    }
    let (_folder, index) = written(writer);
    let nearest = vector(0);
    for (vector, text) in [(Some(&*nearest), Some("apple")), (Some(&*nearest), None), (None, Some("apple"))] {
        let query = Query { top_k: 20, distinct: true, ..query(vector, text) };
        let found = numbers(&index.search(&query).unwrap());
        assert_eq!((found.len(), found.iter().filter(|chunk| **chunk < 120).count()), (20, 1), "{found:?}");
    }
}

#[test]
fn the_only_chunk_that_holds_a_name_comes_before_the_nearest() {
    let mut writer = Writer::new(manifest());
    let document = writer.push_document(document(0));
    let mut random = Random::new(29);
    let vectors: Vec<Vec<f32>> = (0..200).map(|_| random.vector()).collect();
    let far = (0..200).min_by(|&a, &b| cosine(&vectors[7], &vectors[a]).total_cmp(&cosine(&vectors[7], &vectors[b]))).unwrap();
    for (number, vector) in vectors.iter().enumerate() {
        let text =
            if number == far { "The getUserName call of the user was cold at the start" } else { "Another call of the user" };
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, vector).unwrap();
    }
    let (_folder, index) = written(writer);
    let first = |text, fusion, top_k| {
        let query = Query { fusion, top_k, ..query(Some(&vectors[7]), Some(text)) };
        index.search(&query).unwrap()[0].chunk
    };
    for text in ["getUserName", "Which \"cold at the start\"?"] {
        assert_eq!(first(text, Fusion::default(), 10), far as u32, "{text}");
        assert_eq!(first(text, Fusion::default(), 100), far as u32, "{text}");
        assert_eq!(first(text, Fusion::MinMax { alpha: 0.6 }, 10), 7, "whoever sets a weight is heard: {text}");
    }
    assert_eq!(first("the username", Fusion::default(), 10), 7);
}

#[test]
fn a_name_that_tells_nothing_apart_of_what_is_allowed_changes_no_weight() {
    let mut writer = Writer::new(manifest());
    let mut random = Random::new(31);
    for number in 0..12 {
        let document = writer.push_document(document(number));
        // In half of the manuals, and in all notes.
        let name = if number % 6 == 1 { "getUserName" } else { ["", "", "PostgreSQL"][number % 3] };
        let text = format!("The {name} call{}", " user".repeat(number * number));
        let chunk = Chunk { document, text: text.as_str().into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &random.vector()).unwrap();
    }
    let (_folder, index) = written(writer);
    let vector = random.vector();
    let is_exact = |text, place: &str| {
        let filter = Filter::prefix("uri", place);
        let fused = |fusion| -> Vec<f32> {
            let query = Query { fusion, filter: Some(&filter), ..query(Some(&vector), Some(text)) };
            index.search(&query).unwrap().iter().map(|hit| hit.fused).collect()
        };
        fused(Fusion::Adaptive { alpha: 0.6 }) != fused(Fusion::MinMax { alpha: 0.6 })
    };
    assert!(is_exact("getUserName call", ""));
    assert!(is_exact("getUserName call", "s3://bucket/manuals/"));
    assert!(!is_exact("getUserName call", "s3://bucket/guides/"), "it is only where nobody may look");
    assert!(is_exact("PostgreSQL call", ""));
    assert!(!is_exact("PostgreSQL call", "s3://bucket/notes/"), "everything says it");
}

#[test]
fn where_only_names_are_asked_for_more_chunks_may_hold_them() {
    let mut writer = Writer::new(manifest());
    let document = writer.push_document(document(0));
    let mut random = Random::new(37);
    for number in 0..40 {
        let name = if number % 4 == 1 { "the getUserName of user_name" } else { "the function" };
        let text = format!("Another call of {name}{}", " again".repeat(number));
        let chunk = Chunk { document, text: text.as_str().into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &random.vector()).unwrap();
    }
    let (_folder, index) = written(writer);
    let vector = random.vector();
    let held = |text| {
        let hits = index.search(&Query { top_k: 10, ..query(Some(&vector), Some(text)) }).unwrap();
        hits.iter().filter(|hit| hit.chunk % 4 == 1).count()
    };
    for text in ["getUserName", "What is user_name?"] {
        assert_eq!(held(text), 10, "{text}");
    }
    assert!(held("Another call of getUserName") < 10, "prose is compared by its meaning, too");
}

#[test]
fn both_sides_are_fused_with_true_scores() {
    let corpus = corpus(23, 2_000, 5);
    let (_folder, index) = open(&corpus);
    let mut random = Random::new(23);
    for alpha in [0.0, 0.3, 1.0] {
        let (vector, words) = (random.vector(), random.words(4, 300));
        let mut query = query(Some(&vector), Some(&words));
        query.fusion = Fusion::MinMax { alpha };
        let hits = index.search(&query).unwrap();
        assert_eq!(hits.len(), 10);
        assert!(hits.is_sorted_by(|a, b| a.fused >= b.fused));
        (query.top_k, query.text) = (2_000, None);
        let dense = index.search(&query).unwrap();
        (query.text, query.vector) = (Some(words.as_str()), None);
        let sparse = index.search(&query).unwrap();
        for hit in &hits {
            assert_eq!(dense.iter().find(|other| other.chunk == hit.chunk).unwrap().cosine, hit.cosine);
            assert_eq!(sparse.iter().find(|other| other.chunk == hit.chunk).map_or(0.0, |other| other.bm25), hit.bm25);
        }
        if alpha == 1.0 {
            assert_eq!(numbers(&hits), numbers(&dense[..10]));
        }
        if alpha == 0.0 {
            assert_eq!(numbers(&hits), numbers(&sparse[..10]));
        }
    }
}

#[test]
fn a_threshold_is_a_cosine() {
    let corpus = corpus(25, 400, 3);
    let (_folder, index) = open(&corpus);
    let vector = Random::new(25).vector();
    let expected = ranked(&corpus, &vector).into_iter().filter(|&(_, cosine)| cosine >= 0.3).count();
    assert!(expected > 5);
    for text in [None, Some("w1 w2")] {
        let mut query = query(Some(&vector), text);
        (query.top_k, query.score_threshold) = (400, Some(0.3));
        let hits = index.search(&query).unwrap();
        assert_eq!(hits.len(), expected);
        assert!(hits.iter().all(|hit| hit.cosine >= 0.3));
    }
}

#[test]
fn contradictions_are_named() {
    let (_folder, index) = open(&corpus(26, 10, 3));
    let vector = Random::new(26).vector();
    let text = |query| index.search(&query).unwrap_err().to_string();
    assert_eq!(text(query(None, None)), "query: has neither a vector nor a text; give one of them");
    assert_eq!(text(query(Some(&[1.0; 3]), None)), "vector: has 3 components, the index has 24; embed with the index's model");
    let infinite = [f32::INFINITY; DIMENSIONS];
    assert_eq!(text(query(Some(&infinite), None)), "vector: holds a value that is not finite; embed the question again");
    let mut wrong = query(Some(&vector), None);
    wrong.fusion = Fusion::MinMax { alpha: 1.5 };
    assert_eq!(text(wrong), "`alpha`: 1.5 is not between 0 and 1");
    wrong.fusion = Fusion::MinMax { alpha: f32::NAN };
    assert_eq!(text(wrong), "`alpha`: NaN is not between 0 and 1");
    wrong = query(None, Some("w1"));
    wrong.score_threshold = Some(0.5);
    assert_eq!(text(wrong), "`score_threshold`: is a cosine and needs a vector; leave one out");
}

#[test]
fn sixteen_threads_search_at_once() {
    let corpus = corpus(27, 2_000, 3);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build(&path, &corpus);
    threads::assert_alike(&path, 16);
}
