//! Running heads and feet: what stands first or last on one page after the other, or on every other one, but for the pages'
//! numbers, cuts a sentence in two on each of them.
//!
//! It is kept once, where it cuts nothing: a head on its first page, a foot on its last; the name of a section, where the section
//! begins.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use unpdf::{Block, Page};

use crate::extract::one_line;

use super::outline::{Titles, name};

/// The fewest pages by which something is known to run on, and the fewest where that is less than half of them and a number
/// differs.
const PAGES_MIN: usize = 3;
const COUNTED_PAGES_MIN: usize = 4;
/// How many pages on the next one is: heads of left and right pages may differ.
const STEP_MAX: usize = 2;
/// The most lines that run on at one edge of a page, and the most letters of one.
const LINES_MAX: usize = 3;
const LETTERS_MAX: usize = 120;
/// The fewest words before a number that is the page's, in a head and in a foot: the head `Invoice No. 7` says what the page is
/// about.
const WORDS_MIN: usize = 3;
const FOOT_WORDS_MIN: usize = 1;
/// What needs no further words before that number.
const PAGE_WORDS: [&str; 18] = [
    "page",
    "p",
    "pg",
    "seite",
    "s",
    "blatt",
    "folie",
    "página",
    "pagina",
    "pág",
    "pag",
    "side",
    "sida",
    "strona",
    "страница",
    "стр",
    "slide",
    "sheet",
];
const SEPARATORS: [&str; 6] = ["|", "-", "–", "—", "·", "•"];

/// Takes what runs on out of the pages. Returns the lines that each of them lost.
pub(super) fn drop_repeats(pages: &mut [Page], titles: &Titles) -> Vec<Vec<String>> {
    for page in &mut *pages {
        // The blocks that have no text are nobody's first or last.
        page.elements
            .retain(|block| matches!(block, Block::Paragraph(_) | Block::Table(_) | Block::Code { .. } | Block::Raw { .. }));
    }
    let heads = running(pages, titles, true);
    let feet = running(pages, titles, false);
    let places = |runs: &[Run]| runs.iter().flat_map(|run| run.places.clone()).collect::<BTreeSet<_>>();
    let (at_head, at_foot) = (places(&heads), places(&feet));
    let mut said = HashSet::new();
    for (number, page) in pages.iter().enumerate() {
        let is_body = |index: &usize| !at_head.contains(&(number, *index)) && !at_foot.contains(&(number, *index));
        said.extend((0..page.elements.len()).filter(is_body).filter_map(|index| heading(&page.elements[index])));
    }
    let mut dropped: BTreeSet<(usize, usize)> = at_head.union(&at_foot).copied().collect();
    // A page that says nothing else says this.
    let is_bare = |number: usize| (0..pages[number].elements.len()).all(|index| dropped.contains(&(number, index)));
    let bare: Vec<bool> = (0..pages.len()).map(is_bare).collect();
    dropped.retain(|(number, _)| !bare[*number]);
    let mut kept: Vec<((usize, usize), bool)> =
        at_head.union(&at_foot).filter(|(number, _)| bare[*number]).map(|at| (*at, true)).collect();
    for (runs, is_head) in [(&heads, true), (&feet, false)] {
        for run in runs.iter().filter(|run| !run.is_known) {
            let at = if is_head { run.places.first() } else { run.places.last() };
            let Some(at) = at.copied().filter(|at| dropped.contains(at)) else { continue };
            let text = text(&pages[at.0].elements[at.1]).unwrap_or_default();
            if !said.contains(&name(&text)) {
                dropped.remove(&at);
                // What is on most pages, or stands last, is nobody's heading.
                kept.push((at, !is_head || 2 * run.places.len() > pages.len()));
            }
        }
    }
    for ((number, index), _) in kept.into_iter().filter(|(_, is_plain)| *is_plain) {
        if let Block::Paragraph(paragraph) = &mut pages[number].elements[index] {
            paragraph.style.heading_level = None;
        }
    }
    let mut lost = vec![Vec::new(); pages.len()];
    for (number, index) in dropped.into_iter().rev() {
        let block = pages[number].elements.remove(index);
        lost[number].extend(text(&block));
    }
    lost
}

/// What runs on at one edge.
struct Run {
    /// Page and block.
    places: Vec<(usize, usize)>,
    /// Whether it names sections that begin elsewhere.
    is_known: bool,
}

/// What says that two lines are one that runs on.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Alike {
    /// The words.
    Words(String),
    /// The words, some of them behind a name.
    Said(String),
    /// The words around a number that counts with the pages, and how far it is from theirs.
    Counted(String, i64),
    /// The name of a section that began before.
    Section,
}

