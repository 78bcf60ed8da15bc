//! Which addresses may be reached, and which may be handed on.
//!
//! We fetch no address that a caller names. But some providers do, and one of them may be a server inside the operator's own network:
//! so an address in a request must be a public one. What a name resolves to is asked where such a server is to get it
//! ([`super::Client::check_names`]). A server that follows redirects, or asks again and is told something else, still has to guard
//! itself, which is why those of one's own that we know nothing about get no addresses at all unless the operator says so.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::public::{is_link_local, is_public, is_public_name};

/// Stores of files that only one vendor reads, with the rights of whoever pays: the operator's. So he has to say that callers may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Google Cloud Storage, `gs://bucket/object`.
    Gs,
    /// Amazon S3, `s3://bucket/key`.
    S3,
}

/// Schemes that readers of addresses know without `//`, too.
const SCHEMES: [&str; 14] =
    ["http", "https", "ws", "wss", "file", "ftp", "gopher", "jar", "netdoc", "dict", "ldap", "tftp", "gs", "s3"];

/// Names that one request may have looked up.
const MOST_NAMES: usize = 64;

/// Fields of blocks that hold what somebody wrote or a tool printed: it may begin with any address, and nobody fetches that.
const TEXTS: [&str; 6] = ["text", "title", "content", "stdout", "stderr", "cited_text"];

/// The addresses of one request, checked as they are met.
#[derive(Debug, Default)]
pub struct Addresses<'a> {
    /// The names in them, where they are to be looked up: what they resolve to was not looked at.
    pub names: BTreeSet<String>,
    stores: &'a [Store],
    is_own: bool,
}

impl<'a> Addresses<'a> {
    /// Besides public addresses of the web, objects of these stores are let through. Names are kept where a server of the operator's own
    /// (`is_own`) is to get them.
    pub fn new(stores: &'a [Store], is_own: bool) -> Self {
        Self { names: BTreeSet::new(), stores, is_own }
    }

    /// Checks an address that a caller wants a provider to fetch.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn address(&mut self, address: &str) -> Result<(), String> {
        let url = Url::parse(address).map_err(|cause| format!("not an address: {cause}"))?;
        match url.scheme() {
            "http" | "https" => {}
            "gs" if self.stores.contains(&Store::Gs) => return Ok(()),
            "s3" if self.stores.contains(&Store::S3) => return Ok(()),
            other => return Err(format!("`{other}` is neither `https` nor `http`")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it carries credentials".to_owned());
        }
        if !is_plain(address, &url) {
            return Err("readers may disagree about its host; write `https://name/path`".to_owned());
        }
        match url.host() {
            None => return Err("it has no host".to_owned()),
            Some(Host::Ipv4(address)) if !is_public(IpAddr::V4(address)) => return Err(not_public(&address.to_string())),
            Some(Host::Ipv6(address)) if !is_public(IpAddr::V6(address)) => return Err(not_public(&address.to_string())),
            Some(Host::Domain(name)) if !is_public_name(name) => return Err(format!("`{name}` is not a public name")),
            Some(Host::Domain(name)) if self.is_own => {
                self.names.insert(name.to_owned());
            }
            Some(_) => {}
        }
        if self.names.len() > MOST_NAMES {
            return Err(format!("more than {MOST_NAMES} different names; name fewer, or send what is there"));
        }
        Ok(())
    }

