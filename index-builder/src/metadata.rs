//! What is known of a document besides its text: fields to filter by, its namespace, who may see it.
//!
//! Three places can say it: the document itself (front matter), a file beside it (`guide.pdf.metadata.json`, the shape that
//! Amazon Bedrock's knowledge bases read works too), and rules for whole folders (`--metadata FILE`). For ordinary fields
//! the nearer place wins: file beside, front matter, rules. For `access` it is the other way round: whoever may write a
//! document must not be able to open it to more people than the rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use omni_llm::index::{self, Kind, RESERVED, Scalar};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::report::Remark;

/// What the name of a file beside a document ends with.
const SIDECAR: &str = ".metadata.json";

/// Fields of one document.
const MAX_FIELDS: usize = 64;

/// Values of one field.
const MAX_VALUES: usize = 256;

/// Bytes of one value.
const MAX_BYTES: usize = 512;

/// Fields by name.
pub(crate) type Fields = BTreeMap<String, Value>;

/// The document that a file speaks of, if it is a file beside one.
pub(crate) fn sidecar_of(source: &str) -> Option<&str> {
    let (document, end) = source.split_at_checked(source.len().checked_sub(SIDECAR.len())?)?;
    // In any letters: what it says may close the document, and as a document it would be open itself.
    (end.eq_ignore_ascii_case(SIDECAR) && !document.is_empty() && !document.ends_with('/')).then_some(document)
}

/// Reads a file beside a document: an object of fields, or one with `metadataAttributes`.
pub(crate) fn read_sidecar(bytes: &[u8]) -> Result<Fields, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|cause| format!("its `{SIDECAR}` is not JSON: {cause}"))?;
    let Value::Object(mut object) = value else { return Err(format!("its `{SIDECAR}` is not an object of fields")) };
    match object.remove("metadataAttributes") {
        Some(Value::Object(mut inner)) if object.is_empty() => {
            inner.values_mut().for_each(untype);
            Ok(flatten(inner))
        }
        Some(_) => Err(format!("its `{SIDECAR}`: `metadataAttributes` is not the only field, or not an object")),
        None => Ok(flatten(object)),
    }
}

/// Takes the value out of Bedrock's longer form: `{"value": {"type": "STRING", "stringValue": "legal"}, "includeForEmbedding": true}`.
fn untype(attribute: &mut Value) {
    const VALUES: [&str; 4] = ["stringValue", "numberValue", "booleanValue", "stringListValue"];
    let typed = attribute.get_mut("value").filter(|typed| typed.get("type").is_some());
    if let Some(value) = typed.and_then(|typed| VALUES.iter().find_map(|name| Some(typed.get_mut(name)?.take()))) {
        *attribute = value;
    }
}

/// Fields of folders: for each prefix of a path, what holds for the documents below it.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Where they were read.
    file: PathBuf,
    /// Shorter prefixes first.
    prefixes: Vec<(String, Fields)>,
    by_folder: bool,
}

impl Rules {
    /// Reads a file of rules: `{"hr/": {"access": ["hr"]}, "": {"language": "en"}}`. With `by_folder` the first folder of a
    /// path is the namespace, where nothing else says one.
    pub(crate) fn read(file: Option<&Path>, by_folder: bool) -> Result<Self> {
        let Some(path) = file else { return Ok(Self { by_folder, ..Self::default() }) };
        let text = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
        let rules: BTreeMap<String, Value> = serde_json::from_slice(&text)
            .with_context(|| format!("{}: expected an object of path prefixes, each with an object of fields", path.display()))?;
        let mut prefixes = Vec::new();
        for (prefix, fields) in rules {
            let Value::Object(fields) = fields else {
                bail!("{}: `{prefix}`: expected an object of fields", path.display());
            };
            let fields = flatten(fields);
            let mut warnings = Vec::new();
            // Rules are written by hand and rarely: a mistake in them is not for a report that scrolls by.
            checked(fields.clone(), &mut warnings);
            let labels = access(&fields).err();
            if let Some(warning) = warnings.into_iter().chain(labels).next() {
                bail!("{}: `{prefix}`: {warning}", path.display());
            }
            prefixes.push((composed(&prefix), fields));
        }
        prefixes.sort_by_key(|(prefix, _)| prefix.len());
        Ok(Self { file: path.to_owned(), prefixes, by_folder })
    }

