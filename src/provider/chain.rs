//! Providers that stand in for one another.
//!
//! A failure that another provider may not have moves the request on. A mistake in the request ends the chain at the first
//! provider; at one that stands in it does not, because the next may take what this one refuses. Thoughts and signatures of one
//! model are left out for the next, which would refuse them. A provider that keeps failing is passed over for a while.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::Provider;
use crate::chat::{ChatRequest, Part, Role, Trace, Warning};
use crate::error::{Code, Error, Result};
use crate::net::Client;

/// Share of the remaining time a provider gets while others are left.
const SHARE: f64 = 0.6;
/// The longest wait before a provider is asked again while others are left: they may answer at once.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Fields of the caller's that one warning names.
const MOST_NAMED: usize = 20;

/// A walk along a chain: whose turn it is, and how the first one failed.
#[derive(Debug)]
pub(crate) struct Walk {
    links: Vec<(Provider, String)>,
    /// The links still to be asked, the next one last.
    left: Vec<usize>,
    at: usize,
    trace: Trace,
    /// The first failure that the request was not to blame for.
    failure: Option<Error>,
}

impl Walk {
    /// Each is asked once. Those that cool down are asked last, not never: a late answer is better than none.
    pub(crate) fn new(links: Vec<(Provider, String)>, trace: &Trace) -> Self {
        let is_first = |at: usize| {
            let (named, asked) = &links[at];
            !links[..at].iter().any(|(provider, model)| provider.name() == named.name() && model == asked)
        };
        let (warm, cooling): (Vec<usize>, Vec<usize>) =
            (0..links.len()).filter(|at| is_first(*at)).partition(|at| !links[*at].0.is_cooling(&links[*at].1));
        let left = warm.into_iter().chain(cooling).rev().collect();
        Self { links, left, at: 0, trace: trace.clone(), failure: None }
    }

    /// Turns to the next; false where nobody is left.
    pub(crate) fn advance(&mut self) -> bool {
        let next = self.left.pop();
        self.at = next.unwrap_or(self.at);
        next.is_some()
    }

    /// Whose turn it is.
    pub(crate) fn provider(&self) -> &Provider {
        &self.links[self.at].0
    }

    /// Which of its models is asked.
    pub(crate) fn model(&self) -> &str {
        &self.links[self.at].1
    }

    /// Until when it may take.
    pub(crate) fn until(&self, deadline: Instant) -> Instant {
        if self.left.is_empty() { deadline } else { shared(Instant::now(), deadline) }
    }

    /// With what it is asked.
    pub(crate) fn client<'a>(&self, client: &'a Client) -> Cow<'a, Client> {
        if self.left.is_empty() { Cow::Borrowed(client) } else { Cow::Owned(client.waiting(MAX_WAIT)) }
    }

    /// What it is asked, and what was left out for it.
    pub(crate) fn request<'a>(&self, request: &'a ChatRequest) -> (Cow<'a, ChatRequest>, String) {
        let mut request = Cow::Borrowed(request);
        let without = match self.at {
            0 => String::new(),
            _ => hand_over(request.to_mut(), self.provider().name() != self.links[0].0.name()),
        };
        if request.model != self.model() {
            self.model().clone_into(&mut request.to_mut().model);
        }
        (request, without)
    }

    /// Notes a failure.
    ///
    /// # Errors
    /// Nobody else would do better: the failure.
    pub(crate) fn failed(&mut self, error: Error) -> Result<()> {
        if ends(error.code(), self.at > 0) {
            return Err(error);
        }
        if !self.left.is_empty() {
            tracing::warn!(
                request_id = self.trace.request_id(),
                provider = self.provider().name(),
                code = error.code().as_str(),
                status = error.refusal().status,
                provider_request_id = error.refusal().request_id,
                cause = error.causes(),
                "asking the next provider"
            );
        }
        if !is_mistake(error.code()) {
            self.failure.get_or_insert(if self.left.is_empty() { error } else { error.passing() });
        }
        Ok(())
    }

    /// Why another answers than whoever was named, and what was left out for it.
    pub(crate) fn warning(&self, without: &str) -> Option<Warning> {
        let detail = match &self.failure {
            Some(error) => format!("`{}` failed ({})", error.provider().unwrap_or_default(), error.code().as_str()),
            None if self.at > 0 => format!("`{}` is left alone for a while", self.links[0].0.name()),
            None => return None,
        };
        Some(Warning::changed("provider", format!("{detail}: `{}/{}` answers{without}", self.provider().name(), self.model())))
    }

    /// The first failure that the request was not to blame for.
    pub(crate) fn error(&mut self) -> Error {
        self.failure.take().unwrap_or_else(|| Error::internal("no provider was asked"))
    }
}

