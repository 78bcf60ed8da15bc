//! Telling Lambda why a start failed: whoever invoked the function reads it, and not only that a process ended.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use omni_llm::config::runtime_api;
use omni_llm::error::Error;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the Runtime API, where there is one. Where it does not listen, the log says it all the same.
pub(crate) fn report(error: &Error, message: &str) {
    let body = serde_json::json!({"errorMessage": message, "errorType": error.code().as_str(), "stackTrace": []}).to_string();
    if let Some(api) = runtime_api() {
        let _ = post(&api, error.code().as_str(), &body);
    }
}

fn post(api: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let addr = api.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let mut socket = TcpStream::connect_timeout(&addr, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         lambda-runtime-function-error-type: Runtime.{kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + body).as_bytes())?;
    // Whoever closes before the answer may take the request with him.
    socket.read(&mut [0; 64]).map(drop)
}
