//! Addresses that callers name: those that lead inside are refused in every field where one can stand, before anybody is asked.
//!
//! We fetch none of them. Some providers do, from outside. A server at an address of the operator's may stand inside: names are looked up
//! before it gets them, and one that we know nothing about gets no address at all. Redirects are not followed: `a_redirect_is_not_followed` here and `reliability` in
//! the tests of providers.

use omni_llm::config::{Endpoint, Secret};
use serde_json::{Value, json};

use super::support::{KEY, Mock, Service};

/// Loopback, link-local, private, in every spelling that readers of addresses know; and what is no web address.
const INSIDE: [&str; 42] = [
    "http://127.0.0.1/",
    "https://127.0.0.1:8443/x",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://localhost/",
    "http://LOCALHOST.:80/",
    "http://sub.localhost/",
    "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
    "http://localhost:9001/2018-06-01/runtime/invocation/next",
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://169.254.170.2/v2/credentials",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://10.0.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://printer.local/",
    "http://user:pass@example.com/",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "ftp://example.com/x",
    "gopher://127.0.0.1:70/x",
    "jar:http://127.0.0.1/a.jar!/b",
    "ldap://example.com/x",
    "gs://bucket/private",
    "s3://bucket/private",
    "https://example.com\\@127.0.0.1:9000/x",
    "http://example.com @127.0.0.1/x",
    "https:\\\\127.0.0.1/",
    "URL:http://127.0.0.1/",
    "<http://127.0.0.1/>",
];

/// A field where an address can stand: the path, what it is called, and the body with the address in it.
type Field = (&'static str, &'static str, fn(&str) -> Value);

const MODEL: &str = "openai/gpt-4.1";
const CLAUDE: &str = "anthropic/claude-sonnet-4-5";
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const QUERY: &str = "/v1/query";

fn chat(model: &str, content: Value) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": content}]})
}

fn claude(content: Value) -> Value {
    json!({"model": CLAUDE, "max_tokens": 9, "messages": [{"role": "user", "content": content}]})
}

/// The body with one more field.
fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

const FIELDS: &[Field] = &[
    (CHAT, "image_url.url", |at| chat(MODEL, json!([{"type": "image_url", "image_url": {"url": at}}]))),
    (CHAT, "image_url", |at| chat(MODEL, json!([{"type": "image_url", "image_url": at}]))),
    (CHAT, "image_url.url, Gemini", |at| {
        chat("gemini/gemini-2.5-flash", json!([{"type": "image_url", "image_url": {"url": at}}]))
    }),
    (CHAT, "image_url.url, Mistral", |at| {
        chat("mistral/mistral-large-latest", json!([{"type": "image_url", "image_url": {"url": at}}]))
    }),
    (CHAT, "image_url.url, from the index", |at| {
        chat("rag/openai/gpt-4.1", json!([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": at}}]))
    }),
    (CHAT, "file.file_data", |at| chat(MODEL, json!([{"type": "file", "file": {"file_data": at}}]))),
    (CHAT, "video_url", |at| chat(MODEL, json!([{"type": "video_url", "video_url": {"url": at}}]))),
    (CHAT, "a tool's picture", |at| {
        json!({"model": MODEL, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": at}}]}]})
    }),
    (CHAT, "api_base", |at| with(chat(MODEL, json!("x")), "api_base", at.into())),
    (CHAT, "base_url", |at| with(chat(MODEL, json!("x")), "base_url", at.into())),
    (CHAT, "a field of the provider's", |at| with(chat(MODEL, json!("x")), "web", json!({"a": [{"b": at}]}))),
    (CHAT, "mcp_servers", |at| with(chat(MODEL, json!("x")), "mcp_servers", json!([{"type": "url", "url": at}]))),
    (CHAT, "a tool of MCP", |at| {
        with(chat(MODEL, json!("x")), "tools", json!([{"type": "mcp", "server_label": "s", "server_url": at}]))
    }),
    (CHAT, "a tool's $ref", |at| {
        with(
            chat(MODEL, json!("x")),
            "tools",
            json!([{"type": "function", "function": {"name": "t", "parameters": {"type": "object", "properties": {"a": {"$ref": at}}}}}]),
        )
    }),
    (CHAT, "a schema's $ref", |at| {
        with(
            chat(MODEL, json!("x")),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"$ref": at}}}}}),
        )
    }),
    (MESSAGES, "image.source.url", |at| claude(json!([{"type": "image", "source": {"type": "url", "url": at}}]))),
    (MESSAGES, "document.source.url", |at| claude(json!([{"type": "document", "source": {"type": "url", "url": at}}]))),
    (MESSAGES, "document.source.url, OpenAI", |at| {
        with(claude(json!([{"type": "document", "source": {"type": "url", "url": at}}])), "model", MODEL.into())
    }),
    (MESSAGES, "a tool's picture", |at| {
        json!({"model": CLAUDE, "max_tokens": 9, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "t", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [
                {"type": "image", "source": {"type": "url", "url": at}}]}]}]})
    }),
    (MESSAGES, "a block of the provider's", |at| claude(json!([{"type": "container_upload", "from": {"url": at}}]))),
    (MESSAGES, "a citation", |at| {
        let cited = json!([{"type": "web_search_result_location", "url": at, "title": "t", "cited_text": "c"}]);
        json!({"model": CLAUDE, "max_tokens": 9, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "text", "text": "y", "citations": cited}]},
            {"role": "user", "content": "z"}]})
    }),
    (MESSAGES, "mcp_servers", |at| with(claude(json!("x")), "mcp_servers", json!([{"type": "url", "name": "s", "url": at}]))),
    (MESSAGES, "a server's tool", |at| {
        with(claude(json!("x")), "tools", json!([{"type": "web_fetch_20250910", "name": "web_fetch", "allowed": [at]}]))
    }),
    (MESSAGES, "a tool's $ref", |at| {
        with(
            claude(json!("x")),
            "tools",
            json!([{"name": "t", "input_schema": {"type": "object", "properties": {"a": {"$ref": at}}}}]),
        )
    }),
    (MESSAGES, "a schema's $ref", |at| {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": at}}});
        with(claude(json!("x")), "output_config", json!({"format": {"type": "json_schema", "schema": schema}}))
    }),
    (QUERY, "base_url", |at| json!({"prompt": "x", "model_provider": "openai", "model_name": "gpt-4.1", "base_url": at})),
    (
        QUERY,
        "model_config.base_url",
        |at| json!({"prompt": "x", "model_provider": "openai", "model_name": "gpt-4.1", "model_config": {"base_url": at}}),
    ),
    (QUERY, "rag_config.index", |at| json!({"prompt": "x", "model_provider": "openai", "rag_config": {"index": at}})),
    (QUERY, "a schema's $ref", |at| {
        let schema = json!({"type": "object", "properties": {"a": {"$ref": at}}});
        json!({"prompt": "x", "model_provider": "openai", "model_name": "gpt-4.1", "structured_output": {"method": "json_schema", "schema": schema}})
    }),
    ("/v1/embeddings", "base_url", |at| json!({"model": "openai/text-embedding-3-small", "input": "x", "base_url": at})),
];

