//! What the S3 source promises, against a server of this test that can be told to misbehave. Real servers: `.ci/check_s3`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::config::Credentials;

use super::super::{Place, Selection, Source};
use super::*;

/// A request: path with query, and the headers in lower case.
struct Request {
    target: String,
    headers: String,
}

/// An answer: status, further headers, body. `cut` promises more bytes than are sent.
#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    cut: bool,
}

/// Serves until the process ends; returns its address.
fn serve(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { return };
                let target = first.split(' ').nth(1).unwrap().to_owned();
                let headers = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase() + "\n").collect();
                let reply = answer(&Request { target, headers });
                let length = reply.body.len() + usize::from(reply.cut);
                let mut text = format!("HTTP/1.1 {} Said\r\nconnection: close\r\ncontent-length: {length}\r\n", reply.status);
                for (name, value) in reply.headers {
                    text += &format!("{name}: {value}\r\n");
                }
                let _ = (&stream).write_all(format!("{text}\r\n{}", reply.body).as_bytes());
            });
        }
    });
    address
}

fn ok(body: impl Into<String>) -> Reply {
    Reply { status: 200, body: body.into(), ..Reply::default() }
}

fn refused(status: u16, code: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words of\n the service</Message></Error>");
    Reply { status, body, ..Reply::default() }
}

/// One page of a listing: keys with sizes, and the token of the next page.
fn page(objects: &[(&str, usize)], next: Option<&str>) -> Reply {
    let mut body = "<?xml version=\"1.0\"?><ListBucketResult><Name>docs</Name><EncodingType>url</EncodingType>".to_owned();
    body += &match next {
        Some(token) => format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    for (key, size) in objects {
        body += &format!("<Contents><Key>{key}</Key><Size>{size}</Size><ETag>\"tag-{size}\"</ETag></Contents>");
    }
    ok(body + "</ListBucketResult>")
}

fn open(endpoint: &str, address: &str) -> Source {
    let credentials = Credentials::builder().access_key_id("AKIDTEST").secret_access_key("hidden").provider_name("test").build();
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).empty_test_environment().credentials_provider(credentials);
    let options = Options {
        endpoint_url: Some(endpoint.to_owned()),
        region: Some("eu-west-1".to_owned()),
        path_style: true,
        max_file_mb: 1,
        downloads: 3,
        ..Options::default()
    };
    let (bucket, prefix) = super::super::bucket_and_prefix(address).unwrap();
    let place = Place::S3(Box::new(S3::open_with(loader, bucket, prefix, &options).unwrap()));
    Source { place, selection: Selection::default() }
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| entry.source.as_str()).collect()
}

