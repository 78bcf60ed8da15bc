//! `index-builder` as a process: what it says where something is missing, wrong or in the way.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

#[path = "../../tests/support/model.rs"]
mod model;
#[path = "../../tests/support/command.rs"]
mod process;

use std::path::Path;
use std::process::Command;

use model::model;

fn builder(root: &Path) -> Command {
    let mut command = process::command(env!("CARGO_BIN_EXE_index-builder"));
    command.current_dir(root);
    command
}

/// Runs it in `root`; whether it was content, what it printed, and what it said beside that.
fn run(root: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = builder(root).args(arguments).output().unwrap();
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
    let root = folder(&[("docs/a.md", "# A\n\nText.\n")]);
    let missing = |model: &str| {
        format!("error: {model}: no such model; get the model with `index-builder model`, or name the folder of another\n")
    };
    assert_eq!(refused(root.path(), &["build", "docs"]), missing("models/all-MiniLM-L6-v2"));
    assert_eq!(refused(root.path(), &["build", "docs", "--model", "nope"]), missing("nope"));
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
        ("docs/report.doc", "<html><body><h1>Report</h1><p>Text.</p></body></html>"),
        ("docs/table.rtf", "a;b\n"),
    ]);
    let (is_well, printed, said) = run(root.path(), &["list", "docs"]);
    assert!(is_well);
    assert_eq!(printed, "        11  a.md\n         9  broken.pdf\n        53  report.doc\n         4  table.rtf\n");
    assert_eq!(
        said,
        "skipped: empty.md: empty\n\
         unsure: report.doc: by its name no format that is read; `--read` looks into it\n\
         unsure: table.rtf: by its name no format that is read; `--read` looks into it\n\
         4 documents, 77 bytes; 1 file of metadata, 1 skipped, 0 ignored\n"
    );
    let (_, printed, said) = run(root.path(), &["list", "docs", "--read"]);
    assert_eq!(printed, "        11  a.md\n        53  report.doc\n");
    assert!(said.contains("skipped: broken.pdf: damaged: no `%PDF-` header\n"), "{said}");
    assert!(said.contains("skipped: table.rtf: unsupported format: rtf\n"), "{said}");
    assert!(said.ends_with("2 documents, 64 bytes; 1 file of metadata, 3 skipped, 0 ignored\n"), "{said}");
}

#[test]
fn labels_that_close_nothing_are_refused() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[
        ("docs/d8.md", "# A\n\nText.\n"),
        ("docs/d8.metadata.json", "{\"access\": [\"hr\"]}"),
        ("docs/d9.metadata.json", "{\"team\": \"hr\"}"),
    ]);
    let build = ["build", "docs", "--model", model.to_str().unwrap(), "--out", "kb.omni"];
    let said = refused(root.path(), &build);
    assert!(
        said.contains("error: d8.metadata.json: there is no `d8`, and its `access` would close nothing; call it as"),
        "{said}"
    );
    assert!(!root.path().join("kb.omni").exists());
    std::fs::rename(root.path().join("docs/d8.metadata.json"), root.path().join("docs/d8.md.metadata.json")).unwrap();
    std::fs::write(root.path().join("docs/d8.md.Metadata.json"), "{}").unwrap();
    let said = refused(root.path(), &build);
    assert!(said.contains("d8.md: has several files `.metadata.json`, in other letters each; keep one"), "{said}");
    std::fs::remove_file(root.path().join("docs/d8.md.Metadata.json")).unwrap();
    let (is_well, printed, said) = run(root.path(), &build);
    assert!(
        is_well && printed.contains("skipped   d9.metadata.json: says what is known of `d9`, which is not there"),
        "{printed}{said}"
    );
}

