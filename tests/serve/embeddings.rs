//! `POST /v1/embeddings` over a model that is loaded, and what questions are embedded as.

use omni_llm::embed::Embedder;
use omni_llm::index::{Document, Manifest};
use serde_json::{Value, json};

use crate::embed_support::small_model;
use crate::openapi::require;
use crate::remote::Vectors;
use crate::support::{Service, write_index};

/// A small model whose questions have this prefix.
fn model(query_prefix: &str) -> tempfile::TempDir {
    let folder = small_model();
    let prompts = json!({"prompts": {"query": query_prefix, "document": "read: "}});
    std::fs::write(folder.path().join("config_sentence_transformers.json"), prompts.to_string()).unwrap();
    folder
}

/// A service over such a model.
fn service() -> (tempfile::TempDir, Service) {
    let folder = model("ask the index: ");
    let service = Service::new(|config| {
        config.index = None;
        config.model = Some(folder.path().to_owned());
    });
    (folder, service)
}

fn vectors(answer: &Value) -> Vec<Vec<f32>> {
    let data = answer["data"].as_array().unwrap();
    data.iter().map(|item| serde_json::from_value(item["embedding"].clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_question_has_the_vector_of_a_question() {
    let (folder, service) = service();
    let embedder = Embedder::open(folder.path()).unwrap();
    let texts = ["the index", "is not mapped"];
    let ask = |input_type: Value| json!({"model": "local", "input": texts, "input_type": input_type});
    let (status, queries) = service.post("/v1/embeddings", &ask(json!("query"))).await;
    assert_eq!(status, 200, "{queries}");
    let (_, documents) = service.post("/v1/embeddings", &ask(Value::Null)).await;
    assert_eq!(vectors(&queries), texts.map(|text| embedder.embed_query(text).unwrap()));
    assert_eq!(vectors(&documents), texts.map(|text| embedder.embed_one(text).unwrap()));
    assert_ne!(vectors(&queries), vectors(&documents));
    let counted: usize = texts.iter().map(|text| embedder.count_query(text)).sum();
    assert_eq!(queries["usage"]["prompt_tokens"], counted);
}

#[tokio::test]
async fn numbers_are_no_longer_than_they_have_to_be() {
    let (folder, service) = service();
    let vector = Embedder::open(folder.path()).unwrap().embed_one("the index").unwrap();
    let body = json!({"model": "local", "input": "the index"}).to_string();
    let response = service.send(axum::http::Request::post("/v1/embeddings").body(axum::body::Body::from(body)).unwrap()).await;
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(&format!("\"embedding\":{}", serde_json::to_string(&vector).unwrap())), "{text}");
}

#[tokio::test]
async fn a_text_that_the_model_would_cut_is_refused() {
    let (folder, service) = service();
    let embedder = Embedder::open(folder.path()).unwrap();
    let most = embedder.tokenizer().max_tokens();
    let text = |words: usize| "the ".repeat(words);
    let fits = (1..most).rev().find(|words| embedder.count(&text(*words)) <= most).unwrap();
    let (status, answer) = service.post("/v1/embeddings", &json!({"model": "local", "input": text(fits)})).await;
    assert_eq!((status, &answer["usage"]["prompt_tokens"]), (200, &json!(most)), "{answer}");
    let (status, answer) = service.post("/v1/embeddings", &json!({"model": "local", "input": ["the", text(fits + 1)]})).await;
    let expected = format!("`input[1]`: {} tokens, but the model reads {most} at most; send it in pieces", most + 1);
    assert_eq!((status, &answer["error"]["message"]), (400, &json!(expected)), "{answer}");
    assert_eq!((&answer["error"]["code"], &answer["error"]["param"]), (&json!("context_length_exceeded"), &json!("input[1]")));
}

#[tokio::test]
async fn a_provider_that_has_no_key_is_said_to_have_none() {
    let (_folder, service) = service();
    let ask = |model: &str| json!({"model": model, "input": "x"});
    let (status, answer) = service.post("/v1/embeddings", &ask("openai/text-embedding-3-small")).await;
    let expected = "`model`: `openai` needs a key; set `OPENAI_API_KEY` where the service runs";
    assert_eq!((status, &answer["error"]["message"]), (400, &json!(expected)), "{answer}");
    let (status, answer) = service.post("/v1/embeddings", &ask("vertex_ai/x")).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("`model`: `vertex_ai/x` is not loaded; `local/"), "{message}");
    assert!(status == 404 && message.ends_with("`vertexai` may be meant"), "{message}");
    let none = Service::new(|config| {
        config.providers.insert(
            "custom".into(),
            omni_llm::config::Endpoint { base_url: Some("http://127.0.0.1:9/v1".into()), ..Default::default() },
        );
        config.providers.insert(
            "groq".into(),
            omni_llm::config::Endpoint { api_key: Some(omni_llm::config::Secret::new("k")), ..Default::default() },
        );
    });
    let (status, answer) = none.post("/v1/embeddings", &ask("groq/x")).await;
    assert_eq!((status, &answer["error"]["message"]), (400, &json!("`model`: `groq` does not embed texts")), "{answer}");
}

#[tokio::test]
async fn what_a_providers_vectors_cost_is_told_and_what_is_not_known_is_not() {
    let provider = Vectors::start().await;
    let service = Service::new(|config| {
        let endpoint = omni_llm::config::Endpoint { base_url: Some(provider.base_url.clone()), ..Default::default() };
        config.providers.insert("openai".into(), endpoint);
    });
    let ask = async |input: Value| {
        let (status, answer) =
            service.post("/v1/embeddings", &json!({"model": "openai/text-embedding-3-small", "input": input})).await;
        assert_eq!(status, 200, "{answer}");
        require("Embeddings", &answer);
        answer
    };
    let answer = ask(json!("ship")).await;
    assert_eq!(answer["usage"], json!({"prompt_tokens": 1000, "total_tokens": 1000}));
    assert_eq!((&answer["omni"]["provider"], &answer["omni"]["cost_usd"]), (&json!("openai"), &json!(0.000_02)));
    let answer = ask(json!("uncounted")).await;
    assert_eq!((answer.get("usage"), &answer["omni"]["cost_usd"]), (None, &Value::Null));
}

#[tokio::test]
async fn vectors_that_are_paid_for_and_not_delivered_are_counted() {
    let provider = Vectors::start().await;
    let service = Service::new(|config| {
        config.generation.retries = 0;
        let endpoint = omni_llm::config::Endpoint { base_url: Some(provider.base_url.clone()), ..Default::default() };
        config.providers.insert("openai".into(), endpoint);
    });
    let ask = async |input: Value| {
        service.post("/v1/embeddings", &json!({"model": "openai/text-embedding-3-small", "input": input})).await
    };
    let unknown = || service.app.prices().unknown_count();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(500), ask(json!("silence"))).await.is_err());
    assert_eq!(unknown(), 1, "the caller left");
    assert_eq!((ask(json!("broken")).await.0, unknown()), (400, 1), "a refusal costs nothing");
    // More than one call has room for.
    let mut texts = vec!["x".repeat(300_000); 2];
    texts.push("broken".into());
    assert_eq!((ask(json!(texts)).await.0, unknown()), (400, 2), "but what was embedded before it does");
}

