//! `omni-llm`: serve answers on a port or on Lambda, or ask from the command line.

#[path = "main/health.rs"]
mod health;
#[path = "main/init.rs"]
mod init;
#[path = "main/inspect.rs"]
mod inspect;
#[cfg(target_env = "gnu")]
#[path = "main/memory.rs"]
mod memory;
#[path = "main/message.rs"]
mod message;
#[path = "main/print.rs"]
mod print;

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use health::health;
use inspect::inspect;
use message::message;
use omni_llm::app::{App, find_files};
use omni_llm::config::{Config, Log, address, is_lambda, located};
use omni_llm::error::{Error, Result};
use omni_llm::index::{Filter, Recall};
use omni_llm::provider::PRESETS;
use omni_llm::rag::{self, Question, Retrieval};
use omni_llm::server::{QueryResponse, SearchResponse, lambda, listen, request_id};
use omni_llm::telemetry;
use print::{SHOWN, print, print_json, told};

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
        /// Where to listen, such as `localhost:9000`; beyond the loopback anybody may ask [default: `OMNI_ADDR`, else
        /// 127.0.0.1:8080]
        #[arg(long, value_name = "HOST:PORT", value_parser = address)]
        addr: Option<SocketAddr>,
        #[command(flatten)]
        files: Files,
    },
    /// Answer AWS Lambda events
    Lambda {
        #[command(flatten)]
        files: Files,
    },
    /// Ask a service that listens whether it can answer: for checks of containers
    Health {
        /// Where it listens [default: the configured address]
        #[arg(long, value_name = "HOST:PORT", value_parser = address)]
        addr: Option<SocketAddr>,
    },
    /// Find passages
    Search {
        /// What to look for
        #[arg(required = true, value_parser = question)]
        question: Vec<String>,
        /// Print what `POST /v1/search` answers
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        narrowed: Narrowed,
        #[command(flatten)]
        files: OneIndex,
    },
    /// Answer a question
    Ask {
        /// The question
        #[arg(required = true, value_parser = question)]
        question: Vec<String>,
        /// Print what `POST /v1/query` answers
        #[arg(long)]
        json: bool,
        #[arg(long, value_name = "NAME", help = providers_help())]
        provider: Option<String>,
        /// Which model of the provider
        #[arg(long = "model-name", value_name = "NAME")]
        model_name: Option<String>,
        #[command(flatten)]
        narrowed: Narrowed,
        #[command(flatten)]
        files: OneIndex,
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

/// What is searched, and for whom.
#[derive(Args)]
struct Narrowed {
    /// How many passages [default: `OMNI_TOP_K`, else 5]
    #[arg(long, short = 'k', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    top_k: Option<u32>,
    /// How much of what is nearest is to be found: `fast`, `balanced` or `exact` [default: balanced]
    #[arg(long, value_name = "GOAL")]
    recall: Option<Recall>,
    /// Only what passes: `FIELD=VALUE`, `FIELD=A,B` for either, `FIELD!=VALUE`, `FIELD=PREFIX*`, `FIELD>=VALUE` (`>`, `<=`, `<`),
    /// or JSON as in requests; several must all pass. A value that has a comma or a `*` stands in double quotes: 'title="a, b"'
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Only this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Labels of the caller, comma-separated: labelled documents are found by callers who have one of their labels
    #[arg(long = "access", value_name = "LABELS", value_delimiter = ',')]
    labels: Vec<String>,
}

#[derive(Args)]
struct Files {
    /// Index file, or a folder holding exactly one [default: `OMNI_INDEX`, else the one in the working folder]; again for further
    /// ones
    #[arg(long = "index", value_name = "PATH")]
    indexes: Vec<PathBuf>,
    /// Folder of the embedding model [default: `OMNI_MODEL`, else models/all-MiniLM-L6-v2, where there is one]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// Refused with a hint: an index is named by its option.
    #[arg(hide = true, value_name = "PATH", value_parser = stray)]
    _stray: Option<Infallible>,
}

/// The same for one question, which is looked up in one index.
#[derive(Args)]
struct OneIndex {
    /// Index file, or a folder holding exactly one [default: `OMNI_INDEX`, else the one in the working folder]
    #[arg(long, value_name = "PATH")]
    index: Option<PathBuf>,
    /// Folder of the embedding model [default: `OMNI_MODEL`, else models/all-MiniLM-L6-v2, where there is one]
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
}

impl From<OneIndex> for Files {
    fn from(one: OneIndex) -> Self {
        Self { indexes: one.index.into_iter().collect(), model: one.model, _stray: None }
    }
}

/// Who can be asked, by the names that the configuration knows.
fn providers_help() -> String {
    let names: Vec<String> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
    let default = "[default: the configured one, else quotes from the sources]";
    format!("Who answers: {}, or one of `omni.toml` {default}", names.join(", "))
}

/// A question has words.
fn question(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("empty; write the question".to_owned()) } else { Ok(text.to_owned()) }
}

