//! What users of other gateways complain of, row by row, and where it is held here.
//!
//! | # | complaint | held by |
//! |---|---|---|
//! | 1 | usage lost outside the last chunk | `usage_is_taken_from_any_chunk` |
//! | 2 | cache tokens billed twice | `cache_tokens_are_told_apart_streamed_or_not` |
//! | 3 | input tokens 0 in streams | `cache_tokens_are_told_apart_streamed_or_not`, `anthropic_streams_end_with_the_whole_usage` |
//! | 4 | block numbers taken for call numbers | `calls_are_counted_apart_from_blocks` |
//! | 5 | calls that share or omit their number | `calls_that_share_or_omit_their_number_stay_apart` |
//! | 6 | tool names over the rules | `names_that_are_refused_come_back_as_they_were`, golden `tool_names` |
//! | 7 | parallel results in several turns | `parallel_results_are_one_turn`, golden `tool_parallel` |
//! | 8 | Mistral's ids | `mistral_gets_ids_of_nine_letters_and_digits` |
//! | 9 | Gemini refuses keywords of schemas | golden `tool_schema_rich`, `every_tool_of_the_mcp_examples_is_written` |
//! | 10 | thought signatures dropped | `signatures_survive_a_round_trip` |
//! | 11 | thinking blocks lost with tools | `signatures_survive_a_round_trip`, golden `reasoning_history` |
//! | 12 | no fallback for streams | `reliability::a_failure_before_the_first_content_moves_on` |
//! | 13 | replayed spend | `reliability::attempts_stay_within_the_budget`, `reliability::nothing_is_repeated_after_content` |
//! | 14 | silent streams | `reliability::silence_ends_the_call_before_and_after_the_first_content` |
//! | 15 | errors after 200 swallowed | `a_failure_inside_a_stream_is_an_error_in_every_dialect`, `an_error_in_a_stream_is_told_in_the_dialect_and_nothing_follows_it` |
//! | 16 | cut streams taken for whole | `a_cut_stream_is_an_error_in_every_dialect` |
//! | 17 | the upstream runs on when the caller leaves | `reliability::a_caller_who_leaves_ends_the_call`, `a_client_that_leaves_a_stream_ends_the_providers_call` |
//! | 18 | budgets overrun by parallel requests | not held: there are no limits and no budgets of callers to overrun |
//! | 19 | semantic caches answer wrongly | not held: there is no response cache |
//! | 20 | unknown models cost nothing | `what_is_not_known_is_none_and_counted` |
//! | 21 | memory grows | not a test: `benches/gateway.rs` watches it over 100,000 requests |
//! | 22 | cold starts | not a test: `benches/cold_start.rs` |
//! | 23 | beta flags forwarded to those who refuse them | `only_betas_of_the_model_go_along` |
//! | 24 | tool calls leak as text | `interleaved_blocks_keep_their_identity` |
//! | 25 | strict enumerations | `any_field_may_be_missing_or_odd` |
//! | 26 | characters split between chunks | `a_stream_folds_into_exactly_the_buffered_answer_however_it_is_split`, `events_are_equal_however_the_bytes_are_split`, every stream of `tests/provider/recordings.rs` |
//! | 27 | errors mis-mapped | `refusals_become_codes_and_keep_what_the_provider_said` |
//! | 28 | slashes in a model's name | `every_row_knows_where_to_send_what`, `a_path_that_is_encoded_is_encoded_once_more` |
//! | 29 | candidates without content | `a_candidate_without_content_is_still_an_answer` |
//! | 30 | `tool_use_failed` | `refusals_become_codes_and_keep_what_the_provider_said`, `only_what_can_help_is_repeated_and_within_the_budget` |
//! | 31 | tools in another order | `golden::the_order_of_tools_changes_no_byte` |
//! | 32 | silent drops | goldens `sampling`, `effort_*`, `reasoning_always`: each drop is a warning |
//! | 33 | questions embedded as documents | `a_question_is_not_embedded_as_a_document`, `reliability::vectors_keep_the_order_of_their_texts` |
//! | 34 | supply chain | not a test: `deny.toml` |
//! | 35 | MCP lists empty without a key | not held: there is no MCP |
//! | 36 | streaming on Lambda | `every_front_door_of_aws_reaches_the_router`, `.ci/check_lambda` |

use std::path::Path;

use omni_llm::chat::{ChatEvent, ChatRequest, FinishReason, Message, Part, Reasoning, Role, Tool, ToolCall, ToolResult, fold};
use omni_llm::error::Code;
use omni_llm::provider::Dialect;
use serde_json::{Value, json};

