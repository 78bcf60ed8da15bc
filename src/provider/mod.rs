//! Who can be asked. A provider is a row of data; only a dialect is code.
//!
//! Dialects are pure: they write requests and read answers. What does I/O, [`Provider::chat`] and [`Provider::stream`], is the same
//! for all of them: fit the request to the model, write it, sign it, send it, read the answer, and try again where that cannot show.

mod anthropic;
mod bedrock;
mod body;
pub mod capability;
mod chain;
mod cohere;
mod dialect;
pub mod embed;
mod failure;
mod fit;
mod gemini;
mod openai;
mod own;
mod retry;
mod row;
mod stream;
mod turn;

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::capability::{Capabilities, Rules};
pub use self::chain::{Attempt, Chain, Served};
pub(crate) use self::chain::{hand_over, is_mistake, shared};
pub use self::dialect::{Decoder, Dialect};
use self::failure::{Refused, failure};
use self::fit::{Fitted, fit};
use self::retry::{Health, Retry};
pub use self::row::{AuthKind, PRESETS, Preset, preset};
pub use self::stream::Events;
use crate::chat::{ChatRequest, ChatResponse, Warning};
use crate::config::{Config, Endpoint};
use crate::error::{Code, Error, Result};
use crate::net::aws::Signer;
use crate::net::google::Tokens;
use crate::net::key::Key;
use crate::net::{Auth, Client, Reply, Request, guard};

