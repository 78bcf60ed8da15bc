//! The journey of a question: retrieve -> prompt -> chat -> shape and citations checked, or retrieve -> quote. Buffered and streamed it
//! is the same line.

mod call;
mod check;
mod pieces;
mod quote;
mod reading;
mod retrieve;

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use self::call::Call;
pub(crate) use self::retrieve::no_index;
pub use self::retrieve::{Found, Retrieval, retrieve};
use crate::app::App;
use crate::chat::{
    ChatEvent, ChatRequest, ChatResponse, FinishReason, Message, Part, ResponseFormat, Role, ToolCall, Usage, plain,
};
use crate::citation::{Citation, Policy};
use crate::error::Result;
use crate::passage::Passage;
use crate::prompt::{self, Format};
use crate::schema::{Change, Loss, Method, Patch, Rung, Shape, Skip};

/// What an answer made of quotes calls its provider and model.
pub const EXTRACTIVE: &str = "extractive";

/// Upper bound of an answer to a question of our own API, where neither the request nor the operator has one.
pub const ANSWER_TOKENS: u32 = 4096;

/// A valid question.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What is asked.
    pub prompt: String,
    /// What was looked up, and so what quotes answer; none is the prompt.
    pub query: Option<String>,
    /// Who is to answer; none is the operator's choice.
    pub provider: Option<String>,
    /// Which model; none is the operator's choice.
    pub model: Option<String>,
    /// Who is asked when they fail, as `provider` or `provider/model`; none is the operator's choice.
    pub fallbacks: Option<Vec<String>>,
    /// Upper bound of the answer where neither the request nor the operator has one, in the model's tokens; none leaves it to the provider.
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
    /// Whether the text of a shaped answer is told as it comes, too, and an answer that was withheld in the place of an error.
    pub show_text: bool,
    /// What was left out of the request before it became a question.
    pub warnings: Vec<String>,
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub content: String,
    /// Everything else that the model said: thoughts, tool calls, raw blocks, in order.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Who answered.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// Tokens of all attempts, where they are known.
    pub usage: Option<Usage>,
    /// Dollars of all attempts, the question's embedding included, where they are known.
    pub cost_usd: Option<f64>,
    /// Every exchange with a provider.
    pub attempts: Vec<Attempt>,
    /// What was retrieved, best first.
    pub passages: Vec<Passage>,
    /// The quotes and source numbers of the answer, checked.
    pub citations: Vec<Citation>,
    /// The answer's value, where a shape was asked for.
    pub structured: Option<Structured>,
    /// The digest of the index that was searched, or of the first one; none without an index.
    pub index_digest: Option<String>,
    /// What the caller should know: left-out parameters, and the like.
    pub warnings: Vec<String>,
    /// What only this provider says.
    pub extra: serde_json::Map<String, Value>,
    /// The failure that made us answer with quotes instead.
    pub fallback: Option<Fallback>,
}

/// One exchange with a provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// Who answered.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// Why it was made.
    pub purpose: Purpose,
    /// Tokens, where they are known.
    pub usage: Option<Usage>,
    /// Dollars, where they are known.
    pub cost_usd: Option<f64>,
    /// How it failed, as in `error.code`; none where it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The provider's HTTP status where it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// Why an exchange with a provider was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Purpose {
    /// The question was answered.
    #[serde(rename = "answer")]
    Answer,
    /// The answer's citations were corrected.
    #[serde(rename = "citation repair")]
    CitationRepair,
    /// The question was embedded.
    #[serde(rename = "embedding")]
    Embedding,
    /// The answer was given its shape.
    #[serde(rename = "repair")]
    Repair,
}

/// An answer of a shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Structured {
    /// The valid value.
    pub data: Value,
    /// What was done with the answer.
    pub method: Method,
    /// How the model was asked.
    pub rung: Rung,
    /// Better ways, and why they were not taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skip>,
    /// What the provider was not told of the schema.
    pub losses: Vec<Loss>,
    /// How the value differs from what the model wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How often the model was asked.
    pub attempts: usize,
    /// What the model wrote, where the caller wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

