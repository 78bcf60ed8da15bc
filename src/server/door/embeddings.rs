//! `POST /v1/embeddings`: OpenAI's dialect over the embedding model that is loaded here, or a provider's (`provider/model`).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{is_provider, no_provider};
use crate::app::App;
use crate::chat::{Usage, Warning};
use crate::embed::Embedder;
use crate::error::{Code, Error, Result};
use crate::provider::embed::{EmbedRequest, EmbedResponse, Input, Side};
use crate::rag::Exchange;
use crate::server::body::parse;
use crate::server::field;
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
    input_type: Option<Side>,
    user: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<EmbeddingsUsage>,
    omni: Omni<'a>,
}

/// Left out where the provider told no tokens.
#[derive(Debug, Serialize)]
struct EmbeddingsUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// What we say beyond the dialect.
#[derive(Debug, Serialize)]
struct Omni<'a> {
    request_id: &'a str,
    provider: &'a str,
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
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
    answer(&app, &context, request, async |bytes, _| {
        let body = parse(&bytes)?;
        drop(bytes);
        embed(&app, &context, body).await
    })
    .await
}

/// Whether a name means the embedding model that is loaded.
pub(super) fn is_loaded(app: &App, model: &str) -> bool {
    let asked = model.strip_prefix("local/").unwrap_or(model);
    let is_of_provider = model.split_once('/').is_some_and(|(name, _)| is_provider(app, name));
    let is_named = |embedder: &Embedder| asked == LOCAL || asked.rsplit('/').next() == Some(embedder.name());
    !is_of_provider && app.embedder().is_some_and(is_named)
}

async fn embed(app: &Arc<App>, context: &Context, body: EmbeddingsBody) -> Result<Response> {
    field::model(&body.model)?;
    let inputs = inputs(body.input)?;
    if inputs.is_empty() || inputs.len() > MAX_TEXTS {
        return Err(Error::bad_request(format!("`input`: send 1 to {MAX_TEXTS} texts")));
    }
    if let Some(at) = inputs.iter().position(Input::is_empty) {
        return Err(Error::bad_request(format!("`input[{at}]`: empty; send texts that say something")));
    }
    let (encoding, dimensions) = (body.encoding_format.unwrap_or_default(), body.dimensions);
    // Most providers give a question another vector than a document.
    let purpose = body.input_type.unwrap_or(Side::Document);
    if let Some((provider, model)) = body.model.split_once('/').filter(|(name, _)| is_provider(app, name)) {
        if model.is_empty() {
            return Err(Error::bad_request(format!("`model`: `{provider}/` names no model; write `provider/model`")));
        }
        let provider = app.provider(provider)?;
        let trace = context.line.trace().clone();
        let takes_user = provider.embeds_for_users();
        let warnings = unsaid(body.user.as_deref().filter(|_| !takes_user), provider.name());
        let user = body.user.filter(|_| takes_user);
        let request = EmbedRequest { model: model.to_owned(), inputs, purpose, dimensions, truncate: false, user, trace };
        let exchange = Exchange::begin(app);
        let outcome = provider.embed(app.client(), &request, context.deadline).await;
        exchange.end(&request.trace);
        let response = outcome?;
        return Ok(reply(app, context, (provider.name(), model), encoding, response, warnings));
    }
    let named = Some(&body.model).filter(|model| !model.starts_with("local/"));
    let unknown = || named.and_then(|model| no_provider(model)).map_or_else(String::new, |why| format!("; {why}"));
    let Some(name) = app.embedder().map(|embedder| embedder.name().to_owned()) else {
        let message = "`model`: no embedding model is loaded; get one with `index-builder model`, and start with `--model`";
        return Err(Error::new(Code::InvalidModel, format!("{message}{}", unknown())));
    };
    if !is_loaded(app, &body.model) {
        let shown: String = body.model.chars().take(100).collect();
        let message = format!("`model`: `{shown}` is not loaded; `local/{name}` is{}", unknown());
        return Err(Error::new(Code::InvalidModel, message));
    }
    let texts: Vec<String> = inputs.iter().map(|input| input.text().map(str::to_owned)).collect::<Result<_>>()?;
    let count = move |app: &App| counted(app, &texts, purpose, dimensions).map(|tokens| (tokens, texts));
    let (prompt_tokens, texts) = app.compute(context.deadline, count).await?;
    let mut vectors = Vec::with_capacity(texts.len());
    let mut texts = texts.into_iter();
    // Between two pieces others have their turn, and a caller who left is found out.
    while texts.len() > 0 {
        let piece: Vec<String> = texts.by_ref().take(PIECE_TEXTS).collect();
        vectors.extend(app.compute(context.deadline, move |app| embedded(app, &piece, purpose)).await?);
    }
    let response = EmbedResponse { vectors, prompt_tokens: Some(prompt_tokens) };
    Ok(reply(app, context, (LOCAL, &name), encoding, response, unsaid(body.user.as_deref(), LOCAL)))
}