/// A provider that is ready to be asked. Cloning shares what is known of its health.
#[derive(Debug, Clone)]
pub struct Provider {
    name: Arc<str>,
    preset: &'static Preset,
    base_url: Url,
    /// Whether the operator said where it is, so that it may stand inside his network.
    is_own: bool,
    /// Paths that name no model, and where they lead.
    fixed: Arc<[(&'static str, Url)]>,
    auth: Auth,
    model: Option<String>,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    rules: Arc<Rules>,
    health: Arc<Health>,
}

/// A request as it goes out, unsigned.
#[derive(Debug)]
pub struct Written {
    /// Where to, with what, and which headers.
    pub request: Request,
    /// The body before it became bytes.
    pub body: Value,
    /// What was dropped, renamed or changed.
    pub warnings: Vec<Warning>,
    fitted: Fitted,
}

/// A model is one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Provider {
    /// Joins what is known of `name` with what the operator said.
    ///
    /// # Errors
    /// No such provider, or its key or address is missing; the text names the variable.
    pub fn open(name: &str, config: &Config, rules: &Arc<Rules>) -> Result<Self> {
        let none = Endpoint::default();
        let endpoint = config.providers.get(name).unwrap_or(&none);
        let preset = row(name, endpoint)?;
        let base_url = address(name, preset, endpoint, config)?;
        let auth = auth(name, preset, endpoint, config)?;
        let own = endpoint.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = preset.headers.iter().copied().chain(own).map(|(header, value)| {
            let pair = (HeaderName::try_from(header).ok(), HeaderValue::try_from(value).ok());
            let (Some(header), Some(value)) = pair else {
                return Err(Error::bad_request(format!("`providers.{name}.headers.{header}`: no header can be so")));
            };
            Ok((header, value))
        });
        let fixed = [preset.path, preset.stream_path].into_iter().filter(|path| !path.contains("{model}"));
        Ok(Self {
            name: name.into(),
            preset,
            fixed: fixed.filter_map(|path| Some((path, base_url.join(path).ok()?))).collect(),
            base_url,
            is_own: endpoint.base_url.is_some(),
            auth,
            model: endpoint.model.clone(),
            headers: headers.collect::<Result<Vec<_>>>()?.into(),
            rules: Arc::clone(rules),
            health: Arc::default(),
        })
    }

    /// Its name in requests.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it keeps failing, and is to be left alone where somebody else can answer.
    pub(crate) fn is_cooling(&self) -> bool {
        self.health.is_cooling()
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
            let (name, variable) = (&self.name, self.preset.model_variable);
            Error::bad_request(format!(
                "`model_name`: missing, and `{name}` has no model by default; name one, or set `{variable}`"
            ))
        })
    }

    /// What one of its models accepts.
    ///
    /// # Errors
    /// A rule of the operator's is wrong.
    pub fn capabilities(&self, model: &str) -> Result<Arc<Capabilities>> {
        // Operators' rows have the rules of the row that they are like, and then their own.
        let known = if preset(&self.name).is_some() { &*self.name } else { self.preset.name };
        self.rules.find(known, self.preset.dialect.as_str(), model)
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// The provider refused, failed, or did not answer by `deadline`; the error names it and the model.
    pub async fn chat(&self, client: &Client, request: &ChatRequest, deadline: Instant) -> Result<ChatResponse> {
        let written = self.write(request, false).map_err(|error| self.blame(error, request))?;
        self.check_names(client, &written, deadline).await.map_err(|error| self.blame(error, request))?;
        let mut retry = Retry::new(client.retries(), deadline);
        loop {
            match self.once(client, &written, deadline).await {
                Ok(mut answer) => {
                    self.health.good();
                    answer.warnings.splice(0..0, written.warnings);
                    return Ok(answer);
                }
                Err(error) => retry.after(error).await.map_err(|error| self.fail(error, request))?,
            }
        }
    }

    /// Asks and hands the answer on as it comes. Nothing is handed out before the first content, so a failure until then is tried
    /// again or an error, and not half an answer. Dropping the stream ends the call.
    ///
    /// # Errors
    /// As [`Self::chat`], up to the first content; later failures are items of the stream, and its last.
    pub async fn stream(&self, client: &Client, request: &ChatRequest, deadline: Instant) -> Result<Events> {
        let written = Arc::new(self.write(request, true).map_err(|error| self.blame(error, request))?);
        self.check_names(client, &written, deadline).await.map_err(|error| self.blame(error, request))?;
        let mut retry = Retry::new(client.retries(), deadline);
        loop {
            match stream::open(self, client, request, &written, deadline).await {
                Ok(events) => {
                    self.health.good();
                    return Ok(events);
                }
                Err(error) => retry.after(error).await.map_err(|error| self.fail(error, request))?,
            }
        }
    }

    /// Writes the request without sending or signing it.
    ///
    /// # Errors
    /// It cannot be written for this model without changing what is asked.
    pub fn write(&self, request: &ChatRequest, stream: bool) -> Result<Written> {
        let caps = self.capabilities(&request.model)?;
        let who = format!("{}/{}", self.name, request.model);
        let mut fitted = fit(request, &caps, (&who, self.is_own), stream)?;
        let mut warnings = std::mem::take(&mut fitted.warnings);
        let mut body = self.preset.dialect.encode(&fitted.request, &caps, stream, &mut warnings)?;
        if !self.preset.model_in_body {
            body.0.shift_remove("model");
        }
        for (name, value) in self.preset.body {
            body.set(name, *value);
        }
        let path = if stream { self.preset.stream_path } else { self.preset.path };
        let body = Value::Object(body.0);
        let bytes =
            serde_json::to_vec(&body).map_err(|cause| Error::internal("the request cannot be written").caused_by(cause))?;
        let mut out = Request::new(self.url(path, &request.model)?, bytes);
        for (name, value) in self.headers.iter() {
            out.headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &request.headers {
            match self.forwarded(name, value, &caps) {
                Some((name, value)) => {
                    out.headers.insert(name, value);
                }
                None => warnings.push(Warning::dropped(format!("headers.{name}"), format!("`{}` does not take it", self.name))),
            }
        }
        Ok(Written { request: out, body, warnings: warnings.into_vec(), fitted })
    }

    /// A header of the caller's, as far as the row lets it through.
    fn forwarded(&self, name: &str, value: &str, caps: &Capabilities) -> Option<(HeaderName, HeaderValue)> {
        if !self.preset.forwards.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return None;
        }
        let taken = |flag: &&str| caps.betas.iter().any(|known| known == "*" || known == flag);
        let value = if name.eq_ignore_ascii_case("anthropic-beta") {
            value.split(',').map(str::trim).filter(taken).collect::<Vec<_>>().join(",")
        } else {
            value.to_owned()
        };
        let pair = (HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.as_str()).ok()?);
        (!value.is_empty()).then_some(pair)
    }

    /// Looks up the names in addresses that a server of the operator's own is to fetch: they must not lead it to its neighbours.
    async fn check_names(&self, client: &Client, written: &Written, deadline: Instant) -> Result<()> {
        if !self.is_own || written.fitted.hosts.is_empty() {
            return Ok(());
        }
        // Boxed, because few requests come here.
        let checked = Box::pin(client.check_names(&written.fitted.hosts, deadline)).await;
        checked
            .map_err(|why| Error::bad_request(format!("an address in the request: {why}; name another, or send what is there")))
    }

    /// Signs, where the key or token may have to be fetched first.
    async fn sign(&self, client: &Client, request: &mut Request, deadline: Instant) -> Result<()> {
        let late = |_| Error::new(Code::Timeout, "the provider's key did not come in time; the log says more where it failed");
        timeout_at(deadline, self.auth.sign(client, request)).await.map_err(late)?
    }

    /// One attempt at a whole answer.
    async fn once(&self, client: &Client, written: &Written, deadline: Instant) -> Result<ChatResponse> {
        let mut request = written.request.clone();
        self.sign(client, &mut request, deadline).await?;
        let reply = client.send(&request, deadline).await?;
        if !(200..300).contains(&reply.status) {
            return Err(self.preset.refusal(&reply));
        }
        let mut answer = self.preset.dialect.decode(&reply.body)?;
        written.fitted.restore_all(&mut answer);
        Ok(answer)
    }

    fn url(&self, path: &str, model: &str) -> Result<Url> {
        let model = model.strip_prefix("models/").filter(|_| self.preset.dialect == Dialect::Gemini).unwrap_or(model);
        if model.is_empty() || model.bytes().all(|byte| byte == b'.') || model.len() > 2048 {
            return Err(Error::new(Code::InvalidModel, "`model`: no model is called so"));
        }
        if let Some((_, known)) = self.fixed.iter().find(|(fixed, _)| *fixed == path) {
            return Ok(known.clone());
        }
        let path = path.replace("{model}", &utf8_percent_encode(model, SEGMENT).to_string());
        self.base_url.join(&path).map_err(|cause| Error::internal(format!("the provider's address: {cause}")))
    }

    fn fail(&self, error: Error, request: &ChatRequest) -> Error {
        self.health.bad(&error);
        self.blame(error, request)
    }

    fn blame(&self, error: Error, request: &ChatRequest) -> Error {
        error.from_provider(&self.name, &request.model)
    }
}

