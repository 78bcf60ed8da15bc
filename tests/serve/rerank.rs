//! What a reranker changes for callers, and that they can leave it out.

use omni_llm::embed::Reranker;
use serde_json::{Value, json};

use crate::embed_support::small_reranker;
use crate::support::{Service, read};

const QUESTION: &str = "the service, the command and the zebra";

async fn found(service: &Service, rerank: Option<bool>, top_k: usize) -> Vec<Value> {
    let mut retrieval = json!({"top_k": top_k});
    if let Some(rerank) = rerank {
        retrieval["rerank"] = rerank.into();
    }
    let body = json!({"prompt": QUESTION, "rag_config": {"retrieval_config": retrieval}});
    let request = axum::http::Request::post("/v1/search").body(axum::body::Body::from(body.to_string())).unwrap();
    let (status, answer) = read(service.send(request).await).await;
    assert_eq!(status, 200, "{answer}");
    answer["hits"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_reranker_decides_unless_a_request_leaves_it_out() {
    let folder = small_reranker();
    let plain = Service::new(|_| {});
    let reranking = Service::new(|config| {
        config.reranker = Some(folder.path().to_owned());
        config.retrieval.rerank_weight = 1.0;
    });
    let names = |hits: &[Value]| hits.iter().map(|hit| hit["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let before = found(&plain, None, 4).await;
    assert_eq!(names(&found(&reranking, Some(false), 4).await), names(&before));

    let reranker = Reranker::open(folder.path()).unwrap();
    let mut expected: Vec<(f32, String)> = before
        .iter()
        .map(|hit| {
            let source = hit["source"].as_str().unwrap();
            let text = format!("Title of {source} > Top > Below\n{}", hit["content"].as_str().unwrap());
            (reranker.score(QUESTION, &[&text]).unwrap()[0], source.to_owned())
        })
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    let expected: Vec<String> = expected.into_iter().map(|(_, source)| source).collect();
    assert_ne!(names(&before), expected, "there is nothing to change");
    for rerank in [None, Some(true)] {
        assert_eq!(names(&found(&reranking, rerank, 4).await), expected);
    }
    // It reads more than are wanted.
    assert_eq!(names(&found(&reranking, None, 1).await), expected[..1]);
}

#[test]
fn an_embedding_model_is_no_reranker() {
    let folder = crate::embed_support::small_model();
    let config = omni_llm::config::Config { reranker: Some(folder.path().to_owned()), ..Default::default() };
    assert!(omni_llm::app::App::open(config).is_err());
}
