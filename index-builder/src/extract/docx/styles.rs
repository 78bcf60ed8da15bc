//! Paragraph styles: which ones are headings, which are code, which number their paragraphs.
//!
//! A style inherits from the one that it is based on. Its identifier is in the language of the author, its name is not: the style
//! `berschrift1` is named `heading 1`.

use std::collections::HashMap;

use quick_xml::events::Event;

use super::xml::{attribute, number, val, walk};
use crate::extract::Refusal;

/// How far an inheritance is followed; a cycle ends here.
const ANCESTORS_MAX: usize = 16;

/// The styles of a document by identifier.
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, Style>);

#[derive(Debug, Default)]
struct Style {
    name: String,
    based_on: Option<String>,
    outline_level: Option<u8>,
    number_id: Option<u32>,
    number_level: Option<usize>,
}

impl Styles {
    /// Reads `styles.xml`.
    pub(super) fn read(xml: &str) -> Result<Self, Refusal> {
        let mut styles = HashMap::new();
        let mut current: Option<(String, Style)> = None;
        walk("word/styles.xml", xml, |_, event| {
            match event {
                Event::Start(element) => match (element.local_name().into_inner(), &mut current) {
                    ("style", _) => current = Some((attribute(&element, "styleId").unwrap_or_default(), Style::default())),
                    ("name", Some((_, style))) => style.name = val(&element).unwrap_or_default().to_lowercase(),
                    ("basedOn", Some((_, style))) => style.based_on = val(&element),
                    ("outlineLvl", Some((_, style))) => style.outline_level = number(&element),
                    ("numId", Some((_, style))) => style.number_id = number(&element),
                    ("ilvl", Some((_, style))) => style.number_level = number(&element),
                    _ => {}
                },
                Event::End(element) if element.local_name().into_inner() == "style" => styles.extend(current.take()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self(styles))
    }

    /// The heading level of a style, 1 to 9; the style `Title` is level 1.
    pub(super) fn heading_level(&self, style: &str) -> Option<u8> {
        self.ancestry(style).find_map(|style| match style.outline_level {
            // Level 9 is body text: a style may say so against the one that it is based on.
            Some(level) => Some((level < 9).then_some(level + 1)),
            None if style.name == "title" => Some(Some(1)),
            None => {
                let level: u8 = style.name.strip_prefix("heading ")?.parse().ok()?;
                Some((1..=9).contains(&level).then_some(level))
            }
        })?
    }

    /// Whether a style is the document's title.
    pub(super) fn is_title(&self, style: &str) -> bool {
        self.0.get(style).is_some_and(|style| style.name == "title")
    }

    /// Whether a style sets program text.
    pub(super) fn is_code(&self, style: &str) -> bool {
        let names = ["code", "source", "preformatted", "listing"];
        self.ancestry(style).any(|style| names.iter().any(|name| style.name.contains(name)))
    }

    /// The list that a style puts its paragraphs in, and the level, where the style names one.
    pub(super) fn numbering(&self, style: &str) -> Option<(u32, Option<usize>)> {
        let level = self.ancestry(style).find_map(|style| style.number_level);
        self.ancestry(style).find_map(|style| style.number_id).map(|id| (id, level))
    }

    fn ancestry(&self, style: &str) -> impl Iterator<Item = &Style> {
        let parent = |style: &&Style| style.based_on.as_ref().and_then(|parent| self.0.get(parent));
        std::iter::successors(self.0.get(style), parent).take(ANCESTORS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_inherited_and_cycles_end() {
        let styles = Styles::read(
            r#"<w:styles xmlns:w="w">
                <w:style w:styleId="berschrift2"><w:name w:val="Heading 2"/><w:basedOn w:val="Loop"/></w:style>
                <w:style w:styleId="Mine"><w:name w:val="mine"/><w:basedOn w:val="berschrift2"/></w:style>
                <w:style w:styleId="Body"><w:name w:val="b"/><w:basedOn w:val="berschrift2"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>
                <w:style w:styleId="Loop"><w:name w:val="loop"/><w:basedOn w:val="Loop"/></w:style>
                <w:style w:styleId="Src"><w:name w:val="Source Code"/></w:style>
            </w:styles>"#,
        )
        .unwrap();
        assert_eq!(
            ["berschrift2", "Mine", "Body", "Loop", "None"].map(|id| styles.heading_level(id)),
            [Some(2), Some(2), None, None, None]
        );
        assert!(styles.is_code("Src") && !styles.is_code("Loop"));
    }
}
