//! What is logged: JSON lines that Lambda's log filter understands (`timestamp` RFC 3339 and `level` at the top), or text on a
//! terminal. One line a request, made of names and numbers: no prompt, no passage, no answer, no key.

mod queue;

use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::chat::{Trace, Usage};
use crate::config::{Level, Log, LogFormat};
use crate::error::{Code, Error};
use queue::Queue;

/// The path that says whether the service lives.
const HEALTH: &str = "/healthz";

/// What stands in the place of a code when the caller left before the answer was whole.
const CLIENT_GONE: &str = "CLIENT_GONE";

/// Lines of a service whose log has a thread of its own.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Writes lines to standard error from now on, one for a panic, too. Only the first call has an effect. With a `queue` nobody waits
/// for whoever reads them: a thread writes them, and [`flush`] belongs before the end. Without it a line is written when it is
/// said, as it must be where the process may be frozen behind an answer.
pub fn start(log: Log, queue: bool) {
    let json = match log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    // Without a thread, whoever says a line writes it.
    let write = || QUEUE.get_or_init(Queue::default).write_to(std::io::stderr());
    let is_first = if queue && std::thread::Builder::new().spawn(write).is_ok() {
        tracing::subscriber::set_global_default(subscriber(log.level, json, || QUEUE.get_or_init(Queue::default))).is_ok()
    } else {
        tracing::subscriber::set_global_default(subscriber(log.level, json, std::io::stderr)).is_ok()
    };
    if is_first {
        std::panic::set_hook(Box::new(|panic| {
            // Where, and not what: a panic's message can quote a text.
            tracing::error!(place = panic.location().map(ToString::to_string), "a panic");
        }));
    }
}

/// Waits until the lines of the log are written, for a while.
pub fn flush() {
    const PATIENCE: Duration = Duration::from_secs(1);
    if let Some(queue) = QUEUE.get() {
        queue.flush(PATIENCE);
    }
}

/// What turns events into lines. Libraries may say only what is at least a warning: below that they show what they carry.
pub fn subscriber<W>(level: Level, json: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    let ours = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let filter = Targets::new().with_default(ours.min(LevelFilter::WARN)).with_target("omni_llm", ours);
    let text_lines = (!json).then(|| fmt::layer().with_writer(writer.clone()).compact().with_target(false).with_ansi(false));
    // Spans are left out: those of the Lambda runtime repeat what is in the line.
    let json_lines =
        json.then(|| fmt::layer().with_writer(writer).json().flatten_event(true).with_current_span(false).with_span_list(false));
    tracing_subscriber::registry().with(filter).with(json_lines).with(text_lines)
}

/// The one line of a request. It is written when the last owner lets go: behind the last byte of a stream, or when the caller left.
pub struct Line {
    trace: Trace,
    method: String,
    path: String,
    started: Instant,
    facts: Mutex<Facts>,
}

/// What is learnt on the way.
#[derive(Debug, Default)]
struct Facts {
    status: Option<u16>,
    code: Option<&'static str>,
    /// The status that a provider refused with.
    upstream_status: Option<u16>,
    /// Whether the failure was ours or a provider's, which in a stream no status says.
    is_fault: bool,
    /// What the provider calls a request that it refused.
    provider_request_id: Option<String>,
    cause: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    hits: Option<usize>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
    streaming: bool,
    invocation: Option<String>,
}

impl Line {
    /// Begins a line.
    pub fn new(id: &str, method: &str, path: &str) -> Self {
        let path = path.chars().take(200).collect();
        Self { trace: Trace::new(id), method: method.to_owned(), path, started: Instant::now(), facts: Mutex::default() }
    }

    /// What befalls the request, for those who serve it.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Seconds since the request came.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The answer's HTTP status.
    pub fn status(&self, status: u16) {
        self.note(|facts| facts.status = Some(status));
    }

    /// The invocation that Lambda knows this request by.
    pub fn invocation(&self, id: &str) {
        self.note(|facts| facts.invocation = Some(id.to_owned()));
    }

    /// A body follows that may be left before its end.
    pub fn streaming(&self) {
        self.note(|facts| facts.streaming = true);
    }

