//! What is written is what is read, byte for byte the same every time, and no damage goes unnoticed or does harm.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod index_support;
#[path = "index_support/written.rs"]
mod written;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use index_support::{Random, build, corpus, document, fill, manifest, query};
use omni_retrieval::error::{Code, Result};
use omni_retrieval::index::{Document, Filter, Fusion, Index, Kind, Query, Recall, Scalar, Test, Tombstones, Writer};
use tempfile::TempDir;
use written::written;

const SUPERBLOCK: usize = 4096;
const CHECKSUMS: u32 = 2;
const BLOCK: usize = 65_536;

#[test]
fn what_is_written_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    let corpus = corpus(1, 50, 7);
    let digest = build(&path, &corpus);
    let index = Index::open(&path).unwrap();
    assert_eq!((index.digest(), digest.len()), (digest.as_str(), 64));
    assert_eq!(index.manifest(), &manifest());
    assert_eq!((index.len(), index.document_count(), index.is_empty()), (50, 8, false));
    for (number, pushed) in corpus.iter().enumerate() {
        assert_eq!(index.chunk(number as u32).unwrap(), pushed.chunk());
    }
    for number in 0..8 {
        assert_eq!(index.document(number as u32).unwrap(), document(number));
    }
    index.verify().unwrap();
    assert_eq!(index.chunk(50).unwrap_err().code(), Code::NotFound);
    assert_eq!(index.document(8).unwrap_err().code(), Code::NotFound);
}

#[test]
fn many_texts_are_packed_and_read_back_one_by_one() {
    const DICTIONARY: u32 = 19;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    let corpus = corpus(13, 4000, 3);
    build(&path, &corpus[..10]);
    let is_packed = |path: &Path| sections(&fs::read(path).unwrap()).iter().any(|section| section.kind == DICTIONARY);
    assert!(!is_packed(&path), "there is nothing to save");
    build(&path, &corpus);
    assert!(is_packed(&path));
    let index = Index::open(&path).unwrap();
    for (number, pushed) in corpus.iter().enumerate() {
        assert_eq!(index.chunk(number as u32).unwrap(), pushed.chunk());
    }
    for number in 0..index.document_count() {
        assert_eq!(index.document(number as u32).unwrap(), document(number));
    }
    let bytes = fs::read(&path).unwrap();
    let length =
        |kind: u32| sections(&bytes).into_iter().find(|section| section.kind == kind).map_or(0, |section| section.length);
    let (texts, records) = (length(17), length(15));
    let raw = corpus.iter().map(|pushed| pushed.text.len()).sum::<usize>();
    assert!(texts < raw * 3 / 4 && records < index.document_count() * 100, "{texts} of {raw}, {records}");
    // A phrase is looked for in the texts themselves.
    let words: Vec<&str> = corpus[1234].text.split(' ').collect();
    let phrase = format!("\"{} {}\"", words[11], words[12]);
    let hits = index.search(&query(None, Some(&phrase))).unwrap();
    assert_eq!(hits[0].chunk, 1234);
}

#[test]
fn chunk_names_depend_on_text_and_place_only() {
    let folder = TempDir::new().unwrap();
    let (long, short) = (folder.path().join("long.omni"), folder.path().join("short.omni"));
    let corpus = corpus(2, 20, 5);
    build(&long, &corpus);
    build(&short, &corpus[..10]);
    let (long, short) = (Index::open(&long).unwrap(), Index::open(&short).unwrap());
    let names: Vec<String> = (0..20).map(|number| long.chunk_id(number).unwrap()).collect();
    assert!((0..10).all(|number| short.chunk_id(number).unwrap() == names[number as usize]));
    assert!(names.iter().all(|name| name.len() == 22 && name.starts_with("chunk_")));
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 20);
}

