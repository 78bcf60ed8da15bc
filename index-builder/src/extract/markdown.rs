//! Markdown. The text stays the source text, so that a quotation can be found in the file; only front matter is cut off.
//!
//! Headings are what CommonMark calls headings: a `#` inside a fence is none, and one inside a list or a quotation opens no
//! section of the document.

use std::collections::BTreeMap;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::document::{Block, BlockKind, Document, Format, Section};
use super::draft::{clean, close_sections, descend, one_line};
use super::encoding::{self, Decoded};
use super::front_matter;
use super::{Refusal, title_or_name};

/// Reads a Markdown file in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let Decoded { text, warning } = encoding::decode(bytes, declared_charset)?;
    let source = clean(&text).replace('\u{c}', "\n");
    let (front_matter, body) = front_matter::split(&source);
    let text = body.trim_matches('\n').trim_end().to_owned();
    let mut outline = Outline::default();
    outline.read(&text);
    let mut warnings: Vec<String> = warning.into_iter().collect();
    let mut metadata = match front_matter.map(front_matter::read) {
        Some(Ok(fields)) => fields,
        Some(Err(refused)) => {
            // Who may see the document stood in there, perhaps.
            if front_matter.is_some_and(front_matter::names_access) {
                return Err(Refusal::new(format!("{refused}, and `access` is one of them")));
            }
            warnings.push(refused);
            BTreeMap::new()
        }
        None => BTreeMap::new(),
    };
    let title = match metadata.remove("title") {
        Some(serde_json::Value::String(title)) => Some(title),
        Some(serde_json::Value::Null) | None => outline.title,
        Some(other) => Some(other.to_string()),
    };
    Ok(Document {
        title: title_or_name(title, name),
        format: Format::Markdown,
        sections: outline.sections,
        pages: Vec::new(),
        blocks: outline.blocks,
        warnings,
        metadata,
        text,
    })
}

/// Where headings and blocks stand in a source text.
#[derive(Default)]
struct Outline {
    title: Option<String>,
    path: Vec<(u8, String)>,
    sections: Vec<Section>,
    blocks: Vec<Block>,
}

impl Outline {
    fn read(&mut self, text: &str) {
        let options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES | Options::ENABLE_FOOTNOTES;
        let mut depth = 0_usize;
        let mut heading: Option<String> = None;
        for (event, span) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(tag) => {
                    match tag {
                        Tag::Heading { .. } if depth == 0 => heading = Some(String::new()),
                        Tag::CodeBlock(_) => self.block(BlockKind::Code, text, span),
                        Tag::Table(_) => self.block(BlockKind::Table, text, span),
                        _ => {}
                    }
                    depth += 1;
                }
                Event::End(tag) => {
                    depth -= 1;
                    if let (TagEnd::Heading(level), Some(words)) = (tag, heading.take_if(|_| depth == 0)) {
                        self.section(level, &one_line(&words), span.start);
                    }
                }
                Event::Text(piece) | Event::Code(piece) => heading.iter_mut().for_each(|words| words.push_str(&piece)),
                Event::SoftBreak | Event::HardBreak => heading.iter_mut().for_each(|words| words.push(' ')),
                _ => {}
            }
        }
        close_sections(&mut self.sections, text.len());
    }

    fn section(&mut self, level: HeadingLevel, heading: &str, start: usize) {
        if heading.is_empty() {
            return;
        }
        if level == HeadingLevel::H1 && self.title.is_none() {
            self.title = Some(heading.to_owned());
        }
        let headings = descend(&mut self.path, level as u8, heading);
        self.sections.push(Section { span: start..start, headings });
    }

    fn block(&mut self, kind: BlockKind, text: &str, span: Range<usize>) {
        let end = span.start + text[span.clone()].trim_end().len();
        if end > span.start {
            self.blocks.push(Block { span: span.start..end, kind });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(source: &str) -> Document {
        let document = read(source.as_bytes(), "docs/page.md", None).unwrap();
        document.check().unwrap();
        document
    }

    fn paths(document: &Document) -> Vec<(String, &str)> {
        let first_line = |section: &Section| document.text[section.span.clone()].lines().next().unwrap_or_default();
        document.sections.iter().map(|section| (section.headings.join(" > "), first_line(section))).collect()
    }

    #[test]
    fn headings_are_those_of_commonmark() {
        let document = document("intro\n\n# One `x` {#id}\n\n```sh\n# no heading\n```\n\n> # quoted\n\nTwo\n===\n\n### Deep\n");
        let expected = [("", "intro"), ("One x", "# One `x` {#id}"), ("Two", "Two"), ("Two > Deep", "### Deep")];
        assert_eq!(paths(&document), expected.map(|(path, line)| (path.to_owned(), line)));
        assert_eq!(document.title, "One x");
        assert_eq!(&document.text[document.blocks[0].span.clone()], "```sh\n# no heading\n```");
    }

    #[test]
    fn tables_and_code_are_blocks() {
        let document = document("a\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n    indented\n\n- item\n\n  ~~~\n  code\n  ~~~\n");
        let blocks: Vec<_> = document.blocks.iter().map(|block| (block.kind, &document.text[block.span.clone()])).collect();
        let expected = [
            (BlockKind::Table, "| x | y |\n|---|---|\n| 1 | 2 |"),
            (BlockKind::Code, "indented"),
            (BlockKind::Code, "~~~\n  code\n  ~~~"),
        ];
        assert_eq!(blocks, expected);
    }

    #[test]
    fn front_matter_gives_the_title_and_goes() {
        let yaml = document("---\r\ndescription: d\r\ntitle: \"The: title\"\r\n---\r\n\r\n# H\r\n\r\ntext\r\n");
        assert_eq!((yaml.title.as_str(), yaml.text.as_str()), ("The: title", "# H\n\ntext"));
        assert_eq!(yaml.metadata, BTreeMap::from([("description".to_owned(), "d".into())]));
        let broken = document("---\ntitle: [never closed\n---\nx");
        assert_eq!((broken.title.as_str(), broken.text.as_str()), ("page.md", "x"));
        assert!(broken.warnings[0].starts_with("front matter: "), "{:?}", broken.warnings);
        let closed = read(b"---\ntitle: [never closed\nAccess: hr\n---\nx", "page.md", None).unwrap_err().to_string();
        assert!(closed.ends_with("its fields are left out, and `access` is one of them"), "{closed}");
        let toml = document("+++\ntitle = 'T'\n+++\nx");
        assert_eq!((toml.title.as_str(), toml.text.as_str()), ("T", "x"));
        let rule = document("---\n\ntext: 1\n\n---\n");
        assert_eq!((rule.title.as_str(), rule.text.as_str()), ("page.md", "---\n\ntext: 1\n\n---"));
        let open = document("---\ntitle: never closed\n");
        assert_eq!(open.text, "---\ntitle: never closed");
    }

    proptest! {
        #[test]
        fn any_text_keeps_the_promises(source in "([#`~>|é\u{301}\\-: \\t0-9.a*=+]{0,6}\n?){0,30}") {
            let document = read(source.as_bytes(), "a.md", None).unwrap();
            prop_assert_eq!(document.check(), Ok(()));
        }
    }
}
