//! Pure: an answer made of the best sentences of the best passages, quoted exactly. No provider, no network, nothing invented.
//!
//! A statement is scored by how much of the question it covers (stemmed words, rare ones weigh more), by how good its passage is,
//! by its headings and by its place; where there is a model, by its cosine with the question too. Questions and headings in the
//! text are not quoted: what stands behind them is found by them. Everything quoted is a slice of the stored text: a quote may
//! grow to a sentence that it leans on or that leans on it, and to the list, table or code behind it, but never be rewritten.
//! Where nothing is near the question, nothing is quoted.

mod candidate;
mod code;
mod sentence;
mod table;

use std::collections::BTreeSet;
use std::ops::Range;

pub(crate) use self::candidate::{Candidate, candidates, rescore};
use crate::passage::Passage;
use crate::prompt::Format;
use crate::sentence::{is_fence, marker};

/// Sentences of one answer.
const MAX_QUOTES: usize = 4;
/// Bytes of one quote, beyond which it does not grow.
const MAX_QUOTE_BYTES: usize = 600;
/// A further statement must have this share of the best one's score, and of its evidence.
const WORTH: f32 = 0.65;
/// What the question's nearness to the best passage and statement (the mean of their cosines) and a quarter of the share of its
/// words must come to, or nothing answers it. Of 1,672 questions about the indexed texts (SQuAD's and others) that lets 99 %
/// pass, of 1,200 that were asked of texts about something else 2 %, with the cosines of [`MEASURED`].
const LEAST: f32 = 0.425;
/// The model whose cosines are known; those of others lie elsewhere, and refuse nothing.
pub(crate) const MEASURED: &str = "all-MiniLM-L6-v2";
/// The least share of its words where there are no cosines: 94 % and 14 % of such questions.
const LEAST_COVERED: f32 = 0.25;
/// The least share of its words where one is a name in code that is there, of which cosines tell nothing. All count the same:
/// by its rarity, a word that is nowhere would outweigh every name.
const LEAST_NAMED: f32 = 0.5;

/// Puts the best sentences together. `[n]` is the place of a passage in the list, counted from 1.
pub(crate) fn compose(candidates: &[Candidate], passages: &[Passage], format: Format, is_measured: bool) -> String {
    let quotes = choose(candidates, passages, is_measured);
    if quotes.is_empty() {
        return nothing(format);
    }
    let cited: BTreeSet<usize> = quotes.iter().map(|(passage, _)| *passage).collect();
    if format == Format::Json {
        let answer: Vec<_> = quotes
            .iter()
            .map(|(at, range)| serde_json::json!({"quote": &passages[*at].content[range.clone()], "source": at + 1}))
            .collect();
        let sources: Vec<_> =
            cited.iter().map(|&at| serde_json::json!({"number": at + 1, "source": passages[at].place()})).collect();
        return serde_json::json!({"answer": answer, "sources": sources}).to_string();
    }
    let mut text = String::new();
    for (at, range) in &quotes {
        let quote = &passages[*at].content[range.clone()];
        // Quotation marks would end up inside code or behind a list's last item.
        let is_block = quote.lines().map(str::trim).any(|line| is_fence(line) || marker(line) > 0 || line.starts_with('|'));
        let quoted = if is_block { format!("{quote}\n[{}]\n\n", at + 1) } else { format!("“{quote}” [{}]\n\n", at + 1) };
        text.push_str(&quoted);
    }
    text.push_str(if format == Format::Markdown { "**Sources**\n\n" } else { "Sources:\n" });
    let lines: Vec<String> = cited
        .iter()
        .map(|&at| {
            if format == Format::Markdown {
                format!("- [{}] {}", at + 1, passages[at].place())
            } else {
                format!("[{}] {}", at + 1, passages[at].place())
            }
        })
        .collect();
    text.push_str(&lines.join("\n"));
    text
}

