//! What a filter costs: search latency at selectivity 100, 50, 10, 1, 0.5, 0.3 and 0.1 %, beside the same search without a filter.
//!
//! 100,000 chunks of 384 made-up dimensions (500 topics, spread), each a document of its own with a number from 0 to 999 and
//! one of ten tags, in no order; texts of 40 words, Zipf over 20,000. One query at a time, k = 10, page cache warm, one
//! thread; dense, words and hybrid. `by label` is a caller with one of ten labels, where every document has one. The ratio
//! is that of the medians.

mod support {
    pub(crate) mod figures;
    #[path = "../../tests/support/random.rs"]
    #[expect(dead_code, reason = "other tests need numbers of other kinds")]
    pub(crate) mod random;
    pub(crate) mod words;
}

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use omni_llm::index::{Chunk, Document, Filter, Index, Manifest, Query, Writer};
use serde_json::json;
use support::figures::Figures;
use support::random::Random;
use support::words::words;

const CHUNKS: usize = 100_000;
const DIMENSIONS: usize = 384;
const QUERIES: usize = 200;

fn main() -> Result<()> {
    let mut figures = Figures::new("filter");
    let mut random = Random::new(9);
    let topics: Vec<Vec<f32>> = (0..500).map(|_| (0..DIMENSIONS).map(|_| random.normal()).collect()).collect();
    let vectors: Vec<Vec<f32>> = (0..CHUNKS + QUERIES).map(|_| vector(&mut random, &topics)).collect();
    let texts: Vec<String> = (0..CHUNKS).map(|_| words(&mut random, 40)).collect();
    let questions: Vec<String> = (0..QUERIES).map(|_| words(&mut random, 6)).collect();
    let (stored, asked) = vectors.split_at(CHUNKS);
    let folder = std::env::temp_dir();
    let plain = write(&folder.join(format!("bench-filter-{}.omni", std::process::id())), stored, &texts, false)?;
    let labelled = write(&folder.join(format!("bench-labels-{}.omni", std::process::id())), stored, &texts, true)?;
    std::thread::scope(|scope| {
        let measure = || {
            let _pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
            for (side, dense, worded) in [("dense", true, false), ("words", false, true), ("hybrid", true, true)] {
                let time = |index: &Index, filter: Option<&Filter>, access: &[String]| -> Result<Vec<Duration>> {
                    let one = |number: usize| {
                        let query = Query {
                            vector: dense.then_some(asked[number].as_slice()),
                            text: worded.then_some(questions[number].as_str()),
                            filter,
                            access,
                            ..Query::default()
                        };
                        let start = Instant::now();
                        black_box(index.search(&query)?);
                        Ok(start.elapsed())
                    };
                    (0..QUERIES).map(one).collect::<Result<Vec<_>>>()?;
                    (0..QUERIES).map(one).collect()
                };
                let free = time(&plain, None, &[])?;
                let base = median(&free);
                figures.add_times(&format!("{side}, no filter"), free, None);
                for (below, label) in
                    [(1000, "100 %"), (500, "50 %"), (100, "10 %"), (10, "1 %"), (5, "0.5 %"), (3, "0.3 %"), (1, "0.1 %")]
                {
                    let filter = Filter::from_json(&json!({"field": "number", "range": {"lt": below}}), "filter")?;
                    let times = time(&plain, Some(&filter), &[])?;
                    figures.add(format!("{side}, {label}, by no filter"), median(&times) / base, "", None);
                    figures.add_times(&format!("{side}, {label}"), times, None);
                }
                let times = time(&labelled, None, &["3".to_owned()])?;
                figures.add(format!("{side}, by label, by no filter"), median(&times) / base, "", None);
                figures.add_times(&format!("{side}, by label"), times, None);
            }
            anyhow::Ok(())
        };
        scope.spawn(measure).join().map_err(|_| anyhow!("the measuring thread panicked"))?
    })?;
    figures.write()
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn vector(random: &mut Random, topics: &[Vec<f32>]) -> Vec<f32> {
    let topic = &topics[random.below(topics.len())];
    let values: Vec<f32> = topic.iter().map(|value| value + random.normal()).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.into_iter().map(|value| value / length).collect()
}

fn write(path: &Path, vectors: &[Vec<f32>], texts: &[String], labelled: bool) -> Result<Index> {
    let mut writer = Writer::new(Manifest { dimensions: DIMENSIONS, ..Manifest::default() });
    let mut random = Random::new(10);
    for (number, (vector, text)) in vectors.iter().zip(texts).enumerate() {
        let document = writer.push_document(Document {
            uri: format!("bench/{number}"),
            metadata: [("number".to_owned(), random.below(1000).into()), ("tag".to_owned(), random.below(10).to_string().into())]
                .into(),
            access: if labelled { vec![random.below(10).to_string()] } else { Vec::new() },
            ..Document::default()
        });
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, vector)?;
    }
    writer.finish(path)?;
    let index = Index::open(path)?;
    std::fs::remove_file(path)?;
    Ok(index)
}