#[test]
fn a_link_as_the_source_explains_no_label_away() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[
        ("docs/pay.md", "# A\n\nText.\n"),
        ("docs/pay.metadata.json", "{\"access\": [\"hr\"]}"),
        ("rules.json", "{\"HR/\": {\"access\": [\"hr\"]}}"),
        ("other/hr/a.md", "# A\n\nText.\n"),
        ("asked.json", "[\n{\"question\": \"a\", \"source\": \"a.md\"}\n]\n"),
    ]);
    std::os::unix::fs::symlink("docs", root.path().join("link")).unwrap();
    std::os::unix::fs::symlink("other", root.path().join("link2")).unwrap();
    let build = |source: &str, rest: &[&str]| {
        let build = ["build", source, "--model", model.to_str().unwrap(), "--out", "kb.omni"];
        refused(root.path(), &[&build[..], rest].concat())
    };
    let said = build("link", &[]);
    assert!(said.contains("error: pay.metadata.json: there is no `pay`, and its `access` would close nothing"), "{said}");
    let said = build("link2", &["--metadata", "rules.json"]);
    assert!(said.contains("rules.json: rule `HR/` fits no document, and its `access` would close none"), "{said}");
    let said = build("link2", &["--tune-alpha", "asked.json"]);
    assert_eq!(said, "error: asked.json: a list; expected one JSON object a line, with `question` and `source`\n");
    // The labels of a link are no labels of what it leads to.
    std::os::unix::fs::symlink("pay.md", root.path().join("docs/pay")).unwrap();
    assert_eq!(build("docs", &[]), "error: pay.metadata.json: `pay` is a link; put the file beside its target\n");
}

#[test]
fn a_file_of_metadata_is_known_however_its_accents_are_written() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[
        ("docs/a.md", "# A\n\nText.\n"),
        ("docs/u\u{308}.md", "# B\n\nText.\n"),
        ("docs/\u{fc}.md.metadata.json", "{\"access\": 5}"),
    ]);
    let build = ["build", "docs", "--model", model.to_str().unwrap(), "--out", "kb.omni"];
    let (is_well, printed, said) = run(root.path(), &build);
    assert!(is_well && printed.contains("skipped   u\u{308}.md: `access`: 5 is not a list of labels\n"), "{printed}{said}");
    // Two documents of one name, each with its own.
    let docs = root.path().join("docs");
    std::fs::write(docs.join("\u{fc}.md"), "# C\n\nText.\n").unwrap();
    std::fs::write(docs.join("u\u{308}.md.metadata.json"), "{\"team\": \"hr\"}").unwrap();
    let (is_well, printed, said) = run(root.path(), &build);
    assert!(is_well && printed.contains("documents 2 of 3 files"), "{printed}{said}");
    assert!(printed.contains("skipped   \u{fc}.md: `access`: 5 is not a list of labels\n"), "{printed}{said}");
}

#[test]
fn what_is_written_into_the_source_is_not_read_by_the_next_build() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[("docs/pay.md", "# Pay\n\nText.\n"), ("docs/pay.md.metadata.json", "{\"access\": [\"hr\"]}")]);
    let build = |out: &str, rest: &[&str]| {
        let build = ["build", "docs", "--strict", "--model", model.to_str().unwrap(), "--out", out];
        let (is_well, printed, said) = run(root.path(), &[&build[..], rest].concat());
        assert!(is_well && printed.contains("documents 1 of 1 files"), "{printed}{said}");
        printed
    };
    build("docs/kb.omni", &["--report", "docs/report.json", "--cache", "docs/cache"]);
    assert!(run(root.path(), &["export", "docs/kb.omni", "--to", "docs/export"]).0);
    let printed = build("docs/kb.omni", &[]);
    assert!(printed.contains("ignored   7: the builder's own\n"), "{printed}");
    // A link to the index stays one.
    std::os::unix::fs::symlink("kb.omni", root.path().join("docs/current.omni")).unwrap();
    let printed = build("docs/current.omni", &[]);
    assert!(printed.contains("warning   docs/current.omni: a link; the index is where it leads: "), "{printed}");
}

#[test]
fn what_is_in_the_way_is_said_before_the_work() {
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("README.md", "years of work")]);
    let refused = |arguments: &[&str]| refused(root.path(), arguments);
    let said = refused(&["build", "docs", "--report", "README.md"]);
    assert_eq!(said, "error: README.md: exists and is no report; name another file with `--report`\n");
    let said = refused(&["build", "docs", "--cache", "docs"]);
    assert!(said.ends_with("/docs: the source cannot lie in the cache; name another folder with `--cache`\n"), "{said}");
    let said = refused(&["build", "docs", "--cache", "."]);
    assert!(said.ends_with(": the source cannot lie in the cache; name another folder with `--cache`\n"), "{said}");
    let said = refused(&["build", "docs", "--out", "README.md/kb.omni", "--cache", "cache"]);
    assert!(said.starts_with("error: README.md/kb.omni: cannot write the index: "), "{said}");
    let said = refused(&["build", "docs", "--out", "new/kb.omni", "--report", "new/report.json"]);
    assert!(said.contains("no such model"), "{said}");
    for missing in [&["nowhere"][..], &["docs", "--metadata", "nowhere.json"]] {
        refused(&[&["build", "--out", "deep/er/kb.omni"][..], missing].concat());
        assert!(!root.path().join("deep").exists());
    }
    std::fs::write(root.path().join("kb.omni.tombstones"), "{\"index\": \"").unwrap();
    std::fs::create_dir(root.path().join("indexes")).unwrap();
    let of_another = format!("indexes/{}.omni.tombstones", "a".repeat(64));
    std::fs::copy(root.path().join("kb.omni.tombstones"), root.path().join(of_another)).unwrap();
    for out in ["kb.omni", "indexes"] {
        let said = refused(&["build", "docs", "--out", out]);
        assert!(said.contains(".omni.tombstones: not a list of tombstones: "), "{said}");
    }
    let said = refused(&["build", "docs", "--model", "README.md"]);
    assert!(said.contains("not a packed model; name a model's folder, or get one with `index-builder model`"), "{said}");
    let said = refused(&["list", "docs", "--include", "docs/*.md"]);
    assert!(said.contains("(1 ignored, first `a.md`: not in `--include`); globs of `--include` and `--exclude` are"), "{said}");
}

