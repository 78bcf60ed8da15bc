//! The one HTTP client: timeouts, size limits, signing. Nothing else in the service opens sockets outward.
//!
//! Redirects are off: a key must not follow one to another host. Whether a request is repeated is for the provider room to say,
//! which knows what a refusal means; here each call is one attempt.

mod auth;
pub(crate) mod aws;
mod cached;
pub(crate) mod event_stream;
pub(crate) mod google;
pub(crate) mod guard;
mod incoming;
pub(crate) mod key;
mod names;
pub(crate) mod public;
mod roots;
mod secrets;
mod sigv4;
pub mod sse;
#[cfg(test)]
pub(crate) mod testing;
mod wait;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

pub(crate) use self::auth::Auth;
pub use self::incoming::Incoming;
pub use self::secrets::Secrets;
pub(crate) use self::secrets::clean;
pub use self::wait::backoff;
pub(crate) use self::wait::duration;

use self::incoming::{timed_out, unreachable};
use self::wait::MAX_RETRY_WAIT;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hex::hex;

/// The header that names the client of a request, so that a service knows those of its own.
pub(crate) const INSTANCE: &str = "x-omni-llm-instance";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Built when it is first needed.
type Built = Arc<OnceLock<std::result::Result<reqwest::Client, String>>>;

