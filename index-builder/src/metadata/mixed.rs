//! Fields whose values are of several kinds.

use std::collections::{BTreeMap, BTreeSet};

use omni_retrieval::index::{self, Kind, RESERVED, Scalar};

use crate::report::Remark;

/// Fields that are text because of some values, while most are numbers or dates, or any is a whole date: no range can be asked of
/// them. For each, the first document that has such a value.
pub(crate) fn mixed<'a>(documents: impl Iterator<Item = &'a index::Document> + Clone) -> Vec<Remark> {
    let values = documents.flat_map(|document| {
        let fields = document.metadata.iter().filter(|(field, _)| !RESERVED.contains(&field.as_str()));
        fields.flat_map(move |(field, value)| {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            values.iter().filter_map(Scalar::from_json).map(move |value| (document, field, value))
        })
    });
    const KINDS: [Kind; 2] = [Kind::Number, Kind::Date];
    // How many values a field has, and how many of them would fit each kind.
    let mut counts: BTreeMap<&str, (usize, [usize; KINDS.len()])> = BTreeMap::new();
    // A year may be anything, a day is meant as a date.
    let mut dated = BTreeSet::new();
    for (_, field, value) in values.clone() {
        let (total, fitting) = counts.entry(field).or_default();
        *total += 1;
        if value.fits(Kind::Date) && value.text().len() >= "2024-05-31".len() {
            dated.insert(field.as_str());
        }
        KINDS.iter().zip(fitting).for_each(|(&kind, count)| *count += usize::from(value.fits(kind)));
    }
    let mut remarks = Vec::new();
    for (field, (total, fitting)) in counts {
        let most = KINDS.into_iter().zip(fitting).max_by_key(|(_, count)| *count);
        let is_mixed = |&(_, count): &(Kind, usize)| count < total && (count > total / 2 || dated.contains(field));
        let Some((kind, fitting)) = most.filter(is_mixed) else { continue };
        let odd = values.clone().find(|(_, named, value)| *named == field && !value.fits(kind));
        remarks.extend(odd.map(|(document, _, value)| Remark {
            source: document.source.clone(),
            reason: format!(
                "`{field}` is `{}`, where {fitting} of {total} values are a {}: all are taken as text, of which no range can be asked",
                value.text(),
                kind.as_str()
            ),
        }));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_field_that_a_few_values_make_text_is_named() {
        let document = |source: &str, metadata: Value| index::Document {
            source: source.to_owned(),
            metadata: serde_json::from_value(metadata).unwrap(),
            ..index::Document::default()
        };
        let documents = [
            document("a.md", json!({"date": "2024-05-01", "size": 1, "tags": ["x", "y"], "year": 2024})),
            document("b.md", json!({"date": "soon", "size": 2, "tags": ["2024"], "year": 2025})),
            document("c.md", json!({"date": "2024-06", "size": "3", "tags": [], "access": ["1"]})),
            document("d.md", json!({"since": 2024})),
            document("e.md", json!({"since": ["2024-05", "2025-01-31"]})),
            document("f.md", json!({"seen": ["31.1.2025", "28.2.2025", "2025-03-31T10:00:00"]})),
        ];
        let remarks: Vec<String> =
            mixed(documents.iter()).into_iter().map(|remark| format!("{}: {}", remark.source, remark.reason)).collect();
        assert_eq!(
            remarks,
            [
                "b.md: `date` is `soon`, where 2 of 3 values are a date: all are taken as text, of which no range can be asked",
                "f.md: `seen` is `31.1.2025`, where 1 of 3 values are a date: all are taken as text, of which no range can be asked",
                "c.md: `size` is `3`, where 2 of 3 values are a number: all are taken as text, of which no range can be asked",
            ]
        );
    }
}
