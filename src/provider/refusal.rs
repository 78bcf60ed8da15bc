//! What a reply that is no answer means, told with what only its provider's setup knows.

use serde_json::Value;

use super::dialect::failed;
use super::failure::{Refused, failure};
use super::{Preset, Provider, setup};
use crate::error::Error;
use crate::net::{Reply, compression};

impl Provider {
    /// What a reply of another status than 2xx means. Whose key it is, and where key and address are set, is known only here.
    pub(super) fn refusal(&self, reply: &Reply) -> Error {
        let error = self.preset.refusal(reply);
        // Who names no kind, and has no object for a failure, may be a server that has no such path.
        let is_nameless = || {
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            error.refusal().kind.is_none() && !body["error"].is_object()
        };
        let is_lost = reply.status == 404 && self.has_operator_address && is_nameless();
        error.retold(|text| match text.strip_prefix("the provider refused the key") {
            Some(rest) => format!("`{}` refused the key{rest}; check {}", self.name, self.credential),
            None if (300..400).contains(&reply.status) => {
                format!("the provider redirects (status {}), which is not followed; {}", reply.status, self.elsewhere())
            }
            None if is_lost => {
                let (said, setting) = (text.trim_end_matches(": no reason given"), self.address_setting());
                format!("{said}: no such path or model; does `{setting}` end as it must, often `/v1`?")
            }
            None => text.to_owned(),
        })
    }

    /// Why a reply of status 2xx could not be read, where its head knows better.
    pub(super) fn unread(&self, reply: &Reply, error: Error) -> Error {
        if let Some(compression) = compression(&reply.headers) {
            return compressed(compression);
        }
        let kind = reply.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Some send JSON as a page.
        if !kind.starts_with("text/html") || !reply.body.trim_ascii_start().starts_with(b"<") {
            return error;
        }
        failed(format!("the provider answered with `text/html` and not JSON; {}", self.elsewhere()))
    }

    /// What to look at where somebody else seems to answer.
    fn elsewhere(&self) -> String {
        if self.has_operator_address {
            format!("is `{}` right?", self.address_setting())
        } else {
            "does a proxy answer in its place?".to_owned()
        }
    }

    /// Where its address is set.
    fn address_setting(&self) -> String {
        setup::setting(&self.name, self.preset, "base_url")
    }
}

/// Why a body that is compressed is not read.
pub(super) fn compressed(compression: &str) -> Error {
    let remedy = "does a proxy in front of it compress?";
    failed(format!("the provider sent its answer as `{compression}`, which was not asked for; {remedy}"))
}

impl Preset {
    /// What a reply of another status than 2xx means.
    pub fn refusal(&self, reply: &Reply) -> Error {
        let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok());
        let ids = ["x-request-id", "request-id", "x-amzn-requestid", "x-goog-request-id"];
        let refused = Refused {
            provider: self.name,
            status: reply.status,
            kind: header("x-amzn-errortype"),
            retry_after: reply.retry_after(),
            request_id: ids.into_iter().find_map(header),
        };
        let body = serde_json::from_slice(&reply.body).unwrap_or_default();
        let error = failure(&refused, &body);
        match header("x-should-retry") {
            Some("false") => error.final_word(),
            Some("true") => error.worth_repeating(),
            _ => error,
        }
    }
}