use super::shared::shared;
use super::support::{bedrock_event, events, frame, provider};

const DIALECTS: [Dialect; 5] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Bedrock, Dialect::Gemini, Dialect::Cohere];

/// The table above names tests that exist, for every row of the facts.
#[test]
fn every_complaint_is_held_or_said_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut folders = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let rows: Vec<Vec<&str>> = include_str!("complaints.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .map(|row| row.trim_end_matches(" |").split(" | ").collect())
        .skip(1)
        .collect();
    for (number, row) in (1..).zip(&rows) {
        assert_eq!(row[0], number.to_string());
        let holders: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!holders.is_empty() || row[2].starts_with("not held: "), "{row:?}");
        for holder in holders {
            let name = holder.rsplit("::").next().unwrap();
            let is_golden =
                row[2].contains("golden") && root.join(format!("tests/golden/{}.json", name.replace('*', "max"))).exists();
            let is_there = sources.contains(&format!("fn {name}()")) || is_golden || root.join(holder).exists();
            assert!(is_there, "row {number}: `{holder}` is not there");
        }
    }
    if let Some(facts) = shared("facts/providers.md") {
        let facts = std::fs::read_to_string(facts).unwrap();
        let theirs = facts.split("## 13.").nth(1).unwrap_or_default().split("## 14.").next().unwrap_or_default();
        let count = theirs.lines().filter(|line| line.starts_with("| ") && line[2..].starts_with(|it: char| it.is_ascii_digit()));
        assert_eq!(rows.len(), count.count());
    }
}

/// Frames as the dialect has them. For Bedrock each value is `{name: payload}`.
fn stream(dialect: Dialect, frames: &[Value]) -> Vec<u8> {
    let write = |frame: &Value| match dialect {
        Dialect::Bedrock => {
            let (name, payload) = frame.as_object().unwrap().iter().next().unwrap();
            bedrock_event(name, &payload.to_string())
        }
        _ => format!("data: {frame}\n\n").into_bytes(),
    };
    frames.iter().flat_map(write).collect()
}

/// A short answer by frames: text in two pieces, a call in two pieces, the end.
fn sample(dialect: Dialect) -> Vec<Value> {
    match dialect {
        Dialect::OpenAi => vec![
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Grü"}}]}),
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": "ße"}}]}),
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{\"a\""}}]}}]}),
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}}]}),
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            json!({"id": "1", "model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}),
        ],
        Dialect::Anthropic => vec![
            json!({"type": "message_start", "message": {"id": "1", "model": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Grü"}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ße"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ": 1}"}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
            json!({"type": "message_stop"}),
        ],
        Dialect::Bedrock => vec![
            json!({"messageStart": {"role": "assistant"}}),
            json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Grü"}}}),
            json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "ße"}}}),
            json!({"contentBlockStop": {"contentBlockIndex": 0}}),
            json!({"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}}),
            json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"a\""}}}}),
            json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": ": 1}"}}}}),
            json!({"contentBlockStop": {"contentBlockIndex": 1}}),
            json!({"messageStop": {"stopReason": "tool_use"}}),
            json!({"metadata": {"usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}}}),
        ],
        Dialect::Gemini => vec![
            json!({"responseId": "1", "modelVersion": "m", "candidates": [{"content": {"parts": [{"text": "Grü"}]}}], "usageMetadata": {"promptTokenCount": 5}}),
            json!({"candidates": [{"content": {"parts": [{"text": "ße"}]}}]}),
            json!({"candidates": [{"content": {"parts": [{"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}]}}]}),
            json!({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 4, "thoughtsTokenCount": 3}}),
        ],
        Dialect::Cohere => vec![
            json!({"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}}),
            json!({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
            json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Grü"}}}}),
            json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "ße"}}}}),
            json!({"type": "content-end", "index": 0}),
            json!({"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}}}}),
            json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": "{\"a\""}}}}}),
            json!({"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": ": 1}"}}}}}),
            json!({"type": "tool-call-end", "index": 0}),
            json!({"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 7.0}}}}),
        ],
    }
}

