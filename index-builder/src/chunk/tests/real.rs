//! Every file of `../shared/docs` that is text already, cut by every strategy with the real vocabulary.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use unicode_normalization::UnicodeNormalization as _;

use super::*;
use crate::extract::{Block, BlockKind};

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
fn every_promise_holds_for_every_real_document() {
    let (Some(folder), Some(tokenizer)) = (shared(), model()) else { return };
    let documents = texts(&folder);
    assert!(documents.len() > 800, "{}", documents.len());
    for strategy in STRATEGIES {
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

#[test]
#[ignore]
fn semantic_scratch() {
    let folder = shared().unwrap();
    let model = omni_llm::embed::Embedder::open(Path::new("/work/model")).unwrap();
    let documents = texts(&folder.join("kb"));
    for (path, d) in documents.iter().filter(|(_, d)| (4000..9000).contains(&d.text.len())).step_by(120).take(5) {
        let all = std::cell::RefCell::new(Vec::new());
        let embed = |t: &[&str]| { let v = model.embed(t, &|_| ())?; all.borrow_mut().extend(v.clone()); Ok(v) };
        let settings = Settings::new(Strategy::Semantic);
        let chunks = split(d, &settings, model.tokenizer(), &embed).unwrap();
        let v = all.borrow();
        let dist = |k: usize| { let mut x: Vec<f32> = (0..v.len() - k).map(|i| 1.0 - v[i].iter().zip(&v[i + k]).map(|(a, b)| a * b).sum::<f32>()).collect(); x.sort_by(f32::total_cmp); [0.1, 0.25, 0.5, 0.75, 0.9].map(|p| x[(x.len() as f64 * p) as usize]) };
        println!("{} {} windows, near {:?} far {:?}; {} chunks", path.display(), v.len(), dist(2), dist(v.len() / 2), chunks.len());
        for c in &chunks { println!("   {:?} {} tokens: {:?}", c.span, c.tokens, d.text[c.span.clone()].chars().take(70).collect::<String>()); }
    }
}

#[test]
#[ignore]
fn figures_scratch() {
    let (Some(folder), Some(tokenizer)) = (shared(), model()) else { return };
    let documents = texts(&folder.join("kb"));
    let bytes: usize = documents.iter().map(|(_, d)| d.text.len()).sum();
    let t = std::time::Instant::now();
    for (_, d) in &documents { std::hint::black_box(tokenizer.offsets(&d.text)); }
    let tok = t.elapsed().as_secs_f64();
    println!("kb {bytes} bytes, tokenise {:.2} MB/s", bytes as f64 / 1e6 / tok);
    for s in STRATEGIES {
        let settings = Settings::new(s);
        let t = std::time::Instant::now();
        let mut n = 0; let mut toks = 0; let mut small = 0; let mut chars=0;
        let mut capped = 0;
        for (_, d) in &documents {
            for c in split(d, &settings, &tokenizer, &fake_embed).unwrap() { n += 1; toks += c.tokens; small += usize::from(c.tokens < 40); let k = d.text[c.span.clone()].chars().count(); chars += k; capped += usize::from(k > c.tokens * 8); }
        }
        let all = t.elapsed().as_secs_f64();
        println!("{s:?}: {n} chunks, mean {} tokens {} chars, {small} <40 tok, {capped} over 8 chars/token; split {:.2} MB/s whole, {:.2} MB/s after tokenising", toks / n, chars / n, bytes as f64 / 1e6 / all, bytes as f64 / 1e6 / (all - tok));
    }
    // questions
    let file = std::fs::read_to_string(folder.join("eval/chroma-chunking/spans.json")).or_else(|_| std::fs::read_to_string("/tmp/spans.json")).unwrap();
    let spans: Vec<(String, Vec<(usize, usize)>)> = serde_json::from_str(&file).unwrap();
    for s in STRATEGIES {
        for overlap in [0, 1] {
        let mut settings = Settings::new(s);
        if overlap == 0 { settings.overlap = 0; }
        let mut by = std::collections::HashMap::new();
        for (name, _) in &spans {
            by.entry(name.clone()).or_insert_with(|| {
                let text = std::fs::read_to_string(folder.join(format!("eval/chroma-chunking/corpora/{name}.md"))).unwrap();
                let idx: Vec<usize> = text.char_indices().map(|(a, _)| a).chain([text.len()]).collect();
                let d = plain(name, &text);
                let c = split(&d, &settings, &tokenizer, &fake_embed).unwrap();
                (idx, c)
            });
        }
        let (mut refs, mut whole, mut touched, mut chars, mut used) = (0, 0, 0, 0, 0);
        for (name, rs) in &spans {
            let (idx, chunks) = &by[name];
            for &(a, b) in rs {
                let (a, b) = (idx[a], idx[b]);
                refs += 1;
                whole += usize::from(chunks.iter().any(|c| c.span.start <= a && c.span.end >= b));
                let mut at = a;
                // fewest chunks that cover
                while at < b { let Some(c) = chunks.iter().filter(|c| c.span.start <= at && c.span.end > at).max_by_key(|c| c.span.end) else { at += 1; continue }; touched += 1; used += c.span.len(); at = c.span.end; }
                chars += b - a;
            }
        }
        println!("{s:?} overlap {}: {refs} references, {:.1} % whole in one chunk, {:.2} chunks to cover, {:.1} % of covered text is reference", settings.overlap, 100.0 * whole as f64 / refs as f64, touched as f64 / refs as f64, 100.0 * chars as f64 / used as f64);
        }
    }
}
