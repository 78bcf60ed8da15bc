//! Building with a provider's embeddings, against a server on the loopback: what is asked, what is paid for twice, what is refused.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

#[path = "../../tests/support/model.rs"]
mod model;
#[path = "../../tests/support/command.rs"]
mod process;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use model::model;
use omni_retrieval::index::{DEFAULT_ALPHA, Index, Query};
use serde_json::{Value, json};

/// What the server does with a call.
#[derive(Clone, Copy)]
enum Part {
    /// Vectors of this many components.
    Vectors(usize),
    /// Vectors of nothing but zeros.
    Zeros(usize),
    /// A refusal: status and `retry-after`.
    Refusal(u16, &'static str),
}

/// A server of embeddings that plays its parts in turn, the last one for ever.
struct Server {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    parts: VecDeque<Part>,
    /// Texts for which vectors were given, in the order of the calls.
    paid: Vec<Vec<String>>,
    bodies: Vec<Value>,
}

impl Server {
    fn new(parts: &[Part]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen { parts: parts.iter().copied().collect(), ..Seen::default() }));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let seen = Arc::clone(&shared);
                std::thread::spawn(move || answer(socket, &seen));
            }
        });
        Self { url, seen }
    }

    fn play(&self, parts: &[Part]) {
        self.seen.lock().unwrap().parts = parts.iter().copied().collect();
    }

    /// Forgets what it saw, and says which texts were paid for.
    fn paid(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.seen.lock().unwrap().paid)
    }
}

fn answer(mut socket: TcpStream, seen: &Mutex<Seen>) {
    let Some(body) = read(&mut socket) else { return };
    let mut seen = seen.lock().unwrap();
    let part = if seen.parts.len() > 1 { seen.parts.pop_front().unwrap() } else { seen.parts[0] };
    let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
    seen.bodies.push(body);
    let (status, headers, reply) = match part {
        Part::Zeros(dimensions) => {
            let reply = json!({"data": texts.iter().map(|_| json!({"embedding": vec![0.0; dimensions]})).collect::<Vec<_>>()});
            seen.paid.push(texts);
            (200, String::new(), reply)
        }
        Part::Vectors(dimensions) => {
            // Backwards: the index says which is which.
            let rows = texts.iter().enumerate().rev();
            let rows: Vec<Value> = rows.map(|(at, text)| json!({"index": at, "embedding": vector(text, dimensions)})).collect();
            seen.paid.push(texts);
            (200, String::new(), json!({"data": rows, "usage": {"prompt_tokens": 7}}))
        }
        Part::Refusal(status, wait) => {
            (status, format!("retry-after: {wait}\r\n"), json!({"error": {"message": "no", "code": "no"}}))
        }
    };
    let reply = reply.to_string();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", reply.len());
    let _ = socket.write_all(format!("{head}{reply}").as_bytes());
}

fn read(socket: &mut TcpStream) -> Option<Value> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 8192]);
    loop {
        let count = socket.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = std::str::from_utf8(&bytes).ok()?;
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            return Some(body);
        }
    }
}

/// A vector that depends on nothing but the text, points anywhere, and is not of length 1.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let sum = |at: usize| text.bytes().fold(at as u32 + 1, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..dimensions).map(|at| (sum(at) % 1000) as f32 / 100.0 - 4.995).collect()
}

/// A folder of one document with `sections` chunks, and a place for the index.
struct Place(tempfile::TempDir);

