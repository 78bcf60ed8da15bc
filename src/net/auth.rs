//! How a request is signed, independent of what it says.

use reqwest::header::{AUTHORIZATION, HeaderValue};

use super::Request;
use crate::config::Secret;
use crate::error::{Code, Error, Result};

/// One way to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Nothing: a server of one's own.
    None,
    /// `Authorization: Bearer`.
    Bearer(Secret),
}

impl Auth {
    /// Adds the signature to the request.
    ///
    /// # Errors
    /// The key has characters that no header may have.
    pub fn sign(&self, request: &mut Request) -> Result<()> {
        let Self::Bearer(key) = self else { return Ok(()) };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .map_err(|_| Error::new(Code::Authentication, "the provider's key has characters that no header may have"))?;
        value.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}
