//! The journey of a question: retrieve -> prompt -> chat, or retrieve -> quote. Buffered and streamed it is the same line.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use crate::app::{App, Opened};
use crate::chat::{ChatEvent, ChatRequest, FinishReason, Message, Sampling, Usage};
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::extractive;
use crate::index::{Filter, Fusion, Query, Recall};
use crate::passage::Passage;
use crate::prompt::{self, Format, Turn};
use crate::provider::{Provider, fold};

/// What an answer made of quotes calls its provider and model.
pub const EXTRACTIVE: &str = "extractive";

/// Sentences whose meaning is compared with the question's; each costs a forward pass.
const RESCORED_SENTENCES: usize = 12;

/// A valid question.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What is asked.
    pub prompt: String,
    /// Who is to answer; none is the operator's choice.
    pub provider: Option<String>,
    /// Which model; none is the operator's choice.
    pub model: Option<String>,
    /// How to sample.
    pub sampling: Sampling,
    /// The caller's instructions.
    pub system_prompt: Option<String>,
    /// Earlier messages, oldest first.
    pub context: Vec<Message>,
    /// How to retrieve; none answers without the index.
    pub retrieval: Option<Retrieval>,
    /// How the answer is written.
    pub format: Format,
    /// Where the answer is cut, in characters.
    pub max_chars: Option<usize>,
}

/// How passages are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// In which index; none is the first.
    pub index: Option<String>,
    /// In which of its namespaces; none is all of them.
    pub namespace: Option<String>,
    /// At most so many.
    pub top_k: usize,
    /// How vectors and words become one order.
    pub fusion: Fusion,
    /// Leaves out passages whose cosine is lower.
    pub score_threshold: Option<f32>,
    /// Only documents whose address starts so.
    pub uri_prefix: Option<String>,
    /// How much of what is nearest is to be found.
    pub recall: Recall,
    /// Only what passes.
    pub filter: Option<Filter>,
    /// The labels of whoever asks.
    pub access: Vec<String>,
    /// Whether passages that repeat a better one stand behind all others.
    pub distinct: bool,
}

impl Retrieval {
    /// As the operator has it, else as the index was tuned.
    pub fn of(config: &Config, opened: &Opened) -> Self {
        let defaults = &config.retrieval;
        let alpha = defaults.alpha.or(opened.index.manifest().alpha);
        Self {
            index: Some(opened.name.clone()),
            top_k: defaults.top_k,
            fusion: alpha.map_or_else(Fusion::default, |alpha| Fusion::MinMax { alpha }),
            score_threshold: defaults.score_threshold,
            access: config.access.labels.clone(),
            ..Self::default()
        }
    }

    /// What chunks have to pass.
    fn filter(&self) -> Option<Filter> {
        let mut filters: Vec<Filter> = self.filter.clone().into_iter().collect();
        filters.extend(self.uri_prefix.as_deref().map(|prefix| Filter::prefix("uri", prefix)));
        filters.extend(self.namespace.as_deref().map(|namespace| Filter::equal("namespace", namespace)));
        (!filters.is_empty()).then_some(Filter::All(filters))
    }
}

impl Default for Retrieval {
    fn default() -> Self {
        Self {
            index: None,
            namespace: None,
            top_k: 5,
            fusion: Fusion::default(),
            score_threshold: None,
            uri_prefix: None,
            recall: Recall::default(),
            filter: None,
            access: Vec::new(),
            distinct: true,
        }
    }
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Best first.
    pub passages: Vec<Passage>,
    /// The digest of the index that was searched.
    pub index_digest: String,
}

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub content: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Who answered.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// Tokens, where they are known.
    pub usage: Option<Usage>,
    /// What was retrieved, best first.
    pub passages: Vec<Passage>,
    /// The digest of the index that was searched, or of the first one; none without an index.
    pub index_digest: Option<String>,
    /// What the caller should know: left-out parameters, and the like.
    pub warnings: Vec<String>,
    /// The failure that made us answer with quotes instead.
    pub fallback: Option<Fallback>,
}

/// Why quotes stand in for a model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The next text.
    Text(String),
    /// The end: the answer as it would have been buffered.
    Done(Box<Answer>),
}

