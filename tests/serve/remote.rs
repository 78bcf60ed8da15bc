//! An index that a provider embedded: questions go to the same model, and nothing else is taken for it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use omni_llm::app::App;
use omni_llm::config::{Config, Endpoint};
use omni_llm::index::{Chunk, Document, Manifest, Writer};
use serde_json::{Value, json};

use crate::openapi::require;
use crate::support::{Mock, Service};

/// A provider of vectors: it knows two matters.
pub(crate) struct Vectors {
    pub(crate) base_url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Vectors {
    pub(crate) async fn start() -> Self {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/v1/embeddings", axum::routing::post(embed)).with_state(Arc::clone(&bodies));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, bodies }
    }

    pub(crate) fn last(&self) -> Value {
        self.bodies.lock().unwrap().last().unwrap().clone()
    }
}

async fn embed(State(bodies): State<Arc<Mutex<Vec<Value>>>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    bodies.lock().unwrap().push(body.clone());
    let mut data = Vec::new();
    for (index, text) in body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap_or("(tokens)")).enumerate() {
        let vector = match text {
            _ if text.contains("short") => json!([1.0, 0.0]),
            _ if text.contains("broken") => return (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "no"}}))),
            _ if text.contains("silence") => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return (StatusCode::GATEWAY_TIMEOUT, Json(Value::Null));
            }
            _ if text.contains("outage") => return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": {"message": "no"}}))),
            _ if text.contains("gone") => return (StatusCode::NOT_FOUND, Json(json!({"error": {"code": "model_not_found"}}))),
            // Nearer to the court than to the boats, and far from both.
            "Does it float?" => json!([0.0, 0.5, 5.0]),
            _ if text.len() > 1000 || (text.contains("INFO") && !text.contains("ship")) => json!([0.0, 0.5, 5.0]),
            _ if text.contains("ship") => json!([5.0, 0.0, 0.5]),
            _ => json!([0.0, 5.0, 0.5]),
        };
        data.push(json!({"index": index, "embedding": vector}));
    }
    let is_counted = !body.to_string().contains("uncounted");
    (StatusCode::OK, Json(json!({"data": data, "usage": is_counted.then(|| json!({"prompt_tokens": 1000}))})))
}

/// What indexes have said of this model since the first that a provider embedded.
const FINGERPRINT: &str = "6d1e939e2206c4d5";

fn write(path: &Path, provider: &str, shortened: bool) {
    write_by(path, (provider, "text-embedding-3-small", FINGERPRINT), shortened);
}

fn write_by(path: &Path, (provider, model, fingerprint): (&str, &str, &str), shortened: bool) {
    let mut writer = Writer::new(Manifest {
        model: model.into(),
        model_fingerprint: fingerprint.into(),
        dimensions: 3,
        provider: Some(provider.into()),
        shortened,
        ..Manifest::default()
    });
    let texts =
        [("boats.md", "A vessel carries cargo over the sea.", [1.0, 0.0, 0.0]), ("law.md", "A court decides.", [0.0, 1.0, 0.0])];
    for (source, text, vector) in texts {
        let document = writer.push_document(Document { uri: source.into(), source: source.into(), ..Document::default() });
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &vector).unwrap();
    }
    writer.finish(path).unwrap();
}

fn service(folder: &Path, vectors: &Vectors, shortened: bool, change: impl FnOnce(&mut Config)) -> Service {
    let path = folder.join("sea.omni");
    write(&path, "openai", shortened);
    Service::new(|config| {
        config.index = Some(path);
        config.generation.retries = 0;
        let endpoint = Endpoint { base_url: Some(vectors.base_url.clone()), ..Endpoint::default() };
        config.providers.insert("openai".into(), endpoint);
        change(config);
    })
}

