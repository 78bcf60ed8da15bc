//! Every recorded exchange, read by us and compared with what an independent look at the raw body finds.
//!
//! The folder is `OMNI_RECORDINGS`, else the shared one. What is wrong is told file by file, with the first difference.

mod exchange;
mod expected;
mod finish;
mod refusal;
mod vectors;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use omni_llm::chat::{ChatEvent, ChatResponse, Part, fold, unfold};
use omni_llm::provider::Dialect;
use serde_json::Value;

use self::exchange::{Exchange, chunks, json, list};
use self::expected::{Expected, Parts, expected};
use self::refusal::{has_end, has_failed};
use super::random::Random;
use super::shared::shared;
use super::support::events;

/// Streams up to this size are split at every byte.
const SMALL_BYTES: usize = 1500;
const RANDOM_SPLITS: usize = 24;
/// How much is told of a difference, and how much of what stands before it.
const TOLD_CHARS: usize = 160;
const BEFORE_CHARS: usize = 40;

/// What an exchange is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Buffered,
    Streamed,
    Refused,
    Embedded,
    /// Of an endpoint that we do not ask.
    Other,
}

/// How an exchange was read, or the first difference.
type Outcome<T = Kind> = Result<T, String>;

/// How many exchanges of a provider are of each kind, in its order, and how many are wrong.
type Row = ([usize; 5], usize);

#[test]
fn every_recorded_exchange_is_read_whole() {
    let named = std::env::var_os("OMNI_RECORDINGS").map(PathBuf::from);
    let Some(folder) = named.or_else(|| shared("contracts/recordings/open")) else { return };
    let (mut table, mut wrong): (BTreeMap<String, Row>, Vec<String>) = (BTreeMap::new(), Vec::new());
    for path in files(&folder) {
        let name = path.strip_prefix(&folder).unwrap().display();
        let recording = match recording(&path) {
            Ok(recording) => recording,
            Err(cause) => {
                wrong.push(format!("{name}: not read: {cause}"));
                continue;
            }
        };
        let provider = recording["provider"].as_str().unwrap_or_default();
        for (number, exchange) in list(&recording["interactions"]).enumerate() {
            let (kinds, failed) = table.entry(provider.to_owned()).or_default();
            let exchange = Exchange { provider, request: &exchange["request"], response: &exchange["response"] };
            match catch_unwind(|| check(&exchange)).unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(kind) => kinds[kind as usize] += 1,
                Err(difference) => {
                    *failed += 1;
                    wrong.push(format!("{name} #{number}: {difference}"));
                }
            }
        }
    }
    let passed = tell(&table);
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed > 0, "nothing was read");
}

/// Prints the table, and says how many exchanges are as they should be.
fn tell(table: &BTreeMap<String, Row>) -> usize {
    let line = |provider: &str, cells: [&dyn Display; 6]| {
        let [buffered, streamed, refused, embedded, wrong, other] = cells;
        eprintln!("{provider:<20} {buffered:>9} {streamed:>9} {refused:>8} {embedded:>9} {wrong:>6} {other:>14}");
    };
    line("provider", [&"buffered", &"streamed", &"refused", &"embedded", &"wrong", &"other endpoint"]);
    let (mut passed, mut failed) = (0, 0);
    for (provider, ([buffered, streamed, refused, embedded, other], wrong)) in table {
        line(provider, [buffered, streamed, refused, embedded, wrong, other]);
        passed += buffered + streamed + refused + embedded;
        failed += wrong;
    }
    eprintln!("exchanges of our dialects: {}, passed: {passed}", passed + failed);
    passed
}

/// The files that are JSON by their names, apart from the lists of them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "json") && entry.file_name().unwrap() != "index.json" {
            found.push(entry);
        }
    }
    found.sort();
    found
}

fn recording(path: &Path) -> Outcome<Value> {
    let text = std::fs::read_to_string(path).map_err(|cause| cause.to_string())?;
    let recording = json(text.trim_start_matches('\u{feff}')).map_err(|cause| cause.to_string())?;
    let is_recording = list(&recording["interactions"]).next().is_some();
    is_recording.then_some(recording).ok_or_else(|| "it has no `interactions`".to_owned())
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or_default())
}

