//! The environment variables: a row of data each. Those of providers have a file of their own.

mod providers;

use super::value::{
    CONTEXT_CHARS, COSINE, HEDGE_MS, MEBIBYTES, RETRIES, SECONDS, TEMPERATURE, TOKENS, TOP_K, UNIT, WARMEST_MB, address, boolean,
    format, header_name, host, invoke_mode, level, number, preferred, set_list,
};
use super::{CONFIG_FILE, CONFIG_VARIABLE, Config, Endpoint, RUNTIME_VARIABLE};

/// One environment variable.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key of `omni.toml` that it overrides; empty where there is none.
    pub key: &'static str,
    /// A value that works.
    pub example: &'static str,
    apply: Apply,
}

/// What a value is written into.
enum Apply {
    Config(fn(&mut Config, &str) -> Result<(), String>),
    /// What is said of the provider of this name.
    Endpoint(&'static str, fn(&mut Endpoint, &str) -> Result<(), String>),
}

impl Variable {
    /// Writes a value where it belongs.
    pub(super) fn apply(&self, config: &mut Config, value: &str) -> Result<(), String> {
        match self.apply {
            Apply::Config(apply) => apply(config, value),
            Apply::Endpoint(provider, apply) => apply(endpoint(config, provider), value),
        }
    }

    /// Whether it says what its key of the file says and no more: those of a cloud speak for all providers in it.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.apply, Apply::Endpoint(..)) || !self.key.starts_with("providers.")
    }

    /// Whether it holds a provider's key, which may come from a file as well.
    pub fn is_key(&self) -> bool {
        self.name.ends_with("_API_KEY") || self.name == "AWS_BEARER_TOKEN_BEDROCK"
    }
}

/// Every variable that is read; of two for one key, the later one overrides the earlier one.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    SERVICE.iter().chain(providers::PROVIDERS)
}

