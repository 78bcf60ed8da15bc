//! A provider's key: given, or kept in AWS Secrets Manager and read from there when it is first needed.
//!
//! `aws-secret:NAME` is the whole text of a secret, `aws-secret:NAME#FIELD` one field of a secret that is a JSON object; NAME may
//! be an ARN. What was read is used for five minutes, so that a key that is rotated is taken over without a restart. Where the
//! Lambda extension for secrets runs, it is asked instead.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::aws::{Signer, value_of};
use super::cached::{Cached, Fresh};
use super::{Client, Reply, Request, fixed_url};
use crate::config::{Aws, SECRET_PREFIX, Secret};
use crate::error::{Code, Error, Result};

/// How long a secret is used before it is read again.
const LIFE: Duration = Duration::from_secs(300);
const WAIT: Duration = Duration::from_secs(5);

/// A key, or where it is.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// The key itself.
    Given(Secret),
    /// In Secrets Manager.
    Kept(Arc<Kept>),
}

/// A secret of AWS Secrets Manager.
#[derive(Debug)]
pub(crate) struct Kept {
    id: String,
    field: Option<String>,
    place: Place,
    known: Cached<Secret>,
}

#[derive(Debug)]
enum Place {
    Service(Url, Box<Signer>),
    /// The extension's address, and the token that it wants to see.
    Extension(Url, Option<Secret>),
}

impl Key {
    /// What a configured text means.
    ///
    /// # Errors
    /// It names a secret, and no region is known to read it in.
    pub(crate) fn new(text: &Secret, aws: &Aws) -> Result<Self> {
        let Some(named) = text.expose().strip_prefix(SECRET_PREFIX) else { return Ok(Self::Given(text.clone())) };
        let (id, field) = named.split_once('#').map_or((named, None), |(id, field)| (id, Some(field.to_owned())));
        let place = match aws.secrets_extension_port {
            Some(port) => Place::Extension(
                fixed_url("AWS's secrets", &format!("http://127.0.0.1:{port}/secretsmanager/get"))?,
                aws.session_token.clone(),
            ),
            None => {
                // arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME
                let of_arn = id.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
                let region = of_arn.or(aws.region.as_deref()).ok_or_else(|| {
                    let remedy = "set `AWS_REGION`, or give the secret's ARN";
                    Error::new(Code::Authentication, format!("`{SECRET_PREFIX}`: no region to read the secret in; {remedy}"))
                })?;
                let address = match &aws.secrets_url {
                    Some(address) => fixed_url("AWS's secrets", address)?,
                    None => {
                        let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                        fixed_url("AWS's secrets", &format!("https://secretsmanager.{region}.{end}/"))?
                    }
                };
                Place::Service(address, Box::new(Signer::new(aws.clone(), region.to_owned(), "secretsmanager")))
            }
        };
        Ok(Self::Kept(Arc::new(Kept { id: id.to_owned(), field, place, known: Cached::default() })))
    }

    /// The key as it is now.
    ///
    /// # Errors
    /// The secret cannot be read, and never was.
    pub(crate) async fn read(&self, client: &Client) -> Result<Secret> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::Kept(kept) => Box::pin(kept.read(client)).await,
        }
    }
}

impl Kept {
    async fn read(&self, client: &Client) -> Result<Secret> {
        let fetched = async { Ok(Fresh { value: self.fetch(client).await?, renewal: LIFE, life: None }) };
        self.known.value(fetched, || self.unread("the last attempt failed a moment ago")).await
    }

    async fn fetch(&self, client: &Client) -> Result<Secret> {
        let until = Instant::now() + WAIT;
        let reply = match &self.place {
            Place::Service(address, signer) => {
                let mut request = Request::new(address.clone(), json!({"SecretId": self.id}).to_string());
                request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
                let target = HeaderValue::from_static("secretsmanager.GetSecretValue");
                request.headers.insert(HeaderName::from_static("x-amz-target"), target);
                signer.sign(client, &mut request).await?;
                client.send(&request, until).await
            }
            Place::Extension(address, token) => {
                let mut address = address.clone();
                address.set_query(Some(&format!("secretId={}", utf8_percent_encode(&self.id, NON_ALPHANUMERIC))));
                let mut request = Request::get(address);
                if let Some(token) = token {
                    request.headers.insert(HeaderName::from_static("x-aws-parameters-secrets-token"), value_of(token.expose())?);
                }
                client.send_inside(&request, until).await
            }
        };
        let reply = reply.map_err(|error| self.unread(&cause(&error).unwrap_or_else(|| error.to_string())))?;
        self.secret(&reply)
    }