fn nothing(format: Format) -> String {
    let text = "Nothing in the index answers this question.";
    if format == Format::Json {
        serde_json::json!({"answer": [], "sources": [], "note": text}).to_string()
    } else {
        text.to_owned()
    }
}

/// The statements worth quoting: (passage, bytes). The passage of the best one comes first; within a passage they keep their
/// order.
fn choose(candidates: &[Candidate], passages: &[Passage], is_measured: bool) -> Vec<(usize, Range<usize>)> {
    // The name that is asked for may stand behind what has its other words.
    let answers = |(number, candidate): (usize, &Candidate)| {
        candidate.named >= Some(LEAST_NAMED) || (number == 0 && is_near(candidate, passages, is_measured))
    };
    let Some(first) = candidates.iter().enumerate().position(answers) else { return Vec::new() };
    let best = &candidates[first];
    let mut chosen: Vec<&Candidate> = Vec::new();
    for candidate in &candidates[first..] {
        if chosen.len() == MAX_QUOTES || (best.is_asked && !chosen.is_empty()) || candidate.score < WORTH * best.score {
            break;
        }
        let is_new = !chosen.iter().any(|other| alike(&other.terms, &candidate.terms));
        if is_new && candidate.evidence() >= WORTH * best.evidence() {
            chosen.push(candidate);
        }
    }
    let rank = |passage: usize| chosen.iter().position(|candidate| candidate.passage == passage);
    let mut quotes: Vec<(usize, Range<usize>)> = chosen
        .iter()
        .map(|candidate| {
            let mut range = candidate.range.clone();
            if range.end - candidate.lead <= MAX_QUOTE_BYTES {
                range.start = candidate.lead;
            }
            if candidate.tail - range.start <= MAX_QUOTE_BYTES {
                range.end = candidate.tail;
            }
            (candidate.passage, range)
        })
        .collect();
    // A row that is far from the names of its columns stands behind them.
    for (number, candidate) in chosen.iter().enumerate() {
        let far = |head: &&Range<usize>| head.len() <= MAX_QUOTE_BYTES && head.end < quotes[number].1.start;
        if let Some(head) = candidate.columns.as_ref().filter(far) {
            quotes.push((candidate.passage, head.clone()));
        }
    }
    quotes.sort_by_key(|(passage, range)| (rank(*passage), range.start));
    let mut joined: Vec<(usize, Range<usize>)> = Vec::new();
    for (passage, range) in quotes {
        match joined.last_mut() {
            // Neighbours read better as one quote.
            Some((last, before))
                if *last == passage && passages[passage].content[before.end.min(range.start)..range.start].trim().is_empty() =>
            {
                before.end = before.end.max(range.end);
            }
            _ => joined.push((passage, range)),
        }
    }
    joined
}

/// Whether the best statement has anything to do with the question.
fn is_near(best: &Candidate, passages: &[Passage], is_measured: bool) -> bool {
    let nearest = passages.iter().filter_map(|passage| passage.score).reduce(f32::max);
    let Some(covered) = best.covered else {
        return nearest.is_some_and(|nearest| !is_measured || nearest >= LEAST);
    };
    let cosines: Vec<f32> = nearest.into_iter().chain(best.cosine).collect();
    if cosines.is_empty() {
        return covered >= LEAST_COVERED;
    }
    !is_measured || cosines.iter().sum::<f32>() / cosines.len() as f32 + covered / 4.0 >= LEAST
}

