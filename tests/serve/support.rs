//! A small index, an app over it, a provider that plays a part, and short ways to ask.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::StreamExt as _;
use omni_llm::app::App;
use omni_llm::config::{Config, Endpoint, Secret};
use omni_llm::index::{Chunk, Document, Lexical, Manifest, Writer};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The key of the provider in these tests; it must show up nowhere.
pub(crate) const KEY: &str = "sk-test-hidden-4711";

/// Sources and their text.
pub(crate) const DOCUMENTS: [(&str, &str, Option<u32>, &str); 4] = [
    (
        "s3://handbook/docs/limits.md",
        "limits.md",
        None,
        "The service protects itself. The largest request body is 6 MiB by default. A larger one is refused with status 413.",
    ),
    (
        "s3://handbook/docs/install.md",
        "install.md",
        None,
        "Install the server with one command. The command fetches the embedding model and builds an index. It takes a minute.",
    ),
    (
        "s3://handbook/faq/guide.pdf",
        "guide.pdf",
        Some(5),
        "A port is opened by the serve command. Choose another port with the option addr.",
    ),
    ("notes/private.txt", "private.txt", None, "The zebra password of the doorman is stored nowhere. Zebras sleep standing up."),
];

/// Writes the index of [`DOCUMENTS`] and says its path.
pub(crate) fn index(folder: &Path) -> std::path::PathBuf {
    let manifest = Manifest {
        builder: "test".into(),
        model: "all-MiniLM-L6-v2".into(),
        model_fingerprint: "0123456789abcdef".into(),
        dimensions: 4,
        chunking: json!({"strategy": "recursive", "chunk_size": 1000, "chunk_overlap": 200, "separators": ["\n\n"]}),
        lexical: Lexical::default(),
        ..Manifest::default()
    };
    let mut writer = Writer::new(manifest);
    for (at, (uri, source, page, text)) in DOCUMENTS.into_iter().enumerate() {
        let document = Document {
            uri: uri.into(),
            source: source.into(),
            title: format!("Title of {source}"),
            format: "md".into(),
            pages: page,
            sha256: "0".repeat(64),
            metadata: BTreeMap::from([("author".to_owned(), "Ada".into())]),
            ..Document::default()
        };
        let number = writer.push_document(document);
        let mut vector = [0.0; 4];
        vector[at] = 1.0;
        let chunk =
            Chunk { document: number, text: text.into(), start: 0, end: text.len() as u64, page, headings: "Top > Below" };
        writer.push_chunk(&chunk, &vector).unwrap();
    }
    let path = folder.join("kb.omni");
    writer.finish(&path).unwrap();
    path
}

/// A service under test. The folder lives as long as it does.
pub(crate) struct Service {
    pub(crate) app: Arc<App>,
    _folder: tempfile::TempDir,
}

