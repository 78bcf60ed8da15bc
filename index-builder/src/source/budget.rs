//! Bytes that may be in memory at once: reading waits until enough of them are free.

use std::sync::{Condvar, Mutex, PoisonError};

/// A number of bytes to share.
pub(super) struct Budget {
    whole: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// Bytes taken from a budget; dropping it gives them back.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: u64) -> Self {
        Self { whole: bytes, free: Mutex::new(bytes), freed: Condvar::new() }
    }

    /// Waits until `bytes` are free and takes them. More than the whole budget counts as the whole of it: such a document is
    /// read alone.
    pub(super) fn take(&self, bytes: u64) -> Share<'_> {
        let bytes = bytes.min(self.whole);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn never_more_than_the_budget_is_taken() {
        let (budget, taken, most) = (Budget::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (budget, taken, most) = (&budget, &taken, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let wanted = (thread * 31 + round * 7) % 130;
                        let share = budget.take(wanted);
                        most.fetch_max(taken.fetch_add(share.bytes, Ordering::SeqCst) + share.bytes, Ordering::SeqCst);
                        std::thread::yield_now();
                        taken.fetch_sub(share.bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=100).contains(&most.load(Ordering::SeqCst)), "{most:?}");
        assert_eq!(*budget.free.lock().unwrap(), 100);
    }
}
