//! Pure: where a text's paragraphs, list items and code lie, and where its sentences end. Everything is linear in its length.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// What ends a sentence.
const ENDS: [char; 11] = ['.', '!', '?', '…', '。', '！', '？', '｡', '।', '؟', '۔'];
/// Of these, those that need no blank behind them.
const WIDE_ENDS: [char; 6] = ['。', '！', '？', '｡', '।', '؟'];
/// What stands behind the end and still belongs to the sentence.
const CLOSERS: [char; 15] = ['"', '\'', '”', '’', '“', '»', '«', '›', '」', '』', ')', '）', ']', '*', '_'];
/// What stands before the beginning of one; Unicode takes any bracket or mark behind a full stop for one that closes.
const OPENERS: [char; 8] = ['“', '「', '『', '(', '（', '[', '【', '《'];
/// Closers that open a quotation in other languages: there something follows at once.
const EITHER: [char; 3] = ['“', '«', '›'];

/// A run of lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which bytes of the text, without the marker of a list item.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a run of lines is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sentences.
    Paragraph,
    /// Sentences behind a list marker.
    Item,
    /// Code between fences.
    Code,
    /// Code whose end the text does not have.
    OpenCode,
    /// A line that holds no sentence: a heading, a rule, a row of a table.
    Line,
}

/// Everything in a text but its blank lines.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    // Whether it is prose of a block quote, of which each line has a marker.
    let mut is_quote = false;
    let mut fence: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        let content = start + indent..start + indent + trimmed.len();
        if is_fence(trimmed) {
            blocks.extend(open.take());
            match fence.take() {
                Some(begin) => blocks.push(Block { range: begin..content.end, kind: Kind::Code }),
                None => fence = Some(content.start),
            }
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let is_row = trimmed.starts_with('|') && {
            let before = open.as_ref().and_then(|block| text[block.range.clone()].lines().next_back());
            let next = text[at..].lines().next().filter(|next| !next.trim_start().starts_with('|'));
            !before.or(next).is_some_and(|row| row.contains(CELLS))
        };
        let no_sentence = trimmed.starts_with('#') || is_row || !trimmed.chars().any(char::is_alphanumeric);
        if no_sentence {
            blocks.extend(open.take());
            if !trimmed.is_empty() {
                blocks.push(Block { range: content, kind: Kind::Line });
            }
            continue;
        }
        let marker = marker(trimmed);
        match &mut open {
            Some(block) if marker == 0 || (is_quote && is_quoted_prose(trimmed)) => block.range.end = content.end,
            Some(block) if block.kind == Kind::Paragraph && is_wrapped(&text[block.range.clone()], trimmed) => {
                block.range.end = content.end;
            }
            _ => {
                blocks.extend(open.take());
                let kind = if marker > 0 && !trimmed.starts_with('>') { Kind::Item } else { Kind::Paragraph };
                open = Some(Block { range: content.start + marker..content.end, kind });
                is_quote = is_quoted_prose(trimmed);
            }
        }
    }
    blocks.extend(open);
    blocks.extend(fence.map(|begin| Block { range: begin..text.len(), kind: Kind::OpenCode }));
    blocks
}

/// Whether a line is prose of a block quote: a list, code, a table or a label such as `[!NOTE]` in it stands for itself.
fn is_quoted_prose(line: &str) -> bool {
    let is_apart = |line: &str| marker(line) > 0 || is_fence(line) || line.starts_with(['#', '|']) || line.starts_with("[!");
    line.strip_prefix(QUOTE).is_some_and(|inside| !is_apart(inside.trim_start()))
}

/// Whether a line that looks like an item is the rest of the prose before it, of a block quote or not: "between 0 and\n255. It".
fn is_wrapped(prose: &str, line: &str) -> bool {
    let line = line.strip_prefix(QUOTE).unwrap_or(line);
    let is_numbered = line.starts_with(|first: char| first.is_ascii_digit()) && marker(line) > 0;
    is_numbered && !line.starts_with("1.") && !line.starts_with("1)") && !is_whole(prose)
}

