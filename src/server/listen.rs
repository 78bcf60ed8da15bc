//! A port: connections in, the router out.
//!
//! axum's own `serve` has no time limit for headers and no bound on connections, so the loop is written out here.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::Stop;
use super::clock::Clock;
use super::origin::Loopback;
use crate::app::App;
use crate::error::{Error, Result};

/// Time that requests get to say that they are cut.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Answers on `listener` until `stop` is done, then lets open requests end, within the operator's limit, or until a second signal.
/// A listener that fails for a moment is tried again.
pub async fn serve(app: Arc<App>, listener: TcpListener, stop: impl Future<Output = ()>) {
    let limits = app.config().limits.clone();
    let router = super::router(app);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(Duration::from_secs(limits.idle_timeout_s));
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30))).max_concurrent_streams(256);
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let mut stop = pin!(stop);
    let (stopping, stopped) = watch::channel(None);
    let loopback = listener.local_addr().is_ok_and(|addr| addr.ip().to_canonical().is_loopback()).then_some(Loopback);
    let (mut full, mut refused) = (Seldom::default(), Seldom::default());
    loop {
        let next = async {
            if places.available_permits() == 0 && full.is_due() {
                let max_connections = limits.max_connections;
                tracing::warn!(
                    max_connections,
                    "no further connection is taken; `limits.max_connections` says how many may be open"
                );
            }
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            // Most often out of file descriptors, which pass.
            Err(cause) => {
                if cause.kind() != std::io::ErrorKind::ConnectionAborted && refused.is_due() {
                    tracing::warn!(%cause, "a connection cannot be taken; is the limit of open files (`LimitNOFILE`, `ulimit -n`) too low?");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        let clock = Clock::new(&limits);
        let (router, stopped, requests) = (router.clone(), stopped.clone(), clock.clone());
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let (open, router) = (requests.begin(), router.clone());
            request.extensions_mut().insert(Stop(stopped.clone()));
            if let Some(loopback) = loopback {
                request.extensions_mut().insert(loopback);
            }
            async move {
                let Ok(response) = router.oneshot(request.map(axum::body::Body::new)).await;
                // The request is open until the last of its answer is taken.
                Ok::<_, Infallible>(response.map(|body| {
                    body.map_frame(move |frame| {
                        let _ = &open;
                        frame
                    })
                }))
            }
        });
        let mut builder = builder.clone();
        builder.http1().timer(clock.clone());
        let socket = TokioIo::new(clock.watch(socket));
        let connection = open.watch(builder.serve_connection(socket, service).into_owned());
        tokio::spawn(async move {
            // A connection that breaks is the caller's business; its request has its own line.
            tokio::select! {
                _ = connection => {}
                () = clock.silence() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    let patience = Duration::from_secs(limits.shutdown_timeout_s);
    let _ = stopping.send(Some(Instant::now() + patience.saturating_sub(LAST_WORDS)));
    let told = Instant::now();
    let is_done = tokio::select! {
        () = open.shutdown() => true,
        () = tokio::time::sleep(patience) => false,
        () = stop_signal() => false,
    };
    if !is_done {
        tracing::warn!(seconds = told.elapsed().as_secs(), "stopped with requests still open");
    }
}

/// What is said once a minute at most, however often it happens.
#[derive(Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// Waits for SIGTERM, for SIGHUP, which has nothing to read anew, or for ctrl-c.
pub async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = told_to_end() => {}
    }
}

async fn told_to_end() {
    let next = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    let hangup = async {
        if is_hangup_ignored() {
            std::future::pending::<()>().await;
        }
        next(SignalKind::hangup()).await;
    };
    tokio::select! {
        () = next(SignalKind::terminate()) => {}
        () = hangup => {}
    }
}

/// Whether whoever started us, as `nohup` does, wants us to outlive a terminal. Where that is not known, the signal is left as it
/// is.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_none_or(|mask| mask & 1 == 1)
}

/// Lets the process open as many files as it may: each connection is one, and the usual limit of 1,024 is lower than that of
/// connections.
pub fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is refused, the limit is as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Opens the port.
///
/// # Errors
/// It is taken or may not be opened.
pub async fn bind(addr: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|cause| {
        Error::bad_request(format!("{addr}: {cause}; choose another address with `--addr` or `OMNI_ADDR`")).caused_by(cause)
    })
}