/// The client. Cloning shares its connections. It costs nothing before its first call.
#[derive(Clone)]
pub struct Client {
    http: Built,
    /// Past any proxy.
    inside: Built,
    system_certificates: bool,
    egress: Option<Arc<[String]>>,
    lookup: names::Lookup,
    retries: u32,
    max_wait: Duration,
    hedge_after: Option<Duration>,
    first_token: Duration,
    idle: Duration,
    stream: Duration,
    end: Option<Instant>,
    instance: Arc<str>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST` of JSON, unless said otherwise.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Beside `content-type`.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
}

/// A whole answer, of any status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most 32 MiB.
    pub body: Bytes,
}

impl Request {
    /// A POST of JSON to `url`.
    pub fn new(url: Url, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { method: Method::POST, url, headers, body: body.into() }
    }

    /// A POST of a form to `url`.
    pub(crate) fn form(url: Url, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Self::new(url, body);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers.insert(reqwest::header::CONTENT_TYPE, form);
        request
    }

    /// A GET of `url`.
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

impl Reply {
    /// After how long the other side wants to be asked again: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds or a
    /// date), in that order; with a 429 that has none of these, when the limit is reset.
    pub fn retry_after(&self) -> Option<Duration> {
        wait::retry_after(self.status, &self.headers)
    }
}

impl Client {
    /// A client with the operator's limits.
    pub fn new(config: &Config) -> Self {
        let allowed = &config.net.allowed_hosts;
        Self {
            http: Built::default(),
            inside: Built::default(),
            system_certificates: config.net.system_certificates,
            egress: (!allowed.is_empty()).then(|| allowed.as_slice().into()),
            lookup: names::system,
            first_token: Duration::from_secs(config.limits.first_token_timeout_s),
            retries: config.generation.retries,
            max_wait: MAX_RETRY_WAIT,
            hedge_after: config.generation.hedge_after_ms.map(Duration::from_millis),
            idle: Duration::from_secs(config.limits.stream_idle_timeout_s),
            stream: Duration::from_secs(config.limits.stream_timeout_s),
            end: None,
            instance: hex(&random_bytes::<8>()).into(),
        }
    }

    /// The same client, whose streams end by `end`, too.
    #[must_use]
    pub fn ending(&self, end: Option<Instant>) -> Self {
        Self { end, ..self.clone() }
    }

    /// The same client, which does not wait longer than this to ask again.
    #[must_use]
    pub(crate) fn waiting(&self, max_wait: Duration) -> Self {
        Self { max_wait, ..self.clone() }
    }

    /// Does now what the first call would have to do.
    ///
    /// # Errors
    /// The operator wants the system's certificates, and there are none.
    pub fn prepare(&self) -> Result<()> {
        self.outside().map(drop)
    }

    /// The way to whoever is asked: a proxy knows none of the services of this machine.
    fn http(&self, request: &Request) -> Result<&reqwest::Client> {
        if request.url.host().is_some_and(|host| is_loopback(&host)) { self.inside() } else { self.outside() }
    }

    fn outside(&self) -> Result<&reqwest::Client> {
        built(&self.http, self.system_certificates, |builder| builder)
    }

    fn inside(&self) -> Result<&reqwest::Client> {
        built(&self.inside, self.system_certificates, reqwest::ClientBuilder::no_proxy)
    }

    /// Sends and waits for the whole answer.
    ///
    /// # Errors
    /// No connection, nothing by `deadline`, or more than 32 MiB. An HTTP status is not an error here.
    pub async fn send(&self, request: &Request, deadline: Instant) -> Result<Reply> {
        self.check(request)?;
        let response = self.dispatch(self.http(request)?, request, deadline).await?;
        Incoming::new(response, self.idle, deadline).whole(deadline).await
    }

    /// Sends and waits for the head of the answer. Dropping the result closes the connection.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn stream(&self, request: &Request, deadline: Instant) -> Result<Incoming> {
        self.check(request)?;
        let response = self.dispatch(self.http(request)?, request, deadline).await?;
        let end = Instant::now() + self.stream;
        Ok(Incoming::new(response, self.idle, self.end.map_or(end, |sooner| end.min(sooner))))
    }

    /// As [`Self::send`], past any proxy: to those who hand out keys to whoever is on their network.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn send_inside(&self, request: &Request, deadline: Instant) -> Result<Reply> {
        let response = self.dispatch(self.inside()?, request, deadline).await?;
        Incoming::new(response, self.idle, deadline).whole(deadline).await
    }

    /// Checks that names lead to public addresses only, within two seconds.
    ///
    /// # Errors
    /// Says which one does not.
    pub async fn check_names(&self, names: &[String], deadline: Instant) -> std::result::Result<(), String> {
        names::check(self.lookup, names, deadline).await
    }

    /// The same client, in a world in which every name leads to `10.0.0.1`.
    #[cfg(test)]
    pub(crate) fn where_names_lead_inside(mut self) -> Self {
        self.lookup = |_| Box::pin(async { Ok(vec![std::net::Ipv4Addr::new(10, 0, 0, 1).into()]) });
        self
    }

    /// What this client calls itself in every request.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Further attempts that the operator allows.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// The longest that it waits to ask again; a provider that asks for more is not asked again.
    pub(crate) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// After how long without an answer the operator wants a second request sent.
    pub fn hedge_after(&self) -> Option<Duration> {
        self.hedge_after
    }

    /// How long a streamed answer may take to begin.
    pub fn first_token(&self) -> Duration {
        self.first_token
    }

    async fn dispatch(&self, http: &reqwest::Client, request: &Request, deadline: Instant) -> Result<reqwest::Response> {
        let sending = http.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        let sending = sending.header(INSTANCE, &*self.instance).body(request.body.clone());
        timeout_at(deadline, sending.send()).await.map_err(|_| timed_out())?.map_err(unreachable)
    }

    /// Whether the operator lets us call this host. What hands out keys on the machine itself needs no permission.
    fn check(&self, request: &Request) -> Result<()> {
        match (&self.egress, request.url.host_str()) {
            (Some(hosts), Some(host)) if !is_allowed(hosts, host) => {
                // The host is the operator's, and for the log.
                let why = format!("`{host}` is not among `net.allowed_hosts`");
                let error = Error::internal("the operator does not allow calls to this provider's host; the log names it");
                Err(error.caused_by(std::io::Error::other(why)).before_dispatch())
            }
            _ => Ok(()),
        }
    }
}

/// How a body is compressed, which we do not ask for.
pub(crate) fn compression(headers: &HeaderMap) -> Option<&'static str> {
    let said = headers.get(CONTENT_ENCODING)?.to_str().ok()?;
    ["br", "deflate", "gzip", "zstd"].into_iter().find(|known| known.eq_ignore_ascii_case(said))
}

fn built(
    client: &Built,
    system_certificates: bool,
    also: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<&reqwest::Client> {
    let build = || {
        let tls = roots::tls(system_certificates).map_err(|cause| cause.to_string())?;
        let builder = reqwest::Client::builder()
            .user_agent(concat!("omni-llm/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(50))
            .dns_resolver(names::Resolver)
            .tls_backend_preconfigured(tls)
            .tcp_nodelay(true);
        also(builder).build().map_err(|cause| cause.to_string())
    };
    client.get_or_init(build).as_ref().map_err(|why| {
        let error = Error::internal(
            "the HTTP client cannot be built; can the certificates of `SSL_CERT_FILE` or `SSL_CERT_DIR` be read?",
        );
        error.caused_by(std::io::Error::other(why.clone())).before_dispatch()
    })
}

/// Whether a host, as an address names it, is this machine.
pub(crate) fn is_loopback(host: &Host<impl AsRef<str>>) -> bool {
    match host {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
        Host::Domain(name) => {
            let name = name.as_ref();
            let name = name.strip_suffix('.').unwrap_or(name);
            matches!(name, "localhost" | "localhost.localdomain") || name.ends_with(".localhost")
        }
    }
}

/// An address that we make ourselves or the platform tells us; `what` is found there.
fn fixed_url(what: &str, address: &str) -> Result<Url> {
    Url::parse(address).map_err(|cause| Error::internal(format!("the address of {what}: {cause}")))
}

/// Whether a host is one of those allowed, or below one that begins with `*.`.
pub(crate) fn is_allowed(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
        Some(end) => host.len() > end.len() && host.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase()),
        None => allowed.eq_ignore_ascii_case(host),
    })
}

/// Bytes from the operating system: a process restored from a snapshot must not repeat another's.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // No random source is no reason to refuse an answer: these bytes are names and jitter, not keys.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        for (place, byte) in bytes.iter_mut().zip(now.to_le_bytes().into_iter().cycle()) {
            *place = byte;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_built_before_the_first_call() {
        let client = Client::new(&Config::default());
        let shared = client.clone();
        assert!(client.http.get().is_none() && client.inside.get().is_none());
        for nobody in ["http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/"] {
            let nobody = Request::get(Url::parse(nobody).unwrap());
            client.send(&nobody, Instant::now() + Duration::from_secs(5)).await.unwrap_err();
        }
        assert!(shared.inside.get().is_some_and(std::result::Result::is_ok), "clones share it");
        assert!(shared.http.get().is_none(), "no proxy is asked for what is here");
    }
}
