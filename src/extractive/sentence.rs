//! Passages to what may be quoted of them: sentences, rows of tables and code, and what belongs to each: the sentence that it
//! leans on, the list or code that it announces, the question that it answers.

use std::ops::Range;

use super::MAX_QUOTE_BYTES;
use super::code::{code, end_of_cut_code, is_code, is_cut_code, is_prose};
use super::table::{is_rule, is_table, rows};
use crate::sentence::{Block, Kind, QUOTE, blocks, split};

/// One statement of a passage. Questions and headings state nothing: they say what those behind them are about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sentence {
    pub(super) range: Range<usize>,
    /// Where a quote of it should begin: the sentence before, where this one leans on it; the head of a table.
    pub(super) lead: usize,
    /// Where a quote of it should end: behind the list, table or code that it announces.
    pub(super) tail: usize,
    /// The names of the columns, where it is a row of a table.
    pub(super) columns: Option<Range<usize>>,
    /// The question that it answers, where the text asks one right before it.
    pub(super) answers: Option<Range<usize>>,
    /// What it loses for being a fragment, a wall of text, or noise.
    pub(super) penalty: f32,
    /// Whether it ends without a stop, or announces what is not there.
    pub(super) is_open: bool,
}

/// All statements of a passage. `is_cut` says that the document's text began before it; an answer of several sentences is one
/// statement if it is no longer than a quote.
pub(super) fn sentences(text: &str, is_cut: bool) -> Vec<Sentence> {
    let is_cut_code = is_cut && is_cut_code(text);
    let start = if is_cut { end_of_cut_code(text) } else { 0 };
    let mut blocks = blocks(&text[start..]);
    for block in &mut blocks {
        block.range = block.range.start + start..block.range.end + start;
    }
    let mut found: Vec<Sentence> = Vec::new();
    // The first statement below the last heading or question: none leans on what stands above.
    let mut section = 0;
    // The first row of the table that a row belongs to.
    let mut head: Option<Range<usize>> = None;
    let mut number = 0;
    while let Some(block) = blocks.get(number) {
        let line = &text[block.range.clone()];
        let next = &blocks[number + 1..];
        number += 1;
        // A comment may look like a question, and what pipes commands like a table.
        if is_cut_code && (line.ends_with('?') || !is_prose(line)) {
            head = None;
            continue;
        }
        if !line.starts_with('|') {
            head = None;
        } else if next.first().is_some_and(|below| is_rule(&text[below.range.clone()])) {
            head = Some(block.range.clone());
            continue;
        }
        if let Some(rows) = rows(text, block, head.clone()) {
            found.extend(rows);
            continue;
        }
        match block.kind {
            Kind::Line => {
                section = found.len();
                if !line.trim_end_matches('#').trim_end().ends_with('?') {
                    continue;
                }
            }
            Kind::Code => {
                let above = found.get(section..).and_then(<[Sentence]>::last);
                found.extend(code(text, block.range.clone(), above));
                continue;
            }
            Kind::OpenCode => continue,
            Kind::Paragraph | Kind::Item => {}
        }
        let mut parts = if block.kind == Kind::Line { Vec::new() } else { split(text, block.range.clone()) };
        if block.kind == Kind::Line || parts.first().is_some_and(|first| text[first.clone()].ends_with('?')) {
            let question = if parts.is_empty() { block.range.clone() } else { parts.remove(0) };
            section = found.len();
            let (range, used) = answer(text, &parts, next);
            number += used;
            if let Some(range) = range {
                parts.retain(|part| part.start >= range.end);
                // "Yes." says something only behind its question.
                let is_short = range.len() < SHORT_BYTES;
                let lead = if is_short { question.start } else { range.start };
                let penalty = if is_short { 0.3 } else { 0.0 };
                found.push(Sentence {
                    lead,
                    tail: range.end,
                    columns: None,
                    answers: Some(question),
                    penalty,
                    is_open: false,
                    range,
                });
            }
        } else if block.kind == Kind::Paragraph && !next.is_empty() && is_heading(line) {
            section = found.len();
            continue;
        }
        for range in parts {
            let before = found.get(section..).and_then(<[Sentence]>::last);
            let tail = if announces(&text[range.clone()]) { announced(text, &range, block, next) } else { Some(range.end) };
            let mut statement = statement(text, range.clone(), tail, before, is_cut, found.is_empty());
            let is_quote = text[range].contains('\n') && text[..block.range.start].ends_with(QUOTE);
            if let Some(statement) = statement.as_mut().filter(|_| is_quote) {
                // Lines of a block quote need their marks, and the first of them stands before its paragraph.
                if block.range.len() + QUOTE.len() <= MAX_QUOTE_BYTES {
                    statement.lead = block.range.start - QUOTE.len();
                    statement.tail = statement.tail.max(block.range.end);
                } else if text[..statement.lead].ends_with(QUOTE) {
                    statement.lead -= QUOTE.len();
                }
            }
            let before = found.get_mut(section..).and_then(<[Sentence]>::last_mut);
            if let (Some(before), Some(statement)) = (before, &statement) {
                bring_on(text, before, statement);
            }
            found.extend(statement);
        }
    }
    found
}

