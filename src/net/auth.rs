//! How a request is signed, independent of what it says, and how what proves it is kept out of what others tell.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::aws::Signer;
use super::google::Tokens;
use super::key::Key;
use super::{Client, Request};
use crate::error::{Code, Error, Result};

/// One way to sign.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Nothing: a server of one's own.
    None,
    /// `Authorization: Bearer`.
    Bearer(Key),
    /// The key in a header of its own.
    Header(HeaderName, Key),
    /// AWS Signature Version 4.
    Aws(Arc<Signer>),
    /// An OAuth token of Google's.
    Google(Arc<Tokens>),
}

/// The keys, tokens and signatures that a request was sent with: whoever got them may repeat them in what he refuses it with.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

/// Characters of what a provider said that are told at most; longer texts are cut.
pub const MAX_TOLD_CHARS: usize = 500;

/// Shorter keys stand in for none (`none`, `dummy`), and their letters for words.
const SHORTEST_SECRET: usize = 8;

/// Likewise without any digit (`lm-studio`, `required`).
const SHORTEST_WORDLIKE_SECRET: usize = 16;

impl Secrets {
    /// Those of a signed request.
    pub fn of(request: &Request) -> Self {
        let sent = request.headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        // What stands behind `Bearer`, or last in AWS's list.
        let words = sent.filter_map(|value| value.rsplit(' ').next()).map(|word| word.trim_start_matches("Signature="));
        let is_secret = |word: &&str| {
            let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
            word.len() >= if has_digit { SHORTEST_SECRET } else { SHORTEST_WORDLIKE_SECRET }
        };
        Self(words.filter(is_secret).map(str::to_owned).collect())
    }

    /// The error as others may read it.
    pub fn hidden_in(&self, error: Error) -> Error {
        error.retold(|text| self.hidden(text))
    }

    fn hidden(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            let text = text.replace(secret.as_str(), "(key)");
            // Texts that are too long were cut, and a secret with them.
            if text.chars().count() < MAX_TOLD_CHARS {
                return text;
            }
            let part = (SHORTEST_SECRET..secret.len()).rev().find(|length| text.ends_with(&secret[..*length]));
            part.map_or_else(|| text.clone(), |length| format!("{}(key)", &text[..text.len() - length]))
        })
    }
}

impl Auth {
    /// Adds the signature to the request, which must not change after that.
    ///
    /// # Errors
    /// The key has characters that no header may have, or none could be got.
    pub async fn sign(&self, client: &Client, request: &mut Request) -> Result<()> {
        let (name, value) = match self {
            Self::None => return Ok(()),
            Self::Bearer(key) => (AUTHORIZATION, format!("Bearer {}", key.read(client).await?.expose())),
            Self::Header(name, key) => (name.clone(), key.read(client).await?.expose().to_owned()),
            Self::Aws(signer) => return Box::pin(signer.sign(client, request)).await,
            Self::Google(tokens) => (AUTHORIZATION, format!("Bearer {}", Box::pin(tokens.token(client)).await?.expose())),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| Error::new(Code::Authentication, "the provider's key has characters that no header may have"))?;
        value.set_sensitive(true);
        request.headers.insert(name, value);
        Ok(())
    }
}
