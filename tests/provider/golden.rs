//! Golden matrix: every canonical request as every provider gets it.
//!
//! `tests/golden/NAME.json` holds a request and, by provider, what is sent for it: path, body, warnings, or the error. A change
//! shows as a difference; `OMNI_GOLDEN=write` writes the files anew, to be read before they are committed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use omni_llm::chat::ChatRequest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::support::provider;

/// Who is asked, and the model where the file names none. The first five are the five dialects.
pub(crate) const ASKED: &[(&str, &str)] = &[
    ("openai", "gpt-4.1"),
    ("anthropic", "claude-sonnet-4-5"),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("gemini", "gemini-2.5-flash"),
    ("cohere", "command-a-03-2025"),
    ("mistral", "mistral-large-latest"),
    ("groq", "llama-3.3-70b-versatile"),
];

/// One file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Golden {
    about: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, String>,
    request: Value,
    sent: serde_json::Map<String, Value>,
}

/// Every file, by name.
pub(crate) fn files() -> Vec<(PathBuf, Golden)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let golden = serde_json::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, golden)
    };
    paths.into_iter().map(read).collect()
}

impl Golden {
    /// What is sent now, by provider.
    pub(crate) fn sent(&self, name: &str, model: &str, stream: bool) -> Value {
        let mut request: ChatRequest = serde_json::from_value(self.request.clone()).unwrap();
        request.model = self.models.get(name).map_or(model, String::as_str).to_owned();
        match provider(name, None).write(&request, stream) {
            Err(error) => json!({"error": error.message()}),
            Ok(written) => {
                let url = &written.request.url;
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                let mut sent = json!({"path": format!("{}{query}", url.path()), "body": written.body()});
                if !written.warnings.is_empty() {
                    sent["warnings"] = written.warnings.iter().map(|warning| Value::from(warning.to_string())).collect();
                }
                sent
            }
        }
    }
}

#[test]
fn every_request_is_written_as_the_golden_file_says() {
    let write = std::env::var_os("OMNI_GOLDEN").is_some_and(|value| value == "write");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (path, mut golden) in files() {
        let sent: serde_json::Map<String, Value> =
            ASKED.iter().map(|(name, model)| ((*name).to_owned(), golden.sent(name, model, false))).collect();
        count += 1;
        if write {
            golden.sent = sent;
            std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&golden).unwrap())).unwrap();
            continue;
        }
        for (name, value) in sent {
            // As text, so that the order of fields counts.
            let expected = golden.sent.get(&name).unwrap_or(&Value::Null);
            let (sent, wanted) = (value.to_string(), expected.to_string());
            if sent != wanted {
                wrong.push(format!("{}: {name}\n  sent     {value}\n  expected {expected}", path.display()));
            }
        }
    }
    assert!(count >= 40, "{count} requests");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_streamed_request_differs_by_the_stream_alone() {
    for (path, golden) in files() {
        for &(name, model) in ASKED {
            let (mut whole, mut streamed) = (golden.sent(name, model, false), golden.sent(name, model, true));
            for sent in [&mut whole, &mut streamed] {
                if let Some(body) = sent.get_mut("body").and_then(Value::as_object_mut) {
                    body.shift_remove("stream");
                    body.shift_remove("stream_options");
                    // A schema that cannot be streamed is another matter, and said.
                    body.shift_remove("response_format");
                }
                for field in ["path", "warnings"] {
                    sent.as_object_mut().unwrap().shift_remove(field);
                }
            }
            assert_eq!(whole, streamed, "{} {name}", path.display());
        }
    }
}

#[test]
fn the_order_of_tools_changes_no_byte() {
    for (path, golden) in files() {
        let mut turned = Golden {
            about: String::new(),
            models: golden.models.clone(),
            request: golden.request.clone(),
            sent: Default::default(),
        };
        let Some(tools) = turned.request.get_mut("tools").and_then(Value::as_array_mut) else { continue };
        tools.reverse();
        for &(name, model) in ASKED {
            assert_eq!(
                turned.sent(name, model, false)["body"].to_string(),
                golden.sent(name, model, false)["body"].to_string(),
                "{} {name}",
                path.display()
            );
        }
    }
}
