//! The build journey as one readable line: list -> read -> extract -> chunk -> embed -> write -> report.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use omni_llm::embed::{ARITHMETIC, Embedder, MAX_TOKENS};
use omni_llm::index::{self, Lexical, Manifest, Writer};
use omni_llm::provider::embed::Purpose;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::cache::{self, Cache, Key, Vectors};
use crate::chunk;
use crate::eval::{self, Asked};
use crate::extract::{self, Limits, Sandbox};
use crate::forget;
use crate::metadata::{self, Fields, Rules};
use crate::progress::Progress;
use crate::remote::Remote;
use crate::report::{Remark, Report, Seconds};
use crate::source::{Content, Entry, Listing, Source};

/// Texts that are embedded between two visits to the cache: what a killed build loses at most.
const EMBED_STEP: usize = 256;

/// Most bytes of documents that are read and still wait to be extracted.
const READ_AHEAD_BYTES: u64 = 256 << 20;

/// Of nDCG@10: what questions gain by less is chance.
const WORTH_A_CHANGE: f64 = 0.001;

/// What to build, from what, and how.
pub(crate) struct Build {
    pub(crate) source: Source,
    pub(crate) out: PathBuf,
    pub(crate) model: PathBuf,
    /// The provider's model that embeds; none is the packed one.
    pub(crate) embedding: Option<String>,
    /// How long its vectors are to be.
    pub(crate) dimensions: Option<u32>,
    pub(crate) chunking: chunk::Settings,
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
struct Prepared {
    document: index::Document,
    chunks: Vec<PreparedChunk>,
    pages: u64,
    unchanged: bool,
    warnings: Vec<String>,
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

/// Builds the index and says what became of every file.
pub(crate) fn run(mut build: Build, progress: Progress) -> Result<Report> {
    let started = Instant::now();
    let embedder = Embedder::open(&build.model)?;
    embedder.verify()?;
    let remote = build.embedding.as_deref().map(|named| Remote::open(named, build.dimensions)).transpose()?;
    // A provider's model reads more than ours; what it is sent is as long as what all-MiniLM-L6-v2 reads.
    build.chunking = match &remote {
        None => build.chunking.for_model(&embedder),
        Some(_) => build.chunking.for_tokens(MAX_TOKENS),
    }?;
    let build = &build;
    let cache = Cache::open(&build.cache)?;
    let questions = build.tune_alpha.as_deref().map(eval::questions).transpose()?;
    let Listing { entries, skipped: unreadable, .. } = build.source.list()?;
    let list = started.elapsed().as_secs_f64();
    let (beside, entries): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| metadata::sidecar_of(&entry.source).is_some());
    let mut sidecars = read_sidecars(build, &beside)?;
    for (source, reason) in &unreadable {
        if let Some(document) = metadata::sidecar_of(source) {
            sidecars.insert(document.to_owned(), Err(format!("its `.metadata.json`: {reason}")));
        }
    }
    let mut skipped: Vec<Remark> =
        unreadable.iter().map(|(source, reason)| Remark { source: source.clone(), reason: reason.to_string() }).collect();

    let stage = progress.stage("extracting", "files", entries.len());
    let prepared = prepare_all(build, &entries, &sidecars, &embedder, &cache, || stage.advance(1))?;
    let extract = stage.finish();
    entries.iter().for_each(|entry| drop(sidecars.remove(&entry.source)));
    skipped.extend(sidecars.into_keys().map(|document| Remark {
        source: format!("{document}.metadata.json"),
        reason: format!("says what is known of `{document}`, which is not there"),
    }));
    let mut documents = Vec::new();
    for (entry, outcome) in entries.iter().zip(prepared) {
        match outcome {
            Ok(document) => documents.push(document),
            Err(reason) => skipped.push(Remark { source: entry.source.clone(), reason }),
        }
    }
    skipped.sort();
    if documents.is_empty() || (build.strict && !skipped.is_empty()) {
        bail!(refusal(build, entries.len(), &skipped));
    }