    /// Checks every address in a caller's own fields.
    ///
    /// # Errors
    /// As [`Self::address`], for the first one that is wrong.
    pub fn fields(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => {
                // Readers of addresses drop control characters, so they hide nothing here.
                let seen: String = text.chars().filter(|char| !char.is_control()).collect();
                if is_address(bare(&seen)) { self.address(bare(text)) } else { Ok(()) }
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.fields(item)),
            Value::Object(fields) => fields.values().try_for_each(|value| self.fields(value)),
            _ => Ok(()),
        }
    }

    /// As [`Self::fields`], for a block of a conversation. What is text in it is left alone, unless a server that we know nothing about
    /// gets it.
    ///
    /// # Errors
    /// As [`Self::address`], for the first one that is wrong.
    pub fn block(&mut self, block: &Value) -> Result<(), String> {
        match block {
            Value::Array(items) if !self.is_own => items.iter().try_for_each(|item| self.block(item)),
            Value::Object(fields) if !self.is_own => {
                // A search's hit is named as its finder likes, and so is a citation of it.
                let is_hit = matches!(block["type"].as_str(), Some("search_result" | "search_result_location"));
                let is_text = |name: &str| TEXTS.contains(&name) || (is_hit && name == "source");
                let checked = |(name, value): (&String, &Value)| {
                    if value.is_string() && is_text(name) { Ok(()) } else { self.block(value) }
                };
                fields.iter().try_for_each(checked)
            }
            _ => self.fields(block),
        }
    }

    /// Checks the references of a schema that a caller wants a provider to read. What names the schema itself (`$schema`, `$id`) is
    /// fetched by nobody, unless references begin there.
    ///
    /// # Errors
    /// As [`Self::address`], for the first one that is wrong.
    pub fn references(&mut self, schema: &Value) -> Result<(), String> {
        let names: &[&str] = if is_relative(schema) { &["$ref", "$dynamicRef", "$id", "id"] } else { &["$ref", "$dynamicRef"] };
        self.named(schema, names)
    }

    /// Checks the addresses in keywords of these names.
    fn named(&mut self, schema: &Value, names: &[&str]) -> Result<(), String> {
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.named(item, names)),
            Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
                Value::String(text) if names.contains(&name.as_str()) => {
                    // Without a scheme it takes that of the schema.
                    let text = text.trim_start();
                    if text.starts_with("//") { self.address(&format!("https:{text}")) } else { self.fields(value) }
                }
                _ => self.named(value, names),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether a schema refers to something by the rest of an address, which begins where the schema says that it lies.
fn is_relative(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(is_relative),
        Value::Object(fields) => fields.iter().any(|(name, value)| match value {
            Value::String(text) if name == "$ref" || name == "$dynamicRef" => !text.trim_start().starts_with('#'),
            _ => is_relative(value),
        }),
        _ => false,
    }
}

/// Whether all readers find the same host: `https://example.com\@127.0.0.1/` is at `example.com` for some and at `127.0.0.1` for others.
fn is_plain(address: &str, url: &Url) -> bool {
    let Some((scheme, rest)) = address.trim().split_once("://") else { return false };
    // The host in the widest reading.
    let host = rest.split('/').next().unwrap_or_default();
    let divides = |letter: char| matches!(letter, '\\' | '@') || letter.is_whitespace() || letter.is_control();
    scheme.eq_ignore_ascii_case(url.scheme()) && !host.is_empty() && !host.contains(divides)
}

/// An address without what may stand around it, as in `<URL:https://example.com/>`.
fn bare(text: &str) -> &str {
    let around = |letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, '<' | '>' | '"' | '\'');
    let text = text.trim_matches(around);
    match text.split_at_checked("url:".len()) {
        Some((word, rest)) if word.eq_ignore_ascii_case("url:") => rest.trim_start_matches(around),
        _ => text,
    }
}

/// Whether a reader of addresses would take the text for one: of any scheme with `//`, or of one that is known without.
fn is_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme && (rest.starts_with("//") || SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)))
}

/// Says that a host is not of the open internet.
pub(super) fn not_public(host: &str) -> String {
    format!("`{host}` is not a public address")
}

/// Checks an address that the operator gave for a provider: inside addresses are his choice, but not those that hand out credentials.
///
/// # Errors
/// Says what is wrong with it.
pub fn operator_address(url: &Url, runtime_api: Option<&str>) -> Result<(), String> {
    let host = match url.host() {
        None => return Err("it has no host".to_owned()),
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) if is_link_local(IpAddr::V4(address)) => return Err(credentials(&address.to_string())),
        Some(Host::Ipv6(address)) if is_link_local(IpAddr::V6(address)) => return Err(credentials(&address.to_string())),
        Some(host) => host.to_string(),
    };
    let here = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    if runtime_api.is_some_and(|api| api == here) {
        return Err(format!("`{here}` is Lambda's Runtime API"));
    }
    if host.eq_ignore_ascii_case("metadata.google.internal") {
        return Err(credentials(&host));
    }
    Ok(())
}

fn credentials(host: &str) -> String {
    format!("`{host}` hands out credentials")
}

#[cfg(test)]
mod tests {
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
        let kept = |is_own| {
            let mut addresses = Addresses::new(&[], is_own);
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

    #[test]
    fn an_operator_may_name_what_is_inside_but_not_what_hands_out_credentials() {
        let check = |address: &str| operator_address(&Url::parse(address).unwrap(), Some("127.0.0.1:9001"));
        for address in ["http://127.0.0.1:8000/v1", "http://llm.corp/v1", "http://10.0.0.7/v1", "https://api.openai.com/v1"] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
        for address in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.170.2]/",
            "http://127.0.0.1:9001/",
            "http://metadata.google.internal/",
        ] {
            assert!(check(address).is_err(), "{address}");
        }
    }
}
