//! `omni-llm`: serve answers on a port or on Lambda, or ask from the command line.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use omni_llm::app::{App, Opened, find_files, index_path};
use omni_llm::config::Config;
use omni_llm::error::{Error, Result};
use omni_llm::index::Recall;
use omni_llm::passage::Passage;
use omni_llm::rag::{self, Question, Retrieval};
use omni_llm::server::{lambda, listen};
use omni_llm::telemetry;

/// Answers questions from one index file, on a port, on AWS Lambda, or right here.
#[derive(Parser)]
#[command(name = "omni-llm", version, after_help = AFTER_HELP)]
struct Cli {
    /// Configuration file [default: omni.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Without a command, inside Lambda (AWS_LAMBDA_RUNTIME_API is set), `lambda` is run.\n\
Without a provider and a key, answers are quoted from the sources; nothing leaves this machine.";

#[derive(Subcommand)]
enum Command {
    /// Answer on a port
    Serve {
        /// Where to listen [default: 127.0.0.1:8080]
        #[arg(long, value_name = "HOST:PORT")]
        addr: Option<SocketAddr>,
        #[command(flatten)]
        files: Files,
    },
    /// Answer AWS Lambda events
    Lambda {
        #[command(flatten)]
        files: Files,
    },
    /// Find passages
    Search {
        /// What to look for
        question: String,
        /// How many passages
        #[arg(long, short = 'k', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        top_k: Option<u32>,
        /// How much of what is nearest is to be found: `fast`, `balanced` or `exact` [default: balanced]
        #[arg(long, value_name = "GOAL")]
        recall: Option<Recall>,
        #[command(flatten)]
        files: Files,
    },
    /// Answer a question
    Ask {
        /// The question
        question: String,
        /// Who answers: `openai` or `custom` [default: the configured one, else quotes from the sources]
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Which model of the provider
        #[arg(long = "model-name", value_name = "NAME")]
        model_name: Option<String>,
        /// How many passages
        #[arg(long, short = 'k', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        top_k: Option<u32>,
        /// How much of what is nearest is to be found: `fast`, `balanced` or `exact` [default: balanced]
        #[arg(long, value_name = "GOAL")]
        recall: Option<Recall>,
        #[command(flatten)]
        files: Files,
    },
    /// Show what an index file holds
    Inspect {
        /// The index file, or a folder holding exactly one
        file: PathBuf,
        /// Read the whole file and check every byte
        #[arg(long)]
        verify: bool,
    },
}

#[derive(Args)]
struct Files {
    /// Index file, or a folder holding exactly one [default: the one in the working folder]
    #[arg(long, value_name = "PATH")]
    index: Option<PathBuf>,
    /// Folder of the embedding model [default: models/all-MiniLM-L6-v2, where there is one]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("omni-llm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let mut config = Config::load(cli.config.as_deref())?;
    let command = match cli.command {
        Some(command) => command,
        None if config.lambda.runtime_api.is_some() => Command::Lambda { files: Files { index: None, model: None } },
        None => return Err(Error::bad_request("no command; try `omni-llm serve`, or `omni-llm --help` for all of them")),
    };
    match command {
        Command::Serve { addr, files } => {
            config.addr = addr.unwrap_or(config.addr);
            telemetry::start(config.log);
            let app = open(config, files)?;
            runtime()?.block_on(serve(app))
        }
        Command::Lambda { files } => {
            telemetry::start(config.log);
            let app = open(config, files)?;
            runtime()?.block_on(lambda::run(app))
        }
        Command::Search { question, top_k, recall, files } => {
            let app = open(config, files)?;
            runtime()?.block_on(async {
                let passages = rag::retrieve(&app, &question, &retrieval(&app, top_k, recall), app.deadline()).await?;
                print(&listed(&passages))
            })
        }
        Command::Ask { question, provider, model_name, top_k, recall, files } => {
            let app = open(config, files)?;
            let retrieval = app.index().map(|_| retrieval(&app, top_k, recall));
            let question = Question { provider, model: model_name, retrieval, ..Question::new(question) };
            runtime()?.block_on(ask(&app, question))
        }
        Command::Inspect { file, verify } => inspect(&file, verify),
    }
}

fn open(mut config: Config, files: Files) -> Result<Arc<App>> {
    config.index = files.index.or(config.index);
    config.model = files.model.or(config.model);
    find_files(&mut config)?;
    // Where a pool is there already, its threads do as well.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(config.threads()).build_global();
    App::open(config).map(Arc::new)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Error::internal("the async runtime cannot start").caused_by(cause))
}

