//! Large indexes: clusters, codes and tuned settings, made to begin at no chunk at all so that small ones have them too.
#![expect(clippy::unwrap_used, reason = "test code")]

mod index_support;
#[path = "index_support/threads.rs"]
mod threads;
#[path = "index_support/written.rs"]
mod written;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use index_support::{DIMENSIONS, Pushed, Random, build, build_with, corpus, document, fill, manifest, query};
use omni_retrieval::index::{Filter, Index, Query, Recall, Writer};
use tempfile::TempDir;
use written::written;

/// Writes an index that is coded from the first chunk on.
fn build_coded(path: &Path, corpus: &[Pushed]) -> String {
    build_with(Writer::new(manifest()).exact_up_to(0), path, corpus)
}

fn open(corpus: &[Pushed]) -> (TempDir, Index) {
    written(fill(Writer::new(manifest()).exact_up_to(0), corpus))
}

fn search(index: &Index, vector: &[f32], recall: Recall, top_k: usize) -> Vec<u32> {
    let mut query = query(Some(vector), None);
    (query.recall, query.top_k) = (recall, top_k);
    index.search(&query).unwrap().iter().map(|hit| hit.chunk).collect()
}

/// Vectors in bunches, as those of texts are.
fn bunches(seed: u64, count: usize) -> Vec<Pushed> {
    let mut random = Random::new(seed);
    let middles: Vec<Vec<f32>> = (0..40).map(|_| random.vector()).collect();
    let mut corpus = corpus(seed, count, 3);
    for pushed in &mut corpus {
        let middle = &middles[random.below(middles.len())];
        let mixed: Vec<f32> = middle.iter().zip(random.vector()).map(|(a, b)| a + 0.7 * b).collect();
        let length = mixed.iter().map(|value| value * value).sum::<f32>().sqrt();
        pushed.vector = mixed.into_iter().map(|value| value / length).collect();
    }
    corpus
}

#[test]
fn recall_is_what_was_asked_for() {
    let corpus = bunches(40, 6_000);
    let (_folder, index) = open(&corpus);
    index.verify().unwrap();
    let mut random = Random::new(41);
    let queries: Vec<Vec<f32>> = (0..200)
        .map(|_| {
            let near = &corpus[random.below(corpus.len())].vector;
            near.iter().zip(random.vector()).map(|(a, b)| a + 0.4 * b).collect()
        })
        .collect();
    for top_k in [1, 5, 10] {
        let mut previous = 0.0;
        for (recall, least) in [(Recall::Fast, 0.90), (Recall::Balanced, 0.97), (Recall::Exact, 1.0)] {
            let share = agreement(&queries, |query, recall| search(&index, query, recall, top_k), recall);
            assert!(share >= least && share >= previous, "{recall:?}, {top_k}: {share}");
            previous = share;
        }
    }
    let [fast, balanced] = index.recall().unwrap().unwrap();
    assert!(fast >= 0.95 && balanced >= 0.99, "{fast} {balanced}");
}

/// What words found and probing did not reach counts by its vector as well.
#[test]
fn a_hybrid_search_finds_what_an_exact_one_does() {
    let corpus = bunches(52, 3_000);
    let (_folder, index) = open(&corpus);
    let mut random = Random::new(53);
    let queries: Vec<(Vec<f32>, String)> = (0..100)
        .map(|_| {
            let near = &corpus[random.below(corpus.len())];
            let words: Vec<&str> = near.text.split(' ').take(3).collect();
            (near.vector.iter().zip(random.vector()).map(|(a, b)| a + 1.5 * b).collect(), words.join(" "))
        })
        .collect();
    for recall in [Recall::Fast, Recall::Balanced] {
        let ask = |(vector, words): &(Vec<f32>, String), recall| {
            let query = Query { recall, top_k: 1, ..query(Some(vector), Some(words)) };
            index.search(&query).unwrap().iter().map(|hit| hit.chunk).collect()
        };
        let share = agreement(&queries, ask, recall);
        assert!(share >= 0.85, "{recall:?}: {share}");
    }
}