#[tokio::test]
async fn questions_are_embedded_by_whoever_embedded_the_index() {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), Vectors::start().await);
    let service = service(folder.path(), &vectors, true, |_| {});
    let (status, found) = service.post("/v1/search", &json!({"prompt": "Which ship?"})).await;
    assert_eq!((status, &found["metadata"]["retrieval"]), (200, &json!("hybrid")), "{found}");
    assert_eq!(found["hits"][0]["source"], "boats.md", "no word of the question is in it: {found}");
    assert!(
        (found["hits"][0]["score"].as_f64().unwrap() - 0.995).abs() < 0.01,
        "the length of the answer's vector does not count"
    );
    let asked = vectors.last();
    assert_eq!(
        (&asked["model"], &asked["input"], &asked["dimensions"]),
        (&json!("text-embedding-3-small"), &json!(["Which ship?"]), &json!(3))
    );
    let index = service.get("/v1/index").await.1;
    assert_eq!(
        index["embedding"],
        json!({"provider": "openai", "model": "text-embedding-3-small", "fingerprint": FINGERPRINT, "dimensions": 3, "loaded": true})
    );
    // Where the model had no choice, none is asked for.
    let service = self::service(folder.path(), &vectors, false, |_| {});
    assert_eq!(service.post("/v1/search", &json!({"prompt": "Which ship?"})).await.0, 200);
    assert!(vectors.last().get("dimensions").is_none());
}

#[tokio::test]
async fn the_embedding_of_a_question_is_an_exchange_with_a_cost() {
    let (folder, vectors, mock) = (tempfile::tempdir().unwrap(), Vectors::start().await, Mock::start().await);
    let service = service(folder.path(), &vectors, false, |config| {
        config.providers.insert("custom".into(), mock.endpoint());
    });
    let found = service.post("/v1/search", &json!({"prompt": "Which ship?"})).await.1;
    require("SearchResponse", &found);
    let attempts = &found["metadata"]["attempts"];
    assert_eq!((&attempts[0]["purpose"], &attempts[0]["cost_usd"]), (&json!("embedding"), &json!(0.000_02)), "{found}");
    let quoted = service.query(json!({"prompt": "Which ship?"})).await.1;
    assert_eq!(
        quoted["metadata"]["usage"],
        json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": 0.000_02})
    );
    let answer = service.query(json!({"prompt": "Which ship?", "model_provider": "custom"})).await.1;
    let attempts = &answer["metadata"]["attempts"];
    assert_eq!((&attempts[0]["purpose"], &attempts[0]["cost_usd"]), (&json!("embedding"), &json!(0.000_02)), "{answer}");
    assert_eq!((&attempts[1]["purpose"], &attempts[1]["cost_usd"]), (&json!("answer"), &Value::Null));
    // The tokens are the answer's; a sum with something unknown in it is not known.
    assert_eq!(
        answer["metadata"]["usage"],
        json!({"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14, "cost_usd": null})
    );
}

/// The sources that each way of asking finds for the last of several messages, `[user, assistant, user, ..]`.
async fn sources(service: &Service, said: &[&str], rag: &Value) -> [Vec<String>; 2] {
    let names = |found: &Value| -> Vec<String> {
        found.as_array().unwrap_or_else(|| panic!("{found}")).iter().map(|it| it["source"].as_str().unwrap().to_owned()).collect()
    };
    let message = |(at, text): (usize, &&str)| json!({"role": if at % 2 == 0 { "user" } else { "assistant" }, "content": text});
    let messages: Vec<Value> = said.iter().enumerate().map(message).collect();
    let chat = json!({"model": "rag/extractive", "messages": messages, "rag": rag});
    let answer = service.post("/v1/chat/completions", &chat).await.1;
    let (prompt, context) = (said.last().unwrap(), &messages[..messages.len() - 1]);
    let query = service.query(json!({"prompt": prompt, "context": context, "rag_config": rag})).await.1;
    [names(&answer["omni"]["rag_context"]), names(&query["rag_context"])]
}

#[tokio::test]
async fn a_question_that_leans_on_what_was_said_is_looked_up_with_it() {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), Vectors::start().await);
    let service = service(folder.path(), &vectors, false, |_| {});
    let one = json!({"retrieval_config": {"top_k": 1}});
    let leaning = ["Which ship?", "That one.", "Does it float?"];
    assert_eq!(sources(&service, &leaning[2..], &one).await, [["law.md"]; 2], "by itself it is nearer to the court");
    assert_eq!(sources(&service, &leaning, &one).await, [["boats.md"]; 2]);
    assert_eq!(
        vectors.last()["input"],
        json!(["Does it float?", "Does it float?\nWhich ship?"]),
        "one call embeds both readings"
    );
    // What it finds by itself is there, too, as the second.
    let both = json!({"retrieval_config": {"top_k": 2}});
    assert_eq!(sources(&service, &leaning, &both).await, [["boats.md", "law.md"]; 2]);
    // One that comes as near by itself stands alone.
    let turned = ["Which ship?", "That one.", "Who decides?"];
    assert_eq!(sources(&service, &turned, &one).await, [["law.md"]; 2]);
    // Whoever asks may say what is meant.
    let meant = json!({"query": "Which ship?", "retrieval_config": {"top_k": 1}});
    assert_eq!(sources(&service, &turned, &meant).await, [["boats.md"]; 2]);
    assert_eq!(vectors.last()["input"], json!(["Which ship?"]));
    let found = service.post("/v1/search", &json!({"prompt": "Who decides?", "rag_config": meant})).await.1;
    assert_eq!(found["hits"][0]["source"], "boats.md");
    let blank = json!({"prompt": "Who decides?", "rag_config": {"query": " "}});
    assert_eq!(service.refusal(blank).await, "`rag_config.query`: 1 bytes; send 1 to 8000, or leave it out");
}

