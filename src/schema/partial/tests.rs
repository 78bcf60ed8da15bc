//! The incremental reader, against whole readers and careless models.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What the patches amount to.
fn applied(patches: &[Patch]) -> Value {
    let mut whole = Value::Null;
    for patch in patches {
        match patch {
            Patch::Add { path, value } if path.is_empty() => whole = value.clone(),
            Patch::Add { path, value } => {
                let (parent, name) = path.rsplit_once('/').unwrap();
                match whole.pointer_mut(parent).unwrap() {
                    Value::Array(list) => list.push(value.clone()),
                    Value::Object(map) => {
                        map.insert(name.replace("~1", "/").replace("~0", "~"), value.clone());
                    }
                    other => panic!("{other}"),
                }
            }
            Patch::Append { path, value } => match whole.pointer_mut(path).unwrap() {
                Value::String(text) => text.push_str(value),
                other => panic!("{other}"),
            },
        }
    }
    whole
}

fn read(pieces: &[&str]) -> (Value, Option<Value>, Vec<&'static str>) {
    let mut partial = Partial::default();
    let patches: Vec<Patch> = pieces.iter().flat_map(|piece| partial.push(piece)).collect();
    let (whole, notes) = partial.finish();
    (applied(&patches), whole, notes)
}

#[test]
fn a_cut_at_any_letter_changes_nothing() {
    let text = r#"Sure: {"a": "x\u00e9\ud83d\ude00\n\"", "b/c~": [1, -2.5e3, {"d": [], "e": {}}], "f": null, "g": [true, false]} and more {"#;
    let expected: Value = serde_json::from_str(text.split_once(' ').unwrap().1.split(" and").next().unwrap()).unwrap();
    let at: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    for cut in at {
        let (seen, whole, notes) = read(&[&text[..cut], &text[cut..]]);
        assert_eq!((&seen, whole.as_ref()), (&expected, Some(&expected)), "{cut}");
        assert_eq!(notes, [""; 0]);
    }
    let letters: Vec<String> = text.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(read(&letters).0, expected);
}

#[test]
fn carelessness_is_forgiven_and_noted() {
    for (text, expected, note) in [
        ("{'a': 'it'}", json!({"a": "it"}), "other quotation marks"),
        ("{a: 1, b : 2}", json!({"a": 1, "b": 2}), "a key without quotes"),
        (r#"{"a": so so, "b": [x, 2]}"#, json!({"a": "so so", "b": ["x", 2]}), "a word without quotes"),
        (r#"{"a": [1,2,],}"#, json!({"a": [1, 2]}), ""),
        (r#"{"a": True, "b": None}"#, json!({"a": true, "b": null}), "a literal of another language"),
        (r#"{"a": [{"b": "cut of"#, json!({"a": [{"b": "cut of"}]}), "the end was missing"),
        (r#"{"a": 12"#, json!({"a": 12}), "the end was missing"),
        (r#"{"a": tru"#, json!({"a": "tru"}), "the end was missing"),
        (r#"{"a": "x\u12"#, json!({"a": "x"}), "the end was missing"),
        ("```json  \n{\"a\": \"line\nbreak\"}\n```", json!({"a": "line\nbreak"}), ""),
        (r#"{"a": "\ud83dx"}"#, json!({"a": "\u{fffd}x"}), "a broken escape"),
    ] {
        let (seen, whole, notes) = read(&[text]);
        assert_eq!(whole.as_ref(), Some(&expected), "{text}");
        // What only the end settles is in nobody's preview.
        assert!(seen == expected || note == "the end was missing", "{text}: {seen}");
        assert!(note.is_empty() || notes.contains(&note), "{text}: {notes:?}");
    }
}

#[test]
fn depth_and_garbage_end_quietly() {
    let (_, whole, _) = read(&[&"{\"a\":".repeat(100_000)]);
    assert_eq!(whole, None);
    for text in ["", "no object", "{", "{]", "{\"a\" 1}", "{\"a\": }", "{\"a\": 1 2", "}{", "{,,,:"] {
        let _ = read(&[text]);
    }
}

#[test]
fn long_keys_around_many_values_cost_no_more_than_the_text() {
    let text = format!("{{\"short\": {{\"x\": 1}}, \"{}\": [{}1], \"after\": 2}}", "k".repeat(100_000), "1,".repeat(50_000));
    let mut partial = Partial::default();
    let patches: Vec<Patch> =
        text.as_bytes().chunks(4096).flat_map(|piece| partial.push(std::str::from_utf8(piece).unwrap())).collect();
    let told: usize = patches.iter().map(|patch| serde_json::to_string(patch).unwrap().len()).sum();
    assert!(told < 1000, "{told}");
    assert_eq!(applied(&patches), json!({"short": {"x": 1}, "after": 2}), "what is not previewed is only left out");
    assert_eq!(partial.finish().0, serde_json::from_str(&text).ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from)
    ];
    let tree = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,4}", inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
        ]
    });
    proptest::collection::btree_map("[a-z/~]{0,3}", tree, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn valid_json_is_read_as_it_is(value in any_json(), pretty in any::<bool>(), size in 1usize..9) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let letters: Vec<char> = text.chars().collect();
        let pieces: Vec<String> = letters.chunks(size).map(|piece| piece.iter().collect()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (seen, whole, notes) = read(&pieces);
        prop_assert_eq!(&seen, &value);
        prop_assert_eq!(whole, Some(value));
        prop_assert!(notes.is_empty(), "{:?}", notes);
    }

    #[test]
    fn nothing_makes_it_panic(text in "[\\[\\]{}\":,'\\\\u0-9a-f \ntrue]{0,80}") {
        let _ = read(&[&text]);
    }
}
