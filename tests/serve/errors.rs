//! What HTTP itself gets wrong: paths, methods, bodies. All of it in the one error shape.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use omni_llm::config::Endpoint;
use serde_json::{Value, json};

use crate::support::{Service, read};

/// Checks the shape and says (status, code, message).
async fn failure(service: &Service, request: Request<Body>) -> (u16, String, String) {
    let response = service.send(request).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (status, answer) = read(response).await;
    let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["success", "error", "metadata"]);
    assert_eq!((&answer["success"], &answer["metadata"]["request_id"]), (&json!(false), &json!(id)));
    assert!(answer["metadata"]["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(answer["error"]["details"], json!({"provider": null, "model": null, "retry_after": null}));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (status, text(&answer["error"]["code"]), text(&answer["error"]["message"]))
}

fn expected(status: u16, code: &str, message: &str) -> (u16, String, String) {
    (status, code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_service_that_is_its_own_provider_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = Some(format!("http://{}/v1", listener.local_addr().unwrap()));
    let service = Service::new(|config| {
        config.providers.insert("custom".into(), Endpoint { base_url, ..Endpoint::default() });
    });
    let router = omni_llm::server::router(std::sync::Arc::clone(&service.app));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let body = json!({"model": "custom/custom/m", "messages": [{"role": "user", "content": "hi"}]});
    let (status, answer) = service.post("/v1/chat/completions", &body).await;
    let message = answer["error"]["message"].as_str().unwrap();
    let said = "the provider refused (status 508): the request comes from this service itself, which the address of a provider leads \
                back to; set the provider's `..._BASE_URL`";
    assert!(status == 502 && message.starts_with(said), "{answer}");
}

#[tokio::test]
async fn paths_and_methods() {
    let service = Service::new(|_| {});
    let request = |method: Method, path: &str| Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let paths = "`/v1/nothing`: no such path; there are `/`, `/v1/query`, `/v1/search`, `/v1/index`, `/v1/chat/completions`, `/v1/messages`, `/v1/messages/count_tokens`, `/v1/embeddings`, `/v1/models`, `/openapi.json`, `/healthz`";
    assert_eq!(failure(&service, request(Method::GET, "/v1/nothing")).await, expected(404, "NOT_FOUND", paths));
    let message = "`GET`: not allowed here; use POST";
    assert_eq!(failure(&service, request(Method::GET, "/v1/query")).await, expected(405, "INVALID_REQUEST", message));
    let message = "`DELETE`: not allowed here; use GET";
    assert_eq!(failure(&service, request(Method::DELETE, "/v1/index")).await, expected(405, "INVALID_REQUEST", message));
    let response = service.send(request(Method::PUT, "/v1/search")).await;
    assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "POST"));
}

#[tokio::test]
async fn bodies_that_are_no_question() {
    let service = Service::new(|_| {});
    let send = |body: &str| failure(&service, Request::post("/v1/query").body(Body::from(body.to_owned())).unwrap());
    let deep = format!("{{\"prompt\":\"x\",\"structured_output\":{{\"schema\":{}{}}}}}", "[".repeat(200), "]".repeat(200));
    let table = [
        (" \n", "the body is empty; send a JSON object"),
        ("prompt=x", "the body is not JSON: expected value, line 1 column 1"),
        ("{\"prompt\": \"x\"", "the body is not JSON: EOF while parsing an object, line 1 column 14"),
        ("{\"prompt\": \"x\"} {}", "the body is not JSON: trailing characters, line 1 column 17"),
        ("[\"x\"]", "the body is not a JSON object; send one"),
        ("7", "the body is not a JSON object; send one"),
        ("{\"prompt\": \"x\", \"rag_config\": 1}", "`rag_config`: invalid type: integer `1`, expected an object"),
        ("{}", "`prompt`: missing"),
        // As older shells begin UTF-8.
        ("\u{feff}{}", "`prompt`: missing"),
        ("{\"prompt\": \"x\", \"prompt\": \"y\"}", "`prompt`: given twice"),
        (&deep, "the body is nested deeper than 128 levels"),
    ];
    for (body, message) in table {
        assert_eq!(send(body).await, expected(400, "INVALID_REQUEST", message), "{body}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let service = Service::new(|config| config.limits.max_request_size_mb = 1);
    let message = "the body is larger than 1 MiB; send less, or raise `MAX_REQUEST_SIZE_MB` where the service runs";
    let large = json!({"prompt": "x".repeat(1 << 20)}).to_string();
    let announced = Request::post("/v1/query").header("content-length", large.len()).body(Body::from(large.clone())).unwrap();
    assert_eq!(failure(&service, announced).await, expected(413, "BODY_TOO_LARGE", message));
    let pieces: Vec<_> =
        large.into_bytes().chunks(1000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    let chunked = Request::post("/v1/query").body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap();
    assert_eq!(failure(&service, chunked).await, expected(413, "BODY_TOO_LARGE", message));
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_read_to_its_end() {
    let service = Service::new(|_| {});
    for (request, status) in [(Request::post("/v1/nothing"), 404), (Request::put("/v1/query"), 405)] {
        let (done, read_to_its_end) = tokio::sync::oneshot::channel();
        let body = futures_util::stream::once(async move {
            done.send(()).map(|()| Bytes::new()).map_err(|()| std::io::Error::other("left"))
        });
        let (told, ..) = failure(&service, request.body(Body::from_stream(body)).unwrap()).await;
        let outcome = tokio::time::timeout(Duration::from_secs(5), read_to_its_end).await;
        assert_eq!((told, outcome.unwrap()), (status, Ok(())));
    }
}

#[tokio::test]
async fn a_body_that_is_compressed_is_refused_by_its_header() {
    let service = Service::new(|_| {});
    let send = |encoding: &str| {
        Request::post("/v1/search").header("content-encoding", encoding).body(Body::from("{\"prompt\": \"x\"}")).unwrap()
    };
    let message = "the header `content-encoding`: `gzip`: send the body as it is, not compressed";
    assert_eq!(failure(&service, send("gzip")).await, expected(415, "INVALID_REQUEST", message));
    assert_eq!(service.send(send("identity")).await.status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let service = Service::new(|config| config.limits.body_timeout_s = 1);
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let began = std::time::Instant::now();
    let outcome = failure(&service, Request::post("/v1/query").body(Body::from_stream(never)).unwrap()).await;
    assert_eq!(outcome, expected(408, "TIMEOUT", "the body did not arrive within 1 seconds"));
    assert!(began.elapsed() < Duration::from_secs(3));
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
    let outcome = failure(&service, Request::post("/v1/query").body(Body::from_stream(broken)).unwrap()).await;
    assert_eq!(outcome, expected(400, "INVALID_REQUEST", "the body broke off"));
}
