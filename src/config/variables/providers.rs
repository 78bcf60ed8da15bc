//! The variables of providers, and of the clouds that some of them are in.

use super::{Variable, put, set};
use crate::config::value::{number, secret, url};
use crate::config::{Config, Endpoint};

pub(super) const PROVIDERS: &[Variable] = &[
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
    Variable { name: "AWS_PROFILE", key: "", example: "default", apply: |c, v| set(&mut c.aws.profile, v.to_owned()) },
    Variable {
        name: "AWS_SHARED_CREDENTIALS_FILE",
        key: "",
        example: "/run/secrets/aws",
        apply: |c, v| set(&mut c.aws.credentials_file, v.into()),
    },
    Variable {
        name: "AWS_WEB_IDENTITY_TOKEN_FILE",
        key: "",
        example: "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
        apply: |c, v| set(&mut c.aws.web_identity_token_file, v.into()),
    },
    Variable {
        name: "AWS_ROLE_ARN",
        key: "",
        example: "arn:aws:iam::123456789012:role/omni-llm",
        apply: |c, v| set(&mut c.aws.role_arn, v.to_owned()),
    },
    Variable {
        name: "AWS_ENDPOINT_URL_STS",
        key: "",
        example: "https://vpce-1.sts.us-east-1.vpce.amazonaws.com",
        apply: |c, v| put(&mut c.aws.sts_url, url(v)),
    },
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
];

/// Rows behind AWS's door, and behind Google's: one key opens all.
const BEDROCKS: [&str; 3] = ["bedrock", "anthropic-bedrock", "openai-bedrock"];
const VERTEXES: [&str; 2] = ["vertexai", "anthropic-vertex"];

fn each(config: &mut Config, names: &[&str], apply: impl Fn(&mut Endpoint) -> Result<(), String>) -> Result<(), String> {
    names.iter().try_for_each(|name| apply(endpoint(config, name)))
}

fn endpoint<'a>(config: &'a mut Config, name: &str) -> &'a mut Endpoint {
    config.providers.entry(name.to_owned()).or_default()
}
