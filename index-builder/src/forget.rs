//! Takes documents out of an index at once, without building it again: the file of tombstones beside it is written.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use omni_retrieval::index::{Index, Tombstones, index_path};

use crate::metadata::composed;
use crate::place::{alone, folder_of};
use crate::report::Remark;

/// What the name of a list ends with.
const LIST: &str = ".omni.tombstones";

/// Adds documents to the list of an index, or takes them off it, and says what is gone now. A list that was written for another
/// index becomes this one's: what was gone stays gone.
///
/// # Errors
/// A document is not in the index.
pub(crate) fn run(index: &Path, documents: &[String], undo: bool) -> Result<BTreeSet<String>> {
    let path = index_path(index)?;
    let index = Index::open(&path)?;
    let list = Tombstones::path(&path);
    let _alone = alone(folder_of(&list));
    let mut tombstones = Tombstones::read(&list)?.unwrap_or_default();
    let is_of_another = tombstones.index != index.digest();
    if is_of_another {
        tombstones = inherited(&index, [tombstones], |_| true)?;
    }
    let sources = sources(&index)?;
    // A list may name what is not in this index.
    let listed = tombstones.documents.iter().chain(&tombstones.skipped).filter(|_| undo);
    let mut known: HashMap<String, Vec<&String>> = HashMap::new();
    for (uri, name) in sources.iter().flat_map(|(uri, source)| [(uri, uri), (uri, source)]).chain(listed.map(|uri| (uri, uri))) {
        known.entry(composed(name)).or_default().push(uri);
    }
    let mut uris = BTreeSet::new();
    for named in documents {
        let Some(meant) = known.get(&composed(named)) else {
            bail!("{}: no document `{named}`; name it as `omni-llm search` shows it, or by its whole address", path.display());
        };
        uris.extend(meant.iter().copied().cloned());
    }
    if undo {
        take_off(&mut tombstones, &uris);
    } else {
        tombstones.documents.extend(uris.iter().cloned());
    }
    if !documents.is_empty() || is_of_another && list.exists() {
        tombstones.write(&list)?;
    }
    if undo {
        bring_back(&list, &uris)?;
    }
    Ok(tombstones.documents.into_iter().chain(tombstones.skipped).collect())
}

/// Takes documents off the other lists that a rebuild reads, too.
fn bring_back(list: &Path, uris: &BTreeSet<String>) -> Result<()> {
    if uris.is_empty() {
        return Ok(());
    }
    for other in lists(list)?.iter().filter(|other| *other != list) {
        let Some(mut tombstones) = Tombstones::read(other)? else { continue };
        take_off(&mut tombstones, uris);
        tombstones.write(other)?;
    }
    Ok(())
}

fn take_off(tombstones: &mut Tombstones, uris: &BTreeSet<String>) {
    for list in [&mut tombstones.documents, &mut tombstones.skipped] {
        list.retain(|uri| !uris.contains(uri));
    }
}

/// Refuses lists that [`carry_over`] would read after a build and cannot, before the work.
///
/// # Errors
/// One of them cannot be read.
pub(crate) fn require_readable(out: &Path) -> Result<()> {
    // In a folder it will be called by its digest, and all such names have the same lists.
    let path = if out.is_dir() { out.join(format!("{:064}.omni", 0)) } else { out.to_owned() };
    lists(&Tombstones::path(&path))?.iter().try_for_each(|list| Ok(Tombstones::read(list).map(drop)?))
}

/// After a build into `written`, which will be called `path`: documents that were gone stay gone, those in the new index now, those
/// that are only still in the source (`is_there`) once they can be read again. Says how many of the new index are gone.
///
/// # Errors
/// A list of the index before cannot be read, or the new one not be written.
pub(crate) fn carry_over(written: &Path, path: &Path, is_there: impl Fn(&str) -> bool) -> Result<usize> {
    let list = Tombstones::path(path);
    let _alone = alone(folder_of(&list));
    let before = lists(&list)?;
    if before.is_empty() {
        return Ok(0);
    }
    let index = Index::open(written)?;
    let before = before.iter().filter_map(|list| Tombstones::read(list).transpose()).collect::<Result<Vec<_>, _>>()?;
    let tombstones = inherited(&index, before, is_there)?;
    tombstones.write(&list)?;
    Ok(tombstones.documents.len())
}

/// Lists of other indexes beside a new one without a list that name documents of it: under a new name they would come back, and
/// nobody would notice.
///
/// # Errors
/// The folder or the index cannot be read.
pub(crate) fn not_carried_over(path: &Path) -> Result<Vec<Remark>> {
    let own = Tombstones::path(path);
    let mut remarks = Vec::new();
    if own.exists() {
        return Ok(remarks);
    }
    for list in beside(&own)? {
        let Ok(Some(tombstones)) = Tombstones::read(&list) else { continue };
        let found = inherited(&Index::open(path)?, [tombstones], |_| false)?.documents.len();
        if found > 0 {
            let (list, own, path) = (list.display(), own.display(), path.display());
            remarks.push(Remark {
                source: list.to_string(),
                reason: format!(
                    "{found} of the documents that it names are in this index and will be found; if it replaces that one: `cp {list} {own} && index-builder forget {path}`"
                ),
            });
        }
    }
    Ok(remarks)
}

