//! The build journey as one readable line: list -> read -> extract -> chunk -> embed -> write -> report.

mod listed;
mod tune;
mod write;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use omni_retrieval::embed::{Embedder, MAX_TOKENS};
use omni_retrieval::error;
use omni_retrieval::hex::hex;
use omni_retrieval::index::{self, Index, Lexical, Manifest};
use sha2::{Digest as _, Sha256};

use crate::cache::{self, Cache, Key};
use crate::chunk;
use crate::embedding::{self, Embedding};
use crate::eval;
use crate::extract::{self, Limits, Sandbox};
use crate::forget;
use crate::metadata::{self, Rules};
use crate::place;
use crate::progress::Progress;
use crate::remote::Remote;
use crate::report::{Remark, Report, Seconds, poor_recall, shown};
use crate::source::{Content, Entry, READ_AHEAD_BYTES, Source};
pub(crate) use listed::apart;
use listed::{Listed, sort_out};
use tune::{require_answered, tune};
pub(crate) use write::Unwritten;
use write::{Put, put};

/// What to build, from what, and how.
pub(crate) struct Build {
    pub(crate) source: Source,
    pub(crate) out: PathBuf,
    pub(crate) model: PathBuf,
    /// The provider's model that embeds; none is the packed one.
    pub(crate) embedding: Option<String>,
    /// How long its vectors are to be.
    pub(crate) dimensions: Option<u32>,
    pub(crate) chunking: chunk::Given,
    pub(crate) lexical: Lexical,
    /// What is known of whole folders.
    pub(crate) rules: Rules,
    /// Questions by whose answers `alpha` is chosen.
    pub(crate) tune_alpha: Option<PathBuf>,
    pub(crate) limits: Limits,
    /// Folder of what is remembered between builds.
    pub(crate) cache: PathBuf,
    /// Files that are read and extracted at the same time.
    pub(crate) parallel: usize,
    /// Whether a skipped file fails the build.
    pub(crate) strict: bool,
}

/// A document that is ready for the index.
pub(crate) struct Prepared {
    document: index::Document,
    chunks: Vec<PreparedChunk>,
    pages: u64,
    unchanged: bool,
    warnings: Vec<String>,
}

impl Prepared {
    /// A document that is `described` so, in chunks.
    pub(crate) fn new(described: index::Document, document: &extract::Document, chunks: &[chunk::Chunk]) -> Self {
        Self {
            chunks: chunks.iter().map(|chunk| prepare_chunk(document, chunk)).collect(),
            pages: document.pages.len() as u64,
            unchanged: false,
            document: described,
            warnings: Vec::new(),
        }
    }

    /// What is to be embedded.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Key, &str)> {
        self.chunks.iter().map(|chunk| (chunk.embedding_key, chunk.embedding_text.as_str()))
    }

    /// What is to be known of it.
    fn remarks(&self) -> impl Iterator<Item = Remark> {
        let source = &self.document.source;
        self.warnings.iter().map(|reason| Remark { source: source.clone(), reason: reason.clone() })
    }
}

struct PreparedChunk {
    text: String,
    embedding_key: Key,
    embedding_text: String,
    start: u64,
    end: u64,
    page: Option<u32>,
    headings: String,
}