/// The same answer, buffered.
fn buffered(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi => {
            json!({"id": "1", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "Grüße",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}}], "usage": {"prompt_tokens": 5, "completion_tokens": 7}})
        }
        Dialect::Anthropic => {
            json!({"id": "1", "model": "m", "type": "message", "role": "assistant", "stop_reason": "tool_use", "usage": {"input_tokens": 5, "output_tokens": 7},
            "content": [{"type": "text", "text": "Grüße"}, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]})
        }
        Dialect::Bedrock => {
            json!({"output": {"message": {"role": "assistant", "content": [{"text": "Grüße"}, {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}}]}},
            "stopReason": "tool_use", "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}})
        }
        Dialect::Gemini => {
            json!({"responseId": "1", "modelVersion": "m", "candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "Grüße"}, {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}]}}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 4, "thoughtsTokenCount": 3}})
        }
        Dialect::Cohere => {
            json!({"id": "1", "finish_reason": "TOOL_CALL", "message": {"role": "assistant", "content": [{"type": "text", "text": "Grüße"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}, "usage": {"billed_units": {"input_tokens": 5.0, "output_tokens": 7.0}}})
        }
    }
}

#[test]
fn a_stream_folds_into_exactly_the_buffered_answer_however_it_is_split() {
    for dialect in DIALECTS {
        let bytes = stream(dialect, &sample(dialect));
        let whole = events(dialect, &[&bytes]).unwrap();
        let answer = dialect.decode(buffered(dialect).to_string().as_bytes()).unwrap();
        assert_eq!(fold(&whole), answer, "{dialect:?}");
        assert_eq!((answer.text().as_str(), &answer.finish_reason), ("Grüße", &FinishReason::ToolCalls), "{dialect:?}");
        assert_eq!(answer.tool_calls().next().unwrap().arguments, "{\"a\":1}");
        assert_eq!(answer.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens)), Some((5, 7)));
        for at in 0..=bytes.len() {
            assert_eq!(events(dialect, &[&bytes[..at], &bytes[at..]]).unwrap(), whole, "{dialect:?} split at byte {at}");
        }
        assert_eq!(events(dialect, &bytes.chunks(1).collect::<Vec<_>>()).unwrap(), whole, "{dialect:?}");
    }
}

#[test]
fn a_cut_stream_is_an_error_in_every_dialect() {
    for dialect in DIALECTS {
        let frames = sample(dialect);
        // Where the answer says that it ends: what follows that is bookkeeping, except for Anthropic, which says so last.
        let ending = |frame: &Value| {
            let text = frame.to_string();
            match dialect {
                Dialect::Anthropic => text.contains("message_stop"),
                _ => ["\"finish_reason\":\"tool_calls\"", "stopReason", "finishReason", "message-end"]
                    .iter()
                    .any(|end| text.contains(end)),
            }
        };
        let end = frames.iter().position(ending).unwrap();
        for kept in 0..end {
            let error = events(dialect, &[&stream(dialect, &frames[..kept])]).unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (Code::ProviderError, "the provider's stream was cut before its end"),
                "{dialect:?} {kept}"
            );
        }
        let bytes = stream(dialect, &frames[..=end]);
        assert!(events(dialect, &[&bytes]).is_ok(), "{dialect:?}");
        for at in 0..stream(dialect, &frames[..end]).len() {
            assert!(events(dialect, &[&bytes[..at]]).is_err(), "{dialect:?} cut at byte {at}");
        }
    }
}

#[test]
fn a_failure_inside_a_stream_is_an_error_in_every_dialect() {
    let inside = |dialect: Dialect| match dialect {
        Dialect::OpenAi => json!({"error": {"message": "x", "type": "overloaded_error"}}),
        Dialect::Anthropic => {
            json!({"type": "error", "error": {"details": null, "type": "overloaded_error", "message": "Overloaded"}})
        }
        Dialect::Gemini => json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}),
        Dialect::Cohere => {
            json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "the service is overloaded"}})
        }
        Dialect::Bedrock => Value::Null,
    };
    for dialect in DIALECTS {
        let mut bytes = stream(dialect, &sample(dialect)[..3]);
        match dialect {
            Dialect::Bedrock => {
                let headers = [(":exception-type", "serviceUnavailableException"), (":message-type", "exception")];
                bytes.extend(frame(&headers, b"{\"message\":\"x\"}"));
            }
            _ => bytes.extend(stream(dialect, &[inside(dialect)])),
        }
        let error = events(dialect, &[&bytes]).unwrap_err();
        let expected = if dialect == Dialect::Cohere { Code::ProviderError } else { Code::Overloaded };
        assert_eq!(error.code(), expected, "{dialect:?}: {error}");
    }
    let groq = json!({"choices": [], "x_groq": {"error": {"message": "over capacity", "code": "rate_limit_exceeded"}}});
    assert_eq!(events(Dialect::OpenAi, &[&stream(Dialect::OpenAi, &[groq])]).unwrap_err().code(), Code::RateLimit);
}

