//! What an answer used, as copies of the dialect count it.

use serde_json::{Map, Value};

use crate::chat::Usage;
use crate::provider::dialect::tokens;

/// Usage, wherever it is: beside the choices, inside one, or in Groq's own field.
pub(super) fn told_usage<'a>(reply: &'a Value, choice: &'a Value) -> Option<&'a Value> {
    let places = [&reply["usage"], &choice["usage"], &reply["x_groq"]["usage"]];
    places.into_iter().find(|usage| usage.is_object())
}

/// What only this dialect counts: sound, and what of a prediction was of use.
pub(super) fn details(usage: &Value) -> impl Iterator<Item = (&'static str, Value)> {
    const OURS: [&str; 3] = ["cached_tokens", "cache_write_tokens", "reasoning_tokens"];
    ["prompt_tokens_details", "completion_tokens_details"].into_iter().filter_map(|name| {
        let counted = usage[name].as_object()?.iter().filter(|(name, count)| !OURS.contains(&name.as_str()) && tokens(count) > 0);
        let counted: Map<_, _> = counted.map(|(name, count)| (name.clone(), count.clone())).collect();
        (!counted.is_empty()).then(|| (name, counted.into()))
    })
}

/// Tokens of an answer.
pub(super) fn usage(reply: &Value, choice: &Value) -> Option<Usage> {
    let usage = told_usage(reply, choice)?;
    let prompt = tokens(&usage["prompt_tokens"]);
    let prompt_details = &usage["prompt_tokens_details"];
    let read = [
        &prompt_details["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["num_cached_tokens"],
        &usage["cached_tokens"],
    ];
    let (answered, reasoning) =
        (tokens(&usage["completion_tokens"]), tokens(&usage["completion_tokens_details"]["reasoning_tokens"]));
    // Some count thoughts beside the answer, as their sum shows.
    let is_beside = tokens(&usage["total_tokens"]) == prompt.saturating_add(answered).saturating_add(reasoning);
    Some(Usage {
        prompt_tokens: prompt,
        completion_tokens: if is_beside { answered.saturating_add(reasoning) } else { answered },
        cache_read_tokens: read.into_iter().map(tokens).find(|count| *count > 0).unwrap_or(0),
        cache_write_tokens: tokens(&prompt_details["cache_write_tokens"]),
        cache_write_1h_tokens: 0,
        reasoning_tokens: reasoning,
    })
}