impl Service {
    /// Over the test index, changed by `change`.
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { index: Some(index(folder.path())), ..Config::default() };
        change(&mut config);
        Self { app: Arc::new(App::open(config).unwrap()), _folder: folder }
    }

    /// Over the test index, with `mock` as the provider `custom`, asked for `model` by default.
    pub(crate) fn with(mock: &Mock, change: impl FnOnce(&mut Config)) -> Self {
        Self::new(|config| {
            config.generation.provider = Some("custom".into());
            config.generation.retries = 0;
            config.providers.insert("custom".into(), mock.endpoint());
            change(config);
        })
    }

    /// One request through the router.
    pub(crate) async fn send(&self, request: axum::http::Request<Body>) -> Response {
        omni_llm::server::router(Arc::clone(&self.app)).oneshot(request).await.unwrap()
    }

    /// `POST path` with JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_text(path, &body.to_string()).await
    }

    /// `POST path` with anything.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> (u16, Value) {
        let request = axum::http::Request::post(path).body(Body::from(body.to_owned())).unwrap();
        read(self.send(request).await).await
    }

    /// `POST /v1/query`.
    pub(crate) async fn query(&self, body: Value) -> (u16, Value) {
        self.post("/v1/query", &body).await
    }

    /// `POST /v1/query`, streamed: the events as (name, data).
    pub(crate) async fn events(&self, mut body: Value) -> Vec<(String, Value)> {
        body["model_config"]["stream"] = json!(true);
        let request = axum::http::Request::post("/v1/query").body(Body::from(body.to_string())).unwrap();
        let response = self.send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let mut parser = omni_llm::net::sse::Parser::default();
        parser.push(&bytes).unwrap().into_iter().map(|frame| (frame.event, serde_json::from_str(&frame.data).unwrap())).collect()
    }

    /// `POST path`, streamed: the events as (name, data); data that is no JSON is text.
    pub(crate) async fn events_of(&self, path: &str, body: &Value) -> Vec<(String, Value)> {
        let request = axum::http::Request::post(path).body(Body::from(body.to_string())).unwrap();
        let response = self.send(request).await;
        assert_eq!(response.status(), 200);
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let mut parser = omni_llm::net::sse::Parser::default();
        let frames = parser.push(&bytes).unwrap();
        frames
            .into_iter()
            .map(|frame| (frame.event, serde_json::from_str(&frame.data).unwrap_or(Value::String(frame.data))))
            .collect()
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.send(axum::http::Request::get(path).body(Body::empty()).unwrap()).await).await
    }

    /// The message of a refusal of status 400.
    pub(crate) async fn refusal(&self, body: Value) -> String {
        let (status, answer) = self.query(body.clone()).await;
        assert_eq!((status, &answer["success"]), (400, &json!(false)), "{body}: {answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// Status and JSON of a response.
pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&bytes))))
}

/// A provider on the loopback. The model that it is asked for is the part it plays.
pub(crate) struct Mock {
    pub(crate) base_url: String,
    pub(crate) state: Arc<Seen>,
}

/// What the provider saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) bodies: Mutex<Vec<Value>>,
    pub(crate) keys: Mutex<Vec<String>>,
    pub(crate) calls: AtomicUsize,
    pub(crate) left: AtomicBool,
}

impl Mock {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Seen::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(play)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base_url, state }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            base_url: Some(self.base_url.clone()),
            model: Some("good".into()),
            api_key: Some(Secret::new(KEY)),
            ..Endpoint::default()
        }
    }

    /// The last body that was sent.
    pub(crate) fn body(&self) -> Value {
        self.state.bodies.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }
}

/// Sets a flag when whoever holds it lets go.
struct Leaving(Arc<Seen>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::SeqCst);
    }
}

