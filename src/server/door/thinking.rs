//! `thinking`, as both dialects' callers write it: Anthropic's own word, which clients of OpenAI's dialect send for Claude's
//! models.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::unknown;
use crate::chat::{Effort, Reasoning, Think, Warnings};

/// The wish to think.
#[derive(Debug, Deserialize)]
pub(super) struct Thinking {
    #[serde(rename = "type")]
    kind: Kind,
    budget_tokens: Option<u32>,
    display: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Adaptive,
    Enabled,
    Disabled,
    BetweenTools,
}

impl Thinking {
    /// The neutral wish; what of it is not known is said in `warnings`.
    pub(super) fn neutral(self, warnings: &mut Warnings) -> Reasoning {
        unknown(self.rest, "thinking", warnings);
        let off = Reasoning { effort: Some(Effort::None), ..Reasoning::default() };
        let show = self.display.map(|display| display != "omitted");
        match self.kind {
            Kind::Disabled => off,
            Kind::BetweenTools => Reasoning { think: Some(Think::BetweenTools), ..off },
            Kind::Enabled if self.budget_tokens.is_some() => {
                Reasoning { budget_tokens: self.budget_tokens, show, ..Reasoning::default() }
            }
            // Other servers' `enabled` has no budget.
            Kind::Enabled | Kind::Adaptive => Reasoning { think: Some(Think::Adaptive), show, ..Reasoning::default() },
        }
    }
}