/// Answers a question.
///
/// # Errors
/// The question cannot be answered as asked, or the provider failed and the operator does not want quotes instead.
pub async fn answer(app: &Arc<App>, question: Question, deadline: Instant) -> Result<Answer> {
    let question = Arc::new(question);
    let (mut answer, call) = prepare(app, &question, deadline).await?;
    let Some((provider, request)) = call else {
        return quote(app, &question, answer, deadline).await;
    };
    match provider.chat(app.client(), &request, deadline).await {
        Ok(response) => {
            answer.finish_reason = response.finish_reason;
            answer.usage = response.usage;
            answer.content = response.content;
            if !response.model.is_empty() {
                answer.model = response.model;
            }
            cut(&mut answer, question.max_chars);
            Ok(answer)
        }
        Err(error) => fall_back(app, &question, answer, error, deadline).await,
    }
}

/// Answers a question piece by piece. Nothing is handed out before the provider's first text, so that a failure until then is an
/// error (or quotes) and not half an answer. Dropping the stream ends the provider's call.
///
/// # Errors
/// As [`answer`]; a failure after the first text is the stream's last item.
pub async fn stream(
    app: &Arc<App>,
    question: Question,
    deadline: Instant,
) -> Result<impl Stream<Item = Result<Piece>> + Send + use<>> {
    let question = Arc::new(question);
    let (answer, call) = prepare(app, &question, deadline).await?;
    let Some((provider, request)) = call else {
        return Ok(whole(quote(app, &question, answer, deadline).await?).left_stream());
    };
    match open(app, &provider, &request, deadline).await {
        Ok((first, events)) => {
            let events = futures_util::stream::iter(first.into_iter().map(Ok)).chain(events);
            Ok(pieces(answer, question.max_chars, events.boxed()).right_stream())
        }
        Err(error) => Ok(whole(fall_back(app, &question, answer, error, deadline).await?).left_stream()),
    }
}

/// Finds passages.
///
/// # Errors
/// There is no such index, the filter does not fit it, a threshold without a model, or no document that the caller may see
/// comes from where the question looks.
pub async fn retrieve(app: &Arc<App>, prompt: &str, retrieval: &Retrieval, deadline: Instant) -> Result<Found> {
    let (prompt, retrieval) = (prompt.to_owned(), retrieval.clone());
    app.compute(deadline, move |app| {
        let opened = match &retrieval.index {
            Some(name) => app.index_named(name),
            None => app.index(),
        };
        let Some(opened) = opened else {
            return Err(Error::bad_request(
                "`rag_config`: no index is loaded; start the service with `--index`, or set `enabled` to false",
            ));
        };
        opened.refresh();
        if retrieval.score_threshold.is_some() && app.embedder().is_none() {
            let remedy = "this service has no embedding model and searches words only; leave it out";
            return Err(Error::not_supported("rag_config.retrieval_config.score_threshold", remedy));
        }
        let vector = app.embedder().map(|embedder| embedder.embed_query(&prompt)).transpose()?;
        let filter = retrieval.filter();
        let hits = opened.index.search(&Query {
            vector: vector.as_deref(),
            text: Some(&prompt),
            top_k: retrieval.top_k,
            fusion: retrieval.fusion,
            score_threshold: retrieval.score_threshold,
            recall: retrieval.recall,
            filter: filter.as_ref(),
            access: &retrieval.access,
            distinct: retrieval.distinct,
        })?;
        if let (true, Some(prefix)) = (hits.is_empty(), retrieval.uri_prefix.as_deref()) {
            require_source(opened, prefix, &retrieval.access)?;
        }
        let passages = Passage::read(&opened.index, &hits, vector.is_some())?;
        Ok(Found { passages, index_digest: opened.index.digest().to_owned() })
    })
    .await
}

/// Tells "nothing found there" from "there is no such place": only the second is the caller's mistake. A place whose documents
/// the caller may not see is no place.
fn require_source(opened: &Opened, prefix: &str, access: &[String]) -> Result<()> {
    if opened.index.count(Some(&Filter::prefix("uri", prefix)), access)? > 0 {
        return Ok(());
    }
    let message = format!(
        "`rag_config.s3_bucket`: no document of the index comes from `{prefix}`; `GET /v1/index` lists where they come from"
    );
    Err(Error::bad_request(message))
}