/// What lists of other indexes mean for this one.
fn inherited(index: &Index, lists: impl IntoIterator<Item = Tombstones>, is_there: impl Fn(&str) -> bool) -> Result<Tombstones> {
    let mut tombstones = Tombstones { index: index.digest().to_owned(), ..Tombstones::default() };
    for uri in lists.into_iter().flat_map(|list| list.documents.into_iter().chain(list.skipped)) {
        if index.has_document(&uri)? {
            tombstones.documents.insert(uri);
        } else if is_there(&uri) {
            tombstones.skipped.insert(uri);
        }
    }
    Ok(tombstones)
}

/// The lists that apply to the index being replaced: its own or, where indexes are named by digest, all in the folder.
fn lists(list: &Path) -> Result<Vec<PathBuf>> {
    let is_named_by_digest = |path: &Path| {
        let name = path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_suffix(LIST));
        name.is_some_and(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if !is_named_by_digest(list) {
        return Ok(if list.exists() { vec![list.to_owned()] } else { Vec::new() });
    }
    let mut lists = beside(list)?;
    lists.retain(|path| is_named_by_digest(path));
    Ok(lists)
}

/// All lists in the folder of one, sorted.
fn beside(list: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder_of(list))?.map(|entry| entry.map(|entry| entry.path()));
    let mut lists: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    // What begins with a dot is being written.
    let is_list = |name: &str| name.ends_with(LIST) && !name.starts_with('.');
    lists.retain(|path| path.file_name().and_then(OsStr::to_str).is_some_and(is_list));
    lists.sort();
    Ok(lists)
}