#[test]
fn progress_that_cannot_be_written_costs_no_index() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[("docs/a.md", "# A\n\nText.\n")]);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let build = ["build", "docs", "--out", "kb.omni", "--model", model.to_str().unwrap()];
    assert!(builder(root.path()).args(build).stderr(full()).output().unwrap().status.success());
    assert!(root.path().join("kb.omni").exists());
    let (is_well, printed, said) = run(root.path(), &[&build[..], &["--report", "/dev/full"]].concat());
    assert!(!is_well && printed.starts_with("index     kb.omni "), "{printed}");
    assert!(said.contains("error: /dev/full: cannot write the report"), "{said}");
    let code = builder(root.path()).args(["build", "nowhere", "--out", "x.omni"]).stderr(full()).status().unwrap().code();
    assert_eq!(code, Some(1));
}

#[test]
fn every_skipped_file_counts() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("docs/b.pdf", "no header")]);
    std::os::unix::fs::symlink("nowhere.md", root.path().join("docs/c.md")).unwrap();
    let said = refused(root.path(), &["-q", "build", "docs", "--strict", "--out", "kb.omni", "--model", model.to_str().unwrap()]);
    assert!(said.contains("`docs`: 2 of 3 files are skipped, and `--strict` is set"), "{said}");
}

#[test]
fn a_second_index_in_the_folder_is_told() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[("docs/a.md", "# A\n\nText.\n")]);
    let build = || {
        let (is_well, printed, said) =
            run(root.path(), &["-q", "build", "docs", "--out", "kb/", "--model", model.to_str().unwrap()]);
        assert!(is_well, "{said}");
        printed
    };
    assert!(!build().contains("warning"));
    assert!(!build().contains("warning"), "the same documents are the same index");
    let first = std::fs::read_dir(root.path().join("kb")).unwrap();
    let is_index = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "omni");
    let first = first.map(|entry| entry.unwrap().path()).find(is_index).unwrap();
    std::fs::write(root.path().join("docs/a.md"), "# A\n\nOther text.\n").unwrap();
    let printed = build();
    let named = format!("there is another index in the folder: kb/{};", first.file_name().unwrap().display());
    assert!(printed.contains(&named), "{printed}");
}

#[test]
fn names_do_not_speak_to_the_terminal() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let name = "b\u{1b}[2J\nindex     fake.omni";
    let root = folder(&[(&format!("docs/{name}.pdf"), "no header"), (&format!("docs/{name}.md"), "# A\n\nText.\n")]);
    let build = |rest: &[&str]| {
        let build = ["-q", "build", "docs", "--model", model.to_str().unwrap(), "--out", "kb.omni"];
        run(root.path(), &[&build[..], rest].concat())
    };
    let shown = "b\u{fffd}[2J\u{fffd}index     fake.omni";
    let (is_well, _, said) = build(&["--strict"]);
    assert!(!is_well && said.ends_with(&format!("\n  {shown}.pdf: damaged: no `%PDF-` header\n")), "{said}");
    let (is_well, _, said) = run(root.path(), &["extract", &format!("docs/{name}.pdf")]);
    assert!(!is_well && said == format!("docs/{shown}.pdf: skipped: damaged: no `%PDF-` header\n"), "{said}");
    assert!(build(&[]).0);
    let (_, printed, said) = run(root.path(), &["forget", "kb.omni", &format!("{name}.md")]);
    assert_eq!(printed, format!("{shown}.md\n"), "{said}");
}