    /// The rules that none of `paths` fits: the documents of the source, and files and folders of it that cannot be read. Where
    /// there are none, it is not the rules that are wrong.
    ///
    /// # Errors
    /// One of them has labels: what they should close would be open.
    pub(crate) fn unused<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<Vec<Remark>> {
        let paths: Vec<String> = paths.map(composed).collect();
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut remarks = Vec::new();
        for (prefix, fields) in &self.prefixes {
            let file = self.file.display();
            if paths.iter().any(|path| covers(prefix, path) || covers(path, prefix)) {
                let passed_by = paths.iter().find(|path| path.starts_with(prefix) && !covers(prefix, path));
                remarks.extend(passed_by.filter(|_| fields.contains_key("access")).map(|path| Remark {
                    source: file.to_string(),
                    reason: format!("rule `{prefix}` is for what is called so and what lies below it, not for `{path}`"),
                }));
                continue;
            }
            if fields.contains_key("access") {
                bail!(
                    "{file}: rule `{prefix}` fits no document, and its `access` would close none; spell the folder as `index-builder list` shows it (case counts), or add the rule once there are documents in it"
                );
            }
            remarks.push(Remark { source: file.to_string(), reason: format!("rule `{prefix}` fits no document") });
        }
        Ok(remarks)
    }

    /// Puts everything that is known into a document. Its path, as answers show it, is what rules look at.
    ///
    /// # Errors
    /// Its labels make no sense: it is left out, because nobody knows who may see it.
    pub(crate) fn apply(
        &self,
        document: &mut index::Document,
        front_matter: Fields,
        sidecar: Option<Fields>,
        warnings: &mut Vec<String>,
    ) -> Result<(), String> {
        let path = composed(&document.source);
        let rules = self.prefixes.iter().filter(|(prefix, _)| covers(prefix, &path));
        let rules: Fields = rules.flat_map(|(_, fields)| fields.clone()).collect();
        let places = [rules, front_matter, sidecar.unwrap_or_default()];
        // The labels of rules win over those of the file beside, those over the document's own.
        for place in [&places[0], &places[2], &places[1]] {
            if let Some(labels) = access(place)? {
                document.access = labels;
                break;
            }
        }
        let mut fields: Fields = places.into_iter().flatten().collect();
        fields.remove("access");
        match fields.remove("namespace") {
            Some(Value::String(namespace)) if !namespace.trim().is_empty() && namespace.len() <= MAX_BYTES => {
                document.namespace = Some(namespace);
            }
            Some(other) => return Err(format!("`namespace`: {other} is not a name")),
            None if self.by_folder => {
                document.namespace = document.source.split_once('/').map(|(folder, _)| folder.to_owned());
            }
            None => {}
        }
        if let Some(Value::String(title)) = fields.remove("title")
            && !title.trim().is_empty()
        {
            document.title = title;
        }
        document.metadata = checked(fields, warnings);
        Ok(())
    }
}

/// Whether a rule for `prefix` holds for `path`: a file, or all below a folder, with or without the slash at its end. `public` is not
/// `public-relations/`.
pub(crate) fn covers(prefix: &str, path: &str) -> bool {
    let ends_a_name = |rest: &str| rest.is_empty() || rest.starts_with('/') || prefix.is_empty() || prefix.ends_with('/');
    path.strip_prefix(prefix).is_some_and(ends_a_name)
}

/// A path as rules compare it: file systems write `ü` as one letter or as two.
fn composed(path: &str) -> String {
    path.nfc().collect()
}

/// Whether a place says who may see a document, or tries to.
pub(crate) fn has_access(fields: &Fields) -> bool {
    !matches!(access(fields), Ok(None))
}

