//! Filters, labels, namespaces and tombstones: exactly what matches, never what does not, whatever the search.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[expect(dead_code, reason = "this test has documents of its own")]
mod index_support;
#[path = "index_support/written.rs"]
mod written;

use std::collections::BTreeSet;
use std::path::Path;

use index_support::{DIMENSIONS, Random, manifest, query};
use omni_retrieval::index::{Chunk, Document, Filter, Hit, Index, Kind, Manifest, Query, Tombstones, Writer};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use written::written;

const DOCUMENTS: u32 = 300;

/// What a document says, for the plain loop that filters are compared with.
#[derive(Clone)]
struct Known {
    document: Document,
    headings: Vec<String>,
    pages: Vec<Option<u32>>,
}

/// Documents of one to three chunks.
fn corpus(seed: u64) -> Vec<Known> {
    let mut random = Random::new(seed);
    (0..DOCUMENTS)
        .map(|number| {
            let mut metadata = serde_json::Map::new();
            let tags: Vec<&str> = ["linux", "macos", "windows", "größe"].into_iter().filter(|_| random.below(3) == 0).collect();
            if !tags.is_empty() {
                metadata.insert("tags".into(), json!(tags));
            }
            if random.below(5) > 0 {
                metadata.insert("year".into(), json!(2000 + random.below(25)));
            }
            if random.below(4) > 0 {
                let (month, day) = (1 + random.below(12), 1 + random.below(28));
                metadata.insert("date".into(), json!(format!("2024-{month:02}-{day:02}")));
            }
            metadata.insert("mixed".into(), if number % 2 == 0 { json!(number) } else { json!("text") });
            let access = ["", "hr", "hr legal", "board", ""][random.below(5)].split_whitespace();
            let chunks = 1 + random.below(3);
            Known {
                document: Document {
                    uri: format!("s3://bucket/{}/{number}.md", ["guides", "notes"][random.below(2)]),
                    source: format!("{number}.md"),
                    title: format!("Title {}", number % 7),
                    format: "markdown".into(),
                    metadata: metadata.into_iter().collect(),
                    namespace: [None, Some("a".to_owned()), Some("b".to_owned())][random.below(3)].clone(),
                    access: access.map(str::to_owned).collect(),
                    ..Document::default()
                },
                headings: (0..chunks).map(|chunk| format!("Part {} > Step {chunk}", random.below(4))).collect(),
                pages: (0..chunks).map(|chunk| (random.below(2) == 0).then_some(chunk as u32 + 1)).collect(),
            }
        })
        .collect()
}

fn open(corpus: &[Known], seed: u64) -> (TempDir, Index) {
    let mut writer = Writer::new(manifest());
    let mut random = Random::new(seed);
    for known in corpus {
        let document = writer.push_document(known.document.clone());
        for (headings, page) in known.headings.iter().zip(&known.pages) {
            let text = format!("common {}", random.words(6, 40));
            let chunk = Chunk { document, text: text.as_str().into(), start: 0, end: text.len() as u64, page: *page, headings };
            writer.push_chunk(&chunk, &random.vector()).unwrap();
        }
    }
    written(writer)
}

/// Labels, namespaces, dates and numbers: what is written of them is the same from one version to the next.
#[test]
fn equal_input_gives_the_bytes_of_before() {
    assert_eq!(open(&corpus(1), 1).1.digest(), "ee9036090e90d5cd127a2b3ed0bc4b9dd5c3c0de000cced184ab9e9e70a080e5");
}