impl Place {
    fn new(sections: usize) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.0.path().join("documents")).unwrap();
        let section = |at: usize| format!("## Part {at}\n\nNumber {at} of the list is about matter {}.\n\n", at * 7);
        let text: String = (0..sections).map(section).collect();
        std::fs::write(place.0.path().join("documents/list.md"), text).unwrap();
        place
    }

    fn index(&self) -> PathBuf {
        self.0.path().join("kb.omni")
    }

    fn command(&self, server: &Server) -> Command {
        let mut command = process::command(env!("CARGO_BIN_EXE_index-builder"));
        command.current_dir(self.0.path()).env("CUSTOM_BASE_URL", &server.url);
        command
    }

    fn build(&self, model: &Path, server: &Server, more: &[&str]) -> Output {
        let mut command = self.command(server);
        command.args(["build", "documents", "--out", "kb.omni", "--quiet", "--threads", "2", "--model"]).arg(model);
        command.args(["--embedding", "custom/some-model"]).args(more).output().unwrap()
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_build_that_is_given_up_goes_on_without_paying_again() {
    let Some(model) = model() else { return };
    let place = Place::new(700);
    // The length, one call that is busy, one that works; then the key is withdrawn.
    let server = Server::new(&[Part::Vectors(6), Part::Refusal(429, "0"), Part::Vectors(6), Part::Refusal(401, "0")]);
    let text = failed(&place.build(&model, &server, &[]));
    assert!(
        text.contains("embedding by `custom/some-model` failed; what was done is kept, build again to go on")
            && text.contains("`custom` refused the key (status 401); check `CUSTOM_API_KEY`"),
        "{text}"
    );
    assert!(!place.index().exists());
    let first: Vec<Vec<String>> = server.paid();
    assert_eq!(first.len(), 2, "the length, and one call");
    let done: HashSet<&String> = first[1].iter().collect();
    assert_eq!(done.len(), 128);

    server.play(&[Part::Vectors(6)]);
    let report = succeeded(&place.build(&model, &server, &[]));
    assert!(report.contains("custom/some-model"), "{report}");
    let second = server.paid();
    let again: Vec<&String> = second[1..].iter().flatten().filter(|text| done.contains(text)).collect();
    assert!(again.is_empty(), "{} texts were paid for twice", again.len());
    assert_eq!(second[1..].iter().flatten().count() + done.len(), 700);

    // A third build has nothing to pay for but the length, and gives the same bytes.
    let bytes = std::fs::read(place.index()).unwrap();
    succeeded(&place.build(&model, &server, &[]));
    assert_eq!(server.paid().iter().flatten().count(), 1);
    assert_eq!(std::fs::read(place.index()).unwrap(), bytes);

    let index = Index::open(&place.index()).unwrap();
    let manifest = index.manifest();
    assert_eq!((manifest.provider.as_deref(), manifest.model.as_str()), (Some("custom"), "some-model"));
    assert_eq!((manifest.dimensions, manifest.shortened, index.len()), (6, false, 700));
    // Every chunk has its own vector, whatever call it came with.
    let texts: HashMap<&str, &String> =
        first[1].iter().chain(second[1..].iter().flatten()).map(|text| (text.rsplit('\n').next().unwrap(), text)).collect();
    for number in [0, 127, 128, 400, 699] {
        let chunk = index.chunk(number).unwrap();
        let vector = vector(texts[chunk.text.rsplit('\n').next().unwrap()], 6);
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        let unit: Vec<f32> = vector.iter().map(|value| value / length).collect();
        let hits = index.search(&Query { vector: Some(&unit), top_k: 700, ..Query::default() }).unwrap();
        let hit = hits.iter().find(|hit| hit.chunk == number).unwrap();
        assert!(hit.cosine > 0.999, "{number}: {hit:?}");
    }
}

#[test]
fn an_index_keeps_the_vectors_of_its_neighbours_in_the_cache() {
    let Some(model) = model() else { return };
    let place = Place::new(4100);
    let server = Server::new(&[Part::Vectors(2)]);
    succeeded(&place.build(&model, &server, &[]));
    std::fs::create_dir(place.0.path().join("few")).unwrap();
    std::fs::write(place.0.path().join("few/one.md"), "One.\n").unwrap();
    let mut command = place.command(&server);
    command.args(["build", "few", "--out", "few.omni", "--quiet", "--embedding", "custom/some-model", "--model"]).arg(&model);
    succeeded(&command.output().unwrap());
    server.paid();
    succeeded(&place.build(&model, &server, &[]));
    assert_eq!(server.paid().iter().flatten().count(), 1, "the length");
}

#[test]
fn what_is_of_no_use_is_bought_twice_at_most() {
    let Some(model) = model() else { return };
    let place = Place::new(3);
    let server = Server::new(&[Part::Vectors(6), Part::Zeros(6)]);
    let text = failed(&place.build(&model, &server, &[]));
    assert_eq!(server.paid().len(), 3, "the length, and one call twice");
    assert!(text.contains("failed at the text that begins `") && text.contains("the provider's vector is all zeros"), "{text}");
}

#[test]
fn how_long_vectors_are_is_asked_for_and_held_to() {
    let Some(model) = model() else { return };
    let place = Place::new(3);
    let server = Server::new(&[Part::Vectors(6)]);
    let text = failed(&place.build(&model, &server, &["--embedding-dimensions", "5"]));
    let expected = "`--embedding custom/some-model`: was asked for 5 dimensions and gave 6; leave `--embedding-dimensions` out\n";
    assert!(text.ends_with(expected), "{text}");
    server.play(&[Part::Vectors(5)]);
    succeeded(&place.build(&model, &server, &["--embedding-dimensions", "5"]));
    let seen = server.seen.lock().unwrap();
    assert!(seen.bodies.iter().all(|body| body["dimensions"] == 5 && body["model"] == "some-model"));
    drop(seen);
    assert!(Index::open(&place.index()).unwrap().manifest().shortened);
    // The first vector and the later ones differ.
    server.play(&[Part::Vectors(7), Part::Vectors(8)]);
    let text = failed(&place.build(&model, &server, &[]));
    assert!(text.contains("gave a vector of 8 dimensions in the place of 7"), "{text}");
}

#[test]
fn a_gate_asks_with_the_model_of_the_index() {
    let Some(model) = model() else { return };
    let place = Place::new(3);
    let server = Server::new(&[Part::Vectors(6)]);
    succeeded(&place.build(&model, &server, &[]));
    server.paid();
    let questions = place.0.path().join("questions.jsonl");
    std::fs::write(&questions, "{\"question\": \"What is number 2 about?\", \"source\": \"list.md\"}\n").unwrap();
    let mut command = place.command(&server);
    command.args(["eval", "--questions", "questions.jsonl", "--index", "kb.omni", "--model", "none"]);
    let report = succeeded(&command.output().unwrap());
    assert!(report.contains("recall@5   1.0000"), "{report}");
    assert_eq!(server.paid(), [["What is number 2 about?"]]);
}

#[test]
fn questions_say_how_much_vectors_weigh() {
    let Some(model) = model() else { return };
    let place = Place::new(3);
    let server = Server::new(&[Part::Vectors(6)]);
    let ask = |questions: &str| {
        std::fs::write(place.0.path().join("questions.jsonl"), questions).unwrap();
        succeeded(&place.build(&model, &server, &["--tune-alpha", "questions.jsonl"]));
        Index::open(&place.index()).unwrap().manifest().alpha.unwrap()
    };
    // Where every weight does as well, the default stays.
    assert_eq!(ask("{\"question\": \"What is number 2 about?\", \"source\": \"list.md\"}\n"), DEFAULT_ALPHA);
    // These vectors know nothing of what texts mean; the words do.
    let names = ["apple", "birch", "cedar", "daisy", "elder", "fig", "grape", "hazel", "iris", "juniper", "kiwi", "lilac"];
    let mut questions = String::new();
    for name in names {
        std::fs::write(place.0.path().join(format!("documents/{name}.md")), format!("The {name} grows where it is planted.\n"))
            .unwrap();
        questions += &json!({"question": format!("Tell me of {name}"), "source": format!("{name}.md")}).to_string();
        questions.push('\n');
    }
    assert!(ask(&questions) < DEFAULT_ALPHA);
}
