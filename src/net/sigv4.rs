//! AWS Signature Version 4, by headers (AWS, "Create a signed AWS API request"). Pure: the clock and the keys are handed in.
//!
//! Own code, because the signing crate brings a dozen others into the serving binary for a hundred lines; the official suite of
//! signing cases is its test.

use aws_lc_rs::{digest, hmac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::Secret;
use crate::hex::hex;

/// Keys of an AWS identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// Temporary keys come with it.
    pub session_token: Option<Secret>,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// The path as it is sent; it is encoded once more, as every service but S3 wants it.
    pub(super) path: &'a str,
    /// Whether `.`, `..` and empty segments are taken out of the path.
    pub(super) normalize: bool,
    pub(super) query: &'a str,
    /// Names and values of every header that is signed, in any order and case.
    pub(super) headers: &'a [(String, String)],
    /// The hexadecimal SHA-256 sum of the body.
    pub(super) body_sum: &'a str,
}

/// Where and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// As in `20150830T123600Z`.
    pub(super) time: &'a str,
}

/// Everything but letters, digits and `-._~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of the header `authorization`.
pub(super) fn authorization(signed: &Signed<'_>, scope: &Scope<'_>, credentials: &Credentials) -> String {
    let date = scope.time.get(..8).unwrap_or_default();
    let (canonical, names) = canonical(signed);
    let scoped = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let text = string_to_sign(&canonical, scope.time, &scoped);
    let secret = format!("AWS4{}", credentials.secret_access_key.expose());
    let steps = [date, scope.region, scope.service, "aws4_request"];
    let key = steps.iter().fold(secret.into_bytes(), |key, step| mac(&key, step));
    let signature = hex(&mac(&key, &text));
    let id = &credentials.access_key_id;
    format!("AWS4-HMAC-SHA256 Credential={id}/{scoped}, SignedHeaders={names}, Signature={signature}")
}

/// The hexadecimal SHA-256 sum.
pub(super) fn sum(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn string_to_sign(canonical: &str, time: &str, scoped: &str) -> String {
    format!("AWS4-HMAC-SHA256\n{time}\n{scoped}\n{}", sum(canonical.as_bytes()))
}

/// The request in its one spelling, and the names of its headers.
fn canonical(signed: &Signed<'_>) -> (String, String) {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in signed.headers {
        let (name, value) = (name.to_ascii_lowercase(), value.split_whitespace().collect::<Vec<_>>().join(" "));
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => headers.push((name, value)),
        }
    }
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = (canonical_path(signed.path, signed.normalize), canonical_query(signed.query));
    (format!("{}\n{path}\n{query}\n{lines}\n{names}\n{}", signed.method, signed.body_sum), names)
}

fn canonical_path(path: &str, normalize: bool) -> String {
    let encode = |segment: &str| utf8_percent_encode(segment, ENCODED).to_string();
    if !normalize {
        let path = path.split('/').map(encode).collect::<Vec<_>>().join("/");
        return if path.is_empty() { "/".to_owned() } else { path };
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let slash = if segments.is_empty() || !path.ends_with('/') { "" } else { "/" };
    format!("/{}{slash}", segments.into_iter().map(encode).collect::<Vec<_>>().join("/"))
}

fn canonical_query(query: &str) -> String {
    let encode = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&bytes, ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(name), encode(value))
        })
        .collect();
    pairs.sort();
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing;

    /// Every case of the official suite: canonical request, string to sign and signature.
    #[test]
    fn the_official_suite_passes() {
        let Some(folder) = testing::shared_path("contracts/aws-sigv4-test-suite/v4") else { return };
        let mut passed = 0;
        for case in std::fs::read_dir(&folder).unwrap().map(|case| case.unwrap().path()) {
            let read = |name: &str| std::fs::read_to_string(case.join(name)).unwrap();
            let context: serde_json::Value = serde_json::from_str(&read("context.json")).unwrap();
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            let keys = &context["credentials"];
            let credentials = Credentials {
                access_key_id: text(&keys["access_key_id"]).unwrap(),
                secret_access_key: Secret::new(text(&keys["secret_access_key"]).unwrap()),
                session_token: text(&keys["token"]).map(Secret::new),
            };
            let request = read("request.txt");
            let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end_matches('\n'), ""));
            let (first, lines) = head.split_once('\n').unwrap();
            let (method, target) = first.strip_suffix(" HTTP/1.1").unwrap().split_once(' ').unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let mut headers: Vec<(String, String)> = Vec::new();
            for line in lines.lines() {
                match line.split_once(':').filter(|_| !line.starts_with(' ')) {
                    Some((name, value)) => headers.push((name.into(), value.into())),
                    None => headers.last_mut().unwrap().1.push_str(&format!(" {line}")),
                }
            }
            let time = text(&context["timestamp"]).unwrap().replace(['-', ':'], "");
            headers.push(("X-Amz-Date".into(), time.clone()));
            let body_sum = sum(body.as_bytes());
            if context["sign_body"] == true {
                headers.push(("x-amz-content-sha256".into(), body_sum.clone()));
            }
            if let Some(token) = credentials.session_token.as_ref().filter(|_| context["omit_session_token"] != true) {
                headers.push(("X-Amz-Security-Token".into(), token.expose().to_owned()));
            }
            let normalize = context["normalize"] == true;
            let signed = Signed { method, path, normalize, query, headers: &headers, body_sum: &body_sum };
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            let (canonical, _) = canonical(&signed);
            assert_eq!(canonical, read("header-canonical-request.txt").trim_end(), "{name}");
            let (region, service) = (text(&context["region"]).unwrap(), text(&context["service"]).unwrap());
            let scoped = format!("{}/{region}/{service}/aws4_request", &time[..8]);
            assert_eq!(string_to_sign(&canonical, &time, &scoped), read("header-string-to-sign.txt").trim_end(), "{name}");
            let scope = Scope { region: &region, service: &service, time: &time };
            let signature = read("header-signature.txt");
            let authorization = authorization(&signed, &scope, &credentials);
            assert!(authorization.ends_with(&format!("Signature={}", signature.trim())), "{name}: {authorization}");
            passed += 1;
        }
        eprintln!("signing cases passed: {passed}");
        assert!(passed >= 38, "{passed}");
    }

    #[test]
    fn a_path_that_is_encoded_is_encoded_once_more() {
        let path = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse";
        let expected = "/model/arn%253Aaws%253Abedrock%253Aus-east-1%253A1%253Ainference-profile%252Fx/converse";
        assert_eq!(canonical_path(path, true), expected);
    }
}