/// Files that are read and extracted at the same time where no other number is named: one a core that this process may use.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Builds the index and says what became of every file.
pub(crate) fn run(build: &Build, progress: Progress) -> Result<Report> {
    let started = Instant::now();
    let out = place::followed(&build.out);
    place::require_replaceable(&out)?;
    forget::require_readable(&out)?;
    let embedder = Embedder::open(&build.model)?;
    embedder.verify()?;
    let remote = build.embedding.as_deref().map(|named| Remote::open(named, build.dimensions)).transpose()?;
    let embedding = remote.as_ref().map_or(Embedding::Packed(&embedder), Embedding::Remote);
    // A provider's model reads more than ours; what it is sent is as long as what all-MiniLM-L6-v2 reads.
    let chunking = match &remote {
        None => build.chunking.clone().for_model(&embedder),
        Some(_) => build.chunking.clone().for_tokens(MAX_TOKENS),
    }?;
    let cache = Cache::open(&build.cache)?;
    let questions = build.tune_alpha.as_deref().map(eval::questions).transpose()?;
    let listed = Listed::of(build)?;
    let mut warnings = build.rules.unused(listed.documents(), listed.absent())?;
    listed.require_labelled()?;
    if let Some(questions) = &questions {
        require_answered(questions, &listed)?;
    }
    let list = started.elapsed().as_secs_f64();

    let stage = progress.stage("extracting", "file", listed.entries.len());
    let preparation = Preparation { build, chunking: &chunking, listed: &listed, embedder: &embedder, cache: &cache };
    let prepared = preparation.all(|| stage.advance(1))?;
    let extract = stage.finish();
    let (documents, skipped) = sort_out(&listed, prepared);
    if documents.is_empty() || (build.strict && !skipped.is_empty()) {
        bail!(refusal(build, documents.len() + skipped.len(), &skipped));
    }

    let embed_started = Instant::now();
    let texts: Vec<(Key, &str)> = documents.iter().flat_map(Prepared::texts).collect();
    let mut store = embedding.store(&cache)?;
    let (vectors, chunks_embedded) = embedding.embed(&texts, &mut store, "chunk", progress)?;
    let embed = embed_started.elapsed().as_secs_f64();

    let write_started = Instant::now();
    let manifest = Manifest { chunking: serde_json::to_value(&chunking)?, lexical: build.lexical, ..embedding.manifest() };
    let index = |alpha| Unwritten { manifest: Manifest { alpha, ..manifest.clone() }, documents: &documents, vectors: &vectors };
    // Before anything is written: a provider may fail.
    let asked = questions.as_ref().map(|questions| eval::embed(questions, embedding)).transpose()?;
    let alpha = match (&questions, &asked) {
        (Some(questions), Some(asked)) => Some(tune(&index(None), &out, questions, asked).context("`--tune-alpha`")?),
        _ => None,
    };
    let Put { path, digest, gone } = put(&index(alpha), &out, &listed)?;
    let write = write_started.elapsed().as_secs_f64();

    cache.tidy();
    warnings.extend((out != build.out).then(|| Remark {
        source: build.out.display().to_string(),
        reason: format!("a link; the index is where it leads: {}", out.display()),
    }));
    let recall = Index::open(&path)?.recall()?;
    warnings.extend(recall.into_iter().flat_map(|reached| poor_recall(&path.display().to_string(), reached)));
    warnings.extend(forget::not_carried_over(&path)?);
    if out.is_dir() {
        warnings.extend(place::others(&out, &path)?);
    }
    warnings.extend(documents.iter().flat_map(Prepared::remarks));
    warnings.extend(metadata::mixed(documents.iter().map(|prepared| &prepared.document)));
    Ok(Report {
        bytes: std::fs::metadata(&path).with_context(|| path.display().to_string())?.len(),
        index: path.display().to_string(),
        digest,
        model: embedding.to_string(),
        files: documents.len() + skipped.len(),
        documents: documents.len(),
        documents_unchanged: documents.iter().filter(|prepared| prepared.unchanged).count(),
        pages: documents.iter().map(|prepared| prepared.pages).sum(),
        chunks: texts.len(),
        chunks_embedded,
        alpha,
        recall,
        gone,
        warnings,
        skipped,
        ignored: listed.ignored.iter().map(|(source, why)| Remark { source: source.clone(), reason: why.to_string() }).collect(),
        seconds: Seconds { list, extract, embed, write, total: started.elapsed().as_secs_f64() },
    })
}

/// Why no index is written.
fn refusal(build: &Build, files: usize, skipped: &[Remark]) -> String {
    let cause = if build.strict { "and `--strict` is set" } else { "so there is nothing to index" };
    let mut text = format!("{}: {} of {files} files are skipped, {cause}; nothing was written", build.source, skipped.len());
    for Remark { source, reason } in skipped {
        text += &format!("\n  {}: {}", shown(source), shown(reason));
    }
    text
}

