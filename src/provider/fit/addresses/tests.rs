//! Addresses that lead inside, in every disguise.

use serde_json::json;

use super::*;

fn check(address: &str) -> Result<(), String> {
    Addresses::default().address(address)
}

#[test]
fn only_public_addresses_may_be_handed_on() {
    for address in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://localhost:9001/2018-06-01/runtime/invocation/next",
        "http://LOCALHOST./",
        "http://app.localhost/",
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.170.2/v2/credentials",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:7f00:1::]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:0:7f00:1]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[fec0::1]/",
        "http://168.63.129.16/",
        "http://[2001:0:7f00:1::]/",
        "http://[100::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://255.255.255.255/",
        "http://intranet/",
        "http://db.corp/",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "gs://bucket/object",
        "s3://bucket/object",
        "javascript:alert(1)",
        "https://example.com\\@127.0.0.1:9000/x",
        "https://example.com\\.127.0.0.1/x",
        "https:\\\\example.com/x",
        "https:/\\example.com/x",
        "https:example.com/x",
        "https:///example.com/x",
        "https://example.com @127.0.0.1/x",
        "https://example.com\t@127.0.0.1/x",
        "https://exam\nple.com/x",
        "ht\ntps://example.com/x",
        "https://example.com#@127.0.0.1/x",
        "https://example.com?@127.0.0.1/x",
        "//example.com/x",
        "not an address",
        "",
    ] {
        assert!(check(address).is_err(), "{address}");
    }
    for address in [
        "https://example.com/cat.png",
        "http://8.8.8.8/x",
        "https://[2606:4700::1111]/",
        "https://a.b.example.org:8443/",
        "HTTPS://example.com",
        "https://example.com?x=1",
        "https://example.com/a b?mail=a@b.example",
    ] {
        assert_eq!(check(address), Ok(()), "{address}");
    }
}

