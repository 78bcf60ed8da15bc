//! What a build did: for people as text, for machines as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::place::{folder_of, followed, temporary};

/// The outcome of one build.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// The file that was written.
    pub(crate) index: String,
    /// Its digest.
    pub(crate) digest: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// The embedding model.
    pub(crate) model: String,
    /// Files found in the source.
    pub(crate) files: usize,
    /// Documents in the index.
    pub(crate) documents: usize,
    /// Of these, taken from the cache instead of being extracted again.
    pub(crate) documents_unchanged: usize,
    /// Pages of the documents that have pages.
    pub(crate) pages: u64,
    /// Chunks in the index.
    pub(crate) chunks: usize,
    /// Of these, embedded by this build; the others were known.
    pub(crate) chunks_embedded: usize,
    /// The weight of the vectors against the words that the given questions chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alpha: Option<f32>,
    /// The share of the nearest that `fast` and `balanced` find in an index of clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recall: Option<[f32; 2]>,
    /// Documents that tombstones keep out of answers.
    pub(crate) gone: usize,
    /// Files that are not in the index, and why.
    pub(crate) skipped: Vec<Remark>,
    /// Files and folders that are left out on purpose, and why.
    pub(crate) ignored: Vec<Remark>,
    /// Documents that are in the index, but not whole or not surely right.
    pub(crate) warnings: Vec<Remark>,
    /// Seconds per stage.
    pub(crate) seconds: Seconds,
}

/// Something to know about one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Remark {
    /// The file, as its source names it.
    pub(crate) source: String,
    /// What there is to know.
    pub(crate) reason: String,
}

/// What is to be known of an index whose searches, tuned as far as they can be, find less than is promised.
pub(crate) fn poor_recall(index: &str, reached: [f32; 2]) -> Vec<Remark> {
    let promised = [("fast", 0.95), ("balanced", 0.99)];
    let poor = promised.into_iter().zip(reached).filter(|((_, least), reached)| reached < least);
    let remark = |((name, least), reached): ((&str, f32), f32)| {
        let reason = format!(
            "searches with `recall: {name}` find {reached:.3} of the nearest vectors, less than the {least} that is promised; ask with `recall: exact`"
        );
        Remark { source: index.to_owned(), reason }
    };
    poor.map(remark).collect()
}

/// Seconds per stage.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Seconds {
    /// Listing the source.
    pub(crate) list: f64,
    /// Reading, extracting and chunking.
    pub(crate) extract: f64,
    /// Embedding.
    pub(crate) embed: f64,
    /// Writing the index.
    pub(crate) write: f64,
    /// All of it.
    pub(crate) total: f64,
}

impl Report {
    /// Writes it as JSON, in place of an earlier one.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        let path = followed(path);
        let cannot = || format!("{}: cannot write the report", path.display());
        // A device or a pipe is not replaced.
        if path.exists() && !path.is_file() {
            return std::fs::write(&path, json).with_context(cannot);
        }
        let replaced = aside(&path).and_then(|mut file| {
            file.write_all(json.as_bytes()).with_context(cannot)?;
            file.persist(&path).map(drop).with_context(cannot)
        });
        // A file that is mounted by itself, or whose folder is closed, can be written to and not replaced.
        replaced.or_else(|error| if path.is_file() { std::fs::write(&path, json).with_context(cannot) } else { Err(error) })
    }
}

/// Refuses a place for a report before the work that is reported: a mistyped name must not cost a document, nor a folder that is
/// not there the report.
///
/// # Errors
/// It is the place of the index, or there and no report, or its folder cannot be written to.
pub(crate) fn require_replaceable(path: &Path, out: &Path) -> Result<()> {
    let path = followed(path);
    if path == followed(out) {
        bail!("{}: the index is written there; name another file with `--report`", path.display());
    }
    let is_empty = || path.metadata().is_ok_and(|metadata| metadata.len() == 0);
    if path.is_dir() || (path.is_file() && !is_report(&path) && !is_empty()) {
        bail!("{}: exists and is no report; name another file with `--report`", path.display());
    }
    if path.is_file() {
        let opened = OpenOptions::new().append(true).open(&path);
        opened.map(drop).with_context(|| format!("{}: cannot write the report", path.display()))
    } else if !path.exists() {
        aside(&path).map(drop)
    } else {
        Ok(())
    }
}