#[tokio::test]
async fn a_long_message_is_looked_up_by_its_ends_too() {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), Vectors::start().await);
    let service = service(folder.path(), &vectors, false, |_| {});
    let log = "INFO the court of worker 12 decides\n".repeat(100);
    for long in [format!("{log}\nBut which ship?"), format!("Which ship?\n{log}")] {
        let found = service.post("/v1/search", &json!({"prompt": long})).await.1;
        assert_eq!(found["hits"][0]["source"], "boats.md", "{found}");
        assert_eq!(vectors.last()["input"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn words_find_something_where_nobody_embeds_the_question() {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), Vectors::start().await);
    let service = service(folder.path(), &vectors, false, |_| {});
    let (status, found) = service.post("/v1/search", &json!({"prompt": "Cargo in an outage?"})).await;
    assert_eq!((status, &found["metadata"]["retrieval"]), (200, &json!("words")), "{found}");
    assert_eq!(found["hits"][0]["source"], "boats.md");
    require("SearchResponse", &found);
    let (status, answer) = service.query(json!({"prompt": "Cargo in an outage?"})).await;
    assert_eq!((status, &answer["metadata"]["warnings"]), (200, &found["metadata"]["warnings"]), "{found}");
    assert_eq!(found["metadata"]["attempts"][0]["code"], "OVERLOADED", "{found}");
    let why = "`openai/text-embedding-3-small` did not embed the question (OVERLOADED): the sources were found by words only";
    assert_eq!(answer["metadata"]["warnings"][0], why, "{answer}");
    let found = service.post("/v1/search", &json!({"prompt": "Cargo that is gone?"})).await.1;
    assert_eq!(found["metadata"]["attempts"][0]["code"], "INVALID_MODEL", "{found}");
    assert_eq!(found["hits"][0]["source"], "boats.md", "{found}");
    // Who wants the cosine wants the vector.
    let threshold = json!({"prompt": "outage", "rag_config": {"retrieval_config": {"score_threshold": 0.5}}});
    assert_eq!(service.post("/v1/search", &threshold).await.0, 503);
}

#[tokio::test]
async fn a_provider_that_does_not_embed_is_waited_for_shortly_and_then_left_alone() {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), Vectors::start().await);
    let service = service(folder.path(), &vectors, false, |_| {});
    let search = async || {
        let began = Instant::now();
        let answer = service.query(json!({"prompt": "Cargo in silence?"})).await.1;
        assert_eq!(answer["rag_context"][0]["source"], "boats.md", "{answer}");
        (answer["metadata"]["warnings"][0].as_str().unwrap().to_owned(), began.elapsed())
    };
    let (one, two, three) = tokio::join!(search(), search(), search());
    let why = "`openai/text-embedding-3-small` did not embed the question (TIMEOUT): the sources were found by words only";
    for (warning, took) in [one, two, three] {
        assert_eq!(warning, why);
        assert!((5..20).contains(&took.as_secs()), "{took:?}");
    }
    assert_eq!(service.app.prices().unknown_count(), 3);
    let why = "`openai/text-embedding-3-small` keeps failing to embed questions and is left alone for a while: the sources were found by words only";
    let (warning, took) = search().await;
    assert_eq!(warning, why);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(vectors.bodies.lock().unwrap().len(), 3);
    // Who wants the cosine wants the vector.
    let threshold = json!({"prompt": "Which ship?", "rag_config": {"retrieval_config": {"score_threshold": 0.5}}});
    assert_eq!(service.post("/v1/search", &threshold).await.0, 200);
    assert_eq!(service.post("/v1/search", &json!({"prompt": "Which ship?"})).await.1["metadata"]["retrieval"], "hybrid");
}