/// Nothing stands without an option.
fn stray(path: &str) -> Result<Infallible, String> {
    Err(format!("name an index with `--index {path}`"))
}

/// Waits for the log when all else is over, a panic too.
struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        telemetry::flush();
    }
}

fn main() -> ExitCode {
    let _flush = Flush;
    let cli = Cli::parse();
    let (serves, on_lambda) = match cli.command {
        Some(Command::Serve { .. }) => (true, false),
        Some(Command::Lambda { .. }) => (true, true),
        Some(_) => (false, false),
        None => (is_lambda(), is_lambda()),
    };
    let outcome = run(cli);
    if let Err(error) = &outcome {
        let message = message(error);
        if serves {
            // Where the configuration itself is wrong, nothing was started yet.
            telemetry::start(Log::default(), false);
            tracing::error!("{message}");
        } else {
            // Who no longer reads has the exit code.
            let _ = writeln!(std::io::stderr(), "omni-llm: {}", print::shown(&message));
        }
        if on_lambda {
            init::report(error, &message);
        }
    }
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(cli: Cli) -> Result<()> {
    let mut config = Config::load(cli.config.as_deref())?;
    let command = match cli.command {
        Some(command) => command,
        None if config.lambda.runtime_api.is_some() => {
            Command::Lambda { files: Files { indexes: Vec::new(), model: None, _stray: None } }
        }
        None => return Err(Error::bad_request("no command; try `omni-llm serve`, or `omni-llm --help` for all of them")),
    };
    match command {
        Command::Serve { addr, files } => {
            #[cfg(target_env = "gnu")]
            memory::give_back();
            config.addr = addr.unwrap_or(config.addr);
            start_log(&config);
            Config::check_proxies()?;
            let app = open(config, files)?;
            ready(&app)?;
            run_to_end(&app, serve(Arc::clone(&app)))
        }
        Command::Lambda { files } => {
            start_log(&config);
            Config::check_proxies()?;
            let app = open(config, files)?;
            ready(&app)?;
            run_to_end(&app, lambda::run(Arc::clone(&app)))
        }
        Command::Health { addr } => print(&health(addr.unwrap_or(config.addr))?),
        Command::Search { question, json, narrowed, files } => {
            let started = Instant::now();
            // Nobody is asked for an answer, so nobody needs a key.
            (config.generation.provider, config.generation.fallback_providers) = (None, Vec::new());
            let app = open(config, files)?;
            run_to_end(&app, async {
                let found = rag::retrieve(&app, &question.join(" "), &retrieval(&app, narrowed)?, app.deadline()).await?;
                if json {
                    return print_json(&SearchResponse::new(found, SHOWN, &request_id(), started.elapsed().as_secs_f64()));
                }
                print::found(&found)
            })
        }
        Command::Ask { question, json, provider, model_name, narrowed, files } => {
            let started = Instant::now();
            // Whoever is named here is asked, whatever the configuration says of others.
            config.generation.provider = config.generation.provider.filter(|_| provider.is_none());
            Config::check_proxies()?;
            let app = open(config, files)?;
            let retrieval = app.index().map(|_| retrieval(&app, narrowed)).transpose()?;
            let question = Question { provider, model: model_name, retrieval, ..Question::new(question.join(" ")) };
            let answer = run_to_end(&app, rag::answer(&app, question, app.deadline(), None))?;
            if json {
                return print_json(&QueryResponse::new(answer, SHOWN, &request_id(), started.elapsed().as_secs_f64()));
            }
            told(&answer)
        }
        Command::Inspect { file, verify } => print(&inspect(&file, verify)?),
    }
}

fn open(mut config: Config, files: impl Into<Files>) -> Result<Arc<App>> {
    let files = files.into();
    let mut indexes = files.indexes.into_iter();
    if let Some(first) = indexes.next() {
        config.index = Some(first);
        config.indexes = indexes.collect();
    }
    config.model = files.model.or(config.model);
    find_files(&mut config)?;
    // Where a pool is there already, its threads do as well.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(config.threads()).build_global();
    App::open(config).map(Arc::new)
}

/// How long what was left behind may take to end.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Works until it is done. What it leaves behind may be at work for long, as a name server that does not answer: nobody waits for
/// that.
fn run_to_end<T>(app: &App, work: impl Future<Output = Result<T>>) -> Result<T> {
    // On one core a second thread only passes work to and fro.
    let mut builder = match app.config().threads() {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|cause| Error::internal("the async runtime cannot start").caused_by(cause))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LEFTOVERS);
    outcome.map_err(|error| located(&app.config().places, error))
}