    let manifest = match &remote {
        None => Manifest {
            model: embedder.name().to_owned(),
            model_fingerprint: embedder.fingerprint().to_owned(),
            dimensions: embedder.dimensions(),
            ..Manifest::default()
        },
        Some(Remote { model, .. }) => Manifest {
            provider: Some(model.provider().to_owned()),
            model: model.name().to_owned(),
            model_fingerprint: model.fingerprint(),
            dimensions: model.dimensions(),
            shortened: model.is_shortened(),
            ..Manifest::default()
        },
    };
    // What a vector depends on beside its text: an encoder of our own version, or somebody's server.
    let made_by = remote.as_ref().map_or_else(|| ARITHMETIC.to_string(), |remote| remote.model.place());
    let store = cache.vectors(&format!("{}-{made_by}", manifest.model_fingerprint), manifest.dimensions)?;
    let (vectors, chunks_embedded, embed) = embed_all(&documents, &embedder, remote.as_ref(), store, progress)?;
    let write_started = Instant::now();
    let model = format!(
        "{}{} ({})",
        manifest.provider.as_ref().map(|provider| format!("{provider}/")).unwrap_or_default(),
        manifest.model,
        manifest.model_fingerprint
    );
    let manifest = Manifest {
        builder: env!("CARGO_PKG_VERSION").to_owned(),
        chunking: serde_json::to_value(&build.chunking)?,
        lexical: build.lexical,
        ..manifest
    };
    // Before anything is written: a provider may fail.
    let asked = questions.as_ref().map(|questions| eval::embed(questions, &embedder, remote.as_ref())).transpose()?;
    let mut alpha = None;
    if let (Some(questions), Some(asked)) = (&questions, &asked) {
        // An index is written aside to be asked; what the answers say goes into the one that replaces the old one.
        let aside = aside(&build.out)?;
        let untuned = aside.path().join("untuned.omni");
        write(manifest.clone(), &documents, &vectors, &untuned)?;
        let labels: BTreeSet<&String> = documents.iter().flat_map(|prepared| &prepared.document.access).collect();
        let labels: Vec<String> = labels.into_iter().cloned().collect();
        alpha = Some(tune(&untuned, questions, asked, &labels).context("`--tune-alpha`")?);
    }
    // In a folder it is called by its digest, and is written aside until that is known.
    let unnamed = build.out.is_dir().then(|| aside(&build.out)).transpose()?;
    let written = unnamed.as_ref().map_or_else(|| build.out.clone(), |aside| aside.path().join("unnamed.omni"));
    let digest = write(Manifest { alpha, ..manifest }, &documents, &vectors, &written)?;
    let path = if unnamed.is_none() { written.clone() } else { build.out.join(format!("{digest}.omni")) };
    let is_there =
        |uri: &str| entries.iter().any(|entry| entry.uri == uri) || unreadable.iter().any(|(source, _)| may_hold(source, uri));
    // Before the index gets its name: nobody shall find it without its list.
    let gone = forget::carry_over(&written, &path, is_there)?;
    if unnamed.is_some() {
        std::fs::rename(&written, &path).with_context(|| format!("{}: cannot rename", path.display()))?;
    }
    let write = write_started.elapsed().as_secs_f64();

