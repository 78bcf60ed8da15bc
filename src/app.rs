//! What is open: index, embedding model, providers, client. If an [`App`] exists, it can answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::Config;
use crate::embed::{DEFAULT_MODEL, Embedder};
use crate::error::{Code, Error, Result};
use crate::index::Index;
use crate::net::Client;
use crate::provider::capability::Rules;
use crate::provider::{Chain, PRESETS, Provider, preset};

/// Extension of index files.
const INDEX_EXTENSION: &str = "omni";

/// Everything that is open.
pub struct App {
    config: Config,
    index: Option<Opened>,
    embedder: Option<Embedder>,
    providers: BTreeMap<String, Provider>,
    rules: Arc<Rules>,
    client: Client,
    computing: Arc<Semaphore>,
}

/// An index and what it is called.
pub struct Opened {
    /// Its file name without the extension.
    pub name: String,
    /// The file, mapped.
    pub index: Index,
}

impl App {
    /// Opens what the configuration names. Without an index it answers from providers alone; without a model it searches words only.
    ///
    /// # Errors
    /// A file is missing or damaged, the index was built with another model, or the configuration names an unknown provider.
    pub fn open(config: Config) -> Result<Self> {
        let fallbacks = config.generation.fallback_providers.iter().map(|named| split(named).0);
        let named = config.providers.keys().chain(&config.generation.provider).map(String::as_str);
        for name in named.chain(fallbacks) {
            let like = config.providers.get(name).and_then(|endpoint| endpoint.like.as_deref());
            if preset(like.unwrap_or(name)).is_none() {
                let known: Vec<String> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
                return Err(Error::bad_request(format!(
                    "configuration: `{name}`: no such provider; there are {}",
                    known.join(", ")
                )));
            }
        }
        let rules =
            config.capabilities.as_deref().map(|path| std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause)));
        let rules = Arc::new(Rules::new(rules.transpose()?.as_deref())?);
        let names = PRESETS.iter().map(|preset| preset.name).chain(config.providers.keys().map(String::as_str));
        let providers = names
            .filter_map(|name| {
                let provider = Provider::open(name, &config, &rules).ok()?;
                Some((name.to_owned(), provider))
            })
            .collect();
        let index = config.index.as_deref().map(index_path).transpose()?.map(|path| Opened::open(&path)).transpose()?;
        let embedder = config.model.as_deref().map(Embedder::open).transpose()?;
        if let (Some(opened), Some(embedder)) = (&index, &embedder) {
            opened.index.require_model(embedder.fingerprint())?;
        }
        let client = Client::new(&config)?;
        let permits = if config.limits.concurrent_searches == 0 { config.threads() } else { config.limits.concurrent_searches };
        Ok(Self { config, index, embedder, providers, rules, client, computing: Arc::new(Semaphore::new(permits)) })
    }

    /// What the operator said.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The index, where there is one.
    pub fn index(&self) -> Option<&Opened> {
        self.index.as_ref()
    }

    /// The embedding model, where there is one.
    pub fn embedder(&self) -> Option<&Embedder> {
        self.embedder.as_ref()
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
            None => Provider::open(name, &self.config, &self.rules),
        }
    }

    /// The provider that is asked, and those that stand in for it: the request's, else the operator's.
    ///
    /// # Errors
    /// As [`Self::provider`], or one of them has no model.
    pub fn chain(&self, name: &str, model: Option<&str>, fallbacks: Option<&[String]>) -> Result<Chain> {
        let first = self.provider(name)?;
        let model = first.model(model)?.to_owned();
        let others = fallbacks.unwrap_or(&self.config.generation.fallback_providers).iter().map(|named| {
            let (name, model) = split(named);
            let provider = self.provider(name)?;
            let model = provider.model(model)?.to_owned();
            Ok((provider, model))
        });
        Ok(Chain::new(first, model, others.collect::<Result<_>>()?))
    }

    /// When a request that begins now has to be answered.
    pub fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.config.limits.request_timeout_s)
    }

    /// Does what a core is busy with, away from the threads that serve sockets, and no more of it at once than there are cores.
    ///
    /// # Errors
    /// `work` failed, or its turn did not come by `deadline`.
    pub async fn compute<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let late = |_| Error::new(Code::Overloaded, "the service is busy; try again in a moment").retry_after(Some(1));
        let turn = tokio::time::timeout_at(deadline, Arc::clone(&self.computing).acquire_owned()).await.map_err(late)?;
        let app = Arc::clone(self);
        // The turn ends with the work, not with whoever waits for it: a caller who leaves frees no core.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&app)
        });
        let done = tokio::time::timeout_at(deadline, work).await.map_err(late)?;
        done.map_err(|cause| Error::internal("a search failed").caused_by(cause))?
    }
}

