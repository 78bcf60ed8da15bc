//! `omni-llm` as a process: what it prints, and what it says where something is wrong.

#[path = "../support/command.rs"]
mod process;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::index;

fn omni_llm(folder: &Path) -> Command {
    let mut command = process::command(env!("CARGO_BIN_EXE_omni-llm"));
    command.current_dir(folder);
    command
}

/// Runs it in a folder of its own that holds the test index.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(folder.path(), arguments, variables).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    index(folder);
    let mut command = omni_llm(folder);
    command.envs(variables.iter().copied()).args(arguments);
    command
}

fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(arguments, variables);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn answers_and_hits_are_printed_as_the_service_gives_them() {
    let json = |arguments: &[&str]| serde_json::from_str::<Value>(&printed(arguments)).unwrap();
    let found = json(&["search", "zebra", "--json"]);
    assert_eq!((&found["success"], &found["hits"][0]["source"]), (&true.into(), &"private.txt".into()), "{found}");
    assert_eq!(found["hits"][0]["metadata"]["author"], "Ada");
    let answer = json(&["ask", "Where do zebras sleep?", "--json"]);
    assert_eq!((&answer["metadata"]["provider"], &answer["success"]), (&"extractive".into(), &true.into()), "{answer}");
    assert!(printed(&["search", "zebra", "--filter", r#"title="Title of private.txt""#]).contains("private.txt"));
    assert_eq!(printed(&["search", "zebra", "--filter", "author!=Ada"]), "nothing found\n");
    assert!(printed(&["search", "where", "zebras", "sleep", "-k", "1"]).contains("private.txt"));
    let answer = json(&["ask", "where", "do", "--json", "zebras", "sleep"]);
    assert_eq!(answer["success"], true, "{answer}");
    assert!(printed(&["ask", "--help"]).contains("`anthropic`, `bedrock`"));
}

#[test]
fn what_is_wrong_is_said_by_the_name_it_was_given_under() {
    let none = &[][..];
    assert_eq!(
        refused(&["ask", "x", "--provider", "openai"], none),
        "omni-llm: `--provider`: `openai` needs a key; set `OPENAI_API_KEY`\n"
    );
    // Nobody asks whom the variable names.
    let other = [("OMNI_PROVIDER", "openai")];
    assert!(refused(&["ask", "x", "--provider", "custom"], &other).contains("`--provider`: `custom` has no address"));
    assert!(refused(&["ask", "x"], &other).contains("`OMNI_PROVIDER`: `openai` needs a key"));
    let blank = refused(&["ask", " "], none);
    assert!(blank.contains("invalid value ' ' for '<QUESTION>...': empty; write the question"), "{blank}");
    for addr in [":8080", "8080", "localhost"] {
        let said = refused(&["serve", "--addr", addr], none);
        assert!(said.contains("is not a host and a port, as in `127.0.0.1:8080`, or `0.0.0.0:8080`"), "{said}");
    }
    let said = refused(&["search", "x"], &[("OMNI_RERANKER", "nope")]);
    assert!(said.starts_with("omni-llm: nope: no such model; pack a cross-encoder with `index-builder model --from"), "{said}");
    for command in ["ask", "search"] {
        let said = refused(&[command, "x", "--index", "a.omni", "--index", "b.omni"], none);
        assert!(said.starts_with("error: the argument '--index <PATH>' cannot be used multiple times"), "{said}");
    }
    let page = answering("<html>\n<title>Elsewhere</title>".to_owned());
    let said = refused(&["health", "--addr", &page.to_string()], none);
    let expected = "/healthz: status 200: <html>; this is another service: name the address of ours with `--addr`\n";
    assert!(said.ends_with(expected), "{said}");
    let said = refused(&["search", "x", "--model", "nope"], none);
    assert!(said.starts_with("omni-llm: nope: no such model; get the model with `index-builder model`"), "{said}");
}

#[test]
fn without_an_index_it_is_said_where_one_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["search", "ask"] {
        let output = omni_llm(folder.path()).args([command, "x"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("omni-llm: no index is here; name one with `--index`, or make one: `index-builder build"),
            "{said}"
        );
    }
}

#[test]
fn whoever_reads_the_log_sees_what_was_opened_and_why_it_did_not_start() {
    let lines = |arguments: &[&str]| -> Vec<Value> {
        refused(arguments, &[]).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let lambda = lines(&["lambda"]);
    let [opened, warned, failed] = lambda.as_slice() else { panic!("{lambda:?}") };
    assert_eq!((&opened["message"], &opened["index"], &opened["chunks"]), (&"opened".into(), &"kb".into(), &4.into()));
    assert!(opened["digest"].as_str().unwrap().len() > 10);
    assert_eq!(warned["level"], "WARN");
    assert!(failed["message"].as_str().unwrap().starts_with("not in Lambda: `AWS_LAMBDA_RUNTIME_API`, "), "{failed}");
    for arguments in [&["serve", "--index", "nope"][..], &["--config", "nope", "lambda"]] {
        let failed = lines(arguments).pop().unwrap();
        assert_eq!((&failed["level"], failed["timestamp"].is_string()), (&"ERROR".into(), true), "{failed}");
        assert!(failed["message"].as_str().unwrap().starts_with("nope: "), "{failed}");
    }
}

#[test]
fn a_provider_that_cannot_be_reached_is_named_with_the_cause() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base_url = format!("http://127.0.0.1:{port}/v1");
    let variables = [("CUSTOM_BASE_URL", base_url.as_str()), ("OMNI_RETRIES", "0"), ("OMNI_FALLBACK_EXTRACTIVE", "false")];
    let said = refused(&["ask", "x", "--provider", "custom", "--model-name", "m"], &variables);
    assert!(said.starts_with("omni-llm: `custom` cannot be reached: Connection refused"), "{said}");
    assert!(said.ends_with("; is `CUSTOM_BASE_URL` right?\n"), "{said}");
}

/// What a model says, in OpenAI's dialect.
fn said(content: &str) -> Value {
    serde_json::json!({"model": "m", "choices": [{"message": {"content": content}, "finish_reason": "stop"}]})
}

/// Where one request is answered with this body.
fn answering(body: String) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 65536]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
    });
    addr
}

