//! What is checked and opened at the start: the providers that are named, the prices, and the indexes with their embedding
//! models.

use std::path::Path;
use std::sync::Arc;

use super::opened::Opened;
use super::{Providers, split};
use crate::config::{Config, Generation};
use crate::cost::Prices;
use crate::embed::Embedder;
use crate::error::{Error, Result};
use crate::index::index_path;
use crate::net::is_allowed;
use crate::provider::capability::Rules;
use crate::provider::embed::Model;
use crate::provider::{PRESETS, Provider, Unready, known, no_such, preset};

/// Whether there is a provider of each name that the operator gives.
pub(super) fn check_known(config: &Config) -> Result<()> {
    for (name, endpoint) in &config.providers {
        let like = endpoint.like.as_deref();
        if preset(like.unwrap_or(name)).is_none() {
            return Err(Error::bad_request(match like {
                None => format!("`providers.{name}`: add `like = \"custom\"`, or whichever of ours it speaks like: {}", known()),
                Some(like) => format!("`providers.{name}.like`: {}", no_such(like)),
            }));
        }
    }
    let Generation { provider, preferred, fallback_providers, .. } = &config.generation;
    let named = (provider.iter().map(|name| ("OMNI_PROVIDER", name.as_str(), "")))
        .chain(
            preferred.providers.iter().map(|name| ("PREFERRED_PROVIDERS", name.as_str(), "; or write `cheapest` or `fastest`")),
        )
        .chain(fallback_providers.iter().map(|named| ("FALLBACK_PROVIDERS", split(named).0, "")));
    for (variable, name, hint) in named {
        if preset(name).is_none() && !config.providers.contains_key(name) {
            return Err(Error::bad_request(format!("{}{hint}", no_such(name))).at(variable));
        }
    }
    Ok(())
}

/// Every provider. What is wrong about one that the operator set up is an error.
pub(super) fn set_up(config: &Config, rules: &Arc<Rules>) -> Result<Providers> {
    let names = PRESETS.iter().map(|preset| preset.name).chain(config.providers.keys().map(String::as_str));
    let mut providers = Providers::new();
    for name in names {
        match Provider::set_up(name, config, rules) {
            Err(Unready { error, is_missing: false }) if config.providers.contains_key(name) => return Err(error),
            outcome => drop(providers.insert(name.to_owned(), outcome)),
        }
    }
    Ok(providers)
}

/// The operator's own prices, over the built-in ones.
pub(super) fn prices(config: &Config) -> Result<Prices> {
    Prices::open(config.prices.as_deref()).map_err(|error| error.at("OMNI_PRICES"))
}

