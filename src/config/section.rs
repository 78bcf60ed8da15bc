//! The sections of the configuration: what can be said in each, and what holds where nothing is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::value::{format, level};

/// Where may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Net {
    /// Hosts that may be called, `*.` standing for any below; none allows all that providers name.
    pub allowed_hosts: Vec<String>,
    /// Whether the system's certificates alone are trusted, not Mozilla's before them.
    pub system_certificates: bool,
}

/// Keys of AWS, as AWS names them in the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aws {
    /// Where Bedrock is asked, where its row does not say.
    pub region: Option<String>,
    /// The public half.
    pub access_key_id: Option<Secret>,
    /// The secret half.
    pub secret_access_key: Option<Secret>,
    /// Temporary keys come with it.
    pub session_token: Option<Secret>,
    /// Whose keys are taken out of the file of keys.
    pub profile: Option<String>,
    /// The file of keys that AWS's own tools keep.
    pub credentials_file: Option<PathBuf>,
    /// A token that somebody else vouches for, to be changed for the keys of a role.
    pub web_identity_token_file: Option<PathBuf>,
    /// The role.
    pub role_arn: Option<String>,
    /// Where the token is changed, where not at AWS's own address.
    pub sts_url: Option<String>,
    /// Where a container gets its keys, below AWS's own address.
    pub container_relative_uri: Option<String>,
    /// Where a container gets its keys.
    pub container_full_uri: Option<String>,
    /// What it says there.
    pub container_token: Option<Secret>,
    /// A file of what it says there.
    pub container_token_file: Option<PathBuf>,
    /// Where Secrets Manager is, where not at its own address.
    pub secrets_url: Option<String>,
    /// The port of the Lambda extension for secrets, where it runs.
    pub secrets_extension_port: Option<u16>,
}

/// What is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least level that is written.
    pub level: Level,
    /// The shape of a line.
    pub format: LogFormat,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        level(&text)
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        format(&text)
    }
}

/// What a request may cost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body, in MiB.
    pub max_request_size_mb: u64,
    /// Seconds for a whole buffered answer, or until a streamed one begins.
    pub request_timeout_s: u64,
    /// Seconds until a streamed answer must begin.
    pub first_token_timeout_s: u64,
    /// Seconds that a streamed answer may be silent.
    pub stream_idle_timeout_s: u64,
    /// Seconds that a streamed answer may take.
    pub stream_timeout_s: u64,
    /// Seconds for a client to send its headers.
    pub header_timeout_s: u64,
    /// Seconds that a connection may wait for its next request.
    pub idle_timeout_s: u64,
    /// Seconds for a client to send its body.
    pub body_timeout_s: u64,
    /// Seconds that open requests get when the service is told to stop.
    pub shutdown_timeout_s: u64,
    /// Connections held at once; more wait.
    pub max_connections: usize,
    /// Searches computed at once; more wait. 0 is one a core.
    pub concurrent_searches: usize,
}

/// How passages are found, where the request does not say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retrieval {
    /// Passages for one question.
    pub top_k: usize,
    /// Weight of the vectors against the words, 0 to 1; none is what the index was tuned to, else 0.55.
    pub alpha: Option<f32>,
    /// Leaves out passages whose cosine is lower.
    pub score_threshold: Option<f32>,
    /// Passages that the reranker reads for one question, where there is one.
    pub rerank_depth: usize,
    /// Weight of the reranker against the order before it, 0 to 1.
    pub rerank_weight: f32,
}

/// Who may see labelled documents. What is not labelled is for everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Labels that every caller has.
    pub labels: Vec<String>,
    /// The header, set by what stands in front of the service, that holds the labels of a caller.
    pub header: Option<String>,
    /// Whether the body of a request may claim labels. Only where every client may be trusted.
    pub trust_request: bool,
}

/// How answers are made, where the request does not say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generation {
    /// Who answers; none is whoever is preferred, else the extractive answer.
    pub provider: Option<String>,
    /// Who answers when a provider fails, in this order: `provider` or `provider/model`.
    pub fallback_providers: Vec<String>,
    /// Who is preferred where neither the request nor `provider` names anybody.
    pub preferred: Preferred,
    /// Upper bound of an answer where the request gives none, in the model's tokens, what it takes to reason on top; none is 4096
    /// for questions of our own API, and no bound behind the front doors.
    pub max_tokens: Option<u32>,
    /// 0 to 2; none leaves it to the provider, because some models refuse it.
    pub temperature: Option<f64>,
    /// Whether the extractive answer stands in for a provider that fails.
    pub fallback_extractive: bool,
    /// Characters of retrieved text in one prompt.
    pub context_chars: usize,
    /// Further attempts when a provider is busy or cannot be reached.
    pub retries: u32,
    /// Milliseconds after which a request that has no answer yet is sent a second time; none is never.
    pub hedge_after_ms: Option<u64>,
}

