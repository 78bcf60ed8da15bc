//! What the tests of providers share.

use std::sync::Arc;

use omni_llm::chat::ChatEvent;
use omni_llm::config::{Config, Endpoint, Secret};
use omni_llm::error::Result;
use omni_llm::provider::capability::Rules;
use omni_llm::provider::{Dialect, Provider};

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

/// One message of an AWS event stream.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).unwrap());
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(16 + block.len() + payload.len()).unwrap();
    let mut bytes = total.to_be_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(&block);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// One event of Bedrock's.
pub(crate) fn bedrock_event(name: &str, payload: &str) -> Vec<u8> {
    frame(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload.as_bytes())
}
