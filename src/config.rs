//! What the operator says: defaults < `omni.toml` < environment. The only file that reads the environment.
//!
//! Each variable is one row of [`variables()`], so that the documentation can be tested against the code. An empty variable counts
//! as unset, because templates and container definitions like to pass empty ones. Keys come from the environment only.

mod section;
mod unknown;
mod value;
mod variables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

pub use self::section::{
    Access, Aws, Endpoint, Generation, Lambda, Level, Limits, Log, LogFormat, Net, Preferred, PreferredBy, Retrieval, Secret,
};
pub use self::value::address;
use self::value::{
    CONTEXT_CHARS, COSINE, HEDGE_MS, MEBIBYTES, RETRIES, SECONDS, TEMPERATURE, TOKENS, TOP_K, UNIT, WARMEST_MB, header_name,
    host, secret, url, within,
};
pub use self::variables::{Variable, variables};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `serve` listens.
    #[serde(deserialize_with = "value::read_address")]
    pub addr: SocketAddr,
    /// The index file, or a folder holding exactly one.
    pub index: Option<PathBuf>,
    /// Further index files, chosen by their names.
    pub indexes: Vec<PathBuf>,
    /// The folder of the embedding model.
    pub model: Option<PathBuf>,
    /// The folder of a cross-encoder; none reranks nothing.
    pub reranker: Option<PathBuf>,
    /// The operator's own prices, over the built-in ones.
    pub prices: Option<PathBuf>,
    /// The bucket meant when a request gives `s3_prefix` alone.
    pub s3_bucket: Option<String>,
    /// What is logged.
    pub log: Log,
    /// What a request may cost.
    pub limits: Limits,
    /// How passages are found.
    pub retrieval: Retrieval,
    /// Who may see labelled documents.
    pub access: Access,
    /// How answers are made.
    pub generation: Generation,
    /// Who may be asked, by provider name.
    pub providers: BTreeMap<String, Endpoint>,
    /// How Lambda calls us.
    pub lambda: Lambda,
    /// Where may be called.
    pub net: Net,
    /// A file of rules about what models accept, which follow ours.
    pub capabilities: Option<PathBuf>,
    /// Keys of AWS and where they come from; from the environment only.
    #[serde(skip)]
    pub aws: Aws,
    /// The key file of Google's service account.
    #[serde(skip)]
    pub google_key_file: Option<PathBuf>,
}

/// What stands before the name of a secret in the place of a key.
pub const SECRET_PREFIX: &str = "aws-secret:";

const CONFIG_FILE: &str = "omni.toml";
const CONFIG_VARIABLE: &str = "OMNI_CONFIG";
/// What Lambda sets wherever it runs anything.
const RUNTIME_VARIABLE: &str = "AWS_LAMBDA_RUNTIME_API";

/// What the Lambda runtime crate needs and would panic without.
const LAMBDA_VARIABLES: [&str; 3] =
    ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"];

/// Memory of a Lambda function that has one whole core, in MB.
const LAMBDA_CORE_MB: usize = 1769;