#[test]
fn usage_is_taken_from_any_chunk() {
    let text = json!({"choices": [{"index": 0, "delta": {"content": "a"}}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}});
    let with = |chunk: &Value, place: &str| {
        let mut chunk = chunk.clone();
        match place {
            "choice" => chunk["choices"][0]["usage"] = usage.clone(),
            "groq" => chunk["x_groq"] = json!({"usage": usage}),
            _ => chunk["usage"] = usage.clone(),
        }
        chunk
    };
    let streams = [
        vec![with(&text, ""), end.clone()],
        vec![text.clone(), with(&end, "")],
        vec![text.clone(), with(&end, "choice")],
        vec![text.clone(), with(&end, "groq")],
        vec![text.clone(), end.clone(), json!({"choices": [], "usage": usage})],
        vec![text.clone(), end.clone(), json!({"usage": usage})],
    ];
    for frames in streams {
        let answer = fold(&events(Dialect::OpenAi, &[&stream(Dialect::OpenAi, &frames)]).unwrap());
        let usage = answer.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cache_read_tokens), (3, 2, 1), "{frames:?}");
    }
}

#[test]
fn cache_tokens_are_told_apart_streamed_or_not() {
    let usage =
        json!({"input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 0, "output_tokens": 550});
    let whole = json!({"content": [], "stop_reason": "end_turn", "usage": usage});
    let whole = Dialect::Anthropic.decode(whole.to_string().as_bytes()).unwrap().usage.unwrap();
    let mut begun = usage.clone();
    begun["output_tokens"] = 1.into();
    let frames = [
        json!({"type": "message_start", "message": {"id": "1", "model": "m", "usage": begun}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 550}}),
        json!({"type": "message_stop"}),
    ];
    let seen = events(Dialect::Anthropic, &[&stream(Dialect::Anthropic, &frames)]).unwrap();
    let first = seen.iter().find_map(|event| if let ChatEvent::Usage(usage) = event { Some(*usage) } else { None }).unwrap();
    assert_eq!(first.prompt_tokens, 12307, "a caller who leaves early has used this much");
    let streamed = fold(&seen).usage.unwrap();
    for usage in [whole, streamed] {
        assert_eq!(
            (usage.prompt_tokens, usage.cache_write_tokens, usage.uncached_tokens(), usage.total_tokens()),
            (12307, 12304, 3, 12857)
        );
        let cost = (usage.uncached_tokens() as f64 * 3.0
            + usage.cache_write_tokens as f64 * 3.75
            + usage.completion_tokens as f64 * 15.0)
            / 1e6;
        assert!((cost - 0.0544).abs() < 1e-4, "{cost}");
    }
    let bedrock = json!({"output": {"message": {"content": []}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 5, "cacheWriteInputTokens": 10, "cacheReadInputTokens": 20, "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 6}]}});
    let usage = Dialect::Bedrock.decode(bedrock.to_string().as_bytes()).unwrap().usage.unwrap();
    assert_eq!(
        (usage.prompt_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens),
        (33, 20, 10, 4)
    );
}

#[test]
fn calls_are_counted_apart_from_blocks() {
    let mut frames = sample(Dialect::Anthropic);
    let second = [
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "d", "name": "g", "input": {}}}),
        json!({"type": "content_block_stop", "index": 2}),
    ];
    frames.splice(10..10, second);
    let seen = events(Dialect::Anthropic, &[&stream(Dialect::Anthropic, &frames)]).unwrap();
    let calls: Vec<(usize, &str)> = seen
        .iter()
        .filter_map(|event| if let ChatEvent::ToolCall { index, id, .. } = event { Some((*index, id.as_str())) } else { None })
        .collect();
    assert_eq!(calls, [(0, "c"), (1, "d")]);
    let answer = fold(&seen);
    let arguments: Vec<&str> = answer.tool_calls().map(|call| call.arguments.as_str()).collect();
    assert_eq!(arguments, ["{\"a\":1}", "{}"], "no piece at all is an empty object");
}

#[test]
fn calls_that_share_or_omit_their_number_stay_apart() {
    let piece = |call: Value| json!({"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let read = |pieces: &[Value]| {
        let frames: Vec<Value> = pieces.iter().cloned().map(piece).chain([end.clone()]).collect();
        let answer = fold(&events(Dialect::OpenAi, &[&stream(Dialect::OpenAi, &frames)]).unwrap());
        answer.tool_calls().map(|call| (call.id.clone(), call.name.clone(), call.arguments.clone())).collect::<Vec<_>>()
    };
    let f = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let both =
        vec![("a".to_owned(), "f".to_owned(), "{\"x\":1}".to_owned()), ("b".to_owned(), "g".to_owned(), "{\"y\":2}".to_owned())];
    // One number for both; ids tell them apart.
    assert_eq!(
        read(&[
            json!({"index": 0, "id": "a", "function": f("f", "{\"x\":1}")}),
            json!({"index": 0, "id": "b", "function": f("g", "{\"y\"")}),
            json!({"index": 0, "function": {"arguments": ":2}"}})
        ]),
        both
    );
    // No numbers; the current call goes on.
    assert_eq!(
        read(&[
            json!({"id": "a", "function": f("f", "{\"x\"")}),
            json!({"function": {"arguments": ":1}"}}),
            json!({"id": "b", "function": f("g", "{\"y\":2}")})
        ]),
        both
    );
    // Told in turns, the id repeated.
    assert_eq!(
        read(&[
            json!({"index": 0, "id": "a", "function": f("f", "{\"x\"")}),
            json!({"index": 1, "id": "b", "function": f("g", "{\"y\"")}),
            json!({"index": 0, "id": "a", "function": {"arguments": ":1}"}}),
            json!({"index": 1, "id": "b", "function": {"arguments": ":2}"}})
        ]),
        both
    );
    // A new id without a name is no new call.
    assert_eq!(
        read(&[
            json!({"index": 0, "id": "a", "function": f("f", "{\"x\"")}),
            json!({"index": 0, "id": "z", "function": {"arguments": ":1}"}})
        ])
        .len(),
        1
    );
    // Neither ids nor numbers: a new name after whole arguments. The ids are made up, and differ.
    let made_up = read(&[json!({"function": f("f", "{\"x\":1}")}), json!({"function": f("g", "{\"y\":2}")})]);
    assert_eq!(made_up.len(), 2);
    assert!(made_up[0].0.starts_with("call_") && made_up[0].0 != made_up[1].0);
    // Arguments as an object.
    assert_eq!(read(&[json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}})]), both[..1]);
}