/// A filter as JSON, and the plain meaning of it.
#[derive(Debug, Clone)]
enum Meaning {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Tags(Vec<&'static str>),
    Years(u32, u32),
    Dates(u32, u32),
    Uri(&'static str),
    Section(&'static str),
    Pages(u32),
    Mixed(u32),
}

impl Meaning {
    fn json(&self) -> Value {
        match self {
            Self::All(parts) => json!({"and": parts.iter().map(Self::json).collect::<Vec<_>>()}),
            Self::Any(parts) => json!({"or": parts.iter().map(Self::json).collect::<Vec<_>>()}),
            Self::Not(part) => json!({"not": part.json()}),
            Self::Tags(tags) => json!({"field": "tags", "in": tags}),
            Self::Years(from, to) => json!({"field": "year", "range": {"gte": from, "lt": to}}),
            Self::Dates(from, to) => json!({"field": "date", "range": {"gt": date(*from), "lte": date(*to)}}),
            Self::Uri(prefix) => json!({"field": "uri", "prefix": prefix}),
            Self::Section(heading) => json!({"field": "section", "eq": heading}),
            Self::Pages(page) => json!({"field": "page", "eq": page}),
            Self::Mixed(number) => json!({"field": "mixed", "eq": number}),
        }
    }

    fn holds(&self, known: &Known, chunk: usize) -> bool {
        let metadata = &known.document.metadata;
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(known, chunk)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(known, chunk)),
            Self::Not(part) => !part.holds(known, chunk),
            Self::Tags(tags) => metadata
                .get("tags")
                .is_some_and(|list| list.as_array().unwrap().iter().any(|tag| tags.contains(&tag.as_str().unwrap()))),
            Self::Years(from, to) => {
                metadata.get("year").is_some_and(|year| (u64::from(*from)..u64::from(*to)).contains(&year.as_u64().unwrap()))
            }
            Self::Dates(from, to) => metadata.get("date").is_some_and(|given| {
                let given = given.as_str().unwrap();
                date(*from).as_str() < given && given <= date(*to).as_str()
            }),
            Self::Uri(prefix) => known.document.uri.starts_with(prefix),
            Self::Section(heading) => {
                known.headings[chunk] == *heading || known.headings[chunk].split(" > ").any(|one| one == *heading)
            }
            Self::Pages(page) => known.pages[chunk] == Some(*page),
            Self::Mixed(number) => metadata["mixed"] == json!(number),
        }
    }
}

/// Days of a year of twelve times 28.
const DAYS: u32 = 12 * 28;

fn date(day: u32) -> String {
    format!("2024-{:02}-{:02}", day / 28 + 1, day % 28 + 1)
}

fn meaning() -> impl Strategy<Value = Meaning> {
    let leaf = prop_oneof![
        proptest::sample::subsequence(vec!["linux", "macos", "windows", "größe", "none"], 1..4).prop_map(Meaning::Tags),
        (1998_u32..2026, 1998_u32..2026).prop_map(|(from, to)| Meaning::Years(from, to)),
        (0_u32..DAYS, 0_u32..DAYS).prop_map(|(from, to)| Meaning::Dates(from, to)),
        proptest::sample::select(vec!["", "s3://bucket/guides/", "s3://bucket/notes/1", "s3://other/"]).prop_map(Meaning::Uri),
        proptest::sample::select(vec!["Part 1", "Step 0", "Part 2 > Step 1", "Part 9"]).prop_map(Meaning::Section),
        (0_u32..4).prop_map(Meaning::Pages),
        (0_u32..DOCUMENTS).prop_map(Meaning::Mixed),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Meaning::All),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Meaning::Any),
            inner.prop_map(|part| Meaning::Not(Box::new(part))),
        ]
    })
}

fn may_see(document: &Document, labels: &[String]) -> bool {
    document.access.is_empty() || document.access.iter().any(|label| labels.contains(label))
}

/// Chunk numbers that pass.
fn expected(corpus: &[Known], passes: impl Fn(&Known, usize) -> bool) -> BTreeSet<u32> {
    let chunks = corpus.iter().flat_map(|known| (0..known.headings.len()).map(move |chunk| (known, chunk)));
    chunks.zip(0..).filter(|((known, chunk), _)| passes(known, *chunk)).map(|(_, number)| number).collect()
}

fn numbers(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.chunk).collect()
}

#[test]
fn a_filter_is_the_plain_loop() {
    let corpus = corpus(1);
    let (_folder, index) = open(&corpus, 1);
    let total = index.len();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let labels = proptest::sample::subsequence(vec!["hr".to_owned(), "legal".to_owned(), "board".to_owned()], 0..4);
    runner
        .run(&(meaning(), labels, 1_usize..40, any::<u64>()), |(meaning, labels, top_k, seed)| {
            let filter = Filter::from_json(&meaning.json(), "filter").unwrap();
            let expected = expected(&corpus, |known, chunk| meaning.holds(known, chunk) && may_see(&known.document, &labels));
            prop_assert_eq!(index.count(Some(&filter), &labels).unwrap(), expected.len());
            let mut random = Random::new(seed);
            let (vector, words) = (random.vector(), format!("common {}", random.words(3, 40)));
            for (vector, text) in
                [(Some(&vector[..]), None), (None, Some(words.as_str())), (Some(&vector[..]), Some(words.as_str()))]
            {
                let mut query = query(vector, text);
                (query.filter, query.access, query.top_k) = (Some(&filter), &labels, top_k);
                let hits = index.search(&query).unwrap();
                // Every chunk holds "common", so that words alone find them all too.
                prop_assert_eq!(hits.len(), top_k.min(expected.len()));
                prop_assert!(hits.iter().all(|hit| expected.contains(&hit.chunk)));
                query.distinct = true;
                prop_assert_eq!(index.search(&query).unwrap().len(), hits.len());
                if vector.is_none() || text.is_none() {
                    // One side alone: the same order as without a filter.
                    (query.filter, query.access, query.top_k, query.distinct) = (None, &*ALL, total, false);
                    let all = numbers(&index.search(&query).unwrap());
                    let kept: Vec<u32> = all.into_iter().filter(|chunk| expected.contains(chunk)).take(top_k).collect();
                    prop_assert_eq!(numbers(&hits), kept);
                }
            }
            Ok(())
        })
        .unwrap();
}

