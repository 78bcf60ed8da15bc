//! The environment variables: a row of data each.

use super::value::{
    CONTEXT_CHARS, COSINE, MEBIBYTES, RETRIES, SECONDS, TEMPERATURE, TOKENS, TOP_K, UNIT, address, boolean, format, header_name,
    invoke_mode, level, number, preferred, secret, set_list, url,
};
use super::{CONFIG_FILE, CONFIG_VARIABLE, Config, Endpoint};

/// One environment variable.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key of `omni.toml` that it overrides; empty where there is none.
    pub key: &'static str,
    /// A value that works.
    pub example: &'static str,
    pub(super) apply: fn(&mut Config, &str) -> Result<(), String>,
}

impl Variable {
    /// Whether it holds a provider's key, which may come from a file as well.
    pub fn is_key(&self) -> bool {
        self.name.ends_with("_API_KEY") || self.name == "AWS_BEARER_TOKEN_BEDROCK"
    }
}

/// Every variable that is read, in the order in which they override one another.
pub const VARIABLES: &[Variable] = &[
    Variable { name: CONFIG_VARIABLE, key: "", example: CONFIG_FILE, apply: |_, _| Ok(()) },
    Variable { name: "OMNI_INDEX", key: "index", example: "kb.omni", apply: |c, v| set(&mut c.index, v.into()) },
    Variable { name: "OMNI_INDEXES", key: "indexes", example: "hr.omni,legal.omni", apply: |c, v| set_list(&mut c.indexes, v) },
    Variable { name: "OMNI_MODEL", key: "model", example: "models/all-MiniLM-L6-v2", apply: |c, v| set(&mut c.model, v.into()) },
    Variable {
        name: "OMNI_RERANKER",
        key: "reranker",
        example: "models/ms-marco-MiniLM-L6-v2",
        apply: |c, v| set(&mut c.reranker, v.into()),
    },
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
        apply: |c, v| set_list(&mut c.generation.fallback_providers, v),
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
        apply: |c, v| set_list(&mut c.net.allowed_hosts, v),
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
        example: "0.55",
        apply: |c, v| put(&mut c.retrieval.alpha, number(v, &UNIT).map(Some)),
    },
    Variable {
        name: "OMNI_RERANK_DEPTH",
        key: "retrieval.rerank_depth",
        example: "20",
        apply: |c, v| put(&mut c.retrieval.rerank_depth, number(v, &TOP_K)),
    },
    Variable {
        name: "OMNI_RERANK_WEIGHT",
        key: "retrieval.rerank_weight",
        example: "0.7",
        apply: |c, v| put(&mut c.retrieval.rerank_weight, number(v, &UNIT)),
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
        name: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        key: "",
        example: "https://vpce-1.secretsmanager.us-east-1.vpce.amazonaws.com",
        apply: |c, v| put(&mut c.aws.secrets_url, url(v)),
    },
    Variable {
        name: "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT",
        key: "",
        example: "2773",
        apply: |c, v| set(&mut c.aws.secrets_extension_port, number(v, &(1..=u16::MAX))?),
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
        name: "OMNI_LAMBDA_WARM_MB",
        key: "lambda.warm_mb",
        example: "64",
        apply: |c, v| set(&mut c.lambda.warm_mb, number(v, &(0..=WARMEST_MB))?),
    },
    Variable {
        name: "AWS_LAMBDA_INITIALIZATION_TYPE",
        key: "",
        example: "on-demand",
        apply: |c, v| set(&mut c.lambda.initialization, v.to_owned()),
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

/// No function has more memory.
const WARMEST_MB: u64 = 32_768;

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