#[test]
fn equal_input_gives_equal_bytes_on_any_number_of_threads() {
    let folder = TempDir::new().unwrap();
    let corpus = corpus(3, 3000, 4);
    let mut files = Vec::new();
    for threads in [1, 2, 5] {
        let path = folder.path().join(format!("{threads}.omni"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Unless the changelog says why, it is the same from one version to the next, too.
        let digest = "2ff6f024f7876d24a80187e8023466a15768732cf5d0cdfe17c6e75e61b72d5f";
        assert_eq!(pool.install(|| build(&path, &corpus)), digest);
        files.push(fs::read(path).unwrap());
    }
    assert!(files[0] == files[1] && files[1] == files[2]);
}

#[test]
fn an_empty_index_is_an_index() {
    let (_folder, index) = written(Writer::new(manifest()));
    index.verify().unwrap();
    assert!(index.is_empty());
    let vector = Random::new(1).vector();
    assert_eq!(index.search(&query(Some(&vector), Some("anything"))).unwrap(), []);
    assert_eq!(index.search(&query(Some(&vector), None)).unwrap(), []);
    assert_eq!(index.search(&query(None, Some("anything"))).unwrap(), []);
}

#[test]
fn words_by_newer_rules_are_refused_and_not_looked_for_by_older_ones() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    let mut newer = manifest();
    newer.lexical.revision += 1;
    Writer::new(newer).finish(&path).unwrap();
    let error = Index::open(&path).err().unwrap();
    assert_eq!(error.code(), Code::CorruptFile);
    assert_eq!(
        error.to_string(),
        format!(
            "{}: words written by revision 2 of the rules, this program knows up to 1; update it or rebuild the file with this version's index-builder",
            path.display()
        )
    );
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let mut writer = Writer::new(manifest());
    let pushed = corpus(4, 2, 1);
    let text = |result: Result<u32>| result.unwrap_err().to_string();
    assert_eq!(
        text(writer.push_chunk(&pushed[0].chunk(), &pushed[0].vector)),
        "chunk: belongs to document 0, not to the last one pushed; push documents one after the other"
    );
    writer.push_document(document(0));
    assert_eq!(
        text(writer.push_chunk(&pushed[0].chunk(), &[1.0])),
        "vector: has 1 components, the index has 24; embed with the index's model"
    );
    let mut vector = pushed[0].vector.clone();
    vector[3] = f32::NAN;
    assert_eq!(
        text(writer.push_chunk(&pushed[0].chunk(), &vector)),
        "vector: holds a value that is not finite; embed the text again"
    );
    let mut wide = manifest();
    wide.dimensions = 100_000;
    let error = Writer::new(wide).finish(Path::new("never.omni")).unwrap_err();
    assert_eq!(error.to_string(), "manifest: 100000 dimensions; an index holds 1 to 16384");
}

#[test]
fn a_killed_writer_leaves_the_old_file_whole_and_its_leftover_is_removed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    let digest = build(&path, &corpus(5, 10, 2));
    let open = Index::open(&path).unwrap();
    // What a writer leaves that was killed, what one has that is still writing, and what is none of ours.
    let leftover = folder.path().join(".kb.omni.x1Y2z3.partial");
    let alive = folder.path().join(".kb.omni.a1b2c3.partial");
    let other = folder.path().join(".other.omni.x1Y2z3.partial");
    for file in [&leftover, &alive, &other] {
        fs::write(file, b"half of it").unwrap();
    }
    let lock = fs::File::open(&alive).unwrap();
    lock.lock().unwrap();
    assert_eq!(Index::open(&path).unwrap().digest(), digest);

    let newer = build(&path, &corpus(6, 12, 2));
    assert_ne!(digest, newer);
    assert_eq!(Index::open(&path).unwrap().digest(), newer);
    assert_eq!((leftover.exists(), alive.exists(), other.exists()), (false, true, true));
    // Whoever had the old file open still has it.
    open.verify().unwrap();
    assert_eq!((open.digest(), open.len()), (digest.as_str(), 10));
}

