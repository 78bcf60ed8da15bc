//! Where AWS keys come from: given ones, a profile's (`profile`), a web identity's (`web_identity`), a container's, an instance's,
//! in this order. Temporary ones are kept until shortly before they end.
//!
//! The addresses of the two services that hand out keys are fixed or set by AWS in the environment; no request can name them.

mod profile;
mod web_identity;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;

use super::cached::{Cached, Fresh};
use super::sigv4::{Credentials, Scope, Signed, authorization, sum};
use super::{Client, Request, fixed_url};
use crate::config::{Aws, Secret};
use crate::error::{Code, Error, Result};

/// Keys are asked for again so long before they end.
const EARLY: Duration = Duration::from_secs(300);
const WAIT: Duration = Duration::from_secs(3);
const INSTANCE: &str = "http://169.254.169.254/latest/";
/// What a signed identity is meant for, where Google is to believe it.
pub(super) const GOOGLE_TARGET: &str = "x-goog-cloud-target-resource";
const CONTAINER: &str = "http://169.254.170.2";

/// Signs for one service in one region.
#[derive(Debug)]
pub(crate) struct Signer {
    aws: Aws,
    region: String,
    service: &'static str,
    known: Cached<Credentials>,
}

impl Signer {
    /// A signer with the operator's keys, or those of the place where we run.
    pub(crate) fn new(aws: Aws, region: String, service: &'static str) -> Self {
        Self { aws, region, service, known: Cached::default() }
    }

    /// What AWS calls the service in signatures.
    #[cfg(test)]
    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    /// Adds date and signature.
    ///
    /// # Errors
    /// No keys are to be found.
    pub(crate) async fn sign(&self, client: &Client, request: &mut Request) -> Result<()> {
        let credentials = self.credentials(client).await?;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        self.sign_at(request, &credentials, &now)
    }

    fn sign_at(&self, request: &mut Request, credentials: &Credentials, now: &str) -> Result<()> {
        let host = request.url.host_str().unwrap_or_default();
        let host = request.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut added = vec![("x-amz-date", now.to_owned())];
        added.extend(credentials.session_token.as_ref().map(|token| ("x-amz-security-token", token.expose().to_owned())));
        for (name, value) in added {
            request.headers.insert(HeaderName::from_static(name), value_of(&value)?);
        }
        // Only what must be: proxies add and change the rest.
        let is_signed = |name: &str| name == "content-type" || name.starts_with("x-amz-") || name == GOOGLE_TARGET;
        let mut headers = vec![("host".to_owned(), host)];
        headers.extend(
            request.headers.iter().filter_map(|(name, value)| {
                is_signed(name.as_str()).then_some((name.to_string(), value.to_str().ok()?.to_owned()))
            }),
        );
        let body_sum = sum(&request.body);
        let signed = Signed {
            method: request.method.as_str(),
            path: request.url.path(),
            normalize: true,
            query: request.url.query().unwrap_or_default(),
            headers: &headers,
            body_sum: &body_sum,
        };
        let scope = Scope { region: &self.region, service: self.service, time: now };
        let value = authorization(&signed, &scope, credentials);
        request.headers.insert(reqwest::header::AUTHORIZATION, value_of(&value)?);
        Ok(())
    }

    async fn credentials(&self, client: &Client) -> Result<Credentials> {
        if let (Some(id), Some(secret)) = (&self.aws.access_key_id, &self.aws.secret_access_key) {
            let (secret_access_key, session_token) = (secret.clone(), self.aws.session_token.clone());
            return Ok(Credentials { access_key_id: id.expose().to_owned(), secret_access_key, session_token });
        }
        let fetched = async {
            if let Some(value) = profile::keys(&self.aws)? {
                return Ok(Fresh { value, renewal: EARLY, life: None });
            }
            Ok(self.fetch(client).await.map_err(no_keys)?.fresh())
        };
        self.known.value(fetched, || no_keys(std::io::Error::other("the last attempt failed a moment ago"))).await
    }

    async fn fetch(&self, client: &Client) -> Result<Fetched> {
        if let (Some(file), Some(role)) = (&self.aws.web_identity_token_file, &self.aws.role_arn) {
            return web_identity::fetch(client, &self.aws, &self.region, file, role).await;
        }
        match self.container()? {
            Some(request) => fetch(client, &request).await,
            None => instance(client).await,
        }
    }

    /// The request that a container asks its keys with, where AWS has told it how.
    fn container(&self) -> Result<Option<Request>> {
        let address = match (&self.aws.container_relative_uri, &self.aws.container_full_uri) {
            (Some(path), _) => format!("{CONTAINER}{path}"),
            (None, Some(address)) => address.clone(),
            (None, None) => return Ok(None),
        };
        let mut request = Request::get(fixed_url("AWS's keys", &address)?);
        let from_file = self.aws.container_token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path).map_err(|cause| Error::io(path, cause))?;
            Ok::<_, Error>(Secret::new(text.trim()))
        });
        if let Some(token) = from_file.transpose()?.or_else(|| self.aws.container_token.clone()) {
            request.headers.insert(reqwest::header::AUTHORIZATION, value_of(token.expose())?);
        }
        Ok(Some(request))
    }
}