fn error_of(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> String {
    let endpoint = serve(answer);
    let error = open(&endpoint, "docs/a").list().expect_err("must be refused").to_string();
    assert!(!error.contains("hidden") && !error.contains("AKIDTEST"), "{error}");
    error.replace(&endpoint, "ENDPOINT")
}

#[test]
fn a_listing_has_all_pages_and_decoded_keys() {
    let endpoint = serve(|request| {
        assert!(request.target.starts_with("/docs/?") || request.target.starts_with("/docs?"), "{}", request.target);
        assert!(request.target.contains("prefix=kb%2F"), "{}", request.target);
        if request.target.contains("continuation-token=second") {
            return page(&[("kb/a%2Bb%C3%A9+c%01.md", 2), ("kb/sub/", 0), ("kb/sub/.git/x", 1), ("kb/big", 1_000_001)], None);
        }
        page(&[("kb/", 0), ("kb/z.md", 3), ("kb/dir/", 1), ("kb/old.omni", 9)], Some("second"))
    });
    let listing = open(&endpoint, "docs/kb/").list().unwrap();
    assert_eq!(names(&listing), ["a+bé c\u{1}.md", "dir/", "z.md"]);
    assert_eq!(listing.entries[0].uri, "s3://docs/kb/a+bé c\u{1}.md");
    assert_eq!((listing.entries[0].size, listing.entries[0].stamp.as_str()), (2, "\"tag-2\""));
    let ignored = [("old.omni", Ignored::Own), ("sub/", Ignored::Marker), ("sub/.git/x", Ignored::Hidden)];
    assert_eq!(listing.ignored, ignored.map(|(path, why)| (path.to_owned(), why)));
    assert_eq!(listing.skipped, [("big".to_owned(), Reason::TooLarge { bytes: 1_000_001, max_bytes: 1_000_000 })]);
}

#[test]
fn a_prefix_may_be_one_key_but_never_the_beginning_of_a_name() {
    let endpoint = serve(|request| {
        if request.target.contains("prefix=kb%2Fone.md%2F") || request.target.contains("prefix=kb%2Fon%2F") {
            return page(&[], None);
        }
        if request.target.contains("prefix=kb%2Fone.md.&") || request.target.ends_with("prefix=kb%2Fone.md.") {
            return page(&[("kb/one.md.bak", 1), ("kb/one.md.metadata.json", 2)], None);
        }
        page(&[("kb/one.md", 4)], None)
    });
    assert_eq!(names(&open(&endpoint, "docs/kb/one.md").list().unwrap()), ["one.md", "one.md.metadata.json"]);
    assert_eq!(
        open(&endpoint, "docs/kb/on").list().unwrap_err().to_string(),
        "`s3://docs/kb/on`: no documents there; check the prefix, it is a folder of keys and case counts"
    );
}

#[test]
fn what_befalls_one_object_is_its_reason() {
    let broken = AtomicUsize::new(0);
    let endpoint = serve(move |request| {
        let path = request.target.split('?').next().unwrap();
        if matches!(path, "/docs" | "/docs/") {
            let keys = [
                "archived",
                "breaks",
                "changed",
                "denied",
                "good.html",
                "gone",
                "grown",
                "gzip",
                "marker",
                "never",
                "other",
                "own-key",
                "vanished",
            ];
            return page(&keys.map(|key| (key, 4)), None);
        }
        assert!(request.headers.contains("if-match: \"tag-4\""), "{}", request.headers);
        assert!(!request.headers.contains("x-amz-checksum-mode"), "{}", request.headers);
        match path {
            "/docs/archived" => {
                Reply { headers: vec![("x-amz-storage-class", "DEEP_ARCHIVE".to_owned())], ..refused(403, "InvalidObjectState") }
            }
            "/docs/breaks" if broken.fetch_add(1, Ordering::SeqCst) < 2 => Reply { cut: true, ..ok("fou") },
            "/docs/never" => Reply { cut: true, ..ok("fou") },
            "/docs/changed" => refused(412, "PreconditionFailed"),
            "/docs/denied" => refused(403, "AccessDenied"),
            "/docs/gone" => refused(404, "NoSuchKey"),
            "/docs/marker" => refused(405, "MethodNotAllowed"),
            "/docs/own-key" => refused(400, "InvalidRequest"),
            "/docs/vanished" => Reply { status: 404, ..Reply::default() },
            "/docs/grown" => ok("fours"),
            "/docs/gzip" => Reply { headers: vec![("content-encoding", "aws-chunked,gzip".to_owned())], ..ok("four") },
            "/docs/other" => Reply { headers: vec![("etag", "\"tag-5\"".to_owned())], ..ok("four") },
            "/docs/good.html" => Reply {
                headers: vec![("content-type", "Text/HTML; Charset=\"ISO-8859-1\"".to_owned()), ("etag", "\"tag-4\"".to_owned())],
                ..ok("four")
            },
            _ => ok("four"),
        }
    });
    let source = open(&endpoint, "docs");
    let entries = source.list().unwrap().entries;
    let described = |entry: &Entry, result: Result<Content, Reason>| {
        Ok(match result {
            Ok(content) => {
                let text = String::from_utf8(content.bytes).unwrap();
                format!("{}: {text} {:?}", entry.source, content.charset)
            }
            Err(reason) => format!("{}: {reason}", entry.source),
        })
    };
    let texts = source.read_all(&entries, 2, 10, described).unwrap();
    let never = texts.iter().find(|text| text.starts_with("never")).unwrap();
    assert!(never.starts_with("never: cannot be read: the transfer broke off ("), "{never}");
    assert!(never.ends_with("), 4 times"), "{never}");
    assert_eq!(
        texts.iter().filter(|text| *text != never).map(String::as_str).collect::<Vec<_>>(),
        [
            "archived: archived in storage class `DEEP_ARCHIVE`; restore the object first",
            "breaks: four None",
            "changed: changed while being read; build again once it is no longer written",
            "denied: permission denied; allow the builder to read it",
            "gone: vanished while being read",
            "good.html: four Some(\"ISO-8859-1\")",
            "grown: changed while being read; build again once it is no longer written",
            "gzip: cannot be read: stored with content encoding `gzip`; upload it uncompressed",
            "marker: cannot be read: MethodNotAllowed: words of the service",
            "other: changed while being read; build again once it is no longer written",
            "own-key: cannot be read: InvalidRequest: words of the service",
            "vanished: vanished while being read",
        ]
    );
}

#[test]
fn a_key_refused_while_reading_ends_the_build() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let endpoint = serve(move |request| {
        if request.target.contains("list-type=2") {
            let keys: Vec<_> = (0..200).map(|number| format!("{number:03}")).collect();
            return page(&keys.iter().map(|key| (key.as_str(), 4)).collect::<Vec<_>>(), None);
        }
        if counted.fetch_add(1, Ordering::SeqCst) < 5 { ok("four") } else { refused(400, "ExpiredToken") }
    });
    let source = open(&endpoint, "docs");
    let entries = source.list().unwrap().entries;
    let visited = AtomicUsize::new(0);
    let error = source.read_all(&entries, 2, 1 << 20, |_, result| {
        assert_eq!(result.unwrap().bytes, b"four");
        visited.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    let (object, why) = error.split_once(": the").unwrap();
    // Which one it was, of those that were under way.
    assert!(entries.iter().any(|entry| format!("`{}`", entry.uri) == object), "{error}");
    assert_eq!(why, " session has expired or is not valid (ExpiredToken); sign in again and check `AWS_SESSION_TOKEN`");
    assert_eq!(visited.into_inner(), 5);
    assert!(reads.load(Ordering::SeqCst) < 20, "{reads:?}");
}

#[test]
fn a_busy_service_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let endpoint = serve(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => refused(503, "SlowDown"),
        1 => refused(500, "InternalError"),
        _ => page(&[("a", 1)], None),
    });
    assert_eq!(names(&open(&endpoint, "docs").list().unwrap()), ["a"]);
}

