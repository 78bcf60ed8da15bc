//! Addresses that callers name: those that lead inside are refused in every field where one can stand, before anybody is asked.
//!
//! We fetch none of them. Some providers do, from outside. A server at an address of the operator's may stand inside: names are
//! looked up before it gets them, and one that we know nothing about gets no address at all. Redirects are not followed:
//! `a_redirect_is_not_followed` here and `reliability` in the tests of providers.

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

/// Fields whose address would reach a provider.
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
    (CHAT, "a tool's $ref", |at| {
        with(
            chat(MODEL, json!("x")),
            "tools",
            json!([{"type": "function", "function": {"name": "t", "parameters": {"type": "object", "properties": {"a": {"$ref": at}}}}}]),
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
    (CHAT, "image_url.url, Bedrock", |at| {
        chat("bedrock/us.anthropic.claude-sonnet-4-6", json!([{"type": "image_url", "image_url": {"url": at}}]))
    }),
    (CHAT, "image_url.url, Cohere", |at| {
        chat("cohere/command-a-vision-07-2025", json!([{"type": "image_url", "image_url": {"url": at}}]))
    }),
    (CHAT, "a picture in `system`", |at| {
        json!({"model": MODEL, "messages": [
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": at}}]}, {"role": "user", "content": "x"}]})
    }),
    (CHAT, "file.file_id", |at| chat(MODEL, json!([{"type": "file", "file": {"file_id": at}}]))),
    (CHAT, "metadata", |at| with(chat(MODEL, json!("x")), "metadata", json!({"a": at}))),
    (CHAT, "documents, Cohere", |at| {
        with(chat("cohere/command-a-03-2025", json!("x")), "documents", json!([{"id": "d", "data": {"url": at}}]))
    }),
    (CHAT, "a tool's own field", |at| {
        with(chat(MODEL, json!("x")), "tools", json!([{"type": "function", "function": {"name": "t", "hook": {"url": at}}}]))
    }),
    (CHAT, "a tool's $id, from which a reference begins", |at| {
        let parameters = json!({"$id": at, "type": "object", "properties": {"a": {"$ref": "x.json"}}});
        with(chat(MODEL, json!("x")), "tools", json!([{"type": "function", "function": {"name": "t", "parameters": parameters}}]))
    }),
    (MESSAGES, "a picture in `system`", |at| {
        with(claude(json!("x")), "system", json!([{"type": "image", "source": {"type": "url", "url": at}}]))
    }),
    (MESSAGES, "a picture in a document", |at| {
        let picture = json!([{"type": "image", "source": {"type": "url", "url": at}}]);
        claude(json!([{"type": "document", "source": {"type": "content", "content": picture}}]))
    }),
    (MESSAGES, "search_result.source", |at| {
        claude(json!([{"type": "search_result", "source": at, "title": "t", "content": [{"type": "text", "text": "x"}]}]))
    }),
    (MESSAGES, "a block of a server's tool", |at| {
        let found = json!([{"type": "web_search_result", "url": at, "title": "t", "encrypted_content": "e"}]);
        json!({"model": CLAUDE, "max_tokens": 9, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "web_search_tool_result", "tool_use_id": "s", "content": found}]},
            {"role": "user", "content": "z"}]})
    }),
    (MESSAGES, "container", |at| with(claude(json!("x")), "container", json!({"skills": [{"from": at}]}))),
    (MESSAGES, "a tool's own field", |at| {
        with(claude(json!("x")), "tools", json!([{"name": "t", "input_schema": {"type": "object"}, "hook": {"url": at}}]))
    }),
    (QUERY, "model_config.extra", |at| {
        json!({"prompt": "x", "model_provider": "openai", "model_name": "gpt-4.1", "rag_config": {"enabled": false},
            "model_config": {"extra": {"web": {"url": at}}}})
    }),
];

/// Fields that are not there, or are refused whatever stands in them.
const NOWHERE: &[Field] = &[
    (CHAT, "video_url", |at| chat(MODEL, json!([{"type": "video_url", "video_url": {"url": at}}]))),
    (CHAT, "a tool of MCP", |at| {
        with(chat(MODEL, json!("x")), "tools", json!([{"type": "mcp", "server_label": "s", "server_url": at}]))
    }),
    (CHAT, "a schema's $ref", |at| {
        with(
            chat(MODEL, json!("x")),
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "properties": {"a": {"$ref": at}}}}}),
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
    (CHAT, "document_url, Mistral", |at| {
        chat("mistral/mistral-large-latest", json!([{"type": "document_url", "document_url": at}]))
    }),
];

/// What the guard says of an address; nobody else does.
const REFUSALS: [&str; 7] = [
    "is not a public address",
    "is not a public name",
    "is neither `https` nor `http`",
    "it carries credentials",
    "readers may disagree about its host",
    "not an address",
    "it has no host",
];

/// Who leads nowhere inside.
const PUBLIC: &str = "https://8.8.8.8/x";

/// Whether an answer is a refusal of the guard's.
fn is_guarded(answer: &Value) -> bool {
    answer["error"]["message"].as_str().is_some_and(|message| REFUSALS.iter().any(|words| message.contains(words)))
}

/// A service whose providers all stand at the mock: whatever is sent is seen there.
fn service(mock: &Mock) -> Service {
    Service::with(mock, |config| {
        for name in ["openai", "anthropic", "bedrock", "cohere", "gemini", "mistral"] {
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
            if status != 400 || !is_guarded(&answer) {
                taken.push(format!("{path} {field} {address}: {status} {answer}"));
            }
        }
    }
    for (path, field, body) in NOWHERE {
        for address in INSIDE.into_iter().chain([PUBLIC]) {
            let (status, answer) = service.post(path, &body(address)).await;
            if status != 400 || is_guarded(&answer) {
                taken.push(format!("{path} {field} {address}: {status} {answer}"));
            }
        }
    }
    assert!(taken.is_empty(), "{} taken:\n{}", taken.len(), taken.join("\n"));
    assert_eq!(mock.calls(), 0, "nobody is asked");
    // What is refused is the address, and not the field.
    for (path, field, body) in FIELDS {
        let (status, answer) = service.post(path, &body(PUBLIC)).await;
        assert!(!is_guarded(&answer), "{path} {field}: {status} {answer}");
    }
    assert!(mock.calls() > 0);
}

#[tokio::test]
async fn what_names_a_schema_is_looked_up_by_nobody() {
    let mock = Mock::start().await;
    let service = service(&mock);
    for id in ["https://schemas.invalid/tool.json", "http://10.0.0.1/tool.json"] {
        let schema = json!({"$schema": "https://json-schema.invalid/draft-07/schema#", "$id": id, "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}});
        let tools = json!([{"type": "function", "function": {"name": "t", "parameters": schema}}]);
        for model in [MODEL, "custom/good"] {
            let (status, answer) = service.post(CHAT, &with(chat(model, json!("x")), "tools", tools.clone())).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(mock.body()["tools"][0]["function"]["parameters"]["$id"], id);
        }
    }
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
