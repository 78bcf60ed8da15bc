//! What the tests of providers share.

#[path = "../support/event_stream.rs"]
mod event_stream;

use std::sync::Arc;

use omni_llm::chat::{ChatEvent, ChatResponse, fold};
use omni_llm::config::{Config, Endpoint, Secret};
use omni_llm::error::Result;
use omni_llm::provider::capability::Rules;
use omni_llm::provider::{Dialect, Provider};
use serde_json::Value;

pub(crate) use event_stream::{event as bedrock_event, message as frame};

/// A provider with a key, at its own address or at `base_url`.
pub(crate) fn provider(name: &str, base_url: Option<&str>) -> Provider {
    keyed(name, base_url, "test-key-1")
}

/// As [`provider`], with this key.
pub(crate) fn keyed(name: &str, base_url: Option<&str>, key: &str) -> Provider {
    let mut config = Config::default();
    config.aws.region = Some("us-east-1".into());
    let endpoint = Endpoint {
        api_key: Some(Secret::new(key)),
        base_url: base_url.map(str::to_owned).or_else(|| (name == "custom").then(|| "http://127.0.0.1:1/v1".to_owned())),
        project: Some("p".into()),
        ..Endpoint::default()
    };
    config.providers.insert(name.to_owned(), endpoint);
    Provider::open(name, &config, &Arc::new(Rules::new(None).unwrap())).unwrap()
}

/// Every event of a stream that arrives in these pieces.
pub(crate) fn events(dialect: Dialect, pieces: &[&[u8]]) -> Result<Vec<ChatEvent>> {
    let (mut decoder, mut events) = (dialect.decoder(), Vec::new());
    for piece in pieces {
        events.extend(decoder.push(piece)?);
    }
    events.extend(decoder.finish()?);
    Ok(events)
}

/// An answer that comes at once.
pub(crate) fn whole(dialect: Dialect, body: &Value) -> ChatResponse {
    dialect.decode(body.to_string().as_bytes()).unwrap()
}

/// An answer that comes in these server-sent events.
pub(crate) fn streamed(dialect: Dialect, chunks: &[Value]) -> ChatResponse {
    let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    fold(&events(dialect, &[stream.as_bytes()]).unwrap())
}
