//! What the operator says: defaults < `omni.toml` < environment. The only file that reads the environment.
//!
//! Each variable is one row of [`VARIABLES`], so that the documentation can be tested against the code. An empty variable counts
//! as unset, because templates and container definitions like to pass empty ones. Keys come from the environment only.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `serve` listens.
    pub addr: SocketAddr,
    /// The index file, or a folder holding exactly one.
    pub index: Option<PathBuf>,
    /// Further index files, chosen by their names.
    pub indexes: Vec<PathBuf>,
    /// The folder of the embedding model.
    pub model: Option<PathBuf>,
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

/// Where may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Net {
    /// Hosts that may be called, `*.` standing for any below; none allows all that providers name.
    pub allowed_hosts: Vec<String>,
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
    /// Where a container gets its keys, below AWS's own address.
    pub container_relative_uri: Option<String>,
    /// Where a container gets its keys.
    pub container_full_uri: Option<String>,
    /// What it says there.
    pub container_token: Option<Secret>,
    /// A file of what it says there.
    pub container_token_file: Option<PathBuf>,
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
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
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
    /// Weight of the vectors against the words, 0 to 1; none is what the index was tuned to, else 0.5.
    pub alpha: Option<f32>,
    /// Leaves out passages whose cosine is lower.
    pub score_threshold: Option<f32>,
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
    /// Upper bound of an answer, in the model's tokens.
    pub max_tokens: u32,
    /// 0 to 2; none leaves it to the provider, because some models refuse it.
    pub temperature: Option<f64>,
    /// Whether the extractive answer stands in for a provider that fails.
    pub fallback_extractive: bool,
    /// Characters of retrieved text in one prompt.
    pub context_chars: usize,
    /// Further attempts when a provider is busy or cannot be reached.
    pub retries: u32,
}

/// Who is preferred, among providers that have a key and a model by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preferred {
    /// By what.
    pub by: PreferredBy,
    /// Among whom, in order; none are all.
    pub providers: Vec<String>,
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

/// One environment variable.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key of `omni.toml` that it overrides; empty where there is none.
    pub key: &'static str,
    /// A value that works.
    pub example: &'static str,
    apply: fn(&mut Config, &str) -> Result<(), String>,
}

const CONFIG_FILE: &str = "omni.toml";
const CONFIG_VARIABLE: &str = "OMNI_CONFIG";
const SECONDS: RangeInclusive<u64> = 1..=900;
const MEBIBYTES: RangeInclusive<u64> = 1..=64;
const TOP_K: RangeInclusive<usize> = 1..=100;
const UNIT: RangeInclusive<f32> = 0.0..=1.0;
const COSINE: RangeInclusive<f32> = -1.0..=1.0;
const TEMPERATURE: RangeInclusive<f64> = 0.0..=2.0;
const TOKENS: RangeInclusive<u32> = 1..=1_000_000;
const CONTEXT_CHARS: RangeInclusive<usize> = 500..=4_000_000;
const RETRIES: RangeInclusive<u32> = 0..=10;

