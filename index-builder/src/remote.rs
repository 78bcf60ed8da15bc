//! Embedding by a provider, in the place of the packed model: the rows, keys and limits of `omni-llm`'s own configuration.
//!
//! Each call is paid for, so what it gave is handed on as soon as it is there, and a call is tried again patiently before a build
//! is given up: what was embedded until then is in the cache, and the next build goes on from there. Only here: the client below
//! asks once.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use omni_llm::chat::Trace;
use omni_llm::config::Config;
use omni_llm::net::{Client, backoff};
use omni_llm::provider::Provider;
use omni_llm::provider::capability::Rules;
use omni_llm::provider::embed::{Model, Side};
use omni_retrieval::error::{Code, Error, Result as Outcome};
use omni_retrieval::index::Manifest;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::extract::one_line;

/// Calls that are under way at the same time.
const CALLS: usize = 4;

/// Texts of one call at most: what a killed build pays for twice, and what progress is told in.
const MOST_TEXTS: usize = 128;

/// Seconds for one of the attempts of a call.
const CALL_S: u64 = 120;

/// Attempts at one call, and at the first one, behind which nothing has been paid for yet; the most seconds between two of them.
const ATTEMPTS: u32 = 8;
const FIRST_ATTEMPTS: u32 = 3;
const MOST_WAIT_S: u64 = 60;

/// Of a text that an error names, the most characters.
const SHOWN_CHARS: usize = 60;

/// A provider's model, and what it takes to ask it.
pub(crate) struct Remote {
    pub(crate) model: Model,
    client: Client,
    runtime: Runtime,
}

impl Remote {
    /// The model that `named` means (`provider/model`), asked for one vector: that its key works, and how long vectors are, is
    /// known before documents are read.
    pub(crate) fn open(named: &str, dimensions: Option<u32>) -> Result<Self> {
        let (provider, model) =
            named.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty()).with_context(|| {
                format!("`--embedding`: `{named}`; write `provider/model`, as in `openai/text-embedding-3-small`")
            })?;
        let (client, runtime, provider) = ready(provider).with_context(|| format!("`--embedding {named}`"))?;
        let probe = || Model::probe(provider.clone(), model, dimensions, &client, deadline());
        let model = runtime.block_on(patiently(FIRST_ATTEMPTS, probe)).with_context(|| format!("`--embedding {named}`"))?;
        let found = model.dimensions();
        if let Some(asked) = dimensions.filter(|asked| *asked as usize != found) {
            bail!("`--embedding {named}`: was asked for {asked} dimensions and gave {found}; leave `--embedding-dimensions` out");
        }
        Ok(Self { model, client, runtime })
    }

    /// The model that an index was built with; none is the packed one.
    pub(crate) fn of(manifest: &Manifest) -> Result<Option<Self>> {
        let Some(name) = &manifest.provider else { return Ok(None) };
        let (client, runtime, provider) = ready(name)?;
        let model = Model::new(provider, &manifest.model, manifest.dimensions, manifest.shortened);
        Ok(Some(Self { model, client, runtime }))
    }

    /// Embeds texts, several calls at a time, and hands on what each call gave, in whatever order they come back. After a failure
    /// nothing new is asked for, but what is under way is waited for.
    pub(crate) fn embed(
        &self,
        texts: Vec<String>,
        purpose: Side,
        mut each: impl FnMut(Range<usize>, Vec<Vec<f32>>) -> Result<()>,
    ) -> Result<()> {
        let batches = self.model.batches(&texts)?.into_iter().flat_map(split);
        let (mut batches, texts) = (batches, Arc::new(texts));
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            let mut outcome = Ok(());
            loop {
                while outcome.is_ok()
                    && calls.len() < CALLS
                    && let Some(range) = batches.next()
                {
                    let (model, client, texts) = (self.model.clone(), self.client.clone(), Arc::clone(&texts));
                    calls.spawn(async move {
                        let call = || model.embed(&client, texts[range.clone()].to_vec(), purpose, Trace::default(), deadline());
                        let outcome = patiently(ATTEMPTS, call).await;
                        (range, outcome)
                    });
                }
                let Some(done) = calls.join_next().await else { return outcome };
                let handed_on = match done.context("a call broke off")? {
                    (range, Ok(response)) => each(range, response.vectors),
                    (range, Err(error)) => Err(said(error, &texts[range])),
                };
                outcome = outcome.and(handed_on);
            }
        })
    }

    /// The vectors of questions, in their order.
    pub(crate) fn questions(&self, questions: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut found = vec![Vec::new(); questions.len()];
        self.embed(questions, Side::Query, |range, vectors| {
            found[range].iter_mut().zip(vectors).for_each(|(place, vector)| *place = vector);
            Ok(())
        })?;
        Ok(found)
    }
}

