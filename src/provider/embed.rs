//! Texts to vectors, by a provider. Pure functions per dialect; one driver that splits a list into as many calls as the provider
//! needs and keeps its order.
//!
//! Whether a text is a question or a document is part of the request, because for most providers it decides which vector comes out:
//! a question embedded as a document finds less.

mod dialect;
mod model;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::dialect::EmbedDialect;
pub use self::model::Model;
use super::Provider;
use super::dialect::failed;
use super::retry::{Retry, noted};
use crate::chat::{Failed, Trace};
use crate::error::{Error, Result};
use crate::net::Client;

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// A question.
    Query,
    /// A text that is to be found.
    Document,
}

/// One thing to be embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A text.
    Text(String),
    /// A text as token numbers of the model that is asked, which providers of OpenAI's dialect take.
    Tokens(Vec<u32>),
}

impl Input {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// The text.
    ///
    /// # Errors
    /// It is token numbers.
    pub fn text(&self) -> Result<&str> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Tokens(_) => {
                let remedy =
                    "token numbers belong to one model's vocabulary; send texts (LangChain: `check_embedding_ctx_length=False`)";
                Err(Error::not_supported("input", remedy))
            }
        }
    }

    /// Bytes of a text, or tokens.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Tokens(tokens) => tokens.len(),
        }
    }
}

/// What is to be embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// The provider's name of the model.
    pub model: String,
    /// The texts; none of them empty.
    pub inputs: Vec<Input>,
    /// What they are for.
    pub purpose: Side,
    /// The length of a vector, where the model leaves a choice.
    pub dimensions: Option<u32>,
    /// Whether a text that is too long is cut, where the provider can, and not refused.
    pub truncate: bool,
    /// Whose texts they are; told where [`Provider::embeds_for_users`].
    pub user: Option<String>,
    /// What befalls it.
    pub trace: Trace,
}

/// The vectors, in the order of the texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbedResponse {
    /// One a text, as the provider gave them: not all are of length 1.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens, where the provider told them of all calls.
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

    /// Whether the provider takes a word for whose texts it embeds.
    pub fn embeds_for_users(&self) -> bool {
        self.preset.embeds == Some(EmbedDialect::OpenAi)
    }

    fn embed_dialect(&self) -> Result<EmbedDialect> {
        let no = || Error::bad_request(format!("`embedding_config.provider`: `{}` does not embed texts", self.name));
        self.preset.embeds.ok_or_else(no)
    }

    async fn embed_all(&self, client: &Client, request: &EmbedRequest, deadline: Instant) -> Result<EmbedResponse> {
        let dialect = self.embed_dialect()?;
        let is_blank = |input: &Input| matches!(input, Input::Text(text) if text.trim().is_empty());
        if let Some(at) = request.inputs.iter().position(is_blank) {
            return Err(Error::bad_request(format!("`input[{at}]`: empty; send texts that say something")));
        }
        request.trace.asking(&self.name, &request.model);
        // Vectors that came have to be paid for, and nobody is told how much.
        let lost = |error: Error| {
            request.trace.failed(Failed { may_have_cost: true, ..noted(&error) });
            error
        };
        let mut answer = EmbedResponse { vectors: Vec::new(), prompt_tokens: Some(0) };
        for range in dialect.batches(&request.model, request.inputs.iter().map(Input::size)) {
            let inputs = &request.inputs[range];
            let call = dialect.encode(request, inputs)?;
            let url =
                self.base_url.join(&call.path).map_err(|cause| Error::internal(format!("the provider's address: {cause}")))?;
            let out = self.request(url, call.body.to_string());
            let ask = || self.attempt(client, &out, deadline, |reply| dialect.decode(reply));
            let answered = Retry::new(client, deadline, &self.name, &request.trace).run(None, ask).await;
            let EmbedResponse { vectors, prompt_tokens } =
                answered.map_err(|error| if answer.vectors.is_empty() { error } else { lost(error) })?;
            if vectors.len() != inputs.len() {
                return Err(lost(failed(format!("the provider gave {} vectors for {} texts", vectors.len(), inputs.len()))));
            }
            answer.vectors.extend(vectors);
            answer.prompt_tokens = answer.prompt_tokens.zip(prompt_tokens).map(|(sum, count)| sum.saturating_add(count));
        }
        if answer.vectors.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err(lost(failed("the provider's vectors differ in length")));
        }
        Ok(answer)
    }
}

impl EmbedDialect {
    /// The texts of each call, by their sizes.
    fn batches(self, model: &str, sizes: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
        let (most_texts, most_bytes) = (self.most_texts(model), self.most_bytes());
        let (mut batches, mut batch, mut bytes) = (Vec::new(), 0..0, 0);
        for size in sizes {
            if !batch.is_empty() && (batch.len() >= most_texts || bytes + size > most_bytes) {
                batches.push(batch.clone());
                (batch.start, bytes) = (batch.end, 0);
            }
            batch.end += 1;
            bytes += size;
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_no_more_than_the_provider_takes() {
        let texts = |count: usize, bytes: usize| vec![bytes; count];
        let sizes = |dialect: EmbedDialect, model: &str, texts: &[usize]| -> Vec<usize> {
            let batches = dialect.batches(model, texts.iter().copied());
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
