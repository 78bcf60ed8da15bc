//! Facets: for each value of each field, which documents or chunks have it; and filters over them.
//!
//! A value's list is either numbers or, where that is shorter, a bitmap. Values of a field are sorted, so that `range` and
//! `prefix` are one run of neighbours. The directory is read when the first filter asks; searches without filters, labels
//! and tombstones never touch this section.

mod value;
mod write;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::value::{Kind, Scalar};
use self::value::{date_key, number_key, spellings};
pub(super) use self::write::Facets;
use super::allowed::Bits;
use super::filter::{Filter, Test};
use super::format::{u32_at, u64_at};
use super::section::Section;
use super::view::View;
use crate::error::{Error, Result, quoted};

/// The field of access labels. Unlabelled documents have the label "".
pub(super) const ACCESS: &str = "access";

/// The field of namespaces; there is none where no document names one.
pub(super) const NAMESPACE: &str = "namespace";

/// The namespace of documents that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Fields that the index itself fills: metadata cannot.
pub const RESERVED: [&str; 8] = ["uri", "source", "title", "format", "section", "page", NAMESPACE, ACCESS];

/// What an index can be filtered by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// Different values.
    pub values: u32,
}

/// What the numbers in the lists of a field count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Document,
    Chunk,
}

/// What the section begins with, as JSON behind its length.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Directory {
    columns: Vec<Column>,
    /// Where the first chunk of each document stands; none where every document is one chunk.
    firsts: Option<u64>,
    /// The first byte behind it.
    #[serde(skip)]
    start: u64,
}

/// Where the tables of one field begin, counted from behind the directory.
#[derive(Debug, Serialize, Deserialize)]
struct Column {
    name: String,
    kind: Kind,
    level: Level,
    values: u32,
    /// For text, u32 offsets into `texts`, one more than values; else u64 keys.
    keys: u64,
    texts: u64,
    /// For each value, u32 first word in `postings`, u32 numbers.
    lists: u64,
    postings: u64,
    /// Whether every document (or chunk) has exactly one value: then a run is also what all others leave.
    #[serde(default)]
    whole: bool,
}

/// The section.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    view: &'a View,
    directory: &'a Directory,
}

/// A set of documents or of chunks.
struct Set {
    level: Level,
    bits: Bits,
}

impl Directory {
    /// Reads it.
    pub(super) fn of(view: &View) -> Result<Self> {
        if view.is_absent(Section::Facets) {
            return Ok(Self::default());
        }
        let length = u32_at(view.bytes(Section::Facets, 0, 4)?, 0);
        let json = view.bytes(Section::Facets, 4, length.into())?;
        let read: Self = serde_json::from_slice(json).map_err(|cause| view.inconsistent(Section::Facets).caused_by(cause))?;
        Ok(Self { start: (4 + u64::from(length)).next_multiple_of(8), ..read })
    }
}

impl<'a> Reader<'a> {
    /// With a directory that was read.
    pub(super) fn new(view: &'a View, directory: &'a Directory) -> Self {
        Self { view, directory }
    }

