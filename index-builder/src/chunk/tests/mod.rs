//! The promises of [`super`]: here in one place, held over real documents in [`real`] and over made-up ones in [`made_up`].

mod examples;
mod made_up;
mod real;

use clap::ValueEnum as _;

use super::*;
use crate::cli::name;
use crate::extract::{Format, Section};

/// Cuts `document` and holds every promise against the result.
fn check(document: &Document, settings: &Settings, tokenizer: &Tokenizer) -> Result<Vec<Chunk>, String> {
    let chunks = split(document, settings, tokenizer, &fake_distances).map_err(|error| error.to_string())?;
    covers(document, &chunks)?;
    for chunk in &chunks {
        is_sound(document, chunk, settings, tokenizer).map_err(|what| format!("{what}: {chunk:?}"))?;
    }
    for pair in chunks.windows(2) {
        overlaps(document, &pair[0], &pair[1], settings, tokenizer).map_err(|what| {
            format!("{what}: {:?} and {:?}", &document.text[pair[0].span.clone()], &document.text[pair[1].span.clone()])
        })?;
    }
    Ok(chunks)
}

/// Every character that is not white space is in a chunk, or in a stretch that says nothing; chunks ascend.
fn covers(document: &Document, chunks: &[Chunk]) -> Result<(), String> {
    let stretches = quiet::stretches(document);
    let is_missed = |span: Range<usize>| span.start < span.end && !quiet::is_quiet(&document.text, &stretches, span);
    let mut end = 0;
    let mut last = None;
    for chunk in chunks {
        if last.is_some_and(|last: &Chunk| chunk.span.start <= last.span.start || chunk.span.end <= last.span.end) {
            return Err(format!("{last:?} does not ascend to {chunk:?}"));
        }
        if is_missed(end..chunk.span.start) {
            return Err(format!("{:?} is in no chunk", &document.text[end..chunk.span.start]));
        }
        end = chunk.span.end;
        last = Some(chunk);
    }
    let rest = document.text.get(end..).ok_or("a chunk ends outside the text")?;
    if is_missed(end..document.text.len()) { Err(format!("{rest:?} is in no chunk")) } else { Ok(()) }
}

/// What holds for one chunk by itself.
fn is_sound(document: &Document, chunk: &Chunk, settings: &Settings, tokenizer: &Tokenizer) -> Result<(), String> {
    let text = document.text.get(chunk.span.clone()).ok_or("not a slice")?;
    if text.trim().is_empty() {
        return Err("blank".into());
    }
    // The heading path ends at a line end, so the tokens after it are those of the text alone.
    let embedded = embedding_text(document, chunk);
    let tokens = tokenizer.offsets(&embedded);
    let own = tokens.iter().filter(|token| token.start >= embedded.len() - text.len()).count();
    if chunk.tokens != own {
        return Err(format!("{own} tokens"));
    }
    if tokens.len() + Tokenizer::SPECIAL_TOKENS > tokenizer.max_tokens() {
        return Err(format!("{} tokens with its heading path", tokens.len()));
    }
    let size = if settings.unit == Unit::Tokens { own } else { text.chars().count() };
    if size > settings.size {
        return Err(format!("{size} {}", name(settings.unit)));
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
fn overlaps(
    document: &Document,
    before: &Chunk,
    chunk: &Chunk,
    settings: &Settings,
    tokenizer: &Tokenizer,
) -> Result<(), String> {
    let between = document.text.get(before.span.end..chunk.span.start).unwrap_or_default();
    if !between.trim().is_empty() {
        // A chunk that said nothing stood there.
        return Ok(());
    }
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
    let limit = settings.overlap_limit();
    let half = if settings.unit == Unit::Tokens { limit.tokens.div_ceil(2) } else { limit.chars.div_ceil(2) };
    if repeats < half {
        let text = &document.text[before.span.clone()];
        let gap = document.text[before.span.end..].chars().take_while(|c| c.is_whitespace()).count();
        // With white space and one more atom it still has to be a chunk, and the indentation of its first line counts.
        let room = settings.size_limit().chars.saturating_sub(gap + 24).min(limit.chars).saturating_sub(40);
        let longer = text.match_indices(char::is_whitespace).map(|(at, _)| text[at..].trim_start()).find(|end| {
            (half..=settings.overlap).contains(&size(end, settings.unit, tokenizer))
                && tokenizer.count(end) <= limit.tokens
                && end.chars().count() <= room
        });
        if let Some(longer) = longer {
            return Err(format!("repeats {repeated:?} and could repeat {longer:?}"));
        }
    }
    let atom = repeated.trim_start();
    let is_one_atom = !atom.contains(' ') && atom.chars().count() <= 24;
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

/// The distances of windows by [`fake_embed`].
fn fake_distances(windows: &[&str]) -> omni_retrieval::error::Result<Vec<f32>> {
    distances(windows, fake_embed)
}

/// Words hashed into eight buckets: enough for neighbouring windows to differ.
#[expect(clippy::unnecessary_wraps, reason = "the signature of an embedder")]
fn fake_embed(texts: &[&str]) -> omni_retrieval::error::Result<Vec<Vec<f32>>> {
    let embed = |text: &&str| {
        let mut vector = vec![0.0; 8];
        for word in text.split_whitespace() {
            vector[word.bytes().map(usize::from).sum::<usize>() % 8] += 1.0;
        }
        vector
    };
    Ok(texts.iter().map(embed).collect())
}

/// A document of one section without a heading.
fn plain(title: &str, text: &str) -> Document {
    Document {
        title: title.to_owned(),
        format: Format::Text,
        text: text.to_owned(),
        sections: vec![Section { span: 0..text.len(), headings: Vec::new() }],
        pages: Vec::new(),
        blocks: Vec::new(),
        warnings: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
    }
}
