//! `POST /v1/embeddings`: OpenAI's dialect over the embedding model that is loaded here, or a provider's (`provider/model`).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::is_provider;
use crate::app::App;
use crate::chat::Usage;
use crate::embed::Embedder;
use crate::error::{Code, Error, Result};
use crate::provider::embed::{EmbedRequest, Purpose};
use crate::rag::cost;
use crate::server::body::parse;
use crate::server::rag_config::LOCAL;
use crate::server::response::json;
use crate::server::{Context, answer};

/// Texts of one request.
const MAX_TEXTS: usize = 2048;
/// Texts that are embedded here in one go.
const PIECE_TEXTS: usize = 16;

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct EmbeddingsBody {
    model: String,
    input: Value,
    encoding_format: Option<Encoding>,
    dimensions: Option<u32>,
    input_type: Option<InputType>,
    #[serde(rename = "user")]
    _user: Option<String>,
}

/// What the texts are for: most providers give a question another vector than a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InputType {
    Query,
    #[default]
    Document,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

/// The answer. Not a `Value`: that would have every number as 64 bits, twice as long.
#[derive(Debug, Serialize)]
struct EmbeddingsResponse<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Value,
}

#[derive(Debug, Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// `POST /v1/embeddings`.
pub(in crate::server) async fn embeddings(
    State(app): State<Arc<App>>,
    Extension(context): Extension<Context>,
    request: Request,
) -> Response {
    answer(&app, &context, request, async |bytes, _| embed(&app, &context, parse(&bytes)?).await).await
}

async fn embed(app: &Arc<App>, context: &Context, body: EmbeddingsBody) -> Result<Response> {
    let texts = texts(body.input)?;
    if texts.is_empty() || texts.len() > MAX_TEXTS || texts.iter().any(String::is_empty) {
        return Err(Error::bad_request(format!("`input`: send 1 to {MAX_TEXTS} texts, none of them empty")));
    }
    let (encoding, dimensions) = (body.encoding_format.unwrap_or_default(), body.dimensions);
    let purpose = match body.input_type.unwrap_or_default() {
        InputType::Query => Purpose::Query,
        InputType::Document => Purpose::Document,
    };
    if let Some((provider, model)) = body.model.split_once('/').filter(|(name, _)| is_provider(app, name)) {
        let provider = app.provider(provider)?;
        let request = EmbedRequest { model: model.to_owned(), texts, purpose, dimensions };
        let response = provider.embed(app.client(), &request, context.deadline).await?;
        let usage = response.prompt_tokens.map(|prompt_tokens| Usage { prompt_tokens, ..Usage::default() });
        context.line.answer(provider.name(), model, usage, cost(app, provider.name(), model, usage));
        let name = format!("{}/{model}", provider.name());
        return Ok(reply(response.vectors, encoding, &name, response.prompt_tokens.unwrap_or(0)));
    }
    let Some(name) = app.embedder().map(|embedder| embedder.name().to_owned()) else {
        let message = "`model`: no embedding model is loaded; get one with `index-builder model`, and start with `--model`";
        return Err(Error::new(Code::InvalidModel, message));
    };
    let asked = body.model.strip_prefix("local/").unwrap_or(&body.model);
    if asked != LOCAL && asked.rsplit('/').next() != Some(name.as_str()) {
        let shown: String = body.model.chars().take(100).collect();
        return Err(Error::new(Code::InvalidModel, format!("`model`: `{shown}` is not loaded; `local/{name}` is")));
    }
    let count = move |app: &App| counted(app, &texts, purpose, dimensions).map(|tokens| (tokens, texts));
    let (prompt_tokens, texts) = app.compute(context.deadline, count).await?;
    let mut vectors = Vec::with_capacity(texts.len());
    let mut texts = texts.into_iter();
    // Between two pieces others have their turn, and a caller who left is found out.
    while texts.len() > 0 {
        let piece: Vec<String> = texts.by_ref().take(PIECE_TEXTS).collect();
        vectors.extend(app.compute(context.deadline, move |app| embedded(app, &piece, purpose)).await?);
    }
    context.line.answer(LOCAL, &name, Some(Usage { prompt_tokens, ..Usage::default() }), Some(0.0));
    Ok(reply(vectors, encoding, &format!("{LOCAL}/{name}"), prompt_tokens))
}

/// Tokens of the texts, each of which the model that is loaded here reads to its end.
fn counted(app: &App, texts: &[String], purpose: Purpose, dimensions: Option<u32>) -> Result<u64> {
    let embedder = embedder(app)?;
    if let Some(wanted) = dimensions.filter(|wanted| *wanted as usize != embedder.dimensions()) {
        let has = embedder.dimensions();
        return Err(Error::bad_request(format!("`dimensions`: {wanted}, but the model has {has}; leave it out")));
    }
    let mut tokens = 0;
    for (at, text) in texts.iter().enumerate() {
        let count = embedder.count(text, purpose == Purpose::Query);
        let most = embedder.tokenizer().max_tokens();
        if count > most {
            let message = format!("`input[{at}]`: {count} tokens, but the model reads {most} at most; send it in pieces");
            return Err(Error::new(Code::ContextLength, message));
        }
        tokens += count as u64;
    }
    Ok(tokens)
}

fn embedded(app: &App, texts: &[String], purpose: Purpose) -> Result<Vec<Vec<f32>>> {
    let embedder = embedder(app)?;
    match purpose {
        Purpose::Query => texts.iter().map(|text| embedder.embed_query(text)).collect(),
        Purpose::Document => embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &|_| {}),
    }
}

fn embedder(app: &App) -> Result<&Embedder> {
    app.embedder().ok_or_else(|| Error::internal("the embedding model is gone"))
}

fn reply(vectors: Vec<Vec<f32>>, encoding: Encoding, model: &str, tokens: u64) -> Response {
    let embedding =
        |(index, vector): (usize, Vec<f32>)| Embedding { object: "embedding", index, embedding: written(vector, encoding) };
    let data = vectors.into_iter().enumerate().map(embedding).collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    json(StatusCode::OK, &EmbeddingsResponse { object: "list", data, model, usage })
}

fn texts(input: Value) -> Result<Vec<String>> {
    let items = match input {
        Value::String(text) => return Ok(vec![text]),
        Value::Array(items) => items,
        _ => return Err(Error::bad_request("`input`: neither a text nor a list of texts")),
    };
    let text = |item: Value| match item {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => {
            Err(Error::not_supported("input", "token numbers belong to one model's vocabulary; send texts"))
        }
        _ => Err(Error::bad_request("`input`: neither a text nor a list of texts")),
    };
    items.into_iter().map(text).collect()
}

fn written(vector: Vec<f32>, encoding: Encoding) -> Vector {
    match encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            Vector::Base64(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
    }
}
