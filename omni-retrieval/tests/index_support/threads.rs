//! Searches of many threads at once.

use std::path::Path;

use omni_retrieval::index::{Hit, Index};

use super::index_support::{Random, query};

/// So many threads, which ask the same of one index at once, find what one finds alone.
pub(crate) fn assert_alike(path: &Path, threads: usize) {
    let mut random = Random::new(27);
    let questions: Vec<(Vec<f32>, String)> = (0..20).map(|_| (random.vector(), random.words(3, 300))).collect();
    let ask = |index: &Index| -> Vec<Vec<Hit>> {
        questions.iter().map(|(vector, text)| index.search(&query(Some(vector), Some(text))).unwrap()).collect()
    };
    let expected = ask(&Index::open(path).unwrap());
    // Freshly opened, so that the threads race for the first touch of every block.
    let index = Index::open(path).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| ask(&index))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}
