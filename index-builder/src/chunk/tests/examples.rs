//! What each strategy does to a text that fits on a page, and what none of them may do with hostile ones.

use std::time::{Duration, Instant};

use super::made_up::SMALL;
use super::*;
use crate::extract::{Block, BlockKind};

fn settings(strategy: Strategy, unit: Unit, size: usize, overlap: usize) -> Settings {
    Settings { size, overlap, unit, ..Settings::new(strategy) }
}

fn texts<'a>(document: &'a Document, settings: &Settings) -> Vec<&'a str> {
    check(document, settings, &SMALL).unwrap().into_iter().map(|chunk| &document.text[chunk.span]).collect()
}

/// `count` words of `letters` letters, each ending in its number: as many tokens as characters in this vocabulary.
fn words(count: usize) -> String {
    (0..count).map(|number| format!("w{number:03} ")).collect()
}

#[test]
fn fixed_size_fills_windows_to_the_end_of_a_word() {
    let document = plain("t", &words(30));
    let chunks = texts(&document, &settings(Strategy::FixedSize, Unit::Characters, 64, 14));
    // 12 words and their spaces are 59 characters, 13 would be 64; two or three words are repeated.
    assert_eq!(chunks[0], words(13).trim_end());
    assert_eq!(chunks[0].len(), 64);
    assert!(chunks[1].starts_with("w010 w011 w012 w013"), "{}", chunks[1]);
}

#[test]
fn token_counts_the_models_tokens() {
    let document = plain("t", &words(60));
    let chunks = texts(&document, &settings(Strategy::Token, Unit::Tokens, 64, 9));
    assert_eq!(chunks[0], words(16).trim_end());
    assert_eq!(SMALL.count(chunks[0]), 64);
    assert!(chunks[1].starts_with("w014 w015 w016"), "{}", chunks[1]);
}

#[test]
fn character_ends_at_its_separator_and_keeps_it_whole_where_it_fits() {
    let document = plain("t", "one two three four five six|seven eight nine ten eleven twelve|thirteen fourteen");
    let settings = Settings { separators: vec!["|".into()], ..settings(Strategy::Character, Unit::Characters, 64, 0) };
    assert_eq!(
        texts(&document, &settings),
        ["one two three four five six|seven eight nine ten eleven twelve", "|thirteen fourteen"]
    );
}

#[test]
fn recursive_takes_the_strongest_separator_within_reach() {
    let text = "The first paragraph has one line.\n\nThe second one. It goes on. And on it goes, and on, and further on.";
    let document = plain("t", text);
    let chunks = texts(&document, &settings(Strategy::Recursive, Unit::Characters, 64, 0));
    assert_eq!(
        chunks,
        ["The first paragraph has one line.", "The second one. It goes on.", "And on it goes, and on, and further on."]
    );
}

#[test]
fn structure_keeps_sections_apart_and_blocks_whole() {
    let code = format!("```\n    {}\n{}\n```\n", words(5), words(5));
    let text = format!("# The chunk\n\nthe chunk.\n\n{code}\nthe end.\n# The token\n\nthe token.\n");
    let second = text.find("# The token").unwrap();
    let block = text.find("```").unwrap();
    let mut document = plain("The title", &text);
    document.sections = vec![
        Section { span: 0..second, headings: vec!["The chunk".into()] },
        Section { span: second..text.len(), headings: vec!["The chunk".into(), "The token".into()] },
    ];
    document.blocks = vec![Block { span: block..block + code.len(), kind: BlockKind::Code }];
    let settings = settings(Strategy::Structure, Unit::Tokens, 64, 10);
    let chunks = check(&document, &settings, &SMALL).unwrap();
    assert!(chunks.iter().any(|chunk| document.text[chunk.span.clone()].contains(code.trim_end())), "{chunks:?}");
    let last = chunks.last().unwrap();
    assert_eq!(last.span, second..text.len() - 1);
    assert_eq!(last.headings, ["The chunk", "The token"]);
    assert_eq!(last.context, "The title > The chunk > The token");
    assert_eq!(embedding_text(&document, last), "The title > The chunk > The token\n# The token\n\nthe token.");
}

