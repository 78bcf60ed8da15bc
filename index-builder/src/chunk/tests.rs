//! The promises of [`super`], over real documents and over made-up ones.
//!
//! Made-up documents have sections, pages and blocks at any character boundary, which no extractor makes: what holds there holds
//! for any extractor. They are cut with a small vocabulary of their own, so that these tests need no model.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::{ProptestConfig, Strategy as _, TestCaseError, any, prop, prop_assume, prop_oneof, proptest};
use unicode_normalization::UnicodeNormalization as _;

use super::*;
use crate::extract::{Block, BlockKind, Format, Page, Section};

const STRATEGIES: [Strategy; 6] = [
    Strategy::FixedSize,
    Strategy::Character,
    Strategy::Token,
    Strategy::Recursive,
    Strategy::Semantic,
    Strategy::Structure,
];

// ---- the promises ----

/// Cuts `document` and holds every promise against the result.
fn check(document: &Document, settings: &Settings, tokenizer: &Tokenizer) -> Result<Vec<Chunk>, String> {
    let chunks = split(document, settings, tokenizer, &fake_embed).map_err(|error| error.to_string())?;
    covers(document, &chunks)?;
    for chunk in &chunks {
        is_sound(document, chunk, settings, tokenizer).map_err(|what| format!("{what}: {chunk:?}"))?;
    }
    for pair in chunks.windows(2) {
        overlaps(document, &pair[0], &pair[1], settings, tokenizer)
            .map_err(|what| format!("{what}: {:?} and {:?}", &document.text[pair[0].span.clone()], &document.text[pair[1].span.clone()]))?;
    }
    let again = split(document, settings, tokenizer, &fake_embed).map_err(|error| error.to_string())?;
    if again != chunks {
        return Err("not the same twice".into());
    }
    Ok(chunks)
}

/// Every character that is not white space is in a chunk; chunks ascend.
fn covers(document: &Document, chunks: &[Chunk]) -> Result<(), String> {
    let mut end = 0;
    let mut last = None;
    for chunk in chunks {
        if last.is_some_and(|last: &Chunk| chunk.span.start <= last.span.start || chunk.span.end <= last.span.end) {
            return Err(format!("{last:?} does not ascend to {chunk:?}"));
        }
        let missed = document.text.get(end..chunk.span.start).unwrap_or_default();
        if !missed.trim().is_empty() {
            return Err(format!("{missed:?} is in no chunk"));
        }
        end = chunk.span.end;
        last = Some(chunk);
    }
    let missed = document.text.get(end..).ok_or("a chunk ends outside the text")?;
    if missed.trim().is_empty() { Ok(()) } else { Err(format!("{missed:?} is in no chunk")) }
}

/// What holds for one chunk by itself.
fn is_sound(document: &Document, chunk: &Chunk, settings: &Settings, tokenizer: &Tokenizer) -> Result<(), String> {
    let text = document.text.get(chunk.span.clone()).ok_or("not a slice")?;
    if text.trim().is_empty() {
        return Err("blank".into());
    }
    if chunk.tokens != tokenizer.count(text) {
        return Err(format!("{} tokens", tokenizer.count(text)));
    }
    let embedded = tokenizer.encode(&embedding_text(document, chunk)).map_err(|error| error.to_string())?.len();
    let counted = tokenizer.count(&embedding_text(document, chunk)) + Tokenizer::SPECIAL_TOKENS;
    if counted > tokenizer.max_tokens() || embedded != counted {
        return Err(format!("{counted} tokens with its heading path"));
    }
    if size(text, settings.unit, tokenizer) > settings.size {
        return Err(format!("{} {}", size(text, settings.unit, tokenizer), settings.unit.name()));
    }
    let page = document.pages.iter().rev().find(|page| page.start <= chunk.span.start).map(|page| page.number);
    if chunk.page != page {
        return Err(format!("page {page:?}"));
    }
    let section = section_of(document, chunk.span.start);
    if section.map_or(&[][..], |section| &section.headings) != chunk.headings {
        return Err(format!("{section:?}"));
    }
    if settings.strategy == Strategy::Structure && section.is_some_and(|section| chunk.span.end > section.span.end) {
        return Err(format!("crosses the end of {section:?}"));
    }
    Ok(())
}

