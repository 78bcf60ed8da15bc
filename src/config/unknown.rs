//! Variables that begin as ours do and are none of ours: whoever misspells one is told, as whoever misspells a key of the file is.

use strsim::levenshtein;

use super::{Config, variables};

/// How the names of our own variables begin.
const PREFIX: &str = "OMNI_";

/// What is read elsewhere: by the kernels, by tests, by measurements and by the scripts around them.
const ELSEWHERE: [&str; 10] = [
    "OMNI_BLESS",
    "OMNI_EXAMPLES",
    "OMNI_GOLDEN",
    "OMNI_KERNEL",
    "OMNI_LLM",
    "OMNI_QUESTION",
    "OMNI_RECORDINGS",
    "OMNI_REFERENCE_TEXTS",
    "OMNI_SHARED",
    "OMNI_TOOLS",
];
const BENCHES: &str = "OMNI_BENCH_";

impl Config {
    /// What there is to say of each variable that is set, begins as ours do and is not read. Its value is never shown.
    pub fn unknown_variables(&self) -> Vec<String> {
        let is_set = |value: &std::ffi::OsString| value.to_str().is_none_or(|value| !value.trim().is_empty());
        let set = std::env::vars_os().filter(|(_, value)| is_set(value)).filter_map(|(name, _)| name.into_string().ok());
        self.unknown_among(&set.collect::<Vec<_>>())
    }

    fn unknown_among(&self, set: &[String]) -> Vec<String> {
        let is_own_key = |name: &str| {
            let keys = self.providers.values().filter_map(|endpoint| endpoint.key_variable.as_deref());
            keys.into_iter().any(|key| name.strip_suffix("_FILE").unwrap_or(name) == key || name == key)
        };
        // Kubernetes and Docker tell where a service called `omni...` is by variables of its name.
        let services: Vec<&str> = set.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
        let is_place = |name: &str| {
            let rests = services.iter().filter_map(|service| name.strip_prefix(service));
            rests.into_iter().any(|rest| rest.starts_with("_SERVICE_") || rest.starts_with("_PORT"))
        };
        let is_read = |name: &str| {
            variables().any(|row| row.name == name) || ELSEWHERE.contains(&name) || name.starts_with(BENCHES) || is_own_key(name)
        };
        let mut unknown: Vec<&String> = set.iter().filter(|name| name.starts_with(PREFIX)).collect();
        unknown.retain(|name| !is_read(name) && !is_place(name));
        unknown.sort_unstable();
        let said = |name: &String| {
            let hint = nearest(name).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("`{name}`: no such variable, so nobody reads it{hint}")
        };
        unknown.into_iter().map(said).collect()
    }
}

/// The variable that is meant, as far as that can be guessed. Not all of ours have the prefix, which is no reason not to find them.
fn nearest(name: &str) -> Option<&'static str> {
    fn bare(name: &str) -> &str {
        name.strip_prefix(PREFIX).unwrap_or(name)
    }
    let wanted = bare(name);
    let near = variables().map(|row| (levenshtein(wanted, bare(row.name)), row.name)).min_by_key(|&(edits, _)| edits);
    near.filter(|&(edits, _)| edits <= wanted.len() / 4 + 1).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;

    #[test]
    fn what_nobody_reads_is_told_with_what_may_be_meant() {
        let mut config = Config::default();
        let own = Endpoint { key_variable: Some("OMNI_OWN_KEY".into()), ..Endpoint::default() };
        config.providers.insert("own".into(), own);
        let said = |names: &[&str]| config.unknown_among(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let read = ["OMNI_INDEX", "OMNI_KERNEL", "OMNI_BENCH_CHUNKS", "OMNI_OWN_KEY", "OMNI_OWN_KEY_FILE", "PATH"];
        assert_eq!(said(&read), [""; 0]);
        for (name, near) in [
            ("OMNI_ALLOWED_HOST", "OMNI_ALLOWED_HOSTS"),
            ("OMNI_ACCESS_HEADERS", "OMNI_ACCESS_HEADER"),
            ("OMNI_ACESS_LABEL", "OMNI_ACCESS_LABELS"),
            ("OMNI_REQUEST_TIMEOUT", "REQUEST_TIMEOUT"),
            ("OMNI_OPENAI_API_KEY", "OPENAI_API_KEY"),
        ] {
            assert_eq!(said(&[name]), [format!("`{name}`: no such variable, so nobody reads it; did you mean `{near}`?")]);
        }
        assert_eq!(said(&["OMNI_PORT"]), ["`OMNI_PORT`: no such variable, so nobody reads it"]);
        assert_eq!(said(&["OMNI_SERVICE_HOST", "OMNI_SERVICE_PORT", "OMNI_PORT", "OMNI_PORT_80_TCP"]), [""; 0]);
    }
}
