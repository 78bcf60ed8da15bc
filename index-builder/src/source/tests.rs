//! What listing and reading promise, on real folders.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::*;

fn options(path: &Path) -> Options {
    Options { source: Some(path.to_owned()), max_file_mb: 1, downloads: 4, ..Options::default() }
}

fn open(path: &Path) -> Source {
    Source::open(&options(path)).unwrap()
}

fn write(root: &Path, below: &str, text: &str) {
    let path = root.join(below);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| entry.source.as_str()).collect()
}

fn error(options: &Options) -> String {
    let listed = Source::open(options).and_then(|source| source.list());
    listed.expect_err("must be refused").to_string()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Every visible file is listed once, in the order of its path's bytes, and read as it was written; no hidden one is.
    #[test]
    fn a_listing_is_complete_sorted_and_readable(
        files in prop::collection::btree_map(prop::collection::vec("[a-zA-Z.~$é \n\\\\-]{1,6}", 1..4), ".{0,40}", 1..12)
    ) {
        let root = folder();
        let mut expected = BTreeMap::new();
        for (path, text) in &files {
            let below = path.join("/");
            let full = root.path().join(&below);
            // `.` and `..` are no names, and a name may be taken by a folder or file written before.
            if path.iter().any(|name| name == "." || name == "..") { continue }
            if std::fs::create_dir_all(full.parent().unwrap()).is_err() || std::fs::write(&full, text).is_err() { continue }
            if !path.iter().any(|name| name.starts_with('.') || name.starts_with("~$") || name.ends_with('~')) {
                expected.insert(below.into_bytes(), text.clone());
            }
        }
        let source = open(root.path());
        let listing = match source.list() {
            Ok(listing) => listing,
            Err(error) => {
                prop_assert!(expected.is_empty(), "{error}");
                return Ok(());
            }
        };
        prop_assert!(listing.skipped.is_empty());
        prop_assert_eq!(
            listing.entries.iter().map(|entry| entry.source.clone().into_bytes()).collect::<Vec<_>>(),
            expected.keys().cloned().collect::<Vec<_>>()
        );
        for (entry, text) in listing.entries.iter().zip(expected.values()) {
            prop_assert_eq!(&entry.uri, &entry.source);
            prop_assert_eq!(&source.read(entry).unwrap().unwrap().bytes, text.as_bytes());
        }
        prop_assert_eq!(listing, source.list().unwrap());
    }
}

#[test]
fn names_that_are_not_utf8_are_escaped_and_read() {
    let root = folder();
    let name = OsString::from_vec(b"caf\xe9 \xff.txt".to_vec());
    std::fs::write(root.path().join(&name), "latin").unwrap();
    let source = open(root.path());
    let listing = source.list().unwrap();
    assert_eq!(names(&listing), [r"caf\xe9 \xff.txt"]);
    assert_eq!(source.read(&listing.entries[0]).unwrap().unwrap().bytes, b"latin");
}

#[test]
fn hidden_files_and_lock_files_are_ignored_and_named() {
    let root = folder();
    for name in ["a.md", ".git/config", ".hidden.md", "sub/.DS_Store", "sub/~$report.docx", "sub/..odd", "z.md~"] {
        write(root.path(), name, "x");
    }
    let listing = open(root.path()).list().unwrap();
    assert_eq!(names(&listing), ["a.md"]);
    let hidden = [".git", ".hidden.md", "sub/..odd", "sub/.DS_Store"].map(|path| (path.to_owned(), Ignored::Hidden));
    assert_eq!(listing.ignored[..4], hidden);
    assert_eq!(
        listing.ignored[4..],
        [("sub/~$report.docx", Ignored::Lock), ("z.md~", Ignored::Backup)].map(|(path, why)| (path.to_owned(), why))
    );
    assert_eq!(listing.skipped, []);
    // A root that is hidden itself was named on purpose.
    assert_eq!(names(&open(&root.path().join(".git")).list().unwrap()), ["config"]);
}

#[test]
fn names_in_an_empty_source_do_not_speak_to_the_terminal() {
    let root = folder();
    symlink("nowhere", root.path().join("a\u{1b}[2J.md")).unwrap();
    write(root.path(), ".b\u{1b}[2J.md", "x");
    let text = error(&options(root.path()));
    assert!(text.contains("first `a\u{fffd}[2J.md`: a link") && text.contains("first `.b\u{fffd}[2J.md`: hidden"), "{text}");
}