impl Config {
    /// Threads that compute: the cores that the process may use, and on Lambda, which shows cores that it does not give, no more than
    /// the function's memory buys.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        threads_of(cores, self.lambda.memory_mb)
    }

    /// Reads `file` (else `OMNI_CONFIG`, else `omni.toml` where it exists) and the process environment.
    ///
    /// # Errors
    /// The file is missing or says something unknown, or a value is out of range; the text names it and the remedy.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        Self::load_from(file, &|name| std::env::var(name).ok())
    }

    /// As [`Self::load`], with any environment.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_from(file: Option<&Path>, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let named = file.map(Path::to_path_buf).or_else(|| variable(CONFIG_VARIABLE).map(PathBuf::from));
        let mut config = match named {
            Some(path) if file.is_some() => Self::read(&path)?,
            Some(path) => Self::read(&path).map_err(|error| error.retold(|text| format!("`{CONFIG_VARIABLE}`: {text}")))?,
            None if Path::new(CONFIG_FILE).is_file() => Self::read(Path::new(CONFIG_FILE))?,
            None => Self::default(),
        };
        for row in variables() {
            let value = variable(row.name);
            let value = if row.is_key() { from_file(row.name, value, &variable)? } else { value };
            let Some(value) = value else { continue };
            row.apply(&mut config, value.trim()).map_err(|why| {
                Error::bad_request(format!(
                    "`{}`: {why}; write for example `{}={}`, or unset it",
                    row.name, row.name, row.example
                ))
            })?;
        }
        for endpoint in config.providers.values_mut() {
            let Some(name) = endpoint.key_variable.as_deref() else { continue };
            if let Some(value) = from_file(name, variable(name), &variable)? {
                endpoint.api_key = secret(value.trim()).map_err(|why| Error::bad_request(format!("`{name}`: {why}")))?;
            }
        }
        let aws = &mut config.aws;
        aws.credentials_file =
            aws.credentials_file.take().or_else(|| Some(Path::new(&variable("HOME")?).join(".aws/credentials")));
        config.lambda.missing = LAMBDA_VARIABLES.into_iter().filter(|name| variable(name).is_none()).collect();
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
        let wrong = |cause: toml::de::Error| {
            let line = cause.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            Error::bad_request(format!("{}: {line}{}", path.display(), cause.message().replace('\n', " ")))
        };
        let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
        // What is empty is unset, as in the environment.
        let config: Self =
            if unset(&mut table) { table.try_into().map_err(wrong)? } else { toml::from_str(&text).map_err(wrong)? };
        config.check().map_err(|why| Error::bad_request(format!("{}: {why}", path.display())))?;
        Ok(config)
    }

    /// Says the first value that is out of range.
    fn check(&self) -> Result<(), String> {
        let limits = &self.limits;
        for (key, value) in [
            ("limits.request_timeout_s", limits.request_timeout_s),
            ("limits.first_token_timeout_s", limits.first_token_timeout_s),
            ("limits.stream_idle_timeout_s", limits.stream_idle_timeout_s),
            ("limits.stream_timeout_s", limits.stream_timeout_s),
            ("limits.header_timeout_s", limits.header_timeout_s),
            ("limits.idle_timeout_s", limits.idle_timeout_s),
            ("limits.body_timeout_s", limits.body_timeout_s),
            ("limits.shutdown_timeout_s", limits.shutdown_timeout_s),
        ] {
            within(key, value, &SECONDS)?;
        }
        within("lambda.warm_mb", self.lambda.warm_mb.unwrap_or(0), &(0..=WARMEST_MB))?;
        within("limits.max_request_size_mb", limits.max_request_size_mb, &MEBIBYTES)?;
        within("limits.max_connections", limits.max_connections, &(1..=1_000_000))?;
        within("limits.concurrent_searches", limits.concurrent_searches, &(0..=1024))?;
        within("retrieval.top_k", self.retrieval.top_k, &TOP_K)?;
        within("retrieval.alpha", self.retrieval.alpha.unwrap_or(0.0), &UNIT)?;
        within("retrieval.rerank_depth", self.retrieval.rerank_depth, &TOP_K)?;
        within("retrieval.rerank_weight", self.retrieval.rerank_weight, &UNIT)?;
        within("retrieval.score_threshold", self.retrieval.score_threshold.unwrap_or(0.0), &COSINE)?;
        within("generation.max_tokens", self.generation.max_tokens.unwrap_or(1), &TOKENS)?;
        within("generation.temperature", self.generation.temperature.unwrap_or(0.0), &TEMPERATURE)?;
        within("generation.context_chars", self.generation.context_chars, &CONTEXT_CHARS)?;
        within("generation.retries", self.generation.retries, &RETRIES)?;
        within("generation.hedge_after_ms", self.generation.hedge_after_ms.unwrap_or(1), &HEDGE_MS)?;
        for allowed in &self.net.allowed_hosts {
            host(allowed).map_err(|why| format!("`net.allowed_hosts`: {why}"))?;
        }
        if let Some(header) = &self.access.header {
            header_name(header).map_err(|why| format!("`access.header`: {why}"))?;
        }
        for (name, endpoint) in &self.providers {
            if let Some(base_url) = &endpoint.base_url {
                url(base_url).map_err(|why| format!("`providers.{name}.base_url`: {why}"))?;
            }
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            index: None,
            indexes: Vec::new(),
            model: None,
            reranker: None,
            prices: None,
            s3_bucket: None,
            log: Log::default(),
            limits: Limits::default(),
            retrieval: Retrieval::default(),
            access: Access::default(),
            generation: Generation::default(),
            providers: BTreeMap::new(),
            lambda: Lambda::default(),
            net: Net::default(),
            capabilities: None,
            aws: Aws::default(),
            google_key_file: None,
        }
    }
}