impl Preset {
    /// What a reply of another status than 2xx means.
    pub fn refusal(&self, reply: &Reply) -> Error {
        let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok());
        let ids = ["x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id"];
        let refused = Refused {
            provider: self.name,
            status: reply.status,
            kind: header("x-amzn-errortype"),
            retry_after_seconds: reply.retry_after_seconds(),
            request_id: ids.into_iter().find_map(header),
        };
        let body = serde_json::from_slice(&reply.body).unwrap_or_default();
        let error = failure(&refused, &body);
        match header("x-should-retry") {
            Some("false") => error.final_word(),
            _ => error,
        }
    }
}

/// The row that `name` means: ours, or the one that the operator says it is like.
fn row(name: &str, endpoint: &Endpoint) -> Result<&'static Preset> {
    let known = endpoint.like.as_deref().unwrap_or(name);
    preset(known).ok_or_else(|| {
        let names: Vec<String> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
        let field = if endpoint.like.is_some() { format!("`providers.{name}.like`: ") } else { String::new() };
        Error::bad_request(format!("{field}`{known}`: no such provider; there are {}", names.join(", ")))
    })
}

/// Where the provider is, with what the operator said filled in.
fn address(name: &str, preset: &Preset, endpoint: &Endpoint, config: &Config) -> Result<Url> {
    let given = endpoint.base_url.as_deref().unwrap_or(preset.base_url);
    if given.is_empty() {
        let variable = preset.url_variable;
        let message = format!("`model_provider`: `{name}` has no address; set `{variable}` where the service runs");
        return Err(Error::bad_request(message));
    }
    let location = endpoint.location.as_deref().unwrap_or("global");
    let host = if location == "global" { String::new() } else { format!("{location}-") };
    let region = endpoint.region.as_deref().or(config.aws.region.as_deref());
    let mut filled = given.replace("{location_host}", &host).replace("{location}", location);
    for (hole, value, variable) in
        [("{region}", region, "AWS_REGION"), ("{project}", endpoint.project.as_deref(), "GOOGLE_CLOUD_PROJECT")]
    {
        if !filled.contains(hole) {
            continue;
        }
        let Some(value) = value else {
            let message = format!("`model_provider`: `{name}` has no address; set `{variable}` where the service runs");
            return Err(Error::bad_request(message));
        };
        filled = filled.replace(hole, value);
    }
    let wrong = |why: String| Error::bad_request(format!("`{}`: {why}", preset.url_variable));
    let mut url = Url::parse(&filled).map_err(|cause| wrong(format!("not a URL: {cause}")))?;
    guard::operator_address(&url, config.lambda.runtime_api.as_deref()).map_err(wrong)?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn auth(name: &str, preset: &Preset, endpoint: &Endpoint, config: &Config) -> Result<Auth> {
    let key = endpoint.api_key.as_ref().map(|key| Key::new(key, &config.aws)).transpose()?;
    let header = |name: &str| {
        HeaderName::try_from(name).map_err(|_| Error::bad_request(format!("`providers.{name}.auth`: no header is called so")))
    };
    let kind = match endpoint.auth.as_deref() {
        Some("none") => return Ok(Auth::None),
        Some("bearer") => AuthKind::Bearer,
        Some(other) => return Ok(key.map_or(Auth::None, |key| header(other).map_or(Auth::None, |name| Auth::Header(name, key)))),
        None => preset.auth,
    };
    match (kind, key) {
        (AuthKind::Bearer | AuthKind::Aws, Some(key)) => Ok(Auth::Bearer(key)),
        (AuthKind::Header(name), Some(key)) => Ok(Auth::Header(header(name)?, key)),
        (AuthKind::Google, Some(key)) => Ok(Auth::Header(header("x-goog-api-key")?, key)),
        (AuthKind::Aws, None) => {
            let region = endpoint.region.clone().or_else(|| config.aws.region.clone()).unwrap_or_default();
            Ok(Auth::Aws(Arc::new(Signer::new(config.aws.clone(), region, "bedrock"))))
        }
        (AuthKind::Google, None) => Ok(Auth::Google(Arc::new(Tokens::new(config.google_key_file.as_deref(), &config.aws)?))),
        (AuthKind::Bearer | AuthKind::Header(_), None) if preset.needs_key && endpoint.base_url.is_none() => {
            let variable = endpoint.key_variable.as_deref().unwrap_or(preset.key_variable);
            let message = format!("`model_provider`: `{name}` needs a key; set `{variable}` where the service runs");
            Err(Error::new(Code::Authentication, message).from_provider(name, ""))
        }
        // A server at an address of the operator's may want none.
        (AuthKind::Bearer | AuthKind::Header(_), None) => Ok(Auth::None),
    }
}

#[cfg(test)]
mod tests;
