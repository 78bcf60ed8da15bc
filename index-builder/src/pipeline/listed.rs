//! What the source holds: documents, what is known of them beside, and what stays out of the index.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};

use super::{Build, Prepared};
use crate::metadata::{self, Fields, composed};
use crate::report::{Remark, shown};
use crate::source::{Entry, Ignored, Listing, READ_AHEAD_BYTES, Reason};

/// What the source holds.
pub(super) struct Listed {
    /// The documents.
    pub(super) entries: Vec<Entry>,
    /// What the files beside documents say of them, or why they cannot be understood: then the document is left out, because it
    /// may have been closed to most. By the document's name as the file has it.
    sidecars: HashMap<String, Result<Fields, String>>,
    /// Those names, by what they are in composed letters: the document may write its accents otherwise.
    spellings: HashMap<String, String>,
    /// Files and folders that cannot be read.
    unreadable: Vec<(String, Reason)>,
    /// What is left out on purpose.
    pub(super) ignored: Vec<(String, Ignored)>,
}

impl Listed {
    pub(super) fn of(build: &Build) -> Result<Self> {
        let Listing { entries, skipped: unreadable, ignored, .. } = build.source.list()?;
        let (beside, entries) = apart(entries);
        let read = build.source.read_all(&beside, 1, READ_AHEAD_BYTES, |_, content| {
            let content = content.map_err(|reason| format!("its `.metadata.json`: {reason}"));
            Ok(content.and_then(|content| metadata::read_sidecar(&content.bytes)))
        })?;
        let mut sidecars = HashMap::new();
        let mut spellings = HashMap::new();
        for (entry, fields) in beside.iter().zip(read) {
            let Some(document) = metadata::sidecar_of(&entry.source) else { continue };
            // Nobody knows which of two is meant.
            let several = Err("has several files `.metadata.json`, in other letters each; keep one".to_owned());
            spellings.insert(composed(document), document.to_owned());
            sidecars.entry(document.to_owned()).and_modify(|known| *known = several).or_insert(fields);
        }
        for (source, reason) in &unreadable {
            if let Some(document) = metadata::sidecar_of(source) {
                spellings.insert(composed(document), document.to_owned());
                sidecars.insert(document.to_owned(), Err(format!("its `.metadata.json`: {reason}")));
            }
        }
        Ok(Self { entries, sidecars, spellings, unreadable, ignored })
    }

    /// What the file beside a document says of it, and the document's name as that file has it: the very same, or else one whose
    /// accents are written otherwise.
    pub(super) fn sidecar(&self, document: &str) -> Option<(&String, &Result<Fields, String>)> {
        let otherwise = || self.sidecars.get_key_value(self.spellings.get(&composed(document))?);
        self.sidecars.get_key_value(document).or_else(otherwise)
    }

    /// What the source holds besides the documents, and another build may read: what cannot be read, and what globs leave out.
    pub(super) fn absent(&self) -> impl Iterator<Item = &str> {
        let unselected = self.ignored.iter().filter(|(_, why)| why.by_selection()).map(|(path, _)| path.as_str());
        // What has no name explains nothing: as a folder it would hold all.
        self.unreadable.iter().map(|(path, _)| path.as_str()).chain(unselected).filter(|path| !path.is_empty())
    }

    /// The documents, as the source names them.
    pub(super) fn documents(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.source.as_str())
    }

    /// Files beside documents that are not there.
    fn orphans(&self) -> impl Iterator<Item = (&String, &Result<Fields, String>)> {
        let known: HashSet<&String> = self.documents().filter_map(|document| Some(self.sidecar(document)?.0)).collect();
        self.sidecars.iter().filter(move |(document, _)| !known.contains(document))
    }

    /// Refuses files beside no document that have labels.
    ///
    /// # Errors
    /// There is one: what it should close would be open.
    pub(super) fn require_labelled(&self) -> Result<()> {
        let is_absent = |document: &str| self.absent().any(|source| metadata::covers(&composed(source), &composed(document)));
        let labelled = self.orphans().filter(|(_, fields)| fields.as_ref().is_ok_and(metadata::has_access));
        if let Some(document) = labelled.map(|(document, _)| document).filter(|document| !is_absent(document)).min() {
            let is_link = self.is_link(document);
            let document = shown(document);
            if is_link {
                bail!("{document}.metadata.json: `{document}` is a link; put the file beside its target");
            }
            bail!(
                "{document}.metadata.json: there is no `{document}`, and its `access` would close nothing; call it as the whole document with `.metadata.json` behind (`guide.pdf.metadata.json`), or remove it"
            );
        }
        Ok(())
    }

    /// Whether it leads to a document that is read under its own name.
    fn is_link(&self, document: &str) -> bool {
        self.ignored.iter().any(|(path, why)| *why == Ignored::Linked && composed(path) == composed(document))
    }

    /// Whether the source still has the document at `uri`, readable and wanted or not.
    pub(super) fn has(&self, uri: &str) -> bool {
        self.entries.iter().any(|entry| entry.uri == uri) || self.absent().any(|source| may_hold(source, uri))
    }
}

/// Files of metadata beside documents, and the documents.
pub(crate) fn apart(entries: Vec<Entry>) -> (Vec<Entry>, Vec<Entry>) {
    entries.into_iter().partition(|entry| metadata::sidecar_of(&entry.source).is_some())
}

/// What goes into the index, and what does not and why.
pub(super) fn sort_out(listed: &Listed, prepared: Vec<Result<Prepared, String>>) -> (Vec<Prepared>, Vec<Remark>) {
    let mut skipped: Vec<Remark> =
        listed.unreadable.iter().map(|(source, reason)| Remark { source: source.clone(), reason: reason.to_string() }).collect();
    skipped.extend(listed.orphans().map(|(document, _)| Remark {
        source: format!("{document}.metadata.json"),
        reason: match listed.is_link(document) {
            true => format!("`{document}` is a link; put the file beside its target"),
            false => format!("says what is known of `{document}`, which is not there"),
        },
    }));
    let mut documents = Vec::new();
    for (entry, outcome) in listed.entries.iter().zip(prepared) {
        match outcome {
            Ok(document) => documents.push(document),
            Err(reason) => skipped.push(Remark { source: entry.source.clone(), reason }),
        }
    }
    skipped.sort();
    (documents, skipped)
}

/// Whether the document at `uri` may be what was skipped, a file or a folder, as its source names it.
fn may_hold(skipped: &str, uri: &str) -> bool {
    let uri = format!("/{uri}/");
    uri.contains(&format!("/{skipped}/"))
}
