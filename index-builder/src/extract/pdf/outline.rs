//! Headings where the outline of the file has them: its depth says how deep one lies, which type sizes say badly. Where it is
//! silent, a heading's own number says it (`3.1.2`), as long as the numbers before or behind it agree.

use std::collections::{HashMap, HashSet};

use unpdf::model::{Outline, OutlineItem};
use unpdf::{Block, Page, Paragraph};

use super::words::readable;

/// Words before the number of a heading.
const LABELS: [&str; 12] = [
    "chapter",
    "appendix",
    "part",
    "section",
    "kapitel",
    "anhang",
    "abschnitt",
    "chapitre",
    "annexe",
    "capítulo",
    "capitolo",
    "глава",
];
/// The most characters of a heading.
const CHARS_MAX: usize = 200;
/// The most sections that begin on one page.
const PAGE_MAX: usize = 8;
/// The fewest headings that number themselves before their numbers count.
const NUMBERED_MIN: usize = 3;

/// The entries of an outline, in its order.
#[derive(Default)]
pub(super) struct Titles {
    entries: Vec<Entry>,
    by_name: HashMap<String, Vec<usize>>,
}

struct Entry {
    title: String,
    /// 1 is the outermost.
    level: u8,
    page: Option<u32>,
}

impl Titles {
    /// The titles of a document's outline; none without one.
    pub(super) fn of(outline: Option<&Outline>, pages: &[Page]) -> Self {
        let mut titles = Self::default();
        outline.into_iter().for_each(|outline| titles.add(&outline.items, 1));
        if titles.entries.iter().any(|entry| entry.page.is_none()) {
            titles.find_pages(pages);
        }
        titles
    }

