//! The environment variables: a row of data each. Those of providers have a file of their own.

mod providers;

use super::value::{
    CONTEXT_CHARS, COSINE, MEBIBYTES, RETRIES, SECONDS, TEMPERATURE, TOKENS, TOP_K, UNIT, WARMEST_MB, address, boolean, format,
    header_name, host, invoke_mode, level, number, preferred, set_list,
};
use super::{CONFIG_FILE, CONFIG_VARIABLE, Config, RUNTIME_VARIABLE};

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

/// Every variable that is read; of two for one key, the later one overrides the earlier one.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    SERVICE.iter().chain(providers::PROVIDERS)
}

const SERVICE: &[Variable] = &[
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
        apply: |c, v| {
            set_list(&mut c.net.allowed_hosts, v)?;
            c.net.allowed_hosts.iter().try_for_each(|allowed| host(allowed))
        },
    },
    // What is in them is read where certificates are.
    Variable {
        name: "SSL_CERT_FILE",
        key: "net.system_certificates",
        example: "/etc/ssl/company.pem",
        apply: |c, _| put(&mut c.net.system_certificates, Ok(true)),
    },
    Variable {
        name: "SSL_CERT_DIR",
        key: "net.system_certificates",
        example: "/etc/ssl/company",
        apply: |c, _| put(&mut c.net.system_certificates, Ok(true)),
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
        apply: |c, v| put(&mut c.generation.max_tokens, number(v, &TOKENS).map(Some)),
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
        name: RUNTIME_VARIABLE,
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

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    *place = Some(value);
    Ok(())
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}
