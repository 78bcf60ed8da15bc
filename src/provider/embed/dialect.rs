//! How each provider is asked for vectors, and how it answers. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::utf8_percent_encode;
use serde_json::{Value, json};

use super::super::SEGMENT;
use super::super::dialect::{failed, parse, tokens};
use super::{EmbedRequest, EmbedResponse, Input, Side};
use crate::error::{Error, Result};
use crate::net::Reply;

/// How a provider embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedDialect {
    /// `embeddings`.
    OpenAi,
    /// As OpenAI's, with names of its own.
    Mistral,
    /// `embed`.
    Cohere,
    /// `invoke`, by model: Titan, Cohere, Nova.
    Bedrock,
    /// `:batchEmbedContents`.
    Gemini,
    /// `:predict`, or `:embedContent` for newer models.
    Vertex,
}

/// Google's models whose names begin so ignore `taskType`: what a text is for is to stand before it, by Google's guide to
/// embeddings.
const PREFIXED: &str = "gemini-embedding-2";

/// Where Bedrock counts the tokens of every model.
const BEDROCK_COUNT: &str = "x-amzn-bedrock-input-token-count";

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) path: String,
    pub(super) body: Value,
}

impl EmbedDialect {
    /// Texts that one call takes.
    pub(super) fn most_texts(self, model: &str) -> usize {
        match self {
            Self::OpenAi => 2048,
            Self::Mistral => 128,
            Self::Cohere => 96,
            Self::Bedrock if model.contains("cohere") => 96,
            Self::Bedrock => 1,
            Self::Gemini => 100,
            Self::Vertex if model.trim_start_matches("models/").starts_with("gemini") => 1,
            Self::Vertex => 100,
        }
    }

    /// Most bytes a call takes: the provider's token limit, with a byte counted as a token.
    pub(super) fn most_bytes(self) -> usize {
        match self {
            Self::OpenAi => 300_000,
            Self::Mistral => 16_000,
            Self::Vertex => 20_000,
            Self::Cohere | Self::Bedrock | Self::Gemini => usize::MAX,
        }
    }

    /// Characters of a text beyond which a call is refused, however it is told to cut.
    pub(super) fn most_chars(self, model: &str) -> Option<usize> {
        (self == Self::Bedrock && model.contains("cohere") && model.contains("-v3")).then_some(2048)
    }