#[test]
fn a_block_too_large_for_a_chunk_is_cut_between_lines() {
    let rows: String = (0..40).map(|number| format!("| r{number:02} | cell |\n")).collect();
    let mut document = plain("t", &rows);
    document.blocks = vec![Block { span: 0..rows.len(), kind: BlockKind::Table }];
    for chunk in texts(&document, &settings(Strategy::Structure, Unit::Tokens, 64, 20)) {
        assert!(chunk.starts_with("| r") && chunk.ends_with(" |"), "{chunk}");
    }
}

#[test]
fn later_rows_of_a_table_are_embedded_with_its_columns() {
    let rows: String = (0..40).map(|number| format!("| r{number:02} | cell |\n")).collect();
    let text = format!("A table.\n\n| the | token |\n|---|---|\n{rows}\nAn end.");
    let mut document = plain("t", &text);
    document.blocks = vec![Block { span: 10..text.len() - 9, kind: BlockKind::Table }];
    let chunks = check(&document, &settings(Strategy::Structure, Unit::Tokens, 64, 20), &SMALL).unwrap();
    let contexts: Vec<&str> = chunks.iter().map(|chunk| chunk.context.as_str()).collect();
    assert_eq!(contexts[0], "t");
    assert!(contexts.len() > 3 && contexts[1..].iter().all(|context| *context == "t\n| the | token |"), "{contexts:?}");
    // A table of one column names none.
    let lines: String = (0..40).map(|number| format!("r{number:02} cell\n")).collect();
    let mut document = plain("t", &format!("{lines}cat a | grep b\n{lines}"));
    document.blocks = vec![Block { span: 0..document.text.len(), kind: BlockKind::Table }];
    let chunks = check(&document, &settings(Strategy::Structure, Unit::Tokens, 64, 20), &SMALL).unwrap();
    assert!(chunks.len() > 3 && chunks.iter().all(|chunk| chunk.context == "t"), "{chunks:?}");
    // As much as there is room for.
    let wide = format!("| {}|", words(20));
    assert_eq!(context::with_columns("the word".into(), &wide, 4, &SMALL), "the word\n| w000 w001 w002 w003 w004 w005 w006");
    assert_eq!(context::with_columns("the word".into(), "w000", 0, &SMALL), "the word\nw000");
}

#[test]
fn what_says_nothing_by_itself_is_no_chunk() {
    let links: String = (0..12).map(|number| format!("[l{number:02}]: https://the.example/{number:02}\n")).collect();
    let text = format!("# The\n\n## Token\n\nThe token, see [l00].\n\n[one]: the.md\n\n## Word\n\nthe word.\n\n{links}");
    let [token, word] = ["## Token", "## Word"].map(|heading| text.find(heading).unwrap());
    let headings = |path: &[&str]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut document = plain("t", &text);
    document.sections = vec![
        Section { span: 0..token, headings: headings(&["The"]) },
        Section { span: token..word, headings: headings(&["The", "Token"]) },
        Section { span: word..text.len(), headings: headings(&["The", "Word"]) },
    ];
    let block = |start: &str, end: usize| Block { span: text.find(start).unwrap()..end, kind: BlockKind::Definitions };
    document.blocks = vec![block("[one]", word - 2), block("[l00]: ", text.len() - 1)];
    let chunks = texts(&document, &settings(Strategy::Structure, Unit::Tokens, 64, 10));
    // Definitions stay where they fit beside what they are for.
    assert_eq!(chunks[0], "## Token\n\nThe token, see [l00].\n\n[one]: the.md");
    assert!(chunks[1].starts_with("## Word\n\nthe word."), "{chunks:?}");
    assert!(chunks.len() == 2, "{chunks:?}");
    // A document of nothing else is kept.
    let mut document = plain("t", &links);
    document.blocks = vec![Block { span: 0..links.len(), kind: BlockKind::Definitions }];
    assert!(split(&document, &settings(Strategy::Structure, Unit::Tokens, 64, 10), &SMALL, &fake_distances).unwrap().len() > 1);
}

#[test]
fn indentation_of_the_first_line_is_kept() {
    let text: String = (0..40).map(|number| format!("    line{number:02}(x);\n")).collect();
    let mut document = plain("t", &text);
    document.blocks = vec![Block { span: 0..text.len(), kind: BlockKind::Code }];
    for chunk in texts(&document, &settings(Strategy::Structure, Unit::Tokens, 64, 20)) {
        assert!(chunk.starts_with("    line"), "{chunk}");
    }
}

