//! Texts to vectors, by a provider. Pure functions per dialect; one driver that splits a list into as many calls as the provider
//! needs and keeps its order.
//!
//! Whether a text is a question or a document is part of the request, because for most providers it decides which vector comes out:
//! a question embedded as a document finds less.

mod dialect;
mod model;

use std::ops::Range;

use serde_json::Value;
use tokio::time::Instant;

pub use self::dialect::EmbedDialect;
pub use self::model::Model;
use super::Provider;
use super::dialect::{failed, parse};
use super::retry::Retry;
use crate::chat::Trace;
use crate::error::{Error, Result};
use crate::net::{Client, Request};

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It asks.
    Query,
    /// It answers.
    Document,
}

/// What is to be embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// The provider's name of the model.
    pub model: String,
    /// The texts; none of them empty.
    pub texts: Vec<String>,
    /// What they are for.
    pub purpose: Purpose,
    /// The length of a vector, where the model leaves a choice.
    pub dimensions: Option<u32>,
}

/// The vectors, in the order of the texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbedResponse {
    /// One a text, as the provider gave them: not all are of length 1.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens, where the provider said so.
    pub prompt_tokens: Option<u64>,
}

impl Provider {
    /// Embeds texts, in as many calls as the provider needs, one after the other.
    ///
    /// # Errors
    /// The provider does not embed, refused, failed, or was not done by `deadline`.
    pub async fn embed(&self, client: &Client, request: &EmbedRequest, deadline: Instant) -> Result<EmbedResponse> {
        let outcome = self.embed_all(client, request, deadline).await;
        outcome.map_err(|error| error.from_provider(&self.name, &request.model))
    }

    fn embed_dialect(&self) -> Result<EmbedDialect> {
        let no = || Error::bad_request(format!("`embedding_config.provider`: `{}` does not embed texts", self.name));
        self.preset.embeds.ok_or_else(no)
    }

    async fn embed_all(&self, client: &Client, request: &EmbedRequest, deadline: Instant) -> Result<EmbedResponse> {
        let dialect = self.embed_dialect()?;
        if let Some(at) = request.texts.iter().position(|text| text.trim().is_empty()) {
            return Err(Error::bad_request(format!("`input[{at}]`: empty; send texts that say something")));
        }
        let mut answer = EmbedResponse::default();
        for range in dialect.batches(&request.model, &request.texts) {
            let texts = &request.texts[range];
            let written = dialect.encode(request, texts)?;
            let url =
                self.base_url.join(&written.path).map_err(|cause| Error::internal(format!("the provider's address: {cause}")))?;
            let mut out = Request::new(url, written.body.to_string());
            for (name, value) in self.headers.iter() {
                out.headers.insert(name.clone(), value.clone());
            }
            let (vectors, count) = dialect.decode(&self.post(client, &out, deadline).await?)?;
            if vectors.len() != texts.len() {
                return Err(failed(format!("the provider gave {} vectors for {} texts", vectors.len(), texts.len())));
            }
            answer.vectors.extend(vectors);
            answer.prompt_tokens = count.map(|count| answer.prompt_tokens.unwrap_or(0) + count).or(answer.prompt_tokens);
        }
        if answer.vectors.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err(failed("the provider's vectors differ in length"));
        }
        Ok(answer)
    }

    /// One call, repeated where that can help.
    async fn post(&self, client: &Client, request: &Request, deadline: Instant) -> Result<Value> {
        let mut retry = Retry::new(client.retries(), deadline, &self.name, &Trace::default());
        loop {
            match self.attempt(client, request, deadline, parse).await {
                Ok(reply) => return Ok(reply),
                Err(error) => retry.after(error).await?,
            }
        }
    }
}

impl EmbedDialect {
    /// The texts of each call.
    fn batches(self, model: &str, texts: &[String]) -> Vec<Range<usize>> {
        let (most_texts, most_bytes) = (self.most_texts(model), self.most_bytes());
        let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (at, text) in texts.iter().enumerate() {
            if at > start && (at - start >= most_texts || bytes + text.len() > most_bytes) {
                batches.push(start..at);
                (start, bytes) = (at, 0);
            }
            bytes += text.len();
        }
        if start < texts.len() {
            batches.push(start..texts.len());
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_no_more_than_the_provider_takes() {
        let texts = |count: usize, bytes: usize| vec!["x".repeat(bytes); count];
        let sizes = |dialect: EmbedDialect, model: &str, texts: &[String]| -> Vec<usize> {
            let batches = dialect.batches(model, texts);
            assert!(batches.windows(2).all(|pair| pair[0].end == pair[1].start));
            batches.into_iter().map(|range| range.len()).collect()
        };
        assert_eq!(sizes(EmbedDialect::Cohere, "embed-v4.0", &texts(200, 9)), [96, 96, 8]);
        assert_eq!(sizes(EmbedDialect::Bedrock, "amazon.titan-embed-text-v1", &texts(2, 9)), [1, 1]);
        assert_eq!(sizes(EmbedDialect::OpenAi, "text-embedding-3-small", &texts(5, 100_000)), [3, 2]);
        assert_eq!(sizes(EmbedDialect::Vertex, "text-embedding-005", &texts(2, 30_000)), [1, 1], "a long text goes alone");
        assert!(sizes(EmbedDialect::OpenAi, "m", &[]).is_empty());
    }
}