/// Keys as AWS hands them out.
#[derive(Deserialize)]
struct Fetched {
    #[serde(rename = "AccessKeyId")]
    access_key_id: String,
    #[serde(rename = "SecretAccessKey")]
    secret_access_key: String,
    #[serde(rename = "Token")]
    token: Option<String>,
    #[serde(rename = "Expiration")]
    expiration: Option<jiff::Timestamp>,
}

impl Fetched {
    fn fresh(self) -> Fresh<Credentials> {
        let life = self.expiration.and_then(|end| Duration::try_from(end.duration_since(jiff::Timestamp::now())).ok());
        let credentials = Credentials {
            access_key_id: self.access_key_id,
            secret_access_key: Secret::new(self.secret_access_key),
            session_token: self.token.map(Secret::new),
        };
        match life {
            Some(life) => Fresh::ending(credentials, life, EARLY),
            // It has none, or our clock is wrong.
            None => Fresh { value: credentials, renewal: EARLY, life: None },
        }
    }
}

fn no_keys(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let remedy = "set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or run where AWS gives keys";
    Error::new(Code::Authentication, format!("no AWS keys; {remedy}")).caused_by(cause)
}

async fn fetch(client: &Client, request: &Request) -> Result<Fetched> {
    let text = text(client, request).await?;
    serde_json::from_str(&text).map_err(|_| Error::internal("AWS's keys cannot be read"))
}

/// An instance's keys, by version 2 of its metadata service: a session first.
async fn instance(client: &Client) -> Result<Fetched> {
    let mut session = Request::get(fixed_url("AWS's keys", &format!("{INSTANCE}api/token"))?);
    session.method = Method::PUT;
    let ttl = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    session.headers.insert(ttl, HeaderValue::from_static("21600"));
    let token = value_of(&text(client, &session).await?)?;
    let ask = |path: String| {
        let mut request = Request::get(fixed_url("AWS's keys", &format!("{INSTANCE}meta-data/iam/security-credentials/{path}"))?);
        request.headers.insert(HeaderName::from_static("x-aws-ec2-metadata-token"), token.clone());
        Ok::<_, Error>(request)
    };
    let role = text(client, &ask(String::new())?).await?;
    fetch(client, &ask(role.trim().to_owned())?).await
}

async fn text(client: &Client, request: &Request) -> Result<String> {
    let reply = client.send_inside(request, Instant::now() + WAIT).await?;
    if reply.status != 200 {
        return Err(Error::internal(format!("AWS's keys: status {}", reply.status)));
    }
    Ok(String::from_utf8_lossy(&reply.body).into_owned())
}

pub(super) fn value_of(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::new(Code::Authentication, "AWS's keys have characters that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::config::Config;
    use crate::net::testing::Listener;

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_still_valid_outlive_a_refresh_that_fails() {
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let keys = format!(r#"{{"AccessKeyId":"AKID1","SecretAccessKey":"s","Token":"t","Expiration":"{end}"}}"#);
        let server = Listener::start(&[(200, &keys), (500, ""), (500, "")]).await;
        let aws = Aws { container_full_uri: Some(server.url.clone()), ..Aws::default() };
        let (signer, client) = (Signer::new(aws, "us-east-1".into(), "bedrock"), Client::new(&Config::default()));
        let id = async || signer.credentials(&client).await.map(|credentials| credentials.access_key_id);
        assert_eq!(id().await.unwrap(), "AKID1");
        tokio::time::advance(Duration::from_secs(3600 - 200)).await;
        for _ in 0..2 {
            assert_eq!((id().await.unwrap().as_str(), server.seen().len()), ("AKID1", 2));
        }
        tokio::time::advance(Duration::from_secs(200)).await;
        let messages = [id().await.unwrap_err(), id().await.unwrap_err()].map(|error| error.message().to_owned());
        let expected = "no AWS keys; set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or run where AWS gives keys";
        assert_eq!(
            (messages, server.seen().len()),
            ([expected, expected].map(str::to_owned), 3),
            "those who wait do not ask again"
        );
    }

    #[test]
    fn a_signed_request_says_who_signed_what_and_hides_it() {
        let aws = Aws::default();
        let signer = Signer::new(aws, "us-east-1".into(), "bedrock");
        let url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-x%3A0/converse";
        let mut request = Request::new(Url::parse(url).unwrap(), r#"{"messages":[]}"#);
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Some(Secret::new("token")),
        };
        signer.sign_at(&mut request, &credentials, "20261124T090000Z").unwrap();
        let value = request.headers["authorization"].to_str().unwrap();
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/us-east-1/bedrock/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
        assert!(value.starts_with(expected) && value.len() == expected.len() + 64, "{value}");
        assert_eq!(request.headers["x-amz-date"], "20261124T090000Z");
        assert!(!format!("{request:?}").contains("Signature="), "the signature must not be shown");
    }
}
