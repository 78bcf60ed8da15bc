//! Who a caller is, as far as documents are concerned: the labels that open labelled documents.
//!
//! Labels are never taken from a request's body unless the operator says so (`access.trust_request`): anybody could write
//! them there. They come from the configuration (`access.labels`: what every caller of this service may see) and from one
//! header (`access.header`) that something in front of the service sets after it has checked who calls. That something must
//! remove the header from what callers send; a service that is reached without it must not name a header.

use axum::http::HeaderMap;

use crate::config::Config;
use crate::error::{Error, Result};

/// Labels of one caller.
const MAX_LABELS: usize = 256;

/// Bytes of one label.
const MAX_BYTES: usize = 256;

/// The labels of whoever sent a request with these headers.
///
/// # Errors
/// The header is not a list of labels.
pub(super) fn labels(config: &Config, headers: &HeaderMap) -> Result<Vec<String>> {
    let mut labels: Vec<&str> = config.access.labels.iter().map(String::as_str).collect();
    let Some(header) = config.access.header.as_deref() else {
        return Ok(labels.into_iter().map(str::to_owned).collect());
    };
    for value in headers.get_all(header) {
        let text = std::str::from_utf8(value.as_bytes());
        let text = text.map_err(|_| Error::bad_request(format!("header `{header}`: not UTF-8")))?;
        labels.extend(text.split(',').map(str::trim).filter(|label| !label.is_empty()));
    }
    checked(&format!("header `{header}`"), labels.into_iter())
}

/// Refuses more labels than anybody has.
pub(super) fn checked<'a>(what: &str, labels: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let labels: Vec<String> = labels.map(str::to_owned).collect();
    if labels.len() > MAX_LABELS || labels.iter().any(|label| label.is_empty() || label.len() > MAX_BYTES) {
        return Err(Error::bad_request(format!("{what}: at most {MAX_LABELS} labels of 1 to {MAX_BYTES} bytes")));
    }
    Ok(labels)
}