fn holds(what: &str, is_so: bool) -> Outcome<()> {
    if is_so { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// That two values are equal, or where they begin to differ.
fn same<T: Debug + PartialEq + ?Sized>(what: &str, read: &T, expected: &T) -> Outcome<()> {
    if read == expected {
        return Ok(());
    }
    let (read, expected) = (format!("{read:?}"), format!("{expected:?}"));
    let equal = read.chars().zip(expected.chars()).take_while(|(read, expected)| read == expected).count();
    let told = |text: &str| text.chars().skip(equal.saturating_sub(BEFORE_CHARS)).take(TOLD_CHARS).collect::<String>();
    Err(format!("{what}: read {}, expected {}", told(&read), told(&expected)))
}

fn check(exchange: &Exchange<'_>) -> Outcome {
    let (dialect, embeds, status) = (exchange.dialect(), exchange.embeds(), exchange.status());
    if status >= 300 && (dialect.is_some() || embeds.is_some() || exchange.path().is_empty()) {
        return refusal::check(exchange);
    }
    if let Some(embeds) = embeds {
        return vectors::check(embeds, exchange);
    }
    let Some(dialect) = dialect else { return Ok(Kind::Other) };
    match (exchange.stream(), exchange.body()) {
        (Some(stream), _) => streamed(dialect, &stream),
        (None, Some(body)) => buffered(dialect, &body),
        (None, None) => Ok(Kind::Other),
    }
}

fn buffered(dialect: Dialect, body: &[u8]) -> Outcome {
    let answer = dialect.decode(body);
    // What is no answer must not be taken for one.
    let Ok(body) = json(&String::from_utf8_lossy(body)) else { return refused(answer) };
    let bodies = std::slice::from_ref(&body);
    if has_failed(bodies) || !has_end(dialect, bodies, false) {
        return refused(answer);
    }
    let answer = answer.map_err(|error| format!("not read: {error}"))?;
    compare(dialect, &expected(dialect, bodies), &answer)?;
    Ok(Kind::Buffered)
}

fn streamed(dialect: Dialect, stream: &[u8]) -> Outcome {
    let (chunks, whole) = (chunks(dialect, stream), events(dialect, &[stream]));
    if has_failed(&chunks) || !has_end(dialect, &chunks, true) {
        return refused(whole);
    }
    let whole = whole.map_err(|error| format!("not read: {error}"))?;
    let ends = whole.iter().filter(|event| matches!(event, ChatEvent::Finish(_))).count();
    same("ends", &ends, &1)?;
    holds("the last event is the end", matches!(whole.last(), Some(ChatEvent::Finish(_))))?;
    compare(dialect, &expected(dialect, &chunks), &fold(&whole))?;
    let again = |pieces: &[&[u8]]| events(dialect, pieces).map_err(|error| format!("not read in pieces: {error}"));
    if stream.len() <= SMALL_BYTES {
        for at in 0..=stream.len() {
            same(&format!("split at byte {at}"), &again(&[&stream[..at], &stream[at..]])?, &whole)?;
        }
    }
    let mut random = Random::new(stream.len() as u64);
    for _ in 0..RANDOM_SPLITS {
        let (mut pieces, mut rest) = (Vec::new(), stream);
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(1 + random.below(1 + stream.len() / 7)));
            pieces.push(piece);
            rest = more;
        }
        same("split at random", &again(&pieces)?, &whole)?;
    }
    Ok(Kind::Streamed)
}

/// That a failure, or the beginning of an answer, was not taken for an answer.
fn refused<T>(read: omni_llm::error::Result<T>) -> Outcome {
    match read {
        Err(_) => Ok(Kind::Refused),
        Ok(_) => Err("a failure was taken for an answer".to_owned()),
    }
}

fn compare(dialect: Dialect, expected: &Expected, answer: &ChatResponse) -> Outcome<()> {
    same("text", &answer.text(), &expected.text)?;
    same("reasoning", &answer.reasoning(), &expected.reasoning)?;
    let signatures = answer.parts.iter().filter_map(|part| match part {
        Part::Reasoning(thought) => thought.signature.clone().or_else(|| thought.redacted.clone()),
        Part::ToolCall(call) => call.signature.clone(),
        _ => None,
    });
    // Whose they are stands in front.
    let whose = ["gemini:", "openai:", "mistral:"];
    let bare = |proof: String| whose.iter().find_map(|whose| proof.strip_prefix(whose)).unwrap_or(&proof).to_owned();
    same("signatures", &signatures.map(bare).collect::<Vec<_>>(), &expected.signatures)?;
    let citations = answer.parts.iter().filter_map(|part| match part {
        Part::Citation(raw) => Some(raw.value.to_string()),
        _ => None,
    });
    same("citations", &citations.collect::<Vec<_>>(), &expected.citations)?;
    let raws = answer.parts.iter().filter(|part| matches!(part, Part::Raw(raw) if raw.dialect == "bedrock"));
    same("blocks of Bedrock's own", &raws.count(), &expected.raws)?;
    same("refusal", &answer.parts.iter().any(|part| matches!(part, Part::Refusal(_))), &expected.refused)?;
    let arguments = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    let calls = answer.tool_calls().map(|call| (call.name.clone(), arguments(&call.arguments)));
    same("tool calls", &calls.collect::<Vec<(String, Value)>>(), &expected.calls)?;
    let ids: Vec<&str> = answer.tool_calls().map(|call| call.id.as_str()).collect();
    for (at, (id, expected)) in ids.iter().zip(&expected.ids).enumerate() {
        // Where none came, or one that another call has, one is made.
        let is_taken = ids[..at].contains(&expected.as_str());
        holds("a call has an id of its own", !id.is_empty() && !ids[..at].contains(id))?;
        if !expected.is_empty() && !is_taken {
            same("id", *id, expected)?;
        }
    }
    let usage = answer.usage.unwrap_or_default();
    let told = answer.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens));
    same("prompt and completion tokens", &told, &expected.tokens)?;
    let parts = Parts {
        read: usage.cache_read_tokens,
        written: usage.cache_write_tokens,
        written_1h: usage.cache_write_1h_tokens,
        reasoning: usage.reasoning_tokens,
    };
    same("cached and reasoning tokens", &parts, &expected.parts)?;
    holds("no more is cached than was sent", parts.read + parts.written <= usage.prompt_tokens)?;
    holds("no more is thought than was answered", parts.reasoning <= usage.completion_tokens)?;
    for (name, value) in &expected.extra {
        same(name, &answer.extra.get(name), &Some(value))?;
    }
    if let Some(model) = &expected.model {
        same("model", &answer.model, model)?;
    }
    if let Some(finish) = finish::reason(dialect, expected) {
        same("finish reason", &answer.finish_reason, &finish)?;
    }
    same("the answer as events", &fold(&unfold(answer.clone())), answer)
}
