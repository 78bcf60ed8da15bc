//! Calls as they go out, and answers as they come.

use super::*;
use crate::chat::Trace;

fn written(dialect: EmbedDialect, model: &str, purpose: Side, dimensions: Option<u32>, texts: &[&str]) -> (String, Value) {
    let inputs: Vec<Input> = texts.iter().map(|text| Input::Text((*text).to_owned())).collect();
    let request = EmbedRequest {
        model: model.into(),
        inputs: inputs.clone(),
        purpose,
        dimensions,
        truncate: purpose == Side::Query,
        user: None,
        trace: Trace::default(),
    };
    let call = dialect.encode(&request, &inputs).unwrap();
    (call.path, call.body)
}

#[test]
fn a_question_ends_where_bedrock_would_refuse_it() {
    let long = "ä".repeat(2049);
    let texts = |model: &str, purpose| written(EmbedDialect::Bedrock, model, purpose, None, &["a", &long]).1["texts"].clone();
    assert_eq!(texts("cohere.embed-multilingual-v3", Side::Query), json!(["a", "ä".repeat(2048)]));
    assert_eq!(texts("cohere.embed-multilingual-v3", Side::Document), json!(["a", long]));
    assert_eq!(texts("us.cohere.embed-v4:0", Side::Query), json!(["a", long]));
}

#[test]
fn a_question_is_not_embedded_as_a_document() {
    use EmbedDialect::{Bedrock, Cohere, Gemini, Mistral, OpenAi, Vertex};
    use Side::{Document, Query};
    let table = [
        (
            OpenAi,
            "m",
            Query,
            Some(8),
            "embeddings",
            json!({"model": "m", "input": ["a"], "encoding_format": "float", "dimensions": 8}),
        ),
        (Mistral, "m", Document, Some(8), "embeddings", json!({"model": "m", "input": ["a"], "output_dimension": 8})),
        (
            Cohere,
            "m",
            Query,
            None,
            "embed",
            json!({"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["float"], "truncate": "END"}),
        ),
        (
            Cohere,
            "m",
            Document,
            Some(8),
            "embed",
            json!({"model": "m", "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"], "truncate": "NONE", "output_dimension": 8}),
        ),
        (
            Bedrock,
            "amazon.titan-embed-text-v1",
            Query,
            None,
            "model/amazon.titan-embed-text-v1/invoke",
            json!({"inputText": "a"}),
        ),
        (
            Bedrock,
            "amazon.titan-embed-text-v2:0",
            Document,
            Some(256),
            "model/amazon.titan-embed-text-v2%3A0/invoke",
            json!({"inputText": "a", "normalize": true, "dimensions": 256}),
        ),
        (
            Bedrock,
            "cohere.embed-english-v3",
            Query,
            None,
            "model/cohere.embed-english-v3/invoke",
            json!({"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"], "truncate": "END"}),
        ),
        (
            Bedrock,
            "us.cohere.embed-v4:0",
            Query,
            None,
            "model/us.cohere.embed-v4%3A0/invoke",
            json!({"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"], "truncate": "RIGHT"}),
        ),
        (
            Bedrock,
            "amazon.nova-2-multimodal-embeddings-v1:0",
            Document,
            None,
            "model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
            json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "text": {"truncationMode": "NONE", "value": "a"}}}),
        ),
        (
            Bedrock,
            "amazon.nova-2-multimodal-embeddings-v1:0",
            Query,
            Some(256),
            "model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke",
            json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "TEXT_RETRIEVAL", "text": {"truncationMode": "END", "value": "a"}, "embeddingDimension": 256}}),
        ),
        (
            Gemini,
            "gemini-embedding-001",
            Query,
            Some(8),
            "models/gemini-embedding-001:batchEmbedContents",
            json!({"requests": [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}]}),
        ),
        (
            Vertex,
            "text-embedding-005",
            Document,
            Some(8),
            "publishers/google/models/text-embedding-005:predict",
            json!({"instances": [{"content": "a", "task_type": "RETRIEVAL_DOCUMENT"}], "parameters": {"autoTruncate": false, "outputDimensionality": 8}}),
        ),
        (
            Vertex,
            "text-embedding-005",
            Query,
            None,
            "publishers/google/models/text-embedding-005:predict",
            json!({"instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}], "parameters": {"autoTruncate": true}}),
        ),
        (
            Vertex,
            "gemini-embedding-2",
            Query,
            None,
            "publishers/google/models/gemini-embedding-2:embedContent",
            json!({"content": {"parts": [{"text": "task: search result | query: a"}]}}),
        ),
        (
            Vertex,
            "gemini-embedding-2",
            Document,
            Some(8),
            "publishers/google/models/gemini-embedding-2:embedContent",
            json!({"content": {"parts": [{"text": "title: none | text: a"}]}, "outputDimensionality": 8}),
        ),
        (
            Gemini,
            "models/gemini-embedding-2-preview",
            Query,
            None,
            "models/gemini-embedding-2-preview:batchEmbedContents",
            json!({"requests": [{"model": "models/gemini-embedding-2-preview", "content": {"parts": [{"text": "task: search result | query: a"}]}}]}),
        ),
        // A gateway knows itself what it calls so.
        (
            OpenAi,
            "gemini-embedding-2",
            Query,
            None,
            "embeddings",
            json!({"model": "gemini-embedding-2", "input": ["a"], "encoding_format": "float"}),
        ),
    ];
    for (dialect, model, purpose, dimensions, path, body) in table {
        assert_eq!(written(dialect, model, purpose, dimensions, &["a"]), (path.to_owned(), body), "{dialect:?} {model}");
    }
}