    /// Gives the entries whose destinations the reader cannot follow the pages where they stand, in their order.
    fn find_pages(&mut self, pages: &[Page]) {
        let mut places: HashMap<String, Vec<u32>> = HashMap::new();
        for page in pages {
            for (index, block) in page.elements.iter().enumerate() {
                // A paragraph at the edge of a page is as likely a running head.
                let is_inside = index > 0 && index + 1 < page.elements.len();
                let Some((_, text)) = text_of(block).filter(|_| is_inside || is_heading(block)) else { continue };
                if text.chars().count() <= CHARS_MAX {
                    places.entry(name(&text)).or_default().push(page.number);
                }
            }
        }
        let mut from = 0;
        let mut on: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| entry.page.is_none()) {
            entry.page = places.get(&name(&entry.title)).and_then(|places| places.iter().copied().find(|page| *page >= from));
            from = entry.page.unwrap_or(from);
            entry.page.into_iter().for_each(|page| on.entry(page).or_default().push(index));
        }
        // Many on one page are a table of contents.
        for index in on.into_values().filter(|on| on.len() > PAGE_MAX).flatten() {
            self.entries[index].page = None;
        }
    }

    fn add(&mut self, items: &[OutlineItem], level: u8) {
        for item in items {
            let name = name(&item.title);
            if !name.is_empty() {
                self.by_name.entry(name).or_default().push(self.entries.len());
                self.entries.push(Entry { title: readable(&item.title), level, page: item.page });
            }
            self.add(&item.children, level.saturating_add(1));
        }
    }

    /// Whether a section of this name began before a page, or begins on it.
    pub(super) fn began(&self, name: &str, page: u32) -> bool {
        self.named(name).any(|entry| entry.page.is_some_and(|begin| begin <= page))
    }

    /// Whether a section of this name begins on a page.
    pub(super) fn begins(&self, name: &str, page: u32) -> bool {
        self.named(name).any(|entry| entry.page == Some(page))
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Entry> {
        self.by_name.get(name).into_iter().flatten().map(|index| &self.entries[*index])
    }

    fn level(&self, name: &str, page: u32) -> Option<u8> {
        self.named(name).min_by_key(|entry| entry.page.map_or(u32::MAX, |begin| begin.abs_diff(page))).map(|entry| entry.level)
    }

    /// The level of a line on a page, and `level` where the outline says nothing of it; 0 is no heading.
    pub(super) fn level_on(&self, page: u32, text: &str, level: u8) -> u8 {
        let name = name(text);
        let is_heading = level > 0 || self.begins(&name, page);
        self.level(&name, page).filter(|_| is_heading).unwrap_or(level)
    }

    /// Puts the headings of the pages where they belong.
    pub(super) fn settle(&self, pages: &mut [Page]) {
        for page in &mut *pages {
            self.promote(page);
            self.split(page);
            self.demote(page);
        }
        let places = places(pages);
        let headings: Vec<(String, u32, u8)> = places.iter().map(|place| heading(pages, *place)).collect();
        let mut known: Vec<Option<u8>> = headings.iter().map(|(text, page, _)| self.level(&name(text), *page)).collect();
        let numbered = by_numbers(&headings);
        let is_contradicted =
            known.iter().zip(&numbered).any(|(known, number)| number.is_some() && known.is_some() && known != number);
        if !is_contradicted {
            known.iter_mut().zip(numbered).for_each(|(known, number)| *known = known.or(number));
        }
        if known.iter().all(Option::is_none) {
            return;
        }
        let sizes: Vec<u8> = headings.iter().map(|(_, _, size)| *size).collect();
        // The title of the whole, in the largest type, stays above the numbers; an outline is the whole itself.
        let is_above = |at: usize| known[at].is_some() && sizes[at] <= sizes[0];
        if self.entries.is_empty() && !(0..known.len()).any(is_above) {
            known.iter_mut().flatten().for_each(|level| *level = level.saturating_add(1));
        }
        let runs_on: Vec<bool> = places.windows(2).map(|two| is_next(pages, two[0], two[1])).chain([false]).collect();
        for ((page, block), level) in places.into_iter().zip(levels(&known, &sizes, &runs_on, !self.entries.is_empty())) {
            if let Block::Paragraph(paragraph) = &mut pages[page].elements[block] {
                paragraph.style.heading_level = Some(level);
            }
        }
    }

    /// Makes headings of the lines that the outline has on this page.
    fn promote(&self, page: &mut Page) {
        let mut headings: HashSet<String> =
            page.elements.iter().filter_map(|block| Some(name(&text_of(block)?.1)).filter(|_| is_heading(block))).collect();
        for block in &mut page.elements {
            let Some((paragraph, text)) = text_of(block) else { continue };
            let name = name(&text);
            let is_title = !paragraph.is_heading() && text.chars().count() <= CHARS_MAX && self.begins(&name, page.number);
            if is_title && !ends_in_leader(&text) && headings.insert(name) {
                *block = Block::Paragraph(Paragraph::heading(text, 1));
            }
        }
    }

    /// Splits a heading that is two of the outline, one right behind the other.
    fn split(&self, page: &mut Page) {
        let mut index = 0;
        while index < page.elements.len() {
            if let Some((first, second)) = self.halves(&page.elements[index], page.number) {
                page.elements[index] = first;
                page.elements.insert(index + 1, second);
            }
            index += 1;
        }
    }

    fn halves(&self, block: &Block, page: u32) -> Option<(Block, Block)> {
        let (paragraph, text) = text_of(block).filter(|_| is_heading(block))?;
        let level = paragraph.heading_level()?;
        if self.by_name.contains_key(&name(&text)) {
            return None;
        }
        let all = letters(&text);
        let two = self.entries.windows(2).find(|two| {
            let is_here = two.iter().all(|entry| entry.page == Some(page));
            is_here
                && !two[0].title.ends_with(|char: char| char.is_numeric())
                && all == letters(&two[0].title) + &letters(&two[1].title)
        })?;
        let count = two[0].title.chars().filter(|char| char.is_alphabetic()).count();
        let (at, _) = text.char_indices().filter(|(_, char)| char.is_alphabetic()).nth(count.checked_sub(1)?)?;
        let (first, second) = text.split_at(at + text[at..].find(char::is_whitespace)?);
        let heading = |text: &str| Block::Paragraph(Paragraph::heading(text.trim(), level));
        Some((heading(first), heading(second)))
    }

    /// Lines of a table of contents are no headings.
    fn demote(&self, page: &mut Page) {
        let leads: Vec<bool> =
            page.elements.iter().map(|block| text_of(block).is_some_and(|(_, text)| ends_in_leader(&text))).collect();
        for index in 0..leads.len() {
            let Some((_, text)) = text_of(&page.elements[index]).filter(|_| is_heading(&page.elements[index])) else { continue };
            let is_beside = index > 0 && leads[index - 1] || leads.get(index + 1) == Some(&true);
            let is_line = leads[index]
                || text.rsplit_once(' ').is_some_and(|(title, number)| {
                    let is_elsewhere = |name: &str| self.by_name.contains_key(name) && !self.begins(name, page.number);
                    number.chars().all(|char| char.is_ascii_digit())
                        && !self.by_name.contains_key(&name(&text))
                        && (is_beside || is_elsewhere(&name(title)))
                });
            if let (true, Block::Paragraph(paragraph)) = (is_line, &mut page.elements[index]) {
                paragraph.style.heading_level = None;
            }
        }
    }
}

