//! Finding passages: the question is embedded by the model that embedded the index, then searched for.
//!
//! A message is looked up in several readings ([`super::reading`]). The hits of the reading that comes nearest to a passage lead,
//! and alternate with those of the message by itself. Of 60 questions, some of which lean on what was said before, 58 had the
//! right passage among the first five hits; where the last message was looked up alone, 31.

use std::sync::Arc;

use tokio::time::Instant;

use super::answer::Attempt;
use super::embedded::{Embedded, embed};
use super::reading::readings;
use crate::app::{App, Opened};
use crate::chat::Message;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::index::{Filter, Fusion, Hit, Query, Recall};
use crate::passage::Passage;
use crate::provider::embed::Model;
use crate::provider::shared;
use crate::rerank::{self, Reranking};

/// How passages are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieval {
    /// What is looked up; none is what the user said last, with what was said before where that comes nearer to a passage.
    pub query: Option<String>,
    /// In which index; none is the first.
    pub index: Option<String>,
    /// In which of its namespaces; none is all of them.
    pub namespace: Option<String>,
    /// The most passages.
    pub top_k: usize,
    /// How vectors and words become one order.
    pub fusion: Fusion,
    /// Leaves out passages whose cosine is lower.
    pub score_threshold: Option<f32>,
    /// Only documents whose address starts so.
    pub uri_prefix: Option<String>,
    /// How thoroughly the nearest vectors are looked for.
    pub recall: Recall,
    /// Only chunks that pass it.
    pub filter: Option<Filter>,
    /// The caller's labels.
    pub access: Vec<String>,
    /// Whether passages that repeat a better one stand behind all others.
    pub distinct: bool,
    /// Whether the reranker reads what was found; needs one.
    pub rerank: bool,
}

impl Retrieval {
    /// As the operator has it, else as the index was tuned.
    pub fn of(config: &Config, opened: &Opened) -> Self {
        let defaults = &config.retrieval;
        Self {
            index: Some(opened.name.clone()),
            top_k: defaults.top_k,
            fusion: Fusion::weighed(defaults.alpha, opened.index.manifest().alpha),
            score_threshold: defaults.score_threshold,
            access: config.access.labels.clone(),
            rerank: config.reranker.is_some(),
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
            query: None,
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
            rerank: false,
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
    /// Whether vectors were compared, and not words only.
    pub is_hybrid: bool,
    /// What it cost to have the question embedded, where a provider was asked.
    pub attempt: Option<Attempt>,
    /// The text that found them.
    pub query: String,
    /// Its vector, where this service's own model embedded it.
    pub vector: Option<Vec<f32>>,
    /// Why words only were searched, nothing was found, or what was found was not reranked; and what of the question was not
    /// embedded.
    pub warnings: Vec<String>,
}

/// Why what was found is not reranked.
const LATE: &str = "the reranker was not done in time: the sources are in the order of the search";

/// Why words only are searched.
const NO_MODEL: &str = "this service has no embedding model (`index-builder model` gets it, `--model` names its folder)";

/// Finds passages for a question by itself.
///
/// # Errors
/// There is no such index, the filter does not fit it, a threshold without a model, or no document that the caller may see
/// comes from where the question looks.
pub async fn retrieve(app: &Arc<App>, prompt: &str, retrieval: &Retrieval, deadline: Instant) -> Result<Found> {
    find(app, prompt, &[], retrieval, deadline).await
}

/// Finds passages for the last thing that was said in a conversation.
///
/// # Errors
/// As [`retrieve`].
pub(super) async fn find(
    app: &Arc<App>,
    prompt: &str,
    conversation: &[Message],
    retrieval: &Retrieval,
    deadline: Instant,
) -> Result<Found> {
    let exceeds = |text: &str| tokens_beyond(app, text).is_some();
    let texts = match &retrieval.query {
        Some(query) => readings(query, &[], exceeds),
        None => readings(prompt, conversation, exceeds),
    };
    let retrieval = retrieval.clone();
    let opened = meant(app, &retrieval)?;
    if retrieval.score_threshold.is_some() && !app.embeds(opened) {
        let remedy = "this service has no embedding model and searches words only; leave it out";
        return Err(Error::not_supported("rag_config.retrieval_config.score_threshold", remedy));
    }
    let must_embed = retrieval.score_threshold.is_some();
    let remote = match opened.remote() {
        Some(model) => Some(embed(app, model, texts.clone(), must_embed, deadline).await?),
        None => None,
    };
    app.compute(deadline, move |app| look_up(app, &retrieval, &texts, remote, deadline)).await
}

/// Searches for the readings of a question, which are embedded here where no provider has. Work for a core.
fn look_up(app: &App, retrieval: &Retrieval, texts: &[String], remote: Option<Embedded>, deadline: Instant) -> Result<Found> {
    let opened = meant(app, retrieval)?;
    opened.refresh();
    let mut warnings = Vec::new();
    let is_local = remote.is_none();
    let (vectors, attempt) = match remote {
        Some(embedded) => {
            warnings.extend(opened.remote().filter(|_| embedded.0.is_ok()).and_then(|model| unsent(model, &texts[0])));
            embedded
        }
        None => {
            warnings.extend(unread(app, texts));
            let vectors = app.embedder().map(|it| texts.iter().map(|text| it.embed_query(text)).collect::<Result<Vec<_>>>());
            (vectors.transpose()?.ok_or_else(|| NO_MODEL.to_owned()), None)
        }
    };
    let found_by_words = |why: &String| warnings.push(format!("{why}: the sources were found by words only"));
    let vectors = vectors.inspect_err(found_by_words).ok();
    let filter = retrieval.filter();
    let query = |at: usize| Query {
        vector: vectors.as_ref().and_then(|vectors| vectors.get(at)).map(Vec::as_slice),
        text: Some(&texts[at]),
        top_k: retrieval.top_k,
        fusion: retrieval.fusion,
        score_threshold: retrieval.score_threshold,
        recall: retrieval.recall,
        filter: filter.as_ref(),
        access: &retrieval.access,
        distinct: retrieval.distinct,
    };
    let mut search = |at: usize| {
        let Some(reranking) = app.reranking().filter(|_| retrieval.rerank) else { return opened.index.search(&query(at)) };
        // Some of the time is left for the answer.
        let until = Some(shared(Instant::now(), deadline).into_std());
        let (hits, is_done) = rerank::search(&opened.index, &query(at), &Reranking { until, ..reranking })?;
        if !is_done && !warnings.iter().any(|warning| warning == LATE) {
            warnings.push(LATE.to_owned());
        }
        Ok(hits)
    };
    let chosen = nearest(opened, (0..texts.len()).map(&query))?;
    let mut hits = search(chosen)?;
    if chosen > 0 {
        hits = alternately(hits, search(0)?);
        if retrieval.distinct {
            hits = opened.index.spread(hits, retrieval.top_k)?;
        }
        hits.truncate(retrieval.top_k);
    }
    if let (true, Some(prefix)) = (hits.is_empty(), retrieval.uri_prefix.as_deref()) {
        require_source(opened, prefix, &retrieval.access)?;
    }
    if hits.is_empty() && retrieval.filter.is_some() && opened.index.count(filter.as_ref(), &retrieval.access)? == 0 {
        warnings.push("no passage passes the filter".to_owned());
    }
    let is_hybrid = vectors.is_some();
    let passages = Passage::read(&opened.index, &hits, is_hybrid)?;
    let index_digest = opened.index.digest().to_owned();
    let vector = vectors.filter(|_| is_local).map(|mut vectors| vectors.swap_remove(chosen));
    Ok(Found { passages, index_digest, is_hybrid, attempt, query: texts[chosen].clone(), vector, warnings })
}

/// Which of several readings comes nearest to a passage; of equals the first. Words alone cannot tell: without vectors it is the
/// last one, which has the most words.
fn nearest<'a>(opened: &Opened, readings: impl ExactSizeIterator<Item = Query<'a>>) -> Result<usize> {
    let last = readings.len() - 1;
    let (mut chosen, mut best) = (0, f32::NEG_INFINITY);
    for (at, reading) in readings.enumerate().filter(|_| last > 0) {
        if reading.vector.is_none() {
            return Ok(last);
        }
        let near = opened.index.search(&Query { text: None, top_k: 1, distinct: false, score_threshold: None, ..reading })?;
        let cosine = near.first().map_or(f32::NEG_INFINITY, |hit| hit.cosine);
        if cosine > best {
            (chosen, best) = (at, cosine);
        }
    }
    Ok(chosen)
}

/// What two searches found, one of each in turns, each chunk once.
fn alternately(first: Vec<Hit>, second: Vec<Hit>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return hits;
        }
        for hit in pair.into_iter().flatten() {
            if !hits.iter().any(|known| known.chunk == hit.chunk) {
                hits.push(hit);
            }
        }
    }
}