#[test]
fn names_are_kept_once_for_whoever_looks_them_up() {
    let kept = |has_operator_address| {
        let mut addresses = Addresses::new(&[], has_operator_address);
        for address in ["https://a.example/1", "https://A.example:8443/2", "https://8.8.8.8/", "http://b.example/"] {
            addresses.address(address).unwrap();
        }
        addresses.names.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(kept(true), ["a.example", "b.example"]);
    assert_eq!(kept(false), [""; 0], "nobody looks them up");
}

#[test]
fn the_names_of_one_request_have_an_end() {
    let many: Vec<String> = (0..70_000).map(|number| format!("https://n{number}.example/")).collect();
    let many = json!({ "web": many });
    assert_eq!(Addresses::new(&[], false).fields(&many), Ok(()));
    let mut own = Addresses::new(&[], true);
    assert_eq!(own.fields(&many), Err("more than 64 different names; name fewer, or send what is there".to_owned()));
    assert_eq!(own.names.len(), 65, "no more are read");
}

#[test]
fn what_a_block_says_is_no_address_but_where_a_server_of_ones_own_reads_it() {
    let result = json!({"type": "code_result", "content": {"stdout": "http://localhost:8080 is up", "stderr": "file:///x: no", "return_code": 0}});
    let hit = json!({"type": "search_result", "source": "kb://article/7", "content": [{"type": "text", "text": "http://10.0.0.1/ is ours"}]});
    let cited = json!({"type": "search_result_location", "source": "kb://article/7", "cited_text": "http://10.0.0.1/"});
    for block in [result, hit, cited] {
        assert_eq!(Addresses::default().block(&block), Ok(()), "{block}");
        assert!(Addresses::new(&[], true).block(&block).is_err(), "{block}");
    }
    let found = json!({"type": "web_search_result", "title": "http: a short history", "url": "https://example.com/"});
    let viewed = json!({"type": "text_editor_code_execution_view_result", "content": "http://localhost:8080 is up"});
    for block in [found, viewed] {
        assert_eq!(Addresses::default().block(&block), Ok(()), "{block}");
    }
    for block in [
        json!({"type": "image", "source": "http://10.0.0.1/"}),
        json!({"type": "web_search_result", "title": "t", "url": "http://10.0.0.1/"}),
        json!({"type": "search_result", "source": {"url": "http://10.0.0.1/"}}),
        json!({"type": "x", "content": [{"text": {"url": "http://10.0.0.1/"}}]}),
    ] {
        assert!(Addresses::default().block(&block).is_err(), "{block}");
    }
}

#[test]
fn stores_are_named_only_where_the_operator_lets_them_be() {
    let both = json!({"uri": "gs://bucket/x", "more": [{"s3Location": {"uri": "S3://bucket/y"}}]});
    assert_eq!(Addresses::default().fields(&both), Err("`gs` is neither `https` nor `http`".to_owned()));
    assert_eq!(Addresses::new(&[Store::Gs], false).fields(&both), Err("`s3` is neither `https` nor `http`".to_owned()));
    assert_eq!(Addresses::new(&[Store::Gs, Store::S3], false).fields(&both), Ok(()));
    assert!(Addresses::new(&[Store::Gs, Store::S3], false).address("file:///etc/passwd").is_err());
}

#[test]
fn what_names_a_schema_is_an_address_only_where_references_begin_there() {
    let schema = |id: &str, to: &str| json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": id, "properties": {"a": {"$ref": to}}});
    let names = |schema: &Value| {
        let mut addresses = Addresses::new(&[], true);
        addresses.references(schema).map(|()| addresses.names.into_iter().collect::<Vec<_>>())
    };
    let none: [&str; 0] = [];
    assert_eq!(names(&schema("https://a.example/x", "#/$defs/b")).unwrap(), none);
    assert_eq!(names(&schema("http://10.0.0.1/x", "#/$defs/b")).unwrap(), none);
    assert_eq!(names(&schema("https://a.example/x", "y")).unwrap(), ["a.example"]);
    assert_eq!(names(&schema("https://a.example/x", "https://b.example/y")).unwrap(), ["a.example", "b.example"]);
    for (id, to) in [("http://10.0.0.1/x", "y"), ("//10.0.0.1/x", "y"), ("x", "//10.0.0.1/y"), ("x", "http://10.0.0.1/y")] {
        assert!(names(&schema(id, to)).unwrap_err().contains("not a public address"), "{id} {to}");
    }
}

#[test]
fn addresses_hidden_in_fields_are_found() {
    for bad in [
        " HTTP://127.0.0.1/",
        "http:127.0.0.1",
        "http://127.0.0.1/?a b",
        "ht\ntp://127.0.0.1/",
        "\u{1}http://127.0.0.1/",
        "FILE:/etc/passwd",
        "jar:http://example.com/a.jar!/b",
        "gopher://example.com:70/x",
        "sftp://example.com/x",
        "php://filter/resource=x",
        "git+ssh://example.com/x",
        "http://example.com @127.0.0.1/x",
        "http://example.com\n@127.0.0.1/x",
        "https://example.com\\@127.0.0.1:9000/x",
        "URL:http://127.0.0.1/",
        "url: http://127.0.0.1/",
        "<http://127.0.0.1/>",
        " <URL:http://127.0.0.1/> ",
        "\"http://127.0.0.1/\"",
    ] {
        let bad = json!({"a": [{"b": bad}]});
        assert!(Addresses::default().fields(&bad).is_err(), "{bad}");
    }
    let good = json!({
        "a": "https://example.com/", "b": "the address http://127.0.0.1 is a loopback", "c": 1,
        "d": "data:image/png;base64,AAAA", "h": "<https://example.com>", "i": "URL: see below", "j": "https://example.com/ or\nanother", "e": "arn:aws:bedrock:us-east-1:1:guardrail/x", "f": "urn:x:y", "g": "12:30",
    });
    assert_eq!(Addresses::default().fields(&good), Ok(()));
}
