//! The tables of one field: its values, sorted, and what has each of them.

use std::ops::Range;

use super::value::{Kind, Scalar, date_key, number_key, spellings};
use super::{Column, Level, Set, words_of};
use crate::error::{Error, Result};
use crate::index::allowed::Bits;
use crate::index::filter::Test;
use crate::index::format::{first, u32_at, u64_at};
use crate::index::section::Section;
use crate::index::view::View;

/// The tables of one field.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) view: &'a View,
    /// The first byte behind the directory.
    pub(super) start: u64,
    pub(super) column: &'a Column,
}

impl<'a> Table<'a> {
    /// The runs of values that pass a test.
    pub(super) fn runs(&self, test: &Test) -> Result<Vec<Range<u32>>> {
        let Column { name, kind, values, .. } = self.column;
        match test {
            Test::In(values) => values.iter().map(|value| self.equal(value)).collect(),
            Test::Prefix(prefix) => {
                if *kind != Kind::Text {
                    let message = format!("`filter`: `{name}` holds {}s; `prefix` is for text, use `range`", kind.as_str());
                    return Err(Error::bad_request(message));
                }
                let run = |prefix: &[u8]| {
                    let first = self.first_text(|text| text < prefix)?;
                    Ok(first..self.first_text(|text| text < prefix || text.starts_with(prefix))?)
                };
                spellings(prefix).map(|prefix| run(prefix.as_bytes())).collect()
            }
            Test::Range { low, high } => {
                if *kind == Kind::Text {
                    let message =
                        format!("`filter`: `{name}` holds text; `range` is for numbers and dates, use `in` or `prefix`");
                    return Err(Error::bad_request(message));
                }
                let mut run = 0..*values;
                if let Some((value, inclusive)) = low {
                    let keys = self.keys_of(value)?;
                    run.start = self.first_key(if *inclusive { keys.start } else { keys.end })?;
                }
                if let Some((value, inclusive)) = high {
                    let keys = self.keys_of(value)?;
                    run.end = self.first_key(if *inclusive { keys.end } else { keys.start })?;
                }
                run.end = run.end.max(run.start);
                Ok(std::iter::once(run).collect())
            }
        }
    }

    /// The values that are this one: of dates, those in the period that it names.
    fn equal(&self, value: &Scalar) -> Result<Range<u32>> {
        if self.column.kind == Kind::Text {
            return self.named(&value.text());
        }
        let keys = self.keys_of(value)?;
        Ok(self.first_key(keys.start)?..self.first_key(keys.end)?)
    }

    /// The value that is this text, if there is one.
    pub(super) fn named(&self, text: &str) -> Result<Range<u32>> {
        for text in spellings(text) {
            let at = self.first_text(|other| other < text.as_bytes())?;
            if at < self.column.values && self.text(at)? == text.as_bytes() {
                return Ok(at..at + 1);
            }
        }
        Ok(0..0)
    }

