//! What tests of several files share.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) use crate::testing::shared::shared as shared_path;

/// The text of a file of the shared folder, where there is one.
pub(crate) fn shared(path: &str) -> Option<String> {
    shared_path(path).map(|path| std::fs::read_to_string(path).unwrap())
}

/// A server on the loopback that gives its answers in turn, a connection each, and remembers what it was asked.
pub(crate) struct Listener {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    /// Answers with these statuses and bodies.
    pub(crate) async fn start(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answers: Vec<(u16, String)> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let request = read(&mut socket).await;
                shared.lock().unwrap().push(request);
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        Self { url, seen }
    }

    /// What it was asked: head and body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// One request, whole.
async fn read(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut piece = [0; 8192];
        let count = socket.read(&mut piece).await.unwrap();
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}
