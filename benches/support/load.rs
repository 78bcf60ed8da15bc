//! A mock provider and a load generator over plain blocking sockets: the standard library only, so that little of what is measured
//! is ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

/// Until the mock's first piece of a stream, and between two.
pub(crate) const FIRST_PIECE: Duration = Duration::from_millis(25);
pub(crate) const NEXT_PIECE: Duration = Duration::from_millis(5);
/// Pieces of one stream.
pub(crate) const PIECES: usize = 20;

/// A provider on the loopback that speaks OpenAI's dialect. The number in the model's name is the size of its answer in KiB.
pub(crate) struct Mock {
    pub(crate) addr: SocketAddr,
}

impl Mock {
    pub(crate) fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks off is the client's business.
                std::thread::spawn(move || drop(answer(&stream)));
            }
        });
        Ok(Self { addr })
    }
}

/// Copies bytes between whoever connects and `upstream`, for ever: the least that a process in between can do.
pub(crate) fn relay(listen: SocketAddr, upstream: SocketAddr) -> std::io::Result<()> {
    for near in TcpListener::bind(listen)?.incoming() {
        let (near, far) = (near?, TcpStream::connect(upstream)?);
        for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
            to.set_nodelay(true)?;
            std::thread::spawn(move || copy(&from, &to));
        }
    }
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            return to.shutdown(std::net::Shutdown::Write);
        }
        to.write_all(&bytes[..count])?;
    }
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut writer = stream;
    let replies = [1usize, 16].map(reply);
    loop {
        let (head, body) = read_message(&mut reader)?;
        if head.is_empty() {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&body);
        if body.contains("\"stream\":true") || body.contains("\"stream\": true") {
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
            std::thread::sleep(FIRST_PIECE);
            for piece in 0..PIECES {
                if piece > 0 {
                    std::thread::sleep(NEXT_PIECE);
                }
                chunk(writer, &event(&format!(r#"{{"index":0,"delta":{{"content":"piece {piece} "}},"finish_reason":null}}"#)))?;
            }
            chunk(writer, &event(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#))?;
            chunk(writer, "data: [DONE]\n\n")?;
            writer.write_all(b"0\r\n\r\n")?;
        } else {
            writer.write_all(&replies[usize::from(body.contains("mock-16k"))])?;
        }
    }
}

fn event(choice: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"mock\",\"choices\":[{choice}]}}\n\n"
    )
}

fn chunk(mut writer: &TcpStream, text: &str) -> std::io::Result<()> {
    writer.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

fn reply(kib: usize) -> Vec<u8> {
    let content = "lorem ipsum ".repeat(kib * 1024 / 12);
    let body = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"mock","choices":[{{"index":0,"message":{{"role":"assistant","content":"{content}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":10,"completion_tokens":200,"total_tokens":210}}}}"#
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Head and body of one HTTP/1.1 message; an empty head is the end of the connection.
fn read_message(reader: &mut BufReader<&TcpStream>) -> std::io::Result<(String, Vec<u8>)> {
    let (mut head, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok((String::new(), Vec::new()));
        }
        if line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    if !chunked {
        reader.read_exact(&mut body)?;
        return Ok((head, body));
    }
    body.clear();
    while read_chunk(reader, &mut body)? {}
    Ok((head, body))
}

/// Adds the next chunk; false at the last one.
fn read_chunk(reader: &mut BufReader<&TcpStream>, body: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or("0"), 16).unwrap_or(0);
    let start = body.len();
    body.resize(start + size, 0);
    reader.read_exact(&mut body[start..])?;
    reader.read_line(&mut String::new())?;
    Ok(size > 0)
}

/// What is sent, over and over.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) addr: SocketAddr,
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What came of a load.
pub(crate) struct Load {
    /// From the moment when a request was due.
    pub(crate) times: Vec<Duration>,
    pub(crate) failed: usize,
    pub(crate) took: Duration,
}

impl Call {
    fn bytes(&self) -> Vec<u8> {
        let Self { addr, path, headers, body } = self;
        format!(
            "POST {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\nauthorization: Bearer sk-mock\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// `count` requests over `connections`, at `rate` a second, or as fast as answers come. Each connection has had an answer
    /// before: what opening one costs is not counted.
    pub(crate) fn load(&self, connections: usize, count: usize, rate: Option<f64>) -> Load {
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (ready, begin) = (Barrier::new(connections), OnceLock::new());
        let mut times = Vec::with_capacity(count);
        std::thread::scope(|scope| {
            let worker = || {
                let request = self.bytes();
                let mut times = Vec::with_capacity(count / connections + 1);
                let mut open: Option<TcpStream> = None;
                if self.once(&mut open, &request).is_err() {
                    open = None;
                }
                ready.wait();
                let begin = *begin.get_or_init(|| Instant::now() + Duration::from_millis(20));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return times;
                    }
                    let due = rate.map_or(begin, |rate| begin + Duration::from_secs_f64(number as f64 / rate));
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let due = rate.map_or_else(Instant::now, |_| due);
                    match self.once(&mut open, &request) {
                        Ok(()) => times.push(due.elapsed()),
                        Err(_) => {
                            open = None;
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            };
            let workers: Vec<_> = (0..connections).map(|_| scope.spawn(worker)).collect();
            times.extend(workers.into_iter().filter_map(|worker| worker.join().ok()).flatten());
        });
        let took = begin.get().map(Instant::elapsed).unwrap_or_default();
        Load { times, failed: failed.into_inner(), took }
    }

    /// The time until the first piece of text of a stream.
    pub(crate) fn first_piece(&self) -> std::io::Result<Duration> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        // An answer without a stream ends here.
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let started = Instant::now();
        (&stream).write_all(&self.bytes())?;
        let mut reader = BufReader::new(&stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.contains("piece 0") {
                return Ok(started.elapsed());
            }
        }
    }

    fn once(&self, open: &mut Option<TcpStream>, request: &[u8]) -> std::io::Result<()> {
        let stream = match open {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.addr)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                open.insert(stream)
            }
        };
        (&*stream).write_all(request)?;
        let (head, body) = read_message(&mut BufReader::with_capacity(32 << 10, &*stream))?;
        let ok = head.starts_with("HTTP/1.1 200") && body.len() > 900;
        if ok { Ok(()) } else { Err(std::io::Error::other(format!("{head}{}", String::from_utf8_lossy(&body)))) }
    }
}
