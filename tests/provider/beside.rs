//! What providers say beside the answer: facts of their own, and what was used.

use omni_llm::chat::{Usage, fold};
use omni_llm::provider::Dialect;
use serde_json::{Value, json};

use super::support::{streamed, whole};

#[test]
fn what_gemini_says_piece_by_piece_is_whole_in_the_end() {
    let rating = |blocked: bool| json!([{"category": "HARASSMENT", "blocked": blocked}]);
    let token = |token: &str| json!({"chosenCandidates": [{"token": token}]});
    let cited = |uri: &str| json!({"citationSources": [{"uri": uri}]});
    let chunk = |candidate: Value| json!({"candidates": [candidate]});
    let chunks = [
        chunk(json!({"content": {"parts": [{"text": "a"}]}, "groundingMetadata": {}, "safetyRatings": rating(false),
            "citationMetadata": cited("a"), "logprobsResult": token("a"), "urlContextMetadata": {"urlMetadata": [1]}})),
        chunk(json!({"content": {"parts": [{"text": "b"}]}, "groundingMetadata": {"webSearchQueries": ["q"]},
            "citationMetadata": cited("b"), "logprobsResult": token("b"), "urlContextMetadata": {"urlMetadata": [2]}})),
        chunk(json!({"finishReason": "SAFETY", "groundingMetadata": {}, "safetyRatings": rating(true), "avgLogprobs": -0.5})),
    ];
    let expected = json!({
        "groundingMetadata": {"webSearchQueries": ["q"]},
        "safetyRatings": rating(true),
        "avgLogprobs": -0.5,
        "citationMetadata": {"citationSources": [{"uri": "a"}, {"uri": "b"}]},
        "urlContextMetadata": {"urlMetadata": [1, 2]},
        "logprobsResult": {"chosenCandidates": [{"token": "a"}, {"token": "b"}]},
    });
    assert_eq!(Value::Object(streamed(Dialect::Gemini, &chunks).extra), expected);
}

#[test]
fn what_azure_filters_last_counts() {
    let results = |filtered: bool| json!({"hate": {"filtered": filtered}});
    let chunk = |results: Value| json!({"choices": [{"delta": {"content": "a"}, "content_filter_results": results}]});
    let prompt = json!([{"prompt_index": 0, "content_filter_results": {"jailbreak": {"detected": true}}}]);
    let chunks = [
        json!({"choices": [], "prompt_filter_results": prompt}),
        chunk(json!({})),
        chunk(results(false)),
        json!({"choices": [{"delta": {}, "content_filter_results": results(true), "finish_reason": "content_filter"}]}),
    ];
    let expected = json!({"prompt_filter_results": prompt, "content_filter_results": results(true)});
    assert_eq!(Value::Object(streamed(Dialect::OpenAi, &chunks).extra), expected);
}

#[test]
fn usage_that_counts_nothing_is_none() {
    let chunk = |usage: Value| json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "usageMetadata": usage});
    let silent = chunk(json!({"trafficType": "ON_DEMAND"}));
    assert_eq!(whole(Dialect::Gemini, &silent).usage, None);
    let counted = chunk(json!({"promptTokenCount": 5, "candidatesTokenCount": 2}));
    let expected = Usage { prompt_tokens: 5, completion_tokens: 2, ..Usage::default() };
    let answer = streamed(Dialect::Gemini, &[silent.clone(), counted, silent]);
    assert_eq!((answer.usage, &answer.extra["trafficType"]), (Some(expected), &json!("ON_DEMAND")));
}

#[test]
fn how_an_answer_was_served_is_told() {
    let body = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "serviceTier": "priority", "trafficType": "ON_DEMAND_PRIORITY"}});
    let extra = whole(Dialect::Gemini, &body).extra;
    assert_eq!((&extra["service_tier"], &extra["trafficType"]), (&json!("priority"), &json!("ON_DEMAND_PRIORITY")));
    let body = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "service_tier": "priority"}});
    assert_eq!(whole(Dialect::OpenAi, &body).extra["service_tier"], "priority");
}

