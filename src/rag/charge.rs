//! Dollars of what providers answered.

use crate::app::App;
use crate::chat::{ChatResponse, Failed, Trace};
use crate::provider;

/// Dollars of an answer. The price is that of the model by its name in the answer, else by the name that was asked for: servers
/// have names of their own.
pub(super) fn charge(app: &App, provider: &str, asked: &str, response: &ChatResponse) -> Option<f64> {
    let usage = response.usage.as_ref().filter(|_| provider::is_standard(response));
    app.prices().charge(provider, &[&response.model, asked], usage)
}

/// An exchange with a provider while the caller waits for it. One whose caller leaves before its end may have to be paid for all
/// the same: it is counted.
pub(crate) struct Exchange<'a> {
    app: &'a App,
    is_over: bool,
}

impl<'a> Exchange<'a> {
    /// It is about to begin.
    pub(crate) fn begin(app: &'a App) -> Self {
        Self { app, is_over: false }
    }

    /// It has ended: what failed on the way, of which is counted what may have to be paid for all the same.
    pub(crate) fn end(mut self, trace: &Trace) -> Vec<Failed> {
        self.is_over = true;
        let failed = trace.take_failed();
        failed.iter().filter(|failed| failed.may_have_cost).for_each(|_| self.app.prices().count_unknown());
        failed
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.app.prices().count_unknown();
        }
    }
}
