//! An index in formats that other tools read, so that nobody is locked in.
//!
//! - `vectors.npy`: `float32`, one row a chunk (NumPy format 1.0); `ids.npy`: the chunks' names, fixed-width bytes
//! - `vectors.fbin`: u32 rows, u32 columns, then the rows as `float32` (what the billion-scale benchmarks read)
//! - `chunks.jsonl`: a line a chunk with its name, text, place and all that is known of its document
//!
//! Rows, ids and lines are in the same order. Vectors are those that the index searches: rounded to 8 bits, of length one. What was
//! taken out by `forget` is left out. Labels are exported as `access`: whoever can read the index file can read everything in it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use omni_retrieval::index::{Index, index_path};
use omni_retrieval::replace::replace;
use serde_json::json;

/// Bytes of a chunk's name.
const ID_BYTES: usize = 22;

/// What marks a folder that was exported into: its files hold the texts of all documents, labelled or not, and no build shall read
/// them.
const MARKER: &str = ".omni-export";

/// What files of an export are called.
const NAMES: [&str; 4] = ["vectors.npy", "ids.npy", "vectors.fbin", "chunks.jsonl"];

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// `vectors.npy` and `ids.npy`
    Npy,
    /// `vectors.fbin`
    Fbin,
    /// `chunks.jsonl`
    Jsonl,
}

/// Whether a file was exported.
pub(crate) fn is_export(path: &Path) -> bool {
    let is_named = path.file_name().is_some_and(|name| NAMES.iter().any(|own| name == *own));
    is_named && path.with_file_name(MARKER).exists()
}

/// Writes the files into a folder and says how many chunks they hold.
pub(crate) fn run(index: &Path, to: &Path, formats: &[Format]) -> Result<usize> {
    let path = index_path(index)?;
    let index = Index::open(&path)?;
    index.bury_beside(&path)?;
    std::fs::create_dir_all(to).with_context(|| format!("{}: cannot make the folder", to.display()))?;
    require_replaceable(to)?;
    file(to, MARKER, |_| Ok(()))?;
    let chunks = chunks(&index)?;
    let (rows, columns) = (chunks.len(), index.manifest().dimensions);
    for format in formats {
        match format {
            Format::Npy => {
                let head = npy_head("<f4", &format!("({rows}, {columns})"));
                file(to, "vectors.npy", |file| vectors(&index, &chunks, &head, file))?;
                let head = npy_head(&format!("|S{ID_BYTES}"), &format!("({rows},)"));
                file(to, "ids.npy", |file| ids(&index, &chunks, &head, file))?;
            }
            Format::Fbin => {
                let mut head = (rows as u32).to_le_bytes().to_vec();
                head.extend_from_slice(&(columns as u32).to_le_bytes());
                file(to, "vectors.fbin", |file| vectors(&index, &chunks, &head, file))?;
            }
            Format::Jsonl => file(to, "chunks.jsonl", |file| lines(&index, &chunks, file))?,
        }
    }
    // Nobody wrote into it meanwhile.
    index.require_whole()?;
    Ok(rows)
}

/// Refuses to write over files that no export wrote, and to mark them as exported.
fn require_replaceable(folder: &Path) -> Result<()> {
    let found = NAMES.iter().map(|name| folder.join(name)).find(|path| path.exists());
    if let Some(path) = found.filter(|path| !is_export(path)) {
        let remedy = "if an earlier `export` wrote it, make an empty file of that name there; or name another folder with `--to`";
        bail!("{}: exists, and its folder has no `{MARKER}`, which marks what was exported; {remedy}", path.display());
    }
    Ok(())
}

/// Writes a file, whole or not at all; what an export of it left that was killed, texts and all, is removed.
fn file(folder: &Path, name: &str, fill: impl FnOnce(&mut BufWriter<&mut File>) -> Result<()>) -> Result<()> {
    let path = folder.join(name);
    let write = |file: &mut File| {
        let mut file = BufWriter::new(file);
        fill(&mut file).map_err(io::Error::other)?;
        file.flush()
    };
    replace(&path, write).with_context(|| format!("{}: cannot write", path.display()))
}

/// The head of a NumPy file, padded so that the data begins at a multiple of 64 (NumPy's format 1.0).
fn npy_head(kind: &str, shape: &str) -> Vec<u8> {
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.push_str(&" ".repeat(padded - text.len() - 1));
    text.push('\n');
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend_from_slice(&(text.len() as u16).to_le_bytes());
    head.extend_from_slice(text.as_bytes());
    head
}