#[test]
fn what_does_not_hold_and_what_was_not_done_is_noted_beside_the_answer() {
    let content = "\"Zebras sleep\u{1b}[2J on the\nhighest roofs of all.\" [1] It is so [9].";
    let base_url = format!("http://{}/v1", answering(said(content).to_string()));
    let asked = ["ask", "Where do zebras sleep?", "--provider", "custom", "--model-name", "m"];
    let output = run(&asked, &[("CUSTOM_BASE_URL", base_url.as_str()), ("OMNI_RETRIES", "0")]);
    let notes = String::from_utf8(output.stderr).unwrap();
    let expected = [
        "note: this service has no embedding model (`index-builder model` gets it, `--model` names its folder): the sources were found by words only",
        "note: the quote \"Zebras sleep[2J on the highest roofs of all.\" stands in no source",
        "note: there is no source [9]",
    ];
    assert_eq!(notes.lines().collect::<Vec<_>>(), expected);
    let output = run(&["search", "zebra", "--filter", "author=Nobody"], &[]);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(notes.lines().collect::<Vec<_>>(), [expected[0], "note: no passage passes the filter"]);
}

#[test]
fn a_provider_on_this_machine_is_asked_past_the_proxy_and_a_proxy_that_cannot_be_is_said() {
    let base_url = format!("http://{}/v1", answering(said("here").to_string()));
    let asked = ["ask", "x", "--provider", "custom", "--model-name", "m"];
    let nobody = ("http_proxy", "http://127.0.0.1:9");
    let variables = [("CUSTOM_BASE_URL", base_url.as_str()), ("OMNI_RETRIES", "0"), ("NO_PROXY", ""), ("HTTP_PROXY", ""), nobody];
    let output = run(&asked, &variables);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("here"), "{output:?}");
    for arguments in [&asked[..], &["serve", "--addr", "127.0.0.1:0"]] {
        let said = refused(arguments, &[("HTTP_PROXY", "htp://user:hidden@proxy")]);
        let expected = "`HTTP_PROXY`: no address of a proxy; write for example `HTTP_PROXY=http://proxy:3128`, or unset it";
        assert!(said.contains(expected) && !said.contains("hidden"), "{said}");
    }
}

