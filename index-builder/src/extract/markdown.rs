//! Markdown. The text stays the source text, so that a quotation can be found in the file; only front matter and comments, which no
//! reader sees, are cut out.
//!
//! Headings are what CommonMark calls headings: a `#` inside a fence is none, and one inside a list or a quotation opens no
//! section of the document.

use std::collections::BTreeMap;
use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_normalization::is_nfc;

use super::document::{Block, BlockKind, Document, Format, Section};
use super::draft::{HEADING_MAX_CHARS, clean, close_sections, descend, one_line};
use super::encoding::{self, Decoded};
use super::front_matter;
use super::{Refusal, title_or_name};

/// Reads a Markdown file in whatever encoding it is.
pub(super) fn read(bytes: &[u8], name: &str, declared_charset: Option<&str>) -> Result<Document, Refusal> {
    let Decoded { text, warning } = encoding::decode(bytes, declared_charset)?;
    let source = clean(&text).replace('\u{c}', "\n");
    let mut warnings: Vec<String> = warning.into_iter().collect();
    let (mut metadata, body) = match front_matter::split(&source) {
        (Some(front_matter), body) => match front_matter::read(front_matter) {
            Ok(fields) => (fields, body),
            // Who may see the document stood in there, perhaps.
            Err(refused) if front_matter::names_access(front_matter) => {
                return Err(Refusal::new(format!("{refused}, and `access` is one of them")));
            }
            Err(refused) if front_matter::looks_like_fields(front_matter) => {
                warnings.push(refused);
                (BTreeMap::new(), body)
            }
            Err(_) => (BTreeMap::new(), source.as_str()),
        },
        (None, body) if front_matter::is_spoilt_and_names_access(body) => {
            let remedy = "put it between two lines `---` at the very beginning of the file";
            return Err(Refusal::new(format!("front matter: not well enclosed, and `access` is one of its fields; {remedy}")));
        }
        (None, body) => (BTreeMap::new(), body),
    };
    let mut outline = Outline::default();
    let text = outline.read(body.trim_matches('\n').trim_end());
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
    comments: Vec<Range<usize>>,
}

