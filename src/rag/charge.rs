//! Dollars of what providers answered.

use crate::app::App;
use crate::chat::{ChatResponse, Usage};
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
