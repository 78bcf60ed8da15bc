//! What is open: index, embedding model, providers, client. If an [`App`] exists, it can answer.

mod opened;
mod start;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::opened::{Opened, find_files};
use crate::config::{Config, Preferred, PreferredBy, Retrieval, located};
use crate::cost::Prices;
use crate::embed::{Embedder, Reranker};
use crate::error::{Code, Error, Result};
use crate::net::Client;
use crate::provider::capability::Rules;
use crate::provider::{Provider, Unready, no_such};
use crate::rerank::Reranking;
use crate::schema::Rung;

/// Everything that is open.
pub struct App {
    config: Config,
    /// The first answers where a request names none.
    indexes: Vec<Opened>,
    embedder: Option<Embedder>,
    reranker: Option<Reranker>,
    providers: Providers,
    client: Client,
    computing: Arc<Semaphore>,
    prices: Prices,
    refused: Mutex<Refused>,
}

/// Every provider that there is, or why it cannot be asked.
type Providers = BTreeMap<String, Result<Provider, Unready>>;

/// Ways of asking for a shape that a provider's model refused.
type Refused = HashMap<(String, String), Vec<Rung>>;

/// Models whose refusals are remembered; callers name models, so the number needs a bound.
const MAX_REFUSED: usize = 1024;

impl App {
    /// Opens what the configuration names. Without an index it answers from providers alone; without a model it searches words
    /// only. What only a call to a provider needs (certificates, prices, what models accept) is not read here: see
    /// [`Self::prepare`]. The operator's own files of prices and capabilities are, so that a broken one stops the start.
    ///
    /// # Errors
    /// A file is missing or damaged, the index was built with another model or by a provider that is not configured, or the
    /// configuration is wrong about a provider, or names one to answer that is unknown or not set up.
    pub fn open(config: Config) -> Result<Self> {
        let places = config.places.clone();
        Self::open_all(config).map_err(|error| located(&places, error))
    }

    fn open_all(config: Config) -> Result<Self> {
        start::check_known(&config)?;
        let rules = Arc::new(config.capabilities.as_deref().map_or_else(|| Rules::new(None), start::own_rules)?);
        let providers = start::set_up(&config, &rules)?;
        start::check_named(&config, &providers)?;
        let embedder = config.model.as_deref().map(Embedder::open).transpose()?;
        let reranker = config.reranker.as_deref().map(Reranker::open).transpose()?;
        let indexes = start::open_indexes(&config, &providers, embedder.as_ref())?;
        let client = Client::new(&config);
        let prices = start::prices(&config)?;
        let permits = if config.limits.concurrent_searches == 0 { config.threads() } else { config.limits.concurrent_searches };
        let computing = Arc::new(Semaphore::new(permits));
        Ok(Self { config, indexes, embedder, reranker, providers, client, computing, prices, refused: Mutex::default() })
    }

    /// What the operator said.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The index that answers where a request names none, where there is one.
    pub fn index(&self) -> Option<&Opened> {
        self.indexes.first()
    }

    /// All of them.
    pub fn indexes(&self) -> &[Opened] {
        &self.indexes
    }

    /// Whether every index can still be searched.
    ///
    /// # Errors
    /// As [`Index::require_sound`](crate::index::Index::require_sound); the first that there is.
    pub fn require_sound(&self) -> Result<()> {
        self.indexes.iter().try_for_each(|opened| opened.index.require_sound())
    }

    /// An index by its name.
    pub fn index_named(&self, name: &str) -> Option<&Opened> {
        self.indexes.iter().find(|opened| opened.name == name)
    }

    /// The embedding model, where there is one.
    pub fn embedder(&self) -> Option<&Embedder> {
        self.embedder.as_ref()
    }