/// A service whose providers all stand at the mock: whatever is sent is seen there.
fn service(mock: &Mock) -> Service {
    Service::with(mock, |config| {
        for name in ["openai", "anthropic", "gemini", "mistral"] {
            let endpoint =
                Endpoint { base_url: Some(mock.base_url.clone()), api_key: Some(Secret::new(KEY)), ..Endpoint::default() };
            config.providers.insert(name.into(), endpoint);
        }
    })
}

#[tokio::test]
async fn no_field_of_any_door_takes_an_address_that_leads_inside() {
    let mock = Mock::start().await;
    let service = service(&mock);
    let mut taken = Vec::new();
    for (path, field, body) in FIELDS {
        for address in INSIDE {
            let (status, answer) = service.post(path, &body(address)).await;
            if status != 400 {
                taken.push(format!("{path} {field} {address}: {status} {answer}"));
            }
        }
    }
    assert!(taken.is_empty(), "{} taken:\n{}", taken.len(), taken.join("\n"));
    assert_eq!(mock.calls(), 0, "nobody is asked");
}

#[tokio::test]
async fn public_addresses_reach_vendors_and_no_server_of_ones_own() {
    let mock = Mock::start().await;
    let service = service(&mock);
    let picture = json!([{"type": "image_url", "image_url": {"url": "https://8.8.8.8/cat.png"}}]);
    let (status, answer) = service.post(CHAT, &chat(MODEL, picture.clone())).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(mock.body()["messages"][0]["content"][0]["image_url"]["url"], "https://8.8.8.8/cat.png");
    let calls = mock.calls();
    // Its name may resolve to anything where that server stands.
    let inside_by_name = json!([{"type": "image_url", "image_url": {"url": "https://127.0.0.1.example.com/cat.png"}}]);
    for content in [picture, inside_by_name] {
        let (status, answer) = service.post(CHAT, &chat("custom/good", content)).await;
        assert_eq!(status, 400, "{answer}");
    }
    assert_eq!(mock.calls(), calls);
}

#[tokio::test]
async fn a_name_that_does_not_lead_outside_reaches_no_server_at_an_address_of_the_operators() {
    let mock = Mock::start().await;
    let service = service(&mock);
    // What names that lead inside do is under test where the world can be made up: `net/names.rs` and `provider/tests.rs`.
    let nowhere = "https://cat.invalid/cat.png";
    let picture = json!([{"type": "image_url", "image_url": {"url": nowhere}}]);
    let bodies =
        [chat(MODEL, picture), with(with(chat(MODEL, json!("x")), "web", json!({"a": [{"b": nowhere}]})), "stream", true.into())];
    for body in bodies {
        let (status, answer) = service.post(CHAT, &body).await;
        assert_eq!(status, 400, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("`cat.invalid` does not resolve to public addresses"), "{message}");
    }
    assert_eq!(mock.calls(), 0, "nobody is asked");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mock = Mock::start().await;
    let service = service(&mock);
    let (status, answer) = service.post(CHAT, &chat("custom/redirect", json!("x"))).await;
    assert!(status >= 500, "{status} {answer}");
    assert_eq!(mock.calls(), 1);
}