/// How much of what exact searches find is found.
fn agreement<Q>(queries: &[Q], ask: impl Fn(&Q, Recall) -> Vec<u32>, recall: Recall) -> f32 {
    let (mut found, mut wanted) = (0, 0);
    for query in queries {
        let exact = ask(query, Recall::Exact);
        found += ask(query, recall).iter().filter(|chunk| exact.contains(chunk)).count();
        wanted += exact.len();
    }
    found as f32 / wanted as f32
}

#[test]
fn the_first_hits_are_the_same_however_many_are_wanted() {
    let corpus = bunches(54, 3_000);
    let (_folder, index) = open(&corpus);
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let (vector, words) = (random.vector(), random.words(4, 300));
        let ask = |top_k| {
            let query = Query { recall: Recall::Exact, top_k, ..query(Some(&vector), Some(&words)) };
            index.search(&query).unwrap()
        };
        let most = ask(100);
        for top_k in [1, 5, 10, 20, 50] {
            assert_eq!(ask(top_k), most[..top_k], "{top_k}");
        }
    }
}

#[test]
fn exact_is_exact_however_the_vectors_lie() {
    let corpus = bunches(39, 2_000);
    let (folder, clustered) = open(&corpus);
    let path = folder.path().join("plain.omni");
    build(&path, &corpus);
    let plain = Index::open(&path).unwrap();
    for seed in 0..20 {
        let vector = Random::new(seed).vector();
        let mut query = query(Some(&vector), Some("w1 w2"));
        query.recall = Recall::Exact;
        assert_eq!(clustered.search(&query).unwrap(), plain.search(&query).unwrap());
    }
}

/// Orphans, vectors that no search ever finds, are the silent failure of other indexes.
#[test]
fn every_vector_finds_itself() {
    for count in (1..=64).chain([700, 1_500]) {
        let corpus = if count == 700 { bunches(42, count) } else { corpus(42 + count as u64, count, 3) };
        let (_folder, index) = open(&corpus);
        for (number, pushed) in (0..).zip(&corpus) {
            for recall in [Recall::Fast, Recall::Balanced, Recall::Exact] {
                assert_eq!(search(&index, &pushed.vector, recall, 1), [number], "{number} of {count}, {recall:?}");
            }
        }
    }
}

#[test]
fn all_there_is_is_found_where_more_is_asked_for() {
    let corpus = bunches(43, 500);
    let (_folder, index) = open(&corpus);
    let vector = Random::new(43).vector();
    for recall in [Recall::Fast, Recall::Balanced, Recall::Exact] {
        for top_k in [0, 1, 10, 100, 499, 500, 5_000] {
            let found = search(&index, &vector, recall, top_k);
            assert_eq!(found.len(), top_k.min(500), "{recall:?} {top_k}");
            let mut different = found.clone();
            different.sort_unstable();
            different.dedup();
            assert_eq!(different.len(), found.len());
        }
    }
}

#[test]
fn a_thousand_equal_vectors_hide_nothing() {
    let mut corpus = bunches(44, 1_500);
    let same = corpus[0].vector.clone();
    corpus[100..1_100].iter_mut().for_each(|pushed| pushed.vector.clone_from(&same));
    let (_folder, index) = open(&corpus);
    for (number, pushed) in (0..).zip(&corpus).filter(|(number, _)| *number != 0 && !(100..1_100).contains(number)) {
        assert_eq!(search(&index, &pushed.vector, Recall::Fast, 1), [number]);
    }
    // Equals come in the order of their numbers.
    let expected: Vec<u32> = [0].into_iter().chain(100..109).collect();
    assert_eq!(search(&index, &same, Recall::Exact, 10), expected);
}

#[test]
fn a_filter_gives_exactly_what_matches() {
    let corpus = bunches(45, 3_000);
    let (_folder, index) = open(&corpus);
    let vector = Random::new(45).vector();
    let uri = |number: u32| document(corpus[number as usize].document as usize).uri;
    for prefix in ["s3://bucket/", "s3://bucket/guides/", "s3://bucket/notes/11", "s3://bucket/manuals/4.", "s3://other/"] {
        let matching = (0..3_000).filter(|&number| uri(number).starts_with(prefix)).count();
        let filter = Filter::prefix("uri", prefix);
        for recall in [Recall::Fast, Recall::Balanced, Recall::Exact] {
            for top_k in [1, 10, 200, 4_000] {
                let mut query = query(Some(&vector), None);
                (query.top_k, query.filter, query.recall) = (top_k, Some(&filter), recall);
                let hits = index.search(&query).unwrap();
                assert_eq!(hits.len(), top_k.min(matching), "{prefix} {top_k} {recall:?}");
                assert!(hits.iter().all(|hit| uri(hit.chunk).starts_with(prefix)));
            }
        }
    }
}

