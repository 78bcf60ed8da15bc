//! The addresses in a request, which a provider may fetch.
//!
//! We fetch no address that a caller names. But some providers do, and one of them may be a server inside the operator's own
//! network: so an address in a request must be a public one. What a name resolves to is asked where such a server is to get it
//! ([`crate::net::Client::check_names`]). A server that follows redirects, or asks again and is told something else, still has to
//! guard itself, which is why those of one's own that we know nothing about get no addresses at all unless the operator says so.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use url::{Host, Url};

use crate::net::public::{is_public, is_public_name};
use crate::provider::capability::Store;

/// Schemes that readers of addresses know without `//`, too.
const SCHEMES: [&str; 14] =
    ["http", "https", "ws", "wss", "file", "ftp", "gopher", "jar", "netdoc", "dict", "ldap", "tftp", "gs", "s3"];

/// Names that one request may have looked up.
const MOST_NAMES: usize = 64;

/// Fields of blocks that hold what somebody wrote or a tool printed: it may begin with any address, and nobody fetches that.
const TEXTS: [&str; 6] = ["text", "title", "content", "stdout", "stderr", "cited_text"];

/// The addresses of one request, checked as they are met.
#[derive(Debug, Default)]
pub(super) struct Addresses<'a> {
    /// The names in them, where they are to be looked up: what they resolve to was not looked at.
    pub(super) names: BTreeSet<String>,
    stores: &'a [Store],
    has_operator_address: bool,
}

impl<'a> Addresses<'a> {
    /// Besides public addresses of the web, objects of these stores are let through. Names are kept where a server of the
    /// operator's own (`has_operator_address`) is to get them.
    pub(super) fn new(stores: &'a [Store], has_operator_address: bool) -> Self {
        Self { names: BTreeSet::new(), stores, has_operator_address }
    }

    /// Checks an address that a caller wants a provider to fetch.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn address(&mut self, address: &str) -> Result<(), String> {
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
            Some(Host::Domain(name)) if self.has_operator_address => {
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
    pub(super) fn fields(&mut self, value: &Value) -> Result<(), String> {
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

    /// As [`Self::fields`], for a block of a conversation. What is text in it is left alone, unless a server that we know nothing
    /// about gets it.
    ///
    /// # Errors
    /// As [`Self::address`], for the first one that is wrong.
    pub(super) fn block(&mut self, block: &Value) -> Result<(), String> {
        match block {
            Value::Array(items) if !self.has_operator_address => items.iter().try_for_each(|item| self.block(item)),
            Value::Object(fields) if !self.has_operator_address => {
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
    pub(super) fn references(&mut self, schema: &Value) -> Result<(), String> {
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

/// Whether all readers find the same host: `https://example.com\@127.0.0.1/` is at `example.com` for some and at `127.0.0.1` for
/// others.
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
fn not_public(host: &str) -> String {
    format!("`{host}` is not a public address")
}

#[cfg(test)]
mod tests;