/// A service of its own that listens, and where.
fn listening(command: &mut Command) -> (std::process::Child, String, impl Iterator<Item = String> + use<>) {
    let mut service = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(service.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let listening: Value = serde_json::from_str(&log.find(|line| line.contains("\"listening\"")).unwrap()).unwrap();
    (service, listening["addr"].as_str().unwrap().to_owned(), log)
}

fn told(service: &std::process::Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &service.id().to_string()]).status().unwrap().success());
}

#[test]
fn whoever_listens_beyond_the_loopback_is_told_what_that_means() {
    let lines_before = |addr: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut service = command(folder.path(), &["serve", "--addr", addr], &[]).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(service.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let before: String = log.take_while(|line| !line.contains("\"listening\"")).collect();
        service.kill().unwrap();
        service.wait().unwrap();
        before
    };
    assert!(lines_before("0.0.0.0:0").contains("not on the loopback: whoever reaches this port may ask"));
    assert!(!lines_before("127.0.0.1:0").contains("not on the loopback"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_opens_as_many_files_as_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = process::command("sh");
    let binary = env!("CARGO_BIN_EXE_omni-llm");
    command.current_dir(folder.path()).args(["-c", &format!("ulimit -Sn 256; exec {binary} serve --addr 127.0.0.1:0")]);
    index(folder.path());
    let (mut service, ..) = listening(&mut command);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[0], words[1], "{line}");
}

/// What is answered on a connection of its own.
fn get(addr: &str, path: &str) -> String {
    let mut socket = std::net::TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_service_whose_log_nobody_reads_goes_on_answering() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, addr, mut log) = listening(&mut command(folder.path(), &["serve", "--addr", "127.0.0.1:0"], &[]));
    // More lines than a pipe holds.
    for _ in 0..500 {
        assert!(get(&addr, "/nothing").starts_with("HTTP/1.1 404"));
    }
    assert!(get(&addr, "/healthz").starts_with("HTTP/1.1 200"));
    assert_eq!(log.by_ref().take(500).filter(|line| line.contains("/nothing")).count(), 500);
    told(&service, "-TERM");
    assert!(log.any(|line| line.contains("\"stopped\"")), "what is said last is written before the end");
    assert!(service.wait().unwrap().success());
}

#[test]
fn connections_that_find_no_place_are_told_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("omni.toml"), "[limits]\nmax_connections = 1\n").unwrap();
    let (mut service, addr, mut log) = listening(&mut command(folder.path(), &["serve", "--addr", "127.0.0.1:0"], &[]));
    let _sockets = [(); 2].map(|()| std::net::TcpStream::connect(&addr).unwrap());
    let full = log.next().unwrap();
    assert!(full.contains("no further connection is taken; `limits.max_connections`") && full.contains("WARN"), "{full}");
    service.kill().unwrap();
    service.wait().unwrap();
    let binary = env!("CARGO_BIN_EXE_omni-llm");
    std::fs::remove_file(folder.path().join("omni.toml")).unwrap();
    let mut few_files = process::command("sh");
    few_files.current_dir(folder.path()).args(["-c", &format!("ulimit -n 24; exec {binary} serve --addr 127.0.0.1:0")]);
    let (mut service, addr, mut log) = listening(&mut few_files);
    let _sockets = [(); 24].map(|()| std::net::TcpStream::connect(&addr).unwrap());
    let refused = log.next().unwrap();
    assert!(refused.contains("a connection cannot be taken") && refused.contains("Too many open files"), "{refused}");
    service.kill().unwrap();
    service.wait().unwrap();
}

#[test]
fn a_service_that_has_nothing_to_answer_with_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let output = omni_llm(folder.path()).args(["serve", "--addr", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("nothing to answer with: no index, no provider"), "{said}");
    let base_url = [("CUSTOM_BASE_URL", "http://127.0.0.1:9/v1")];
    let (mut service, ..) = listening(omni_llm(folder.path()).envs(base_url).args(["serve", "--addr", "127.0.0.1:0"]));
    service.kill().unwrap();
    service.wait().unwrap();
}