/// What parts the cells of a table; a row without bars around it begins with one where its first cell is empty.
pub const CELLS: &str = " | ";

/// What each line of a block quote begins with.
pub const QUOTE: &str = "> ";

/// Whether a line is a fence, and not a piece of code that begins the line.
pub fn is_fence(line: &str) -> bool {
    line.starts_with("~~~") || (line.starts_with("```") && !line.trim_start_matches('`').contains('`'))
}

/// Bytes of the list or quote marker that a line begins with.
pub fn marker(line: &str) -> usize {
    for marker in ["- [ ] ", "- [x] ", "- ", "* ", "+ ", "• ", QUOTE] {
        if line.starts_with(marker) {
            return marker.len();
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let follows = line.get(digits..digits + 2);
    if (1..=3).contains(&digits) && matches!(follows, Some(". " | ") ")) { digits + 2 } else { 0 }
}

/// Sentences of one block. Unicode's rule ends a sentence behind every full stop; ours joins it again after an abbreviation
/// and inside of code (`?`, `0..=9`).
pub fn split(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let (mut start, mut body) = (block.start, block.start);
    for (offset, piece) in text[block.clone()].split_sentence_bound_indices() {
        let mut end = block.start + offset + piece.len();
        let mut opens = false;
        match piece.trim_end().len() {
            // Blanks end nothing; of many only the last is looked at.
            0 if end < block.end => continue,
            0 => {}
            length => {
                let opening = if length == piece.len() && end < block.end { opening(piece) } else { 0 };
                opens = opening > 0;
                end -= opening;
                body = block.start + offset + length - opening;
            }
        }
        if body == end && !opens {
            // Unicode does not know the marks of emphasis.
            let rest = &text[end..block.end];
            let behind = rest.trim_start_matches(['*', '_']);
            if behind.starts_with(char::is_whitespace) {
                body = block.end - behind.len();
                end = block.end - behind.trim_start().len();
            }
        }
        let so_far = &text[start.min(body)..body];
        let next = unquoted(text, end..block.end, block.start);
        // A wrapped line is no boundary; Unicode takes a line end for one. Nor is what has no blank behind it.
        let wrapped = !is_whole(so_far);
        let tight = body == end && !opens && !so_far.trim_end_matches(CLOSERS).ends_with(WIDE_ENDS);
        if end < block.end && (wrapped || tight || goes_on(so_far, next)) {
            continue;
        }
        let sentence = unquoted(text, start.min(body)..body, block.start);
        if !sentence.is_empty() {
            sentences.push(body - sentence.len()..body);
        }
        start = end;
    }
    sentences
}

/// The offset of each sentence but the first, ascending, in text of several blocks. A sentence ends at a full stop or the like, with
/// what closes behind it, where white space and no small letter follows; or where the script needs no blanks.
pub fn starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    // What ends inside of code ends the sentence around it, too.
    let closes = |letter: char| CLOSERS.contains(&letter) || matches!(letter, '`' | '}');
    while let Some(end) = text[at..].find(ENDS) {
        let rest = text[at + end..].trim_start_matches(|letter| ENDS.contains(&letter) || closes(letter));
        let mut body = &text[..text.len() - rest.len()];
        if rest.starts_with(|letter: char| !letter.is_whitespace()) {
            body = body.trim_end_matches(EITHER);
        }
        let rest = &text[body.len()..];
        let next = rest.trim_start();
        at = text.len() - next.len();
        let is_wide = body.trim_end_matches(closes).ends_with(WIDE_ENDS);
        if !next.is_empty() && (is_wide || (next.len() < rest.len() && !goes_on(body, next))) {
            starts.push(at);
        }
    }
    starts
}

/// A range of a text from its first word on: without blanks, and without the markers of a quote where it begins a line of its block, which
/// begins at `first`.
fn unquoted(text: &str, range: Range<usize>, first: usize) -> &str {
    let mut rest = text[range.clone()].trim_start();
    let before = &text[first..range.end - rest.len()];
    let above = before.trim_end();
    let begins_line = above.is_empty() || before[above.len()..].contains('\n');
    while let Some(inside) = rest.strip_prefix(QUOTE).filter(|_| begins_line) {
        rest = inside.trim_start();
    }
    rest
}

/// Whether what ends like a sentence goes on in `next`.
fn goes_on(sentence: &str, next: &str) -> bool {
    let word = next.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    next.starts_with(char::is_lowercase)
        || is_abbreviated(sentence, next)
        || COMPANIES.contains(&word)
        || (COUNTED.contains(&word) && is_ordinal(sentence))
}

/// Whether a text ends with a number that German counts with: `3.`.
fn is_ordinal(text: &str) -> bool {
    let number =
        text.strip_suffix('.').map_or(0, |number| number.len() - number.trim_end_matches(|c: char| c.is_ascii_digit()).len());
    (1..=2).contains(&number)
}

/// Bytes of the marks and brackets behind a full stop that open what follows. A German quotation ends with a mark that opens elsewhere.
/// What stands between the text of a link and its address opens nothing.
fn opening(piece: &str) -> usize {
    let before = piece.trim_end_matches(OPENERS);
    let is_link = before.ends_with(']') && piece[before.len()..].starts_with(['(', '[']);
    if !is_link && before.trim_end_matches(CLOSERS).ends_with(ENDS) && !before.contains('„') {
        piece.len() - before.len()
    } else {
        0
    }
}

/// Whether a line that ends so does not go on in the next one.
fn is_whole(line: &str) -> bool {
    let bare = line.trim_end_matches(CLOSERS);
    bare.ends_with(ENDS) || line.ends_with([':', '"', '”', '“', '»', '«', '」', '』', ')', '）'])
}

/// Whether a sentence ends with this text: with a full stop or the like, what closes behind it, and a blank where the script has blanks.
pub fn is_ended(text: &str) -> bool {
    let body = text.trim_end();
    let bare = body.trim_end_matches(CLOSERS);
    (body.len() < text.len() || bare.ends_with(WIDE_ENDS)) && bare.ends_with(ENDS) && !is_abbreviated(body, "")
}

/// Whether a text ends with an abbreviation, an initial or nothing, whose full stop is no end where `next` follows.
fn is_abbreviated(sentence: &str, next: &str) -> bool {
    let Some(body) = sentence.strip_suffix('.') else { return false };
    let word = body.rsplit(|letter: char| letter.is_whitespace() || letter == '(').next().unwrap_or_default();
    let bare = word.trim_start_matches(['[', '"', '“', '„']);
    let is_known = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(bare));
    // A small letter may be the last word, and a letter of a script without case a whole one: of `z. B.` both are short.
    let letter = |text: &str| text.chars().next().filter(|letter| letter.is_alphabetic());
    let is_short = |text: &str| letter(text).is_some_and(|letter| text[letter.len_utf8()..].starts_with('.'));
    let only = letter(bare).filter(|letter| letter.len_utf8() == bare.len());
    let is_initial = only.is_some_and(|only| only.is_uppercase() || (only.is_lowercase() && is_short(next)));
    let is_digit = |letter: char| letter.is_ascii_digit();
    let goes_on = || next.starts_with(is_digit) || OFFICES.iter().any(|office| next.starts_with(office));
    let is_capital = || unmarked(next).starts_with(char::is_uppercase);
    // `No. A12` and `Sec. IV` go on; what is `no.` and what takes 30 `sec.` may be at its end.
    let is_number = || next.split_whitespace().next().is_some_and(|word| word.contains(is_digit));
    let counts = || bare.starts_with(char::is_uppercase) || !is_capital() || is_number();
    // Before a name such as `.NET` there is no word.
    is_initial
        || word.is_empty()
        || is_known(&ABBREVIATIONS)
        || (is_known(&LAST) && goes_on())
        || (is_known(&LAST_BEFORE_CAPITAL) && !is_capital())
        || (is_known(&COUNTING) && counts())
}