/// The way of entries to chunks.
struct Preparation<'a> {
    build: &'a Build,
    chunking: &'a chunk::Settings,
    listed: &'a Listed,
    embedder: &'a Embedder,
    cache: &'a Cache,
}

impl Preparation<'_> {
    /// Reads, extracts and chunks every entry, several at a time; the outcomes are in the entries' order.
    fn all(&self, done: impl Fn() + Sync) -> Result<Vec<Result<Prepared, String>>> {
        let Self { build, listed: Listed { entries, .. }, .. } = self;
        let sandbox = Sandbox::new(build.limits)?;
        Ok(build.source.read_all(entries, build.parallel, READ_AHEAD_BYTES, |entry, content| {
            let outcome = match content {
                Ok(content) => self.one(&sandbox, entry, &content)?,
                Err(reason) => Err(reason.to_string()),
            };
            done();
            Ok(outcome)
        })?)
    }

    /// One entry's way, or the reason why it is not in the index.
    ///
    /// # Errors
    /// No entry can be extracted.
    fn one(&self, sandbox: &Sandbox, entry: &Entry, content: &Content) -> error::Result<Result<Prepared, String>> {
        let charset = content.charset.as_deref();
        let sha256 = hex(&Sha256::digest(&content.bytes));
        let key = cache::document_key(&sha256, &entry.source, charset);
        let known = self.cache.document(&key);
        let unchanged = known.is_some();
        let document = match known {
            Some(document) => document,
            None => match sandbox.extract(&content.bytes, &entry.source, charset)? {
                Ok(document) => {
                    self.cache.remember(&key, &document);
                    document
                }
                Err(refusal) => return Ok(Err(refusal.to_string())),
            },
        };
        Ok(self.prepared(entry, document, sha256).map(|prepared| Prepared { unchanged, ..prepared }))
    }

    /// What is indexed of a document, with all that is known of it.
    fn prepared(&self, entry: &Entry, mut document: extract::Document, sha256: String) -> Result<Prepared, String> {
        let Self { build, embedder, cache, .. } = *self;
        let sidecar = self.listed.sidecar(&entry.source).map(|(_, fields)| fields.clone()).transpose()?;
        let mut described = describe(entry, &document, sha256);
        let front_matter = std::mem::take(&mut document.metadata);
        build.rules.apply(&mut described, front_matter, sidecar, &mut document.warnings)?;
        document.title.clone_from(&described.title);
        let distances = |windows: &[&str]| embedding::distances(embedder, cache, windows);
        let chunks =
            chunk::split(&document, self.chunking, embedder.tokenizer(), &distances).map_err(|error| error.to_string())?;
        if chunks.is_empty() {
            return Err("no text".to_owned());
        }
        let prepared = Prepared::new(described, &document, &chunks);
        Ok(Prepared { warnings: document.warnings, ..prepared })
    }
}

fn prepare_chunk(document: &extract::Document, chunk: &chunk::Chunk) -> PreparedChunk {
    let embedding_text = chunk::embedding_text(document, chunk);
    PreparedChunk {
        text: document.text[chunk.span.clone()].to_owned(),
        embedding_key: cache::text_key(&embedding_text),
        embedding_text,
        start: chunk.span.start as u64,
        end: chunk.span.end as u64,
        page: chunk.page,
        headings: chunk.headings.join(index::HEADING_SEPARATOR),
    }
}

/// What an index says of a document.
pub(crate) fn describe(entry: &Entry, document: &extract::Document, sha256: String) -> index::Document {
    index::Document {
        uri: entry.uri.clone(),
        source: entry.source.clone(),
        title: document.title.clone(),
        format: document.format.as_str().to_owned(),
        pages: (!document.pages.is_empty()).then_some(document.pages.len() as u32),
        sha256,
        ..index::Document::default()
    }
}