/// Tokens of the texts, each of which the model that is loaded here reads to its end.
fn counted(app: &App, texts: &[String], purpose: Side, dimensions: Option<u32>) -> Result<u64> {
    let embedder = embedder(app)?;
    if let Some(wanted) = dimensions.filter(|wanted| *wanted as usize != embedder.dimensions()) {
        let has = embedder.dimensions();
        return Err(Error::bad_request(format!("`dimensions`: {wanted}, but the model has {has}; leave it out")));
    }
    let mut tokens = 0;
    for (at, text) in texts.iter().enumerate() {
        let count = match purpose {
            Side::Query => embedder.count_query(text),
            Side::Document => embedder.count(text),
        };
        let most = embedder.tokenizer().max_tokens();
        if count > most {
            let message = format!("`input[{at}]`: {count} tokens, but the model reads {most} at most; send it in pieces");
            return Err(Error::new(Code::ContextLength, message));
        }
        tokens += count as u64;
    }
    Ok(tokens)
}

fn embedded(app: &App, texts: &[String], purpose: Side) -> Result<Vec<Vec<f32>>> {
    let embedder = embedder(app)?;
    match purpose {
        Side::Query => texts.iter().map(|text| embedder.embed_query(text)).collect(),
        Side::Document => embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>(), &|_| {}),
    }
}

fn embedder(app: &App) -> Result<&Embedder> {
    app.embedder().ok_or_else(|| Error::internal("the embedding model is gone"))
}

/// The warning that `who` is not told whose texts they are.
fn unsaid(user: Option<&str>, who: &str) -> Vec<String> {
    user.map(|_| Warning::dropped("user", format!("`{who}` does not take it")).to_string()).into_iter().collect()
}

/// The answer of a provider's model, which the log line tells, too.
fn reply(
    app: &App,
    context: &Context,
    who: (&str, &str),
    encoding: Encoding,
    response: EmbedResponse,
    warnings: Vec<String>,
) -> Response {
    let (provider, model) = who;
    let usage = response.prompt_tokens.map(|prompt_tokens| Usage { prompt_tokens, ..Usage::default() });
    let cost_usd = if provider == LOCAL { Some(0.0) } else { app.prices().charge(provider, &[model], usage.as_ref()) };
    context.line.answer(provider, model, usage, cost_usd);
    let embedding =
        |(index, vector): (usize, Vec<f32>)| Embedding { object: "embedding", index, embedding: written(vector, encoding) };
    let answer = EmbeddingsResponse {
        object: "list",
        data: response.vectors.into_iter().enumerate().map(embedding).collect(),
        model: &format!("{provider}/{model}"),
        usage: response.prompt_tokens.map(|tokens| EmbeddingsUsage { prompt_tokens: tokens, total_tokens: tokens }),
        omni: Omni { request_id: &context.id, provider, cost_usd, warnings },
    };
    json(StatusCode::OK, &answer)
}

/// A text or token numbers, or a list of these.
fn inputs(input: Value) -> Result<Vec<Input>> {
    let is_list = input.as_array().is_some_and(|items| !items.first().is_some_and(Value::is_number));
    let inputs = if is_list { serde_json::from_value(input) } else { serde_json::from_value(input).map(|one| vec![one]) };
    inputs.map_err(|_| Error::bad_request("`input`: neither a text nor a list of texts"))
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