/// Why quotes stand in for a model's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// Who failed.
    pub provider: String,
    /// How, as in `error.code`.
    pub code: &'static str,
    /// What it said.
    pub message: String,
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// The beginning, once: who answers.
    Start {
        /// The provider.
        provider: String,
        /// The model, as the provider names it.
        model: String,
    },
    /// The next text, thought or tool call.
    Event(ChatEvent),
    /// What the next text adds to a shaped answer. A preview: only [`Self::Valid`] can be trusted.
    Patch(Vec<Patch>),
    /// The shaped answer so far is void; this attempt, counted from 1, replaces it.
    Reset(usize),
    /// The shaped answer, whole and valid.
    Valid(Value),
    /// The end: the answer as it would have been buffered.
    Done(Box<Answer>),
}

impl Question {
    /// A question of one message.
    pub fn new(prompt: String) -> Self {
        let messages = vec![Message::text(Role::User, prompt.clone())];
        let request = ChatRequest { messages, ..ChatRequest::default() };
        Self { prompt, answer_tokens: Some(ANSWER_TOKENS), request, ..Self::default() }
    }
}

impl Answer {
    /// The exchanges in which a model answered.
    fn answers(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.code.is_none() && attempt.purpose != Purpose::Embedding)
    }

    /// Dollars of everything that succeeded, where they are known.
    fn cost(&self) -> Option<f64> {
        let dollars: Option<f64> = self.attempts.iter().filter(|it| it.code.is_none()).map(|it| it.cost_usd).sum();
        // The sum of nothing is -0.0.
        dollars.map(|dollars| dollars + 0.0)
    }

    /// Whether the text is what the model wrote, with nothing cut out or replaced.
    pub fn is_as_written(&self) -> bool {
        plain(&self.parts) == self.content
    }

    /// Whether the model refused to answer.
    pub fn is_refused(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Refusal(_)))
    }

    /// The tools that the model wants called.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }
}

/// Answers a question.
///
/// # Errors
/// The question cannot be answered as asked, the provider failed and the operator does not want quotes instead, or no answer had the
/// shape that was asked for.
pub async fn answer(app: &Arc<App>, mut question: Question, deadline: Instant) -> Result<Answer> {
    let (mut answer, call) = prepare(app, &mut question, false, deadline).await?;
    let question = Arc::new(question);
    let Some(mut call) = call else {
        return Box::pin(quote::answer(app, &question, answer, deadline)).await;
    };
    match call.chat(app, &mut answer, deadline).await {
        Ok(response) => check::finish(app, &question, &mut call, answer, response, deadline).await,
        Err(error) => Box::pin(quote::fall_back(app, &question, answer, error, deadline)).await,
    }
}

/// Answers a question piece by piece. Nothing is handed out before the provider's first word, so that a failure until then is an
/// error (or quotes) and not half an answer. `deadline` is for that word, `end`, where there is one, for the last. Dropping the stream ends
/// the provider's call.
///
/// # Errors
/// As [`answer`]; a failure after the first word is the stream's last item.
pub async fn stream(
    app: &Arc<App>,
    mut question: Question,
    deadline: Instant,
    end: Option<Instant>,
) -> Result<impl Stream<Item = Result<Piece>> + Send + use<>> {
    let (mut answer, call) = prepare(app, &mut question, true, deadline).await?;
    let question = Arc::new(question);
    let Some(mut call) = call else {
        return Ok(pieces::whole(Box::pin(quote::answer(app, &question, answer, deadline)).await?).left_stream());
    };
    match call.stream(app, &mut answer, (deadline, end)).await {
        Ok(events) => Ok(pieces::pieces(app, &question, call, answer, (events, end)).right_stream()),
        Err(error) => Ok(pieces::whole(Box::pin(quote::fall_back(app, &question, answer, error, deadline)).await?).left_stream()),
    }
}

