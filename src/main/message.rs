//! A failure, as whoever runs a command reads it.

use omni_llm::error::{Code, Error};
use omni_llm::provider::preset;

/// The message with the names of options in the place of fields, and with what caused it, which callers over HTTP are not told.
pub(crate) fn message(error: &Error) -> String {
    let names = [
        ("`model_provider`", "`--provider`"),
        ("`model_name`", "`--model-name`"),
        ("`prompt`", "`QUESTION`"),
        (" where the service runs", ""),
        ("`rag_config`: no index is loaded; start the service with `--index`, or set `enabled` to false", NO_INDEX),
        ("nobody can answer: no provider is asked and retrieval is off; name a `--provider`, or load an index", NO_INDEX),
    ];
    let mut text = names.into_iter().fold(error.message().to_owned(), |text, (field, option)| text.replace(field, option));
    if let Some(cause) = innermost(error).filter(|cause| !text.contains(cause)) {
        text += &format!(": {cause}");
    }
    let is_unreachable = error.code() == Code::ProviderError && !error.may_have_reached();
    if let Some(setting) = error.provider().filter(|_| is_unreachable).and_then(address_setting) {
        text += &format!("; is `{setting}` right?");
    }
    text
}

/// What a command needs that has neither an index nor a provider.
const NO_INDEX: &str = "no index is here; name one with `--index`, or make one: `index-builder build FOLDER --out knowledge.omni`; `ask` can do without, with a `--provider`";

/// The cause that no other has: what stands above it says less.
fn innermost(error: &Error) -> Option<String> {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| (*cause).source());
    causes.last().map(ToString::to_string)
}

/// Where the operator says the address of a provider, if it has none of its own.
fn address_setting(provider: &str) -> Option<String> {
    match preset(provider) {
        Some(preset) => preset.base_url.is_empty().then(|| preset.variable("base_url")),
        None => Some(format!("providers.{provider}.base_url")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_options_and_its_cause() {
        let missing = Error::bad_request("`model_provider`: `openai` needs a key; set `OPENAI_API_KEY` where the service runs");
        assert_eq!(message(&missing), "`--provider`: `openai` needs a key; set `OPENAI_API_KEY`");
        let refused = || Error::new(Code::ProviderError, "it cannot be reached").caused_by(std::io::Error::other("refused"));
        let unreachable = |provider: &str| message(&refused().before_dispatch().from_provider(provider, "m"));
        assert_eq!(unreachable("custom"), "it cannot be reached: refused; is `CUSTOM_BASE_URL` right?");
        assert_eq!(unreachable("mine"), "it cannot be reached: refused; is `providers.mine.base_url` right?");
        assert_eq!(unreachable("openai"), "it cannot be reached: refused");
        assert_eq!(message(&refused().from_provider("custom", "m")), "it cannot be reached: refused");
    }
}
