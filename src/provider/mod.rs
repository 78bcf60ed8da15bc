//! Who can be asked. A provider is a row of data; only a dialect is code.
//!
//! Dialects are pure: they write requests and read answers. The two functions here that do I/O, [`Provider::chat`] and
//! [`Provider::stream`], are the same for all of them.

mod openai;

use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use url::Url;

use crate::chat::{ChatEvent, ChatRequest, ChatResponse, Sampling, unfold};
use crate::config::Endpoint;
use crate::error::{Code, Error, Result};
use crate::net::{Auth, Client, Request, sse};

/// What is known of a provider before the operator says anything.
#[derive(Debug)]
pub struct Preset {
    /// Its name in requests.
    pub name: &'static str,
    /// Where it is; none is for the operator to say.
    pub base_url: Option<&'static str>,
    /// The variable that overrides `base_url`.
    pub url_variable: &'static str,
    /// The variable that holds its key.
    pub key_variable: &'static str,
    /// The variable that names the model asked by default.
    pub model_variable: &'static str,
    /// Whether it answers nobody without a key.
    pub needs_key: bool,
    dialect: Dialect,
    quirks: Quirks,
}

/// Every provider of this build.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "openai",
        base_url: Some("https://api.openai.com/v1"),
        url_variable: "OPENAI_BASE_URL",
        key_variable: "OPENAI_API_KEY",
        model_variable: "OPENAI_MODEL",
        needs_key: true,
        dialect: Dialect::OpenAi,
        quirks: Quirks { top_k: false, max_completion_tokens: true, stop_sequences: 4 },
    },
    // Any server that speaks OpenAI's dialect: llama.cpp, vLLM, Ollama, a company's own gateway.
    Preset {
        name: "custom",
        base_url: None,
        url_variable: "CUSTOM_BASE_URL",
        key_variable: "CUSTOM_API_KEY",
        model_variable: "CUSTOM_MODEL",
        needs_key: false,
        dialect: Dialect::OpenAi,
        quirks: Quirks { top_k: true, max_completion_tokens: false, stop_sequences: 16 },
    },
];

/// How a provider's JSON looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    OpenAi,
}

/// Where a provider differs from its dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quirks {
    /// Takes `top_k`.
    top_k: bool,
    /// Wants `max_completion_tokens` in the place of `max_tokens`.
    max_completion_tokens: bool,
    /// Stop sequences that it takes.
    stop_sequences: usize,
}

/// A provider that is ready to be asked.
#[derive(Debug, Clone)]
pub struct Provider {
    preset: &'static Preset,
    base_url: Url,
    auth: Auth,
    model: Option<String>,
}

impl Provider {
    /// Joins what is known of `name` with what the operator said.
    ///
    /// # Errors
    /// No such provider, or its key or address is missing; the text names the variable.
    pub fn open(name: &str, endpoint: Option<&Endpoint>) -> Result<Self> {
        let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
            let known: Vec<String> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
            return Err(Error::bad_request(format!("`{name}`: no such provider; there are {}", known.join(", "))));
        };
        let base_url = endpoint.and_then(|endpoint| endpoint.base_url.as_deref()).or(preset.base_url).ok_or_else(|| {
            Error::bad_request(format!(
                "`model_provider`: `{name}` has no address; set `{}` where the service runs",
                preset.url_variable
            ))
        })?;
        let mut base_url =
            Url::parse(base_url).map_err(|cause| Error::bad_request(format!("`{}`: not a URL: {cause}", preset.url_variable)))?;
        if !base_url.path().ends_with('/') {
            base_url.set_path(&format!("{}/", base_url.path()));
        }
        let auth = match endpoint.and_then(|endpoint| endpoint.api_key.clone()) {
            Some(key) => Auth::Bearer(key),
            None if preset.needs_key => {
                let message =
                    format!("`model_provider`: `{name}` needs a key; set `{}` where the service runs", preset.key_variable);
                return Err(Error::new(Code::Authentication, message).from_provider(name, ""));
            }
            None => Auth::None,
        };
        Ok(Self { preset, base_url, auth, model: endpoint.and_then(|endpoint| endpoint.model.clone()) })
    }

    /// Its name in requests.
    pub fn name(&self) -> &'static str {
        self.preset.name
    }

    /// The model to ask: the caller's, else the operator's.
    ///
    /// # Errors
    /// Neither named one.
    pub fn model<'a>(&'a self, asked: Option<&'a str>) -> Result<&'a str> {
        asked.or(self.model.as_deref()).ok_or_else(|| {
            let (name, variable) = (self.preset.name, self.preset.model_variable);
            Error::bad_request(format!(
                "`model_name`: missing, and `{name}` has no model by default; name one, or set `{variable}`"
            ))
        })
    }

    /// Fits `sampling` to what this provider takes and says what was left out.
    ///
    /// # Errors
    /// Something cannot be left out without changing the answer's meaning.
    pub fn fit(&self, sampling: &mut Sampling) -> Result<Vec<String>> {
        let most = self.preset.quirks.stop_sequences;
        if sampling.stop_sequences.len() > most {
            let count = sampling.stop_sequences.len();
            return Err(Error::bad_request(format!(
                "`model_config.stop_sequences`: {count} texts, but `{}` takes at most {most}",
                self.preset.name
            )));
        }
        if sampling.top_k.is_some() && !self.preset.quirks.top_k {
            sampling.top_k = None;
            return Ok(vec![format!("`model_config.top_k`: `{}` does not take it; it was left out", self.preset.name)]);
        }
        Ok(Vec::new())
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// The provider refused, failed, or did not answer by `deadline`; the error names it and the model.
    pub async fn chat(&self, client: &Client, request: &ChatRequest, deadline: Instant) -> Result<ChatResponse> {
        let outcome = async {
            let reply = client.send(&self.request(request, false)?, deadline).await?;
            if (200..300).contains(&reply.status) {
                return openai::decode(&reply.body);
            }
            Err(openai::error(reply.status, &reply.body, reply.retry_after_seconds()))
        };
        outcome.await.map_err(|error| self.blame(error, request))
    }

    /// Asks and hands the answer on as it comes. Dropping the stream ends the call.
    ///
    /// # Errors
    /// As [`Self::chat`], up to the head of the answer; later failures are items of the stream, and its last.
    pub async fn stream(
        &self,
        client: &Client,
        request: &ChatRequest,
        deadline: Instant,
    ) -> Result<impl Stream<Item = Result<ChatEvent>> + Send + use<>> {
        let opened = async {
            let incoming = client.stream(&self.request(request, true)?, deadline).await?;
            let content_type = incoming.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let is_stream = sse::is_event_stream(content_type);
            if incoming.is_success() && is_stream {
                return Ok(events(incoming.bytes()).left_stream());
            }
            let (success, reply) = (incoming.is_success(), incoming.whole().await?);
            if !success {
                return Err(openai::error(reply.status, &reply.body, reply.retry_after_seconds()));
            }
            // A server that does not stream answers whole.
            let answer = openai::decode(&reply.body)?;
            Ok(futures_util::stream::iter(unfold(answer).into_iter().map(Ok)).right_stream())
        };
        let (name, model) = (self.preset.name, request.model.clone());
        let stream = opened.await.map_err(|error| self.blame(error, request))?;
        Ok(stream.map(move |event| event.map_err(|error| error.from_provider(name, &model))))
    }

    fn request(&self, request: &ChatRequest, stream: bool) -> Result<Request> {
        let (path, body) = match self.preset.dialect {
            Dialect::OpenAi => (openai::PATH, openai::encode(request, &self.preset.quirks, stream)?),
        };
        let url = self.base_url.join(path).map_err(|cause| Error::internal(format!("the provider's address: {cause}")))?;
        let mut request = Request::new(url, body);
        self.auth.sign(&mut request)?;
        Ok(request)
    }

    fn blame(&self, error: Error, request: &ChatRequest) -> Error {
        error.from_provider(self.preset.name, &request.model)
    }
}