impl Outline {
    /// Reads a source text and gives it back without its comments.
    fn read(&mut self, text: &str) -> String {
        let options = Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES | Options::ENABLE_FOOTNOTES;
        let mut depth = 0_usize;
        let mut heading: Option<String> = None;
        let parser = Parser::new_ext(text, options);
        let definitions: Vec<_> = parser.reference_definitions().iter().map(|(_, definition)| definition.span.clone()).collect();
        for (event, span) in parser.into_offset_iter() {
            match event {
                Event::Start(tag) => {
                    match tag {
                        Tag::HtmlBlock => self.html(text, span),
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
                Event::InlineHtml(html) if html.starts_with("<!--") => self.comment(text, span),
                Event::SoftBreak | Event::HardBreak => heading.iter_mut().for_each(|words| words.push(' ')),
                _ => {}
            }
        }
        self.definitions(text, definitions);
        self.without_comments(text)
    }

    fn section(&mut self, level: HeadingLevel, heading: &str, start: usize) {
        // A rule right below a paragraph makes a heading of all of it.
        if heading.is_empty() || heading.chars().count() > HEADING_MAX_CHARS {
            return;
        }
        if level == HeadingLevel::H1 && self.title.is_none() {
            self.title = Some(heading.to_owned());
        }
        let headings = descend(&mut self.path, level as u8, heading);
        self.sections.push(Section { span: start..start, headings });
    }

    fn html(&mut self, text: &str, span: Range<usize>) {
        let html = &text[span.clone()];
        if self.title.is_none() {
            self.title = super::html::first_heading(html);
        }
        let mut from = 0;
        while let Some(start) = html[from..].find("<!--").map(|at| from + at)
            && let Some(end) = html[start..].find("-->").map(|at| start + at + "-->".len())
        {
            self.comment(text, span.start + start..span.start + end);
            from = end;
        }
    }

    /// Notes a comment, with the line end behind one that has lines of its own.
    fn comment(&mut self, text: &str, span: Range<usize>) {
        let (before, after) = (&text[..span.start], &text[span.end..]);
        let blank = after.len() - after.trim_start_matches([' ', '\t']).len();
        let has_own_lines = (before.is_empty() || before.ends_with('\n')) && after[blank..].starts_with('\n');
        let end = if has_own_lines { span.end + blank + 1 } else { span.end };
        // Right behind another one both are one.
        let start = self.comments.last().filter(|last| last.end == span.start).map_or(span.start, |last| last.start);
        // What stood before and behind it must not become one letter.
        let seam: String = text[..start].chars().last().into_iter().chain(text[end..].chars().next()).collect();
        if is_nfc(&seam) {
            self.comments.pop_if(|last| last.end == span.start);
            self.comments.push(start..end);
        }
    }

    /// Takes the comments out of the text and moves what stands behind them.
    fn without_comments(&mut self, text: &str) -> String {
        let mut kept = String::with_capacity(text.len());
        // The bytes that are gone before the end of each comment.
        let mut gone = vec![0];
        for comment in &self.comments {
            kept.push_str(&text[kept.len() + gone[gone.len() - 1]..comment.start]);
            gone.push(comment.end - kept.len());
        }
        kept.push_str(&text[kept.len() + gone[gone.len() - 1]..]);
        let body = kept.trim_matches('\n').trim_end();
        let lead = kept.len() - kept.trim_start_matches('\n').len();
        let moved = |at: usize| {
            let behind = self.comments.partition_point(|comment| comment.end <= at);
            (at - gone[behind]).saturating_sub(lead).min(body.len())
        };
        self.sections.iter_mut().for_each(|section| section.span = moved(section.span.start)..moved(section.span.end));
        self.blocks.iter_mut().for_each(|block| block.span = moved(block.span.start)..moved(block.span.end));
        close_sections(&mut self.sections, body.len());
        body.to_owned()
    }

    /// Definitions of links, one block for those that follow each other.
    fn definitions(&mut self, text: &str, mut spans: Vec<Range<usize>>) {
        spans.sort_unstable_by_key(|span| span.start);
        let mut run: Option<Range<usize>> = None;
        for span in spans {
            run = match run {
                Some(run) if text[run.end..span.start].trim().is_empty() => Some(run.start..span.end),
                _ => {
                    run.into_iter().for_each(|run| self.block(BlockKind::Definitions, text, run));
                    Some(span)
                }
            };
        }
        run.into_iter().for_each(|run| self.block(BlockKind::Definitions, text, run));
        self.blocks.sort_by_key(|block| block.span.start);
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
    fn a_heading_longer_than_any_is_a_paragraph() {
        let log = "a line of a log\n".repeat(20);
        let document = document(&format!("# One\n\n{log}-----\n\n# {}\n\n# Two\n", "x".repeat(201)));
        assert_eq!(paths(&document), [("One".to_owned(), "# One"), ("Two".to_owned(), "# Two")]);
        assert!(document.text.contains(&log));
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
        for prose in [
            "---\n\ntext\n\n---",
            "---\n\n---\n\ntext",
            "---\n\nWarning: this page is deprecated.\n\n---\n\n# Guide",
            "---\n\nIntro\n\n## Settings\n\nWho has it, access: everybody.",
            "---\n\n# Guide\n\n- access: how",
            "---\nNobody has access: ask.\n# Access: how",
            "text\n\n---\naccess: hr\n---",
            "---\n# Release notes\n\nVersion 2 drops the old API.\n\n---\n\n# Next",
            "---\nNote: this page is old.\nAsk the help desk on 4711 before you use it: they know.\n---\n\n# Next",
            "---\nNote: this page: old\nAccess it no more.\n---",
        ] {
            let document = document(prose);
            assert_eq!((document.text.as_str(), document.warnings.len()), (prose, 0));
        }
        let mixed = read(b"---\ntext: 1\nwrapped\naccess: hr\n---\nx", "page.md", None).unwrap_err().to_string();
        assert!(mixed.ends_with("`access` is one of them"), "{mixed}");
        for source in [
            "---\n\nAccess: [hr\n---\n",
            "---\n\naccess: hr\n---\ntext",
            "---\n# About this page\n\ntags:\n- a\n\naccess: hr\n\ntext",
            "---\n\n# Who reads this\naccess: hr\n\ntext",
            "---\naccess: hr\n\ntext",
            "---\ntitle: T\naccess: hr\n----\ntext",
            "---\ntitle: T\naccess: hr\n ---\ntext",
            "\n---\naccess: hr\n---\ntext",
            " ---\naccess: hr\n---\ntext",
            "---\n---\naccess: hr\n---\ntext",
            "---\n- access: hr\n---\ntext",
            "---\n{title: T, access: hr\n---\ntext",
            "---\ntitle: T\n\taccess: hr\n---\ntext",
            "+++\nmetadata.access = ['hr'\n+++\ntext",
            "+++\n\"access\" = 'hr'\n++++\ntext",
        ] {
            let refused = read(source.as_bytes(), "page.md", None).map(|document| document.metadata);
            assert!(
                refused.as_ref().is_err_and(|why| why.to_string().contains("and `access` is one of")),
                "{source}: {refused:?}"
            );
        }
        let open = document("---\ntitle: never closed\n");
        assert_eq!(open.text, "---\ntitle: never closed");
    }

    #[test]
    fn comments_are_not_part_of_the_text() {
        let source = "<!-- a -->\n\none <!-- b --> two\n\n<!-- c\n\nd -->\n# H\n\n```\n<!-- code -->\n```\n<div>\n<!-- e -->\n</div>\n\n<!-- f -->\n";
        let document = document(source);
        assert_eq!(document.text, "one  two\n\n# H\n\n```\n<!-- code -->\n```\n<div>\n</div>");
        assert_eq!(paths(&document), [("".to_owned(), "one  two"), ("H".to_owned(), "# H")]);
        assert_eq!(&document.text[document.blocks[0].span.clone()], "```\n<!-- code -->\n```");
        for source in ["e<!-- x -->\u{301}", "e<!-- x --><!-- y -->\u{301}"] {
            assert_eq!(read(source.as_bytes(), "a.md", None).unwrap().check(), Ok(()));
        }
    }

    #[test]
    fn definitions_of_links_are_blocks() {
        let document =
            document("See [a] and [b].\n\n[a]: https://a.example \"A\"\n[b]: https://b.example\n\ntext [c]\n\n[c]: c.md\n");
        let blocks: Vec<_> = document.blocks.iter().map(|block| (block.kind, &document.text[block.span.clone()])).collect();
        let expected = ["[a]: https://a.example \"A\"\n[b]: https://b.example", "[c]: c.md"];
        assert_eq!(blocks, expected.map(|text| (BlockKind::Definitions, text)));
    }

    #[test]
    fn a_heading_in_html_is_a_title() {
        assert_eq!(document("<h1 align=\"center\">\n  <img src=a.png> Frobnicator\n</h1>\n\n# Install\n").title, "Frobnicator");
        assert_eq!(document("# Install\n\n<h1>Frobnicator</h1>\n").title, "Install");
    }

    proptest! {
        #[test]
        fn any_text_keeps_the_promises(source in "(([#`~>|é\u{301}\\-: \\t0-9.a*=+]{0,6}|<!--|-->|\\[a\\]: a|<div>)\n?){0,30}") {
            let document = read(source.as_bytes(), "a.md", None).unwrap();
            prop_assert_eq!(document.check(), Ok(()));
        }
    }
}