    /// What is to stand before a text, where a model learns from there alone what it is for.
    pub(super) fn prefix(self, model: &str, purpose: Side) -> Option<&'static str> {
        let is_google = matches!(self, Self::Gemini | Self::Vertex);
        (is_google && model.trim_start_matches("models/").starts_with(PREFIXED)).then_some(match purpose {
            Side::Query => "task: search result | query: ",
            Side::Document => "title: none | text: ",
        })
    }

    pub(super) fn encode(self, request: &EmbedRequest, inputs: &[Input]) -> Result<Call> {
        let (model, purpose, dimensions) = (request.model.as_str(), request.purpose, request.dimensions);
        let name = model.trim_start_matches("models/");
        let segment = utf8_percent_encode(name, SEGMENT);
        let task = if purpose == Side::Query { "RETRIEVAL_QUERY" } else { "RETRIEVAL_DOCUMENT" };
        let prefix = self.prefix(model, purpose);
        let part = |text: &&str| json!({"text": format!("{}{text}", prefix.unwrap_or_default())});
        let most = self.most_chars(model).filter(|_| request.truncate);
        let texts = inputs.iter().map(|input| Ok(begun(input.text()?, most))).collect::<Result<Vec<_>>>();
        let (path, body, length) = match self {
            Self::OpenAi => {
                let mut body = json!({"model": model, "input": inputs, "encoding_format": "float"});
                if let Some(user) = &request.user {
                    body["user"] = user.as_str().into();
                }
                ("embeddings".to_owned(), body, "/dimensions")
            }
            Self::Mistral => ("embeddings".to_owned(), json!({"model": model, "input": texts?}), "/output_dimension"),
            Self::Cohere => {
                let mut body = cohere_body(&texts?, request);
                body["model"] = model.into();
                ("embed".to_owned(), body, "/output_dimension")
            }
            Self::Bedrock => {
                let (body, length) = bedrock_body(&texts?, request)?;
                (format!("model/{segment}/invoke"), body, length)
            }
            Self::Gemini => {
                let one = |text: &&str| {
                    let mut one = json!({"model": format!("models/{name}"), "content": {"parts": [part(text)]}});
                    if prefix.is_none() {
                        one["taskType"] = task.into();
                    }
                    with(one, "/outputDimensionality", dimensions)
                };
                let requests: Vec<Value> = texts?.iter().map(one).collect();
                (format!("models/{segment}:batchEmbedContents"), json!({"requests": requests}), "")
            }
            Self::Vertex if prefix.is_some() => {
                let parts: Vec<Value> = texts?.iter().map(part).collect();
                let path = format!("publishers/google/models/{segment}:embedContent");
                (path, json!({"content": {"parts": parts}}), "/outputDimensionality")
            }
            Self::Vertex => {
                let instances: Vec<Value> = texts?.iter().map(|text| json!({"content": text, "task_type": task})).collect();
                let path = format!("publishers/google/models/{segment}:predict");
                let parameters = json!({"autoTruncate": request.truncate});
                (path, json!({"instances": instances, "parameters": parameters}), "/parameters/outputDimensionality")
            }
        };
        Ok(Call { path, body: with(body, length, dimensions) })
    }

    /// Vectors in the order of the texts, and tokens.
    ///
    /// # Errors
    /// The answer or a vector in it cannot be read.
    pub fn decode(self, reply: &Reply) -> Result<EmbedResponse> {
        let (vectors, counted) = self.read(&parse(&reply.body)?)?;
        let told = || reply.headers.get(BEDROCK_COUNT)?.to_str().ok()?.parse().ok();
        Ok(EmbedResponse { vectors, prompt_tokens: counted.or_else(told) })
    }

    fn read(self, reply: &Value) -> Result<(Vec<Vec<f32>>, Option<u64>)> {
        let count = |value: &Value| value.is_number().then(|| tokens(value));
        match self {
            Self::OpenAi | Self::Mistral => {
                let rows = in_their_order(reply["data"].as_array().into_iter().flatten().collect())?;
                let vectors = rows.into_iter().map(|row| vector(&row["embedding"]));
                let usage = &reply["usage"];
                // Some tell the sum alone, and nothing else is in it.
                let counted = count(&usage["prompt_tokens"]).or_else(|| count(&usage["total_tokens"]));
                Ok((vectors.collect::<Result<_>>()?, counted))
            }
            Self::Cohere => Ok((cohere(&reply["embeddings"])?, count(&reply["meta"]["billed_units"]["input_tokens"]))),
            Self::Bedrock if reply.get("embeddings").is_some() => match reply["embeddings"][0].get("embedding") {
                Some(one) => Ok((vec![vector(one)?], None)),
                None => Ok((cohere(&reply["embeddings"])?, None)),
            },
            Self::Bedrock => Ok((vec![vector(&reply["embedding"])?], count(&reply["inputTextTokenCount"]))),
            Self::Gemini => {
                let vectors = reply["embeddings"].as_array().into_iter().flatten().map(|row| vector(&row["values"]));
                Ok((vectors.collect::<Result<_>>()?, count(&reply["usageMetadata"]["promptTokenCount"])))
            }
            Self::Vertex if reply.get("embedding").is_some() => {
                Ok((vec![vector(&reply["embedding"]["values"])?], count(&reply["usageMetadata"]["promptTokenCount"])))
            }
            Self::Vertex => {
                let rows = || reply["predictions"].as_array().into_iter().flatten().map(|row| &row["embeddings"]);
                let count = |row: &Value| count(&row["statistics"]["token_count"]);
                let total = rows().try_fold(0_u64, |sum, row| Some(sum.saturating_add(count(row)?)));
                Ok((rows().map(|row| vector(&row["values"])).collect::<Result<_>>()?, total))
            }
        }
    }
}