static ALL: std::sync::LazyLock<[String; 3]> = std::sync::LazyLock::new(|| ["hr".into(), "legal".into(), "board".into()]);

#[test]
fn a_labelled_document_is_not_there_for_others() {
    let corpus = corpus(2);
    let (_folder, index) = open(&corpus, 2);
    assert!(index.manifest().labelled);
    for labels in [vec![], vec!["hr".to_owned()], vec!["".to_owned(), "HR".to_owned(), "h".to_owned()], ALL.to_vec()] {
        let expected = expected(&corpus, |known, _| may_see(&known.document, &labels));
        let mut query = query(None, Some("common"));
        (query.top_k, query.access) = (10_000, &labels);
        let hits = index.search(&query).unwrap();
        assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<BTreeSet<_>>(), expected, "{labels:?}");
    }
    // Neither can a filter look at labels, nor is the field listed.
    let filter = Filter::equal("access", "hr");
    let error = index.count(Some(&filter), &[]).unwrap_err().to_string();
    assert!(error.starts_with("`filter`: no field `access` in this index; its fields are `date`, `format`, `mixed`,"), "{error}");
    assert!(index.fields().unwrap().iter().all(|field| field.name != "access"));
    let labels: Vec<String> = index.labels().unwrap().into_iter().map(|(label, _)| label).collect();
    assert_eq!(labels, ["board", "hr", "legal"], "and operators see which there are");
}

#[test]
fn a_label_that_makes_no_sense_opens_nothing() {
    let mut writer = Writer::new(manifest());
    let document = writer.push_document(Document { access: vec![String::new()], ..Document::default() });
    let chunk = Chunk { document, text: "word".into(), start: 0, end: 4, page: None, headings: "" };
    writer.push_chunk(&chunk, &[1.0; DIMENSIONS]).unwrap();
    let (_folder, index) = written(writer);
    for label in ["", "\n", "hr"] {
        assert_eq!(index.count(None, &[label.to_owned()]).unwrap(), 0, "{label:?}");
    }
    assert!(index.labels().unwrap().is_empty());
}

#[test]
fn fields_know_what_they_hold() {
    let corpus = corpus(3);
    let (_folder, index) = open(&corpus, 3);
    let fields = index.fields().unwrap();
    let kind = |name: &str| fields.iter().find(|field| field.name == name).unwrap().kind;
    assert_eq!((kind("year"), kind("date"), kind("tags")), (Kind::Number, Kind::Date, Kind::Text));
    assert_eq!((kind("mixed"), kind("page"), kind("section")), (Kind::Text, Kind::Number, Kind::Text));
    let count = |filter: Value| index.count(Some(&Filter::from_json(&filter, "filter").unwrap()), &*ALL);
    let june = count(json!({"field": "date", "eq": "2024-06"})).unwrap();
    let range = json!({"field": "date", "range": {"gte": "2024-06-01", "lt": "2024-07"}});
    assert_eq!(june, count(range).unwrap());
    assert!(june > 0);
    assert_eq!(count(json!({"field": "date", "range": {"gt": "2024"}})).unwrap(), 0);
    let error = |filter| count(filter).unwrap_err().to_string();
    assert_eq!(
        error(json!({"field": "year", "eq": "new"})),
        "`filter`: `year` holds numbers, `new` is none; write one such as `12.5`"
    );
    assert_eq!(
        error(json!({"field": "date", "eq": "May"})),
        "`filter`: `date` holds dates, `May` is none; write one such as `2024-05-31`"
    );
    assert_eq!(
        error(json!({"field": "tags", "range": {"gt": 5}})),
        "`filter`: `tags` holds text; `range` is for numbers and dates, use `in` or `prefix`"
    );
    assert_eq!(
        error(json!({"field": "year", "prefix": "20"})),
        "`filter`: `year` holds numbers; `prefix` is for text, use `range`"
    );
    let names: Vec<String> = index.namespaces().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "default"]);
}