/// What it takes to ask a provider, as `omni-llm` would be configured here.
fn ready(provider: &str) -> Result<(Client, Runtime, Provider)> {
    let mut config = Config::load(None)?;
    Config::check_proxies()?;
    config.generation.retries = 0;
    let provider = Provider::open(provider, &config, &Arc::new(Rules::default()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    Ok((Client::new(&config), runtime, provider))
}

/// Pieces of a batch, none larger than [`MOST_TEXTS`].
fn split(batch: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    batch.clone().step_by(MOST_TEXTS).map(move |start| start..batch.end.min(start + MOST_TEXTS))
}

async fn patiently<T, F: Future<Output = Outcome<T>>>(attempts: u32, call: impl Fn() -> F) -> Outcome<T> {
    let mut patience = Patience { left: attempts, ..Patience::default() };
    loop {
        match call().await {
            Err(error) => match patience.wait(&error) {
                // What comes at once from several calls is spread.
                Some(wait) => tokio::time::sleep(wait + backoff(0)).await,
                // The remedy of the service is a setting that no build reads.
                None if error.code() == Code::Timeout && error.is_final() && error.refusal().status.is_none() => {
                    return Err(error.retold(|_| format!("no answer within {CALL_S} s")));
                }
                None => return Err(error),
            },
            done => return done,
        }
    }
}

/// What one call may still cost: time, and now and then a second payment.
#[derive(Default)]
struct Patience {
    left: u32,
    failed: u32,
    /// Whether an attempt may have been paid for and gave nothing.
    is_wasted: bool,
}

impl Patience {
    /// How long to wait before asking again, where that can help. A build has more patience than somebody who waits for an answer;
    /// but what broke off, did not come in time or was of no use may have cost something, and is bought once more at most.
    fn wait(&mut self, error: &Error) -> Option<Duration> {
        self.left = self.left.saturating_sub(1);
        let can_help = match error.code() {
            Code::Timeout | Code::ProviderError if error.may_have_reached() && error.refusal().status.is_none() => {
                !std::mem::replace(&mut self.is_wasted, true)
            }
            Code::ProviderError => !error.is_final(),
            code => code.is_retryable() && !error.is_final(),
        };
        let asked = error.retry_after_seconds().unwrap_or(0);
        let wait = asked.max(1 << self.failed.min(6)).min(MOST_WAIT_S);
        self.failed += 1;
        (can_help && self.left > 0).then(|| Duration::from_secs(wait))
    }
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(CALL_S)
}

/// With who failed, and at which of the texts, where it is one text's fault.
fn said(error: Error, texts: &[String]) -> anyhow::Error {
    let who = [error.provider(), error.model()].into_iter().flatten().collect::<Vec<_>>().join("/");
    let at = error.details().and_then(|details| usize::try_from(details["input"].as_u64()?).ok());
    let text = at.and_then(|at| texts.get(at)).map_or_else(String::new, |text| {
        format!(" at the text that begins `{}`", one_line(text).chars().take(SHOWN_CHARS).collect::<String>())
    });
    anyhow::Error::from(error).context(format!("embedding by `{who}` failed{text}; what was done is kept, build again to go on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_split_without_a_gap() {
        assert_eq!(split(5..300).collect::<Vec<_>>(), [5..133, 133..261, 261..300]);
        assert_eq!(split(0..0).count(), 0);
    }

    #[test]
    fn a_call_is_repeated_with_patience_but_bought_twice_at_most() {
        let fresh = || Patience { left: ATTEMPTS, ..Patience::default() };
        let busy = |seconds: Option<u64>| Error::new(Code::RateLimit, "busy").retry_after(seconds.map(Duration::from_secs));
        let mut patience = fresh();
        let waits: Vec<u64> = (0..7).map(|_| patience.wait(&busy(Some(0))).unwrap().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60], "no value is no wait of none");
        assert!(patience.wait(&busy(None)).is_none());
        assert_eq!(fresh().wait(&busy(Some(9))), Some(Duration::from_secs(9)));
        assert_eq!(fresh().wait(&busy(Some(3600))), Some(Duration::from_secs(MOST_WAIT_S)));
        // Our own clock ran out, or nothing of use came.
        let (late, useless) = (Error::new(Code::Timeout, "late").final_word(), Error::new(Code::ProviderError, "all zeros"));
        let mut patience = fresh();
        assert!(patience.wait(&late).is_some() && patience.wait(&useless).is_none());
        let mut patience = fresh();
        let away = || Error::new(Code::ProviderError, "cannot be reached").before_dispatch();
        assert!((0..7).all(|_| patience.wait(&away()).is_some()), "a call that reached nobody costs nothing");
        assert!(fresh().wait(&Error::new(Code::Authentication, "no")).is_none());
        assert!(fresh().wait(&Error::new(Code::RateLimit, "no").final_word()).is_none());
    }

    #[tokio::test]
    async fn no_setting_of_the_service_is_advised() {
        let late = || async { Err::<(), _>(Error::new(Code::Timeout, "raise `REQUEST_TIMEOUT`").final_word()) };
        assert_eq!(patiently(1, late).await.unwrap_err().message(), "no answer within 120 s");
        let keyless = || async { Err::<(), _>(Error::new(Code::Timeout, "the provider's key did not come in time")) };
        assert_eq!(patiently(1, keyless).await.unwrap_err().message(), "the provider's key did not come in time");
    }

    #[test]
    fn the_text_at_fault_is_named() {
        let error =
            Error::new(Code::ProviderError, "zeros").from_provider("p", "m").with_details(serde_json::json!({"input": 1}));
        let text = format!("{:#}", said(error, &["a".to_owned(), "## Part\n\nof it".to_owned()]));
        assert_eq!(
            text,
            "embedding by `p/m` failed at the text that begins `## Part of it`; what was done is kept, build again to go on: zeros"
        );
    }

    #[test]
    fn a_name_without_a_provider_is_refused() {
        let text = Remote::open("text-embedding-3-small", None).err().unwrap().to_string();
        assert_eq!(
            text,
            "`--embedding`: `text-embedding-3-small`; write `provider/model`, as in `openai/text-embedding-3-small`"
        );
    }
}