/// Whether the answer came at the prices of the table, which has those of tokens in the standard tier, at the usual speed, anywhere.
fn is_standard(response: &ChatResponse) -> bool {
    let extra = &response.extra;
    let is_one =
        |said: Option<&Value>, standard: &[&str]| said.and_then(Value::as_str).is_none_or(|said| standard.contains(&said));
    let tier = extra.get("service_tier").or_else(|| extra.get("serviceTier")?.get("type"));
    // What Anthropic fetches is paid for as tokens; every search, and what else it does there, has a price of its own.
    let mut tools = extra.get("server_tool_use").and_then(Value::as_object).into_iter().flatten();
    is_one(tier, &["auto", "default", "on_demand", "standard", "standard_only"])
        && is_one(extra.get("speed"), &["standard"])
        && is_one(extra.get("inference_geo"), &["global", "not_available"])
        && tools.all(|(name, count)| name == "web_fetch_requests" || count.as_u64().unwrap_or(0) == 0)
}

/// Dollars of an answer, by the name that its provider gives the model, else by that which it was asked by: servers have names of their own.
fn charge(app: &App, provider: &str, asked: &str, response: &ChatResponse) -> Option<f64> {
    let today = crate::cost::today();
    let is_priced = app.prices().price(provider, &response.model, 0, &today).is_some();
    let model = if is_priced { &response.model } else { asked };
    cost(app, provider, model, response.usage.filter(|_| is_standard(response)))
}

/// Dollars of one exchange; what is not known is counted.
pub(crate) fn cost(app: &App, provider: &str, model: &str, usage: Option<Usage>) -> Option<f64> {
    let Some(usage) = usage else {
        app.prices().count_unknown();
        return None;
    };
    app.prices().cost(provider, model, &usage, &crate::cost::today())
}

/// Decides who answers, retrieves, and builds the request. Refuses before it searches. Where a provider is asked, it gets the messages
/// themselves: nothing later reads them, and pictures in them are large.
async fn prepare(
    app: &Arc<App>,
    question: &mut Question,
    is_stream: bool,
    deadline: Instant,
) -> Result<(Answer, Option<Box<Call>>)> {
    let generation = &app.config().generation;
    let name = match question.provider.as_deref().or(generation.provider.as_deref()) {
        Some(EXTRACTIVE) => None,
        Some(name) => Some(name.to_owned()),
        None => app.preferred(),
    };
    let (model, fallbacks) = (question.model.as_deref(), question.fallbacks.as_deref());
    let mut links = name.as_deref().map(|name| app.links(name, model, fallbacks)).transpose()?;
    let mut request = ChatRequest::default();
    let json = !question.request.response_format.is_text() || question.format == Format::Json;
    let mut answer = Answer { warnings: std::mem::take(&mut question.warnings), ..Answer::default() };
    for (provider, model) in links.iter_mut().flatten() {
        let Some(alias) = provider.alias(model) else { continue };
        let warning = format!("`{model}`: the operator has `{}/{alias}` asked in its place", provider.name());
        answer.warnings.push(warning);
        *model = alias.to_owned();
    }
    match links.as_ref().and_then(|links| links.first()) {
        Some((provider, model)) => {
            provider.name().clone_into(&mut answer.provider);
            model.clone_into(&mut answer.model);
            answer.warnings.extend(app.prices().retirement(provider.name(), model, &crate::cost::today()));
            let messages = std::mem::take(&mut question.request.messages);
            request = ChatRequest { messages, ..question.request.clone() };
            request.sampling.answer_tokens = generation.max_tokens.or(question.answer_tokens);
            request.sampling.temperature = request.sampling.temperature.or(generation.temperature);
            model.clone_into(&mut request.model);
            // What has no way to hold a model to JSON needs to be read, and mended, like any shape. A stream would be held back for it.
            let has_json_mode = call::means(provider, model, &request, is_stream).map_or(true, |means| means.json_object);
            if json && !is_stream && question.shape.is_none() && !has_json_mode {
                (question.shape, question.show_text) = (Some(Shape::any_object()), true);
            }
        }
        None => {
            quote::refuse(question)?;
            EXTRACTIVE.clone_into(&mut answer.provider);
            EXTRACTIVE.clone_into(&mut answer.model);
            answer.warnings.extend(quote::without_effect(question));
        }
    }
    answer.index_digest = app.index().map(|opened| opened.index.digest().to_owned());
    if let Some(retrieval) = &question.retrieval {
        let conversation = if links.is_some() { &request.messages } else { &question.request.messages };
        let found = Box::pin(retrieve::find(app, &question.prompt, conversation, retrieval, deadline)).await?;
        question.query = Some(found.query);
        answer.passages = found.passages;
        answer.index_digest = Some(found.index_digest);
        answer.attempts.extend(found.attempt);
        answer.warnings.extend(found.warnings);
    }
    let Some(links) = links else { return Ok((answer, None)) };
    let passages = question.retrieval.as_ref().map(|_| answer.passages.as_slice());
    let format = if json && question.shape.is_none() { Format::Json } else { question.format };
    let said = check::quotable(&request.messages);
    let is_checked = question.citations != Policy::Annotate;
    let used = prompt::ground(&mut request, passages, (format, is_checked), generation.context_chars);
    if json && request.response_format.is_text() {
        request.response_format = ResponseFormat::JsonObject;
    }
    if used < answer.passages.len() {
        // What the model has not seen is no source of its answer.
        answer.warnings.push(format!(
            "{} of {} sources fit into the prompt; the others were left out",
            used,
            answer.passages.len()
        ));
        answer.passages.truncate(used);
    }
    let mut call = Call::new(app, links, request, question.shape.as_ref(), is_stream)?;
    call.said = said;
    Ok((answer, Some(Box::new(call))))
}

