//! A second request beside one that is slow: off unless the operator says after how long, because both may have to be paid for.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::{Instant, sleep};

use super::Retry;
use crate::chat::{ChatRequest, Failed};
use crate::error::Result;

/// What stands in the place of `error.code` for a request that another one overtook.
const OVERTAKEN: &str = "OVERTAKEN";

impl Retry {
    /// Asks, and asks again where nothing has come `after` so long. The first answer counts, and the other request is dropped. A
    /// failure counts only where nobody else is asked any more.
    ///
    /// # Errors
    /// Every request failed: how the last one did.
    pub(super) async fn hedged<T, F>(&mut self, after: Option<Duration>, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let Some(after) = after.filter(|after| Instant::now() + 2 * *after < self.deadline) else { return ask().await };
        // Boxed, because few operators want it, and every request would carry the room of two.
        Box::pin(async {
            let first = pin!(ask());
            let first = match select(first, pin!(sleep(after))).await {
                Either::Left((outcome, _)) => return outcome,
                Either::Right(((), first)) => first,
            };
            tracing::info!(
                request_id = self.trace.request_id(),
                provider = &*self.provider,
                "asking once more beside a slow request"
            );
            match select(first, pin!(ask())).await {
                Either::Left((outcome, other)) => self.settle(outcome, other).await,
                Either::Right((outcome, other)) => self.settle(outcome, other).await,
            }
        })
        .await
    }

    /// Takes the outcome that came first, or the other one where that is a failure.
    async fn settle<T>(&mut self, outcome: Result<T>, other: impl Future<Output = Result<T>>) -> Result<T> {
        let Err(error) = outcome else {
            self.trace.failed(Failed { code: OVERTAKEN, status: None, may_have_cost: true });
            return outcome;
        };
        self.failed(&error);
        other.await
    }
}

/// Whether a second request does nothing but answer: tools that run at the provider run twice.
pub(in crate::provider) fn is_repeatable(request: &ChatRequest) -> bool {
    request.native_tools.is_empty() && !request.extra.contains_key("mcp_servers")
}
