//! What the operator says: defaults < `omni.toml` < environment, which nobody else in the service reads (but `OMNI_KERNEL`, which
//! `cpu` reads).
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
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

pub use self::section::{
    Access, Aws, Endpoint, Generation, Lambda, Level, Limits, Log, LogFormat, Net, Preferred, PreferredBy, Retrieval, Secret,
};
pub use self::value::address;
use self::value::{
    CONTEXT_CHARS, COSINE, HEDGE_MS, MEBIBYTES, RETRIES, SECONDS, TEMPERATURE, TOKENS, TOP_K, UNIT, WARMEST_MB, header_name,
    host, proxy, secret, url, within,
};
pub use self::variables::{Variable, variables};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `serve` listens.
    #[serde(deserialize_with = "value::read_address")]
    pub addr: SocketAddr,
    /// Hosts of pages and proxies that may use a service that listens on the loopback, `*.` standing for any below, beside those of
    /// this machine.
    pub allowed_origins: Vec<String>,
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
    /// Where the file says what a variable could have said and does not, by the variable's name: `` `prices` in omni.toml ``.
    #[serde(skip)]
    pub places: BTreeMap<&'static str, String>,
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
    /// Threads that compute: the cores that the process may use, and on Lambda, which shows cores that it does not give, no more
    /// than the function's memory buys.
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
            Some(path) => Self::read(&path).map_err(|error| error.at(CONFIG_VARIABLE))?,
            None if Path::new(CONFIG_FILE).is_file() => Self::read(Path::new(CONFIG_FILE))?,
            None => Self::default(),
        };
        for row in variables() {
            let value = variable(row.name);
            if value.is_some() {
                config.places.remove(row.name);
            }
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
                endpoint.api_key = Some(secret(value.trim()).map_err(|why| Error::bad_request(format!("`{name}`: {why}")))?);
            }
        }
        let aws = &mut config.aws;
        aws.credentials_file =
            aws.credentials_file.take().or_else(|| Some(Path::new(&variable("HOME")?).join(".aws/credentials")));
        config.lambda.missing = LAMBDA_VARIABLES.into_iter().filter(|name| variable(name).is_none()).collect();
        Ok(config)
    }

    /// Whether the proxies that the environment names are such as can be used: one that cannot would be passed by in silence.
    ///
    /// # Errors
    /// Names the variable, and not what it holds, which may be a password.
    pub fn check_proxies() -> Result<()> {
        check_proxies(&|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
        let wrong = |cause: toml::de::Error| {
            let line = cause.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            let said = plainly(&cause.message().replace('\n', " "));
            Error::bad_request(format!("{}: {line}{said}", path.display()))
        };
        let mut table = DeTable::parse(&text).map_err(wrong)?;
        // What is empty is unset, as in the environment.
        unset(table.get_mut());
        let place = |row: &Variable| (row.name, format!("`{}` in {}", row.key, path.display()));
        let places = variables().filter(|row| row.is_alone() && is_set(table.get_ref(), row.key)).map(place).collect();
        let config = Self { places, ..Self::deserialize(toml::Deserializer::from(table)).map_err(wrong)? };
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
        for (key, hosts) in [("allowed_origins", &self.allowed_origins), ("net.allowed_hosts", &self.net.allowed_hosts)] {
            hosts.iter().try_for_each(|allowed| host(allowed)).map_err(|why| format!("`{key}`: {why}"))?;
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
            allowed_origins: Vec::new(),
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
            places: BTreeMap::new(),
        }
    }
}

/// As the client reads them: of each pair the first, and the last pair where one before it is not set.
fn check_proxies(variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    let set = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
    let (http, https) = (set(["HTTP_PROXY", "http_proxy"]), set(["HTTPS_PROXY", "https_proxy"]));
    let rest = if http.is_some() && https.is_some() { None } else { set(["ALL_PROXY", "all_proxy"]) };
    for (name, value) in [http, https, rest].into_iter().flatten() {
        proxy(&value).map_err(|why| {
            Error::bad_request(format!("`{name}`: {why}; write for example `{name}=http://proxy:3128`, or unset it"))
        })?;
    }
    Ok(())
}

/// Takes out what is empty; the rest keeps its places.
fn unset(table: &mut DeTable<'_>) {
    *table = std::mem::take(table)
        .into_iter()
        .filter(|(_, value)| value.get_ref().as_str().is_none_or(|text| !text.trim().is_empty()))
        .collect();
    for (_, value) in table.iter_mut() {
        if let DeValue::Table(below) = value.get_mut() {
            unset(below);
        }
    }
}

/// The same failure with keys of the file in the place of variables, where it was the file that said what is wrong.
pub fn located(places: &BTreeMap<&'static str, String>, error: Error) -> Error {
    let located = |text: String, (name, place): (&&str, &String)| text.replace(&format!("`{name}`"), place);
    error.retold(|text| places.iter().fold(text.to_owned(), located))
}

/// Whether the table has a value at a key such as `limits.top_k`.
fn is_set(table: &DeTable<'_>, key: &str) -> bool {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    match (table.get(first).map(toml::Spanned::get_ref), rest) {
        (Some(DeValue::Table(below)), Some(rest)) => is_set(below, rest),
        (value, rest) => value.is_some() && rest.is_none(),
    }
}

/// What was expected, in other words than Rust's.
fn plainly(said: &str) -> String {
    let Some((found, expected)) = said.rsplit_once(", expected ") else { return said.to_owned() };
    let expected = match expected {
        "u32" | "u64" | "usize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "a table",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// As many threads as cores, but no more than the memory of a Lambda function buys.
fn threads_of(cores: usize, memory_mb: Option<usize>) -> usize {
    memory_mb.map_or(cores, |memory_mb| cores.min(memory_mb.div_ceil(LAMBDA_CORE_MB)))
}

/// Whether Lambda started this process, whatever else is configured.
pub fn is_lambda() -> bool {
    runtime_api().is_some()
}

/// Where Lambda's Runtime API listens, whatever else is configured.
pub fn runtime_api() -> Option<String> {
    std::env::var(RUNTIME_VARIABLE).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The value of a key's variable: its own, or what the file holds that `NAME_FILE` names.
fn from_file(name: &str, own: Option<String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let Some(path) = variable(&format!("{name}_FILE")) else { return Ok(own) };
    if own.is_some() {
        return Err(Error::bad_request(format!("`{name}_FILE`: `{name}` is set, too; unset one of them")));
    }
    let path = Path::new(path.trim());
    let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause).at(&format!("{name}_FILE")))?;
    if text.trim().is_empty() {
        return Err(Error::bad_request(format!("`{name}_FILE`: {}: empty; write the key into it", path.display())));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
