//! What a request would be counted as, asked of a provider that counts: Anthropic's `messages/count_tokens`.

use serde_json::Value;
use tokio::time::Instant;

use super::retry::Retry;
use super::{Dialect, Provider};
use crate::chat::ChatRequest;
use crate::error::{Error, Result};
use crate::net::{Client, Request};

/// Fields of a message that are counted; any other is refused there (Anthropic's specification of May 2026, with its betas).
const COUNTED: [&str; 12] = [
    "cache_control",
    "context_management",
    "mcp_servers",
    "messages",
    "model",
    "output_config",
    "output_format",
    "speed",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];

impl Provider {
    /// Has the tokens of a request counted, as the provider tells them.
    ///
    /// # Errors
    /// The provider does not count, or as [`Self::chat`].
    pub async fn count_tokens(&self, client: &Client, request: &ChatRequest, deadline: Instant) -> Result<Value> {
        if self.preset.dialect != Dialect::Anthropic || self.preset.path != "messages" {
            return Err(Error::not_supported("count_tokens", format!("`{}` does not count the tokens of a message", self.name)));
        }
        let written = self.prepared(client, request, false, deadline).await?;
        let mut body = written.body();
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|name, _| COUNTED.contains(&name.as_str()));
        }
        let mut out = Request::new(self.url("messages/count_tokens", &request.model)?, body.to_string());
        out.headers = written.request.headers;
        let ask = || self.attempt(client, &out, deadline, |reply| super::dialect::parse(&reply.body));
        let counted = Retry::new(client, deadline, &self.name, &request.trace).run(None, ask).await;
        counted.map_err(|error| self.blame(error, request))
    }
}
