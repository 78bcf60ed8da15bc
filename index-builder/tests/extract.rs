//! Every real file through the sandboxed child of the real binary: a document that keeps its promises, or a reason.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

#[path = "../src/extract/document.rs"]
#[expect(dead_code, reason = "the test checks documents, it does not look up pages")]
mod document;
#[path = "../../tests/support/shared.rs"]
mod shared;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;

use document::Document;
use shared::shared;

/// Files that nobody can read without a password (or with a handler that nobody has).
const PASSWORD_PROTECTED: [&str; 19] = [
    "office/docx/testWORD_protected_passtika.docx",
    "office/pptx/testPPT_protected_passtika.pptx",
    "office/xlsx/password_protected.xlsx",
    "office/xlsx/testEXCEL_protected_passtika.xlsx",
    "pdf/pdfbox/AES128ExposedMeta.pdf",
    "pdf/pdfbox/AESkeylength256.pdf",
    "pdf/pdfbox/PasswordSample-256bit.pdf",
    "pdf/pdfbox/PasswordSample-40bit.pdf",
    "pdf/pdfjs/print_protection.pdf",
    "pdf/pdfjs/secHandler.pdf",
    "pdf/pdfminer/aes-256-m.pdf",
    "pdf/pdfminer/rc4-40.pdf",
    "pdf/pypdf-encryption/r2-user-password.pdf",
    "pdf/pypdf-encryption/r4-aes-user-password.pdf",
    "pdf/pypdf-encryption/r6-both-passwords.pdf",
    "pdf/qpdf/bad-encryption-length.pdf",
    "pdf/sample-files/libreoffice-writer-password.pdf",
    "pdf/tika/testPDF_no_extract_yes_accessibility_owner_user.pdf",
    "pdf/unstructured/password.pdf",
];

fn documents() -> Option<PathBuf> {
    shared("docs")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn run(files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_index-builder")).args(["extract", "--json"]).args(files).output().unwrap()
}

/// The document, or the reason; anything else is a failure of the builder.
fn outcome(file: &Path) -> Result<Document, String> {
    let Output { status, stdout, stderr } = run(&[file.to_owned()]);
    let stderr = String::from_utf8(stderr).unwrap();
    match status.code() {
        Some(0) => {
            assert_eq!(stderr, "", "{}", file.display());
            let document: Document = serde_json::from_slice(&stdout).unwrap();
            assert_eq!(document.check(), Ok(()), "{}", file.display());
            assert!(!document.text.trim().is_empty() && !document.title.is_empty(), "{}", file.display());
            Ok(document)
        }
        Some(1) => {
            assert!(stdout.is_empty(), "{}", file.display());
            let reason = stderr.strip_prefix(&format!("{}: skipped: ", file.display()));
            let reason = reason.unwrap_or_else(|| panic!("{}: {stderr}", file.display())).trim();
            assert!(!reason.is_empty() && reason.lines().count() == 1, "{}: {reason}", file.display());
            Err(reason.to_owned())
        }
        _ => panic!("{}: {status}", file.display()),
    }
}

/// What came of every file, in the order of the files.
fn outcomes(files: &[PathBuf]) -> Vec<Result<Document, String>> {
    let next = Mutex::new(0..files.len());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(index) = next.lock().unwrap().next() else { return };
                    let outcome = outcome(&files[index]);
                    done.lock().unwrap().push((index, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[test]
fn every_file_is_a_document_or_has_a_reason() {
    let Some(documents) = documents() else { return };
    let mut read = [0, 0, 0];
    for (folder, read) in ["pdf", "office", "html"].iter().zip(&mut read) {
        let files = files(&documents.join(folder));
        for (file, outcome) in files.iter().zip(outcomes(&files)) {
            let name = file.strip_prefix(&documents).unwrap().display().to_string();
            match outcome {
                Ok(_) => {
                    *read += 1;
                    assert!(!PASSWORD_PROTECTED.contains(&name.as_str()), "{name} needs a password and was read");
                }
                Err(reason) => println!("{name}: {reason}"),
            }
        }
    }
    println!("read: {} pdf, {} office, {} html", read[0], read[1], read[2]);
    assert!(read[0] >= 150 && read[1] >= 40 && read[2] >= 40, "{read:?}");
}

#[test]
fn a_password_is_asked_for_by_name() {
    let Some(documents) = documents() else { return };
    for name in PASSWORD_PROTECTED {
        let reason = outcome(&documents.join(name)).unwrap_err();
        let is_told = ["password", "encrypt"].iter().any(|word| reason.contains(word));
        assert!(is_told, "{name}: {reason}");
    }
}

/// A source text without what stands between `<!--` and `-->`.
fn without_comments(source: &str) -> String {
    let mut parts = source.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once("-->").map_or(part, |(_, after)| after)).collect::<String>()
}

#[test]
fn no_markdown_of_the_knowledge_base_is_refused() {
    let Some(documents) = documents() else { return };
    let files = files(&documents.join("kb")).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "md"));
    let files: Vec<PathBuf> = files.collect();
    let Output { status, stdout, stderr } = run(&files);
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    assert!(status.success());
    let stdout = String::from_utf8(stdout).unwrap();
    assert_eq!(stdout.lines().count(), files.len());
    for (line, file) in stdout.lines().zip(&files) {
        let document: Document = serde_json::from_str(line).unwrap();
        assert_eq!(document.check(), Ok(()), "{}", file.display());
        let source = std::fs::read_to_string(file).unwrap().replace("\r\n", "\n");
        let uncommented = without_comments(&source);
        // Each line behind the one before it.
        let mut rests = [source.as_str(), uncommented.as_str()];
        let is_own = document.text.lines().all(|line| {
            let found = rests.map(|rest| rest.split_once(line).map(|(_, after)| after));
            rests.iter_mut().zip(found).for_each(|(rest, after)| *rest = after.unwrap_or(rest));
            found.iter().any(Option::is_some)
        });
        assert!(is_own || !source.is_ascii(), "{}: not its own text", file.display());
    }
}

#[test]
fn a_child_keeps_its_memory_limit() {
    // The first cannot even hold the file, beside the stack of the thread that reads it.
    for (memory_mib, last_words) in [(200, "out of memory"), (400, "memory allocation of")] {
        let (status, stderr) = child_with(memory_mib << 20);
        let is_refused = !status.success() && status.code() != Some(75);
        assert!(is_refused && stderr.contains(last_words), "{status}: {stderr}");
    }
}

/// How a child ends that gets a large text.
fn child_with(memory_bytes: u64) -> (ExitStatus, String) {
    let command = &mut Command::new(env!("CARGO_BIN_EXE_index-builder"));
    let streams = command.arg("extract-child").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let order = format!(r#"{{"name":"a.txt","declared_charset":null,"memory_bytes":{memory_bytes},"cpu_seconds":60}}"#);
    // The child may be gone before it has read everything.
    let _ = input.write_all(format!("{order}\n{}", "words ".repeat(15 << 20)).as_bytes());
    drop(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(stdout.is_empty());
    (status, String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("b.md"), "# Bees\n\nThey hum.\n").unwrap();
    let Output { status, stdout, stderr } = run(&[path("none.md"), folder.path().to_owned(), path("b.md")]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        String::from_utf8(stderr).unwrap().replace(&*folder.path().to_string_lossy(), "D"),
        "D/none.md: skipped: no such file\nD: skipped: a folder; name the files in it\n"
    );
    assert!(String::from_utf8(stdout).unwrap().contains("They hum."));
}