    /// What can be filtered by.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        let shown = self.directory.columns.iter().filter(|column| column.name != ACCESS);
        shown.map(|column| Field { name: column.name.clone(), kind: column.kind, values: column.values })
    }

    /// The values of a text field with how many documents or chunks have each.
    pub(super) fn values(&self, field: &str) -> Result<Vec<(String, u32)>> {
        let Some(column) = self.column(field).filter(|column| column.kind == Kind::Text) else { return Ok(Vec::new()) };
        (0..column.values)
            .map(|value| {
                let text = std::str::from_utf8(self.text(column, value)?);
                let text = text.map_err(|_| self.view.inconsistent(Section::Facets))?;
                Ok((text.to_owned(), self.count(column, value)?))
            })
            .collect()
    }

    /// The chunks that a caller with these labels may see, in an index that says it has labels.
    pub(super) fn visible(&self, labels: &[String]) -> Result<Bits> {
        let Some(column) = self.column(ACCESS) else { return Err(self.view.inconsistent(Section::Facets)) };
        let mut set = self.empty(column);
        for label in std::iter::once("").chain(labels.iter().map(String::as_str)) {
            let run = self.named(column, label)?;
            self.add(column, run, &mut set)?;
        }
        self.chunks(set)
    }

    /// The chunks of some documents.
    pub(super) fn chunks_of(&self, documents: Bits) -> Result<Bits> {
        self.chunks(Set { level: Level::Document, bits: documents })
    }

    /// The documents that have `value` in a text field that documents have.
    pub(super) fn documents_with(&self, field: &str, value: &str) -> Result<Option<Bits>> {
        let Some(column) = self.column(field).filter(|column| column.level == Level::Document) else { return Ok(None) };
        let mut set = self.empty(column);
        let run = self.equal(column, &Scalar::Text(value.to_owned()))?;
        let is_known = !run.is_empty();
        self.add(column, run, &mut set)?;
        Ok(is_known.then_some(set.bits))
    }

    /// The chunks that a filter lets through.
    pub(super) fn matching(&self, filter: &Filter) -> Result<Bits> {
        let set = self.evaluate(filter)?;
        self.chunks(set)
    }

    fn column(&self, field: &str) -> Option<&'a Column> {
        self.directory.columns.iter().find(|column| column.name == field)
    }

    fn empty(&self, column: &Column) -> Set {
        let superblock = self.view.superblock();
        let end = if column.level == Level::Document { superblock.documents } else { superblock.chunks };
        Set { level: column.level, bits: Bits::none(end) }
    }

    fn evaluate(&self, filter: &Filter) -> Result<Set> {
        match filter {
            Filter::All(parts) => self.combine(parts, Bits::intersect),
            Filter::Any(parts) => self.combine(parts, Bits::unite),
            Filter::Not(part) => {
                let mut set = self.evaluate(part)?;
                set.bits.complement();
                Ok(set)
            }
            Filter::Field { field, test } => {
                let Some(column) = self.column(field).filter(|_| field != ACCESS) else { return self.absent(field) };
                let mut set = self.empty(column);
                let runs = self.runs(column, test)?;
                if let [run] = &runs[..]
                    && column.whole
                    && run.len() > column.values as usize / 2
                {
                    self.add(column, 0..run.start, &mut set)?;
                    self.add(column, run.end..column.values, &mut set)?;
                    set.bits.complement();
                    return Ok(set);
                }
                for run in runs {
                    self.add(column, run, &mut set)?;
                }
                Ok(set)
            }
        }
    }

    fn combine(&self, parts: &[Filter], with: fn(&mut Bits, &Bits)) -> Result<Set> {
        let mut sets = parts.iter().map(|part| self.evaluate(part));
        let mut all = sets.next().unwrap_or_else(|| Err(Error::bad_request("`filter`: an empty list; put filters into it")))?;
        for set in sets {
            let mut set = set?;
            if set.level != all.level {
                all = Set { level: Level::Chunk, bits: self.chunks(all)? };
                set = Set { level: Level::Chunk, bits: self.chunks(set)? };
            }
            with(&mut all.bits, &set.bits);
        }
        Ok(all)
    }

    /// What passes a test of a field that is not here: nothing, where it is one that every index has.
    fn absent(&self, field: &str) -> Result<Set> {
        let is_everywhere = RESERVED.contains(&field) && ![NAMESPACE, ACCESS].contains(&field);
        if is_everywhere && !self.directory.columns.is_empty() {
            return Ok(Set { level: Level::Chunk, bits: Bits::none(self.view.superblock().chunks) });
        }
        let known = quoted(self.fields().map(|field| field.name));
        let known = if known.is_empty() { "none; rebuild it with this version" } else { &known };
        Err(Error::bad_request(format!("`filter`: no field `{field}` in this index; its fields are {known}")))
    }

    /// The runs of values that pass a test.
    fn runs(&self, column: &Column, test: &Test) -> Result<Vec<Range<u32>>> {
        match test {
            Test::In(values) => values.iter().map(|value| self.equal(column, value)).collect(),
            Test::Prefix(prefix) => {
                if column.kind != Kind::Text {
                    let kind = column.kind.as_str();
                    let message = format!("`filter`: `{}` holds {kind}s; `prefix` is for text, use `range`", column.name);
                    return Err(Error::bad_request(message));
                }
                let run = |prefix: &[u8]| {
                    let first = self.first_text(column, |text| text < prefix)?;
                    Ok(first..self.first_text(column, |text| text < prefix || text.starts_with(prefix))?)
                };
                spellings(prefix).map(|prefix| run(prefix.as_bytes())).collect()
            }
            Test::Range { low, high } => {
                let bound = |value: &Scalar| self.keys_of(column, value).ok_or_else(|| wrong_kind(column, value));
                if column.kind == Kind::Text {
                    let message =
                        format!("`filter`: `{}` holds text; `range` is for numbers and dates, use `in` or `prefix`", column.name);
                    return Err(Error::bad_request(message));
                }
                let mut run = 0..column.values;
                if let Some((value, inclusive)) = low {
                    let keys = bound(value)?;
                    run.start = self.first_key(column, if *inclusive { keys.start } else { keys.end })?;
                }
                if let Some((value, inclusive)) = high {
                    let keys = bound(value)?;
                    run.end = self.first_key(column, if *inclusive { keys.end } else { keys.start })?;
                }
                run.end = run.end.max(run.start);
                Ok(std::iter::once(run).collect())
            }
        }
    }

    fn equal(&self, column: &Column, value: &Scalar) -> Result<Range<u32>> {
        if column.kind != Kind::Text {
            let keys = self.keys_of(column, value).ok_or_else(|| wrong_kind(column, value))?;
            return Ok(self.first_key(column, keys.start)?..self.first_key(column, keys.end)?);
        }
        self.named(column, &value.text())
    }

    /// The value that is this text, if there is one.
    fn named(&self, column: &Column, text: &str) -> Result<Range<u32>> {
        for text in spellings(text) {
            let at = self.first_text(column, |other| other < text.as_bytes())?;
            if at < column.values && self.text(column, at)? == text.as_bytes() {
                return Ok(at..at + 1);
            }
        }
        Ok(0..0)
    }

    /// The keys that a value stands for: one number, or the moments of a period.
    fn keys_of(&self, column: &Column, value: &Scalar) -> Option<Range<u64>> {
        match column.kind {
            Kind::Text => None,
            Kind::Number => value.number().map(number_key).map(|key| key..key.saturating_add(1)),
            Kind::Date => value.period().map(|period| date_key(period.start)..date_key(period.end)),
        }
    }

    fn bytes(&self, table: u64, at: u64, length: u64) -> Result<&'a [u8]> {
        let start = self.directory.start.checked_add(table).and_then(|start| start.checked_add(at));
        self.view.bytes(Section::Facets, start.ok_or_else(|| self.view.inconsistent(Section::Facets))?, length)
    }

    /// The first value whose key is not below `key`.
    fn first_key(&self, column: &Column, key: u64) -> Result<u32> {
        search(column.values, |value| Ok(u64_at(self.bytes(column.keys, u64::from(value) * 8, 8)?, 0) < key))
    }

    /// The first value that is not `before`.
    fn first_text(&self, column: &Column, before: impl Fn(&[u8]) -> bool) -> Result<u32> {
        search(column.values, |value| Ok(before(self.text(column, value)?)))
    }

    fn text(&self, column: &Column, value: u32) -> Result<&'a [u8]> {
        let offsets = self.bytes(column.keys, u64::from(value) * 4, 8)?;
        let (start, end) = (u64::from(u32_at(offsets, 0)), u64::from(u32_at(offsets, 4)));
        let length = end.checked_sub(start).ok_or_else(|| self.view.inconsistent(Section::Facets))?;
        self.bytes(column.texts, start, length)
    }

    /// How many have a value.
    fn count(&self, column: &Column, value: u32) -> Result<u32> {
        Ok(u32_at(self.bytes(column.lists, u64::from(value) * 8, 8)?, 4))
    }

    /// Adds what has one of the values of a run. Their lists are neighbours, so that a run is read as one.
    fn add(&self, column: &Column, run: Range<u32>, set: &mut Set) -> Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        let inconsistent = || self.view.inconsistent(Section::Facets);
        let words = words_of(set.bits.end());
        let length = |count: u32| if count as usize > words { words } else { count as usize };
        let table = self.bytes(column.lists, u64::from(run.start) * 8, u64::from(run.end - run.start) * 8)?;
        let (first, last) = (u32_at(table, 0), table.len() - 8);
        let end = u64::from(u32_at(table, last)) + length(u32_at(table, last + 4)) as u64;
        let bytes = end.checked_sub(first.into()).ok_or_else(inconsistent)? * 4;
        let postings = self.bytes(column.postings, u64::from(first) * 4, bytes)?;
        for entry in table.chunks_exact(8) {
            let (start, count) = (u32_at(entry, 0), u32_at(entry, 4));
            let start = start.checked_sub(first).ok_or_else(inconsistent)? as usize * 4;
            let list = postings.get(start..start + length(count) * 4).ok_or_else(inconsistent)?;
            if count as usize > words {
                for (at, pair) in list.chunks(8).enumerate() {
                    set.bits.insert_word(at, u64::from(u32_at(pair, 0)) | u64::from(u32_at(pair, 4)) << 32);
                }
            } else {
                list.chunks_exact(4).for_each(|number| set.bits.insert(u32_at(number, 0)));
            }
        }
        Ok(())
    }

    fn chunks(&self, set: Set) -> Result<Bits> {
        let superblock = self.view.superblock();
        if set.level == Level::Chunk {
            return Ok(set.bits);
        }
        let Some(firsts) = self.directory.firsts else {
            // Every document is one chunk, so that their numbers are the same; a forged file may say so wrongly.
            return if superblock.documents == superblock.chunks {
                Ok(set.bits)
            } else {
                Err(self.view.inconsistent(Section::Facets))
            };
        };
        let mut chunks = Bits::none(superblock.chunks);
        let firsts = self.bytes(firsts, 0, (u64::from(superblock.documents) + 1) * 4)?;
        for run in set.bits.runs() {
            chunks.insert_range(u32_at(firsts, run.start as usize * 4)..u32_at(firsts, run.end as usize * 4));
        }
        Ok(chunks)
    }
}

/// The 32-bit words of a bitmap of `end` numbers.
fn words_of(end: u32) -> usize {
    end.div_ceil(32) as usize
}

/// The first of `count` that is not `before`, where those that are stand in front.
fn search(count: u32, before: impl Fn(u32) -> Result<bool>) -> Result<u32> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle)? { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn wrong_kind(column: &Column, value: &Scalar) -> Error {
    let (name, kind) = (&column.name, column.kind.as_str());
    let example = if column.kind == Kind::Date { "`2024-05-31`" } else { "`12.5`" };
    Error::bad_request(format!("`filter`: `{name}` holds {kind}s, `{}` is none; write one such as {example}", value.text()))
}
