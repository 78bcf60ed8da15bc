//! What may be asked: every field is checked, and whatever is refused is named. The texts are the product.

use omni_llm::provider::PRESETS;
use serde_json::{Value, json};

use crate::support::{Mock, Service};

/// The request of the documentation, as far as this version can do it.
fn everything() -> Value {
    json!({"prompt": "How large may a request body be?", "model_provider": "custom", "model_name": "good",
        "model_config": {"temperature": 0.7, "max_tokens": 4096, "top_p": 1.0, "top_k": 40, "frequency_penalty": 0, "presence_penalty": 0,
            "stop_sequences": [], "stream": false, "seed": 1, "reasoning_effort": "low", "service_tier": "flex", "extra": {"mirostat": 2},
            "response_format": "text"},
        "system_prompt": "...", "context": [{"role": "system", "content": "..."}, {"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}],
        "rag_config": {"enabled": true, "s3_bucket": "handbook", "s3_prefix": "docs/",
            "vector_store": {"type": "faiss", "index_name": "kb", "namespace": "default"},
            "embedding_config": {"provider": "local", "model": "sentence-transformers/all-MiniLM-L6-v2"},
            "retrieval_config": {"top_k": 5, "rerank": false, "include_metadata": true},
            "chunking_config": {"strategy": "recursive", "chunk_size": 1000, "chunk_overlap": 200, "separators": ["\n\n"]}},
        "mcp_config": {"enabled": false, "servers": ["filesystem"], "tools": ["read_file"], "auto_invoke": true},
        "structured_output": {"enabled": false, "format": {"name": "string"}, "method": "json_schema", "schema": {}, "strict": true},
        "output_config": {"format": "markdown", "include_sources": true, "include_metadata": true, "max_response_length": 8192}})
}

/// `everything()` with one field changed: `path` is dotted.
fn with(path: &str, value: Value) -> Value {
    let mut body = everything();
    let pointer = format!("/{}", path.replace('.', "/"));
    match body.pointer_mut(&pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    body
}

async fn service() -> (Mock, Service) {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    (mock, service)
}

#[tokio::test]
async fn the_whole_request_is_understood() {
    let (_mock, service) = service().await;
    let (status, answer) = service.query(everything()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["response"]["content"], "Six MiB [1].");
}

#[tokio::test]
async fn fields_of_the_providers_own_reach_it() {
    let (mock, service) = service().await;
    let mut body = everything();
    body["model_config"]["extra"] = json!({"mirostat": 2, "store": true, "nothing": null, "chat_template_kwargs": {"a": 1}});
    let (status, answer) = service.query(body.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let sent = mock.body();
    let of = |name: &str| sent.get(name).cloned();
    assert_eq!((of("reasoning_effort"), of("service_tier")), (Some(json!("low")), Some(json!("flex"))), "{sent}");
    assert_eq!((of("mirostat"), of("store"), of("nothing")), (Some(json!(2)), Some(json!(true)), None), "{sent}");
    assert_eq!(of("chat_template_kwargs"), Some(json!({"a": 1})));
    for (extra, expected) in [
        (json!({"model": "x"}), "`extra.model`: has a field of its own in the request; use that"),
        (json!({"a": "http://10.0.0.1/"}), "`a`: an address: `10.0.0.1` is not a public address"),
    ] {
        body["model_config"]["extra"] = extra;
        assert_eq!(service.refusal(body.clone()).await, expected);
    }
}

#[tokio::test]
async fn null_is_the_same_as_left_out() {
    let service = Service::new(|_| {});
    let mut body = json!({"prompt": "port"});
    for field in everything().as_object().unwrap().keys().filter(|field| *field != "prompt") {
        body[field] = Value::Null;
    }
    assert_eq!(service.query(body).await.0, 200);
}

#[tokio::test]
async fn an_unknown_field_is_named_at_every_depth() {
    let (_mock, service) = service().await;
    let paths = [
        "promt",
        "model_config.temperatur",
        "rag_config.topk",
        "rag_config.vector_store.url",
        "rag_config.embedding_config.key",
        "rag_config.retrieval_config.k",
        "rag_config.chunking_config.size",
        "mcp_config.url",
        "structured_output.shape",
        "output_config.max_length",
    ];
    for path in paths {
        let message = service.refusal(with(path, json!(1))).await;
        assert!(message.starts_with(&format!("`{path}`: unknown field; expected ")), "{message}");
    }
    let message = service.refusal(with("context", json!([{"role": "user", "content": "x", "name": "y"}]))).await;
    assert_eq!(message, "`context[0].name`: unknown field; expected `role` or `content`");
    let message = service.refusal(with("model_config.temperatur", json!(1))).await;
    let fields = "`temperature`, `max_tokens`, `top_p`, `top_k`, `frequency_penalty`, `presence_penalty`, `stop_sequences`, `stream`, `seed`, `reasoning_effort`, `service_tier`, `response_format`, `extra`";
    assert_eq!(message, format!("`model_config.temperatur`: unknown field; expected one of {fields}"));
}

#[tokio::test]
async fn a_value_out_of_range_is_named() {
    let (_mock, service) = service().await;
    let names: Vec<String> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
    let no_such = format!(
        "`model_provider`: `gpt`: no such provider; there are {}; a server that speaks OpenAI's dialect is `custom`",
        names.join(", ")
    );
    let table = [
        ("prompt", json!(" \n"), "`prompt`: empty; write the question"),
        ("model_name", json!(""), "`model_name`: 0 bytes; send 1 to 256, or leave it out"),
        ("model_config.temperature", json!(2.5), "`model_config.temperature`: 2.5 is not between 0 and 2"),
        ("model_config.max_tokens", json!(0), "`model_config.max_tokens`: 0 is not between 1 and 1000000"),
        ("model_config.top_p", json!(-0.1), "`model_config.top_p`: -0.1 is not between 0 and 1"),
        ("model_config.top_k", json!(5_000_000_000_u64), "`model_config.top_k`: 5000000000 is not between 1 and 1000"),
        ("model_config.frequency_penalty", json!(3), "`model_config.frequency_penalty`: 3 is not between -2 and 2"),
        ("model_config.presence_penalty", json!(-3), "`model_config.presence_penalty`: -3 is not between -2 and 2"),
        ("model_config.stop_sequences", json!([""]), "`model_config.stop_sequences`: send at most 16 texts, none of them empty"),
        ("rag_config.retrieval_config.top_k", json!(101), "`rag_config.retrieval_config.top_k`: 101 is not between 1 and 100"),
        (
            "rag_config.retrieval_config.score_threshold",
            json!(2),
            "`rag_config.retrieval_config.score_threshold`: 2 is not between -1 and 1",
        ),
        ("rag_config.s3_bucket", json!("a/b"), "`rag_config.s3_bucket`: not the name of a bucket"),
        ("output_config.max_response_length", json!(0), "`output_config.max_response_length`: 0 is not between 1 and 1000000"),
        ("model_config.temperature", json!("hot"), "`model_config.temperature`: invalid type: string \"hot\", expected a number"),
        (
            "model_config.max_tokens",
            json!(-1),
            "`model_config.max_tokens`: invalid value: integer `-1`, expected a whole number from 0 on",
        ),
        ("model_provider", json!("gpt"), &no_such),
        (
            "context",
            json!([{"role": "tool", "content": ""}]),
            "`context[0].role`: unknown variant `tool`, expected one of `system`, `user`, `assistant`",
        ),
        ("prompt", json!(["x"]), "`prompt`: invalid type: list, expected a text"),
        ("rag_config.citations", json!(5), "`rag_config.citations`: not what belongs here; send a text"),
    ];
    for (path, value, expected) in table {
        assert_eq!(service.refusal(with(path, value)).await, expected);
    }
}

#[tokio::test]
async fn a_name_of_a_model_that_is_too_long_is_refused_at_every_door() {
    let service = Service::new(|_| {});
    let model = format!("openai/{}", "m".repeat(400));
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
        let messages = json!([{"role": "user", "content": "Why?"}]);
        let mut body = json!({"model": model, "input": "x"});
        if path != "/v1/embeddings" {
            body = json!({"model": model, "max_tokens": 9, "messages": messages});
        }
        let (status, answer) = service.post(path, &body).await;
        assert_eq!((status, &answer["error"]["message"]), (400, &json!("`model`: 407 bytes; send at most 320")), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_built_yet_is_refused_by_name() {
    let (mock, service) = service().await;
    let table = [
        (
            "rag_config.vector_store.type",
            json!("pinecone"),
            "`rag_config.vector_store.type: pinecone`: not supported yet; use `faiss`, which means the loaded index, or leave it out",
        ),
        (
            "rag_config.retrieval_config.rerank",
            json!(true),
            "`rag_config.retrieval_config.rerank`: not supported yet; this service has no reranker; the operator gives one with `OMNI_RERANKER`",
        ),
        (
            "rag_config.retrieval_config.score_threshold",
            json!(0.7),
            "`rag_config.retrieval_config.score_threshold`: not supported yet; this service has no embedding model and searches words only; leave it out",
        ),
        (
            "mcp_config.enabled",
            json!(true),
            "`mcp_config.enabled`: not supported yet; set it to false, or leave `mcp_config` out",
        ),
        (
            "mcp_config",
            json!({"servers": ["filesystem"]}),
            "`mcp_config.enabled`: not supported yet; set it to false, or leave `mcp_config` out",
        ),
    ];
    for (path, value, expected) in table {
        let (status, answer) = service.query(with(path, value)).await;
        assert_eq!(
            (status, answer["error"]["code"].as_str(), answer["error"]["message"].as_str()),
            (400, Some("NOT_SUPPORTED"), Some(expected))
        );
    }
    assert_eq!(mock.calls(), 0, "a refused request asks nobody");
}

#[tokio::test]
async fn what_cannot_change_at_query_time_must_be_as_it_was_built() {
    let (_mock, service) = service().await;
    let chunking = |field: &str, value: &str, built: &str| {
        format!(
            "`rag_config.chunking_config.{field}`: `{value}`, but the index was built with {built}; chunks are cut when the index is built: rebuild it, or leave the field out"
        )
    };
    let table = [
        (
            "rag_config.vector_store.index_name",
            json!("other"),
            "`rag_config.vector_store.index_name`: `other` is not loaded; this service holds `kb`".to_owned(),
        ),
        (
            "rag_config.vector_store.namespace",
            json!("team"),
            "`rag_config.vector_store.namespace`: `team` is not in `kb`; it has `default`".to_owned(),
        ),
        (
            "rag_config.embedding_config.provider",
            json!("cohere"),
            "`rag_config.embedding_config.provider`: `cohere`, but the index was embedded by `local`; leave it out".to_owned(),
        ),
        (
            "rag_config.embedding_config.model",
            json!("bge-small"),
            "`rag_config.embedding_config.model`: `bge-small`, but the index was built with `all-MiniLM-L6-v2`; leave it out"
                .to_owned(),
        ),
        ("rag_config.chunking_config.chunk_size", json!(512), chunking("chunk_size", "512", "`1000`")),
        ("rag_config.chunking_config.strategy", json!("semantic"), chunking("strategy", "\"semantic\"", "`\"recursive\"`")),
        (
            "rag_config.chunking_config.metadata_fields",
            json!(["page"]),
            chunking("metadata_fields", "[\"page\"]", "nothing of the kind"),
        ),
    ];
    for (path, value, expected) in table {
        assert_eq!(service.refusal(with(path, value)).await, expected);
    }
}

#[tokio::test]
async fn without_an_index_nothing_pretends_to_retrieve() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |config| config.index = None);
    let (status, answer) = service.query(json!({"prompt": "Hi"})).await;
    assert_eq!((status, &answer["metadata"]["index_digest"], &answer["rag_context"]), (200, &Value::Null, &json!([])));
    let expected = "`rag_config`: no index is loaded; start the service with `--index`, or set `enabled` to false";
    for rag_config in [json!({"enabled": true}), json!({"retrieval_config": {"top_k": 3}}), json!({"s3_bucket": "b"})] {
        assert_eq!(service.refusal(json!({"prompt": "Hi", "rag_config": rag_config})).await, expected);
    }
    let (status, answer) = service.post("/v1/search", &json!({"prompt": "Hi"})).await;
    let expected = "no index is loaded; start the service with `--index`";
    assert_eq!((status, answer["error"]["message"].as_str()), (400, Some(expected)));
}

#[tokio::test]
async fn fields_that_have_no_effect_on_quotes_are_said_so() {
    let service = Service::new(|_| {});
    let (status, answer) = service.query(json!({"prompt": "port", "model_config": {"temperature": 0}})).await;
    assert_eq!(status, 200);
    let expected = "no provider is asked: the answer is quoted from the sources, `model_config` has no effect";
    assert_eq!(answer["metadata"]["warnings"][0], expected);
    let (_, answer) = service.query(json!({"prompt": "port", "system_prompt": "Be brief.", "fallbacks": ["openai/m"]})).await;
    let expected = "no provider is asked: the answer is quoted from the sources, `system_prompt` and `fallbacks` have no effect";
    assert_eq!(answer["metadata"]["warnings"][0], expected);
    let message = service.refusal(json!({"prompt": "port", "model_name": "m"})).await;
    assert_eq!(message, "`model_name`: no provider is asked; name one in `model_provider`");
}