/// Writes lines from now on, the first of them about variables that nobody reads.
fn start_log(config: &Config) {
    // Lambda freezes the process behind an answer: a line that is not written by then would come with the next, or never.
    telemetry::start(config.log, config.lambda.runtime_api.is_none());
    for unknown in config.unknown_variables() {
        tracing::warn!("{unknown}");
    }
}

/// Says what is open, and gets ready what the first request would wait for.
///
/// # Errors
/// Nothing is: no request could be answered.
fn ready(app: &Arc<App>) -> Result<()> {
    if app.indexes().is_empty() && app.embedder().is_none() && app.providers().next().is_none() {
        return Err(Error::bad_request(NOTHING));
    }
    for opened in app.indexes() {
        tracing::info!(index = opened.name, digest = opened.index.digest(), chunks = opened.index.len(), "opened");
    }
    if app.indexes().is_empty() {
        tracing::warn!("no index; name one with `--index` or `OMNI_INDEX` to answer from documents");
    }
    if app.indexes().iter().any(|opened| !app.embeds(opened)) {
        tracing::warn!(
            "no embedding model: words only are searched; name its folder with `--model` or `OMNI_MODEL`, or get it with `index-builder model`"
        );
    }
    app.prepare();
    Ok(())
}

/// What a service needs to have anything to answer with.
const NOTHING: &str = "nothing to answer with: no index, no provider and no embedding model; name an index with `--index` or `OMNI_INDEX`, \
                       or set up a provider, for example with `OPENAI_API_KEY`";

/// What it means to be reached from elsewhere. In a container there is no other way, and only whoever publishes the port knows
/// from where.
const OPEN: &str = "not on the loopback: whoever reaches this port may ask, read documents without labels, and spend the keys of providers, \
                    without a password and without TLS; let only a proxy reach it that has both (a container: `--publish 127.0.0.1:8080:8080`)";

async fn serve(app: Arc<App>) -> Result<()> {
    listen::raise_open_files();
    let listener = listen::bind(app.config().addr).await?;
    let addr = listener.local_addr().unwrap_or(app.config().addr);
    if !addr.ip().to_canonical().is_loopback() {
        tracing::warn!("{OPEN}");
    }
    tracing::info!(%addr, "listening");
    listen::serve(app, listener, listen::stop_signal()).await;
    tracing::info!("stopped");
    Ok(())
}

fn retrieval(app: &App, narrowed: Narrowed) -> Result<Retrieval> {
    let mut retrieval = app.index().map_or_else(Retrieval::default, |opened| Retrieval::of(app.config(), opened));
    retrieval.top_k = narrowed.top_k.map_or(retrieval.top_k, |top_k| top_k as usize);
    retrieval.score_threshold = retrieval.score_threshold.filter(|_| app.index().is_some_and(|opened| app.embeds(opened)));
    retrieval.recall = narrowed.recall.unwrap_or_default();
    if let (Some(opened), Some(namespace)) = (app.index(), &narrowed.namespace) {
        retrieval.namespace = opened.namespace("--namespace", namespace)?;
    }
    retrieval.access.extend(narrowed.labels);
    let filters: Vec<Filter> = narrowed.filters.iter().map(|filter| Filter::parse(filter)).collect::<Result<_>>()?;
    retrieval.filter = (!filters.is_empty()).then_some(Filter::All(filters));
    Ok(retrieval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_what_was_left_behind() {
        let (app, began) = (App::open(Config::default()).unwrap(), Instant::now());
        let left = async {
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(20)));
            Ok(7)
        };
        assert_eq!(run_to_end(&app, left).unwrap(), 7);
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn an_index_without_its_option_is_told_how_it_is_named() {
        for command in ["serve", "lambda"] {
            let said = Cli::try_parse_from(["omni-llm", command, "kb.omni"]).err().unwrap().to_string();
            assert!(said.contains("name an index with `--index kb.omni`"), "{said}");
        }
    }

    #[test]
    fn labels_are_separated_by_commas() {
        let cli = Cli::try_parse_from(["omni-llm", "search", "leave?", "--access", "hr,it", "--access", "staff"]).unwrap();
        let Some(Command::Search { narrowed, .. }) = cli.command else { panic!() };
        assert_eq!(narrowed.labels, ["hr", "it", "staff"]);
    }
}