/// A text without numbers of sources before it.
fn unmarked(mut text: &str) -> &str {
    let numbers = |letter: char| letter.is_ascii_digit() || matches!(letter, ',' | '-' | ' ');
    while let Some(rest) = text.strip_prefix('[').and_then(|rest| rest.trim_start_matches(numbers).strip_prefix(']')) {
        text = rest.trim_start();
    }
    text
}

#[rustfmt::skip]
const ABBREVIATIONS: [&str; 30] = [
    "e.g", "i.e", "vs", "cf", "al", "fig", "figs", "eq", "nos", "vol", "pp", "ch", "dr", "mr", "mrs", "ms", "mme", "prof", "st",
    "jr", "sr", "co", "approx", "dept", "est", "resp", "ver", "bzw", "ca", "nr",
];

/// Abbreviations that sentences end with where a capital follows: `(“Acme”)` behind `Inc.` begins none.
const LAST_BEFORE_CAPITAL: [&str; 4] = ["etc", "inc", "ltd", "usw"];

/// What stands before a number, and is a last word as well.
const COUNTING: [&str; 2] = ["no", "sec"];

/// Abbreviations that sentences end with as well.
#[rustfmt::skip]
const LAST: [&str; 15] = [
    "u.s", "a.m", "p.m", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
];

