//! The end of a build: the index, and the list of what is gone from it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use omni_retrieval::index::{self, Manifest, Writer};

use super::Prepared;
use super::listed::Listed;
use crate::cache::Key;
use crate::forget;
use crate::place::Aside;

/// An index that is ready to be written.
pub(crate) struct Unwritten<'a> {
    pub(crate) manifest: Manifest,
    pub(crate) documents: &'a [Prepared],
    pub(crate) vectors: &'a HashMap<Key, Vec<f32>>,
}

impl Unwritten<'_> {
    /// Writes it and says its digest.
    pub(crate) fn write(&self, path: &Path) -> Result<String> {
        let mut writer = Writer::new(self.manifest.clone());
        for prepared in self.documents {
            let document = writer.push_document(prepared.document.clone());
            for chunk in &prepared.chunks {
                let vector = self.vectors.get(&chunk.embedding_key).context("a chunk has no vector")?;
                let chunk = index::Chunk {
                    document,
                    text: chunk.text.as_str().into(),
                    start: chunk.start,
                    end: chunk.end,
                    page: chunk.page,
                    headings: &chunk.headings,
                };
                writer.push_chunk(&chunk, vector)?;
            }
        }
        Ok(writer.finish(path)?)
    }
}

/// Where an index went.
pub(super) struct Put {
    pub(super) path: PathBuf,
    pub(super) digest: String,
    /// Documents that tombstones keep out of answers.
    pub(super) gone: usize,
}

/// Writes the index to where `out` says, and its list of what is gone.
pub(super) fn put(index: &Unwritten<'_>, out: &Path, listed: &Listed) -> Result<Put> {
    // In a folder it is called by its digest, and is written aside until that is known.
    let unnamed = out.is_dir().then(|| Aside::of(out)).transpose()?;
    let written = unnamed.as_ref().map_or_else(|| out.to_owned(), Aside::index);
    let digest = index.write(&written)?;
    let path = if unnamed.is_none() { written.clone() } else { out.join(format!("{digest}.omni")) };
    // Before the index gets its name: nobody shall find it without its list.
    let gone = forget::carry_over(&written, &path, |uri| listed.has(uri))?;
    if unnamed.is_some() {
        std::fs::rename(&written, &path).with_context(|| format!("{}: cannot rename", path.display()))?;
    }
    Ok(Put { path, digest, gone })
}
