//! Google's OAuth tokens: a service account's (`account`), those of an identity elsewhere (`external`), or those of the place where
//! we run. Kept until shortly before they end.

mod account;
mod external;

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use self::account::Account;
use self::external::External;
use super::cached::{Cached, Fresh};
use super::{Client, Reply, Request, fixed_url};
use crate::config::{Aws, Secret};
use crate::error::{Code, Error, Result};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const METADATA: &str = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
const EARLY: Duration = Duration::from_secs(120);
const WAIT: Duration = Duration::from_secs(10);
/// The longest that a token is believed to live.
const MOST_S: u64 = 86_400;

/// Where tokens come from.
#[derive(Debug)]
pub(crate) struct Tokens {
    origin: Origin,
    known: Cached<Secret>,
}

#[derive(Debug)]
enum Origin {
    Account(Account),
    External(Box<External>),
    Machine,
}

impl Tokens {
    /// Tokens by a file of credentials; without one, for the account of the machine.
    ///
    /// # Errors
    /// The file is neither the key of a service account nor the configuration of an external one.
    pub(crate) fn new(file: Option<&Path>, aws: &Aws) -> Result<Self> {
        let origin = match file {
            None => Origin::Machine,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
                let wrong = |why: &str| Error::new(Code::Authentication, format!("{}: {why}", path.display()));
                origin(serde_json::from_str(&text).unwrap_or_default(), aws).map_err(|why| wrong(&why))?
            }
        };
        Ok(Self { origin, known: Cached::default() })
    }

    /// A token that is valid now.
    ///
    /// # Errors
    /// Google refused, or we run where there is none to be had.
    pub(crate) async fn token(&self, client: &Client) -> Result<Secret> {
        let fetched = async {
            let fetched = self.fetch(client).await?;
            let life = Duration::from_secs(fetched.expires_in.min(MOST_S));
            Ok(Fresh::ending(Secret::new(fetched.access_token), life, EARLY))
        };
        let failed = || Error::new(Code::Authentication, "no Google token; the last attempt to get one failed a moment ago");
        self.known.value(fetched, failed).await
    }

    async fn fetch(&self, client: &Client) -> Result<Fetched> {
        let until = Instant::now() + WAIT;
        match &self.origin {
            Origin::Account(account) => {
                let request = account.request(jiff::Timestamp::now().as_second())?;
                Fetched::read(&client.send(&request, until).await?)
            }
            Origin::External(external) => external.fetch(client, until).await,
            Origin::Machine => {
                let mut request = Request::get(fixed_url("Google's tokens", METADATA)?);
                request.headers.insert(HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));
                let reply = client.send_inside(&request, until).await.map_err(|cause| {
                    let remedy = "set `GOOGLE_APPLICATION_CREDENTIALS`, or run where Google gives tokens";
                    Error::new(Code::Authentication, format!("no Google token; {remedy}")).caused_by(cause)
                })?;
                Fetched::read(&reply)
            }
        }
    }
}

/// What a file of credentials means; its text is shown nowhere.
fn origin(file: Value, aws: &Aws) -> Result<Origin, String> {
    fn read<T: DeserializeOwned>(file: Value, what: &str, command: &str) -> Result<T, String> {
        serde_json::from_value(file).map_err(|_| format!("no {what}; make one with `gcloud iam {command}`"))
    }
    match file["type"].as_str() {
        None | Some("service_account") => {
            read(file, "key file of a service account", "service-accounts keys create").map(Origin::Account)
        }
        Some("external_account") => {
            let command = "workload-identity-pools create-cred-config";
            let external: External = read(file, "configuration of an external account", command)?;
            external.with(aws).map(|external| Origin::External(Box::new(external)))
        }
        Some(other) => {
            let remedy = "give those of a `service_account` or an `external_account`";
            Err(format!("credentials of type `{}`; {remedy}", other.chars().take(40).collect::<String>()))
        }
    }
}

#[derive(Deserialize)]
struct Fetched {
    access_token: String,
    expires_in: u64,
}

impl Fetched {
    fn read(reply: &Reply) -> Result<Self> {
        let fetched = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200);
        fetched.ok_or_else(|| Error::new(Code::Authentication, format!("Google gave no token (status {})", reply.status)))
    }
}

/// A POST of a form.
fn form(address: &str, fields: &[(&str, &str)]) -> Result<Request> {
    Ok(Request::form(fixed_url("Google's tokens", address)?, fields))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::account::AUDIENCE;
    use super::*;
    use crate::config::Config;
    use crate::net::testing::Listener;

    /// A token endpoint that checks the signature as Google would, and gives a token once.
    #[tokio::test]
    async fn a_service_account_gets_a_token_and_keeps_it() {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(key.as_der().unwrap().as_ref())
        );
        let public = key.public_key().as_ref().to_vec();
        let server = Listener::start(&[(200, r#"{"access_token":"ya29.test","expires_in":3599,"token_type":"Bearer"}"#)]).await;
        let token_uri = server.url.clone();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let file = serde_json::json!({"type": "service_account", "client_email": "svc@p.iam.gserviceaccount.com", "private_key": pem, "private_key_id": "kid-1", "token_uri": token_uri});
        std::fs::write(&path, file.to_string()).unwrap();
        let (tokens, client) = (Tokens::new(Some(&path), &Aws::default()).unwrap(), Client::new(&Config::default()));
        for _ in 0..2 {
            assert_eq!(tokens.token(&client).await.unwrap().expose(), "ya29.test");
        }
        let request = &server.seen()[0];
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

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_still_valid_outlives_a_refresh_that_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("google.json");
        let server = Listener::start(&[(200, r#"{"access_token":"ya29.one","expires_in":3600}"#), (503, "")]).await;
        let file = serde_json::json!({"type": "external_account", "audience": "a", "subject_token_type": "jwt",
            "token_url": server.url, "credential_source": {"file": path}});
        std::fs::write(&path, file.to_string()).unwrap();
        let (tokens, client) = (Tokens::new(Some(&path), &Aws::default()).unwrap(), Client::new(&Config::default()));
        for advance_s in [0, 3500, 5] {
            tokio::time::advance(Duration::from_secs(advance_s)).await;
            assert_eq!(tokens.token(&client).await.unwrap().expose(), "ya29.one");
        }
        assert_eq!(server.seen().len(), 2);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        std::fs::write(&path, "{\"private_key\": \"hidden\"}").unwrap();
        let message = Tokens::new(Some(&path), &Aws::default()).unwrap_err().message().to_owned();
        assert!(
            message.ends_with("no key file of a service account; make one with `gcloud iam service-accounts keys create`"),
            "{message}"
        );
        assert!(!message.contains("hidden"));
    }
}
