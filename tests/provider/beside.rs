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
fn a_content_that_is_json_is_a_text_and_a_price_that_is_told_is_kept() {
    let shaped = json!({"title": "Apples", "pages": [1, 2]});
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.5, "cost_details": {"upstream": 0.25}});
    let answer = json!({"provider": "Together", "usage": usage,
        "choices": [{"message": {"role": "assistant", "content": shaped}, "finish_reason": "stop"}]});
    let answer = whole(Dialect::OpenAi, &answer);
    assert_eq!(answer.text(), shaped.to_string());
    let told = json!({"provider": "Together", "cost": 0.5, "cost_details": {"upstream": 0.25}});
    assert_eq!(Value::Object(answer.extra), told);
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
fn usage_that_says_no_number_is_none_and_not_nothing() {
    let openai = |usage: Value| json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": usage});
    let anthropic = |usage: Value| json!({"content": [], "stop_reason": "end_turn", "usage": usage});
    let bedrock = |usage: Value| json!({"output": {"message": {"content": []}}, "stopReason": "end_turn", "usage": usage});
    let gemini =
        |usage: Value| json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "usageMetadata": usage});
    let cohere = |usage: Value| json!({"message": {"content": []}, "finish_reason": "COMPLETE", "usage": usage});
    for (dialect, body) in [
        (Dialect::OpenAi, openai(json!({}))),
        (Dialect::OpenAi, openai(json!({"prompt_tokens": null, "completion_tokens": null, "total_tokens": null}))),
        (Dialect::OpenAi, openai(json!({"total_tokens": 50}))),
        (Dialect::Anthropic, anthropic(json!({}))),
        (Dialect::Anthropic, anthropic(json!({"input_tokens": null, "service_tier": "standard"}))),
        (Dialect::Bedrock, bedrock(json!({}))),
        (Dialect::Bedrock, bedrock(json!({"totalTokens": 50}))),
        (Dialect::Gemini, gemini(json!({"promptTokenCount": null}))),
        (Dialect::Gemini, gemini(json!({"totalTokenCount": 50}))),
        (Dialect::Cohere, cohere(json!({"billed_units": {}}))),
        (Dialect::Cohere, cohere(json!({"billed_units": {"search_units": 1}}))),
    ] {
        assert_eq!(whole(dialect, &body).usage, None, "{dialect:?} {body}");
    }
    // What is empty in one place may be full in another, and what came before stays.
    let mut body = openai(json!({}));
    body["x_groq"] = json!({"usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    let chunks = [
        json!({"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": null}}),
    ];
    let expected = Usage { prompt_tokens: 5, completion_tokens: 2, ..Usage::default() };
    assert_eq!(whole(Dialect::OpenAi, &body).usage, Some(expected));
    assert_eq!(streamed(Dialect::OpenAi, &chunks).usage, Some(expected));
}

#[test]
fn usage_of_compatible_servers_is_read_by_all_of_its_names() {
    for (usage, [prompt, completion, read, reasoning]) in [
        // A gateway in front of Gemini: the sum alone shows the thoughts.
        (json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 50}), [5, 45, 0, 0]),
        (
            json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 50,
                "completion_tokens_details": {"reasoning_tokens": 42}}),
            [5, 45, 0, 42],
        ),
        (
            json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "prompt_tokens_details": null,
                "prompt_token_details": {"cached_tokens": 4}}),
            [5, 3, 4, 0],
        ),
        // What the sum alone shows may be of the prompt: Voxtral's sound, and a gateway in front of Bedrock's cache.
        (
            json!({"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 383, "prompt_tokens_details": {"audio_tokens": 375}}),
            [381, 2, 0, 0],
        ),
        (
            json!({"prompt_tokens": 368, "completion_tokens": 19, "total_tokens": 10_923, "cache_read_input_tokens": 10_536}),
            [10_904, 19, 10_536, 0],
        ),
        // One that tells it twice, with thoughts; and one that counts it as OpenAI does.
        (
            json!({"prompt_tokens": 368, "completion_tokens": 19, "total_tokens": 10_953, "cache_read_input_tokens": 10_536,
                "prompt_tokens_details": {"cached_tokens": 10_536}}),
            [10_904, 49, 10_536, 0],
        ),
        (
            json!({"prompt_tokens": 10_904, "completion_tokens": 19, "total_tokens": 10_923, "cache_read_input_tokens": 10_536,
                "prompt_tokens_details": {"cached_tokens": 10_536}}),
            [10_904, 19, 10_536, 0],
        ),
        (json!({"prompt_tokens": null, "completion_tokens": 7, "total_tokens": 507}), [0, 7, 0, 0]),
        // Perplexity.
        (json!({"prompt_tokens": 5, "completion_tokens": 30, "total_tokens": 35, "reasoning_tokens": 20}), [5, 30, 0, 20]),
        (json!({"prompt_tokens": 5, "completion_tokens": 30, "total_tokens": 35, "reasoning_tokens": 73_997}), [5, 30, 0, 0]),
    ] {
        let body = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": usage});
        let expected = Usage {
            prompt_tokens: prompt,
            completion_tokens: completion,
            cache_read_tokens: read,
            reasoning_tokens: reasoning,
            ..Usage::default()
        };
        assert_eq!(whole(Dialect::OpenAi, &body).usage, Some(expected), "{usage}");
    }
}

