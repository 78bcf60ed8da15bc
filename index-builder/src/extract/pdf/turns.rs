//! Sentences that a page's end cuts, or a large first letter, go on where they go on.

use unpdf::{Block, InlineContent, Page, Paragraph, TextRun};

use super::words::{Vocabulary, readable};

/// The fewest letters of a paragraph that may be cut: shorter ones are labels.
const CUT_MIN: usize = 30;
/// What a sentence ends with, or what announces something else.
const ENDS: [char; 12] = ['.', '!', '?', ':', ';', '…', '。', '！', '？', '।', '؟', '۔'];
const CLOSERS: [char; 8] = ['"', '\'', '”', '’', '»', ')', ']', '“'];
const HYPHENS: [char; 2] = ['-', '\u{2010}'];

/// Puts footnotes before the paragraph that the end of their page cuts, and the other half of a word that was cut to its beginning.
/// Returns, for each page, whether its first block goes on with the last one of the page before; only pages that `may` be joined
/// are.
pub(super) fn join(pages: &mut [Page], may: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut goes_on = vec![false; pages.len()];
    for number in (1..pages.len()).filter(|number| may(number - 1) && may(*number)) {
        let (before, from) = pages.split_at_mut(number);
        let (above, below) = (&mut before[number - 1], &mut from[0]);
        let notes = above.elements.iter().rev().take_while(|block| is_footnote(block)).count();
        let Some(last) = above.elements.len().checked_sub(notes + 1) else { continue };
        let (Block::Paragraph(cut), Some(Block::Paragraph(next))) = (&mut above.elements[last], below.elements.first_mut())
        else {
            continue;
        };
        if above.number + 1 != below.number || !is_cut(cut) || !is_prose(next) {
            continue;
        }
        let text = next.plain_text();
        if !text.trim_start().starts_with(char::is_lowercase) {
            continue;
        }
        if cut.plain_text().trim_end().ends_with(HYPHENS)
            && let Some((half, rest)) = text.trim().split_once(char::is_whitespace)
        {
            cut.content.push(InlineContent::Text(TextRun::new(format!(" {half}"))));
            next.content = vec![InlineContent::Text(TextRun::new(rest))];
        }
        above.elements[last..].rotate_left(1);
        goes_on[number] = true;
    }
    goes_on
}

/// Joins a large first letter with the line beside it.
pub(super) fn join_initials(page: &mut Page, vocabulary: &Vocabulary) {
    for index in 1..page.elements.len() {
        let (before, from) = page.elements.split_at_mut(index);
        let (Block::Paragraph(initial), Block::Paragraph(line)) = (&mut before[index - 1], &mut from[0]) else { continue };
        let (letter, text) = (initial.plain_text().trim().to_owned(), line.plain_text());
        let is_initial = initial.is_heading() && letter.chars().count() == 1 && letter.starts_with(char::is_uppercase);
        if is_initial && is_prose(line) && text.chars().count() >= CUT_MIN && text.starts_with(char::is_lowercase) {
            // `A` may be a word: where the rest stands alone elsewhere, more often than both as one do, or where those never do.
            let rest = text.split(|char: char| !char.is_alphabetic()).next().unwrap_or_default();
            let (joined, apart) = (vocabulary.count(&format!("{letter}{rest}")), vocabulary.count(rest).saturating_sub(1));
            let is_word = rest.chars().nth(1).is_some()
                && match letter.as_str() {
                    "A" | "I" => apart > joined || joined == 0,
                    "O" => apart > joined,
                    _ => false,
                };
            let gap = if is_word { " " } else { "" };
            *line = Paragraph::with_text(format!("{letter}{gap}{text}"));
            initial.content.clear();
        }
    }
}

fn is_prose(paragraph: &Paragraph) -> bool {
    !paragraph.is_heading() && !paragraph.is_list_item()
}

/// Whether a paragraph ends within a sentence.
fn is_cut(paragraph: &Paragraph) -> bool {
    let text = readable(&paragraph.plain_text());
    let is_long = text.chars().filter(|char| char.is_alphabetic()).count() >= CUT_MIN;
    let end = text.trim_end().trim_end_matches(CLOSERS);
    !paragraph.is_heading() && is_long && !end.is_empty() && !end.ends_with(ENDS)
}

/// `2 See the appendix.`
fn is_footnote(block: &Block) -> bool {
    let Block::Paragraph(paragraph) = block else { return false };
    let text = paragraph.plain_text();
    let text = text.trim_start();
    let behind = text.trim_start_matches(|char: char| char.is_ascii_digit());
    let digits = text.len() - behind.len();
    let behind = if digits == 0 { text.trim_start_matches(['*', '†', '‡', '§']) } else { behind };
    let is_marked = behind.len() < text.len() && digits <= 2;
    is_prose(paragraph) && is_marked && behind.trim_start().starts_with(|char: char| char.is_uppercase() || char == '“')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32, texts: &[&str]) -> Page {
        let mut page = Page::a4(number);
        texts.iter().for_each(|text| match text.strip_prefix("# ") {
            Some(heading) => page.add_paragraph(Paragraph::heading(heading, 1)),
            None => page.add_paragraph(Paragraph::with_text(*text)),
        });
        page
    }

    fn texts(page: &Page) -> String {
        page.plain_text().replace("\n\n", "/")
    }

    #[test]
    fn what_a_page_cuts_goes_on_behind_its_footnotes() {
        let mut pages = [
            page(1, &["The mill by the river grinds the flour of three vil-", "2 See the appendix.", "3 By night."]),
            page(2, &["lages by day", "The mill by the river grinds no flour."]),
            page(3, &["by night", "The mill by the river grinds the flour of three"]),
            page(4, &["Villages"]),
        ];
        assert_eq!(join(&mut pages, |_| true), [false, true, false, false]);
        let first = "2 See the appendix./3 By night./The mill by the river grinds the flour of three vil- lages";
        assert_eq!(texts(&pages[0]), first);
        assert_eq!(texts(&pages[1]), "by day/The mill by the river grinds no flour.");
    }

    #[test]
    fn a_large_first_letter_joins_its_line() {
        let mut with = page(1, &["# T", "he mill by the river grinds the flour of three villages.", "# E", "Villages"]);
        let mut vocabulary = Vocabulary::default();
        vocabulary.learn(&with.plain_text());
        join_initials(&mut with, &vocabulary);
        assert_eq!(texts(&with).trim_start_matches('/'), "The mill by the river grinds the flour of three villages./E/Villages");
        let joined = |initial: &str, line: &str, elsewhere: &str| {
            let mut page = page(1, &[&format!("# {initial}"), line, elsewhere]);
            let mut vocabulary = Vocabulary::default();
            vocabulary.learn(&page.plain_text());
            join_initials(&mut page, &vocabulary);
            texts(&page).trim_start_matches('/').split(" mill").next().unwrap().to_owned()
        };
        assert_eq!(joined("A", "fter dark the mill grinds the flour of three villages.", "By day and after."), "After dark the");
        assert_eq!(
            joined("I", "n the days of n sacks the mill ground the flour of n villages.", "Two."),
            "In the days of n sacks the"
        );
        assert_eq!(joined("A", "water mill grinds the flour of three villages.", "The water is deep."), "A water");
        assert_eq!(joined("A", "gazebo stands by the mill of the three villages.", "Two."), "A gazebo stands by the");
        assert_eq!(joined("O", "rchards stand by the mill of the three villages.", "Two."), "Orchards stand by the");
    }
}