fn tool(name: &str) -> Tool {
    Tool { name: name.into(), parameters: json!({"type": "object", "properties": {"x": {"type": "string"}}}), ..Tool::default() }
}

fn call(id: &str, name: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: "{}".into(), ..ToolCall::default() })
}

fn result(id: &str) -> Message {
    let result = ToolResult { call_id: id.into(), content: vec![Part::Text("ok".into())], ..ToolResult::default() };
    Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] }
}

#[test]
fn names_that_are_refused_come_back_as_they_were() {
    let long = "n".repeat(70);
    let names = ["files.read/v2", "files.read_v2", &long, &format!("{long}x"), "fine_name"];
    let request = ChatRequest {
        model: "us.anthropic.claude-sonnet-4-5".into(),
        messages: vec![
            Message::text(Role::User, "hi"),
            Message { role: Role::Assistant, parts: vec![call("1", names[0])] },
            result("1"),
        ],
        tools: names.iter().map(|name| tool(name)).collect(),
        ..ChatRequest::default()
    };
    let written = provider("bedrock", None).write(&request, false).unwrap();
    let body = written.body();
    let sent: Vec<&str> =
        body["toolConfig"]["tools"].as_array().unwrap().iter().map(|tool| tool["toolSpec"]["name"].as_str().unwrap()).collect();
    let distinct: std::collections::BTreeSet<&&str> = sent.iter().collect();
    assert_eq!(distinct.len(), names.len(), "aliases collide: {sent:?}");
    let good = |name: &str| name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    assert!(sent.iter().all(|name| good(name)) && sent.contains(&"fine_name"), "{sent:?}");
    let in_history = body["messages"][1]["content"][0]["toolUse"]["name"].as_str().unwrap();
    assert!(sent.contains(&in_history));
    assert_eq!(written.warnings.len(), 4, "{:?}", written.warnings);
}