#[test]
fn who_may_read_an_index_may_read_the_next_and_nobody_else() {
    let folder = TempDir::new().unwrap();
    let (path, plain) = (folder.path().join("kb.omni"), folder.path().join("plain"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    build(&path, &corpus(5, 10, 2));
    fs::write(&plain, "").unwrap();
    assert_eq!(mode(&path), mode(&plain));
    // Less than the umask leaves, and more.
    for kept in [0o600, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(kept)).unwrap();
        build(&path, &corpus(6, 10, 2));
        assert_eq!(mode(&path), kept);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("missing/kb.omni");
    let error = Writer::new(manifest()).finish(&path).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
}

#[test]
fn messages_say_what_is_wrong_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build(&path, &corpus(7, 10, 2));
    let bytes = fs::read(&path).unwrap();
    let shown = path.display();
    let text = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Index::open(&path).and_then(|index| index.verify()).unwrap_err().to_string()
    };
    assert_eq!(text(b"%PDF-1.7"), format!("{shown}: not an Omni-LLM index; build one with index-builder"));
    assert_eq!(
        text(&bytes[..bytes.len() - 1]),
        format!(
            "{shown}: truncated, expected {} bytes, has {}; copy it again or rebuild it with index-builder",
            bytes.len(),
            bytes.len() - 1
        )
    );
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    assert_eq!(text(&flipped), format!("{shown}: damaged in the superblock; copy it again or rebuild it with index-builder"));
    let blocks = sections(&bytes).into_iter().find(|section| section.kind == 6).unwrap();
    flipped = bytes.clone();
    flipped[blocks.start + 5] ^= 1;
    assert_eq!(text(&flipped), "kb.omni: damaged in section `blocks` at block 0; copy it again or rebuild it with index-builder");
    flipped = bytes.clone();
    flipped[70] ^= 1;
    reseal(&mut flipped);
    assert_eq!(
        text(&flipped),
        format!("{shown}: its content does not match its digest; copy it again or rebuild it with index-builder")
    );

    fs::write(&path, &bytes).unwrap();
    let index = Index::open(&path).unwrap();
    index.require_model("all-MiniLM-L6-v2", "a1f3").unwrap();
    let error = index.require_model("bge-small", "9c02").unwrap_err();
    assert_eq!(error.code(), Code::WrongModel);
    assert_eq!(
        error.to_string(),
        format!(
            "{shown}: built with model \"all-MiniLM-L6-v2\" (a1f3), and \"bge-small\" (9c02) is in use; name that model's folder with `--model` or `OMNI_MODEL`, or rebuild the index with the one in use"
        )
    );
    assert_eq!(Index::open(folder.path()).err().unwrap().code(), Code::CorruptFile);
    assert_eq!(Index::open(&folder.path().join("none")).err().unwrap().code(), Code::NotFound);
}

#[test]
fn every_truncation_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build(&path, &corpus(9, 30, 3));
    let bytes = fs::read(&path).unwrap();
    let edges = sections(&bytes).into_iter().flat_map(|section| [section.start, section.start + section.length]);
    let points = edges.flat_map(|edge| [edge - 1, edge, edge + 1]).chain(0..=SUPERBLOCK).filter(|&point| point < bytes.len());
    for point in points {
        fs::write(&path, &bytes[..point]).unwrap();
        let error = Index::open(&path).err().unwrap_or_else(|| panic!("opened at {point}"));
        assert_eq!(error.code(), Code::CorruptFile, "{point}: {error}");
    }
    fs::write(&path, [&bytes[..], b"\0"].concat()).unwrap();
    assert!(Index::open(&path).is_err());
}

#[test]
fn a_flipped_bit_in_any_block_is_an_error_at_first_touch() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    // Large enough that most sections have several blocks.
    build(&path, &corpus(10, 3000, 3));
    let bytes = fs::read(&path).unwrap();
    assert!(touch_everything(&Index::open(&path).unwrap()).is_ok());
    let mut random = Random::new(10);
    for section in sections(&bytes) {
        for start in (0..section.length).step_by(BLOCK) {
            let at = section.start + start + random.below(BLOCK.min(section.length - start));
            let mut copy = bytes.clone();
            copy[at] ^= 1 << random.below(8);
            fs::write(&path, copy).unwrap();
            match Index::open(&path) {
                Err(error) => assert_eq!(error.code(), Code::CorruptFile),
                Ok(index) => {
                    let error = index.verify().unwrap_err();
                    assert_eq!(error.code(), Code::CorruptFile);
                    let touched = touch_everything(&index);
                    let error = touched.expect_err(&format!("section {} at {at} was not touched", section.kind));
                    assert!(error.to_string().contains(" at block "), "section {} at {at}: {error}", section.kind);
                }
            }
        }
    }
}

#[test]
fn the_log_has_where_a_file_is_and_what_is_wrong_with_its_json() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build(&path, &corpus(14, 10, 2));
    let bytes = fs::read(&path).unwrap();
    // The first letter of the manifest, of the facets' directory behind its length, and of a record.
    for (kind, offset) in [(1, 0), (64, 4), (15, 0)] {
        let mut forged = bytes.clone();
        let section = sections(&bytes).into_iter().find(|section| section.kind == kind).unwrap();
        forged[section.start + offset] = b'?';
        reseal(&mut forged);
        fs::write(&path, forged).unwrap();
        let read = |index: Index| index.fields().and_then(|_| index.document(0).map(drop));
        let error = Index::open(&path).and_then(read).unwrap_err();
        assert_eq!(error.causes().unwrap(), format!("{}: expected value at line 1 column 1", path.display()), "section {kind}");
    }
}

