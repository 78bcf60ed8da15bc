//! Answers about vectors: every number, in order, and the tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use omni_llm::net::Reply;
use omni_llm::provider::embed::EmbedDialect;
use serde_json::Value;

use super::exchange::{Exchange, list, number};
use super::{Kind, Outcome, holds, same};

pub(super) fn check(dialect: EmbedDialect, exchange: &Exchange<'_>) -> Outcome {
    let (headers, body) = (exchange.headers(), exchange.json().unwrap_or_default());
    let in_header = headers.get("x-amzn-bedrock-input-token-count").and_then(|value| value.to_str().ok()?.parse().ok());
    let reply = Reply { status: 200, headers, body: Bytes::from(body.to_string()) };
    let answer = dialect.decode(&reply).map_err(|error| format!("not read: {error}"))?;
    let mut expected = Vec::new();
    vectors(&body, &mut expected);
    holds("there are vectors", !expected.is_empty())?;
    same("vectors", &answer.vectors, &expected)?;
    let pointers = [
        "/usage/prompt_tokens",
        "/usage/total_tokens",
        "/meta/billed_units/input_tokens",
        "/inputTextTokenCount",
        "/usageMetadata/promptTokenCount",
        "/predictions/0/embeddings/statistics/token_count",
    ];
    let first = pointers.into_iter().find_map(|pointer| number(body.pointer(pointer)?));
    let more = list(&body["predictions"]).skip(1).filter_map(|row| number(&row["embeddings"]["statistics"]["token_count"]));
    let tokens = first.map(|first| first + more.sum::<u64>()).or(in_header);
    same("tokens", &answer.prompt_tokens, &tokens)?;
    Ok(Kind::Embedded)
}

/// Every list of numbers in a body, and every vector in base64.
fn vectors(value: &Value, found: &mut Vec<Vec<f32>>) {
    // Titan says the same twice; Cohere says it in smaller numbers, too.
    const OTHERS: [&str; 6] = ["embeddingsByType", "int8", "uint8", "binary", "ubinary", "base64"];
    match value {
        Value::Array(items) if items.first().is_some_and(Value::is_number) => {
            found.push(serde_json::from_value(value.clone()).unwrap());
        }
        Value::Array(items) => items.iter().for_each(|item| vectors(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str())) {
                match value.as_str().filter(|_| name == "embedding") {
                    Some(text) => {
                        let bytes = STANDARD.decode(text).unwrap();
                        found.push(bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect());
                    }
                    None => vectors(value, found),
                }
            }
        }
        _ => {}
    }
}