/// Decides who answers, retrieves, and builds the request. Refuses before it searches.
async fn prepare(app: &Arc<App>, question: &Question, deadline: Instant) -> Result<(Answer, Option<(Provider, ChatRequest)>)> {
    let generation = &app.config().generation;
    let mut sampling = question.sampling.clone();
    let name = question.provider.as_deref().or(generation.provider.as_deref());
    let provider = name.map(|name| app.provider(name)).transpose()?;
    let mut answer = Answer::default();
    match &provider {
        Some(provider) => {
            provider.name().clone_into(&mut answer.provider);
            provider.model(question.model.as_deref())?.clone_into(&mut answer.model);
            answer.warnings = provider.fit(&mut sampling)?;
            sampling.max_tokens = sampling.max_tokens.or(Some(generation.max_tokens));
            sampling.temperature = sampling.temperature.or(generation.temperature);
            sampling.json |= question.format == Format::Json;
        }
        None => {
            if question.model.is_some() {
                return Err(Error::bad_request("`model_name`: no provider is asked; name one in `model_provider`"));
            }
            if question.retrieval.is_none() {
                let message =
                    "nobody can answer: no provider is asked and retrieval is off; name a `model_provider`, or load an index";
                return Err(Error::bad_request(message));
            }
            EXTRACTIVE.clone_into(&mut answer.provider);
            EXTRACTIVE.clone_into(&mut answer.model);
            if question.sampling != (Sampling { json: question.sampling.json, ..Sampling::default() })
                || question.system_prompt.is_some()
            {
                answer.warnings.push("no provider is asked: the answer is quoted from the sources, `model_config` and `system_prompt` have no effect".into());
            }
        }
    }
    answer.index_digest = app.index().map(|opened| opened.index.digest().to_owned());
    if let Some(retrieval) = &question.retrieval {
        let found = retrieve(app, &question.prompt, retrieval, deadline).await?;
        answer.passages = found.passages;
        answer.index_digest = Some(found.index_digest);
        if app.embedder().is_none() {
            answer.warnings.push("this service has no embedding model: the sources were found by words only".into());
        }
    }
    let Some(provider) = provider else { return Ok((answer, None)) };
    let format = if sampling.json { Format::Json } else { question.format };
    let turn =
        Turn { prompt: &question.prompt, system_prompt: question.system_prompt.as_deref(), context: &question.context, format };
    let passages = question.retrieval.as_ref().map(|_| answer.passages.as_slice());
    let (request, used) = prompt::build(&turn, passages, &answer.model, sampling, generation.context_chars);
    if used < answer.passages.len() {
        // What the model has not seen is no source of its answer.
        answer.warnings.push(format!(
            "{} of {} sources fit into the prompt; the others were left out",
            used,
            answer.passages.len()
        ));
        answer.passages.truncate(used);
    }
    Ok((answer, Some((provider, request))))
}

/// Answers with quotes.
async fn quote(app: &Arc<App>, question: &Arc<Question>, mut answer: Answer, deadline: Instant) -> Result<Answer> {
    let question = Arc::clone(question);
    app.compute(deadline, move |app| {
        let mut found = extractive::candidates(&question.prompt, &answer.passages);
        if let Some(embedder) = app.embedder() {
            found.truncate(RESCORED_SENTENCES);
            let mut texts = vec![question.prompt.as_str()];
            texts.extend(found.iter().map(|candidate| candidate.text(&answer.passages)));
            let vectors = embedder.embed(&texts, &|_| {})?;
            let cosines: Vec<f32> = vectors.iter().skip(1).map(|vector| dot(&vectors[0], vector)).collect();
            extractive::rescore(&mut found, &cosines);
        }
        let format = if question.sampling.json { Format::Json } else { question.format };
        answer.content = extractive::compose(&found, &answer.passages, format);
        answer.usage = Some(Usage::default());
        cut(&mut answer, question.max_chars);
        Ok(answer)
    })
    .await
}

