//! Running heads and feet: what stands first or last on most pages, but for the pages' numbers, cuts a sentence in two on each of them.
//!
//! It is kept once, where it cuts nothing: a head on its first page, a foot on its last.

use std::collections::HashMap;

use unpdf::{Block, Page};

use crate::extract::one_line;

/// The fewest pages by which something is known to run on.
const PAGES_MIN: usize = 3;
/// The most lines that run on at one edge of a page, and the most bytes of one.
const LINES_MAX: usize = 3;
const BYTES_MAX: usize = 120;

/// Takes what runs on out of the pages.
pub(super) fn drop_repeats(pages: &mut [Page]) {
    for page in &mut *pages {
        // The blocks that have no text are nobody's first or last.
        page.elements
            .retain(|block| matches!(block, Block::Paragraph(_) | Block::Table(_) | Block::Code { .. } | Block::Raw { .. }));
    }
    let heads = running(pages, |page, line| page.elements.get(line));
    let feet = running(pages, |page, line| page.elements.iter().nth_back(line));
    let first = heads.iter().position(|lines| *lines > 0);
    let last = feet.iter().rposition(|lines| *lines > 0);
    for (number, page) in pages.iter_mut().enumerate() {
        // A page that says nothing else says this.
        if heads[number] + feet[number] >= page.elements.len() {
            continue;
        }
        if last != Some(number) {
            page.elements.truncate(page.elements.len() - feet[number]);
        }
        if first != Some(number) {
            page.elements.drain(..heads[number]);
        }
    }
}

/// How many lines run on at one edge of each page.
fn running(pages: &[Page], at: impl Fn(&Page, usize) -> Option<&Block>) -> Vec<usize> {
    let mut lines = vec![0; pages.len()];
    for _ in 0..LINES_MAX {
        let mut alike: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, page) in pages.iter().enumerate() {
            if let Some(text) = at(page, lines[number]).and_then(|block| masked(block, pages.len())) {
                alike.entry(text).or_default().push(number);
            }
        }
        // No more than one can be on over half of the pages.
        let most = alike.into_values().find(|on| on.len() >= PAGES_MIN && 2 * on.len() > pages.len());
        most.into_iter().flatten().for_each(|number| lines[number] += 1);
    }
    lines
}

/// The text of a short paragraph without what may be the number of a page, or of all of them: other numbers say what differs, an
/// invoice or its sum. A heading names what follows, on however many pages.
fn masked(block: &Block, pages: usize) -> Option<String> {
    let Block::Paragraph(paragraph) = block else { return None };
    let text = paragraph.plain_text();
    if paragraph.is_heading() || text.len() > BYTES_MAX {
        return None;
    }
    let (mut masked, mut rest) = (String::new(), text.as_str());
    while let Some(start) = rest.find(|char: char| char.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|char: char| !char.is_ascii_digit() && !matches!(char, '.' | ',')).unwrap_or(from.len());
        let number = from[..end].trim_end_matches(['.', ',']);
        let is_page = number.parse().is_ok_and(|number: usize| number <= pages);
        masked.extend([before, if is_page { " " } else { number }]);
        rest = &from[number.len()..];
    }
    masked.push_str(rest);
    Some(one_line(&masked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unpdf::Paragraph;

    fn left(pages: &[&[&str]]) -> Vec<String> {
        let page = |(number, texts): (usize, &&[&str])| {
            let mut page = Page::a4(number as u32 + 1);
            page.add_block(Block::HorizontalRule);
            texts.iter().for_each(|text| match text.strip_prefix("# ") {
                Some(heading) => page.add_paragraph(Paragraph::heading(heading, 1)),
                None => page.add_paragraph(Paragraph::with_text(*text)),
            });
            page
        };
        let mut pages: Vec<Page> = pages.iter().enumerate().map(page).collect();
        drop_repeats(&mut pages);
        pages.iter().map(|page| page.plain_text().replace("\n\n", "/")).collect()
    }

    #[test]
    fn heads_and_feet_are_kept_where_they_cut_nothing() {
        let pages: [&[&str]; 4] = [
            &["Cover"],
            &["Handbook", "one", "Confidential", "Page 2 of 4"],
            &["Handbook", "two", "Confidential", "Page 3 of 4"],
            &["Handbook", "three", "Confidential", "Page 4 of 4"],
        ];
        assert_eq!(left(&pages), ["Cover", "Handbook/one", "two", "three/Confidential/Page 4 of 4"]);
    }

    #[test]
    fn what_is_no_head_stays() {
        let headings: [&[&str]; 3] = [&["# Question 1", "a"], &["# Question 2", "b"], &["# Question 3", "c"]];
        assert_eq!(left(&headings), ["Question 1/a", "Question 2/b", "Question 3/c"]);
        let few: [&[&str]; 2] = [&["Same", "a"], &["Same", "b"]];
        assert_eq!(left(&few), ["Same/a", "Same/b"]);
        let nothing_else: [&[&str]; 3] = [&["Sheet 1"], &["Sheet 2"], &["Sheet 3"]];
        assert_eq!(left(&nothing_else), ["Sheet 1", "Sheet 2", "Sheet 3"]);
        let half: [&[&str]; 6] = [&["Same", "a"], &["b"], &["Same", "c"], &["d"], &["Same", "e"], &["f"]];
        assert_eq!(left(&half), ["Same/a", "b", "Same/c", "d", "Same/e", "f"]);
        let numbered: [&[&str]; 3] = [
            &["Invoice 1001", "a", "Sum: 1.5 EUR", "1/3"],
            &["Invoice 1002", "b", "Sum: 2.5 EUR", "2/3"],
            &["Invoice 1003", "c", "Sum: 3.5 EUR", "3/3"],
        ];
        let kept = ["Invoice 1001/a/Sum: 1.5 EUR", "Invoice 1002/b/Sum: 2.5 EUR", "Invoice 1003/c/Sum: 3.5 EUR/3/3"];
        assert_eq!(left(&numbered), kept);
    }
}
