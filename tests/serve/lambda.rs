//! Lambda events, as lambda_http reads them, through the same router.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lambda_http::RequestExt as _;
use omni_llm::index::{Document, Manifest};
use omni_llm::server::{lambda, router};
use serde_json::{Value, json};

use crate::embed_support::shared::shared;
use crate::support::{Mock, Service, read, write_index};

/// One event through the service.
async fn invoke(service: &Service, event: &Value) -> (u16, Value) {
    let request = lambda::read(&event.to_string()).unwrap();
    read(lambda::handle(router(Arc::clone(&service.app)), request).await.unwrap()).await
}

/// What AWS recorded, by file name; none where the shared folder is not here.
fn recorded() -> Option<Vec<(String, Value)>> {
    let files = std::fs::read_dir(shared("contracts/aws-lambda-events/fixtures")?).unwrap();
    let mut events: Vec<(String, Value)> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap())
        })
        .collect();
    events.sort_by(|a, b| a.0.cmp(&b.0));
    Some(events)
}

/// A Function URL event, which looks the same in an HTTP API.
fn url_event(path: &str, body: &str, base64: bool) -> Value {
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": {"content-type": "application/json"},
        "requestContext": {"accountId": "anonymous", "apiId": "x", "domainName": "x.lambda-url.eu-central-1.on.aws", "domainPrefix": "x",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "curl"},
            "requestId": "r", "routeKey": "$default", "stage": "$default", "time": "24/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_514_400_000_u64},
        "body": body, "isBase64Encoded": base64})
}

#[tokio::test]
async fn a_function_url_event_is_answered_in_both_encodings() {
    let service = Service::new(|_| {});
    // The same question, plain and in base64.
    let question = "{\"prompt\":\"How large may a request body be?\"}";
    let encoded = "eyJwcm9tcHQiOiJIb3cgbGFyZ2UgbWF5IGEgcmVxdWVzdCBib2R5IGJlPyJ9";
    for event in [url_event("/v1/query", question, false), url_event("/", encoded, true)] {
        let (status, answer) = invoke(&service, &event).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["response"]["content"].as_str().unwrap().contains("6 MiB by default."));
    }
    // What is no base64, and what is no text in it.
    for (body, told) in [("e30*", "the body is not JSON: "), ("/////w==", "the body is not JSON: ")] {
        let (status, answer) = invoke(&service, &url_event("/v1/query", body, true)).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID_REQUEST")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with(told), "{answer}");
    }
    for path in ["/nothing", "/a b/ü{}|\"<>", ""] {
        let (status, answer) = invoke(&service, &url_event(path, "", false)).await;
        let expected = if path.is_empty() { (400, &json!("INVALID_REQUEST")) } else { (404, &json!("NOT_FOUND")) };
        assert_eq!((status, &answer["error"]["code"]), expected, "{path}");
    }
}

#[tokio::test]
async fn every_front_door_hands_on_the_query() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let mut url = url_event("/v1/models", "", false);
    url["requestContext"]["http"]["method"] = json!("GET");
    url["rawQueryString"] = json!("limit=1&after_id=rag%2Fextractive&x=\u{fc}{");
    url["queryStringParameters"] = json!({"limit": "1", "after_id": "rag/extractive", "x": "\u{fc}{"});
    let mut staged = url.clone();
    (staged["rawPath"], staged["requestContext"]["stage"]) = (json!("/prod/v1/models"), json!("prod"));
    let event = |context: Value, texts: Value, lists: Value| {
        json!({"httpMethod": "GET", "path": "/v1/models", "headers": {}, "queryStringParameters": texts,
            "multiValueQueryStringParameters": lists, "requestContext": context, "body": "", "isBase64Encoded": false})
    };
    let rest = || json!({"stage": "prod", "httpMethod": "GET", "identity": {}});
    let alb = || json!({"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/x/1"}});
    let plain = json!({"limit": "1", "after_id": "rag/extractive", "x": "a&limit=9 \u{fc}"});
    let lists = json!({"limit": ["1"], "after_id": ["rag/extractive"], "x": ["\u{fc}", "%"]});
    let encoded = json!({"limit": "1", "after_id": "rag%2Fextractive"});
    for event in [
        url,
        staged,
        event(rest(), plain.clone(), Value::Null),
        event(rest(), plain, lists),
        event(alb(), encoded, Value::Null),
        event(alb(), Value::Null, json!({"limit": ["1"], "after_id": ["rag%2Fextractive"]})),
    ] {
        let (status, page) = invoke(&service, &event).await;
        assert_eq!((status, &page["first_id"], &page["has_more"]), (200, &json!("custom/good"), &json!(true)), "{event}: {page}");
    }
}

#[tokio::test]
async fn a_stream_is_over_before_lambda_ends_the_function() {
    let mock = Mock::start().await;
    let service = Service::with(&mock, |_| {});
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    for (model, path, more) in [
        ("endless", "/v1/query", json!({"model_config": {"stream": true}})),
        ("stalls", "/v1/query", json!({"model_config": {"stream": true}, "structured_output": {"schema": schema}})),
    ] {
        let mut body = json!({"prompt": "body", "model_name": model});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut context = lambda_http::Context::default();
        let deadline = SystemTime::now() + Duration::from_millis(1500);
        context.deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap();
        let request = lambda::read(&url_event(path, &body.to_string(), false).to_string()).unwrap().with_lambda_context(context);
        let response = lambda::handle(router(Arc::clone(&service.app)), request).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(SystemTime::now() < deadline, "{model}");
        let events = omni_llm::net::sse::Parser::default().push(&bytes).unwrap();
        let last: Value = serde_json::from_str(&events.last().unwrap().data).unwrap();
        assert_eq!((events.len() > 1, &last["error"]["code"]), (true, &json!("TIMEOUT")), "{last}");
    }
}

