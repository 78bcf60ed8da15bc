//! The terms on which an answer came, by what its provider says of them.

use serde_json::Value;

use super::state::is_empty;
use crate::chat::ChatResponse;

/// What providers call the tier without haste and without delay where it is asked for.
pub(super) const ASKED_TIERS: [&str; 3] = ["default", "on_demand", "standard_only"];
/// What they call it in answers, those too that have no name for it in requests or say again that the choice was theirs.
const TOLD_TIERS: [&str; 5] = ["auto", "default", "on_demand", "standard", "standard_only"];

/// Whether the answer came at the prices of the table, which has those of tokens in the standard tier, at the usual speed,
/// anywhere.
pub(crate) fn is_standard(response: &ChatResponse) -> bool {
    let said = |name: &str, standard: &[&str]| is_one(response.extra.get(name), standard);
    let list = |name: &str| response.extra.get(name).and_then(Value::as_array).into_iter().flatten();
    let bedrocks = response.extra.get("serviceTier").and_then(|tier| tier.get("type"));
    // What Anthropic fetches is paid for as tokens; every search, and what else it does there, has a price of its own.
    let mut tools = response.extra.get("server_tool_use").and_then(Value::as_object).into_iter().flatten();
    let searches = response.extra.get("groundingMetadata").and_then(|grounding| grounding.get("webSearchQueries"));
    said("service_tier", &TOLD_TIERS)
        && is_one(bedrocks, &TOLD_TIERS)
        && said("trafficType", &["ON_DEMAND"])
        && said("speed", &["standard"])
        && said("inference_geo", &["global", "not_available"])
        // What another model said on the way is in the sum at a price of its own, and so is a pass that shortened the conversation:
        // by how long each of them was.
        && list("iterations").all(|part| is_one(part.get("type"), &["message"]))
        && tools.all(|(name, count)| name == "web_fetch_requests" || count.as_u64().unwrap_or(0) == 0)
        // Google's searches have a price of their own, too.
        && searches.is_none_or(is_empty)
}

fn is_one(said: Option<&Value>, standard: &[&str]) -> bool {
    said.and_then(Value::as_str).is_none_or(|said| standard.iter().any(|word| word.eq_ignore_ascii_case(said)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_table_has_prices_for_is_standard() {
        let read =
            |extra: Value| is_standard(&ChatResponse { extra: extra.as_object().unwrap().clone(), ..ChatResponse::default() });
        for extra in [
            json!({}),
            json!({"service_tier": null}),
            json!({"service_tier": "standard"}),
            json!({"service_tier": "STANDARD", "trafficType": "ON_DEMAND"}),
            json!({"serviceTier": {"type": "default"}}),
            json!({"iterations": [{"type": "message"}]}),
            json!({"server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 2}}),
            json!({"groundingMetadata": {"webSearchQueries": [], "groundingChunks": [{"retrievedContext": {}}]}}),
        ] {
            assert!(read(extra.clone()), "{extra}");
        }
        for extra in [
            json!({"service_tier": "flex"}),
            json!({"service_tier": "PRIORITY"}),
            json!({"serviceTier": {"type": "priority"}}),
            json!({"trafficType": "PROVISIONED_THROUGHPUT"}),
            json!({"iterations": [{"type": "message"}, {"type": "advisor_message"}]}),
            json!({"iterations": [{"type": "compaction"}, {"type": "message"}]}),
            json!({"server_tool_use": {"web_search_requests": 1}}),
            json!({"groundingMetadata": {"webSearchQueries": ["q"]}}),
        ] {
            assert!(!read(extra.clone()), "{extra}");
        }
    }
}