/// What stands behind `U.S.` in names.
const OFFICES: [&str; 8] = ["Army", "Congress", "Department", "Government", "Navy", "President", "Senate", "Supreme"];

/// What stands behind the name of a company, which may end like a sentence: `Yahoo! Inc.`, `Acme & Co. KG`.
const COMPANIES: [&str; 6] = ["Inc", "Ltd", "Corp", "LLC", "KG", "KGaA"];

/// What German dates and ordinals count.
const COUNTED: [&str; 15] = [
    "Januar",
    "Jänner",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
    "Jahrhundert",
    "Jahrhunderts",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<&str> {
        let blocks = blocks(text).into_iter().filter(|block| block.kind != Kind::Line);
        blocks.flat_map(|block| split(text, block.range)).map(|range| &text[range]).collect()
    }

    fn one(text: &str) {
        assert_eq!(all(text), [text]);
        assert!(starts(text).is_empty(), "{text}");
    }

    #[test]
    fn stops_of_dates_and_abbreviations_end_no_sentence() {
        one("Am 3. Mai 2024 und am 15. Januar, z. B. in Nr. 5 des 19. Jahrhunderts, war Mme. Curie ca. 9 Uhr da.");
        one("Two left on Oct. 25, 1999, one on Sept. 3.");
        one("With ver. 2.0 the U.S. Government and Yahoo! Inc. meet at 9 a.m. in Berlin, see vol. 2 and No. 5.");
        one(
            "Acme Inc. (“Acme”) and Muster GmbH & Co. KG sell parts No. A12 to B9, tools etc. [1] and more, est. 1999, see Sec. 3.",
        );
        one(
            "The bakery Acme Foods (est. March 1999) sells bread on Martin Luther King Jr. Day, as Annex No. II and Sec. IV say.",
        );
        for text in [
            "A failed upload is repeated after 30 sec. The support team answers within two working days.",
            "The bananas are sold by Acme Ltd. They need some sun.",
            "It reads XML, CSV etc. S3 needs credentials.",
            "The answer is no. It costs money.",
            "Es gibt Äpfel, Birnen usw. Der Rest ist hier.",
            "Solve for x. The rest follows.",
            "Backups run at 2 a.m. Restores need root.",
            "We ship from the U.S. Orders take two days.",
            "지울 것. 매년 한다.",
        ] {
            assert_eq!(all(text).len(), 2, "{text}");
            assert_eq!(starts(text).len(), 1, "{text}");
        }
        assert_eq!(all("There are 3. The rest is 12. Others follow."), ["There are 3.", "The rest is 12.", "Others follow."]);
    }

    #[test]
    fn stops_without_a_blank_behind_them_end_no_sentence() {
        one("Read [Is it free?](faq.md#free) and [Stop!][1] before you start.");
        one("Given `impl<P1..=Pn> Trait<T1..=Tn>` and `a[..=Last]`, `Some(x?)?Next` holds.");
        assert_eq!(
            all("**It is bold.** _Is it?_ Yes.[1] “So?” End"),
            ["**It is bold.**", "_Is it?_", "Yes.", "[1] “So?”", "End"]
        );
        assert_eq!(all("今日は。元気？はい"), ["今日は。", "元気？", "はい"]);
    }

    #[test]
    fn a_wrapped_block_quote_is_one_block() {
        let text =
            "> Warning: Do not run it, because it will\n> delete all data. It is\n> final.\n>\n> Next one\n> - Item\n\nRest.";
        let expected =
            ["Warning: Do not run it, because it will\n> delete all data.", "It is\n> final.", "Next one", "- Item", "Rest."];
        assert_eq!(all(text), expected);
        assert_eq!(all("Files have a limit. > 5 GB is refused."), ["Files have a limit.", "> 5 GB is refused."]);
        assert_eq!(all("> [!NOTE]\n> This ends.\n> That too."), ["[!NOTE]", "This ends.", "That too."]);
    }

    #[test]
    fn a_wrapped_line_may_begin_with_a_number() {
        for mark in ["", "> "] {
            let text = format!("{mark}A `u8` holds values between 0 and\n{mark}255. More than that is\n{mark}no `u8`.");
            assert_eq!(
                all(&text),
                [format!("A `u8` holds values between 0 and\n{mark}255."), format!("More than that is\n{mark}no `u8`.")]
            );
        }
        for list in ["It begins:\n2. Second\n3. Third", "It goes so\n1. First\n2. Second", "2. Second\n3. Third"] {
            assert_eq!(blocks(list).len(), list.lines().count(), "{list}");
        }
    }

    #[test]
    fn a_row_without_bars_may_have_an_empty_first_cell() {
        for table in ["| 2023 | 2024\nSales | 4 | 5", "Part | Price\n| 4\nBolt | 5", "a | b | c\n| 1 | 2\n| 3 | 4"] {
            assert_eq!(blocks(table), [Block { range: 0..table.len(), kind: Kind::Paragraph }], "{table}");
        }
        for table in ["| a | b |\n| --- | --- |\n| 1 | 2 |", "| a | b\n|---|---\n| 1 | 2"] {
            assert_eq!(blocks(table).len(), 3, "{table}");
        }
    }

    #[test]
    fn sentences_begin_where_a_reader_begins_them() {
        let sentences = |text: &'static str| -> Vec<&str> {
            let mut from = 0;
            let ends = starts(text).into_iter().chain([text.len()]);
            ends.map(|end| text[std::mem::replace(&mut from, end)..end].trim_end()).collect()
        };
        assert_eq!(
            sentences("One is\nwrapped here. Two (\"quoted.\") Three? 4 is a number!"),
            ["One is\nwrapped here.", "Two (\"quoted.\")", "Three?", "4 is a number!"]
        );
        assert_eq!(
            sentences("See J. Smith, e.g. Figure 2, cf. Table 3 vs. Table 4."),
            ["See J. Smith, e.g. Figure 2, cf. Table 3 vs. Table 4."]
        );
        assert_eq!(sentences("Use v1.2.3 of foo.rs now... and go on. Done"), ["Use v1.2.3 of foo.rs now... and go on.", "Done"]);
        assert_eq!(sentences("今日は。元気？はい"), ["今日は。", "元気？", "はい"]);
        assert_eq!(sentences("他说。“你好。”然后走了。"), ["他说。", "“你好。”", "然后走了。"]);
        assert_eq!(sentences("Print `done.` Then exit. „So.“ End"), ["Print `done.`", "Then exit.", "„So.“", "End"]);
        assert_eq!(sentences(""), [""]);
        assert_eq!(sentences("..."), ["..."]);
    }
}
