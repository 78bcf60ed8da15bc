//! Facets: for each value of each field, which documents or chunks have it; and filters over them.
//!
//! A value's list is either numbers or, where that is shorter, a bitmap. Values of a field are sorted, so that `range` and
//! `prefix` are one run of neighbours. The directory is read when the first filter asks; searches without filters, labels
//! and tombstones never touch this section.

mod column;
mod value;
mod write;

use serde::{Deserialize, Serialize};

use self::column::Table;
pub use self::value::{Kind, Scalar};
pub(super) use self::write::Facets;
use super::allowed::Bits;
use super::filter::Filter;
use super::format::u32_at;
use super::section::Section;
use super::view::View;
use crate::error::{Error, Result, quoted};

/// The field of access labels. Unlabelled documents have the label "".
pub(super) const ACCESS: &str = "access";

/// The label of documents that have nothing but empty ones: a mistake that must not open them. No caller has it.
pub(super) const NOBODY: &str = "\n";

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
    /// Bitmaps of many values at once, for ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spans: Option<Spans>,
    /// Whether every document (or chunk) has exactly one value: then a run is also what all others leave.
    #[serde(default)]
    whole: bool,
}

/// For each span, u32 first value, once more as an end; then for each a bitmap of what has one of its values.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Spans {
    count: u32,
    at: u64,
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
        let read: Self = view.json(Section::Facets, json)?;
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
        let Some(table) = self.table(field).filter(|table| table.column.kind == Kind::Text) else { return Ok(Vec::new()) };
        (0..table.column.values)
            .map(|value| {
                let text = std::str::from_utf8(table.text(value)?);
                let text = text.map_err(|_| self.view.inconsistent(Section::Facets))?;
                Ok((text.to_owned(), table.count(value)?))
            })
            .collect()
    }

    /// The chunks that a caller with these labels may see, in an index that says it has labels.
    pub(super) fn visible(&self, labels: &[String]) -> Result<Bits> {
        let Some(table) = self.table(ACCESS) else { return Err(self.view.inconsistent(Section::Facets)) };
        let labels = std::iter::once("").chain(labels.iter().map(String::as_str)).filter(|label| *label != NOBODY);
        let runs = labels.map(|label| table.named(label)).collect::<Result<Vec<_>>>()?;
        self.chunks(table.set(runs)?)
    }

    /// The chunks of some documents.
    pub(super) fn chunks_of(&self, documents: Bits) -> Result<Bits> {
        self.chunks(Set { level: Level::Document, bits: documents })
    }

    /// Whether there is a document with this `uri`.
    pub(super) fn has_uri(&self, uri: &str) -> Result<bool> {
        self.uris().map_or(Ok(false), |table| Ok(!table.named(uri)?.is_empty()))
    }

    /// Adds the documents with this `uri`, and says whether there are any.
    pub(super) fn add_documents(&self, uri: &str, into: &mut Bits) -> Result<bool> {
        let Some(table) = self.uris() else { return Ok(false) };
        let run = table.named(uri)?;
        table.add(run.clone(), into)?;
        Ok(!run.is_empty())
    }

    /// The chunks that a filter lets through.
    pub(super) fn matching(&self, filter: &Filter) -> Result<Bits> {
        let set = self.evaluate(filter)?;
        self.chunks(set)
    }

    fn table(&self, field: &str) -> Option<Table<'a>> {
        let column = self.directory.columns.iter().find(|column| column.name == field)?;
        Some(Table { view: self.view, start: self.directory.start, column })
    }

    fn uris(&self) -> Option<Table<'a>> {
        self.table("uri").filter(|table| table.column.level == Level::Document)
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
                let Some(table) = self.table(field).filter(|_| field != ACCESS) else { return self.absent(field) };
                let (runs, values) = (table.runs(test)?, table.column.values);
                if let [run] = &runs[..]
                    && table.column.whole
                    && run.len() > values as usize / 2
                {
                    let mut set = table.set([0..run.start, run.end..values])?;
                    set.bits.complement();
                    return Ok(set);
                }
                table.set(runs)
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
        let start = self.directory.start.checked_add(firsts).ok_or_else(|| self.view.inconsistent(Section::Facets))?;
        let firsts = self.view.bytes(Section::Facets, start, (u64::from(superblock.documents) + 1) * 4)?;
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
