//! Google's OAuth tokens: a service account's, by a signed claim (RFC 7523), or those of the place where we run. Kept until shortly
//! before they end.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::{Client, Request};
use crate::config::Secret;
use crate::error::{Code, Error, Result};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// What a claim is made out to, whatever the address it is sent to.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const METADATA: &str = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
const CLAIM_LIFE_S: i64 = 3600;
const EARLY: Duration = Duration::from_secs(120);
const WAIT: Duration = Duration::from_secs(10);

/// Where tokens come from.
#[derive(Debug)]
pub struct Tokens {
    account: Option<Account>,
    known: Mutex<Option<(Secret, Instant)>>,
}

/// A key file of a service account.
#[derive(Deserialize)]
struct Account {
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

impl Tokens {
    /// Tokens for the account of a key file; without one, for that of the machine.
    ///
    /// # Errors
    /// The file is no key file of a service account.
    pub fn new(key_file: Option<&Path>) -> Result<Self> {
        let account = key_file.map(|path| {
            let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
            serde_json::from_str(&text).map_err(|_| {
                let remedy = "make one with `gcloud iam service-accounts keys create`";
                Error::new(Code::Authentication, format!("{}: no key file of a service account; {remedy}", path.display()))
            })
        });
        Ok(Self { account: account.transpose()?, known: Mutex::new(None) })
    }

    /// A token that is valid now.
    ///
    /// # Errors
    /// Google refused, or we run where there is none to be had.
    pub async fn token(&self, client: &Client) -> Result<Secret> {
        let mut known = self.known.lock().await;
        if let Some((token, _)) = known.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(token.clone());
        }
        let until = Instant::now() + WAIT;
        let reply = match &self.account {
            Some(account) => client.send(&account.request(jiff::Timestamp::now().as_second())?, until).await?,
            None => {
                let mut request = Request::get(parse(METADATA)?);
                request.headers.insert(HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
                client.send_inside(&request, until).await.map_err(|cause| {
                    let remedy = "set `GOOGLE_APPLICATION_CREDENTIALS`, or run where Google gives tokens";
                    Error::new(Code::Authentication, format!("no Google token; {remedy}")).caused_by(cause)
                })?
            }
        };
        let fetched: Fetched = serde_json::from_slice(&reply.body)
            .ok()
            .filter(|_| reply.status == 200)
            .ok_or_else(|| Error::new(Code::Authentication, format!("Google gave no token (status {})", reply.status)))?;
        let life = Duration::from_secs(fetched.expires_in).saturating_sub(EARLY);
        let token = Secret::new(fetched.access_token);
        *known = Some((token.clone(), Instant::now() + life));
        Ok(token)
    }
}

#[derive(Deserialize)]
struct Fetched {
    access_token: String,
    expires_in: u64,
}

impl Account {
    fn request(&self, now_s: i64) -> Result<Request> {
        let assertion = self.assertion(now_s)?;
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let mut request = Request::new(parse(&self.token_uri)?, form);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        Ok(request)
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

fn parse(address: &str) -> Result<Url> {
    Url::parse(address).map_err(|cause| Error::internal(format!("the address of Google's tokens: {cause}")))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::config::Config;

    /// A token endpoint that checks the signature as Google would, and gives a token once.
    #[tokio::test]
    async fn a_service_account_gets_a_token_and_keeps_it() {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(key.as_der().unwrap().as_ref())
        );
        let public = key.public_key().as_ref().to_vec();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let token_uri = format!("http://{}/token", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            while !text.contains("assertion=") || !text.ends_with(|letter: char| letter.is_ascii_graphic()) {
                let mut piece = [0; 8192];
                let count = socket.read(&mut piece).await.unwrap();
                text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
            let body = "{\"access_token\":\"ya29.test\",\"expires_in\":3599,\"token_type\":\"Bearer\"}";
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
            text
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let file = serde_json::json!({"type": "service_account", "client_email": "svc@p.iam.gserviceaccount.com", "private_key": pem, "private_key_id": "kid-1", "token_uri": token_uri});
        std::fs::write(&path, file.to_string()).unwrap();
        let (tokens, client) = (Tokens::new(Some(&path)).unwrap(), Client::new(&Config::default()).unwrap());
        for _ in 0..2 {
            assert_eq!(tokens.token(&client).await.unwrap().expose(), "ya29.test");
        }
        let request = server.await.unwrap();
        assert!(request.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&"), "{request}");
        let assertion = request.split("assertion=").nth(1).unwrap();
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        assert_eq!(read(header), serde_json::json!({"typ": "JWT", "alg": "RS256", "kid": "kid-1"}));
        let claims = read(claims);
        assert_eq!(
            (&claims["iss"], &claims["aud"], &claims["scope"]),
            (&"svc@p.iam.gserviceaccount.com".into(), &AUDIENCE.into(), &SCOPE.into())
        );
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
        assert!(!format!("{tokens:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        std::fs::write(&path, "{\"private_key\": \"hidden\"}").unwrap();
        let message = Tokens::new(Some(&path)).unwrap_err().message().to_owned();
        assert!(
            message.ends_with("no key file of a service account; make one with `gcloud iam service-accounts keys create`"),
            "{message}"
        );
        assert!(!message.contains("hidden"));
    }
}
