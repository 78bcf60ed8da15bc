//! What is open: index, embedding model, providers, client. If an [`App`] exists, it can answer.

mod opened;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::opened::{Opened, find_files, index_path};
use crate::config::{Config, Preferred, PreferredBy, Retrieval};
use crate::cost::Prices;
use crate::embed::{Embedder, Reranker};
use crate::error::{Code, Error, Result};
use crate::net::{Client, is_allowed};
use crate::provider::capability::Rules;
use crate::provider::embed::Model;
use crate::provider::{PRESETS, Provider, no_such, preset};
use crate::rerank::Reranking;
use crate::schema::Rung;

/// Everything that is open.
pub struct App {
    config: Config,
    /// The first answers where a request names none.
    indexes: Vec<Opened>,
    embedder: Option<Embedder>,
    reranker: Option<Reranker>,
    providers: BTreeMap<String, Provider>,
    rules: Arc<Rules>,
    client: Client,
    computing: Arc<Semaphore>,
    prices: Prices,
    refused: Mutex<Refused>,
}

/// Ways of asking for a shape that a provider's model refused.
type Refused = HashMap<(String, String), Vec<Rung>>;

/// Models whose refusals are remembered; callers name models, so the number needs a bound.
const MAX_REFUSED: usize = 1024;

impl App {
    /// Opens what the configuration names. Without an index it answers from providers alone; without a model it searches words only.
    /// What only a call to a provider needs (certificates, prices, what models accept) is not read here: see [`Self::prepare`]. The
    /// operator's own files of prices and capabilities are, so that a broken one stops the start.
    ///
    /// # Errors
    /// A file is missing or damaged, the index was built with another model or by a provider that is not configured, or the
    /// configuration is wrong about a provider, or names one to answer that is unknown or not set up.
    pub fn open(config: Config) -> Result<Self> {
        let fallbacks = config.generation.fallback_providers.iter().map(|named| split(named).0);
        let named = config.providers.keys().chain(&config.generation.provider).chain(&config.generation.preferred.providers);
        for name in named.map(String::as_str).chain(fallbacks) {
            let own = config.providers.get(name);
            let like = own.and_then(|endpoint| endpoint.like.as_deref());
            if preset(like.unwrap_or(name)).is_none() {
                return Err(Error::bad_request(match (own, like) {
                    (Some(_), None) => {
                        let known = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect::<Vec<_>>().join(", ");
                        format!(
                            "configuration: `providers.{name}`: add `like = \"custom\"`, or whichever of ours it speaks like: {known}"
                        )
                    }
                    (_, Some(like)) => format!("configuration: `providers.{name}.like`: {}", no_such(like)),
                    (None, None) => format!("configuration: {}", no_such(name)),
                }));
            }
        }
        let rules = Arc::new(config.capabilities.as_deref().map_or_else(|| Rules::new(None), own_rules)?);
        let names = PRESETS.iter().map(|preset| preset.name).chain(config.providers.keys().map(String::as_str));
        let mut providers = BTreeMap::new();
        for name in names {
            match Provider::set_up(name, &config, &rules) {
                Ok(Ok(provider)) => drop(providers.insert(name.to_owned(), provider)),
                Err(error) if config.providers.contains_key(name) => return Err(error),
                // Nobody set it up.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        check_named(&config, &providers, &rules)?;
        let embedder = config.model.as_deref().map(Embedder::open).transpose()?;
        let reranker = config.reranker.as_deref().map(Reranker::open).transpose()?;
        let mut indexes: Vec<Opened> = Vec::new();
        for named in config.index.iter().chain(&config.indexes) {
            let mut opened = Opened::open(&index_path(named)?)?;
            let manifest = opened.index.manifest();
            if let Some(provider) = &manifest.provider {
                let model = &manifest.model;
                let why = |cause: Error| {
                    let message = format!("{}: embedded by `{provider}/{model}`: {cause}", named.display());
                    Error::new(cause.code(), message)
                };
                // The same one where it answers, too, so that both know how it does.
                let provider = providers
                    .get(provider)
                    .cloned()
                    .map_or_else(|| Provider::open(provider, &config, &rules), Ok)
                    .and_then(|provider| allowed(&config, provider))
                    .map_err(why)?;
                let model = Model::new(provider, model, manifest.dimensions, manifest.shortened);
                opened.index.require_model(&model.fingerprint())?;
                opened.remote = Some(model);
            } else if let Some(embedder) = &embedder {
                opened.index.require_model(embedder.fingerprint())?;
            }
            if indexes.iter().any(|other| other.name == opened.name) {
                let message = format!(
                    "{}: a second index called `{}`; requests could not tell them apart, rename one",
                    named.display(),
                    opened.name
                );
                return Err(Error::bad_request(message));
            }
            indexes.push(opened);
        }
        let client = Client::new(&config);
        let prices = Prices::open(config.prices.as_deref()).map_err(|error| setting("OMNI_PRICES", error))?;
        let permits = if config.limits.concurrent_searches == 0 { config.threads() } else { config.limits.concurrent_searches };
        let computing = Arc::new(Semaphore::new(permits));
        Ok(Self { config, indexes, embedder, reranker, providers, rules, client, computing, prices, refused: Mutex::default() })
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
                let _ = app.prices.price(provider.name(), model, 0, &crate::cost::today());
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
        match self.providers.get(name) {
            Some(provider) => Ok(provider.clone()),
            // Whoever asks over HTTP sees another machine than the one to set it on.
            None => Provider::set_up(name, &self.config, &self.rules)?
                .map_err(|missing| missing.retold(|text| format!("`model_provider`: {text} where the service runs"))),
        }
    }

    /// Who is asked, and who stands in: the request's, else the operator's. Each with the model that is asked.
    ///
    /// # Errors
    /// As [`Self::provider`], or one of them has no model.
    pub fn links(&self, name: &str, model: Option<&str>, fallbacks: Option<&[String]>) -> Result<Vec<(Provider, String)>> {
        let link = |name: &str, model: Option<&str>| {
            let provider = self.provider(name)?;
            let model = provider.model(model)?.to_owned();
            Ok((provider, model))
        };
        let mut links = vec![link(name, model)?];
        for named in fallbacks.unwrap_or(&self.config.generation.fallback_providers) {
            let (name, model) = split(named);
            let asked = |error: Error| match fallbacks {
                Some(_) => Error::bad_request(format!("`fallbacks`: `{named}`: {error}")),
                None => error,
            };
            links.push(link(name, model).map_err(asked)?);
        }
        Ok(links)
    }

    /// What models cost.
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Every provider that is ready to be asked, by name.
    pub fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    /// Who answers where nobody is named: the operator's preference among providers that are ready and have a model by default.
    /// Whoever was never asked comes before whoever was, and whoever keeps failing behind all others.
    pub fn preferred(&self) -> Option<String> {
        let Preferred { by, providers } = &self.config.generation.preferred;
        if providers.is_empty() && *by == PreferredBy::Listed {
            return None;
        }
        let named: Vec<&Provider> = match providers.as_slice() {
            [] => self.providers.values().collect(),
            names => names.iter().filter_map(|name| self.providers.get(name)).collect(),
        };
        let today = crate::cost::today();
        let rank = |provider: &Provider, model: &str| match by {
            PreferredBy::Listed => 0.0,
            PreferredBy::Fastest => provider.answer_ms().unwrap_or(0.0),
            // A price that is not known is no low price.
            PreferredBy::Cheapest => {
                let price = self.prices.price(provider.name(), model, 1_000, &today);
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
        let busy = |_| Error::new(Code::Overloaded, "the service is busy; try again in a moment").retry_after(Some(1));
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

/// The operator's own rules about what models accept.
fn own_rules(path: &Path) -> Result<Rules> {
    let text = std::fs::read_to_string(path).map_err(|cause| setting("OMNI_CAPABILITIES", Error::io(path, cause)))?;
    let place = |text: &str| format!("{}: {text}", path.display());
    Rules::new(Some(&text)).map_err(|error| setting("OMNI_CAPABILITIES", error.retold(place)))
}

/// An error with the setting that it is about before it.
fn setting(variable: &str, error: Error) -> Error {
    error.retold(|text| format!("`{variable}`: {text}"))
}

/// Whether those whom the operator names to answer can be asked: found out now, and not when somebody fails.
fn check_named(config: &Config, providers: &BTreeMap<String, Provider>, rules: &Arc<Rules>) -> Result<()> {
    let opened = |name: &str| {
        let provider = match providers.get(name) {
            Some(provider) => provider.clone(),
            None => Provider::set_up(name, config, rules)??,
        };
        allowed(config, provider)
    };
    let wrong = |variable: &str, error: Error| error.retold(|text| format!("configuration: `{variable}`: {text}"));
    if let Some(name) = &config.generation.provider {
        opened(name).map_err(|error| wrong("OMNI_PROVIDER", error))?;
    }
    for name in config.generation.preferred.providers.iter().filter(|name| providers.contains_key(*name)) {
        opened(name).map_err(|error| wrong("PREFERRED_PROVIDERS", error))?;
    }
    for (name, model) in config.generation.fallback_providers.iter().map(|named| split(named)) {
        let has_model = opened(name).and_then(|provider| provider.model(model).map(drop));
        has_model.map_err(|error| wrong("FALLBACK_PROVIDERS", error))?;
    }
    Ok(())
}

/// The provider, where the operator's list of hosts lets it be called.
fn allowed(config: &Config, provider: Provider) -> Result<Provider> {
    let (hosts, host) = (&config.net.allowed_hosts, provider.host());
    if hosts.is_empty() || is_allowed(hosts, host) {
        return Ok(provider);
    }
    let name = provider.name();
    Err(Error::bad_request(format!("`{name}` is at `{host}`, which `OMNI_ALLOWED_HOSTS` does not have; add it, or name another")))
}

/// `provider` or `provider/model`.
fn split(named: &str) -> (&str, Option<&str>) {
    named.split_once('/').map_or((named, None), |(name, model)| (name, Some(model)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, Secret};

    #[test]
    fn an_unknown_provider_is_refused_at_start() {
        let mut config = Config::default();
        config.generation.provider = Some("opnai".into());
        let error = App::open(config).err().unwrap();
        assert!(error.message().starts_with("configuration: `opnai`: no such provider; there are `openai`, `anthropic`, "));
        let message = |endpoint: Endpoint| {
            let mut config = Config::default();
            config.providers.insert("mine".into(), endpoint);
            App::open(config).err().unwrap().message().to_owned()
        };
        assert!(message(Endpoint::default()).starts_with(
            "configuration: `providers.mine`: add `like = \"custom\"`, or whichever of ours it speaks like: `openai`, "
        ));
        let typo = Endpoint { like: Some("opnai".into()), ..Endpoint::default() };
        assert!(message(typo).starts_with("configuration: `providers.mine.like`: `opnai`: no such provider; there are "));
    }

    #[test]
    fn whoever_is_named_to_answer_can_be_asked_from_the_start() {
        let message = |change: fn(&mut Config)| {
            let mut config = Config::default();
            config.providers.insert("custom".into(), Endpoint { base_url: Some("http://h/v1".into()), ..Endpoint::default() });
            config.providers.insert("openai".into(), Endpoint { model: Some("gpt-5.4".into()), ..Endpoint::default() });
            change(&mut config);
            App::open(config).err().map(|error| error.message().to_owned())
        };
        assert_eq!(message(|config| config.generation.provider = Some("custom".into())), None, "requests may name its model");
        assert_eq!(message(|config| config.generation.fallback_providers = vec!["custom/m".into()]), None);
        assert_eq!(
            message(|config| config.generation.provider = Some("openai".into())).unwrap(),
            "configuration: `OMNI_PROVIDER`: `openai` needs a key; set `OPENAI_API_KEY`"
        );
        assert_eq!(
            message(|config| config.generation.fallback_providers = vec!["custom/m".into(), "groq/m".into()]).unwrap(),
            "configuration: `FALLBACK_PROVIDERS`: `groq` needs a key; set `GROQ_API_KEY`"
        );
        let blocked = "`custom` is at `h`, which `OMNI_ALLOWED_HOSTS` does not have; add it, or name another";
        let on_a_list: fn(&mut Config) = |config| {
            config.net.allowed_hosts = vec!["api.openai.com".into()];
            config.generation.provider = Some("custom".into());
        };
        assert_eq!(message(on_a_list).unwrap(), format!("configuration: `OMNI_PROVIDER`: {blocked}"));
        assert_eq!(
            message(|config| {
                config.net.allowed_hosts = vec!["H".into()];
                config.generation.provider = Some("custom".into());
            }),
            None
        );
        assert!(
            message(|config| config.generation.fallback_providers = vec!["custom".into()])
                .unwrap()
                .starts_with("configuration: `FALLBACK_PROVIDERS`: `model_name`: missing, and `custom` has no model by default")
        );
    }

    #[test]
    fn a_file_that_is_missing_or_wrong_is_told_with_its_setting() {
        let open = |config: Config| App::open(config).err().map(|error| error.message().to_owned()).unwrap_or_default();
        let nowhere = || Some("/nowhere".into());
        let said = open(Config { prices: nowhere(), ..Config::default() });
        assert!(said.starts_with("`OMNI_PRICES`: /nowhere: No such file"), "{said}");
        let said = open(Config { capabilities: nowhere(), ..Config::default() });
        assert!(said.starts_with("`OMNI_CAPABILITIES`: /nowhere: No such file"), "{said}");
        let mut config = Config { google_key_file: nowhere(), ..Config::default() };
        config.providers.insert("vertexai".into(), Endpoint { project: Some("p".into()), ..Endpoint::default() });
        let said = open(config);
        assert!(said.starts_with("`GOOGLE_APPLICATION_CREDENTIALS`: /nowhere: No such file"), "{said}");
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules.toml");
        for (text, end) in [("[[rule]]\nset = 3", " (line 2)"), ("[[rule]]\nset = {}\n[[rule]]\nset = { x = 1 }", " (rule 2)")] {
            std::fs::write(&rules, text).unwrap();
            let said = open(Config { capabilities: Some(rules.clone()), ..Config::default() });
            assert!(said.starts_with(&format!("`OMNI_CAPABILITIES`: {}: ", rules.display())) && said.ends_with(end), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_about_a_provider_stops_the_start_and_what_is_missing_does_not() {
        let open = |endpoint: Endpoint| {
            let mut config = Config::default();
            config.providers.insert("custom".into(), endpoint);
            App::open(config).map(|app| app.providers().any(|provider| provider.name() == "custom"))
        };
        let there = || Endpoint { base_url: Some("http://h/v1".into()), api_key: Some(Secret::new("k")), ..Endpoint::default() };
        assert!(open(there()).unwrap());
        assert!(!open(Endpoint { base_url: None, ..there() }).unwrap());
        let error = open(Endpoint { auth: Some("x api key".into()), ..there() }).unwrap_err();
        assert_eq!(error.message(), "`providers.custom.auth`: `x api key`: no header is called so");
        let error = open(Endpoint { base_url: Some("http://169.254.169.254/".into()), ..there() }).unwrap_err();
        assert_eq!(error.message(), "`CUSTOM_BASE_URL`: `169.254.169.254` hands out credentials");
        let error = open(Endpoint { api_key: Some(Secret::new("aws-secret:x")), ..there() }).unwrap_err();
        assert!(error.message().starts_with("`aws-secret:`: no region to read the secret in"), "{error}");
    }
}