/// What a chunk repeats of the one before it.
fn overlaps(document: &Document, before: &Chunk, chunk: &Chunk, settings: &Settings, tokenizer: &Tokenizer) -> Result<(), String> {
    let repeated = document.text.get(chunk.span.start..before.span.end).unwrap_or_default();
    if settings.overlap == 0 {
        return if repeated.is_empty() { Ok(()) } else { Err(format!("repeats {repeated:?}")) };
    }
    let is_same_region = match settings.strategy {
        Strategy::Structure => section_of(document, before.span.start) == section_of(document, chunk.span.start),
        // Its regions are not to be seen from outside.
        Strategy::Semantic => !repeated.is_empty(),
        _ => true,
    };
    if !is_same_region {
        return if repeated.is_empty() { Ok(()) } else { Err(format!("repeats {repeated:?} of another section")) };
    }
    if repeated.trim().is_empty() {
        let gap = document.text[before.span.end..chunk.span.start].chars().count();
        let room = settings.size_limit().chars - 2 * 24;
        return if gap > room { Ok(()) } else { Err("repeats nothing".into()) };
    }
    let repeats = size(repeated, settings.unit, tokenizer);
    if repeats == 0 && repeated.chars().any(char::is_alphanumeric) {
        return Err(format!("repeats {repeated:?}, no token"));
    }
    let is_one_atom = !repeated.contains(' ') && repeated.chars().count() <= 24;
    if repeats > settings.overlap && !is_one_atom {
        return Err(format!("repeats {repeats}: {repeated:?}"));
    }
    Ok(())
}

fn section_of(document: &Document, offset: usize) -> Option<&Section> {
    document.sections.iter().find(|section| section.span.contains(&offset))
}

fn size(text: &str, unit: Unit, tokenizer: &Tokenizer) -> usize {
    match unit {
        Unit::Characters => text.chars().count(),
        Unit::Tokens => tokenizer.count(text),
    }
}

/// Words hashed into eight buckets: enough for neighbouring windows to differ.
#[expect(clippy::unnecessary_wraps, reason = "the signature of an embedder")]
fn fake_embed(texts: &[&str]) -> omni_llm::error::Result<Vec<Vec<f32>>> {
    let embed = |text: &&str| {
        let mut vector = vec![0.0; 8];
        for word in text.split_whitespace() {
            vector[word.bytes().map(usize::from).sum::<usize>() % 8] += 1.0;
        }
        vector
    };
    Ok(texts.iter().map(embed).collect())
}

// ---- real documents ----

fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("OMNI_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from)
        .join("docs");
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return None;
    }
    Some(folder)
}

fn model() -> Option<Tokenizer> {
    let folder = std::env::var_os("OMNI_MODEL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/all-MiniLM-L6-v2"), PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no {}", folder.display());
        return None;
    }
    Some(Tokenizer::open(&folder, omni_llm::embed::MAX_TOKENS).unwrap())
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
            Some((file.path().to_owned(), if is_markdown { markdown(&name, &text) } else { plain(&name, &text) }))
        })
        .collect()
}

fn plain(name: &str, text: &str) -> Document {
    let text: String = text.replace("\r\n", "\n").replace(['\0', '\u{feff}', '\u{ad}'], "").nfc().collect();
    Document {
        title: name.to_owned(),
        format: Format::Text,
        sections: vec![Section { span: 0..text.len(), headings: Vec::new() }],
        pages: Vec::new(),
        blocks: Vec::new(),
        warnings: Vec::new(),
        text,
    }
}

/// A light reader: headings, code blocks and tables. The extractor has a better one; the promises do not depend on it.
fn markdown(name: &str, text: &str) -> Document {
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
    let mut document = plain(name, text);
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
fn every_promise_holds_for_every_real_document() {
    let (Some(folder), Some(tokenizer)) = (shared(), model()) else { return };
    let documents = texts(&folder);
    assert!(documents.len() > 800, "{}", documents.len());
    for strategy in STRATEGIES {
        let settings = Settings::new(strategy);
        let mut count = 0;
        for (path, document) in &documents {
            let chunks = check(document, &settings, &tokenizer).unwrap_or_else(|what| panic!("{strategy:?} {}: {what}", path.display()));
            count += chunks.len();
        }
        println!("{strategy:?}: {count} chunks of {} documents", documents.len());
    }
}

// ---- made-up documents ----

/// Letters, a few words, and nothing else: most of what is generated below is spelled out or unknown.
static SMALL: LazyLock<Tokenizer> = LazyLock::new(|| {
    let mut vocabulary = serde_json::Map::new();
    let specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    let letters = ('a'..='z').chain('\u{1100}'..='\u{1112}').chain('\u{1161}'..='\u{1175}').chain('\u{11a8}'..='\u{11c2}');
    let letters: Vec<char> = letters.chain(('!'..='/').chain('0'..='@').chain("日本語、。กขค한".chars())).collect();
    let words = ["the", "chunk", "##ing", "##ed", "token", "word", "##s"].map(String::from);
    let pieces = letters.iter().flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    for word in specials.into_iter().chain(pieces).chain(words) {
        let next = vocabulary.len();
        vocabulary.entry(word).or_insert_with(|| next.into());
    }
    let special = |id: usize, content: &str| {
        serde_json::json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
    };
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]"), special(4, "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    Tokenizer::open(folder.path(), omni_llm::embed::MAX_TOKENS).unwrap()
});

