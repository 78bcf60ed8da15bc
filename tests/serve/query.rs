//! What an answer carries: without a provider, with one, and when one fails.

use omni_llm::config::{Endpoint, Secret};
use serde_json::{Value, json};

use crate::support::{DOCUMENTS, KEY, Mock, Service};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn without_a_provider_the_answer_is_quoted_from_the_sources() {
    let service = Service::new(|_| {});
    for path in ["/v1/query", "/"] {
        let (status, answer) = service.post(path, &json!({"prompt": "How large may a request body be?"})).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(keys(&answer), ["citations", "error", "metadata", "rag_context", "response", "success", "tool_calls"]);
        assert_eq!((&answer["success"], &answer["error"], &answer["tool_calls"]), (&json!(true), &Value::Null, &json!([])));
        assert_eq!(keys(&answer["response"]), ["content", "finish_reason", "role"]);
        assert_eq!((&answer["response"]["role"], &answer["response"]["finish_reason"]), (&json!("assistant"), &json!("stop")));
        let content = answer["response"]["content"].as_str().unwrap();
        assert!(
            content.contains("The largest request body is 6 MiB by default.") && content.contains("[1] limits.md"),
            "{content}"
        );
        let metadata = &answer["metadata"];
        assert_eq!((&metadata["provider"], &metadata["model_used"]), (&json!("extractive"), &json!("extractive")));
        assert_eq!(metadata["usage"], json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.0}));
        assert_eq!(metadata["index_digest"].as_str().unwrap(), service.app.index().unwrap().index.digest());
        assert!(
            metadata["request_id"].as_str().unwrap().starts_with("req_") && metadata["execution_time"].as_f64().unwrap() > 0.0
        );
        assert_eq!(
            metadata["warnings"],
            json!([
                "this service has no embedding model (`index-builder model` gets it, `--model` names its folder): the sources were found by words only"
            ])
        );
        let first = &answer["rag_context"][0];
        assert_eq!(keys(first), ["chunk_id", "content", "page", "score", "source"]);
        assert_eq!((&first["source"], &first["content"]), (&json!("limits.md"), &json!(DOCUMENTS[0].3)));
        assert_eq!((&first["page"], &first["score"]), (&Value::Null, &Value::Null));
        assert!(first["chunk_id"].as_str().unwrap().starts_with("chunk_"));
    }
}

#[tokio::test]
async fn what_the_caller_wants_to_see_is_what_it_gets() {
    let service = Service::new(|_| {});
    let ask = |rag_config: Value, output_config: Value| {
        let body =
            json!({"prompt": "Which option chooses another port?", "rag_config": rag_config, "output_config": output_config});
        let service = &service;
        async move { service.query(body).await.1 }
    };
    let answer = ask(json!({"retrieval_config": {"top_k": 1, "include_metadata": true}}), json!({})).await;
    let first = &answer["rag_context"][0];
    assert_eq!((answer["rag_context"].as_array().unwrap().len(), &first["page"]), (1, &json!(5)));
    let expected =
        json!({"title": "Title of guide.pdf", "uri": "s3://handbook/faq/guide.pdf", "headings": "Top > Below", "author": "Ada"});
    assert_eq!(first["metadata"], expected);
    let answer = ask(json!({"retrieval_config": {"include_metadata": true}}), json!({"include_metadata": false})).await;
    assert!(answer["rag_context"][0].get("metadata").is_none());
    let answer = ask(json!({}), json!({"include_sources": false})).await;
    assert_eq!(answer["rag_context"], json!([]));
    let answer = ask(json!({}), json!({"format": "json"})).await;
    let content: Value = serde_json::from_str(answer["response"]["content"].as_str().unwrap()).unwrap();
    assert!(content["answer"][0]["quote"].as_str().unwrap().starts_with("Choose another port"), "{content}");
    let answer = ask(json!({}), json!({"format": "markdown", "max_response_length": 9})).await;
    assert_eq!((&answer["response"]["content"], &answer["response"]["finish_reason"]), (&json!("“Choose a"), &json!("length")));
}

