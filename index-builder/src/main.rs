//! Builds an Omni-LLM index: documents in, one memory-mapped file out.

mod cache;
mod cause;
mod chunk;
mod cli;
mod demo;
mod embedding;
mod eval;
mod export;
mod extract;
mod forget;
mod list;
mod metadata;
mod model;
mod pipeline;
mod place;
mod progress;
mod remote;
mod report;
mod source;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use omni_retrieval::index::Tombstones;

use cli::{BuildArgs, Cli, Command, EvalArgs, What};
use pipeline::Build;
use progress::Progress;
use report::shown;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == extract::CHILD_COMMAND) {
        return extract::run_child();
    }
    let cli = Cli::parse();
    let progress = Progress::detect(cli.quiet);
    let done = |()| ExitCode::SUCCESS;
    let outcome = match cli.command {
        Command::Build(args) => build(&args, progress).map(done),
        Command::Demo(args) => demo::run(&args, progress).map(done),
        Command::Eval(args) => evaluate(*args, progress),
        Command::Export { index, to, formats } => write_out(&index, &to, &formats).map(done),
        Command::Extract { json, files } => show_extracts(&files, json),
        Command::Forget { index, documents, undo } => take_out(&index, &documents, undo).map(done),
        Command::List { source, read } => list::run(&source, read).and_then(|text| print(&text)).map(done),
        Command::Model { from, to, precision, said } => {
            model::get(&from, &said, to.as_deref(), precision.into(), progress).map(done).map_err(Into::into)
        }
    };
    outcome.unwrap_or_else(|error| {
        note(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn build(args: &BuildArgs, progress: Progress) -> Result<()> {
    progress.end_line_when_interrupted();
    let threads = args.threads.map_or_else(pipeline::default_threads, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.context("cannot start the threads")?;
    let source = source::Source::open(&args.source)?;
    let rules = metadata::Rules::read(args.metadata.as_deref(), args.namespace_by_folder)?;
    // Makes a folder: only now, when there is something to build.
    place::require_writable(&args.out)?;
    let report_file = args.report.as_deref().filter(|path| *path != Path::new("-"));
    report_file.map_or(Ok(()), |path| report::require_replaceable(path, &args.out))?;
    let cache = args.cache.clone().unwrap_or_else(|| cache::folder_beside(&args.out));
    if let (Some(source), Ok(cache)) = (&args.source.source, cache.canonicalize())
        && source.canonicalize().is_ok_and(|source| source.starts_with(&cache))
    {
        bail!("{}: the source cannot lie in the cache; name another folder with `--cache`", cache.display());
    }
    let mut own = vec![Tombstones::path(&args.out), cache.clone(), args.model.clone()];
    // A folder that indexes go into may hold documents too.
    own.extend((!args.out.is_dir()).then(|| args.out.clone()));
    own.extend([&args.report, &args.metadata, &args.tune_alpha].into_iter().flatten().cloned());
    let build = Build {
        source: source.without(&own),
        cache,
        out: args.out.clone(),
        model: args.model.clone(),
        embedding: args.embedding.clone().filter(|named| named != "local"),
        dimensions: args.embedding_dimensions,
        chunking: args.chunking.given(),
        lexical: args.lexical.settings()?,
        rules,
        tune_alpha: args.tune_alpha.clone(),
        limits: args.limits(),
        parallel: threads,
        strict: args.strict,
    };
    let report = pipeline::run(&build, progress)?;
    let is_printed = args.report.is_some() && report_file.is_none();
    let printed = print(&if is_printed { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() });
    // Each tells of an index that is there already, whatever becomes of the other.
    report_file.map_or(Ok(()), |path| report.write(path)).and(printed)
}

/// Measures; a gate that is not passed is a failure with its reasons.
fn evaluate(args: EvalArgs, progress: Progress) -> Result<ExitCode> {
    match args.what()? {
        What::TestSet(evaluation) => {
            for (mode, run, scores) in eval::testset::run(&evaluation, progress)? {
                let name = cli::name(mode);
                let scores = scores.map_or_else(String::new, |scores| {
                    let eval::testset::Averages { ndcg_10, recall_100, mrr_10, queries } = scores;
                    format!("nDCG@10 {ndcg_10:.4}  Recall@100 {recall_100:.4}  MRR@10 {mrr_10:.4}  {queries} queries  ")
                });
                print(&format!("{name:<7} {scores}{}\n", run.display()))?;
            }
        }
        What::Gate(gate) => {
            let (text, failures) = eval::gate::run(&gate)?;
            print(&text)?;
            for failure in &failures {
                note(format_args!("failed: {failure}"));
            }
            return Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        What::Excerpts(excerpts) => print(&eval::excerpts::run(&excerpts, progress)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_out(index: &Path, to: &Path, formats: &[export::Format]) -> Result<()> {
    let chunks = export::run(index, to, formats)?;
    print(&format!("{chunks} chunks in {}\n", to.display()))
}

/// Prints what is gone, a document a line.
fn take_out(index: &Path, documents: &[String], undo: bool) -> Result<()> {
    let gone = forget::run(index, documents, undo)?;
    print(&gone.iter().map(|uri| format!("{}\n", shown(uri))).collect::<String>())
}

/// Prints the text of each file, what was lost of it on standard error; one that cannot be read costs a line on standard error and
/// the exit code.
fn show_extracts(files: &[PathBuf], json: bool) -> Result<ExitCode> {
    let sandbox = extract::Sandbox::new(extract::Limits::default())?;
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let name = file.display().to_string();
        let read = extract::read(&sandbox, file)?;
        match read.and_then(|document| Ok((extract::shown(&document, json)?, document.warnings))) {
            Ok((text, warnings)) => {
                print(&text)?;
                // JSON holds them.
                for warning in warnings.iter().filter(|_| !json) {
                    note(format_args!("{}: warning: {}", shown(&name), shown(warning)));
                }
            }
            Err(refusal) => {
                note(format_args!("{}: skipped: {refusal}", shown(&name)));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Prints at once. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(cause).context("standard output: cannot write"),
        _ => Ok(()),
    }
}

/// Says a line on standard error. That nobody reads it, or that it cannot be kept, costs no index.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
#[path = "../../tests/support"]
mod testing {
    pub(crate) mod model;
    pub(crate) mod shared;
}