impl Opened {
    /// Opens an index file.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { name, index: Index::open(path)? })
    }
}

/// `provider` or `provider/model`.
fn split(named: &str) -> (&str, Option<&str>) {
    named.split_once('/').map_or((named, None), |(name, model)| (name, Some(model)))
}

/// The index file that `named` means: itself, or the only one in the folder.
///
/// # Errors
/// There is no such file, or the folder holds none or several.
pub fn index_path(named: &Path) -> Result<PathBuf> {
    if !named.exists() {
        let message = format!("{}: no such index; build it with `index-builder build FOLDER --out {0}`", named.display());
        return Err(Error::new(Code::NotFound, message));
    }
    if !named.is_dir() {
        return Ok(named.to_path_buf());
    }
    let mut files = index_files(named)?;
    match (files.pop(), files.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let message = format!("{}: holds no `.omni` file; build one with `index-builder build`", named.display());
            Err(Error::new(Code::NotFound, message))
        }
        (Some(_), others) => {
            let message =
                format!("{}: holds {} `.omni` files; name one with `--index` or `OMNI_INDEX`", named.display(), others + 1);
            Err(Error::bad_request(message))
        }
    }
}

/// Fills in what the operator left out with what lies in the working folder: the index, if there is any, and the model.
///
/// # Errors
/// There are several index files.
pub fn find_files(config: &mut Config) -> Result<()> {
    let here = Path::new(".");
    if config.index.is_none() && !index_files(here)?.is_empty() {
        config.index = Some(index_path(here)?);
    }
    let model = Path::new("models").join(DEFAULT_MODEL);
    if config.model.is_none() && model.is_dir() {
        config.model = Some(model);
    }
    Ok(())
}

fn index_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|cause| Error::io(folder, cause))?;
    let is_index = |path: &PathBuf| path.extension().is_some_and(|extension| extension == INDEX_EXTENSION) && path.is_file();
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_a_file_or_the_only_one_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let message = |path: &Path| {
            let error = index_path(path).unwrap_err();
            error.message().replace(&*folder.path().to_string_lossy(), "D")
        };
        assert_eq!(message(path), "D: holds no `.omni` file; build one with `index-builder build`");
        assert_eq!(
            message(&path.join("x.omni")),
            "D/x.omni: no such index; build it with `index-builder build FOLDER --out D/x.omni`"
        );
        std::fs::write(path.join("a.omni"), "").unwrap();
        assert_eq!(index_path(path).unwrap(), path.join("a.omni"));
        assert_eq!(index_path(&path.join("a.omni")).unwrap(), path.join("a.omni"));
        std::fs::write(path.join("b.omni"), "").unwrap();
        assert_eq!(message(path), "D: holds 2 `.omni` files; name one with `--index` or `OMNI_INDEX`");
    }

    #[test]
    fn an_unknown_provider_is_refused_at_start() {
        let mut config = Config::default();
        config.generation.provider = Some("opnai".into());
        let error = App::open(config).err().unwrap();
        assert!(error.message().starts_with("configuration: `opnai`: no such provider; there are `openai`, `anthropic`, "));
    }
}
