//! What a build did: for people as text, for machines as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

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
                "gone      {} documents, by tombstones; take them out of the source, or run `index-builder forget --undo`",
                self.gone
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
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["skipped"].as_array().unwrap().len(), 60);
    }
}
