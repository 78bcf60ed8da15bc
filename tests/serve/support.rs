//! A small index, an app over it, a provider that plays a part, and short ways to ask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::StreamExt as _;
use omni_llm::app::App;
use omni_llm::config::{Config, Endpoint, Secret};
use omni_llm::index::{Chunk, Document, Manifest, Writer};
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
pub(crate) fn index(folder: &Path) -> PathBuf {
    let manifest = Manifest {
        builder: "test".into(),
        model: "all-MiniLM-L6-v2".into(),
        model_fingerprint: "0123456789abcdef".into(),
        dimensions: 4,
        chunking: json!({"strategy": "recursive", "chunk_size": 1000, "chunk_overlap": 200, "separators": ["\n\n"]}),
        ..Manifest::default()
    };
    let rows = DOCUMENTS.into_iter().enumerate().map(|(at, (uri, source, pages, text))| {
        let document = Document {
            uri: uri.into(),
            source: source.into(),
            title: format!("Title of {source}"),
            format: "md".into(),
            pages,
            sha256: "0".repeat(64),
            metadata: BTreeMap::from([("author".to_owned(), "Ada".into())]),
            ..Document::default()
        };
        let mut vector = vec![0.0; 4];
        vector[at] = 1.0;
        (document, text.to_owned(), vector)
    });
    write_index(&folder.join("kb.omni"), manifest, rows)
}

/// Writes an index of documents that are one chunk each, on their last page: document, text and vector. Says its path.
pub(crate) fn write_index(
    path: &Path,
    manifest: Manifest,
    rows: impl IntoIterator<Item = (Document, String, Vec<f32>)>,
) -> PathBuf {
    let mut writer = Writer::new(manifest);
    for (document, text, vector) in rows {
        let (page, end) = (document.pages, text.len() as u64);
        let document = writer.push_document(document);
        let chunk = Chunk { document, text: text.into(), start: 0, end, page, headings: "Top > Below" };
        writer.push_chunk(&chunk, &vector).unwrap();
    }
    writer.finish(path).unwrap();
    path.to_owned()
}

/// Serves on the loopback and says where: a base URL as providers have them.
pub(crate) async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base_url
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
        let router = axum::Router::new().route("/v1/chat/completions", axum::routing::post(play)).with_state(Arc::clone(&state));
        Self { base_url: serve(router).await, state }
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
    seen.keys.lock().unwrap().push(key.clone());
    let body: Value = serde_json::from_slice(&axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap()).unwrap();
    seen.bodies.lock().unwrap().push(body.clone());
    let is_first = !body["messages"].as_array().unwrap().iter().any(|message| message["role"] == "assistant");
    match body["model"].as_str().unwrap() {
        "busy-once" if call == 0 => busy(Some(("retry-after-ms", "5"))),
        "busy" => busy(Some(("retry-after", "60"))),
        "cites-once" | "mends-once" if call > 0 => busy(None),
        "refused" => {
            let key = key.trim_start_matches("Bearer ");
            json(401, &json!({"error": {"message": format!("Incorrect API key provided: {key}")}}))
        }
        "broken" => json(500, &json!({"error": {"message": "boom"}})),
        "wrong" => invalid("temperature is not supported with this model"),
        "picky" if body.get("store").is_some() => invalid("store: Extra inputs are not permitted"),
        "refuses" if body["response_format"]["type"] == "json_schema" => {
            invalid("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.")
        }
        "redirect" => Response::builder().status(307).header("location", "/v1/elsewhere").body(Body::empty()).unwrap(),
        "slow" => {
            let leaving = Leaving(seen);
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(leaving);
            json(200, &json!({}))
        }
        "cut" => events(&[text("half an ans")]),
        "cut-at-once" => events(&[]),
        "error-inside" => {
            events(&[text("half"), usage(), json!({"error": {"message": "overloaded", "type": "overloaded_error"}})])
        }
        "endless" => endless(seen),
        "interleaved" => interleaved(),
        "cuts-call" => {
            let function = json!({"name": "answer", "arguments": r#"{"name": "Ad"#});
            let message = json!({"tool_calls": [{"id": "c", "type": "function", "function": function}]});
            json(200, &json!({"model": "good-1", "choices": [{"message": message, "finish_reason": "length"}]}))
        }
        part => {
            if part == "stalls" && !is_first {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let reason = if part == "cuts" { "length" } else { "stop" };
            let logprobs =
                json!({"content": [{"token": "Six", "logprob": -0.5, "bytes": null, "top_logprobs": []}], "refusal": null});
            let logprobs = if part == "logged" { logprobs } else { Value::Null };
            let content = content(part, is_first);
            if body["stream"] == true {
                let (one, other) = content.split_at(content.char_indices().nth(7).map_or(0, |(at, _)| at));
                return events(&[text(""), text(one), text(other), end(reason), usage(), "[DONE]".into()]);
            }
            let message = json!({"role": "assistant", "content": content});
            let choice = json!({"message": message, "finish_reason": reason, "logprobs": logprobs});
            let [prompt, completion] = if content == PLAIN { [11, 3] } else { [10, 5] };
            let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion});
            json(200, &json!({"model": "good-1", "choices": [choice], "usage": usage}))
        }
    }
}

