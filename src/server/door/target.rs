//! Who is meant by a model's name, and how whoever answered is named.
//!
//! `provider/model`, `provider` (its model by default), `rag/...` (from the index, with citations), `rag/extractive` (quotes; no
//! provider, no key). A bare name is a model of the operator's provider.

use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::provider::{PRESETS, no_such};
use crate::rag::{Answer, EXTRACTIVE};
use crate::server::field;

/// What stands in front of a model that answers from the index.
const RAG: &str = "rag";

/// Who is meant by a model's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Target {
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    pub(super) is_rag: bool,
}

impl Target {
    /// Reads a model's name.
    ///
    /// # Errors
    /// It names nobody, or is too long for a name.
    pub(super) fn read(app: &App, name: &str) -> Result<Self> {
        field::model(name)?;
        let (is_rag, rest) = match name.split_once('/') {
            Some((RAG, rest)) => (true, rest),
            _ if name == RAG => (true, ""),
            _ => (false, name),
        };
        if rest == EXTRACTIVE {
            return Ok(Self { provider: Some(EXTRACTIVE.into()), model: None, is_rag: true });
        }
        let is_known = |name: &str| is_provider(app, name);
        let target = |provider: Option<&str>, model: &str| Self {
            provider: provider.map(str::to_owned),
            model: (!model.is_empty()).then(|| model.to_owned()),
            is_rag,
        };
        match rest.split_once('/') {
            Some((provider, model)) if is_known(provider) => return Ok(target(Some(provider), model)),
            None if is_known(rest) => return Ok(target(Some(rest), "")),
            _ => {}
        }
        if app.config().generation.provider.is_none() && app.preferred().is_none() && (!rest.is_empty() || !is_rag) {
            let wrong = no_provider(rest).unwrap_or_else(|| {
                let shown: String = name.chars().take(100).collect();
                format!("`{shown}` names no provider; write `provider/model` or `rag/extractive`")
            });
            let message = format!("`model`: {wrong}; `GET /v1/models` lists what is ready");
            return Err(Error::new(Code::InvalidModel, message));
        }
        Ok(target(None, rest))
    }
}

/// Whether a provider is called so, ready or not.
pub(super) fn is_provider(app: &App, name: &str) -> bool {
    PRESETS.iter().any(|preset| preset.name == name) || app.config().providers.contains_key(name)
}

/// That nobody is called as what stands before a model's name, where anything does.
pub(super) fn no_provider(name: &str) -> Option<String> {
    let (provider, _) = name.split_once('/')?;
    Some(no_such(&provider.chars().take(100).collect::<String>()))
}

/// Who answers, as a model's name.
pub(super) fn named(provider: &str, model: &str) -> String {
    if provider == model { model.to_owned() } else { format!("{provider}/{model}") }
}

/// Who answered, as a model's name.
pub(super) fn model_of(answer: &Answer) -> String {
    named(&answer.provider, &answer.model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Endpoint};

    #[test]
    fn names_say_who_answers() {
        let mut config = Config::default();
        config.generation.provider = Some("custom".into());
        config.providers.insert("custom".into(), Endpoint { base_url: Some("http://h/v1".into()), ..Endpoint::default() });
        let app = App::open(config).unwrap();
        let read = |name: &str| {
            let target = Target::read(&app, name).unwrap();
            (target.provider.unwrap_or_default(), target.model.unwrap_or_default(), target.is_rag)
        };
        let is = |provider: &str, model: &str, is_rag| (provider.to_owned(), model.to_owned(), is_rag);
        assert_eq!(read("openai/gpt-5.4"), is("openai", "gpt-5.4", false));
        assert_eq!(read("rag/openai/gpt-5.4"), is("openai", "gpt-5.4", true));
        assert_eq!(read("rag/extractive"), is("extractive", "", true));
        assert_eq!(read("extractive"), is("extractive", "", true));
        assert_eq!(read("rag"), is("", "", true));
        assert_eq!(read("openai"), is("openai", "", false));
        assert_eq!(read("meta/llama-3"), is("", "meta/llama-3", false));
        assert_eq!(read("custom/meta/llama-3"), is("custom", "meta/llama-3", false));
        let bare = App::open(Config::default()).unwrap();
        let message = |name: &str| Target::read(&bare, name).unwrap_err().message().to_owned();
        let bare_name = message("gpt-5.4");
        assert!(bare_name.starts_with("`model`: `gpt-5.4` names no provider; write `provider/model`"), "{bare_name}");
        for (name, hint) in [
            ("vertex_ai/gemini-3-pro", "`vertexai` may be meant"),
            ("rag/azure/gpt-5.4", "a server that speaks OpenAI's dialect is `custom`"),
            ("ollama/llama3.2", "a server that speaks OpenAI's dialect is `custom`"),
        ] {
            let message = message(name);
            assert!(message.contains("`: no such provider; there are `openai`, `anthropic`, "), "{message}");
            assert!(message.ends_with(&format!("; {hint}; `GET /v1/models` lists what is ready")), "{message}");
        }
    }
}
