//! Filters, labels, namespaces, several indexes and tombstones, as callers meet them.

use axum::body::Body;
use axum::http::Request;
use omni_llm::config::Config;
use omni_llm::index::{Document, Index, Manifest, Tombstones};
use serde_json::{Value, json};

use crate::support::{Service, read, write_index};

/// Sources, namespaces, labels and texts. All are found by "harbour".
const DOCUMENTS: [(&str, Option<&str>, &[&str], &str); 5] = [
    ("open.md", None, &[], "The harbour opens at six."),
    ("staff.md", Some("inside"), &["staff"], "The harbour alarm code is four digits."),
    ("board.md", Some("inside"), &["board", "audit"], "The harbour will be sold."),
    ("more.md", Some("inside"), &[], "The harbour has two cranes."),
    ("chair.md", Some("inside"), &["präsidium"], "The harbour has a new chair."),
];

fn write(path: &std::path::Path, word: &str) {
    let rows = DOCUMENTS.into_iter().enumerate().map(|(at, (source, namespace, access, text))| {
        let document = Document {
            uri: format!("s3://docs/{source}"),
            source: source.into(),
            metadata: [("year".to_owned(), json!(2020 + at)), ("tags".to_owned(), json!(["x", source]))].into(),
            namespace: namespace.map(str::to_owned),
            access: access.iter().map(|label| (*label).to_owned()).collect(),
            ..Document::default()
        };
        (document, text.replace("harbour", word), vec![1.0])
    });
    write_index(path, Manifest { dimensions: 1, model: "m".into(), ..Manifest::default() }, rows);
}

struct Harbour {
    service: Service,
    folder: tempfile::TempDir,
}

fn harbour(change: impl FnOnce(&mut Config)) -> Harbour {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("harbour.omni"), "harbour");
    write(&folder.path().join("airport.omni"), "airport");
    let service = Service::new(|config| {
        config.index = Some(folder.path().join("harbour.omni"));
        config.indexes = vec![folder.path().join("airport.omni")];
        config.retrieval.top_k = 100;
        change(config);
    });
    Harbour { service, folder }
}

impl Harbour {
    /// The sources that a search finds, sorted.
    async fn found(&self, header: Option<&str>, rag_config: Value) -> Vec<String> {
        let (status, answer) = self.search(header, rag_config).await;
        assert_eq!(status, 200, "{answer}");
        let mut found: Vec<String> =
            answer["hits"].as_array().unwrap().iter().map(|hit| hit["source"].as_str().unwrap().to_owned()).collect();
        found.sort();
        found
    }

    async fn search(&self, header: Option<&str>, rag_config: Value) -> (u16, Value) {
        let mut request = Request::post("/v1/search");
        if let Some(labels) = header {
            request = request.header("X-Labels", labels);
        }
        let body = json!({"prompt": "harbour airport", "rag_config": rag_config});
        read(self.service.send(request.body(Body::from(body.to_string())).unwrap()).await).await
    }