#[test]
fn vectors_come_in_the_order_of_the_texts_whatever_their_spelling() {
    let base64 = STANDARD.encode([1.0f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat());
    let reply =
        json!({"data": [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": base64}], "usage": {"prompt_tokens": 7}});
    assert_eq!(EmbedDialect::OpenAi.read(&reply).unwrap(), (vec![vec![1.0, -2.5], vec![3.0, 4.5]], Some(7)));
    let numbered = |indexes: Value| {
        let rows = indexes.as_array().unwrap().iter().enumerate();
        let rows: Vec<Value> = rows.map(|(at, index)| json!({"index": index, "embedding": [at]})).collect();
        EmbedDialect::Mistral.read(&json!({"data": rows})).map(|(vectors, _)| vectors.concat()).ok()
    };
    assert_eq!(numbered(json!([2, 0, 1])), Some(vec![1.0, 2.0, 0.0]));
    for kept in [json!([null, null]), json!([0, 0]), json!([5])] {
        assert_eq!(numbered(kept.clone()).map(|vectors| vectors.is_sorted()), Some(true), "{kept}");
    }
    for wrong in [json!([0, 0, 1]), json!([1, 2]), json!([0, null]), json!([0, 3])] {
        assert_eq!(numbered(wrong.clone()), None, "{wrong}");
    }
    let reply = json!({"embeddings": {"float": [[1.0], [2.0]]}, "meta": {"billed_units": {"input_tokens": 3.0}}});
    assert_eq!(EmbedDialect::Cohere.read(&reply).unwrap(), (vec![vec![1.0], vec![2.0]], Some(3)));
    let reply = json!({"embedding": [1.0], "inputTextTokenCount": 2});
    assert_eq!(EmbedDialect::Bedrock.read(&reply).unwrap(), (vec![vec![1.0]], Some(2)));
    let reply = json!({"embeddings": [[1.0], [2.0]], "response_type": "embeddings_floats"});
    assert_eq!(EmbedDialect::Bedrock.read(&reply).unwrap().0, vec![vec![1.0], vec![2.0]]);
    let reply = json!({"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0]}]});
    assert_eq!(EmbedDialect::Bedrock.read(&reply).unwrap().0, vec![vec![1.0]]);
    let reply = json!({"predictions": [{"embeddings": {"values": [1.0], "statistics": {"token_count": 4}}}]});
    assert_eq!(EmbedDialect::Vertex.read(&reply).unwrap(), (vec![vec![1.0]], Some(4)));
    let reply = json!({"embeddings": [{"values": [1.0]}, {"values": [2.0]}]});
    assert_eq!(EmbedDialect::Gemini.read(&reply).unwrap().0, vec![vec![1.0], vec![2.0]]);
    let reply = json!({"predictions": [{"embeddings": {"values": [1.0], "statistics": {"token_count": 4}}}, {"embeddings": {"values": [2.0]}}]});
    assert_eq!(EmbedDialect::Vertex.read(&reply).unwrap().1, None, "a part of the tokens is not their number");
    let row = json!({"embeddings": {"values": [1.0], "statistics": {"token_count": 1e30}}});
    assert_eq!(EmbedDialect::Vertex.read(&json!({"predictions": [row, row]})).unwrap().1, Some(u64::MAX));
    for bad in [json!([]), json!(["x"]), json!(null), json!("%"), json!([1e300])] {
        assert!(vector(&bad).is_err(), "{bad}");
    }
}

#[test]
fn bedrock_counts_in_a_header_what_its_models_do_not() {
    let reply = |body: Value| {
        let headers = [(BEDROCK_COUNT.try_into().unwrap(), 18.into())].into_iter().collect();
        Reply { status: 200, headers, body: body.to_string().into() }
    };
    let nova = json!({"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0]}]});
    assert_eq!(EmbedDialect::Bedrock.decode(&reply(nova)).unwrap().prompt_tokens, Some(18));
    let titan = json!({"embedding": [1.0], "inputTextTokenCount": 2});
    assert_eq!(EmbedDialect::Bedrock.decode(&reply(titan)).unwrap().prompt_tokens, Some(2));
}

#[test]
fn google_counts_where_its_models_do() {
    let body = json!({"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 9}});
    let reply = Reply { status: 200, headers: Default::default(), body: body.to_string().into() };
    assert_eq!(EmbedDialect::Gemini.decode(&reply).unwrap().prompt_tokens, Some(9));
}

#[test]
fn token_numbers_go_only_where_openais_dialect_is_spoken() {
    let inputs = [Input::Tokens(vec![9906, 1917]), Input::Text("a".into())];
    let request = EmbedRequest {
        model: "m".into(),
        inputs: inputs.to_vec(),
        purpose: Side::Document,
        dimensions: None,
        truncate: false,
        user: None,
        trace: Trace::default(),
    };
    let call = EmbedDialect::OpenAi.encode(&request, &inputs).unwrap();
    assert_eq!(call.body["input"], json!([[9906, 1917], "a"]));
    for dialect in
        [EmbedDialect::Mistral, EmbedDialect::Cohere, EmbedDialect::Bedrock, EmbedDialect::Gemini, EmbedDialect::Vertex]
    {
        let error = dialect.encode(&request, &inputs).unwrap_err();
        assert_eq!(error.code(), crate::error::Code::NotSupported, "{dialect:?}");
    }
}