#[tokio::test]
async fn a_bucket_and_prefix_choose_among_the_sources() {
    let service = Service::new(|config| config.s3_bucket = Some("handbook".into()));
    let sources = |rag_config: Value| {
        let body = json!({"prompt": "port command install zebra", "rag_config": rag_config});
        let service = &service;
        async move {
            let (status, answer) = service.query(body).await;
            assert_eq!(status, 200, "{answer}");
            let mut sources: Vec<String> =
                answer["rag_context"].as_array().unwrap().iter().map(|hit| hit["source"].as_str().unwrap().to_owned()).collect();
            sources.sort();
            sources
        }
    };
    assert_eq!(sources(json!({})).await, ["guide.pdf", "install.md", "private.txt"]);
    assert_eq!(sources(json!({"s3_bucket": "handbook"})).await, ["guide.pdf", "install.md"]);
    assert_eq!(sources(json!({"s3_bucket": "handbook", "s3_prefix": "/docs/"})).await, ["install.md"]);
    assert_eq!(sources(json!({"s3_prefix": "faq/"})).await, ["guide.pdf"]);
    let message = service.refusal(json!({"prompt": "port", "rag_config": {"s3_bucket": "other"}})).await;
    assert_eq!(
        message,
        "`rag_config.s3_bucket`: no document of the index comes from `s3://other/`; `GET /v1/index` lists where they come from"
    );
    let (status, answer) = service.query(json!({"prompt": "unheard-of", "rag_config": {"s3_bucket": "handbook"}})).await;
    assert_eq!((status, &answer["rag_context"]), (200, &json!([])));
    assert_eq!(answer["response"]["content"], "Nothing in the index answers this question.");
    let last = |answer: &Value| answer["metadata"]["warnings"].as_array().unwrap().last().unwrap().clone();
    assert_ne!(last(&answer), "no passage passes the filter");
    let filter = json!({"filter": {"field": "source", "eq": "guide.pfd"}});
    let (_, answer) = service.query(json!({"prompt": "port", "rag_config": {"retrieval_config": filter}})).await;
    assert_eq!((&answer["rag_context"], last(&answer)), (&json!([]), json!("no passage passes the filter")));
}

#[tokio::test]
async fn a_price_by_the_name_that_was_asked_holds_where_the_server_has_another() {
    let (mock, folder) = (Mock::start().await, tempfile::tempdir().unwrap());
    let prices = folder.path().join("prices.json");
    std::fs::write(&prices, r#"{"models": [{"provider": "custom", "model": "good", "input": 1, "output": 3}]}"#).unwrap();
    let service = Service::with(&mock, |config| config.prices = Some(prices.clone()));
    let body = json!({"prompt": "How large may a request body be?"});
    let answer = service.query(body.clone()).await.1;
    let (model, cost) = (&answer["metadata"]["model_used"], &answer["metadata"]["usage"]["cost_usd"]);
    assert_eq!((model, cost), (&json!("good-1"), &json!(0.000_02)), "{answer}");
    let events = service.events(body).await;
    assert_eq!(events.last().unwrap().1["metadata"]["usage"]["cost_usd"], 0.000_02, "{events:?}");
    // A price of its own name goes before.
    let text = r#"{"models": [{"provider": "custom", "model": "good", "input": 1, "output": 3}, {"provider": "custom", "model": "good-1", "input": 0, "output": 1}]}"#;
    std::fs::write(&prices, text).unwrap();
    let service = Service::with(&mock, |config| config.prices = Some(prices));
    let answer = service.query(json!({"prompt": "How large may a request body be?"})).await.1;
    assert_eq!(answer["metadata"]["usage"]["cost_usd"], 0.000_003, "{answer}");
}

#[tokio::test]
async fn a_provider_gets_numbered_sources_and_its_answer_comes_back() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.temperature = Some(0.25));
    let body = json!({"prompt": "How large may a request body be?", "system_prompt": "Be brief.",
        "context": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
        "model_config": {"top_k": 40, "stop_sequences": ["END"], "seed": 7}});
    let (status, answer) = service.query(body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["response"], json!({"content": "Six MiB [1].", "role": "assistant", "finish_reason": "stop"}));
    assert_eq!((&answer["metadata"]["provider"], &answer["metadata"]["model_used"]), (&json!("custom"), &json!("good-1")));
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14, "cost_usd": null});
    assert_eq!(answer["metadata"]["usage"], usage);
    assert_eq!(answer["rag_context"][0]["source"], "limits.md");
    let sent = mock.body();
    assert_eq!((&sent["model"], &sent["max_tokens"], &sent["temperature"]), (&json!("good"), &json!(4096), &json!(0.25)));
    assert_eq!(
        (&sent["top_k"], &sent["stop"], &sent["seed"], &sent["stream"]),
        (&json!(40), &json!(["END"]), &json!(7), &Value::Null)
    );
    let roles: Vec<&str> = sent["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(
        sent["messages"][0]["content"]
            .as_str()
            .unwrap()
            .starts_with("Be brief.\n\nAnswer the question from the numbered sources")
    );
    let question = sent["messages"][3]["content"].as_str().unwrap();
    assert!(
        question.contains("<source number=\"1\" from=\"limits.md (Top > Below)\">\nThe service protects itself."),
        "{question}"
    );
    assert_eq!(mock.state.keys.lock().unwrap()[0], format!("Bearer {KEY}"));
}

