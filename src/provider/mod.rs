//! Who can be asked. A provider is a row of data; only a dialect is code.
//!
//! Dialects are pure: they write requests and read answers. What does I/O, [`Provider::chat`] and [`Provider::stream`], is the same
//! for all of them: fit the request to the model, write it, sign it, send it, read the answer, and try again where that cannot
//! show.

mod anthropic;
mod arguments;
mod bedrock;
mod body;
pub mod capability;
mod chain;
mod cohere;
mod count;
mod dialect;
pub mod embed;
mod failure;
mod fit;
mod gemini;
mod id;
mod media;
mod openai;
mod own;
mod refusal;
mod retry;
mod row;
mod setup;
mod state;
mod stream;
mod terms;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;

pub(crate) use self::anthropic::{compaction, own_of_call};
pub(crate) use self::arguments::{is_rounded, keep_digits_of, list_at};
use self::capability::{Capabilities, Rules};
pub(crate) use self::chain::{Walk, is_mistake, shared};
pub use self::dialect::{Decoder, Dialect};
use self::fit::{Back, Fitted, fit};
pub(crate) use self::own::name as name_of_own;
use self::retry::{Health, Retry};
pub use self::row::{AuthKind, PRESETS, Preset, preset};
pub(crate) use self::row::{known, no_such};
pub(crate) use self::setup::Unready;
pub use self::stream::Events;
pub(crate) use self::terms::is_standard;
use crate::chat::{ChatRequest, ChatResponse, Warning};
use crate::error::{Code, Error, Refusal, Result, quoted};
use crate::net::{Auth, Client, Reply, Request, Secrets};

/// A provider that is ready to be asked. Cloning shares what is known of its health.
#[derive(Debug, Clone)]
pub struct Provider {
    name: Arc<str>,
    preset: &'static Preset,
    /// Paths that name no model, and where they lead.
    fixed: Arc<[(&'static str, Url)]>,
    base_url: Url,
    /// Whether the operator said where it is, so that it may stand inside the operator's network.
    has_operator_address: bool,
    auth: Auth,
    /// What of the operator's is to be checked where it is refused, in words.
    credential: Arc<str>,
    model: Option<String>,
    aliases: Arc<BTreeMap<String, String>>,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    rules: Arc<Rules>,
    health: Arc<Health>,
}

/// A request as it goes out, unsigned.
#[derive(Debug)]
pub struct Written {
    /// Where to, with what, and which headers.
    pub request: Request,
    /// What was dropped, renamed or changed.
    pub warnings: Vec<Warning>,
    /// The names in addresses that the provider is to fetch.
    hosts: Vec<String>,
    /// A stream keeps this and not the request, whose pictures are large.
    back: Arc<Back>,
}

impl Written {
    /// The body, read again.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.request.body).unwrap_or_default()
    }
}

/// A model is one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longest name of a model; those of AWS's resources are the longest that there are.
const MAX_NAME_BYTES: usize = 2048;

impl Provider {
    /// Its name in requests.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this model of its keeps failing, and is to be left alone where somebody else can answer.
    pub(crate) fn is_cooling(&self, model: &str) -> bool {
        self.health.is_cooling(model)
    }

    /// The host that is called.
    pub(crate) fn host(&self) -> &str {
        self.base_url.host_str().unwrap_or_default()
    }

    /// Milliseconds until it answers, failures included as slow answers; none where it was not asked of late.
    pub(crate) fn answer_ms(&self) -> Option<f64> {
        self.health.answer_ms()
    }

    /// The name of the row of ours that it is, or is like.
    pub fn like(&self) -> &'static str {
        self.preset.name
    }

    /// How its JSON looks.
    pub fn dialect(&self) -> Dialect {
        self.preset.dialect
    }

    /// The model to ask: the caller's, else the operator's.
    ///
    /// # Errors
    /// Neither named one.
    pub fn model<'a>(&'a self, asked: Option<&'a str>) -> Result<&'a str> {
        asked.or(self.model.as_deref()).ok_or_else(|| {
            let (name, setting) = (&self.name, setup::setting(&self.name, self.preset, "model"));
            Error::bad_request(format!(
                "`model_name`: missing, and `{name}` has no model by default; name one, or set `{setting}`"
            ))
        })
    }

