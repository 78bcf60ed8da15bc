//! How long a connection may keep us waiting for the header of a request.
//!
//! hyper has one limit for a header's first byte and for its last. But a load balancer keeps idle connections for a minute, and a request that it
//! sends just as we close one is lost, while a header that has begun comes at once or never. And hyper knows no limit before it knows
//! which HTTP is spoken.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Timer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::io::InspectReader;

/// Bytes in which HTTP/2 announces itself.
const PREFACE_BYTES: usize = 24;

/// The clock of one connection.
#[derive(Clone)]
pub(super) struct Clock {
    header: Duration,
    seen: Arc<Seen>,
}

/// What a client has sent.
#[derive(Default)]
struct Seen {
    bytes: AtomicUsize,
    /// Whether it is known to speak HTTP/1.
    is_http1: AtomicBool,
}

impl Clock {
    /// A header that has begun is whole after `header`. What is between headers is hyper's limit.
    pub(super) fn new(header: Duration) -> Self {
        Self { header, seen: Arc::default() }
    }

    /// The socket with its bytes counted.
    pub(super) fn watch<S: AsyncRead + AsyncWrite>(&self, socket: S) -> impl AsyncRead + AsyncWrite + use<S> {
        let seen = Arc::clone(&self.seen);
        InspectReader::new(socket, move |bytes| {
            seen.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        })
    }

    /// Ends where the client has not even said which HTTP it speaks.
    pub(super) async fn silence(self) {
        tokio::time::sleep(self.header).await;
        if self.seen.is_http1.load(Ordering::Relaxed) || self.seen.bytes.load(Ordering::Relaxed) >= PREFACE_BYTES {
            pending::<()>().await;
        }
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
