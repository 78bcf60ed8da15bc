//! Embedding by a provider, in the place of the packed model: the rows, keys and limits of `omni-llm`'s own configuration.
//!
//! Each call is paid for, so what it gave is handed on as soon as it is there, and a call is tried again patiently before a build is
//! given up: what was embedded until then is in the cache, and the next build goes on from there.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use omni_llm::config::Config;
use omni_llm::error::{Code, Error, Result as Outcome};
use omni_llm::index::Manifest;
use omni_llm::net::Client;
use omni_llm::provider::Provider;
use omni_llm::provider::capability::Rules;
use omni_llm::provider::embed::{Model, Purpose};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Calls that are under way at the same time.
const CALLS: usize = 4;

/// Texts of one call at most: what a killed build pays for twice, and what progress is told in.
const MOST_TEXTS: usize = 128;

/// Seconds for one of the attempts of a call.
const CALL_S: u64 = 120;

/// Attempts at one call, and the most seconds between two of them.
const ATTEMPTS: u32 = 8;
const MOST_WAIT_S: u64 = 60;

/// A provider's model, and what it takes to ask it.
pub(crate) struct Remote {
    pub(crate) model: Model,
    client: Client,
    runtime: Runtime,
}

impl Remote {
    /// The model that `named` means (`provider/model`), asked for one vector: that its key works, and how long vectors are, is known
    /// before documents are read.
    pub(crate) fn open(named: &str, dimensions: Option<u32>) -> Result<Self> {
        let (provider, model) =
            named.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty()).with_context(|| {
                format!("`--embedding`: `{named}`; write `provider/model`, as in `openai/text-embedding-3-small`")
            })?;
        let (client, runtime, provider) = ready(provider).with_context(|| format!("`--embedding {named}`"))?;
        let model = runtime.block_on(Model::probe(provider, model, dimensions, &client, deadline()));
        Ok(Self { model: model.with_context(|| format!("`--embedding {named}`"))?, client, runtime })
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
        purpose: Purpose,
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
                    calls.spawn(async move { (range.clone(), patiently(&model, &client, &texts[range], purpose).await) });
                }
                let Some(done) = calls.join_next().await else { return outcome };
                let handed_on = match done.context("a call broke off")? {
                    (range, Ok(vectors)) => each(range, vectors),
                    (_, Err(error)) => Err(said(error)),
                };
                outcome = outcome.and(handed_on);
            }
        })
    }

    /// The vectors of questions, in their order.
    pub(crate) fn questions(&self, questions: Vec<String>) -> Result<Vec<Vec<f32>>> {
        let mut found = vec![Vec::new(); questions.len()];
        self.embed(questions, Purpose::Query, |range, vectors| {
            found[range].iter_mut().zip(vectors).for_each(|(place, vector)| *place = vector);
            Ok(())
        })?;
        Ok(found)
    }
}

/// What it takes to ask a provider, as `omni-llm` would be configured here.
fn ready(provider: &str) -> Result<(Client, Runtime, Provider)> {
    let config = Config::load(None)?;
    let provider = Provider::open(provider, &config, &Arc::new(Rules::default()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    Ok((Client::new(&config), runtime, provider))
}

/// Pieces of a batch, none larger than [`MOST_TEXTS`].
fn split(batch: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    batch.clone().step_by(MOST_TEXTS).map(move |start| start..batch.end.min(start + MOST_TEXTS))
}

async fn patiently(model: &Model, client: &Client, texts: &[String], purpose: Purpose) -> Outcome<Vec<Vec<f32>>> {
    for attempt in 0.. {
        match model.embed(client, texts.to_vec(), purpose, deadline()).await {
            Ok(response) => return Ok(response.vectors),
            Err(error) if can_help(&error) && attempt + 1 < ATTEMPTS => {
                let wait = error.retry_after_seconds().unwrap_or(1 << attempt);
                tokio::time::sleep(Duration::from_secs(wait.min(MOST_WAIT_S))).await;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::internal("nothing was asked"))
}

/// Whether asking again can help. A build has more patience than somebody who waits for an answer.
fn can_help(error: &Error) -> bool {
    (error.code().is_retryable() || error.code() == Code::ProviderError) && !error.is_final()
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(CALL_S)
}

/// With who failed.
fn said(error: Error) -> anyhow::Error {
    let who = [error.provider(), error.model()].into_iter().flatten().collect::<Vec<_>>().join("/");
    anyhow::Error::from(error).context(format!("embedding by `{who}` failed; what was done is kept, build again to go on"))
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
    fn a_name_without_a_provider_is_refused() {
        let text = Remote::open("text-embedding-3-small", None).err().unwrap().to_string();
        assert_eq!(
            text,
            "`--embedding`: `text-embedding-3-small`; write `provider/model`, as in `openai/text-embedding-3-small`"
        );
    }
}
