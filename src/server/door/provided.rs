//! What a provider says that a dialect has no place for: its own citations, blocks and fields. Nothing of it is lost: it stands in
//! `omni`, and in `metadata` of `/v1/query`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Door;
use crate::chat::{Part, Raw};
use crate::rag::Answer;

/// Fields of a provider's own that stand in an answer of OpenAI's dialect.
const OPENAI: [&str; 8] = [
    "annotations",
    "audio",
    "completion_tokens_details",
    "logprobs",
    "logprobs.refusal",
    "prompt_tokens_details",
    "service_tier",
    "system_fingerprint",
];
/// The same in Anthropic's.
const ANTHROPIC: [&str; 10] = [
    "container",
    "context_management",
    "inference_geo",
    "iterations",
    "server_tool_use",
    "service_tier",
    "speed",
    "stop_details",
    "stop_reason",
    "stop_sequence",
];

/// A citation of the provider's, and the text that rests on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Provided {
    /// Characters of the answer's text; none where the text was changed since.
    start_index: Option<usize>,
    end_index: Option<usize>,
    /// Whose words it is in.
    dialect: String,
    citation: Value,
}

impl Provided {
    /// As OpenAI annotates a text, where the citation is of something that has an address.
    pub(super) fn annotation(&self) -> Option<Value> {
        let (start, end) = (self.start_index?, self.end_index?);
        let address = match self.citation["type"].as_str()? {
            "web_search_result_location" => self.citation["url"].as_str()?,
            "search_result_location" => self.citation["source"]
                .as_str()
                .filter(|source| source.starts_with("https://") || source.starts_with("http://"))?,
            _ => return None,
        };
        let title = self.citation["title"].as_str().unwrap_or_default();
        // `content` is how OpenRouter tells the words that were cited.
        let cited = json!({"url": address, "title": title, "start_index": start, "end_index": end, "content": self.citation["cited_text"]});
        Some(json!({"type": "url_citation", "url_citation": cited}))
    }
}

/// Every citation that the provider gave, in the order of the text.
pub(super) fn provided(answer: &Answer) -> Vec<Provided> {
    // Most answers have none, and it takes their whole text to place one.
    if !answer.parts.iter().any(|part| matches!(part, Part::Citation(_))) {
        return Vec::new();
    }
    let is_placed = answer.is_as_written();
    let (mut start, mut end, mut all) = (0, 0, Vec::new());
    for part in &answer.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => (start, end) = (end, end + text.chars().count()),
            Part::Citation(raw) => all.push(Provided {
                start_index: is_placed.then_some(start),
                end_index: is_placed.then_some(end),
                dialect: raw.dialect.clone(),
                citation: raw.value.clone(),
            }),
            _ => {}
        }
    }
    all
}

/// What `door` has no place for.
#[derive(Debug, Default, Serialize)]
pub(in crate::server) struct Left {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    provider_citations: Vec<Provided>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Raw>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: Map<String, Value>,
}

impl Left {
    /// Takes it out of an answer.
    pub(in crate::server) fn new(answer: &mut Answer, door: Door) -> Self {
        let is_native = |raw: &Raw| door == Door::Anthropic && raw.dialect == "anthropic";
        let fields: &[&str] = match door {
            Door::Native => &[],
            Door::OpenAi => &OPENAI,
            Door::Anthropic => &ANTHROPIC,
        };
        let mut provider_citations = provided(answer);
        provider_citations.retain(|it| match door {
            Door::Native => true,
            Door::OpenAi => it.annotation().is_none(),
            Door::Anthropic => it.dialect != "anthropic" || it.start_index.is_none(),
        });
        let blocks = answer.parts.iter().filter_map(|part| match part {
            Part::Raw(raw) if !is_native(raw) => Some(raw.clone()),
            _ => None,
        });
        let blocks = blocks.collect();
        // Others have words of their own for it.
        let is_strange = |name: &str, value: &Value| {
            door == Door::Anthropic
                && name == "service_tier"
                && !value.as_str().is_some_and(|tier| ["standard", "priority", "batch"].contains(&tier))
        };
        let is_own = |(name, value): &(String, Value)| fields.contains(&name.as_str()) && !is_strange(name, value);
        let (own, extra) = std::mem::take(&mut answer.extra).into_iter().partition(is_own);
        answer.extra = own;
        Self { provider_citations, blocks, extra }
    }
}
