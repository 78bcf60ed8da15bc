//! A service account, by its key: a signed claim (RFC 7523).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{SCOPE, form};
use crate::config::Secret;
use crate::error::{Code, Error, Result};
use crate::net::Request;

/// What a claim is made out to, whatever the address it is sent to.
pub(super) const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const CLAIM_LIFE_S: i64 = 3600;

/// A key file of a service account.
#[derive(Deserialize)]
pub(super) struct Account {
    client_email: String,
    private_key: Secret,
    private_key_id: Option<String>,
    token_uri: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("client_email", &self.client_email).finish_non_exhaustive()
    }
}

impl Account {
    /// The request for a token.
    pub(super) fn request(&self, now_s: i64) -> Result<Request> {
        let assertion = self.assertion(now_s)?;
        form(&self.token_uri, &[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)])
    }

    /// Header, claims and signature, each in base64.
    fn assertion(&self, now_s: i64) -> Result<String> {
        let mut header = serde_json::json!({"typ": "JWT", "alg": "RS256"});
        if let Some(id) = &self.private_key_id {
            header["kid"] = id.as_str().into();
        }
        let claims = serde_json::json!({
            "iat": now_s, "exp": now_s + CLAIM_LIFE_S, "iss": self.client_email, "aud": AUDIENCE, "scope": SCOPE,
        });
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let broken = || Error::new(Code::Authentication, "the private key of the service account cannot be used");
        let pem: String = self.private_key.expose().lines().filter(|line| !line.starts_with("-----")).collect();
        let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem.trim()).map_err(|_| broken())?).map_err(|_| broken())?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).map_err(|_| broken())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
