//! The one error type: why something failed, what the caller may read about it, and whether trying again can help.
//!
//! Messages are product surface: lower case, no full stop, *what: value; remedy*, literals in backticks. The client sees
//! [`Error::message`]; the log line carries the whole cause chain.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names as messages list them: each in backticks.
pub fn quoted(names: impl IntoIterator<Item = impl fmt::Display>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What kind of failure it was. The name is the `error.code` of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// A key is missing or was refused by the provider.
    Authentication,
    /// The provider wants money: a quota is used up or a bill is open.
    Budget,
    /// The request is larger than the configured limit.
    BodyTooLarge,
    /// The provider refused the content.
    ContentFilter,
    /// The prompt does not fit the model's context window.
    ContextLength,
    /// A file of ours is truncated, altered or of another version.
    CorruptFile,
    /// Anything that is our own fault.
    Internal,
    /// The model is not known to the provider.
    InvalidModel,
    /// The request is malformed.
    InvalidRequest,
    /// There is no such path or thing.
    NotFound,
    /// A field asks for something that this build does not do.
    NotSupported,
    /// The model wrote something that the provider could not use, such as a broken tool call.
    ModelOutput,
    /// The provider has no capacity right now.
    Overloaded,
    /// The provider failed or answered something unreadable.
    ProviderError,
    /// Too many requests.
    RateLimit,
    /// Nothing arrived in the time allowed.
    Timeout,
    /// The index was built with another embedding model.
    WrongModel,
}

impl Code {
    /// Its spelling in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "AUTHENTICATION",
            Self::Budget => "BUDGET",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::ContentFilter => "CONTENT_FILTER",
            Self::ContextLength => "CONTEXT_LENGTH",
            Self::CorruptFile => "CORRUPT_FILE",
            Self::Internal => "INTERNAL_ERROR",
            Self::InvalidModel => "INVALID_MODEL",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::NotFound => "NOT_FOUND",
            Self::NotSupported => "NOT_SUPPORTED",
            Self::ModelOutput => "MODEL_OUTPUT_INVALID",
            Self::Overloaded => "OVERLOADED",
            Self::ProviderError => "PROVIDER_ERROR",
            Self::RateLimit => "RATE_LIMIT",
            Self::Timeout => "TIMEOUT",
            Self::WrongModel => "WRONG_MODEL",
        }
    }

    /// The HTTP status that a caller gets.
    pub fn status(self) -> u16 {
        match self {
            // Many clients repeat whatever has a status from 500 on, and these two do not pass.
            Self::Authentication => 424,
            Self::Budget => 402,
            Self::InvalidModel | Self::ModelOutput | Self::ProviderError => 502,
            Self::BodyTooLarge => 413,
            Self::ContentFilter | Self::ContextLength | Self::InvalidRequest | Self::NotSupported => 400,
            Self::CorruptFile | Self::Internal | Self::WrongModel => 500,
            Self::NotFound => 404,
            Self::Overloaded => 503,
            Self::RateLimit => 429,
            Self::Timeout => 504,
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::RateLimit | Self::Timeout)
    }
}

/// What a provider said when it refused, beside its message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Its HTTP status.
    pub status: Option<u16>,
    /// Its own name of the failure, as `overloaded_error`.
    pub kind: Option<String>,
    /// Its name of the request, for its support.
    pub request_id: Option<String>,
    /// What else it says of the failure, as JSON: an object, where the vendor's clients read one.
    pub details: Option<String>,
}

