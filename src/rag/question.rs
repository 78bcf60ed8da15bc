//! What is asked. Every front door translates its requests into a [`Question`].

use super::Retrieval;
use crate::chat::{ChatRequest, Message, Role};
use crate::citation::Policy;
use crate::prompt::Format;
use crate::schema::Shape;

/// Upper bound of an answer to a question of our own API, where neither the request nor the operator has one.
pub const ANSWER_TOKENS: u32 = 4096;

/// A valid question.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What is asked.
    pub prompt: String,
    /// What was looked up, and so what quotes answer; none is the prompt.
    pub query: Option<String>,
    /// Its vector, where this service's own model embedded it.
    pub vector: Option<Vec<f32>>,
    /// Who is to answer; none is the operator's choice.
    pub provider: Option<String>,
    /// Which model; none is the operator's choice.
    pub model: Option<String>,
    /// Who is asked when they fail, as `provider` or `provider/model`; none is the operator's choice.
    pub fallbacks: Option<Vec<String>>,
    /// Upper bound of the answer where neither the request nor the operator has one, in the model's tokens; none leaves it to the
    /// provider.
    pub answer_tokens: Option<u32>,
    /// The whole conversation, and how it is to be answered. Its model is left to the two above.
    pub request: ChatRequest,
    /// How to retrieve; none answers without the index.
    pub retrieval: Option<Retrieval>,
    /// How the answer is written.
    pub format: Format,
    /// Where the answer is cut, in characters.
    pub max_chars: Option<usize>,
    /// What shape it must have.
    pub shape: Option<Shape>,
    /// What becomes of citations that do not hold.
    pub citations: Policy,
    /// Whether the text of a shaped answer is told as it comes, too; one that ended early is then told as it is, and is no error.
    pub show_text: bool,
    /// What was left out of the request before it became a question.
    pub warnings: Vec<String>,
}

impl Question {
    /// A question of one message.
    pub fn new(prompt: String) -> Self {
        let messages = vec![Message::text(Role::User, prompt.clone())];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        Self { prompt, answer_tokens: Some(ANSWER_TOKENS), request, ..Self::default() }
    }

    /// Whether the answer is to be one JSON object, of whatever shape.
    pub(super) fn wants_json(&self) -> bool {
        !self.request.response_format.is_text() || self.format == Format::Json
    }
}