    /// The model that the operator has asked in the place of this one.
    pub(crate) fn alias(&self, model: &str) -> Option<&str> {
        self.aliases.get(model).map(String::as_str)
    }

    /// What one of its models accepts.
    ///
    /// # Errors
    /// No model can be called so, or a rule of the operator's is wrong.
    pub fn capabilities(&self, model: &str) -> Result<Arc<Capabilities>> {
        // What is found is kept by the name, so that is bounded first.
        let name = self.bare(model);
        if name.is_empty() || name.bytes().all(|byte| byte == b'.') || name.len() > MAX_NAME_BYTES {
            return Err(Error::new(Code::InvalidModel, "`model`: no model is called so"));
        }
        self.rules.find([self.like(), &self.name], self.preset.dialect.as_str(), model)
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// The provider refused, failed, or did not answer by `deadline`; the error names it and the model.
    pub async fn chat(&self, client: &Client, request: &ChatRequest, deadline: Instant) -> Result<ChatResponse> {
        let written = self.prepared(client, request, false, deadline).await?;
        let ask = || self.attempt(client, &written.request, deadline, |reply| self.preset.dialect.decode(&reply.body));
        let mut answer = self.asked(client, request, deadline, ask).await?;
        self.health.good(&request.model);
        written.back.restore_all(&mut answer);
        answer.warnings.splice(0..0, written.warnings);
        Ok(answer)
    }

    /// Asks and hands the answer on as it comes. Nothing is handed out before the first content, so a failure until then is tried
    /// again or an error, and not half an answer. Dropping the stream ends the call.
    ///
    /// # Errors
    /// As [`Self::chat`], up to the first content; later failures are items of the stream, and its last.
    pub async fn stream(&self, client: &Client, request: &ChatRequest, deadline: Instant) -> Result<Events> {
        let written = self.prepared(client, request, true, deadline).await?;
        self.asked(client, request, deadline, || stream::open(self, client, request, &written, deadline)).await
    }

    /// What `ask` gets, asked again where that can help; how it went counts for the provider's health.
    async fn asked<T, F>(
        &self,
        client: &Client,
        request: &ChatRequest,
        deadline: Instant,
        ask: impl Fn() -> F + Copy,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        request.trace.asking(&self.name, &request.model);
        let began = Instant::now();
        let hedge_after = client.hedge_after().filter(|_| retry::is_repeatable(request));
        let outcome = Retry::new(client, deadline, &self.name, &request.trace).run(hedge_after, ask).await;
        let answer = outcome.map_err(|error| self.fail(error, request))?;
        self.health.took(began.elapsed());
        Ok(answer)
    }

    /// Writes the request without sending or signing it.
    ///
    /// # Errors
    /// It cannot be written for this model without changing what is asked.
    pub fn write(&self, request: &ChatRequest, stream: bool) -> Result<Written> {
        let caps = self.capabilities(&request.model)?;
        let who = format!("{}/{}", self.name, request.model);
        let Fitted { request: mut fitted, mut warnings, hosts, back } =
            fit(request, &caps, (&who, self.has_operator_address), stream)?;
        own::take_out(&mut fitted, &caps, &who, &mut warnings);
        let mut body = self.preset.dialect.encode(&fitted, &caps, stream, &mut warnings)?;
        if !self.preset.model_in_body {
            body.0.shift_remove("model");
        }
        for (name, value) in self.preset.body {
            body.set(name, *value);
        }
        let path = if stream { self.preset.stream_path } else { self.preset.path };
        let bytes =
            serde_json::to_vec(&body.0).map_err(|cause| Error::internal("the request cannot be written").caused_by(cause))?;
        let mut out = self.request(self.url(path, &request.model)?, bytes);
        let is_taken = |beta: &&String| caps.betas.iter().any(|known| known == "*" || known == *beta);
        let (taken, left): (Vec<&String>, Vec<&String>) = request.betas.iter().partition(is_taken);
        if !taken.is_empty() {
            let list = taken.iter().map(|beta| beta.as_str()).collect::<Vec<_>>().join(",");
            let value = HeaderValue::try_from(list).map_err(|_| Error::bad_request("`anthropic-beta`: no header can be so"))?;
            out.headers.insert("anthropic-beta", value);
        }
        if !left.is_empty() {
            let detail = format!("`{}` does not take {}", self.name, quoted(left));
            warnings.push(Warning::dropped("headers.anthropic-beta", detail));
        }
        Ok(Written { request: out, warnings: warnings.into_vec(), hosts, back: Arc::new(back) })
    }

    /// A request to `url` with the headers that every request has.
    fn request(&self, url: Url, body: impl Into<Bytes>) -> Request {
        let mut request = Request::new(url, body);
        for (name, value) in self.headers.iter() {
            request.headers.insert(name.clone(), value.clone());
        }
        request
    }

    /// Writes the request, and looks up the names in addresses that a server of the operator's own is to fetch: they must not lead
    /// it to its neighbours.
    async fn prepared(&self, client: &Client, request: &ChatRequest, stream: bool, deadline: Instant) -> Result<Written> {
        let written = self.write(request, stream).map_err(|error| self.blame(error, request))?;
        if self.has_operator_address && !written.hosts.is_empty() {
            // Boxed, because few requests come here.
            Box::pin(client.check_names(&written.hosts, deadline)).await.map_err(|why| {
                let message = format!("an address in the request: {why}; name another, or send what is there");
                self.blame(Error::bad_request(message), request)
            })?;
        }
        Ok(written)
    }

    /// Signs, where the key or token may have to be fetched first.
    async fn sign(&self, client: &Client, request: &mut Request, deadline: Instant) -> Result<()> {
        let late = |_| {
            Error::new(Code::Timeout, "the provider's key did not come in time; the log says more where it failed")
                .before_dispatch()
        };
        timeout_at(deadline, self.auth.sign(client, request)).await.map_err(late)?.map_err(Error::before_dispatch)
    }

    /// One attempt at a whole answer, which `read` reads. No failure tells what the request was signed with.
    async fn attempt<T>(
        &self,
        client: &Client,
        request: &Request,
        deadline: Instant,
        read: impl FnOnce(&Reply) -> Result<T>,
    ) -> Result<T> {
        let mut signed = request.clone();
        self.sign(client, &mut signed, deadline).await?;
        let answered = client.send(&signed, deadline).await.and_then(|reply| match reply.status {
            200..300 => read(&reply).map_err(|error| self.unread(&reply, error)),
            _ => Err(self.refusal(&reply)),
        });
        answered.map_err(|error| Secrets::of(&signed).hidden_in(error))
    }

    /// A model's name as it stands in a path.
    fn bare<'a>(&self, model: &'a str) -> &'a str {
        model.strip_prefix("models/").filter(|_| self.preset.dialect == Dialect::Gemini).unwrap_or(model)
    }

    fn url(&self, path: &str, model: &str) -> Result<Url> {
        if let Some((_, known)) = self.fixed.iter().find(|(fixed, _)| *fixed == path) {
            return Ok(known.clone());
        }
        let path = path.replace("{model}", &utf8_percent_encode(self.bare(model), SEGMENT).to_string());
        self.base_url.join(&path).map_err(|cause| Error::internal(format!("the provider's address: {cause}")))
    }

    fn fail(&self, error: Error, request: &ChatRequest) -> Error {
        self.health.bad(&request.model, &error);
        self.blame(error, request)
    }

    fn blame(&self, error: Error, request: &ChatRequest) -> Error {
        // The client does not know whom it asks for. What a provider said of itself stays as it is.
        let has_no_refusal = *error.refusal() == Refusal::default();
        let named = |text: &str| match text.strip_prefix("the provider ") {
            Some(rest) if has_no_refusal => format!("`{}` {rest}", self.name),
            _ => text.to_owned(),
        };
        error.retold(named).from_provider(&self.name, &request.model)
    }
}

#[cfg(test)]
mod tests;