#[test]
fn parallel_results_are_one_turn() {
    let request = |model: &str| ChatRequest {
        model: model.into(),
        messages: vec![
            Message::text(Role::User, "hi"),
            Message { role: Role::Assistant, parts: vec![call("1", "f"), call("2", "f")] },
            result("1"),
            result("2"),
            Message::text(Role::User, "and?"),
        ],
        tools: vec![tool("f")],
        ..ChatRequest::default()
    };
    for (name, model, content) in [
        ("anthropic", "claude-sonnet-4-5", "content"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5", "content"),
        ("gemini", "gemini-2.5-flash", "parts"),
    ] {
        let body = provider(name, None).write(&request(model), false).unwrap().body();
        let turns = body.get("messages").or(body.get("contents")).unwrap().as_array().unwrap();
        assert_eq!(turns.len(), 3, "{name}: {body}");
        assert_eq!(turns[2][content].as_array().unwrap().len(), 3, "{name}: results first, then the text");
    }
}

#[test]
fn mistral_gets_ids_of_nine_letters_and_digits() {
    let request = ChatRequest {
        model: "mistral-large-latest".into(),
        messages: vec![
            Message::text(Role::User, "hi"),
            Message { role: Role::Assistant, parts: vec![call("toolu_01AbCdEf", "f"), call("D681PevKs", "f")] },
            result("toolu_01AbCdEf"),
            result("D681PevKs"),
        ],
        tools: vec![tool("f")],
        ..ChatRequest::default()
    };
    let body = provider("mistral", None).write(&request, false).unwrap().body();
    let calls = &body["messages"][1]["tool_calls"];
    let id = calls[0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!((body["messages"][2]["tool_call_id"].as_str(), calls[1]["id"].as_str()), (Some(id), Some("D681PevKs")));
}

#[test]
fn every_tool_of_the_mcp_examples_is_written() {
    let Some(folder) = shared("contracts/mcp/schema") else { return };
    let (mut pending, mut tools) = (vec![folder], Vec::new());
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Some(Ok(value)) = std::fs::read_to_string(&path).ok().map(|text| serde_json::from_str::<Value>(&text)) {
            collect(&value, &mut tools);
        }
    }
    assert!(tools.len() > 3, "{}", tools.len());
    for (name, schema) in tools {
        let tool = Tool { name: name.clone(), parameters: schema, ..Tool::default() };
        let request = ChatRequest {
            model: "gemini-2.5-flash".into(),
            messages: vec![Message::text(Role::User, "hi")],
            tools: vec![tool],
            ..ChatRequest::default()
        };
        let body = provider("gemini", None).write(&request, false).unwrap().body().to_string();
        for keyword in ["\"$schema\"", "\"exclusiveMinimum\"", "\"const\"", "\"pattern\""] {
            assert!(!body.contains(&format!("{keyword}:")), "{name}: {body}");
        }
    }
}

fn collect(value: &Value, tools: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            if let (Some(Value::String(name)), Some(schema @ Value::Object(_))) = (fields.get("name"), fields.get("inputSchema"))
            {
                tools.push((name.clone(), schema.clone()));
            }
            fields.values().for_each(|value| collect(value, tools));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, tools)),
        _ => {}
    }
}

#[test]
fn a_budget_is_no_smaller_than_the_model_takes() {
    for (model, sent) in [("gemini-2.5-pro", 128), ("gemini-2.5-flash-lite", 512), ("gemini-2.5-flash", 50)] {
        let reasoning = Some(Reasoning { budget_tokens: Some(50), ..Reasoning::default() });
        let messages = vec![Message::text(Role::User, "hi")];
        let request = ChatRequest { model: model.into(), messages, reasoning, ..ChatRequest::default() };
        let written = provider("gemini", None).write(&request, false).unwrap();
        assert_eq!(written.body()["generationConfig"]["thinkingConfig"]["thinkingBudget"], sent, "{}", written.body());
    }
}