/// The labels that a place gives: a list of texts, or one. An empty list gives none and so opens the document.
fn access(fields: &Fields) -> Result<Option<Vec<String>>, String> {
    // What was meant for labels and is none must not leave the document open.
    let meant = |name: &&String| name.split('.').any(|part| part.eq_ignore_ascii_case("access"));
    if let Some(name) = fields.keys().filter(meant).find(|name| *name != "access") {
        return Err(format!("`{name}`: labels are the field `access`, a list of texts"));
    }
    let Some(value) = fields.get("access") else { return Ok(None) };
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let labels = list.iter().map(|label| label.as_str().map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned));
    let mut labels: Vec<String> =
        labels.collect::<Option<_>>().ok_or_else(|| format!("`access`: {value} is not a list of labels"))?;
    if let Some(label) = labels.iter().find(|label| label.len() > 256 || label.contains(',')) {
        return Err(format!("`access`: `{label}` cannot be a label; use up to 256 bytes without commas"));
    }
    labels.sort_unstable();
    labels.dedup();
    Ok(Some(labels))
}

/// Nested objects become fields with dotted names.
pub(crate) fn flatten(object: Map<String, Value>) -> Fields {
    let mut fields = Fields::new();
    let mut open: Vec<(String, Value)> = object.into_iter().collect();
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(inner) => open.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value))),
            value => drop(fields.insert(name, value)),
        }
    }
    fields
}

/// What can be a field; the rest becomes a warning.
fn checked(fields: Fields, warnings: &mut Vec<String>) -> Fields {
    let mut kept = Fields::new();
    for (name, value) in fields {
        if matches!(name.as_str(), "access" | "namespace" | "title") || value.is_null() {
            continue;
        }
        if RESERVED.contains(&name.as_str()) {
            warnings.push(format!("metadata `{name}`: the index fills this field itself; call it something else"));
            continue;
        }
        let values = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
        let fits = |value: &Value| Scalar::from_json(value).is_some_and(|scalar| scalar.text().len() <= MAX_BYTES);
        if name.len() > 64 || kept.len() == MAX_FIELDS || values.len() > MAX_VALUES || !values.iter().all(fits) {
            warnings.push(format!(
                "metadata `{name}`: left out; a document has up to {MAX_FIELDS} fields with names of up to 64 bytes, each a text of up to {MAX_BYTES} bytes, a number, a truth value, or a list of up to {MAX_VALUES} of them"
            ));
            continue;
        }
        kept.insert(name, value);
    }
    kept
}