/// A service with a model of its own, OpenAI and Mistral.
fn with_remote(provider: &Vectors) -> (tempfile::TempDir, Service) {
    let (folder, _) = service();
    let service = Service::new(|config| {
        config.index = None;
        config.model = Some(folder.path().to_owned());
        let endpoint = || omni_llm::config::Endpoint { base_url: Some(provider.base_url.clone()), ..Default::default() };
        config.providers.extend(["openai", "mistral"].map(|name| (name.to_owned(), endpoint())));
    });
    (folder, service)
}

#[tokio::test]
async fn whose_texts_they_are_is_told_where_it_is_taken() {
    let provider = Vectors::start().await;
    let (_folder, service) = with_remote(&provider);
    let ask = async |model: &str| service.post("/v1/embeddings", &json!({"model": model, "input": "the", "user": "ada"})).await.1;
    let answer = ask("openai/text-embedding-3-small").await;
    assert_eq!((&provider.last()["user"], &answer["omni"]["warnings"]), (&json!("ada"), &Value::Null), "{answer}");
    for (model, who) in [("mistral/mistral-embed", "mistral"), ("local", "local")] {
        let answer = ask(model).await;
        require("Embeddings", &answer);
        assert_eq!(answer["omni"]["warnings"], json!([format!("`user`: `{who}` does not take it; it was left out")]), "{answer}");
    }
    assert!(provider.last()["model"] == "mistral-embed" && provider.last().get("user").is_none());
    for (name, owner) in [("local", "omni-llm"), ("openai/text-embedding-3-small", "openai")] {
        assert_eq!(service.get(&format!("/v1/models/{name}")).await.1["owned_by"], owner, "{name}");
    }
    let refused = ask("openai/").await;
    assert_eq!(refused["error"]["message"], "`model`: `openai/` names no model; write `provider/model`");
}