#[test]
fn links_never_lead_out_of_the_folder_and_never_loop() {
    let (root, outside) = (folder(), folder());
    write(outside.path(), "secret.txt", "secret");
    write(root.path(), "a.txt", "a");
    write(root.path(), "..data/mounted.txt", "mounted");
    let link = |target: &Path, name: &str| symlink(target, root.path().join(name)).unwrap();
    link(Path::new("."), "loop");
    link(outside.path(), "out-folder");
    link(&outside.path().join("secret.txt"), "out.txt");
    link(Path::new("nowhere"), "broken.txt");
    link(Path::new("self.txt"), "self.txt");
    link(Path::new("a.txt"), "same.txt");
    link(Path::new("..data/mounted.txt"), "mounted.txt");
    // What is known of one file and of another may be the same.
    write(root.path(), "a.txt.metadata.json", "{}");
    link(Path::new("a.txt.metadata.json"), "mounted.txt.metadata.json");
    let source = open(root.path());
    let listing = source.list().unwrap();
    assert_eq!(names(&listing), ["a.txt", "a.txt.metadata.json", "mounted.txt", "mounted.txt.metadata.json"]);
    assert_eq!(source.read(&listing.entries[2]).unwrap().unwrap().bytes, b"mounted");
    let ignored = [("..data", Ignored::Hidden), ("same.txt", Ignored::Linked)];
    assert_eq!(listing.ignored, ignored.map(|(path, why)| (path.to_owned(), why)));
    let skipped: Vec<_> = listing.skipped.iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
    assert_eq!(
        skipped,
        [
            "broken.txt: a link that leads nowhere; remove it or restore its target",
            "loop: a link to a folder; links to folders are not followed",
            "out-folder: a link that leads out of the folder; copy its target into the folder",
            "out.txt: a link that leads out of the folder; copy its target into the folder",
            "self.txt: a link that leads nowhere; remove it or restore its target",
        ]
    );
}

#[test]
fn a_link_may_be_the_source_and_is_no_document_of_it() {
    let root = folder();
    write(root.path(), "docs/a.md", "a");
    symlink("docs", root.path().join("link")).unwrap();
    let listing = open(&root.path().join("link")).list().unwrap();
    assert_eq!((names(&listing), &listing.skipped), (vec!["a.md"], &vec![]));
}

#[test]
fn a_source_that_goes_away_is_no_reason_of_a_document() {
    let root = folder();
    write(root.path(), "docs/a.md", "a");
    write(root.path(), "docs/b.md", "b");
    let docs = root.path().join("docs");
    let (whole, one) = (open(&docs), open(&docs.join("a.md")));
    let entry = whole.list().unwrap().entries.swap_remove(0);
    std::fs::rename(&docs, root.path().join("gone")).unwrap();
    let why = format!("`{}`: went away or was replaced while it was read; build again once it is there", docs.display());
    assert_eq!(whole.read(&entry).unwrap_err().to_string(), why);
    assert_eq!(one.read(&entry).unwrap_err().to_string(), why);
    // Another folder under its name, as a mount that went away uncovers it.
    std::fs::create_dir(&docs).unwrap();
    assert_eq!(whole.read(&entry).unwrap_err().to_string(), why);
    assert_eq!(whole.list().unwrap_err().to_string(), why);
}

#[test]
fn what_is_no_file_or_too_large_is_a_reason() {
    let root = folder();
    write(root.path(), "a.txt", "a");
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let large = std::fs::File::create(root.path().join("large.pdf")).unwrap();
    large.set_len(1_000_001).unwrap();
    let listing = open(root.path()).list().unwrap();
    assert_eq!(
        listing.skipped,
        [
            ("large.pdf".to_owned(), Reason::TooLarge { bytes: 1_000_001, max_bytes: 1_000_000 }),
            ("socket".to_owned(), Reason::NotAFile)
        ]
    );
    assert_eq!(listing.skipped[0].1.to_string(), "too large: 1000001 bytes, at most 1000000 are read; raise `--max-file-mb`");
    let larger = Reason::TooLarge { bytes: 200_000_000, max_bytes: 1_000_000 };
    assert_eq!(larger.to_string(), "too large: 200000000 bytes, at most 1000000 are read; split it");
}

