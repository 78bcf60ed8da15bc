//! What providers say beside their text, in our own answers and between the blocks of Anthropic's dialect.

use serde_json::{Value, json};

use super::openapi::require;
use super::replay::Replay;

fn query(provider: &str) -> Value {
    json!({"prompt": "How many?", "model_provider": provider, "model_name": "m", "rag_config": {"enabled": false}})
}

/// An answer of Gemini's that runs code between two texts.
async fn computed() -> Replay {
    let parts = [
        json!({"text": "Let me count.", "thought": true}),
        json!({"text": "before"}),
        json!({"executableCode": {"language": "PYTHON", "code": "1+1"}}),
        json!({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}),
        json!({"text": "after"}),
    ];
    let grounding = json!({"webSearchQueries": ["how many"]});
    let frame = |parts: &[Value], more: Value| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}});
        candidate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"responseId": "r", "modelVersion": "m", "candidates": [candidate]})
    };
    let end = json!({"finishReason": "STOP", "groundingMetadata": grounding});
    let mut frames: Vec<Value> = parts.iter().map(|part| frame(std::slice::from_ref(part), json!({}))).collect();
    frames.push(frame(&[], end.clone()));
    Replay::start(frame(&parts, end), frames).await
}

#[tokio::test]
async fn our_own_answers_have_all_of_it() {
    let service = computed().await.service();
    let (status, answer) = service.query(query("gemini")).await;
    assert_eq!((status, &answer["response"]["content"]), (200, &json!("beforeafter")), "{answer}");
    require("QueryResponse", &answer);
    let metadata = &answer["metadata"];
    assert_eq!(answer["response"]["reasoning_content"], "Let me count.");
    assert_eq!(metadata["extra"]["groundingMetadata"], json!({"webSearchQueries": ["how many"]}), "{answer}");
    assert_eq!((&metadata["blocks"][0]["dialect"], metadata["blocks"].as_array().unwrap().len()), (&json!("gemini"), 2));
    let events = service.events(query("gemini")).await;
    let (name, last) = events.last().unwrap();
    assert_eq!((name.as_str(), &last["response"]), ("done", &answer["response"]));
    for field in ["extra", "blocks"] {
        assert_eq!(last["metadata"][field], metadata[field], "{field}");
    }
}

#[tokio::test]
async fn citations_and_likelihoods_of_a_provider_stand_in_our_own_answers() {
    let note = json!({"type": "url_citation", "url_citation": {"url": "https://example.org", "title": "", "start_index": 0, "end_index": 3}});
    let message = json!({"role": "assistant", "content": "Two", "annotations": [note]});
    let likely = json!({"content": [{"token": "Two", "logprob": -0.5}]});
    let openai = json!({"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "logprobs": likely, "finish_reason": "stop"}]});
    let (_, answer) = Replay::start(openai, Vec::new()).await.service().query(query("custom")).await;
    let extra = &answer["metadata"]["extra"];
    assert_eq!((&extra["annotations"], &extra["logprobs"]), (&json!([note]), &likely["content"]), "{answer}");
    let cited = json!({"type": "web_search_result_location", "cited_text": "2", "title": "Sum", "url": "https://example.org"});
    let claude = json!({"id": "m", "type": "message", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Two", "citations": [cited]}]});
    let (_, answer) = Replay::start(claude, Vec::new()).await.service().query(query("anthropic")).await;
    require("QueryResponse", &answer);
    let expected = json!([{"start_index": 0, "end_index": 3, "dialect": "anthropic", "citation": cited}]);
    assert_eq!(answer["metadata"]["provider_citations"], expected, "{answer}");
    // Nothing is written where nothing was said.
    assert!(answer["metadata"].get("blocks").is_none() && answer["response"].get("reasoning_content").is_none(), "{answer}");
}

#[tokio::test]
async fn texts_that_a_foreign_block_parts_are_two_whole_and_streamed() {
    let service = computed().await.service();
    let mut body = json!({"model": "gemini/m", "max_tokens": 9, "messages": [{"role": "user", "content": "How many?"}]});
    let (_, answer) = service.post("/v1/messages", &body).await;
    let texts = |texts: Vec<&Value>| texts.into_iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(texts(answer["content"].as_array().unwrap().iter().map(|block| &block["text"]).collect()), ["before", "after"]);
    body["stream"] = json!(true);
    let events = service.events_of("/v1/messages", &body).await;
    let begun = events.iter().filter(|(_, data)| data["content_block"]["type"] == "text").count();
    assert_eq!(
        (begun, texts(events.iter().map(|(_, data)| &data["delta"]["text"]).collect())),
        (2, vec!["before".into(), "after".into()])
    );
}