/// A file beside the report, with which it is replaced.
fn aside(path: &Path) -> Result<NamedTempFile> {
    temporary(folder_of(path)).with_context(|| format!("{}: cannot write the report", path.display()))
}

/// Whether a file is a report, as far as its beginning says; a small one may have been written again by another program.
pub(crate) fn is_report(path: &Path) -> bool {
    const START_MAX_BYTES: u64 = 256 << 10;
    const FIELDS: [&str; 5] = ["index", "digest", "chunks_embedded", "skipped", "seconds"];
    let mut start = Vec::new();
    let mut read = || File::open(path)?.take(START_MAX_BYTES).read_to_end(&mut start);
    if !path.is_file() || read().is_err() {
        return false;
    }
    let start = String::from_utf8_lossy(&start);
    let is_as_written =
        start.starts_with("{\n  \"index\": \"") && start.lines().nth(2).is_some_and(|line| line.starts_with("  \"digest\": \""));
    let report = || serde_json::from_str::<Value>(&start);
    is_as_written || report().is_ok_and(|report| FIELDS.iter().all(|field| report.get(field).is_some()))
}

/// Lines of each kind of remark that the text shows; the JSON has them all.
const SHOWN_REMARKS: usize = 50;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, .. } = self;
        writeln!(f, "index     {} ({:.1} MB)", self.index, self.bytes as f64 / 1e6)?;
        writeln!(f, "digest    {}", self.digest)?;
        writeln!(f, "model     {}", self.model)?;
        writeln!(
            f,
            "documents {} of {} files ({} unchanged), {} pages",
            self.documents, self.files, self.documents_unchanged, self.pages
        )?;
        writeln!(
            f,
            "chunks    {} ({} embedded, {} known)",
            self.chunks,
            self.chunks_embedded,
            self.chunks - self.chunks_embedded
        )?;
        writeln!(
            f,
            "seconds   {:.1} (list {:.1}, extract {:.1}, embed {:.1}, write {:.1})",
            seconds.total, seconds.list, seconds.extract, seconds.embed, seconds.write
        )?;
        if let Some(alpha) = self.alpha {
            writeln!(f, "alpha     {alpha} (chosen by the questions)")?;
        }
        if let Some([fast, balanced]) = self.recall {
            writeln!(f, "recall    fast {fast:.3}, balanced {balanced:.3} of the ten nearest")?;
        }
        if self.gone > 0 {
            writeln!(
                f,
                "gone      {} documents, by tombstones; take them out of the source, or bring them back: `index-builder forget {} --undo DOCUMENT`",
                self.gone, self.index
            )?;
        }
        write_remarks(f, "warning", &self.warnings)?;
        write_remarks(f, "skipped", &self.skipped)?;
        let mut ignored: BTreeMap<&str, usize> = BTreeMap::new();
        self.ignored.iter().for_each(|Remark { reason, .. }| *ignored.entry(reason).or_default() += 1);
        ignored.iter().try_for_each(|(reason, count)| writeln!(f, "ignored   {count}: {reason}"))
    }
}

fn write_remarks(f: &mut fmt::Formatter<'_>, kind: &str, remarks: &[Remark]) -> fmt::Result {
    for Remark { source, reason } in remarks.iter().take(SHOWN_REMARKS) {
        writeln!(f, "{kind}   {}: {}", shown(source), shown(reason))?;
    }
    if remarks.len() > SHOWN_REMARKS {
        writeln!(f, "{kind}   and {} more; all of them are in the JSON report (`--report FILE`)", remarks.len() - SHOWN_REMARKS)?;
    }
    Ok(())
}