#[tokio::test]
async fn token_numbers_go_to_whom_they_belong() {
    let provider = Vectors::start().await;
    let (_folder, service) = with_remote(&provider);
    let ask = async |model: &str, input: Value| service.post("/v1/embeddings", &json!({"model": model, "input": input})).await;
    for (input, sent) in
        [(json!([[9906, 1917], [82]]), json!([[9906, 1917], [82]])), (json!([9906, 1917]), json!([[9906, 1917]]))]
    {
        let (status, answer) = ask("openai/text-embedding-3-small", input).await;
        assert_eq!((status, &provider.last()["input"]), (200, &sent), "{answer}");
    }
    let refused = "`input`: not supported yet; token numbers belong to one model's vocabulary; send texts (LangChain: `check_embedding_ctx_length=False`)";
    for model in ["local", "mistral/mistral-embed"] {
        let (status, answer) = ask(model, json!([[9906, 1917]])).await;
        assert_eq!((status, &answer["error"]["message"]), (400, &json!(refused)), "{answer}");
        assert_eq!(answer["error"]["param"], "input");
    }
    for wrong in [json!(7), json!([-1]), json!([[1], 2]), json!([{"text": "a"}]), json!([1, "a"])] {
        let (status, answer) = ask("openai/m", wrong).await;
        assert_eq!(
            (status, &answer["error"]["message"]),
            (400, &json!("`input`: neither a text nor a list of texts")),
            "{answer}"
        );
    }
    assert_eq!(ask("openai/m", json!([])).await.1["error"]["message"], "`input`: send 1 to 2048 texts");
    for (empty, at) in [(json!([[]]), 0), (json!([""]), 0), (json!(["a", "b", ""]), 2)] {
        let told = format!("`input[{at}]`: empty; send texts that say something");
        assert_eq!(ask("openai/m", empty).await.1["error"]["message"], told);
    }
}

/// The quotes that answer a question, chosen by a model whose questions have this prefix.
async fn quotes(query_prefix: &str) -> Value {
    let folder = model(query_prefix);
    let embedder = Embedder::open(folder.path()).unwrap();
    let animals = ["ants", "bees", "cats", "dogs", "eels", "foxes", "goats", "hens", "ibises", "jays"];
    let text: String = animals.map(|animal| format!("The index map is read by {animal}. ")).concat();
    let manifest = Manifest {
        builder: "test".into(),
        model: "small".into(),
        model_fingerprint: embedder.fingerprint().into(),
        dimensions: embedder.dimensions(),
        ..Manifest::default()
    };
    let document = Document { uri: "a.md".into(), source: "a.md".into(), ..Document::default() };
    let vector = embedder.embed_one(&text).unwrap();
    let path = write_index(&folder.path().join("kb.omni"), manifest, [(document, text, vector)]);
    let service = Service::new(|config| {
        config.index = Some(path);
        config.model = Some(folder.path().to_owned());
    });
    let (status, answer) = service.query(json!({"prompt": "index map"})).await;
    assert_eq!(status, 200, "{answer}");
    answer["response"]["content"].clone()
}

#[tokio::test]
async fn quotes_are_chosen_by_the_vector_of_a_question() {
    assert_ne!(quotes("ask the index: ").await, quotes("").await);
}
