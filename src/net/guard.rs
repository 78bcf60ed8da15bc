//! Which addresses may be reached, and which may be handed on.
//!
//! We fetch no address that a caller names. But some providers do, and one of them may be a server inside the operator's own network:
//! so an address in a request must be a public one. What a name resolves to is asked where such a server is to get it
//! ([`super::Client::check_names`]). A server that follows redirects, or asks again and is told something else, still has to guard
//! itself, which is why those of one's own that we know nothing about get no addresses at all unless the operator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

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

/// The addresses of one request, checked as they are met.
#[derive(Debug, Default)]
pub struct Addresses<'a> {
    /// The names in them, each once: what they resolve to was not looked at.
    pub names: Vec<String>,
    stores: &'a [Store],
}

impl<'a> Addresses<'a> {
    /// Besides public addresses of the web, objects of these stores are let through.
    pub fn new(stores: &'a [Store]) -> Self {
        Self { names: Vec::new(), stores }
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
        match url.host() {
            None => return Err("it has no host".to_owned()),
            Some(Host::Ipv4(address)) if !is_public(IpAddr::V4(address)) => return Err(not_public(&address.to_string())),
            Some(Host::Ipv6(address)) if !is_public(IpAddr::V6(address)) => return Err(not_public(&address.to_string())),
            Some(Host::Domain(name)) if !is_public_name(name) => return Err(format!("`{name}` is not a public name")),
            Some(Host::Domain(name)) if !self.names.iter().any(|known| known == name) => self.names.push(name.to_owned()),
            Some(_) => {}
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
                let text: String = text.chars().filter(|char| !char.is_control()).collect();
                // What follows a blank may be a sentence, or belong to the address: what stands before it is checked in any case.
                let word = text.split_whitespace().next().unwrap_or_default();
                if is_address(word) { self.address(word) } else { Ok(()) }
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.fields(item)),
            Value::Object(fields) => fields.values().try_for_each(|value| self.fields(value)),
            _ => Ok(()),
        }
    }

    /// Checks the references of a schema that a caller wants a provider to read.
    ///
    /// # Errors
    /// As [`Self::address`], for the first one that is wrong.
    pub fn references(&mut self, schema: &Value) -> Result<(), String> {
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.references(item)),
            Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
                Value::String(text) if name == "$ref" || name == "$dynamicRef" => {
                    // Without a scheme it takes that of the schema.
                    let text = text.trim_start();
                    if text.starts_with("//") { self.address(&format!("https:{text}")) } else { self.fields(value) }
                }
                Value::String(_) if name == "$id" || name == "id" || name == "$schema" => self.fields(value),
                _ => self.references(value),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether a reader of addresses would take the word for one: of any scheme with `//`, or of one that is known without.
fn is_address(word: &str) -> bool {
    let Some((scheme, rest)) = word.split_once(':') else { return false };
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

fn is_link_local(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

/// Whether the address belongs to the open internet.
pub fn is_public(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || a == 0
                || a >= 240
                // Carriers' own, benchmarks, protocol assignments.
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                // Once private to a site.
                || first & 0xffc0 == 0xfec0
                || first == 0x2001 && address.segments()[1] == 0xdb8)
        }
    }
}

/// The IPv4 address inside an IPv6 one: mapped, translated (64:ff9b::/96), 6to4, compatible.
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let parts = v6.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // Networks' own translators.
        | [0x64, 0xff9b, 1, _, _, _, high, low] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let inside = ["localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain", "home.arpa"];
    name.contains('.') && !inside.iter().any(|end| name == *end || name.ends_with(&format!(".{end}")))
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
            "//example.com/x",
            "not an address",
            "",
        ] {
            assert!(check(address).is_err(), "{address}");
        }
        for address in
            ["https://example.com/cat.png", "http://8.8.8.8/x", "https://[2606:4700::1111]/", "https://a.b.example.org:8443/"]
        {
            assert_eq!(check(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn names_are_kept_once_for_whoever_looks_them_up() {
        let mut addresses = Addresses::default();
        for address in ["https://a.example/1", "https://A.example:8443/2", "https://8.8.8.8/", "http://b.example/"] {
            addresses.address(address).unwrap();
        }
        assert_eq!(addresses.names, ["a.example", "b.example"]);
    }

    #[test]
    fn stores_are_named_only_where_the_operator_lets_them_be() {
        let both = json!({"uri": "gs://bucket/x", "more": [{"s3Location": {"uri": "S3://bucket/y"}}]});
        assert_eq!(Addresses::default().fields(&both), Err("`gs` is neither `https` nor `http`".to_owned()));
        assert_eq!(Addresses::new(&[Store::Gs]).fields(&both), Err("`s3` is neither `https` nor `http`".to_owned()));
        assert_eq!(Addresses::new(&[Store::Gs, Store::S3]).fields(&both), Ok(()));
        assert!(Addresses::new(&[Store::Gs, Store::S3]).address("file:///etc/passwd").is_err());
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
        ] {
            let bad = json!({"a": [{"b": bad}]});
            assert!(Addresses::default().fields(&bad).is_err(), "{bad}");
        }
        let good = json!({
            "a": "https://example.com/", "b": "the address http://127.0.0.1 is a loopback", "c": 1,
            "d": "data:image/png;base64,AAAA", "e": "arn:aws:bedrock:us-east-1:1:guardrail/x", "f": "urn:x:y", "g": "12:30",
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