/// Whether two sentences say nearly the same (overlapping chunks repeat text).
fn alike(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    let common = a.intersection(b).count() as f32;
    let least = a.len().min(b.len()).max(1) as f32;
    common / least > 0.8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::passage::testing::passage;

    fn answer(question: &str, passages: &[Passage]) -> String {
        compose(&candidates(question, passages), passages, Format::Any, true)
    }

    /// The answer from a text whose meaning is far from the question's.
    fn answer_from_afar(question: &str, text: &str) -> String {
        let passages = [Passage { score: Some(0.1), ..passage("a.md", text, 1.0) }];
        let mut found = candidates(question, &passages);
        let cosines = vec![0.1; found.len()];
        rescore(&mut found, &cosines);
        compose(&found, &passages, Format::Any, true)
    }

    #[test]
    fn the_sentence_that_answers_is_quoted_with_its_source() {
        let passages = [
            passage(
                "limits.md",
                "Limits exist. The largest request body is 6 MiB by default. Everything else is refused with 413.",
                1.0,
            ),
            passage("other.md", "The weather was fine that day. Nothing else happened at all in the town.", 0.4),
        ];
        let text = answer("How large may a request body be?", &passages);
        assert!(text.starts_with("“The largest request body is 6 MiB by default.") && text.contains("[1]"), "{text}");
        assert!(text.ends_with("Sources:\n[1] limits.md"), "{text}");
    }

    #[test]
    fn what_a_sentence_announces_comes_with_it() {
        let passages = [passage(
            "install.md",
            "Welcome.\n\nInstall the server with this command:\n\n```sh\ncargo demo\n```\n\nBye bye now.",
            1.0,
        )];
        let text = answer("how do I install the server?", &passages);
        assert!(text.contains("Install the server with this command:\n\n```sh\ncargo demo\n```\n[1]"), "{text}");
    }

    #[test]
    fn what_follows_comes_with_the_sentence_that_says_so() {
        let list = "The following commands are not supported.\n\n- `start`\n- `stop`";
        let text = answer("Which commands are not supported?", &[passage("a.md", &format!("{list}\n\nOthers are."), 1.0)]);
        assert!(text.starts_with(&format!("{list}\n[1]")), "{text}");
        let text = "Use the following command for it.\n\nNothing is here. The server stops when you press a key.";
        let text = answer("How do I stop the server?", &[passage("a.md", text, 1.0)]);
        assert!(text.starts_with("“The server stops"), "{text}");
    }

    #[test]
    fn code_is_quoted_where_it_holds_the_name_that_is_asked_for() {
        let code = "```text\nerror[E0502]: cannot borrow `v`\n```";
        for (text, quote) in [
            (format!("It fails.\n\n## Errors\n\n{code}"), code.to_owned()),
            (format!("It does not compile.\n\n{code}\n\nThat is all."), format!("It does not compile.\n\n{code}")),
            (format!("This is what we get:\n\n{code}\n\nThat is all."), format!("This is what we get:\n\n{code}")),
        ] {
            for question in ["What is E0502?", "How do I fix E0502?", "Why do I get E0502 in my program?"] {
                let text = answer_from_afar(question, &text);
                assert!(text.starts_with(&format!("{quote}\n[1]")), "{question} {text}");
            }
        }
    }

    #[test]
    fn a_name_in_code_answers_with_half_of_the_words() {
        let text = "You configure `max_tokens` in the file.";
        let said = answer_from_afar("Where can I configure max_tokens for my account?", text);
        assert!(said.starts_with(&format!("“{text}” [1]")), "{said}");
        let code = "```text\nerror[E0502]: cannot borrow `v`\n```";
        let said = answer_from_afar("How do I fix E0502?", &format!("They fix it all of the time.\n\n## Errors\n\n{code}"));
        assert!(said.starts_with(&format!("{code}\n[1]")), "what holds the other word does not stand before it: {said}");
        let said = answer_from_afar("What was the revenue of max_tokens last quarter?", text);
        assert_eq!(said, "Nothing in the index answers this question.");
    }

    #[test]
    fn a_name_that_is_mentioned_answers_nothing_else() {
        let text = "The pictures of the `max_width` garden are on YouTube and GitHub. They were taken in Q4, before COVID-19, by iPhone.";
        for name in ["YouTube", "GitHub", "Q4", "COVID-19", "iPhone", "max_width"] {
            let said = answer_from_afar(&format!("What was the revenue of {name} last summer?"), text);
            assert_eq!(said, "Nothing in the index answers this question.", "{name}");
        }
    }

    #[test]
    fn prose_is_quoted_that_only_sounds_like_an_announcement() {
        let passages = [passage("vaccine.md", "# Storage\n\n- Store the vaccine below 8 degrees.", 1.0)];
        let text = answer("Must I store the vaccine below 8 degrees?", &passages);
        assert!(text.starts_with("“Store the vaccine below 8 degrees.” [1]"), "{text}");
    }

    #[test]
    fn a_wrapped_block_quote_is_quoted_with_its_marks() {
        let quote = "> Note: It prints to the\n> standard output. The macro prints to the error\n> stream, and returns. Others are short.";
        let passages = [passage("a.md", &format!("It is a macro.\n\n{quote}\n\nThat is all."), 1.0)];
        let text = answer("What does the macro print to?", &passages);
        assert!(text.starts_with(&format!("{quote}\n[1]")), "{text}");
        let text = answer("Which are short?", &passages);
        assert!(text.starts_with("“Others are short.” [1]"), "{text}");
    }

    #[test]
    fn code_and_lists_stand_without_quotation_marks() {
        for block in ["~~~sh\nrun it\n~~~", "+ first\n+ second", "1) first\n2) second", "• first\n• second"] {
            let text = answer("how do I start the server?", &[passage("a.md", &format!("Start the server so:\n\n{block}"), 1.0)]);
            assert!(text.starts_with(&format!("Start the server so:\n\n{block}\n[1]")), "{text}");
        }
        let text = answer("how large is a body?", &[passage("a.md", "- A body is 6 MiB large.\n- Other things are small.", 1.0)]);
        assert!(text.starts_with("“A body is 6 MiB large.” [1]"), "one item is a sentence: {text}");
    }

    #[test]
    fn a_leaning_sentence_brings_the_one_before() {
        let passages = [passage("a.md", "The index is one file. It is memory-mapped at start and never copied.", 1.0)];
        let text = answer("what is memory-mapped at start?", &passages);
        assert!(text.starts_with("“The index is one file. It is memory-mapped at start and never copied.” [1]"), "{text}");
    }

    #[test]
    fn a_sentence_brings_the_one_that_leans_on_it_or_announces() {
        let advice = "You can use **SecureString** in scripts. However, nobody recommends it for new ones.";
        let text = answer("Should I use SecureString?", &[passage("a.md", &format!("{advice} Others do."), 1.0)]);
        assert!(text.starts_with(&format!("“{advice}” [1]")), "{text}");
        let rules =
            "Let us look at the ownership rules. Keep them in mind:\n\n- Each value has an owner.\n- There is one at a time.";
        let text = answer("What are the ownership rules?", &[passage("a.md", &format!("{rules}\n\nThat is all."), 1.0)]);
        assert!(text.starts_with(&format!("{rules}\n[1]")), "{text}");
        let apart = "The mill is sold.\n\nIt rains here all day long.";
        let text = answer("Is the mill sold?", &[passage("a.md", apart, 1.0)]);
        assert!(text.starts_with("“The mill is sold.” [1]"), "another paragraph is about something else: {text}");
    }

    #[test]
    fn overlapping_chunks_are_quoted_once() {
        let same = "The cache holds ten thousand entries and is emptied at night.";
        let text = answer("cache entries", &[passage("a.md", same, 1.0), passage("a.md", same, 0.9)]);
        assert_eq!(text.matches("ten thousand").count(), 1, "{text}");
    }

    #[test]
    fn questions_and_bare_links_answer_nothing_better_than_a_statement() {
        let text = "[What is the index?](index.md)\n\nWhat is the index?\n\nThe index is one memory-mapped file on the disk.";
        let text = answer("What is the index?", &[passage("a.md", text, 1.0)]);
        assert_eq!(text, "“The index is one memory-mapped file on the disk.” [1]\n\nSources:\n[1] a.md");
    }

    #[test]
    fn a_question_in_the_text_is_answered_by_what_stands_behind_it() {
        let faq = "Frequently asked questions\n\nDo I need a key?\nNo key is needed to build an index.\n\nDo I need a GPU?\n\
            No graphics card is needed. The model runs on ordinary processors.\n\nWhich languages are supported?\nAll of them, more or less.";
        let passages = [passage("faq.txt", faq, 1.0)];
        let text = answer("Do I need a GPU?", &passages);
        assert_eq!(
            text, "“No graphics card is needed. The model runs on ordinary processors.” [1]\n\nSources:\n[1] faq.txt",
            "neither the question itself nor other answers"
        );
        let text = answer("which languages are supported", &passages);
        assert!(text.starts_with("“All of them, more or less.” [1]"), "{text}");
        let embedded = candidates("Do I need a GPU?", &passages).remove(0);
        assert!(embedded.text(&passages).starts_with("Do I need a GPU? No graphics card"), "both are compared with the question");
    }

    #[test]
    fn a_heading_is_no_answer() {
        let text = "Timeouts\n\nSet the timeout of the function some seconds longer.";
        let text = answer("timeouts", &[passage("lambda.pdf", text, 1.0)]);
        assert!(text.starts_with("“Set the timeout of the function some seconds longer.” [1]"), "{text}");
        assert_eq!(answer("timeouts", &[passage("a.md", "## Timeouts", 1.0)]), "Nothing in the index answers this question.");
    }

    #[test]
    fn what_is_about_something_else_answers_nothing() {
        let far = |score: Option<f32>| Passage { score, ..passage("a.md", "Somebody wrote to the file during the build.", 1.0) };
        let ask = |question: &str, score: Option<f32>, cosine: Option<f32>| {
            let passages = [far(score)];
            let mut found = candidates(question, &passages);
            if let Some(cosine) = cosine {
                rescore(&mut found, &[cosine]);
            }
            compose(&found, &passages, Format::Any, true)
        };
        let nothing = "Nothing in the index answers this question.";
        assert_eq!(ask("Who wrote Hamlet?", Some(0.13), Some(0.2)), nothing);
        assert_eq!(ask("zzzqqq", Some(0.2), Some(0.2)), nothing);
        assert_eq!(ask("What is the capital of France?", None, None), nothing);
        assert!(ask("Who wrote to the file?", Some(0.4), Some(0.6)).starts_with("“Somebody"));
        assert!(
            ask("Which person changed my document?", Some(0.4), Some(0.5)).starts_with("“Somebody"),
            "meaning alone is enough"
        );
        assert!(ask("build", Some(0.2), Some(0.2)).starts_with("“Somebody"), "a word that is there is enough");
        assert!(ask("Who wrote files in the build?", None, None).starts_with("“Somebody"), "there may be no model");
        assert!(
            ask("Who are The Who?", Some(0.5), Some(0.2)).starts_with("“Somebody"),
            "of function words the passage's nearness is known"
        );
        assert_eq!(ask("Who are The Who?", Some(0.3), Some(0.3)), nothing);
    }

    #[test]
    fn the_passage_of_the_best_statement_comes_first() {
        let passages = [
            passage("a.md", "The cache folder of the build may be deleted.", 0.5),
            passage("b.md", "The cache folder of the build is kept beside the index.", 0.5),
            passage("c.md", "Logs are kept for a week. Old copies are kept for a year.", 0.5),
        ];
        let text = answer("Where is the cache folder of the build kept?", &passages);
        let first = text.find("“The cache folder of the build is kept beside the index.” [2]");
        assert!(first == Some(0) && text.contains("may be deleted.” [1]"), "{text}");
    }

    #[test]
    fn a_row_of_a_table_and_a_name_of_code_are_found() {
        let text = "| Code | Meaning |\n| --- | --- |\n| `LATE` | nothing arrived in time |\n| `FULL` | there is no room left |\n\n\
            The field `metadata.index_digest` names the knowledge that answered.";
        let passages = [passage("codes.md", text, 1.0)];
        let text = answer("What does LATE mean?", &passages);
        let head = "| Code | Meaning |\n| --- | --- |\n| `LATE` | nothing arrived in time |\n[1]";
        assert!(text.starts_with(head), "its columns are named: {text}");
        let long = format!("| Code | Meaning |\n| --- | --- |\n| `LONG` | {}|\n| `LATE` | nothing arrived |", "so ".repeat(200));
        let text = answer("What does LATE mean?", &[passage("codes.md", &long, 1.0)]);
        let apart = "“Code | Meaning” [1]\n\n“`LATE` | nothing arrived” [1]";
        assert!(text.starts_with(apart), "they are too far away for one quote: {text}");
        let plain = "Table 2\nCode | Status | Meaning\nLATE | 504 | nothing arrived\nFULL | 507 | no room is left\nLOST | 404 | nobody has it";
        let text = answer("What does status 504 mean?", &[passage("codes.docx", plain, 1.0)]);
        let row = "“Code | Status | Meaning\nLATE | 504 | nothing arrived” [1]\n\nSources";
        assert!(text.starts_with(row), "its columns are words of it, of other rows they are not: {text}");
        let text = answer("index_digest", &passages);
        assert!(text.starts_with("“The field `metadata.index_digest` names"), "{text}");
    }

    #[test]
    fn what_the_index_finds_by_another_spelling_is_quoted() {
        for (question, text) in [
            ("1500", "At most 1,500 files are read."),
            ("1.2.3", "The release v1.2.3 is out now."),
            ("1,500", "At most 1500 files are read."),
            ("v1.2.3", "The release 1.2.3 is out now."),
            ("서울은", "지난해 서울에서 대회가 열렸습니다."),
        ] {
            let content = format!("{text} Nothing else is said.");
            assert!(answer(question, &[passage("a.md", &content, 1.0)]).starts_with(&format!("“{text}")), "{question}");
        }
    }

    #[test]
    fn json_is_one_object_and_nothing_found_is_said() {
        let passages = [passage("a.md", "The answer is \"42\" and not 41.", 1.0)];
        let json: serde_json::Value =
            serde_json::from_str(&compose(&candidates("what is the answer", &passages), &passages, Format::Json, true)).unwrap();
        assert_eq!(json["answer"][0]["quote"], "The answer is \"42\" and not 41.");
        assert_eq!(json["sources"][0]["source"], "a.md");
        assert_eq!(answer("anything", &[]), "Nothing in the index answers this question.");
    }

    #[test]
    fn meaning_outweighs_words_where_there_is_a_model() {
        let passages = [passage("a.md", "The service needs a port for the service. Ask the doorman to let you in.", 1.0)];
        let mut found = candidates("service entry", &passages);
        assert!(found[0].text(&passages).starts_with("The service"));
        let cosines: Vec<f32> =
            found.iter().map(|candidate| if candidate.text(&passages).starts_with("Ask") { 0.9 } else { 0.0 }).collect();
        rescore(&mut found, &cosines);
        assert!(found[0].text(&passages).starts_with("Ask"));
    }

    proptest! {
        #[test]
        fn every_quote_is_a_slice_of_the_stored_text(texts in prop::collection::vec("(?s)([A-Za-z`#|>*-]{0,9}|[.!?:] |\n|```\n|\\PC){0,60}", 1..4), question in "[a-z ]{0,20}") {
            let passages: Vec<Passage> = texts.iter().map(|text| passage("s", text, 1.0)).collect();
            let found = candidates(&question, &passages);
            for (at, range) in choose(&found, &passages, true) {
                prop_assert!(passages[at].content.get(range.clone()).is_some_and(|quote| !quote.trim().is_empty()));
            }
            for candidate in &found {
                prop_assert!(candidate.lead <= candidate.range.start && candidate.tail >= candidate.range.end);
                prop_assert!(passages[candidate.passage].content.get(candidate.lead..candidate.tail).is_some());
            }
            let _ = compose(&found, &passages, Format::Markdown, true);
        }
    }
}
