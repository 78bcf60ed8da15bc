//! What an answer used, as copies of the dialect count it.

use serde_json::{Map, Value};

use crate::chat::Usage;
use crate::provider::dialect::{is_counted, tokens};

/// Usage, wherever it is: beside the choices, inside one, or in Groq's own field.
pub(super) fn told_usage<'a>(reply: &'a Value, choice: &'a Value) -> Option<&'a Value> {
    let places = [&reply["usage"], &choice["usage"], &reply["x_groq"]["usage"]];
    places.into_iter().find(|usage| is_counted(usage, &["prompt_tokens", "completion_tokens"]))
}

/// What only this dialect counts: sound, and what of a prediction was of use.
pub(super) fn details(usage: &Value) -> impl Iterator<Item = (&'static str, Value)> {
    const OURS: [&str; 4] = ["cached_tokens", "cache_write_tokens", "cache_creation_tokens", "reasoning_tokens"];
    ["prompt_tokens_details", "completion_tokens_details"].into_iter().filter_map(|name| {
        let counted = usage[name].as_object()?.iter().filter(|(name, count)| !OURS.contains(&name.as_str()) && tokens(count) > 0);
        let counted: Map<_, _> = counted.map(|(name, count)| (name.clone(), count.clone())).collect();
        (!counted.is_empty()).then(|| (name, counted.into()))
    })
}

/// Tokens of an answer.
pub(super) fn usage(reply: &Value, choice: &Value) -> Option<Usage> {
    let usage = told_usage(reply, choice)?;
    let prompt_details = &usage["prompt_tokens_details"];
    let read = [
        &prompt_details["cached_tokens"],
        // Mistral's specification has both names.
        &usage["prompt_token_details"]["cached_tokens"],
        &usage["prompt_cache_hit_tokens"],
        &usage["num_cached_tokens"],
        &usage["cached_tokens"],
    ];
    let written = ["cache_write_tokens", "cache_creation_tokens"].map(|name| &prompt_details[name]);
    let reasoning = [&usage["completion_tokens_details"], usage].map(|counts| tokens(&counts["reasoning_tokens"]));
    // Some count thoughts beside the answer, as the sum shows, and not all of them say how many there were. Others count sound
    // (Mistral) or what a cache holds (gateways in front of Claude) beside the prompt.
    let [mut prompt, mut completion, total] =
        ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| tokens(&usage[name]));
    let cache = ["cache_read_input_tokens", "cache_creation_input_tokens"].map(|name| tokens(&usage[name]));
    let beside = cache.into_iter().fold(tokens(&prompt_details["audio_tokens"]), u64::saturating_add);
    let more = if usage["prompt_tokens"].is_number() { total.saturating_sub(prompt).saturating_sub(completion) } else { 0 };
    if more >= beside {
        prompt += beside;
        completion += more - beside;
    }
    // Others count what a cache holds within the prompt.
    let [cache_read, cache_write] = if cache[0].saturating_add(cache[1]) <= prompt { cache } else { [0, 0] };
    let told = |counts: &[&Value], other: u64| counts.iter().map(|count| tokens(count)).find(|count| *count > 0).unwrap_or(other);
    Some(Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        cache_read_tokens: told(&read, cache_read),
        cache_write_tokens: told(&written, cache_write),
        cache_write_1h_tokens: 0,
        // Perplexity counts more of them than of the whole answer.
        reasoning_tokens: reasoning.into_iter().max().filter(|count| *count <= completion).unwrap_or(0),
    })
}
