//! Indexes of the benches of retrieval.

use std::path::Path;

use anyhow::Result;
use omni_llm::index::{Chunk, Document, Manifest, Writer};

use super::random::Random;

/// Writes an index of `count` vectors, 20 a document. Those beyond `base` are copies, each turned a little in a random direction.
pub(crate) fn write(path: &Path, base: &[Vec<f32>], texts: &[String], count: usize) -> Result<()> {
    let mut writer = Writer::new(Manifest {
        builder: env!("CARGO_PKG_VERSION").into(),
        model: "bench".into(),
        model_fingerprint: "bench".into(),
        dimensions: base[0].len(),
        ..Manifest::default()
    });
    let mut random = Random::new(5);
    let mut document = 0;
    for number in 0..count {
        if number % 20 == 0 {
            document = writer.push_document(Document {
                uri: format!("bench/{number}"),
                source: format!("{number}"),
                format: "text".into(),
                ..Document::default()
            });
        }
        let beyond = number >= base.len();
        let copied = if beyond { random.below(base.len()) } else { number };
        let (mut vector, text) = (base[copied].clone(), &texts[copied]);
        if beyond {
            vector.iter_mut().for_each(|value| *value += random.normal() * 0.02);
        }
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &vector)?;
    }
    writer.finish(path)?;
    Ok(())
}