/// Takes out what is empty, and says whether anything was.
fn unset(table: &mut toml::Table) -> bool {
    let before = table.len();
    table.retain(|_, value| value.as_str().is_none_or(|text| !text.trim().is_empty()));
    let below = table.iter_mut().filter_map(|(_, value)| value.as_table_mut()).fold(false, |any, table| unset(table) | any);
    before != table.len() || below
}

/// As many threads as cores, but no more than the memory of a Lambda function buys.
fn threads_of(cores: usize, memory_mb: Option<usize>) -> usize {
    memory_mb.map_or(cores, |memory_mb| cores.min(memory_mb.div_ceil(LAMBDA_CORE_MB)))
}

/// Whether Lambda started this process, whatever else is configured.
pub fn is_lambda() -> bool {
    std::env::var(RUNTIME_VARIABLE).is_ok_and(|value| !value.trim().is_empty())
}

/// The value of a key's variable: its own, or what the file holds that `NAME_FILE` names.
fn from_file(name: &str, own: Option<String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let Some(path) = variable(&format!("{name}_FILE")) else { return Ok(own) };
    if own.is_some() {
        return Err(Error::bad_request(format!("`{name}_FILE`: `{name}` is set, too; unset one of them")));
    }
    let path = Path::new(path.trim());
    let text = std::fs::read_to_string(path)
        .map_err(|cause| Error::bad_request(format!("`{name}_FILE`: {}: {cause}", path.display())))?;
    if text.trim().is_empty() {
        return Err(Error::bad_request(format!("`{name}_FILE`: {}: empty; write the key into it", path.display())));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("omni.toml");
        std::fs::write(&path, file.unwrap_or_default()).unwrap();
        Config::load_from(Some(&path), &|name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
        .map_err(|error| Error::bad_request(error.message().replace(&*path.to_string_lossy(), "omni.toml")))
    }

    #[test]
    fn environment_overrides_file_overrides_default() {
        let file = "[limits]\nrequest_timeout_s = 5\nbody_timeout_s = 7\n";
        let config = load(Some(file), &[("REQUEST_TIMEOUT", "9"), ("MAX_TOKENS_DEFAULT", ""), ("LOG_LEVEL", "WARN")]).unwrap();
        assert_eq!(config.limits.request_timeout_s, 9);
        assert_eq!(config.limits.body_timeout_s, 7);
        assert_eq!(config.generation.max_tokens, None);
        assert_eq!(config.log.level, Level::Warn);
    }

    #[test]
    fn threads_are_the_cores_that_there_are_or_that_memory_buys() {
        for (cores, memory_mb, threads) in [
            (1, None, 1),
            (16, None, 16),
            // Lambda shows two cores to the smallest function, and six to the largest.
            (2, Some(128), 1),
            (2, Some(1769), 1),
            (2, Some(1770), 2),
            (6, Some(3538), 2),
            (6, Some(3539), 3),
            (6, Some(10_240), 6),
            (1, Some(10_240), 1),
        ] {
            assert_eq!(threads_of(cores, memory_mb), threads, "{cores} cores, {memory_mb:?} MB");
        }
        let config = load(None, &[("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")]).unwrap();
        assert_eq!((config.lambda.memory_mb, config.threads()), (Some(512), 1));
    }

    #[test]
    fn indexes_are_read_ahead_where_nobody_waits() {
        let mebibytes = |environment: &[(&str, &str)]| load(None, environment).unwrap().lambda.warm_bytes() >> 20;
        assert_eq!(mebibytes(&[]), 0);
        assert_eq!(mebibytes(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")]), 0);
        assert_eq!(mebibytes(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")]), 256);
        assert_eq!(mebibytes(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"), ("OMNI_LAMBDA_WARM_MB", "0")]), 0);
        assert_eq!(mebibytes(&[("OMNI_LAMBDA_WARM_MB", "64")]), 64);
    }

    #[test]
    fn a_file_is_read_as_variables_are() {
        let file = "index = \"\"\n[log]\nlevel = \"WARNING\"\nformat = \"JSON\"\n[providers.custom]\nmodel = \" \"\n[generation.preferred]\nby = \"cheapest\"";
        let config = load(Some(file), &[]).unwrap();
        assert_eq!((config.index, config.log), (None, Log { level: Level::Warn, format: LogFormat::Json }));
        assert_eq!((config.providers["custom"].model.as_ref(), config.generation.preferred.by), (None, PreferredBy::Cheapest));
    }

    #[test]
    fn a_file_that_a_variable_names_is_told_with_it() {
        let error = Config::load_from(None, &|name| (name == "OMNI_CONFIG").then(|| "/nowhere".into())).unwrap_err();
        assert!(error.message().starts_with("`OMNI_CONFIG`: /nowhere: No such file"), "{error}");
    }

    #[test]
    fn every_example_does_what_its_key_in_the_file_does() {
        for row in variables() {
            let config = load(None, &[(row.name, row.example)]).unwrap_or_else(|why| panic!("{}: {why}", row.name));
            let (table, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
            let names: Vec<String> = row.example.split(',').map(|name| format!("\"{name}\"")).collect();
            let value = match row.name {
                CONFIG_VARIABLE => continue,
                "SSL_CERT_FILE" | "SSL_CERT_DIR" | "AWS_LWA_INVOKE_MODE" => "true".to_owned(),
                "PREFERRED_PROVIDERS" => "{ by = \"cheapest\", providers = [\"openai\", \"custom\"] }".to_owned(),
                // One variable for several rows.
                "AWS_REGION" | "AWS_DEFAULT_REGION" | "GOOGLE_CLOUD_PROJECT" | "GOOGLE_CLOUD_LOCATION" => String::new(),
                "OMNI_INDEXES" | "FALLBACK_PROVIDERS" | "OMNI_ALLOWED_HOSTS" | "OMNI_ACCESS_LABELS" => {
                    format!("[{}]", names.join(","))
                }
                _ if row.example == "true" || row.example == "false" || row.example.parse::<f64>().is_ok() => {
                    row.example.to_owned()
                }
                _ => format!("\"{}\"", row.example),
            };
            if table.is_empty() && key.is_empty() || value.is_empty() {
                assert_ne!(config, load(None, &[]).unwrap(), "{}", row.name);
                continue;
            }
            let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
            assert_eq!(config, load(Some(&format!("{head}{key} = {value}\n")), &[]).unwrap(), "{}", row.name);
        }
    }

    #[test]
    fn every_key_of_a_variable_is_a_key_of_the_file() {
        for row in variables().filter(|row| !row.key.is_empty()) {
            let (table, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
            let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
            let message = load(Some(&format!("{head}{key} = [[]]\n")), &[]).unwrap_err().message().to_owned();
            assert!(!message.contains("unknown field"), "{}: {message}", row.name);
        }
    }

    #[test]
    fn every_variable_is_documented() {
        let page = include_str!("../docs/configuration.md");
        for row in variables() {
            let line = page.lines().find(|line| line.starts_with(&format!("| `{}` |", row.name)));
            let line = line.unwrap_or_else(|| panic!("docs/configuration.md has no row for `{}`", row.name));
            assert!(
                row.key.is_empty() || line.contains(&format!("`{}`", row.key)),
                "{}: the row should name `{}`",
                row.name,
                row.key
            );
        }
    }

    #[test]
    fn mistakes_are_named_with_their_remedy() {
        let texts = [
            (load(Some("indx = \"kb.omni\""), &[]), "omni.toml: line 1: unknown field `indx`, expected one of `addr`, `index`"),
            (load(Some("[limits]\n\nrequest_timeout = 3"), &[]), "omni.toml: line 3: unknown field `request_timeout`"),
            (load(Some("[lambda]\nwarm_mb = 40000"), &[]), "omni.toml: `lambda.warm_mb`: 40000 is not between 0 and 32768"),
            (
                load(Some("[log]\nlevel = \"loud\""), &[]),
                "omni.toml: line 2: `loud` is none of `trace`, `debug`, `info`, `warn`, `error`",
            ),
            (load(Some("index = \"\"\n[log]\nlevl = \"info\""), &[]), "omni.toml: unknown field `levl`"),
            (
                load(Some("[generation.preferred]\nby = \"listed\""), &[]),
                "omni.toml: line 1: a list names nobody; write `providers = [...]`, or prefer by `cheapest` or `fastest`",
            ),
            (load(Some("[retrieval]\ntop_k = 0"), &[]), "omni.toml: `retrieval.top_k`: 0 is not between 1 and 100"),
            (
                load(None, &[("REQUEST_TIMEOUT", "1h")]),
                "`REQUEST_TIMEOUT`: `1h` is not a number between 1 and 900; write for example `REQUEST_TIMEOUT=60`, or unset it",
            ),
            (
                load(None, &[("LOG_LEVEL", "loud")]),
                "`LOG_LEVEL`: `loud` is none of `trace`, `debug`, `info`, `warn`, `error`; write",
            ),
            (
                load(None, &[("OMNI_ALLOWED_HOSTS", "groq.com,https://api.openai.com/v1")]),
                "`OMNI_ALLOWED_HOSTS`: `https://api.openai.com/v1` is not a host alone; its host is `api.openai.com`; write for example",
            ),
            (
                load(Some("[net]\nallowed_hosts = [\"*.openai.com\", \"[::1]\", \"api.openai.com:443\"]"), &[]),
                "omni.toml: `net.allowed_hosts`: `api.openai.com:443` is not a host alone; its host is `api.openai.com`",
            ),
            (load(None, &[("CUSTOM_BASE_URL", "ftp://x")]), "`CUSTOM_BASE_URL`: `ftp` is not an `http` or `https` URL; write"),
            (
                load(None, &[("CUSTOM_BASE_URL", "https://x.example/v1?api-version=1")]),
                "`CUSTOM_BASE_URL`: the URL has a `?` or a `#`, and nothing behind these would be sent; end it with the path; write",
            ),
            (
                load(None, &[("TEMPERATURE_DEFAULT", "NaN")]),
                "`TEMPERATURE_DEFAULT`: `NaN` is not a number between 0 and 2; write",
            ),
        ];
        for (outcome, expected) in texts {
            let message = outcome.unwrap_err().message().to_owned();
            assert!(message.starts_with(expected), "{message}\n{expected}");
        }
    }

    #[test]
    fn keys_come_from_files_and_references_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-file\n").unwrap();
        let named = path.to_string_lossy().into_owned();
        let config = load(
            Some("[providers.mine]\nlike = \"custom\"\nkey_variable = \"MY_KEY\""),
            &[("OPENAI_API_KEY_FILE", &named), ("MY_KEY_FILE", &named), ("GROQ_API_KEY", "aws-secret:prod/groq#key")],
        )
        .unwrap();
        let key = |name: &str| config.providers[name].api_key.as_ref().unwrap().expose().to_owned();
        assert_eq!(
            (key("openai"), key("mine"), key("groq")),
            ("sk-file".into(), "sk-file".into(), "aws-secret:prod/groq#key".into())
        );
        let message = |environment: &[(&str, &str)]| load(None, environment).unwrap_err().message().replace(&named, "KEY");
        assert_eq!(
            message(&[("OPENAI_API_KEY_FILE", &named), ("OPENAI_API_KEY", "sk-x")]),
            "`OPENAI_API_KEY_FILE`: `OPENAI_API_KEY` is set, too; unset one of them"
        );
        assert!(message(&[("OPENAI_API_KEY_FILE", "/nowhere")]).starts_with("`OPENAI_API_KEY_FILE`: /nowhere: No such file"));
        for bad in ["aws-secret:", "aws-secret:#key", "aws-secret:name#"] {
            let expected = "`OPENAI_API_KEY`: `aws-secret:NAME` or `aws-secret:NAME#FIELD` names a secret; write for example";
            assert!(message(&[("OPENAI_API_KEY", bad)]).starts_with(expected), "{bad}");
        }
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(message(&[("OPENAI_API_KEY_FILE", &named)]), "`OPENAI_API_KEY_FILE`: KEY: empty; write the key into it");
        // Only keys are read from files.
        assert_eq!(load(None, &[("OPENAI_MODEL_FILE", &named)]).unwrap().providers.get("openai"), None);
    }

    #[test]
    fn keys_are_never_shown() {
        let config = load(None, &[("OPENAI_API_KEY", "sk-hidden")]).unwrap();
        assert_eq!(config.providers["openai"].api_key.as_ref().unwrap().expose(), "sk-hidden");
        assert!(!format!("{config:?}").contains("hidden"));
        let message = load(None, &[("OPENAI_API_KEY", "sk hidden")]).unwrap_err().message().to_owned();
        assert!(!message.contains("hidden"), "{message}");
        assert!(load(Some("[providers.openai]\napi_key = \"sk-hidden\""), &[]).is_err());
    }
}