/// Every variable that is read, in the order in which they override one another.
pub const VARIABLES: &[Variable] = &[
    Variable { name: CONFIG_VARIABLE, key: "", example: CONFIG_FILE, apply: |_, _| Ok(()) },
    Variable { name: "OMNI_INDEX", key: "index", example: "kb.omni", apply: |c, v| set(&mut c.index, v.into()) },
    Variable { name: "OMNI_INDEXES", key: "indexes", example: "hr.omni,legal.omni", apply: |c, v| set_list(&mut c.indexes, v) },
    Variable { name: "OMNI_MODEL", key: "model", example: "models/all-MiniLM-L6-v2", apply: |c, v| set(&mut c.model, v.into()) },
    Variable { name: "OMNI_ADDR", key: "addr", example: "127.0.0.1:8080", apply: |c, v| put(&mut c.addr, address(v)) },
    Variable {
        name: "OMNI_PROVIDER",
        key: "generation.provider",
        example: "openai",
        apply: |c, v| set(&mut c.generation.provider, v.to_owned()),
    },
    Variable {
        name: "FALLBACK_PROVIDERS",
        key: "generation.fallback_providers",
        example: "anthropic,groq/llama-3.3-70b-versatile",
        apply: |c, v| put(&mut c.generation.fallback_providers, Ok(list(v))),
    },
    Variable {
        name: "OMNI_CAPABILITIES",
        key: "capabilities",
        example: "capabilities.toml",
        apply: |c, v| set(&mut c.capabilities, v.into()),
    },
    Variable {
        name: "OMNI_ALLOWED_HOSTS",
        key: "net.allowed_hosts",
        example: "api.openai.com,*.amazonaws.com",
        apply: |c, v| put(&mut c.net.allowed_hosts, Ok(list(v))),
    },
    Variable {
        name: "PREFERRED_PROVIDERS",
        key: "generation.preferred",
        example: "cheapest:openai,custom",
        apply: |c, v| put(&mut c.generation.preferred, preferred(v)),
    },
    Variable { name: "OMNI_PRICES", key: "prices", example: "prices.json", apply: |c, v| set(&mut c.prices, v.into()) },
    Variable {
        name: "OMNI_FALLBACK_EXTRACTIVE",
        key: "generation.fallback_extractive",
        example: "true",
        apply: |c, v| put(&mut c.generation.fallback_extractive, boolean(v)),
    },
    Variable {
        name: "OMNI_CONTEXT_CHARS",
        key: "generation.context_chars",
        example: "24000",
        apply: |c, v| put(&mut c.generation.context_chars, number(v, &CONTEXT_CHARS)),
    },
    Variable {
        name: "OMNI_RETRIES",
        key: "generation.retries",
        example: "2",
        apply: |c, v| put(&mut c.generation.retries, number(v, &RETRIES)),
    },
    Variable {
        name: "MAX_TOKENS_DEFAULT",
        key: "generation.max_tokens",
        example: "4096",
        apply: |c, v| put(&mut c.generation.max_tokens, number(v, &TOKENS)),
    },
    Variable {
        name: "TEMPERATURE_DEFAULT",
        key: "generation.temperature",
        example: "0.7",
        apply: |c, v| put(&mut c.generation.temperature, number(v, &TEMPERATURE).map(Some)),
    },
    Variable {
        name: "OMNI_TOP_K",
        key: "retrieval.top_k",
        example: "5",
        apply: |c, v| put(&mut c.retrieval.top_k, number(v, &TOP_K)),
    },
    Variable {
        name: "OMNI_ALPHA",
        key: "retrieval.alpha",
        example: "0.5",
        apply: |c, v| put(&mut c.retrieval.alpha, number(v, &UNIT).map(Some)),
    },
    Variable {
        name: "OMNI_SCORE_THRESHOLD",
        key: "retrieval.score_threshold",
        example: "0.3",
        apply: |c, v| put(&mut c.retrieval.score_threshold, number(v, &COSINE).map(Some)),
    },
    Variable {
        name: "OMNI_ACCESS_LABELS",
        key: "access.labels",
        example: "staff,hr",
        apply: |c, v| set_list(&mut c.access.labels, v),
    },
    Variable {
        name: "OMNI_ACCESS_HEADER",
        key: "access.header",
        example: "x-omni-access",
        apply: |c, v| put(&mut c.access.header, header_name(v).map(Some)),
    },
    Variable {
        name: "OMNI_ACCESS_TRUST_REQUEST",
        key: "access.trust_request",
        example: "false",
        apply: |c, v| put(&mut c.access.trust_request, boolean(v)),
    },
    Variable {
        name: "OPENAI_API_KEY",
        key: "",
        example: "sk-...",
        apply: |c, v| put(&mut endpoint(c, "openai").api_key, secret(v)),
    },
    Variable {
        name: "OPENAI_BASE_URL",
        key: "providers.openai.base_url",
        example: "https://api.openai.com/v1",
        apply: |c, v| put(&mut endpoint(c, "openai").base_url, url(v)),
    },
    Variable {
        name: "OPENAI_MODEL",
        key: "providers.openai.model",
        example: "gpt-5.4-mini",
        apply: |c, v| set(&mut endpoint(c, "openai").model, v.to_owned()),
    },
    Variable {
        name: "CUSTOM_API_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut endpoint(c, "custom").api_key, secret(v)),
    },
    Variable {
        name: "CUSTOM_BASE_URL",
        key: "providers.custom.base_url",
        example: "http://127.0.0.1:8000/v1",
        apply: |c, v| put(&mut endpoint(c, "custom").base_url, url(v)),
    },
    Variable {
        name: "CUSTOM_MODEL",
        key: "providers.custom.model",
        example: "llama-3.3-8b",
        apply: |c, v| set(&mut endpoint(c, "custom").model, v.to_owned()),
    },
    Variable {
        name: "ANTHROPIC_API_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut endpoint(c, "anthropic").api_key, secret(v)),
    },
    Variable {
        name: "ANTHROPIC_BASE_URL",
        key: "providers.anthropic.base_url",
        example: "https://api.anthropic.com/v1",
        apply: |c, v| put(&mut endpoint(c, "anthropic").base_url, url(v)),
    },
    Variable {
        name: "ANTHROPIC_MODEL",
        key: "providers.anthropic.model",
        example: "claude-sonnet-5-5",
        apply: |c, v| set(&mut endpoint(c, "anthropic").model, v.to_owned()),
    },
    Variable {
        name: "MISTRAL_API_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut endpoint(c, "mistral").api_key, secret(v)),
    },
    Variable {
        name: "MISTRAL_BASE_URL",
        key: "providers.mistral.base_url",
        example: "https://api.mistral.ai/v1",
        apply: |c, v| put(&mut endpoint(c, "mistral").base_url, url(v)),
    },
    Variable {
        name: "MISTRAL_MODEL",
        key: "providers.mistral.model",
        example: "mistral-large-latest",
        apply: |c, v| set(&mut endpoint(c, "mistral").model, v.to_owned()),
    },
    Variable {
        name: "COHERE_API_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut endpoint(c, "cohere").api_key, secret(v)),
    },
    Variable {
        name: "COHERE_BASE_URL",
        key: "providers.cohere.base_url",
        example: "https://api.cohere.com/v2",
        apply: |c, v| put(&mut endpoint(c, "cohere").base_url, url(v)),
    },
    Variable {
        name: "COHERE_MODEL",
        key: "providers.cohere.model",
        example: "command-a-03-2025",
        apply: |c, v| set(&mut endpoint(c, "cohere").model, v.to_owned()),
    },
    Variable { name: "GROQ_API_KEY", key: "", example: "secret", apply: |c, v| put(&mut endpoint(c, "groq").api_key, secret(v)) },
    Variable {
        name: "GROQ_BASE_URL",
        key: "providers.groq.base_url",
        example: "https://api.groq.com/openai/v1",
        apply: |c, v| put(&mut endpoint(c, "groq").base_url, url(v)),
    },
    Variable {
        name: "GROQ_MODEL",
        key: "providers.groq.model",
        example: "openai/gpt-oss-120b",
        apply: |c, v| set(&mut endpoint(c, "groq").model, v.to_owned()),
    },
    Variable {
        name: "GEMINI_API_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut endpoint(c, "gemini").api_key, secret(v)),
    },
    Variable {
        name: "GEMINI_BASE_URL",
        key: "providers.gemini.base_url",
        example: "https://generativelanguage.googleapis.com/v1beta",
        apply: |c, v| put(&mut endpoint(c, "gemini").base_url, url(v)),
    },
    Variable {
        name: "GEMINI_MODEL",
        key: "providers.gemini.model",
        example: "gemini-3-flash",
        apply: |c, v| set(&mut endpoint(c, "gemini").model, v.to_owned()),
    },
    Variable {
        name: "BEDROCK_BASE_URL",
        key: "providers.bedrock.base_url",
        example: "https://bedrock-runtime.us-east-1.amazonaws.com",
        apply: |c, v| put(&mut endpoint(c, "bedrock").base_url, url(v)),
    },
    Variable {
        name: "BEDROCK_MODEL",
        key: "providers.bedrock.model",
        example: "us.anthropic.claude-sonnet-4-6",
        apply: |c, v| set(&mut endpoint(c, "bedrock").model, v.to_owned()),
    },
    Variable {
        name: "OPENAI_BEDROCK_BASE_URL",
        key: "providers.openai-bedrock.base_url",
        example: "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
        apply: |c, v| put(&mut endpoint(c, "openai-bedrock").base_url, url(v)),
    },
    Variable {
        name: "OPENAI_BEDROCK_MODEL",
        key: "providers.openai-bedrock.model",
        example: "openai.gpt-oss-120b-1:0",
        apply: |c, v| set(&mut endpoint(c, "openai-bedrock").model, v.to_owned()),
    },
    Variable {
        name: "ANTHROPIC_BEDROCK_BASE_URL",
        key: "providers.anthropic-bedrock.base_url",
        example: "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1",
        apply: |c, v| put(&mut endpoint(c, "anthropic-bedrock").base_url, url(v)),
    },
    Variable {
        name: "ANTHROPIC_BEDROCK_MODEL",
        key: "providers.anthropic-bedrock.model",
        example: "anthropic.claude-sonnet-4-6",
        apply: |c, v| set(&mut endpoint(c, "anthropic-bedrock").model, v.to_owned()),
    },
    Variable {
        name: "VERTEXAI_API_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut endpoint(c, "vertexai").api_key, secret(v)),
    },
    Variable {
        name: "VERTEXAI_BASE_URL",
        key: "providers.vertexai.base_url",
        example: "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
        apply: |c, v| put(&mut endpoint(c, "vertexai").base_url, url(v)),
    },
    Variable {
        name: "VERTEXAI_MODEL",
        key: "providers.vertexai.model",
        example: "gemini-3-flash",
        apply: |c, v| set(&mut endpoint(c, "vertexai").model, v.to_owned()),
    },
    Variable {
        name: "ANTHROPIC_VERTEX_BASE_URL",
        key: "providers.anthropic-vertex.base_url",
        example: "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
        apply: |c, v| put(&mut endpoint(c, "anthropic-vertex").base_url, url(v)),
    },
    Variable {
        name: "ANTHROPIC_VERTEX_MODEL",
        key: "providers.anthropic-vertex.model",
        example: "claude-sonnet-5-5",
        apply: |c, v| set(&mut endpoint(c, "anthropic-vertex").model, v.to_owned()),
    },
    Variable {
        name: "AWS_BEARER_TOKEN_BEDROCK",
        key: "",
        example: "secret",
        apply: |c, v| each(c, &BEDROCKS, |endpoint| put(&mut endpoint.api_key, secret(v))),
    },
    Variable {
        name: "AWS_DEFAULT_REGION",
        key: "providers.bedrock.region",
        example: "us-east-1",
        apply: |c, v| set(&mut c.aws.region, v.to_owned()),
    },
    Variable {
        name: "AWS_REGION",
        key: "providers.bedrock.region",
        example: "us-east-1",
        apply: |c, v| set(&mut c.aws.region, v.to_owned()),
    },
    Variable { name: "AWS_ACCESS_KEY_ID", key: "", example: "AKIA...", apply: |c, v| put(&mut c.aws.access_key_id, secret(v)) },
    Variable {
        name: "AWS_SECRET_ACCESS_KEY",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut c.aws.secret_access_key, secret(v)),
    },
    Variable { name: "AWS_SESSION_TOKEN", key: "", example: "secret", apply: |c, v| put(&mut c.aws.session_token, secret(v)) },
    Variable {
        name: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        key: "",
        example: "/v2/credentials/x",
        apply: |c, v| set(&mut c.aws.container_relative_uri, v.to_owned()),
    },
    Variable {
        name: "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        key: "",
        example: "http://169.254.170.23/v1/credentials",
        apply: |c, v| set(&mut c.aws.container_full_uri, v.to_owned()),
    },
    Variable {
        name: "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        key: "",
        example: "secret",
        apply: |c, v| put(&mut c.aws.container_token, secret(v)),
    },
    Variable {
        name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        key: "",
        example: "/var/run/secrets/token",
        apply: |c, v| set(&mut c.aws.container_token_file, v.into()),
    },
    Variable {
        name: "GOOGLE_APPLICATION_CREDENTIALS",
        key: "",
        example: "service-account.json",
        apply: |c, v| set(&mut c.google_key_file, v.into()),
    },
    Variable {
        name: "GOOGLE_CLOUD_PROJECT",
        key: "providers.vertexai.project",
        example: "my-project",
        apply: |c, v| each(c, &VERTEXES, |endpoint| set(&mut endpoint.project, v.to_owned())),
    },
    Variable {
        name: "GOOGLE_CLOUD_LOCATION",
        key: "providers.vertexai.location",
        example: "global",
        apply: |c, v| each(c, &VERTEXES, |endpoint| set(&mut endpoint.location, v.to_owned())),
    },
    Variable {
        name: "REQUEST_TIMEOUT",
        key: "limits.request_timeout_s",
        example: "60",
        apply: |c, v| put(&mut c.limits.request_timeout_s, number(v, &SECONDS)),
    },
    Variable {
        name: "MAX_REQUEST_SIZE_MB",
        key: "limits.max_request_size_mb",
        example: "6",
        apply: |c, v| put(&mut c.limits.max_request_size_mb, number(v, &MEBIBYTES)),
    },
    Variable { name: "AWS_LAMBDA_LOG_LEVEL", key: "log.level", example: "INFO", apply: |c, v| put(&mut c.log.level, level(v)) },
    Variable { name: "LOG_LEVEL", key: "log.level", example: "info", apply: |c, v| put(&mut c.log.level, level(v)) },
    Variable {
        name: "AWS_LAMBDA_LOG_FORMAT",
        key: "log.format",
        example: "JSON",
        apply: |c, v| put(&mut c.log.format, format(v)),
    },
    Variable { name: "OMNI_LOG_FORMAT", key: "log.format", example: "json", apply: |c, v| put(&mut c.log.format, format(v)) },
    Variable {
        name: "S3_BUCKET_NAME",
        key: "s3_bucket",
        example: "my-documents",
        apply: |c, v| set(&mut c.s3_bucket, v.to_owned()),
    },
    Variable {
        name: "AWS_LWA_INVOKE_MODE",
        key: "lambda.stream",
        example: "response_stream",
        apply: |c, v| put(&mut c.lambda.stream, invoke_mode(v)),
    },
    Variable {
        name: "OMNI_LAMBDA_STREAM",
        key: "lambda.stream",
        example: "true",
        apply: |c, v| put(&mut c.lambda.stream, boolean(v)),
    },
    Variable {
        name: "AWS_LAMBDA_RUNTIME_API",
        key: "",
        example: "127.0.0.1:9001",
        apply: |c, v| set(&mut c.lambda.runtime_api, v.to_owned()),
    },
    Variable {
        name: "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        key: "",
        example: "1769",
        apply: |c, v| set(&mut c.lambda.memory_mb, number(v, &(1..=usize::MAX))?),
    },
];

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
        self.lambda.memory_mb.map_or(cores, |memory_mb| cores.min(memory_mb.div_ceil(LAMBDA_CORE_MB)))
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
            Some(path) => Self::read(&path)?,
            None if Path::new(CONFIG_FILE).is_file() => Self::read(Path::new(CONFIG_FILE))?,
            None => Self::default(),
        };
        for row in VARIABLES {
            let Some(value) = variable(row.name) else { continue };
            (row.apply)(&mut config, value.trim()).map_err(|why| {
                Error::bad_request(format!(
                    "`{}`: {why}; write for example `{}={}`, or unset it",
                    row.name, row.name, row.example
                ))
            })?;
        }
        for endpoint in config.providers.values_mut() {
            if let Some(value) = endpoint.key_variable.as_deref().and_then(variable) {
                let name = endpoint.key_variable.as_deref().unwrap_or_default();
                endpoint.api_key = secret(value.trim()).map_err(|why| Error::bad_request(format!("`{name}`: {why}")))?;
            }
        }
        config.lambda.missing = LAMBDA_VARIABLES.into_iter().filter(|name| variable(name).is_none()).collect();
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
        let config: Self = toml::from_str(&text).map_err(|cause| {
            let line = cause.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            Error::bad_request(format!("{}: line {line}: {}", path.display(), cause.message().replace('\n', " ")))
        })?;
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
            ("limits.body_timeout_s", limits.body_timeout_s),
            ("limits.shutdown_timeout_s", limits.shutdown_timeout_s),
        ] {
            within(key, value, &SECONDS)?;
        }
        within("limits.max_request_size_mb", limits.max_request_size_mb, &MEBIBYTES)?;
        within("limits.max_connections", limits.max_connections, &(1..=1_000_000))?;
        within("limits.concurrent_searches", limits.concurrent_searches, &(0..=1024))?;
        within("retrieval.top_k", self.retrieval.top_k, &TOP_K)?;
        within("retrieval.alpha", self.retrieval.alpha.unwrap_or(0.0), &UNIT)?;
        within("retrieval.score_threshold", self.retrieval.score_threshold.unwrap_or(0.0), &COSINE)?;
        within("generation.max_tokens", self.generation.max_tokens, &TOKENS)?;
        within("generation.temperature", self.generation.temperature.unwrap_or(0.0), &TEMPERATURE)?;
        within("generation.context_chars", self.generation.context_chars, &CONTEXT_CHARS)?;
        within("generation.retries", self.generation.retries, &RETRIES)?;
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_size_mb: 6,
            request_timeout_s: 60,
            first_token_timeout_s: 60,
            stream_idle_timeout_s: 30,
            stream_timeout_s: 600,
            header_timeout_s: 10,
            body_timeout_s: 30,
            shutdown_timeout_s: 25,
            max_connections: 1024,
            concurrent_searches: 0,
        }
    }
}

