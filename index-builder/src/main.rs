//! Builds an Omni-LLM index: documents in, one memory-mapped file out.
#![expect(unused_imports, reason = "rooms are being furnished")]
#![cfg_attr(not(test), expect(dead_code, reason = "rooms are being furnished"))]

mod chunk;
mod extract;
mod model;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds an Omni-LLM index: documents in, one memory-mapped file out.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the text that the builder sees in each file
    Extract {
        /// The whole document (title, sections, pages, blocks) as a line of JSON
        #[arg(long)]
        json: bool,
        /// Files to read
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == extract::CHILD_COMMAND) {
        return extract::run_child();
    }
    let Command::Extract { json, files } = Options::parse().command;
    match extract_files(&files, json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}

fn extract_files(files: &[PathBuf], json: bool) -> std::io::Result<bool> {
    let sandbox = extract::Sandbox::new(extract::Limits::default())?;
    let mut are_read = true;
    for file in files {
        if let Err(refusal) = extract::show(&sandbox, file, json, &mut std::io::stdout().lock())? {
            eprintln!("{}: skipped: {refusal}", file.display());
            are_read = false;
        }
    }
    Ok(are_read)
}
