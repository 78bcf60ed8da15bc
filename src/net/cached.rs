//! What is fetched with a time to live: keys and tokens. One asks, the others wait for its answer, or go on with an older value
//! that is still valid. Such a value outlives a fetch that fails.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::error::{Code, Error, Result};

/// How long an older value is used before it is fetched again after that failed.
const SECOND_CHANCE: Duration = Duration::from_secs(30);
/// How long nobody asks again where there is none: those who waited for an attempt that failed do not wait for one more each.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a fetch may take while there is an older value that is still valid.
const PATIENCE: Duration = Duration::from_secs(1);

/// A value, if it could be fetched.
#[derive(Debug)]
pub(super) struct Cached<T> {
    state: Mutex<State<T>>,
    /// Held by whoever fetches.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    /// With its end, where that is known.
    value: Option<(T, Option<Instant>)>,
    /// Until when it is not fetched again; none where it never was.
    until: Option<Instant>,
}

/// What was fetched.
pub(super) struct Fresh<T> {
    pub(super) value: T,
    /// After which it is fetched again.
    pub(super) renewal: Duration,
    /// After which it is of no use, where that is known.
    pub(super) life: Option<Duration>,
}

impl<T> Fresh<T> {
    /// Fetched again so long before it ends, or in the middle of a short life.
    pub(super) fn ending(value: T, life: Duration, early: Duration) -> Self {
        Self { value, renewal: life - early.min(life / 2), life: Some(life) }
    }
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { value: None, until: None }), turn: tokio::sync::Mutex::default() }
    }
}

impl<T: Clone> State<T> {
    /// What is still valid.
    fn valid(&self) -> Option<T> {
        let now = Instant::now();
        self.value.as_ref().filter(|(_, end)| end.is_none_or(|end| now < end)).map(|(value, _)| value.clone())
    }
}

impl<T: Clone> Cached<T> {
    /// The value, fetched where it has to be.
    ///
    /// # Errors
    /// Fetching it failed, or did so a moment ago (`failed`), and there is no older one.
    pub(super) async fn value(&self, fetch: impl Future<Output = Result<Fresh<T>>>, failed: impl FnOnce() -> Error) -> Result<T> {
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let older = self.state().valid();
                if let Some(older) = older {
                    return Ok(older);
                }
                self.turn.lock().await
            }
        };
        let older = {
            let mut state = self.state();
            let (now, older) = (Instant::now(), state.valid());
            if state.until.is_some_and(|until| now < until) && (older.is_some() || state.value.is_none()) {
                return older.ok_or_else(failed);
            }
            if older.is_some() {
                // Whoever asks may stop waiting: a fetch that nobody sees the end of has failed, too.
                state.until = Some(now + SECOND_CHANCE);
            }
            older
        };
        let fetched = match &older {
            Some(_) => timeout(PATIENCE, fetch).await.unwrap_or_else(|_| Err(late())),
            None => fetch.await,
        };
        let now = Instant::now();
        let mut state = self.state();
        match (fetched, older) {
            (Ok(Fresh { value, renewal, life }), _) => {
                *state = State { value: Some((value.clone(), life.map(|life| now + life))), until: Some(now + renewal) };
                Ok(value)
            }
            (Err(error), Some(older)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(cause, "{error}; the last one is used");
                state.until = Some(now + SECOND_CHANCE);
                Ok(older)
            }
            (Err(error), None) => {
                *state = State { value: None, until: Some(now + PAUSE) };
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late() -> Error {
    Error::new(Code::Authentication, "a key or token did not come in time to take the place of the last one")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const EARLY: Duration = Duration::from_secs(300);

    fn error(text: &str) -> Error {
        Error::new(Code::Authentication, text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_outlives_a_fetch_that_fails_until_its_end() {
        let (cached, count) = (Cached::default(), Cell::new(0));
        let ask = async |outcome: Result<&'static str>| {
            let fetch = async {
                count.set(count.get() + 1);
                outcome.map(|value| Fresh::ending(value, HOUR, EARLY))
            };
            cached.value(fetch, || error("a moment ago")).await.map_err(|error| error.message().to_owned())
        };
        assert_eq!(ask(Ok("one")).await.unwrap(), "one");
        tokio::time::advance(HOUR - EARLY).await;
        assert_eq!((ask(Err(error("x"))).await.unwrap(), count.get()), ("one", 2), "still valid");
        assert_eq!((ask(Ok("two")).await.unwrap(), count.get()), ("one", 2), "nobody asks for a while");
        tokio::time::advance(EARLY).await;
        assert_eq!((ask(Err(error("x"))).await.unwrap_err().as_str(), count.get()), ("x", 3), "it has ended");
        assert_eq!((ask(Ok("two")).await.unwrap_err().as_str(), count.get()), ("a moment ago", 3));
        tokio::time::advance(PAUSE).await;
        assert_eq!(ask(Ok("two")).await.unwrap(), "two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_outlives_a_fetch_that_is_given_up() {
        let cached = Cached::default();
        let one = async { Ok(Fresh::ending(1, HOUR, EARLY)) };
        cached.value(one, || error("a moment ago")).await.unwrap();
        tokio::time::advance(HOUR - EARLY).await;
        let endless = || cached.value(std::future::pending(), || error("a moment ago"));
        let moment = PATIENCE / 2;
        assert!(timeout(moment, endless()).await.is_err());
        assert_eq!(timeout(moment, endless()).await.unwrap().unwrap(), 1);
        tokio::time::advance(SECOND_CHANCE).await;
        assert!(timeout(moment, endless()).await.is_err(), "it is fetched again");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_what_takes_the_place_of_a_valid_value() {
        let cached = Cached::default();
        let one = async { Ok(Fresh::ending(1, HOUR, EARLY)) };
        cached.value(one, || error("a moment ago")).await.unwrap();
        tokio::time::advance(HOUR - EARLY).await;
        let endless = || cached.value(std::future::pending(), || error("a moment ago"));
        let (began, mut first) = (Instant::now(), std::pin::pin!(endless()));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert_eq!((endless().await.unwrap(), began.elapsed()), (1, Duration::ZERO), "the others do not wait at all");
        assert_eq!((first.await.unwrap(), began.elapsed()), (1, PATIENCE));
        tokio::time::advance(EARLY).await;
        assert!(timeout(2 * PATIENCE, endless()).await.is_err(), "without one, everybody does");
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_within_its_second_chance_is_not_used_beyond_its_end() {
        let cached = Cached::default();
        let life = Duration::from_secs(20);
        let one = async || cached.value(async { Ok(Fresh::ending(1, life, EARLY)) }, || error("a moment ago")).await;
        let fails = async || cached.value(async { Err(error("x")) }, || error("a moment ago")).await;
        one().await.unwrap();
        tokio::time::advance(life / 2).await;
        assert_eq!(fails().await.unwrap(), 1);
        tokio::time::advance(life / 2).await;
        assert_eq!(fails().await.unwrap_err().message(), "x");
    }
}
