//! What a build would read of a source, without building.

use anyhow::Result;

use crate::extract::{self, Limits, Sandbox};
use crate::note;
use crate::pipeline;
use crate::progress::plural;
use crate::report::shown;
use crate::source::{Entry, Options, READ_AHEAD_BYTES, Source};

/// One line a document, to print. On standard error: what is ignored, and what is skipped, with `read` by what came of extracting
/// it, and without it what would probably be, by its name.
///
/// # Errors
/// The source cannot be listed or read.
pub(crate) fn run(options: &Options, read: bool) -> Result<String> {
    let source = Source::open(options)?;
    let listing = source.list()?;
    let mut skipped: Vec<(String, String)> =
        listing.skipped.into_iter().map(|(path, reason)| (path, reason.to_string())).collect();
    let (beside, entries) = pipeline::apart(listing.entries);
    let refusals = if read { refused(&source, &entries)? } else { entries.iter().map(empty).collect() };
    let mut documents = Vec::new();
    for (entry, refusal) in entries.into_iter().zip(refusals) {
        match refusal {
            None => documents.push(entry),
            Some(reason) => skipped.push((entry.source, reason)),
        }
    }
    skipped.sort();
    for (path, reason) in &skipped {
        note(format_args!("skipped: {}: {}", shown(path), shown(reason)));
    }
    for (path, why) in &listing.ignored {
        note(format_args!("ignored: {}: {why}", shown(path)));
    }
    if !read {
        for entry in documents.iter().filter(|entry| extract::is_unsupported_by_name(&entry.source)) {
            note(format_args!("unsure: {}: by its name no format that is read; `--read` looks into it", shown(&entry.source)));
        }
    }
    let bytes: u64 = documents.iter().map(|entry| entry.size).sum();
    let counted = |count: usize, thing: &str| format!("{count} {}", plural(count, thing));
    note(format_args!(
        "{}, {bytes} bytes; {} of metadata, {} skipped, {} ignored",
        counted(documents.len(), "document"),
        counted(beside.len(), "file"),
        skipped.len(),
        listing.ignored.len()
    ));
    Ok(documents.iter().map(|entry| format!("{:>10}  {}\n", entry.size, shown(&entry.uri))).collect())
}

/// Why an entry cannot be a document, as far as that is known without reading it.
fn empty(entry: &Entry) -> Option<String> {
    (entry.size == 0).then(|| "empty".to_owned())
}

/// Why each entry gives no document; none for those that do.
fn refused(source: &Source, entries: &[Entry]) -> Result<Vec<Option<String>>> {
    let sandbox = Sandbox::new(Limits::default())?;
    Ok(source.read_all(entries, pipeline::default_threads(), READ_AHEAD_BYTES, |entry, content| match content {
        Ok(content) => {
            let extracted = sandbox.extract(&content.bytes, &entry.source, content.charset.as_deref())?;
            Ok(extracted.err().map(|refusal| refusal.to_string()))
        }
        Err(reason) => Ok(Some(reason.to_string())),
    })?)
}
