//! Who may know whom, as `docs/architecture.md` draws it, held against the `crate::` paths of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may name.
const ROOMS: [(&str, &[&str]); 24] = [
    ("app", &["config", "cost", "embed", "error", "index", "net", "provider", "rerank", "schema"]),
    ("chat", &[]),
    ("citation", &["passage", "sentence"]),
    ("config", &["error"]),
    ("cost", &["chat", "error"]),
    ("cpu", &["error"]),
    ("embed", &["cpu", "error", "hex", "mapped", "replace"]),
    ("error", &[]),
    ("extractive", &["passage", "prompt", "sentence", "words"]),
    ("hex", &[]),
    ("index", &["cpu", "error", "hex", "mapped", "replace", "words"]),
    ("mapped", &["error"]),
    ("net", &["config", "error", "hex"]),
    ("passage", &["error", "index"]),
    ("prompt", &["chat", "passage"]),
    ("provider", &["chat", "config", "error", "hex", "net"]),
    (
        "rag",
        &[
            "app",
            "chat",
            "citation",
            "config",
            "error",
            "extractive",
            "index",
            "passage",
            "prompt",
            "provider",
            "rerank",
            "schema",
        ],
    ),
    ("replace", &[]),
    ("rerank", &["embed", "error", "index"]),
    ("schema", &["error"]),
    ("sentence", &[]),
    (
        "server",
        &[
            "app",
            "chat",
            "citation",
            "config",
            "embed",
            "error",
            "hex",
            "index",
            "net",
            "passage",
            "prompt",
            "provider",
            "rag",
            "schema",
            "telemetry",
        ],
    ),
    ("telemetry", &["chat", "config", "error"]),
    ("words", &[]),
];

/// The rooms of the service that the builder may name; those of `omni-retrieval` are there for both.
const BUILDER: [&str; 4] = ["chat", "config", "net", "provider"];

#[test]
fn no_room_knows_more_than_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "omni-retrieval/src"].map(|source| root.join(source));
    let (mut seen, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (source, path) in sources.iter().flat_map(|source| files(source).unwrap().into_iter().map(move |path| (source, path))) {
        let below = path.strip_prefix(source).unwrap();
        let room = below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("`{room}` has no row"));
        for named in named("crate::", &std::fs::read_to_string(&path).unwrap()) {
            // What tests share is no room.
            let may = named == room || named == "testing" || allowed.contains(&named.as_str());
            assert!(may, "{}: names `crate::{named}`, which `{room}` may not know", below.display());
            used.insert((room.clone(), named));
        }
        seen.insert(room);
    }
    assert_eq!(seen.len(), ROOMS.len(), "a row of the table has no room: {seen:?}");
    for (room, named) in ROOMS.iter().flat_map(|(room, allowed)| allowed.iter().map(move |named| (room, named))) {
        assert!(used.contains(&((*room).to_owned(), (*named).to_owned())), "`{room}` may know `{named}` and does not");
    }
}

#[test]
fn the_builder_knows_what_it_shares_and_serves_in_its_demo_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("index-builder/src");
    for path in files(&source).unwrap() {
        let below = path.strip_prefix(&source).unwrap();
        let is_demo = below == Path::new("demo.rs");
        for named in named("omni_llm::", &std::fs::read_to_string(&path).unwrap()) {
            let may = BUILDER.contains(&named.as_str()) || is_demo && matches!(named.as_str(), "app" | "server");
            assert!(may, "index-builder, {}: names `omni_llm::{named}`, which it may not know", below.display());
        }
    }
}

/// First path segments after `root`.
fn named(root: &str, text: &str) -> Vec<String> {
    let paths = text.split(root).skip(1).map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect());
    paths.filter(|name: &String| !name.is_empty()).collect()
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