    async fn refusal(&self, rag_config: Value) -> String {
        let (status, answer) = self.search(None, rag_config).await;
        assert_eq!(status, 400, "{answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn labels_come_from_the_operator_and_never_from_the_request() {
    let none = json!({});
    let plain = harbour(|_| {});
    assert_eq!(plain.found(Some("staff, board"), none.clone()).await, ["more.md", "open.md"], "no header is trusted");
    let expected = "`rag_config.retrieval_config.access`: this service does not take labels from requests; the operator sets `access.header`, or `access.trust_request` where every client may be trusted";
    assert_eq!(plain.refusal(json!({"retrieval_config": {"access": ["staff"]}})).await, expected);
    // A place that holds only what the caller may not see does not exist.
    let message = plain.refusal(json!({"s3_bucket": "docs", "s3_prefix": "staff"})).await;
    assert_eq!(
        message,
        "`rag_config.s3_bucket`: no document of the index comes from `s3://docs/staff`; `GET /v1/index` lists where they come from"
    );

    let with_header = harbour(|config| {
        config.access.header = Some("x-labels".into());
        config.access.labels = vec!["audit".into()];
    });
    assert_eq!(with_header.found(Some("präsidium"), none.clone()).await, ["board.md", "chair.md", "more.md", "open.md"]);
    assert_eq!(with_header.found(None, none.clone()).await, ["board.md", "more.md", "open.md"]);
    assert_eq!(with_header.found(Some("staff"), none.clone()).await, ["board.md", "more.md", "open.md", "staff.md"]);
    assert_eq!(with_header.found(Some("Staff, sta,,"), none.clone()).await, ["board.md", "more.md", "open.md"]);
    let (status, answer) = with_header.search(Some(&"a,".repeat(300)), none.clone()).await;
    let expected = "header `x-labels`: at most 256 labels of 1 to 256 bytes";
    assert_eq!((status, answer["error"]["message"].as_str()), (400, Some(expected)));

    let trusting = harbour(|config| config.access.trust_request = true);
    let claimed = json!({"retrieval_config": {"access": ["staff"]}});
    assert_eq!(trusting.found(None, claimed).await, ["more.md", "open.md", "staff.md"]);
}

#[tokio::test]
async fn a_filter_narrows_and_its_mistakes_are_named() {
    let harbour = harbour(|config| config.access.labels = vec!["staff".into(), "board".into()]);
    let filtered = |filter: Value| json!({"retrieval_config": {"filter": filter}});
    let years = json!({"field": "year", "range": {"gte": 2021, "lt": 2023}});
    assert_eq!(harbour.found(None, filtered(years.clone())).await, ["board.md", "staff.md"]);
    let both = json!({"and": [years, {"not": {"field": "tags", "eq": "board.md"}}]});
    assert_eq!(harbour.found(None, filtered(both)).await, ["staff.md"]);
    for (filter, expected) in [
        (
            json!({"field": "yaer", "eq": 1}),
            "`filter`: no field `yaer` in this index; its fields are `format`, `namespace`, `section`, `source`, `tags`, `title`, `uri`, `year`",
        ),
        (
            json!({"or": [{"field": "year", "rang": {}}]}),
            "`rag_config.retrieval_config.filter.or[0].rang`: unknown field; expected `field` and one of `and`, `or`, `not`, `eq`, `in`, `range`, `prefix`",
        ),
    ] {
        assert_eq!(harbour.refusal(filtered(filter)).await, expected);
    }
    let message = harbour.refusal(json!({"retrieval_config": {"fusion": "rrf", "alpha": 0.5}})).await;
    assert_eq!(message, "`rag_config.retrieval_config.alpha`: has no meaning with `rrf`; leave one of them out");
    assert_eq!(harbour.found(None, json!({"retrieval_config": {"fusion": "rrf", "top_k": 1}})).await.len(), 1);
}

#[tokio::test]
async fn a_request_chooses_an_index_and_a_namespace() {
    let harbour = harbour(|_| {});
    assert_eq!(harbour.found(None, json!({"vector_store": {"namespace": "inside"}})).await, ["more.md"]);
    assert_eq!(harbour.found(None, json!({"vector_store": {"namespace": "default"}})).await, ["open.md"]);
    let plain = Service::new(|_| {});
    let namespace = |service: &Service, name: &str| service.app.index().unwrap().namespace("--namespace", name);
    assert_eq!(namespace(&plain, "default").unwrap(), None, "it is all there is");
    assert_eq!(namespace(&plain, "x").unwrap_err().message(), "`--namespace`: `x` is not in `kb`; it has `default`");
    let message = harbour.refusal(json!({"vector_store": {"namespace": "outside"}})).await;
    assert_eq!(message, "`rag_config.vector_store.namespace`: `outside` is not in `harbour`; it has `default`, `inside`");
    let (_, answer) = harbour.search(None, json!({"vector_store": {"index_name": "airport"}})).await;
    assert!(answer["hits"][0]["content"].as_str().unwrap().contains("airport"), "{answer}");
    let airport = Index::open(&harbour.folder.path().join("airport.omni")).unwrap();
    assert_eq!(answer["metadata"]["index_digest"], airport.digest());

    let request = Request::get("/v1/index").body(Body::empty()).unwrap();
    let (status, answer) = read(harbour.service.send(request).await).await;
    assert_eq!((status, &answer["name"], &answer["labelled"]), (200, &json!("harbour"), &json!(true)));
    assert_eq!(answer["namespaces"], json!({"default": 1, "inside": 4}));
    assert_eq!(answer["indexes"][1]["name"], "airport");
    assert!(answer["fields"].as_array().unwrap().contains(&json!({"name": "year", "kind": "number", "values": 5})), "{answer}");
}

/// Until the list of what is gone is looked at again.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_millis(1100)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_document_goes_while_the_service_runs() {
    let harbour = harbour(|_| {});
    let path = harbour.folder.path().join("harbour.omni");
    let digest = Index::open(&path).unwrap().digest().to_owned();
    let list = Tombstones::path(&path);
    assert_eq!(harbour.found(None, json!({})).await, ["more.md", "open.md"]);
    let gone = async || harbour.service.get("/v1/index").await.1["gone"].clone();
    assert_eq!(gone().await, 0);
    Tombstones { index: digest.clone(), documents: ["s3://docs/open.md".to_owned()].into(), ..Tombstones::default() }
        .write(&list)
        .unwrap();
    later().await;
    assert_eq!(gone().await, 1, "without a search");
    assert_eq!(harbour.found(None, json!({})).await, ["more.md"]);
    // A list of another index, which has taken the place of this one, adds to what is gone, and keeps another service from
    // starting.
    Tombstones { index: "0".repeat(64), documents: ["s3://docs/more.md".to_owned()].into(), ..Tombstones::default() }
        .write(&list)
        .unwrap();
    later().await;
    assert_eq!(harbour.found(None, json!({})).await, [""; 0]);
    // The end of the list changes nothing: it may have gone with the index that it was for. One that says so brings documents back.
    std::fs::remove_file(&list).unwrap();
    later().await;
    assert_eq!(harbour.found(None, json!({})).await, [""; 0]);
    Tombstones { index: digest, ..Tombstones::default() }.write(&list).unwrap();
    later().await;
    assert_eq!(harbour.found(None, json!({})).await, ["more.md", "open.md"]);
    Tombstones { index: "0".repeat(64), documents: ["s3://docs/more.md".to_owned()].into(), ..Tombstones::default() }
        .write(&list)
        .unwrap();
    let error = omni_llm::app::Opened::open(&path).err().unwrap().to_string();
    assert!(error.contains("harbour.omni.tombstones: tombstones: written for index 000"), "{error}");
    // Through a link it is the list of the file that the link leads to: of the next one, too, once the link leads there.
    let (link, next) = (harbour.folder.path().join("current.omni"), harbour.folder.path().join("next.omni"));
    std::fs::remove_file(&list).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let linked = Service::new(|config| config.index = Some(link.clone()));
    write(&next, "quay");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&next, &link).unwrap();
    let index = Index::open(&next).unwrap().digest().to_owned();
    Tombstones { index, documents: ["s3://docs/open.md".to_owned()].into(), ..Tombstones::default() }
        .write(&Tombstones::path(&link))
        .unwrap();
    later().await;
    assert_eq!(linked.get("/v1/index").await.1["gone"], 1);
}
