//! Who embeds: the packed model, or a provider's in its place. What is known already comes from the cache.

use std::collections::{HashMap, HashSet};
use std::fmt;

use anyhow::Result;
use omni_llm::provider::embed::Side;
use omni_retrieval::embed::{ARITHMETIC, Embedder};
use omni_retrieval::error;
use omni_retrieval::index::Manifest;
use rayon::prelude::*;

use crate::cache::{Cache, Key, Vectors};
use crate::chunk;
use crate::progress::Progress;
use crate::remote::Remote;

/// Texts that are embedded between two visits to the cache: what a killed build loses at most.
const STEP: usize = 256;

/// Who embeds.
#[derive(Clone, Copy)]
pub(crate) enum Embedding<'a> {
    /// The packed model.
    Packed(&'a Embedder),
    /// A provider's model.
    Remote(&'a Remote),
}

impl Embedding<'_> {
    /// What an index of this builder's says of it; how it was cut and what its words are is for the caller to add.
    pub(crate) fn manifest(self) -> Manifest {
        let builder = env!("CARGO_PKG_VERSION").to_owned();
        match self {
            Self::Packed(embedder) => Manifest {
                builder,
                model: embedder.name().to_owned(),
                model_fingerprint: embedder.fingerprint().to_owned(),
                dimensions: embedder.dimensions(),
                ..Manifest::default()
            },
            Self::Remote(Remote { model, .. }) => Manifest {
                builder,
                provider: Some(model.provider().to_owned()),
                model: model.name().to_owned(),
                model_fingerprint: model.fingerprint(),
                dimensions: model.dimensions(),
                shortened: model.is_shortened(),
                ..Manifest::default()
            },
        }
    }

    /// The vectors that the cache keeps of it.
    pub(crate) fn store(self, cache: &Cache) -> Result<Vectors> {
        let Manifest { model_fingerprint, dimensions, .. } = self.manifest();
        // What a vector depends on beside its text: an encoder of our own version, or somebody's server.
        let made_by = match self {
            Self::Packed(_) => ARITHMETIC.to_string(),
            Self::Remote(remote) => remote.model.place(),
        };
        cache.vectors(&format!("{model_fingerprint}-{made_by}"), dimensions)
    }

    /// The vector of every distinct text, and how many had to be made: known ones come from `store`, the others are made now and
    /// remembered as they are made. `thing` is what each text is of.
    pub(crate) fn embed(
        self,
        texts: &[(Key, &str)],
        store: &mut Vectors,
        thing: &'static str,
        progress: Progress,
    ) -> Result<(HashMap<Key, Vec<f32>>, usize)> {
        let keys: Vec<Key> = texts.iter().map(|(key, _)| *key).collect();
        let mut vectors = store.find(&keys)?;
        let mut seen = HashSet::new();
        let mut missing: Vec<(Key, &str)> =
            texts.iter().copied().filter(|(key, _)| !vectors.contains_key(key) && seen.insert(*key)).collect();
        // Long texts first: the last batches are short ones, so that no core waits long for another.
        missing.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        let stage = progress.stage("embedding", thing, missing.len());
        let mut keep = |texts: &[(Key, &str)], fresh: Vec<Vec<f32>>| -> Result<()> {
            let records: Vec<(Key, &[f32])> =
                texts.iter().zip(&fresh).map(|((key, _), vector)| (*key, vector.as_slice())).collect();
            store.append(&records)?;
            vectors.extend(texts.iter().map(|(key, _)| *key).zip(fresh));
            Ok(())
        };
        match self {
            Self::Packed(embedder) => {
                for step in missing.chunks(STEP) {
                    let texts: Vec<&str> = step.iter().map(|(_, text)| *text).collect();
                    keep(step, embedder.embed(&texts, &|count| stage.advance(count))?)?;
                }
            }
            Self::Remote(remote) => {
                let texts = missing.iter().map(|(_, text)| (*text).to_owned()).collect();
                remote.embed(texts, Side::Document, |range, fresh| {
                    stage.advance(range.len());
                    keep(&missing[range], fresh)
                })?;
            }
        }
        stage.finish();
        Ok((vectors, missing.len()))
    }

    /// The vectors of questions, in their order.
    pub(crate) fn questions(self, questions: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Packed(embedder) => questions.par_iter().map(|question| Ok(embedder.embed_query(question)?)).collect(),
            Self::Remote(remote) => remote.questions(questions.iter().map(|question| (*question).to_owned()).collect()),
        }
    }
}

/// The distances between windows of a document ([`chunk::distances`]), as the packed model sees them.
///
/// # Errors
/// Embedding failed.
pub(crate) fn distances(embedder: &Embedder, cache: &Cache, windows: &[&str]) -> error::Result<Vec<f32>> {
    let maker = format!("{}-{ARITHMETIC}", embedder.fingerprint());
    cache.distances(&maker, windows, || chunk::distances(windows, |texts| embedder.embed(texts, &|_| ())))
}

/// Its name and fingerprint.
impl fmt::Display for Embedding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { provider, model, model_fingerprint, .. } = self.manifest();
        let provider = provider.map(|provider| format!("{provider}/")).unwrap_or_default();
        write!(f, "{provider}{model} ({model_fingerprint})")
    }
}