/// A failure: its code, its public text, its cause.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    message: String,
    provider: Option<String>,
    model: Option<String>,
    retry_after: Option<Duration>,
    refusal: Refusal,
    reached: bool,
    /// Whether asking again is of use, where the provider or our clock says so.
    again: Option<bool>,
    was_repeated: bool,
    details: Option<serde_json::Value>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of kind `code`; `message` may be shown to the caller.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            provider: None,
            model: None,
            retry_after: None,
            refusal: Refusal::default(),
            reached: true,
            again: None,
            was_repeated: false,
            details: None,
            cause: None,
        }))
    }

    /// The request is malformed; `message` names the field.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// A file cannot be trusted: `what` says where it breaks and what to do.
    pub fn corrupt(path: &std::path::Path, what: impl fmt::Display) -> Self {
        Self::new(Code::CorruptFile, format!("{}: {what}", path.display()))
    }

    /// Something of ours failed; the message is for the operator.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// A file could not be read or written.
    pub fn io(path: &std::path::Path, cause: std::io::Error) -> Self {
        let (code, remedy) = match cause.kind() {
            ErrorKind::NotFound => (Code::NotFound, "; check the path"),
            ErrorKind::PermissionDenied => (Code::Internal, "; give the user that runs this access to it"),
            ErrorKind::IsADirectory => (Code::Internal, "; name a file in it"),
            _ => (Code::Internal, ""),
        };
        Self::new(code, format!("{}: {cause}{remedy}", path.display()))
    }

    /// `field` asks for something that this build does not do; `remedy` says what does work.
    pub fn not_supported(field: &str, remedy: impl fmt::Display) -> Self {
        Self::new(Code::NotSupported, format!("`{field}`: not supported yet; {remedy}"))
    }

    /// Adds the cause that the log line shows.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause: Box<dyn std::error::Error + Send + Sync> = cause.into();
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds what else the caller should read: an object.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Names the provider and model that failed.
    #[must_use]
    pub fn from_provider(mut self, provider: &str, model: &str) -> Self {
        self.0.provider = Some(provider.to_owned());
        self.0.model = Some(model.to_owned());
        self
    }

    /// Says when trying again can help.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Keeps what the provider said beside its message.
    #[must_use]
    pub fn refused(mut self, refusal: Refusal) -> Self {
        self.0.refusal = refusal;
        self
    }

    /// The same failure with its message as `retell` makes it.
    #[must_use]
    pub fn retold(mut self, retell: impl FnOnce(&str) -> String) -> Self {
        self.0.message = retell(&self.0.message);
        self
    }

    /// The same failure with every text of the provider's, and what caused it, as `mask` makes it.
    #[must_use]
    pub fn masked(mut self, mask: impl Fn(&str) -> String) -> Self {
        let refusal = &mut self.0.refusal;
        for text in [&mut refusal.kind, &mut refusal.request_id, &mut refusal.details].into_iter().flatten() {
            *text = mask(text);
        }
        if let Some(causes) = self.causes() {
            let masked = mask(&causes);
            if masked != causes {
                self = self.caused_by(masked);
            }
        }
        self.retold(mask)
    }

    /// The same failure with the field, variable or key that it is about before it.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.0.message = format!("`{place}`: {}", self.0.message);
        self
    }

    /// Says that the request cannot have reached the provider.
    #[must_use]
    pub fn before_dispatch(mut self) -> Self {
        self.0.reached = false;
        self
    }

    /// Says that asking again is of no use: the provider does not want it, or had all the time that there is.
    #[must_use]
    pub fn final_word(mut self) -> Self {
        self.0.again = Some(false);
        self
    }

    /// Says that the same request may succeed at once, whatever its code says.
    #[must_use]
    pub fn worth_repeating(mut self) -> Self {
        self.0.again = Some(true);
        self
    }

    /// Says that asking again may be of use after all: somebody else might have answered with more time.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.0.again = self.0.again.filter(|again| *again);
        self
    }

    /// Says that it was tried again already, as often as that makes sense.
    #[must_use]
    pub fn repeated(mut self) -> Self {
        self.0.was_repeated = true;
        self
    }

    /// Whether the same request, sent again, would fail again: this is no failure that passes, or it did not pass when it was tried
    /// again here.
    pub fn is_settled(&self) -> bool {
        match self.code() {
            _ if self.is_final() => true,
            _ if self.is_worth_repeating() => self.0.was_repeated,
            Code::ProviderError => self.0.was_repeated || self.refusal().status.is_some_and(|status| status < 500),
            Code::Internal => false,
            code => !code.is_retryable(),
        }
    }

    /// Whether asking again is of no use.
    pub fn is_final(&self) -> bool {
        self.0.again == Some(false)
    }

    /// Whether the same request may succeed at once.
    pub fn is_worth_repeating(&self) -> bool {
        self.0.again == Some(true)
    }

    /// What the provider said beside its message.
    pub fn refusal(&self) -> &Refusal {
        &self.0.refusal
    }

    /// Whether it may have to be paid for all the same: it failed or broke off, who knows where, ran out of time, or gave what is
    /// of no use.
    pub fn may_have_cost(&self) -> bool {
        let is_refused = self.refusal().status.is_some_and(|status| status < 500);
        self.may_have_reached()
            && match self.code() {
                Code::ProviderError => !is_refused,
                Code::ModelOutput | Code::Timeout => true,
                _ => false,
            }
    }

    /// Whether the request may have reached the provider.
    pub fn may_have_reached(&self) -> bool {
        self.0.reached
    }

    /// The chain of causes, without the public message at its head.
    pub fn causes(&self) -> Option<String> {
        let mut texts = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            texts.push(cause.to_string());
            next = cause.source();
        }
        (!texts.is_empty()).then(|| texts.join(": "))
    }

    /// What kind of failure it was.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text that the caller may read.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What else the caller should read.
    pub fn details(&self) -> Option<&serde_json::Value> {
        self.0.details.as_ref()
    }

    /// The provider that failed, if one did.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// The model that was asked, if one was.
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// How long to wait before trying again can help, where the provider said so.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The same in seconds, rounded up.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.wait().map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_had_is_told_with_a_remedy() {
        let said = |kind: ErrorKind| Error::io("f".as_ref(), kind.into()).message().to_owned();
        assert_eq!(said(ErrorKind::NotFound), "f: entity not found; check the path");
        assert_eq!(said(ErrorKind::PermissionDenied), "f: permission denied; give the user that runs this access to it");
        assert_eq!(said(ErrorKind::IsADirectory), "f: is a directory; name a file in it");
        assert_eq!(said(ErrorKind::TimedOut), "f: timed out");
    }
}