const SERVICE: &[Variable] = &[
    row(CONFIG_VARIABLE, "", CONFIG_FILE, |_, _| Ok(())),
    row("OMNI_INDEX", "index", "kb.omni", |c, v| set(&mut c.index, v.into())),
    row("OMNI_INDEXES", "indexes", "hr.omni,legal.omni", |c, v| set_list(&mut c.indexes, v)),
    row("OMNI_MODEL", "model", "models/all-MiniLM-L6-v2", |c, v| set(&mut c.model, v.into())),
    row("OMNI_RERANKER", "reranker", "models/ms-marco-MiniLM-L6-v2", |c, v| set(&mut c.reranker, v.into())),
    row("OMNI_ADDR", "addr", "127.0.0.1:8080", |c, v| put(&mut c.addr, address(v))),
    row("OMNI_PROVIDER", "generation.provider", "openai", |c, v| set(&mut c.generation.provider, v.to_owned())),
    row("FALLBACK_PROVIDERS", "generation.fallback_providers", "anthropic,groq/llama-3.3-70b-versatile", |c, v| {
        set_list(&mut c.generation.fallback_providers, v)
    }),
    row("OMNI_CAPABILITIES", "capabilities", "capabilities.toml", |c, v| set(&mut c.capabilities, v.into())),
    row("OMNI_ALLOWED_HOSTS", "net.allowed_hosts", "api.openai.com,*.amazonaws.com", |c, v| {
        set_list(&mut c.net.allowed_hosts, v)?;
        c.net.allowed_hosts.iter().try_for_each(|allowed| host(allowed))
    }),
    row("OMNI_ALLOWED_ORIGINS", "allowed_origins", "app.example.com,*.example.org", |c, v| {
        set_list(&mut c.allowed_origins, v)?;
        c.allowed_origins.iter().try_for_each(|allowed| host(allowed))
    }),
    // What is in them is read where certificates are.
    row("SSL_CERT_FILE", "net.system_certificates", "/etc/ssl/company.pem", |c, _| put(&mut c.net.system_certificates, Ok(true))),
    row("SSL_CERT_DIR", "net.system_certificates", "/etc/ssl/company", |c, _| put(&mut c.net.system_certificates, Ok(true))),
    row("PREFERRED_PROVIDERS", "generation.preferred", "cheapest:openai,custom", |c, v| {
        put(&mut c.generation.preferred, preferred(v))
    }),
    row("OMNI_PRICES", "prices", "prices.json", |c, v| set(&mut c.prices, v.into())),
    row("OMNI_FALLBACK_EXTRACTIVE", "generation.fallback_extractive", "true", |c, v| {
        put(&mut c.generation.fallback_extractive, boolean(v))
    }),
    row("OMNI_CONTEXT_CHARS", "generation.context_chars", "24000", |c, v| {
        put(&mut c.generation.context_chars, number(v, &CONTEXT_CHARS))
    }),
    row("OMNI_RETRIES", "generation.retries", "2", |c, v| put(&mut c.generation.retries, number(v, &RETRIES))),
    row("OMNI_HEDGE_AFTER_MS", "generation.hedge_after_ms", "2000", |c, v| {
        put(&mut c.generation.hedge_after_ms, number(v, &HEDGE_MS).map(Some))
    }),
    row("MAX_TOKENS_DEFAULT", "generation.max_tokens", "4096", |c, v| {
        put(&mut c.generation.max_tokens, number(v, &TOKENS).map(Some))
    }),
    row("TEMPERATURE_DEFAULT", "generation.temperature", "0.7", |c, v| {
        put(&mut c.generation.temperature, number(v, &TEMPERATURE).map(Some))
    }),
    row("OMNI_TOP_K", "retrieval.top_k", "5", |c, v| put(&mut c.retrieval.top_k, number(v, &TOP_K))),
    row("OMNI_ALPHA", "retrieval.alpha", "0.55", |c, v| put(&mut c.retrieval.alpha, number(v, &UNIT).map(Some))),
    row("OMNI_RERANK_DEPTH", "retrieval.rerank_depth", "20", |c, v| put(&mut c.retrieval.rerank_depth, number(v, &TOP_K))),
    row("OMNI_RERANK_WEIGHT", "retrieval.rerank_weight", "0.7", |c, v| put(&mut c.retrieval.rerank_weight, number(v, &UNIT))),
    row("OMNI_SCORE_THRESHOLD", "retrieval.score_threshold", "0.3", |c, v| {
        put(&mut c.retrieval.score_threshold, number(v, &COSINE).map(Some))
    }),
    row("OMNI_ACCESS_LABELS", "access.labels", "staff,hr", |c, v| set_list(&mut c.access.labels, v)),
    row("OMNI_ACCESS_HEADER", "access.header", "x-omni-access", |c, v| put(&mut c.access.header, header_name(v).map(Some))),
    row("OMNI_ACCESS_TRUST_REQUEST", "access.trust_request", "false", |c, v| put(&mut c.access.trust_request, boolean(v))),
    row("REQUEST_TIMEOUT", "limits.request_timeout_s", "60", |c, v| put(&mut c.limits.request_timeout_s, number(v, &SECONDS))),
    row("MAX_REQUEST_SIZE_MB", "limits.max_request_size_mb", "6", |c, v| {
        put(&mut c.limits.max_request_size_mb, number(v, &MEBIBYTES))
    }),
    row("AWS_LAMBDA_LOG_LEVEL", "log.level", "INFO", |c, v| put(&mut c.log.level, level(v))),
    row("LOG_LEVEL", "log.level", "info", |c, v| put(&mut c.log.level, level(v))),
    row("AWS_LAMBDA_LOG_FORMAT", "log.format", "JSON", |c, v| put(&mut c.log.format, format(v))),
    row("OMNI_LOG_FORMAT", "log.format", "json", |c, v| put(&mut c.log.format, format(v))),
    row("S3_BUCKET_NAME", "s3_bucket", "my-documents", |c, v| set(&mut c.s3_bucket, v.to_owned())),
    row("AWS_LWA_INVOKE_MODE", "lambda.stream", "response_stream", |c, v| put(&mut c.lambda.stream, invoke_mode(v))),
    row("OMNI_LAMBDA_STREAM", "lambda.stream", "true", |c, v| put(&mut c.lambda.stream, boolean(v))),
    row("OMNI_LAMBDA_WARM_MB", "lambda.warm_mb", "64", |c, v| set(&mut c.lambda.warm_mb, number(v, &(0..=WARMEST_MB))?)),
    row("AWS_LAMBDA_INITIALIZATION_TYPE", "", "on-demand", |c, v| set(&mut c.lambda.initialization, v.to_owned())),
    row(RUNTIME_VARIABLE, "", "127.0.0.1:9001", |c, v| set(&mut c.lambda.runtime_api, v.to_owned())),
    row("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "", "1769", |c, v| set(&mut c.lambda.memory_mb, number(v, &(1..=usize::MAX))?)),
];

const fn row(
    name: &'static str,
    key: &'static str,
    example: &'static str,
    apply: fn(&mut Config, &str) -> Result<(), String>,
) -> Variable {
    Variable { name, key, example, apply: Apply::Config(apply) }
}

fn endpoint<'a>(config: &'a mut Config, provider: &str) -> &'a mut Endpoint {
    config.providers.entry(provider.to_owned()).or_default()
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}