/// What runs on at one edge, from the outermost line inwards.
fn running(pages: &[Page], titles: &Titles, is_head: bool) -> Vec<Run> {
    let at = |page: &Page, line: usize| match page.elements.len().checked_sub(line + 1) {
        Some(_) if is_head => Some(line),
        from_end => from_end,
    };
    let mut runs = Vec::new();
    let mut lines = vec![0; pages.len()];
    let mut is_counted = vec![false; pages.len()];
    for _ in 0..LINES_MAX {
        let mut alike: BTreeMap<Alike, Vec<usize>> = BTreeMap::new();
        for (number, page) in pages.iter().enumerate() {
            let Some(index) = at(page, lines[number]) else { continue };
            // A page has its number once: a few words and another one are its text.
            let words_min = if is_head || is_counted[number] { WORDS_MIN } else { FOOT_WORDS_MIN };
            for key in keys(page, index, is_head, words_min, titles) {
                alike.entry(key).or_default().push(number);
            }
        }
        let mut taken = vec![false; pages.len()];
        let is_below_heading = |number: &&usize| {
            let index = at(&pages[**number], lines[**number]).filter(|index| !is_head && *index > 0);
            index.is_some_and(|index| heading(&pages[**number].elements[index - 1]).is_some())
        };
        for (key, on) in alike {
            // What stands below a heading is an answer, even where many pages have the same; a foot stands there on few of them.
            let is_answer = |on: &Vec<usize>| {
                matches!(key, Alike::Words(_) | Alike::Said(_)) && 2 * on.iter().filter(is_below_heading).count() > on.len()
            };
            let found = match key {
                // What stands behind a name is an answer too, unless no page has another one.
                Alike::Said(_) if on.len() == pages.len() && on.len() >= COUNTED_PAGES_MIN => vec![on],
                Alike::Said(_) => Vec::new(),
                Alike::Words(_) | Alike::Counted(..) if 2 * on.len() > pages.len() && on.len() >= PAGES_MIN => vec![on],
                Alike::Counted(..) => chains(&on, COUNTED_PAGES_MIN),
                Alike::Words(_) | Alike::Section => chains(&on, PAGES_MIN),
            };
            for mut on in found.into_iter().filter(|on| !is_answer(on)) {
                on.retain(|number| !std::mem::replace(&mut taken[*number], true));
                if matches!(key, Alike::Counted(..)) {
                    on.iter().for_each(|number| is_counted[*number] = true);
                }
                let places = on.iter().filter_map(|number| Some((*number, at(&pages[*number], lines[*number])?))).collect();
                runs.push(Run { places, is_known: key == Alike::Section });
            }
        }
        taken.into_iter().zip(&mut lines).for_each(|(taken, line)| *line += usize::from(taken));
    }
    runs
}

/// Runs of so many pages, each at most two behind the one before.
fn chains(on: &[usize], least: usize) -> Vec<Vec<usize>> {
    on.chunk_by(|one, next| next - one <= STEP_MAX).filter(|chain| chain.len() >= least).map(<[usize]>::to_vec).collect()
}

fn keys(page: &Page, index: usize, is_head: bool, words_min: usize, titles: &Titles) -> Vec<Alike> {
    let block = &page.elements[index];
    let Some(text) = text(block) else { return Vec::new() };
    let is_heading = heading(block).is_some();
    let name = name(&text);
    // Where the section begins, its name stands below a head, but not as the foot, or above a foot.
    let others = if is_head { index + 1..page.elements.len().saturating_sub(2) } else { 0..index };
    let is_other = |other: &Block| self::text(other).is_some_and(|other| self::name(&other) == name);
    if titles.begins(&name, page.number) && !page.elements.get(others).is_some_and(|others| others.iter().any(is_other)) {
        return Vec::new();
    }
    let mut keys = Vec::new();
    // A heading names what follows, and its number says which, on however many pages.
    if !is_heading {
        let counted = counted(&text, words_min).into_iter();
        keys.extend(counted.map(|(words, number)| Alike::Counted(words, number - i64::from(page.number))));
    }
    keys.push(if text.contains(": ") { Alike::Said(text) } else { Alike::Words(text) });
    if titles.began(&name, page.number) {
        keys.push(Alike::Section);
    }
    keys
}

/// The text of a short paragraph, its blanks folded.
fn text(block: &Block) -> Option<String> {
    let Block::Paragraph(paragraph) = block else { return None };
    let text = paragraph.plain_text();
    let is_short = text.chars().count() <= LETTERS_MAX && text.chars().any(char::is_alphanumeric);
    is_short.then(|| one_line(&text))
}