    let warnings = documents.iter().flat_map(|prepared| {
        let source = &prepared.document.source;
        prepared.warnings.iter().map(move |reason| Remark { source: source.clone(), reason: reason.clone() })
    });
    Ok(Report {
        bytes: std::fs::metadata(&path).with_context(|| path.display().to_string())?.len(),
        index: path.display().to_string(),
        digest,
        model,
        files: documents.len() + skipped.len(),
        documents: documents.len(),
        documents_unchanged: documents.iter().filter(|prepared| prepared.unchanged).count(),
        pages: documents.iter().map(|prepared| prepared.pages).sum(),
        chunks: documents.iter().map(|prepared| prepared.chunks.len()).sum(),
        chunks_embedded,
        alpha,
        gone,
        warnings: warnings.chain(metadata::mixed(documents.iter().map(|prepared| &prepared.document))).collect(),
        skipped,
        seconds: Seconds { list, extract, embed, write, total: started.elapsed().as_secs_f64() },
    })
}

/// A folder of this build's own, on the file system of what it will write; gone when it is dropped.
fn aside(out: &Path) -> Result<TempDir> {
    let beside = if out.is_dir() { out } else { out.parent().unwrap_or(Path::new("")) };
    let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
    std::fs::create_dir_all(beside).with_context(|| beside.display().to_string())?;
    tempfile::Builder::new().prefix(".omni-").tempdir_in(beside).with_context(|| beside.display().to_string())
}

/// Why no index is written.
fn refusal(build: &Build, files: usize, skipped: &[Remark]) -> String {
    let cause = if build.strict { "and `--strict` is set" } else { "so there is nothing to index" };
    let mut text = format!("{}: {} of {files} files are skipped, {cause}; nothing was written", build.source, skipped.len());
    for Remark { source, reason } in skipped {
        text += &format!("\n  {source}: {reason}");
    }
    text
}

/// What the files beside documents say of them, or why they cannot be understood: then the document is left out, because it may
/// have been closed to most.
fn read_sidecars(build: &Build, entries: &[Entry]) -> Result<HashMap<String, Result<Fields, String>>> {
    let sidecars = Mutex::new(HashMap::new());
    if entries.is_empty() {
        return Ok(HashMap::new());
    }
    build.source.read_all(entries, 1, READ_AHEAD_BYTES, |place, content| {
        let Some(document) = metadata::sidecar_of(&entries[place].source) else { return };
        let fields = content.map_err(|reason| format!("its `.metadata.json`: {reason}"));
        let fields = fields.and_then(|content| metadata::read_sidecar(&content.bytes));
        sidecars.lock().unwrap_or_else(PoisonError::into_inner).insert(document.to_owned(), fields);
    })?;
    Ok(sidecars.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The weight of the vectors with which most of what the questions look for comes first, for who may see all; of equals, the one
/// nearest to the default.
fn tune(path: &Path, questions: &[Asked], vectors: &[Vec<f32>], labels: &[String]) -> Result<f32> {
    let index = index::Index::open(path)?;
    let mut alphas: Vec<f32> = (0..=20_u8).map(|step| f32::from(step) / 20.0).collect();
    alphas.sort_by(|a, b| (a - index::DEFAULT_ALPHA).abs().total_cmp(&(b - index::DEFAULT_ALPHA).abs()));
    let mut best: Option<(eval::Scores, f32)> = None;
    for alpha in alphas {
        let fusion = index::Fusion::MinMax { alpha };
        let scores = eval::ask(&index, questions, vectors, eval::Manner { fusion, access: labels, ..Default::default() })?;
        if best.as_ref().is_none_or(|(best, _)| scores.ndcg(10) > best.ndcg(10) + WORTH_A_CHANGE) {
            best = Some((scores, alpha));
        }
    }
    let Some((scores, alpha)) = best else { return Ok(index::DEFAULT_ALPHA) };
    scores.require_any()?;
    Ok(alpha)
}

/// Reads, extracts and chunks every entry, several at a time; the outcomes are in the entries' order.
fn prepare_all(
    build: &Build,
    entries: &[Entry],
    sidecars: &HashMap<String, Result<Fields, String>>,
    embedder: &Embedder,
    cache: &Cache,
    done: impl Fn() + Sync,
) -> Result<Vec<Result<Prepared, String>>> {
    let sandbox = Sandbox::new(build.limits)?;
    let outcomes: Vec<OnceLock<Result<Prepared, String>>> = entries.iter().map(|_| OnceLock::new()).collect();
    build.source.read_all(entries, build.parallel, READ_AHEAD_BYTES, |place, content| {
        let outcome = content.map_err(|reason| reason.to_string()).and_then(|content| {
            let entry = &entries[place];
            let sidecar = sidecars.get(&entry.source).cloned().transpose()?;
            prepare(build, &sandbox, entry, &content, sidecar, embedder, cache)
        });
        // Each place is visited once.
        drop(outcomes[place].set(outcome));
        done();
    })?;
    Ok(outcomes.into_iter().map(|slot| slot.into_inner().unwrap_or_else(|| Err("the builder failed on it".to_owned()))).collect())
}

/// One entry's way to chunks, or the reason why it is not in the index.
fn prepare(
    build: &Build,
    sandbox: &Sandbox,
    entry: &Entry,
    content: &Content,
    sidecar: Option<Fields>,
    embedder: &Embedder,
    cache: &Cache,
) -> Result<Prepared, String> {
    let charset = content.charset.as_deref();
    let sha256 = cache::hex(&Sha256::digest(&content.bytes));
    let key = cache::document_key(&sha256, &entry.source, charset);
    let known = cache.document(&key);
    let unchanged = known.is_some();
    let mut document = match known {
        Some(document) => document,
        None => {
            let document = sandbox.extract(&content.bytes, &entry.source, charset).map_err(|refusal| refusal.to_string())?;
            cache.remember(&key, &document);
            document
        }
    };
    let mut described = describe(entry, &document, sha256);
    let front_matter = std::mem::take(&mut document.metadata);
    build.rules.apply(&mut described, front_matter, sidecar, &mut document.warnings)?;
    document.title.clone_from(&described.title);
    let embed = |texts: &[&str]| embedder.embed(texts, &|_| ());
    let chunks = chunk::split(&document, &build.chunking, embedder.tokenizer(), &embed).map_err(|error| error.to_string())?;
    if chunks.is_empty() {
        return Err("no text".to_owned());
    }
    Ok(Prepared {
        chunks: chunks.iter().map(|chunk| prepare_chunk(&document, chunk)).collect(),
        pages: document.pages.len() as u64,
        unchanged,
        document: described,
        warnings: document.warnings,
    })
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

fn describe(entry: &Entry, document: &extract::Document, sha256: String) -> index::Document {
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

/// The vector of every distinct text: known ones from the cache, the others made now and remembered as they are made.
fn embed_all(
    documents: &[Prepared],
    embedder: &Embedder,
    remote: Option<&Remote>,
    mut store: Vectors,
    progress: Progress,
) -> Result<(HashMap<Key, Vec<f32>>, usize, f64)> {
    let started = Instant::now();
    let chunks: Vec<&PreparedChunk> = documents.iter().flat_map(|document| &document.chunks).collect();
    let keys: Vec<Key> = chunks.iter().map(|chunk| chunk.embedding_key).collect();
    let mut vectors = store.find(&keys)?;
    let mut seen = HashSet::new();
    let mut missing: Vec<&PreparedChunk> = chunks
        .iter()
        .copied()
        .filter(|chunk| !vectors.contains_key(&chunk.embedding_key) && seen.insert(chunk.embedding_key))
        .collect();
    // Long texts first: the last batches are short ones, so that no core waits long for another.
    missing.sort_by_key(|chunk| std::cmp::Reverse(chunk.embedding_text.len()));
    let stage = progress.stage("embedding", "chunks", missing.len());
    let mut keep = |chunks: &[&PreparedChunk], fresh: Vec<Vec<f32>>| -> Result<()> {
        let records: Vec<(Key, &[f32])> =
            chunks.iter().zip(&fresh).map(|(chunk, vector)| (chunk.embedding_key, vector.as_slice())).collect();
        store.append(&records)?;
        vectors.extend(chunks.iter().map(|chunk| chunk.embedding_key).zip(fresh));
        Ok(())
    };
    if let Some(remote) = remote {
        let texts = missing.iter().map(|chunk| chunk.embedding_text.clone()).collect();
        remote.embed(texts, Purpose::Document, |range, fresh| {
            stage.advance(range.len());
            keep(&missing[range], fresh)
        })?;
    } else {
        for step in missing.chunks(EMBED_STEP) {
            let texts: Vec<&str> = step.iter().map(|chunk| chunk.embedding_text.as_str()).collect();
            keep(step, embedder.embed(&texts, &|count| stage.advance(count))?)?;
        }
    }
    stage.finish();
    store.tidy(&vectors)?;
    Ok((vectors, missing.len(), started.elapsed().as_secs_f64()))
}

/// Whether the document at `uri` may be what was skipped, a file or a folder, as its source names it.
fn may_hold(skipped: &str, uri: &str) -> bool {
    let uri = format!("/{uri}/");
    uri.contains(&format!("/{skipped}/"))
}

/// Writes the index and says its digest.
fn write(manifest: Manifest, documents: &[Prepared], vectors: &HashMap<Key, Vec<f32>>, path: &Path) -> Result<String> {
    let mut writer = Writer::new(manifest);
    for prepared in documents {
        let document = writer.push_document(prepared.document.clone());
        for chunk in &prepared.chunks {
            let vector = vectors.get(&chunk.embedding_key).context("a chunk has no vector")?;
            let chunk = index::Chunk {
                document,
                text: chunk.text.as_str().into(),
                start: chunk.start,
                end: chunk.end,
                page: chunk.page,
                headings: &chunk.headings,
            };
            writer.push_chunk(&chunk, vector)?;
        }
    }
    Ok(writer.finish(path)?)
}