#[tokio::test]
async fn retrieval_can_be_switched_off() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let (status, answer) = service.query(json!({"prompt": "Hi", "rag_config": {"enabled": false}})).await;
    assert_eq!((status, &answer["rag_context"]), (200, &json!([])));
    assert_eq!(mock.body()["messages"], json!([{"role": "user", "content": "Hi"}]));
    let message = Service::new(|_| {}).refusal(json!({"prompt": "Hi", "rag_config": {"enabled": false}})).await;
    assert_eq!(
        message,
        "nobody can answer: no provider is asked and retrieval is off; name a `model_provider`, or load an index"
    );
}

#[tokio::test]
async fn what_the_provider_does_not_take_is_said() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| {
        config.providers.insert("openai".into(), mock.endpoint());
    });
    let body = json!({"prompt": "body", "model_provider": "openai", "model_config": {"top_k": 40, "max_tokens": 5, "response_format": "json"}});
    let (status, answer) = service.query(body).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["metadata"]["warnings"].to_string().contains("`top_k`: `openai/good` does not take it; it was left out"));
    let sent = mock.body();
    assert_eq!((sent.get("top_k"), sent.get("max_tokens"), &sent["max_completion_tokens"]), (None, None, &json!(5)));
    assert_eq!(sent["response_format"], json!({"type": "json_object"}));
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_is_named_with_its_remedy() {
    let service = Service::new(|_| {});
    let (status, answer) = service.query(json!({"prompt": "x", "model_provider": "openai", "model_name": "m"})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("AUTHENTICATION")));
    assert_eq!(answer["error"]["message"], "`model_provider`: `openai` needs a key; set `OPENAI_API_KEY` where the service runs");
    assert_eq!(answer["error"]["details"], json!({"provider": "openai", "model": null, "retry_after": null}));
    let message = service.refusal(json!({"prompt": "x", "model_provider": "custom"})).await;
    assert_eq!(message, "`model_provider`: `custom` has no address; set `CUSTOM_BASE_URL` where the service runs");
    let service = Service::new(|config| {
        config.providers.insert("openai".into(), Endpoint { api_key: Some(Secret::new(KEY)), ..Endpoint::default() });
    });
    let message = service.refusal(json!({"prompt": "x", "model_provider": "openai"})).await;
    assert_eq!(message, "`model_name`: missing, and `openai` has no model by default; name one, or set `OPENAI_MODEL`");
}

#[tokio::test]
async fn a_providers_refusal_keeps_its_code_and_its_wait() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let fail = |model: &'static str| {
        let service = &service;
        async move { service.query(json!({"prompt": "body", "model_name": model})).await }
    };
    let (status, answer) = fail("busy").await;
    assert_eq!((status, &answer["error"]["code"]), (429, &json!("RATE_LIMIT")));
    assert_eq!(answer["error"]["message"], "the provider refused (status 429): slow down");
    assert_eq!(answer["error"]["details"], json!({"provider": "custom", "model": "busy", "retry_after": 60}));
    let timestamp = answer["metadata"]["timestamp"].as_str().unwrap();
    assert!(timestamp.parse::<jiff::Timestamp>().is_ok() && timestamp.len() == "2026-11-24T10:00:00.123Z".len(), "{timestamp}");
    let (status, answer) = fail("refused").await;
    let expected = "`custom` refused the key (status 401); check `CUSTOM_API_KEY`";
    assert_eq!((status, &answer["error"]["message"]), (424, &json!(expected)));
    assert!(!answer.to_string().contains(KEY));
    let (status, answer) = fail("wrong").await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID_REQUEST")));
    let (status, answer) = fail("redirect").await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("PROVIDER_ERROR")));
    assert_eq!(mock.calls(), 4, "no redirect is followed");
}