/// Addresses and names of all documents.
fn sources(index: &Index) -> Result<Vec<(String, String)>> {
    index.documents().map(|document| document.map(|(_, document)| (document.uri, document.source)).map_err(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use omni_retrieval::index::{Chunk, Document, Manifest, Query, Writer};

    use super::*;

    fn build(path: &Path, names: &[&str]) -> String {
        let mut writer = Writer::new(Manifest { dimensions: 1, ..Manifest::default() });
        for name in names {
            let uri = format!("s3://b/{name}");
            let document = writer.push_document(Document { uri, source: (*name).to_owned(), ..Document::default() });
            let chunk = Chunk { document, text: "word".into(), start: 0, end: 4, page: None, headings: "" };
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
        let refusal = index.bury(&stale).unwrap_err().to_string();
        assert!(refusal.contains("`index-builder forget INDEX` keeps what it names gone"), "{refusal}");
        assert_eq!(run(&path, &[], false).unwrap().into_iter().collect::<Vec<_>>(), ["s3://b/c"]);
        assert_eq!(found(&path), ["a", "d"]);
        stale.write(&Tombstones::path(&path)).unwrap();
        assert_eq!(carry_over(&path, &path, |_| false).unwrap(), 1);
        assert_eq!(found(&path), ["a", "d"]);
        build(&path, &["a"]);
        assert_eq!(carry_over(&path, &path, |_| false).unwrap(), 0);
        // A service that still has the index before reads a list that is not its own, and keeps what it has.
        let empty = Tombstones::read(&Tombstones::path(&path)).unwrap().unwrap();
        assert!(empty.documents.is_empty());
        assert_eq!(empty.index, Index::open(&path).unwrap().digest());
        assert_eq!(found(&path), ["a"]);
    }

    #[test]
    fn what_a_rebuild_could_not_read_is_gone_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kb.omni");
        let gone = |path: &Path| Tombstones::read(&Tombstones::path(path)).unwrap().unwrap();
        build(&path, &["a", "b", "c"]);
        run(&path, &["a".to_owned(), "b".to_owned()], false).unwrap();
        // `a` was skipped, `b` was removed from the source.
        build(&path, &["c"]);
        assert_eq!(carry_over(&path, &path, |uri| uri == "s3://b/a").unwrap(), 0);
        assert_eq!(gone(&path).skipped.len(), 1);
        Index::open(&path).unwrap().bury(&gone(&path)).unwrap();
        assert_eq!(run(&path, &[], false).unwrap().into_iter().collect::<Vec<_>>(), ["s3://b/a"]);
        build(&path, &["a", "b", "c"]);
        assert_eq!(carry_over(&path, &path, |_| true).unwrap(), 1);
        assert_eq!(gone(&path).documents.into_iter().collect::<Vec<_>>(), ["s3://b/a"]);
        assert_eq!(gone(&path).skipped.len(), 0);
        // Whoever wants it back need not wait for it.
        build(&path, &["c"]);
        carry_over(&path, &path, |_| true).unwrap();
        assert_eq!(run(&path, &["s3://b/a".to_owned()], true).unwrap().len(), 0);
    }

    #[test]
    fn an_index_that_is_called_by_its_digest_takes_the_lists_beside_it_over() {
        let folder = tempfile::tempdir().unwrap();
        let named = |names: &[&str]| {
            let digest = build(&folder.path().join("new.omni"), names);
            let path = folder.path().join(format!("{digest}.omni"));
            std::fs::rename(folder.path().join("new.omni"), &path).unwrap();
            path
        };
        let first = named(&["a", "b"]);
        run(&first, &["a".to_owned()], false).unwrap();
        let second = named(&["a", "b", "c"]);
        assert_eq!(carry_over(&second, &second, |_| true).unwrap(), 1);
        let third = named(&["b", "c"]);
        assert_eq!(carry_over(&third, &third, |_| false).unwrap(), 0);
        let gone = |path: &Path| Tombstones::read(&Tombstones::path(path)).unwrap().unwrap().documents;
        assert_eq!(gone(&second).len(), 1);
        // What was forgotten since stays so in an index that is again the first one.
        run(&second, &["b".to_owned()], false).unwrap();
        assert_eq!(named(&["a", "b"]), first);
        assert_eq!(carry_over(&first, &first, |_| true).unwrap(), 2);
        // And what was brought back comes back everywhere.
        run(&first, &["a".to_owned(), "b".to_owned()], true).unwrap();
        assert_eq!(carry_over(&second, &second, |_| true).unwrap(), 0);
        assert!(gone(&first).is_empty() && gone(&second).is_empty());
    }

    #[test]
    fn a_link_and_the_file_it_leads_to_have_one_list() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let is_gone = |path: &Path| {
            let index = Index::open(path).unwrap();
            index.bury_beside(path).unwrap();
            index.is_gone(0)
        };
        build(&at("1.omni"), &["a", "b"]);
        std::os::unix::fs::symlink("1.omni", at("current.omni")).unwrap();
        run(&at("1.omni"), &["a".to_owned()], false).unwrap();
        assert!(is_gone(&at("current.omni")));
        run(&at("1.omni"), &["a".to_owned()], true).unwrap();
        run(&at("current.omni"), &["a".to_owned()], false).unwrap();
        assert!(is_gone(&at("1.omni")) && !at("current.omni.tombstones").exists());
        // A build follows the link, too.
        let out = crate::place::followed(&at("current.omni"));
        build(&out, &["a", "c"]);
        assert_eq!(carry_over(&out, &out, |_| true).unwrap(), 1);
        assert!(is_gone(&at("1.omni")) && at("current.omni").is_symlink());
        // Under a new name nothing is carried over, but said.
        build(&at("2.omni"), &["a", "b"]);
        assert_eq!(carry_over(&at("2.omni"), &at("2.omni"), |_| true).unwrap(), 0);
        let remarks = not_carried_over(&at("2.omni")).unwrap();
        assert!(remarks[0].reason.starts_with("1 of the documents that it names are in this index and will be found; "));
        std::fs::copy(at("1.omni.tombstones"), at("2.omni.tombstones")).unwrap();
        run(&at("2.omni"), &[], false).unwrap();
        assert!(is_gone(&at("2.omni")) && not_carried_over(&at("2.omni")).unwrap().is_empty());
    }

    #[test]
    fn a_name_is_meant_however_it_is_written_and_whatever_the_list_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kb.omni");
        // As HFS+ writes it.
        let digest = build(&path, &["U\u{308}bersicht.md"]);
        assert_eq!(run(&path, &["Übersicht.md".to_owned()], false).unwrap().len(), 1);
        let index = Index::open(&path).unwrap();
        index.bury_beside(&path).unwrap();
        assert!(index.is_gone(0));
        let documents = ["nope.md".to_owned()].into();
        Tombstones { index: digest, documents, ..Tombstones::default() }.write(&Tombstones::path(&path)).unwrap();
        let refusal = index.bury_beside(&path).unwrap_err().to_string();
        assert!(
            refusal.ends_with("no document `nope.md` in the index; `index-builder forget INDEX --undo` takes it out of the list")
        );
        assert!(run(&path, &["nope.md".to_owned()], true).unwrap().is_empty());
        index.bury_beside(&path).unwrap();
    }

    #[test]
    fn a_list_of_another_index_keeps_gone_what_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kb.omni");
        build(&path, &["a", "b"]);
        let skipped = ["s3://b/a".to_owned()].into();
        let foreign = Tombstones { index: "0".repeat(64), skipped, ..Tombstones::default() };
        foreign.write(&Tombstones::path(&path)).unwrap();
        Index::open(&path).unwrap().bury(&foreign).unwrap_err();
        let gone = run(&path, &["b".to_owned()], false).unwrap();
        assert_eq!(gone.into_iter().collect::<Vec<_>>(), ["s3://b/a", "s3://b/b"]);
        let list = Tombstones::read(&Tombstones::path(&path)).unwrap().unwrap();
        Index::open(&path).unwrap().bury(&list).unwrap();
        // What is not in this index waits until it is.
        let foreign = Tombstones { documents: ["s3://b/c".to_owned()].into(), ..foreign };
        foreign.write(&Tombstones::path(&path)).unwrap();
        assert_eq!(run(&path, &[], false).unwrap().into_iter().collect::<Vec<_>>(), ["s3://b/a", "s3://b/c"]);
    }
}
