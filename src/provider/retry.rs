//! When to ask again, and when to leave a provider alone for a while.
//!
//! An attempt that cannot have reached the provider costs nothing and may be repeated within the budget. One that may have is
//! repeated only where the provider says that it is busy, and once where it failed, broke off or gave an answer of no use. Nothing
//! is repeated after content was handed out: the callers of this file do not come here then.

mod hedge;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::hedge::is_repeatable;
use crate::chat::{Failed, Trace};
use crate::error::{Code, Error, Result};
use crate::net::{Client, backoff};

/// Failures within [`WINDOW`] after which a provider, or a model of its, is left alone.
const MOST_FAILURES: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);
const COOLDOWN: Duration = Duration::from_secs(10);
const MAX_COOLDOWN: Duration = Duration::from_secs(60);
/// Models that are told apart; callers name them, so the number needs a bound.
const MOST_MODELS: usize = 1024;
/// What a failure counts as among the times to an answer: whoever fails at once is not fast.
const FAILURE: Duration = Duration::from_secs(60);
/// How much the latest time weighs against those before it.
const LATEST: f64 = 0.2;
/// How long the times of a provider count that is not asked any more: one that was slow, or failed, may do better by now.
const MEMORY: Duration = Duration::from_secs(120);

/// The budget of one call.
#[derive(Debug)]
pub(super) struct Retry {
    left: u32,
    max_wait: Duration,
    attempt: u32,
    /// Failed attempts that are repeated once at most: they may be billed, or the provider said that repeating helps.
    broken: u32,
    deadline: Instant,
    /// Who is asked.
    provider: Arc<str>,
    trace: Trace,
}

impl Retry {
    /// As many further attempts as the client has, all of them before `deadline`.
    pub(super) fn new(client: &Client, deadline: Instant, provider: &Arc<str>, trace: &Trace) -> Self {
        let (left, max_wait) = (client.retries(), client.max_wait());
        Self { left, max_wait, attempt: 0, broken: 0, deadline, provider: Arc::clone(provider), trace: trace.clone() }
    }

    /// Writes down an attempt beside which there is another.
    fn failed(&mut self, error: &Error) {
        self.trace.failed(noted(error));
        self.broken += u32::from(error.may_have_cost());
    }

    /// Asks until there is an answer; the first time another request goes beside one that is slow for as long as `hedge_after`.
    ///
    /// # Errors
    /// It makes no sense to ask again: how the last attempt failed.
    pub(super) async fn run<T, F>(mut self, mut hedge_after: Option<Duration>, ask: impl Fn() -> F + Copy) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        loop {
            match self.hedged(hedge_after.take(), ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.after(error).await?,
            }
        }
    }

    /// Writes the failed attempt down and waits until it makes sense to try again.
    ///
    /// # Errors
    /// It never will: the error as it came.
    async fn after(&mut self, error: Error) -> Result<()> {
        self.trace.failed(noted(&error));
        let Some(wait) = self.wait(&error) else { return Err(if self.attempt > 0 { error.repeated() } else { error }) };
        tracing::info!(
            request_id = self.trace.request_id(),
            provider = &*self.provider,
            code = error.code().as_str(),
            status = error.refusal().status,
            provider_request_id = error.refusal().request_id,
            cause = error.causes(),
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "asking again"
        );
        self.left -= 1;
        self.attempt += 1;
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn wait(&mut self, error: &Error) -> Option<Duration> {
        if self.left == 0 || error.is_final() {
            return None;
        }
        let status = error.refusal().status;
        let again = match error.code() {
            _ if !error.may_have_reached() => error.code() == Code::ProviderError,
            Code::RateLimit | Code::Overloaded => true,
            // A time limit of ours ended it: there is no time to ask again.
            Code::Timeout if status.is_none() => false,
            // It may be billed, so it is repeated once at most; nor more often where the provider says that repeating helps.
            _ if error.may_have_cost() || error.is_worth_repeating() => {
                self.broken += 1;
                self.broken == 1
            }
            _ => false,
        };
        // A wait of 0 is none: the provider is as busy as one that names no wait.
        let wait = error.wait().unwrap_or_default().max(backoff(self.attempt));
        (again && wait <= self.max_wait && Instant::now() + wait < self.deadline).then_some(wait)
    }
}

/// What is known of how a provider does. Limits, capacity and whether it is there are a model's own; a provider that fails
/// otherwise, or cannot be reached, fails for all its models.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    all: Failures,
    models: HashMap<String, Failures>,
    /// Milliseconds until it answers, newer ones weighing more, and when it was last asked; none where it never was.
    answer_ms: Option<(f64, Instant)>,
}

#[derive(Debug, Default)]
struct Failures {
    at: Vec<Instant>,
    until: Option<Instant>,
}

