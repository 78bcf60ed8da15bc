//! Structured answers: which of their texts are quotes, and which numbers are the sources of these.

use serde_json::Value;

use super::fold::Folded;
use super::{Citation, MAX_CITATIONS, Sources, Status, marker, nowhere, statement, text};

impl Sources<'_> {
    /// Checks a structured answer: its quotes and the texts in it.
    pub(crate) fn check_value(&self, value: &Value) -> Vec<Citation> {
        let mut citations = Vec::new();
        self.walk(value, "", None, &mut citations);
        if citations.len() > MAX_CITATIONS {
            citations.truncate(MAX_CITATIONS);
            citations.push(nowhere(Status::Unchecked, None, 0..0, None).at(""));
        }
        citations
    }

    /// Checks what stands at a place; a quote's sources are `cited`.
    fn walk(&self, value: &Value, at: &str, cited: Option<&[usize]>, out: &mut Vec<Citation>) {
        if out.len() > MAX_CITATIONS {
            return;
        }
        match (value, cited) {
            (Value::String(text), Some(cited)) => {
                let (quote, own) = text::unquoted(text);
                let cited = if own.is_empty() || self.has_numbers(text) { cited } else { &own };
                let citation = self.quote(&text[quote], cited, false);
                out.extend(citation.map(|citation| Citation { span: 0..text.len(), ..citation }.at(at)));
            }
            (Value::String(text), None) => out.extend(self.check(text).into_iter().map(|citation| citation.at(at))),
            (Value::Array(list), cited) => {
                for (number, item) in list.iter().enumerate() {
                    self.walk(item, &format!("{at}/{number}"), cited, out);
                }
            }
            (Value::Object(map), outer) => {
                let is_quote = |key: &str| is_quote_key(key) || (outer.is_some() && is_text_key(key));
                let has_quote = map.keys().any(|key| is_quote(key));
                // What may be a number of another kind is none of ours where there is no such source.
                let is_ours = |key: &str, value: &Value, cited: &[usize]| {
                    has_quote || !marker::is_ambiguous(key, value) || cited.iter().all(|number| self.is_known(*number))
                };
                let named = map.iter().filter(|(key, _)| marker::is_source_key(key));
                let mut named = named.map(|(key, value)| (key, value, marker::sources(value)));
                let own = named.find(|(key, value, cited)| !cited.is_empty() && is_ours(key, value, cited));
                let (source, own) = own.map(|(key, _, cited)| (key, cited)).unzip();
                let cited = own.unwrap_or_else(|| outer.unwrap_or_default().to_vec());
                // That none of a quote's sources exists is said by the quote.
                let is_told = !has_quote || cited.iter().any(|number| self.is_known(*number));
                for (key, item) in map {
                    let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    match item {
                        _ if is_told && source == Some(key) => self.unknown(item, &place, out),
                        _ if is_quote(key) => self.walk(item, &place, Some(&cited), out),
                        Value::String(_) if marker::is_source_key(key) => {}
                        Value::String(text) if source.is_some() && !has_quote => self.beside(text, &cited, &place, out),
                        _ => self.walk(item, &place, None, out),
                    }
                }
            }
            _ => {}
        }
    }

    /// Checks a text beside the numbers of its sources: for what it quotes and cites itself, else as a statement.
    fn beside(&self, text: &str, cited: &[usize], at: &str, out: &mut Vec<Citation>) {
        let own = self.check(text);
        let claim = Folded::new(text);
        let known = cited.iter().filter(|number| own.is_empty() && claim.len() > 0 && self.is_known(**number));
        let stated = known.map(|number| statement(&self.sources[number - 1].support(&claim), 0..text.len(), *number));
        out.extend(own.iter().cloned().chain(stated).map(|citation| citation.at(at)));
    }

    /// Tells the source numbers that do not exist, each where it stands.
    fn unknown(&self, value: &Value, at: &str, out: &mut Vec<Citation>) {
        if let Value::Array(list) = value {
            list.iter().enumerate().for_each(|(number, item)| self.unknown(item, &format!("{at}/{number}"), out));
            return;
        }
        // A larger number is no source's.
        let unknown = |number: &usize| *number <= marker::MAX_NUMBER && !self.is_known(*number);
        for number in marker::sources(value).into_iter().filter(unknown) {
            if out.len() <= MAX_CITATIONS {
                out.push(nowhere(Status::NoSuchSource, Some(number), 0..0, None).at(at));
            }
        }
    }
}

/// Keys whose text is the quote in an object that is one.
fn is_text_key(key: &str) -> bool {
    ["text", "content", "passage", "snippet"].contains(&key.to_ascii_lowercase().as_str())
}

/// Keys whose text is a quote.
fn is_quote_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "quote",
        "quotes",
        "quotation",
        "quotations",
        "excerpt",
        "excerpts",
        "verbatim",
        "evidence",
        "quoted_text",
        "supporting_quote",
        "supporting_quotes",
        "cited_text",
        "source_text",
        "source_quote",
    ]
    .contains(&key.as_str())
}
