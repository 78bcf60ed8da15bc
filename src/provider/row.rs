//! What is known of a provider before the operator says anything: a row of data each.
//!
//! `{region}`, `{project}` and `{location}` in an address are the operator's; `{model}` in a path is the request's. A row with
//! another's dialect and other authentication is all that a new surface needs: Claude on Vertex AI is Anthropic's dialect behind
//! Google's door.

use super::dialect::Dialect;
use super::embed::EmbedDialect;
use crate::error::quoted;

/// A provider as data.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in requests.
    pub name: &'static str,
    /// How its JSON looks.
    pub dialect: Dialect,
    /// Where it is; empty is for the operator to say.
    pub base_url: &'static str,
    /// Below the base URL, for a whole answer.
    pub path: &'static str,
    /// Below the base URL, for a streamed one.
    pub stream_path: &'static str,
    /// How a request is signed.
    pub auth: AuthKind,
    /// What AWS calls the service in signatures, where it is one of AWS's.
    pub aws_service: &'static str,
    /// Whether it answers nobody without a key.
    pub needs_key: bool,
    /// Headers that every request has.
    pub headers: &'static [(&'static str, &'static str)],
    /// Fields that every body has.
    pub body: &'static [(&'static str, &'static str)],
    /// Whether the body names the model and says whether to stream; otherwise the path does.
    pub model_in_body: bool,
    /// How it embeds texts, if it does.
    pub embeds: Option<EmbedDialect>,
    /// The variable that holds its key; empty where it takes none.
    pub key_variable: &'static str,
}

impl Preset {
    /// The variable for what `key` says in `omni.toml`: its address, or the model asked by default.
    pub fn variable(&self, key: &str) -> String {
        format!("{}_{key}", self.name).replace('-', "_").to_uppercase()
    }
}

/// How a provider wants to be convinced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// `Authorization: Bearer`.
    Bearer,
    /// The key in a header of this name.
    Header(&'static str),
    /// AWS Signature Version 4, or a bearer key of Bedrock's where there is one.
    Aws,
    /// An OAuth token of a Google service account, or an API key where there is one.
    Google,
}

const COMPATIBLE: Preset = Preset {
    name: "custom",
    dialect: Dialect::OpenAi,
    base_url: "",
    path: "chat/completions",
    stream_path: "chat/completions",
    auth: AuthKind::Bearer,
    aws_service: "bedrock",
    needs_key: true,
    headers: &[],
    body: &[],
    model_in_body: true,
    embeds: Some(EmbedDialect::OpenAi),
    key_variable: "CUSTOM_API_KEY",
};

const CLAUDE: Preset = Preset {
    name: "anthropic",
    dialect: Dialect::Anthropic,
    base_url: "https://api.anthropic.com/v1",
    path: "messages",
    stream_path: "messages",
    auth: AuthKind::Header("x-api-key"),
    headers: &[("anthropic-version", "2023-06-01")],
    embeds: None,
    key_variable: "ANTHROPIC_API_KEY",
    ..COMPATIBLE
};

const GEMINI: Preset = Preset {
    name: "gemini",
    dialect: Dialect::Gemini,
    base_url: "https://generativelanguage.googleapis.com/v1beta",
    path: "models/{model}:generateContent",
    stream_path: "models/{model}:streamGenerateContent?alt=sse",
    auth: AuthKind::Header("x-goog-api-key"),
    model_in_body: false,
    embeds: Some(EmbedDialect::Gemini),
    key_variable: "GEMINI_API_KEY",
    ..COMPATIBLE
};

const BEDROCK: Preset = Preset {
    name: "bedrock",
    dialect: Dialect::Bedrock,
    base_url: "https://bedrock-runtime.{region}.amazonaws.com",
    path: "model/{model}/converse",
    stream_path: "model/{model}/converse-stream",
    auth: AuthKind::Aws,
    needs_key: false,
    model_in_body: false,
    embeds: Some(EmbedDialect::Bedrock),
    key_variable: "AWS_BEARER_TOKEN_BEDROCK",
    ..COMPATIBLE
};

