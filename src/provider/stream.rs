//! A streamed answer on its way through: bytes in, events out, with the clocks that watch over it.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use super::fit::Back;
use super::refusal::compressed;
use super::retry::Health;
use super::{Decoder, Provider, Written};
use crate::chat::{ChatEvent, ChatRequest, Trace, unfold};
use crate::error::Result;
use crate::net::{Client, Incoming, Request, Secrets, compression};

/// The events of one answer. The last is [`ChatEvent::Finish`] or an error.
pub type Events = BoxStream<'static, Result<ChatEvent>>;

/// Sends the request and waits for the first content.
pub(super) async fn open(
    provider: &Provider,
    client: &Client,
    request: &ChatRequest,
    written: &Written,
    deadline: Instant,
) -> Result<Events> {
    let first = deadline.min(Instant::now() + client.first_token());
    let mut out = written.request.clone();
    provider.sign(client, &mut out, first).await?;
    let secrets = Secrets::of(&out);
    let begun = begin(provider, client, request, (written, &out), (first, deadline)).await;
    let (held, live) = begun.map_err(|error| secrets.hidden_in(error))?;
    let held = futures_util::stream::iter(held.into_iter().map(Ok));
    let Some(live) = live else { return Ok(held.boxed()) };
    let rest = futures_util::stream::unfold((live, secrets), |(mut live, secrets)| async move {
        let event = live.next(None).await?.map_err(|error| {
            // An end that we set says nothing of the provider.
            if !live.incoming.is_out_of_time() {
                live.health.bad(&live.model, &error);
            }
            secrets.hidden_in(error).from_provider(&live.provider, &live.model)
        });
        Some((event, (live, secrets)))
    });
    Ok(held.chain(rest).boxed())
}

/// Sends what was signed and waits for the first content: the events up to it, and what is to come, if anything is.
async fn begin(
    provider: &Provider,
    client: &Client,
    request: &ChatRequest,
    (written, signed): (&Written, &Request),
    (first, deadline): (Instant, Instant),
) -> Result<(Vec<ChatEvent>, Option<Box<Live>>)> {
    let mut incoming = client.stream(signed, first).await?;
    let content_type = incoming.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let dialect = provider.dialect();
    let is_stream = dialect.is_stream(content_type);
    let warnings = written.warnings.iter().cloned().map(ChatEvent::Warning);
    if !incoming.is_success() {
        return Err(provider.refusal(&incoming.whole(first).await?));
    }
    let compression = compression(&incoming.headers);
    if let Some(compression) = compression
        && is_stream
    {
        return Err(compressed(compression));
    }
    if compression.is_some() || (!is_stream && !dialect.begins_stream(incoming.peek(deadline).await?)) {
        // A server that does not stream answers whole.
        let reply = incoming.whole(deadline).await?;
        let mut answer = dialect.decode(&reply.body).map_err(|error| provider.unread(&reply, error))?;
        written.back.restore_all(&mut answer);
        provider.health.good(&request.model);
        return Ok((warnings.chain(unfold(answer)).collect(), None));
    }
    // Boxed, because it moves with every event.
    let mut live = Box::new(Live {
        incoming,
        decoder: dialect.decoder(),
        ready: warnings.collect(),
        back: Arc::clone(&written.back),
        provider: Arc::clone(&provider.name),
        model: request.model.clone(),
        health: Arc::clone(&provider.health),
        trace: request.trace.clone(),
        has_begun: false,
        over: false,
        code: None,
    });
    let mut held = Vec::new();
    loop {
        match live.next(Some(first)).await {
            None => break,
            Some(event) => {
                held.push(event?);
                if matches!(held.last(), Some(event) if is_content(event)) {
                    break;
                }
            }
        }
    }
    Ok((held, Some(live)))
}

fn is_content(event: &ChatEvent) -> bool {
    match event {
        // An answer may be spoken and not written.
        ChatEvent::Extra(name, _) => name == "audio",
        event => !matches!(event, ChatEvent::Start { .. } | ChatEvent::Warning(_) | ChatEvent::Usage(_)),
    }
}

/// The call while it lasts.
struct Live {
    incoming: Incoming,
    decoder: Decoder,
    ready: VecDeque<ChatEvent>,
    back: Arc<Back>,
    provider: Arc<str>,
    model: String,
    health: Arc<Health>,
    trace: Trace,
    /// Whether there was content.
    has_begun: bool,
    over: bool,
    /// How it failed, as in `error.code`.
    code: Option<&'static str>,
}

impl Live {
    /// The next event. `first` bounds the wait for the first content; later the silence between two pieces is bounded.
    async fn next(&mut self, first: Option<Instant>) -> Option<Result<ChatEvent>> {
        loop {
            if let Some(mut event) = self.ready.pop_front() {
                self.back.restore(&mut event);
                self.has_begun |= is_content(&event);
                match &event {
                    ChatEvent::Usage(usage) => self.trace.used(*usage, self.has_begun),
                    ChatEvent::Finish(_) => {
                        self.over = true;
                        self.health.good(&self.model);
                    }
                    _ => {}
                }
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            let chunk = if self.decoder.has_failed() { Ok(None) } else { self.incoming.chunk(first).await };
            let outcome = match chunk {
                Ok(Some(bytes)) => self.decoder.push(&bytes),
                Ok(None) => self.decoder.finish().inspect(|events| self.over = events.is_empty()),
                // An answer that has said that it ends is whole, however its connection ends; a failure that was told says more.
                Err(error) => match self.decoder.told() {
                    Some(told) => Err(told),
                    None => self.decoder.finish().map_err(|_| error),
                },
            };
            match outcome {
                Ok(events) => self.ready.extend(events),
                Err(error) => {
                    self.over = true;
                    self.code = Some(error.code().as_str());
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Drop for Live {
    /// A caller who leaves ends the call with this value, and a failure does. What it had used by then is known to nobody else.
    fn drop(&mut self) {
        if self.over && self.code.is_none() {
            return;
        }
        let progress = self.trace.progress();
        macro_rules! write_line {
            ($level:expr, $message:literal) => {
                tracing::event!(
                    $level,
                    request_id = self.trace.request_id(),
                    provider = &*self.provider,
                    model = self.model,
                    prompt_tokens = progress.usage.map(|usage| usage.prompt_tokens),
                    completion_tokens = progress.completion_tokens(),
                    code = self.code,
                    partial = true,
                    $message
                )
            };
        }
        if self.over {
            write_line!(tracing::Level::WARN, "the answer broke off");
        } else {
            write_line!(tracing::Level::INFO, "the answer was left before its end");
        }
    }
}
