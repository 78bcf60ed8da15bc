use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::passage::testing::passage;

fn sources() -> Vec<Passage> {
    vec![
        passage(
            "limits.md",
            "The largest request body is 6 MiB by default. A larger one is **not** accepted;\nit is refused with sta-\ntus 413, as “RFC 9110” has it.",
            1.0,
        ),
        passage(
            "install.md",
            "Install the server with one command. The command fetches the embedding model and builds an index in under 5 minutes.",
            0.9,
        ),
    ]
}

fn check(answer: &str) -> Vec<(Status, Option<usize>, String)> {
    let passages = sources();
    let found = |citation: Citation| {
        let text = citation.found.map_or(String::new(), |found| passages[found.passage].content[found.range].to_owned());
        (citation.status, citation.cited, text)
    };
    Sources::new(&passages, "").check(answer).into_iter().map(found).collect()
}

#[test]
fn a_quote_is_found_whatever_became_of_its_typesetting() {
    for (answer, expected) in [
        ("It says “The largest request body is 6 MiB by default.” [1].", "The largest request body is 6 MiB by default"),
        ("\"the largest   request body is 6\u{a0}MiB by default\" [1]", "The largest request body is 6 MiB by default"),
        (
            "“A larger one is not accepted; it is refused with status 413” [1]",
            "A larger one is **not** accepted;\nit is refused with sta-\ntus 413",
        ),
        (
            "According to [1], “it is refused with status 413, as 'RFC 9110' has it”.",
            "it is refused with sta-\ntus 413, as “RFC 9110” has it",
        ),
        (
            "“The largest request body … is refused with status 413” [1]",
            "The largest request body is 6 MiB by default. A larger one is **not** accepted;\nit is refused with sta-\ntus 413",
        ),
        ("«The largest request body is 6 MiB by default» [1]", "The largest request body is 6 MiB by default"),
    ] {
        let answer = answer.replace('…', "...");
        assert_eq!(check(&answer), [(Status::Verified, Some(1), expected.to_owned())], "{answer}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    for (answer, status) in [
        ("“The largest request body is 8 MiB by default” [1]", Status::NotFound),
        ("“A larger one is accepted; it is refused with status 413” [1]", Status::NotFound),
        ("“The smallest answer is never sent by anyone at all” [1]", Status::NotFound),
        ("“The largest request body is 6 MiB by default” [2]", Status::WrongSource),
        ("“Nobody ever wrote these words anywhere” [7]", Status::NoSuchSource),
        ("The limit is 6 MiB [9].", Status::NoSuchSource),
        ("Elephants migrate southwards every winter [1].", Status::Unsupported),
        ("The largest body is 7 MiB [1].", Status::Unsupported),
        ("Request bodies may have 6 MiB by default [1].", Status::Verified),
        ("One command fetches the embedding model [2].", Status::Verified),
    ] {
        let seen = check(answer);
        assert_eq!(seen.len(), 1, "{answer}: {seen:?}");
        assert_eq!(seen[0].0, status, "{answer}: {seen:?}");
    }
}

#[test]
fn what_is_not_there_is_said_in_words() {
    let doubt = |answer: &str| Sources::new(&sources(), "").check(answer)[0].doubt();
    for (answer, expected) in [
        (
            "“The largest request body is 8 MiB by default” [1]",
            Some("the quote \"The largest request body is 8 MiB by default\" stands in no source"),
        ),
        (
            "“Install the server with one command” [1]",
            Some("the quote \"Install the server with one command\" stands in [2], not in [1]"),
        ),
        ("The limit is 6 MiB [9].", Some("there is no source [9]")),
        ("The largest body is 7 MiB [1].", None),
        ("“Install the server with one command” [2]", None),
    ] {
        assert_eq!(doubt(answer).as_deref(), expected, "{answer}");
    }
}

#[test]
fn a_word_changed_in_a_long_quote_costs_score_and_keeps_its_place() {
    let passages = sources();
    let citation = &Sources::new(&passages, "")
        .check("“The command fetches the embedding model and then builds an index in under 5 minutes” [2]")[0];
    assert!(citation.is_verified() && citation.score < 1.0 && citation.score >= VERBATIM, "{citation:?}");
    let found = citation.found.clone().unwrap();
    assert!(passages[1].content[found.range].starts_with("The command fetches"));
}

#[test]
fn numbers_are_read_as_people_and_models_write_them() {
    let numbers = |answer: &str| -> Vec<Vec<usize>> {
        text::mentions(answer, false, |_| false)
            .into_iter()
            .flat_map(|mention| mention.markers)
            .map(|marker| marker.sources)
            .collect()
    };
    assert_eq!(
        numbers("A [1][2]. B [1, 3]. C [2-4]. D 【5】. E [source 6]."),
        [vec![1], vec![2], vec![1, 3], vec![2, 3, 4], vec![5], vec![6]]
    );
    assert_eq!(
        numbers(
            "A【1†source】, [2](limits.md), (source 3), (Sources: 4, 5), \\[6\\], [**7**], [8, p. 1], [1 and 3], [Source: 1], [1、3], \
             [2, §4; 3, pages 1, 2]."
        ),
        [vec![1], vec![2], vec![3], vec![4, 5], vec![6], vec![7], vec![8], vec![1, 3], vec![1], vec![1, 3], vec![2, 3]]
    );
    assert_eq!(
        numbers(
            "`list[1]` and [one](http://x) and (1) and (1, 2) and (see 3) and [p. 1] and [a] and [0] and [1000] and [] and [1-999] and [01]"
        ),
        [[0usize; 0]; 0]
    );
    assert_eq!(numbers("Called “the port” here"), [[0usize; 0]; 0]);
    assert_eq!(
        numbers(
            "[1, 2, and 3], [Source 1: limits.md], [Source 2, limits.md], 【3:0†x】, [1 to 3], [1—3], [1 et 2], [Quelle 1], [来源2], \
             [3.], [١], [２]"
        ),
        [
            vec![1, 2, 3],
            vec![1],
            vec![2],
            vec![3],
            vec![1, 2, 3],
            vec![1, 2, 3],
            vec![1, 2],
            vec![1],
            vec![2],
            vec![3],
            vec![1],
            vec![2]
        ]
    );
    assert_eq!(numbers("It says so in [limits.md][1] and “as [the guide][2] has it”."), [vec![1]]);
    assert_eq!(numbers("[1-30]")[0].len(), 30);
    assert_eq!(check("A value in [1-30] is fine."), [], "no more sources than these are there");
}

#[test]
fn false_citations_are_cut_out() {
    let passages = sources();
    let sources = Sources::new(&passages, "");
    let cut = |answer: &str| without_false(answer, &sources.check(answer));
    assert_eq!(
        cut(
            "The limit is 6 MiB [1]. It adds that “nobody ever wrote these words anywhere” [1]. Install it with one command [2]."
        ),
        "The limit is 6 MiB [1]. Install it with one command [2]."
    );
    assert_eq!(cut("The limit is 6 MiB by default [1][9]."), "The limit is 6 MiB by default [1].");
    let fine = "The limit is 6 MiB by default [1].";
    assert_eq!(cut(fine), fine);
    let told = repair_prompt(&sources.check("“The largest request body is 6 MiB by default” [2] and so on [9]."));
    assert!(told.contains("- [2] “The largest request body is 6 MiB by default”: this stands in source [1]"), "{told}");
    assert!(told.contains("- [9]: there is no source of that number"), "{told}");
}

#[test]
fn structured_answers_are_checked_where_they_quote() {
    let passages = sources();
    let sources = Sources::new(&passages, "");
    let mut value = json!({
        "answer": "The limit is 6 MiB [1].",
        "quotes": [
            {"quote": "largest request body", "source": 1},
            {"quote": "the moon is made of cheese", "source": "[2]"},
            {"quote": "builds an index", "source": 2}
        ],
        "evidence": ["“refused with status 413” [1]"],
        "source": "limits.md"
    });
    let citations = sources.check_value(&value);
    let seen: Vec<(&str, Status)> =
        citations.iter().map(|citation| (citation.pointer.as_deref().unwrap(), citation.status)).collect();
    assert_eq!(
        seen,
        [
            ("/answer", Status::Verified),
            ("/quotes/0/quote", Status::Verified),
            ("/quotes/1/quote", Status::NotFound),
            ("/quotes/2/quote", Status::Verified),
            ("/evidence/0", Status::Verified)
        ]
    );
    assert_eq!(value_without_false(&mut value, &citations), 0);
    assert_eq!(value["quotes"].as_array().unwrap().len(), 2);
    let lone = json!({"quote": "nobody wrote this"});
    assert_eq!(value_without_false(&mut lone.clone(), &sources.check_value(&lone)), 1);
}

#[test]
fn any_source_that_is_named_may_hold_a_quote_and_each_number_without_one_is_told() {
    let seen = |answer: &str| -> Vec<(Status, Option<usize>)> {
        check(answer).into_iter().map(|(status, cited, _)| (status, cited)).collect()
    };
    let quote = "“Install the server with one command”";
    assert_eq!(seen(&format!("{quote} [1][2].")), [(Status::Verified, Some(2))]);
    assert_eq!(seen(&format!("{quote} [2][9].")), [(Status::Verified, Some(2)), (Status::NoSuchSource, Some(9))]);
    assert_eq!(seen(&format!("{quote} [8][9].")), [(Status::WrongSource, Some(8)), (Status::NoSuchSource, Some(9))]);
    assert_eq!(seen("“Install the server with one command [2].”"), [(Status::Verified, Some(2))]);
    assert_eq!(seen("“Install the server with one command [1][2].”"), [(Status::Verified, Some(2))]);
    let claim = "One command fetches the embedding model";
    assert_eq!(seen(&format!("{claim} [2, 9].")), [(Status::Verified, Some(2)), (Status::NoSuchSource, Some(9))]);
    let passages = sources();
    let sources = Sources::new(&passages, "");
    let mut value = json!({"claims": [
        {"number": 7, "quote": "Install the server with one command"},
        {"source": [1, 2], "quote": "Install the server with one command"},
        {"sources": [2, 9], "quote": "Install the server with one command"},
        {"source": "[1]", "quote": ""},
        {"sources": ["[2]", "[9]"], "quote": "Install the server with one command [1] [2]"}]});
    let citations = sources.check_value(&value);
    let seen: Vec<(&str, Status)> =
        citations.iter().map(|citation| (citation.pointer.as_deref().unwrap(), citation.status)).collect();
    assert_eq!(
        seen,
        [
            ("/claims/0/quote", Status::Verified),
            ("/claims/1/quote", Status::Verified),
            ("/claims/2/sources/1", Status::NoSuchSource),
            ("/claims/2/quote", Status::Verified),
            ("/claims/4/sources/1", Status::NoSuchSource),
            ("/claims/4/quote", Status::Verified)
        ]
    );
    assert_eq!(value_without_false(&mut value, &citations), 0);
    assert_eq!((value["claims"].as_array().unwrap().len(), &value["claims"][2]["sources"]), (5, &json!([2])));
}

#[test]
fn numbers_of_the_sources_own_are_none_of_ours() {
    let passages = [passage(
        "paper.md",
        "The method works as shown in [31]. It was [28] first used here. For more, see\n[How to use it][15].",
        1.0,
    )];
    let sources = Sources::new(&passages, "");
    for answer in [
        "“The method works as shown in [31].” [1]",
        "“It was [28] first used here.” [1]",
        "“For more, see [How to use it][15].” [1]",
        "> The method works as shown in [31].\n\n[1]",
        "For more, see [How to use it][15] [1].",
        "For more, see [How to\nuse it][15] [1].",
    ] {
        let seen: Vec<_> = sources.check(answer).into_iter().map(|citation| (citation.status, citation.cited)).collect();
        assert_eq!(seen, [(Status::Verified, Some(1))], "{answer}");
    }
    assert_eq!(sources.check("For more, see [paper.md][2].")[0].status, Status::NoSuchSource);
    let value = json!({"quote": "The method works as shown in [31].", "source": 1});
    assert_eq!(sources.check_value(&value)[0].cited, Some(1));
    assert_eq!(sources.check("“The method works as shown in [1].”")[0].cited, Some(1));
}

#[test]
fn a_quote_may_be_denied_by_the_answer_as_the_source_denies_it() {
    let passages = [passage("a", "You must not delete the backup before it was tested.", 1.0)];
    let sources = Sources::new(&passages, "");
    assert!(sources.check("You must not “delete the backup before it was tested” [1].")[0].is_verified());
    assert_eq!(sources.check("You must “delete the backup before it was tested” [1].")[0].status, Status::NotFound);
}

#[test]
fn numbers_beside_texts_of_a_structured_answer_are_checked() {
    let passages = sources();
    let sources = Sources::new(&passages, "");
    let seen = |value: Value| -> Vec<(String, Status)> {
        sources.check_value(&value).into_iter().map(|citation| (citation.pointer.unwrap(), citation.status)).collect()
    };
    let told = |pointer: &str, status: Status| vec![(pointer.to_owned(), status)];
    let limit = "The largest request body is 6 MiB by default";
    assert_eq!(seen(json!({"answer": limit, "sources": [1]})), told("/answer", Status::Verified));
    assert_eq!(seen(json!({"answer": limit, "sources": [99]})), told("/sources/0", Status::NoSuchSource));
    assert_eq!(seen(json!({"answer": "“refused with status 413” [1]", "source": 1})), told("/answer", Status::Verified));
    assert_eq!(seen(json!({"evidence": {"text": limit, "source": 1, "title": "x"}})), told("/evidence/text", Status::Verified));
    assert_eq!(seen(json!({"evidence": {"text": limit}, "source": 2})), told("/evidence/text", Status::WrongSource));
    assert_eq!(seen(json!({"year": "x", "reference": 20_240})), [], "this counts no sources");
    assert_eq!(seen(json!({"reference": 117, "ref": "[9]", "sources": 12, "summary": "It is true."})), []);
    assert_eq!(seen(json!({"answer": limit, "reference": 1})), told("/answer", Status::Verified));
    assert_eq!(seen(json!({"answer": limit, "reference": 117, "source": 9})), told("/source", Status::NoSuchSource));
    assert_eq!(seen(json!({"quote": limit, "ref": 2})), told("/quote", Status::WrongSource));
}

#[test]
fn of_a_structured_answer_is_cut_what_can_be() {
    let passages = sources();
    let sources = Sources::new(&passages, "");
    let good = "“The largest request body is 6 MiB by default” [1].";
    let bad = "“nobody ever wrote these words anywhere” [1].";
    let mut value =
        json!({"answer": format!("{bad} {good}"), "quotes": [{"quote": "nobody wrote this", "source": 1}], "only": bad});
    let citations = sources.check_value(&value);
    let left = value_without_false(&mut value, &citations);
    assert_eq!((left, &value), (1, &json!({"answer": good, "quotes": [], "only": bad})));
}

#[test]
fn a_list_of_sources_states_nothing() {
    for text in ["[1]", "**Sources**\n- [1] limits.md", "Sources:\n[1] limits.md", "# Limits\n\n[1]: limits.md, section 2.", ""] {
        assert!(!states(text), "{text}");
    }
    assert!(!states("## Sources\n\n- [1] limits.md, the first section\n- [2] https://example.org/install"));
    assert!(states("- [1] Encryption at rest is an option"));
    assert!(states("It offers:\n[1] encryption at rest\n[2] backups"));
    for text in ["It has 6 MiB [1].", "- 6 MiB [1]\n\nSources:\n[1] limits.md", "[1] says it has 6 MiB.", "6 MiB"] {
        assert!(states(text), "{text}");
    }
}

#[test]
fn what_is_cut_is_the_sentence_or_a_number_that_is_not_alone() {
    let passages = sources();
    let sources = Sources::new(&passages, "How do I “delete the whole index at once” here?");
    let fake = "“restarts take two whole hours here”";
    for (answer, left) in [
        ("One command fetches the model [2, 9].", "One command fetches the model [2]."),
        ("One command fetches the model [2] [9].", "One command fetches the model [2]."),
        ("One command fetches the model 【2, 9】.", "One command fetches the model 【2】."),
        ("One command fetches the model [**2**, 9](install.md).", "One command fetches the model [2](install.md)."),
        ("One command fetches the model (sources 2, 9).", "One command fetches the model (source 2)."),
        ("One command fetches the model (document 12) [2].", "One command fetches the model (document 12) [2]."),
        ("Ada wrote it in 1843 [9]. One command fetches the model [2].", "One command fetches the model [2]."),
        ("Ada wrote it in 1843. [9] One command fetches the model. [2]", "One command fetches the model. [2]"),
        ("[1] says the limit is 6 MiB. [9] says it is 8 MiB.", "[1] says the limit is 6 MiB."),
        (&format!("“Install the server with one command” [2]. [2] adds: {fake}."), "“Install the server with one command” [2]."),
        ("Ada wrote it in 1843.\n[9]", ""),
        ("Ada wrote the first program\n[9]. One command fetches the model [2].", "One command fetches the model [2]."),
        (&format!("First. The page says {fake} [1] on version 2.4 of the service, on two cores. Last [2]."), "First. Last [2]."),
        (&format!("Good news! {fake} [1]. It fetches the model [2]."), "Good news! It fetches the model [2]."),
        (&format!("It fetches the model [2]. {fake} [1]. Two [2]."), "It fetches the model [2]. Two [2]."),
        (&format!("It fetches the model. [2] {fake} [1] Two [2]."), "It fetches the model. [2]"),
        (&format!("It fetches the model, cf. {fake} [1]. Two [2]."), "Two [2]."),
        (&format!("It says {fake}, cf. Fig. 3 [1]. It fetches the model [2]."), "It fetches the model [2]."),
        (&format!("- One [2].\n- It says {fake} [1].\n- Two [2]."), "- One [2].\n- Two [2]."),
        (&format!("- One [2].\n- It says\n  {fake} [1].\n- Two [2]."), "- One [2].\n- Two [2]."),
        (
            &format!("- [1] Bodies of 6 MiB by default are an option\n- [2] {fake}"),
            "- [1] Bodies of 6 MiB by default are an option",
        ),
        (&format!("| a | {fake} [1] |\n| b | it fetches the model [2] |"), "| b | it fetches the model [2] |"),
        (
            "It fetches the model [2].\n\nSources:\n[1] limits.md\n[9] other.md",
            "It fetches the model [2].\n\nSources:\n[1] limits.md",
        ),
    ] {
        assert_eq!(without_false(answer, &sources.check(answer)), left);
    }
    for fine in [
        "> Install the server with one command\nThis means that you can start in a moment [2].",
        "> “Install the server with one command.”\n> Source: install.md, section Install",
        "Send this:\n\n```json\n{\"message\": \"please send it to me today\"}\n```\n\nIt fetches the model [2].",
        "Send `{\"message\": \"please send it to me today [9]\"}`. It fetches the model [2].",
        "Send this [2]:\n```json\n{\"message\": \"please send it to me today\"}",
        "It fetches the model [ref. 2] here. # It is [1,\n2] more.",
        "You asked \"delete the whole index at once\". It fetches the model [2].",
    ] {
        assert_eq!(without_false(fine, &sources.check(fine)), fine);
    }
    // What is said to stand in a source is looked for there, whoever said it first.
    assert_eq!(
        without_false("“delete the whole index at once” [1].", &sources.check("“delete the whole index at once” [1].")),
        ""
    );
    // A stray backtick is no code.
    let stray = format!("A ` is a mark.\n\nIt says {fake} [1] ` here.");
    assert_eq!(without_false(&stray, &sources.check(&stray)), "A ` is a mark.");
}

#[test]
fn what_follows_too_many_citations_does_not_hold() {
    let passages = sources();
    let sources = Sources::new(&passages, "");
    let good = "“Install the server with one command” [2].\n\n".repeat(MAX_CITATIONS);
    assert!(sources.check(&good).iter().all(Citation::is_verified));
    let answer = format!("{good}And “this is an invented quote” [1]. And more [2].");
    let citations = sources.check(&answer);
    assert_eq!((citations.len(), citations[MAX_CITATIONS].status), (MAX_CITATIONS + 1, Status::Unchecked));
    assert_eq!(citations[MAX_CITATIONS].span, good.len()..answer.len());
    assert_eq!(without_false(&answer, &citations), good.trim());
    let many: Vec<Value> = (0..=MAX_CITATIONS).map(|_| json!({"quote": "Install the server", "source": 2})).collect();
    let citations = sources.check_value(&many.into());
    assert_eq!((citations.len(), citations[MAX_CITATIONS].status), (MAX_CITATIONS + 1, Status::Unchecked));
    assert!(repair_prompt(&citations).contains("- there are more than 1000 of them: cite less often"));
}

#[test]
fn hostile_input_takes_linear_time() {
    let started = std::time::Instant::now();
    let big = [passage("a", &"the same words again and again ".repeat(10_000), 1.0)];
    let sources = Sources::new(&big, "");
    for answer in [
        "[".repeat(1 << 16),
        "\"".repeat(1 << 16),
        "[1]".repeat(1 << 15),
        format!("“{}” [1]", "the same words again and over ".repeat(100)),
        format!("“{}” [1]", "again ".repeat(600)),
        "“never closed ".repeat(1 << 14),
        "a [1] ".repeat(1 << 14),
        "`[1]".repeat(1 << 14),
        "| [9] ".repeat(1 << 14),
        format!("“the same words here” {}", "[1-20]".repeat(1 << 14)),
        format!("a{}b [1]", "\r".repeat(1 << 16)),
        "](".repeat(1 << 15),
        "> ".repeat(1 << 15),
        "-\n".repeat(1 << 15),
        format!("“{} and again” [1]", "again ... ".repeat(300)),
        "“the same words here” [1] ".repeat(1 << 13),
        "“a\" ‘b’s „c\" 'd ".repeat(1 << 13),
        "'never closed ".repeat(1 << 13),
        "<q>".repeat(1 << 13),
        "> a\n\n".repeat(1 << 13),
        "|[1]".repeat(1 << 13),
        "(source 1".repeat(1 << 13),
        "。“".repeat(1 << 13),
        format!("{}{}", "*".repeat(1 << 15), "[1]: “a b c d”; ".repeat(1 << 12)),
        format!("“{}” [1]", "the same ... again ".repeat(200)),
    ] {
        sources.check(&answer);
        without_false(&answer, &sources.check(&answer));
        Sources::new(&[passage("b", &answer, 1.0)], &answer).check("“The same words again and over and again” [1]");
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn any_stretch_of_words_is_found_where_it_stands(
        // None of which denies what follows it.
        words in proptest::collection::vec("x[a-zé]{1,7}|[0-9]{1,3}", 12..60),
        from in 0usize..8,
        length in 4usize..12,
        breaks in proptest::collection::vec(0usize..4, 60),
        shout in any::<bool>(),
    ) {
        let blank = |at: usize| [" ", "\n", "  ", " \t"][breaks[at % breaks.len()]];
        let mut stored = String::new();
        for (at, word) in words.iter().enumerate() {
            stored.push_str(word);
            stored.push_str(blank(at));
        }
        let to = (from + length).min(words.len());
        let quote = words[from..to].join(" ");
        let quote = if shout { quote.to_uppercase() } else { quote };
        let passages = [passage("a", &stored, 1.0)];
        let sources = Sources::new(&passages, "");
        let citation = &sources.check_value(&json!({"quote": quote, "source": 1}))[0];
        prop_assert!(citation.is_verified(), "{:?}", citation);
        prop_assert_eq!(citation.score, 1.0);
        let found = citation.found.clone().unwrap().range;
        let seen: Vec<&str> = stored[found].split_whitespace().collect();
        prop_assert_eq!(seen.join(" "), words[from..to].join(" "));
    }

    #[test]
    fn spans_are_slices_and_nothing_panics(answer in "[“”\"\\[\\]【】0-9a-zé .\n`,-]{0,120}", stored in "[“”a-zé .\n\u{ad}ﬁ-]{0,80}") {
        let passages = [passage("a", &stored, 1.0)];
        let sources = Sources::new(&passages, "");
        for citation in sources.check(&answer) {
            prop_assert!(answer.get(citation.span.clone()).is_some());
            prop_assert!((0.0..=1.0).contains(&citation.score));
            if let Some(found) = citation.found {
                prop_assert!(stored.get(found.range).is_some());
            }
        }
        let _ = without_false(&answer, &sources.check(&answer));
    }
}
