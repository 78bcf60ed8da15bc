//! What is known of whole folders: rules for the documents below them, and how all that is known of a document becomes one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use omni_retrieval::index;
use serde_json::Value;

use super::{Distinct, Fields, MAX_BYTES, access, checked, composed, flatten, unmarked};
use crate::extract::title_line;
use crate::report::Remark;

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
        let expected = || format!("{}: expected an object of path prefixes, each with an object of fields", path.display());
        let Distinct(rules) = serde_json::from_slice(unmarked(&text)).with_context(expected)?;
        let Value::Object(rules) = rules else { bail!(expected()) };
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
            let named = ["namespace", "title"].into_iter().filter_map(|name| Some((name, fields.get(name)?)));
            // An empty title says nothing, as everywhere.
            let is_named = |name: &str, value: &Value| value.as_str().is_some_and(|text| name == "title" || is_name(text));
            let unnamed = named.filter(|(name, value)| !value.is_null() && !is_named(name, value));
            let unnamed = unnamed.map(|(name, value)| format!("`{name}`: {value} is not a name"));
            if let Some(warning) = warnings.into_iter().chain(labels).chain(unnamed).next() {
                bail!("{}: `{prefix}`: {warning}", path.display());
            }
            prefixes.push((composed(&prefix), fields));
        }
        prefixes.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        if let Some(twice) = prefixes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            bail!("{}: `{}` stands there twice, with its accents written in two ways", path.display(), twice[0].0);
        }
        Ok(Self { file: path.to_owned(), prefixes, by_folder })
    }

    /// The rules that fit none of the documents of the source, and nothing that is `absent`: files and folders of it that cannot be
    /// read, and what may lie below. Where there are none, it is not the rules that are wrong.
    ///
    /// # Errors
    /// One of them has labels: what they should close would be open.
    pub(crate) fn unused<'a>(
        &self,
        documents: impl Iterator<Item = &'a str>,
        absent: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Remark>> {
        let absent: Vec<String> = absent.map(composed).collect();
        let paths: Vec<String> = documents.map(composed).chain(absent.iter().cloned()).collect();
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut remarks = Vec::new();
        for (prefix, fields) in &self.prefixes {
            let file = self.file.display();
            if paths.iter().any(|path| covers(prefix, path)) || absent.iter().any(|path| covers(path, prefix)) {
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
        // A name without a value says nothing, whatever a place further away says.
        let mut fields: Fields = places.into_iter().flatten().filter(|(_, value)| !value.is_null()).collect();
        fields.remove("access");
        match fields.remove("namespace") {
            Some(Value::String(namespace)) if is_name(&namespace) => {
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
            document.title = title_line(&title);
        }
        document.metadata = checked(fields, warnings);
        Ok(())
    }
}

/// Whether a document or a namespace may be called so.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_BYTES
}

/// Whether a rule for `prefix` holds for `path`: a file, or all below a folder, with or without the slash at its end. `public` is
/// not `public-relations/`.
pub(crate) fn covers(prefix: &str, path: &str) -> bool {
    let ends_a_name = |rest: &str| rest.is_empty() || rest.starts_with('/') || prefix.is_empty() || prefix.ends_with('/');
    path.strip_prefix(prefix).is_some_and(ends_a_name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::fields;
    use super::*;

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
    fn a_field_without_a_value_says_nothing() {
        let rules = rules(r#"{"hr/": {"namespace": "people", "team": "hr"}}"#, true).unwrap();
        let applied = |source: &str| {
            let mut document = index::Document { source: source.into(), title: "Pay".into(), ..index::Document::default() };
            let empty = fields(json!({"namespace": null, "team": null, "title": null}));
            rules.apply(&mut document, empty, None, &mut Vec::new()).unwrap();
            (document.namespace.unwrap(), document.title, document.metadata.len())
        };
        assert_eq!(applied("hr/pay.md"), ("people".to_owned(), "Pay".to_owned(), 1));
        assert_eq!(applied("it/pay.md"), ("it".to_owned(), "Pay".to_owned(), 0));
    }

    #[test]
    fn a_rule_that_fits_nothing_is_said_and_one_with_labels_is_refused() {
        let unused = |text: &str| rules(text, false).unwrap().unused(["HR/pay.md"].into_iter(), ["it"].into_iter());
        let remarks = unused(r#"{"hr/": {"lang": "en"}, "HR/": {"access": ["hr"]}, "": {"a": 1}}"#).unwrap();
        assert_eq!(remarks.len(), 1);
        assert_eq!(remarks[0].reason, "rule `hr/` fits no document");
        for prefix in ["hr/", "HR/pay.md/", "HR/pay.md/a"] {
            let error = unused(&format!(r#"{{"{prefix}": {{"access": ["hr"]}}}}"#)).unwrap_err().to_string();
            let expected = format!("rule `{prefix}` fits no document, and its `access` would close none; spell the folder as");
            assert!(error.contains(&expected), "{error}");
        }
        let nowhere = rules(r#"{"": {"access": ["hr"]}}"#, false).unwrap().unused(std::iter::empty(), std::iter::empty());
        assert!(nowhere.unwrap().is_empty());
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
        let documents = ["public/d1.md", "public-relations-internal/d2.md", "Übersicht/x"];
        let remarks = rules.unused(documents.into_iter(), std::iter::empty()).unwrap();
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
        for meant in [json!({"access": {"label": "hr"}}), json!({"Access": ["hr"]}), json!({"access": {}}), nested] {
            assert!(rules.apply(&mut document, fields(meant.clone()), None, &mut Vec::new()).is_err(), "{meant}");
        }
    }

    #[test]
    fn a_mistake_in_a_rule_is_refused_and_a_byte_order_mark_is_none() {
        let error = rules(r#"{"a/": {"uri": "x"}}"#, false).unwrap_err().to_string();
        assert!(error.ends_with("`a/`: metadata `uri`: the index fills this field itself; call it something else"), "{error}");
        assert!(rules("\u{feff}{\"a/\": {\"team\": \"a\", \"title\": null}}", false).is_ok());
        assert!(rules(r#"{"a/": {"title": ""}}"#, false).is_ok());
        for (text, mistake) in [
            (r#"{"a/": {"namespace": 5}}"#, ": `a/`: `namespace`: 5 is not a name"),
            (r#"{"a/": {"title": 5}}"#, ": `a/`: `title`: 5 is not a name"),
            (r#"{"a/": {"access": {}}}"#, ": `a/`: `access`: null is not a list of labels"),
            (r#"{"a/": {"access": ["a"]}, "a/": {"team": "a"}}"#, ": `a/` stands there twice at line 1 column 30"),
            (
                "{\"\u{fc}\": {\"access\": [\"a\"]}, \"u\u{308}\": {}}",
                ": `\u{fc}` stands there twice, with its accents written in two ways",
            ),
        ] {
            let error = format!("{:#}", rules(text, false).unwrap_err());
            assert!(error.ends_with(mistake), "{error}");
        }
    }
}
