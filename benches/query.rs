//! A whole question without a provider: embedding it, searching, and the extractive answer, each alone and all of it.
//!
//! The index is that of `OMNI_INDEX` (a real one is best), else one made here of the paragraphs of `examples/knowledge/*.md`. The
//! model is that of `OMNI_MODEL`, else `models/all-MiniLM-L6-v2`. One question at a time, 300 times after one untimed round, page
//! cache warm.

mod support {
    pub(crate) mod figures;
    #[path = "../../tests/support/model.rs"]
    pub(crate) mod model;
}

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use omni_llm::app::App;
use omni_llm::config::Config;
use omni_llm::embed::Embedder;
use omni_llm::index::{Chunk, Document, Index, Manifest, Query, Writer};
use omni_llm::prompt::Format;
use omni_llm::rag::{self, Question, Retrieval};
use support::figures::Figures;
use support::model::model;

const ROUNDS: usize = 300;
const QUESTION: &str = "How do I refresh the knowledge when my documents change?";

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = model().context("the bench needs the model")?;
    let embedder = Embedder::open(&model)?;
    let folder = tempfile::tempdir()?;
    let path = match std::env::var_os("OMNI_INDEX") {
        Some(path) => PathBuf::from(path),
        None => example(root, &embedder, &folder.path().join("example.omni"))?,
    };
    let index = Index::open(&path)?;
    let mut figures = Figures::new("query");
    figures.add("chunks in the index", index.len() as f64, "chunks", None);

    let vector = embedder.embed_query(QUESTION)?;
    let query = Query { vector: Some(&vector), text: Some(QUESTION), top_k: 5, distinct: true, ..Query::default() };
    time(&mut figures, "embed one question", || drop(embedder.embed_query(QUESTION)));
    time(&mut figures, "hybrid search", || drop(index.search(&query)));

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let config = Config { index: Some(path), model: Some(model), ..Config::default() };
    let app = Arc::new(App::open(config)?);
    let ask = || {
        let retrieval = Retrieval { top_k: 5, ..Retrieval::default() };
        let question = Question { retrieval: Some(retrieval), format: Format::Text, ..Question::new(QUESTION.to_owned()) };
        runtime.block_on(rag::answer(&app, question, app.deadline(), None))
    };
    ask()?;
    time(&mut figures, "whole question, extractive answer", || drop(ask()));
    figures.write()
}

fn time(figures: &mut Figures, name: &str, work: impl Fn()) {
    work();
    let times = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed()
    });
    figures.add_times(name, times.collect(), None);
}

/// An index of the paragraphs of the example knowledge base.
fn example(root: &Path, embedder: &Embedder, path: &Path) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("examples/knowledge"))?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    let mut writer = Writer::new(Manifest {
        builder: "bench".to_owned(),
        model: embedder.name().to_owned(),
        model_fingerprint: embedder.fingerprint().to_owned(),
        dimensions: embedder.dimensions(),
        ..Manifest::default()
    });
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let source = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let document = writer.push_document(Document {
            uri: source.clone(),
            title: source.clone(),
            source,
            format: "markdown".to_owned(),
            ..Document::default()
        });
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let start = paragraph.as_ptr() as u64 - text.as_ptr() as u64;
            let end = start + paragraph.len() as u64;
            let chunk = Chunk { document, text: paragraph.into(), start, end, page: None, headings: "" };
            writer.push_chunk(&chunk, &embedder.embed_one(paragraph)?)?;
        }
    }
    writer.finish(path)?;
    Ok(path.to_owned())
}
