//! Whether a service answers: for images, which have no other program that could ask.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use omni_llm::error::{Code, Error, Result};

/// How long each step may take: below the limits that those who watch services begin with.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most of an answer that is read.
const MOST_BYTES: u64 = 1 << 16;

/// The most that is shown of an answer that is none.
const SHOWN_CHARS: usize = 300;

/// Asks the service at `addr` how it is, and gives back what it says.
///
/// # Errors
/// Nobody answers there, or it is not well.
pub(crate) fn health(addr: SocketAddr) -> Result<String> {
    let addr = reachable(addr);
    let failed = |why: String| Error::new(Code::Internal, format!("http://{addr}/healthz: {why}"));
    let answer =
        ask(addr).map_err(|cause| failed(format!("{cause}; is the service there? another address is named with `--addr`")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") if body.contains("\"status\":\"ok\"") => Ok(format!("{body}\n")),
        status => {
            let first: String = body.lines().next().unwrap_or_default().chars().take(SHOWN_CHARS).collect();
            let hint =
                if status == Some("200") { "; this is another service: name the address of ours with `--addr`" } else { "" };
            Err(failed(format!("status {}: {first}{hint}", status.unwrap_or("missing"))))
        }
    }
}

fn ask(addr: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&addr, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // All at once: whoever answers early may be gone before a second part.
    socket.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    socket.take(MOST_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Where a service that listens everywhere can be met.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_met_here() {
        for (addr, met) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")] {
            assert_eq!(reachable(addr.parse().unwrap()), met.parse().unwrap());
        }
    }
}