/// Answers with quotes for a provider that failed, where the operator allows it and there is something to quote.
async fn fall_back(
    app: &Arc<App>,
    question: &Arc<Question>,
    mut answer: Answer,
    error: Error,
    deadline: Instant,
) -> Result<Answer> {
    let mistake = matches!(error.code(), Code::InvalidRequest | Code::NotSupported | Code::ContentFilter);
    if !app.config().generation.fallback_extractive || question.retrieval.is_none() || mistake {
        return Err(error);
    }
    tracing::warn!(code = error.code().as_str(), provider = answer.provider, "the provider failed; quoting instead");
    let provider = std::mem::replace(&mut answer.provider, EXTRACTIVE.to_owned());
    EXTRACTIVE.clone_into(&mut answer.model);
    answer.warnings.push(format!("`{provider}` failed: the answer is quoted from the sources instead"));
    answer.fallback = Some(Fallback { provider, code: error.code().as_str(), message: error.message().to_owned() });
    // A provider that used up all the time must not take the quotes with it.
    quote(app, question, answer, deadline.max(Instant::now() + std::time::Duration::from_secs(5))).await
}

type Events = futures_util::stream::BoxStream<'static, Result<ChatEvent>>;

/// Opens the provider's stream and waits for its first text or its end.
async fn open(app: &Arc<App>, provider: &Provider, request: &ChatRequest, deadline: Instant) -> Result<(Vec<ChatEvent>, Events)> {
    let mut events = provider.stream(app.client(), request, deadline).await?.boxed();
    let mut first = Vec::new();
    loop {
        let late = || {
            Error::new(Code::Timeout, "the provider did not begin to answer in time")
                .from_provider(provider.name(), &request.model)
        };
        let Some(event) = timeout_at(deadline, events.next()).await.map_err(|_| late())? else { break };
        first.push(event?);
        if matches!(first.last(), Some(ChatEvent::Text(_) | ChatEvent::Finish(_))) {
            break;
        }
    }
    Ok((first, events))
}

/// A finished answer as a stream: its words, then its end.
fn whole(answer: Answer) -> impl Stream<Item = Result<Piece>> + Send {
    let words: Vec<String> = answer.content.split_inclusive(' ').map(str::to_owned).collect();
    let done = Piece::Done(Box::new(answer));
    futures_util::stream::iter(words.into_iter().map(Piece::Text).chain([done]).map(Ok))
}

/// A provider's answer on its way out.
struct Outgoing {
    answer: Answer,
    seen: Vec<ChatEvent>,
    left_chars: usize,
    events: Option<Events>,
    end: Option<Piece>,
}

/// Events to pieces. Where the answer is cut, the provider's call ends.
fn pieces(answer: Answer, max_chars: Option<usize>, events: Events) -> impl Stream<Item = Result<Piece>> + Send {
    let outgoing =
        Outgoing { answer, seen: Vec::new(), left_chars: max_chars.unwrap_or(usize::MAX), events: Some(events), end: None };
    futures_util::stream::unfold(outgoing, |mut outgoing| async move {
        loop {
            if let Some(end) = outgoing.end.take() {
                return Some((Ok(end), outgoing));
            }
            // Every dialect ends with `Finish` or an error; the default is for one that would forget.
            match outgoing.events.as_mut()?.next().await.unwrap_or(Ok(ChatEvent::Finish(FinishReason::Stop))) {
                Ok(ChatEvent::Text(text)) => {
                    let kept: String = text.chars().take(outgoing.left_chars).collect();
                    outgoing.left_chars -= kept.chars().count();
                    outgoing.seen.push(ChatEvent::Text(kept.clone()));
                    if kept.len() < text.len() {
                        outgoing.finish(FinishReason::Length);
                    }
                    if !kept.is_empty() {
                        return Some((Ok(Piece::Text(kept)), outgoing));
                    }
                }
                Ok(ChatEvent::Finish(reason)) => outgoing.finish(reason),
                Ok(event) => outgoing.seen.push(event),
                Err(error) => {
                    outgoing.events = None;
                    return Some((Err(error), outgoing));
                }
            }
        }
    })
}

impl Outgoing {
    fn finish(&mut self, reason: FinishReason) {
        self.events = None;
        let response = fold(&self.seen);
        let mut answer = std::mem::take(&mut self.answer);
        answer.content = response.content;
        answer.finish_reason = reason;
        answer.usage = response.usage;
        if !response.model.is_empty() {
            answer.model = response.model;
        }
        self.end = Some(Piece::Done(Box::new(answer)));
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

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
