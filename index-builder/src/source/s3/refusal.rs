//! What a failed S3 call means: one document's reason, or one line that says what to do.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use omni_retrieval::error::{Code, Error};

use super::super::Reason;
use super::Place;
use crate::cause::{innermost, short_line};

/// A failed call, free of the SDK's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No usable answer came.
    Silence {
        /// Whether time ran out.
        timed_out: bool,
        /// The innermost cause.
        why: String,
    },
    /// The service said no.
    Answer {
        /// HTTP status.
        status: u16,
        /// S3's error code; empty where the answer had none.
        code: String,
        /// S3's own words.
        message: String,
        /// The region in which the bucket is, where the service says so.
        region: Option<String>,
        /// The storage class of an archived object.
        storage_class: Option<String>,
    },
}

impl Refusal {
    /// Reads the SDK's error.
    pub(super) fn of<E: ProvideErrorMetadata + StdError + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        let silence = |timed_out| Self::Silence { timed_out, why: innermost(error) };
        match error {
            SdkError::TimeoutError(_) => silence(true),
            SdkError::DispatchFailure(failure) => silence(failure.is_timeout()),
            SdkError::ServiceError(service) => {
                let header = |name| service.raw().headers().get(name).map(str::to_owned);
                Self::Answer {
                    status: service.raw().status().as_u16(),
                    code: service.err().code().unwrap_or_default().to_owned(),
                    message: service.err().message().unwrap_or_default().to_owned(),
                    region: header("x-amz-bucket-region"),
                    storage_class: header("x-amz-storage-class"),
                }
            }
            SdkError::ResponseError(response) => Self::Answer {
                status: response.raw().status().as_u16(),
                code: String::new(),
                message: innermost(error),
                region: None,
                storage_class: None,
            },
            _ => silence(false),
        }
    }

    /// The reason, if only the one object is concerned.
    pub(super) fn reason(&self) -> Option<Reason> {
        let Self::Answer { status, code, message, storage_class, .. } = self else { return None };
        match (*status, code.as_str()) {
            (404, "NoSuchBucket") => None,
            (404, _) => Some(Reason::Vanished),
            (412, _) => Some(Reason::Changed),
            (403, "InvalidObjectState") => Some(Reason::Archived(storage_class.clone().unwrap_or_else(|| "GLACIER".to_owned()))),
            (403, "AccessDenied") => Some(Reason::Denied),
            // What is wrong with the encryption key of an object says nothing about its neighbours.
            (400, code) if code.starts_with("KMS.") => Some(Reason::Unreadable(format!("{code}: {message}"))),
            // Encrypted with the customer's own key, or nothing that can be got: a delete marker.
            (400, "InvalidRequest") | (405, _) => {
                Some(Reason::Unreadable(short_line(&format!("{}: {message}", said(*status, code)))))
            }
            _ => None,
        }
    }

    /// The error that ends the build; `address` is what the user asked for.
    pub(super) fn explain(&self, address: &str, place: &Place) -> Error {
        let (code, text) = match self {
            Self::Silence { timed_out, why } => silence(*timed_out, why, place),
            Self::Answer { status, code, message, region, .. } => answer(*status, code, message, region.as_deref(), place),
        };
        Error::new(code, format!("`{address}`: {text}"))
    }
}

fn silence(timed_out: bool, why: &str, place: &Place) -> (Code, String) {
    let remedy = match &place.endpoint {
        Some(_) => {
            "check `--endpoint-url`, and that the service runs; without a host name for each bucket it needs `--path-style`"
        }
        None => "check the network and `--region`; a service that is not AWS needs `--endpoint-url`",
    };
    let code = if timed_out { Code::Timeout } else { Code::Overloaded };
    let what = if timed_out { "does not answer in time" } else { "cannot be reached" };
    (code, format!("{} {what} ({why}); {remedy}", place.service()))
}

fn answer(status: u16, code: &str, message: &str, region: Option<&str>, place: &Place) -> (Code, String) {
    let said = said(status, code);
    match (status, code) {
        (_, "InvalidAccessKeyId") => (
            Code::Authentication,
            format!("{} does not know the access key ({said}); check `AWS_ACCESS_KEY_ID` and the profile", place.service()),
        ),
        (_, "SignatureDoesNotMatch") => (
            Code::Authentication,
            format!("the secret key does not belong to the access key ({said}); check `AWS_SECRET_ACCESS_KEY`"),
        ),
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => (
            Code::Authentication,
            format!("the session has expired or is not valid ({said}); sign in again and check `AWS_SESSION_TOKEN`"),
        ),
        (_, "RequestTimeTooSkewed") => {
            (Code::Authentication, format!("the clock of this machine is wrong ({said}); set it, requests are signed with it"))
        }
        (
            _,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "TemporaryRedirect",
        )
        | (301 | 307, _) => {
            let remedy = match region {
                Some(region) => format!("use `--region {region}`"),
                None => "name the bucket's region with `--region`".to_owned(),
            };
            (Code::InvalidRequest, format!("the bucket is not in region `{}` ({said}); {remedy}", place.region))
        }
        (_, "NoSuchBucket") | (404, _) => (
            Code::NotFound,
            format!("{} has no such bucket ({said}); check its name, `--region` and `--endpoint-url`", place.service()),
        ),
        (401 | 403, _) => (
            Code::Authentication,
            format!("access denied ({said}); the key needs `s3:ListBucket` and `s3:GetObject` on this bucket and prefix"),
        ),
        (429 | 503, _) => {
            (Code::Overloaded, format!("{} is too busy ({said}); try again, or lower `--downloads`", place.service()))
        }
        (200..=299, _) => (
            Code::ProviderError,
            format!("{} answered, but not as S3 does; check `--endpoint-url` and that it is an S3 service", place.service()),
        ),
        _ => {
            let message = short_line(message);
            let colon = if message.is_empty() { "" } else { ": " };
            let remedy = "check `--endpoint-url` and that it is an S3 service";
            (Code::ProviderError, format!("{} answered with status {status} ({said}{colon}{message}); {remedy}", place.service()))
        }
    }
}

/// The service's name of a failure, if it has one.
fn said(status: u16, code: &str) -> String {
    if code.is_empty() { format!("status {status}") } else { code.to_owned() }
}

impl Place {
    /// The service in words.
    fn service(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("`{endpoint}`"),
            None => format!("AWS S3 in `{}`", self.region),
        }
    }
}