/// What to say of a question that is longer than the model reads.
fn unread(app: &App, texts: &[String]) -> Option<String> {
    let (count, most) = tokens_beyond(app, &texts[0])?;
    Some(format!(
        "the question has {count} tokens, of which the embedding model reads {most}: its first and its last words were looked up by themselves, too"
    ))
}

/// What to say of a question that is longer than its provider takes.
fn unsent(model: &Model, text: &str) -> Option<String> {
    let (count, most) = (text.chars().count(), model.most_chars()?);
    let message = format!(
        "the question has {count} characters, of which `{}` takes {most}: its first and its last words were looked up by themselves, too",
        model.provider()
    );
    (count > most).then_some(message)
}

/// How many tokens a question has, and how many the model reads, where that is fewer.
fn tokens_beyond(app: &App, text: &str) -> Option<(usize, usize)> {
    let embedder = app.embedder()?;
    let most = embedder.tokenizer().max_tokens();
    let count = Some(text).filter(|text| text.len() > most).map(|text| embedder.count_query(text))?;
    (count > most).then_some((count, most))
}

/// The index that is searched.
fn meant<'a>(app: &'a App, retrieval: &Retrieval) -> Result<&'a Opened> {
    let opened = match &retrieval.index {
        Some(name) => app.index_named(name),
        None => app.index(),
    };
    opened.ok_or_else(no_index)
}

/// The error of a question that needs an index where none is.
pub(crate) fn no_index() -> Error {
    Error::bad_request("`rag_config`: no index is loaded; start the service with `--index`, or set `enabled` to false")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, Secret};
    use crate::provider::Provider;
    use crate::provider::capability::Rules;

    #[test]
    fn a_question_that_its_provider_takes_in_part_is_told() {
        let mut config = Config::default();
        let endpoint = Endpoint { api_key: Some(Secret::new("k")), region: Some("r".into()), ..Endpoint::default() };
        config.providers.insert("bedrock".into(), endpoint);
        let provider = Provider::open("bedrock", &config, &Arc::new(Rules::new(None).unwrap())).unwrap();
        let said = |model: &str, letters: usize| unsent(&Model::new(provider.clone(), model, 3, false), &"ä".repeat(letters));
        let told = "the question has 2049 characters, of which `bedrock` takes 2048: ";
        assert!(said("cohere.embed-english-v3", 2049).unwrap().starts_with(told));
        assert_eq!((said("cohere.embed-english-v3", 2048), said("us.cohere.embed-v4:0", 2049)), (None, None));
    }
}