#[tokio::test]
async fn a_busy_provider_is_asked_again_and_only_then() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.retries = 2);
    let (status, _) = service.query(json!({"prompt": "body", "model_name": "busy-once"})).await;
    assert_eq!((status, mock.calls()), (200, 2));
    let (status, _) = service.query(json!({"prompt": "body", "model_name": "busy"})).await;
    assert_eq!((status, mock.calls()), (429, 3), "a minute is too long to wait");
    let (status, _) = service.query(json!({"prompt": "body", "model_name": "broken"})).await;
    assert_eq!((status, mock.calls()), (502, 5), "it may have begun to answer: once more, and no more");
}

#[tokio::test]
async fn quotes_stand_in_for_a_provider_that_fails_where_the_operator_allows_it() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.fallback_extractive = true);
    let (status, answer) = service.query(json!({"prompt": "How large may a request body be?", "model_name": "broken"})).await;
    assert_eq!((status, &answer["metadata"]["provider"]), (200, &json!("extractive")));
    let fallback = json!({"provider": "custom", "code": "PROVIDER_ERROR", "message": "the provider refused (status 500): boom"});
    assert_eq!(answer["metadata"]["fallback"], fallback);
    assert!(answer["response"]["content"].as_str().unwrap().contains("6 MiB by default."));
    let (status, _) = service.query(json!({"prompt": "body", "model_name": "wrong"})).await;
    assert_eq!(status, 400, "the caller's mistake stays one");
    let service = Service::with(&mock, |config| {
        config.generation.fallback_extractive = true;
        config.generation.provider = None;
        config.net.allowed_hosts = vec!["api.openai.com".into()];
    });
    let (status, _) = service.query(json!({"prompt": "body", "model_provider": "custom"})).await;
    assert_eq!(status, 500, "and the operator's");
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_given_up() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.limits.request_timeout_s = 1);
    let began = std::time::Instant::now();
    let (status, answer) = service.query(json!({"prompt": "body", "model_name": "slow"})).await;
    assert_eq!((status, &answer["error"]["code"]), (504, &json!("TIMEOUT")));
    assert!(began.elapsed() < std::time::Duration::from_secs(3));
}

#[tokio::test]
async fn a_search_returns_hits_only() {
    let service = Service::new(|_| {});
    let (status, answer) =
        service.post("/v1/search", &json!({"prompt": "zebra", "rag_config": {"retrieval_config": {"top_k": 3}}})).await;
    assert_eq!((status, keys(&answer)), (200, vec!["error", "hits", "metadata", "success"]));
    assert_eq!((&answer["hits"][0]["source"], &answer["metadata"]["retrieval"]), (&json!("private.txt"), &json!("words")));
    let nothing = json!({"prompt": "zebra", "output_config": {"include_sources": false}});
    let (status, answer) = service.post("/v1/search", &nothing).await;
    assert_eq!(
        (status, answer["error"]["message"].as_str()),
        (400, Some("`output_config.include_sources`: false, but a search gives nothing else; leave it out"))
    );
    let (status, answer) = service.post("/v1/search", &json!({"prompt": "zebra", "model_name": "x"})).await;
    assert_eq!(status, 400);
    assert_eq!(
        answer["error"]["message"],
        "`model_name`: unknown field; expected one of `prompt`, `rag_config`, `output_config`"
    );
}

#[tokio::test]
async fn what_is_loaded_is_said() {
    let service = Service::new(|_| {});
    let get = |path: &'static str, service: &Service| {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let router = omni_llm::server::router(std::sync::Arc::clone(&service.app));
        async move { crate::support::read(tower::ServiceExt::oneshot(router, request).await.unwrap()).await }
    };
    let (status, answer) = get("/v1/index", &service).await;
    assert_eq!((status, &answer["documents"], &answer["chunks"], &answer["name"]), (200, &json!(4), &json!(4), &json!("kb")));
    assert_eq!(answer["roots"], json!({"s3://handbook/": 3, "local": 1}));
    assert_eq!(
        answer["embedding"],
        json!({"provider": "local", "model": "all-MiniLM-L6-v2", "fingerprint": "0123456789abcdef", "dimensions": 4, "loaded": false})
    );
    assert_eq!(answer["lexical"], json!({"k1": 0.9, "b": 0.4, "stemming": true, "stop_words": true, "revision": 1}));
    let health = get("/healthz", &service).await.1;
    assert_eq!((&health["status"], &health["unknown_costs"]), (&json!("ok"), &json!(0)));
    let empty = Service::new(|config| config.index = None);
    assert_eq!(get("/v1/index", &empty).await.1["loaded"], false);
}
