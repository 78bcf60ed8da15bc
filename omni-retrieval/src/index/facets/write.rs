//! Fields as the writer collects them and lays them out.

use std::collections::{BTreeMap, HashMap};
use std::mem::take;

use super::value::{Kind, Scalar, composed, date_key, number_key};
use super::{ACCESS, Column, DEFAULT_NAMESPACE, Directory, Level, NAMESPACE, NOBODY, RESERVED, Spans, words_of};
use crate::error::{Error, Result};
use crate::index::{Document, HEADING_SEPARATOR};

/// Collects the fields of documents and chunks while they are pushed.
#[derive(Default)]
pub(in crate::index) struct Facets {
    fields: BTreeMap<String, Field>,
    chunks: u32,
    /// The first chunk of each document.
    firsts: Vec<u32>,
    /// The numbers of what has no label and no namespace, until it is known whether anything has.
    unlabelled: Vec<u32>,
    unnamed: Vec<u32>,
}

struct Field {
    level: Level,
    texts: HashMap<String, Vec<u32>>,
    numbers: HashMap<u64, (f64, Vec<u32>)>,
}

impl Facets {
    /// Adds the next document.
    pub(in crate::index) fn push_document(&mut self, document: &Document) {
        let number = self.firsts.len() as u32;
        self.firsts.push(self.chunks);
        for (field, value) in
            [("uri", &document.uri), ("source", &document.source), ("title", &document.title), ("format", &document.format)]
        {
            self.add(field, Level::Document, number, Scalar::Text(value.clone()));
        }
        for (field, value) in document.metadata.iter().filter(|(field, _)| !RESERVED.contains(&field.as_str())) {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for scalar in values.iter().filter_map(Scalar::from_json) {
                self.add(field, Level::Document, number, scalar);
            }
        }
        match &document.namespace {
            Some(namespace) => self.add(NAMESPACE, Level::Document, number, Scalar::Text(namespace.clone())),
            None => self.unnamed.push(number),
        }
        if document.access.is_empty() {
            self.unlabelled.push(number);
        }
        for label in document.access.iter().filter(|label| !label.is_empty()) {
            self.add(ACCESS, Level::Document, number, Scalar::Text(label.clone()));
        }
        if !document.access.is_empty() && document.access.iter().all(String::is_empty) {
            self.add(ACCESS, Level::Document, number, Scalar::Text(NOBODY.to_owned()));
        }
    }

    /// Adds the next chunk.
    pub(in crate::index) fn push_chunk(&mut self, headings: &str, page: Option<u32>) {
        let number = self.chunks;
        self.chunks += 1;
        if !headings.is_empty() {
            self.add("section", Level::Chunk, number, Scalar::Text(headings.to_owned()));
            for heading in headings.split(HEADING_SEPARATOR) {
                self.add("section", Level::Chunk, number, Scalar::Text(heading.to_owned()));
            }
        }
        if let Some(page) = page {
            self.add("page", Level::Chunk, number, Scalar::Number(page.into()));
        }
    }

    fn add(&mut self, field: &str, level: Level, number: u32, value: Scalar) {
        if !self.fields.contains_key(field) {
            let empty = Field { level, texts: HashMap::new(), numbers: HashMap::new() };
            self.fields.insert(field.to_owned(), empty);
        }
        let Some(field) = self.fields.get_mut(field) else { return };
        let list = match value {
            Scalar::Text(text) => field.texts.entry(composed(&text).into_owned()).or_default(),
            Scalar::Number(value) => &mut field.numbers.entry(number_key(value)).or_insert((value, Vec::new())).1,
        };
        if list.last() != Some(&number) {
            list.push(number);
        }
    }

    /// Whether any document is for callers with labels only.
    pub(in crate::index) fn is_labelled(&self) -> bool {
        self.fields.contains_key(ACCESS)
    }

    /// Lays everything out.
    pub(in crate::index) fn finish(mut self) -> Result<Vec<u8>> {
        let (unlabelled, unnamed) = (take(&mut self.unlabelled), take(&mut self.unnamed));
        if let Some(access) = self.fields.get_mut(ACCESS) {
            access.texts.insert(String::new(), unlabelled);
        }
        if let Some(namespaces) = self.fields.get_mut(NAMESPACE)
            && !unnamed.is_empty()
        {
            let default = namespaces.texts.entry(DEFAULT_NAMESPACE.to_owned()).or_default();
            default.extend(unnamed);
            default.sort_unstable();
        }
        let mut body = Body::default();
        let documents = self.firsts.len() as u32;
        let one_chunk_each = self.firsts.iter().copied().eq(0..self.chunks);
        let firsts = (!one_chunk_each).then(|| {
            let firsts = self.firsts.iter().chain([&self.chunks]);
            body.put(firsts.flat_map(|first| first.to_le_bytes()).collect())
        });
        let mut columns = Vec::with_capacity(self.fields.len());
        for (name, field) in take(&mut self.fields) {
            let end = if field.level == Level::Document { documents } else { self.chunks };
            columns.push(body.column(name, field, end)?);
        }
        let directory = serde_json::to_vec(&Directory { columns, firsts, start: 0 })
            .map_err(|cause| Error::internal("facets: not valid JSON").caused_by(cause))?;
        // Offsets count from behind the directory, whose own length they would change.
        let start = (4 + directory.len()).next_multiple_of(8);
        let mut bytes = (directory.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&directory);
        bytes.resize(start, 0);
        bytes.extend_from_slice(&body.bytes);
        Ok(bytes)
    }
}