fn piece() -> impl proptest::strategy::Strategy<Value = String> {
    prop_oneof![
        12 => "[a-z]{1,9} ",
        4 => "(the|chunk|token|word)(ing|ed|s)?[.,;!?]? ",
        2 => "[A-Z][a-z]{2,7} [a-z]{1,6}\\. ",
        2 => "[a-z]{20,160}",
        1 => "[0-9a-zA-Z+/=]{50,3000}",
        1 => "https?://[a-z]{3,20}\\.[a-z]{2,3}/[a-z0-9/_?&=%.-]{5,200} ",
        2 => "[日本語、。]{1,60}",
        2 => "[가-힣]{1,40} ?",
        1 => "[กขคงจฉ]{1,80}",
        1 => "(e\u{301}){1,40}|x(\u{301}){1,200}",
        1 => "(👩‍👩‍👧‍👦|😀|🇩🇪|\u{200d}){1,20}",
        1 => "(\u{200b}|\u{c}|\u{85}|\u{fffd}|\u{2028}|\u{a0}|\u{7}){1,6}",
        1 => "\\[(MASK|SEP|CLS|UNK)\\]",
        3 => "\n",
        3 => "\n\n",
        1 => "( {1,60}|\t{1,60}|\n {1,50})",
        1 => "- [a-z]{1,8} [a-z]{1,8}\n",
        1 => "\\| [a-z]{1,8} {1,30}\\| [a-z]{1,8} \\|\n",
        1 => " {100,2500}",
    ]
}

fn documents() -> impl proptest::strategy::Strategy<Value = Document> {
    let places = || proptest::collection::vec(any::<prop::sample::Index>(), 0..8);
    let text = proptest::collection::vec(piece(), 0..250).prop_map(|pieces| pieces.concat());
    let heading = prop_oneof!["[a-z ]{0,30}", "[a-zA-Z]{90,400}", "([a-z]{1,7} ){10,40}"];
    (text, places(), places(), places(), proptest::collection::vec(heading, 1..6), any::<bool>()).prop_map(
        |(text, sections, pages, blocks, headings, tables)| {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let sorted = |places: Vec<prop::sample::Index>| {
                let mut places: Vec<usize> = places.into_iter().map(|place| *place.get(&boundaries)).collect();
                places.sort_unstable();
                places.dedup();
                places
            };
            let mut borders = sorted(sections);
            borders.extend([0, text.len()]);
            borders.sort_unstable();
            borders.dedup();
            let sections = borders
                .windows(2)
                .enumerate()
                .map(|(index, pair)| Section { span: pair[0]..pair[1], headings: headings[..index % headings.len()].to_vec() })
                .collect();
            let pages = (1..).zip(sorted(pages)).map(|(number, start)| Page { start, number }).collect();
            let kind = if tables { BlockKind::Table } else { BlockKind::Code };
            let blocks = sorted(blocks).chunks_exact(2).map(|pair| Block { span: pair[0]..pair[1], kind }).collect();
            let title = headings[headings.len() - 1].clone();
            Document { title, format: Format::Text, text, sections, pages, blocks, warnings: Vec::new() }
        },
    )
}

fn any_settings() -> impl proptest::strategy::Strategy<Value = Settings> {
    let strategy = prop::sample::select(&STRATEGIES[..]);
    let separators = proptest::collection::vec(prop_oneof!["\n", "\n\n", " ", "", "e", "\\. ", "日", "## "], 1..4);
    (strategy, any::<bool>(), 0.0..1.0f64, 0.0..=0.5f64, any::<bool>(), separators).prop_map(
        |(strategy, characters, size, overlap, none, mut separators)| {
            let most = if characters { 2000.0 } else { 224.0 };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
            let (size, overlap) = {
                let size = 64.0 + size * (most - 64.0);
                (size as usize, if none { 0 } else { (size.floor() * overlap) as usize })
            };
            let unit = if characters { Unit::Characters } else { Unit::Tokens };
            if strategy == Strategy::Character {
                separators.truncate(1);
            }
            Settings { size, overlap, unit, separators, ..Settings::new(strategy) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_promise_holds_for_any_document(document in documents(), settings in any_settings()) {
        prop_assume!(settings.validate().is_ok());
        if let Err(what) = check(&document, &settings, &SMALL) {
            return Err(TestCaseError::fail(what));
        }
    }
}
