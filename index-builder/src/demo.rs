//! The whole product in one command: get the model, build an index, serve it, ask it a question over HTTP.
//!
//! Nothing is taken from the environment's configuration and no provider is asked: the answer is quoted from the documents.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use omni_llm::app::App;
use omni_llm::config::Config;
use omni_llm::server::listen;
use omni_retrieval::embed::Precision;
use omni_retrieval::index::Lexical;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::cache;
use crate::chunk;
use crate::cli::DemoArgs;
use crate::extract::Limits;
use crate::model::{self, Origin};
use crate::pipeline::{self, Build};
use crate::place;
use crate::print;
use crate::progress::Progress;
use crate::source::{Options, Source};

/// Where the demo listens, if nobody else does.
const PORT: u16 = 8080;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demo; on a terminal it goes on asking until an empty line.
pub(crate) fn run(args: &DemoArgs, progress: Progress) -> Result<()> {
    // Before anything is fetched for it.
    let build = build(args)?;
    place::require_replaceable(&args.out)?;
    place::require_writable(&args.out)?;
    progress.say("1 of 4: the embedding model");
    model::ensure(&Origin::Auto, &args.model, Precision::Int8, progress)?;

    progress.say(&format!("2 of 4: an index of {}", args.source.display()));
    let report = pipeline::run(&build, progress)?;
    progress.say(report.to_string().trim_end());

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the service")?;
    let config = Config { index: Some(args.out.clone()), model: Some(args.model.clone()), ..Config::default() };
    let app = Arc::new(App::open(config)?);
    let listener = runtime.block_on(bind())?;
    let address = listener.local_addr().context("the service has no address")?;
    progress.say(&format!("3 of 4: the service, on http://{address}"));
    let (stop, stopped) = oneshot::channel::<()>();
    let service = runtime.spawn(listen::serve(app, listener, async {
        // A dropped sender stops the service as well.
        drop(stopped.await);
    }));

    progress.say("4 of 4: a question\n");
    print(&format!("> {}\n\n{}\n", args.question, show(&ask(address, &args.question)?)?))?;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        converse(address)?;
    }
    print(&how_to_go_on(args, address.port()))?;
    drop(stop);
    runtime.block_on(service).context("the service failed")
}

fn build(args: &DemoArgs) -> Result<Build> {
    let options = Options { source: Some(args.source.clone()), ..Options::default() };
    Ok(Build {
        source: Source::open(&options)?.without(&[args.out.clone(), args.model.clone()]),
        cache: cache::folder_beside(&args.out),
        out: args.out.clone(),
        model: args.model.clone(),
        embedding: None,
        dimensions: None,
        chunking: chunk::Given::default(),
        lexical: Lexical::default(),
        rules: crate::metadata::Rules::default(),
        tune_alpha: None,
        limits: Limits::default(),
        parallel: pipeline::default_threads(),
        strict: false,
    })
}

/// The usual port, or any free one.
async fn bind() -> Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("127.0.0.1: cannot listen on any port"),
    }
}

/// Asks for questions and answers them until an empty line or the end of input.
fn converse(address: SocketAddr) -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    loop {
        print("Ask something else, or press Enter to leave.\n> ")?;
        let Some(line) = lines.next().transpose()? else { return Ok(()) };
        if line.trim().is_empty() {
            return Ok(());
        }
        let shown = show(&ask(address, line.trim())?).unwrap_or_else(|error| format!("error: {error}\n"));
        print(&format!("\n{shown}\n"))?;
    }
}

/// Posts one question as any HTTP client would.
fn ask(address: SocketAddr, question: &str) -> Result<Value> {
    let body = json!({"prompt": question}).to_string();
    let mut stream = TcpStream::connect(address).with_context(|| format!("{address}: the service does not answer"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /v1/query HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).context("the service stopped answering")?;
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").context("the service did not answer with HTTP")?;
    serde_json::from_slice(&response[end + 4..]).context("the service did not answer with JSON")
}

/// An answer for people: the text, then its sources.
fn show(answer: &Value) -> Result<String> {
    if let Some(message) = answer["error"]["message"].as_str() {
        bail!("{message}");
    }
    let mut text = format!("{}\n\nsources\n", answer["response"]["content"].as_str().unwrap_or_default().trim());
    for (number, source) in answer["rag_context"].as_array().into_iter().flatten().enumerate() {
        let name = source["source"].as_str().unwrap_or_default();
        let page = source["page"].as_u64().map_or_else(String::new, |page| format!(", page {page}"));
        let score = source["score"].as_f64().unwrap_or_default();
        text += &format!("  [{}] {name}{page} (score {score:.2})\n", number + 1);
    }
    let metadata = &answer["metadata"];
    let milliseconds = 1e3 * metadata["execution_time"].as_f64().unwrap_or_default();
    let digest: String = metadata["index_digest"].as_str().unwrap_or_default().chars().take(12).collect();
    Ok(text + &format!("answered in {milliseconds:.0} ms from index {digest}\n"))
}

fn how_to_go_on(args: &DemoArgs, port: u16) -> String {
    let (index, model) = (args.out.display(), args.model.display());
    // The usual port was taken, and still will be.
    let addr = if port == PORT { String::new() } else { format!(" --addr 127.0.0.1:{port}") };
    format!(
        "\nTo ask more, start the service and post questions to it:\n\
         \n    cargo run --bin omni-llm -- serve --index {index} --model {model}{addr}\n\
         \n    curl http://127.0.0.1:{port}/v1/query -d '{{\"prompt\":\"Which file formats does Omni-LLM read?\"}}' -H 'content-type: application/json'\n\
         \nTo ask your own documents:\n\
         \n    cargo demo path/to/documents --question \"...\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_shown_with_numbered_sources() {
        let answer = json!({
            "response": {"content": "Rebuild it. [1]"},
            "rag_context": [{"source": "a.pdf", "page": 3, "score": 0.61}, {"source": "b.md", "page": null, "score": 0.5}],
            "metadata": {"execution_time": 0.0214, "index_digest": "0123456789abcdef"},
        });
        let expected = "Rebuild it. [1]\n\nsources\n  [1] a.pdf, page 3 (score 0.61)\n  [2] b.md (score 0.50)\n\
                        answered in 21 ms from index 0123456789ab\n";
        assert_eq!(show(&answer).unwrap(), expected);
        assert_eq!(show(&json!({"error": {"message": "no"}})).unwrap_err().to_string(), "no");
    }
}
