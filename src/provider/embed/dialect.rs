//! How each provider is asked for vectors, and how it answers. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::SEGMENT;
use super::super::dialect::{failed, tokens};
use super::{EmbedRequest, Purpose};
use crate::error::{Error, Result};

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

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
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
            Self::Vertex if model.starts_with("gemini") => 1,
            Self::Vertex => 100,
        }
    }

    /// Bytes of text that one call takes: what it says of tokens, as if each byte were one.
    pub(super) fn most_bytes(self) -> usize {
        match self {
            Self::OpenAi => 300_000,
            Self::Mistral => 16_000,
            Self::Vertex => 20_000,
            Self::Cohere | Self::Bedrock | Self::Gemini => usize::MAX,
        }
    }

    pub(super) fn encode(self, request: &EmbedRequest, texts: &[String]) -> Result<Written> {
        let (model, dimensions) = (request.model.as_str(), request.dimensions);
        let is_query = request.purpose == Purpose::Query;
        let segment = percent_encoding::utf8_percent_encode(model, SEGMENT).to_string();
        let cohere = if is_query { "search_query" } else { "search_document" };
        let google = if is_query { "RETRIEVAL_QUERY" } else { "RETRIEVAL_DOCUMENT" };
        let (path, mut body, length) = match self {
            Self::OpenAi => {
                ("embeddings".to_owned(), json!({"model": model, "input": texts, "encoding_format": "float"}), "/dimensions")
            }
            Self::Mistral => ("embeddings".to_owned(), json!({"model": model, "input": texts}), "/output_dimension"),
            Self::Cohere => {
                let body = json!({"model": model, "texts": texts, "input_type": cohere, "embedding_types": ["float"]});
                ("embed".to_owned(), body, "/output_dimension")
            }
            Self::Bedrock => {
                let path = format!("model/{segment}/invoke");
                let [only] = texts else {
                    let body = json!({"texts": texts, "input_type": cohere, "embedding_types": ["float"]});
                    return Ok(Written { path, body: with(body, "/output_dimension", dimensions) });
                };
                if model.contains("cohere") {
                    (path, json!({"texts": texts, "input_type": cohere, "embedding_types": ["float"]}), "/output_dimension")
                } else if model.contains("nova") {
                    let purpose = if is_query { "TEXT_RETRIEVAL" } else { "GENERIC_INDEX" };
                    let text = json!({"truncationMode": "END", "value": only});
                    let body = json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": purpose, "text": text}});
                    (path, body, "/singleEmbeddingParams/embeddingDimension")
                } else if model.contains("titan-embed-text-v1") || model.contains("titan-embed-g1") {
                    if dimensions.is_some() {
                        return Err(Error::bad_request("`dimensions`: Titan v1 has one length only; leave it out"));
                    }
                    (path, json!({"inputText": only}), "")
                } else {
                    (path, json!({"inputText": only, "normalize": true}), "/dimensions")
                }
            }
            Self::Gemini => {
                let name = format!("models/{}", model.trim_start_matches("models/"));
                let requests = texts.iter().map(|text| {
                    let content = json!({"parts": [{"text": text}]});
                    with(json!({"model": name, "content": content, "taskType": google}), "/outputDimensionality", dimensions)
                });
                let requests: Vec<Value> = requests.collect();
                (
                    format!(
                        "models/{}:batchEmbedContents",
                        percent_encoding::utf8_percent_encode(name.trim_start_matches("models/"), SEGMENT)
                    ),
                    json!({"requests": requests}),
                    "",
                )
            }
            Self::Vertex if model.starts_with("gemini-embedding-2") => {
                let parts: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
                let path = format!("publishers/google/models/{segment}:embedContent");
                (path, json!({"content": {"parts": parts}, "taskType": google}), "/outputDimensionality")
            }
            Self::Vertex => {
                let instances: Vec<Value> = texts.iter().map(|text| json!({"content": text, "task_type": google})).collect();
                let path = format!("publishers/google/models/{segment}:predict");
                (path, json!({"instances": instances, "parameters": {"autoTruncate": false}}), "/parameters/outputDimensionality")
            }
        };
        if !length.is_empty() {
            body = with(body, length, dimensions);
        }
        Ok(Written { path, body })
    }

    /// Vectors in the order of the texts, and tokens.
    pub(super) fn decode(self, reply: &Value) -> Result<(Vec<Vec<f32>>, Option<u64>)> {
        let count = |value: &Value| value.is_number().then(|| tokens(value));
        match self {
            Self::OpenAi | Self::Mistral => {
                let rows = in_their_order(reply["data"].as_array().into_iter().flatten().collect())?;
                let vectors = rows.into_iter().map(|row| vector(&row["embedding"]));
                Ok((vectors.collect::<Result<_>>()?, count(&reply["usage"]["prompt_tokens"])))
            }
            Self::Cohere => Ok((cohere(&reply["embeddings"])?, count(&reply["meta"]["billed_units"]["input_tokens"]))),
            Self::Bedrock if reply.get("embeddings").is_some() => match reply["embeddings"][0].get("embedding") {
                Some(one) => Ok((vec![vector(one)?], None)),
                None => Ok((cohere(&reply["embeddings"])?, None)),
            },
            Self::Bedrock => Ok((vec![vector(&reply["embedding"])?], count(&reply["inputTextTokenCount"]))),
            Self::Gemini => {
                let rows = reply["embeddings"].as_array().into_iter().flatten();
                Ok((rows.map(|row| vector(&row["values"])).collect::<Result<_>>()?, None))
            }
            Self::Vertex if reply.get("embedding").is_some() => {
                Ok((vec![vector(&reply["embedding"]["values"])?], count(&reply["usageMetadata"]["promptTokenCount"])))
            }
            Self::Vertex => {
                let rows = || reply["predictions"].as_array().into_iter().flatten().map(|row| &row["embeddings"]);
                let counts: Vec<u64> = rows().filter_map(|row| count(&row["statistics"]["token_count"])).collect();
                let total = (!counts.is_empty()).then(|| counts.iter().sum());
                Ok((rows().map(|row| vector(&row["values"])).collect::<Result<_>>()?, total))
            }
        }
    }
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
mod tests {
    use super::*;

