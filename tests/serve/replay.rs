//! A provider on the loopback that answers whatever it is asked with what a test gave it, in OpenAI's dialect, in Anthropic's, in
//! Gemini's and, whole, in Bedrock's.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use omni_llm::config::{Endpoint, Secret};
use serde_json::{Value, json};

use super::support::{KEY, Service, serve};

/// A question to a model, in a body that OpenAI's dialect and Anthropic's share.
pub(crate) fn ask(model: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Why is the sky blue?"}]})
}

/// As a stream.
pub(crate) fn streamed(mut body: Value) -> Value {
    body["stream"] = json!(true);
    body
}

/// The provider.
pub(crate) struct Replay {
    state: Arc<Told>,
    base_url: String,
}

/// What it answers, whole and in frames, and what it was asked.
struct Told {
    whole: Value,
    frames: Vec<Value>,
    asked: Mutex<Vec<Value>>,
}

impl Replay {
    pub(crate) async fn start(whole: Value, frames: Vec<Value>) -> Self {
        let state = Arc::new(Told { whole, frames, asked: Mutex::default() });
        let router = axum::Router::new()
            .route("/v1/chat/completions", axum::routing::post(answer))
            .route("/v1/messages", axum::routing::post(answer))
            .route("/v1/messages/count_tokens", axum::routing::post(answer))
            .route("/v1/model/{model}/{way}", axum::routing::post(answer))
            .route("/v1/models/{way}", axum::routing::post(answer))
            .with_state(Arc::clone(&state));
        Self { state, base_url: serve(router).await }
    }

    /// A service that reaches it as `anthropic`, as `bedrock`, as `custom` and as `gemini`.
    pub(crate) fn service(&self) -> Service {
        Service::new(|config| {
            config.generation.retries = 0;
            for name in ["anthropic", "bedrock", "custom", "gemini"] {
                let (base_url, api_key) = (Some(self.base_url.clone()), Some(Secret::new(KEY)));
                config.providers.insert(name.into(), Endpoint { base_url, api_key, ..Endpoint::default() });
            }
        })
    }

    /// What it was asked last.
    pub(crate) fn asked(&self) -> Value {
        self.state.asked.lock().unwrap().last().unwrap().clone()
    }
}

async fn answer(State(told): State<Arc<Told>>, uri: Uri, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).unwrap();
    let is_stream = body["stream"] == true || uri.path().contains(":stream");
    told.asked.lock().unwrap().push(body);
    let (kind, text) = if is_stream {
        let frame = |frame: &Value| match frame["type"].as_str() {
            Some(name) => format!("event: {name}\ndata: {frame}\n\n"),
            None => format!("data: {frame}\n\n"),
        };
        ("text/event-stream", told.frames.iter().map(frame).collect())
    } else {
        ("application/json", told.whole.to_string())
    };
    Response::builder().header("content-type", kind).body(Body::from(text)).unwrap()
}
