//! The variables of providers, and of the clouds that some of them are in.

use super::{Apply, Variable, endpoint, row, set};
use crate::config::value::{number, secret, url};
use crate::config::{Config, Endpoint};

pub(super) const PROVIDERS: &[Variable] = &[
    key("OPENAI_API_KEY", "openai", "sk-..."),
    base_url("OPENAI_BASE_URL", "openai", "providers.openai.base_url", "https://api.openai.com/v1"),
    model("OPENAI_MODEL", "openai", "providers.openai.model", "gpt-5.4-mini"),
    key("CUSTOM_API_KEY", "custom", "secret"),
    base_url("CUSTOM_BASE_URL", "custom", "providers.custom.base_url", "http://127.0.0.1:8000/v1"),
    model("CUSTOM_MODEL", "custom", "providers.custom.model", "llama-3.3-8b"),
    key("ANTHROPIC_API_KEY", "anthropic", "secret"),
    base_url("ANTHROPIC_BASE_URL", "anthropic", "providers.anthropic.base_url", "https://api.anthropic.com/v1"),
    model("ANTHROPIC_MODEL", "anthropic", "providers.anthropic.model", "claude-sonnet-5-5"),
    key("MISTRAL_API_KEY", "mistral", "secret"),
    base_url("MISTRAL_BASE_URL", "mistral", "providers.mistral.base_url", "https://api.mistral.ai/v1"),
    model("MISTRAL_MODEL", "mistral", "providers.mistral.model", "mistral-large-latest"),
    key("COHERE_API_KEY", "cohere", "secret"),
    base_url("COHERE_BASE_URL", "cohere", "providers.cohere.base_url", "https://api.cohere.com/v2"),
    model("COHERE_MODEL", "cohere", "providers.cohere.model", "command-a-03-2025"),
    key("GROQ_API_KEY", "groq", "secret"),
    base_url("GROQ_BASE_URL", "groq", "providers.groq.base_url", "https://api.groq.com/openai/v1"),
    model("GROQ_MODEL", "groq", "providers.groq.model", "openai/gpt-oss-120b"),
    key("GEMINI_API_KEY", "gemini", "secret"),
    base_url("GEMINI_BASE_URL", "gemini", "providers.gemini.base_url", "https://generativelanguage.googleapis.com/v1beta"),
    model("GEMINI_MODEL", "gemini", "providers.gemini.model", "gemini-3-flash"),
    base_url("BEDROCK_BASE_URL", "bedrock", "providers.bedrock.base_url", "https://bedrock-runtime.us-east-1.amazonaws.com"),
    model("BEDROCK_MODEL", "bedrock", "providers.bedrock.model", "us.anthropic.claude-sonnet-4-6"),
    base_url(
        "OPENAI_BEDROCK_BASE_URL",
        "openai-bedrock",
        "providers.openai-bedrock.base_url",
        "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
    ),
    model("OPENAI_BEDROCK_MODEL", "openai-bedrock", "providers.openai-bedrock.model", "openai.gpt-oss-120b-1:0"),
    base_url(
        "ANTHROPIC_BEDROCK_BASE_URL",
        "anthropic-bedrock",
        "providers.anthropic-bedrock.base_url",
        "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1",
    ),
    model("ANTHROPIC_BEDROCK_MODEL", "anthropic-bedrock", "providers.anthropic-bedrock.model", "anthropic.claude-sonnet-4-6"),
    key("VERTEXAI_API_KEY", "vertexai", "secret"),
    base_url(
        "VERTEXAI_BASE_URL",
        "vertexai",
        "providers.vertexai.base_url",
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
    ),
    model("VERTEXAI_MODEL", "vertexai", "providers.vertexai.model", "gemini-3-flash"),
    base_url(
        "ANTHROPIC_VERTEX_BASE_URL",
        "anthropic-vertex",
        "providers.anthropic-vertex.base_url",
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global",
    ),
    model("ANTHROPIC_VERTEX_MODEL", "anthropic-vertex", "providers.anthropic-vertex.model", "claude-sonnet-5-5"),
    row("AWS_BEARER_TOKEN_BEDROCK", "", "secret", |c, v| each(c, &BEDROCKS, |endpoint| set(&mut endpoint.api_key, secret(v)?))),
    row("AWS_DEFAULT_REGION", "providers.bedrock.region", "us-east-1", |c, v| set(&mut c.aws.region, v.to_owned())),
    row("AWS_REGION", "providers.bedrock.region", "us-east-1", |c, v| set(&mut c.aws.region, v.to_owned())),
    row("AWS_ACCESS_KEY_ID", "", "AKIA...", |c, v| set(&mut c.aws.access_key_id, secret(v)?)),
    row("AWS_SECRET_ACCESS_KEY", "", "secret", |c, v| set(&mut c.aws.secret_access_key, secret(v)?)),
    row("AWS_SESSION_TOKEN", "", "secret", |c, v| set(&mut c.aws.session_token, secret(v)?)),
    row("AWS_PROFILE", "", "default", |c, v| set(&mut c.aws.profile, v.to_owned())),
    row("AWS_SHARED_CREDENTIALS_FILE", "", "/run/secrets/aws", |c, v| set(&mut c.aws.credentials_file, v.into())),
    row("AWS_WEB_IDENTITY_TOKEN_FILE", "", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token", |c, v| {
        set(&mut c.aws.web_identity_token_file, v.into())
    }),
    row("AWS_ROLE_ARN", "", "arn:aws:iam::123456789012:role/omni-llm", |c, v| set(&mut c.aws.role_arn, v.to_owned())),
    row("AWS_ENDPOINT_URL_STS", "", "https://vpce-1.sts.us-east-1.vpce.amazonaws.com", |c, v| set(&mut c.aws.sts_url, url(v)?)),
    row("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "", "/v2/credentials/x", |c, v| {
        set(&mut c.aws.container_relative_uri, v.to_owned())
    }),
    row("AWS_CONTAINER_CREDENTIALS_FULL_URI", "", "http://169.254.170.23/v1/credentials", |c, v| {
        set(&mut c.aws.container_full_uri, v.to_owned())
    }),
    row("AWS_CONTAINER_AUTHORIZATION_TOKEN", "", "secret", |c, v| set(&mut c.aws.container_token, secret(v)?)),
    row("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "", "/var/run/secrets/token", |c, v| {
        set(&mut c.aws.container_token_file, v.into())
    }),
    row("AWS_ENDPOINT_URL_SECRETS_MANAGER", "", "https://vpce-1.secretsmanager.us-east-1.vpce.amazonaws.com", |c, v| {
        set(&mut c.aws.secrets_url, url(v)?)
    }),
    row("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", "", "2773", |c, v| {
        set(&mut c.aws.secrets_extension_port, number(v, &(1..=u16::MAX))?)
    }),
    row("GOOGLE_APPLICATION_CREDENTIALS", "", "service-account.json", |c, v| set(&mut c.google_key_file, v.into())),
    row("GOOGLE_CLOUD_PROJECT", "providers.vertexai.project", "my-project", |c, v| {
        each(c, &VERTEXES, |endpoint| set(&mut endpoint.project, v.to_owned()))
    }),
    row("GOOGLE_CLOUD_LOCATION", "providers.vertexai.location", "global", |c, v| {
        each(c, &VERTEXES, |endpoint| set(&mut endpoint.location, v.to_owned()))
    }),
];

/// Rows behind AWS's door, and behind Google's: one key opens all.
const BEDROCKS: [&str; 3] = ["bedrock", "anthropic-bedrock", "openai-bedrock"];
const VERTEXES: [&str; 2] = ["vertexai", "anthropic-vertex"];

fn each(config: &mut Config, names: &[&str], apply: impl Fn(&mut Endpoint) -> Result<(), String>) -> Result<(), String> {
    names.iter().try_for_each(|name| apply(endpoint(config, name)))
}

const fn key(name: &'static str, provider: &'static str, example: &'static str) -> Variable {
    Variable { name, key: "", example, apply: Apply::Endpoint(provider, |endpoint, v| set(&mut endpoint.api_key, secret(v)?)) }
}

const fn base_url(name: &'static str, provider: &'static str, key: &'static str, example: &'static str) -> Variable {
    Variable { name, key, example, apply: Apply::Endpoint(provider, |endpoint, v| set(&mut endpoint.base_url, url(v)?)) }
}

const fn model(name: &'static str, provider: &'static str, key: &'static str, example: &'static str) -> Variable {
    Variable { name, key, example, apply: Apply::Endpoint(provider, |endpoint, v| set(&mut endpoint.model, v.to_owned())) }
}