#[test]
fn what_a_price_or_a_text_depends_on_is_told_before_the_end() {
    let told = |dialect: Dialect, chunk: &Value| {
        let events = dialect.decoder().push(format!("data: {chunk}\n\n").as_bytes()).unwrap();
        Value::Object(fold(&events).extra)
    };
    let usage = json!({"serviceTier": "priority", "trafficType": "ON_DEMAND_PRIORITY"});
    let piece = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": usage});
    let expected = json!({"service_tier": "priority", "trafficType": "ON_DEMAND_PRIORITY"});
    assert_eq!(told(Dialect::Gemini, &piece), expected);
    let sources = json!({"citations": ["https://a.example"], "search_results": [{"url": "https://a.example"}]});
    let mut piece = sources.clone();
    piece["choices"] = json!([{"delta": {"content": "a"}}]);
    assert_eq!(told(Dialect::OpenAi, &piece), sources);
}

/// The example of Anthropic's documents, with a cache.
#[test]
fn what_it_takes_to_shorten_a_conversation_is_counted() {
    let compaction = json!({"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500,
        "cache_read_input_tokens": 10, "cache_creation_input_tokens": 20, "cache_creation": {"ephemeral_1h_input_tokens": 20}});
    let message = json!({"type": "message", "input_tokens": 23_000, "output_tokens": 1000});
    let usage = json!({"input_tokens": 23_000, "output_tokens": 1000, "iterations": [compaction, message]});
    let body = json!({"id": "m", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": usage});
    let expected = Usage {
        prompt_tokens: 203_030,
        completion_tokens: 4500,
        cache_read_tokens: 10,
        cache_write_tokens: 20,
        cache_write_1h_tokens: 20,
        reasoning_tokens: 0,
    };
    let answer = whole(Dialect::Anthropic, &body);
    assert_eq!((answer.usage, &answer.extra["iterations"]), (Some(expected), &usage["iterations"]));
    let chunks = [
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 23_000, "output_tokens": 1}}}),
        json!({"type": "message_delta", "delta": {}, "usage": usage}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
        json!({"type": "message_stop"}),
    ];
    let answer = streamed(Dialect::Anthropic, &chunks);
    assert_eq!((answer.usage, &answer.extra["iterations"]), (Some(expected), &usage["iterations"]));
}

#[test]
fn facts_of_the_vendors_specifications_are_told() {
    let edits = json!({"applied_edits": [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 3}]});
    let body = json!({"content": [], "stop_reason": "end_turn", "context_management": edits, "diagnostics": {"a": 1}});
    let extra = whole(Dialect::Anthropic, &body).extra;
    assert_eq!((&extra["context_management"], &extra["diagnostics"]), (&edits, &json!({"a": 1})));
    let chunks = [
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "context_management": edits}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(streamed(Dialect::Anthropic, &chunks).extra["context_management"], edits);

    let facts =
        json!({"moderation": {"flagged": true}, "usage_breakdown": {"models": [1]}, "mcp_list_tools": [{"server_label": "x"}]});
    let mut body = facts.clone();
    body["choices"] = json!([{"message": {"content": "a"}, "finish_reason": "stop"}]);
    assert_eq!(Value::Object(whole(Dialect::OpenAi, &body).extra), facts);

    let tokens = |text: &str| json!({"text": text, "token_ids": [1], "logprobs": [-0.5]});
    let piece = |text: &str| json!({"type": "content-delta", "delta": {"message": {"content": {"text": text}}}, "logprobs": tokens(text)});
    let end = json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}});
    let answer = streamed(Dialect::Cohere, &[piece("a"), piece("b"), end]);
    let body = json!({"message": {"content": "ab"}, "finish_reason": "COMPLETE", "logprobs": [tokens("a"), tokens("b")]});
    assert_eq!(answer, whole(Dialect::Cohere, &body));
}
