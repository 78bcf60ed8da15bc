//! How a request is signed, independent of what it says.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::aws::Signer;
use super::google::Tokens;
use super::key::Key;
use super::{Client, Request};
use crate::error::{Code, Error, Result};

/// One way to sign.
#[derive(Debug, Clone)]
pub(crate) enum Auth {
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

impl Auth {
    /// Adds the signature to the request, which must not change after that.
    ///
    /// # Errors
    /// The key has characters that no header may have, or none could be got.
    pub(crate) async fn sign(&self, client: &Client, request: &mut Request) -> Result<()> {
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
