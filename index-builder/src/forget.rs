//! Takes documents out of an index at once, without building it again: the file of tombstones beside it is written.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};
use omni_llm::app::index_path;
use omni_llm::index::{Index, Tombstones};

/// Adds documents to the list of an index, or takes them off it, and says what is gone now.
///
/// # Errors
/// A document is not in the index, or the list there is for another one.
pub(crate) fn run(index: &Path, documents: &[String], undo: bool) -> Result<BTreeSet<String>> {
    let path = index_path(index)?;
    let index = Index::open(&path)?;
    let list = Tombstones::path(&path);
    let mut tombstones = Tombstones::read(&list)?.unwrap_or_default();
    if tombstones.documents.is_empty() {
        index.digest().clone_into(&mut tombstones.index);
    }
    // Says whether the list is this index's.
    index.bury(&tombstones)?;
    let known = sources(&index)?;
    for named in documents {
        let uris: Vec<&String> =
            known.iter().filter(|(uri, source)| uri == named || source == named).map(|(uri, _)| uri).collect();
        if uris.is_empty() {
            bail!("{}: no document `{named}`; name it as `omni-llm search` shows it, or by its whole address", path.display());
        }
        for uri in uris {
            if undo {
                tombstones.documents.remove(uri);
            } else {
                tombstones.documents.insert(uri.clone());
            }
        }
    }
    if !documents.is_empty() {
        tombstones.write(&list)?;
    }
    Ok(tombstones.documents)
}

/// After a build: documents that were gone and are still in the new index stay gone. Says how many those are.
pub(crate) fn carry_over(path: &Path) -> Result<usize> {
    let list = Tombstones::path(path);
    let Some(mut tombstones) = Tombstones::read(&list)? else { return Ok(0) };
    let index = Index::open(path)?;
    let mut kept = BTreeSet::new();
    for uri in tombstones.documents {
        if index.has_document(&uri)? {
            kept.insert(uri);
        }
    }
    index.digest().clone_into(&mut tombstones.index);
    tombstones.documents = kept;
    tombstones.write(&list)?;
    Ok(tombstones.documents.len())
}

/// Addresses and names of all documents.
fn sources(index: &Index) -> Result<Vec<(String, String)>> {
    let count = u32::try_from(index.document_count()).unwrap_or(u32::MAX);
    (0..count).map(|number| index.document(number).map(|document| (document.uri, document.source)).map_err(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use omni_llm::index::{Chunk, Document, Manifest, Query, Writer};

    use super::*;

    fn build(path: &Path, names: &[&str]) -> String {
        let mut writer = Writer::new(Manifest { dimensions: 1, ..Manifest::default() });
        for name in names {
            let uri = format!("s3://b/{name}");
            let document = writer.push_document(Document { uri, source: (*name).to_owned(), ..Document::default() });
            let chunk = Chunk { document, text: "word", start: 0, end: 4, page: None, headings: "" };
            writer.push_chunk(&chunk, &[1.0]).unwrap();
        }
        writer.finish(path).unwrap()
    }

    #[test]
    fn what_is_gone_stays_gone_until_it_is_undone_or_rebuilt_without() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kb.omni");
        build(&path, &["a", "b", "c"]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(run(&path, &names(&["a", "s3://b/c"]), false).unwrap().len(), 2);
        let found = |path: &Path| {
            let index = Index::open(path).unwrap();
            if let Some(tombstones) = Tombstones::read(&Tombstones::path(path)).unwrap() {
                index.bury(&tombstones).unwrap();
            }
            let hits = index.search(&Query { text: Some("word"), ..Query::default() }).unwrap();
            hits.iter().map(|hit| index.document(index.chunk(hit.chunk).unwrap().document).unwrap().source).collect::<Vec<_>>()
        };
        assert_eq!(found(&path), ["b"]);
        assert_eq!(run(&path, &names(&["a"]), true).unwrap().len(), 1);
        assert_eq!(found(&path), ["a", "b"]);
        let error = run(&path, &names(&["d"]), false).unwrap_err().to_string();
        assert!(error.ends_with("no document `d`; name it as `omni-llm search` shows it, or by its whole address"), "{error}");

        build(&path, &["a", "c", "d"]);
        let index = Index::open(&path).unwrap();
        let stale = Tombstones::read(&Tombstones::path(&path)).unwrap().unwrap();
        assert!(index.bury(&stale).unwrap_err().to_string().starts_with("tombstones: written for index "));
        assert_eq!(carry_over(&path).unwrap(), 1);
        assert_eq!(found(&path), ["a", "d"]);
        build(&path, &["a"]);
        assert_eq!(carry_over(&path).unwrap(), 0);
        // A service that still has the index before reads a list that is not its own, and keeps what it has.
        let empty = Tombstones::read(&Tombstones::path(&path)).unwrap().unwrap();
        assert!(empty.documents.is_empty());
        assert_eq!(empty.index, Index::open(&path).unwrap().digest());
        assert_eq!(found(&path), ["a"]);
    }
}
