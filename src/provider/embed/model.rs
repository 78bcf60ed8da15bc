//! A provider's model as the one that an index was built with: every vector of one length, and of length 1.

use std::ops::Range;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{EmbedRequest, EmbedResponse, Input, Side};
use crate::chat::{Failed, Trace};
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::net::Client;
use crate::provider::Provider;
use crate::provider::retry::{Health, noted};

/// A model of a provider's that embeds.
#[derive(Debug, Clone)]
pub struct Model {
    provider: Provider,
    name: String,
    dimensions: usize,
    shortened: bool,
    /// Apart from the chat health: a provider can fail at one and work at the other.
    health: Arc<Health>,
}

impl Model {
    /// The model that made the vectors of an index. `shortened` says that it was asked for this many dimensions.
    pub fn new(provider: Provider, name: &str, dimensions: usize, shortened: bool) -> Self {
        Self { provider, name: name.to_owned(), dimensions, shortened, health: Arc::default() }
    }

    /// Asks for one vector, to learn how long they are: [`Self::dimensions`], whatever was asked for.
    ///
    /// # Errors
    /// As [`Provider::embed`], or the vector is all zeros.
    pub async fn probe(
        provider: Provider,
        name: &str,
        dimensions: Option<u32>,
        client: &Client,
        deadline: Instant,
    ) -> Result<Self> {
        let inputs = vec![Input::Text("How long is a vector?".to_owned())];
        let trace = Trace::default();
        let request = EmbedRequest {
            model: name.to_owned(),
            inputs,
            purpose: Side::Document,
            dimensions,
            truncate: false,
            user: None,
            trace,
        };
        let response = provider.embed(client, &request, deadline).await?;
        let found = response.vectors.first().map_or(0, Vec::len);
        let model = Self::new(provider, name, found, dimensions.is_some());
        model.checked(response)?;
        Ok(model)
    }

    /// Who embeds.
    pub fn provider(&self) -> &str {
        self.provider.name()
    }

    /// What the provider calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Components of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether it keeps failing, and is to be left alone where words can stand in.
    pub fn is_cooling(&self) -> bool {
        self.health.is_cooling(&self.name)
    }

    /// Characters of a question that are embedded, where its provider refuses more.
    pub fn most_chars(&self) -> Option<usize> {
        self.provider.preset.embeds?.most_chars(&self.name)
    }

    /// Whether the provider is asked for this many dimensions.
    pub fn is_shortened(&self) -> bool {
        self.shortened
    }

    /// Names the model by provider, name, dimensions and document prefix; 16 hex digits.
    pub fn fingerprint(&self) -> String {
        let prefix = self.provider.preset.embeds.and_then(|dialect| dialect.prefix(&self.name, Side::Document));
        let prefix = prefix.map(|prefix| format!("\0{prefix}")).unwrap_or_default();
        let whole = format!("{}\0{}\0{}{prefix}", self.provider(), self.name, self.dimensions);
        hex(&Sha256::digest(whole)[..8])
    }

    /// Tells the server from every other, for what is kept: two may call different models the same. 8 hex digits.
    pub fn place(&self) -> String {
        hex(&Sha256::digest(self.provider.base_url.as_str())[..4])
    }

    /// The texts of each call: what is paid for at once.
    ///
    /// # Errors
    /// The provider does not embed.
    pub fn batches(&self, texts: &[String]) -> Result<Vec<Range<usize>>> {
        Ok(self.provider.embed_dialect()?.batches(&self.name, texts.iter().map(String::len)))
    }

    /// One unit vector a text. `trace` is told of every call that failed, and of vectors that are of no use.
    ///
    /// # Errors
    /// As [`Provider::embed`], or the vectors are not as long as the index's.
    pub async fn embed(
        &self,
        client: &Client,
        texts: Vec<String>,
        purpose: Side,
        trace: Trace,
        deadline: Instant,
    ) -> Result<EmbedResponse> {
        let dimensions = u32::try_from(self.dimensions).ok().filter(|_| self.shortened);
        let inputs = texts.into_iter().map(Input::Text).collect();
        // A question finds something by its beginning, too.
        let (model, truncate) = (self.name.clone(), purpose == Side::Query);
        let request = EmbedRequest { model, inputs, purpose, dimensions, truncate, user: None, trace };
        let answered = self.provider.embed(client, &request, deadline).await;
        match &answered {
            Ok(_) => self.health.good(&self.name),
            Err(error) => self.health.bad(&self.name, error),
        }
        self.checked(answered?).inspect_err(|error| request.trace.failed(Failed { may_have_cost: true, ..noted(error) }))
    }

    fn checked(&self, mut response: EmbedResponse) -> Result<EmbedResponse> {
        for (at, vector) in response.vectors.iter_mut().enumerate() {
            if vector.len() != self.dimensions {
                let message = format!(
                    "`{}/{}` gave a vector of {} dimensions in the place of {}; was the model changed? build the index again",
                    self.provider(),
                    self.name,
                    vector.len(),
                    self.dimensions
                );
                return Err(Error::new(Code::WrongModel, message).from_provider(self.provider(), &self.name));
            }
            let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if length == 0.0 {
                let error = super::failed("the provider's vector is all zeros").with_details(json!({"input": at}));
                return Err(error.from_provider(self.provider(), &self.name));
            }
            #[expect(clippy::cast_possible_truncation, reason = "vectors are stored and compared in single precision")]
            vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
        }
        Ok(response)
    }
}