/// Bytes to events. The decoder is asked for the end when the bytes end, so a cut stream is an error.
fn events(bytes: impl Stream<Item = Result<bytes::Bytes>> + Send) -> impl Stream<Item = Result<ChatEvent>> + Send {
    let (mut parser, mut decoder) = (sse::Parser::default(), openai::Decoder::default());
    let mut failed = false;
    bytes
        .map(Some)
        .chain(futures_util::stream::once(std::future::ready(None)))
        .map(move |piece| {
            if failed {
                return Vec::new();
            }
            let mut items = Vec::new();
            let outcome = match piece {
                Some(bytes) => bytes.and_then(|bytes| {
                    for frame in parser.push(&bytes)? {
                        items.extend(decoder.frame(&frame.data)?.into_iter().map(Ok));
                    }
                    Ok(())
                }),
                None => decoder.finish().map(|event| items.extend(event.map(Ok))),
            };
            if let Err(error) = outcome {
                failed = true;
                items.push(Err(error));
            }
            items
        })
        .flat_map(futures_util::stream::iter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn what_is_missing_is_named() {
        let message = |name, endpoint: Option<&Endpoint>| Provider::open(name, endpoint).unwrap_err().message().to_owned();
        assert_eq!(
            message("openai", None),
            "`model_provider`: `openai` needs a key; set `OPENAI_API_KEY` where the service runs"
        );
        assert_eq!(
            message("custom", None),
            "`model_provider`: `custom` has no address; set `CUSTOM_BASE_URL` where the service runs"
        );
        assert_eq!(message("opnai", None), "`opnai`: no such provider; there are `openai`, `custom`");
        let endpoint = Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() };
        let provider = Provider::open("openai", Some(&endpoint)).unwrap();
        let expected = "`model_name`: missing, and `openai` has no model by default; name one, or set `OPENAI_MODEL`";
        assert_eq!(provider.model(None).unwrap_err().message(), expected);
        assert_eq!(provider.model(Some("m")).unwrap(), "m");
    }

    #[test]
    fn the_address_is_joined_with_or_without_a_slash() {
        for base in ["http://h:1/v1", "http://h:1/v1/"] {
            let endpoint = Endpoint { base_url: Some(base.into()), ..Endpoint::default() };
            let provider = Provider::open("custom", Some(&endpoint)).unwrap();
            let request = ChatRequest { model: "m".into(), ..ChatRequest::default() };
            assert_eq!(provider.request(&request, false).unwrap().url.as_str(), "http://h:1/v1/chat/completions");
        }
    }

    #[test]
    fn what_a_provider_does_not_take_is_said() {
        let endpoint = Endpoint { api_key: Some(Secret::new("k")), ..Endpoint::default() };
        let provider = Provider::open("openai", Some(&endpoint)).unwrap();
        let mut sampling = Sampling { top_k: Some(40), ..Sampling::default() };
        assert_eq!(provider.fit(&mut sampling).unwrap(), ["`model_config.top_k`: `openai` does not take it; it was left out"]);
        assert_eq!(sampling.top_k, None);
        sampling.stop_sequences = vec!["x".into(); 5];
        let message = provider.fit(&mut sampling).unwrap_err().message().to_owned();
        assert_eq!(message, "`model_config.stop_sequences`: 5 texts, but `openai` takes at most 4");
    }
}