#[test]
fn the_builders_own_files_are_no_documents() {
    let root = folder();
    let index = String::from_utf8_lossy(&omni_retrieval::index::MAGIC).into_owned() + " and the rest";
    for (name, text) in [
        ("a.md", "a"),
        ("notes.omni", "a text about omnibuses"),
        ("old.omni", &index),
        ("old.omni.tombstones", "{}"),
        ("cache/documents/x.json", "{}"),
        ("sub/report.json", "{}"),
        ("old/.omni-cache", ""),
        ("old/documents/x.json", "{}"),
        ("sub/.omni-export", ""),
        ("sub/chunks.jsonl", "{}"),
        ("sub/chunks.md", "chunks"),
        ("faq.jsonl", "{\"question\": \"a\", \"text\": \"b\", \"source\": \"a.md\"}\n"),
        ("past.json", "{\n  \"index\": \"kb.omni\",\n  \"digest\": \"aa\",\n"),
    ] {
        write(root.path(), name, text);
    }
    let own = ["cache", "sub/report.json", "not/there"].map(|name| root.path().join(name));
    let listing = open(root.path()).without(&own).list().unwrap();
    assert_eq!(names(&listing), ["a.md", "faq.jsonl", "notes.omni", "sub/chunks.md"]);
    let own = ["cache", "old", "old.omni", "old.omni.tombstones", "past.json", "sub/chunks.jsonl", "sub/report.json"];
    let mut ignored = own.map(|path| (path.to_owned(), Ignored::Own)).to_vec();
    ignored.push(("sub/.omni-export".to_owned(), Ignored::Hidden));
    ignored.sort();
    assert_eq!(listing.ignored, ignored);
    // Whoever names one gets it.
    assert_eq!(names(&open(&root.path().join("old.omni")).list().unwrap()), ["old.omni"]);
}

#[test]
fn what_may_not_be_read_is_a_reason() {
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read everything");
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    let root = folder();
    write(root.path(), "a.txt", "a");
    write(root.path(), "closed/b.txt", "b");
    write(root.path(), "c.txt", "c");
    let close = |name| std::fs::set_permissions(root.path().join(name), std::fs::Permissions::from_mode(0o0)).unwrap();
    close("closed");
    close("c.txt");
    let source = open(root.path());
    let listing = source.list().unwrap();
    assert_eq!(listing.skipped, [("closed".to_owned(), Reason::Denied)]);
    assert_eq!(names(&listing), ["a.txt", "c.txt"]);
    assert_eq!(source.read(&listing.entries[1]).unwrap(), Err(Reason::Denied));
}

#[test]
fn what_changes_between_listing_and_reading_is_a_reason() {
    let root = folder();
    for name in ["gone", "grown", "shrunk", "touched", "pipe-like", "same"] {
        write(root.path(), name, "before");
    }
    let source = open(root.path());
    let listing = source.list().unwrap();
    std::fs::remove_file(root.path().join("gone")).unwrap();
    write(root.path(), "grown", "before and after");
    write(root.path(), "shrunk", "be");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(root.path().join("touched")).unwrap().set_modified(later).unwrap();
    std::fs::remove_file(root.path().join("pipe-like")).unwrap();
    std::fs::create_dir(root.path().join("pipe-like")).unwrap();
    let results: BTreeMap<_, _> = listing
        .entries
        .iter()
        .map(|entry| (entry.source.as_str(), source.read(entry).unwrap().map(|content| content.bytes)))
        .collect();
    assert_eq!(
        results,
        BTreeMap::from([
            ("gone", Err(Reason::Vanished)),
            ("grown", Err(Reason::Changed)),
            ("shrunk", Err(Reason::Changed)),
            ("touched", Err(Reason::Changed)),
            ("pipe-like", Err(Reason::Changed)),
            ("same", Ok(b"before".to_vec())),
        ])
    );
}

#[test]
fn a_single_file_is_a_source() {
    let root = folder();
    write(root.path(), "sub/one.md", "one");
    write(root.path(), "sub/two.md", "two");
    let source = open(&root.path().join("sub/one.md"));
    let listing = source.list().unwrap();
    assert_eq!(names(&listing), ["one.md"]);
    assert_eq!(source.read(&listing.entries[0]).unwrap().unwrap().bytes, b"one");
    // What is said of it may close it.
    for name in ["one.md.metadata.json", "one.md.METADATA.json", "two.md.metadata.json"] {
        write(root.path(), &format!("sub/{name}"), "{}");
    }
    symlink("nowhere", root.path().join("sub/one.md.Metadata.json")).unwrap();
    let listing = source.list().unwrap();
    assert_eq!(names(&listing), ["one.md", "one.md.METADATA.json", "one.md.metadata.json"]);
    assert_eq!(listing.skipped[0].0, "one.md.Metadata.json");
}

