//! [`Document`] to chunks: one file a way to plan the cuts.
//!
//! A strategy only says where a document may be cut ([`plan`]); how large chunks are and how they overlap is decided in one place
//! ([`pack`]) over the document's words ([`atom`]). So every promise below holds for all strategies:
//!
//! - a chunk is an exact slice of the text, not blank; chunks ascend, and every character that is not white space is in one, but
//!   for [`quiet`] stretches that would be chunks of their own;
//! - no chunk is over `chunk_size`, nor, with its heading path, over what the embedding model reads;
//! - inside one region (a section, for `structure`) a chunk repeats the end of the one before it: see [`pack`] for the exact
//!   rule;
//! - page and headings are those of the chunk's first byte; `structure` never crosses a section.

mod atom;
mod context;
mod pack;
mod plan;
mod quiet;
mod recursive;
mod semantic;
mod settings;
mod structure;
#[cfg(test)]
mod tests;

use std::ops::Range;

use omni_retrieval::embed::Tokenizer;
use omni_retrieval::error::Result;

pub(crate) use atom::Unit;
pub(crate) use semantic::distances;
pub(crate) use settings::{Given, Settings, Strategy};

use crate::extract::Document;
use atom::{Atoms, Limit};
use pack::{Bounds, Packer};
use plan::Plan;
use semantic::Distances;

/// A stretch of a document that is embedded, searched and shown as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Bytes of the document's text.
    pub(crate) span: Range<usize>,
    /// The page that it begins on, where the format has pages.
    pub(crate) page: Option<u32>,
    /// The headings that it begins under, outermost first.
    pub(crate) headings: Vec<String>,
    /// `Title > H1 > H2`, and below it the columns of a table whose later rows the chunk begins with: put before the text for
    /// embedding, never part of it.
    pub(crate) context: String,
    /// Tokens of the text alone.
    pub(crate) tokens: usize,
}

/// Cuts a document. `distances` is called by `semantic` only, with windows of a few sentences.
///
/// # Errors
/// `distances` failed.
pub(crate) fn split(
    document: &Document,
    settings: &Settings,
    tokenizer: &Tokenizer,
    distances: Distances<'_>,
) -> Result<Vec<Chunk>> {
    let text = document.text.as_str();
    let mut plan = match settings.strategy {
        // No place is better than another: the last word that fits.
        Strategy::FixedSize | Strategy::Token => Plan::default(),
        Strategy::Character | Strategy::Recursive => recursive::plan(text, &settings.separators),
        Strategy::Semantic => semantic::plan(document),
        Strategy::Structure => structure::plan(document),
    };
    let atoms = Atoms::new(text, &plan.cuts(), tokenizer);
    let bounds = Bounds {
        size: settings.size_limit(),
        overlap: settings.overlap_limit(),
        minimum: settings.minimum(),
        unit: settings.unit,
    };
    let mut ranks = plan.ranks(&atoms);
    if matches!(settings.strategy, Strategy::Structure | Strategy::Semantic) {
        keep_blocks(document, &atoms, &bounds, &mut ranks);
    }
    if settings.strategy == Strategy::Semantic {
        let is_enough = |span: Range<usize>| {
            let run = atoms.at(span.start)..atoms.at(span.end);
            atoms.size(&run, settings.unit) >= bounds.minimum
        };
        plan.borders = semantic::borders(document, &plan, is_enough, distances)?;
    }

    let packer = Packer { atoms: &atoms, ranks: &ranks, bounds: &bounds };
    let mut paths = Paths { document, tokenizer, last: None };
    let stretches = quiet::stretches(document);
    let mut chunks = Vec::new();
    let mut says_something = Vec::new();
    let mut done = 0;
    let starts = std::iter::once(0).chain(plan.borders.iter().copied().filter(|&border| border > 0));
    let ends = plan.borders.iter().copied().filter(|&border| border > 0).chain([text.len()]);
    for (start, end) in starts.zip(ends) {
        let region = atoms.at(start)..atoms.at(end);
        for run in packer.pack(&region) {
            let span = atoms.span(&run);
            let span = span.start.max(start)..span.end;
            let (headings, mut context) = paths.at(span.start);
            if let Some(columns) = context::columns(document, span.start) {
                let room = settings.most_tokens.saturating_sub(atoms.tokens(&run));
                context = context::with_columns(context, columns, room, tokenizer);
            }
            says_something.push(!quiet::is_quiet(text, &stretches, span.start.max(done)..span.end));
            done = span.end;
            chunks.push(Chunk { page: document.page_at(span.start), headings, context, tokens: atoms.tokens(&run), span });
        }
    }
    // A document of nothing else is better than none.
    if says_something.contains(&true) {
        let mut says_something = says_something.into_iter();
        chunks.retain(|_| says_something.next().unwrap_or(true));
    }
    Ok(chunks)
}

/// What is embedded for a chunk: its heading path and its text, at most as many tokens as the model reads.
pub(crate) fn embedding_text(document: &Document, chunk: &Chunk) -> String {
    let text = &document.text[chunk.span.clone()];
    if chunk.context.is_empty() { text.to_owned() } else { format!("{}\n{text}", chunk.context) }
}

/// Keeps code and tables whole where they fit into a chunk together with what it repeats.
fn keep_blocks(document: &Document, atoms: &Atoms<'_>, bounds: &Bounds, ranks: &mut [u8]) {
    let Bounds { size, overlap, .. } = *bounds;
    let room = Limit { tokens: size.tokens - overlap.tokens, chars: size.chars - overlap.chars };
    for block in &document.blocks {
        let run = atoms.at(block.span.start)..atoms.at(block.span.end);
        if atoms.fits(&run, room) {
            plan::keep(ranks, run);
        }
    }
}

/// Heading paths by offset. Chunks come in order, so remembering the last section is enough.
struct Paths<'a> {
    document: &'a Document,
    tokenizer: &'a Tokenizer,
    last: Option<(usize, String)>,
}

impl Paths<'_> {
    /// The headings and the heading path at a byte offset.
    fn at(&mut self, offset: usize) -> (Vec<String>, String) {
        let sections = &self.document.sections;
        let index = sections.partition_point(|section| section.span.start <= offset).saturating_sub(1);
        let headings = sections.get(index).map(|section| section.headings.clone()).unwrap_or_default();
        match &self.last {
            Some((last, path)) if *last == index => (headings, path.clone()),
            _ => {
                let path = context::path(&self.document.title, &headings, self.tokenizer);
                self.last = Some((index, path.clone()));
                (headings, path)
            }
        }
    }
}