#[test]
fn equal_input_gives_equal_bytes_on_any_number_of_threads() {
    let folder = TempDir::new().unwrap();
    let corpus = bunches(46, 4_000);
    let files: Vec<Vec<u8>> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            let path = folder.path().join(format!("{threads}.omni"));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let digest = "50bd292699794b636db48da97cda519c77002a299b288ec4849717e9ce40e047";
            assert_eq!(pool.install(|| build_coded(&path, &corpus)), digest);
            fs::read(path).unwrap()
        })
        .collect();
    assert!(files[0] == files[1] && files[1] == files[2]);
}

/// Unless the changelog says why, what is written is the same from one version to the next.
#[test]
fn equal_input_gives_the_bytes_of_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build_coded(&path, &repetitive());
    let before = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/index_v1_clusters.omni")).unwrap();
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn sixty_four_threads_search_at_once() {
    let corpus = bunches(47, 3_000);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build_coded(&path, &corpus);
    threads::assert_alike(&path, 64);
}

#[test]
fn warming_stops_at_its_budget_and_at_its_deadline() {
    let (folder, index) = open(&bunches(48, 3_000));
    let size = std::fs::metadata(folder.path().join("kb.omni")).unwrap().len();
    let later = Instant::now() + Duration::from_secs(60);
    assert_eq!(index.warm(0, later).unwrap(), 0);
    assert_eq!(index.warm(100_000, later).unwrap(), 100_000);
    assert_eq!(index.warm(u64::MAX, Instant::now()).unwrap(), 0);
    let all = index.warm(u64::MAX, later).unwrap();
    // All but the superblock, the checksums and what aligns the sections.
    assert!(all < size && all > size - 16_384, "{all} of {size}");
}

/// A search of a coded file reads few rows, and texts of its final hits only.
#[test]
fn rows_and_texts_are_warmed_last() {
    let (folder, _) = open(&bunches(48, 3_000));
    let path = folder.path().join("kb.omni");
    let mut bytes = fs::read(&path).unwrap();
    let number = |at: usize, length: usize| (0..length).rev().fold(0, |sum, byte| sum << 8 | u64::from(bytes[at + byte]));
    let entries: Vec<(u64, u64, u64)> = (0..number(12, 4) as usize)
        .map(|entry| 128 + 32 * entry)
        .map(|at| (number(at, 4), number(at + 8, 8), number(at + 16, 8)))
        .collect();
    // All but the checksums (2), and of the rest blocks (6), records, headings and texts (15 to 17).
    let first: u64 = entries.iter().filter(|entry| ![2, 6, 15, 16, 17].contains(&entry.0)).map(|entry| entry.2).sum();
    let &(_, rows, _) = entries.iter().find(|entry| entry.0 == 6).unwrap();
    bytes[rows as usize] ^= 1;
    fs::write(&path, bytes).unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    assert_eq!(Index::open(&path).unwrap().warm(first, later).unwrap(), first);
    let error = Index::open(&path).unwrap().warm(first + 1, later).unwrap_err().to_string();
    assert!(error.contains("damaged in section `blocks` at block 0"), "{error}");
}