#[test]
fn what_is_gone_is_gone_at_once_and_comes_back() {
    let corpus = corpus(4);
    let (_folder, index) = open(&corpus, 4);
    let gone: BTreeSet<String> = corpus.iter().step_by(3).map(|known| known.document.uri.clone()).collect();
    let list = |documents: BTreeSet<String>| Tombstones { index: index.digest().to_owned(), documents, ..Tombstones::default() };
    let found = || {
        let mut query = query(None, Some("common"));
        (query.top_k, query.access) = (10_000, &*ALL);
        index.search(&query).unwrap().iter().map(|hit| hit.chunk).collect::<BTreeSet<u32>>()
    };
    let all = found();
    index.bury(&list(gone.clone())).unwrap();
    assert_eq!(found(), expected(&corpus, |known, _| !gone.contains(&known.document.uri)));
    let unknown = list(BTreeSet::from(["s3://nowhere".to_owned()]));
    assert_eq!(
        index.bury(&unknown).unwrap_err().to_string(),
        "tombstones: no document `s3://nowhere` in the index; `index-builder forget INDEX --undo` takes it out of the list"
    );
    let foreign = Tombstones { index: "0".repeat(64), ..Tombstones::default() };
    assert!(index.bury(&foreign).unwrap_err().to_string().starts_with("tombstones: written for index 000"));
    assert_eq!(found(), expected(&corpus, |known, _| !gone.contains(&known.document.uri)), "a refused list changes nothing");
    // Where the service goes on with an index that was replaced, it only adds.
    let first = corpus[1].document.uri.clone();
    index.bury_also(&Tombstones { documents: [first.clone(), "s3://nowhere".to_owned()].into(), ..foreign }).unwrap();
    assert_eq!(found(), expected(&corpus, |known, _| known.document.uri != first && !gone.contains(&known.document.uri)));
    index.bury(&list(BTreeSet::new())).unwrap();
    assert_eq!(found(), all);
}

#[test]
fn a_list_of_tombstones_is_whole_or_refused() {
    let folder = TempDir::new().unwrap();
    let path = Tombstones::path(&folder.path().join("kb.omni"));
    assert!(path.ends_with("kb.omni.tombstones"));
    assert_eq!(Tombstones::read(&path).unwrap(), None);
    let list = Tombstones { index: "d".into(), documents: ["a".to_owned()].into(), ..Tombstones::default() };
    list.write(&path).unwrap();
    assert_eq!(Tombstones::read(&path).unwrap(), Some(list));
    for broken in ["", "{", "[]", r#"{"index": "d"}"#, r#"{"index": "d", "documents": [], "more": 1}"#] {
        std::fs::write(&path, broken).unwrap();
        let error = Tombstones::read(&path).unwrap_err().to_string();
        assert!(error.contains("not a list of tombstones") && error.ends_with("write it with `index-builder forget`"), "{error}");
    }
    Tombstones::default().write(&path).unwrap();
    assert!(Tombstones::read(&path).unwrap().unwrap().documents.is_empty());
}

/// Writes chunks of these texts, one document each.
fn texts(path: &Path, texts: &[String]) -> Index {
    let mut writer = Writer::new(Manifest { dimensions: DIMENSIONS, ..manifest() });
    for (number, text) in texts.iter().enumerate() {
        let document = writer.push_document(Document { source: number.to_string(), ..Document::default() });
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &[1.0; DIMENSIONS]).unwrap();
    }
    writer.finish(path).unwrap();
    Index::open(path).unwrap()
}

