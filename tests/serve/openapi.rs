//! `/openapi.json` against the service: every path, every field of a request, and the shape of real answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::{Mock, Service};

fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap()
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.map(str::to_owned).collect()
}

/// A schema of the document, with everything that it refers to.
fn schema(name: &str) -> jsonschema::Validator {
    let mut schema = json!({"$ref": format!("#/components/schemas/{name}")});
    schema["components"] = document()["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

pub(crate) fn require(name: &str, value: &Value) {
    let problems: Vec<String> =
        schema(name).iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(problems, [""; 0], "{name}: {value}");
}

#[tokio::test]
async fn it_is_served_and_names_every_path() {
    let service = Service::new(|_| {});
    let (status, served) = service.get("/openapi.json").await;
    assert_eq!((status, &served), (200, &document()));
    let documented = names(served["paths"].as_object().unwrap().keys().map(String::as_str));
    let source = include_str!("../../src/server/mod.rs");
    let routes = source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("{*", "{"));
    assert_eq!(documented, routes.collect());
    for (path, operations) in served["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_documented = |status: u16| operation["responses"].get(status.to_string()).is_some();
            assert!(is_documented(508), "a request of the service's own may come anywhere: {method} {path}");
            // Also a body that is compressed, and a name that is no text.
            for (encoding, id) in [("identity", "x"), ("gzip", "%ff")] {
                let request = axum::http::Request::builder().method(method.to_uppercase().as_str()).uri(path.replace("{id}", id));
                let request = request.header("content-encoding", encoding).body(axum::body::Body::empty()).unwrap();
                let status = service.send(request).await.status().as_u16();
                assert!(status != 405 && is_documented(status), "{method} {path}: {status}");
            }
        }
    }
}

/// What the service itself says its fields are: it names them when it meets one that it does not know.
async fn fields(service: &Service, path: &str, body: &Value) -> BTreeSet<String> {
    let (status, answer) = service.post(path, body).await;
    let message = answer["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(status, 400, "{message}");
    let (_, expected) = message.split_once("unknown field; ").unwrap_or_else(|| panic!("{message}"));
    names(expected.split('`').skip(1).step_by(2))
}

#[tokio::test]
async fn it_names_every_field_of_our_own_requests() {
    let service = Service::new(|_| {});
    let schemas = document()["components"]["schemas"].clone();
    let properties = |schema: &Value| names(schema["properties"].as_object().unwrap().keys().map(String::as_str));
    let config = &schemas["RagConfig"]["properties"];
    for (pointer, documented) in [
        ("", properties(&schemas["QueryRequest"])),
        ("/model_config", properties(&schemas["ModelConfig"])),
        ("/rag_config", properties(&schemas["RagConfig"])),
        ("/rag_config/vector_store", properties(&config["vector_store"])),
        ("/rag_config/embedding_config", properties(&config["embedding_config"])),
        ("/rag_config/retrieval_config", properties(&config["retrieval_config"])),
        ("/rag_config/chunking_config", properties(&config["chunking_config"])),
        ("/structured_output", properties(&schemas["StructuredOutput"])),
        ("/output_config", properties(&schemas["OutputConfig"])),
        ("/mcp_config", properties(&schemas["McpConfig"])),
    ] {
        let mut body = json!({"zz": 1});
        for name in pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
            body = json!({name: body});
        }
        body["prompt"] = json!("x");
        assert_eq!(fields(&service, "/v1/query", &body).await, documented, "{pointer}");
    }
    assert_eq!(fields(&service, "/v1/search", &json!({"prompt": "x", "zz": 1})).await, properties(&schemas["SearchRequest"]));
    assert_eq!(
        fields(&service, "/v1/embeddings", &json!({"model": "x", "input": "x", "zz": 1})).await,
        properties(&schemas["EmbeddingsRequest"])
    );
    // These two hand on what they do not know, so their fields are read from the code.
    for (source, body, name) in [
        (include_str!("../../src/server/door/openai/request.rs"), "struct ChatBody {", "ChatRequest"),
        (include_str!("../../src/server/door/anthropic/request.rs"), "struct MessagesBody {", "MessagesRequest"),
    ] {
        let lines = source.split(body).nth(1).unwrap().lines().take_while(|line| *line != "}");
        let fields = lines.filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name).filter(|name| *name != "rest");
        assert_eq!(names(fields), properties(&schemas[name]), "{name}");
    }
}

#[tokio::test]
async fn real_answers_are_as_it_says() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let question = json!({"prompt": "How large may a request body be?"});
    let shape = json!({"prompt": "x", "model_name": "mends", "structured_output": {"format": {"name": "string", "tags": ["string"]}, "include_raw": true}});
    let cites = json!({"prompt": "How large may a request body be?", "model_name": "cites", "rag_config": {"citations": "drop", "retrieval_config": {"include_metadata": true}}});
    for body in [&question, &shape, &cites] {
        let (status, answer) = service.post("/v1/query", body).await;
        assert_eq!(status, 200, "{answer}");
        require("QueryResponse", &answer);
    }
    require("SearchResponse", &service.post("/v1/search", &question).await.1);
    require("IndexResponse", &service.get("/v1/index").await.1);
    require("IndexResponse", &Service::new(|config| config.index = None).get("/v1/index").await.1);
    require("Models", &service.get("/v1/models").await.1);
    require("Error", &service.post("/v1/query", &json!({})).await.1);
    let messages = json!([{"role": "user", "content": "How large may a request body be?"}]);
    for model in ["custom/good", "rag/custom/cites", "rag/extractive", "custom/busy"] {
        let (status, answer) = service.post("/v1/chat/completions", &json!({"model": model, "messages": messages})).await;
        require(if status == 200 { "ChatCompletion" } else { "OpenAiError" }, &answer);
        let (status, answer) =
            service.post("/v1/messages", &json!({"model": model, "max_tokens": 9, "messages": messages})).await;
        require(if status == 200 { "Message" } else { "AnthropicError" }, &answer);
    }
}
