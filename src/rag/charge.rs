//! Dollars of what providers answered.

use serde_json::Value;

use crate::app::App;
use crate::chat::{ChatResponse, Usage};

/// Dollars of an answer. The price is that of the model by its name in the answer, else by the name that was asked for: servers have names
/// of their own.
pub(super) fn charge(app: &App, provider: &str, asked: &str, response: &ChatResponse) -> Option<f64> {
    let today = crate::cost::today();
    let is_priced = app.prices().price(provider, &response.model, 0, &today).is_some();
    let model = if is_priced { &response.model } else { asked };
    cost(app, provider, model, response.usage.filter(|_| is_standard(response)))
}

/// Dollars of one exchange; what is not known is counted.
pub(crate) fn cost(app: &App, provider: &str, model: &str, usage: Option<Usage>) -> Option<f64> {
    let Some(usage) = usage else {
        app.prices().count_unknown();
        return None;
    };
    app.prices().cost(provider, model, &usage, &crate::cost::today())
}

/// Whether the answer came at the prices of the table, which has those of tokens in the standard tier, at the usual speed, anywhere.
fn is_standard(response: &ChatResponse) -> bool {
    let extra = &response.extra;
    let is_one =
        |said: Option<&Value>, standard: &[&str]| said.and_then(Value::as_str).is_none_or(|said| standard.contains(&said));
    let tier = extra.get("service_tier").or_else(|| extra.get("serviceTier")?.get("type"));
    // What Anthropic fetches is paid for as tokens; every search, and what else it does there, has a price of its own.
    let mut tools = extra.get("server_tool_use").and_then(Value::as_object).into_iter().flatten();
    is_one(tier, &["auto", "default", "on_demand", "standard", "standard_only"])
        && is_one(extra.get("speed"), &["standard"])
        && is_one(extra.get("inference_geo"), &["global", "not_available"])
        && tools.all(|(name, count)| name == "web_fetch_requests" || count.as_u64().unwrap_or(0) == 0)
}