async fn play(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let call = seen.calls.fetch_add(1, Ordering::SeqCst);
    let key = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    seen.keys.lock().unwrap().push(key);
    let body: Value = serde_json::from_slice(&axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap()).unwrap();
    seen.bodies.lock().unwrap().push(body.clone());
    let stream = body["stream"] == true;
    let json = |status: u16, body: Value| {
        Response::builder().status(status).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
    };
    let text = |index: usize, content: &str| {
        chunk(&json!({"model": "good-1", "choices": [{"index": index, "delta": {"content": content}}]}))
    };
    let end = chunk(&json!({"model": "good-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    let usage = chunk(&json!({"model": "good-1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}}));
    match body["model"].as_str().unwrap() {
        "busy-once" if call == 0 => {
            let mut response = json(429, json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}));
            response.headers_mut().insert("retry-after-ms", "5".parse().unwrap());
            response
        }
        "busy" => {
            let mut response = json(429, json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}));
            response.headers_mut().insert("retry-after", "60".parse().unwrap());
            response
        }
        "refused" => json(401, json!({"error": {"message": format!("Incorrect API key provided: {KEY}")}})),
        "broken" => json(500, json!({"error": {"message": "boom"}})),
        "wrong" => json(
            400,
            json!({"error": {"message": "temperature is not supported with this model", "type": "invalid_request_error"}}),
        ),
        "redirect" => Response::builder().status(307).header("location", "/v1/elsewhere").body(Body::empty()).unwrap(),
        "slow" => {
            let leaving = Leaving(Arc::clone(&seen));
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(leaving);
            json(200, json!({}))
        }
        "cut" => events(vec![text(0, "half an ans")]),
        "cut-at-once" => events(vec![]),
        "error-inside" => {
            events(vec![text(0, "half"), usage, chunk(&json!({"error": {"message": "overloaded", "type": "overloaded_error"}}))])
        }
        "endless" => {
            let leaving = Leaving(Arc::clone(&seen));
            let ticks = futures_util::stream::unfold((leaving, 0), move |(leaving, at)| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let bytes = chunk(&json!({"choices": [{"index": 0, "delta": {"content": format!("tick {at} ")}}]}));
                Some((Ok::<_, std::io::Error>(bytes), (leaving, at + 1)))
            });
            Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(ticks)).unwrap()
        }
        "logged" => json(
            200,
            json!({"model": "good-1", "choices": [{"message": {"role": "assistant", "content": "Six"}, "finish_reason": "stop",
                "logprobs": {"content": [{"token": "Six", "logprob": -0.5, "bytes": null, "top_logprobs": []}], "refusal": null}}]}),
        ),
        "interleaved" => {
            let call = |index: usize, name: Option<&str>, arguments: &str| {
                let id = name.map(|name| format!("call_{name}"));
                let call =
                    json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
                chunk(&json!({"model": "good-1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
            };
            let end = chunk(&json!({"model": "good-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}));
            events(vec![
                call(0, Some("one"), ""),
                call(1, Some("two"), "{\"b\""),
                call(0, None, "{\"a\":"),
                call(2, Some("three"), "{}"),
                call(1, None, ":2}"),
                call(0, None, "1}"),
                text(0, "said"),
                end,
                usage,
            ])
        }
        "picky" if body.get("store").is_some() => {
            json(400, json!({"error": {"message": "store: Extra inputs are not permitted", "type": "invalid_request_error"}}))
        }
        "cites-once" if call > 0 => json(429, json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})),
        part @ ("shaped" | "mends" | "never" | "stalls" | "refuses" | "cites" | "cites-once" | "cites-said" | "invents"
        | "cuts" | "picky") => {
            let first = !body["messages"].as_array().unwrap().iter().any(|message| message["role"] == "assistant");
            if part == "refuses" && body["response_format"]["type"] == "json_schema" {
                return json(
                    400,
                    json!({"error": {"message": "response_format json_schema is not supported", "type": "invalid_request_error"}}),
                );
            }
            if part == "stalls" && !first {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let content = match part {
                "mends" if first => r#"{"name": 3}"#,
                "never" | "stalls" => r#"{"name": 3}"#,
                "cites" | "cites-once" if first => {
                    "“The largest request body is 6 MiB by default” [1]. He adds that “nobody ever wrote these words in here” [1]."
                }
                "cites-said" => "It may have 6 MiB by default [1]. The tool says “all systems operate normally since Tuesday”.",
                "invents" => "He says that “nobody ever wrote these words in here” [1].",
                "cites" => "“The largest request body is 6 MiB by default” [1].",
                "cuts" => r#"{"name": "Ad"#,
                _ => r#"{"name": "Ada", "tags": ["x"]}"#,
            };
            let reason = if part == "cuts" { "length" } else { "stop" };
            if stream {
                let half = content.char_indices().nth(6).unwrap().0;
                let end = chunk(&json!({"model": "good-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}));
                return events(vec![
                    text(0, &content[..half]),
                    text(0, &content[half..]),
                    end,
                    usage,
                    Bytes::from("data: [DONE]\n\n"),
                ]);
            }
            json(
                200,
                json!({"model": "good-1", "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": reason}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5}}),
            )
        }
        _ if stream => {
            events(vec![text(0, ""), text(0, "Six MiB"), text(0, " [1]."), end, usage, Bytes::from("data: [DONE]\n\n")])
        }
        _ => json(
            200,
            json!({"model": "good-1", "choices": [{"message": {"role": "assistant", "content": "Six MiB [1]."}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 3}}),
        ),
    }
}

fn chunk(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// A stream whose pieces arrive one by one.
fn events(pieces: Vec<Bytes>) -> Response {
    let stream = futures_util::stream::iter(pieces).then(|piece| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok::<_, std::io::Error>(piece)
    });
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(Body::from_stream(stream)).unwrap()
}
