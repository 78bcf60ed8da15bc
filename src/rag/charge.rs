//! Dollars of what providers answered.

use crate::app::App;
use crate::chat::{ChatResponse, Failed, Trace, Usage};
use crate::provider;

/// Dollars of an answer. The price is that of the model by its name in the answer, else by the name that was asked for: servers have names
/// of their own.
pub(super) fn charge(app: &App, provider: &str, asked: &str, response: &ChatResponse) -> Option<f64> {
    let today = crate::cost::today();
    let is_priced = app.prices().price(provider, &response.model, 0, &today).is_some();
    let model = if is_priced { &response.model } else { asked };
    cost(app, provider, model, response.usage.filter(|_| provider::is_standard(response)))
}

/// Dollars of one exchange; what is not known is counted.
pub(crate) fn cost(app: &App, provider: &str, model: &str, usage: Option<Usage>) -> Option<f64> {
    let Some(usage) = usage else {
        app.prices().count_unknown();
        return None;
    };
    app.prices().cost(provider, model, &usage, &crate::cost::today())
}

/// An exchange with a provider while the caller waits for it. One whose caller leaves before its end may have to be paid for all
/// the same: it is counted.
pub(crate) struct Exchange<'a>(&'a App);

impl<'a> Exchange<'a> {
    /// It is about to begin.
    pub(crate) fn begin(app: &'a App) -> Self {
        Self(app)
    }

    /// It has ended: what failed on the way, of which is counted what may have to be paid for all the same.
    pub(crate) fn end(self, trace: &Trace) -> Vec<Failed> {
        let failed = trace.take_failed();
        failed.iter().filter(|failed| failed.may_have_cost).for_each(|_| self.0.prices().count_unknown());
        std::mem::forget(self);
        failed
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.0.prices().count_unknown();
    }
}