/// The text, or as much of it as is taken.
fn begun(text: &str, most: Option<usize>) -> &str {
    most.and_then(|most| text.char_indices().nth(most)).map_or(text, |(end, _)| &text[..end])
}

/// Cohere's own body, apart from the model.
fn cohere_body(texts: &[&str], request: &EmbedRequest) -> Value {
    let input_type = if request.purpose == Side::Query { "search_query" } else { "search_document" };
    json!({"texts": texts, "input_type": input_type, "embedding_types": ["float"], "truncate": truncation(request)})
}

/// Which end of a text that is too long is cut, as Cohere and Nova call it.
fn truncation(request: &EmbedRequest) -> &'static str {
    if request.truncate { "END" } else { "NONE" }
}

/// The body for one of Bedrock's models, and where it says how long a vector is to be. Only Cohere's take more than one text.
fn bedrock_body(texts: &[&str], request: &EmbedRequest) -> Result<(Value, &'static str)> {
    let (model, text) = (request.model.as_str(), texts.first());
    if model.contains("cohere") {
        let mut body = cohere_body(texts, request);
        // Its fourth version calls the ends by other names.
        if model.contains("embed-v4") && request.truncate {
            body["truncate"] = "RIGHT".into();
        }
        return Ok((body, "/output_dimension"));
    }
    if model.contains("nova") {
        let purpose = if request.purpose == Side::Query { "TEXT_RETRIEVAL" } else { "GENERIC_INDEX" };
        let text = json!({"truncationMode": truncation(request), "value": text});
        let body = json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": purpose, "text": text}});
        return Ok((body, "/singleEmbeddingParams/embeddingDimension"));
    }
    if !model.contains("titan-embed-text-v1") && !model.contains("titan-embed-g1") {
        return Ok((json!({"inputText": text, "normalize": true}), "/dimensions"));
    }
    if request.dimensions.is_some() {
        return Err(Error::bad_request("`dimensions`: Titan v1 has one length only; leave it out"));
    }
    Ok((json!({"inputText": text}), ""))
}

/// Rows by their `index`: some servers leave it out or write the same everywhere, and what names a place twice names the wrong one.
fn in_their_order(mut rows: Vec<&Value>) -> Result<Vec<&Value>> {
    let place = |row: &Value| row["index"].as_u64();
    if rows.windows(2).all(|pair| place(pair[0]) == place(pair[1])) {
        return Ok(rows);
    }
    rows.sort_by_key(|row| place(row));
    if rows.iter().zip(0..).any(|(row, at)| place(row) != Some(at)) {
        return Err(failed("the provider's vectors are not numbered from 0, each once"));
    }
    Ok(rows)
}

/// `body` with the length of a vector at `pointer`, where one was asked for.
fn with(mut body: Value, pointer: &str, dimensions: Option<u32>) -> Value {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return body };
    if let (Some(dimensions), Some(place)) = (dimensions, body.pointer_mut(parent)) {
        place[name] = dimensions.into();
    }
    body
}

/// By type, or as the first version had it: a plain list.
fn cohere(embeddings: &Value) -> Result<Vec<Vec<f32>>> {
    let rows = embeddings["float"].as_array().or(embeddings.as_array());
    rows.into_iter().flatten().map(vector).collect()
}

/// A list of numbers, or its bytes in base64: little-endian, four a number.
#[expect(clippy::cast_possible_truncation, reason = "vectors are stored and compared in single precision")]
fn vector(value: &Value) -> Result<Vec<f32>> {
    let unreadable = || failed("the provider's vector cannot be read");
    let vector: Vec<f32> = match value {
        Value::Array(numbers) => numbers
            .iter()
            .map(|number| number.as_f64().map(|number| number as f32))
            .collect::<Option<_>>()
            .ok_or_else(unreadable)?,
        Value::String(text) => {
            let bytes = STANDARD.decode(text).map_err(|_| unreadable())?;
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
        }
        _ => return Err(unreadable()),
    };
    if vector.is_empty() || vector.iter().any(|number| !number.is_finite()) {
        return Err(unreadable());
    }
    Ok(vector)
}

#[cfg(test)]
mod tests;