impl Default for Retrieval {
    fn default() -> Self {
        Self { top_k: 5, alpha: None, score_threshold: None }
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            provider: None,
            fallback_providers: Vec::new(),
            preferred: Preferred::default(),
            max_tokens: 4096,
            temperature: None,
            fallback_extractive: false,
            context_chars: 24_000,
            retries: 2,
        }
    }
}

/// Rows behind AWS's door, and behind Google's: one key opens all.
const BEDROCKS: [&str; 3] = ["bedrock", "anthropic-bedrock", "openai-bedrock"];
const VERTEXES: [&str; 2] = ["vertexai", "anthropic-vertex"];

fn each(config: &mut Config, names: &[&str], apply: impl Fn(&mut Endpoint) -> Result<(), String>) -> Result<(), String> {
    names.iter().try_for_each(|name| apply(endpoint(config, name)))
}

fn endpoint<'a>(config: &'a mut Config, name: &str) -> &'a mut Endpoint {
    config.providers.entry(name.to_owned()).or_default()
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn within<T: PartialOrd + fmt::Display>(key: &str, value: T, range: &RangeInclusive<T>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("`{key}`: {value} is not between {} and {}", range.start(), range.end()))
}

fn number<T: std::str::FromStr + PartialOrd + fmt::Display>(value: &str, range: &RangeInclusive<T>) -> Result<T, String> {
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("`{value}` is not a number between {} and {}", range.start(), range.end())),
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