fn vectors(index: &Index, chunks: &[u32], head: &[u8], out: &mut impl Write) -> Result<()> {
    out.write_all(head)?;
    for &number in chunks {
        for value in index.vector(number)? {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(())
}

fn ids(index: &Index, chunks: &[u32], head: &[u8], out: &mut impl Write) -> Result<()> {
    out.write_all(head)?;
    for &number in chunks {
        let mut id = index.chunk_id(number)?.into_bytes();
        id.resize(ID_BYTES, 0);
        out.write_all(&id)?;
    }
    Ok(())
}

fn lines(index: &Index, chunks: &[u32], out: &mut impl Write) -> Result<()> {
    for &number in chunks {
        let chunk = index.chunk(number)?;
        let document = index.document(chunk.document)?;
        let line = json!({
            "id": chunk.id(&document.uri), "text": chunk.text, "source": document.source, "uri": document.uri,
            "title": document.title, "format": document.format, "page": chunk.page, "headings": chunk.headings,
            "start": chunk.start, "end": chunk.end, "namespace": document.namespace, "access": document.access,
            "metadata": document.metadata,
        });
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The chunks of documents that are not gone.
fn chunks(index: &Index) -> Result<Vec<u32>> {
    let mut chunks = Vec::with_capacity(index.len());
    for number in 0..u32::try_from(index.len()).unwrap_or(u32::MAX) {
        if !index.is_gone(index.chunk(number)?.document) {
            chunks.push(number);
        }
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use omni_retrieval::index::{Chunk, Document, Manifest, Writer};
    use serde_json::Value;

    use super::*;

    #[test]
    fn all_formats_hold_the_same_chunks_and_none_that_was_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = (folder.path().join("kb.omni"), folder.path().join("new/export"));
        let mut writer = Writer::new(Manifest { dimensions: 2, ..Manifest::default() });
        for (name, vector, text) in [("a", [1.0, 0.0], "first"), ("b", [0.0, 1.0], "gone"), ("c", [0.6, -0.8], "third, \"é\"")] {
            let source = format!("{name}.md");
            let described =
                Document { uri: format!("s3://b/{source}"), source, access: vec!["hr".into()], ..Document::default() };
            let document = writer.push_document(described);
            let chunk = Chunk { document, text: text.into(), start: 3, end: 8, page: Some(2), headings: "One" };
            writer.push_chunk(&chunk, &vector).unwrap();
        }
        writer.finish(&path).unwrap();
        crate::forget::run(&path, &["b.md".to_owned()], false).unwrap();
        assert_eq!(run(&path, &to, &[Format::Npy, Format::Fbin, Format::Jsonl]).unwrap(), 2);
        assert!(std::fs::read_dir(&to).unwrap().all(|file| {
            let file = file.unwrap().path();
            is_export(&file) || file.ends_with(MARKER)
        }));
        let read = |name: &str| std::fs::read(to.join(name)).unwrap();

        let index = Index::open(&path).unwrap();
        let wanted: Vec<f32> = [0, 2].into_iter().flat_map(|number| index.vector(number).unwrap()).collect();
        for (value, given) in wanted.iter().zip([1.0, 0.0, 0.6, -0.8]) {
            assert!((value - given).abs() < 0.01, "{wanted:?}");
        }
        let floats = |bytes: &[u8]| bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect::<Vec<_>>();
        let (npy, fbin) = (read("vectors.npy"), read("vectors.fbin"));
        let head = npy_head("<f4", "(2, 2)");
        assert_eq!((&npy[..head.len()], floats(&npy[head.len()..])), (&head[..], wanted.clone()));
        assert_eq!((&fbin[..8], floats(&fbin[8..])), (&[2, 0, 0, 0, 2, 0, 0, 0][..], wanted));

        let lines = String::from_utf8(read("chunks.jsonl")).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids = read("ids.npy");
        let head = npy_head("|S22", "(2,)");
        assert!(ids.starts_with(&head));
        let names: Vec<&str> = ids[head.len()..].chunks(ID_BYTES).map(|id| std::str::from_utf8(id).unwrap()).collect();
        let names: Vec<&str> = names.iter().map(|name| name.trim_end_matches('\0')).collect();
        assert_eq!(names, lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>());
        assert_eq!(names, [index.chunk_id(0).unwrap(), index.chunk_id(2).unwrap()]);
        let third = json!({
            "id": names[1], "text": "third, \"é\"", "source": "c.md", "uri": "s3://b/c.md", "title": "", "format": "", "page": 2,
            "headings": "One", "start": 3, "end": 8, "namespace": null, "access": ["hr"], "metadata": {},
        });
        assert_eq!(lines[1], third);
    }

    #[test]
    fn what_was_not_exported_is_left_alone_and_what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chunks.jsonl");
        std::fs::write(&path, "years of work").unwrap();
        let refused = require_replaceable(folder.path()).unwrap_err().to_string();
        let expected = "/chunks.jsonl: exists, and its folder has no `.omni-export`, which marks what was exported; \
            if an earlier `export` wrote it, make an empty file of that name there; or name another folder with `--to`";
        assert!(refused.ends_with(expected), "{refused}");
        std::fs::write(folder.path().join(MARKER), "").unwrap();
        require_replaceable(folder.path()).unwrap();
        let full = |out: &mut BufWriter<&mut File>| {
            out.write_all(b"half")?;
            bail!("no space left")
        };
        let failed = format!("{:#}", file(folder.path(), "chunks.jsonl", full).unwrap_err());
        assert!(failed.ends_with("/chunks.jsonl: cannot write: no space left"), "{failed}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "years of work");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_killed_export_left_is_removed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let other = folder.join(".chunks.jsonl.other1.partial");
        let held = File::create(&other).unwrap();
        held.lock().unwrap();
        let fill = |out: &mut BufWriter<&mut File>| {
            let hidden = std::fs::read_dir(folder)?.filter_map(|file| Some(file.ok()?.file_name().into_string().unwrap()));
            // A copy of what a kill now would leave.
            let own = hidden.into_iter().find(|name| *name != ".chunks.jsonl.other1.partial").unwrap();
            std::fs::write(folder.join(own.replace(".partial", "left.partial")), "salaries")?;
            Ok(out.write_all(b"first")?)
        };
        file(folder, "chunks.jsonl", fill).unwrap();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3);
        file(folder, "chunks.jsonl", |out| Ok(out.write_all(b"second")?)).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("chunks.jsonl")).unwrap(), "second");
        assert!(std::fs::read_dir(folder).unwrap().count() == 2 && other.exists(), "the other one is being written");
    }

    #[test]
    fn a_numpy_head_is_what_numpy_writes() {
        let head = npy_head("<f4", "(3, 384)");
        assert_eq!(head.len() % 64, 0);
        assert_eq!(&head[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(usize::from(u16::from_le_bytes([head[8], head[9]])), head.len() - 10);
        let text = std::str::from_utf8(&head[10..]).unwrap();
        assert!(text.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 384), }") && text.ends_with(" \n"));
    }
}