#[test]
fn flipped_padding_is_found_by_verify() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kb.omni");
    build(&path, &corpus(11, 5, 2));
    let bytes = fs::read(&path).unwrap();
    let mut end = SUPERBLOCK;
    for section in sections(&bytes) {
        if section.start > end {
            let mut copy = bytes.clone();
            copy[end] ^= 1;
            fs::write(&path, copy).unwrap();
            assert!(Index::open(&path).and_then(|index| index.verify()).is_err());
        }
        end = section.start + section.length;
    }
}

/// Half of the mutated files get right checksums again, as a forger would give them: then the structure is what is wrong,
/// and all that is asked is an error or a harmless answer.
#[test]
fn mutated_files_do_no_harm() {
    let folder = TempDir::new().unwrap();
    let mutated = folder.path().join("mutated.omni");
    let small = corpus(12, 6, 2);
    let exact = fill(Writer::new(manifest()), &small);
    let coded = fill(Writer::new(manifest()).exact_up_to(0), &small);
    let files = [exact, coded, labelled()].map(|writer| {
        writer.finish(&mutated).unwrap();
        fs::read(&mutated).unwrap()
    });
    // Every twentieth is the file of a larger index, which has clusters worth the name.
    let clustered = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/index_v1.omni")).unwrap();
    // Every hundredth is one whose texts are packed, which is large.
    build(&mutated, &corpus(12, 3000, 3));
    let packed = fs::read(&mutated).unwrap();
    let longest = files.iter().chain([&clustered, &packed]).map(Vec::len).max().unwrap();
    fs::write(&mutated, vec![0; longest]).unwrap();
    let mut random = Random::new(12);
    let mut opened = 0;
    for number in 0..100_000 {
        let bytes = match number {
            _ if number % 100 == 0 => &packed,
            _ if number % 20 == 0 => &clustered,
            _ => &files[number % files.len()],
        };
        let mut copy = bytes.clone();
        for _ in 0..=random.below(3) {
            // Half of them in the superblock's fields, the others anywhere behind it.
            let end = if random.below(4) == 0 { 128 + 18 * 32 } else { copy.len() };
            let at = random.below(end);
            match random.below(4) {
                0 => copy[at] ^= 1 << random.below(8),
                1 => copy[at] = random.next() as u8,
                2 => copy[at] = 0xff,
                _ => {
                    let from = random.below(copy.len());
                    let length = random.below(16).min(copy.len() - from.max(at));
                    copy.copy_within(from..from + length, at);
                }
            }
        }
        let sealed = random.below(2) == 0;
        if sealed {
            reseal(&mut copy);
        }
        resize(&mutated, copy.len());
        overwrite(&mutated, &copy);
        if let Ok(index) = Index::open(&mutated) {
            opened += 1;
            let touched = touch(&index, "w1 w2 w3 title 0 größe1");
            ask_the_rest(&index, number % 1_000 == 1);
            assert!(sealed || copy == *bytes || touched.is_err() || index.verify().is_err());
        }
    }
    // The test would prove nothing if everything were refused at the door.
    assert!(opened > 10_000, "{opened}");
}

/// Documents with labels, namespaces, dates and numbers.
fn labelled() -> Writer {
    let mut writer = Writer::new(manifest());
    for (number, pushed) in corpus(12, 6, 1).iter().enumerate() {
        let date = ("date".to_owned(), format!("2024-05-0{}", number + 1).into());
        let metadata = [date, ("size".to_owned(), number.into())].into();
        let access = if number % 2 == 0 { vec!["hr".to_owned()] } else { Vec::new() };
        let namespace = (number % 3 == 0).then(|| "a".to_owned());
        writer.push_document(Document { metadata, access, namespace, ..document(number) });
        writer.push_chunk(&pushed.chunk(), &pushed.vector).unwrap();
    }
    writer
}