    /// How what was found is read again, where there is a cross-encoder.
    pub fn reranking(&self) -> Option<Reranking<'_>> {
        let &Retrieval { rerank_depth: depth, rerank_weight: weight, .. } = &self.config.retrieval;
        self.reranker.as_ref().map(|reranker| Reranking { reranker, depth, weight, until: None })
    }

    /// Whether questions to this index can be embedded; otherwise only its words are searched.
    pub fn embeds(&self, opened: &Opened) -> bool {
        opened.remote.is_some() || self.embedder.is_some()
    }

    /// Does in the background what the first request to a provider would wait for, where somebody is named to answer or to embed.
    pub fn prepare(self: &Arc<Self>) {
        let generation = &self.config.generation;
        let is_named = generation.provider.is_some() || generation.preferred != Preferred::default();
        if !is_named && self.indexes.iter().all(|opened| opened.remote.is_none()) {
            return;
        }
        let app = Arc::clone(self);
        // Without a thread, the first request waits.
        let _ = std::thread::Builder::new().spawn(move || {
            if let Err(error) = app.client.prepare() {
                tracing::error!(cause = std::error::Error::source(&error).map(ToString::to_string), "{error}");
            }
            let name = app.config.generation.provider.clone().or_else(|| app.preferred());
            let Some(provider) = name.and_then(|name| app.provider(&name).ok()) else { return };
            if let Ok(model) = provider.model(None) {
                let _ = provider.capabilities(model);
                let _ = app.prices.price(provider.name(), model, 0);
            }
        });
    }

    /// The HTTP client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A provider by its name.
    ///
    /// # Errors
    /// It is unknown, or its key or address is missing; the text names the variable.
    pub fn provider(&self, name: &str) -> Result<Provider> {
        self.ready(name).map_err(|error| error.at("model_provider"))
    }

    fn ready(&self, name: &str) -> Result<Provider> {
        match self.providers.get(name) {
            Some(Ok(provider)) => Ok(provider.clone()),
            // Whoever asks over HTTP sees another machine than the one to set it on.
            Some(Err(Unready { error, is_missing: true })) => {
                Err(error.clone().retold(|text| format!("{text} where the service runs")))
            }
            Some(Err(unready)) => Err(unready.error.clone()),
            None => Err(Error::bad_request(no_such(name))),
        }
    }

    /// Who is asked, and who stands in: the request's, else the operator's. Each with the model that is asked.
    ///
    /// # Errors
    /// As [`Self::provider`], or one of them has no model.
    pub fn links(&self, name: &str, model: Option<&str>, fallbacks: Option<&[String]>) -> Result<Vec<(Provider, String)>> {
        let link = |provider: Provider, model: Option<&str>| {
            let model = provider.model(model)?.to_owned();
            Ok((provider, model))
        };
        let mut links = vec![link(self.provider(name)?, model)?];
        for named in fallbacks.unwrap_or(&self.config.generation.fallback_providers) {
            let (name, model) = split(named);
            let asked = |error: Error| match fallbacks {
                Some(_) => Error::bad_request(format!("`fallbacks`: `{named}`: {error}")),
                None => error,
            };
            links.push(self.ready(name).and_then(|provider| link(provider, model)).map_err(asked)?);
        }
        Ok(links)
    }

    /// What models cost.
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Every provider that is ready to be asked, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values().flatten()
    }

    /// Who answers where nobody is named: the operator's preference among providers that are ready and have a model by default.
    /// Whoever was not asked of late comes before whoever was, and whoever keeps failing behind all others.
    pub fn preferred(&self) -> Option<String> {
        let Preferred { by, providers } = &self.config.generation.preferred;
        if providers.is_empty() && *by == PreferredBy::Listed {
            return None;
        }
        let named: Vec<&Provider> = match providers.as_slice() {
            [] => self.providers().collect(),
            names => names.iter().filter_map(|name| self.providers.get(name)).flatten().collect(),
        };
        let rank = |provider: &Provider, model: &str| match by {
            PreferredBy::Listed => 0.0,
            PreferredBy::Fastest => provider.answer_ms().unwrap_or(0.0),
            // A price that is not known is no low price.
            PreferredBy::Cheapest => {
                let price = self.prices.price(provider.name(), model, 1_000);
                price.map_or(f64::INFINITY, |price| 1_000.0 * price.input + 500.0 * price.output)
            }
        };
        let ranked = named.into_iter().filter_map(|provider| {
            let model = provider.model(None).ok()?;
            Some((provider.is_cooling(model), rank(provider, model), provider.name()))
        });
        ranked.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(.., name)| name.to_owned())
    }

    /// Remembers that a model refused a way of asking for a shape.
    pub fn refuse(&self, provider: &str, model: &str, rung: Rung) {
        let mut refused = self.all_refused();
        if refused.len() >= MAX_REFUSED {
            refused.clear();
        }
        refused.entry((provider.to_owned(), model.to_owned())).or_default().push(rung);
    }

    /// The ways of asking for a shape that a model refused.
    pub fn refused(&self, provider: &str, model: &str) -> Vec<Rung> {
        self.all_refused().get(&(provider.to_owned(), model.to_owned())).cloned().unwrap_or_default()
    }

    fn all_refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a request that begins now has to be answered.
    pub fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.config.limits.request_timeout_s)
    }

    /// Does what a core is busy with, away from the threads that serve sockets, and no more of it at once than there are cores.
    ///
    /// # Errors
    /// `work` failed, or it did not end by `deadline`, or not even its turn came by then.
    pub async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let busy = |_| {
            Error::new(Code::Overloaded, "the service is busy; try again in a moment").retry_after(Some(Duration::from_secs(1)))
        };
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&self.computing).acquire_owned()).await.map_err(busy)?;
        let app = Arc::clone(self);
        // The turn ends with the work, not with whoever waits for it: a caller who leaves frees no core.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&app)
        });
        let late = |_| {
            let remedy = "ask for less, or raise `REQUEST_TIMEOUT` or, on Lambda, the function's timeout and memory";
            Error::new(Code::Timeout, format!("the computation did not end in time; {remedy}"))
        };
        let done = tokio::time::timeout_at(deadline, work).await.map_err(late)?;
        done.map_err(|cause| Error::internal("a search failed").caused_by(cause))?
    }
}

/// `provider` or `provider/model`.
fn split(named: &str) -> (&str, Option<&str>) {
    named.split_once('/').map_or((named, None), |(name, model)| (name, Some(model)))
}