    /// The text of a value.
    pub(super) fn text(&self, value: u32) -> Result<&'a [u8]> {
        let offsets = self.bytes(self.column.keys, u64::from(value) * 4, 8)?;
        let (start, end) = (u64::from(u32_at(offsets, 0)), u64::from(u32_at(offsets, 4)));
        self.bytes(self.column.texts, start, end.checked_sub(start).ok_or_else(|| self.inconsistent())?)
    }

    /// How many have a value.
    pub(super) fn count(&self, value: u32) -> Result<u32> {
        Ok(u32_at(self.bytes(self.column.lists, u64::from(value) * 8, 8)?, 4))
    }

    /// What has one of the values of some runs.
    pub(super) fn set(&self, runs: impl IntoIterator<Item = Range<u32>>) -> Result<Set> {
        let (level, superblock) = (self.column.level, self.view.superblock());
        let mut bits = Bits::none(if level == Level::Document { superblock.documents } else { superblock.chunks });
        runs.into_iter().try_for_each(|run| self.add_run(run, &mut bits))?;
        Ok(Set { level, bits })
    }

    /// Adds what has one of the values of a run: of the spans within it by their bitmaps, of what is left by its lists.
    fn add_run(&self, run: Range<u32>, bits: &mut Bits) -> Result<()> {
        let Some(spans) = self.column.spans else { return self.add(run, bits) };
        let firsts = self.bytes(spans.at, 0, (u64::from(spans.count) + 1) * 4)?;
        let first = |span: u32| u32_at(firsts, span as usize * 4);
        let mut inner = (0..spans.count).filter(|&span| run.start <= first(span) && first(span + 1) <= run.end);
        let Some(from) = inner.next() else { return self.add(run, bits) };
        let to = inner.next_back().unwrap_or(from) + 1;
        let length = words_of(bits.end()) as u64 * 4;
        for span in from..to {
            let bitmap = self.bytes(spans.at, firsts.len() as u64 + u64::from(span) * length, length)?;
            bits.insert_words(bitmap);
        }
        self.add(run.start..first(from), bits)?;
        self.add(first(to)..run.end, bits)
    }

    /// Adds what has one of the values of a run. Their lists are neighbours, so that a run is read as one.
    pub(super) fn add(&self, run: Range<u32>, bits: &mut Bits) -> Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        let words = words_of(bits.end());
        let length = |count: u32| if count as usize > words { words } else { count as usize };
        let table = self.bytes(self.column.lists, u64::from(run.start) * 8, u64::from(run.end - run.start) * 8)?;
        let (first, last) = (u32_at(table, 0), table.len() - 8);
        let end = u64::from(u32_at(table, last)) + length(u32_at(table, last + 4)) as u64;
        let bytes = end.checked_sub(first.into()).ok_or_else(|| self.inconsistent())? * 4;
        let postings = self.bytes(self.column.postings, u64::from(first) * 4, bytes)?;
        for entry in table.chunks_exact(8) {
            let (start, count) = (u32_at(entry, 0), u32_at(entry, 4));
            let start = start.checked_sub(first).ok_or_else(|| self.inconsistent())? as usize * 4;
            let list = postings.get(start..start + length(count) * 4).ok_or_else(|| self.inconsistent())?;
            if count as usize > words {
                bits.insert_words(list);
            } else {
                list.chunks_exact(4).for_each(|number| bits.insert(u32_at(number, 0)));
            }
        }
        Ok(())
    }

    /// The keys that a value stands for: one number, or the moments of a period.
    fn keys_of(&self, value: &Scalar) -> Result<Range<u64>> {
        let Column { name, kind, .. } = self.column;
        let (keys, example) = match kind {
            Kind::Date => (value.period().map(|period| date_key(period.start)..date_key(period.end)), "2024-05-31"),
            _ => (value.number().map(number_key).map(|key| key..key.saturating_add(1)), "12.5"),
        };
        keys.ok_or_else(|| {
            let (kind, value) = (kind.as_str(), value.text());
            Error::bad_request(format!("`filter`: `{name}` holds {kind}s, `{value}` is none; write one such as `{example}`"))
        })
    }

    /// The first value whose key is not below `key`.
    fn first_key(&self, key: u64) -> Result<u32> {
        let keys = self.column.keys;
        first(0..self.column.values, |value| Ok(u64_at(self.bytes(keys, u64::from(value) * 8, 8)?, 0) < key))
    }

    /// The first value that is not `before`.
    fn first_text(&self, before: impl Fn(&[u8]) -> bool) -> Result<u32> {
        first(0..self.column.values, |value| Ok(before(self.text(value)?)))
    }

    fn bytes(&self, table: u64, at: u64, length: u64) -> Result<&'a [u8]> {
        let start = self.start.checked_add(table).and_then(|start| start.checked_add(at));
        self.view.bytes(Section::Facets, start.ok_or_else(|| self.inconsistent())?, length)
    }

    fn inconsistent(&self) -> Error {
        self.view.inconsistent(Section::Facets)
    }
}