/// The letters and digits of a title behind its number, in lower case: `Chapter 3: The Mill` and `3 THE MILL` have the same name.
pub(super) fn name(text: &str) -> String {
    let text = readable(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = &words[..];
    while let [word, behind @ ..] = rest {
        let is_label = LABELS.contains(&word.to_lowercase().as_str()) && behind.len() > 1;
        rest = match () {
            () if is_label => &behind[1..],
            () if is_number(word) && !behind.is_empty() => behind,
            () => break,
        };
    }
    rest.iter().flat_map(|word| word.chars()).filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(|char| char.is_alphabetic()).flat_map(char::to_lowercase).collect()
}

/// `3`, `3.1.2`, `3)`, `A.` or `A.1`.
fn is_number(word: &str) -> bool {
    let behind =
        word.strip_prefix(|char: char| char.is_ascii_uppercase()).filter(|behind| behind.starts_with('.')).unwrap_or(word);
    behind.chars().all(|char| char.is_ascii_digit() || matches!(char, '.' | ':' | ')'))
}

/// The words of a block that may be a heading.
fn text_of(block: &Block) -> Option<(&Paragraph, String)> {
    let Block::Paragraph(paragraph) = block else { return None };
    Some((paragraph, readable(paragraph.plain_text().trim())))
}

fn is_heading(block: &Block) -> bool {
    matches!(block, Block::Paragraph(paragraph) if paragraph.is_heading())
}

/// Whether a line ends in dots and the number of a page.
fn ends_in_leader(text: &str) -> bool {
    let before = text.trim_end_matches(|char: char| char.is_ascii_digit() || matches!(char, 'i' | 'v' | 'x')).trim_end();
    let dots = before.chars().rev().take_while(|char| matches!(char, '.' | ' ' | '·' | '…' | '\u{a0}'));
    before.len() < text.len() && dots.filter(|char| matches!(char, '.' | '·' | '…')).count() > 2
}

/// Where the headings are: page and block.
fn places(pages: &[Page]) -> Vec<(usize, usize)> {
    let on = |(number, page): (usize, &Page)| {
        let blocks: Vec<usize> = (0..page.elements.len()).filter(|index| is_heading(&page.elements[*index])).collect();
        blocks.into_iter().map(move |block| (number, block))
    };
    pages.iter().enumerate().flat_map(on).collect()
}

/// A heading's words, the number of its page, and the level that its type size gave it.
fn heading(pages: &[Page], (page, block): (usize, usize)) -> (String, u32, u8) {
    // A heading is a paragraph.
    let (level, text) = text_of(&pages[page].elements[block])
        .map_or((None, String::new()), |(paragraph, text)| (paragraph.heading_level(), text));
    (text, pages[page].number, level.unwrap_or(1))
}

/// Whether nothing stands between two headings.
fn is_next(pages: &[Page], (page, block): (usize, usize), next: (usize, usize)) -> bool {
    next == (page, block + 1) || (next == (page + 1, 0) && block + 1 == pages[page].elements.len())
}

/// The levels by the headings' own numbers, of those that follow the number before or are followed by the next.
fn by_numbers(headings: &[(String, u32, u8)]) -> Vec<Option<u8>> {
    let numbers: Vec<(usize, Vec<u32>)> =
        headings.iter().enumerate().filter_map(|(index, (text, ..))| Some((index, number(text)?))).collect();
    let mut levels = vec![None; headings.len()];
    for (at, (index, number)) in numbers.iter().enumerate() {
        // A stray one between two that agree does not part them.
        let before = numbers[at.saturating_sub(2)..at].iter().any(|(_, other)| follows(other, number));
        if before || numbers.iter().skip(at + 1).take(2).any(|(_, other)| follows(number, other)) {
            levels[*index] = u8::try_from(number.len()).ok();
        }
    }
    let found = levels.iter().flatten();
    // A list of steps has numbers as well, but of one kind.
    let are_sections =
        found.clone().count() >= NUMBERED_MIN && found.clone().any(|level| *level > 1) && found.clone().any(|level| *level == 1);
    if are_sections { levels } else { vec![None; headings.len()] }
}

fn number(text: &str) -> Option<Vec<u32>> {
    let (word, behind) = text.split_once(' ')?;
    behind.contains(char::is_alphabetic).then_some(())?;
    word.trim_end_matches('.').split('.').map(|part| part.parse().ok().filter(|number| *number < 100)).collect()
}

fn follows(number: &[u32], next: &[u32]) -> bool {
    let Some((last, above)) = next.split_last() else { return false };
    (above == number && *last == 1) || (number.get(above.len()).is_some_and(|at| at + 1 == *last) && number.starts_with(above))
}

/// The level of each heading. One that nobody knows lies as deep as the one of its size on the path above it, or below a larger
/// one; where those that are known are `all`, it lies below them, or as deep as the next one where only headings stand between
/// (`CHAPTER`, `ONE`).
fn levels(known: &[Option<u8>], sizes: &[u8], runs_on: &[bool], all: bool) -> Vec<u8> {
    let mut least = 0;
    let mut path: Vec<(u8, u8)> = Vec::new();
    let mut levels = Vec::with_capacity(known.len());
    for index in 0..known.len() {
        let size = sizes[index];
        let ahead = || {
            let end = (index..known.len()).find(|at| known[*at].is_some() || !runs_on[*at])?;
            known[end]
        };
        let by_size = || match path.iter().rev().find(|(_, above)| *above <= size) {
            Some((level, above)) => level.saturating_add(u8::from(*above < size)),
            None if path.is_empty() => size,
            None => 1,
        };
        let level = known[index].or_else(|| all.then(ahead).flatten()).unwrap_or_else(|| by_size().max(least));
        if let (true, Some(known)) = (all, known[index]) {
            least = known.saturating_add(1);
        }
        path.retain(|(above, _)| *above < level);
        path.push((level, size));
        levels.push(level);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(title: &str, page: u32, children: Vec<OutlineItem>) -> OutlineItem {
        OutlineItem { title: title.to_owned(), page: Some(page), level: 0, children }
    }

    fn page(number: u32, texts: &[&str]) -> Page {
        let mut page = Page::a4(number);
        for text in texts {
            let level = text.bytes().take_while(|byte| *byte == b'#').count();
            let words = text.trim_start_matches('#').trim();
            page.add_paragraph(if level > 0 { Paragraph::heading(words, level as u8) } else { Paragraph::with_text(words) });
        }
        page
    }

    /// Headings with their levels, other text as it is.
    fn settled(titles: &Titles, mut pages: Vec<Page>) -> Vec<String> {
        titles.settle(&mut pages);
        let blocks = pages.iter().flat_map(|page| &page.elements);
        let shown = blocks.map(|block| {
            let (paragraph, text) = text_of(block).unwrap();
            "#".repeat(paragraph.heading_level().map_or(0, usize::from)) + &text
        });
        shown.collect()
    }

    #[test]
    fn headings_lie_as_deep_as_the_outline_says() {
        let mills = vec![item("Stones", 2, Vec::new()), item("The wheel?", 3, vec![item("Blades", 3, Vec::new())])];
        let outline = Outline { items: vec![item("About mills", 2, mills), item("Bakeries", 4, Vec::new())] };
        let pages = vec![
            page(1, &["## Contents", "1.1 Stones . . . . . . 2", "## 2 Bakeries 4"]),
            page(2, &["# CHAPTER", "## ONE", "## ABOUT MILLS", "text", "1.1 Stones", "text", "### granite", "text"]),
            page(3, &["# 1.2 The wheel? 1.2.1 Blades", "text"]),
            page(4, &["## Chapter 2: Bakeries"]),
        ];
        let expected = [
            "##Contents",
            "1.1 Stones . . . . . . 2",
            "2 Bakeries 4",
            "#CHAPTER",
            "#ONE",
            "#ABOUT MILLS",
            "text",
            "##1.1 Stones",
            "text",
            "###granite",
            "text",
            "##1.2 The wheel?",
            "###1.2.1 Blades",
            "text",
            "#Chapter 2: Bakeries",
        ];
        assert_eq!(settled(&Titles::of(Some(&outline), &[]), pages.clone()), expected);
        let mut unknown = outline;
        fn forget(items: &mut [OutlineItem]) {
            items.iter_mut().for_each(|item| (item.page, _) = (None, forget(&mut item.children)));
        }
        forget(&mut unknown.items);
        let titles = Titles::of(Some(&unknown), &pages);
        assert_eq!(titles.entries.iter().map(|entry| entry.page).collect::<Vec<_>>(), [Some(2), Some(2), None, None, Some(4)]);
    }

    #[test]
    fn without_an_outline_numbers_that_agree_say_it() {
        let numbered =
            page(1, &["# The Mill", "## 1 Stones", "## 1.1 Granite", "### 1.1.1 Red", "## 12.7 Blades", "## 2 Wheels"]);
        let expected = ["#The Mill", "##1 Stones", "###1.1 Granite", "####1.1.1 Red", "###12.7 Blades", "##2 Wheels"];
        assert_eq!(settled(&Titles::default(), vec![numbered]), expected);
        let steps = page(1, &["# The Mill", "### 1. Open it", "### 2. Fill it", "## 3. Close it"]);
        assert_eq!(settled(&Titles::default(), vec![steps]), ["#The Mill", "###1. Open it", "###2. Fill it", "##3. Close it"]);
    }
}