/// A sentence that may be quoted, unless it states nothing. `tail` is the end of what it announces, nothing where that is not
/// there; `before` the sentence that it may lean on; `is_first` says that no statement of the passage stands above it.
fn statement(
    text: &str,
    range: Range<usize>,
    tail: Option<usize>,
    before: Option<&Sentence>,
    is_cut: bool,
    is_first: bool,
) -> Option<Sentence> {
    let sentence = &text[range.clone()];
    let is_at_cut = is_cut && text[..range.start].trim().is_empty();
    let is_fragment = is_at_cut && begins_inside(sentence);
    if sentence.ends_with('?') || is_fragment || is_mere_markup(sentence) || is_code(sentence) {
        return None;
    }
    let leans = leans(sentence);
    let lead = match before.filter(|_| leans) {
        Some(before) if range.end - before.lead <= MAX_QUOTE_BYTES => before.lead,
        Some(before) => before.range.start,
        None => range.start,
    };
    let is_orphan = leans && is_cut && is_first;
    // What it announces is not there.
    let is_lost = tail.is_none();
    let is_open = is_lost || !is_ended(sentence);
    let tail = tail.unwrap_or(range.end);
    let penalty = if range.len() < SHORT_BYTES && tail == range.end { 0.3 } else { 0.0 }
        + if range.len() > 400 { 0.2 } else { 0.0 }
        + if is_noise(sentence) { 0.3 } else { 0.0 }
        + if POINTERS.iter().any(|pointer| sentence.starts_with(pointer)) { 0.3 } else { 0.0 }
        + if is_open { 0.25 } else { 0.0 }
        + if is_lost { 0.25 } else { 0.0 }
        + if is_orphan { 0.2 } else { 0.0 }
        + if is_at_cut && bare(sentence).starts_with('`') { 0.3 } else { 0.0 };
    Some(Sentence { lead, tail, columns: None, answers: None, penalty, is_open, range })
}

/// Lets a quote of the statement `before` go on with the next one of its block, where that leans on it or announces something.
fn bring_on(text: &str, before: &mut Sentence, next: &Sentence) {
    let goes_on = leans(&text[next.range.clone()]) || next.tail > next.range.end;
    let between = text.get(before.range.end..next.range.start);
    let is_behind = between.is_some_and(|blanks| blanks.trim().is_empty() && !blanks.contains("\n\n"));
    if goes_on && is_behind && next.tail - before.lead <= MAX_QUOTE_BYTES {
        before.tail = before.tail.max(next.tail);
    }
}

/// Whether a sentence says little without the one before.
fn leans(sentence: &str) -> bool {
    let mut words = sentence.split([' ', '\n', ',']);
    match words.next().unwrap_or_default() {
        // "The output of `ls`" says of what, "The output shows" does not.
        "The" => words.next().is_some_and(|word| SHOWN.contains(&word)) && words.next() != Some("of"),
        word => LEANING.contains(&word),
    }
}

