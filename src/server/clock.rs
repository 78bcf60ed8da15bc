//! How long a connection may keep us waiting: for the header of a request, for its next request, for somebody to read what is
//! answered.
//!
//! hyper has one limit for a header's first byte and for its last. But a load balancer keeps idle connections for a minute, and a
//! request that it sends just as we close one is lost, while a header that has begun comes at once or never. And hyper knows no
//! limit before it knows which HTTP is spoken, none for HTTP/2 between two requests, where answers to pings count as life, and none
//! for a client that does not read.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Timer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::Limits;

/// Bytes in which HTTP/2 announces itself.
const PREFACE_BYTES: usize = 24;

/// The clock of one connection.
#[derive(Clone)]
pub(super) struct Clock {
    header: Duration,
    idle: Duration,
    /// The longest that any request may be open.
    open: Duration,
    seen: Arc<Seen>,
}

/// What a client has sent and taken.
struct Seen {
    bytes: AtomicUsize,
    /// Whether it is known to speak HTTP/1.
    is_http1: AtomicBool,
    now: Mutex<Now>,
}

/// What is going on.
struct Now {
    /// The numbers of the requests whose answers are not over, and when each began, the oldest first.
    open: Vec<(u64, Instant)>,
    /// The number of the next one.
    next: u64,
    /// When the last request began or ended.
    since: Instant,
    /// Since when the client takes none of what is written.
    stuck: Option<Instant>,
}

impl Clock {
    /// A clock with the operator's limits. For HTTP/1, what is between two headers is hyper's.
    pub(super) fn new(limits: &Limits) -> Self {
        let seconds = Duration::from_secs;
        Self {
            header: seconds(limits.header_timeout_s),
            idle: seconds(limits.idle_timeout_s),
            // A body, a first word, a stream, and what is mended behind it.
            open: seconds(limits.body_timeout_s + 2 * limits.request_timeout_s + limits.stream_timeout_s),
            seen: Arc::new(Seen {
                bytes: AtomicUsize::new(0),
                is_http1: AtomicBool::new(false),
                now: Mutex::new(Now { open: Vec::new(), next: 0, since: Instant::now(), stuck: None }),
            }),
        }
    }

    /// The socket, with an eye on what goes through.
    pub(super) fn watch<S>(&self, socket: S) -> Watched<S> {
        Watched { socket, seen: Arc::clone(&self.seen) }
    }

    /// A request begins; it is over when the result is dropped.
    pub(super) fn begin(&self) -> Open {
        let (mut now, begun) = (self.seen.now(), Instant::now());
        let number = now.next;
        now.next += 1;
        now.since = begun;
        now.open.push((number, begun));
        Open { number, seen: Arc::clone(&self.seen) }
    }

    /// Ends where the client has not even said which HTTP it speaks, and where it has kept a place for nothing.
    pub(super) async fn silence(self) {
        tokio::time::sleep(self.header).await;
        if !self.is_http1() && self.seen.bytes.load(Ordering::Relaxed) < PREFACE_BYTES {
            return;
        }
        while !self.is_still() {
            tokio::time::sleep(self.idle).await;
        }
    }

    fn is_http1(&self) -> bool {
        self.seen.is_http1.load(Ordering::Relaxed)
    }

    /// Whether nothing has moved for as long as it may.
    fn is_still(&self) -> bool {
        let now = self.seen.now();
        match (now.stuck, now.open.first()) {
            (Some(since), _) => since.elapsed() >= self.idle,
            (None, None) => !self.is_http1() && now.since.elapsed() >= self.idle,
            // A client of HTTP/2 can keep an answer waiting without anything being written, and ask for others meanwhile.
            (None, Some((_, oldest))) => oldest.elapsed() >= self.open,
        }
    }
}

impl Seen {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not over.
pub(super) struct Open {
    number: u64,
    seen: Arc<Seen>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut now = self.seen.now();
        now.open.retain(|(number, _)| *number != self.number);
        now.since = Instant::now();
    }
}

/// A socket whose bytes are counted, and whose writes are timed.
pub(super) struct Watched<S> {
    socket: S,
    seen: Arc<Seen>,
}

impl<S> Watched<S> {
    fn written(&self, outcome: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        let mut now = self.seen.now();
        now.stuck = outcome.is_pending().then(|| now.stuck.unwrap_or_else(Instant::now));
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.seen.bytes.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// For HTTP/1, whose headers are all that is timed.
impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        // Whoever connects has something to say.
        let is_first = !self.seen.is_http1.swap(true, Ordering::Relaxed);
        let (idle, until) = if is_first {
            (None, Instant::now() + self.header)
        } else {
            (Some(self.seen.bytes.load(Ordering::Relaxed)), deadline.into())
        };
        Box::pin(Wait { idle, sleep: Box::pin(tokio::time::sleep_until(until)), clock: self.clone() })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

/// A wait for a header. hyper looks at it again whenever bytes came and the header is not whole.
struct Wait {
    /// The bytes of all that was sent before; none where the header has begun.
    idle: Option<usize>,
    sleep: Pin<Box<tokio::time::Sleep>>,
    clock: Clock,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.idle.is_some_and(|before| self.clock.seen.bytes.load(Ordering::Relaxed) > before) {
            self.idle = None;
            let until = Instant::now() + self.clock.header;
            self.sleep.as_mut().reset(until);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl hyper::rt::Sleep for Wait {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_kept_open_is_not_forgotten_for_others() {
        let seconds = 1;
        let limits = Limits {
            header_timeout_s: seconds,
            idle_timeout_s: seconds,
            body_timeout_s: seconds,
            request_timeout_s: seconds,
            stream_timeout_s: seconds,
            ..Limits::default()
        };
        let clock = Clock::new(&limits);
        clock.seen.bytes.store(PREFACE_BYTES, Ordering::Relaxed);
        let began = Instant::now();
        let _kept = clock.begin();
        let others = async {
            loop {
                drop(clock.begin());
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        };
        tokio::select! {
            () = clock.clone().silence() => {}
            () = tokio::time::timeout(Duration::from_secs(60), others).map(drop) => {}
        }
        assert!((4..=6).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}
