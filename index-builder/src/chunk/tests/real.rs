//! Every file of `../shared/docs` that is text already, cut by every strategy with the real vocabulary.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use unicode_normalization::UnicodeNormalization as _;

use super::*;
use crate::extract::{Block, BlockKind};

fn shared() -> Option<PathBuf> {
    crate::testing::shared::shared("docs")
}

fn model() -> Option<Tokenizer> {
    crate::testing::model::model().map(|folder| Tokenizer::open(&folder, omni_retrieval::embed::MAX_TOKENS).unwrap())
}

/// Every file of the collection that is text already, read as Markdown where it is that.
fn texts(folder: &Path) -> Vec<(PathBuf, Document)> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    files
        .filter(|file| file.file_type().is_file())
        .filter_map(|file| {
            let text = String::from_utf8(std::fs::read(file.path()).unwrap()).ok()?;
            let is_markdown = file.path().extension().is_some_and(|extension| extension == "md");
            let name = file.file_name().to_string_lossy();
            Some((file.path().to_owned(), if is_markdown { markdown(&name, &text) } else { plain(&name, &normal(&text)) }))
        })
        .collect()
}

/// Text as extractors leave it.
fn normal(text: &str) -> String {
    text.replace("\r\n", "\n").replace(['\0', '\u{feff}', '\u{ad}'], "").nfc().collect()
}

/// A light reader: headings, code blocks and tables. The extractor has a better one; the promises do not depend on it.
fn markdown(name: &str, text: &str) -> Document {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let mut document = plain(name, &normal(text));
    document.format = Format::Markdown;
    let mut starts: Vec<(usize, Vec<String>)> = vec![(0, Vec::new())];
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut heading: Option<String> = None;
    for (event, span) in Parser::new_ext(&document.text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                path.retain(|(above, _)| *above < level as usize);
                path.push((level as usize, String::new()));
                heading = Some(String::new());
                starts.push((span.start, Vec::new()));
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                path.last_mut().unwrap().1 = heading.take().unwrap();
                starts.last_mut().unwrap().1 = path.iter().map(|(_, heading)| heading.clone()).collect();
            }
            Event::Start(Tag::CodeBlock(_)) => document.blocks.push(Block { span, kind: BlockKind::Code }),
            Event::Start(Tag::Table(_)) => document.blocks.push(Block { span, kind: BlockKind::Table }),
            _ => {}
        }
    }
    if let Some((_, headings)) = starts.get(1)
        && let Some(first) = headings.first()
    {
        document.title.clone_from(first);
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(start, _)| *start).chain([document.text.len()]).collect();
    document.sections = starts
        .into_iter()
        .zip(ends)
        .filter(|((start, _), end)| start < end)
        .map(|((start, headings), end)| Section { span: start..end, headings })
        .collect();
    document
}

#[test]
fn structure_keeps_every_block_whole_that_fits() {
    let (Some(folder), Some(tokenizer)) = (shared(), model()) else { return };
    let settings = Settings::default();
    let room = [settings.size_limit(), settings.overlap_limit()];
    let mut kept = 0;
    for (path, document) in texts(&folder.join("kb/rust-book")) {
        let chunks = split(&document, &settings, &tokenizer, &fake_distances).unwrap();
        for block in &document.blocks {
            let text = &document.text[block.span.clone()];
            let fits = tokenizer.count(text) <= room[0].tokens - room[1].tokens
                && text.trim_end().chars().count() <= room[0].chars - room[1].chars;
            let end = block.span.start + text.trim_end().len();
            if fits {
                let whole = chunks.iter().any(|chunk| chunk.span.start <= block.span.start && chunk.span.end >= end);
                assert!(whole, "{}: {text}", path.display());
                kept += 1;
            }
        }
    }
    assert!(kept > 100, "{kept}");
}

#[test]
fn every_promise_holds_for_every_real_document() {
    let (Some(folder), Some(tokenizer)) = (shared(), model()) else { return };
    let documents = texts(&folder);
    assert!(documents.len() > 800, "{}", documents.len());
    for &strategy in Strategy::value_variants() {
        let settings = Settings::new(strategy);
        let checked = documents.par_iter().map(|(path, document)| {
            check(document, &settings, &tokenizer).unwrap_or_else(|what| panic!("{strategy:?} {}: {what}", path.display()))
        });
        let chunks: Vec<Chunk> = checked.flatten_iter().collect();
        let tokens: usize = chunks.iter().map(|chunk| chunk.tokens).sum();
        let small = chunks.iter().filter(|chunk| chunk.tokens < 40).count();
        let [count, documents] = [chunks.len(), documents.len()];
        println!("{strategy:?}: {count} chunks of {documents} documents, {} tokens a chunk, {small} under 40", tokens / count);
    }
}
