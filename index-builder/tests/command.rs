//! `index-builder` as a process: what it says where something is missing, wrong or in the way. No test needs the model.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::path::Path;
use std::process::Command;

/// Runs it in `root`; whether it was content, what it printed, and what it said beside that.
fn run(root: &Path, arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_index-builder"));
    // An empty variable counts as unset.
    let output = command.current_dir(root).env("OMNI_MODEL", "").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn refused(root: &Path, arguments: &[&str]) -> String {
    let (is_well, printed, said) = run(root, arguments);
    assert!(!is_well && printed.is_empty(), "{printed}{said}");
    said
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn a_document_is_never_taken_for_an_old_index() {
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("notes.txt", "years of work")]);
    for out in ["notes.txt", "docs/a.md"] {
        let before = std::fs::read(root.path().join(out)).unwrap();
        let said = refused(root.path(), &["build", "docs", "--out", out]);
        assert_eq!(said, format!("error: {out}: exists and is no Omni-LLM index; name another file with `--out`\n"));
        assert_eq!(std::fs::read(root.path().join(out)).unwrap(), before);
    }
}

#[test]
fn a_missing_model_is_said_once_with_how_to_get_it() {
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("q.jsonl", "{\"question\": \"a\", \"source\": \"a.md\"}\n")]);
    let missing = |model: &str| {
        format!("error: {model}: no such model; get the model with `index-builder model`, or name the folder of another\n")
    };
    assert_eq!(refused(root.path(), &["build", "docs"]), missing("models/all-MiniLM-L6-v2"));
    assert_eq!(refused(root.path(), &["build", "docs", "--model", "nope"]), missing("nope"));
    assert_eq!(refused(root.path(), &["eval", "--questions", "q.jsonl", "--model", "nope"]), missing("nope"));
    std::fs::create_dir(root.path().join("all-MiniLM-L6-v2")).unwrap();
    let said = refused(root.path(), &["-q", "model", "--from", "all-MiniLM-L6-v2", "--to", "there"]);
    assert!(said.contains("what helps: put config.json, tokenizer.json, model.safetensors of https://"), "{said}");
    assert!(!said.contains("run `index-builder model --from FOLDER`"), "{said}");
}

#[test]
fn a_list_tells_documents_from_what_would_be_skipped() {
    let root = folder(&[
        ("docs/a.md", "# A\n\nText.\n"),
        ("docs/a.md.metadata.json", "{}"),
        ("docs/broken.pdf", "no header"),
        ("docs/empty.md", ""),
        ("docs/table.csv", "a;b\n"),
    ]);
    let (is_well, printed, said) = run(root.path(), &["list", "docs"]);
    assert!(is_well);
    assert_eq!(printed, "        11  a.md\n         9  broken.pdf\n");
    assert_eq!(
        said,
        "skipped: empty.md: empty\nskipped: table.csv: unsupported format: csv\n\
         2 documents, 20 bytes; 1 file of metadata, 2 skipped, 0 ignored\n"
    );
    let (_, printed, said) = run(root.path(), &["list", "docs", "--read"]);
    assert_eq!(printed, "        11  a.md\n");
    assert!(said.contains("skipped: broken.pdf: damaged: no `%PDF-` header\n"), "{said}");
    assert!(said.ends_with("1 document, 11 bytes; 1 file of metadata, 3 skipped, 0 ignored\n"), "{said}");
}

#[test]
fn a_demo_of_nothing_fetches_nothing() {
    let root = folder(&[]);
    let said = refused(root.path(), &["demo", "nope", "--model", "there"]);
    assert_eq!(said, "error: `nope`: no such folder or file; check the path\n");
}

#[test]
fn a_provider_without_a_key_is_no_field_of_a_request() {
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("omni.toml", "")]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_index-builder"));
    command.current_dir(root.path()).env_remove("OPENAI_API_KEY").env_remove("OPENAI_API_KEY_FILE");
    let Some(model) = std::env::var_os("OMNI_MODEL") else { return };
    let output = command.args(["build", "docs", "--embedding", "openai/m", "--model"]).arg(model).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: `--embedding openai/m`: `openai` needs a key; set `OPENAI_API_KEY`\n");
}