/// What answers a question: the rest of its paragraph, else the blocks behind it; as much as makes a quote. Also how many blocks
/// that is.
fn answer(text: &str, rest: &[Range<usize>], next: &[Block]) -> (Option<Range<usize>>, usize) {
    let asks = |range: &Range<usize>| text[range.clone()].ends_with('?');
    if let Some(first) = rest.first() {
        let fits = rest.iter().take_while(|part| part.end - first.start <= MAX_QUOTE_BYTES && !asks(part)).last();
        return (fits.map(|last| first.start..last.end), 0);
    }
    let Some(first) = next.first() else { return (None, 0) };
    // The marker of a list's first item is part of the list.
    let start = text[..first.range.start].rfind('\n').map_or(0, |end| end + 1);
    let belongs = |block: &&Block| match block.kind {
        Kind::OpenCode => false,
        Kind::Line => text[block.range.clone()].starts_with('|'),
        Kind::Code => true,
        Kind::Paragraph | Kind::Item => !split(text, block.range.clone()).first().is_some_and(asks),
    };
    let fits = next.iter().take_while(|block| block.range.end - start <= MAX_QUOTE_BYTES && belongs(block)).count();
    (next[..fits].last().map(|last| start..last.range.end), fits)
}

/// Whether there is little to read in it.
pub(super) fn is_noise(text: &str) -> bool {
    let letters = text.chars().filter(|letter| letter.is_alphabetic() || letter.is_whitespace()).count();
    (letters as f32) < 0.6 * text.chars().count() as f32
}

/// Whether a passage was cut inside of the sentence or row that it begins with: what does not begin as a sentence does may be the end of
/// one that says the opposite. Of a piece of code nobody can tell.
fn begins_inside(sentence: &str) -> bool {
    let begins = |first: char| (first.is_alphanumeric() && !first.is_lowercase()) || OPENERS.contains(&first);
    !bare(sentence).starts_with(begins) || sentence.contains(" | ")
}

/// A sentence without the emphasis, quotation mark or bracket that it begins with.
fn bare(sentence: &str) -> &str {
    sentence.trim_start_matches(['*', '_', '"', '“', '(', '['])
}

/// Whether a paragraph is a heading, as formats other than Markdown have them. A line such as "Telephone: 47" tells something.
fn is_heading(line: &str) -> bool {
    let tells = |letter: char| letter.is_numeric() || letter == ':' || letter == '\n';
    line.len() <= 80 && !line.contains(tells) && !is_ended(line) && !line.ends_with(',')
}

/// Whether a statement ends, in a bracket or not.
fn is_ended(text: &str) -> bool {
    text.trim_end_matches(']').ends_with(ENDS)
}

/// Whether nothing but links, a directive or a tag is there; a sentence in brackets is none of them.
fn is_mere_markup(sentence: &str) -> bool {
    let mut depth = 0_usize;
    let mut is_outside = |letter: char| {
        match letter {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0 && letter.is_alphanumeric(),
        }
        false
    };
    let is_bracketed = sentence.starts_with(['[', '!']) && !sentence.contains(&mut is_outside) && depth == 0;
    let is_label = sentence.ends_with(']');
    let is_said = is_label && sentence.trim_end_matches(']').ends_with(STOPS);
    let is_link = is_label || ["](", "]["].iter().any(|mark| sentence.contains(mark));
    let is_within = |marks: (char, char)| sentence.starts_with(marks.0) && sentence.ends_with(marks.1);
    let is_definition = |line: &str| line.trim_start().starts_with('[') && line.contains("]: ");
    !sentence.contains(char::is_alphanumeric)
        || sentence.lines().all(is_definition)
        || (is_bracketed && is_link && !is_said)
        || is_within(('<', '>'))
        || is_within((':', ':'))
}