/// What whoever plays no part in a shape or a quotation says.
const PLAIN: &str = "Six MiB [1].";

/// What a part says when it is asked for the first time, or again.
fn content(part: &str, is_first: bool) -> &'static str {
    match part {
        "mends" | "mends-once" if is_first => r#"{"name": 3}"#,
        "never" | "stalls" => r#"{"name": 3}"#,
        "cites" | "cites-once" | "cites-blank" | "cites-more" if is_first => {
            "“The largest request body is 6 MiB by default” [1]. He adds that “nobody ever wrote these words in here” [1]."
        }
        "cites" => "“The largest request body is 6 MiB by default” [1].",
        "cites-more" => {
            "“The largest request body is 6 MiB by default” [1]. And it has “nobody ever wrote these words in here” [1]."
        }
        "cites-shaped" if is_first => r#"{"quote": "nobody ever wrote these words in here", "source": 1}"#,
        "cites-shaped" => r#"{"quote": "The largest request body is 6 MiB by default", "source": 1}"#,
        "cites-blank" | "blank" => "",
        "lists" => "He says that “nobody ever wrote these words in here” [1].\n\n**Sources**\n- [1] limits.md",
        "cites-said" => "It may have 6 MiB by default [1]. The tool says “all systems operate normally since Tuesday”.",
        "invents" => "He says that “nobody ever wrote these words in here” [1].",
        "cuts" | "stops" => r#"{"name": "Ad"#,
        "fences" => "```json\n{\"name\": \"Ada\"}\n```",
        "shaped" | "mends" | "refuses" | "picky" => r#"{"name": "Ada", "tags": ["x"]}"#,
        _ => PLAIN,
    }
}

fn json(status: u16, body: &Value) -> Response {
    Response::builder().status(status).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

fn busy(after: Option<(&'static str, &str)>) -> Response {
    let mut response = json(429, &json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}));
    response.headers_mut().insert("x-request-id", "vendor_7".parse().unwrap());
    if let Some((name, value)) = after {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn invalid(message: &str) -> Response {
    json(400, &json!({"error": {"message": message, "type": "invalid_request_error"}}))
}

/// A stream without end, of which `seen` hears when nobody listens any longer.
fn endless(seen: Arc<Seen>) -> Response {
    let ticks = futures_util::stream::unfold((Leaving(seen), 0), |(leaving, at)| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let told = if at == 0 { frame(&usage()) } else { Bytes::new() };
        Some((Ok::<_, std::io::Error>([told, frame(&text(&format!("tick {at} ")))].concat()), (leaving, at + 1)))
    });
    Response::builder().header("content-type", "text/event-stream").body(Body::from_stream(ticks)).unwrap()
}

/// Three calls of tools, the pieces of whose arguments come in any order, and a text.
fn interleaved() -> Response {
    let call = |index: usize, name: Option<&str>, arguments: &str| {
        let id = name.map(|name| format!("call_{name}"));
        let call = json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        choice(&json!({"tool_calls": [call]}), None)
    };
    events(&[
        call(0, Some("one"), ""),
        call(1, Some("two"), "{\"b\""),
        call(0, None, "{\"a\":"),
        call(2, Some("three"), "{}"),
        call(1, None, ":2}"),
        call(0, None, "1}"),
        text("said"),
        end("tool_calls"),
        usage(),
    ])
}

fn choice(delta: &Value, reason: Option<&str>) -> Value {
    json!({"model": "good-1", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
}

fn text(content: &str) -> Value {
    choice(&json!({"content": content}), None)
}

fn end(reason: &str) -> Value {
    choice(&json!({}), Some(reason))
}

fn usage() -> Value {
    json!({"model": "good-1", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}})
}

/// One event; a text that is no JSON is sent as it is.
fn frame(data: &Value) -> Bytes {
    Bytes::from(format!("data: {}\n\n", data.as_str().map_or_else(|| data.to_string(), str::to_owned)))
}

/// A stream whose events arrive one by one.
fn events(list: &[Value]) -> Response {
    let frames: Vec<Bytes> = list.iter().map(frame).collect();
    let stream = futures_util::stream::iter(frames).then(|frame| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok::<_, std::io::Error>(frame)
    });
    Response::builder().header("content-type", "text/event-stream; charset=utf-8").body(Body::from_stream(stream)).unwrap()
}