#[test]
fn a_file_that_is_overwritten_in_place_makes_searches_fail_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build_coded(&path, &bunches(49, 3_000));
    let bytes = fs::read(&path).unwrap();
    let vector = Random::new(49).vector();
    let ask = |index: &Index| index.search(&query(Some(&vector), Some("w1 w2"))).map_err(|error| error.to_string());
    // Written at a time of its own: where times are coarse, a file is told from the one before by its length alone.
    let write = |bytes: &[u8], second| {
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    };
    let lost = "kb.omni: was overwritten while in use; put a new file in its place by renaming, never by writing into it, and start again";

    // Cut short, as `cp` does before it writes.
    let index = Index::open(&path).unwrap();
    ask(&index).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
    assert_eq!(ask(&index).unwrap_err(), lost);
    assert_eq!(index.chunk(0).unwrap_err().to_string(), lost);
    assert_eq!(index.verify().unwrap_err().to_string(), lost);
    assert_eq!(index.recall().unwrap_err().to_string(), lost);
    assert_eq!(index.vector(0).unwrap_err().to_string(), lost);
    write(&bytes, 1);

    // Another index of the same length: with its own checksums, all of them right.
    let index = Index::open(&path).unwrap();
    ask(&index).unwrap();
    let mut other = bytes.clone();
    other[64] ^= 1;
    let crc = crc32c::crc32c(&other[..4092]);
    other[4092..4096].copy_from_slice(&crc.to_le_bytes());
    write(&other, 2);
    assert_eq!(ask(&index).unwrap_err(), lost);

    // Damaged after it was verified: verified again, and found.
    write(&bytes, 3);
    let index = Index::open(&path).unwrap();
    ask(&index).unwrap();
    let mut damaged = bytes.clone();
    damaged[100_000..].iter_mut().for_each(|byte| *byte ^= 1);
    write(&damaged, 4);
    assert!(index.require_sound().is_ok(), "nobody has met it yet");
    let text = ask(&index).unwrap_err();
    assert!(text.contains("damaged in section"), "{text}");
    assert!(index.require_whole().is_ok() && index.require_sound().unwrap_err().to_string() == text, "it stays known");

    // Written with what was there before: no harm done.
    write(&bytes, 5);
    let index = Index::open(&path).unwrap();
    let before = ask(&index).unwrap();
    write(&bytes, 6);
    assert_eq!(ask(&index).unwrap(), before);
}

/// The race that comparing sizes cannot win: the file shrinks while searches are in the middle of it.
#[test]
fn a_file_that_shrinks_under_running_searches_kills_nobody() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build_coded(&path, &bunches(50, 3_000));
    let vectors: Vec<Vec<f32>> = (0..50).map(|seed| Random::new(seed).vector()).collect();
    for round in 0..5 {
        let copy = folder.path().join(format!("{round}.omni"));
        fs::copy(&path, &copy).unwrap();
        let index = Index::open(&copy).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let until = Instant::now() + Duration::from_secs(30);
                    let mut failed = 0;
                    while Instant::now() < until && failed < 10 {
                        for vector in &vectors {
                            let mut query = query(Some(vector), None);
                            query.recall = Recall::Exact;
                            failed += usize::from(index.search(&query).is_err());
                        }
                    }
                    assert!(failed > 0);
                });
            }
            std::thread::sleep(Duration::from_millis(50));
            fs::File::options().write(true).open(&copy).unwrap().set_len(4_096).unwrap();
        });
        assert!(index.search(&query(Some(&vectors[0]), None)).is_err());
    }
}

/// Files of format 1: the first, as it was written on the day on which the format became fixed, with codes beside their rows; and
/// one with codes apart and packed texts.
#[test]
fn a_file_of_format_1_opens_forever() {
    for (name, corpus, documents) in [("index_v1.omni", bunches(51, 200), 67), ("index_v1_clusters.omni", repetitive(), 34)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        let index = Index::open(&path).unwrap();
        index.verify().unwrap();
        assert_eq!((index.len(), index.document_count(), index.manifest().dimensions), (corpus.len(), documents, DIMENSIONS));
        for (number, pushed) in (0..).zip(&corpus) {
            let chunk = index.chunk(number).unwrap();
            assert_eq!((&*chunk.text, chunk.headings, chunk.page), (pushed.text.as_str(), pushed.headings.as_str(), pushed.page));
            assert_eq!(index.document(chunk.document).unwrap(), document(pushed.document as usize));
            for recall in [Recall::Fast, Recall::Balanced, Recall::Exact] {
                assert_eq!(search(&index, &pushed.vector, recall, 1), [number], "{name}");
            }
        }
        let hits = index.search(&query(None, Some("größe17"))).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [17]);
    }
}

/// So much text that it is packed.
fn repetitive() -> Vec<Pushed> {
    let mut corpus = bunches(51, 100);
    corpus.iter_mut().for_each(|pushed| pushed.text = vec![pushed.text.as_str(); 50].join(" "));
    corpus
}