/// The name of a heading.
fn heading(block: &Block) -> Option<String> {
    let is_heading = matches!(block, Block::Paragraph(paragraph) if paragraph.is_heading());
    text(block).filter(|_| is_heading).map(|text| name(&text))
}

/// The numbers of a text that may be its page's, each with the words around it; so many before it tell that it is.
fn counted(text: &str, words_min: usize) -> Vec<(String, i64)> {
    let (mut counted, mut read) = (Vec::new(), 0);
    while let Some(start) = text[read..].find(|char: char| char.is_ascii_digit()) {
        let (before, from) = text.split_at(read + start);
        let end = from.find(|char: char| !char.is_ascii_digit() && !matches!(char, '.' | ',')).unwrap_or(from.len());
        let number = from[..end].trim_end_matches(['.', ',']);
        let last = before.split_whitespace().next_back().unwrap_or_default();
        let word = last.trim_matches(|char: char| !char.is_alphanumeric()).to_lowercase();
        let is_named = last.ends_with([':', '#']) || matches!(&*word, "no" | "nr" | "number");
        let is_apart = SEPARATORS.contains(&last) || before.split_whitespace().count() >= words_min;
        let is_page = PAGE_WORDS.contains(&&*word) || !before.contains(char::is_alphanumeric) || is_apart && !is_named;
        let words = || format!("{before}#{}", &from[number.len()..]);
        counted.extend(number.parse().ok().filter(|_| is_page).map(|number: u32| (words(), i64::from(number))));
        read += start + number.len();
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use unpdf::Paragraph;
    use unpdf::model::{Outline, OutlineItem};

    fn left(pages: &[&[&str]]) -> Vec<String> {
        left_with(&Titles::default(), pages)
    }

    fn left_with(titles: &Titles, pages: &[&[&str]]) -> Vec<String> {
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
        drop_repeats(&mut pages, titles);
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
        let far: [&[&str]; 7] = [&["Same", "a"], &["b"], &["c"], &["Same", "d"], &["e"], &["f"], &["Same", "g"]];
        assert_eq!(left(&far), ["Same/a", "b", "c", "Same/d", "e", "f", "Same/g"]);
        let numbered: [&[&str]; 3] = [
            &["Invoice 1001", "a", "Sum: 1.5 EUR", "1/3"],
            &["Invoice 1002", "b", "Sum: 2.5 EUR", "2/3"],
            &["Invoice 1003", "c", "Sum: 3.5 EUR", "3/3"],
        ];
        let kept = ["Invoice 1001/a/Sum: 1.5 EUR", "Invoice 1002/b/Sum: 2.5 EUR", "Invoice 1003/c/Sum: 3.5 EUR/3/3"];
        assert_eq!(left(&numbered), kept);
        let answers: [&[&str]; 5] = [
            &["Day 1", "a", "Verdict: fit", "Goals: 3"],
            &["Day 2", "b", "Verdict: unfit", "Goals: 1"],
            &["Day 3", "c", "Verdict: fit", "Goals: 0"],
            &["Day 4", "d", "Verdict: fit", "Goals: 4"],
            &["Day 5", "e", "Verdict: fit", "Goals: 2"],
        ];
        assert_eq!(left(&answers), answers.map(|page| page.join("/")));
        let below_headings: [&[&str]; 4] = [
            &["Invoice No. 1", "a", "# Errors", "None.", "1 | Mills Ltd."],
            &["Invoice No. 2", "b", "# Errors", "None.", "2 | Mills Ltd."],
            &["Invoice No. 3", "c", "# Errors", "None.", "3 | Mills Ltd."],
            &["Invoice No. 4", "d", "# Errors", "None.", "4 | Mills Ltd."],
        ];
        let kept = ["1/a/Errors/None.", "2/b/Errors/None.", "3/c/Errors/None.", "4/d/Errors/None./4 | Mills Ltd."];
        assert_eq!(left(&below_headings), kept.map(|rest| format!("Invoice No. {rest}")));
        let beds: [&[&str]; 4] = [
            &["Invoice No. 1", "a", "Beds: 1"],
            &["Invoice No. 2", "b", "Beds: 2"],
            &["Invoice No. 3", "c", "Beds: 3"],
            &["Invoice No. 4", "d", "Beds: 4"],
        ];
        assert_eq!(left(&beds), beds.map(|page| page.join("/")));
        let rooms: [&[&str]; 4] =
            [&["Plan of room 3", "a"], &["Plan of room 1", "b"], &["Plan of room 4", "c"], &["Plan of room 2", "d"]];
        assert_eq!(left(&rooms), rooms.map(|page| page.join("/")));
    }

    #[test]
    fn what_every_page_says_behind_a_name_runs_on() {
        let pages: [&[&str]; 4] = [
            &["Document No.: QM-017", "one", "Classification: Internal", "Page 1 of 4"],
            &["Document No.: QM-017", "two", "Classification: Internal", "Page 2 of 4"],
            &["Document No.: QM-017", "three", "Classification: Internal", "Page 3 of 4"],
            &["Document No.: QM-017", "four", "Classification: Internal", "Page 4 of 4"],
        ];
        let kept = ["Document No.: QM-017/one", "two", "three", "four/Classification: Internal/Page 4 of 4"];
        assert_eq!(left(&pages), kept);
        let few: [&[&str]; 3] = [&["a", "Verdict: fit"], &["b", "Verdict: fit"], &["c", "Verdict: fit"]];
        assert_eq!(left(&few), few.map(|page| page.join("/")));
    }

    #[test]
    fn a_foot_runs_on_below_a_few_headings() {
        let pages: [&[&str]; 4] =
            [&["one", "Confidential"], &["# Wheels", "Confidential"], &["two", "Confidential"], &["three", "Confidential"]];
        assert_eq!(left(&pages), ["one", "Wheels", "two", "three/Confidential"]);
    }

    #[test]
    fn one_number_of_a_foot_counts_with_the_pages() {
        for foot in [
            "Page: #",
            "Version: 2.1 | Page # of 4",
            "[Page #]",
            "- # -",
            "Mills, 3rd edition - #",
            "p. #",
            "Rules of 3 mills #",
            "Annual Report #",
            "Mill Handbook #",
            "Blatt #",
            "Sheet # of 12",
            "Руководство по эксплуатации и обслуживанию ветряных мельниц, издание третье #",
        ] {
            let pages: Vec<[String; 2]> =
                (1..5).map(|page| [format!("text {page}"), foot.replace('#', &page.to_string())]).collect();
            let pages: Vec<[&str; 2]> = pages.iter().map(|page| page.each_ref().map(String::as_str)).collect();
            let pages: Vec<&[&str]> = pages.iter().map(|page| &page[..]).collect();
            assert_eq!(left(&pages), ["text 1", "text 2", "text 3", &pages[3].join("/")], "{foot}");
        }
    }

    #[test]
    fn a_word_for_the_page_needs_no_others() {
        let pages: [&[&str]; 3] = [&["Blatt 1", "a"], &["Blatt 2", "b"], &["Blatt 3", "c"]];
        assert_eq!(left(&pages), ["Blatt 1/a", "b", "c"]);
    }

    #[test]
    fn heads_of_left_and_right_pages_and_of_chapters_run_on() {
        let pages: [&[&str]; 12] = [
            &["# Wheels", "a"],
            &["88 Mills, 2020", "b"],
            &["# On wheels", "c"],
            &["90 Mills, 2020", "d"],
            &["# On wheels", "e"],
            &["92 Mills, 2020", "f"],
            &["# On wheels", "g"],
            &["94 Mills, 2020", "h"],
            &["# On stones", "i"],
            &["# Granite", "j"],
            &["# On stones", "k"],
            &["# On stones", "l"],
        ];
        let expected =
            ["Wheels/a", "88 Mills, 2020/b", "On wheels/c", "d", "e", "f", "g", "h", "On stones/i", "Granite/j", "k", "l"];
        assert_eq!(left(&pages), expected);
    }

    #[test]
    fn what_names_a_section_is_kept_where_the_section_begins() {
        let item = |title: &str, page| OutlineItem { title: title.to_owned(), page: Some(page), level: 0, children: Vec::new() };
        let outline = Outline { items: vec![item("Wheels", 1), item("Blades", 2), item("Stones", 4), item("Ropes", 6)] };
        let pages: [&[&str]; 6] = [
            &["# 1 Wheels", "a"],
            &["# Chapter 1. Wheels", "# 1.1 Blades", "b", "# 1.1. Blades"],
            &["# Chapter 1. Wheels", "c", "# 1.1. Blades"],
            &["# 2 Stones", "d"],
            &["# Chapter 2. Stones", "e", "Chapter 2. Stones"],
            &["# 3 Ropes", "f"],
        ];
        let expected = ["1 Wheels/a", "1.1 Blades/b", "c", "2 Stones/d", "e", "3 Ropes/f"];
        assert_eq!(left_with(&Titles::of(Some(&outline), &[]), &pages), expected);
    }
}