#[test]
fn signatures_survive_a_round_trip() {
    let said = [
        (
            "anthropic",
            "claude-sonnet-4-5",
            Dialect::Anthropic,
            "content",
            json!([{"type": "thinking", "thinking": "hm\u{200b} é", "signature": "c2ln"}, {"type": "redacted_thinking", "data": "ZW5j"}, {"type": "thinking", "thinking": "", "signature": "b25seQ=="},
                {"type": "text", "text": "I look."}, {"type": "tool_use", "id": "c", "name": "f", "input": {"b": 1, "a": [1.5, null]}},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}}]),
        ),
        (
            "bedrock",
            "us.anthropic.claude-sonnet-4-5",
            Dialect::Bedrock,
            "content",
            json!([{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}}, {"reasoningContent": {"redactedContent": "ZW5j"}}, {"text": "I look."}, {"toolUse": {"toolUseId": "c", "name": "f", "input": {"b": 1}}}]),
        ),
        (
            "gemini",
            "gemini-3-flash",
            Dialect::Gemini,
            "parts",
            json!([{"text": "hm", "thought": true, "thoughtSignature": "dA=="}, {"text": "I look.", "thoughtSignature": "c2ln"}, {"functionCall": {"name": "f", "args": {"b": 1}, "id": "c"}, "thoughtSignature": "Zg=="}, {"functionCall": {"name": "f", "args": {}, "id": "d"}}]),
        ),
        (
            "mistral",
            "magistral-medium-latest",
            Dialect::OpenAi,
            "content",
            json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "c2ln"},
                {"type": "thinking", "thinking": [{"type": "tool_reference", "tool": "web_search", "title": "T"}]},
                {"type": "text", "text": "I look."}]),
        ),
    ];
    for (name, model, dialect, field, content) in said {
        let reply = match dialect {
            Dialect::Anthropic => json!({"content": content, "stop_reason": "tool_use"}),
            Dialect::Bedrock => json!({"output": {"message": {"content": content}}, "stopReason": "tool_use"}),
            Dialect::OpenAi => {
                let call = json!({"id": "abcdefghi", "function": {"name": "f", "arguments": "{}"}});
                json!({"choices": [{"message": {"content": content, "tool_calls": [call]}, "finish_reason": "tool_calls"}]})
            }
            _ => json!({"candidates": [{"content": {"parts": content}, "finishReason": "STOP"}]}),
        };
        let answer = dialect.decode(reply.to_string().as_bytes()).unwrap();
        let id = answer.tool_calls().next().unwrap().id.clone();
        let request = ChatRequest {
            model: model.into(),
            messages: vec![Message::text(Role::User, "hi"), Message { role: Role::Assistant, parts: answer.parts }, result(&id)],
            tools: vec![tool("f")],
            ..ChatRequest::default()
        };
        let written = provider(name, None).write(&request, false).unwrap();
        let body = written.body();
        let turns = body.get("messages").or(body.get("contents")).unwrap();
        assert_eq!(turns[1][field].to_string(), content.to_string(), "{name}");
        assert!(written.warnings.is_empty(), "{name}: {:?}", written.warnings);
    }
}

#[test]
fn interleaved_blocks_keep_their_identity() {
    let frames = [
        json!({"messageStart": {"role": "assistant"}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "{\"answer\":"}}}),
        json!({"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}}),
        json!({"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "d", "name": "g"}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"x\":"}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{\"y\":2}"}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "1}"}}}}),
        json!({"contentBlockDelta": {"contentBlockIndex": 3, "delta": {"text": "1}"}}}),
        json!({"messageStop": {"stopReason": "tool_use"}}),
    ];
    let answer = fold(&events(Dialect::Bedrock, &[&stream(Dialect::Bedrock, &frames)]).unwrap());
    let calls: Vec<(&str, &str)> = answer.tool_calls().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(calls, [("f", "{\"x\":1}"), ("g", "{\"y\":2}")]);
    assert_eq!((answer.text().as_str(), answer.parts.len()), ("{\"answer\":1}", 4));
}