#[test]
fn refusals_say_what_to_do() {
    let refusal = |status, code: &'static str| error_of(move |_| refused(status, code));
    assert_eq!(
        refusal(404, "NoSuchBucket"),
        "`s3://docs/a`: `ENDPOINT` has no such bucket (NoSuchBucket); check its name, `--region` and `--endpoint-url`"
    );
    assert_eq!(
        refusal(403, "InvalidAccessKeyId"),
        "`s3://docs/a`: `ENDPOINT` does not know the access key (InvalidAccessKeyId); check `AWS_ACCESS_KEY_ID` and the profile"
    );
    assert_eq!(
        refusal(403, "SignatureDoesNotMatch"),
        "`s3://docs/a`: the secret key does not belong to the access key (SignatureDoesNotMatch); check `AWS_SECRET_ACCESS_KEY`"
    );
    assert_eq!(
        refusal(403, "AccessDenied"),
        "`s3://docs/a`: access denied (AccessDenied); the key needs `s3:ListBucket` and `s3:GetObject` on this bucket and prefix"
    );
    assert_eq!(
        refusal(403, "RequestTimeTooSkewed"),
        "`s3://docs/a`: the clock of this machine is wrong (RequestTimeTooSkewed); set it, requests are signed with it"
    );
    assert_eq!(
        refusal(400, "MalformedThing"),
        "`s3://docs/a`: `ENDPOINT` answered with status 400 (MalformedThing: words of the service); \
         check `--endpoint-url` and that it is an S3 service"
    );
    let moved = |region: Option<&str>| {
        let headers: Vec<_> = region.map(|region| ("x-amz-bucket-region", region.to_owned())).into_iter().collect();
        error_of(move |_| Reply { headers: headers.clone(), ..refused(301, "PermanentRedirect") })
    };
    assert_eq!(
        moved(Some("us-west-2")),
        "`s3://docs/a`: the bucket is not in region `eu-west-1` (PermanentRedirect); use `--region us-west-2`"
    );
    assert_eq!(
        moved(None),
        "`s3://docs/a`: the bucket is not in region `eu-west-1` (PermanentRedirect); name the bucket's region with `--region`"
    );
    assert_eq!(
        error_of(|_| ok("<html>not S3 at all")),
        "`s3://docs/a`: `ENDPOINT` answered, but not as S3 does; check `--endpoint-url` and that it is an S3 service"
    );
}

#[test]
fn an_address_where_nobody_listens_says_so() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = open(&format!("http://127.0.0.1:{port}"), "docs").list().unwrap_err().to_string();
    assert!(error.starts_with(&format!("`s3://docs/`: `http://127.0.0.1:{port}` cannot be reached (")), "{error}");
    assert!(error.contains("onnection refused"), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let options = Options { endpoint_url: Some("127.0.0.1:9000".to_owned()), ..Options::default() };
    assert_eq!(
        S3::open("docs", "", &options).err().unwrap().to_string(),
        "`--endpoint-url 127.0.0.1:9000`: not a web address; write `http://` or `https://` first"
    );
}

#[test]
fn a_content_type_is_taken_apart() {
    let of = |header| charset(Some(header));
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(of("text/plain"), None);
    assert_eq!(of("TEXT/HTML;charset=utf-8"), text("utf-8"));
    assert_eq!(of("text/html; q=1; CHARSET = \"koi8-r\""), text("koi8-r"));
    assert_eq!(of("application/octet-stream; charset="), None);
    assert_eq!(of("nonsense"), None);
}