#[tokio::test]
async fn every_front_door_of_aws_reaches_the_router() {
    let Some(events) = recorded() else { return };
    let service = Service::new(|_| {});
    let mut doors = [0; 3];
    for (name, mut event) in events {
        let door = match () {
            // What an authorizer is asked is no request.
            () if event["type"].is_string() => continue,
            () if event["httpMethod"].is_string() && event["requestContext"]["elb"].is_object() => 0,
            () if event["httpMethod"].is_string() && event["requestContext"].is_object() => 1,
            () if event["version"] == "2.0" && event["requestContext"]["http"].is_object() => 2,
            () => continue,
        };
        // The recorded event, with our question in it.
        event["body"] = json!("{\"prompt\":\"How large may a request body be?\"}");
        event["isBase64Encoded"] = json!(false);
        let stage = event["requestContext"]["stage"].as_str().filter(|stage| *stage != "$default").unwrap_or_default().to_owned();
        if door == 2 {
            event["requestContext"]["http"]["method"] = json!("POST");
            event["rawPath"] = json!(if stage.is_empty() { "/v1/query".to_owned() } else { format!("/{stage}/v1/query") });
        } else {
            event["httpMethod"] = json!("POST");
            event["path"] = json!("/v1/query");
        }
        let (status, answer) = invoke(&service, &event).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{name}: {answer}");
        doors[door] += 1;
    }
    eprintln!("events answered: {} ALB, {} REST API, {} HTTP API", doors[0], doors[1], doors[2]);
    assert!(doors.iter().all(|count| *count > 0), "{doors:?}");
}

/// What Lambda is handed for an event.
async fn whole(service: &Service, event: &Value) -> (u16, Value) {
    let request = lambda::read(&event.to_string()).unwrap();
    let response = lambda::whole(router(Arc::clone(&service.app)), request).await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test]
async fn an_answer_that_lambda_would_not_pass_on_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..60).map(|at| {
        let document = Document { uri: format!("{at}.md"), source: format!("{at}.md"), ..Document::default() };
        (document, format!("zebra {at} {}", "\"quoted\" ".repeat(1_800)), vec![1.0])
    });
    let manifest = Manifest { model: "small".into(), dimensions: 1, ..Manifest::default() };
    let index = write_index(&folder.path().join("kb.omni"), manifest, rows);
    let service = Service::new(|config| config.index = Some(index));
    let asked = |passages: usize| json!({"prompt": "zebra", "rag_config": {"retrieval_config": {"top_k": passages}}}).to_string();
    let alb = |body: &str| {
        json!({"httpMethod": "POST", "path": "/v1/search", "queryStringParameters": {}, "headers": {"content-type": "application/json"},
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/x/1"}}, "body": body, "isBase64Encoded": false})
    };
    let (status, answer) = whole(&service, &alb(&asked(60))).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID_REQUEST")), "{message}");
    assert!(
        message.starts_with("the answer is larger than 1.0 MiB, which is all that is passed on here; ask for less at once"),
        "{message}"
    );
    assert_eq!(whole(&service, &alb(&asked(30))).await.0, 200);
    assert_eq!(whole(&service, &url_event("/v1/search", &asked(60), false)).await.0, 200);
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_and_a_header_that_cannot_be_is_left_out() {
    let service = Service::new(|_| {});
    let mut event = url_event("/v1/query", "{\"prompt\":\"How large may a request body be?\"}", false);
    event["headers"]["x y"] = json!("z");
    event["headers"]["x"] = json!("a\nb");
    assert_eq!(whole(&service, &event).await.0, 200);
    event["requestContext"]["http"]["method"] = json!("FOO BAR");
    let (status, answer) = invoke(&service, &event).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID_REQUEST")), "{answer}");
    // Without lambda_http's help it must look as a front door wants it.
    let (_, answer) = whole(&service, &event).await;
    assert_eq!(
        (&answer["statusCode"], &answer["headers"]["content-type"]),
        (&json!(400), &json!("application/json")),
        "{answer}"
    );
    assert!(answer["body"].as_str().unwrap().contains("the event of this request cannot be read"), "{answer}");
}

#[tokio::test]
async fn an_event_that_is_no_request_is_answered_quietly() {
    let service = Service::new(|_| {});
    let others = [
        json!({}),
        json!({"key": "value"}),
        json!([]),
        json!("warm"),
        json!(null),
        json!({"source": "aws.events", "detail": {}}),
    ];
    for event in others {
        let (status, answer) = invoke(&service, &event).await;
        assert_eq!((status, answer), (200, json!({"ignored": "not an HTTP event"})), "{event}");
    }
    let Some(events) = recorded() else { return };
    for (name, event) in events {
        // Whatever AWS sends: an answer, never a panic and never a failed invocation.
        let request = lambda::read(&event.to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let response = lambda::handle(router(Arc::clone(&service.app)), request).await.unwrap();
        assert!(response.status().as_u16() < 500, "{name}: {}", response.status());
    }
}

#[tokio::test]
async fn what_a_small_index_leaves_of_its_share_is_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..2_000_u32).map(|number| {
        let text: String = (0..120_u32).map(|word| format!("{:x} ", (number * 120 + word).wrapping_mul(2_654_435_761))).collect();
        (Document { uri: number.to_string(), ..Document::default() }, text, vec![1.0; 4])
    });
    let large = write_index(&folder.path().join("large.omni"), Manifest { dimensions: 4, ..Manifest::default() }, rows);
    let service = Service::new(|config| {
        config.indexes = vec![large];
        config.lambda.warm_mb = Some(2);
    });
    assert_eq!(lambda::warm(&service.app), 0);
}
