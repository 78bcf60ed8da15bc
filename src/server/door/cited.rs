//! Checked citations in the dialects' own words, for clients that read no `omni`. Only those that hold, and of texts: what stands
//! in a shaped answer has no place in its characters.

use serde_json::{Value, json};

use crate::chat::Part;
use crate::citation::Citation;
use crate::passage::Passage;
use crate::rag::Answer;

/// A citation in a dialect's words, and where in the answer's text it begins, in bytes.
pub(super) type Placed = (usize, Value);

/// As OpenAI annotates a text: of documents that have an address on the web.
pub(super) fn annotations(answer: &Answer) -> Vec<Placed> {
    let chars = |bytes: usize| answer.content.get(..bytes).map(|text| text.chars().count());
    let told = held(answer).filter_map(|(citation, passage, _)| {
        let (start, end) = (chars(citation.span.start)?, chars(citation.span.end)?);
        let cited = json!({"url": address(passage)?, "title": passage.title, "start_index": start, "end_index": end});
        Some((citation.span.start, json!({"type": "url_citation", "url_citation": cited})))
    });
    told.collect()
}

/// As Claude cites documents. A document is here what the model was given as one, an entry of `rag_context`, and its characters are
/// those of that entry; `chunk_id` says whose it is. Claude that cites documents of the request numbers those, and is left alone.
pub(super) fn locations(answer: &Answer) -> Vec<Placed> {
    if answer.parts.iter().any(|part| matches!(part, Part::Citation(_))) {
        return Vec::new();
    }
    let told = held(answer).filter_map(|(citation, passage, number)| {
        let range = &citation.found.as_ref()?.range;
        let (before, text) = (passage.content.get(..range.start)?, passage.content.get(range.clone())?);
        let start = before.chars().count();
        let location = json!({"type": "char_location", "cited_text": text, "document_index": number,
            "document_title": Some(&passage.title).filter(|title| !title.is_empty()), "start_char_index": start,
            "end_char_index": start + text.chars().count(), "file_id": null, (OURS): passage.chunk_id});
        Some((citation.span.start, location))
    });
    told.collect()
}

/// The field by which a citation of ours is known.
const OURS: &str = "chunk_id";

/// Whether a citation that a client sends back is one of ours: it is news to nobody, and its document is in no request.
pub(super) fn is_ours(citation: &Value) -> bool {
    citation.get(OURS).is_some()
}

/// The citations that hold, with their passages and the numbers of these from 0.
fn held(answer: &Answer) -> impl Iterator<Item = (&Citation, &Passage, usize)> {
    answer.citations.iter().filter(|citation| citation.is_verified() && citation.pointer.is_none()).filter_map(|citation| {
        let number = citation.found.as_ref()?.passage;
        Some((citation, answer.passages.get(number)?, number))
    })
}

/// Where a document is on the web: its own address, else what its metadata call `url`.
fn address(passage: &Passage) -> Option<&str> {
    let known = passage.metadata.get("url").and_then(Value::as_str);
    let is_web = |text: &&str| text.starts_with("https://") || text.starts_with("http://");
    [Some(passage.uri.as_str()), known].into_iter().flatten().find(is_web)
}