    /// Who answers, and for how much.
    pub fn answer(&self, provider: &str, model: &str, usage: Option<Usage>, cost_usd: Option<f64>) {
        self.note(|facts| {
            facts.provider = Some(provider.to_owned());
            facts.model = Some(model.to_owned());
            facts.usage = usage;
            facts.cost_usd = cost_usd;
            facts.streaming = false;
        });
    }

    /// How many passages a search found.
    pub fn hits(&self, hits: usize) {
        self.note(|facts| facts.hits = Some(hits));
    }

    /// Why it failed. The message stays out: it can quote what the caller or the provider wrote.
    pub fn error(&self, error: &Error) {
        self.note(|facts| {
            facts.code = Some(error.code().as_str());
            facts.upstream_status = error.refusal().status;
            // What is the operator's to mend, too.
            facts.is_fault = error.code().status() >= 500 || matches!(error.code(), Code::Authentication | Code::Budget);
            facts.provider_request_id.clone_from(&error.refusal().request_id);
            facts.cause = error.causes();
            facts.usage = told(error, "usage").and_then(|usage| serde_json::from_value(usage).ok()).or(facts.usage);
            facts.cost_usd = told(error, "cost_usd").and_then(|dollars| dollars.as_f64()).or(facts.cost_usd);
            facts.provider = error.provider().map(str::to_owned);
            facts.model = error.model().map(str::to_owned);
            facts.streaming = false;
        });
    }

    fn note(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut facts = std::mem::take(self.facts.get_mut().unwrap_or_else(PoisonError::into_inner));
        let gone = facts.status.is_none() || facts.streaming;
        let status = facts.status.unwrap_or(499);
        let code = if gone { Some(CLIENT_GONE) } else { facts.code };
        let mut completion_tokens = facts.usage.map(|usage| usage.completion_tokens);
        let mut partial = None;
        let is_given_up = facts.code.is_some() && facts.provider.is_none();
        if (gone || is_given_up) && facts.usage.is_none() {
            // Nobody was left to be told the rest, or the failure is not the provider's.
            let progress = self.trace.progress();
            partial = progress.provider.is_some().then_some(true);
            completion_tokens = progress.completion_tokens();
            (facts.provider, facts.model) = (progress.provider, progress.model);
            (facts.usage, facts.cost_usd) = (progress.usage, progress.cost_usd);
        }
        let duration_ms = self.started.elapsed().as_millis() as u64;
        macro_rules! write_line {
            ($level:expr) => {
                tracing::event!(
                    target: "omni_llm::request",
                    $level,
                    request_id = self.trace.request_id(),
                    invocation = facts.invocation,
                    method = self.method,
                    path = self.path,
                    status,
                    code,
                    upstream_status = facts.upstream_status,
                    duration_ms,
                    provider = facts.provider,
                    model = facts.model,
                    hits = facts.hits,
                    prompt_tokens = facts.usage.map(|usage| usage.prompt_tokens),
                    completion_tokens,
                    cost_usd = facts.cost_usd,
                    partial,
                    provider_request_id = facts.provider_request_id,
                    cause = facts.cause,
                    "request"
                )
            };
        }
        if status >= 500 || (facts.is_fault && !gone) {
            write_line!(tracing::Level::WARN);
        } else if self.path == HEALTH && status == 200 {
            // Whatever watches the service asks every few seconds.
            write_line!(tracing::Level::DEBUG);
        } else {
            write_line!(tracing::Level::INFO);
        }
    }
}