/// All indexes, in the operator's order, each under a name of its own.
pub(super) fn open_indexes(config: &Config, providers: &Providers, embedder: Option<&Embedder>) -> Result<Vec<Opened>> {
    let mut indexes: Vec<Opened> = Vec::new();
    for named in config.index.iter().chain(&config.indexes) {
        let mut opened = Opened::open(&index_path(named)?)?;
        opened.remote = remote(named, &opened, config, providers)?;
        if let (None, Some(embedder)) = (&opened.remote, embedder) {
            opened.index.require_model(embedder.name(), embedder.fingerprint())?;
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
    Ok(indexes)
}

/// The provider's model that embedded an index, where it was not the packed one.
fn remote(named: &Path, opened: &Opened, config: &Config, providers: &Providers) -> Result<Option<Model>> {
    let manifest = opened.index.manifest();
    let Some(provider) = &manifest.provider else { return Ok(None) };
    let model = &manifest.model;
    let why = |cause: Error| Error::new(cause.code(), format!("{}: embedded by `{provider}/{model}`: {cause}", named.display()));
    let provider = provider_named(provider, config, providers).map_err(why)?;
    let model = Model::new(provider, model, manifest.dimensions, manifest.shortened);
    opened.index.require_model(model.name(), &model.fingerprint())?;
    Ok(Some(model))
}

/// The operator's own rules about what models accept.
pub(super) fn own_rules(path: &Path) -> Result<Rules> {
    let read = || {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
        Rules::new(Some(&text)).map_err(|error| error.retold(|text| format!("{}: {text}", path.display())))
    };
    read().map_err(|error| error.at("OMNI_CAPABILITIES"))
}

/// Whether those whom the operator names to answer can be asked: found out now, and not when somebody fails.
pub(super) fn check_named(config: &Config, providers: &Providers) -> Result<()> {
    let opened = |name: &str| provider_named(name, config, providers);
    if let Some(name) = &config.generation.provider {
        opened(name).map_err(|error| error.at("OMNI_PROVIDER"))?;
    }
    for name in config.generation.preferred.providers.iter().filter(|name| matches!(providers.get(*name), Some(Ok(_)))) {
        opened(name).map_err(|error| error.at("PREFERRED_PROVIDERS"))?;
    }
    for (name, model) in config.generation.fallback_providers.iter().map(|named| split(named)) {
        // No request can name its model: the setting has to.
        let named_here =
            |text: &str| text.replace("`model_name`: missing, and ", "").replace("name one", &format!("write `{name}/MODEL`"));
        let has_model = opened(name).and_then(|provider| provider.model(model).map(drop));
        has_model.map_err(|error| error.retold(named_here).at("FALLBACK_PROVIDERS"))?;
    }
    Ok(())
}

/// The provider of this name, ready to be asked: the same one where several ask, so that all know how it does.
fn provider_named(name: &str, config: &Config, providers: &Providers) -> Result<Provider> {
    let known = providers.get(name).ok_or_else(|| Error::bad_request(no_such(name)))?;
    known.clone().map_err(|unready| unready.error).and_then(|provider| allowed(config, provider))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::config::{Endpoint, Secret};

    #[test]
    fn an_unknown_provider_is_refused_at_start() {
        let mut config = Config::default();
        config.generation.provider = Some("opnai".into());
        let said = |config: Config| App::open(config).err().unwrap().message().to_owned();
        let unknown = said(config);
        assert!(
            unknown.starts_with("`OMNI_PROVIDER`: `opnai`: no such provider; there are `openai`, `anthropic`, "),
            "{unknown}"
        );
        let mut config = Config::default();
        config.generation.fallback_providers = vec!["custom/m".into(), "opnai/m".into()];
        assert!(said(config).starts_with("`FALLBACK_PROVIDERS`: `opnai`: no such provider; there are "));
        let mut config = Config::default();
        config.generation.preferred.providers = vec!["cheepest".into()];
        let unknown = said(config);
        assert!(unknown.starts_with("`PREFERRED_PROVIDERS`: `cheepest`: no such provider; there are "), "{unknown}");
        assert!(unknown.ends_with("; or write `cheapest` or `fastest`"), "{unknown}");
        let message = |endpoint: Endpoint| {
            let mut config = Config::default();
            config.providers.insert("mine".into(), endpoint);
            App::open(config).err().unwrap().message().to_owned()
        };
        assert!(
            message(Endpoint::default())
                .starts_with("`providers.mine`: add `like = \"custom\"`, or whichever of ours it speaks like: `openai`, ")
        );
        let typo = Endpoint { like: Some("opnai".into()), ..Endpoint::default() };
        assert!(message(typo).starts_with("`providers.mine.like`: `opnai`: no such provider; there are "));
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
            "`OMNI_PROVIDER`: `openai` needs a key; set `OPENAI_API_KEY`"
        );
        assert_eq!(
            message(|config| config.generation.fallback_providers = vec!["custom/m".into(), "groq/m".into()]).unwrap(),
            "`FALLBACK_PROVIDERS`: `groq` needs a key; set `GROQ_API_KEY`"
        );
        let blocked = "`custom` is at `h`, which `OMNI_ALLOWED_HOSTS` does not have; add it, or name another";
        let on_a_list: fn(&mut Config) = |config| {
            config.net.allowed_hosts = vec!["api.openai.com".into()];
            config.generation.provider = Some("custom".into());
        };
        assert_eq!(message(on_a_list).unwrap(), format!("`OMNI_PROVIDER`: {blocked}"));
        assert_eq!(
            message(|config| {
                config.net.allowed_hosts = vec!["H".into()];
                config.generation.provider = Some("custom".into());
            }),
            None
        );
        assert!(
            message(|config| config.generation.fallback_providers = vec!["custom".into()]).unwrap().starts_with(
                "`FALLBACK_PROVIDERS`: `custom` has no model by default; write `custom/MODEL`, or set `CUSTOM_MODEL`"
            )
        );
    }

    #[test]
    fn a_file_that_is_missing_or_wrong_is_told_with_its_setting() {
        let open = |config: Config| App::open(config).err().map(|error| error.message().to_owned()).unwrap_or_default();
        let nowhere = || Some("/nowhere".into());
        let said = open(Config { prices: nowhere(), ..Config::default() });
        assert_eq!(said, "`OMNI_PRICES`: /nowhere: No such file or directory (os error 2); check the path");
        let places = [("OMNI_PRICES", "`prices` in omni.toml".to_owned())].into();
        let said = open(Config { prices: nowhere(), places, ..Config::default() });
        assert!(said.starts_with("`prices` in omni.toml: /nowhere: "), "{said}");
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
