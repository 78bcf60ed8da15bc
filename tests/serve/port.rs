//! A real port: many at once, clients that leave, clients that dawdle, and an end that lets open requests finish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use omni_llm::server::listen;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::stream::left;
use crate::support::{Mock, Service};

struct Port {
    addr: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
    _service: Service,
}

async fn open(service: Service) -> Port {
    let listener = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let app = Arc::clone(&service.app);
    let done = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        listen::serve(app, listener, stopped).await;
    });
    Port { addr, stop, done, _service: service }
}

async fn send(addr: std::net::SocketAddr, body: &str) -> TcpStream {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "POST /v1/query HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn read(mut socket: TcpStream) -> String {
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_at_once_are_all_answered() {
    let port = open(Service::new(|_| {})).await;
    let body = json!({"prompt": "How large may a request body be?"}).to_string();
    let asked = (0..64).map(|_| async { read(send(port.addr, &body).await).await });
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("6 MiB by default."), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_ends_the_providers_call() {
    for (model, stream) in [("slow", false), ("slow", true), ("endless", true)] {
        let mock = Mock::start().await;
        let port = open(Service::with(&mock, |_| {})).await;
        let body = json!({"prompt": "body", "model_name": model, "model_config": {"stream": stream}}).to_string();
        let socket = send(port.addr, &body).await;
        let asked = async {
            while mock.calls() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked).await.expect("the provider is asked");
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(socket);
        left(&mock).await;
    }
}

#[tokio::test]
async fn a_client_that_dawdles_over_its_headers_is_let_go() {
    let port = open(Service::new(|config| config.limits.header_timeout_s = 1)).await;
    for begun in ["POST / HTTP/1.1\r\nhost:", "P", ""] {
        let mut socket = TcpStream::connect(port.addr).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        assert!(until_closed(&mut socket).await < Duration::from_secs(4), "{begun}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_until_a_header_begins_and_does_not_end() {
    let limits = |idle_timeout_s| {
        Service::new(move |config| (config.limits.header_timeout_s, config.limits.idle_timeout_s) = (1, idle_timeout_s))
    };
    let port = open(limits(75)).await;
    let mut socket = TcpStream::connect(port.addr).await.unwrap();
    for _ in 0..2 {
        asked(&mut socket).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    asked(&mut socket).await;
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost:").await.unwrap();
    let closed = until_closed(&mut socket).await;
    assert!((Duration::from_millis(800)..Duration::from_secs(4)).contains(&closed), "{closed:?}");
    // And not for ever.
    let port = open(limits(1)).await;
    let mut socket = TcpStream::connect(port.addr).await.unwrap();
    asked(&mut socket).await;
    assert!(until_closed(&mut socket).await < Duration::from_secs(4));
}

/// One request whose answer is read, on a connection that stays.
async fn asked(socket: &mut TcpStream) {
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = String::new();
    while !text.ends_with('}') {
        let mut some = [0; 1024];
        let count = socket.read(&mut some).await.unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

async fn until_closed(socket: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let _ = socket.read_to_end(&mut Vec::new()).await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_keeps_a_place_for_nothing_is_let_go() {
    let alone = || {
        Service::new(|config| {
            (config.limits.header_timeout_s, config.limits.idle_timeout_s, config.limits.max_connections) = (1, 1, 1);
        })
    };
    // One who asks on and on and never reads.
    let port = open(alone()).await;
    let mut deaf = TcpStream::connect(port.addr).await.unwrap();
    let asking = async {
        let request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
        let _ = deaf.write_all(&request).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = asking => {}
        () = next_is_answered(&port) => {}
    }
    // One of HTTP/2 that asks nothing, and says with pings that it lives.
    let port = open(alone()).await;
    let (mut reader, mut writer) = TcpStream::connect(port.addr).await.unwrap().into_split();
    writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let pinging = async {
        while writer.write_all(b"\0\0\x08\x06\0\0\0\0\0pingpong").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let began = Instant::now();
    tokio::select! {
        () = pinging => {}
        _ = async { while reader.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {} } => {}
    }
    assert!(began.elapsed() > Duration::from_millis(900));
    next_is_answered(&port).await;
}

/// The only place is free again soon.
async fn next_is_answered(port: &Port) {
    let answered = async { asked(&mut TcpStream::connect(port.addr).await.unwrap()).await };
    tokio::time::timeout(Duration::from_secs(10), answered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_too_much_can_read_that_it_is() {
    let port = open(Service::new(|config| config.limits.max_request_size_mb = 1)).await;
    let headers = [
        ("content-length: 8388608", 413),
        ("transfer-encoding: chunked", 413),
        ("content-length: 8388608\r\ncontent-encoding: gzip", 415),
    ];
    for (length, status) in headers {
        let mut socket = TcpStream::connect(port.addr).await.unwrap();
        socket.write_all(format!("POST /v1/query HTTP/1.1\r\nhost: localhost\r\n{length}\r\n\r\n").as_bytes()).await.unwrap();
        let piece = [b"10000\r\n".as_slice(), &[b' '; 65536], b"\r\n"].concat();
        for _ in 0..128 {
            // A slow machine may still send when nobody reads any more.
            if socket.write_all(if length.starts_with('c') { &piece[7..65543] } else { &piece }).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut head = [0; 12];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(head, *format!("HTTP/1.1 {status}").as_bytes(), "{length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_open_requests_but_not_for_ever() {
    let mock = Mock::start().await;
    let port = open(Service::with(&mock, |config| config.limits.shutdown_timeout_s = 2)).await;
    let body = json!({"prompt": "body", "model_name": "endless", "model_config": {"stream": true}}).to_string();
    let mut socket = send(port.addr, &body).await;
    let mut first = [0; 12];
    socket.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let began = Instant::now();
    port.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!port.done.is_finished(), "it must wait for the open request");
    assert!(TcpStream::connect(port.addr).await.is_err(), "it must take no new ones");
    port.done.await.unwrap();
    assert!((Duration::from_millis(1400)..Duration::from_secs(10)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let rest = read(socket).await;
    assert!(rest.contains("event: error") && rest.contains("the service is stopping; send the request again"), "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_that_the_end_cuts_is_an_error_that_says_so() {
    let mock = Mock::start().await;
    let port = open(Service::with(&mock, |config| config.limits.shutdown_timeout_s = 1)).await;
    let socket = send(port.addr, &json!({"prompt": "body", "model_name": "slow"}).to_string()).await;
    while mock.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    port.stop.send(()).unwrap();
    let answer = read(socket).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("the service is stopping; send the request again"), "{answer}");
    port.done.await.unwrap();
}

#[tokio::test]
async fn pages_from_elsewhere_use_no_service_on_the_loopback() {
    let port = open(Service::new(|config| config.allowed_origins = vec!["app.example".into()])).await;
    let ask = async |headers: String| {
        let mut socket = TcpStream::connect(port.addr).await.unwrap();
        let body = json!({"prompt": "How large may a request body be?"}).to_string();
        let head =
            format!("POST /v1/query HTTP/1.1\r\n{headers}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(head.as_bytes()).await.unwrap();
        read(socket).await
    };
    let here = format!("host: {}", port.addr);
    for ours in [
        here.clone(),
        format!("{here}\r\norigin: http://localhost:3000"),
        "host: app.example\r\norigin: https://app.example".into(),
    ] {
        assert!(ask(ours.clone()).await.starts_with("HTTP/1.1 200"), "{ours}");
    }
    for (foreign, header) in [
        ("host: evil.example".to_owned(), "the header `host`: `evil.example` is no name of this machine"),
        (
            format!("{here}\r\norigin: http://evil.example\r\ncontent-type: text/plain"),
            "the header `origin`: `http://evil.example` is no",
        ),
        (format!("{here}\r\norigin: null"), "the header `origin`: `null` is no"),
    ] {
        let answer = ask(foreign).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains(header) && !answer.contains("6 MiB by default"),
            "{answer}"
        );
    }
    // Whoever listens elsewhere is met by any name.
    let listener = listen::bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    tokio::spawn(listen::serve(Arc::clone(&port._service.app), listener, std::future::pending()));
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: llm.example\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read(socket).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_taken_port_is_said() {
    let taken = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = taken.local_addr().unwrap();
    let message = listen::bind(addr).await.unwrap_err().message().to_owned();
    assert!(
        message.starts_with(&format!("{addr}: ")) && message.ends_with("; choose another address with `--addr` or `OMNI_ADDR`"),
        "{message}"
    );
}