#[test]
fn what_is_written_to_a_cache_beside_the_prompt_is_of_the_prompt() {
    let usage = json!({"prompt_tokens": 8, "completion_tokens": 19, "total_tokens": 1_327, "cache_read_input_tokens": 300,
        "cache_creation_input_tokens": 1_000});
    let expected = Usage {
        prompt_tokens: 1_308,
        completion_tokens: 19,
        cache_read_tokens: 300,
        cache_write_tokens: 1_000,
        ..Usage::default()
    };
    let mut told = usage.clone();
    told["prompt_tokens_details"] = json!({"cached_tokens": 300, "cache_write_tokens": 1_000});
    for usage in [usage, told] {
        let body = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": usage});
        assert_eq!(whole(Dialect::OpenAi, &body).usage, Some(expected), "{usage}");
    }
}

#[test]
fn what_a_cache_holds_within_the_prompt_is_not_added_to_it() {
    let counted = |more: Value| {
        let mut usage = json!({"prompt_tokens": 5_000, "completion_tokens": 10, "total_tokens": 5_010});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": usage});
        let answer = whole(Dialect::OpenAi, &body);
        let usage = answer.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (5_000, 10));
        assert!(!answer.extra.contains_key("prompt_tokens_details"), "{:?}", answer.extra);
        (usage.cache_read_tokens, usage.cache_write_tokens)
    };
    let details = json!({"cached_tokens": 0, "cache_creation_tokens": 4_900});
    assert_eq!(counted(json!({"prompt_tokens_details": details})), (0, 4_900));
    assert_eq!(counted(json!({"prompt_tokens_details": details, "cache_creation_input_tokens": 4_900})), (0, 4_900));
    assert_eq!(counted(json!({"cache_creation_input_tokens": 900, "cache_read_input_tokens": 4_000})), (4_000, 900));
    assert_eq!(counted(json!({"cache_creation_input_tokens": 0, "cache_read_input_tokens": 5_001})), (0, 0), "it does not fit");
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
    let searched = json!({"webSearchQueries": ["q"]});
    let piece = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "groundingMetadata": searched}]});
    assert_eq!(told(Dialect::Gemini, &piece), json!({"groundingMetadata": searched}));
    let sources = json!({"citations": ["https://a.example"], "search_results": [{"url": "https://a.example"}]});
    let mut piece = sources.clone();
    piece["choices"] = json!([{"delta": {"content": "a"}}]);
    assert_eq!(told(Dialect::OpenAi, &piece), sources);
}

#[test]
fn what_gemini_says_again_is_no_more() {
    let page =
        |at: u32| json!({"retrievedUrl": format!("https://e.org/{at}"), "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"});
    let chunk = |pages: Value| {
        let tokens = json!({"chosenCandidates": [{"token": "ha"}]});
        json!({"candidates": [{"content": {"parts": [{"text": "ha"}]}, "urlContextMetadata": {"urlMetadata": pages}, "logprobsResult": tokens}]})
    };
    let end = json!({"candidates": [{"finishReason": "STOP"}]});
    let chunks = [chunk(json!([page(1)])), chunk(json!([page(1)])), chunk(json!([page(1), page(2)])), end];
    let expected = json!({"urlContextMetadata": {"urlMetadata": [page(1), page(2)]},
        "logprobsResult": {"chosenCandidates": [{"token": "ha"}, {"token": "ha"}, {"token": "ha"}]}});
    assert_eq!(Value::Object(streamed(Dialect::Gemini, &chunks).extra), expected);
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

    let context = json!({"citations": [{"content": "c", "title": "t"}], "intent": "i"});
    let message = json!({"content": "a", "context": context});
    let body = json!({"choices": [{"message": message, "finish_reason": "stop", "stop_reason": "###"}]});
    let chunks = [
        json!({"choices": [{"delta": message, "finish_reason": null, "stop_reason": null}]}),
        json!({"choices": [{"delta": {}, "finish_reason": "stop", "stop_reason": "###"}]}),
    ];
    for answer in [whole(Dialect::OpenAi, &body), streamed(Dialect::OpenAi, &chunks)] {
        assert_eq!(Value::Object(answer.extra), json!({"context": context, "stop_reason": "###"}));
    }
    let breakdown = json!({"models": [{"model": "m", "usage": {"prompt_tokens": 1}}]});
    let chunks = [
        json!({"choices": [{"delta": {"content": "a"}}], "x_groq": {"id": "r"}}),
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage_breakdown": breakdown}}),
    ];
    assert_eq!(streamed(Dialect::OpenAi, &chunks).extra["usage_breakdown"], breakdown);

    let tokens = |text: &str| json!({"text": text, "token_ids": [1], "logprobs": [-0.5]});
    let piece = |text: &str| json!({"type": "content-delta", "delta": {"message": {"content": {"text": text}}}, "logprobs": tokens(text)});
    let end = json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}});
    let answer = streamed(Dialect::Cohere, &[piece("a"), piece("b"), end]);
    let body = json!({"message": {"content": "ab"}, "finish_reason": "COMPLETE", "logprobs": [tokens("a"), tokens("b")]});
    assert_eq!(answer, whole(Dialect::Cohere, &body));
}