#[test]
fn semantic_cuts_where_the_subject_changes() {
    let about = |subject: &str| (0..12).map(|number| format!("The {subject} is {subject} {number}. ")).collect::<String>();
    let text = format!("{}{}", about("token"), about("word"));
    let document = plain("t", &text);
    let seen = |windows: &[&str]| {
        let count = |text: &str, word: &str| f32::from(u8::try_from(text.matches(word).count()).unwrap());
        distances(windows, |texts| Ok(texts.iter().map(|text| vec![count(text, "token"), count(text, "word")]).collect()))
    };
    let settings = settings(Strategy::Semantic, Unit::Characters, 1000, 100);
    let chunks = split(&document, &settings, &SMALL, &seen).unwrap();
    let spans: Vec<&str> = chunks.iter().map(|chunk| &text[chunk.span.clone()]).collect();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans[1].starts_with("The word is word"), "{spans:?}");
    // One subject alone is not cut, though some distance is always the largest.
    let document = plain("t", &about("token"));
    assert_eq!(split(&document, &settings, &SMALL, &seen).unwrap().len(), 1);
}

#[test]
fn an_embedder_that_fails_or_miscounts_is_an_error() {
    let document = plain("t", "One. Two. Three.");
    let settings = Settings::new(Strategy::Semantic);
    let miscounted = |windows: &[&str]| distances(windows, |_| Ok(Vec::new()));
    let error = split(&document, &settings, &SMALL, &miscounted).unwrap_err();
    assert_eq!(error.message(), "embedding: 0 vectors for 4 texts");
    let error = split(&document, &settings, &SMALL, &|_| Err(omni_retrieval::error::Error::internal("no engine"))).unwrap_err();
    assert_eq!(error.message(), "no engine");
    // No other strategy embeds anything.
    split(&document, &Settings::default(), &SMALL, &|_| Err(omni_retrieval::error::Error::internal("no engine"))).unwrap();
}

#[test]
fn text_without_words_has_no_chunks() {
    for text in ["", " \n\t\n ", "\u{c}\n\u{85}", "\u{2028}\u{a0}"] {
        for &strategy in Strategy::value_variants() {
            assert_eq!(check(&plain("t", text), &Settings::new(strategy), &SMALL), Ok(Vec::new()), "{text:?}");
        }
    }
}

#[test]
fn a_long_heading_path_keeps_the_title_and_the_innermost_heading() {
    let path = |title: &str, headings: &[&str]| {
        let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
        context::path(title, &headings, &SMALL)
    };
    assert_eq!(path("the word", &["the word", "a\n b"]), "the word > a b");
    assert_eq!(path("", &[" "]), "");
    assert_eq!(path("title", &["outermost", "outer heading", "inner"]), "title > outer heading > inner");
    assert_eq!(path("title", &["outermost heading", "outer heading", "inner"]), "title > outer heading > inner");
    assert_eq!(
        path(&"the ".repeat(40), &[&"word ".repeat(40)]),
        format!("{} > {}", ["the"; 14].join(" "), ["word"; 14].join(" "))
    );
    let huge = path(&"x".repeat(1 << 20), &[]);
    assert!(!huge.is_empty() && SMALL.count(&huge) <= 30 && huge.len() <= 240, "{huge}");
}

#[test]
fn hostile_text_is_cut_in_linear_time() {
    let bytes = 1 << 18;
    let hostile = [
        "a".repeat(bytes),
        "a.".repeat(bytes / 2),
        "日".repeat(bytes / 3),
        "e\u{301}".repeat(bytes / 3),
        format!("x{}", "\u{301}".repeat(bytes / 2)),
        format!("a{}b", " ".repeat(bytes)),
        "a\n\n".repeat(bytes / 3),
        "\u{200b} ".repeat(bytes / 4),
        ". ".repeat(bytes / 2),
    ];
    for text in &hostile {
        for strategy in [Strategy::Structure, Strategy::Recursive] {
            let start = Instant::now();
            let settings = Settings::new(strategy);
            let chunks = split(&plain("t", text), &settings, &SMALL, &fake_distances).unwrap();
            let beginning: String = text.chars().take(4).collect();
            // Quadratic work on so much text takes minutes.
            assert!(start.elapsed() < Duration::from_secs(60), "{strategy:?} {beginning:?}: {:?}", start.elapsed());
            let longest = chunks.iter().map(|chunk| text[chunk.span.clone()].chars().count()).max();
            assert!(longest.unwrap() <= settings.size_limit().chars, "{strategy:?} {beginning:?}: {longest:?}");
        }
    }
}