/// Whatever else can be asked of an index, of which all that counts is that it comes back.
fn ask_the_rest(index: &Index, and_warm: bool) {
    let (vector, labels) = (Random::new(2).vector(), ["hr".to_owned()]);
    for filter in ["date>=2024-05-03", "size<3", "namespace=a", "uri=s3://bucket/guides/0.pdf"] {
        let _ = index.count(Some(&Filter::parse(filter).unwrap()), &labels);
    }
    let _ = (index.fields(), index.namespaces(), index.labels(), index.recall(), index.vector(0));
    let asked = Query { distinct: true, access: &labels, ..query(Some(&vector), Some("\"w1 w2\" \"title 0\"")) };
    let _ = index.search(&asked).and_then(|hits| index.spread(hits, 3));
    let documents = ["s3://bucket/guides/0.pdf".to_owned()].into();
    let _ = index.bury(&Tombstones { index: index.digest().to_owned(), documents, ..Tombstones::default() });
    let _ = index.search(&asked);
    // Which takes threads.
    if and_warm {
        let _ = index.warm(u64::MAX, Instant::now() + Duration::from_secs(60));
    }
}

/// Writes over the start of a file that nobody has mapped. Much faster than truncating it, which some file systems sync.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn resize(path: &Path, length: usize) {
    if fs::metadata(path).unwrap().len() != length as u64 {
        fs::File::options().write(true).open(path).unwrap().set_len(length as u64).unwrap();
    }
}

fn touch_everything(index: &Index) -> Result<()> {
    let mut words: String = (0..300).map(|word| format!("w{word} ")).collect();
    (0..index.document_count().min(5_000)).for_each(|number| words.push_str(&format!("{number} title part ")));
    (0..index.len().min(5_000)).for_each(|number| words.push_str(&format!("größe{number} ")));
    // Not more words at once than a question may have, and every hit, so that nothing is skipped.
    let words: Vec<&str> = words.split(' ').collect();
    for some in words.chunks(400) {
        let some = some.join(" ");
        let mut query = query(None, Some(&some));
        query.top_k = usize::MAX;
        index.search(&query)?;
    }
    for field in index.fields()? {
        let test = match field.kind {
            Kind::Text => Test::Prefix(String::new()),
            Kind::Number | Kind::Date => Test::Range { low: None, high: Some((Scalar::Number(9000.0), true)) },
        };
        index.count(Some(&Filter::Field { field: field.name, test }), &[])?;
    }
    touch(index, "w1 title")
}

fn touch(index: &Index, words: &str) -> Result<()> {
    let vector = Random::new(1).vector();
    for number in 0..index.document_count().min(5_000) {
        index.document(number as u32)?;
    }
    for number in 0..index.len().min(5_000) {
        index.chunk(number as u32)?;
    }
    let mut prefixed = query(Some(&vector), Some(words));
    let guides = Filter::prefix("uri", "s3://bucket/guides/");
    prefixed.filter = Some(&guides);
    index.search(&prefixed)?;
    index.search(&query(Some(&vector), Some(words)))?;
    // Hits of words alone have their cosines looked up.
    index.search(&Query { fusion: Fusion::MinMax { alpha: 0.0 }, ..query(Some(&vector), Some(words)) })?;
    index.search(&query(Some(&vector), None))?;
    for recall in [Recall::Fast, Recall::Exact] {
        let mut query = query(Some(&vector), None);
        query.recall = recall;
        index.search(&query)?;
    }
    index.search(&query(None, Some(words))).map(drop)
}

/// The format as `docs/index-format.md` tells it, read independently of the library.
struct Section {
    kind: u32,
    start: usize,
    length: usize,
}

fn sections(bytes: &[u8]) -> Vec<Section> {
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let entry = |number: u32| 128 + number as usize * 32;
    (0..u32_at(12).min(123))
        .map(entry)
        .map(|at| Section { kind: u32_at(at), start: u64_at(at + 8), length: u64_at(at + 16) })
        .collect()
}

/// Makes the checksums right again, as far as the section table still makes sense.
fn reseal(bytes: &mut [u8]) {
    let sections = sections(bytes);
    let mut crcs = Vec::new();
    for section in sections.iter().filter(|section| section.kind != CHECKSUMS) {
        let range = section.start..section.start.saturating_add(section.length);
        for block in bytes.get(range).unwrap_or_default().chunks(BLOCK) {
            crcs.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
        }
    }
    if let Some(section) = sections.iter().find(|section| section.kind == CHECKSUMS)
        && let Some(checksums) = bytes.get_mut(section.start..section.start.saturating_add(section.length))
        && checksums.len() == crcs.len()
    {
        checksums.copy_from_slice(&crcs);
    }
    let crc = crc32c::crc32c(&crcs);
    bytes[48..52].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..SUPERBLOCK - 4]);
    bytes[SUPERBLOCK - 4..SUPERBLOCK].copy_from_slice(&crc.to_le_bytes());
}