async fn serve(app: Arc<App>) -> Result<()> {
    let listener = listen::bind(app.config().addr).await?;
    let addr = listener.local_addr().map_or(app.config().addr, |addr| addr);
    match app.index() {
        Some(opened) => {
            let (index, digest) = (opened.name.as_str(), opened.index.digest());
            tracing::info!(%addr, index, digest, chunks = opened.index.len(), "listening");
        }
        None => tracing::warn!(%addr, "listening without an index; name one with `--index` to answer from documents"),
    }
    if app.embedder().is_none() && app.index().is_some() {
        tracing::warn!("no embedding model: words only are searched; get one with `index-builder model`");
    }
    listen::serve(app, listener, listen::stop_signal()).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn ask(app: &Arc<App>, question: Question) -> Result<()> {
    let answer = rag::answer(app, question, app.deadline()).await?;
    for warning in &answer.warnings {
        eprintln!("note: {warning}");
    }
    // Quotes carry their list of sources already.
    let sources = if answer.provider == rag::EXTRACTIVE || answer.passages.is_empty() {
        String::new()
    } else {
        let lines: Vec<String> =
            answer.passages.iter().zip(1..).map(|(passage, number)| format!("[{number}] {}", passage.place())).collect();
        format!("\n\nSources:\n{}", lines.join("\n"))
    };
    print(&format!("{}{sources}\n", answer.content))
}

fn retrieval(app: &App, top_k: Option<u32>, recall: Option<Recall>) -> Retrieval {
    let defaults = &app.config().retrieval;
    Retrieval {
        top_k: top_k.map_or(defaults.top_k, |top_k| top_k as usize),
        alpha: defaults.alpha,
        score_threshold: defaults.score_threshold.filter(|_| app.embedder().is_some()),
        uri_prefix: None,
        recall: recall.unwrap_or_default(),
    }
}

fn listed(passages: &[Passage]) -> String {
    if passages.is_empty() {
        return "nothing found\n".to_owned();
    }
    let entry = |(passage, number): (&Passage, usize)| {
        let score = passage.score.map(|score| format!("  cosine {score:.3}")).unwrap_or_default();
        let text = passage.content.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = text.chars().take(240).collect();
        let more = if short.len() < text.len() { " ..." } else { "" };
        format!("[{number}] {}{score}  {}\n    {short}{more}\n", passage.place(), passage.chunk_id)
    };
    passages.iter().zip(1..).map(entry).collect()
}

fn inspect(file: &Path, verify: bool) -> Result<()> {
    let path = index_path(file)?;
    let opened = Opened::open(&path)?;
    let (index, manifest) = (&opened.index, opened.index.manifest());
    let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let mut formats = std::collections::BTreeMap::<String, usize>::new();
    for number in 0..u32::try_from(index.document_count()).unwrap_or(u32::MAX) {
        *formats.entry(index.document(number)?.format).or_default() += 1;
    }
    let formats: Vec<String> = formats.iter().map(|(format, count)| format!("{count} {format}")).collect();
    let lexical = manifest.lexical;
    let mut text = format!(
        "file       {} ({bytes} bytes)\ndigest     {}\nbuilder    {}\nmodel      {} ({}, {} dimensions)\ndocuments  {} ({})\nchunks     {}\nchunking   {}\nwords      BM25 k1 {} b {}, stemming {}, stop words {}\n",
        path.display(),
        index.digest(),
        manifest.builder,
        manifest.model,
        manifest.model_fingerprint,
        manifest.dimensions,
        index.document_count(),
        formats.join(", "),
        index.len(),
        manifest.chunking,
        lexical.k1,
        lexical.b,
        if lexical.stemming { "on" } else { "off" },
        if lexical.stop_words { "left out" } else { "kept" },
    );
    if verify {
        index.verify()?;
        text.push_str("verified   every byte\n");
    }
    print(&text)
}

/// Writes to standard output; a reader that closed it (`| head`) is no failure.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::internal(format!("standard output: {cause}"))),
        _ => Ok(()),
    }
}
