//! What happens when a provider is busy, slow, gone or left: against a real socket that plays a part.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use omni_llm::app::App;
use omni_llm::chat::{ChatEvent, ChatRequest, Media, Message, Part as MessagePart, Role, Source, Trace};
use omni_llm::config::{Config, Endpoint, Secret};
use omni_llm::error::{Code, Result};
use omni_llm::net::Client;
use omni_llm::provider::Provider;
use omni_llm::provider::embed::{EmbedRequest, Input, Side};
use omni_llm::rag::{self, Answer, Piece, Question};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::support::provider;

/// What a server does with one request.
enum Part {
    /// A whole answer: status, further header lines, body.
    Whole(u16, &'static str, String),
    /// A streamed one: pieces, and what follows them.
    Stream(Vec<&'static str>, Then),
    /// A streamed one that does not say so: a line of its head, or nothing, and its body.
    Untold(&'static str, String),
    /// Never a byte.
    Silence,
    /// Another part, so many milliseconds later.
    Slow(u64, Box<Self>),
    /// The connection ends before the answer.
    Reset,
}

enum Then {
    /// The end of the body.
    End,
    /// The connection breaks.
    Cut,
    /// Nothing, for ever.
    Silence,
}

/// A server that plays its parts in turn, and what it saw.
struct Mock {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    left: Arc<Mutex<Option<Instant>>>,
}

impl Mock {
    async fn new(parts: Vec<Part>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let parts = Arc::new(Mutex::new(VecDeque::from(parts)));
        let (seen, left) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let mock = Self { url, seen: Arc::clone(&seen), left: Arc::clone(&left) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (parts, seen, left) = (Arc::clone(&parts), Arc::clone(&seen), Arc::clone(&left));
                tokio::spawn(async move {
                    play(socket, &parts, &seen, &left).await;
                });
            }
        });
        mock
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn provider(&self) -> Provider {
        provider("custom", Some(&self.url))
    }
}

async fn play(mut socket: TcpStream, parts: &Mutex<VecDeque<Part>>, seen: &Mutex<Vec<String>>, left: &Mutex<Option<Instant>>) {
    let Some(request) = read(&mut socket).await else { return };
    seen.lock().unwrap().push(request);
    let mut part = parts.lock().unwrap().pop_front().expect("one request too many");
    if let Part::Slow(wait_ms, later) = part {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        part = *later;
    }
    match part {
        Part::Whole(status, headers, body) => {
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
        Part::Stream(pieces, then) => {
            let _ = socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            for piece in pieces {
                let _ = socket.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await;
            }
            match then {
                Then::End => {
                    let _ = socket.write_all(b"0\r\n\r\n").await;
                }
                Then::Cut => {}
                Then::Silence => wait(&mut socket, left).await,
            }
        }
        Part::Untold(head, body) => {
            let _ = socket.write_all(format!("HTTP/1.1 200 OK\r\n{head}connection: close\r\n\r\n{body}").as_bytes()).await;
        }
        Part::Silence => wait(&mut socket, left).await,
        Part::Slow(..) | Part::Reset => {}
    }
}

/// Until the other side leaves.
async fn wait(socket: &mut TcpStream, left: &Mutex<Option<Instant>>) {
    let mut byte = [0];
    let _ = socket.read(&mut byte).await;
    *left.lock().unwrap() = Some(Instant::now());
}

async fn read(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

fn client(change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::default();
    config.limits.first_token_timeout_s = 1;
    config.limits.stream_idle_timeout_s = 1;
    change(&mut config);
    Client::new(&config)
}

fn hi() -> ChatRequest {
    ChatRequest { model: "m".into(), messages: vec![Message::text(Role::User, "hi")], ..ChatRequest::default() }
}

/// A gateway whose providers are played, and that asks each of them once.
fn app(mocks: &[(&str, &Mock)]) -> Arc<App> {
    patient(0, mocks)
}

/// One that asks again, so many times.
fn patient(retries: u32, mocks: &[(&str, &Mock)]) -> Arc<App> {
    let mut config = Config::default();
    config.generation.retries = retries;
    for (name, mock) in mocks {
        let (api_key, base_url) = (Some(Secret::new("test-key-1")), Some(mock.url.clone()));
        config.providers.insert((*name).to_owned(), Endpoint { api_key, base_url, ..Endpoint::default() });
    }
    Arc::new(App::open(config).unwrap())
}

/// For the first of these, as `provider/model`, the others standing in.
fn question(links: &[&str], request: ChatRequest) -> Question {
    let (provider, model) = links[0].split_once('/').unwrap();
    let fallbacks = Some(links[1..].iter().map(|&link| link.to_owned()).collect());
    Question { provider: Some(provider.into()), model: Some(model.into()), fallbacks, request, ..Question::default() }
}

async fn ask(app: &Arc<App>, links: &[&str], request: ChatRequest) -> Result<Answer> {
    rag::answer(app, question(links, request), soon(), None).await
}

/// Who was asked, and how they failed.
fn attempts(answer: &Answer) -> Vec<(&str, Option<&str>)> {
    answer.attempts.iter().map(|attempt| (attempt.provider.as_str(), attempt.code)).collect()
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(20)
}

fn answer(text: &str) -> Part {
    Part::Whole(
        200,
        "",
        json!({"model": "m-1", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).to_string(),
    )
}

fn busy(status: u16, headers: &'static str) -> Part {
    Part::Whole(status, headers, json!({"error": {"message": "busy"}}).to_string())
}

const TEXT: &str = "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"Hello\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const OVERLOADED: &str = "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

#[tokio::test]
async fn attempts_stay_within_the_budget() {
    let mock = Mock::new(vec![busy(503, ""), busy(529, ""), answer("third")]).await;
    let said = mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap();
    assert_eq!((said.text().as_str(), mock.count()), ("third", 3));
    let mock = Mock::new(vec![busy(503, ""), busy(503, ""), busy(503, "")]).await;
    let error = mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap_err();
    assert_eq!((error.code(), error.refusal().status, mock.count()), (Code::Overloaded, Some(503), 3));
    // Broken off, it may have cost something: once more, and no more.
    let mock = Mock::new(vec![Part::Reset, Part::Reset, answer("never")]).await;
    assert_eq!(mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap_err().code(), Code::ProviderError);
    assert_eq!(mock.count(), 2);
    let mock = Mock::new(vec![busy(400, ""), answer("never")]).await;
    assert_eq!(mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap_err().code(), Code::InvalidRequest);
    assert_eq!(mock.count(), 1);
    let mock = Mock::new(vec![busy(503, "x-should-retry: false\r\n"), answer("never")]).await;
    assert!(mock.provider().chat(&client(|_| {}), &hi(), soon()).await.is_err());
    assert_eq!(mock.count(), 1);
    // Not the caller's mistake, or not for good.
    for (status, headers) in [(409, ""), (425, ""), (400, "x-should-retry: true\r\n")] {
        let mock = Mock::new(vec![busy(status, headers), answer("again")]).await;
        assert_eq!(mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap().text(), "again", "{status}");
    }
}

#[tokio::test]
async fn every_exchange_is_listed_and_one_that_may_have_cost_is_counted() {
    for is_stream in [false, true] {
        let last = if is_stream { Part::Stream(vec![TEXT, END], Then::End) } else { answer("third") };
        let mock = Mock::new(vec![busy(429, "retry-after-ms: 1\r\n"), busy(500, ""), last]).await;
        let app = patient(2, &[("custom", &mock)]);
        let said = if is_stream {
            let pieces = rag::stream(&app, question(&["custom/a"], hi()), soon(), None).await.unwrap();
            let Some(Ok(Piece::Done(answer))) = pieces.collect::<Vec<_>>().await.pop() else { panic!("no end") };
            *answer
        } else {
            ask(&app, &["custom/a"], hi()).await.unwrap()
        };
        let rows: Vec<_> = said.attempts.iter().map(|attempt| (attempt.code, attempt.status)).collect();
        assert_eq!(rows, [(Some("RATE_LIMIT"), Some(429)), (Some("PROVIDER_ERROR"), Some(500)), (None, None)]);
        assert_eq!(app.prices().unknown_count(), 2, "the second failure, and the answer of a model without a price");
    }
}

#[tokio::test]
async fn what_is_left_is_counted() {
    for (part, is_stream) in [(Part::Silence, false), (Part::Stream(vec![TEXT], Then::Silence), true)] {
        let mock = Mock::new(vec![part]).await;
        let app = app(&[("custom", &mock)]);
        let asked = question(&["custom/a"], hi());
        if is_stream {
            let mut pieces = Box::pin(rag::stream(&app, asked, soon(), None).await.unwrap());
            while !matches!(pieces.next().await, Some(Ok(Piece::Event(ChatEvent::Text(_))))) {}
        } else {
            let left = tokio::time::timeout(Duration::from_millis(200), rag::answer(&app, asked, soon(), None)).await;
            assert!(left.is_err());
        }
        assert_eq!(app.prices().unknown_count(), 1);
    }
}

#[tokio::test]
async fn the_wait_that_a_provider_asks_for_is_kept_or_told() {
    let mock = Mock::new(vec![busy(429, "retry-after-ms: 300\r\n"), answer("later")]).await;
    let began = Instant::now();
    assert_eq!(mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap().text(), "later");
    assert!((300..1000).contains(&began.elapsed().as_millis()), "not rounded to a second");
    let mock = Mock::new(vec![busy(429, "retry-after: 60\r\n"), answer("never")]).await;
    let error = mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap_err();
    assert_eq!((error.code(), error.retry_after_seconds(), mock.count()), (Code::RateLimit, Some(60), 1));
    assert_eq!((error.provider(), error.model()), (Some("custom"), Some("m")));
}

#[tokio::test]
async fn whoever_stands_behind_does_not_wait_as_long_as_the_first_is_asked_to() {
    for is_stream in [false, true] {
        let first = Mock::new(vec![busy(429, "retry-after: 6\r\n"), answer("never")]).await;
        let last = if is_stream { Part::Stream(vec![TEXT, END], Then::End) } else { answer("Hello") };
        let second = Mock::new(vec![busy(429, "retry-after: 2\r\n"), last]).await;
        let app = patient(2, &[("custom", &first), ("groq", &second)]);
        let (began, links) = (Instant::now(), ["custom/a", "groq/b"]);
        let said = if is_stream {
            let pieces = rag::stream(&app, question(&links, hi()), soon(), None).await.unwrap();
            let Some(Ok(Piece::Done(answer))) = pieces.collect::<Vec<_>>().await.pop() else { panic!("no end") };
            *answer
        } else {
            ask(&app, &links, hi()).await.unwrap()
        };
        assert_eq!((said.content.as_str(), said.provider.as_str(), first.count(), second.count()), ("Hello", "groq", 1, 2));
        let took = began.elapsed().as_secs();
        assert!((2..6).contains(&took), "behind the last one nobody stands: {took} s");
    }
}

#[tokio::test]
async fn nothing_is_repeated_after_content() {
    for then in [Then::Cut, Then::End] {
        let mock = Mock::new(vec![Part::Stream(vec![TEXT], then), answer("never")]).await;
        let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
        let (last, before) = events.split_last().unwrap();
        assert!(before.iter().any(|event| matches!(event, Ok(ChatEvent::Text(text)) if text == "Hello")));
        assert_eq!(last.as_ref().unwrap_err().code(), Code::ProviderError, "a cut stream is no answer");
        assert_eq!(mock.count(), 1);
    }
    let mock = Mock::new(vec![Part::Stream(vec![TEXT, OVERLOADED], Then::End), answer("never")]).await;
    let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
    assert_eq!(events.last().unwrap().as_ref().unwrap_err().code(), Code::Overloaded);
    assert_eq!(mock.count(), 1);
}

#[tokio::test]
async fn content_that_arrives_with_a_failure_is_content() {
    for then in [Then::End, Then::Cut, Then::Silence] {
        let together: &'static str = format!("{TEXT}{OVERLOADED}").leak();
        let mock = Mock::new(vec![Part::Stream(vec![together], then), answer("never")]).await;
        let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
        assert!(events.iter().any(|event| matches!(event, Ok(ChatEvent::Text(text)) if text == "Hello")), "{events:?}");
        assert_eq!(events.last().unwrap().as_ref().unwrap_err().code(), Code::Overloaded);
        assert_eq!(mock.count(), 1, "what was paid for is not asked for again");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_content_moves_on() {
    let first = Mock::new(vec![Part::Stream(vec![": ping\n\n", OVERLOADED], Then::End)]).await;
    let second = Mock::new(vec![Part::Stream(vec![TEXT, END], Then::End)]).await;
    let app = app(&[("custom", &first), ("groq", &second)]);
    let pieces = rag::stream(&app, question(&["custom/a", "groq/b"], hi()), soon(), None).await.unwrap();
    let pieces: Vec<_> = pieces.map(Result::unwrap).collect().await;
    let Some(Piece::Done(answer)) = pieces.last() else { panic!("{pieces:?}") };
    assert_eq!((answer.provider.as_str(), answer.content.as_str()), ("groq", "Hello"));
    assert_eq!(attempts(answer), [("custom", Some("OVERLOADED")), ("groq", None)]);
    assert_eq!(answer.warnings[0], "`provider`: `custom` failed (OVERLOADED): `groq/b` answers; it was changed");
    let sent = second.seen.lock().unwrap()[0].clone();
    assert!(sent.contains("\"model\":\"b\""), "{sent}");
}

/// In the middle of a tool loop, with a thought of the first one's and a field of its own.
fn looping() -> ChatRequest {
    serde_json::from_value(json!({
        "messages": [
            {"role": "user", "parts": [{"text": "What time is it?"}]},
            {"role": "assistant", "parts": [
                {"reasoning": {"text": "Let me think.", "signature": "c2ln"}},
                {"tool_call": {"id": "call_1", "name": "clock", "arguments": "{}"}}]},
            {"role": "tool", "parts": [{"tool_result": {"call_id": "call_1", "content": [{"text": "noon"}]}}]}],
        "tools": [{"name": "clock", "parameters": {"type": "object"}}],
        "reasoning": {"budget_tokens": 2048},
        "sampling": {"max_tokens": 4096},
        "extra": {"inference_geo": "eu"}
    }))
    .unwrap()
}

/// What `model` of Anthropic's gets after `asked` failed, what Anthropic got first, and what the caller is told.
async fn stood_in(asked: &str, model: &str) -> (Value, String, Vec<String>) {
    let said = json!({"type": "message", "model": model, "content": [{"type": "text", "text": "Noon."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1}});
    let first = Mock::new(vec![busy(503, "")]).await;
    let own = asked.starts_with("anthropic/").then(|| busy(503, ""));
    let second = Mock::new(own.into_iter().chain([Part::Whole(200, "", said.to_string())]).collect()).await;
    let app = app(&[("custom", &first), ("anthropic", &second)]);
    let answer = ask(&app, &[asked, &format!("anthropic/{model}")], looping()).await.unwrap();
    let seen = second.seen.lock().unwrap();
    let (_, body) = seen.last().unwrap().split_once("\r\n\r\n").unwrap();
    (serde_json::from_str(body).unwrap(), seen[0].clone(), answer.warnings)
}

#[tokio::test]
async fn one_who_stands_in_within_a_tool_loop_is_not_told_to_think_on_without_its_thoughts() {
    let (body, _, warnings) = stood_in("custom/m", "claude-haiku-4-5").await;
    assert_eq!(body["thinking"], json!({"type": "disabled"}));
    assert_eq!(body["messages"][1]["content"], json!([{"type": "tool_use", "id": "call_1", "name": "clock", "input": {}}]));
    assert_eq!(body.get("inference_geo"), None);
    assert_eq!(
        warnings,
        [
            "`provider`: `custom` failed (OVERLOADED): `anthropic/claude-haiku-4-5` answers, without `inference_geo`, thoughts of another \
             model's; it was changed",
            "`reasoning`: `anthropic/claude-haiku-4-5` needs the thoughts that led to the last tool calls, and the conversation has none \
             of its own; it was left out"
        ]
    );
    // One that thinks as it likes goes on without.
    let (body, _, warnings) = stood_in("custom/m", "claude-opus-5").await;
    assert_eq!((&body["thinking"]["type"], &body["messages"][1]["content"][0]["type"]), (&json!("adaptive"), &json!("tool_use")));
    assert!(warnings.iter().all(|warning| !warning.contains("needs the thoughts")), "{warnings:?}");
}

#[tokio::test]
async fn another_model_of_the_same_provider_gets_its_fields_and_not_the_thoughts() {
    let (body, sent, warnings) = stood_in("anthropic/claude-opus-4-5", "claude-haiku-4-5").await;
    assert_eq!((&body["inference_geo"], &body["thinking"]["type"]), (&json!("eu"), &json!("disabled")));
    assert_eq!(body["messages"][1]["content"][0]["type"], "tool_use");
    let expected = "`provider`: `anthropic` failed (OVERLOADED): `anthropic/claude-haiku-4-5` answers, without thoughts of another \
                    model's; it was changed";
    assert_eq!(warnings[0], expected);
    // The one who thought gets its thought back, and thinks on.
    assert!(sent.contains("\"thinking\":\"Let me think.\"") && sent.contains("\"budget_tokens\":2048"), "{sent}");
}

#[tokio::test]
async fn a_mistake_in_the_request_moves_nowhere() {
    let first = Mock::new(vec![busy(400, "")]).await;
    let second = Mock::new(vec![answer("never")]).await;
    let app = app(&[("custom", &first), ("groq", &second)]);
    let error = ask(&app, &["custom/a", "groq/b"], hi()).await.unwrap_err();
    assert_eq!((error.code(), second.count()), (Code::InvalidRequest, 0));
}

#[tokio::test]
async fn a_model_that_is_not_there_and_a_conflict_move_on() {
    let no_model = json!({"object": "error", "message": "Invalid model: a", "type": "invalid_model", "code": "1500"}).to_string();
    for (part, code) in [(Part::Whole(400, "", no_model), "INVALID_MODEL"), (busy(409, ""), "PROVIDER_ERROR")] {
        let first = Mock::new(vec![part]).await;
        let second = Mock::new(vec![answer("second")]).await;
        let app = app(&[("custom", &first), ("groq", &second)]);
        let answer = ask(&app, &["custom/a", "groq/b"], hi()).await.unwrap();
        assert_eq!(attempts(&answer), [("custom", Some(code)), ("groq", None)]);
    }
}

#[tokio::test]
async fn a_retired_model_that_stands_in_is_said_and_one_with_an_alias_is_not_asked() {
    let first = Mock::new(vec![busy(503, "")]).await;
    let second = Mock::new(vec![answer("second")]).await;
    let answered = ask(&app(&[("custom", &first), ("openai", &second)]), &["custom/a", "openai/gpt-4"], hi()).await.unwrap();
    let said = "`gpt-4`: `openai` ended it on 2026-10-23 and may refuse it; choose another model";
    assert!(answered.warnings.iter().any(|warning| warning == said), "{:?}", answered.warnings);
    let mock = Mock::new(vec![answer("new")]).await;
    let aliases = [("gpt-4".to_owned(), "gpt-5.4".to_owned())].into();
    let endpoint = Endpoint { base_url: Some(mock.url.clone()), aliases, ..Endpoint::default() };
    let config = Config { providers: [("openai".to_owned(), endpoint)].into(), ..Config::default() };
    let answered = ask(&Arc::new(App::open(config).unwrap()), &["openai/gpt-4"], hi()).await.unwrap();
    assert_eq!(answered.warnings[0], "`gpt-4`: the operator has `openai/gpt-5.4` asked in its place");
    assert!(mock.seen.lock().unwrap()[0].contains("\"model\":\"gpt-5.4\"") && answered.warnings.len() == 1);
}

#[tokio::test]
async fn one_who_stands_in_and_cannot_take_the_request_is_passed_over() {
    let picture = Source::Base64 { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() };
    let mut request = hi();
    request.messages[0].parts.push(MessagePart::Image(Media::of(picture)));
    let blind = "cohere/command-r7b";
    let never = Mock::new(vec![]).await;
    for is_last_good in [true, false] {
        let first = Mock::new(vec![busy(503, "")]).await;
        let last = Mock::new(vec![if is_last_good { answer("I see") } else { busy(500, "") }]).await;
        let app = app(&[("custom", &first), ("cohere", &never), ("groq", &last)]);
        let outcome = ask(&app, &["custom/a", blind, "groq/c"], request.clone()).await;
        if is_last_good {
            let answer = outcome.unwrap();
            assert_eq!(attempts(&answer), [("custom", Some("OVERLOADED")), ("groq", None)], "only those who were asked");
            assert!(answer.warnings[0].starts_with("`provider`: `custom` failed (OVERLOADED): `groq/c` answers"));
        } else {
            assert_eq!(outcome.unwrap_err().code(), Code::Overloaded, "what befell whoever was named");
        }
    }
    // To whoever was named it is a mistake.
    let app = app(&[("cohere", &never), ("groq", &never)]);
    let error = ask(&app, &[blind, "groq/b"], request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidRequest);
}

#[tokio::test]
async fn answers_that_break_off_are_failures_too() {
    let first = Mock::new((0..3).map(|_| Part::Stream(vec![TEXT], Then::Cut)).collect()).await;
    let second = Mock::new(vec![Part::Stream(vec![TEXT, END], Then::End)]).await;
    let app = app(&[("custom", &first), ("groq", &second)]);
    for round in 0..4 {
        let pieces = rag::stream(&app, question(&["custom/a", "groq/b"], hi()), soon(), None).await.unwrap();
        let pieces: Vec<_> = pieces.collect().await;
        let Ok(Piece::Start { provider, .. }) = &pieces[0] else { panic!("{pieces:?}") };
        let expected = if round < 3 { (true, "custom") } else { (false, "groq") };
        assert_eq!((pieces.last().unwrap().is_err(), provider.as_str()), expected);
    }
}

#[tokio::test]
async fn an_answer_of_no_use_is_paid_for_twice_at_most() {
    let spoilt = || Part::Whole(400, "", json!({"error": {"message": "x", "code": "tool_use_failed"}}).to_string());
    let mock = Mock::new(vec![spoilt(), spoilt(), answer("never")]).await;
    let client = client(|config| config.generation.retries = 5);
    assert_eq!(mock.provider().chat(&client, &hi(), soon()).await.unwrap_err().code(), Code::ModelOutput);
    assert_eq!(mock.count(), 2);
}

#[tokio::test]
async fn where_the_operator_wants_it_a_slow_request_is_sent_once_more() {
    let hedging = |mock: &Mock, after_ms: u64| {
        let mut config = Config::default();
        (config.generation.retries, config.generation.hedge_after_ms) = (0, Some(after_ms));
        let endpoint = Endpoint { base_url: Some(mock.url.clone()), ..Endpoint::default() };
        config.providers.insert("custom".into(), endpoint);
        Arc::new(App::open(config).unwrap())
    };
    let cases = [
        (vec![Part::Silence, answer("b")], Ok("b"), vec![Some("OVERTAKEN"), None]),
        (vec![answer("a")], Ok("a"), vec![None]),
        (vec![busy(503, "")], Err(Code::Overloaded), vec![]),
        // Both are out, and a failure of one leaves the other.
        (vec![Part::Slow(200, Box::new(answer("a"))), busy(503, "")], Ok("a"), vec![Some("OVERLOADED"), None]),
        (
            vec![Part::Slow(200, Box::new(busy(503, ""))), Part::Slow(300, Box::new(answer("b")))],
            Ok("b"),
            vec![Some("OVERLOADED"), None],
        ),
        (vec![Part::Slow(200, Box::new(busy(503, ""))), busy(429, "")], Err(Code::Overloaded), vec![]),
    ];
    for (parts, expected, codes) in cases {
        let count = parts.len();
        let mock = Mock::new(parts).await;
        // Whoever is not to be overtaken has time on a slow machine, too.
        let after_ms = if count == 1 { 5000 } else { 50 };
        let told = ask(&hedging(&mock, after_ms), &["custom/m"], hi()).await;
        assert_eq!(told.as_ref().map(|answer| answer.content.as_str()).map_err(omni_llm::error::Error::code), expected);
        let told: Vec<_> = told.iter().flat_map(attempts).map(|(_, code)| code).collect();
        assert_eq!(told, codes);
        assert_eq!(mock.count(), count);
    }
    let mock = Mock::new(vec![Part::Stream(vec![], Then::Silence), Part::Stream(vec![TEXT, END], Then::End)]).await;
    let events = rag::stream(&hedging(&mock, 50), question(&["custom/m"], hi()), soon(), None).await.unwrap();
    let pieces: Vec<_> = events.collect().await;
    let Some(Ok(Piece::Done(done))) = pieces.last() else { panic!("{pieces:?}") };
    assert_eq!((done.content.as_str(), attempts(done)), ("Hello", vec![("custom", Some("OVERTAKEN")), ("custom", None)]));
    // Who was overtaken is left.
    while mock.left.lock().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stream_ends_when_whoever_asks_stops_waiting() {
    let many = std::iter::repeat_n(TEXT, 60_000).collect();
    for part in [Part::Stream(vec![TEXT], Then::Silence), Part::Stream(many, Then::Silence)] {
        let mock = Mock::new(vec![part]).await;
        let end = tokio::time::Instant::now() + Duration::from_secs(1);
        let client = client(|config| config.limits.stream_idle_timeout_s = 30).ending(Some(end));
        let events = mock.provider().stream(&client, &hi(), end).await.unwrap();
        let events: Vec<_> = events.collect().await;
        let error = events.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(error.message().starts_with("the streamed answer did not end in time; ask for less, or raise "), "{error}");
        assert!(end.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_passed_over() {
    let first = Mock::new(vec![busy(500, ""), busy(500, ""), busy(500, "")]).await;
    let second = Mock::new((0..4).map(|_| answer("second")).collect()).await;
    let app = app(&[("custom", &first), ("groq", &second)]);
    for round in 0..4 {
        let answer = ask(&app, &["custom/a", "groq/b"], hi()).await.unwrap();
        assert_eq!((answer.content.as_str(), answer.provider.as_str()), ("second", "groq"), "{round}");
    }
    assert_eq!(first.count(), 3, "the fourth request does not ask it");
}

#[tokio::test]
async fn a_model_that_is_busy_is_passed_over_and_the_others_of_its_provider_are_not() {
    let first = Mock::new(vec![busy(429, "retry-after: 60\r\n"), answer("first")]).await;
    let second = Mock::new(vec![answer("second"), answer("second")]).await;
    let app = app(&[("custom", &first), ("groq", &second)]);
    for (named, expected) in [("custom/a", "second"), ("custom/a", "second"), ("custom/b", "first")] {
        assert_eq!(ask(&app, &[named, "groq/c"], hi()).await.unwrap().content, expected, "{named}");
    }
    assert_eq!((first.count(), second.count()), (2, 2));
}

#[tokio::test]
async fn whoever_was_named_first_is_not_said_to_be_asked_without_anything() {
    let first = Mock::new(vec![busy(500, ""), busy(500, ""), busy(500, ""), answer("first")]).await;
    let second = Mock::new(vec![answer("second"), answer("second"), answer("second"), busy(500, "")]).await;
    let app = app(&[("custom", &first), ("groq", &second)]);
    let links = ["custom/a", "groq/b"];
    for _ in 0..3 {
        let warnings = ask(&app, &links, looping()).await.unwrap().warnings;
        assert!(warnings[0].contains("thoughts of another model's"), "{warnings:?}");
    }
    // By now it is asked last.
    let answer = ask(&app, &links, looping()).await.unwrap();
    assert_eq!((answer.content.as_str(), answer.provider.as_str()), ("first", "custom"));
    assert!(answer.warnings[0].ends_with("`custom/a` answers; it was changed"), "{:?}", answer.warnings);
}

#[tokio::test]
async fn an_answer_that_is_spoken_has_begun_with_its_first_sound() {
    let sound = "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"audio\":{\"id\":\"a\",\"data\":\"AQID\"}}}]}\n\n";
    let mock = Mock::new(vec![Part::Stream(vec![sound], Then::Silence)]).await;
    let events = mock.provider().stream(&client(|config| config.generation.retries = 0), &hi(), soon()).await.unwrap();
    let told: Vec<_> = events.collect().await;
    assert!(told.iter().any(|event| matches!(event, Ok(ChatEvent::Extra(name, _)) if name == "audio")), "{told:?}");
}

#[tokio::test]
async fn silence_ends_the_call_before_and_after_the_first_content() {
    let client = client(|config| config.generation.retries = 0);
    for part in [Part::Silence, Part::Stream(vec![": ping\n\n"], Then::Silence)] {
        let mock = Mock::new(vec![part]).await;
        let began = Instant::now();
        let error = mock.provider().stream(&client, &hi(), soon()).await.err().unwrap();
        assert_eq!(error.code(), Code::Timeout);
        assert!(error.message().contains("`limits.first_token_timeout_s`") && error.is_final(), "{error}");
        let took = began.elapsed().as_millis();
        assert!((900..3000).contains(&took), "{took} ms");
    }
    let mock = Mock::new(vec![Part::Stream(vec![TEXT], Then::Silence)]).await;
    let mut events = mock.provider().stream(&client, &hi(), soon()).await.unwrap();
    let began = Instant::now();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert_eq!(last.unwrap().unwrap_err().code(), Code::Timeout);
    let took = began.elapsed().as_millis();
    assert!((900..3000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_call() {
    let mock = Mock::new(vec![Part::Stream(vec![TEXT], Then::Silence)]).await;
    let client = client(|config| config.limits.stream_idle_timeout_s = 30);
    let mut events = mock.provider().stream(&client, &hi(), soon()).await.unwrap();
    while !matches!(events.next().await, Some(Ok(ChatEvent::Text(_)))) {}
    let began = Instant::now();
    drop(events);
    while mock.left.lock().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(1), "the upstream runs on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_end_of_an_answer_is_the_end_even_where_the_connection_stays() {
    let mock = Mock::new(vec![Part::Stream(vec![TEXT, END], Then::Silence)]).await;
    let (began, client) = (Instant::now(), client(|config| config.limits.stream_idle_timeout_s = 15));
    let events: Vec<_> = mock.provider().stream(&client, &hi(), soon()).await.unwrap().collect().await;
    assert!(matches!(events.last(), Some(Ok(ChatEvent::Finish(_)))));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_answer_that_has_ended_is_whole_however_its_connection_ends() {
    for then in [Then::Cut, Then::Silence] {
        let mock = Mock::new(vec![Part::Stream(vec![TEXT, FINISH], then)]).await;
        let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
        assert!(matches!(events.last(), Some(Ok(ChatEvent::Finish(_)))), "{events:?}");
    }
    let failure = "{\"error\": {\"message\": \"Slow down.\", \"code\": 429}}\n";
    for pieces in [vec![TEXT, failure], vec![TEXT, FINISH, failure]] {
        let mock = Mock::new(vec![Part::Stream(pieces, Then::Cut)]).await;
        let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
        assert_eq!(events.last().unwrap().as_ref().unwrap_err().code(), Code::RateLimit, "but what was told is not lost");
    }
}

#[tokio::test]
async fn a_stream_is_one_whatever_its_head_says() {
    for head in ["", "content-type: text/plain\r\n", "content-type: application/octet-stream\r\n"] {
        for before in ["", "\u{feff}: hello\n\n"] {
            let mock = Mock::new(vec![Part::Untold(head, format!("{before}{TEXT}{END}"))]).await;
            let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
            let text = |event: &_| matches!(event, Ok(ChatEvent::Text(text)) if text == "Hello");
            assert!(events.iter().any(text) && matches!(events.last(), Some(Ok(ChatEvent::Finish(_)))), "{head}: {events:?}");
        }
        let whole = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}).to_string();
        let mock = Mock::new(vec![Part::Untold(head, whole)]).await;
        let events: Vec<_> = mock.provider().stream(&client(|_| {}), &hi(), soon()).await.unwrap().collect().await;
        assert!(matches!(events.last(), Some(Ok(ChatEvent::Finish(_)))), "{head}: {events:?}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_by_what_it_is() {
    let once = || client(|config| config.generation.retries = 0);
    let page = "<!doctype html>\n<title>Welcome</title>";
    let compressed = "`custom` sent its answer as `gzip`, which was not asked for; does a proxy in front of it compress?";
    for (head, body, expected) in [
        (
            "content-type: text/html; charset=utf-8\r\n",
            page,
            "`custom` answered with `text/html` and not JSON; is `CUSTOM_BASE_URL` right?",
        ),
        ("content-type: text/html\r\n", "oops", "the provider's answer cannot be read: line 1 column 1"),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", "\u{1f}", compressed),
        ("content-type: text/event-stream\r\ncontent-encoding: gzip\r\n", "\u{1f}", compressed),
    ] {
        let mock = Mock::new(vec![Part::Untold(head, body.into()), Part::Untold(head, body.into())]).await;
        let whole = mock.provider().chat(&once(), &hi(), soon()).await.unwrap_err();
        let Err(streamed) = mock.provider().stream(&once(), &hi(), soon()).await else { panic!("{head}") };
        for error in [whole, streamed] {
            assert_eq!((error.code(), error.message()), (Code::ProviderError, expected), "{head}");
        }
        assert!(mock.seen.lock().unwrap().iter().all(|sent| sent.contains("accept-encoding: identity\r\n")));
    }
    // A stream's end is not waited for.
    let head = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: 99\r\n";
    let mock = Mock::new(vec![Part::Untold(head, "\u{1f}".into())]).await;
    let error = mock.provider().stream(&once(), &hi(), soon()).await.err().unwrap();
    assert_eq!(error.message(), compressed);
    let whole = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}).to_string();
    let mock = Mock::new(vec![Part::Untold("content-type: text/html\r\n", whole)]).await;
    assert_eq!(mock.provider().chat(&once(), &hi(), soon()).await.unwrap().text(), "a", "some servers call everything a page");
}

#[tokio::test]
async fn a_key_follows_no_redirect_and_leaves_for_no_other_host() {
    let other = Mock::new(vec![]).await;
    let to: &'static str = Box::leak(format!("location: {}/chat/completions\r\n", other.url).into_boxed_str());
    for status in [301, 302, 307, 308] {
        let mock = Mock::new(vec![Part::Whole(status, to, "{}".into())]).await;
        let error = mock.provider().chat(&client(|_| {}), &hi(), soon()).await.unwrap_err();
        assert_eq!((error.code(), error.refusal().status), (Code::ProviderError, Some(status)));
    }
    assert_eq!(other.count(), 0);
    let closed = client(|config| config.net.allowed_hosts = vec!["api.openai.com".into(), "*.amazonaws.com".into()]);
    let mock = Mock::new(vec![answer("never")]).await;
    let error = mock.provider().chat(&closed, &hi(), soon()).await.unwrap_err();
    assert_eq!(error.message(), "the operator does not allow calls to this provider's host; the log names it");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "`127.0.0.1` is not among `net.allowed_hosts`");
    assert_eq!(mock.count(), 0);
}

#[tokio::test]
async fn no_key_is_in_any_text() {
    let told =
        json!({"error": {"message": "you sent `Authorization: Bearer test-key-1`, that is test-key-1", "code": "x-test-key-1"}})
            .to_string();
    let client = client(|config| config.generation.retries = 0);
    let hides = |error: &omni_llm::error::Error| {
        let text = format!("{error} {error:?} {:?} {:?}", error.refusal(), error.details());
        assert!(!text.contains("test-key"), "{text}");
    };
    for status in [400, 401, 402, 404, 500, 529] {
        let mock =
            Mock::new((0..3).map(|_| Part::Whole(status, "x-request-id: of-test-key-1\r\n", told.clone())).collect()).await;
        let provider = mock.provider();
        hides(&provider.chat(&client, &hi(), soon()).await.unwrap_err());
        hides(&provider.stream(&client, &hi(), soon()).await.err().unwrap());
        let request = EmbedRequest {
            model: "m".into(),
            inputs: vec![Input::Text("x".into())],
            purpose: Side::Query,
            dimensions: None,
            truncate: false,
            user: None,
            trace: Trace::default(),
        };
        hides(&provider.embed(&client, &request, soon()).await.unwrap_err());
        assert!(mock.seen.lock().unwrap()[0].contains("authorization: Bearer test-key"));
        assert!(!format!("{provider:?}").contains("test-key"));
    }
    let inside: &'static str = format!("data: {told}\n\n").leak();
    for pieces in [vec![inside], vec![TEXT, inside]] {
        let mock = Mock::new(vec![Part::Stream(pieces, Then::End)]).await;
        match mock.provider().stream(&client, &hi(), soon()).await {
            Ok(events) => hides(events.collect::<Vec<_>>().await.last().unwrap().as_ref().unwrap_err()),
            Err(error) => hides(&error),
        }
    }
    // Cut in the middle of it.
    let long = json!({"error": {"message": format!("{}long-hidden-key-1", "x".repeat(490))}}).to_string();
    let mock = Mock::new(vec![Part::Whole(400, "", long)]).await;
    let error =
        super::support::keyed("custom", Some(&mock.url), "long-hidden-key-1").chat(&client, &hi(), soon()).await.unwrap_err();
    assert!(error.message().ends_with("x(key)"), "{error}");
}

#[tokio::test]
async fn tokens_that_are_counted_again_leave_a_trace() {
    let counted = Part::Whole(200, "", json!({"input_tokens": 3}).to_string());
    let mock = Mock::new(vec![busy(429, "retry-after-ms: 1\r\n"), counted]).await;
    let request = hi();
    let told = provider("anthropic", Some(&mock.url)).count_tokens(&client(|_| {}), &request, soon()).await.unwrap();
    assert_eq!(told["input_tokens"], 3);
    assert_eq!(request.trace.take_failed().len(), 1);
}

#[tokio::test]
async fn vectors_keep_the_order_of_their_texts() {
    let rows = |from: usize, count: usize| {
        let rows: Vec<Value> = (from..from + count).map(|at| json!([at as f64 + 0.5])).collect();
        Part::Whole(
            200,
            "",
            json!({"embeddings": {"float": rows}, "meta": {"billed_units": {"input_tokens": count}}}).to_string(),
        )
    };
    let mock = Mock::new(vec![rows(0, 96), busy(429, "retry-after-ms: 1\r\n"), rows(96, 4)]).await;
    let provider = provider("cohere", Some(&mock.url));
    let inputs = (0..100).map(|at| Input::Text(format!("text {at}"))).collect();
    let request = EmbedRequest {
        model: "embed-v4.0".into(),
        inputs,
        purpose: Side::Query,
        dimensions: None,
        truncate: false,
        user: None,
        trace: Trace::default(),
    };
    let said = provider.embed(&client(|_| {}), &request, soon()).await.unwrap();
    assert_eq!((said.vectors.len(), said.vectors[99][0], said.prompt_tokens), (100, 99.5, Some(100)));
    let absurd =
        |count: usize| json!({"embeddings": {"float": vec![[1.0]; count]}, "meta": {"billed_units": {"input_tokens": 1e30}}});
    let many = Mock::new([96, 4].map(|count| Part::Whole(200, "", absurd(count).to_string())).into()).await;
    let said = super::support::provider("cohere", Some(&many.url)).embed(&client(|_| {}), &request, soon()).await.unwrap();
    assert_eq!(said.prompt_tokens, Some(u64::MAX));
    assert!(mock.seen.lock().unwrap().iter().all(|request| request.contains("\"input_type\":\"search_query\"")));
    let uncounted = Part::Whole(200, "", json!({"embeddings": {"float": vec![[1.0]; 4]}}).to_string());
    let half = Mock::new(vec![rows(0, 96), uncounted]).await;
    let said = super::support::provider("cohere", Some(&half.url)).embed(&client(|_| {}), &request, soon()).await.unwrap();
    assert_eq!(said.prompt_tokens, None, "a part of the tokens is not their number");
    let refused = Mock::new(vec![rows(0, 96), busy(400, "")]).await;
    super::support::provider("cohere", Some(&refused.url)).embed(&client(|_| {}), &request, soon()).await.unwrap_err();
    let costs: Vec<bool> = request.trace.take_failed().iter().map(|failed| failed.may_have_cost).collect();
    assert_eq!(costs, [false, false, true], "busy, refused, and what came before that has to be paid for");
    let short = Mock::new(vec![rows(0, 1)]).await;
    let request = EmbedRequest { inputs: ["a", "b"].map(|text| Input::Text(text.into())).to_vec(), ..request };
    let error = super::support::provider("cohere", Some(&short.url)).embed(&client(|_| {}), &request, soon()).await.unwrap_err();
    assert_eq!(error.message(), "the provider gave 1 vectors for 2 texts");
}