#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
}

impl Body {
    /// Adds a table and says where it begins.
    fn put(&mut self, table: Vec<u8>) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend(table);
        at
    }

    fn column(&mut self, name: String, field: Field, end: u32) -> Result<Column> {
        let kind = if RESERVED.contains(&name.as_str()) && !field.texts.is_empty() { Kind::Text } else { kind(&field) };
        let (mut keys, mut texts, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        if kind == Kind::Text {
            let mut sorted: BTreeMap<String, Vec<u32>> = field.texts.into_iter().collect();
            for (number, list) in field.numbers.into_values() {
                merge(sorted.entry(Scalar::Number(number).text()).or_default(), list);
            }
            for (text, list) in sorted {
                keys.extend_from_slice(&offset(&name, texts.len())?);
                texts.extend_from_slice(text.as_bytes());
                numbers.push(list);
            }
            keys.extend_from_slice(&offset(&name, texts.len())?);
        } else {
            let date = |value: Scalar| date_key(value.period().map_or(0, |period| period.start));
            let mut sorted: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            for (key, (number, list)) in field.numbers {
                let key = if kind == Kind::Date { date(Scalar::Number(number)) } else { key };
                merge(sorted.entry(key).or_default(), list);
            }
            for (text, list) in field.texts {
                merge(sorted.entry(date(Scalar::Text(text))).or_default(), list);
            }
            for (key, list) in sorted {
                keys.extend_from_slice(&key.to_le_bytes());
                numbers.push(list);
            }
        }
        let mut seen = vec![false; end as usize];
        // No number twice, and as many as there are.
        let whole = numbers.iter().flatten().all(|&number| !std::mem::replace(&mut seen[number as usize], true))
            && seen.iter().all(|&seen| seen);
        let values = u32::try_from(numbers.len()).map_err(|_| too_large(&name))?;
        let spans = if kind == Kind::Text { Vec::new() } else { spans(&numbers, end) };
        let span_bitmaps = spans.windows(2).map(|span| numbers[span[0] as usize..span[1] as usize].concat());
        let span_words: Vec<u32> = spans.iter().copied().chain(span_bitmaps.flat_map(|numbers| bitmap(&numbers, end))).collect();
        let (mut lists, mut postings) = (Vec::new(), Vec::new());
        for list in numbers {
            lists.extend_from_slice(&offset(&name, postings.len() / 4)?);
            lists.extend_from_slice(&(list.len() as u32).to_le_bytes());
            if list.len() > words_of(end) {
                postings.extend(bitmap(&list, end).into_iter().flat_map(u32::to_le_bytes));
            } else {
                postings.extend(list.into_iter().flat_map(u32::to_le_bytes));
            }
        }
        Ok(Column {
            name,
            kind,
            level: field.level,
            values,
            keys: self.put(keys),
            texts: self.put(texts),
            lists: self.put(lists),
            postings: self.put(postings),
            spans: (!spans.is_empty()).then(|| Spans {
                count: spans.len() as u32 - 1,
                at: self.put(span_words.into_iter().flat_map(u32::to_le_bytes).collect()),
            }),
            whole,
        })
    }
}

/// The first value of each span, and where the last one ends: each has twice as many numbers as a bitmap has words, so that all bitmaps
/// take half of what the lists do. None where they would save little, because a span is hardly more than a value.
fn spans(numbers: &[Vec<u32>], end: u32) -> Vec<u32> {
    let (mut spans, mut held) = (vec![0], 0);
    for (value, list) in (1..).zip(numbers) {
        held += list.len();
        if held >= 2 * words_of(end) {
            spans.push(value);
            held = 0;
        }
    }
    if spans.len() < 3 || numbers.len() < 2 * spans.len() { Vec::new() } else { spans }
}

fn bitmap(numbers: &[u32], end: u32) -> Vec<u32> {
    let mut words = vec![0; words_of(end)];
    numbers.iter().for_each(|&number| words[(number / 32) as usize] |= 1 << (number % 32));
    words
}

/// Numbers if there is nothing else, dates if there is nothing else (a year may be written as a number), else text.
fn kind(field: &Field) -> Kind {
    if field.texts.is_empty() {
        return Kind::Number;
    }
    let numbers = field.numbers.values().map(|(number, _)| Scalar::Number(*number));
    let mut values = field.texts.keys().cloned().map(Scalar::Text).chain(numbers);
    if values.all(|value| value.fits(Kind::Date)) { Kind::Date } else { Kind::Text }
}

fn merge(list: &mut Vec<u32>, other: Vec<u32>) {
    list.extend(other);
    list.sort_unstable();
    list.dedup();
}

fn offset(field: &str, at: usize) -> Result<[u8; 4]> {
    u32::try_from(at).map(u32::to_le_bytes).map_err(|_| too_large(field))
}

fn too_large(field: &str) -> Error {
    Error::bad_request(format!("index: too many values of `{field}`; split the documents into several indexes"))
}