#[test]
fn a_phrase_in_quotation_marks_comes_first() {
    let mut all: Vec<String> =
        (0..400).map(|number| format!("the start of a cold engine, then cold again, start number {number}")).collect();
    all[200] = "A cold start takes long, said somebody who wrote many more words around it than anybody else did here".to_owned();
    all[300] = "Cold START: a getUserName call and src/index/mod.rs, error E0382".to_owned();
    let folder = TempDir::new().unwrap();
    let index = texts(&folder.path().join("kb.omni"), &all);
    let first = |question: &str| numbers(&index.search(&query(None, Some(question))).unwrap());
    assert!(!first("cold start")[..2].contains(&200));
    assert_eq!(BTreeSet::from_iter(first("what is a \"cold start\"?")[..2].to_vec()), BTreeSet::from([200, 300]));
    assert_eq!(first("\"start cold\""), first("start cold"), "a phrase that nobody wrote changes nothing");
    // More chunks hold its words than are read for one phrase: the filter comes first.
    let mut many: Vec<String> = (0..1500).map(|_| "start cold start cold".to_owned()).collect();
    many.push("a cold start, with more words around it than the others have, so that it is far behind".to_owned());
    let other = texts(&folder.path().join("many.omni"), &many);
    let filter = Filter::equal("source", "1500");
    let mut within = query(None, Some("\"cold start\""));
    within.filter = Some(&filter);
    let alone = other.search(&within).unwrap();
    within.text = Some("cold start");
    let words = other.search(&within).unwrap();
    let score = |hits: &[Hit]| hits.iter().find(|hit| hit.chunk == 1500).unwrap().bm25;
    assert!(score(&alone) > 2.0 * score(&words), "{alone:?} {words:?}");
    for question in ["getUserName", "user name", "E0382", "src/index/mod.rs", "mod.rs"] {
        assert_eq!(first(question)[0], 300, "{question}");
    }
}

#[test]
fn sixty_four_searches_go_on_while_documents_go() {
    let corpus = corpus(6);
    let (_folder, index) = open(&corpus, 6);
    let gone: BTreeSet<String> = corpus.iter().step_by(2).map(|known| known.document.uri.clone()).collect();
    let visible = |known: &Known, _: usize| known.document.access.is_empty();
    let (before, after) = (
        expected(&corpus, visible),
        expected(&corpus, |known, chunk| visible(known, chunk) && !gone.contains(&known.document.uri)),
    );
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let mut query = query(None, Some("common"));
                    query.top_k = 10_000;
                    let hits: BTreeSet<u32> = index.search(&query).unwrap().iter().map(|hit| hit.chunk).collect();
                    assert!(hits.is_subset(&before) && hits.is_superset(&after));
                }
            });
        }
        for documents in [gone.clone(), BTreeSet::new(), gone.clone()] {
            index.bury(&Tombstones { index: index.digest().to_owned(), documents, ..Tombstones::default() }).unwrap();
        }
    });
}

#[test]
fn a_year_that_is_written_as_a_number_is_a_date_among_dates() {
    let mut writer = Writer::new(manifest());
    for date in [json!("2024-05-31"), json!(2024), json!("2024"), json!("2023-01-05"), json!(2025)] {
        let metadata = [("date".to_owned(), date)].into_iter().collect();
        let document = writer.push_document(Document { metadata, ..Document::default() });
        let chunk = Chunk { document, text: "word".into(), start: 0, end: 4, page: None, headings: "" };
        writer.push_chunk(&chunk, &[1.0; DIMENSIONS]).unwrap();
    }
    let (_folder, index) = written(writer);
    let fields = index.fields().unwrap();
    assert_eq!(fields.iter().find(|field| field.name == "date").unwrap().kind, Kind::Date);
    let count = |short: &str| index.count(Some(&Filter::parse(short).unwrap()), &[]).unwrap();
    assert_eq!([count("date=2024"), count("date>=2024-01"), count("date>2024"), count("date<2024")], [3, 4, 1, 1]);
}

#[test]
fn near_duplicates_stand_behind_all_others() {
    let mut writer = Writer::new(manifest());
    let mut random = Random::new(7);
    let vector = random.vector();
    let near =
        |shift: f32| vector.iter().enumerate().map(|(at, value)| value + if at == 0 { shift } else { 0.0 }).collect::<Vec<f32>>();
    // The same twice in one document, a copy in another, the like of it with another text, something else, and a copy whose
    // title and headings take its vector elsewhere.
    let rows = [
        (0, "one", near(0.0)),
        (0, "one again", near(0.01)),
        (1, "one", near(0.0)),
        (2, "two", near(0.0)),
        (2, "far", random.vector()),
        (3, "one", random.vector()),
    ];
    let mut documents = 0;
    for (document, text, vector) in &rows {
        while documents <= *document {
            writer.push_document(Document::default());
            documents += 1;
        }
        let chunk =
            Chunk { document: *document, text: (*text).into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, vector).unwrap();
    }
    let (_folder, index) = written(writer);
    let mut query = query(Some(&vector), None);
    query.distinct = true;
    assert_eq!(numbers(&index.search(&query).unwrap()), [0, 3, 4, 2, 1, 5], "all are found");
    query.top_k = 3;
    assert_eq!(numbers(&index.search(&query).unwrap()), [0, 3, 4]);
    query.distinct = false;
    assert_eq!(numbers(&index.search(&query).unwrap()), [0, 2, 3]);
}