/// Whether a sentence says that what it is about comes behind it.
fn announces(sentence: &str) -> bool {
    sentence.ends_with(':') || ["following", "as follows", "below"].iter().any(|word| sentence.contains(word))
}

/// Whether a sentence says little without what it announces. "The following year" and "below 8 degrees" announce nothing.
fn leads_on(sentence: &str) -> bool {
    let named = sentence.split_once("he following ").map_or("", |(_, named)| named);
    let is_shown = |word: &str| SHOWN.iter().any(|shown| word.starts_with(shown));
    [":", "as follows.", "the following."].iter().any(|end| sentence.ends_with(end))
        || named.split_whitespace().take(2).any(is_shown)
}

/// The end of what a sentence of a block announces: the code behind it, the items of a list, the rows of a table.
/// Nothing where there is none and it leads on to them.
fn announced(text: &str, sentence: &Range<usize>, block: &Block, next: &[Block]) -> Option<usize> {
    let is_colon = text[sentence.clone()].ends_with(':');
    // Only a colon tells the items below one from those beside it.
    let has_list = is_colon || block.kind == Kind::Paragraph;
    let mut end = if is_colon { block.range.end } else { sentence.end };
    for (number, block) in next.iter().enumerate() {
        match block.kind {
            Kind::Item if has_list => end = block.range.end,
            Kind::Line if text[block.range.clone()].starts_with('|') => end = block.range.end,
            Kind::Paragraph if number == 0 && is_table(text, block) => return Some(block.range.end),
            Kind::Code if number == 0 => return Some(block.range.end),
            _ => break,
        }
    }
    let is_whole = sentence.end < block.range.end || !leads_on(&text[sentence.clone()]);
    (end > sentence.end || is_whole).then_some(end)
}

/// Below this many bytes, a statement says little.
const SHORT_BYTES: usize = 25;

/// What a statement ends with.
const ENDS: [char; 8] = ['.', '!', ':', ')', '"', '”', '。', '`'];

/// What the last word of a sentence is followed by.
pub(super) const STOPS: [char; 4] = ['.', '!', '?', '。'];

/// What "the following" names where it is shown behind the sentence.
const SHOWN: [&str; 9] = ["code", "command", "example", "list", "option", "output", "snippet", "step", "table"];

/// Other marks that a sentence may begin with.
const OPENERS: [char; 7] = ['„', '«', '「', '『', '¿', '¡', '`'];

/// How a sentence begins that only says where to read on.
const POINTERS: [&str; 6] = [
    "For more information",
    "For more details",
    "For further information",
    "For additional information",
    "See [",
    "To learn more",
];

