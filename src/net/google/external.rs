//! An identity of elsewhere (workload identity federation): a token from a file, or a signed proof of who we are at AWS, is
//! exchanged for one of Google's (RFC 8693), and that, where the file says so, for one of a service account.
//!
//! Of AWS's addresses in the file only `regional_cred_verification_url` is used: keys come the way that they come for Bedrock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Position;

use super::{Fetched, SCOPE, fixed_url, form};
use crate::config::{Aws, Secret};
use crate::error::{Code, Error, Result};
use crate::net::aws::{GOOGLE_TARGET, Signer, value_of};
use crate::net::{Client, Reply, Request};

const IDENTITY: &str = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
const LIFE_S: u64 = 3600;

/// A configuration of an external account.
#[derive(Debug, Deserialize)]
pub(super) struct External {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: Option<Impersonation>,
    credential_source: Source,
    #[serde(skip)]
    aws: Aws,
}

#[derive(Debug, Deserialize)]
struct Impersonation {
    token_lifetime_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Source {
    file: Option<PathBuf>,
    format: Option<Format>,
    environment_id: Option<String>,
    regional_cred_verification_url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

impl External {
    /// Takes over what AWS says of us.
    ///
    /// # Errors
    /// The identity is neither a file's nor AWS's.
    pub(super) fn with(mut self, aws: &Aws) -> Result<Self, String> {
        let is_aws = self.credential_source.environment_id.as_deref() == Some("aws1");
        if self.credential_source.file.is_none() && !is_aws {
            return Err("`credential_source` is neither a `file` nor AWS (`environment_id`: `aws1`)".to_owned());
        }
        self.aws = aws.clone();
        Ok(self)
    }

    /// A token of Google's.
    pub(super) async fn fetch(&self, client: &Client, until: Instant) -> Result<Fetched> {
        let subject = match &self.credential_source.file {
            Some(path) => self.token_of(path)?,
            None => self.proof(client).await?,
        };
        let exchange = form(
            &self.token_url,
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("audience", &self.audience),
                ("scope", SCOPE),
                ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("subject_token", &subject),
                ("subject_token_type", &self.subject_token_type),
            ],
        )?;
        let exchanged = Fetched::read(&client.send(&exchange, until).await?)?;
        let Some(address) = &self.service_account_impersonation_url else { return Ok(exchanged) };
        let life_s = self.service_account_impersonation.as_ref().and_then(|it| it.token_lifetime_seconds).unwrap_or(LIFE_S);
        let body = json!({"scope": [SCOPE], "lifetime": format!("{life_s}s")});
        let mut request = Request::new(fixed_url("Google's tokens", address)?, body.to_string());
        request.headers.insert(AUTHORIZATION, value_of(&format!("Bearer {}", exchanged.access_token))?);
        impersonated(&client.send(&request, until).await?)
    }

    /// Read each time: whoever writes it writes a new one before the old one ends.
    fn token_of(&self, path: &Path) -> Result<String> {
        let wrong = |why: String| {
            let error = Error::new(Code::Authentication, "no token of our identity elsewhere for Google; the log says why");
            error.caused_by(std::io::Error::other(format!("{}: {why}", path.display())))
        };
        let text = std::fs::read_to_string(path).map_err(|cause| wrong(cause.to_string()))?;
        let format = self.credential_source.format.as_ref();
        let is_json = format.and_then(|format| format.kind.as_deref()) == Some("json");
        let field = format.and_then(|format| format.subject_token_field_name.as_deref()).unwrap_or("access_token");
        let token = if is_json {
            let object: Value = serde_json::from_str(&text).unwrap_or_default();
            object[field].as_str().unwrap_or_default().to_owned()
        } else {
            text
        };
        if token.trim().is_empty() {
            return Err(wrong(if is_json { format!("no text `{field}` in it") } else { "empty".to_owned() }));
        }
        Ok(token.trim().to_owned())
    }

    /// The request that asks AWS who we are, signed and not sent: Google sends it.
    async fn proof(&self, client: &Client) -> Result<String> {
        let region = self
            .aws
            .region
            .as_deref()
            .ok_or_else(|| Error::new(Code::Authentication, "no region to prove our identity at AWS in; set `AWS_REGION`"))?;
        let template = self.credential_source.regional_cred_verification_url.as_deref().unwrap_or(IDENTITY);
        let address = template.replace("{region}", region);
        let mut request = Request::new(fixed_url("Google's tokens", &address)?, "");
        request.headers.clear();
        let target = HeaderValue::from_str(&self.audience)
            .map_err(|_| Error::new(Code::Authentication, "the `audience` has characters that no header may have"))?;
        request.headers.insert(HeaderName::from_static(GOOGLE_TARGET), target);
        let host = request.url[Position::BeforeHost..Position::AfterPort].to_owned();
        Signer::new(self.aws.clone(), region.to_owned(), "sts").sign(client, &mut request).await?;
        let header = |name: &str, value: &str| json!({"key": name, "value": value});
        let mut headers: BTreeMap<String, Value> = BTreeMap::new();
        headers.insert("host".into(), header("host", &host));
        for (name, value) in &request.headers {
            let spelled = if name == AUTHORIZATION { "Authorization" } else { name.as_str() };
            headers.insert(name.to_string(), header(spelled, value.to_str().unwrap_or_default()));
        }
        let headers: Vec<Value> = headers.into_values().collect();
        let proof = json!({"headers": headers, "method": "POST", "url": address}).to_string();
        Ok(utf8_percent_encode(&proof, QUOTED).to_string())
    }
}

/// As Python's `quote` has it.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

#[derive(Deserialize)]
struct Impersonated {
    #[serde(rename = "accessToken")]
    access_token: Secret,
    #[serde(rename = "expireTime")]
    expires: jiff::Timestamp,
}

fn impersonated(reply: &Reply) -> Result<Fetched> {
    let found: Option<Impersonated> = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200);
    let Some(found) = found else {
        let message = format!("Google gave no token of the service account (status {})", reply.status);
        return Err(Error::new(Code::Authentication, message));
    };
    let left = found.expires.as_second() - jiff::Timestamp::now().as_second();
    Ok(Fetched { access_token: found.access_token.expose().to_owned(), expires_in: u64::try_from(left).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;

    use super::super::Tokens;
    use super::*;
    use crate::config::Config;
    use crate::net::testing::Listener;

    const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/aws";

    fn configuration(token_url: &str, source: Value) -> Value {
        json!({"type": "external_account", "audience": AUDIENCE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": token_url, "credential_source": source})
    }

    fn tokens(folder: &tempfile::TempDir, configuration: &Value, aws: &Aws) -> Tokens {
        let path = folder.path().join("google.json");
        std::fs::write(&path, configuration.to_string()).unwrap();
        Tokens::new(Some(&path), aws).unwrap()
    }

    /// The form of a request.
    fn fields(request: &str) -> BTreeMap<String, String> {
        let body = request.split_once("\r\n\r\n").unwrap().1;
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
    }

    #[tokio::test]
    async fn a_token_of_a_file_is_exchanged_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let client = Client::new(&Config::default());
        for (text, format) in [
            ("header.claims.signature\n", json!({"type": "text"})),
            (r#"{"id": "header.claims.signature"}"#, json!({"type": "json", "subject_token_field_name": "id"})),
        ] {
            std::fs::write(&token, text).unwrap();
            let server =
                Listener::start(&[(200, r#"{"access_token":"ya29.federated","expires_in":3600,"token_type":"Bearer"}"#)]).await;
            let source = json!({"file": token, "format": format});
            let tokens = tokens(&folder, &configuration(&server.url, source), &Aws::default());
            for _ in 0..2 {
                assert_eq!(tokens.token(&client).await.unwrap().expose(), "ya29.federated");
            }
            let seen = server.seen();
            assert_eq!(seen.len(), 1);
            let expected = [
                ("audience", AUDIENCE),
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                ("scope", SCOPE),
                ("subject_token", "header.claims.signature"),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ];
            assert_eq!(fields(&seen[0]), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
            assert!(!format!("{tokens:?}").contains("ya29"));
        }
        std::fs::write(&token, " ").unwrap();
        let tokens = tokens(&folder, &configuration("http://127.0.0.1:9/", json!({"file": token})), &Aws::default());
        let error = tokens.token(&client).await.unwrap_err();
        assert_eq!(error.message(), "no token of our identity elsewhere for Google; the log says why");
        assert!(std::error::Error::source(&error).unwrap().to_string().ends_with("token: empty"));
    }

    #[tokio::test]
    async fn an_identity_at_aws_becomes_a_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let later = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(3600)).unwrap();
        let answer = format!(r#"{{"accessToken":"ya29.service","expireTime":"{later}"}}"#);
        let exchange = Listener::start(&[(200, r#"{"access_token":"ya29.federated","expires_in":3600}"#)]).await;
        let account = Listener::start(&[(200, &answer)]).await;
        let mut configuration =
            configuration(&exchange.url, json!({"environment_id": "aws1", "url": "http://169.254.169.254/x"}));
        configuration["service_account_impersonation_url"] = account.url.clone().into();
        configuration["service_account_impersonation"] = json!({"token_lifetime_seconds": 1200});
        let aws = Aws {
            region: Some("eu-west-1".into()),
            access_key_id: Some(Secret::new("AKIDEXAMPLE")),
            secret_access_key: Some(Secret::new("hidden")),
            session_token: Some(Secret::new("session")),
            ..Aws::default()
        };
        let tokens = tokens(&folder, &configuration, &aws);
        let client = Client::new(&Config::default());
        assert_eq!(tokens.token(&client).await.unwrap().expose(), "ya29.service");
        let proof = fields(&exchange.seen()[0])["subject_token"].clone();
        let proof: Value = serde_json::from_str(&percent_decode_str(&proof).decode_utf8().unwrap()).unwrap();
        let url = "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
        assert_eq!((&proof["method"], &proof["url"]), (&json!("POST"), &json!(url)));
        let headers: BTreeMap<&str, &str> = proof["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|header| (header["key"].as_str().unwrap(), header["value"].as_str().unwrap()))
            .collect();
        assert_eq!(
            headers.keys().copied().collect::<Vec<_>>(),
            ["Authorization", "host", "x-amz-date", "x-amz-security-token", "x-goog-cloud-target-resource"]
        );
        assert_eq!((headers["host"], headers["x-goog-cloud-target-resource"]), ("sts.eu-west-1.amazonaws.com", AUDIENCE));
        let signed = "SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, ";
        assert!(headers["Authorization"].contains("/eu-west-1/sts/aws4_request, ") && headers["Authorization"].contains(signed));
        let request = &account.seen()[0];
        assert!(request.contains("authorization: Bearer ya29.federated"), "{request}");
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body, json!({"scope": [SCOPE], "lifetime": "1200s"}));
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("hidden") && !shown.contains("ya29"), "{shown}");
    }

    #[tokio::test]
    async fn a_refusal_and_the_operators_list_are_heard() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "t").unwrap();
        let server = Listener::start(&[(400, r#"{"error":"invalid_grant"}"#)]).await;
        let tokens = || tokens(&folder, &configuration(&server.url, json!({"file": token})), &Aws::default());
        let error = tokens().token(&Client::new(&Config::default())).await.unwrap_err();
        assert_eq!(error.message(), "Google gave no token (status 400)");
        let mut config = Config::default();
        config.net.allowed_hosts = vec!["*.googleapis.com".into()];
        let error = tokens().token(&Client::new(&config)).await.unwrap_err();
        assert!(error.message().starts_with("the operator does not allow calls"), "{error}");
    }

    #[test]
    fn an_identity_of_another_kind_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("google.json");
        let message = |file: Value| {
            std::fs::write(&path, file.to_string()).unwrap();
            Tokens::new(Some(&path), &Aws::default()).unwrap_err().message().replace(&*folder.path().to_string_lossy(), "D")
        };
        assert_eq!(
            message(configuration("https://sts.googleapis.com/v1/token", json!({"url": "http://169.254.169.254/"}))),
            "D/google.json: `credential_source` is neither a `file` nor AWS (`environment_id`: `aws1`)"
        );
        assert_eq!(
            message(json!({"type": "authorized_user", "refresh_token": "hidden"})),
            "D/google.json: credentials of type `authorized_user`; give those of a `service_account` or an `external_account`"
        );
    }
}
