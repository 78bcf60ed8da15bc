//! One line a request, and nothing in it that anybody wrote or has to hide.

use std::io::Write;
use std::sync::{Arc, Mutex};

use omni_llm::config::Level;
use omni_llm::telemetry;
use serde_json::{Value, json};

use crate::support::{KEY, Mock, Service};

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

#[tokio::test]
async fn a_line_has_names_and_numbers_and_no_content() {
    let lines = Lines::default();
    let writer = lines.clone();
    // For the whole process: a subscriber of one thread misses what another thread's test has met first.
    tracing::subscriber::set_global_default(telemetry::subscriber(Level::Trace, true, move || writer.clone())).unwrap();
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.fallback_extractive = false);
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
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for hidden in [
        KEY,
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
