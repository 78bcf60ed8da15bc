//! What is known of a document besides its text: fields to filter by, its namespace, who may see it.
//!
//! Three places can say it: the document itself (front matter), a file beside it (`guide.pdf.metadata.json`, the shape that
//! Amazon Bedrock's knowledge bases read works too), and rules for whole folders (`--metadata FILE`). For ordinary fields
//! the nearer place wins: file beside, front matter, rules. For `access` it is the other way round: whoever may write a
//! document must not be able to open it to more people than the rules say.

mod distinct;
mod mixed;
mod rules;

use std::collections::BTreeMap;

use omni_retrieval::index::{RESERVED, Scalar};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use distinct::Distinct;
pub(crate) use mixed::mixed;
pub(crate) use rules::{Rules, covers};

/// What the name of a file beside a document ends with.
const SIDECAR: &str = ".metadata.json";

/// Bytes of such a file: JSON of small values takes dozens of times its size once it is read, and this process is no child.
const MAX_SIDECAR_BYTES: usize = 1 << 20;

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
    if bytes.len() > MAX_SIDECAR_BYTES {
        return Err(format!("its `{SIDECAR}` has {} bytes; at most {MAX_SIDECAR_BYTES}", bytes.len()));
    }
    let Distinct(value) =
        serde_json::from_slice(unmarked(bytes)).map_err(|cause| format!("its `{SIDECAR}` cannot be read as JSON: {cause}"))?;
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

/// The bytes behind a byte-order mark, which editors of Windows put before JSON.
fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A path as all that look like it: file systems write `ü` as one letter or as two.
pub(crate) fn composed(path: &str) -> String {
    path.nfc().collect()
}

/// Takes the value out of Bedrock's longer form: `{"value": {"type": "STRING", "stringValue": "legal"}, "includeForEmbedding":
/// true}`.
fn untype(attribute: &mut Value) {
    const VALUES: [&str; 4] = ["stringValue", "numberValue", "booleanValue", "stringListValue"];
    let typed = attribute.get_mut("value").filter(|typed| typed.get("type").is_some());
    if let Some(value) = typed.and_then(|typed| VALUES.iter().find_map(|name| Some(typed.get_mut(name)?.take()))) {
        *attribute = value;
    }
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

/// Nested objects become fields with dotted names. An empty one is a field without a value: `access` with nothing in it is meant
/// for labels.
pub(crate) fn flatten(object: Map<String, Value>) -> Fields {
    let mut fields = Fields::new();
    let mut open: Vec<(String, Value)> = object.into_iter().collect();
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(inner) if inner.is_empty() => drop(fields.insert(name, Value::Null)),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn fields(value: Value) -> Fields {
        let Value::Object(object) = value else { panic!("not an object") };
        flatten(object)
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
        assert_eq!(read_sidecar("\u{feff}{\"tags\": [\"x\"], \"year\": 2024}".as_bytes()).unwrap(), plain);
        assert_eq!(sidecar_of("a/guide.pdf.metadata.json"), Some("a/guide.pdf"));
        assert_eq!(sidecar_of("a/guide.pdf.Metadata.JSON"), Some("a/guide.pdf"));
        let large = format!("{{\"list\": [{}0]}}", "0,".repeat(1 << 19));
        assert_eq!(read_sidecar(large.as_bytes()).unwrap_err(), "its `.metadata.json` has 1048589 bytes; at most 1048576");
        assert!(read_sidecar(b"{").is_err() && read_sidecar(b"[]").is_err());
        let twice = read_sidecar(br#"{"metadataAttributes": {"access": ["hr"], "access": []}}"#).unwrap_err();
        assert_eq!(twice, "its `.metadata.json` cannot be read as JSON: `access` stands there twice at line 1 column 50");
        assert!(read_sidecar(br#"{"metadataAttributes": 1}"#).is_err());
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
    }
}
