//! List labels, which Word counts and does not store: `2.1.` is the second item's first child.

use std::collections::{HashMap, HashSet};

use quick_xml::events::Event;

use super::xml::{attribute, number, val, walk};
use crate::extract::Refusal;

/// Word knows nine levels.
const LEVELS: usize = 9;

/// The lists of a document, and how far each has counted.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// Levels of each abstract list.
    lists: HashMap<u32, Vec<Level>>,
    /// The abstract list of each list, and the levels at which it starts anew.
    instances: HashMap<u32, (u32, HashMap<usize, u32>)>,
    counts: HashMap<u32, [Option<u32>; LEVELS]>,
    started: HashSet<u32>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    start: Option<u32>,
    format: String,
    text: String,
    style: Option<String>,
}

impl Numbering {
    /// Reads `numbering.xml`.
    pub(super) fn read(xml: &str) -> Result<Self, Refusal> {
        let mut numbering = Self::default();
        let (mut list, mut instance, mut level) = (None, None, 0);
        walk("word/numbering.xml", xml, |_, event| {
            match event {
                Event::Start(element) => match element.local_name().into_inner() {
                    "abstractNum" => list = attribute(&element, "abstractNumId").and_then(|id| id.parse().ok()),
                    "num" => instance = attribute(&element, "numId").and_then(|id| id.parse().ok()),
                    "abstractNumId" => {
                        if let (Some(instance), Some(id)) = (instance, number(&element)) {
                            numbering.instances.insert(instance, (id, HashMap::new()));
                        }
                    }
                    "lvl" | "lvlOverride" => {
                        level = attribute(&element, "ilvl").and_then(|level| level.parse().ok()).unwrap_or(LEVELS);
                    }
                    "startOverride" => {
                        let overrides = instance.and_then(|instance: u32| numbering.instances.get_mut(&instance));
                        if let (Some((_, overrides)), Some(start)) = (overrides, number(&element)) {
                            overrides.insert(level, start);
                        }
                    }
                    name @ ("start" | "numFmt" | "lvlText" | "pStyle") if level < LEVELS => {
                        let Some(list) = list else { return Ok(()) };
                        let levels = numbering.lists.entry(list).or_insert_with(|| vec![Level::default(); LEVELS]);
                        match name {
                            "start" => levels[level].start = number(&element),
                            "numFmt" => levels[level].format = val(&element).unwrap_or_default(),
                            "lvlText" => levels[level].text = val(&element).unwrap_or_default(),
                            _ => levels[level].style = val(&element),
                        }
                    }
                    _ => {}
                },
                Event::End(element) => match element.local_name().into_inner() {
                    "abstractNum" => list = None,
                    "num" => instance = None,
                    _ => {}
                },
                _ => {}
            }
            Ok(())
        })?;
        Ok(numbering)
    }

    /// The level of a list that belongs to a paragraph style.
    pub(super) fn level_of_style(&self, id: u32, style: &str) -> Option<usize> {
        let (list, _) = self.instances.get(&id)?;
        self.lists.get(list)?.iter().position(|level| level.style.as_deref() == Some(style))
    }

    /// Counts one item of list `id` at `level` and returns its label: `-` for a bullet, nothing where the list does not exist.
    pub(super) fn label(&mut self, id: u32, level: usize) -> Option<String> {
        let (list, overrides) = self.instances.get(&id)?;
        let levels = self.lists.get(list)?;
        let this = levels.get(level)?;
        if this.format == "bullet" {
            return Some("-".to_owned());
        }
        let counts = self.counts.entry(*list).or_default();
        if self.started.insert(id) {
            for (level, start) in overrides {
                if let Some(count) = counts.get_mut(*level) {
                    *count = start.checked_sub(1);
                }
            }
        }
        let start = this.start.unwrap_or(1);
        counts[level] = Some(counts[level].map_or(start, |count| count.saturating_add(1)));
        counts[level + 1..].fill(None);
        let mut label = String::new();
        let mut chars = this.text.chars();
        while let Some(char) = chars.next() {
            let digit = (char == '%').then(|| chars.clone().next()?.to_digit(10)).flatten();
            match digit.and_then(|digit| (digit as usize).checked_sub(1)).filter(|level| *level < LEVELS) {
                Some(level) => {
                    chars.next();
                    let count = counts[level].or(levels[level].start).unwrap_or(1);
                    label.push_str(&formatted(count, &levels[level].format));
                }
                None => label.push(char),
            }
        }
        Some(label.trim().to_owned()).filter(|label| !label.is_empty() && this.format != "none")
    }
}

fn formatted(count: u32, format: &str) -> String {
    match format {
        "lowerLetter" => letters(count).to_lowercase(),
        "upperLetter" => letters(count),
        "lowerRoman" => roman(count).to_lowercase(),
        "upperRoman" => roman(count),
        "decimalZero" => format!("{count:02}"),
        _ => count.to_string(),
    }
}

/// A to Z, then AA to ZZ: the letter repeats.
fn letters(count: u32) -> String {
    let Some(index) = count.checked_sub(1).filter(|index| *index < 26 * 8) else { return count.to_string() };
    let letter = char::from(b'A' + (index % 26) as u8);
    letter.to_string().repeat(index as usize / 26 + 1)
}

fn roman(count: u32) -> String {
    const NUMERALS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if !(1..4000).contains(&count) {
        return count.to_string();
    }
    let mut left = count;
    let mut numeral = String::new();
    for (value, letters) in NUMERALS {
        while left >= value {
            numeral.push_str(letters);
            left -= value;
        }
    }
    numeral
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: &str = r#"<w:numbering xmlns:w="w">
        <w:abstractNum w:abstractNumId="7">
            <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/><w:pStyle w:val="H1"/></w:lvl>
            <w:lvl w:ilvl="1"><w:start w:val="3"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl>
            <w:lvl w:ilvl="2"><w:numFmt w:val="bullet"/><w:lvlText w:val="o"/></w:lvl>
        </w:abstractNum>
        <w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>
        <w:num w:numId="2"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>
    </w:numbering>"#;

    #[test]
    fn items_are_counted_by_level() {
        let mut numbering = Numbering::read(LISTS).unwrap();
        let items = [(1, 0), (1, 1), (1, 1), (1, 2), (1, 0), (1, 1), (2, 0), (2, 0)];
        let labels = items.map(|(id, level)| numbering.label(id, level).unwrap());
        assert_eq!(labels, ["1.", "1.c)", "1.d)", "-", "2.", "2.c)", "1.", "2."]);
        assert_eq!(numbering.label(9, 0), None);
        assert_eq!(numbering.label(1, 40), None);
        assert_eq!(numbering.level_of_style(1, "H1"), Some(0));
    }

    #[test]
    fn numerals_and_letters() {
        assert_eq!([1, 4, 1994, 3999, 4000].map(roman), ["I", "IV", "MCMXCIV", "MMMCMXCIX", "4000"]);
        assert_eq!([0, 1, 26, 27].map(letters), ["0", "A", "Z", "AA"]);
    }
}
