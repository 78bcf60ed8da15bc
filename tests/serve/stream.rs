//! Streams: what they say, how they fail, and that nobody talks on when nobody listens.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{Mock, Service};

/// The answer without what differs from call to call.
fn timeless(mut answer: Value) -> Value {
    answer["metadata"]["execution_time"].take();
    answer["metadata"]["request_id"].take();
    answer
}

fn deltas(events: &[(String, Value)]) -> String {
    events.iter().filter(|(name, _)| name == "delta").map(|(_, data)| data["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_ends_with_the_answer_that_would_have_been_buffered() {
    let mock = Mock::start().await;
    for service in [Service::new(|_| {}), Service::with(&mock, |_| {})] {
        let question = json!({"prompt": "How large may a request body be?"});
        let events = service.events(question.clone()).await;
        let (name, done) = events.last().unwrap();
        assert_eq!(name, "done");
        assert!(events.len() > 2 && events[..events.len() - 1].iter().all(|(name, _)| name == "delta"));
        assert_eq!(deltas(&events), done["response"]["content"].as_str().unwrap());
        let (_, whole) = service.query(question).await;
        assert_eq!(timeless(done.clone()), timeless(whole));
    }
    assert_eq!(mock.state.bodies.lock().unwrap()[0]["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn a_failure_before_the_first_text_is_an_ordinary_error() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    for (model, status, code) in
        [("busy", 429, "RATE_LIMIT"), ("cut-at-once", 502, "PROVIDER_ERROR"), ("refused", 424, "AUTHENTICATION")]
    {
        let (seen, answer) =
            service.query(json!({"prompt": "body", "model_name": model, "model_config": {"stream": true}})).await;
        assert_eq!((seen, answer["error"]["code"].as_str().unwrap()), (status, code));
    }
    let service = Service::with(&mock, |config| config.generation.fallback_extractive = true);
    let events = service.events(json!({"prompt": "How large may a request body be?", "model_name": "busy"})).await;
    assert_eq!(events.last().unwrap().1["metadata"]["fallback"]["code"], "RATE_LIMIT");
}

#[tokio::test]
async fn a_failure_behind_the_first_text_is_the_last_event() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.generation.fallback_extractive = true);
    let events = service.events(json!({"prompt": "body", "model_name": "cut"})).await;
    assert_eq!(deltas(&events), "half an ans");
    let (name, error) = events.last().unwrap();
    assert_eq!((name.as_str(), &error["success"]), ("error", &json!(false)));
    assert_eq!(error["error"]["message"], "the provider's stream was cut before its end");
    assert_eq!(error["error"]["details"]["provider"], "custom");
    let events = service.events(json!({"prompt": "body", "model_name": "error-inside"})).await;
    assert_eq!((events.len(), &events[1].1["error"]["code"]), (2, &json!("OVERLOADED")));
    assert_eq!(events[1].1["error"]["details"]["usage"]["prompt_tokens"], 11, "it is spent");
}

#[tokio::test]
async fn an_answer_that_is_cut_ends_the_providers_call() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let events =
        service.events(json!({"prompt": "body", "model_name": "endless", "output_config": {"max_response_length": 10}})).await;
    assert_eq!(deltas(&events), "tick 0 tic");
    assert_eq!(
        events.last().unwrap().1["response"],
        json!({"content": "tick 0 tic", "role": "assistant", "finish_reason": "length"})
    );
    left(&mock).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_ends_the_providers_call() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let body = json!({"prompt": "body", "model_name": "endless", "model_config": {"stream": true}});
    let response = service.send(axum::http::Request::post("/").body(Body::from(body.to_string())).unwrap()).await;
    let mut stream = response.into_body().into_data_stream();
    assert!(stream.next().await.unwrap().unwrap().starts_with(b"event: delta"));
    assert!(!mock.state.left.load(Ordering::SeqCst));
    drop(stream);
    left(&mock).await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_given_up() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.limits.request_timeout_s = 1);
    let body = json!({"prompt": "body", "model_name": "slow", "model_config": {"stream": true}});
    let (status, answer) = service.query(body).await;
    assert_eq!((status, &answer["error"]["code"]), (504, &json!("TIMEOUT")));
    left(&mock).await;
}

/// Waits at most a second for the provider to notice.
pub(crate) async fn left(mock: &Mock) {
    let began = Instant::now();
    while !mock.state.left.load(Ordering::SeqCst) {
        assert!(began.elapsed() < Duration::from_secs(1), "the provider is still being asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
