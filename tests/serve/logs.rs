//! One line a request, and nothing in it that anybody wrote or has to hide.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use omni_llm::config::{Endpoint, Level, Secret};
use omni_llm::telemetry;
use serde_json::{Value, json};

use crate::support::{KEY, Mock, Service};

/// A key that does not look like one.
const PLAIN_KEY: &str = "doorkeeper-4711";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has one who cannot be reached be stood in for; says the name of the request.
async fn stand_in(mock: &Mock) -> String {
    let service = Service::with(mock, |config| {
        config.generation.retries = 1;
        let base_url = Some("http://127.0.0.1:9/v1".into());
        config.providers.insert("dead".into(), Endpoint { like: Some("custom".into()), base_url, ..mock.endpoint() });
    });
    let (_, answer) =
        service.query(json!({"prompt": "PROMPTWORD", "model_provider": "dead", "fallbacks": ["custom/good"]})).await;
    answer["metadata"]["request_id"].as_str().unwrap().to_owned()
}

/// Asks one who is busy, once and then for long.
async fn press() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.retries = 1);
    for model in ["busy-once", "busy"] {
        let asked = json!({"prompt": "PROMPTWORD", "model_name": model, "fallbacks": ["custom/good"]});
        assert_eq!(service.query(asked).await.0, 200);
    }
}

/// Asks, and leaves before the answer is whole.
async fn leave(service: &Service, model: &str) {
    let body = json!({"prompt": "PROMPTWORD", "model_name": model, "model_config": {"stream": model == "endless"}}).to_string();
    let request = axum::http::Request::post("/v1/query").body(axum::body::Body::from(body)).unwrap();
    if let Ok(response) = tokio::time::timeout(Duration::from_millis(300), service.send(request)).await {
        assert!(response.into_body().into_data_stream().next().await.unwrap().unwrap().starts_with(b"event: delta"));
    }
}