/// Whether the chain ends here. First provider: any mistake of the request. Stand-in: a content filter only; what else it rejects,
/// the next may take.
fn ends(code: Code, stands_in: bool) -> bool {
    if stands_in { code == Code::ContentFilter } else { is_mistake(code) }
}

/// Whether the request is to blame.
pub(crate) fn is_mistake(code: Code) -> bool {
    matches!(code, Code::InvalidRequest | Code::NotSupported | Code::ContentFilter | Code::BodyTooLarge | Code::Internal)
}

/// Until when a provider may take that has others behind it.
pub(crate) fn shared(now: Instant, deadline: Instant) -> Instant {
    now + deadline.saturating_duration_since(now).mul_f64(SHARE)
}

/// Removes what only the first provider accepts; returns words for the warning. Always thoughts and signatures; for another
/// provider (`is_stranger`) also its fields, betas, tier and blocks.
fn hand_over(request: &mut ChatRequest, is_stranger: bool) -> String {
    let mut taken = Vec::new();
    if is_stranger {
        let mut extra = std::mem::take(&mut request.extra);
        // The wish itself stays.
        if request.reasoning.is_some() {
            extra.shift_remove("thinking");
        }
        taken.extend(extra.keys().take(MOST_NAMED).map(|name| format!("`{}`", name.chars().take(40).collect::<String>())));
        taken.extend((extra.len() > MOST_NAMED).then(|| format!("{} more fields", extra.len() - MOST_NAMED)));
        let betas = !std::mem::take(&mut request.betas).is_empty();
        taken.extend(betas.then(|| "its headers".to_owned()));
        taken.extend(request.service_tier.take().map(|_| "`service_tier`".to_owned()));
        taken.extend(
            // What is asked stays: the text in it is read, or it is refused. Without it the question is another one.
            drop_parts(request, |role, part| match part {
                Part::Raw(_) => role == Role::Assistant,
                part => matches!(part, Part::Citation(_)),
            })
            .then(|| "blocks of another provider's".to_owned()),
        );
    }
    taken.extend(
        drop_parts(request, |_, part| matches!(part, Part::Reasoning(_))).then(|| "thoughts of another model's".to_owned()),
    );
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        if let Part::ToolCall(call) = part {
            call.signature = None;
        }
    }
    if taken.is_empty() { String::new() } else { format!(", without {}", taken.join(", ")) }
}

/// Takes such parts out; whether there were any.
fn drop_parts(request: &mut ChatRequest, is_such: fn(Role, &Part) -> bool) -> bool {
    let mut any = false;
    for message in &mut request.messages {
        let before = message.parts.len();
        message.parts.retain(|part| !is_such(message.role, part));
        any |= message.parts.len() < before;
    }
    request.messages.retain(|message| !message.parts.is_empty());
    any
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_that_lies_elsewhere_is_not_left_out_in_silence() {
        let raw = |value| json!({"raw": {"dialect": "openai", "value": value}});
        let asked = json!([{"text": "Sum it up."}, raw(json!({"type": "file", "file": {"file_id": "f"}}))]);
        let said = json!([raw(json!({"type": "x"}))]);
        let messages = json!([{"role": "assistant", "parts": said}, {"role": "user", "parts": asked}]);
        let mut request: ChatRequest = serde_json::from_value(json!({"model": "m", "messages": messages})).unwrap();
        assert_eq!(hand_over(&mut request, true), ", without blocks of another provider's");
        assert!(matches!(&request.messages[..], [asked] if matches!(&asked.parts[..], [Part::Text(_), Part::Raw(_)])));
    }
}