#[test]
fn read_all_visits_each_document_once_within_the_budget() {
    let root = folder();
    let mut sizes = Vec::new();
    for number in 0..60_usize {
        let (name, bytes) = (format!("{number:03}.txt"), number * 37 % 500);
        write(root.path(), &name, &"x".repeat(bytes));
        sizes.push((name, bytes));
    }
    let source = open(root.path());
    let listing = source.list().unwrap();
    for workers in [0, 1, 5] {
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let visit = |entry: &Entry, result: Result<Content, Reason>| {
            let bytes = result.unwrap().bytes.len();
            assert_eq!(bytes as u64, entry.size);
            most.fetch_max(held.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64, Ordering::SeqCst);
            std::thread::yield_now();
            held.fetch_sub(bytes as u64, Ordering::SeqCst);
            Ok((entry.source.clone(), bytes))
        };
        assert_eq!(source.read_all(&listing.entries, workers, 600, visit).unwrap(), sizes);
        assert!((1..=600).contains(&most.load(Ordering::SeqCst)));
    }
    source.read_all::<()>(&[], 3, 1, |_, _| panic!("nothing to visit")).unwrap();
    let failed = source.read_all::<()>(&listing.entries, 2, 600, |_, _| Err(Error::bad_request("no more"))).unwrap_err();
    assert_eq!(failed.to_string(), "no more");
}

#[test]
#[should_panic(expected = "a scoped thread panicked")]
fn read_all_does_not_hang_when_a_visit_panics() {
    let root = folder();
    for number in 0..50 {
        write(root.path(), &format!("{number}.txt"), "four");
    }
    let source = open(root.path());
    let entries = source.list().unwrap().entries;
    let _ = source.read_all::<()>(&entries, 2, 8, |_, _| panic!("a visit that fails"));
}

#[test]
fn errors_say_what_to_do() {
    let root = folder();
    let path = root.path().display().to_string();
    let of = |text: &str| error(&options(Path::new(text)));
    assert_eq!(of(&format!("{path}/none")), format!("`{path}/none`: no such folder or file; check the path"));
    assert_eq!(
        of(&path),
        format!("`{path}`: no documents there; put PDF, DOCX, HTML, Markdown or text files into it or name another folder")
    );
    write(root.path(), ".hidden/a.md", "x");
    assert_eq!(
        of(&path),
        format!(
            "`{path}`: no documents there (1 ignored, first `.hidden`: hidden); \
             put PDF, DOCX, HTML, Markdown or text files into it or name another folder"
        )
    );
    assert_eq!(of("/dev/null"), "`/dev/null`: neither a folder nor a regular file; name a folder or a file");
    assert_eq!(of("s3://"), "`s3://`: no bucket; write `s3://bucket/prefix`");
    assert_eq!(of("S3:///docs"), "`s3:///docs`: no bucket; write `s3://bucket/prefix`");
    assert_eq!(
        of("s3://my bucket/docs"),
        "`s3://my bucket/docs`: `my bucket` cannot be a bucket; its name has only letters, digits, `-`, `.` and `_`"
    );
    assert_eq!(
        of("https://example.com/docs"),
        "`https://example.com/docs`: not a kind of source that is read; name a folder, a file or `s3://bucket/prefix`"
    );
    assert_eq!(error(&Options::default()), "no source: name a folder, a file or `s3://bucket/prefix`, or set `S3_BUCKET_NAME`");
}

#[test]
fn an_address_is_a_bucket_and_a_folder_of_keys() {
    let split = |address| bucket_and_prefix(address).unwrap();
    assert_eq!(split("docs"), ("docs", ""));
    assert_eq!(split("docs/"), ("docs", ""));
    assert_eq!(split("docs///"), ("docs", ""));
    assert_eq!(split("docs/a/b"), ("docs", "a/b"));
    assert_eq!(split("docs/a/b/"), ("docs", "a/b"));
    // An empty name in the middle is part of the key.
    assert_eq!(split("docs//a"), ("docs", "/a"));
    assert!(bucket_and_prefix("").is_err() && bucket_and_prefix("/a").is_err() && bucket_and_prefix("a:b/c").is_err());
}

#[cfg(not(feature = "s3"))]
#[test]
fn without_s3_an_address_says_how_to_build_with_it() {
    assert_eq!(
        error(&options(Path::new("s3://docs/a/"))),
        "`s3://docs/a`: this index-builder was built without S3; build it with `--features s3`"
    );
}