/// First words that lean on the sentence before.
const LEANING: [&str; 19] = [
    "It",
    "This",
    "That",
    "These",
    "Those",
    "They",
    "He",
    "She",
    "Its",
    "Their",
    "However",
    "Therefore",
    "Then",
    "Otherwise",
    "Instead",
    "Also",
    "But",
    "So",
    "Thus",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        sentences(text, false).into_iter().map(|sentence| &text[sentence.range]).collect()
    }

    #[test]
    fn sentences_survive_abbreviations_wrapping_and_markdown() {
        let text = "# Title\n\nUse a port, e.g. 8080, on it. Version 1.5 (cf. Fig. 3) by J. Doe is\nfine. Is it?\n\n\
            - First item\n- Second item. More.\n\n```sh\nrun it. now.\n```\n\n| a | b |\n|---|---|\n\n> Quoted text.\n3) Third\n";
        let expected = [
            "Use a port, e.g. 8080, on it.",
            "Version 1.5 (cf. Fig. 3) by J. Doe is\nfine.",
            "First item",
            "Second item.",
            "More.",
            "```sh\nrun it. now.\n```",
            "Quoted text.",
            "Third",
        ];
        assert_eq!(texts(text), expected);
    }

    #[test]
    fn stops_inside_of_code_and_names_end_no_sentence() {
        assert_eq!(texts("The `?` operator of .NET is short. It ends."), ["The `?` operator of .NET is short.", "It ends."]);
    }

    #[test]
    fn what_answers_a_question_is_one_statement() {
        let text = "Questions about it\n\nDo I need a key?\nNo. None\nis needed to begin.\n\n## How do I begin?\n\n1. Build it:\n\n```sh\nrun\n```\n\n\
            2. Serve it.\n\n## Further\n\nRead on.\n\nIs it free?\nYes.";
        let all = sentences(text, false);
        let answered: Vec<(&str, &str)> =
            all.iter().filter_map(|one| Some((&text[one.answers.clone()?], &text[one.lead..one.tail]))).collect();
        let expected = [
            ("Do I need a key?", "No. None\nis needed to begin."),
            ("## How do I begin?", "1. Build it:\n\n```sh\nrun\n```\n\n2. Serve it."),
            ("Is it free?", "Is it free?\nYes."),
        ];
        assert_eq!(answered, expected);
        assert_eq!(
            texts(text),
            ["No. None\nis needed to begin.", "1. Build it:\n\n```sh\nrun\n```\n\n2. Serve it.", "Read on.", "Yes."]
        );
        let long = format!("## Why?\n\nOne sentence.\n\nAnother one{}.", " and more".repeat(MAX_QUOTE_BYTES / 9));
        let cut = sentences(&long, false);
        assert_eq!(cut.len(), 2, "an answer of more than the bytes of a quote is cut between blocks: {cut:?}");
    }

    #[test]
    fn rows_of_tables_are_statements_and_their_heads_are_none() {
        let text = "The codes are:\n\n| Code | Status |\n| --- | --- |\n| `LATE` | 504 |\n\nVariable | Meaning\nOMNI_ADDR | where it listens\n";
        assert_eq!(texts(text), ["The codes are:", "`LATE` | 504", "OMNI_ADDR | where it listens"]);
        let codes = &sentences(text, false)[0];
        assert!(text[codes.lead..codes.tail].ends_with("| `LATE` | 504 |"), "a table is announced as a list is");
        let bare = "The codes are:\n\n| Status | Meaning\nLATE | 504 | nothing arrived\nFULL | 507 | no room";
        assert_eq!(texts(bare)[1..], ["LATE | 504 | nothing arrived", "FULL | 507 | no room"], "a head may lack its first cell");
        assert_eq!(sentences(bare, false)[0].tail, bare.len());
    }

    #[test]
    fn what_a_passage_cuts_in_two_is_no_statement() {
        let read = |text: &'static str| -> Vec<&str> {
            sentences(text, true).into_iter().map(|sentence| &text[sentence.range]).collect()
        };
        assert_eq!(read("that the file is closed. It is then read again."), ["It is then read again."]);
        assert_eq!(read("    let x = f();\n}\n```\n\nThis opens the file."), ["This opens the file."]);
        assert_eq!(read("413 | too large | send less |\n\nAll codes are listed."), ["All codes are listed."]);
        let cut = sentences("`OPT_OUT=1` to disable it.\n\n`OMNI_ADDR` sets the address.", true);
        assert!(cut[0].penalty > cut[1].penalty, "what begins with code may be cut: {cut:?}");
        assert_eq!(read("[the rule](rule.md) allows it. It is on."), ["It is on."]);
        assert_eq!(read("- `OPT_OUT=1` disables it."), ["`OPT_OUT=1` disables it."]);
        assert_eq!(read("$ cd demo\n$ cargo add serde\n```\n\nThis adds it."), ["This adds it."]);
        assert_eq!(read("    run();\n} // it ends here\n~~~\n\nThis runs it."), ["This runs it."]);
        for whole in [
            "**Warning:** Never expose port 8080.",
            "“Omni” means all of it.",
            "(Optional) Set the key before you start.",
            "[Omni](https://omni.example) reads folders.",
        ] {
            assert_eq!(read(whole), [whole]);
        }
        let pipes = "$ cat mill.log | grep turbine | sort -u\n$ cat mill.log | grep stone | sort -u\n$ cat mill.log | wc -l";
        assert!(read(pipes).is_empty(), "pipes make no table");
        let bucket = "resource \"a\" \"b\" {\n}\n\nresource \"c\" \"d\" {\n\n# Is the bucket public?\nacl = \"private\"\n}";
        assert!(read(bucket).is_empty(), "a comment asks nothing");
        let manual = "The grinding stones are cooled with water.\n\n- Never run them dry\n\n::\n\n\
            \u{20}   $ millctl cool\n    $ millctl grind\n    $ millctl stop";
        assert_eq!(read(manual), ["The grinding stones are cooled with water."], "code needs no fences");
        assert_eq!(read(&manual[..manual.find("    $ millctl stop").unwrap()]).len(), 2);
        assert!(read("It takes two. It is\n  fn two() {\n    one();\n}").is_empty(), "its fences are in other passages");
        assert_eq!(read("it.\n```\n\nThis is it.\n\n```rust\nrun();\n```"), ["This is it.", "```rust\nrun();\n```"]);
        assert_eq!(texts("> ```rust,E0503\n> let x = 1;\n> ```\n\nIt fails."), ["It fails."]);
        assert_eq!(read("> }\n> run();\n> ```\n\n> It is one."), ["It is one."]);
        assert_eq!(read("It is one.\n\n```rust\nrun();\n```"), ["It is one.", "```rust\nrun();\n```"]);
        assert_eq!(texts("<a id=\"top\"></a>\n\n// A comment of code.\n\n[Next](next.md)\n\nA sentence."), ["A sentence."]);
    }

    #[test]
    fn links_state_nothing_and_pointers_little() {
        let text = "[Creating it][02]\n\n[02]: two.md\n[03]: three.md\n\n[One](one.md), [two][two].\n\n[!INCLUDE [Support](support.md)]\n\n:::code range=\"1-2\":::\n\n\
            [It](it.md) is free for [all].\n\nFor more information, see [Creating it][02].";
        let found = sentences(text, false);
        let said: Vec<&str> = found.iter().map(|one| &text[one.range.clone()]).collect();
        assert_eq!(said, ["[It](it.md) is free for [all].", "For more information, see [Creating it][02]."]);
        assert!(found[1].penalty > found[0].penalty);
    }

    #[test]
    fn a_sentence_in_brackets_is_no_markup() {
        let text = "[The bridge opens at nine and closes at five.]\n\n[Notice (see § 4): the path is closed in winter.";
        assert_eq!(texts(text), text.split("\n\n").collect::<Vec<_>>());
        assert!(sentences(text, false).iter().all(|one| !one.is_open));
        assert!(texts("[Creating it]\n\n[![Build](build.svg)](ci.md)").is_empty());
    }

    #[test]
    fn what_only_sounds_like_an_announcement_is_whole() {
        let is_open = |text: &str| sentences(text, false)[0].is_open;
        for whole in [
            "- Store the vaccine below 8 degrees.",
            "The mill was sold in the following year.",
            "Following the river, the path climbs.",
            "It is open to children aged 12 and below.",
        ] {
            assert!(!is_open(whole), "{whole}");
        }
        for open in ["It is started with the following Java code.", "The steps are as follows.", "Start it so:"] {
            assert!(is_open(open), "{open}");
            assert!(!is_open(&format!("{open}\n\n```sh\nrun\n```")), "{open}");
        }
    }

    #[test]
    fn a_leaning_sentence_leans_on_the_paragraph_before_but_not_over_a_heading() {
        let text = "The index is a file.\n\nIt is mapped. It is never copied.\n\n# Other\n\nThis page is short.";
        let leads = |text: &str| sentences(text, false).iter().map(|sentence| sentence.lead).collect::<Vec<_>>();
        assert_eq!(leads(text), [0, 0, 0, text.find("This").unwrap()]);
        assert_eq!(leads("Run it. The command downloads a file."), [0, 0]);
        assert_eq!(leads("Run it. The output of `ls` is a list."), [0, 8]);
    }
}