#[test]
fn a_value_is_found_however_its_letters_are_composed() {
    let mut writer = Writer::new(Manifest { dimensions: DIMENSIONS, ..manifest() });
    // As HFS+ writes it.
    let (apart, whole) = ("U\u{308}bersicht.md", "Übersicht.md");
    let access = vec!["Vorstände".to_owned()];
    let document = writer.push_document(Document { source: apart.into(), uri: apart.into(), access, ..Document::default() });
    let chunk = Chunk { document, text: "common".into(), start: 0, end: 6, page: None, headings: "" };
    writer.push_chunk(&chunk, &[1.0; DIMENSIONS]).unwrap();
    let (_folder, index) = written(writer);
    let labels = ["Vorsta\u{308}nde".to_owned()];
    for filter in [apart, whole].map(|name| Filter::equal("source", name)).iter().chain(&[Filter::prefix("source", "Üb")]) {
        assert_eq!(index.count(Some(filter), &labels).unwrap(), 1, "{filter:?}");
    }
    assert!(index.has_document(whole).unwrap());
    assert_eq!(index.document(0).unwrap().uri, apart, "what is shown and opened is what is there");
}

/// An index from before texts were composed, with names in two parts a letter, as HFS+ writes them: what is asked so is found so.
#[test]
fn names_of_an_index_from_before_are_found_as_they_stand_there() {
    let index = Index::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/index_v1_names.omni")).unwrap();
    index.verify().unwrap();
    let sources = |text: &str, filter: Option<&str>, access: &[String]| -> Vec<String> {
        let filter = filter.map(|text| Filter::parse(text).unwrap());
        let query = Query { filter: filter.as_ref(), access, ..query(None, Some(text)) };
        let found = index.search(&query).unwrap();
        found.iter().map(|hit| index.document(index.chunk(hit.chunk).unwrap().document).unwrap().source).collect()
    };
    let (overview, label) = ("U\u{308}bersicht.md", "gro\u{308}\u{df}e");
    assert_eq!(sources("overview", Some(&format!("source={overview}")), &[]), [overview]);
    assert_eq!(sources("overview", Some(r#"{"field": "source", "prefix": "U\u0308"}"#), &[]), [overview]);
    assert!(sources("measure", None, &[]).is_empty(), "it is not for everybody");
    assert_eq!(sources("measure", None, &[label.to_owned()]), ["gro\u{308}\u{df}e.md"]);
    assert_eq!(sources("plan", Some("date>=2026"), &[]), ["plan.md"]);
    let documents: BTreeSet<String> = [overview.to_owned()].into();
    assert!(index.has_document(overview).unwrap());
    index.bury(&Tombstones { index: index.digest().to_owned(), documents, ..Tombstones::default() }).unwrap();
    assert!(sources("overview", None, &[]).is_empty());
}

/// `section` and `page` are fields of every index, also of one whose documents have no headings and no pages.
#[test]
fn a_field_of_every_index_may_have_no_values() {
    let mut writer = Writer::new(manifest());
    let document = writer.push_document(Document { uri: "a.txt".into(), source: "a.txt".into(), ..Document::default() });
    let chunk = Chunk { document, text: "word".into(), start: 0, end: 4, page: None, headings: "" };
    writer.push_chunk(&chunk, &[1.0; DIMENSIONS]).unwrap();
    let (_folder, index) = written(writer);
    let count = |filter: Value| index.count(Some(&Filter::from_json(&filter, "filter").unwrap()), &[]);
    for filter in [json!({"field": "section", "eq": "Install"}), json!({"field": "page", "range": {"gte": 2}})] {
        assert_eq!(count(filter.clone()).unwrap(), 0);
        assert_eq!(count(json!({"not": filter})).unwrap(), 1);
    }
    for field in ["access", "namespace", "year"] {
        let error = count(json!({"field": field, "eq": "x"})).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`filter`: no field `{field}` in this index; its fields are ")), "{error}");
    }
}