    fn written(dialect: EmbedDialect, model: &str, purpose: Purpose, dimensions: Option<u32>, texts: &[&str]) -> (String, Value) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let request = EmbedRequest { model: model.into(), texts: texts.clone(), purpose, dimensions };
        let written = dialect.encode(&request, &texts).unwrap();
        (written.path, written.body)
    }

    #[test]
    fn a_question_is_not_embedded_as_a_document() {
        use EmbedDialect::{Bedrock, Cohere, Gemini, Mistral, OpenAi, Vertex};
        use Purpose::{Document, Query};
        let table = [
            (
                OpenAi,
                "m",
                Query,
                Some(8),
                "embeddings",
                json!({"model": "m", "input": ["a"], "encoding_format": "float", "dimensions": 8}),
            ),
            (Mistral, "m", Document, Some(8), "embeddings", json!({"model": "m", "input": ["a"], "output_dimension": 8})),
            (
                Cohere,
                "m",
                Query,
                None,
                "embed",
                json!({"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["float"]}),
            ),
            (
                Cohere,
                "m",
                Document,
                Some(8),
                "embed",
                json!({"model": "m", "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"], "output_dimension": 8}),
            ),
            (
                Bedrock,
                "amazon.titan-embed-text-v1",
                Query,
                None,
                "model/amazon.titan-embed-text-v1/invoke",
                json!({"inputText": "a"}),
            ),
            (
                Bedrock,
                "amazon.titan-embed-text-v2:0",
                Document,
                Some(256),
                "model/amazon.titan-embed-text-v2%3A0/invoke",
                json!({"inputText": "a", "normalize": true, "dimensions": 256}),
            ),
            (
                Bedrock,
                "cohere.embed-english-v3",
                Query,
                None,
                "model/cohere.embed-english-v3/invoke",
                json!({"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"]}),
            ),
            (
                Bedrock,
                "amazon.nova-2-multimodal-embeddings-v1:0",
                Query,
                Some(256),
                "model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
                json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "TEXT_RETRIEVAL", "text": {"truncationMode": "END", "value": "a"}, "embeddingDimension": 256}}),
            ),
            (
                Gemini,
                "gemini-embedding-001",
                Query,
                Some(8),
                "models/gemini-embedding-001:batchEmbedContents",
                json!({"requests": [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}]}),
            ),
            (
                Vertex,
                "text-embedding-005",
                Document,
                Some(8),
                "publishers/google/models/text-embedding-005:predict",
                json!({"instances": [{"content": "a", "task_type": "RETRIEVAL_DOCUMENT"}], "parameters": {"autoTruncate": false, "outputDimensionality": 8}}),
            ),
            (
                Vertex,
                "gemini-embedding-2",
                Query,
                None,
                "publishers/google/models/gemini-embedding-2:embedContent",
                json!({"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY"}),
            ),
        ];
        for (dialect, model, purpose, dimensions, path, body) in table {
            assert_eq!(written(dialect, model, purpose, dimensions, &["a"]), (path.to_owned(), body), "{dialect:?} {model}");
        }
    }

    #[test]
    fn vectors_come_in_the_order_of_the_texts_whatever_their_spelling() {
        let base64 = STANDARD.encode([1.0f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat());
        let reply = json!({"data": [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": base64}], "usage": {"prompt_tokens": 7}});
        assert_eq!(EmbedDialect::OpenAi.decode(&reply).unwrap(), (vec![vec![1.0, -2.5], vec![3.0, 4.5]], Some(7)));
        let numbered = |indexes: Value| {
            let rows = indexes.as_array().unwrap().iter().enumerate();
            let rows: Vec<Value> = rows.map(|(at, index)| json!({"index": index, "embedding": [at]})).collect();
            EmbedDialect::Mistral.decode(&json!({"data": rows})).map(|(vectors, _)| vectors.concat()).ok()
        };
        assert_eq!(numbered(json!([2, 0, 1])), Some(vec![1.0, 2.0, 0.0]));
        for kept in [json!([null, null]), json!([0, 0]), json!([5])] {
            assert_eq!(numbered(kept.clone()).map(|vectors| vectors.is_sorted()), Some(true), "{kept}");
        }
        for wrong in [json!([0, 0, 1]), json!([1, 2]), json!([0, null]), json!([0, 3])] {
            assert_eq!(numbered(wrong.clone()), None, "{wrong}");
        }
        let reply = json!({"embeddings": {"float": [[1.0], [2.0]]}, "meta": {"billed_units": {"input_tokens": 3.0}}});
        assert_eq!(EmbedDialect::Cohere.decode(&reply).unwrap(), (vec![vec![1.0], vec![2.0]], Some(3)));
        let reply = json!({"embedding": [1.0], "inputTextTokenCount": 2});
        assert_eq!(EmbedDialect::Bedrock.decode(&reply).unwrap(), (vec![vec![1.0]], Some(2)));
        let reply = json!({"embeddings": [[1.0], [2.0]], "response_type": "embeddings_floats"});
        assert_eq!(EmbedDialect::Bedrock.decode(&reply).unwrap().0, vec![vec![1.0], vec![2.0]]);
        let reply = json!({"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0]}]});
        assert_eq!(EmbedDialect::Bedrock.decode(&reply).unwrap().0, vec![vec![1.0]]);
        let reply = json!({"predictions": [{"embeddings": {"values": [1.0], "statistics": {"token_count": 4}}}]});
        assert_eq!(EmbedDialect::Vertex.decode(&reply).unwrap(), (vec![vec![1.0]], Some(4)));
        let reply = json!({"embeddings": [{"values": [1.0]}, {"values": [2.0]}]});
        assert_eq!(EmbedDialect::Gemini.decode(&reply).unwrap().0, vec![vec![1.0], vec![2.0]]);
        for bad in [json!([]), json!(["x"]), json!(null), json!("%"), json!([1e300])] {
            assert!(vector(&bad).is_err(), "{bad}");
        }
    }
}
