use super::quotes;

fn quoted(text: &str) -> Vec<&str> {
    quotes(text, &[], false).into_iter().map(|quote| &text[quote.inner]).collect()
}

#[test]
fn quotations_have_marks_of_many_kinds() {
    for (text, expected) in [
        (
            "„Es sind hier vier Worte\" [4]. Weiter: „Und hier noch einmal vier“ [4].",
            vec!["Es sind hier vier Worte", "Und hier noch einmal vier"],
        ),
        ("“There are four words\" [1]. And “here are four more” [1].", vec!["There are four words", "here are four more"]),
        ("“There are \"four\" words here” [1].", vec!["There are \"four\" words here"]),
        (
            "»Es sind hier vier Worte« steht am Anfang, und »Und hier noch einmal vier« folgt.",
            vec!["Es sind hier vier Worte", "Und hier noch einmal vier"],
        ),
        (
            "« Voici une phrase de mots » et « Voici encore une autre phrase »",
            vec![" Voici une phrase de mots ", " Voici encore une autre phrase "],
        ),
        (
            "”Här är det fyra ord” står det, och ”Här är det fem ord till”.",
            vec!["Här är det fyra ord", "Här är det fem ord till"],
        ),
        ("It says ‘there are four words’ and 'here are four more'.", vec!["there are four words", "here are four more"]),
        ("It says ‘the users’ data is safe’ here.", vec!["the users’ data is safe"]),
        ("It's the users' own data, isn't it? The operators' keys don't matter.", vec![]),
        ("In the '90s all of the users' data was lost.", vec![]),
        ("It’s 'tis “there are four words” and so on.", vec!["there are four words"]),
        ("『これは八文字以上の引用です』", vec!["これは八文字以上の引用です"]),
        ("「八文字以上の引用文」と「名前」", vec!["八文字以上の引用文"]),
        ("<blockquote>There are <b>four</b> words</blockquote> [1]", vec!["There are <b>four</b> words"]),
        ("It says:\n\n> There are four words.\n\nAnd more.", vec!["There are four words."]),
        ("> There are four words\n> on two lines.\n> — limits.md [1]", vec!["> There are four words\n> on two lines."]),
        ("> “There are four words” [1]", vec!["There are four words"]),
        ("> Set “there are four words” in the file.", vec!["Set “there are four words” in the file."]),
        ("> **Note:** these are the writer's own words.\n\n> [!TIP]\n> These are so, too.", vec![]),
        ("A body must be\n> 6 MiB when it is sent.", vec![]),
        (
            "> “There are four words.” There are five words here. [1]",
            vec!["There are four words.", "There are five words here. [1]"],
        ),
        ("> “There are four words,” says the manual of the service [1]", vec!["There are four words,"]),
        (
            "> There are four words and\nanother four of them.\nAnd so on.",
            vec!["> There are four words and\nanother four of them."],
        ),
        ("> There are four words\nThis means that there are some.", vec!["There are four words"]),
        ("> There are four words\nSource: limits.md", vec!["There are four words"]),
        ("> There are four words\n> **Quelle:** limits.md", vec!["There are four words"]),
        ("> “There are four words.”\n> Source: limits.md, section Limits. [1]", vec!["There are four words."]),
        ("> “There are four words.”\n> Section 2 of the manual on limits [1]", vec!["There are four words."]),
        ("> There are four words here.\n[1]", vec!["There are four words here."]),
        ("“There are four words.\n\nAnd four of them more.” [1]", vec!["There are four words.\n\nAnd four of them more."]),
        ("A “mark that is alone here.\n\nHe has “four words of it”.", vec!["four words of it"]),
        ("״יש כאן ארבע מילים״ של מנכ״ל", vec!["יש כאן ארבע מילים"]),
        ("＂There are four words＂ 〝これは八文字以上の引用です〞", vec!["There are four words", "これは八文字以上の引用です"]),
        ("A 5\" disk and a 3\" disk and that is all", vec![]),
    ] {
        assert_eq!(quoted(text), expected, "{text}");
    }
    let long = format!("“{}” [1]", "words ".repeat(1_000));
    assert_eq!(quoted(&long).len(), 1);
}

#[test]
fn a_text_that_is_cut_may_end_inside_a_quote() {
    let text = "He says “there are four words in i";
    let cut = quotes(text, &[], true);
    assert_eq!((cut.len(), &text[cut[0].inner.clone()], cut[0].span.end), (1, "there are four words in ", text.len()));
    assert!(quotes(text, &[], false).is_empty());
    assert!(quotes("He says “there are fou", &[], true).is_empty());
}