/// Who is preferred, among providers that have a key and a model by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PreferredTable")]
pub struct Preferred {
    /// By what.
    pub by: PreferredBy,
    /// Among whom, in order; none are all.
    pub providers: Vec<String>,
}

/// As a file has it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PreferredTable {
    by: PreferredBy,
    providers: Vec<String>,
}

impl TryFrom<PreferredTable> for Preferred {
    type Error = &'static str;

    fn try_from(PreferredTable { by, providers }: PreferredTable) -> Result<Self, &'static str> {
        if by == PreferredBy::Listed && providers.is_empty() {
            return Err("a list names nobody; write `providers = [...]`, or prefer by `cheapest` or `fastest`");
        }
        Ok(Self { by, providers })
    }
}

/// By what a provider is preferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreferredBy {
    /// The order of the list.
    #[default]
    Listed,
    /// The lowest price of 1,000 tokens asked and 500 answered.
    Cheapest,
    /// The shortest time to an answer, as measured since the start.
    Fastest,
}

/// One provider as the operator has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoint {
    /// Where it is, as in `https://api.openai.com/v1`.
    pub base_url: Option<String>,
    /// The model asked when the request names none.
    pub model: Option<String>,
    /// Other models of its that `GET /v1/models` is to list.
    pub models: Vec<String>,
    /// Models that another of its stands in for, as in `"gpt-4" = "gpt-5.4"`.
    pub aliases: BTreeMap<String, String>,
    /// The provider of ours that it is like; needed where its name is none of ours.
    pub like: Option<String>,
    /// How it wants its key: `bearer`, `none`, or the name of a header.
    pub auth: Option<String>,
    /// The variable that holds its key, where it is none of ours.
    pub key_variable: Option<String>,
    /// AWS's region, for Bedrock.
    pub region: Option<String>,
    /// Google's project, for Vertex AI.
    pub project: Option<String>,
    /// Google's location, for Vertex AI.
    pub location: Option<String>,
    /// Headers that every request has. No keys: these can be logged.
    pub headers: BTreeMap<String, String>,
    /// Its key; from the environment only.
    #[serde(skip)]
    pub api_key: Option<Secret>,
}

/// How Lambda calls us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lambda {
    /// Whether the function is invoked with response streaming. An event does not tell, so the operator must.
    pub stream: bool,
    /// Megabytes of the indexes that are read before the first event is asked for; left out, [`Self::warm_bytes`] decides.
    pub warm_mb: Option<u64>,
    /// Whether somebody waits while the function starts: `on-demand` says so, all other ways of starting do not; set by Lambda.
    #[serde(skip)]
    pub initialization: Option<String>,
    /// Where the Runtime API is; set by Lambda.
    #[serde(skip)]
    pub runtime_api: Option<String>,
    /// Memory of the function in MB; set by Lambda.
    #[serde(skip)]
    pub memory_mb: Option<usize>,
    /// Variables that Lambda sets and that are missing.
    #[serde(skip)]
    pub missing: Vec<&'static str>,
}

impl Lambda {
    /// Bytes of the indexes that are read before the first event is asked for: what the operator said; else nothing where somebody
    /// waits for the start, and 256 MiB where nobody does.
    pub fn warm_bytes(&self) -> u64 {
        let waits = self.initialization.as_deref().is_none_or(|kind| kind == "on-demand");
        self.warm_mb.unwrap_or(if waits { 0 } else { WARM_MB }).saturating_mul(1 << 20)
    }
}

/// Megabytes of the indexes that are read where nobody waits for the start.
const WARM_MB: u64 = 256;

/// A key. Shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself, for the header it goes into.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_size_mb: 6,
            request_timeout_s: 60,
            first_token_timeout_s: 60,
            stream_idle_timeout_s: 30,
            stream_timeout_s: 600,
            header_timeout_s: 10,
            idle_timeout_s: 75,
            body_timeout_s: 30,
            shutdown_timeout_s: 25,
            max_connections: 1024,
            concurrent_searches: 0,
        }
    }
}

impl Default for Retrieval {
    fn default() -> Self {
        Self { top_k: 5, alpha: None, score_threshold: None, rerank_depth: 20, rerank_weight: 0.7 }
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            provider: None,
            fallback_providers: Vec::new(),
            preferred: Preferred::default(),
            max_tokens: None,
            temperature: None,
            fallback_extractive: false,
            context_chars: 24_000,
            retries: 2,
            hedge_after_ms: None,
        }
    }
}
