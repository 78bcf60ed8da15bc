//! What an index file holds, for people.

use std::path::Path;

use omni_llm::error::Result;
use omni_llm::index::{Index, index_path};

/// Documents that tombstones keep out of answers and that are named.
const SHOWN_GONE: usize = 10;

/// Describes an index file, a fact a line; with `verify` every byte of it is read first.
///
/// # Errors
/// There is no such index, or it is damaged.
pub(crate) fn inspect(file: &Path, verify: bool) -> Result<String> {
    let path = index_path(file)?;
    let index = Index::open(&path)?;
    index.bury_beside(&path)?;
    let manifest = index.manifest();
    let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let (mut formats, mut gone) = (std::collections::BTreeMap::<String, usize>::new(), Vec::new());
    for document in index.documents() {
        let (number, document) = document?;
        *formats.entry(document.format).or_default() += 1;
        if index.is_gone(number) {
            gone.push(document.source);
        }
    }
    let formats: Vec<String> = formats.iter().map(|(format, count)| format!("{count} {format}")).collect();
    let lexical = manifest.lexical;
    let mut text = format!(
        "file       {} ({bytes} bytes)\ndigest     {}\nbuilder    {}\nmodel      {}{} ({}, {} dimensions)\ndocuments  {} ({})\nchunks     {}\nchunking   {}\nwords      BM25 k1 {} b {}, stemming {}, stop words {}\n",
        path.display(),
        index.digest(),
        manifest.builder,
        manifest.provider.as_ref().map(|provider| format!("{provider}/")).unwrap_or_default(),
        manifest.model,
        manifest.model_fingerprint,
        manifest.dimensions,
        index.document_count(),
        formats.join(", "),
        index.len(),
        manifest.chunking,
        lexical.k1,
        lexical.b,
        if lexical.stemming { "on" } else { "off" },
        if lexical.stop_words { "left out" } else { "kept" },
    );
    let fields = index.fields()?.into_iter().map(|field| {
        let values = if field.values == 1 { "value" } else { "values" };
        format!("{} ({}, {} {values})", field.name, field.kind.as_str(), field.values)
    });
    let namespaces: Vec<String> = index.namespaces()?.into_iter().map(|(name, count)| format!("{count} {name}")).collect();
    text.push_str(&format!("fields     {}\n", fields.collect::<Vec<_>>().join(", ")));
    text.push_str(&format!("namespaces {}\n", namespaces.join(", ")));
    if manifest.labelled {
        let labels: Vec<String> = index.labels()?.into_iter().map(|(label, count)| format!("{count} {label}")).collect();
        text.push_str(&format!("access     for callers with labels only: {}\n", labels.join(", ")));
    }
    if let Some([fast, balanced]) = index.recall()? {
        text.push_str(&format!("recall     fast {fast:.3}, balanced {balanced:.3} of the ten nearest, when it was built\n"));
    }
    if let Some(alpha) = manifest.alpha {
        text.push_str(&format!("alpha      {alpha}\n"));
    }
    if !gone.is_empty() {
        text.push_str(&format!(
            "gone       {} documents, by tombstones: {}",
            gone.len(),
            gone[..gone.len().min(SHOWN_GONE)].join(", ")
        ));
        text.push_str(if gone.len() > SHOWN_GONE { ", ...; `index-builder forget INDEX` lists them all\n" } else { "\n" });
    }
    if verify {
        index.verify()?;
        text.push_str("verified   every byte\n");
    }
    Ok(text)
}
