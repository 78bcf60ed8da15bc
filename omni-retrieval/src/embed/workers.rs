//! Who computes at the moment, and with which buffers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::encoder::Scratch;

/// Tokens of a text that is worth two threads.
const SPLIT_TOKENS: usize = 8;

/// Those who compute with one model.
#[derive(Default)]
pub(super) struct Workers {
    /// Buffers of those that are not at work.
    idle: Mutex<Vec<Scratch>>,
    /// Buffers that are in use.
    at_work: AtomicUsize,
}

impl Workers {
    /// Computes with buffers that somebody else may have grown before.
    pub(super) fn with_buffers<T>(&self, compute: impl FnOnce(&mut Scratch) -> T) -> T {
        let _at_work = AtWork::on(&self.at_work);
        // A worker that panicked left the list whole: it is only pushed to and popped from.
        let mut scratch = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let computed = compute(&mut scratch);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        computed
    }

    /// Whether a question of `tokens` tokens is shared by two threads: where it is long enough, there are two, and nobody else
    /// computes.
    pub(super) fn should_split(&self, tokens: usize) -> bool {
        tokens >= SPLIT_TOKENS && rayon::current_num_threads() > 1 && self.at_work.load(Ordering::Relaxed) == 0
    }
}

/// A worker in the count, until it is done or has panicked.
struct AtWork<'a>(&'a AtomicUsize);

impl<'a> AtWork<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_panics_is_not_at_work() {
        let workers = Workers::default();
        let panicked = std::panic::catch_unwind(|| workers.with_buffers(|_| panic!("as a kernel might")));
        assert!(panicked.is_err());
        assert_eq!(workers.at_work.into_inner(), 0);
    }

    #[test]
    fn a_question_takes_two_threads_only_where_they_are_free_and_it_is_worth_them() {
        let workers = Workers::default();
        let splits = |threads: usize, tokens: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| workers.should_split(tokens))
        };
        assert_eq!([7, 8, 256].map(|tokens| splits(2, tokens)), [false, true, true]);
        assert!(!splits(1, 256));
        // Under load, until the last is done.
        workers.with_buffers(|_| {
            assert!(!splits(2, 256));
            workers.with_buffers(|_| assert!(!splits(2, 256)));
            assert!(!splits(2, 256));
        });
        assert!(splits(2, 256));
    }
}