/// Fields that are text because of some values, while most are numbers or dates, or any is a whole date: no range can be asked of them.
/// For each, the first document that has such a value.
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
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(object) = value else { panic!("not an object") };
        flatten(object)
    }

    fn rules(text: &str, by_folder: bool) -> Result<Rules> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Rules::read(Some(file.path()), by_folder)
    }

    #[test]
    fn the_nearer_place_wins_but_not_for_labels() {
        let rules = rules(r#"{"": {"lang": "en", "team": "all"}, "hr/": {"team": "hr", "access": ["hr"]}}"#, true).unwrap();
        let mut document = index::Document { source: "hr/pay.md".into(), title: "Pay".into(), ..index::Document::default() };
        let front_matter = fields(json!({"team": "pay", "tags": ["a", "b"], "access": "everybody", "title": "T"}));
        let sidecar = fields(json!({"tags": "c", "year": 2024, "geo": {"country": "de"}}));
        let mut warnings = Vec::new();
        rules.apply(&mut document, front_matter, Some(sidecar), &mut warnings).unwrap();
        assert_eq!(warnings, [""; 0]);
        assert_eq!((document.access, document.namespace.as_deref()), (vec!["hr".to_owned()], Some("hr")));
        assert_eq!(document.title, "T");
        let expected = json!({"lang": "en", "team": "pay", "tags": "c", "year": 2024, "geo.country": "de"});
        assert_eq!(serde_json::to_value(&document.metadata).unwrap(), expected);
    }

    #[test]
    fn a_rule_that_fits_nothing_is_said_and_one_with_labels_is_refused() {
        let unused = |text: &str| rules(text, false).unwrap().unused(["HR/pay.md", "it"].into_iter());
        let remarks = unused(r#"{"hr/": {"lang": "en"}, "HR/": {"access": ["hr"]}, "": {"a": 1}}"#).unwrap();
        assert_eq!(remarks.len(), 1);
        assert_eq!(remarks[0].reason, "rule `hr/` fits no document");
        let error = unused(r#"{"hr/": {"access": ["hr"]}}"#).unwrap_err().to_string();
        assert!(error.contains("rule `hr/` fits no document, and its `access` would close none; spell the folder as"), "{error}");
        assert!(rules(r#"{"": {"access": ["hr"]}}"#, false).unwrap().unused(std::iter::empty()).unwrap().is_empty());
        // What lies below a folder that cannot be read may be what the rule is for.
        assert!(unused(r#"{"it/ops/": {"access": ["it"]}}"#).unwrap().is_empty());
    }

    #[test]
    fn a_rule_holds_for_whole_names() {
        let text = r#"{"": {"access": ["staff"]}, "public": {"access": []}, "Übersicht/": {"team": "a"}}"#;
        let rules = rules(text, false).unwrap();
        let applied = |source: &str| {
            let mut document = index::Document { source: source.into(), ..index::Document::default() };
            rules.apply(&mut document, Fields::new(), None, &mut Vec::new()).unwrap();
            document
        };
        assert_eq!(applied("public/d1.md").access, [""; 0]);
        assert_eq!(applied("public-relations-internal/d2.md").access, ["staff"]);
        // As HFS+ writes it.
        assert_eq!(applied("U\u{308}bersicht/d3.md").metadata.len(), 1);
        let remarks = rules.unused(["public/d1.md", "public-relations-internal/d2.md", "Übersicht/x"].into_iter()).unwrap();
        let reasons: Vec<&str> = remarks.iter().map(|remark| remark.reason.as_str()).collect();
        let passed_by =
            "rule `public` is for what is called so and what lies below it, not for `public-relations-internal/d2.md`";
        assert_eq!(reasons, [passed_by]);
    }

    #[test]
    fn what_cannot_be_understood_closes_the_document() {
        let rules = Rules::default();
        let mut document = index::Document::default();
        for access in [json!(5), json!(["a", 1]), json!([""]), json!({"x": 1}), json!("a,b")] {
            let fields = Fields::from([("access".to_owned(), access.clone())]);
            assert!(rules.apply(&mut document, fields, None, &mut Vec::new()).is_err(), "{access}");
        }
        let nested = json!({"metadata": {"access": ["hr"]}});
        for meant in [json!({"access": {"label": "hr"}}), json!({"Access": ["hr"]}), nested] {
            assert!(rules.apply(&mut document, fields(meant.clone()), None, &mut Vec::new()).is_err(), "{meant}");
        }
        assert!(read_sidecar(b"{").is_err() && read_sidecar(b"[]").is_err());
        assert!(read_sidecar(br#"{"metadataAttributes": 1}"#).is_err());
    }

    #[test]
    fn a_sidecar_is_read_in_both_shapes() {
        let plain = read_sidecar(br#"{"tags": ["x"], "year": 2024}"#).unwrap();
        assert_eq!(read_sidecar(br#"{"metadataAttributes": {"tags": ["x"], "year": 2024}}"#).unwrap(), plain);
        let typed = read_sidecar(
            br#"{"metadataAttributes": {
                "tags": {"value": {"type": "STRING_LIST", "stringListValue": ["x"]}, "includeForEmbedding": true},
                "year": {"value": {"type": "NUMBER", "numberValue": 2024}}}}"#,
        );
        assert_eq!(typed.unwrap(), plain);
        assert_eq!(sidecar_of("a/guide.pdf.metadata.json"), Some("a/guide.pdf"));
        assert_eq!(sidecar_of("a/guide.pdf.Metadata.JSON"), Some("a/guide.pdf"));
        assert_eq!(sidecar_of("é"), None);
        assert_eq!(sidecar_of(".metadata.json"), None);
        assert_eq!(sidecar_of("a/metadata.json"), None);
    }

    #[test]
    fn what_cannot_be_a_field_is_a_warning() {
        let mut warnings = Vec::new();
        let given = fields(json!({"source": "x", "long": "y".repeat(513), "list": [[1]], "none": null, "ok": [1, "b", true]}));
        let kept = checked(given, &mut warnings);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["ok"]);
        assert_eq!(warnings.len(), 3);
        assert_eq!(warnings[2], "metadata `source`: the index fills this field itself; call it something else");
        let error = rules(r#"{"a/": {"uri": "x"}}"#, false).unwrap_err().to_string();
        assert!(error.ends_with("`a/`: metadata `uri`: the index fills this field itself; call it something else"), "{error}");
    }
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
