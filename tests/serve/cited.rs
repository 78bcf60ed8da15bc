//! Checked citations in the dialects' own words, for clients that read no `omni`.

use std::collections::BTreeMap;

use omni_llm::index::{Chunk, Document, Manifest, Writer};
use serde_json::{Value, json};

use crate::support::{Mock, Service};

const LIMITS: &str = "Für alle: the largest request body is 6 MiB by default. A larger one is refused.";

/// A service over one document with an address and one without; `mock` answers for `custom`.
fn service(folder: &std::path::Path, mock: &Mock) -> Service {
    let mut writer = Writer::new(Manifest { dimensions: 2, ..Manifest::default() });
    let notes = "The doorman keeps a zebra.";
    for (source, text, url) in [("limits.md", LIMITS, Some("https://example.com/limits")), ("notes.md", notes, None)] {
        let document = Document {
            uri: source.into(),
            source: source.into(),
            title: format!("Title of {source}"),
            metadata: url.into_iter().map(|url| ("url".to_owned(), url.into())).collect::<BTreeMap<_, _>>(),
            ..Document::default()
        };
        let document = writer.push_document(document);
        let chunk = Chunk { document, text: text.into(), start: 0, end: text.len() as u64, page: None, headings: "" };
        writer.push_chunk(&chunk, &[1.0, 0.0]).unwrap();
    }
    let path = folder.join("kb.omni");
    writer.finish(&path).unwrap();
    Service::with(mock, |config| config.index = Some(path))
}

fn asked(model: &str, question: &str) -> Value {
    json!({"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": question}]})
}

/// The messages of an answer and of the same one streamed.
async fn said(service: &Service, path: &str, mut body: Value) -> [Vec<Value>; 2] {
    let (status, answer) = service.post(path, &body).await;
    assert_eq!(status, 200, "{answer}");
    body["stream"] = json!(true);
    let events = service.events_of(path, &body).await.into_iter().map(|(_, data)| data);
    let whole = match path {
        "/v1/messages" => answer["content"].clone(),
        _ => answer["choices"][0]["message"]["annotations"].clone(),
    };
    let whole = whole.as_array().cloned().unwrap_or_default();
    let streamed = match path {
        "/v1/messages" => {
            let mut blocks: Vec<Value> = Vec::new();
            for event in events {
                let delta = &event["delta"];
                match event["type"].as_str() {
                    Some("content_block_start") => blocks.push(event["content_block"].clone()),
                    Some("content_block_delta") if delta["type"] == "text_delta" => {
                        let block = blocks.last_mut().unwrap();
                        block["text"] = json!([block["text"].as_str().unwrap(), delta["text"].as_str().unwrap()].concat());
                    }
                    Some("content_block_delta") => {
                        assert_eq!(delta["type"], "citations_delta", "{delta}");
                        let block = blocks.last_mut().unwrap();
                        let mut citations = block["citations"].as_array().cloned().unwrap_or_default();
                        citations.push(delta["citation"].clone());
                        block["citations"] = citations.into();
                    }
                    _ => {}
                }
            }
            blocks
        }
        _ => {
            let annotations = events.filter_map(|chunk| chunk["choices"][0]["delta"]["annotations"].as_array().cloned());
            annotations.flatten().collect()
        }
    };
    [whole, streamed]
}

#[tokio::test]
async fn what_holds_is_an_annotation_where_its_document_has_an_address() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start().await);
    let service = service(folder.path(), &mock);
    let body = asked("rag/custom/cites", "How large may a body be?");
    let answer = service.post("/v1/chat/completions", &body).await.1;
    let (content, checked) = (answer["choices"][0]["message"]["content"].as_str().unwrap(), &answer["omni"]["citations"]);
    let verified = |citation: &Value| citation["verified"].as_bool().unwrap();
    assert_eq!(checked.as_array().unwrap().iter().map(verified).collect::<Vec<_>>(), [true, false], "one is made up");
    let chars = |bytes: &Value| content[..bytes.as_u64().unwrap() as usize].chars().count();
    let cited = json!({"url": "https://example.com/limits", "title": "Title of limits.md",
        "start_index": chars(&checked[0]["answer_start"]), "end_index": chars(&checked[0]["answer_end"])});
    let [whole, streamed] = said(&service, "/v1/chat/completions", body).await;
    assert_eq!(whole, [json!({"type": "url_citation", "url_citation": cited})]);
    assert_eq!(streamed, whole);
    // Sent back with the conversation they are nothing to warn of.
    let mut echo = asked("custom/good", "Why?");
    echo["messages"].as_array_mut().unwrap().insert(0, answer["choices"][0]["message"].clone());
    let answer = service.post("/v1/chat/completions", &echo).await.1;
    assert!(!answer.to_string().contains("annotations"), "{answer}");
    let [whole, streamed] = said(&service, "/v1/chat/completions", asked("rag/extractive", "Who keeps a zebra?")).await;
    assert_eq!([whole, streamed], [[""; 0]; 2], "it has no address");
    let [whole, _] = said(&service, "/v1/chat/completions", asked("custom/cites", "How large may a body be?")).await;
    assert_eq!(whole, [""; 0], "nothing was looked up");
}

#[tokio::test]
async fn what_holds_is_a_citation_of_the_text_in_anthropics_dialect() {
    let (folder, mock) = (tempfile::tempdir().unwrap(), Mock::start().await);
    let service = service(folder.path(), &mock);
    let [whole, streamed] = said(&service, "/v1/messages", asked("rag/custom/cites", "How large may a body be?")).await;
    assert_eq!((whole.len(), &streamed), (1, &whole));
    let citations = whole[0]["citations"].as_array().unwrap();
    assert_eq!(citations.len(), 1, "of two quotes one is made up: {citations:?}");
    let words = "the largest request body is 6 MiB by default";
    let chunk = citations[0]["chunk_id"].as_str().unwrap();
    assert_eq!(
        citations[0],
        json!({"type": "char_location", "cited_text": words, "document_index": 0, "document_title": "Title of limits.md",
            "start_char_index": 10, "end_char_index": 10 + words.len(), "file_id": null, "chunk_id": chunk})
    );
    let [whole, streamed] = said(&service, "/v1/messages", asked("rag/extractive", "Who keeps a zebra?")).await;
    assert_eq!(whole[0]["citations"][0]["cited_text"], "The doorman keeps a zebra");
    assert_eq!(streamed, whole);
    // What comes back with the conversation is no news to the provider, and nothing to warn of.
    let mut typed = whole.clone();
    // Some clients keep no field that they do not know.
    typed[0]["citations"][0].as_object_mut().unwrap().remove("chunk_id").unwrap();
    for content in [whole, typed] {
        let messages = json!([{"role": "user", "content": "Who?"}, {"role": "assistant", "content": content}, {"role": "user", "content": "Why?"}]);
        let answer =
            service.post("/v1/messages", &json!({"model": "custom/good", "max_tokens": 9, "messages": messages})).await.1;
        assert!(answer["omni"].get("warnings").is_none(), "{answer}");
        assert!(!mock.body().to_string().contains("char_location"), "{}", mock.body());
    }
}