#[tokio::test]
async fn what_does_not_fit_the_index_is_refused() {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), Vectors::start().await);
    let service = service(folder.path(), &vectors, false, |_| {});
    let (status, error) = service.post("/v1/search", &json!({"prompt": "short"})).await;
    assert_eq!((status, &error["error"]["code"]), (500, &json!("WRONG_MODEL")));
    assert_eq!(
        error["error"]["message"],
        "`openai/text-embedding-3-small` gave a vector of 2 dimensions in the place of 3; was the model changed? build the index again"
    );
    let unknown = || service.app.prices().unknown_count();
    assert_eq!(unknown(), 1, "it is paid for all the same");
    assert_eq!(service.post("/v1/search", &json!({"prompt": "broken"})).await.0, 400);
    assert_eq!(unknown(), 1, "a refusal costs nothing");
    let config = |config: Value| json!({"prompt": "ship", "rag_config": {"embedding_config": config}});
    for good in [json!({"provider": "openai"}), json!({"model": "openai/text-embedding-3-small"})] {
        assert_eq!(service.post("/v1/search", &config(good)).await.0, 200);
    }
    assert_eq!(
        service.refusal(config(json!({"provider": "cohere"}))).await,
        "`rag_config.embedding_config.provider`: `cohere`, but the index was embedded by `openai`; leave it out"
    );
    assert_eq!(
        service.refusal(config(json!({"model": "text-embedding-3-large"}))).await,
        "`rag_config.embedding_config.model`: `text-embedding-3-large`, but the index was built with `text-embedding-3-small`; leave it out"
    );
}

#[test]
fn an_index_of_a_provider_that_is_not_configured_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sea.omni");
    let refusal = |provider: &str| {
        write(&path, provider, false);
        let error = App::open(Config { index: Some(path.clone()), ..Config::default() }).err().unwrap();
        error.message().replace(&*folder.path().to_string_lossy(), "D")
    };
    assert_eq!(
        refusal("openai"),
        "D/sea.omni: embedded by `openai/text-embedding-3-small`: `openai` needs a key; set `OPENAI_API_KEY`"
    );
    assert!(refusal("nobody").starts_with(
        "D/sea.omni: embedded by `nobody/text-embedding-3-small`: `nobody`: no such provider; there are `openai`, "
    ));
}

#[test]
fn an_index_whose_texts_were_embedded_in_another_way_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sea.omni");
    let open = |model: &str, fingerprint: &str| {
        write_by(&path, ("gemini", model, fingerprint), false);
        let key = Endpoint { api_key: Some(omni_llm::config::Secret::new("k")), ..Endpoint::default() };
        let error =
            App::open(Config { index: Some(path.clone()), providers: [("gemini".into(), key)].into(), ..Config::default() });
        error.err().map(|error| error.message().replace(&*folder.path().to_string_lossy(), "D"))
    };
    // Both as they were before `gemini-embedding-2` was told in the text what the text is for.
    assert_eq!(open("gemini-embedding-001", "c11cb9dbabe82e5b"), None);
    assert_eq!(
        open("gemini-embedding-2", "335cf43d0ba4e3b4").unwrap(),
        "D/sea.omni: built with model \"gemini-embedding-2\" (335cf43d0ba4e3b4), and \"gemini-embedding-2\" (a329e40479b805f8) is in use; rebuild it with index-builder"
    );
    assert_eq!(open("gemini-embedding-2", "a329e40479b805f8"), None);
}