const VERTEX: Preset = Preset {
    name: "vertexai",
    base_url: "https://{location_host}aiplatform.googleapis.com/v1/projects/{project}/locations/{location}",
    path: "publishers/google/models/{model}:generateContent",
    stream_path: "publishers/google/models/{model}:streamGenerateContent?alt=sse",
    auth: AuthKind::Google,
    needs_key: false,
    embeds: Some(EmbedDialect::Vertex),
    key_variable: "VERTEXAI_API_KEY",
    ..GEMINI
};

/// Every provider of this build.
pub const PRESETS: &[Preset] = &[
    Preset { name: "openai", base_url: "https://api.openai.com/v1", key_variable: "OPENAI_API_KEY", ..COMPATIBLE },
    CLAUDE,
    BEDROCK,
    VERTEX,
    GEMINI,
    Preset {
        name: "mistral",
        base_url: "https://api.mistral.ai/v1",
        embeds: Some(EmbedDialect::Mistral),
        key_variable: "MISTRAL_API_KEY",
        ..COMPATIBLE
    },
    Preset {
        name: "cohere",
        dialect: Dialect::Cohere,
        base_url: "https://api.cohere.com/v2",
        path: "chat",
        stream_path: "chat",
        embeds: Some(EmbedDialect::Cohere),
        key_variable: "COHERE_API_KEY",
        ..COMPATIBLE
    },
    Preset { name: "groq", base_url: "https://api.groq.com/openai/v1", embeds: None, key_variable: "GROQ_API_KEY", ..COMPATIBLE },
    // Any server that speaks OpenAI's dialect: llama.cpp, vLLM, Ollama, a company's own gateway.
    Preset { needs_key: false, ..COMPATIBLE },
    // Claude behind Google's door.
    Preset {
        name: "anthropic-vertex",
        base_url: VERTEX.base_url,
        path: "publishers/anthropic/models/{model}:rawPredict",
        stream_path: "publishers/anthropic/models/{model}:streamRawPredict",
        auth: AuthKind::Google,
        needs_key: false,
        headers: &[],
        body: &[("anthropic_version", "vertex-2023-10-16")],
        model_in_body: false,
        key_variable: "",
        ..CLAUDE
    },
    // Claude in its own dialect behind AWS's door.
    Preset {
        name: "anthropic-bedrock",
        base_url: "https://bedrock-mantle.{region}.api.aws/anthropic/v1",
        auth: AuthKind::Aws,
        aws_service: "bedrock-mantle",
        needs_key: false,
        key_variable: "AWS_BEARER_TOKEN_BEDROCK",
        ..CLAUDE
    },
    // Bedrock's models in OpenAI's dialect.
    Preset {
        name: "openai-bedrock",
        base_url: "https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
        auth: AuthKind::Aws,
        needs_key: false,
        embeds: None,
        key_variable: "AWS_BEARER_TOKEN_BEDROCK",
        ..COMPATIBLE
    },
];

/// The row of this name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The names of our own rows, as a text.
pub(crate) fn known() -> String {
    quoted(PRESETS.iter().map(|preset| preset.name))
}

/// That no provider is called so; which there are, and which of them may be meant.
pub(crate) fn no_such(name: &str) -> String {
    let letters = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    if name == "extractive" {
        return "`extractive`: quotes answer where no provider is named, and stand in for one with `OMNI_FALLBACK_EXTRACTIVE`"
            .to_owned();
    }
    let hint = match PRESETS.iter().find(|preset| letters(preset.name) == letters(name)) {
        Some(meant) => format!("`{}` may be meant", meant.name),
        None => "a server that speaks OpenAI's dialect is `custom`".to_owned(),
    };
    format!("`{name}`: no such provider; there are {}; {hint}", known())
}