/// Takes over what a provider answered; a later answer replaces an earlier one, but what it cost stays.
fn take(app: &App, answer: &mut Answer, response: ChatResponse, purpose: Purpose) {
    let cost_usd = charge(app, &answer.provider, &answer.model, &response);
    if !response.model.is_empty() {
        answer.model.clone_from(&response.model);
    }
    answer.attempts.push(Attempt {
        provider: answer.provider.clone(),
        model: answer.model.clone(),
        purpose,
        usage: response.usage,
        cost_usd,
        code: None,
        status: None,
    });
    answer.usage = answer.answers().map(|attempt| attempt.usage).reduce(|before, now| Some(added(before?, now?))).flatten();
    answer.cost_usd = answer.cost();
    answer.content = response.text();
    answer.finish_reason = response.finish_reason;
    answer.parts = response.parts;
    answer.extra = response.extra;
    for warning in response.warnings {
        let warning = warning.to_string();
        if !answer.warnings.contains(&warning) {
            answer.warnings.push(warning);
        }
    }
}

fn added(a: Usage, b: Usage) -> Usage {
    Usage {
        prompt_tokens: a.prompt_tokens.saturating_add(b.prompt_tokens),
        completion_tokens: a.completion_tokens.saturating_add(b.completion_tokens),
        cache_read_tokens: a.cache_read_tokens.saturating_add(b.cache_read_tokens),
        cache_write_tokens: a.cache_write_tokens.saturating_add(b.cache_write_tokens),
        cache_write_1h_tokens: a.cache_write_1h_tokens.saturating_add(b.cache_write_1h_tokens),
        reasoning_tokens: a.reasoning_tokens.saturating_add(b.reasoning_tokens),
    }
}

/// Cuts the answer behind `max_chars` characters.
fn cut(answer: &mut Answer, max_chars: Option<usize>) {
    let Some(max_chars) = max_chars else { return };
    if let Some((at, _)) = answer.content.char_indices().nth(max_chars) {
        answer.content.truncate(at);
        answer.finish_reason = FinishReason::Length;
    }
}