#[tokio::test]
async fn a_line_has_names_and_numbers_and_no_content() {
    let lines = Lines::default();
    let writer = lines.clone();
    // For the whole process: a subscriber of one thread misses what another thread's test has met first.
    tracing::subscriber::set_global_default(telemetry::subscriber(Level::Trace, true, move || writer.clone())).unwrap();
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| {
        config.generation.fallback_extractive = false;
        let endpoint = Endpoint { api_key: Some(Secret::new(PLAIN_KEY)), ..mock.endpoint() };
        config.providers.insert("custom".into(), endpoint);
    });
    let (mut codes, mut ids, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for model in ["good", "broken", "refused", "wrong", "busy", "cut", "error-inside"] {
        for stream in [false, true] {
            let body = json!({"prompt": "PROMPTWORD zebra", "system_prompt": "SYSTEMWORD", "context": [{"role": "user", "content": "CONTEXTWORD"}],
                "model_name": model, "model_config": {"stream": stream}});
            let request =
                axum::http::Request::post("/v1/query?key=QUERYWORD").body(axum::body::Body::from(body.to_string())).unwrap();
            let response = service.send(request).await;
            ids.push(response.headers()["x-request-id"].to_str().unwrap().to_owned());
            let _ = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        }
    }
    for body in ["{\"prompt\": \"PROMPTWORD\", \"UNKNOWNWORD\": 1}", "{\"prompt\": [\"PROMPTWORD\"]}", "PROMPTWORD"] {
        let (_, answer) = service.post_text("/v1/query", body).await;
        ids.push(answer["metadata"]["request_id"].as_str().unwrap().to_owned());
    }
    let folder = crate::embed_support::small_model();
    let embeds = Service::new(|config| (config.index, config.model) = (None, Some(folder.path().to_owned())));
    let body = json!({"model": "local", "input": "PROMPTWORD"}).to_string();
    let response = embeds.send(axum::http::Request::post("/v1/embeddings").body(axum::body::Body::from(body)).unwrap()).await;
    let embedded = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let moved = stand_in(&mock).await;
    press().await;
    leave(&service, "endless").await;
    leave(&service, "slow").await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for hidden in [
        KEY,
        PLAIN_KEY,
        "PROMPTWORD",
        "SYSTEMWORD",
        "CONTEXTWORD",
        "QUERYWORD",
        "UNKNOWNWORD",
        "password of the doorman",
        "Six MiB",
        "half an",
        "slow down",
    ] {
        assert!(!text.contains(hidden), "{hidden} stands in the log:\n{text}");
    }
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["message"] == "request" && line["request_id"] == *embedded {
            assert_eq!((&line["provider"], &line["cost_usd"]), (&json!("local"), &json!(0.0)), "{line}");
            assert!(
                line["model"].is_string() && line["prompt_tokens"].as_u64() > Some(2) && line.get("hits").is_none(),
                "{line}"
            );
            codes.push(("local".to_owned(), "-".to_owned()));
        }
        if line["message"] == "the answer broke off" && line["model"] == "error-inside" {
            broken.push((line["code"].clone(), line["prompt_tokens"].clone()));
        }
        if line["message"] == "request" && ids.iter().any(|id| line["request_id"] == **id) {
            codes.push((line["model"].as_str().unwrap_or("-").to_owned(), line["code"].as_str().unwrap_or("-").to_owned()));
        }
    }
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &str, name: &str, value: &Value| {
        let found = all.iter().find(|line| line["message"] == message && line[name] == *value);
        found.unwrap_or_else(|| panic!("{message}: no {name} is {value}: {text}"))
    };
    for message in ["asking again", "asking the next provider"] {
        let line = find(message, "request_id", &json!(moved));
        assert_eq!((&line["provider"], &line["code"]), (&json!("dead"), &json!("PROVIDER_ERROR")));
        assert!(line["cause"].as_str().is_some_and(|cause| cause.contains("refused")), "{line}");
    }
    for message in ["asking again", "asking the next provider", "request"] {
        let line = find(message, "provider_request_id", &json!("vendor_7"));
        assert_eq!((&line["provider"], &line["code"]), (&json!("custom"), &json!("RATE_LIMIT")), "{line}");
    }
    for id in &ids[4..6] {
        let refused = find("request", "request_id", &json!(id));
        assert_eq!(
            (&refused["code"], &refused["cause"]),
            (&json!("AUTHENTICATION"), &json!("Incorrect API key provided: (key)"))
        );
    }
    // What is told before the first word counts nothing of the answer.
    for (model, prompt_tokens) in [("endless", Some(11)), ("slow", None)] {
        let line = find("request", "model", &json!(model));
        assert_eq!((&line["code"], &line["provider"], &line["partial"]), (&json!("CLIENT_GONE"), &json!("custom"), &json!(true)));
        assert_eq!((line["prompt_tokens"].as_u64(), line.get("completion_tokens")), (prompt_tokens, None), "{line}");
        if prompt_tokens.is_some() {
            assert_eq!(find("the answer was left before its end", "request_id", &line["request_id"])["prompt_tokens"], 11);
        }
    }
    let count = |model: &str, code: &str| codes.iter().filter(|(m, c)| m == model && c == code).count();
    assert_eq!(codes.len(), 18, "one line a request");
    assert!(broken.contains(&(json!("OVERLOADED"), json!(11))), "what it had used is written down: {broken:?}");
    assert_eq!(count("good-1", "-"), 2, "{codes:?}");
    assert_eq!(
        (count("broken", "PROVIDER_ERROR"), count("refused", "AUTHENTICATION"), count("wrong", "INVALID_REQUEST")),
        (2, 2, 2),
        "{codes:?}"
    );
    assert_eq!((count("busy", "RATE_LIMIT"), count("-", "INVALID_REQUEST")), (2, 3), "{codes:?}");
}