impl Failures {
    fn add(&mut self, asked: Option<Duration>) {
        let now = Instant::now();
        self.at.retain(|at| now.duration_since(*at) < WINDOW);
        self.at.push(now);
        if asked.is_some() || self.at.len() >= MOST_FAILURES {
            self.until = Some(now + asked.unwrap_or(COOLDOWN));
        }
    }

    fn is_cooling(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl State {
    fn took(&mut self, took: Duration) {
        let took_ms = took.as_secs_f64() * 1e3;
        let took_ms = self.answer_ms().map_or(took_ms, |known| known + LATEST * (took_ms - known));
        self.answer_ms = Some((took_ms, Instant::now()));
    }

    fn answer_ms(&self) -> Option<f64> {
        self.answer_ms.filter(|(_, asked)| asked.elapsed() < MEMORY).map(|(took_ms, _)| took_ms)
    }
}

impl Health {
    /// The model answered to the end.
    pub(super) fn good(&self, model: &str) {
        let mut state = self.state();
        state.all = Failures::default();
        state.models.remove(model);
    }

    /// It answered, or began to, after so long.
    pub(super) fn took(&self, took: Duration) {
        self.state().took(took);
    }

    /// Milliseconds until it answers; none where it was not asked of late.
    pub(super) fn answer_ms(&self) -> Option<f64> {
        self.state().answer_ms()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model failed.
    pub(super) fn bad(&self, model: &str, error: &Error) {
        let is_of_all = match error.code() {
            Code::Timeout | Code::ProviderError => true,
            Code::RateLimit | Code::Overloaded | Code::InvalidModel => false,
            // A key that there is may open other models.
            Code::Authentication | Code::Budget => !error.may_have_reached(),
            // The request was to blame.
            _ => return,
        };
        let mut state = self.state();
        // Callers name models: one that is not there says nothing of how fast others are.
        if error.code() != Code::InvalidModel {
            state.took(FAILURE);
        }
        let asked = error.wait().filter(|wait| !wait.is_zero()).map(|wait| wait.min(MAX_COOLDOWN));
        if is_of_all {
            return state.all.add(asked);
        }
        if state.models.len() >= MOST_MODELS && !state.models.contains_key(model) {
            state.models.clear();
        }
        state.models.entry(model.to_owned()).or_default().add(asked);
    }

    /// Whether the model is to be left alone, where somebody else can answer.
    pub(super) fn is_cooling(&self, model: &str) -> bool {
        let state = self.state();
        state.all.is_cooling() || state.models.get(model).is_some_and(Failures::is_cooling)
    }
}

/// How an attempt ended that failed.
pub(super) fn noted(error: &Error) -> Failed {
    Failed { code: error.code().as_str(), status: error.refusal().status, may_have_cost: error.may_have_cost() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::error::Refusal;

    fn error(code: Code) -> Error {
        Error::new(code, "x")
    }

    fn refused(code: Code, status: u16) -> Error {
        error(code).refused(Refusal { status: Some(status), ..Refusal::default() })
    }

    fn within(retries: u32, seconds: u64) -> Retry {
        let mut config = Config::default();
        config.generation.retries = retries;
        let deadline = Instant::now() + Duration::from_secs(seconds);
        Retry::new(&Client::new(&config), deadline, &"p".into(), &Trace::default())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_can_help_is_repeated_and_within_the_budget() {
        let again = |error: Error| within(1, 60).wait(&error).is_some();
        assert!(again(error(Code::ProviderError).before_dispatch()));
        assert!(
            again(refused(Code::RateLimit, 429))
                && again(refused(Code::Overloaded, 529))
                && again(refused(Code::ProviderError, 500))
        );
        assert!(again(refused(Code::Timeout, 408)) && !again(error(Code::Timeout)), "our own clock does not run again");
        assert!(again(refused(Code::ModelOutput, 400)));
        for code in [
            Code::InvalidRequest,
            Code::Authentication,
            Code::Budget,
            Code::ContextLength,
            Code::ContentFilter,
            Code::InvalidModel,
        ] {
            assert!(!again(refused(code, 400)), "{}", code.as_str());
        }
        assert!(!again(refused(Code::RateLimit, 429).final_word()));
        assert!(!again(refused(Code::RateLimit, 429).retry_after(Some(Duration::from_secs(11)))), "nobody waits so long");
        let wait = |seconds| within(1, 60).wait(&refused(Code::Overloaded, 503).retry_after(Some(Duration::from_secs(seconds))));
        assert!(wait(0).unwrap() >= Duration::from_millis(125), "at once is no wait");
        assert_eq!(wait(2), Some(Duration::from_secs(2)));
        let mut retry = within(5, 60);
        assert!(retry.wait(&error(Code::ProviderError)).is_some());
        assert!(retry.wait(&error(Code::ProviderError)).is_none(), "what may have cost something is repeated once");
        assert!(retry.wait(&refused(Code::ModelOutput, 400)).is_none(), "of whatever kind it is");
        let mut retry = within(5, 60);
        assert!(retry.wait(&refused(Code::Timeout, 504)).is_some());
        assert!(retry.wait(&refused(Code::Timeout, 408)).is_none(), "whose time ran out may have written all of it");
        let conflict = || refused(Code::ProviderError, 409).worth_repeating();
        let mut retry = within(5, 60);
        assert!(retry.wait(&conflict()).is_some() && retry.wait(&conflict()).is_none());
        let mut retry = within(2, 60);
        for _ in 0..2 {
            retry.after(refused(Code::Overloaded, 503)).await.unwrap();
        }
        assert!(retry.after(refused(Code::Overloaded, 503)).await.is_err());
        let mut late = within(2, 2);
        assert!(
            late.after(refused(Code::RateLimit, 429).retry_after(Some(Duration::from_secs(3)))).await.is_err(),
            "not past the deadline"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_fails_is_left_alone_for_a_while() {
        let health = Health::default();
        for _ in 0..2 {
            health.bad("m", &error(Code::ProviderError));
        }
        health.bad("m", &error(Code::InvalidRequest));
        assert!(!health.is_cooling("m"));
        health.bad("m", &error(Code::Timeout));
        assert!(health.is_cooling("m") && health.is_cooling("another"));
        tokio::time::advance(COOLDOWN).await;
        assert!(!health.is_cooling("m"));
        health.bad("m", &error(Code::RateLimit).retry_after(Some(Duration::from_secs(3600))));
        assert!(health.is_cooling("m"));
        tokio::time::advance(MAX_COOLDOWN).await;
        assert!(!health.is_cooling("m"), "no provider decides for an hour");
        health.bad("m", &error(Code::RateLimit).retry_after(Some(Duration::from_secs(5))));
        health.good("m");
        assert!(!health.is_cooling("m"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_model_says_nothing_of_the_others() {
        let health = Health::default();
        health.bad("m", &error(Code::RateLimit).retry_after(Some(Duration::from_secs(5))));
        health.bad("n", &error(Code::Overloaded));
        health.good("o");
        assert_eq!(["m", "n", "o"].map(|model| health.is_cooling(model)), [true, false, false]);
        for _ in 0..2 {
            health.bad("n", &error(Code::Overloaded).retry_after(Some(Duration::from_secs(0))));
        }
        assert!(health.is_cooling("n") && !health.is_cooling("o"));
        for at in 0..2 * MOST_MODELS {
            health.bad(&at.to_string(), &error(Code::Overloaded));
        }
        assert!(health.state().models.len() <= MOST_MODELS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_is_gone_is_left_alone_and_says_nothing_of_the_others() {
        let health = Health::default();
        health.took(Duration::from_secs(1));
        for _ in 0..MOST_FAILURES {
            health.bad("gone", &refused(Code::InvalidModel, 404));
        }
        assert_eq!(["gone", "m"].map(|model| health.is_cooling(model)), [true, false]);
        assert_eq!(health.answer_ms(), Some(1_000.0));
        for at in 0..2 * MOST_MODELS {
            health.bad(&at.to_string(), &refused(Code::InvalidModel, 404));
        }
        assert!(health.state().models.len() <= MOST_MODELS && !health.is_cooling("m"));
        tokio::time::advance(COOLDOWN).await;
        assert!(!health.is_cooling("gone"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_refused_or_missing_is_a_failure_too() {
        for code in [Code::Authentication, Code::Budget] {
            let (refused, missing) = (Health::default(), Health::default());
            for _ in 0..MOST_FAILURES {
                refused.bad("m", &error(code));
                missing.bad("m", &error(code).before_dispatch());
            }
            assert_eq!(["m", "n"].map(|model| refused.is_cooling(model)), [true, false], "a key may open other models");
            assert_eq!(["m", "n"].map(|model| missing.is_cooling(model)), [true, true]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_long_ago_is_none() {
        let health = Health::default();
        health.bad("m", &error(Code::ProviderError));
        tokio::time::advance(MEMORY - Duration::from_secs(1)).await;
        assert_eq!(health.answer_ms(), Some(60_000.0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(health.answer_ms(), None);
        health.took(Duration::from_secs(1));
        assert_eq!(health.answer_ms(), Some(1_000.0));
    }

    #[test]
    fn a_failure_counts_as_a_slow_answer() {
        let (dead, slow) = (Health::default(), Health::default());
        assert_eq!(dead.answer_ms(), None);
        dead.bad("m", &error(Code::Authentication));
        slow.took(Duration::from_secs(20));
        assert_eq!((dead.answer_ms(), slow.answer_ms()), (Some(60_000.0), Some(20_000.0)));
        slow.bad("m", &error(Code::InvalidRequest));
        assert_eq!(slow.answer_ms(), Some(20_000.0), "the request was to blame");
        slow.bad("m", &error(Code::Overloaded));
        assert_eq!(slow.answer_ms(), Some(28_000.0));
    }
}