    fn secret(&self, reply: &Reply) -> Result<Secret> {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status != 200 {
            // AWS's own name of the failure; its message names accounts and roles.
            let kind = body["__type"].as_str().and_then(|kind| kind.rsplit('#').next()).unwrap_or("no reason given");
            return Err(self.unread(&format!("status {}: {kind}", reply.status)));
        }
        let Some(text) = body["SecretString"].as_str() else { return Err(self.unread("it holds no text")) };
        let text = match &self.field {
            None => text.to_owned(),
            Some(field) => {
                let object: Value = serde_json::from_str(text).unwrap_or_default();
                let Some(text) = object[field].as_str() else {
                    return Err(self.unread(&format!("it is no JSON object with a text `{field}`")));
                };
                text.to_owned()
            }
        };
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(self.unread("it is no key: it is empty, or holds spaces or characters that no key has"));
        }
        Ok(Secret::new(key))
    }

    /// The caller learns that there is no key; which secret it was, and why, is for the log.
    fn unread(&self, why: &str) -> Error {
        let error =
            Error::new(Code::Authentication, "the provider's key cannot be read from AWS Secrets Manager; the log says why");
        error.caused_by(std::io::Error::other(format!("secret `{}`: {why}", self.id)))
    }
}

fn cause(error: &Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::testing::Listener;

    fn aws(change: impl FnOnce(&mut Aws)) -> Aws {
        let mut aws = Aws {
            region: Some("eu-west-1".into()),
            access_key_id: Some(Secret::new("AKIDEXAMPLE")),
            secret_access_key: Some(Secret::new("hidden")),
            session_token: Some(Secret::new("session")),
            ..Aws::default()
        };
        change(&mut aws);
        aws
    }

    fn key(text: &str, aws: &Aws) -> Key {
        Key::new(&Secret::new(text), aws).unwrap()
    }

    #[tokio::test]
    async fn a_secret_is_read_once_with_a_signature_and_kept() {
        let server = Listener::start(&[(200, r#"{"Name":"prod/openai","SecretString":"{\"key\":\"sk-kept\",\"n\":1}"}"#)]).await;
        let aws = aws(|aws| aws.secrets_url = Some(server.url.clone()));
        let (key, client) = (key("aws-secret:prod/openai#key", &aws), Client::new(&Config::default()));
        for _ in 0..3 {
            assert_eq!(key.clone().read(&client).await.unwrap().expose(), "sk-kept");
        }
        let seen = server.seen();
        assert_eq!(seen.len(), 1, "clones share what was read");
        let request = seen[0].to_lowercase();
        assert!(request.starts_with("post / http/1.1\r\n") && seen[0].ends_with(r#"{"SecretId":"prod/openai"}"#), "{request}");
        for header in [
            "x-amz-target: secretsmanager.getsecretvalue",
            "content-type: application/x-amz-json-1.1",
            "/eu-west-1/secretsmanager/aws4_request, signedheaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, ",
        ] {
            assert!(request.contains(header), "{request}");
        }
        assert!(!format!("{key:?}").contains("sk-kept") && !format!("{key:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_named_in_the_log_only() {
        let client = Client::new(&Config::default());
        for (status, body, why) in [
            (
                400,
                r#"{"__type":"com.amazonaws#AccessDeniedException","Message":"User arn:aws:iam::1:role/x"}"#,
                "status 400: AccessDeniedException",
            ),
            (200, r#"{"SecretBinary":"AA=="}"#, "it holds no text"),
            (200, r#"{"SecretString":"not json"}"#, "it is no JSON object with a text `key`"),
            (
                200,
                r#"{"SecretString":"{\"key\":\"two words\"}"}"#,
                "it is no key: it is empty, or holds spaces or characters that no key has",
            ),
        ] {
            let server = Listener::start(&[(status, body)]).await;
            let aws = aws(|aws| aws.secrets_url = Some(server.url.clone()));
            let error = key("aws-secret:prod/openai#key", &aws).read(&client).await.unwrap_err();
            assert_eq!(error.message(), "the provider's key cannot be read from AWS Secrets Manager; the log says why");
            assert_eq!(cause(&error).unwrap(), format!("secret `prod/openai`: {why}"));
        }
        let mut config = Config::default();
        config.net.allowed_hosts = vec!["api.openai.com".into()];
        let error = key("aws-secret:x", &aws(|_| ())).read(&Client::new(&config)).await.unwrap_err();
        let expected = "secret `x`: `secretsmanager.eu-west-1.amazonaws.com` is not among `net.allowed_hosts`";
        assert_eq!(cause(&error).unwrap(), expected, "the operator's list holds for it, too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotated_secret_is_taken_over_and_an_outage_is_survived() {
        let part = |key: &str| format!(r#"{{"SecretString":"{key}"}}"#);
        let (one, two) = (part("one"), part("two"));
        let server = Listener::start(&[(200, &one), (500, "{}"), (200, &two)]).await;
        let aws = aws(|aws| aws.secrets_url = Some(server.url.clone()));
        let (key, client) = (key("aws-secret:x", &aws), Client::new(&Config::default()));
        for (advance, expected) in [(Duration::ZERO, "one"), (LIFE, "one"), (Duration::from_secs(30), "two")] {
            tokio::time::advance(advance).await;
            assert_eq!(key.read(&client).await.unwrap().expose(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_an_attempt_that_fails_do_not_repeat_it_one_by_one() {
        let server = Listener::start(&[(500, "{}"), (200, r#"{"SecretString":"sk-kept"}"#)]).await;
        let aws = aws(|aws| aws.secrets_url = Some(server.url.clone()));
        let (key, client) = (key("aws-secret:x", &aws), Client::new(&Config::default()));
        let (first, second) = tokio::join!(key.read(&client), key.read(&client));
        let causes = [first, second].map(|read| cause(&read.unwrap_err()).unwrap());
        assert_eq!(causes, ["secret `x`: status 500: no reason given", "secret `x`: the last attempt failed a moment ago"]);
        assert_eq!(server.seen().len(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(key.read(&client).await.unwrap().expose(), "sk-kept");
    }

    #[tokio::test]
    async fn the_extension_is_asked_where_it_runs() {
        let server = Listener::start(&[(200, r#"{"SecretString":"sk-kept"}"#)]).await;
        let port = Url::parse(&server.url).unwrap().port();
        let key = key("aws-secret:prod/openai", &aws(|aws| aws.secrets_extension_port = port));
        assert_eq!(key.read(&Client::new(&Config::default())).await.unwrap().expose(), "sk-kept");
        let request = &server.seen()[0];
        assert!(request.starts_with("GET /secretsmanager/get?secretId=prod%2Fopenai HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("x-aws-parameters-secrets-token: session"), "{request}");
    }

    #[test]
    fn the_region_is_the_arns_or_the_operators() {
        let address = |text: &str, aws: &Aws| match key(text, aws) {
            Key::Kept(kept) => match &kept.place {
                Place::Service(address, _) => address.to_string(),
                Place::Extension(address, _) => address.to_string(),
            },
            Key::Given(_) => "given".to_owned(),
        };
        let aws = aws(|_| ());
        assert_eq!(address("aws-secret:x", &aws), "https://secretsmanager.eu-west-1.amazonaws.com/");
        let arn = "aws-secret:arn:aws:secretsmanager:us-east-2:1:secret:x-AbCdEf#key";
        assert_eq!(address(arn, &aws), "https://secretsmanager.us-east-2.amazonaws.com/");
        assert_eq!(address("sk-given", &aws), "given");
        let message = Key::new(&Secret::new("aws-secret:x"), &Aws::default()).unwrap_err().message().to_owned();
        assert_eq!(message, "`aws-secret:`: no region to read the secret in; set `AWS_REGION`, or give the secret's ARN");
    }
}
