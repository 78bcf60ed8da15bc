//! Facts about a request that its answer does not carry: for the log and for counting costs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Usage;

/// The trace of one request. Clones share it. It is no part of what is asked, so any two compare equal.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    request_id: Option<String>,
    progress: Mutex<Progress>,
}

/// Who was asked last, and how far that exchange has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The provider; none where nobody was asked.
    pub provider: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Tokens, as far as the provider has told them.
    pub usage: Option<Usage>,
    /// Whether they include those of the answer: what is told at its beginning does not.
    pub is_counted: bool,
    /// Dollars of an answer that was left before its end, where they are known.
    pub cost_usd: Option<f64>,
    failed: Vec<Failed>,
}

/// An exchange that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// How, as in `error.code`.
    pub code: &'static str,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// Whether it may have to be paid for all the same.
    pub may_have_cost: bool,
}

impl Progress {
    /// Tokens of the answer so far.
    pub fn completion_tokens(&self) -> Option<u64> {
        self.usage.filter(|_| self.is_counted).map(|usage| usage.completion_tokens)
    }
}

impl Trace {
    /// The trace of the request that the log calls `request_id`.
    pub fn new(request_id: &str) -> Self {
        Self(Arc::new(Inner { request_id: Some(request_id.to_owned()), progress: Mutex::default() }))
    }

    /// What the log calls it.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Somebody is asked.
    pub fn asking(&self, provider: &str, model: &str) {
        let mut progress = self.now();
        let failed = std::mem::take(&mut progress.failed);
        *progress =
            Progress { provider: Some(provider.to_owned()), model: Some(model.to_owned()), failed, ..Progress::default() };
    }

    /// Tokens were told; `is_behind` says that content came before them.
    pub fn used(&self, usage: Usage, is_behind: bool) {
        let mut progress = self.now();
        progress.usage = Some(usage);
        progress.is_counted = is_behind && usage.completion_tokens > 0;
    }

    /// What an answer that was left before its end cost.
    pub fn left(&self, cost_usd: Option<f64>) {
        self.now().cost_usd = cost_usd;
    }

    /// An exchange failed.
    pub fn failed(&self, failed: Failed) {
        self.now().failed.push(failed);
    }

    /// The exchanges that failed since this was called last.
    pub fn take_failed(&self) -> Vec<Failed> {
        std::mem::take(&mut self.now().failed)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.now().clone()
    }

    fn now(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Trace {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