/// Comma-separated; the type says of what.
fn set_list<T: From<String>>(place: &mut Vec<T>, value: &str) -> Result<(), String> {
    *place = value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(|item| T::from(item.to_owned())).collect();
    Ok(())
}

fn header_name(value: &str) -> Result<String, String> {
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) && !value.is_empty() {
        return Ok(value.to_ascii_lowercase());
    }
    Err(format!("`{value}` is not the name of a header"))
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{value}` is neither `true` nor `false`")),
    }
}

fn address(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| format!("`{value}` is not an address and port"))
}

fn level(value: &str) -> Result<Level, String> {
    match value.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::Trace),
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warn),
        "error" | "fatal" | "critical" => Ok(Level::Error),
        _ => Err(format!("`{value}` is none of `trace`, `debug`, `info`, `warn`, `error`")),
    }
}

fn format(value: &str) -> Result<LogFormat, String> {
    match value.to_ascii_lowercase().as_str() {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err(format!("`{value}` is none of `auto`, `json`, `text`")),
    }
}

/// `openai,groq`, `cheapest`, `fastest:openai,groq`.
fn preferred(value: &str) -> Result<Preferred, String> {
    let (by, names) = value.split_once(':').unwrap_or(match value {
        "cheapest" | "fastest" | "listed" => (value, ""),
        names => ("listed", names),
    });
    let by = match by.trim() {
        "listed" => PreferredBy::Listed,
        "cheapest" => PreferredBy::Cheapest,
        "fastest" => PreferredBy::Fastest,
        other => return Err(format!("`{other}` is none of `listed`, `cheapest`, `fastest`")),
    };
    let providers: Vec<String> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect();
    if by == PreferredBy::Listed && providers.is_empty() {
        return Err("a list names nobody".to_owned());
    }
    Ok(Preferred { by, providers })
}

fn invoke_mode(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "response_stream" => Ok(true),
        "buffered" => Ok(false),
        _ => Err(format!("`{value}` is neither `buffered` nor `response_stream`")),
    }
}

/// A base URL without credentials in it. Plain `http` is the operator's choice: a model on the same machine has no certificate.
fn url(value: &str) -> Result<Option<String>, String> {
    let parsed = url::Url::parse(value).map_err(|cause| format!("not a URL: {cause}"))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
        return Err(format!("`{}` is not an `http` or `https` URL", parsed.scheme()));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("the URL carries credentials, which would be logged; put the key in its own variable".to_owned());
    }
    Ok(Some(value.to_owned()))
}

/// A key fit for a header. The value is never echoed.
fn secret(value: &str) -> Result<Option<Secret>, String> {
    if value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(Secret::new(value)));
    }
    Err("the key holds spaces or characters that no key has".to_owned())
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
        assert_eq!(config.generation.max_tokens, 4096);
        assert_eq!(config.log.level, Level::Warn);
    }

    #[test]
    fn every_example_works_and_changes_something_named() {
        for row in VARIABLES {
            let mut config = Config::default();
            (row.apply)(&mut config, row.example).unwrap_or_else(|why| panic!("{}: {why}", row.name));
        }
    }

    #[test]
    fn every_key_of_a_variable_is_a_key_of_the_file() {
        for row in VARIABLES.iter().filter(|row| !row.key.is_empty()) {
            let (table, key) = row.key.rsplit_once('.').unwrap_or(("", row.key));
            let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
            let message = load(Some(&format!("{head}{key} = [[]]\n")), &[]).unwrap_err().message().to_owned();
            assert!(!message.contains("unknown field"), "{}: {message}", row.name);
        }
    }

    #[test]
    fn every_variable_is_documented() {
        let page = include_str!("../docs/configuration.md");
        for row in VARIABLES {
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
            (load(Some("[retrieval]\ntop_k = 0"), &[]), "omni.toml: `retrieval.top_k`: 0 is not between 1 and 100"),
            (
                load(None, &[("REQUEST_TIMEOUT", "1h")]),
                "`REQUEST_TIMEOUT`: `1h` is not a number between 1 and 900; write for example `REQUEST_TIMEOUT=60`, or unset it",
            ),
            (
                load(None, &[("LOG_LEVEL", "loud")]),
                "`LOG_LEVEL`: `loud` is none of `trace`, `debug`, `info`, `warn`, `error`; write",
            ),
            (load(None, &[("CUSTOM_BASE_URL", "ftp://x")]), "`CUSTOM_BASE_URL`: `ftp` is not an `http` or `https` URL; write"),
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
    fn keys_are_never_shown() {
        let config = load(None, &[("OPENAI_API_KEY", "sk-hidden")]).unwrap();
        assert_eq!(config.providers["openai"].api_key.as_ref().unwrap().expose(), "sk-hidden");
        assert!(!format!("{config:?}").contains("hidden"));
        let message = load(None, &[("OPENAI_API_KEY", "sk hidden")]).unwrap_err().message().to_owned();
        assert!(!message.contains("hidden"), "{message}");
        assert!(load(Some("[providers.openai]\napi_key = \"sk-hidden\""), &[]).is_err());
    }
}