#[test]
fn what_was_lost_of_a_file_is_said_beside_its_text() {
    let root = folder(&[]);
    std::fs::write(root.path().join("a.txt"), b"Le caf\xe9 est ferm\xe9, d\xe9sol\xe9.").unwrap();
    let (is_well, printed, said) = run(root.path(), &["extract", "a.txt"]);
    assert!(is_well && printed == "Le café est fermé, désolé.\n", "{printed}{said}");
    assert_eq!(said, "a.txt: warning: encoding guessed: windows-1252\n");
    let (_, printed, said) = run(root.path(), &["extract", "--json", "a.txt"]);
    assert!(printed.contains("\"encoding guessed: windows-1252\"") && said.is_empty(), "{said}");
}

#[test]
fn questions_that_no_document_answers_end_a_build_before_the_work() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("q.jsonl", "{\"question\": \"a?\", \"source\": \"docs/a.md\"}\n")]);
    let said = refused(root.path(), &["-q", "build", "docs", "--model", model.to_str().unwrap(), "--tune-alpha", "q.jsonl"]);
    let expected = "error: `--tune-alpha`: no document has the name of a question's `source`; name documents by their paths below what is built from (`guide/setup.md`)\n";
    assert_eq!(said, expected);
}

#[test]
fn a_demo_of_nothing_fetches_nothing() {
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("notes.txt", "years of work")]);
    let said = refused(root.path(), &["demo", "nope", "--model", "there"]);
    assert_eq!(said, "error: `nope`: no such folder or file; check the path\n");
    let said = refused(root.path(), &["demo", "docs", "--model", "there", "--out", "notes.txt"]);
    assert_eq!(said, "error: notes.txt: exists and is no Omni-LLM index; name another file with `--out`\n");
    let said = refused(root.path(), &["demo", "docs", "--model", "there", "--question", ""]);
    assert!(said.starts_with("error: a value is required for '--question <TEXT>'"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_printed_is_an_error() {
    let root = folder(&[("docs/a.md", "# A\n\nText.\n")]);
    for arguments in [["extract", "docs/a.md"], ["list", "docs"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = builder(root.path()).args(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("error: standard output: cannot write: No space left"), "{said}");
    }
}

#[test]
fn a_provider_without_a_key_is_no_field_of_a_request() {
    let Some(model) = model() else { return };
    let root = folder(&[("docs/a.md", "# A\n\nText.\n"), ("omni.toml", "")]);
    // The builder runs in another folder.
    let model = model.canonicalize().unwrap();
    let output = builder(root.path()).args(["build", "docs", "--embedding", "openai/m", "--model"]).arg(model).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: `--embedding openai/m`: `openai` needs a key; set `OPENAI_API_KEY`\n");
}

#[test]
fn a_gate_that_is_not_passed_ends_with_an_error() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let model = model.to_str().unwrap();
    let question =
        |question: &str, source: &str, rest: &str| format!("{{\"question\": \"{question}\", \"source\": \"{source}\"{rest}}}\n");
    let questions = question("How many days of leave are there?", "leave.md", "")
        + &question("Where may I park?", "parking.md", ", \"filter\": {\"field\": \"team\", \"eq\": \"hr\"}");
    let parking = "---\nteam: hr\n---\n# Parking\n\nStaff park in the garage behind the house.\n";
    let leave = "# Leave\n\nEveryone has thirty days of leave in a year.\n";
    let root = folder(&[
        ("all/leave.md", leave),
        ("all/parking.md", parking),
        ("less/parking.md", parking),
        ("bare/leave.md", leave),
        ("q.jsonl", &questions),
    ]);
    for name in ["all", "less", "bare"] {
        let (is_well, _, said) = run(root.path(), &["-q", "build", name, "--out", &format!("{name}.omni"), "--model", model]);
        assert!(is_well, "{said}");
    }
    let gate = |index: &str, rest: &[&str]| {
        run(root.path(), &[&["eval", "--questions", "q.jsonl", "--model", model, "--index", index], rest].concat())
    };
    let said = refused(root.path(), &["eval", "--questions", "q.jsonl", "--index", "all.omni", "--model", "nope"]);
    assert!(said.starts_with("error: nope: no such model; get the model with"), "{said}");
    let (is_well, printed, said) = gate("less.omni", &["--min-recall@5", "0.9"]);
    assert!(!is_well && printed.contains("missed     1 of 2\n"), "{printed}");
    assert_eq!(said, "failed: recall@5 is 0.5000, wanted at least 0.9\n");
    let (is_well, _, said) = gate("less.omni", &["--against", "all.omni"]);
    assert!(!is_well && said.contains("failed: recall@5 is 0.5000, the older index reached 1.0000\n"), "{said}");
    // What questions are narrowed down by may be new.
    let (is_well, printed, said) = gate("all.omni", &["--against", "bare.omni", "--min-recall@5", "1"]);
    assert!(is_well && printed.contains("recall@5   1.0000  (older index 0.5000)\n"), "{printed}{said}");
    let (is_well, _, said) = gate("bare.omni", &[]);
    assert!(
        !is_well && said.starts_with("error: bare.omni: question `Where may I park?`: `filter`: no field `team` in this index"),
        "{said}"
    );
}

#[test]
fn a_build_reads_what_is_chosen_and_never_what_it_wrote() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let root = folder(&[
        ("docs/a.md", "# A\n\nText.\n"),
        ("docs/.env", "SECRET=1"),
        ("docs/drafts/b.md", "# B\n\nNot yet.\n"),
        ("docs/notes.txt", "Notes."),
    ]);
    let docs = root.path().join("docs");
    let globs = ["--include", "*.md", "--exclude", "drafts"];
    for _ in 0..2 {
        let build = ["build", ".", "--strict", "--report", "report.json", "--model", model.to_str().unwrap()];
        let (is_well, _, said) = run(&docs, &[&build[..], &globs].concat());
        assert!(is_well, "{said}");
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(docs.join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["documents"], &report["skipped"]), (&1.into(), &serde_json::json!([])));
    let reason = |name: &str| {
        let ignored = report["ignored"].as_array().unwrap();
        ignored.iter().find(|remark| remark["source"] == name).and_then(|remark| remark["reason"].as_str()).unwrap()
    };
    assert_eq!(reason("knowledge.omni"), "the builder's own");
    assert_eq!(reason("report.json"), "the builder's own");
    assert_eq!((reason(".env"), reason("notes.txt")), ("hidden", "not in `--include`"));
    let (_, printed, said) = run(&docs, &[&["list", "."], &globs[..]].concat());
    assert_eq!(printed, "        11  a.md\n");
    assert!(said.contains("ignored: drafts/b.md: left out by `--exclude`\n"), "{said}");
    assert!(refused(&docs, &["list", ".", "--include", "[a"]).contains("unclosed character class"));
    // What was forgotten does not come back because it was left out for a while.
    for (globs, gone) in [(&[][..], 0), (&globs, 0), (&[], 1)] {
        let build = ["build", ".", "--report", "-", "--model", model.to_str().unwrap()];
        let (_, printed, _) = run(&docs, &[&build[..], globs].concat());
        let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(report["gone"], gone);
        if gone == 0 && globs.is_empty() {
            assert!(run(&docs, &["forget", "knowledge.omni", "drafts/b.md"]).0);
        }
    }
}

#[test]
fn excerpts_are_looked_for_in_what_a_build_would_read() {
    let Some(model) = model() else { return };
    let model = model.canonicalize().unwrap();
    let asked = |excerpts: &str| {
        format!("{{\"question\": \"How many days of leave are there?\", \"source\": \"leave.md\", \"excerpts\": {excerpts}}}\n")
    };
    let root = folder(&[
        ("docs/leave.md", "# Leave\n\nEveryone has thirty days of leave in a year.\n"),
        ("docs/leave.md.metadata.json", "{\"team\": \"hr\"}"),
        ("docs/logo.txt", ""),
        ("q.jsonl", &asked("[\"thirty days\"]")),
        ("none.jsonl", &asked("[]")),
        ("blank.jsonl", &asked("[\"thirty days\", \" \"]")),
    ]);
    let measure = |questions| ["-q", "eval", "--excerpts", questions, "--documents", "docs", "--model", model.to_str().unwrap()];
    for questions in ["none.jsonl", "blank.jsonl"] {
        let said = refused(root.path(), &measure(questions));
        assert!(said.contains("of the question `How many days") || said.contains("no excerpts for the question `How"), "{said}");
    }
    let (is_well, printed, said) = run(root.path(), &measure("q.jsonl"));
    assert_eq!(said, "skipped: logo.txt: empty\n");
    assert!(is_well && printed.starts_with("1 questions, 1 documents, hybrid search\n"), "{printed}{said}");
    assert!(printed.contains("\nfixed_size ") && printed.contains("\nstructure "), "{printed}");
}
