//! Finds a text in another, whatever blanks stand in either: providers tell one thought in several fields, joined with blanks or
//! without.

use std::ops::Range;

/// The bytes of `whole` at which `part` stands.
pub fn place(whole: &str, part: &str) -> Option<Range<usize>> {
    if part.is_empty() || whole.is_empty() {
        return part.is_empty().then_some(0..0);
    }
    if whole == part {
        return Some(0..whole.len());
    }
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let part = dense(part);
    if part.is_empty() {
        return Some(0..0);
    }
    let start = dense(whole).find(&part)?;
    let mut range = 0..0;
    let mut seen = 0;
    for (at, letter) in whole.char_indices().filter(|(_, letter)| !letter.is_whitespace()) {
        if seen == start {
            range.start = at;
        }
        seen += letter.len_utf8();
        if seen == start + part.len() {
            range.end = at + letter.len_utf8();
            break;
        }
    }
    Some(range)
}

/// Whether `part` stands in `whole`.
pub fn holds(whole: &str, part: &str) -> bool {
    place(whole, part).is_some()
}

/// Which of two texts add something: contained neither in the other nor in `detailed`.
pub fn untold<'a>([first, second]: [&'a str; 2], detailed: &str) -> impl Iterator<Item = &'a str> {
    let texts = match () {
        () if holds(first, second) => [first, ""],
        () if holds(second, first) => ["", second],
        () => [first, second],
    };
    texts.into_iter().filter(move |text| !text.is_empty() && (detailed.is_empty() || !holds(detailed, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_do_not_matter() {
        for (whole, part, expected) in [
            ("One. Two. Three.", "Two.", Some("Two.")),
            ("One.\nÄ wo.  Three.", "Äwo.Thr", Some("Ä wo.  Thr")),
            ("One.Two.", "One.\n\nTwo.", Some("One.Two.")),
            ("same", "same", Some("same")),
            ("some", "", Some("")),
            ("", "", Some("")),
            ("some", " ", Some("")),
            ("\nsome", " ", Some("")),
            ("", "some", None),
            ("one", "two", None),
        ] {
            assert_eq!(place(whole, part).map(|range| &whole[range]), expected, "{whole:?} {part:?}");
        }
    }

    #[test]
    fn what_stands_elsewhere_is_told_there() {
        for (texts, detailed, expected) in [
            (["a", ""], "", vec!["a"]),
            (["", "a"], "", vec!["a"]),
            (["a b", "ab"], "", vec!["a b"]),
            (["a", "ab"], "", vec!["ab"]),
            (["a", "b"], "", vec!["a", "b"]),
            (["a", "b"], "a", vec!["b"]),
            (["a", "b"], "a b", vec![]),
        ] {
            assert_eq!(untold(texts, detailed).collect::<Vec<_>>(), expected, "{texts:?} {detailed:?}");
        }
    }
}