#[test]
fn lambda_is_told_why_a_start_failed() {
    let runtime = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let api = runtime.local_addr().unwrap().to_string();
    let mut command = command(folder.path(), &["lambda", "--index", "nope"], &[("AWS_LAMBDA_RUNTIME_API", &api)]);
    let mut function = command.stderr(Stdio::null()).spawn().unwrap();
    let (mut socket, _) = runtime.accept().unwrap();
    let mut request = String::new();
    while !request.ends_with('}') {
        let mut some = [0; 1024];
        let count = socket.read(&mut some).unwrap();
        assert!(count > 0, "{request}");
        request.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    socket.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("lambda-runtime-function-error-type: Runtime.NOT_FOUND"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["errorMessage"].as_str().unwrap().starts_with("nope: "), "{body}");
    assert!(!function.wait().unwrap().success());
}

#[test]
fn an_empty_variable_of_the_kernel_is_none() {
    assert!(run(&["search", "x"], &[("OMNI_KERNEL", " ")]).status.success());
}

#[test]
fn a_second_signal_ends_a_service_that_waits_for_open_requests() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let variables = [("CUSTOM_BASE_URL", base_url.as_str()), ("CUSTOM_MODEL", "m"), ("OMNI_PROVIDER", "custom")];
    let (mut service, addr, mut log) = listening(&mut command(folder.path(), &["serve", "--addr", "127.0.0.1:0"], &variables));
    let mut socket = std::net::TcpStream::connect(addr).unwrap();
    let body = r#"{"prompt": "x"}"#;
    write!(socket, "POST /v1/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let _asked = silent.accept().unwrap();
    let began = std::time::Instant::now();
    told(&service, "-TERM");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(service.try_wait().unwrap().is_none(), "it waits for the open request");
    told(&service, "-INT");
    assert!(log.any(|line| line.contains("stopped with requests still open")));
    assert!(service.wait().unwrap().success());
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
}

#[test]
fn a_service_is_asked_how_it_is_and_ends_in_order() {
    // What a child of `nohup` is not told, its own children are not told either.
    let is_heard = |status: String| {
        let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
        mask.is_some_and(|mask| mask & 1 == 0)
    };
    let hangup = std::fs::read_to_string("/proc/self/status").is_ok_and(is_heard).then_some("-HUP");
    for signal in hangup.into_iter().chain(["-TERM"]) {
        let folder = tempfile::tempdir().unwrap();
        let misspelt = [("OMNI_ALLOWED_HOST", "secret.example")];
        let mut service = command(folder.path(), &["serve", "--addr", "127.0.0.1:0"], &misspelt);
        let mut service = service.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(service.stderr.take().unwrap()).lines().map(|line| line.unwrap());
        let before: Vec<String> = log.by_ref().take_while(|line| !line.contains("\"opened\"")).collect();
        let warning: Value = serde_json::from_str(&before[0]).unwrap();
        let said = "`OMNI_ALLOWED_HOST`: no such variable, so nobody reads it; did you mean `OMNI_ALLOWED_HOSTS`?";
        assert_eq!((&warning["level"], &warning["message"], before.len()), (&"WARN".into(), &said.into(), 1), "{before:?}");
        assert!(!before[0].contains("secret.example"));
        let listening: Value = serde_json::from_str(&log.find(|line| line.contains("\"listening\"")).unwrap()).unwrap();
        let addr = listening["addr"].as_str().unwrap();
        assert!(printed(&["health", "--addr", addr]).starts_with(r#"{"status":"ok""#));
        std::fs::File::options().write(true).open(folder.path().join("kb.omni")).unwrap().set_len(100).unwrap();
        let said = refused(&["health", "--addr", addr], &[]);
        assert!(said.contains("/healthz: status 503: ") && said.contains("\"kb.omni: was overwritten while in use"), "{said}");
        told(&service, signal);
        assert!(log.any(|line| line.contains("\"stopped\"")), "{signal}");
        assert!(service.wait().unwrap().success(), "{signal}");
        let said = refused(&["health", "--addr", addr], &[]);
        assert!(said.contains("/healthz: Connection refused"), "{said}");
    }
}
