//! Keys of a role for a token that somebody else vouches for: how pods on EKS get theirs. AWS's token service changes one for the
//! other.

use std::path::Path;

use tokio::time::Instant;

use super::{Fetched, WAIT, fixed_url};
use crate::config::Aws;
use crate::error::{Error, Result};
use crate::net::{Client, Request};

/// Asks for the keys of `role`; the token in `file` is read each time, because whoever writes it writes a new one before the old
/// one ends.
pub(super) async fn fetch(client: &Client, aws: &Aws, region: &str, file: &Path, role: &str) -> Result<Fetched> {
    let token = std::fs::read_to_string(file).map_err(|cause| Error::io(file, cause))?;
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let address = aws.sts_url.clone().unwrap_or_else(|| format!("https://sts.{region}.{end}/"));
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", "omni-llm"),
        ("WebIdentityToken", token.trim()),
    ];
    let reply = client.send(&Request::form(fixed_url("AWS's keys", &address)?, &fields), Instant::now() + WAIT).await?;
    let text = String::from_utf8_lossy(&reply.body);
    let fetched = || {
        Some(Fetched {
            access_key_id: element(&text, "AccessKeyId")?.to_owned(),
            secret_access_key: element(&text, "SecretAccessKey")?.to_owned(),
            token: element(&text, "SessionToken").map(str::to_owned),
            expiration: element(&text, "Expiration").and_then(|end| end.parse().ok()),
        })
    };
    fetched().filter(|_| reply.status == 200).ok_or_else(|| {
        let kind = element(&text, "Code").unwrap_or("no reason given");
        Error::internal(format!("the role's keys for a web identity: status {}: {kind}", reply.status))
    })
}

/// The text of an element of XML; none of those that are read here has characters that XML would write otherwise.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once('<').map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::testing::Listener;

    #[tokio::test]
    async fn a_token_is_changed_for_the_keys_of_a_role() {
        let end = "2099-01-01T00:00:00Z";
        let keys = format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
             <SecretAccessKey>a/b+c=</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials>"
        );
        let denied =
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>arn:aws:iam::1:role/x</Message></Error></ErrorResponse>";
        let server = Listener::start(&[(200, &keys), (403, denied)]).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "header.claims.signature\n").unwrap();
        let aws = Aws { sts_url: Some(server.url.clone()), ..Aws::default() };
        let client = Client::new(&Config::default());
        let ask = async || fetch(&client, &aws, "eu-west-1", &file, "arn:aws:iam::1:role/x").await;
        let fetched = ask().await.unwrap();
        assert_eq!((fetched.access_key_id.as_str(), fetched.secret_access_key.as_str()), ("ASIA1", "a/b+c="));
        assert_eq!((fetched.token.as_deref(), fetched.expiration), (Some("t"), Some(end.parse().unwrap())));
        let request = &server.seen()[0];
        let body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&\
                    RoleSessionName=omni-llm&WebIdentityToken=header.claims.signature";
        assert!(request.starts_with("POST / ") && request.ends_with(body), "{request}");
        assert!(!request.to_lowercase().contains("authorization:"), "nothing to sign with yet");
        let error = ask().await.err().unwrap();
        assert_eq!(error.message(), "the role's keys for a web identity: status 403: AccessDenied");
    }
}