/// What a failure says of what was paid for it.
fn told(error: &Error, key: &str) -> Option<serde_json::Value> {
    error.details()?.get(key).cloned()
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("id", &self.trace.request_id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::{Code, Refusal};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(level: Level, json: bool, act: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(level, json, move || writer.clone()), act);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_is_what_the_log_filter_of_lambda_reads() {
        let text = written(Level::Info, true, || {
            let line = Line::new("req_1", "POST", "/v1/query");
            let usage = Usage { prompt_tokens: 1, completion_tokens: 2, ..Usage::default() };
            line.hits(5);
            line.answer("openai", "m", Some(usage), Some(0.25));
            line.status(200);
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{text}");
        let shown = ["level", "message", "request_id", "method", "path", "provider", "model"]
            .map(|name| line[name].as_str().unwrap_or("-"));
        assert_eq!(shown, ["INFO", "request", "req_1", "POST", "/v1/query", "openai", "m"]);
        assert_eq!([&line["status"], &line["hits"], &line["prompt_tokens"], &line["completion_tokens"]], [200, 5, 1, 2]);
        assert_eq!(line["cost_usd"], 0.25);
        assert!(line["duration_ms"].is_u64() && line.get("code").is_none() && line.get("cause").is_none(), "{text}");
    }

    #[test]
    fn a_caller_who_left_and_a_failure_are_told_apart() {
        let text = written(Level::Info, true, || {
            drop(Line::new("req_1", "GET", "/"));
            let line = Line::new("req_2", "GET", "/");
            line.streaming();
            line.status(200);
            drop(line);
            let line = Line::new("req_3", "GET", "/");
            line.error(&Error::internal("secret text").caused_by(std::io::Error::other("disk full")));
            line.status(500);
            drop(line);
            let line = Line::new("req_4", "GET", "/");
            let refusal = Refusal { status: Some(302), ..Refusal::default() };
            line.error(&Error::new(Code::ProviderError, "secret text").refused(refusal));
            line.status(502);
            drop(line);
            let line = Line::new("req_5", "GET", "/");
            line.error(&Error::new(Code::Budget, "secret text"));
            line.status(402);
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["code"], &lines[0]["status"]), (&"CLIENT_GONE".into(), &499.into()));
        assert_eq!((&lines[1]["code"], &lines[1]["status"]), (&"CLIENT_GONE".into(), &200.into()));
        assert_eq!(
            (&lines[2]["code"], &lines[2]["cause"], &lines[2]["level"]),
            (&"INTERNAL_ERROR".into(), &"disk full".into(), &"WARN".into())
        );
        assert_eq!((&lines[3]["upstream_status"], lines[2].get("upstream_status")), (&302.into(), None));
        assert_eq!(lines[4]["level"], "WARN", "an open bill is the operator's");
        assert!(!text.contains("secret text"));
    }

    #[test]
    fn a_request_that_is_given_up_says_who_was_asked() {
        let text = written(Level::Info, true, || {
            let line = Line::new("req_1", "POST", "/v1/query");
            line.trace().asking("openai", "m");
            line.trace().used(Usage { prompt_tokens: 7, ..Usage::default() }, false);
            line.error(&Error::new(Code::Overloaded, "x"));
            line.status(503);
            drop(line);
            let line = Line::new("req_2", "POST", "/v1/search");
            line.trace().asking("openai", "embeds");
            line.status(200);
        });
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = ["code", "provider", "model", "prompt_tokens", "partial"].map(|name| lines[0][name].clone());
        assert_eq!(serde_json::json!(told), serde_json::json!(["OVERLOADED", "openai", "m", 7, true]));
        assert_eq!(lines[1].get("provider"), None, "whoever embedded the question of a search answered nothing");
    }

    #[test]
    fn a_failure_inside_a_stream_is_a_warning_and_a_healthy_service_says_little() {
        let act = || {
            for code in [Code::ProviderError, Code::ContentFilter] {
                let line = Line::new("req_1", "POST", "/v1/query");
                line.streaming();
                line.status(200);
                line.error(&Error::new(code, "x"));
            }
            for status in [200, 400] {
                Line::new("req_2", "GET", "/healthz").status(status);
            }
        };
        let levels = |text: &str| {
            let level = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["level"].clone();
            text.lines().map(level).collect::<Vec<_>>()
        };
        assert_eq!(levels(&written(Level::Info, true, act)), ["WARN", "INFO", "INFO"]);
        assert_eq!(levels(&written(Level::Debug, true, act)), ["WARN", "INFO", "DEBUG", "INFO"]);
    }

    #[test]
    fn the_level_holds_and_libraries_say_only_warnings() {
        let act = || {
            tracing::info!("ours");
            tracing::debug!(target: "hyper", "theirs");
            tracing::info!(target: "reqwest", "theirs");
            tracing::warn!(target: "reqwest", "careful");
        };
        assert_eq!(written(Level::Trace, false, act).matches("theirs").count(), 0);
        assert_eq!(written(Level::Trace, true, act).lines().count(), 2);
        assert_eq!(written(Level::Error, true, act), "");
    }
}