/// Whoever writes calls one after the other has to know that this one is whole.
#[test]
fn a_call_without_arguments_says_so_when_it_ends() {
    let bedrock = [
        json!({"messageStart": {"role": "assistant"}}),
        json!({"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}}),
        json!({"contentBlockStop": {"contentBlockIndex": 0}}),
        json!({"messageStop": {"stopReason": "tool_use"}}),
    ];
    let anthropic = [
        json!({"type": "message_start", "message": {"id": "m", "model": "claude"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    for (dialect, frames) in [(Dialect::Bedrock, &bedrock[..]), (Dialect::Anthropic, &anthropic[..])] {
        let events = events(dialect, &[&stream(dialect, frames)]).unwrap();
        let told = events.iter().filter(|event| matches!(event, ChatEvent::Arguments { index: 0, json } if json == "{}")).count();
        assert_eq!(told, 1, "{dialect:?}: {events:?}");
        assert_eq!(fold(&events).tool_calls().next().unwrap().arguments, "{}");
    }
    for input in [json!({}), json!(""), Value::Null] {
        let call = json!({"toolUse": {"toolUseId": "c", "name": "f", "input": input}});
        let reply = json!({"output": {"message": {"content": [call]}}, "stopReason": "tool_use"});
        let answer = Dialect::Bedrock.decode(reply.to_string().as_bytes()).unwrap();
        assert_eq!(answer.tool_calls().next().unwrap().arguments, "{}");
    }
}

/// Servers that stand in front of others send them in every dialect.
#[test]
fn blank_frames_and_marks_of_the_end_say_nothing() {
    for dialect in DIALECTS.into_iter().filter(|dialect| *dialect != Dialect::Bedrock) {
        let told = stream(dialect, &sample(dialect));
        let noisy = [&b"data:\n\ndata:  \n\n"[..], &told, b"data: [DONE]\n\n"].concat();
        assert_eq!(events(dialect, &[&noisy]).unwrap(), events(dialect, &[&told]).unwrap(), "{dialect:?}");
    }
}

fn odd() -> [Value; 5] {
    [Value::Null, json!("odd"), json!(7), json!([]), json!({})]
}

/// The value at each place as something odd, alone and beside a field that seldom stands there.
fn oddities(value: &Value, each: &mut dyn FnMut(&Value)) {
    const BESIDE: [&str; 14] = [
        "toolUse",
        "toolResult",
        "image",
        "reasoningContent",
        "citation",
        "content",
        "text",
        "thinking",
        "tool_calls",
        "functionCall",
        "partialArgs",
        "custom",
        "delta",
        "type",
    ];
    let mut places = Vec::new();
    pointers(value, String::new(), &mut places);
    for (place, odd) in places.iter().filter(|place| !place.is_empty()).flat_map(|place| odd().map(|odd| (place, odd))) {
        let mut changed = value.clone();
        *changed.pointer_mut(place).unwrap() = odd;
        each(&changed);
        if changed.pointer(place) != Some(&json!("odd")) {
            continue;
        }
        let (parent, own) = place.rsplit_once('/').unwrap();
        let Some(fields) = changed.pointer(parent).and_then(Value::as_object).cloned() else { continue };
        for name in BESIDE.into_iter().filter(|name| *name != own) {
            let mut fields = fields.clone();
            fields.insert(name.to_owned(), json!({}));
            *changed.pointer_mut(parent).unwrap() = fields.into();
            each(&changed);
        }
    }
}

#[test]
fn any_field_may_be_missing_or_odd() {
    for dialect in DIALECTS {
        // An answer or an error, never a panic.
        odd().iter().for_each(|reply| drop(dialect.decode(reply.to_string().as_bytes())));
        oddities(&buffered(dialect), &mut |reply| drop(dialect.decode(reply.to_string().as_bytes())));
        for (at, frame) in sample(dialect).iter().enumerate() {
            oddities(frame, &mut |odd| {
                let mut frames = sample(dialect);
                frames[at] = odd.clone();
                drop(events(dialect, &[&stream(dialect, &frames)]));
            });
        }
    }
    let read = |value: Value| Dialect::OpenAi.decode(value.to_string().as_bytes()).unwrap();
    assert_eq!(read(json!({"choices": [{"message": {"content": "x"}, "finish_reason": ""}]})).finish_reason, FinishReason::Stop);
    assert_eq!(
        read(json!({"choices": [{"message": {"content": "x"}, "finish_reason": "eos"}], "service_tier": "on_demand"}))
            .finish_reason,
        FinishReason::Stop
    );
    assert_eq!(
        read(json!({"choices": [{"message": {"content": "x"}, "finish_reason": "whim"}]})).finish_reason,
        FinishReason::Other("whim".into())
    );
    assert_eq!(
        read(json!({"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}], "usage": null}))
            .finish_reason,
        FinishReason::ContentFilter
    );
    let parts = json!({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"text": "b"}]}}]});
    assert_eq!((read(parts.clone()).text(), read(parts).reasoning()), ("ab".into(), "t".into()));
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), out)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, value)| pointers(value, format!("{at}/{number}"), out));
        }
        _ => {}
    }
    out.push(at);
}

#[test]
fn a_candidate_without_content_is_still_an_answer() {
    let read = |value: Value| Dialect::Gemini.decode(value.to_string().as_bytes());
    let answer = read(json!({"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}], "usageMetadata": {"promptTokenCount": 9, "thoughtsTokenCount": 4}})).unwrap();
    assert_eq!((answer.text().as_str(), &answer.finish_reason), ("", &FinishReason::Length));
    assert_eq!(answer.usage.map(|usage| (usage.completion_tokens, usage.reasoning_tokens)), Some((4, 4)));
    let blocked = read(json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}})).unwrap();
    assert_eq!(blocked.finish_reason, FinishReason::ContentFilter);
    assert_eq!(blocked.extra["promptFeedback"]["blockReason"], "SAFETY");
    let broken = read(json!({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "m"}]})).unwrap_err();
    assert_eq!(broken.code(), Code::ModelOutput);
    assert_eq!(read(json!({})).unwrap_err().message(), "the provider's answer has no `candidates`");
}
