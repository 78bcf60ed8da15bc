//! What somebody filled in: fields of a form, and notes that stand on the page. Neither is part of what a page draws.

use std::collections::BTreeMap;

use lopdf::{Dictionary, Document, Object, decode_text_string};

/// Bits of a field and of an annotation that keep it from readers.
const PASSWORD: i64 = 1 << 13;
const PUSH_BUTTON: i64 = 1 << 16;
const HIDDEN: i64 = 1 << 1;

/// How far a field may lie below the one that names it.
const DEPTH_MAX: usize = 16;

/// The words of each page of a file by its number, a field as `name: value`.
pub(super) fn read(document: &Document, bytes: &[u8]) -> BTreeMap<u32, Vec<String>> {
    // Where neither is, no page has anything on it.
    if !["/Annots", "/ObjStm"].iter().any(|name| bytes.windows(name.len()).any(|window| window == name.as_bytes())) {
        return BTreeMap::new();
    }
    let words = |page| {
        let annotations = document.get_page_annotations(page).unwrap_or_default();
        annotations.into_iter().filter_map(|annotation| words(document, annotation)).collect::<Vec<_>>()
    };
    document.get_pages().into_iter().map(|(number, page)| (number, words(page))).collect()
}

fn words(document: &Document, annotation: &Dictionary) -> Option<String> {
    let is_set =
        |object: Option<&Object>, bit| object.and_then(|flags| flags.as_i64().ok()).is_some_and(|flags| flags & bit != 0);
    if is_set(annotation.get_deref(b"F", document).ok(), HIDDEN) {
        return None;
    }
    match annotation.get_deref(b"Subtype", document).ok()?.as_name().ok()? {
        b"FreeText" => text(document, annotation.get_deref(b"Contents", document).ok()?, None),
        b"Widget" => {
            let fields = lineage(document, annotation);
            let inherited = |name: &[u8]| fields.iter().find_map(|field| field.get_deref(name, document).ok());
            let value = inherited(b"V")?;
            let value = match inherited(b"FT")?.as_name().ok()? {
                b"Tx" if !is_set(inherited(b"Ff"), PASSWORD) => text(document, value, None),
                b"Ch" => text(document, value, inherited(b"Opt")),
                b"Btn" if !is_set(inherited(b"Ff"), PUSH_BUTTON) => {
                    let chosen = value.as_name().ok().filter(|chosen| *chosen != b"Off")?;
                    // Of several buttons that are one choice, the others are off.
                    let is_chosen = annotation.has(b"V") || annotation.get(b"AS").ok().is_none_or(|state| state == value);
                    is_chosen.then(|| state(document, chosen, inherited(b"Opt")))
                }
                _ => None,
            }?;
            Some(match inherited(b"TU").or_else(|| inherited(b"T")).and_then(|name| text(document, name, None)) {
                Some(name) => format!("{name}: {value}"),
                None => value,
            })
        }
        _ => None,
    }
}

/// A field and those that it lies below: what one does not say is said above it.
fn lineage<'d>(document: &'d Document, field: &'d Dictionary) -> Vec<&'d Dictionary> {
    let above = |field: &&'d Dictionary| field.get_deref(b"Parent", document).ok()?.as_dict().ok();
    std::iter::successors(Some(field), above).take(DEPTH_MAX).collect()
}

/// What the state of a button says: its name, or the option that this is the number of.
fn state(document: &Document, name: &[u8], options: Option<&Object>) -> String {
    let name = match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        // Latin-1.
        Err(_) => name.iter().copied().map(char::from).collect(),
    };
    let option = || text(document, options?.as_array().ok()?.get(name.parse::<usize>().ok()?)?, None);
    option().unwrap_or(name)
}

/// A text, or several that were chosen, each as the field shows it: its options may be pairs of a code and a text.
fn text(document: &Document, object: &Object, options: Option<&Object>) -> Option<String> {
    let decoded = |object| decode_text_string(document.dereference(object).ok()?.1).ok();
    let options = options.and_then(|options| options.as_array().ok()).into_iter().flatten();
    let pairs = options.filter_map(|option| document.dereference(option).ok()?.1.as_array().ok()?.first_chunk::<2>());
    let shown: BTreeMap<String, String> = pairs.filter_map(|[code, text]| Some((decoded(code)?, decoded(text)?))).collect();
    let shown = |one| decoded(one).map(|code| shown.get(&code).cloned().unwrap_or(code));
    let text = match object {
        Object::Array(several) => several.iter().filter_map(shown).collect::<Vec<_>>().join(", "),
        one => shown(one)?,
    };
    Some(text.trim().replace('\r', "\n")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lopdf::dictionary;

    #[test]
    fn a_button_says_its_option_or_its_state() {
        let words = |state: &[u8], options: &[&str]| {
            let options = options.iter().map(|option| Object::string_literal(*option)).collect();
            let button = dictionary! {
                "Subtype" => "Widget",
                "FT" => "Btn",
                "T" => Object::string_literal("choice"),
                "V" => Object::Name(state.to_vec()),
                "Opt" => Object::Array(options),
            };
            super::words(&Document::new(), &button).unwrap()
        };
        assert_eq!(words(b"1", &["Red", "Blue"]), "choice: Blue");
        assert_eq!(words(b"2", &["Red", "Blue"]), "choice: 2");
        assert_eq!(words(b"Red", &["Blue"]), "choice: Red");
        assert_eq!(words(b"M\xe4nnlich", &[]), "choice: Männlich");
        assert_eq!(words("Männlich".as_bytes(), &[]), "choice: Männlich");
    }
}