/// A name as a terminal may show it: on one line, and with nothing in it that terminals obey.
pub(crate) fn shown(name: &str) -> Cow<'_, str> {
    if name.contains(char::is_control) { name.replace(char::is_control, "\u{fffd}").into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn names_do_not_speak_to_the_terminal() {
        assert_eq!(shown("a\u{1b}]0;x\u{7}\nskipped   b.md"), "a\u{fffd}]0;x\u{fffd}\u{fffd}skipped   b.md");
        assert_eq!(shown("it's \"é\".pdf"), "it's \"é\".pdf");
    }

    #[test]
    fn an_index_that_finds_less_than_is_promised_is_told() {
        assert!(poor_recall("kb.omni", [0.95, 0.99]).is_empty());
        let remarks = poor_recall("kb.omni", [0.964, 0.97]);
        let expected = "searches with `recall: balanced` find 0.970 of the nearest vectors, less than the 0.99 that is promised; ask with `recall: exact`";
        assert_eq!(remarks, [Remark { source: "kb.omni".to_owned(), reason: expected.to_owned() }]);
    }

    #[test]
    fn every_skipped_file_is_named_with_its_reason() {
        let remark = |source: &str, reason: &str| Remark { source: source.to_owned(), reason: reason.to_owned() };
        let skipped: Vec<Remark> = (0..60).map(|n| remark(&format!("{n}.pdf"), "password-protected")).collect();
        let report = Report {
            index: "kb.omni".to_owned(),
            digest: "d".repeat(64),
            bytes: 1_500_000,
            model: "m".to_owned(),
            files: 62,
            documents: 2,
            documents_unchanged: 1,
            pages: 3,
            chunks: 10,
            chunks_embedded: 4,
            alpha: None,
            recall: Some([0.964, 0.996]),
            gone: 0,
            skipped,
            ignored: [".git", ".env", "a.txt"]
                .map(|path| remark(path, if path == "a.txt" { "left out" } else { "hidden" }))
                .to_vec(),
            warnings: Vec::new(),
            seconds: Seconds::default(),
        };
        let text = report.to_string();
        assert!(text.contains("documents 2 of 62 files (1 unchanged), 3 pages\n"), "{text}");
        assert!(text.contains("chunks    10 (4 embedded, 6 known)\n"), "{text}");
        assert!(text.contains("recall    fast 0.964, balanced 0.996 of the ten nearest\n"), "{text}");
        assert!(text.contains("skipped   49.pdf: password-protected\n"), "{text}");
        assert!(text.contains("skipped   and 10 more; all of them are in the JSON report (`--report FILE`)\n"), "{text}");
        assert!(text.ends_with("ignored   2: hidden\nignored   1: left out\n"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r");
        report.write(&path).unwrap();
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["skipped"].as_array().unwrap().len(), 60);
        assert!(is_report(&path));
        require_replaceable(&path, Path::new("kb.omni")).unwrap();
        std::fs::write(&path, json.to_string()).unwrap();
        assert!(is_report(&path));
        // In a folder where nothing new can be made, as with a file that is mounted by itself.
        let access = |mode| std::fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        access(0o555);
        require_replaceable(&path, Path::new("kb.omni")).unwrap();
        report.write(&path).unwrap();
        access(0o755);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("{\n"));
    }

    #[test]
    fn only_a_report_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str| {
            let error = require_replaceable(&folder.path().join(name), &folder.path().join("kb.omni")).unwrap_err();
            format!("{error}").replace(&*folder.path().to_string_lossy(), "D")
        };
        std::fs::write(folder.path().join("notes.json"), "{}").unwrap();
        assert_eq!(refused("notes.json"), "D/notes.json: exists and is no report; name another file with `--report`");
        assert_eq!(refused("."), "D/.: exists and is no report; name another file with `--report`");
        assert_eq!(refused("kb.omni"), "D/kb.omni: the index is written there; name another file with `--report`");
        assert_eq!(refused("none/r.json"), "D/none/r.json: cannot write the report");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        require_replaceable(Path::new("/dev/null"), Path::new("kb.omni")).unwrap();
    }
}
