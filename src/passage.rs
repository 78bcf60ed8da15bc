//! A chunk that was found, with everything an answer needs of it. Owned, so that it outlives the search.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::index::{Hit, Index};

/// One found chunk. Its number in an answer is its place in the list, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Its name, the same in every build while its text and place are.
    pub chunk_id: String,
    /// The stored text.
    pub content: String,
    /// Where the text begins in its document's text, in bytes.
    pub start: u64,
    /// What answers call its document.
    pub source: String,
    /// What its document calls itself.
    pub title: String,
    /// Where its document came from.
    pub uri: String,
    /// The page on which it starts, where the format has pages.
    pub page: Option<u32>,
    /// The headings above it, outermost first.
    pub headings: String,
    /// Cosine with the question; none where words alone were searched.
    pub score: Option<f32>,
    /// What the passages are ordered by, relative to the best, which has 1.
    pub relevance: f32,
    /// Whatever else is known of its document.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

impl Passage {
    /// Reads what `hits` point at. `with_cosine` says whether the search had a vector.
    ///
    /// # Errors
    /// The index file is damaged.
    pub fn read(index: &Index, hits: &[Hit], with_cosine: bool) -> Result<Vec<Self>> {
        let best = hits.iter().map(|hit| hit.fused).fold(0.0, f32::max);
        let passages = hits
            .iter()
            .map(|hit| {
                let chunk = index.chunk(hit.chunk)?;
                let document = index.document(chunk.document)?;
                Ok(Self {
                    chunk_id: chunk.id(&document.uri),
                    content: chunk.text.into_owned(),
                    start: chunk.start,
                    source: document.source,
                    title: document.title,
                    uri: document.uri,
                    page: chunk.page,
                    headings: chunk.headings.to_owned(),
                    score: with_cosine.then_some(hit.cosine),
                    relevance: if best > 0.0 { (hit.fused / best).clamp(0.0, 1.0) } else { 1.0 },
                    metadata: document.metadata,
                })
            })
            .collect::<Result<_>>()?;
        index.require_whole()?;
        Ok(passages)
    }

    /// How a reader is told where this is: source, page, headings.
    pub fn place(&self) -> String {
        let page = self.page.map(|page| format!(", page {page}")).unwrap_or_default();
        let headings = if self.headings.is_empty() { String::new() } else { format!(" ({})", self.headings) };
        format!("{}{page}{headings}", self.source)
    }
}

/// Whether a letter of a text is one that no reader sees: soft hyphens, letters without a width, overrides of direction, tags.
pub fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A passage of a document called `source`.
    pub(crate) fn passage(source: &str, content: &str, relevance: f32) -> Passage {
        Passage {
            chunk_id: format!("chunk_{source}"),
            content: content.to_owned(),
            start: 0,
            source: source.to_owned(),
            title: String::new(),
            uri: source.to_owned(),
            page: None,
            headings: String::new(),
            score: Some(relevance),
            relevance,
            metadata: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_place_names_what_is_known() {
        let mut passage = super::testing::passage("guide.pdf", "", 1.0);
        assert_eq!(passage.place(), "guide.pdf");
        passage.page = Some(5);
        passage.headings = "Install > Linux".into();
        assert_eq!(passage.place(), "guide.pdf, page 5 (Install > Linux)");
    }
}
